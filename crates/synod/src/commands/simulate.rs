//! `synod simulate`: seeded runs of a whole cluster in virtual time, with faults, under oracles.

use super::shrink::shrink;
use crate::exit::{Exit, Failure, Outcome};
use crate::files;
use crate::output::say;
use crate::planted::Planted;
use crate::progress::Progress;
use consensus_core::{Audit, ConfigError, FaultModel, Fingerprint};
use serde_json::json;
use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc;
use std::time::Duration;
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::{Options, Report};

mod job;
mod long;
mod recovery;
mod totals;

/// Flags of `synod simulate`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which algorithms: paxos, multipaxos, raft, pbft, a comma-separated list of them, or all
    #[arg(long, value_name = "NAME", default_value = "all", value_parser = super::parse_algorithms)]
    algo: super::AlgorithmList,
    /// How many seeds to run, from --seed on [default: 100; with --long as many as time allows]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..))]
    seeds: Option<u64>,
    /// The first seed
    #[arg(long, value_name = "SEED", default_value_t = 0)]
    seed: u64,
    /// Print every event of the run; only with --seeds 1 and one algorithm
    #[arg(long)]
    trace: bool,
    /// Write the first steps of the run as a module of TLA+, for docs/tla/check; only with
    /// --seeds 1 and one crash-fault algorithm
    #[arg(long, value_name = "FILE", conflicts_with = "trace")]
    tla: Option<PathBuf>,
    /// How many steps --tla writes
    #[arg(long, value_name = "COUNT", default_value_t = 300, requires = "tla",
          value_parser = clap::value_parser!(u32).range(1..=20_000))]
    tla_steps: u32,
    /// Print one JSON object per algorithm instead of text
    #[arg(long)]
    json: bool,
    /// Runs at the same time [default: one per core]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1024))]
    jobs: Option<u64>,
    /// Run on after a violation and list all failing seeds, instead of stopping at the first
    #[arg(long)]
    keep_going: bool,
    /// Runs without a clock: the next event is drawn from all that could happen. Small clusters of
    /// every size, few commands, short runs, odd interleavings
    #[arg(long)]
    shuffle: bool,
    /// Make the first failing run of each algorithm small: writes a scenario that breaks the same
    /// rule in few steps, to ALGORITHM-SEED.scn or FILE, and draws it
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          conflicts_with_all = ["trace", "json"])]
    shrink: Option<Option<PathBuf>>,
    /// Switch on named options of an algorithm in every run, as paxos:learners=all+sending=thrifty;
    /// otherwise half of the seeds draw some
    #[arg(long, value_name = "ALGO:OPTIONS", value_parser = super::parse_choices,
          conflicts_with_all = ["long", "tla"])]
    variant: Option<super::ChoiceList>,
    /// Switch on a planted bug, to see it found; only in builds with the feature `mutants`
    #[arg(long, value_name = "NAME", hide = !cfg!(feature = "mutants"))]
    mutant: Option<String>,
    #[command(flatten)]
    long: long::LongArgs,
}

impl Args {
    fn seeds(&self) -> u64 {
        self.seeds.unwrap_or(100)
    }

    /// The options that are on in every run of this algorithm, if any were named.
    fn variants(&self, algorithm: Algorithm) -> Option<&[String]> {
        self.variant.as_ref().and_then(|named| named.of(algorithm))
    }
}

const EXAMPLES: &str = "\
Examples:
  synod simulate --algo raft --seeds 1000              a thousand runs of Raft
  synod simulate --algo raft --seed 17 --seeds 1 --trace   one run, event by event
  synod simulate --algo raft --seeds 1000 --shrink     the first failing one, made small
  synod simulate --seeds 20000 --shuffle               short runs in which no clock decides
  synod simulate --long --seeds 10000 --state run.json     stopped, it goes on where it was
  synod simulate --long --minutes 60 --shard 2/8       the third of eight processes or machines
  synod simulate --algo raft --seed 17 --seeds 1 --tla Tape.tla   the same for docs/tla/check

Exits with 1 if an oracle found a violation; with --long also if two runs of a seed differed, or if
something rare that an algorithm tells of was reached by no run.";

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    if let Some(named) = &args.variant {
        named.check(&args.algo.0)?;
        for choice in &named.0 {
            let possible = choice.algorithm.dispatch(Possible(&choice.variants));
            possible.map_err(|why| Failure::usage(format!("--variant {choice}: {why}")))?;
        }
    }
    if args.trace {
        return trace(args);
    }
    if let Some(path) = &args.tla {
        return tape(args, path);
    }
    if args.long.long {
        return long::run(args);
    }
    if args.seed.checked_add(args.seeds() - 1).is_none() {
        return Err(Failure::usage("--seed plus --seeds is beyond the largest seed, 2^64 - 1"));
    }
    let mut clean = true;
    if let (Some(Some(_)), [_, _, ..]) = (&args.shrink, &args.algo.0[..]) {
        return Err(Failure::usage("--shrink=FILE is for one run: name one algorithm with --algo"));
    }
    for algorithm in args.algo.0.iter().copied() {
        let planted = Planted::find(algorithm, args.mutant.as_deref())?;
        let verdict = hunt(algorithm, args, planted);
        clean &= verdict.failures.is_empty();
        say(verdict.show(args));
        if let (Some(file), Some(seed)) = (&args.shrink, verdict.failures.keys().next()) {
            shrink(algorithm, *seed, args.variants(algorithm), planted, file.clone())?;
        }
    }
    Ok(if clean { Exit::Ok } else { Exit::Failed })
}

/// The only algorithm, for a flag that shows the only run.
fn only(args: &Args, flag: &str) -> Result<Algorithm, Failure> {
    let [algorithm] = args.algo.0[..] else {
        let text = format!("{flag} shows one run: name one algorithm with --algo");
        return Err(Failure::usage(text));
    };
    if args.seeds() != 1 {
        let text = format!("{flag} shows one run: add --seeds 1 and choose it by --seed");
        return Err(Failure::usage(text));
    }
    Ok(algorithm)
}

/// Replays one seed.
fn trace(args: &Args) -> Outcome {
    let algorithm = only(args, "--trace")?;
    Planted::find(algorithm, args.mutant.as_deref())?.plant();
    let variants = args.variants(algorithm);
    let run = Run { seed: args.seed, shuffle: args.shuffle, trace: true, variants };
    Ok(one(algorithm, algorithm.dispatch(run), args))
}

/// Replays one seed, and writes what it did for a check against the text in TLA+.
fn tape(args: &Args, path: &Path) -> Outcome {
    let algorithm = only(args, "--tla")?;
    if algorithm.info().faults == FaultModel::Byzantine {
        let text = format!("--tla: there is no text of {algorithm} in TLA+, see docs/tla");
        return Err(Failure::usage(text));
    }
    Planted::find(algorithm, args.mutant.as_deref())?.plant();
    let (report, module) = algorithm.dispatch(TapeSeed(args.seed, args.tla_steps as usize));
    files::write_text(path, &module)?;
    Ok(one(algorithm, report, args))
}

/// Says what became of the only run.
fn one(algorithm: Algorithm, report: Report, args: &Args) -> Exit {
    let mut verdict = Verdict::new(algorithm, args.shuffle);
    verdict.add(report);
    say(verdict.show(args));
    if verdict.failures.is_empty() { Exit::Ok } else { Exit::Failed }
}

struct TapeSeed(u64, usize);

impl Visitor for TapeSeed {
    type Output = (Report, String);

    fn visit<P: Audit>(self) -> (Report, String) {
        let options = Options::for_seed::<P>(self.0).without_extras();
        synod_sim::chronicle::<P>(self.0, &options, self.1)
    }
}

/// One run of one seed.
#[derive(Clone, Copy)]
struct Run<'a> {
    seed: u64,
    shuffle: bool,
    trace: bool,
    /// Instead of those that the seed draws.
    variants: Option<&'a [String]>,
}

impl Visitor for Run<'_> {
    type Output = Report;

    fn visit<P: Audit>(self) -> Report {
        let Self { seed, shuffle, trace, variants } = self;
        let drawn =
            if shuffle { Options::for_shuffle::<P>(seed) } else { Options::for_seed::<P>(seed) };
        let options = with_named::<P>(drawn, variants);
        if trace {
            let on = options.variants.join(", ");
            say(format!(
                "{} nodes, options: {}",
                options.nodes,
                if on.is_empty() { "none" } else { &on }
            ));
            synod_sim::trace::<P>(seed, &options, &mut |line| say(line))
        } else {
            synod_sim::check::<P>(seed, &options)
        }
    }
}

/// With these named options instead of those that were drawn. They were checked before.
pub(super) fn with_named<P: Audit>(drawn: Options, variants: Option<&[String]>) -> Options {
    let Some(variants) = variants else { return drawn };
    drawn.with_variants::<P>(variants).expect("some cluster can have them")
}

/// Can some cluster have these options?
struct Possible<'a>(&'a [String]);

impl Visitor for Possible<'_> {
    type Output = Result<(), ConfigError>;

    fn visit<P: Audit>(self) -> Self::Output {
        Options::for_seed::<P>(0).with_variants::<P>(self.0).map(drop)
    }
}

/// Runs the seeds on all cores. Reports are added in the order of seeds, and none after the first
/// failure, so that the verdict does not depend on which thread was faster.
fn hunt(algorithm: Algorithm, args: &Args, planted: Planted) -> Verdict {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let jobs = args.jobs.unwrap_or(cores).min(args.seeds());
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let (sender, reports) = mpsc::channel();
    let mut progress = Progress::new();
    let mut verdict = Verdict::new(algorithm, args.shuffle);
    let mut early = BTreeMap::new();
    progress.show(algorithm.name(), 0, args.seeds());
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let sender = sender.clone();
            let (next, stop) = (&next, &stop);
            scope.spawn(move || {
                planted.plant();
                while !stop.load(Ordering::Relaxed) {
                    let nth = next.fetch_add(1, Ordering::Relaxed);
                    if nth >= args.seeds() {
                        break;
                    }
                    let (seed, shuffle) = (args.seed + nth, args.shuffle);
                    let variants = args.variants(algorithm);
                    let run = Run { seed, shuffle, trace: false, variants };
                    let report = algorithm.dispatch(run);
                    if sender.send((nth, report)).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (nth, report) in reports {
            early.insert(nth, report);
            while let Some(report) = early.remove(&verdict.seeds) {
                let failed = report.violation.is_some();
                verdict.add(report);
                progress.show(algorithm.name(), verdict.seeds, args.seeds());
                if failed && !args.keep_going {
                    stop.store(true, Ordering::Relaxed);
                    return;
                }
            }
        }
    });
    progress.finish();
    verdict
}

/// What became of the seeds of one algorithm.
struct Verdict {
    algorithm: Algorithm,
    shuffle: bool,
    seeds: u64,
    events: u64,
    simulated: Duration,
    operations: u64,
    leader_changes: u64,
    faults: BTreeMap<&'static str, u64>,
    marks: BTreeMap<&'static str, u64>,
    recoveries: recovery::Recoveries,
    /// Of the only run, or a chain over the hashes of all runs in their order.
    hash: Fingerprint,
    failures: BTreeMap<u64, String>,
}

impl Verdict {
    fn new(algorithm: Algorithm, shuffle: bool) -> Self {
        Self {
            algorithm,
            shuffle,
            seeds: 0,
            events: 0,
            simulated: Duration::ZERO,
            operations: 0,
            leader_changes: 0,
            faults: BTreeMap::new(),
            marks: BTreeMap::new(),
            recoveries: recovery::Recoveries::default(),
            hash: Fingerprint::default(),
            failures: BTreeMap::new(),
        }
    }

    fn add(&mut self, report: Report) {
        self.hash = if self.seeds == 0 { report.hash } else { self.hash.then(&report.hash) };
        self.seeds += 1;
        self.events += report.events;
        self.simulated += report.simulated;
        self.operations += report.operations;
        self.leader_changes += report.leader_changes;
        self.recoveries.add(&report);
        for (sum, counts) in [(&mut self.faults, &report.faults), (&mut self.marks, &report.marks)]
        {
            for (name, count) in counts {
                *sum.entry(name).or_default() += count;
            }
        }
        if let Some(violation) = report.violation {
            self.failures.insert(report.seed, violation.to_string());
        }
    }

    fn show(&self, args: &Args) -> String {
        if args.json { self.json(args).to_string() } else { self.text(args) }
    }

    fn text(&self, args: &Args) -> String {
        let name = self.algorithm.name();
        let word = if self.failures.is_empty() { "no violation" } else { "VIOLATION" };
        let range = if self.seeds == 1 && args.seeds() == 1 {
            format!("seed {}", args.seed)
        } else {
            format!("{} seeds from {}", self.seeds, args.seed)
        };
        let mut lines = vec![format!("{name}: {word} in {range}")];
        lines.push(format!(
            "  {} events, {:.0} s simulated, {} operations checked, {} leader changes, hash \
             {:016x}",
            self.events,
            self.simulated.as_secs_f64(),
            self.operations,
            self.leader_changes,
            self.hash.0,
        ));
        lines.extend(self.recoveries.text());
        lines.push(listed("faults", &self.faults));
        lines.push(listed("reached", &self.marks));
        for (seed, violation) in &self.failures {
            lines.push(format!("  seed {seed}: {violation}"));
        }
        if let Some(command) = self.replay(args) {
            lines.push(format!("  replay it: {command}"));
        }
        lines.join("\n")
    }

    fn replay(&self, args: &Args) -> Option<String> {
        let (seed, _) = self.failures.first_key_value()?;
        let name = self.algorithm.name();
        let shuffle = if self.shuffle { " --shuffle" } else { "" };
        let with = args.mutant.as_ref().map(|bug| format!(" --mutant {bug}")).unwrap_or_default();
        let run = format!("--algo {name} --seed {seed} --seeds 1{shuffle}");
        let on = args
            .variants(self.algorithm)
            .map_or(String::new(), |variants| format!(" --variant {name}:{}", variants.join("+")));
        Some(format!("synod simulate {run}{on} --trace{with}"))
    }

    fn json(&self, args: &Args) -> serde_json::Value {
        let failures: Vec<_> = self
            .failures
            .iter()
            .map(|(seed, violation)| json!({ "seed": seed, "violation": violation }))
            .collect();
        json!({
            "algorithm": self.algorithm.name(),
            "ok": self.failures.is_empty(),
            "first_seed": args.seed,
            "seeds": self.seeds,
            "events": self.events,
            "simulated_seconds": self.simulated.as_secs_f64(),
            "operations": self.operations,
            "leader_changes": self.leader_changes,
            "decided_p99_ms": self.recoveries.decided_within(99).as_millis() as u64,
            "recovery_p99_ms": self.recoveries.within(99).as_millis() as u64,
            "hash": format!("{:016x}", self.hash.0),
            "faults": self.faults,
            "reached": self.marks,
            "failures": failures,
            "replay": self.replay(args),
        })
    }
}

/// Counts under a title, in lines of at most 100 columns.
fn listed<K: fmt::Display>(title: &str, counts: &BTreeMap<K, u64>) -> String {
    let mut parts = counts.iter().map(|(name, count)| format!("{name} {count}"));
    let mut text = format!("  {title}: {}", parts.next().unwrap_or_else(|| "none".to_owned()));
    let mut width = text.len();
    for part in parts {
        if width + part.len() + 2 > 100 {
            text.push_str(",\n   ");
            width = 3;
        } else {
            text.push(',');
        }
        text.push(' ');
        text.push_str(&part);
        width += part.len() + 2;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lists_are_wrapped_and_nothing_is_lost() {
        let names = ["crash", "message lost", "message replayed late", "partition healed"];
        let counts: BTreeMap<_, _> = names.into_iter().zip([1_000_000_000_000_u64; 4]).collect();
        let text = listed("faults", &counts);
        assert!(text.lines().count() > 1 && text.lines().all(|line| line.len() <= 100), "{text}");
        assert!(names.iter().all(|name| text.contains(name)), "{text}");
        assert_eq!(listed("faults", &BTreeMap::<String, u64>::new()), "  faults: none");
    }
}
