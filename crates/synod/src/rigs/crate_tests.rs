//! The crates' own tests, as a rig: the programs that `cargo test` runs, each in a process with the
//! bug switched on from outside (`SYNOD_MUTANT`). It is the dearest of the rigs.

use super::{Found, Subject};
use crate::exit::Failure;
use consensus_core::mutant::Mutant;
use serde_json::Value;
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

/// What all of it is built with: the README's test command, so that one build serves both.
const BUILD: [&str; 5] = ["test", "--workspace", "--all-features", "--locked", "--no-run"];
/// How long a program may be without an ended test. A bug may well let a test hang.
const PATIENCE: Duration = Duration::from_secs(300);

/// A program of tests.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Program {
    package: String,
    /// The folder of the package, where its tests expect to run.
    folder: PathBuf,
    /// Where its code begins: "src/lib.rs", "tests/members.rs".
    source: String,
    path: PathBuf,
}

static PROGRAMS: OnceLock<Vec<Program>> = OnceLock::new();

/// Builds the tests, or finds that they are built. Cargo says on stderr how far it is.
pub(crate) fn prepare() -> Result<(), Failure> {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut command = Command::new(cargo);
    command.args(BUILD).arg("--message-format=json-render-diagnostics").current_dir(workspace);
    let built = command.stderr(Stdio::inherit()).output().map_err(|error| {
        Failure::failed(format!(
            "the crates' tests are built with cargo, which does not start: {error}; name the rigs \
             that you want with --rig to do without them"
        ))
    })?;
    if !built.status.success() {
        let line = BUILD.join(" ");
        return Err(Failure::failed(format!("`cargo {line}` failed; it says why above")));
    }
    let said = String::from_utf8_lossy(&built.stdout);
    let programs = said.lines().filter_map(|line| program(&serde_json::from_str(line).ok()?));
    PROGRAMS.get_or_init(|| programs.collect());
    Ok(())
}

/// The program of tests that cargo speaks of, if it does.
fn program(message: &Value) -> Option<Program> {
    if !message["profile"]["test"].as_bool()? {
        return None;
    }
    let folder = Path::new(message["manifest_path"].as_str()?).parent()?.to_owned();
    let source = Path::new(message["target"]["src_path"].as_str()?);
    let source = source.strip_prefix(&folder).unwrap_or(source).to_string_lossy().into_owned();
    let path = message["executable"].as_str()?.into();
    let package = folder.file_name()?.to_string_lossy().into_owned();
    Some(Program { package, folder, source, path })
}

/// The packages whose tests may see this bug, by their folders.
fn packages(subject: Subject, bug: Option<&str>) -> Vec<&'static str> {
    let Subject::Algorithm(algorithm) = subject else { return vec!["runtime", "hostile"] };
    let is = |mutant: &Mutant| bug.is_none_or(|bug| mutant.name == bug);
    let shared = algorithm.shared_mutants().any(is).then_some("consensus-core");
    shared.into_iter().chain([algorithm.name()]).collect()
}

/// What the source says of how the bug is found, where random runs do not find it.
fn notes(subject: Subject, bug: Option<&str>) -> Vec<&'static str> {
    let mutants = subject.mutants().into_iter().filter(|mutant| Some(mutant.name) == bug);
    mutants.filter_map(|mutant| mutant.beyond).collect()
}

/// Such a program goes first: as a rule it needs seconds where all others need minutes.
fn is_named(notes: &[&str], program: &Program) -> bool {
    notes.iter().any(|note| note.contains(&program.source))
}

/// Runs the tests up to the first that fails with this bug.
pub(super) fn hunt(subject: Subject, bug: Option<&str>) -> Option<Found> {
    let programs = PROGRAMS.get().map(Vec::as_slice).unwrap_or_default();
    let mut chosen: Vec<(usize, &Program)> = Vec::new();
    for (place, package) in packages(subject, bug).into_iter().enumerate() {
        let of_it = programs.iter().filter(|program| program.package == package);
        chosen.extend(of_it.map(|program| (place, program)));
    }
    let notes = notes(subject, bug);
    chosen.sort_by_key(|(place, program)| (!is_named(&notes, program), *place, &program.source));
    let fails = |(case, (_, program)): (usize, &(usize, &Program))| {
        let test = first_failure(&program.path, &program.folder, bug.unwrap_or_default())?;
        let detail = format!("{}/{}: {test}", program.package, program.source);
        Some(Found { oracle: "test".into(), case: case as u64, detail })
    };
    chosen.iter().enumerate().find_map(fails)
}

/// The first test of a program that fails, if one does.
fn first_failure(program: &Path, folder: &Path, bug: &str) -> Option<String> {
    let mut command = Command::new(program);
    command.arg("--test-threads=1").env("SYNOD_MUTANT", bug).current_dir(folder);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null());
    let mut child = match command.spawn() {
        Ok(child) => child,
        Err(error) => return Some(format!("does not start: {error}")),
    };
    let lines = lines_of(child.stdout.take().expect("its output is piped"));
    let failure = loop {
        match lines.recv_timeout(PATIENCE) {
            Ok(line) => {
                if let Some(test) = failed_test(&line) {
                    break Some(test.to_owned());
                }
            }
            Err(RecvTimeoutError::Timeout) => break Some("a test does not end".to_owned()),
            Err(RecvTimeoutError::Disconnected) => break None,
        }
    };
    if failure.is_some() {
        // It may have ended by itself; either is well.
        let _ = child.kill();
    }
    let ended_well = child.wait().is_ok_and(|status| status.success());
    failure.or_else(|| (!ended_well).then(|| "dies".to_owned()))
}

/// What a child says, line by line, as it comes.
fn lines_of(output: impl Read + Send + 'static) -> mpsc::Receiver<String> {
    let (sender, lines) = mpsc::channel();
    std::thread::spawn(move || {
        let said = BufReader::new(output).lines().map_while(Result::ok);
        for line in said {
            if sender.send(line).is_err() {
                break;
            }
        }
    });
    lines
}

/// The test that failed by this line of a program of tests.
fn failed_test(line: &str) -> Option<&str> {
    let (test, result) = line.strip_prefix("test ")?.split_once(" ... ")?;
    result.ends_with("FAILED").then(|| test.split(" - ").next().unwrap_or(test))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use synod_algorithms::Algorithm;

    #[test]
    fn a_failed_test_is_told_from_others() {
        assert_eq!(failed_test("test log::tests::grows ... FAILED"), Some("log::tests::grows"));
        assert_eq!(failed_test("test a - should panic ... FAILED"), Some("a"));
        for other in ["test log::tests::grows ... ok", "running 3 tests", "FAILED", "test x ... "] {
            assert_eq!(failed_test(other), None, "{other}");
        }
    }

    #[test]
    fn programs_of_tests_are_found_in_what_cargo_says() {
        let message = |test: bool| {
            json!({
                "reason": "compiler-artifact", "profile": { "test": test },
                "manifest_path": "/w/crates/raft/Cargo.toml",
                "target": { "src_path": "/w/crates/raft/tests/members.rs" },
                "executable": "/w/target/debug/deps/members-1",
            })
        };
        let found = program(&message(true)).expect("a program of tests");
        assert_eq!((found.package.as_str(), found.source.as_str()), ("raft", "tests/members.rs"));
        assert_eq!(program(&message(false)), None);
        assert_eq!(program(&json!({ "reason": "build-finished", "success": true })), None);
    }

    #[test]
    fn a_bug_of_a_shared_layer_meets_the_tests_of_that_layer_too() {
        let raft = Subject::Algorithm(Algorithm::Raft);
        assert_eq!(packages(raft, Some("R01")), ["raft"]);
        assert_eq!(packages(raft, Some("K-dedup")), ["consensus-core", "raft"]);
        assert_eq!(packages(Subject::Runtime, Some("D01")), ["runtime", "hostile"]);
    }

    #[test]
    fn the_program_that_a_bugs_note_names_goes_first() {
        let notes = notes(Subject::Algorithm(Algorithm::MultiPaxos), Some("M144"));
        let named = |source: &str| {
            let (folder, path) = (PathBuf::new(), PathBuf::new());
            let (package, source) = ("multipaxos".to_owned(), source.to_owned());
            is_named(&notes, &Program { package, folder, source, path })
        };
        assert!(named("tests/office.rs") && !named("tests/paper.rs"));
    }

    /// This program of tests itself stands for one: it has a test of this name.
    #[test]
    fn a_program_that_ends_well_has_no_failure_and_one_that_is_missing_has() {
        let myself = std::env::current_exe().expect("a program knows its name");
        let listing = lines_of(&b"test a ... ok\ntest b ... FAILED\n"[..]);
        let said: Vec<String> = listing.into_iter().collect();
        assert_eq!(said.iter().find_map(|line| failed_test(line)), Some("b"));
        let missing = first_failure(&myself.with_file_name("no-such-program"), Path::new("."), "");
        assert!(missing.is_some_and(|why| why.contains("does not start")));
    }
}
