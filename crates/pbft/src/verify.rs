//! What a message must prove before it is heard: signatures, digests, certificates, and a new
//! view that follows from its evidence.

use crate::certificates::new_view_needed;
use crate::config::Config;
use crate::digest::Digest;
use crate::message::{Body, Carried, Decided, Message, NewView, ViewChange, Vote, VotePhase};
use crate::view_change::carried_digests;
use consensus_core::mutant::planted;
use consensus_core::{Batch, Env, Envelope, LogIndex, NodeId, NodeSet, Rejected, Signer, Verified};

type Checked = Result<(), Rejected>;

/// No sequence number is higher.
const SEQUENCE_LIMIT: u64 = 1 << 62;

pub(crate) fn verify(
    envelope: Envelope<Message>,
    env: &Env<'_>,
) -> Result<Verified<Message>, Rejected> {
    let Envelope { from, message } = &envelope;
    if !env.cluster.contains(*from) {
        return Err(Rejected("from a replica outside the cluster"));
    }
    // A new-view is shown around by those who have it; everything else comes from who says it.
    let signer = match &message.body {
        Body::NewView(new_view) => new_view.view.primary(env.cluster.size),
        _ => *from,
    };
    if let Some(bytes) = message.body.signed_bytes(env.cluster.id, signer)
        && !env.check(Signer::Node(signer), &bytes, &message.tag)
    {
        return Err(Rejected("the signature is not the signer's"));
    }
    check_body(&message.body, signer, env)?;
    Ok(Verified::vouch(envelope))
}

fn check_body(body: &Body, from: NodeId, env: &Env<'_>) -> Checked {
    match body {
        Body::Request { batch } => {
            check_length(batch, env)?;
            check_requests(batch, env)
        }
        Body::PrePrepare { vote, batch } => {
            if vote.view.primary(env.cluster.size) != from {
                return Err(Rejected("a pre-prepare that is not of the primary"));
            }
            check_number(vote.sequence)?;
            check_length(batch, env)?;
            if Digest::of(env.cluster.id, batch) != vote.digest {
                return Err(Rejected("a pre-prepare's digest is not of its requests"));
            }
            if planted("B10") {
                return Ok(());
            }
            check_requests(batch, env)
        }
        Body::Prepare(vote) => {
            if vote.view.primary(env.cluster.size) == from && !planted("B04") {
                return Err(Rejected("a prepare of the primary"));
            }
            check_number(vote.sequence)
        }
        Body::Commit(vote) => check_number(vote.sequence),
        Body::Checkpoint { sequence, .. } => check_number(*sequence),
        Body::ViewChange(view_change) => {
            if view_change.replica != from {
                return Err(Rejected("a view-change in another replica's name"));
            }
            check_view_change(view_change, env)
        }
        Body::NewView(new_view) => check_new_view(new_view, from, env),
        Body::Fetch { from, .. } => check_number(*from),
        Body::Fetched { decided, stable } => {
            if let Some(stable) = stable.as_ref().filter(|_| !planted("B91")) {
                check_number(stable.sequence)?;
                stable.check(env)?;
            }
            check_decided(decided, env)
        }
    }
}

fn check_number(sequence: LogIndex) -> Checked {
    if sequence == LogIndex::ZERO || sequence.0 >= SEQUENCE_LIMIT {
        return Err(Rejected("a sequence number that is never given"));
    }
    Ok(())
}

/// What gets a number must fit the view-changes that show it (§4.4): once it prepared at enough
/// replicas, every later new-view has it.
fn check_length(batch: &Batch, env: &Env<'_>) -> Checked {
    if batch.bytes().len() > Config::longest_batch(env.cluster.size) && !planted("B85") {
        return Err(Rejected("a batch longer than any that gets a number"));
    }
    Ok(())
}

/// Requests are signed by their clients (§4.1), and a primary cannot make them up.
fn check_requests(batch: &Batch, env: &Env<'_>) -> Checked {
    for command in batch.commands() {
        let bytes = command.signed_bytes(env.cluster.id);
        if !env.check(Signer::Client(command.client), &bytes, &command.tag) {
            return Err(Rejected("a request is not signed by its client"));
        }
    }
    Ok(())
}

/// A view-change (§4.4) proves its checkpoint and everything that it says has prepared.
fn check_view_change(view_change: &ViewChange, env: &Env<'_>) -> Checked {
    let mut last = LogIndex::ZERO;
    if let Some(stable) = &view_change.stable {
        check_number(stable.sequence)?;
        if !planted("B45") {
            stable.check(env)?;
        }
        last = stable.sequence;
    }
    for prepared in &view_change.prepared {
        check_number(prepared.vote.sequence)?;
        if prepared.vote.sequence <= last || prepared.vote.view >= view_change.view {
            return Err(Rejected("a view-change's certificates are out of order"));
        }
        last = prepared.vote.sequence;
        prepared.check(env)?;
    }
    Ok(())
}

/// A new-view (§4.4) carries a quorum of view-changes, and every backup computes anew what follows
/// from them.
fn check_new_view(new_view: &NewView, primary: NodeId, env: &Env<'_>) -> Checked {
    let mut signers = NodeSet::EMPTY;
    for signed in &new_view.view_changes {
        let view_change = &signed.view_change;
        let replica = view_change.replica;
        let another = view_change.view != new_view.view;
        let another = another && !(planted("B63") && view_change.view < new_view.view);
        if another || !env.cluster.contains(replica) {
            return Err(Rejected("a new-view shows a view-change for another view"));
        }
        let bytes = view_change.statement(env.cluster.id);
        if !signers.insert(replica) || !env.check(Signer::Node(replica), &bytes, &signed.tag) {
            return Err(Rejected("a new-view shows a view-change that is not its sender's"));
        }
        check_view_change(view_change, env)?;
    }
    if signers.len() < new_view_needed(env.cluster.size) {
        return Err(Rejected("a new-view shows too few view-changes"));
    }
    let (base, digests) = carried_digests(env.cluster.id, &new_view.view_changes)
        .ok_or(Rejected("a new-view that carries too much"))?;
    let same = base == new_view.base
        && digests.iter().eq(new_view.carried.iter().map(|carried| &carried.digest));
    if !same && !planted("B07") {
        return Err(Rejected("a new-view that does not follow from its view-changes"));
    }
    check_carried(new_view, primary, env)
}

fn check_carried(new_view: &NewView, primary: NodeId, env: &Env<'_>) -> Checked {
    let numbers = new_view.base.0 + 1..;
    for (Carried { digest, tag }, sequence) in new_view.carried.iter().zip(numbers) {
        let vote = Vote { view: new_view.view, sequence: LogIndex(sequence), digest: *digest };
        let bytes = vote.statement(VotePhase::PrePrepare, env.cluster.id, primary);
        if !env.check(Signer::Node(primary), &bytes, tag) {
            return Err(Rejected("a carried pre-prepare is not signed"));
        }
    }
    Ok(())
}

fn check_decided(decided: &[Decided], env: &Env<'_>) -> Checked {
    for Decided { certificate, batch } in decided {
        check_number(certificate.vote.sequence)?;
        if Digest::of(env.cluster.id, batch) != certificate.vote.digest {
            return Err(Rejected("what was fetched is not what was decided"));
        }
        if !planted("B44") {
            certificate.check(env)?;
        }
    }
    Ok(())
}
