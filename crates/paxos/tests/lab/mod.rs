//! A laboratory: replicas on a table, where the test carries every message, syncs every disk and
//! pulls every plug by hand.

#![allow(dead_code, reason = "each test binary uses its part")]

use consensus_core::{
    AuthMeter, Ballot, Batch, ClientId, Cluster, ClusterId, Command, ConsensusProtocol, Delay,
    Durable, Effect, Effects, Env, Envelope, Incarnation, Input, LogIndex, Message as _, NoKeys,
    NodeId, Outbox, ProtocolConfig, RecordNumber, Refusal, RequestId, SessionId, Tag,
};
use core::time::Duration;
use std::collections::BTreeMap;
use synod_paxos::{Config, Message, Paxos, Record, Timer};

/// A replica with its disk and what it wants.
pub(crate) struct Node {
    pub(crate) replica: Option<Paxos>,
    effects: Effects<Paxos>,
    outbox: Outbox<Message>,
    pub(crate) disk: Vec<Record>,
    incarnation: Incarnation,
    pub(crate) timers: BTreeMap<Timer, Delay>,
    pub(crate) committed: Vec<Batch>,
    pub(crate) refused: Vec<Refusal>,
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
}

/// A batch of one command that says this.
pub(crate) fn batch(text: &str) -> Batch {
    let payload = bytes::Bytes::copy_from_slice(text.as_bytes());
    let (client, session, request) = (ClientId(1), SessionId(0), RequestId(1));
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

impl Lab {
    pub(crate) fn new(size: usize) -> Self {
        let cluster = Cluster::new(ClusterId(1), size);
        let config = Config::for_cluster(&cluster).expect("a cluster");
        Self::with(cluster, config)
    }

    pub(crate) fn with(cluster: Cluster, config: Config) -> Self {
        let mut lab =
            Self { cluster, config, nodes: Vec::new(), flying: Vec::new(), quick_disks: true };
        for id in 0..lab.cluster.size {
            lab.nodes.push(Node {
                replica: None,
                effects: Effects::after_recovery(0),
                outbox: Outbox::after_recovery(0, Paxos::INFO.links),
                disk: Vec::new(),
                incarnation: Incarnation(0),
                timers: BTreeMap::new(),
                committed: Vec::new(),
                refused: Vec::new(),
            });
            lab.restart(id);
        }
        lab
    }

    /// Pulls the plug. Of the writes that were not synced the first `kept` reach the disk.
    pub(crate) fn crash(&mut self, id: usize, kept: usize) {
        let node = &mut self.nodes[id];
        node.replica = None;
        let synced = node.outbox.durable_upto().0 as usize;
        node.disk.truncate((synced + kept).min(node.disk.len()));
    }

    pub(crate) fn restart(&mut self, id: usize) {
        let node = &mut self.nodes[id];
        node.incarnation.0 += 1;
        let records = node.disk.clone();
        node.effects = Effects::after_recovery(records.len());
        node.outbox = Outbox::after_recovery(records.len(), Paxos::INFO.links);
        node.timers.clear();
        node.committed.clear();
        let durable = Durable::of(node.incarnation, records);
        let recovered = Paxos::recover(NodeId(id as u8), self.config.clone(), durable);
        node.replica = Some(recovered.expect("what it wrote it can read"));
        self.give(id, Input::Start);
    }

    /// One input, and no `Drained` after it.
    pub(crate) fn give(&mut self, id: usize, input: Input<Paxos>) {
        let (keys, meter) = (NoKeys, AuthMeter::default());
        let env = Env::new(Duration::ZERO, &self.cluster, &keys, &meter);
        let node = &mut self.nodes[id];
        let Some(replica) = &mut node.replica else { return };
        let before = replica.clone();
        replica.step(input, &env, &mut node.effects);
        assert_eq!(node.effects.halted(), None);
        replica.check().and_then(|()| replica.check_since(&before)).expect("invariants hold");
        for effect in node.effects.drain().collect::<Vec<_>>() {
            let node = &mut self.nodes[id];
            match effect {
                Effect::Write { number, record, .. } => {
                    node.disk.push(record);
                    assert_eq!(node.disk.len() as u64, number.0, "one write stream");
                }
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
                _ => {}
            }
        }
        if self.quick_disks {
            self.sync(id);
        }
    }

    fn fly(&mut self, from: usize, to: consensus_core::NodeSet, message: &Message) {
        let flights = to.iter().map(|to| Flying { from, to: to.index(), message: message.clone() });
        self.flying.extend(flights);
    }

    /// The disk has everything that was written.
    pub(crate) fn sync(&mut self, id: usize) {
        let upto = RecordNumber(self.nodes[id].disk.len() as u64);
        if self.nodes[id].outbox.durable_upto() == upto {
            return;
        }
        for (to, message) in self.nodes[id].outbox.durable(upto) {
            self.fly(id, to, &message);
        }
        self.give(id, Input::Durable(upto));
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
        let env = Env::new(Duration::ZERO, &self.cluster, &keys, &meter);
        let envelope = Envelope { from: NodeId(from as u8), message };
        let verified = Paxos::verify(envelope, &env).expect("these replicas are honest");
        self.give(to, Input::Message(verified));
        self.give(to, Input::Drained);
    }

    /// Carries whatever flies, oldest first, until nothing does.
    pub(crate) fn carry_all(&mut self) {
        let mut carried = 0;
        while !self.flying.is_empty() {
            let Flying { from, to, message } = self.flying.remove(0);
            self.hand(from, to, message);
            carried += 1;
            assert!(carried < 100_000, "they never stop talking");
        }
    }

    /// How many messages of a kind fly.
    pub(crate) fn count(&self, kind: &str) -> usize {
        self.flying.iter().filter(|flying| flying.message.kind().name == kind).count()
    }

    pub(crate) fn replica(&self, id: usize) -> &Paxos {
        self.nodes[id].replica.as_ref().expect("it runs")
    }
}
