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
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Learner {
    /// Slots up to here are forgotten.
    base: LogIndex,
    /// The newest snapshot covers slots up to here.
    snapshot: LogIndex,
    /// Slots after `base` without gap: handed out.
    chosen: VecDeque<Batch>,
    /// The votes that chose them, where this replica counted them, by runs of slots under equal
    /// votes: the first, and how many.
    votes: VecDeque<(LogIndex, u64, Vote)>,
    /// Slots after a gap.
    later: BTreeMap<LogIndex, Chosen>,
    /// The disk was told that slots up to here are chosen.
    noted: LogIndex,
    /// It is to be told of the others when the driver has no more input.
    note_soon: bool,
    /// Who votes, as the values up to the gap say.
    members: Members,
}

/// A chosen value.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Chosen {
    pub(crate) batch: Batch,
    /// The vote, where this replica counted it.
    pub(crate) vote: Option<Vote>,
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
        Self { base, snapshot: base, noted: base, members, ..Self::default() }
    }

    /// Every slot up to here is chosen and handed out.
    pub(crate) fn upto(&self) -> LogIndex {
        after(self.base, self.chosen.len())
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

    /// Is nothing known behind a gap?
    pub(crate) fn is_gapless(&self) -> bool {
        self.later.is_empty()
    }

    /// The last slot of which the value is known, behind a gap or not.
    pub(crate) fn last(&self) -> LogIndex {
        self.later.last_key_value().map_or(self.upto(), |(slot, _)| *slot)
    }

    /// The value that is known to be chosen in a slot.
    pub(crate) fn get(&self, slot: LogIndex) -> Option<&Batch> {
        if slot > self.upto() {
            return self.later.get(&slot).map(|chosen| &chosen.batch);
        }
        self.handed_out(slot)
    }

    /// The value that was handed out of a slot, as long as it is kept.
    #[inline]
    pub(crate) fn handed_out(&self, slot: LogIndex) -> Option<&Batch> {
        let behind_base = slot.0.checked_sub(self.base.0 + 1)?;
        self.chosen.get(usize::try_from(behind_base).ok()?)
    }

    /// The vote that this replica counted for what it handed out of a slot.
    pub(crate) fn vote(&self, slot: LogIndex) -> Option<Vote> {
        let place = self.votes.partition_point(|(first, _, _)| *first <= slot);
        let (first, count, vote) = self.votes.get(place.checked_sub(1)?)?;
        (slot.0 < first.0 + count).then_some(*vote)
    }

    /// Is the choice known, or was it?
    pub(crate) fn knows(&self, slot: LogIndex) -> bool {
        slot <= self.upto() || self.later.contains_key(&slot)
    }

    /// The values from a slot on that is not forgotten, as far as there is no gap.
    pub(crate) fn values_from(&self, from: LogIndex) -> impl Iterator<Item = &Batch> {
        let skip = from.0.saturating_sub(self.base.0 + 1);
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        self.chosen.range(skip.min(self.chosen.len())..)
    }

    /// As many of them as fit, at least one if there is one.
    pub(crate) fn values_within(&self, from: LogIndex, limit: usize) -> Vec<Batch> {
        let mut bytes = 0;
        let fits = |batch: &&Batch| {
            let fits = bytes == 0 || bytes + cost(batch) <= limit;
            bytes += cost(batch);
            fits
        };
        self.values_from(from).take_while(fits).cloned().collect()
    }

    /// The slot before the last ones up to this one, as many as are no more than that.
    pub(crate) fn start_of_last(&self, upto: LogIndex, slots: u64, bytes: usize) -> LogIndex {
        let covered = upto.0.saturating_sub(self.base.0) as usize;
        let mut left = bytes;
        let fits = |batch: &&Batch| {
            let size = cost(batch);
            let fits = size <= left;
            left = left.saturating_sub(size);
            fits
        };
        let last = self.chosen.iter().take(covered).rev().take(slots as usize);
        LogIndex(upto.0 - last.take_while(fits).count() as u64)
    }

    /// A value is chosen. Hands out what no gap holds back. False if nothing is new.
    pub(crate) fn learn(
        &mut self,
        slot: LogIndex,
        chosen: Chosen,
        effects: &mut Effects<MultiPaxos>,
    ) -> Result<bool, Contradiction> {
        if slot == self.upto().next() {
            self.hand_out_next(chosen, effects);
            self.hand_out(effects);
            return Ok(true);
        }
        if let Some(known) = self.get(slot) {
            let same = *known == chosen.batch;
            return if same { Ok(false) } else { Err(Contradiction(slot)) };
        }
        if slot <= self.base {
            return Ok(false);
        }
        self.later.insert(slot, chosen);
        Ok(true)
    }

    /// Hands out what no gap holds back any more.
    #[inline]
    pub(crate) fn hand_out(&mut self, effects: &mut Effects<MultiPaxos>) {
        if !self.later.is_empty() {
            self.hand_out_later(effects);
        }
    }

    #[cold]
    fn hand_out_later(&mut self, effects: &mut Effects<MultiPaxos>) {
        while !self.later.is_empty() {
            let Some(chosen) = self.later.remove(&self.upto().next()) else { return };
            self.hand_out_next(chosen, effects);
        }
    }

    /// The value of the first slot that was not known.
    fn hand_out_next(&mut self, chosen: Chosen, effects: &mut Effects<MultiPaxos>) {
        self.chosen.push_back(chosen.batch);
        self.hand_out_last(1, chosen.vote, effects);
    }

    /// Values are chosen in the first slots that were not known, by the same vote where this
    /// replica counted it; nothing is known behind them.
    pub(crate) fn learn_run<'a>(
        &mut self,
        values: impl Iterator<Item = &'a Batch>,
        vote: Option<Vote>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        let mut count = 0;
        for batch in values {
            self.chosen.push_back(batch.clone());
            count += 1;
            // Who votes is told in the order of slots, too.
            if batch.is_membership() {
                self.hand_out_last(count, vote, effects);
                count = 0;
            }
        }
        if count > 0 {
            self.hand_out_last(count, vote, effects);
        }
    }

    /// Hands out the last values that were learned. Only the very last may change the members.
    fn hand_out_last(
        &mut self,
        count: usize,
        vote: Option<Vote>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        let (place, last) = (self.chosen.len() - count, self.upto());
        let first = after(self.base, place).next();
        effects.commit_run(first, self.chosen.range(place..));
        if self.chosen.back().is_some_and(|batch| self.members.execute(last, batch)) {
            effects.members(self.members.current().clone(), false);
        }
        if let Some(vote) = vote {
            self.remember(first, count as u64, vote);
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
        acceptor: &Acceptor,
        effects: &mut Effects<MultiPaxos>,
    ) {
        if self.later.is_empty() && self.upto() < upto {
            let (first, count) = (self.upto().next(), (upto.0 - self.upto().0) as usize);
            let held = acceptor.run_from(first).take(count);
            let held = held.take_while(|held| held.ballot == ballot);
            self.learn_run(held.map(|held| &held.batch), None, effects);
        }
        while self.upto() < upto {
            let slot = self.upto().next();
            let batch = match acceptor.accepted(slot) {
                Some(held) if held.ballot == ballot || planted("M04") => held.batch.clone(),
                None if planted("M02") => Batch::noop(),
                Some(_) => return effects.reached("chosen, but accepted under another ballot"),
                None => return effects.reached("chosen, but not accepted here"),
            };
            let learned = self.learn(slot, Chosen { batch, vote: None }, effects);
            assert_eq!(learned, Ok(true), "the first unknown slot is unknown");
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
        effects: &mut Effects<MultiPaxos>,
    ) -> Result<bool, Contradiction> {
        self.note(effects);
        let mut news = false;
        for (offset, batch) in batches.iter().enumerate() {
            let slot = after(from, offset);
            if slot > self.upto().next() {
                break;
            }
            if self.learn(slot, Chosen { batch: batch.clone(), vote: None }, effects)? {
                if !planted("M45") {
                    effects.note(Record::Learned { slot, batch: batch.clone() });
                    self.noted = slot;
                }
                // The value may have closed a gap; the disk hears of that before the next one.
                self.note(effects);
                news = true;
            }
        }
        Ok(news)
    }

    /// Takes what was found on the disk.
    pub(crate) fn recall(&mut self, slot: LogIndex, batch: Batch) {
        assert_eq!(slot, self.upto().next(), "chosen values are recalled in order");
        self.members.execute(slot, &batch);
        self.chosen.push_back(batch);
        self.noted = slot;
    }

    /// After a restart the state machine is that of the snapshot: hands everything out again that
    /// is not in it.
    pub(crate) fn replay(&self, effects: &mut Effects<MultiPaxos>) {
        let first = if planted("M77") { self.base.next() } else { self.snapshot.next() };
        for (offset, batch) in self.values_from(first).enumerate() {
            effects.commit(after(first, offset), batch.clone());
        }
    }

    /// A snapshot covers slots up to here.
    pub(crate) fn covered(&mut self, upto: LogIndex) {
        self.snapshot = self.snapshot.max(upto);
    }

    /// Slots up to here go: a snapshot covers them.
    pub(crate) fn forget_upto(&mut self, slot: LogIndex) {
        let count = slot.0.saturating_sub(self.base.0).min(self.chosen.len() as u64);
        self.chosen.drain(..count as usize);
        self.members.forget_upto(slot);
        self.base = self.base.max(slot);
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
        self.noted = self.upto();
    }

    /// It is time to note what is chosen, be it little.
    pub(crate) fn note_soon(&mut self) {
        self.note_soon = self.upto() > self.noted;
    }

    /// Is it time to note what is chosen? A note saves work after a restart only, so it need not
    /// come with every value.
    pub(crate) fn is_note_due(&self, most: u64) -> bool {
        self.note_soon || self.upto().0 - self.noted.0 >= most
    }

    /// Notes on disk how far values are chosen, so that a restart hands them out without asking.
    /// Nothing waits for it.
    pub(crate) fn note(&mut self, effects: &mut Effects<MultiPaxos>) {
        let upto = self.upto();
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
        let Node { learner, config, .. } = &self.node;
        if first <= learner.base() && !planted("M78") {
            self.node.say_forgotten(from, effects);
            return;
        }
        let start = if planted("M46") { first.next() } else { first };
        let batches = learner.values_within(start, config.max_message_bytes);
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

    fn told(number: u64) -> Chosen {
        Chosen { batch: batch(number), vote: None }
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
        assert_eq!(learner.learn(LogIndex(2), told(2), &mut effects), Ok(true));
        assert_eq!(committed(&mut effects), [] as [u64; 0]);
        assert_eq!((learner.upto(), learner.last()), (LogIndex(0), LogIndex(2)));
        assert_eq!(learner.learn(LogIndex(1), told(1), &mut effects), Ok(true));
        assert_eq!(committed(&mut effects), [1, 2]);
    }

    /// A note is due when many values are not noted, or when it was asked for, and then once.
    #[test]
    fn a_note_is_due_for_many_values_or_at_a_heartbeat() {
        let (mut learner, mut effects) = (Learner::default(), Effects::after_recovery(0));
        learner.note_soon();
        assert!(!learner.is_note_due(2), "there is nothing to note");
        let mut learn = |learner: &mut Learner, slot| {
            learner.learn(LogIndex(slot), told(slot), &mut effects).expect("the only value");
            learner.is_note_due(2)
        };
        assert_eq!([learn(&mut learner, 1), learn(&mut learner, 2)], [false, true]);
        let mut effects = Effects::after_recovery(0);
        learner.note(&mut effects);
        assert!(!learner.is_note_due(2));
        learner.learn(LogIndex(3), told(3), &mut effects).expect("the only value");
        learner.note_soon();
        assert!(learner.is_note_due(2), "a heartbeat takes what there is");
        learner.note(&mut effects);
        assert!(!learner.is_note_due(2));
    }

    /// PMS §2.1: only a single value is chosen.
    #[test]
    fn a_second_value_for_a_slot_is_a_contradiction() {
        let (mut learner, mut effects) = (Learner::default(), Effects::after_recovery(0));
        assert_eq!(learner.learn(LogIndex(1), told(1), &mut effects), Ok(true));
        assert_eq!(learner.learn(LogIndex(1), told(1), &mut effects), Ok(false));
        assert_eq!(
            learner.learn(LogIndex(1), told(2), &mut effects),
            Err(Contradiction(LogIndex(1)))
        );
    }

    /// The bug M04 of our list: an accepted value of another ballot may have lost.
    #[test]
    fn a_commit_watermark_counts_for_its_own_ballot_only() {
        let ballot = |round| Ballot { round, node: Some(NodeId(0)), incarnation: Incarnation(1) };
        let (mut learner, mut effects) = (Learner::default(), Effects::after_recovery(0));
        let mut acceptor = Acceptor::default();
        for (slot, round) in [(1, 2), (2, 1), (3, 2)] {
            acceptor.recall(Pvalue {
                ballot: ballot(round),
                slot: LogIndex(slot),
                batch: batch(slot),
            });
        }
        learner.learn_from_leader(ballot(2), LogIndex(3), &acceptor, &mut effects);
        assert_eq!(learner.upto(), LogIndex(1));
    }
}
