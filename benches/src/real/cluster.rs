//! A cluster of real nodes in this process.

use super::keys::Keys;
use consensus_core::{Audit, Cluster, ClusterId, Counters, NodeId, Takes};
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::Path;
use std::time::Duration;
use synod_kv::KvStore;
use synod_runtime::{ClientConfig, ClusterClient, NodeConfig, NodeHandle};

/// How long a cluster may take until node 0 serves.
const READY: Duration = Duration::from_secs(60);
/// Where all clients sit: the leader where there is one, in every row.
const CLIENTS_AT: NodeId = NodeId(0);

/// Running nodes and what clients need to reach them.
pub(super) struct RealCluster<P> {
    cluster: Cluster,
    addresses: BTreeMap<NodeId, SocketAddr>,
    nodes: Vec<NodeHandle>,
    keys: Keys,
    protocol: PhantomData<fn() -> P>,
}

impl<P: Audit> RealCluster<P> {
    /// Starts so many nodes with empty logs in this folder and waits until node 0 leads, where
    /// there is a leader.
    pub(super) async fn start(
        size: usize,
        sessions: usize,
        batch: usize,
        folder: &Path,
    ) -> Result<Self, String> {
        let cluster = Cluster::new(ClusterId(u128::from(std::process::id()) + 1), size);
        let addresses = free_addresses(size).map_err(|error| format!("no free port: {error}"))?;
        let keys = Keys::of(&P::INFO, size, sessions);
        let mut nodes = Vec::with_capacity(size);
        for id in cluster.nodes().iter() {
            let data = folder.join(id.to_string());
            let mut config = NodeConfig::<P>::new(id, cluster.clone(), data)
                .map_err(|error| error.to_string())?;
            config.listen = addresses[&id];
            config.peers = addresses.clone();
            config.create = true;
            config.keys = keys.of_node(id);
            config.limits.max_batch_commands = batch;
            let node = synod_runtime::start::<P, KvStore>(config, KvStore::default()).await;
            nodes.push(node.map_err(|error| format!("{id} does not start: {error}"))?);
        }
        let started = Self { cluster, addresses, nodes, keys, protocol: PhantomData };
        started.elect().await?;
        Ok(started)
    }

    /// Makes node 0 the leader, where commands go to a leader.
    async fn elect(&self) -> Result<(), String> {
        if P::INFO.takes != Takes::Leader {
            return Ok(());
        }
        let node = &self.nodes[CLIENTS_AT.index()];
        let mut status = node.watch_status();
        // Its peers may not be connected yet, so one wish may not be enough.
        for _ in 0..READY.as_secs() * 2 {
            node.campaign();
            let leads = status.wait_for(|status| status.leader == Some(CLIENTS_AT));
            if let Ok(Ok(_)) = tokio::time::timeout(Duration::from_millis(500), leads).await {
                return Ok(());
            }
        }
        Err(format!("node 0 did not become the leader within {READY:?}"))
    }

    /// The client of this number, not yet connected.
    pub(super) fn client(&self, number: usize) -> Result<ClusterClient, String> {
        let (id, keys) = self.keys.of_client(number);
        let config = ClientConfig {
            cluster: self.cluster.clone(),
            info: P::INFO,
            addresses: self.addresses.clone(),
            id,
            opening: 1,
            patience: consensus_core::Patience {
                attempt: Duration::from_secs(5),
                pause: Duration::from_millis(20),
                give_up: Duration::from_secs(30),
            },
            target: CLIENTS_AT,
            keys,
        };
        ClusterClient::connect(config).map_err(|error| error.to_string())
    }

    /// What each node has done so far.
    pub(super) fn counters(&self) -> Vec<Counters> {
        self.nodes.iter().map(NodeHandle::counters).collect()
    }

    /// Stops all nodes.
    pub(super) async fn stop(self) {
        for node in self.nodes {
            node.shutdown().await;
        }
    }
}

/// Addresses on loopback that were free a moment ago, all different.
fn free_addresses(size: usize) -> std::io::Result<BTreeMap<NodeId, SocketAddr>> {
    let mut listeners = Vec::with_capacity(size);
    for _ in 0..size {
        listeners.push(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?);
    }
    let named = |(id, listener): (usize, &TcpListener)| {
        listener.local_addr().map(|address| (NodeId(id as u8), address))
    };
    listeners.iter().enumerate().map(named).collect()
}
