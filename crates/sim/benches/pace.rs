//! How fast the simulator is with all oracles on, and how much goes wrong in a run:
//! `cargo bench -p synod-sim --bench pace`.
#![allow(clippy::print_stdout)]

#[path = "../tests/world/toy.rs"]
mod toy;

use consensus_core::{NodeId, NodeSet};
use std::collections::BTreeMap;
use std::time::Instant;
use synod_sim::{Options, check};

fn main() {
    let start = Instant::now();
    let (mut events, mut operations, mut simulated, mut unknown) = (0, 0, 0.0, 0);
    let mut recoveries = Vec::new();
    let (mut faults, mut marks) = (BTreeMap::new(), BTreeMap::new());
    let seeds = 2_000;
    for seed in 0..seeds {
        let mut options = Options::for_seed::<toy::Toy>(seed);
        options.core_includes = NodeSet::only(NodeId(0));
        let report = check::<toy::Toy>(seed, &options);
        if let Some(violation) = report.violation {
            println!("seed {seed}: {violation}");
        }
        events += report.events;
        operations += report.operations;
        unknown += report.unknown;
        simulated += report.simulated.as_secs_f64();
        recoveries.extend(report.recovery);
        for (fault, count) in report.faults {
            *faults.entry(fault).or_insert(0) += count;
        }
        for (mark, count) in report.marks {
            *marks.entry(mark).or_insert(0) += count;
        }
    }
    let wall = start.elapsed().as_secs_f64();
    recoveries.sort_unstable();
    let at = |share: usize| recoveries.get(recoveries.len() * share / 100);
    println!("{seeds} seeds in {wall:.2} s: {:.2} M events/s", events as f64 / wall / 1e6);
    println!("{events} events, {operations} operations, {unknown} without answer");
    println!("{:.1} simulated seconds a seed", simulated / seeds as f64);
    println!("recovery p50 {:?}, p99 {:?}, max {:?}", at(50), at(99), recoveries.last());
    println!("faults {faults:#?}\nmarks {marks:#?}");
}
