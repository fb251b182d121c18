//! What replicas say: the words of Castro & Liskov (OSDI '99), §4.2 normal case, §4.3 checkpoints,
//! §4.4 view changes, and what it takes to survive loss.

use crate::certificates::{CheckpointCertificate, CommitCertificate, PreparedCertificate};
use crate::config::{CERTIFICATE, SIGNATURE};
use crate::digest::Digest;
use consensus_core::mutant::planted;
use consensus_core::{
    Batch, Canonical, ClusterId, Env, Gate, LogIndex, MessageKind, NodeId, Tag, Traffic,
};
use serde::{Deserialize, Serialize};

/// The paper's sequence number `n`; its place in the log.
pub type Sequence = LogIndex;

/// The paper's view number `v`.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Debug, Serialize, Deserialize,
)]
pub struct View(pub u64);

impl View {
    /// The primary of the view: replica `v mod n` (§4).
    pub fn primary(self, nodes: usize) -> NodeId {
        NodeId((self.0 % nodes as u64) as u8)
    }

    /// The view after this one.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

/// What prepares and commits are about: in this view, this number goes to these requests.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Vote {
    /// The view.
    pub view: View,
    /// The sequence number.
    pub sequence: Sequence,
    /// The digest of the requests.
    pub digest: Digest,
}

/// A statement of one replica that can be shown to others.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct ViewChange {
    /// The view that is asked for.
    pub view: View,
    /// Who asks.
    pub replica: NodeId,
    /// `n` and `C`: its last stable checkpoint with the proof; none before the first.
    pub stable: Option<CheckpointCertificate>,
    /// `P`: for every number above it that prepared here, the certificate of the latest view.
    pub prepared: Vec<PreparedCertificate>,
}

/// A view-change with its sender's signature, as a new-view carries it.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct SignedViewChange {
    /// What was said.
    pub view_change: ViewChange,
    /// The signature of `view_change.replica`.
    pub tag: Tag,
}

/// A pre-prepare of a new view (`O`). The requests themselves are in the certificates.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Carried {
    /// The digest of the requests, or of the null request.
    pub digest: Digest,
    /// The new primary's signature, as in any pre-prepare.
    pub tag: Tag,
}

/// The new primary shows why its view starts as it does.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct NewView {
    /// The view.
    pub view: View,
    /// `V`: a quorum of view-changes for it.
    pub view_changes: Vec<SignedViewChange>,
    /// `min-s`: the latest stable checkpoint in `V`.
    pub base: Sequence,
    /// `O`: the pre-prepares for `base + 1`, `base + 2`, … `max-s`.
    pub carried: Vec<Carried>,
}

/// A batch that was decided, with the proof.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Decided {
    /// A quorum's commits.
    pub certificate: CommitCertificate,
    /// The requests.
    pub batch: Batch,
}

/// What can be said.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub enum Body {
    /// A backup relays requests to the primary (§4.1). Signed by the clients, not by the backup.
    Request {
        /// The requests.
        batch: Batch,
    },
    /// The primary gives a number to requests. The paper sends `m` beside it; here it is in it.
    PrePrepare {
        /// Which number.
        vote: Vote,
        /// The requests.
        batch: Batch,
    },
    /// A backup has accepted the pre-prepare.
    Prepare(Vote),
    /// The replica has seen a quorum accept it.
    Commit(Vote),
    /// The replica has executed everything up to here.
    Checkpoint {
        /// Up to where.
        sequence: Sequence,
        /// The digest of what was executed.
        history: Digest,
    },
    /// The replica wants another view.
    ViewChange(ViewChange),
    /// The new primary starts it.
    NewView(NewView),
    /// The replica says how far it is and asks for what it lacks. Not in this paper; Castro's
    /// thesis (§5.2) has status messages for it.
    Fetch {
        /// The latest view that it has no further news about.
        view: View,
        /// The first number that it lacks.
        from: Sequence,
        /// `h`: the last checkpoint that it knows to be stable; zero before the first.
        stable: Sequence,
    },
    /// What another replica lacks, each with its proof.
    Fetched {
        /// In order, without gap.
        decided: Vec<Decided>,
        /// A later stable checkpoint than its last one.
        stable: Option<CheckpointCertificate>,
    },
}

/// A body under the signature of its sender.
#[derive(Clone, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Message {
    /// What is said.
    pub body: Body,
    /// The sender's signature over the canonical form of the body; empty for a relayed request.
    pub tag: Tag,
    /// Was it said before? Only for counting, and not signed.
    pub repeat: bool,
}

const REQUEST: MessageKind = MessageKind::new("request", Traffic::Repair);
const PRE_PREPARE: MessageKind = MessageKind::new("pre-prepare", Traffic::Command);
const PREPARE: MessageKind = MessageKind::new("prepare", Traffic::Command);
const COMMIT: MessageKind = MessageKind::new("commit", Traffic::Command);
const CHECKPOINT: MessageKind = MessageKind::new("checkpoint", Traffic::Checkpoint);
const VIEW_CHANGE: MessageKind = MessageKind::new("view-change", Traffic::Election);
const NEW_VIEW: MessageKind = MessageKind::new("new-view", Traffic::Election);
const FETCH: MessageKind = MessageKind::new("fetch", Traffic::Repair);
const FETCHED: MessageKind = MessageKind::new("fetched", Traffic::Repair);
const PRE_PREPARE_AGAIN: MessageKind = MessageKind::new("pre-prepare-again", Traffic::Repair);
const PREPARE_AGAIN: MessageKind = MessageKind::new("prepare-again", Traffic::Repair);
const COMMIT_AGAIN: MessageKind = MessageKind::new("commit-again", Traffic::Repair);
const CHECKPOINT_AGAIN: MessageKind = MessageKind::new("checkpoint-again", Traffic::Repair);
const VIEW_CHANGE_AGAIN: MessageKind = MessageKind::new("view-change-again", Traffic::Repair);
const NEW_VIEW_AGAIN: MessageKind = MessageKind::new("new-view-again", Traffic::Repair);

impl consensus_core::Message for Message {
    const KINDS: &'static [MessageKind] = &[
        REQUEST,
        PRE_PREPARE,
        PREPARE,
        COMMIT,
        CHECKPOINT,
        VIEW_CHANGE,
        NEW_VIEW,
        FETCH,
        FETCHED,
        PRE_PREPARE_AGAIN,
        PREPARE_AGAIN,
        COMMIT_AGAIN,
        CHECKPOINT_AGAIN,
        VIEW_CHANGE_AGAIN,
        NEW_VIEW_AGAIN,
    ];

    fn kind(&self) -> MessageKind {
        let (first, again) = match self.body {
            Body::Request { .. } => (REQUEST, REQUEST),
            Body::PrePrepare { .. } => (PRE_PREPARE, PRE_PREPARE_AGAIN),
            Body::Prepare(_) => (PREPARE, PREPARE_AGAIN),
            Body::Commit(_) => (COMMIT, COMMIT_AGAIN),
            Body::Checkpoint { .. } => (CHECKPOINT, CHECKPOINT_AGAIN),
            Body::ViewChange(_) => (VIEW_CHANGE, VIEW_CHANGE_AGAIN),
            Body::NewView(_) => (NEW_VIEW, NEW_VIEW_AGAIN),
            Body::Fetch { .. } => (FETCH, FETCH),
            Body::Fetched { .. } => (FETCHED, FETCHED),
        };
        if self.repeat { again } else { first }
    }

    /// Votes wait for the disk. A pre-prepare does not: see `Pbft::may_order` for why a primary
    /// that forgets it still gives a number only once.
    fn gate(&self) -> Gate {
        match self.body {
            Body::Commit(_) if planted("B22") => Gate::Free,
            Body::Prepare(_)
            | Body::Commit(_)
            | Body::Checkpoint { .. }
            | Body::ViewChange(_)
            | Body::NewView(_)
            // The own checkpoint may be among those that it counts.
            | Body::Fetched { stable: Some(_), .. } => Gate::AfterSync,
            Body::Request { .. }
            | Body::PrePrepare { .. }
            | Body::Fetch { .. }
            | Body::Fetched { stable: None, .. } => Gate::Free,
        }
    }
}

impl Message {
    /// Signs a body as this replica.
    pub(crate) fn signed(body: Body, id: NodeId, env: &Env<'_>) -> Self {
        let tag = match body.signed_bytes(env.cluster.id, id) {
            Some(bytes) => env.sign(&bytes),
            None => Tag::none(),
        };
        Self { body, tag, repeat: false }
    }

    /// A message that was signed before, said again.
    pub(crate) fn again(body: Body, tag: Tag) -> Self {
        Self { body, tag, repeat: true }
    }
}

/// The statements of the three phases differ in their domain, so that a prepare can never be shown
/// as a commit.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum VotePhase {
    PrePrepare,
    Prepare,
    Commit,
}

impl Vote {
    /// What a replica signs when it votes for this in one of the three phases.
    pub(crate) fn statement(
        &self,
        phase: VotePhase,
        cluster: ClusterId,
        replica: NodeId,
    ) -> Vec<u8> {
        let domain = match phase {
            VotePhase::PrePrepare => "pbft pre-prepare",
            VotePhase::Prepare => "pbft prepare",
            VotePhase::Commit if planted("B05") => "pbft prepare",
            VotePhase::Commit => "pbft commit",
        };
        let view = if planted("B36") { View(0) } else { self.view };
        Canonical::new(cluster, domain)
            .number(view.0)
            .number(if planted("B110") { 0 } else { self.sequence.0 })
            .bytes(&self.digest.0)
            .number(u64::from(replica.0))
            .finish()
    }
}

/// What a replica signs when it has executed everything up to `sequence`.
pub(crate) fn checkpoint_statement(
    sequence: Sequence,
    history: Digest,
    cluster: ClusterId,
    replica: NodeId,
) -> Vec<u8> {
    Canonical::new(cluster, "pbft checkpoint")
        .number(sequence.0)
        .bytes(&history.0)
        .number(u64::from(replica.0))
        .finish()
}

impl ViewChange {
    /// Bytes that it takes in a new-view, at most.
    pub(crate) fn length(&self) -> usize {
        let certificate = |signatures: usize| CERTIFICATE + SIGNATURE * signatures;
        let stable = self.stable.iter().map(|stable| certificate(stable.votes.len()));
        let prepared = self.prepared.iter();
        let prepared =
            prepared.map(|it| it.batch.bytes().len() + certificate(it.prepares.len() + 1));
        certificate(1) + stable.chain(prepared).sum::<usize>()
    }

    /// How far above its stable checkpoint something prepared.
    pub(crate) fn span(&self) -> u64 {
        let stable = self.stable.as_ref().map_or(0, |stable| stable.sequence.0);
        let last = self.prepared.last().map_or(stable, |last| last.vote.sequence.0);
        last.saturating_sub(stable)
    }

    /// What its sender signs: everything but the certificates' signatures, which stand for
    /// themselves.
    pub(crate) fn statement(&self, cluster: ClusterId) -> Vec<u8> {
        let mut fields = Canonical::new(cluster, "pbft view-change")
            .number(self.view.0)
            .number(u64::from(self.replica.0));
        fields = match &self.stable {
            _ if planted("B111") => fields,
            None => fields.number(0),
            Some(stable) => fields.number(stable.sequence.0).bytes(&stable.history.0),
        };
        for prepared in self.prepared.iter().filter(|_| !planted("B37")) {
            let Vote { view, sequence, digest } = prepared.vote;
            fields = fields.number(view.0).number(sequence.0).bytes(&digest.0);
        }
        fields.finish()
    }
}

impl Body {
    /// What the sender signs; nothing for a relayed request.
    pub(crate) fn signed_bytes(&self, cluster: ClusterId, sender: NodeId) -> Option<Vec<u8>> {
        let me = u64::from(sender.0);
        Some(match self {
            Self::Request { .. } => return None,
            Self::PrePrepare { vote, .. } => vote.statement(VotePhase::PrePrepare, cluster, sender),
            Self::Prepare(vote) => vote.statement(VotePhase::Prepare, cluster, sender),
            Self::Commit(vote) => vote.statement(VotePhase::Commit, cluster, sender),
            Self::Checkpoint { sequence, history } => {
                checkpoint_statement(*sequence, *history, cluster, sender)
            }
            Self::ViewChange(view_change) => view_change.statement(cluster),
            Self::NewView(new_view) => {
                let mut fields = Canonical::new(cluster, "pbft new-view")
                    .number(new_view.view.0)
                    .number(new_view.base.0)
                    .number(me);
                for signed in &new_view.view_changes {
                    fields = fields.bytes(&signed.view_change.statement(cluster));
                }
                for carried in &new_view.carried {
                    fields = fields.bytes(&carried.digest.0);
                }
                fields.finish()
            }
            Self::Fetch { view, from, stable } => Canonical::new(cluster, "pbft fetch")
                .number(view.0)
                .number(from.0)
                .number(stable.0)
                .number(me)
                .finish(),
            Self::Fetched { decided, stable } => {
                let mut fields = Canonical::new(cluster, "pbft fetched").number(me);
                fields = match stable {
                    None => fields.number(0),
                    Some(stable) => fields.number(stable.sequence.0).bytes(&stable.history.0),
                };
                for one in decided {
                    let Vote { view, sequence, digest } = one.certificate.vote;
                    fields = fields.number(view.0).number(sequence.0).bytes(&digest.0);
                }
                fields.finish()
            }
        })
    }
}
