//! What operators ask for: other members, another leader; and what replicas say of members.

use super::World;
use crate::oracle::members::{Electorates, is_quorum};
use consensus_core::{
    Audit, Change, ChangeRefusal, FaultModel, Input, LogIndex, Membership, NodeId, NodeSet,
    ProtocolConfig, StateMachine,
};

impl<P: Audit, S: StateMachine> World<P, S> {
    /// An operator asks this replica, as the leader, to hand over.
    pub fn transfer(&mut self, node: NodeId, to: NodeId) {
        self.fold(18, u64::from(node.0), u64::from(to.0));
        self.tell(|| format!("{node} is asked to hand over to {to}"));
        if self.is_running(node) {
            self.input(node, Input::Transfer(to));
        }
    }

    /// An operator asks this replica for other members.
    pub fn change_members(&mut self, node: NodeId, change: Change) {
        self.fold(19, u64::from(node.0), change.expected.0);
        self.tell(|| format!("{node} is asked to change members: {change:?}"));
        self.history.ask(&change);
        if self.is_running(node) {
            self.input(node, Input::Change(change));
        }
    }

    /// A node that did not vote at the beginning starts for the first time. Without effect on one
    /// that has.
    pub fn join(&mut self, node: NodeId) {
        if !self.is_born(node) {
            self.tell(|| format!("{node} joins"));
            self.boot(node);
        }
    }

    /// Has the node ever started?
    pub fn is_born(&self, node: NodeId) -> bool {
        self.nodes[node.index()].life > 0
    }

    /// The members as this node sees them, and whether it knows that they are committed. What it
    /// said last, if it is down; `None` if it never said anything.
    pub fn members(&self, node: NodeId) -> Option<&(Membership, bool)> {
        self.nodes[node.index()].members.as_ref()
    }

    /// The members that were decided last, anywhere.
    pub fn decided_members(&self) -> &Membership {
        self.history.members().newest()
    }

    /// The members by whom these nodes may have to decide: those that were decided last; earlier
    /// ones as long as no running one of these nodes knows better, as they must learn of the later
    /// ones from a quorum of them; and newer ones that may be in their logs, or may yet come of
    /// what operators asked for.
    pub(crate) fn in_force(&self, among: NodeSet) -> impl Iterator<Item = &Membership> {
        let running = among.iter().filter(|node| self.replica(*node).is_some());
        let known = running.filter_map(|node| Some(self.members(node)?.0.version)).max();
        let decided = self.history.members().from(known.unwrap_or(LogIndex::ZERO));
        let newest = self.decided_members().version;
        let said = among.iter().filter_map(move |node| Some(&self.members(node)?.0));
        let newer = said.filter(move |members| members.version > newest);
        decided.iter().chain(newer).chain(self.history.members().pending())
    }

    /// Would a quorum of whatever members still have their disks, if this node lost its own?
    pub(crate) fn survives_without(&self, node: NodeId) -> bool {
        if P::INFO.faults == FaultModel::Byzantine {
            return true; // Its members are fixed; there are few enough of these.
        }
        let left = self.setup.cluster.nodes().minus(self.condemned()).without(node);
        let others = self.setup.cluster.nodes().minus(left);
        let said = others.iter().filter_map(|node| Some(&self.members(node)?.0));
        let newest = self.decided_members().version;
        let newer = said.filter(|members| members.version > newest);
        self.in_force(left).chain(newer).all(|members| self.is_live(members, left))
    }

    /// Are these nodes enough for progress, by these members?
    pub(crate) fn is_live(&self, members: &Membership, nodes: NodeSet) -> bool {
        let size = members.voters.len();
        match self.config.quorums(size) {
            None => is_quorum(members, nodes),
            Some(quorums) => {
                let needed = quorums.larger() + size.saturating_sub(quorums.nodes());
                nodes.and(members.voters).len() >= needed
            }
        }
    }

    /// Are these enough of the members to decide for a leader that they have?
    pub(crate) fn can_decide(&self, members: &Membership, nodes: NodeSet) -> bool {
        let size = members.voters.len();
        match self.config.quorums(size) {
            None => is_quorum(members, nodes),
            Some(quorums) => {
                let needed = quorums.phase_2() + size.saturating_sub(quorums.nodes());
                nodes.and(members.voters).len() >= needed
            }
        }
    }

    /// Why changes of members were refused at this node, one after the other.
    pub fn refused_changes(&self, node: NodeId) -> &[ChangeRefusal] {
        &self.nodes[node.index()].refused_changes
    }

    pub(super) fn announce(&mut self, id: NodeId, membership: Membership, committed: bool) {
        self.tell(|| {
            let how = if committed { "committed" } else { "in force" };
            format!("{id} says members are {how}: {membership:?}")
        });
        self.nodes[id.index()].news = true;
        self.nodes[id.index()].members = Some((membership, committed));
    }

    pub(super) fn refuse_change(&mut self, id: NodeId, why: ChangeRefusal) {
        self.tell(|| format!("{id} does not change members: {why}"));
        self.mark(match why {
            ChangeRefusal::NotLeader(_) => "change refused: not the leader",
            ChangeRefusal::Version(_) => "change refused: an old version",
            ChangeRefusal::UnderWay => "change refused: one is under way",
            ChangeRefusal::TooEarly => "change refused: too early",
            ChangeRefusal::Impossible => "change refused: impossible",
            ChangeRefusal::Unsupported => "change refused: fixed members",
        });
        self.nodes[id.index()].refused_changes.push(why);
    }

    /// O19, once the step in which a node spoke of members is done.
    pub(super) fn check_news(&mut self, id: NodeId) {
        if !std::mem::take(&mut self.nodes[id.index()].news) || !self.is_correct(id) {
            return;
        }
        if let Some((members, true)) = &self.nodes[id.index()].members {
            let verdict = self.history.members().announced(id, members);
            let verdict = verdict.and_then(|()| self.final_for_good(members));
            self.judge(id, verdict);
        }
    }

    /// By whom what stands at this index may have been decided, or counted again.
    pub(super) fn electorates(&self, index: LogIndex) -> Electorates<'_> {
        let nodes = self.setup.cluster.size;
        if P::INFO.faults == FaultModel::Byzantine {
            let traitors = self.setup.traitors.len();
            return Electorates::Fixed { nodes, faults: P::INFO.faults, traitors };
        }
        let decided = self.history.members().since(index);
        let newest = decided.last().map_or(LogIndex::ZERO, |members| members.version);
        let said = self.nodes.iter().filter_map(|node| node.members.as_ref());
        let said = said.map(|(members, _)| members).filter(|one| one.version > newest);
        let quorums = |members: &Membership| self.config.quorums(members.voters.len());
        Electorates::Members(decided.iter().chain(said).map(|one| (one, quorums(one))).collect())
    }
}
