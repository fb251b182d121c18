//! Runs one cell for a while: for profilers and callgrind.
//!
//! `burn SYSTEM BYTES WINDOW COMMITS EPISODES`

use synod_peers::measure::{Cell, Warm, keep_memory};
use synod_peers::node::{NAMES, Node, Visitor, dispatch};

struct Burn(Cell, u64);

impl Visitor for Burn {
    type Output = ();

    fn visit<N: Node>(self) {
        Warm::<N>::new(self.0).commit(self.1);
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| {
        arguments.get(at).map_or(default, |text| text.parse().expect("a number"))
    };
    let name = arguments.first().map_or("raft", String::as_str);
    let system = NAMES.into_iter().find(|known| *known == name).expect("a system's name");
    let cell = Cell { system, size: number(1, 16) as usize, window: number(2, 1) as usize };
    keep_memory();
    for _ in 0..number(4, 1) {
        dispatch(system, Burn(cell, number(3, 16_384)));
    }
}
