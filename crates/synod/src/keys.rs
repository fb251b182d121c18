//! Who signs with what: key files, and the ids of clients.

use crate::exit::Failure;
use crate::files::{self, ClusterFile, NodeFile, cannot};
use consensus_core::{Authenticator, ClientId, FaultModel, NoKeys};
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;
use synod_algorithms::Algorithm;
use synod_pbft::{KeyRing, PublicKey, SecretKey};

/// The file with everybody's public keys.
pub(crate) const RING_FILE: &str = "ring.toml";
/// The folder with the secret keys of clients.
pub(crate) const CLIENTS_FOLDER: &str = "clients";
/// The file with a replica's secret key, in its folder.
pub(crate) const NODE_KEY_FILE: &str = "node.key";

const RING_COMMENT: &str = "\
Public keys of replicas and clients, 64 hex digits each; the n-th of nodes is replica n's.
The same file everywhere.";

/// Do the replicas and clients of such a cluster sign?
pub(crate) fn signs(algorithm: Algorithm) -> bool {
    algorithm.info().faults == FaultModel::Byzantine
}

/// `ring.toml`: public keys in hex.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RingFile {
    nodes: Vec<String>,
    clients: Vec<String>,
}

/// Everybody's public keys.
struct Ring {
    nodes: Vec<PublicKey>,
    clients: Vec<PublicKey>,
}

impl Ring {
    /// Reads the file, which must have a key for each replica.
    fn read(path: &Path, size: usize) -> Result<Self, Failure> {
        let file: RingFile = files::read(path)?;
        let parse = |(kind, texts): (&str, Vec<String>)| {
            let keys = texts.iter().enumerate().map(|(nth, text)| {
                let wrong = |error| format!("{}: {kind}[{nth}]: {error}", path.display());
                PublicKey::from_hex(text).map_err(|error| Failure::usage(wrong(error)))
            });
            keys.collect::<Result<Vec<_>, _>>()
        };
        let (nodes, clients) = (parse(("nodes", file.nodes))?, parse(("clients", file.clients))?);
        if nodes.len() != size {
            let (shown, count) = (path.display(), nodes.len());
            return Err(Failure::usage(format!(
                "{shown} has keys of {count} replicas, but the cluster has {size}"
            )));
        }
        Ok(Self { nodes, clients })
    }
}

/// What a replica signs and checks with.
pub(crate) fn node(file: &NodeFile) -> Result<Arc<dyn Authenticator>, Failure> {
    let algorithm = file.algorithm.0;
    let keys = match &file.keys {
        Some(keys) if signs(algorithm) => keys,
        None if !signs(algorithm) => return Ok(Arc::new(NoKeys)),
        Some(_) => {
            return Err(Failure::usage(format!("a {algorithm} replica signs nothing: no keys")));
        }
        None => {
            return Err(Failure::usage(format!(
                "a {algorithm} replica signs what it says: name its key with --key and the public \
                 keys with --ring, or under [keys] in its file; `synod cluster --algo {algorithm} \
                 --prepare` makes some"
            )));
        }
    };
    let ring = Ring::read(&keys.ring, file.peers.len())?;
    let own = read_secret(&keys.own)?;
    if ring.nodes.get(usize::from(file.id)) != Some(&own.public()) {
        return Err(Failure::usage(format!(
            "{} is not the key that {} has for replica {}",
            keys.own.display(),
            keys.ring.display(),
            file.id
        )));
    }
    Ok(Arc::new(KeyRing::new(own, ring.nodes, ring.clients)))
}

/// A client's name and keys.
pub(crate) struct Identity {
    /// Its name.
    pub(crate) id: ClientId,
    /// What it signs and checks with.
    pub(crate) keys: Arc<dyn Authenticator>,
    /// Nobody else uses the key as long as this is open: one key, one session.
    _lock: Option<File>,
}

/// A number that is higher at every start of a client: the time.
pub(crate) fn opening() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |time| time.as_nanos() as u64)
}

/// Who this client is: anybody, or the owner of the first key that is not in use.
pub(crate) fn client(cluster: &ClusterFile) -> Result<Identity, Failure> {
    if !signs(cluster.algorithm.0) {
        let id = ClientId(u64::from_le_bytes(files::random_bytes()?));
        return Ok(Identity { id, keys: Arc::new(NoKeys), _lock: None });
    }
    let (Some(ring), Some(folder)) = (&cluster.ring, &cluster.client_keys) else {
        return Err(Failure::usage(format!(
            "a client of {} signs what it asks: name the cluster's folder with --cluster; ring \
             and client-keys in its cluster.toml say where the keys are",
            cluster.algorithm
        )));
    };
    let ring = Ring::read(ring, cluster.nodes.len())?;
    let (own, lock) = free_key(folder)?;
    let public = own.public();
    if !ring.clients.contains(&public) {
        return Err(Failure::usage(format!(
            "{} has a key that the cluster's ring does not know",
            folder.display()
        )));
    }
    let keys = Arc::new(KeyRing::new(own, ring.nodes, ring.clients));
    Ok(Identity { id: public.client_id(), keys, _lock: Some(lock) })
}

/// The first key of the folder that nobody uses, and the lock on it.
fn free_key(folder: &Path) -> Result<(SecretKey, File), Failure> {
    let entries = fs::read_dir(folder).map_err(|error| cannot("read", folder, &error))?;
    let mut paths: Vec<PathBuf> = entries
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| path.extension().is_some_and(|extension| extension == "key"))
        .collect();
    paths.sort();
    for path in &paths {
        let mut file = File::open(path).map_err(|error| cannot("open", path, &error))?;
        match file.try_lock() {
            Ok(()) => return Ok((parse_secret(path, &mut file)?, file)),
            Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(error)) => return Err(cannot("lock", path, &error)),
        }
    }
    Err(Failure::failed(format!(
        "all {} client keys in {} are in use: wait until another `synod ctl` has ended",
        paths.len(),
        folder.display()
    )))
}

fn read_secret(path: &Path) -> Result<SecretKey, Failure> {
    let mut file = File::open(path).map_err(|error| cannot("open", path, &error))?;
    parse_secret(path, &mut file)
}

fn parse_secret(path: &Path, file: &mut File) -> Result<SecretKey, Failure> {
    let mut text = String::new();
    file.read_to_string(&mut text).map_err(|error| cannot("read", path, &error))?;
    SecretKey::from_hex(&text)
        .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))
}

/// Makes keys for all replicas and for some clients of a new cluster.
pub(crate) fn generate(folder: &Path, nodes: usize, clients: usize) -> Result<(), Failure> {
    let owned = folder.join(CLIENTS_FOLDER);
    fs::create_dir_all(&owned).map_err(|error| cannot("make the folder", &owned, &error))?;
    let node_keys = (0..nodes).map(|id| folder.join(format!("n{id}")).join(NODE_KEY_FILE));
    let client_keys = (0..clients).map(|nth| owned.join(format!("c{nth:02}.key")));
    let ring = RingFile {
        nodes: node_keys.map(|path| new_key(&path)).collect::<Result<_, _>>()?,
        clients: client_keys.map(|path| new_key(&path)).collect::<Result<_, _>>()?,
    };
    files::write(&folder.join(RING_FILE), RING_COMMENT, &ring)
}

/// Writes a new secret key for its owner's eyes, and gives the public half in hex.
fn new_key(path: &Path) -> Result<String, Failure> {
    let secret = SecretKey::from_bytes(files::random_bytes()?);
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    options
        .open(path)
        .and_then(|mut file| writeln!(file, "{}", secret.to_hex()))
        .map_err(|error| cannot("write", path, &error))?;
    Ok(secret.public().to_hex())
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{ClusterId, NodeId, Signer};

    /// What one replica signs, another checks; a replica with another's key does not start.
    #[test]
    fn keys_are_made_and_found_by_their_owners() {
        let folder = std::env::temp_dir().join(format!("synod-keys-{}", std::process::id()));
        drop(fs::remove_dir_all(&folder));
        for id in 0..4 {
            fs::create_dir_all(folder.join(format!("n{id}"))).unwrap();
        }
        generate(&folder, 4, 2).unwrap();
        let peers = (1..=4).map(|port| ([127, 0, 0, 1], port).into()).collect::<Vec<_>>();
        let mut file = NodeFile {
            algorithm: files::AlgorithmName(Algorithm::Pbft),
            cluster: files::ClusterName(ClusterId(1)),
            id: 1,
            peers: peers.clone(),
            listen: None,
            data: "data".into(),
            join: false,
            snapshot_after_kib: None,
            trailing_entries: None,
            lease_drift_ppm: None,
            allow_remote: false,
            timing: None,
            keys: Some(files::KeyFiles {
                own: folder.join("n1/node.key"),
                ring: folder.join(RING_FILE),
            }),
        };
        let tag = node(&file).unwrap().sign(b"said");
        let cluster = ClusterFile {
            algorithm: file.algorithm,
            cluster: file.cluster,
            nodes: peers,
            joined: Default::default(),
            ring: Some(folder.join(RING_FILE)),
            client_keys: Some(folder.join(CLIENTS_FOLDER)),
        };
        let first = client(&cluster).unwrap();
        assert!(first.keys.check(Signer::Node(NodeId(1)), b"said", &tag));
        let second = client(&cluster).unwrap();
        assert_ne!(first.id, second.id, "two clients at once do not share a key");
        let third = client(&cluster).err().map(|failure| failure.message);
        assert!(third.is_some_and(|message| message.contains("in use")));
        drop(first);
        assert!(client(&cluster).is_ok(), "a key is free again when its user has gone");
        file.id = 2;
        let stolen = node(&file).err().map(|failure| failure.message);
        assert!(stolen.is_some_and(|message| message.contains("replica 2")));
        drop(fs::remove_dir_all(&folder));
    }
}
