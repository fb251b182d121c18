//! The seam between the log and the disk, so that the same log runs over a disk that loses what
//! was not synced.
//!
//! A process that is killed leaves its written bytes in the page cache: `kill -9` alone therefore
//! never shows a promise that left before its sync. [`DiscardUnsynced`] keeps written bytes in the
//! memory of the process until they are synced, so that a kill loses them as a power cut would.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Opens log files.
pub trait Storage: Send + Sync {
    /// Opens a file for reading and appending, and creates it if `create` says so.
    ///
    /// # Errors
    /// If the operating system refuses; with `create`, also if the file is there already.
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn LogFile>>;
}

/// A file that grows at its end.
pub trait LogFile: Send {
    /// The whole content.
    ///
    /// # Errors
    /// If it cannot be read.
    fn read(&mut self) -> io::Result<Vec<u8>>;

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
}

/// Plain files.
#[derive(Clone, Copy, Debug, Default)]
pub struct Files;

impl Storage for Files {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(PlainFile(open_plain(path, create)?)))
    }
}

fn open_plain(path: &Path, create: bool) -> io::Result<File> {
    OpenOptions::new().read(true).append(true).create_new(create).open(path)
}

struct PlainFile(File);

impl LogFile for PlainFile {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        let mut bytes = Vec::new();
        self.0.seek(SeekFrom::Start(0))?;
        self.0.read_to_end(&mut bytes)?;
        Ok(bytes)
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)?;
        self.0.sync_all()
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
}
