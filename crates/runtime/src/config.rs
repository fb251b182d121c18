//! What a node must be told before it starts.

use crate::frame::HEADER;
use crate::snapshots::{MAX_CHUNK, MIN_CHUNK};
use crate::storage::{Files, Storage};
use crate::wal::SyncPolicy;
use consensus_core::mutant::planted;
use consensus_core::{Authenticator, Cluster, ConsensusProtocol, NoKeys, NodeId, ProtocolConfig};
use core::time::Duration;
use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;

/// One replica: who it is, where it listens, where its data lives.
pub struct NodeConfig<P: ConsensusProtocol> {
    /// Which replica of the cluster.
    pub id: NodeId,
    /// The cluster; the same on all replicas. A replica that joins a running cluster has one
    /// without voters, at every start.
    pub cluster: Cluster,
    /// The algorithm's settings; the same on all replicas.
    pub protocol: P::Config,
    /// Where to listen, for replicas and clients. Port 0 lets the system choose.
    pub listen: SocketAddr,
    /// Where the other replicas listen, as far as it is known beforehand: all first voters, and for
    /// a replica that joins at least one member. An entry for this replica is ignored. What the
    /// members themselves say of where they are comes first.
    pub peers: BTreeMap<NodeId, SocketAddr>,
    /// The directory of this replica's data; no other replica's.
    pub data_dir: PathBuf,
    /// This replica never ran, and its directory is to be set up. Say so only then: a replica that
    /// lost its data is not new. Refused if the directory holds a replica already.
    pub create: bool,
    /// Listen on an address that other machines can reach. There is no encryption and no proof of
    /// who connects yet, so this is for networks in which everybody is trusted.
    pub allow_remote: bool,
    /// What this replica signs and checks with.
    pub keys: Arc<dyn Authenticator>,
    /// Bounds of memory and patience.
    pub limits: Limits,
    /// What a sync of the log promises.
    pub sync: SyncPolicy,
    /// What the log is kept on.
    pub storage: Arc<dyn Storage>,
}

impl<P: ConsensusProtocol> NodeConfig<P> {
    /// A replica with default settings and without keys, that listens on loopback and on a port
    /// that the system chooses.
    ///
    /// # Errors
    /// If the algorithm cannot run in this cluster.
    pub fn new(
        id: NodeId,
        cluster: Cluster,
        data_dir: impl Into<PathBuf>,
    ) -> Result<Self, consensus_core::ConfigError> {
        let protocol = P::Config::for_cluster(&cluster)?;
        Ok(Self {
            id,
            cluster,
            protocol,
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            peers: BTreeMap::new(),
            data_dir: data_dir.into(),
            create: false,
            allow_remote: false,
            keys: Arc::new(NoKeys),
            limits: Limits::default(),
            sync: SyncPolicy::default(),
            storage: Arc::new(Files),
        })
    }
}

/// Bounds of memory and patience. Every queue has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Longest frame between replicas, in bytes. A message that does not fit is not sent.
    pub max_frame: usize,
    /// Longest command of a client, with its header; longer ones are refused as too large.
    pub max_command: usize,
    /// Most commands in one batch.
    pub max_batch_commands: usize,
    /// Most bytes of commands in one batch.
    pub max_batch_bytes: usize,
    /// Batches under way beyond which commands gather for the next batch instead of being proposed.
    pub pipeline: usize,
    /// How long commands gather at most.
    pub hold: Duration,
    /// Bytes of commands that were taken from clients and not answered yet; beyond, clients are
    /// told that the replica is busy.
    pub max_pending_bytes: usize,
    /// Bytes that wait to be sent to one peer; beyond, messages to it are lost.
    pub peer_queue_bytes: usize,
    /// Bytes of messages from one peer that wait for the replica; beyond, nothing more is read.
    pub inbox_bytes: usize,
    /// Bytes of answers that wait for one client; beyond, its connection is closed.
    pub client_queue_bytes: usize,
    /// Bytes on their way to the disk; beyond, nothing is read from peers and clients.
    pub log_backlog_bytes: usize,
    /// Most connections of clients.
    pub max_clients: usize,
    /// Most connections that have not yet said who they are.
    pub max_strangers: usize,
    /// How long a connection may take to say who it is.
    pub handshake: Duration,
    /// A client that says nothing for so long loses its connection, and makes a new one when it has
    /// something to ask. Else those whose machines are gone would fill `max_clients` in the end.
    pub client_idle: Duration,
    /// How long a piece of 64 KiB may take to get through a connection.
    pub write_timeout: Duration,
    /// A snapshot is taken when so many bytes of records were written since the last one.
    pub snapshot_after: u64,
    /// Bytes in a chunk of a snapshot, on disk and on the way to another replica.
    pub snapshot_chunk: usize,
    /// How long a replica that shuts down waits for the commands under way.
    pub drain: Duration,
    /// Inputs of one kind that are taken before the others have their turn.
    pub burst: usize,
}

impl Default for Limits {
    fn default() -> Self {
        const MIB: usize = 1024 * 1024;
        Self {
            max_frame: 32 * MIB,
            max_command: MIB,
            max_batch_commands: 1024,
            max_batch_bytes: 2 * MIB,
            pipeline: 4,
            hold: Duration::from_millis(5),
            max_pending_bytes: 64 * MIB,
            peer_queue_bytes: 64 * MIB,
            inbox_bytes: 64 * MIB,
            client_queue_bytes: 8 * MIB,
            log_backlog_bytes: 64 * MIB,
            max_clients: 4096,
            max_strangers: 256,
            handshake: Duration::from_secs(5),
            client_idle: Duration::from_secs(3600),
            write_timeout: Duration::from_secs(5),
            snapshot_after: 64 * MIB as u64,
            snapshot_chunk: 256 * 1024,
            drain: Duration::from_secs(2),
            burst: 256,
        }
    }
}

impl Limits {
    /// Is so much on its way to the disk that nothing more is taken in from peers and clients?
    pub(crate) fn is_too_much(&self, backlog: usize) -> bool {
        backlog > self.log_backlog_bytes && !planted("N07")
    }

    /// Checks that the bounds fit each other.
    ///
    /// # Errors
    /// In words: which do not.
    pub fn validate(&self) -> Result<(), String> {
        let commands = 1..=consensus_core::MAX_COMMANDS;
        let rules = [
            (commands.contains(&self.max_batch_commands), "max_batch_commands must be 1 to 65535"),
            (self.max_command > 0, "max_command must not be 0"),
            (
                self.max_batch_bytes >= self.max_command,
                "max_batch_bytes must not be less than max_command",
            ),
            (
                self.max_frame >= self.max_batch_bytes.saturating_mul(2),
                "max_frame must be at least twice max_batch_bytes",
            ),
            (self.max_frame <= u32::MAX as usize / 2, "max_frame must be less than 2 GiB"),
            (
                // Else a message of just `max_frame` would find the link full for ever.
                self.peer_queue_bytes >= self.max_frame.saturating_add(HEADER),
                "peer_queue_bytes must be larger than max_frame by 12, the header of a frame",
            ),
            (self.inbox_bytes >= self.max_frame, "inbox_bytes must not be less than max_frame"),
            (
                self.max_pending_bytes >= self.max_command,
                "max_pending_bytes must not be less than max_command",
            ),
            (
                self.max_pending_bytes.max(self.inbox_bytes) <= u32::MAX as usize,
                "max_pending_bytes and inbox_bytes must be less than 4 GiB",
            ),
            (
                self.client_queue_bytes >= self.max_command.saturating_mul(2),
                "client_queue_bytes must be at least twice max_command",
            ),
            (
                (MIN_CHUNK..=MAX_CHUNK).contains(&self.snapshot_chunk)
                    && self.snapshot_chunk.saturating_mul(2) <= self.max_frame,
                "snapshot_chunk must be 64 bytes to 16 MiB, and at most half of max_frame",
            ),
            (self.snapshot_after > 0, "snapshot_after must not be 0"),
            (!self.client_idle.is_zero(), "client_idle must not be 0"),
            (self.burst > 0 && self.pipeline > 0, "burst and pipeline must not be 0"),
        ];
        match rules.iter().find(|(holds, _)| !holds) {
            Some((_, rule)) => Err((*rule).to_string()),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// Backpressure of the disk: up to the bound more is taken in, a byte beyond nothing is, until
    /// the disk has caught up.
    #[test]
    pub(crate) fn what_goes_to_the_disk_is_bounded_to_the_byte() {
        let limits = Limits { log_backlog_bytes: 200, ..Limits::default() };
        assert!(!limits.is_too_much(200));
        assert!(limits.is_too_much(201));
        assert!(!limits.is_too_much(199));
    }

    #[test]
    fn the_defaults_fit_each_other_and_bounds_that_do_not_are_named() {
        assert_eq!(Limits::default().validate(), Ok(()));
        let small = Limits { max_frame: 1024, ..Limits::default() };
        assert!(small.validate().unwrap_err().contains("max_frame"));
        let queue = |peer_queue_bytes| Limits { peer_queue_bytes, ..Limits::default() };
        let max_frame = Limits::default().max_frame;
        assert!(queue(max_frame).validate().unwrap_err().contains("by 12"), "and its header?");
        assert_eq!(queue(max_frame + HEADER).validate(), Ok(()));
    }
}
