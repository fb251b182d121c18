//! Replicas that do not lead: hearing the leader, missing it, and asking around before raising
//! the ballot.

use crate::message::Message;
use crate::node::Node;
use crate::replica::{MultiPaxos, Timer};
use crate::votes::Votes;
use consensus_core::mutant::planted;
use consensus_core::{Ballot, Delay, Effects, Env, LogIndex, NodeId};
use core::time::Duration;

/// Follows a leader, or waits for one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Follower {
    /// The ballot of the leader that was heard last.
    pub(crate) leader: Option<Ballot>,
    /// No leader was heard for the shortest election timeout.
    pub(crate) lost: bool,
    /// The highest priority of those that the leader heard.
    pub(crate) priority: u8,
    /// The leader offers its place, and this replica asks whether it would be elected.
    pub(crate) offered: Option<Canvasser>,
    /// A scout was told a piece of what is accepted here, and the next one begins at this slot.
    next_piece: Option<LogIndex>,
    /// Until then it may owe a leader that it heard in an earlier life the rest of a lease.
    wary_until: Duration,
    /// Up to where values were known at the last heartbeat.
    upto_at_heartbeat: LogIndex,
}

impl Follower {
    /// Before the first input: as after a lost leader, but no timer runs.
    pub(crate) fn idle(node: &Node) -> Self {
        let upto_at_heartbeat = node.learner.upto();
        let (leader, offered, next_piece) = (None, None, None);
        let wary_until = Duration::ZERO;
        Self { leader, lost: true, priority: 0, offered, next_piece, wary_until, upto_at_heartbeat }
    }

    /// A new life begins.
    pub(crate) fn reborn(node: &Node, env: &Env<'_>, effects: &mut Effects<MultiPaxos>) -> Self {
        let mut follower = Self::new(None, node, env, effects);
        if node.config.lease.is_some() {
            follower.wary_until = env.now + env.cluster.timing.election_min;
        }
        follower
    }

    /// With leases a leader answers reads by the word of those that hear it. So who hears one hears
    /// no other, and promises nothing to another, before it has missed that one for the shortest
    /// election timeout. That two lead at a time takes a change of members: the next leader may
    /// have been elected by others, and ask this replica only later.
    pub(crate) fn is_bound_to_another(&self, ballot: Ballot) -> bool {
        !self.lost && self.leader.is_some_and(|leader| leader != ballot)
    }

    /// May it promise this ballot something? A leader also asks those who follow it already, when
    /// they begin to vote; and who gave way waives its lease.
    pub(crate) fn is_free_for(
        &self,
        ballot: Ballot,
        handed: Option<Ballot>,
        env: &Env<'_>,
    ) -> bool {
        let gave_way = handed.is_some() && (self.leader == handed || planted("M136"));
        let wary = env.now < self.wary_until && !planted("M191");
        self.lost || (!wary && (gave_way || self.leader == Some(ballot)))
    }

    /// Begins to follow, or to wait, and gives whoever leads the shortest election timeout.
    pub(crate) fn new(
        leader: Option<Ballot>,
        node: &Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) -> Self {
        let mut follower = Self::idle(node);
        follower.calm(leader, env, effects);
        follower
    }

    /// A ballot was beaten: some leader or scout is ahead, but it may be gone already. Whoever
    /// asks may try; we do so after a random while, so that duels end (§2.4).
    pub(crate) fn beaten(node: &Node, env: &Env<'_>, effects: &mut Effects<MultiPaxos>) -> Self {
        effects.set_timer(Timer::Election, env.cluster.timing.election());
        Self::idle(node)
    }

    /// The leader gave a sign of life.
    pub(crate) fn hear(
        &mut self,
        ballot: Ballot,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        self.calm(Some(ballot), env, effects);
    }

    /// The scout of our promise asks from this slot on. Who asks for the next piece has heard the
    /// last one: a long report, too, is a sign of life.
    pub(crate) fn is_asked(
        &mut self,
        first: LogIndex,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        if self.next_piece == Some(first) && self.leader.is_none() && !planted("M145") {
            effects.reached("scout asks for the next piece");
            self.calm(None, env, effects);
        }
    }

    /// The scout is told a piece, and this is where the next one begins, if there is more.
    pub(crate) fn told_scout(&mut self, next: Option<LogIndex>) {
        self.next_piece = next;
    }

    fn calm(&mut self, leader: Option<Ballot>, env: &Env<'_>, effects: &mut Effects<MultiPaxos>) {
        if self.lost {
            effects.cancel_timer(Timer::Election);
        }
        self.lost &= planted("M44");
        if self.leader != leader {
            self.offered = None;
            self.leader = leader;
        }
        effects.set_timer(Timer::Silence, Delay::fixed(env.cluster.timing.election_min));
    }

    /// No sign of the leader for the shortest election timeout. The random rest of the timeout
    /// decides who acts first; one of a lower priority than others lets those go first.
    pub(crate) fn on_silence(
        &mut self,
        node: &Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        self.lost = true;
        self.leader = None;
        self.offered = None;
        let timing = &env.cluster.timing;
        let rest = timing.election_max.saturating_sub(timing.election_min);
        let lesser = node.priority() < self.priority;
        let delay = if lesser {
            effects.reached("lets one of a higher priority go first");
            Delay { min: rest, max: rest * 2 }
        } else {
            Delay { min: Duration::ZERO, max: rest }
        };
        effects.set_timer(Timer::Election, delay);
    }

    /// The leader knows more chosen values. Asks it for them, if none came since its last
    /// heartbeat: what is only on its way needs no asking.
    pub(crate) fn keep_up(
        &mut self,
        node: &Node,
        leader: NodeId,
        chosen: LogIndex,
        effects: &mut Effects<MultiPaxos>,
    ) {
        let upto = node.learner.upto();
        if upto < chosen && upto == self.upto_at_heartbeat {
            effects.reached("follower asks for chosen values");
            node.ask(leader, effects);
        }
        if !planted("M42") {
            self.upto_at_heartbeat = upto;
        }
    }
}

/// Asks whether others have lost the leader, too. Without that, a replica that is cut off from the
/// leader, or that cannot hear, would depose one leader after the other; a higher ballot always
/// wins. Nothing is promised here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Canvasser {
    /// The question, told apart from earlier ones.
    ballot: Ballot,
    lost: Votes,
}

impl Canvasser {
    /// Begins to ask, for one election timeout.
    pub(crate) fn new(node: &Node, env: &Env<'_>, effects: &mut Effects<MultiPaxos>) -> Self {
        let canvasser = Self::idle(node);
        effects.set_timer(Timer::Election, env.cluster.timing.election());
        canvasser.ask(node, env, effects);
        canvasser
    }

    fn idle(node: &Node) -> Self {
        let mut lost = Votes::default();
        lost.add(node.id);
        Self { ballot: node.next_ballot(), lost }
    }

    /// Asks whether it could take over from the leader of this ballot, once; meanwhile it follows.
    pub(crate) fn of_heir(leader: Ballot, node: &Node, effects: &mut Effects<MultiPaxos>) -> Self {
        let canvasser = Self::idle(node);
        let (ballot, upto) = (canvasser.ballot, node.learner.upto());
        let canvass = Message::Canvass { ballot, upto, offered: Some(leader) };
        effects.send(node.voters().without(node.id), canvass);
        canvasser
    }

    /// Asks those who did not say yes.
    pub(crate) fn ask(&self, node: &Node, env: &Env<'_>, effects: &mut Effects<MultiPaxos>) {
        let silent = node.voters().without(node.id).minus(self.lost.from());
        let (ballot, upto) = (self.ballot, node.learner.upto());
        effects.send(silent, Message::Canvass { ballot, upto, offered: None });
        effects.set_timer(Timer::Retry, retry(env));
    }

    /// Somebody answered.
    pub(crate) fn on_reply(&mut self, from: NodeId, ballot: Ballot, lost: bool) {
        if ballot == self.ballot && (lost || planted("M43")) {
            self.lost.add(from);
        }
    }

    /// Have enough lost the leader?
    pub(crate) fn agreed(&self, node: &Node) -> bool {
        // As many as a new leader needs for both phases.
        let lost = self.lost.from().and(node.voters());
        (node.is_phase_1_quorum(lost) || planted("M137")) && node.is_phase_2_quorum(lost)
    }
}

/// How long an answer may take before the question is asked again: longer than a round trip of a
/// cluster whose heartbeats arrive.
pub(crate) fn retry(env: &Env<'_>) -> Delay {
    env.cluster.timing.heartbeat().times(2)
}
