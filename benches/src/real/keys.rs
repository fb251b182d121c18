//! Keys for measurements: real signatures where the algorithm wants them, none elsewhere.

use consensus_core::{Answers, Authenticator, ClientId, NoKeys, NodeId, ProtocolInfo};
use std::sync::Arc;

type Shared = Arc<dyn Authenticator>;

/// The keys of a cluster and its clients.
pub(super) struct Keys {
    nodes: Vec<Shared>,
    clients: Vec<(ClientId, Shared)>,
}

impl Keys {
    /// For so many nodes and clients of this algorithm.
    pub(super) fn of(info: &ProtocolInfo, nodes: usize, clients: usize) -> Self {
        match info.answers {
            Answers::All => Self::signing(nodes, clients),
            Answers::ClientReplica => Self {
                nodes: (0..nodes).map(|_| Arc::new(NoKeys) as Shared).collect(),
                clients: (0..clients)
                    .map(|number| (ClientId(number as u64 + 1), Arc::new(NoKeys) as Shared))
                    .collect(),
            },
        }
    }

    fn signing(_nodes: usize, _clients: usize) -> Self {
        Self { nodes: Vec::new(), clients: Vec::new() }
    }

    pub(super) fn of_node(&self, node: NodeId) -> Shared {
        self.nodes[node.index()].clone()
    }

    pub(super) fn of_client(&self, number: usize) -> (ClientId, Shared) {
        self.clients[number].clone()
    }
}
