//! One sequence number: what was proposed, who voted, what came of it.

use crate::certificates::{CommitCertificate, PreparedCertificate, Votes};
use crate::message::{View, Vote};
use consensus_core::mutant::planted;
use consensus_core::{Batch, NodeSet, Tag};

/// The pre-prepare that a replica accepted (or made).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Proposal {
    pub(crate) vote: Vote,
    pub(crate) batch: Batch,
    pub(crate) tag: Tag,
}

/// The messages of one number in one view, and what outlives the view.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Slot {
    pub(crate) view: View,
    pub(crate) proposal: Option<Proposal>,
    pub(crate) prepares: Votes,
    pub(crate) commits: Votes,
    /// A commit was sent in this view.
    pub(crate) committing: bool,
    /// What this replica's disk says that it voted for (in any view).
    pub(crate) voted: Option<Vote>,
    /// The certificate of the latest view in which the number prepared here.
    pub(crate) prepared: Option<PreparedCertificate>,
    pub(crate) decided: Option<CommitCertificate>,
}

impl Slot {
    /// The slot as seen from this view: votes of an older one do not count in it.
    pub(crate) fn enter(&mut self, view: View) {
        if self.view < view {
            self.view = view;
            self.proposal = None;
            if !planted("B29") {
                self.prepares = Votes::default();
            }
            if !planted("B30") {
                self.commits = Votes::default();
            }
            self.committing &= planted("B31");
        }
    }

    /// Is something to be done about this number in this view? So many replicas that vote on it are
    /// a sign of it, as one of them is correct; a single one may be a liar that votes on anything.
    pub(crate) fn is_open(&self, view: View, weak: usize) -> bool {
        let weak = if planted("B96") { 1 } else { weak };
        let voters: NodeSet =
            self.prepares.speakers().iter().chain(self.commits.speakers().iter()).collect();
        let seen = self.view == view && (self.proposal.is_some() || voters.len() >= weak);
        seen || self.decided.is_some() || self.voted.is_some_and(|vote| vote.view == view)
    }

    /// The requests with this digest, if they are here.
    pub(crate) fn batch_of(&self, vote: Vote) -> Option<&Batch> {
        let proposal = self.proposal.as_ref().filter(|it| it.vote.digest == vote.digest);
        let prepared = || self.prepared.as_ref().filter(|it| it.vote.digest == vote.digest);
        proposal.map(|it| &it.batch).or_else(|| prepared().map(|it| &it.batch))
    }
}
