//! The replica: which message or timer goes to which role, and how roles change (Figure 4).

use crate::candidate::{Candidate, PreCandidate};
use crate::config::Config;
use crate::entry::Term;
use crate::follower::Follower;
use crate::invariants;
use crate::leader::Leader;
use crate::message::Message;
use crate::read::Asker;
use crate::record::{Record, Remembered};
use crate::server::Server;
use crate::snapshot::NOTHING;
use crate::transfer::HandOver;
use consensus_core::mutant::planted;
use consensus_core::{
    Answers, Batch, ConsensusProtocol, Durable, Effects, Env, Envelope, FaultModel, Input, Links,
    LogIndex, NodeId, ProtocolInfo, RecordNumber, RecoverError, Rejected, SnapshotMeta, Status,
    Takes, Verified,
};
use core::time::Duration;
use tracing::debug;

/// One Raft server.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Raft {
    pub(crate) server: Server,
    pub(crate) role: Role,
}

/// The roles of Figure 4, and the one of thesis §9.6. Each owns what only it needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Role {
    Follower(Follower),
    PreCandidate(PreCandidate),
    Candidate(Candidate),
    Leader(Box<Leader>),
}

/// The timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The election timeout. In a leader: time to check that a majority still answers.
    Election,
    /// Time for a leader to say that it is alive.
    Heartbeat,
    /// A leader has waited for another server to take over for long enough.
    HandOver,
}

/// What a handler wants its server to be next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// What it is.
    Stay,
    /// A follower that knows no leader.
    Follower,
    /// One that asks whether it could win.
    PreCandidate,
    /// A candidate in a new term; by an operator's wish, if `transfer`.
    Candidate { transfer: bool },
    /// The leader of its term.
    Leader,
}

impl ConsensusProtocol for Raft {
    const INFO: ProtocolInfo = ProtocolInfo {
        name: "raft",
        title: "Raft",
        paper: "Ongaro & Ousterhout, In Search of an Understandable Consensus Algorithm \
                (extended version), 2014",
        faults: FaultModel::Crash,
        answers: Answers::ClientReplica,
        takes: Takes::Leader,
        links: Links::Any,
    };
    type Config = Config;
    type Message = Message;
    type Record = Record;
    type Timer = Timer;

    fn recover(id: NodeId, config: Config, durable: Durable<Record>) -> Result<Self, RecoverError> {
        if id.index() >= NodeId::LIMIT {
            return Err(RecoverError(format!("{id} is not the name of a node")));
        }
        let Durable { incarnation, records, snapshot } = durable;
        let remembered = Remembered::read(records, snapshot, config.members())?;
        let server = Server::new(id, config, incarnation, remembered);
        Ok(Self { server, role: Role::Follower(Follower::new()) })
    }

    #[inline(always)]
    fn verify(envelope: Envelope<Message>, _env: &Env<'_>) -> Result<Verified<Message>, Rejected> {
        // Members come and go; whose vote counts is decided by the log.
        if envelope.from.index() >= NodeId::LIMIT {
            return Err(Rejected("not the name of a node"));
        }
        envelope.message.check(envelope.from)?;
        Ok(Verified::vouch(envelope))
    }

    fn step(&mut self, mut input: Input<Self>, env: &Env<'_>, effects: &mut Effects<Self>) {
        let done = match &mut input {
            Input::Message(message) => self.receive(message, effects),
            _ => false,
        };
        if !done {
            self.take(input, env, effects);
        }
        self.end_step(effects);
    }

    fn status(&self) -> Status {
        let (role, leader) = match &self.role {
            Role::Follower(follower) => (consensus_core::Role::Follower, follower.leader),
            Role::PreCandidate(_) | Role::Candidate(_) => (consensus_core::Role::Candidate, None),
            Role::Leader(_) => (consensus_core::Role::Leader, Some(self.server.id)),
        };
        Status {
            role,
            epoch: self.server.current_term.0,
            leader,
            committed: self.server.commit_index,
            last: self.server.log.last().index,
            purged: self.server.log.start().index,
        }
    }

    #[inline]
    fn decided(&self, index: LogIndex) -> Option<&Batch> {
        let entry = self.server.log.get(index).filter(|_| index <= self.server.commit_index);
        entry.map(|entry| &entry.batch)
    }

    fn kept(&self, first: LogIndex, count: u64) -> Option<Record> {
        let entries = self.server.log.after(first.previous()).get(..count as usize)?.into();
        Some(Record::Entries { first, entries })
    }

    /// Followers hold back reads only, and candidates nothing.
    #[inline]
    fn awaits_drained(&self) -> bool {
        match &self.role {
            Role::Leader(_) => true,
            Role::Follower(follower) => follower.reads.are_gathered() && !planted("R170"),
            Role::PreCandidate(_) | Role::Candidate(_) => false,
        }
    }

    /// A follower's own disk commits nothing and elects nobody.
    #[inline]
    fn awaits_durable(&self) -> bool {
        let counts = match &self.role {
            Role::Leader(_) => true,
            Role::Candidate(_) => !planted("R171"),
            Role::Follower(_) | Role::PreCandidate(_) => false,
        };
        counts && !self.server.writes.is_empty()
    }

    fn snapshot_meta(&self, index: LogIndex) -> Option<SnapshotMeta> {
        self.server.snapshot_meta(index)
    }
}

impl Raft {
    /// Whatever comes.
    #[inline(never)]
    fn take(&mut self, input: Input<Self>, env: &Env<'_>, effects: &mut Effects<Self>) {
        match input {
            Input::Start => self.start(effects),
            Input::Message(message) => {
                let (from, message) = message.into_parts();
                self.dispatch(from, message, env.now, effects);
            }
            Input::Propose(batch) => self.propose(batch, effects),
            Input::Timer(timer) => self.on_timer(timer, env.now, effects),
            Input::Durable(upto) => self.on_durable(upto, effects),
            Input::Campaign => self.campaign(effects),
            Input::Transfer(to) => self.hand_over(to, effects),
            Input::Change(change) => self.change_members(&change, effects),
            Input::Read(read) => self.read(read, env.now, effects),
            Input::SnapshotTaken(meta) => self.on_snapshot_taken(&meta, effects),
            Input::SnapshotInstalled(meta) => self.install(meta, effects),
            Input::Drained => self.on_drained(env.now, effects),
        }
    }

    /// What follows at once from whatever was taken in, and what must hold then.
    #[inline(always)]
    fn end_step(&mut self, effects: &mut Effects<Self>) {
        if let Role::Leader(leader) = &mut self.role {
            let next = leader.settle(&mut self.server, effects);
            self.transition(next, effects);
        }
        if let Err(broken) = invariants::check_cheap(self) {
            effects.halt(broken);
        }
    }

    #[cold]
    fn on_snapshot_taken(&mut self, meta: &SnapshotMeta, effects: &mut Effects<Self>) {
        let needed_after = self.needed_after();
        self.server.on_snapshot_taken(meta, needed_after, effects);
    }

    #[cold]
    fn start(&mut self, effects: &mut Effects<Self>) {
        if self.server.compaction_due {
            self.server.compact(effects);
        }
        self.server.tell_members(effects);
        if let Role::Follower(follower) = &mut self.role {
            follower.start(&self.server, effects);
        }
    }

    /// What comes with every command, from a leader and followers of the current term, is looked at
    /// where it lies. False if it is something else.
    #[inline]
    fn receive(&mut self, message: &mut Verified<Message>, effects: &mut Effects<Self>) -> bool {
        let current = self.server.current_term;
        match (message.parts_mut(), &mut self.role) {
            ((from, Message::AppendReply { term, matched, .. }), Role::Leader(leader))
                if *term == current =>
            {
                leader.on_append_reply(&mut self.server, from, *matched, effects);
            }
            ((from, Message::AppendEntries(append)), Role::Follower(follower))
                if append.term == current =>
            {
                let next = follower.on_append_entries(&mut self.server, from, append, effects);
                self.transition(next, effects);
            }
            _ => return false,
        }
        true
    }

    /// The dispatcher: terms first (§5.1), then the message, then the role.
    #[inline(never)]
    fn dispatch(
        &mut self,
        from: NodeId,
        message: Message,
        now: Duration,
        effects: &mut Effects<Self>,
    ) {
        match message {
            // Snapshots stand outside the terms, too: they say what is decided.
            Message::Snapshot(message) => return effects.snapshot(from, *message),
            // Pre-votes stand outside the terms: they change nobody's (thesis §9.6).
            Message::PreVote { term, last, commit, offered } => {
                return self.on_pre_vote(from, (term, offered), (last, commit), effects);
            }
            Message::PreVoteReply { term, granted } => {
                return self.on_pre_vote_reply(from, term, granted, effects);
            }
            // Who refuses may be in an older term.
            Message::Tail(tail) if tail.term <= self.server.current_term => {
                return self.on_tail(from, tail, effects);
            }
            Message::RequestVote { transfer: false, .. }
                if self.hears_leader() && !planted("R15c") =>
            {
                debug!(?from, "asks for votes, but the leader lives");
                effects.reached("vote request ignored: the leader lives");
                return;
            }
            _ if message.term() > self.server.current_term => {
                self.enter_term(message.term(), effects);
            }
            _ if message.term() < self.server.current_term => {
                return self.on_stale(from, message, effects);
            }
            _ => {}
        }
        let next = match message {
            Message::RequestVote { last, commit, transfer, .. } => {
                self.on_request_vote(from, (last, commit, transfer), effects)
            }
            Message::Vote { candidate, granted, .. } => self.on_vote(from, candidate, granted),
            Message::AppendEntries(_) | Message::Heartbeat { .. } | Message::Compacted { .. } => {
                self.on_word_of_leader(from, message, effects)
            }
            Message::TimeoutNow { ask, .. } => self.on_timeout_now(ask, effects),
            Message::ReadReply { life, ticket, index, .. } => {
                if let Role::Follower(follower) = &mut self.role {
                    follower.on_read_reply(&self.server, (life, ticket), index, effects);
                }
                Next::Stay
            }
            Message::ReadIndex { life, ticket, lease, .. } => {
                self.on_read_index(Asker::There(from, life, ticket), lease, now, effects);
                Next::Stay
            }
            _ => {
                self.on_word_to_leader(from, message, effects);
                Next::Stay
            }
        };
        self.transition(next, effects);
    }

    /// A word of the leader of the current term.
    fn on_word_of_leader(
        &mut self,
        from: NodeId,
        message: Message,
        effects: &mut Effects<Self>,
    ) -> Next {
        let Some((follower, server)) = self.follower(effects) else { return Next::Stay };
        match message {
            Message::AppendEntries(mut append) => {
                follower.on_append_entries(server, from, &mut append, effects)
            }
            Message::Heartbeat { commit, round, priority, .. } => {
                follower.on_heartbeat(server, from, (commit, round, priority), effects)
            }
            Message::Compacted { start, .. } => follower.on_compacted(server, from, start, effects),
            _ => Next::Stay,
        }
    }

    /// What only a leader cares for.
    fn on_word_to_leader(&mut self, from: NodeId, message: Message, effects: &mut Effects<Self>) {
        let Role::Leader(leader) = &mut self.role else { return };
        let server = &mut self.server;
        match message {
            Message::AppendReply { matched, .. } => {
                leader.on_append_reply(server, from, matched, effects);
            }
            Message::AppendReject { prev, conflict, .. } => {
                leader.on_append_reject(server, from, (prev, conflict), effects);
            }
            Message::HeartbeatReply { round, verified, priority, .. } => {
                leader.on_heartbeat_reply(server, from, (round, verified, priority), effects);
            }
            Message::WishToLead { .. } => {
                leader.begin_hand_over(server, HandOver { to: from, ask: false }, effects);
            }
            _ => {}
        }
    }

    /// A message of an older term. Requests are answered `false` with the current term, so that
    /// an old leader or candidate learns of it; late answers are worth nothing (§5.1).
    #[cold]
    fn on_stale(&mut self, from: NodeId, message: Message, effects: &mut Effects<Self>) {
        let term = self.server.current_term;
        effects.reached(match &message {
            Message::AppendEntries(_)
            | Message::Heartbeat { .. }
            | Message::Compacted { .. }
            | Message::TimeoutNow { .. } => "a deposed leader speaks",
            Message::RequestVote { .. } => "a vote is asked for in an old term",
            Message::AppendReply { .. } => "acknowledgement of an older term",
            Message::Vote { .. } => "vote of an older term",
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::Tail(_)
            | Message::AppendReject { .. }
            | Message::HeartbeatReply { .. }
            | Message::WishToLead { .. }
            | Message::ReadIndex { .. }
            | Message::ReadReply { .. }
            | Message::Snapshot(_)
            | Message::StaleTerm { .. } => "another message of an older term",
        });
        match message {
            Message::RequestVote { .. }
            | Message::AppendEntries(_)
            | Message::Heartbeat { .. }
            | Message::PreVote { .. }
                if planted("E-31b") => {}
            Message::RequestVote { .. }
            | Message::AppendEntries(_)
            | Message::Heartbeat { .. }
            | Message::Compacted { .. }
            | Message::ReadIndex { .. }
            | Message::PreVote { .. } => effects.send(from, Message::StaleTerm { term }),
            Message::Vote { candidate, granted, .. } if planted("R04") => {
                let next = self.on_vote(from, candidate, granted);
                self.transition(next, effects);
            }
            Message::HeartbeatReply { round, verified, priority, .. } if planted("R135") => {
                if let Role::Leader(leader) = &mut self.role {
                    let about = (round, verified, priority);
                    leader.on_heartbeat_reply(&mut self.server, from, about, effects);
                }
            }
            Message::AppendReply { matched, .. } if planted("R53") => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_append_reply(&mut self.server, from, matched, effects);
                }
            }
            Message::PreVoteReply { .. }
            | Message::Tail(_)
            | Message::Vote { .. }
            | Message::AppendReply { .. }
            | Message::AppendReject { .. }
            | Message::HeartbeatReply { .. }
            | Message::TimeoutNow { .. }
            | Message::WishToLead { .. }
            | Message::ReadReply { .. }
            | Message::Snapshot(_)
            | Message::StaleTerm { .. } => debug!(?from, ?message, "of an older term: ignored"),
        }
    }

    /// A leader of the current term spoke: a candidate of the term has lost and follows (§5.2).
    /// `None` in a leader, which believes in no second one.
    pub(crate) fn follower(
        &mut self,
        effects: &mut Effects<Self>,
    ) -> Option<(&mut Follower, &mut Server)> {
        if let Role::PreCandidate(_) | Role::Candidate(_) = self.role {
            effects.reached("a candidate finds that another leads");
            self.role = Role::Follower(Follower::new());
        }
        match &mut self.role {
            Role::Follower(follower) => Some((follower, &mut self.server)),
            _ => {
                debug!("a second leader of this server's own term: ignored");
                None
            }
        }
    }

    #[inline(never)]
    fn on_timer(&mut self, timer: Timer, now: Duration, effects: &mut Effects<Self>) {
        let server = &self.server;
        let next = match (timer, &mut self.role) {
            (Timer::Election, Role::Follower(role)) => role.on_timeout(server, effects),
            // A split vote: ask again before the next term is begun.
            (Timer::Election, Role::Candidate(_)) => {
                effects.reached("an election was not decided");
                Next::PreCandidate
            }
            (Timer::Election, Role::PreCandidate(_)) => Next::PreCandidate,
            (Timer::Election, Role::Leader(role)) => role.on_check_quorum(server, effects),
            (Timer::Heartbeat, Role::Leader(role)) => {
                role.on_heartbeat_timer(server, now, effects);
                Next::Stay
            }
            (Timer::HandOver, Role::Leader(role)) => {
                role.give_up_hand_over(effects);
                Next::Stay
            }
            (Timer::Heartbeat | Timer::HandOver, _) => {
                effects.halt("a leader's timer outlived its leader");
                Next::Stay
            }
        };
        self.transition(next, effects);
    }

    /// The disk caught up: votes and entries of this server itself count from now on.
    fn on_durable(&mut self, upto: RecordNumber, effects: &mut Effects<Self>) {
        let confirmed = self.server.confirm(upto);
        let next = match &mut self.role {
            Role::Candidate(role) if confirmed.own_vote => role.count(&self.server, self.server.id),
            Role::Leader(role) if confirmed.entries => {
                let durable = self.server.durable_index;
                role.advance_commit(&mut self.server, durable, effects);
                Next::Stay
            }
            _ => Next::Stay,
        };
        self.transition(next, effects);
    }

    fn on_drained(&mut self, now: Duration, effects: &mut Effects<Self>) {
        match &mut self.role {
            Role::Leader(leader) => {
                let fresh = leader.append_fresh(&mut self.server, effects);
                leader.replicate(&self.server, fresh, effects);
                leader.serve_reads(&self.server, now, effects);
            }
            Role::Follower(follower) => follower.forward_reads(&self.server, effects),
            Role::PreCandidate(_) | Role::Candidate(_) => {}
        }
    }

    /// A snapshot of another server was installed. Who was about to be elected starts over with the
    /// new log. A leader whose log it replaces is deposed and has not heard of it: its own term
    /// decided nothing else (Leader Completeness, Figure 3), so a later one has committed an entry
    /// of an older term here (Figure 8). What is decided stands in the state machine already.
    #[cold]
    fn install(&mut self, meta: SnapshotMeta, effects: &mut Effects<Self>) {
        let news = meta.index > self.server.commit_index;
        if news && Term(meta.epoch) > self.server.current_term {
            self.enter_term(Term(meta.epoch), effects);
        }
        let last = self.server.log.last();
        self.server.on_snapshot_installed(meta, effects);
        match &mut self.role {
            Role::Follower(follower) => follower.on_log_replaced(&self.server),
            Role::Leader(_) if self.server.log.last() != last && planted("R154") => {
                effects.halt("a leader lacks what is decided");
            }
            Role::Leader(_) if self.server.log.last() != last => {
                debug!(id = ?self.server.id, "a later leader has decided otherwise: steps down");
                self.become_follower(effects);
            }
            Role::Leader(_) if planted("R138") => {}
            Role::Leader(leader) => leader.recount(&self.server),
            Role::PreCandidate(_) | Role::Candidate(_) if news => {
                self.become_follower(effects);
            }
            Role::PreCandidate(_) | Role::Candidate(_) => {}
        }
    }

    /// The entries after this index are needed by others, beside what trails.
    fn needed_after(&self) -> LogIndex {
        match &self.role {
            Role::Leader(leader) => leader.needed_after(),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => NOTHING,
        }
    }

    /// Does this server know a leader that is well (thesis §4.2.3)?
    pub(crate) fn hears_leader(&self) -> bool {
        match &self.role {
            Role::Follower(follower) => follower.hears_leader(),
            Role::Leader(_) => true,
            Role::PreCandidate(_) | Role::Candidate(_) => false,
        }
    }
}
