//! The settings of a replica.

use consensus_core::mutant::planted;
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
    /// The most bytes of requests that get one sequence number, unless a single batch is larger; at
    /// most [`Config::longest_batch`].
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
            checkpoint_interval: usual_window(cluster.size) / 2,
            checkpoint_bytes: checkpoint_bytes(cluster.size),
            window: usual_window(cluster.size),
            view_timeout: cluster.timing.election(),
            repeat: cluster.timing.heartbeat().times(2),
            max_pending_bytes: 64 << 20,
            max_batch_bytes: Self::longest_batch(cluster.size).min(1 << 20),
            max_fetched_bytes: 1 << 20,
        })
    }

    fn with_sizes(cluster: &Cluster, mut sizes: Sizes) -> Result<Self, ConfigError> {
        let usual = Self::for_cluster(cluster)?;
        let (checkpoint_interval, window) =
            sizes.pick((2, 4), (usual.checkpoint_interval, usual.window));
        let config = Self {
            checkpoint_interval,
            window,
            checkpoint_bytes: sizes.pick(300, usual.checkpoint_bytes),
            max_pending_bytes: sizes.pick(512, usual.max_pending_bytes),
            max_batch_bytes: sizes.pick(1, usual.max_batch_bytes),
            max_fetched_bytes: sizes.pick(1, usual.max_fetched_bytes),
            ..usual
        };
        config.validate().map_err(ConfigError)?;
        Ok(config)
    }
}

/// Bytes that the view-changes in a new-view may have, in a frame of 32 MiB.
pub(crate) const NEW_VIEW: usize = 30 << 20;
/// A signature with its signer, in a frame.
pub(crate) const SIGNATURE: usize = 72;
/// What a certificate has beside its signatures and requests.
pub(crate) const CERTIFICATE: usize = 128;
/// The longest window that is chosen (§4.3: "say, 200").
const LONGEST_WINDOW: u64 = 256;

/// What a view-change may take in a new-view, where a quorum speaks.
fn view_change_bytes(nodes: usize) -> usize {
    NEW_VIEW / quorum::byzantine(nodes).max(1)
}

/// What a view-change takes without its requests: the stable checkpoint and every number of the
/// window, each with a quorum's signatures.
fn proof_bytes(nodes: usize, window: u64) -> usize {
    let each = CERTIFICATE + SIGNATURE * quorum::byzantine(nodes);
    let certificates = usize::try_from(window).unwrap_or(usize::MAX).saturating_add(2);
    each.saturating_mul(certificates)
}

/// The longest window whose signatures take a quarter of a view-change at most. With 128 replicas
/// it is 8 numbers.
fn usual_window(nodes: usize) -> u64 {
    let mut window = LONGEST_WINDOW;
    while window > 2 && proof_bytes(nodes, window) > view_change_bytes(nodes) / 4 {
        window /= 2;
    }
    if planted("B92") { LONGEST_WINDOW } else { window }
}

/// What signatures leave to requests.
fn request_bytes(nodes: usize) -> usize {
    view_change_bytes(nodes).saturating_sub(proof_bytes(nodes, usual_window(nodes)))
}

fn checkpoint_bytes(nodes: usize) -> usize {
    request_bytes(nodes).saturating_sub(Config::longest_batch(nodes)) / 2
}

impl Config {
    /// A driver's longest batch gets one number as it is, in clusters of up to 10.
    pub const LONGEST_BATCH: usize = 2 << 20;

    /// The most bytes of requests that get one sequence number in a cluster of so many, whoever
    /// asks. The last number of a view-change may be as long; were it longer, no new-view could be
    /// shown that has it, and one liar would stop the cluster.
    pub fn longest_batch(nodes: usize) -> usize {
        Self::LONGEST_BATCH.min(request_bytes(nodes) / 2)
    }

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
        if self.max_batch_bytes > Self::longest_batch(self.nodes) {
            let longest = Self::longest_batch(self.nodes);
            return Err(format!("max_batch_bytes must be at most {longest} in this cluster"));
        }
        let (room, proofs) = (view_change_bytes(self.nodes), proof_bytes(self.nodes, self.window));
        let requests = self.window_bytes().saturating_add(Self::longest_batch(self.nodes));
        if proofs.saturating_add(requests) > room && !planted("B93") {
            return Err(format!(
                "with {} replicas a view-change has room for {room} bytes, or no new-view would \
                 fit a frame; a window of {} takes {proofs} for signatures, and twice the \
                 checkpoint_bytes and the longest batch take {requests}",
                self.nodes, self.window
            ));
        }
        Ok(())
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::certificates::{Endorsement, PreparedCertificate};
    use crate::digest::Digest;
    use crate::message::{View, ViewChange, Vote};
    use consensus_core::{Batch, ClusterId, LogIndex, NodeId, Tag};

    fn usual(nodes: usize) -> Config {
        Config::for_cluster(&Cluster::new(ClusterId(1), nodes)).expect("it can run")
    }

    /// §4.4: a view-change of as many numbers as the window has, each with a quorum's signatures,
    /// and as many bytes of requests as are let in, fits a quorum's share of a frame.
    #[test]
    pub(crate) fn a_quorum_of_the_longest_view_changes_fits_a_frame() {
        for nodes in [4, 5, 7, 10, 13, 16, 19, 31, 64, 100, 128] {
            let config = usual(nodes);
            assert_eq!(config.validate(), Ok(()), "{nodes}");
            let quorum = quorum::byzantine(nodes);
            let vote = |number| {
                let (view, sequence) = (View(0), LogIndex(number));
                Vote { view, sequence, digest: Digest::default() }
            };
            let by = |node: usize| Endorsement { by: NodeId(node as u8), tag: Tag::none() };
            let proof = |number| PreparedCertificate {
                vote: vote(number),
                batch: Batch::noop(),
                pre_prepare: Tag::none(),
                prepares: (1..quorum).map(by).collect(),
            };
            let prepared = (1..=config.window).map(proof).collect();
            let (view, replica) = (View(1), NodeId(0));
            let one = ViewChange { view, replica, stable: None, prepared };
            let stable = CERTIFICATE + SIGNATURE * quorum;
            let requests = config.window_bytes() + Config::longest_batch(nodes);
            let all = (one.length() + stable + requests) * quorum;
            assert!(all <= NEW_VIEW, "{nodes}: {all}");
            assert!(all >= NEW_VIEW / 2, "{nodes}: {all} could be more");
        }
    }

    /// In clusters of usual sizes a batch may be as long as ever; in the largest, it is yet of use.
    #[test]
    fn batches_are_as_long_as_the_cluster_allows() {
        let longest = [4, 7, 10, 16, 31, 64, 128].map(Config::longest_batch);
        assert_eq!(longest[..3], [Config::LONGEST_BATCH; 3]);
        assert!(longest[3] > 1 << 20 && longest[6] > 100 << 10, "{longest:?}");
        assert!(longest.is_sorted_by(|one, next| one >= next), "{longest:?}");
        let windows = [4, 7, 16, 31, 64, 128].map(|nodes| usual(nodes).window);
        assert_eq!(windows, [256, 256, 256, 128, 32, 8]);
    }

    /// Sizes whose view-changes fit no frame are refused, in words.
    #[test]
    pub(crate) fn sizes_that_cannot_fit_are_refused_with_a_reason() {
        for nodes in [4, 16, 64] {
            let (far, long) = (1 << 20, NEW_VIEW);
            let wide = Config { window: far, ..usual(nodes) };
            let heavy = Config { checkpoint_bytes: long, ..usual(nodes) };
            for config in [wide, heavy] {
                let refused = config.validate().expect_err("it fits no frame");
                assert!(refused.contains("no new-view would fit"), "{refused}");
            }
        }
    }

    /// §3: n ≥ 3f + 1, so fewer than four replicas survive no fault and are refused.
    #[test]
    fn fewer_than_four_replicas_are_refused_with_a_reason() {
        let refused = Config::for_cluster(&Cluster::new(ClusterId(1), 3)).unwrap_err();
        assert!(refused.to_string().contains("at least 4"), "{refused}");
        assert!(Config::for_cluster(&Cluster::new(ClusterId(1), 4)).is_ok());
    }
}
