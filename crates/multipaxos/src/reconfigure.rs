//! Other members (§3). A change is a value like others: chosen in slot i, it says who votes in the
//! slots after i. The crate page has the argument why this is safe.

use crate::leader::{Leader, Phase};
use crate::members::change;
use crate::message::{Message, Promise};
use crate::node::Node;
use crate::replica::{MultiPaxos, Out, Role, Timer};
use consensus_core::mutant::planted;
use consensus_core::{
    Batch, Change, ChangeRefusal, Delay, Effects, Env, LogIndex, Membership, NodeId, NodeSet,
};

impl MultiPaxos {
    /// An operator wants other members.
    pub(crate) fn on_change(&mut self, wish: &Change, effects: Out<'_>) {
        let known = self.leader();
        let Role::Leader(leader) = &mut self.role else {
            effects.refuse_change(ChangeRefusal::NotLeader(known));
            return;
        };
        match leader.sound(wish, &self.node) {
            Ok(members) => {
                leader.wish = Some(members);
                leader.phase = Phase::Draining;
                leader.propose_members(&mut self.node, effects);
            }
            Err(why) => effects.refuse_change(why),
        }
    }

    /// A leader has news of its own phase 1: it is still asking new members.
    pub(crate) fn on_promise_to_leader(
        &mut self,
        from: NodeId,
        promise: Promise,
        env: &Env<'_>,
        effects: Out<'_>,
    ) {
        let Role::Leader(leader) = &mut self.role else { return };
        if leader.phase == Phase::Asking {
            leader.scout.on_promise(from, promise, &mut self.node, effects);
            leader.go_on(&mut self.node, env, effects);
        }
    }

    /// A follower tells how far it knows what is chosen, as far as its disk would remember who
    /// votes.
    pub(crate) fn on_known(
        &mut self,
        from: NodeId,
        known: LogIndex,
        env: &Env<'_>,
        effects: Out<'_>,
    ) {
        if let Role::Leader(leader) = &mut self.role {
            leader.on_known(from, known);
            self.settle(env, effects);
        }
    }

    /// This replica does not vote, and there is no leader: perhaps because those who do vote do not
    /// know it yet. A change is chosen by the members before, and their leader may be gone.
    pub(crate) fn tell_voters(&self, effects: Out<'_>) {
        let upto = self.node.learner.upto();
        if !planted("M102") {
            effects.send(self.node.voters().without(self.node.id), Message::Known { upto });
        }
    }

    /// A replica without a vote says how far it knows what is chosen. Who knows less asks it; who
    /// knows more tells it, if it is a member: it may have a vote.
    pub(crate) fn on_known_by(&mut self, from: NodeId, upto: LogIndex, effects: Out<'_>) {
        let known = self.node.learner.upto();
        if known < upto && !matches!(self.role, Role::Leader(_)) {
            effects.reached("told of more by one without a vote");
            self.node.ask(from, effects);
        }
        if known > upto && self.node.peers().contains(from) {
            self.on_learn(from, upto.next(), effects);
        }
    }

    /// One who has no vote, by members that it does not know of yet: it was removed, and may not
    /// know it. With others of its kind, or with a voter that hears nobody, it might raise the
    /// ballot and depose the leader of those who vote. It gets no answer but what it missed.
    pub(crate) fn is_outdated(&mut self, from: NodeId, upto: LogIndex, effects: Out<'_>) -> bool {
        let outdated = upto < self.node.version() && !self.node.voters().contains(from);
        if outdated && !planted("M141") {
            effects.reached("one without a vote would raise the ballot");
            self.on_learn(from, upto.next(), effects);
            return true;
        }
        false
    }

    /// Is a change of members final? Then whoever was removed may be switched off, and a leader
    /// that does not vote makes room for one that does.
    pub(crate) fn settle(&mut self, env: &Env<'_>, effects: Out<'_>) {
        let Role::Leader(leader) = &mut self.role else { return };
        if !leader.is_settled(&self.node) {
            return;
        }
        let version = self.node.version();
        if self.node.finish(version, effects) {
            leader.beat(&self.node, env, effects);
        }
        if !self.node.is_voter() && !planted("M86") {
            effects.reached("removed leader makes room");
            let heir = leader.heir(&self.node);
            effects.send(heir, Message::TimeoutNow { ballot: leader.ballot, ask: false });
            self.become_beaten(env, effects);
        }
    }
}

impl Leader {
    /// The members that result from a change that can begin now.
    fn sound(&self, wish: &Change, node: &Node) -> Result<Membership, ChangeRefusal> {
        // During a hand-over nothing new begins, so that the heir comes to know all that is chosen.
        let handing_over = self.transfer.is_some() && !planted("M134");
        if self.phase != Phase::Open || handing_over {
            return Err(ChangeRefusal::UnderWay);
        }
        let members = wish.apply_to(node.learner.members().current())?;
        if node.config.suits(&members) { Ok(members) } else { Err(ChangeRefusal::Impossible) }
    }

    /// A change goes into the next slot, once all earlier ones are executed, and nothing into later
    /// ones before it is chosen. If an earlier slot were open, a later leader might choose another
    /// change there, and then this one, which was made for other members.
    fn propose_members(&mut self, node: &mut Node, effects: &mut Effects<MultiPaxos>) {
        if self.phase != Phase::Draining || (!self.open.is_empty() && !planted("M103")) {
            return;
        }
        let Some(members) = self.wish.take() else { return };
        self.phase = Phase::Open;
        let slot = self.next;
        self.next = slot.next();
        self.propose_in(slot, members.to_batch(), node, effects);
        self.stop_at(slot);
    }

    fn stop_at(&mut self, slot: LogIndex) {
        if !planted("M05") {
            self.phase = Phase::Change(slot);
        }
    }

    /// Proposes what phase 1 demands, slot after slot, and stops at a change of members, be it
    /// demanded or known to be chosen behind a gap: what it says governs the slots after it.
    pub(crate) fn adopt(&mut self, node: &mut Node, effects: &mut Effects<MultiPaxos>) {
        self.next = self.next.max(node.first_unchosen());
        let last = self.scout.last(node);
        while self.phase == Phase::Open && self.next <= last {
            let slot = self.next;
            self.next = slot.next();
            self.adopted = slot;
            let value = self.value(slot, node, effects);
            let skipped = planted("M181") && node.learner.knows(slot);
            if change(&value, slot).is_some() && slot > node.learner.upto() && !skipped {
                effects.reached("change of members found in phase 1");
                self.stop_at(slot);
            }
            let hole = planted("M31") && self.scout.is_hole(slot);
            if !node.learner.knows(slot) && !hole {
                self.propose_in(slot, value, node, effects);
            }
        }
        if self.phase == Phase::Open || planted("M200") {
            self.scout.forget_values();
        }
    }

    fn value(&self, slot: LogIndex, node: &Node, effects: &mut Effects<MultiPaxos>) -> Batch {
        if let Some(chosen) = node.learner.get(slot, &node.acceptor) {
            return chosen.clone();
        }
        let hole = self.scout.is_hole(slot);
        effects.reached(if hole {
            "hole filled with a no-op"
        } else {
            "value adopted from phase 1"
        });
        self.scout.value(slot, node)
    }

    /// Slots up to here are chosen. If a change of members is among them, its members must promise
    /// this ballot, too, before anything is proposed to them.
    pub(crate) fn pass(
        &mut self,
        upto: LogIndex,
        node: &mut Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        self.propose_members(node, effects);
        let Phase::Change(slot) = self.phase else { return };
        if upto < slot {
            return;
        }
        self.phase = Phase::Asking;
        self.meet(node, env, effects);
        self.go_on(node, env, effects);
    }

    /// New members are in force.
    fn meet(&mut self, node: &Node, env: &Env<'_>, effects: &mut Effects<MultiPaxos>) {
        let members = node.learner.members().current().members();
        self.leaving = self.leaving.or(self.members).minus(members);
        self.members = members;
        self.version = node.version();
        // They had no time to answer yet.
        self.heard = members;
        self.void_lease();
        effects.set_timer(Timer::CheckQuorum, Delay::fixed(env.cluster.timing.election_max));
        self.beat(node, env, effects);
        self.scout.ask(node, effects);
    }

    /// Goes on to propose, if a quorum of those who vote now has promised.
    pub(crate) fn go_on(
        &mut self,
        node: &mut Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        if self.phase != Phase::Asking {
            return;
        }
        if self.version != node.version() {
            self.meet(node, env, effects);
        }
        if self.scout.elected(node) || planted("M83") {
            effects.reached("new members promised");
            self.phase = Phase::Open;
            if !planted("M122") {
                self.adopt(node, effects);
            }
        }
    }

    fn on_known(&mut self, from: NodeId, known: LogIndex) {
        self.known.insert(from, known);
        self.receivers.knows(from, known);
        if known >= self.version {
            self.leaving.remove(from);
        }
    }

    /// Do the voters remember who votes, without those who voted before? So many that some of
    /// them are among any new leader's quorum.
    fn is_settled(&self, node: &Node) -> bool {
        let version = node.version();
        let knows = |id: &NodeId| self.known.get(id).is_some_and(|known| *known >= version);
        let mut knowing: NodeSet = self.known.keys().copied().filter(knows).collect();
        if node.known() >= version {
            knowing.insert(node.id);
        }
        let enough = node.is_phase_2_quorum(knowing) || planted("M85");
        enough && self.phase == Phase::Open && version > node.finished()
    }

    /// Who is to lead after a leader that was removed: the voter that knows most.
    fn heir(&self, node: &Node) -> NodeSet {
        let voters = node.voters().iter();
        let known = |id: &NodeId| self.known.get(id).copied().unwrap_or(LogIndex::ZERO);
        voters.max_by_key(known).map(NodeSet::from).unwrap_or(NodeSet::EMPTY)
    }

    /// All who are told that there is a leader: those who were removed, too, until they know.
    pub(crate) fn audience(&self, node: &Node) -> NodeSet {
        node.peers().or(self.leaving).without(node.id)
    }
}

impl Node {
    /// The slot that says who votes now.
    pub(crate) fn version(&self) -> LogIndex {
        self.learner.members().current().version
    }

    /// The last change of members that is known to be final.
    pub(crate) fn finished(&self) -> LogIndex {
        self.finished
    }

    /// Changes of members up to this version are final. True if that is news.
    pub(crate) fn finish(&mut self, version: LogIndex, effects: &mut Effects<MultiPaxos>) -> bool {
        let current = self.version();
        if current > version || current <= self.finished {
            return false;
        }
        self.finished = current;
        effects.reached("change of members is final");
        effects.members(self.learner.members().current().clone(), true);
        true
    }

    /// How far this replica knows what is chosen, and will know who votes after a crash.
    pub(crate) fn known(&self) -> LogIndex {
        let upto = self.learner.upto();
        if planted("M84") {
            return upto;
        }
        let forgettable = self.learner.members().first_after(self.members_durable);
        forgettable.map_or(upto, |version| version.previous())
    }
}
