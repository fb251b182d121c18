//! Multi-Paxos: a cluster chooses one value after the other, and asks for leave only once.
//!
//! The papers are Leslie Lamport, "Paxos Made Simple" (2001), cited as §2.2 and so on, and Robbert
//! van Renesse and Deniz Altinbuken, "Paxos Made Moderately Complex" (2015), cited as PMMC.
//!
//! # The algorithm
//!
//! The log has *slots*, and each slot is an instance of Paxos: proposers offer values, acceptors
//! accept them, and a value is *chosen* when a quorum of acceptors has accepted it under one
//! *ballot*. Ballots are numbers that no two proposers share. Basic Paxos needs two rounds for
//! each value. Phase 1 asks a quorum to promise that it will accept nothing under lower ballots,
//! and to report what it has accepted so far; phase 2 then asks a quorum to accept a value. Only
//! the second round depends on the value, and nothing in the first one depends on the slot. So:
//!
//! 1. **Phase 1 for all slots.** A *scout* takes a ballot higher than all it has seen and sends one
//!    prepare for every slot from the first one of which it does not know the choice. An acceptor
//!    that has answered no higher ballot promises, and reports the value and ballot of the highest
//!    proposal that it accepted in each of these slots. With the promises of a quorum the scout is
//!    *leader*. In a slot with reports it must propose the value of the highest-numbered one (P2c):
//!    if any value was chosen there, that is it. In slots without a report, below the last one that
//!    has one, it proposes a no-op, since nothing later is executed before they are chosen. All
//!    other slots are free.
//! 2. **Phase 2 for each value.** From then on the leader puts each batch of commands into the next
//!    slot and sends accept, without waiting for earlier slots: the pipeline is bounded in bytes. A
//!    quorum of answers, its own acceptor's among them once its disk is done, chooses the value.
//! 3. **Learning.** Values are executed in the order of slots. Followers hear how far slots are
//!    chosen with the next accept, or with the heartbeat. They take the value that they accepted,
//!    *if it is of the ballot that says so*; otherwise they ask for it.
//!
//! Nothing that acceptors say depends on time. Time only decides who tries to lead: a follower that
//! hears no leader for an election timeout. As a higher ballot always wins, a replica that merely
//! cannot hear would depose one leader after the other. So it first *canvasses*: has a quorum lost
//! the leader, too? And a leader that gets no answers from a quorum steps down, or those who hear
//! it would keep the others from replacing it. Neither is in the papers, and safety needs neither.
//!
//! | normal case, n replicas | |
//! |---|---|
//! | messages for one batch | 2(n − 1): accept and accepted |
//! | delays that the client sees | 4, with its own two |
//! | syncs at each replica | 1, the leader's in parallel with the followers' |
//!
//! # Paper and code
//!
//! | paper | here |
//! |---|---|
//! | §2.2, P1a: what an acceptor refuses, promises, accepts | `acceptor.rs` |
//! | §2.2, phase 1(a), for all slots: §3 | `Scout::new` |
//! | §2.2, phase 1(b) | `MultiPaxos::on_prepare`, `Acceptor::report` |
//! | §2.2, P2c: the value of the highest-numbered proposal | `Scout::absorb` |
//! | §2.2, phase 2(a) | `Leader::propose_in` |
//! | §2.2, phase 2(b) | `MultiPaxos::on_accept` |
//! | §2.2, a value is chosen | `Leader::count` |
//! | §2.3, learning a chosen value | `learner.rs` |
//! | §2.4, a distinguished proposer; duels end | `Follower`, `Follower::beaten` |
//! | §2.5, stable storage before the response | [`Message`]'s gate, [`Record`] |
//! | §2.5, a ballot is never used twice | `Node::next_ballot` |
//! | §2.2, abandoning a ballot that was outbid | `MultiPaxos::on_nack` |
//! | §3, no-ops in the gaps | `Scout::proposals` |
//! | §3, up to α commands ahead; PMMC, WINDOW | `Leader::fill_window`, [`Config::window_bytes`] |
//! | §3, commands are executed in order | `Learner::learn` |
//! | PMMC, scout | `scout.rs` |
//! | PMMC, commander | `Commander` in `leader.rs` |
//! | PMMC, failure detection instead of duels | `follower.rs` |
//!
//! # Where we depart
//!
//! * Both papers let a learner hear every acceptor, or the leader send a third message with each
//!   decision. Here the decision rides on the next accept or heartbeat.
//! * A ballot holds the incarnation of its proposer, which the driver keeps on disk. The proposer
//!   itself writes nothing, and its requests wait for no disk.
//! * Where an acceptor knows what is chosen it reports that, not what it once accepted; a report
//!   that is too long for one message comes in pieces.
//! * A leader learns only from votes. It proposes in a slot only while the choice is unknown, and
//!   its followers rely on that.
//!
//! # Left out
//!
//! Change of the set of replicas by commands (§3: at slot i + α), forgetting of executed slots and
//! snapshots, leases and reads that do not go through the log (PMMC's read-only commands), and
//! quorums that the leader picks to save messages ("thrifty").

mod acceptor;
mod audit;
mod compaction;
mod config;
mod follower;
mod invariants;
mod leader;
mod learner;
mod members;
mod message;
mod mutants;
mod node;
mod reads;
mod reconfigure;
mod record;
mod replica;
mod scout;
mod slots;
mod transfer;
mod votes;

pub use config::{Config, Drift};
pub use message::{Accept, Message, Promise, Pvalue};
pub use mutants::MUTANTS;
pub use record::Record;
pub use replica::{MultiPaxos, Timer};
