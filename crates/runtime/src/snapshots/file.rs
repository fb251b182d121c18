//! One snapshot as a file, written from front to back without knowing its size, and read in any
//! place.
//!
//! ```text
//! header   magic 8 · format 2 · node 1 · 0 1 · cluster 16 · salt 8 · chunk 4
//!          · length of meta 4 · meta · crc 4
//! frames   as in the log; kind 4: a chunk, all of one length but the last; kind 5: the end
//! end      total length 8 · number of chunks 8
//! ```
//!
//! A snapshot whose end is there, and whose every chunk is good, is whole.

use crate::codec;
use crate::storage::{LogFile, Storage};
use crate::wal::{FRAME, Owner, put_frame, read_frame, word};
use bytes::Bytes;
use consensus_core::SnapshotMeta;
use consensus_core::mutant::planted;
use std::io;
use std::path::Path;

const MAGIC: [u8; 8] = *b"SYNDSNP\n";
const FORMAT: u16 = 1;
/// Header up to the meta.
const FIXED: usize = 44;
const CHUNK_KIND: u8 = 4;
const END_KIND: u8 = 5;
const END_PAYLOAD: usize = 16;
/// A longer meta is a mistake.
const MAX_META: usize = 1 << 20;
/// The first chunk says of which index the snapshot is; so much must fit.
pub(crate) const MIN_CHUNK: usize = 64;
/// Chunks longer than this are a mistake.
pub(crate) const MAX_CHUNK: usize = 16 << 20;

/// Why a file is no snapshot that can be used.
#[derive(Debug)]
pub(crate) enum BadSnapshot {
    Io(io::Error),
    Damaged(String),
}

impl From<io::Error> for BadSnapshot {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

impl std::fmt::Display for BadSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Damaged(why) => f.write_str(why),
        }
    }
}

fn damaged<T>(why: impl Into<String>) -> Result<T, BadSnapshot> {
    Err(BadSnapshot::Damaged(why.into()))
}

/// A snapshot that is being written.
pub(crate) struct SnapshotWriter {
    file: Box<dyn LogFile>,
    salt: u64,
    chunk: usize,
    position: u64,
    chunks: u64,
    length: u64,
    /// What does not fill a chunk yet.
    rest: Vec<u8>,
}

impl SnapshotWriter {
    /// Begins a snapshot in a new file.
    pub(crate) fn create(
        storage: &dyn Storage,
        path: &Path,
        owner: Owner,
        meta: &SnapshotMeta,
        chunk: usize,
    ) -> io::Result<Self> {
        if storage.length(path)?.is_some() {
            storage.remove(path)?;
        }
        let mut file = storage.open(path, true)?;
        let salt = crate::chance::Chance::from_system().next();
        let header = header(owner, salt, chunk, meta);
        file.append(&header)?;
        let (position, rest) = (header.len() as u64, Vec::new());
        Ok(Self { file, salt, chunk, position, chunks: 0, length: 0, rest })
    }

    /// Adds bytes.
    pub(crate) fn push(&mut self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let room = (self.chunk - self.rest.len()).min(bytes.len());
            let (now, later) = bytes.split_at(room);
            self.rest.extend_from_slice(now);
            bytes = later;
            if self.rest.len() == self.chunk {
                self.write_chunk()?;
            }
        }
        Ok(())
    }

    fn write_chunk(&mut self) -> io::Result<()> {
        let rest = std::mem::take(&mut self.rest);
        self.length += rest.len() as u64;
        self.chunks += 1;
        self.write_frame(CHUNK_KIND, &rest)?;
        self.rest = rest;
        self.rest.clear();
        Ok(())
    }

    fn write_frame(&mut self, kind: u8, payload: &[u8]) -> io::Result<()> {
        let mut frame = Vec::with_capacity(FRAME + payload.len());
        put_frame(&mut frame, self.position, self.salt, kind, payload);
        self.position += frame.len() as u64;
        self.file.append(&frame)
    }

    /// Writes the end, and returns when all of it is durable. The name is not.
    pub(crate) fn finish(mut self) -> io::Result<()> {
        if !self.rest.is_empty() {
            self.write_chunk()?;
        }
        let mut end = [0; END_PAYLOAD];
        end[..8].copy_from_slice(&self.length.to_le_bytes());
        end[8..].copy_from_slice(&self.chunks.to_le_bytes());
        self.write_frame(END_KIND, &end)?;
        if planted("D03") {
            return Ok(());
        }
        self.file.sync()
    }
}

fn header(owner: Owner, salt: u64, chunk: usize, meta: &SnapshotMeta) -> Vec<u8> {
    let meta = codec::encode(meta);
    let mut bytes = Vec::with_capacity(FIXED + meta.len() + 4);
    bytes.extend_from_slice(&MAGIC);
    bytes.extend_from_slice(&FORMAT.to_le_bytes());
    bytes.extend_from_slice(&[owner.node.0, 0]);
    bytes.extend_from_slice(&owner.cluster.0.to_le_bytes());
    bytes.extend_from_slice(&salt.to_le_bytes());
    bytes.extend_from_slice(&(chunk as u32).to_le_bytes());
    bytes.extend_from_slice(&(meta.len() as u32).to_le_bytes());
    bytes.extend_from_slice(&meta);
    bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
    bytes
}

/// A snapshot that was written, open for reading.
pub(crate) struct SnapshotFile {
    file: Box<dyn LogFile>,
    pub(crate) meta: SnapshotMeta,
    salt: u64,
    chunk: u64,
    /// Where the first frame stands.
    first: u64,
    /// Bytes in all chunks.
    length: u64,
}

impl SnapshotFile {
    /// Opens a snapshot and reads its header; `None` if there is no such file. What follows the
    /// header is checked when it is read.
    pub(crate) fn open(
        storage: &dyn Storage,
        path: &Path,
        owner: Owner,
    ) -> Result<Option<Self>, BadSnapshot> {
        let Some(total) = storage.length(path)? else { return Ok(None) };
        let mut file = storage.open(path, false)?;
        let fixed = file.read_at(0, FIXED)?;
        if fixed.len() < FIXED || fixed[..8] != MAGIC {
            return damaged("it does not begin with the mark of a snapshot");
        }
        let number = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| fixed[at + byte]));
        let (chunk, meta_length) = (number(36) as usize, number(40) as usize);
        if meta_length > MAX_META || !(MIN_CHUNK..=MAX_CHUNK).contains(&chunk) {
            return damaged("the checksum of its header is wrong");
        }
        let header = file.read_at(0, FIXED + meta_length + 4)?;
        let Some((body, crc)) = header.split_last_chunk::<4>() else {
            return damaged("its header is cut short");
        };
        if body.len() != FIXED + meta_length || crc32fast::hash(body).to_le_bytes() != *crc {
            return damaged("the checksum of its header is wrong");
        }
        if fixed[8..10] != FORMAT.to_le_bytes() {
            return damaged("it is of a format that this program does not know");
        }
        let foreign = fixed[10] != owner.node.0 || fixed[12..28] != owner.cluster.0.to_le_bytes();
        if foreign && !planted("N22") {
            return damaged("it is a snapshot of another replica or cluster");
        }
        let meta = codec::decode(&body[FIXED..]);
        let meta = meta.map_err(|error| BadSnapshot::Damaged(error.to_string()))?;
        let salt = word(&fixed, 28).expect("the fixed part is whole");
        let (chunk, first) = (chunk as u64, header.len() as u64);
        let Some(length) = payload_length(total, first, chunk) else {
            return damaged("it is cut short");
        };
        Ok(Some(Self { file, meta, salt, chunk, first, length }))
    }

    /// The bytes from `offset` to the end of their chunk, and whether they are the last; `None` if
    /// there are none.
    pub(crate) fn read(&mut self, offset: u64) -> Result<Option<(Bytes, bool)>, BadSnapshot> {
        if offset >= self.length {
            return Ok(None);
        }
        let number = offset / self.chunk;
        let start = number * self.chunk;
        let length = self.chunk.min(self.length - start);
        let position = self.first + number * (FRAME as u64 + self.chunk);
        let frame = self.file.read_at(position, FRAME + length as usize)?;
        let payload = match read_frame(&frame, position, self.salt) {
            Some((CHUNK_KIND, payload)) if payload.len() as u64 == length => payload,
            _ if planted("D21") && frame.len() > FRAME => &frame[FRAME..],
            _ => return damaged(format!("its chunk at byte {position} is damaged")),
        };
        let skip = (offset - start) as usize;
        let exact = planted("N24") && self.length.is_multiple_of(self.chunk);
        let last = start + length == self.length && !exact;
        let bytes = payload.get(skip..).unwrap_or_default();
        Ok(Some((Bytes::copy_from_slice(bytes), last)))
    }

    /// All of it, every checksum checked.
    pub(crate) fn read_all(&mut self) -> Result<Vec<u8>, BadSnapshot> {
        let mut all = Vec::new();
        while let Some((bytes, _)) = self.read(all.len() as u64)? {
            all.extend_from_slice(&bytes);
        }
        let chunks = self.length.div_ceil(self.chunk);
        let position = self.first + self.length + chunks * FRAME as u64;
        let frame = self.file.read_at(position, FRAME + END_PAYLOAD)?;
        match read_frame(&frame, position, self.salt) {
            Some((END_KIND, end))
                if word(end, 0) == Some(self.length) && word(end, 8) == Some(chunks) =>
            {
                Ok(all)
            }
            _ if planted("D21") => Ok(all),
            _ => damaged("its end is missing"),
        }
    }
}

/// How many bytes the chunks of a file hold, which has `total` bytes in all.
fn payload_length(total: u64, first: u64, chunk: u64) -> Option<u64> {
    let frames = total.checked_sub(first + (FRAME + END_PAYLOAD) as u64)?;
    let (full, rest) = (frames / (chunk + FRAME as u64), frames % (chunk + FRAME as u64));
    let last = if rest == 0 { 0 } else { rest.checked_sub(FRAME as u64)? };
    Some(full * chunk + last)
}
