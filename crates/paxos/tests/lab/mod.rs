//! A laboratory: the simulator's stage, where the test carries every message, syncs every disk and
//! pulls every plug by hand. After every step the oracles and the replica's own invariants are
//! asked.

#![allow(dead_code, reason = "each test binary uses its part")]

use consensus_core::{
    Ballot, Batch, ClientId, Cluster, ClusterId, Command, Delay, Fingerprint, Input, NodeId,
    NodeSet, ProtocolConfig, Refusal, RequestId, SessionId, Tag,
};
use synod_paxos::{Config, Message, Paxos, Timer};
use synod_sim::{Flight, Scene, Stage};

/// A message on its way.
pub(crate) type Flying = Flight<Message>;

pub(crate) struct Lab {
    pub(crate) cluster: Cluster,
    stage: Stage<Paxos>,
}

/// A batch of one command that says this, of a client of its own.
pub(crate) fn batch(text: &str) -> Batch {
    let payload = bytes::Bytes::copy_from_slice(text.as_bytes());
    let client = ClientId(Fingerprint::of(text).0);
    let (session, request) = (SessionId(u64::MAX), RequestId(1));
    Batch::of(&[Command { client, session, request, payload, tag: Tag::none() }])
}

pub(crate) fn ballot_of(message: &Message) -> Ballot {
    match message {
        Message::Prepare { ballot, .. }
        | Message::Promise { ballot, .. }
        | Message::Accept { ballot, .. }
        | Message::Accepted { ballot, .. }
        | Message::Nack { ballot, .. } => *ballot,
        other => panic!("{other:?} carries no ballot"),
    }
}

fn node(id: usize) -> NodeId {
    NodeId(id as u8)
}

impl Lab {
    pub(crate) fn new(size: usize) -> Self {
        let cluster = Cluster::new(ClusterId(1), size);
        let config = Config::for_cluster(&cluster).expect("a cluster");
        Self::with(cluster, config)
    }

    /// Disks are done at once, until [`slow_disks`](Self::slow_disks).
    pub(crate) fn with(cluster: Cluster, config: Config) -> Self {
        let mut scene = Scene::new(cluster.clone(), config);
        scene.instant = cluster.nodes();
        Self { cluster, stage: Stage::new(scene) }
    }

    /// Disks wait for [`sync`](Self::sync).
    pub(crate) fn slow_disks(&mut self) {
        self.stage.set_instant(NodeSet::EMPTY);
    }

    /// Disks are done at once, from the next step on.
    pub(crate) fn quick_disks(&mut self) {
        self.stage.set_instant(self.cluster.nodes());
    }

    /// For tests in which replicas lie: what they all did together means nothing then.
    pub(crate) fn without_oracles(&mut self) {
        self.stage.without_oracles();
    }

    /// All replicas.
    pub(crate) fn ids(&self) -> std::ops::Range<usize> {
        0..self.cluster.size
    }

    /// Does something to a replica, and asks the oracles and its invariants.
    fn on(&mut self, id: usize, act: impl FnOnce(&mut Stage<Paxos>, NodeId)) {
        let before = self.stage.replica(node(id)).cloned();
        act(&mut self.stage, node(id));
        assert_eq!(self.stage.violation(), None);
        let Some(replica) = self.stage.replica(node(id)) else { return };
        replica.check().expect("invariants hold");
        if let Some(before) = before {
            replica.check_since(&before).expect("invariants hold");
        }
    }

    /// Pulls the plug. Of the writes that were not synced the first `kept` reach the disk.
    pub(crate) fn crash(&mut self, id: usize, kept: usize) {
        self.stage.crash(node(id), kept);
    }

    pub(crate) fn restart(&mut self, id: usize) {
        self.on(id, |stage, id| stage.restart(id));
    }

    /// One input, and no `Drained` after it.
    pub(crate) fn give(&mut self, id: usize, input: Input<Paxos>) {
        self.on(id, |stage, id| stage.give(id, input));
    }

    /// The disk has everything that was written.
    pub(crate) fn sync(&mut self, id: usize) {
        self.on(id, |stage, id| stage.sync(id));
    }

    pub(crate) fn propose(&mut self, id: usize, text: &str) {
        self.on(id, |stage, id| stage.propose(id, batch(text)));
    }

    /// Fires a timer that is set.
    pub(crate) fn fire(&mut self, id: usize, timer: Timer) {
        assert!(self.timer(id, timer).is_some(), "{timer:?} is not set");
        self.on(id, |stage, id| stage.fire(id, timer));
    }

    /// How long a timer runs, if it is set.
    pub(crate) fn timer(&self, id: usize, timer: Timer) -> Option<Delay> {
        self.stage.timers(node(id)).get(&timer).copied()
    }

    /// All timers that are set.
    pub(crate) fn timers(&self, id: usize) -> Vec<Timer> {
        self.stage.timers(node(id)).keys().copied().collect()
    }

    /// Takes a message of a kind off the table, the oldest first.
    pub(crate) fn take(&mut self, from: usize, to: usize, kind: &str) -> Message {
        let taken = self.stage.take(node(from), node(to), kind);
        taken.unwrap_or_else(|| panic!("no {kind} from {from} to {to}: {:?}", self.flying()))
    }

    /// Carries a message of a kind.
    pub(crate) fn carry(&mut self, from: usize, to: usize, kind: &str) -> Message {
        let message = self.take(from, to, kind);
        self.hand(from, to, message.clone());
        message
    }

    /// Hands a message over, whether it was sent or not.
    pub(crate) fn hand(&mut self, from: usize, to: usize, message: Message) {
        self.on(to, |stage, to| {
            stage.hand(node(from), to, message).expect("these replicas are honest");
        });
    }

    /// A message that flies arrives, and flies on.
    pub(crate) fn deliver(&mut self, flying: &Flying) {
        self.hand(flying.from.index(), flying.to.index(), Message::clone(&flying.message));
    }

    /// Loses a message that flies.
    pub(crate) fn lose(&mut self, flying: &Flying) {
        self.stage.remove(flying);
    }

    /// Carries whatever flies, oldest first, until nothing does.
    pub(crate) fn carry_all(&mut self) {
        let mut carried = 0;
        while let Some(oldest) = self.flying().first() {
            self.lose(oldest);
            self.deliver(oldest);
            carried += 1;
            assert!(carried < 100_000, "they never stop talking");
        }
    }

    /// What flies, oldest first.
    pub(crate) fn flying(&self) -> Vec<Flying> {
        self.stage.flying()
    }

    /// How many messages of a kind fly.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.stage.count(kind)
    }

    /// Throws away whatever flies.
    pub(crate) fn lose_all(&mut self) {
        self.stage.lose_all();
    }

    pub(crate) fn committed(&self, id: usize) -> &[Batch] {
        self.stage.committed(node(id))
    }

    /// Why it would not take what it was asked, each time.
    pub(crate) fn refused(&self, id: usize) -> Vec<Refusal> {
        self.stage.refused(node(id)).iter().map(|(_, why)| *why).collect()
    }

    pub(crate) fn is_up(&self, id: usize) -> bool {
        self.stage.replica(node(id)).is_some()
    }

    pub(crate) fn replica(&self, id: usize) -> &Paxos {
        self.stage.replica(node(id)).expect("it runs")
    }
}
