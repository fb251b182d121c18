//! Reads that take no slot. Neither paper has them but as a remark (PMMC §4.3, read-only commands;
//! leases §4.2). Three ways, all linearizable:
//!
//! * **Index** (Raft thesis §6.4): the leader notes how far slots are chosen, asks its acceptors
//!   whether they still follow its ballot, and may answer as of that slot. Any replica may be
//!   asked; it asks the leader. All reads that wait share one round.
//! * **Lease** (thesis §6.4.1): acceptors that heard a leader promise no other ballot for the
//!   shortest election timeout, so for that long, counted from the *sending* of what they answered,
//!   no round is needed.
//! * **Quorum** (Charapko, Ailijiang, Demirbas, "Linearizable Quorum Reads in Paxos", HotStorage
//!   2019): the replica asks a quorum for the last slot in which anything was accepted, and answers
//!   once that slot is executed. What was chosen before was accepted by somebody in every such
//!   quorum; the leader has no part in it.

use crate::leader::{Leader, Phase};
use crate::message::Message;
use crate::node::Node;
use crate::replica::{MultiPaxos, Out, Role};
use consensus_core::mutant::planted;
use consensus_core::{
    Effects, Env, Incarnation, LogIndex, NodeId, NodeSet, Read, ReadMode, Refusal,
};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

/// So many rounds of quorum reads may wait; then the oldest, whose answers are probably lost, is
/// given up.
const MAX_ROUNDS: usize = 32;

/// So many confirmed heartbeats are kept by their time of sending.
const MAX_SENT: usize = 16;

/// Who asked the leader.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Reader {
    Here(u64),
    /// A read of another replica, in that life of it: it numbers its reads anew in the next.
    There(NodeId, Incarnation, u64),
}

/// What a leader knows of its acceptors' faith in it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Confirmation {
    /// Counts rounds of heartbeats that something depends on.
    pub(crate) round: u64,
    /// The last round that each answered.
    answered: BTreeMap<NodeId, u64>,
    /// Reads that came after the round under way began.
    waiting: Vec<Reader>,
    under_way: Option<Round>,
    /// When rounds began that are not confirmed; only with leases.
    sent: VecDeque<(u64, Duration)>,
    /// When the last confirmed round began.
    confirmed: Option<Duration>,
    /// This ballot gave way to another replica, which may lead at any time.
    over: bool,
}

/// A round that reads wait for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Round {
    number: u64,
    index: LogIndex,
    readers: Vec<Reader>,
}

impl Confirmation {
    /// Does nobody wait for an answer?
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.under_way.is_none()
    }
}

/// Quorum reads of this replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct QuorumReads {
    next: u64,
    waiting: Vec<u64>,
    rounds: BTreeMap<u64, Asked>,
}

impl QuorumReads {
    /// Does no read wait?
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.rounds.is_empty()
    }
}

/// A round of questions for the last accepted slot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Asked {
    reads: Vec<u64>,
    /// The members that were asked.
    version: LogIndex,
    answered: NodeSet,
    last: LogIndex,
}

impl MultiPaxos {
    /// A client wants to read.
    pub(crate) fn on_read(&mut self, read: Read, env: &Env<'_>, effects: Out<'_>) {
        let Read { id, mode } = read;
        if mode == ReadMode::Lease && self.node.config.lease.is_none() {
            effects.refuse_read(id, Refusal::Unsupported);
            return;
        }
        if mode == ReadMode::Quorum {
            self.node.quorum_reads.waiting.push(id);
            return;
        }
        let lease = mode == ReadMode::Lease;
        match (&mut self.role, self.node.incarnation) {
            (Role::Leader(leader), _) => {
                leader.on_read(Reader::Here(id), lease, &self.node, env, effects);
            }
            (_, reader) => match self.leader() {
                Some(leader) => effects.send(leader, Message::Read { reader, read: id, lease }),
                None => effects.refuse_read(id, Refusal::NotLeader(None)),
            },
        }
    }

    /// Another replica was asked, and asks the leader.
    pub(crate) fn on_read_of(
        &mut self,
        from: NodeId,
        (reader, read): (Incarnation, u64),
        lease: bool,
        env: &Env<'_>,
        effects: Out<'_>,
    ) {
        match &mut self.role {
            Role::Leader(leader) => {
                effects.reached("read of a follower");
                let reader = Reader::There(from, reader, read);
                leader.on_read(reader, lease, &self.node, env, effects);
            }
            _ => effects.send(from, Message::ReadReply { reader, read, index: None }),
        }
    }

    /// The leader answers. An answer to an earlier life of this replica is about another read.
    pub(crate) fn on_read_reply(
        &mut self,
        reader: Incarnation,
        read: u64,
        index: Option<LogIndex>,
        effects: Out<'_>,
    ) {
        if reader != self.node.incarnation && !planted("M90") {
            effects.reached("answer to a read of an earlier life");
            return;
        }
        match index {
            Some(index) => effects.ready(read, index),
            None => effects.refuse_read(read, Refusal::NotLeader(self.leader())),
        }
    }

    /// A replica reads without the leader.
    pub(crate) fn on_quorum_read(
        &self,
        from: NodeId,
        reader: Incarnation,
        round: u64,
        effects: Out<'_>,
    ) {
        let last = self.node.last_accepted();
        effects.send(from, Message::QuorumReadReply { reader, round, last });
    }

    /// An acceptor says what it accepted last.
    pub(crate) fn on_quorum_read_reply(
        &mut self,
        from: NodeId,
        reader: Incarnation,
        round: u64,
        last: LogIndex,
    ) {
        if reader != self.node.incarnation && !planted("M185") {
            return;
        }
        if let Some(asked) = self.node.quorum_reads.rounds.get_mut(&round) {
            asked.answered.insert(from);
            asked.last = asked.last.max(last);
        }
    }
}

impl Leader {
    fn on_read(
        &mut self,
        reader: Reader,
        lease: bool,
        node: &Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        if lease && self.may_read_by_lease(node, env) {
            effects.reached("read by lease");
            reader.answer(Some(node.learner.upto()), effects);
            return;
        }
        self.confirmation.waiting.push(reader);
    }

    /// Does it know what is chosen, and is it certain to hear first if that may change?
    pub(crate) fn may_read_by_lease(&self, node: &Node, env: &Env<'_>) -> bool {
        self.may_read(node) && self.has_lease(node, env)
    }

    /// Does this leader know everything that was chosen under lower ballots?
    pub(crate) fn may_read(&self, node: &Node) -> bool {
        let asks = self.phase == Phase::Asking && !planted("M184");
        let knows = node.learner.upto() >= self.adopted && !asks;
        knows || planted("M91")
    }

    /// Is it certain that nobody has promised a higher ballot?
    fn has_lease(&self, node: &Node, env: &Env<'_>) -> bool {
        let (Some(drift), Some(begun)) = (node.config.lease, self.confirmation.confirmed) else {
            return false;
        };
        let over = self.confirmation.over && !planted("M92");
        !over && env.now < begun + drift.lease(env.cluster.timing.election_min)
    }

    /// Begins a round for the reads that wait, if none is under way: a round confirms only what was
    /// asked before it began.
    pub(crate) fn confirm(
        &mut self,
        node: &Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        let under_way = self.confirmation.under_way.is_some();
        if self.confirmation.waiting.is_empty() || under_way || !self.may_read(node) {
            return;
        }
        let readers = std::mem::take(&mut self.confirmation.waiting);
        if readers.len() > 1 {
            effects.reached("reads share a round");
        }
        self.confirmation.round += u64::from(!planted("M93"));
        let (number, index) = (self.confirmation.round, node.learner.upto());
        self.confirmation.under_way = Some(Round { number, index, readers });
        self.beat(node, env, effects);
        self.confirmed(node, effects);
    }

    /// With leases each heartbeat is a round of its own, by its time of sending.
    pub(crate) fn begin_round(&mut self, node: &Node, env: &Env<'_>) {
        if node.config.lease.is_none() {
            return;
        }
        let confirmation = &mut self.confirmation;
        confirmation.round += 1;
        confirmation.sent.push_back((confirmation.round, env.now));
        if confirmation.sent.len() > MAX_SENT {
            confirmation.sent.pop_front();
        }
    }

    /// An acceptor follows this ballot, as of that round.
    pub(crate) fn on_round(
        &mut self,
        from: NodeId,
        round: u64,
        node: &Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        let answered = self.confirmation.answered.entry(from).or_default();
        *answered = round.max(*answered);
        self.confirmed(node, effects);
        self.prolong(node, env);
    }

    /// Answers the reads of the round under way, once so many follow that no other ballot can have
    /// been promised by a quorum when it began.
    fn confirmed(&mut self, node: &Node, effects: &mut Effects<MultiPaxos>) {
        let Some(round) = &self.confirmation.under_way else { return };
        if !self.follow_as_of(round.number, node) {
            return;
        }
        let index = Some(round.index);
        for reader in
            self.confirmation.under_way.take().map(|round| round.readers).into_iter().flatten()
        {
            reader.answer(index, effects);
        }
    }

    fn follow_as_of(&self, round: u64, node: &Node) -> bool {
        let answered = |(_, answered): &(&NodeId, &u64)| **answered >= round;
        let following = self.confirmation.answered.iter().filter(answered);
        let following: NodeSet = following.map(|(id, _)| *id).chain([node.id]).collect();
        node.is_phase_2_quorum(following)
    }

    /// The lease lasts from the sending of the latest round that a quorum answered.
    fn prolong(&mut self, node: &Node, env: &Env<'_>) {
        while let Some((round, sent)) = self.confirmation.sent.front().copied() {
            if !self.follow_as_of(round, node) {
                return;
            }
            self.confirmation.sent.pop_front();
            self.confirmation.confirmed = Some(if planted("M94") { env.now } else { sent });
        }
    }

    /// Others vote from now on: what the old ones answered is no lease.
    pub(crate) fn void_lease(&mut self) {
        if !planted("M95") {
            self.confirmation.confirmed = None;
            self.confirmation.sent.clear();
        }
    }

    /// This ballot makes room: it holds nobody back any more, and answers by no lease.
    pub(crate) fn end_lease(&mut self) {
        self.confirmation.over = true;
    }

    /// No longer leader: nothing is known of the reads that wait.
    pub(crate) fn refuse_reads(&mut self, effects: &mut Effects<MultiPaxos>) {
        let under_way = self.confirmation.under_way.take().map(|round| round.readers);
        let waiting = std::mem::take(&mut self.confirmation.waiting);
        for reader in under_way.into_iter().flatten().chain(waiting) {
            effects.reached("read refused: no longer leader");
            reader.answer(None, effects);
        }
    }
}

impl Reader {
    fn answer(self, index: Option<LogIndex>, effects: &mut Effects<MultiPaxos>) {
        match (self, index) {
            (Self::Here(read), Some(index)) => effects.ready(read, index),
            (Self::Here(read), None) => effects.refuse_read(read, Refusal::NotLeader(None)),
            (Self::There(to, reader, read), index) => {
                effects.send(to, Message::ReadReply { reader, read, index });
            }
        }
    }
}

impl Node {
    /// The last slot in which something was accepted here, forgotten or not.
    fn last_accepted(&self) -> LogIndex {
        if planted("M96") {
            return self.learner.upto();
        }
        if planted("M97") {
            return self.acceptor.last();
        }
        self.last()
    }

    /// Asks for the reads that wait, and answers those for which enough is known.
    pub(crate) fn quorum_read(&mut self, effects: &mut Effects<MultiPaxos>) {
        self.answer_quorum_reads(effects);
        if self.quorum_reads.waiting.is_empty() {
            return;
        }
        let reads = std::mem::take(&mut self.quorum_reads.waiting);
        let voters = self.voters();
        if voters.is_empty() {
            reads.iter().for_each(|read| effects.refuse_read(*read, Refusal::NotLeader(None)));
            return;
        }
        if self.quorum_reads.rounds.len() >= MAX_ROUNDS {
            let oldest = self.quorum_reads.rounds.pop_first();
            for read in oldest.map(|(_, asked)| asked.reads).unwrap_or_default() {
                effects.refuse_read(read, Refusal::Busy);
            }
        }
        let answered = if self.is_voter() { NodeSet::from(self.id) } else { NodeSet::EMPTY };
        let (version, last) = (self.version(), self.last_accepted());
        let round = self.quorum_reads.next;
        self.quorum_reads.next += 1;
        self.quorum_reads.rounds.insert(round, Asked { reads, version, answered, last });
        let reader = self.incarnation;
        effects.send(voters.without(self.id), Message::QuorumRead { reader, round });
        self.answer_quorum_reads(effects);
    }

    /// The slot must be executed first. If it turns out then that others vote since a slot that
    /// was not known when the question was put, they must be asked, too.
    fn answer_quorum_reads(&mut self, effects: &mut Effects<MultiPaxos>) {
        if self.quorum_reads.rounds.is_empty() {
            return;
        }
        let (upto, now) = (self.learner.upto(), self.version());
        let done = |asked: &Asked| self.is_phase_1_quorum(asked.answered) && asked.last <= upto;
        let rounds = self.quorum_reads.rounds.iter();
        let finished: Vec<u64> = rounds
            .filter(|(_, asked)| done(asked) || asked.version != now)
            .map(|(round, _)| *round)
            .collect();
        for round in finished {
            let Some(asked) = self.quorum_reads.rounds.remove(&round) else { continue };
            if asked.version != now && !planted("M98") {
                effects.reached("quorum read asks other members");
                self.quorum_reads.waiting.extend(asked.reads);
                continue;
            }
            effects.reached("quorum read");
            let index = asked.last.max(asked.version);
            asked.reads.iter().for_each(|read| effects.ready(*read, index));
        }
    }
}
