//! Messages between replicas: when they leave, what becomes of them, when they arrive.

use super::World;
use super::event::Event;
use crate::network::Curse;
use crate::report::Finding;
use crate::traitor::Treason;
use consensus_core::{
    Audit, Env, Envelope, Fingerprint, Input, Links, Message, NodeId, NodeSet, StateMachine,
};
use core::time::Duration;

/// What a test wants done with a message that is about to leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    /// As usual.
    Pass,
    /// It is lost.
    Drop,
    /// It waits for [`World::release_held`].
    Hold,
    /// As usual, and a copy is kept for [`World::say_again`].
    Keep,
}

/// So many copies are kept, the newest.
const COPIES: usize = 256;

/// How many of them are said again each time, in ten thousand.
const AGAIN: u32 = 2_500;

pub(super) type Intercept<P> =
    Box<dyn FnMut(NodeId, NodeId, &<P as consensus_core::ConsensusProtocol>::Message) -> Fate>;

/// Old messages that a traitor keeps to say them again.
const KEPT_BY_TRAITORS: usize = 64;

impl<P: Audit, S: StateMachine> World<P, S> {
    /// A message leaves its node for real: it is counted, and held against what was said before.
    pub(super) fn transmit(&mut self, from: NodeId, to: NodeSet, message: P::Message) {
        let size = self.setup.message_size.map_or(0, |size| size(&message));
        let node = &mut self.nodes[from.index()];
        node.counters.on_sent(message.kind(), to.len(), size);
        if !self.is_correct(from) {
            return self.tamper(from, to, message);
        }
        for claim in P::claims(&message) {
            if let Err(finding) = self.claims.say(from, claim) {
                return self.fail(Some(from), finding);
            }
        }
        self.chronicle_sent(from, to, &message);
        if !self.shows_the_truth(from, &message) {
            return;
        }
        self.keep_for_rehearsals(from, to, &message);
        self.broadcast(from, to, message);
    }

    pub(super) fn broadcast(&mut self, from: NodeId, to: NodeSet, message: P::Message) {
        let hash = Fingerprint::of(&message).0;
        for receiver in to.iter() {
            let fate = match &mut self.intercept {
                Some(intercept) => intercept(from, receiver, &message),
                None => Fate::Pass,
            };
            match fate {
                Fate::Pass => self.dispatch(from, receiver, message.clone(), hash),
                Fate::Drop => self.tell(|| format!("{from} -> {receiver} dropped {message:?}")),
                Fate::Hold => self.held.push((from, receiver, message.clone(), hash)),
                Fate::Keep => {
                    if self.kept.len() == COPIES {
                        self.kept.pop_front();
                    }
                    self.kept.push_back((from, receiver, message.clone(), hash));
                    self.dispatch(from, receiver, message.clone(), hash);
                }
            }
        }
    }

    /// Puts one message on one link.
    fn dispatch(&mut self, from: NodeId, to: NodeId, message: P::Message, hash: u64) {
        if self.links.is_cut(from, to) {
            return self.fault("message to a cut link");
        }
        let fifo = P::INFO.links == Links::Fifo;
        let network = &self.setup.network;
        let delay = network.draw(from, to, &mut self.rng) + self.links.slowness(from, to);
        let chancy = !fifo && !self.links.is_reliable(from, to);
        if chancy && self.rng.chance(network.loss.max(self.links.storm)) {
            self.tell(|| format!("{from} -> {to} lost {message:?}"));
            return self.fault("message lost");
        }
        let mut delay = delay;
        if chancy && let Some(curse) = self.links.curse(from, message.kind()) {
            match curse {
                Curse::Lost => return self.fault("message of a cursed kind lost"),
                Curse::Late(most) => delay += self.rng.time(Duration::ZERO, most),
            }
            self.fault("message of a cursed kind late");
        }
        let network = &self.setup.network;
        if chancy && self.rng.chance(network.duplication) {
            let again = network.draw(from, to, &mut self.rng);
            self.schedule(from, to, message.clone(), hash, again);
            self.fault("message duplicated");
        }
        if chancy && self.rng.chance(self.setup.network.late_replay) {
            let late = self.rng.time(Duration::ZERO, self.setup.network.replay_within);
            self.schedule(from, to, message.clone(), hash, late);
            self.fault("message replayed late");
        }
        self.schedule(from, to, message, hash, delay);
    }

    fn schedule(
        &mut self,
        from: NodeId,
        to: NodeId,
        message: P::Message,
        hash: u64,
        delay: Duration,
    ) {
        let due = self.now + delay.as_nanos() as u64;
        let at = self.links.arrival(from, to, due, P::INFO.links == Links::Fifo);
        self.queue.push(at, Event::Deliver { from, to, message, hash });
    }

    pub(super) fn deliver(&mut self, from: NodeId, to: NodeId, message: P::Message, hash: u64) {
        let route = (u64::from(from.0) << 8) | u64::from(to.0);
        self.fold(1, route, hash);
        if self.links.is_cut(from, to) {
            return self.fault("message to a cut link");
        }
        let now = self.clock_of(to);
        let node = &mut self.nodes[to.index()];
        if node.replica.is_none() {
            return;
        }
        node.counters.on_received(message.kind());
        if let Some(tape) = self.tape() {
            tape.message(from, to, message.kind(), hash);
        }
        if self.setup.traitors.contains(to) {
            self.gossip.hear(from, &message, &mut self.rng);
        }
        let node = &mut self.nodes[to.index()];
        let keys = &self.keys[to.index()];
        let env = Env::new(now, &self.setup.cluster, keys, &node.meter);
        if let Some(log) = &mut self.log {
            let now = Duration::from_nanos(self.now);
            log.push(format!("{:>12.6} {from} -> {to} {message:?}", now.as_secs_f64()));
        }
        match P::verify(Envelope { from, message }, &env) {
            Ok(verified) => {
                if self.is_correct(from) || self.believes_the_truth(to, verified.message()) {
                    self.input(to, Input::Message(verified));
                }
            }
            Err(why) => {
                node.counters.rejected += 1;
                node.read_meter();
                self.tell(|| format!("{to} rejects a message of {from}: {why}"));
                if self.is_correct(from) {
                    let detail = format!("{to} rejects what correct {from} said: {why}");
                    let name = "honest messages are let in";
                    self.fail(Some(to), Finding::new("O18", name, detail));
                }
            }
        }
    }

    /// Looks at every message that is about to leave and decides what becomes of it. The last one
    /// given counts; `None` ends it.
    pub fn intercept(&mut self, filter: impl FnMut(NodeId, NodeId, &P::Message) -> Fate + 'static) {
        self.intercept = Some(Box::new(filter));
    }

    /// Loses every message for which this holds, until [`pass_all`](Self::pass_all).
    pub fn drop_if(
        &mut self,
        mut filter: impl FnMut(NodeId, NodeId, &P::Message) -> bool + 'static,
    ) {
        self.intercept(
            move |from, to, message| {
                if filter(from, to, message) { Fate::Drop } else { Fate::Pass }
            },
        );
    }

    /// Ends [`intercept`](Self::intercept) and [`drop_if`](Self::drop_if). Held messages stay held.
    pub fn pass_all(&mut self) {
        self.intercept = None;
    }

    /// Sends what was held, in order.
    pub fn release_held(&mut self) {
        for (from, to, message, hash) in std::mem::take(&mut self.held) {
            self.dispatch(from, to, message, hash);
        }
    }

    /// Some of the copies that were kept arrive: a network may deliver late and more than once.
    pub fn say_again(&mut self) {
        let copies = std::mem::take(&mut self.kept);
        for (from, to, message, hash) in &copies {
            if self.rng.chance(AGAIN) {
                self.fault("message replayed late");
                self.dispatch(*from, *to, message.clone(), *hash);
            }
        }
        self.kept = copies;
    }

    /// The copies that were kept are lost.
    pub fn forget_kept(&mut self) {
        self.kept.clear();
    }

    /// Does somebody look at messages before they leave?
    pub(crate) fn is_intercepted(&self) -> bool {
        self.intercept.is_some()
    }

    /// What a traitor wants to say, and what it says.
    fn tamper(&mut self, from: NodeId, to: NodeSet, message: P::Message) {
        let kept = &mut self.old_messages[from.index()];
        if kept.len() == KEPT_BY_TRAITORS {
            let place = self.rng.place(KEPT_BY_TRAITORS);
            kept.swap_remove(place);
        }
        kept.push(message.clone());
        self.gossip.hear(from, &message, &mut self.rng);
        let treason = self.treason[from.index()];
        match treason {
            Treason::None | Treason::LieToClients => self.broadcast(from, to, message),
            Treason::Mute => self.fault(treason.name()),
            Treason::Selective => {
                let some = self.some_of(to);
                self.fault(treason.name());
                self.broadcast(from, some, message);
            }
            Treason::Replay => {
                let place = self.rng.place(self.old_messages[from.index()].len());
                let old = self.old_messages[from.index()][place].clone();
                self.fault(treason.name());
                self.broadcast(from, to, old);
                self.broadcast(from, to, message);
            }
            Treason::Equivocate => self.equivocate(from, to, message),
            Treason::Forge => self.deceive(from, to, message),
            Treason::Insist => self.insist(from, to, message),
        }
    }

    /// Some hear the message, some its contrary, some both.
    fn equivocate(&mut self, from: NodeId, to: NodeSet, message: P::Message) {
        let now = self.now();
        let keys = &self.keys[from.index()];
        let meter = &self.nodes[from.index()].meter;
        let env = Env::new(now, &self.setup.cluster, keys, meter);
        let Some(contrary) = P::equivocate(&message, &env) else {
            return self.broadcast(from, to, message);
        };
        self.fault(Treason::Equivocate.name());
        let some = match self.faction {
            Some(faction) => to.and(faction),
            None => self.some_of(to.and(self.correct())),
        };
        let both = match self.faction {
            Some(_) => NodeSet::EMPTY,
            None => self.some_of(some).and(self.some_of(some)),
        };
        self.tell(|| format!("{from} lies to {some:?}: {contrary:?}"));
        self.broadcast(from, to.minus(some).or(both), message);
        self.broadcast(from, some, contrary);
    }

    pub(super) fn some_of(&mut self, nodes: NodeSet) -> NodeSet {
        nodes.iter().filter(|_| self.rng.chance(5_000)).collect()
    }
}
