//! What a leader knows of one follower (Figure 2, nextIndex and matchIndex), and how much it may
//! send it.

use consensus_core::mutant::planted;
use consensus_core::{Fingerprint, LogIndex, NodeId, NodeSet};
use std::collections::{BTreeMap, VecDeque};
use std::hash::{Hash, Hasher};

/// One follower, as the leader sees it. Always `matched < next`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Progress {
    /// matchIndex: the follower has the leader's log up to here, on its disk. Only rises.
    matched: LogIndex,
    /// nextIndex: what to send next.
    next: LogIndex,
    pace: Pace,
    /// Everything up to here was sent to it once, in this term, or was there before the term.
    sent_once: LogIndex,
    /// AppendEntries that were not answered, oldest first, and their bytes.
    in_flight: VecDeque<Sent>,
    bytes: usize,
    /// The latest heartbeat that it answered in this term.
    round: u64,
    /// How much it should lead, as it says.
    priority: u8,
    /// It was told to take a snapshot and has not caught up since: the entries after this index
    /// are kept for it.
    needs_after: Option<LogIndex>,
}

/// How a follower is fed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Pace {
    /// Where the logs agree is not known: one message at a time, nextIndex stands.
    Probe,
    /// The logs agree: nextIndex runs ahead of the answers.
    Pipeline,
    /// What it needs next is forgotten: it has to get a snapshot first (§7).
    Snapshot,
}

/// One AppendEntries on its way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Sent {
    /// Its last index.
    last: LogIndex,
    bytes: usize,
    /// The heartbeat round in which it was sent.
    round: u64,
    /// The beat of the leader's timer.
    beat: u64,
}

/// What a leader knows of all others, lowest number first. They are few: a list is read faster
/// than a tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Followers(Vec<(NodeId, Progress)>);

/// In the order of what is known of them, those of whom the same is known as one set: so it matters
/// to no hasher that renames nodes that the list is in the order of their names.
impl Hash for Followers {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let mut alike: BTreeMap<Fingerprint, (NodeSet, &Progress)> = BTreeMap::new();
        for (id, progress) in &self.0 {
            let known = alike.entry(Fingerprint::of(progress));
            known.or_insert((NodeSet::EMPTY, progress)).0.insert(*id);
        }
        state.write_usize(alike.len());
        alike.values().for_each(|follower| follower.hash(state));
    }
}

impl Followers {
    /// Followers of a new leader whose log ended at `last`.
    pub(crate) fn new(nodes: NodeSet, last: LogIndex) -> Self {
        Self(nodes.iter().map(|node| (node, Progress::new(last))).collect())
    }

    /// Forgets all but these.
    pub(crate) fn retain(&mut self, nodes: NodeSet) {
        self.0.retain(|(id, _)| nodes.contains(*id));
    }

    /// Adds one, unless it is there.
    pub(crate) fn add(&mut self, node: NodeId, new: impl FnOnce() -> Progress) {
        if let Err(place) = self.0.binary_search_by_key(&node, |(id, _)| *id) {
            self.0.insert(place, (node, new()));
        }
    }

    /// What is known of one.
    pub(crate) fn get(&self, node: NodeId) -> Option<&Progress> {
        self.0.iter().find(|(id, _)| *id == node).map(|(_, progress)| progress)
    }

    /// What is known of one, to be changed.
    pub(crate) fn get_mut(&mut self, node: NodeId) -> Option<&mut Progress> {
        self.0.iter_mut().find(|(id, _)| *id == node).map(|(_, progress)| progress)
    }

    /// Each of them.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (NodeId, &Progress)> {
        self.0.iter().map(|(id, progress)| (*id, progress))
    }

    /// Each of them, to be changed.
    pub(crate) fn iter_mut(&mut self) -> impl Iterator<Item = (NodeId, &mut Progress)> {
        self.0.iter_mut().map(|(id, progress)| (*id, progress))
    }

    /// What is known of each.
    pub(crate) fn values(&self) -> impl Iterator<Item = &Progress> {
        self.0.iter().map(|(_, progress)| progress)
    }
}

/// How much may be on its way to one follower.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Window {
    pub(crate) messages: usize,
    pub(crate) bytes: usize,
}

impl Progress {
    /// A follower of a new leader whose log ended at `last` (Figure 2: nextIndex is the leader's
    /// last index + 1, matchIndex 0).
    pub(crate) fn new(last: LogIndex) -> Self {
        Self {
            matched: if planted("R48") { last } else { LogIndex::ZERO },
            next: last.next(),
            pace: Pace::Probe,
            sent_once: last,
            in_flight: VecDeque::new(),
            bytes: 0,
            round: 0,
            priority: 0,
            needs_after: None,
        }
    }

    /// It answered this heartbeat.
    pub(crate) fn answered(&mut self, round: u64, priority: u8) {
        self.round = self.round.max(round);
        self.priority = priority;
    }

    /// It did not answer for an election timeout: it should not lead, and nothing is kept for it.
    pub(crate) fn is_silent(&mut self) {
        self.priority = 0;
        self.needs_after = self.needs_after.filter(|_| planted("R111"));
    }

    /// It lives, and is told to take the newest snapshot: what follows is kept for it from now on.
    /// If that can be kept no longer, what follows a newer one.
    pub(crate) fn is_told_of(&mut self, snapshot: LogIndex, start: LogIndex) {
        if self.needs_after.is_none_or(|after| after < start) {
            self.needs_after = Some(snapshot);
        }
    }

    /// The entries after this index are kept for it.
    pub(crate) fn needs_after(&self) -> Option<LogIndex> {
        self.needs_after
    }

    /// The latest heartbeat that it answered.
    pub(crate) fn round(&self) -> u64 {
        self.round
    }

    /// How much it should lead.
    pub(crate) fn priority(&self) -> u8 {
        self.priority
    }

    /// Is what it needs next forgotten, in a log that starts after `start`? From then on it waits
    /// until it has a snapshot. True if that is news.
    pub(crate) fn falls_behind(&mut self, start: LogIndex) -> bool {
        let news = self.next <= start && self.pace != Pace::Snapshot;
        if news {
            self.pace = Pace::Snapshot;
            self.forget_in_flight();
        }
        news
    }

    /// Does it wait until it has a snapshot?
    pub(crate) fn wants_snapshot(&self) -> bool {
        self.pace == Pace::Snapshot
    }

    /// Its log agrees with the leader's up to here, wherever it has that from.
    pub(crate) fn agrees_upto(&mut self, index: LogIndex) {
        if self.pace == Pace::Snapshot && index >= self.next {
            self.probe_from(index.next());
        }
    }

    /// matchIndex.
    pub(crate) fn matched(&self) -> LogIndex {
        self.matched
    }

    /// nextIndex.
    pub(crate) fn next(&self) -> LogIndex {
        self.next
    }

    /// Would the next message repeat, or bring what is older than the leader's term?
    pub(crate) fn is_repair(&self) -> bool {
        self.next <= self.sent_once
    }

    /// May and should something be sent, to a follower of a leader whose log ends at `last`? A
    /// probe goes even without entries.
    pub(crate) fn wants(&self, last: LogIndex, window: Window) -> bool {
        match self.pace {
            Pace::Probe => self.in_flight.is_empty() && self.matched < last,
            Pace::Snapshot => false,
            Pace::Pipeline => {
                self.next <= last
                    && self.in_flight.len() < window.messages
                    && self.bytes < window.bytes
            }
        }
    }

    /// Entries up to `last` went out.
    pub(crate) fn sent(&mut self, last: LogIndex, bytes: usize, (round, beat): (u64, u64)) {
        assert!(last >= self.next.previous(), "what was sent starts at nextIndex");
        self.in_flight.push_back(Sent { last, bytes, round, beat });
        self.bytes += bytes;
        self.sent_once = self.sent_once.max(last);
        if self.pace == Pace::Pipeline {
            self.next = last.next();
        }
    }

    /// The follower has everything up to `matched`. False for a late or repeated answer.
    pub(crate) fn acknowledged(&mut self, matched: LogIndex) -> bool {
        if matched >= self.next.previous() && self.pace != Pace::Pipeline {
            self.pace = Pace::Pipeline;
            self.forget_in_flight();
        }
        while let Some(sent) = self.in_flight.front().filter(|sent| sent.last <= matched) {
            self.bytes -= sent.bytes;
            self.in_flight.pop_front();
        }
        self.next = self.next.max(matched.next());
        let news = matched > self.matched;
        self.matched = self.matched.max(matched);
        self.needs_after = self.needs_after.map(|after| after.max(self.matched));
        news
    }

    /// Everything up to here is committed. Nothing is kept any longer for who has it all.
    pub(crate) fn has_caught_up(&mut self, commit: LogIndex) -> bool {
        let done = self.needs_after.is_some() && self.matched >= commit;
        if done {
            self.needs_after = None;
        }
        done
    }

    /// The follower does not hold the entry at `prev`; the logs may agree before `hint`. A late or
    /// repeated answer changes nothing.
    pub(crate) fn rejected(&mut self, prev: LogIndex, hint: LogIndex) {
        let current = match self.pace {
            Pace::Probe => prev == self.next.previous(),
            Pace::Snapshot => false,
            Pace::Pipeline => prev < self.next,
        };
        if current && prev > self.matched {
            self.probe_from(hint.min(prev));
        }
    }

    /// Does the answer to this heartbeat say that a message or its answer got lost, as far as can
    /// be told? The follower had compared its log up to `verified` when it answered, and by now the
    /// leader's timer has fired so often.
    pub(crate) fn is_overdue(&self, round: u64, beats: u64, verified: LogIndex) -> bool {
        let Some(oldest) = self.in_flight.front().filter(|_| !planted("R49")) else { return false };
        // Sent before the heartbeat, but the follower has not seen it. Or it has, and its answer is
        // missing after a whole heartbeat interval: lost, or a slow disk. Rounds alone do not tell
        // how long that is, since reads begin one whenever the last was answered (thesis §6.4).
        let unseen = oldest.round < round && verified < oldest.last;
        let passed = oldest.beat.saturating_add(1) < beats || planted("R152");
        unseen || (passed && oldest.round.saturating_add(1) < round)
    }

    /// A message or its answer got lost, and the follower has compared its log up to `verified`:
    /// goes on after that. But while it is not known where the logs agree, nextIndex falls when a
    /// message is refused, and for nothing else (§5.3): a follower that has compared nothing in
    /// this term may hold everything.
    pub(crate) fn send_again(&mut self, verified: LogIndex) {
        let sought = self.pace == Pace::Probe && !planted("R151");
        let least = if sought { self.next } else { LogIndex::ZERO };
        self.probe_from(verified.next().max(least));
    }

    /// Starts over: one message from `next`, then see.
    pub(crate) fn probe_from(&mut self, next: LogIndex) {
        self.pace = Pace::Probe;
        self.next = next.max(self.matched.next());
        self.forget_in_flight();
    }

    fn forget_in_flight(&mut self) {
        self.in_flight.clear();
        self.bytes = 0;
    }

    /// Is nothing under way?
    pub(crate) fn is_idle(&self) -> bool {
        self.in_flight.is_empty() && self.bytes == 0
    }

    /// The bookkeeping holds, for a leader whose log ends at `last`.
    pub(crate) fn is_sound(&self, last: LogIndex) -> bool {
        let bytes: usize = self.in_flight.iter().map(|sent| sent.bytes).sum();
        self.matched < self.next
            && self.next <= last.next()
            && self.matched <= last
            && bytes == self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Window = Window { messages: 2, bytes: 100 };

    fn at(index: u64) -> LogIndex {
        LogIndex(index)
    }

    /// A new leader sends one message and waits; then nextIndex runs ahead up to the window.
    #[test]
    fn first_one_message_then_a_window_full() {
        let mut follower = Progress::new(at(4));
        assert!(follower.wants(at(5), WINDOW) && !follower.is_repair());
        follower.sent(at(5), 10, (0, 0));
        assert!(!follower.wants(at(6), WINDOW), "one probe at a time");
        assert!(follower.acknowledged(at(5)));
        assert!(!follower.acknowledged(at(5)), "the same answer again is no news");
        follower.sent(at(6), 10, (0, 0));
        assert!(follower.wants(at(9), WINDOW));
        follower.sent(at(7), 10, (0, 0));
        assert!(!follower.wants(at(9), WINDOW), "two messages are under way");
        assert!(follower.acknowledged(at(6)) && follower.wants(at(9), WINDOW));
        follower.sent(at(8), 100, (0, 0));
        assert!(follower.acknowledged(at(7)) && !follower.wants(at(9), WINDOW), "100 bytes are");
    }

    /// §5.3: after a rejection nextIndex falls, but never to what the follower has acknowledged.
    #[test]
    fn a_rejection_steps_back_once_and_never_below_the_match() {
        let mut follower = Progress::new(at(10));
        follower.sent(at(11), 1, (0, 0));
        follower.rejected(at(10), at(5));
        assert_eq!(follower.next(), at(5));
        assert!(follower.is_repair() && follower.wants(at(11), WINDOW));
        follower.rejected(at(10), at(3));
        assert_eq!(follower.next(), at(5), "the same rejection again changes nothing");
        follower.sent(at(11), 1, (0, 0));
        assert!(follower.acknowledged(at(11)));
        follower.rejected(at(10), at(3));
        assert_eq!((follower.matched(), follower.next()), (at(11), at(12)));
        follower.sent(at(20), 1, (0, 0));
        follower.rejected(at(15), at(99));
        assert_eq!(follower.next(), at(15), "a hint that leads nowhere still steps back");
    }

    /// A lost message is noticed by the answer to a heartbeat that followed it, not before.
    #[test]
    fn only_what_was_sent_before_the_heartbeat_can_be_overdue() {
        let mut follower = Progress::new(at(0));
        follower.sent(at(1), 1, (3, 3));
        assert!(!follower.is_overdue(3, 3, at(0)), "it was sent after heartbeat 3");
        assert!(follower.is_overdue(4, 4, at(0)), "heartbeat 4 overtook it: it is lost");
        assert!(!follower.is_overdue(4, 4, at(1)), "it arrived; the disk is at work");
        assert!(follower.is_overdue(5, 5, at(1)), "the answer takes too long");
        assert!(!follower.is_overdue(9, 4, at(1)), "many rounds for reads are not a long time");
    }
}
