//! What the oracles may know.

use crate::invariants;
use crate::leader::Phase;
use crate::message::Message;
use crate::record::Record;
use crate::replica::{MultiPaxos, Role, Timer};
use consensus_core::{Audit, Ballot, Batch, Certificate, Claim, Env, Ledger, LogIndex, Topic};

fn at_most(ballot: Ballot) -> Claim {
    Claim::Rising(Topic::new("promised", 0u128, 0), ballot.rank())
}

/// A vote names a ballot and a slot. Which value that is the owner of the ballot has claimed.
const VOTE: u128 = 1;

fn accepted(ballot: Ballot, slot: LogIndex) -> Topic {
    Topic::new("accepted", ballot.rank(), slot.0)
}

/// The ballot under which a slot's value was accepted last never falls: an acceptor that forgot
/// what it accepted says a lower one.
fn last_accepted(slot: LogIndex, ballot: Ballot) -> Claim {
    Claim::Rising(Topic::new("last accepted", 0u128, slot.0), ballot.rank())
}

impl Audit for MultiPaxos {
    /// Slots are independent: under one ballot slot 7 may hold a value where slot 6 holds none.
    const LOG_MATCHING: bool = false;

    const MARKS: &'static [&'static str] = &[
        "asks whether it could take over",
        "one without a vote would raise the ballot",
        "accept answered again",
        "accept sent again",
        "a run of slots is asked for at once",
        "acceptance of an earlier ballot",
        "accepted value replaced",
        "accepted without a promise before",
        "another leader is not heard, for a lease",
        "answer to a read of an earlier life",
        "asked for forgotten slots",
        "busy: handing over",
        "canvass refused",
        "caught up after a snapshot",
        "change of members found in phase 1",
        "change of members is final",
        "chosen before the leader's own disk has it",
        "chosen behind a gap",
        "chosen values in several pages",
        "chosen, but accepted under another ballot",
        "chosen, but not accepted here",
        "election by wish",
        "follower asks for chosen values",
        "hand-over",
        "hand-over to a higher priority",
        "hand-over came to nothing",
        "hole filled with a no-op",
        "leader hands back what it queued",
        "leader is busy",
        "leader is told what is chosen",
        "leader outbid",
        "lets one of a higher priority go first",
        "leader stepped down: disk",
        "leader stepped down: quorum",
        "lower ballot refused",
        "new leader knows a choice behind a gap",
        "new members promised",
        "own vote durable too late",
        "prepare held back by a lease",
        "promise brings chosen values",
        "promise in several pages",
        "promise says what is forgotten",
        "promise that was not asked for now",
        "quorum read",
        "quorum read asks other members",
        "read by lease",
        "read of a follower",
        "read refused: no longer leader",
        "reads share a round",
        "removed leader makes room",
        "reported value outdone by a higher ballot",
        "scout asks for the next piece",
        "scout gives up",
        "scout learns that it votes no more",
        "no voter, and no leader: asks around",
        "scout needs a snapshot first",
        "scout outbid",
        "slots forgotten",
        "snapshot asked for",
        "snapshot installed",
        "snapshot installed below accepted slots",
        "started from a snapshot newer than the records",
        "takes over from the leader",
        "told of more by one without a vote",
        "value accepted again",
        "value adopted from phase 1",
        "window full",
    ];

    fn claims(message: &Message) -> Vec<Claim> {
        match message {
            Message::Promise(promise) => {
                let accepted = promise.accepted.iter().map(|it| last_accepted(it.slot, it.ballot));
                accepted.chain([at_most(promise.ballot)]).collect()
            }
            Message::Accept(accept) => {
                let rank = accept.ballot.rank();
                let value = |(slot, batch): (u64, &Batch)| {
                    let topic = Topic::new("accept", rank, slot);
                    Claim::Once(topic, u128::from(batch.fingerprint().0))
                };
                (accept.slot.0..).zip(accept.batches.iter()).map(value).collect()
            }
            Message::Accepted { ballot, slot, count, again: _ } => {
                let slots = (slot.0..slot.0 + count).map(LogIndex);
                let votes = slots.flat_map(|slot| {
                    let vote = Claim::Once(accepted(*ballot, slot), VOTE);
                    [last_accepted(slot, *ballot), vote]
                });
                votes.chain([at_most(*ballot)]).collect()
            }
            // Not claims of an acceptor or of the owner of a ballot about a value.
            Message::Canvass { .. }
            | Message::CanvassReply { .. }
            | Message::Prepare { .. }
            | Message::Nack { .. }
            | Message::Commit { .. }
            | Message::Heartbeat { .. }
            | Message::HeartbeatReply { .. }
            | Message::Wish { .. }
            | Message::Read { .. }
            | Message::ReadReply { .. }
            | Message::QuorumRead { .. }
            | Message::QuorumReadReply { .. }
            | Message::TimeoutNow { .. }
            | Message::Learn { .. }
            | Message::Learned { .. }
            | Message::Known { .. }
            | Message::Forgotten { .. }
            | Message::Snapshot(_) => Vec::new(),
        }
    }

    fn absorb(record: &Record, disk: &mut Ledger) {
        match record {
            Record::Accepted { ballot, slot, batch } => {
                disk.hold(*slot, ballot.rank(), batch.fingerprint());
            }
            Record::AcceptedRun { ballot, slot, batches } => {
                for (slot, batch) in (slot.0..).map(LogIndex).zip(batches.iter()) {
                    disk.hold(slot, ballot.rank(), batch.fingerprint());
                }
            }
            Record::Forgotten { upto, .. } => disk.forget_upto(*upto),
            // A learned value was not accepted by this disk's owner, and a note proves nothing.
            Record::Promised { .. } | Record::Learned { .. } | Record::Chosen { .. } => {}
        }
    }

    /// At a change of members a leader does not know yet what was chosen behind it.
    fn leads(&self) -> Option<u64> {
        let Role::Leader(leader) = &self.role else { return None };
        let knows = matches!(leader.phase, Phase::Open | Phase::Draining);
        self.proposes().filter(|_| knows)
    }

    /// The leader's ballot in 64 bits: two leaders may share a round, and never a ballot.
    fn proposes(&self) -> Option<u64> {
        let Role::Leader(leader) = &self.role else { return None };
        let ballot = leader.ballot;
        let node = ballot.node().map_or(0, |node| u64::from(node.0));
        Some((ballot.round << 24) | (node << 16) | u64::from(ballot.incarnation().0 & 0xffff))
    }

    fn entry(&self, index: LogIndex) -> Option<&Batch> {
        if let Some(chosen) = self.node.learner.get(index, self.acceptor()) {
            return Some(chosen);
        }
        self.acceptor().value(index)
    }

    fn certificate(&self, index: LogIndex) -> Option<Certificate> {
        let vote = self.node.learner.vote(index)?;
        Some(Certificate {
            topic: accepted(vote.ballot, index),
            value: VOTE,
            signers: vote.acceptors,
        })
    }

    fn goes_by(&self) -> Option<(LogIndex, bool)> {
        let version = self.node.version();
        let known = !self.node.voters().is_empty();
        known.then_some((version, version <= self.node.finished()))
    }

    /// How far slots are executed, once all that phase 1 showed is.
    fn reads_as_of(&self) -> Option<LogIndex> {
        match &self.role {
            Role::Leader(leader) => leader.may_read(&self.node).then_some(self.node.learner.upto()),
            Role::Follower(_) | Role::Canvasser(_) | Role::Scout(_) => None,
        }
    }

    /// Who follows waits for a leader; who asks, for answers; who leads, for both, and for its
    /// heir.
    fn relies_on(&self, each: &mut dyn FnMut(Timer)) {
        let timers: &[Timer] = match &self.role {
            Role::Follower(follower) if follower.lost => &[Timer::Election],
            Role::Follower(_) => &[Timer::Silence],
            Role::Canvasser(_) | Role::Scout(_) => &[Timer::Election, Timer::Retry],
            Role::Leader(leader) if leader.transfer.is_some() => {
                &[Timer::Heartbeat, Timer::CheckQuorum, Timer::Retry, Timer::Transfer]
            }
            Role::Leader(_) => &[Timer::Heartbeat, Timer::CheckQuorum, Timer::Retry],
        };
        timers.iter().copied().for_each(each);
    }

    fn leftover(&self) -> Option<&'static str> {
        invariants::leftover(self)
    }

    fn holds_lease(&self, env: &Env<'_>) -> bool {
        match &self.role {
            Role::Leader(leader) => leader.may_read_by_lease(&self.node, env),
            Role::Follower(_) | Role::Canvasser(_) | Role::Scout(_) => false,
        }
    }

    fn check(&self) -> Result<(), String> {
        invariants::check(self)
    }

    fn check_since(&self, before: &Self) -> Result<(), String> {
        invariants::check_step(before, self)
    }
}
