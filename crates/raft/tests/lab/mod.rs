//! A laboratory: servers on a table, where the test carries every message, syncs every disk and
//! pulls every plug by hand. After every step the invariants of the server are checked.

#![allow(dead_code, reason = "each test binary uses its part")]

use consensus_core::{
    Audit, AuthMeter, Batch, Change, ChangeRefusal, ClientId, Cluster, ClusterId, Command,
    ConsensusProtocol, Delay, Durable, Effect, Effects, Env, Envelope, Incarnation, Input,
    LogIndex, Membership, Message as _, NoKeys, NodeId, NodeSet, Outbox, ProtocolConfig, Read,
    ReadMode, RecordNumber, Refusal, RequestId, Role, SessionId, SnapshotMeta, Status, Tag,
};
use core::time::Duration;
use std::collections::BTreeMap;
use synod_raft::{Config, Entry, Message, Raft, Record, Term, Timer, invariants};

/// A server with its disk and what it wants.
pub(crate) struct Node {
    pub(crate) replica: Option<Raft>,
    effects: Effects<Raft>,
    outbox: Outbox<Message>,
    pub(crate) disk: Vec<Record>,
    incarnation: Incarnation,
    pub(crate) timers: BTreeMap<Timer, Delay>,
    /// Commands that the state machine has seen, in this life or through a snapshot.
    pub(crate) committed: Vec<Batch>,
    pub(crate) refused: Vec<Refusal>,
    /// The newest snapshot on its disk: its state is the list of what was committed.
    pub(crate) snapshot: Option<(SnapshotMeta, Vec<Batch>)>,
    /// A durable snapshot that the replica was not told of.
    pub(crate) untold: Option<SnapshotMeta>,
    /// What it found on its disk when it started, and what it wrote since.
    found: Vec<Record>,
    writes: Vec<Write>,
    /// Whom it was told to ask for a snapshot.
    pub(crate) fetches: Vec<NodeId>,
    pub(crate) ready: Vec<(u64, LogIndex)>,
    pub(crate) reads_refused: Vec<(u64, Refusal)>,
    pub(crate) members: Vec<(Membership, bool)>,
    pub(crate) changes_refused: Vec<ChangeRefusal>,
    pub(crate) reached: Vec<&'static str>,
}

/// One numbered write.
#[derive(Clone, Debug)]
enum Write {
    One(Record),
    /// In place of everything before.
    Compact(Vec<Record>),
}

/// A message on its way.
#[derive(Clone, Debug)]
pub(crate) struct Flying {
    pub(crate) from: usize,
    pub(crate) to: usize,
    pub(crate) message: Message,
}

pub(crate) struct Lab {
    pub(crate) cluster: Cluster,
    pub(crate) config: Config,
    pub(crate) nodes: Vec<Node>,
    pub(crate) flying: Vec<Flying>,
    /// Disks are done at once.
    pub(crate) quick_disks: bool,
    /// What the clocks say; only leases care.
    pub(crate) now: Duration,
}

/// A batch of one command that says this.
pub(crate) fn batch(text: &str) -> Batch {
    let payload = bytes::Bytes::copy_from_slice(text.as_bytes());
    let (client, session, request) = (ClientId(1), SessionId(0), RequestId(1));
    Batch::of(&[Command { client, session, request, payload, tag: Tag::none() }])
}

/// The records of a disk that holds entries of these terms, in a later term without a vote. Equal
/// terms at an index are equal entries, as Log Matching wants it.
pub(crate) fn disk(term: u64, terms: &[u64]) -> Vec<Record> {
    let entry = |(place, term): (usize, &u64)| Entry {
        term: Term(*term),
        batch: batch(&format!("{}@{term}", place + 1)),
    };
    let entries = terms.iter().enumerate().map(entry).collect();
    vec![
        Record::HardState { term: Term(term), voted_for: None },
        Record::Entries { first: LogIndex(1), entries },
    ]
}

impl Write {
    fn onto(self, disk: &mut Vec<Record>) {
        match self {
            Self::One(record) => disk.push(record),
            Self::Compact(records) => *disk = records,
        }
    }
}

impl Node {
    fn write(&mut self, number: RecordNumber, write: Write) {
        self.writes.push(write.clone());
        write.onto(&mut self.disk);
        assert_eq!(self.last_record(), number, "one write stream");
    }

    fn last_record(&self) -> RecordNumber {
        RecordNumber((self.found.len() + self.writes.len()) as u64)
    }

    /// Was a rare thing reached?
    pub(crate) fn has_reached(&self, mark: &str) -> bool {
        self.reached.contains(&mark)
    }
}

impl Lab {
    /// Servers with empty disks.
    pub(crate) fn new(size: usize) -> Self {
        Self::on_disks(vec![Vec::new(); size])
    }

    /// So many servers, of which the first so many vote.
    pub(crate) fn with_voters(size: usize, voters: usize) -> Self {
        let voters = NodeSet::first(voters);
        let cluster = Cluster { voters, ..Cluster::new(ClusterId(1), size) };
        let config = Config::for_cluster(&cluster).expect("a cluster");
        Self::with(cluster, config, vec![Vec::new(); size])
    }

    /// Servers with empty disks and other settings.
    pub(crate) fn set_up(size: usize, settings: impl FnOnce(&mut Config)) -> Self {
        let cluster = Cluster::new(ClusterId(1), size);
        let mut config = Config::for_cluster(&cluster).expect("a cluster");
        settings(&mut config);
        Self::with(cluster, config, vec![Vec::new(); size])
    }

    /// Servers with these disks.
    pub(crate) fn on_disks(disks: Vec<Vec<Record>>) -> Self {
        let cluster = Cluster::new(ClusterId(1), disks.len());
        let config = Config::for_cluster(&cluster).expect("a cluster");
        Self::with(cluster, config, disks)
    }

    pub(crate) fn with(cluster: Cluster, config: Config, disks: Vec<Vec<Record>>) -> Self {
        let (nodes, flying) = (Vec::new(), Vec::new());
        let mut lab =
            Self { cluster, config, nodes, flying, quick_disks: true, now: Duration::ZERO };
        for (id, disk) in disks.into_iter().enumerate() {
            lab.nodes.push(Node {
                replica: None,
                effects: Effects::after_recovery(0),
                outbox: Outbox::after_recovery(0, Raft::INFO.links),
                disk,
                incarnation: Incarnation(0),
                timers: BTreeMap::new(),
                committed: Vec::new(),
                refused: Vec::new(),
                snapshot: None,
                untold: None,
                found: Vec::new(),
                writes: Vec::new(),
                fetches: Vec::new(),
                ready: Vec::new(),
                reads_refused: Vec::new(),
                members: Vec::new(),
                changes_refused: Vec::new(),
                reached: Vec::new(),
            });
            lab.restart(id);
        }
        lab
    }

    /// Pulls the plug. Of the writes that were not synced the first `kept` reach the disk.
    pub(crate) fn crash(&mut self, id: usize, kept: usize) {
        let node = &mut self.nodes[id];
        if node.replica.take().is_none() {
            return;
        }
        let synced = node.outbox.durable_upto().0 as usize - node.found.len();
        node.writes.truncate(synced + kept);
        node.disk = node.found.clone();
        for write in node.writes.drain(..) {
            write.onto(&mut node.disk);
        }
    }

    pub(crate) fn restart(&mut self, id: usize) {
        let node = &mut self.nodes[id];
        node.incarnation.0 += 1;
        let records = node.disk.clone();
        (node.found, node.writes) = (records.clone(), Vec::new());
        node.effects = Effects::after_recovery(records.len());
        node.outbox = Outbox::after_recovery(records.len(), Raft::INFO.links);
        node.timers.clear();
        let (meta, state) = node.snapshot.clone().unzip();
        node.untold = None;
        node.committed = state.unwrap_or_default();
        let durable = Durable { snapshot: meta, ..Durable::of(node.incarnation, records) };
        let mut config = self.config.clone();
        if !self.cluster.voters.contains(NodeId(id as u8)) {
            config.voters = NodeSet::EMPTY;
        }
        let recovered = Raft::recover(NodeId(id as u8), config, durable);
        node.replica = Some(recovered.expect("what it wrote it can read"));
        self.give(id, Input::Start);
    }

    /// One input, and no `Drained` after it.
    pub(crate) fn give(&mut self, id: usize, input: Input<Raft>) {
        let (keys, meter) = (NoKeys, AuthMeter::default());
        let env = Env::new(self.now, &self.cluster, &keys, &meter);
        let node = &mut self.nodes[id];
        let Some(replica) = &mut node.replica else { return };
        let before = replica.clone();
        let idle = matches!(input, Input::Drained) && !replica.awaits_drained();
        replica.step(input, &env, &mut node.effects);
        assert_eq!(node.effects.halted(), None);
        let nothing = before == *replica && node.effects.is_empty();
        assert!(nothing || !idle, "a driver may leave out what is not awaited");
        invariants::check(replica).expect("a sound state");
        invariants::check_step(&before, replica).expect("a sound step");
        node.reached.extend(node.effects.take_reached());
        for effect in node.effects.drain().collect::<Vec<_>>() {
            self.carry_out(id, effect);
        }
        if self.quick_disks {
            self.sync(id);
        }
    }

    fn carry_out(&mut self, id: usize, effect: Effect<Raft>) {
        let node = &mut self.nodes[id];
        match effect {
            Effect::Write { number, record, .. } => node.write(number, Write::One(record)),
            Effect::Compact { number, records } => node.write(number, Write::Compact(records)),
            Effect::Send { to, message, after } => {
                assert!(!to.contains(NodeId(id as u8)), "nobody writes to himself");
                let now = node.outbox.offer(to, &message, after);
                self.fly(id, now, &message);
            }
            Effect::SetTimer { timer, delay } => {
                node.timers.insert(timer, delay);
            }
            Effect::CancelTimer { timer } => {
                node.timers.remove(&timer);
            }
            Effect::Commit { index, batch } => {
                node.committed.push(batch);
                assert_eq!(index, LogIndex(node.committed.len() as u64), "no gap");
            }
            Effect::Refuse { why, .. } => node.refused.push(why),
            Effect::Fetch { from } => node.fetches.push(from),
            Effect::Ready { read, index } => node.ready.push((read, index)),
            Effect::RefuseRead { read, why } => node.reads_refused.push((read, why)),
            Effect::Members { membership, committed } => node.members.push((membership, committed)),
            Effect::RefuseChange { why } => node.changes_refused.push(why),
            // Snapshots are carried whole, see `install`.
            Effect::Snapshot { .. } => {}
        }
    }

    fn fly(&mut self, from: usize, to: NodeSet, message: &Message) {
        let flights = to.iter().map(|to| Flying { from, to: to.index(), message: message.clone() });
        self.flying.extend(flights);
    }

    /// The disk has everything that was written.
    pub(crate) fn sync(&mut self, id: usize) {
        let upto = self.nodes[id].last_record();
        let running = self.nodes[id].replica.is_some();
        if !running || self.nodes[id].outbox.durable_upto() == upto {
            return;
        }
        for (to, message) in self.nodes[id].outbox.durable(upto) {
            self.fly(id, to, &message);
        }
        self.give(id, Input::Durable(upto));
        self.give(id, Input::Drained);
    }

    pub(crate) fn propose(&mut self, id: usize, text: &str) {
        self.give(id, Input::Propose(batch(text)));
        self.give(id, Input::Drained);
    }

    /// Fires a timer that is set.
    pub(crate) fn fire(&mut self, id: usize, timer: Timer) {
        assert!(self.nodes[id].timers.remove(&timer).is_some(), "{timer:?} is not set");
        self.give(id, Input::Timer(timer));
        self.give(id, Input::Drained);
    }

    /// A client reads here.
    pub(crate) fn read(&mut self, id: usize, name: u64, mode: ReadMode) {
        self.give(id, Input::Read(Read { id: name, mode }));
        self.give(id, Input::Drained);
    }

    /// An operator changes members here.
    pub(crate) fn change(&mut self, id: usize, change: Change) {
        self.give(id, Input::Change(change));
        self.give(id, Input::Drained);
    }

    /// The members in force, as this server last said.
    pub(crate) fn members(&self, id: usize) -> Membership {
        self.nodes[id].members.last().expect("said at the start").0.clone()
    }

    /// Puts a snapshot of what is applied on the disk, and says nothing of it yet.
    pub(crate) fn save_snapshot(&mut self, id: usize) -> SnapshotMeta {
        let applied = LogIndex(self.nodes[id].committed.len() as u64);
        let meta = self.replica(id).snapshot_meta(applied).expect("it can be told");
        self.nodes[id].snapshot = Some((meta.clone(), self.nodes[id].committed.clone()));
        meta
    }

    /// Takes a snapshot of what is applied.
    pub(crate) fn take_snapshot(&mut self, id: usize) -> SnapshotMeta {
        let meta = self.save_snapshot(id);
        self.give(id, Input::SnapshotTaken(meta.clone()));
        self.give(id, Input::Drained);
        meta
    }

    /// Carries the snapshot of a server to another and installs it there.
    pub(crate) fn install(&mut self, from: usize, to: usize) {
        let (meta, state) = self.nodes[from].snapshot.clone().expect("it has a snapshot");
        let node = &mut self.nodes[to];
        if meta.index.0 > node.committed.len() as u64 {
            node.committed.clone_from(&state);
        }
        node.snapshot = Some((meta.clone(), state));
        self.give(to, Input::SnapshotInstalled(meta));
        self.give(to, Input::Drained);
    }

    pub(crate) fn campaign(&mut self, id: usize) {
        self.give(id, Input::Campaign);
        self.give(id, Input::Drained);
    }

    /// A whole election timeout passes without a word of the leader.
    pub(crate) fn time_out(&mut self, id: usize) {
        self.fire(id, Timer::Election);
        if self.status(id).role == Role::Follower {
            self.fire(id, Timer::Election);
        }
    }

    /// Makes a server leader of a new term, with the help of everybody.
    pub(crate) fn elect(&mut self, id: usize) {
        self.campaign(id);
        self.carry_all();
        assert_eq!(self.status(id).role, Role::Leader, "n{id} is elected");
    }

    /// Makes a server leader with the vote of these only, and carries nothing else. Pre-votes are
    /// left out.
    pub(crate) fn elect_with(&mut self, id: usize, voters: &[usize]) {
        self.campaign(id);
        for voter in voters {
            self.carry(id, *voter, "request-vote");
            self.carry(*voter, id, "vote");
        }
        assert_eq!(self.status(id).role, Role::Leader, "n{id} is elected");
        self.flying.retain(|flying| flying.message.kind().name != "request-vote");
    }

    /// Takes a message of a kind off the table, the oldest first.
    pub(crate) fn take(&mut self, from: usize, to: usize, kind: &str) -> Message {
        let wanted = |flying: &Flying| {
            flying.from == from && flying.to == to && flying.message.kind().name == kind
        };
        let at = self.flying.iter().position(wanted);
        let at = at.unwrap_or_else(|| panic!("no {kind} from {from} to {to}: {:?}", self.flying));
        self.flying.remove(at).message
    }

    /// Carries a message of a kind.
    pub(crate) fn carry(&mut self, from: usize, to: usize, kind: &str) -> Message {
        let message = self.take(from, to, kind);
        self.hand(from, to, message.clone());
        message
    }

    /// Hands a message over, whether it was sent or not.
    pub(crate) fn hand(&mut self, from: usize, to: usize, message: Message) {
        let (keys, meter) = (NoKeys, AuthMeter::default());
        let env = Env::new(self.now, &self.cluster, &keys, &meter);
        let envelope = Envelope { from: NodeId(from as u8), message };
        // What is not well-formed is dropped at the door.
        if let Ok(verified) = Raft::verify(envelope, &env) {
            self.give(to, Input::Message(verified));
            self.give(to, Input::Drained);
        }
    }

    /// Carries whatever flies, oldest first, until nothing does.
    pub(crate) fn carry_all(&mut self) {
        self.carry_all_but(NodeSet::EMPTY);
    }

    /// The same, but what flies from or to these servers is lost.
    pub(crate) fn carry_all_but(&mut self, cut: NodeSet) {
        let mut carried = 0;
        while !self.flying.is_empty() {
            let Flying { from, to, message } = self.flying.remove(0);
            if !cut.contains(NodeId(from as u8)) && !cut.contains(NodeId(to as u8)) {
                self.hand(from, to, message);
            }
            carried += 1;
            assert!(carried < 100_000, "they never stop talking");
        }
    }

    /// How many messages of a kind fly.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.flying.iter().filter(|flying| flying.message.kind().name == kind).count()
    }

    pub(crate) fn replica(&self, id: usize) -> &Raft {
        self.nodes[id].replica.as_ref().expect("it runs")
    }

    pub(crate) fn status(&self, id: usize) -> Status {
        self.replica(id).status()
    }

    pub(crate) fn committed(&self, id: usize) -> u64 {
        self.status(id).committed.0
    }

    /// The log of a server, as far as it is not forgotten.
    pub(crate) fn log(&self, id: usize) -> Vec<Batch> {
        let replica = self.replica(id);
        (replica.status().purged.0 + 1..)
            .map_while(|index| replica.entry(LogIndex(index)).cloned())
            .collect()
    }
}
