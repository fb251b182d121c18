//! The connectivity suite: links that are cut for ever.
//!
//! Real networks break in ways that are no partition into two sides: a switch forwards in one
//! direction only, two sites lose each other and both still see the third (the outage at Cloudflare
//! in 2020 was of that kind). So here a cluster with a leader at a chosen place gets a [`Graph`] of
//! links, and nothing else goes wrong. Fresh clients reach every node. Then:
//!
//! * If the graph leaves somebody enough, commands must go on, soon and for ever (O13): a *hub*,
//!   which reaches a quorum both ways, where replicas may crash; where they may lie, a *clique* of
//!   quorum size, since there everybody counts what everybody says. See [`Case::must_live`].
//! * Otherwise nothing new may be committed, where replicas may crash, as no quorum can have agreed
//!   (O6). What lies beyond the links makes no difference: all oracles look on.
//! * Once a leader works, those who do not hear it depose nobody: no other leads, and no epoch
//!   begins (O14); and neither when the links come back (Howard and Abraham, "Raft does not
//!   Guarantee Liveness in the face of Network Faults", 2020).
//! * When all links are mended, commands go on, and all replicas catch up (O13).
//!
//! [`Graph::directed`] lists all graphs up to renaming, [`named`] those with a history,
//! [`selection`] a part for every day, and [`hunt`] looks for planted bugs with it.

mod case;
mod graph;
mod run;

pub use case::{Case, NAMED, Named, Way, all, named, sample, selection};
pub use graph::Graph;
pub use run::{LIMIT, Verdict, run, trace};

use crate::report::Violation;
use consensus_core::Audit;

/// Runs the selection, round after round with other seeds, until something is found or so many
/// cases were run. For planted bugs: the correct algorithms pass all of it.
pub fn hunt<P: Audit>(budget: u64) -> Option<(Case, u64, Violation)> {
    let cases: Vec<Case> = selection().into_iter().filter(Case::is_possible::<P>).collect();
    let runs = (0..budget).map(|nth| (cases[nth as usize % cases.len()], nth));
    runs.into_iter().find_map(|(case, seed)| {
        run::<P>(&case, seed).violation.map(|violation| (case, seed, violation))
    })
}
