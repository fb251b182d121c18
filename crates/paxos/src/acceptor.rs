//! The acceptor: the memory of Paxos (§2.2, phases 1(b) and 2(b)).

use crate::config::Accepting;
use crate::fast::is_fast;
use crate::message::Proposal;
use crate::record::Record;
use crate::replica::Paxos;
use consensus_core::mutant::planted;
use consensus_core::{Ballot, Batch, Effects, LogIndex};
use std::collections::BTreeMap;

/// One acceptor for each slot. It only grows: in a slot `promised` never falls, and nothing is
/// accepted below it, so that `accepted.ballot <= promised` always holds.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Acceptor {
    instances: BTreeMap<LogIndex, Instance>,
    last_accepted: LogIndex,
}

/// An acceptor of one slot. Two ballots, for a promise is often higher than what was accepted.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Instance {
    pub(crate) promised: Ballot,
    pub(crate) accepted: Option<Proposal>,
}

impl Instance {
    /// Is a proposal of the fast round, numbered so, too late here?
    fn has_voted_or_promised(&self, ballot: Ballot) -> bool {
        match self.promised {
            promised if promised == ballot || promised == Ballot::ZERO => false,
            promised if is_fast(promised) => {
                let own_again = planted("P90") && promised.node() == ballot.node();
                !planted("P72") && !own_again
            }
            _ => !(planted("P73") && self.accepted.is_none()),
        }
    }
}

/// Is this proposal number lower than the promised one? Numbers of different proposers differ.
fn is_below(ballot: Ballot, promised: Ballot) -> bool {
    if planted("E-29a") { ballot.round < promised.round } else { ballot < promised }
}

/// The promise that is in the way of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Outbid(pub(crate) Ballot);

impl Acceptor {
    /// Phase 1(b): promises a ballot higher than any promised, and reports what was accepted. The
    /// ballot that is promised already is promised again: the first answer may have been lost.
    pub(crate) fn on_prepare(
        &mut self,
        slot: LogIndex,
        ballot: Ballot,
        effects: &mut Effects<Paxos>,
    ) -> Result<Option<Proposal>, Outbid> {
        let instance = self.instances.entry(slot).or_default();
        let refused = if planted("E-01") {
            instance.promised != Ballot::ZERO && ballot > instance.promised
        } else {
            is_below(ballot, instance.promised)
        };
        if refused {
            return Err(Outbid(instance.promised));
        }
        if ballot == instance.promised {
            effects.reached("prepare answered again");
            if planted("P23") {
                return Ok(None);
            }
        }
        if ballot != instance.promised {
            instance.promised = ballot;
            if instance.accepted.is_none() || !planted("P24") {
                effects.write(Record::Promised { slot, ballot });
            }
        }
        Ok(instance.accepted.clone())
    }

    /// Phase 2(b): accepts a proposal unless a higher ballot was promised. To accept is to promise:
    /// a lower ballot must not come after, even if this acceptor never heard the `Prepare`. In a
    /// fast round it accepts what comes first, and only if it never promised anything.
    pub(crate) fn on_accept(
        &mut self,
        slot: LogIndex,
        ballot: Ballot,
        batch: &Batch,
        rule: Accepting,
        effects: &mut Effects<Paxos>,
    ) -> Result<(), Outbid> {
        let instance = self.instances.entry(slot).or_default();
        let refused = match rule {
            _ if planted("E-09") => ballot <= instance.promised,
            _ if is_fast(ballot) => instance.has_voted_or_promised(ballot),
            Accepting::NotBelowPromise => is_below(ballot, instance.promised),
            Accepting::OnlyPromised => ballot != instance.promised,
        };
        if refused {
            // Who accepts only what it promised may never have heard of this ballot.
            return Err(Outbid(instance.promised.max(ballot)));
        }
        if let Some(accepted) = &instance.accepted {
            if accepted.ballot == ballot || planted("P25") {
                return Ok(());
            }
            if accepted.batch != *batch && planted("E-13") {
                return Err(Outbid(instance.promised));
            }
        }
        if ballot > instance.promised {
            effects.reached("accepted without a promise before");
        }
        if !planted("P05") {
            instance.promised = ballot;
        }
        let earlier = instance.accepted.replace(Proposal { ballot, batch: batch.clone() });
        self.last_accepted = self.last_accepted.max(slot);
        let again = earlier.as_ref().is_some_and(|earlier| earlier.batch == *batch);
        if earlier.is_some() {
            effects.reached(if again { "value accepted again" } else { "accepted value replaced" });
        }
        if !(again && planted("P26")) {
            effects.write(Record::Accepted { slot, ballot, batch: batch.clone() });
        }
        Ok(())
    }

    /// Takes back what the disk remembers; false if no acceptor could have written this.
    #[must_use]
    pub(crate) fn restore(&mut self, slot: LogIndex, ballot: Ballot, batch: Option<Batch>) -> bool {
        if planted("E-18") {
            return true;
        }
        let instance = self.instances.entry(slot).or_default();
        if is_below(ballot, instance.promised) && !planted("P05") && !planted("E-01") {
            return false;
        }
        if batch.is_none() || !planted("P27") {
            instance.promised = ballot;
        }
        if let Some(batch) = batch {
            instance.accepted = Some(Proposal { ballot, batch });
            self.last_accepted = self.last_accepted.max(slot);
        }
        true
    }

    /// The proposal that was accepted in a slot.
    pub(crate) fn accepted(&self, slot: LogIndex) -> Option<&Proposal> {
        self.instance(slot)?.accepted.as_ref()
    }

    /// The last slot in which anything was accepted.
    pub(crate) fn last_accepted(&self) -> LogIndex {
        self.last_accepted
    }

    /// The acceptor of one slot, if it ever promised anything.
    pub(crate) fn instance(&self, slot: LogIndex) -> Option<&Instance> {
        self.instances.get(&slot)
    }

    /// All slots with a promise, lowest first.
    pub(crate) fn instances(&self) -> impl Iterator<Item = (LogIndex, &Instance)> {
        self.instances.iter().map(|(slot, instance)| (*slot, instance))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{Effect, Incarnation, NodeId};

    const SLOT: LogIndex = LogIndex(1);
    const ANY: Accepting = Accepting::NotBelowPromise;

    fn ballot(round: u64) -> Ballot {
        Ballot::new(round, Some(NodeId(0)), Incarnation(1))
    }

    fn acceptor() -> (Acceptor, Effects<Paxos>) {
        (Acceptor::default(), Effects::after_recovery(0))
    }

    /// P1a (§2.2): "An acceptor can accept a proposal numbered n iff it has not responded to a
    /// prepare request having a number greater than n." Equal is not greater (reading note E-09).
    #[test]
    fn the_promised_ballot_itself_is_accepted_and_a_lower_one_is_not() {
        let (mut acceptor, mut effects) = acceptor();
        let value = Batch::noop();
        assert_eq!(acceptor.on_prepare(SLOT, ballot(5), &mut effects), Ok(None));
        let refused = acceptor.on_accept(SLOT, ballot(4), &value, ANY, &mut effects);
        assert_eq!(refused, Err(Outbid(ballot(5))));
        assert_eq!(acceptor.on_accept(SLOT, ballot(5), &value, ANY, &mut effects), Ok(()));
    }

    /// Reading note E-12: to accept only what was promised is safe, but who missed the prepare
    /// cannot help; the paper's rule lets it.
    #[test]
    fn who_missed_the_prepare_helps_only_under_the_papers_rule() {
        for (rule, helps) in [(ANY, true), (Accepting::OnlyPromised, false)] {
            let (mut acceptor, mut effects) = acceptor();
            let value = Batch::noop();
            let answer = acceptor.on_accept(SLOT, ballot(5), &value, rule, &mut effects);
            assert_eq!(answer.is_ok(), helps);
            assert!(acceptor.on_prepare(SLOT, ballot(6), &mut effects).is_ok());
            let answer = acceptor.on_accept(SLOT, ballot(6), &value, rule, &mut effects);
            assert_eq!(answer, Ok(()), "what was promised is accepted");
        }
    }

    /// §2.2, phase 1(b), and reading note E-01: only a number greater than every one answered gets
    /// a promise, and the promise reports what was accepted.
    #[test]
    fn a_lower_prepare_is_refused_and_a_higher_one_hears_what_was_accepted() {
        let (mut acceptor, mut effects) = acceptor();
        let value = Batch::noop();
        assert_eq!(acceptor.on_accept(SLOT, ballot(5), &value, ANY, &mut effects), Ok(()));
        assert_eq!(acceptor.on_prepare(SLOT, ballot(4), &mut effects), Err(Outbid(ballot(5))));
        let reported = Some(Proposal { ballot: ballot(5), batch: value });
        assert_eq!(acceptor.on_prepare(SLOT, ballot(6), &mut effects), Ok(reported));
    }

    /// A request that is answered twice is written once, or repeating would cost a sync each time.
    #[test]
    fn a_repeated_request_is_answered_without_a_second_record() {
        let (mut acceptor, mut effects) = acceptor();
        let value = Batch::noop();
        for _ in 0..2 {
            assert!(acceptor.on_prepare(SLOT, ballot(1), &mut effects).is_ok());
        }
        assert_eq!(effects.iter().count(), 1);
        for _ in 0..2 {
            assert!(acceptor.on_accept(SLOT, ballot(1), &value, ANY, &mut effects).is_ok());
        }
        assert_eq!(effects.iter().count(), 2);
    }

    /// What may come to an acceptor.
    #[derive(Clone, Copy, Debug)]
    enum Comes {
        Prepare(Ballot),
        Accept(Ballot),
        /// A crash after the disk was done, and a new life.
        Restart,
    }

    /// An acceptor as the papers tell it: the rules, and nothing else.
    #[derive(Clone, Copy, Default)]
    struct Told {
        promised: Ballot,
        accepted: Option<Ballot>,
    }

    impl Told {
        /// Is it answered with yes?
        fn takes(&mut self, comes: Comes, rule: Accepting) -> bool {
            let yes = match comes {
                // "A number greater than that of any prepare request to which it has already
                // responded"; the same again is that very request.
                Comes::Prepare(ballot) => ballot >= self.promised,
                // Fast Paxos, §3.1: the first proposal of the round, or that one again.
                Comes::Accept(ballot) if is_fast(ballot) => {
                    [Ballot::ZERO, ballot].contains(&self.promised)
                }
                Comes::Accept(ballot) if rule == ANY => ballot >= self.promised,
                Comes::Accept(ballot) => ballot == self.promised,
                Comes::Restart => true,
            };
            match comes {
                Comes::Prepare(ballot) if yes => self.promised = ballot,
                Comes::Accept(ballot) if yes => {
                    (self.promised, self.accepted) = (ballot, Some(ballot));
                }
                _ => {}
            }
            yes
        }
    }

    /// The value that a proposer proposes under this number: a number names a value.
    fn value_of(ballot: Ballot) -> Batch {
        let word = format!("{ballot:?}");
        Batch::of(&[consensus_core::Command {
            client: consensus_core::ClientId(1),
            session: consensus_core::SessionId(1),
            request: consensus_core::RequestId(1),
            payload: word.into_bytes().into(),
            tag: consensus_core::Tag::none(),
        }])
    }

    /// The same script to both; says where they part.
    fn plays_as_told(script: &[Comes], rule: Accepting) -> Result<(), String> {
        let (mut acceptor, mut effects) = acceptor();
        let (mut told, mut disk) = (Told::default(), Vec::new());
        for (step, comes) in script.iter().enumerate() {
            let before = told;
            let yes = told.takes(*comes, rule);
            let answer = match *comes {
                Comes::Prepare(ballot) => {
                    let answer = acceptor.on_prepare(SLOT, ballot, &mut effects);
                    let reports = |it: &Option<Proposal>| it.as_ref().map(|it| it.ballot);
                    if answer.as_ref().is_ok_and(|it| reports(it) != before.accepted) {
                        return Err(format!("{script:?}, step {step}: reports {answer:?}"));
                    }
                    answer.is_ok()
                }
                Comes::Accept(ballot) => {
                    let value = value_of(ballot);
                    acceptor.on_accept(SLOT, ballot, &value, rule, &mut effects).is_ok()
                }
                Comes::Restart => {
                    acceptor = Acceptor::default();
                    disk.iter()
                        .cloned()
                        .all(|(ballot, batch)| acceptor.restore(SLOT, ballot, batch))
                }
            };
            disk.extend(effects.drain().filter_map(|effect| match effect {
                Effect::Write { record: Record::Promised { ballot, .. }, .. } => {
                    Some((ballot, None))
                }
                Effect::Write { record: Record::Accepted { ballot, batch, .. }, .. } => {
                    Some((ballot, Some(batch)))
                }
                _ => None,
            }));
            let held = acceptor.instance(SLOT).cloned().unwrap_or_default();
            let accepted = told.accepted.map(|ballot| Proposal { ballot, batch: value_of(ballot) });
            if answer != yes || (held.promised, held.accepted) != (told.promised, accepted) {
                return Err(format!("{script:?}, step {step}"));
            }
        }
        Ok(())
    }

    /// Every script of five.
    fn every_script_plays_as_told() -> Result<(), String> {
        let node = |round, node, life| Ballot::new(round, Some(NodeId(node)), Incarnation(life));
        let classic = [node(1, 0, 1), node(1, 1, 1), node(2, 0, 2)];
        let fast = [node(0, 0, 1), node(0, 0, 2), node(0, 1, 1)];
        let mut all: Vec<_> = classic.iter().copied().map(Comes::Prepare).collect();
        all.extend(classic.iter().chain(&fast).copied().map(Comes::Accept));
        all.push(Comes::Restart);
        for number in 0..all.len().pow(5) {
            let script = [0, 1, 2, 3, 4].map(|at| all[number / all.len().pow(at) % all.len()]);
            for rule in [ANY, Accepting::OnlyPromised] {
                plays_as_told(&script, rule)?;
            }
        }
        Ok(())
    }

    /// §2.2, P1a and phases 1(b) and 2(b), "Fast Paxos" §3.1, and §2.5: after whatever came before,
    /// an acceptor answers and remembers what the papers say, over restarts, too.
    #[test]
    fn an_acceptor_does_what_the_papers_tell() {
        assert_eq!(every_script_plays_as_told(), Ok(()));
    }

    #[cfg(feature = "mutants")]
    #[test]
    fn an_acceptor_that_does_otherwise_is_found() {
        for bug in ["P05", "P23", "P24", "P25", "P27", "P72", "P73", "P90"] {
            consensus_core::mutant::plant(Some(bug));
            let passed = every_script_plays_as_told().is_ok();
            consensus_core::mutant::plant(None);
            assert!(!passed, "{bug} survived");
        }
    }

    /// Slots are independent instances of Paxos.
    #[test]
    fn a_promise_in_one_slot_binds_no_other() {
        let (mut acceptor, mut effects) = acceptor();
        assert!(acceptor.on_prepare(SLOT, ballot(9), &mut effects).is_ok());
        assert!(acceptor.on_prepare(SLOT.next(), ballot(1), &mut effects).is_ok());
    }
}
