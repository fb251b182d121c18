//! The kill matrix of the simulator: every planted bug is found by an oracle, within seeds that
//! every run of the CI goes through. (That the correct build raises no alarm over them is a step of
//! it.)

use consensus_core::Audit;
use consensus_core::mutant::{Mutant, NAMES, plant};
use std::ops::Range;
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::{Options, Violation, first_violation};

/// How a seed becomes a run.
#[derive(Clone, Copy, Debug)]
enum Worlds {
    /// In virtual time.
    Timed,
    /// Without a clock: what happens next is drawn.
    Shuffled,
}

/// Where a planted bug must be found, cheapest first. What a seed draws changes with the code, so
/// none is asked to fall to one way of running alone.
const HUNTS: [(Worlds, Range<u64>); 5] = [
    (Worlds::Timed, 0..200),
    (Worlds::Shuffled, 0..2_000),
    (Worlds::Timed, 200..1_000),
    (Worlds::Shuffled, 2_000..10_000),
    (Worlds::Timed, 1_000..3_000),
];

/// The first violation over a range of seeds.
struct FirstViolation(Worlds, Range<u64>);

impl Visitor for FirstViolation {
    type Output = Option<(u64, Violation)>;

    fn visit<P: Audit>(self) -> Self::Output {
        match self.0 {
            Worlds::Timed => first_violation::<P>(self.1, Options::for_seed::<P>),
            Worlds::Shuffled => first_violation::<P>(self.1, Options::for_shuffle::<P>),
        }
    }
}

fn hunt(algorithm: Algorithm, mutant: &'static Mutant) -> Result<String, String> {
    plant(Some(mutant.name));
    let found = HUNTS.into_iter().find_map(|(worlds, seeds)| {
        algorithm.dispatch(FirstViolation(worlds, seeds)).map(|found| (worlds, found))
    });
    plant(None);
    let name = format!("{algorithm} {}", mutant.name);
    let Some((worlds, found)) = found else {
        return Err(format!("{name} survived: {}", mutant.wrong));
    };
    match found {
        (seed, violation) if mutant.is_found_by(violation.oracle) => {
            Ok(format!("{name}: {} at seed {seed} ({worlds:?})", violation.oracle))
        }
        (seed, violation) => Err(format!(
            "{name} was found at seed {seed} ({worlds:?}) by {}, not by one of {:?}: {violation}",
            violation.oracle, mutant.oracles
        )),
    }
}

fn all_are_found(algorithm: Algorithm) {
    let mutants = algorithm.mutants().iter().filter(|mutant| mutant.beyond.is_none());
    let (found, missed): (Vec<_>, Vec<_>) =
        mutants.map(|mutant| hunt(algorithm, mutant)).partition(Result::is_ok);
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

/// What all algorithms share is broken under each of them; for each a test of its own, as these
/// take longest.
fn shared_are_found(algorithm: Algorithm) {
    let shared = algorithm.shared_mutants();
    for mutant in shared.filter(|mutant| mutant.beyond.is_none()) {
        hunt(algorithm, mutant).unwrap_or_else(|missed| panic!("{missed}"));
    }
}

#[test]
fn every_bug_planted_in_the_shared_layers_is_found_under_paxos() {
    shared_are_found(Algorithm::Paxos);
}

#[test]
fn every_bug_planted_in_the_shared_layers_is_found_under_multipaxos() {
    shared_are_found(Algorithm::MultiPaxos);
}

#[test]
fn every_bug_planted_in_the_shared_layers_is_found_under_raft() {
    shared_are_found(Algorithm::Raft);
}

#[test]
fn every_bug_planted_in_the_shared_layers_is_found_under_pbft() {
    shared_are_found(Algorithm::Pbft);
}

/// A name that is in no list plants nothing, and a rig would call the bug a survivor.
#[test]
fn planted_bugs_are_named_once_and_all_names_are_known() {
    let own = Algorithm::ALL.iter().flat_map(|algorithm| algorithm.mutants());
    let shared = Algorithm::Raft.shared_mutants(); // It uses all layers.
    let mut names: Vec<_> = shared.chain(own).map(|mutant| mutant.name).collect();
    // Those of the runtime are no algorithm's, and hunted where it is.
    let of_runtime = |name: &&&str| name.starts_with(['D', 'N', 'Q', 'F']);
    let mut known: Vec<_> = NAMES.iter().filter(|name| !of_runtime(name)).copied().collect();
    names.sort_unstable();
    known.sort_unstable();
    assert_eq!(names, known);
    known.dedup();
    assert_eq!(known.len(), names.len(), "a name is given twice");
}

#[test]
#[should_panic(expected = "there is no planted bug 'R99'")]
fn a_name_that_no_bug_has_is_refused() {
    plant(Some("R99"));
}

#[test]
fn the_correct_build_raises_no_alarm() {
    for algorithm in Algorithm::ALL {
        for worlds in [Worlds::Timed, Worlds::Shuffled] {
            if let Some((seed, violation)) = algorithm.dispatch(FirstViolation(worlds, 0..100)) {
                panic!("{algorithm} at seed {seed} ({worlds:?}): {violation}");
            }
        }
    }
}
