//! Makes a failing run small: first its options (fewer nodes, clients, faults), then the steps that
//! were recorded (delta debugging), until no step can be left out. The result is a [`Scenario`]
//! that breaks the same rule.

mod naming;
mod reduction;
mod replay;
mod steps;

pub use reduction::Reduction;

use crate::check::{self, Taped, check};
use crate::operators::Operators;
use crate::options::Options;
use crate::oracle::reads::NAMED_INDEX;
use crate::oracle::soundness::{TOLD_MEMBERS, WAITS};
use crate::report::{Report, Violation};
use crate::scenario::{Entry, Expectation, Line, Scenario, Step};
use crate::traitor::Treason;
use crate::world::{DURABLE_ELECTION, DURABLE_MEMBERS, REHEARSED};
use consensus_core::{Audit, NodeSet};
use std::fmt;
use steps::Search;

/// How much work a shrinker may do. Counted in runs and steps, not in time, so that the same seed
/// gives the same scenario everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Simulated runs.
    pub runs: u32,
    /// Steps on the stage.
    pub steps: u64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { runs: 240, steps: 5_000_000 }
    }
}

/// What the shrinker is just doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ShrinkProgress {
    /// So many of its runs were made.
    Options(u32),
    /// So many steps are left.
    Steps(usize),
}

/// A failing run, made small.
#[derive(Clone, Debug)]
pub struct Shrunk {
    /// What is left of it. Its title, comments and mutant are the caller's to set.
    pub scenario: Scenario,
    /// What it breaks.
    pub violation: Violation,
    /// Steps of the run as the seed drew it, up to the violation.
    pub before: usize,
    /// Steps of the scenario; 0 where it is a simulated run.
    pub after: usize,
    /// Simulated runs that were made.
    pub runs: u32,
    /// How often steps were played.
    pub plays: u64,
}

/// Why nothing came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShrinkError {
    /// The seed does not fail.
    NoViolation,
    /// What was recorded does not fail when it is played: a bug of the recorder.
    NotReplayed(Violation),
}

impl fmt::Display for ShrinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoViolation => f.write_str("the seed breaks no rule"),
            Self::NotReplayed(violation) => {
                write!(f, "the recorded steps do not break the rule of the run: {violation}")
            }
        }
    }
}

impl std::error::Error for ShrinkError {}

/// Did this need what only a world has: clients and their time, or a look at what restarts would
/// make of the disks?
pub fn needs_time(found: &Violation) -> bool {
    match found.oracle {
        _ if [REHEARSED, DURABLE_ELECTION, DURABLE_MEMBERS].contains(&found.name) => true,
        _ if found.name == TOLD_MEMBERS => true,
        _ if found.name == WAITS => false,
        "O9" => found.name != NAMED_INDEX,
        oracle => ["O11", "O13", "O14"].contains(&oracle),
    }
}

/// Can this run be told as steps on a stage? Not where traitors made lies out of what they had
/// heard: such a message follows from no step. Nor is what is shown in messages audited there. Nor
/// where nodes take in more than one input before they say that there is no more.
pub fn can_be_told(report: &Report) -> bool {
    let forged = [Treason::Forge, Treason::Insist];
    let shown = report.violation.as_ref().is_some_and(|found| found.name.starts_with("shown"));
    let turns = report.marks.contains_key(check::TURNS);
    !shown && !turns && !forged.iter().any(|treason| report.faults.contains_key(treason.name()))
}

/// Makes the run of this seed small. Where the run itself stays long, a few runs of other seeds
/// with as small options are made small as well, and the shortest of all is taken, as long as it
/// breaks the same rule.
///
/// # Errors
/// If it does not fail.
pub fn shrink<P: Audit>(
    seed: u64,
    options: &Options,
    budget: Budget,
    progress: &mut dyn FnMut(ShrinkProgress),
) -> Result<Shrunk, ShrinkError> {
    let Taped { report, steps, .. } = check::tape::<P>(seed, options);
    let Some(violation) = report.violation else { return Err(ShrinkError::NoViolation) };
    let before = steps.len();
    let oracle = violation.oracle;
    let mut run = smaller_run::<P>(seed, options, &violation, budget.runs / 3, progress);
    let told = can_be_told(&check::<P>(run.seed, &run.options));
    let mut shrunk = if needs_time(&violation) || !told {
        simulated::<P>(&run, violation)
    } else {
        let own = shorter::<P>(&run, oracle, budget.steps / 2, progress).or_else(|| {
            // The options were made smaller in vain; the run as it was may do.
            run = SmallRun { options: options.clone(), reductions: Vec::new(), ..run.clone() };
            shorter::<P>(&run, oracle, budget.steps / 2, progress)
        });
        let own = own.ok_or(ShrinkError::NotReplayed(violation))?;
        shortest::<P>(own, &mut run, oracle, budget, progress)
    };
    (shrunk.before, shrunk.runs) = (before, run.runs);
    Ok(shrunk)
}

/// Scenarios that are as short as this need no other seeds.
const SHORT: usize = 10;

/// So many other seeds are made small.
const OTHERS: usize = 3;

/// The shortest scenario of this one and of a few other seeds.
fn shortest<P: Audit>(
    own: Shrunk,
    run: &mut SmallRun,
    oracle: &'static str,
    budget: Budget,
    progress: &mut dyn FnMut(ShrinkProgress),
) -> Shrunk {
    let mut options = run.options.clone();
    Reduction::fewest_nodes::<P>().apply::<P>(&mut options);
    let (mut best, mut tried, mut seed) = (own, 0, run.seed);
    while best.after > SHORT && tried < OTHERS && run.runs < budget.runs {
        seed = seed.wrapping_add(1);
        run.runs += 1;
        progress(ShrinkProgress::Options(run.runs));
        if check::<P>(seed, &options).violation.is_none_or(|found| found.oracle != oracle) {
            continue;
        }
        tried += 1;
        let other = SmallRun { seed, options: options.clone(), ..run.clone() };
        let share = budget.steps / 2 / OTHERS as u64;
        if let Some(shrunk) = shorter::<P>(&other, oracle, share, progress) {
            let plays = best.plays + shrunk.plays;
            if shrunk.after < best.after {
                best = shrunk;
            }
            best.plays = plays;
        }
    }
    best
}

/// What cannot be told as steps stays a run in virtual time.
fn simulated<P: Audit>(run: &SmallRun, violation: Violation) -> Shrunk {
    // What the smaller run sees has other words than what the run itself saw.
    let violation = check::<P>(run.seed, &run.options).violation.unwrap_or(violation);
    let mut scenario = blank::<P>(run);
    let expected = Expectation::Violation(violation.oracle.to_owned());
    let simulate = Entry::Simulate(run.reductions.clone());
    scenario.entries = vec![simulate.into(), Entry::Expect(expected).into()];
    Shrunk { scenario, violation, before: 0, after: 0, runs: 0, plays: 0 }
}

/// One checked run as a scenario: every input of every replica, in their order, up to the first
/// violation. Played, it passes through the same states.
pub fn record<P: Audit>(seed: u64, options: &Options) -> (Report, Scenario) {
    let taped = check::tape::<P>(seed, options);
    let run = SmallRun { seed, options: options.clone(), reductions: Vec::new(), runs: 0 };
    let mut scenario = told::<P>(&run, &taped);
    let Taped { report, steps, .. } = taped;
    scenario.title = format!("seed {seed}");
    scenario.entries = steps.into_iter().map(|step| Line::from(Entry::Step(step))).collect();
    if let Some(violation) = &report.violation {
        let expected = Expectation::Violation(violation.oracle.to_owned());
        scenario.entries.push(Entry::Expect(expected).into());
    }
    (report, scenario)
}

/// A failing run with smaller options.
#[derive(Clone)]
struct SmallRun {
    seed: u64,
    options: Options,
    reductions: Vec<Reduction>,
    runs: u32,
}

/// Makes the options smaller as long as the seed still fails in the same way.
fn smaller_run<P: Audit>(
    seed: u64,
    options: &Options,
    violation: &Violation,
    most: u32,
    progress: &mut dyn FnMut(ShrinkProgress),
) -> SmallRun {
    let mut small = SmallRun { seed, options: options.clone(), reductions: Vec::new(), runs: 0 };
    for reduction in Reduction::candidates::<P>(options) {
        let mut smaller = small.options.clone();
        if small.runs >= most || !reduction.apply::<P>(&mut smaller) {
            continue;
        }
        small.runs += 1;
        progress(ShrinkProgress::Options(small.runs));
        let found = check::<P>(seed, &smaller).violation;
        let alike = |found: Violation| {
            found.oracle == violation.oracle && needs_time(&found) == needs_time(violation)
        };
        if found.is_some_and(alike) {
            small.options = smaller;
            small.reductions.push(reduction);
        }
    }
    small
}

/// The steps of a failing run, made few.
fn shorter<P: Audit>(
    run: &SmallRun,
    oracle: &'static str,
    budget: u64,
    progress: &mut dyn FnMut(ShrinkProgress),
) -> Option<Shrunk> {
    let taped = check::tape::<P>(run.seed, &run.options);
    let mut scenario = told::<P>(run, &taped);
    let scene = scenario.scene::<P>().expect("the run had such a cluster");
    let mut show = |left| progress(ShrinkProgress::Steps(left));
    let mut search = Search::new(scene, oracle, taped.steps, budget, &mut show)?;
    search.run();
    scenario.instant = search.scene().instant;
    scenario.clocks.clone_from(&search.scene().clocks);
    let named = naming::named(search.scene(), search.steps());
    let after = named.len();
    let line = |step: Step| Line::from(Entry::Step(step));
    scenario.entries = named.into_iter().map(line).collect();
    let expected = Expectation::Violation(oracle.to_owned());
    scenario.entries.push(Entry::Expect(expected).into());
    let violation = scenario.play::<P>(false).ok()?.violation?;
    let plays = search.plays();
    let shrunk = Shrunk { scenario, violation, before: 0, after, runs: 0, plays };
    (shrunk.violation.oracle == oracle).then_some(shrunk)
}

/// A run that is told as steps, without the steps.
fn told<P: Audit>(run: &SmallRun, taped: &Taped) -> Scenario {
    let (traitors, clocks) = (taped.traitors, taped.clocks.clone());
    Scenario { traitors, clocks, lease: run.options.operators.lease, ..blank::<P>(run) }
}

fn blank<P: Audit>(run: &SmallRun) -> Scenario {
    let Operators { spares, chunk, .. } = run.options.operators;
    Scenario {
        algo: P::INFO.name.to_owned(),
        sizes: run.options.sizes,
        trailing: run.options.operators.trailing,
        variants: run.options.variants.clone(),
        sessions: run.options.sessions,
        in_place: run.options.in_place,
        nodes: run.options.nodes + spares,
        seed: run.seed,
        voters: if spares > 0 { NodeSet::first(run.options.nodes) } else { NodeSet::EMPTY },
        chunk: if run.options.operators.snapshots.is_some() { chunk } else { 0 },
        ..Scenario::default()
    }
}
