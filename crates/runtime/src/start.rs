//! Puts a node together: checks what it was told, takes its directory, recovers the replica and
//! starts the tasks.

use crate::chance::Chance;
use crate::clock::Clock;
use crate::codec;
use crate::config::NodeConfig;
use crate::directory::{Begun, Directory, Newness};
use crate::driver::{DiskWatch, Driver, Queries, Snapshotting};
use crate::handle::{NodeHandle, StopReason, words_of};
use crate::identity::{Identity, IdentityError};
use crate::links::Links;
use crate::listening::Listening;
use crate::lock::DirLock;
use crate::log_thread;
use crate::node::{Inbox, Node};
use crate::peer_disks::PeerDisks;
use crate::room::Room;
use crate::server::Server;
use crate::shared::{Facts, Shared};
use crate::snapshots::{self, Snapshots};
use crate::start_error::StartError;
use crate::storage::Storage;
use crate::timers::Timers;
use crate::waiting::Waiting;
use crate::wal::{Owner, Wal, sync_dir};
use crate::wish::Wishes;
use bytes::Bytes;
use consensus_core::mutant::planted;
use consensus_core::{
    AuthMeter, ConsensusProtocol, Counters, DEFAULT_SESSIONS, DiskNews, Durable, Effects, Executor,
    Incarnation, LogIndex, StateMachine, Status,
};
use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize};
use std::sync::{Arc, Mutex};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// Messages, or client requests, that wait for the node; bytes are bounded apart from that.
const INBOX: usize = 8192;
/// Wishes of operators that wait for the node.
const WISHES: usize = 16;

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
    let taken = |error| StartError::Listen(config.listen, error);
    let listening = Listening::on(config.listen).await.map_err(taken)?;
    let local_addr = listening.address().map_err(taken)?;
    let disk = tokio::task::spawn_blocking(move || open_disk(config, machine));
    let (config, disk) = match disk.await {
        Ok(opened) => opened?,
        Err(error) => return Err(StartError::Thread(io::Error::other(error))),
    };
    launch(config, disk, listening, local_addr)
}

fn check<P: ConsensusProtocol>(config: &NodeConfig<P>) -> Result<(), StartError> {
    config.cluster.validate().map_err(StartError::Config)?;
    config.limits.validate().map_err(StartError::Settings)?;
    let wrong = |why: String| Err(StartError::Settings(why));
    if !config.cluster.contains(config.id) {
        return wrong(format!(
            "there is no {} in a cluster of {} replicas; they are numbered from 0",
            config.id, config.cluster.size
        ));
    }
    let voters = config.cluster.voters;
    if voters.is_empty() && !config.peers.keys().any(|peer| *peer != config.id) {
        return wrong("a replica that joins needs the address of at least one member".into());
    }
    if !voters.is_empty() && !voters.contains(config.id) {
        return wrong(format!(
            "{} is none of the first voters: a replica that joins is told no voters",
            config.id
        ));
    }
    for peer in voters.without(config.id).iter() {
        if !config.peers.contains_key(&peer) {
            return wrong(format!("the address of {peer} is missing"));
        }
    }
    if !config.allow_remote && !config.listen.ip().is_loopback() {
        return Err(StartError::Remote(config.listen));
    }
    Ok(())
}

/// A data directory that was taken, and the replica in it.
struct Disk<P, S> {
    lock: DirLock,
    wal: Wal,
    snapshots: Snapshots,
    peers: PeerDisks,
    identity: Identity,
    /// The newest snapshot covers everything up to here.
    newest: LogIndex,
    records: usize,
    replica: P,
    executor: Executor<S>,
}

/// Takes the data directory, restores the state machine, and recovers the replica. Blocks.
fn open_disk<P: ConsensusProtocol, S: StateMachine>(
    config: NodeConfig<P>,
    machine: S,
) -> Result<(NodeConfig<P>, Disk<P, S>), StartError> {
    let dir = config.data_dir.as_path();
    if config.create {
        make_dir(&*config.storage, dir).map_err(|error| unusable(dir, error))?;
    } else if !dir.exists() {
        return Err(IdentityError::Empty(dir.to_path_buf()).into());
    }
    let lock = DirLock::take(dir).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StartError::Locked(dir.to_path_buf()),
        _ => unusable(dir, error),
    })?;
    let directory = Directory {
        storage: Arc::clone(&config.storage),
        dir,
        owner: Owner { cluster: config.cluster.id, node: config.id },
        algorithm: P::INFO.name,
        chunk: config.limits.snapshot_chunk,
    };
    let joins = config.cluster.voters.is_empty();
    let newness = match (config.create, joins) {
        (false, _) => Newness::Old,
        (true, false) => Newness::First,
        (true, true) => Newness::Joins,
    };
    let mut opened = directory.open(newness, config.sync)?;
    if opened.identity.joined != joins {
        let (dir, joined) = (dir.to_path_buf(), opened.identity.joined);
        return Err(IdentityError::Joined { dir, joined }.into());
    }
    let decoded = decode::<P>(&opened.records)?;
    let mut executor = Executor::new(machine, DEFAULT_SESSIONS);
    let snapshot = opened.snapshot.take();
    if let Some(newest) = &snapshot {
        let restored = executor.restore(&newest.bytes);
        restored.map_err(|error| StartError::Restore(dir.to_path_buf(), error))?;
    }
    let wrong = std::mem::take(&mut opened.wrong);
    // Before the replica may number anything with it.
    let Begun { wal, snapshots, identity } = opened.begin(&directory)?;
    let records = decoded.len();
    let newest = snapshot.as_ref().map_or(LogIndex::ZERO, |newest| newest.meta.index);
    let durable = Durable {
        incarnation: if planted("N20") { Incarnation(1) } else { identity.incarnation },
        records: decoded,
        snapshot: snapshot.map(|newest| newest.meta),
    };
    let replica = recover::<P>(&config, durable, newest, wrong)?;
    let peers = PeerDisks::open(Arc::clone(&config.storage), dir);
    let peers = peers.map_err(|error| unusable(dir, error))?;
    let disk = Disk { lock, wal, snapshots, peers, identity, newest, records, replica, executor };
    Ok((config, disk))
}

/// Recovers the replica. A log that begins behind the snapshot that was found has a hole before it,
/// which nothing may be applied over.
fn recover<P: ConsensusProtocol>(
    config: &NodeConfig<P>,
    durable: Durable<P::Record>,
    newest: LogIndex,
    wrong: Vec<String>,
) -> Result<P, StartError> {
    for why in &wrong {
        tracing::warn!(why, "a snapshot is damaged");
    }
    let dir = config.data_dir.clone();
    let recovered = P::recover(config.id, config.protocol.clone(), durable);
    let replica = match recovered {
        Ok(replica) => replica,
        Err(error) if wrong.is_empty() => return Err(StartError::Recover(error)),
        Err(error) => {
            let wrong = [wrong, vec![error.to_string()]].concat();
            return Err(StartError::Snapshot { dir, purged: newest, wrong });
        }
    };
    let purged = replica.status().purged;
    if purged > newest {
        return Err(StartError::Snapshot { dir, purged, wrong });
    }
    Ok(replica)
}

/// Makes a directory and what is missing above it, durably: a directory whose name is lost in a
/// power cut takes everything in it along.
fn make_dir(storage: &dyn Storage, dir: &Path) -> io::Result<()> {
    let missing: Vec<_> = dir.ancestors().take_while(|dir| !dir.exists()).collect();
    std::fs::create_dir_all(dir)?;
    for made in missing.into_iter().rev().filter(|made| !made.as_os_str().is_empty()) {
        sync_dir(storage, made).map_err(io::Error::other)?;
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
    newest: LogIndex,
) -> Arc<Shared> {
    let facts = Facts { applied: newest, snapshot: newest, ..Facts::default() };
    Arc::new(Shared {
        id: config.id,
        cluster: config.cluster.clone(),
        algorithm: P::INFO.name,
        incarnation,
        keys: Arc::clone(&config.keys),
        meter: AuthMeter::default(),
        limits: config.limits,
        clock: Clock::start(),
        counts: Arc::new(Mutex::new(Counters::default())),
        rejected: AtomicU64::new(0),
        status,
        pending: Room::new(config.limits.max_pending_bytes),
        clients: AtomicUsize::new(0),
        stopping: AtomicBool::new(false),
        facts: Mutex::new(facts),
        contacts: Mutex::default(),
    })
}

/// The threads of a node, to be waited for at its end.
struct Threads {
    log: std::thread::JoinHandle<()>,
    snapshots: std::thread::JoinHandle<()>,
}

/// Starts all tasks of a node.
fn launch<P: ConsensusProtocol, S: StateMachine>(
    config: NodeConfig<P>,
    disk: Disk<P, S>,
    listening: Listening,
    local_addr: SocketAddr,
) -> Result<NodeHandle, StartError> {
    let Disk { lock, wal, snapshots, peers: disks, identity, newest, records, .. } = disk;
    let (replica, executor) = (disk.replica, disk.executor);
    let (status, status_seen) = watch::channel(replica.status());
    let shared = share(&config, identity.incarnation, status_seen, newest);
    let log_bytes = wal.end();
    let (log_events, log) = mpsc::unbounded_channel();
    let (name, storage) = (format!("log-{}", config.id), Arc::clone(&config.storage));
    let thread = log_thread::start(name, wal, storage, log_events);
    let (log_handle, log_thread) = thread.map_err(StartError::Thread)?;
    let (snapshot_events, snapshotted) = mpsc::unbounded_channel();
    let thread = snapshots::start(format!("snap-{}", config.id), snapshots, snapshot_events);
    let (snapshot_handle, snapshot_thread) = thread.map_err(StartError::Thread)?;

    let contact = Some(local_addr).filter(|address| !address.ip().is_unspecified());
    let links = Links::new(Arc::clone(&shared), identity.disk, contact, config.peers);
    let (to_node, peers) = mpsc::channel(INBOX);
    let (requests, clients) = mpsc::channel(INBOX);
    let (control, controlled) = mpsc::unbounded_channel();
    let (wishes, wished) = mpsc::channel(WISHES);
    let (stop, stopping) = watch::channel(false);
    let server = Server::<P>::new(Arc::clone(&shared), to_node, requests, wishes.clone(), disks);
    let accepting = tokio::spawn(server.run(listening, stopping));

    let (limits, timing) = (config.limits, config.cluster.timing);
    let driver = Driver {
        id: config.id,
        limits,
        log: log_handle,
        links,
        said: Vec::new(),
        timers: Timers::new(),
        executor,
        waiting: Waiting::new(config.id, config.cluster.id, P::INFO.answers, config.keys),
        counters: Arc::clone(&shared.counts),
        chance: Chance::from_system(),
        unwritten: Vec::new(),
        disk: DiskWatch::new(timing.election_max * 2),
        snapshotting: Snapshotting::new(snapshot_handle, newest, log_bytes, limits.snapshot_after),
        queries: Queries::new(timing.election_max),
        wishes: Wishes::default(),
        members: Default::default(),
    };
    let node = Node {
        replica,
        effects: Effects::after_recovery(records).in_place(),
        news: DiskNews::after_recovery(records),
        driver,
        shared: Arc::clone(&shared),
        status,
        gathered: Vec::new(),
        gathered_bytes: 0,
        proposed_at: Instant::now(),
        stop_at: None,
    };
    let (snapshots, control_in, wishes_in) = (snapshotted, controlled, wished);
    let inbox = Inbox { log, snapshots, control: control_in, wishes: wishes_in, peers, clients };
    let running = tokio::spawn(node.run(inbox));
    let task = running.abort_handle();
    let threads = Threads { log: log_thread, snapshots: snapshot_thread };
    let ending = async move {
        clear_up(stop, accepting, threads).await;
        drop(lock);
    };
    let stopped = see_it_end(running, Arc::clone(&shared), ending);
    Ok(NodeHandle { shared, local_addr, control, wishes, task, stopped })
}

/// Waits for the end of the loop, clears up, and then says why it ended.
fn see_it_end(
    running: JoinHandle<StopReason>,
    shared: Arc<Shared>,
    ending: impl Future<Output = ()> + Send + 'static,
) -> watch::Receiver<Option<StopReason>> {
    let (ended, stopped) = watch::channel(None);
    tokio::spawn(async move {
        let reason = reason_of(running.await);
        tracing::info!(node = %shared.id, %reason, "the node stops");
        shared.stop_admitting();
        ending.await;
        ended.send_replace(Some(reason));
    });
    stopped
}

fn reason_of(ended: Result<StopReason, tokio::task::JoinError>) -> StopReason {
    match ended.map_err(tokio::task::JoinError::try_into_panic) {
        Ok(reason) => reason,
        Err(Err(_)) => StopReason::Killed,
        Err(Ok(panic)) => StopReason::Panicked(words_of(&*panic).to_string()),
    }
}

/// Ends what is left of a node whose loop has ended.
async fn clear_up(stop: watch::Sender<bool>, accepting: JoinHandle<()>, threads: Threads) {
    stop.send_replace(true);
    let _ = accepting.await;
    // The threads have no more orders; they may be in their last sync.
    let join = move || {
        let _ = threads.log.join();
        let _ = threads.snapshots.join();
    };
    let _ = tokio::task::spawn_blocking(join).await;
}
