//! Frames, of which logs and snapshots are made, and what stands before them in a log.

use super::{Owner, WalError};
use consensus_core::mutant::planted;
use consensus_core::{ClusterId, Incarnation, NodeId};
use std::ops::Range;
use std::path::Path;

const MAGIC: [u8; 8] = *b"SYNDWAL\n";
const FORMAT: u16 = 2;
/// Length of a log's header.
pub(crate) const HEADER: usize = 60;
/// Length of a frame without its payload.
pub(crate) const FRAME: usize = 9;
pub(super) const SEAL_PAYLOAD: usize = 16;
pub(super) const RECORD_KIND: u8 = 1;
pub(super) const SEAL_KIND: u8 = 2;
pub(super) const START_KIND: u8 = 3;

/// What a log's header says beside whose it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) salt: u64,
    pub(super) generation: u64,
    /// The length with which the file got its name: it was never shorter.
    pub(super) born: u64,
    pub(super) incarnation: Incarnation,
}

impl Header {
    /// Of a new log.
    pub(super) fn first(salt: u64) -> Self {
        Self { salt, generation: 0, born: HEADER as u64, incarnation: Incarnation(0) }
    }

    pub(super) fn encode(self, owner: Owner) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(HEADER);
        bytes.extend_from_slice(&MAGIC);
        bytes.extend_from_slice(&FORMAT.to_le_bytes());
        bytes.extend_from_slice(&[owner.node.0, 0]);
        bytes.extend_from_slice(&owner.cluster.0.to_le_bytes());
        bytes.extend_from_slice(&self.salt.to_le_bytes());
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        bytes.extend_from_slice(&self.born.to_le_bytes());
        bytes.extend_from_slice(&self.incarnation.0.to_le_bytes());
        bytes.extend_from_slice(&crc32fast::hash(&bytes).to_le_bytes());
        bytes
    }

    /// Checks the header of a log that is to be this owner's.
    pub(super) fn check(bytes: &[u8], path: &Path, expected: Owner) -> Result<Self, WalError> {
        let bad = |why: String| WalError::BadHeader { path: path.to_path_buf(), why };
        let Some(header) = bytes.first_chunk::<HEADER>() else {
            return Err(bad(format!("it has {} bytes and no whole header", bytes.len())));
        };
        if header[..8] != MAGIC {
            return Err(bad("it does not begin with the mark of a Synod log".into()));
        }
        let format = u16::from_le_bytes([header[8], header[9]]);
        if crc32fast::hash(&header[..HEADER - 4]).to_le_bytes() != header[HEADER - 4..] {
            let why = match format {
                1 => "it has format 1, and this program knows 2 only".into(),
                _ => "the checksum of its header is wrong".into(),
            };
            return Err(bad(why));
        }
        if format != FORMAT {
            return Err(bad(format!("it has format {format}, and this program knows {FORMAT}")));
        }
        let cluster = u128::from_le_bytes(header[12..28].try_into().expect("sixteen bytes"));
        let found = Owner { cluster: ClusterId(cluster), node: NodeId(header[10]) };
        if found != expected {
            return Err(WalError::Foreign { path: path.to_path_buf(), found, expected });
        }
        let word = |at| word(header, at).expect("the header is whole");
        let number = u32::from_le_bytes(header[52..56].try_into().expect("four bytes"));
        let (generation, born, incarnation) = (word(36), word(44), Incarnation(number));
        Ok(Self { salt: word(28), generation, born, incarnation })
    }
}

/// The eight bytes at this place as a number.
pub(crate) fn word(bytes: &[u8], at: usize) -> Option<u64> {
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

/// Adds a frame that is to stand at this position of the file with this salt.
pub(crate) fn put_frame(out: &mut Vec<u8>, position: u64, salt: u64, kind: u8, payload: &[u8]) {
    let length = payload.len() as u32;
    out.extend_from_slice(&length.to_le_bytes());
    out.push(kind);
    out.extend_from_slice(&checksum(position, salt, length, kind, payload).to_le_bytes());
    out.extend_from_slice(payload);
}

/// Kind and payload of the frame that `bytes` begin with, if it is a good one and stands at this
/// position of its file.
pub(crate) fn read_frame(bytes: &[u8], position: u64, salt: u64) -> Option<(u8, &[u8])> {
    let (head, rest) = bytes.split_first_chunk::<FRAME>()?;
    let length = u32::from_le_bytes(*head.first_chunk()?);
    let payload = rest.get(..length as usize)?;
    let crc = u32::from_le_bytes(*head[5..].first_chunk()?);
    (crc == checksum(position, salt, length, head[4], payload)).then_some((head[4], payload))
}

fn frame_at(bytes: &[u8], at: usize, salt: u64) -> Option<(u8, &[u8])> {
    read_frame(bytes.get(at..)?, at as u64, salt)
}

/// Header and frames of any kinds, for [`crate::rig`].
pub(crate) fn forge(owner: Owner, salt: u64, frames: &[(u8, Vec<u8>)]) -> Vec<u8> {
    let header = Header::first(salt);
    let mut bytes = header.encode(owner);
    for (kind, payload) in frames {
        let position = bytes.len() as u64;
        put_frame(&mut bytes, position, salt, *kind, payload);
    }
    bytes
}

/// What a log holds up to the first place where no good frame stands.
pub(super) struct Content {
    /// Where the records' payloads stand.
    pub(super) records: Vec<Range<usize>>,
    /// Where the last seal stands; everything before it was synced without an error.
    pub(super) sealed: usize,
    /// The last start that wrote here.
    pub(super) incarnation: Incarnation,
    pub(super) end: usize,
}

pub(super) fn read_frames(bytes: &[u8], header: Header) -> Content {
    let Header { salt, incarnation, .. } = header;
    let mut content = Content { records: Vec::new(), sealed: HEADER, incarnation, end: HEADER };
    while let Some((kind, payload)) = frame_at(bytes, content.end, salt) {
        let start = content.end + FRAME;
        let place = start..start + payload.len();
        match (kind, payload.first_chunk::<4>()) {
            (RECORD_KIND, _) => content.records.push(place.clone()),
            (SEAL_KIND, _) if word(payload, 8) == Some(content.records.len() as u64) => {
                content.sealed = if planted("D33") { place.end } else { content.end };
            }
            (START_KIND, Some(number)) if payload.len() == 4 => {
                let number = Incarnation(u32::from_le_bytes(*number));
                content.incarnation = content.incarnation.max(number);
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
pub(super) fn find_seal(bytes: &[u8], from: usize, salt: u64) -> Option<usize> {
    let last = bytes.len().checked_sub(FRAME + SEAL_PAYLOAD)?;
    let last = if planted("D24") { last.checked_sub(1)? } else { last };
    let last = if planted("D25") { last.min(from + 1024) } else { last };
    let last = if planted("N25") { last.min(from + 65_536) } else { last };
    (from..=last).find(|at| {
        bytes[at + 4] == SEAL_KIND
            && word(bytes, at + FRAME) == Some(*at as u64)
            && frame_at(bytes, *at, salt).is_some_and(|(_, payload)| payload.len() == SEAL_PAYLOAD)
    })
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::wal::seal_of;

    const SALT: u64 = 0x5a17;

    /// The seal that vouches for a damaged record may be as far off as a record is long, and
    /// further: whole bursts are synced at once.
    #[test]
    pub(crate) fn a_seal_is_found_at_any_distance() {
        let powers = (0..=20).map(|power| 1 << power);
        for distance in powers.flat_map(|power| [power - 1, power, power + 1]) {
            // What stands before it looks like the kind of a seal everywhere.
            let mut bytes = vec![SEAL_KIND; distance];
            let place = distance as u64;
            put_frame(&mut bytes, place, SALT, SEAL_KIND, &seal_of(place, 3));
            assert_eq!(find_seal(&bytes, 0, SALT), Some(distance), "{distance} bytes off");
            assert_eq!(find_seal(&bytes, distance + 1, SALT), None, "behind it");
            assert_eq!(find_seal(&bytes, 0, SALT + 1), None, "of another file");
            bytes.pop();
            assert_eq!(find_seal(&bytes, 0, SALT), None, "cut short");
        }
    }

    /// `docs/formats.md` shows a whole log; it is one.
    #[test]
    fn the_log_that_is_shown_is_what_is_written() {
        let owner = Owner { cluster: ClusterId(0xfeed), node: NodeId(2) };
        let record = (RECORD_KIND, b"ok".to_vec());
        let place = (HEADER + FRAME + 2) as u64;
        let log = forge(owner, 1, &[record, (SEAL_KIND, seal_of(place, 1).to_vec())]);
        let read = read_frames(&log, Header::check(&log, Path::new(""), owner).expect("a header"));
        assert_eq!((read.records.len(), read.sealed, read.end), (1, place as usize, log.len()));
        let hex: String = log.iter().map(|byte| format!("{byte:02x}")).collect();
        let page = include_str!("../../../../docs/formats.md").replace('\n', "");
        assert!(page.contains(&hex), "{hex}");
    }
}
