//! Commands, and what the replicas make of them.

use std::slice::ChunksExact;

/// Makes commands of one size, no two of them alike.
#[derive(Debug)]
pub struct Source {
    size: usize,
    bytes: Vec<u8>,
    made: u64,
}

impl Source {
    /// Commands of so many bytes, at least 16.
    pub fn new(size: usize) -> Self {
        assert!(size >= 16, "a command has a number and a few bytes more");
        Self { size, bytes: Vec::new(), made: 0 }
    }

    /// The next commands, as they might lie in the buffers of a network. Whoever wants to keep one
    /// has to copy it.
    pub fn commands(&mut self, count: usize) -> ChunksExact<'_, u8> {
        let length = count * self.size;
        if self.bytes.len() < length {
            self.bytes.resize(length, 7);
        }
        let bytes = &mut self.bytes[..length];
        for command in bytes.chunks_exact_mut(self.size) {
            self.made += 1;
            command[..8].copy_from_slice(&self.made.to_le_bytes());
        }
        bytes.chunks_exact(self.size)
    }

    /// Commands made so far.
    pub fn made(&self) -> u64 {
        self.made
    }
}

/// The state machine: counts the commands and folds them into a number that tells their order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Commands applied.
    pub applied: u64,
    sum: u64,
    before: u64,
}

impl Tally {
    /// Applies a command.
    #[inline]
    pub fn apply(&mut self, command: &[u8]) {
        let word = |at: usize| {
            u64::from_le_bytes(command[at..at + 8].try_into().expect("a word has 8 bytes"))
        };
        self.before = self.sum;
        self.sum =
            (self.sum.rotate_left(5) ^ word(0) ^ word(8)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        self.applied += 1;
    }

    /// Has the other applied the same, or all of it but the last command?
    pub fn agrees_with(&self, other: &Self) -> bool {
        let all = other.applied == self.applied && other.sum == self.sum;
        let all_but_one = other.applied + 1 == self.applied && other.sum == self.before;
        all || all_but_one
    }
}
