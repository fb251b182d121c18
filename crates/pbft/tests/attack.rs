//! The traitors of the simulator, tried themselves: are they strong enough to prove anything?

use consensus_core::{Cluster, ClusterId, ConsensusProtocol, NodeId, NodeSet, Patience};
use core::time::Duration;
use std::collections::BTreeSet;
use synod_pbft::Pbft;
use synod_sim::{Operation, Options, Registers, Setup, Treason, World, check};

/// Options of a seed with so many traitors beyond what PBFT survives.
fn with_traitors(seed: u64, beyond: usize) -> Options {
    let options = Options::for_seed::<Pbft>(seed);
    let traitors = Pbft::INFO.max_faults(options.nodes) + beyond;
    let primary = (beyond > 0).then_some(NodeId(0));
    Options { traitors, too_many_traitors: beyond > 0, equivocator: primary, ..options }
}

/// §3: f + 1 liars among 3f + 1 are too many. If they broke nothing, it would mean nothing that f
/// break nothing.
#[test]
fn one_traitor_too_many_breaks_safety_in_many_runs() {
    let broken = (0..24).filter(|seed| {
        let violation = check::<Pbft>(*seed, &with_traitors(*seed, 1)).violation;
        violation.is_some_and(|it| ["O1", "O2", "O6", "O15", "O16"].contains(&it.oracle))
    });
    let broken = broken.count();
    assert!(broken >= 8, "only {broken} of 24 runs were broken by f + 1 traitors");
}

/// §3: f of them break nothing, in whichever of their ways.
#[test]
fn f_traitors_break_nothing_and_try_everything() {
    let mut lies = BTreeSet::new();
    for seed in 0..24 {
        let report = check::<Pbft>(seed, &with_traitors(seed, 0));
        assert_eq!(report.violation, None, "seed {seed}");
        lies.extend(report.faults.into_keys().filter(|name| name.starts_with("traitor")));
    }
    assert_eq!(lies.len(), Treason::ALL.len(), "{lies:?}");
}

/// Does a primary that insists on one lie keep clients waiting, in a world without other faults?
fn starves(seed: u64) -> bool {
    let mut setup = Setup::<Pbft>::new(Cluster::new(ClusterId(1), 4), seed);
    setup.traitors = NodeSet::only(NodeId(0));
    let mut world = World::new(setup, Registers::default);
    world.betray(NodeId(0), Treason::Insist);
    for client in 0..2 {
        world.add_client(NodeId(1 + client), Patience::default(), move |nth| {
            (nth < 4).then(|| (Operation::Append(client, nth).encode(), None))
        });
    }
    let answered = world.run_until(Duration::from_secs(20), |it| it.completions().len() == 8);
    assert_eq!(world.violation(), None, "seed {seed}");
    !answered
}

/// §4.4 and §4.5.2: the timer runs for a request. A primary that orders nothing but null requests,
/// and others that insist on a lie, lose their view, and clients get their answers.
#[test]
fn a_primary_that_insists_on_a_lie_starves_nobody() {
    let starved: Vec<u64> = (0..48).filter(|seed| starves(*seed)).collect();
    assert_eq!(starved, Vec::<u64>::new());
}

/// The test above sees what it is there for.
#[cfg(feature = "mutants")]
#[test]
fn a_timer_that_any_execution_restarts_is_found() {
    consensus_core::mutant::plant(Some("B60"));
    let starved = (0..48).any(starves);
    consensus_core::mutant::plant(None);
    assert!(starved, "B60 survived");
}
