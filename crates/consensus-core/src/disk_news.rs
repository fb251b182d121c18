//! What the disk has, and what a replica was told of that.

use crate::id::RecordNumber;
use crate::protocol::ConsensusProtocol;

/// A replica that waits for nothing need not be told at once that its disk has caught up
/// ([`ConsensusProtocol::awaits_durable`]). Shared by drivers that save themselves such steps: they
/// ask after whatever the disk said, and before a burst of input ends, as the replica may have
/// come to wait since.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DiskNews {
    durable: RecordNumber,
    told: RecordNumber,
}

impl DiskNews {
    /// For a replica that was recovered from this many records.
    pub fn after_recovery(records: usize) -> Self {
        let durable = RecordNumber(records as u64);
        Self { durable, told: durable }
    }

    /// The disk has everything up to here.
    #[inline]
    pub fn synced(&mut self, upto: RecordNumber) {
        self.durable = self.durable.max(upto);
    }

    /// What the replica is to be told now, if anything: [`Input::Durable`](crate::Input::Durable)
    /// up to this record.
    #[inline]
    pub fn due(&mut self, replica: &impl ConsensusProtocol) -> Option<RecordNumber> {
        let news = self.told < self.durable && replica.awaits_durable();
        news.then(|| {
            self.told = self.durable;
            self.durable
        })
    }
}
