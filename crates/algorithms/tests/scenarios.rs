//! The scenarios that are shipped beside the crates: each holds as it stands, with every algorithm
//! that it names, and fails with each planted bug that it says it catches.

use consensus_core::mutant::plant;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use synod_algorithms::Algorithm;
use synod_sim::Scenario;

const FOLDERS: [&str; 5] = [
    "crates/paxos/tests/scenarios",
    "crates/multipaxos/tests/scenarios",
    "crates/raft/tests/scenarios",
    "crates/pbft/tests/scenarios",
    "crates/algorithms/tests/common",
];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Files of a folder by name, with what they say.
fn shipped(folder: &str) -> Vec<(String, Scenario)> {
    let files = fs::read_dir(root().join(folder)).expect("the folder of scenarios");
    let mut paths: Vec<PathBuf> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    let read = |path: &PathBuf| {
        let name = path.file_name().expect("a name").to_string_lossy();
        let text = fs::read_to_string(path).expect("a text");
        let scenario = Scenario::parse(&text).unwrap_or_else(|bad| panic!("{path:?}: {bad}"));
        (format!("{folder}/{name}"), scenario)
    };
    paths.iter().map(read).collect()
}

fn all() -> impl Iterator<Item = (String, Scenario)> {
    FOLDERS.into_iter().flat_map(shipped)
}

fn algorithms(scenario: &Scenario) -> Vec<Algorithm> {
    let named = |name: &String| name.parse().expect("an algorithm");
    scenario.algorithms().map(named).collect()
}

#[test]
fn every_shipped_scenario_is_as_it_says() {
    let mut wrong = Vec::new();
    for (name, scenario) in all() {
        for algorithm in algorithms(&scenario) {
            match algorithm.play(&scenario, false) {
                Ok(outcome) if outcome.missed.is_empty() => {}
                Ok(outcome) => wrong
                    .push(format!("{name}, {algorithm}: {:#?}\n{}", outcome.missed, outcome.chart)),
                Err(why) => wrong.push(format!("{name}, {algorithm}: {why}")),
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// An expectation that no bug can fail shows nothing. Each file says which planted bugs it
/// catches; with any of them something must not be as expected.
#[test]
fn every_shipped_scenario_fails_with_the_bugs_that_it_catches() {
    let mut wrong = Vec::new();
    for (name, scenario) in all() {
        if scenario.catches.is_empty() {
            wrong.push(format!("{name} catches nothing"));
        }
        for bug in &scenario.catches {
            let mut known = Vec::new();
            for algorithm in algorithms(&scenario) {
                let mut bugs = algorithm.mutants().iter().chain(algorithm.shared_mutants());
                let found = bugs.find(|it| it.name == bug);
                let Some(mutant) = found else { continue };
                known.push(algorithm);
                plant(Some(mutant.name));
                let outcome = algorithm.play(&scenario, false).expect("it was played before");
                plant(None);
                if outcome.missed.is_empty() {
                    wrong.push(format!("{name} does not catch {bug} in {algorithm}"));
                }
            }
            if known.is_empty() {
                wrong.push(format!("{name}: no bug of its algorithms is called {bug}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A contrast shows what consensus is for only if it fails where the algorithms do not.
#[test]
fn what_is_no_algorithm_fails_where_it_is_named() {
    let mut seen = 0;
    for (name, scenario) in all() {
        for contrast in &scenario.unlike {
            let outcome = Algorithm::contrast(contrast, &scenario);
            let outcome = outcome.unwrap_or_else(|why| panic!("{name}: {why}"));
            assert!(!outcome.missed.is_empty(), "{name}: {contrast} does all that is expected");
            seen += 1;
        }
    }
    assert!(seen > 0, "no scenario names a contrast");
}

/// What is read is written and read again as the same, so that a scenario can be kept, changed and
/// shown by programs.
#[test]
fn every_shipped_scenario_can_be_written_and_read_again() {
    for (name, scenario) in all() {
        let text = scenario.to_string();
        let again = Scenario::parse(&text).unwrap_or_else(|bad| panic!("{name}: {bad} in\n{text}"));
        assert_eq!(again, scenario, "{name}");
    }
}

/// `docs/scenarios.md` lists every file with the claims that it shows.
#[test]
fn the_documentation_lists_every_shipped_scenario() {
    let page = fs::read_to_string(root().join("docs/scenarios.md")).expect("the page");
    let mut titles = BTreeSet::new();
    for (name, scenario) in all() {
        let row = page.lines().find(|line| line.contains(&format!("`{name}`")));
        let row = row.unwrap_or_else(|| panic!("docs/scenarios.md does not list {name}"));
        for claim in &scenario.shows {
            assert!(row.contains(claim.as_str()), "docs/scenarios.md: {name} shows {claim}");
        }
        assert!(titles.insert(scenario.title.clone()), "{name}: two are called so");
    }
}
