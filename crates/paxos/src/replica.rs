//! A replica: a proposer, an acceptor and a learner that share a node (§2.1: "a single process may
//! act as more than one agent"). Brings messages to the roles and their answers to the world.

use crate::acceptor::{Acceptor, Outbid};
use crate::config::{Config, Learners, Refusals};
use crate::fast::{is_recovery, shows};
use crate::learner::Learner;
use crate::message::{ChosenAt, Decision, Message, Proposal};
use crate::proposer::Proposer;
use crate::record::Record;
use consensus_core::mutant::planted;
use consensus_core::{
    Answers, Ballot, Batch, ConsensusProtocol, Durable, Effects, Env, Envelope, FaultModel,
    InFlight, Input, Links, LogIndex, NodeId, NodeSet, ProtocolInfo, RecoverError, Refusal,
    Rejected, Role, Status, Takes, Verified,
};

/// A replica of Basic Paxos, one independent instance per slot of the log.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Paxos {
    pub(crate) id: NodeId,
    pub(crate) config: Config,
    pub(crate) proposer: Proposer,
    pub(crate) acceptor: Acceptor,
    pub(crate) learner: Learner,
    /// What the acceptor here answered to the proposer here, while the disk works on it: an answer
    /// counts when it is durable, on the own node as on any other.
    pub(crate) own_answers: InFlight<OwnAnswer>,
    /// The timer [`Timer::Spread`] is set to the short delay.
    pub(crate) news: bool,
    /// The distinguished learner has something to tell at the end of this step.
    pub(crate) to_tell: bool,
    /// Whom the proposer here asked in the phase under way.
    pub(crate) asked: NodeSet,
    /// Of those that it asked lately, those that did not answer, nor said anything since.
    pub(crate) silent: NodeSet,
}

/// An answer of the own acceptor.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OwnAnswer {
    Promise { at: ChosenAt, accepted: Option<Proposal> },
    Accepted { at: ChosenAt, fingerprint: u64 },
}

/// The timers of a replica.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// The proposer: repeat the request, or end the back-off.
    Retry,
    /// The learner: say what is known to be chosen.
    Spread,
    /// The acceptor: it accepted something and does not hear whether it was chosen.
    Doubt,
}

impl ConsensusProtocol for Paxos {
    const INFO: ProtocolInfo = ProtocolInfo {
        name: "paxos",
        title: "Basic Paxos",
        paper: "Lamport, \"Paxos Made Simple\", 2001",
        faults: FaultModel::Crash,
        answers: Answers::ClientReplica,
        takes: Takes::Any,
        links: Links::Any,
    };
    type Config = Config;
    type Message = Message;
    type Record = Record;
    type Timer = Timer;

    fn recover(id: NodeId, config: Config, durable: Durable<Record>) -> Result<Self, RecoverError> {
        let mut acceptor = Acceptor::default();
        let mut learner = Learner::default();
        let mut seen = Ballot::ZERO;
        for record in durable.records {
            if !record.is_plausible() {
                return Err(RecoverError("a slot or a ballot that no cluster reaches".into()));
            }
            match record {
                Record::Promised { slot, ballot } => {
                    seen = seen.max(ballot);
                    restore(&mut acceptor, slot, ballot, None)?;
                }
                Record::Accepted { slot, ballot, batch } => {
                    seen = seen.max(ballot);
                    restore(&mut acceptor, slot, ballot, Some(batch))?;
                }
                Record::Chosen { slot, ballot, batch } => {
                    restore_chosen(&acceptor, &mut learner, ChosenAt { slot, ballot }, batch)?;
                }
            }
        }
        Ok(Self {
            id,
            config,
            proposer: Proposer::new(id, durable.incarnation, seen),
            acceptor,
            learner,
            own_answers: InFlight::default(),
            news: false,
            to_tell: false,
            asked: NodeSet::EMPTY,
            silent: NodeSet::EMPTY,
        })
    }

    fn verify(envelope: Envelope<Message>, env: &Env<'_>) -> Result<Verified<Message>, Rejected> {
        if !envelope.message.is_plausible(envelope.from, env.cluster) {
            return Err(Rejected("a slot, ballot or sender that cannot be"));
        }
        Ok(Verified::vouch(envelope))
    }

    fn step(&mut self, input: Input<Self>, env: &Env<'_>, effects: &mut Effects<Self>) {
        match input {
            Input::Start => self.start(env, effects),
            Input::Message(message) => {
                let (from, message) = message.into_parts();
                self.silent.remove(from);
                self.receive(from, message, env, effects);
                self.tell(env, effects);
            }
            Input::Propose(batch) => {
                if let Err(batch) = self.proposer.enqueue(batch, &self.config) {
                    effects.reached("proposer is busy");
                    effects.refuse(batch, Refusal::Busy);
                }
            }
            Input::Timer(Timer::Retry) => self.retry(env, effects),
            Input::Timer(Timer::Spread) => self.spread(env, effects),
            Input::Timer(Timer::Doubt) => self.doubt(effects),
            Input::Durable(upto) => self.count_own_answers(upto, env, effects),
            // There is nothing to lead.
            other @ (Input::Transfer(_)
            | Input::Change(_)
            | Input::Read(_)
            | Input::SnapshotTaken(_)
            | Input::SnapshotInstalled(_)) => effects.unsupported(&other),
            Input::Campaign => {}
            // Commands that came together are proposed together.
            Input::Drained if !self.proposer.is_ready() => {}
            Input::Drained if self.may_be_fast(env) => self.propose_fast(env, effects),
            Input::Drained => self.prepare(env, effects),
        }
    }

    fn status(&self) -> Status {
        Status {
            role: Role::Peer,
            epoch: self.proposer.seen().round,
            leader: None,
            committed: self.learner.committed(),
            last: self.learner.last_known().max(self.acceptor.last_accepted()),
            purged: LogIndex::ZERO,
        }
    }
}

fn restore(
    acceptor: &mut Acceptor,
    slot: LogIndex,
    ballot: Ballot,
    batch: Option<Batch>,
) -> Result<(), RecoverError> {
    if acceptor.restore(slot, ballot, batch) {
        return Ok(());
    }
    Err(RecoverError(format!(
        "slot {slot}: a promise or acceptance of {ballot:?} after a higher one"
    )))
}

fn restore_chosen(
    acceptor: &Acceptor,
    learner: &mut Learner,
    at: ChosenAt,
    batch: Option<Batch>,
) -> Result<(), RecoverError> {
    let ChosenAt { slot, ballot } = at;
    let held =
        || acceptor.accepted(slot).filter(|held| shows(held.ballot, ballot) || planted("P32"));
    let batch = batch.or_else(|| held().map(|proposal| proposal.batch.clone()));
    let learned = batch.is_some_and(|batch| learner.learn(&Decision { slot, ballot, batch }, None));
    if learned || planted("E-18") {
        return Ok(());
    }
    Err(RecoverError(format!("slot {slot}: chosen twice, or chosen without a value")))
}

/// Beginnings and timers.
impl Paxos {
    fn start(&mut self, env: &Env<'_>, effects: &mut Effects<Self>) {
        let (made_for, size) = (self.config.quorums.nodes(), env.cluster.size);
        if made_for != size {
            effects.halt(format!("quorums for {made_for} replicas in a cluster of {size}"));
            return;
        }
        if let Err(error) = self.config.clone().checked_for_fast() {
            return effects.halt(error.to_string());
        }
        self.give_out(effects);
        effects.set_timer(Timer::Spread, self.config.spread);
        self.news = true;
        if self.acceptor.last_accepted() > self.learner.committed() {
            effects.reached("restart with an open slot");
            effects.set_timer(Timer::Doubt, self.config.doubt);
        }
    }

    /// Tells everybody what is chosen; who knows less asks for it.
    fn spread(&mut self, env: &Env<'_>, effects: &mut Effects<Self>) {
        if let Some(at) = self.learner.last_chosen() {
            effects.send(env.cluster.peers_of(self.id), Message::Chosen(at));
        }
        self.news = false;
        self.learner.asked &= planted("P36");
        effects.set_timer(Timer::Spread, self.config.idle);
    }

    /// Something was accepted here and nobody says that it was chosen. Its proposer may have
    /// crashed after a quorum had accepted it, so this replica finds out, by a proposal of its own
    /// (§2.3: "If a learner needs to know whether a value has been chosen, it can have a proposer
    /// issue a proposal").
    fn doubt(&mut self, effects: &mut Effects<Self>) {
        if self.acceptor.last_accepted() > self.learner.committed() {
            tracing::debug!(slot = self.learner.first_unknown().0, "was it chosen?");
            effects.reached("doubt whether a value is chosen");
            self.proposer.doubt();
            effects.set_timer(Timer::Doubt, self.config.doubt);
        }
    }
}

/// Messages.
impl Paxos {
    fn receive(
        &mut self,
        from: NodeId,
        message: Message,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        match message {
            Message::Prepare { slot, ballot, chosen, repeat: _ } => {
                self.proposer.saw(ballot);
                if let Some(chosen) = chosen {
                    self.on_chosen(from, chosen, effects);
                }
                self.on_prepare(from, ChosenAt { slot, ballot }, effects);
            }
            Message::Promise { slot, ballot, accepted } => {
                if is_recovery(ballot) {
                    self.recover(slot, env, effects);
                }
                self.on_promise(from, ChosenAt { slot, ballot }, accepted, env, effects);
            }
            Message::Accept { slot, ballot, batch, repeat: _ } => {
                self.proposer.saw(ballot);
                let at = ChosenAt { slot, ballot };
                self.on_accept(from, at, &batch, env, effects);
            }
            Message::Accepted { slot, ballot, fingerprint } => {
                self.on_accepted(from, ChosenAt { slot, ballot }, fingerprint, effects);
            }
            Message::Nack { slot, ballot, promised } => {
                self.on_nack(ChosenAt { slot, ballot }, promised, effects);
            }
            Message::Chosen(at) | Message::Decided(at) => self.on_chosen(from, at, effects),
            Message::LearnRequest { from: first } => {
                let first = if planted("P37") { first.next() } else { first };
                let decisions = self.learner.page(first, self.config.max_learn_bytes);
                if !decisions.is_empty() {
                    let upto = self.learner.committed();
                    if decisions.last().is_some_and(|last| last.slot < upto) {
                        effects.reached("chosen values in several pages");
                    }
                    effects.send(from, Message::Learn { decisions, upto });
                }
            }
            Message::Learn { decisions, upto } => self.on_learn(from, decisions, upto, effects),
            Message::Propose { slot, ballot, batch, chosen } => {
                self.proposer.saw(ballot);
                if let Some(chosen) = chosen {
                    self.on_chosen(from, chosen, effects);
                }
                self.on_propose(from, ChosenAt { slot, ballot }, &batch, env, effects);
            }
        }
    }

    /// Phase 1(b). A proposer that works at a slot whose value is known here lags behind: it is
    /// told so, and needs no promise.
    fn on_prepare(&mut self, from: NodeId, at: ChosenAt, effects: &mut Effects<Self>) {
        let ChosenAt { slot, ballot } = at;
        if let Some(known) = self.learner.last_chosen().filter(|known| known.slot >= slot) {
            effects.reached("prepare in a slot that is chosen");
            effects.send(from, Message::Chosen(known));
            return;
        }
        let answer = match self.acceptor.on_prepare(slot, ballot, effects) {
            Ok(accepted) => {
                if accepted.is_some() {
                    effects.reached("promise reports a value");
                }
                Message::Promise { slot, ballot, accepted }
            }
            Err(Outbid(promised)) => {
                effects.reached("prepare refused");
                Message::Nack { slot, ballot, promised }
            }
        };
        self.answer(from, answer, effects);
    }

    /// Phase 2(b).
    pub(crate) fn on_accept(
        &mut self,
        from: NodeId,
        at: ChosenAt,
        batch: &Batch,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        let ChosenAt { slot, ballot } = at;
        let again = self.acceptor.accepted(slot).is_some_and(|held| held.ballot == ballot);
        if let Err(Outbid(promised)) = self.accept(at, batch, effects) {
            effects.reached("accept refused");
            return self.answer(from, Message::Nack { slot, ballot, promised }, effects);
        }
        let fingerprint = batch.fingerprint().0;
        let answer = Message::Accepted { slot, ballot, fingerprint };
        // A repetition is for the proposer: a learner that missed it hears the news in another way.
        if self.config.learners != Learners::All || again {
            return self.answer(from, answer, effects);
        }
        if planted("P44") {
            self.on_accepted(self.id, at, fingerprint, effects);
        } else {
            self.count_when_durable(at, fingerprint, effects);
        }
        effects.send(env.cluster.peers_of(self.id), answer);
    }

    /// Refusals may be kept to oneself.
    fn answer(&self, to: NodeId, answer: Message, effects: &mut Effects<Self>) {
        let refusal = matches!(answer, Message::Nack { .. });
        if !refusal || self.config.refusals == Refusals::Told {
            effects.send(to, answer);
        }
    }

    /// What an acceptor accepted under the ballot that chose a value is that value; and under a
    /// higher ballot, too (P2b, §2.2). Who has not accepted it asks.
    fn on_chosen(&mut self, from: NodeId, at: ChosenAt, effects: &mut Effects<Self>) {
        let ChosenAt { slot, ballot } = at;
        if self.learner.chosen(slot).is_none()
            && let Some(held) = self.acceptor.accepted(slot)
            && (shows(held.ballot, ballot) || planted("P21"))
        {
            let batch = held.batch.clone();
            self.learn(Decision { slot, ballot, batch }, None, effects);
        }
        self.ask_if_behind(from, slot, effects);
    }

    fn on_learn(
        &mut self,
        from: NodeId,
        decisions: Vec<Decision>,
        upto: LogIndex,
        effects: &mut Effects<Self>,
    ) {
        let before = self.learner.committed();
        for decision in decisions {
            self.learn(decision, None, effects);
        }
        if self.learner.committed() > before {
            self.learner.asked = false;
            self.ask_if_behind(from, upto, effects);
        }
    }

    /// One request at a time; one that is lost is given up when [`Timer::Spread`] fires.
    fn ask_if_behind(&mut self, whom: NodeId, upto: LogIndex, effects: &mut Effects<Self>) {
        if self.learner.committed() < upto && !self.learner.asked {
            effects.reached("learner asks");
            self.learner.asked = true;
            effects.send(whom, Message::LearnRequest { from: self.learner.first_unknown() });
        }
    }
}
