//! Keys: ed25519 behind the authenticator interface. The only file that knows the signature
//! crate.

use consensus_core::{Authenticator, ClientId, NodeId, Signer, Tag};
use ed25519_dalek::{Signature, Signer as _, SigningKey, VerifyingKey};
use std::collections::BTreeMap;
use std::fmt;
use std::fmt::Write as _;

/// A key that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BadKey(pub String);

impl fmt::Display for BadKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for BadKey {}

/// The secret key of a replica or client. Erased from memory when dropped; never printed.
#[derive(Clone)]
pub struct SecretKey(SigningKey);

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretKey")
    }
}

/// The public half of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey(VerifyingKey);

impl SecretKey {
    /// The key made of 32 secret bytes, which should be random.
    pub fn from_bytes(secret: [u8; 32]) -> Self {
        Self(SigningKey::from_bytes(&secret))
    }

    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// If the text is anything else.
    pub fn from_hex(text: &str) -> Result<Self, BadKey> {
        Ok(Self::from_bytes(from_hex(text)?))
    }

    /// As 64 hexadecimal digits, for a key file.
    pub fn to_hex(&self) -> String {
        to_hex(&self.0.to_bytes())
    }

    /// The public half.
    pub fn public(&self) -> PublicKey {
        PublicKey(self.0.verifying_key())
    }
}

impl PublicKey {
    /// Reads 64 hexadecimal digits.
    ///
    /// # Errors
    /// If the text is anything else, or no point of the curve.
    pub fn from_hex(text: &str) -> Result<Self, BadKey> {
        let bytes = from_hex(text)?;
        let key = VerifyingKey::from_bytes(&bytes);
        key.map(Self).map_err(|_| BadKey("these 32 bytes are no public key".into()))
    }

    /// As 64 hexadecimal digits.
    pub fn to_hex(&self) -> String {
        to_hex(self.0.as_bytes())
    }

    /// The name of the client that owns this key.
    pub fn client_id(&self) -> ClientId {
        let (first, _) = self.0.as_bytes().split_first_chunk::<8>().expect("a key has 32 bytes");
        ClientId(u64::from_le_bytes(*first))
    }
}

fn from_hex(text: &str) -> Result<[u8; 32], BadKey> {
    let text = text.trim();
    let wrong = || BadKey(format!("a key is 64 hexadecimal digits, not {} characters", text.len()));
    if text.len() != 64 || !text.bytes().all(|digit| digit.is_ascii_hexdigit()) {
        return Err(wrong());
    }
    let mut bytes = [0; 32];
    for (place, byte) in bytes.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&text[2 * place..2 * place + 2], 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

fn to_hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

/// The own key and everybody's public keys.
#[derive(Clone, Debug)]
pub struct KeyRing {
    own: SecretKey,
    nodes: Vec<PublicKey>,
    clients: BTreeMap<ClientId, PublicKey>,
}

impl KeyRing {
    /// A ring for one replica or client. `nodes` is in the order of node ids.
    pub fn new(own: SecretKey, nodes: Vec<PublicKey>, clients: Vec<PublicKey>) -> Self {
        let clients = clients.into_iter().map(|key| (key.client_id(), key)).collect();
        Self { own, nodes, clients }
    }

    /// Secret keys made from a seed: for benchmarks and tests, where all is known to all.
    pub fn derive(seed: u64, who: &str, number: u64) -> SecretKey {
        let mut hasher = blake3::Hasher::new();
        hasher.update(b"synod derived key").update(&seed.to_le_bytes());
        hasher.update(&number.to_le_bytes()).update(who.as_bytes());
        SecretKey::from_bytes(*hasher.finalize().as_bytes())
    }

    fn public(&self, signer: Signer) -> Option<&PublicKey> {
        match signer {
            Signer::Node(NodeId(node)) => self.nodes.get(usize::from(node)),
            Signer::Client(client) => self.clients.get(&client),
        }
    }
}

impl Authenticator for KeyRing {
    fn sign(&self, bytes: &[u8]) -> Tag {
        Tag(self.own.0.sign(bytes).to_bytes().to_vec().into())
    }

    fn check(&self, signer: Signer, bytes: &[u8], tag: &Tag) -> bool {
        let Ok(signature) = Signature::from_slice(&tag.0) else { return false };
        // Strict: no signature has a second form, so tags may be compared.
        self.public(signer).is_some_and(|key| key.0.verify_strict(bytes, &signature).is_ok())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ring(who: &str, number: u64) -> KeyRing {
        let nodes = (0..4).map(|node| KeyRing::derive(1, "node", node).public()).collect();
        let clients = vec![KeyRing::derive(1, "client", 0).public()];
        KeyRing::new(KeyRing::derive(1, who, number), nodes, clients)
    }

    #[test]
    fn a_signature_is_good_for_its_signer_and_its_bytes_only() {
        let tag = ring("node", 2).sign(b"said");
        let other = ring("node", 0);
        assert!(other.check(Signer::Node(NodeId(2)), b"said", &tag));
        assert!(!other.check(Signer::Node(NodeId(1)), b"said", &tag));
        assert!(!other.check(Signer::Node(NodeId(9)), b"said", &tag));
        assert!(!other.check(Signer::Node(NodeId(2)), b"sad", &tag));
        assert!(!other.check(Signer::Node(NodeId(2)), b"said", &Tag::none()));
        let client = KeyRing::derive(1, "client", 0).public().client_id();
        let tag = ring("client", 0).sign(b"ask");
        assert!(other.check(Signer::Client(client), b"ask", &tag));
        assert!(!other.check(Signer::Client(ClientId(1)), b"ask", &tag));
    }

    #[test]
    fn keys_survive_their_files_and_garbage_is_refused() {
        let key = KeyRing::derive(7, "node", 0);
        assert_eq!(SecretKey::from_hex(&key.to_hex()).unwrap().public(), key.public());
        assert_eq!(PublicKey::from_hex(&key.public().to_hex()), Ok(key.public()));
        assert!(SecretKey::from_hex("zz").is_err());
        assert!(PublicKey::from_hex(&"é".repeat(32)).is_err());
        assert_eq!(format!("{key:?}"), "SecretKey", "a secret is not printed");
    }
}
