//! `synod scenario`: plays scenario files step by step, and holds what comes of them against what
//! they expect.

use super::shrink::QuietPanics;
use crate::exit::{Exit, Failure, Outcome};
use crate::output::say;
use crate::planted::Planted;
use std::path::{Path, PathBuf};
use synod_algorithms::Algorithm;
use synod_sim::Scenario;

/// Flags of `synod scenario`.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub(crate) struct Args {
    /// Scenario files (.scn)
    #[arg(required = true, value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Draw what happens: a column a node, a line a step, an arrow a message
    #[arg(long)]
    chart: bool,
    /// Leave out steps that cannot be: what was recorded with a bug says things that nobody says
    /// once the bug is fixed
    #[arg(long)]
    lenient: bool,
}

const EXAMPLES: &str = "\
Examples:
  synod scenario raft-17.scn --chart        play one, and draw it
  synod scenario scenarios/*.scn            play many

The files are described in docs/scenarios.md. `synod simulate --shrink` writes them.
Exits with 1 if an expectation fails.";

/// Plays them.
pub(crate) fn run(args: &Args) -> Outcome {
    let mut clean = true;
    for path in &args.files {
        clean &= play(path, args)?;
    }
    Ok(if clean { Exit::Ok } else { Exit::Failed })
}

/// Plays one, with each of its algorithms. True if all was as expected.
fn play(path: &Path, args: &Args) -> Result<bool, Failure> {
    let text = std::fs::read_to_string(path).map_err(|why| usage(path, why))?;
    let scenario = Scenario::parse(&text).map_err(|why| usage(path, why))?;
    let mut clean = true;
    for name in scenario.algorithms() {
        let algorithm: Algorithm = name.parse().map_err(|why| usage(path, why))?;
        clean &= play_with(path, &scenario, algorithm, args)?;
    }
    for name in &scenario.unlike {
        clean &= contrast(path, &scenario, name, args)?;
    }
    Ok(clean)
}

fn play_with(
    path: &Path,
    scenario: &Scenario,
    algorithm: Algorithm,
    args: &Args,
) -> Result<bool, Failure> {
    let planted = match &scenario.mutant {
        Some(name) => Planted::find(algorithm, Some(name)),
        // One that is planted from outside may belong to another algorithm.
        None => Ok(Planted::from_outside(algorithm)),
    };
    planted.map_err(|why| usage(path, why.message))?.plant();
    let quiet = QuietPanics::begin();
    let played = algorithm.play(scenario, args.lenient);
    drop(quiet);
    let played = played.map_err(|why| usage(path, why))?;
    let file = match scenario.algorithms().count() {
        1 => path.display().to_string(),
        _ => format!("{}, {algorithm}", path.display()),
    };
    if args.chart && !played.chart.is_empty() {
        say(format!("{}\n{}", scenario.title, played.chart));
    }
    for told in &played.told {
        say(told);
    }
    for missed in &played.missed {
        let line = if missed.line > 0 { format!("line {}: ", missed.line) } else { String::new() };
        say(format!("{file}: {line}{}", missed.why));
    }
    if played.missed.is_empty() {
        let found = match &played.violation {
            Some(violation) => format!("as expected, {}", violation.in_short()),
            None => "all as expected".to_owned(),
        };
        let skipped = match played.skipped {
            0 => String::new(),
            some => format!(" ({some} steps left out)"),
        };
        say(format!("{file}: {found}{skipped}"));
    }
    Ok(played.missed.is_empty())
}

/// Plays one with what is no algorithm. True if it fails, as it must.
fn contrast(path: &Path, scenario: &Scenario, name: &str, args: &Args) -> Result<bool, Failure> {
    let played = Algorithm::contrast(name, scenario).map_err(|why| usage(path, why))?;
    if args.chart && !played.chart.is_empty() {
        say(format!("{}\n{}", scenario.title, played.chart));
    }
    let file = path.display();
    match played.missed.first() {
        Some(missed) => say(format!("{file}, {name}: fails, as it must: {}", missed.why)),
        None => say(format!("{file}, {name}: it is no algorithm, and does all that is expected")),
    }
    Ok(!played.missed.is_empty())
}

fn usage(path: &Path, why: impl std::fmt::Display) -> Failure {
    Failure::usage(format!("{}: {why}", path.display()))
}
