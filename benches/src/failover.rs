//! `compare failover`: the time without service after the serving replica is killed, as a
//! distribution over many kills.

use crate::comparison::{Comparison, Section};
use crate::cost::{fault_word, note, possible};
use crate::options::{CompareError, FailoverOptions};
use crate::plots;
use crate::samples::Samples;
use crate::simulated::failover::{Kill, PATIENCE, SESSIONS, TIMING, measure, operations};
use crate::simulated::latency;
use crate::table::{Cell, Column, Table};
use crate::workload::{Workload, WorkloadSpec};
use serde_json::{Value, json};
use std::time::Duration;
use synod_algorithms::Algorithm;

const COLUMNS: [Column; 12] = [
    Column::new("algorithm", ["algo", ""], ""),
    Column::new("n", ["n", ""], "replicas before the kill"),
    Column::new("f", ["f", ""], ""),
    Column::new("fault_model", ["faults", ""], ""),
    Column::new("kills", ["kills", ""], "worlds, each with its own seed and its own moment"),
    Column::new("min_ms", ["min", "ms"], "shortest time without an acknowledged write"),
    Column::new("p50_ms", ["p50", "ms"], ""),
    Column::new("p90_ms", ["p90", "ms"], ""),
    Column::new("p99_ms", ["p99", "ms"], ""),
    Column::new("max_ms", ["max", "ms"], "longest"),
    Column::new("mean_ms", ["mean", "ms"], "of all kills"),
    Column::new(
        "theory_ms",
        ["noticed,", "theory ms"],
        "mean time until somebody acts, as noted; the rest comes after it",
    ),
];

/// Measures how long each algorithm serves nobody after a kill.
///
/// # Errors
/// If the options make no sense, or a cluster does not recover at all.
pub fn failover(
    options: &FailoverOptions,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<Comparison, CompareError> {
    check(options)?;
    let workload =
        Workload::record(&WorkloadSpec::default(), operations(options.rate), options.seed)?;
    let (mut table, mut notes, mut raw) = (Table::new(&COLUMNS), Vec::new(), Vec::new());
    let mut rows = Vec::new();
    let total = options.algorithms.len() as u64 * options.seeds;
    for (row, &algorithm) in options.algorithms.iter().enumerate() {
        let nodes = options.size.nodes(&algorithm.info());
        if !possible(algorithm, nodes) || algorithm.info().max_faults(nodes) == 0 {
            notes.push(format!("{algorithm} with n = {nodes} survives no kill: left out"));
            continue;
        }
        let mut kills = Vec::new();
        for seed in 0..options.seeds {
            progress(algorithm.name(), row as u64 * options.seeds + seed, total);
            kills.push(measure(algorithm, nodes, options.seed + seed, options.rate, &workload)?);
        }
        let samples = Samples::of(kills.iter().map(|kill| kill.unavailable));
        table.push(self::row(algorithm, nodes, &samples, options.rate));
        notes.extend(note(algorithm, nodes));
        notes.push(expectation(algorithm));
        raw.push(raw_kills(algorithm, &kills));
        rows.push((algorithm, samples));
    }
    progress("failover", total, total);
    let lines: Vec<_> = rows.iter().map(|(of, samples)| (*of, samples.sorted())).collect();
    let title = format!("Time without service after a kill, {} kills", options.seeds);
    let axes = ["time without service, ms", "share of kills"];
    let chart = plots::distribution("failover", title, axes, &lines);
    let section = Section {
        key: "failover",
        title: "Time without service after the serving replica is killed, simulated".into(),
        about: conditions(options),
        table,
        notes,
    };
    Ok(Comparison {
        title: "Failover compared".into(),
        heading: vec![format!("sizes: {}", options.size)],
        sections: vec![section],
        charts: vec![chart],
        options: json!({
            "size": options.size.to_string(),
            "seeds": options.seeds,
            "seed": options.seed,
            "rate": options.rate,
        }),
        raw: json!({ "failover": raw }),
        faults: Vec::new(),
    })
}

fn check(options: &FailoverOptions) -> Result<(), CompareError> {
    let wrong = |what: &str| Err(CompareError::Options(what.to_owned()));
    if options.algorithms.is_empty() || options.seeds == 0 {
        return wrong("name at least one algorithm and one seed");
    }
    if !(1.0..=2000.0).contains(&options.rate) {
        return wrong("the load must be 1 to 2000 writes a second");
    }
    Ok(())
}

/// What holds for all rows.
fn conditions(options: &FailoverOptions) -> Vec<String> {
    vec![
        latency::conditions(),
        format!(
            "heartbeat {:?}, election and view-change timers {:?} to {:?}, for every algorithm",
            TIMING.heartbeat, TIMING.election_min, TIMING.election_max
        ),
        format!(
            "{SESSIONS} clients at node 0, {} writes a second in all, open load; a client waits \
             {:?} for an answer before it asks the next replica, {:?} after a refusal",
            options.rate, PATIENCE.attempt, PATIENCE.pause
        ),
        "killed at a random moment: the leader, PBFT's primary, and for Paxos, which has no \
         leader, the replica that the clients use"
            .into(),
    ]
}

fn row(algorithm: Algorithm, nodes: usize, samples: &Samples, rate: f64) -> Vec<Cell> {
    let info = algorithm.info();
    let millis = |time: Duration| Cell::decimals(time.as_secs_f64() * 1000.0, 0);
    let share = |share| millis(samples.percentile(share));
    vec![
        Cell::text(info.name),
        Cell::number(nodes as f64),
        Cell::number(info.max_faults(nodes) as f64),
        Cell::text(fault_word(info.faults)),
        Cell::number(samples.len() as f64),
        share(0.0),
        share(0.5),
        share(0.9),
        share(0.99),
        share(1.0),
        millis(samples.mean()),
        noticed(algorithm, nodes, rate).map_or(Cell::Nothing, millis),
    ]
}

/// When somebody acts on the crash, on average. Timeouts are uniform in [T, T + W],
/// and the earliest of the n − 1 that are left has the mean T + W/n; some of it has passed already
/// since the last sign of the leader, half the distance of two signs on average.
fn noticed(algorithm: Algorithm, nodes: usize, rate: f64) -> Option<Duration> {
    match algorithm {
        Algorithm::MultiPaxos | Algorithm::Raft => {
            let spread = TIMING.election_max - TIMING.election_min;
            let sign = TIMING.heartbeat.min(Duration::from_secs_f64(1.0 / rate));
            Some(TIMING.election_min + spread / nodes as u32 - sign / 2)
        }
        Algorithm::Paxos => Some(PATIENCE.attempt),
        Algorithm::Pbft => None,
    }
}

/// What theory says about the mean, in words.
fn expectation(algorithm: Algorithm) -> String {
    let attempt = PATIENCE.attempt;
    match algorithm {
        Algorithm::MultiPaxos | Algorithm::Raft => format!(
            "{algorithm}: noticed after T + W/n - i/2 (timeouts uniform in [T, T + W], a sign of \
             the leader every i); then come the election and the clients' next attempt"
        ),
        Algorithm::Paxos => format!(
            "{algorithm}: no leader to replace; clients go to another replica after {attempt:?}"
        ),
        Algorithm::Pbft => format!(
            "{algorithm}: clients ask all replicas after {attempt:?}, and only then do the \
             backups' timers start; no closed form"
        ),
    }
}

fn raw_kills(algorithm: Algorithm, kills: &[Kill]) -> Value {
    let kill = |kill: &Kill| {
        json!({
            "seed": kill.seed,
            "at_us": kill.at.as_micros() as u64,
            "node": kill.node.0,
            "unavailable_us": kill.unavailable.as_micros() as u64,
        })
    };
    json!({ "algorithm": algorithm.name(), "kills": kills.iter().map(kill).collect::<Vec<_>>() })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second computation: the mean of the earliest of n − 1 uniform timeouts, by counting.
    #[test]
    fn the_mean_of_the_earliest_timeout_is_what_the_formula_says() {
        let mut random = crate::workload::Random::new(1);
        let (low, high) = (TIMING.election_min.as_secs_f64(), TIMING.election_max.as_secs_f64());
        for nodes in [3, 5, 9] {
            let draws = 20_000;
            let mut earliest =
                || (1..nodes).map(|_| low + (high - low) * random.unit()).fold(high, f64::min);
            let mean: f64 = (0..draws).map(|_| earliest()).sum::<f64>() / f64::from(draws);
            let formula = noticed(Algorithm::Raft, nodes, 1e9).expect("a formula").as_secs_f64();
            assert!((mean - formula).abs() < 0.003, "n = {nodes}: {mean} against {formula}");
        }
    }
}
