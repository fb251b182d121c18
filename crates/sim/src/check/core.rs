//! Who is healed, and what a healed cluster owes to operators: the members that they want, and no
//! election because somebody was away.

use super::Run;
use crate::report::Finding;
use consensus_core::{Audit, Change, FaultModel, Membership, NodeId, NodeSet, Role};
use core::time::Duration;

/// So many longest election timeouts long a node is away.
const AWAY: u32 = 4;

impl<P: Audit> Run<'_, P> {
    /// The correct nodes that still have a disk.
    pub(super) fn able(&self) -> NodeSet {
        self.world.correct().minus(self.world.condemned())
    }

    /// Those of them that are members.
    pub(super) fn able_members(&self) -> NodeSet {
        self.able().and(self.world.decided_members().members())
    }

    /// Chooses a random core of at least a quorum of correct nodes, and heals it: nodes run, links
    /// among them work. Everything else stays as it is, and faults of links to and from the others
    /// go on.
    pub(super) fn heal_core(&mut self) -> NodeSet {
        let quorum = self.world.live_quorum();
        let mut core = self.able().and(self.concerned(self.able()));
        // Those who know of the newest members may not be among these.
        while !self.able().and(self.concerned(core)).minus(core).is_empty() {
            core = core.or(self.able().and(self.concerned(core)));
        }
        let least = quorum.min(core.len());
        let size = self.rng.between(least as u64, core.len() as u64) as usize;
        let mut kept = self.options.core_includes;
        while core.len() > size {
            let nodes: Vec<NodeId> = core.minus(kept).iter().collect();
            if nodes.is_empty() {
                break;
            }
            let node = self.rng.pick(&nodes);
            if self.is_core(core.without(node)) {
                core.remove(node);
            } else {
                kept.insert(node);
            }
        }
        self.world.make_reliable(core);
        self.revive(core);
        self.world.heal_among(core);
        for other in self.able().minus(core).iter() {
            self.hurt(other);
        }
        core
    }

    /// All members of whatever may be in force among these.
    fn concerned(&self, among: NodeSet) -> NodeSet {
        let all = self.world.in_force(among).map(Membership::members);
        all.fold(NodeSet::EMPTY, NodeSet::or)
    }

    /// Is this a quorum, by the members that were decided and by any that some of them know of?
    fn is_core(&self, core: NodeSet) -> bool {
        if P::INFO.faults == FaultModel::Byzantine {
            return core.len() >= P::INFO.quorum(self.options.nodes);
        }
        self.world.in_force(core).all(|members| self.world.is_live(members, core))
    }

    /// O13 for operators: a healed cluster gets the members that its operator wants, be it that he
    /// asks again and again, or once each leader that does not say no: all that are left, and one
    /// more if there is one.
    pub(super) fn reform(&mut self) {
        if self.world.violation().is_some() || self.options.operators.changes.is_none() {
            return;
        }
        let mut wanted = self.able_members();
        let spare = self.able().minus(wanted).iter().next();
        if let Some(node) = spare {
            self.revive(NodeSet::only(node));
            self.delay(node);
            wanted.insert(node);
        }
        let bound = self.bound();
        let end = self.world.now() + bound;
        let patient = self.rng.chance(5_000);
        let mut waits = None;
        let done = |members: &Membership| {
            !members.is_joint() && members.voters == wanted && members.learners.is_empty()
        };
        while !done(self.world.decided_members()) && self.world.violation().is_none() {
            if self.world.now() >= end {
                let now = self.world.decided_members().clone();
                let detail = format!("{wanted:?} were to be the voters; there are {now:?}");
                return self.stuck("members change", bound, detail);
            }
            if let Some(leader) = self.world.leader()
                && let Some((seen, _)) = self.world.members(leader).cloned()
                && !done(&seen)
                && (!patient || waits != self.answered_by(leader))
            {
                waits = self.answered_by(leader);
                let change = Change::of(&seen);
                let change = Change { voters: wanted, learners: NodeSet::EMPTY, ..change };
                self.world.change_members(leader, change);
            }
            self.advance(self.world.now() + Duration::from_millis(100), |_| false);
        }
    }

    /// What a patient operator looks at while it waits for a leader: its epoch, and how often it
    /// said no.
    fn answered_by(&self, leader: NodeId) -> Option<(NodeId, u64, usize)> {
        let status = self.world.status(leader)?;
        Some((leader, status.epoch, self.world.refused_changes(leader).len()))
    }

    /// Who is to join hears nobody for longer than an election timeout, in some runs: it catches up
    /// all the same, and fast enough in the end.
    fn delay(&mut self, node: NodeId) {
        if self.rng.chance(5_000) {
            self.world.fault("one that joins hears nothing for long");
            let time = self.options.timing.election_max * self.rng.between(1, 3) as u32;
            let others = self.world.cluster().peers_of(node);
            others.iter().for_each(|other| self.world.clog(other, node, time));
        }
    }

    /// O14 for nodes that come back: members that were away, or saw everybody but their leader, or
    /// heard nobody, or were removed and do not know it, cause no election while a quorum hears its
    /// leader.
    pub(super) fn disturb(&mut self) {
        if self.world.violation().is_some() || !self.world.traitors().is_empty() {
            return;
        }
        let Some(leader) = self.world.leader().filter(|_| self.rng.chance(3_000)) else { return };
        let epoch = self.world.status(leader).map(|status| status.epoch);
        let away = self.who_is_away(leader);
        if away.is_empty() {
            return;
        }
        let election = self.options.timing.election_max;
        let how = self.rng.below(4);
        away.iter().for_each(|node| self.part(node, leader, how));
        self.advance(self.world.now() + election * AWAY, |_| false);
        if self.rng.chance(3_000) {
            away.iter().for_each(|node| self.world.crash(node));
            self.revive(away);
        }
        self.world.heal_all();
        self.advance(self.world.now() + election * AWAY, |_| false);
        let now = self.world.status(leader);
        let leads = now.is_some_and(|status| status.role == Role::Leader);
        let undisturbed = leads && now.map(|status| status.epoch) == epoch;
        if !undisturbed && self.world.violation().is_none() {
            let detail = format!(
                "{away:?} were away for a while and came back; {leader} led in epoch {epoch:?} \
                 and is now {now:?}"
            );
            self.world.fail(None, Finding::new("O14", "no needless election", detail));
        }
    }

    /// Can these decide for a leader that they have, though they need not be able to elect one? The
    /// others are too few for that.
    fn decide(&self, nodes: NodeSet) -> bool {
        if P::INFO.faults == FaultModel::Byzantine {
            return self.is_core(nodes);
        }
        self.world.in_force(nodes).all(|members| self.world.can_decide(members, nodes))
    }

    /// Some, without whom the leader can still decide; one as a rule.
    fn who_is_away(&mut self, leader: NodeId) -> NodeSet {
        let mut away = NodeSet::EMPTY;
        let several = self.rng.chance(4_000);
        let mut others: Vec<NodeId> = self.able().without(leader).iter().collect();
        while let Some(place) = (!others.is_empty()).then(|| self.rng.place(others.len())) {
            let more = away.or(NodeSet::only(others.swap_remove(place)));
            if self.decide(self.able_members().minus(more)) {
                away = more;
            }
            if !several && !away.is_empty() {
                break;
            }
        }
        away
    }

    /// A node loses everybody, or the leader only, or no longer hears anybody, or the leader.
    fn part(&mut self, node: NodeId, leader: NodeId, how: u64) {
        match how {
            0 => self.world.isolate(node),
            1 => {
                self.world.cut(leader, node);
                self.world.cut(node, leader);
            }
            2 => {
                let peers = self.world.cluster().peers_of(node);
                peers.iter().for_each(|peer| self.world.cut(peer, node));
            }
            _ => self.world.cut(leader, node),
        }
    }
}
