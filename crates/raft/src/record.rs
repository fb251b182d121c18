//! What survives a crash: Figure 2, "persistent state on all servers", and Figure 13.

use crate::entry::{Entries, Entry, EntryId, Term};
use crate::log::Log;
use crate::members::Members;
use consensus_core::mutant::planted;
use consensus_core::{LogIndex, Membership, NodeId, RecoverError, SnapshotMeta};
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
    /// The log starts after this entry, as a snapshot covers everything up to it (§7). Stands
    /// before all entries: it is written by compaction only.
    Start {
        /// The last entry that is forgotten.
        last: EntryId,
        /// The members as of that entry. Boxed: every record is as large as the largest.
        members: Box<Membership>,
    },
}

/// Terms and indices that messages name are below half of this, and what a server counts on from
/// there does not come near it: such a number on a disk is a broken disk, and it would overflow.
const FAR: u64 = 1 << 63;

/// Index 0 has term 0, and no other has.
fn can_be(last: EntryId) -> bool {
    let is_first = last.index == LogIndex::ZERO;
    last.index.0 < FAR && last.term.0 < FAR && is_first == (last.term == Term::ZERO)
}

/// What the records of a disk add up to.
#[derive(Debug)]
pub(crate) struct Remembered {
    pub(crate) term: Term,
    pub(crate) voted_for: Option<NodeId>,
    pub(crate) log: Log,
    pub(crate) members: Members,
    /// The newest snapshot is of everything up to here.
    pub(crate) snapshot: LogIndex,
    /// The snapshot is not part of the log that the records tell of: it replaced that log.
    pub(crate) replaced: bool,
}

impl Remembered {
    /// The memory of a server that never ran, in a cluster that begins with these members.
    pub(crate) fn nothing(members: Membership) -> Self {
        Self {
            term: Term::ZERO,
            voted_for: None,
            log: Log::default(),
            members: Members::new(members),
            snapshot: LogIndex::ZERO,
            replaced: false,
        }
    }

    /// Reads the records, oldest first, and puts the snapshot beside them. What this program could
    /// not have written is an error: a server that forgot or invented a vote must not take part.
    pub(crate) fn read(
        records: Vec<Record>,
        snapshot: Option<SnapshotMeta>,
        members: Membership,
    ) -> Result<Self, RecoverError> {
        let mut all = Self::nothing(members);
        for (number, record) in records.into_iter().enumerate() {
            all.add(record).map_err(|why| RecoverError(format!("record {}: {why}", number + 1)))?;
        }
        if let Some(snapshot) = snapshot {
            if !can_be(EntryId::new(Term(snapshot.epoch), snapshot.index)) {
                let index = snapshot.index;
                let why = format!("a snapshot up to index {index}, which no log reaches");
                return Err(RecoverError(why));
            }
            all.put_beside(snapshot);
        }
        let start = all.log.start().index;
        if all.snapshot < start {
            return Err(RecoverError(format!(
                "the log begins after index {start}, and the snapshot that should cover what came \
                 before ends at {}: it was lost; let this node join as a new one",
                all.snapshot
            )));
        }
        Ok(all)
    }

    /// A snapshot is durable before the log is forgotten, so that a crash between the two leaves a
    /// snapshot that is newer than the log knows. If the log holds its last entry, what follows is
    /// kept, otherwise the whole log goes (Figure 13, steps 6 and 7).
    fn put_beside(&mut self, snapshot: SnapshotMeta) {
        let last = EntryId::new(Term(snapshot.epoch), snapshot.index);
        self.snapshot = last.index;
        let covered = last.index < self.log.start().index;
        let longer = planted("R112") && self.log.last().index > last.index;
        if covered || longer || self.log.term_at(last.index) == Some(last.term) {
            return;
        }
        // A snapshot of a later term is news of that term, too.
        if last.term > self.term {
            (self.term, self.voted_for) = (last.term, None);
        }
        self.log = Log::starting_at(last);
        self.members = Members::new(snapshot.membership);
        self.replaced = true;
    }

    fn add(&mut self, record: Record) -> Result<(), &'static str> {
        match record {
            Record::HardState { term, voted_for } => {
                let vote_changed =
                    term == self.term && self.voted_for.is_some() && voted_for != self.voted_for;
                if term < self.term {
                    return Err("the term falls");
                }
                if term.0 >= FAR {
                    return Err("a term that no cluster reaches");
                }
                if vote_changed {
                    return Err("two votes in one term");
                }
                self.term = term;
                self.voted_for = voted_for.filter(|_| !planted("R58"));
            }
            Record::Entries { first, entries } => {
                if first <= self.log.start().index || first > self.log.last().index.next() {
                    return Err("entries leave a gap in the log");
                }
                if !planted("R66") {
                    self.log.truncate(first);
                    self.members.cut_from(first);
                }
                return self.extend(&entries);
            }
            Record::Start { last, members } => {
                if self.log != Log::default() {
                    return Err("the log starts a second time");
                }
                if last.term > self.term || !can_be(last) {
                    return Err("the log starts after an entry that cannot be");
                }
                self.log = Log::starting_at(last);
                self.members = Members::new(*members);
            }
        }
        Ok(())
    }

    fn extend(&mut self, entries: &[Entry]) -> Result<(), &'static str> {
        let mut before = self.log.last();
        for entry in entries {
            if entry.term < before.term || entry.term > self.term || entry.term == Term::ZERO {
                return Err("an entry's term does not fit the log");
            }
            before = EntryId::new(entry.term, before.index.next());
            let says_members = self.members.appended(before.index, &entry.batch);
            if entry.batch.is_membership() && !says_members {
                return Err("an entry that should say who the members are does not");
            }
        }
        self.log.extend(entries.into());
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{Batch, Cluster, ClusterId};

    fn state(term: u64, vote: Option<u8>) -> Record {
        Record::HardState { term: Term(term), voted_for: vote.map(NodeId) }
    }

    fn entries(first: u64, terms: &[u64]) -> Record {
        let entry = |term: &u64| Entry { term: Term(*term), batch: Batch::noop() };
        Record::Entries { first: LogIndex(first), entries: terms.iter().map(entry).collect() }
    }

    fn three() -> Membership {
        Membership::initial(&Cluster::new(ClusterId(1), 3))
    }

    fn start(term: u64, index: u64) -> Record {
        Record::Start {
            last: EntryId::new(Term(term), LogIndex(index)),
            members: Box::new(three()),
        }
    }

    fn snapshot(index: u64, epoch: u64) -> Option<SnapshotMeta> {
        Some(SnapshotMeta { index: LogIndex(index), epoch, membership: three() })
    }

    fn read(records: Vec<Record>, of: Option<SnapshotMeta>) -> Result<Remembered, RecoverError> {
        Remembered::read(records, of, three())
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
        let all = read(records, None).expect("a sound disk");
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
            vec![state(2, None), start(2, 4), entries(4, &[2])],
            vec![state(2, None), start(2, 4), entries(5, &[1])],
            vec![state(2, None), start(3, 4)],
            vec![state(2, None), start(2, 4), start(2, 5)],
            vec![state(2, None), entries(1, &[2]), start(2, 1)],
        ] {
            assert!(read(bad.clone(), snapshot(4, 2)).is_err(), "{bad:?}");
        }
    }

    /// §7: a log that starts later needs the snapshot that covers what came before.
    #[test]
    fn a_log_without_its_snapshot_is_refused() {
        let records = || vec![state(2, None), start(2, 4), entries(5, &[2, 2])];
        assert!(read(records(), None).is_err());
        assert!(read(records(), snapshot(3, 2)).is_err());
        let all = read(records(), snapshot(4, 2)).expect("covered");
        assert_eq!((all.log.last().index, all.replaced), (LogIndex(6), false));
    }

    /// Figure 13, steps 6 and 7, for a crash between the snapshot and the compaction of the log.
    #[test]
    fn a_newer_snapshot_keeps_the_tail_only_if_the_log_agrees_with_it() {
        let records = || vec![state(3, Some(1)), entries(1, &[1, 2, 3, 3])];
        let last = |of| {
            let all = read(records(), of).expect("a sound disk");
            (all.log.last(), all.replaced, all.term, all.voted_for)
        };
        let id = |term, index| EntryId::new(Term(term), LogIndex(index));
        let vote = Some(NodeId(1));
        assert_eq!(last(snapshot(2, 2)), (id(3, 4), false, Term(3), vote), "part of the log");
        assert_eq!(last(snapshot(2, 1)), (id(1, 2), true, Term(3), vote), "another history");
        assert_eq!(last(snapshot(9, 3)), (id(3, 9), true, Term(3), vote), "beyond the log");
        assert_eq!(last(snapshot(9, 5)), (id(5, 9), true, Term(5), None), "of a later term");
    }
}
