//! Raft's settings: sizes and timeouts only.

use consensus_core::quorum;
use consensus_core::{Cluster, ConfigError, Delay, NodeSet, ProtocolConfig, Timing};
use core::time::Duration;

/// The settings of one server. Size and timing come from the cluster and are equal on all.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// Number of servers.
    pub nodes: usize,
    /// Heartbeat interval and election timeout.
    pub timing: Timing,
    /// Bytes of entries in one AppendEntries (a single larger entry goes alone).
    pub max_append_bytes: usize,
    /// AppendEntries that may be on their way to one follower, not yet answered.
    pub max_in_flight: usize,
    /// Bytes of entries that may be on their way to one follower.
    pub max_in_flight_bytes: usize,
    /// Bytes that a leader takes before they are committed; beyond, it says it is busy.
    pub max_pending_bytes: usize,
}

impl ProtocolConfig for Config {
    fn for_cluster(cluster: &Cluster) -> Result<Self, ConfigError> {
        cluster.validate()?;
        Ok(Self {
            nodes: cluster.size,
            timing: cluster.timing,
            max_append_bytes: 512 << 10,
            max_in_flight: 128,
            max_in_flight_bytes: 8 << 20,
            max_pending_bytes: 64 << 20,
        })
    }

    fn smallest(cluster: &Cluster) -> Result<Self, ConfigError> {
        let usual = Self::for_cluster(cluster)?;
        let sizes = Self { max_append_bytes: 1, max_in_flight: 1, max_in_flight_bytes: 1, ..usual };
        Ok(Self { max_pending_bytes: 1, ..sizes })
    }
}

impl Config {
    /// All servers.
    pub(crate) fn servers(&self) -> NodeSet {
        NodeSet::first(self.nodes)
    }

    /// A majority of the cluster, the leader counted (§5.3).
    pub(crate) fn majority(&self) -> usize {
        quorum::majority(self.nodes)
    }

    /// Half of the cluster: a majority only if the number of servers is odd. For planted bugs.
    pub(crate) fn half(&self) -> usize {
        self.nodes.div_ceil(2)
    }

    /// The shortest election timeout: for so long a server trusts that the leader lives, and a
    /// leader that its followers do.
    pub(crate) fn least_timeout(&self) -> Delay {
        Delay::fixed(self.timing.election_min)
    }

    /// The random rest of an election timeout, once the shortest one has passed.
    pub(crate) fn rest_of_timeout(&self) -> Delay {
        let spread = self.timing.election_max.saturating_sub(self.timing.election_min);
        Delay { min: Duration::ZERO, max: spread }
    }
}
