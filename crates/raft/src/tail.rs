//! Candidates that lag are brought up to date by those who refuse them.
//!
//! **This is not in the paper.** It is on unless [`Config::candidates`](crate::Config) says
//! [`Wait`](crate::Candidates::Wait).
//!
//! If the only server that reaches a majority lacks what one of its voters holds, §5.4.1 keeps it
//! from office, and no other can win: nobody leads until a link comes back ("constrained election":
//! Ng, Haridi and Carbone, Omni-Paxos, 2023, §2). So a server that refuses a vote or a pre-vote
//! because its own log is newer sends the entries that the candidate lacks. The candidate appends
//! them and asks again. Votes are given as ever.
//!
//! # Why this is safe
//!
//! *Who wrote it.* Only leaders create entries, so by Log Matching (§5.3) every log that ends with
//! an entry of term T is a beginning of the log of T's leader, whatever way it came together.
//!
//! *What is committed stays.* Let an entry be committed in term U: a majority acknowledged in U a
//! log that ends with an entry of U. A server of that majority adopts only what ends later, by
//! term and index, than its own log, so in a term T ≥ U. If T > U, the leader of T held the entry
//! when it was elected (Leader Completeness, by induction over the terms), and a log that reaches
//! T's own entries has everything before them. If T = U, the new log is the old one and more.
//! Either way the server holds the entry as before, its last entry is no older, and the proof of
//! §5.4.3 stands.
//!
//! *What was acknowledged stays, too,* be it not committed: the leader of the current term may name
//! it as committed in a heartbeat. If the new log ends in the current term, it goes on where that
//! leader's log does, and what was acknowledged is the beginning of it. Otherwise the candidate
//! leaves its term before it adopts anything, and hears that leader no more. A candidate that has
//! begun its term itself has acknowledged nothing in it.
//!
//! *Who votes stays, too.* A candidate's votes are counted by the members of its log, and to adopt
//! may change those. Up to entries before its term it is as if it had held them when it asked. But
//! entries of its own term are the work of a leader of that term: another one was elected, and may
//! since have changed the members more than once (§6), so that the candidate's votes would suffice
//! beside those of that leader. So a candidate adopts nothing of its own term; it has lost.
//!
//! *Nobody is disturbed.* To leave its term is to depose, later, a leader of that term. So a
//! candidate that has to does it only when a majority has answered: who reaches none has nothing to
//! catch up for.
//!
//! *Nothing is promised.* A tail commits nothing and is not acknowledged. The vote request that
//! names the new end of the log is a promise, as any, and waits until the disk has it.
//!
//! *What if the tail is wrong,* as it comes late or its sender lacks what is committed? It is
//! adopted only by who still asks, only if it is newer, only if the logs agree on
//! the entry before it, and never into what is known to be committed.

use crate::config::{Candidates, Config};
use crate::entry::{Entries, Entry, EntryId};
use crate::message::{Message, Tail};
use crate::replica::{Next, Raft, Role};
use crate::server::Server;
use consensus_core::mutant::planted;
use consensus_core::{Effects, LogIndex, NodeId};
use tracing::debug;

/// So many times `max_append_bytes` may be in one tail, if so much is needed until it is newer than
/// the candidate's log. Beyond, the candidate has to take a snapshot first.
const MOST_APPENDS: usize = 4;

/// Bytes that may be in one tail in any case: no link is so narrow.
const ALWAYS_FIT: usize = 64 << 10;

/// Bytes of entries in one tail, at most. A link that drops what is longer would drop it each time,
/// so this goes by what a link is expected to carry.
fn most_bytes(config: &Config) -> usize {
    if planted("R155") {
        return 2 << 20;
    }
    config.max_append_bytes.saturating_mul(MOST_APPENDS).max(ALWAYS_FIT)
}

impl Server {
    /// This server refuses a candidate whose log ends with `last` and is committed up to `commit`,
    /// as far as the candidate knows. If that is for its log alone, the candidate is told what it
    /// lacks.
    pub(crate) fn bring_up_to_date(
        &self,
        candidate: NodeId,
        (last, commit): (EntryId, LogIndex),
        effects: &mut Effects<Raft>,
    ) {
        if self.config.candidates == Candidates::Wait || self.is_up_to_date(last) {
            return;
        }
        if let Some((prev, entries)) = self.lacking(last, commit) {
            effects.reached(match entries.is_empty() {
                true => "a candidate lacks what is forgotten",
                false => "a candidate is sent what it lacks",
            });
            let term = self.current_term;
            effects.send(candidate, Message::Tail(Tail { term, prev, entries }));
        }
    }

    /// What a log lacks that ends with `last`: the entry before, and the entries. They end later
    /// than that log, as only then they may be adopted. No entries, if a snapshot has to come
    /// first: then the last one that the snapshot covers.
    fn lacking(&self, last: EntryId, commit: LogIndex) -> Option<(EntryId, Entries)> {
        let log = &self.log;
        let prev = self.shared_with(last, commit);
        if prev < log.start().index {
            return self.snapshot_beyond(commit);
        }
        let rest = log.after(prev);
        let ids = (prev.0 + 1..).zip(rest);
        let newer = ids.map(|(index, entry)| EntryId::new(entry.term, LogIndex(index)) > last);
        let needed = newer.take_while(|newer| !newer).count() + 1;
        let fits = log.from(prev.next(), self.config.max_append_bytes);
        if fits.len() >= needed || (planted("R101") && !fits.is_empty()) {
            return Some((log.id_at(prev), fits));
        }
        let needed = rest.get(..needed)?;
        if needed.iter().map(Entry::len).sum::<usize>() > most_bytes(&self.config) {
            return self.snapshot_beyond(commit);
        }
        Some((log.id_at(prev), needed.into()))
    }

    /// The last index up to which a log that ends with `last` is surely this one. If both hold
    /// entries of that last term, they agree up to where the shorter of the two ends, or goes on
    /// to a later term (§5.3); otherwise all that is known is what is committed.
    fn shared_with(&self, last: EntryId, commit: LogIndex) -> LogIndex {
        if planted("R105") {
            return self.commit_index;
        }
        self.log.last_of(last.term).map_or(commit, |own| own.min(last.index))
    }

    fn snapshot_beyond(&self, commit: LogIndex) -> Option<(EntryId, Entries)> {
        let none: Entries = [][..].into();
        (self.snapshot > commit && !planted("R106")).then(|| (self.log.id_at(self.snapshot), none))
    }

    /// How many entries of a tail this log holds already, if the rest may be adopted.
    fn held_of(&self, tail: &Tail) -> Option<usize> {
        let newer = tail.last() > self.log.last() || planted("R100");
        let agrees = self.log.term_at(tail.prev.index) == Some(tail.prev.term) || planted("R102");
        if !newer || !agrees || tail.prev.index > self.log.last().index {
            return None;
        }
        let ids = (tail.prev.index.0 + 1..).zip(tail.entries.iter());
        let same = ids.map(|(index, entry)| self.log.term_at(LogIndex(index)) == Some(entry.term));
        let held = same.take_while(|same| *same).count();
        let first = tail.prev.index.0 + held as u64 + 1;
        let decided = first <= self.commit_index.0 && !planted("R103");
        (held < tail.entries.len() && !decided).then_some(held)
    }
}

impl Raft {
    /// A server that refused this one sends what it lacks.
    pub(crate) fn on_tail(&mut self, from: NodeId, tail: Tail, effects: &mut Effects<Self>) {
        let asks = match &self.role {
            Role::PreCandidate(_) => true,
            Role::Candidate(_) => {
                let current = self.server.current_term;
                tail.term == current && (tail.last().term < current || planted("R190"))
            }
            Role::Follower(_) => planted("R107"),
            Role::Leader(_) => false,
        };
        if !asks {
            return effects.reached("a tail for one that asks for votes no more");
        }
        if tail.entries.is_empty() {
            if tail.prev.index > self.server.commit_index {
                effects.reached("a candidate needs a snapshot");
                effects.fetch(from);
            }
            return;
        }
        let leaves = tail.last().term < self.server.current_term;
        if let Role::PreCandidate(role) = &mut self.role
            && leaves
            && !self.server.is_quorum(role.answered)
            && !planted("R108")
        {
            if role.tail.as_ref().is_none_or(|kept| kept.last() < tail.last()) {
                role.tail = Some(Box::new(tail));
            }
            return effects.reached("a tail waits until a majority has answered");
        }
        match self.server.held_of(&tail) {
            Some(held) => self.adopt(&tail, held, effects),
            None => {
                debug!(?from, "a tail that is not newer, or does not continue this log: ignored");
                effects.reached("a tail is of no use");
            }
        }
    }

    /// A majority has answered: the tail that waited for that is adopted.
    pub(crate) fn take_up(&mut self, effects: &mut Effects<Self>) {
        let Role::PreCandidate(role) = &mut self.role else { return };
        if !self.server.is_quorum(role.answered) {
            return;
        }
        if let Some(tail) = role.tail.take()
            && let Some(held) = self.server.held_of(&tail)
        {
            self.adopt(&tail, held, effects);
        }
    }

    /// Appends what is new in a tail. Who asked whether it could win asks again. A candidate keeps
    /// the votes that it has, since they were given to an older log; if they are too few, it asks
    /// again after its timeout.
    fn adopt(&mut self, tail: &Tail, held: usize, effects: &mut Effects<Self>) {
        effects.reached("a candidate is brought up to date");
        let asks = matches!(self.role, Role::PreCandidate(_));
        let current = self.server.current_term;
        if asks && tail.last().term < current && !planted("R104") {
            effects.reached("a candidate leaves its term to catch up");
            self.enter_term(current.next(), effects);
        }
        let first = LogIndex(tail.prev.index.0 + held as u64 + 1);
        self.server.append(first, tail.entries[held..].into(), effects);
        if asks && self.server.may_campaign() {
            self.transition(Next::PreCandidate, effects);
        } else if asks && matches!(self.role, Role::PreCandidate(_)) {
            self.become_follower(effects);
        }
    }
}
