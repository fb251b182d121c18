//! What the tests share: a toy protocol, a toy service, a cluster in this process.

// A program of tests exports nothing.
#![allow(unreachable_pub)]

pub mod toy;

use bytes::Bytes;
use consensus_core::{
    Authenticator, ClientId, Cluster, ClusterId, ConsensusProtocol, Fingerprint, NodeId, Patience,
    RestoreError, Signer, StateMachine, Tag,
};
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use synod_runtime::{
    ClientConfig, ClusterClient, DiscardUnsynced, NodeConfig, NodeHandle, StartError, start,
};
use toy::Toy;

/// This program once more, for one of its tests and with a planted bug.
#[cfg(feature = "mutants")]
pub fn planted(bug: &str, test: &str) -> std::io::Result<std::process::Command> {
    let mut child = std::process::Command::new(std::env::current_exe()?);
    child.args(["--exact", test]).env("SYNOD_MUTANT", bug);
    Ok(child)
}

/// Numbers what it applies, from 1. A command is one byte, many times; others stop the node.
#[derive(Default)]
pub struct Counter(u64);

impl StateMachine for Counter {
    fn apply(&mut self, command: &Bytes) -> Bytes {
        let first = command.first().unwrap_or(&0);
        assert!(command.iter().all(|byte| byte == first), "nobody asked for {command:?}");
        self.0 += 1;
        Bytes::copy_from_slice(&self.0.to_le_bytes())
    }

    fn query(&self, _question: &Bytes) -> Bytes {
        Bytes::copy_from_slice(&self.0.to_le_bytes())
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.to_le_bytes().to_vec()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let word = snapshot.try_into().map_err(|_| RestoreError("no counter".into()))?;
        self.0 = u64::from_le_bytes(word);
        Ok(())
    }
}

/// A stand-in for signatures: a hash over signer and bytes.
pub struct Stamps(pub Signer);

fn stamp(signer: Signer, bytes: &[u8]) -> Tag {
    Tag(Bytes::copy_from_slice(&Fingerprint::of(&(signer, bytes)).0.to_le_bytes()))
}

impl Authenticator for Stamps {
    fn sign(&self, bytes: &[u8]) -> Tag {
        stamp(self.0, bytes)
    }

    fn check(&self, signer: Signer, bytes: &[u8], tag: &Tag) -> bool {
        stamp(signer, bytes) == *tag
    }
}

/// A directory that is removed when dropped.
pub struct Scratch(PathBuf);

impl Scratch {
    pub fn new() -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let name = format!("synod-runtime-{}-{number}", std::process::id());
        let path = std::env::temp_dir().join(name);
        std::fs::create_dir_all(&path).expect("a directory for the test");
        Self(path)
    }

    pub fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Where the nodes of a test listen: each port is given out once, and lies below those that the
/// system gives to whoever asks for any, so that it stays free while its node is down. Other
/// processes with the same tests keep off it, too: while this one lives, it has the port of this
/// number for datagrams, for which nobody else has a use.
fn free_addresses(nodes: usize) -> BTreeMap<NodeId, SocketAddr> {
    static NEXT: AtomicU64 = AtomicU64::new(0);
    static TAKEN: Mutex<Vec<UdpSocket>> = Mutex::new(Vec::new());
    let start = u64::from(std::process::id()) * 97;
    let is_free = |address: &SocketAddr| {
        let Ok(mark) = UdpSocket::bind(address) else { return false };
        TAKEN.lock().expect("nobody fails here").push(mark);
        TcpListener::bind(address).is_ok()
    };
    let mut free = std::iter::repeat_with(|| {
        let number = start + NEXT.fetch_add(1, Ordering::Relaxed);
        SocketAddr::from((Ipv4Addr::LOCALHOST, 12_000 + (number % 18_000) as u16))
    })
    .filter(is_free);
    (0..nodes as u8).map(NodeId).map(|node| (node, free.next().expect("ports"))).collect()
}

/// A cluster of toys in this process, over disks that forget what was not synced.
pub struct ToyCluster<const ALL: bool> {
    pub dir: Scratch,
    pub cluster: Cluster,
    pub addresses: BTreeMap<NodeId, SocketAddr>,
    pub nodes: BTreeMap<NodeId, NodeHandle>,
}

impl<const ALL: bool> ToyCluster<ALL> {
    pub async fn new(size: usize) -> Self {
        let mut cluster = Self::unstarted(size);
        for node in cluster.cluster.nodes().iter() {
            let mut config = cluster.config(node);
            config.create = true;
            let handle = start(config, Counter::default()).await.expect("a fresh node starts");
            cluster.nodes.insert(node, handle);
        }
        cluster
    }

    pub fn unstarted(size: usize) -> Self {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = ClusterId(NEXT.fetch_add(1, Ordering::Relaxed).into());
        let cluster = Cluster::new(id, size);
        let addresses = free_addresses(size);
        Self { dir: Scratch::new(), cluster, addresses, nodes: BTreeMap::new() }
    }

    /// The configuration of a node that ran before.
    pub fn config(&self, node: NodeId) -> NodeConfig<Toy<ALL>> {
        let dir = self.dir.path().join(node.to_string());
        let mut config = NodeConfig::new(node, self.cluster.clone(), dir).expect("a toy");
        config.listen = self.addresses[&node];
        config.peers = self.addresses.clone();
        config.storage = Arc::new(DiscardUnsynced);
        config.keys = Arc::new(Stamps(Signer::Node(node)));
        config
    }

    pub async fn restart(&mut self, node: NodeId) -> Result<(), StartError> {
        let handle = start(self.config(node), Counter::default()).await?;
        self.nodes.insert(node, handle);
        Ok(())
    }

    pub async fn kill(&mut self, node: NodeId) {
        self.nodes.remove(&node).expect("it runs").kill().await;
    }

    pub fn client(&self) -> ClusterClient {
        let patience = Patience {
            attempt: Duration::from_millis(500),
            pause: Duration::from_millis(10),
            give_up: Duration::from_secs(20),
        };
        self.client_with(patience)
    }

    pub fn client_with(&self, patience: Patience) -> ClusterClient {
        self.client_of(NodeId(0), patience)
    }

    /// A client that asks this replica first.
    pub fn client_of(&self, target: NodeId, patience: Patience) -> ClusterClient {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        let id = ClientId(NEXT.fetch_add(1, Ordering::Relaxed));
        ClusterClient::connect(ClientConfig {
            cluster: self.cluster.clone(),
            info: Toy::<ALL>::INFO,
            addresses: self.addresses.clone(),
            id,
            opening: 1,
            patience,
            target,
            keys: Arc::new(Stamps(Signer::Client(id))),
        })
        .expect("a client")
    }
}

/// The number that [`Counter`] gave to a command.
pub fn number(result: &Bytes) -> u64 {
    u64::from_le_bytes(result[..].try_into().expect("a counter's result has eight bytes"))
}
