//! Reach marks: the rare things of each algorithm happen in simulation, each kind of fault strikes,
//! and so does what is rare in the world itself. A rule that no run ever needs is a rule that no
//! run defends. (That an algorithm tells of no mark outside its list is asserted in the simulator.)

use consensus_core::Audit;
use std::collections::BTreeSet;
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::{Options, check, expected};

/// Seeds within which every mark must be reached.
const BUDGET: u64 = 2_000;

/// The marks that are not reached within the budget.
struct Missing;

impl Visitor for Missing {
    type Output = BTreeSet<&'static str>;

    fn visit<P: Audit>(self) -> Self::Output {
        let mut missing: BTreeSet<_> = P::MARKS.iter().copied().collect();
        assert_eq!(missing.len(), P::MARKS.len(), "a mark is listed twice");
        assert!(missing.len() >= 15, "too few marks to prove anything");
        missing.extend(expected::<P>());
        for seed in 0..BUDGET {
            if missing.is_empty() {
                break;
            }
            let report = check::<P>(seed, &Options::for_seed::<P>(seed));
            let seen = |it: &str| report.marks.contains_key(it) || report.faults.contains_key(it);
            missing.retain(|it| !seen(it));
        }
        missing
    }
}

fn every_mark_is_reached(algorithm: Algorithm) {
    let missing = algorithm.dispatch(Missing);
    assert!(missing.is_empty(), "{algorithm}, in {BUDGET} seeds: {missing:?}");
}

#[test]
fn every_mark_of_paxos_is_reached() {
    every_mark_is_reached(Algorithm::Paxos);
}

#[test]
fn every_mark_of_multipaxos_is_reached() {
    every_mark_is_reached(Algorithm::MultiPaxos);
}

#[test]
fn every_mark_of_raft_is_reached() {
    every_mark_is_reached(Algorithm::Raft);
}

#[test]
fn every_mark_of_pbft_is_reached() {
    every_mark_is_reached(Algorithm::Pbft);
}
