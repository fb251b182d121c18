//! Cryptographic digests (§2: collision resistant): what prepares, commits and checkpoints speak
//! of instead of the requests themselves.

use consensus_core::{Batch, Canonical, ClusterId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// `D(m)` of the paper: BLAKE3 over the canonical encoding.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// Of the requests that get one sequence number.
    pub fn of(cluster: ClusterId, batch: &Batch) -> Self {
        Self::over(Canonical::new(cluster, "pbft batch").bytes(batch.bytes()))
    }

    /// Of the null request, which fills a gap in a new view (§4.4).
    pub fn of_null(cluster: ClusterId) -> Self {
        Self::of(cluster, &Batch::noop())
    }

    /// Of everything that was executed, when one more batch was: stands for the state in
    /// checkpoints (§4.3), since equal histories give equal states.
    #[must_use]
    pub fn then(self, cluster: ClusterId, batch: Self) -> Self {
        Self::over(Canonical::new(cluster, "pbft history").bytes(&self.0).bytes(&batch.0))
    }

    pub(crate) fn over(statement: Canonical) -> Self {
        Self(*blake3::hash(&statement.finish()).as_bytes())
    }

    /// As much of it as the oracles look at.
    pub fn short(self) -> u128 {
        let (half, _) = self.0.split_first_chunk::<16>().expect("a digest has 32 bytes");
        u128::from_le_bytes(*half)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "d:{:02x}{:02x}{:02x}{:02x}", self.0[0], self.0[1], self.0[2], self.0[3])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// §4.3: a checkpoint's digest stands for all that was executed, each in its place: no two
    /// histories share one, not even in two clusters.
    #[test]
    fn every_history_has_its_own_digest() {
        let batches = [1, 2, 3].map(|byte| Digest([byte; 32]));
        let mut all = BTreeSet::new();
        for cluster in [ClusterId(1), ClusterId(2)] {
            let mut histories = vec![Digest::default()];
            for _ in 0..4 {
                let then = |history: &Digest| batches.map(|batch| history.then(cluster, batch));
                histories = histories.iter().flat_map(then).collect();
                all.extend(histories.iter().copied());
            }
        }
        assert_eq!(all.len(), 2 * (3 + 9 + 27 + 81));
    }
}
