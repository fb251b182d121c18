//! Three replicas in one thread.

use crate::node::Node;
use crate::tally::{Source, Tally};

/// A cluster whose first replica leads.
pub struct Lockstep<N: Node> {
    nodes: Vec<N>,
    inboxes: [Vec<N::Message>; 3],
    messages: u64,
    proposed: u64,
}

impl<N: Node> Default for Lockstep<N> {
    fn default() -> Self {
        Self::new()
    }
}

impl<N: Node> Lockstep<N> {
    /// Starts them, and waits for the first to lead.
    pub fn new() -> Self {
        let mut cluster = Self {
            nodes: (0..3).map(N::start).collect(),
            inboxes: [const { Vec::new() }; 3],
            messages: 0,
            proposed: 0,
        };
        while !cluster.nodes[0].leads() {
            for id in 0..3 {
                if id == 0 || !N::FLUSH_FIRST {
                    cluster.take_in(id);
                } else {
                    cluster.nodes[id].campaign();
                    cluster.take_in(id);
                }
                if id == 0 {
                    cluster.nodes[0].campaign();
                }
                cluster.flush(id);
            }
        }
        for _ in 0..6 {
            for id in 0..3 {
                cluster.take_in(id);
                cluster.flush(id);
            }
        }
        cluster
    }

    /// The replicas, with the first leading and nothing on its way.
    pub fn into_nodes(self) -> Vec<N> {
        self.nodes
    }

    fn take_in(&mut self, id: usize) {
        let node = &mut self.nodes[id];
        node.begin();
        for message in self.inboxes[id].drain(..) {
            node.hear(message);
        }
    }

    fn flush(&mut self, id: usize) {
        let Self { nodes, inboxes, messages, .. } = self;
        nodes[id].flush(&mut |to, message| {
            *messages += 1;
            inboxes[to].push(message);
        });
    }

    /// Everybody takes in what has come, the leader first; it refills the window.
    pub fn turn(&mut self, source: &mut Source, window: usize) {
        self.take_in(0);
        if N::FLUSH_FIRST {
            self.flush(0);
        }
        let outstanding = (self.proposed - self.applied()) as usize;
        if outstanding < window {
            self.proposed += (window - outstanding) as u64;
            self.nodes[0].propose(source.commands(window - outstanding));
        }
        for id in 0..3 {
            if id > 0 {
                self.take_in(id);
            }
            self.flush(id);
        }
    }

    /// Messages that were sent so far.
    pub fn messages(&self) -> u64 {
        self.messages
    }

    /// Commands that the leader applied.
    pub fn applied(&self) -> u64 {
        self.nodes[0].tally().applied
    }

    /// What the replicas applied, the leader first.
    pub fn tallies(&self) -> Vec<Tally> {
        self.nodes.iter().map(Node::tally).collect()
    }
}
