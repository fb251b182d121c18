//! `compare assert`: the simulator must measure exactly what theory says, in every cell.

use crate::options::CompareError;
use crate::simulated::quiet::Quiet;
use crate::theory::{Cost, Theory};
use crate::workload::{Workload, WorkloadSpec};
use std::collections::BTreeMap;
use std::fmt;
use synod_algorithms::{Algorithm, Choice};

/// Sizes of clusters that are checked; those that an algorithm cannot have are left out.
pub const SIZES: [usize; 6] = [3, 4, 5, 7, 10, 13];
/// Commands in a log entry.
pub const BATCHES: [usize; 2] = [1, 16];

/// A number that is not what theory says.
#[derive(Clone, Debug, PartialEq)]
pub struct Difference {
    /// Which algorithm, with which options.
    pub choice: Choice,
    /// How many replicas.
    pub nodes: usize,
    /// Commands in a batch.
    pub batch: usize,
    /// What was counted, for one batch.
    pub what: String,
    /// The formula.
    pub formula: String,
    /// Where it comes from.
    pub source: String,
    /// What it gives.
    pub expected: f64,
    /// What was measured instead.
    pub measured: f64,
}

impl fmt::Display for Difference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} n = {} batch = {}, {} (of one batch): formula {} [{}], expected {}, measured {}",
            self.choice,
            self.nodes,
            self.batch,
            self.what,
            self.formula,
            self.source,
            self.expected,
            self.measured
        )
    }
}

/// All cells were equal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssertReport {
    /// Simulated runs.
    pub runs: usize,
    /// Numbers compared.
    pub cells: usize,
}

impl fmt::Display for AssertReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "theory and measurement agree: {} runs, {} numbers, all equal ({} for n in {SIZES:?}, \
             batches of {BATCHES:?}; and {} named options)",
            self.runs,
            self.cells,
            Algorithm::ALL.map(Algorithm::name).join(", "),
            Algorithm::ALL.map(|algorithm| algorithm.variants().len()).iter().sum::<usize>()
        )
    }
}

/// Some cell was not equal, or could not be measured.
#[derive(Debug)]
pub enum AssertFailure {
    /// The cells that differ.
    Differences(Vec<Difference>),
    /// The run that failed.
    Failed(CompareError),
}

impl fmt::Display for AssertFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Failed(error) => write!(f, "{error}"),
            Self::Differences(cells) => {
                write!(f, "{} numbers differ from theory:", cells.len())?;
                cells.iter().try_for_each(|cell| write!(f, "\n  {cell}"))
            }
        }
    }
}

impl std::error::Error for AssertFailure {}

/// Runs every algorithm at every size and batch and compares every number.
///
/// # Errors
/// If a number differs: all that do, each with its formula and source.
pub fn assert(progress: &mut dyn FnMut(&str, u64, u64)) -> Result<AssertReport, AssertFailure> {
    assert_for(&Algorithm::ALL, &SIZES, &BATCHES, progress)
}

/// The same for a choice.
///
/// # Errors
/// As [`assert()`].
pub fn assert_for(
    algorithms: &[Algorithm],
    sizes: &[usize],
    batches: &[usize],
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<AssertReport, AssertFailure> {
    let workload = Workload::record(&WorkloadSpec::default(), 64, 1)
        .map_err(|error| AssertFailure::Failed(error.into()))?;
    let mut runs = Vec::new();
    for &algorithm in algorithms {
        for &nodes in sizes.iter().filter(|nodes| crate::cost::possible(algorithm, **nodes)) {
            let mut choices = vec![Choice::from(algorithm)];
            choices.extend(Choice::variations(algorithm));
            let with = |batch: &usize| {
                choices.iter().cloned().map(move |one| (one, nodes, *batch)).collect::<Vec<_>>()
            };
            runs.extend(batches.iter().flat_map(with));
        }
    }
    let (mut cells, mut different) = (0, Vec::new());
    for (done, (choice, nodes, batch)) in runs.iter().enumerate() {
        progress("assert", done as u64, runs.len() as u64);
        let quiet = Quiet::measure(choice, *nodes, *batch, workload.operations())
            .map_err(AssertFailure::Failed)?;
        let compared = compare(&quiet);
        cells += compared.len();
        different.extend(compared.into_iter().filter(|cell| cell.expected != cell.measured));
    }
    progress("assert", runs.len() as u64, runs.len() as u64);
    if different.is_empty() {
        Ok(AssertReport { runs: runs.len(), cells })
    } else {
        Err(AssertFailure::Differences(different))
    }
}

/// The numbers of a measurement that are not what theory says.
pub(crate) fn differences(quiet: &Quiet) -> Vec<Difference> {
    let cells = compare(quiet).into_iter();
    cells.filter(|cell| cell.expected != cell.measured).collect()
}

/// Every number of a measurement beside its theory.
fn compare(quiet: &Quiet) -> Vec<Difference> {
    let theory = Theory::of(&quiet.choice, quiet.nodes);
    let batches = quiet.batches as f64;
    let cell = |what: String, cost: &Cost, times: u64, measured: f64| Difference {
        choice: quiet.choice.clone(),
        nodes: quiet.nodes,
        batch: quiet.batch,
        what,
        formula: cost.formula.to_owned(),
        source: cost.source.to_owned(),
        expected: (cost.value * times) as f64,
        measured,
    };
    let per_batch = |what: &str, cost: &Cost, count: u64| {
        cell(what.to_owned(), cost, 1, count as f64 / batches)
    };
    let mut kinds = quiet.kinds();
    let mut cells = Vec::new();
    for (kind, cost) in &theory.kinds {
        let count = kinds.remove(kind).unwrap_or(0);
        cells.push(per_batch(&format!("{kind} messages"), cost, count));
    }
    cells.extend(unforeseen(kinds, |what, count| per_batch(&what, &NONE, count)));
    let total = quiet.total();
    let (fewest, most) = quiet.delays();
    let syncs = quiet.syncs();
    let clients = total.client_tags_checked as f64 / batches;
    cells.extend([
        cell("client delays, fewest".into(), &theory.delays, 1, fewest),
        cell("client delays, most".into(), &theory.delays, 1, most),
        per_batch("messages at the busiest node", &theory.busiest, quiet.busiest()),
        per_batch("syncs at a node, fewest", &theory.least_syncs, syncs.0),
        per_batch("syncs at a node, most", &theory.syncs, syncs.1),
        per_batch("signatures made", &theory.made, total.tags_made),
        per_batch("signatures checked", &theory.checked, total.tags_checked),
        cell(
            "client signatures checked".into(),
            &theory.client_checked,
            quiet.batch as u64,
            clients,
        ),
    ]);
    cells
}

const NONE: Cost = Cost { formula: "0", source: "not part of the normal case", value: 0 };

/// Cells for kinds of messages that theory does not know.
fn unforeseen(
    kinds: BTreeMap<&'static str, u64>,
    cell: impl Fn(String, u64) -> Difference,
) -> Vec<Difference> {
    kinds.into_iter().map(|(kind, count)| cell(format!("{kind} messages"), count)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::simulated::quiet::LINK_DELAY;
    use consensus_core::{Counters, MessageKind, Traffic};

    const APPEND: MessageKind = MessageKind::new("append-entries", Traffic::Command);
    const ANSWER: MessageKind = MessageKind::new("append-reply", Traffic::Command);

    /// What three servers of Raft do for ten commands, each in an entry of its own (§5.3).
    fn normal_case() -> Quiet {
        let mut counters = vec![Counters::default(); 3];
        for follower in 1..3 {
            counters[0].on_sent(APPEND, 10, 1);
            counters[follower].on_sent(ANSWER, 10, 1);
            for _ in 0..10 {
                counters[follower].on_received(APPEND);
                counters[0].on_received(ANSWER);
            }
        }
        counters.iter_mut().for_each(|counters| counters.syncs = 10);
        let waited = (4 * LINK_DELAY, 4 * LINK_DELAY);
        let choice = Algorithm::Raft.into();
        Quiet { choice, nodes: 3, batch: 1, batches: 10, counters, waited }
    }

    /// A rig that never fails proves nothing: one message too many, of a known or an unknown kind,
    /// is named with formula, source, expected and measured.
    #[test]
    fn one_message_too_many_is_named() {
        let mut quiet = normal_case();
        assert_eq!(differences(&quiet), []);
        let batches = quiet.batches as usize;
        quiet.counters[2].on_sent(APPEND, batches, 1);
        quiet.counters[1].on_sent(MessageKind::new("gossip", Traffic::Command), 3 * batches, 1);
        let found = differences(&quiet);
        let text: String = found.iter().map(|cell| format!("{cell}\n")).collect();
        let line = "raft n = 3 batch = 1, append-entries messages (of one batch): formula n-1 \
                    [Raft §5.3], expected 2, measured 3";
        assert!(text.contains(line), "{text}");
        assert!(text.contains("gossip messages") && text.contains("expected 0, measured 3"));
    }
}
