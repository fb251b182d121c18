//! What must survive a crash (§2.5).

use crate::message::FAR;
use consensus_core::{Ballot, Batch, LogIndex};
use serde::{Deserialize, Serialize};

/// A record of the write stream.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Record {
    /// The acceptor promised.
    Promised {
        /// The instance.
        slot: LogIndex,
        /// What it promised.
        ballot: Ballot,
    },
    /// The acceptor accepted, and thereby promised.
    Accepted {
        /// The instance.
        slot: LogIndex,
        /// The proposal's number.
        ballot: Ballot,
        /// The proposal's value.
        batch: Batch,
    },
    /// A note: the learner knows what is chosen. Nothing depends on it, since a learner can always
    /// find out again; it saves that work after a restart.
    Chosen {
        /// The instance.
        slot: LogIndex,
        /// The ballot under which it was chosen.
        ballot: Ballot,
        /// The value, unless an earlier record of the same slot holds it: the acceptor's own, under
        /// this ballot or a higher one.
        batch: Option<Batch>,
    },
}

impl Record {
    /// Are there such numbers?
    pub(crate) fn is_plausible(&self) -> bool {
        let (Self::Promised { slot, ballot }
        | Self::Accepted { slot, ballot, .. }
        | Self::Chosen { slot, ballot, .. }) = self;
        let most = FAR + FAR / 2; // A replica counts on from what it hears.
        slot.0 <= most && ballot.round <= most
    }
}
