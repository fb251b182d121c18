//! Garbage on the port, and parents that die.

use crate::cluster::{Disk, Folder, LONG, Processes, SYNOD, base_port, complained};
use std::process::Stdio;
use synod_algorithms::Algorithm;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::timeout;

/// A replica hangs up on what is no Synod, and goes on.
#[tokio::test]
async fn garbage_on_the_port_harms_nobody() {
    let mut cluster = Processes::start(Algorithm::Raft, 3, Disk::Plain).await;
    let huge = [&b"SYND"[..], &[0xff; 64]].concat();
    let texts: &[&[u8]] =
        &[b"GET / HTTP/1.1\r\n\r\n", &[0; 4096], &[0xff; 4096], b"S", b"SYND", &huge, b""];
    for id in 0..cluster.size() {
        for text in texts {
            let mut stream = TcpStream::connect(cluster.address(id)).await.expect("it listens");
            // The replica may have hung up already.
            drop(stream.write_all(text).await);
            drop(stream.shutdown().await);
            let mut answer = Vec::new();
            let ended = timeout(LONG, stream.read_to_end(&mut answer)).await;
            assert!(ended.is_ok(), "n{id} keeps {text:?} waiting");
        }
    }
    let written = cluster.ctl(&["put", "still", "here"]).await;
    assert!(written.status.success(), "{}", complained(&written));
    cluster.assert_running();
}

/// A client of another cluster is turned away.
#[tokio::test]
async fn a_client_of_another_cluster_is_turned_away() {
    let cluster = Processes::start(Algorithm::Raft, 3, Disk::Plain).await;
    let addresses = [0, 1, 2].map(|id| cluster.address(id).to_string()).join(",");
    let wrong = crate::cluster::synod(&[
        "ctl",
        "--algo",
        "raft",
        "--addr",
        &addresses,
        "--timeout",
        "1",
        "put",
        "x",
        "1",
    ])
    .await;
    assert!(!wrong.status.success());
    // Nor does anybody tell it of a cluster that it did not ask for.
    for args in [&["status"][..], &["members"], &["snapshot"], &["remove", "2"]] {
        let all = ["ctl", "--algo", "raft", "--addr", &addresses, "--timeout", "1"];
        let wrong = crate::cluster::synod(&[&all[..], args].concat()).await;
        let code = if args == ["snapshot"] { 3 } else { 5 };
        let said = format!("{}{}", crate::cluster::said(&wrong), complained(&wrong));
        assert_eq!(wrong.status.code(), Some(code), "{args:?}: {said}");
        assert!(said.contains("this is cluster"), "{args:?}: {said}");
    }
    let found = cluster.ctl(&["get", "x"]).await;
    assert_eq!(found.status.code(), Some(1), "nothing was written");
}

#[tokio::test]
async fn a_replica_stops_when_its_parent_is_gone() {
    let mut cluster = Processes::start(Algorithm::Raft, 3, Disk::Plain).await;
    assert!(cluster.ctl(&["put", "x", "1"]).await.status.success());
    for id in 0..cluster.size() {
        cluster.close_stdin(id).await;
    }
    for id in 0..cluster.size() {
        cluster.restart(id).await;
    }
    let found = cluster.ctl(&["get", "x"]).await;
    assert!(found.status.success(), "{}", complained(&found));
}

/// `synod cluster` itself: killed, its children end too; started again, it finds its data.
#[tokio::test]
async fn a_killed_cluster_leaves_no_children_and_comes_back() {
    let folder = Folder::new("parent");
    let dir = folder.path().display().to_string();
    let port = base_port(3).to_string();
    let mut ports: Option<Vec<String>> = None;
    for life in 0..3 {
        let mut command = Command::new(SYNOD);
        command.args(["cluster", "--dir", &dir]);
        if life == 0 {
            command.args(["--algo", "raft", "--nodes", "3", "--base-port", &port]);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).kill_on_drop(true);
        let mut parent = command.spawn().expect("the program runs");
        let mut lines = BufReader::new(parent.stdout.take().expect("asked for")).lines();
        let mut addresses = Vec::new();
        loop {
            let line = timeout(LONG, lines.next_line()).await.expect("it starts in time");
            let line = line.expect("it can be read").expect("it says how to stop it");
            if line.starts_with("  n") {
                addresses.push(line.clone());
            }
            if line.starts_with("stop it") {
                break;
            }
        }
        assert_eq!(addresses.len(), 3);
        assert_eq!(ports.get_or_insert(addresses.clone()), &addresses, "addresses stay");
        let ctl = |args: &[&str]| {
            let mut all = vec!["ctl", "--cluster", &dir];
            all.extend_from_slice(args);
            let all: Vec<String> = all.into_iter().map(str::to_owned).collect();
            async move {
                let all: Vec<&str> = all.iter().map(String::as_str).collect();
                crate::cluster::synod(&all).await
            }
        };
        if life == 0 {
            let written = ctl(&["put", "kept", "yes"]).await;
            assert!(written.status.success(), "{}", complained(&written));
        }
        let found = ctl(&["get", "kept"]).await;
        assert!(found.status.success(), "life {life}: {}", complained(&found));
        let second = crate::cluster::synod(&["cluster", "--dir", &dir]).await;
        assert!(complained(&second).contains("another `synod cluster`"), "{}", complained(&second));
        parent.kill().await.expect("a child can be killed");
    }
}
