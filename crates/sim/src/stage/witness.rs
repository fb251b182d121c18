//! The oracles of a stage: all those that need neither clients nor their time.

use crate::oracle::Verdict;
use crate::oracle::claims::Claims;
use crate::oracle::disks::Disks;
use crate::oracle::epochs::{self, Epochs};
use crate::oracle::history::History;
use crate::oracle::states::States;
use crate::registers::Registers;
use consensus_core::quorum::Quorums;
use consensus_core::{
    Audit, Batch, Command, DEFAULT_SESSIONS, Executor, LogIndex, NodeId, NodeSet, Status,
};

/// O1, O2, O3, O4, O5, O6, O7, O8, O15 and O16; O18 is the stage's own.
pub(crate) struct Witness<P> {
    size: usize,
    quorums: Option<Quorums>,
    traitors: NodeSet,
    history: History<Registers>,
    disks: Disks<P>,
    epochs: Epochs,
    claims: Claims,
    states: States,
}

impl<P: Audit> Witness<P> {
    pub(crate) fn new(size: usize, quorums: Option<Quorums>, traitors: NodeSet) -> Self {
        Self {
            size,
            quorums,
            traitors,
            history: History::new(Executor::new(Registers::default(), DEFAULT_SESSIONS)),
            disks: Disks::new(size, traitors.is_empty()),
            epochs: Epochs::default(),
            claims: Claims::default(),
            states: States::default(),
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
        self.disks.synced(node.index(), disk);
        self.disks.survived(node.index(), disk);
    }

    /// O4: the node wrote this record.
    pub(crate) fn wrote(&mut self, node: NodeId, record: &P::Record) -> Verdict {
        let verdict = self.disks.wrote(node.index(), record);
        if self.is_correct(node) { verdict } else { Ok(()) }
    }

    /// These records are durable now.
    pub(crate) fn synced(&mut self, node: NodeId, records: &[P::Record]) {
        self.disks.synced(node.index(), records);
    }

    /// The node crashed, and its disk holds these records.
    pub(crate) fn survived(&mut self, node: NodeId, records: &[P::Record]) {
        self.disks.survived(node.index(), records);
    }

    /// O7: a message of a correct node leaves it.
    pub(crate) fn says(&mut self, node: NodeId, message: &P::Message) -> Verdict {
        P::claims(message).into_iter().try_for_each(|claim| self.claims.say(node, claim))
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
        let led = self.epochs.highest_led();
        let correct = self.correct();
        if self.history.commit(before, index, batch, now, led)? {
            let quorum = self.quorums.map_or(P::INFO.quorum(self.size), Quorums::phase_2);
            let needed = quorum.saturating_sub(self.traitors.len());
            self.disks.durable(index, batch, correct, needed)?;
        }
        let Some(certificate) = replica.certificate(index) else { return Ok(()) };
        let own = self.disks.proves(node.index(), index, batch.fingerprint());
        let world = (self.size, P::INFO.faults, self.quorums);
        self.claims.certified(node, index, &certificate, correct, world, own)
    }

    /// O15: the service of the node has applied one index more.
    pub(crate) fn reached(&mut self, node: NodeId, executor: &Executor<Registers>) -> Verdict {
        if self.is_correct(node) {
            return self.states.compare(executor.applied(), executor.fingerprint());
        }
        Ok(())
    }
}
