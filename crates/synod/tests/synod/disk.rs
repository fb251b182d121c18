//! Disks that are damaged, emptied, or somebody else's: a replica says so and does not vote.

use crate::cluster::{Disk, Processes, complained, said, synod};
use std::fs;
use std::path::{Path, PathBuf};
use synod_algorithms::Algorithm;

async fn filled() -> Processes {
    let cluster = Processes::start(Algorithm::Raft, 3, Disk::Plain).await;
    for value in 0..20 {
        let written = cluster.ctl(&["put", "x", &value.to_string()]).await;
        assert!(written.status.success(), "{}", complained(&written));
    }
    cluster
}

fn log_of(data: &Path) -> PathBuf {
    data.join("wal.log")
}

async fn still_there(cluster: &Processes) {
    let found = cluster.ctl(&["get", "x"]).await;
    assert_eq!(said(&found).trim(), "19", "{}", complained(&found));
}

/// A flipped bit before the tail is an error with the file's name, and never a shorter log.
#[tokio::test]
async fn a_flipped_bit_is_found_and_the_rest_goes_on() {
    let mut cluster = filled().await;
    cluster.kill(1).await;
    let log = log_of(&cluster.data(1));
    let good = fs::read(&log).expect("the log can be read");
    for part in [0, 1, 3] {
        let mut bad = good.clone();
        let at = good.len() * part / 8;
        bad[at] ^= 0x10;
        fs::write(&log, &bad).expect("the log can be written");
        let complaint = cluster.refused(1, false).await;
        assert!(complaint.contains("wal.log"), "flipped at {at}: {complaint}");
        assert_eq!(fs::read(&log).expect("it can be read"), bad, "the evidence is kept");
    }
    fs::write(&log, &good).expect("the log can be written");
    cluster.restart(1).await;
    still_there(&cluster).await;
}

/// A torn tail, as a power cut leaves it, is cut; the other replicas know what it held.
#[tokio::test]
async fn a_torn_tail_is_cut() {
    let mut cluster = filled().await;
    cluster.kill(1).await;
    let log = log_of(&cluster.data(1));
    let mut torn = fs::read(&log).expect("the log can be read");
    torn.truncate(torn.len() - 3);
    fs::write(&log, &torn).expect("the log can be written");
    cluster.restart(1).await;
    torn.extend_from_slice(&[0xab; 7]);
    cluster.kill(0).await;
    still_there(&cluster).await;
}

/// An emptied disk has forgotten its votes: only a person can say that the replica is new.
#[tokio::test]
async fn an_emptied_disk_is_refused() {
    let mut cluster = filled().await;
    cluster.kill(2).await;
    fs::remove_dir_all(cluster.data(2)).expect("it can be removed");
    let complaint = cluster.refused(2, false).await;
    assert!(complaint.contains("--init"), "{complaint}");
    still_there(&cluster).await;
}

#[tokio::test]
async fn a_disk_of_somebody_else_is_refused() {
    let mut cluster = filled().await;
    cluster.kill(0).await;
    let complaint = cluster.refused(0, true).await;
    assert!(complaint.contains("already holds"), "--init on a used disk: {complaint}");
    cluster.kill(1).await;
    let (first, second) = (cluster.data(0), cluster.data(1));
    let aside = first.with_extension("aside");
    fs::rename(&first, &aside).expect("a folder can be moved");
    fs::rename(&second, &first).expect("a folder can be moved");
    let complaint = cluster.refused(0, false).await;
    assert!(complaint.contains("belongs to"), "{complaint}");
    fs::rename(&first, &second).expect("a folder can be moved");
    fs::rename(&aside, &first).expect("a folder can be moved");
    cluster.restart(0).await;
    cluster.restart(1).await;
    still_there(&cluster).await;
}

/// Two processes on one disk would be two replicas with one vote.
#[tokio::test]
async fn a_disk_in_use_is_refused() {
    let cluster = filled().await;
    let config = cluster.path().join("n0/node.toml").display().to_string();
    let second = synod(&["serve", "--config", &config, "--listen", "127.0.0.1:0"]).await;
    assert_eq!(second.status.code(), Some(1), "{}", complained(&second));
    assert!(complained(&second).contains("another process uses"), "{}", complained(&second));
    still_there(&cluster).await;
}
