//! `synod simulate --shrink`: makes a failing run small and writes it down as a scenario.

use super::simulate::with_named;
use crate::exit::Failure;
use crate::output::say;
use crate::planted::Planted;
use crate::progress::Progress;
use consensus_core::Audit;
use std::path::PathBuf;
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::{Budget, Options, Outcome, ShrinkError, ShrinkProgress, Shrunk};

/// Makes the run of this seed small, writes the scenario, and shows it.
pub(crate) fn shrink(
    algorithm: Algorithm,
    seed: u64,
    variants: Option<&[String]>,
    planted: Planted,
    file: Option<PathBuf>,
) -> Result<(), Failure> {
    planted.plant();
    let quiet = QuietPanics::begin();
    let mut progress = Progress::new();
    let made = algorithm.dispatch(Shrink { seed, variants, planted, progress: &mut progress });
    progress.finish();
    drop(quiet);
    let (shrunk, outcome) = made.map_err(|why| Failure::failed(why.to_string()))?;
    let path = file.unwrap_or_else(|| PathBuf::from(format!("{algorithm}-{seed}.scn")));
    std::fs::write(&path, shrunk.scenario.to_string())
        .map_err(|why| Failure::failed(format!("{}: {why}", path.display())))?;
    let path = path.display();
    let size = if shrunk.after > 0 {
        format!("from {} steps to {}", shrunk.before, shrunk.after)
    } else {
        "to a smaller run".to_owned()
    };
    say(format!("{algorithm}: seed {seed} is shrunk {size}: {path}"));
    if !outcome.chart.is_empty() {
        say(format!("\n{}", outcome.chart));
    }
    let chart = if shrunk.after > 0 { " --chart" } else { "" };
    say(format!("{}\nreplay it: synod scenario {path}{chart}", shrunk.violation.in_short()));
    Ok(())
}

struct Shrink<'a> {
    seed: u64,
    variants: Option<&'a [String]>,
    planted: Planted,
    progress: &'a mut Progress,
}

impl Visitor for Shrink<'_> {
    type Output = Result<(Shrunk, Outcome), ShrinkError>;

    fn visit<P: Audit>(self) -> Self::Output {
        let (seed, budget, name) = (self.seed, Budget::default(), P::INFO.name);
        let (runs, steps) = (format!("{name}: smaller runs"), format!("{name}: fewer steps"));
        let mut most = 0;
        let mut show = |at: ShrinkProgress| match at {
            ShrinkProgress::Options(done) => {
                self.progress.show(&runs, u64::from(done), u64::from(budget.runs));
            }
            ShrinkProgress::Steps(left) => {
                most = most.max(left);
                self.progress.show(&steps, (most - left) as u64, most as u64);
            }
        };
        let options = with_named::<P>(Options::for_seed::<P>(seed), self.variants);
        let mut shrunk = synod_sim::shrink::<P>(seed, &options, budget, &mut show)?;
        let violation = &shrunk.violation;
        let scenario = &mut shrunk.scenario;
        scenario.title = format!("{name}: {} ({})", violation.oracle, violation.name);
        scenario.mutant = self.planted.name().map(str::to_owned);
        let with = self.planted.name().map(|bug| format!(" --mutant {bug}")).unwrap_or_default();
        let on = self
            .variants
            .map_or(String::new(), |variants| format!(" --variant {name}:{}", variants.join("+")));
        let run = format!("--algo {name} --seed {seed} --seeds 1{on}");
        let found = format!("synod simulate {run} --shrink{with}");
        scenario.comments = vec![format!("Found by: {found}")];
        let outcome = scenario.play::<P>(false).expect("it was played before");
        Ok((shrunk, outcome))
    }
}

/// A shrinker makes a run panic over and over, if that is how it fails; one report is enough.
pub(crate) struct QuietPanics;

impl QuietPanics {
    pub(crate) fn begin() -> Self {
        std::panic::set_hook(Box::new(|_| {}));
        Self
    }
}

impl Drop for QuietPanics {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            drop(std::panic::take_hook());
        }
    }
}
