//! What must hold of one replica, and between two moments of it.

use crate::replica::{Pbft, Phase};
use consensus_core::LogIndex;

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

/// Everything that must hold of one state, and takes longer to check.
pub(crate) fn check_books(replica: &Pbft) -> Result<(), String> {
    check(replica)?;
    replica.requests.check()?;
    match replica.checkpoints.first_key_value() {
        Some((first, _)) if *first <= replica.low_mark() => {
            Err(format!("votes for checkpoint {first}, which is not above the stable one"))
        }
        _ => Ok(()),
    }
}

/// What is left over where nothing waits any more. Who asks for another view by itself keeps what
/// only it has heard of, until others ask, too (§4.4).
pub(crate) fn leftover(replica: &Pbft) -> Option<&'static str> {
    replica.requests.leftover().filter(|_| replica.phase == Phase::Normal)
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

/// Checks what a replica remembers that was recovered from everything that this one wrote: where
/// it stands, what it voted for, what prepared, and what it executed. The paper's replicas do not
/// forget (§2), and a word that contradicts an earlier one is a liar's.
pub fn check_recovered(live: &Pbft, recovered: &Pbft) -> Result<(), &'static str> {
    if (live.view, live.phase) != (recovered.view, recovered.phase) {
        return Err("a restart is where the replica was (§4.4)");
    }
    if live.stable != recovered.stable {
        return Err("a restart knows its stable checkpoint (§4.3)");
    }
    for (sequence, slot) in live.slots.range(live.low_mark().next()..) {
        let kept = recovered.slots.get(sequence);
        if slot.voted != kept.and_then(|kept| kept.voted) {
            return Err("a restart knows the last vote on each number (§4.2)");
        }
        if slot.prepared.as_ref() != kept.and_then(|kept| kept.prepared.as_ref()) {
            return Err("a restart knows what prepared (§4.4)");
        }
    }
    let executed = (1..).map(LogIndex).map_while(|sequence| recovered.recovered.get(&sequence));
    let executed = executed.take(live.decided.len());
    if !executed.eq(live.decided.iter().map(AsRef::as_ref)) {
        return Err("a restart knows what was executed");
    }
    Ok(())
}
