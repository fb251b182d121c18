//! The log against a hostile disk: cut everywhere, flipped everywhere, torn in any order. Whatever
//! was synced comes back, or the log says that it does not; never a silent loss, never a panic.

use bytes::Bytes;
use consensus_core::{ClusterId, NodeId, RecordNumber};
use proptest::prelude::*;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use synod_runtime::wal::{Floor, Owner, Recovered, SyncPolicy, Wal, WalError};
use synod_runtime::{DiscardUnsynced, Files, LogFile, Storage};

const OWNER: Owner = Owner { cluster: ClusterId(0x5eed), node: NodeId(1) };
const HEADER: usize = 60;
const SEAL: usize = 25;

/// A log file in the temporary directory, removed when dropped.
struct Log(PathBuf);

impl Log {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let dir = std::env::temp_dir().join(format!("synod-wal-{}-{number}", std::process::id()));
        fs::create_dir_all(&dir).expect("a directory for the test");
        Self(dir.join("wal.log"))
    }

    fn create(&self) -> Wal {
        Wal::create(&Files, &self.0, OWNER, SyncPolicy::Sync).expect("a new log")
    }

    fn open(&self) -> Result<Recovered, WalError> {
        Wal::open(&Files, &self.0, OWNER, SyncPolicy::Sync, Floor::default())
    }

    fn bytes(&self) -> Vec<u8> {
        fs::read(&self.0).expect("the log")
    }

    fn put(&self, bytes: &[u8]) {
        fs::write(&self.0, bytes).expect("the log");
    }
}

impl Drop for Log {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().expect("a directory"));
    }
}

fn record(number: usize) -> Bytes {
    (0..number % 7 + 1).map(|byte| (byte * 31 + number) as u8).collect()
}

/// A log with these many records a sync, and where each record and each synced part ends.
fn written(log: &Log, syncs: &[usize]) -> (Vec<Bytes>, Vec<usize>) {
    let mut wal = log.create();
    let mut records = Vec::new();
    let mut synced_ends = Vec::new();
    for count in syncs {
        for _ in 0..*count {
            records.push(record(records.len()));
            wal.append(records.last().expect("one")).expect("room");
        }
        assert_eq!(wal.sync().expect("synced"), RecordNumber(records.len() as u64));
        synced_ends.push(wal.end() as usize);
    }
    (records, synced_ends)
}

#[test]
fn what_was_written_is_read_again_and_numbers_go_on() {
    let log = Log::new();
    let (mut records, _) = written(&log, &[1, 3, 0, 2]);
    let mut opened = log.open().expect("intact");
    assert_eq!(opened.records, records);
    assert_eq!(opened.torn, 0);
    records.push(Bytes::from_static(b"one more"));
    assert_eq!(opened.wal.append(b"one more").expect("room"), RecordNumber(7));
    opened.wal.sync().expect("synced");
    assert_eq!(log.open().expect("intact").records, records);
}

/// A file that ends early is a write that was cut short: every whole record before stays.
#[test]
fn cut_at_every_byte_it_keeps_exactly_the_whole_records() {
    let log = Log::new();
    let (records, _) = written(&log, &[1, 2, 1]);
    let whole = log.bytes();
    let mut before = 0;
    for length in 0..=whole.len() {
        log.put(&whole[..length]);
        let opened = log.open();
        if length < HEADER {
            assert!(matches!(opened, Err(WalError::BadHeader { .. })), "length {length}");
            continue;
        }
        let found = opened.expect("a torn log is a log").records;
        assert_eq!(found, records[..found.len()], "length {length}");
        assert!(found.len() >= before, "length {length}");
        before = found.len();
        let again = log.open().expect("what was cut stays cut");
        assert_eq!((again.records, again.torn), (found, 0));
    }
    assert_eq!(before, records.len());
}

/// The length that was durable at the last start is kept elsewhere: a file that lost its end since
/// then is not taken for a torn one.
#[test]
fn a_file_that_became_shorter_than_it_was_is_noticed() {
    let log = Log::new();
    written(&log, &[2, 2]);
    let synced = log.open().expect("intact").synced;
    let floor = Floor { generation: 0, bytes: synced };
    let whole = log.bytes();
    for length in HEADER..synced as usize {
        log.put(&whole[..length]);
        let opened = Wal::open(&Files, &log.0, OWNER, SyncPolicy::Sync, floor);
        assert!(matches!(opened, Err(WalError::Shorter { .. })), "length {length}");
        assert_eq!(log.bytes().len(), length, "an error changes nothing");
    }
    log.put(&whole[..synced as usize]);
    assert!(Wal::open(&Files, &log.0, OWNER, SyncPolicy::Sync, floor).is_ok());
}

/// The bug D02 of our list: damage taken for a torn tail. Everything here was synced, so each
/// flipped bit is an error, but in the last seal, which holds no record.
#[test]
fn every_flipped_bit_of_what_was_synced_is_an_error() {
    let log = Log::new();
    let (records, ends) = written(&log, &[2, 1, 2]);
    let whole = log.bytes();
    assert_eq!(ends.last(), Some(&whole.len()));
    for bit in 0..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        log.put(&flipped);
        let opened = log.open();
        if bit / 8 >= whole.len() - SEAL {
            assert_eq!(opened.expect("only the seal is damaged").records, records, "bit {bit}");
            continue;
        }
        match opened {
            Err(WalError::BadHeader { .. }) => assert!(bit / 8 < HEADER, "bit {bit}"),
            Err(WalError::Damaged { offset, .. }) => {
                assert!(offset as usize <= bit / 8, "the damage is found where it is: bit {bit}");
            }
            other => panic!("bit {bit}: {:?}", other.map(|opened| opened.records).err()),
        }
        assert_eq!(log.bytes(), flipped, "an error changes nothing");
    }
}

/// What was written after the last sync and never promised may be lost, from the first damage on;
/// what was synced before may not.
#[test]
fn every_flipped_bit_of_what_was_not_synced_cuts_there() {
    let log = Log::new();
    let mut wal = log.create();
    for number in 0..2 {
        wal.append(&record(number)).expect("room");
    }
    wal.sync().expect("synced");
    let sealed = wal.end() as usize;
    let mut starts = Vec::new();
    for number in 2..5 {
        starts.push(wal.end() as usize);
        wal.append(&record(number)).expect("room");
    }
    wal.write().expect("written");
    let whole = log.bytes();
    for bit in sealed * 8..whole.len() * 8 {
        let mut flipped = whole.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        log.put(&flipped);
        let opened = log.open().expect("nothing that was promised is damaged");
        let intact = starts.iter().filter(|start| **start <= bit / 8).count() - 1;
        let expected: Vec<_> = (0..2 + intact).map(record).collect();
        assert_eq!(opened.records, expected, "bit {bit}");
    }
}

/// A power cut may leave the later pages of an unsynced write, and not the earlier ones. Whole
/// records behind the hole were never promised; they are no reason to refuse to start.
#[test]
fn a_hole_in_an_unsynced_write_is_torn_not_damaged() {
    let log = Log::new();
    let mut wal = log.create();
    wal.append(b"promised").expect("room");
    wal.sync().expect("synced");
    let hole = wal.end() as usize;
    for _ in 0..3 {
        wal.append(&[7; 50]).expect("room");
    }
    wal.write().expect("written");
    let mut bytes = log.bytes();
    bytes[hole..hole + 40].fill(0);
    log.put(&bytes);
    let opened = log.open().expect("torn");
    assert_eq!(opened.records, [&b"promised"[..]]);
    assert_eq!(opened.torn as usize, bytes.len() - hole);
}

#[test]
fn zeros_and_garbage_behind_the_end_are_cut_off() {
    let log = Log::new();
    let (records, _) = written(&log, &[2]);
    let whole = log.bytes();
    for tail in [vec![0; 4096], vec![0xff; 100], b"\x05\0\0\0\x01abcdHello".to_vec()] {
        log.put(&[&whole[..], &tail].concat());
        let opened = log.open().expect("torn");
        assert_eq!((opened.records, opened.torn), (records.clone(), tail.len() as u64));
    }
}

/// Misdirected writes: well-formed frames of another place or another file are no frames here.
#[test]
fn frames_of_another_place_or_file_are_not_believed() {
    let log = Log::new();
    let mut wal = log.create();
    for _ in 0..3 {
        wal.append(b"equal").expect("room");
    }
    wal.sync().expect("synced");
    let bytes = log.bytes();
    let frame = |number: usize| HEADER + number * 14..HEADER + (number + 1) * 14;
    let mut moved = bytes.clone();
    moved.copy_within(frame(0), frame(1).start);
    assert_ne!(moved, bytes, "equal records have different frames");
    log.put(&moved);
    assert!(matches!(log.open(), Err(WalError::Damaged { record: RecordNumber(2), .. })));

    let other = Log::new();
    let (_, ends) = written(&other, &[1, 2]);
    let spliced = [&other.bytes()[..ends[0]], &bytes[ends[0].min(bytes.len())..]].concat();
    other.put(&spliced);
    assert_eq!(other.open().expect("the rest is garbage here").records.len(), 1);
}

#[test]
fn a_log_of_another_replica_or_cluster_or_format_is_refused() {
    let log = Log::new();
    written(&log, &[1]);
    for owner in [Owner { node: NodeId(2), ..OWNER }, Owner { cluster: ClusterId(1), ..OWNER }] {
        let opened = Wal::open(&Files, &log.0, owner, SyncPolicy::Sync, Floor::default());
        assert!(matches!(opened, Err(WalError::Foreign { found: OWNER, .. })));
    }
    assert!(
        Wal::create(&Files, &log.0, OWNER, SyncPolicy::Sync).is_err(),
        "nothing is overwritten"
    );
}

fn plain(records: &[Bytes]) -> Vec<Vec<u8>> {
    records.iter().map(|record| record.to_vec()).collect()
}

/// What the protocol keeps takes the place of everything before it; numbers go on in this life, and
/// count what is there in the next.
#[test]
fn a_log_that_was_replaced_holds_what_replaced_it() {
    let log = Log::new();
    written(&log, &[3, 4]);
    let mut wal = log.open().expect("intact").wal;
    wal.append(b"only added").expect("room");
    let mut kept: Vec<_> = (20..23).map(record).collect();
    assert_eq!(wal.compact(&Files, &plain(&kept)).expect("replaced"), RecordNumber(9));
    assert_eq!(wal.append(b"behind").expect("room"), RecordNumber(10));
    assert_eq!(wal.sync().expect("synced"), RecordNumber(10));
    kept.push(Bytes::from_static(b"behind"));
    let opened = log.open().expect("intact");
    assert_eq!((opened.records, opened.wal.generation()), (kept, 1));
    assert_eq!(opened.wal.last(), RecordNumber(4));
}

/// The bug D23: a log that was put back from before it was replaced. And a replaced log that lost
/// its end is noticed even before the identity file knows of it.
#[test]
fn an_old_copy_of_a_replaced_log_and_a_shortened_new_one_are_refused() {
    let log = Log::new();
    written(&log, &[3]);
    let old = log.bytes();
    let mut wal = log.open().expect("intact").wal;
    wal.compact(&Files, &plain(&[record(7), record(8)])).expect("replaced");
    let whole = log.bytes();
    let seen = Floor { generation: 1, bytes: 0 };
    log.put(&old);
    let opened = Wal::open(&Files, &log.0, OWNER, SyncPolicy::Sync, seen);
    assert!(matches!(opened, Err(WalError::Older { found: 0, expected: 1, .. })));
    for length in HEADER..whole.len() {
        log.put(&whole[..length]);
        assert!(matches!(log.open(), Err(WalError::Shorter { .. })), "length {length}");
    }
    log.put(&whole);
    assert!(log.open().is_ok());
}

/// A replacement that failed half-way: it is not known which log is there, so neither is used.
#[test]
fn after_a_failed_replacement_the_log_is_never_used_again() {
    for fail_at in 1..=2 {
        let log = Log::new();
        let (records, _) = written(&log, &[2]);
        let mut wal = log.open().expect("intact").wal;
        let replaced = wal.compact(&Failing { fail_at }, &plain(&[record(9)]));
        assert!(matches!(replaced, Err(WalError::Io { .. })), "call {fail_at} fails");
        assert!(matches!(wal.append(b"more"), Err(WalError::Poisoned)));
        assert!(matches!(wal.compact(&Files, &[]), Err(WalError::Poisoned)));
        assert_eq!(log.open().expect("the old one").records, records);
    }
}

/// Fails from one call on, once, and would then succeed again.
struct Failing {
    fail_at: u32,
}

struct FailingFile {
    file: Box<dyn LogFile>,
    left: u32,
}

impl Storage for Failing {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(FailingFile { file: Files.open(path, create)?, left: self.fail_at }))
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

impl FailingFile {
    fn fails(&mut self) -> io::Result<()> {
        self.left = self.left.wrapping_sub(1);
        if self.left == 0 { Err(io::Error::other("the disk said no")) } else { Ok(()) }
    }
}

impl LogFile for FailingFile {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.file.read()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.fails()?;
        self.file.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.fails()?;
        self.file.sync()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.fails()?;
        self.file.cut(length)
    }

    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.fails()?;
        self.file.rewrite(at, bytes)
    }
}

/// The bug D01 of our list: a failed sync tried again, and its second "ok" believed.
#[test]
fn after_one_failure_the_log_is_never_used_again() {
    let log = Log::new();
    drop(log.create());
    // open: sync 1, seal 2; then the first record: write 3, sync 4, seal 5.
    for fail_at in 3..=5 {
        let storage = Failing { fail_at };
        let opened = Wal::open(&storage, &log.0, OWNER, SyncPolicy::Sync, Floor::default());
        let mut wal = opened.expect("nothing failed yet").wal;
        wal.append(b"record").expect("room");
        assert!(matches!(wal.sync(), Err(WalError::Io { .. })), "call {fail_at} fails");
        assert!(matches!(wal.sync(), Err(WalError::Poisoned)));
        assert!(matches!(wal.append(b"more"), Err(WalError::Poisoned)));
        assert!(matches!(wal.write(), Err(WalError::Poisoned)));
    }
}

/// A seal says that what stands before it was synced, so it may not come before the sync: else an
/// honest crash would look like damage.
#[test]
fn a_sync_that_failed_leaves_no_seal() {
    for fail_at in 4..=5 {
        let log = Log::new();
        drop(log.create());
        let storage = Failing { fail_at };
        let opened = Wal::open(&storage, &log.0, OWNER, SyncPolicy::Sync, Floor::default());
        let mut wal = opened.expect("nothing failed yet").wal;
        let start = wal.end() as usize;
        wal.append(b"nobody was told").expect("room");
        assert!(wal.sync().is_err());
        let mut bytes = log.bytes();
        assert!(bytes.len() > start, "the record was written");
        bytes[start] ^= 1;
        log.put(&bytes);
        assert_eq!(log.open().expect("torn, not damaged").records.len(), 0);
    }
}

/// Property 2 of the contract can be tested with a kill only over a disk that forgets.
#[test]
fn a_disk_that_forgets_keeps_exactly_what_was_synced() {
    let log = Log::new();
    let mut wal = Wal::create(&DiscardUnsynced, &log.0, OWNER, SyncPolicy::Sync).expect("new");
    wal.append(b"synced").expect("room");
    wal.sync().expect("synced");
    wal.append(b"only written").expect("room");
    wal.write().expect("written");
    drop(wal);
    let opened = Wal::open(&DiscardUnsynced, &log.0, OWNER, SyncPolicy::Sync, Floor::default())
        .expect("intact");
    assert_eq!(opened.records, [&b"synced"[..]]);
}

proptest! {
    /// Any damage at all to a log whose first part was synced: the synced records, or an error.
    #[test]
    fn what_was_synced_is_never_lost_without_a_word(
        synced in 1usize..6,
        unsynced in 0usize..5,
        wounds in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        cut in any::<prop::sample::Index>(),
        cuts in any::<bool>(),
    ) {
        let log = Log::new();
        let mut wal = log.create();
        for number in 0..synced {
            wal.append(&record(number)).expect("room");
        }
        wal.sync().expect("synced");
        let sealed = wal.end() as usize;
        for number in synced..synced + unsynced {
            wal.append(&record(number)).expect("room");
        }
        wal.write().expect("written");
        let mut bytes = log.bytes();
        for (at, value) in wounds {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if cuts {
            // A crash keeps what was synced, so only the rest is cut.
            bytes.truncate(sealed + cut.index(bytes.len() - sealed + 1));
        }
        log.put(&bytes);
        let all: Vec<_> = (0..synced + unsynced).map(record).collect();
        // A damaged seal leaves nobody to say that the records before it were synced.
        let seal_whole = log.bytes()[sealed - SEAL..sealed] == original_seal(&log, sealed, synced);
        match log.open() {
            Ok(opened) => {
                prop_assert_eq!(&opened.records[..], &all[..opened.records.len()]);
                prop_assert!(opened.records.len() >= synced || !seal_whole);
            }
            Err(WalError::Damaged { .. } | WalError::BadHeader { .. }) => {}
            Err(other) => prop_assert!(false, "{other}"),
        }
    }
}

/// The seal as the file's own salt makes it; empty if the header is damaged.
fn original_seal(log: &Log, sealed: usize, synced: usize) -> Vec<u8> {
    let bytes = log.bytes();
    let position = (sealed - SEAL) as u64;
    let mut crc = crc32fast::Hasher::new();
    crc.update(&bytes[28..36]);
    crc.update(&position.to_le_bytes());
    crc.update(&16u32.to_le_bytes());
    crc.update(&[2]);
    let payload = [position.to_le_bytes(), (synced as u64).to_le_bytes()].concat();
    crc.update(&payload);
    let head = [&16u32.to_le_bytes()[..], &[2], &crc.finalize().to_le_bytes()];
    [&head.concat()[..], &payload].concat()
}
