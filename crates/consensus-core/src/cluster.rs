//! What all replicas of a cluster agree on before they start.

use crate::id::{ClusterId, NodeId, NodeSet};
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::fmt;

/// The cluster as configured: the same on every replica. Nodes are numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Cluster {
    /// Its name, for frames, disks and signatures.
    pub id: ClusterId,
    /// Number of replicas, 1 ..= 128: those that vote at the beginning, and those that may join.
    pub size: usize,
    /// Who votes at the beginning, before any change of members. Nobody, for a replica that joins
    /// a running cluster and will be told. Algorithms with fixed members have all replicas vote.
    pub voters: NodeSet,
    /// Its clocks.
    pub timing: Timing,
}

/// The timeouts that protocols work with. Ranges are drawn from uniformly, by the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Timing {
    /// How often a leader says that it is alive. Well below `election_min`.
    pub heartbeat: Duration,
    /// Shortest time without a sign of the leader before a replica acts.
    pub election_min: Duration,
    /// Longest such time. The spread should be at least ten one-way delays, or elections split.
    pub election_max: Duration,
}

impl Timing {
    /// For a local network: heartbeat 50 ms, election timeout 300 to 600 ms.
    pub const LAN: Self = Self {
        heartbeat: Duration::from_millis(50),
        election_min: Duration::from_millis(300),
        election_max: Duration::from_millis(600),
    };

    /// The range of one election timeout.
    #[inline]
    pub fn election(&self) -> Delay {
        Delay { min: self.election_min, max: self.election_max }
    }

    /// One heartbeat interval, without spread.
    #[inline]
    pub fn heartbeat(&self) -> Delay {
        Delay::fixed(self.heartbeat)
    }
}

/// How long a timer runs: the driver draws uniformly from `min ..= max`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Delay {
    /// Shortest.
    pub min: Duration,
    /// Longest.
    pub max: Duration,
}

impl Delay {
    /// Always the same.
    #[inline]
    pub fn fixed(delay: Duration) -> Self {
        Self { min: delay, max: delay }
    }

    /// Both ends multiplied, for back-off. Saturates.
    #[must_use]
    pub fn times(self, factor: u32) -> Self {
        Self { min: self.min.saturating_mul(factor), max: self.max.saturating_mul(factor) }
    }
}

/// A cluster that cannot be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError(pub String);

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for ConfigError {}

impl Cluster {
    /// A cluster of `size` replicas with local-network timeouts.
    pub fn new(id: ClusterId, size: usize) -> Self {
        let voters = NodeSet::first(size.min(NodeId::LIMIT));
        Self { id, size, voters, timing: Timing::LAN }
    }

    /// All its replicas.
    #[inline]
    pub fn nodes(&self) -> NodeSet {
        NodeSet::first(self.size)
    }

    /// All replicas but this one.
    #[inline]
    pub fn peers_of(&self, node: NodeId) -> NodeSet {
        self.nodes().without(node)
    }

    /// Is there such a replica?
    #[inline]
    pub fn contains(&self, node: NodeId) -> bool {
        node.index() < self.size
    }

    /// Checks size and timeouts.
    ///
    /// # Errors
    /// If there are no nodes or more than 128, or if the timeouts cannot work together.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.size == 0 || self.size > NodeId::LIMIT {
            return Err(ConfigError(format!(
                "a cluster has 1 to {} nodes, not {}",
                NodeId::LIMIT,
                self.size
            )));
        }
        if !self.voters.minus(self.nodes()).is_empty() {
            return Err(ConfigError(format!(
                "the voters {:?} are not all among the {} nodes",
                self.voters, self.size
            )));
        }
        let Timing { heartbeat, election_min, election_max } = self.timing;
        if heartbeat.is_zero() || election_min < heartbeat * 2 || election_max < election_min {
            return Err(ConfigError(format!(
                "timeouts must satisfy 0 < heartbeat, 2 × heartbeat ≤ election_min ≤ election_max; \
                 got {heartbeat:?}, {election_min:?}, {election_max:?}"
            )));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn impossible_clusters_are_refused_with_a_reason() {
        assert!(Cluster::new(ClusterId(1), 3).validate().is_ok());
        assert!(Cluster::new(ClusterId(1), 0).validate().is_err());
        assert!(Cluster::new(ClusterId(1), 129).validate().is_err());
        let mut hasty = Cluster::new(ClusterId(1), 3);
        hasty.timing.election_min = hasty.timing.heartbeat;
        assert!(hasty.validate().unwrap_err().to_string().contains("election_min"));
    }
}
