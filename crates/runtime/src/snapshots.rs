//! The snapshots of a replica, beside its log.
//!
//! There are two places for snapshots, and a new one takes that of the older: it is written under
//! another name, synced, and renamed. So there is always a whole one, and mostly two: a peer that
//! reads the older one is not disturbed by the newer, and if the newer turns out to be damaged when
//! the replica starts, the older one may do, if the log still begins where it ends.
//!
//! Nothing here stops a node. A snapshot that could not be written is one that was not taken.

mod file;
mod thread;

use file::{BadSnapshot, SnapshotFile, SnapshotWriter};
pub(crate) use file::{MAX_CHUNK, MIN_CHUNK};
pub(crate) use thread::{Order, SnapshotEvent, SnapshotHandle, start};

use crate::storage::Storage;
use crate::wal::Owner;
use consensus_core::mutant::planted;
use consensus_core::{LogIndex, SnapshotMessage, SnapshotMeta, asked_offset};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const SLOTS: [&str; 2] = ["snapshot.0", "snapshot.1"];
/// Where an own snapshot is prepared.
const NEXT: &str = "snapshot.next";
/// Where a snapshot of another replica is put together.
const INCOMING: &str = "snapshot.incoming";

/// The newest snapshot that can be used, as a start finds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Newest {
    pub(crate) meta: SnapshotMeta,
    pub(crate) bytes: Vec<u8>,
}

/// The snapshots in a data directory.
pub(crate) struct Snapshots {
    storage: Arc<dyn Storage>,
    dir: PathBuf,
    owner: Owner,
    chunk: usize,
    slots: [Option<SnapshotFile>; 2],
    incoming: Option<SnapshotWriter>,
}

impl Snapshots {
    /// Looks at what is there: the newest snapshot that is whole, and in words what is wrong with
    /// those that are newer than it.
    pub(crate) fn open(
        storage: Arc<dyn Storage>,
        dir: &Path,
        owner: Owner,
        chunk: usize,
    ) -> io::Result<(Self, Option<Newest>, Vec<String>)> {
        let dir = dir.to_path_buf();
        let slots = [None, None];
        let mut all = Self { storage, dir, owner, chunk, slots, incoming: None };
        let mut wrong = Vec::new();
        for left in [NEXT, INCOMING] {
            let path = all.dir.join(left);
            if all.storage.length(&path)?.is_some() {
                all.storage.remove(&path)?;
            }
        }
        for slot in 0..SLOTS.len() {
            match SnapshotFile::open(&*all.storage, &all.path(slot), owner) {
                Ok(file) => all.slots[slot] = file,
                Err(BadSnapshot::Io(error)) => return Err(error),
                Err(BadSnapshot::Damaged(why)) => wrong.push(all.complaint(slot, &why)),
            }
        }
        while let Some(slot) = all.newest() {
            let file = all.slots[slot].as_mut().expect("the newest is there");
            match file.read_all() {
                Ok(bytes) => {
                    let meta = file.meta.clone();
                    return Ok((all, Some(Newest { meta, bytes }), wrong));
                }
                Err(BadSnapshot::Io(error)) => return Err(error),
                Err(BadSnapshot::Damaged(why)) => {
                    wrong.push(all.complaint(slot, &why));
                    all.slots[slot] = None;
                }
            }
        }
        Ok((all, None, wrong))
    }

    fn path(&self, slot: usize) -> PathBuf {
        self.dir.join(SLOTS[slot])
    }

    fn complaint(&self, slot: usize, why: &str) -> String {
        format!("{} cannot be used: {why}", self.path(slot).display())
    }

    fn index(&self, slot: usize) -> Option<LogIndex> {
        self.slots[slot].as_ref().map(|file| file.meta.index)
    }

    fn newest(&self) -> Option<usize> {
        (0..SLOTS.len()).filter(|slot| self.slots[*slot].is_some()).max_by_key(|s| self.index(*s))
    }

    /// Keeps a snapshot of the own state. When this returns, it is durable.
    pub(crate) fn save(&mut self, meta: &SnapshotMeta, bytes: &[u8]) -> io::Result<()> {
        let saved = self.write(meta, bytes).and_then(|()| self.settle(NEXT));
        if saved.is_err() {
            self.clear_away(NEXT);
        }
        saved.map(drop)
    }

    fn write(&self, meta: &SnapshotMeta, bytes: &[u8]) -> io::Result<()> {
        let path = self.dir.join(NEXT);
        let mut writer =
            SnapshotWriter::create(&*self.storage, &path, self.owner, meta, self.chunk)?;
        writer.push(bytes)?;
        writer.finish()
    }

    /// Removes what is left of a snapshot that could not be kept. If the disk is full, that is what
    /// it is full of, and the log has no room to grow.
    fn clear_away(&self, name: &str) {
        if planted("N52") {
            return;
        }
        let path = self.dir.join(name);
        let left = self.storage.length(&path).map(|length| length.is_some());
        let removed = left.and_then(|left| if left { self.storage.remove(&path) } else { Ok(()) });
        if let Err(error) = removed {
            tracing::warn!(%error, name, "what is left of a snapshot could not be removed");
        }
    }

    /// Gives a finished file the place of the older snapshot, and says which that is.
    fn settle(&mut self, name: &str) -> io::Result<usize> {
        let newest = self.newest();
        let slot = newest.map_or(0, |newest| 1 - newest);
        let path = self.path(slot);
        self.slots[slot] = None;
        self.storage.rename(&self.dir.join(name), &path)?;
        if !planted("D20") {
            self.storage.sync_dir(&self.dir)?;
        }
        match SnapshotFile::open(&*self.storage, &path, self.owner) {
            Ok(file) => self.slots[slot] = file,
            Err(error) => return Err(io::Error::other(error.to_string())),
        }
        Ok(slot)
    }

    /// What an [`SnapshotMessage::Ask`] is answered with: a chunk of the snapshot that is asked
    /// for, if it is still there, else of the newest.
    pub(crate) fn chunk(&mut self, of: Option<LogIndex>, offset: u64) -> Option<SnapshotMessage> {
        let asked = (0..SLOTS.len()).find(|slot| of.is_some() && self.index(*slot) == of);
        let asked = asked.filter(|_| !planted("N23"));
        let slot = asked.or_else(|| self.newest())?;
        let file = self.slots[slot].as_mut()?;
        let offset = asked_offset(of, offset, file.meta.index);
        match file.read(offset) {
            Ok(Some((bytes, last))) => {
                Some(SnapshotMessage::chunk(file.meta.clone(), offset, bytes, last))
            }
            Ok(None) => None,
            Err(error) => {
                tracing::error!(slot = SLOTS[slot], %error, "a snapshot cannot be read");
                self.slots[slot] = None;
                None
            }
        }
    }

    /// Adds bytes to the snapshot that comes from another replica; `first` begins one anew.
    pub(crate) fn stage(
        &mut self,
        meta: &SnapshotMeta,
        first: bool,
        bytes: &[u8],
    ) -> io::Result<()> {
        if first {
            let path = self.dir.join(INCOMING);
            let (storage, owner) = (&*self.storage, self.owner);
            self.incoming = Some(SnapshotWriter::create(storage, &path, owner, meta, self.chunk)?);
        }
        match &mut self.incoming {
            Some(writer) => writer.push(bytes),
            None => Err(io::Error::other("the beginning of the snapshot is missing")),
        }
    }

    /// The snapshot of another replica is whole: keeps it, durably, and reads it.
    pub(crate) fn complete(&mut self) -> io::Result<Newest> {
        let Some(writer) = self.incoming.take() else {
            return Err(io::Error::other("no snapshot is coming"));
        };
        writer.finish()?;
        let slot = self.settle(INCOMING)?;
        let file = self.slots[slot].as_mut().expect("it was settled");
        let (meta, read) = (file.meta.clone(), file.read_all());
        if read.is_err() && !planted("N53") {
            // The newest keeps its place: the next one would take that of the one that is good.
            self.slots[slot] = None;
        }
        let bytes = read.map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Newest { meta, bytes })
    }

    /// What was received so far is of no use.
    pub(crate) fn abandon(&mut self) {
        self.incoming = None;
        self.clear_away(INCOMING);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::storage::{Files, LogFile};
    use crate::wal::FRAME;
    use consensus_core::{ClusterId, Membership, NodeId};
    use std::sync::atomic::{AtomicUsize, Ordering};

    const OWNER: Owner = Owner { cluster: ClusterId(5), node: NodeId(1) };
    const CHUNK: usize = 64;

    fn meta(index: u64) -> SnapshotMeta {
        let membership = Membership::default();
        SnapshotMeta { index: LogIndex(index), epoch: 1, membership }
    }

    fn open(dir: &Scratch, owner: Owner) -> (Snapshots, Option<Newest>, Vec<String>) {
        Snapshots::open(Arc::new(Files), dir.path(), owner, CHUNK).expect("a good disk")
    }

    /// Index, bytes, and whether they are the last, of what an `Ask` is answered with.
    fn given(all: &mut Snapshots, of: Option<u64>, offset: u64) -> (u64, Vec<u8>, bool) {
        match all.chunk(of.map(LogIndex), offset).expect("there is a snapshot") {
            SnapshotMessage::Chunk { meta, bytes, last, .. } => {
                (meta.index.0, bytes.to_vec(), last)
            }
            other => panic!("no chunk: {other:?}"),
        }
    }

    /// A directory that was mixed up with another's must not lend it its state.
    #[test]
    pub(crate) fn a_snapshot_of_another_replica_or_cluster_is_not_taken() {
        let dir = Scratch::new("snapshots");
        open(&dir, OWNER).0.save(&meta(3), b"of this replica").expect("a good disk");
        let others = [
            Owner { cluster: ClusterId(6), ..OWNER },
            Owner { cluster: ClusterId(5 + (1 << 100)), ..OWNER },
            Owner { node: NodeId(2), ..OWNER },
        ];
        for other in others {
            let (_, newest, wrong) = open(&dir, other);
            assert_eq!((newest, wrong.len()), (None, 1), "{other:?}");
            assert!(wrong[0].contains("another replica or cluster"), "{wrong:?}");
        }
        let (_, newest, wrong) = open(&dir, OWNER);
        assert_eq!(newest.map(|newest| newest.meta), Some(meta(3)));
        assert!(wrong.is_empty());
    }

    /// Who is in the midst of the older of two snapshots goes on with it; who asks for one that is
    /// gone, or for any, gets the newest from its beginning.
    #[test]
    pub(crate) fn who_asks_for_the_older_snapshot_gets_on_with_it() {
        let dir = Scratch::new("snapshots");
        let (mut all, ..) = open(&dir, OWNER);
        for index in [3, 5, 7] {
            all.save(&meta(index), &[index as u8; 3 * CHUNK]).expect("a good disk");
        }
        for (of, offset, index) in
            [(Some(5), 64, 5), (Some(7), 64, 7), (Some(3), 64, 7), (None, 0, 7), (Some(9), 0, 7)]
        {
            let (from, bytes, last) = given(&mut all, of, offset);
            assert_eq!((from, bytes, last), (index, vec![index as u8; CHUNK], false), "{of:?}");
        }
    }

    /// A snapshot of any length comes whole, chunk by chunk, from wherever the last one ended.
    #[test]
    pub(crate) fn snapshots_of_all_lengths_are_given_whole() {
        let dir = Scratch::new("snapshots");
        let (mut all, ..) = open(&dir, OWNER);
        for length in (1..=3 * CHUNK + 1).step_by(21).chain([63, 65, 127, 128, 129, 192]) {
            let index = all.newest().map_or(0, |newest| all.index(newest).expect("it is").0) + 1;
            let whole: Vec<u8> = (0..length).map(|at| at as u8).collect();
            all.save(&meta(index), &whole).expect("a good disk");
            let mut kept = Vec::new();
            for last in (0..4).map(|chunk| length <= (chunk + 1) * CHUNK) {
                let (_, bytes, is_last) = given(&mut all, Some(index), kept.len() as u64);
                assert_eq!(is_last, last, "{length} bytes, of which {} are kept", kept.len());
                kept.extend(bytes);
                if last {
                    break;
                }
            }
            assert_eq!(kept, whole);
        }
    }

    /// A disk with room for so many bytes more. If it is worn, it keeps other chunks than it is
    /// given.
    #[derive(Clone)]
    struct Poor {
        room: Arc<AtomicUsize>,
        worn: bool,
    }

    impl Poor {
        fn new(room: usize, worn: bool) -> Self {
            Self { room: Arc::new(AtomicUsize::new(room)), worn }
        }
    }

    impl Storage for Poor {
        fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn LogFile>> {
            Ok(Box::new(PoorFile(Files.open(path, create)?, self.clone())))
        }

        fn length(&self, path: &Path) -> io::Result<Option<u64>> {
            Files.length(path)
        }

        fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
            Files.rename(from, to)
        }

        fn remove(&self, path: &Path) -> io::Result<()> {
            let length = Files.length(path)?.unwrap_or_default();
            Files.remove(path)?;
            self.room.fetch_add(length as usize, Ordering::Relaxed);
            Ok(())
        }

        fn sync_dir(&self, dir: &Path) -> io::Result<()> {
            Files.sync_dir(dir)
        }
    }

    struct PoorFile(Box<dyn LogFile>, Poor);

    impl LogFile for PoorFile {
        fn read(&mut self) -> io::Result<Vec<u8>> {
            self.0.read()
        }

        fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
            let mut bytes = bytes.to_vec();
            if self.1.worn && bytes.len() == FRAME + CHUNK {
                bytes[FRAME] ^= 1;
            }
            let less = |room: usize| Some(room.saturating_sub(bytes.len()));
            let room = self.1.room.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less);
            let room = room.unwrap_or_default().min(bytes.len());
            self.0.append(&bytes[..room])?;
            if room < bytes.len() { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
        }

        fn sync(&mut self) -> io::Result<()> {
            self.0.sync()
        }

        fn cut(&mut self, length: u64) -> io::Result<()> {
            self.0.cut(length)
        }

        fn rewrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
            self.0.rewrite(at, bytes)
        }
    }

    /// A snapshot that a disk has no room for, of the own state or another replica's, leaves it as
    /// it was: with room for the log.
    #[test]
    pub(crate) fn a_snapshot_that_could_not_be_kept_takes_no_room() {
        let (dir, before) = (Scratch::new("snapshots"), 6 * CHUNK);
        let poor = Poor::new(before, false);
        let storage = Arc::new(poor.clone());
        let (mut all, ..) =
            Snapshots::open(storage, dir.path(), OWNER, CHUNK).expect("an empty directory");
        let room = || poor.room.load(Ordering::Relaxed);
        let long = vec![7; 9 * CHUNK];
        let full = all.save(&meta(3), &long).expect_err("there is no room for it");
        assert_eq!((full.kind(), room()), (io::ErrorKind::StorageFull, before));
        all.stage(&meta(3), true, &long[..CHUNK]).expect("room for a piece");
        all.stage(&meta(3), false, &long).expect_err("there is no room for the rest");
        all.abandon();
        assert_eq!(room(), before);
        all.save(&meta(3), &long[..CHUNK]).expect("room for a short one");
    }

    /// Snapshots of others that turn out to be damaged, one after the other, do not take the place
    /// of the one that is good, behind which the log begins.
    #[test]
    pub(crate) fn the_good_snapshot_is_not_given_up_for_damaged_ones() {
        let dir = Scratch::new("snapshots");
        let mut all = open(&dir, OWNER).0;
        all.save(&meta(3), b"good").expect("a good disk");
        all.storage = Arc::new(Poor::new(usize::MAX, true));
        for index in [5, 6, 7] {
            all.stage(&meta(index), true, &[1; CHUNK]).expect("it is kept, somehow");
            all.complete().expect_err("it is damaged");
        }
        assert_eq!(open(&dir, OWNER).1.map(|newest| newest.meta), Some(meta(3)));
    }
}
