//! The table of `docs/scenarios.md`: every planted bug that the simulator finds, how long the run
//! was that found it, and how short the scenario is that came of it.
//!
//! cargo bench -p synod-algorithms --features mutants --bench shrink_table -- [raft|R01 …]

#![allow(clippy::print_stdout, reason = "a measurement prints its result")]

use consensus_core::Audit;
use consensus_core::mutant::{Mutant, plant};
use std::time::Instant;
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::{Budget, Options, check, shrink};

/// Seeds within which a bug is hunted.
const SEEDS: u64 = 2_000;

struct Row(&'static Mutant);

impl Visitor for Row {
    type Output = String;

    fn visit<P: Audit>(self) -> String {
        let (name, bug) = (P::INFO.name, self.0.name);
        let found = (0..SEEDS).find_map(|seed| {
            let violation = check::<P>(seed, &Options::for_seed::<P>(seed)).violation?;
            Some((seed, violation))
        });
        let Some((seed, violation)) = found else {
            return format!("| {name} | {bug} | – | not found | | | |");
        };
        let begun = Instant::now();
        let options = Options::for_seed::<P>(seed);
        let shrunk = shrink::<P>(seed, &options, Budget::default(), &mut |_| {});
        let seconds = begun.elapsed().as_secs_f64();
        let oracle = violation.oracle;
        match shrunk {
            Ok(shrunk) => {
                let after =
                    if shrunk.after > 0 { shrunk.after.to_string() } else { "a run".into() };
                let before = shrunk.before;
                let nodes = shrunk.scenario.nodes;
                format!(
                    "| {name} | {bug} | {oracle} | {seed} | {before} | {after} | {nodes} | \
                     {seconds:.1} |"
                )
            }
            Err(why) => format!("| {name} | {bug} | {oracle} | {seed} | {why} | | | |"),
        }
    }
}

fn main() {
    std::panic::set_hook(Box::new(|_| {}));
    // `cargo bench` adds a word of its own.
    let wanted = std::env::args().skip(1).filter(|word| word != "--bench");
    let wanted: Vec<String> = wanted.collect();
    println!("| algorithm | bug | oracle | seed | steps before | steps after | nodes | seconds |");
    println!("|---|---|---|---|---|---|---|---|");
    for algorithm in Algorithm::ALL {
        for mutant in algorithm.mutants() {
            let named = |name: &String| name == mutant.name || name == algorithm.name();
            if wanted.is_empty() || wanted.iter().any(named) {
                plant(Some(mutant.name));
                println!("{}", algorithm.dispatch(Row(mutant)));
                plant(None);
            }
        }
    }
}
