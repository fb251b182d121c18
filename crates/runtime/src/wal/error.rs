//! What can be wrong with a log, and what to do then.

use super::Owner;
use consensus_core::RecordNumber;
use std::fmt;
use std::io;
use std::path::PathBuf;

/// A log that cannot be used, or can no longer be used.
#[derive(Debug)]
pub enum WalError {
    /// The operating system refused something.
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Its answer.
        source: io::Error,
    },
    /// The file does not begin like a log of this program.
    BadHeader {
        /// The file.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// The file is the log of another replica or cluster.
    Foreign {
        /// The file.
        path: PathBuf,
        /// Whose it is.
        found: Owner,
        /// Whose it should be.
        expected: Owner,
    },
    /// Something that was synced, and so may have been promised, can no longer be read.
    Damaged {
        /// The file.
        path: PathBuf,
        /// Where the damage begins.
        offset: u64,
        /// The number of the record that should stand there.
        record: RecordNumber,
        /// The seal behind it that proves that it was synced.
        sealed: u64,
    },
    /// The file is shorter than it was: its end is missing.
    Shorter {
        /// The file.
        path: PathBuf,
        /// Its usable length.
        found: u64,
        /// The length that was durable at an earlier start.
        expected: u64,
    },
    /// The file is an old copy: the log was replaced since.
    Older {
        /// The file.
        path: PathBuf,
        /// How often it had been replaced then.
        found: u64,
        /// How often it had been replaced at the last start.
        expected: u64,
    },
    /// A record is too long for a frame.
    TooLong(usize),
    /// An earlier write or sync failed: what the file holds is unknown, and it is not used again.
    Poisoned,
}

const KEEP: &str = "Nothing was changed. Do not delete the file and start empty: a replica that \
                    forgets what it promised can make the cluster lose acknowledged commands. Put \
                    back an exact copy of the data directory as it was when this replica last \
                    stopped, or leave this replica switched off; the others have the data";

impl fmt::Display for WalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io { action, path, source } => {
                write!(f, "could not {action} {}: {source}", path.display())
            }
            Self::BadHeader { path, why } => {
                write!(f, "{} is not a log that can be read: {why}. {KEEP}", path.display())
            }
            Self::Foreign { path, found, expected } => write!(
                f,
                "{} is the log of {} of cluster {}, not of {} of cluster {}: check the data \
                 directory in the configuration",
                path.display(),
                found.node,
                found.cluster,
                expected.node,
                expected.cluster
            ),
            Self::Damaged { path, offset, record, sealed } => write!(
                f,
                "{} is damaged at byte {offset}: record {} cannot be read, although it was synced \
                 (there is a seal at byte {sealed}). {KEEP}",
                path.display(),
                record.0
            ),
            Self::Shorter { path, found, expected } => write!(
                f,
                "{} has lost its end: {found} bytes are left of at least {expected} that were \
                 synced. {KEEP}",
                path.display()
            ),
            Self::Older { path, found, expected } => write!(
                f,
                "{} is an old copy: it had been replaced {found} times, and at the last start it \
                 was {expected}. {KEEP}",
                path.display()
            ),
            Self::TooLong(length) => write!(f, "a record of {length} bytes is too long"),
            Self::Poisoned => f.write_str("an earlier write to the log failed"),
        }
    }
}

impl std::error::Error for WalError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Io { source, .. } => Some(source),
            _ => None,
        }
    }
}
