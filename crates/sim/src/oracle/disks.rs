//! O4 (log matching) and O6: what the disks hold. The truth about a promise is the synced disk of
//! who made it, not the replica's opinion.

use super::members::Electorates;
use super::{Seen, Table, Verdict};
use crate::disk::Written;
use crate::report::Finding;
use consensus_core::{Audit, Batch, Fingerprint, Ledger, LogIndex, NodeId, NodeSet, SnapshotMeta};
use std::marker::PhantomData;

/// What one disk holds, written and synced.
#[derive(Default)]
struct Platter {
    written: Ledger,
    synced: Ledger,
    /// Where the written log begins, and what stands for everything before, if that is known.
    base: (LogIndex, Option<Fingerprint>),
    /// For each index after it what the written log holds up to it, while it has no hole.
    chain: Vec<Fingerprint>,
    /// The newest snapshot that is durable, and the epoch of the last entry in it.
    snapshot: (LogIndex, u64),
    /// Every entry, by index and epoch, that was synced at any time, where logs match.
    ever: Seen<(LogIndex, u128)>,
}

impl Platter {
    /// What stands for the log up to this index.
    fn chained(&self, index: LogIndex) -> Option<Fingerprint> {
        let (base, known) = self.base;
        if index == base {
            return known;
        }
        let place = index.0.checked_sub(base.0 + 1)?;
        self.chain.get(usize::try_from(place).ok()?).copied()
    }
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
        let mut platters: Vec<Platter> = (0..nodes).map(|_| Platter::default()).collect();
        for platter in &mut platters {
            platter.base.1 = Some(Fingerprint::default());
        }
        Self {
            platters,
            matches: Table::default(),
            matching,
            scratch: Ledger::default(),
            protocol: PhantomData,
        }
    }

    /// The replica wrote this record.
    pub(crate) fn wrote(&mut self, node: usize, record: &P::Record) -> Verdict {
        let platter = &mut self.platters[node];
        let covered = platter.written.covered();
        P::absorb(record, &mut platter.written);
        if platter.written.covered() > covered {
            self.rebase(node);
        }
        if !self.matching {
            return Ok(());
        }
        self.scratch.cut_from(LogIndex::ZERO);
        P::absorb(record, &mut self.scratch); // Says which places the record touches.
        let platter = &mut self.platters[node];
        for (index, _) in self.scratch.iter() {
            let Some(held) = platter.written.get(index) else { continue };
            let stands_for = if P::LOG_MATCHING {
                let Some(before) = platter.chained(index.previous()) else {
                    continue; // A hole before it: nothing follows for what comes before.
                };
                let place = (index.0 - platter.base.0.0 - 1) as usize;
                platter.chain.truncate(place);
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

    /// O4, where logs match: a replica's log ends where what it wrote ends. What it holds beyond is
    /// on no disk, and was not compared with anything.
    pub(crate) fn ends_at(&self, node: usize, last: LogIndex) -> Verdict {
        let written = &self.platters[node].written;
        let end = written.last().max(written.covered());
        if !P::LOG_MATCHING || last <= end.max(self.platters[node].snapshot.0) {
            return Ok(());
        }
        let detail = format!("its log goes on to {last}, and what it wrote ends at {end}");
        Err(Finding::new("O4", "a log is what was written", detail))
    }

    /// The log begins later now: what stands for what is before is remembered, or looked up.
    fn rebase(&mut self, node: usize) {
        let platter = &mut self.platters[node];
        let covered = platter.written.covered();
        let (snapshot, epoch) = platter.snapshot;
        // A snapshot may have come in place of a log that did not agree with it.
        let known = if covered == snapshot {
            self.matches.get(&(snapshot, u128::from(epoch))).copied()
        } else {
            platter.chained(covered)
        };
        let gone = (covered.0 - platter.base.0.0) as usize;
        platter.chain.drain(..gone.min(platter.chain.len()));
        if known.is_none() {
            platter.chain.clear();
        }
        platter.base = (covered, known);
    }

    /// The replica replaced everything that it wrote by these records: what they leave out must be
    /// in a snapshot that no crash takes away.
    pub(crate) fn compacted(&mut self, node: usize, records: &[P::Record]) -> Verdict {
        self.platters[node].written = Ledger::default();
        let mut verdict = Ok(());
        for record in records {
            verdict = verdict.and(self.wrote(node, record));
        }
        let Platter { written, snapshot: (durable, _), .. } = &self.platters[node];
        let covered = written.covered();
        if covered > *durable {
            let detail = format!(
                "its log is forgotten up to {covered}, and its newest durable snapshot is of \
                 {durable}"
            );
            return Err(Finding::new("O6", "what is forgotten is in a snapshot", detail));
        }
        verdict
    }

    /// A snapshot of the node is durable.
    pub(crate) fn saved(&mut self, node: usize, meta: &SnapshotMeta) {
        self.platters[node].snapshot = (meta.index, meta.epoch);
    }

    /// These writes of the replica are durable now.
    pub(crate) fn synced(&mut self, node: usize, writes: &[Written<P::Record>]) {
        let Platter { synced, ever, .. } = &mut self.platters[node];
        for write in writes {
            let records = match write {
                Written::Record(record) => std::slice::from_ref(record),
                Written::Compact(records) => {
                    *synced = Ledger::default();
                    records
                }
            };
            for record in records {
                P::absorb(record, synced);
                if P::LOG_MATCHING {
                    self.scratch.cut_from(LogIndex::ZERO);
                    P::absorb(record, &mut self.scratch);
                    ever.extend(self.scratch.iter().map(|(index, held)| (index, held.epoch)));
                }
            }
        }
    }

    /// O20: what another replica counts on is, or was once, on the synced disk of this node: the
    /// entry of this epoch, or a snapshot that covers it. What is there now may be newer.
    pub(crate) fn held_once(&self, node: NodeId, index: LogIndex, epoch: u128) -> Verdict {
        let Platter { ever, snapshot, .. } = &self.platters[node.index()];
        if index <= snapshot.0 || ever.contains(&(index, epoch)) {
            return Ok(());
        }
        let detail = format!("index {index} of epoch {epoch} was never synced on {node}");
        Err(Finding::new("O20", "counts on what a disk never had", detail))
    }

    /// The replica crashed, and its disk holds these records.
    pub(crate) fn survived<'a>(
        &mut self,
        node: usize,
        records: impl Iterator<Item = &'a P::Record>,
    ) {
        self.platters[node].written = Ledger::default();
        for record in records {
            P::absorb(record, &mut self.platters[node].written);
        }
        let covered = self.platters[node].written.covered();
        if covered > self.platters[node].base.0 {
            self.rebase(node); // A compaction that survived.
        }
        let platter = &mut self.platters[node];
        if covered < platter.base.0 {
            // One that did not: the whole log from there on is in the records.
            let known = covered == LogIndex::ZERO;
            platter.base = (covered, known.then(Fingerprint::default));
        }
        platter.chain.clear();
        let (base, Some(mut chained)) = platter.base else { return };
        for (place, (index, held)) in platter.written.iter().enumerate() {
            if index != LogIndex(base.0 + place as u64 + 1) {
                break;
            }
            chained = chained.then(&(held.epoch, held.batch));
            platter.chain.push(chained);
        }
    }

    /// Does the synced disk of this node hold the batch there, or a snapshot that covers it?
    pub(crate) fn proves(&self, node: usize, index: LogIndex, batch: Fingerprint) -> bool {
        let Platter { synced, snapshot: (snapshot, _), .. } = &self.platters[node];
        index <= *snapshot || synced.get(index).is_some_and(|held| held.batch == batch)
    }

    /// O6: when the first replica commits, the synced disks of a quorum of these nodes hold the
    /// batch.
    pub(crate) fn durable(
        &self,
        index: LogIndex,
        batch: &Batch,
        correct: NodeSet,
        electorates: &Electorates<'_>,
    ) -> Verdict {
        let fingerprint = batch.fingerprint();
        let holds = |node: &NodeId| self.proves(node.index(), index, fingerprint);
        let on: NodeSet = correct.iter().filter(holds).collect();
        if electorates.are_enough_disks(on) {
            return Ok(());
        }
        let detail = format!(
            "index {index} is committed as {batch:?}; synced on {on:?}, no quorum of {electorates}"
        );
        Err(Finding::new("O6", "durable quorum", detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::{Record, Toy};
    use consensus_core::{
        ClientId, Cluster, ClusterId, Command, Membership, RequestId, SessionId, Tag,
    };

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
        disks.survived(0, [record(2, 1, 11)].iter());
        disks.wrote(0, &record(2, 2, 21)).expect("the same past, so the same entry");
        disks.survived(1, [record(1, 1, 10)].iter());
        assert_eq!(disks.wrote(1, &record(2, 2, 21)).unwrap_err().oracle, "O4");
    }

    /// Raft Figure 2, AppendEntries rule 3: what follows a conflict goes, in memory as on disk.
    #[test]
    fn o4_sees_a_log_that_goes_on_where_nothing_was_written() {
        let mut disks = disks();
        disks.wrote(0, &record(1, 1, 10)).expect("a log");
        disks.ends_at(0, LogIndex(1)).expect("as long as it was written");
        assert_eq!(disks.ends_at(0, LogIndex(2)).unwrap_err().oracle, "O4");
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
        let three = Membership::initial(&Cluster::new(ClusterId(1), 3));
        let electorates = Electorates::Members(vec![(&three, None)]);
        let durable =
            |disks: &Disks<Toy>, nodes| disks.durable(index, &decided, nodes, &electorates);
        disks.synced(0, &[Written::Record(record(1, 1, 10))]);
        disks.synced(1, &[Written::Record(record(1, 1, 11))]);
        assert_eq!(durable(&disks, all).unwrap_err().oracle, "O6");
        disks.synced(2, &[Written::Record(record(1, 1, 10))]);
        durable(&disks, all).expect("a majority of disks");
        let without = all.without(NodeId(2));
        assert_eq!(durable(&disks, without).unwrap_err().oracle, "O6", "n2 is a traitor");
    }

    fn meta(index: u64, epoch: u64) -> SnapshotMeta {
        SnapshotMeta { index: LogIndex(index), epoch, membership: Membership::default() }
    }

    /// A snapshot comes first, and what it covers is forgotten then; whoever has it, has all that
    /// is in it.
    #[test]
    fn o6_takes_a_durable_snapshot_for_what_is_in_it() {
        let mut disks = disks();
        let first = batch(10);
        assert!(!disks.proves(0, LogIndex(1), first.fingerprint()));
        disks.saved(0, &meta(1, 1));
        assert!(disks.proves(0, LogIndex(1), first.fingerprint()));
        assert!(!disks.proves(0, LogIndex(2), first.fingerprint()));
        assert!(!disks.proves(1, LogIndex(1), first.fingerprint()));
    }

    /// matchIndex is of what was synced under that term, whatever came in its place since (Raft
    /// Figure 2); the same index in another term is another entry.
    #[test]
    fn o20_knows_what_a_disk_once_had() {
        let mut disks = disks();
        let held = |disks: &Disks<Toy>, index, epoch| {
            disks.held_once(NodeId(1), LogIndex(index), epoch).map_err(|finding| finding.oracle)
        };
        disks.wrote(1, &record(1, 1, 10)).expect("a log");
        assert_eq!(held(&disks, 1, 1), Err("O20"), "written and not synced");
        disks.synced(1, &[Written::Record(record(1, 1, 10))]);
        assert_eq!(held(&disks, 1, 1), Ok(()));
        assert_eq!(held(&disks, 1, 2), Err("O20"), "another term");
        disks.synced(1, &[Written::Record(record(2, 1, 11))]);
        assert_eq!((held(&disks, 1, 1), held(&disks, 1, 2)), (Ok(()), Ok(())), "then, and now");
        assert_eq!(held(&disks, 2, 2), Err("O20"), "never there");
        disks.saved(1, &meta(2, 2));
        assert_eq!((held(&disks, 2, 2), held(&disks, 3, 2)), (Ok(()), Err("O20")));
    }

    /// A node that stands on a snapshot goes on as others do who have the whole log.
    #[test]
    fn o4_follows_a_log_that_begins_with_a_snapshot() {
        let mut disks = disks();
        for record in [record(1, 1, 10), record(1, 2, 20), record(2, 3, 30)] {
            disks.wrote(0, &record).expect("a log");
        }
        disks.saved(1, &meta(2, 1));
        disks.platters[1].written.forget_upto(LogIndex(2));
        disks.rebase(1);
        disks.wrote(1, &record(2, 3, 30)).expect("what others have after the same past");
        disks.saved(2, &meta(2, 1));
        disks.platters[2].written.forget_upto(LogIndex(2));
        disks.rebase(2);
        assert_eq!(disks.wrote(2, &record(2, 3, 31)).unwrap_err().oracle, "O4");
    }
}
