//! Settings.

use consensus_core::mutant::planted;
use consensus_core::quorum::Quorums;
use consensus_core::{Cluster, ConfigError, Delay, ProtocolConfig};

/// Settings of Paxos.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// How many promises and acceptances are enough.
    pub quorums: Quorums,
    /// A request that was not answered by a quorum is repeated after this time.
    pub retransmit: Delay,
    /// How long a proposer keeps quiet after it was outbid once. The range doubles with every
    /// further time, so that of two duelling proposers one gets through (§2.4).
    pub back_off: Delay,
    /// The range doubles at most this often.
    pub back_off_doublings: u32,
    /// Who finds out that a value is chosen tells the others after this time, for there may be no
    /// next `Prepare` to carry the news.
    pub spread: Delay,
    /// How often every replica says what it knows to be chosen, so that those who missed it ask.
    pub idle: Delay,
    /// An acceptor that does not hear for so long whether its last proposal was chosen runs phase
    /// 1 to find out.
    pub doubt: Delay,
    /// Commands beyond this many bytes are refused until earlier ones are chosen.
    pub max_pending_bytes: usize,
    /// Batches that wait are merged into one proposal up to this many bytes; 0 means never.
    pub max_merged_bytes: usize,
    /// One `Learn` carries values up to this many bytes, or a single larger one.
    pub max_learn_bytes: usize,
}

impl Config {
    /// Promises that let a proposer go on to phase 2.
    pub(crate) fn promises_needed(&self) -> usize {
        if planted("E-14") { self.quorums.nodes() } else { self.quorums.phase_1() }
    }

    /// Acceptances that choose a value.
    pub(crate) fn acceptances_needed(&self) -> usize {
        if planted("P30") { self.quorums.nodes().div_ceil(2) } else { self.quorums.phase_2() }
    }
}

impl ProtocolConfig for Config {
    fn for_cluster(cluster: &Cluster) -> Result<Self, ConfigError> {
        cluster.validate()?;
        let beat = cluster.timing.heartbeat;
        Ok(Self {
            quorums: Quorums::majority(cluster.size),
            retransmit: Delay { min: beat * 3, max: beat * 6 },
            back_off: Delay { min: beat / 20, max: beat / 5 },
            back_off_doublings: 7,
            spread: Delay::fixed(beat),
            idle: cluster.timing.election(),
            doubt: cluster.timing.election(),
            max_pending_bytes: 64 << 20,
            max_merged_bytes: 256 << 10,
            max_learn_bytes: 512 << 10,
        })
    }

    fn smallest(cluster: &Cluster) -> Result<Self, ConfigError> {
        let usual = Self::for_cluster(cluster)?;
        Ok(Self { max_pending_bytes: 1, max_merged_bytes: 1, max_learn_bytes: 1, ..usual })
    }
}
