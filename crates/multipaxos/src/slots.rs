//! Values by slot. Slots are used one after the other, so a list does for nearly all of them; what
//! stands apart, behind a gap, is in a tree. A far slot, which may be a hostile number, costs no
//! more than a near one.

use consensus_core::{LogIndex, Run};
use std::collections::BTreeMap;

/// A map from slots to values.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slots<T> {
    /// The slot of the first value in `run`, or where that would stand.
    first: LogIndex,
    /// Values of slots without gap.
    run: Vec<T>,
    /// Values of other slots.
    apart: BTreeMap<LogIndex, T>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { first: LogIndex(1), run: Vec::new(), apart: BTreeMap::new() }
    }
}

impl<T> Slots<T> {
    /// The slot after the run.
    fn end(&self) -> LogIndex {
        LogIndex(self.first.0 + self.run.len() as u64)
    }

    fn place(&self, slot: LogIndex) -> Option<usize> {
        usize::try_from(slot.0.checked_sub(self.first.0)?).ok()
    }

    /// The value in a slot.
    pub(crate) fn get(&self, slot: LogIndex) -> Option<&T> {
        let in_run = self.place(slot).and_then(|place| self.run.get(place));
        if in_run.is_some() || self.apart.is_empty() {
            return in_run;
        }
        self.apart.get(&slot)
    }

    /// Puts a value into a slot, in place of the one that was there.
    pub(crate) fn insert(&mut self, slot: LogIndex, value: T) {
        if slot == self.end() {
            self.run.push(value);
            if !self.apart.is_empty() {
                self.close_up();
            }
            return;
        }
        match self.place(slot).and_then(|place| self.run.get_mut(place)) {
            Some(held) => *held = value,
            None => {
                self.apart.insert(slot, value);
            }
        }
    }

    /// Puts these things into slots without gap, of which the first is given.
    #[inline]
    pub(crate) fn insert_run(&mut self, first: LogIndex, things: Run<T>)
    where
        T: Clone + Default,
    {
        if first == self.end() && self.apart.is_empty() {
            return things.append_to(&mut self.run, |thing| thing);
        }
        for (slot, thing) in (first.0..).map(LogIndex).zip(things.iter()) {
            self.insert(slot, thing.clone());
        }
    }

    /// The values from a slot on, as far as they are known to stand without gap.
    pub(crate) fn run_from(&self, slot: LogIndex) -> &[T] {
        self.place(slot).and_then(|place| self.run.get(place..)).unwrap_or_default()
    }

    /// Takes up what follows the run without gap.
    fn close_up(&mut self) {
        while let Some(value) = self.apart.remove(&self.end()) {
            self.run.push(value);
        }
    }

    /// The last slot with a value, or 0.
    pub(crate) fn last(&self) -> LogIndex {
        let apart = self.apart.last_key_value().map_or(LogIndex::ZERO, |(slot, _)| *slot);
        let in_run = if self.run.is_empty() { LogIndex::ZERO } else { self.end().previous() };
        apart.max(in_run)
    }

    /// The values from a slot on, lowest slot first.
    pub(crate) fn from(&self, slot: LogIndex) -> impl Iterator<Item = (LogIndex, &T)> {
        let skip = self.place(slot).unwrap_or(0).min(self.run.len());
        let before = self.apart.range(slot.min(self.first)..self.first);
        let run = (self.first.0 + skip as u64..).map(LogIndex).zip(&self.run[skip..]);
        let after = self.apart.range(slot.max(self.end())..);
        let apart = |(slot, value): (&LogIndex, _)| (*slot, value);
        before.map(apart).chain(run).chain(after.map(apart))
    }

    /// Forgets slots up to here.
    pub(crate) fn forget_upto(&mut self, slot: LogIndex) {
        if slot < self.first {
            self.apart = self.apart.split_off(&slot.next());
            return;
        }
        let count = (slot.0 - self.first.0).saturating_add(1).min(self.run.len() as u64);
        self.run.drain(..count as usize);
        self.first = slot.next();
        if !self.apart.is_empty() {
            self.apart = self.apart.split_off(&self.first);
            self.close_up();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Whatever is put and forgotten, the slots answer as a tree does.
    #[test]
    fn slots_are_a_map() {
        let (mut slots, mut map) = (Slots::default(), BTreeMap::new());
        let mut chance = 7u64;
        let mut draw = |below: u64| {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (chance >> 33) % below
        };
        let mut base = 0;
        for step in 0..4000u64 {
            let slot = LogIndex(base + 1 + draw(12));
            if draw(8) == 0 {
                let upto = LogIndex(base + draw(4));
                base = upto.0;
                slots.forget_upto(upto);
                map = map.split_off(&upto.next());
            } else if slot.0 > base {
                slots.insert(slot, step);
                map.insert(slot, step);
            }
            assert_eq!(slots.get(slot), map.get(&slot));
            let last = map.last_key_value().map_or(LogIndex::ZERO, |(slot, _)| *slot);
            assert_eq!(slots.last(), last);
            let from = LogIndex(base + draw(14));
            let known: Vec<_> = map.range(from..).map(|(slot, value)| (*slot, value)).collect();
            assert_eq!(slots.from(from).collect::<Vec<_>>(), known);
        }
    }

    #[test]
    fn a_far_slot_costs_no_more_than_a_near_one() {
        let mut far = Slots::default();
        far.insert(LogIndex(u64::MAX - 1), 'x');
        assert_eq!((far.last(), far.run.len()), (LogIndex(u64::MAX - 1), 0));
    }
}
