//! What replicas say to each other: the four messages of the paper (§2.2: prepare, promise, accept,
//! accepted), each with the slot that §3 adds, the refusal with the higher ballot, and what keeps
//! a leader and brings back a replica that fell behind.

use consensus_core::mutant::planted;
use consensus_core::{
    Ballot, Batch, Gate, Incarnation, LogIndex, MessageKind, NodeId, Rejected, Run,
    SnapshotMessage, Traffic,
};
use serde::{Deserialize, Serialize};

/// A message between replicas.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message {
    /// Have you lost the leader, too? Asked before a ballot is raised; changes nothing at its
    /// receiver, and nothing in the paper's safety argument.
    Canvass {
        /// A ballot that the sender might prepare; the reply repeats it.
        ballot: Ballot,
        /// The sender knows what is chosen up to here.
        upto: LogIndex,
        /// The leader of this ballot offers its place to the sender, so that it makes no difference
        /// whether the receiver hears that leader.
        offered: Option<Ballot>,
    },
    /// The answer to a canvass: no promise.
    CanvassReply {
        /// The canvass' ballot.
        ballot: Ballot,
        /// Has the sender heard no leader for the shortest election timeout, or does that leader
        /// offer its place?
        lost: bool,
        /// The highest ballot that the sender knows of; one to outbid.
        seen: Ballot,
    },
    /// Phase 1a, for all slots from `from` on at once (§3).
    Prepare {
        /// The ballot: the sender's own.
        ballot: Ballot,
        /// Nothing is asked about earlier slots.
        from: LogIndex,
        /// The leader of this ballot gave way to the sender: its lease holds nobody back.
        handed: Option<Ballot>,
    },
    /// Phase 1b.
    Promise(Box<Promise>),
    /// Phase 2a.
    Accept(Accept),
    /// Phase 2b.
    Accepted {
        /// The accepted proposals' ballot. A ballot has one value for a slot at most.
        ballot: Ballot,
        /// The first slot.
        slot: LogIndex,
        /// How many slots, without gap.
        count: u64,
        /// Copied from the request, for counting.
        again: bool,
    },
    /// The refusal of a prepare, an accept or a heartbeat: a higher ballot was promised. The
    /// sender should give up the lower one (§2.2, at the end); safety does not need it.
    Nack {
        /// The refused ballot.
        ballot: Ballot,
        /// The ballot that was promised.
        promised: Ballot,
    },
    /// What is chosen, said at once, as PMMC's commanders do.
    Commit {
        /// The leader's ballot.
        ballot: Ballot,
        /// Every slot up to here is chosen.
        chosen: LogIndex,
    },
    /// The leader is alive.
    Heartbeat {
        /// The leader's ballot.
        ballot: Ballot,
        /// Every slot up to here is chosen.
        chosen: LogIndex,
        /// Changes of members in slots up to here are final.
        settled: LogIndex,
        /// Counts what the leader wants confirmed; the reply repeats it.
        round: u64,
        /// The highest priority of those that answer.
        priority: u8,
    },
    /// The sender is alive and follows.
    HeartbeatReply {
        /// The heartbeat's ballot.
        ballot: Ballot,
        /// The sender knows every slot up to here, and its disk who votes after it.
        known: LogIndex,
        /// The heartbeat's.
        round: u64,
        /// How gladly the sender would lead.
        priority: u8,
    },
    /// An operator wants the sender to lead, in place of the leader of this ballot.
    Wish {
        /// The leader's ballot.
        ballot: Ballot,
    },
    /// A client reads at the sender, who asks the leader.
    Read {
        /// The sender's life: the next one numbers its reads anew.
        reader: Incarnation,
        /// The read.
        read: u64,
        /// May the lease answer it?
        lease: bool,
    },
    /// The leader's answer.
    ReadReply {
        /// From the question.
        reader: Incarnation,
        /// From the question.
        read: u64,
        /// The read may be answered once this slot is executed. `None`: ask somebody else.
        index: Option<LogIndex>,
    },
    /// A client reads at the sender, who asks acceptors, without the leader.
    QuorumRead {
        /// The sender's life.
        reader: Incarnation,
        /// The question, for all reads that waited for it.
        round: u64,
    },
    /// An acceptor's answer. No promise: to say too much does no harm.
    QuorumReadReply {
        /// From the question.
        reader: Incarnation,
        /// From the question.
        round: u64,
        /// The last slot in which the sender has accepted a value, or knows one to be chosen.
        last: LogIndex,
    },
    /// The leader gives way: the receiver is to raise the ballot at once.
    TimeoutNow {
        /// The leader's ballot.
        ballot: Ballot,
        /// It shall ask first whether it would be elected: nobody but the settings wants it to
        /// lead.
        ask: bool,
    },
    /// The sender does not know what was chosen in these slots and the later ones.
    Learn {
        /// The first such slot.
        from: LogIndex,
    },
    /// What was chosen.
    Learned {
        /// The slot of the first batch; the others follow without gap.
        from: LogIndex,
        /// The chosen batches.
        batches: Vec<Batch>,
        /// The sender knows every slot up to here; more than it has put into this message.
        chosen: LogIndex,
    },
    /// Said by who has no vote and hears no leader: those who vote may not know that they do.
    Known {
        /// The sender knows every slot up to here.
        upto: LogIndex,
    },
    /// What was asked for, or proposed in, is chosen, and only a snapshot tells it.
    Forgotten {
        /// The sender has forgotten the slots up to here.
        upto: LogIndex,
    },
    /// Drivers speak about snapshots.
    Snapshot(Box<SnapshotMessage>),
}

/// Phase 1b (§2.2): the acceptor will accept nothing more below `ballot`, and this is the
/// highest-numbered proposal that it has accepted, for every slot from `from` on.
///
/// A long report comes in pieces: the scout prepares again from `next` on. Between two pieces the
/// acceptor cannot accept anything below the ballot, so that the pieces fit together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Promise {
    /// The promised ballot.
    pub ballot: Ballot,
    /// Slots from here on were asked for.
    pub from: LogIndex,
    /// Slots up to here are chosen, and forgotten by the acceptor, as a snapshot covers them. The
    /// report begins after them, or at `from`.
    pub forgotten: LogIndex,
    /// What the acceptor knows to be chosen, without gap, the first where the report begins.
    pub chosen: Vec<Batch>,
    /// What it has accepted in later slots, lowest slot first.
    pub accepted: Vec<Pvalue>,
    /// Where the next piece begins; `None` when this one is the last.
    pub next: Option<LogIndex>,
}

/// A ballot, a slot and a value: what PMMC calls a pvalue.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Pvalue {
    /// The ballot under which it was accepted.
    pub ballot: Ballot,
    /// The slot.
    pub slot: LogIndex,
    /// The value.
    pub batch: Batch,
}

/// Phase 2a. What is proposed in one burst travels together.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Accept {
    /// The leader's ballot.
    pub ballot: Ballot,
    /// The slot of the first value; the others follow without gap.
    pub slot: LogIndex,
    /// The values.
    pub batches: Run<Batch>,
    /// Every slot up to here is chosen: the commit of earlier slots rides along.
    pub chosen: LogIndex,
    /// Sent again; for counting.
    pub again: bool,
}

pub(crate) const CANVASS: MessageKind = MessageKind::new("canvass", Traffic::Election);
pub(crate) const CANVASS_REPLY: MessageKind = MessageKind::new("canvass-reply", Traffic::Election);
pub(crate) const PREPARE: MessageKind = MessageKind::new("prepare", Traffic::Election);
pub(crate) const PROMISE: MessageKind = MessageKind::new("promise", Traffic::Election);
pub(crate) const NACK: MessageKind = MessageKind::new("nack", Traffic::Election);
pub(crate) const ACCEPT: MessageKind = MessageKind::new("accept", Traffic::Command);
pub(crate) const ACCEPTED: MessageKind = MessageKind::new("accepted", Traffic::Command);
pub(crate) const COMMIT: MessageKind = MessageKind::new("commit", Traffic::Command);
pub(crate) const ACCEPT_REPAIR: MessageKind = MessageKind::new("accept-repair", Traffic::Repair);
pub(crate) const ACCEPTED_REPAIR: MessageKind =
    MessageKind::new("accepted-repair", Traffic::Repair);
pub(crate) const HEARTBEAT: MessageKind = MessageKind::new("heartbeat", Traffic::Heartbeat);
pub(crate) const HEARTBEAT_REPLY: MessageKind =
    MessageKind::new("heartbeat-reply", Traffic::Heartbeat);
pub(crate) const TIMEOUT_NOW: MessageKind = MessageKind::new("timeout-now", Traffic::Election);
pub(crate) const WISH: MessageKind = MessageKind::new("wish", Traffic::Election);
pub(crate) const READ: MessageKind = MessageKind::new("read", Traffic::Command);
pub(crate) const READ_REPLY: MessageKind = MessageKind::new("read-reply", Traffic::Command);
pub(crate) const QUORUM_READ: MessageKind = MessageKind::new("quorum-read", Traffic::Command);
pub(crate) const QUORUM_READ_REPLY: MessageKind =
    MessageKind::new("quorum-read-reply", Traffic::Command);
pub(crate) const LEARN: MessageKind = MessageKind::new("learn", Traffic::Repair);
pub(crate) const LEARNED: MessageKind = MessageKind::new("learned", Traffic::Repair);
pub(crate) const KNOWN: MessageKind = MessageKind::new("known", Traffic::Repair);
pub(crate) const FORGOTTEN: MessageKind = MessageKind::new("forgotten", Traffic::Repair);
pub(crate) const SNAPSHOT_ASK: MessageKind = MessageKind::new("snapshot-ask", Traffic::Repair);
pub(crate) const SNAPSHOT_CHUNK: MessageKind = MessageKind::new("snapshot-chunk", Traffic::Repair);

impl consensus_core::Message for Message {
    const KINDS: &'static [MessageKind] = &[
        ACCEPT,
        ACCEPTED,
        COMMIT,
        HEARTBEAT,
        HEARTBEAT_REPLY,
        CANVASS,
        CANVASS_REPLY,
        PREPARE,
        PROMISE,
        NACK,
        WISH,
        TIMEOUT_NOW,
        READ,
        READ_REPLY,
        QUORUM_READ,
        QUORUM_READ_REPLY,
        ACCEPT_REPAIR,
        ACCEPTED_REPAIR,
        LEARN,
        LEARNED,
        KNOWN,
        FORGOTTEN,
        SNAPSHOT_ASK,
        SNAPSHOT_CHUNK,
    ];

    fn kind(&self) -> MessageKind {
        match self {
            Self::Canvass { .. } => CANVASS,
            Self::CanvassReply { .. } => CANVASS_REPLY,
            Self::Prepare { .. } => PREPARE,
            Self::Promise(_) => PROMISE,
            Self::Nack { .. } => NACK,
            Self::Accept(accept) if accept.again => ACCEPT_REPAIR,
            Self::Accept(_) => ACCEPT,
            Self::Accepted { again: true, .. } => ACCEPTED_REPAIR,
            Self::Accepted { again: false, .. } => ACCEPTED,
            Self::Commit { .. } => COMMIT,
            Self::Heartbeat { .. } => HEARTBEAT,
            Self::HeartbeatReply { .. } => HEARTBEAT_REPLY,
            Self::Wish { .. } => WISH,
            Self::Read { .. } => READ,
            Self::ReadReply { .. } => READ_REPLY,
            Self::QuorumRead { .. } => QUORUM_READ,
            Self::QuorumReadReply { .. } => QUORUM_READ_REPLY,
            Self::TimeoutNow { .. } => TIMEOUT_NOW,
            Self::Learn { .. } => LEARN,
            Self::Learned { .. } => LEARNED,
            Self::Known { .. } => KNOWN,
            Self::Forgotten { .. } => FORGOTTEN,
            Self::Snapshot(message) => match **message {
                SnapshotMessage::Ask { .. } => SNAPSHOT_ASK,
                SnapshotMessage::Chunk { .. } => SNAPSHOT_CHUNK,
            },
        }
    }

    fn snapshot(message: SnapshotMessage) -> Option<Self> {
        Some(Self::Snapshot(Box::new(message)))
    }

    /// "An acceptor records its intended response in stable storage before actually sending the
    /// response" (§2.5). A proposer's requests need no sync: a ballot names its proposer's
    /// incarnation, so that no later life can repeat it with another value.
    fn gate(&self) -> Gate {
        match self {
            Self::Promise(_) if planted("M20") => Gate::Free,
            Self::Accepted { .. } if planted("M25") => Gate::Free,
            Self::Promise(_) | Self::Accepted { .. } => Gate::AfterSync,
            Self::Canvass { .. }
            | Self::CanvassReply { .. }
            | Self::Prepare { .. }
            | Self::Accept(_)
            | Self::Nack { .. }
            | Self::Commit { .. }
            | Self::Heartbeat { .. }
            | Self::HeartbeatReply { .. }
            | Self::Wish { .. }
            | Self::Read { .. }
            | Self::ReadReply { .. }
            | Self::QuorumRead { .. }
            | Self::QuorumReadReply { .. }
            | Self::TimeoutNow { .. }
            | Self::Learn { .. }
            | Self::Learned { .. }
            | Self::Known { .. }
            | Self::Forgotten { .. }
            | Self::Snapshot(_) => Gate::Free,
        }
    }
}

/// No log and no ballot grows beyond this; a higher number is a hostile one.
const LIMIT: u64 = 1 << 62;

impl Message {
    /// Could an honest replica have said this? Looks at the message alone.
    #[inline]
    pub(crate) fn check(&self, from: NodeId) -> Result<(), Rejected> {
        match self {
            Self::Accept(accept) => {
                let count = accept.batches.len() as u64;
                own(accept.ballot, from).and(slots(accept.slot, count)).and(position(accept.chosen))
            }
            Self::Accepted { ballot, slot: first, count, .. } => {
                round(*ballot).and(slots(*first, *count))
            }
            _ => self.check_other(from),
        }
    }

    #[inline(never)]
    fn check_other(&self, from: NodeId) -> Result<(), Rejected> {
        match self {
            Self::Canvass { ballot, upto, offered } => {
                own(*ballot, from).and(position(*upto)).and(offered.map_or(Ok(()), round))
            }
            Self::Prepare { ballot, from: first, handed } => {
                if handed.is_some_and(|handed| handed >= *ballot) {
                    return Err(Rejected("handed over by a ballot that is not lower"));
                }
                own(*ballot, from).and(slot(*first))
            }
            Self::Heartbeat { ballot, chosen, settled, .. } => {
                own(*ballot, from).and(position(*chosen)).and(position(*settled))
            }
            Self::Commit { ballot, chosen } => own(*ballot, from).and(position(*chosen)),
            Self::TimeoutNow { ballot, .. } => own(*ballot, from),
            Self::CanvassReply { ballot, seen, .. } => round(*ballot).and(round(*seen)),
            Self::HeartbeatReply { ballot, known, .. } => round(*ballot).and(position(*known)),
            Self::Wish { ballot } => round(*ballot),
            Self::Read { .. } | Self::QuorumRead { .. } => Ok(()),
            Self::ReadReply { index, .. } => position(index.unwrap_or(LogIndex::ZERO)),
            Self::QuorumReadReply { last, .. } => position(*last),
            // Checked by who calls this.
            Self::Accept(_) | Self::Accepted { .. } => Ok(()),
            Self::Nack { ballot, promised } => {
                if promised <= ballot {
                    return Err(Rejected("refused for a ballot that is not higher"));
                }
                round(*promised)
            }
            Self::Promise(promise) => promise.check(),
            Self::Learn { from } => slot(*from),
            Self::Known { upto } => position(*upto),
            Self::Forgotten { upto } => slot(*upto),
            Self::Snapshot(message) => match &**message {
                SnapshotMessage::Ask { .. } => Ok(()),
                SnapshotMessage::Chunk { meta, .. } => {
                    if meta.membership.voters.is_empty() || meta.membership.is_joint() {
                        return Err(Rejected(
                            "a snapshot without voters, or with two sets of them",
                        ));
                    }
                    slot(meta.index).and(position(meta.membership.version))
                }
            },
            Self::Learned { from, batches, chosen } => {
                slot(*from)?;
                position(*chosen)?;
                if after(*from, batches.len()) > chosen.next() {
                    return Err(Rejected("more batches than the sender knows"));
                }
                Ok(())
            }
        }
    }
}

impl Promise {
    /// Where the report begins.
    pub(crate) fn start(&self) -> LogIndex {
        self.from.max(self.forgotten.next())
    }

    fn check(&self) -> Result<(), Rejected> {
        round(self.ballot)?;
        slot(self.from)?;
        position(self.forgotten)?;
        let mut free = after(self.start(), self.chosen.len());
        for pvalue in &self.accepted {
            slot(pvalue.slot)?;
            if pvalue.slot < free {
                return Err(Rejected("slots are not in order"));
            }
            if pvalue.ballot > self.ballot || pvalue.ballot.node().is_none() {
                return Err(Rejected("accepted under a ballot that cannot be"));
            }
            free = pvalue.slot.next();
        }
        match self.next {
            Some(next) if next < free || next <= self.start() || next.0 >= LIMIT => {
                Err(Rejected("the next piece begins in this one"))
            }
            Some(_) | None => Ok(()),
        }
    }
}

/// The slot after `count` slots from `from` on.
pub(crate) fn after(from: LogIndex, count: usize) -> LogIndex {
    LogIndex(from.0.saturating_add(count as u64))
}

/// Some slots, the first of them this one.
fn slots(first: LogIndex, count: u64) -> Result<(), Rejected> {
    if count == 0 || count >= LIMIT {
        return Err(Rejected("no slots, or more than there can be"));
    }
    slot(first)
}

fn round(ballot: Ballot) -> Result<(), Rejected> {
    if ballot.round < LIMIT { Ok(()) } else { Err(Rejected("a ballot that no cluster reaches")) }
}

fn own(ballot: Ballot, from: NodeId) -> Result<(), Rejected> {
    if ballot.node() != Some(from) {
        return Err(Rejected("another replica's ballot"));
    }
    round(ballot)
}

fn position(index: LogIndex) -> Result<(), Rejected> {
    if index.0 < LIMIT { Ok(()) } else { Err(Rejected("a slot that no log reaches")) }
}

fn slot(index: LogIndex) -> Result<(), Rejected> {
    if index == LogIndex::ZERO {
        return Err(Rejected("slots are numbered from 1"));
    }
    position(index)
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::Message as _;

    fn ballot(round: u64, node: u8) -> Ballot {
        Ballot::new(round, Some(NodeId(node)), Incarnation(1))
    }

    fn promise(accepted: &[(u64, u64)], next: Option<u64>) -> Message {
        let pvalue = |(slot, round): &(u64, u64)| Pvalue {
            ballot: ballot(*round, 0),
            slot: LogIndex(*slot),
            batch: Batch::noop(),
        };
        Message::Promise(Box::new(Promise {
            ballot: ballot(5, 1),
            from: LogIndex(3),
            forgotten: LogIndex(0),
            chosen: vec![Batch::noop()],
            accepted: accepted.iter().map(pvalue).collect(),
            next: next.map(LogIndex),
        }))
    }

    /// §2.5: the two responses of an acceptor wait for its disk, and nothing else does.
    #[test]
    fn exactly_the_acceptors_two_responses_are_promises() {
        let accepted =
            Message::Accepted { ballot: ballot(1, 0), slot: LogIndex(1), count: 1, again: false };
        assert_eq!(accepted.gate(), Gate::AfterSync);
        assert_eq!(promise(&[], None).gate(), Gate::AfterSync);
        let prepare = Message::Prepare { ballot: ballot(1, 0), from: LogIndex(1), handed: None };
        assert_eq!(prepare.gate(), Gate::Free);
        let nack = Message::Nack { ballot: ballot(1, 0), promised: ballot(2, 1) };
        assert_eq!(nack.gate(), Gate::Free);
    }

    #[test]
    fn a_replica_speaks_for_its_own_ballots_only() {
        let prepare = Message::Prepare { ballot: ballot(1, 0), from: LogIndex(1), handed: None };
        assert!(prepare.check(NodeId(0)).is_ok());
        assert!(prepare.check(NodeId(1)).is_err());
        let zero = Message::Prepare { ballot: ballot(1, 0), from: LogIndex::ZERO, handed: None };
        assert!(zero.check(NodeId(0)).is_err());
        let heartbeat = |round, chosen| Message::Heartbeat {
            ballot: ballot(round, 0),
            chosen: LogIndex(chosen),
            settled: LogIndex(0),
            round: 0,
            priority: 0,
        };
        let huge = heartbeat(1, u64::MAX);
        assert!(huge.check(NodeId(0)).is_err());
        let round = heartbeat(u64::MAX, 0);
        assert!(round.check(NodeId(0)).is_err());
        let lower = Message::Nack { ballot: ballot(2, 0), promised: ballot(1, 1) };
        assert!(lower.check(NodeId(1)).is_err());
    }

    #[test]
    fn a_promise_reports_each_slot_once_and_makes_progress() {
        assert!(promise(&[(4, 1), (9, 5)], Some(10)).check(NodeId(2)).is_ok());
        assert!(promise(&[(3, 1)], None).check(NodeId(2)).is_err(), "slot 3 is the chosen one");
        assert!(promise(&[(5, 1), (5, 2)], None).check(NodeId(2)).is_err());
        assert!(promise(&[(5, 6)], None).check(NodeId(2)).is_err(), "above the promise");
        assert!(promise(&[(5, 1)], Some(5)).check(NodeId(2)).is_err());
        assert!(promise(&[], Some(3)).check(NodeId(2)).is_err());
    }

    #[test]
    fn every_kind_is_listed_once() {
        let mut names: Vec<_> = Message::KINDS.iter().map(|kind| kind.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), Message::KINDS.len());
    }
}
