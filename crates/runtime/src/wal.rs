//! The write-ahead log: one growing file that holds a replica's records, and tells a write that
//! was cut short from damage to something that was promised.
//!
//! ```text
//! header   magic 8 · format 2 · node 1 · 0 1 · cluster 16 · salt 8 · crc 4
//! frame    length 4 · kind 1 · crc 4 · payload          kind 1: a record, kind 2: a seal
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

mod error;

pub use error::WalError;

use crate::storage::{LogFile, Storage};
use bytes::Bytes;
use consensus_core::mutant::planted;
use consensus_core::{ClusterId, NodeId, RecordNumber};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};

const MAGIC: [u8; 8] = *b"SYNDWAL\n";
const FORMAT: u16 = 1;
const HEADER: usize = 40;
const FRAME: usize = 9;
const SEAL_PAYLOAD: usize = 16;
const RECORD_KIND: u8 = 1;
const SEAL_KIND: u8 = 2;
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

/// The log of one replica, open for appending.
pub struct Wal {
    file: Box<dyn LogFile>,
    path: PathBuf,
    policy: SyncPolicy,
    salt: u64,
    /// Length of the file, together with what waits in `buffer`.
    end: u64,
    records: u64,
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
        let salt = crate::chance::Chance::from_system().next();
        let mut file =
            storage.open(path, true).map_err(|source| io_error("create", path, source))?;
        let made = file.append(&header(owner, salt)).and_then(|()| file.sync());
        made.map_err(|source| io_error("write", path, source))?;
        if !planted("D08") {
            sync_dir(storage, path)?;
        }
        Ok(Self::at(file, path, policy, salt, HEADER as u64, 0))
    }

    fn at(
        file: Box<dyn LogFile>,
        path: &Path,
        policy: SyncPolicy,
        salt: u64,
        end: u64,
        records: u64,
    ) -> Self {
        let path = path.to_path_buf();
        Self { file, path, policy, salt, end, records, buffer: Vec::new(), poisoned: false }
    }

    /// Opens a log, cuts an unfinished write off its end, and makes the rest durable.
    ///
    /// # Errors
    /// If it is no log, another replica's log, damaged before its end, or shorter than `at_least`
    /// bytes. The file is not changed then.
    pub fn open(
        storage: &dyn Storage,
        path: &Path,
        owner: Owner,
        policy: SyncPolicy,
        at_least: u64,
    ) -> Result<Recovered, WalError> {
        let mut file =
            storage.open(path, false).map_err(|source| io_error("open", path, source))?;
        let bytes = file.read().map_err(|source| io_error("read", path, source))?;
        let salt = check_header(&bytes, path, owner)?;
        let content = read_frames(&bytes, salt);
        if content.end < bytes.len()
            && !planted("D02")
            && let Some(sealed) = find_seal(&bytes, content.end + 1, salt)
        {
            return Err(WalError::Damaged {
                path: path.to_path_buf(),
                offset: content.end as u64,
                record: RecordNumber(content.records.len() as u64 + 1),
                sealed: sealed as u64,
            });
        }
        let end = content.end as u64;
        if end < at_least && !planted("D14") {
            let path = path.to_path_buf();
            return Err(WalError::Shorter { path, found: end, expected: at_least });
        }
        let torn = bytes.len() as u64 - end;
        if torn > 0 && !planted("D10") {
            tracing::info!(bytes = torn, at = end, "cut an unfinished write off the log");
            file.cut(end).map_err(|source| io_error("cut", path, source))?;
        }
        make_durable(&mut *file, &bytes[content.sealed..content.end], content.sealed)
            .map_err(|source| io_error("sync", path, source))?;
        let mut wal = Self::at(file, path, policy, salt, end, content.records.len() as u64);
        wal.seal()?;
        let bytes = Bytes::from(bytes);
        let records = content.records.into_iter().map(|place| bytes.slice(place)).collect();
        Ok(Recovered { wal, records, synced: end, torn })
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
        put_frame(&mut self.buffer, self.end, self.salt, RECORD_KIND, record);
        self.end += (FRAME + record.len()) as u64;
        self.records += 1;
        Ok(RecordNumber(self.records))
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
        Ok(RecordNumber(self.records))
    }

    /// Everything up to here is durable: says so in the file, for the next start.
    fn seal(&mut self) -> Result<(), WalError> {
        let mut payload = [0; SEAL_PAYLOAD];
        payload[..8].copy_from_slice(&self.end.to_le_bytes());
        payload[8..].copy_from_slice(&self.records.to_le_bytes());
        put_frame(&mut self.buffer, self.end, self.salt, SEAL_KIND, &payload);
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

    /// How many records it holds.
    pub fn records(&self) -> u64 {
        self.records
    }
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
        file.rewrite(at as u64, unsealed)?;
    }
    file.sync()
}

fn header(owner: Owner, salt: u64) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(HEADER);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&[owner.node.0, 0]);
    bytes.extend_from_slice(&owner.cluster.0.to_le_bytes());
    bytes.extend_from_slice(&salt.to_le_bytes());
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// Checks the header and gives the salt.
fn check_header(bytes: &[u8], path: &Path, expected: Owner) -> Result<u64, WalError> {
    let bad = |why: String| WalError::BadHeader { path: path.to_path_buf(), why };
    let Some(header) = bytes.first_chunk::<HEADER>() else {
        return Err(bad(format!("it has {} bytes and no whole header", bytes.len())));
    };
    if header[..8] != MAGIC {
        return Err(bad("it does not begin with the mark of a Synod log".into()));
    }
    if crc32fast::hash(&header[..HEADER - 4]).to_le_bytes() != header[HEADER - 4..] {
        return Err(bad("the checksum of its header is wrong".into()));
    }
    let format = u16::from_le_bytes([header[8], header[9]]);
    if format != FORMAT {
        return Err(bad(format!("it has format {format}, and this program knows {FORMAT}")));
    }
    let cluster = u128::from_le_bytes(header[12..28].try_into().expect("sixteen bytes"));
    let found = Owner { cluster: ClusterId(cluster), node: NodeId(header[10]) };
    if found != expected {
        return Err(WalError::Foreign { path: path.to_path_buf(), found, expected });
    }
    Ok(word(header, 28).expect("the header is whole"))
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?))
}

fn checksum(position: u64, salt: u64, length: u32, kind: u8, payload: &[u8]) -> u32 {
    let mut crc = crc32fast::Hasher::new();
    if !planted("D15") {
        crc.update(&salt.to_le_bytes());
    }
    if !planted("D06") {
        crc.update(&position.to_le_bytes());
    }
    crc.update(&length.to_le_bytes());
    crc.update(&[kind]);
    crc.update(payload);
    crc.finalize()
}

fn put_frame(out: &mut Vec<u8>, position: u64, salt: u64, kind: u8, payload: &[u8]) {
    let length = payload.len() as u32;
    out.extend_from_slice(&length.to_le_bytes());
    out.push(kind);
    out.extend_from_slice(&checksum(position, salt, length, kind, payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// Header and frames of any kinds, for [`crate::rig`].
pub(crate) fn forge(owner: Owner, salt: u64, frames: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let mut bytes = header(owner, salt);
    for (kind, payload) in frames {
        let position = bytes.len() as u64;
        put_frame(&mut bytes, position, salt, *kind, payload);
    }
    bytes
}

/// Kind and payload of the frame at this place, if a good one stands there.
fn frame_at(bytes: &[u8], at: usize, salt: u64) -> Option<(u8, &[u8])> {
    let (head, rest) = bytes.get(at..)?.split_first_chunk::<FRAME>()?;
    let length = u32::from_le_bytes(*head.first_chunk()?);
    let payload = rest.get(..length as usize)?;
    let crc = u32::from_le_bytes(*head[5..].first_chunk()?);
    (crc == checksum(at as u64, salt, length, head[4], payload)).then_some((head[4], payload))
}

/// What a file holds up to the first place where no good frame stands.
struct Content {
    /// Where the records' payloads stand.
    records: Vec<Range<usize>>,
    /// Where the last seal stands; everything before it was synced without an error.
    sealed: usize,
    end: usize,
}

fn read_frames(bytes: &[u8], salt: u64) -> Content {
    let mut content = Content { records: Vec::new(), sealed: HEADER, end: HEADER };
    while let Some((kind, payload)) = frame_at(bytes, content.end, salt) {
        let start = content.end + FRAME;
        let place = start..start + payload.len();
        match kind {
            RECORD_KIND => content.records.push(place.clone()),
            SEAL_KIND if word(payload, 8) == Some(content.records.len() as u64) => {
                content.sealed = content.end;
            }
            _ if planted("F04") => content.records.push(0..FRAME + payload.len()),
            _ => break,
        }
        content.end = place.end;
    }
    content
}

/// The first good seal at or behind `from`. Frames need not line up with what is damaged, so every
/// place is tried; a seal knows its own, which rules almost all of them out at once.
fn find_seal(bytes: &[u8], from: usize, salt: u64) -> Option<usize> {
    let last = bytes.len().checked_sub(FRAME + SEAL_PAYLOAD)?;
    (from..=last).find(|at| {
        bytes[at + 4] == SEAL_KIND
            && word(bytes, at + FRAME) == Some(*at as u64)
            && frame_at(bytes, *at, salt).is_some_and(|(_, payload)| payload.len() == SEAL_PAYLOAD)
    })
}
