//! Logs and data directories that somebody edited: whole or refused, and never changed by what was
//! refused.

use crate::disk::Disk;
use crate::feed::Feed;
use bytes::Bytes;
use consensus_core::{ClusterId, LogIndex, NodeId, SnapshotMeta};
use std::path::Path;
use synod_runtime::rig::{Found, forged_log, start_on};
use synod_runtime::wal::{Floor, Owner, Recovered, SyncPolicy, Wal};

const OWNER: Owner = Owner { cluster: ClusterId(7), node: NodeId(1) };
const DIR: &str = "data";
const HEADER: usize = 60;

fn open(disk: &Disk, path: &Path) -> Option<Recovered> {
    let before = disk.content(path);
    let opened = Wal::open(disk, path, OWNER, SyncPolicy::Sync, Floor::default()).ok();
    if opened.is_none() {
        assert_eq!(disk.content(path), before, "an error changes nothing");
    }
    opened
}

/// Opens a log of any content; opened once, it opens again, with the same records. Gives these.
fn opens_or_not(content: Vec<u8>) -> Option<Vec<Bytes>> {
    let disk = Disk::new(1);
    let path = Path::new("wal.log");
    let length = content.len();
    disk.damage(path, content);
    let opened = open(&disk, path)?;
    let bytes: usize = opened.records.iter().map(Bytes::len).sum();
    assert!(bytes <= length, "more came out than went in");
    let mut wal = opened.wal;
    wal.append(b"one more").expect("the log works");
    wal.sync().expect("the log works");
    let again = open(&disk, path).expect("a log that was opened opens again");
    let (last, before) = again.records.split_last().expect("the new one");
    assert_eq!((&last[..], before), (&b"one more"[..], &opened.records[..]));
    Some(opened.records)
}

/// A log file: these bytes as they are; behind a good header; and as frames of any kind and
/// content with good checksums.
pub fn log_file(bytes: &[u8]) {
    let _ = opens_or_not(bytes.to_vec());
    let mut behind = forged_log(OWNER, 3, &[]);
    behind.extend_from_slice(bytes);
    let _ = opens_or_not(behind);
    let mut feed = Feed::new(bytes);
    feed.hints = vec![0, 1, 2, 3, HEADER as u64];
    let mut frames = Vec::new();
    while !feed.is_empty() && frames.len() < 64 {
        let seal = [feed.number().to_le_bytes(), feed.number().to_le_bytes()].concat();
        let length = feed.below(48);
        match feed.byte() {
            0..120 => frames.push((1, feed.take(length).to_vec())),
            120..200 => frames.push((2, seal)),
            kind => frames.push((kind, feed.take(length).to_vec())),
        }
    }
    if let Some(records) = opens_or_not(forged_log(OWNER, 3, &frames)) {
        assert_eq!(records, honest_records(&frames), "records up to the first frame that is none");
    }
}

/// The records of such a log: up to the first frame that is neither a record nor a seal that
/// counts right.
fn honest_records(frames: &[(u8, Vec<u8>)]) -> Vec<Bytes> {
    let mut records = Vec::new();
    for (kind, payload) in frames {
        let count = (records.len() as u64).to_le_bytes();
        match kind {
            1 => records.push(Bytes::copy_from_slice(payload)),
            2 if payload.get(8..16) == Some(&count[..]) => {}
            _ => break,
        }
    }
    records
}

/// A data directory after edits: the choices say what is written to it, and then which bytes of
/// which file change. It is refused, or its records are a beginning of what was written.
pub fn directory(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    let disk = Disk::new(1);
    let dir = Path::new(DIR);
    let mut written = Vec::new();
    let Found { mut wal, mut snapshots, .. } =
        start_on(&disk, dir, OWNER, true).expect("a new directory");
    let mut kept = vec![None];
    for index in 1..=feed.below(4) as u64 {
        let meta = SnapshotMeta { index: LogIndex(index), epoch: 1, membership: <_>::default() };
        let bytes = vec![index as u8; feed.below(2_000)];
        snapshots.save(&meta, &bytes).expect("the disk works");
        kept.push(Some((meta, bytes)));
    }
    for _ in 0..feed.below(12) {
        let length = feed.below(64);
        let record = vec![written.len() as u8 + 1; length + 1];
        wal.append(&record).expect("the log works");
        written.push(Bytes::from(record));
        if feed.chance(100) {
            wal.sync().expect("the log works");
        }
    }
    wal.sync().expect("the log works");
    for _ in 0..=feed.below(4) {
        let names = ["wal.log", "identity.toml", "identity.toml.next", "snapshot.0", "snapshot.1"];
        let name = names[feed.below(names.len())];
        edit(&disk, &dir.join(name), &mut feed);
    }
    if let Ok(found) = start_on(&disk, dir, OWNER, feed.chance(20)) {
        assert!(found.records.len() <= written.len(), "records from nowhere");
        assert_eq!(found.records, written[..found.records.len()], "records were altered");
        assert!(kept.contains(&found.snapshot), "a snapshot was altered");
    }
}

fn edit(disk: &Disk, path: &Path, feed: &mut Feed<'_>) {
    let mut content = disk.content(path).unwrap_or_default();
    let (at, length) = (feed.below(content.len() + 1), feed.below(40));
    let end = (at + length).min(content.len());
    match feed.below(6) {
        0 => content.truncate(at),
        1 => drop(content.drain(at..end)),
        2 => drop(content.splice(at..at, feed.take(length).to_vec())),
        3 => content[at..end].fill(feed.byte()),
        4 => {
            let to = feed.below(content.len() - (end - at) + 1);
            content.copy_within(at..end, to);
        }
        _ => {
            if let Some(byte) = content.get_mut(at) {
                *byte ^= 1 << (feed.byte() % 8);
            }
        }
    }
    disk.damage(path, content);
}
