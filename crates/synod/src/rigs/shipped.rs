//! The scenario files that are shipped beside the crates, as a rig. It is for whoever works on the
//! project: the files are looked for in the folder that the program was built from.

use super::Found;
use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use synod_algorithms::Algorithm;
use synod_sim::Scenario;

/// Folders of scenarios, as seen from the folder of the crates.
const FOLDERS: [&str; 5] = [
    "paxos/tests/scenarios",
    "multipaxos/tests/scenarios",
    "raft/tests/scenarios",
    "pbft/tests/scenarios",
    "algorithms/tests/common",
];

/// All of them, in the order of folders and names. None, if the folders are not there.
pub(super) fn files() -> Vec<PathBuf> {
    let crates = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut files = Vec::new();
    for folder in FOLDERS {
        let entries = fs::read_dir(crates.join(folder)).into_iter().flatten();
        let mut paths: Vec<PathBuf> = entries.flatten().map(|entry| entry.path()).collect();
        paths.retain(|path| path.extension().is_some_and(|ending| ending == "scn"));
        paths.sort();
        files.extend(paths);
    }
    files
}

/// Plays these files, as far as they are about this algorithm, up to the first that is not as it
/// says.
pub(super) fn hunt(algorithm: Algorithm, cases: Range<u64>) -> Option<Found> {
    let numbered = (0..).zip(files()).filter(|(case, _)| cases.contains(case));
    numbered.into_iter().find_map(|(case, path)| {
        let name = path.file_name()?.to_string_lossy().into_owned();
        let scenario = Scenario::parse(&fs::read_to_string(&path).ok()?).ok()?;
        if !scenario.algorithms().any(|named| named == algorithm.name()) {
            return None;
        }
        let (oracle, what) = match algorithm.play(&scenario, false) {
            Ok(outcome) => {
                let missed = outcome.missed.first()?.why.clone();
                (
                    outcome
                        .violation
                        .map_or("expectation", |violation| violation.oracle)
                        .to_owned(),
                    missed,
                )
            }
            Err(why) => ("expectation".to_owned(), why),
        };
        Some(Found { oracle, case, detail: format!("{name}: {what}") })
    })
}
