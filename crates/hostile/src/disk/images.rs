//! All that a power cut may leave, one after the other, where [`Disk::lose_power`] draws one.
//!
//! A thorough disk leaves nothing to chance: a call that a power cut interrupts has reached the
//! cache as a whole, and an [`Image`] says which part of that is on the platter; a call that fails
//! does a half of its work, and a failed sync keeps nothing and calls it clean.

use super::{Disk, File, SECTOR, State, apply};
use std::sync::{Arc, Mutex};

/// Every byte is tried so near to either end of what was not synced,
const NEAR: usize = 48;
/// and between them only some, for the payloads of long records are all alike.
const STRIDE: usize = 61;

/// What is left of a file that was not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kept {
    /// What was synced.
    Nothing,
    /// Everything that was written.
    All,
    /// Everything up to this byte.
    First(usize),
    /// Everything up to this byte; the rest of the length reads as zeros.
    Zeros(usize),
    /// Everything but this sector.
    Without(usize),
    /// Of what was not synced this sector only.
    Only(usize),
}

/// What a power cut leaves.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// Which of the changes of names since the last sync of the directory, in their order.
    names: Vec<bool>,
    /// Of each file.
    others: Kept,
    /// But of this one something else.
    file: Option<(usize, Kept)>,
}

impl Image {
    /// Is everything left that was done, or nothing that was not synced?
    pub fn is_plain(&self) -> bool {
        let all = self.others == Kept::All;
        self.file.is_none() && self.names.iter().all(|kept| *kept == all)
    }

    /// Is all of the names left or nothing, and all of the files or nothing?
    pub fn is_coarse(&self) -> bool {
        self.file.is_none() && self.names.windows(2).all(|two| two[0] == two[1])
    }

    /// Only what was synced.
    pub fn nothing() -> Self {
        Self { names: Vec::new(), others: Kept::Nothing, file: None }
    }
}

impl File {
    fn is_clean(&self) -> bool {
        self.dirty.is_empty() && self.written == self.synced
    }

    /// What was synced, and these of the sectors that were written since; the rest of the length
    /// reads as zeros. What a failed sync called clean is not among them.
    fn with(&self, keeps: impl Fn(usize) -> bool) -> Vec<u8> {
        let mut left = self.synced.clone();
        left.resize(self.written.len(), 0);
        for sector in self.dirty.iter().filter(|sector| keeps(**sector)) {
            let from = (sector * SECTOR).min(left.len());
            let to = (from + SECTOR).min(left.len());
            left[from..to].copy_from_slice(&self.written[from..to]);
        }
        left
    }

    /// What a power cut leaves of it.
    fn after(&self, kept: Kept) -> Vec<u8> {
        match kept {
            Kept::Nothing => self.synced.clone(),
            Kept::All => self.with(|_| true),
            Kept::First(end) => {
                let mut all = self.with(|_| true);
                all.truncate(end);
                all
            }
            Kept::Zeros(end) => {
                let mut all = self.with(|_| true);
                all[end..].fill(0);
                all
            }
            Kept::Without(other) => self.with(|sector| sector != other),
            Kept::Only(one) => self.with(|sector| sector == one),
        }
    }

    /// All that may be left of it, beside nothing and all.
    fn parts(&self) -> Vec<Kept> {
        let (from, to) = (self.synced.len(), self.written.len());
        let near = |end: usize| end < from + NEAR || end + NEAR > to || end.is_multiple_of(STRIDE);
        let ends = (from + 1..to).filter(|end| near(*end));
        let ends = ends.flat_map(|end| [Kept::First(end), Kept::Zeros(end)]);
        let sectors =
            self.dirty.iter().flat_map(|sector| [Kept::Without(*sector), Kept::Only(*sector)]);
        ends.chain(sectors).chain([Kept::Nothing]).collect()
    }
}

impl State {
    /// Any of the changes of names for a few, else none, all, those up to one, and all but one.
    fn names_kept(&self) -> Vec<Vec<bool>> {
        let changes = self.changes.len();
        if changes <= 3 {
            let bit = |set: usize| (0..changes).map(move |change| set >> change & 1 == 1);
            return (0..1 << changes).map(|set| bit(set).collect()).collect();
        }
        let upto = (0..=changes).map(|end| (0..changes).map(|change| change < end).collect());
        let but = (0..changes).map(|one| (0..changes).map(|change| change != one).collect());
        upto.chain(but).collect()
    }
}

impl Disk {
    /// From now on nothing is left to chance.
    pub fn be_thorough(&self) {
        self.state().thorough = true;
    }

    /// Calls so far.
    pub fn calls(&self) -> u64 {
        self.state().calls
    }

    /// Another disk with the same content.
    #[must_use]
    pub fn copy(&self) -> Self {
        Self(Arc::new(Mutex::new(self.state().clone())))
    }

    /// What a power cut may leave now: names and whole files in all combinations, and of each
    /// file, the others being whole, every length, every sector less and every sector alone.
    pub fn images(&self) -> Vec<Image> {
        let state = self.state();
        let mut images = Vec::new();
        for names in state.names_kept() {
            for others in [Kept::All, Kept::Nothing] {
                images.push(Image { names: names.clone(), others, file: None });
            }
        }
        let names = vec![true; state.changes.len()];
        for (place, file) in state.files.iter().enumerate().filter(|(_, file)| !file.is_clean()) {
            for kept in file.parts() {
                let (names, file) = (names.clone(), Some((place, kept)));
                images.push(Image { names, others: Kept::All, file });
            }
        }
        images
    }

    /// The power goes, leaves this, and comes back.
    pub fn lose_power_as(&self, image: &Image) {
        let state = &mut *self.state();
        for (change, kept) in std::mem::take(&mut state.changes).iter().zip(&image.names) {
            if *kept {
                apply(&mut state.synced_names, change);
            }
        }
        state.names.clone_from(&state.synced_names);
        for (place, file) in state.files.iter_mut().enumerate() {
            let own = image.file.filter(|(other, _)| *other == place);
            let kept = own.map_or(image.others, |(_, kept)| kept);
            file.synced = file.after(kept);
            file.dirty.clear();
            file.written.clone_from(&file.synced);
        }
        (state.dead, state.trouble) = (false, None);
    }
}
