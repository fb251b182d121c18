//! How long healed quorums took to answer fresh clients, and the seeds that took longest.

use std::time::Duration;
use synod_sim::Report;

/// The slowest that are named, each with its seed.
const NAMED: usize = 3;

/// The times of some runs.
#[derive(Clone, Debug, Default)]
pub(super) struct Recoveries {
    /// Until something new was decided.
    decided: Vec<Duration>,
    /// Until each fresh client had its first answer.
    first: Vec<Duration>,
    /// Until all had all their answers, and in which run.
    all: Vec<(Duration, u64)>,
}

impl Recoveries {
    /// Adds a run, if it got so far.
    pub(super) fn add(&mut self, report: &Report) {
        self.decided.extend(report.decided);
        self.first.extend(report.first_answers);
        self.all.extend(report.recovery.map(|took| (took, report.seed)));
    }

    /// The time until a new decision that so many in a hundred runs did not exceed.
    pub(super) fn decided_within(&self, percent: usize) -> Duration {
        share(self.decided.clone(), percent)
    }

    /// The time until all answers that so many in a hundred runs did not exceed.
    pub(super) fn within(&self, percent: usize) -> Duration {
        share(self.all.iter().map(|(took, _)| *took).collect(), percent)
    }

    /// A few lines for a reader; none, where no run came so far.
    pub(super) fn text(&self) -> Option<String> {
        let mut slowest = self.all.clone();
        slowest.sort_unstable_by(|one, other| other.cmp(one));
        slowest.truncate(NAMED);
        slowest.first()?;
        let seeds: Vec<String> = slowest.iter().map(|(_, seed)| seed.to_string()).collect();
        let decided = [50, 99, 100].map(|percent| self.decided_within(percent).as_millis());
        let first = [50, 99, 100].map(|percent| share(self.first.clone(), percent).as_millis());
        let all = [50, 99, 100].map(|percent| self.within(percent).as_millis());
        Some(format!(
            "  a healed quorum decided something new within {} ms (half of the runs), {} ms (99 of \
             100), {} ms (all);\n    each of 3 fresh clients, who ask around first, had its first \
             answer within {} ms, {} ms, {} ms,\n    and all answers within {} ms, {} ms, {} ms; \
             slowest: seed {}",
            decided[0],
            decided[1],
            decided[2],
            first[0],
            first[1],
            first[2],
            all[0],
            all[1],
            all[2],
            seeds.join(", "),
        ))
    }
}

fn share(mut times: Vec<Duration>, percent: usize) -> Duration {
    times.sort_unstable();
    let nth = (times.len() * percent).div_ceil(100);
    nth.checked_sub(1).map_or(Duration::ZERO, |place| times[place])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_and_the_slowest_are_those_of_the_runs() {
        let mut times = Recoveries::default();
        assert_eq!((times.within(99), times.text()), (Duration::ZERO, None));
        for seed in 1..=200 {
            times.all.push((Duration::from_millis(seed * 10), seed));
            times.first.push(Duration::from_millis(seed));
            times.decided.push(Duration::from_millis(seed / 10));
        }
        assert_eq!([50, 99, 100].map(|share| times.within(share).as_millis()), [1000, 1980, 2000]);
        let text = times.text().expect("there are some");
        assert!(text.contains("19 ms (99 of 100), 20 ms (all)"), "{text}");
        assert!(text.contains("100 ms, 198 ms, 200 ms"), "{text}");
        assert!(text.ends_with("1000 ms, 1980 ms, 2000 ms; slowest: seed 200, 199, 198"), "{text}");
    }
}
