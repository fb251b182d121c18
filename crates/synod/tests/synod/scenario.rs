//! `synod scenario`: files that hold, files that do not, and files that are none.

use crate::cluster::{Folder, complained, said, synod};
use std::fs;

const ELECTION: &str = "\
scenario \"one election\"
algo raft
nodes 3
disks instant

campaign n0
deliver request-vote n0 -> n1
deliver vote n1 -> n0
expect leader n0
propose n0 \"a\"
deliver append-entries n0 -> n1
deliver append-reply n1 -> n0
deliver append-entries n0 -> n1
deliver append-reply n1 -> n0
expect committed n0 == 2
expect safe
";

async fn play(text: &str, flags: &[&str]) -> (Option<i32>, String, String) {
    let folder = Folder::new("scenario");
    let file = folder.path().join("test.scn");
    fs::write(&file, text).expect("a file");
    let file = file.display().to_string();
    let output = synod(&[&["scenario", &file], flags].concat()).await;
    (output.status.code(), said(&output), complained(&output))
}

#[tokio::test]
async fn a_scenario_that_holds_ends_well_and_can_be_drawn() {
    let (code, text, _) = play(ELECTION, &["--chart"]).await;
    assert_eq!(code, Some(0), "{text}");
    assert!(text.contains("request-vote") && text.contains("leads in epoch 1"), "{text}");
    assert!(text.contains("o------>|") && text.contains("commits 2: \"a\""), "{text}");
    assert!(text.contains("all as expected"), "{text}");
}

#[tokio::test]
async fn what_is_not_as_expected_is_said_with_its_line() {
    let (code, text, _) = play(&ELECTION.replace("leader n0", "leader n1"), &[]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("line 9: expected leader n1; n1 is Follower"), "{text}");
    let impossible = ELECTION.replace("deliver vote n1", "deliver vote n2");
    let (code, text, _) = play(&impossible, &[]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("line 8: cannot deliver vote n2 -> n0: no such vote"), "{text}");
    let (code, text, _) = play(&ELECTION.replace("safe", "violation O1"), &[]).await;
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("expected a violation of O1; there was none"), "{text}");
}

#[tokio::test]
async fn files_that_are_no_scenarios_are_refused() {
    for (wrong, words) in [
        (ELECTION.replace("campaign", "champagne"), "line 6: expected one of"),
        (ELECTION.replace("raft", "zab"), "no algorithm 'zab'"),
        (ELECTION.replace("nodes 3", "nodes 3\nmutant R99"), "no bug 'R99' is planted in raft"),
        (ELECTION.replace("nodes 3", "nodes 3\ntraitors n1"), "stands 0 traitors"),
    ] {
        let (code, _, text) = play(&wrong, &[]).await;
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains(words) && text.contains("test.scn"), "{text}");
    }
}
