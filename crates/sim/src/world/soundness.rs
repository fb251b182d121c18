//! O20 after a step. Invariants are looked at now and then only, as they go over all of a state.

use super::World;
use crate::oracle::soundness::{of_beliefs, of_state, of_step};
use consensus_core::{Audit, NodeId, Role, StateMachine};

/// One step in so many is looked at closely, whatever becomes of it.
const SELDOM: u64 = 16;

/// Is this one of them? The events before are counted; their number is stirred, as the steps of a
/// protocol follow each other in a beat.
pub(super) fn looks_closely(events: u64) -> bool {
    (events.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32).is_multiple_of(SELDOM)
}

impl<P: Audit, S: StateMachine> World<P, S> {
    /// After a step of a replica that had this role before; `before` is what it was, if the step is
    /// looked at closely. What it believes of disks must be true at any time.
    pub(super) fn look_inside(&mut self, id: NodeId, role: Role, before: Option<P>) {
        if self.violation.is_some() || !self.is_correct(id) {
            return;
        }
        let Some(replica) = &self.nodes[id.index()].replica else { return };
        let verdict = match before {
            Some(before) => of_step(&before, replica),
            None if replica.status().role != role => of_state(replica),
            None => Ok(()),
        };
        let verdict = verdict.and_then(|()| of_beliefs(replica, &self.disks));
        self.judge(id, verdict);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A protocol whose steps come in a beat must not have the same step of it looked at for ever.
    #[test]
    fn every_beat_is_looked_at_alike() {
        for beat in [2, 3, 4, 8, 16, 32] {
            let looked = (0..16_000).filter(|nth| looks_closely(nth * beat)).count();
            assert!((800..1_200).contains(&looked), "every {beat}th: {looked} of 16,000");
        }
    }
}
