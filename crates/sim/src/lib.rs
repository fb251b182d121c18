//! A deterministic simulator with disks, faults and oracles for any Synod protocol.
//!
//! A [`World`] is a cluster in virtual time: replicas of one protocol `P`, each with disk, timers,
//! a service and clients, joined by links. Everything that happens is an event in one queue, and
//! all chance comes from one seed, so that a seed is a run, bit for bit: [`World::hash`] stands for
//! all of it. The code of the protocol is the same that runs on real sockets and disks; the
//! simulator names no algorithm.
//!
//! # The model
//!
//! * **Links** ([`Network`]) delay, lose, double and reorder messages, replay them much later, over
//!   restarts, and are cut in any direction. Where the protocol asks for FIFO links, order is kept.
//! * **Disks** ([`DiskModel`]) take the records in order. A sync covers what was written when it
//!   began. A crash keeps what was synced and a random prefix of the rest, so that a message that
//!   left too early is a lie that somebody can see. Syncs stall and fail, disks are full, and some
//!   are lost for good, with their nodes: no driver starts on damage.
//! * **Nodes** crash, also between two effects of one step; they restart on what their disk kept;
//!   they stand still and go on with old timers and old messages; they are slow. Their clocks run
//!   fast or slow, and jump ahead.
//! * **Snapshots** are files beside the records: written, synced, renamed, lost or kept whole by
//!   a crash. A node takes one whenever it has applied so many indices; others fetch it in chunks
//!   over the same links as everything else. What is forgotten must be in one.
//! * **Operators** ([`Operators`]) add, promote, replace and remove nodes, the leader too, shrink
//!   the cluster to one and let it grow, act on old views and two at once, and hand leadership
//!   over. A node whose disk is lost comes back under a new name only.
//! * **Readers** are the real reading client ([`consensus_core::Querier`]), in all modes that an
//!   algorithm offers ([`Offers`]); by leases only where clocks keep what was declared of them.
//! * **Clients** are the real client's state machine ([`consensus_core::Client`]). Their links lose
//!   and delay, but never repeat a request. That a connection broke, or that nothing listens where
//!   they ask, they hear or do not.
//! * **Traitors** ([`Treason`]) run the honest code, and what they say is tampered with on the way
//!   out, under their own keys ([`SimKeys`]). Nothing is asked of them, and nothing they commit
//!   counts.
//!
//! # The oracles
//!
//! They look at every step of every world, also of one that only measures. After the first
//! [`Violation`] time stands still.
//!
//! | oracle | rule |
//! |---|---|
//! | O1 | agreement: one batch an index, over all correct nodes and all time |
//! | O2 | integrity: what is committed was sent by a client, byte for byte, and is applied once |
//! | O3 | one leader an epoch |
//! | O4 | what is committed has no gap; equal entries have equal pasts, on all disks |
//! | O5 | a new leader holds everything that was committed in earlier epochs |
//! | O6 | what is committed is on the *synced* disks of a quorum |
//! | O7 | no node contradicts itself, restarts included |
//! | O8 | epoch and commit index do not fall within a life |
//! | O9 | linearizable: the log's order agrees with real time, answers with a replay; fresh reads |
//! | O10 | linearizable from outside: some order explains all answers ([`check()`] only) |
//! | O11 | what a client was told is refused is never applied |
//! | O12 | purged ≤ snapshot ≤ applied ≤ committed ≤ last |
//! | O13 | a healed quorum answers in time, whatever is broken around it ([`check()`] only) |
//! | O14 | a healed cluster rests; who comes back disturbs nobody ([`check()`] only) |
//! | O15 | equal states after equal indices, snapshots included |
//! | O16 | a counted vote has enough distinct signers, who really said so |
//! | O19 | members are what the log says, and what an operator who saw the ones before asked for |
//! | O20 | a replica is sound by itself, and what it counts on is, or was, on the disks |
//! | O18 | no panic, no halt, no refusal to recover, no honest message rejected |
//!
//! # A checked run
//!
//! [`check()`] runs one seed in three phases. *Safety*: faults strike, of the classes that the seed
//! has drawn ([`Options::for_seed`]). *Core*: a random quorum is healed, everything else stays
//! broken for ever or is broken further, and fresh clients and readers must get their answers in
//! time. *Whole*: all is healed, all members must catch up, learners too, and an operator must get
//! the members that he wants. *Rest*: nobody asks for anything, and hardly anything may happen; a
//! node goes away and comes back, and the leader stays. [`trace()`] does the same and tells every
//! event.
//!
//! ```text
//! let options = Options::for_seed::<Raft>(seed);
//! let report = check::<Raft>(seed, &options);
//! assert_eq!(report.violation, None, "replay with seed {seed}");
//! ```
//!
//! [`Options::for_shuffle`] draws another kind of run: short, in a small cluster of any size, and
//! without a clock ([`Shuffle`]). What happens next is drawn from everything that could, so that a
//! message may stay under way while leaders come and go, which delays make rare. The oracles are
//! the same.
//!
//! # A measured run
//!
//! [`Setup::new`] is the quiet world: fixed delays, no faults, instant disks. There costs are
//! equalities: [`World::counters`] tells what each node sent, wrote and synced,
//! [`World::completions`] what clients waited for.
//!
//! ```text
//! let mut world = World::new(Setup::<Raft>::new(cluster, 1), Registers::default);
//! world.campaign(NodeId(0));
//! world.add_client(NodeId(0), Patience::default(), |nth| (nth < 10).then(|| (put(nth), None)));
//! world.run_until(limit, |world| world.completions().len() == 10);
//! ```
//!
//! # Left out
//!
//! Bytes: a record is whole or lost here. What a disk does to bytes (torn sectors, rot, misdirected
//! writes) is tried on the real write-ahead log, in `synod-runtime`.

mod check;
pub mod connectivity;
mod disk;
mod driver;
mod hunt;
mod keys;
mod nemesis;
mod network;
mod operators;
mod options;
mod oracle;
mod reach;
mod registers;
mod report;
mod rng;
mod scenario;
mod shelf;
mod shrink;
mod shuffle;
mod stage;
mod tla;
mod traitor;
mod world;

#[cfg(test)]
#[path = "../tests/world/toy.rs"]
mod toy;

pub use check::{check, check_with, chronicle, trace};
pub use disk::DiskModel;
pub use hunt::first_violation;
pub use keys::SimKeys;
pub use network::{Curse, Latency, Network};
pub use operators::{Offers, Operators};
pub use options::{Fault, Faults, Options};
pub use reach::expected;
pub use registers::{Operation, Registers};
pub use report::{Report, Violation};
pub use rng::{CERTAIN, Rng};
pub use scenario::{
    Act, Action, BadScenario, Chart, CommonWords, Compare, Condition, Cut, Entry, Expectation,
    Formula, Item, Line, Load, Memory, Missed, Name, Names, Net, Number, Outcome, Pattern, Pick,
    Proposal, Scenario, Sight, Span, Step, Vocabulary, Weather, batch_of, command_of, said_by,
};
pub use shrink::{
    Budget, Reduction, ShrinkError, ShrinkProgress, Shrunk, can_be_told, needs_time, record, shrink,
};
pub use shuffle::Shuffle;
pub use stage::{Asked, Clocks, Flight, Impossible, Scene, Stage, Table, saying};
pub use traitor::Treason;
pub use world::{Completion, Fate, ReadDone, Setup, World};
