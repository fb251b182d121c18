//! `synod compare`: the same work for every algorithm, measured beside theory.

use crate::exit::{Exit, Failure, Outcome};
use crate::output::{note, say};
use crate::progress::Progress;
use std::path::{Path, PathBuf};
use synod_algorithms::Algorithm;
use synod_benches::{
    ClusterSize, CompareError, Comparison, CostOptions, DuelOptions, FailoverOptions, Load, Mode,
    RunOptions, WorkloadSpec,
};

/// Flags of `synod compare`.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, clap::Subcommand)]
enum Command {
    /// One workload on several algorithms: tables, and with --out plots and a report
    Run(RunArgs),
    /// Messages, bytes, syncs and signatures per command against the number of replicas
    Cost(CostArgs),
    /// Kill the leader at a random point, over and over: how long nothing was acknowledged
    Failover(FailoverArgs),
    /// Proposers that outbid each other: ballots and messages of a decision
    Duel(DuelArgs),
    /// Print the formulas, their sources and values; runs nothing
    Theory(TheoryArgs),
    /// Check that what is counted equals theory exactly; exit 1 if not
    Assert,
}

/// Which algorithms, in how large a cluster.
#[derive(Debug, clap::Args)]
struct Rows {
    /// Which algorithms: paxos, multipaxos, raft, pbft, a comma-separated list of them, or all
    #[arg(long, value_name = "NAMES", default_value = "all",
          value_parser = super::parse_algorithms)]
    algo: super::AlgorithmList,
    /// Faults that every cluster survives (crash: 2f + 1 replicas, Byzantine: 3f + 1) [default: 1]
    #[arg(long, value_name = "FAULTS", conflicts_with = "n",
          value_parser = clap::value_parser!(u8).range(1..=40))]
    f: Option<u8>,
    /// Replicas in every cluster, instead of --f
    #[arg(long, value_name = "REPLICAS", value_parser = clap::value_parser!(u8).range(1..=128))]
    n: Option<u8>,
}

impl Rows {
    fn size(&self) -> Result<ClusterSize, Failure> {
        let Some(n) = self.n else {
            return Ok(ClusterSize::F(usize::from(self.f.unwrap_or(1))));
        };
        check_sizes(&self.algo.0, &[n])?;
        Ok(ClusterSize::N(usize::from(n)))
    }
}

fn check_sizes(algorithms: &[Algorithm], sizes: &[u8]) -> Result<(), Failure> {
    for algorithm in algorithms {
        for size in sizes {
            crate::files::check_size(*algorithm, usize::from(*size))
                .map_err(|why| Failure::usage(format!("{algorithm} with --n {size}: {why}")))?;
        }
    }
    Ok(())
}

/// Flags of `synod compare run`.
#[derive(Debug, clap::Args)]
struct RunArgs {
    #[command(flatten)]
    rows: Rows,
    /// kv-write:SIZE, ycsb-a, ycsb-b, ycsb-c, or the path of a trace file of your own
    #[arg(long, value_name = "WORKLOAD", default_value = "kv-write:128")]
    workload: WorkloadSpec,
    /// Operations in the trace
    #[arg(long, value_name = "COUNT", default_value_t = RunOptions::default().operations,
          value_parser = super::count)]
    operations: usize,
    /// closed:CLIENTS (each waits for its answer) or open:RATE/s (sent on time, answered or not)
    #[arg(long, value_name = "LOAD", default_value_t = RunOptions::default().load)]
    load: Load,
    /// Sessions that an open load may use at once
    #[arg(long, value_name = "COUNT", default_value_t = RunOptions::default().clients,
          value_parser = super::count)]
    clients: usize,
    /// Commands in a batch: exactly so many where costs are counted, at most so many elsewhere
    #[arg(long, value_name = "COUNT", default_value_t = RunOptions::default().batch,
          value_parser = super::count)]
    batch: usize,
    /// Simulated runs of each row
    #[arg(long, value_name = "COUNT", default_value_t = RunOptions::default().seeds,
          value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The first seed: of the workload and of the simulated runs
    #[arg(long, value_name = "SEED", default_value_t = RunOptions::default().seed)]
    seed: u64,
    /// Only the simulator
    #[arg(long, conflicts_with = "real")]
    sim: bool,
    /// Only real replicas, over loopback TCP with real syncs
    #[arg(long)]
    real: bool,
    /// The folder, and thereby the disk, that real replicas write to [default: a temporary one]
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    /// Write table.txt, data.csv, data.json, plots/*.svg and report.html there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Flags of `synod compare cost`.
#[derive(Debug, clap::Args)]
struct CostArgs {
    /// Which algorithms: paxos, multipaxos, raft, pbft, a comma-separated list of them, or all
    #[arg(long, value_name = "NAMES", default_value = "all",
          value_parser = super::parse_algorithms)]
    algo: super::AlgorithmList,
    /// Cluster sizes, comma-separated; those that an algorithm cannot run with are left out
    #[arg(long, value_name = "REPLICAS", value_delimiter = ',',
          default_value = "3,4,5,7,10,13,19,25",
          value_parser = clap::value_parser!(u8).range(1..=128))]
    n: Vec<u8>,
    /// Commands per batch, comma-separated
    #[arg(long, value_name = "COUNT", value_delimiter = ',', default_value = "1,16",
          value_parser = super::count)]
    batch: Vec<usize>,
    /// Only these rows of named options, as paxos:learners=all+sending=thrifty,..
    /// [default: every option alone, with n up to 5]
    #[arg(long, value_name = "ALGO:OPTIONS", value_parser = super::parse_choices)]
    variant: Option<super::ChoiceList>,
    /// Write table.txt, data.csv, data.json, plots/*.svg and report.html there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Flags of `synod compare failover`.
#[derive(Debug, clap::Args)]
struct FailoverArgs {
    #[command(flatten)]
    rows: Rows,
    /// Kills per algorithm, each in a run of its own
    #[arg(long, value_name = "COUNT", default_value_t = FailoverOptions::default().seeds,
          value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The seed of the first run
    #[arg(long, value_name = "SEED", default_value_t = FailoverOptions::default().seed)]
    seed: u64,
    /// Writes a second, evenly spread
    #[arg(long, value_name = "RATE", default_value_t = FailoverOptions::default().rate,
          value_parser = super::rate)]
    rate: f64,
    /// Write table.txt, data.csv, data.json, plots/*.svg and report.html there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Flags of `synod compare duel`.
#[derive(Debug, clap::Args)]
struct DuelArgs {
    /// Replicas
    #[arg(long, value_name = "REPLICAS", default_value_t = 9,
          value_parser = clap::value_parser!(u8).range(2..=100))]
    n: u8,
    /// From one proposer up to so many
    #[arg(long, value_name = "COUNT", default_value_t = DuelOptions::default().proposers,
          value_parser = super::count)]
    proposers: usize,
    /// Runs of each row
    #[arg(long, value_name = "COUNT", default_value_t = DuelOptions::default().seeds,
          value_parser = clap::value_parser!(u64).range(1..))]
    seeds: u64,
    /// The seed of the first run
    #[arg(long, value_name = "SEED", default_value_t = DuelOptions::default().seed)]
    seed: u64,
    /// Write table.txt, data.csv, data.json, plots/*.svg and report.html there
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

/// Flags of `synod compare theory`.
#[derive(Debug, clap::Args)]
struct TheoryArgs {
    /// Cluster sizes, comma-separated
    #[arg(long, value_name = "REPLICAS", value_delimiter = ',', default_value = "3,4,5,7,10,13",
          value_parser = clap::value_parser!(u8).range(1..=128))]
    n: Vec<u8>,
}

/// Runs it.
pub(crate) fn run(args: Args) -> Outcome {
    match args.command {
        Command::Run(args) => compare(args),
        Command::Cost(args) => cost(args),
        Command::Failover(args) => failover(args),
        Command::Duel(args) => duel(args),
        Command::Theory(args) => {
            say(synod_benches::theory(&sizes(&args.n)));
            Ok(Exit::Ok)
        }
        Command::Assert => assert(),
    }
}

fn compare(args: RunArgs) -> Outcome {
    let mode = match (args.sim, args.real) {
        (true, _) => Mode::Sim,
        (_, true) => Mode::Real,
        _ => Mode::Both,
    };
    let options = RunOptions {
        size: args.rows.size()?,
        algorithms: args.rows.algo.0,
        workload: args.workload,
        operations: args.operations,
        clients: args.clients,
        load: args.load,
        batch: args.batch,
        seeds: args.seeds,
        mode,
        dir: args.dir,
        seed: args.seed,
    };
    with_progress(args.out.as_deref(), |progress| synod_benches::run(&options, progress))
}

fn cost(args: CostArgs) -> Outcome {
    let options = CostOptions {
        algorithms: args.algo.0,
        ns: sizes(&args.n),
        batches: args.batch,
        variants: args.variant.map(|named| named.0),
    };
    with_progress(args.out.as_deref(), |progress| synod_benches::cost(&options, progress))
}

fn failover(args: FailoverArgs) -> Outcome {
    let options = FailoverOptions {
        size: args.rows.size()?,
        algorithms: args.rows.algo.0,
        seeds: args.seeds,
        seed: args.seed,
        rate: args.rate,
    };
    with_progress(args.out.as_deref(), |progress| synod_benches::failover(&options, progress))
}

fn duel(args: DuelArgs) -> Outcome {
    let DuelArgs { n, proposers, seeds, seed, out } = args;
    let options = DuelOptions { nodes: usize::from(n), proposers, seeds, seed };
    with_progress(out.as_deref(), |progress| synod_benches::duel(&options, progress))
}

fn assert() -> Outcome {
    let mut progress = Progress::new();
    let result = synod_benches::assert(&mut |stage, done, total| progress.show(stage, done, total));
    progress.finish();
    match result {
        Ok(report) => {
            say(report.to_string());
            Ok(Exit::Ok)
        }
        Err(failure) => {
            say(failure.to_string());
            Ok(Exit::Failed)
        }
    }
}

fn sizes(ns: &[u8]) -> Vec<usize> {
    ns.iter().map(|n| usize::from(*n)).collect()
}

/// Compares, shows the table and writes the files that were asked for.
fn with_progress(
    out: Option<&Path>,
    work: impl FnOnce(&mut dyn FnMut(&str, u64, u64)) -> Result<Comparison, CompareError>,
) -> Outcome {
    let mut progress = Progress::new();
    let result = work(&mut |stage, done, total| progress.show(stage, done, total));
    progress.finish();
    let comparison = result.map_err(|error| match error {
        CompareError::Options(_) | CompareError::Workload(_) | CompareError::Cluster(..) => {
            Failure::usage(error.to_string())
        }
        _ => Failure::failed(error.to_string()),
    })?;
    say(comparison.text());
    if let Some(folder) = out {
        let line: Vec<_> = std::env::args().collect();
        comparison
            .write_to(folder, &line.join(" "))
            .map_err(|error| crate::files::cannot("write to", folder, &error))?;
        note(format!("written: {}", folder.join("report.html").display()));
    }
    if comparison.valid() {
        return Ok(Exit::Ok);
    }
    Err(Failure::failed("a check failed during the comparison; the rows concerned are void"))
}
