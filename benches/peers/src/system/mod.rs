//! What is measured, behind one trait.

pub mod floor;
pub mod omnipaxos;
pub mod ours;
pub mod raft_rs;

use crate::tally::{Source, Tally};

/// A cluster of three.
pub trait System {
    /// Everybody takes in what has come, the leader first; it refills the window.
    fn turn(&mut self, source: &mut Source, window: usize);

    /// Messages that were sent so far.
    fn messages(&self) -> u64;

    /// What the replicas applied, the leader first.
    fn tallies(&self) -> Vec<Tally>;

    /// Commands that the leader applied.
    fn applied(&self) -> u64;
}

/// The systems, by name.
pub const NAMES: [&str; 7] = [
    "floor",
    "raft",
    "multipaxos",
    "raft, an entry a command",
    "multipaxos, an entry a command",
    "omnipaxos",
    "raft-rs",
];

/// A new cluster of this name, whose first replica leads, for commands of this size.
///
/// # Panics
/// If there is no system of this name.
pub fn start(name: &str) -> Box<dyn System> {
    use ours::{Framing, Ours};
    match name {
        "floor" => Box::new(floor::Floor::default()),
        "raft" => Box::new(Ours::<synod_raft::Raft>::new(Framing::Burst)),
        "multipaxos" => Box::new(Ours::<synod_multipaxos::MultiPaxos>::new(Framing::Burst)),
        "raft, an entry a command" => Box::new(Ours::<synod_raft::Raft>::new(Framing::Command)),
        "multipaxos, an entry a command" => {
            Box::new(Ours::<synod_multipaxos::MultiPaxos>::new(Framing::Command))
        }
        "omnipaxos" => Box::new(omnipaxos::Omni::new()),
        "raft-rs" => Box::new(raft_rs::RaftRs::new()),
        other => panic!("there is no system '{other}'; there are {NAMES:?}"),
    }
}
