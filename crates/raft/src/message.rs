//! What servers say to each other: the two RPCs of Figure 2, each split into request and reply,
//! pre-votes (thesis §9.6), heartbeats, and what snapshots, reads and hand-over need.
//!
//! The paper's heartbeat is an AppendEntries without entries. Here it is a message of its own, so
//! that a table of costs tells keeping a leader from replicating a command.

use crate::entry::{Entries, Entry, EntryId, Term};
use consensus_core::mutant::planted;
use consensus_core::{
    Gate, Incarnation, LogIndex, Membership, MessageKind, NodeId, Rejected, SnapshotMessage,
    Traffic,
};
use serde::{Deserialize, Serialize};

/// A message between servers. Every one carries its sender's term, except that a pre-vote carries
/// the term that its sender would enter.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message {
    /// Would you vote for me? Changes nothing at its receiver (thesis §9.6).
    PreVote {
        /// The term that the sender would enter: its own plus one.
        term: Term,
        /// The last entry of the sender's log.
        last: EntryId,
        /// Committed, as far as the sender knows: so that who refuses knows what it lacks.
        commit: LogIndex,
        /// The leader of the term before offers its place to the sender, so that it makes no
        /// difference whether the receiver hears that leader.
        offered: bool,
    },
    /// The answer to a pre-vote: no promise.
    PreVoteReply {
        /// The term of the question.
        term: Term,
        /// Would the sender vote so?
        granted: bool,
    },
    /// RequestVote (Figure 2).
    RequestVote {
        /// The candidate's term.
        term: Term,
        /// The candidate: the sender.
        candidate: NodeId,
        /// The last entry of the candidate's log (lastLogIndex and lastLogTerm).
        last: EntryId,
        /// Committed, as far as the candidate knows: so that who refuses knows what it lacks.
        commit: LogIndex,
        /// An operator wants this election, so it may depose a leader that is well (thesis
        /// §4.2.3: the flag of leadership transfer).
        transfer: bool,
    },
    /// The reply to RequestVote.
    Vote {
        /// The voter's term.
        term: Term,
        /// The candidate who asked; in the message so that it says by itself what it promises.
        candidate: NodeId,
        /// Has the candidate got the vote?
        granted: bool,
    },
    /// What a candidate lacks that was refused for its log. Not in the paper: see `tail.rs`.
    Tail(Tail),
    /// AppendEntries (Figure 2), with entries or as a probe without.
    AppendEntries(AppendEntries),
    /// The reply `true` to AppendEntries.
    AppendReply {
        /// The follower's term.
        term: Term,
        /// The follower's log equals the leader's up to here, on its disk.
        matched: LogIndex,
        /// Copied from the request, for counting.
        repair: bool,
    },
    /// The reply `false` to AppendEntries: the consistency check failed.
    AppendReject {
        /// The follower's term.
        term: Term,
        /// The request's prevLogIndex.
        prev: LogIndex,
        /// Why (§5.3, at the end).
        conflict: Conflict,
    },
    /// The leader is alive.
    Heartbeat {
        /// The leader's term.
        term: Term,
        /// The leader: the sender.
        leader: NodeId,
        /// Committed, and known to be in the receiver's log: `min(commitIndex, matchIndex)`. It
        /// never reaches into a tail that was not compared.
        commit: LogIndex,
        /// Counts the leader's heartbeats; the reply repeats it.
        round: u64,
        /// The highest priority among the other voters that the leader hears: one of them will
        /// follow it.
        priority: u8,
    },
    /// The follower is alive.
    HeartbeatReply {
        /// The follower's term.
        term: Term,
        /// The heartbeat's.
        round: u64,
        /// The follower's log was compared up to here in this term; no promise, as its disk may
        /// be behind.
        verified: LogIndex,
        /// The follower's own priority.
        priority: u8,
    },
    /// The reply `false` to any request of an older term (§5.1), so that its sender learns of
    /// the newer one.
    StaleTerm {
        /// The sender's term.
        term: Term,
    },
    /// The leader has forgotten what the follower needs next: only a snapshot will help (§7). A
    /// follower that needs none, as it holds the entry that is named, answers as to a probe.
    Compacted {
        /// The leader's term.
        term: Term,
        /// The last entry that the leader has forgotten.
        start: EntryId,
    },
    /// The leader wants the receiver to lead: it shall campaign now (thesis §3.10).
    TimeoutNow {
        /// The leader's term.
        term: Term,
        /// It shall ask first whether it would win, whatever it is doing: nobody but the settings
        /// wants it to lead.
        ask: bool,
    },
    /// The sender's operator wants it to lead: the leader may hand over. In place of an election
    /// by wish where there are leases.
    WishToLead {
        /// The sender's term.
        term: Term,
    },
    /// A follower was asked to read: what is committed (thesis §6.4)?
    ReadIndex {
        /// The follower's term.
        term: Term,
        /// Which life of the follower asks: the answer is for no other.
        life: Incarnation,
        /// The follower's name for the question.
        ticket: u64,
        /// The leader's lease is good enough.
        lease: bool,
    },
    /// The answer to ReadIndex.
    ReadReply {
        /// The leader's term.
        term: Term,
        /// The question's.
        life: Incarnation,
        /// The question's.
        ticket: u64,
        /// Everything up to here was committed when the leader was asked. `None` from a server
        /// that does not lead, or will not answer now.
        index: Option<LogIndex>,
    },
    /// A snapshot is asked for or brought (§7): a statement about what is decided, which stands
    /// outside the terms.
    Snapshot(Box<SnapshotMessage>),
}

/// AppendEntries (Figure 2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct AppendEntries {
    /// The leader's term.
    pub term: Term,
    /// The leader: the sender.
    pub leader: NodeId,
    /// The entry before the new ones (prevLogIndex and prevLogTerm).
    pub prev: EntryId,
    /// The new entries.
    pub entries: Entries,
    /// The leader's commitIndex.
    pub leader_commit: LogIndex,
    /// Sent again, or to bring a follower up to date; for counting.
    pub repair: bool,
}

impl AppendEntries {
    /// The last index that the follower has compared once it took this ("last new entry").
    pub(crate) fn last(&self) -> LogIndex {
        LogIndex(self.prev.index.0 + self.entries.len() as u64)
    }
}

/// What a candidate lacks that was refused for its log. Its sender need not lead, so nothing in it
/// is committed by it, and nobody acknowledges it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Tail {
    /// The sender's term.
    pub term: Term,
    /// The entry before, which the sender believes that both hold. Without entries: the last one
    /// that a snapshot of the sender's covers, which the candidate has to take first.
    pub prev: EntryId,
    /// The entries that follow in the sender's log. They end later than the candidate's log.
    pub entries: Entries,
}

impl Tail {
    /// The last entry.
    pub(crate) fn last(&self) -> EntryId {
        let index = LogIndex(self.prev.index.0 + self.entries.len() as u64);
        EntryId::new(self.entries.last().map_or(self.prev.term, |entry| entry.term), index)
    }
}

/// Why the consistency check of AppendEntries failed (§5.3, at the end).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Conflict {
    /// The log ends before prevLogIndex.
    Short {
        /// The follower's last index.
        last: LogIndex,
    },
    /// The entry at prevLogIndex has another term.
    Term {
        /// That term.
        term: Term,
        /// The first index that the follower holds of it.
        first: LogIndex,
    },
}

pub(crate) const PRE_VOTE: MessageKind = MessageKind::new("pre-vote", Traffic::Election);
pub(crate) const PRE_VOTE_REPLY: MessageKind =
    MessageKind::new("pre-vote-reply", Traffic::Election);
pub(crate) const REQUEST_VOTE: MessageKind = MessageKind::new("request-vote", Traffic::Election);
pub(crate) const VOTE: MessageKind = MessageKind::new("vote", Traffic::Election);
pub(crate) const TAIL: MessageKind = MessageKind::new("tail", Traffic::Repair);
pub(crate) const STALE_TERM: MessageKind = MessageKind::new("stale-term", Traffic::Election);
pub(crate) const APPEND: MessageKind = MessageKind::new("append-entries", Traffic::Command);
pub(crate) const APPEND_REPLY: MessageKind = MessageKind::new("append-reply", Traffic::Command);
pub(crate) const REPAIR: MessageKind = MessageKind::new("append-repair", Traffic::Repair);
pub(crate) const REPAIR_REPLY: MessageKind =
    MessageKind::new("append-repair-reply", Traffic::Repair);
pub(crate) const REJECT: MessageKind = MessageKind::new("append-reject", Traffic::Repair);
pub(crate) const HEARTBEAT: MessageKind = MessageKind::new("heartbeat", Traffic::Heartbeat);
pub(crate) const HEARTBEAT_REPLY: MessageKind =
    MessageKind::new("heartbeat-reply", Traffic::Heartbeat);
pub(crate) const COMPACTED: MessageKind = MessageKind::new("compacted", Traffic::Repair);
pub(crate) const SNAPSHOT_ASK: MessageKind = MessageKind::new("snapshot-ask", Traffic::Repair);
pub(crate) const SNAPSHOT_CHUNK: MessageKind = MessageKind::new("snapshot-chunk", Traffic::Repair);
pub(crate) const TIMEOUT_NOW: MessageKind = MessageKind::new("timeout-now", Traffic::Election);
pub(crate) const WISH: MessageKind = MessageKind::new("wish-to-lead", Traffic::Election);
pub(crate) const READ_INDEX: MessageKind = MessageKind::new("read-index", Traffic::Command);
pub(crate) const READ_REPLY: MessageKind = MessageKind::new("read-reply", Traffic::Command);

impl consensus_core::Message for Message {
    const KINDS: &'static [MessageKind] = &[
        APPEND,
        APPEND_REPLY,
        HEARTBEAT,
        HEARTBEAT_REPLY,
        PRE_VOTE,
        PRE_VOTE_REPLY,
        REQUEST_VOTE,
        VOTE,
        TAIL,
        STALE_TERM,
        REPAIR,
        REPAIR_REPLY,
        REJECT,
        COMPACTED,
        SNAPSHOT_ASK,
        SNAPSHOT_CHUNK,
        TIMEOUT_NOW,
        WISH,
        READ_INDEX,
        READ_REPLY,
    ];

    fn kind(&self) -> MessageKind {
        match self {
            Self::PreVote { .. } => PRE_VOTE,
            Self::PreVoteReply { .. } => PRE_VOTE_REPLY,
            Self::RequestVote { .. } => REQUEST_VOTE,
            Self::Vote { .. } => VOTE,
            Self::Tail(_) => TAIL,
            Self::StaleTerm { .. } => STALE_TERM,
            Self::AppendEntries(append) if append.repair => REPAIR,
            Self::AppendEntries(_) => APPEND,
            Self::AppendReply { repair: true, .. } => REPAIR_REPLY,
            Self::AppendReply { repair: false, .. } => APPEND_REPLY,
            Self::AppendReject { .. } => REJECT,
            Self::Heartbeat { .. } => HEARTBEAT,
            Self::HeartbeatReply { .. } => HEARTBEAT_REPLY,
            Self::Compacted { .. } => COMPACTED,
            Self::Snapshot(message) => match **message {
                SnapshotMessage::Ask { .. } => SNAPSHOT_ASK,
                SnapshotMessage::Chunk { .. } => SNAPSHOT_CHUNK,
            },
            Self::TimeoutNow { .. } => TIMEOUT_NOW,
            Self::WishToLead { .. } => WISH,
            Self::ReadIndex { .. } => READ_INDEX,
            Self::ReadReply { .. } => READ_REPLY,
        }
    }

    fn snapshot(message: SnapshotMessage) -> Option<Self> {
        Some(Self::Snapshot(Box::new(message)))
    }

    /// "Updated on stable storage before responding to RPCs" (Figure 2), where the response is a
    /// promise. RequestVote is one, too: a candidate that crashes before its term and its log are
    /// on disk could campaign in the same term again, with a shorter log, and count an old vote.
    fn gate(&self) -> Gate {
        match self {
            Self::RequestVote { .. } if planted("R40") => Gate::Free,
            Self::Vote { .. } if planted("R02") => Gate::Free,
            Self::AppendReply { .. } if planted("R41") => Gate::Free,
            Self::RequestVote { .. }
            | Self::Vote { granted: true, .. }
            | Self::AppendReply { .. } => Gate::AfterSync,
            Self::Vote { granted: false, .. }
            | Self::PreVote { .. }
            | Self::PreVoteReply { .. }
            | Self::Tail(_)
            | Self::AppendEntries(_)
            | Self::AppendReject { .. }
            | Self::Heartbeat { .. }
            | Self::HeartbeatReply { .. }
            | Self::StaleTerm { .. }
            | Self::Compacted { .. }
            | Self::Snapshot(_)
            | Self::TimeoutNow { .. }
            | Self::WishToLead { .. }
            | Self::ReadIndex { .. }
            | Self::ReadReply { .. } => Gate::Free,
        }
    }
}

impl Message {
    /// The term that it carries; 0 for what stands outside the terms.
    pub fn term(&self) -> Term {
        match self {
            Self::PreVote { term, .. }
            | Self::PreVoteReply { term, .. }
            | Self::RequestVote { term, .. }
            | Self::Vote { term, .. }
            | Self::AppendReply { term, .. }
            | Self::AppendReject { term, .. }
            | Self::Heartbeat { term, .. }
            | Self::HeartbeatReply { term, .. }
            | Self::StaleTerm { term }
            | Self::Compacted { term, .. }
            | Self::TimeoutNow { term, .. }
            | Self::WishToLead { term }
            | Self::ReadIndex { term, .. }
            | Self::ReadReply { term, .. } => *term,
            Self::AppendEntries(append) => append.term,
            Self::Tail(tail) => tail.term,
            Self::Snapshot(_) => Term::ZERO,
        }
    }

    /// Could an honest server have said this? Looks at the message alone.
    #[inline]
    pub(crate) fn check(&self, from: NodeId) -> Result<(), Rejected> {
        match self {
            Self::AppendReply { term, .. } if *term < Term::LIMIT => Ok(()),
            Self::AppendEntries(append) if append.term < Term::LIMIT => append.check(from),
            _ => self.check_other(from),
        }
    }

    #[inline(never)]
    fn check_other(&self, from: NodeId) -> Result<(), Rejected> {
        if self.term() >= Term::LIMIT {
            return Err(Rejected("a term that no cluster reaches"));
        }
        match self {
            Self::RequestVote { candidate: named, .. } | Self::Heartbeat { leader: named, .. }
                if *named != from =>
            {
                Err(Rejected("in another server's name"))
            }
            Self::PreVote { term, last, commit, .. }
            | Self::RequestVote { term, last, commit, .. } => {
                check_candidate(*term, *last, *commit)
            }
            Self::Tail(tail) => check_entries(tail.prev, &tail.entries, tail.term),
            Self::AppendEntries(append) => append.check(from),
            Self::Compacted { term, start } if start.term > *term || !start.can_be() => {
                Err(Rejected("what was forgotten cannot be"))
            }
            Self::Snapshot(message) => check_snapshot(message),
            Self::ReadReply { index: Some(index), .. } if index.0 >= INDEX_LIMIT => {
                Err(Rejected("an index that no log reaches"))
            }
            Self::Compacted { .. }
            | Self::TimeoutNow { .. }
            | Self::WishToLead { .. }
            | Self::ReadIndex { .. }
            | Self::ReadReply { .. }
            | Self::PreVoteReply { .. }
            | Self::Vote { .. }
            | Self::AppendReply { .. }
            | Self::AppendReject { .. }
            | Self::Heartbeat { .. }
            | Self::HeartbeatReply { .. }
            | Self::StaleTerm { .. } => Ok(()),
        }
    }
}

/// No log grows beyond this; a higher index is a hostile number.
const INDEX_LIMIT: u64 = 1 << 62;

impl EntryId {
    /// Index 0 has term 0, and no other has.
    fn can_be(self) -> bool {
        let is_first = self.index == LogIndex::ZERO;
        self.index.0 < INDEX_LIMIT && is_first == (self.term == Term::ZERO)
    }
}

fn check_snapshot(message: &SnapshotMessage) -> Result<(), Rejected> {
    let SnapshotMessage::Chunk { meta, .. } = message else { return Ok(()) };
    let last = EntryId::new(Term(meta.epoch), meta.index);
    if last == EntryId::ZERO || !last.can_be() || last.term >= Term::LIMIT {
        return Err(Rejected("a snapshot of what cannot be"));
    }
    if meta.membership.voters.is_empty() || meta.membership.version > meta.index {
        return Err(Rejected("a snapshot with members that cannot be"));
    }
    Ok(())
}

fn check_candidate(term: Term, last: EntryId, commit: LogIndex) -> Result<(), Rejected> {
    if last.term >= term {
        return Err(Rejected("the last entry is of the term that is to begin, or later"));
    }
    if !last.can_be() && !planted("R191") {
        return Err(Rejected("a log that ends where none does"));
    }
    if commit > last.index {
        return Err(Rejected("committed beyond its log"));
    }
    Ok(())
}

/// Entries of a log that follow this one, sent by a server of this term.
fn check_entries(prev: EntryId, entries: &[Entry], term: Term) -> Result<(), Rejected> {
    if !prev.can_be() {
        return Err(Rejected("an index that no log reaches, or index 0 with a term"));
    }
    let mut before = prev.term;
    for entry in entries {
        if entry.term < before || entry.term == Term::ZERO {
            return Err(Rejected("terms fall along the log"));
        }
        let members = || Membership::from_batch(&entry.batch, LogIndex::ZERO);
        if entry.batch.is_membership() && members().is_none() {
            return Err(Rejected("an entry that should say who the members are does not"));
        }
        before = entry.term;
    }
    if before > term {
        return Err(Rejected("an entry is of a later term than its sender"));
    }
    Ok(())
}

impl AppendEntries {
    fn check(&self, from: NodeId) -> Result<(), Rejected> {
        if self.leader != from {
            return Err(Rejected("in another server's name"));
        }
        check_entries(self.prev, &self.entries, self.term)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{Batch, Message as _};

    fn append(prev: EntryId, terms: &[u64]) -> Message {
        let entry = |term: &u64| Entry { term: Term(*term), batch: Batch::noop() };
        Message::AppendEntries(AppendEntries {
            term: Term(5),
            leader: NodeId(1),
            prev,
            entries: terms.iter().map(entry).collect(),
            leader_commit: LogIndex::ZERO,
            repair: false,
        })
    }

    fn id(term: u64, index: u64) -> EntryId {
        EntryId::new(Term(term), LogIndex(index))
    }

    /// What no honest leader can say is refused at the door, so that nothing behind it panics.
    #[test]
    fn malformed_appends_are_refused() {
        let from = NodeId(1);
        assert_eq!(append(id(3, 7), &[3, 4, 5]).check(from), Ok(()));
        assert_eq!(append(EntryId::ZERO, &[]).check(from), Ok(()));
        for bad in [
            append(id(3, 7), &[2]),
            append(id(3, 7), &[4, 3]),
            append(id(3, 7), &[6]),
            append(id(6, 7), &[]),
            append(id(0, 7), &[1]),
            append(id(1, 0), &[1]),
            append(EntryId::ZERO, &[0]),
            append(id(3, u64::MAX), &[3]),
            Message::StaleTerm { term: Term(u64::MAX) },
        ] {
            assert!(bad.check(from).is_err(), "{bad:?}");
        }
        assert!(append(id(3, 7), &[3]).check(NodeId(2)).is_err(), "in node 1's name");
    }

    /// A candidate's own log ends before its term begins (§5.2: it raises its term first).
    #[test]
    fn a_vote_request_with_entries_of_its_own_term_is_refused() {
        let ask = |last| Message::RequestVote {
            term: Term(4),
            candidate: NodeId(0),
            last,
            commit: LogIndex::ZERO,
            transfer: false,
        };
        assert_eq!(ask(id(3, 9)).check(NodeId(0)), Ok(()));
        for last in [id(0, u64::MAX), id(3, u64::MAX), id(0, 1), id(3, 0)] {
            assert!(ask(last).check(NodeId(0)).is_err(), "no log ends with {last:?}");
        }
        assert!(ask(id(4, 9)).check(NodeId(0)).is_err());
    }

    /// Design, rule 2: promises wait for the disk, rejections and heartbeats do not.
    #[test]
    fn only_promises_wait_for_the_disk() {
        let term = Term(2);
        let vote = |granted| Message::Vote { term, candidate: NodeId(1), granted };
        assert_eq!(vote(true).gate(), Gate::AfterSync);
        assert_eq!(vote(false).gate(), Gate::Free);
        let last = EntryId::ZERO;
        let (candidate, commit) = (NodeId(1), LogIndex::ZERO);
        let ask = Message::RequestVote { term, candidate, last, commit, transfer: false };
        assert_eq!(ask.gate(), Gate::AfterSync);
        let ack = Message::AppendReply { term, matched: LogIndex(1), repair: false };
        assert_eq!(ack.gate(), Gate::AfterSync);
        assert_eq!(append(EntryId::ZERO, &[1]).gate(), Gate::Free);
    }
}
