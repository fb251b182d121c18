//! Every oracle sees the mistake that it is there for, in whole runs, and none cries over a
//! correct protocol.

use crate::toy::{Config, Mistake, Toy};
use consensus_core::{NodeId, NodeSet, ProtocolConfig};
use std::collections::{BTreeMap, BTreeSet};
use synod_sim::{Options, Report, check, check_with};

fn options(seed: u64) -> Options {
    let mut options = Options::for_seed::<Toy>(seed);
    options.core_includes = NodeSet::only(NodeId(0));
    options
}

fn run(seed: u64, mistake: Mistake) -> Report {
    check_with::<Toy>(seed, &options(seed), |cluster| {
        Ok(Config { mistake, ..Config::for_cluster(cluster)? })
    })
}

#[test]
fn a_correct_protocol_raises_no_alarm_and_runs_are_not_idle() {
    let (mut operations, mut faults, mut marks) = (0, BTreeMap::new(), BTreeSet::new());
    for seed in 0..150 {
        let report = run(seed, Mistake::None);
        assert_eq!(report.violation, None, "seed {seed}");
        operations += report.operations;
        for (fault, count) in report.faults {
            *faults.entry(fault).or_insert(0) += count;
        }
        marks.extend(report.marks.into_keys());
    }
    assert!(operations > 3_000, "{operations} operations");
    assert!(faults.len() >= 17, "only these kinds of faults: {faults:?}");
    assert!(faults.values().sum::<u64>() > 10_000, "{faults:?}");
    for mark in [
        "unsynced write lost",
        "held promise lost in a crash",
        "crash between two effects of a step",
        "retry answered from the session table",
        "first commit by a restarted replica",
        "log replayed after a restart",
        "partition healed",
        "all nodes crashed at once",
        "crash before a sync",
    ] {
        assert!(marks.contains(mark), "no run came to: {mark}; seen: {marks:?}");
    }
}

/// Does this oracle report this mistake, before any other does, in one of a few seeds?
fn is_found_by(mistake: Mistake, oracle: &str) -> bool {
    let reported = |seed| run(seed, mistake).violation.map(|violation| violation.oracle);
    (0..60).any(|seed| reported(seed) == Some(oracle))
}

#[test]
fn every_mistake_is_found_by_its_oracle() {
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
        assert!(is_found_by(mistake, oracle), "{mistake:?} was not found by {oracle}");
    }
}

fn with_liars(seed: u64) -> Options {
    let mut options = Options::for_seed::<Toy<true>>(seed);
    options.core_includes = NodeSet::only(NodeId(0));
    options.traitors = 0;
    options
}

/// Negative control: an algorithm that believes its leader is broken by one that equivocates. If
/// it were not, the traitors would be too weak to prove anything.
#[test]
fn a_lying_leader_breaks_an_algorithm_that_believes_it() {
    let broken = (0..20).filter(|seed| {
        let options = Options { equivocator: Some(NodeId(0)), traitors: 1, ..with_liars(*seed) };
        let violation = check::<Toy<true>>(*seed, &options).violation;
        violation.is_some_and(|violation| ["O1", "O6"].contains(&violation.oracle))
    });
    let broken = broken.count();
    assert!(broken >= 15, "only {broken} of 20 runs were broken by a lying leader");
}

/// Castro & Liskov, OSDI '99, §3: f liars among 3f + 1 do not matter, whom nobody has to believe.
/// A client is told the truth by f + 1 replicas, whatever f others say (§4.1).
#[test]
fn lying_followers_break_nothing() {
    let mut lies = BTreeSet::new();
    for seed in 0..60 {
        let options = Options { equivocator: Some(NodeId(1)), traitors: 1, ..with_liars(seed) };
        let report = check::<Toy<true>>(seed, &options);
        assert_eq!(report.violation, None, "seed {seed}");
        lies.extend(report.faults.into_keys().filter(|name| name.starts_with("traitor")));
    }
    assert!(lies.contains("traitor equivocates"), "{lies:?}");
}
