//! A file in which a long command keeps how far it is, so that it can go on from there.

use crate::exit::Failure;
use crate::files::cannot;
use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};

/// The file. One process has it at a time; the lock goes with the process, however it ends.
#[derive(Debug)]
pub(crate) struct KeptFile {
    path: PathBuf,
    _lock: File,
}

impl KeptFile {
    /// Takes the file for this process.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let beside = beside(path, "lock");
        let lock = File::create(&beside).map_err(|error| cannot("write", &beside, &error))?;
        lock.try_lock().map_err(|error| match error {
            fs::TryLockError::WouldBlock => {
                Failure::usage(format!("another process is at work on {}", path.display()))
            }
            fs::TryLockError::Error(error) => cannot("lock", &beside, &error),
        })?;
        Ok(Self { path: path.to_owned(), _lock: lock })
    }

    /// Its name.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// What an earlier process left there, if one did.
    pub(crate) fn read(&self) -> Result<Option<Vec<u8>>, Failure> {
        if !self.path.exists() {
            return Ok(None);
        }
        fs::read(&self.path).map(Some).map_err(|error| cannot("read", &self.path, &error))
    }

    /// Writes it in one piece: whatever kills this process, the file holds this or the last.
    pub(crate) fn write(&self, content: &[u8]) -> Result<(), Failure> {
        let new = beside(&self.path, "new");
        let written = File::create(&new).and_then(|mut file| {
            file.write_all(content)?;
            file.sync_all()?;
            fs::rename(&new, &self.path)
        });
        written.map_err(|error| cannot("write", &self.path, &error))
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".");
    name.push(ending);
    path.with_file_name(name)
}
