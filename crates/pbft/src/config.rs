//! The settings of a replica.

use consensus_core::quorum;
use consensus_core::{Cluster, ConfigError, Delay, ProtocolConfig, Sizes};
use serde::{Deserialize, Serialize};

/// Times and sizes; equal on all replicas.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Config {
    /// Replicas, at least 4.
    pub nodes: usize,
    /// A checkpoint is taken at every sequence number that this divides (§4.3: "say, 100").
    pub checkpoint_interval: u64,
    /// A checkpoint is also taken when so many bytes of requests were executed since the last one;
    /// and what was given numbers above the stable checkpoint is kept below twice that, but for
    /// the last number. A view-change shows all of it, a new-view that of a quorum, and both must
    /// fit a frame, or the primary could never be replaced.
    pub checkpoint_bytes: usize,
    /// `L` of the water marks: how far above the stable checkpoint numbers are given out (§4.3:
    /// "say, 200"). At least twice the interval, or work stops while a checkpoint is agreed on.
    pub window: u64,
    /// How long a backup waits for a request to be executed before it asks for a new view;
    /// doubled with every view that brings nothing (§4.5.2).
    pub view_timeout: Delay,
    /// How often a replica looks for what got lost, and repeats it.
    pub repeat: Delay,
    /// The most bytes of requests that are taken and not executed.
    pub max_pending_bytes: usize,
    /// The most bytes of requests that get one sequence number, unless a single batch is larger.
    pub max_batch_bytes: usize,
    /// The most bytes of requests in one answer to a replica that lags, unless a single batch is
    /// larger.
    pub max_fetched_bytes: usize,
}

impl ProtocolConfig for Config {
    fn for_cluster(cluster: &Cluster) -> Result<Self, ConfigError> {
        cluster.validate()?;
        if quorum::byzantine_faults(cluster.size) == 0 {
            return Err(ConfigError(format!(
                "PBFT needs n ≥ 3f + 1 replicas, that is at least 4 to survive one faulty \
                 replica; this cluster has {}",
                cluster.size
            )));
        }
        Ok(Self {
            nodes: cluster.size,
            checkpoint_interval: 128,
            checkpoint_bytes: checkpoint_bytes(cluster.size),
            window: 256,
            view_timeout: cluster.timing.election(),
            repeat: cluster.timing.heartbeat().times(2),
            max_pending_bytes: 64 << 20,
            max_batch_bytes: 1 << 20,
            max_fetched_bytes: 1 << 20,
        })
    }

    fn with_sizes(cluster: &Cluster, mut sizes: Sizes) -> Result<Self, ConfigError> {
        let usual = Self::for_cluster(cluster)?;
        let (checkpoint_interval, window) =
            sizes.pick((2, 4), (usual.checkpoint_interval, usual.window));
        Ok(Self {
            checkpoint_interval,
            window,
            checkpoint_bytes: sizes.pick(300, usual.checkpoint_bytes),
            max_pending_bytes: sizes.pick(512, usual.max_pending_bytes),
            max_batch_bytes: sizes.pick(1, usual.max_batch_bytes),
            max_fetched_bytes: sizes.pick(1, usual.max_fetched_bytes),
            ..usual
        })
    }
}

/// Bytes that the view-changes in a new-view may have, in a frame of 32 MiB.
pub(crate) const NEW_VIEW: usize = 30 << 20;
/// A signature with its signer, in a frame.
pub(crate) const SIGNATURE: usize = 72;
/// What a certificate has beside its signatures and requests.
pub(crate) const CERTIFICATE: usize = 128;

/// Of so many replicas a quorum speaks in a new-view.
fn checkpoint_bytes(nodes: usize) -> usize {
    let each = NEW_VIEW / quorum::byzantine(nodes);
    (each.saturating_sub(Config::LONGEST_BATCH) / 2).max(256 << 10)
}

impl Config {
    /// The most bytes of requests that get one sequence number, whoever asks. The last number of a
    /// view-change may be as long; were it longer, no new-view could be shown that has it, and one
    /// liar would stop the cluster. A driver's longest batch.
    pub const LONGEST_BATCH: usize = 2 << 20;

    /// The most bytes that have numbers above the stable checkpoint, but for the last number.
    pub(crate) fn window_bytes(&self) -> usize {
        self.checkpoint_bytes.saturating_mul(2)
    }

    /// Checks that the settings can work together.
    pub(crate) fn validate(&self) -> Result<(), String> {
        if self.nodes < 4 {
            return Err(format!("PBFT needs at least 4 replicas, not {}", self.nodes));
        }
        if self.checkpoint_interval == 0 || self.window < 2 * self.checkpoint_interval {
            return Err("the window must be at least two checkpoint intervals".into());
        }
        if self.checkpoint_bytes == 0 {
            return Err("a checkpoint must be of something".into());
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::ClusterId;

    /// §3: n ≥ 3f + 1, so fewer than four replicas survive no fault and are refused.
    #[test]
    fn fewer_than_four_replicas_are_refused_with_a_reason() {
        let refused = Config::for_cluster(&Cluster::new(ClusterId(1), 3)).unwrap_err();
        assert!(refused.to_string().contains("at least 4"), "{refused}");
        assert!(Config::for_cluster(&Cluster::new(ClusterId(1), 4)).is_ok());
    }
}
