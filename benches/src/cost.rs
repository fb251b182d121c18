//! `compare cost`, and the first table of `compare run`: what a command costs in the quiet world,
//! beside what theory says.

use crate::comparison::{Comparison, Section};
use crate::options::{CompareError, CostOptions};
use crate::plots;
use crate::simulated::quiet::{LINK_DELAY, Quiet};
use crate::table::{Cell, Column, Table, plain};
use crate::theory::Theory;
use crate::workload::{Workload, WorkloadSpec};
use consensus_core::{FaultModel, NodeId, Traffic};
use serde_json::json;
use synod_algorithms::{Algorithm, Choice};

/// What a simulated row is checked for while it is measured.
pub(crate) const SAFE: &str =
    "no oracle objected: agreement, durability, exactly-once, linearizability …";

const COLUMNS: [Column; 14] = [
    Column::new("algorithm", ["algo", ""], ""),
    Column::new("n", ["n", ""], "replicas"),
    Column::new("f", ["f", ""], "faulty replicas that the cluster survives"),
    Column::new("fault_model", ["faults", ""], "crash: stop and restart; byz: do anything"),
    Column::new("batch", ["batch", ""], "commands in a log entry"),
    Column::new(
        "client_delays",
        ["client", "delays"],
        "one-way hops from the client's request to its taking the answer, both included",
    ),
    Column::new(
        "messages",
        ["msgs", "/op"],
        "messages between replicas, each counted where it is sent",
    ),
    Column::new(
        "theory_messages",
        ["", "theory"],
        "what the formula says; ok: every kind, delays, syncs, signatures equal theirs, too",
    ),
    Column::new(
        "bytes",
        ["bytes", "/op"],
        "bytes of these messages, encoded as on the wire, without frames and TCP",
    ),
    Column::new("busiest", ["busiest", "/op"], "messages that the busiest node sends and receives"),
    Column::new("syncs", ["syncs", "/op"], "times that each node waits for its disk"),
    Column::new("signatures", ["sigs", "/op"], "signatures that replicas make"),
    Column::new("checks", ["checks", "/op"], "signatures of replicas that replicas check"),
    Column::new("safe", ["safe", ""], SAFE),
];

/// Conditions of the quiet world, for above the table.
pub(crate) fn conditions() -> Vec<String> {
    vec![format!(
        "virtual time; every link takes {} ms, nothing is lost, the disk is instant, no timer \
         fires; all clients at node 0, which leads where there is a leader",
        LINK_DELAY.as_millis()
    )]
}

pub(crate) fn table() -> Table {
    Table::new(&COLUMNS)
}

/// The row of a measurement.
pub(crate) fn row(quiet: &Quiet) -> Vec<Cell> {
    let info = quiet.choice.algorithm.info();
    let theory = Theory::of(&quiet.choice, quiet.nodes);
    let total = quiet.total();
    let per_command = |count: u64| count as f64 / quiet.commands() as f64;
    let sent = total.sent_for(Traffic::Command);
    let (fewest, most) = quiet.delays();
    let delays =
        if fewest == most { plain(most) } else { format!("{}..{}", plain(fewest), plain(most)) };
    let expected = theory.messages.value as f64 / quiet.batch as f64;
    let equal = crate::assert::differences(quiet).is_empty();
    let verdict = if equal { "ok" } else { "NO" };
    vec![
        Cell::text(quiet.choice.to_string()),
        Cell::number(quiet.nodes as f64),
        Cell::number(survived(quiet) as f64),
        Cell::text(fault_word(info.faults)),
        Cell::number(quiet.batch as f64),
        Cell::Number(most, delays),
        Cell::number(per_command(sent.messages)),
        Cell::Number(expected, format!("{} {verdict}", plain(expected))),
        Cell::number(per_command(sent.bytes).round()),
        Cell::number(per_command(quiet.busiest())),
        Cell::number(per_command(quiet.syncs().1)),
        Cell::number(per_command(total.tags_made)),
        Cell::number(per_command(total.tags_checked)),
        Cell::text("yes"),
    ]
}

/// Crashes, or liars, with which it still makes progress.
fn survived(quiet: &Quiet) -> usize {
    let usual = quiet.choice.algorithm.info().max_faults(quiet.nodes);
    quiet.choice.quorums(quiet.nodes).map_or(usual, |quorums| quiet.nodes - quorums.larger())
}

pub(crate) fn fault_word(faults: FaultModel) -> &'static str {
    match faults {
        FaultModel::Crash => "crash",
        FaultModel::Byzantine => "byz",
    }
}

/// Why a row is not to be compared with the others, if it is not.
pub(crate) fn note(algorithm: Algorithm, nodes: usize) -> Option<String> {
    (algorithm.info().max_faults(nodes) == 0)
        .then(|| format!("{algorithm} with n = {nodes} survives no fault: not comparable"))
}

/// What must equal theory and does not, in words.
pub(crate) fn faults(quiet: &Quiet) -> Vec<String> {
    let cells = crate::assert::differences(quiet);
    cells.into_iter().map(|cell| cell.to_string()).collect()
}

/// Can this algorithm run with so many nodes?
pub(crate) fn possible(algorithm: Algorithm, nodes: usize) -> bool {
    match algorithm.info().faults {
        FaultModel::Crash => nodes >= 1,
        FaultModel::Byzantine => nodes >= 4,
    }
}

/// Measures every algorithm at every size and batch, beside theory.
///
/// # Errors
/// If the options make no sense or a simulated world stands still.
pub fn cost(
    options: &CostOptions,
    progress: &mut dyn FnMut(&str, u64, u64),
) -> Result<Comparison, CompareError> {
    check(options)?;
    let workload = Workload::record(&WorkloadSpec::default(), 64, 1)?;
    let (usual, named) = (cells(options), named_cells(options));
    let all = (usual.len() + named.len()) as u64;
    let mut measured = Measured::default();
    for (done, (choice, nodes, batch)) in usual.iter().enumerate() {
        progress("cost", done as u64, all);
        measured.add(choice, *nodes, *batch, &workload)?;
    }
    let mut options_of = Measured::default();
    for (done, (choice, nodes, batch)) in named.iter().enumerate() {
        progress("cost", (usual.len() + done) as u64, all);
        options_of.add(choice, *nodes, *batch, &workload)?;
    }
    progress("cost", all, all);
    if options_of.rows == 0 && !named.is_empty() {
        return Err(CompareError::Options(options_of.notes.join("; ")));
    }
    let mut faults = measured.faults;
    faults.extend(options_of.faults);
    let mut sections =
        vec![section("cost", "Cost of a command, simulated", measured.table, measured.notes)];
    if !named.is_empty() {
        let title = "Cost of a command with named options, simulated";
        let mut notes = about(&named);
        notes.extend(options_of.notes);
        sections.push(section("options", title, options_of.table, notes));
    }
    Ok(Comparison {
        title: "What consensus costs: measured beside theory".into(),
        heading: vec![workload.describe()],
        sections,
        charts: vec![plots::messages_against_n(&options.algorithms, &measured.points)],
        options: json!({ "ns": options.ns, "batches": options.batches, "seed": 1 }),
        raw: json!({
            "trace": format!("{:016x}", workload.hash().0),
            "cost": measured.raw,
            "options": options_of.raw,
        }),
        faults,
    })
}

fn section(
    key: &'static str,
    title: &'static str,
    table: Table,
    mut notes: Vec<String>,
) -> Section {
    notes.dedup();
    Section { key, title: title.into(), about: conditions(), table, notes }
}

/// Rows, and what belongs to them.
struct Measured {
    table: Table,
    rows: usize,
    notes: Vec<String>,
    faults: Vec<String>,
    raw: Vec<serde_json::Value>,
    points: Vec<(Algorithm, usize, f64)>,
}

impl Default for Measured {
    fn default() -> Self {
        let (notes, faults, raw, points) = Default::default();
        Self { table: table(), rows: 0, notes, faults, raw, points }
    }
}

impl Measured {
    fn add(
        &mut self,
        choice: &Choice,
        nodes: usize,
        batch: usize,
        workload: &Workload,
    ) -> Result<(), CompareError> {
        let algorithm = choice.algorithm;
        if !possible(algorithm, nodes) {
            self.notes.push(format!("{algorithm} cannot run with n = {nodes}: it needs n >= 4"));
            return Ok(());
        }
        let quiet = match Quiet::measure(choice, nodes, batch, workload.operations()) {
            Err(CompareError::Cluster(_, why)) if !choice.variants.is_empty() => {
                self.notes.push(format!("{choice} cannot be with n = {nodes}: {why}"));
                return Ok(());
            }
            measured => measured?,
        };
        self.table.push(row(&quiet));
        self.rows += 1;
        self.notes.extend(note(algorithm, nodes));
        self.faults.extend(faults(&quiet));
        self.raw.push(raw_counts(&quiet));
        if batch == 1 {
            let messages = quiet.total().sent_for(Traffic::Command).messages;
            self.points.push((algorithm, nodes, messages as f64 / quiet.commands() as f64));
        }
        Ok(())
    }
}

/// What the named options are, each once.
fn about(cells: &[(Choice, usize, usize)]) -> Vec<String> {
    let mut notes = Vec::new();
    for (choice, ..) in cells {
        for variant in choice.algorithm.variants().iter().filter(|one| choice.has(one.name)) {
            let note = format!("{}:{}: {}", choice.algorithm, variant.name, variant.about);
            if !notes.contains(&note) {
                notes.push(note);
            }
        }
    }
    notes
}

fn check(options: &CostOptions) -> Result<(), CompareError> {
    let wrong = |what: &str| Err(CompareError::Options(what.to_owned()));
    if options.algorithms.is_empty() || options.ns.is_empty() || options.batches.is_empty() {
        return wrong("name at least one algorithm, one n and one batch size");
    }
    if options.ns.iter().any(|n| !(1..=NodeId::LIMIT).contains(n)) {
        return wrong("n must be 1 to 128");
    }
    if options.batches.iter().any(|batch| !(1..=1024).contains(batch)) {
        return wrong("a batch has 1 to 1024 commands");
    }
    Ok(())
}

/// What to measure, in the order of the table.
fn cells(options: &CostOptions) -> Vec<(Choice, usize, usize)> {
    let mut cells = Vec::new();
    for &batch in &options.batches {
        for &nodes in &options.ns {
            let cell = |algorithm: &Algorithm| (Choice::from(*algorithm), nodes, batch);
            cells.extend(options.algorithms.iter().map(cell));
        }
    }
    cells
}

/// The same for named options: few sizes say all, so that they fit below the others.
fn named_cells(options: &CostOptions) -> Vec<(Choice, usize, usize)> {
    let listed = || options.algorithms.iter().flat_map(|one| Choice::variations(*one)).collect();
    let choices: Vec<Choice> = options.variants.clone().unwrap_or_else(listed);
    let batch = options.batches.iter().min().copied().unwrap_or(1);
    let small = |nodes: &&usize| **nodes <= 5 || options.variants.is_some();
    let sizes = options.ns.iter().filter(small);
    sizes.flat_map(|nodes| choices.iter().map(|one| (one.clone(), *nodes, batch))).collect()
}

/// The counts behind a row.
pub(crate) fn raw_counts(quiet: &Quiet) -> serde_json::Value {
    let node = |counters: &consensus_core::Counters| {
        let sent = counters.sent().map(|(kind, sent)| {
            json!({
                "kind": kind.name,
                "traffic": format!("{:?}", kind.traffic),
                "messages": sent.messages,
                "bytes": sent.bytes,
            })
        });
        json!({
            "sent": sent.collect::<Vec<_>>(),
            "received": counters.received_for(Traffic::Command),
            "writes": counters.writes,
            "syncs": counters.syncs,
            "signatures_made": counters.tags_made,
            "signatures_checked": counters.tags_checked,
            "client_signatures_checked": counters.client_tags_checked,
        })
    };
    json!({
        "algorithm": quiet.choice.to_string(),
        "n": quiet.nodes,
        "batch": quiet.batch,
        "batches": quiet.batches,
        "nodes": quiet.counters.iter().map(node).collect::<Vec<_>>(),
    })
}
