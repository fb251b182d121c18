//! Handing over (Raft thesis §3.10): the leader takes nothing new, waits until the other replica
//! knows all that is chosen, and tells it to raise the ballot at once.

use crate::follower::Canvasser;
use crate::leader::Leader;
use crate::message::Message;
use crate::node::Node;
use crate::replica::{MultiPaxos, Out, Role, Timer};
use consensus_core::mutant::planted;
use consensus_core::{Ballot, Delay, Effects, Env, LogIndex, NodeId};

/// A hand-over under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Transfer {
    pub(crate) to: NodeId,
    /// The heir was told how far slots are chosen since the last one was.
    told: LogIndex,
    /// The heir was told to raise the ballot.
    sent: bool,
    /// The settings want it, and no operator: the heir asks first whether it would be elected. It
    /// may be one that reaches this leader only; told to raise the ballot, it would depose a leader
    /// that works, and not be elected.
    ask: bool,
}

impl MultiPaxos {
    /// An operator wants this leader to hand over.
    pub(crate) fn on_transfer(&mut self, to: NodeId, env: &Env<'_>, effects: Out<'_>) {
        if let Role::Leader(leader) = &mut self.role {
            leader.hand_over_to(to, false, &self.node, env, effects);
        }
    }

    /// An operator wants a follower to lead. Where there are leases the leader must give way first.
    pub(crate) fn on_wish(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        env: &Env<'_>,
        effects: Out<'_>,
    ) {
        if let Role::Leader(leader) = &mut self.role
            && leader.ballot == ballot
        {
            leader.hand_over_to(from, false, &self.node, env, effects);
        }
    }

    /// The leader gives way to this replica.
    pub(crate) fn on_timeout_now(
        &mut self,
        from: NodeId,
        (ballot, ask): (Ballot, bool),
        env: &Env<'_>,
        effects: Out<'_>,
    ) {
        let Role::Follower(follower) = &mut self.role else { return };
        let follows = follower.leader == Some(ballot);
        if !follows || ballot.node() != Some(from) || !self.node.is_voter() {
            return;
        }
        if ask {
            effects.reached("asks whether it could take over");
            follower.offered = Some(Canvasser::of_heir(ballot, &self.node, effects));
        } else {
            effects.reached("takes over from the leader");
            self.become_scout(Some(ballot), env, effects);
        }
    }

    /// Nothing came of it in time: goes on as before.
    pub(crate) fn on_transfer_deadline(&mut self, effects: Out<'_>) {
        if let Role::Leader(leader) = &mut self.role
            && !planted("M101")
        {
            effects.reached("hand-over came to nothing");
            leader.transfer = None;
        }
    }
}

impl Leader {
    fn hand_over_to(
        &mut self,
        to: NodeId,
        ask: bool,
        node: &Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        if to == node.id || !node.voters().contains(to) {
            tracing::debug!(%to, "does not vote, or leads already");
            return;
        }
        self.transfer = Some(Transfer { to, told: LogIndex::ZERO, sent: false, ask });
        effects.set_timer(Timer::Transfer, Delay::fixed(env.cluster.timing.election_max));
    }

    /// A step of handing over, once nothing is open: first the heir is told what is chosen, then,
    /// when it knows that, to raise the ballot. The lease ends before.
    pub(crate) fn hand_over(
        &mut self,
        node: &Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        let Some(Transfer { to, told, sent: false, ask }) = self.transfer else { return };
        if !self.open.is_empty() {
            return;
        }
        let upto = node.learner.upto();
        if self.known.get(&to).is_some_and(|known| *known >= upto) {
            effects.reached("hand-over");
            self.end_lease();
            let wary = ask && !planted("M140");
            effects.send(to, Message::TimeoutNow { ballot: self.ballot, ask: wary });
            self.transfer = Some(Transfer { to, told, sent: true, ask });
        } else if told < upto.next() {
            // One more than told, as nothing may be chosen yet.
            self.transfer = Some(Transfer { to, told: upto.next(), sent: false, ask });
            self.beat(node, env, effects);
        }
    }

    /// Placement: a voter of a higher priority that keeps up should lead. Tried once a ballot.
    pub(crate) fn prefer(&mut self, node: &Node, env: &Env<'_>, effects: &mut Effects<MultiPaxos>) {
        if self.preferred || self.transfer.is_some() {
            return;
        }
        let upto = node.learner.upto();
        let keeps_up = |id: &NodeId| self.known.get(id).is_some_and(|known| *known >= upto);
        let voters = node.voters().and(self.heard);
        let better = self.priorities.iter().filter(|(_, priority)| **priority > node.priority());
        let best = better
            .filter(|(id, _)| voters.contains(**id) && keeps_up(id))
            .max_by_key(|(_, priority)| **priority);
        if let Some((to, _)) = best {
            self.preferred = true;
            effects.reached("hand-over to a higher priority");
            let to = *to;
            self.hand_over_to(to, true, node, env, effects);
        }
    }

    /// The highest priority of those that answer.
    pub(crate) fn highest_priority(&self, node: &Node) -> u8 {
        let of = |(id, priority): (&NodeId, &u8)| self.heard.contains(*id).then_some(*priority);
        self.priorities.iter().filter_map(of).max().unwrap_or(0).max(node.priority())
    }
}
