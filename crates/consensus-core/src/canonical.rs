//! The one encoding of everything that is digested or signed. MessagePack is for frames only: it
//! has more than one way to write a number, and a digest may not.

use crate::id::ClusterId;

/// Collects the fields of one signed or digested statement, in order, lengths included, so that
/// no two statements share their bytes.
///
/// Every statement starts with the cluster and a domain (the kind of statement: "pbft prepare"),
/// so that a tag of one cluster or phase is worth nothing in another.
#[derive(Clone, Debug)]
pub struct Canonical {
    bytes: Vec<u8>,
}

impl Canonical {
    /// Opens a statement of this kind in this cluster.
    pub fn new(cluster: ClusterId, domain: &str) -> Self {
        let statement = Self { bytes: Vec::with_capacity(96) };
        statement.fixed(&cluster.0.to_le_bytes()).bytes(domain.as_bytes())
    }

    /// A number.
    #[must_use]
    pub fn number(self, value: u64) -> Self {
        self.fixed(&value.to_le_bytes())
    }

    /// A byte string of any length.
    #[must_use]
    pub fn bytes(self, value: &[u8]) -> Self {
        self.number(value.len() as u64).fixed(value)
    }

    /// The finished statement.
    pub fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn fixed(mut self, value: &[u8]) -> Self {
        self.bytes.extend_from_slice(value);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cluster_domain_and_field_borders_all_count() {
        let one = |cluster, domain, a: &[u8], b: &[u8]| {
            Canonical::new(ClusterId(cluster), domain).bytes(a).bytes(b).finish()
        };
        let base = one(1, "prepare", b"ab", b"c");
        assert_ne!(base, one(2, "prepare", b"ab", b"c"));
        assert_ne!(base, one(1, "commit", b"ab", b"c"));
        assert_ne!(base, one(1, "prepare", b"a", b"bc"));
    }
}
