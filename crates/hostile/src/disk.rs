//! A disk in memory that fails as disks fail. It knows three images of each file: what programs
//! read (*written*: the page cache), what a power cut leaves (*synced*), and, kept by the rig, what
//! should be there (*pristine*).
//!
//! # What it does
//!
//! * A power cut keeps of every file what was synced, any subset of the 512-byte sectors that were
//!   written since, and any length in between; a sector that was not kept reads as zeros, or as
//!   something that an older file left there. Names come back as they were at the last sync of the
//!   directory, with any part of what was done to them since.
//! * A sync that fails once leaves the cache as it is, and calls it clean: what was not written out
//!   by then never will be, and the next sync says "ok" (Rebello et al., "Can Applications Recover
//!   from fsync Failures?", USENIX ATC '20).
//! * Any call may fail once; an append may write a part before it does; from some call on, all may
//!   fail until the power comes back.

pub mod images;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use synod_runtime::{LogFile, Storage};
use synod_sim::Rng;

/// What a disk writes as a whole or not at all.
pub const SECTOR: usize = 512;

/// One call of many that goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// The call fails, once.
    Once,
    /// This call and all that follow fail, until the power comes back.
    PowerCut,
}

/// A change of a name that is not durable yet.
#[derive(Clone, Debug)]
enum Change {
    Link(PathBuf, usize),
    Unlink(PathBuf),
    Rename(PathBuf, PathBuf, usize),
}

fn apply(names: &mut BTreeMap<PathBuf, usize>, change: &Change) {
    match change {
        Change::Link(path, file) => {
            names.insert(path.clone(), *file);
        }
        Change::Unlink(path) => {
            names.remove(path);
        }
        Change::Rename(from, to, file) => {
            names.remove(from);
            names.insert(to.clone(), *file);
        }
    }
}

#[derive(Clone, Debug, Default)]
struct File {
    written: Vec<u8>,
    synced: Vec<u8>,
    dirty: BTreeSet<usize>,
}

impl File {
    fn touch(&mut self, from: usize, to: usize) {
        self.dirty.extend(from / SECTOR..to.div_ceil(SECTOR));
    }

    fn put(&mut self, at: usize, bytes: &[u8]) {
        let end = at + bytes.len();
        if self.written.len() < end {
            self.written.resize(end, 0);
        }
        self.written[at..end].copy_from_slice(bytes);
        self.touch(at, end);
    }

    /// Brings a sector to the platter.
    fn keep(&mut self, sector: usize) {
        let from = sector * SECTOR;
        let to = (from + SECTOR).min(self.written.len());
        if from >= to {
            return;
        }
        if self.synced.len() < to {
            self.synced.resize(to, 0);
        }
        self.synced[from..to].copy_from_slice(&self.written[from..to]);
    }

    fn sync(&mut self) {
        for sector in std::mem::take(&mut self.dirty) {
            self.keep(sector);
        }
        self.synced.resize(self.written.len(), 0);
    }

    /// Calls everything clean, though only some of it, or nothing, was written.
    fn fail_to_sync(&mut self, half: Half<'_>) {
        match half {
            Half::Chance(rng) => {
                for sector in std::mem::take(&mut self.dirty) {
                    if rng.chance(3_000) {
                        self.keep(sector);
                    }
                }
            }
            Half::PowerCut => {}
            Half::Error => self.dirty.clear(),
        }
    }

    fn lose_power(&mut self, rng: &mut Rng, ghost: &[u8]) {
        let (old, new) = (self.synced.len(), self.written.len());
        let kept = rng.pick(&[0, 5_000, 9_000]);
        let length = if rng.chance(5_000) {
            rng.pick(&[old, new])
        } else {
            rng.between(old.min(new) as u64, old.max(new) as u64) as usize
        };
        // Room that was given to the file, and never written, may show what was there before.
        let haunted = rng.chance(3_000);
        if length > old {
            let place = if haunted { ghost.get(old..length.min(ghost.len())) } else { None };
            self.synced.extend_from_slice(place.unwrap_or(&[]));
        }
        for sector in std::mem::take(&mut self.dirty) {
            if rng.chance(kept) {
                self.keep(sector);
            }
        }
        self.synced.resize(length, 0);
        self.written.clone_from(&self.synced);
    }
}

#[derive(Clone, Debug)]
struct State {
    rng: Rng,
    files: Vec<File>,
    names: BTreeMap<PathBuf, usize>,
    synced_names: BTreeMap<PathBuf, usize>,
    changes: Vec<Change>,
    /// What an older file left on the platter.
    ghost: Vec<u8>,
    trouble: Option<(u64, Trouble)>,
    dead: bool,
    failures: u64,
    calls: u64,
    /// Nothing is left to chance: see [`images`].
    thorough: bool,
}

/// The disk; clones are the same disk.
#[derive(Clone, Debug)]
pub struct Disk(Arc<Mutex<State>>);

impl Disk {
    /// An empty disk, whose chances come from this seed.
    pub fn new(seed: u64) -> Self {
        Self(Arc::new(Mutex::new(State {
            rng: Rng::for_purpose(seed, 0xd15c),
            files: Vec::new(),
            names: BTreeMap::new(),
            synced_names: BTreeMap::new(),
            changes: Vec::new(),
            ghost: Vec::new(),
            trouble: None,
            dead: false,
            failures: 0,
            calls: 0,
            thorough: false,
        })))
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// After so many more calls, one goes wrong.
    pub fn trouble_in(&self, calls: u64, trouble: Trouble) {
        self.state().trouble = Some((calls, trouble));
    }

    /// Did a power cut begin, so that every call fails?
    pub fn is_dead(&self) -> bool {
        self.state().dead
    }

    /// The power goes, and comes back.
    pub fn lose_power(&self) {
        let state = &mut *self.state();
        let kept = state.rng.pick(&[0, 5_000, 10_000]);
        for change in std::mem::take(&mut state.changes) {
            if state.rng.chance(kept) {
                apply(&mut state.synced_names, &change);
            }
        }
        state.names.clone_from(&state.synced_names);
        for file in &mut state.files {
            file.lose_power(&mut state.rng, &state.ghost);
        }
        (state.dead, state.trouble) = (false, None);
    }

    /// No more trouble, if none came yet.
    pub fn calm(&self) {
        self.state().trouble = None;
    }

    /// What an older file may have left in places that a new file gets.
    pub fn haunt(&self, ghost: Vec<u8>) {
        self.state().ghost = ghost;
    }

    /// What a program reads in a file just now.
    pub fn content(&self, path: &Path) -> Option<Vec<u8>> {
        let state = self.state();
        let file = *state.names.get(path)?;
        Some(state.files[file].written.clone())
    }

    /// Puts other content in the place of a file's, on the platter: damage.
    pub fn damage(&self, path: &Path, content: Vec<u8>) {
        let state = &mut *self.state();
        let file = match state.names.get(path) {
            Some(file) => *file,
            None => {
                state.files.push(File::default());
                let file = state.files.len() - 1;
                state.names.insert(path.to_path_buf(), file);
                state.synced_names.insert(path.to_path_buf(), file);
                file
            }
        };
        let file = &mut state.files[file];
        file.dirty.clear();
        (file.written, file.synced) = (content.clone(), content);
    }

    /// All files are gone.
    pub fn wipe(&self) {
        let state = &mut *self.state();
        state.names.clear();
        state.synced_names.clear();
        state.changes.clear();
    }

    /// Calls that went wrong so far.
    pub fn failures(&self) -> u64 {
        self.state().failures
    }

    /// One call: does it go wrong?
    fn call(&self) -> Result<MutexGuard<'_, State>, No> {
        let mut state = self.state();
        if state.dead {
            return Err(No::Dead);
        }
        state.calls += 1;
        if let Some((left, trouble)) = state.trouble {
            state.trouble = left.checked_sub(1).map(|left| (left, trouble));
            if left == 0 {
                state.failures += 1;
                state.dead = trouble == Trouble::PowerCut;
                return Err(No::Now);
            }
        }
        Ok(state)
    }
}

/// A call that fails.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum No {
    /// This one; it may have done a part of its work.
    Now,
    /// The power is off.
    Dead,
}

impl From<No> for io::Error {
    fn from(_: No) -> Self {
        Self::other("the simulated disk said no")
    }
}

impl State {
    fn find(&self, path: &Path) -> io::Result<usize> {
        self.names.get(path).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn change(&mut self, change: Change) {
        apply(&mut self.names, &change);
        self.changes.push(change);
    }
}

impl Storage for Disk {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn LogFile>> {
        let mut state = self.call()?;
        let file = match state.find(path) {
            Ok(_) if create => return Err(io::ErrorKind::AlreadyExists.into()),
            Err(_) if create => {
                state.files.push(File::default());
                let file = state.files.len() - 1;
                state.change(Change::Link(path.to_path_buf(), file));
                file
            }
            found => found?,
        };
        Ok(Box::new(OpenFile { disk: self.clone(), file }))
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        let state = self.call()?;
        Ok(state.find(path).ok().map(|file| state.files[file].written.len() as u64))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        let file = state.find(from)?;
        state.change(Change::Rename(from.to_path_buf(), to.to_path_buf(), file));
        Ok(())
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut state = self.call()?;
        state.find(path)?;
        state.change(Change::Unlink(path.to_path_buf()));
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        let state = &mut *self.call()?;
        state.synced_names.clone_from(&state.names);
        state.changes.clear();
        Ok(())
    }
}

struct OpenFile {
    disk: Disk,
    file: usize,
}

impl OpenFile {
    /// Works on the file; or, where the call is to fail, does what a failing call does first.
    fn work<T>(
        &self,
        done: impl FnOnce(&mut File) -> T,
        half_done: impl FnOnce(&mut File, Half<'_>),
    ) -> io::Result<T> {
        let called = self.disk.call().map(|mut state| done(&mut state.files[self.file]));
        if matches!(called, Err(No::Now)) {
            let state = &mut *self.disk.state();
            let half = match (state.thorough, state.dead) {
                (false, _) => Half::Chance(&mut state.rng),
                (true, true) => Half::PowerCut,
                (true, false) => Half::Error,
            };
            half_done(&mut state.files[self.file], half);
        }
        Ok(called?)
    }
}

/// What a call does that fails.
enum Half<'a> {
    /// Anything.
    Chance(&'a mut Rng),
    /// All of it, up to the cache: the image says what of that reached the platter.
    PowerCut,
    /// A half.
    Error,
}

impl Half<'_> {
    /// So many of these bytes are written.
    fn part(self, bytes: usize) -> usize {
        match self {
            Self::Chance(rng) => rng.place(bytes + 1),
            Self::PowerCut => bytes,
            Self::Error => bytes / 2,
        }
    }
}

impl LogFile for OpenFile {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.work(|file| file.written.clone(), |_, _| {})
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let at = |file: &File| file.written.len();
        self.work(
            |file| file.put(at(file), bytes),
            // No space, or the power went: nothing, a part, or all of it was written.
            |file, half| file.put(at(file), &bytes[..half.part(bytes.len())]),
        )
    }

    fn sync(&mut self) -> io::Result<()> {
        self.work(File::sync, File::fail_to_sync)
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        let cut = |file: &mut File| {
            file.written.truncate(length as usize);
            file.dirty.retain(|sector| sector * SECTOR < length as usize);
            file.touch((length as usize).saturating_sub(1), length as usize);
        };
        let whole = |file: &mut File| {
            cut(file);
            file.sync();
        };
        self.work(whole, |file, half| {
            if let Half::Chance(rng) = half
                && rng.chance(5_000)
            {
                cut(file);
            }
        })
    }

    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        let at = at as usize;
        self.work(
            |file| file.put(at, bytes),
            |file, half| file.put(at, &bytes[..half.part(bytes.len())]),
        )
    }
}
