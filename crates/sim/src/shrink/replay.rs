//! Plays steps on a stage as far as they can be.

use crate::check::panic_text;
use crate::report::Violation;
use crate::scenario::Step;
use crate::stage::{Carried, Scene, Stage};
use consensus_core::Audit;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What came of some steps.
pub(crate) struct Played {
    /// The first rule that was broken.
    pub(crate) violation: Option<Violation>,
    /// The places of those steps that could be, and what they carried.
    pub(crate) done: Vec<(usize, Option<Carried>)>,
}

/// Plays these steps, leaves out those that cannot be, and stops at a violation.
pub(crate) fn play<'a, P: Audit>(
    scene: &Scene<P>,
    steps: impl Iterator<Item = &'a Step>,
) -> (Played, Stage<P>) {
    let mut stage = Stage::new(scene.clone());
    stage.loose = true;
    let mut done = Vec::new();
    // The stage survives a panic of the protocol: it says what happened before.
    let ended = catch_unwind(AssertUnwindSafe(|| {
        for (place, step) in steps.enumerate() {
            if stage.violation().is_some() {
                break;
            }
            done.push((place, None)); // Even if it panics.
            match stage.carry(step) {
                Ok(carried) => done.last_mut().expect("just pushed").1 = carried,
                Err(_) => drop(done.pop()),
            }
        }
    }));
    if let Err(panic) = ended {
        stage.panicked(panic_text(panic.as_ref()));
    }
    (Played { violation: stage.violation().cloned(), done }, stage)
}
