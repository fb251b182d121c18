//! `synod explore`: every behaviour of a small cluster, instead of some behaviours of a larger one.

mod state;

use super::bounds::{self, BoundFlags};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{note, say};
use consensus_core::{Audit, Cluster, ProtocolConfig};
use serde_json::json;
use state::{Keeper, StateFile};
use std::path::PathBuf;
use std::time::{Duration, Instant};
use synod_algorithms::{Algorithm, Visitor};
use synod_explore::{Bounds, Explored, Found, Limits, Saved, explore_on, settings};

/// Flags of `synod explore`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which algorithms: paxos, multipaxos, raft, pbft, a comma-separated list of them, or all
    #[arg(long, value_name = "NAME", default_value = "all", value_parser = super::parse_algorithms)]
    algo: super::AlgorithmList,
    /// Switch on named options of an algorithm, as paxos:learners=all+sending=thrifty
    #[arg(long, value_name = "ALGO:OPTIONS", value_parser = super::parse_choices)]
    variant: Option<super::ChoiceList>,
    #[command(flatten)]
    bounds: BoundFlags,
    /// Stop after so many distinct states
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    max_states: Option<u64>,
    /// Threads [default: one per core]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=256))]
    threads: Option<u64>,
    /// Explore part I of K of the model, counted from 0, for work that is shared out
    #[arg(long, value_name = "I/K", value_parser = parse_shard)]
    shard: Option<(u32, u32)>,
    /// Keep the state of the search in this file; if it is there, go on from it. One algorithm
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Seconds between two times that the state is written
    #[arg(long, value_name = "SECONDS", default_value = "60", requires = "state",
          value_parser = super::seconds)]
    every: Duration,
    /// Print one JSON object per algorithm instead of text
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples:
  synod explore --algo raft --preset closed            a closed model of Raft, three replicas
  synod explore --algo paxos --commands 2 --crashes 1  bounds of one's own
  synod explore --algo all --preset deep --max-states 5000000
  synod explore --algo raft --preset deep --state raft.search    stopped at any time, it goes on

The search is breadth first: the first violation has the fewest steps. Exits with 1 if a rule was
broken. A search that ran into --max-states or --depth says that its model is not closed.";

fn parse_shard(text: &str) -> Result<(u32, u32), String> {
    let parts = text.split_once('/').and_then(|(which, of)| {
        let parts = (which.parse().ok()?, of.parse().ok()?);
        (parts.0 < parts.1).then_some(parts)
    });
    parts.ok_or_else(|| "not of the form I/K with I below K, such as 0/4".into())
}

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    if let Some(named) = &args.variant {
        named.check(&args.algo.0)?;
    }
    let mut jobs = Vec::new();
    for algorithm in args.algo.0.iter().copied() {
        match args.bounds.bounds(&algorithm.info()) {
            Some(bounds) => jobs.push((algorithm, bounds)),
            None if args.algo.0.len() > 1 => {
                let preset = args.bounds.preset;
                note(format!("{algorithm}: preset {preset} makes no sense for it"));
            }
            None => {
                let preset = args.bounds.preset;
                let text = format!("preset {preset} makes no sense for {algorithm}");
                return Err(Failure::usage(text));
            }
        }
    }
    if args.state.is_some() && jobs.len() > 1 {
        return Err(Failure::usage("--state keeps one search: name one algorithm with --algo"));
    }
    let mut clean = true;
    for (algorithm, bounds) in jobs {
        let start = Instant::now();
        let explored = one(algorithm, bounds, args)?;
        let verdict = Verdict { algorithm, bounds, explored, took: start.elapsed() };
        clean &= verdict.explored.found.is_none();
        say(if args.json { verdict.json(args).to_string() } else { verdict.text(args) });
    }
    Ok(if clean { Exit::Ok } else { Exit::Failed })
}

impl Args {
    /// The options that are on for this algorithm.
    fn variants(&self, algorithm: Algorithm) -> &[String] {
        self.variant.as_ref().and_then(|named| named.of(algorithm)).unwrap_or_default()
    }
}

/// One search, from where an earlier process left it, if one did.
fn one(algorithm: Algorithm, bounds: Bounds, args: &Args) -> Result<Explored, Failure> {
    let file = args.state.as_deref().map(|path| {
        let variants = args.variants(algorithm);
        let search = state::search(algorithm.name(), variants, args.shard, bounds::json(&bounds));
        StateFile::open(path, search)
    });
    let file = file.transpose()?;
    let saved = file.as_ref().map_or(Ok(None), StateFile::read)?;
    if let Some(saved) = &saved {
        note(format!("{algorithm}: goes on after {} states", saved.states()));
    }
    algorithm.dispatch(Explore { algorithm, bounds, args, file: file.as_ref(), saved })
}

struct Explore<'a> {
    algorithm: Algorithm,
    bounds: Bounds,
    args: &'a Args,
    file: Option<&'a StateFile>,
    saved: Option<Saved>,
}

impl Visitor for Explore<'_> {
    type Output = Result<Explored, Failure>;

    fn visit<P: Audit>(self) -> Self::Output {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let limits = Limits {
            states: self.args.max_states.unwrap_or(0),
            threads: self.args.threads.map_or(cores, |threads| threads as usize),
            shard: self.args.shard,
            prepare: None,
        };
        let variants = self.args.variants(self.algorithm);
        let configure = |cluster: &Cluster| {
            settings::<P>(&self.bounds, cluster)?.with_variants(variants, cluster)
        };
        let mut keeper = Keeper::new(P::INFO.name, self.file, self.args.every);
        let explored = explore_on::<P>(&self.bounds, &limits, configure, self.saved, &mut keeper);
        keeper.progress.finish();
        if let Some(failed) = keeper.failed {
            return Err(failed);
        }
        explored.map_err(|error| Failure::usage(format!("{}: {error}", self.algorithm)))
    }
}

/// What became of one model.
struct Verdict {
    algorithm: Algorithm,
    bounds: Bounds,
    explored: Explored,
    took: Duration,
}

impl Verdict {
    fn word(&self) -> &'static str {
        match &self.explored {
            Explored { found: Some(_), .. } => "VIOLATION",
            Explored { closed: true, .. } => "closed, no violation",
            _ => "not closed, no violation so far",
        }
    }

    fn per_second(&self) -> f64 {
        self.explored.states as f64 / self.took.as_secs_f64().max(1e-6)
    }

    fn text(&self, args: &Args) -> String {
        let Explored { states, transitions, depth, steps, .. } = self.explored;
        let (name, word) = (self.algorithm.name(), self.word());
        let part = args.shard.map_or(String::new(), |(which, of)| format!(", part {which}/{of}"));
        let on: String =
            args.variants(self.algorithm).iter().map(|variant| format!(", {variant}")).collect();
        let mut lines = vec![format!("{name}, preset {}{on}{part}: {word}", args.bounds.preset)];
        lines.push(format!("  bounds: {}", bounds::shown(&self.bounds)));
        lines.push(format!(
            "  {states} distinct states, {transitions} transitions, depth {depth}, {steps} steps \
             of single nodes"
        ));
        lines.push(format!(
            "  {:.1} s, {:.0} states/s, {:.0} bytes a state in the table, at most {} states open",
            self.took.as_secs_f64(),
            self.per_second(),
            self.explored.table_bytes as f64 / (states as f64).max(1.0),
            self.explored.widest,
        ));
        if self.explored.names > 1 {
            lines.push(format!(
                "  states that differ in the names of nodes only are one: {} ways of naming them",
                self.explored.names
            ));
        }
        let (with, highest) = self.explored.decided;
        let leaders = self.explored.leaders;
        lines.push(format!(
            "  something is decided in {with} states, up to index {highest}; at most {leaders} \
             leaders in a behaviour; highest term, ballot or view {}",
            self.explored.epoch
        ));
        if !self.explored.marks.is_empty() {
            let marks: Vec<&str> = self.explored.marks.iter().copied().collect();
            lines.push(format!("  reached: {}", marks.join(", ")));
        }
        if let Some(Found { violation, steps, .. }) = &self.explored.found {
            lines.push(format!("  {violation}"));
            lines.push(format!("  the shortest way there, {} steps:", steps.len()));
            lines.extend(steps.iter().cloned());
        }
        lines.join("\n")
    }

    fn json(&self, args: &Args) -> serde_json::Value {
        let explored = &self.explored;
        let found = explored.found.as_ref().map(|found| {
            json!({
                "oracle": found.violation.oracle,
                "violation": found.violation.to_string(),
                "steps": found.steps,
            })
        });
        json!({
            "algorithm": self.algorithm.name(),
            "ok": explored.found.is_none(),
            "closed": explored.closed,
            "preset": args.bounds.preset.name(),
            "variants": args.variants(self.algorithm),
            "shard": args.shard,
            "bounds": bounds::json(&self.bounds),
            "states": explored.states,
            "transitions": explored.transitions,
            "depth": explored.depth,
            "node_steps": explored.steps,
            "decided_states": explored.decided.0,
            "highest_index": explored.decided.1,
            "leaders": explored.leaders,
            "epoch": explored.epoch,
            "reached": explored.marks,
            "table_bytes": explored.table_bytes,
            "widest": explored.widest,
            "seconds": self.took.as_secs_f64(),
            "states_per_second": self.per_second(),
            "found": found,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_read_or_refused() {
        assert_eq!(parse_shard("1/4"), Ok((1, 4)));
        for wrong in ["", "4", "4/4", "a/b", "1/"] {
            assert!(parse_shard(wrong).unwrap_err().contains("I/K"), "{wrong}");
        }
    }
}
