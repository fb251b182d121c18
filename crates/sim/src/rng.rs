//! Chance: one seeded generator, so that a seed is a world.

use core::time::Duration;

/// xoshiro256++ (Blackman, Vigna 2019), seeded by splitmix64. Small, fast, the same everywhere;
/// no use for secrets.
#[derive(Clone, Debug)]
pub struct Rng {
    state: [u64; 4],
}

/// What a chance is counted in: `chance(100)` comes true once in a hundred times.
pub const CERTAIN: u32 = 10_000;

fn splitmix(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut word = *seed;
    word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    word ^ (word >> 31)
}

impl Rng {
    /// The generator of this seed.
    pub fn new(mut seed: u64) -> Self {
        Self { state: std::array::from_fn(|_| splitmix(&mut seed)) }
    }

    /// Another generator, for another purpose under the same seed.
    pub fn for_purpose(seed: u64, purpose: u64) -> Self {
        Self::new(seed ^ purpose.wrapping_mul(0xd6e8_feb8_6659_fd93))
    }

    /// 64 random bits.
    pub fn next_u64(&mut self) -> u64 {
        let [a, b, c, d] = self.state;
        let result = a.wrapping_add(d).rotate_left(23).wrapping_add(a);
        let (c, d) = (c ^ a, d ^ b);
        self.state = [a ^ d, b ^ c, c ^ (b << 17), d.rotate_left(45)];
        result
    }

    /// A number below `bound`.
    ///
    /// # Panics
    /// If `bound` is 0.
    pub fn below(&mut self, bound: u64) -> u64 {
        assert!(bound > 0, "there is no number below 0");
        ((u128::from(self.next_u64()) * u128::from(bound)) >> 64) as u64
    }

    /// A place in an array of this length.
    ///
    /// # Panics
    /// If the length is 0.
    pub fn place(&mut self, length: usize) -> usize {
        self.below(length as u64) as usize
    }

    /// A number from `low ..= high`.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        assert!(low <= high, "a range has a lower and an upper end");
        match (high - low).checked_add(1) {
            Some(width) => low + self.below(width),
            None => self.next_u64(),
        }
    }

    /// A time from `low ..= high`.
    pub fn time(&mut self, low: Duration, high: Duration) -> Duration {
        Duration::from_nanos(self.between(low.as_nanos() as u64, high.as_nanos() as u64))
    }

    /// True so many times in [`CERTAIN`]. Draws nothing where the answer is sure.
    pub fn chance(&mut self, of: u32) -> bool {
        match of {
            0 => false,
            of if of >= CERTAIN => true,
            of => self.below(u64::from(CERTAIN)) < u64::from(of),
        }
    }

    /// One of these.
    ///
    /// # Panics
    /// If there are none.
    pub fn pick<T: Copy>(&mut self, from: &[T]) -> T {
        from[self.place(from.len())]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_seeds_give_equal_numbers_and_ranges_hold() {
        let (mut one, mut two) = (Rng::new(7), Rng::new(7));
        for _ in 0..1000 {
            assert_eq!(one.next_u64(), two.next_u64());
            let drawn = one.between(3, 9);
            assert!((3..=9).contains(&drawn));
            two.between(3, 9);
        }
        assert_ne!(Rng::new(1).next_u64(), Rng::new(2).next_u64());
    }

    #[test]
    fn a_chance_comes_true_about_as_often_as_it_says() {
        let mut rng = Rng::new(1);
        let hits = (0..100_000).filter(|_| rng.chance(2_500)).count();
        assert!((24_000..26_000).contains(&hits), "{hits} of 100,000 at a quarter");
        assert!(!rng.chance(0) && rng.chance(CERTAIN));
    }
}
