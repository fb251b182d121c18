//! What is measured, behind one trait.

pub mod floor;
pub mod omni;
pub mod ours;
pub mod raft_rs;

use crate::tally::Tally;
use std::slice::ChunksExact;

/// One replica of three, and all that is needed around it.
pub trait Node: Sized + Send + 'static {
    /// What replicas say to each other.
    type Message: Send + 'static;

    /// A replica that has just started.
    fn start(id: usize) -> Self;

    /// Makes the first replica lead; asked again while messages go to and fro until it does.
    fn campaign(&mut self);

    /// Does it lead?
    fn leads(&self) -> bool;

    /// A burst of input begins.
    fn begin(&mut self) {}

    /// Another replica said something.
    fn hear(&mut self, message: Self::Message);

    /// Clients want these commands. Asked of the leader only.
    fn propose(&mut self, commands: ChunksExact<'_, u8>);

    /// The burst is over: what is committed is delivered, and messages leave. Asked of a leader
    /// before it proposes, too, by those whose library delivers nothing else before.
    fn flush(&mut self, send: &mut impl FnMut(usize, Self::Message));

    /// Must what has come be flushed before the replica knows what is committed?
    const FLUSH_FIRST: bool = false;

    /// What it delivered.
    fn tally(&self) -> Tally;
}

/// Something to be done with each kind of node.
pub trait Visitor {
    /// What comes of it.
    type Output;

    /// Does it.
    fn visit<N: Node>(self) -> Self::Output;
}

/// The systems, by name; the floor first, ours next.
pub const NAMES: [&str; 7] = [
    "floor",
    "raft",
    "multipaxos",
    "raft, an entry a command",
    "multipaxos, an entry a command",
    "omnipaxos",
    "raft-rs",
];

/// From name to type.
///
/// # Panics
/// If there is no system of this name.
pub fn dispatch<V: Visitor>(name: &str, visitor: V) -> V::Output {
    use synod_multipaxos::MultiPaxos;
    use synod_raft::Raft;
    match name {
        "floor" => visitor.visit::<floor::Floor>(),
        "raft" => visitor.visit::<ours::Ours<Raft, true>>(),
        "multipaxos" => visitor.visit::<ours::Ours<MultiPaxos, true>>(),
        "raft, an entry a command" => visitor.visit::<ours::Ours<Raft, false>>(),
        "multipaxos, an entry a command" => visitor.visit::<ours::Ours<MultiPaxos, false>>(),
        "omnipaxos" => visitor.visit::<omni::Omni>(),
        "raft-rs" => visitor.visit::<raft_rs::RaftRs>(),
        other => panic!("there is no system '{other}'; there are {NAMES:?}"),
    }
}
