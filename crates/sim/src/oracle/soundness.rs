//! O20: what holds of one replica by itself, and what it takes the disks of others for. Its own
//! invariants go over all of its state: they are looked at in its first steps, when its role has
//! changed, and now and then. And O13 for it alone: that it waits for nothing without a timer.

use super::Verdict;
use super::disks::Disks;
use crate::report::Finding;
use consensus_core::{Audit, LogIndex, Role};

/// So many steps of a node are all looked at closely.
const FIRST: u64 = 64;

/// Later one in so many is.
const SELDOM: u64 = 16;

/// Is this step of a node, by its number, looked at closely, whatever becomes of it? The number is
/// stirred, as the steps of a protocol follow each other in a beat. A world and a stage on which
/// its run is played again look at the same steps.
pub(crate) fn looks_closely(step: u64) -> bool {
    let stirred = step.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
    step < FIRST || stirred.is_multiple_of(SELDOM)
}

/// The replica had this role before the step, and was `before`, if the step is looked at closely.
pub(crate) fn of_step<P: Audit>(role: Role, before: Option<&P>, replica: &P) -> Verdict {
    if before.is_some() || replica.status().role != role {
        replica.check().map_err(|why| Finding::new("O20", "a sound replica", why))?;
    }
    let Some(before) = before else { return Ok(()) };
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

/// What is seen of timers bears this name: a stage sees it, too.
pub(crate) const WAITS: &str = "nobody waits for ever";

/// What a driver was told of members bears this one: a stage does not look at that.
pub(crate) const TOLD_MEMBERS: &str = "a driver knows the members";

/// O13 for one replica: every timer that it relies on is set.
pub(crate) fn of_timers<P: Audit>(replica: &P, is_set: impl Fn(P::Timer) -> bool) -> Verdict {
    let mut missing = None;
    replica.relies_on(&mut |timer| {
        if missing.is_none() && !is_set(timer) {
            missing = Some(timer);
        }
    });
    missing.map_or(Ok(()), |timer| {
        let detail = format!("waits for what may never come, without the timer {timer:?}");
        Err(Finding::new("O13", WAITS, detail))
    })
}

/// O19: the driver knows the members that the replica goes by, and whether they are final; it keeps
/// links to them, and tells operators whom they may switch off.
pub(crate) fn of_members<P: Audit>(replica: &P, told: Option<(LogIndex, bool)>) -> Verdict {
    match replica.goes_by() {
        known @ Some(_) if known != told => {
            let detail = format!("goes by {known:?} (version, final); the driver knows {told:?}");
            Err(Finding::new("O19", TOLD_MEMBERS, detail))
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A protocol whose steps come in a beat must not have the same step of it looked at for ever.
    #[test]
    fn every_beat_is_looked_at_alike() {
        for beat in [2, 3, 4, 8, 16, 32] {
            let looked = (FIRST..16_000 + FIRST).filter(|nth| looks_closely(nth * beat)).count();
            assert!((800..1_200).contains(&looked), "every {beat}th: {looked} of 16,000");
        }
        assert!((0..FIRST).all(looks_closely));
    }
}
