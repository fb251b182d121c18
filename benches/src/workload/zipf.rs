//! The request distribution of YCSB: zipfian, scrambled.
//!
//! Gray, Sundaresan, Englert, Baclawski, Weinberger, "Quickly Generating Billion-Record Synthetic
//! Databases" (SIGMOD 1994, §3.2) draw a zipfian rank with one uniform number and one power. YCSB
//! (Cooper et al., SoCC 2010, §5.3) draws the rank among ten billion, hashes it and takes the
//! remainder, so that the popular records are spread over the key space and which ones they are
//! does not depend on how many there are.

use super::random::Random;

/// YCSB's exponent.
const THETA: f64 = 0.99;
/// Among how many ranks YCSB draws before it scrambles.
const RANKS: f64 = 10_000_000_000.0;
/// `zeta(RANKS, THETA)`, the constant that YCSB ships: the sum is too long to compute at each
/// start.
const ZETA_RANKS: f64 = 26.469_028_201_783_02;

/// Draws record numbers, a few of them very often.
#[derive(Clone, Debug)]
pub(crate) struct ScrambledZipfian {
    records: u64,
    zipfian: Zipfian,
}

impl ScrambledZipfian {
    pub(crate) fn new(records: u64) -> Self {
        assert!(records > 0, "there must be a record to draw");
        Self { records, zipfian: Zipfian::new(RANKS, ZETA_RANKS) }
    }

    /// A record number in `0 .. records`.
    pub(crate) fn draw(&self, random: &mut Random) -> u64 {
        scramble(self.zipfian.rank(random.unit())) % self.records
    }
}

/// The constants of Gray et al. for a number of ranks.
#[derive(Clone, Debug)]
struct Zipfian {
    ranks: f64,
    zeta: f64,
    eta: f64,
}

impl Zipfian {
    fn new(ranks: f64, zeta: f64) -> Self {
        let zeta_2 = 1.0 + 0.5f64.powf(THETA);
        let eta = (1.0 - (2.0 / ranks).powf(1.0 - THETA)) / (1.0 - zeta_2 / zeta);
        Self { ranks, zeta, eta }
    }

    /// The rank, from 0, that this uniform number falls on.
    fn rank(&self, unit: f64) -> u64 {
        let scaled = unit * self.zeta;
        if scaled < 1.0 {
            return 0;
        }
        if scaled < 1.0 + 0.5f64.powf(THETA) {
            return 1;
        }
        let power = 1.0 / (1.0 - THETA);
        let rank = self.ranks * (self.eta * unit - self.eta + 1.0).powf(power);
        (rank as u64).min(self.ranks as u64 - 1)
    }
}

/// FNV-1a over the eight bytes of a number, without its sign, as YCSB hashes record numbers.
pub(crate) fn scramble(number: u64) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for octet in number.to_le_bytes() {
        hash = (hash ^ u64::from(octet)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    (hash as i64).unsigned_abs()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn zeta(ranks: u64) -> f64 {
        (1..=ranks).map(|rank| 1.0 / (rank as f64).powf(THETA)).sum()
    }

    /// The second computation: the share of each of the first ranks is 1/(rank^θ · zeta).
    #[test]
    fn low_ranks_come_as_often_as_the_law_says() {
        let zipfian = Zipfian::new(1000.0, zeta(1000));
        let mut random = Random::new(1);
        let draws = 200_000;
        let mut seen = vec![0u32; 1000];
        for _ in 0..draws {
            seen[zipfian.rank(random.unit()) as usize] += 1;
        }
        for (rank, count) in seen.iter().enumerate().take(2) {
            let law = f64::from(draws) / (rank as f64 + 1.0).powf(THETA) / zeta(1000);
            let measured = f64::from(*count);
            assert!((measured / law - 1.0).abs() < 0.05, "rank {rank}: {measured} against {law}");
        }
        let head: u32 = seen[..100].iter().sum();
        let law = zeta(100) / zeta(1000);
        assert!((f64::from(head) / f64::from(draws) - law).abs() < 0.03, "the head has {head}");
    }

    /// The shipped constant is the integral's value to within its error: zeta(n) − zeta(m) is close
    /// to the integral of x^−θ from m to n.
    #[test]
    fn the_constant_is_the_sum_it_stands_for() {
        let m = 1_000_000u64;
        let tail = (RANKS.powf(1.0 - THETA) - (m as f64).powf(1.0 - THETA)) / (1.0 - THETA);
        assert!((zeta(m) + tail - ZETA_RANKS).abs() < 1e-3);
    }

    #[test]
    fn popular_records_are_scattered_and_all_in_range() {
        let generator = ScrambledZipfian::new(1000);
        let mut random = Random::new(3);
        let mut seen = vec![0u32; 1000];
        for _ in 0..50_000 {
            seen[generator.draw(&mut random) as usize] += 1;
        }
        let top = (0..1000).max_by_key(|record| seen[*record]).expect("a thousand records");
        assert_eq!(top as u64, scramble(0) % 1000, "rank 0 is the most popular record");
        assert!(seen[top] > 1500, "it takes about 1/26 of the draws: {}", seen[top]);
        assert!(seen.iter().filter(|count| **count > 0).count() > 900, "and nobody is left out");
    }
}
