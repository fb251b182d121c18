//! A cluster that is looked after while it works: snapshots, members that come and go, hand-over,
//! a new cluster out of one survivor.

use crate::cluster::{Disk, Folder, LONG, Processes, SYNOD, base_port, complained, said, synod};
use crate::history;
use crate::kill::{CLIENTS, Shared, load, patience, read_all};
use consensus_core::{Audit, ClusterId};
use std::path::Path;
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use synod_algorithms::{Algorithm, Visitor};
use synod_kv::KvStore;
use synod_runtime::{Rebuilt, StartError, rebuild};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// What `synod ctl` was asked for came about.
async fn done(cluster: &Processes, args: &[&str]) -> String {
    let ended = cluster.ctl(args).await;
    let status = said(&cluster.ctl(&["status"]).await);
    assert!(ended.status.success(), "{args:?}: {}{}\n{status}", said(&ended), complained(&ended));
    said(&ended)
}

/// The same, once it can be done.
async fn done_in_the_end(cluster: &Processes, args: &[&str]) -> String {
    let trying = async {
        loop {
            let ended = cluster.ctl(args).await;
            if ended.status.success() {
                return said(&ended);
            }
        }
    };
    timeout(LONG, trying).await.unwrap_or_else(|_| panic!("{args:?} cannot be done"))
}

fn code(output: &Output) -> Option<i32> {
    output.status.code()
}

/// How far the log of a replica is forgotten.
async fn purged(cluster: &Processes, id: usize) -> u64 {
    let report: serde_json::Value =
        serde_json::from_str(&said(&cluster.ctl(&["status", "--json"]).await)).expect("JSON");
    report["nodes"][id]["purged"].as_u64().unwrap_or(0)
}

/// Nothing that was acknowledged is lost, whatever is done to the cluster meanwhile.
async fn looked_after_under_load(algorithm: Algorithm, seed: u64) {
    // Under load a replica that lags must find the entries behind the snapshot it got.
    let flags = ["--snapshot-after-kib", "4", "--trailing-entries", "20"];
    let mut cluster = Processes::start_with(algorithm, 3, Disk::LosesUnsynced, &flags).await;
    let shared = Arc::new(Shared::default());
    let mut clients = JoinSet::new();
    for nth in 0..CLIENTS {
        clients.spawn(load(cluster.client(nth, patience()), nth, seed, Arc::clone(&shared)));
    }
    shared.progress(&cluster, "at the start").await;
    cluster.kill(2).await;
    let mut forgotten = 0;
    for _ in 0..200 {
        shared.progress(&cluster, "without n2").await;
        forgotten = purged(&cluster, 0).await;
        if forgotten > 0 {
            break;
        }
    }
    assert!(forgotten > 0, "logs are forgotten while n2 is away");
    cluster.restart(2).await;
    done_in_the_end(&cluster, &["snapshot", "--node", "2"]).await;

    let joined = cluster.join().await;
    let (name, address) = (joined.to_string(), cluster.address(joined).to_string());
    done(&cluster, &["add-learner", &name, &address]).await;
    shared.progress(&cluster, "with a learner").await;
    cluster.kill(joined).await;
    shared.progress(&cluster, "without the learner").await;
    cluster.restart(joined).await;
    done(&cluster, &["promote", &name]).await;
    shared.progress(&cluster, "with four voters").await;
    done_in_the_end(&cluster, &["transfer", &name]).await;
    shared.progress(&cluster, "after the hand-over").await;
    done(&cluster, &["remove", "0"]).await;
    shared.progress(&cluster, "after n0 was removed").await;
    cluster.kill(0).await;
    cluster.kill(joined).await;
    shared.progress(&cluster, "without the leader, and n0").await;
    cluster.restart(joined).await;
    cluster.kill(1).await;
    shared.progress(&cluster, "without n1").await;
    cluster.restart(1).await;
    cluster.assert_running();

    shared.calm.store(true, Ordering::SeqCst);
    while let Some(ended) = clients.join_next().await {
        ended.expect("no client panics");
    }
    read_all(&cluster, &shared).await;
    cluster.assert_running();
    let judged = history::check(&shared.history.lock().expect("no holder panics"));
    assert_eq!(judged, Ok(()), "{algorithm}, seed {seed}");
}

/// Raft §6 and §7, and the thesis' §3.10.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raft_is_looked_after_under_load() {
    looked_after_under_load(Algorithm::Raft, 21).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn multipaxos_is_looked_after_under_load() {
    looked_after_under_load(Algorithm::MultiPaxos, 22).await;
}

/// Logs do not grow for ever, and a replica that was away for long gets a snapshot.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_is_told_what_was_done_and_what_cannot_be() {
    let cluster = Processes::start(Algorithm::MultiPaxos, 3, Disk::Plain).await;
    done(&cluster, &["put", "x", "1"]).await;
    let shown = done(&cluster, &["members"]).await;
    assert!(shown.contains("voters    n0 n1 n2"), "{shown}");
    let old = cluster.ctl(&["remove", "0", "--seen", "7"]).await;
    assert_eq!(code(&old), Some(3));
    assert!(complained(&old).contains("they are of version 0 now"), "{}", complained(&old));
    for (args, part) in [
        (&["promote", "3"][..], "add it first"),
        (&["remove", "5"], "n5 is no member"),
        (&["add-learner", "1", "127.0.0.1:1"], "votes already"),
        (&["transfer", "9"], "no voter"),
        (&["replace", "0", "4"], "no learner"),
    ] {
        let refused = cluster.ctl(args).await;
        assert_eq!(code(&refused), Some(3), "{args:?}: {}", complained(&refused));
        assert!(complained(&refused).contains(part), "{args:?}: {}", complained(&refused));
    }
    assert_eq!(code(&cluster.ctl(&["get", "x", "--consistency", "new"]).await), Some(2));
    for how in ["index", "quorum", "follower", "at-most=1s", "log"] {
        assert_eq!(done(&cluster, &["get", "x", "--consistency", how]).await.trim(), "1", "{how}");
    }
    assert_eq!(purged(&cluster, 0).await, 0, "nothing was forgotten yet");
    let fixed = Processes::start(Algorithm::Paxos, 1, Disk::Plain).await;
    let refused = fixed.ctl(&["add-learner", "3", "127.0.0.1:1"]).await;
    assert_ne!(code(&refused), Some(0));
    done(&fixed, &["put", "x", "1"]).await;
    assert_eq!(done(&fixed, &["get", "x"]).await.trim(), "1", "through the log, where need be");
}

/// Field note 13: two of three are gone for good. The third has what was acknowledged as far as it
/// heard of it, and becomes a cluster of its own, with another name.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_survivor_becomes_a_new_cluster() {
    for algorithm in [Algorithm::Raft, Algorithm::MultiPaxos] {
        let flags = ["--snapshot-after-kib", "1", "--trailing-entries", "20"];
        let mut cluster = Processes::start_with(algorithm, 3, Disk::Plain, &flags).await;
        for value in 0..30 {
            done(&cluster, &["put", "x", &value.to_string()]).await;
        }
        // n1 answers of what it has applied itself, and so has heard of the last.
        let read = done(&cluster, &["get", "x", "--consistency", "index", "--node", "1"]).await;
        assert_eq!(read.trim(), "29");
        let data = cluster.data(1).display().to_string();
        let to = Folder::new("again");
        let again = to.path().join("new").display().to_string();
        let port = base_port(1).to_string();
        let again_flags = ["rebuild", "--from", &data, "--to", &again, "--base-port", &port];
        let busy = synod(&again_flags).await;
        assert!(complained(&busy).contains("another process uses"), "{}", complained(&busy));
        let empty = to.path().join("empty");
        std::fs::create_dir(&empty).expect("a folder");
        let shown = empty.display().to_string();
        let busy = synod(&["rebuild", "--from", &data, "--to", &shown]).await;
        assert!(complained(&busy).contains("another process uses"), "{}", complained(&busy));
        let left = std::fs::read_dir(&empty).expect("it is there").count();
        assert_eq!(left, 0, "a refused attempt leaves nothing");
        for id in 0..3 {
            cluster.kill(id).await;
        }
        assert!(!to.path().join("new").exists(), "a refused attempt leaves nothing");
        nothing_counts_without_its_snapshot(algorithm, &cluster.data(1), to.path());
        let rebuilt = synod(&again_flags).await;
        assert!(rebuilt.status.success(), "{}", complained(&rebuilt));
        assert!(said(&rebuilt).contains("a new"), "{}", said(&rebuilt));
        let mut serve = Command::new(SYNOD);
        serve.args(["serve", "--config", &format!("{again}/n0/node.toml")]);
        serve.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut child = serve.spawn().expect("the program runs");
        let mut lines = BufReader::new(child.stdout.take().expect("asked for")).lines();
        let ready = timeout(LONG, lines.next_line()).await.expect("it starts").expect("a line");
        assert!(ready.is_some_and(|line| line.starts_with("ready n0")));
        for (args, expected) in [
            (&["get", "x"][..], "29"),
            (&["put", "y", "1"], "written"),
            (&["members"], "voters    n0"),
        ] {
            let all = [&["ctl", "--cluster", &again][..], args].concat();
            let ended = synod(&all).await;
            assert!(said(&ended).contains(expected), "{args:?}: {}", complained(&ended));
        }
        child.kill().await.expect("a child can be killed");
    }
}

/// Founds a cluster out of what one replica has left.
struct Rebuild<'a> {
    from: &'a Path,
    to: &'a Path,
}

impl Visitor for Rebuild<'_> {
    type Output = Result<Rebuilt, StartError>;

    fn visit<P: Audit>(self) -> Self::Output {
        rebuild::<P, KvStore>(self.from, self.to, ClusterId(7), KvStore::default())
    }
}

/// Where the snapshot of a new cluster cannot be kept, nothing is left that would start as an empty
/// one: the identity comes last. And a snapshot that is there already is in the way.
fn nothing_counts_without_its_snapshot(algorithm: Algorithm, from: &Path, folder: &Path) {
    let to = folder.join("stuck");
    let in_its_way = to.join("snapshot.next");
    std::fs::create_dir_all(&in_its_way).expect("a folder in its way");
    let found = || algorithm.dispatch(Rebuild { from, to: &to });
    assert!(found().is_err());
    assert_eq!(std::fs::exists(to.join("identity.toml")).ok(), Some(false));
    std::fs::remove_dir(&in_its_way).expect("out of its way");
    found().expect("now it can be kept");
    std::fs::remove_file(to.join("identity.toml")).expect("an identity");
    let why = found().expect_err("whose snapshot is that?").to_string();
    assert!(why.contains("holds a snapshot already"), "{why}");
}

/// Raft thesis 6.4.1, and `lease-drift-ppm`: with a bound for the clocks, and only with one, a
/// leader answers by its lease; after it was killed, the next one does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn with_a_bound_for_clocks_reads_go_by_lease() {
    let lease = ["get", "x", "--consistency", "lease"];
    for algorithm in [Algorithm::Raft, Algorithm::MultiPaxos] {
        let flags = ["--lease-drift-ppm", "10000"];
        let mut cluster = Processes::start_with(algorithm, 3, Disk::Plain, &flags).await;
        done(&cluster, &["put", "x", "1"]).await;
        assert_eq!(done_in_the_end(&cluster, &lease).await.trim(), "1");
        let report: serde_json::Value =
            serde_json::from_str(&said(&cluster.ctl(&["status", "--json"]).await)).expect("JSON");
        let leader = (0..3).find(|id| report["nodes"][*id]["role"] == "leader");
        cluster.kill(leader.expect("somebody leads")).await;
        done_in_the_end(&cluster, &["put", "x", "2"]).await;
        assert_eq!(done_in_the_end(&cluster, &lease).await.trim(), "2", "{algorithm}");

        let without = Processes::start(algorithm, 1, Disk::Plain).await;
        done(&without, &["put", "x", "1"]).await;
        let refused = without.ctl(&lease).await;
        assert_eq!(code(&refused), Some(3), "{algorithm}: {}", complained(&refused));
        assert!(complained(&refused).contains("does not offer"), "{}", complained(&refused));
    }
    let folder = Folder::new("lease");
    let dir = folder.path().join("disk").display().to_string();
    let paxos = ["serve", "--algo", "paxos", "--id", "0", "--peers", "127.0.0.1:1", "--dir", &dir];
    let refused = synod(&[&paxos[..], &["--init", "--lease-drift-ppm", "10000"]].concat()).await;
    assert_eq!(code(&refused), Some(2));
    assert!(complained(&refused).contains("Paxos has no leases"), "{}", complained(&refused));
}

/// A replica that joined is started with the others, by `synod cluster` too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cluster_is_started_with_those_who_joined_it() {
    let mut cluster = Processes::start(Algorithm::Raft, 3, Disk::Plain).await;
    done(&cluster, &["put", "x", "1"]).await;
    let joined = cluster.join().await;
    let (name, address) = (joined.to_string(), cluster.address(joined).to_string());
    done(&cluster, &["add-learner", &name, &address]).await;
    done_in_the_end(&cluster, &["promote", &name]).await;
    for id in 0..=joined {
        cluster.close_stdin(id).await;
    }
    let mut command = Command::new(SYNOD);
    command.args(["cluster", "--dir", &cluster.flag()]);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut parent = command.spawn().expect("the program runs");
    let mut lines = BufReader::new(parent.stdout.take().expect("asked for")).lines();
    let mut welcome = Vec::new();
    while !welcome.iter().any(|line: &String| line.starts_with("stop it")) {
        let line = timeout(LONG, lines.next_line()).await.expect("it starts in time");
        welcome.push(line.expect("it can be read").expect("it says how to stop it"));
    }
    assert!(welcome[0].starts_with("running a cluster of 4 raft replicas"), "{welcome:?}");
    assert!(welcome.contains(&format!("  n3  {address}")), "{welcome:?}");
    // It leads only if it runs and votes.
    done_in_the_end(&cluster, &["transfer", &name]).await;
    assert_eq!(done(&cluster, &["get", "x"]).await.trim(), "1");
    parent.kill().await.expect("a child can be killed");
}
