//! A data directory: the identity of a replica, its log and its snapshots, opened and set up so
//! that a crash at any moment of it leaves a directory that can be opened or set up again.

use crate::identity::{DiskId, Identity, IdentityError};
use crate::snapshots::{Newest, Snapshots};
use crate::start_error::StartError;
use crate::storage::Storage;
use crate::wal::{Floor, Owner, Recovered, SyncPolicy, Wal, next_of, sync_dir};
use bytes::Bytes;
use consensus_core::Incarnation;
use consensus_core::mutant::planted;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The log's name in the data directory.
const LOG: &str = "wal.log";

/// Where a replica's data is, and whose it must be.
pub(crate) struct Directory<'a> {
    pub(crate) storage: Arc<dyn Storage>,
    pub(crate) dir: &'a Path,
    pub(crate) owner: Owner,
    pub(crate) algorithm: &'a str,
    /// Bytes in a chunk of a snapshot.
    pub(crate) chunk: usize,
}

/// Is the replica new?
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Newness {
    /// It ran before.
    Old,
    /// It never ran, and is one of the first members of its cluster.
    First,
    /// It never ran, and joins a running cluster.
    Joins,
}

/// A directory that was opened. Nothing may be promised before [`begin`](Self::begin).
pub(crate) struct Opened {
    pub(crate) records: Vec<Bytes>,
    /// The newest snapshot that is whole.
    pub(crate) snapshot: Option<Newest>,
    /// What is wrong with newer ones.
    pub(crate) wrong: Vec<String>,
    pub(crate) identity: Identity,
    pub(crate) snapshots: Snapshots,
    synced: Floor,
    wal: Wal,
}

impl Directory<'_> {
    fn log(&self) -> PathBuf {
        self.dir.join(LOG)
    }

    /// What its identity must say.
    fn expected(&self) -> Identity {
        Identity {
            cluster: self.owner.cluster,
            node: self.owner.node,
            algorithm: self.algorithm.to_string(),
            incarnation: Incarnation(0),
            disk: DiskId(0),
            joined: false,
            log: Floor::default(),
        }
    }

    /// Opens the directory, or sets it up if the replica is said to be new.
    pub(crate) fn open(&self, newness: Newness, policy: SyncPolicy) -> Result<Opened, StartError> {
        let dir = || self.dir.to_path_buf();
        let storage = &*self.storage;
        let identity = match Identity::load(storage, self.dir)? {
            Some(_) if newness != Newness::Old => {
                return Err(IdentityError::Exists(dir()).into());
            }
            Some(identity) => {
                // A start that failed may have left the name in memory only. Once the log says more
                // than nothing, a directory without an identity could not be set up again.
                if !planted("D34") {
                    sync_dir(storage, &self.log())?;
                }
                identity
            }
            None if newness == Newness::Old && planted("D05") => {
                self.create(Newness::First, policy)?
            }
            None => self.create(newness, policy)?,
        };
        identity.expect(self.dir, &self.expected())?;
        let path = self.log();
        if self.length_of(&path)?.is_none() {
            return Err(IdentityError::IdentityWithoutLog(dir()).into());
        }
        if self.length_of(&next_of(&path))?.is_some() {
            // A compaction did not come to its end.
            let next = next_of(&path);
            let done =
                if planted("D31") { storage.rename(&next, &path) } else { storage.remove(&next) };
            done.map_err(|error| self.unusable(error))?;
        }
        let Recovered { wal, records, synced, incarnation, .. } =
            Wal::open(storage, &path, self.owner, policy, identity.log)?;
        if incarnation > identity.incarnation && !planted("D22") {
            let (identity, log) = (identity.incarnation, incarnation);
            return Err(IdentityError::Stale { dir: dir(), identity, log }.into());
        }
        let synced = Floor { generation: wal.generation(), bytes: synced };
        let opened = Snapshots::open(Arc::clone(&self.storage), self.dir, self.owner, self.chunk);
        let (snapshots, snapshot, wrong) = opened.map_err(|error| self.unusable(error))?;
        Ok(Opened { records, snapshot, wrong, identity, snapshots, synced, wal })
    }

    fn length_of(&self, path: &Path) -> Result<Option<u64>, StartError> {
        self.storage.length(path).map_err(|error| self.unusable(error))
    }

    fn unusable(&self, error: io::Error) -> StartError {
        StartError::Directory(self.dir.to_path_buf(), error)
    }

    /// Sets the directory up for a replica that never ran: first the log, then the identity, which
    /// makes it count.
    fn create(&self, newness: Newness, policy: SyncPolicy) -> Result<Identity, StartError> {
        let dir = || self.dir.to_path_buf();
        let path = self.log();
        let storage = &*self.storage;
        let left = self.length_of(&path)?;
        // A log without records may be what an earlier attempt left; others are somebody's.
        if left.is_some_and(|length| !Wal::is_unused(length)) {
            return Err(IdentityError::LogWithoutIdentity(dir()).into());
        }
        if newness == Newness::Old {
            return Err(IdentityError::Empty(dir()).into());
        }
        if left.is_some() {
            storage.remove(&path).map_err(|error| self.unusable(error))?;
        }
        drop(Wal::create(storage, &path, self.owner, policy)?);
        let disk = DiskId(crate::chance::Chance::from_system().next());
        let identity = Identity { disk, joined: newness == Newness::Joins, ..self.expected() };
        identity.store(storage, self.dir)?;
        Ok(identity)
    }
}

/// A directory whose start was counted.
pub(crate) struct Begun {
    pub(crate) wal: Wal,
    pub(crate) snapshots: Snapshots,
    pub(crate) identity: Identity,
}

impl Opened {
    /// Counts this start, durably, and hands out the log.
    pub(crate) fn begin(self, directory: &Directory<'_>) -> Result<Begun, StartError> {
        let Self { mut identity, synced, mut wal, snapshots, .. } = self;
        let next = identity.incarnation.0.checked_add(1);
        identity.incarnation = Incarnation(next.ok_or_else(|| {
            let why = "the replica has started 4,294,967,295 times".to_string();
            IdentityError::Unreadable { path: directory.dir.to_path_buf(), why }
        })?);
        identity.log = synced;
        identity.store(&*directory.storage, directory.dir)?;
        wal.begin(identity.incarnation)?;
        Ok(Begun { wal, snapshots, identity })
    }
}
