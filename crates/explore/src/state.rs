//! The cluster: all nodes, what is under way, and what the oracles must remember.

use crate::context::Context;
use crate::fingerprint;
use crate::node::{Node, Packet, Stimulus, happen};
use crate::oracle;
use crate::violation::Violation;
use consensus_core::{Audit, Batch, NodeId};
use std::sync::Arc;

/// What was used up of the bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Spent {
    pub(crate) commands: u8,
    pub(crate) timeouts: u8,
    pub(crate) campaigns: u8,
    pub(crate) crashes: u8,
    pub(crate) duplicates: u8,
}

/// A decided index.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Decided {
    pub(crate) batch: Batch,
    /// The highest epoch that anyone had led when it was first given out.
    pub(crate) led: Option<u64>,
}

/// What all nodes did together so far, as far as a rule asks for it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct History {
    /// What was decided, from index 1.
    pub(crate) decided: Vec<Decided>,
    /// Who led in which epoch, by epoch.
    pub(crate) leaders: Vec<(u64, NodeId)>,
}

/// One state of the cluster. Nodes, messages and history are shared with other states.
///
/// The fingerprint is a sum over its parts, so that a successor's is found without looking at what
/// did not change.
#[derive(Debug)]
pub(crate) struct State<P: Audit> {
    pub(crate) print: u128,
    pub(crate) nodes: Box<[Arc<Node<P>>]>,
    /// What was sent and may arrive, by fingerprint.
    pub(crate) network: Arc<[Arc<Packet<P>>]>,
    pub(crate) history: Arc<History>,
    pub(crate) spent: Spent,
}

impl<P: Audit> Clone for State<P> {
    fn clone(&self) -> Self {
        Self {
            print: self.print,
            nodes: self.nodes.clone(),
            network: Arc::clone(&self.network),
            history: Arc::clone(&self.history),
            spent: self.spent,
        }
    }
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
    /// A node crashes, and so many records survive.
    Crash(NodeId, usize),
}

impl<P: Audit> State<P> {
    /// All nodes have just started for the first time.
    pub(crate) fn initial(context: &Context<P>) -> Result<Self, Violation> {
        let mut nodes = Vec::new();
        let mut sent = Vec::new();
        for id in context.cluster.nodes().iter() {
            let outcome = happen(context, id, None, &Stimulus::Boot)?;
            nodes.push(outcome.node);
            sent.extend(outcome.sent);
        }
        sent.sort_by_key(|packet| packet.print);
        let mut state = Self {
            print: 0,
            nodes: nodes.into(),
            network: sent.into(),
            history: Arc::new(History::default()),
            spent: Spent::default(),
        };
        let nodes = state.nodes.iter().map(|node| node.print);
        let packets = state.network.iter().map(|packet| packet.print);
        let parts = nodes.chain(packets).chain([fingerprint::of(&state.spent)]);
        let history = fingerprint::of(&*state.history);
        state.print = parts.fold(history, u128::wrapping_add);
        Ok(state)
    }

    /// Everything that may happen next.
    pub(crate) fn actions(&self, context: &Context<P>, out: &mut Vec<Action<P::Timer>>) {
        out.clear();
        let (bounds, spent) = (&context.bounds, &self.spent);
        let again = bounds.duplicates.is_some_and(|limit| spent.duplicates < limit);
        for place in 0..self.network.len() {
            out.push(Action::Deliver { place, again: bounds.duplicates.is_none() });
            if again {
                out.push(Action::Deliver { place, again: true });
            }
        }
        for (id, node) in context.cluster.nodes().iter().zip(&self.nodes) {
            if node.wants_sync() {
                out.push(Action::Sync(id));
            }
            if spent.timeouts < bounds.timeouts {
                out.extend(node.local.timers.iter().map(|timer| Action::Fire(id, *timer)));
            }
            if spent.campaigns < bounds.campaigns {
                out.push(Action::Campaign(id));
            }
            if spent.commands < bounds.commands {
                out.push(Action::Propose(id));
            }
            if spent.crashes < bounds.crashes {
                let kept = node.local.synced..=node.local.records.len();
                out.extend(kept.map(|kept| Action::Crash(id, kept)));
            }
        }
    }

    /// What one action does to the node that it happens to.
    pub(crate) fn stimulus<'a>(
        &'a self,
        context: &'a Context<P>,
        action: Action<P::Timer>,
    ) -> (NodeId, Stimulus<'a, P>) {
        match action {
            Action::Deliver { place, .. } => {
                let packet = &self.network[place];
                (packet.to, Stimulus::Take(packet))
            }
            Action::Sync(id) => (id, Stimulus::Sync),
            Action::Fire(id, timer) => (id, Stimulus::Fire(timer)),
            Action::Campaign(id) => (id, Stimulus::Campaign),
            Action::Propose(id) => {
                let batch = &context.commands[usize::from(self.spent.commands)];
                (id, Stimulus::Propose(batch))
            }
            Action::Crash(id, kept) => (id, Stimulus::Crash { kept }),
        }
    }

    /// The state after an action whose outcome for its node is known. `None` if nothing happened:
    /// an action without any effect is no step, and costs nothing of the bounds.
    pub(crate) fn after(
        &self,
        context: &Context<P>,
        action: Action<P::Timer>,
        id: NodeId,
        outcome: &crate::node::Outcome<P>,
    ) -> Result<Option<Self>, Violation> {
        let old = &self.nodes[id.index()];
        let mut next = self.clone();
        let quiet = next.carry(action, &outcome.sent);
        if outcome.node.print == old.print && quiet && outcome.commits.is_empty() {
            return Ok(None);
        }
        next.nodes[id.index()] = Arc::clone(&outcome.node);
        next.print = next.print.wrapping_sub(old.print).wrapping_add(outcome.node.print);
        next.spend(context, action);
        oracle::judge(context, &mut next, id, outcome)?;
        next.print = next
            .print
            .wrapping_sub(fingerprint::of(&self.spent))
            .wrapping_add(fingerprint::of(&next.spent));
        if !Arc::ptr_eq(&self.history, &next.history) {
            next.print = next
                .print
                .wrapping_sub(fingerprint::of(&*self.history))
                .wrapping_add(fingerprint::of(&*next.history));
        }
        Ok(Some(next))
    }

    fn spend(&mut self, context: &Context<P>, action: Action<P::Timer>) {
        let spent = &mut self.spent;
        match action {
            Action::Deliver { again, .. } => {
                let counted = again && context.bounds.duplicates.is_some();
                spent.duplicates += u8::from(counted);
            }
            Action::Sync(_) => {}
            Action::Fire(..) => spent.timeouts += 1,
            Action::Campaign(_) => spent.campaigns += 1,
            Action::Propose(_) => spent.commands += 1,
            Action::Crash(..) => spent.crashes += 1,
        }
    }

    /// Puts what was sent into the network, and takes out what was delivered, unless it stays.
    /// True if nothing was sent that was not under way already: then the delivered message can go
    /// or stay, nobody will know.
    fn carry(&mut self, action: Action<P::Timer>, sent: &[Arc<Packet<P>>]) -> bool {
        let gone = match action {
            Action::Deliver { place, again: false } => Some(place),
            _ => None,
        };
        if gone.is_none() && sent.iter().all(|packet| self.place_of(packet.print).is_ok()) {
            return true;
        }
        let mut packets = self.network.to_vec();
        if let Some(place) = gone {
            let packet = packets.remove(place);
            self.print = self.print.wrapping_sub(packet.print);
        }
        let mut quiet = true;
        for packet in sent {
            if let Err(place) = packets.binary_search_by_key(&packet.print, |held| held.print) {
                self.print = self.print.wrapping_add(packet.print);
                packets.insert(place, Arc::clone(packet));
                quiet = false;
            }
        }
        self.network = packets.into();
        quiet
    }

    fn place_of(&self, print: u128) -> Result<usize, usize> {
        self.network.binary_search_by_key(&print, |packet| packet.print)
    }
}
