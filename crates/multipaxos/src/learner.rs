//! The learner: which value is chosen in which slot (§2.3), and handing the values out in order.

use crate::acceptor::{Acceptor, cost};
use crate::members::Members;
use crate::message::{Message, after};
use crate::node::Node;
use crate::record::Record;
use crate::replica::{MultiPaxos, Out, Role};
use consensus_core::mutant::planted;
use consensus_core::{Ballot, Batch, Effects, LogIndex, NodeId, NodeSet, SnapshotMeta};
use std::collections::{BTreeMap, VecDeque};

/// What this replica knows to be chosen. It only grows, and a value in it never changes.
///
/// * Values are executed in the order of slots, and none before all earlier ones (§3).
/// * base ≤ snapshot ≤ upto: only what a snapshot covers is forgotten.
/// * The value of a slot is what the acceptor next door holds there, unless another replica told
///   it. For whoever learns from votes, or from the owner of a ballot, takes what was accepted
///   under that ballot; and what the acceptor accepts there later, under a higher one, is the same
///   value (P2c). What others tell may have been chosen under any ballot, so it is kept apart.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Learner {
    /// Slots up to here are forgotten.
    base: LogIndex,
    /// The newest snapshot covers slots up to here.
    snapshot: LogIndex,
    /// Every slot up to here is chosen and handed out.
    upto: LogIndex,
    /// Values of such slots that others told.
    told: BTreeMap<LogIndex, Batch>,
    /// The votes that chose values, where this replica counted them, by runs of slots under equal
    /// votes: the first, and how many.
    votes: VecDeque<(LogIndex, u64, Vote)>,
    /// Slots after a gap, with their votes.
    later: BTreeMap<LogIndex, Vote>,
    /// The disk was told that slots up to here are chosen.
    noted: LogIndex,
    /// It is to be told of the others when the driver has no more input.
    note_soon: bool,
    /// Who votes, as the values up to the gap say.
    members: Members,
}

/// A quorum that accepted the value under one ballot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Vote {
    pub(crate) ballot: Ballot,
    pub(crate) acceptors: NodeSet,
}

/// Two values for one slot: agreement is broken somewhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Contradiction(pub(crate) LogIndex);

impl Learner {
    /// Knows nothing but the members, as of a slot up to which everything is forgotten.
    pub(crate) fn after(base: LogIndex, members: Members) -> Self {
        Self { base, snapshot: base, upto: base, noted: base, members, ..Self::default() }
    }

    /// Every slot up to here is chosen and handed out.
    #[inline]
    pub(crate) fn upto(&self) -> LogIndex {
        self.upto
    }

    /// Slots up to here are forgotten.
    pub(crate) fn base(&self) -> LogIndex {
        self.base
    }

    /// The newest snapshot covers slots up to here.
    pub(crate) fn snapshot(&self) -> LogIndex {
        self.snapshot
    }

    /// Who votes.
    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    /// The last slot of which the value is known, behind a gap or not.
    pub(crate) fn last(&self) -> LogIndex {
        self.later.last_key_value().map_or(self.upto, |(slot, _)| *slot)
    }

    /// The value that is known to be chosen in a slot.
    pub(crate) fn get<'a>(&'a self, slot: LogIndex, next_door: &'a Acceptor) -> Option<&'a Batch> {
        if self.knows(slot) { self.value(slot, next_door) } else { None }
    }

    /// The value that was handed out of a slot, as long as it is kept.
    #[inline]
    pub(crate) fn handed_out<'a>(
        &'a self,
        slot: LogIndex,
        next_door: &'a Acceptor,
    ) -> Option<&'a Batch> {
        if slot <= self.upto { self.value(slot, next_door) } else { None }
    }

    /// The value of a slot that is chosen.
    #[inline]
    fn value<'a>(&'a self, slot: LogIndex, next_door: &'a Acceptor) -> Option<&'a Batch> {
        if !self.told.is_empty()
            && let Some(told) = self.told.get(&slot)
        {
            return Some(told);
        }
        next_door.value(slot)
    }

    /// What others told, lowest slot first.
    pub(crate) fn told(&self) -> impl Iterator<Item = (LogIndex, &Batch)> {
        self.told.iter().map(|(slot, batch)| (*slot, batch))
    }

    /// The vote that this replica counted for what it handed out of a slot.
    pub(crate) fn vote(&self, slot: LogIndex) -> Option<Vote> {
        let place = self.votes.partition_point(|(first, _, _)| *first <= slot);
        let (first, count, vote) = self.votes.get(place.checked_sub(1)?)?;
        (slot.0 < first.0 + count).then_some(*vote)
    }

    /// Is the choice known, or was it?
    pub(crate) fn knows(&self, slot: LogIndex) -> bool {
        slot <= self.upto || self.later.contains_key(&slot)
    }

    /// Is it in any of so many slots from this one on?
    pub(crate) fn knows_any(&self, first: LogIndex, count: usize) -> bool {
        first <= self.upto || self.later.range(first..after(first, count)).next().is_some()
    }

    /// The values from a slot on that is not forgotten, as far as there is no gap.
    pub(crate) fn values_from<'a>(
        &'a self,
        from: LogIndex,
        next_door: &'a Acceptor,
    ) -> impl DoubleEndedIterator<Item = &'a Batch> {
        let first = from.max(self.base.next());
        self.values(first, self.upto, next_door)
    }

    /// The values of these slots, the last included, which are chosen.
    fn values<'a>(
        &'a self,
        first: LogIndex,
        last: LogIndex,
        next_door: &'a Acceptor,
    ) -> impl DoubleEndedIterator<Item = &'a Batch> {
        let slots = (first.0..=last.0).map(LogIndex);
        slots.map(|slot| self.value(slot, next_door).expect("what is chosen is kept"))
    }

    /// As many of them as fit, at least one if there is one.
    pub(crate) fn values_within(
        &self,
        from: LogIndex,
        limit: usize,
        next_door: &Acceptor,
    ) -> Vec<Batch> {
        let mut bytes = 0;
        let fits = |batch: &&Batch| {
            let fits = bytes == 0 || bytes + cost(batch) <= limit;
            bytes += cost(batch);
            fits
        };
        self.values_from(from, next_door).take_while(fits).cloned().collect()
    }

    /// The slot before the last ones up to this one, as many as are no more than that.
    pub(crate) fn start_of_last(
        &self,
        upto: LogIndex,
        (slots, bytes): (u64, usize),
        next_door: &Acceptor,
    ) -> LogIndex {
        let mut left = bytes;
        let fits = |batch: &&Batch| {
            let size = cost(batch);
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        };
        let values = self.values(self.base.next(), upto.min(self.upto), next_door);
        let last = values.rev().take(slots as usize);
        LogIndex(upto.0 - last.take_while(fits).count() as u64)
    }

    /// What the acceptor next door holds in these slots was chosen by this vote. Hands out what no
    /// gap holds back.
    pub(crate) fn learn_by_vote(
        &mut self,
        first: LogIndex,
        count: usize,
        vote: Vote,
        next_door: &Acceptor,
        effects: &mut Effects<MultiPaxos>,
    ) {
        if first > self.upto.next() {
            effects.reached("chosen behind a gap");
            let slots = (first.0..first.0 + count as u64).map(LogIndex);
            self.later.extend(slots.map(|slot| (slot, vote)));
            return;
        }
        self.hand_out_run(next_door.run_of(first, count), Some(vote), effects);
        // It keeps the others apart, if it has holes before them.
        while self.upto.next() < after(first, count)
            && self.learn_held(Some(vote), next_door, effects)
        {}
        self.hand_out(next_door, effects);
    }

    /// In the first slot of which the value was not known it is what the acceptor next door holds.
    /// False if that is nothing.
    #[cold]
    fn learn_held(
        &mut self,
        vote: Option<Vote>,
        next_door: &Acceptor,
        effects: &mut Effects<MultiPaxos>,
    ) -> bool {
        let held = next_door.value(self.upto.next());
        held.is_some_and(|held| {
            self.hand_out_run(std::slice::from_ref(held), vote, effects);
            true
        })
    }

    /// Hands out what no gap holds back any more.
    #[inline]
    pub(crate) fn hand_out(&mut self, next_door: &Acceptor, effects: &mut Effects<MultiPaxos>) {
        if !self.later.is_empty() {
            self.hand_out_later(next_door, effects);
        }
    }

    #[cold]
    fn hand_out_later(&mut self, next_door: &Acceptor, effects: &mut Effects<MultiPaxos>) {
        while let Some(vote) = self.later.remove(&self.upto.next()) {
            self.learn_held(Some(vote), next_door, effects);
        }
    }

    /// These are the values of the first slots that were not known, chosen by the same vote where
    /// this replica counted it.
    #[inline]
    fn hand_out_run(
        &mut self,
        values: &[Batch],
        vote: Option<Vote>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        if values.iter().any(Batch::is_membership) {
            return self.hand_out_changes(values, vote, effects);
        }
        let first = self.upto.next();
        self.upto = after(self.upto, values.len());
        effects.commit_run(first, values.iter());
        if let Some(vote) = vote {
            self.remember(first, values.len() as u64, vote);
        }
    }

    /// The same for values that may change who votes: that is told in the order of slots, too.
    #[cold]
    fn hand_out_changes(
        &mut self,
        values: &[Batch],
        vote: Option<Vote>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        for value in values {
            self.upto = self.upto.next();
            effects.commit_run(self.upto, std::iter::once(value));
            if self.members.execute(self.upto, value) {
                effects.members(self.members.current().clone(), false);
            }
            if let Some(vote) = vote {
                self.remember(self.upto, 1, vote);
            }
        }
    }

    /// The values of these slots were chosen by this vote.
    fn remember(&mut self, slot: LogIndex, more: u64, vote: Vote) {
        match self.votes.back_mut() {
            Some((first, count, same)) if first.0 + *count == slot.0 && *same == vote => {
                *count += more;
            }
            _ => self.votes.push_back((slot, more, vote)),
        }
    }

    /// The owner of `ballot` says that every slot up to `upto` is chosen: takes what the acceptor
    /// next door holds in them.
    ///
    /// It counts only if it was accepted under that very ballot. A leader proposes one value in a
    /// slot, and only where it does not know what is chosen; if it then finds the slot chosen, it
    /// is by votes for that value. Under any other ballot the value may be one that lost.
    pub(crate) fn learn_from_leader(
        &mut self,
        ballot: Ballot,
        upto: LogIndex,
        next_door: &Acceptor,
        effects: &mut Effects<MultiPaxos>,
    ) {
        while self.upto < upto {
            let slot = self.upto.next();
            let most = if self.later.is_empty() { upto.0 - self.upto.0 } else { 1 };
            let held = next_door.run_under(ballot, slot, most as usize);
            if !held.is_empty() {
                self.hand_out_run(held, None, effects);
                self.hand_out(next_door, effects);
                continue;
            }
            match next_door.accepted(slot) {
                Some(held) if held.ballot == ballot || planted("M04") => {
                    self.learn_held(None, next_door, effects);
                }
                None if planted("M02") => self.learn_told(Batch::noop(), next_door, effects),
                Some(_) => return effects.reached("chosen, but accepted under another ballot"),
                None => return effects.reached("chosen, but not accepted here"),
            }
            self.hand_out(next_door, effects);
        }
    }

    /// Another replica told the value of the first slot that was not known. It is kept, be it the
    /// one that the acceptor holds: that was accepted under any ballot, perhaps a lower one than
    /// got this one chosen, and another value may yet be accepted in between.
    fn learn_told(
        &mut self,
        batch: Batch,
        next_door: &Acceptor,
        effects: &mut Effects<MultiPaxos>,
    ) {
        let slot = self.upto.next();
        self.hand_out_run(std::slice::from_ref(&batch), None, effects);
        let same = next_door.value(slot) == Some(&batch);
        if !(same && planted("M106")) {
            self.told.insert(slot, batch);
        }
    }

    /// Another replica says that these values are chosen, the first in slot `from`. They are noted
    /// on disk, as the acceptor next door may hold others. True if there was news.
    ///
    /// What lies beyond the first unknown slot is left alone: the disk takes chosen values in
    /// order only.
    pub(crate) fn learn_from_other(
        &mut self,
        from: LogIndex,
        batches: &[Batch],
        next_door: &Acceptor,
        effects: &mut Effects<MultiPaxos>,
    ) -> Result<bool, Contradiction> {
        self.note(effects);
        let mut news = false;
        for (offset, batch) in batches.iter().enumerate() {
            let slot = after(from, offset);
            if slot > self.upto.next() {
                break;
            }
            if slot <= self.upto {
                let known = self.handed_out(slot, next_door);
                if known.is_some_and(|known| known != batch) {
                    return Err(Contradiction(slot));
                }
                continue;
            }
            self.learn_told(batch.clone(), next_door, effects);
            if !planted("M45") {
                effects.note(Record::Learned { slot, batch: batch.clone() });
                self.noted = slot;
            }
            // The value may have closed a gap; the disk hears of that before the next one.
            self.hand_out(next_door, effects);
            self.note(effects);
            news = true;
        }
        Ok(news)
    }

    /// Takes what was found on the disk: in the first slot that was not known, what another
    /// replica told, or what the acceptor next door holds.
    pub(crate) fn recall(&mut self, told: Option<Batch>, next_door: &Acceptor) -> bool {
        let slot = self.upto.next();
        let Some(batch) = told.as_ref().or(next_door.value(slot)) else { return false };
        self.members.execute(slot, batch);
        if let Some(told) = told {
            self.told.insert(slot, told);
        }
        (self.upto, self.noted) = (slot, slot);
        true
    }

    /// After a restart the state machine is that of the snapshot: hands everything out again that
    /// is not in it.
    pub(crate) fn replay(&self, next_door: &Acceptor, effects: &mut Effects<MultiPaxos>) {
        let first = if planted("M77") { self.base.next() } else { self.snapshot.next() };
        for (offset, batch) in self.values_from(first, next_door).enumerate() {
            effects.commit(after(first, offset), batch.clone());
        }
    }

    /// A snapshot covers slots up to here.
    pub(crate) fn covered(&mut self, upto: LogIndex) {
        self.snapshot = self.snapshot.max(upto);
    }

    /// Slots up to here go: a snapshot covers them.
    pub(crate) fn forget_upto(&mut self, slot: LogIndex) {
        self.told = self.told.split_off(&slot.next());
        self.members.forget_upto(slot);
        self.base = self.base.max(slot);
        self.upto = self.upto.max(self.base);
        while self.votes.front().is_some_and(|(first, count, _)| first.0 + count <= slot.0 + 1) {
            self.votes.pop_front();
        }
    }

    /// A snapshot takes the place of everything up to its slot, which is further than all that is
    /// known without gap.
    pub(crate) fn install(&mut self, meta: SnapshotMeta) {
        let later = self.later.split_off(&meta.index.next());
        *self = Self { later, ..Self::after(meta.index, Members::new(meta.membership)) };
    }

    /// The disk was told everything anew.
    pub(crate) fn noted_all(&mut self) {
        self.noted = self.upto;
    }

    /// It is time to note what is chosen, be it little.
    pub(crate) fn note_soon(&mut self) {
        self.note_soon = self.upto > self.noted;
    }

    /// Is it time to note what is chosen? A note saves work after a restart only, so it need not
    /// come with every value.
    pub(crate) fn is_note_due(&self, most: u64) -> bool {
        self.note_soon || self.upto.0 - self.noted.0 >= most
    }

    /// Notes on disk how far values are chosen, so that a restart hands them out without asking.
    /// Nothing waits for it.
    pub(crate) fn note(&mut self, effects: &mut Effects<MultiPaxos>) {
        let upto = self.upto;
        self.note_soon = false;
        if upto > self.noted {
            let noted = if planted("M48") { upto.next() } else { upto };
            effects.note(Record::Chosen { upto: noted });
            self.noted = upto;
        }
    }
}

impl MultiPaxos {
    /// Tells a replica that fell behind what is chosen.
    pub(crate) fn on_learn(&mut self, from: NodeId, first: LogIndex, effects: Out<'_>) {
        self.remember_receiver(from, first);
        let Node { acceptor, learner, config, .. } = &self.node;
        if first <= learner.base() && !planted("M78") {
            self.node.say_forgotten(from, effects);
            return;
        }
        let start = if planted("M46") { first.next() } else { first };
        let batches = learner.values_within(start, config.max_message_bytes, acceptor);
        if !batches.is_empty() {
            let chosen = learner.upto();
            if after(first, batches.len()) <= chosen {
                effects.reached("chosen values in several pages");
            }
            effects.send(from, Message::Learned { from: first, batches, chosen });
        }
    }

    /// Takes what another replica says is chosen, and asks for more. A leader does not; see
    /// `Leader`.
    pub(crate) fn on_learned(
        &mut self,
        from: NodeId,
        first: LogIndex,
        batches: &[Batch],
        chosen: LogIndex,
        effects: Out<'_>,
    ) {
        if matches!(self.role, Role::Leader(_)) && !planted("M47") {
            effects.reached("leader is told what is chosen");
            return;
        }
        let news = self.node.told(first, batches, effects);
        if news && self.node.learner.upto() < chosen {
            self.node.ask(from, effects);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Pvalue;
    use consensus_core::{ClientId, Command, Effect, Incarnation, RequestId, SessionId, Tag};

    fn batch(number: u64) -> Batch {
        Batch::of(&[Command {
            client: ClientId(number),
            session: SessionId(1),
            request: RequestId(1),
            payload: bytes::Bytes::new(),
            tag: Tag::none(),
        }])
    }

    fn ballot(round: u64) -> Ballot {
        Ballot::new(round, Some(NodeId(0)), Incarnation(1))
    }

    /// An acceptor that accepted these values, each with the ballot's round.
    fn acceptor(rounds: &[u64]) -> Acceptor {
        let mut acceptor = Acceptor::default();
        for (slot, round) in (1..).zip(rounds) {
            let (ballot, slot) = (ballot(*round), LogIndex(slot));
            acceptor.recall(Pvalue { ballot, slot, batch: batch(slot.0) });
        }
        acceptor
    }

    fn vote() -> Vote {
        Vote { ballot: ballot(1), acceptors: NodeSet::first(2) }
    }

    fn committed(effects: &mut Effects<MultiPaxos>) -> Vec<u64> {
        let index = |effect| match effect {
            Effect::Commit { index, .. } => Some(index.0),
            _ => None,
        };
        effects.drain().filter_map(index).collect()
    }

    /// PMS §3: command k is executed only when commands 1 … k−1 are known.
    #[test]
    fn nothing_is_executed_over_a_hole() {
        let (mut learner, mut effects) = (Learner::default(), Effects::after_recovery(0));
        let acceptor = acceptor(&[1; 4]);
        learner.learn_by_vote(LogIndex(2), 2, vote(), &acceptor, &mut effects);
        assert_eq!(committed(&mut effects), [] as [u64; 0]);
        assert_eq!((learner.upto(), learner.last()), (LogIndex(0), LogIndex(3)));
        assert_eq!(learner.get(LogIndex(3), &acceptor), Some(&batch(3)));
        assert_eq!(learner.get(LogIndex(1), &acceptor), None, "accepted, and not chosen");
        learner.learn_by_vote(LogIndex(1), 1, vote(), &acceptor, &mut effects);
        assert_eq!(committed(&mut effects), [1, 2, 3]);
        assert_eq!(learner.vote(LogIndex(3)), Some(vote()));
        assert_eq!(learner.handed_out(LogIndex(4), &acceptor), None, "accepted, and not chosen");
    }

    /// A note is due when many values are not noted, or when it was asked for, and then once.
    #[test]
    fn a_note_is_due_for_many_values_or_at_a_heartbeat() {
        let (mut learner, mut effects) = (Learner::default(), Effects::after_recovery(0));
        let acceptor = acceptor(&[1; 3]);
        learner.note_soon();
        assert!(!learner.is_note_due(2), "there is nothing to note");
        let mut learn = |learner: &mut Learner, slot| {
            learner.learn_by_vote(LogIndex(slot), 1, vote(), &acceptor, &mut effects);
            learner.is_note_due(2)
        };
        assert_eq!([learn(&mut learner, 1), learn(&mut learner, 2)], [false, true]);
        let mut effects = Effects::after_recovery(0);
        learner.note(&mut effects);
        assert!(!learner.is_note_due(2));
        learner.learn_by_vote(LogIndex(3), 1, vote(), &acceptor, &mut effects);
        learner.note_soon();
        assert!(learner.is_note_due(2), "a heartbeat takes what there is");
        learner.note(&mut effects);
        assert!(!learner.is_note_due(2));
    }

    /// PMS §2.1: only a single value is chosen. What others told stays, too, whatever the acceptor
    /// next door held then or accepts later: it may be behind.
    #[test]
    fn a_second_value_for_a_slot_is_a_contradiction() {
        let (mut learner, mut effects) = (Learner::default(), Effects::after_recovery(0));
        let mut acceptor = acceptor(&[1]);
        let mut tell = |learner: &mut Learner, acceptor: &Acceptor, number| {
            learner.learn_from_other(LogIndex(1), &[batch(number)], acceptor, &mut effects)
        };
        assert_eq!(tell(&mut learner, &acceptor, 1), Ok(true));
        let other = Pvalue { ballot: ballot(2), slot: LogIndex(1), batch: batch(2) };
        acceptor.recall(other);
        assert_eq!(learner.get(LogIndex(1), &acceptor), Some(&batch(1)));
        assert_eq!(tell(&mut learner, &acceptor, 1), Ok(false));
        assert_eq!(tell(&mut learner, &acceptor, 2), Err(Contradiction(LogIndex(1))));
    }

    /// The bug M04 of our list: an accepted value of another ballot may have lost.
    #[test]
    fn a_commit_watermark_counts_for_its_own_ballot_only() {
        let (mut learner, mut effects) = (Learner::default(), Effects::after_recovery(0));
        let acceptor = acceptor(&[2, 1, 2]);
        learner.learn_from_leader(ballot(2), LogIndex(3), &acceptor, &mut effects);
        assert_eq!(learner.upto(), LogIndex(1));
    }
}
