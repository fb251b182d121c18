//! What a traitor can say under its own key, for the simulator: votes for something else, and what
//! the checks in `verify` are there to keep out. In another's name it can say nothing.

use crate::certificates::{CheckpointCertificate, CommitCertificate, Endorsement};
use crate::digest::Digest;
use crate::message::{
    Body, Carried, Decided, Message, NewView, SignedViewChange, View, ViewChange, Vote, VotePhase,
};
use consensus_core::{Batch, Command, Env, LogIndex, NodeId, Signer};

/// A message that contradicts this one. Where there are several, the numbers in it choose.
pub(crate) fn contrary(message: &Message, env: &Env<'_>) -> Option<Message> {
    let liar = sender_of(message, env)?;
    let body = match &message.body {
        Body::PrePrepare { vote, batch } => other_proposal(vote, batch, env)?,
        Body::Prepare(vote) => Body::Prepare(other_vote(vote, env)),
        Body::Commit(vote) => Body::Commit(other_vote(vote, env)),
        Body::Checkpoint { sequence, .. } => {
            Body::Checkpoint { sequence: *sequence, history: Digest::of_null(env.cluster.id) }
        }
        Body::ViewChange(view_change) => other_view_change(view_change, liar, env),
        Body::NewView(new_view) => Body::NewView(match new_view.carried.len() % 2 {
            0 => forgetful(new_view, liar, env),
            _ => stripped(new_view),
        }),
        Body::Fetched { decided, stable } => {
            let history = Digest::of_null(env.cluster.id);
            let stable = stable.clone().map(|stable| CheckpointCertificate { history, ..stable });
            Body::Fetched { decided: invented(decided, env), stable }
        }
        Body::Request { .. } | Body::Fetch { .. } => return None,
    };
    Some(Message { repeat: message.repeat, ..Message::signed(body, liar, env) })
}

/// Whose signature it is.
fn sender_of(message: &Message, env: &Env<'_>) -> Option<NodeId> {
    env.cluster.nodes().iter().find(|node| {
        let bytes = message.body.signed_bytes(env.cluster.id, *node);
        bytes.is_some_and(|bytes| env.check(Signer::Node(*node), &bytes, &message.tag))
    })
}

fn other_vote(vote: &Vote, env: &Env<'_>) -> Vote {
    let null = Digest::of_null(env.cluster.id);
    Vote { digest: if vote.digest == null { Digest::default() } else { null }, ..*vote }
}

/// The same number for nothing, or for requests that no client has signed.
fn other_proposal(vote: &Vote, batch: &Batch, env: &Env<'_>) -> Option<Body> {
    if batch.is_empty() {
        return None;
    }
    let made_up = |command: Command| Command { payload: "made up".into(), ..command };
    let batch = match vote.sequence.0 % 3 {
        0 => Batch::of(&batch.commands().map(made_up).collect::<Vec<_>>()),
        _ => Batch::noop(),
    };
    let digest = Digest::of(env.cluster.id, &batch);
    Some(Body::PrePrepare { vote: Vote { digest, ..*vote }, batch })
}

/// "Nothing prepared here" (which nobody can refute); or a stable checkpoint that is none; or old
/// certificates for a later view; or prepares shown as commits.
fn other_view_change(view_change: &ViewChange, liar: NodeId, env: &Env<'_>) -> Body {
    let mut other = ViewChange { prepared: Vec::new(), ..view_change.clone() };
    match view_change.view.0 % 4 {
        1 => {
            let before = view_change.stable.as_ref().map_or(0, |stable| stable.sequence.0);
            let votes = vec![Endorsement { by: liar, tag: env.sign(b"nothing") }];
            let (sequence, history) = (LogIndex(before + 2), Digest::default());
            other.stable = Some(CheckpointCertificate { sequence, history, votes });
        }
        2 => {
            other.prepared = view_change.prepared.clone();
            for certificate in &mut other.prepared {
                let (size, old) = (env.cluster.size as u64, certificate.vote.view.0);
                let rounds = (view_change.view.0 - 1).saturating_sub(old) / size;
                certificate.vote.view = View(old + rounds * size); // Of the same primary.
            }
        }
        3 if !view_change.prepared.is_empty() => {
            let decided = prepared_as_decided(view_change, liar, env);
            return Body::Fetched { decided, stable: None };
        }
        _ => {}
    }
    Body::ViewChange(other)
}

fn prepared_as_decided(view_change: &ViewChange, liar: NodeId, env: &Env<'_>) -> Vec<Decided> {
    let show = |certificate: &crate::PreparedCertificate| {
        let vote = certificate.vote;
        let tag = env.sign(&vote.statement(VotePhase::Commit, env.cluster.id, liar));
        let mut commits = certificate.prepares.clone();
        commits.retain(|prepare| prepare.by != liar);
        commits.push(Endorsement { by: liar, tag });
        let certificate_of_none = CommitCertificate { vote, commits };
        Decided { certificate: certificate_of_none, batch: certificate.batch.clone() }
    };
    view_change.prepared.iter().map(show).collect()
}

/// The new-view of a primary that carries nothing over: null requests for every number.
fn forgetful(new_view: &NewView, primary: NodeId, env: &Env<'_>) -> NewView {
    let digest = Digest::of_null(env.cluster.id);
    let numbers = (new_view.base.0 + 1..).take(new_view.carried.len());
    let carry = |number| {
        let vote = Vote { view: new_view.view, sequence: LogIndex(number), digest };
        let tag = env.sign(&vote.statement(VotePhase::PrePrepare, env.cluster.id, primary));
        Carried { digest, tag }
    };
    NewView { carried: numbers.map(carry).collect(), ..new_view.clone() }
}

/// The new-view of a primary that takes what prepared out of the view-changes of others.
fn stripped(new_view: &NewView) -> NewView {
    let strip = |signed: &SignedViewChange| SignedViewChange {
        view_change: ViewChange { prepared: Vec::new(), ..signed.view_change.clone() },
        tag: signed.tag.clone(),
    };
    let view_changes = new_view.view_changes.iter().map(strip).collect();
    NewView { view_changes, carried: Vec::new(), ..new_view.clone() }
}

/// Decisions that nobody made, under the signatures of others.
fn invented(decided: &[Decided], env: &Env<'_>) -> Vec<Decided> {
    let invent = |one: &Decided| {
        let CommitCertificate { vote, commits } = one.certificate.clone();
        let certificate = CommitCertificate { vote: other_vote(&vote, env), commits };
        Decided { certificate, batch: Batch::noop() }
    };
    decided.iter().map(invent).collect()
}
