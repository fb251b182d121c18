//! A whole cluster in one thread: the smallest driver that honours the contract.

use consensus_core::{
    Audit, AuthMeter, Authenticator, Batch, ClientId, Cluster, ClusterId, Command, Durable, Effect,
    Effects, Env, Envelope, Incarnation, Input, NodeId, NodeSet, Outbox, ProtocolConfig,
    RecordNumber, RequestId, SessionId, Signer, Tag,
};
use core::time::Duration;
use std::collections::VecDeque;

/// Believes everybody: the cost of a signature is that of its algorithm, not of the protocol.
struct Trusting;

impl Authenticator for Trusting {
    fn sign(&self, _bytes: &[u8]) -> Tag {
        Tag::none()
    }

    fn check(&self, _signer: Signer, _bytes: &[u8], _tag: &Tag) -> bool {
        true
    }
}

struct Node<P: Audit> {
    replica: P,
    effects: Effects<P>,
    outbox: Outbox<P::Message>,
    inbox: VecDeque<Envelope<P::Message>>,
    /// Last record written, last needed one, and last one known to be durable.
    written: RecordNumber,
    needed: RecordNumber,
    durable: RecordNumber,
}

/// Replicas, and the messages between them.
pub(crate) struct InMemory<P: Audit> {
    cluster: Cluster,
    nodes: Vec<Node<P>>,
    meter: AuthMeter,
    payload: bytes::Bytes,
    asked: u64,
    /// Commands that the first replica committed.
    committed: u64,
    messages: u64,
}

impl<P: Audit> Clone for InMemory<P> {
    fn clone(&self) -> Self {
        let node = |node: &Node<P>| Node {
            replica: node.replica.clone(),
            effects: Effects::after_recovery(node.written.0 as usize),
            outbox: node.outbox.clone(),
            inbox: node.inbox.clone(),
            written: node.written,
            needed: node.needed,
            durable: node.durable,
        };
        Self {
            cluster: self.cluster.clone(),
            nodes: self.nodes.iter().map(node).collect(),
            meter: AuthMeter::default(),
            payload: self.payload.clone(),
            asked: self.asked,
            committed: self.committed,
            messages: self.messages,
        }
    }
}

impl<P: Audit> InMemory<P> {
    /// A cluster whose first replica leads, where there is a leader, and that has committed its
    /// first command.
    pub(crate) fn ready(size: usize, payload: usize) -> Self {
        let cluster = Cluster::new(ClusterId(1), size);
        let config = P::Config::for_cluster(&cluster).expect("a cluster of a size that is allowed");
        let node = |id: usize| {
            let durable = Durable::of(Incarnation(1), Vec::new());
            Node {
                replica: P::recover(NodeId(id as u8), config.clone(), durable).expect("empty disk"),
                effects: Effects::after_recovery(0),
                outbox: Outbox::after_recovery(0, P::INFO.links),
                inbox: VecDeque::new(),
                written: RecordNumber::ZERO,
                needed: RecordNumber::ZERO,
                durable: RecordNumber::ZERO,
            }
        };
        let mut ready = Self {
            nodes: (0..size).map(node).collect(),
            cluster,
            meter: AuthMeter::default(),
            payload: vec![7; payload].into(),
            asked: 0,
            committed: 0,
            messages: 0,
        };
        for id in 0..size {
            ready.step(id, Input::Start);
            ready.settle(id);
        }
        ready.step(0, Input::Campaign);
        ready.settle(0);
        ready.deliver();
        ready.round(1);
        ready
    }

    /// Proposes so many commands at once and runs until they are committed. Returns the messages
    /// and the commands of this round.
    pub(crate) fn round(&mut self, outstanding: usize) -> (u64, u64) {
        let (messages, committed) = (self.messages, self.committed);
        for _ in 0..outstanding {
            self.asked += 1;
            let command = Command {
                client: ClientId(self.asked),
                session: SessionId(1),
                request: RequestId(1),
                payload: self.payload.clone(),
                tag: Tag::none(),
            };
            self.step(0, Input::Propose(Batch::of(&[command])));
        }
        self.settle(0);
        self.deliver();
        let done = self.committed - committed;
        assert_eq!(done, outstanding as u64, "everything asked for is committed, once");
        (self.messages - messages, done)
    }

    /// Hands over messages until none is left; each node takes what has come as one burst.
    fn deliver(&mut self) {
        while self.nodes.iter().any(|node| !node.inbox.is_empty()) {
            for id in 0..self.nodes.len() {
                let burst = std::mem::take(&mut self.nodes[id].inbox);
                if burst.is_empty() {
                    continue;
                }
                for envelope in burst {
                    let env = Env::new(Duration::ZERO, &self.cluster, &Trusting, &self.meter);
                    let verified = P::verify(envelope, &env).expect("an honest message");
                    self.step(id, Input::Message(verified));
                }
                self.settle(id);
            }
        }
    }

    /// The burst is over: what was held back goes out, and the disk catches up.
    fn settle(&mut self, id: usize) {
        self.step(id, Input::Drained);
        while self.nodes[id].durable < self.nodes[id].needed {
            let upto = self.nodes[id].written;
            self.nodes[id].durable = upto;
            let free = self.nodes[id].outbox.durable(upto);
            for (to, message) in free {
                self.post(id, to, &message);
            }
            self.step(id, Input::Durable(upto));
            self.step(id, Input::Drained);
        }
    }

    fn step(&mut self, id: usize, input: Input<P>) {
        let env = Env::new(Duration::ZERO, &self.cluster, &Trusting, &self.meter);
        let node = &mut self.nodes[id];
        node.replica.step(input, &env, &mut node.effects);
        if let Some(why) = node.effects.halted() {
            panic!("{} halted: {why}", P::INFO.name);
        }
        let effects: Vec<_> = node.effects.drain().collect();
        for effect in effects {
            self.carry_out(id, effect);
        }
    }

    fn carry_out(&mut self, id: usize, effect: Effect<P>) {
        match effect {
            Effect::Write { number, needed, .. } => {
                self.nodes[id].written = number;
                if needed {
                    self.nodes[id].needed = number;
                }
            }
            Effect::Send { to, message, after } => {
                let now = self.nodes[id].outbox.offer(to, &message, after);
                self.post(id, now, &message);
            }
            Effect::Commit { batch, .. } if id == 0 => {
                self.committed += batch.len() as u64;
            }
            Effect::Refuse { why, .. } => panic!("{} refused: {why}", P::INFO.name),
            _ => {}
        }
    }

    fn post(&mut self, from: usize, to: NodeSet, message: &P::Message) {
        self.messages += to.len() as u64;
        for receiver in to.iter() {
            let envelope = Envelope { from: NodeId(from as u8), message: message.clone() };
            self.nodes[receiver.index()].inbox.push_back(envelope);
        }
    }
}
