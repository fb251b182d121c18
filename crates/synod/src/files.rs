//! The files of a cluster: what `synod cluster` writes, `synod serve` and `synod ctl` read, and
//! people may edit. `docs/config.md` shows them.
//!
//! ```text
//! DIR/cluster.toml       for clients: algorithm, cluster id, addresses
//! DIR/n0/node.toml       for `synod serve`
//! DIR/n0/data/           the replica's disk
//! DIR/ring.toml          public keys of replicas and clients   } only where replicas sign
//! DIR/n0/node.key        the replica's secret key              }
//! DIR/clients/c00.key …  secret keys of clients                }
//! ```

use crate::exit::Failure;
use consensus_core::{Cluster, ClusterId, Fingerprint, NodeId, NodeSet, Timing};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;
use std::fs;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;
use synod_algorithms::Algorithm;

/// The name of the file for clients.
pub(crate) const CLUSTER_FILE: &str = "cluster.toml";
/// The name of a replica's file.
pub(crate) const NODE_FILE: &str = "node.toml";

/// An algorithm's name in a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct AlgorithmName(pub(crate) Algorithm);

/// A cluster id in a file: 32 hex digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClusterName(pub(crate) ClusterId);

impl FromStr for AlgorithmName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.parse()
            .map(Self)
            .map_err(|error: synod_algorithms::UnknownAlgorithm| error.to_string())
    }
}

impl FromStr for ClusterName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let digits = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        match u128::from_str_radix(text, 16) {
            Ok(number) if digits => Ok(Self(ClusterId(number))),
            _ => Err(format!("'{text}' is no cluster id; that is 32 hex digits")),
        }
    }
}

impl fmt::Display for AlgorithmName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Serialize for AlgorithmName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AlgorithmName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

impl Serialize for ClusterName {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ClusterName {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

/// `cluster.toml`: all that a client must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct ClusterFile {
    /// Which protocol the replicas run.
    pub(crate) algorithm: AlgorithmName,
    /// The cluster's id.
    pub(crate) cluster: ClusterName,
    /// The replicas' addresses, in the order of their ids.
    pub(crate) nodes: Vec<SocketAddr>,
    /// Addresses of replicas that joined later, by their number. The members themselves know where
    /// they are; this is for when none of the first ones is left to be asked.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) joined: BTreeMap<String, SocketAddr>,
    /// The file with the public keys, where replicas sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) ring: Option<PathBuf>,
    /// The folder with the secret keys of clients, where clients sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) client_keys: Option<PathBuf>,
}

/// `node.toml`: all that a replica must know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct NodeFile {
    /// Which protocol; the same in the whole cluster.
    pub(crate) algorithm: AlgorithmName,
    /// The cluster's id; the same in the whole cluster.
    pub(crate) cluster: ClusterName,
    /// Which of the peers this replica is, from 0.
    pub(crate) id: u8,
    /// The addresses of all replicas, this one's too, in the order of their ids.
    pub(crate) peers: Vec<SocketAddr>,
    /// The address to listen on, if that is not `peers[id]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) listen: Option<SocketAddr>,
    /// The replica's disk.
    pub(crate) data: PathBuf,
    /// Listen on an address that other machines reach, though links are neither encrypted nor
    /// authenticated yet.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) allow_remote: bool,
    /// This replica joins, or has joined, a running cluster: the peers are others that were there
    /// before, and `listen` is where it is.
    #[serde(default, skip_serializing_if = "is_false")]
    pub(crate) join: bool,
    /// A snapshot is taken when the log has grown by so many KiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) snapshot_after_kib: Option<u64>,
    /// So many entries are kept although a snapshot covers them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) trailing_entries: Option<u64>,
    /// Leases are on, and no clock gains or loses more than so many parts in a million; the same in
    /// the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) lease_drift_ppm: Option<u32>,
    /// The cluster's clocks; the same in the whole cluster.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) timing: Option<TimingTable>,
    /// Where the keys are, where replicas sign.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) keys: Option<KeyFiles>,
}

fn is_false(value: &bool) -> bool {
    !value
}

/// The keys of a replica.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct KeyFiles {
    /// The file with this replica's secret key.
    pub(crate) own: PathBuf,
    /// The file with everybody's public keys.
    pub(crate) ring: PathBuf,
}

/// Timeouts in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub(crate) struct TimingTable {
    heartbeat_ms: u64,
    election_min_ms: u64,
    election_max_ms: u64,
}

impl TimingTable {
    fn timing(self) -> Timing {
        Timing {
            heartbeat: Duration::from_millis(self.heartbeat_ms),
            election_min: Duration::from_millis(self.election_min_ms),
            election_max: Duration::from_millis(self.election_max_ms),
        }
    }
}

impl ClusterFile {
    /// Reads it; `path` is the file or the folder that holds it. Paths in it become relative to
    /// the caller's folder.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let path = if path.is_dir() { path.join(CLUSTER_FILE) } else { path.to_path_buf() };
        let mut file: Self = read(&path)?;
        let size = file.nodes.len();
        check_size(file.algorithm.0, size)
            .and_then(|()| check_distinct(&file.nodes))
            .and_then(|()| file.joined_nodes().map(drop))
            .map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?;
        let folder = folder_of(&path);
        for inner in [&mut file.ring, &mut file.client_keys].into_iter().flatten() {
            *inner = folder.join(&inner);
        }
        Ok(file)
    }

    /// The cluster as replicas and clients know it.
    pub(crate) fn cluster(&self) -> Cluster {
        let last = self.addresses().last_key_value().map_or(0, |(node, _)| node.index());
        Cluster::new(self.cluster.0, last + 1)
    }

    /// Where each replica is, as far as the file says.
    pub(crate) fn addresses(&self) -> BTreeMap<NodeId, SocketAddr> {
        let mut all = numbered(&self.nodes);
        all.extend(self.joined_nodes().unwrap_or_default());
        all
    }

    fn joined_nodes(&self) -> Result<BTreeMap<NodeId, SocketAddr>, String> {
        let one = |(node, address): (&String, &SocketAddr)| match node.parse::<u8>() {
            Ok(number) if usize::from(number) < NodeId::LIMIT => Ok((NodeId(number), *address)),
            _ => Err(format!("joined: '{node}' is no number of a replica")),
        };
        self.joined.iter().map(one).collect()
    }
}

impl NodeFile {
    /// Reads it. Paths in it become relative to the caller's folder.
    pub(crate) fn read(path: &Path) -> Result<Self, Failure> {
        let mut file: Self = read(path)?;
        let folder = folder_of(path);
        file.data = folder.join(&file.data);
        if let Some(keys) = &mut file.keys {
            keys.own = folder.join(&keys.own);
            keys.ring = folder.join(&keys.ring);
        }
        file.check().map_err(|why| Failure::usage(format!("{}: {why}", path.display())))?;
        Ok(file)
    }

    /// Does it make sense?
    pub(crate) fn check(&self) -> Result<(), String> {
        check_size(self.algorithm.0, self.peers.len())?;
        check_distinct(&self.peers)?;
        if self.join {
            self.check_joining()?;
        } else if usize::from(self.id) >= self.peers.len() {
            let last = self.peers.len() - 1;
            return Err(format!("there are peers 0 to {last}, so this replica is not {}", self.id));
        }
        let timing = self.cluster().timing;
        let ordered = Duration::ZERO < timing.heartbeat
            && timing.heartbeat < timing.election_min
            && timing.election_min <= timing.election_max;
        if !ordered {
            return Err(
                "timing: heartbeat-ms must be above 0 and below election-min-ms, and that \
                        at most election-max-ms"
                    .into(),
            );
        }
        Ok(())
    }

    /// A replica that joins has a number that the first ones do not have, and says where it is.
    fn check_joining(&self) -> Result<(), String> {
        let first = self.peers.len();
        if usize::from(self.id) < first {
            return Err(format!(
                "a replica that joins needs a number that was never used, so not one of the first \
                 {first}, which belong to the peers"
            ));
        }
        if usize::from(self.id) >= NodeId::LIMIT {
            return Err(format!("the highest number of a replica is {}", NodeId::LIMIT - 1));
        }
        if self.listen.is_none() {
            return Err("a replica that joins needs an address of its own: listen".into());
        }
        Ok(())
    }

    /// The cluster as all its replicas know it. Who joins knows no voters, and is told.
    pub(crate) fn cluster(&self) -> Cluster {
        let mut cluster = Cluster::new(self.cluster.0, self.peers.len());
        if self.join {
            cluster.voters = NodeSet::EMPTY;
            cluster.size = cluster.size.max(usize::from(self.id) + 1);
        }
        if let Some(table) = self.timing {
            cluster.timing = table.timing();
        }
        cluster
    }

    /// Where each replica is.
    pub(crate) fn addresses(&self) -> BTreeMap<NodeId, SocketAddr> {
        numbered(&self.peers)
    }

    /// Where this replica listens.
    pub(crate) fn listen(&self) -> SocketAddr {
        self.listen.unwrap_or_else(|| self.peers[usize::from(self.id)])
    }
}

fn numbered(addresses: &[SocketAddr]) -> BTreeMap<NodeId, SocketAddr> {
    addresses.iter().enumerate().map(|(id, address)| (NodeId(id as u8), *address)).collect()
}

/// The id of a cluster for which none was given: the same for all who name the same algorithm and
/// the same addresses.
pub(crate) fn derived_id(algorithm: Algorithm, nodes: &[SocketAddr]) -> ClusterName {
    let addresses: Vec<String> = nodes.iter().map(SocketAddr::to_string).collect();
    let text = format!("{} {}", algorithm.name(), addresses.join(","));
    let low = Fingerprint::of(text.as_bytes());
    let high = low.then(text.as_bytes());
    ClusterName(ClusterId((u128::from(high.0) << 64) | u128::from(low.0)))
}

/// A cluster id that nobody else has.
pub(crate) fn random_id() -> Result<ClusterName, Failure> {
    Ok(ClusterName(ClusterId(u128::from_le_bytes(random_bytes()?))))
}

/// Bytes that nobody can guess.
pub(crate) fn random_bytes<const N: usize>() -> Result<[u8; N], Failure> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| Failure::failed(format!("the system gives no random bytes: {error}")))?;
    Ok(bytes)
}

/// Can the algorithm run with so many replicas?
pub(crate) fn check_size(algorithm: Algorithm, size: usize) -> Result<(), String> {
    if size == 0 || size > NodeId::LIMIT {
        let limit = NodeId::LIMIT;
        return Err(format!("a cluster has 1 to {limit} replicas, not {size}"));
    }
    crate::replica::check_config(algorithm, &Cluster::new(ClusterId::default(), size))
}

fn check_distinct(addresses: &[SocketAddr]) -> Result<(), String> {
    for (place, address) in addresses.iter().enumerate() {
        if addresses[..place].contains(address) {
            return Err(format!("the address {address} is given to two replicas"));
        }
    }
    Ok(())
}

fn folder_of(file: &Path) -> &Path {
    file.parent().unwrap_or(Path::new(""))
}

/// Reads a TOML file.
pub(crate) fn read<T: DeserializeOwned>(path: &Path) -> Result<T, Failure> {
    let text = fs::read_to_string(path).map_err(|error| cannot("read", path, &error))?;
    toml::from_str(&text).map_err(|error| {
        Failure::usage(format!("{} is not as it should be:\n{error}", path.display()))
    })
}

/// Writes a TOML file under a comment, in one piece: a reader sees the old file or the new one.
pub(crate) fn write<T: Serialize>(path: &Path, comment: &str, value: &T) -> Result<(), Failure> {
    let body = toml::to_string(value).expect("our own files can be written as TOML");
    let comment: String = comment.lines().map(|line| format!("# {line}\n")).collect();
    write_text(path, &format!("{comment}{body}"))
}

/// Writes a file in one piece.
pub(crate) fn write_text(path: &Path, text: &str) -> Result<(), Failure> {
    let beside = path.with_extension("new");
    fs::write(&beside, text)
        .and_then(|()| fs::rename(&beside, path))
        .map_err(|error| cannot("write", path, &error))
}

/// The failure to do something with a file.
pub(crate) fn cannot(what: &str, path: &Path, error: &io::Error) -> Failure {
    let message = format!("cannot {what} {}: {error}", path.display());
    match error.kind() {
        io::ErrorKind::NotFound => Failure::usage(message),
        _ => Failure::failed(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(port: u16) -> SocketAddr {
        SocketAddr::from(([127, 0, 0, 1], port))
    }

    fn node(algorithm: Algorithm, id: u8, peers: u16) -> NodeFile {
        NodeFile {
            algorithm: AlgorithmName(algorithm),
            cluster: ClusterName(ClusterId(7)),
            id,
            peers: (0..peers).map(|port| address(4100 + port)).collect(),
            listen: None,
            data: "data".into(),
            allow_remote: false,
            join: false,
            snapshot_after_kib: None,
            trailing_entries: None,
            lease_drift_ppm: None,
            timing: None,
            keys: None,
        }
    }

    #[test]
    fn a_file_is_read_as_it_was_written() {
        let file = node(Algorithm::Raft, 1, 3);
        let text = toml::to_string(&file).unwrap();
        assert_eq!(toml::from_str::<NodeFile>(&text).unwrap(), file);
        let wrong = text.replace("data =", "dta =");
        assert!(toml::from_str::<NodeFile>(&wrong).unwrap_err().to_string().contains("dta"));
        let wrong = text.replace("raft", "rafts");
        let error = toml::from_str::<NodeFile>(&wrong).unwrap_err().to_string();
        assert!(error.contains("no algorithm 'rafts'"), "{error}");
    }

    #[test]
    fn clusters_that_cannot_be_are_refused_with_the_reason() {
        assert_eq!(node(Algorithm::Raft, 2, 3).check(), Ok(()));
        assert!(node(Algorithm::Raft, 3, 3).check().unwrap_err().contains("not 3"));
        assert!(node(Algorithm::Pbft, 0, 3).check().is_err(), "PBFT needs four replicas");
        assert!(node(Algorithm::Raft, 0, 0).check().unwrap_err().contains("not 0"));
        let mut twice = node(Algorithm::Raft, 0, 3);
        twice.peers[2] = twice.peers[0];
        assert!(twice.check().unwrap_err().contains("two replicas"));
        let mut slow = node(Algorithm::Raft, 0, 3);
        slow.timing =
            Some(TimingTable { heartbeat_ms: 50, election_min_ms: 40, election_max_ms: 60 });
        assert!(slow.check().unwrap_err().contains("heartbeat-ms"));
    }

    #[test]
    fn ids_are_32_hex_digits_and_nothing_else() {
        let id = ClusterName(ClusterId(0xabc));
        assert_eq!(id.to_string().parse(), Ok(id));
        for wrong in
            ["", "abc", "+0000000000000000000000000000abc", "g0000000000000000000000000000abc"]
        {
            assert!(wrong.parse::<ClusterName>().is_err(), "{wrong}");
        }
        let nodes = [address(1), address(2)];
        assert_eq!(derived_id(Algorithm::Raft, &nodes), derived_id(Algorithm::Raft, &nodes));
        assert_ne!(derived_id(Algorithm::Raft, &nodes), derived_id(Algorithm::Paxos, &nodes));
        assert_ne!(derived_id(Algorithm::Raft, &nodes), derived_id(Algorithm::Raft, &nodes[..1]));
    }

    /// A file that people edit may hold anything: it is refused with a reason, or what it says can
    /// be used.
    #[test]
    fn a_mutated_file_is_refused_or_can_be_used() {
        let mut whole = node(Algorithm::Raft, 1, 3);
        whole.listen = Some(address(9));
        whole.timing =
            Some(TimingTable { heartbeat_ms: 50, election_min_ms: 300, election_max_ms: 600 });
        whole.keys = Some(KeyFiles { own: "own.key".into(), ring: "ring.toml".into() });
        let mut rng = synod_sim::Rng::new(4);
        let mut used = 0;
        for seed in [toml::to_string(&whole), toml::to_string(&node(Algorithm::Pbft, 3, 4))] {
            let seed = seed.expect("our own files can be written as TOML").into_bytes();
            for _ in 0..3_000 {
                let text = synod_hostile::mutate::mutate(&seed, &mut rng);
                let Ok(text) = String::from_utf8(text) else { continue };
                let Ok(file) = toml::from_str::<NodeFile>(&text) else { continue };
                match file.check() {
                    Err(why) => assert!(!why.is_empty()),
                    Ok(()) => {
                        used += 1;
                        assert!(file.cluster().contains(NodeId(file.id)));
                        assert!(file.addresses().contains_key(&NodeId(file.id)));
                        let _ = file.listen();
                    }
                }
            }
        }
        assert!(used > 50, "{used} of the files could be used");
    }
}
