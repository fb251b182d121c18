//! The folder of a local cluster: made once, found again, moved to other ports, never shared by
//! two parents and never laid over files of somebody else.

use crate::exit::Failure;
use crate::files::{
    self, AlgorithmName, CLUSTER_FILE, ClusterFile, KeyFiles, NODE_FILE, NodeFile, cannot,
};
use crate::keys;
use consensus_core::NodeId;
use std::collections::BTreeMap;
use std::fs::{self, File, TryLockError};
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use synod_algorithms::Algorithm;

/// Where ports are looked for unless the caller says where.
const FIRST_PORT: u16 = 4100;
/// How many client keys a cluster gets; so many `synod ctl` can run at once where clients sign.
const CLIENT_KEYS: usize = 16;
/// Held by the process that runs the cluster.
const LOCK_FILE: &str = "lock";

/// What the caller asked for; what is missing is chosen, or was chosen when the folder was made.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Wish {
    /// Which protocol.
    pub(crate) algorithm: Option<Algorithm>,
    /// How many replicas.
    pub(crate) nodes: Option<usize>,
    /// The port of the first replica; the others follow.
    pub(crate) base_port: Option<u16>,
}

impl Wish {
    fn algorithm(self) -> Algorithm {
        self.algorithm.unwrap_or(Algorithm::Raft)
    }

    /// Three replicas survive a crash; where replicas may lie, it takes four.
    fn size(self) -> usize {
        self.nodes.unwrap_or(if keys::signs(self.algorithm()) { 4 } else { 3 })
    }

    /// Can there be such a cluster?
    fn check(self) -> Result<(), Failure> {
        files::check_size(self.algorithm(), self.size()).map_err(Failure::usage)?;
        self.base_port.map_or(Ok(()), |port| ports_from(port, self.size()).map(drop))
    }
}

/// A folder that holds a cluster, and the lock on it.
#[derive(Debug)]
pub(crate) struct Layout {
    folder: PathBuf,
    /// What `cluster.toml` says.
    pub(crate) cluster: ClusterFile,
    /// Replicas that joined later and live in this folder, too: their numbers, and where they are.
    pub(crate) joined: BTreeMap<usize, SocketAddr>,
    /// Held until the value is dropped.
    _lock: File,
}

impl Layout {
    /// Makes the folder, or takes the one that is there.
    pub(crate) fn open(folder: &Path, wish: Wish) -> Result<Self, Failure> {
        if !folder.join(CLUSTER_FILE).exists() {
            wish.check()?; // Before anything is made.
        }
        let lock = lock(folder)?;
        // Absolute: a child's command line then names the same file in every later run.
        let folder = &folder.canonicalize().map_err(|error| cannot("find", folder, &error))?;
        let cluster = if folder.join(CLUSTER_FILE).exists() {
            found(folder, wish)?
        } else {
            made(folder, wish)?
        };
        let joined = joined(folder, &cluster)?;
        Ok(Self { folder: folder.clone(), cluster, joined, _lock: lock })
    }

    /// All replicas of the folder, by number, and where they are.
    pub(crate) fn replicas(&self) -> BTreeMap<usize, SocketAddr> {
        let first = self.cluster.nodes.iter().copied().enumerate();
        first.chain(self.joined.clone()).collect()
    }

    /// The folder of one replica.
    pub(crate) fn node(&self, id: usize) -> NodeFolder {
        NodeFolder(node_folder(&self.folder, id))
    }
}

/// The folder of one replica.
#[derive(Clone, Debug)]
pub(crate) struct NodeFolder(PathBuf);

impl NodeFolder {
    /// The file for `synod serve`.
    pub(crate) fn config(&self) -> PathBuf {
        self.0.join(NODE_FILE)
    }

    /// Its disk.
    pub(crate) fn data(&self) -> PathBuf {
        self.0.join("data")
    }

    /// Where its log messages go.
    pub(crate) fn log(&self) -> PathBuf {
        self.0.join("log")
    }

    /// The number of its process while that runs.
    pub(crate) fn pid(&self) -> PathBuf {
        self.0.join("pid")
    }

    /// Did it never start? Afterwards its data folder must not be found empty, even if it was
    /// emptied.
    pub(crate) fn is_new(&self) -> bool {
        !self.marker().exists() && !synod_runtime::is_initialised(&self.data())
    }

    /// From now on an empty data folder is an error.
    pub(crate) fn mark_started(&self) -> Result<(), Failure> {
        let text = "This replica has run. An empty data folder is refused from now on.\n";
        files::write_text(&self.marker(), text)
    }

    fn marker(&self) -> PathBuf {
        self.0.join("started")
    }
}

fn node_folder(folder: &Path, id: usize) -> PathBuf {
    folder.join(format!("n{id}"))
}

/// Only one process runs the cluster of a folder.
fn lock(folder: &Path) -> Result<File, Failure> {
    fs::create_dir_all(folder).map_err(|error| cannot("make the folder", folder, &error))?;
    let path = folder.join(LOCK_FILE);
    let file = File::create(&path).map_err(|error| cannot("open", &path, &error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Failure::failed(format!(
            "another `synod cluster` runs the cluster in {}; stop it, or give another --dir",
            folder.display()
        ))),
        Err(TryLockError::Error(error)) => Err(cannot("lock", &path, &error)),
    }
}

/// The cluster that the folder holds, if it is the one that was asked for.
fn found(folder: &Path, wish: Wish) -> Result<ClusterFile, Failure> {
    let mut cluster = ClusterFile::read(folder)?;
    let (algorithm, size) = (cluster.algorithm.0, cluster.nodes.len());
    let other = wish.algorithm.is_some_and(|wanted| wanted != algorithm)
        || wish.nodes.is_some_and(|wanted| wanted != size);
    if other {
        return Err(Failure::usage(format!(
            "{} holds a cluster of {size} {algorithm} replicas; start it without --algo and \
             --nodes, or give another --dir for another cluster",
            folder.display()
        )));
    }
    if let Some(port) = wish.base_port {
        if let Some(id) = joined(folder, &cluster)?.into_keys().next() {
            return Err(Failure::usage(format!(
                "--base-port: n{id} joined this cluster, and the members remember where it is; a \
                 cluster that others have joined stays where it is"
            )));
        }
        cluster.nodes = ports_from(port, size)?;
        let mut kept: ClusterFile = files::read(&folder.join(CLUSTER_FILE))?;
        kept.nodes.clone_from(&cluster.nodes);
        for id in 0..size {
            let path = node_folder(folder, id).join(NODE_FILE);
            let mut node: NodeFile = files::read(&path)?;
            node.peers.clone_from(&cluster.nodes);
            node.listen = None;
            files::write(&path, NODE_COMMENT, &node)?;
        }
        files::write(&folder.join(CLUSTER_FILE), CLUSTER_COMMENT, &kept)?;
    }
    Ok(cluster)
}

/// The replicas behind the first ones that have a file in this folder.
fn joined(folder: &Path, cluster: &ClusterFile) -> Result<BTreeMap<usize, SocketAddr>, Failure> {
    let mut joined = BTreeMap::new();
    for id in cluster.nodes.len()..NodeId::LIMIT {
        let path = node_folder(folder, id).join(NODE_FILE);
        if !path.exists() {
            continue;
        }
        let node = NodeFile::read(&path)?;
        if usize::from(node.id) != id || !node.join || node.cluster != cluster.cluster {
            return Err(Failure::usage(format!(
                "{} is not the file of a replica that joins this cluster: it needs id = {id}, \
                 join = true and cluster = \"{}\"",
                path.display(),
                cluster.cluster
            )));
        }
        joined.insert(id, node.listen());
    }
    Ok(joined)
}

const CLUSTER_COMMENT: &str = "\
Written by `synod cluster`, read by `synod ctl --cluster`: what clients must know.
The n-th address belongs to replica n.";

const NODE_COMMENT: &str = "\
Written by `synod cluster`, read by `synod serve --config`: what this replica must know.
Paths are relative to this file; the n-th peer is replica n. See docs/config.md.";

/// A new cluster. `cluster.toml` comes last: with it the folder is complete.
fn made(folder: &Path, wish: Wish) -> Result<ClusterFile, Failure> {
    refuse_foreign_files(folder)?;
    let (algorithm, size) = (wish.algorithm(), wish.size());
    let signed = keys::signs(algorithm);
    let nodes = match wish.base_port {
        Some(port) => ports_from(port, size)?,
        None => free_ports(size, is_free)?,
    };
    let cluster = ClusterFile {
        algorithm: AlgorithmName(algorithm),
        cluster: files::random_id()?,
        nodes,
        joined: Default::default(),
        ring: signed.then(|| keys::RING_FILE.into()),
        client_keys: signed.then(|| keys::CLIENTS_FOLDER.into()),
    };
    for id in 0..size {
        let path = node_folder(folder, id);
        fs::create_dir_all(&path).map_err(|error| cannot("make the folder", &path, &error))?;
        let node = node_file(&cluster, id);
        files::write(&path.join(NODE_FILE), NODE_COMMENT, &node)?;
    }
    if signed {
        keys::generate(folder, size, CLIENT_KEYS)?;
    }
    files::write(&folder.join(CLUSTER_FILE), CLUSTER_COMMENT, &cluster)?;
    ClusterFile::read(folder)
}

fn node_file(cluster: &ClusterFile, id: usize) -> NodeFile {
    let ring = cluster.ring.as_ref();
    NodeFile {
        algorithm: cluster.algorithm,
        cluster: cluster.cluster,
        id: id as u8,
        peers: cluster.nodes.clone(),
        listen: None,
        data: "data".into(),
        allow_remote: false,
        join: false,
        snapshot_after_kib: None,
        trailing_entries: None,
        lease_drift_ppm: None,
        timing: None,
        keys: ring.map(|ring| KeyFiles {
            own: keys::NODE_KEY_FILE.into(),
            ring: Path::new("..").join(ring),
        }),
    }
}

fn refuse_foreign_files(folder: &Path) -> Result<(), Failure> {
    let entries = fs::read_dir(folder).map_err(|error| cannot("read", folder, &error))?;
    for entry in entries.flatten() {
        if entry.file_name() != LOCK_FILE {
            return Err(Failure::usage(format!(
                "{} is not empty and holds no {CLUSTER_FILE}; give a new or empty folder",
                folder.display()
            )));
        }
    }
    Ok(())
}

fn loopback(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

/// The addresses that start at this port, busy or not.
fn ports_from(first: u16, count: usize) -> Result<Vec<SocketAddr>, Failure> {
    let last = usize::from(first) + count - 1;
    if first == 0 || last > usize::from(u16::MAX) {
        return Err(Failure::usage(format!(
            "--base-port {first}: the ports {first} to {last} are not all between 1 and 65535"
        )));
    }
    Ok((0..count).map(|nth| loopback(first + nth as u16)).collect())
}

/// The first row of free ports.
fn free_ports(
    count: usize,
    is_free: impl Fn(SocketAddr) -> bool,
) -> Result<Vec<SocketAddr>, Failure> {
    let mut first = FIRST_PORT;
    while let Ok(row) = ports_from(first, count) {
        match row.iter().rposition(|address| !is_free(*address)) {
            None => return Ok(row),
            Some(busy) => first = row[busy].port().saturating_add(1),
        }
    }
    Err(Failure::failed(format!("no row of {count} ports is free above {FIRST_PORT}")))
}

/// Which of these addresses cannot be listened on just now.
pub(crate) fn busy(addresses: &[SocketAddr]) -> Vec<SocketAddr> {
    addresses.iter().copied().filter(|address| !is_free(*address)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let name = format!("synod-layout-{name}-{}", std::process::id());
            let path = std::env::temp_dir().join(name);
            drop(fs::remove_dir_all(&path));
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            drop(fs::remove_dir_all(&self.0));
        }
    }

    #[test]
    fn a_cluster_is_found_as_it_was_made_and_only_by_one() {
        let folder = Folder::new("found");
        let wish = Wish { algorithm: Some(Algorithm::MultiPaxos), ..Wish::default() };
        let layout = Layout::open(&folder.0, wish).unwrap();
        let made = layout.cluster.clone();
        assert_eq!(made.nodes.len(), 3);
        let second = Layout::open(&folder.0, wish).unwrap_err();
        assert!(second.message.contains("another `synod cluster`"), "{}", second.message);
        drop(layout);
        assert_eq!(Layout::open(&folder.0, Wish::default()).unwrap().cluster, made);
        let other = Wish { nodes: Some(5), ..Wish::default() };
        let refused = Layout::open(&folder.0, other).unwrap_err();
        assert!(refused.message.contains("3 multipaxos replicas"), "{}", refused.message);
    }

    /// A replica that joined lives on in the folder, and is not moved behind the members' backs.
    #[test]
    fn replicas_that_joined_are_found_again() {
        let folder = Folder::new("joined");
        let cluster = Layout::open(&folder.0, Wish::default()).unwrap().cluster;
        let path = folder.0.join("n5").join(NODE_FILE);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        let listen = Some(loopback(4999));
        let node = NodeFile { id: 5, join: true, listen, ..node_file(&cluster, 0) };
        files::write(&path, NODE_COMMENT, &node).unwrap();
        let layout = Layout::open(&folder.0, Wish::default()).unwrap();
        assert_eq!(layout.replicas().into_keys().collect::<Vec<_>>(), [0, 1, 2, 5]);
        assert_eq!(layout.joined[&5], loopback(4999));
        drop(layout);
        let wish = Wish { base_port: Some(23_900), ..Wish::default() };
        let refused = Layout::open(&folder.0, wish).unwrap_err();
        assert!(refused.message.contains("n5 joined"), "{}", refused.message);
        files::write(&path, NODE_COMMENT, &NodeFile { id: 6, ..node }).unwrap();
        let refused = Layout::open(&folder.0, Wish::default()).unwrap_err();
        assert!(refused.message.contains("needs id = 5"), "{}", refused.message);
    }

    #[test]
    fn files_of_somebody_else_are_left_alone() {
        let folder = Folder::new("foreign");
        fs::create_dir_all(&folder.0).unwrap();
        fs::write(folder.0.join("thesis.tex"), "years of work").unwrap();
        let refused = Layout::open(&folder.0, Wish::default()).unwrap_err();
        assert!(refused.message.contains("not empty"), "{}", refused.message);
    }

    #[test]
    fn a_cluster_moves_to_other_ports_in_all_its_files() {
        let folder = Folder::new("ports");
        drop(Layout::open(&folder.0, Wish::default()).unwrap());
        let wish = Wish { base_port: Some(23_456), ..Wish::default() };
        let layout = Layout::open(&folder.0, wish).unwrap();
        let moved = ports_from(23_456, 3).unwrap();
        assert_eq!(layout.cluster.nodes, moved);
        for id in 0..3 {
            assert_eq!(NodeFile::read(&layout.node(id).config()).unwrap().peers, moved);
        }
        assert!(ports_from(65_534, 3).is_err() && ports_from(65_533, 3).is_ok());
    }

    /// Which ports are free is told to the search here: real ports are shared with every other
    /// test and program of the machine.
    #[test]
    fn busy_ports_are_passed_over() {
        let second = loopback(FIRST_PORT + 1);
        let next = free_ports(3, |address| address != second).unwrap();
        assert_eq!(next, ports_from(FIRST_PORT + 2, 3).unwrap());
        let none = free_ports(3, |_| false).unwrap_err();
        assert!(none.message.contains("no row of 3 ports"), "{}", none.message);
    }

    #[test]
    fn a_port_that_is_listened_on_is_busy() {
        let held = TcpListener::bind(loopback(0)).unwrap();
        let address = held.local_addr().unwrap();
        assert_eq!(busy(&[address]), [address]);
    }
}
