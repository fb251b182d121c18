//! The snapshot files of one simulated node. A snapshot is written, synced and renamed: after a
//! crash there is the old file or the new one. What is being received is kept in memory, and lost.

use bytes::Bytes;
use consensus_core::{Incoming, LogIndex, SnapshotMessage, SnapshotMeta, Then, asked_offset};
use std::sync::Arc;

/// A state as bytes, and what it is of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Snapshot {
    pub(crate) meta: SnapshotMeta,
    pub(crate) bytes: Bytes,
}

/// Which of the two files that may be under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The node's own state.
    Taken,
    /// Another node's.
    Received,
}

/// The snapshots of one node.
#[derive(Clone, Debug, Default)]
pub(crate) struct Shelf {
    newest: Option<Arc<Snapshot>>,
    /// Kept for those who are reading it.
    previous: Option<Arc<Snapshot>>,
    taken: Option<Snapshot>,
    received: Option<Snapshot>,
    incoming: Incoming,
    staging: Vec<u8>,
}

impl Shelf {
    /// The newest snapshot that no crash takes away.
    pub(crate) fn newest(&self) -> Option<&Snapshot> {
        self.newest.as_deref()
    }

    /// Up to here a snapshot is on the disk.
    pub(crate) fn index(&self) -> LogIndex {
        self.newest().map_or(LogIndex::ZERO, |snapshot| snapshot.meta.index)
    }

    /// The file of this origin that waits for its sync.
    pub(crate) fn unsaved(&self, origin: Origin) -> Option<&Snapshot> {
        match origin {
            Origin::Taken => self.taken.as_ref(),
            Origin::Received => self.received.as_ref(),
        }
    }

    /// A snapshot of the node's own state is being written.
    pub(crate) fn take(&mut self, meta: SnapshotMeta, bytes: Vec<u8>) {
        self.taken = Some(Snapshot { meta, bytes: bytes.into() });
    }

    /// What to ask another node for.
    pub(crate) fn ask(&self) -> SnapshotMessage {
        self.incoming.ask()
    }

    /// The answer to one who asks, if there is anything to send.
    pub(crate) fn chunk(
        &self,
        of: Option<LogIndex>,
        offset: u64,
        size: usize,
    ) -> Option<SnapshotMessage> {
        let previous = self.previous.as_ref().filter(|one| of == Some(one.meta.index));
        let Snapshot { meta, bytes } = &**previous.or(self.newest.as_ref())?;
        let offset = asked_offset(of, offset, meta.index);
        let start = usize::try_from(offset).ok().filter(|start| *start <= bytes.len())?;
        let end = bytes.len().min(start + size);
        let last = end == bytes.len();
        Some(SnapshotMessage::chunk(meta.clone(), offset, bytes.slice(start..end), last))
    }

    /// A chunk came; `applied` is what the node has anyway. Says what to ask for next; `None` with
    /// a file under way if it was the last one.
    pub(crate) fn receive(
        &mut self,
        message: SnapshotMessage,
        applied: LogIndex,
    ) -> Option<Option<SnapshotMessage>> {
        if self.received.is_some() {
            return None; // One at a time.
        }
        let received = self.incoming.receive(message, applied)?;
        if received.first {
            self.staging.clear();
        }
        self.staging.extend_from_slice(&received.bytes);
        match received.then {
            Then::Ask(ask) => Some(Some(ask)),
            Then::Whole(meta) => {
                let bytes = std::mem::take(&mut self.staging).into();
                self.received = Some(Snapshot { meta, bytes });
                Some(None)
            }
        }
    }

    /// The snapshot of which pieces are waited for, while none is being written.
    pub(crate) fn awaited(&self) -> Option<LogIndex> {
        self.incoming.index().filter(|_| self.received.is_none())
    }

    /// The file is synced and has its name. `None` if there is a newer one by now.
    pub(crate) fn save(&mut self, origin: Origin) -> Option<Arc<Snapshot>> {
        let snapshot = match origin {
            Origin::Taken => self.taken.take(),
            Origin::Received => self.received.take(),
        };
        let snapshot = snapshot.filter(|one| one.meta.index > self.index())?;
        let snapshot = Arc::new(snapshot);
        self.previous = self.newest.replace(snapshot.clone());
        Some(snapshot)
    }

    /// Everything in memory is gone, and so are files without a name.
    pub(crate) fn crash(&mut self) {
        let (newest, previous) = (self.newest.take(), self.previous.take());
        *self = Self { newest, previous, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::Membership;

    fn meta(index: u64) -> SnapshotMeta {
        SnapshotMeta { index: LogIndex(index), epoch: 1, membership: Membership::default() }
    }

    #[test]
    fn a_crash_takes_a_file_that_has_no_name_yet() {
        let mut shelf = Shelf::default();
        shelf.take(meta(3), vec![3]);
        assert_eq!(shelf.index(), LogIndex::ZERO);
        shelf.crash();
        assert!(shelf.save(Origin::Taken).is_none());
        shelf.take(meta(3), vec![3]);
        shelf.save(Origin::Taken).expect("it is saved");
        shelf.take(meta(5), vec![5]);
        shelf.crash();
        assert_eq!(shelf.index(), LogIndex(3), "the old one is still there");
    }

    /// A slow reader of the snapshot before gets the rest of it.
    #[test]
    fn chunks_of_any_size_make_the_whole_and_the_previous_one_is_kept_for_readers() {
        let mut shelf = Shelf::default();
        for index in [3, 5] {
            shelf.take(meta(index), vec![index as u8; 10]);
            shelf.save(Origin::Taken).expect("it is saved");
        }
        for (of, value) in [(None, 5), (Some(LogIndex(3)), 3)] {
            let mut other = Shelf::default();
            let mut ask = SnapshotMessage::Ask { of, offset: 0 };
            loop {
                let SnapshotMessage::Ask { of, offset } = ask else { panic!("it asks") };
                let chunk = shelf.chunk(of, offset, 3).expect("there is one");
                match other.receive(chunk, LogIndex(1)).expect("it was asked for") {
                    Some(next) => ask = next,
                    None => break,
                }
            }
            let whole = other.save(Origin::Received).expect("it is whole");
            assert_eq!(*whole.bytes, [value; 10]);
        }
        assert!(Shelf::default().chunk(None, 0, 3).is_none(), "nothing to send");
    }
}
