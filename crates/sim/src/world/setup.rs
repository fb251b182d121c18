//! What a world is made of, and what its clients tell.

use crate::disk::DiskModel;
use crate::network::Network;
use bytes::Bytes;
use consensus_core::{
    Audit, ClientId, Cluster, Consistency, DEFAULT_SESSIONS, LogIndex, NodeSet, Outcome, Refusal,
};
use core::time::Duration;

/// How a world is set up. [`Setup::new`] is the quiet world: every link takes one millisecond,
/// nothing is lost, disks are instant.
#[derive(Clone)]
pub struct Setup<P: Audit> {
    /// The cluster.
    pub cluster: Cluster,
    /// All chance comes from here.
    pub seed: u64,
    /// What links are like.
    pub network: Network,
    /// What disks are like.
    pub disk: DiskModel,
    /// Commands that a node puts into one batch at most.
    pub max_batch: usize,
    /// The algorithm's settings; its defaults for the cluster if `None`.
    pub config: Option<P::Config>,
    /// The encoded size of a message, to count bytes; 0 a message if `None`.
    pub message_size: Option<fn(&P::Message) -> usize>,
    /// Client sessions that the service keeps open.
    pub sessions: usize,
    /// States are compared (O15) whenever so many indices were applied. A comparison takes a
    /// snapshot: with a large service, rarely or never (`None`).
    pub compare_states_every: Option<u64>,
    /// The settings of nodes that do not vote at the beginning; the algorithm's defaults if `None`.
    pub joining: Option<P::Config>,
    /// A node takes a snapshot whenever it has applied so many indices since the last one. Never,
    /// if `None`.
    pub snapshot_every: Option<u64>,
    /// Bytes of a snapshot that one message carries.
    pub snapshot_chunk: usize,
    /// A node takes in what comes within so long at most before it says `Drained` and its records
    /// are synced. After every input, if `None`.
    pub turns: Option<Duration>,
    /// Drivers look at things where they lie ([`Effects::in_place`](consensus_core::Effects)), as
    /// that of the runtime does.
    pub in_place: bool,
    /// Nodes that lie, see [`Treason`](crate::Treason). Only for Byzantine algorithms.
    pub traitors: NodeSet,
}

impl<P: Audit> Setup<P> {
    /// The quiet world of this cluster and seed.
    pub fn new(cluster: Cluster, seed: u64) -> Self {
        Self {
            cluster,
            seed,
            network: Network::default(),
            disk: DiskModel::default(),
            max_batch: 16,
            config: None,
            message_size: None,
            sessions: DEFAULT_SESSIONS,
            compare_states_every: Some(64),
            joining: None,
            snapshot_every: None,
            snapshot_chunk: 64 << 10,
            turns: None,
            in_place: false,
            traitors: NodeSet::EMPTY,
        }
    }
}

/// A command that ended, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Completion {
    /// The client.
    pub client: ClientId,
    /// Which of its commands, from 0.
    pub nth: u64,
    /// When it was due: latency counts from here.
    pub intended: Duration,
    /// When the client really sent it.
    pub begun: Duration,
    /// When the client had its answer, or gave up.
    pub ended: Duration,
    /// How it ended.
    pub outcome: Outcome,
    /// What was asked.
    pub payload: Bytes,
}

/// A question that ended, as its client saw it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadDone {
    /// The client.
    pub client: ClientId,
    /// What was asked.
    pub question: Bytes,
    /// How fresh the answer had to be.
    pub consistency: Consistency,
    /// When the client asked first.
    pub begun: Duration,
    /// When it had its answer, or gave up.
    pub ended: Duration,
    /// The answer and the index as of which it holds, or why there is none.
    pub answer: Result<(LogIndex, Bytes), Option<Refusal>>,
}
