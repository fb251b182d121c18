//! Prints the tables.

use synod_peers::measure::{Cell, SIZES, WINDOWS, episode, keep_memory, median};
use synod_peers::node::NAMES;
fn main() {
    keep_memory();
    let filter: Vec<String> = std::env::args().skip(1).collect();
    let runs = 7;
    for size in SIZES {
        println!("{size} B");
        for name in NAMES.into_iter().filter(|name| filter.is_empty() || filter.iter().any(|f| f == name)) {
            print!("{name:32}");
            for window in WINDOWS {
                let cell = Cell { system: name, size, window };
                let mut times = Vec::new();
                let mut messages = 0.0;
                for _ in 0..runs {
                    let cost = episode(cell, 16384);
                    times.push(cost.nanoseconds);
                    messages = cost.messages;
                }
                print!("{:8.0} ns {messages:6.3} msg", median(&mut times));
            }
            println!();
        }
    }
}
