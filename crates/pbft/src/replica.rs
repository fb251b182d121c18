//! The replica: takes inputs and hands them to the phases.

use crate::config::Config;
use crate::digest::Digest;
use crate::invariants;
use crate::message::{Body, Decided, Message, Sequence, SignedViewChange, View, Vote};
use crate::record::Record;
use crate::requests::Requests;
use crate::slot::Slot;
use crate::{certificates, verify};
use certificates::{CheckpointCertificate, Votes};
use consensus_core::mutant::planted;
use consensus_core::{
    Answers, ConsensusProtocol, Durable, Effects, Env, Envelope, FaultModel, InFlight, Incarnation,
    Input, Links, LogIndex, NodeId, NodeSet, ProtocolInfo, RecoverError, Rejected, Role, Status,
    Tag, Takes, Verified,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A PBFT replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Pbft {
    pub(crate) id: NodeId,
    pub(crate) config: Config,
    /// The view that it is in, or asks for.
    pub(crate) view: View,
    pub(crate) phase: Phase,
    /// It entered the view since it started, so it knows every number that it gave out in it; and
    /// its disk knows that it did.
    pub(crate) knows_its_numbers: bool,
    /// The numbers above the stable checkpoint, and those that were not executed.
    /// A copy of the replica, which an oracle or a search of states makes often, shares what is
    /// alike in both.
    pub(crate) slots: BTreeMap<Sequence, Arc<Slot>>,
    /// Signatures of the own prepares (false) and commits (true) of this view.
    pub(crate) own_tags: BTreeMap<(Sequence, bool), Tag>,
    /// Everything executed, with the proofs, from number 1.
    pub(crate) decided: Vec<Arc<Decided>>,
    /// The digest of everything executed.
    pub(crate) history: Digest,
    pub(crate) stable: Option<CheckpointCertificate>,
    pub(crate) checkpoints: BTreeMap<Sequence, Votes>,
    pub(crate) own_checkpoint: Option<Message>,
    /// Bytes of requests that were executed since the last checkpoint.
    pub(crate) since_checkpoint: usize,
    /// The latest view-change of each replica that asks for a later view.
    pub(crate) view_changes: BTreeMap<NodeId, Arc<SignedViewChange>>,
    /// The new-view that started the current view, to show to those who missed it.
    pub(crate) new_view: Option<Arc<Message>>,
    pub(crate) requests: Requests,
    /// The primary's next number.
    pub(crate) next: Sequence,
    pub(crate) writes: InFlight<Write>,
    /// The view timer runs.
    pub(crate) watching: bool,
    /// Views without progress, for the doubling of timeouts.
    pub(crate) fruitless_views: u32,
    pub(crate) ticks: u32,
    /// Who was shown the new-view lately.
    pub(crate) shown: NodeSet,
    /// Who was answered since the last tick.
    pub(crate) answered: NodeSet,
    pub(crate) seen_at_tick: Sequence,
    /// Others have shown what was decided since the last tick: there may be more of it.
    pub(crate) was_shown: bool,
    /// What the disk proves to be decided, until it is executed at the start.
    pub(crate) recovered: BTreeMap<Sequence, Decided>,
}

/// Does the view work (§4.4)?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Yes: messages of the normal case are taken.
    Normal,
    /// It was asked for, and its new-view has not come.
    Changing,
}

/// A write under way whose completion counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Write {
    /// The own pre-prepare or prepare.
    Proposal(Vote),
    /// The prepared certificate: the own commit.
    Prepared(Vote),
    /// The own view-change.
    ViewChange(View),
    /// This view was entered.
    NewView(View),
}

/// A replica's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A request waits for so long that the primary must be faulty (§4.4).
    View,
    /// Time to say again what got no answer.
    Repeat,
}

impl ConsensusProtocol for Pbft {
    const INFO: ProtocolInfo = ProtocolInfo {
        name: "pbft",
        title: "PBFT",
        paper: "Castro & Liskov, Practical Byzantine Fault Tolerance (OSDI 1999)",
        faults: FaultModel::Byzantine,
        answers: Answers::All,
        takes: Takes::Relayed,
        links: Links::Any,
    };
    type Config = Config;
    type Message = Message;
    type Record = Record;
    type Timer = Timer;

    fn recover(id: NodeId, config: Config, durable: Durable<Record>) -> Result<Self, RecoverError> {
        config.validate().map_err(RecoverError)?;
        let fresh = durable.records.is_empty() && durable.incarnation <= Incarnation(1);
        let fresh = fresh || planted("B48");
        let mut replica = Self::new(id, config, fresh);
        for record in durable.records {
            if !record.is_plausible() {
                return Err(RecoverError("a view or a number that is never given".into()));
            }
            replica.remember(record);
        }
        Ok(replica)
    }

    fn verify(envelope: Envelope<Message>, env: &Env<'_>) -> Result<Verified<Message>, Rejected> {
        verify::verify(envelope, env)
    }

    fn step(&mut self, input: Input<Self>, env: &Env<'_>, effects: &mut Effects<Self>) {
        match input {
            Input::Start => self.start(env, effects),
            Input::Message(message) => self.receive(message, env, effects),
            Input::Propose(batch) => self.on_propose(batch, env, effects),
            Input::Timer(Timer::View) => self.on_view_timer(env, effects),
            Input::Timer(Timer::Repeat) => self.on_repeat(env, effects),
            Input::Durable(upto) => {
                let done: Vec<Write> = self.writes.durable(upto).collect();
                for write in done {
                    self.on_own_vote(write, env, effects);
                }
            }
            other @ (Input::Transfer(_)
            | Input::Change(_)
            | Input::Read(_)
            | Input::SnapshotTaken(_)
            | Input::SnapshotInstalled(_)) => effects.unsupported(&other),
            Input::Campaign => {} // The primary of a view is given by its number (§4).
            Input::Drained => self.order(env, effects),
        }
        if let Err(broken) = invariants::check(self) {
            effects.halt(broken);
        }
    }

    fn status(&self) -> Status {
        let primary = self.view.primary(self.config.nodes);
        let role = match self.phase {
            Phase::Changing => Role::Candidate,
            Phase::Normal if primary == self.id => Role::Leader,
            Phase::Normal => Role::Follower,
        };
        let last = self.slots.keys().next_back().copied().unwrap_or_default();
        Status {
            role,
            epoch: self.view.0,
            leader: (self.phase == Phase::Normal).then_some(primary),
            committed: self.executed(),
            last: last.max(self.executed()),
            purged: LogIndex::ZERO,
        }
    }
}

impl Pbft {
    fn new(id: NodeId, config: Config, fresh: bool) -> Self {
        Self {
            id,
            config,
            view: View(0),
            phase: Phase::Normal,
            knows_its_numbers: fresh,
            slots: BTreeMap::new(),
            own_tags: BTreeMap::new(),
            decided: Vec::new(),
            history: Digest::default(),
            stable: None,
            checkpoints: BTreeMap::new(),
            own_checkpoint: None,
            since_checkpoint: 0,
            view_changes: BTreeMap::new(),
            new_view: None,
            requests: Requests::default(),
            next: LogIndex(1),
            writes: InFlight::default(),
            watching: false,
            fruitless_views: 0,
            ticks: 0,
            shown: NodeSet::EMPTY,
            answered: NodeSet::EMPTY,
            seen_at_tick: LogIndex::ZERO,
            was_shown: false,
            recovered: BTreeMap::new(),
        }
    }

    /// Takes back one record.
    fn remember(&mut self, record: Record) {
        match record {
            Record::PrePrepared(vote) => {
                self.view = self.view.max(vote.view);
                let voted = &mut self.slot_of_any_view(vote.sequence).voted;
                if voted.is_none() || !planted("B61") {
                    *voted = Some(vote);
                }
            }
            Record::Prepared(certificate) => {
                let slot = self.slot_of_any_view(certificate.vote.sequence);
                slot.prepared = Some(certificate);
            }
            Record::Committed(certificate) => {
                let slot = self.slots.get(&certificate.vote.sequence);
                let batch = slot.and_then(|slot| slot.batch_of(certificate.vote)).cloned();
                if let Some(batch) = batch {
                    self.recover_decided(Decided { certificate, batch });
                }
            }
            Record::Fetched(decided) => self.recover_decided(decided),
            Record::Checkpoint { .. } => {}
            Record::Stable(_) if planted("B64") => {}
            Record::Stable(certificate) => self.stable = Some(certificate),
            Record::ViewChange(_) if planted("B49") => {}
            Record::ViewChange(view) => {
                self.view = view;
                self.phase = Phase::Changing;
            }
            Record::NewView { view, base, carried } => {
                self.view = view;
                self.phase = Phase::Normal;
                let carried = if planted("B50") { Vec::new() } else { carried };
                for (digest, number) in carried.into_iter().zip(base.0 + 1..) {
                    let sequence = LogIndex(number);
                    let vote = Vote { view, sequence, digest };
                    self.slot_of_any_view(sequence).voted = Some(vote);
                }
            }
        }
    }

    /// Numbers are not decided in order, so this is a map.
    fn recover_decided(&mut self, decided: Decided) {
        self.recovered.insert(decided.certificate.vote.sequence, decided);
    }

    fn start(&mut self, env: &Env<'_>, effects: &mut Effects<Self>) {
        effects.set_timer(Timer::Repeat, self.config.repeat);
        let mut recovered = std::mem::take(&mut self.recovered);
        while let Some(decided) = recovered.remove(&self.executed().next()) {
            self.execute_fetched(decided, env, effects);
        }
        let done = self.low_mark().min(self.executed());
        self.slots = self.slots.split_off(&done.next());
        self.next = self.executed().max(self.low_mark()).next();
        let mine = self.view.primary(self.config.nodes) == self.id;
        if self.phase == Phase::Normal && mine && !self.knows_its_numbers {
            // It may have given numbers in this view that it no longer knows.
            effects.reached("restarted primary asks for the next view");
            self.start_view_change(self.view.next(), env, effects);
        } else if self.phase == Phase::Changing {
            effects.reached("restart in the midst of a view change");
            self.on_own_view_change(self.view, env, effects); // Its record survived.
        }
    }

    /// All replicas but this one.
    pub(crate) fn peers(&self) -> NodeSet {
        NodeSet::first(self.config.nodes).without(self.id)
    }

    /// The last number that was executed.
    pub(crate) fn executed(&self) -> Sequence {
        LogIndex(self.decided.len() as u64)
    }

    /// A number, as seen from the current view.
    pub(crate) fn slot(&mut self, sequence: Sequence) -> &mut Slot {
        let view = self.view;
        let slot = self.slot_of_any_view(sequence);
        slot.enter(view);
        slot
    }

    fn slot_of_any_view(&mut self, sequence: Sequence) -> &mut Slot {
        Arc::make_mut(self.slots.entry(sequence).or_default())
    }

    /// Executes what was decided without this replica.
    pub(crate) fn execute_fetched(
        &mut self,
        decided: Decided,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        let sequence = self.executed().next();
        assert_eq!(decided.certificate.vote.sequence, sequence, "executed in order");
        effects.commit(sequence, decided.batch.clone());
        if !planted("B51") {
            self.requests.on_executed(&decided.batch, sequence);
        }
        self.history = self.history.then(env.cluster.id, decided.certificate.vote.digest);
        self.decided.push(Arc::new(decided));
        if !planted("B52") {
            self.take_checkpoint(sequence, env, effects);
        }
    }

    fn on_view_timer(&mut self, env: &Env<'_>, effects: &mut Effects<Self>) {
        self.watching = false;
        if self.phase == Phase::Changing || self.is_busy() {
            self.give_up_view(env, effects);
        }
    }

    fn receive(&mut self, message: Verified<Message>, env: &Env<'_>, effects: &mut Effects<Self>) {
        let (from, Message { body, tag, .. }) = message.into_parts();
        if from == self.id {
            return tracing::debug!("a message in the own name");
        }
        match body {
            Body::Request { batch } => {
                let bytes = self.requests.bytes() + batch.bytes().len();
                if bytes <= self.config.max_pending_bytes {
                    self.take_requests(batch, false, effects);
                } else {
                    effects.reached("too many requests wait");
                }
            }
            Body::PrePrepare { vote, batch } => {
                self.on_pre_prepare((vote, batch, tag), env, effects);
            }
            Body::Prepare(vote) => self.on_prepare(from, (vote, tag), env, effects),
            Body::Commit(vote) => self.on_commit(from, (vote, tag), env, effects),
            Body::Checkpoint { sequence, history } => {
                self.on_checkpoint(from, (sequence, history, tag), effects);
            }
            Body::ViewChange(view_change) => {
                self.on_view_change(SignedViewChange { view_change, tag }, env, effects);
            }
            Body::NewView(new_view) => self.on_new_view(new_view, (env, tag), effects),
            Body::Fetch { view, from: first, stable } => {
                self.on_fetch(from, (view, first, stable), effects, env);
            }
            Body::Fetched { decided, stable } => {
                self.on_fetched(decided, env, effects);
                self.on_stable_shown(stable, effects);
            }
        }
    }
}
