//! A disk that hangs.

use consensus_core::RecordNumber;
use consensus_core::mutant::planted;
use core::time::Duration;
use tokio::time::Instant;

/// Watches how long the disk takes.
///
/// A leader whose disk hangs, while its heartbeats go on, keeps the cluster from electing one that
/// can write. So a replica that has waited too long for a sync falls silent, as if it were cut
/// off, which every protocol survives; the others act when they miss it.
#[derive(Debug)]
pub(crate) struct DiskWatch {
    patience: Duration,
    last_needed: RecordNumber,
    /// Since when the disk has owed a sync without making progress.
    since: Option<Instant>,
}

impl DiskWatch {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, last_needed: RecordNumber::ZERO, since: None }
    }

    /// A record goes to the disk, and somebody waits for it.
    pub(super) fn wrote(&mut self, needed: RecordNumber, now: Instant) {
        self.last_needed = needed;
        self.since = self.since.filter(|_| !planted("N48")).or(Some(now));
    }

    /// The disk has everything up to this record.
    pub(crate) fn synced(&mut self, upto: RecordNumber, now: Instant) {
        let owes = upto < self.last_needed || planted("N49");
        self.since = owes.then_some(if planted("N50") { self.since.unwrap_or(now) } else { now });
    }

    pub(super) fn hangs(&self, now: Instant) -> bool {
        self.since.is_some_and(|since| now.duration_since(since) > self.patience)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(1);

    /// Raft §5.2 lets a leader stay while its heartbeats arrive: one that cannot write must stop
    /// sending them, and one that can must not. What happens to the disk, second by second, and
    /// whether it is taken to hang a little later than that.
    #[test]
    pub(crate) fn a_disk_hangs_when_it_owes_a_sync_and_makes_no_progress() {
        let start = Instant::now();
        let mut disk = DiskWatch::new(PATIENCE);
        let at = |tenths: u32| start + PATIENCE / 10 * tenths;
        assert!(!disk.hangs(at(100)), "nothing was written yet");
        disk.wrote(RecordNumber(3), at(100));
        assert!(!disk.hangs(at(110)) && disk.hangs(at(111)));
        // To write more is no progress.
        disk.wrote(RecordNumber(5), at(109));
        assert!(disk.hangs(at(111)));
        // To sync some of it is.
        disk.synced(RecordNumber(3), at(112));
        assert!(!disk.hangs(at(122)) && disk.hangs(at(123)));
        disk.synced(RecordNumber(4), at(130));
        assert!(!disk.hangs(at(140)) && disk.hangs(at(141)));
        // A disk that owes nothing may rest.
        disk.synced(RecordNumber(5), at(150));
        assert!(!disk.hangs(at(1_000)));
        disk.wrote(RecordNumber(6), at(1_000));
        assert!(!disk.hangs(at(1_010)) && disk.hangs(at(1_011)));
    }
}
