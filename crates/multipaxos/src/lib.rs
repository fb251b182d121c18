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
//! | … with explicit commit; thrifty | 3(n − 1); 2(q − 1) |
//! | delays that the client sees | 4, with its own two |
//! | syncs at each replica | 1, the leader's in parallel with the followers' |
//! | a read by index | 2(n − 1), shared by all that wait; 2 more at a follower |
//! | a read by lease | 0 |
//! | a quorum read | 2(n − 1) at any replica, shared by all that come together |
//!
//! # Members
//!
//! §3 says that the servers of slot i + α may depend on the state after slot i, so that a leader
//! may propose α slots ahead. Here α is one for the slots around a change, and unbounded elsewhere:
//! a change is the value of a slot, it **governs all later slots** up to the next change, and the
//! leader takes care of the rest:
//!
//! 0. It proposes a change when all earlier slots are executed, so that no other change can come
//!    between the members that the operator saw and the ones that he wants.
//! 1. It proposes nothing after a change that is not chosen and executed. So the members of a slot
//!    are known to whoever proposes in it.
//! 2. Before it proposes on, a phase-1 quorum of the new members must have promised its ballot. Who
//!    promised it before need not be asked again: a promise and its report are for all slots. The
//!    others are sent the same prepare, and what they report is taken as phase 1 takes it.
//! 3. A scout asks a phase-1 quorum of the members that it knows, and finds itself in case 1 when
//!    it adopts a change, or in case 2 when it learns of one.
//!
//! **Why that is safe.** Let C govern the slots after v, up to and including the next change in w.
//! All values in these slots are chosen by phase-2 quorums of C, since whoever proposes there has
//! executed v (1). Whoever proposes in such a slot under a ballot b holds promises for b of a
//! phase-1 quorum of C that report what was accepted there (2, 3). Two such quorums meet, so within
//! these slots this is Paxos with the acceptors C: P2c holds for each of them, and w has one value.
//! By induction over the changes everybody agrees on C. A replica whose members are old cannot do
//! harm: if it gets its promises, then one of its quorum has accepted the change that it does not
//! know, so it must propose that and stop there; or has forgotten it, says so, and a snapshot
//! tells.
//!
//! A change needs no quorum of the new members to be chosen, and so, unlike Raft's, it may be in
//! force while only those know it who are about to leave. It is called *final* ([`Effect::Members`]
//! with `committed`) when a phase-2 quorum of the new ones knows it, on disk, with everything
//! before it: then every phase-1 quorum of them has somebody who needs none of the old. **Until
//! then do not switch off who was removed.** A leader that is not among the new members makes room
//! at that moment. A new voter need not be caught up: an acceptor votes in any slot without knowing
//! earlier ones.
//!
//! # Snapshots
//!
//! What a snapshot covers is chosen, so nobody has to report it; but an acceptor that has forgotten
//! slots must not look as if it had never accepted anything in them. It says *forgotten* to whoever
//! prepares, proposes or asks there; and who hears of slots that it does not know stops leading,
//! and fetches a snapshot first. An acceptance beyond the snapshot is a vote, and stays.
//!
//! # Reads
//!
//! See `reads.rs`. A leader may name an index only when all that phase 1 made it propose is chosen:
//! before, something may be chosen that it does not know to be. A quorum read waits until the last
//! accepted slot is executed, and asks again if others vote by then. With leases, an acceptor that
//! heard a leader, and one that has just started, holds back its promise to others for the shortest
//! election timeout; only the ballot that gave way by handing over is excepted.
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
//! | §2.3, learning a chosen value | `learner.rs`; explicit: `Leader::announce` |
//! | §2.4, a distinguished proposer; duels end | `Follower`, `Follower::beaten` |
//! | §2.5, stable storage before the response | [`Message`]'s gate, [`Record`] |
//! | §2.5, a ballot is never used twice | `Node::next_ballot` |
//! | §2.2, abandoning a ballot that was outbid | `MultiPaxos::on_nack` |
//! | §3, no-ops in the gaps | `Leader::adopt`, `Scout::value` |
//! | §3, up to α commands ahead; PMMC, WINDOW | `Leader::fill_window`, [`Config::window_bytes`] |
//! | §3, commands are executed in order | `Learner::hand_out_run` |
//! | §3, the set of servers is part of the state | `reconfigure.rs`, `members.rs` |
//! | PMMC, scout | `scout.rs` |
//! | PMMC, commander | `commander.rs` |
//! | PMMC, failure detection instead of duels | `follower.rs` |
//! | PMMC §4.2, garbage collection; "Paxos Made Live" §5.5, snapshots | `compaction.rs` |
//! | PMMC §4.3, read-only commands; "Paxos Made Live" §5.2, leases | `reads.rs` |
//! | "Linearizable Quorum Reads in Paxos" (HotStorage 2019) | `QuorumReads` in `reads.rs` |
//! | "Flexible Paxos" (OPODIS 2016) | [`Config::with_phase_2`] |
//! | Raft thesis §3.10, handing over | `transfer.rs` |
//!
//! # Where we depart
//!
//! * Both papers let a learner hear every acceptor, or the leader send a third message with each
//!   decision. Here the decision rides on the next accept or heartbeat; the third message is an
//!   option.
//! * A ballot holds the incarnation of its proposer, which the driver keeps on disk. The proposer
//!   itself writes nothing, and its requests wait for no disk.
//! * Where an acceptor knows what is chosen it reports that, not what it once accepted; a report
//!   that is too long for one message comes in pieces.
//! * A leader learns only from votes what it proposed. It proposes in a slot only while the choice
//!   is unknown, and its followers rely on that.
//! * Members change at the next slot and not α slots later: nothing is in flight behind a change.
//!   It costs one round trip in which commands wait, or two if new members have yet to promise.
//!
//! # Left out
//!
//! Leases of many readers, relays, and replicas that store no values ("witnesses").
//!
//! [`Effect::Members`]: consensus_core::Effect::Members

mod acceptor;
mod audit;
mod ballots;
mod commander;
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

pub use config::{Commits, Config, Phase2, Sending};
pub use consensus_core::Drift;
pub use message::{Accept, Message, Promise, Pvalue};
pub use mutants::MUTANTS;
pub use record::Record;
pub use replica::{MultiPaxos, Timer};
