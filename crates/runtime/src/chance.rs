//! Chance for the driver: timer spreads, back-off, salts. Protocols have none of their own.

use consensus_core::Delay;
use core::time::Duration;
use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};

/// A small generator (SplitMix64). Not for secrets.
#[derive(Clone, Debug)]
pub(crate) struct Chance {
    state: u64,
}

impl Chance {
    /// Seeded by the operating system, through the keys that the standard library draws for maps.
    pub(crate) fn from_system() -> Self {
        Self { state: RandomState::new().build_hasher().finish() }
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.state;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        word ^ (word >> 31)
    }

    /// A time from this range.
    pub(crate) fn draw(&mut self, delay: Delay) -> Duration {
        let spread = delay.max.saturating_sub(delay.min).as_nanos();
        let spread = u64::try_from(spread).unwrap_or(u64::MAX);
        let part = (u128::from(self.next()) * (u128::from(spread) + 1)) >> 64;
        delay.min.saturating_add(Duration::from_nanos(part as u64))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The contract: the driver draws uniformly from `min ..= max`.
    #[test]
    fn what_is_drawn_lies_in_the_range_and_spreads_over_it() {
        let mut chance = Chance::from_system();
        let delay = Delay { min: Duration::from_millis(300), max: Duration::from_millis(600) };
        let drawn: Vec<_> = (0..1000).map(|_| chance.draw(delay)).collect();
        assert!(drawn.iter().all(|d| (delay.min..=delay.max).contains(d)));
        assert!(drawn.iter().any(|d| *d < Duration::from_millis(350)));
        assert!(drawn.iter().any(|d| *d > Duration::from_millis(550)));
        for fixed in [Duration::from_millis(5), Duration::MAX] {
            assert_eq!(chance.draw(Delay::fixed(fixed)), fixed);
        }
        let for_ever = Delay { min: Duration::ZERO, max: Duration::MAX };
        assert!(chance.draw(for_ever) > Duration::from_secs(1));
    }
}
