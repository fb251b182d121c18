//! Snapshots as the node loop sees them: when one is taken, what is asked of others, what is
//! given to them. The work itself is the snapshot thread's.

use super::Driver;
use crate::snapshots::{Order, SnapshotHandle};
use consensus_core::mutant::planted;
use consensus_core::{
    ConsensusProtocol, Executor, Incoming, LogIndex, Message, NodeId, NodeSet, SnapshotMessage,
    SnapshotMeta, StateMachine,
};

/// What the loop remembers about snapshots.
pub(crate) struct Snapshotting {
    pub(crate) thread: SnapshotHandle,
    pub(crate) incoming: Incoming,
    /// A piece is on its way to the disk: the next is asked for when it is there.
    pub(crate) staging: bool,
    /// Who asked for a piece that is being read.
    pub(crate) serving: NodeSet,
    /// The newest snapshot on disk covers everything up to here.
    pub(crate) newest: LogIndex,
    /// One is being taken.
    pub(crate) taking: bool,
    /// Bytes of records since the last one.
    since: u64,
    after: u64,
}

impl Snapshotting {
    pub(crate) fn new(thread: SnapshotHandle, newest: LogIndex, log: u64, after: u64) -> Self {
        let (incoming, serving) = (Incoming::new(), NodeSet::EMPTY);
        let (staging, taking) = (false, false);
        Self { thread, incoming, staging, serving, newest, taking, since: log, after }
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        self.since += bytes as u64;
    }

    /// Was so much written that it is time for one?
    pub(crate) fn is_due(&self) -> bool {
        self.since >= self.after && !self.taking
    }

    /// A piece of another replica's snapshot came. True if it goes to the disk; then no more is
    /// taken before the thread has answered. `index_in` is the index that a snapshot which begins
    /// with these bytes says that it is of.
    fn on_piece(
        &mut self,
        from: NodeId,
        (meta, message): (SnapshotMeta, SnapshotMessage),
        applied: LogIndex,
        index_in: fn(&[u8]) -> Option<LogIndex>,
    ) -> bool {
        if self.staging {
            return false;
        }
        let Some(received) = self.incoming.receive(message, applied) else { return false };
        let says = index_in(&received.bytes);
        if received.first && says != Some(meta.index) {
            tracing::error!(%from, index = %meta.index, ?says, "a snapshot is not what it says");
            self.incoming.abandon();
            return false;
        }
        self.staging = true;
        self.thread.order(Order::Stage { from, meta, received });
        true
    }

    /// The piece is on the disk.
    pub(crate) fn staged(&mut self) {
        self.staging = false;
    }

    /// The piece could not be kept, and with it is gone what was kept before it: the snapshot is
    /// asked for from its beginning.
    pub(crate) fn not_staged(&mut self) {
        self.staging = planted("N12");
        if !planted("N14") {
            self.incoming.abandon();
        }
    }

    /// Counts anew.
    pub(crate) fn counts_anew(&mut self) {
        self.since = 0;
    }
}

impl<P: ConsensusProtocol, S: StateMachine> Driver<P, S> {
    /// The replica lacks what others have forgotten. Said again and again, so that what got lost on
    /// the way is asked for again.
    pub(super) fn fetch(&mut self, from: NodeId) {
        if !self.snapshotting.staging {
            let ask = self.snapshotting.incoming.ask();
            self.say(from, ask);
        }
    }

    /// Sends a message about snapshots, if the algorithm has such.
    pub(crate) fn say(&mut self, to: NodeId, message: SnapshotMessage) {
        if let Some(message) = P::Message::snapshot(message) {
            self.said.push((to.into(), message));
        }
    }

    pub(super) fn on_snapshot(&mut self, from: NodeId, message: SnapshotMessage) {
        let mine = &mut self.snapshotting;
        let meta = match &message {
            SnapshotMessage::Ask { of, offset } => {
                // One piece at a time for each: who asks faster gets no more.
                if mine.serving.insert(from) {
                    mine.thread.order(Order::Serve { to: from, of: *of, offset: *offset });
                }
                return;
            }
            SnapshotMessage::Chunk { meta, .. } => meta.clone(),
        };
        let applied = self.executor.applied();
        mine.on_piece(from, (meta, message), applied, Executor::<S>::index_in);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::snapshots::{SnapshotEvent, Snapshots, start};
    use crate::storage::{Files, LogFile, Storage};
    use crate::wal::Owner;
    use bytes::Bytes;
    use consensus_core::{ClusterId, Membership, asked_offset};
    use std::io;
    use std::path::Path;
    use std::sync::Arc;
    use std::sync::atomic::{AtomicI64, Ordering};
    use tokio::sync::mpsc::unbounded_channel;

    const OWNER: Owner = Owner { cluster: ClusterId(5), node: NodeId(1) };
    const CHUNK: usize = 64;

    /// Plain files of which one call fails.
    #[derive(Clone)]
    struct Failing(Arc<AtomicI64>);

    impl Failing {
        /// Counts a call; the one at which zero is reached fails.
        fn call(&self) -> io::Result<()> {
            match self.0.fetch_sub(1, Ordering::Relaxed) {
                0 => Err(io::ErrorKind::StorageFull.into()),
                _ => Ok(()),
            }
        }
    }

    impl Storage for Failing {
        fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn LogFile>> {
            self.call()?;
            Ok(Box::new(FailingFile(Files.open(path, create)?, self.clone())))
        }

        fn length(&self, path: &Path) -> io::Result<Option<u64>> {
            self.call()?;
            Files.length(path)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            self.call()?;
            Files.rename(from, to)
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            self.call()?;
            Files.remove(path)
        }

        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            self.call()?;
            Files.sync_dir(dir)
        }
    }

    struct FailingFile(Box<dyn LogFile>, Failing);

    impl LogFile for FailingFile {
        fn read(&mut self) -> io::Result<Vec<u8>> {
            self.1.call()?;
            self.0.read()
        }

        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            self.1.call()?;
            self.0.append(bytes)
        }

        fn sync(&mut self) -> io::Result<()> {
            self.1.call()?;
            self.0.sync()
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            self.1.call()?;
            self.0.cut(length)
        }

        fn rewrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
            self.1.call()?;
            self.0.rewrite(at, bytes)
        }
    }

    fn index_in(bytes: &[u8]) -> Option<LogIndex> {
        Some(LogIndex(u64::from_le_bytes(*bytes.first_chunk()?)))
    }

    /// The snapshot that another replica has, from this byte on.
    fn piece(whole: &[u8], offset: u64) -> (SnapshotMeta, SnapshotMessage) {
        let membership = Membership::default();
        let meta = SnapshotMeta { index: LogIndex(9), epoch: 1, membership };
        let start = offset as usize;
        let end = (start + CHUNK).min(whole.len());
        let bytes = Bytes::copy_from_slice(&whole[start..end]);
        (meta.clone(), SnapshotMessage::chunk(meta, offset, bytes, end == whole.len()))
    }

    /// Receives a snapshot over a disk whose call of this number fails. True if one failed.
    fn receives(failing: i64) -> bool {
        let whole: Vec<u8> = 9u64.to_le_bytes().into_iter().chain(0..=180).collect();
        let (dir, calls) = (Scratch::new("receiving"), Arc::new(AtomicI64::new(i64::MAX)));
        let storage = Arc::new(Failing(Arc::clone(&calls)));
        let (snapshots, ..) =
            Snapshots::open(storage, dir.path(), OWNER, CHUNK).expect("an empty directory");
        calls.store(failing, Ordering::Relaxed);
        let (tell, mut events) = unbounded_channel();
        let (thread, _) = start("snapshots".into(), snapshots, tell).expect("a thread");
        let mut mine = Snapshotting::new(thread, LogIndex::ZERO, 0, u64::MAX);
        let (mut asked, mut kept, mut failed) = (mine.incoming.ask(), 0, false);
        for _ in 0..20 {
            let SnapshotMessage::Ask { of, offset } = asked else { panic!("no question") };
            assert_eq!(offset, kept, "call {failing}: asked on from where the disk is");
            let offset = asked_offset(of, offset, LogIndex(9));
            let piece = piece(&whole, offset);
            let taken = mine.on_piece(NodeId(0), piece, LogIndex::ZERO, index_in);
            assert!(taken, "call {failing}: what was asked for is taken");
            match events.blocking_recv().expect("the thread runs") {
                SnapshotEvent::Staged { ask, .. } => {
                    mine.staged();
                    (asked, kept) = (ask, offset + CHUNK as u64);
                }
                SnapshotEvent::NotStaged(_) => {
                    assert!(!failed, "call {failing}: it failed once only");
                    mine.not_staged();
                    (asked, kept, failed) = (mine.incoming.ask(), 0, true);
                }
                SnapshotEvent::Whole(newest) => {
                    assert_eq!(newest.bytes, whole);
                    return failed;
                }
                other => panic!("call {failing}: {other:?}"),
            }
        }
        panic!("call {failing}: the snapshot never comes")
    }

    /// Whichever call to its disk fails, a replica that receives a snapshot asks for it again from
    /// the beginning, at once, and has it.
    #[test]
    pub(crate) fn a_snapshot_comes_whichever_call_to_the_disk_fails() {
        let failed = (0..).take_while(|failing| receives(*failing)).count();
        assert!(failed > 12, "{failed} calls");
    }
}
