//! Small models of every algorithm, visited whole: no rule is broken, and the bugs that are planted
//! in the crates are found.

use consensus_core::{Audit, Cluster, ProtocolConfig};
use synod_algorithms::{Algorithm, Visitor};
use synod_explore::{
    BadModel, Bounds, Explored, Limits, Preset, Wish, Wishes, explore, explore_with, mirror,
    settings,
};

struct Explore(Bounds, u64);

impl Visitor for Explore {
    type Output = Explored;

    fn visit<P: Audit>(self) -> Explored {
        let limits = Limits { states: self.1, ..Limits::default() };
        explore::<P>(&self.0, &limits, &mut |_| {}).expect("the model can be")
    }
}

fn preset(algorithm: Algorithm, preset: Preset) -> Bounds {
    preset.bounds(&algorithm.info()).expect("the preset is for this algorithm")
}

/// Three replicas, every order of messages and syncs, any number of duplicates, and a crash at any
/// point that loses any part of what was not synced: all of it was visited.
#[test]
fn the_small_models_of_crash_fault_algorithms_are_closed_and_clean() {
    for algorithm in [Algorithm::Paxos, Algorithm::MultiPaxos, Algorithm::Raft] {
        let bounds = preset(algorithm, Preset::Small);
        assert!(
            bounds.nodes == 3
                && bounds.crashes == 1
                && bounds.disks == synod_explore::Disks::Explicit
        );
        let explored = algorithm.dispatch(Explore(bounds, 0));
        assert!(explored.closed, "{algorithm}: {explored:?}");
        assert!(explored.decided.0 > 1_000, "{algorithm} decides in {:?}", explored.decided);
        let leaders = u64::from(algorithm != Algorithm::Paxos);
        assert_eq!(explored.leaders, leaders, "{algorithm}");
    }
}

/// One change of members in any order of messages, with any number of duplicates: the leader goes,
/// a voter comes, one voter takes the place of another (Raft §6; Multi-Paxos: the slot after).
#[test]
fn models_with_one_change_of_members_are_closed_and_clean() {
    for algorithm in [Algorithm::MultiPaxos, Algorithm::Raft] {
        for wish in [Wish::Leave, Wish::Replace] {
            let wishes = Wishes::of(&[wish]);
            let bounds = Bounds { wishes, campaigns: 0, ..preset(algorithm, Preset::Members) };
            let explored = algorithm.dispatch(Explore(bounds, 0));
            assert!(explored.closed, "{algorithm} {wish}: {:?}", explored.found);
            assert!(explored.decided.0 > 10, "{algorithm} decides in {:?}", explored.decided);
        }
    }
}

/// A cluster and its picture with swapped names, side by side.
struct Mirror(Bounds);

impl Visitor for Mirror {
    type Output = Result<u64, BadModel>;

    fn visit<P: Audit>(self) -> Self::Output {
        mirror::<P>(&self.0, |cluster: &Cluster| settings::<P>(&self.0, cluster), (60, 60))
    }
}

/// Servers of Raft have no rank but their terms (§5.1), so that states may be folded which differ
/// in names only; ballots and views are numbers of nodes, too (Paxos Made Simple §2.2, OSDI '99
/// §2).
#[test]
fn servers_of_raft_are_alike_and_no_other_replicas_are() {
    for which in Preset::ALL {
        for algorithm in Algorithm::ALL {
            let Some(bounds) = which.bounds(&algorithm.info()) else { continue };
            let compared = algorithm.dispatch(Mirror(bounds)).expect("each other's picture");
            let folds = bounds.changes == 0 && bounds.storms.is_none();
            let alike = algorithm == Algorithm::Raft && folds;
            assert_eq!(compared > 1_000, alike, "{algorithm} {which}: {compared}");
        }
    }
}

/// Folding leaves out no behaviour: the same is decided in the same depth, by as many leaders, in a
/// sixth of the states or little more (a state whose nodes are alike stands for itself).
#[test]
fn a_folded_model_is_a_sixth_of_the_whole() {
    let bounds = preset(Algorithm::Raft, Preset::Small);
    let folded = Algorithm::Raft.dispatch(Explore(bounds, 0));
    let whole = Algorithm::Raft.dispatch(Explore(Bounds { symmetry: false, ..bounds }, 0));
    let seen = |found: &Explored| {
        (
            found.closed,
            found.depth,
            found.decided.1,
            found.leaders,
            found.epoch,
            found.marks.clone(),
        )
    };
    assert_eq!(seen(&folded), seen(&whole));
    assert_eq!((folded.names, whole.names), (6, 1));
    assert!(folded.states * 6 >= whole.states, "{} of {}", folded.states, whole.states);
    assert!(folded.states * 5 < whole.states, "{} of {}", folded.states, whole.states);
}

/// As far as a test may go: PBFT, and what two leaders or a liar can do.
#[test]
fn larger_models_are_clean_as_far_as_they_are_visited() {
    for algorithm in Algorithm::ALL {
        for which in Preset::ALL.into_iter().filter(|which| *which != Preset::Small) {
            let Some(bounds) = which.bounds(&algorithm.info()) else { continue };
            let explored = algorithm.dispatch(Explore(bounds, 20_000));
            assert_eq!(explored.found, None, "{algorithm} {which}");
            assert!(explored.states >= 20_000, "{algorithm} {which}: {}", explored.states);
        }
    }
}

/// Two view changes of four replicas and what both commands come to in them (OSDI '99 §4.4), in
/// every quiet moment and every weather of the preset: visited to the end.
#[test]
fn two_views_of_pbft_after_the_first_are_closed() {
    let explored = algorithm_views();
    assert!(explored.closed && explored.found.is_none(), "{:?}", explored.found);
    assert_eq!(explored.epoch, 2, "the third view works");
    assert!(explored.decided.1 >= 2, "{:?}", explored.decided);
    for mark in ["prepared number carried", "joined f + 1 others", "view given up"] {
        assert!(explored.marks.contains(mark), "{:?}", explored.marks);
    }
}

/// Fast Paxos: one command with a crash and late syncs, and two commands, which collide in the fast
/// round of the first slot and are recovered by its coordinator: every order was visited.
#[test]
fn models_with_fast_rounds_are_closed_and_clean() {
    let small = preset(Algorithm::Paxos, Preset::Small);
    let collision = Bounds { duplicates: Some(0), ..collision(3) };
    for (bounds, collides) in [(small, false), (collision, true)] {
        let explored = Algorithm::Paxos.dispatch(Fast(bounds, 0));
        assert!(explored.closed && explored.found.is_none(), "{:?}", explored.found);
        assert!(explored.decided.0 > 10, "decides in {:?}", explored.decided);
        let recovered = explored.marks.contains("collision recovered without a prepare");
        assert_eq!(recovered, collides);
    }
}

/// The same with any number of duplicates, as far as a test may go: of three acceptors all must
/// vote alike, of four three.
#[test]
fn larger_models_with_fast_rounds_are_clean_as_far_as_they_are_visited() {
    for nodes in [3, 4] {
        let explored = Algorithm::Paxos.dispatch(Fast(collision(nodes), 60_000));
        assert_eq!(explored.found, None, "{nodes} nodes");
        assert!(explored.states >= 60_000);
    }
}

fn collision(nodes: usize) -> Bounds {
    Bounds { commands: 2, disks: synod_explore::Disks::Instant, ..Bounds::quiet(nodes) }
}

/// The same with fast rounds.
struct Fast(Bounds, u64);

impl Visitor for Fast {
    type Output = Explored;

    fn visit<P: Audit>(self) -> Explored {
        let Self(bounds, states) = self;
        let limits = Limits { states, ..Limits::default() };
        let on = ["fast=on".to_owned()];
        let configure =
            |cluster: &Cluster| settings::<P>(&bounds, cluster)?.with_variants(&on, cluster);
        let explored = explore_with::<P>(&bounds, &limits, configure, &mut |_| {});
        explored.expect("the model can be")
    }
}

fn algorithm_views() -> Explored {
    let bounds = preset(Algorithm::Pbft, Preset::Views);
    Algorithm::Pbft.dispatch(Explore(bounds, 0))
}

#[cfg(feature = "mutants")]
mod planted {
    use super::*;
    use consensus_core::mutant::{Mutant, plant};

    fn mutant(algorithm: Algorithm, name: &str) -> &'static Mutant {
        let found = algorithm.mutants().iter().find(|mutant| mutant.name == name);
        found.unwrap_or_else(|| panic!("{algorithm} has no {name}"))
    }

    fn is_found(algorithm: Algorithm, name: &str, which: Preset) {
        let mutant = mutant(algorithm, name);
        let bounds = preset(algorithm, which);
        plant(Some(mutant.name));
        let explored = algorithm.dispatch(Explore(bounds, 250_000));
        plant(None);
        let Some(found) = explored.found else {
            panic!("{name} survived {} states: {}", explored.states, mutant.wrong);
        };
        let oracle = found.violation.oracle;
        assert!(mutant.is_found_by(oracle), "{name} was found by {}", found.violation);
    }

    /// "Fast Paxos": who may vote, what is enough, and what a recovery must propose.
    #[test]
    fn planted_bugs_of_fast_rounds_are_found() {
        let bugs = ["P71", "P72", "P73", "P74", "P75", "P78"];
        for (name, nodes) in bugs.map(|name| (name, 3)).into_iter().chain([("P76", 4)]) {
            let mutant = mutant(Algorithm::Paxos, name);
            plant(Some(mutant.name));
            let explored = Algorithm::Paxos.dispatch(Fast(collision(nodes), 100_000));
            plant(None);
            let found = explored.found.map(|found| found.violation);
            let oracle = found.as_ref().map(|violation| violation.oracle);
            assert!(oracle.is_some_and(|oracle| mutant.is_found_by(oracle)), "{name}: {found:?}");
        }
    }

    /// §4.5.2: who does not join f + 1 others leaves views without a quorum. No rule that is judged
    /// here is broken, but in the same bounds one view less comes to work.
    #[test]
    fn who_does_not_join_others_reaches_fewer_views() {
        plant(Some("B33"));
        let explored = algorithm_views();
        plant(None);
        assert!(explored.closed && explored.epoch < 2, "view {}", explored.epoch);
    }

    /// Kinds of bugs that are published again and again; each within a second.
    #[test]
    fn planted_bugs_are_found_by_an_oracle_that_they_name() {
        use {Algorithm::*, Preset::*};
        for (algorithm, which, names) in [
            (Paxos, Small, &["P01", "E-18", "P20"][..]),
            (Paxos, Disks, &["P04"]),
            (Paxos, Deep, &["P05", "E-03", "P21"]),
            (MultiPaxos, Small, &["M23", "M24", "M25"]),
            (MultiPaxos, Disks, &["M20"]),
            (MultiPaxos, Closed, &["M01", "M02"]),
            (Raft, Small, &["R08", "R09", "R41"]),
            (Raft, Disks, &["R02", "R40"]),
            (Raft, Closed, &["R03"]),
            (Raft, Deep, &["R04"]),
            (Raft, Members, &["R11a", "R71"]),
            (Raft, Reads, &["R13a", "R13b", "R13c", "R79"]),
            (MultiPaxos, Reads, &["M91", "M93"]),
            (MultiPaxos, Leases, &["M92"]),
            (Pbft, Small, &["B20", "B02"]),
            (Pbft, Disks, &["B21", "B22"]),
            (Pbft, Views, &["B29", "B39", "B41"]),
            (Raft, Views, &["R02", "R03", "R40"]),
        ] {
            for name in names {
                is_found(algorithm, name, which);
            }
        }
    }
}
