//! A long run, killed midway with `kill -9`, goes on where it was and comes to the same sums.

use crate::cluster::{Folder, LONG, SYNOD, complained, said, synod};
use serde_json::Value;
use std::path::Path;
use std::process::Stdio;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;
use tokio::time::timeout;

fn job(state: &Path) -> Vec<String> {
    let state = state.display().to_string();
    ["simulate", "--long", "--json", "--algo", "paxos,raft", "--seeds", "150", "--recheck", "10"]
        .into_iter()
        .chain(["--every", "0.02", "--state", &state])
        .map(str::to_owned)
        .collect()
}

/// Starts the job, and kills it when it has written its state a few times. On a busy machine the
/// job may be done before it is killed; then it begins anew.
async fn kill_midway(state: &Path) -> u64 {
    let trying = async {
        loop {
            kill_soon(state).await;
            let before = done(state);
            if (1..300).contains(&before) {
                return before;
            }
            std::fs::remove_file(state).expect("the state is there");
        }
    };
    timeout(LONG, trying).await.expect("it can be killed before it is done")
}

async fn kill_soon(state: &Path) {
    let mut command = Command::new(SYNOD);
    command.args(job(state)).kill_on_drop(true);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("the program runs");
    let mut notes = BufReader::new(child.stderr.take().expect("a pipe")).lines();
    for _ in 0..3 {
        let note = timeout(LONG, notes.next_line()).await.expect("it says how far it is");
        if note.expect("a line").is_none() {
            break;
        }
    }
    child.kill().await.expect("a child can be killed");
}

/// What the job says at its end; without what depends on the machine.
async fn finish(state: &Path) -> (Value, String) {
    let job = job(state);
    let output = synod(&job.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert!(output.status.success(), "{}", complained(&output));
    let mut answer: Value = serde_json::from_str(&said(&output)).expect("JSON");
    for algorithm in answer["algorithms"].as_array_mut().expect("a list") {
        let fields = algorithm.as_object_mut().expect("an object");
        for timed in ["cpu_ns", "cluster_hours_per_cpu_minute", "events_per_cpu_second"] {
            assert!(fields.remove(timed).is_some(), "{timed} is told");
        }
    }
    (answer, complained(&output))
}

fn done(state: &Path) -> u64 {
    let text = std::fs::read_to_string(state).expect("the state is there");
    let state: Value = serde_json::from_str(&text).expect("a killed run leaves a whole state");
    let ranges = state["done"].as_array().expect("a list");
    ranges.iter().map(|range| range[1].as_u64().unwrap() - range[0].as_u64().unwrap()).sum()
}

#[tokio::test]
async fn a_killed_run_goes_on_and_comes_to_the_same_sums() {
    let folder = Folder::new("long");
    let (killed, whole) = (folder.path().join("killed.json"), folder.path().join("whole.json"));
    let before = kill_midway(&killed).await;
    let (resumed, notes) = finish(&killed).await;
    assert!(notes.contains(&format!("goes on after {before} of 300 runs")), "{notes}");
    let (straight, _) = finish(&whole).await;
    assert_eq!(resumed, straight);
    assert_eq!(resumed["complete"], true);
    assert!(resumed["algorithms"][0]["rechecked"].as_u64() > Some(0), "{resumed}");
    let (again, _) = finish(&killed).await;
    assert_eq!(again, straight, "a run that is done does nothing more");
}

/// Two shards do what one run does.
#[tokio::test]
async fn shards_add_up_to_the_whole() {
    let run = async |shard: &str| {
        let args = ["simulate", "--long", "--json", "--algo", "raft", "--seeds", "41"];
        let output = synod(&[&args[..], &["--recheck", "0", "--shard", shard]].concat()).await;
        let answer: Value = serde_json::from_str(&said(&output)).expect("JSON");
        let sum = |field: &str| answer["algorithms"][0][field].as_u64().expect("a number");
        let hash = answer["algorithms"][0]["hash"].as_str().expect("a hash").to_owned();
        let hash = u64::from_str_radix(&hash, 16).expect("a hash");
        [sum("seeds"), sum("events"), sum("operations"), hash]
    };
    let (whole, first, second) = (run("0/1").await, run("0/2").await, run("1/2").await);
    let sum: Vec<u64> = first.iter().zip(second).map(|(a, b)| a.wrapping_add(b)).collect();
    assert_eq!(sum, whole);
    assert_eq!((first[0], second[0]), (20, 21));
}

/// A state belongs to one job: other flags would add up what does not belong together.
#[tokio::test]
async fn a_state_of_another_job_is_refused() {
    let folder = Folder::new("other-job");
    let state = folder.path().join("run.json").display().to_string();
    let run = async |seeds: &str| {
        let args = ["simulate", "--long", "--algo", "raft", "--state", &state, "--seeds", seeds];
        synod(&args).await
    };
    assert!(run("5").await.status.success());
    let other = run("6").await;
    assert_eq!(other.status.code(), Some(2));
    let text = complained(&other);
    assert!(text.contains("seeds is 5, not 6") && text.contains(&state), "{text}");
    std::fs::write(&state, "{\"job\":").expect("it can be written");
    let damaged = run("5").await;
    assert_eq!(damaged.status.code(), Some(2));
    assert!(complained(&damaged).contains("no state of a long run"), "{}", complained(&damaged));
}
