//! What elects a leader must outlive a power cut: promises are on the disks of a quorum.

use super::World;
use crate::oracle::Verdict;
use crate::report::Finding;
use consensus_core::{Audit, Durable, FaultModel, Incarnation, NodeId, NodeSet, StateMachine};

/// What is seen in an election bears this name: a stage does not look at disks for that.
pub(crate) const DURABLE_ELECTION: &str = "durable election";

impl<P: Audit, S: StateMachine> World<P, S> {
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

    /// The epoch that this node would know if its power were cut just now.
    fn durable_epoch(&self, id: NodeId) -> Option<u64> {
        let node = &self.nodes[id.index()];
        let records: Vec<P::Record> = node.disk.synced_records().cloned().collect();
        let snapshot = node.shelf.newest().map(|snapshot| snapshot.meta.clone());
        let durable = Durable { incarnation: Incarnation(node.life + 1), records, snapshot };
        let copy = P::recover(id, self.config_of(id).clone(), durable).ok()?;
        Some(copy.status().epoch)
    }
}
