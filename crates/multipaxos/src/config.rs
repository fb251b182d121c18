//! The settings.

use consensus_core::quorum::Quorums;
use consensus_core::{Cluster, ConfigError, ProtocolConfig};

/// The settings of a replica: sizes, nothing that changes the algorithm.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// Promises that a scout needs and acceptances that choose. The same on all replicas.
    pub quorums: Quorums,
    /// Bytes of values that a leader has proposed and not yet executed; more wait their turn (the
    /// paper's α of §3, PMMC's WINDOW, measured in bytes). A value counts a little more than its
    /// length, so that this bounds no-ops, too.
    pub window_bytes: usize,
    /// Bytes of values that a leader takes and has not yet executed; beyond, it is busy.
    pub max_pending_bytes: usize,
    /// Bytes of values in one promise, one answer to a lagging replica, or one round of sending
    /// again. One value always goes, whatever its size.
    pub max_message_bytes: usize,
}

impl ProtocolConfig for Config {
    fn for_cluster(cluster: &Cluster) -> Result<Self, ConfigError> {
        cluster.validate()?;
        Ok(Self {
            quorums: Quorums::majority(cluster.size),
            window_bytes: 8 << 20,
            max_pending_bytes: 64 << 20,
            max_message_bytes: 1 << 20,
        })
    }

    fn smallest(cluster: &Cluster) -> Result<Self, ConfigError> {
        let usual = Self::for_cluster(cluster)?;
        Ok(Self { window_bytes: 1, max_pending_bytes: 256, max_message_bytes: 1, ..usual })
    }
}

impl Config {
    /// Replicas that must agree that the leader is gone before one of them raises the ballot: as
    /// many as a new leader needs for both phases.
    pub(crate) fn canvass_quorum(&self) -> usize {
        self.quorums.phase_1().max(self.quorums.phase_2())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::ClusterId;

    #[test]
    fn the_default_is_a_majority_in_both_phases() {
        let config = Config::for_cluster(&Cluster::new(ClusterId(1), 5)).expect("five nodes do");
        assert_eq!((config.quorums.phase_1(), config.quorums.phase_2()), (3, 3));
        assert!(Config::for_cluster(&Cluster::new(ClusterId(1), 0)).is_err());
    }
}
