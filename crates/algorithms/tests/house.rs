//! The rules of the house as tests: who may depend on whom, which words an algorithm may not say,
//! how large a room may grow. `ARCHITECTURE.md` states the same rules in prose.

use std::fs;
use std::path::{Path, PathBuf};

/// The floors of the design, ground floor first. A crate may use crates of lower floors only.
const FLOORS: [&[&str]; 5] = [
    &["crates/consensus-core"],
    &[
        "crates/paxos",
        "crates/multipaxos",
        "crates/raft",
        "crates/pbft",
        "crates/sim",
        "crates/runtime",
        "crates/kv",
    ],
    &["crates/algorithms", "crates/explore"],
    &["benches", "crates/hostile"],
    &["crates/synod"],
];

const PROTOCOLS: [&str; 4] = ["paxos", "multipaxos", "raft", "pbft"];

/// Words of clocks, chance, IO, threads and random order.
const FORBIDDEN: [&str; 13] = [
    "tokio",
    "std::fs",
    "std::net",
    "std::io",
    "std::time",
    "std::thread",
    "std::process",
    "std::env",
    "HashMap",
    "HashSet",
    "Instant",
    "SystemTime",
    "rand::",
];

/// Lines of a file before its tests.
const ROOM: usize = 600;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..").canonicalize().expect("the workspace root")
}

fn read(path: &Path) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn package_of(folder: &str) -> String {
    let manifest: toml::Table =
        read(&root().join(folder).join("Cargo.toml")).parse().expect("toml");
    manifest["package"]["name"].as_str().expect("a package has a name").to_owned()
}

/// The names of one section of dependencies.
fn dependencies(folder: &str, section: &str) -> Vec<String> {
    let manifest: toml::Table =
        read(&root().join(folder).join("Cargo.toml")).parse().expect("toml");
    let table = manifest.get(section).and_then(toml::Value::as_table);
    table.map(|table| table.keys().cloned().collect()).unwrap_or_default()
}

fn floor_of(package: &str) -> Option<usize> {
    let stands_on = |floor: &&[&str]| floor.iter().any(|folder| package_of(folder) == package);
    FLOORS.iter().position(stands_on)
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    let Ok(entries) = fs::read_dir(folder) else { return files };
    for entry in entries.map(|entry| entry.expect("a readable folder").path()) {
        if entry.is_dir() && entry.file_name().is_some_and(|name| name != "target") {
            files.extend(rust_files(&entry));
        } else if entry.extension().is_some_and(|extension| extension == "rs") {
            files.push(entry);
        }
    }
    files.sort();
    files
}

/// The part of a file that is neither its tests nor a comment, with line numbers.
fn code_lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.starts_with("#[cfg(test)]"))
        .map(|(number, line)| (number + 1, line.split("//").next().unwrap_or("")))
}

#[test]
fn every_crate_stands_on_a_floor() {
    let mut folders: Vec<_> = FLOORS.concat().into_iter().map(str::to_owned).collect();
    let crates = fs::read_dir(root().join("crates")).expect("crates/");
    let mut found: Vec<_> = crates
        .map(|entry| format!("crates/{}", entry.expect("entry").file_name().to_string_lossy()))
        .collect();
    found.push("benches".into());
    folders.sort();
    found.sort();
    assert_eq!(folders, found, "a new crate needs a floor in ARCHITECTURE.md and here");
}

#[test]
fn dependencies_point_down_only() {
    for (floor, folders) in FLOORS.iter().enumerate() {
        for folder in *folders {
            for dependency in dependencies(folder, "dependencies") {
                if let Some(below) = floor_of(&dependency) {
                    assert!(below < floor, "{folder} (floor {floor}) uses {dependency} ({below})");
                }
            }
        }
    }
}

/// Someone who picks one algorithm pulls in none of the others, and nothing of the drivers.
#[test]
fn an_algorithm_depends_on_the_core_and_little_else() {
    for protocol in PROTOCOLS {
        let folder = format!("crates/{protocol}");
        for dependency in dependencies(&folder, "dependencies") {
            let small = ["consensus-core", "serde", "tracing", "bytes"].contains(&&*dependency);
            let signs = protocol == "pbft" && ["blake3", "ed25519-dalek"].contains(&&*dependency);
            assert!(small || signs, "{folder} depends on {dependency}");
        }
        for dependency in dependencies(&folder, "dev-dependencies") {
            let sideways = floor_of(&dependency) == Some(1) && dependency != "synod-sim";
            assert!(!sideways, "{folder} tests with {dependency}");
        }
    }
    for folder in ["crates/sim", "crates/runtime", "crates/kv"] {
        for section in ["dependencies", "dev-dependencies"] {
            for dependency in dependencies(folder, section) {
                let sideways = floor_of(&dependency).is_some_and(|floor| floor > 0);
                assert!(!sideways, "{folder} names {dependency} and must stay generic");
            }
        }
    }
}

/// A protocol is a pure function: no clock, file, socket, thread or random order.
#[test]
fn algorithm_crates_are_pure() {
    let mut seen = 0;
    for name in PROTOCOLS.iter().chain(&["consensus-core"]) {
        for path in rust_files(&root().join("crates").join(name).join("src")) {
            let text = read(&path);
            for (number, line) in code_lines(&text) {
                seen += 1;
                for word in FORBIDDEN {
                    // Which bug is planted may be said from outside, in builds for rigs.
                    let planting = word == "std::env" && path.ends_with("src/mutant.rs");
                    let bad = line.contains(word) && !planting;
                    assert!(!bad, "{}:{number}: {word}", path.display());
                }
            }
        }
    }
    assert!(seen > 1000, "the test looked at {seen} lines only; it must have lost its way");
}

/// The drivers know no algorithm by name.
#[test]
fn drivers_name_no_algorithm() {
    for driver in ["sim", "runtime", "explore"] {
        for path in rust_files(&root().join("crates").join(driver)) {
            for (number, line) in code_lines(&read(&path)) {
                for name in ["synod_raft", "synod_paxos", "synod_multipaxos", "synod_pbft"] {
                    assert!(!line.contains(name), "{}:{number}: {name}", path.display());
                }
            }
        }
    }
}

#[test]
fn no_room_is_too_large_and_nothing_is_left_for_later() {
    for folder in FLOORS.concat() {
        for path in rust_files(&root().join(folder)) {
            let text = read(&path);
            let lines = code_lines(&text).count();
            let is_test = path.components().any(|part| part.as_os_str() == "tests");
            assert!(is_test || lines <= ROOM, "{} has {lines} lines", path.display());
            assert!(path.file_stem().is_some_and(|stem| stem != "util"), "{}", path.display());
            let left =
                ["TO".to_owned() + "DO", "FIX".to_owned() + "ME", "#[ign".to_owned() + "ore"];
            for (number, line) in text.lines().enumerate() {
                for word in &left {
                    assert!(!line.contains(word), "{}:{}: {word}", path.display(), number + 1);
                }
                let width = line.chars().count();
                assert!(width <= 100 || line.contains("http"), "{}:{}", path.display(), number + 1);
            }
        }
    }
}

/// A crate's tests are one program, which names its files: a file that nobody names is a test that
/// cannot fail.
#[test]
fn no_file_of_tests_is_left_out() {
    for folder in FLOORS.concat() {
        let folder = root().join(folder);
        let Ok(program) = fs::read_to_string(folder.join("tests/main.rs")) else { continue };
        let manifest = read(&folder.join("Cargo.toml"));
        for path in rust_files(&folder.join("tests")) {
            if path.parent() != Some(&folder.join("tests")) || path.ends_with("main.rs") {
                continue;
            }
            let stem = path.file_stem().expect("a file has a name").display().to_string();
            let is_named = program.lines().any(|line| line == format!("mod {stem};"))
                || manifest.contains(&format!("path = \"tests/{stem}.rs\""));
            assert!(is_named, "{} is in no program of tests", path.display());
        }
    }
}

/// The algorithm crates rhyme: who has read one finds anything in the next.
#[test]
fn algorithm_crates_rhyme() {
    for protocol in PROTOCOLS {
        let folder = root().join("crates").join(protocol);
        for file in [
            "src/lib.rs",
            "src/message.rs",
            "src/record.rs",
            "src/config.rs",
            "src/replica.rs",
            "src/audit.rs",
            "src/invariants.rs",
            "src/mutants.rs",
            "tests/paper.rs",
            "tests/simulation.rs",
        ] {
            assert!(folder.join(file).is_file(), "crates/{protocol} has no {file}");
        }
        let example = if protocol == "pbft" { "four_nodes.rs" } else { "three_nodes.rs" };
        assert!(folder.join("examples").join(example).is_file(), "crates/{protocol}: {example}");
    }
}
