//! Folders for the logs of a measurement, and what a sync costs on their disk.

use crate::samples::Samples;
use std::fs::{self, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

/// A folder that is removed, with everything in it, when this value goes.
#[derive(Debug)]
pub(crate) struct Folder {
    path: PathBuf,
}

impl Folder {
    /// A new folder in this one, which is made if it is not there.
    pub(crate) fn in_dir(dir: &Path) -> io::Result<Self> {
        static MADE: AtomicU64 = AtomicU64::new(0);
        fs::create_dir_all(dir)?;
        loop {
            let number = MADE.fetch_add(1, Ordering::Relaxed);
            let name = format!("synod-compare-{}-{number}", std::process::id());
            let path = dir.join(name);
            match fs::create_dir(&path) {
                Ok(()) => return Ok(Self { path }),
                // Left over from a process with the same number.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        // What cannot be removed stays; there is nobody left to tell.
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// What appending 512 bytes and syncing them costs on the disk under this folder.
pub(crate) fn probe(dir: &Path) -> io::Result<Samples> {
    const SYNCS: usize = 50;
    let folder = Folder::in_dir(dir)?;
    let path = folder.path().join("probe");
    let mut file = OpenOptions::new().create_new(true).append(true).open(path)?;
    let mut times = Vec::with_capacity(SYNCS);
    for _ in 0..SYNCS {
        let begun = Instant::now();
        file.write_all(&[0xa5; 512])?;
        file.sync_data()?;
        times.push(begun.elapsed());
    }
    Ok(Samples::of(times))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_new_and_goes_with_everything_in_it() {
        let one = Folder::in_dir(&std::env::temp_dir()).expect("a folder");
        let other = Folder::in_dir(&std::env::temp_dir()).expect("a folder");
        assert_ne!(one.path(), other.path());
        fs::write(one.path().join("log"), b"x").expect("written");
        let path = one.path().to_owned();
        drop(one);
        assert!(!path.exists() && other.path().exists());
    }
}
