//! O20: what holds of one replica by itself, and what it takes the disks of others for.

use super::Verdict;
use super::disks::Disks;
use crate::report::Finding;
use consensus_core::Audit;

/// The replica's own invariants, all of them: they go over all of its state.
pub(crate) fn of_state<P: Audit>(replica: &P) -> Verdict {
    replica.check().map_err(|why| Finding::new("O20", "a sound replica", why))
}

/// Those, and the ones of a step from what it was before.
pub(crate) fn of_step<P: Audit>(before: &P, replica: &P) -> Verdict {
    of_state(replica)?;
    replica.check_since(before).map_err(|why| Finding::new("O20", "a sound step", why))
}

/// What it believes of disks, its own among them, is or was true.
pub(crate) fn of_beliefs<P: Audit>(replica: &P, disks: &Disks<P>) -> Verdict {
    let mut verdict = Ok(());
    replica.counts_on(&mut |node, index, epoch| {
        if verdict.is_ok() {
            verdict = disks.held_once(node, index, epoch);
        }
    });
    verdict
}
