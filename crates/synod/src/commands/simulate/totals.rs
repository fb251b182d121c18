//! What the seeds of one algorithm add up to, in a form that a file can keep.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::time::Duration;
use synod_sim::Report;

/// Failing seeds that are kept with what was found; of the rest only the count.
const KEPT: usize = 100;
/// Recovery times are counted in steps of this.
const STEP: Duration = Duration::from_millis(50);

/// Sums over seeds. None depends on the order in which the seeds were added.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Totals {
    pub(super) seeds: u64,
    events: u64,
    simulated_ns: u64,
    operations: u64,
    unknown: u64,
    refused: u64,
    leader_changes: u64,
    faults: BTreeMap<String, u64>,
    marks: BTreeMap<String, u64>,
    /// How often a healed quorum took so many [`STEP`]s to answer its first clients.
    recoveries: BTreeMap<u64, u64>,
    /// The sum of what stands for each run, so that it is the same in any order.
    hash: u64,
    /// Time that the runs took, without those of the second look.
    cpu_ns: u64,
    pub(super) rechecked: u64,
    pub(super) differing: Vec<u64>,
    pub(super) failures: BTreeMap<u64, String>,
    failed: u64,
}

fn nanoseconds(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

impl Totals {
    /// Adds a run, and what became of its second run if it had one.
    pub(super) fn add(&mut self, report: Report, cpu: Duration, again: Option<bool>) {
        self.seeds += 1;
        self.events += report.events;
        self.simulated_ns += nanoseconds(report.simulated);
        self.operations += report.operations;
        self.unknown += report.unknown;
        self.refused += report.refused;
        self.leader_changes += report.leader_changes;
        for (sum, counts) in [(&mut self.faults, &report.faults), (&mut self.marks, &report.marks)]
        {
            for (name, count) in counts {
                *sum.entry((*name).to_owned()).or_default() += count;
            }
        }
        if let Some(recovery) = report.recovery {
            let steps = recovery.as_nanos().div_ceil(STEP.as_nanos()) as u64;
            *self.recoveries.entry(steps).or_default() += 1;
        }
        let stands_for = consensus_core::Fingerprint::of(&(report.seed, report.hash));
        self.hash = self.hash.wrapping_add(stands_for.0);
        self.cpu_ns += nanoseconds(cpu);
        if let Some(equal) = again {
            self.rechecked += 1;
            if !equal {
                self.differing.push(report.seed);
            }
        }
        if let Some(violation) = report.violation {
            self.failed += 1;
            if self.failures.len() < KEPT {
                self.failures.insert(report.seed, violation.to_string());
            }
        }
    }

    /// Those of these marks, or kinds of faults, that no run has reached.
    pub(super) fn unreached(&self, marks: &[&'static str]) -> Vec<&'static str> {
        let seen = |mark: &str| self.marks.contains_key(mark) || self.faults.contains_key(mark);
        marks.iter().copied().filter(|mark| !seen(mark)).collect()
    }

    fn cluster_hours(&self) -> f64 {
        self.simulated_ns as f64 / 3.6e12
    }

    fn cpu_seconds(&self) -> f64 {
        (self.cpu_ns as f64 / 1e9).max(1e-9)
    }

    /// Cluster-hours for a minute of CPU time.
    pub(super) fn hours_per_minute(&self) -> f64 {
        self.cluster_hours() / (self.cpu_seconds() / 60.0)
    }

    /// The recovery time that so many in a hundred did not exceed.
    fn recovery(&self, percent: u64) -> Duration {
        let all: u64 = self.recoveries.values().sum();
        let mut seen = 0;
        let within = self.recoveries.iter().find(|(_, count)| {
            seen += *count;
            seen * 100 >= all * percent
        });
        within.map_or(Duration::ZERO, |(steps, _)| STEP * *steps as u32)
    }

    /// A line for a reader who waits.
    pub(super) fn brief(&self) -> String {
        let Self { seeds, failed, .. } = self;
        format!("{seeds} seeds, {:.1} cluster-hours, {failed} failed", self.cluster_hours())
    }

    /// A few lines for the end.
    pub(super) fn text(&self, kind: &str, clock: bool) -> String {
        let percent = |percent| self.recovery(percent).as_millis();
        let hours = format!(
            "{:.2} cluster-hours simulated, {:.1} for a {kind} minute; ",
            self.cluster_hours(),
            self.hours_per_minute(),
        );
        let lines = [
            format!(
                "  {}{} events, {:.2} million for a {kind} second",
                if clock { &hours } else { "" },
                self.events,
                self.events as f64 / self.cpu_seconds() / 1e6,
            ),
            format!(
                "  {} operations checked ({} more in doubt, {} refused), {} leader changes, hash \
                 {:016x}",
                self.operations, self.unknown, self.refused, self.leader_changes, self.hash,
            ),
            format!(
                "  a healed quorum answered within {} ms (half of the runs), {} ms (99 of 100), {} \
                 ms (all)",
                percent(50),
                percent(99),
                percent(100),
            ),
            format!(
                "  {} seeds were run twice; {} differed {:?}",
                self.rechecked,
                self.differing.len(),
                self.differing
            ),
            super::listed("faults", &self.faults),
            super::listed("reached", &self.marks),
        ];
        let mut text = lines.join("\n");
        for (seed, violation) in &self.failures {
            text.push_str(&format!("\n  seed {seed}: {violation}"));
        }
        let more = self.failed - self.failures.len() as u64;
        if more > 0 {
            text.push_str(&format!("\n  and {more} more"));
        }
        text
    }

    /// The same for programs.
    pub(super) fn json(&self) -> Value {
        let mut value = serde_json::to_value(self).expect("sums can be written as JSON");
        value["hash"] = json!(format!("{:016x}", self.hash));
        value["cluster_hours"] = json!(self.cluster_hours());
        value["cluster_hours_per_cpu_minute"] = json!(self.hours_per_minute());
        value["events_per_cpu_second"] = json!(self.events as f64 / self.cpu_seconds());
        value["recovery_p99_ms"] = json!(self.recovery(99).as_millis() as u64);
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::Fingerprint;

    /// A run of which no figure is that of another seed's.
    fn report(seed: u64) -> Report {
        let recovery = (seed != 1).then(|| STEP * (seed as u32 + 1));
        Report {
            seed,
            hash: Fingerprint(1 << seed),
            violation: None,
            events: 100 + seed,
            simulated: Duration::from_secs(10 + seed),
            operations: 20 + seed,
            unknown: seed,
            refused: 2 * seed,
            leader_changes: 1 + seed,
            recovery,
            first_answers: recovery,
            decided: recovery,
            faults: BTreeMap::from([("crash", 1 + seed)]),
            marks: BTreeMap::from([("a leader is deposed", seed), ("a log is repaired", 1)]),
        }
    }

    /// Threads end in any order, and a stopped run goes on with other seeds under way.
    #[test]
    fn sums_do_not_depend_on_the_order_of_seeds() {
        let sum = |seeds: [u64; 3]| {
            let mut totals = Totals::default();
            for seed in seeds {
                totals.add(report(seed), Duration::from_secs(1), None);
            }
            totals
        };
        assert_eq!(sum([0, 1, 2]), sum([2, 0, 1]));
        assert_ne!(sum([0, 1, 2]), sum([0, 1, 3]));
    }

    #[test]
    fn what_was_not_reached_and_what_differed_is_told() {
        let mut totals = Totals::default();
        totals.add(report(0), Duration::from_secs(1), Some(true));
        assert_eq!((totals.rechecked, totals.differing.len()), (1, 0));
        totals.add(report(1), Duration::from_secs(1), Some(false));
        assert_eq!(totals.differing, [1]);
        assert_eq!(totals.unreached(&["a log is repaired", "never", "crash"]), ["never"]);
        assert_eq!((totals.seeds, totals.events, totals.faults["crash"]), (2, 201, 3));
    }

    #[test]
    fn percentiles_are_of_the_counted_recoveries() {
        let recoveries = BTreeMap::from([(2, 98), (4, 1), (40, 1)]);
        let totals = Totals { recoveries, ..Totals::default() };
        let times = [50, 99, 100].map(|percent| totals.recovery(percent).as_millis());
        assert_eq!(times, [100, 200, 2_000]);
        assert_eq!(Totals::default().recovery(99), Duration::ZERO);
    }
}
