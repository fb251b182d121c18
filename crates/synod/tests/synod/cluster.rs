//! A cluster of real processes that a test starts, kills and starts again. Whatever happens to the
//! test, the processes end with it and the folder goes.

use consensus_core::{
    Authenticator, ClientId, Cluster, ClusterId, FaultModel, NoKeys, NodeId, Patience,
};
use std::collections::BTreeMap;
use std::net::{SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use synod_algorithms::Algorithm;
use synod_pbft::{KeyRing, PublicKey, SecretKey};
use synod_runtime::{ClientConfig, ClusterClient};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::time::timeout;

/// Longer than anything should take, so that a hang is a failure with a name.
pub(crate) const LONG: Duration = Duration::from_secs(180);

/// The program under test.
pub(crate) const SYNOD: &str = env!("CARGO_BIN_EXE_synod");

/// A folder of its own, gone at the end.
#[derive(Debug)]
pub(crate) struct Folder(PathBuf);

impl Folder {
    pub(crate) fn new(name: &str) -> Self {
        static NEXT: AtomicU16 = AtomicU16::new(0);
        let nth = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!("synod-{name}-{}-{nth}", std::process::id()));
        drop(std::fs::remove_dir_all(&path));
        std::fs::create_dir_all(&path).expect("the temporary folder can be written");
        Self(path)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        drop(std::fs::remove_dir_all(&self.0));
    }
}

/// The first of a row of ports that no other test of this run uses and that are free now.
pub(crate) fn base_port(count: u16) -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    // Below the ports that the system gives to outgoing connections.
    let start = 20_000 + (std::process::id() % 40) as u16 * 300;
    loop {
        let first = start + NEXT.fetch_add(count, Ordering::Relaxed);
        let free = |port| TcpListener::bind(("127.0.0.1", port)).is_ok();
        if (first..first + count).all(free) {
            return first;
        }
    }
}

/// Runs the program to its end.
pub(crate) async fn synod(args: &[&str]) -> Output {
    let mut command = Command::new(SYNOD);
    command.args(args).stdin(Stdio::null()).kill_on_drop(true);
    let ended = timeout(LONG, command.output()).await;
    ended.unwrap_or_else(|_| panic!("synod {args:?} hangs")).expect("the program runs")
}

/// What it said on stdout.
pub(crate) fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// What it said on stderr.
pub(crate) fn complained(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// What a kill does to what was written and not synced.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Disk {
    /// It stays, in the page cache: files as they are.
    Plain,
    /// It is lost, as in a power cut.
    LosesUnsynced,
    /// It is lost, and the replica was told that it was synced: a broken build.
    Lies,
}

/// A cluster.
#[derive(Debug)]
pub(crate) struct Processes {
    algorithm: Algorithm,
    folder: Folder,
    first_port: u16,
    size: usize,
    disk: Disk,
    /// More flags of `synod serve`.
    flags: Vec<String>,
    running: BTreeMap<usize, Child>,
}

impl Processes {
    /// Writes the files of a cluster and starts all its replicas.
    pub(crate) async fn start(algorithm: Algorithm, size: usize, disk: Disk) -> Self {
        Self::start_with(algorithm, size, disk, &[]).await
    }

    /// The same, with more flags of `synod serve` for every replica.
    pub(crate) async fn start_with(
        algorithm: Algorithm,
        size: usize,
        disk: Disk,
        flags: &[&str],
    ) -> Self {
        let folder = Folder::new(algorithm.name());
        // One more for who joins.
        let first_port = base_port(size as u16 + 1);
        let made = synod(&[
            "cluster",
            "--prepare",
            "--algo",
            algorithm.name(),
            "--nodes",
            &size.to_string(),
            "--base-port",
            &first_port.to_string(),
            "--dir",
            &folder.path().display().to_string(),
        ])
        .await;
        assert!(made.status.success(), "{}", complained(&made));
        let (flags, running) =
            (flags.iter().copied().map(str::to_owned).collect(), BTreeMap::new());
        let mut cluster = Self { algorithm, folder, first_port, size, disk, flags, running };
        for id in 0..size {
            cluster.launch(id, true).await;
        }
        cluster
    }

    pub(crate) fn size(&self) -> usize {
        self.size
    }

    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The folder as a flag of `synod ctl`.
    pub(crate) fn flag(&self) -> String {
        self.path().display().to_string()
    }

    pub(crate) fn data(&self, id: usize) -> PathBuf {
        self.path().join(format!("n{id}/data"))
    }

    pub(crate) fn address(&self, id: usize) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], self.first_port + id as u16))
    }

    /// Starts a replica that does not run; it finds the disk that it left.
    pub(crate) async fn restart(&mut self, id: usize) {
        self.launch(id, false).await;
    }

    /// Starts a replica that joins: the first that is none of the first ones.
    pub(crate) async fn join(&mut self) -> usize {
        let id = self.size;
        let folder = self.path().join(format!("n{id}"));
        std::fs::create_dir_all(&folder).expect("a folder can be made");
        let peers: Vec<_> = (0..id).map(|peer| format!("\"{}\"", self.address(peer))).collect();
        let text = format!(
            "algorithm = \"{}\"\ncluster = \"{}\"\nid = {id}\npeers = [{}]\nlisten = \"{}\"\n\
             join = true\ndata = \"data\"\n",
            self.algorithm.name(),
            self.id(),
            peers.join(", "),
            self.address(id)
        );
        std::fs::write(folder.join("node.toml"), text).expect("a file can be written");
        self.launch(id, true).await;
        id
    }

    async fn launch(&mut self, id: usize, init: bool) {
        let mut child = self.spawn(id, init);
        let stdout = child.stdout.take().expect("stdout was asked for");
        let mut lines = BufReader::new(stdout).lines();
        let first = timeout(LONG, lines.next_line()).await;
        let line = first.expect("a replica starts in time").expect("its stdout can be read");
        let ready = format!("ready n{id} {}", self.address(id));
        assert!(line.as_deref().is_some_and(|line| line.starts_with(&ready)), "{line:?}");
        self.running.insert(id, child);
    }

    fn spawn(&self, id: usize, init: bool) -> Child {
        let mut command = Command::new(SYNOD);
        let config = self.path().join(format!("n{id}/node.toml"));
        command.arg("serve").arg("--config").arg(config).arg("--stop-with-parent");
        if init {
            command.arg("--init");
        }
        command.args(&self.flags);
        if self.disk != Disk::Plain {
            command.arg("--lose-unsynced");
        }
        if self.disk == Disk::Lies {
            command.arg("--never-sync");
        }
        // The pipe on stdin stays open as long as the child is in the map.
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).kill_on_drop(true);
        command.spawn().expect("the program runs")
    }

    /// Starts a replica that is expected to refuse, and gives what it said.
    pub(crate) async fn refused(&self, id: usize, init: bool) -> String {
        let ended = timeout(LONG, self.spawn_silent(id, init).wait_with_output()).await;
        let output = ended.expect("a replica that cannot start says so").expect("it ran");
        assert!(!output.status.success(), "n{id} started");
        complained(&output)
    }

    fn spawn_silent(&self, id: usize, init: bool) -> Child {
        let mut command = Command::new(SYNOD);
        let config = self.path().join(format!("n{id}/node.toml"));
        command.arg("serve").arg("--config").arg(config);
        if init {
            command.arg("--init");
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        command.kill_on_drop(true).spawn().expect("the program runs")
    }

    /// `kill -9`.
    pub(crate) async fn kill(&mut self, id: usize) {
        let mut child = self.running.remove(&id).expect("only a running replica is killed");
        child.kill().await.expect("a child can be killed");
    }

    /// Closes the replica's stdin, as the end of its parent would, and waits until it is gone.
    pub(crate) async fn close_stdin(&mut self, id: usize) {
        let mut child = self.running.remove(&id).expect("only a running replica is stopped");
        drop(child.stdin.take());
        let ended = timeout(LONG, child.wait()).await.expect("it stops when its parent is gone");
        assert!(ended.expect("it can be waited for").success(), "it stops gracefully");
    }

    /// Panics if a replica ended that nobody killed.
    pub(crate) fn assert_running(&mut self) {
        for (id, child) in &mut self.running {
            let ended = child.try_wait().expect("a child can be asked");
            assert!(ended.is_none(), "n{id} ended by itself: {ended:?}");
        }
    }

    /// A client that asks replica `nth` first. No two clients of a cluster have the same number.
    pub(crate) fn client(&self, nth: u64, patience: Patience) -> ClusterClient {
        let cluster = Cluster::new(self.id(), self.size);
        let addresses = (0..self.size).map(|id| (NodeId(id as u8), self.address(id))).collect();
        let (id, keys) = self.identity(nth);
        let target = NodeId((nth % self.size as u64) as u8);
        let info = self.algorithm.info();
        let config =
            ClientConfig { cluster, info, addresses, id, opening: 1, patience, target, keys };
        ClusterClient::connect(config).expect("the configuration is good")
    }

    /// What cluster.toml says.
    fn id(&self) -> ClusterId {
        let text = std::fs::read_to_string(self.path().join("cluster.toml")).expect("it is there");
        let table: toml::Table = text.parse().expect("it is TOML");
        let id = table["cluster"].as_str().expect("an id is text");
        ClusterId(u128::from_str_radix(id, 16).expect("an id is hex"))
    }

    /// The name and keys of the `nth` client: with keys of the cluster's own where clients sign.
    fn identity(&self, nth: u64) -> (ClientId, Arc<dyn Authenticator>) {
        if self.algorithm.info().faults == FaultModel::Crash {
            return (ClientId(1000 + nth), Arc::new(NoKeys));
        }
        let read =
            |name: &str| std::fs::read_to_string(self.path().join(name)).expect("a key file");
        let ring: toml::Table = read("ring.toml").parse().expect("it is TOML");
        let keys = |kind: &str| -> Vec<PublicKey> {
            let keys = ring[kind].as_array().expect("a list of keys").iter();
            keys.map(|key| PublicKey::from_hex(key.as_str().expect("text")).expect("a key"))
                .collect()
        };
        // `synod ctl` takes the first; these take the last.
        let own = read(&format!("clients/c{:02}.key", 15 - nth));
        let own = SecretKey::from_hex(&own).expect("a key");
        let id = own.public().client_id();
        (id, Arc::new(KeyRing::new(own, keys("nodes"), keys("clients"))))
    }

    /// Runs `synod ctl` on this cluster.
    pub(crate) async fn ctl(&self, args: &[&str]) -> Output {
        let folder = self.flag();
        let mut all = vec!["ctl", "--cluster", &folder];
        all.extend_from_slice(args);
        synod(&all).await
    }
}
