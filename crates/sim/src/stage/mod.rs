//! A stage: replicas of one protocol, moved step by step by somebody else. No chance, and no time
//! but what steps tell: a message arrives when it is carried, a timer fires when it is told to, a
//! disk has what was synced. The oracles look at every step, as they do in the
//! [`World`](crate::World).
//!
//! What a step is, is in [`Step`](crate::Step). Tests may also reach under it: [`Stage::give`] is
//! the bare door of a replica, [`Stage::hand`] carries a message that nobody sent.

mod actor;
mod clocks;
mod flights;
mod hands;
mod perform;
mod service;
mod table;
mod watch;
mod witness;

pub use clocks::Clocks;
pub use flights::Flight;
pub(crate) use flights::Sent;
pub use perform::Impossible;
pub(crate) use perform::{Carried, kebab};
pub use service::Asked;
pub use table::{Table, saying};

use crate::keys::SimKeys;
use crate::oracle::Verdict;
use crate::oracle::soundness::{looks_closely, of_timers};
use crate::registers::Registers;
use crate::report::{Finding, Violation};
use crate::scenario::payload_text;
use actor::Actor;
use consensus_core::{
    Audit, Batch, Cluster, Command, DEFAULT_SESSIONS, Delay, Effect, Env, Envelope, Executor,
    FaultModel, Input, NodeId, NodeSet, RecordNumber, Refusal, Rejected, Role, Signer, Status,
};
use core::time::Duration;
use flights::Flights;
use std::collections::BTreeMap;
use witness::Witness;

/// What a stage is set up with.
#[derive(Clone, Debug)]
pub struct Scene<P: Audit> {
    /// The cluster.
    pub cluster: Cluster,
    /// The keys of nodes and clients come from here.
    pub seed: u64,
    /// The algorithm's settings.
    pub config: P::Config,
    /// Nodes whose word counts nothing. Only for Byzantine algorithms.
    pub traitors: NodeSet,
    /// Nodes whose disks sync by themselves after every step.
    pub instant: NodeSet,
    /// What the disks hold at first, as if synced; empty disks where nothing is said.
    pub disks: Vec<Vec<P::Record>>,
    /// Bytes of a snapshot that one message carries.
    pub chunk: usize,
    /// The settings of nodes that do not vote at the beginning, if they are others.
    pub joining: Option<P::Config>,
    /// The clocks, where time passes.
    pub clocks: Option<Clocks>,
    /// Parts in a million that clocks are wrong by at most, as leases take it. If one is worse,
    /// reads by leases may be stale.
    pub drift: Option<u32>,
    /// Client sessions that the service keeps.
    pub sessions: usize,
    /// Drivers look at things where they lie ([`Effects::in_place`](consensus_core::Effects)), as
    /// the runtime's does.
    pub in_place: bool,
}

impl<P: Audit> Scene<P> {
    /// Honest nodes with empty disks that wait for their syncs.
    pub fn new(cluster: Cluster, config: P::Config) -> Self {
        Self {
            cluster,
            seed: 0,
            config,
            traitors: NodeSet::EMPTY,
            instant: NodeSet::EMPTY,
            disks: Vec::new(),
            chunk: 64 << 10,
            joining: None,
            clocks: None,
            drift: None,
            sessions: DEFAULT_SESSIONS,
            in_place: false,
        }
    }
}

/// A service that keeps so many sessions.
fn executor(sessions: usize) -> Executor<Registers> {
    Executor::new(Registers::default(), sessions)
}

/// What a batch says, for charts.
fn said(batch: &Batch) -> String {
    if batch.is_membership() {
        return "members".into();
    }
    let mut texts: Vec<String> =
        batch.commands().take(4).map(|command| payload_text(&command.payload)).collect();
    if batch.len() > texts.len() {
        texts.push("…".into());
    }
    if texts.is_empty() { "no-op".into() } else { texts.join(", ") }
}

/// Something that a step led to, for charts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Note {
    pub(crate) node: NodeId,
    pub(crate) what: String,
}

/// Replicas that move only when they are told to. Once an oracle is violated nothing moves.
pub struct Stage<P: Audit> {
    cluster: Cluster,
    config: P::Config,
    /// What a node that does not vote at the beginning is told, and its settings.
    outside: Cluster,
    joining: P::Config,
    chunk: usize,
    clocks: Option<Clocks>,
    drift: Option<u32>,
    sessions: usize,
    /// The time that has passed.
    now: Duration,
    /// A snapshot was received whole in this step.
    arrived: bool,
    seed: u64,
    keys: Vec<SimKeys>,
    instant: NodeSet,
    actors: Vec<Actor<P>>,
    flights: Flights<P::Message>,
    witness: Witness<P>,
    steps: u64,
    /// A message that is not there may be taken for one like it.
    pub(crate) loose: bool,
    /// The oracles see nothing.
    blind: bool,
    /// Every step is looked at closely, not only now and then.
    closely: bool,
    /// The node that is just moving crashes after so many more effects.
    fuse: Option<u32>,
    violation: Option<Violation>,
    notes: Option<Vec<Note>>,
}

impl<P: Audit> Stage<P> {
    /// All nodes have just started, but those that do not vote at the beginning:
    /// [`restart`](Self::restart) starts one.
    ///
    /// # Panics
    /// If the cluster cannot be, or has traitors under an algorithm that does not stand them.
    pub fn new(scene: Scene<P>) -> Self {
        let Scene { cluster, seed, config, traitors, instant, chunk, .. } = scene;
        let Scene { joining, clocks, drift, sessions, in_place, .. } = scene;
        let mut disks = scene.disks;
        cluster.validate().expect("the cluster can be");
        let honest = traitors.is_empty() || P::INFO.faults == FaultModel::Byzantine;
        assert!(honest, "only Byzantine algorithms are run with traitors");
        disks.resize(cluster.size, Vec::new());
        let key = |node| SimKeys::new(seed, Signer::Node(NodeId(node as u8)));
        let actor = |records| Actor::new(records, executor(sessions), in_place);
        let mut stage = Self {
            keys: (0..cluster.size).map(key).collect(),
            witness: Witness::new(&cluster, config.clone(), traitors, executor(sessions)),
            actors: disks.into_iter().map(actor).collect(),
            flights: Flights::default(),
            steps: 0,
            loose: false,
            blind: false,
            closely: false,
            fuse: None,
            violation: None,
            notes: None,
            outside: Cluster { voters: NodeSet::EMPTY, ..cluster.clone() },
            joining: joining.unwrap_or_else(|| config.clone()),
            chunk,
            clocks,
            drift,
            sessions,
            now: Duration::ZERO,
            arrived: false,
            cluster,
            config,
            seed,
            instant,
        };
        for node in stage.cluster.nodes().iter() {
            let records = &stage.actors[node.index()].records;
            stage.witness.begins_with(node, records);
            if stage.cluster.voters.contains(node) {
                stage.boot(node);
            }
        }
        stage
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    /// The first rule that was broken.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// A replica; `None` while it is down.
    pub fn replica(&self, node: NodeId) -> Option<&P> {
        self.actors[node.index()].replica.as_ref()
    }

    /// What a replica says of itself; `None` while it is down.
    pub fn status(&self, node: NodeId) -> Option<Status> {
        self.replica(node).map(P::status)
    }

    /// What a node committed in this life, from index 1; with what is in the snapshot on which it
    /// stands.
    pub fn committed(&self, node: NodeId) -> &[Batch] {
        &self.actors[node.index()].committed
    }

    /// What a node would not take, over all its lives.
    pub fn refused(&self, node: NodeId) -> &[(Batch, Refusal)] {
        &self.actors[node.index()].refused
    }

    /// The timers of a node that are set.
    pub fn timers(&self, node: NodeId) -> &BTreeMap<P::Timer, Delay> {
        &self.actors[node.index()].timers
    }

    /// The records that a node wrote, synced or not, without those that were replaced.
    pub fn disk(&self, node: NodeId) -> &[P::Record] {
        &self.actors[node.index()].records
    }

    /// What is on its way, in order of sending on each link.
    pub fn flights(&self) -> impl Iterator<Item = &Flight<P::Message>> {
        self.flights.iter()
    }

    pub(crate) fn keep_notes(&mut self) {
        self.notes.get_or_insert_default();
    }

    pub(crate) fn take_notes(&mut self) -> Vec<Note> {
        self.notes.as_mut().map(std::mem::take).unwrap_or_default()
    }

    fn note(&mut self, node: NodeId, what: impl FnOnce() -> String) {
        if let Some(notes) = &mut self.notes {
            notes.push(Note { node, what: what() });
        }
    }

    /// A command of a client without a session: committed, but not applied.
    pub(crate) fn signed(&self, mut command: Command) -> Command {
        if P::INFO.answers == consensus_core::Answers::All {
            let keys = SimKeys::new(self.seed, Signer::Client(command.client));
            let bytes = command.signed_bytes(self.cluster.id);
            command.tag = consensus_core::Authenticator::sign(&keys, &bytes);
        }
        command
    }

    /// One input and no `Drained` after it: the bare door.
    pub fn give(&mut self, id: NodeId, input: Input<P>) {
        if self.violation.is_some() {
            return;
        }
        if let Input::Change(change) = &input {
            self.witness.asked(change);
        }
        if let Input::Propose(batch) = &input {
            batch.commands().for_each(|command| self.witness.submitted(&command));
        }
        let now = self.clock_of(id);
        let actor = &mut self.actors[id.index()];
        let Some(replica) = &mut actor.replica else { return };
        let drained = matches!(input, Input::Drained);
        let (role, idle) = (replica.status().role, drained && !replica.awaits_drained());
        actor.steps += 1;
        let closely = self.closely || looks_closely(actor.steps);
        let before = closely.then(|| replica.clone());
        let keys = &self.keys[id.index()];
        let founder = self.cluster.voters.contains(id);
        let cluster = if founder { &self.cluster } else { &self.outside };
        let env = Env::new(now, cluster, keys, &actor.meter);
        replica.step(input, &env, &mut actor.driver.effects);
        actor.reached.extend(actor.driver.effects.take_reached());
        if let Some(why) = actor.driver.effects.halted() {
            let why = why.to_owned();
            return self.halted(id, why);
        }
        let changed = before.as_ref().is_some_and(|before| before != replica);
        if idle && (changed || !actor.driver.effects.is_empty()) {
            return self.halted(id, "something is done at Drained that was not awaited".into());
        }
        let nothing = actor.driver.effects.is_empty() && !(changed && self.closely);
        if drained && nothing {
            if actor.driver.is_in_place() {
                self.carry_out_all(id); // There may be messages.
            }
            return;
        }
        self.look_inside(id, role, before.as_ref());
        self.observe(id);
        self.carry_out_all(id);
        if let Some(status) = self.status(id).filter(|_| self.violation.is_none()) {
            let verdict = self.witness.ends_at(id, status.last);
            self.judge(id, verdict);
        }
        self.waits_in_vain(id);
        self.check_news(id);
    }

    /// O13: after all that a step did, the timers that the replica relies on are set.
    fn waits_in_vain(&mut self, id: NodeId) {
        let actor = &self.actors[id.index()];
        let Some(replica) = &actor.replica else { return };
        if self.violation.is_none() && self.witness.is_correct(id) {
            let verdict = of_timers(replica, |timer| actor.timers.contains_key(&timer));
            self.judge(id, verdict);
        }
    }

    /// O20: what holds of one replica by itself, whatever oracles may see; and what it counts on.
    fn look_inside(&mut self, id: NodeId, role: Role, before: Option<&P>) {
        let Some(replica) = &self.actors[id.index()].replica else { return };
        let sound = self.witness.looks_inside(id, (role, before), replica);
        let verdict = self.witness.looks_at_beliefs(id, replica);
        if let Err(finding) = sound {
            self.fail(Some(id), finding);
        }
        self.judge(id, verdict);
    }

    /// One input, then `Drained`, then the disk where it is instant.
    fn input(&mut self, id: NodeId, input: Input<P>) {
        self.give(id, input);
        self.give(id, Input::Drained);
        if self.instant.contains(id) && self.actors[id.index()].unsynced() > 0 {
            self.sync_but(id, 0);
        }
        if std::mem::take(&mut self.arrived) && self.instant.contains(id) {
            self.save(id, true);
        }
    }

    fn halted(&mut self, id: NodeId, why: String) {
        self.note(id, || format!("halts: {why}"));
        if self.witness.is_correct(id) {
            self.fail(Some(id), Finding::new("O18", "no stop without a reason", why));
        } else {
            self.actors[id.index()].end_life(); // A traitor may well be broken.
        }
    }

    fn fail(&mut self, node: Option<NodeId>, finding: Finding) {
        if self.violation.is_none() {
            let Finding { oracle, name, detail } = finding;
            self.violation = Some(Violation { oracle, name, at: self.now, node, detail });
        }
    }

    pub(crate) fn panicked(&mut self, message: String) {
        self.fail(None, Finding::new("O18", "no panic", message));
    }

    fn judge(&mut self, node: NodeId, verdict: Verdict) -> bool {
        let verdict = if self.blind { Ok(()) } else { verdict };
        let sound = verdict.is_ok();
        if let Err(finding) = verdict {
            self.fail(Some(node), finding);
        }
        sound
    }

    /// O3, O5, O8 after a step.
    fn observe(&mut self, id: NodeId) {
        let actor = &mut self.actors[id.index()];
        let Some(replica) = &actor.replica else { return };
        let (status, leads) = (replica.status(), replica.leads());
        let before = actor.status.replace(status);
        let led = std::mem::replace(&mut actor.leads, leads);
        let began = leads.filter(|_| led != leads);
        let verdict = self.witness.observes(id, replica, began, before.as_ref(), &status);
        let was = before.map(|before| before.role);
        if status.role == Role::Leader && was != Some(Role::Leader) {
            self.note(id, || format!("leads in epoch {}", status.epoch));
        }
        if self.judge(id, verdict) {
            let actor = &self.actors[id.index()];
            let (snapshot, applied) = (actor.shelf.index(), actor.executor.applied());
            let verdict = self.witness.in_order(id, &status, snapshot, applied);
            self.judge(id, verdict);
        }
    }

    /// Is this the moment at which the node crashes, in the midst of a step?
    fn burns_out(&mut self, id: NodeId) -> bool {
        match &mut self.fuse {
            None => false,
            Some(0) => {
                self.actors[id.index()].end_life();
                true
            }
            Some(left) => {
                *left -= 1;
                false
            }
        }
    }

    /// Does what the last step wants, in order.
    fn carry_out_all(&mut self, id: NodeId) {
        let (actor, mut effects) = (&mut self.actors[id.index()], Vec::new());
        actor.driver.wants(actor.replica.as_ref(), &mut effects);
        for effect in effects {
            if self.violation.is_some() || self.burns_out(id) {
                break;
            }
            self.carry_out(id, effect);
        }
    }

    fn carry_out(&mut self, id: NodeId, effect: Effect<P>) {
        let actor = &mut self.actors[id.index()];
        match effect {
            Effect::Write { number, record, .. } => {
                assert_eq!(number.0, actor.disk.written() as u64 + 1, "one write stream");
                let verdict = self.witness.wrote(id, &record);
                actor.records.push(record.clone());
                actor.disk.append(record, true);
                self.judge(id, verdict);
            }
            Effect::Send { to, message, after } => {
                assert!(!to.contains(id), "a replica sends nothing to itself");
                let now = actor.driver.outbox.offer(to, &message, after);
                if !now.is_empty() {
                    self.transmit(id, now, message);
                }
            }
            Effect::SetTimer { timer, delay } => {
                actor.timers.insert(timer, delay);
                actor.set_at.insert(timer, self.now);
            }
            Effect::CancelTimer { timer } => {
                actor.timers.remove(&timer);
            }
            Effect::Commit { index, batch } => self.commit(id, index, batch),
            Effect::Refuse { batch, why } => {
                actor.refused.push((batch, why));
                self.note(id, || format!("refuses: {why}"));
            }
            Effect::Compact { number, records } => self.compact(id, number, records),
            Effect::Fetch { from } => {
                let ask = actor.shelf.ask();
                self.say_of_snapshots(id, from, ask);
            }
            Effect::Snapshot { from, message } => self.about_snapshots(id, from, *message),
            Effect::Ready { read, index } => self.read_is_ready(id, read, index),
            Effect::RefuseRead { read, why } => self.refuse_read(id, read, why),
            Effect::Members { membership, committed } => self.announce(id, membership, committed),
            Effect::RefuseChange { why } => {
                actor.refused_changes.push(why);
                self.note(id, || format!("does not change members: {why}"));
            }
        }
    }

    /// A message leaves for real. What a traitor says, it may say to anybody, and deny to anybody.
    fn transmit(&mut self, from: NodeId, to: NodeSet, message: P::Message) {
        if self.witness.is_correct(from) {
            let verdict = self.witness.says(from, &message);
            if self.judge(from, verdict) {
                self.flights.send(self.steps, (from, to), message, None);
            }
            return;
        }
        let keys = &self.keys[from.index()];
        let meter = &self.actors[from.index()].meter;
        let env = Env::new(self.clock_of(from), &self.cluster, keys, meter);
        let contrary = P::equivocate(&message, &env);
        let to = self.cluster.peers_of(from);
        self.flights.send(self.steps, (from, to), message, contrary);
    }

    fn commit(&mut self, id: NodeId, index: consensus_core::LogIndex, batch: Batch) {
        let actor = &mut self.actors[id.index()];
        let before = actor.executor.applied();
        if self.witness.is_correct(id) {
            let replica = actor.replica.as_ref().expect("it has just stepped");
            let verdict = self.witness.commits(id, replica, (before, index, &batch), self.steps);
            if !self.judge(id, verdict) {
                return;
            }
        } else if index != before.next() {
            return; // A traitor may believe anything.
        }
        let actor = &mut self.actors[id.index()];
        actor.executor.execute(index, &batch, drop);
        actor.committed.push(batch.clone());
        let verdict = self.witness.reached(id, &actor.executor);
        self.note(id, || format!("commits {index}: {}", said(&batch)));
        self.judge(id, verdict);
    }

    /// Everything but the last `but` records is on the disk now.
    pub fn sync_but(&mut self, id: NodeId, but: usize) {
        let actor = &mut self.actors[id.index()];
        let upto = actor.disk.written().saturating_sub(but);
        if actor.replica.is_none() || upto <= actor.disk.synced() {
            return;
        }
        self.witness.synced(id, actor.disk.reach(upto));
        let upto = RecordNumber(upto as u64);
        for (to, message) in actor.driver.released(upto) {
            self.transmit(id, to, message);
        }
        self.input(id, Input::Durable(upto));
    }

    /// Hands a message over, whether it was sent or not.
    ///
    /// # Errors
    /// If it is not let in.
    pub fn hand(&mut self, from: NodeId, to: NodeId, message: P::Message) -> Result<(), Rejected> {
        let actor = &self.actors[to.index()];
        if actor.replica.is_none() || self.violation.is_some() {
            return Ok(());
        }
        let keys = &self.keys[to.index()];
        let env = Env::new(self.clock_of(to), &self.cluster, keys, &actor.meter);
        let verified = P::verify(Envelope { from, message }, &env)?;
        self.input(to, Input::Message(verified));
        Ok(())
    }

    /// Power is cut. Of the records that were not synced the first `keep` reach the disk.
    pub fn crash(&mut self, id: NodeId, keep: usize) {
        let actor = &mut self.actors[id.index()];
        actor.end_life();
        let kept = keep.min(actor.unsynced());
        self.witness.synced(id, actor.disk.crash_keeping(kept));
        actor.records = actor.disk.records().cloned().collect();
        self.witness.survived(id, actor.disk.records());
    }

    /// A node that is down starts again, on what its disk kept.
    ///
    /// # Panics
    /// If it is not down.
    pub fn restart(&mut self, id: NodeId) {
        self.boot(id);
    }

    fn boot(&mut self, id: NodeId) {
        if self.actors[id.index()].unsynced() > 0 {
            self.crash(id, 0); // It halted, with nobody to say what its disk kept.
        }
        let executor = executor(self.sessions);
        let durable = self.actors[id.index()].begin_life(executor);
        if let Some(snapshot) = self.actors[id.index()].shelf.newest().cloned()
            && !self.stand_on(id, &snapshot)
        {
            return;
        }
        let founder = self.cluster.voters.contains(id);
        let config = if founder { &self.config } else { &self.joining };
        match P::recover(id, config.clone(), durable) {
            Ok(replica) => {
                self.actors[id.index()].replica = Some(replica);
                self.input(id, Input::Start);
            }
            Err(why) if self.witness.is_correct(id) => {
                let finding = Finding::new("O18", "no stop without a reason", why.to_string());
                self.fail(Some(id), finding);
            }
            Err(_) => {}
        }
    }
}
