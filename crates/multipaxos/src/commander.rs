//! Counting votes: when is a value chosen (§2.2)? PMMC has a commander for each slot; here their
//! leader counts for all of them, by runs of slots, as votes come by runs.

use crate::leader::Leader;
use crate::learner::{Chosen, Contradiction, Vote};
use crate::message::after;
use crate::node::Node;
use crate::replica::MultiPaxos;
use crate::votes::Votes;
use consensus_core::mutant::planted;
use consensus_core::{Ballot, Effects, Env, LogIndex, NodeId, NodeSet};

/// Gets one value chosen in one slot: the one that the acceptor next door accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Commander {
    /// What the value counts against limits of bytes.
    pub(crate) cost: usize,
    pub(crate) accepted: Votes,
    /// Chosen, but an earlier slot is not.
    pub(crate) chosen: bool,
}

/// Slots without gap, the first unknown one first, whose values were just chosen by equal votes.
struct Choices {
    first: LogIndex,
    count: usize,
    acceptors: NodeSet,
}

impl Choices {
    fn after(upto: LogIndex) -> Self {
        Self { first: upto.next(), count: 0, acceptors: NodeSet::EMPTY }
    }

    /// Does this slot go on with them?
    fn takes(&self, slot: LogIndex, acceptors: NodeSet) -> bool {
        let same = self.count == 0 || self.acceptors == acceptors;
        same && slot == after(self.first, self.count)
    }

    fn take(&mut self, acceptors: NodeSet) {
        self.acceptors = acceptors;
        self.count += 1;
    }
}

impl Leader {
    /// Phase 2b: an acceptor has accepted, in so many slots from the first one on.
    pub(crate) fn on_accepted(
        &mut self,
        from: NodeId,
        (ballot, first, count): (Ballot, LogIndex, u64),
        node: &mut Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        if ballot != self.ballot && !planted("M37") {
            tracing::debug!(%from, ?ballot, "accepted under another ballot");
            effects.reached("acceptance of an earlier ballot");
            return;
        }
        self.heard.insert(from);
        self.slow.remove(from);
        let count = if planted("M110") { count.saturating_add(1) } else { count };
        if self.open.get(first).is_none() {
            effects.reached("acceptance of an executed slot");
        }
        self.count(from, (first, count), node, effects);
        self.settle(node, env, effects);
    }

    /// The own acceptances in these slots are durable.
    pub(crate) fn on_own_accepted(
        &mut self,
        (ballot, first, count): (Ballot, LogIndex, u64),
        node: &mut Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        if ballot == self.ballot || planted("M49") {
            let count = if planted("M113") { self.next.0 - first.0 } else { count };
            self.count(node.id, (first, count), node, effects);
            self.settle(node, env, effects);
        }
    }

    /// An acceptor's votes in so many slots from the first one on.
    fn count(
        &mut self,
        from: NodeId,
        (first, count): (LogIndex, u64),
        node: &mut Node,
        effects: &mut Effects<MultiPaxos>,
    ) {
        let end = after(first, usize::try_from(count).unwrap_or(usize::MAX)).min(self.next);
        // What is executed is not open.
        let mut slot = first.max(node.first_unchosen());
        if slot >= end {
            return;
        }
        let (mut version, mut needed) = (node.version(), needed_of(from, node));
        let mut run = Choices::after(node.learner.upto());
        while slot < end {
            if node.version() != version {
                (version, needed) = (node.version(), needed_of(from, node));
            }
            if let Some(needed) = needed {
                self.count_in(slot, from, needed, &mut run, node, effects);
            }
            slot = slot.next();
        }
        self.learn(&mut run, node, effects);
    }

    /// A value is chosen when a quorum of acceptors has accepted it under one ballot (§2.2).
    fn count_in(
        &mut self,
        slot: LogIndex,
        from: NodeId,
        needed: usize,
        run: &mut Choices,
        node: &mut Node,
        effects: &mut Effects<MultiPaxos>,
    ) {
        let Some(commander) = self.open.get_mut(slot).filter(|it| !it.chosen) else { return };
        commander.accepted.add(from);
        if commander.accepted.count() < needed {
            return;
        }
        commander.chosen = true;
        if !commander.accepted.from().contains(node.id) {
            effects.reached("chosen before the leader's own disk has it");
        }
        let acceptors = commander.accepted.from();
        let Some(held) = node.acceptor.accepted(slot).filter(|it| it.ballot == self.ballot) else {
            return effects.halt(format!("slot {slot} was proposed and not accepted next door"));
        };
        let batch = &held.batch;
        if run.takes(slot, acceptors) && node.learner.is_gapless() && !batch.is_membership() {
            return run.take(acceptors);
        }
        let batch = batch.clone();
        self.learn(run, node, effects);
        if slot > node.first_unchosen() {
            effects.reached("chosen behind a gap");
        }
        let chosen = Chosen { batch, vote: Some(Vote { ballot: self.ballot, acceptors }) };
        if let Err(Contradiction(slot)) = node.learner.learn(slot, chosen, effects) {
            effects.halt(format!("a second value was chosen in slot {slot}"));
        }
        *run = Choices::after(node.learner.upto());
    }

    /// What was chosen in slots without gap, by one vote, is known now.
    fn learn(&self, run: &mut Choices, node: &mut Node, effects: &mut Effects<MultiPaxos>) {
        if run.count == 0 {
            return;
        }
        let vote = Some(Vote { ballot: self.ballot, acceptors: run.acceptors });
        let end = after(run.first, std::mem::take(&mut run.count));
        let held = node.acceptor.run_from(run.first).take((end.0 - run.first.0) as usize);
        node.learner.learn_run(held.map(|held| &held.batch), vote, effects);
        run.first = node.first_unchosen();
        if run.first < end {
            // The acceptor keeps these apart, as it has holes before them.
            let held = node.acceptor.accepted_from(run.first).take((end.0 - run.first.0) as usize);
            node.learner.learn_run(held.map(|(_, held)| &held.batch), vote, effects);
            run.first = node.first_unchosen();
        }
    }

    /// Votes were counted: what was chosen makes room.
    fn settle(&mut self, node: &mut Node, env: &Env<'_>, effects: &mut Effects<MultiPaxos>) {
        self.retire(node.learner.upto());
        self.pass(node.learner.upto(), node, env, effects);
    }

    /// Forgets the commanders of executed slots.
    fn retire(&mut self, upto: LogIndex) {
        while let Some(commander) = self.open.pop_upto(upto) {
            if !planted("M51") {
                self.open_bytes -= commander.cost;
            }
        }
    }
}

/// How many acceptances choose a value, if the vote of this acceptor counts.
fn needed_of(from: NodeId, node: &Node) -> Option<usize> {
    let quorums = node.quorums().filter(|_| node.voters().contains(from))?;
    Some(match () {
        () if planted("M38") => quorums.nodes().div_ceil(2),
        () if planted("M123") => quorums.phase_1(),
        () => quorums.phase_2(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// PMS §2.2: a value is chosen by a quorum that accepted that value. Slots stand together only
    /// where the same acceptors chose, and without gap.
    #[test]
    fn choices_by_other_votes_are_kept_apart() {
        let (two, others) = (NodeSet::first(2), NodeSet::first(3).without(NodeId(1)));
        let mut run = Choices::after(LogIndex(4));
        assert!(run.takes(LogIndex(5), two) && !run.takes(LogIndex(6), two));
        run.take(two);
        assert!(run.takes(LogIndex(6), two));
        assert!(!run.takes(LogIndex(6), others), "another vote");
        assert!(!run.takes(LogIndex(5), two) && !run.takes(LogIndex(7), two), "another slot");
    }
}
