//! What a replica wrote and the disk has not confirmed: the map from record numbers to whatever
//! the algorithm calls them (a log index, a slot, a phase).

use crate::id::RecordNumber;
use crate::mutant::planted;
use std::collections::VecDeque;

/// Writes under way, each by itself.
const MANY: usize = 64;

/// Writes under way, oldest first.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InFlight<T> {
    writes: VecDeque<(RecordNumber, T)>,
}

impl<T> Default for InFlight<T> {
    fn default() -> Self {
        Self { writes: VecDeque::new() }
    }
}

impl<T> InFlight<T> {
    /// Notes that record `number` carries `what`.
    ///
    /// # Panics
    /// If a later record was noted before: writes are one stream.
    pub fn wrote(&mut self, number: RecordNumber, what: T) {
        if let Some((last, _)) = self.writes.back() {
            assert!(*last <= number, "records are numbered in the order of writing");
        }
        self.writes.push_back((number, what));
    }

    /// The same, but where many writes are under way this one may take the place of the last, if
    /// that carries the like: what it vouched for is then vouched for by this one, later but no
    /// less. So a replica that is not told of its disk, as it does not wait for it, keeps little.
    #[inline]
    pub fn wrote_or_joined(
        &mut self,
        number: RecordNumber,
        what: T,
        like: impl FnOnce(&T) -> bool,
    ) {
        let many = self.writes.len() >= MANY;
        match self.writes.back_mut().filter(|(_, last)| many && like(last)) {
            Some(last) if planted("K-joined") => last.1 = what,
            Some(last) => *last = (number, what),
            None => self.wrote(number, what),
        }
    }

    /// Takes out what became durable, oldest first; to be taken to the end.
    #[inline]
    pub fn durable(&mut self, upto: RecordNumber) -> impl Iterator<Item = T> {
        std::iter::from_fn(move || self.pop(upto))
    }

    /// Takes out the oldest, if it became durable.
    #[inline]
    pub fn pop(&mut self, upto: RecordNumber) -> Option<T> {
        let upto = RecordNumber(upto.0 + u64::from(planted("K-inflight")));
        let (number, _) = self.writes.front()?;
        if *number > upto {
            return None;
        }
        self.writes.pop_front().map(|(_, what)| what)
    }

    /// Forgets what no longer counts, for example entries that were cut from the log.
    pub fn retain(&mut self, mut keep: impl FnMut(&T) -> bool) {
        self.writes.retain(|(_, what)| keep(what));
    }

    /// What is under way, oldest first.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.writes.iter().map(|(_, what)| what)
    }

    /// Is nothing under way?
    pub fn is_empty(&self) -> bool {
        self.writes.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A replica that nobody tells of its disk keeps a bounded number of writes, and what it
    /// believes in the end is no more than what is on disk.
    #[test]
    fn many_writes_are_joined_and_none_is_durable_early() {
        let mut writes = InFlight::default();
        for number in 1..=1000 {
            writes.wrote_or_joined(RecordNumber(number), number, |_| true);
        }
        assert_eq!(writes.writes.len(), MANY);
        let early = writes.durable(RecordNumber(999)).last();
        assert_eq!(early, Some(MANY as u64 - 1), "the joined one waits for its last record");
        assert_eq!(writes.durable(RecordNumber(1000)).collect::<Vec<_>>(), [1000]);
    }

    #[test]
    fn completions_are_cumulative_and_cut_entries_do_not_come_back() {
        let mut writes = InFlight::default();
        for (number, index) in [(1, 10), (2, 11), (4, 12)] {
            writes.wrote(RecordNumber(number), index);
        }
        writes.retain(|index| *index != 11);
        assert_eq!(writes.durable(RecordNumber(3)).collect::<Vec<_>>(), [10]);
        assert_eq!(writes.durable(RecordNumber(9)).collect::<Vec<_>>(), [12]);
        assert!(writes.is_empty());
    }
}
