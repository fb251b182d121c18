//! A search on its way, as bytes: stopped at any time, it goes on from them to the same end.
//!
//! What a search knows is the fingerprints of the states that were seen, how each was first
//! reached, and which of them are open. The replicas behind a fingerprint have no encoding; but a
//! state is made again by walking to it from the beginning, one action after the other, and its
//! fingerprint then says whether the code is still the same.

use crate::arena::Arena;
use crate::context::Context;
use crate::fingerprint;
use crate::state::State;
use crate::table::{Link, Table};
use crate::worker::{Step, advance};
use consensus_core::Audit;
use std::collections::{BTreeSet, HashMap};

/// A search on its way. It fits the bounds and settings of its own search only; see
/// [`encode`](Self::encode).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    pub(crate) root: u128,
    pub(crate) depth: u32,
    pub(crate) transitions: u64,
    pub(crate) decided: (u64, u64),
    pub(crate) leaders: u64,
    pub(crate) epoch: u64,
    pub(crate) widest: u64,
    pub(crate) marks: BTreeSet<String>,
    /// It has taken its part of a model that is shared out.
    pub(crate) sharded: bool,
    /// All that were seen, with how each was reached.
    pub(crate) seen: Vec<(u128, Link)>,
    /// Those of this depth that are not expanded, in order.
    pub(crate) open: Vec<u128>,
    /// Those of the next depth, in order.
    pub(crate) next: Vec<u128>,
}

/// Begins the bytes, and names their form.
const MAGIC: &[u8; 8] = b"synodX1\n";

impl Saved {
    /// Distinct states that were seen.
    pub fn states(&self) -> u64 {
        self.seen.len() as u64
    }

    /// The search as bytes, with a digest.
    pub fn encode(&self) -> Vec<u8> {
        let lists = self.seen.len() * 24 + (self.open.len() + self.next.len()) * 16;
        let mut bytes = Vec::with_capacity(lists + 1_024);
        bytes.extend_from_slice(MAGIC);
        bytes.extend_from_slice(&self.root.to_le_bytes());
        let (decided, highest) = self.decided;
        let (depth, sharded) = (u64::from(self.depth), u64::from(self.sharded));
        let numbers =
            [depth, self.transitions, decided, highest, self.leaders, self.epoch, self.widest];
        for number in numbers.into_iter().chain([sharded, self.marks.len() as u64]) {
            put(&mut bytes, number);
        }
        for mark in &self.marks {
            put(&mut bytes, mark.len() as u64);
            bytes.extend_from_slice(mark.as_bytes());
        }
        put(&mut bytes, self.seen.len() as u64);
        for (print, link) in &self.seen {
            bytes.extend_from_slice(&print.to_le_bytes());
            put(&mut bytes, link.bits());
        }
        for list in [&self.open, &self.next] {
            put(&mut bytes, list.len() as u64);
            list.iter().for_each(|print| bytes.extend_from_slice(&print.to_le_bytes()));
        }
        let digest = fingerprint::of(&bytes[..]);
        bytes.extend_from_slice(&digest.to_le_bytes());
        bytes
    }

    /// What [`encode`](Self::encode) wrote. `None` if these bytes are cut, damaged or something
    /// else.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let (bytes, digest) = bytes.split_last_chunk()?;
        if fingerprint::of(bytes) != u128::from_le_bytes(*digest) {
            return None;
        }
        let mut bytes = bytes.strip_prefix(MAGIC)?;
        let rest = &mut bytes;
        let root = take_print(rest)?;
        let mut numbers = [0; 9];
        for number in &mut numbers {
            *number = take(rest)?;
        }
        let [depth, transitions, decided, highest, leaders, epoch, widest, sharded, marks] =
            numbers;
        let mut names = BTreeSet::new();
        for _ in 0..marks {
            let length = usize::try_from(take(rest)?).ok()?;
            let name;
            (name, *rest) = rest.split_at_checked(length)?;
            names.insert(str::from_utf8(name).ok()?.to_owned());
        }
        let seen = list(rest, |rest| Some((take_print(rest)?, Link::from_bits(take(rest)?))))?;
        let (open, next) = (list(rest, take_print)?, list(rest, take_print)?);
        let decided = (decided, highest);
        let (depth, sharded, marks) = (u32::try_from(depth).ok()?, sharded == 1, names);
        let saved = Self {
            root,
            depth,
            transitions,
            decided,
            leaders,
            epoch,
            widest,
            marks,
            sharded,
            seen,
            open,
            next,
        };
        rest.is_empty().then_some(saved)
    }
}

fn put(bytes: &mut Vec<u8>, number: u64) {
    bytes.extend_from_slice(&number.to_le_bytes());
}

fn take(rest: &mut &[u8]) -> Option<u64> {
    let (word, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u64::from_le_bytes(*word))
}

fn take_print(rest: &mut &[u8]) -> Option<u128> {
    let (word, after) = rest.split_first_chunk()?;
    *rest = after;
    Some(u128::from_le_bytes(*word))
}

/// A list, whose announced length is believed as far as there are bytes.
fn list<T>(rest: &mut &[u8], one: impl Fn(&mut &[u8]) -> Option<T>) -> Option<Vec<T>> {
    let announced = usize::try_from(take(rest)?).ok()?;
    let mut things = Vec::with_capacity(announced.min(rest.len() / 16));
    for _ in 0..announced {
        things.push(one(rest)?);
    }
    Some(things)
}

/// A saved search is not one of this model and this code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Foreign;

/// Makes open states again, each by walking there from the root. Ways that begin alike are walked
/// once: level by level, from the ancestors of all of them to their children.
pub(crate) fn states_of<P: Audit>(
    model: (&Context<P>, &Arena<P>),
    root: &State,
    seen: &Table,
    (open, next): (&[u128], &[u128]),
    depth: u32,
) -> Result<(Vec<State>, Vec<State>), Foreign> {
    // Of each level the states that lie on a way to an open one, and how each is reached.
    let mut levels: Vec<HashMap<u128, (u128, usize)>> = Vec::new();
    let mut wanted: BTreeSet<u128> = next.iter().copied().collect();
    for level in (0..=depth + 1).rev() {
        if level == depth {
            wanted.extend(open);
        }
        if level == 0 {
            break;
        }
        let origins: Option<HashMap<_, _>> =
            wanted.iter().map(|print| Some((*print, seen.origin(*print)?))).collect();
        let origins = origins.ok_or(Foreign)?;
        wanted = origins.values().map(|(parent, _)| *parent).collect();
        levels.push(origins);
    }
    if !wanted.iter().all(|print| *print == root.print()) {
        return Err(Foreign);
    }
    let mut here = HashMap::from([(root.print(), root.clone())]);
    let mut found = Vec::new();
    for level in 0..=depth {
        if level == depth {
            found = pick(open, &here)?;
        }
        let origins = levels.pop().ok_or(Foreign)?;
        here = forward(model, &here, origins)?;
    }
    Ok((found, pick(next, &here)?))
}

fn pick(prints: &[u128], from: &HashMap<u128, State>) -> Result<Vec<State>, Foreign> {
    let states = prints.iter().map(|print| from.get(print).cloned().ok_or(Foreign));
    states.collect()
}

/// The states of the next level, from those of this one.
fn forward<P: Audit>(
    (context, arena): (&Context<P>, &Arena<P>),
    here: &HashMap<u128, State>,
    origins: HashMap<u128, (u128, usize)>,
) -> Result<HashMap<u128, State>, Foreign> {
    let (mut actions, mut news) = (Vec::new(), Vec::new());
    let mut there = HashMap::with_capacity(origins.len());
    for (print, (parent, nth)) in origins {
        let state = here.get(&parent).ok_or(Foreign)?;
        state.actions(context, &arena.read(), &mut actions);
        let action = *actions.get(nth).ok_or(Foreign)?;
        let step = advance((context, arena), state, action, &|_| false, &mut news);
        match step {
            Ok(Step::To(state)) if state.print() == print => there.insert(print, state),
            _ => return Err(Foreign),
        };
    }
    Ok(there)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn saved() -> Saved {
        Saved {
            root: 7,
            depth: 3,
            transitions: 90,
            decided: (4, 2),
            leaders: 1,
            epoch: 5,
            widest: 6,
            marks: ["a".to_owned(), "b c".to_owned()].into(),
            sharded: true,
            seen: vec![(7, Link::new(7, 0)), (8, Link::new(7, 2)), (1 << 90, Link::new(8, 65_535))],
            open: vec![8],
            next: vec![1 << 90],
        }
    }

    #[test]
    fn what_was_written_is_read() {
        assert_eq!(Saved::decode(&saved().encode()), Some(saved()));
    }

    /// Whatever kills the process, and whatever a disk does to a file: damage is seen.
    #[test]
    fn bytes_that_are_cut_or_damaged_are_refused() {
        let bytes = saved().encode();
        for length in 0..bytes.len() {
            assert_eq!(Saved::decode(&bytes[..length]), None, "{length} bytes");
        }
        for place in 0..bytes.len() {
            let mut other = bytes.clone();
            other[place] ^= 1;
            assert_eq!(Saved::decode(&other), None, "byte {place}");
        }
    }
}
