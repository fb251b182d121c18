//! `synod simulate --long`: many seeds, split over threads, processes and machines, in a run that
//! can be stopped at any time and goes on where it was.

use super::Run;
use super::job::{Job, State, StateFile};
use crate::commands::seconds;
use crate::cpu::{self, ThreadClock};
use crate::exit::{Exit, Failure, Outcome};
use crate::output::{note, say};
use consensus_core::Audit;
use serde_json::json;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::Report;

/// Seeds of an algorithm after which everything rare must have happened.
const ENOUGH: u64 = 2_000;
/// Where only time limits a run, the seeds from which all shards take theirs.
const PLENTY: u64 = 1_000_000_000;

/// Flags of a long run.
#[derive(Debug, clap::Args)]
#[command(next_help_heading = "Long runs")]
pub(super) struct LongArgs {
    /// A long run: resumable, split into shards, with figures; runs on after a violation
    #[arg(long, conflicts_with = "trace")]
    pub(super) long: bool,
    /// This process does part I of K equal parts of the seeds, I from 0
    #[arg(long, value_name = "I/K", default_value = "0/1", requires = "long")]
    shard: Shard,
    /// Keep the state of the run in this file; if it is there, go on from it
    #[arg(long, value_name = "FILE", requires = "long")]
    state: Option<PathBuf>,
    /// Stop after so many minutes
    #[arg(long, value_name = "COUNT", requires = "long", value_parser = minutes)]
    minutes: Option<Duration>,
    /// Seconds between two notes of how far it is; the state is written then
    #[arg(long, value_name = "SECONDS", default_value = "10", requires = "long",
          value_parser = seconds)]
    every: Duration,
    /// Run so many of a hundred seeds twice, and compare
    #[arg(long, value_name = "PERCENT", default_value = "1", requires = "long",
          value_parser = share)]
    recheck: u32,
    /// Do not fail if something rare was reached by no run
    #[arg(long, requires = "long")]
    allow_unreached: bool,
}

/// A part of the seeds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Shard {
    part: u64,
    of: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || format!("'{text}' is no part of a whole: say 0/4, 1/4, 2/4 or 3/4");
        let (part, of) = text.split_once('/').ok_or_else(wrong)?;
        let (part, of) = (part.parse().map_err(|_| wrong())?, of.parse().map_err(|_| wrong())?);
        if part < of { Ok(Self { part, of }) } else { Err(wrong()) }
    }
}

impl Shard {
    /// The first seed of this part of so many, and how many it has.
    fn of(self, seeds: u64) -> (u64, u64) {
        let begin = |part: u64| (u128::from(seeds) * u128::from(part) / u128::from(self.of)) as u64;
        (begin(self.part), begin(self.part + 1) - begin(self.part))
    }
}

fn minutes(text: &str) -> Result<Duration, String> {
    seconds(text).map(|time| time * 60)
}

/// Percent, as so many of ten thousand.
fn share(text: &str) -> Result<u32, String> {
    match text.parse::<f64>() {
        Ok(percent) if (0.0..=100.0).contains(&percent) => Ok((percent * 100.0).round() as u32),
        _ => Err("not a number between 0 and 100".into()),
    }
}

/// Runs it.
pub(super) fn run(args: &super::Args) -> Outcome {
    let long = &args.long;
    let job = job(args)?;
    let file = long.state.as_deref().map(StateFile::open).transpose()?;
    let mut state = match &file {
        Some(file) => file.read(job)?,
        None => State::new(job),
    };
    if state.count() > 0 {
        note(format!("goes on after {} of {} runs", state.count(), state.units()));
    }
    work(args, &mut state, file.as_ref())?;
    let complete = state.count() == state.units();
    let verdicts: Vec<Verdict> =
        args.algo.0.iter().map(|algorithm| Verdict::of(*algorithm, &state, args)).collect();
    let clean = verdicts.iter().all(|verdict| verdict.clean);
    if args.json {
        let all: Vec<_> = verdicts.iter().map(|verdict| &verdict.json).collect();
        let ok = clean;
        say(json!({ "ok": ok, "complete": complete, "job": state.job, "algorithms": all })
            .to_string());
    } else {
        verdicts.iter().for_each(|verdict| say(&verdict.text));
    }
    Ok(if clean { Exit::Ok } else { Exit::Failed })
}

fn job(args: &super::Args) -> Result<Job, Failure> {
    let seeds = match (args.seeds, args.long.minutes) {
        (Some(seeds), _) => seeds,
        (None, Some(_)) => PLENTY,
        (None, None) => {
            return Err(Failure::usage("--long needs an end: say --seeds, --minutes or both"));
        }
    };
    let Some(end) = args.seed.checked_add(seeds) else {
        return Err(Failure::usage("--seed plus --seeds is beyond the largest seed, 2^64 - 1"));
    };
    let (offset, seeds) = args.long.shard.of(end - args.seed);
    if seeds == 0 {
        return Err(Failure::usage("--shard: there are more parts than seeds, this one is empty"));
    }
    let first = args.seed + offset;
    let shuffle = args.shuffle;
    let probe = args.algo.0[0].dispatch(Run { seed: first, shuffle, trace: false, variants: None });
    Ok(Job {
        version: env!("CARGO_PKG_VERSION").to_owned(),
        algorithms: args.algo.0.iter().map(|algorithm| algorithm.name().to_owned()).collect(),
        first,
        seeds,
        shard: format!("{}/{}", args.long.shard.part, args.long.shard.of),
        shuffle,
        recheck: args.long.recheck,
        probe: format!("{:016x}", probe.hash.0),
    })
}

/// One unit, done.
struct Done {
    unit: u64,
    report: Report,
    cpu: Duration,
    /// Was it run again, and were both runs equal?
    again: Option<bool>,
}

/// Does what is open, on all cores, until all is done or time is up.
fn work(args: &super::Args, state: &mut State, file: Option<&StateFile>) -> Result<(), Failure> {
    let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get) as u64;
    let jobs = args.jobs.unwrap_or(cores);
    let open = state.open();
    let plan = state.clone();
    let (next, stop) = (AtomicU64::new(0), AtomicBool::new(false));
    let (sender, ended) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..jobs {
            let (sender, next, stop) = (sender.clone(), &next, &stop);
            let (open, plan) = (&open, &plan);
            scope.spawn(move || {
                while !stop.load(Ordering::Relaxed)
                    && let Some(unit) = nth(open, next.fetch_add(1, Ordering::Relaxed))
                    && sender.send(do_unit(plan, unit)).is_ok()
                {}
            });
        }
        drop(sender);
        let result = collect(args, state, file, &ended, &stop);
        stop.store(true, Ordering::Relaxed);
        result
    })
}

/// The n-th unit of these ranges.
fn nth(open: &[std::ops::Range<u64>], nth: u64) -> Option<u64> {
    let mut left = nth;
    for range in open {
        let length = range.end - range.start;
        if left < length {
            return Some(range.start + left);
        }
        left -= length;
    }
    None
}

fn do_unit(state: &State, unit: u64) -> Done {
    let (algorithm, seed) = state.unit(unit);
    let run = Run { seed, shuffle: state.job.shuffle, trace: false, variants: None };
    let clock = ThreadClock::start();
    let report = algorithm.dispatch(run);
    let cpu = clock.elapsed();
    // Which seeds are run twice is drawn from the seed, so that every part has its share.
    let drawn = consensus_core::Fingerprint::of(&("recheck", seed)).0 % 10_000;
    let twice = drawn < u64::from(state.job.recheck);
    let again = twice.then(|| algorithm.dispatch(run) == report);
    Done { unit, report, cpu, again }
}

/// Adds up what comes in, and keeps the state.
fn collect(
    args: &super::Args,
    state: &mut State,
    file: Option<&StateFile>,
    ended: &mpsc::Receiver<Done>,
    stop: &AtomicBool,
) -> Result<(), Failure> {
    let begun = Instant::now();
    let mut due = begun + args.long.every;
    loop {
        match ended.recv_timeout(due.saturating_duration_since(Instant::now())) {
            Ok(done) => {
                let (algorithm, _) = state.unit(done.unit);
                state.finish(done.unit);
                let totals = state.totals.get_mut(algorithm.name());
                totals.expect("an algorithm of the job").add(done.report, done.cpu, done.again);
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => break,
        }
        if args.long.minutes.is_some_and(|minutes| begun.elapsed() >= minutes) {
            stop.store(true, Ordering::Relaxed);
        }
        if Instant::now() >= due {
            file.map_or(Ok(()), |file| file.write(state))?;
            tell(state, begun.elapsed());
            due = Instant::now() + args.long.every;
        }
    }
    file.map_or(Ok(()), |file| file.write(state))
}

/// How far it is.
fn tell(state: &State, elapsed: Duration) {
    let share = state.count() as f64 * 100.0 / state.units() as f64;
    let parts: Vec<String> =
        state.totals.iter().map(|(name, totals)| format!("{name}: {}", totals.brief())).collect();
    let (seconds, parts) = (elapsed.as_secs(), parts.join("; "));
    note(format!("{seconds} s, {} runs ({share:.1} %): {parts}", state.count()));
}

/// What is said of one algorithm at the end.
struct Verdict {
    clean: bool,
    text: String,
    json: serde_json::Value,
}

impl Verdict {
    fn of(algorithm: Algorithm, state: &State, args: &super::Args) -> Self {
        let totals = &state.totals[algorithm.name()];
        let unreached = totals.unreached(&algorithm.dispatch(Marks(!state.job.shuffle)));
        let short = totals.seeds >= ENOUGH && !unreached.is_empty() && !args.long.allow_unreached;
        let sound = totals.failures.is_empty() && totals.differing.is_empty();
        let clean = sound && !short;
        let word = if totals.failures.is_empty() { "no violation" } else { "VIOLATION" };
        let Job { first, seeds, shard, shuffle, .. } = &state.job;
        let way = if *shuffle { ", without a clock" } else { "" };
        let mut text = format!(
            "{algorithm}: {word} in {} of {seeds} seeds from {first} (part {shard}){way}\n{}",
            totals.seeds,
            totals.text(cpu::kind(), !*shuffle)
        );
        if !unreached.is_empty() {
            text.push_str(&format!("\n  reached by no run: {}", unreached.join(", ")));
        }
        let mut json = totals.json();
        json["algorithm"] = json!(algorithm.name());
        json["ok"] = json!(clean);
        json["seconds_are"] = json!(cpu::kind());
        json["unreached"] = json!(unreached);
        Self { clean, text, json }
    }
}

/// The rare things that an algorithm tells of; and, where time passes, those of the world.
struct Marks(bool);

impl Visitor for Marks {
    type Output = Vec<&'static str>;

    fn visit<P: Audit>(self) -> Self::Output {
        let world = if self.0 { synod_sim::expected::<P>() } else { Vec::new() };
        P::MARKS.iter().copied().chain(world).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_parts_of_all_shards_are_all_seeds_once() {
        for seeds in [1, 7, 100, 1_000_003] {
            for of in [1, 2, 3, 8] {
                let mut next = 0;
                for part in 0..of {
                    let (begin, length) = Shard { part, of }.of(seeds);
                    assert_eq!(begin, next, "{part}/{of} of {seeds}");
                    assert!(length.abs_diff(seeds / of) <= 1);
                    next += length;
                }
                assert_eq!(next, seeds);
            }
        }
        let huge = Shard { part: 2, of: 3 }.of(u64::MAX);
        assert_eq!(huge.0 + huge.1, u64::MAX);
    }

    #[test]
    fn parts_that_cannot_be_are_refused() {
        for wrong in ["", "1", "3/3", "0/0", "-1/2", "a/b"] {
            assert!(wrong.parse::<Shard>().is_err(), "{wrong}");
        }
        assert_eq!("1/3".parse(), Ok(Shard { part: 1, of: 3 }));
    }

    #[test]
    fn open_units_are_counted_through_the_gaps() {
        let open = [2..4, 7..8, 10..12];
        let all: Vec<_> = (0..7).map(|place| nth(&open, place)).collect();
        assert_eq!(all, [Some(2), Some(3), Some(7), Some(10), Some(11), None, None]);
    }
}
