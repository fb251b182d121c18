//! What must hold of one replica, and between two moments of it.

use crate::replica::{Pbft, Phase};

/// Checks one state. Cheap: done after every step; a replica that fails it halts.
pub(crate) fn check(replica: &Pbft) -> Result<(), &'static str> {
    if replica.next <= replica.low_mark() {
        return Err("numbers are given above the stable checkpoint");
    }
    if replica.may_order() && replica.next > replica.high_mark().next() {
        return Err("numbers are given up to the high water mark");
    }
    Ok(())
}

/// Checks a step between two states of one life of a replica.
pub fn check_step(before: &Pbft, after: &Pbft) -> Result<(), &'static str> {
    if after.view < before.view {
        return Err("views only rise (§4.4)");
    }
    if after.view == before.view && before.phase == Phase::Normal && after.phase == Phase::Changing
    {
        return Err("a view that works is not asked for again");
    }
    if after.decided.len() < before.decided.len() {
        return Err("what was executed stays executed");
    }
    if after.low_mark() < before.low_mark() {
        return Err("the water marks only rise (§4.3)");
    }
    Ok(())
}
