//! The acceptor: the memory of the cluster (§2.2). It looks at ballots only, never at values.

use crate::ballots::Ballots;
use crate::message::{Accept, Message, Promise, Pvalue, after};
use crate::node::Node;
use crate::record::Record;
use crate::replica::{MultiPaxos, Out, Role};
use crate::slots::Slots;
use consensus_core::mutant::planted;
use consensus_core::{Ballot, Batch, Effects, Env, LogIndex, NodeId, RecordNumber, Run};

/// The acceptor of all slots. Its promise is one ballot for all of them (§3), and apart from it
/// each slot has the ballot under which its value was accepted: these are two variables, or a
/// promise would change what was accepted.
///
/// * `promised` never falls.
/// * No value was accepted under a ballot above `promised`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Acceptor {
    promised: Ballot,
    /// What was accepted last.
    values: Slots<Batch>,
    /// Under which ballots.
    ballots: Ballots,
}

/// The highest-numbered proposal that was accepted in a slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Accepted<'a> {
    pub(crate) ballot: Ballot,
    pub(crate) batch: &'a Batch,
}

impl Acceptor {
    /// P1a, first half: promises a ballot that is higher than the one promised before.
    ///
    /// # Panics
    /// If it is not higher: the caller has compared.
    pub(crate) fn promise(
        &mut self,
        ballot: Ballot,
        effects: &mut Effects<MultiPaxos>,
    ) -> RecordNumber {
        let rises = ballot > self.promised || planted("M22");
        assert!(rises, "a promise for {ballot:?} after {:?}", self.promised);
        self.promised = ballot;
        effects.write(Record::Promised { ballot })
    }

    /// P1a, second half: "an acceptor can accept a proposal numbered n iff it has not responded to
    /// a prepare request having a number greater than n". To accept is to promise, too.
    ///
    /// # Panics
    /// If a higher ballot was promised: the caller has compared.
    pub(crate) fn accept(
        &mut self,
        pvalue: Pvalue,
        effects: &mut Effects<MultiPaxos>,
    ) -> RecordNumber {
        let Pvalue { ballot, slot, batch } = pvalue;
        self.accept_run(ballot, slot, batch.into(), effects)
    }

    /// The same for values in slots without gap, the first of which is given: one record.
    ///
    /// # Panics
    /// As [`accept`](Self::accept).
    pub(crate) fn accept_run(
        &mut self,
        ballot: Ballot,
        slot: LogIndex,
        batches: Run<Batch>,
        effects: &mut Effects<MultiPaxos>,
    ) -> RecordNumber {
        assert!(ballot >= self.promised, "{ballot:?} accepted after {:?}", self.promised);
        self.promised = ballot;
        let count = batches.len() as u64;
        let number = effects.write_kept(slot, count, || record(ballot, slot, batches.clone()));
        self.ballots.set(slot, LogIndex(slot.0 + count), ballot, || self.values.last());
        self.values.insert_run(slot, batches);
        number
    }

    /// The record of what was accepted in so many slots from this one on, by one message.
    pub(crate) fn record(&self, slot: LogIndex, count: u64) -> Option<Record> {
        let ballot = self.accepted(slot)?.ballot;
        let held = self.values.from(slot).take(count as usize);
        let batches: Run<Batch> = held.map(|(_, batch)| batch.clone()).collect();
        (batches.len() as u64 == count).then(|| record(ballot, slot, batches))
    }

    /// Accepts, but for what it has accepted under this ballot before: then the answer was lost, or
    /// the request was doubled.
    fn accept_unless_held(
        &mut self,
        ballot: Ballot,
        slot: LogIndex,
        batch: &Batch,
        effects: &mut Effects<MultiPaxos>,
    ) {
        let pvalue = |batch: &Batch| Pvalue { ballot, slot, batch: batch.clone() };
        match self.accepted(slot) {
            Some(held) if held.ballot == ballot => effects.reached("accept answered again"),
            Some(held) => {
                let same = held.batch == batch;
                let mark = if same { "value accepted again" } else { "accepted value replaced" };
                effects.reached(mark);
                if same && planted("M35") {
                    self.accept_without_record(pvalue(batch));
                } else if !planted("M34") {
                    self.accept(pvalue(batch), effects);
                }
            }
            None => {
                self.accept(pvalue(batch), effects);
            }
        }
    }

    /// Accepts in memory only: for planted bugs.
    pub(crate) fn accept_without_record(&mut self, pvalue: Pvalue) {
        self.promised = pvalue.ballot;
        self.hold(pvalue);
    }

    /// Takes a record that was found on the disk.
    pub(crate) fn recall(&mut self, pvalue: Pvalue) {
        if !planted("M32") {
            self.recall_promise(pvalue.ballot);
        }
        self.hold(pvalue);
    }

    fn hold(&mut self, pvalue: Pvalue) {
        let Pvalue { ballot, slot, batch } = pvalue;
        self.ballots.set(slot, slot.next(), ballot, || self.values.last());
        self.values.insert(slot, batch);
    }

    /// Takes a promise that was found on the disk.
    pub(crate) fn recall_promise(&mut self, ballot: Ballot) {
        self.promised = self.promised.max(ballot);
    }

    /// The highest ballot that it answered; it takes nothing below.
    pub(crate) fn promised(&self) -> Ballot {
        self.promised
    }

    /// What it accepted last in a slot.
    pub(crate) fn accepted(&self, slot: LogIndex) -> Option<Accepted<'_>> {
        self.value(slot).map(|batch| Accepted { ballot: self.ballots.of(slot), batch })
    }

    /// The same without its ballot.
    #[inline]
    pub(crate) fn value(&self, slot: LogIndex) -> Option<&Batch> {
        self.values.get(slot)
    }

    /// The values that it accepted last in so many slots from this one on, as far as there is no
    /// gap.
    #[inline]
    pub(crate) fn run_of(&self, slot: LogIndex, count: usize) -> &[Batch] {
        let run = self.values.run_from(slot);
        run.get(..count).unwrap_or(run)
    }

    /// The same as far as they were accepted under this ballot.
    #[inline]
    pub(crate) fn run_under(&self, ballot: Ballot, slot: LogIndex, count: usize) -> &[Batch] {
        let run = self.run_of(slot, count);
        &run[..self.ballots.count(ballot, slot, run.len())]
    }

    /// Does it hold values that it accepted under this ballot in so many slots from this one on?
    pub(crate) fn holds(&self, ballot: Ballot, slot: LogIndex, count: usize) -> bool {
        let held = |slot| self.accepted(slot).is_some_and(|held| held.ballot == ballot);
        let mut slots = (slot.0..slot.0 + count as u64).map(LogIndex);
        self.run_under(ballot, slot, count).len() == count || slots.all(held)
    }

    /// The last slot with an accepted value.
    pub(crate) fn last(&self) -> LogIndex {
        self.values.last()
    }

    /// Everything accepted from a slot on, lowest slot first.
    pub(crate) fn accepted_from(
        &self,
        from: LogIndex,
    ) -> impl Iterator<Item = (LogIndex, Accepted<'_>)> {
        let values = self.values.from(from);
        values.map(|(slot, batch)| (slot, Accepted { ballot: self.ballots.of(slot), batch }))
    }

    /// Slots up to here are chosen, and in a snapshot: nobody needs to know what was accepted
    /// there.
    pub(crate) fn forget_upto(&mut self, slot: LogIndex) {
        self.values.forget_upto(slot);
        self.ballots.forget_upto(slot);
    }

    /// Phase 1b: one piece of the report, with at most `limit` bytes of values but at least one
    /// value. `chosen` is what this replica knows to be chosen from slot `from` on, without gap;
    /// there it does not matter any more what was accepted. Slots up to `forgotten` are chosen,
    /// too.
    pub(crate) fn report<'a>(
        &self,
        from: LogIndex,
        forgotten: LogIndex,
        chosen: impl Iterator<Item = &'a Batch>,
        limit: usize,
    ) -> Promise {
        let ballot = self.promised;
        let (accepted, next) = (vec![], None);
        let mut piece = Promise { ballot, from, forgotten, chosen: vec![], accepted, next };
        let from = piece.start();
        let mut bytes = 0;
        let mut fits = |batch: &Batch| {
            let fits = bytes == 0 || bytes + cost(batch) <= limit;
            bytes += cost(batch);
            fits
        };
        for batch in chosen {
            if !fits(batch) {
                piece.next = Some(after(from, piece.chosen.len()));
                return piece;
            }
            piece.chosen.push(batch.clone());
        }
        for (slot, Accepted { ballot, batch }) in
            self.accepted_from(after(from, piece.chosen.len()))
        {
            if !fits(batch) {
                piece.next = Some(if planted("M33") { slot.next() } else { slot });
                break;
            }
            piece.accepted.push(Pvalue { ballot, slot, batch: batch.clone() });
        }
        if planted("M03") {
            piece.next = None;
            piece.accepted.drain(..piece.accepted.len().saturating_sub(1));
        }
        piece
    }
}

/// Values were accepted, the first in this slot and the others after it.
fn record(ballot: Ballot, slot: LogIndex, batches: Run<Batch>) -> Record {
    match batches.into_one() {
        Ok(batch) => Record::Accepted { ballot, slot, batch },
        Err(batches) => Record::AcceptedRun { ballot, slot, batches },
    }
}

impl MultiPaxos {
    /// Phase 1b of the acceptor (§2.2): a higher ballot is promised and everything accepted from
    /// `first` on is reported; the same ballot is answered again; a lower one is refused.
    #[cold]
    pub(crate) fn on_prepare(
        &mut self,
        from: NodeId,
        ballot: Ballot,
        first: LogIndex,
        handed: Option<Ballot>,
        env: &Env<'_>,
        effects: Out<'_>,
    ) {
        if self.refused(from, ballot, effects) || self.is_held_back(ballot, handed, env, effects) {
            return;
        }
        if ballot > self.node.acceptor.promised() {
            self.node.acceptor.promise(ballot, effects);
            // The scout is given as much time as a leader before it is missed.
            self.become_follower(None, env, effects);
        } else if let Role::Follower(follower) = &mut self.role {
            follower.is_asked(first, env, effects);
        }
        let Node { acceptor, learner, config, .. } = &self.node;
        let forgotten = if planted("M79") { LogIndex::ZERO } else { learner.base() };
        let limit = config.max_message_bytes;
        let chosen = learner.values_from(first, acceptor);
        let piece = acceptor.report(first, forgotten, chosen, limit);
        if forgotten >= first {
            effects.reached("promise says what is forgotten");
        }
        if piece.next.is_some() {
            effects.reached("promise in several pages");
        }
        if !piece.chosen.is_empty() {
            effects.reached("promise brings chosen values");
        }
        if let Role::Follower(follower) = &mut self.role {
            follower.told_scout(piece.next);
        }
        effects.send(from, Message::Promise(Box::new(piece)));
    }

    /// Phase 2b of the acceptor (§2.2), and what rides along for the learner.
    pub(crate) fn on_accept(
        &mut self,
        from: NodeId,
        accept: &mut Accept,
        env: &Env<'_>,
        effects: Out<'_>,
    ) {
        let Accept { ballot, slot: first, chosen, again, .. } = *accept;
        if self.refused(from, ballot, effects) || self.is_bound_to_another(ballot, effects) {
            return;
        }
        self.hear(ballot, env, effects);
        if first <= self.node.learner.base() {
            // No answer would do harm: the value is the chosen one. But who proposes here does
            // not know that it is chosen, and can learn it from a snapshot only.
            self.node.say_forgotten(from, effects);
            return;
        }
        if ballot > self.node.acceptor.promised() {
            effects.reached("accepted without a promise before");
        }
        let batches = std::mem::take(&mut accept.batches);
        let count = batches.len() as u64;
        let new = first > self.node.acceptor.last() && !planted("M111") && !planted("M114");
        if new {
            self.node.acceptor.accept_run(ballot, first, batches, effects);
        } else {
            self.accept_each(ballot, first, &batches, effects);
        }
        effects.send_made(from, || Message::Accepted { ballot, slot: first, count, again });
        let chosen = if planted("M36") { chosen.next() } else { chosen };
        let Node { acceptor, learner, .. } = &mut self.node;
        learner.learn_from_leader(ballot, chosen, acceptor, effects);
    }

    /// Accepts in these slots, of which some may hold a value.
    fn accept_each(
        &mut self,
        ballot: Ballot,
        first: LogIndex,
        batches: &[Batch],
        effects: Out<'_>,
    ) {
        for (slot, batch) in (first.0..).map(LogIndex).zip(batches) {
            if planted("M111") && slot > first {
                break;
            }
            let batch = if planted("M114") { &batches[0] } else { batch };
            self.node.acceptor.accept_unless_held(ballot, slot, batch, effects);
        }
    }

    /// With leases, who heard a leader, or may have before it crashed, promises nobody else
    /// anything for the shortest election timeout, unless that leader gave way.
    fn is_held_back(
        &self,
        ballot: Ballot,
        handed: Option<Ballot>,
        env: &Env<'_>,
        effects: Out<'_>,
    ) -> bool {
        let Role::Follower(follower) = &self.role else { return false };
        let leases = self.node.config.lease.is_some() && !planted("M99");
        let free = follower.is_free_for(ballot, handed, env);
        let held = leases && !free && ballot > self.node.acceptor.promised();
        if held {
            effects.reached("prepare held back by a lease");
        }
        held
    }

    /// With leases, who hears one leader does not hear another: the messages of that one are as if
    /// they were lost.
    #[inline]
    pub(crate) fn is_bound_to_another(&self, ballot: Ballot, effects: Out<'_>) -> bool {
        if self.node.config.lease.is_none() || planted("M190") {
            return false;
        }
        let Role::Follower(follower) = &self.role else { return false };
        let bound = follower.is_bound_to_another(ballot);
        if bound {
            effects.reached("another leader is not heard, for a lease");
        }
        bound
    }

    /// A ballot below the promised one gets no answer but the higher ballot.
    #[inline]
    pub(crate) fn refused(&mut self, from: NodeId, ballot: Ballot, effects: Out<'_>) -> bool {
        // What is promised was seen.
        ballot != self.node.acceptor.promised() && self.refused_other(from, ballot, effects)
    }

    #[cold]
    fn refused_other(&mut self, from: NodeId, ballot: Ballot, effects: Out<'_>) -> bool {
        self.node.see(ballot);
        let promised = self.node.acceptor.promised();
        if ballot < promised {
            effects.reached("lower ballot refused");
            effects.send(from, Message::Nack { ballot, promised });
            return true;
        }
        false
    }
}

/// What a value counts against a limit of bytes: its length and a little, so that no-ops count.
pub(crate) fn cost(batch: &Batch) -> usize {
    batch.bytes().len() + 64
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{Effect, Incarnation, Kept};

    fn ballot(round: u64) -> Ballot {
        Ballot::new(round, Some(NodeId(0)), Incarnation(1))
    }

    fn pvalue(round: u64, slot: u64) -> Pvalue {
        Pvalue { ballot: ballot(round), slot: LogIndex(slot), batch: Batch::noop() }
    }

    /// PMS §2.2: the promise and the ballot of an accepted value are two numbers.
    #[test]
    fn a_promise_leaves_the_ballots_of_accepted_values_alone() {
        let mut acceptor = Acceptor::default();
        let mut effects = Effects::after_recovery(0);
        acceptor.accept(pvalue(1, 4), &mut effects);
        acceptor.promise(ballot(7), &mut effects);
        let report = acceptor.report(LogIndex(1), LogIndex(0), std::iter::empty(), 1 << 20);
        assert_eq!((report.ballot, report.accepted), (ballot(7), vec![pvalue(1, 4)]));
    }

    /// PMS §2.2, P1a: who accepts has answered that ballot, and takes nothing lower any more.
    #[test]
    fn to_accept_is_to_promise() {
        let mut acceptor = Acceptor::default();
        acceptor.accept(pvalue(3, 1), &mut Effects::after_recovery(0));
        assert_eq!(acceptor.promised(), ballot(3));
    }

    #[test]
    #[should_panic(expected = "accepted after")]
    fn nothing_is_accepted_below_a_promise() {
        let mut acceptor = Acceptor::default();
        let mut effects = Effects::after_recovery(0);
        acceptor.promise(ballot(3), &mut effects);
        acceptor.accept(pvalue(2, 1), &mut effects);
    }

    /// A record that a driver makes of what was accepted is the one that others are handed: values
    /// in one slot or in several, behind a gap, over what was there.
    #[test]
    fn a_record_is_told_or_kept() {
        let mut acceptor = Acceptor::default();
        let mut told = Effects::after_recovery(0);
        let mut kept = Effects::after_recovery(0).in_place();
        for (round, slot, count) in [(1, 1, 1), (1, 2, 3), (1, 9, 2), (1, 5, 2), (2, 2, 4)] {
            let batches: Run<Batch> = (0..count).map(|_| Batch::noop()).collect();
            let (ballot, slot) = (ballot(round), LogIndex(slot));
            acceptor.clone().accept_run(ballot, slot, batches.clone(), &mut told);
            acceptor.accept_run(ballot, slot, batches, &mut kept);
            let written = told.drain().find_map(|effect| match effect {
                Effect::Write { number, record, .. } => Some((number, record)),
                _ => None,
            });
            let &[Kept { number, first, count }] = kept.kept() else { panic!("one record") };
            assert_eq!(written, acceptor.record(first, count).map(|record| (number, record)));
            assert_eq!(kept.drain().count(), 0);
        }
    }

    /// The pieces of a report, put together, are the report.
    #[test]
    fn a_long_report_comes_in_pieces_without_gap() {
        let mut acceptor = Acceptor::default();
        let mut effects = Effects::after_recovery(0);
        for slot in [3, 4, 8, 9] {
            acceptor.accept(pvalue(1, slot), &mut effects);
        }
        let chosen = [Batch::noop(), Batch::noop(), Batch::noop()];
        let (mut from, mut pieces, mut told, mut slots) = (LogIndex(1), 0, 0, Vec::new());
        loop {
            let known = chosen.iter().skip(from.0 as usize - 1);
            let piece = acceptor.report(from, LogIndex(0), known, 130);
            pieces += 1;
            told += piece.chosen.len();
            slots.extend(piece.accepted.iter().map(|pvalue| pvalue.slot.0));
            match piece.next {
                Some(next) => from = next,
                None => break,
            }
        }
        assert_eq!((pieces, told, slots), (3, 3, vec![4, 8, 9]));
    }
}
