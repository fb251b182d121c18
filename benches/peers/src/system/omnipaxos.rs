//! OmniPaxos at its best settings: commands are shared (`Arc<[u8]>`), so that its clones are cheap.

use super::System;
use crate::tally::{Source, Tally};
use omnipaxos::messages::Message;
use omnipaxos::storage::{Entry, NoSnapshot};
use omnipaxos::util::LogEntry;
use omnipaxos::{ClusterConfig, OmniPaxos, OmniPaxosConfig, ServerConfig};
use omnipaxos_storage::memory_storage::MemoryStorage;
use std::sync::Arc;

/// A command whose clones share its bytes.
#[derive(Clone, Debug)]
pub struct Shared(Arc<[u8]>);

impl Entry for Shared {
    type Snapshot = NoSnapshot;
}

struct Node {
    replica: OmniPaxos<Shared, MemoryStorage<Shared>>,
    inbox: Vec<Message<Shared>>,
    tally: Tally,
}

impl Node {
    fn take_in(&mut self) {
        for message in self.inbox.drain(..) {
            self.replica.handle_incoming(message);
        }
        self.deliver();
    }

    fn deliver(&mut self) {
        let applied = self.tally.applied as usize;
        if self.replica.get_decided_idx() == applied {
            return;
        }
        for entry in self.replica.read_decided_suffix(applied).unwrap_or_default() {
            match entry {
                LogEntry::Decided(Shared(command)) => self.tally.apply(&command),
                other => panic!("not a decided command: {other:?}"),
            }
        }
    }
}

/// A cluster of three.
pub struct Omni {
    nodes: Vec<Node>,
    outgoing: Vec<Message<Shared>>,
    messages: u64,
    proposed: u64,
}

impl Default for Omni {
    fn default() -> Self {
        Self::new()
    }
}

impl Omni {
    /// A cluster whose first replica leads.
    pub fn new() -> Self {
        let node = |pid| {
            let cluster_config = ClusterConfig {
                configuration_id: 1,
                nodes: vec![1, 2, 3],
                ..ClusterConfig::default()
            };
            let server_config = ServerConfig {
                pid,
                election_tick_timeout: 5,
                leader_priority: u32::from(pid == 1),
                ..ServerConfig::default()
            };
            let config = OmniPaxosConfig { cluster_config, server_config };
            let replica = config.build(MemoryStorage::default()).expect("a sound configuration");
            Node { replica, inbox: Vec::new(), tally: Tally::default() }
        };
        let mut omni = Self {
            nodes: (1..=3).map(node).collect(),
            outgoing: Vec::new(),
            messages: 0,
            proposed: 0,
        };
        while omni.nodes[0].replica.get_current_leader() != Some((1, true)) {
            for id in 0..3 {
                omni.nodes[id].replica.tick();
                omni.nodes[id].take_in();
                omni.send(id);
            }
        }
        omni
    }

    fn send(&mut self, id: usize) {
        self.nodes[id].replica.take_outgoing_messages(&mut self.outgoing);
        self.messages += self.outgoing.len() as u64;
        for message in self.outgoing.drain(..) {
            self.nodes[message.get_receiver() as usize - 1].inbox.push(message);
        }
    }
}

impl System for Omni {
    fn turn(&mut self, source: &mut Source, window: usize) {
        self.nodes[0].take_in();
        let outstanding = self.proposed - self.nodes[0].tally.applied;
        for command in source.commands(window - outstanding as usize) {
            self.proposed += 1;
            let command = Shared(Arc::from(command));
            self.nodes[0].replica.append(command).expect("it is not being reconfigured");
        }
        self.send(0);
        for follower in 1..3 {
            self.nodes[follower].take_in();
            self.send(follower);
        }
    }

    fn messages(&self) -> u64 {
        self.messages
    }

    fn tallies(&self) -> Vec<Tally> {
        self.nodes.iter().map(|node| node.tally).collect()
    }

    fn applied(&self) -> u64 {
        self.nodes[0].tally.applied
    }
}
