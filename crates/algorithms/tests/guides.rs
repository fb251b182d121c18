//! The guides hold whole programs. They are compiled, they work, and the guides quote them as they
//! are.

#[allow(dead_code, unreachable_pub)]
#[path = "../examples/multipaxos_program.rs"]
mod multipaxos_program;
#[allow(dead_code, unreachable_pub)]
#[path = "../examples/paxos_program.rs"]
mod paxos_program;
#[allow(dead_code, unreachable_pub)]
#[path = "../examples/raft_program.rs"]
mod raft_program;

use bytes::Bytes;
use consensus_core::StateMachine;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use synod_runtime::{ClusterClient, NodeHandle};

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// A folder of its own, gone at the end.
struct Folder(PathBuf);

impl Folder {
    fn new(name: &str) -> Self {
        let path = std::env::temp_dir().join(format!("synod-guide-{name}-{}", std::process::id()));
        drop(fs::remove_dir_all(&path));
        Self(path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.0));
    }
}

/// The first of three ports that are free, from this one on.
fn free_row(from: u16) -> u16 {
    let free = |port: u16| TcpListener::bind(("127.0.0.1", port)).is_ok();
    let row = (from..from + 900).step_by(3).find(|first| (*first..first + 3).all(free));
    row.expect("three free ports in a row")
}

/// What a reader does who follows a guide: three replicas, some commands, crashes, a restart.
async fn followed(
    name: &str,
    from: u16,
    replica: impl AsyncFn(u8, &Path, u16) -> Result<NodeHandle>,
    client: impl Fn(u16) -> Result<ClusterClient>,
    transfer: impl AsyncFn(&mut ClusterClient, &str, &str, u64) -> Result<String>,
    balance: impl AsyncFn(&mut ClusterClient, &str) -> Result<String>,
) -> Result {
    let (folder, port) = (Folder::new(name), free_row(from));
    let mut nodes = Vec::new();
    for id in 0..3 {
        nodes.push(replica(id, &folder.0, port).await?);
    }
    let mut bank = client(port)?;
    assert_eq!(transfer(&mut bank, "", "ann", 100).await?, "moved");
    assert_eq!(transfer(&mut bank, "ann", "bob", 30).await?, "moved");
    nodes.remove(0).kill().await;
    assert_eq!(transfer(&mut bank, "ann", "bob", 5).await?, "moved");
    assert_eq!(transfer(&mut bank, "ann", "bob", 66).await?, "not enough");
    assert_eq!(balance(&mut bank, "bob").await?, "35");
    nodes.remove(1).kill().await;
    nodes.push(replica(0, &folder.0, port).await?);
    assert_eq!(balance(&mut bank, "ann").await?, "65");
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_of_the_raft_guide_works() -> Result {
    use raft_program::{balance, client, replica, transfer};
    followed("raft", 9_100, replica, client, transfer, balance).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_of_the_multipaxos_guide_works() -> Result {
    use multipaxos_program::{balance, client, replica, transfer};
    followed("multipaxos", 10_000, replica, client, transfer, balance).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_program_of_the_paxos_guide_works() -> Result {
    use paxos_program::{balance, client, replica, transfer};
    followed("paxos", 10_900, replica, client, transfer, balance).await
}

/// What a state machine hands out as a snapshot, it takes back.
#[test]
fn the_bank_of_the_guides_can_be_restored() {
    let mut bank = raft_program::Bank::default();
    assert_eq!(&bank.apply(&Bytes::from_static(b",ann,7"))[..], b"moved");
    let mut other = raft_program::Bank::default();
    other.restore(&bank.snapshot()).expect("a snapshot");
    assert_eq!(&other.query(&Bytes::from_static(b"ann"))[..], b"7");
    assert!(other.restore(b"ann").is_err());
    assert_eq!(&other.query(&Bytes::from_static(b"ann"))[..], b"7", "unchanged");
}

/// The guide of this algorithm quotes this file, whole and as it is.
fn quoted(guide: &str, file: &str) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| fs::read_to_string(root.join(path)).expect("a file of this project");
    let program = format!("```rust\n{}```\n", read(file));
    assert!(read(guide).contains(&program), "{guide} does not quote {file} as it is");
}

#[test]
fn the_guides_quote_programs_that_are_compiled() {
    for name in ["paxos", "multipaxos", "raft"] {
        let guide = format!("docs/{name}.md");
        quoted(&guide, &format!("crates/algorithms/examples/{name}_program.rs"));
        quoted(&guide, &format!("crates/{name}/examples/three_nodes.rs"));
    }
}
