//! What must hold in one state of a replica, and between a state and a later one of the same life.
//! Whole-state checks, for tests; the simulator's oracles look at what replicas do to each other.

use crate::message::Proposal;
use crate::replica::Paxos;
use consensus_core::{Audit, ConsensusProtocol, LogIndex};

impl Paxos {
    /// Checks this state.
    ///
    /// # Errors
    /// With the rule that is broken.
    pub fn check(&self) -> Result<(), String> {
        for (slot, instance) in self.acceptor.instances() {
            let accepted = instance.accepted.as_ref().map(|proposal| proposal.ballot);
            ensure(accepted <= Some(instance.promised), || {
                format!("slot {slot}: accepted {accepted:?} above the promise")
            })?;
            ensure(instance.promised <= self.proposer.seen(), || {
                format!("slot {slot}: the proposer here never saw {:?}", instance.promised)
            })?;
        }
        let committed = self.learner.committed();
        for slot in (1..=committed.0).map(LogIndex) {
            ensure(self.learner.chosen(slot).is_some(), || {
                format!("slot {slot}: given out unknown")
            })?;
        }
        ensure(self.proposer.bytes_are_right(), || "pending bytes are miscounted".into())?;
        ensure(self.status().committed <= self.status().last, || "committed beyond the log".into())
    }

    /// Checks the way from an earlier state of this life to this one.
    ///
    /// # Errors
    /// With the rule that is broken.
    pub fn check_since(&self, earlier: &Self) -> Result<(), String> {
        for (slot, before) in earlier.acceptor.instances() {
            let Some(now) = self.acceptor.instance(slot) else {
                return Err(format!("slot {slot}: the acceptor forgot it"));
            };
            ensure(now.promised >= before.promised, || format!("slot {slot}: the promise fell"))?;
            let accepted = |at: &Option<Proposal>| at.as_ref().map(|proposal| proposal.ballot);
            ensure(accepted(&now.accepted) >= accepted(&before.accepted), || {
                format!("slot {slot}: the accepted ballot fell")
            })?;
        }
        for slot in (1..=earlier.learner.committed().0).map(LogIndex) {
            ensure(self.entry(slot) == earlier.entry(slot), || {
                format!("slot {slot}: a chosen value changed")
            })?;
        }
        ensure(self.learner.committed() >= earlier.learner.committed(), || {
            "the committed prefix shrank".into()
        })?;
        ensure(self.proposer.seen() >= earlier.proposer.seen(), || "the ballot seen fell".into())
    }
}

fn ensure(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}
