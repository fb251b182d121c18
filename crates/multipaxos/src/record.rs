//! What a replica writes to its disk.

use crate::message::after;
use consensus_core::{Ballot, Batch, LogIndex, Membership, Run};
use serde::{Deserialize, Serialize};

/// One record. Promises and acceptances are the acceptor's memory and are durable before it says so
/// (§2.5). What is learned and chosen are notes that save work after a restart and that a crash may
/// lose. `Forgotten` begins a log of which the first slots are forgotten.
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
    /// The acceptor accepted these values, the first in `slot` and the others after it without gap:
    /// what came in one message, or was proposed in one burst.
    AcceptedRun {
        /// The ballot.
        ballot: Ballot,
        /// The first slot.
        slot: LogIndex,
        /// The values.
        batches: Run<Batch>,
    },
}

/// Rounds and slots that messages name are below half of this, and what a replica counts on from
/// there does not come near it: such a number on a disk is a broken disk, and it would overflow.
pub(crate) const FAR: u64 = 1 << 63;

impl Record {
    /// Are there such numbers?
    pub(crate) fn is_plausible(&self) -> bool {
        let (round, last) = match self {
            Self::Promised { ballot } => (ballot.round, LogIndex::ZERO),
            Self::Accepted { ballot, slot, .. } => (ballot.round, *slot),
            Self::AcceptedRun { ballot, slot, batches } => {
                (ballot.round, after(*slot, batches.len()))
            }
            Self::Learned { slot, .. } => (0, *slot),
            Self::Chosen { upto } => (0, *upto),
            Self::Forgotten { upto, members } => (0, members.version.max(*upto)),
        };
        round < FAR && last.0 < FAR
    }
}
