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
        let path = self.dir.join(NEXT);
        let mut writer =
            SnapshotWriter::create(&*self.storage, &path, self.owner, meta, self.chunk)?;
        writer.push(bytes)?;
        writer.finish()?;
        self.settle(NEXT).map(drop)
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
        let bytes = file.read_all().map_err(|error| io::Error::other(error.to_string()))?;
        Ok(Newest { meta: file.meta.clone(), bytes })
    }

    /// What was received so far is of no use.
    pub(crate) fn abandon(&mut self) {
        self.incoming = None;
    }
}
