//! O20 after a step, and who may read by a lease.

use super::World;
use crate::oracle::soundness::{of_beliefs, of_members, of_step, of_timers};
use crate::report::Finding;
use consensus_core::{Audit, Env, LogIndex, NodeId, Role, StateMachine};

/// The mark of what leases forbid, where clocks are worse than they allow for.
const STALE_LEASE: &str = "lease of a leader that another one has replaced";

impl<P: Audit, S: StateMachine> World<P, S> {
    /// After a step of a replica that had this role before; `before` is what it was, if the step is
    /// looked at closely. What it believes of disks must be true at any time.
    pub(super) fn look_inside(&mut self, id: NodeId, role: Role, before: Option<P>) {
        if self.violation.is_some() || !self.is_correct(id) {
            return;
        }
        let Some(replica) = &self.nodes[id.index()].replica else { return };
        let verdict = of_step(role, before.as_ref(), replica);
        let verdict = verdict.and_then(|()| of_beliefs(replica, &self.disks));
        if self.judge(id, verdict) {
            self.answers_by_no_lease(id);
        }
    }

    /// O13 and O19, after all that a step did: the timers that the replica relies on are set, and
    /// its driver knows its members.
    pub(super) fn relies_on_its_driver(&mut self, id: NodeId) {
        if self.violation.is_some() || !self.is_correct(id) {
            return;
        }
        let node = &self.nodes[id.index()];
        let Some(replica) = &node.replica else { return };
        let is_set = |timer| node.timers.get(&timer).is_some_and(|slot| slot.deadline.is_some());
        let told = node.members.as_ref().map(|(members, sure)| (members.version, *sure));
        let verdict = of_timers(replica, is_set).and_then(|()| of_members(replica, told));
        self.judge(id, verdict);
    }

    /// O9, whether somebody reads just now or not: the leader of the highest epoch, by the members
    /// that were decided last, would answer as of what is decided, or not yet.
    pub(super) fn reads_what_is_decided(&mut self, id: NodeId) {
        if self.violation.is_some() || !self.is_correct(id) {
            return;
        }
        let Some(replica) = &self.nodes[id.index()].replica else { return };
        let decided = self.last_committed();
        let Some(index) = replica.reads_as_of().filter(|index| *index < decided) else { return };
        let version = self.members(id).map_or(LogIndex::ZERO, |(members, _)| members.version);
        let status = replica.status();
        let newer = |other: &NodeId| match self.status(*other) {
            Some(it) if it.epoch == status.epoch => it.leader != Some(id),
            Some(it) => it.epoch > status.epoch,
            None => self.durable_epoch(*other) >= Some(status.epoch),
        };
        let others = self.cluster().nodes().without(id).minus(self.condemned());
        if version == self.decided_members().version && !others.iter().any(|it| newer(&it)) {
            let detail = format!("would answer a read as of {index}; {decided} is decided");
            self.fail(Some(id), Finding::new("O9", "a leader reads what is decided", detail));
        }
    }

    /// O9 for leases, whether somebody reads just now or not: who would answer by a lease is the
    /// newest leader of its members (Raft thesis §6.4.1). Epochs of other members may be others.
    pub(super) fn answers_by_no_lease(&mut self, id: NodeId) {
        let node = &self.nodes[id.index()];
        let Some(replica) = node.replica.as_ref().filter(|_| self.is_correct(id)) else { return };
        let Some(epoch) = replica.leads() else { return };
        let version = |id| self.members(id).map(|(members, _)| members.version);
        let newer = |other: &NodeId| {
            let leads = self.nodes[other.index()].replica.as_ref().and_then(P::leads);
            leads > Some(epoch) && version(*other) == version(id)
        };
        let Some(newer) = self.correct().without(id).iter().find(newer) else { return };
        let keys = &self.keys[id.index()];
        let env = Env::new(self.clock_of(id), &self.setup.cluster, keys, &node.meter);
        if replica.holds_lease(&env) {
            if !self.trusts_leases {
                return self.mark(STALE_LEASE);
            }
            let detail = format!("would answer a read by its lease while {newer} leads");
            self.fail(Some(id), Finding::new("O9", "a lease excludes other leaders", detail));
        }
    }
}
