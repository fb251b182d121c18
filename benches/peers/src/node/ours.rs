//! Raft and Multi-Paxos of this project, behind the smallest driver that honours the contract. The
//! disk has everything as soon as a burst is over, and the replica is told so with the next one;
//! promises wait for it in the outbox, as everywhere.

use super::Node;
use crate::tally::Tally;
use consensus_core::{
    AuthMeter, Authenticator, Batch, ClientId, Cluster, ClusterId, CommandRef, ConsensusProtocol,
    Durable, Effect, Effects, Env, Envelope, Incarnation, Input, LogIndex, NodeId, NodeSet, Outbox,
    ProtocolConfig, RecordNumber, RequestId, Role, SessionId, Signer, Tag,
};
use core::time::Duration;
use std::slice::ChunksExact;

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

/// A replica. With `FRAMED`, what comes in a burst is one batch and so one entry of the log, as the
/// runtime does it; without, each command is an entry of its own, as if nobody gathered them.
pub struct Ours<P: ConsensusProtocol, const FRAMED: bool> {
    id: NodeId,
    replica: P,
    cluster: Cluster,
    meter: AuthMeter,
    effects: Effects<P>,
    outbox: Outbox<P::Message>,
    leaving: Vec<(NodeSet, P::Message)>,
    /// Last record written, and last one that the replica was told is durable.
    written: RecordNumber,
    durable: RecordNumber,
    proposed: u64,
    tally: Tally,
}

impl<P: ConsensusProtocol, const FRAMED: bool> Ours<P, FRAMED> {
    /// A step in the midst of a burst: what may leave does so at its end.
    #[inline]
    fn step(&mut self, input: Input<P>) {
        self.take(input);
        if !self.effects.is_empty() {
            let mut leaving = std::mem::take(&mut self.leaving);
            self.carry_out(&mut |to, message| leaving.push((to, message)));
            self.leaving = leaving;
        }
    }

    #[inline]
    fn take(&mut self, input: Input<P>) {
        let env = Env::new(Duration::ZERO, &self.cluster, &Nobody, &self.meter);
        self.replica.step(input, &env, &mut self.effects);
    }

    fn carry_out(&mut self, leave: &mut impl FnMut(NodeSet, P::Message)) {
        if let Some(why) = self.effects.halted() {
            panic!("{} halted: {why}", P::INFO.name);
        }
        if let Some((first, count)) = self.effects.take_decided() {
            for index in (first.0..first.0 + count).map(LogIndex) {
                let batch = self.replica.decided(index).expect("what is given out is kept");
                for command in batch.iter() {
                    self.tally.apply(command.payload);
                }
            }
        }
        for effect in self.effects.drain() {
            match effect {
                Effect::Write { number, .. } => self.written = number,
                Effect::Send { to, message, after } => {
                    if let Some((to, message)) = self.outbox.post(to, message, after) {
                        leave(to, message);
                    }
                }
                Effect::Commit { batch, .. } => {
                    for command in batch.iter() {
                        self.tally.apply(command.payload);
                    }
                }
                Effect::Refuse { why, .. } => panic!("{} refused: {why}", P::INFO.name),
                _ => {}
            }
        }
    }
}

/// A message on its way, and who says it.
pub struct Letter<M> {
    from: usize,
    message: M,
}

fn post<M: Clone>(from: NodeId, to: NodeSet, message: M, send: &mut impl FnMut(usize, Letter<M>)) {
    let from = from.index();
    let mut receivers = to.iter();
    let Some(first) = receivers.next() else { return };
    for other in receivers {
        send(other.index(), Letter { from, message: message.clone() });
    }
    send(first.index(), Letter { from, message });
}

impl<P: ConsensusProtocol, const FRAMED: bool> Node for Ours<P, FRAMED> {
    type Message = Letter<P::Message>;

    fn start(id: usize) -> Self {
        let cluster = Cluster::new(ClusterId(1), 3);
        let config = P::Config::for_cluster(&cluster).expect("three replicas do");
        let (id, empty) = (NodeId(id as u8), Durable::of(Incarnation(1), Vec::new()));
        let mut node = Self {
            id,
            replica: P::recover(id, config, empty).expect("an empty disk"),
            cluster,
            meter: AuthMeter::default(),
            effects: Effects::after_recovery(0).in_place(),
            outbox: Outbox::after_recovery(0, P::INFO.links),
            leaving: Vec::new(),
            written: RecordNumber::ZERO,
            durable: RecordNumber::ZERO,
            proposed: 0,
            tally: Tally::default(),
        };
        node.step(Input::Start);
        node
    }

    fn campaign(&mut self) {
        self.step(Input::Campaign);
    }

    fn leads(&self) -> bool {
        self.replica.status().role == Role::Leader
    }

    fn begin(&mut self) {
        if self.durable < self.written {
            self.durable = self.written;
            self.step(Input::Durable(self.durable));
        }
    }

    fn hear(&mut self, letter: Letter<P::Message>) {
        let env = Env::new(Duration::ZERO, &self.cluster, &Nobody, &self.meter);
        let Letter { from, message } = letter;
        let envelope = Envelope { from: NodeId(from as u8), message };
        let verified = P::verify(envelope, &env).expect("an honest message");
        self.step(Input::Message(verified));
    }

    fn propose(&mut self, commands: ChunksExact<'_, u8>) {
        let first = self.proposed;
        self.proposed += commands.len() as u64;
        let commands = commands.zip(first..).map(|(payload, client)| CommandRef {
            client: ClientId(client),
            session: SessionId(1),
            request: RequestId(1),
            payload,
            tag: &[],
        });
        if FRAMED {
            self.step(Input::Propose(Batch::framed(commands)));
        } else {
            for command in commands {
                self.step(Input::Propose(Batch::framed(std::iter::once(command))));
            }
        }
    }

    fn flush(&mut self, send: &mut impl FnMut(usize, Self::Message)) {
        for (to, message) in self.leaving.drain(..) {
            post(self.id, to, message, send);
        }
        self.take(Input::Drained);
        if !self.effects.is_empty() {
            let id = self.id;
            self.carry_out(&mut |to, message| post(id, to, message, send));
        }
        self.outbox.synced(self.written);
        while let Some((to, message)) = self.outbox.pop() {
            post(self.id, to, message, send);
        }
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}
