//! `synod mutants`: the kill matrix. Every planted bug is switched on in turn, and every rig hunts
//! for it; then the rigs look at the correct build for much longer, and must keep still.

use crate::cpu::ThreadClock;
use crate::exit::{Exit, Failure, Outcome};
use crate::files;
use crate::matrix::{Bug, Cell, Clean, Matrix, Row};
use crate::output::{complain, say};
use crate::progress::Progress;
use crate::rigs::{Found, Rig, Subject, crate_tests};
use past::Past;
use std::iter;
use std::ops::Range;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::time::{Duration, Instant};
use synod_sim::Rng;

mod past;

/// Flags of `synod mutants`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Which algorithms: paxos, multipaxos, raft, pbft, a comma-separated list of them, or all
    #[arg(long, value_name = "NAME", default_value = "all", value_parser = super::parse_algorithms)]
    algo: super::AlgorithmList,
    /// Only the bugs of these names
    #[arg(long, value_name = "BUG,..", value_delimiter = ',')]
    only: Vec<String>,
    /// Only these rigs [default: all]
    #[arg(long, value_name = "RIG,..", value_delimiter = ',')]
    rig: Vec<Rig>,
    /// Seeds of a timed simulation for each bug; runs without a clock are short, and get ten times
    /// as many; bugs that are known to be beyond random runs, a tenth
    #[arg(long, value_name = "COUNT", default_value_t = 2_000,
          value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    seeds: u64,
    /// How long at most the correct build is watched, in such seeds; 0 to leave it out
    #[arg(long, value_name = "COUNT", default_value_t = 5_000,
          value_parser = clap::value_parser!(u64).range(..=100_000_000))]
    clean_seeds: u64,
    /// Only so many bugs, chosen by --seed: canaries for a quick check that the rigs still work
    #[arg(long, value_name = "COUNT", value_parser = super::count)]
    canaries: Option<usize>,
    /// Chooses the canaries
    #[arg(long, value_name = "SEED", default_value_t = 0, requires = "canaries")]
    seed: u64,
    /// Hunts at the same time [default: one per core]
    #[arg(long, value_name = "COUNT", value_parser = clap::value_parser!(u64).range(1..=1024))]
    jobs: Option<u64>,
    /// Also write the matrix as a page of Markdown
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Keep in this file which hunts have ended, and do not make those again: for a matrix that was
    /// stopped, or that got a few more bugs. Delete it after a change of what rigs or bugs do
    #[arg(long, value_name = "FILE")]
    state: Option<PathBuf>,
    /// Print JSON instead of text
    #[arg(long)]
    json: bool,
}

const EXAMPLES: &str = "\
Examples (planted bugs are only in builds with the cargo feature `mutants`):
  cargo run --release --features mutants -- mutants                 the whole matrix
  cargo run --release --features mutants -- mutants --algo raft --only R01,R02
  cargo run --release --features mutants -- mutants --canaries 3 --seed 7
  cargo run --release --features mutants -- mutants --state hunts.json     stopped, it goes on

Exits with 1 if a bug survives all rigs, or if a rig cries out at the correct build.";

/// Correct runs that one worker does in one go.
const PORTION: u64 = 100;

/// Runs it.
pub(crate) fn run(args: &Args) -> Outcome {
    if !cfg!(feature = "mutants") {
        return Err(Failure::usage(
            "no bugs are planted in this build; make one that has them:\n  \
             cargo run --release --features mutants -- mutants",
        ));
    }
    let rigs = if args.rig.is_empty() { Rig::ALL.to_vec() } else { args.rig.clone() };
    let rigs: Vec<Rig> = Rig::ALL.into_iter().filter(|rig| rigs.contains(rig)).collect();
    let bugs = choose(args)?;
    // A planted bug may well panic; the rigs report it as O18, and backtraces would drown that.
    let loud = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let matrix = fill(&bugs, rigs, args);
    std::panic::set_hook(loud);
    let matrix = matrix?;
    if let Some(path) = &args.out {
        files::write_text(path, &matrix.markdown(&command_line(args)))?;
    }
    say(if args.json { matrix.json().to_string() } else { matrix.text() });
    let problems = matrix.problems();
    problems.iter().for_each(complain);
    Ok(if problems.is_empty() { Exit::Ok } else { Exit::Failed })
}

/// All hunts, and then the correct build.
fn fill(bugs: &[Bug], rigs: Vec<Rig>, args: &Args) -> Result<Matrix, Failure> {
    let mut past = Past::open(args.state.as_deref())?;
    let rows = hunt_all(bugs, &rigs, args, &mut past)?;
    let mut matrix = Matrix { rigs, rows, clean: Vec::new() };
    matrix.clean = watch_correct(&matrix, args, &mut past)?;
    Ok(matrix)
}

/// What must be typed to get the same page.
fn command_line(args: &Args) -> String {
    let mut line = "cargo run --release --features mutants -- mutants".to_owned();
    let defaults = (2_000, 5_000);
    if args.seeds != defaults.0 {
        line.push_str(&format!(" --seeds {}", args.seeds));
    }
    if args.clean_seeds != defaults.1 {
        line.push_str(&format!(" --clean-seeds {}", args.clean_seeds));
    }
    if !args.rig.is_empty() {
        let rigs: Vec<&str> = args.rig.iter().map(|rig| rig.name()).collect();
        line.push_str(&format!(" --rig {}", rigs.join(",")));
    }
    if let Some(path) = &args.out {
        line.push_str(&format!(" --out {}", path.display()));
    }
    line
}

fn choose(args: &Args) -> Result<Vec<Bug>, Failure> {
    let mut bugs = Bug::all(&args.algo.0);
    let is = |bug: &Bug, name: &String| bug.mutant.name.eq_ignore_ascii_case(name.trim());
    for name in &args.only {
        if !bugs.iter().any(|bug| is(bug, name)) {
            let names: Vec<&str> = bugs.iter().map(|bug| bug.mutant.name).collect();
            let names = names.join(", ");
            return Err(Failure::usage(format!(
                "--only: no bug is called '{name}'; there are {names}"
            )));
        }
    }
    if !args.only.is_empty() {
        bugs.retain(|bug| args.only.iter().any(|name| is(bug, name)));
    }
    if let Some(count) = args.canaries {
        // A canary is there to be found, and soon: not one of those that no rig is sure to find, or
        // only the dearest.
        bugs.retain(|bug| bug.mutant.beyond.is_none() && bug.subject != Subject::Runtime);
        let mut rng = Rng::new(args.seed);
        while bugs.len() > count {
            bugs.remove(rng.place(bugs.len()));
        }
    }
    Ok(bugs)
}

/// One hunt: a rig, what it looks at, with a bug or none, and the cases.
#[derive(Debug)]
struct Hunt {
    rig: Rig,
    subject: Subject,
    bug: Option<&'static str>,
    cases: Range<u64>,
}

/// What came of it: the finding if there is one, and the time it took.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Caught {
    found: Option<Found>,
    cpu: Duration,
}

impl Hunt {
    fn run(&self) -> Caught {
        let (clock, begun) = (ThreadClock::start(), Instant::now());
        let found = self.rig.hunt(self.subject, self.bug, self.cases.clone());
        // What other processes do is not in the clock of this thread.
        let cpu = if self.rig == Rig::Tests { begun.elapsed() } else { clock.elapsed() };
        Caught { found, cpu }
    }
}

/// Hunts on all cores, a bug to a thread: a planted bug is on in its own thread only. What comes
/// out is in the order of the hunts, whichever ended first.
fn run_all(
    stage: &str,
    hunts: &[Hunt],
    args: &Args,
    past: &mut Past,
) -> Result<Vec<Caught>, Failure> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    let mut caught: Vec<Option<Caught>> = hunts.iter().map(|hunt| past.of(hunt)).collect();
    let left: Vec<usize> = (0..hunts.len()).filter(|place| caught[*place].is_none()).collect();
    let before = hunts.len() - left.len();
    let jobs = args.jobs.map_or(cores, |jobs| jobs as usize).min(left.len());
    let (next, left) = (AtomicUsize::new(0), &left);
    let (sender, ended) = mpsc::channel();
    let mut progress = Progress::new();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (sender, next) = (sender.clone(), &next);
            scope.spawn(move || {
                loop {
                    let turn = next.fetch_add(1, Ordering::Relaxed);
                    let Some(place) = left.get(turn).copied() else { break };
                    if sender.send((place, hunts[place].run())).is_err() {
                        break;
                    }
                }
            });
        }
        drop(sender);
        for (done, (place, one)) in ended.into_iter().enumerate() {
            past.note(&hunts[place], &one)?;
            caught[place] = Some(one);
            progress.show(stage, (before + done) as u64 + 1, hunts.len() as u64);
        }
        past.keep()
    })?;
    progress.finish();
    Ok(caught.into_iter().map(|one| one.expect("every hunt has ended")).collect())
}

/// The cheap rigs first; then one by one those that take longer, for what fewer than two found.
fn hunt_all(bugs: &[Bug], rigs: &[Rig], args: &Args, past: &mut Past) -> Result<Vec<Row>, Failure> {
    let mut rows: Vec<Row> = bugs.iter().map(|bug| Row { bug: *bug, cells: Vec::new() }).collect();
    let (dear, cheap): (Vec<Rig>, Vec<Rig>) = rigs.iter().partition(|rig| rig.is_dear());
    let stages = iter::once(cheap).chain(dear.into_iter().map(|rig| vec![rig]));
    for rigs in stages {
        let mut hunts = Vec::new();
        for row in rows.iter().filter(|row| row.kills().count() < 2) {
            let (subject, bug) = (row.bug.subject, Some(row.bug.mutant.name));
            let can = rigs.iter().copied().filter(|rig| rig.looks_at(subject));
            let seeds = row.bug.seeds(args.seeds);
            let cases = |rig: Rig| 0..rig.budget(seeds);
            hunts.extend(can.map(|rig| Hunt { rig, subject, bug, cases: cases(rig) }));
        }
        if hunts.iter().any(|hunt| hunt.rig == Rig::Tests && past.of(hunt).is_none()) {
            crate_tests::prepare()?;
        }
        let caught = run_all("hunts", &hunts, args, past)?;
        for (hunt, Caught { found, cpu }) in hunts.iter().zip(caught) {
            let is = |row: &&mut Row| {
                row.bug.subject == hunt.subject && Some(row.bug.mutant.name) == hunt.bug
            };
            let row = rows.iter_mut().find(is).expect("every hunt has its row");
            let cases = found.as_ref().map_or(hunt.cases.end, |found| found.case + 1);
            row.cells.push(Cell { rig: hunt.rig, found, cases, cpu });
        }
    }
    Ok(rows)
}

/// No alarm without a bug, over ten times as many cases as the slowest kill took.
fn watch_correct(matrix: &Matrix, args: &Args, past: &mut Past) -> Result<Vec<Clean>, Failure> {
    let mut clean = Vec::new();
    let mut hunts = Vec::new();
    for subject in matrix.subjects() {
        for rig in matrix.rigs.iter().copied() {
            let most = rig.budget(args.clean_seeds).min(args.clean_seeds.saturating_mul(10));
            let cases = matrix.slowest(subject, rig).saturating_mul(10).min(most);
            if cases == 0 {
                continue;
            }
            for first in (0..cases).step_by(PORTION as usize) {
                let cases = first..cases.min(first + PORTION);
                hunts.push(Hunt { rig, subject, bug: None, cases });
            }
            clean.push(Clean { subject, rig, cases, alarm: None, cpu: Duration::ZERO });
        }
    }
    if hunts.iter().any(|hunt| hunt.rig == Rig::Tests && past.of(hunt).is_none()) {
        crate_tests::prepare()?;
    }
    let caught = run_all("correct build", &hunts, args, past)?;
    for (hunt, Caught { found, cpu }) in hunts.iter().zip(caught) {
        let row = clean.iter_mut().find(|row| (row.subject, row.rig) == (hunt.subject, hunt.rig));
        let row = row.expect("every hunt has its row");
        row.cpu += cpu;
        row.alarm = row.alarm.take().or(found);
    }
    Ok(clean)
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Parser;
    use synod_algorithms::Algorithm;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        args: Args,
    }

    fn args(line: &[&str]) -> Args {
        Line::parse_from([&["mutants"], line].concat()).args
    }

    fn names(line: &[&str]) -> Vec<String> {
        let bugs = choose(&args(line)).expect("bugs are chosen");
        bugs.iter().map(|bug| format!("{} {}", bug.subject, bug.mutant.name)).collect()
    }

    #[test]
    fn bugs_are_chosen_by_name_and_by_lot() {
        assert_eq!(names(&["--only", "R01,r02"]), ["raft R01", "raft R02"]);
        assert_eq!(names(&["--only", "D03"]), ["runtime D03"]);
        assert_eq!(names(&["--only", "K-dedup"]).len(), Algorithm::ALL.len());
        let wrong = choose(&args(&["--algo", "raft", "--only", "P01"])).unwrap_err();
        assert!(wrong.message.contains("'P01'") && wrong.message.contains("R01"), "{wrong:?}");
        let some = |seed: &str| names(&["--canaries", "3", "--seed", seed]);
        assert_eq!((some("1").len(), some("1")), (3, some("1")));
        assert!((2..12).any(|seed| some(&seed.to_string()) != some("1")));
        let all = names(&["--canaries", "10000"]);
        assert!(all.len() > 40, "no more than there are");
        assert!(!all.iter().any(|name| name.starts_with("runtime")), "slow birds: {all:?}");
    }
}
