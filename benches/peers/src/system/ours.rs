//! Raft and Multi-Paxos of this project, behind the smallest driver that honours the contract. The
//! disk is durable as soon as a burst is over; promises still wait for it in the outbox.

use super::System;
use crate::tally::{Source, Tally};
use consensus_core::{
    AuthMeter, Authenticator, Batch, ClientId, Cluster, ClusterId, CommandRef, ConsensusProtocol,
    Durable, Effect, Effects, Env, Envelope, Incarnation, Input, NodeId, NodeSet, Outbox,
    ProtocolConfig, RecordNumber, RequestId, SessionId, Signer, Tag,
};
use core::time::Duration;

/// How commands become entries of the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    /// As the runtime does it: what has come in a burst is one batch, and one entry.
    Burst,
    /// Each command is a batch of its own, as if nobody gathered them.
    Command,
}

/// These algorithms sign nothing.
struct Nobody;

impl Authenticator for Nobody {
    fn sign(&self, _bytes: &[u8]) -> Tag {
        Tag::none()
    }

    fn check(&self, _signer: Signer, _bytes: &[u8], _tag: &Tag) -> bool {
        true
    }
}

struct Node<P: ConsensusProtocol> {
    replica: P,
    effects: Effects<P>,
    outbox: Outbox<P::Message>,
    /// Last record written, and last one that the replica was told is durable.
    written: RecordNumber,
    durable: RecordNumber,
    tally: Tally,
}

/// What is on its way to each node.
struct Network<M> {
    inboxes: Vec<Vec<Envelope<M>>>,
    messages: u64,
}

impl<M: Clone> Network<M> {
    fn post(&mut self, from: NodeId, to: NodeSet, message: M) {
        self.messages += to.len() as u64;
        let mut receivers = to.iter();
        let Some(first) = receivers.next() else { return };
        for other in receivers {
            self.inboxes[other.index()].push(Envelope { from, message: message.clone() });
        }
        self.inboxes[first.index()].push(Envelope { from, message });
    }
}

/// A cluster of three.
pub struct Ours<P: ConsensusProtocol> {
    cluster: Cluster,
    meter: AuthMeter,
    framing: Framing,
    nodes: Vec<Node<P>>,
    network: Network<P::Message>,
    spare: Vec<Envelope<P::Message>>,
    proposed: u64,
}

impl<P: ConsensusProtocol> Ours<P> {
    /// A cluster whose first replica leads.
    pub fn new(framing: Framing) -> Self {
        let cluster = Cluster::new(ClusterId(1), 3);
        let config = P::Config::for_cluster(&cluster).expect("three replicas do");
        let node = |id| {
            let durable = Durable::of(Incarnation(1), Vec::new());
            Node {
                replica: P::recover(NodeId(id), config.clone(), durable).expect("an empty disk"),
                effects: Effects::after_recovery(0),
                outbox: Outbox::after_recovery(0, P::INFO.links),
                written: RecordNumber::ZERO,
                durable: RecordNumber::ZERO,
                tally: Tally::default(),
            }
        };
        let mut ours = Self {
            nodes: (0..3).map(node).collect(),
            cluster,
            meter: AuthMeter::default(),
            framing,
            network: Network { inboxes: (0..3).map(|_| Vec::new()).collect(), messages: 0 },
            spare: Vec::new(),
            proposed: 0,
        };
        for id in 0..3 {
            ours.step(id, Input::Start);
        }
        ours.step(0, Input::Campaign);
        for _ in 0..6 {
            ours.everybody();
        }
        ours
    }

    fn everybody(&mut self) {
        for id in 0..3 {
            self.take_in(id);
            self.settle(id);
        }
    }

    /// Steps a node with what has come for it: first what its disk has done meanwhile, then what
    /// others said.
    fn take_in(&mut self, id: usize) {
        let Node { written, durable, .. } = &mut self.nodes[id];
        if *durable < *written {
            *durable = *written;
            let upto = *written;
            self.step(id, Input::Durable(upto));
        }
        let spare = std::mem::take(&mut self.spare);
        let mut burst = std::mem::replace(&mut self.network.inboxes[id], spare);
        for envelope in burst.drain(..) {
            let env = Env::new(Duration::ZERO, &self.cluster, &Nobody, &self.meter);
            let verified = P::verify(envelope, &env).expect("an honest message");
            self.step(id, Input::Message(verified));
        }
        self.spare = burst;
    }

    /// The burst is over: what was held back goes out, and the disk, which is done at once, lets
    /// promises go.
    fn settle(&mut self, id: usize) {
        self.step(id, Input::Drained);
        let Node { outbox, written, .. } = &mut self.nodes[id];
        outbox.synced(*written);
        while let Some((to, message)) = outbox.pop() {
            self.network.post(NodeId(id as u8), to, message);
        }
    }

    fn step(&mut self, id: usize, input: Input<P>) {
        let env = Env::new(Duration::ZERO, &self.cluster, &Nobody, &self.meter);
        let Node { replica, effects, outbox, written, tally, .. } = &mut self.nodes[id];
        replica.step(input, &env, effects);
        if let Some(why) = effects.halted() {
            panic!("{} halted: {why}", P::INFO.name);
        }
        if effects.is_empty() {
            return;
        }
        for effect in effects.drain() {
            match effect {
                Effect::Write { number, .. } => *written = number,
                Effect::Send { to, message, after } => {
                    let now = outbox.offer(to, &message, after);
                    self.network.post(NodeId(id as u8), now, message);
                }
                Effect::Commit { batch, .. } => {
                    for command in batch.iter() {
                        tally.apply(command.payload);
                    }
                }
                Effect::Refuse { why, .. } => panic!("{} refused: {why}", P::INFO.name),
                _ => {}
            }
        }
    }

    fn propose(&mut self, source: &mut Source, count: usize) {
        let first = self.proposed;
        self.proposed += count as u64;
        let commands = source.commands(count).zip(first..).map(|(payload, client)| CommandRef {
            client: ClientId(client),
            session: SessionId(1),
            request: RequestId(1),
            payload,
            tag: &[],
        });
        match self.framing {
            Framing::Burst if count > 0 => self.step(0, Input::Propose(Batch::framed(commands))),
            Framing::Burst => {}
            Framing::Command => {
                for command in commands {
                    self.step(0, Input::Propose(Batch::framed(std::iter::once(command))));
                }
            }
        }
    }
}

impl<P: ConsensusProtocol> System for Ours<P> {
    fn turn(&mut self, source: &mut Source, window: usize) {
        self.take_in(0);
        let outstanding = self.proposed - self.nodes[0].tally.applied;
        self.propose(source, window - outstanding as usize);
        self.settle(0);
        for follower in 1..3 {
            self.take_in(follower);
            self.settle(follower);
        }
    }

    fn messages(&self) -> u64 {
        self.network.messages
    }

    fn tallies(&self) -> Vec<Tally> {
        self.nodes.iter().map(|node| node.tally).collect()
    }

    fn applied(&self) -> u64 {
        self.nodes[0].tally.applied
    }
}
