//! The world: virtual time, nodes, disks, links and clients of one cluster, from one seed.

mod chronicle;
mod clients;
mod connections;
mod control;
mod effects;
mod elections;
mod event;
mod harm;
mod links;
mod members;
mod node;
mod reads;
mod rehearsal;
mod setup;
mod shuffle;
mod snapshots;
mod soundness;
mod treason;

pub use links::Fate;
pub use setup::{Completion, ReadDone, Setup};
pub(crate) use shuffle::Pool;
pub(crate) use snapshots::restore;

use crate::keys::SimKeys;
use crate::network::Links;
use crate::oracle::claims::Claims;
use crate::oracle::disks::Disks;
use crate::oracle::epochs::{self, Epochs};
use crate::oracle::history::History;
use crate::oracle::soundness::looks_closely;
use crate::oracle::states::States;
use crate::report::{Finding, Violation};
use crate::rng::Rng;
use crate::scenario::Tape;
use crate::stage::Clocks;
use crate::traitor::{Gossip, Treason};
use chronicle::Chronicle;
use clients::SimClient;
use consensus_core::{
    Audit, Batch, Cluster, Counters, Effect, Env, Executed, Executor, FaultModel, Fingerprint,
    Input, LogIndex, Membership, NodeId, NodeSet, ProtocolConfig, Role, Signer, StateMachine,
    Status,
};
use core::time::Duration;
pub(crate) use elections::{DURABLE_ELECTION, DURABLE_MEMBERS};
use event::{Event, Queue};
use links::Intercept;
use node::Node;
use reads::Reader;
use rehearsal::Heard;
pub(crate) use rehearsal::REHEARSED;
use std::collections::{BTreeMap, VecDeque};

/// A simulated cluster with its clients. One seed is one world: two worlds that are set up alike
/// and driven alike pass through the same events, see [`hash`](Self::hash).
///
/// The oracles are always on. Once one is violated, time stands still.
pub struct World<P: Audit, S: StateMachine> {
    setup: Setup<P>,
    config: P::Config,
    /// What a node that joins later is told of the cluster, and its settings.
    outside: Cluster,
    joining: P::Config,
    machine: Box<dyn Fn() -> S>,
    keys: Vec<SimKeys>,
    now: u64,
    queue: Queue<P>,
    rng: Rng,
    links: Links,
    nodes: Vec<Node<P, S>>,
    clients: Vec<SimClient>,
    completions: Vec<Completion>,
    readers: Vec<Reader>,
    reads: Vec<ReadDone>,
    trusts_leases: bool,
    submitted: u64,
    treason: Vec<Treason>,
    old_messages: Vec<Vec<P::Message>>,
    heard: Vec<Heard<P::Message>>,
    gossip: Gossip<P::Message>,
    lies_due: Vec<u64>,
    tricks: Vec<u64>,
    faction: Option<NodeSet>,
    intercept: Option<Intercept<P>>,
    held: Vec<(NodeId, NodeId, P::Message, u64)>,
    kept: VecDeque<(NodeId, NodeId, P::Message, u64)>,
    history: History<S>,
    disks: Disks<P>,
    epochs: Epochs,
    claims: Claims,
    states: States,
    violation: Option<Violation>,
    hash: Fingerprint,
    events: u64,
    leader_changes: u64,
    faults: BTreeMap<&'static str, u64>,
    marks: BTreeMap<&'static str, u64>,
    log: Option<Vec<String>>,
    tape: Option<Tape>,
    chronicle: Option<Chronicle>,
    effects: Vec<Effect<P>>,
    executed: Vec<Executed>,
}

impl<P: Audit, S: StateMachine> World<P, S> {
    /// A world in which every node has just started for the first time.
    ///
    /// # Panics
    /// If the cluster or its configuration cannot be: check with
    /// [`Cluster::validate`](consensus_core::Cluster::validate) and
    /// [`ProtocolConfig::for_cluster`].
    pub fn new(setup: Setup<P>, machine: impl Fn() -> S + 'static) -> Self {
        setup.cluster.validate().expect("the cluster can be");
        assert!(setup.max_batch > 0, "a batch has room for a command");
        let honest = setup.traitors.is_empty() || P::INFO.faults == FaultModel::Byzantine;
        assert!(honest, "only Byzantine algorithms are run with traitors");
        let config = setup.config.clone();
        let config = config.unwrap_or_else(|| {
            P::Config::for_cluster(&setup.cluster).expect("the algorithm can run in this cluster")
        });
        let outside = Cluster { voters: NodeSet::EMPTY, ..setup.cluster.clone() };
        let joining = setup.joining.clone().unwrap_or_else(|| match setup.cluster.voters {
            all if all == setup.cluster.nodes() => config.clone(),
            _ => P::Config::for_cluster(&outside).expect("a node can join"),
        });
        let size = setup.cluster.size;
        let seed = setup.seed;
        let executor = || Executor::new(machine(), setup.sessions);
        let key = |node| SimKeys::new(seed, Signer::Node(NodeId(node as u8)));
        let mut world = Self {
            config,
            outside,
            joining,
            keys: (0..size).map(key).collect(),
            now: 0,
            queue: Queue::new(),
            rng: Rng::new(seed),
            links: Links::new(size),
            nodes: (0..size).map(|_| Node::new(executor(), setup.in_place)).collect(),
            clients: Vec::new(),
            completions: Vec::new(),
            readers: Vec::new(),
            reads: Vec::new(),
            trusts_leases: true,
            submitted: 0,
            treason: vec![Treason::None; size],
            old_messages: vec![Vec::new(); size],
            heard: vec![Heard::default(); size],
            gossip: Gossip::new(),
            lies_due: vec![0; size],
            tricks: vec![0; size],
            faction: None,
            intercept: None,
            held: Vec::new(),
            kept: VecDeque::new(),
            history: History::new(executor(), Membership::initial(&setup.cluster)),
            disks: Disks::new(size, setup.traitors.is_empty()),
            epochs: Epochs::default(),
            claims: Claims::default(),
            states: States::default(),
            violation: None,
            hash: Fingerprint::of(&seed),
            events: 0,
            leader_changes: 0,
            faults: BTreeMap::new(),
            marks: BTreeMap::new(),
            log: None,
            tape: None,
            chronicle: None,
            effects: Vec::new(),
            executed: Vec::new(),
            machine: Box::new(machine),
            setup,
        };
        for node in world.setup.cluster.voters.iter() {
            world.boot(node);
        }
        world
    }

    /// Runs until `stop` says so, until virtual time reaches `limit`, or until an oracle is
    /// violated. True only if `stop` said so.
    pub fn run_until(&mut self, limit: Duration, mut stop: impl FnMut(&Self) -> bool) -> bool {
        let limit = limit.as_nanos() as u64;
        loop {
            if self.violation.is_some() {
                return false;
            }
            if stop(self) {
                return true;
            }
            match self.queue.due() {
                Some(due) if due <= limit => self.advance(),
                _ => {
                    self.now = self.now.max(limit);
                    return false;
                }
            }
        }
    }

    /// Runs for so long.
    pub fn run_for(&mut self, time: Duration) {
        self.run_until(self.now() + time, |_| false);
    }

    /// Runs until no message, request, answer or sync is under way, at most until `limit`.
    pub fn settle(&mut self, limit: Duration) -> bool {
        self.run_until(limit, |world| world.queue.traffic() == 0)
    }

    /// Virtual time.
    pub fn now(&self) -> Duration {
        Duration::from_nanos(self.now)
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        &self.setup.cluster
    }

    /// What a replica says of itself; `None` while it is down.
    pub fn status(&self, node: NodeId) -> Option<Status> {
        self.replica(node).map(P::status)
    }

    /// The correct replica that leads in the highest epoch, if one leads.
    pub fn leader(&self) -> Option<NodeId> {
        let leads = |node: &NodeId| self.status(*node).filter(|status| status.role == Role::Leader);
        let leaders = self.correct().iter().filter_map(|node| Some((leads(&node)?.epoch, node)));
        leaders.max().map(|(_, node)| node)
    }

    /// How many voters must be up for progress, by the members that were decided last.
    pub(crate) fn live_quorum(&self) -> usize {
        let size = self.decided_members().voters.len();
        self.config.quorums(size).map_or(P::INFO.quorum(size), |quorums| {
            // Who is no acceptor helps nobody.
            quorums.larger() + (size - quorums.nodes())
        })
    }

    /// A replica; `None` while it is down.
    pub fn replica(&self, node: NodeId) -> Option<&P> {
        self.nodes[node.index()].replica.as_ref()
    }

    /// What a node did and what it cost, over all its lives.
    pub fn counters(&self, node: NodeId) -> &Counters {
        &self.nodes[node.index()].counters
    }

    /// The service of a node, as far as it has applied the log in this life.
    pub fn executor(&self, node: NodeId) -> &Executor<S> {
        &self.nodes[node.index()].executor
    }

    /// The service as a replay of everything that was committed anywhere.
    pub fn replay(&self) -> &Executor<S> {
        self.history.replay()
    }

    /// Everything that was committed anywhere, in order.
    pub fn committed(&self) -> impl Iterator<Item = (LogIndex, &Batch)> {
        let decided = self.history.decided().iter().enumerate();
        decided.map(|(place, entry)| (LogIndex(place as u64 + 1), &entry.batch))
    }

    /// The last index that was committed anywhere.
    pub fn last_committed(&self) -> LogIndex {
        LogIndex(self.history.decided().len() as u64)
    }

    /// Commands that ended, in the order of their ends.
    pub fn completions(&self) -> &[Completion] {
        &self.completions
    }

    /// The first rule that was broken.
    pub fn violation(&self) -> Option<&Violation> {
        self.violation.as_ref()
    }

    /// Stands for everything that happened so far.
    pub fn hash(&self) -> Fingerprint {
        self.hash
    }

    /// Events that were processed.
    pub fn events(&self) -> u64 {
        self.events
    }

    /// How often a replica became leader.
    pub fn leader_changes(&self) -> u64 {
        self.leader_changes
    }

    /// Faults that happened, by kind.
    pub fn faults(&self) -> &BTreeMap<&'static str, u64> {
        &self.faults
    }

    /// Rare things that happened.
    pub fn marks(&self) -> &BTreeMap<&'static str, u64> {
        &self.marks
    }

    /// The nodes that are no traitors.
    pub fn correct(&self) -> NodeSet {
        self.setup.cluster.nodes().minus(self.setup.traitors)
    }

    /// Keeps a readable line for each event from now on; [`take_log`](Self::take_log) gives them
    /// out. Changes nothing else.
    pub fn keep_log(&mut self) {
        self.log.get_or_insert_default();
    }

    /// Writes down every input of every replica from now on, with its moment where replicas look
    /// at their clocks. Changes nothing else.
    pub(crate) fn keep_tape(&mut self, timed: bool) {
        let tape = self.tape.get_or_insert_default();
        if timed {
            tape.keep_time();
        }
    }

    /// Where to write down what happens just now.
    fn tape(&mut self) -> Option<&mut Tape> {
        let now = Duration::from_nanos(self.now);
        let tape = self.tape.as_mut()?;
        tape.is_now(now);
        Some(tape)
    }

    /// How fast the clock of each node runs.
    pub(crate) fn clocks(&self) -> Clocks {
        Clocks { rates: self.nodes.iter().map(|node| node.clock_rate as u32).collect() }
    }

    /// What was written down since [`keep_tape`](Self::keep_tape).
    pub(crate) fn take_tape(&mut self) -> Option<Tape> {
        self.tape.take()
    }

    /// The lines since the last call.
    pub fn take_log(&mut self) -> Vec<String> {
        self.log.as_mut().map(std::mem::take).unwrap_or_default()
    }

    pub(crate) fn is_correct(&self, node: NodeId) -> bool {
        !self.setup.traitors.contains(node)
    }

    /// Notes a line, which is made only if somebody wants it.
    pub(crate) fn tell(&mut self, line: impl FnOnce() -> String) {
        let now = self.now();
        if let Some(log) = &mut self.log {
            log.push(format!("{:>12.6} {}", now.as_secs_f64(), line()));
        }
    }

    /// Something rare happened.
    pub(crate) fn mark(&mut self, what: &'static str) {
        *self.marks.entry(what).or_default() += 1;
    }

    /// A fault was injected.
    pub(crate) fn fault(&mut self, what: &'static str) {
        *self.faults.entry(what).or_default() += 1;
    }

    pub(crate) fn fail(&mut self, node: Option<NodeId>, finding: Finding) {
        if self.violation.is_none() {
            let Finding { oracle, name, detail } = finding;
            let violation = Violation { oracle, name, at: self.now(), node, detail };
            self.tell(|| format!("VIOLATION {violation}"));
            self.violation = Some(violation);
        }
    }

    /// Reports what an oracle found at a node. False if it found something.
    fn judge(&mut self, node: NodeId, verdict: Result<(), Finding>) -> bool {
        match verdict {
            Ok(()) => true,
            Err(finding) => {
                self.fail(Some(node), finding);
                false
            }
        }
    }

    /// One event.
    fn advance(&mut self) {
        let Some((at, event)) = self.queue.pop() else { return };
        assert!(at >= self.now, "time does not run backwards");
        self.now = at;
        if let Some(node) = event.node() {
            let node = &mut self.nodes[node.index()];
            if node.paused {
                node.backlog.push(event);
                return;
            }
        }
        self.happen(event);
    }

    fn happen(&mut self, event: Event<P>) {
        match event {
            Event::Deliver { from, to, message, hash } => self.deliver(from, to, message, hash),
            Event::Timer { node, life, timer, at } => self.timer(node, life, timer, at),
            Event::Synced { node, life, nth } => self.end_sync(node, life, nth),
            Event::Request { to, request } => self.take_request(to, request),
            Event::Intake { node, life } => self.take_intake(node, life),
            Event::Reply { client, reply } => self.take_reply(client, &reply),
            Event::Wake { client, at } => self.wake(client, at),
            Event::Lie { node, at } => self.lie_unasked(node, at),
            Event::Saved { node, life, origin } => self.saved(node, life, origin),
            Event::TurnEnds { node, life } => self.turn_ends(node, life),
            Event::Query { to, reader, query } => self.take_query(to, reader, query),
            Event::Answer { reader, reply } => self.take_answer(reader, &reply),
            Event::ReaderWake { reader, at } => self.wake_reader(reader, at),
            Event::Broken { caller, node, sent } => self.broken(caller, node, sent),
        }
    }

    /// Folds an event into the hash of the world, and counts it.
    fn fold(&mut self, kind: u8, who: u64, what: u64) {
        self.events += 1;
        self.hash = self.hash.then(&(self.now, kind, who, what));
    }

    /// Runs one step. `Drained` follows at once, or when the turn ends in which others may come.
    fn input(&mut self, id: NodeId, input: Input<P>) {
        let node = &self.nodes[id.index()];
        let (up, unsynced) = (node.replica.is_some(), node.disk.unsynced());
        if let Some(tape) = self.tape().filter(|_| up) {
            tape.input(id, &input, unsynced);
        }
        self.step(id, input);
        let node = &mut self.nodes[id.index()];
        let Some(longest) = self.setup.turns.filter(|_| node.replica.is_some()) else {
            return self.end_turn(id);
        };
        if std::mem::replace(&mut node.in_turn, true) {
            return self.mark("several inputs in a turn");
        }
        let life = node.life;
        let takes = self.rng.time(Duration::ZERO, longest).as_nanos() as u64;
        self.queue.push(self.now + takes, Event::TurnEnds { node: id, life });
    }

    fn turn_ends(&mut self, id: NodeId, life: u32) {
        let node = &mut self.nodes[id.index()];
        if node.replica.is_none() || node.life != life {
            return;
        }
        node.in_turn = false;
        self.fold(23, u64::from(id.0), 0);
        self.tell(|| format!("{id} has taken in what came"));
        self.end_turn(id);
    }

    /// There is no more input at hand: what was written goes to the disk.
    fn end_turn(&mut self, id: NodeId) {
        self.tell_durable(id);
        let replica = self.nodes[id.index()].replica.as_ref();
        if self.setup.turns.is_none() || replica.is_some_and(|replica| replica.awaits_drained()) {
            self.step(id, Input::Drained);
        }
        if self.violation.is_none() && self.nodes[id.index()].replica.is_some() {
            self.begin_sync(id);
        }
        if let Some(tape) = &mut self.tape {
            tape.rest();
        }
        self.snapshot_if_due(id);
    }

    fn step(&mut self, id: NodeId, input: Input<P>) {
        if self.violation.is_some() {
            return;
        }
        let now = self.clock_of(id);
        let heard = self.hear(&input);
        let node = &mut self.nodes[id.index()];
        let Some(replica) = &mut node.replica else { return };
        let drained = matches!(input, Input::Drained);
        let idle = drained && !replica.awaits_drained();
        let before = replica.status().role;
        node.steps += 1;
        let copy = looks_closely(node.steps).then(|| replica.clone());
        let keys = &self.keys[id.index()];
        let founder = self.setup.cluster.voters.contains(id);
        let cluster = if founder { &self.setup.cluster } else { &self.outside };
        let env = Env::new(now, cluster, keys, &node.meter);
        replica.step(input, &env, &mut node.driver.effects);
        node.read_meter();
        for mark in node.driver.effects.take_reached() {
            assert!(P::MARKS.contains(&mark), "'{mark}' is not in the list of marks");
            *self.marks.entry(mark).or_default() += 1;
        }
        if let Some(why) = node.driver.effects.halted() {
            let why = why.to_owned();
            return self.halted(id, why);
        }
        let changed = copy.is_some() && copy != node.replica;
        if idle && (changed || !node.driver.effects.is_empty()) {
            return self.halted(id, "something is done at Drained that was not awaited".into());
        }
        if drained && node.driver.effects.is_empty() {
            if node.driver.is_in_place() {
                self.carry_out(id); // There may be messages, which have their own way.
            }
            return;
        }
        self.chronicle_step(id, heard);
        self.look_inside(id, before, copy);
        let deposed = self.observe(id);
        self.carry_out(id);
        self.check_log(id);
        self.relies_on_its_driver(id);
        self.reads_what_is_decided(id);
        self.check_news(id);
        self.answer_queries(id);
        if deposed {
            self.answer_lost(id);
        }
    }

    /// O4 for the log in memory, after everything that it wrote.
    fn check_log(&mut self, id: NodeId) {
        if self.violation.is_some() || !self.is_correct(id) {
            return;
        }
        if let Some(status) = self.status(id) {
            let verdict = self.disks.ends_at(id.index(), status.last);
            self.judge(id, verdict);
        }
    }

    /// A replica reports a broken invariant of its own. A traitor's may well be broken.
    fn halted(&mut self, id: NodeId, why: String) {
        if self.is_correct(id) {
            self.fail(Some(id), Finding::new("O18", "no stop without a reason", why));
        } else {
            self.crash(id);
        }
    }

    /// Looks at a replica after a step: O3, O5, O8. True if it led before the step and no more.
    fn observe(&mut self, id: NodeId) -> bool {
        let node = &mut self.nodes[id.index()];
        let Some(replica) = &node.replica else { return false };
        let (status, leads) = (replica.status(), replica.leads());
        let before = node.status.replace(status);
        let led = std::mem::replace(&mut node.leads, leads);
        self.epochs.proposes(replica.proposes());
        if let Some(epoch) = leads.filter(|_| led != leads)
            && !self.began_to_lead(id, epoch)
        {
            return false;
        }
        let was = before.map(|before| before.role);
        if status.role == Role::Leader && was != Some(Role::Leader) {
            self.leader_changes += 1;
            self.tell(|| format!("{id} leads in epoch {}", status.epoch));
            if status.epoch > 3 {
                self.mark("leader beyond epoch 3");
            }
        }
        if let Some(before) = before
            && self.is_correct(id)
            && !self.judge(id, epochs::rises(&before, &status))
        {
            return false;
        }
        let node = &self.nodes[id.index()];
        let (snapshot, applied) = (node.shelf.index(), node.executor.applied());
        if self.is_correct(id) && !self.judge(id, epochs::in_order(&status, snapshot, applied)) {
            return false;
        }
        was == Some(Role::Leader) && status.role != Role::Leader
    }
}
