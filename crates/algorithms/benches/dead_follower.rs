//! What a cluster keeps while one of its replicas is dead: three replicas on real disks and
//! sockets in this process, one of them killed after the first commands; then as many commands as
//! were asked for, and at each quarter the memory of the whole process (its peak is that of the
//! system, since the process began) and what the leader keeps.
//!
//! ```text
//! cargo bench -p synod-algorithms --bench dead_follower -- raft 2000000
//! ```

use consensus_core::{Audit, ClientId, Cluster, ClusterId, NoKeys, NodeId, Outcome, Patience};
use std::collections::BTreeMap;
use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};
use synod_multipaxos::MultiPaxos;
use synod_raft::Raft;
use synod_runtime::{ClientConfig, ClusterClient, NodeConfig, NodeHandle, start};
use synod_sim::{Operation, Registers};
use tokio::task::JoinSet;

type Result<T = ()> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

const LEADER: NodeId = NodeId(0);
const DEAD: NodeId = NodeId(2);
const CLIENTS: u64 = 256;
/// A snapshot is taken after so many bytes of records: eight times as often as usual, so that the
/// first quarter has seen some.
const SNAPSHOT_AFTER: u64 = 8 << 20;

/// The replicas, and who wants to talk to them.
struct Trio<P: Audit> {
    cluster: Cluster,
    addresses: BTreeMap<NodeId, SocketAddr>,
    nodes: BTreeMap<NodeId, NodeHandle>,
    folder: PathBuf,
    protocol: std::marker::PhantomData<fn() -> P>,
}

impl<P: Audit> Trio<P> {
    async fn start(folder: &Path) -> Result<Self> {
        let cluster = Cluster::new(ClusterId(1), 3);
        let free = |node| {
            let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
            Ok::<_, std::io::Error>((node, listener))
        };
        let listeners: BTreeMap<_, _> =
            cluster.nodes().iter().map(free).collect::<std::result::Result<_, _>>()?;
        let address =
            |(node, listener): (&NodeId, &TcpListener)| Ok((*node, listener.local_addr()?));
        let addresses: BTreeMap<_, _> =
            listeners.iter().map(address).collect::<std::io::Result<_>>()?;
        drop(listeners);
        let mut nodes = BTreeMap::new();
        for id in cluster.nodes().iter() {
            let data = folder.join(id.to_string());
            let mut config = NodeConfig::<P>::new(id, cluster.clone(), data)?;
            config.listen = addresses[&id];
            config.peers = addresses.clone();
            config.create = true;
            config.limits.snapshot_after = SNAPSHOT_AFTER;
            nodes.insert(id, start(config, Registers::default()).await?);
        }
        let (folder, protocol) = (folder.to_owned(), std::marker::PhantomData);
        Ok(Self { cluster, addresses, nodes, folder, protocol })
    }

    fn client(&self, number: u64) -> Result<ClusterClient> {
        Ok(ClusterClient::connect(ClientConfig {
            cluster: self.cluster.clone(),
            info: P::INFO,
            addresses: self.addresses.clone(),
            id: ClientId(number + 1),
            opening: 1,
            patience: Patience { give_up: Duration::from_secs(60), ..Patience::default() },
            target: LEADER,
            keys: Arc::new(NoKeys),
        })?)
    }

    /// What the process and the leader need just now.
    fn line(&self, done: u64, begun: Instant) -> String {
        let status = self.nodes[&LEADER].status();
        let log = std::fs::metadata(self.folder.join(LEADER.to_string()).join("wal.log"));
        format!(
            "{done:>9} {:>5} {:>7} {:>7} {:>9} {:>9}",
            begun.elapsed().as_secs(),
            memory("VmRSS:"),
            memory("VmHWM:"),
            status.last.0 - status.purged.0,
            log.map_or(0, |file| file.len() >> 10),
        )
    }
}

/// What the system says of this process, in MiB; a dash where it says nothing.
fn memory(what: &str) -> String {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(what));
    let kib: Option<u64> = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    kib.map_or("-".to_owned(), |kib| (kib >> 10).to_string())
}

/// Asks one command after the other until none is left, and gives the client back.
async fn ask(mut client: ClusterClient, left: Arc<AtomicU64>) -> Result<ClusterClient> {
    let take = |left: u64| left.checked_sub(1);
    while left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, take).is_ok() {
        let mut outcome = client.call(Operation::Append(1, 1).encode()).await?;
        while !matches!(outcome, Outcome::Committed { .. }) {
            outcome = client.resume().await?;
        }
    }
    Ok(client)
}

/// The whole run.
async fn run<P: Audit>(commands: u64, folder: &Path) -> Result {
    let mut trio = Trio::<P>::start(folder).await?;
    trio.nodes[&LEADER].campaign();
    let clients: Result<Vec<_>> = (0..CLIENTS).map(|number| trio.client(number)).collect();
    let mut clients = clients?;
    let first = Arc::new(AtomicU64::new(1_000));
    ask(trio.client(CLIENTS)?, first).await?;
    trio.nodes.remove(&DEAD).ok_or("there are three")?.kill().await;
    say(" commands     s RSS MiB    peak log entries   log KiB");
    let begun = Instant::now();
    for quarter in 1..=4 {
        let left = Arc::new(AtomicU64::new(commands / 4));
        let mut asking = JoinSet::new();
        for client in clients.drain(..) {
            asking.spawn(ask(client, Arc::clone(&left)));
        }
        while let Some(back) = asking.join_next().await {
            clients.push(back??);
        }
        say(&trio.line(quarter * (commands / 4), begun));
    }
    Ok(())
}

#[expect(clippy::print_stdout, reason = "a program talks")]
fn say(line: &str) {
    println!("{line}");
}

fn main() -> Result {
    // `cargo bench` adds a word of its own.
    let words = std::env::args().skip(1).filter(|word| word != "--bench");
    let words: Vec<String> = words.collect();
    let [algorithm, commands] = &words[..] else {
        return Err("raft or multipaxos, and how many commands".into());
    };
    let commands = commands.parse()?;
    let folder = std::env::temp_dir().join(format!("synod-dead-follower-{}", std::process::id()));
    let runtime = tokio::runtime::Runtime::new()?;
    let done = match algorithm.as_str() {
        "raft" => runtime.block_on(run::<Raft>(commands, &folder)),
        "multipaxos" => runtime.block_on(run::<MultiPaxos>(commands, &folder)),
        // Paxos and PBFT keep their whole logs.
        other => Err(format!("'{other}' is neither raft nor multipaxos").into()),
    };
    drop(std::fs::remove_dir_all(&folder));
    done
}
