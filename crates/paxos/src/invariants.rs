//! What must hold in one state of a replica, and between a state and a later one of the same life.
//! Whole-state checks, for the rigs, whose oracles look at what replicas do to each other.

use crate::message::Proposal;
use crate::replica::Paxos;
use consensus_core::{Audit, ConsensusProtocol, LogIndex};

/// Checks a state.
pub(crate) fn check(replica: &Paxos) -> Result<(), String> {
    for (slot, instance) in replica.acceptor.instances() {
        let accepted = instance.accepted.as_ref().map(|proposal| proposal.ballot);
        ensure(accepted <= Some(instance.promised), || {
            format!("slot {slot}: accepted {accepted:?} above the promise")
        })?;
        ensure(instance.promised <= replica.proposer.seen(), || {
            format!("slot {slot}: the proposer here never saw {:?}", instance.promised)
        })?;
    }
    let committed = replica.learner.committed();
    for slot in (1..=committed.0).map(LogIndex) {
        ensure(replica.learner.chosen(slot).is_some(), || {
            format!("slot {slot}: given out unknown")
        })?;
    }
    ensure(replica.proposer.bytes_are_right(), || "pending bytes are miscounted".into())?;
    ensure(replica.status().committed <= replica.status().last, || {
        "committed beyond the log".into()
    })
}

/// What is left over where nothing waits any more.
pub(crate) fn leftover(replica: &Paxos) -> Option<&'static str> {
    replica.proposer.leftover().or_else(|| replica.learner.leftover())
}

/// Checks the way from a state to a later one of the same life.
pub(crate) fn check_step(earlier: &Paxos, replica: &Paxos) -> Result<(), String> {
    for (slot, before) in earlier.acceptor.instances() {
        let Some(now) = replica.acceptor.instance(slot) else {
            return Err(format!("slot {slot}: the acceptor forgot it"));
        };
        ensure(now.promised >= before.promised, || format!("slot {slot}: the promise fell"))?;
        let accepted = |at: &Option<Proposal>| at.as_ref().map(|proposal| proposal.ballot);
        ensure(accepted(&now.accepted) >= accepted(&before.accepted), || {
            format!("slot {slot}: the accepted ballot fell")
        })?;
    }
    for slot in (1..=earlier.learner.committed().0).map(LogIndex) {
        ensure(replica.entry(slot) == earlier.entry(slot), || {
            format!("slot {slot}: a chosen value changed")
        })?;
    }
    ensure(replica.learner.committed() >= earlier.learner.committed(), || {
        "the committed prefix shrank".into()
    })?;
    ensure(replica.proposer.seen() >= earlier.proposer.seen(), || "the ballot seen fell".into())
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}
