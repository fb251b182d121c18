//! What the oracles may know.

use crate::invariants;
use crate::message::{Decision, Message, Proposal};
use crate::proposer::Phase;
use crate::record::Record;
use crate::replica::{Paxos, Timer};
use consensus_core::{Audit, Ballot, Batch, Certificate, Claim, Ledger, LogIndex, Topic};

/// An acceptor accepts one value under a ballot, and counts for it.
fn accepted(slot: LogIndex, ballot: Ballot) -> Topic {
    Topic::new("accepted", ballot.rank(), slot.0)
}

/// An acceptor's promise in a slot never falls; neither does the ballot under which it last
/// accepted. An acceptor that forgot what it accepted says a lower one.
fn of_acceptor(slot: LogIndex, promised: Ballot, proposal: Option<(Ballot, u64)>) -> Vec<Claim> {
    let last = proposal.map_or(Ballot::ZERO, |(ballot, _)| ballot);
    let mut claims = vec![
        Claim::Rising(Topic::new("promised", 0u8, slot.0), promised.rank()),
        Claim::Rising(Topic::new("last accepted", 0u8, slot.0), last.rank()),
    ];
    if let Some((ballot, value)) = proposal {
        claims.push(Claim::Once(accepted(slot, ballot), u128::from(value)));
    }
    claims
}

impl Audit for Paxos {
    /// Slots are independent.
    const LOG_MATCHING: bool = false;

    const MARKS: &'static [&'static str] = &[
        "accept refused",
        "accept repeated",
        "accepted value replaced",
        "accepted without a promise before",
        "acceptances overheard before the own",
        "chosen value behind a gap",
        "chosen values in several pages",
        "doubt whether a value is chosen",
        "learner asks",
        "asks others after a silence",
        "begins anew after a silence",
        "chosen by overheard acceptances",
        "collision in the fast round",
        "collision recovered without a prepare",
        "gives way to a rival",
        "outbid in phase 1",
        "outbid in phase 2",
        "outbid three times in a row",
        "prepare answered again",
        "prepare in a slot that is chosen",
        "prepare refused",
        "promise reports a value",
        "proposer is busy",
        "restart with an open slot",
        "slot lost to another value",
        "tries again after it was outbid",
        "value accepted again",
        "value of another adopted",
    ];

    fn claims(message: &Message) -> Vec<Claim> {
        match message {
            Message::Promise { slot, ballot, accepted } => {
                let short = |p: &Proposal| (p.ballot, p.batch.fingerprint().0);
                of_acceptor(*slot, *ballot, accepted.as_ref().map(short))
            }
            Message::Accept { slot, ballot, batch, .. }
            | Message::Propose { slot, ballot, batch, .. } => {
                let topic = Topic::new("accept", ballot.rank(), slot.0);
                vec![Claim::Once(topic, u128::from(batch.fingerprint().0))]
            }
            Message::Accepted { slot, ballot, fingerprint } => {
                of_acceptor(*slot, *ballot, Some((*ballot, *fingerprint)))
            }
            Message::Learn { decisions, upto: _ } => {
                let claim = |d: &Decision| {
                    let topic = Topic::new("chosen", 0u8, d.slot.0);
                    Claim::Once(topic, u128::from(d.batch.fingerprint().0))
                };
                decisions.iter().map(claim).collect()
            }
            Message::Prepare { .. }
            | Message::Nack { .. }
            | Message::Chosen(_)
            | Message::Decided(_)
            | Message::LearnRequest { .. } => Vec::new(),
        }
    }

    fn absorb(record: &Record, disk: &mut Ledger) {
        match record {
            Record::Accepted { slot, ballot, batch } => {
                disk.hold(*slot, ballot.rank(), batch.fingerprint());
            }
            // A promise is no entry, and a note proves nothing of this acceptor.
            Record::Promised { .. } | Record::Chosen { .. } => {}
        }
    }

    fn leads(&self) -> Option<u64> {
        None
    }

    fn entry(&self, index: LogIndex) -> Option<&Batch> {
        let chosen = self.learner.chosen(index).map(|chosen| &chosen.batch);
        chosen.or_else(|| self.acceptor.accepted(index).map(|proposal| &proposal.batch))
    }

    fn certificate(&self, index: LogIndex) -> Option<Certificate> {
        let chosen = self.learner.chosen(index)?;
        Some(Certificate {
            topic: accepted(index, chosen.ballot),
            value: u128::from(chosen.batch.fingerprint().0),
            signers: chosen.counted?,
        })
    }

    /// Who asks waits for answers, or for others to finish; who accepted what nobody calls chosen,
    /// for its proposer, be it the own one (§2.3); who knows something, for the time to tell it.
    fn relies_on(&self, each: &mut dyn FnMut(Timer)) {
        each(Timer::Spread);
        if !matches!(self.proposer.phase(), Phase::Idle) {
            each(Timer::Retry);
        }
        if self.acceptor.last_accepted() > self.learner.committed() {
            each(Timer::Doubt);
        }
    }

    fn leftover(&self) -> Option<&'static str> {
        invariants::leftover(self)
    }

    fn check(&self) -> Result<(), String> {
        invariants::check(self)
    }

    fn check_since(&self, before: &Self) -> Result<(), String> {
        invariants::check_step(before, self)
    }
}
