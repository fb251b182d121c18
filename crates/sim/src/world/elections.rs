//! What elects a leader must outlive a power cut: promises are on the disks of a quorum, and so is
//! who may vote.

use super::World;
use crate::oracle::Verdict;
use crate::oracle::epochs;
use crate::oracle::members::Electorates;
use crate::report::Finding;
use consensus_core::{
    Audit, AuthMeter, Durable, Effect, Effects, Env, FaultModel, Incarnation, Input, LogIndex,
    Membership, NodeId, NodeSet, ProtocolConfig, StateMachine,
};

/// What is seen in an election bears this name: a stage does not look at disks for that.
pub(crate) const DURABLE_ELECTION: &str = "durable election";

/// What is seen when members are called final bears this one.
pub(crate) const DURABLE_MEMBERS: &str = "durable members";

impl<P: Audit, S: StateMachine> World<P, S> {
    /// O3, O5 and O6 at a replica that has just become an active leader.
    pub(super) fn began_to_lead(&mut self, id: NodeId, epoch: u64) -> bool {
        let alone = self.epochs.leads(id, epoch);
        if !self.is_correct(id) {
            return true;
        }
        let replica = self.nodes[id.index()].replica.as_ref().expect("it has just stepped");
        let complete = epochs::complete(replica, epoch, self.history.decided());
        let for_good = self.elected_for_good(id);
        if !(self.judge(id, alone) && self.judge(id, complete) && self.judge(id, for_good)) {
            return false;
        }
        self.correct().without(id).iter().for_each(|other| self.answers_by_no_lease(other));
        self.violation.is_none()
    }

    /// O6, for elections: if all power were cut just now, a quorum would still know the epoch of
    /// this new leader, and so elect nobody in an earlier one (Raft §5.2; PMS §2.2: a promise is
    /// kept across crashes). An own vote that counted before the disk had it shows here.
    pub(super) fn elected_for_good(&self, id: NodeId) -> Verdict {
        let Some(leader) = &self.nodes[id.index()].replica else { return Ok(()) };
        if P::INFO.faults == FaultModel::Byzantine {
            return Ok(());
        }
        let status = leader.status();
        let knows = |node: &NodeId| self.durable_epoch(*node) >= Some(status.epoch);
        let know: NodeSet = (0..self.nodes.len() as u8).map(NodeId).filter(knows).collect();
        let electorates = self.electorates(status.committed);
        if electorates.are_enough_promises(know) {
            return Ok(());
        }
        let epoch = status.epoch;
        let detail =
            format!("epoch {epoch} is on the disks of {know:?}, no quorum of {electorates}");
        Err(Finding::new("O6", DURABLE_ELECTION, detail))
    }

    /// O19: a change of members is called final once so many of the new ones have it on disk that
    /// no leader can be elected among them without one who does. Then whoever was removed may be
    /// switched off for ever.
    pub(super) fn final_for_good(&self, members: &Membership) -> Verdict {
        let newest = self.decided_members().version == members.version;
        if P::INFO.faults == FaultModel::Byzantine || !newest || members.version == LogIndex::ZERO {
            return Ok(());
        }
        let knows = |node: &NodeId| {
            let gone = self.condemned().contains(*node);
            gone || self.durable_version(*node) >= Some(members.version)
        };
        let voters = members.voters.or(members.outgoing);
        let know: NodeSet = voters.iter().filter(knows).collect();
        let quorums = self.config.quorums(members.voters.len());
        if Electorates::Members(vec![(members, quorums)]).are_enough_disks(know) {
            return Ok(());
        }
        let detail = format!("{members:?} is called final, and is on the disks of {know:?} only");
        Err(Finding::new("O19", DURABLE_MEMBERS, detail))
    }

    /// The epoch that this node would know if its power were cut just now.
    pub(super) fn durable_epoch(&self, id: NodeId) -> Option<u64> {
        self.after_a_power_cut(id).map(|(copy, _)| copy.status().epoch)
    }

    /// The version of the members that it would know.
    fn durable_version(&self, id: NodeId) -> Option<LogIndex> {
        let (mut copy, mut effects) = self.after_a_power_cut(id)?;
        let (keys, meter) = (&self.keys[id.index()], AuthMeter::default());
        let env = Env::new(self.clock_of(id), self.cluster_of(id), keys, &meter);
        copy.step(Input::Start, &env, &mut effects);
        let versions = effects.drain().filter_map(|effect| match effect {
            Effect::Members { membership, .. } => Some(membership.version),
            _ => None,
        });
        versions.max()
    }

    fn after_a_power_cut(&self, id: NodeId) -> Option<(P, Effects<P>)> {
        let node = &self.nodes[id.index()];
        let records: Vec<P::Record> = node.disk.synced_records().cloned().collect();
        let snapshot = node.shelf.newest().map(|snapshot| snapshot.meta.clone());
        let effects = Effects::after_recovery(records.len());
        let durable = Durable { incarnation: Incarnation(node.life + 1), records, snapshot };
        let copy = P::recover(id, self.config_of(id).clone(), durable).ok()?;
        Some((copy, effects))
    }
}
