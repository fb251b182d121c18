//! A new cluster out of what one replica has left.
//!
//! When a quorum of a cluster is gone for good, nothing can be decided any more, and nothing can
//! say for certain what was. What one surviving data directory holds can be carried over into a
//! *new* cluster of one member, with a new name, so that no replica of the old one can ever speak
//! to it. Everything that the survivor has in its snapshot and log is taken for decided, in order
//! and up to the first gap. What only the lost replicas had is lost, acknowledged or not; and
//! commands may be in it that were never acknowledged. Sessions go over, too, so that retries are
//! not applied twice.

use crate::codec;
use crate::directory::{Begun, Directory, Newness};
use crate::identity::{Identity, IdentityError};
use crate::lock::DirLock;
use crate::snapshots::Snapshots;
use crate::start_error::StartError;
use crate::storage::Files;
use crate::wal::{Owner, SyncPolicy};
use consensus_core::{
    Audit, Cluster, ClusterId, DEFAULT_SESSIONS, Durable, Executor, LogIndex, Membership, Message,
    NodeId, NodeSet, ProtocolConfig, SnapshotMessage, SnapshotMeta, StateMachine,
};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;

/// What is copied before it is looked at, so that the survivor's own directory stays as it is.
const FILES: [&str; 4] = ["identity.toml", "wal.log", "snapshot.0", "snapshot.1"];
/// Where to.
const COPY: &str = "survivor";
/// Bytes in a chunk of the new snapshot.
const CHUNK: usize = 256 * 1024;

/// What was carried over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rebuilt {
    /// Everything up to here.
    pub upto: LogIndex,
    /// Up to here a snapshot said so, which is decided for certain.
    pub snapshot: LogIndex,
}

/// Makes the data directory `to` of the only member, number 0, of a new cluster, out of the data
/// directory `from`, which is not changed. The replica in `from` must not run.
///
/// # Errors
/// If the survivor's directory cannot be read, is of another algorithm, or `to` holds a replica; or
/// if the algorithm cannot begin with a snapshot.
pub fn rebuild<P: Audit, S: StateMachine>(
    from: &Path,
    to: &Path,
    cluster: ClusterId,
    machine: S,
) -> Result<Rebuilt, StartError> {
    let nothing = SnapshotMessage::Ask { of: None, offset: 0 };
    if P::Message::snapshot(nothing).is_none() {
        let why =
            format!("{} keeps its whole log, and cannot begin with a snapshot", P::INFO.title);
        return Err(StartError::Settings(why));
    }
    let unusable = |error| StartError::Directory(from.to_path_buf(), error);
    if !from.is_dir() {
        return Err(IdentityError::Empty(from.to_path_buf()).into());
    }
    let _lock = DirLock::take(from).map_err(|error| match error.kind() {
        io::ErrorKind::WouldBlock => StartError::Locked(from.to_path_buf()),
        _ => unusable(error),
    })?;
    fs::create_dir_all(to).map_err(|error| StartError::Directory(to.to_path_buf(), error))?;
    let copy = to.join(COPY);
    let carried = copy_files(from, &copy)
        .map_err(unusable)
        .and_then(|()| read_survivor::<P, S>(&copy, from, machine))
        .and_then(|(executor, rebuilt)| {
            found_cluster::<P, S>(to, cluster, &executor)?;
            Ok(rebuilt)
        });
    // Only a copy; what became of it does not matter any more.
    let _ = fs::remove_dir_all(&copy);
    carried
}

fn copy_files(from: &Path, copy: &Path) -> io::Result<()> {
    if copy.exists() {
        fs::remove_dir_all(copy)?;
    }
    fs::create_dir_all(copy)?;
    for name in FILES {
        match fs::copy(from.join(name), copy.join(name)) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Applies everything that the survivor has.
fn read_survivor<P: Audit, S: StateMachine>(
    copy: &Path,
    from: &Path,
    machine: S,
) -> Result<(Executor<S>, Rebuilt), StartError> {
    let identity = Identity::load(&Files, copy)?;
    let identity = identity.ok_or_else(|| IdentityError::Empty(from.to_path_buf()))?;
    let owner = Owner { cluster: identity.cluster, node: identity.node };
    let directory = Directory {
        storage: Arc::new(Files),
        dir: copy,
        owner,
        algorithm: P::INFO.name,
        chunk: CHUNK,
    };
    let mut opened = directory.open(Newness::Old, SyncPolicy::Sync)?;
    let mut executor = Executor::new(machine, DEFAULT_SESSIONS);
    let (snapshot, wrong) = (opened.snapshot.take(), std::mem::take(&mut opened.wrong));
    if let Some(newest) = &snapshot {
        let restored = executor.restore(&newest.bytes);
        restored.map_err(|error| StartError::Restore(from.to_path_buf(), error))?;
    }
    let numbered = opened.records.iter().zip(1..);
    let records: Result<Vec<P::Record>, StartError> = numbered
        .map(|(bytes, number)| codec::decode(bytes).map_err(|e| StartError::Record(number, e)))
        .collect();
    let records = records?;
    let Begun { identity, .. } = opened.begin(&directory)?;
    let certain = executor.applied();
    // Alone: only what it holds is asked for, and it never takes a step.
    let mut alone = Cluster::new(identity.cluster, identity.node.index() + 1);
    alone.voters = NodeSet::only(identity.node);
    let config = P::Config::for_cluster(&alone).map_err(StartError::Config)?;
    let incarnation = identity.incarnation;
    let durable = Durable { incarnation, records, snapshot: snapshot.map(|newest| newest.meta) };
    let replica = P::recover(identity.node, config, durable).map_err(StartError::Recover)?;
    let purged = replica.status().purged;
    if purged > certain {
        return Err(StartError::Snapshot { dir: from.to_path_buf(), purged, wrong });
    }
    while let Some(batch) = replica.entry(executor.applied().next()) {
        let batch = batch.clone();
        executor.execute(executor.applied().next(), &batch, |_| {});
    }
    let rebuilt = Rebuilt { upto: executor.applied(), snapshot: certain };
    Ok((executor, rebuilt))
}

/// A directory whose log is empty and begins after a snapshot that names one voter. The snapshot is
/// kept first: the identity makes the directory count, and a cluster that begins with nothing would
/// count as well as one that begins with everything.
fn found_cluster<P: Audit, S: StateMachine>(
    to: &Path,
    cluster: ClusterId,
    executor: &Executor<S>,
) -> Result<(), StartError> {
    let unusable = |error| StartError::Directory(to.to_path_buf(), error);
    if Identity::load(&Files, to)?.is_some() {
        return Err(IdentityError::Exists(to.to_path_buf()).into());
    }
    let node = NodeId(0);
    let owner = Owner { cluster, node };
    let (storage, algorithm) = (Arc::new(Files), P::INFO.name);
    let index = executor.applied();
    if index > LogIndex::ZERO {
        let opened = Snapshots::open(Arc::new(Files), to, owner, CHUNK);
        let (mut snapshots, newest, wrong) = opened.map_err(unusable)?;
        if newest.is_some() || !wrong.is_empty() {
            let why = "it holds a snapshot already; name an empty directory, or empty this one";
            return Err(unusable(io::Error::other(why)));
        }
        let voters = NodeSet::only(node);
        let membership = Membership { version: index, voters, ..Membership::default() };
        // As if the first leader of the new cluster had written it all.
        let meta = SnapshotMeta { index, epoch: 1, membership };
        snapshots.save(&meta, &executor.snapshot()).map_err(unusable)?;
    }
    let directory = Directory { storage, dir: to, owner, algorithm, chunk: CHUNK };
    directory.open(Newness::First, SyncPolicy::Sync).map(drop)
}
