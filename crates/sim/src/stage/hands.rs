//! A stage in the hands of a test: the same steps, with the protocol's own types.

use super::{Flight, Stage};
use crate::scenario::{Name, Pick};
use consensus_core::{Audit, Batch, Input, Message, NodeId, NodeSet};

impl<P: Audit> Stage<P> {
    /// From now on the oracles see nothing: for settings that they do not know, such as quorums
    /// that are no majorities.
    pub fn without_oracles(&mut self) {
        self.blind = true;
    }

    /// From now on every step is looked at closely, not only the first ones and some later.
    pub fn look_closely(&mut self) {
        self.closely = true;
    }

    /// Did this rare thing (`Audit::MARKS`) happen at a node, in any life?
    pub fn has_reached(&self, node: NodeId, mark: &str) -> bool {
        self.actors[node.index()].reached.contains(mark)
    }

    /// From now on the disks of these nodes sync by themselves after every step.
    pub fn set_instant(&mut self, nodes: NodeSet) {
        self.instant = nodes;
    }

    /// Everything that the node wrote is on its disk now.
    pub fn sync(&mut self, node: NodeId) {
        self.sync_but(node, 0);
    }

    /// A client asks.
    pub fn propose(&mut self, node: NodeId, batch: Batch) {
        self.input(node, Input::Propose(batch));
    }

    /// An operator wants this replica to lead.
    pub fn campaign(&mut self, node: NodeId) {
        self.input(node, Input::Campaign);
    }

    /// Takes the oldest message of a kind off a link.
    pub fn take(&mut self, from: NodeId, to: NodeId, kind: &str) -> Option<P::Message> {
        let name = Name { kind: kind.to_owned(), from, to, pick: Pick::Nth(1) };
        let found = self.flights.find(&name, false, false)?;
        self.flights.arrive((from, to), found.serial, false);
        Some(P::Message::clone(&found.message))
    }

    /// What is on its way, in the order of sending over all links.
    pub fn flying(&self) -> Vec<Flight<P::Message>> {
        let mut flights: Vec<_> = self.flights.iter().cloned().collect();
        flights.sort_unstable_by_key(|flight| flight.serial);
        flights
    }

    /// Takes this message off its way.
    pub fn remove(&mut self, flight: &Flight<P::Message>) {
        self.flights.arrive((flight.from, flight.to), flight.serial, false);
    }

    /// How many messages of a kind are on their way.
    pub fn count(&self, kind: &str) -> usize {
        self.flights.iter().filter(|flight| flight.message.kind().name == kind).count()
    }

    /// Everything that is on its way is lost.
    pub fn lose_all(&mut self) {
        self.flying().iter().for_each(|flight| self.remove(flight));
    }
}
