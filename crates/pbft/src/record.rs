//! What a replica's disk remembers. The paper assumes that correct replicas do not forget; these
//! records are what that takes.

use crate::certificates::{CheckpointCertificate, CommitCertificate, PreparedCertificate};
use crate::digest::Digest;
use crate::message::{Decided, Sequence, View, Vote};
use serde::{Deserialize, Serialize};

/// One record of the write stream.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Record {
    /// The replica's first vote on a number in this view: its prepare, or, of the primary, its
    /// pre-prepare. Without the requests: to vote twice they are not needed, and once it prepares,
    /// [`Record::Prepared`] has them. Needed.
    PrePrepared(Vote),
    /// A number prepared. Needed: a commit says that this survives into every later view.
    Prepared(PreparedCertificate),
    /// The number is decided; the requests are in an earlier record. A note: a quorum's disks have
    /// the prepared certificate.
    Committed(CommitCertificate),
    /// Another replica showed that the number is decided. A note.
    Fetched(Decided),
    /// The replica has executed everything up to here and says so. Needed: as it comes after the
    /// notes of what was executed, these are on disk before the checkpoint is sent; else a stable
    /// checkpoint could outlive the requests that it stands for.
    Checkpoint {
        /// Up to where.
        sequence: Sequence,
        /// The digest of what was executed.
        history: Digest,
    },
    /// A checkpoint is stable. A note.
    Stable(CheckpointCertificate),
    /// The replica has asked for this view and votes in no lower one any more. Needed.
    ViewChange(View),
    /// The replica has entered this view by a new-view. Needed. One record, so that a crash never
    /// keeps the view and loses what the replica must vote for in it.
    NewView {
        /// The view.
        view: View,
        /// The latest stable checkpoint in the new-view.
        base: Sequence,
        /// The digests of its pre-prepares, from `base + 1` on.
        carried: Vec<Digest>,
    },
}

/// Views and numbers that messages name do not come near this: such a number on a disk is a broken
/// disk, and it would overflow.
const FAR: u64 = 1 << 63;

impl Record {
    /// Are there such numbers?
    pub(crate) fn is_plausible(&self) -> bool {
        let (view, last) = match self {
            Self::PrePrepared(vote) => (vote.view, vote.sequence),
            Self::Prepared(certificate) => (certificate.vote.view, certificate.vote.sequence),
            Self::Committed(certificate) => (certificate.vote.view, certificate.vote.sequence),
            Self::Fetched(Decided { certificate: CommitCertificate { vote, .. }, .. }) => {
                (vote.view, vote.sequence)
            }
            Self::Checkpoint { sequence, .. } => (View(0), *sequence),
            Self::Stable(certificate) => (View(0), certificate.sequence),
            Self::ViewChange(view) => (*view, Sequence::ZERO),
            Self::NewView { view, base, .. } => (*view, *base),
        };
        view.0 < FAR && last.0 < FAR
    }
}
