//! One episode: a new cluster, warmed up, then so many commits.

use crate::system::{System, start};
use crate::tally::Source;
use cpu_time::ThreadTime;

/// A cell of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    /// The system's name.
    pub system: &'static str,
    /// Bytes of a command.
    pub size: usize,
    /// Commands outstanding.
    pub window: usize,
}

/// What one episode cost.
#[derive(Clone, Copy, Debug, Default)]
pub struct Cost {
    /// CPU of all three replicas, nanoseconds a commit.
    pub nanoseconds: f64,
    /// Messages a commit.
    pub messages: f64,
}

/// A cluster that has warmed up.
pub struct Warm {
    system: Box<dyn System>,
    source: Source,
    window: usize,
}

impl Warm {
    /// Starts and warms up.
    pub fn new(cell: Cell) -> Self {
        let system = start(cell.system);
        let mut warm = Self { system, source: Source::new(cell.size), window: cell.window };
        warm.commit(4 * cell.window.max(64) as u64);
        warm
    }

    /// Runs until so many more commands are committed and applied at the leader. Returns how many
    /// were: whole windows.
    pub fn commit(&mut self, commits: u64) -> u64 {
        let before = self.system.applied();
        while self.system.applied() < before + commits {
            self.system.turn(&mut self.source, self.window);
        }
        self.system.applied() - before
    }

    /// Messages so far.
    pub fn messages(&self) -> u64 {
        self.system.messages()
    }

    /// Ends the episode, and compares what the replicas applied.
    pub fn finish(mut self) {
        let everything = self.source.made();
        for _ in 0..8 {
            self.system.turn(&mut self.source, 1);
        }
        let tallies = self.system.tallies();
        assert!(tallies[0].applied >= everything, "everything proposed was committed");
        for other in &tallies[1..] {
            assert!(tallies[0].agrees_with(other), "replicas differ: {tallies:?}");
        }
    }
}

/// Lets the allocator keep what it once got: to glibc, a large block that is given back says that
/// heaps up to twice its size are not to be returned to the kernel. Else each episode would pay
/// anew for the same pages, and the pages, not the systems, would be measured.
pub fn keep_memory() {
    drop(std::hint::black_box(vec![1u8; (32 << 20) - (64 << 10)]));
    drop(std::hint::black_box(vec![vec![1u8; 64 << 10]; 256]));
}

/// Runs one episode.
pub fn episode(cell: Cell, commits: u64) -> Cost {
    let mut warm = Warm::new(cell);
    let messages = warm.messages();
    let began = ThreadTime::now();
    let done = warm.commit(commits) as f64;
    let spent = began.elapsed();
    let messages = warm.messages() - messages;
    warm.finish();
    Cost { nanoseconds: spent.as_nanos() as f64 / done, messages: messages as f64 / done }
}

/// The median.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
