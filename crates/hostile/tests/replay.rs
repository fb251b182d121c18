//! Every target over its corpus, and over seeded mutations of it: what libFuzzer does for hours,
//! for a second and by the ordinary toolchain. A bug that was found stays in the corpus.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use synod_hostile::mutate::mutate;
use synod_hostile::{TARGETS, Target, seeds, target};
use synod_sim::Rng;

fn corpus() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus")
}

/// The corpus of a target, in the order of names.
fn files(target: &Target) -> Vec<(String, Vec<u8>)> {
    let folder = corpus().join(target.name);
    let entries = fs::read_dir(&folder).unwrap_or_else(|_| panic!("{}", folder.display()));
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    let named = |path: &PathBuf| path.file_name().expect("a name").to_string_lossy().into_owned();
    paths.iter().map(|path| (named(path), fs::read(path).expect("a file"))).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Runs the target; a panic is told with the bytes that caused it.
fn run(target: &Target, name: &str, bytes: &[u8]) {
    if catch_unwind(AssertUnwindSafe(|| (target.run)(bytes))).is_err() {
        panic!("{} breaks on {name}: {}", target.name, hex(bytes));
    }
}

fn replay(name: &str, mutations: u64) {
    let target = target(name).expect("such a target");
    let files = files(target);
    assert!(files.len() >= 4, "{name} has a corpus");
    let scale = std::env::var("SYNOD_MUTATIONS").ok().and_then(|text| text.parse().ok());
    let mutations = mutations * scale.unwrap_or(1);
    for (number, (file, bytes)) in files.iter().enumerate() {
        run(target, file, bytes);
        let mut rng = Rng::for_purpose(number as u64, 0xf022);
        for nth in 0..mutations {
            run(target, &format!("mutation {nth} of {file}"), &mutate(bytes, &mut rng));
        }
    }
}

/// The rule of the page: every target has a test below, a libFuzzer target and a corpus.
#[test]
fn every_target_is_replayed_and_can_be_fuzzed() {
    let tests = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/replay.rs"));
    let tests = tests.expect("this file");
    let fuzz = corpus().join("..");
    let manifest = fs::read_to_string(fuzz.join("Cargo.toml")).expect("the fuzz package");
    for Target { name, .. } in TARGETS {
        assert!(tests.contains(&format!("replay(\"{name}\"")), "{name} is not replayed");
        assert!(manifest.contains(&format!("name = \"{name}\"")), "{name} is not fuzzed");
        assert!(fuzz.join(format!("fuzz_targets/{name}.rs")).is_file(), "{name} is not fuzzed");
    }
}

/// The corpus in the repository is what the generator makes, and more.
#[test]
fn the_corpus_holds_the_generated_seeds() {
    for target in TARGETS {
        for (number, seed) in seeds::of(target.name).into_iter().enumerate() {
            let path = corpus().join(target.name).join(format!("seed-{number:02}"));
            let kept = fs::read(&path).unwrap_or_else(|_| panic!("{}", path.display()));
            assert_eq!(kept, seed, "{}: run the example `corpus`", path.display());
        }
    }
}

#[test]
fn connections() {
    replay("connection", 300);
    replay("sayings", 50);
    replay("hello", 300);
    replay("greeting", 300);
    replay("to_client", 300);
    replay("to_replica", 300);
    replay("request", 300);
}

#[test]
fn commands_and_snapshots() {
    replay("batch", 500);
    replay("kv", 500);
    replay("snapshot", 500);
    replay("membership", 500);
    replay("chunks", 100);
    replay("scenario", 500);
}

#[test]
fn identities_and_keys() {
    replay("identity", 300);
    replay("keys", 300);
}

#[test]
fn logs_and_directories() {
    replay("log_file", 200);
    replay("directory", 200);
}

#[test]
fn messages() {
    replay("message_paxos", 200);
    replay("message_multipaxos", 200);
    replay("message_raft", 200);
    replay("message_pbft", 200);
}

#[test]
fn records() {
    replay("record_paxos", 200);
    replay("record_multipaxos", 200);
    replay("record_raft", 200);
    replay("record_pbft", 200);
}

#[test]
fn handlers_of_paxos() {
    replay("handlers_paxos", 20);
}

#[test]
fn handlers_of_multipaxos() {
    replay("handlers_multipaxos", 20);
}

#[test]
fn handlers_of_raft() {
    replay("handlers_raft", 20);
}

#[test]
fn handlers_of_pbft() {
    replay("handlers_pbft", 20);
}

/// The bugs planted in what strangers and disks are read with are found by the targets.
#[cfg(feature = "mutants")]
#[test]
fn every_bug_planted_in_a_reader_is_found() {
    for (name, target_name) in [("F02", "request"), ("F03", "identity"), ("F04", "log_file")] {
        consensus_core::mutant::plant(Some(name));
        let found = catch_unwind(|| replay(target_name, 200)).is_err();
        consensus_core::mutant::plant(None);
        assert!(found, "{name} is not found");
    }
}
