//! Operators: they change members, hand leadership over, and now and then act on an old view, or
//! both at once. What they ask for can always be done with the nodes that still have a disk: an
//! operator who makes a cluster of the dead gets what he asks for.

use super::schism::Schism;
use crate::operators::Operators;
use crate::rng::Rng;
use crate::world::World;
use consensus_core::{Audit, Change, Membership, NodeId, NodeSet, StateMachine};
use core::time::Duration;

/// Old members that operators still remember.
const REMEMBERED: usize = 8;

/// The operators of a run.
pub(crate) struct Churn {
    rng: Rng,
    changes: Option<Duration>,
    transfers: Option<Duration>,
    next_change: Duration,
    next_transfer: Duration,
    /// Nodes that are members before they have started.
    joins: Vec<(Duration, NodeId)>,
    /// Members that somebody saw once.
    seen: Vec<Membership>,
    schism: Schism,
}

impl Churn {
    pub(crate) fn new(seed: u64, operators: &Operators) -> Self {
        let mut churn = Self {
            rng: Rng::for_purpose(seed, 13),
            changes: operators.changes,
            transfers: operators.transfers,
            next_change: Duration::MAX,
            next_transfer: Duration::MAX,
            joins: Vec::new(),
            seen: Vec::new(),
            schism: Schism::default(),
        };
        churn.next_change = churn.after(Duration::ZERO, churn.changes);
        churn.next_transfer = churn.after(Duration::ZERO, churn.transfers);
        churn
    }

    fn after(&mut self, now: Duration, mean: Option<Duration>) -> Duration {
        let Some(mean) = mean else { return Duration::MAX };
        now + self.rng.time(Duration::from_millis(1), mean * 2)
    }

    /// When they want to act next.
    pub(crate) fn due(&self) -> Duration {
        let joins = self.joins.iter().map(|(at, _)| *at).min().unwrap_or(Duration::MAX);
        self.next_change.min(self.next_transfer).min(joins).min(self.schism.due())
    }

    /// Do they ever want anything?
    pub(crate) fn is_idle(&self) -> bool {
        self.changes.is_none() && self.transfers.is_none()
    }

    /// Does everything that is due.
    pub(crate) fn act<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let now = world.now();
        let (due, later) = self.joins.drain(..).partition(|(at, _)| *at <= now);
        self.joins = later;
        for (_, node) in due {
            world.join(node);
        }
        self.schism.act(&mut self.rng, world);
        if self.next_transfer <= now {
            self.next_transfer = self.after(now, self.transfers);
            self.transfer(world);
        }
        if self.next_change <= now {
            self.next_change = self.after(now, self.changes);
            self.change(world);
        }
    }

    /// Starts all nodes that are still to be started. A change that names one may be decided at any
    /// time, and may need it.
    pub(crate) fn keep_promises<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        for (_, node) in std::mem::take(&mut self.joins) {
            world.join(node);
        }
    }

    /// Does one thing now, whatever the time.
    pub(crate) fn act_at_once<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        self.keep_promises(world);
        match (self.changes.is_some(), self.transfers.is_some()) {
            (true, true) if self.rng.chance(4_000) => self.transfer(world),
            (true, _) => self.change(world),
            (false, true) => self.transfer(world),
            (false, false) => {}
        }
    }

    /// Whom they ask: the leader, as a rule.
    fn asked<P: Audit, S: StateMachine>(&mut self, world: &World<P, S>) -> NodeId {
        let leader = world.leader().filter(|_| self.rng.chance(8_500));
        leader.unwrap_or_else(|| self.one_of(world.cluster().nodes()))
    }

    fn one_of(&mut self, nodes: NodeSet) -> NodeId {
        let nodes: Vec<NodeId> = nodes.iter().collect();
        self.rng.pick(&nodes)
    }

    fn maybe_one_of(&mut self, nodes: NodeSet) -> Option<NodeId> {
        (!nodes.is_empty()).then(|| self.one_of(nodes))
    }

    fn transfer<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let asked = self.asked(world);
        let anybody = self.rng.chance(1_000);
        let members = world.decided_members();
        let to = if anybody { world.cluster().nodes() } else { members.voters };
        let to = self.one_of(to);
        world.fault("asked to hand over");
        world.transfer(asked, to);
    }

    fn change<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let asked = self.asked(world);
        let known = world.members(asked).map(|(members, _)| members.clone());
        // Who joins knows of nobody.
        let known = known.filter(|members| !members.voters.is_empty());
        let mut members = known.unwrap_or_else(|| world.decided_members().clone());
        if self.seen.last() != Some(&members) {
            if self.seen.len() == REMEMBERED {
                self.seen.remove(0);
            }
            self.seen.push(members.clone());
        }
        if self.rng.chance(800) {
            members.clone_from(&self.seen[self.rng.place(self.seen.len())]);
        }
        let twice = self.rng.chance(800);
        for _ in 0..1 + u32::from(twice) {
            let (change, what) = self.wish(world, &members);
            if !can_be(world, &change) {
                continue;
            }
            for node in change.voters.or(change.learners).iter() {
                if !world.is_born(node) {
                    self.let_join(world, node);
                }
            }
            world.fault(what);
            world.change_members(asked, change.clone());
            self.schism.may_follow(&mut self.rng, world, (asked, &change));
        }
    }

    /// A node is started before it is a member, or soon after.
    fn let_join<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>, node: NodeId) {
        if self.rng.chance(7_000) {
            return world.join(node);
        }
        let later = self.rng.time(Duration::from_millis(1), Duration::from_secs(2));
        self.joins.push((world.now() + later, node));
    }

    fn wish<P: Audit, S: StateMachine>(
        &mut self,
        world: &World<P, S>,
        members: &Membership,
    ) -> (Change, &'static str) {
        let all = world.cluster().nodes().minus(world.condemned());
        let outside = all.minus(members.members());
        let same = Change::of(members);
        let voters = members.voters;
        match self.rng.below(12) {
            0 | 1 => match self.maybe_one_of(outside) {
                Some(node) => (same.add_learner(node), "asked to add a learner"),
                None => (same, "asked for the same members"),
            },
            2 | 3 => match self.maybe_one_of(members.learners.and(all)) {
                Some(node) => (same.add_voter(node), "asked to promote a learner"),
                None => (same, "asked for the same members"),
            },
            4 => match self.maybe_one_of(outside) {
                Some(node) => (same.add_voter(node), "asked to add a voter"),
                None => (same, "asked for the same members"),
            },
            5 => (same.remove(self.one_of(voters)), "asked to remove a voter"),
            6 => {
                let leader = world.leader().filter(|leader| voters.contains(*leader));
                let node = leader.unwrap_or_else(|| self.one_of(voters));
                (same.remove(node), "asked to remove the leader")
            }
            7 | 8 => self.replacement(world, members, outside),
            9 => {
                let node = self.one_of(voters);
                (same.add_learner(node), "asked to make a voter a learner")
            }
            10 => {
                let left = world.leader().filter(|leader| voters.contains(*leader));
                let left = left.unwrap_or_else(|| self.one_of(voters));
                let (voters, learners) = (NodeSet::only(left), NodeSet::EMPTY);
                (Change { voters, learners, ..same }, "asked to shrink to one")
            }
            _ => {
                let some = all.iter().filter(|_| self.rng.chance(6_000)).collect();
                let learners = all.minus(some);
                let learners = learners.iter().filter(|_| self.rng.chance(3_000)).collect();
                (Change { voters: some, learners, ..same }, "asked for any members")
            }
        }
    }

    /// A node whose disk is gone, or any, makes room for a new one with a new name.
    fn replacement<P: Audit, S: StateMachine>(
        &mut self,
        world: &World<P, S>,
        members: &Membership,
        outside: NodeSet,
    ) -> (Change, &'static str) {
        let lost = members.voters.and(world.condemned());
        let old = self.maybe_one_of(lost).unwrap_or_else(|| self.one_of(members.voters));
        let change = Change::of(members).remove(old);
        match self.maybe_one_of(outside) {
            Some(new) => (change.add_voter(new), "asked to replace a voter"),
            None => (change, "asked to remove a voter"),
        }
    }
}

/// Are enough of the voters still there?
pub(super) fn can_be<P: Audit, S: StateMachine>(world: &World<P, S>, change: &Change) -> bool {
    let there = world.cluster().nodes().minus(world.condemned());
    let members = Membership { voters: change.voters, ..Membership::default() };
    change.voters.is_empty() || world.is_live(&members, there)
}
