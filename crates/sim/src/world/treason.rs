//! Traitors that forge, and what correct nodes must never show.

use super::World;
use super::event::Event;
use crate::traitor::Treason;
use consensus_core::{Audit, Certificate, Claim, Env, Message as _, NodeId, NodeSet, StateMachine};
use core::time::Duration;

/// A traitor that forges lets so much time pass before the next lie that nobody waits for.
const LIE_EVERY: (Duration, Duration) = (Duration::from_millis(2), Duration::from_millis(120));

impl<P: Audit, S: StateMachine> World<P, S> {
    /// Traitors that equivocate from now on tell these nodes the contrary, and all others (each
    /// other among them) the truth; each receiver is drawn anew if `None`.
    pub fn conspire(&mut self, faction: Option<NodeSet>) {
        self.faction = faction.map(|nodes| nodes.minus(self.setup.traitors));
    }

    /// O16 for the proofs that a correct node shows to others. False if one is false.
    pub(super) fn shows_the_truth(&mut self, from: NodeId, message: &P::Message) -> bool {
        let (size, correct) = (self.setup.cluster.size, self.correct());
        P::shows(message, size).iter().all(|certificate| {
            let Certificate { topic, value, signers } = *certificate;
            if signers.contains(from) {
                // Its disk has what it counted of its own, and now it says so.
                let own = self.claims.say(from, Claim::Once(topic, value));
                if !self.judge(from, own) {
                    return false;
                }
            }
            let verdict = self.claims.shown(certificate, correct, (size, P::INFO.faults));
            self.judge(from, verdict)
        })
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
        if self.lies_due[liar.index()] != at || self.treason[liar.index()] != Treason::Forge {
            return;
        }
        self.fold(16, u64::from(liar.0), 0);
        self.lie(liar, None);
        self.lie_later(liar);
    }

    fn lie(&mut self, liar: NodeId, intended: Option<&P::Message>) {
        if !self.is_running(liar) {
            return;
        }
        let trick = self.rng.next_u64();
        let now = self.clock_of(liar);
        let node = &self.nodes[liar.index()];
        let Some(replica) = &node.replica else { return };
        let env = Env::new(now, &self.setup.cluster, &self.keys[liar.index()], &node.meter);
        let Some(lie) = replica.forge(intended, &self.gossip.heard(), trick, &env) else { return };
        let peers = self.setup.cluster.peers_of(liar);
        let to = match self.rng.below(3) {
            0 => peers,
            1 => NodeSet::only(self.rng.pick(&peers.iter().collect::<Vec<_>>())),
            _ => self.some_of(peers),
        };
        self.fault(Treason::Forge.name());
        self.tell(|| format!("{liar} forges for {to:?}: {} {lie:?}", lie.kind().name));
        self.gossip.hear(liar, &lie, &mut self.rng);
        self.broadcast(liar, to, lie);
    }
}
