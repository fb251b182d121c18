//! The oracles of a stage: all those that need neither clients nor their time.

use crate::disk::Written;
use crate::oracle::Verdict;
use crate::oracle::claims::Claims;
use crate::oracle::disks::Disks;
use crate::oracle::epochs::{self, Epochs};
use crate::oracle::history::History;
use crate::oracle::members::Electorates;
use crate::oracle::soundness;
use crate::oracle::states::States;
use crate::registers::Registers;
use consensus_core::{
    Audit, Batch, Change, Cluster, Command, Executor, FaultModel, LogIndex, Membership, NodeId,
    NodeSet, ProtocolConfig, Role, SnapshotMeta, Status,
};

/// O1 to O8, O12, O15, O16, O19 and O20; O9 for reads and O18 are the stage's own.
pub(crate) struct Witness<P: Audit> {
    size: usize,
    config: P::Config,
    traitors: NodeSet,
    history: History<Registers>,
    disks: Disks<P>,
    epochs: Epochs,
    claims: Claims,
    states: States,
    /// What each node said last of the members.
    said: Vec<Option<Membership>>,
}

impl<P: Audit> Witness<P> {
    pub(crate) fn new(
        cluster: &Cluster,
        config: P::Config,
        traitors: NodeSet,
        executor: Executor<Registers>,
    ) -> Self {
        let (size, initial) = (cluster.size, Membership::initial(cluster));
        Self {
            size,
            config,
            traitors,
            history: History::new(executor, initial),
            disks: Disks::new(size, traitors.is_empty()),
            epochs: Epochs::default(),
            claims: Claims::default(),
            states: States::default(),
            said: vec![None; size],
        }
    }

    pub(crate) fn is_correct(&self, node: NodeId) -> bool {
        !self.traitors.contains(node)
    }

    fn correct(&self) -> NodeSet {
        NodeSet::first(self.size).minus(self.traitors)
    }

    /// A client sent this command.
    pub(crate) fn submitted(&mut self, command: &Command) {
        self.history.submit(command);
    }

    /// The node is put on the stage with this on its disk.
    pub(crate) fn begins_with(&mut self, node: NodeId, disk: &[P::Record]) {
        let writes: Vec<_> = disk.iter().cloned().map(Written::Record).collect();
        self.disks.synced(node.index(), &writes);
        self.disks.survived(node.index(), disk.iter());
    }

    /// O4: the node wrote this record.
    pub(crate) fn wrote(&mut self, node: NodeId, record: &P::Record) -> Verdict {
        let verdict = self.disks.wrote(node.index(), record);
        if self.is_correct(node) { verdict } else { Ok(()) }
    }

    /// O4: the node's log ends here, after everything that it wrote.
    pub(crate) fn ends_at(&self, node: NodeId, last: LogIndex) -> Verdict {
        if self.is_correct(node) { self.disks.ends_at(node.index(), last) } else { Ok(()) }
    }

    /// O20: the replica is sound.
    pub(crate) fn looks_inside(
        &self,
        node: NodeId,
        (role, before): (Role, Option<&P>),
        replica: &P,
    ) -> Verdict {
        if !self.is_correct(node) {
            return Ok(());
        }
        soundness::of_step(role, before, replica)
    }

    /// O20: what the replica counts on is on the disks.
    pub(crate) fn looks_at_beliefs(&self, node: NodeId, replica: &P) -> Verdict {
        if self.is_correct(node) { soundness::of_beliefs(replica, &self.disks) } else { Ok(()) }
    }

    /// These records are durable now.
    pub(crate) fn synced(&mut self, node: NodeId, writes: &[Written<P::Record>]) {
        self.disks.synced(node.index(), writes);
    }

    /// O6: the node replaced everything by these records.
    pub(crate) fn compacted(&mut self, node: NodeId, records: &[P::Record]) -> Verdict {
        let verdict = self.disks.compacted(node.index(), records);
        if self.is_correct(node) { verdict } else { Ok(()) }
    }

    /// A snapshot of the node is durable.
    pub(crate) fn saved(&mut self, node: NodeId, meta: &SnapshotMeta) {
        self.disks.saved(node.index(), meta);
    }

    /// O19: the node takes a snapshot of what it has applied.
    pub(crate) fn taken(
        &self,
        node: NodeId,
        replica: &P,
        meta: &SnapshotMeta,
        applied: LogIndex,
    ) -> Verdict {
        if !self.is_correct(node) {
            return Ok(());
        }
        self.history.members().taken(meta, applied)?;
        self.history.members().earlier(replica, meta)
    }

    /// O19: a snapshot is kept with the members as of its index.
    pub(crate) fn kept(&self, node: NodeId, meta: &SnapshotMeta) -> Verdict {
        if self.is_correct(node) { self.history.members().kept(meta) } else { Ok(()) }
    }

    /// An operator asks for other members.
    pub(crate) fn asked(&mut self, change: &Change) {
        self.history.ask(change);
    }

    /// The node says that these are the members.
    pub(crate) fn announced(&mut self, node: NodeId, members: &Membership) {
        self.said[node.index()] = Some(members.clone());
    }

    /// O19: the node says that they are committed.
    pub(crate) fn committed_members(&self, node: NodeId, members: &Membership) -> Verdict {
        if self.is_correct(node) {
            return self.history.members().announced(node, members);
        }
        Ok(())
    }

    /// The last index that anybody committed.
    pub(crate) fn last_committed(&self) -> LogIndex {
        LogIndex(self.history.decided().len() as u64)
    }

    /// What was committed up to this index.
    pub(crate) fn decided(&self, upto: LogIndex) -> Vec<Batch> {
        let decided = self.history.decided().iter().take(upto.0 as usize);
        decided.map(|one| one.batch.clone()).collect()
    }

    fn electorates(&self, index: LogIndex) -> Electorates<'_> {
        if P::INFO.faults == FaultModel::Byzantine {
            let traitors = self.traitors.len();
            return Electorates::Fixed { nodes: self.size, faults: P::INFO.faults, traitors };
        }
        let decided = self.history.members().since(index);
        let newest = decided.last().map_or(LogIndex::ZERO, |members| members.version);
        let said = self.said.iter().flatten().filter(|members| members.version > newest);
        let quorums = |members: &Membership| self.config.quorums(members.voters.len());
        Electorates::Members(decided.iter().chain(said).map(|one| (one, quorums(one))).collect())
    }

    /// The node crashed, and its disk holds these records.
    pub(crate) fn survived<'a>(
        &mut self,
        node: NodeId,
        records: impl Iterator<Item = &'a P::Record>,
    ) {
        self.disks.survived(node.index(), records);
    }

    /// O7: a message of a correct node leaves it.
    pub(crate) fn says(&mut self, node: NodeId, message: &P::Message) -> Verdict {
        P::claims(message).into_iter().try_for_each(|claim| self.claims.say(node, claim))
    }

    /// O12: what the node has forgotten, kept, applied and committed.
    pub(crate) fn in_order(
        &self,
        node: NodeId,
        now: &Status,
        snapshot: LogIndex,
        applied: LogIndex,
    ) -> Verdict {
        if self.is_correct(node) { epochs::in_order(now, snapshot, applied) } else { Ok(()) }
    }

    /// O3, O5, O8: what the node is after a step.
    pub(crate) fn observes(
        &mut self,
        node: NodeId,
        replica: &P,
        began_to_lead: Option<u64>,
        before: Option<&Status>,
        now: &Status,
    ) -> Verdict {
        self.epochs.proposes(replica.proposes());
        if let Some(epoch) = began_to_lead {
            let alone = self.epochs.leads(node, epoch);
            if self.is_correct(node) {
                alone?;
                epochs::complete(replica, epoch, self.history.decided())?;
            }
        }
        match before {
            Some(before) if self.is_correct(node) => epochs::rises(before, now),
            _ => Ok(()),
        }
    }

    /// O1, O2, O4, O6, O16: a correct node, which had committed up to `before`, commits a batch.
    pub(crate) fn commits(
        &mut self,
        node: NodeId,
        replica: &P,
        (before, index, batch): (LogIndex, LogIndex, &Batch),
        now: u64,
    ) -> Verdict {
        let led = self.epochs.highest();
        let correct = self.correct();
        if self.history.commit(before, index, batch, now, led)? {
            self.disks.durable(index, batch, correct, &self.electorates(index))?;
        }
        let Some(certificate) = replica.certificate(index) else { return Ok(()) };
        let own = self.disks.proves(node.index(), index, batch.fingerprint());
        let nodes = (correct, NodeSet::first(self.size));
        self.claims.certified(node, index, &certificate, nodes, &self.electorates(index), own)
    }

    /// O15: the service of the node has applied one index more.
    pub(crate) fn reached(&mut self, node: NodeId, executor: &Executor<Registers>) -> Verdict {
        if self.is_correct(node) {
            return self.states.compare(executor.applied(), executor.fingerprint());
        }
        Ok(())
    }
}
