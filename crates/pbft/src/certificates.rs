//! Votes, and the certificates that a quorum of them makes (§4: "quorum certificates"). The only
//! place of the crate that says how many are enough.

use crate::digest::Digest;
use crate::message::{Sequence, Vote, VotePhase, checkpoint_statement};
use consensus_core::mutant::planted;
use consensus_core::{Batch, Env, NodeId, NodeSet, Rejected, Signer, Tag, quorum};
use serde::{Deserialize, Serialize};

/// Replicas that must agree: `ceil((n + f + 1) / 2)`. The paper's 2f + 1 when n = 3f + 1; for other
/// n, 2f + 1 would be too few for two quorums to share a correct replica.
pub(crate) fn strong(nodes: usize) -> usize {
    if planted("B20") {
        return weak(nodes);
    }
    if planted("E-32") {
        return 2 * quorum::byzantine_faults(nodes) + 1;
    }
    quorum::byzantine(nodes)
}

/// Commits that decide: the paper's 2f + 1 when n = 3f + 1.
pub(crate) fn commits_needed(nodes: usize) -> usize {
    if planted("B01") { strong(nodes) - 1 } else { strong(nodes) }
}

/// Replicas of which one must be correct: f + 1.
pub(crate) fn weak(nodes: usize) -> usize {
    quorum::byzantine_faults(nodes) + 1
}

/// View-changes that a new-view shows (the paper's 2f + 1, §4.4).
pub(crate) fn new_view_needed(nodes: usize) -> usize {
    if planted("B34") { weak(nodes) } else { strong(nodes) }
}

/// Checkpoint messages that make a checkpoint stable (§4.3).
pub(crate) fn stable_needed(nodes: usize) -> usize {
    if planted("B23") { weak(nodes) } else { strong(nodes) }
}

/// Prepares that a pre-prepare needs beside it (the paper's 2f). The pre-prepare stands for the
/// primary's word, so the primary sends no prepare and none of it counts.
pub(crate) fn prepares_needed(nodes: usize) -> usize {
    let beside_the_primary = strong(nodes) - 1;
    if planted("B04") { beside_the_primary - 1 } else { beside_the_primary }
}

/// A replica's signature under a statement that is known from around it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Endorsement {
    /// Who signed.
    pub by: NodeId,
    /// The signature.
    pub tag: Tag,
}

/// The predicate `prepared(m, v, n)` of §4.2, to show to others (§4.4: an element of `P`).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct PreparedCertificate {
    /// What prepared.
    pub vote: Vote,
    /// The requests. The paper leaves them out and has replicas fetch them; carrying them keeps a
    /// new view from waiting.
    pub batch: Batch,
    /// The primary's signature under the pre-prepare.
    pub pre_prepare: Tag,
    /// Matching prepares of different backups.
    pub prepares: Vec<Endorsement>,
}

/// A quorum's commits for one vote: proof that it is decided, whatever view it is now.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct CommitCertificate {
    /// What was decided.
    pub vote: Vote,
    /// Matching commits of different replicas.
    pub commits: Vec<Endorsement>,
}

/// The proof that a checkpoint is stable (§4.3; `C` of §4.4).
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct CheckpointCertificate {
    /// Everything up to here was executed by a quorum.
    pub sequence: Sequence,
    /// The digest of what was executed.
    pub history: Digest,
    /// Matching checkpoint messages of different replicas.
    pub votes: Vec<Endorsement>,
}

/// Are there `needed` signatures of different replicas, all good?
fn endorsed(
    endorsements: &[Endorsement],
    needed: usize,
    statement: impl Fn(NodeId) -> Vec<u8>,
    env: &Env<'_>,
) -> Result<NodeSet, Rejected> {
    let mut signers = NodeSet::EMPTY;
    for Endorsement { by, tag } in endorsements {
        if !env.cluster.contains(*by) {
            return Err(Rejected("a certificate is signed by a stranger"));
        }
        if !signers.insert(*by) && !planted("B02") {
            return Err(Rejected("a certificate counts a replica twice"));
        }
        if !env.check(Signer::Node(*by), &statement(*by), tag) {
            return Err(Rejected("a signature in a certificate is bad"));
        }
    }
    if endorsements.len() < needed {
        return Err(Rejected("a certificate has too few signatures"));
    }
    Ok(signers)
}

impl PreparedCertificate {
    pub(crate) fn check(&self, env: &Env<'_>) -> Result<(), Rejected> {
        let (cluster, nodes) = (env.cluster.id, env.cluster.size);
        if Digest::of(cluster, &self.batch) != self.vote.digest {
            return Err(Rejected("a certificate's digest is not of its requests"));
        }
        let primary = self.vote.view.primary(nodes);
        let proposal = self.vote.statement(VotePhase::PrePrepare, cluster, primary);
        if !env.check(Signer::Node(primary), &proposal, &self.pre_prepare) {
            return Err(Rejected("a certificate's pre-prepare is not of the primary"));
        }
        let statement = |by| self.vote.statement(VotePhase::Prepare, cluster, by);
        let signers = endorsed(&self.prepares, prepares_needed(nodes), statement, env)?;
        if signers.contains(primary) && !planted("B04") && !planted("B62") {
            return Err(Rejected("a certificate counts a prepare of the primary"));
        }
        Ok(())
    }
}

impl CommitCertificate {
    pub(crate) fn check(&self, env: &Env<'_>) -> Result<(), Rejected> {
        let statement = |by| self.vote.statement(VotePhase::Commit, env.cluster.id, by);
        endorsed(&self.commits, commits_needed(env.cluster.size), statement, env).map(|_| ())
    }

    /// Who signed.
    pub fn signers(&self) -> NodeSet {
        self.commits.iter().map(|commit| commit.by).collect()
    }
}

impl CheckpointCertificate {
    pub(crate) fn check(&self, env: &Env<'_>) -> Result<(), Rejected> {
        let statement = |by| checkpoint_statement(self.sequence, self.history, env.cluster.id, by);
        endorsed(&self.votes, stable_needed(env.cluster.size), statement, env).map(|_| ())
    }
}

/// The word of each replica on one question: the first counts, and a repeated one is no second.
/// Sorted by replica.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Default)]
pub(crate) struct Votes(Vec<(Digest, Endorsement)>);

impl Votes {
    /// False if this replica has spoken already.
    pub(crate) fn add(&mut self, by: NodeId, digest: Digest, tag: Tag) -> bool {
        let place = self.0.partition_point(|(_, vote)| vote.by < by);
        let spoken = self.0.get(place).is_some_and(|(_, vote)| vote.by == by);
        if spoken && !planted("B02") {
            return false;
        }
        self.0.insert(place, (digest, Endorsement { by, tag }));
        true
    }

    /// `needed` endorsements of this digest, if there are as many.
    pub(crate) fn quorum(&self, digest: Digest, needed: usize) -> Option<Vec<Endorsement>> {
        let matching =
            || self.0.iter().filter(move |(voted, _)| *voted == digest || planted("B03"));
        (matching().count() >= needed)
            .then(|| matching().take(needed).map(|(_, vote)| vote.clone()).collect())
    }

    /// All endorsements of this digest.
    pub(crate) fn of(&self, digest: Digest) -> impl Iterator<Item = Endorsement> {
        let matching = self.0.iter().filter(move |(voted, _)| *voted == digest);
        matching.map(|(_, vote)| vote.clone())
    }

    /// Who has spoken.
    pub(crate) fn speakers(&self) -> NodeSet {
        self.0.iter().map(|(_, vote)| vote.by).collect()
    }

    pub(crate) fn has(&self, by: NodeId) -> bool {
        self.0.iter().any(|(_, vote)| vote.by == by)
    }

    pub(crate) fn forget(&mut self, by: NodeId) {
        self.0.retain(|(_, vote)| vote.by != by);
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// §4.2: "matching" prepares are of different backups and have the pre-prepare's digest.
    #[test]
    fn a_repeated_or_other_vote_is_not_counted() {
        let (a, b) = (Digest([1; 32]), Digest([2; 32]));
        let mut votes = Votes::default();
        assert!(votes.add(NodeId(1), a, Tag::none()));
        assert!(!votes.add(NodeId(1), a, Tag::none()), "a repeated vote is no second vote");
        assert!(!votes.add(NodeId(1), b, Tag::none()), "the first word counts");
        assert!(votes.add(NodeId(0), b, Tag::none()));
        assert_eq!(votes.quorum(a, 2), None);
        assert_eq!(votes.quorum(a, 1).map(|found| found.len()), Some(1));
    }

    /// §3 and §4: the paper's 2f and 2f + 1 when n = 3f + 1, and more for n in between.
    #[test]
    fn quorums_are_the_papers_on_its_grid_and_larger_off_it() {
        assert_eq!([4, 5, 6, 7, 10].map(strong), [3, 4, 4, 5, 7]);
        assert_eq!([4, 5, 6, 7, 10].map(prepares_needed), [2, 3, 3, 4, 6]);
        assert_eq!([4, 5, 6, 7, 10].map(weak), [2, 2, 2, 3, 4]);
    }
}
