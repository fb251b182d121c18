//! What survives a crash: Figure 2, "persistent state on all servers".

use crate::entry::{Entries, EntryId, Term};
use crate::log::Log;
use consensus_core::mutant::planted;
use consensus_core::{LogIndex, NodeId, RecoverError};
use serde::{Deserialize, Serialize};

/// One record of a server's disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Record {
    /// currentTerm and votedFor. One record, so that a vote is never found with the wrong term.
    HardState {
        /// The latest term that the server has seen.
        term: Term,
        /// Who got its vote in that term.
        voted_for: Option<NodeId>,
    },
    /// These entries stand at `first` and after, and nothing follows them: what was there before
    /// is cut.
    Entries {
        /// Index of the first.
        first: LogIndex,
        /// The entries.
        entries: Entries,
    },
}

/// What the records of a disk add up to.
#[derive(Debug, Default)]
pub(crate) struct Remembered {
    pub(crate) term: Term,
    pub(crate) voted_for: Option<NodeId>,
    pub(crate) log: Log,
}

impl Remembered {
    /// Reads the records, oldest first. What this program could not have written is an error: a
    /// server that forgot or invented a vote must not take part.
    pub(crate) fn read(records: Vec<Record>) -> Result<Self, RecoverError> {
        let mut all = Self::default();
        for (number, record) in records.into_iter().enumerate() {
            all.add(record).map_err(|why| RecoverError(format!("record {}: {why}", number + 1)))?;
        }
        Ok(all)
    }

    fn add(&mut self, record: Record) -> Result<(), &'static str> {
        match record {
            Record::HardState { term, voted_for } => {
                let vote_changed =
                    term == self.term && self.voted_for.is_some() && voted_for != self.voted_for;
                if term < self.term {
                    return Err("the term falls");
                }
                if vote_changed {
                    return Err("two votes in one term");
                }
                self.term = term;
                self.voted_for = voted_for.filter(|_| !planted("R58"));
            }
            Record::Entries { first, entries } => {
                if first == LogIndex::ZERO || first > self.log.last().index.next() {
                    return Err("entries leave a gap in the log");
                }
                if !planted("R66") {
                    self.log.truncate(first);
                }
                let EntryId { term: mut before, .. } = self.log.last();
                for entry in entries.iter() {
                    if entry.term < before || entry.term > self.term {
                        return Err("an entry's term does not fit the log");
                    }
                    before = entry.term;
                }
                self.log.extend(&entries);
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::Entry;
    use consensus_core::Batch;

    fn state(term: u64, vote: Option<u8>) -> Record {
        Record::HardState { term: Term(term), voted_for: vote.map(NodeId) }
    }

    fn entries(first: u64, terms: &[u64]) -> Record {
        let entry = |term: &u64| Entry { term: Term(*term), batch: Batch::noop() };
        Record::Entries { first: LogIndex(first), entries: terms.iter().map(entry).collect() }
    }

    #[test]
    fn later_records_replace_the_tail_and_the_vote() {
        let records = vec![
            state(1, Some(2)),
            entries(1, &[1, 1, 1]),
            state(3, None),
            entries(2, &[2, 3]),
            state(3, Some(0)),
        ];
        let all = Remembered::read(records).expect("a sound disk");
        assert_eq!((all.term, all.voted_for), (Term(3), Some(NodeId(0))));
        assert_eq!(all.log.last(), EntryId::new(Term(3), LogIndex(3)));
        assert_eq!(all.log.term_at(LogIndex(2)), Some(Term(2)));
    }

    #[test]
    fn a_disk_that_contradicts_itself_is_refused() {
        for bad in [
            vec![state(2, None), state(1, None)],
            vec![state(2, Some(0)), state(2, Some(1))],
            vec![state(2, Some(0)), state(2, None)],
            vec![state(1, None), entries(2, &[1])],
            vec![state(1, None), entries(0, &[1])],
            vec![state(1, None), entries(1, &[2])],
            vec![state(2, None), entries(1, &[2, 1])],
        ] {
            assert!(Remembered::read(bad.clone()).is_err(), "{bad:?}");
        }
    }
}
