//! The replica: which role hears what, and how one role follows another.

use crate::acceptor::Acceptor;
use crate::config::Config;
use crate::follower::{Canvasser, Follower, retry};
use crate::invariants;
use crate::leader::Leader;
use crate::message::{Message, Promise};
use crate::node::Node;
use crate::record::Record;
use crate::scout::Scout;
use consensus_core::mutant::planted;
use consensus_core::{
    Answers, Ballot, Batch, ConsensusProtocol, Durable, Effects, Env, Envelope, FaultModel, Input,
    Links, LogIndex, NodeId, ProtocolInfo, RecoverError, Refusal, Rejected, SnapshotMeta, Status,
    Takes, Verified,
};

/// A replica of Multi-Paxos: proposer, acceptor and learner on one node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MultiPaxos {
    pub(crate) node: Node,
    pub(crate) role: Role,
}

/// What the replica does beside accepting and learning. Every step asks for it, so it is told by a
/// byte of its own.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub(crate) enum Role {
    Follower(Follower),
    Canvasser(Canvasser),
    Scout(Scout),
    /// Boxed: it is large, and every role takes as much room as the largest.
    Leader(Box<Leader>),
}

/// The timers. Which of them run depends on the role.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A follower has not heard the leader for the shortest election timeout.
    Silence,
    /// The rest of the election timeout is over, or an attempt to become leader took too long.
    Election,
    /// It is time to ask those again who did not answer.
    Retry,
    /// A hand-over has taken too long.
    Transfer,
    /// The leader says that it is alive.
    Heartbeat,
    /// The leader looks whether a quorum still answers.
    CheckQuorum,
}

pub(crate) type Out<'a> = &'a mut Effects<MultiPaxos>;

impl ConsensusProtocol for MultiPaxos {
    const INFO: ProtocolInfo = ProtocolInfo {
        name: "multipaxos",
        title: "Multi-Paxos",
        paper: "Lamport, Paxos Made Simple (2001), §3; van Renesse and Altinbuken, Paxos Made \
                Moderately Complex (2015)",
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
        let node = Node::recover(id, config, durable)?;
        let role = Role::Follower(Follower::idle(&node));
        Ok(Self { node, role })
    }

    #[inline(always)]
    fn verify(envelope: Envelope<Message>, env: &Env<'_>) -> Result<Verified<Message>, Rejected> {
        let _ = env;
        if envelope.from.index() >= NodeId::LIMIT {
            return Err(Rejected("not a replica"));
        }
        envelope.message.check(envelope.from)?;
        Ok(Verified::vouch(envelope))
    }

    fn step(&mut self, mut input: Input<Self>, env: &Env<'_>, effects: &mut Effects<Self>) {
        let done = match &mut input {
            Input::Message(message) => self.receive(message, env, effects),
            _ => false,
        };
        if !done {
            self.take(input, env, effects);
        }
        if let Err(broken) = invariants::check_cheap(self) {
            effects.halt(broken);
        }
    }

    fn status(&self) -> Status {
        // Who seeks votes or leads does so under its own ballot, though it may know of a higher one
        // that nobody has promised yet.
        let (role, ballot) = match &self.role {
            Role::Follower(_) => (consensus_core::Role::Follower, self.node.seen),
            Role::Canvasser(_) => (consensus_core::Role::Candidate, self.node.seen),
            Role::Scout(scout) => (consensus_core::Role::Candidate, scout.ballot),
            Role::Leader(leader) => (consensus_core::Role::Leader, leader.ballot),
        };
        Status {
            role,
            epoch: ballot.round,
            leader: self.leader(),
            committed: self.node.learner.upto(),
            last: self.node.last(),
            purged: self.node.learner.base(),
        }
    }

    #[inline]
    fn decided(&self, index: LogIndex) -> Option<&Batch> {
        self.node.learner.handed_out(index, &self.node.acceptor)
    }

    fn kept(&self, first: LogIndex, count: u64) -> Option<Record> {
        self.node.acceptor.record(first, count)
    }

    /// A leader may have queued what clients want; others have reads and notes.
    #[inline]
    fn awaits_drained(&self) -> bool {
        matches!(self.role, Role::Leader(_)) || self.node.awaits_drained()
    }

    /// Votes of the own acceptor count for its own ballot only.
    #[inline]
    fn awaits_durable(&self) -> bool {
        match self.role {
            Role::Leader(_) => true,
            Role::Scout(_) => !planted("M171"),
            Role::Follower(_) | Role::Canvasser(_) => self.node.awaits_durable(),
        }
    }

    fn snapshot_meta(&self, index: LogIndex) -> Option<SnapshotMeta> {
        self.meta(index)
    }
}

impl MultiPaxos {
    /// What comes with every command is looked at where it lies. False if it is something else.
    #[inline]
    fn receive(
        &mut self,
        message: &mut Verified<Message>,
        env: &Env<'_>,
        effects: Out<'_>,
    ) -> bool {
        match (message.parts_mut(), &mut self.role) {
            ((from, Message::Accept(accept)), _) if from != self.node.id => {
                self.on_accept(from, accept, env, effects);
            }
            ((from, Message::Accepted { ballot, slot, count, .. }), Role::Leader(leader))
                if from != self.node.id =>
            {
                let votes = (*ballot, *slot, *count);
                leader.on_accepted(from, votes, &mut self.node, env, effects);
            }
            _ => return false,
        }
        true
    }

    /// Whatever comes.
    #[inline(never)]
    fn take(&mut self, input: Input<Self>, env: &Env<'_>, effects: Out<'_>) {
        match input {
            Input::Start => self.start(env, effects),
            Input::Message(message) => {
                let (from, message) = message.into_parts();
                if from != self.node.id {
                    self.on_message(from, message, env, effects);
                }
            }
            Input::Propose(batch) => self.on_propose(batch, effects),
            Input::Timer(timer) => self.on_timer(timer, env, effects),
            Input::Durable(upto) => self.on_durable(upto, env, effects),
            Input::SnapshotTaken(meta) => self.on_snapshot_taken(&meta, effects),
            Input::SnapshotInstalled(meta) => self.on_snapshot_installed(meta, env, effects),
            Input::Change(change) => self.on_change(&change, effects),
            Input::Transfer(to) => self.on_transfer(to, env, effects),
            Input::Read(read) => self.on_read(read, env, effects),
            Input::Campaign => self.on_campaign(env, effects),
            Input::Drained => self.on_drained(env, effects),
        }
    }

    #[cold]
    fn start(&mut self, env: &Env<'_>, effects: Out<'_>) {
        self.node.start(effects);
        self.role = Role::Follower(Follower::reborn(&self.node, env, effects));
    }

    /// Whom it takes for the leader.
    pub(crate) fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower(follower) => follower.leader.and_then(Ballot::node),
            Role::Leader(_) => Some(self.node.id),
            Role::Canvasser(_) | Role::Scout(_) => None,
        }
    }

    fn on_propose(&mut self, batch: Batch, effects: Out<'_>) {
        if batch.is_membership() && !planted("M87") {
            effects.refuse(batch, Refusal::Unsupported);
            return;
        }
        match &mut self.role {
            Role::Leader(leader) => leader.propose(batch, &self.node, effects),
            Role::Follower(_) | Role::Canvasser(_) | Role::Scout(_) => {
                effects.refuse(batch, Refusal::NotLeader(self.leader()));
            }
        }
    }

    fn on_message(&mut self, from: NodeId, message: Message, env: &Env<'_>, effects: Out<'_>) {
        match message {
            Message::Canvass { upto, .. } if self.is_outdated(from, upto, effects) => {}
            Message::Canvass { ballot, upto, offered } => {
                self.on_canvass(from, (ballot, upto), offered, effects);
            }
            Message::CanvassReply { ballot, lost, seen } => {
                self.on_canvass_reply(from, ballot, lost, seen, env, effects);
            }
            Message::Prepare { ballot, from: first, .. }
                if !self.follows(ballot) && self.is_outdated(from, first.previous(), effects) => {}
            Message::Prepare { ballot, from: first, handed } => {
                self.on_prepare(from, ballot, first, handed, env, effects);
            }
            Message::Promise(promise) => {
                self.on_promise(from, *promise, env, effects);
            }
            // Taken by `receive`, or for a leader that is none any more.
            Message::Accept(_) | Message::Accepted { .. } => {}
            Message::Nack { ballot, promised } => self.on_nack(ballot, promised, env, effects),
            Message::Commit { ballot, chosen } => {
                self.on_commit(from, ballot, chosen, env, effects);
            }
            Message::Heartbeat { .. } => self.on_heartbeat(from, &message, env, effects),
            Message::HeartbeatReply { ballot, known, round, priority } => {
                if let Role::Leader(leader) = &mut self.role
                    && (leader.ballot == ballot || planted("M135"))
                {
                    let about = (round, priority);
                    leader.on_heartbeat_reply(from, about, &self.node, env, effects);
                    self.on_known(from, known, env, effects);
                }
            }
            Message::Wish { ballot } => self.on_wish(from, ballot, env, effects),
            Message::Read { reader, read, lease } => {
                self.on_read_of(from, (reader, read), lease, env, effects);
            }
            Message::ReadReply { reader, read, index } => {
                self.on_read_reply(reader, read, index, effects);
            }
            Message::QuorumRead { reader, round } => {
                self.on_quorum_read(from, reader, round, effects);
            }
            Message::QuorumReadReply { reader, round, last } => {
                self.on_quorum_read_reply(from, reader, round, last);
            }
            Message::TimeoutNow { ballot, ask } => {
                self.on_timeout_now(from, (ballot, ask), env, effects);
            }
            Message::Learn { from: first } => self.on_learn(from, first, effects),
            Message::Learned { from: first, batches, chosen } => {
                self.on_learned(from, first, &batches, chosen, effects);
            }
            Message::Known { upto } => self.on_known_by(from, upto, effects),
            Message::Forgotten { upto } => self.on_forgotten(from, upto, env, effects),
            Message::Snapshot(message) => effects.snapshot(from, *message),
        }
    }

    #[cold]
    fn on_promise(&mut self, from: NodeId, promise: Promise, env: &Env<'_>, effects: Out<'_>) {
        let scout = match &self.role {
            Role::Scout(scout) => scout,
            Role::Leader(leader) => &leader.scout,
            Role::Follower(_) | Role::Canvasser(_) => return,
        };
        let unseen = planted("M82") || (planted("M180") && matches!(self.role, Role::Leader(_)));
        if scout.on_forgotten(&promise, &self.node) && !unseen {
            effects.reached("scout needs a snapshot first");
            effects.fetch(from);
            self.become_beaten(env, effects);
            return;
        }
        match &mut self.role {
            Role::Scout(scout) => {
                let more = scout.on_promise(from, promise, &mut self.node, effects);
                if more && !planted("M144") {
                    // A long report may take longer than an election timeout: it is no reason to
                    // give up, and to begin again at its first page, that it comes on.
                    effects.set_timer(Timer::Election, env.cluster.timing.election());
                }
                self.lead_if_elected(env, effects);
            }
            _ => self.on_promise_to_leader(from, promise, env, effects),
        }
    }

    /// The driver has no more input just now.
    fn on_drained(&mut self, env: &Env<'_>, effects: Out<'_>) {
        self.node.drained(effects);
        if let Role::Leader(leader) = &mut self.role {
            leader.drained(&mut self.node, env, effects);
        }
    }

    #[cold]
    fn on_timer(&mut self, timer: Timer, env: &Env<'_>, effects: Out<'_>) {
        match (timer, &mut self.role) {
            (Timer::Silence, Role::Follower(role)) => role.on_silence(&self.node, env, effects),
            (Timer::Election, Role::Follower(_) | Role::Canvasser(_)) => {
                self.become_canvasser(env, effects);
            }
            (Timer::Election, Role::Scout(_)) => {
                effects.reached("scout gives up");
                self.become_canvasser(env, effects);
            }
            (Timer::Retry, Role::Canvasser(role)) => role.ask(&self.node, env, effects),
            (Timer::Retry, Role::Scout(role)) => {
                role.ask(&self.node, effects);
                effects.set_timer(Timer::Retry, retry(env));
            }
            (Timer::Retry, Role::Leader(role)) => role.accept_again(&self.node, env, effects),
            (Timer::Heartbeat, Role::Leader(role)) => {
                self.node.learner.note_soon();
                role.beat(&self.node, env, effects);
            }
            (Timer::CheckQuorum, Role::Leader(role)) => {
                role.prefer(&self.node, env, effects);
                if !role.check_quorum(&mut self.node, env, effects) {
                    tracing::debug!(id = %self.node.id, "steps down");
                    self.become_beaten(env, effects);
                }
            }
            (Timer::Transfer, Role::Leader(_)) => self.on_transfer_deadline(effects),
            (
                Timer::Silence
                | Timer::Election
                | Timer::Retry
                | Timer::Transfer
                | Timer::Heartbeat
                | Timer::CheckQuorum,
                _,
            ) => tracing::debug!(?timer, "a timer of another role"),
        }
    }

    /// An operator wants this replica to lead: it does not ask around first.
    #[cold]
    fn on_campaign(&mut self, env: &Env<'_>, effects: Out<'_>) {
        match &self.role {
            Role::Follower(_) | Role::Canvasser(_) if !self.node.is_voter() => {}
            Role::Follower(follower) if self.node.config.lease.is_some() && !follower.lost => {
                // The leader may hold a lease, so it must give way first.
                if let Some(ballot) = follower.leader
                    && let Some(leader) = ballot.node()
                {
                    effects.send(leader, Message::Wish { ballot });
                }
            }
            Role::Follower(_) | Role::Canvasser(_) => {
                effects.reached("election by wish");
                self.become_scout(None, env, effects);
            }
            Role::Scout(_) | Role::Leader(_) => {}
        }
    }

    /// Has this replica lost the leader, too? A scout wants to be given a chance and says no.
    #[cold]
    fn on_canvass(
        &mut self,
        from: NodeId,
        (ballot, upto): (Ballot, LogIndex),
        offered: Option<Ballot>,
        effects: Out<'_>,
    ) {
        let behind = upto > self.node.learner.upto() && !planted("M143");
        if behind && !matches!(self.role, Role::Leader(_)) {
            // Among what it lacks may be who votes.
            self.node.ask(from, effects);
        }
        let offers = |leader: Option<Ballot>| offered.is_some() && leader == offered;
        let lost = match &self.role {
            Role::Follower(follower) => follower.lost || offers(follower.leader),
            Role::Canvasser(_) => true,
            Role::Leader(leader) => offers(Some(leader.ballot)),
            Role::Scout(_) => false,
        };
        if !lost {
            effects.reached("canvass refused");
        }
        effects.send(from, Message::CanvassReply { ballot, lost, seen: self.node.seen });
    }

    /// A leader that was removed with a change still asks the members of that change.
    fn follows(&self, ballot: Ballot) -> bool {
        matches!(&self.role, Role::Follower(follower) if follower.leader == Some(ballot))
    }

    #[cold]
    fn on_canvass_reply(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        lost: bool,
        seen: Ballot,
        env: &Env<'_>,
        effects: Out<'_>,
    ) {
        self.node.see(seen);
        let (canvasser, handed) = match &mut self.role {
            Role::Canvasser(canvasser) => (canvasser, None),
            Role::Follower(Follower { offered: Some(canvasser), leader, .. }) => {
                (canvasser, *leader)
            }
            Role::Follower(_) | Role::Scout(_) | Role::Leader(_) => return,
        };
        canvasser.on_reply(from, ballot, lost);
        if canvasser.agreed(&self.node) {
            self.become_scout(handed, env, effects);
        }
    }

    fn on_commit(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        chosen: LogIndex,
        env: &Env<'_>,
        effects: Out<'_>,
    ) {
        if !self.refused(from, ballot, effects) && !self.is_bound_to_another(ballot, effects) {
            self.hear(ballot, env, effects);
            let Node { acceptor, learner, .. } = &mut self.node;
            learner.learn_from_leader(ballot, chosen, acceptor, effects);
        }
    }

    fn on_heartbeat(&mut self, from: NodeId, message: &Message, env: &Env<'_>, effects: Out<'_>) {
        let Message::Heartbeat { ballot, chosen, settled, round, priority } = *message else {
            return;
        };
        if self.refused(from, ballot, effects) || self.is_bound_to_another(ballot, effects) {
            return;
        }
        self.hear(ballot, env, effects);
        let Node { acceptor, learner, .. } = &mut self.node;
        learner.learn_from_leader(ballot, chosen, acceptor, effects);
        if let Role::Follower(follower) = &mut self.role {
            follower.priority = priority;
            follower.keep_up(&self.node, from, chosen, effects);
        }
        self.node.learner.note_soon();
        self.node.finish(settled, effects);
        let known = self.node.known();
        let priority = if self.node.stalled { 0 } else { self.node.priority() };
        effects.send(from, Message::HeartbeatReply { ballot, known, round, priority });
    }

    /// A ballot that was outbid is abandoned (§2.2, at the end).
    #[cold]
    fn on_nack(&mut self, ballot: Ballot, promised: Ballot, env: &Env<'_>, effects: Out<'_>) {
        self.node.see(promised);
        let own = match &self.role {
            Role::Leader(_) if planted("M06") => None,
            Role::Leader(leader) => Some(leader.ballot),
            Role::Scout(scout) => Some(scout.ballot),
            Role::Follower(_) | Role::Canvasser(_) => None,
        };
        if own == Some(ballot) {
            let led = matches!(self.role, Role::Leader(_));
            effects.reached(if led { "leader outbid" } else { "scout outbid" });
            self.become_beaten(env, effects);
        }
    }

    /// The owner of this ballot leads.
    pub(crate) fn hear(&mut self, ballot: Ballot, env: &Env<'_>, effects: Out<'_>) {
        match &mut self.role {
            Role::Follower(follower) => follower.hear(ballot, env, effects),
            Role::Canvasser(_) | Role::Scout(_) | Role::Leader(_) => {
                self.become_follower(Some(ballot), env, effects);
            }
        }
    }

    /// Somebody else leads, or is about to.
    pub(crate) fn become_follower(
        &mut self,
        leader: Option<Ballot>,
        env: &Env<'_>,
        effects: Out<'_>,
    ) {
        self.leave_role(leader.and_then(Ballot::node), effects);
        self.role = Role::Follower(Follower::new(leader, &self.node, env, effects));
    }

    /// This replica was ahead and is no longer, and nobody is known to lead.
    pub(crate) fn become_beaten(&mut self, env: &Env<'_>, effects: Out<'_>) {
        self.leave_role(None, effects);
        self.role = Role::Follower(Follower::beaten(&self.node, env, effects));
    }

    #[cold]
    fn leave_role(&mut self, leader: Option<NodeId>, effects: Out<'_>) {
        match &mut self.role {
            Role::Follower(_) => {}
            Role::Canvasser(_) | Role::Scout(_) => effects.cancel_timer(Timer::Retry),
            Role::Leader(role) => {
                role.resign(leader, effects);
                for timer in [Timer::Retry, Timer::Heartbeat, Timer::CheckQuorum, Timer::Transfer] {
                    effects.cancel_timer(timer);
                }
            }
        }
    }

    /// The leader is lost, or the last attempt to replace it came to nothing. Who does not vote
    /// waits; it asks the others, as it may vote by now and not know.
    #[cold]
    fn become_canvasser(&mut self, env: &Env<'_>, effects: Out<'_>) {
        assert!(!matches!(self.role, Role::Leader(_)), "a leader misses no leader");
        let idle = !self.node.is_voter() && !planted("M81");
        if idle {
            self.tell_voters(effects);
        }
        if idle || self.node.stalled {
            if idle {
                self.node.ask_around(env, effects);
            }
            self.become_beaten(env, effects);
            return;
        }
        let canvasser = Canvasser::new(&self.node, env, effects);
        let agreed = canvasser.agreed(&self.node);
        self.role = Role::Canvasser(canvasser);
        if agreed {
            self.become_scout(None, env, effects);
        }
    }

    pub(crate) fn become_scout(&mut self, handed: Option<Ballot>, env: &Env<'_>, effects: Out<'_>) {
        assert!(!matches!(self.role, Role::Leader(_)), "a leader has its promises");
        effects.cancel_timer(Timer::Silence);
        self.role = Role::Scout(Scout::new(handed, &mut self.node, env, effects));
    }

    /// A quorum has promised: phase 1 is over, for all slots.
    #[cold]
    pub(crate) fn lead_if_elected(&mut self, env: &Env<'_>, effects: Out<'_>) {
        let Role::Scout(scout) = &self.role else { return };
        if !self.node.is_voter() {
            effects.reached("scout learns that it votes no more");
            self.become_beaten(env, effects);
            return;
        }
        if !scout.elected(&self.node) {
            return;
        }
        effects.cancel_timer(Timer::Election);
        let leader = Leader::new(scout.clone(), &mut self.node, env, effects);
        self.role = Role::Leader(Box::new(leader));
        self.settle(env, effects);
    }

    /// The acceptor, for invariants and oracles.
    pub(crate) fn acceptor(&self) -> &Acceptor {
        &self.node.acceptor
    }
}
