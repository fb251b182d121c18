//! A round of the proposer on this node, phase by phase, and what follows when a slot is decided.

use crate::acceptor::Outbid;
use crate::config::{Learners, Refusals, Sending};
use crate::fast::{is_fast, is_recovery, shows};
use crate::message::{ChosenAt, Decision, Message, Proposal};
use crate::proposer::Phase;
use crate::record::Record;
use crate::replica::{OwnAnswer, Paxos, Timer};
use consensus_core::mutant::planted;
use consensus_core::{Ballot, Batch, Effects, Env, NodeId, NodeSet, RecordNumber};

impl Paxos {
    /// Phase 1(a), at the first slot that is not known to be chosen.
    pub(crate) fn prepare(&mut self, env: &Env<'_>, effects: &mut Effects<Self>) {
        let slot = self.learner.first_unknown();
        let ballot = self.proposer.prepare(slot, &self.config);
        let at = ChosenAt { slot, ballot };
        let chosen = self.learner.last_chosen();
        let message = Message::Prepare { slot, ballot, chosen, repeat: false };
        let asked = self.ask(self.config.promises_needed(), NodeSet::EMPTY, env);
        effects.send(asked, message);
        effects.set_timer(Timer::Retry, self.config.retransmit);
        let before = effects.last_needed();
        match self.acceptor.on_prepare(slot, ballot, effects) {
            Ok(accepted) => {
                let number = if planted("P50") { before } else { effects.last_needed() };
                self.promised_here(at, accepted, number);
            }
            Err(Outbid(promised)) => self.on_nack(at, promised, effects),
        }
    }

    /// The own promise counts when it is on the disk, as that of any other node.
    pub(crate) fn promised_here(
        &mut self,
        at: ChosenAt,
        accepted: Option<Proposal>,
        record: RecordNumber,
    ) {
        let answer = OwnAnswer::Promise { at, accepted };
        self.own_answers.wrote(record, answer);
    }

    /// Phase 2(a), once a quorum has promised.
    pub(crate) fn on_promise(
        &mut self,
        from: NodeId,
        at: ChosenAt,
        accepted: Option<Proposal>,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        let promised = match self.proposer.phase() {
            Phase::Preparing(preparing) => preparing.promised,
            _ => NodeSet::EMPTY,
        };
        let chosen = self.proposer.on_promise(from, at, accepted, &self.config);
        let Some(Proposal { ballot, batch }) = chosen else { return };
        let slot = at.slot;
        let at = ChosenAt { slot, ballot };
        if self.learner.chosen(slot).is_some() {
            effects.halt(format!("phase 2 in slot {slot}, whose value is known to be chosen"));
            return;
        }
        if self.proposer.own().is_none_or(|own| own != batch) {
            effects.reached("value of another adopted");
        }
        if is_recovery(ballot) {
            effects.reached("collision recovered without a prepare");
        }
        self.ask_to_accept(at, batch, promised, env, effects);
    }

    /// Phase 2(a), the proposal: to those that `promised` first, where not all are asked.
    pub(crate) fn ask_to_accept(
        &mut self,
        at: ChosenAt,
        batch: Batch,
        promised: NodeSet,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        let ChosenAt { slot, ballot } = at;
        self.learner.start_count(slot, ballot, &batch);
        let fingerprint = batch.fingerprint().0;
        let asked = self.ask(self.config.acceptances_needed(ballot), promised, env);
        // A recovery's proposal leaves when this is on the disk.
        let accepted = self.accept(at, &batch, effects);
        effects.send(asked, self.proposal(at, batch));
        effects.set_timer(Timer::Retry, self.config.retransmit);
        if planted("P46") && self.config.learners == Learners::Distinguished {
            effects.send(env.cluster.peers_of(self.id), Message::Decided(at));
        }
        match accepted {
            Ok(()) if planted("P20") => self.on_accepted(self.id, at, fingerprint, effects),
            Ok(()) => {
                self.count_when_durable(at, fingerprint, effects);
                if self.config.learners == Learners::All {
                    let message = Message::Accepted { slot, ballot, fingerprint };
                    effects.send(env.cluster.peers_of(self.id), message);
                }
            }
            Err(Outbid(promised)) => self.on_nack(at, promised, effects),
        }
    }

    /// Phase 2(b), whoever proposes: what is accepted here is in doubt until it is known to be
    /// chosen (§2.3). That holds for the own proposal, too: its proposer may be outbid, or come to
    /// have nothing to propose any more.
    pub(crate) fn accept(
        &mut self,
        at: ChosenAt,
        batch: &Batch,
        effects: &mut Effects<Self>,
    ) -> Result<(), Outbid> {
        let ChosenAt { slot, ballot } = at;
        self.acceptor.on_accept(slot, ballot, batch, self.config.accepting, effects)?;
        let forgets = planted("P101") && ballot.node() == Some(self.id);
        if slot > self.learner.committed() && !forgets {
            effects.set_timer(Timer::Doubt, self.config.doubt);
        }
        Ok(())
    }

    fn proposal(&self, at: ChosenAt, batch: Batch) -> Message {
        let ChosenAt { slot, ballot } = at;
        if is_fast(ballot) {
            return Message::Propose { slot, ballot, batch, chosen: self.learner.last_chosen() };
        }
        Message::Accept { slot, ballot, batch, repeat: false }
    }

    /// Whom the proposer asks for so many answers, its own node's among them. Thrifty: just so
    /// many, of those that `answered` in this round first, and then of those that were not silent
    /// lately; all, if those are too few.
    pub(crate) fn ask(&mut self, needed: usize, answered: NodeSet, env: &Env<'_>) -> NodeSet {
        let peers = env.cluster.peers_of(self.id);
        let others = needed.saturating_sub(1);
        let able = peers.minus(self.silent).or(answered.and(peers));
        if self.config.sending == Sending::Full || able.len() < others {
            self.asked = peers;
            return peers;
        }
        // Each proposer begins with the node after its own, so that they load the nodes alike.
        let mut in_turn: Vec<NodeId> = able.iter().collect();
        in_turn.sort_unstable_by_key(|node| (!answered.contains(*node), *node < self.id, *node));
        self.asked = in_turn.into_iter().take(others).collect();
        self.asked
    }

    /// The timer of the proposer: the back-off is over, or nobody answers.
    pub(crate) fn retry(&mut self, env: &Env<'_>, effects: &mut Effects<Self>) {
        let peers = env.cluster.peers_of(self.id);
        let answered = match self.proposer.phase() {
            Phase::Idle => return,
            Phase::BackingOff => {
                effects.reached("tries again after it was outbid");
                return self.proposer.end_back_off();
            }
            Phase::Preparing(preparing) => preparing.promised,
            Phase::Accepting { .. } => peers.minus(self.learner.uncounted(peers)),
        };
        self.on_silence(answered, env, effects);
    }

    /// Says the request under way again to all who have not answered, or gives it up: where
    /// refusals are not told, silence may be one; and no fast quorum may be there to answer.
    fn on_silence(&mut self, answered: NodeSet, env: &Env<'_>, effects: &mut Effects<Self>) {
        let is_fast =
            matches!(self.proposer.phase(), Phase::Accepting { at, .. } if is_fast(at.ballot));
        if self.config.sending == Sending::Thrifty || is_fast {
            effects.reached("asks others after a silence");
            self.silent = self.silent.or(self.asked).minus(answered);
        }
        if self.config.refusals == Refusals::Silent || (is_fast && !planted("P77")) {
            effects.reached("begins anew after a silence");
            return self.proposer.on_silence();
        }
        if !planted("P48") {
            self.asked = env.cluster.peers_of(self.id);
        }
        let to = self.asked.minus(answered);
        let message = match self.proposer.phase() {
            Phase::Idle | Phase::BackingOff => return,
            Phase::Preparing(preparing) => {
                let ChosenAt { slot, ballot } = preparing.at;
                let chosen = self.learner.last_chosen();
                Message::Prepare { slot, ballot, chosen, repeat: true }
            }
            Phase::Accepting { at: ChosenAt { slot, ballot }, batch } => {
                let (slot, ballot, mut batch) = (*slot, *ballot, batch.clone());
                if planted("P35") {
                    batch = self.proposer.own().unwrap_or(batch);
                }
                effects.reached("accept repeated");
                Message::Accept { slot, ballot, batch, repeat: true }
            }
        };
        effects.send(to, message);
        effects.set_timer(Timer::Retry, self.config.retransmit);
    }

    /// The own acceptance counts when it is on the disk, as that of any other node.
    pub(crate) fn count_when_durable(
        &mut self,
        at: ChosenAt,
        fingerprint: u64,
        effects: &mut Effects<Self>,
    ) {
        let answer = OwnAnswer::Accepted { at, fingerprint };
        self.own_answers.wrote(effects.last_needed(), answer);
    }

    /// §2.2: accepted by a quorum is chosen.
    pub(crate) fn on_accepted(
        &mut self,
        from: NodeId,
        at: ChosenAt,
        fingerprint: u64,
        effects: &mut Effects<Self>,
    ) {
        let quorum = self.config.acceptances_needed(at.ballot);
        let chosen = self.learner.on_accepted(from, at, fingerprint, quorum);
        if let Some((decision, acceptors)) = chosen {
            self.learn(decision, Some(acceptors), effects);
        } else if at.ballot.node() != Some(self.id) && self.config.learners == Learners::All {
            self.overhear(from, at, fingerprint, effects);
        }
    }

    /// §2.3, every acceptor tells every learner. What the acceptor here accepted under the ballot
    /// that was chosen, or under a higher one (P2b, §2.2), is the value; who has accepted nothing
    /// yet waits for that, or for the news.
    fn overhear(
        &mut self,
        from: NodeId,
        at: ChosenAt,
        fingerprint: u64,
        effects: &mut Effects<Self>,
    ) {
        let ChosenAt { slot, ballot } = at;
        let quorum = self.config.acceptances_needed(ballot);
        let Some(acceptors) = self.learner.overhear(from, at, fingerprint, quorum) else { return };
        let held = self.acceptor.accepted(slot);
        match held.filter(|held| shows(held.ballot, ballot) || planted("P43")) {
            None => effects.reached("acceptances overheard before the own"),
            Some(held) => {
                effects.reached("chosen by overheard acceptances");
                let batch = held.batch.clone();
                self.learn(Decision { slot, ballot, batch }, Some(acceptors), effects);
            }
        }
    }

    /// Keeps quiet for a while after being outbid, the longer the more often (§2.4).
    pub(crate) fn on_nack(&mut self, at: ChosenAt, promised: Ballot, effects: &mut Effects<Self>) {
        let phase_2 = matches!(self.proposer.phase(), Phase::Accepting { .. });
        if self.proposer.on_nack(at, promised) {
            effects.reached(if phase_2 { "outbid in phase 2" } else { "outbid in phase 1" });
            if self.proposer.doublings(&self.config) > 1 {
                effects.reached("outbid three times in a row");
            }
            tracing::debug!(slot = at.slot.0, ballot = ?at.ballot, ?promised, "outbid");
            let factor = 1 << self.proposer.doublings(&self.config);
            let quiet = self.config.back_off.times(if planted("E-29b") { 0 } else { factor });
            effects.set_timer(Timer::Retry, quiet);
        }
    }

    pub(crate) fn count_own_answers(
        &mut self,
        upto: RecordNumber,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        let answers: Vec<_> = self.own_answers.durable(upto).collect();
        for answer in answers {
            match answer {
                OwnAnswer::Promise { at, accepted } => {
                    let accepted = accepted.filter(|_| !planted("P31"));
                    self.on_promise(self.id, at, accepted, env, effects);
                }
                OwnAnswer::Accepted { at, fingerprint } => {
                    self.on_accepted(self.id, at, fingerprint, effects);
                }
            }
        }
        self.tell(env, effects);
    }

    /// A slot is decided.
    pub(crate) fn learn(
        &mut self,
        decision: Decision,
        counted: Option<NodeSet>,
        effects: &mut Effects<Self>,
    ) {
        if !self.learner.learn(&decision, counted) {
            return;
        }
        let Decision { slot, ballot, batch } = decision;
        if slot > self.learner.first_unknown() {
            effects.reached("chosen value behind a gap");
        }
        if self.proposer.is_proposing_otherwise(slot, &batch) {
            effects.reached("slot lost to another value");
        }
        if self.proposer.on_chosen(slot, &batch) {
            effects.cancel_timer(Timer::Retry);
        }
        if counted.is_some_and(|_| ballot.node() == Some(self.id)) {
            self.give_way(ChosenAt { slot, ballot }, effects);
        }
        let held = self.acceptor.accepted(slot);
        let on_disk = held.is_some_and(|held| {
            planted("P32") || (shows(held.ballot, ballot) && held.batch == batch)
        });
        effects.note(Record::Chosen { slot, ballot, batch: (!on_disk).then_some(batch) });
        self.give_out(effects);
        match self.config.learners {
            // All learners count for themselves; what they miss comes with the next idle spread.
            Learners::All => {}
            Learners::Distinguished => self.to_tell |= counted.is_some(),
            // The rivals wait for it.
            Learners::Piggybacked if is_recovery(ballot) => self.to_tell |= counted.is_some(),
            Learners::Piggybacked if counted.is_some() && !self.news => {
                self.news = true;
                effects.set_timer(Timer::Spread, self.config.spread);
            }
            Learners::Piggybacked => {}
        }
    }

    /// The distinguished learner tells the others (§2.3), at the end of the step in which it
    /// learned.
    pub(crate) fn tell(&mut self, env: &Env<'_>, effects: &mut Effects<Self>) {
        if !std::mem::take(&mut self.to_tell) {
            return;
        }
        if let Some(at) = self.learner.last_chosen().filter(|_| !planted("P47")) {
            effects.send(env.cluster.peers_of(self.id), Message::Decided(at));
        }
    }

    pub(crate) fn give_out(&mut self, effects: &mut Effects<Self>) {
        while let Some((index, batch)) = self.learner.next_to_commit() {
            effects.commit(index, batch);
        }
    }
}
