//! A disk that hangs.

use consensus_core::RecordNumber;
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

    pub(super) fn wrote(&mut self, needed: RecordNumber) {
        self.last_needed = needed;
        self.since.get_or_insert_with(Instant::now);
    }

    pub(crate) fn synced(&mut self, upto: RecordNumber) {
        self.since = (upto < self.last_needed).then(Instant::now);
    }

    pub(super) fn hangs(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() > self.patience)
    }
}
