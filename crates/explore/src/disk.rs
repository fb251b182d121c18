//! A node's disk: the write stream, of which a crash keeps a prefix, and beside it the file of the
//! newest snapshot, of which a crash keeps the old one or the new one.

use consensus_core::{Durable, Incarnation, LogIndex, RecordNumber, SnapshotMeta};

/// A snapshot: what it is of, and the state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Snapshot {
    pub(crate) meta: SnapshotMeta,
    pub(crate) bytes: Vec<u8>,
}

/// A snapshot on its way to the disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Writing {
    pub(crate) snapshot: Snapshot,
    /// It came from another node, and the state machine waits for it.
    pub(crate) installs: bool,
}

/// Something in the write stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Write<R> {
    Record(R),
    /// These take the place of all before.
    Compact(Vec<R>),
}

/// What was written, and what of it is safe.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Disk<R> {
    /// The records that a start would find, if nothing more were synced.
    pub(crate) kept: Vec<R>,
    /// The number of the last write that is synced.
    pub(crate) synced: u64,
    /// Written, and not synced.
    pub(crate) pending: Vec<Write<R>>,
    /// The file of the newest snapshot.
    pub(crate) snapshot: Option<Snapshot>,
    /// The one that is to take its place.
    pub(crate) writing: Option<Writing>,
}

impl<R: Clone> Disk<R> {
    pub(crate) fn empty() -> Self {
        Self { kept: Vec::new(), synced: 0, pending: Vec::new(), snapshot: None, writing: None }
    }

    /// The number of the last write.
    pub(crate) fn written(&self) -> u64 {
        self.synced + self.pending.len() as u64
    }

    /// The next write; whoever wrote it has numbered it.
    pub(crate) fn write(&mut self, number: RecordNumber, write: Write<R>) {
        self.pending.push(write);
        assert_eq!(number.0, self.written(), "writes are numbered without gap");
    }

    /// Everything that was written is safe.
    pub(crate) fn sync(&mut self) -> RecordNumber {
        let pending = std::mem::take(&mut self.pending);
        self.synced += pending.len() as u64;
        for write in pending {
            match write {
                Write::Record(record) => self.kept.push(record),
                Write::Compact(records) => self.kept = records,
            }
        }
        RecordNumber(self.synced)
    }

    /// So many of the writes that were not synced survive; and the new snapshot, if `file`.
    pub(crate) fn crash(&mut self, kept: usize, file: bool) {
        self.pending.truncate(kept);
        self.sync();
        self.synced = self.kept.len() as u64;
        if let Some(Writing { snapshot, .. }) = self.writing.take().filter(|_| file) {
            self.snapshot = Some(snapshot);
        }
    }

    /// What a start finds.
    pub(crate) fn durable(&self, life: u32) -> Durable<R> {
        let snapshot = self.snapshot.as_ref().map(|snapshot| snapshot.meta.clone());
        Durable { incarnation: Incarnation(life), records: self.kept.clone(), snapshot }
    }

    /// Up to here the file of the snapshot stands for the log.
    pub(crate) fn covered(&self) -> LogIndex {
        self.snapshot.as_ref().map_or(LogIndex::ZERO, |snapshot| snapshot.meta.index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::Membership;

    fn snapshot(index: u64) -> Snapshot {
        let membership = Membership::default();
        let meta = SnapshotMeta { index: LogIndex(index), epoch: 0, membership };
        Snapshot { meta, bytes: Vec::new() }
    }

    fn disk(writes: &[Write<char>]) -> Disk<char> {
        let mut disk = Disk::empty();
        for (nth, write) in (1..).zip(writes) {
            disk.write(RecordNumber(nth), write.clone());
        }
        disk
    }

    /// [`Effect::Compact`](consensus_core::Effect): after a crash either the old records are found
    /// or these.
    #[test]
    fn a_crash_keeps_what_a_compaction_replaces_or_what_it_says() {
        use Write::{Compact, Record};
        let writes = [Record('a'), Record('b'), Compact(vec!['c']), Record('d')];
        let found = |kept| {
            let mut disk = disk(&writes);
            disk.crash(kept, false);
            assert_eq!(disk.synced, disk.kept.len() as u64, "numbers begin after what is found");
            disk.kept.into_iter().collect::<String>()
        };
        assert_eq!([0, 1, 2, 3, 4].map(found), ["", "a", "ab", "c", "cd"]);
    }

    #[test]
    fn a_snapshot_is_safe_when_it_was_kept_and_perhaps_before() {
        for file in [false, true] {
            let mut disk = disk(&[]);
            disk.snapshot = Some(snapshot(1));
            disk.writing = Some(Writing { snapshot: snapshot(2), installs: false });
            disk.crash(0, file);
            assert_eq!(disk.covered(), LogIndex(if file { 2 } else { 1 }));
            assert_eq!(disk.writing, None);
        }
    }
}
