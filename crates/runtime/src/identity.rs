//! Who lives in a data directory: `identity.toml`.
//!
//! A replica that lost its disk is not the replica that it was: it forgot what it promised, and
//! must not vote under its old name. So a directory is used only if its identity says that it is
//! this replica's, and a directory without an identity only if the operator says that this
//! replica never ran ([`NodeConfig::create`](crate::NodeConfig)). The file also counts the
//! starts, which keeps a restarted proposer from using a ballot of an earlier life, and holds a
//! random number that was drawn when the directory was set up: by it the others notice a replica
//! that comes back with another disk.

use crate::storage::Storage;
use crate::wal::{Floor, sync_dir};
use consensus_core::mutant::planted;
use consensus_core::{ClusterId, Incarnation, NodeId};
use serde::{Deserialize, Serialize};
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

/// The file's name.
const NAME: &str = "identity.toml";
/// Where its next content is prepared.
const NEXT: &str = "identity.toml.next";
const FORMAT: u32 = 2;

/// A data directory's own number, drawn when it was set up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct DiskId(pub(crate) u64);

impl fmt::Display for DiskId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

/// Who lives in a data directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Of which cluster.
    pub(crate) cluster: ClusterId,
    /// Which replica.
    pub(crate) node: NodeId,
    /// Which algorithm wrote the records.
    pub(crate) algorithm: String,
    /// The number of its last start.
    pub(crate) incarnation: Incarnation,
    /// The directory's own number.
    pub(crate) disk: DiskId,
    /// It joined a running cluster: it is not one of the first members.
    pub(crate) joined: bool,
    /// What its log was, synced, at the last start.
    pub(crate) log: Floor,
}

/// A data directory that this replica must not use.
#[derive(Debug)]
pub enum IdentityError {
    /// Nothing is there, and nobody said that the replica is new.
    Empty(PathBuf),
    /// The replica was said to be new, but it has an identity.
    Exists(PathBuf),
    /// There is a log with records, but nothing that says whose.
    LogWithoutIdentity(PathBuf),
    /// There is an identity, but its log is gone.
    IdentityWithoutLog(PathBuf),
    /// The identity file is of an earlier start than the log.
    Stale {
        /// The directory.
        dir: PathBuf,
        /// The last start that the identity file knows of.
        identity: Incarnation,
        /// The last start that wrote to the log.
        log: Incarnation,
    },
    /// It is the directory of something else.
    Foreign {
        /// The directory.
        dir: PathBuf,
        /// "cluster", "replica" or "algorithm".
        what: &'static str,
        /// What the directory says.
        found: String,
        /// What the configuration says.
        expected: String,
    },
    /// The replica is one of the first members and was told that it joins, or the other way round.
    Joined {
        /// The directory.
        dir: PathBuf,
        /// Did it join?
        joined: bool,
    },
    /// The file cannot be believed.
    Unreadable {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// The operating system refused something.
    Io {
        /// With which file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
}

impl fmt::Display for IdentityError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const FORGETS: &str = "a replica that forgets what it promised can make the cluster lose \
                               acknowledged commands";
        match self {
            Self::Empty(dir) => write!(
                f,
                "{} holds no replica. If this replica never ran, start it once as a new one (with \
                 `create`; on the command line `--init`). If it did run, its data is gone, and it \
                 must not come back under its old number: {FORGETS}",
                dir.display()
            ),
            Self::Exists(dir) => write!(
                f,
                "{} already holds a replica: start it without `create` (on the command line \
                 without `--init`), or name an empty directory",
                dir.display()
            ),
            Self::LogWithoutIdentity(dir) => write!(
                f,
                "{} holds a log but no {NAME}, so nothing says whose it is. Put the file back as \
                 it was; do not make a new one: {FORGETS}",
                dir.display()
            ),
            Self::IdentityWithoutLog(dir) => write!(
                f,
                "{} holds {NAME} but the log is gone. Put the log back as it was when the replica \
                 last stopped, or leave this replica switched off: {FORGETS}",
                dir.display()
            ),
            Self::Stale { dir, identity, log } => write!(
                f,
                "{NAME} in {} is an old copy: it knows of start {}, and the log was written to by \
                 start {}. Put it back as it was when the replica last stopped; {FORGETS}",
                dir.display(),
                identity.0,
                log.0
            ),
            Self::Foreign { dir, what, found, expected } => write!(
                f,
                "{} belongs to {what} {found}, but the configuration says {expected}: name the \
                 right directory, or correct the configuration",
                dir.display()
            ),
            Self::Joined { dir, joined: true } => write!(
                f,
                "the replica in {} joined a running cluster: start it with a cluster without \
                 voters, as it learned its members from the others",
                dir.display()
            ),
            Self::Joined { dir, joined: false } => write!(
                f,
                "the replica in {} is one of the first members of its cluster, and need not join \
                 it: start it with the voters that the cluster began with",
                dir.display()
            ),
            Self::Unreadable { path, why } => write!(
                f,
                "{} cannot be believed: {why}. Put it back as it was when the replica last \
                 stopped; do not edit it, and do not make a new one: {FORGETS}",
                path.display()
            ),
            Self::Io { path, source } => write!(f, "could not use {}: {source}", path.display()),
        }
    }
}

impl std::error::Error for IdentityError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}

/// The file as it is written.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    format: u32,
    cluster: String,
    node: u8,
    algorithm: String,
    disk: String,
    joined: bool,
    incarnation: u32,
    log_generation: u64,
    log_bytes: u64,
    checksum: String,
}

impl Identity {
    /// Reads the identity of a directory; `None` if it has none.
    pub(crate) fn load(storage: &dyn Storage, dir: &Path) -> Result<Option<Self>, IdentityError> {
        let path = dir.join(NAME);
        let text = match storage.open(&path, false).and_then(|mut file| file.read()) {
            Ok(bytes) => bytes,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(IdentityError::Io { path, source }),
        };
        let read = String::from_utf8(text).map_err(|_| "it is not text".to_string());
        match read.and_then(|text| Self::parse(&text)) {
            Ok(identity) => Ok(Some(identity)),
            Err(why) => Err(IdentityError::Unreadable { path, why }),
        }
    }

    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let written: Written = toml::from_str(text).map_err(|error| error.message().to_string())?;
        if written.format != FORMAT {
            return Err(format!("it has format {}; this program knows {FORMAT}", written.format));
        }
        let cluster = u128::from_str_radix(&written.cluster, 16)
            .map_err(|_| "the cluster is not a hexadecimal number".to_string())?;
        let disk = u64::from_str_radix(&written.disk, 16)
            .map_err(|_| "the disk is not a hexadecimal number".to_string())?;
        let log = Floor { generation: written.log_generation, bytes: written.log_bytes };
        let identity = Self {
            cluster: ClusterId(cluster),
            node: NodeId(written.node),
            algorithm: written.algorithm,
            incarnation: Incarnation(written.incarnation),
            disk: DiskId(disk),
            joined: written.joined,
            log,
        };
        // The whole text counts: a comment that changed means that somebody was here.
        if identity.to_text() != text && !planted("F03") {
            return Err(format!("its content does not fit its checksum, {}", written.checksum));
        }
        Ok(identity)
    }

    pub(crate) fn to_text(&self) -> String {
        let body = format!(
            "# Written by Synod at each start. Do not edit, copy to another replica, or delete.\n\
             format = {FORMAT}\ncluster = \"{}\"\nnode = {}\nalgorithm = \"{}\"\n\
             disk = \"{}\"\njoined = {}\nincarnation = {}\nlog_generation = {}\nlog_bytes = {}\n",
            self.cluster,
            self.node.0,
            self.algorithm,
            self.disk,
            self.joined,
            self.incarnation.0,
            self.log.generation,
            self.log.bytes
        );
        format!("{body}checksum = \"{:08x}\"\n", crc32fast::hash(body.as_bytes()))
    }

    /// Checks that this is the identity that the configuration names.
    pub(crate) fn expect(&self, dir: &Path, expected: &Self) -> Result<(), IdentityError> {
        let facts = [
            ("cluster", self.cluster.to_string(), expected.cluster.to_string()),
            ("replica", self.node.to_string(), expected.node.to_string()),
            ("algorithm", self.algorithm.clone(), expected.algorithm.clone()),
        ];
        for (what, found, expected) in facts {
            if found != expected {
                return Err(IdentityError::Foreign {
                    dir: dir.to_path_buf(),
                    what,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }

    /// Replaces the file, as a whole and durably.
    pub(crate) fn store(&self, storage: &dyn Storage, dir: &Path) -> Result<(), IdentityError> {
        let (path, next) = (dir.join(NAME), dir.join(NEXT));
        let replace = || -> io::Result<()> {
            if storage.length(&next)?.is_some() {
                storage.remove(&next)?;
            }
            let mut file = storage.open(&next, true)?;
            file.append(self.to_text().as_bytes())?;
            if !planted("D09") {
                file.sync()?;
            }
            storage.rename(&next, &path)
        };
        replace().map_err(|source| IdentityError::Io { path: path.clone(), source })?;
        if planted("D16") {
            return Ok(());
        }
        sync_dir(storage, &path).map_err(|error| IdentityError::Io {
            path: path.clone(),
            source: io::Error::other(error),
        })
    }
}

/// Whose data directory it is, as far as a program must know that starts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataOwner {
    /// Of which cluster.
    pub cluster: ClusterId,
    /// Which replica.
    pub node: NodeId,
    /// Which algorithm.
    pub algorithm: String,
    /// It joined a running cluster, and must be started with a cluster without voters.
    pub joined: bool,
}

/// Whose data directory this is; `None` if no replica lives there.
///
/// # Errors
/// If its identity file cannot be read or believed.
pub fn owner_of(dir: &Path) -> Result<Option<DataOwner>, IdentityError> {
    let identity = Identity::load(&crate::storage::Files, dir)?;
    Ok(identity.map(|identity| {
        let Identity { cluster, node, algorithm, joined, .. } = identity;
        DataOwner { cluster, node, algorithm, joined }
    }))
}

/// Does a replica live in this directory?
pub fn is_initialised(dir: &Path) -> bool {
    dir.join(NAME).exists()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scratch::Scratch;
    use crate::storage::Files;

    fn identity() -> Identity {
        Identity {
            cluster: ClusterId(0xfeed),
            node: NodeId(2),
            algorithm: "raft".into(),
            incarnation: Incarnation(7),
            disk: DiskId(0xd15c),
            joined: false,
            log: Floor { generation: 3, bytes: 40 },
        }
    }

    #[test]
    fn what_was_stored_is_loaded_and_an_empty_directory_has_no_identity() {
        let dir = Scratch::new("identity");
        assert_eq!(Identity::load(&Files, dir.path()).unwrap(), None);
        identity().store(&Files, dir.path()).unwrap();
        assert_eq!(Identity::load(&Files, dir.path()).unwrap(), Some(identity()));
    }

    /// A flipped bit may neither panic nor pass: an incarnation that went back would let a
    /// proposer use a ballot twice.
    #[test]
    fn every_flipped_bit_and_every_cut_is_noticed() {
        let dir = Scratch::new("identity-flips");
        let text = identity().to_text().into_bytes();
        let path = dir.path().join(NAME);
        for bit in 0..text.len() * 8 {
            let mut flipped = text.clone();
            flipped[bit / 8] ^= 1 << (bit % 8);
            std::fs::write(&path, flipped).unwrap();
            let loaded = Identity::load(&Files, dir.path());
            assert!(matches!(loaded, Err(IdentityError::Unreadable { .. })), "bit {bit}");
        }
        for length in 0..text.len() {
            std::fs::write(&path, &text[..length]).unwrap();
            let loaded = Identity::load(&Files, dir.path());
            assert!(matches!(loaded, Err(IdentityError::Unreadable { .. })), "length {length}");
        }
    }

    #[test]
    fn another_cluster_replica_or_algorithm_is_refused_by_name() {
        let mine = identity();
        let dir = Path::new("data");
        assert!(mine.expect(dir, &identity()).is_ok());
        let other = |change: fn(&mut Identity)| {
            let mut other = identity();
            change(&mut other);
            mine.expect(dir, &other).unwrap_err().to_string()
        };
        assert!(other(|i| i.cluster = ClusterId(1)).contains("cluster"));
        assert!(other(|i| i.node = NodeId(1)).contains("replica n2"));
        assert!(other(|i| i.algorithm = "pbft".into()).contains("algorithm raft"));
    }
}
