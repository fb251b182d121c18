//! The words of the log: terms, entries, and the name of an entry.

use consensus_core::{Batch, LogIndex};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

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
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// Entries that follow one another. Clones share them: one run serves the record for the disk and
/// the messages to all followers, and a follower writes the run that it received.
#[derive(Clone)]
pub struct Entries(Run);

/// One entry by itself needs no list: the usual case while there is little to do, and the cheapest.
#[derive(Clone)]
enum Run {
    One(Entry),
    Many(Arc<[Entry]>),
}

impl Deref for Entries {
    type Target = [Entry];

    #[inline]
    fn deref(&self) -> &[Entry] {
        match &self.0 {
            Run::One(entry) => std::slice::from_ref(entry),
            Run::Many(entries) => entries,
        }
    }
}

impl From<Entry> for Entries {
    #[inline]
    fn from(entry: Entry) -> Self {
        Self(Run::One(entry))
    }
}

impl From<&[Entry]> for Entries {
    fn from(entries: &[Entry]) -> Self {
        match entries {
            [entry] => entry.clone().into(),
            _ => Self(Run::Many(entries.into())),
        }
    }
}

impl FromIterator<Entry> for Entries {
    fn from_iter<I: IntoIterator<Item = Entry>>(entries: I) -> Self {
        let mut entries = entries.into_iter();
        match (entries.next(), entries.next()) {
            (Some(only), None) => only.into(),
            (first, second) => {
                let all = first.into_iter().chain(second).chain(entries);
                Self(Run::Many(all.collect()))
            }
        }
    }
}

impl PartialEq for Entries {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl Eq for Entries {}

impl Hash for Entries {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl fmt::Debug for Entries {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl Serialize for Entries {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Entries {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

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

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::Fingerprint;

    /// A run is what is in it, however it is kept: the simulator compares and hashes messages.
    #[test]
    fn a_run_is_its_entries() {
        let entry = |term| Entry { term: Term(term), batch: Batch::noop() };
        for terms in [vec![], vec![3], vec![3, 4]] {
            let list: Vec<Entry> = terms.iter().map(|term| entry(*term)).collect();
            let run: Entries = list.iter().cloned().collect();
            assert_eq!(*run, *list);
            assert_eq!(run, Entries::from(&list[..]));
            assert_eq!(Fingerprint::of(&run), Fingerprint::of(&list));
            assert_eq!(format!("{run:?}"), format!("{list:?}"));
        }
    }
}
