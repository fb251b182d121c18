//! `compare duel`: what proposers that outbid each other cost, with and without back-off, beside a
//! leader that proposes for all.

use crate::comparison::{Comparison, Section};
use crate::options::{CompareError, DuelOptions};
use crate::plots::{self, DuelPoint};
use crate::simulated::duel::{self, DECISIONS, Duel, HOPELESS, Manner, Rivals};
use crate::table::{Cell, Column, Table};
use crate::workload::{Workload, WorkloadSpec};
use serde_json::json;

const COLUMNS: [Column; 8] = [
    Column::new("manner", ["algo", ""], "and what a proposer does that was outbid"),
    Column::new("proposers", ["proposers", ""], "replicas that propose, all the time"),
    Column::new(
        "rounds",
        ["ballots", "/decision"],
        "times that a proposer began with a new number, in the runs that ended",
    ),
    Column::new(
        "messages",
        ["msgs", "/decision"],
        "between replicas, with refusals and repairs, without heartbeats",
    ),
    Column::new("nacks", ["nacks", "/decision"], "refusals among them"),
    Column::new("time_ms", ["time", "ms/decision"], "virtual time"),
    Column::new("runs", ["runs", ""], "worlds, each with a seed of its own"),
    Column::new("stuck", ["no decision", ""], "runs that were given up"),
];

/// All runs of a row.
#[derive(Default)]
struct Sum {
    runs: u64,
    stuck: u64,
    /// Of the runs that ended.
    ended: Duel,
}

impl Sum {
    fn add(&mut self, duel: Duel) {
        self.runs += 1;
        if duel.stuck {
            self.stuck += 1;
            return;
        }
        self.ended.decisions += duel.decisions;
        self.ended.rounds += duel.rounds;
        self.ended.messages += duel.messages;
        self.ended.nacks += duel.nacks;
        self.ended.time += duel.time;
    }

    /// For a decision; nothing if no run ended.
    fn per_decision(&self, what: f64) -> Option<f64> {
        (self.ended.decisions > 0).then(|| what / self.ended.decisions as f64)
    }

    fn rounds(&self) -> Option<f64> {
        self.per_decision(self.ended.rounds as f64)
    }

    fn messages(&self) -> Option<f64> {
        self.per_decision(self.ended.messages as f64)
    }

    fn row(&self, manner: Manner, proposers: usize) -> Vec<Cell> {
        let cell = |value: Option<f64>, decimals| {
            value.map_or(Cell::Nothing, |value| Cell::decimals(value, decimals))
        };
        let stuck = match self.stuck {
            0 => "-".to_owned(),
            stuck => format!("in {HOPELESS} ballots: {stuck} runs"),
        };
        vec![
            Cell::text(manner.name()),
            Cell::number(proposers as f64),
            cell(self.rounds(), 2),
            cell(self.messages(), 1),
            cell(self.per_decision(self.ended.nacks as f64), 1),
            cell(self.per_decision(self.ended.time.as_secs_f64() * 1000.0), 1),
            Cell::number(self.runs as f64),
            Cell::Number(self.stuck as f64, stuck),
        ]
    }
}

/// Measures duels of one to so many proposers.
///
/// # Errors
/// If the options make no sense, or a world stands still.
pub fn duel(
    options: &DuelOptions,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<Comparison, CompareError> {
    check(options)?;
    let workload = Workload::record(&WorkloadSpec::default(), 64, options.seed)?;
    let (nodes, workload) = (options.nodes, &workload);
    let (mut table, mut raw, mut points) = (Table::new(&COLUMNS), Vec::new(), Vec::new());
    let all = (Manner::ALL.len() * options.proposers) as u64 * options.seeds;
    let mut done = 0;
    for manner in Manner::ALL {
        for proposers in 1..=options.proposers {
            let mut sum = Sum::default();
            for seed in options.seed..options.seed + options.seeds {
                progress(manner.name(), done, all);
                done += 1;
                sum.add(Rivals { manner, nodes, proposers, workload }.measure(seed)?);
            }
            table.push(sum.row(manner, proposers));
            raw.push(json!({
                "manner": manner.name(),
                "proposers": proposers,
                "runs": sum.runs,
                "stuck": sum.stuck,
                "decisions": sum.ended.decisions,
                "ballots": sum.ended.rounds,
                "messages": sum.ended.messages,
                "nacks": sum.ended.nacks,
            }));
            let (ballots, messages) = (sum.rounds(), sum.messages());
            points.push(DuelPoint { manner, proposers, ballots, messages });
        }
    }
    progress("duel", all, all);
    let section = Section {
        key: "duel",
        title: format!("Duels of proposers among {nodes} replicas, simulated"),
        about: vec![duel::conditions()],
        table,
        notes: notes(),
    };
    Ok(Comparison {
        title: "Duels: what contention costs, with and without back-off".into(),
        heading: vec![workload.describe()],
        sections: vec![section],
        charts: plots::duels(&points),
        options: json!({
            "n": nodes,
            "proposers": options.proposers,
            "seeds": options.seeds,
            "seed": options.seed,
        }),
        raw: json!({ "duel": raw }),
        faults: Vec::new(),
    })
}

fn notes() -> Vec<String> {
    vec![
        format!(
            "a run ends after {DECISIONS} decisions, or is given up after {HOPELESS} ballots \
             without one; such runs are counted in the last column only"
        ),
        "Paxos Made Simple §2.4: two proposers can outbid each other for ever; chance, or a \
         leader, is what ends it. No safety rule depends on that: the oracles watch every run"
            .into(),
        "a leader begins no ballot as long as it is well: its row is what Multi-Paxos pays".into(),
        "Fast Paxos §3.2: rivals in a fast round collide, and a recovery or a classic round \
         chooses one of their values; the number of a recovery is not counted as a ballot"
            .into(),
    ]
}

fn check(options: &DuelOptions) -> Result<(), CompareError> {
    let wrong = |what: &str| Err(CompareError::Options(what.to_owned()));
    if !(2..=100).contains(&options.nodes) {
        return wrong("a duel needs 2 to 100 replicas");
    }
    if options.proposers == 0 || options.proposers > options.nodes {
        return wrong("every proposer is one of the replicas: 1 to as many as there are");
    }
    if options.seeds == 0 || options.seed.checked_add(options.seeds).is_none() {
        return wrong("name at least one seed, and none beyond the largest");
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_without_sense_are_refused() {
        let usual = DuelOptions { seeds: 1, ..DuelOptions::default() };
        for wrong in [
            DuelOptions { nodes: 1, ..usual.clone() },
            DuelOptions { proposers: 9, nodes: 5, ..usual.clone() },
            DuelOptions { proposers: 0, ..usual.clone() },
            DuelOptions { seeds: 0, ..usual.clone() },
            DuelOptions { seed: u64::MAX, ..usual },
        ] {
            assert!(matches!(check(&wrong), Err(CompareError::Options(_))), "{wrong:?}");
        }
    }
}
