//! Runs one cell for a while: for profilers.
//!
//! `burn SYSTEM SIZE WINDOW COMMITS EPISODES`

use synod_peers::measure::{Cell, Warm, keep_memory};
use synod_peers::system::NAMES;

fn main() {
    keep_memory();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |at: usize, default: u64| {
        arguments.get(at).map_or(default, |text| text.parse().expect("a number"))
    };
    let name = arguments.first().map_or("raft", String::as_str);
    let system = NAMES.into_iter().find(|known| *known == name).expect("a system's name");
    let cell = Cell { system, size: number(1, 16) as usize, window: number(2, 1) as usize };
    for _ in 0..number(4, 1) {
        Warm::new(cell).commit(number(3, 16_384));
    }
}
