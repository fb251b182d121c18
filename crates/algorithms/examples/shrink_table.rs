//! Finds every planted bug, shrinks it, and prints a table row for each.
use consensus_core::Audit;
use consensus_core::mutant::{Mutant, SHARED, plant};
use std::time::Instant;
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::{Budget, Options, check, shrink};

struct Hunt(&'static Mutant, u64);

impl Visitor for Hunt {
    type Output = ();

    fn visit<P: Audit>(self) {
        plant(Some(self.0.name));
        let begun = Instant::now();
        let found = (0..self.1).find_map(|seed| {
            check::<P>(seed, &Options::for_seed::<P>(seed)).violation.map(|v| (seed, v))
        });
        let hunted = begun.elapsed().as_secs_f64();
        let name = format!("{} {}", P::INFO.name, self.0.name);
        let Some((seed, violation)) = found else {
            println!("{name}: not found in {hunted:.1} s");
            return;
        };
        let begun = Instant::now();
        let options = Options::for_seed::<P>(seed);
        match shrink::<P>(seed, &options, Budget::default(), &mut |_| {}) {
            Ok(s) => {
                println!(
                    "{name}: {} seed {seed} (hunt {hunted:.1} s): {} -> {} steps, {} runs, {} plays, {:.1} s",
                    violation.oracle,
                    s.before,
                    s.after,
                    s.runs,
                    s.plays,
                    begun.elapsed().as_secs_f64(),
                );
                if std::env::args().any(|a| a == "-v") {
                    println!("{}", s.scenario);
                    println!("{}", s.scenario.play::<P>(false).unwrap().chart);
                }
            }
            Err(e) => println!("{name}: seed {seed}: {e}"),
        }
        plant(None);
    }
}

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    let args: Vec<String> = std::env::args().collect();
    for algorithm in Algorithm::ALL {
        for mutant in algorithm.mutants().iter().chain(SHARED) {
            if args.len() > 1
                && !args.contains(&mutant.name.to_string())
                && !args.contains(&algorithm.name().to_string())
            {
                continue;
            }
            algorithm.dispatch(Hunt(mutant, 300));
        }
    }
}
