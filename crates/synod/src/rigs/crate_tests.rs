//! The crates' own tests, as a rig: the programs that `cargo test` runs, each in a process with the
//! bug switched on from outside (`SYNOD_MUTANT`). It is the dearest of the rigs.

use super::{Found, Subject};
use crate::exit::Failure;
use consensus_core::mutant::Mutant;
use serde_json::Value;
use std::collections::BTreeSet;
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
    /// Where its code begins: "src/lib.rs", "tests/main.rs", "tests/memory.rs".
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

/// The tests of all protocols together. They take long: of them only those run that a note names.
const OF_ALL: [&str; 2] = ["algorithms", "hostile"];

/// What the source says of how bugs are found, where random runs do not find them: of this bug, or
/// of all.
fn notes(subject: Subject, bug: Option<&str>) -> Vec<&'static str> {
    let mutants = subject.mutants().into_iter();
    let these = mutants.filter(|mutant| bug.is_none_or(|bug| mutant.name == bug));
    these.filter_map(|mutant| mutant.beyond).collect()
}

/// The modules of tests that such notes name: `office` for "tests/office.rs".
fn modules<'a>(notes: &[&'a str]) -> BTreeSet<&'a str> {
    let of = |note: &&'a str| {
        let named = note.split("tests/").skip(1);
        named.filter_map(|rest| rest.split_once(".rs").map(|(module, _)| module))
    };
    notes.iter().flat_map(of).collect()
}

/// A program, and which of its tests: those whose names begin so, or all.
type Part<'a> = (&'a Program, Option<String>);

/// What runs with this bug, in this order. What its note names goes first: as a rule it needs
/// seconds where all others need minutes.
fn parts<'a>(programs: &'a [Program], subject: Subject, bug: Option<&str>) -> Vec<Part<'a>> {
    let packages = packages(subject, bug);
    let modules = modules(&notes(subject, bug));
    let own = || {
        let of = |package| programs.iter().filter(move |program| program.package == package);
        packages.iter().flat_map(move |package| of(*package))
    };
    let shared = programs.iter().filter(|program| OF_ALL.contains(&program.package.as_str()));
    let candidates = own().chain(shared.filter(|program| !packages.contains(&&*program.package)));
    let named = |program: &'a Program| -> Vec<Part<'a>> {
        let part = |module: &&str| match program.source.as_str() {
            "tests/main.rs" => Some((program, Some(format!("{module}::")))),
            // A program of one module.
            source => (source == format!("tests/{module}.rs")).then_some((program, None)),
        };
        modules.iter().filter_map(part).collect()
    };
    let first = candidates.flat_map(named);
    first.chain(own().map(|program| (program, None))).collect()
}

/// Runs the tests up to the first that fails with this bug.
pub(super) fn hunt(subject: Subject, bug: Option<&str>) -> Option<Found> {
    let programs = PROGRAMS.get().map(Vec::as_slice).unwrap_or_default();
    let fails = |(case, (program, only)): (usize, (&Program, Option<String>))| {
        let test = first_failure(program, only.as_deref(), bug.unwrap_or_default())?;
        let detail = format!("{}/{}: {test}", program.package, program.source);
        Some(Found { oracle: "test".into(), case: case as u64, detail })
    };
    parts(programs, subject, bug).into_iter().enumerate().find_map(fails)
}

/// The first test of a program that fails, if one does.
fn first_failure(program: &Program, only: Option<&str>, bug: &str) -> Option<String> {
    let mut command = Command::new(&program.path);
    command.args(only).arg("--test-threads=1").env("SYNOD_MUTANT", bug);
    // What a property fails with under a planted bug is nothing to be kept beside the sources.
    command.env("PROPTEST_DISABLE_FAILURE_PERSISTENCE", "true");
    command.current_dir(&program.folder);
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

    fn of(package: &str, source: &str) -> Program {
        let (package, source) = (package.to_owned(), source.to_owned());
        Program { package, folder: PathBuf::new(), source, path: PathBuf::new() }
    }

    #[test]
    fn the_tests_that_a_bugs_note_names_go_first() {
        assert_eq!(
            Vec::from_iter(modules(&["rare; tests/a.rs", "`tests/b.rs` and tests/c.rs: so"])),
            ["a", "b", "c"]
        );
        let programs = [
            of("raft", "src/lib.rs"),
            of("raft", "tests/main.rs"),
            of("multipaxos", "src/lib.rs"),
            of("multipaxos", "tests/main.rs"),
            of("algorithms", "tests/main.rs"),
            of("hostile", "tests/memory.rs"),
        ];
        let parts = parts(&programs, Subject::Algorithm(Algorithm::MultiPaxos), Some("M144"));
        let said = parts.iter().map(|(program, only)| {
            (program.package.as_str(), program.source.as_str(), only.as_deref())
        });
        let expected = [
            ("multipaxos", "tests/main.rs", Some("office::")),
            ("algorithms", "tests/main.rs", Some("office::")),
            ("multipaxos", "src/lib.rs", None),
            ("multipaxos", "tests/main.rs", None),
        ];
        assert_eq!(said.collect::<Vec<_>>(), expected);
    }

    /// This program of tests itself stands for one: it has a test of this name.
    #[test]
    fn a_program_that_ends_well_has_no_failure_and_one_that_is_missing_has() {
        let myself = std::env::current_exe().expect("a program knows its name");
        let listing = lines_of(&b"test a ... ok\ntest b ... FAILED\n"[..]);
        let said: Vec<String> = listing.into_iter().collect();
        assert_eq!(said.iter().find_map(|line| failed_test(line)), Some("b"));
        let path = myself.with_file_name("no-such-program");
        let missing = Program { folder: PathBuf::from("."), path, ..of("none", "src/lib.rs") };
        let missing = first_failure(&missing, None, "");
        assert!(missing.is_some_and(|why| why.contains("does not start")));
    }
}
