//! Runs without a clock: a seed is a run here too, the oracles see every mistake, and none cries
//! over a correct protocol.

use crate::toy::{Config, Mistake, Toy};
use consensus_core::{NodeId, NodeSet, ProtocolConfig};
use std::collections::{BTreeMap, BTreeSet};
use synod_sim::{Options, Report, check, check_with, first_violation, trace};

fn options(seed: u64) -> Options {
    Options { core_includes: NodeSet::only(NodeId(0)), ..Options::for_shuffle::<Toy>(seed) }
}

fn run(seed: u64, mistake: Mistake) -> Report {
    check_with::<Toy>(seed, &options(seed), |cluster| {
        Ok(Config { mistake, ..Config::for_cluster(cluster)? })
    })
}

#[test]
fn two_runs_of_a_seed_are_equal_and_watching_changes_nothing() {
    let mut hashes = BTreeSet::new();
    for seed in 0..20 {
        let report = check::<Toy>(seed, &options(seed));
        assert_eq!(report, check::<Toy>(seed, &options(seed)), "seed {seed}");
        let mut lines = 0_u64;
        assert_eq!(report, trace::<Toy>(seed, &options(seed), &mut |_| lines += 1), "seed {seed}");
        assert!(lines > 50, "a trace tells what happened");
        hashes.insert(report.hash);
    }
    assert_eq!(hashes.len(), 20, "another seed is another run");
}

/// The contract of `Drained`: it comes when the driver has no more input at hand, so others may
/// come before it. In some seeds they do, with a clock and without; what is decided is as right.
#[test]
fn nodes_take_in_several_inputs_in_some_seeds() {
    for draw in [Options::for_seed::<Toy>, Options::for_shuffle::<Toy>] {
        let (mut several, mut drawn) = (0, 0);
        for seed in 0..60 {
            let options = Options { core_includes: NodeSet::only(NodeId(0)), ..draw(seed) };
            let report = check::<Toy>(seed, &options);
            assert_eq!(report.violation, None, "seed {seed}");
            drawn += u32::from(options.turns.is_some());
            several += u32::from(report.marks.contains_key("several inputs in a turn"));
            assert!(
                options.turns.is_some() || !report.marks.contains_key("several inputs in a turn")
            );
        }
        assert!(drawn > 10 && drawn < 35 && several > drawn / 2, "{several} of {drawn}");
    }
}

/// Every size of cluster, even ones too, and runs that are not idle.
#[test]
fn a_correct_protocol_raises_no_alarm_in_clusters_of_every_size() {
    let (mut sizes, mut operations, mut faults) = (BTreeSet::new(), 0, BTreeMap::new());
    let mut marks = BTreeSet::new();
    for seed in 0..400 {
        let report = run(seed, Mistake::None);
        assert_eq!(report.violation, None, "seed {seed}");
        sizes.insert(options(seed).nodes);
        operations += report.operations;
        marks.extend(report.marks.into_keys());
        for (fault, count) in report.faults {
            *faults.entry(fault).or_insert(0) += count;
        }
    }
    assert_eq!(sizes, BTreeSet::from([2, 3, 4, 5, 6]));
    assert!(operations > 1_000, "{operations} operations");
    for fault in ["crash", "restart", "message lost", "message duplicated", "node isolated"] {
        assert!(faults.get(fault).is_some_and(|count| *count > 50), "{fault}: {faults:?}");
    }
    assert!(marks.contains("held promise lost in a crash"), "{marks:?}");
    let sizes: BTreeSet<_> =
        (0..100).map(|seed| Options::for_shuffle::<Toy<true>>(seed).nodes).collect();
    assert_eq!(sizes, BTreeSet::from([4, 5, 6, 7]));
}

#[test]
fn every_mistake_is_found() {
    for (mistake, oracle) in [
        (Mistake::AnotherBatch, "O1"),
        (Mistake::MadeUp, "O2"),
        (Mistake::SecondLeader, "O3"),
        (Mistake::Gap, "O4"),
        (Mistake::WrongEntry, "O4"),
        (Mistake::Forgetful, "O5"),
        (Mistake::NoSync, "O6"),
        (Mistake::TakesBack, "O7"),
        (Mistake::EpochFalls, "O8"),
        (Mistake::RefusesAndTakes, "O11"),
        (Mistake::Stuck, "O13"),
        (Mistake::CountsAll, "O16"),
        (Mistake::Halts, "O18"),
        (Mistake::Panics, "O18"),
        (Mistake::CannotRecover, "O18"),
    ] {
        let reported = |seed| run(seed, mistake).violation.map(|violation| violation.oracle);
        let found = (0..300).any(|seed| reported(seed) == Some(oracle));
        assert!(found, "{mistake:?} was not found by {oracle}");
    }
}

#[test]
fn the_hunt_stops_at_the_first_seed_that_fails() {
    let progress = |seed| options(seed).shuffle.is_some_and(|shuffle| shuffle.progress);
    // No time at all is too little for any run that has to show progress.
    let never = |seed| Options { patience: 0, ..options(seed) };
    let first = (0..100).find(|seed| progress(*seed)).expect("some runs demand progress");
    let (seed, violation) = first_violation::<Toy>(0..100, never).expect("one fails");
    assert_eq!((seed, violation.oracle), (first, "O13"));
    assert_eq!(first_violation::<Toy>(0..first, never), None);
}
