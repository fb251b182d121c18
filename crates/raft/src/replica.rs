//! The replica: which message or timer goes to which role, and how roles change (Figure 4).

use crate::candidate::{Candidate, PreCandidate};
use crate::config::Config;
use crate::entry::{EntryId, Term};
use crate::follower::Follower;
use crate::invariants;
use crate::leader::Leader;
use crate::message::Message;
use crate::record::{Record, Remembered};
use crate::server::Server;
use consensus_core::mutant::planted;
use consensus_core::{
    Answers, Batch, ConsensusProtocol, Durable, Effects, Env, Envelope, FaultModel, Input, Links,
    LogIndex, NodeId, ProtocolInfo, RecordNumber, RecoverError, Refusal, Rejected, Status, Takes,
    Verified,
};
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
    Leader(Leader),
}

/// The timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The election timeout. In a leader: time to check that a majority still answers.
    Election,
    /// Time for a leader to say that it is alive.
    Heartbeat,
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
        if !config.servers().contains(id) {
            return Err(RecoverError(format!("{id} is not in a cluster of {}", config.nodes)));
        }
        let server = Server::new(id, config, Remembered::read(durable.records)?);
        Ok(Self { server, role: Role::Follower(Follower::new()) })
    }

    fn verify(envelope: Envelope<Message>, env: &Env<'_>) -> Result<Verified<Message>, Rejected> {
        if !env.cluster.contains(envelope.from) {
            return Err(Rejected("not a server of this cluster"));
        }
        envelope.message.check(envelope.from)?;
        Ok(Verified::vouch(envelope))
    }

    fn step(&mut self, input: Input<Self>, _env: &Env<'_>, effects: &mut Effects<Self>) {
        match input {
            Input::Start => self.start(effects),
            Input::Message(message) => {
                let (from, message) = message.into_parts();
                self.receive(from, message, effects);
            }
            Input::Propose(batch) => self.propose(batch, effects),
            Input::Timer(timer) => self.on_timer(timer, effects),
            Input::Durable(upto) => self.on_durable(upto, effects),
            other @ (Input::Transfer(_)
            | Input::Change(_)
            | Input::Read(_)
            | Input::SnapshotTaken(_)
            | Input::SnapshotInstalled(_)) => effects.unsupported(&other),
            Input::Campaign => self.campaign(effects),
            Input::Drained => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.replicate(&self.server, effects);
                }
            }
        }
        if let Err(broken) = invariants::check_cheap(self) {
            effects.halt(broken);
        }
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
            purged: LogIndex::ZERO,
        }
    }
}

impl Raft {
    fn start(&mut self, effects: &mut Effects<Self>) {
        if let Role::Follower(follower) = &mut self.role {
            follower.wait(&self.server, effects);
        }
    }

    /// The dispatcher: terms first (§5.1), then the message, then the role.
    fn receive(&mut self, from: NodeId, message: Message, effects: &mut Effects<Self>) {
        match message {
            // Pre-votes stand outside the terms: they change nobody's (thesis §9.6).
            Message::PreVote { term, last } => return self.on_pre_vote(from, term, last, effects),
            Message::PreVoteReply { term, granted } => {
                return self.on_pre_vote_reply(from, term, granted, effects);
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
        let server = &mut self.server;
        let next = match message {
            Message::RequestVote { last, transfer, .. } => {
                self.on_request_vote(from, (last, transfer), effects)
            }
            Message::Vote { candidate, granted, .. } => self.on_vote(from, candidate, granted),
            Message::AppendEntries(append) => match self.follower(effects) {
                Some((follower, server)) => {
                    follower.on_append_entries(server, from, append, effects)
                }
                None => Next::Stay,
            },
            Message::Heartbeat { commit, round, .. } => match self.follower(effects) {
                Some((follower, server)) => {
                    follower.on_heartbeat(server, from, commit, round, effects)
                }
                None => Next::Stay,
            },
            Message::AppendReply { matched, .. } => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_append_reply(server, from, matched, effects);
                }
                Next::Stay
            }
            Message::AppendReject { prev, conflict, .. } => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_append_reject(server, from, (prev, conflict), effects);
                }
                Next::Stay
            }
            Message::HeartbeatReply { round, verified, .. } => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_heartbeat_reply(server, from, (round, verified), effects);
                }
                Next::Stay
            }
            // Its news was the term. The pre-votes went their own way above.
            Message::StaleTerm { .. } | Message::PreVote { .. } | Message::PreVoteReply { .. } => {
                Next::Stay
            }
        };
        self.transition(next, effects);
    }

    /// A message of an older term. Requests are answered `false` with the current term, so that
    /// an old leader or candidate learns of it; late answers are worth nothing (§5.1).
    fn on_stale(&mut self, from: NodeId, message: Message, effects: &mut Effects<Self>) {
        let term = self.server.current_term;
        effects.reached(match &message {
            Message::AppendEntries(_) | Message::Heartbeat { .. } => "a deposed leader speaks",
            Message::RequestVote { .. } => "a vote is asked for in an old term",
            Message::AppendReply { .. } => "acknowledgement of an older term",
            Message::Vote { .. } => "vote of an older term",
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::AppendReject { .. }
            | Message::HeartbeatReply { .. }
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
            | Message::PreVote { .. } => effects.send(from, Message::StaleTerm { term }),
            Message::Vote { candidate, granted, .. } if planted("R04") => {
                let next = self.on_vote(from, candidate, granted);
                self.transition(next, effects);
            }
            Message::AppendReply { matched, .. } if planted("R53") => {
                if let Role::Leader(leader) = &mut self.role {
                    leader.on_append_reply(&mut self.server, from, matched, effects);
                }
            }
            Message::PreVoteReply { .. }
            | Message::Vote { .. }
            | Message::AppendReply { .. }
            | Message::AppendReject { .. }
            | Message::HeartbeatReply { .. }
            | Message::StaleTerm { .. } => debug!(?from, ?message, "of an older term: ignored"),
        }
    }

    /// Would this server vote so? It says yes only if it has itself lost its leader (thesis §9.6).
    fn on_pre_vote(&self, from: NodeId, term: Term, last: EntryId, effects: &mut Effects<Self>) {
        if term <= self.server.current_term && planted("E-31b") {
            debug!(?from, "of an older term: ignored");
        } else if term <= self.server.current_term {
            effects.send(from, Message::StaleTerm { term: self.server.current_term });
        } else if !self.hears_leader() {
            let granted = self.server.is_up_to_date(last);
            if !granted {
                effects.reached("pre-vote refused: the log is behind");
            }
            effects.send(from, Message::PreVoteReply { term, granted });
        } else {
            effects.reached("pre-vote ignored: the leader lives");
        }
    }

    fn on_pre_vote_reply(
        &mut self,
        from: NodeId,
        term: Term,
        granted: bool,
        effects: &mut Effects<Self>,
    ) {
        let current = term == self.server.current_term.next();
        if let Role::PreCandidate(role) = &mut self.role
            && current
            && granted
        {
            let next = role.count(&self.server, from);
            self.transition(next, effects);
        } else if planted("R04") && term == self.server.current_term {
            let next = self.on_vote(from, self.server.id, granted);
            self.transition(next, effects);
        }
    }

    /// RequestVote of the current term (Figure 2, receiver, step 2). Only a vote that is given
    /// starts the election timeout anew.
    fn on_request_vote(
        &mut self,
        from: NodeId,
        (last, transfer): (EntryId, bool),
        effects: &mut Effects<Self>,
    ) -> Next {
        let server = &mut self.server;
        let wished = transfer && planted("R52") && server.may_vote_for(from, server.log.last());
        if !server.may_vote_for(from, last) && !wished {
            let term = server.current_term;
            let behind = !server.is_up_to_date(last);
            effects.reached(if behind {
                "vote refused: the log is behind"
            } else {
                "vote refused: given to another"
            });
            effects.send(from, Message::Vote { term, candidate: from, granted: false });
            if planted("E-31a")
                && let Role::Follower(follower) = &mut self.role
            {
                follower.wait(&self.server, effects);
            }
            return Next::Stay;
        }
        server.vote_for(from, effects);
        if !matches!(self.role, Role::Follower(_)) {
            self.become_follower(effects);
        }
        if let Role::Follower(follower) = &mut self.role {
            follower.wait(&self.server, effects);
        }
        Next::Stay
    }

    fn on_vote(&mut self, from: NodeId, candidate: NodeId, granted: bool) -> Next {
        match &mut self.role {
            Role::Candidate(role) if (granted || planted("R62")) && candidate == self.server.id => {
                role.count(&self.server, from)
            }
            _ => Next::Stay,
        }
    }

    /// A leader of the current term spoke: a candidate of the term has lost and follows (§5.2).
    /// `None` in a leader, which believes in no second one.
    fn follower(&mut self, effects: &mut Effects<Self>) -> Option<(&mut Follower, &mut Server)> {
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

    fn on_timer(&mut self, timer: Timer, effects: &mut Effects<Self>) {
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
                role.on_heartbeat_timer(server, effects);
                Next::Stay
            }
            (Timer::Heartbeat, _) => {
                effects.halt("a heartbeat timer outlived its leader");
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
                role.advance_commit(&mut self.server, effects);
                Next::Stay
            }
            _ => Next::Stay,
        };
        self.transition(next, effects);
    }

    fn propose(&mut self, batch: Batch, effects: &mut Effects<Self>) {
        match &mut self.role {
            Role::Leader(leader) => leader.on_propose(&mut self.server, batch, effects),
            Role::Follower(Follower { leader, .. }) => {
                effects.refuse(batch, Refusal::NotLeader(*leader));
            }
            Role::PreCandidate(_) | Role::Candidate(_) => {
                effects.refuse(batch, Refusal::NotLeader(None));
            }
        }
    }

    /// An operator's wish: an election at once, that others heed even if they hear a leader.
    fn campaign(&mut self, effects: &mut Effects<Self>) {
        if !matches!(self.role, Role::Leader(_)) {
            self.transition(Next::Candidate { transfer: true }, effects);
        }
    }

    /// Does this server know a leader that is well (thesis §4.2.3)?
    fn hears_leader(&self) -> bool {
        match &self.role {
            Role::Follower(follower) => follower.hears_leader(),
            Role::Leader(_) => true,
            Role::PreCandidate(_) | Role::Candidate(_) => false,
        }
    }
}

/// How roles change. Each transition asserts where it comes from.
impl Raft {
    #[inline]
    fn transition(&mut self, next: Next, effects: &mut Effects<Self>) {
        if next != Next::Stay {
            self.leave_for(next, effects);
        }
    }

    fn leave_for(&mut self, mut next: Next, effects: &mut Effects<Self>) {
        while next != Next::Stay {
            next = match next {
                Next::Stay => Next::Stay,
                Next::Follower => self.become_follower(effects),
                Next::PreCandidate => self.become_pre_candidate(effects),
                Next::Candidate { transfer } => self.become_candidate(transfer, effects),
                Next::Leader => self.become_leader(effects),
            };
        }
    }

    /// Another server has reached a later term (Figure 2, rules for all servers). Whoever was
    /// anything in the old one is a follower in the new one. The election timeout runs on.
    fn enter_term(&mut self, term: Term, effects: &mut Effects<Self>) {
        self.server.enter_term(term, effects);
        if matches!(self.role, Role::Leader(_)) {
            effects.reached("leader learned of a later term");
        }
        match &mut self.role {
            Role::Follower(follower) => {
                *follower = Follower { patience: follower.patience, ..Follower::new() };
            }
            Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_) => {
                self.become_follower(effects);
            }
        }
    }

    /// A leader or candidate gives up. A candidate's election timeout runs on.
    fn become_follower(&mut self, effects: &mut Effects<Self>) -> Next {
        assert!(!matches!(self.role, Role::Follower(_)), "a follower stays one");
        if let Role::Leader(_) = self.role {
            effects.cancel_timer(Timer::Heartbeat);
            effects.set_timer(Timer::Election, self.server.config.timing.election());
        }
        self.role = Role::Follower(Follower::new());
        Next::Stay
    }

    /// A follower lost its leader, or an election was not decided.
    fn become_pre_candidate(&mut self, effects: &mut Effects<Self>) -> Next {
        assert!(!matches!(self.role, Role::Leader(_)), "a leader has won already");
        if planted("R15a") {
            return Next::Candidate { transfer: false };
        }
        let (role, next) = PreCandidate::begin(&self.server, effects);
        self.role = Role::PreCandidate(role);
        next
    }

    /// A majority would vote for this server, or an operator wants it to try.
    fn become_candidate(&mut self, transfer: bool, effects: &mut Effects<Self>) -> Next {
        assert!(!matches!(self.role, Role::Leader(_)), "a leader has won already");
        let before = self.server.current_term;
        let (role, next) = Candidate::begin(&mut self.server, transfer, effects);
        assert!(self.server.current_term > before, "an election begins a term");
        self.role = Role::Candidate(role);
        next
    }

    /// A majority voted for this server (§5.2).
    fn become_leader(&mut self, effects: &mut Effects<Self>) -> Next {
        let Role::Candidate(candidate) = &self.role else {
            unreachable!("only a candidate can win")
        };
        assert!(self.server.is_majority(candidate.votes), "won without a majority");
        assert_eq!(self.server.voted_for, Some(self.server.id), "a leader voted for itself");
        debug!(id = ?self.server.id, term = ?self.server.current_term, "leads");
        self.role = Role::Leader(Leader::begin(&mut self.server, effects));
        Next::Stay
    }
}
