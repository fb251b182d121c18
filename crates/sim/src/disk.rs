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

/// The record stream of one replica. `synced` counts what a crash cannot take away.
#[derive(Clone, Debug)]
pub(crate) struct Disk<R> {
    records: Vec<R>,
    synced: usize,
    syncing: bool,
    last_needed: usize,
}

impl<R> Disk<R> {
    pub(crate) fn new() -> Self {
        Self { records: Vec::new(), synced: 0, syncing: false, last_needed: 0 }
    }

    pub(crate) fn append(&mut self, record: R, needed: bool) {
        self.records.push(record);
        if needed {
            self.last_needed = self.records.len();
        }
    }

    /// Starts a sync if something waits for one and none runs: says what it will cover.
    pub(crate) fn begin_sync(&mut self) -> Option<usize> {
        if self.syncing || self.last_needed <= self.synced {
            return None;
        }
        self.syncing = true;
        Some(self.records.len())
    }

    /// The sync that covers the first `upto` records has ended: these are new on the disk.
    pub(crate) fn end_sync(&mut self, upto: usize) -> &[R] {
        assert!(
            self.syncing && upto >= self.synced,
            "a sync ends once, and covers more than before"
        );
        let before = self.synced;
        self.synced = upto;
        self.syncing = false;
        &self.records[before..upto]
    }

    /// Power is cut: a random prefix of the unsynced writes survives. Says what survived that was
    /// not synced, and how many records were lost.
    pub(crate) fn crash(&mut self, rng: &mut Rng) -> (&[R], usize) {
        let unsynced = self.records.len() - self.synced;
        let kept = rng.between(0, unsynced as u64) as usize;
        let before = self.synced;
        self.records.truncate(before + kept);
        self.synced = self.records.len();
        self.last_needed = self.synced;
        self.syncing = false;
        (&self.records[before..], unsynced - kept)
    }

    /// Records that a crash may take away.
    pub(crate) fn unsynced(&self) -> usize {
        self.records.len() - self.synced
    }

    pub(crate) fn records(&self) -> &[R] {
        &self.records
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
        assert_eq!(disk.end_sync(2), ["note", "vote"]);
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
            assert_eq!(survivors, &[2, 3][..2 - lost]);
            seen[lost] = true;
            assert_eq!(disk.records()[0], 1);
            assert_eq!(disk.begin_sync(), None, "what survived needs no sync");
        }
        assert_eq!(seen, [true; 3], "none, one and both writes were lost in some seed");
    }
}
