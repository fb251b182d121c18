//! O4 (log matching) and O6: what the disks hold. The truth about a promise is the synced disk of
//! who made it, not the replica's opinion.

use super::{Table, Verdict};
use crate::report::Finding;
use consensus_core::{Audit, Batch, Fingerprint, Ledger, LogIndex, NodeSet};
use std::marker::PhantomData;

/// What one disk holds, written and synced.
#[derive(Default)]
struct Platter {
    written: Ledger,
    synced: Ledger,
    /// For each index what the written log holds up to it, while it has no hole.
    chain: Vec<Fingerprint>,
}

/// All disks of a world.
pub(crate) struct Disks<P> {
    platters: Vec<Platter>,
    /// The one value that an (index, epoch) stands for, on every disk and at all times.
    matches: Table<(LogIndex, u128), Fingerprint>,
    /// Off where the leader may lie: then two correct disks may well hold two proposals of one
    /// epoch, and it is for the votes to see to it that at most one is decided.
    matching: bool,
    scratch: Ledger,
    protocol: PhantomData<P>,
}

impl<P: Audit> Disks<P> {
    pub(crate) fn new(nodes: usize, matching: bool) -> Self {
        Self {
            platters: (0..nodes).map(|_| Platter::default()).collect(),
            matches: Table::default(),
            matching,
            scratch: Ledger::default(),
            protocol: PhantomData,
        }
    }

    /// The replica wrote this record.
    pub(crate) fn wrote(&mut self, node: usize, record: &P::Record) -> Verdict {
        let platter = &mut self.platters[node];
        P::absorb(record, &mut platter.written);
        if !self.matching {
            return Ok(());
        }
        self.scratch.cut_from(LogIndex::ZERO);
        P::absorb(record, &mut self.scratch); // Says which places the record touches.
        for (index, _) in self.scratch.iter() {
            let Some(held) = platter.written.get(index) else { continue };
            let place = index.previous().0 as usize;
            let stands_for = if P::LOG_MATCHING {
                if platter.chain.len() < place {
                    continue; // A hole before it: nothing follows for what comes before.
                }
                platter.chain.truncate(place);
                let before = platter.chain.last().copied().unwrap_or_default();
                let chained = before.then(&(held.epoch, held.batch));
                platter.chain.push(chained);
                chained
            } else {
                held.batch
            };
            let first = *self.matches.entry((index, held.epoch)).or_insert(stands_for);
            if first != stands_for {
                let epoch = held.epoch;
                let detail = format!(
                    "index {index} of epoch {epoch} was written before with another {}",
                    if P::LOG_MATCHING { "log up to it" } else { "batch" }
                );
                return Err(Finding::new("O4", "log matching", detail));
            }
        }
        Ok(())
    }

    /// These records of the replica are durable now.
    pub(crate) fn synced(&mut self, node: usize, records: &[P::Record]) {
        for record in records {
            P::absorb(record, &mut self.platters[node].synced);
        }
    }

    /// The replica crashed, and its disk holds these records.
    pub(crate) fn survived(&mut self, node: usize, records: &[P::Record]) {
        let platter = &mut self.platters[node];
        platter.written = Ledger::default();
        platter.chain.clear();
        for record in records {
            P::absorb(record, &mut platter.written);
        }
        let mut chained = Fingerprint::default();
        for (place, (index, held)) in platter.written.iter().enumerate() {
            if index != LogIndex(place as u64 + 1) {
                break;
            }
            chained = chained.then(&(held.epoch, held.batch));
            platter.chain.push(chained);
        }
    }

    /// Does the synced disk of this node hold the batch there?
    pub(crate) fn proves(&self, node: usize, index: LogIndex, batch: Fingerprint) -> bool {
        self.platters[node].synced.get(index).is_some_and(|held| held.batch == batch)
    }

    /// O6: when the first replica commits, so many synced disks of these nodes hold the batch.
    pub(crate) fn durable(
        &self,
        index: LogIndex,
        batch: &Batch,
        correct: NodeSet,
        needed: usize,
    ) -> Verdict {
        let fingerprint = batch.fingerprint();
        let holds = |node: &consensus_core::NodeId| self.proves(node.index(), index, fingerprint);
        let on: NodeSet = correct.iter().filter(holds).collect();
        if on.len() >= needed {
            return Ok(());
        }
        let detail = format!(
            "index {index} is committed as {batch:?}; synced on {on:?}, needed on {needed} disks"
        );
        Err(Finding::new("O6", "durable quorum", detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::{Record, Toy};
    use consensus_core::{ClientId, Command, RequestId, SessionId, Tag};

    fn batch(name: u64) -> Batch {
        let (client, session, request) = (ClientId(name), SessionId(0), RequestId(1));
        Batch::of(&[Command { client, session, request, payload: "x".into(), tag: Tag::none() }])
    }

    fn record(epoch: u32, index: u64, name: u64) -> Record {
        Record { epoch, index: LogIndex(index), batch: batch(name) }
    }

    fn disks() -> Disks<Toy> {
        Disks::new(3, true)
    }

    /// Raft §5.3, Log Matching.
    #[test]
    fn o4_sees_an_entry_that_follows_two_different_logs() {
        let mut disks = disks();
        for node in 0..2 {
            disks.wrote(node, &record(1, 1, 10)).expect("equal logs");
        }
        disks.wrote(0, &record(1, 2, 20)).expect("the first at index 2");
        disks.wrote(2, &record(2, 1, 11)).expect("another epoch");
        assert_eq!(disks.wrote(2, &record(1, 2, 20)).unwrap_err().oracle, "O4", "other past");
        assert_eq!(disks.wrote(1, &record(1, 2, 21)).unwrap_err().oracle, "O4", "other batch");
    }

    #[test]
    fn o4_follows_a_log_that_is_cut_and_one_that_survived_a_crash() {
        let mut disks = disks();
        disks.wrote(0, &record(1, 1, 10)).expect("a log");
        disks.wrote(0, &record(1, 2, 20)).expect("a log");
        disks.wrote(0, &record(2, 1, 11)).expect("index 1 again, in a later epoch");
        disks.wrote(0, &record(2, 2, 21)).expect("and on from there");
        disks.survived(0, &[record(2, 1, 11)]);
        disks.wrote(0, &record(2, 2, 21)).expect("the same past, so the same entry");
        disks.survived(1, &[record(1, 1, 10)]);
        assert_eq!(disks.wrote(1, &record(2, 2, 21)).unwrap_err().oracle, "O4");
    }

    /// Only what is synced counts, and only this batch.
    #[test]
    fn o6_counts_synced_disks_that_hold_the_very_batch() {
        let mut disks = disks();
        let all = NodeSet::first(3);
        let (index, decided) = (LogIndex(1), batch(10));
        for node in 0..3 {
            disks.wrote(node, &record(1, 1, 10)).expect("equal logs");
        }
        let durable = |disks: &Disks<Toy>, nodes| disks.durable(index, &decided, nodes, 2);
        disks.synced(0, &[record(1, 1, 10)]);
        disks.synced(1, &[record(1, 1, 11)]);
        assert_eq!(durable(&disks, all).unwrap_err().oracle, "O6");
        disks.synced(2, &[record(1, 1, 10)]);
        durable(&disks, all).expect("a majority of disks");
        let without = all.without(consensus_core::NodeId(2));
        assert_eq!(durable(&disks, without).unwrap_err().oracle, "O6", "n2 is a traitor");
    }
}
