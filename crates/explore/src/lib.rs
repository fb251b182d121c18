//! Explores every behaviour of a small cluster, with the real replicas: the same compiled code that
//! runs on disks and sockets.
//!
//! The simulator looks at some behaviours of clusters of any size; this crate looks at all
//! behaviours of small ones, within [`Bounds`]. It is generic over the protocol and names none.
//!
//! # The model
//!
//! A state holds the replicas themselves, each with its disk (what was written, how much of that is
//! synced), the timers that are set, the promises that wait for the disk, and all that it ever
//! claimed; the messages under way; who led, and what was decided. What may happen next:
//!
//! | action | bounded by |
//! |---|---|
//! | a message arrives, whatever the order of sending; it may never arrive | free |
//! | it arrives again | [`Bounds::duplicates`]; free by default |
//! | a disk syncs all that was written, and the promises that waited leave | free |
//! | a timer that is set fires: there is no time in a model | [`Bounds::timeouts`] |
//! | an operator asks a node to lead | [`Bounds::campaigns`] |
//! | a client gives a command to a node | [`Bounds::commands`] |
//! | an operator wants a node to hand over to another | [`Bounds::transfers`] |
//! | an operator wants other members than a node sees | [`Bounds::changes`], [`Bounds::wishes`] |
//! | a client reads without an entry of the log | [`Bounds::reads`] |
//! | a node takes a snapshot of what it has applied | [`Bounds::snapshots`] |
//! | that, or one that came in messages, is on the disk | free |
//! | time passes | [`Bounds::ticks`]; without them timers fire at any moment |
//! | a node crashes, keeps any prefix of unsynced writes, starts again | [`Bounds::crashes`] |
//!
//! A crash also leaves the old snapshot, or the one that was being written.
//!
//! Loss needs no action of its own: a message that is lost is one that never arrives, and every
//! rule is about what must not happen. Neither does being down: a node to which nothing happens for
//! a while is as silent as one that is down, so that a crash and the restart are one action. Nor
//! does a crash in the midst of a step: a record more on the disk or a message more under way only
//! adds behaviours.
//!
//! # Folding
//!
//! * Messages under way are a set: equal ones are one. Where duplicates are free, a message that
//!   was sent stays for ever, and nobody needs to know whether it arrived already.
//! * Equal promises that wait for the disk are one, for the same reason.
//! * An action that changes nothing is no step. A message without effect is not taken out of the
//!   network, either: whatever can happen without it can happen with it.
//! * Commands are proposed in one order, as the algorithms do not look into them.
//! * Timers have no times, configurations no addresses, and the last write that something waits for
//!   is forgotten once it is synced.
//!
//! * States that differ in the names of nodes only are one, where the algorithm says that it treats
//!   all alike ([`Audit::is_symmetric`](consensus_core::Audit::is_symmetric)); [`mirror`] puts that
//!   to the test. Raft does. Elsewhere no two nodes are alike: ballots order them, primaries are
//!   chosen by them.
//!
//! # Speed
//!
//! What a node does depends on that node and on what happens to it, and on nothing else in the
//! world. So nodes, messages and the outcome of each pair of the two are kept once and numbered; a
//! state is a row of numbers with a 128-bit fingerprint that is a sum over its parts. Millions of
//! states come of some ten thousand steps of single replicas, and only these run protocol code.
//!
//! # Rounds
//!
//! With [`Bounds::storms`] messages do not arrive one by one: all that is under way arrives in one
//! round, or is lost where the weather says so. The model is smaller by orders of magnitude, and
//! reaches second and third views, terms and ballots. It leaves out messages that are late.
//!
//! # The oracles
//!
//! They are those of the simulator, under the same names: O1 agreement, O2 integrity, O3 one leader
//! an epoch, O4 log matching and no gap, O5 leader completeness, O6 durable quorum (by the members
//! in force), O7 no contradiction across restarts, O8 nothing falls and nothing is forgotten that
//! no snapshot holds, O9 a read sees all that was decided when it was asked, O15 a snapshot is of
//! what was decided, O19 and names the members of then, O16 certificates, O18 no halt, no panic, no
//! honest message rejected. What they remember is part of the state, so that a verdict does not
//! depend on the way by which a state was first reached.
//!
//! # Left out
//!
//! Links that must be FIFO; syncs that cover a part of what was written; sessions and state
//! machines, which are shared by all algorithms and which the simulator checks (the state here is a
//! number made of all that was applied); clocks that differ; liveness.
//!
//! ```text
//! let bounds = Preset::Closed.bounds(&Raft::INFO).expect("the preset is for it");
//! let explored = explore::<Raft>(&bounds, &Limits::default(), &mut |_| {})?;
//! assert!(explored.closed && explored.found.is_none());
//! ```

mod arena;
mod bounds;
mod chart;
mod claims;
mod context;
mod disk;
mod fingerprint;
mod mirror;
mod node;
mod oracle;
mod rounds;
mod saved;
mod search;
mod service;
mod settle;
mod state;
mod symmetry;
mod table;
mod violation;
mod wish;
mod work;
mod worker;

pub use bounds::{Bounds, Disks, Preset, SNAPSHOT_BYTES, TICK};
pub use context::BadModel;
pub use mirror::mirror;
pub use saved::Saved;
pub use search::{
    Explored, Found, Limits, Progress, Watch, explore, explore_on, explore_with, hunt, hunt_with,
    settings,
};
pub use violation::Violation;
pub use wish::{Wish, Wishes};
