//! Keys for measurements: real signatures where the algorithm wants them, none elsewhere.

use consensus_core::{Answers, Authenticator, ClientId, NoKeys, NodeId, ProtocolInfo};
use std::sync::Arc;
use synod_pbft::{KeyRing, SecretKey};

type Shared = Arc<dyn Authenticator>;

const SEED: u64 = 1;

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

    /// Secret keys from a fixed seed: a measurement keeps no secrets.
    fn signing(nodes: usize, clients: usize) -> Self {
        let secrets = |who: &str, count: usize| -> Vec<SecretKey> {
            (0..count as u64).map(|number| KeyRing::derive(SEED, who, number)).collect()
        };
        let (node_keys, client_keys) = (secrets("node", nodes), secrets("client", clients));
        let public = |keys: &[SecretKey]| keys.iter().map(SecretKey::public).collect::<Vec<_>>();
        let (node_ring, client_ring) = (public(&node_keys), public(&client_keys));
        let ring = |own: &SecretKey| {
            Arc::new(KeyRing::new(own.clone(), node_ring.clone(), client_ring.clone())) as Shared
        };
        let client = |own: &SecretKey| (own.public().client_id(), ring(own));
        Self {
            nodes: node_keys.iter().map(ring).collect(),
            clients: client_keys.iter().map(client).collect(),
        }
    }

    pub(super) fn of_node(&self, node: NodeId) -> Shared {
        self.nodes[node.index()].clone()
    }

    pub(super) fn of_client(&self, number: usize) -> (ClientId, Shared) {
        self.clients[number].clone()
    }
}
