//! The seam between a data directory and the disk, so that the same log and the same identity file
//! run over a disk that loses what was not synced, or fails.
//!
//! A process that is killed leaves its written bytes in the page cache: `kill -9` alone therefore
//! never shows a promise that left before its sync. [`DiscardUnsynced`] keeps written bytes in the
//! memory of the process until they are synced, so that a kill loses them as a power cut would.

use consensus_core::mutant::planted;
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Where a data directory is kept: its files and their names.
pub trait Storage: Send + Sync {
    /// Opens a file for reading and appending, and creates it if `create` says so. Its name is
    /// durable after [`sync_dir`](Self::sync_dir).
    ///
    /// # Errors
    /// If the operating system refuses; with `create`, also if the file is there already.
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn LogFile>>;

    /// The length of a file; `None` if there is none of this name.
    ///
    /// # Errors
    /// If the operating system does not tell.
    fn length(&self, path: &Path) -> io::Result<Option<u64>>;

    /// Gives a file another name, in place of the file that had it. Durable after
    /// [`sync_dir`](Self::sync_dir).
    ///
    /// # Errors
    /// If the operating system refuses.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file. Durable after [`sync_dir`](Self::sync_dir).
    ///
    /// # Errors
    /// If the operating system refuses.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Returns when the names in this directory survive a power cut.
    ///
    /// # Errors
    /// If that cannot be promised.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// A file that grows at its end.
pub trait LogFile: Send {
    /// The whole content.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read(&mut self) -> io::Result<Vec<u8>>;

    /// Up to so many bytes from this place on; fewer only where the file ends.
    ///
    /// # Errors
    /// If they cannot be read.
    fn read_at(&mut self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        let all = self.read()?;
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(all.len());
        let to = from.saturating_add(length).min(all.len());
        Ok(all[from..to].to_vec())
    }

    /// Writes at the end. Not durable before [`sync`](Self::sync).
    ///
    /// # Errors
    /// If not everything was written; what the file holds is then unknown.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// Returns when everything that was appended survives a power cut.
    ///
    /// # Errors
    /// If that cannot be promised. A later success would say nothing about what was written
    /// before: the caller must not try again.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file, which must not grow by it, and syncs.
    ///
    /// # Errors
    /// If the operating system refuses.
    fn cut(&mut self, length: u64) -> io::Result<()>;

    /// Writes bytes that stand there already once more, so that the next [`sync`](Self::sync)
    /// covers them even if an earlier sync of them failed. A system that could not write a page
    /// may keep it in its cache and call it clean: then it is read, but it is on no disk, and no
    /// further sync tells.
    ///
    /// # Errors
    /// If not everything was written.
    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()>;
}

/// Plain files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files;

impl Storage for Files {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(PlainFile(open_plain(path, create)?)))
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        match std::fs::metadata(path) {
            Ok(file) => Ok(Some(file.len())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        std::fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        std::fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        File::open(dir)?.sync_all()
    }
}

/// Not in append mode, which would send a rewritten byte to the end, too.
fn open_plain(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create_new(create).open(path)
}

struct PlainFile(File);

impl LogFile for PlainFile {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.seek(SeekFrom::Start(0))?;
        self.0.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn read_at(&mut self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        self.0.seek(SeekFrom::Start(at))?;
        let mut bytes = Vec::new();
        (&mut self.0).take(length as u64).read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::End(0))?;
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        if planted("N09") {
            return Ok(());
        }
        self.0.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)?;
        self.0.sync_all()
    }

    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.seek(SeekFrom::Start(at))?;
        self.0.write_all(bytes)
    }
}

/// Files that lose at a kill what was not synced. For tests of a real cluster; slower, and never
/// safer, than [`Files`].
#[derive(Clone, Copy, Debug, Default)]
pub struct DiscardUnsynced;

impl Storage for DiscardUnsynced {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn LogFile>> {
        let file = PlainFile(open_plain(path, create)?);
        Ok(Box::new(ForgetfulFile { file, unsynced: Vec::new() }))
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        Files.length(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Files.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Files.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        Files.sync_dir(dir)
    }
}

struct ForgetfulFile {
    file: PlainFile,
    unsynced: Vec<u8>,
}

impl LogFile for ForgetfulFile {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = self.file.read()?;
        bytes.extend_from_slice(&self.unsynced);
        Ok(bytes)
    }

    fn read_at(&mut self, at: u64, length: usize) -> io::Result<Vec<u8>> {
        if self.unsynced.is_empty() {
            return self.file.read_at(at, length);
        }
        let all = self.read()?;
        let from = usize::try_from(at).unwrap_or(usize::MAX).min(all.len());
        Ok(all[from..from.saturating_add(length).min(all.len())].to_vec())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.unsynced.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.append(&self.unsynced)?;
        self.unsynced.clear();
        self.file.sync()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.sync()?;
        self.file.cut(length)
    }

    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.file.rewrite(at, bytes)
    }
}
