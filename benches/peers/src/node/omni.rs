//! OmniPaxos at its best settings: commands are shared (`Arc<[u8]>`), so that its clones are cheap.

use super::Node;
use crate::tally::Tally;
use omnipaxos::messages::Message;
use omnipaxos::storage::{Entry, NoSnapshot};
use omnipaxos::util::LogEntry;
use omnipaxos::{ClusterConfig, OmniPaxos, OmniPaxosConfig, ServerConfig};
use omnipaxos_storage::memory_storage::MemoryStorage;
use std::slice::ChunksExact;
use std::sync::Arc;

/// A command whose clones share its bytes.
#[derive(Clone, Debug)]
pub struct Shared(Arc<[u8]>);

impl Entry for Shared {
    type Snapshot = NoSnapshot;
}

/// A server of OmniPaxos.
pub struct Omni {
    replica: OmniPaxos<Shared, MemoryStorage<Shared>>,
    outgoing: Vec<Message<Shared>>,
    tally: Tally,
}

impl Omni {
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

impl Node for Omni {
    type Message = Message<Shared>;

    /// What was decided is read once for a burst, not after each message.
    const FLUSH_FIRST: bool = true;

    fn start(id: usize) -> Self {
        let cluster_config =
            ClusterConfig { configuration_id: 1, nodes: vec![1, 2, 3], ..ClusterConfig::default() };
        let server_config = ServerConfig {
            pid: id as u64 + 1,
            election_tick_timeout: 5,
            leader_priority: u32::from(id == 0),
            ..ServerConfig::default()
        };
        let config = OmniPaxosConfig { cluster_config, server_config };
        let replica = config.build(MemoryStorage::default()).expect("a sound configuration");
        Self { replica, outgoing: Vec::new(), tally: Tally::default() }
    }

    fn campaign(&mut self) {
        self.replica.tick();
    }

    fn leads(&self) -> bool {
        self.replica.get_current_leader() == Some((1, true))
    }

    fn hear(&mut self, message: Self::Message) {
        self.replica.handle_incoming(message);
    }

    fn propose(&mut self, commands: ChunksExact<'_, u8>) {
        for command in commands {
            let command = Shared(Arc::from(command));
            self.replica.append(command).expect("it is not being reconfigured");
        }
    }

    fn flush(&mut self, send: &mut impl FnMut(usize, Self::Message)) {
        self.deliver();
        self.replica.take_outgoing_messages(&mut self.outgoing);
        for message in self.outgoing.drain(..) {
            send(message.get_receiver() as usize - 1, message);
        }
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}
