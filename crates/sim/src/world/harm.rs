//! Harm to disks and clocks, and slowness.

use super::World;
use super::event::Event;
use crate::network::Curse;
use crate::rng::CERTAIN;
use consensus_core::{Audit, MessageKind, NodeId, NodeSet, StateMachine};
use core::time::Duration;

impl<P: Audit, S: StateMachine> World<P, S> {
    /// The sync that runs, or the next one, ends with an error. Nobody knows what it covered, so
    /// the process stops, believing nothing of it.
    pub fn fail_next_sync(&mut self, node: NodeId) {
        self.nodes[node.index()].sync_fails = true;
    }

    /// The next write finds no room: the process stops. There is room again when it restarts.
    pub fn fill_disk(&mut self, node: NodeId) {
        self.nodes[node.index()].disk_full = true;
    }

    /// The disk is lost, and the node with it, for ever: a driver starts neither on damage nor on
    /// an empty disk under an old name.
    pub fn condemn(&mut self, node: NodeId) {
        if !std::mem::replace(&mut self.nodes[node.index()].condemned, true) {
            self.crash(node);
            self.fault("disk lost for good");
            self.tell(|| format!("{node} lost its disk and stays down"));
        }
    }

    /// The nodes that will never start again.
    pub fn condemned(&self) -> NodeSet {
        let nodes = self.setup.cluster.nodes();
        nodes.iter().filter(|node| self.nodes[node.index()].condemned).collect()
    }

    /// How fast the clock of a node runs, in ten thousand of virtual time.
    pub fn set_clock_rate(&mut self, node: NodeId, rate: u32) {
        self.nodes[node.index()].clock_rate = u64::from(rate);
    }

    /// How fast it runs.
    pub(crate) fn clock_rate(&self, node: NodeId) -> u64 {
        self.nodes[node.index()].clock_rate
    }

    /// The clock of a node jumps ahead: everything that was due within this time is due now.
    pub fn jump_clock(&mut self, node: NodeId, by: Duration) {
        self.fold(15, u64::from(node.0), by.as_nanos() as u64);
        self.fault("clock jumped ahead");
        self.tell(|| format!("{node}'s clock jumps ahead by {by:?}"));
        let now = self.now;
        let by = by.as_nanos() as u64;
        let state = &mut self.nodes[node.index()];
        state.clock_ahead += by;
        let life = state.life;
        for (timer, slot) in &mut state.timers {
            let Some(deadline) = slot.deadline else { continue };
            let at = deadline.saturating_sub(by).max(now);
            slot.deadline = Some(at);
            if slot.pending.is_none_or(|pending| pending > at) {
                slot.pending = Some(at);
                self.queue.push(at, Event::Timer { node, life, timer: *timer, at });
            }
        }
    }

    /// What the clock of a node shows.
    pub(super) fn clock_of(&self, node: NodeId) -> Duration {
        let state = &self.nodes[node.index()];
        let elapsed = u128::from(self.now) * u128::from(state.clock_rate) / u128::from(CERTAIN);
        Duration::from_nanos(elapsed as u64 + state.clock_ahead)
    }

    /// Virtual time that passes while the clock of a node shows so much, in nanoseconds.
    pub(super) fn by_clock_of(&self, node: NodeId, time: Duration) -> u64 {
        let rate = u128::from(self.nodes[node.index()].clock_rate);
        (time.as_nanos() * u128::from(CERTAIN) / rate) as u64
    }

    /// Everything that a node sends or is sent takes so much longer; zero ends it.
    pub fn slow(&mut self, node: NodeId, by: Duration) {
        self.links.slow(node, by);
    }

    /// Beside what the network loses anyway, so many of ten thousand messages are lost.
    pub fn storm(&mut self, loss: u32) {
        self.links.storm = loss;
    }

    /// Messages of one kind, of one node or of all, have bad luck from now on; `None` ends it.
    pub fn curse(&mut self, cursed: Option<(MessageKind, Option<NodeId>, Curse)>) {
        self.links.cursed = cursed;
    }

    /// Is this direction of a link cut?
    pub fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.links.is_cut(from, to)
    }
}
