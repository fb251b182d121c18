//! Nodes and their disks: what the system is asked for, and disks that fail now and then in what a
//! node can do without.

use crate::support::toy::Toy;
use crate::support::{Counter, ToyCluster, number};
use bytes::Bytes;
use consensus_core::{NodeId, Outcome};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use synod_runtime::{ClusterClient, Files, LogFile, NodeConfig, Storage, start};
use tokio::time::timeout;

type Result<T = ()> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Longer than anything should take, so that a hang is a failure with a name. A planted bug that
/// hangs is not waited for as long.
fn long() -> Duration {
    Duration::from_secs(if std::env::var_os("SYNOD_MUTANT").is_some() { 5 } else { 120 })
}

const LEADER: NodeId = NodeId(0);

/// Files of `/proc` can be opened, cut and read, and never synced: the system says so to whoever
/// asks it. Who is told nothing has not asked, and then no power cut is survived.
#[cfg(target_os = "linux")]
#[test]
fn files_ask_the_system_to_sync() {
    let refused = |done: io::Result<()>| {
        assert_eq!(done.expect_err("asked").kind(), io::ErrorKind::InvalidInput);
    };
    let mut file = Files.open(Path::new("/proc/self/comm"), false).expect("it can be opened");
    refused(file.sync());
    refused(file.cut(0));
    refused(Files.sync_dir(Path::new("/proc")));
}

/// A file that is there is not made again: another's data would be written over.
#[test]
fn files_are_made_once() {
    let dir = crate::support::Scratch::new();
    let path = dir.path().join("file");
    Files.open(&path, false).map(drop).expect_err("it is not there");
    drop(Files.open(&path, true).expect("it is made"));
    let twice = Files.open(&path, true).map(drop).expect_err("it is there");
    assert_eq!(twice.kind(), io::ErrorKind::AlreadyExists);
}

/// Plain files that note which directories were synced, and refuse the first so many writes to
/// snapshots.
#[derive(Clone, Default)]
struct Fussy {
    synced: Arc<Mutex<Vec<PathBuf>>>,
    refusals: Arc<AtomicU64>,
}

impl Fussy {
    fn refuses(&self) -> bool {
        let less = |left: u64| left.checked_sub(1);
        self.refusals.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).is_ok()
    }
}

impl Storage for Fussy {
    fn open(&self, path: &Path, create: bool) -> io::Result<Box<dyn LogFile>> {
        let file = Files.open(path, create)?;
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        let of_snapshot = name.starts_with("snapshot");
        Ok(if of_snapshot { Box::new(FussyFile(file, self.clone())) } else { file })
    }

    fn length(&self, path: &Path) -> io::Result<Option<u64>> {
        Files.length(path)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        Files.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        Files.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.synced.lock().unwrap_or_else(PoisonError::into_inner).push(dir.to_path_buf());
        Files.sync_dir(dir)
    }
}

struct FussyFile(Box<dyn LogFile>, Fussy);

impl LogFile for FussyFile {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        self.0.read()
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        if self.1.refuses() {
            return Err(io::ErrorKind::StorageFull.into());
        }
        self.0.append(bytes)
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync()
    }

    fn cut(&mut self, length: u64) -> io::Result<()> {
        self.0.cut(length)
    }

    fn rewrite(&mut self, at: u64, bytes: &[u8]) -> io::Result<()> {
        self.0.rewrite(at, bytes)
    }
}

async fn count_on(client: &mut ClusterClient, from: u64, to: u64) -> Result {
    for expected in from..=to {
        match client.call(Bytes::from_static(b"aaaa")).await? {
            Outcome::Committed { result, .. } => assert_eq!(number(&result), expected),
            other => panic!("not applied: {other:?}"),
        }
    }
    Ok(())
}

/// A directory whose name is lost in a power cut takes everything in it along.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_names_of_new_directories_are_synced() -> Result {
    let cluster = ToyCluster::<false>::unstarted(1);
    let fussy = Fussy::default();
    let mut config = NodeConfig { create: true, ..cluster.config(LEADER) };
    config.storage = Arc::new(fussy.clone());
    let (inner, outer) = (config.data_dir.join("a/b"), config.data_dir.clone());
    config.data_dir = inner.clone();
    let handle = start(config, Counter::default()).await?;
    let synced = fussy.synced.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for above in [outer.parent().expect("it has one"), &outer, &outer.join("a"), &inner] {
        assert!(synced.iter().any(|dir| dir == above), "{} in {synced:?}", above.display());
    }
    handle.shutdown().await;
    Ok(())
}

/// A full disk costs a snapshot, and no more than that: when there is room again, the next is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_snapshot_that_could_not_be_kept_the_next_one_is() -> Result {
    let mut cluster = ToyCluster::<false>::unstarted(1);
    let fussy = Fussy::default();
    let mut config = NodeConfig { create: true, ..cluster.config(LEADER) };
    config.storage = Arc::new(fussy.clone());
    cluster.nodes.insert(LEADER, start(config, Counter::default()).await?);
    let mut client = cluster.client();
    count_on(&mut client, 1, 10).await?;
    let node = &cluster.nodes[&LEADER];
    for refused in 0..3 {
        fussy.refusals.store(1, Ordering::Relaxed);
        let why = timeout(long(), node.take_snapshot()).await?.expect_err("the disk is full");
        assert!(why.to_string().contains("could not be kept"), "{refused}: {why}");
        count_on(&mut client, 11 + refused, 11 + refused).await?;
    }
    let index = timeout(long(), node.take_snapshot()).await??;
    assert_eq!(index.0, 14, "thirteen commands, and the opening of the session");
    Ok(())
}

fn forgetful(config: NodeConfig<Toy<false>>) -> NodeConfig<Toy<false>> {
    let mut config = config;
    config.limits.snapshot_after = 2000;
    config.limits.snapshot_chunk = 64;
    config
}

/// A replica whose disk is full for a while receives the snapshot that it lacks all the same, at
/// whichever of its pieces the disk was full.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_piece_that_could_not_be_kept_a_snapshot_is_received() -> Result {
    let mut cluster = ToyCluster::<false>::unstarted(3);
    for node in cluster.cluster.nodes().iter() {
        let config = NodeConfig { create: true, ..forgetful(cluster.config(node)) };
        cluster.nodes.insert(node, start(config, Counter::default()).await?);
    }
    let mut client = cluster.client();
    let mut count = 0;
    for refusals in [1, 2, 3] {
        count_on(&mut client, count + 1, count + 5).await?;
        cluster.kill(NodeId(2)).await;
        let fussy = Fussy::default();
        let known = cluster.nodes[&LEADER].status().purged.0;
        count_on(&mut client, count + 6, count + 100).await?;
        count += 100;
        let mut status = cluster.nodes[&LEADER].watch_status();
        timeout(long(), status.wait_for(|status| status.purged.0 > known + 40)).await??;
        fussy.refusals.store(refusals, Ordering::Relaxed);
        let storage: Arc<dyn Storage> = Arc::new(fussy.clone());
        let config = NodeConfig { storage, ..forgetful(cluster.config(NodeId(2))) };
        let node = start(config, Counter::default()).await?;
        let committed = cluster.nodes[&LEADER].status().committed;
        let mut status = node.watch_status();
        let reached =
            timeout(long(), status.wait_for(|status| status.committed >= committed)).await;
        reached.unwrap_or_else(|_| panic!("{:?} never comes", node.report()))?;
        assert_eq!(fussy.refusals.load(Ordering::Relaxed), 0, "the disk was full");
        cluster.nodes.insert(NodeId(2), node);
    }
    Ok(())
}

/// The tests above fail with the bugs that they are about, in processes of their own.
#[cfg(all(target_os = "linux", feature = "mutants"))]
#[test]
fn bugs_planted_between_a_node_and_its_disk_are_found() -> Result {
    let tests = [
        ("N11", "disk::after_a_snapshot_that_could_not_be_kept_the_next_one_is"),
        ("N12", "disk::after_a_piece_that_could_not_be_kept_a_snapshot_is_received"),
        ("N09", "disk::files_ask_the_system_to_sync"),
    ];
    for (bug, test) in tests {
        let ran = crate::support::planted(bug, test)?.output()?;
        let said = String::from_utf8_lossy(&ran.stdout);
        assert!(!ran.status.success() && said.contains("1 failed"), "{bug}: {said}");
    }
    Ok(())
}
