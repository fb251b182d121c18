//! The cluster: all nodes, what is under way, and what the oracles must remember.

use crate::arena::{Arena, Cause, Moment, Outcome, Steps};
use crate::context::Context;
use crate::fingerprint;
use crate::node::{Node, Stimulus, happen};
use crate::rounds::{self, Weather};
use crate::service::Applied;
use crate::symmetry::Prints;
use crate::violation::Violation;
use crate::wish::Wish;
use consensus_core::{Audit, Batch, Cluster, LogIndex, Membership, NodeId};
use std::sync::Arc;

/// What was used up of the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Spent {
    pub(crate) commands: u8,
    pub(crate) timeouts: u8,
    pub(crate) campaigns: u8,
    pub(crate) crashes: u8,
    pub(crate) duplicates: u8,
    pub(crate) transfers: u8,
    pub(crate) changes: u8,
    pub(crate) reads: u8,
    pub(crate) snapshots: u8,
    pub(crate) storms: u8,
    /// Who hears whom, where messages arrive in rounds.
    pub(crate) weather: Weather,
    /// A round was played since nothing was under way.
    pub(crate) busy: bool,
    /// The time.
    pub(crate) ticks: u8,
}

impl Spent {
    /// There is no node in it that may have another name.
    fn prints(self) -> Prints {
        Prints::same(fingerprint::of(&self))
    }
}

/// A decided index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Decided {
    pub(crate) batch: Batch,
    /// The highest epoch that anyone had led when it was first given out.
    pub(crate) led: Option<u64>,
    /// What a state machine is that has applied so much.
    pub(crate) state: Applied,
}

/// What all nodes did together so far, as far as a rule asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct History {
    /// What was decided, from index 1.
    pub(crate) decided: Vec<Decided>,
    /// Who led in which epoch, by epoch.
    pub(crate) leaders: Vec<(u64, NodeId)>,
}

impl History {
    /// Up to here all is decided.
    pub(crate) fn upto(&self) -> LogIndex {
        LogIndex(self.decided.len() as u64)
    }

    /// What a state machine is that has applied so much of what is decided.
    pub(crate) fn state(&self, upto: LogIndex) -> Option<Applied> {
        match upto.0 {
            0 => Some(Applied::default()),
            index => self.decided.get(index as usize - 1).map(|entry| entry.state),
        }
    }

    /// The members as of an index, as far as it is decided: those that the last change up to there
    /// says, or the first ones.
    pub(crate) fn members(&self, upto: LogIndex, first: &Cluster) -> Membership {
        let known = self.decided.iter().zip((1..).map(LogIndex));
        let changes = known
            .take_while(|(_, index)| *index <= upto)
            .filter_map(|(entry, index)| Membership::from_batch(&entry.batch, index));
        changes.last().unwrap_or_else(|| Membership::initial(first))
    }
}

/// Replicas of the largest model; beyond, there is nothing to be hoped for.
pub(crate) const MAX_NODES: usize = 7;

/// One state of the cluster, in numbers of the arena.
///
/// The fingerprints are sums over its parts, so that a successor's are found without looking at
/// what did not change.
#[derive(Clone, Debug)]
pub(crate) struct State {
    pub(crate) prints: Prints,
    pub(crate) nodes: [u32; MAX_NODES],
    pub(crate) history: u32,
    /// How much is decided, according to the history.
    pub(crate) upto: LogIndex,
    pub(crate) spent: Spent,
    /// The messages that were sent and may arrive, by fingerprint.
    pub(crate) network: Arc<[u32]>,
}

/// One thing that may happen next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action<T> {
    /// The message at this place of the network arrives. If `again`, it stays under way, too.
    Deliver { place: usize, again: bool },
    /// A node's disk syncs.
    Sync(NodeId),
    /// A node's timer fires.
    Fire(NodeId, T),
    /// An operator wants a node to lead.
    Campaign(NodeId),
    /// A client gives the next command to a node.
    Propose(NodeId),
    /// A node crashes; so many writes survive, and the file that was being written, or not.
    Crash(NodeId, usize, bool),
    /// An operator wants a node to hand over to another.
    Transfer(NodeId, NodeId),
    /// An operator tells a node to change the members.
    Change(NodeId, Wish),
    /// A client asks a node.
    Read(NodeId),
    /// A node takes a snapshot.
    Snapshot(NodeId),
    /// A node's snapshot is on its disk.
    Keep(NodeId),
    /// Time passes.
    Tick,
    /// All that is under way arrives, or is lost in this weather.
    Round(Weather),
}

/// What an action makes of a state, before it is known whether that was seen.
pub(crate) struct Change {
    pub(crate) prints: Prints,
    pub(crate) spent: Spent,
    pub(crate) history: u32,
    pub(crate) upto: LogIndex,
    pub(crate) gone: Option<usize>,
}

impl State {
    /// All nodes have just started for the first time.
    pub(crate) fn initial<P: Audit>(
        context: &Context<P>,
        arena: &Arena<P>,
    ) -> Result<Self, Violation> {
        let mut nodes = [0; MAX_NODES];
        let mut network = Vec::new();
        let mut steps = arena.write();
        for id in context.cluster.nodes().iter() {
            let outcome = steps.enter(happen(context, (id, 0), None, &Stimulus::Boot)?);
            nodes[id.index()] = outcome.node;
            network.extend(outcome.sent);
        }
        network.sort_by_key(|packet| steps.packets[*packet as usize].prints.own());
        network.dedup();
        let (upto, spent) = (LogIndex::ZERO, Spent::default());
        let (history, prints) = arena.record(&context.symmetry, History::default());
        let mut prints = prints.with(&spent.prints());
        for id in context.cluster.nodes().iter() {
            prints = prints.with(&steps.nodes[nodes[id.index()] as usize].prints);
        }
        for packet in &network {
            prints = prints.with(&steps.packets[*packet as usize].prints);
        }
        Ok(Self { prints, nodes, history, upto, spent, network: network.into() })
    }

    /// The fingerprint of this state and of all that differ from it by names of nodes only.
    pub(crate) fn print(&self) -> u128 {
        self.prints.least()
    }

    /// Everything that may happen next.
    pub(crate) fn actions<P: Audit>(
        &self,
        context: &Context<P>,
        steps: &Steps<P>,
        out: &mut Vec<Action<P::Timer>>,
    ) {
        out.clear();
        let (bounds, spent) = (&context.bounds, &self.spent);
        // The first tick is part of the beginning.
        if bounds.ticks.is_some_and(|ticks| spent.ticks <= ticks) {
            out.push(Action::Tick);
        }
        let mut may_fire = spent.timeouts < bounds.timeouts;
        match bounds.storms {
            None => self.deliveries(context, out),
            Some(storms) if rounds::is_under_way(context, steps, self) => {
                may_fire = false;
                out.push(Action::Round(spent.weather));
                if spent.storms < storms {
                    let others = rounds::other_weather(context, steps, self);
                    out.extend(others.map(Action::Round));
                }
            }
            Some(_) => {}
        }
        for id in context.cluster.nodes().iter() {
            let node = &steps.nodes[self.nodes[id.index()] as usize];
            if node.wants_sync() && bounds.storms.is_none() {
                out.push(Action::Sync(id));
            }
            if may_fire {
                let due = |(timer, after): &(&P::Timer, &u8)| {
                    **after <= spent.ticks
                        && bounds.timer.is_none_or(|name| format!("{timer:?}") == name)
                };
                let timers = node.local.timers.iter().filter(due);
                out.extend(timers.map(|(timer, _)| Action::Fire(id, *timer)));
            }
            if spent.campaigns < bounds.campaigns {
                out.push(Action::Campaign(id));
            }
            if spent.commands < bounds.commands && !spent.busy {
                out.push(Action::Propose(id));
            }
            if spent.crashes < bounds.crashes {
                let disk = &node.local.disk;
                for kept in 0..=disk.pending.len() {
                    out.push(Action::Crash(id, kept, false));
                    out.extend(disk.writing.as_ref().map(|_| Action::Crash(id, kept, true)));
                }
            }
            self.wishes(context, node, id, out);
        }
    }

    /// Any message that is under way may arrive next.
    fn deliveries<P: Audit>(&self, context: &Context<P>, out: &mut Vec<Action<P::Timer>>) {
        let bounds = &context.bounds;
        let again = bounds.duplicates.is_some_and(|limit| self.spent.duplicates < limit);
        for place in 0..self.network.len() {
            out.push(Action::Deliver { place, again: bounds.duplicates.is_none() });
            if again {
                out.push(Action::Deliver { place, again: true });
            }
        }
    }

    /// What operators and readers may want of a node, and what its snapshots may do.
    fn wishes<P: Audit>(
        &self,
        context: &Context<P>,
        node: &Node<P>,
        id: NodeId,
        out: &mut Vec<Action<P::Timer>>,
    ) {
        let (bounds, spent) = (&context.bounds, &self.spent);
        if spent.transfers < bounds.transfers {
            let others = context.cluster.peers_of(id);
            out.extend(others.iter().map(|to| Action::Transfer(id, to)));
        }
        if spent.changes < bounds.changes {
            out.extend(bounds.wishes.iter().map(|wish| Action::Change(id, wish)));
        }
        if spent.reads < bounds.reads {
            out.push(Action::Read(id));
        }
        if spent.snapshots < bounds.snapshots && node.local.may_take() {
            out.push(Action::Snapshot(id));
        }
        if node.local.disk.writing.is_some() {
            out.push(Action::Keep(id));
        }
    }

    /// The node that an action happens to, and the name of what happens to it.
    pub(crate) fn cause<P: Audit>(
        &self,
        steps: &Steps<P>,
        action: Action<P::Timer>,
    ) -> (NodeId, Cause) {
        let node = |id: NodeId| Moment { node: self.nodes[id.index()], ticks: self.spent.ticks };
        match action {
            Action::Deliver { place, .. } => {
                let packet = self.network[place];
                let to = steps.packets[packet as usize].to;
                (to, Cause::message(node(to), packet))
            }
            Action::Sync(id) => (id, Cause::other(node(id), &0)),
            Action::Fire(id, timer) => (id, Cause::other(node(id), &(1, timer))),
            Action::Campaign(id) => (id, Cause::other(node(id), &2)),
            Action::Propose(id) => (id, Cause::other(node(id), &(3, self.spent.commands))),
            Action::Crash(id, kept, file) => (id, Cause::other(node(id), &(4, kept, file))),
            Action::Transfer(id, to) => (id, Cause::other(node(id), &(5, to))),
            Action::Change(id, wish) => (id, Cause::other(node(id), &(6, wish))),
            Action::Read(id) => (id, Cause::other(node(id), &(7, self.upto))),
            Action::Snapshot(id) => (id, Cause::other(node(id), &8)),
            Action::Keep(id) => (id, Cause::other(node(id), &9)),
            Action::Tick | Action::Round(_) => unreachable!("that happens to no single node"),
        }
    }

    /// What an action does to the node that it happens to.
    pub(crate) fn stimulus<P: Audit>(
        &self,
        context: &Context<P>,
        steps: &Steps<P>,
        action: Action<P::Timer>,
    ) -> Stimulus<P> {
        match action {
            Action::Deliver { place, .. } => {
                let packet = &steps.packets[self.network[place] as usize];
                Stimulus::Take(Arc::clone(&packet.said))
            }
            Action::Sync(_) => Stimulus::Sync,
            Action::Fire(_, timer) => Stimulus::Fire(timer),
            Action::Campaign(_) => Stimulus::Campaign,
            Action::Propose(_) => {
                let batch = &context.commands[usize::from(self.spent.commands)];
                Stimulus::Propose(batch.clone())
            }
            Action::Crash(_, kept, file) => Stimulus::Crash { kept, file },
            Action::Transfer(_, to) => Stimulus::Transfer(to),
            Action::Change(_, wish) => Stimulus::Change(wish),
            Action::Read(_) => Stimulus::Read { mode: context.bounds.mode, decided: self.upto },
            Action::Snapshot(_) => Stimulus::Snapshot,
            Action::Keep(_) => Stimulus::Keep,
            Action::Tick | Action::Round(_) => unreachable!("that happens to no single node"),
        }
    }

    /// What an action changes, whose outcome for its node is known; `news` is filled with what was
    /// sent and is not under way already. `None` if nothing happened: an action without any effect
    /// is no step, and costs nothing of the bounds. The history is the old one.
    pub(crate) fn change<P: Audit>(
        &self,
        context: &Context<P>,
        steps: &Steps<P>,
        (action, id): (Action<P::Timer>, NodeId),
        outcome: &Outcome,
        news: &mut Vec<u32>,
    ) -> Option<Change> {
        news.clear();
        let gone = match action {
            Action::Deliver { place, again: false } => Some(place),
            _ => None,
        };
        let old = self.nodes[id.index()];
        let mut prints = self.prints;
        for packet in &outcome.sent {
            let held = &steps.packets[*packet as usize].prints;
            let place = self.place_of(steps, held.own());
            let there = place.is_ok_and(|place| Some(place) != gone);
            if !there && !news.contains(packet) {
                news.push(*packet);
                prints = prints.with(held);
            }
        }
        if outcome.node == old && news.is_empty() && outcome.commits.is_empty() {
            return None;
        }
        prints = prints
            .without(&steps.nodes[old as usize].prints)
            .with(&steps.nodes[outcome.node as usize].prints);
        if let Some(place) = gone {
            prints = prints.without(&steps.packets[self.network[place] as usize].prints);
        }
        let spent = self.spend(context, action);
        if spent != self.spent {
            prints = prints.without(&self.spent.prints()).with(&spent.prints());
        }
        Some(Change { prints, spent, history: self.history, upto: self.upto, gone })
    }

    /// The state that a change makes.
    pub(crate) fn changed<P: Audit>(
        &self,
        steps: &Steps<P>,
        change: &Change,
        (id, node): (NodeId, u32),
        news: &[u32],
    ) -> Self {
        let Change { prints, spent, history, upto, gone } = *change;
        let mut nodes = self.nodes;
        nodes[id.index()] = node;
        let mut network = Arc::clone(&self.network);
        if gone.is_some() || !news.is_empty() {
            let mut packets = self.network.to_vec();
            if let Some(place) = gone {
                packets.remove(place);
            }
            let print_of = |packet: &u32| steps.packets[*packet as usize].prints.own();
            for packet in news {
                let place = packets.partition_point(|held| print_of(held) < print_of(packet));
                packets.insert(place, *packet);
            }
            network = packets.into();
        }
        Self { prints, nodes, history, upto, spent, network }
    }

    /// The same, but a message is lost.
    pub(crate) fn without<P: Audit>(&self, steps: &Steps<P>, place: usize) -> Self {
        let mut packets = self.network.to_vec();
        let packet = packets.remove(place);
        let prints = self.prints.without(&steps.packets[packet as usize].prints);
        Self { prints, network: packets.into(), ..self.clone() }
    }

    /// The same, a tick later.
    pub(crate) fn later(&self) -> Self {
        let ticks = self.spent.ticks.saturating_add(1);
        self.with_spent(Spent { ticks, ..self.spent })
    }

    /// The same, but so much is used up.
    pub(crate) fn with_spent(&self, spent: Spent) -> Self {
        let prints = self.prints.without(&self.spent.prints()).with(&spent.prints());
        Self { prints, spent, ..self.clone() }
    }

    fn spend<P: Audit>(&self, context: &Context<P>, action: Action<P::Timer>) -> Spent {
        let mut spent = self.spent;
        match action {
            Action::Deliver { again, .. } => {
                let counted = again && context.bounds.duplicates.is_some();
                spent.duplicates += u8::from(counted);
            }
            Action::Sync(_) | Action::Keep(_) | Action::Round(_) => {}
            Action::Fire(..) => spent.timeouts += 1,
            Action::Campaign(_) => spent.campaigns += 1,
            Action::Propose(_) => spent.commands += 1,
            Action::Crash(..) => spent.crashes += 1,
            Action::Transfer(..) => spent.transfers += 1,
            Action::Change(..) => spent.changes += 1,
            Action::Read(_) => spent.reads += 1,
            Action::Snapshot(_) => spent.snapshots += 1,
            Action::Tick => spent.ticks += 1,
        }
        spent
    }

    /// Where a message of this fingerprint is under way, or would be.
    pub(crate) fn place_of<P: Audit>(&self, steps: &Steps<P>, print: u128) -> Result<usize, usize> {
        let print_of = |packet: &u32| steps.packets[*packet as usize].prints.own();
        self.network.binary_search_by_key(&print, print_of)
    }
}
