//! Traitors that forge, and what correct nodes must never show.

use super::World;
use super::event::Event;
use crate::traitor::Treason;
use consensus_core::{Audit, Claim, Env, Message as _, NodeId, NodeSet, Proof, StateMachine};
use core::time::Duration;

/// A traitor that forges lets so much time pass before the next lie that nobody waits for.
const LIE_EVERY: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(120));

impl<P: Audit, S: StateMachine> World<P, S> {
    /// Traitors that equivocate from now on tell these nodes the contrary, and all others (each
    /// other among them) the truth; each receiver is drawn anew if `None`.
    pub fn conspire(&mut self, faction: Option<NodeSet>) {
        self.faction = faction.map(|nodes| nodes.minus(self.setup.traitors));
    }

    /// O16 for what a correct node says of others. False if it is not true.
    pub(super) fn shows_the_truth(&mut self, from: NodeId, message: &P::Message) -> bool {
        for proof in P::shows(message, self.setup.cluster.size) {
            let (Proof::Quorum(certificate) | Proof::Quote(certificate)) = &proof;
            if certificate.signers.contains(from) {
                // Its disk has what it counted of its own, and now it says so.
                let own = Claim::Once(certificate.topic, certificate.value);
                let own = self.claims.say(from, own);
                if !self.judge(from, own) {
                    return false;
                }
            }
            if !self.is_true(from, &proof) {
                return false;
            }
        }
        true
    }

    /// O16 for what a correct node lets in.
    pub(super) fn believes_the_truth(&mut self, node: NodeId, message: &P::Message) -> bool {
        let proofs = P::shows(message, self.setup.cluster.size);
        !self.is_correct(node) || proofs.iter().all(|proof| self.is_true(node, proof))
    }

    fn is_true(&mut self, node: NodeId, proof: &Proof) -> bool {
        let world = (self.setup.cluster.size, P::INFO.faults);
        let verdict = self.claims.shown(proof, self.correct(), world);
        self.judge(node, verdict)
    }

    /// What a traitor says in place of a message, or beside it.
    pub(super) fn deceive(&mut self, liar: NodeId, to: NodeSet, message: P::Message) {
        if self.rng.chance(5_000) {
            self.lie(liar, Some(&message));
        }
        if self.rng.chance(8_000) {
            self.broadcast(liar, to, message);
        }
    }

    pub(super) fn lie_later(&mut self, liar: NodeId) {
        let (least, most) = LIE_EVERY;
        let at = self.now + self.rng.time(least, most).as_nanos() as u64;
        self.lies_due[liar.index()] = at;
        self.queue.push(at, Event::Lie { node: liar, at });
    }

    /// A traitor has something to say that nobody waits for.
    pub(super) fn lie_unasked(&mut self, liar: NodeId, at: u64) {
        if self.lies_due[liar.index()] != at || !self.treason[liar.index()].makes_up() {
            return;
        }
        self.fold(16, u64::from(liar.0), 0);
        self.lie(liar, None);
        self.lie_later(liar);
    }

    /// A traitor says the same kind of lie in place of each message, where it knows one.
    pub(super) fn insist(&mut self, liar: NodeId, to: NodeSet, message: P::Message) {
        let trick = self.tricks[liar.index()];
        match self.made_up(liar, Some(&message), trick) {
            Some(lie) => self.say_lie(liar, to, lie),
            None => self.broadcast(liar, to, message),
        }
    }

    fn lie(&mut self, liar: NodeId, intended: Option<&P::Message>) {
        let insists = self.treason[liar.index()] == Treason::Insist;
        let trick = if insists { self.tricks[liar.index()] } else { self.rng.next_u64() };
        let Some(lie) = self.made_up(liar, intended, trick) else { return };
        let peers = self.correct(); // They do not lie to each other.
        let to = match self.rng.below(3) {
            _ if insists => peers,
            0 => peers,
            1 => NodeSet::only(self.rng.pick(&peers.iter().collect::<Vec<_>>())),
            _ => self.some_of(peers),
        };
        self.say_lie(liar, to, lie);
    }

    fn made_up(
        &self,
        liar: NodeId,
        intended: Option<&P::Message>,
        trick: u64,
    ) -> Option<P::Message> {
        let node = &self.nodes[liar.index()];
        let replica = node.replica.as_ref().filter(|_| !node.paused)?;
        let keys = &self.keys[liar.index()];
        let env = Env::new(self.clock_of(liar), &self.setup.cluster, keys, &node.meter);
        replica.forge(intended, &self.gossip.heard(), trick, &env)
    }

    fn say_lie(&mut self, liar: NodeId, to: NodeSet, lie: P::Message) {
        self.fault(self.treason[liar.index()].name());
        self.tell(|| format!("{liar} lies to {to:?}: {} {lie:?}", lie.kind().name));
        self.gossip.hear(liar, &lie, &mut self.rng);
        self.broadcast(liar, to, lie);
    }
}
