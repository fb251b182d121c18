//! Every crash of one small history: where [`storage`](crate::storage) draws what goes wrong, this
//! rig goes through all of it.
//!
//! A replica is set up, writes, syncs, keeps snapshots, replaces its log and starts again: the
//! calls of that to the disk are counted. Then, for each of them,
//!
//! * the power is cut in that call, and the replica starts from every [image](crate::disk::images)
//!   that this may leave; where all or nothing is left, it is cut once more in each
//!   call of that start;
//! * the call fails, the node stops, as it must, and starts again while the page cache is still
//!   there; then the power is cut after all, in that start or behind it.
//!
//! The rules are those of the other rig: O4, O6, O7, O15, O18. After each start the replica writes
//! and syncs once more, and starts again: what it found must do to go on with.

use crate::disk::images::Image;
use crate::disk::{Disk, Trouble};
use crate::storage::{Breach, OWNER, breach, content_of, meta_of};
use bytes::Bytes;
use std::path::Path;
use synod_runtime::rig::{Found, Snapshots, start_on};
use synod_runtime::wal::Wal;
use synod_runtime::{IdentityError, StartError};

const DIR: &str = "data";

/// One thing that a replica does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Deed {
    /// Adds a record of this length.
    Append(usize),
    /// Hands what was added to the system.
    Write,
    /// Makes it durable.
    Sync,
    /// Keeps a snapshot of everything so far.
    Save,
    /// Keeps another replica's.
    Receive,
    /// Lets the log forget all but so many of its last records.
    Compact(usize),
    /// Is killed, and starts again.
    Restart,
}

/// The history that is gone through: everything that a log and its snapshots can meet.
pub const HISTORY: &[Deed] = &[
    Deed::Append(40),
    Deed::Append(700),
    Deed::Sync,
    Deed::Append(16),
    Deed::Write,
    Deed::Append(600),
    Deed::Sync,
    Deed::Restart,
    Deed::Append(503),
    Deed::Sync,
    Deed::Append(8),
    Deed::Save,
    Deed::Compact(1),
    Deed::Append(16),
    Deed::Sync,
    Deed::Append(30),
    Deed::Write,
    Deed::Restart,
    Deed::Receive,
    Deed::Compact(0),
    Deed::Append(1500),
    Deed::Sync,
    Deed::Save,
    Deed::Compact(2),
    Deed::Restart,
    Deed::Append(9),
    Deed::Sync,
];

/// What was tried.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tried {
    /// Calls of the history.
    pub calls: u64,
    /// Images of power cuts in it.
    pub images: u64,
    /// Power cuts in the start from one.
    pub second_cuts: u64,
    /// Calls that failed without a power cut.
    pub failures: u64,
}

/// What the replica did so far, and what it was promised.
#[derive(Clone, Debug, Default)]
struct Past {
    written: Vec<Bytes>,
    /// So many of them were reported durable.
    durable: usize,
    /// The number of the last record in this life.
    number: u64,
    incarnation: u32,
    /// The newest snapshot that was reported durable.
    kept: u64,
    /// The log begins behind this index.
    base: u64,
    /// A replacement of the log that failed: the log holds these records, behind this index, or
    /// what it held before.
    perhaps: Option<(Vec<Bytes>, u64)>,
    next: u64,
}

/// A replica that is up.
struct Life {
    wal: Wal,
    snapshots: Snapshots,
}

/// Goes through all crashes of this history.
///
/// # Errors
/// With the first rule that was broken, and where.
pub fn check(history: &[Deed]) -> Result<Tried, String> {
    let mut tried = Tried::default();
    let (whole, past) = play(history, None).map_err(|breach| format!("untroubled: {breach}"))?;
    go_on(&whole, past).map_err(|breach| format!("untroubled: {breach}"))?;
    tried.calls = whole.calls();
    for call in 0..tried.calls {
        let at = |what: &str, breach: Breach| format!("call {call}, {what}: {breach}");
        let (disk, past) =
            play(history, Some((call, Trouble::PowerCut))).map_err(|it| at("before", it))?;
        for image in disk.images() {
            tried.images += 1;
            cut_and_start(&disk, &past, &image, &mut tried)
                .map_err(|it| at(&format!("{image:?}"), it))?;
        }
        tried.failures += 1;
        let (disk, past) =
            play(history, Some((call, Trouble::Once))).map_err(|it| at("before", it))?;
        fail_and_start(&disk, past, &mut tried).map_err(|it| at("a failure", it))?;
    }
    Ok(tried)
}

/// Plays a history until it ends or meets the trouble.
fn play(history: &[Deed], trouble: Option<(u64, Trouble)>) -> Result<(Disk, Past), Breach> {
    let disk = Disk::new(0);
    disk.be_thorough();
    let mut past = Past::default();
    if let Some((call, trouble)) = trouble {
        disk.trouble_in(call, trouble);
    }
    let Some(mut life) = past.start(&disk)? else { return Ok((disk, past)) };
    for deed in history {
        if *deed == Deed::Restart {
            drop(life);
            match past.start(&disk)? {
                Some(again) => life = again,
                None => break,
            }
        } else if !past.act(*deed, &mut life, &disk)? {
            break;
        }
    }
    Ok((disk, past))
}

/// The power is cut and leaves this; the replica starts, also if it is cut once more.
fn cut_and_start(disk: &Disk, past: &Past, image: &Image, tried: &mut Tried) -> Result<(), Breach> {
    let left = disk.copy();
    left.lose_power_as(image);
    let again = left.copy();
    let before = again.calls();
    go_on(&again, past.clone())?;
    if image.is_plain() {
        cut_in_the_start(&left, past, again.calls() - before, tried)?;
    }
    Ok(())
}

/// The power is cut in each of so many calls of a start, and leaves all names or none of the new
/// ones, and all bytes or none.
fn cut_in_the_start(disk: &Disk, past: &Past, calls: u64, tried: &mut Tried) -> Result<(), Breach> {
    for call in 0..calls {
        let second = disk.copy();
        second.trouble_in(call, Trouble::PowerCut);
        let mut past = past.clone();
        if past.start(&second)?.is_some() {
            break; // What follows is a history like that of before.
        }
        for image in second.images().into_iter().filter(Image::is_coarse) {
            tried.second_cuts += 1;
            let third = second.copy();
            third.lose_power_as(&image);
            go_on(&third, past.clone())?;
        }
    }
    Ok(())
}

/// The node stopped, since a call failed; it starts while the page cache is there, and once more
/// after a power cut that leaves nothing of it.
fn fail_and_start(disk: &Disk, mut past: Past, tried: &mut Tried) -> Result<(), Breach> {
    disk.calm();
    let (before, stopped) = (disk.calls(), disk.copy());
    let as_it_was = past.clone();
    let Some(life) = past.start(disk)? else {
        return breach("O18", "it does not start after a failure of the disk");
    };
    drop(life);
    for image in disk.images() {
        let left = disk.copy();
        left.lose_power_as(&image);
        go_on(&left, past.clone())?;
    }
    cut_in_the_start(&stopped, &as_it_was, disk.calls() - before, tried)
}

/// Starts, writes and syncs a record, and starts again after a power cut that leaves nothing but
/// what was synced: nothing is lost.
fn go_on(disk: &Disk, mut past: Past) -> Result<(), Breach> {
    disk.calm();
    let refused = || breach("O18", "it does not start from what an honest crash left");
    let Some(mut life) = past.start(disk)? else { return refused() };
    for deed in [Deed::Append(11), Deed::Sync] {
        if !past.act(deed, &mut life, disk)? {
            return breach("O18", "the disk works, and the log does not");
        }
    }
    drop(life);
    disk.lose_power_as(&Image::nothing());
    match past.start(disk)? {
        Some(_) => Ok(()),
        None => refused(),
    }
}

impl Past {
    /// No two records are equal.
    fn record(&mut self, length: usize) -> Bytes {
        self.next += 1;
        let mut record = vec![self.next as u8; length.max(8)];
        record[..8].copy_from_slice(&self.next.to_le_bytes());
        record.into()
    }

    /// Starts the replica and judges what it finds. `None` where the disk failed.
    fn start(&mut self, disk: &Disk) -> Result<Option<Life>, Breach> {
        let failures = disk.failures();
        let mut create = self.incarnation == 0;
        loop {
            match start_on(disk, Path::new(DIR), OWNER, create) {
                Ok(found) => return self.found(found).map(Some),
                Err(_) if disk.failures() > failures => return Ok(None),
                // An earlier attempt came further than it could say.
                Err(StartError::Identity(IdentityError::Exists(_)))
                    if create && self.incarnation == 0 =>
                {
                    create = false;
                }
                Err(error) => {
                    return breach("O18", format!("an honest crash is refused: {error}"));
                }
            }
        }
    }

    fn found(&mut self, found: Found) -> Result<Life, Breach> {
        let Found { records, snapshot, incarnation, wal, snapshots } = found;
        if incarnation.0 <= self.incarnation {
            return breach("O7", format!("start {} came twice", incarnation.0));
        }
        self.incarnation = incarnation.0;
        if let Some((replaced, base)) = self.perhaps.take()
            && records.first() == replaced.first()
        {
            self.replaced(replaced, base);
        }
        if records.len() > self.written.len() || records[..] != self.written[..records.len()] {
            return breach("O4", "a record was found that was not written, or not there");
        }
        if records.len() < self.durable {
            let (found, durable) = (records.len(), self.durable);
            return breach("O6", format!("{durable} records were durable, and {found} are found"));
        }
        let index = snapshot.as_ref().map_or(0, |(meta, _)| meta.index.0);
        if snapshot
            .is_some_and(|(meta, bytes)| meta != meta_of(index) || bytes != content_of(index))
        {
            return breach("O15", format!("the snapshot of {index} is not what was kept"));
        }
        if index < self.kept.max(self.base) {
            let (kept, base) = (self.kept, self.base);
            return breach(
                "O15",
                format!("{kept} was kept, the log begins at {base}: {index} left"),
            );
        }
        self.kept = index;
        self.written.truncate(records.len());
        self.durable = records.len();
        self.number = records.len() as u64;
        Ok(Life { wal, snapshots })
    }

    /// The log holds exactly these records now.
    fn replaced(&mut self, records: Vec<Bytes>, base: u64) {
        self.durable = records.len();
        (self.written, self.base) = (records, base);
    }

    /// Does one thing. False where the disk failed.
    fn act(&mut self, deed: Deed, life: &mut Life, disk: &Disk) -> Result<bool, Breach> {
        let Life { wal, snapshots } = life;
        Ok(match deed {
            Deed::Append(length) => {
                let record = self.record(length);
                let added = wal.append(&record).is_ok();
                if added {
                    self.written.push(record);
                    self.number += 1;
                }
                added
            }
            Deed::Write => wal.write().is_ok(),
            Deed::Sync => match wal.sync() {
                Ok(upto) if upto.0 != self.number => {
                    return breach("O4", format!("{} is durable of {}", upto.0, self.number));
                }
                Ok(_) => {
                    self.durable = self.written.len();
                    true
                }
                Err(_) => false,
            },
            Deed::Save | Deed::Receive => self.keep(deed == Deed::Save, snapshots),
            Deed::Compact(tail) => self.compact(tail, wal, disk),
            Deed::Restart => true,
        })
    }

    fn keep(&mut self, own: bool, snapshots: &mut Snapshots) -> bool {
        let index = self.next;
        let (meta, content) = (meta_of(index), content_of(index));
        let kept = if own {
            snapshots.save(&meta, &content)
        } else {
            let (one, rest) = content.split_at(content.len() / 3);
            snapshots.receive(&meta, &[one, rest])
        };
        if kept.is_ok() {
            self.kept = index;
        }
        kept.is_ok()
    }

    fn compact(&mut self, tail: usize, wal: &mut Wal, disk: &Disk) -> bool {
        let mut records = vec![self.record(20)];
        let first = self.written.len().saturating_sub(tail);
        records.extend_from_slice(&self.written[first..]);
        let plain: Vec<Vec<u8>> = records.iter().map(|record| record.to_vec()).collect();
        let done = wal.compact(disk, &plain).is_ok();
        if done {
            self.replaced(records, self.kept);
            self.number += 1;
        } else {
            self.perhaps = Some((records, self.kept));
        }
        done
    }
}
