//! The example of a Kubernetes Job: its parts fit together, and the binary takes its arguments.

use crate::cluster::{Folder, complained, said, synod};

const JOB: &str = include_str!("../../../../deploy/k8s/simulate-job.yaml");

/// The values under `key:` of a list, one a line.
fn list(key: &str) -> Vec<&'static str> {
    let below = JOB.lines().skip_while(|line| line.trim() != format!("{key}:")).skip(1);
    below.map_while(|line| line.trim().strip_prefix("- ")).collect()
}

/// The value of a key that stands there once.
fn value(key: &str) -> &'static str {
    let found = JOB.lines().find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(": "));
    found.unwrap_or_else(|| panic!("no {key} in the Job"))
}

/// What is indented by an odd number of blanks, or by tabs, is not what it looks like.
#[test]
fn the_job_is_indexed_and_has_as_many_parts_as_the_seeds() {
    assert_eq!((value("apiVersion"), value("kind")), ("batch/v1", "Job"));
    assert_eq!(value("completionMode"), "Indexed");
    let parts = value("completions");
    assert_eq!(value("parallelism"), parts);
    let shard = format!("--shard=$(JOB_COMPLETION_INDEX)/{parts}");
    assert!(list("args").contains(&shard.as_str()), "{:?}", list("args"));
    assert_eq!(value("restartPolicy"), "Never", "a pod that found something is not run again");
    let name = value("claimName");
    assert!(!name.is_empty() && JOB.contains("name: JOB_COMPLETION_INDEX"), "{name}");
    for line in JOB.lines() {
        let indent = line.len() - line.trim_start().len();
        assert!(indent % 2 == 0 && !line.contains('\t'), "{line:?}");
    }
}

/// What a pod runs, with a directory of ours and few seeds: usage errors end with 2.
#[tokio::test]
async fn the_binary_takes_the_arguments_of_the_job() {
    let folder = Folder::new("job");
    let mount = value("mountPath");
    let state = folder.path().display().to_string();
    let ours = |arg: &str| {
        let arg = arg.replace("$(JOB_COMPLETION_INDEX)", "3").replace(mount, &state);
        if arg.starts_with("--seeds=") { "--seeds=16".to_owned() } else { arg }
    };
    let args: Vec<String> = list("args").into_iter().map(ours).collect();
    let output = synod(&args.iter().map(String::as_str).collect::<Vec<_>>()).await;
    assert_ne!(output.status.code(), Some(2), "{args:?}: {}", complained(&output));
    let answer: serde_json::Value = serde_json::from_str(&said(&output)).expect("JSON");
    assert!(answer["algorithms"].as_array().is_some_and(|all| !all.is_empty()), "{answer}");
    assert!(folder.path().join("simulate-3.json").exists(), "its state is where it was to be");
}
