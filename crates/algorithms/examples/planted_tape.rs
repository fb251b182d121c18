//! Records a run with a planted bug as a module of TLA+, for `docs/tla/check`: of the first seed in
//! which an oracle finds the bug within so many steps.
//!
//! ```text
//! cargo run --features mutants --example planted_tape -- raft R02 2500 > Tape.tla
//! ```

use consensus_core::Audit;
use consensus_core::mutant::plant;
use std::io::Write;
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::{Options, chronicle};

/// Seeds that are tried.
const SEEDS: u64 = 1_000;

/// Looks for a short run in which the bug shows.
struct Recorded {
    steps: usize,
}

impl Visitor for Recorded {
    type Output = Option<String>;

    fn visit<P: Audit>(self) -> Option<String> {
        (0..SEEDS).find_map(|seed| {
            let options = Options::for_seed::<P>(seed).without_extras();
            let (report, module) = chronicle::<P>(seed, &options, self.steps);
            let short = module.matches("[event |-> ").count() < self.steps;
            let violation = report.violation.filter(|_| short)?;
            Some(format!("\\* The oracles say: {violation}\n{module}"))
        })
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [algorithm, bug, steps] = &arguments[..] else {
        return Err("usage: planted_tape ALGORITHM BUG STEPS".into());
    };
    let algorithm: Algorithm = algorithm.parse()?;
    let mutant = algorithm.mutants().iter().find(|mutant| mutant.name == bug.as_str());
    let mutant = mutant.ok_or_else(|| format!("{bug} is not planted in {algorithm}"))?;
    plant(Some(mutant.name));
    let module = algorithm.dispatch(Recorded { steps: steps.parse()? });
    let module = module.ok_or_else(|| format!("{bug} shows in none of {SEEDS} short runs"))?;
    std::io::stdout().write_all(module.as_bytes())?;
    Ok(())
}
