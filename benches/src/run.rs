//! `compare run`: the same recorded work for every algorithm, simulated and real.

use crate::comparison::{Comparison, Section};
use crate::cost;
use crate::options::{CompareError, Load, RunOptions};
use crate::plots;
use crate::real;
use crate::samples::Samples;
use crate::simulated::{latency, quiet::Quiet};
use crate::svg::Chart;
use crate::table::{Cell, Column, Table};
use crate::workload::Workload;
use consensus_core::{NodeId, Traffic};
use serde_json::{Map, Value, json};
use std::path::{Path, PathBuf};
use synod_algorithms::Algorithm;

type Progress<'a> = &'a mut dyn FnMut(&str, u64, u64);

const LATENCY: [Column; 10] = [
    Column::new("algorithm", ["algo", ""], ""),
    Column::new("n", ["n", ""], ""),
    Column::new("f", ["f", ""], ""),
    Column::new("operations", ["operations", "measured"], "of all seeds together, warm-up cut"),
    Column::new(
        "p50_ms",
        ["p50", "ms"],
        "from when an operation was due (closed load: begun) to its answer",
    ),
    Column::new("p90_ms", ["p90", "ms"], ""),
    Column::new("p99_ms", ["p99", "ms"], ""),
    Column::new("p99_9_ms", ["p99.9", "ms"], ""),
    Column::new("max_ms", ["max", "ms"], ""),
    Column::new("safe", ["safe", ""], ""),
];

const REAL: [Column; 13] = [
    Column::new("algorithm", ["algo", ""], ""),
    Column::new("n", ["n", ""], ""),
    Column::new("f", ["f", ""], ""),
    Column::new("throughput", ["ops", "/s"], "acknowledged operations a second, warm-up cut"),
    Column::new(
        "p50_ms",
        ["p50", "ms"],
        "from when an operation was due (closed load: begun) to its answer",
    ),
    Column::new("p99_ms", ["p99", "ms"], ""),
    Column::new("p99_9_ms", ["p99.9", "ms"], ""),
    Column::new("max_ms", ["max", "ms"], ""),
    Column::new(
        "messages",
        ["msgs", "/op"],
        "messages that decide commands; fewer than theory says where they share a batch",
    ),
    Column::new("bytes", ["bytes", "/op"], "bytes of these messages, without frames and TCP"),
    Column::new(
        "syncs",
        ["syncs", "/op"],
        "fdatasync calls of each node; one serves everything that waits for the disk",
    ),
    Column::new("signatures", ["sigs", "/op"], "signatures that replicas make"),
    Column::new("failed", ["not", "acked"], "operations without an acknowledged result"),
];

/// Sizes of clusters that are measured for the plot of messages against n.
const SCALE: [usize; 7] = [3, 4, 5, 7, 10, 13, 25];

/// Compares the algorithms on one workload.
///
/// # Errors
/// If the options make no sense, the workload cannot be had, or a cluster does not serve it.
pub fn run(
    options: &RunOptions,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<Comparison, CompareError> {
    check(options)?;
    let workload = Workload::record(&options.workload, options.operations, options.seed)?;
    let mut out = Comparison {
        title: format!("Consensus compared: {}", workload.name()),
        heading: heading(options, &workload),
        sections: Vec::new(),
        charts: Vec::new(),
        options: options_json(options),
        raw: json!({ "trace": format!("{:016x}", workload.hash().0) }),
        faults: Vec::new(),
    };
    let rows = rows(options, &mut out);
    let mut points = Vec::new();
    if options.mode.simulates() {
        costs(options, &workload, &rows, &mut out, progress)?;
        points = scale(&workload, &rows, &mut out, progress)?;
        latencies(options, &workload, &rows, &mut out, progress)?;
    }
    if options.mode.is_real() {
        for_real(options, &workload, &rows, &mut out, progress)?;
    }
    let algorithms: Vec<_> = rows.iter().map(|(algorithm, _)| *algorithm).collect();
    out.charts.push(plots::messages_against_n(&algorithms, &points));
    Ok(out)
}

fn check(options: &RunOptions) -> Result<(), CompareError> {
    let wrong = |what: &str| Err(CompareError::Options(what.to_owned()));
    if options.algorithms.is_empty() || options.operations == 0 || options.seeds == 0 {
        return wrong("name at least one algorithm, one operation and one seed");
    }
    if !(1..=1024).contains(&options.batch) {
        return wrong("a batch has 1 to 1024 commands");
    }
    if !(1..=2000).contains(&options.sessions()) {
        return wrong("there must be 1 to 2000 clients");
    }
    let too_large = |algorithm: &&Algorithm| options.size.nodes(&algorithm.info()) > NodeId::LIMIT;
    match options.algorithms.iter().find(too_large) {
        Some(algorithm) => wrong(&format!(
            "{algorithm} would need {} replicas for {}, and a cluster has at most {}",
            options.size.nodes(&algorithm.info()),
            options.size,
            NodeId::LIMIT
        )),
        None => Ok(()),
    }
}

fn heading(options: &RunOptions, workload: &Workload) -> Vec<String> {
    let load = match options.load {
        Load::Closed(1) => "1 client, which asks again when it was answered".to_owned(),
        Load::Closed(clients) => format!("{clients} clients, each asks again when it was answered"),
        Load::Open(rate) => {
            format!("{rate} operations a second are due, through {} sessions", options.sessions())
        }
    };
    vec![
        workload.describe(),
        format!(
            "{}; {load}; all clients at node 0, which leads where there is a leader; reads go \
             through the log like writes",
            options.size
        ),
    ]
}

fn options_json(options: &RunOptions) -> Value {
    json!({
        "algorithms": options.algorithms.iter().map(|of| of.name()).collect::<Vec<_>>(),
        "size": options.size.to_string(),
        "workload": options.workload.to_string(),
        "operations": options.operations,
        "load": options.load.to_string(),
        "sessions": options.sessions(),
        "batch": options.batch,
        "seeds": options.seeds,
        "seed": options.seed,
    })
}

/// The rows that can be: algorithm and nodes. What cannot be is noted.
fn rows(options: &RunOptions, out: &mut Comparison) -> Vec<(Algorithm, usize)> {
    let mut rows = Vec::new();
    for &algorithm in &options.algorithms {
        let nodes = options.size.nodes(&algorithm.info());
        if cost::possible(algorithm, nodes) {
            rows.push((algorithm, nodes));
        } else {
            out.heading.push(format!("{algorithm} is left out: it cannot run with n = {nodes}"));
        }
    }
    rows
}

/// Notes for rows that are not to be compared with the others.
fn notes(rows: &[(Algorithm, usize)]) -> Vec<String> {
    rows.iter().filter_map(|(algorithm, nodes)| cost::note(*algorithm, *nodes)).collect()
}

/// The quiet world, with batches of one command and of as many as were asked for.
fn costs(
    options: &RunOptions,
    workload: &Workload,
    rows: &[(Algorithm, usize)],
    out: &mut Comparison,
    progress: Progress<'_>,
) -> Result<(), CompareError> {
    let mut table = cost::table();
    let mut raw = Vec::new();
    let mut batches = vec![1, options.batch];
    batches.dedup();
    let total = (batches.len() * rows.len()) as u64;
    for batch in batches {
        for &(algorithm, nodes) in rows {
            progress("simulated costs", raw.len() as u64, total);
            let quiet = Quiet::measure(algorithm, nodes, batch, workload.operations())?;
            table.push(cost::row(&quiet));
            out.faults.extend(cost::faults(&quiet));
            raw.push(cost::raw_counts(&quiet));
        }
    }
    progress("simulated costs", total, total);
    put(out, "cost", Value::Array(raw));
    out.sections.push(Section {
        key: "cost",
        title: "Simulated: what a command costs, measured beside theory".into(),
        about: cost::conditions(),
        table,
        notes: notes(rows),
    });
    Ok(())
}

/// Messages of a command at several sizes, for the plot beside theory.
fn scale(
    workload: &Workload,
    rows: &[(Algorithm, usize)],
    out: &mut Comparison,
    progress: Progress<'_>,
) -> Result<Vec<(Algorithm, usize, f64)>, CompareError> {
    let possible = |&(algorithm, _): &(Algorithm, usize)| {
        SCALE
            .into_iter()
            .filter(move |n| cost::possible(algorithm, *n))
            .map(move |n| (algorithm, n))
    };
    let cells: Vec<_> = rows.iter().flat_map(possible).collect();
    let mut points = Vec::new();
    for &(algorithm, nodes) in &cells {
        progress("simulated sizes", points.len() as u64, cells.len() as u64);
        let quiet = Quiet::measure(algorithm, nodes, 1, workload.operations())?;
        out.faults.extend(cost::faults(&quiet));
        let messages = quiet.total().sent_for(Traffic::Command).messages;
        points.push((algorithm, nodes, messages as f64 / quiet.commands() as f64));
    }
    progress("simulated sizes", cells.len() as u64, cells.len() as u64);
    Ok(points)
}

/// The simulated local network.
fn latencies(
    options: &RunOptions,
    workload: &Workload,
    rows: &[(Algorithm, usize)],
    out: &mut Comparison,
    progress: Progress<'_>,
) -> Result<(), CompareError> {
    let mut table = Table::new(&LATENCY);
    let (mut raw, mut lines) = (Map::new(), Vec::new());
    let total = rows.len() as u64 * options.seeds;
    for (row, &(algorithm, nodes)) in rows.iter().enumerate() {
        let plan = latency::Plan {
            algorithm,
            nodes,
            workload,
            sessions: options.sessions(),
            load: options.load,
            batch: options.batch,
        };
        let mut samples = Samples::default();
        for seed in 0..options.seeds {
            progress("simulated latency", row as u64 * options.seeds + seed, total);
            samples.merge(&latency::measure(plan, options.seed.wrapping_add(seed))?);
        }
        table.push(latency_row(algorithm, nodes, &samples));
        raw.insert(algorithm.name().to_owned(), samples.json());
        lines.push((algorithm, samples));
    }
    progress("simulated latency", total, total);
    put(out, "simulated_latency_us", Value::Object(raw));
    out.charts.push(cdf("latency-sim", "Latency, simulated local network", &lines));
    out.sections.push(Section {
        key: "latency",
        title: "Simulated: latency in a local network".into(),
        about: vec![
            latency::conditions(),
            format!(
                "batches of up to {} commands; {} seeds from {}",
                options.batch, options.seeds, options.seed
            ),
        ],
        table,
        notes: notes(rows),
    });
    Ok(())
}

fn latency_row(algorithm: Algorithm, nodes: usize, samples: &Samples) -> Vec<Cell> {
    let share = |share| Cell::millis(samples.percentile(share));
    vec![
        Cell::text(algorithm.name()),
        Cell::number(nodes as f64),
        Cell::number(algorithm.info().max_faults(nodes) as f64),
        Cell::number(samples.len() as f64),
        share(0.5),
        share(0.9),
        share(0.99),
        share(0.999),
        share(1.0),
        Cell::text("yes"),
    ]
}

/// Real sockets and a real disk.
fn for_real(
    options: &RunOptions,
    workload: &Workload,
    rows: &[(Algorithm, usize)],
    out: &mut Comparison,
    progress: Progress<'_>,
) -> Result<(), CompareError> {
    let dir: PathBuf = options.dir.clone().unwrap_or_else(std::env::temp_dir);
    let disk = real::probe(&dir)?;
    let mut table = Table::new(&REAL);
    let (mut raw, mut lines) = (Map::new(), Vec::new());
    for &(algorithm, nodes) in rows {
        let stage = format!("real {algorithm}");
        let plan = real::Plan {
            algorithm,
            nodes,
            workload,
            sessions: options.sessions(),
            load: options.load,
            batch: options.batch,
            dir: &dir,
        };
        progress(&stage, 0, workload.operations().len() as u64);
        let measured = real::measure(plan, &mut |done, total| progress(&stage, done, total))?;
        table.push(real_row(algorithm, nodes, &measured));
        if let Some(violation) = &measured.violation {
            out.faults.push(format!("{algorithm}, real: {violation}"));
        }
        raw.insert(algorithm.name().to_owned(), measured.latencies.json());
        lines.push((algorithm, measured.latencies));
    }
    put(out, "real_latency_us", Value::Object(raw));
    put(out, "real_sync_us", disk.json());
    out.charts.push(cdf("latency-real", "Latency, real sockets and disks", &lines));
    out.sections.push(Section {
        key: "real",
        title: "Real: loopback TCP and a real disk".into(),
        about: real_conditions(options, &dir, &disk),
        table,
        notes: notes(rows),
    });
    Ok(())
}

fn real_conditions(options: &RunOptions, dir: &Path, disk: &Samples) -> Vec<String> {
    let signs = options.algorithms.contains(&Algorithm::Pbft);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    vec![
        format!(
            "all replicas and clients share this machine ({cores} cores), so more replicas also \
             means less machine for each; batches of up to {} commands",
            options.batch
        ),
        format!(
            "logs in {}, where appending and syncing 512 bytes takes p50 {:.2} ms, p99 {:.2} ms{}",
            dir.display(),
            disk.percentile(0.5).as_secs_f64() * 1000.0,
            disk.percentile(0.99).as_secs_f64() * 1000.0,
            if signs { "; PBFT signs with ed25519" } else { "" }
        ),
    ]
}

fn real_row(algorithm: Algorithm, nodes: usize, measured: &real::Measured) -> Vec<Cell> {
    let total = measured.total();
    let sent = total.sent_for(Traffic::Command);
    let per_operation = |count: u64| count as f64 / measured.operations.max(1) as f64;
    let share = |share| Cell::millis(measured.latencies.percentile(share));
    vec![
        Cell::text(algorithm.name()),
        Cell::number(nodes as f64),
        Cell::number(algorithm.info().max_faults(nodes) as f64),
        Cell::decimals(measured.throughput(), 0),
        share(0.5),
        share(0.99),
        share(0.999),
        share(1.0),
        Cell::number(per_operation(sent.messages)),
        Cell::decimals(per_operation(sent.bytes), 0),
        Cell::number(per_operation(total.syncs) / nodes as f64),
        Cell::number(per_operation(total.tags_made)),
        Cell::number(measured.failed as f64),
    ]
}

fn cdf(name: &'static str, title: &str, lines: &[(Algorithm, Samples)]) -> Chart {
    let lines: Vec<_> = lines.iter().map(|(of, samples)| (*of, samples.sorted())).collect();
    let axes = ["latency, ms", "share of operations"];
    plots::distribution(name, title.to_owned(), axes, &lines)
}

fn put(out: &mut Comparison, key: &str, value: Value) {
    out.raw[key] = value;
}
