//! From an algorithm's name to a running replica of its type.

use crate::exit::{Exit, Failure, Outcome};
use crate::files::NodeFile;
use crate::keys;
use crate::output::{note, say};
use crate::signals;
use consensus_core::{Audit, Cluster, NodeId, ProtocolConfig};
use serde_json::json;
use std::sync::Arc;
use synod_algorithms::{Algorithm, Visitor};
use synod_kv::KvStore;
use synod_runtime::{DiscardUnsynced, NodeConfig, StartError, StopReason, SyncPolicy};

/// Can the algorithm run in this cluster?
pub(crate) fn check_config(algorithm: Algorithm, cluster: &Cluster) -> Result<(), String> {
    algorithm.dispatch(Check(cluster))
}

struct Check<'a>(&'a Cluster);

impl Visitor for Check<'_> {
    type Output = Result<(), String>;

    fn visit<P: Audit>(self) -> Self::Output {
        P::Config::for_cluster(self.0).map(drop).map_err(|error| error.to_string())
    }
}

/// What to run, and how.
#[derive(Debug)]
pub(crate) struct Start {
    /// Which replica of which cluster.
    pub(crate) file: NodeFile,
    /// Its disk may be empty.
    pub(crate) init: bool,
    /// Its disk loses at a kill what was not synced.
    pub(crate) lose_unsynced: bool,
    /// Its disk is believed before it has synced.
    pub(crate) never_sync: bool,
    /// Say "ready" in JSON.
    pub(crate) json: bool,
    /// Stop when stdin closes.
    pub(crate) stop_with_parent: bool,
}

/// Runs a replica until it is asked to stop or must.
pub(crate) fn serve(start: Start) -> Outcome {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    runtime.block_on(start.file.algorithm.0.dispatch(Serve(start)))
}

struct Serve(Start);

impl Visitor for Serve {
    type Output = std::pin::Pin<Box<dyn Future<Output = Outcome>>>;

    fn visit<P: Audit>(self) -> Self::Output {
        Box::pin(run::<P>(self.0))
    }
}

async fn run<P: Audit>(start: Start) -> Outcome {
    let node = synod_runtime::start::<P, KvStore>(config(&start)?, KvStore::default())
        .await
        .map_err(|error| not_started(&error))?;
    let id = node.id();
    say(ready_line(&start, id, node.local_addr(), P::INFO.name));
    let reason = tokio::select! {
        reason = node.stopped() => reason,
        () = signals::stop_wish() => node.shutdown().await,
        () = signals::stdin_closed(), if start.stop_with_parent => node.shutdown().await,
    };
    if reason == StopReason::Shutdown {
        note(format!("{id} stopped"));
        return Ok(Exit::Ok);
    }
    Err(Failure::failed(format!("{id} {reason}")))
}

/// What the caller can mend by other flags or files is a usage error.
fn not_started(error: &StartError) -> Failure {
    let message = error.to_string();
    match error {
        StartError::Config(_)
        | StartError::Settings(_)
        | StartError::Remote(_)
        | StartError::Identity(_) => Failure::usage(message),
        _ => Failure::failed(message),
    }
}

fn ready_line(start: &Start, id: NodeId, address: std::net::SocketAddr, algorithm: &str) -> String {
    if start.json {
        let cluster = start.file.cluster.to_string();
        return json!({
            "ready": true, "node": id.0, "address": address.to_string(),
            "algorithm": algorithm, "cluster": cluster,
        })
        .to_string();
    }
    format!("ready {id} {address} {algorithm}")
}

fn config<P: Audit>(start: &Start) -> Result<NodeConfig<P>, Failure> {
    let file = &start.file;
    let mut config = NodeConfig::<P>::new(NodeId(file.id), file.cluster(), file.data.clone())
        .map_err(|error| Failure::usage(error.to_string()))?;
    config.listen = file.listen();
    config.peers = file.addresses();
    config.create = start.init;
    config.allow_remote = file.allow_remote;
    config.keys = keys::node(file)?;
    if let Some(entries) = file.trailing_entries {
        config.protocol = config.protocol.with_trailing(entries);
    }
    if let Some(drift) = file.lease_drift_ppm {
        config.protocol = config.protocol.with_lease(drift).ok_or_else(|| {
            Failure::usage(format!("{} has no leases: leave lease-drift-ppm away", P::INFO.title))
        })?;
    }
    if let Some(kib) = file.snapshot_after_kib {
        config.limits.snapshot_after = kib.saturating_mul(1024);
    }
    if start.lose_unsynced {
        config.storage = Arc::new(DiscardUnsynced);
    }
    if start.never_sync {
        config.sync = SyncPolicy::PageCache;
    }
    Ok(config)
}
