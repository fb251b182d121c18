//! A fast hash that is the same on every machine and in every build. For traces and oracles, not
//! for secrets: PBFT's digests are cryptographic and live in its crate.

use std::hash::{Hash, Hasher};

/// 64 bits that stand for a value in traces and oracles.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug)]
pub struct Fingerprint(pub u64);

impl Fingerprint {
    /// Of any hashable value.
    pub fn of<T: Hash + ?Sized>(value: &T) -> Self {
        let mut hasher = StableHasher::default();
        value.hash(&mut hasher);
        Self(hasher.finish())
    }

    /// Of a chain: this value after everything that `self` stands for.
    #[must_use]
    pub fn then<T: Hash + ?Sized>(self, value: &T) -> Self {
        let mut hasher = StableHasher::seeded(self.0);
        value.hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// A [`Hasher`] without a random key: multiply, fold, finish with an avalanche.
#[derive(Clone, Debug)]
pub struct StableHasher {
    state: u64,
}

const SPREAD: u64 = 0x9e37_79b9_7f4a_7c15;

impl StableHasher {
    /// A hasher whose results differ from those under any other seed.
    pub fn seeded(seed: u64) -> Self {
        Self { state: seed ^ SPREAD }
    }

    fn mix(&mut self, word: u64) {
        let wide = u128::from(self.state ^ word) * u128::from(SPREAD | 1);
        self.state = ((wide >> 64) as u64) ^ (wide as u64).rotate_left(23) ^ word;
    }
}

impl Default for StableHasher {
    fn default() -> Self {
        Self::seeded(0)
    }
}

impl Hasher for StableHasher {
    fn write(&mut self, bytes: &[u8]) {
        let mut chunks = bytes.chunks_exact(8);
        for chunk in &mut chunks {
            self.mix(u64::from_le_bytes(chunk.try_into().expect("a chunk has 8 bytes")));
        }
        let rest = chunks.remainder();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        self.mix(u64::from_le_bytes(last) ^ ((bytes.len() as u64) << 56));
    }

    fn write_u8(&mut self, value: u8) {
        self.mix(u64::from(value));
    }

    fn write_u32(&mut self, value: u32) {
        self.mix(u64::from(value));
    }

    fn write_u64(&mut self, value: u64) {
        self.mix(value);
    }

    fn write_i128(&mut self, value: i128) {
        self.mix((value >> 64) as u64);
        self.mix(value as u64);
    }

    fn write_usize(&mut self, value: usize) {
        self.mix(value as u64);
    }

    fn finish(&self) -> u64 {
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_value_has_the_same_fingerprint_in_every_build() {
        assert_eq!(Fingerprint::of("synod"), Fingerprint::of(&String::from("synod")));
        assert_ne!(Fingerprint::of(&[1u8, 2]), Fingerprint::of(&[2u8, 1]));
        assert_ne!(Fingerprint::of(&b"ab\0"[..]), Fingerprint::of(&b"ab"[..]));
    }

    #[test]
    fn a_chain_depends_on_the_order() {
        let start = Fingerprint::default();
        assert_ne!(start.then(&1u64).then(&2u64), start.then(&2u64).then(&1u64));
    }
}
