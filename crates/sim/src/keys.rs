//! Signatures for a world without secrets: fast, deterministic, and not to be forged by a
//! protocol, which holds nothing but its own signing hand.

use bytes::Bytes;
use consensus_core::{Authenticator, Signer, StableHasher, Tag};
use std::hash::Hasher;

/// Signs as one signer and checks the tags of all. The tag is a hash under the signer's secret,
/// which is derived from the world's seed; as long as an ed25519 signature, so that byte counts
/// are those of the real thing.
#[derive(Clone, Copy, Debug)]
pub struct SimKeys {
    seed: u64,
    own: Signer,
}

const TAG_LEN: usize = 64;

impl SimKeys {
    /// The keys of one signer in the world of this seed.
    pub fn new(seed: u64, own: Signer) -> Self {
        Self { seed, own }
    }

    fn words(&self, signer: Signer, bytes: &[u8]) -> [u64; 2] {
        let who = match signer {
            Signer::Node(node) => u64::from(node.0) << 1,
            Signer::Client(client) => (client.0 << 1) | 1,
        };
        [1u64, 2].map(|half| {
            let mut hasher = StableHasher::seeded(self.seed.rotate_left(17) ^ half);
            hasher.write_u64(who);
            hasher.write_u64(bytes.len() as u64);
            hasher.write(bytes);
            hasher.finish()
        })
    }
}

impl Authenticator for SimKeys {
    fn sign(&self, bytes: &[u8]) -> Tag {
        let [low, high] = self.words(self.own, bytes);
        let mut tag = [0; TAG_LEN];
        tag[..8].copy_from_slice(&low.to_le_bytes());
        tag[8..16].copy_from_slice(&high.to_le_bytes());
        Tag(Bytes::copy_from_slice(&tag))
    }

    fn check(&self, signer: Signer, bytes: &[u8], tag: &Tag) -> bool {
        let [low, high] = self.words(signer, bytes);
        tag.0.len() == TAG_LEN
            && tag.0[..8] == low.to_le_bytes()
            && tag.0[8..16] == high.to_le_bytes()
            && tag.0[16..].iter().all(|byte| *byte == 0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{ClientId, NodeId};

    /// OSDI '99 §2: nobody can say in another's name, and not a word can be changed.
    #[test]
    fn a_tag_is_of_one_signer_and_one_statement() {
        let node = Signer::Node(NodeId(1));
        let keys = SimKeys::new(5, node);
        let tag = keys.sign(b"prepare 7");
        assert!(keys.check(node, b"prepare 7", &tag));
        assert!(!keys.check(node, b"prepare 8", &tag));
        assert!(!keys.check(Signer::Node(NodeId(2)), b"prepare 7", &tag));
        assert!(!keys.check(Signer::Client(ClientId(1)), b"prepare 7", &tag));
        assert!(!SimKeys::new(6, node).check(node, b"prepare 7", &tag), "another world");
        assert!(!keys.check(node, b"prepare 7", &Tag::none()));
    }
}
