//! A simulated disk: what was written, what is synced, and what a crash leaves.

use crate::network::Latency;
use crate::rng::Rng;
use core::time::Duration;

/// What disks are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DiskModel {
    /// How long one sync takes.
    pub sync: Latency,
}

impl Default for DiskModel {
    /// Syncs take no time; they still are events of their own.
    fn default() -> Self {
        Self { sync: Latency::Fixed(Duration::ZERO) }
    }
}

/// One write. It is on the disk whole, or not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Written<R> {
    /// A record.
    Record(R),
    /// These records, in place of everything that was written before.
    Compact(Vec<R>),
}

/// The record stream of one replica, in the numbers of its life. `synced` counts what a crash
/// cannot take away.
#[derive(Clone, Debug)]
pub(crate) struct Disk<R> {
    /// What was written, without what something that is synced has replaced.
    stream: Vec<Written<R>>,
    /// So many writes of this life came before those, and are gone.
    gone: usize,
    synced: usize,
    syncing: bool,
    last_needed: usize,
}

impl<R> Disk<R> {
    pub(crate) fn new() -> Self {
        Self::holding(Vec::new())
    }

    /// With these records on it, as if synced.
    pub(crate) fn holding(records: Vec<R>) -> Self {
        let synced = records.len();
        let stream = records.into_iter().map(Written::Record).collect();
        Self { stream, gone: 0, synced, syncing: false, last_needed: synced }
    }

    pub(crate) fn append(&mut self, record: R, needed: bool) {
        self.stream.push(Written::Record(record));
        if needed {
            self.last_needed = self.written();
        }
    }

    /// These records take the place of all earlier ones. Nothing waits for that.
    pub(crate) fn compact(&mut self, records: Vec<R>) {
        self.stream.push(Written::Compact(records));
    }

    /// So many writes were made in this life, with the records that it began with.
    pub(crate) fn written(&self) -> usize {
        self.gone + self.stream.len()
    }

    /// The number of the last write that no crash takes away.
    pub(crate) fn synced(&self) -> usize {
        self.synced
    }

    /// Starts a sync if something waits for one and none runs: says what it will cover.
    pub(crate) fn begin_sync(&mut self) -> Option<usize> {
        if self.syncing || self.last_needed <= self.synced {
            return None;
        }
        self.syncing = true;
        Some(self.written())
    }

    /// The sync that covers the first `upto` writes has ended: these are new on the disk.
    pub(crate) fn end_sync(&mut self, upto: usize) -> &[Written<R>] {
        assert!(self.syncing, "a sync ends once");
        self.syncing = false;
        self.reach(upto)
    }

    /// The first `upto` writes are on the disk: these are new.
    pub(crate) fn reach(&mut self, upto: usize) -> &[Written<R>] {
        assert!(upto >= self.synced && upto <= self.written(), "a sync covers more than before");
        self.reclaim();
        let before = std::mem::replace(&mut self.synced, upto);
        &self.stream[before - self.gone..upto - self.gone]
    }

    /// What a synced write has replaced needs no room any more.
    fn reclaim(&mut self) {
        let synced = &self.stream[..self.synced - self.gone];
        let newest = synced.iter().rposition(|one| matches!(one, Written::Compact(_)));
        if let Some(place) = newest.filter(|place| *place > 0) {
            self.stream.drain(..place);
            self.gone += place;
        }
    }

    /// Power is cut: a random prefix of the unsynced writes survives. Says what survived that was
    /// not synced, and how many writes were lost.
    pub(crate) fn crash(&mut self, rng: &mut Rng) -> (&[Written<R>], usize) {
        let unsynced = self.unsynced();
        let kept = rng.between(0, unsynced as u64) as usize;
        (self.crash_keeping(kept), unsynced - kept)
    }

    /// Power is cut, and so many of the unsynced writes survive.
    pub(crate) fn crash_keeping(&mut self, kept: usize) -> &[Written<R>] {
        let before = self.synced - self.gone;
        self.stream.truncate(before + kept);
        self.synced = self.written();
        self.last_needed = self.synced;
        self.syncing = false;
        &self.stream[before..]
    }

    /// Records that a crash may take away.
    pub(crate) fn unsynced(&self) -> usize {
        self.written() - self.synced
    }

    /// The records that count: those that replaced all others, and what came after.
    pub(crate) fn records(&self) -> impl Iterator<Item = &R> {
        counting(&self.stream)
    }

    /// Those of them that no crash takes away.
    pub(crate) fn synced_records(&self) -> impl Iterator<Item = &R> {
        counting(&self.stream[..self.synced - self.gone])
    }
}

fn counting<R>(stream: &[Written<R>]) -> impl Iterator<Item = &R> {
    let newest = stream.iter().rposition(|one| matches!(one, Written::Compact(_)));
    stream[newest.unwrap_or(0)..].iter().flat_map(|one| match one {
        Written::Record(record) => std::slice::from_ref(record),
        Written::Compact(records) => records,
    })
}

impl<R: Clone> Disk<R> {
    /// A new life finds these records, and numbers them from 1.
    pub(crate) fn begin_life(&mut self) -> Vec<R> {
        let found: Vec<R> = self.records().cloned().collect();
        *self = Self::holding(found.clone());
        found
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Contract 2: a sync covers what was written when it began, not what came later.
    #[test]
    fn a_sync_covers_what_was_written_when_it_began() {
        let mut disk = Disk::new();
        disk.append("note", false);
        assert_eq!(disk.begin_sync(), None, "a note alone causes no sync");
        disk.append("vote", true);
        assert_eq!(disk.begin_sync(), Some(2));
        disk.append("entry", true);
        assert_eq!(disk.begin_sync(), None, "one sync at a time");
        assert_eq!(disk.end_sync(2), ["note", "vote"].map(Written::Record));
        assert_eq!(disk.begin_sync(), Some(3));
    }

    #[test]
    fn a_crash_keeps_what_was_synced_and_any_prefix_of_the_rest() {
        let mut seen = [false; 3];
        for seed in 0..64 {
            let mut disk = Disk::new();
            disk.append(1, true);
            let upto = disk.begin_sync().expect("a needed write");
            disk.end_sync(upto);
            disk.append(2, true);
            disk.append(3, true);
            let (survivors, lost) = disk.crash(&mut Rng::new(seed));
            assert_eq!(survivors, &[2, 3].map(Written::Record)[..2 - lost]);
            seen[lost] = true;
            assert_eq!(disk.records().next(), Some(&1));
            assert_eq!(disk.begin_sync(), None, "what survived needs no sync");
        }
        assert_eq!(seen, [true; 3], "none, one and both writes were lost in some seed");
    }

    /// Effect::Compact: after a crash either the old records are found or the new ones.
    #[test]
    fn a_compaction_replaces_all_before_it_or_nothing() {
        let mut seen = [false; 2];
        for seed in 0..32 {
            let mut disk = Disk::holding(vec![1, 2]);
            disk.append(3, true);
            let upto = disk.begin_sync().expect("a needed write");
            disk.end_sync(upto);
            disk.compact(vec![30]);
            assert_eq!(disk.begin_sync(), None, "nothing waits for it");
            let (_, lost) = disk.crash(&mut Rng::new(seed));
            seen[lost] = true;
            let found = disk.begin_life();
            assert_eq!(found, if lost == 1 { vec![1, 2, 3] } else { vec![30] });
            assert_eq!(disk.written(), found.len(), "a life numbers what it found");
        }
        assert_eq!(seen, [true; 2]);
    }

    #[test]
    fn numbers_go_on_over_a_compaction_and_its_room_is_given_back() {
        let mut disk = Disk::new();
        for round in 0..100 {
            disk.append(round, true);
            disk.compact(vec![round]);
            disk.append(-round, true);
            let upto = disk.begin_sync().expect("a needed write");
            assert_eq!(upto, 3 * (round as usize + 1));
            assert_eq!(disk.end_sync(upto).len(), 3);
            assert_eq!(disk.records().copied().collect::<Vec<_>>(), [round, -round]);
        }
        assert!(disk.stream.len() < 8, "what is replaced is forgotten");
    }
}
