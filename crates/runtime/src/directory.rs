//! A data directory: the identity of a replica and its log, opened and set up so that a crash at
//! any moment of it leaves a directory that can be opened or set up again.

use crate::identity::{Identity, IdentityError};
use crate::start::StartError;
use crate::storage::Storage;
use crate::wal::{Owner, Recovered, SyncPolicy, Wal, sync_dir};
use bytes::Bytes;
use consensus_core::Incarnation;
use consensus_core::mutant::planted;
use std::io;
use std::path::{Path, PathBuf};

/// The log's name in the data directory.
const LOG: &str = "wal.log";

/// Where a replica's data is, and whose it must be.
pub(crate) struct Directory<'a> {
    pub(crate) storage: &'a dyn Storage,
    pub(crate) dir: &'a Path,
    pub(crate) owner: Owner,
    pub(crate) algorithm: &'a str,
}

/// A directory that was opened. Nothing may be promised before [`begin`](Self::begin).
pub(crate) struct Opened {
    pub(crate) records: Vec<Bytes>,
    identity: Identity,
    synced: u64,
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
            log_bytes: 0,
        }
    }

    /// Opens the directory, or sets it up if the replica is said to be new.
    pub(crate) fn open(&self, create: bool, policy: SyncPolicy) -> Result<Opened, StartError> {
        let dir = || self.dir.to_path_buf();
        let identity = match Identity::load(self.storage, self.dir)? {
            Some(_) if create => return Err(IdentityError::Exists(dir()).into()),
            Some(identity) => {
                // A start that failed may have left the name in memory only. Once the log says more
                // than nothing, a directory without an identity could not be set up again.
                sync_dir(self.storage, &self.log())?;
                identity
            }
            None => self.create(create || planted("D05"), policy)?,
        };
        identity.expect(self.dir, &self.expected())?;
        let path = self.log();
        if self.length_of(&path)?.is_none() {
            return Err(IdentityError::IdentityWithoutLog(dir()).into());
        }
        let Recovered { wal, records, synced, .. } =
            Wal::open(self.storage, &path, self.owner, policy, identity.log_bytes)?;
        Ok(Opened { records, identity, synced, wal })
    }

    fn length_of(&self, path: &Path) -> Result<Option<u64>, StartError> {
        self.storage.length(path).map_err(|error| self.unusable(error))
    }

    fn unusable(&self, error: io::Error) -> StartError {
        StartError::Directory(self.dir.to_path_buf(), error)
    }

    /// Sets the directory up for a replica that never ran: first the log, then the identity, which
    /// makes it count.
    fn create(&self, create: bool, policy: SyncPolicy) -> Result<Identity, StartError> {
        let dir = || self.dir.to_path_buf();
        let path = self.log();
        let left = self.length_of(&path)?;
        // A log without records may be what an earlier attempt left; others are somebody's.
        if left.is_some_and(|length| !Wal::is_unused(length)) {
            return Err(IdentityError::LogWithoutIdentity(dir()).into());
        }
        if !create {
            return Err(IdentityError::Empty(dir()).into());
        }
        if left.is_some() {
            self.storage.remove(&path).map_err(|error| self.unusable(error))?;
        }
        drop(Wal::create(self.storage, &path, self.owner, policy)?);
        let identity = self.expected();
        identity.store(self.storage, self.dir)?;
        Ok(identity)
    }
}

impl Opened {
    /// Counts this start, durably, and hands out the log.
    pub(crate) fn begin(self, directory: &Directory<'_>) -> Result<(Wal, Incarnation), StartError> {
        let Self { mut identity, synced, wal, .. } = self;
        let next = identity.incarnation.0.checked_add(1);
        identity.incarnation = Incarnation(next.ok_or_else(|| {
            let why = "the replica has started 4,294,967,295 times".to_string();
            IdentityError::Unreadable { path: directory.dir.to_path_buf(), why }
        })?);
        identity.log_bytes = synced;
        identity.store(directory.storage, directory.dir)?;
        Ok((wal, identity.incarnation))
    }
}
