//! Prints the table of costs.

use std::env;
use synod_peers::measure::{Cell, episode, keep_memory, median};
use synod_peers::system::NAMES;

const WINDOWS: [usize; 5] = [1, 16, 64, 256, 1024];
const SIZES: [usize; 2] = [16, 256];

fn main() {
    keep_memory();
    let filter: Vec<String> = env::args().skip(1).collect();
    let runs = 7;
    let commits = 16_384;
    for size in SIZES {
        println!("{size} B");
        for name in
            NAMES.into_iter().filter(|name| filter.is_empty() || filter.iter().any(|f| f == name))
        {
            print!("{name:32}");
            for window in WINDOWS {
                let cell = Cell { system: name, size, window };
                let mut times = Vec::new();
                let mut messages = 0.0;
                for _ in 0..runs {
                    let cost = episode(cell, commits);
                    times.push(cost.nanoseconds);
                    messages = cost.messages;
                }
                print!("{:8.0} ns {messages:6.3} msg", median(&mut times));
            }
            println!();
        }
    }
}
