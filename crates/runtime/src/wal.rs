//! The write-ahead log: one file that holds a replica's records, grows until it is replaced by a
//! shorter one, and tells a write that was cut short from damage to something that was promised.
//!
//! ```text
//! header   magic 8 · format 2 · node 1 · 0 1 · cluster 16 · salt 8 · generation 8
//!          · born 8 · start 4 · crc 4
//! frame    length 4 · kind 1 · crc 4 · payload
//! kinds    1: a record, 2: a seal, 3: a start of the replica (its number)
//! ```
//!
//! All numbers are little endian. A frame's checksum covers the file's random salt, the frame's
//! own position, its length, its kind and its payload, so that a well-formed frame of another
//! file or another place is no frame here.
//!
//! # Torn or damaged?
//!
//! A crash may leave any part of what was not synced, in any order of pages. A record that was
//! synced must not be lost without a word. To tell the two apart, a *seal* is appended after every
//! sync (and before anybody is told of it): a frame that names its own position and the number of
//! records before it. Where a seal stands, everything before it was durable once. So if a frame is
//! bad, and a good seal stands anywhere behind it, something that was promised is damaged: that is
//! [`WalError::Damaged`], and nothing is touched. If no seal stands behind it, nothing from there
//! on was ever promised, and the file is cut there, even if whole records of the same unsynced
//! write follow.
//!
//! The seal itself is not synced on its own, which keeps the price at one sync. What this leaves
//! open: a power cut that takes the last seal, and in addition damage to the last synced write.
//! Without a seal these two together look like a torn write. A file that became shorter than it
//! was when the replica last started is noticed too, since the identity file keeps that length.
//!
//! # Compaction
//!
//! When the protocol has forgotten what a snapshot covers, the records that it still needs take the
//! place of all others ([`Wal::compact`]): they are written to a file beside the log, synced, and
//! that file takes the log's name. So a crash leaves the old log or the new one, each whole. The
//! file's *generation* counts these replacements, and *born* is the length that it had then; the
//! identity file keeps the one that it saw, so that an old copy of the log is not taken for the
//! log. The numbers of starts in the log serve the other way round: an old copy of the identity
//! file is noticed, too.

mod error;
pub(crate) mod frame;

pub use error::WalError;
pub(crate) use frame::{FRAME, HEADER, forge, put_frame, read_frame, word};

use crate::storage::{LogFile, Storage};
use bytes::Bytes;
use consensus_core::mutant::planted;
use consensus_core::{ClusterId, Incarnation, NodeId, RecordNumber};
use frame::{Header, RECORD_KIND, SEAL_KIND, SEAL_PAYLOAD, START_KIND, find_seal, read_frames};
use std::io;
use std::path::{Path, PathBuf};

/// A longer record is a mistake, not a record.
const MAX_RECORD: usize = 1 << 30;

/// Whose log it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The cluster.
    pub cluster: ClusterId,
    /// The replica.
    pub node: NodeId,
}

/// What a sync promises.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub enum SyncPolicy {
    /// A power cut loses nothing that was promised.
    #[default]
    Sync,
    /// Written is good enough: a killed process loses nothing, a power cut may lose anything. For
    /// comparisons; never for data.
    PageCache,
}

/// What a log had become, at least, when its replica last started.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Floor {
    /// How often it had been replaced.
    pub generation: u64,
    /// Its length in bytes.
    pub bytes: u64,
}

/// The log of one replica, open for appending.
pub struct Wal {
    file: Box<dyn LogFile>,
    path: PathBuf,
    owner: Owner,
    policy: SyncPolicy,
    header: Header,
    /// Length of the file, together with what waits in `buffer`.
    end: u64,
    /// Records in the file.
    records: u64,
    /// The number of the last record; numbers go on when the log is replaced.
    number: u64,
    buffer: Vec<u8>,
    poisoned: bool,
}

/// A log as it was found.
pub struct Recovered {
    /// The log, ready for appending.
    pub wal: Wal,
    /// Its records, oldest first; all durable.
    pub records: Vec<Bytes>,
    /// Its length, all of it durable.
    pub synced: u64,
    /// Bytes of an unfinished write that were cut off.
    pub torn: u64,
    /// The last start that wrote to it.
    pub incarnation: Incarnation,
}

impl Wal {
    /// A new, empty log.
    ///
    /// # Errors
    /// If the file is there already or cannot be made.
    pub fn create(
        storage: &dyn Storage,
        path: &Path,
        owner: Owner,
        policy: SyncPolicy,
    ) -> Result<Self, WalError> {
        let header = Header::first(draw_salt());
        let mut file =
            storage.open(path, true).map_err(|source| io_error("create", path, source))?;
        let made = file.append(&header.encode(owner)).and_then(|()| file.sync());
        made.map_err(|source| io_error("write", path, source))?;
        if !planted("D08") {
            sync_dir(storage, path)?;
        }
        Ok(Self {
            file,
            path: path.to_path_buf(),
            owner,
            policy,
            header,
            end: HEADER as u64,
            records: 0,
            number: 0,
            buffer: Vec::new(),
            poisoned: false,
        })
    }

    /// Opens a log, cuts an unfinished write off its end, and makes the rest durable.
    ///
    /// # Errors
    /// If it is no log, another replica's log, damaged before its end, or less than it was at the
    /// last start. The file is not changed then.
    pub fn open(
        storage: &dyn Storage,
        path: &Path,
        owner: Owner,
        policy: SyncPolicy,
        floor: Floor,
    ) -> Result<Recovered, WalError> {
        let mut file =
            storage.open(path, false).map_err(|source| io_error("open", path, source))?;
        let bytes = file.read().map_err(|source| io_error("read", path, source))?;
        let header = Header::check(&bytes, path, owner)?;
        let mut content = read_frames(&bytes, header);
        if planted("D26") && content.end > content.sealed + FRAME + SEAL_PAYLOAD {
            content.records.pop();
        }
        if content.end < bytes.len()
            && !planted("D02")
            && let Some(sealed) = find_seal(&bytes, content.end + 1, header.salt)
        {
            return Err(WalError::Damaged {
                path: path.to_path_buf(),
                offset: content.end as u64,
                record: RecordNumber(content.records.len() as u64 + 1),
                sealed: sealed as u64,
            });
        }
        let end = content.end as u64;
        check_floor(path, header, end, floor)?;
        let torn = bytes.len() as u64 - end;
        if torn > 0 && !planted("D10") {
            tracing::info!(bytes = torn, at = end, "cut an unfinished write off the log");
            file.cut(end).map_err(|source| io_error("cut", path, source))?;
        }
        make_durable(&mut *file, &bytes[content.sealed..content.end], content.sealed)
            .map_err(|source| io_error("sync", path, source))?;
        let records = content.records.len() as u64;
        let (number, path, buffer) = (records, path.to_path_buf(), Vec::new());
        let poisoned = false;
        let mut wal =
            Self { file, path, owner, policy, header, end, records, number, buffer, poisoned };
        wal.seal()?;
        let bytes = Bytes::from(bytes);
        let records = content.records.into_iter().map(|place| bytes.slice(place)).collect();
        Ok(Recovered { wal, records, synced: end, torn, incarnation: content.incarnation })
    }

    /// Notes the number of this start, so that an identity file of an earlier one is noticed next
    /// time. It is durable with the first record that is.
    ///
    /// # Errors
    /// If the log is poisoned.
    pub(crate) fn begin(&mut self, incarnation: Incarnation) -> Result<(), WalError> {
        if self.poisoned {
            return Err(WalError::Poisoned);
        }
        self.header.incarnation = incarnation;
        let payload = incarnation.0.to_le_bytes();
        put_frame(&mut self.buffer, self.end, self.header.salt, START_KIND, &payload);
        self.end += (FRAME + payload.len()) as u64;
        Ok(())
    }

    /// Replaces everything that was added so far by these records, durably: after a crash either
    /// the old records are found, or these. Takes one number, as a record does.
    ///
    /// # Errors
    /// If that fails; the log is poisoned then.
    pub fn compact(
        &mut self,
        storage: &dyn Storage,
        records: &[Vec<u8>],
    ) -> Result<RecordNumber, WalError> {
        if self.poisoned {
            return Err(WalError::Poisoned);
        }
        if let Some(long) = records.iter().find(|record| record.len() > MAX_RECORD) {
            return Err(WalError::TooLong(long.len()));
        }
        let generation = self.header.generation + u64::from(!planted("D27"));
        let frames = records.iter().map(|record| FRAME + record.len());
        let born = (HEADER + frames.sum::<usize>() + FRAME + SEAL_PAYLOAD) as u64;
        let salt = if planted("D35") { self.header.salt } else { draw_salt() };
        let header = Header { salt, generation, born, ..self.header };
        let mut bytes = header.encode(self.owner);
        for record in records {
            let position = bytes.len() as u64;
            put_frame(&mut bytes, position, header.salt, RECORD_KIND, record);
        }
        // Nobody reads this seal before the sync: until then the file has another name.
        let position = bytes.len() as u64;
        let seal = seal_of(position, records.len() as u64);
        put_frame(&mut bytes, position, header.salt, SEAL_KIND, &seal);
        // Whatever fails from here on: which of the two files is the log is not known any more.
        self.poisoned = !planted("D30");
        let next = next_of(&self.path);
        let file = replace(storage, &next, &self.path, &bytes)
            .map_err(|source| io_error("replace", &self.path, source))?;
        if !planted("D18") {
            sync_dir(storage, &self.path)?;
        }
        self.poisoned = false;
        (self.file, self.header) = (file, header);
        self.end = bytes.len() as u64;
        self.records = records.len() as u64;
        self.number += 1;
        if !planted("D28") {
            self.buffer.clear();
        }
        Ok(RecordNumber(self.number))
    }

    /// Adds a record. It is in memory only until [`write`](Self::write) or [`sync`](Self::sync).
    ///
    /// # Errors
    /// If it is too long, or if the log is poisoned.
    pub fn append(&mut self, record: &[u8]) -> Result<RecordNumber, WalError> {
        if self.poisoned {
            return Err(WalError::Poisoned);
        }
        if record.len() > MAX_RECORD {
            return Err(WalError::TooLong(record.len()));
        }
        put_frame(&mut self.buffer, self.end, self.header.salt, RECORD_KIND, record);
        self.end += (FRAME + record.len()) as u64;
        self.records += 1;
        self.number += 1;
        Ok(RecordNumber(self.number))
    }

    /// Hands what was added to the operating system.
    ///
    /// # Errors
    /// If that fails; the log is poisoned then.
    pub fn write(&mut self) -> Result<(), WalError> {
        if self.buffer.is_empty() && !self.poisoned {
            return Ok(());
        }
        let bytes = std::mem::take(&mut self.buffer);
        if planted("D17") {
            // The bug: a disk that was full for a moment is written on, behind half a frame.
            return self
                .file
                .append(&bytes)
                .map_err(|source| io_error("write", &self.path, source));
        }
        self.guard("write", |file| file.append(&bytes))?;
        self.buffer = bytes;
        self.buffer.clear();
        Ok(())
    }

    /// Makes everything that was added durable, and says up to which record.
    ///
    /// # Errors
    /// If that fails; the log is poisoned then, since a later success would say nothing about
    /// these records.
    pub fn sync(&mut self) -> Result<RecordNumber, WalError> {
        self.write()?;
        if self.policy == SyncPolicy::Sync && !planted("D13") {
            if planted("D07") {
                self.seal()?;
            }
            self.guard("sync", |file| match file.sync() {
                Err(_) if planted("D01") => file.sync(),
                other => other,
            })?;
            if !planted("D07") {
                self.seal()?;
            }
        }
        Ok(RecordNumber(self.number))
    }

    /// Everything up to here is durable: says so in the file, for the next start.
    fn seal(&mut self) -> Result<(), WalError> {
        let payload = seal_of(self.end, self.records);
        put_frame(&mut self.buffer, self.end, self.header.salt, SEAL_KIND, &payload);
        self.end += (FRAME + SEAL_PAYLOAD) as u64;
        self.write()
    }

    /// Does something with the file; one failure, and the file is not used again.
    fn guard(
        &mut self,
        action: &'static str,
        act: impl FnOnce(&mut dyn LogFile) -> io::Result<()>,
    ) -> Result<(), WalError> {
        if self.poisoned {
            return Err(WalError::Poisoned);
        }
        act(&mut *self.file).map_err(|source| {
            self.poisoned = true;
            io_error(action, &self.path, source)
        })
    }

    /// Can a file of this length be no more than the beginning of a log, left by a start that did
    /// not finish?
    pub(crate) fn is_unused(length: u64) -> bool {
        length <= HEADER as u64
    }

    /// What its syncs promise.
    pub fn policy(&self) -> SyncPolicy {
        self.policy
    }

    /// Length of the file with everything that was added, in bytes.
    pub fn end(&self) -> u64 {
        self.end
    }

    /// The number of the last record that was added.
    pub fn last(&self) -> RecordNumber {
        RecordNumber(self.number)
    }

    /// How often it was replaced.
    pub fn generation(&self) -> u64 {
        self.header.generation
    }
}

fn seal_of(position: u64, records: u64) -> [u8; SEAL_PAYLOAD] {
    let mut payload = [0; SEAL_PAYLOAD];
    payload[..8].copy_from_slice(&position.to_le_bytes());
    payload[8..].copy_from_slice(&records.to_le_bytes());
    payload
}

fn draw_salt() -> u64 {
    crate::chance::Chance::from_system().next()
}

/// Where the log's next content is prepared.
pub(crate) fn next_of(path: &Path) -> PathBuf {
    path.with_extension("next")
}

/// Puts a file with this content in the place of another, as a whole; the name is durable after a
/// sync of the directory.
fn replace(
    storage: &dyn Storage,
    next: &Path,
    path: &Path,
    bytes: &[u8],
) -> io::Result<Box<dyn LogFile>> {
    if storage.length(next)?.is_some() {
        storage.remove(next)?;
    }
    let mut file = storage.open(next, true)?;
    file.append(bytes)?;
    if !planted("D19") && !planted("D29") {
        file.sync()?;
    }
    storage.rename(next, path)?;
    if planted("D29") {
        file.sync()?;
    }
    Ok(file)
}

/// Is the log at least what it was when the replica last started?
fn check_floor(path: &Path, header: Header, end: u64, floor: Floor) -> Result<(), WalError> {
    let path = path.to_path_buf();
    if header.generation < floor.generation && !planted("D23") {
        let (found, expected) = (header.generation, floor.generation);
        return Err(WalError::Older { path, found, expected });
    }
    let known = if header.generation == floor.generation { floor.bytes } else { 0 };
    let expected = known.max(header.born);
    if end < expected && !planted("D14") {
        return Err(WalError::Shorter { path, found: end, expected });
    }
    Ok(())
}

fn io_error(action: &'static str, path: &Path, source: io::Error) -> WalError {
    WalError::Io { action, path: path.to_path_buf(), source }
}

/// Makes the names in the directory of this file durable.
pub(crate) fn sync_dir(storage: &dyn Storage, path: &Path) -> Result<(), WalError> {
    let dir = path.parent().filter(|dir| !dir.as_os_str().is_empty()).unwrap_or(Path::new("."));
    storage.sync_dir(dir).map_err(|source| io_error("sync", dir, source))
}

/// Makes the end of a log durable that was read, and is about to be believed.
///
/// What was read may stand in the page cache only: the process that wrote it was killed before it
/// synced, or its sync failed and the system has called the pages clean since (Rebello et al., "Can
/// Applications Recover from fsync Failures?", USENIX ATC '20). So it is written once more first.
/// What stands before the last seal was synced without an error; the seal itself was not.
fn make_durable(file: &mut dyn LogFile, unsealed: &[u8], at: usize) -> io::Result<()> {
    if planted("D11") {
        return Ok(());
    }
    if !unsealed.is_empty() && !planted("D12") {
        let most = if planted("D32") { 512 } else { unsealed.len() };
        file.rewrite(at as u64, &unsealed[..unsealed.len().min(most)])?;
    }
    file.sync()
}
