//! Nodes that live long: logs that are forgotten, snapshots, members that come and go, questions.

use crate::support::toy::Toy;
use crate::support::{Counter, ToyCluster, number};
use bytes::Bytes;
use consensus_core::{
    Change, ChangeRefusal, ClientId, Cluster, Consistency, LogIndex, MEMBERSHIP_CLIENT, NodeId,
    NodeSet, Outcome, Patience, ReadMode, Refusal,
};
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;
use synod_runtime::{
    ClientConfig, ClusterClient, Denied, IdentityError, NodeConfig, NodeHandle, StartError,
    StopReason, start,
};
use tokio::time::timeout;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

const INDEX: Consistency = Consistency::Linearizable(ReadMode::Index);
/// Longer than anything should take, so that a hang is a failure with a name. A planted bug that
/// hangs is not waited for as long.
fn long() -> Duration {
    Duration::from_secs(if std::env::var_os("SYNOD_MUTANT").is_some() { 5 } else { 120 })
}

const LEADER: NodeId = NodeId(0);

fn applied(outcome: Outcome) -> u64 {
    match outcome {
        Outcome::Committed { result, .. } => number(&result),
        other => panic!("not applied: {other:?}"),
    }
}

/// So many bytes of log make a snapshot.
fn forgetful(config: NodeConfig<Toy<false>>, after: u64) -> NodeConfig<Toy<false>> {
    let mut config = config;
    config.limits.snapshot_after = after;
    config.limits.snapshot_chunk = 64;
    config
}

async fn launch(cluster: &mut ToyCluster<false>, node: NodeId, create: bool) -> Result {
    let config = NodeConfig { create, ..forgetful(cluster.config(node), 2000) };
    let handle = start(config, Counter::default()).await?;
    cluster.nodes.insert(node, handle);
    Ok(())
}

async fn forgetful_cluster(size: usize) -> Result<ToyCluster<false>> {
    let mut cluster = ToyCluster::<false>::unstarted(size);
    for node in cluster.cluster.nodes().iter() {
        launch(&mut cluster, node, true).await?;
    }
    Ok(cluster)
}

/// Waits until a node has committed as much.
async fn reaches(node: &NodeHandle, index: LogIndex) {
    let mut status = node.watch_status();
    let reached = timeout(long(), status.wait_for(|status| status.committed >= index)).await;
    reached.unwrap_or_else(|_| panic!("{:?} never comes", node.report())).expect("it runs");
}

async fn count_on(client: &mut ClusterClient, from: u64, to: u64) -> Result {
    for expected in from..=to {
        assert_eq!(applied(client.call(Bytes::from_static(b"aaaa")).await?), expected);
    }
    Ok(())
}

/// Entries that a snapshot covers are forgotten; who lacks them gets the snapshot, in small chunks
/// here; after a start of everybody everything is still there.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_log_is_forgotten_and_who_was_away_gets_a_snapshot() -> Result {
    let mut cluster = forgetful_cluster(3).await?;
    let mut client = cluster.client();
    count_on(&mut client, 1, 10).await?;
    cluster.kill(NodeId(2)).await;
    count_on(&mut client, 11, 150).await?;
    let mut status = cluster.nodes[&LEADER].watch_status();
    timeout(long(), status.wait_for(|status| status.purged.0 > 60)).await??;
    // The log is one stream: when this is on disk, what was forgotten before is off it.
    count_on(&mut client, 151, 151).await?;
    let log = cluster.config(LEADER).data_dir.join("wal.log");
    assert!(std::fs::metadata(log)?.len() < 8_000, "151 entries of 63 bytes and more were written");

    launch(&mut cluster, NodeId(2), false).await?;
    let committed = cluster.nodes[&LEADER].status().committed;
    reaches(&cluster.nodes[&NodeId(2)], committed).await;
    let report = cluster.nodes[&NodeId(2)].report();
    assert!(report.snapshot > 60 && report.purged > 0, "{report:?}");
    assert!(report.applied >= committed.0);

    for node in cluster.cluster.nodes().iter() {
        cluster.kill(node).await;
    }
    for node in cluster.cluster.nodes().iter() {
        launch(&mut cluster, node, false).await?;
    }
    count_on(&mut client, 152, 160).await
}

/// Who asks for a snapshot gets one of what is applied, and no second one of the same.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_is_taken_when_asked_for() -> Result {
    let cluster = ToyCluster::<false>::new(1).await;
    let handle = &cluster.nodes[&LEADER];
    let early = handle.take_snapshot().await.expect_err("nothing is applied");
    assert!(early.to_string().contains("nothing is applied"), "{early}");
    count_on(&mut cluster.client(), 1, 10).await?;
    let index = handle.take_snapshot().await?;
    assert_eq!(index, LogIndex(11), "ten commands, and the opening of the session");
    assert_eq!(handle.take_snapshot().await?, index);
    assert_eq!(handle.report().snapshot, 11);
    assert_eq!(handle.status().purged, LogIndex(7), "the toy keeps a tail of four");
    Ok(())
}

/// The newest snapshot is damaged: the one before does, as long as the log begins where it ends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_snapshot_is_done_without_or_declared() -> Result {
    let mut cluster = ToyCluster::<false>::new(1).await;
    let mut client = cluster.client();
    count_on(&mut client, 1, 10).await?;
    cluster.nodes[&LEADER].take_snapshot().await?;
    count_on(&mut client, 11, 12).await?;
    cluster.nodes[&LEADER].take_snapshot().await?;
    cluster.nodes.remove(&LEADER).expect("it runs").shutdown().await;
    let dir = cluster.config(LEADER).data_dir;
    let damage = |name: &str| -> Result<PathBuf> {
        let path = dir.join(name);
        let mut bytes = std::fs::read(&path)?;
        let last = bytes.len() - 30;
        bytes[last] ^= 1;
        std::fs::write(&path, bytes)?;
        Ok(path)
    };
    // The first is in place 0, the second in place 1, and the log begins behind entry 9.
    damage("snapshot.1")?;
    cluster.restart(LEADER).await?;
    assert_eq!(cluster.nodes[&LEADER].report().snapshot, 11);
    count_on(&mut client, 13, 13).await?;
    cluster.nodes.remove(&LEADER).expect("it runs").shutdown().await;
    damage("snapshot.0")?;
    let error = cluster.restart(LEADER).await.expect_err("a hole before the log");
    assert!(matches!(error, StartError::Snapshot { purged: LogIndex(9), .. }), "{error}");
    let said = error.to_string();
    assert!(said.contains("snapshot.0") && said.contains("add one with a new number"), "{said}");
    Ok(())
}

/// A replica joins as a learner, votes, and one of the first ones leaves. Each change names the
/// version that the operator saw.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn members_come_and_go_while_commands_go_on() -> Result {
    let mut cluster = forgetful_cluster(3).await?;
    let mut client = cluster.client();
    count_on(&mut client, 1, 80).await?;
    let joins = NodeId(3);
    let (config, address) = joining(&cluster, joins);
    let joined = start(NodeConfig { create: true, ..config() }, Counter::default()).await?;

    let leader = &cluster.nodes[&LEADER];
    let (members, committed) = leader.members();
    assert!(committed && members.voters == NodeSet::first(3));
    let learner = Change::of(&members).add_learner(joins).at(joins, address.to_string());
    let members = leader.change_members(learner.clone()).await?;
    assert_eq!(members.learners, NodeSet::only(joins));
    let late = leader.change_members(learner).await.expect_err("made on an old view");
    assert_eq!(late, Denied::Change(ChangeRefusal::Version(members.version)));
    reaches(&joined, leader.status().committed).await;

    let members = leader.change_members(Change::of(&members).add_voter(joins)).await?;
    let members = leader.change_members(Change::of(&members).remove(NodeId(1))).await?;
    assert_eq!(members.voters, [0, 2, 3].map(NodeId).into_iter().collect());
    cluster.kill(NodeId(1)).await;
    count_on(&mut client, 81, 90).await?;
    let follower = &cluster.nodes[&NodeId(2)];
    let not_here = follower.change_members(Change::of(&members)).await.expect_err("no leader");
    assert_eq!(not_here, Denied::Change(ChangeRefusal::NotLeader(Some(LEADER))));

    // It learned its members, and must not be told others; its disk remembers that it joined.
    assert_eq!(joined.shutdown().await, StopReason::Shutdown);
    let first = NodeConfig { cluster: Cluster::new(cluster.cluster.id, 4), ..config() };
    match start(first, Counter::default()).await {
        Err(StartError::Identity(IdentityError::Joined { joined: true, .. })) => {}
        other => panic!("{:?}", other.map(|node| node.id())),
    }
    let joined = start(config(), Counter::default()).await?;
    reaches(&joined, cluster.nodes[&LEADER].status().committed).await;
    assert_eq!(joined.members().0, members);
    Ok(())
}

/// A replica that joins: it knows where the others are, and no voters.
fn joining(
    cluster: &ToyCluster<false>,
    node: NodeId,
) -> (impl Fn() -> NodeConfig<Toy<false>> + use<>, SocketAddr) {
    let address = ToyCluster::<false>::unstarted(1).addresses[&LEADER];
    let mut knows = Cluster::new(cluster.cluster.id, node.index() + 1);
    knows.voters = NodeSet::EMPTY;
    let dir = cluster.dir.path().join(node.to_string());
    let peers = cluster.addresses.clone();
    let config = move || {
        let config = NodeConfig::new(node, knows.clone(), dir.clone()).expect("a toy");
        NodeConfig { listen: address, peers: peers.clone(), ..forgetful(config, 2000) }
    };
    (config, address)
}

/// The contract, 5: how a read is made safe is chosen for each read.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_are_answered_in_the_way_that_was_asked_for() -> Result {
    let mut cluster = ToyCluster::<false>::new(3).await;
    let mut client = cluster.client();
    count_on(&mut client, 1, 3).await?;
    let question = Bytes::new();
    let counted = |answer: (LogIndex, Bytes)| (answer.0.0, number(&answer.1));
    assert_eq!(counted(client.read(question.clone(), INDEX).await?), (4, 3));
    let mut other = cluster.client_of(NodeId(1), Patience::default());
    assert_eq!(counted(other.read(question.clone(), INDEX).await?), (4, 3), "sent to the leader");
    let bounded = Consistency::AtMost(Duration::from_secs(60));
    assert_eq!(counted(client.read(question.clone(), bounded).await?), (4, 3));
    let lease = Consistency::Linearizable(ReadMode::Lease);
    let refused = client.read(question.clone(), lease).await.expect_err("the toy has no leases");
    assert_eq!(refused, synod_runtime::ReadError::Refused(Refusal::Unsupported));
    let local = counted(client.read(question.clone(), Consistency::Local).await?);
    assert_eq!(local, (4, 3));
    // Cut off from the others, it still says what it has.
    cluster.kill(NodeId(1)).await;
    cluster.kill(NodeId(2)).await;
    assert_eq!(counted(client.read(question, Consistency::Local).await?), (4, 3));
    Ok(())
}

/// Raft thesis §6.4, step 4: a question waits until the index that the protocol names is applied.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_question_waits_for_its_index() -> Result {
    let cluster = ToyCluster::<false>::new(1).await;
    let mut client = cluster.client();
    count_on(&mut client, 1, 3).await?;
    let patience = Patience {
        attempt: Duration::from_secs(20),
        pause: Duration::from_millis(10),
        give_up: Duration::from_secs(20),
    };
    let mut other = cluster.client_with(patience);
    // In the toy, to read by a quorum is to wait for one more entry. What others ask meanwhile is
    // answered, and makes no entry.
    let quorum = Consistency::Linearizable(ReadMode::Quorum);
    let mut reading = std::pin::pin!(other.read(Bytes::new(), quorum));
    let others = async {
        for _ in 0..30 {
            client.read(Bytes::new(), INDEX).await.expect("it is answered");
        }
    };
    tokio::select! {
        early = &mut reading => panic!("answered before one more entry: {early:?}"),
        () = others => {}
    }
    let going_on = async {
        loop {
            client.call(Bytes::from_static(b"aaaa")).await.expect("it is committed");
        }
    };
    let answer = tokio::select! {
        answer = &mut reading => answer?,
        () = going_on => unreachable!("it goes on for ever"),
    };
    assert!(answer.0.0 >= 5, "answered as of {}, before one more entry", answer.0);
    Ok(())
}

/// Where one replica may lie, one answer is worth nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn where_replicas_may_lie_questions_go_through_the_log() -> Result {
    let cluster = ToyCluster::<true>::new(4).await;
    let read = cluster.client().read(Bytes::new(), Consistency::Local).await;
    assert_eq!(read, Err(synod_runtime::ReadError::Refused(Refusal::Unsupported)));
    Ok(())
}

/// Members change in the name of one client; nobody else may call itself so.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_client_in_whose_name_members_change_is_not_let_in() -> Result {
    let cluster = ToyCluster::<false>::new(1).await;
    let give_up = Duration::from_millis(200);
    let mut client = ClusterClient::connect(ClientConfig {
        cluster: cluster.cluster.clone(),
        info: <Toy<false> as consensus_core::ConsensusProtocol>::INFO,
        addresses: cluster.addresses.clone(),
        id: MEMBERSHIP_CLIENT,
        opening: 1,
        patience: Patience { give_up, attempt: give_up, pause: Duration::from_millis(10) },
        target: LEADER,
        keys: std::sync::Arc::new(crate::support::Stamps(consensus_core::Signer::Client(
            ClientId(1),
        ))),
    })?;
    let refused = async {
        loop {
            let error = client.call(Bytes::new()).await.expect_err("refused").to_string();
            if error.contains("no client may call itself") {
                return;
            }
        }
    };
    timeout(long(), refused).await.expect("the node says why");
    Ok(())
}

/// An identity file that was put back from a copy would use start numbers, and so ballots, again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_old_identity_beside_a_newer_log_is_noticed() -> Result {
    let mut cluster = ToyCluster::<false>::new(1).await;
    let mut client = cluster.client();
    count_on(&mut client, 1, 1).await?;
    let identity = cluster.config(LEADER).data_dir.join("identity.toml");
    let old = std::fs::read(&identity)?;
    cluster.kill(LEADER).await;
    cluster.restart(LEADER).await?;
    count_on(&mut client, 2, 2).await?;
    cluster.kill(LEADER).await;
    std::fs::write(&identity, old)?;
    let error = cluster.restart(LEADER).await.expect_err("an old copy");
    assert!(matches!(&error, StartError::Identity(IdentityError::Stale { .. })), "{error}");
    Ok(())
}

#[tokio::test]
async fn impossible_ways_to_join_are_refused_in_words() -> Result {
    let cluster = ToyCluster::<false>::unstarted(3);
    let (config, _) = joining(&cluster, NodeId(3));
    let refused = async |config: NodeConfig<Toy<false>>| {
        start(config, Counter::default()).await.expect_err("refused").to_string()
    };
    let lonely = NodeConfig { create: true, peers: Default::default(), ..config() };
    assert!(refused(lonely).await.contains("address of at least one member"));
    let mut told = NodeConfig { create: true, ..config() };
    told.cluster.voters = NodeSet::first(3);
    assert!(refused(told).await.contains("none of the first voters"));
    let never = NodeConfig { listen: (Ipv4Addr::LOCALHOST, 0).into(), ..config() };
    assert!(refused(never).await.contains("holds no replica"));
    Ok(())
}

/// A replica is told the number of its start, which its ballots carry: it never has one again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn each_start_has_a_number_of_its_own() -> Result {
    let mut cluster = ToyCluster::<false>::new(1).await;
    for start in 1..=4 {
        let status = cluster.nodes[&LEADER].status();
        assert_eq!(status.epoch, start, "the toy's epoch is the number of its start");
        cluster.kill(LEADER).await;
        cluster.restart(LEADER).await?;
    }
    Ok(())
}

/// Whoever waits at a leader that steps down is told so, and asks elsewhere, however long it would
/// have waited.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_waits_at_a_leader_that_steps_down_is_told() -> Result {
    let mut cluster = ToyCluster::<false>::new(5).await;
    let (attempt, pause) = (10 * long(), Duration::from_millis(10));
    let mut client = cluster.client_with(Patience { attempt, pause, give_up: attempt });
    count_on(&mut client, 1, 1).await?;
    for node in 2..5 {
        cluster.kill(NodeId(node)).await;
    }
    let (leader, other) = (&cluster.nodes[&LEADER], &cluster.nodes[&NodeId(1)]);
    let mut status = leader.watch_status();
    let last = leader.status().last;
    let told = async {
        status.wait_for(|status| status.last > last).await.expect("it runs");
        leader.campaign(); // The toy steps down.
        while other.report().clients == 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::select! {
        outcome = client.call(Bytes::from_static(b"aaaa")) => panic!("two of five: {outcome:?}"),
        told = timeout(long(), told) => told?,
    }
    Ok(())
}

/// A client whose machine is gone never ends its connection. One that lives makes a new one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_says_nothing_for_long_gives_up_its_place() -> Result {
    let mut cluster = ToyCluster::<false>::unstarted(1);
    let mut config = NodeConfig { create: true, ..cluster.config(LEADER) };
    config.limits.client_idle = Duration::from_millis(50);
    cluster.nodes.insert(LEADER, start(config, Counter::default()).await?);
    let node = &cluster.nodes[&LEADER];
    let mut client = cluster.client();
    for number in 1..=2 {
        let mut outcome = client.call(Bytes::new()).await?;
        while outcome == Outcome::Unknown {
            outcome = client.resume().await?;
        }
        assert_eq!(applied(outcome), number);
        let gone = async {
            while node.report().clients > 0 {
                tokio::task::yield_now().await;
            }
        };
        timeout(long(), gone).await.expect("its place is free");
    }
    Ok(())
}

/// The tests above fail with the bugs that they are about, in processes of their own.
#[cfg(feature = "mutants")]
#[test]
fn bugs_planted_in_reads_and_starts_are_found() -> Result {
    let tests = [
        ("N03", "upkeep::a_question_waits_for_its_index"),
        ("N19", "upkeep::a_question_waits_for_its_index"),
        ("N20", "upkeep::each_start_has_a_number_of_its_own"),
        ("N21", "upkeep::who_waits_at_a_leader_that_steps_down_is_told"),
        ("N46", "upkeep::a_client_that_says_nothing_for_long_gives_up_its_place"),
    ];
    let mut children = Vec::new();
    for (bug, test) in tests {
        let mut child = crate::support::planted(bug, test)?;
        let child = child.stdout(std::process::Stdio::piped());
        children.push((bug, child.stderr(std::process::Stdio::null()).spawn()?));
    }
    for (bug, child) in children {
        let ran = child.wait_with_output()?;
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(!ran.status.success() && said.contains("1 failed"), "{bug}: {said}");
    }
    Ok(())
}
