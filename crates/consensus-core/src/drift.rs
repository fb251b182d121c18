//! How wrong clocks may be where leases trust them.

use crate::mutant::planted;
use core::time::Duration;

/// How wrong clocks may run, as leases must know it: a promise of whoever operates the replicas.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Drift {
    /// In a true second no clock gains or loses more than so many microseconds.
    pub parts_per_million: u32,
}

impl Drift {
    /// One percent: a hundred times what quartz does, for virtual machines that are moved about.
    pub const GENEROUS: Self = Self { parts_per_million: 10_000 };

    /// How long a leader's lease lasts by its own clock, if followers promise to wait for
    /// `promised` by theirs (Raft thesis §6.4.1): both may be wrong, in opposite directions. The
    /// slow one shows 1 - d in a true second: that is less than 1 / (1 + d).
    #[must_use]
    pub fn lease(self, promised: Duration) -> Duration {
        const MILLION: u128 = 1_000_000;
        let drift = u128::from(self.parts_per_million);
        let (slow, fast) = (MILLION.saturating_sub(drift), MILLION + drift);
        let slow = if planted("S-drift") { MILLION * MILLION / fast } else { slow };
        let lease = promised.as_nanos() * slow / fast;
        Duration::from_nanos(u64::try_from(lease).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Thesis §6.4.1: the lease ends before any follower's promise can have ended.
    #[test]
    fn a_lease_is_shorter_than_the_promise_by_the_drift_of_both_clocks() {
        let promised = Duration::from_millis(300);
        assert_eq!(Drift { parts_per_million: 0 }.lease(promised), promised);
        for parts_per_million in [100, 10_000, 100_000] {
            let lease = Drift { parts_per_million }.lease(promised).as_secs_f64();
            let wrong = f64::from(parts_per_million) / 1e6;
            // The leader's clock loses, the follower's gains.
            let real_lease = lease / (1.0 - wrong);
            let real_promise = promised.as_secs_f64() / (1.0 + wrong);
            assert!(real_lease <= real_promise && real_lease > real_promise * 0.999);
        }
        assert_eq!(Drift { parts_per_million: 2_000_000 }.lease(promised), Duration::ZERO);
    }
}
