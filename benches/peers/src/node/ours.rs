//! Raft and Multi-Paxos of this project, behind the smallest driver that honours the contract, with
//! the means of our runtime's: it looks at things where they lie, and leaves out steps that nobody
//! waits for. The disk has everything as soon as a burst is over, and the replica is told so with
//! the next one, if it waits for that; promises wait for it in the outbox, as everywhere. A record
//! that the log keeps is on this disk as soon as it is in the log, as it is with the peers' storage
//! in memory.

use super::Node;
use crate::tally::Tally;
use consensus_core::{
    AuthMeter, Authenticator, Batch, ClientId, Cluster, ClusterId, CommandRef, ConsensusProtocol,
    DiskNews, Durable, Effect, Effects, Env, Envelope, Incarnation, Input, LogIndex, NodeId,
    NodeSet, ProtocolConfig, RecordNumber, RequestId, Role, SessionId, Signer, Tag,
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
    disk: DiskNews,
    /// Last record written.
    written: RecordNumber,
    proposed: u64,
    tally: Tally,
}

impl<P: ConsensusProtocol, const FRAMED: bool> Ours<P, FRAMED> {
    #[inline]
    fn step(&mut self, input: Input<P>) {
        let env = Env::new(Duration::ZERO, &self.cluster, &Nobody, &self.meter);
        self.replica.step(input, &env, &mut self.effects);
        if !self.effects.is_quiet() {
            self.carry_out();
        }
    }

    /// Nothing of a step that halts happens: messages leave when the burst is over.
    fn carry_out(&mut self) {
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
        if let Some(kept) = self.effects.kept().last() {
            self.written = kept.number;
        }
        for effect in self.effects.iter() {
            match effect {
                Effect::Write { number, .. } => self.written = *number,
                Effect::Commit { batch, .. } => {
                    for command in batch.iter() {
                        self.tally.apply(command.payload);
                    }
                }
                Effect::Refuse { why, .. } => panic!("{} refused: {why}", P::INFO.name),
                _ => {}
            }
        }
        self.effects.clear();
    }
}

/// A message on its way, and who says it.
pub struct Letter<M> {
    from: usize,
    message: M,
}

/// Says a message to each of its receivers.
#[inline]
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
            disk: DiskNews::default(),
            written: RecordNumber::ZERO,
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
        self.disk.synced(self.written);
        if let Some(upto) = self.disk.due(&self.replica) {
            self.step(Input::Durable(upto));
        }
    }

    #[inline(always)]
    fn hear(&mut self, letter: Letter<P::Message>) {
        let Letter { from, message } = letter;
        let envelope = Envelope { from: NodeId(from as u8), message };
        let env = Env::new(Duration::ZERO, &self.cluster, &Nobody, &self.meter);
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
        if let Some(upto) = self.disk.due(&self.replica) {
            self.step(Input::Durable(upto));
        }
        if self.replica.awaits_drained() {
            self.step(Input::Drained);
        }
        self.effects.synced(self.written);
        let id = self.id;
        self.effects.leave(|to, message| post(id, to, message, send));
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}
