//! A replica's data directory over a disk that fails: the real log and the real identity file,
//! life after life, against a plain list of what was written.
//!
//! One seed is one run: the replica is set up, writes, syncs, keeps snapshots, forgets what they
//! cover, crashes, starts again, at any moment and also in the middle of a start, over a [`Disk`]
//! with the troubles that the seed has drawn.
//! The rules, by the names of the oracles:
//!
//! | oracle | rule |
//! |---|---|
//! | O4 | what a start finds is a prefix of what was written, unaltered |
//! | O6 | it holds everything that was reported durable; or the start *declares* that it cannot |
//! | O7 | no start gets the number of an earlier one, and a lost directory is not a new replica |
//! | O15 | a snapshot is what was kept, and there is one of everything that the log has forgotten |
//! | O18 | a directory that nobody damaged is never refused |

use crate::disk::{Disk, SECTOR, Trouble};
use bytes::Bytes;
use consensus_core::{ClusterId, LogIndex, Membership, NodeId, SnapshotMeta};
use std::fmt;
use std::path::{Path, PathBuf};
use synod_runtime::rig::{Found, Snapshots, start_on};
use synod_runtime::wal::{Owner, Wal};
use synod_runtime::{IdentityError, StartError};
use synod_sim::Rng;

pub(crate) const OWNER: Owner = Owner { cluster: ClusterId(0xd15c), node: NodeId(1) };
const DIR: &str = "data";
/// Header of the log, frame of a record less its payload, frame of a seal (`docs/formats.md`).
const HEADER: usize = 60;
const FRAME: usize = 9;
const SEAL: usize = 25;
/// Lengths of records: as long as a seal, to the byte a sector, and others.
const LENGTHS: [usize; 6] = [SEAL - FRAME, 8, 40, SECTOR - FRAME, 700, 3000];

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Breach {
    /// The oracle.
    pub oracle: &'static str,
    /// What happened.
    pub what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.oracle, self.what)
    }
}

pub(crate) fn breach<T>(oracle: &'static str, what: impl Into<String>) -> Result<T, Breach> {
    Err(Breach { oracle, what: what.into() })
}

/// What happened in a run, to see that the rare things did.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Story {
    /// Starts that succeeded.
    pub starts: u64,
    /// Starts that failed half-way, for a trouble of the disk.
    pub failed_starts: u64,
    /// Power cuts.
    pub power_cuts: u64,
    /// Processes that were killed while the page cache stayed.
    pub kills: u64,
    /// Writes and syncs that failed.
    pub failed_writes: u64,
    /// Times that a start lost records that nobody was promised.
    pub torn: u64,
    /// Damages.
    pub damages: u64,
    /// Damages that a start declared.
    pub declared: u64,
    /// Records that were reported durable.
    pub durable: u64,
    /// Snapshots that were kept.
    pub snapshots: u64,
    /// Times that the log was replaced.
    pub compactions: u64,
    /// Times that it was not known which of two logs is there, and it was the new one.
    pub came_through: u64,
    /// Starts that found an older snapshot than the newest, which was damaged, and could do with
    /// it.
    pub fell_back: u64,
}

impl Story {
    /// Both together.
    pub fn add(&mut self, other: &Self) {
        for (sum, one) in [
            (&mut self.starts, other.starts),
            (&mut self.failed_starts, other.failed_starts),
            (&mut self.power_cuts, other.power_cuts),
            (&mut self.kills, other.kills),
            (&mut self.failed_writes, other.failed_writes),
            (&mut self.torn, other.torn),
            (&mut self.damages, other.damages),
            (&mut self.declared, other.declared),
            (&mut self.durable, other.durable),
            (&mut self.snapshots, other.snapshots),
            (&mut self.compactions, other.compactions),
            (&mut self.came_through, other.came_through),
            (&mut self.fell_back, other.fell_back),
        ] {
            *sum += one;
        }
    }
}

/// Runs one seed.
///
/// # Errors
/// With the first rule that was broken.
pub fn check(seed: u64) -> Result<Story, Breach> {
    let mut run = Run::new(seed);
    let lives = run.rng.between(2, 8);
    for _ in 0..lives {
        let Some((wal, snapshots)) = run.start()? else { return Ok(run.story) };
        run.live(wal, snapshots)?;
        run.end_life();
        run.may_damage();
    }
    run.start()?;
    Ok(run.story)
}

struct Run {
    rng: Rng,
    disk: Disk,
    story: Story,
    /// Lengths of records in this run.
    lengths: Vec<usize>,
    /// Everything that was added to the log, and where its frame begins.
    written: Vec<(Bytes, usize)>,
    /// So many of them were reported durable.
    durable: usize,
    /// Where seals end.
    seals: Vec<usize>,
    /// The log's length at the last start.
    floor: usize,
    /// The log as it was written, without faults.
    pristine: Vec<u8>,
    incarnation: u32,
    /// The number of the last record in this life.
    number: u64,
    /// The log begins behind this index.
    base: u64,
    /// The newest snapshot that was reported durable is of this index.
    kept: u64,
    /// A replacement of the log failed: perhaps it holds these records now, behind this index.
    perhaps: Option<(Vec<Bytes>, u64)>,
    /// What the log was before it was last replaced, if a start has seen the replacement.
    older_log: Option<Vec<u8>>,
    older_log_next: Option<Vec<u8>>,
    /// The identity file of an earlier start than the last that synced something.
    older_identity: Option<Vec<u8>>,
    /// Something was synced since the last start.
    synced: bool,
    /// The replica is known to have an identity.
    exists: bool,
    damaged: bool,
    wiped: bool,
    next: u64,
}

pub(crate) fn meta_of(index: u64) -> SnapshotMeta {
    let membership = Membership { version: LogIndex(index / 2), ..Membership::default() };
    SnapshotMeta { index: LogIndex(index), epoch: index / 3, membership }
}

/// What a snapshot of this index holds: less than a chunk, or many, to the byte or not.
pub(crate) fn content_of(index: u64) -> Vec<u8> {
    let length = [1, 599, 600, 601, 1800, 2345][(index % 6) as usize];
    (0..length).map(|at: u64| (at.wrapping_mul(31) + index * 7) as u8).collect()
}

fn log() -> PathBuf {
    Path::new(DIR).join("wal.log")
}

fn identity() -> PathBuf {
    Path::new(DIR).join("identity.toml")
}

impl Run {
    fn new(seed: u64) -> Self {
        let mut rng = Rng::new(seed);
        let mut lengths = LENGTHS.to_vec();
        if rng.chance(6_000) {
            lengths = vec![rng.pick(&LENGTHS)];
        }
        let mut run = Self {
            rng,
            disk: Disk::new(seed),
            story: Story::default(),
            lengths,
            written: Vec::new(),
            durable: 0,
            seals: Vec::new(),
            floor: HEADER,
            pristine: Vec::new(),
            incarnation: 0,
            number: 0,
            base: 0,
            kept: 0,
            perhaps: None,
            older_log: None,
            older_log_next: None,
            older_identity: None,
            synced: false,
            exists: false,
            damaged: false,
            wiped: false,
            next: 0,
        };
        if run.rng.chance(5_000) {
            let former = run.former(seed);
            run.disk.haunt(former);
        }
        run
    }

    /// The log of a replica that lived on this disk before; its sectors were not wiped.
    fn former(&mut self, seed: u64) -> Vec<u8> {
        let disk = Disk::new(seed ^ 0x0f02_3e12);
        let found = start_on(&disk, Path::new(DIR), OWNER, true);
        let mut wal = found.expect("a good disk").wal;
        for _ in 0..60 {
            let record = self.record();
            wal.append(&record).expect("a good disk");
        }
        wal.write().expect("a good disk");
        disk.content(&log()).expect("the log")
    }

    /// No two records are equal.
    fn record(&mut self) -> Bytes {
        self.next += 1;
        let mut record = vec![self.next as u8; self.rng.pick(&self.lengths)];
        record[..8].copy_from_slice(&self.next.to_le_bytes());
        record.into()
    }

    /// Starts the replica, in as many attempts as it takes; `None` if it stays down, declaredly.
    fn start(&mut self) -> Result<Option<(Wal, Snapshots)>, Breach> {
        for attempt in 0.. {
            if attempt < 4 && self.rng.chance(3_000) {
                let trouble = self.rng.pick(&[Trouble::Once, Trouble::PowerCut]);
                self.disk.trouble_in(self.rng.below(24), trouble);
            }
            let failures = self.disk.failures();
            let before = self.disk.content(&identity());
            let found = start_on(&self.disk, Path::new(DIR), OWNER, !self.exists);
            self.disk.calm();
            match found {
                Ok(found) => {
                    self.older_identity = before;
                    return self.started(found);
                }
                Err(_) if self.disk.failures() > failures => {
                    self.story.failed_starts += 1;
                    self.may_lose_power();
                }
                // An earlier attempt came further than it could say; or not as far as it seemed.
                Err(StartError::Identity(IdentityError::Exists(_))) => self.exists = true,
                Err(StartError::Identity(IdentityError::Empty(_))) if self.incarnation == 0 => {
                    self.exists = false;
                }
                Err(_) if self.damaged => {
                    self.story.declared += 1;
                    return Ok(None);
                }
                Err(error) => return breach("O18", format!("an honest crash is refused: {error}")),
            }
        }
        Ok(None)
    }

    fn may_lose_power(&mut self) {
        if self.disk.is_dead() || self.rng.chance(3_000) {
            self.disk.lose_power();
            self.story.power_cuts += 1;
        }
    }

    /// The replica is up, and says what it remembers. `None` if a node would not start so.
    fn started(&mut self, found: Found) -> Result<Option<(Wal, Snapshots)>, Breach> {
        let Found { records, snapshot, incarnation, wal, snapshots } = found;
        if self.wiped {
            return breach("O7", "a replica that lost its directory came back as if it were new");
        }
        if incarnation.0 <= self.incarnation {
            return breach("O7", format!("start {} came twice", incarnation.0));
        }
        self.resolve(&records);
        let same = records.iter().zip(&self.written).all(|(found, (written, _))| found == written);
        if !same || records.len() > self.written.len() {
            return breach("O4", "a record was found that was not written, or not there");
        }
        if records.len() < self.durable {
            let (found, durable) = (records.len(), self.durable);
            return breach("O6", format!("{durable} records were durable, and {found} are found"));
        }
        if !self.found_snapshot(snapshot)? {
            self.story.declared += 1;
            return Ok(None);
        }
        self.story.starts += 1;
        self.story.torn += u64::from(records.len() < self.written.len());
        self.written.truncate(records.len());
        self.durable = records.len();
        self.number = records.len() as u64;
        self.incarnation = incarnation.0;
        self.exists = true;
        let end = wal.end() as usize;
        let sealed = self.disk.content(&log()).map_or(end, |content| content.len());
        self.seals.retain(|seal| *seal < sealed);
        self.seals.push(sealed);
        self.floor = sealed - SEAL;
        self.older_log = self.older_log_next.clone().or_else(|| self.older_log.take());
        self.synced = false;
        self.pristine = self.disk.content(&log()).unwrap_or_default();
        Ok(Some((wal, snapshots)))
    }

    /// Where a replacement of the log failed, what is found says whether it came about.
    fn resolve(&mut self, found: &[Bytes]) {
        let Some((records, base)) = self.perhaps.take() else { return };
        let is_new = found.first().is_some_and(|first| records.first() == Some(first));
        if is_new {
            self.story.came_through += 1;
            self.replaced(records, base);
        }
    }

    /// The log holds exactly these records now.
    fn replaced(&mut self, records: Vec<Bytes>, base: u64) {
        let mut place = HEADER;
        self.written.clear();
        for record in records {
            let length = record.len();
            self.written.push((record, place));
            place += FRAME + length;
        }
        self.base = base;
        self.durable = self.written.len();
        self.seals = vec![place + SEAL];
        self.floor = place + SEAL;
    }

    /// Judges the snapshot that a start found: is it what was kept, and does it reach to where the
    /// log begins? False if it does not, after damage, which a node declares.
    fn found_snapshot(&mut self, found: Option<(SnapshotMeta, Vec<u8>)>) -> Result<bool, Breach> {
        let index = found.as_ref().map_or(0, |(meta, _)| meta.index.0);
        if let Some((meta, bytes)) = found
            && (meta != meta_of(index) || bytes != content_of(index))
        {
            return breach("O15", format!("the snapshot of {index} is not what was kept"));
        }
        if !self.damaged && index < self.kept.max(self.base) {
            let (kept, base) = (self.kept, self.base);
            return breach(
                "O15",
                format!(
                    "{kept} was kept, the log begins at {base}, and a snapshot of {index} is left"
                ),
            );
        }
        self.story.fell_back += u64::from(self.base <= index && index < self.kept);
        self.kept = index;
        Ok(self.base <= index)
    }

    /// Writes and syncs for a while.
    fn live(&mut self, mut wal: Wal, mut snapshots: Snapshots) -> Result<(), Breach> {
        if self.rng.chance(4_000) {
            let trouble = self.rng.pick(&[Trouble::Once, Trouble::Once, Trouble::PowerCut]);
            self.disk.trouble_in(self.rng.below(40), trouble);
        }
        for _ in 0..self.rng.below(16) {
            for _ in 0..self.rng.between(0, 4) {
                let record = self.record();
                let place = wal.end() as usize;
                if wal.append(&record).is_ok() {
                    self.written.push((record, place));
                    self.number += 1;
                }
            }
            let worked = match self.rng.below(10) {
                0 | 1 => wal.write().is_ok(),
                2 => self.keep_snapshot(&mut wal, &mut snapshots)?,
                _ => self.sync(&mut wal)?,
            };
            if !worked {
                self.story.failed_writes += 1;
                // Who goes on all the same must not be told that anything is durable.
                if self.rng.chance(5_000) {
                    break;
                }
            }
        }
        self.disk.calm();
        Ok(())
    }

    fn sync(&mut self, wal: &mut Wal) -> Result<bool, Breach> {
        let Ok(upto) = wal.sync() else { return Ok(false) };
        if self.perhaps.is_some() {
            return breach("O6", "durable in a log of which nobody knows whether it is the log");
        }
        if upto.0 != self.number {
            return breach("O4", format!("{} is durable of {}", upto.0, self.number));
        }
        self.story.durable += (self.written.len() - self.durable) as u64;
        self.durable = self.written.len();
        self.synced = true;
        self.seals.push(wal.end() as usize);
        self.pristine = self.disk.content(&log()).unwrap_or_default();
        Ok(true)
    }

    /// Keeps a snapshot of everything that was written so far, its own or another's, and perhaps
    /// lets the log forget what it covers.
    fn keep_snapshot(&mut self, wal: &mut Wal, snapshots: &mut Snapshots) -> Result<bool, Breach> {
        let index = self.next;
        if index <= self.kept {
            return Ok(true);
        }
        let (meta, content) = (meta_of(index), content_of(index));
        let kept = if self.rng.chance(5_000) {
            snapshots.save(&meta, &content)
        } else {
            let (one, rest) = content.split_at(content.len() / 3);
            snapshots.receive(&meta, &[one, rest])
        };
        if kept.is_err() {
            return Ok(false);
        }
        self.kept = index;
        self.story.snapshots += 1;
        if self.rng.chance(3_000) {
            return Ok(true);
        }
        // The log keeps a tail for those that are slow, and begins with a record of its own.
        let tail = self.written.len() - self.rng.place(self.written.len() + 1);
        let mut records = vec![self.record()];
        records.extend(self.written[tail..].iter().map(|(record, _)| record.clone()));
        let plain: Vec<Vec<u8>> = records.iter().map(|record| record.to_vec()).collect();
        let before = self.disk.content(&log());
        if wal.compact(&self.disk, &plain).is_err() {
            self.perhaps.get_or_insert((records, index));
            return Ok(false);
        }
        self.replaced(records, index);
        self.number += 1;
        // The sectors of the old file are free, and the new one may get them.
        if let Some(before) = before.clone().filter(|_| self.rng.chance(3_000)) {
            self.disk.haunt(before);
        }
        self.older_log_next = before;
        self.synced = true;
        self.story.compactions += 1;
        self.pristine = self.disk.content(&log()).unwrap_or_default();
        Ok(true)
    }

    /// The process dies, and perhaps the power with it.
    fn end_life(&mut self) {
        if self.disk.is_dead() || self.rng.chance(6_000) {
            self.disk.lose_power();
            self.story.power_cuts += 1;
        } else {
            self.story.kills += 1;
        }
    }

    /// Damages something that was synced, and that must be noticed.
    fn may_damage(&mut self) {
        if !self.rng.chance(2_500) || self.damaged {
            return;
        }
        self.damaged = true;
        self.story.damages += 1;
        match self.rng.below(14) {
            10 | 11 => self.rot_snapshot(),
            12 => self.put_back(&log(), self.older_log.clone()),
            13 if self.synced => self.put_back(&identity(), self.older_identity.clone()),
            0 => {
                self.disk.wipe();
                self.wiped = true;
            }
            1 => self.rot_identity(),
            2 | 3 => self.cut_log(),
            kind => self.rot_log(kind),
        }
    }

    /// An old copy of a file takes its place.
    fn put_back(&mut self, path: &Path, content: Option<Vec<u8>>) {
        if let Some(content) = content {
            self.disk.damage(path, content);
        }
    }

    fn rot_snapshot(&mut self) {
        let path = Path::new(DIR).join(self.rng.pick(&["snapshot.0", "snapshot.1"]));
        let Some(mut bytes) = self.disk.content(&path).filter(|bytes| !bytes.is_empty()) else {
            return;
        };
        let at = self.rng.place(bytes.len());
        match self.rng.below(3) {
            0 => bytes.truncate(at),
            1 => bytes[at..].fill(0),
            _ => bytes[at] ^= 1 << self.rng.below(8),
        }
        self.disk.damage(&path, bytes);
    }

    fn rot_identity(&mut self) {
        let Some(mut text) = self.disk.content(&identity()) else { return };
        let at = self.rng.place(text.len());
        text[at] ^= 1 << self.rng.below(8);
        self.disk.damage(&identity(), text);
    }

    /// The file loses an end that was durable when the replica last started, best at a seam.
    fn cut_log(&mut self) {
        let Some(mut bytes) = self.disk.content(&log()) else { return };
        let mut seams: Vec<usize> = self.written.iter().map(|(_, place)| *place).collect();
        seams.extend(&self.seals);
        seams.retain(|seam| *seam < self.floor);
        let any = self.rng.place(self.floor);
        let seam = if seams.is_empty() { any } else { self.rng.pick(&seams) };
        bytes.truncate(if self.rng.chance(8_000) { seam } else { any });
        self.disk.damage(&log(), bytes);
    }

    /// Bit rot, misdirected frames, stale or empty sectors: somewhere before a seal that stands,
    /// which proves that it was synced.
    fn rot_log(&mut self, kind: u64) {
        let Some(mut bytes) = self.disk.content(&log()) else { return };
        let stands = |seal: &&usize| {
            let place = **seal - SEAL..**seal;
            bytes.get(place.clone()) == self.pristine.get(place)
        };
        let Some(seal) = self.seals.iter().rev().find(stands) else { return };
        let limit = seal - SEAL;
        match kind {
            4 | 5 => {
                let at = self.rng.place(limit);
                bytes[at] ^= 1 << self.rng.below(8);
            }
            6 => {
                let sector = self.rng.place(limit.div_ceil(SECTOR)) * SECTOR;
                bytes[sector..(sector + SECTOR).min(limit)].fill(0);
            }
            _ => self.misdirect(&mut bytes, limit),
        }
        self.disk.damage(&log(), bytes);
    }

    /// The frame of one record stands where another's should.
    fn misdirect(&mut self, bytes: &mut [u8], limit: usize) {
        let places = |(record, place): &(Bytes, usize)| (*place, FRAME + record.len());
        let frames: Vec<_> = self.written.iter().map(places).collect();
        let inside: Vec<_> = frames.into_iter().filter(|(at, len)| at + len <= limit).collect();
        if inside.is_empty() {
            return;
        }
        let (from, length) = self.rng.pick(&inside);
        let same: Vec<_> = inside.iter().filter(|frame| frame.1 == length).collect();
        let (to, _) = **same.get(self.rng.place(same.len())).expect("at least itself");
        bytes.copy_within(from..from + length, to);
    }
}
