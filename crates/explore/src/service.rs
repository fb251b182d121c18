//! What a driver keeps beside the replica: the state machine, the snapshot that is coming in, and
//! the reads that wait.

use consensus_core::{Batch, Incoming, LogIndex, Membership};
use std::collections::BTreeMap;

use crate::fingerprint;

/// A state machine that remembers everything, in a number: the state is what was applied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Applied {
    pub(crate) index: LogIndex,
    pub(crate) state: u64,
}

impl Applied {
    /// After this batch at the next index.
    #[must_use]
    pub(crate) fn then(self, batch: &Batch) -> Self {
        let state = fingerprint::of(&(self.state, batch)) as u64;
        Self { index: self.index.next(), state }
    }

    /// The state as bytes of a snapshot.
    pub(crate) fn to_bytes(self) -> Vec<u8> {
        [self.index.0.to_le_bytes(), self.state.to_le_bytes()].concat()
    }

    /// The state that these bytes are, if they are one.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let (index, rest) = bytes.split_first_chunk::<8>()?;
        let state = rest.try_into().ok()?;
        let index = LogIndex(u64::from_le_bytes(*index));
        Some(Self { index, state: u64::from_le_bytes(state) })
    }
}

/// All of it. Gone with a crash, but for what a snapshot restores.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Service {
    pub(crate) applied: Applied,
    /// The snapshot that is coming in, and its bytes so far.
    pub(crate) incoming: Incoming,
    pub(crate) staged: Vec<u8>,
    /// Reads that were asked in this life.
    pub(crate) reads: u64,
    /// Those that wait, with what was decided when they were asked.
    pub(crate) waiting: BTreeMap<u64, LogIndex>,
    /// The members that are in force, as the replica said last.
    pub(crate) members: Option<Membership>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_comes_out_of_its_bytes_and_of_no_others() {
        let state = Applied::default().then(&Batch::noop());
        let bytes = state.to_bytes();
        assert_eq!(Applied::from_bytes(&bytes), Some(state));
        assert_eq!(Applied::from_bytes(&bytes[..15]), None);
        assert_eq!(Applied::from_bytes(&[&bytes[..], &[0]].concat()), None);
        assert_ne!(state.then(&Batch::noop()).state, state.state);
    }
}
