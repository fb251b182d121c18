//! Why a node did not start, and what to do then.

use crate::codec::CodecError;
use crate::identity::IdentityError;
use crate::wal::WalError;
use consensus_core::{ConfigError, LogIndex, RecoverError, RestoreError};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;

/// Why a node did not start. Nothing of it runs then.
#[derive(Debug)]
pub enum StartError {
    /// The cluster, or the algorithm in it, cannot be.
    Config(ConfigError),
    /// The node's own settings cannot be.
    Settings(String),
    /// The address is not a loopback address, and nobody said that this is wanted.
    Remote(SocketAddr),
    /// The address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// The data directory cannot be used.
    Directory(PathBuf, io::Error),
    /// Another process uses the data directory.
    Locked(PathBuf),
    /// The data directory is not this replica's.
    Identity(IdentityError),
    /// The log cannot be used.
    Log(WalError),
    /// A record of the log is none of this algorithm's.
    Record(u64, CodecError),
    /// The records contradict each other.
    Recover(RecoverError),
    /// The log begins where no snapshot ends that can be used.
    Snapshot {
        /// The data directory.
        dir: PathBuf,
        /// Everything up to here is forgotten by the log.
        purged: LogIndex,
        /// What is wrong with the snapshots.
        wrong: Vec<String>,
    },
    /// The state machine does not take the snapshot.
    Restore(PathBuf, RestoreError),
    /// The operating system gave no thread.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(f, "{error}"),
            Self::Settings(why) => f.write_str(why),
            Self::Remote(address) => write!(
                f,
                "{address} can be reached from other machines, and there is no encryption and no \
                 proof of who connects yet: listen on 127.0.0.1, or allow it with `allow_remote` \
                 (on the command line `--allow-remote`) in a network in which you trust everybody"
            ),
            Self::Listen(address, error) if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "could not listen on {address}: another process does. Stop it, or choose another \
                 port"
            ),
            Self::Listen(address, error) => write!(f, "could not listen on {address}: {error}"),
            Self::Directory(dir, error) => {
                write!(f, "could not use the data directory {}: {error}", dir.display())
            }
            Self::Locked(dir) => write!(
                f,
                "another process uses {}: a replica that still runs, most likely. Stop it first",
                dir.display()
            ),
            Self::Identity(error) => write!(f, "{error}"),
            Self::Log(error) => write!(f, "{error}"),
            Self::Record(number, error) => write!(
                f,
                "record {number} of the log is intact, but not one of this program's: {error}. Use \
                 the version of the program that wrote it"
            ),
            Self::Recover(error) => write!(f, "{error}"),
            Self::Snapshot { dir, purged, wrong } => write!(
                f,
                "the log in {} begins after index {purged}, and no snapshot there reaches so far: \
                 {}. Put back an exact copy of the data directory as it was when this replica last \
                 stopped; or remove this replica from the members, and add one with a new number \
                 and an empty directory: the others have the data",
                dir.display(),
                if wrong.is_empty() { "there is none".into() } else { wrong.join("; ") }
            ),
            Self::Restore(dir, error) => write!(
                f,
                "the snapshot in {} is whole, but {error}. Use the version of the program that \
                 wrote it",
                dir.display()
            ),
            Self::Thread(error) => write!(f, "could not start the log thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<IdentityError> for StartError {
    fn from(error: IdentityError) -> Self {
        Self::Identity(error)
    }
}

impl From<WalError> for StartError {
    fn from(error: WalError) -> Self {
        Self::Log(error)
    }
}
