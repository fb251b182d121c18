//! One process a data directory: two would write one log, and promise for each other.

use consensus_core::mutant::planted;
use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

/// The lock on a data directory. The operating system lets go of it when the process ends, however
/// it ends, so a left-over lock file locks nobody out.
#[derive(Debug)]
pub(crate) struct DirLock {
    file: File,
}

impl DirLock {
    /// Takes the lock, or says at once that another holder has it (`WouldBlock`).
    pub(crate) fn take(dir: &Path) -> io::Result<Self> {
        let path = dir.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file }),
            Err(TryLockError::WouldBlock) => Err(io::ErrorKind::WouldBlock.into()),
            Err(TryLockError::Error(error)) => Err(error),
        }
    }
}

/// To close the file is not enough: a process that is just being started has it open, too, until
/// its program is loaded, and the lock is on the file that they share.
impl Drop for DirLock {
    fn drop(&mut self) {
        if planted("N47") {
            return;
        }
        if let Err(error) = self.file.unlock() {
            tracing::warn!(%error, "could not unlock a data directory");
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::scratch::Scratch;

    /// Replicas are stopped and started within one process, which may start others meanwhile.
    #[test]
    pub(crate) fn the_lock_is_free_though_a_child_has_the_file_open() {
        let dir = Scratch::new("lock");
        let lock = DirLock::take(dir.path()).expect("nobody has it");
        let refused = DirLock::take(dir.path()).expect_err("it is taken");
        assert_eq!(refused.kind(), io::ErrorKind::WouldBlock);
        let _inherited = lock.file.try_clone().expect("as a child has it");
        drop(lock);
        DirLock::take(dir.path()).expect("it was let go of");
    }
}
