//! The learner: finds out what is chosen (§2.3), and gives it out slot by slot.

use crate::message::{ChosenAt, Decision};
use consensus_core::mutant::planted;
use consensus_core::{Ballot, Batch, LogIndex, NodeId, NodeSet};
use std::collections::BTreeMap;

/// One learner for all slots. A value that is known to be chosen never changes, and `committed` is
/// the last slot of those from 1 on without a gap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Learner {
    chosen: BTreeMap<LogIndex, Chosen>,
    committed: LogIndex,
    count: Option<Count>,
    /// Where every acceptor tells every learner: the acceptances of others' proposals.
    overheard: BTreeMap<(LogIndex, Ballot), Overheard>,
    /// A `LearnRequest` is under way.
    pub(crate) asked: bool,
}

/// A value that is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Chosen {
    pub(crate) ballot: Ballot,
    pub(crate) batch: Batch,
    /// Whose acceptances were counted, if it was counted here.
    pub(crate) counted: Option<NodeSet>,
}

/// The acceptances of one proposal. They count only under one and the same ballot: the same value
/// accepted by a quorum over several ballots is not chosen (§2.2: a *proposal* is chosen).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Count {
    slot: LogIndex,
    ballot: Ballot,
    batch: Batch,
    fingerprint: u64,
    acceptors: NodeSet,
}

/// Acceptances of a proposal that another node made, and whose value is perhaps not known here.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Overheard {
    fingerprint: u64,
    acceptors: NodeSet,
}

/// Proposals whose acceptances are counted at one time. Those that were outbid fall out first.
const MOST_OVERHEARD: usize = 64;

impl Learner {
    /// What is left over where all know what is chosen.
    pub(crate) fn leftover(&self) -> Option<&'static str> {
        let known = |slot: &LogIndex| self.chosen.contains_key(slot);
        let counts = self.count.as_ref().is_some_and(|count| known(&count.slot))
            || self.overheard.keys().any(|(slot, _)| known(slot));
        counts.then_some("votes for what is chosen")
    }

    /// The proposer on this node starts phase 2: counts the acceptances from now on. An earlier
    /// count ends; were its value chosen, the new proposal would carry it (P2c).
    pub(crate) fn start_count(&mut self, slot: LogIndex, ballot: Ballot, batch: &Batch) {
        let mut acceptors = NodeSet::EMPTY;
        if planted("P06")
            && let Some(earlier) = &self.count
        {
            let same = earlier.slot == slot && earlier.batch == *batch;
            acceptors = if same { earlier.acceptors } else { NodeSet::EMPTY };
        }
        if planted("P33") {
            acceptors = self.count.as_ref().map_or(acceptors, |earlier| earlier.acceptors);
        }
        let fingerprint = batch.fingerprint().0;
        let batch = batch.clone();
        self.count = Some(Count { slot, ballot, batch, fingerprint, acceptors });
    }

    /// Counts an acceptance. Gives the proposal once it is chosen, with the acceptors counted; late
    /// and repeated acceptances give nothing.
    pub(crate) fn on_accepted(
        &mut self,
        from: NodeId,
        at: ChosenAt,
        fingerprint: u64,
        quorum: usize,
    ) -> Option<(Decision, NodeSet)> {
        let count = self.count.as_mut()?;
        let same_ballot = count.ballot == at.ballot || planted("P06");
        if count.slot != at.slot || !same_ballot || count.fingerprint != fingerprint {
            return None;
        }
        count.acceptors.insert(from);
        if count.acceptors.len() < quorum {
            return None;
        }
        let Count { slot, ballot, batch, acceptors, .. } = self.count.take()?;
        Some((Decision { slot, ballot, batch }, acceptors))
    }

    /// Counts an acceptance of a proposal of another node (§2.3: each acceptor informs all
    /// learners). Once a quorum has accepted it, says which; the value is for the caller to find.
    pub(crate) fn overhear(
        &mut self,
        from: NodeId,
        at: ChosenAt,
        fingerprint: u64,
        quorum: usize,
    ) -> Option<NodeSet> {
        let ChosenAt { slot, ballot } = at;
        if self.chosen.contains_key(&slot) {
            return None;
        }
        let ballot = if planted("P42") { ballot.with_round(0) } else { ballot };
        let first = Overheard { fingerprint, acceptors: NodeSet::EMPTY };
        let heard = self.overheard.entry((slot, ballot)).or_insert(first);
        if heard.fingerprint == fingerprint {
            heard.acceptors.insert(from);
        }
        let acceptors = heard.acceptors;
        if self.overheard.len() > MOST_OVERHEARD {
            self.overheard.pop_first();
        }
        (acceptors.len() >= quorum).then_some(acceptors)
    }

    /// Acceptors that were not heard of in the count of this proposal.
    pub(crate) fn uncounted(&self, of: NodeSet) -> NodeSet {
        self.count.as_ref().map_or(of, |count| of.minus(count.acceptors))
    }

    /// Keeps a chosen value; false if the slot's value was known.
    #[must_use]
    pub(crate) fn learn(&mut self, decision: &Decision, counted: Option<NodeSet>) -> bool {
        let Decision { slot, ballot, batch } = decision;
        if let Some(known) = self.chosen.get(slot) {
            if known.batch != *batch {
                // Not ours to judge which one is wrong; what was given out stays.
                tracing::error!(%slot, "another replica knows another value for a chosen slot");
            }
            return false;
        }
        let chosen = Chosen { ballot: *ballot, batch: batch.clone(), counted };
        self.chosen.insert(*slot, chosen);
        self.overheard.retain(|(heard, _), _| heard != slot);
        if self.count.as_ref().is_some_and(|count| count.slot == *slot) {
            self.count = None;
        }
        true
    }

    /// The next value to give out, if it is known.
    pub(crate) fn next_to_commit(&mut self) -> Option<(LogIndex, Batch)> {
        let mut slot = self.committed.next();
        if planted("P34") {
            slot = self.chosen.range(slot..).next().map_or(slot, |(known, _)| *known);
        }
        let batch = self.chosen.get(&slot)?.batch.clone();
        self.committed = slot;
        Some((slot, batch))
    }

    /// The last slot up to which everything is known and given out.
    pub(crate) fn committed(&self) -> LogIndex {
        self.committed
    }

    /// Where a proposer works: the first slot whose value is not known to be chosen.
    pub(crate) fn first_unknown(&self) -> LogIndex {
        self.committed.next()
    }

    /// What is known of a slot.
    pub(crate) fn chosen(&self, slot: LogIndex) -> Option<&Chosen> {
        self.chosen.get(&slot)
    }

    /// What every `Prepare` and every `Chosen` carries: the last slot of the known prefix.
    pub(crate) fn last_chosen(&self) -> Option<ChosenAt> {
        let chosen = self.chosen.get(&self.committed)?;
        Some(ChosenAt { slot: self.committed, ballot: chosen.ballot })
    }

    /// Known values from a slot on, up to so many bytes, and at least one if there is one.
    pub(crate) fn page(&self, from: LogIndex, max_bytes: usize) -> Vec<Decision> {
        let mut bytes = 0;
        let mut page = Vec::new();
        if from > self.committed {
            return page;
        }
        for (slot, chosen) in self.chosen.range(from..=self.committed) {
            bytes += chosen.batch.bytes().len() + DECISION_OVERHEAD;
            if bytes > max_bytes && !page.is_empty() {
                break;
            }
            let (ballot, batch) = (chosen.ballot, chosen.batch.clone());
            page.push(Decision { slot: *slot, ballot, batch });
        }
        page
    }

    /// The last slot of which anything is known.
    pub(crate) fn last_known(&self) -> LogIndex {
        self.chosen.last_key_value().map_or(LogIndex::ZERO, |(slot, _)| *slot)
    }
}

/// Slot and ballot, roughly: a page of no-ops must end, too.
const DECISION_OVERHEAD: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::Incarnation;

    fn at(round: u64) -> ChosenAt {
        let ballot = Ballot::new(round, Some(NodeId(0)), Incarnation(1));
        ChosenAt { slot: LogIndex(1), ballot }
    }

    /// §2.2: a proposal is chosen when a majority has accepted it; an acceptor counts once.
    #[test]
    fn an_acceptor_that_repeats_itself_counts_once() {
        let mut learner = Learner::default();
        learner.start_count(at(1).slot, at(1).ballot, &Batch::noop());
        let value = Batch::noop().fingerprint().0;
        for _ in 0..3 {
            assert_eq!(learner.on_accepted(NodeId(1), at(1), value, 2), None);
        }
        let (_, counted) = learner.on_accepted(NodeId(2), at(1), value, 2).expect("chosen");
        assert_eq!(counted.len(), 2);
    }

    /// §2.2: a *proposal* is chosen, and a proposal is a number and a value. The same value under
    /// two ballots is two proposals (planted bug P06).
    #[test]
    fn one_value_under_two_ballots_is_not_chosen() {
        let mut learner = Learner::default();
        let value = Batch::noop().fingerprint().0;
        learner.start_count(at(1).slot, at(1).ballot, &Batch::noop());
        assert_eq!(learner.on_accepted(NodeId(1), at(1), value, 2), None);
        learner.start_count(at(2).slot, at(2).ballot, &Batch::noop());
        assert_eq!(learner.on_accepted(NodeId(2), at(2), value, 2), None);
        assert_eq!(learner.on_accepted(NodeId(1), at(1), value, 2), None, "late, of ballot 1");
    }

    #[test]
    fn values_are_given_out_without_gap_and_pages_hold_at_least_one() {
        let mut learner = Learner::default();
        let decision =
            |slot| Decision { slot: LogIndex(slot), ballot: at(1).ballot, batch: Batch::noop() };
        assert!(learner.learn(&decision(2), None));
        assert_eq!(learner.next_to_commit(), None);
        assert!(learner.learn(&decision(1), None));
        assert!(!learner.learn(&decision(1), None));
        assert_eq!(learner.next_to_commit().map(|(slot, _)| slot), Some(LogIndex(1)));
        assert_eq!(learner.next_to_commit().map(|(slot, _)| slot), Some(LogIndex(2)));
        assert_eq!(learner.page(LogIndex(1), 1).len(), 1);
        assert_eq!(learner.page(LogIndex(1), 1000).len(), 2);
        assert!(learner.page(LogIndex(3), 1000).is_empty());
    }
}
