//! The clock of a node, which leases trust.

use consensus_core::mutant::planted;
use core::time::Duration;
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;
use tokio::time::Instant;

/// By so much the wall clock must get ahead at once before it is believed. It is set by people and
/// by programs, which mostly take small steps.
const STEP: Duration = Duration::from_millis(50);

/// Time since the node started. It never runs backwards, and it does not stand still while the
/// machine is suspended, as the system's monotonic clock may do: a leader that wakes up would go
/// on to trust its lease, when others have long elected another. The wall clock shows that. Who
/// sets it ahead ends a lease early, which costs a round of messages.
#[derive(Debug)]
pub(crate) struct Clock(Mutex<Reading>);

#[derive(Debug)]
struct Reading {
    monotonic: Instant,
    wall: SystemTime,
    shown: Duration,
}

impl Clock {
    /// Shows zero.
    pub(crate) fn start() -> Self {
        Self::started(Instant::now(), SystemTime::now())
    }

    fn started(monotonic: Instant, wall: SystemTime) -> Self {
        Self(Mutex::new(Reading { monotonic, wall, shown: Duration::ZERO }))
    }

    /// What it shows.
    pub(crate) fn now(&self) -> Duration {
        self.read(Instant::now(), SystemTime::now())
    }

    fn read(&self, monotonic: Instant, wall: SystemTime) -> Duration {
        let mut last = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let passed = monotonic.saturating_duration_since(last.monotonic);
        let by_wall = wall.duration_since(last.wall).unwrap_or_default();
        let slept = by_wall > passed + STEP && !planted("N45");
        last.shown += if slept { by_wall } else { passed };
        last.monotonic = monotonic.max(last.monotonic);
        last.wall = wall;
        last.shown
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Raft thesis §6.4.1: a lease trusts that no clock stands still.
    #[test]
    pub(crate) fn a_machine_that_slept_knows_it() {
        let ms = Duration::from_millis;
        let (start, wall) = (Instant::now(), SystemTime::now());
        let clock = Clock::started(start, wall);
        assert_eq!(clock.read(start + ms(10), wall + ms(10)), ms(10));
        assert_eq!(clock.read(start + ms(20), wall + ms(60)), ms(20), "a small step");
        assert_eq!(
            clock.read(start + ms(30), wall + ms(9_060)),
            ms(9_020),
            "nine seconds of sleep"
        );
        assert_eq!(clock.read(start + ms(40), wall), ms(9_030), "set back, and nothing of it");
        assert_eq!(clock.read(start + ms(35), wall), ms(9_030), "never backwards");
        assert_eq!(clock.read(start + ms(50), wall + ms(10)), ms(9_040));
    }
}
