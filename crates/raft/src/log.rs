//! The log: Figure 2's `log[]`, first index 1, as far as it is not forgotten (§7).

use crate::entry::{Entries, Entry, EntryId, Term};
use consensus_core::LogIndex;
use consensus_core::mutant::planted;

/// The entries of a server that no snapshot made superfluous, in memory.
///
/// Terms never fall along the log (each leader appends only entries of its own term, and terms
/// rise), so that the entries of a term stand together and are found by halving.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Log {
    /// The last entry that is forgotten: the "last included" index and term of Figure 13.
    start: EntryId,
    entries: Vec<Entry>,
    /// The name of the last entry: every step asks for it.
    last: EntryId,
}

impl Log {
    /// A log without entries, that goes on after this one.
    pub(crate) fn starting_at(start: EntryId) -> Self {
        Self { start, entries: Vec::new(), last: start }
    }

    /// The last entry that is forgotten, or 0.
    pub(crate) fn start(&self) -> EntryId {
        self.start
    }

    /// The name of the last entry.
    #[inline]
    pub(crate) fn last(&self) -> EntryId {
        self.last
    }

    /// The entries are others now.
    fn find_last(&mut self) {
        let index = LogIndex(self.start.index.0 + self.entries.len() as u64);
        let term = self.entries.last().map_or(self.start.term, |entry| entry.term);
        self.last = EntryId::new(term, index);
    }

    /// Is the name that is kept that of the last entry?
    pub(crate) fn is_sound(&self) -> bool {
        let mut found = self.clone();
        found.find_last();
        found.last == self.last
    }

    /// The place of an index among the entries.
    fn place(&self, index: LogIndex) -> Option<usize> {
        usize::try_from(index.0.checked_sub(self.start.index.0)?.checked_sub(1)?).ok()
    }

    fn index_of(&self, place: usize) -> LogIndex {
        LogIndex(self.start.index.0 + 1 + place as u64)
    }

    /// The entry at an index.
    pub(crate) fn get(&self, index: LogIndex) -> Option<&Entry> {
        self.entries.get(self.place(index)?)
    }

    /// The term at an index, also at the last one that is forgotten; before the first entry it
    /// is 0.
    pub(crate) fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == self.start.index {
            return Some(self.start.term);
        }
        self.get(index).map(|entry| entry.term)
    }

    /// The name of the entry at an index that is in the log, or just before it.
    pub(crate) fn id_at(&self, index: LogIndex) -> EntryId {
        EntryId::new(self.term_at(index).expect("the index is in the log"), index)
    }

    /// The first index of this term, as far as is known, if there is an entry of it.
    pub(crate) fn first_of(&self, term: Term) -> Option<LogIndex> {
        if term == self.start.term && self.start != EntryId::ZERO {
            return Some(self.start.index);
        }
        let index = self.index_of(self.entries.partition_point(|entry| entry.term < term));
        (self.get(index)?.term == term).then_some(index)
    }

    /// The last index of this term, if there is an entry of it.
    pub(crate) fn last_of(&self, term: Term) -> Option<LogIndex> {
        let after = self.index_of(self.entries.partition_point(|entry| entry.term <= term));
        let index = after.previous();
        (index > LogIndex::ZERO && self.term_at(index) == Some(term)).then_some(index)
    }

    /// Entries from `first` on, as many as fit these bytes, but at least one if there is one.
    pub(crate) fn from(&self, first: LogIndex, max_bytes: usize) -> Entries {
        let rest = self.after(first.previous());
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.len();
            bytes <= max_bytes
        };
        let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
        rest[..count].into()
    }

    /// The entries after `index`, which is not forgotten.
    pub(crate) fn after(&self, index: LogIndex) -> &[Entry] {
        assert!(index >= self.start.index, "what is forgotten is not asked for");
        self.place(index.next()).and_then(|place| self.entries.get(place..)).unwrap_or_default()
    }

    /// All entries.
    pub(crate) fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// Cuts everything at and after `first`.
    pub(crate) fn truncate(&mut self, first: LogIndex) {
        assert!(first > self.start.index, "what is forgotten is not cut");
        self.entries.truncate(self.place(first).unwrap_or(usize::MAX));
        self.find_last();
    }

    /// Forgets everything up to an index that is in the log.
    pub(crate) fn forget_upto(&mut self, index: LogIndex) {
        let start = self.id_at(index);
        self.entries.drain(..(index.0 - self.start.index.0) as usize);
        self.start = start;
    }

    /// Appends entries whose terms do not fall.
    pub(crate) fn extend(&mut self, entries: Entries) {
        let mut before = self.last.term;
        for entry in entries.iter() {
            let rises = before <= entry.term || planted("E-22");
            assert!(rises, "terms never fall along the log");
            before = entry.term;
        }
        self.last = EntryId::new(before, LogIndex(self.last.index.0 + entries.len() as u64));
        entries.append_to(&mut self.entries, |entry| entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::Batch;

    fn log(terms: &[u64]) -> Log {
        let mut log = Log::default();
        let entry = |term: &u64| Entry { term: Term(*term), batch: Batch::noop() };
        log.extend(terms.iter().map(entry).collect());
        log
    }

    /// The borders of a term agree with a look at every entry.
    #[test]
    fn borders_of_terms_agree_with_a_linear_search() {
        let terms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
        let log = log(&terms);
        for term in 0..8 {
            let at = |place: Option<usize>| place.map(|place| LogIndex(place as u64 + 1));
            assert_eq!(log.first_of(Term(term)), at(terms.iter().position(|t| *t == term)));
            assert_eq!(log.last_of(Term(term)), at(terms.iter().rposition(|t| *t == term)));
        }
    }

    #[test]
    fn a_slice_obeys_the_limit_but_never_stands_still() {
        let log = log(&[1, 1, 1]);
        assert_eq!(log.from(LogIndex(2), usize::MAX).len(), 2);
        assert_eq!(log.from(LogIndex(1), 0).len(), 1);
        assert_eq!(log.from(LogIndex(1), 2 * log.entries[0].len()).len(), 2);
        assert!(log.from(LogIndex(4), usize::MAX).is_empty());
        assert!(log.from(LogIndex(9), usize::MAX).is_empty());
    }

    /// §7: after the forgetting, everything that is kept is as it was.
    #[test]
    fn what_is_not_forgotten_stays_as_it_was() {
        let terms = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
        let whole = log(&terms);
        for upto in 0..=10 {
            let mut log = whole.clone();
            log.forget_upto(LogIndex(upto));
            assert_eq!((log.start().index, log.last()), (LogIndex(upto), whole.last()));
            for index in (0..13).map(LogIndex) {
                let kept = whole.term_at(index).filter(|_| index.0 >= upto);
                assert_eq!(log.term_at(index), kept, "{index} after {upto}");
                let entry = whole.get(index).filter(|_| index.0 > upto);
                assert_eq!(log.get(index), entry, "{index} after {upto}");
            }
            for term in (0..8).map(Term) {
                let last = whole.last_of(term).filter(|index| index.0 >= upto);
                assert_eq!(log.last_of(term), last, "{term} after {upto}");
                let first = last.and(whole.first_of(term)).map(|first| first.max(LogIndex(upto)));
                assert_eq!(log.first_of(term), first, "{term} after {upto}");
            }
        }
    }

    #[test]
    #[should_panic(expected = "terms never fall")]
    fn a_falling_term_is_our_mistake() {
        log(&[2, 1]);
    }
}
