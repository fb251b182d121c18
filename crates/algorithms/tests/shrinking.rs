//! What the simulator finds is recorded, played on the stage, and made small, with each planted
//! bug; and the scenarios that came of it fail with the bug and only with it.

use consensus_core::Audit;
use consensus_core::mutant::{Mutant, plant};
use std::fs;
use std::path::Path;
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::{Budget, Options, Scenario, can_be_told, check, needs_time, record, shrink};

/// What a seed draws, but for turns of several inputs: a stage says `Drained` after each.
fn told<P: Audit>(seed: u64) -> Options {
    Options { turns: None, ..Options::for_seed::<P>(seed) }
}

/// Records a seed, plays it step by step, and demands that the stage breaks the same rule, at the
/// same node, with the same words: then it went through the same states.
struct Replayed {
    planted: &'static str,
    seed: u64,
    compare: bool,
}

impl Visitor for Replayed {
    /// What is violated, and whether the run has leases, so that clocks decide.
    type Output = (Option<&'static str>, bool);

    fn visit<P: Audit>(self) -> Self::Output {
        let seed = self.seed;
        let options = told::<P>(seed);
        let (report, scenario) = record::<P>(seed, &options);
        let name = format!("{} {} seed {seed}", P::INFO.name, self.planted);
        if self.compare {
            assert_eq!(report, check::<P>(seed, &options), "{name}: recording changes nothing");
        }
        if !can_be_told(&report) {
            return (None, false);
        }
        let timed = scenario.clocks.is_some();
        let played = scenario.play::<P>(false).expect("such a cluster can be");
        let told = |violation: &synod_sim::Violation| {
            (violation.oracle, violation.node, violation.detail.clone())
        };
        match &report.violation {
            Some(violation) if !needs_time(violation) => {
                let seen = played.violation.as_ref().map(told);
                assert_eq!(seen, Some(told(violation)), "{name}: {:?}", played.missed);
                (Some(violation.oracle), timed)
            }
            // The world stops in the midst of a step when it sees an election that would not last;
            // the stage goes on to its end, and may see what came of it there.
            Some(violation)
                if violation.name == "durable election" && played.violation.is_some() =>
            {
                assert_eq!(scenario.steps().count(), played.chart.len(), "{name}: the last step");
                (None, timed)
            }
            // Neither is anything else found, nor is any step impossible.
            _ => {
                assert_eq!(played.violation, None, "{name}");
                let whole = scenario.steps().count() == played.chart.len();
                assert!(whole, "{name}: {:?}", played.missed);
                (None, timed)
            }
        }
    }
}

/// Has the run of this seed leases, so that replicas look at their clocks?
struct Leased(u64);

impl Visitor for Leased {
    type Output = bool;

    fn visit<P: Audit>(self) -> bool {
        Options::for_seed::<P>(self.0).operators.lease.is_some()
    }
}

/// The first seeds, one with leases among them where the algorithm has any.
fn seeds(algorithm: Algorithm, most: u64) -> Vec<u64> {
    let leased = (most - 1..most + 40).find(|seed| algorithm.dispatch(Leased(*seed)));
    (0..most - 1).chain([leased.unwrap_or(most - 1)]).collect()
}

/// Design: a seed reproduces a run bit for bit, and a failing one becomes a scenario that fails
/// alike. Every message, timer, sync, crash and half-done step must be on the tape for that.
#[test]
fn a_recorded_run_fails_on_the_stage_as_it_did_in_the_world() {
    let mut by_clocks = 0;
    for algorithm in Algorithm::ALL {
        let mut found = 0;
        for mutant in algorithm.mutants() {
            plant(Some(mutant.name));
            let planted = mutant.name;
            for seed in seeds(algorithm, 3) {
                let compare = false;
                let (violated, timed) = algorithm.dispatch(Replayed { planted, seed, compare });
                found += usize::from(violated.is_some());
                by_clocks += usize::from(violated.is_some() && timed);
            }
            plant(None);
        }
        assert!(found > 12, "{algorithm}: {found} violations prove little");
    }
    assert!(by_clocks > 5, "{by_clocks} violations under leases prove little");
}

#[test]
fn a_recorded_run_without_a_bug_is_possible_step_by_step_and_safe() {
    let mut leased = 0;
    for algorithm in Algorithm::ALL {
        for seed in seeds(algorithm, 10) {
            let (violated, timed) =
                algorithm.dispatch(Replayed { planted: "as it is", seed, compare: true });
            assert_eq!(violated, None, "{algorithm} seed {seed}");
            leased += usize::from(timed);
        }
    }
    assert!(leased > 1, "{leased} runs under leases prove little");
}

/// Finds a bug within these seeds and makes the run small.
struct Small(&'static str, u64);

impl Visitor for Small {
    type Output = Option<(String, usize, usize)>;

    fn visit<P: Audit>(self) -> Self::Output {
        let fails = |seed: &u64| {
            let found = check::<P>(*seed, &Options::for_seed::<P>(*seed)).violation;
            found.is_some_and(|violation| !needs_time(&violation))
        };
        let seed = (0..self.1).find(fails)?;
        let options = Options::for_seed::<P>(seed);
        let budget = Budget { runs: 60, steps: 200_000 };
        let shrunk = shrink::<P>(seed, &options, budget, &mut |_| {})
            .unwrap_or_else(|error| panic!("{} seed {seed}: {error:?}", self.0));
        let again = shrink::<P>(seed, &options, budget, &mut |_| {}).expect("it fails");
        assert_eq!(shrunk.scenario, again.scenario, "shrinking is deterministic");
        let text = shrunk.scenario.to_string();
        let read = Scenario::parse(&text).expect("it reads what it wrote");
        let played = read.play::<P>(false).expect("such a cluster can be");
        assert_eq!(played.missed, [], "{text}");
        Some((text, shrunk.before, shrunk.after))
    }
}

/// The aim: half of them within 25 steps. Every third bug; `docs/scenarios.md` has all of them.
#[test]
fn planted_bugs_become_short_scenarios_that_can_be_read_back() {
    let mut lengths = Vec::new();
    for algorithm in Algorithm::ALL {
        for mutant in algorithm.mutants().iter().step_by(3) {
            plant(Some(mutant.name));
            if let Some((text, before, after)) = algorithm.dispatch(Small(mutant.name, 12)) {
                assert!(after <= before, "{text}");
                // Where a traitor forged, only the run as a whole was made smaller.
                lengths.extend((after > 0).then_some(after));
            }
            plant(None);
        }
    }
    lengths.sort_unstable();
    assert!(lengths.len() > 15, "{} shrunk runs prove little", lengths.len());
    assert!(lengths[lengths.len() / 2] <= 25, "{lengths:?}");
}

/// Plays a file, leaving out what cannot be.
struct Lenient<'a>(&'a Scenario);

impl Visitor for Lenient<'_> {
    type Output = synod_sim::Outcome;

    fn visit<P: Audit>(self) -> Self::Output {
        self.0.play::<P>(true).expect("such a cluster can be")
    }
}

fn planted(algorithm: Algorithm, name: &str) -> &'static Mutant {
    let mut known = algorithm.mutants().iter().chain(consensus_core::mutant::SHARED);
    known.find(|mutant| mutant.name == name).expect("a planted bug of this algorithm")
}

/// Each file under `scenarios/` names a planted bug: with it, it fails as it says; without, the
/// same steps, as far as they can be, break no rule.
#[test]
fn the_shipped_scenarios_fail_with_their_bug_and_only_with_it() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/scenarios");
    let mut seen = Vec::new();
    for file in fs::read_dir(folder).expect("the folder of scenarios") {
        let path = file.expect("a file").path();
        let text = fs::read_to_string(&path).expect("a text");
        let scenario = Scenario::parse(&text).unwrap_or_else(|bad| panic!("{path:?}: {bad}"));
        let algorithm: Algorithm = scenario.algo.parse().expect("an algorithm");
        let mutant = planted(algorithm, scenario.mutant.as_deref().expect("a planted bug"));
        plant(Some(mutant.name));
        let with = algorithm.dispatch(Lenient(&scenario));
        plant(None);
        assert_eq!(with.missed, [], "{path:?}");
        let violation = with.violation.unwrap_or_else(|| panic!("{path:?} finds nothing"));
        assert!(mutant.oracles.contains(&violation.oracle), "{path:?}: {violation}");
        let without = algorithm.dispatch(Lenient(&scenario));
        assert_eq!(without.violation, None, "{path:?} without its bug");
        seen.push(algorithm);
    }
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen, Algorithm::ALL, "each algorithm has a scenario");
}
