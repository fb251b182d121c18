//! Puts a node together: checks what it was told, takes its directory, recovers the replica and
//! starts the tasks.

use crate::chance::Chance;
use crate::codec;
use crate::config::NodeConfig;
use crate::directory::Directory;
use crate::driver::{DiskWatch, Driver};
use crate::handle::{NodeHandle, StopReason};
use crate::identity::IdentityError;
use crate::lock::DirLock;
use crate::log_thread;
use crate::node::{Inbox, Node};
use crate::peer::Peer;
use crate::queue::FrameQueue;
use crate::server::Server;
use crate::shared::Shared;
use crate::storage::Files;
use crate::timers::Timers;
use crate::waiting::Waiting;
use crate::wal::{Owner, Wal, WalError, sync_dir};
use crate::wire::Hello;
use bytes::Bytes;
use consensus_core::{
    AuthMeter, ConfigError, ConsensusProtocol, Counters, DEFAULT_SESSIONS, Durable, Effects,
    Executor, Incarnation, Outbox, RecoverError, StateMachine, Status,
};
use std::collections::BTreeMap;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::Instant;

/// Messages, or client requests, that wait for the node; bytes are bounded apart from that.
const INBOX: usize = 8192;

/// Why a node did not start. Nothing of it runs then.
#[derive(Debug)]
pub enum StartError {
    /// The cluster, or the algorithm in it, cannot be.
    Config(ConfigError),
    /// The node's own settings cannot be.
    Settings(String),
    /// The address is not a loopback address, and nobody said that this is wanted.
    Remote(SocketAddr),
    /// The address cannot be listened on.
    Listen(SocketAddr, io::Error),
    /// The data directory cannot be used.
    Directory(PathBuf, io::Error),
    /// Another process uses the data directory.
    Locked(PathBuf),
    /// The data directory is not this replica's.
    Identity(IdentityError),
    /// The log cannot be used.
    Log(WalError),
    /// A record of the log is none of this algorithm's.
    Record(u64, codec::CodecError),
    /// The records contradict each other.
    Recover(RecoverError),
    /// The operating system gave no thread.
    Thread(io::Error),
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Config(error) => write!(f, "{error}"),
            Self::Settings(why) => f.write_str(why),
            Self::Remote(address) => write!(
                f,
                "{address} can be reached from other machines, and there is no encryption and no \
                 proof of who connects yet: listen on 127.0.0.1, or allow it with `allow_remote` \
                 (on the command line `--allow-remote`) in a network in which you trust everybody"
            ),
            Self::Listen(address, error) if error.kind() == io::ErrorKind::AddrInUse => write!(
                f,
                "could not listen on {address}: another process does. Stop it, or choose another \
                 port"
            ),
            Self::Listen(address, error) => write!(f, "could not listen on {address}: {error}"),
            Self::Directory(dir, error) => {
                write!(f, "could not use the data directory {}: {error}", dir.display())
            }
            Self::Locked(dir) => write!(
                f,
                "another process uses {}: a replica that still runs, most likely. Stop it first",
                dir.display()
            ),
            Self::Identity(error) => write!(f, "{error}"),
            Self::Log(error) => write!(f, "{error}"),
            Self::Record(number, error) => write!(
                f,
                "record {number} of the log is intact, but not one of this program's: {error}. Use \
                 the version of the program that wrote it"
            ),
            Self::Recover(error) => write!(f, "{error}"),
            Self::Thread(error) => write!(f, "could not start the log thread: {error}"),
        }
    }
}

impl std::error::Error for StartError {}

impl From<IdentityError> for StartError {
    fn from(error: IdentityError) -> Self {
        Self::Identity(error)
    }
}

impl From<WalError> for StartError {
    fn from(error: WalError) -> Self {
        Self::Log(error)
    }
}

/// Starts a node. When this returns, it listens; whether it has found its peers is another
/// question, see [`NodeHandle::watch_status`].
///
/// # Errors
/// If the configuration cannot be, the port or the directory is taken, or the directory is not
/// this replica's or is damaged; the error says what to do. Nothing is left running.
pub async fn start<P, S>(config: NodeConfig<P>, machine: S) -> Result<NodeHandle, StartError>
where
    P: ConsensusProtocol,
    S: StateMachine,
{
    check(&config)?;
    let listening = TcpListener::bind(config.listen).await;
    let listener = listening.map_err(|error| StartError::Listen(config.listen, error))?;
    let local_addr =
        listener.local_addr().map_err(|error| StartError::Listen(config.listen, error))?;
    let disk = tokio::task::spawn_blocking(move || open_disk(config));
    let (config, disk) = match disk.await {
        Ok(opened) => opened?,
        Err(error) => return Err(StartError::Thread(io::Error::other(error))),
    };
    launch(config, disk, machine, listener, local_addr)
}

fn check<P: ConsensusProtocol>(config: &NodeConfig<P>) -> Result<(), StartError> {
    config.cluster.validate().map_err(StartError::Config)?;
    config.limits.validate().map_err(StartError::Settings)?;
    if !config.cluster.contains(config.id) {
        return Err(StartError::Settings(format!(
            "there is no {} in a cluster of {} replicas; they are numbered from 0",
            config.id, config.cluster.size
        )));
    }
    for peer in config.cluster.peers_of(config.id).iter() {
        if !config.peers.contains_key(&peer) {
            return Err(StartError::Settings(format!("the address of {peer} is missing")));
        }
    }
    if !config.allow_remote && !config.listen.ip().is_loopback() {
        return Err(StartError::Remote(config.listen));
    }
    Ok(())
}

/// A data directory that was taken, and the replica in it.
struct Disk<P> {
    lock: DirLock,
    wal: Wal,
    incarnation: Incarnation,
    records: usize,
    replica: P,
}

/// Takes the data directory and recovers the replica. Blocks.
fn open_disk<P: ConsensusProtocol>(
    config: NodeConfig<P>,
) -> Result<(NodeConfig<P>, Disk<P>), StartError> {
    let dir = config.data_dir.as_path();
    if config.create {
        make_dir(dir).map_err(|error| unusable(dir, error))?;
    } else if !dir.exists() {
        return Err(IdentityError::Empty(dir.to_path_buf()).into());
    }
    let lock = DirLock::take(dir).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StartError::Locked(dir.to_path_buf()),
        _ => unusable(dir, error),
    })?;
    let owner = Owner { cluster: config.cluster.id, node: config.id };
    let directory = Directory { storage: &*config.storage, dir, owner, algorithm: P::INFO.name };
    let opened = directory.open(config.create, config.sync)?;
    let decoded = decode::<P>(&opened.records)?;
    // Before the replica may number anything with it.
    let (wal, incarnation) = opened.begin(&directory)?;
    let records = decoded.len();
    let durable = Durable::of(incarnation, decoded);
    let replica =
        P::recover(config.id, config.protocol.clone(), durable).map_err(StartError::Recover)?;
    Ok((config, Disk { lock, wal, incarnation, records, replica }))
}

/// Makes a directory and what is missing above it, durably: a directory whose name is lost in a
/// power cut takes everything in it along.
fn make_dir(dir: &Path) -> io::Result<()> {
    let missing: Vec<_> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    std::fs::create_dir_all(dir)?;
    for made in missing.into_iter().rev().filter(|made| !made.as_os_str().is_empty()) {
        sync_dir(&Files, made).map_err(io::Error::other)?;
    }
    Ok(())
}

fn unusable(dir: &Path, error: io::Error) -> StartError {
    StartError::Directory(dir.to_path_buf(), error)
}

fn decode<P: ConsensusProtocol>(records: &[Bytes]) -> Result<Vec<P::Record>, StartError> {
    let numbered = records.iter().zip(1..);
    numbered
        .map(|(bytes, number)| {
            codec::decode(bytes).map_err(|error| StartError::Record(number, error))
        })
        .collect()
}

/// What all tasks of this node share.
fn share<P: ConsensusProtocol>(
    config: &NodeConfig<P>,
    incarnation: Incarnation,
    status: watch::Receiver<Status>,
) -> Arc<Shared> {
    Arc::new(Shared {
        id: config.id,
        cluster: config.cluster.clone(),
        algorithm: P::INFO.name,
        incarnation,
        keys: Arc::clone(&config.keys),
        meter: AuthMeter::default(),
        limits: config.limits,
        started: Instant::now(),
        counts: Arc::new(Mutex::new(Counters::default())),
        rejected: AtomicU64::new(0),
        status,
        pending: Arc::new(Semaphore::new(config.limits.max_pending_bytes)),
        clients: AtomicUsize::new(0),
        stopping: AtomicBool::new(false),
    })
}

/// Starts all tasks of a node.
fn launch<P: ConsensusProtocol, S: StateMachine>(
    config: NodeConfig<P>,
    disk: Disk<P>,
    machine: S,
    listener: TcpListener,
    local_addr: SocketAddr,
) -> Result<NodeHandle, StartError> {
    let Disk { lock, wal, incarnation, records, replica } = disk;
    let (status, status_seen) = watch::channel(replica.status());
    let shared = share(&config, incarnation, status_seen);
    let (log_events, log) = mpsc::unbounded_channel();
    let thread = log_thread::start(format!("log-{}", config.id), wal, log_events);
    let (log_handle, log_thread) = thread.map_err(StartError::Thread)?;

    let (links, dialling) = dial_peers(&config, incarnation);
    let (to_node, peers) = mpsc::channel(INBOX);
    let (requests, clients) = mpsc::channel(INBOX);
    let (control, controlled) = mpsc::unbounded_channel();
    let (stop, stopping) = watch::channel(false);
    let server = Server::<P>::new(Arc::clone(&shared), to_node, requests);
    let accepting = tokio::spawn(server.run(listener, stopping));

    let driver = Driver {
        id: config.id,
        limits: config.limits,
        log: log_handle,
        links,
        outbox: Outbox::after_recovery(records, P::INFO.links),
        timers: Timers::new(),
        executor: Executor::new(machine, DEFAULT_SESSIONS),
        waiting: Waiting::new(config.id, config.cluster.id, P::INFO.answers, config.keys),
        counters: Arc::clone(&shared.counts),
        chance: Chance::from_system(),
        unwritten: Vec::new(),
        disk: DiskWatch::new(config.cluster.timing.election_max * 2),
    };
    let node = Node {
        replica,
        effects: Effects::after_recovery(records),
        driver,
        shared: Arc::clone(&shared),
        status,
        gathered: Vec::new(),
        gathered_bytes: 0,
        proposed_at: shared.started,
        stop_at: None,
    };
    let running = tokio::spawn(node.run(Inbox { log, control: controlled, peers, clients }));
    let task = running.abort_handle();
    let (ended, stopped) = watch::channel(None);
    let ending = Arc::clone(&shared);
    tokio::spawn(async move {
        let reason = reason_of(running.await);
        tracing::info!(node = %ending.id, %reason, "the node stops");
        ending.stop_admitting();
        clear_up(dialling, stop, accepting, log_thread).await;
        drop(lock);
        ended.send_replace(Some(reason));
    });
    Ok(NodeHandle { shared, local_addr, control, task, stopped })
}

/// Starts a task for each peer.
fn dial_peers<P: ConsensusProtocol>(
    config: &NodeConfig<P>,
    incarnation: Incarnation,
) -> (BTreeMap<consensus_core::NodeId, Arc<FrameQueue>>, JoinSet<()>) {
    let mut links = BTreeMap::new();
    let mut tasks = JoinSet::new();
    for node in config.cluster.peers_of(config.id).iter() {
        let queue = Arc::new(FrameQueue::new(config.limits.peer_queue_bytes));
        links.insert(node, Arc::clone(&queue));
        let hello = Hello::Peer {
            cluster: config.cluster.id,
            algorithm: P::INFO.name.to_string(),
            from: config.id,
            to: node,
            incarnation,
        };
        let address = config.peers[&node];
        tasks.spawn(Peer { node, address, hello, queue, limits: config.limits }.run());
    }
    (links, tasks)
}

fn reason_of(ended: Result<StopReason, tokio::task::JoinError>) -> StopReason {
    match ended.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(reason) => reason,
        Err(Err(_)) => StopReason::Killed,
        Err(Ok(panic)) => {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            StopReason::Panicked(text.unwrap_or("without a word").to_string())
        }
    }
}

/// Ends what is left of a node whose loop has ended.
async fn clear_up(
    mut dialling: JoinSet<()>,
    stop: watch::Sender<bool>,
    accepting: JoinHandle<()>,
    log_thread: std::thread::JoinHandle<()>,
) {
    dialling.shutdown().await;
    stop.send_replace(true);
    let _ = accepting.await;
    // The thread has no more orders; it may be in its last sync.
    let _ = tokio::task::spawn_blocking(move || log_thread.join()).await;
}
