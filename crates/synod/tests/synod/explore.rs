//! A search, killed midway with `kill -9`, goes on where it was and visits the same states.

use crate::cluster::{Folder, LONG, SYNOD, complained, said, synod};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

/// Where each search ends: far enough for some states, near enough for a test.
const STATES: u64 = 60_000;

fn search(state: &Path) -> Vec<String> {
    let state = state.display().to_string();
    let what = ["explore", "--algo", "raft", "--preset", "closed", "--json", "--threads", "1"];
    let states = STATES.to_string();
    let limits = ["--max-states", &states, "--every", "0.001", "--state", &state];
    what.iter().chain(&limits).map(|word| (*word).to_owned()).collect()
}

/// Starts the search, and kills it when it has written its state twice. True if it was not done.
async fn killed(state: &Path) -> bool {
    let mut command = Command::new(SYNOD);
    command.args(search(state)).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    let mut notes = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    let mut kept = 0;
    while kept < 2 {
        let note = timeout(LONG, notes.next_line()).await.expect("it says how far it is");
        let Some(note) = note.expect("a line") else { return false };
        kept += u32::from(note.contains("kept at"));
    }
    child.kill().await.expect("a child can be killed");
    while let Some(note) = notes.next_line().await.expect("a line") {
        let last = note.strip_prefix("raft: kept at ").and_then(|rest| rest.split(' ').next());
        if last.and_then(|states| states.parse().ok()) >= Some(STATES) {
            return false;
        }
    }
    true
}

/// What the search says at its end, without what depends on the machine, and on how often it was
/// stopped: the steps that this process worked out.
async fn finish(state: &Path) -> (Value, String) {
    let search = search(state);
    let output = synod(&search.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(output.status.success(), "{}", complained(&output));
    let mut answer: Value = serde_json::from_str(&said(&output)).expect("JSON");
    let fields = answer.as_object_mut().expect("an object");
    for own in ["seconds", "states_per_second", "node_steps"] {
        assert!(fields.remove(own).is_some(), "{own} is told");
    }
    (answer, complained(&output))
}

#[tokio::test]
async fn a_killed_search_goes_on_and_visits_the_same_states() {
    let folder = Folder::new("explore");
    let (resumed, whole) = (folder.path().join("resumed"), folder.path().join("whole"));
    let midway = async {
        while !killed(&resumed).await {
            // On a busy machine it may be done before it is killed.
            std::fs::remove_file(&resumed).expect("the state is there");
        }
    };
    timeout(LONG, midway).await.expect("it can be killed before it is done");
    let (after, notes) = finish(&resumed).await;
    assert!(notes.contains("raft: goes on after"), "{notes}");
    let (straight, _) = finish(&whole).await;
    assert_eq!(after, straight);
    assert!(straight["states"].as_u64() >= Some(STATES), "{straight}");
    let (again, _) = finish(&resumed).await;
    assert_eq!(again, straight, "a search that is done does nothing more");
}

/// A state belongs to one search, and damage is no state.
#[tokio::test]
async fn a_state_of_another_search_is_refused() {
    let folder = Folder::new("other-search");
    let state = folder.path().join("state").display().to_string();
    let run = async |algo: &str, depth: &str| {
        let args = ["explore", "--algo", algo, "--preset", "small", "--max-states", "100"];
        synod(&[&args[..], &["--state", &state, "--depth", depth]].concat()).await
    };
    assert!(run("raft", "5").await.status.success());
    for (algo, depth, why) in [("paxos", "5", "algorithm is \"raft\""), ("raft", "6", "bounds")] {
        let other = run(algo, depth).await;
        assert_eq!(other.status.code(), Some(2));
        assert!(complained(&other).contains(why), "{}", complained(&other));
    }
    let two = run("raft,paxos", "5").await;
    assert!(complained(&two).contains("name one algorithm"), "{}", complained(&two));
    let mut bytes = std::fs::read(&state).expect("the state");
    *bytes.last_mut().expect("bytes") ^= 1;
    std::fs::write(&state, bytes).expect("it can be written");
    let damaged = run("raft", "5").await;
    assert_eq!(damaged.status.code(), Some(2));
    assert!(complained(&damaged).contains("no state of a search"), "{}", complained(&damaged));
}
