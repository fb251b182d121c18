//! Basic Paxos: a cluster chooses one value and never changes its mind. Run once for every slot of
//! a log, and so made a replicated log, with nothing shared between the slots.
//!
//! This is the primer of the Synod crates: the smallest algorithm, with the smallest steps. The
//! paper is Leslie Lamport, "Paxos Made Simple" (2001); its sections are cited as §2.2 and so on.
//!
//! # The algorithm
//!
//! Replicas may crash and come back with what their disk kept; messages may be lost, repeated and
//! late. Still, at most one value is chosen in a slot, and once it is chosen every replica can
//! find it out.
//!
//! Who wants a value chosen, a *proposer*, first takes a *ballot* (the paper's proposal number)
//! that nobody else has used and that is higher than all it saw. It needs two round trips:
//!
//! 1. **Prepare.** It asks the *acceptors* to promise that they will accept nothing below its
//!    ballot. Each answers with a *promise*, and with the proposal that it accepted last, if any.
//! 2. **Accept.** When a majority has promised, the proposer asks the acceptors to accept a value.
//!    If any of the promises reported a proposal, this must be the value of the highest-numbered
//!    one; only if there was none may the proposer bring its own. An acceptor accepts unless it
//!    has promised a higher ballot meanwhile.
//!
//! A value is *chosen* when a majority has accepted it under one ballot. Two majorities share an
//! acceptor, so every later proposer hears of it in phase 1 and proposes it again. That is the
//! whole proof, and each planted bug in [`MUTANTS`] breaks one word of it.
//!
//! A proposer that meets a higher promise is told so by a *nack*, waits for a random while that
//! grows each time, and tries again with a ballot that is higher still. Without that two
//! proposers could outbid each other for ever (§2.4).
//!
//! # From one value to a log
//!
//! Each slot of the log is an instance of its own: its acceptors promise and accept without
//! looking at other slots. A proposer works at the first slot whose value it does not know,
//! and at no other. If that slot is decided with somebody else's value, it takes its commands to
//! the next. Commands that come meanwhile wait, and go together into one later proposal; what
//! somebody else got chosen meanwhile is not proposed again, as a client that found nobody at home
//! may have asked elsewhere, too.
//!
//! The proposer's node counts the acceptances, so it is the first to know what was chosen; how the
//! others hear of it is an option ([`Learners`]). As a rule it is from the next `Prepare`, which
//! says for the slot before under which ballot it was decided: who accepted that ballot knows the
//! value, who did not asks for it. When there is no next `Prepare`, a `Chosen` message says the
//! same a little later, and every replica repeats it now and then so that those who were away catch
//! up. A replica that has accepted a value and hears nothing more of it runs a round of its own to
//! find out (§2.3).
//!
//! | normal case, n replicas | |
//! |---|---|
//! | messages for one batch | 4(n − 1): prepare, promise, accept, accepted |
//! | delays that the client sees | 6, with its own two |
//! | syncs at each replica | 2: the promise and the acceptance |
//!
//! # Options
//!
//! Each is a field of [`Config`], and has a name for the tools (`synod compare cost`, `simulate`,
//! `explore`; scenario files say it after `algo paxos`). Costs are asserted; docs/paxos.md has the
//! whole table.
//!
//! | name | what changes | messages for one batch |
//! |---|---|---|
//! | `learners=distinguished` | the proposer's node tells the others at once | 5(n − 1) |
//! | `learners=all` | every acceptor tells every learner | (n − 1)(n + 3) |
//! | `sending=thrifty` | a proposer asks just a quorum | 2(q1 − 1) + 2(q2 − 1) |
//! | `quorums=small-phase-2`, `quorums=Q1/Q2` | q1 promises, q2 acceptances, q1 + q2 > n | |
//! | `refusals=silent` | no nacks: who is outbid finds out by waiting | |
//! | `accepting=only-promised` | a proposal whose `Prepare` was missed is refused | |
//! | `fast=on`, `fast=Q/QF` | nobody is asked to promise first; QF acceptances | 2(n − 1) |
//!
//! # Paper and code
//!
//! | "Paxos Made Simple" | here |
//! |---|---|
//! | §2.1, three roles; agents share a process | `Proposer`, `Acceptor`, `Learner`; `Paxos` |
//! | §2.1, one proposed value is chosen, and learned only then | oracles O1, O2, O16 |
//! | §2.2, phase 1(a): prepare request with a new number | `Proposer::prepare` |
//! | §2.2, phase 1(b): promise, P1a | `Acceptor::on_prepare`, [`Accepting`] |
//! | §2.2, phase 2(a): a majority has promised | `Proposer::on_promise` |
//! | §2.2, P2c: which value may be proposed | `Proposer::value_to_propose` |
//! | §2.2, phase 2(b): accept unless a higher number was promised | `Acceptor::on_accept` |
//! | §2.2, P2b: above the chosen ballot its value is accepted | `Paxos::{on_chosen, overhear}` |
//! | §2.2, who is outbid is told and gives up | [`Message::Nack`], `Proposer::on_nack` |
//! | §2.2, or is not told, and abandons it all the same | [`Refusals`], `Proposer::on_silence` |
//! | §2.3, a distinguished learner tells the others | `Learner::on_accepted`, `Paxos::tell` |
//! | §2.3, every acceptor tells every learner | `Paxos::overhear`, `Learner::overhear` |
//! | §2.3, messages may be lost, so learners ask | `Paxos::ask_if_behind`, [`Message::Learn`] |
//! | §2.3, a learner that does not know has a proposal issued | `Paxos::doubt` |
//! | §2.4, progress needs that others keep quiet | `Paxos::on_nack`, [`Config::back_off`] |
//! | §2.5, an acceptor records its response before sending it | [`Record`], `Message::gate` |
//! | §2.5, no two proposers share a proposal number | [`consensus_core::Ballot`] |
//! | "Flexible Paxos" §3, quorums need only meet across phases | [`Config::with_quorums`] |
//! | "Fast Paxos", the whole of it | [`Fast`] has a page and a table of its own |
//! | §3, one instance for each command | `Learner::next_to_commit`, [`consensus_core::LogIndex`] |
//!
//! # Where we depart, and what is left out
//!
//! * The paper keeps the highest *proposal number* of a proposer on disk. Ours carries the number
//!   of the replica's start (its incarnation), which the driver synced once, so that a restarted
//!   proposer never repeats a ballot and a round costs the proposer no sync of its own.
//! * An `Accepted` says a fingerprint of the value, not the value, and goes to the proposer only,
//!   unless learners are to hear it. The ballot alone would do: it has one proposer, and whoever
//!   accepted under it knows the value.
//! * The distinguished proposer (§2.4) and one phase 1 for all slots (§3) are Multi-Paxos, which is
//!   another crate. Here every replica takes commands, and duels are ended by chance.
//! * The log is kept whole: there are no snapshots yet, and a replica that lost its disk must not
//!   come back under its old number.
//! * Membership is fixed.
//! * A proposer stands on an acceptor's node, and counts its own answers when they are durable. On
//!   a node of its own it would send n messages where it sends n − 1, and save no delay.
//! * What `fast=on` changes (Lamport, "Fast Paxos", 2006) is on the page of [`Fast`] and in
//!   a file of its own, `fast.rs`: nothing of it happens unless the option is on.

mod acceptor;
mod audit;
mod config;
mod fast;
mod invariants;
mod learner;
mod message;
mod mutants;
mod proposer;
mod record;
mod replica;
mod round;

pub use config::{Accepting, Config, Learners, Refusals, Sending};
pub use fast::Fast;
pub use message::{ChosenAt, Decision, Message, Proposal};
pub use mutants::MUTANTS;
pub use record::Record;
pub use replica::{Paxos, Timer};
