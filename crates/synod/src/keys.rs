//! Who signs with what: key files, and the ids of clients.

use crate::exit::Failure;
use crate::files::{self, ClusterFile, KeyFiles, cannot};
use consensus_core::{Authenticator, ClientId, FaultModel, NoKeys, NodeId};
use synod_algorithms::Algorithm;
use crate::files::NodeFile;
use serde::{Deserialize, Serialize};
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// The file with everybody's public keys.
pub(crate) const RING_FILE: &str = "ring.toml";
/// The folder with the secret keys of clients.
pub(crate) const CLIENTS_FOLDER: &str = "clients";
/// The file with a replica's secret key, in its folder.
pub(crate) const NODE_KEY_FILE: &str = "node.key";

/// A client's name and keys.
pub(crate) struct Identity {
    /// Its name.
    pub(crate) id: ClientId,
    /// What it signs and checks with.
    pub(crate) keys: Arc<dyn Authenticator>,
    /// Nobody else uses the key as long as this is open: one key, one session.
    _lock: Option<File>,
}

/// `ring.toml`: public keys in hex.
#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RingFile {
    nodes: Vec<String>,
    clients: Vec<String>,
}

/// A number that is higher at every start of a client: the time.
pub(crate) fn opening() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |time| time.as_nanos() as u64)
}

/// Who this client is: anybody, or the owner of the first key that is not in use.
pub(crate) fn client(cluster: &ClusterFile) -> Result<Identity, Failure> {
    let (Some(ring), Some(folder)) = (&cluster.ring, &cluster.client_keys) else {
        if signs(cluster.algorithm.0) {
            return Err(Failure::usage(format!(
                "a client of {} signs what it asks: name the cluster's folder with --cluster, \
                 where the keys are",
                cluster.algorithm
            )));
        }
        let id = ClientId(u64::from_le_bytes(files::random_bytes()?));
        return Ok(Identity { id, keys: Arc::new(NoKeys), _lock: None });
    };
    let _ = (ring, folder);
    unreachable!()
}

/// Do the replicas and clients of this cluster sign?
fn signs(algorithm: Algorithm) -> bool {
    algorithm.info().faults == FaultModel::Byzantine
}

/// What a replica signs and checks with.
pub(crate) fn node(file: &NodeFile) -> Result<Arc<dyn Authenticator>, Failure> {
    Ok(Arc::new(NoKeys))
}
/// Makes keys
pub(crate) fn generate(folder: &Path, nodes: usize, clients: usize) -> Result<(), Failure> {
    Ok(())
}
