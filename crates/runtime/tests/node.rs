//! Nodes over real sockets and files, with a toy algorithm.

use crate::support::{Counter, ToyCluster, number};
use bytes::Bytes;
use consensus_core::{
    ClientId, Cluster, ClusterId, NodeId, Outcome, Patience, Refusal, Role, Traffic,
};
use std::collections::BTreeSet;
use std::io;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;
use synod_runtime::{
    ClientError, ClusterClient, DiscardUnsynced, IdentityError, Limits, LogFile, NodeConfig,
    StartError, StopReason, Storage, start,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Longer than anything should take, so that a hang is a failure with a name.
const LONG: Duration = Duration::from_secs(120);

/// The number of a command that must have been applied.
fn applied(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Committed { result, .. } => number(&result),
        other => panic!("not applied: {other:?}"),
    }
}

/// The number of a command that must be applied in the end, however impatient its client is.
async fn applied_in_the_end(client: &mut ClusterClient, outcome: Outcome) -> Result<u64> {
    let mut outcome = outcome;
    while outcome == Outcome::Unknown {
        outcome = client.resume().await?;
    }
    Ok(applied(outcome))
}

/// The same for a new command, which an impatient client may not get away at first.
async fn counted(client: &mut ClusterClient) -> Result<u64> {
    let outcome = asked(client).await?;
    applied_in_the_end(client, outcome).await
}

/// A command that reaches a replica, and its outcome.
async fn asked(client: &mut ClusterClient) -> Result<Outcome> {
    loop {
        match client.call(Bytes::new()).await {
            Err(ClientError::Unreachable(_)) => {}
            ended => return Ok(ended?),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_nodes_decide_and_answer() -> Result {
    let cluster = ToyCluster::<false>::new(3).await;
    let mut client = cluster.client();
    for expected in 1..=20 {
        assert_eq!(applied(client.call(Bytes::from_static(b"aaaa")).await?), expected);
    }
    let leader = &cluster.nodes[&NodeId(0)];
    let counters = leader.counters();
    assert!(counters.writes >= 21, "20 commands and the opening of the session");
    assert!(counters.syncs > 0 && counters.syncs <= counters.writes);
    assert!(counters.sent_for(Traffic::Command).messages > 0);
    assert_eq!(leader.status().role, Role::Leader);

    let report = ClusterClient::status(leader.local_addr()).await?;
    assert_eq!((report.node, &report.algorithm[..], report.incarnation), (NodeId(0), "toy", 1));
    assert_eq!((&report.role[..], report.clients), ("leader", 1));
    assert!(report.committed >= 21);
    assert!(report.counters.sent.iter().any(|sent| sent.kind == "append" && sent.bytes > 0));
    Ok(())
}

/// A replica that does not lead names the leader, and the client goes there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_asks_the_wrong_replica_is_sent_to_the_leader() -> Result {
    let cluster = ToyCluster::<false>::new(3).await;
    let mut client = cluster.client_of(NodeId(2), Patience::default());
    assert_eq!(applied(client.call(Bytes::new()).await?), 1);
    assert_eq!(client.target(), NodeId(0));
    Ok(())
}

/// Property 2: what was acknowledged was synced by a majority. The disks forget at a kill what was
/// not synced, so an acknowledgement that came too early would be lost here.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_over_and_over_it_loses_nothing_that_was_acknowledged() -> Result {
    let mut cluster = ToyCluster::<false>::new(3).await;
    let mut clients: Vec<_> = (0..4).map(|_| cluster.client()).collect();
    let mut highest = 0;
    let mut sum = 0;
    for round in 0..12 {
        let victim = NodeId(round % 3);
        let mut calls = tokio::task::JoinSet::new();
        for mut client in clients.drain(..) {
            calls.spawn(async move {
                let mut numbers = Vec::new();
                for _ in 0..5 {
                    numbers.push(client.call(Bytes::from_static(b"aaaa")).await);
                }
                (client, numbers)
            });
        }
        cluster.kill(victim).await;
        cluster.restart(victim).await?;
        while let Some(done) = calls.join_next().await {
            let (client, numbers) = done?;
            clients.push(client);
            for outcome in numbers {
                highest = highest.max(applied(outcome?));
                sum += 1;
            }
        }
    }
    let last = applied(clients[0].call(Bytes::from_static(b"aaaa")).await?);
    assert!(last > highest);
    assert_eq!(last, sum + 1, "each command was applied once, and none was lost");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_graceful_stop_keeps_everything_and_raises_the_incarnation() -> Result {
    let mut cluster = ToyCluster::<false>::new(3).await;
    let mut client = cluster.client();
    client.call(Bytes::new()).await?;
    for node in cluster.cluster.nodes().iter() {
        let handle = cluster.nodes.remove(&node).expect("it runs");
        assert_eq!(handle.shutdown().await, StopReason::Shutdown);
    }
    for node in cluster.cluster.nodes().iter() {
        cluster.restart(node).await?;
        assert_eq!(cluster.nodes[&node].report().incarnation, 2);
    }
    assert_eq!(applied(client.call(Bytes::new()).await?), 2);
    Ok(())
}

/// PBFT §4.1: the client accepts an answer when f + 1 replicas gave it, so all must answer.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_all_answer_the_client_counts_equal_signed_answers() -> Result {
    let mut cluster = ToyCluster::<true>::new(4).await;
    let mut client = cluster.client();
    for expected in 1..=5 {
        assert_eq!(applied(client.call(Bytes::new()).await?), expected);
    }
    cluster.kill(NodeId(3)).await;
    assert_eq!(applied(client.call(Bytes::new()).await?), 6, "three replicas answer");
    Ok(())
}

/// A leader that steps down does not know what becomes of the commands under way.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_steps_down_leaves_the_outcome_open() -> Result {
    let mut cluster = ToyCluster::<false>::new(3).await;
    let give_up = Duration::from_millis(600);
    let patience = Patience { give_up, attempt: give_up * 2, pause: Duration::from_millis(10) };
    let mut client = cluster.client_with(patience);
    assert_eq!(counted(&mut client).await?, 1);
    // Without a majority nothing is decided; then the leader steps down.
    cluster.kill(NodeId(1)).await;
    cluster.kill(NodeId(2)).await;
    let mut status = cluster.nodes[&NodeId(0)].watch_status();
    let before = status.borrow().last;
    let stepping_down = async {
        status.wait_for(|status| status.last > before).await.expect("it runs");
        cluster.nodes[&NodeId(0)].campaign();
    };
    let (outcome, ()) = tokio::join!(asked(&mut client), stepping_down);
    assert_eq!(outcome?, Outcome::Unknown);
    // It takes over again, with a majority: the same request is applied once.
    cluster.nodes[&NodeId(0)].campaign();
    cluster.restart(NodeId(1)).await?;
    cluster.restart(NodeId(2)).await?;
    assert_eq!(applied_in_the_end(&mut client, Outcome::Unknown).await?, 2);
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_that_is_not_there_is_unreachable_and_not_a_riddle() -> Result {
    let cluster = ToyCluster::<false>::unstarted(3);
    let patience = Patience {
        attempt: Duration::from_millis(100),
        pause: Duration::from_millis(5),
        give_up: Duration::from_millis(100),
    };
    let mut client = cluster.client_with(patience);
    let named = async {
        loop {
            match client.call(Bytes::new()).await {
                Err(ClientError::Unreachable(why)) if why.contains("n0") => return,
                // It gave up before it heard that nobody is there.
                Err(ClientError::Unreachable(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    timeout(LONG, named).await.expect("the replica that did not answer is named");
    let error = ClusterClient::status(cluster.addresses[&NodeId(0)]).await.expect_err("nobody");
    assert!(matches!(error, ClientError::Unreachable(_)));
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_command_that_is_too_large_is_refused_and_the_client_goes_on() -> Result {
    let cluster = ToyCluster::<false>::new(1).await;
    let mut client = cluster.client();
    let large = Bytes::from(vec![1; Limits::default().max_command]);
    assert_eq!(client.call(large).await?, Outcome::Refused(Refusal::TooLarge));
    assert_eq!(applied(client.call(Bytes::new()).await?), 1);
    Ok(())
}

/// Waits until a client that comes late is refused, and told why.
async fn told_busy(cluster: &ToyCluster<false>) {
    let give_up = Duration::from_millis(300);
    let patience = Patience { attempt: LONG, pause: Duration::from_millis(20), give_up };
    let refused = async {
        loop {
            match cluster.client_with(patience).call(Bytes::new()).await {
                Ok(Outcome::Refused(Refusal::Busy)) => return,
                // There was room yet, and is again once it has gone; or it was too impatient.
                Ok(Outcome::Unknown) | Err(ClientError::Unreachable(_)) => {}
                other => panic!("{other:?}"),
            }
        }
    };
    timeout(LONG, refused).await.expect("forty openings do not fit into 1000 bytes");
}

/// Backpressure is an answer of its own, in bytes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn beyond_its_bytes_in_flight_a_replica_is_busy() -> Result {
    let mut cluster = ToyCluster::<false>::unstarted(3);
    let mut config = cluster.config(NodeId(0));
    config.create = true;
    config.limits.max_command = 1000;
    config.limits.max_pending_bytes = 1000;
    let handle = start(config, Counter::default()).await?;
    cluster.nodes.insert(NodeId(0), handle);
    let patience = Patience { attempt: LONG, pause: Duration::from_millis(20), give_up: LONG };
    // Without peers nothing is decided: the openings of sessions fill the room, 37 bytes each.
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let mut client = cluster.client_with(patience);
        calls.spawn(async move { client.call(Bytes::new()).await });
    }
    told_busy(&cluster).await;
    // Who was told so and asked again is served in the end, once.
    for node in [NodeId(1), NodeId(2)] {
        let config = NodeConfig { create: true, ..cluster.config(node) };
        cluster.nodes.insert(node, start(config, Counter::default()).await?);
    }
    let mut numbers = BTreeSet::new();
    while let Some(called) = calls.join_next().await {
        numbers.insert(applied(called??));
    }
    assert_eq!(numbers, (1..=40).collect());
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_broken_invariant_a_gap_and_a_panic_stop_the_node() -> Result {
    for (payload, part) in [
        (&b"halt"[..], "somebody asked"),
        (b"gap", "committed index"),
        (b"panic", "mistake in the program: somebody asked"),
    ] {
        let mut cluster = ToyCluster::<false>::new(1).await;
        let handle = cluster.nodes.remove(&NodeId(0)).expect("it runs");
        let mut client = cluster.client();
        let reason = tokio::select! {
            outcome = client.call(Bytes::from_static(payload)) => panic!("it ends: {outcome:?}"),
            reason = handle.stopped() => reason.to_string(),
        };
        // It would ask again, and the node would stop again.
        drop(client);
        assert!(reason.contains(part), "{reason}");
        cluster.restart(NodeId(0)).await?;
        assert_eq!(applied(cluster.client().call(Bytes::new()).await?), 1);
    }
    Ok(())
}

/// Garbage on the port, other clusters, other algorithms, wrong names: the connection ends, the
/// node goes on.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn garbage_on_the_port_disturbs_nobody() -> Result {
    let cluster = ToyCluster::<false>::new(3).await;
    let address = cluster.nodes[&NodeId(0)].local_addr();
    let hello_then_garbage = [b"SYND\x01\0".as_slice(), &[0xff; 64]].concat();
    for garbage in [
        b"GET / HTTP/1.1\r\n\r\n".to_vec(),
        b"SYND\x09\0".to_vec(),
        vec![0; 10_000],
        hello_then_garbage,
        Vec::new(),
    ] {
        let mut stream = TcpStream::connect(address).await?;
        // The node may close before it has read everything.
        let _ = stream.write_all(&garbage).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
    }
    let mut stranger = ToyCluster::<false>::unstarted(3);
    stranger.addresses = cluster.addresses.clone();
    stranger.cluster = Cluster::new(ClusterId(0xbad), 3);
    let patience = Patience { give_up: Duration::from_millis(100), ..Patience::default() };
    let mut client = stranger.client_with(patience);
    let refused = async {
        loop {
            let error = client.call(Bytes::new()).await.expect_err("refused").to_string();
            if error.contains("this is cluster") {
                return;
            }
        }
    };
    timeout(LONG, refused).await.expect("a stranger is told where he is");
    assert_eq!(applied(cluster.client().call(Bytes::new()).await?), 1);
    Ok(())
}

#[tokio::test]
async fn a_data_directory_that_is_not_this_replicas_is_refused() -> Result {
    let cluster = ToyCluster::<false>::unstarted(1);
    let config = || cluster.config(NodeId(0));
    let fresh = || NodeConfig { create: true, ..config() };
    let dir = config().data_dir;

    let refused = |started: std::result::Result<_, StartError>| match started {
        Err(StartError::Identity(error)) => error,
        Err(other) => panic!("{other}"),
        Ok(_) => panic!("it started"),
    };
    let begin = |config| start(config, Counter::default());

    assert!(matches!(refused(begin(config()).await), IdentityError::Empty(_)));
    let node = begin(fresh()).await?;
    match begin(NodeConfig { listen: (Ipv4Addr::LOCALHOST, 0).into(), ..config() }).await {
        Err(StartError::Locked(_)) => {}
        other => panic!("two processes in one directory: {:?}", other.map(|node| node.id())),
    }
    node.shutdown().await;
    assert!(matches!(refused(begin(fresh()).await), IdentityError::Exists(_)));

    let other = Cluster::new(ClusterId(0x900d), 1);
    let foreign = refused(begin(NodeConfig { cluster: other, ..config() }).await);
    assert!(matches!(foreign, IdentityError::Foreign { what: "cluster", .. }));

    let (log, identity) = (dir.join("wal.log"), dir.join("identity.toml"));
    let kept = std::fs::read(&log)?;
    std::fs::remove_file(&log)?;
    assert!(matches!(refused(begin(config()).await), IdentityError::IdentityWithoutLog(_)));
    std::fs::write(&log, &kept)?;
    let kept = std::fs::read(&identity)?;
    std::fs::remove_file(&identity)?;
    assert!(matches!(refused(begin(fresh()).await), IdentityError::LogWithoutIdentity(_)));
    std::fs::write(&identity, &kept)?;
    assert_eq!(begin(config()).await?.shutdown().await, StopReason::Shutdown);
    Ok(())
}

/// A start that did not finish leaves a log without records and no identity: the next one, which
/// still says that the replica is new, may begin anew.
#[tokio::test]
async fn an_unfinished_first_start_can_be_repeated() -> Result {
    let cluster = ToyCluster::<false>::unstarted(1);
    let config = NodeConfig { create: true, ..cluster.config(NodeId(0)) };
    std::fs::create_dir_all(&config.data_dir)?;
    std::fs::write(config.data_dir.join("wal.log"), b"SYNDW")?;
    assert_eq!(start(config, Counter::default()).await?.shutdown().await, StopReason::Shutdown);
    Ok(())
}

#[tokio::test]
async fn impossible_settings_are_refused_in_words() -> Result {
    let cluster = ToyCluster::<false>::unstarted(2);
    let config = || NodeConfig { create: true, ..cluster.config(NodeId(0)) };
    let refused = async |config: NodeConfig<_>| {
        start(config, Counter::default()).await.expect_err("refused").to_string()
    };
    let everywhere = NodeConfig { listen: (Ipv4Addr::UNSPECIFIED, 0).into(), ..config() };
    assert!(refused(everywhere).await.contains("allow_remote"));
    let stranger = NodeConfig { id: NodeId(5), ..config() };
    assert!(refused(stranger).await.contains("no n5 in a cluster of 2"));
    let lonely = NodeConfig { peers: Default::default(), ..config() };
    assert!(refused(lonely).await.contains("address of n1"));
    let taken = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let busy = NodeConfig { listen: taken.local_addr()?, ..config() };
    assert!(refused(busy).await.contains("another process does"));
    assert!(!config().data_dir.exists(), "nothing was set up");
    Ok(())
}

/// A data directory that was set up anew, or put back from an old copy, has forgotten promises.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_earlier_life_of_a_peer_is_not_let_in() -> Result {
    let mut cluster = ToyCluster::<false>::new(2).await;
    let mut client = cluster.client();
    for _ in 0..2 {
        client.call(Bytes::new()).await?;
        cluster.kill(NodeId(1)).await;
        cluster.restart(NodeId(1)).await?;
    }
    assert_eq!(applied(client.call(Bytes::new()).await?), 3);
    cluster.kill(NodeId(1)).await;
    std::fs::remove_dir_all(cluster.config(NodeId(1)).data_dir)?;
    let config = NodeConfig { create: true, ..cluster.config(NodeId(1)) };
    let heard = || {
        let counters = cluster.nodes[&NodeId(0)].counters();
        counters.received_for(Traffic::Command)
    };
    let wiped = start(config, Counter::default()).await?;
    let patience = Patience { give_up: Duration::from_millis(400), ..Patience::default() };
    let mut client = cluster.client_with(patience);
    // Meanwhile the last words of its earlier life arrive, which are heard.
    assert_eq!(asked(&mut client).await?, Outcome::Unknown);
    let before = heard();
    assert_eq!(asked(&mut client).await?, Outcome::Unknown);
    assert_eq!(heard(), before, "what it acknowledges is not even heard");
    wiped.shutdown().await;
    Ok(())
}

/// Damage before the end of the log, found at the start, is an error that names the place.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_or_shortened_log_keeps_the_replica_from_starting() -> Result {
    let mut cluster = ToyCluster::<false>::new(1).await;
    let mut client = cluster.client();
    for _ in 0..3 {
        client.call(Bytes::from_static(b"aaaa")).await?;
    }
    cluster.nodes.remove(&NodeId(0)).expect("it runs").shutdown().await;
    let log = cluster.config(NodeId(0)).data_dir.join("wal.log");
    let mut bytes = std::fs::read(&log)?;
    let middle = bytes.len() / 2;
    bytes[middle] ^= 4;
    std::fs::write(&log, &bytes)?;
    let error = cluster.restart(NodeId(0)).await.expect_err("damaged");
    assert!(
        matches!(error, StartError::Log(_)) && error.to_string().contains("is damaged at byte")
    );
    bytes[middle] ^= 4;
    std::fs::write(&log, &bytes)?;
    cluster.restart(NodeId(0)).await?;
    assert_eq!(applied(client.call(Bytes::new()).await?), 4);

    // The identity keeps how long the log was at the last start.
    cluster.nodes.remove(&NodeId(0)).expect("it runs").shutdown().await;
    std::fs::write(&log, &bytes[..middle])?;
    let error = cluster.restart(NodeId(0)).await.expect_err("its end is missing");
    assert!(error.to_string().contains("has lost its end"), "{error}");
    Ok(())
}

/// A disk with a tap: while it is closed, syncs do not return.
#[derive(Clone, Default)]
struct Tap(Arc<(Mutex<Flow>, Condvar)>);

#[derive(Default, PartialEq)]
enum Flow {
    #[default]
    Open,
    Closed,
    Broken,
}

impl Tap {
    fn turn(&self, flow: Flow) {
        *self.0.0.lock().expect("nobody panics") = flow;
        self.0.1.notify_all();
    }
}

struct TapFile(Box<dyn LogFile>, Tap);

impl Storage for Tap {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(TapFile(DiscardUnsynced.open(path, create)?, self.clone())))
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        DiscardUnsynced.length(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        DiscardUnsynced.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        DiscardUnsynced.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        DiscardUnsynced.sync_dir(dir)
    }
}

impl LogFile for TapFile {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.0.read()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        let flow = self.1.0.0.lock().expect("nobody panics");
        let flow = self.1.0.1.wait_while(flow, |flow| *flow == Flow::Closed);
        if *flow.expect("nobody panics") == Flow::Broken {
            return Err(io::Error::other("the disk said no"));
        }
        self.0.sync()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.0.cut(length)
    }

    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.rewrite(at, bytes)
    }
}

/// Property 2: nothing that depends on a sync happens before it, however long that takes; and a
/// slow disk fills no memory, since the node reads no more than it can write.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_disk_hangs_nothing_is_promised_and_afterwards_all_goes_on() -> Result {
    let mut cluster = ToyCluster::<false>::unstarted(1);
    let tap = Tap::default();
    let mut config = NodeConfig { create: true, ..cluster.config(NodeId(0)) };
    config.storage = Arc::new(tap.clone());
    config.limits.log_backlog_bytes = 200;
    cluster.nodes.insert(NodeId(0), start(config, Counter::default()).await?);
    let mut first = cluster.client();
    assert_eq!(applied(first.call(Bytes::new()).await?), 1);

    tap.turn(Flow::Closed);
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..20 {
        let mut client = cluster.client();
        calls.spawn(async move { client.call(Bytes::from_static(&[7; 100])).await });
    }
    let mut status = cluster.nodes[&NodeId(0)].watch_status();
    let before = status.borrow().committed;
    status.wait_for(|status| status.last > before).await?;
    assert_eq!(status.borrow().committed, before, "what is not synced is not decided");
    tap.turn(Flow::Open);
    while let Some(outcome) = calls.join_next().await {
        applied(outcome??);
    }
    assert_eq!(applied(first.call(Bytes::new()).await?), 22);
    Ok(())
}

/// Backpressure reaches from the disk to the clients, in bytes: beyond `log_backlog_bytes` nothing
/// more goes to the log, beyond `max_pending_bytes` clients are told that the replica is busy.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn behind_a_slow_disk_little_is_under_way_and_clients_are_told() -> Result {
    let mut cluster = ToyCluster::<false>::unstarted(1);
    let tap = Tap::default();
    let mut config = NodeConfig { create: true, ..cluster.config(NodeId(0)) };
    config.storage = Arc::new(tap.clone());
    config.limits.log_backlog_bytes = 200;
    config.limits.max_command = 1000;
    config.limits.max_pending_bytes = 1000;
    (config.limits.max_batch_commands, config.limits.burst) = (1, 1);
    cluster.nodes.insert(NodeId(0), start(config, Counter::default()).await?);
    let before = cluster.nodes[&NodeId(0)].status().last;

    tap.turn(Flow::Closed);
    let patience = Patience { attempt: LONG, pause: Duration::from_millis(10), give_up: LONG };
    let mut calls = tokio::task::JoinSet::new();
    for _ in 0..40 {
        let mut client = cluster.client_with(patience);
        calls.spawn(async move { client.call(Bytes::new()).await });
    }
    told_busy(&cluster).await;
    // A record is longer than its command, 37 bytes; one turn, of two here, goes beyond the bound.
    let under_way = cluster.nodes[&NodeId(0)].status().last.0 - before.0;
    assert!(under_way <= 200 / 37 + 2, "{under_way} entries wait for the disk");

    tap.turn(Flow::Open);
    let mut numbers = BTreeSet::new();
    while let Some(called) = calls.join_next().await {
        numbers.insert(applied(called??));
    }
    assert_eq!(numbers, (1..=40).collect());
    Ok(())
}

/// A follower that takes nothing in (its disk hangs, and its bound is reached) holds nobody up: the
/// others decide as many commands as they like, and it comes after when it can.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_follower_that_takes_nothing_in_holds_nobody_up() -> Result {
    let mut cluster = ToyCluster::<false>::unstarted(3);
    let tap = Tap::default();
    for node in cluster.cluster.nodes().iter() {
        let mut config = NodeConfig { create: true, ..cluster.config(node) };
        let limits = &mut config.limits;
        (limits.max_command, limits.max_batch_bytes, limits.max_frame) = (600, 600, 2_000);
        (limits.snapshot_chunk, limits.client_queue_bytes) = (512, 2_000);
        (limits.peer_queue_bytes, limits.inbox_bytes) = (4_000, 4_000);
        if node == NodeId(2) {
            config.storage = Arc::new(tap.clone());
            config.limits.log_backlog_bytes = 200;
        }
        cluster.nodes.insert(node, start(config, Counter::default()).await?);
    }
    let mut client = cluster.client();
    assert_eq!(applied(client.call(Bytes::new()).await?), 1);
    tap.turn(Flow::Closed);
    for expected in 2..=300 {
        assert_eq!(applied(client.call(Bytes::from_static(&[1; 400])).await?), expected);
    }
    let behind = cluster.nodes[&NodeId(2)].status();
    let leader = cluster.nodes[&NodeId(0)].status();
    assert!(behind.last < leader.committed, "{behind:?} has taken in all of {leader:?}");
    tap.turn(Flow::Open);
    let mut status = cluster.nodes[&NodeId(2)].watch_status();
    let caught_up = status.wait_for(|status| status.committed >= leader.committed);
    timeout(LONG, caught_up).await.expect("it catches up")?;
    Ok(())
}

/// Property 2: a promise leaves when what it promises is durable. The leader's disk works; those
/// of the two others do not, so nobody has a majority.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_acknowledgement_waits_for_the_disk_of_whoever_gives_it() -> Result {
    let mut cluster = ToyCluster::<false>::unstarted(3);
    let tap = Tap::default();
    for node in cluster.cluster.nodes().iter() {
        let mut config = NodeConfig { create: true, ..cluster.config(node) };
        if node != NodeId(0) {
            config.storage = Arc::new(tap.clone());
        }
        cluster.nodes.insert(node, start(config, Counter::default()).await?);
    }
    let give_up = Duration::from_millis(400);
    let mut client = cluster.client_with(Patience { give_up, ..Patience::default() });
    // The leader needs one follower only; the link to the other may come up later.
    let mut calls = 0;
    let least = |cluster: &ToyCluster<false>| {
        let last = |node| cluster.nodes[&NodeId(node)].status().last.0;
        last(1).min(last(2))
    };
    while calls == 0 || least(&cluster) <= calls {
        calls += 1;
        assert_eq!(counted(&mut client).await?, calls);
    }
    tap.turn(Flow::Closed);
    assert_eq!(asked(&mut client).await?, Outcome::Unknown);
    for node in [NodeId(1), NodeId(2)] {
        let mut status = cluster.nodes[&node].watch_status();
        let has = status.wait_for(|status| status.last.0 >= calls + 2);
        timeout(LONG, has).await.expect("they have the entry, but not on disk")?;
    }
    let leader = cluster.nodes[&NodeId(0)].status();
    assert!(leader.committed < leader.last, "nobody has promised it");
    tap.turn(Flow::Open);
    assert_eq!(applied_in_the_end(&mut client, Outcome::Unknown).await?, calls + 1);
    Ok(())
}

/// A leader whose disk hangs must not keep the others from electing one that can write: it falls
/// silent, although it could go on with the disks of the others.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_disk_hangs_falls_silent() -> Result {
    let mut cluster = ToyCluster::<false>::unstarted(3);
    cluster.cluster.timing.heartbeat = Duration::from_millis(10);
    cluster.cluster.timing.election_min = Duration::from_millis(20);
    cluster.cluster.timing.election_max = Duration::from_millis(50);
    let tap = Tap::default();
    for node in cluster.cluster.nodes().iter() {
        let mut config = NodeConfig { create: true, ..cluster.config(node) };
        if node == NodeId(0) {
            config.storage = Arc::new(tap.clone());
        }
        cluster.nodes.insert(node, start(config, Counter::default()).await?);
    }
    let attempt = Duration::from_millis(300);
    let patience = Patience { attempt, pause: Duration::from_millis(10), give_up: attempt };
    let mut client = cluster.client_with(patience);
    assert_eq!(counted(&mut client).await?, 1);
    tap.turn(Flow::Closed);
    let mut decided_meanwhile = 0;
    while let Outcome::Committed { .. } = asked(&mut client).await? {
        decided_meanwhile += 1;
        assert!(decided_meanwhile < 20_000, "it never falls silent");
    }
    tap.turn(Flow::Open);
    let last = applied_in_the_end(&mut client, Outcome::Unknown).await?;
    assert_eq!(last, decided_meanwhile + 2);
    Ok(())
}

/// The bug D01 of our list, for a whole node: a disk that failed once is not believed again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_stops_the_node_before_it_promises_anything() -> Result {
    let mut cluster = ToyCluster::<false>::unstarted(1);
    let tap = Tap::default();
    let mut config = NodeConfig { create: true, ..cluster.config(NodeId(0)) };
    config.storage = Arc::new(tap.clone());
    cluster.nodes.insert(NodeId(0), start(config, Counter::default()).await?);
    let mut client = cluster.client();
    assert_eq!(applied(client.call(Bytes::new()).await?), 1);
    tap.turn(Flow::Broken);
    let handle = cluster.nodes.remove(&NodeId(0)).expect("it runs");
    let reason = tokio::select! {
        outcome = client.call(Bytes::new()) => panic!("it is promised: {outcome:?}"),
        reason = handle.stopped() => reason,
    };
    let StopReason::LogFailed(why) = reason else { panic!("{reason}") };
    assert!(why.contains("could not sync") && why.contains("the disk said no"), "{why}");
    cluster.restart(NodeId(0)).await?;
    let number = applied_in_the_end(&mut client, Outcome::Unknown).await?;
    assert_eq!(number, 2, "and the command is applied once");
    Ok(())
}

/// Connections that say nothing hold a bounded number of places, for a bounded time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn silent_connections_keep_nobody_out_for_long() -> Result {
    let mut cluster = ToyCluster::<false>::unstarted(1);
    let mut config = NodeConfig { create: true, ..cluster.config(NodeId(0)) };
    config.limits.max_strangers = 2;
    config.limits.handshake = Duration::from_millis(100);
    cluster.nodes.insert(NodeId(0), start(config, Counter::default()).await?);
    let address = cluster.nodes[&NodeId(0)].local_addr();
    let mut silent = Vec::new();
    for _ in 0..10 {
        silent.push(TcpStream::connect(address).await?);
    }
    assert_eq!(applied(cluster.client().call(Bytes::new()).await?), 1);
    for mut stream in silent {
        // An end, or a reset: either way the node has let go of it.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    Ok(())
}

#[test]
fn a_client_needs_all_addresses() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let config = synod_runtime::ClientConfig {
            cluster: Cluster::new(ClusterId(1), 3),
            info: <crate::support::toy::Toy<false> as consensus_core::ConsensusProtocol>::INFO,
            addresses: Default::default(),
            id: ClientId(1),
            opening: 1,
            patience: Patience::default(),
            target: NodeId(0),
            keys: Arc::new(consensus_core::NoKeys),
        };
        assert!(matches!(ClusterClient::connect(config), Err(ClientError::Config(_))));
    });
}
