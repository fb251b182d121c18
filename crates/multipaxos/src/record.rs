//! What a replica writes to its disk.

use crate::message::{position, round, slot};
use consensus_core::{Ballot, Batch, LogIndex, Membership, Rejected};
use serde::{Deserialize, Serialize};

/// One record. The first two are the acceptor's memory and are durable before the acceptor says
/// so (§2.5). The next two are notes that save work after a restart and that a crash may lose. The
/// last begins a log of which the first slots are forgotten.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Record {
    /// The acceptor promised this ballot.
    Promised {
        /// The ballot.
        ballot: Ballot,
    },
    /// The acceptor accepted this value. It says that the ballot was promised, too.
    Accepted {
        /// The ballot.
        ballot: Ballot,
        /// The slot.
        slot: LogIndex,
        /// The value.
        batch: Batch,
    },
    /// Another replica said that this value is chosen. No acceptance: the acceptor may hold
    /// another value, or none.
    Learned {
        /// The slot.
        slot: LogIndex,
        /// The chosen value.
        batch: Batch,
    },
    /// In each slot up to here the chosen value is the learned one where there is one, else the
    /// accepted one.
    Chosen {
        /// The slot.
        upto: LogIndex,
    },
    /// Every slot up to here is chosen, in the snapshot, and forgotten. Only at the beginning of
    /// what is kept.
    Forgotten {
        /// The slot.
        upto: LogIndex,
        /// The members as of that slot. Boxed: every record is as large as the largest.
        members: Box<Membership>,
    },
}

impl Record {
    /// Are there such numbers? What no message may say is on no disk, either.
    pub(crate) fn check(&self) -> Result<(), Rejected> {
        match self {
            Self::Promised { ballot } => round(*ballot),
            Self::Accepted { ballot, slot: at, .. } => round(*ballot).and(slot(*at)),
            Self::Learned { slot: at, .. } => slot(*at),
            Self::Chosen { upto } => position(*upto),
            Self::Forgotten { upto, members } => slot(*upto).and(position(members.version)),
        }
    }
}
