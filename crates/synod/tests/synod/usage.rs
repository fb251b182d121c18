//! Wrong flags and wrong files: exit code 2, and a message that says what was wrong and what to do.

use crate::cluster::{Disk, Folder, Processes, complained, said, synod};
use synod_algorithms::Algorithm;

async fn usage_error(args: &[&str], words: &[&str]) {
    let output = synod(args).await;
    let text = complained(&output);
    assert_eq!(output.status.code(), Some(2), "synod {args:?}: {text}");
    for word in words {
        assert!(text.contains(word), "synod {args:?} does not say '{word}': {text}");
    }
}

const FOUR: &str = "127.0.0.1:1,127.0.0.1:2,127.0.0.1:3,127.0.0.1:4";

#[tokio::test]
async fn wrong_flags_are_named() {
    let cases: &[(&[&str], &[&str])] = &[
        (&["simulat"], &["simulat", "simulate"]),
        (&["simulate", "--algo", "zab"], &["zab", "multipaxos"]),
        (&["simulate", "--seeds", "0"], &["--seeds", "0"]),
        (&["simulate", "--trace"], &["--trace", "--algo"]),
        (&["simulate", "--algo", "raft", "--trace", "--seeds", "5"], &["--seeds 1"]),
        (&["simulate", "--tla", "/tmp/x"], &["--tla", "--algo"]),
        (&["simulate", "--algo", "raft", "--tla", "/tmp/x"], &["--tla", "--seeds 1"]),
        (&["simulate", "--algo", "pbft", "--seeds", "1", "--tla", "/tmp/x"], &["pbft", "TLA+"]),
        (&["simulate", "--tla-steps", "9"], &["--tla"]),
        (&["simulate", "--seed", "18446744073709551615", "--seeds", "2"], &["--seed"]),
        (&["simulate", "--long"], &["--seeds", "--minutes"]),
        (&["simulate", "--shard", "0/2"], &["--long"]),
        (&["simulate", "--long", "--seeds", "9", "--shard", "2/2"], &["2/2", "0/4"]),
        (&["simulate", "--long", "--seeds", "1", "--shard", "1/3"], &["--shard", "empty"]),
        (&["simulate", "--long", "--seeds", "9", "--recheck", "101"], &["--recheck", "100"]),
        (&["simulate", "--long", "--minutes", "0"], &["--minutes", "0"]),
        (&["simulate", "--shrink=a.scn"], &["--shrink=FILE", "--algo"]),
        (&["simulate", "--algo", "raft", "--mutant", "R99"], &["R99", "R01"]),
        (&["scenario"], &["FILE"]),
        (&["scenario", "/no/such.scn"], &["/no/such.scn"]),
        (&["explore", "--preset", "huge"], &["huge", "closed"]),
        (&["explore", "--algo", "raft", "--preset", "traitor"], &["traitor", "raft"]),
        (&["explore", "--algo", "pbft", "--nodes", "3"], &["pbft", "at least 4"]),
        (&["explore", "--nodes", "99"], &["99"]),
        (&["explore", "--shard", "4/4"], &["--shard", "0/4"]),
        (&["explore", "--duplicates", "many"], &["--duplicates", "any"]),
        (&["compare"], &["Usage"]),
        (&["compare", "run", "--n", "3", "--f", "1"], &["--n", "--f"]),
        (&["compare", "run", "--algo", "pbft", "--n", "3"], &["pbft", "--n 3"]),
        (&["compare", "run", "--sim", "--real"], &["--sim", "--real"]),
        (&["compare", "run", "--load", "half:3"], &["closed:CLIENTS"]),
        (&["compare", "run", "--workload", "/no/such/trace"], &["/no/such/trace"]),
        (&["compare", "run", "--batch", "0"], &["at least 1"]),
        (&["serve"], &["--config"]),
        (&["serve", "--algo", "raft", "--id", "0"], &["--peers"]),
        (&["serve", "--config", "a", "--algo", "raft"], &["--config", "--algo"]),
        (&["serve", "--config", "/no/such/node.toml"], &["/no/such/node.toml"]),
        (&["cluster"], &["--dir"]),
        (&["cluster", "--dir", "/tmp/x", "--nodes", "many"], &["many"]),
        (&["ctl", "get", "x"], &["--cluster"]),
        (&["ctl", "--addr", "127.0.0.1:1", "get", "x"], &["--algo"]),
        (&["ctl", "--cluster", "/no/such/folder", "get", "x"], &["/no/such/folder"]),
        (&["ctl", "--cluster", "x", "cas", "key", "new"], &["--expect", "--absent"]),
        (&["ctl", "--algo", "raft", "--addr", "nowhere", "get", "x"], &["nowhere"]),
        (&["ctl", "--algo", "pbft", "--addr", FOUR, "get", "x"], &["pbft signs", "--cluster"]),
    ];
    for (args, words) in cases {
        usage_error(args, words).await;
    }
}

/// Flags that fit none or too many replicas.
#[tokio::test]
async fn replicas_that_cannot_be_are_refused() {
    let folder = Folder::new("usage");
    let dir = folder.path().join("disk").display().to_string();
    let three = "127.0.0.1:4,127.0.0.1:5,127.0.0.1:6";
    let serve = |algorithm, id, peers| {
        ["serve", "--algo", algorithm, "--id", id, "--peers", peers, "--dir"].map(str::to_owned)
    };
    for (algorithm, id, peers, word) in [
        ("raft", "3", three, "not 3"),
        ("pbft", "0", three, "4"),
        ("raft", "0", "127.0.0.1:4,127.0.0.1:4", "two replicas"),
    ] {
        let mut args = serve(algorithm, id, peers).to_vec();
        args.push(dir.clone());
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        usage_error(&args, &[word]).await;
    }
}

/// A replica without TLS does not listen to the world by accident.
#[tokio::test]
async fn remote_addresses_need_a_word() {
    let folder = Folder::new("remote");
    let dir = folder.path().join("disk").display().to_string();
    let output = synod(&[
        "serve",
        "--algo",
        "raft",
        "--id",
        "0",
        "--peers",
        "0.0.0.0:4",
        "--dir",
        &dir,
        "--init",
    ])
    .await;
    assert!(!output.status.success());
    assert!(complained(&output).contains("--allow-remote"), "{}", complained(&output));
}

#[tokio::test]
async fn files_that_are_wrong_are_named_with_the_line() {
    let folder = Folder::new("files");
    let config = folder.path().join("node.toml");
    let path = config.display().to_string();
    std::fs::write(&config, "algorithm = \"raft\"\nid = \"zero\"\n").expect("it can be written");
    usage_error(&["serve", "--config", &path], &[&path, "line 2"]).await;
    std::fs::write(&config, [0xff, 0xfe, 0x00]).expect("it can be written");
    let output = synod(&["serve", "--config", &path]).await;
    assert!(!output.status.success() && complained(&output).contains(&path));
    let dir = folder.path().display().to_string();
    let listing = complained(&synod(&["cluster", "--dir", &dir]).await);
    assert!(listing.contains("not empty"), "{listing}");
}

#[tokio::test]
async fn help_is_there_and_is_no_error() {
    for command in ["", "compare", "simulate", "mutants", "serve", "cluster", "ctl"] {
        let mut args: Vec<&str> = command.split_terminator(' ').collect();
        args.push("--help");
        let output = synod(&args).await;
        assert!(output.status.success(), "{args:?}");
        assert!(said(&output).contains("Usage: synod"), "{args:?}: {}", said(&output));
    }
}

/// What scripts see: exit codes and one JSON object.
#[tokio::test]
async fn ctl_tells_scripts_how_it_went() {
    let cluster = Processes::start(Algorithm::Raft, 3, Disk::Plain).await;
    let cases: &[(&[&str], i32, &str)] = &[
        (&["get", "x"], 1, "\"value\":null"),
        (&["put", "x", "one"], 0, "\"outcome\":\"committed\""),
        (&["get", "x"], 0, "\"value\":\"one\""),
        (&["cas", "x", "two", "--expect", "other"], 1, "\"swapped\":false"),
        (&["cas", "x", "two", "--expect", "one"], 0, "\"swapped\":true"),
        (&["cas", "x", "three", "--absent"], 1, "\"swapped\":false"),
        (&["get", "x"], 0, "\"value\":\"two\""),
        (&["del", "x"], 0, "\"deleted\":true"),
        (&["del", "x"], 1, "\"deleted\":false"),
        (&["cas", "x", "three", "--absent"], 0, "\"swapped\":true"),
        (&["status"], 0, "\"leader\""),
    ];
    for (args, code, words) in cases {
        let mut with_json = vec!["--json"];
        with_json.extend_from_slice(args);
        let output = cluster.ctl(&with_json).await;
        let text = said(&output);
        assert_eq!(output.status.code(), Some(*code), "{args:?}: {text}{}", complained(&output));
        assert!(text.contains(words), "{args:?}: {text}");
        serde_json::from_str::<serde_json::Value>(&text).expect("one JSON object");
    }
}

/// Nothing runs: that is said at once, and is not the same as an unknown outcome.
#[tokio::test]
async fn ctl_says_when_nobody_is_there() {
    let mut cluster = Processes::start(Algorithm::Raft, 3, Disk::Plain).await;
    for id in 0..cluster.size() {
        cluster.kill(id).await;
    }
    let asks = ["--timeout", "1", "get", "x"];
    for command in [&asks[..], &["status"], &["--timeout", "1", "snapshot"]] {
        let output = cluster.ctl(command).await;
        assert_eq!(output.status.code(), Some(5), "{command:?}: {}", complained(&output));
    }
    let mut one = cluster;
    one.restart(0).await;
    let output = one.ctl(&["--timeout", "1", "put", "x", "1"]).await;
    let code = output.status.code();
    assert!(matches!(code, Some(3 | 4)), "one of three cannot commit: {}", complained(&output));
}
