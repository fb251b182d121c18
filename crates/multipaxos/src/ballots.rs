//! Under which ballots values were accepted.

use consensus_core::{Ballot, LogIndex};

/// A ballot for each slot that has a value. A leader proposes in one slot after the other, so slots
/// in a row mostly share a ballot: it is kept once, with the first of them, and goes for all slots
/// up to the next that is kept.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Ballots(Vec<(LogIndex, Ballot)>);

impl Ballots {
    /// The ballot of a slot that has a value.
    #[inline]
    pub(crate) fn of(&self, slot: LogIndex) -> Ballot {
        match self.0.last() {
            Some((first, ballot)) if *first <= slot => *ballot,
            _ => self.place_of(slot).map_or(Ballot::ZERO, |place| self.0[place].1),
        }
    }

    /// How many of so many slots, from this one on, have this ballot and none between them another.
    #[inline]
    pub(crate) fn count(&self, ballot: Ballot, slot: LogIndex, slots: usize) -> usize {
        match self.0.last() {
            Some((first, last)) if *first <= slot => {
                if *last == ballot {
                    slots
                } else {
                    0
                }
            }
            _ => self.count_among_earlier(ballot, slot, slots),
        }
    }

    #[cold]
    fn count_among_earlier(&self, ballot: Ballot, slot: LogIndex, slots: usize) -> usize {
        let same = |place: &usize| self.0[*place].1 == ballot;
        let Some(place) = self.place_of(slot).filter(same) else { return 0 };
        let next = self.0.get(place + 1).map_or(u64::MAX, |(next, _)| next.0);
        usize::try_from(next - slot.0).map_or(slots, |alike| alike.min(slots))
    }

    /// Where the ballot of a slot is kept.
    fn place_of(&self, slot: LogIndex) -> Option<usize> {
        self.0.partition_point(|(first, _)| *first <= slot).checked_sub(1)
    }

    /// Values were accepted under this ballot in the slots from `first` to before `end`. The last
    /// slot that had a value is given.
    #[inline]
    pub(crate) fn set(
        &mut self,
        first: LogIndex,
        end: LogIndex,
        ballot: Ballot,
        last: impl FnOnce() -> LogIndex,
    ) {
        match self.0.last() {
            Some((start, same)) if *start <= first && *same == ballot => {}
            _ => self.put(first, end, ballot, last()),
        }
    }

    #[cold]
    fn put(&mut self, first: LogIndex, end: LogIndex, ballot: Ballot, last: LogIndex) {
        let after = (end <= last).then(|| (end, self.of(end)));
        let begin = self.0.partition_point(|(start, _)| *start < first);
        let rest = self.0.partition_point(|(start, _)| *start <= end);
        let rest = if after.is_some() { rest } else { self.0.len() };
        self.0.splice(begin..rest, [Some((first, ballot)), after].into_iter().flatten());
        self.0.dedup_by_key(|(_, ballot)| *ballot);
    }

    /// Slots up to here have no values any more.
    pub(crate) fn forget_upto(&mut self, slot: LogIndex) {
        let first = slot.next();
        let Some(place) = self.place_of(first) else { return };
        self.0.drain(..place);
        self.0[0].0 = first;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// PMS §2.2: the ballot of what was accepted last in each slot, whatever is accepted over what
    /// and forgotten: as a tree would have it.
    #[test]
    fn ballots_are_a_map() {
        let mut chance = 5u64;
        let mut draw = |below: u64| {
            chance = chance.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (chance >> 33) % below
        };
        let ballot = |round| Ballot::ZERO.with_round(round);
        let (mut ballots, mut map, mut base) = (Ballots::default(), BTreeMap::new(), 0u64);
        for _ in 0..4000 {
            if draw(9) == 0 {
                base += draw(4);
                ballots.forget_upto(LogIndex(base));
                map = map.split_off(&(base + 1));
            } else {
                let (first, round) = (base + 1 + draw(12), ballot(1 + draw(3)));
                let end = first + 1 + draw(4);
                let last = map.last_key_value().map_or(0, |(slot, _)| *slot);
                ballots.set(LogIndex(first), LogIndex(end), round, || LogIndex(last));
                map.extend((first..end).map(|slot| (slot, round)));
            }
            for (slot, held) in &map {
                assert_eq!(ballots.of(LogIndex(*slot)), *held, "slot {slot}");
                let alike = (*slot..).take_while(|slot| map.get(slot) == Some(held)).count();
                assert_eq!(ballots.count(*held, LogIndex(*slot), alike), alike);
                assert_eq!(ballots.count(Ballot::ZERO, LogIndex(*slot), alike), 0);
                if let Some(other) = map.get(&(slot + alike as u64)).filter(|other| *other != held)
                {
                    let more = ballots.count(*held, LogIndex(*slot), alike + 1);
                    assert_eq!(more, alike, "then comes {other:?}");
                }
            }
        }
    }
}
