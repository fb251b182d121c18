//! The hunt: seeds one after the other until an oracle cries out.

use crate::check::check;
use crate::options::Options;
use crate::report::Violation;
use consensus_core::Audit;
use std::ops::Range;

/// Runs these seeds in their order, each as `draw` says, and stops at the first violation: the
/// seed, and what was found. In the thread that calls, as a planted bug is switched on in one
/// thread only.
pub fn first_violation<P: Audit>(
    seeds: Range<u64>,
    draw: impl Fn(u64) -> Options,
) -> Option<(u64, Violation)> {
    seeds.into_iter().find_map(|seed| {
        let report = check::<P>(seed, &draw(seed));
        report.violation.map(|violation| (seed, violation))
    })
}
