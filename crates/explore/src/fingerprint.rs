//! 128 bits that stand for a value: two stable hashes with different seeds. Among a hundred million
//! states the odds that any two share all 128 are about 1 in 10^22, so that a state whose
//! fingerprint was seen is taken for seen.

use crate::symmetry::Names;
use consensus_core::{NodeId, NodeSet, StableHasher};
use std::hash::{BuildHasher, Hash, Hasher};

/// Feeds two hashers at once, and gives nodes other names.
struct Twice<'a> {
    low: StableHasher,
    high: StableHasher,
    names: &'a Names,
}

impl Hasher for Twice<'_> {
    fn write(&mut self, bytes: &[u8]) {
        self.low.write(bytes);
        self.high.write(bytes);
    }

    fn write_u8(&mut self, value: u8) {
        self.write_u64(u64::from(value));
    }

    /// A node: see [`NodeId`].
    fn write_i8(&mut self, value: i8) {
        let [number] = value.to_ne_bytes();
        self.write_u8(self.names.of(NodeId(number)).0);
    }

    /// A set of nodes: see [`NodeSet`].
    fn write_i128(&mut self, value: i128) {
        let nodes = NodeSet::from_bits(u128::from_ne_bytes(value.to_ne_bytes()));
        self.write_u128(self.names.of_all(nodes).bits());
    }

    fn write_u16(&mut self, value: u16) {
        self.write_u64(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.write_u64(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.low.write_u64(value);
        self.high.write_u64(value);
    }

    fn write_u128(&mut self, value: u128) {
        self.write_u64(value as u64);
        self.write_u64((value >> 64) as u64);
    }

    fn write_usize(&mut self, value: usize) {
        self.write_u64(value as u64);
    }

    fn finish(&self) -> u64 {
        self.low.finish()
    }
}

/// The fingerprint of a value.
pub(crate) fn of<T: Hash + ?Sized>(value: &T) -> u128 {
    under(&Names::OWN, value)
}

/// The fingerprint of what a value would be if the nodes had these names.
pub(crate) fn under<T: Hash + ?Sized>(names: &Names, value: &T) -> u128 {
    let (low, high) = (StableHasher::seeded(0x51ed), StableHasher::seeded(0xa11c_e5ee_d000));
    let mut both = Twice { low, high, names };
    value.hash(&mut both);
    (u128::from(both.high.finish()) << 64) | u128::from(both.low.finish())
}

/// For tables whose keys are fingerprints or numbers: little is left to hash.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct AsItIs;

/// Folds both halves of a key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Fold(u64);

impl BuildHasher for AsItIs {
    type Hasher = Fold;

    fn build_hasher(&self) -> Fold {
        Fold(0)
    }
}

impl Hasher for Fold {
    fn write(&mut self, _bytes: &[u8]) {
        unreachable!("keys are 128 bits")
    }

    fn write_u128(&mut self, value: u128) {
        const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;
        let wide = u128::from(value as u64 ^ SPREAD)
            * u128::from((value >> 64) as u64 ^ SPREAD.rotate_left(32) | 1);
        self.0 = (wide >> 64) as u64 ^ wide as u64;
    }

    fn finish(&self) -> u64 {
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Either half alone tells values apart, so that both together are 128 bits and not 64 twice.
    #[test]
    fn both_halves_tell_small_differences_apart() {
        let prints: Vec<u128> = (0u64..20_000).map(|n| of(&(n % 7, n / 7, vec![n]))).collect();
        for shift in [0, 64] {
            let halves: BTreeSet<u64> =
                prints.iter().map(|print| (print >> shift) as u64).collect();
            assert_eq!(halves.len(), prints.len());
        }
        assert!(prints.iter().all(|print| *print as u64 != (print >> 64) as u64));
    }
}
