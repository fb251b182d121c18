//! The words of the log: terms, entries, and the name of an entry.

use consensus_core::{Batch, LogIndex, Run};
use serde::{Deserialize, Serialize};
use std::fmt;

/// Raft's logical clock (§5.1): at most one leader a term. 0 is before the first election.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Term(pub u64);

impl Term {
    /// Before the first election.
    pub const ZERO: Self = Self(0);

    /// Higher than any term that a cluster can reach. What names a term beyond it is refused, so
    /// that a hostile number cannot use up the terms.
    pub const LIMIT: Self = Self(1 << 62);

    /// The term after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("no message names a term above the limit"))
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "t{}", self.0)
    }
}

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// One entry of the log: the batch, and the term in which a leader received it.
#[derive(Clone, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Entry {
    /// The term of the leader that created it.
    pub term: Term,
    /// The commands.
    pub batch: Batch,
}

impl Entry {
    /// Bytes that count against the limits on messages and pending proposals.
    pub(crate) fn len(&self) -> usize {
        ENTRY_OVERHEAD + self.batch.bytes().len()
    }
}

/// An entry without commands still costs its header.
const ENTRY_OVERHEAD: usize = 16;

impl fmt::Debug for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}:{:?}", self.term, self.batch)
    }
}

/// Entries that follow one another, shared by all who need them.
pub type Entries = Run<Entry>;

/// The name of an entry. Two logs that hold an entry of the same name are equal up to it (the
/// Log Matching property, §5.3).
///
/// The order of names, by term and then by index, is the order of §5.4.1: of two logs, the one
/// whose last entry has the higher name is more up-to-date.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct EntryId {
    /// Its term.
    pub term: Term,
    /// Its index.
    pub index: LogIndex,
}

impl EntryId {
    /// Before the first entry; part of every log.
    pub const ZERO: Self = Self { term: Term::ZERO, index: LogIndex::ZERO };

    /// The entry of this term at this index.
    pub fn new(term: Term, index: LogIndex) -> Self {
        Self { term, index }
    }
}

impl fmt::Debug for EntryId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}@{:?}", self.index, self.term)
    }
}
