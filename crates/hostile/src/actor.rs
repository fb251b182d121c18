//! One replica of the handlers' rig, with all that a driver keeps beside it: timers, the write
//! stream, the snapshot and the one that is coming in.

use bytes::Bytes;
use consensus_core::{
    Audit, ConsensusProtocol, Durable, Effects, Incarnation, Incoming, LogIndex, Membership,
    NodeId, Outbox, Received, RecordNumber, SnapshotMessage, SnapshotMeta, Then, asked_offset,
};
use std::collections::BTreeSet;

/// Bytes of every snapshot, and of one piece: what they say is nobody's business here.
const SNAPSHOT_BYTES: u64 = 20;
const PIECE: u64 = 8;
/// Pieces that a liar may send before the receiver has had enough.
const MOST_STAGED: u64 = 1 << 20;

/// Something in the write stream.
enum Write<R> {
    Record(R),
    Compact(Vec<R>),
}

/// A replica and its driver's things.
pub(crate) struct Actor<P: ConsensusProtocol> {
    pub(crate) protocol: P,
    pub(crate) effects: Effects<P>,
    pub(crate) outbox: Outbox<P::Message>,
    pub(crate) timers: BTreeSet<P::Timer>,
    pub(crate) starts: u32,
    /// What a start would find, if nothing more were synced.
    kept: Vec<P::Record>,
    /// The number of the last write that is synced.
    synced: u64,
    pending: Vec<Write<P::Record>>,
    pub(crate) snapshot: Option<SnapshotMeta>,
    /// On its way to the disk; true, if it came from another replica.
    writing: Option<(SnapshotMeta, bool)>,
    incoming: Incoming,
    staged: u64,
    pub(crate) applied: LogIndex,
    /// Reads that were asked in this life.
    pub(crate) reads: u64,
    pub(crate) members: Option<Membership>,
}

impl<P: Audit> Actor<P> {
    /// Starts for the first time.
    pub(crate) fn first(id: NodeId, config: &P::Config) -> Self {
        Self::on_disk(id, config, 1, Vec::new(), None)
    }

    fn on_disk(
        id: NodeId,
        config: &P::Config,
        starts: u32,
        kept: Vec<P::Record>,
        snapshot: Option<SnapshotMeta>,
    ) -> Self {
        let count = kept.len();
        let incarnation = Incarnation(starts);
        let durable = Durable { incarnation, records: kept.clone(), snapshot: snapshot.clone() };
        let recovered = P::recover(id, config.clone(), durable);
        Self {
            protocol: recovered.unwrap_or_else(|error| panic!("{id} does not recover: {error}")),
            effects: Effects::after_recovery(count),
            outbox: Outbox::after_recovery(count, P::INFO.links),
            timers: BTreeSet::new(),
            starts,
            kept,
            synced: count as u64,
            pending: Vec::new(),
            applied: snapshot.as_ref().map_or(LogIndex::ZERO, |meta| meta.index),
            snapshot,
            writing: None,
            incoming: Incoming::new(),
            staged: 0,
            reads: 0,
            members: None,
        }
    }

    /// Starts again with what was synced, and at most so many writes more. The snapshot that was
    /// being written is there, if `file`.
    pub(crate) fn again(&mut self, id: NodeId, config: &P::Config, unsynced: usize, file: bool) {
        self.pending.truncate(unsynced);
        self.settle_writes();
        if let Some((meta, _)) = self.writing.take().filter(|_| file) {
            self.snapshot = Some(meta);
        }
        let (kept, snapshot) = (std::mem::take(&mut self.kept), self.snapshot.take());
        *self = Self::on_disk(id, config, self.starts + 1, kept, snapshot);
    }

    fn settle_writes(&mut self) {
        for write in self.pending.drain(..) {
            self.synced += 1;
            match write {
                Write::Record(record) => self.kept.push(record),
                Write::Compact(records) => self.kept = records,
            }
        }
    }

    fn wrote(&mut self, number: RecordNumber, write: Write<P::Record>) {
        self.pending.push(write);
        let last = self.synced + self.pending.len() as u64;
        assert_eq!(number.0, last, "records are one stream");
    }

    /// A record is appended.
    pub(crate) fn record(&mut self, number: RecordNumber, record: P::Record) {
        self.wrote(number, Write::Record(record));
    }

    /// These records take the place of all others.
    pub(crate) fn compact(&mut self, number: RecordNumber, records: Vec<P::Record>) {
        self.wrote(number, Write::Compact(records));
    }

    /// Everything that was written is safe; the number of the last, if that is news.
    pub(crate) fn sync(&mut self) -> Option<RecordNumber> {
        let news = !self.pending.is_empty();
        self.settle_writes();
        news.then_some(RecordNumber(self.synced))
    }

    /// Begins a snapshot of what is applied, if the protocol can tell what that is.
    pub(crate) fn take_snapshot(&mut self) {
        let newer = self.snapshot.as_ref().is_none_or(|meta| meta.index < self.applied);
        if newer && self.applied > LogIndex::ZERO && self.writing.is_none() {
            self.writing = self.protocol.snapshot_meta(self.applied).map(|meta| (meta, false));
        }
    }

    /// The snapshot that was being written is on the disk: what it is of, and whether it is to be
    /// installed.
    pub(crate) fn keep_snapshot(&mut self) -> Option<(SnapshotMeta, bool)> {
        let (meta, installs) = self.writing.take()?;
        self.snapshot = Some(meta.clone());
        if installs && meta.index <= self.applied {
            return None;
        }
        if installs {
            self.applied = meta.index;
        }
        Some((meta, installs))
    }

    /// What to ask whoever has a snapshot.
    pub(crate) fn ask(&self) -> SnapshotMessage {
        self.incoming.ask()
    }

    /// A message about snapshots: what to say to it.
    pub(crate) fn serve(&mut self, message: SnapshotMessage) -> Option<SnapshotMessage> {
        if let SnapshotMessage::Ask { of, offset } = message {
            let meta = self.snapshot.clone()?;
            let begin = asked_offset(of, offset, meta.index);
            let length = SNAPSHOT_BYTES.checked_sub(begin).filter(|left| *left > 0)?.min(PIECE);
            let bytes = Bytes::from(vec![meta.index.0 as u8; length as usize]);
            let last = begin + length == SNAPSHOT_BYTES;
            return Some(SnapshotMessage::chunk(meta, begin, bytes, last));
        }
        let Received { first, bytes, then } = self.incoming.receive(message, self.applied)?;
        self.staged = if first { 0 } else { self.staged } + bytes.len() as u64;
        if self.staged > MOST_STAGED {
            self.incoming.abandon();
            return None;
        }
        match then {
            Then::Ask(ask) => Some(ask),
            Then::Whole(meta) => {
                self.writing = Some((meta, true));
                None
            }
        }
    }

    /// What is forgotten is in a snapshot that is on the disk, and no more is applied than there
    /// is.
    pub(crate) fn is_in_order(&self) -> bool {
        let snapshot = self.snapshot.as_ref().map_or(LogIndex::ZERO, |meta| meta.index);
        self.protocol.status().purged <= snapshot && snapshot <= self.applied
    }
}
