//! The kill matrix: every planted bug is found by an oracle that it names, within a budget of
//! seeds. (That the correct build raises no alarm over the same seeds is tested beside it.)

use consensus_core::Audit;
use consensus_core::mutant::{Mutant, SHARED, plant};
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::{Options, Violation, first_violation};

/// Seeds within which a planted bug must be found.
const BUDGET: u64 = 2_000;

/// The first violation over a range of seeds.
struct FirstViolation(std::ops::Range<u64>);

impl Visitor for FirstViolation {
    type Output = Option<(u64, Violation)>;

    fn visit<P: Audit>(self) -> Self::Output {
        first_violation::<P>(self.0, Options::for_seed::<P>)
    }
}

fn hunt(algorithm: Algorithm, mutant: &'static Mutant) -> Result<String, String> {
    plant(Some(mutant.name));
    let found = algorithm.dispatch(FirstViolation(0..BUDGET));
    plant(None);
    let name = format!("{algorithm} {}", mutant.name);
    match found {
        None => Err(format!("{name} survived {BUDGET} seeds: {}", mutant.wrong)),
        Some((seed, violation)) if mutant.oracles.contains(&violation.oracle) => {
            Ok(format!("{name}: {} at seed {seed}", violation.oracle))
        }
        Some((seed, violation)) => Err(format!(
            "{name} was found at seed {seed} by {}, not by one of {:?}: {violation}",
            violation.oracle, mutant.oracles
        )),
    }
}

fn all_are_found(algorithm: Algorithm) {
    let (found, missed): (Vec<_>, Vec<_>) =
        algorithm.mutants().iter().map(|mutant| hunt(algorithm, mutant)).partition(Result::is_ok);
    let missed: Vec<_> = missed.into_iter().filter_map(Result::err).collect();
    assert!(missed.is_empty(), "{}\n(found: {found:?})", missed.join("\n"));
    assert!(found.len() >= 3, "{algorithm} has too few planted bugs to prove anything");
}

#[test]
fn every_bug_planted_in_paxos_is_found() {
    all_are_found(Algorithm::Paxos);
}

#[test]
fn every_bug_planted_in_multipaxos_is_found() {
    all_are_found(Algorithm::MultiPaxos);
}

#[test]
fn every_bug_planted_in_raft_is_found() {
    all_are_found(Algorithm::Raft);
}

#[test]
fn every_bug_planted_in_pbft_is_found() {
    all_are_found(Algorithm::Pbft);
}

/// What all algorithms share is broken under each of them.
#[test]
fn every_bug_planted_in_the_shared_layers_is_found_under_every_algorithm() {
    for algorithm in Algorithm::ALL {
        for mutant in SHARED {
            hunt(algorithm, mutant).unwrap_or_else(|missed| panic!("{missed}"));
        }
    }
}

#[test]
fn the_correct_build_raises_no_alarm() {
    for algorithm in Algorithm::ALL {
        if let Some((seed, violation)) = algorithm.dispatch(FirstViolation(0..100)) {
            panic!("{algorithm} at seed {seed}: {violation}");
        }
    }
}
