//! CPU time of a thread. The standard library has none; Linux tells it under `/proc`. Elsewhere it
//! is wall time, and whoever prints it says so.

use std::time::{Duration, Instant};

/// Runs from its making on.
#[derive(Debug)]
pub(crate) struct ThreadClock {
    begun: Option<Duration>,
    wall: Instant,
}

impl ThreadClock {
    /// Starts for the thread that calls.
    pub(crate) fn start() -> Self {
        Self { begun: on_cpu(), wall: Instant::now() }
    }

    /// What this thread used since; ask in the thread that started it.
    pub(crate) fn elapsed(&self) -> Duration {
        match (self.begun, on_cpu()) {
            (Some(begun), Some(now)) => now.saturating_sub(begun),
            _ => self.wall.elapsed(),
        }
    }
}

/// What is measured: "CPU", or "wall" where the system does not tell.
pub(crate) fn kind() -> &'static str {
    if on_cpu().is_some() { "CPU" } else { "wall" }
}

/// The first number of `schedstat` is the time on a CPU, in nanoseconds (Linux,
/// Documentation/scheduler/sched-stats.rst). The kernel brings it up to date when the thread
/// yields, else only at its next tick, which is some milliseconds off.
fn on_cpu() -> Option<Duration> {
    std::thread::yield_now();
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    let nanoseconds = text.split_whitespace().next()?.parse().ok()?;
    Some(Duration::from_nanos(nanoseconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Another thread's work does not count here.
    #[test]
    fn time_does_not_run_backwards_and_is_of_one_thread() {
        let clock = ThreadClock::start();
        let before = clock.elapsed();
        std::thread::spawn(|| (0..1_000_u64).map(std::hint::black_box).sum::<u64>())
            .join()
            .expect("the thread ends");
        assert!(clock.elapsed() >= before);
        assert!(["CPU", "wall"].contains(&kind()));
    }
}
