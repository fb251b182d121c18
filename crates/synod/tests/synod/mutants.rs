//! The kill matrix from outside: what it says in a build without planted bugs, and in one with.

#[cfg(feature = "mutants")]
use crate::cluster::Folder;
use crate::cluster::{complained, said, synod};
#[cfg(feature = "mutants")]
use serde_json::Value;

/// Nobody gets planted bugs by accident, and who wants them is told how.
#[cfg(not(feature = "mutants"))]
#[tokio::test]
async fn a_build_without_planted_bugs_says_how_to_make_one() {
    let output = synod(&["mutants"]).await;
    assert_eq!(output.status.code(), Some(2));
    assert!(complained(&output).contains("--features mutants"), "{}", complained(&output));
    assert!(said(&output).is_empty());
}

#[cfg(feature = "mutants")]
#[tokio::test]
async fn bugs_are_found_and_the_page_is_written() {
    let folder = Folder::new("mutants");
    let page = folder.path().join("matrix.md").display().to_string();
    let few = ["mutants", "--json", "--only", "P01,R09,M25,B01", "--seeds", "50"];
    let output = synod(&[&few[..], &["--clean-seeds", "20", "--out", &page]].concat()).await;
    assert!(output.status.success(), "{}", complained(&output));
    let matrix: Value = serde_json::from_str(&said(&output)).expect("JSON");
    assert_eq!((&matrix["killed"], &matrix["ok"]), (&4.into(), &true.into()), "{matrix}");
    // A rig that cries out at the correct build proves nothing by crying out at a broken one.
    let correct = matrix["correct_build"].as_array().expect("rows");
    assert!(correct.len() >= 8 && correct.iter().all(|row| row["alarm"].is_null()), "{matrix}");
    let text = std::fs::read_to_string(page).expect("the page is there");
    for bug in ["| paxos | P01 |", "| raft | R09 |", "| multipaxos | M25 |", "| pbft | B01 |"] {
        assert!(text.contains(bug), "{text}");
    }
}

/// A bug that no rig can see within its budget is a hole in the rigs: exit code 1.
#[cfg(feature = "mutants")]
#[tokio::test]
async fn a_survivor_fails_the_command() {
    let blind = ["mutants", "--only", "R05", "--rig", "measured", "--clean-seeds", "0"];
    let output = synod(&blind).await;
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(complained(&output).contains("raft R05 survived"), "{}", complained(&output));
    let none = synod(&["mutants", "--only", "R99"]).await;
    assert_eq!(none.status.code(), Some(2));
    assert!(complained(&none).contains("'R99'") && complained(&none).contains("R01"));
}
