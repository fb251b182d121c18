//! The rules that take more than one node to judge. They are those of the simulator, over the same
//! [`Audit`]; but what they remember is part of the state, so that a verdict is a function of the
//! state and of the action, and holds for every way that leads there.

use crate::context::Context;
use crate::node::{Commit, Node, Outcome};
use crate::state::{Decided, State};
use crate::violation::Violation;
use consensus_core::{Audit, FaultModel, Ledger, LogIndex, NodeId, NodeSet};
use std::sync::Arc;

/// Judges what a node did, and notes what later verdicts need. `next` holds the node as it is now.
pub(crate) fn judge<P: Audit>(
    context: &Context<P>,
    next: &mut State<P>,
    id: NodeId,
    outcome: &Outcome<P>,
) -> Result<(), Violation> {
    if let Some(epoch) = outcome.office {
        took_office(context, next, id, epoch)?;
    }
    if !context.is_correct(id) {
        return Ok(());
    }
    if outcome.wrote && context.bounds.traitors.is_empty() {
        logs_match(next, id)?;
    }
    outcome.commits.iter().try_for_each(|commit| decided(context, next, id, commit))
}

/// O3 and O5: a node became an active leader.
fn took_office<P: Audit>(
    context: &Context<P>,
    next: &mut State<P>,
    id: NodeId,
    epoch: u64,
) -> Result<(), Violation> {
    match next.history.leaders.binary_search_by_key(&epoch, |(led, _)| *led) {
        Ok(place) => {
            let (_, first) = next.history.leaders[place];
            if first != id && context.is_correct(id) {
                let detail = format!("{id} leads in epoch {epoch}, in which {first} led");
                return Err(Violation::new("O3", "one leader an epoch", Some(id), detail));
            }
        }
        Err(place) => Arc::make_mut(&mut next.history).leaders.insert(place, (epoch, id)),
    }
    if context.is_correct(id) { is_complete(next, id, epoch) } else { Ok(()) }
}

/// O5 (Raft §5.4, Leader Completeness): it holds what was decided while only lower epochs had
/// leaders.
fn is_complete<P: Audit>(next: &State<P>, id: NodeId, epoch: u64) -> Result<(), Violation> {
    let replica = &next.nodes[id.index()].local.replica;
    for (entry, index) in next.history.decided.iter().zip((1..).map(LogIndex)) {
        if entry.led.is_some_and(|led| led >= epoch) {
            break; // Epochs only grow, so all later entries are out of scope, too.
        }
        let held = replica.entry(index);
        if held != Some(&entry.batch) {
            let batch = &entry.batch;
            let detail =
                format!("leads in epoch {epoch}; index {index} is {batch:?}, it holds {held:?}");
            return Err(Violation::new("O5", "leader completeness", Some(id), detail));
        }
    }
    Ok(())
}

/// O4 (Raft §5.3, Log Matching): on any two disks an entry of one index and epoch is one entry,
/// and where logs match, everything before it is equal, too.
fn logs_match<P: Audit>(next: &State<P>, id: NodeId) -> Result<(), Violation> {
    let own = &next.nodes[id.index()].written;
    for (other, node) in next.nodes.iter().enumerate().filter(|(place, _)| *place != id.index()) {
        let mut differ = None;
        for (index, held) in own.iter() {
            let Some(theirs) = node.written.get(index) else { continue };
            let same = held.epoch == theirs.epoch;
            if same && held.batch != theirs.batch {
                differ = Some(index);
            }
            if same && let Some(at) = differ {
                let detail = format!(
                    "index {index} has epoch {} here and on n{other}, index {at} differs",
                    held.epoch
                );
                return Err(Violation::new("O4", "log matching", Some(id), detail));
            }
            if !same && P::LOG_MATCHING {
                differ = Some(index);
            }
        }
    }
    Ok(())
}

/// O1, O2, O6, O16: a correct node gave out a batch as decided.
fn decided<P: Audit>(
    context: &Context<P>,
    next: &mut State<P>,
    id: NodeId,
    commit: &Commit,
) -> Result<(), Violation> {
    let Commit { index, batch, .. } = commit;
    let broken = |oracle, name, detail| Err(Violation::new(oracle, name, Some(id), detail));
    let place = index.0 as usize - 1;
    match next.history.decided.get(place) {
        Some(first) if first.batch == *batch => {}
        Some(first) => {
            let detail = format!("index {index} was {:?} and is now {batch:?}", first.batch);
            return broken("O1", "agreement", detail);
        }
        None => {
            // Nobody skips an index, so the first to commit this one is right behind the history.
            assert_eq!(place, next.history.decided.len(), "the history has no gap");
            let asked = &context.commands[..usize::from(next.spent.commands)];
            let known = |one| asked.iter().any(|batch| batch.commands().any(|asked| asked == one));
            if !batch.commands().all(known) {
                let detail = format!("index {index} holds {batch:?}, which no client sent");
                return broken("O2", "integrity", detail);
            }
            is_durable(context, next, id, commit)?;
            let led = next.history.leaders.last().map(|(epoch, _)| *epoch);
            let entry = Decided { batch: batch.clone(), led };
            Arc::make_mut(&mut next.history).decided.push(entry);
        }
    }
    is_certified(context, next, id, commit)
}

/// O6: when the first node commits, the synced disks of a quorum hold the batch.
fn is_durable<P: Audit>(
    context: &Context<P>,
    next: &State<P>,
    id: NodeId,
    commit: &Commit,
) -> Result<(), Violation> {
    let Commit { index, batch, on_own_disk, .. } = commit;
    let print = batch.fingerprint();
    let on_disk = |disk: &Ledger| disk.get(*index).is_some_and(|held| held.batch == print);
    let holds = |node: &NodeId| {
        if *node == id { *on_own_disk } else { on_disk(&next.nodes[node.index()].synced) }
    };
    let on: NodeSet = context.correct().iter().filter(holds).collect();
    let quorum = P::INFO.quorum(context.bounds.nodes);
    let needed = quorum.saturating_sub(context.bounds.traitors.len());
    if on.len() >= needed {
        return Ok(());
    }
    let detail = format!(
        "index {index} is committed as {batch:?}; synced on {on:?}, needed on {needed} disks"
    );
    Err(Violation::new("O6", "durable quorum", Some(id), detail))
}

/// O16: a vote that was counted has enough distinct signers, who really said so.
fn is_certified<P: Audit>(
    context: &Context<P>,
    next: &State<P>,
    id: NodeId,
    commit: &Commit,
) -> Result<(), Violation> {
    let Some(certificate) = &commit.certificate else { return Ok(()) };
    let signers = certificate.signers;
    let broken = |detail: String| {
        let detail = format!("index {}: {detail}", commit.index);
        Err(Violation::new("O16", "certificate", Some(id), detail))
    };
    if !signers.minus(context.cluster.nodes()).is_empty() {
        return broken(format!("{signers:?} are not all of the cluster"));
    }
    if !is_quorum(signers.len(), context.bounds.nodes, P::INFO.faults) {
        return broken(format!("{signers:?} are no quorum"));
    }
    for signer in signers.and(context.correct()).iter() {
        let node: &Node<P> = &next.nodes[signer.index()];
        let said = node.local.claims.said(certificate.topic);
        // Its own vote goes to its disk and to nobody.
        let honest = said == Some(certificate.value) || (signer == id && commit.on_own_disk);
        if !honest {
            let (topic, value) = (certificate.topic, certificate.value);
            return broken(format!(
                "{signer} is counted for {value:#x} on {topic:?}, but said {said:x?}"
            ));
        }
    }
    Ok(())
}

/// Do two sets of this size share a node, or more than f nodes where f may lie?
fn is_quorum(size: usize, nodes: usize, faults: FaultModel) -> bool {
    let liars = match faults {
        FaultModel::Crash => 0,
        FaultModel::Byzantine => (nodes - 1) / 3,
    };
    2 * size > nodes + liars
}
