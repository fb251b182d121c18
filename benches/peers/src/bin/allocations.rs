//! Heap allocations a commit, as tab-separated lines: system, bytes, window, allocations, bytes
//! allocated. A program of its own, as counting takes time.

use allocation_counter::measure;
use synod_peers::measure::{Cell, SIZES, WINDOWS, Warm};
use synod_peers::node::{NAMES, Node, Visitor, dispatch};

const COMMITS: u64 = 8_192;

struct Count(Cell);

impl Visitor for Count {
    type Output = (f64, f64);

    fn visit<N: Node>(self) -> (f64, f64) {
        let mut warm = Warm::<N>::new(self.0);
        let mut done = 0;
        let info = measure(|| done = warm.commit(COMMITS));
        warm.finish();
        (info.count_total as f64 / done as f64, info.bytes_total as f64 / done as f64)
    }
}

fn main() {
    for size in SIZES {
        for system in NAMES {
            for window in WINDOWS {
                let (count, bytes) = dispatch(system, Count(Cell { system, size, window }));
                println!("{system}\t{size}\t{window}\t{count:.3}\t{bytes:.0}");
            }
        }
    }
}
