//! Connections of clients that break or do not come about, and the clients that notice. A process
//! that is gone is soon heard of, as its machine says so; a machine that is gone, or a cut link,
//! leaves who calls waiting.

use super::World;
use super::event::Event;
use crate::oracle::history::Key;
use consensus_core::{Audit, NodeId, NodeSet, StateMachine};

/// Who called over a connection, and what for: news of an earlier call mean nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Caller {
    /// A client, with this attempt at a command.
    Client { place: usize, key: Key, attempt: u32 },
    /// A reading client, with this question.
    Reader { place: usize, number: u64 },
}

/// The last call of somebody.
#[derive(Clone, Copy, Debug)]
pub(super) struct Call {
    pub(super) caller: Caller,
    pub(super) to: NodeSet,
}

impl<P: Audit, S: StateMachine> World<P, S> {
    /// What happens when a call arrives at a node. Nothing listens where no replica runs: then the
    /// call is refused, if anybody is there to say so.
    pub(super) fn arrival(&mut self, caller: Caller, node: NodeId, call: Event<P>) -> Event<P> {
        let down = self.nodes[node.index()].replica.is_none();
        if down && !self.rng.chance(self.setup.network.client_silence) {
            return Event::Broken { caller, node, sent: false };
        }
        call
    }

    /// This connection carries nothing any more; the caller may notice.
    pub(super) fn hang_up(&mut self, caller: Caller, node: NodeId) {
        if !self.rng.chance(self.setup.network.client_silence) {
            let delay = self.setup.network.client_latency.draw(&mut self.rng);
            let at = self.now + delay.as_nanos() as u64;
            self.queue.push(at, Event::Broken { caller, node, sent: true });
        }
    }

    /// A node is gone, and all its connections with it.
    pub(super) fn hang_up_all(&mut self, node: NodeId) {
        let clients = self.clients.iter().filter_map(|client| client.call(node));
        let readers = self.readers.iter().filter_map(|reader| reader.call(node));
        let callers: Vec<Caller> = clients.chain(readers).collect();
        for caller in callers {
            self.hang_up(caller, node);
        }
    }

    /// A caller notices that its connection is gone (`sent`) or did not come about.
    pub(super) fn broken(&mut self, caller: Caller, node: NodeId, sent: bool) {
        let (Caller::Client { place, .. } | Caller::Reader { place, .. }) = caller;
        self.fold(24, place as u64, u64::from(node.0) << 1 | u64::from(sent));
        let still = match caller {
            Caller::Client { .. } => self.clients[place].call(node),
            Caller::Reader { .. } => self.readers[place].call(node),
        };
        if still != Some(caller) {
            return;
        }
        self.mark(if sent { "connection of a client broke" } else { "connection refused" });
        self.tell(|| format!("{caller:?} finds its connection to {node} gone, sent: {sent}"));
        match caller {
            Caller::Client { .. } => self.client_disconnected(place, node, sent),
            Caller::Reader { .. } => self.reader_disconnected(place, node),
        }
    }
}
