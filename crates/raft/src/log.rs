//! The log: Figure 2's `log[]`, first index 1.

use crate::entry::{Entries, Entry, EntryId, Term};
use consensus_core::LogIndex;
use consensus_core::mutant::planted;

/// The entries of a server, whole, in memory.
///
/// Terms never fall along the log (each leader appends only entries of its own term, and terms
/// rise), so that the entries of a term stand together and are found by halving.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Log {
    entries: Vec<Entry>,
}

impl Log {
    /// The name of the last entry.
    pub(crate) fn last(&self) -> EntryId {
        match self.entries.last() {
            Some(entry) => EntryId::new(entry.term, LogIndex(self.entries.len() as u64)),
            None => EntryId::ZERO,
        }
    }

    /// The entry at an index.
    pub(crate) fn get(&self, index: LogIndex) -> Option<&Entry> {
        let place = usize::try_from(index.0.checked_sub(1)?).ok()?;
        self.entries.get(place)
    }

    /// The term at an index; before the first entry it is 0.
    pub(crate) fn term_at(&self, index: LogIndex) -> Option<Term> {
        if index == LogIndex::ZERO {
            return Some(Term::ZERO);
        }
        self.get(index).map(|entry| entry.term)
    }

    /// The name of the entry at an index that is in the log, or 0.
    pub(crate) fn id_at(&self, index: LogIndex) -> EntryId {
        EntryId::new(self.term_at(index).expect("the index is in the log"), index)
    }

    /// The first index of this term, if there is an entry of it.
    pub(crate) fn first_of(&self, term: Term) -> Option<LogIndex> {
        let before = self.entries.partition_point(|entry| entry.term < term);
        let index = LogIndex(before as u64 + 1);
        (self.term_at(index) == Some(term)).then_some(index)
    }

    /// The last index of this term, if there is an entry of it.
    pub(crate) fn last_of(&self, term: Term) -> Option<LogIndex> {
        let index = LogIndex(self.entries.partition_point(|entry| entry.term <= term) as u64);
        (index > LogIndex::ZERO && self.term_at(index) == Some(term)).then_some(index)
    }

    /// Entries from `first` on, as many as fit these bytes, but at least one if there is one.
    pub(crate) fn from(&self, first: LogIndex, max_bytes: usize) -> Entries {
        assert!(first > LogIndex::ZERO, "the first entry has index 1");
        let rest = self.entries.get(first.0 as usize - 1..).unwrap_or_default();
        let mut bytes = 0;
        let fits = |entry: &&Entry| {
            bytes += entry.len();
            bytes <= max_bytes
        };
        let count = rest.iter().take_while(fits).count().max(1).min(rest.len());
        rest[..count].into()
    }

    /// The entries after `index`.
    pub(crate) fn after(&self, index: LogIndex) -> &[Entry] {
        self.entries.get(index.0 as usize..).unwrap_or_default()
    }

    /// Cuts everything at and after `first`.
    pub(crate) fn truncate(&mut self, first: LogIndex) {
        assert!(first > LogIndex::ZERO, "the first entry has index 1");
        self.entries.truncate(usize::try_from(first.0 - 1).unwrap_or(usize::MAX));
    }

    /// Appends entries whose terms do not fall.
    pub(crate) fn extend(&mut self, entries: &[Entry]) {
        let mut before = self.last().term;
        for entry in entries {
            let rises = before <= entry.term || planted("E-22");
            assert!(rises, "terms never fall along the log");
            before = entry.term;
            self.entries.push(entry.clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::Batch;

    fn log(terms: &[u64]) -> Log {
        let mut log = Log::default();
        let entry = |term: &u64| Entry { term: Term(*term), batch: Batch::noop() };
        log.extend(&terms.iter().map(entry).collect::<Vec<_>>());
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

    #[test]
    #[should_panic(expected = "terms never fall")]
    fn a_falling_term_is_our_mistake() {
        log(&[2, 1]);
    }
}
