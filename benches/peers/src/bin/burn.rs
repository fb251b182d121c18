//! Runs one cell for a while, for profilers and callgrind, and says what a commit took: the least
//! and the median of the episodes, nanoseconds of CPU.
//!
//! `burn SYSTEM BYTES WINDOW COMMITS EPISODES`

use synod_peers::measure::{Cell, episode, median};
use synod_peers::node::NAMES;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| {
        arguments.get(at).map_or(default, |text| text.parse().expect("a number"))
    };
    let name = arguments.first().map_or("raft", String::as_str);
    let system = NAMES.into_iter().find(|known| *known == name).expect("a system's name");
    let cell = Cell { system, size: number(1, 16) as usize, window: number(2, 1) as usize };
    let commits = number(3, 16_384);
    let costs = (0..number(4, 1)).map(|_| episode(cell, commits).nanoseconds);
    let mut costs: Vec<f64> = costs.collect();
    let middle = median(&mut costs);
    println!("{name}: {:.0} at least, {middle:.0} in the middle", costs[0]);
}
