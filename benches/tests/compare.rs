//! The whole way of each comparison, on small inputs: options in, tables and files out.

use serde_json::Value;
use synod_algorithms::Algorithm;
use synod_benches::{
    BATCHES, ClusterSize, CompareError, Comparison, CostOptions, FailoverOptions, Load, Mode,
    RunOptions, assert_for,
};

fn silent(_stage: &str, _done: u64, _total: u64) {}

fn small(mode: Mode) -> RunOptions {
    RunOptions {
        workload: "kv-write:32".parse().expect("a workload"),
        operations: 120,
        load: Load::Closed(4),
        batch: 4,
        seeds: 2,
        mode,
        ..RunOptions::default()
    }
}

fn row<'a>(data: &'a Value, section: &str, algorithm: &str) -> &'a Value {
    let rows = data["sections"][section]["rows"].as_array().expect("a section with rows");
    rows.iter().find(|row| row["algorithm"] == algorithm).expect("a row of this algorithm")
}

fn compared(options: &RunOptions) -> Comparison {
    synod_benches::run(options, &mut silent).unwrap_or_else(|error| panic!("{error}"))
}

/// The default is equal f = 1: three nodes, four for PBFT, and every cost as theory says.
#[test]
fn a_simulated_comparison_has_all_algorithms_beside_their_theory() {
    let comparison = compared(&small(Mode::Sim));
    assert!(comparison.valid(), "{}", comparison.text());
    let data = comparison.json("test");
    for (algorithm, n, messages, delays, syncs) in [
        ("paxos", 3.0, 8.0, 6.0, 2.0),
        ("multipaxos", 3.0, 4.0, 4.0, 1.0),
        ("raft", 3.0, 4.0, 4.0, 1.0),
        ("pbft", 4.0, 24.0, 5.0, 2.0),
    ] {
        let cost = row(&data, "cost", algorithm);
        assert_eq!(cost["n"], n);
        assert_eq!(cost["messages"], messages, "{algorithm}");
        assert_eq!(cost["theory_messages"], messages);
        assert_eq!(cost["client_delays"], delays);
        assert_eq!(cost["syncs"], syncs);
        let latency = row(&data, "latency", algorithm);
        assert!(latency["p50_ms"].as_f64() <= latency["p99_ms"].as_f64());
        assert!(latency["p50_ms"].as_f64() > Some(0.0));
    }
    assert!(data["sections"].get("real").is_none());
}

/// A seed is a result: a report can be made again from its options.
#[test]
fn a_simulated_comparison_can_be_repeated() {
    let one = compared(&small(Mode::Sim)).json("test");
    assert_eq!(one, compared(&small(Mode::Sim)).json("test"));
    let other = compared(&RunOptions { seed: 2, ..small(Mode::Sim) }).json("test");
    assert_ne!(one["raw"]["trace"], other["raw"]["trace"]);
}

/// Simulated and real results never share a table, and every row was given the same trace.
#[test]
fn real_and_simulated_results_stand_in_tables_of_their_own() {
    let mut options = small(Mode::Both);
    options.algorithms = vec![Algorithm::Raft, Algorithm::Pbft];
    let comparison = compared(&options);
    let data = comparison.json("test");
    let sections: Vec<_> = data["sections"].as_object().expect("sections").keys().collect();
    assert_eq!(sections, ["cost", "latency", "real"]);
    for algorithm in ["raft", "pbft"] {
        let real = row(&data, "real", algorithm);
        assert!(real["throughput"].as_f64() > Some(0.0));
        assert_eq!(real["failed"], 0.0);
    }
    let trace = data["raw"]["trace"].as_str().expect("a hash");
    assert!(comparison.text().contains(trace), "the hash is printed");
    assert!(comparison.text().contains("node 0"), "and where the clients sit");
}

/// Every algorithm answers every operation over real sockets and disks, sends at least what a
/// quorum needs when nothing is batched (retries only add), and leaves nothing behind.
#[test]
fn every_algorithm_serves_a_workload_for_real() {
    let dir = std::env::temp_dir().join(format!("synod-compare-{}", std::process::id()));
    std::fs::create_dir(&dir).expect("a folder");
    let options = RunOptions {
        operations: 60,
        load: Load::Closed(1),
        batch: 1,
        dir: Some(dir.clone()),
        ..small(Mode::Real)
    };
    let data = compared(&options).json("test");
    for (algorithm, theory) in [("paxos", 8.0), ("multipaxos", 4.0), ("raft", 4.0), ("pbft", 24.0)]
    {
        let real = row(&data, "real", algorithm);
        assert_eq!(real["failed"], 0.0, "{algorithm}");
        // A command waits for a quorum only; a replica that is slower may get several at once.
        let least = theory / 2.0 - theory / 60.0;
        assert!(real["messages"].as_f64() >= Some(least), "{algorithm}: {real}");
    }
    let left = std::fs::read_dir(&dir).expect("the folder").count();
    assert_eq!(left, 0, "files are left behind");
    std::fs::remove_dir(dir).expect("removed");
}

/// A simulated answer takes four delays and a sync at least, and one seed is one distribution.
///
/// Coordinated omission: when more is due than the cluster can do, waiting before the sending
/// counts, so latency grows through the run; a closed load would hide that.
#[test]
fn an_open_load_counts_from_when_an_operation_was_due() {
    let latency = |load, seed| {
        let algorithms = vec![Algorithm::Raft];
        let usual = RunOptions { clients: 4, operations: 400, ..small(Mode::Sim) };
        let options = RunOptions { algorithms, load, seed, ..usual };
        row(&compared(&options).json("test"), "latency", "raft").clone()
    };
    let closed = latency(Load::Closed(4), 3);
    assert_eq!(closed, latency(Load::Closed(4), 3));
    assert_ne!(closed, latency(Load::Closed(4), 4));
    assert!(closed["p50_ms"].as_f64() >= Some(4.0 * 0.15 + 0.2), "{closed}");
    let flooded = latency(Load::Open(1e6), 3);
    let p99 = |row: &Value| row["p99_ms"].as_f64().expect("a time");
    assert!(p99(&flooded) > 10.0 * p99(&closed), "{flooded} against {closed}");
}

/// Theory against the simulator on a small part of the table; the whole is `compare assert`.
#[test]
fn measured_equals_theory_for_small_clusters() {
    for (algorithm, nodes) in Algorithm::ALL.into_iter().zip([3, 3, 3, 4]) {
        let report = assert_for(&[algorithm], &[nodes], &BATCHES, &mut silent);
        let report = report.unwrap_or_else(|failure| panic!("{failure}"));
        assert_eq!(report.runs, 2 * (1 + algorithm.variants().len()));
        assert!(report.cells >= 20, "{report}");
    }
}

/// An open load for real: latency is there for every operation, from when it was due.
#[test]
fn an_open_load_is_served_for_real() {
    let mut options = small(Mode::Real);
    options.algorithms = vec![Algorithm::Raft];
    options.load = Load::Open(2000.0);
    options.clients = 8;
    let data = compared(&options).json("test");
    assert_eq!(row(&data, "real", "raft")["failed"], 0.0);
    assert!(data["sections"].get("cost").is_none());
}

#[test]
fn costs_leave_out_what_cannot_be_and_say_so() {
    let options = CostOptions { ns: vec![3, 4], batches: vec![1], ..CostOptions::default() };
    let comparison = synod_benches::cost(&options, &mut silent).expect("measured");
    assert!(comparison.valid(), "{}", comparison.text());
    assert!(comparison.text().contains("pbft cannot run with n = 3"));
    assert_eq!(
        comparison.json("test")["sections"]["cost"]["rows"].as_array().map(Vec::len),
        Some(7)
    );
}

/// Nobody notices before the shortest election timeout, less what was already
/// waited since the last sign of the leader.
#[test]
fn a_killed_leader_is_missed_for_at_least_the_shortest_timeout() {
    let options = FailoverOptions {
        algorithms: Algorithm::ALL.to_vec(),
        size: ClusterSize::F(1),
        seeds: 2,
        seed: 5,
        rate: 200.0,
    };
    let comparison = synod_benches::failover(&options, &mut silent).expect("recovered");
    assert!(comparison.valid());
    let data = comparison.json("test");
    for algorithm in ["multipaxos", "raft"] {
        let least = row(&data, "failover", algorithm)["min_ms"].as_f64().expect("a number");
        assert!(least > 250.0, "{algorithm} noticed after {least} ms");
    }
    for algorithm in Algorithm::ALL {
        let most = row(&data, "failover", algorithm.name())["max_ms"].as_f64().expect("a number");
        assert!(most < 20_000.0, "{algorithm} took {most} ms");
    }
}

#[test]
fn options_without_sense_are_refused_in_words() {
    let complaint = |options: RunOptions| match synod_benches::run(&options, &mut silent) {
        Err(CompareError::Options(what)) => what,
        other => panic!("not refused: {other:?}"),
    };
    let nobody = RunOptions { algorithms: Vec::new(), ..RunOptions::default() };
    assert!(complaint(nobody).contains("at least one algorithm"));
    let huge = RunOptions { size: ClusterSize::F(60), ..RunOptions::default() };
    assert!(complaint(huge).contains("pbft would need 181 replicas"));
    let idle = RunOptions { load: Load::Closed(0), ..RunOptions::default() };
    assert!(complaint(idle).contains("clients"));
}
