//! Counting votes: when is a value chosen (§2.2)? PMMC has a commander for each slot. Here one does
//! for all slots that were proposed in together, as their values travel in one message, are one
//! record on the disk, and are voted for by one answer.

use crate::acceptor::{Acceptor, cost};
use crate::leader::Leader;
use crate::learner::Vote;
use crate::message::after;
use crate::node::{Node, OwnVote};
use crate::replica::{MultiPaxos, Out, Role};
use crate::votes::Votes;
use consensus_core::mutant::planted;
use consensus_core::{Ballot, Effects, Env, LogIndex, NodeId, NodeSet, RecordNumber};
use std::collections::VecDeque;

/// Gets values chosen in slots without gap: those that the acceptor next door accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Commander {
    pub(crate) first: LogIndex,
    /// The slot after the last one.
    pub(crate) end: LogIndex,
    /// What the values count against limits of bytes.
    pub(crate) cost: usize,
    /// Who accepted in all of the slots.
    pub(crate) accepted: Votes,
    /// Chosen, but an earlier slot is not.
    pub(crate) chosen: bool,
}

impl Commander {
    fn slots(&self) -> impl Iterator<Item = LogIndex> + use<> {
        (self.first.0..self.end.0).map(LogIndex)
    }

    /// Leaves the slots from this one on to another commander, as a vote is for a part of them.
    fn split(&mut self, at: LogIndex, next_door: &Acceptor) -> Self {
        let mut rest = Self { first: at, ..self.clone() };
        rest.cost = cost_of(&rest, next_door);
        self.end = at;
        self.cost -= rest.cost;
        rest
    }
}

/// What the values of these slots count against limits of bytes.
pub(crate) fn cost_of(commander: &Commander, next_door: &Acceptor) -> usize {
    commander.slots().filter_map(|slot| next_door.value(slot)).map(cost).sum()
}

/// The commanders of all slots that are proposed in and not yet executed, lowest slots first.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Open {
    commanders: VecDeque<Commander>,
    slots: usize,
    bytes: usize,
}

impl Open {
    /// Values were proposed in these slots, which count so many bytes.
    ///
    /// # Panics
    /// If one of them is open, or a later one: a ballot has one value for a slot.
    pub(crate) fn propose(&mut self, first: LogIndex, count: usize, cost: usize, accepted: Votes) {
        let free = self.commanders.back().is_none_or(|last| last.end <= first);
        assert!(free, "two proposals of one ballot in slot {first}");
        let end = after(first, count);
        self.commanders.push_back(Commander { first, end, cost, accepted, chosen: false });
        self.slots += count;
        self.bytes += cost;
    }

    /// How many slots.
    pub(crate) fn slots(&self) -> usize {
        self.slots
    }

    /// What their values count against limits of bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Is there none?
    pub(crate) fn is_empty(&self) -> bool {
        self.commanders.is_empty()
    }

    /// Is this slot open?
    pub(crate) fn contains(&self, slot: LogIndex) -> bool {
        let at = self.commanders.get(self.place_of(slot));
        at.is_some_and(|commander| commander.first <= slot)
    }

    /// The commanders, lowest slots first.
    pub(crate) fn commanders(&self) -> impl Iterator<Item = &Commander> {
        self.commanders.iter()
    }

    /// Each open slot from this one on, and its commander.
    pub(crate) fn from(&self, slot: LogIndex) -> impl Iterator<Item = (LogIndex, &Commander)> {
        let commanders = self.commanders.range(self.place_of(slot)..);
        let slots = commanders.flat_map(|it| it.slots().map(move |slot| (slot, it)));
        slots.skip_while(move |(at, _)| *at < slot)
    }

    /// The place of the first commander of this slot or a later one.
    #[inline]
    fn place_of(&self, slot: LogIndex) -> usize {
        match self.commanders.front() {
            Some(lowest) if slot < lowest.end => 0,
            _ => self.commanders.partition_point(|commander| commander.end <= slot),
        }
    }

    /// The commander of the first open slots from `first` on, and of none outside of these.
    #[inline]
    fn next_in(
        &mut self,
        first: LogIndex,
        end: LogIndex,
        next_door: &Acceptor,
    ) -> Option<&mut Commander> {
        let mut place = self.place_of(first);
        let commander = self.commanders.get(place).filter(|it| it.first < end)?;
        let within = first <= commander.first && commander.end <= end;
        if !within && !planted("M105") {
            place = self.split_at(place, first, next_door);
            self.split_at(place, end, next_door);
        }
        self.commanders.get_mut(place)
    }

    /// Makes two of this commander if one of its slots is before this one and one is not. Returns
    /// the place of the one that is not before.
    #[cold]
    fn split_at(&mut self, place: usize, at: LogIndex, next_door: &Acceptor) -> usize {
        let commander = &mut self.commanders[place];
        if at <= commander.first || commander.end <= at {
            return place;
        }
        let rest = commander.split(at, next_door);
        self.commanders.insert(place + 1, rest);
        place + 1
    }

    /// Slots up to here are executed.
    fn retire(&mut self, upto: LogIndex, next_door: &Acceptor) {
        while let Some(&Commander { first, end, .. }) = self.commanders.front() {
            if upto < first {
                return;
            }
            if upto.next() < end {
                self.split_at(0, upto.next(), next_door);
            }
            let lowest = &self.commanders[0];
            self.slots -= (lowest.end.0 - first.0) as usize;
            if !planted("M51") {
                self.bytes -= lowest.cost;
            }
            self.commanders.pop_front();
        }
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
        if self.count(from, (first, count), node, effects) {
            self.make_room(node, env, effects);
        }
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
            if self.count(node.id, (first, count), node, effects) {
                self.make_room(node, env, effects);
            }
        }
    }

    /// An acceptor's votes in so many slots from the first one on. A value is chosen when a quorum
    /// of acceptors has accepted it under one ballot (§2.2). True if some were chosen.
    fn count(
        &mut self,
        from: NodeId,
        (first, count): (LogIndex, u64),
        node: &mut Node,
        effects: &mut Effects<MultiPaxos>,
    ) -> bool {
        let end = after(first, usize::try_from(count).unwrap_or(usize::MAX)).min(self.next);
        // What is executed is not open.
        let mut slot = first.max(node.first_unchosen());
        if slot >= end {
            return false;
        }
        let mut chosen = false;
        while slot < end
            && let Some(commander) = self.open.next_in(slot, end, &node.acceptor)
        {
            slot = commander.end;
            self.electorate.follow(node);
            if commander.chosen || !self.electorate.voters.contains(from) {
                continue;
            }
            commander.accepted.add(from);
            if commander.accepted.count() >= self.electorate.needed {
                (commander.chosen, chosen) = (true, true);
                choose(self.ballot, commander, node, effects);
            }
        }
        chosen
    }

    /// Values were chosen.
    fn make_room(&mut self, node: &mut Node, env: &Env<'_>, effects: &mut Effects<MultiPaxos>) {
        self.open.retire(node.learner.upto(), &node.acceptor);
        self.pass(node.learner.upto(), node, env, effects);
    }
}

impl MultiPaxos {
    /// The disk has the own acceptor's votes up to here: they count now.
    pub(crate) fn on_durable(&mut self, upto: RecordNumber, env: &Env<'_>, effects: Out<'_>) {
        if upto > self.node.durable {
            self.node.durable = upto;
            self.node.stalled = false;
        }
        while let Some(vote) = self.node.own_votes.pop(upto) {
            self.on_own_vote(vote, env, effects);
        }
    }

    fn on_own_vote(&mut self, vote: OwnVote, env: &Env<'_>, effects: Out<'_>) {
        match (vote, &mut self.role) {
            (OwnVote::Promise(ballot), Role::Scout(scout)) => {
                scout.on_own_promise(&self.node, ballot);
                self.lead_if_elected(env, effects);
            }
            (OwnVote::Accepted { ballot, slot, count }, Role::Leader(leader)) => {
                let votes = (ballot, slot, count);
                leader.on_own_accepted(votes, &mut self.node, env, effects);
            }
            (OwnVote::Promise(ballot), Role::Leader(leader)) => {
                leader.scout.on_own_promise(&self.node, ballot);
                leader.go_on(&mut self.node, env, effects);
            }
            (OwnVote::Members(version), _) => {
                self.node.members_durable = version;
                self.settle(env, effects);
            }
            // A ballot that was given up before the disk was done, or one that a quorum of
            // others promised already.
            (OwnVote::Promise(_) | OwnVote::Accepted { .. }, _) => {
                effects.reached("own vote durable too late");
            }
        }
    }
}

/// A quorum has accepted in the slots of this commander.
fn choose(
    ballot: Ballot,
    commander: &Commander,
    node: &mut Node,
    effects: &mut Effects<MultiPaxos>,
) {
    let (first, count) = (commander.first, (commander.end.0 - commander.first.0) as usize);
    let acceptors = commander.accepted.from();
    if !acceptors.contains(node.id) {
        effects.reached("chosen before the leader's own disk has it");
    }
    if !node.acceptor.holds(ballot, first, count) {
        return effects.halt(format!("slot {first} was proposed and not accepted next door"));
    }
    let vote = Vote { ballot, acceptors };
    node.learner.learn_by_vote(first, count, vote, &node.acceptor, effects);
}

/// What a leader asks of the members with every vote and proposal, found out once for all slots
/// that they govern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Electorate {
    version: LogIndex,
    voters: NodeSet,
    /// How many acceptances choose a value.
    needed: usize,
    /// All other members.
    pub(crate) peers: NodeSet,
}

impl Electorate {
    pub(crate) fn of(node: &Node) -> Self {
        let needed = node.quorums().map_or(usize::MAX, |quorums| match () {
            () if planted("M38") => quorums.nodes().div_ceil(2),
            () if planted("M123") => quorums.phase_1(),
            () => quorums.phase_2(),
        });
        let (version, voters, peers) = (node.version(), node.voters(), node.peers());
        Self { version, voters, needed, peers }
    }

    /// The members may be others by now.
    #[inline]
    pub(crate) fn follow(&mut self, node: &Node) {
        if self.version != node.version() && !planted("M107") {
            *self = Self::of(node);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Pvalue;
    use consensus_core::Batch;

    /// PMS §2.2: a value is chosen by acceptors that accepted that value. A vote for a part of what
    /// was proposed together counts in that part, wherever it begins and ends.
    #[test]
    fn a_vote_counts_in_its_slots_only() {
        let mut next_door = Acceptor::default();
        for slot in (1..=9).map(LogIndex) {
            next_door.recall(Pvalue { ballot: Ballot::ZERO, slot, batch: Batch::noop() });
        }
        for (first, end) in (1..=9).flat_map(|first| (first + 1..=10).map(move |end| (first, end)))
        {
            let mut open = Open::default();
            open.propose(LogIndex(1), 3, 3 * 64, Votes::default());
            open.propose(LogIndex(5), 5, 5 * 64, Votes::default());
            let (mut slot, end) = (LogIndex(first), LogIndex(end));
            while let Some(commander) = open.next_in(slot, end, &next_door) {
                commander.accepted.add(NodeId(1));
                slot = commander.end;
            }
            for slot in (1..=10).map(LogIndex) {
                let commander = open.from(slot).next().filter(|(at, _)| *at == slot);
                assert_eq!(commander.is_some(), open.contains(slot));
                assert_eq!(commander.is_some(), slot.0 < 10 && slot.0 != 4, "{slot}");
                let voted = commander.map_or(NodeSet::EMPTY, |(_, it)| it.accepted.from());
                let voted_for = commander.is_some() && LogIndex(first) <= slot && slot < end;
                assert_eq!(voted.contains(NodeId(1)), voted_for, "{slot} of {first} to {end}");
            }
            assert!(open.commanders().all(|it| it.cost == cost_of(it, &next_door)));
            open.retire(LogIndex(first), &next_door);
            let left = (1..=9u64).filter(|slot| *slot > first && *slot != 4).count();
            assert_eq!((open.slots(), open.bytes()), (left, left * 64));
            assert_eq!(open.from(LogIndex(1)).count(), left);
        }
    }
}
