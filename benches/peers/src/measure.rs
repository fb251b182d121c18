//! One episode: a new cluster, warmed up, then so many commits.

use crate::lockstep::Lockstep;
use crate::node::{Node, Visitor, dispatch};
use crate::tally::Source;
use cpu_time::ThreadTime;

/// Commands outstanding.
pub const WINDOWS: [usize; 5] = [1, 16, 64, 256, 1024];

/// Bytes of a command.
pub const SIZES: [usize; 2] = [16, 256];

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
pub struct Warm<N: Node> {
    cluster: Lockstep<N>,
    source: Source,
    window: usize,
}

impl<N: Node> Warm<N> {
    /// Starts and warms up.
    pub fn new(cell: Cell) -> Self {
        let (cluster, source) = (Lockstep::new(), Source::new(cell.size));
        let mut warm = Self { cluster, source, window: cell.window };
        warm.commit(4 * cell.window.max(64) as u64);
        warm
    }

    /// Runs until so many more commands are committed and applied at the leader. Returns how many
    /// were: whole windows.
    pub fn commit(&mut self, commits: u64) -> u64 {
        let before = self.cluster.applied();
        while self.cluster.applied() < before + commits {
            self.cluster.turn(&mut self.source, self.window);
        }
        self.cluster.applied() - before
    }

    /// Ends the episode, and compares what the replicas applied.
    pub fn finish(mut self) {
        let everything = self.source.made();
        for _ in 0..8 {
            self.cluster.turn(&mut self.source, 1);
        }
        let tallies = self.cluster.tallies();
        assert!(tallies[0].applied >= everything, "everything proposed was committed");
        for other in &tallies[1..] {
            assert!(tallies[0].agrees_with(other), "replicas differ: {tallies:?}");
        }
    }
}

/// Lets the allocator keep what it once got: to glibc, a large block that is given back says that
/// heaps up to twice its size are not to be returned to the kernel. Else each episode would pay
/// anew for the same pages, and the pages, not the systems, would be measured. Before each episode,
/// as what the one before gave back may have been too much to be kept.
pub fn keep_memory() {
    drop(std::hint::black_box(vec![1u8; (32 << 20) - (64 << 10)]));
    drop(std::hint::black_box(vec![vec![1u8; 64 << 10]; 256]));
}

struct Episode(Cell, u64);

impl Visitor for Episode {
    type Output = Cost;

    fn visit<N: Node>(self) -> Cost {
        let Self(cell, commits) = self;
        keep_memory();
        let mut warm = Warm::<N>::new(cell);
        let messages = warm.cluster.messages();
        let began = ThreadTime::now();
        let done = warm.commit(commits) as f64;
        let spent = began.elapsed();
        let messages = warm.cluster.messages() - messages;
        warm.finish();
        Cost { nanoseconds: spent.as_nanos() as f64 / done, messages: messages as f64 / done }
    }
}

/// Runs one episode.
pub fn episode(cell: Cell, commits: u64) -> Cost {
    dispatch(cell.system, Episode(cell, commits))
}

/// The median.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
