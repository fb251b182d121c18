//! Who said it: one interface over signatures, the simulator's stand-in, and nothing at all.

use crate::id::{ClientId, NodeId};
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};

/// Proof that a signer said some bytes: a signature, or empty where nothing is signed.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Tag(pub Bytes);

impl Tag {
    /// Where nothing is signed.
    pub fn none() -> Self {
        Self(Bytes::new())
    }
}

impl fmt::Debug for Tag {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tag[{}]", self.0.len())
    }
}

/// Whose key a tag is checked against.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Signer {
    /// A replica.
    Node(NodeId),
    /// A client.
    Client(ClientId),
}

/// Signs with the own key and checks tags of others. Signing must be deterministic: the same
/// bytes give the same tag, or a simulated run could not be repeated.
pub trait Authenticator: Send + Sync {
    /// A tag over these bytes with the own key.
    fn sign(&self, bytes: &[u8]) -> Tag;

    /// Did this signer make this tag over these bytes? An unknown signer's answer is no.
    fn check(&self, signer: Signer, bytes: &[u8], tag: &Tag) -> bool;
}

/// No keys: signs with an empty tag and believes nobody. For protocols with crash faults only,
/// which never ask.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoKeys;

impl Authenticator for NoKeys {
    fn sign(&self, _bytes: &[u8]) -> Tag {
        Tag::none()
    }

    fn check(&self, _signer: Signer, _bytes: &[u8], _tag: &Tag) -> bool {
        false
    }
}

/// Counts the tags that were made and checked, wherever that happens (checks may run in a pool).
#[derive(Debug, Default)]
pub struct AuthMeter {
    made: AtomicU64,
    checked_nodes: AtomicU64,
    checked_clients: AtomicU64,
}

impl AuthMeter {
    /// Notes a tag made.
    pub fn on_made(&self) {
        self.made.fetch_add(1, Ordering::Relaxed);
    }

    /// Notes a tag checked.
    pub fn on_checked(&self, signer: Signer) {
        let counter = match signer {
            Signer::Node(_) => &self.checked_nodes,
            Signer::Client(_) => &self.checked_clients,
        };
        counter.fetch_add(1, Ordering::Relaxed);
    }

    /// Tags made so far.
    pub fn made(&self) -> u64 {
        self.made.load(Ordering::Relaxed)
    }

    /// Tags of replicas checked so far.
    pub fn checked_nodes(&self) -> u64 {
        self.checked_nodes.load(Ordering::Relaxed)
    }

    /// Tags of clients checked so far.
    pub fn checked_clients(&self) -> u64 {
        self.checked_clients.load(Ordering::Relaxed)
    }
}
