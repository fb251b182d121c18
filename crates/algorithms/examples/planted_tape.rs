//! Records the first steps of a run with a planted bug, or with none, as a module of TLA+, for
//! `docs/tla/check`:
//!
//! ```text
//! cargo run --features mutants --example planted_tape -- raft R02 SEED STEPS > Tape.tla
//! ```

use consensus_core::Audit;
use consensus_core::mutant::plant;
use std::io::Write;
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::{Options, tape};

struct Recorded {
    seed: u64,
    steps: usize,
}

impl Visitor for Recorded {
    type Output = String;

    fn visit<P: Audit>(self) -> String {
        let options = Options::for_seed::<P>(self.seed);
        let (report, module) = tape::<P>(self.seed, &options, self.steps);
        match report.violation {
            Some(violation) => format!("\\* The oracles say: {violation}\n{module}"),
            None => module,
        }
    }
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [algorithm, bug, seed, steps] = &arguments[..] else {
        return Err("usage: planted_tape ALGORITHM BUG SEED STEPS".into());
    };
    let algorithm: Algorithm = algorithm.parse()?;
    if bug != "none" {
        let mutant = algorithm.mutants().iter().find(|mutant| mutant.name == bug.as_str());
        let mutant = mutant.ok_or_else(|| format!("{bug} is not planted in {algorithm}"))?;
        plant(Some(mutant.name));
    }
    let module = algorithm.dispatch(Recorded { seed: seed.parse()?, steps: steps.parse()? });
    std::io::stdout().write_all(module.as_bytes())?;
    Ok(())
}
