//! Log compaction (§7): what a snapshot covers is forgotten, and a snapshot of another server
//! takes the place of the log.

use crate::entry::{EntryId, Term};
use crate::log::Log;
use crate::members::Members;
use crate::record::Record;
use crate::replica::Raft;
use crate::server::{Server, Written};
use consensus_core::mutant::planted;
use consensus_core::{Effects, LogIndex, SnapshotMeta};

/// Nobody needs anything but what trails: no index is after this one.
pub(crate) const NOTHING: LogIndex = LogIndex(u64::MAX);

impl Server {
    /// What stands beside a snapshot of everything up to this index: Figure 13's last included
    /// index, last included term, and the latest members as of that index (§7). A server that joins
    /// and has not come to an entry that names them cannot tell, and takes no snapshot so early.
    pub(crate) fn snapshot_meta(&self, index: LogIndex) -> Option<SnapshotMeta> {
        let known = index >= self.log.start().index && index <= self.commit_index;
        let term = self.log.term_at(index).filter(|_| known)?;
        let membership = match planted("R73") {
            false => self.members.as_of(index).clone(),
            true => self.members.current().clone(),
        };
        // Who joined with an empty log knows of no members until an entry names some; a snapshot
        // without members would let nobody vote who stands on it.
        let known = !membership.voters.is_empty();
        known.then_some(SnapshotMeta { index, epoch: term.0, membership })
    }

    /// A snapshot of this server's own state is durable: what it covers may go, but for what
    /// others need after an index.
    #[cold]
    pub(crate) fn on_snapshot_taken(
        &mut self,
        meta: &SnapshotMeta,
        needed_after: LogIndex,
        effects: &mut Effects<Raft>,
    ) {
        if meta.index > self.commit_index {
            effects.halt(format!("a snapshot up to index {} of what is not committed", meta.index));
            return;
        }
        if meta.index <= self.snapshot {
            return;
        }
        self.snapshot = meta.index;
        self.forget(needed_after, effects);
    }

    /// Forgets what the snapshot covers, but for the entries that are kept for followers that lag
    /// a little, or that take an older snapshot.
    fn forget(&mut self, needed_after: LogIndex, effects: &mut Effects<Raft>) {
        let upto = self.forgettable(needed_after);
        if upto <= self.log.start().index {
            return;
        }
        self.members.forget_upto(upto);
        self.log.forget_upto(upto);
        self.compact(effects);
    }

    /// The last index of the snapshot that is not worth keeping.
    fn forgettable(&self, needed_after: LogIndex) -> LogIndex {
        let (start, config) = (self.log.start().index, &self.config);
        if planted("R70") {
            return self.commit_index;
        }
        let mut upto = self.snapshot;
        let (mut entries, mut bytes) = (0, 0);
        while upto > start {
            entries += 1;
            bytes += self.log.get(upto).map_or(0, crate::Entry::len);
            let (most_entries, most_bytes) = if upto > needed_after {
                let entries = config.held_entries.max(config.trailing_entries);
                (entries, config.held_bytes.max(config.trailing_bytes))
            } else {
                (config.trailing_entries, config.trailing_bytes)
            };
            let endless = upto > needed_after && planted("R150");
            if (entries > most_entries || bytes > most_bytes) && !endless {
                break;
            }
            upto = upto.previous();
        }
        upto
    }

    /// Writes everything that a restart needs, in place of all that was written before. The
    /// entries go last, even if there are none: they say what follows the start. What is kept may
    /// be long, and a disk takes no record of any length, so each brings what an append may.
    pub(crate) fn compact(&mut self, effects: &mut Effects<Raft>) {
        effects.reached("log compacted");
        let last = self.log.start();
        let start = Record::Start { last, members: Box::new(self.members.settled().clone()) };
        let mut state = self.hard_state();
        if planted("R132") {
            state = Record::HardState { term: self.current_term, voted_for: None };
        }
        let mut records = vec![state, start];
        let most = if planted("R156") { usize::MAX } else { self.config.max_append_bytes };
        let mut first = last.index.next();
        loop {
            let entries = self.log.from(first, most);
            let next = LogIndex(first.0 + entries.len() as u64);
            records.push(Record::Entries { first, entries });
            if next > self.log.last().index {
                break;
            }
            first = next;
        }
        effects.compact(records);
        self.compaction_due = false;
    }

    /// A snapshot of another server is durable, and the state machine was restored from it. What
    /// it covers is decided; the entries that follow in this log are kept if the log agrees with
    /// it, otherwise the whole log goes (Figure 13, steps 6 and 7).
    pub(crate) fn on_snapshot_installed(
        &mut self,
        meta: SnapshotMeta,
        effects: &mut Effects<Raft>,
    ) {
        if meta.index <= self.commit_index && !planted("R12b") {
            return self.on_snapshot_taken(&meta, NOTHING, effects);
        }
        let last = EntryId::new(Term(meta.epoch), meta.index);
        assert!(last.term <= self.current_term, "its term was entered first");
        let agrees = self.log.term_at(last.index) == Some(last.term)
            || (planted("R12a") && self.log.last().index > last.index);
        self.snapshot = last.index;
        self.commit_index = last.index;
        if agrees {
            let all = planted("R136").then(|| self.log.last().index);
            self.durable_index = self.durable_index.max(all.unwrap_or(last.index));
            if !planted("R146") {
                self.tell_members(effects);
            }
            return self.forget(NOTHING, effects);
        }
        effects.reached("snapshot installed in place of the log");
        if self.log.last().index > last.index {
            effects.reached("snapshot installed in place of a longer log");
        }
        self.log = Log::starting_at(last);
        if !planted("R74") {
            self.members = Members::new(meta.membership);
        }
        self.durable_index = last.index;
        // No write of the log that is gone must vouch for what comes in its place.
        let stays = |written: &Written| matches!(written, Written::OwnVote(_)) || planted("R113");
        self.writes.retain(stays);
        self.compact(effects);
        self.tell_members(effects);
    }
}
