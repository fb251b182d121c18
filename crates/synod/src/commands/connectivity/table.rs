//! What came out of the cases, as tables.

use serde_json::json;
use std::collections::BTreeMap;
use synod_algorithms::Algorithm;
use synod_sim::connectivity::{Case, LIMIT, NAMED, Named, Verdict, Way};

/// One case that was run.
#[derive(Clone, Debug)]
pub(super) struct Run {
    pub(super) name: String,
    pub(super) case: Case,
    pub(super) verdict: Verdict,
}

impl Run {
    /// What became of it, in a few words.
    pub(super) fn outcome(&self) -> String {
        let Verdict { must_live, progress, violation, .. } = &self.verdict;
        match (violation, progress) {
            (Some(violation), _) => format!("FAILED: {violation}"),
            (None, Some(took)) if *must_live => format!("{took:.2}"),
            (None, Some(_)) => "goes on".into(),
            (None, None) => "waits".into(),
        }
    }
}

/// The cases of one list under one algorithm.
pub(super) struct Row {
    pub(super) algorithm: Algorithm,
    pub(super) title: String,
    pub(super) runs: Vec<Run>,
}

impl Row {
    /// Cases in which an oracle found something.
    pub(super) fn failures(&self) -> impl Iterator<Item = &Run> {
        self.runs.iter().filter(|run| run.verdict.violation.is_some())
    }

    fn count(&self, which: impl Fn(&Verdict) -> bool) -> usize {
        self.runs.iter().filter(|run| which(&run.verdict)).count()
    }

    fn times(&self, of: impl Fn(&Verdict) -> Option<f64>) -> Times {
        let mut times: Vec<f64> = self.runs.iter().filter_map(|run| of(&run.verdict)).collect();
        times.sort_unstable_by(f64::total_cmp);
        Times(times)
    }

    fn progress(&self) -> Times {
        self.times(|verdict| verdict.progress.filter(|_| verdict.must_live))
    }

    fn recovery(&self) -> Times {
        self.times(|verdict| verdict.recovery)
    }

    fn disturbed(&self) -> u64 {
        let runs = self.runs.iter().map(|run| &run.verdict).filter(|verdict| verdict.must_live);
        runs.map(|verdict| verdict.changes).sum()
    }

    fn cells(&self) -> [String; 9] {
        let must = self.count(|verdict| verdict.must_live);
        let live = self.count(|verdict| verdict.must_live && verdict.progress.is_some());
        [
            self.title.clone(),
            self.algorithm.to_string(),
            self.runs.len().to_string(),
            must.to_string(),
            live.to_string(),
            self.failures().count().to_string(),
            self.progress().show(),
            self.disturbed().to_string(),
            self.recovery().show(),
        ]
    }

    pub(super) fn json(&self) -> serde_json::Value {
        let list = |run: &Run| json!({ "case": run.case.to_string(), "outcome": run.outcome() });
        json!({
            "algorithm": self.algorithm.name(),
            "cases": self.title,
            "ok": self.failures().next().is_none(),
            "runs": self.runs.len(),
            "must_live": self.count(|verdict| verdict.must_live),
            "live": self.count(|verdict| verdict.must_live && verdict.progress.is_some()),
            "beyond": self.count(|verdict| !verdict.must_live && verdict.progress.is_some()),
            "progress": self.progress().json(),
            "recovery": self.recovery().json(),
            "changes_when_settled": self.disturbed(),
            "events": self.runs.iter().map(|run| run.verdict.events).sum::<u64>(),
            "failures": self.failures().map(list).collect::<Vec<_>>(),
        })
    }
}

/// Sorted times in election timeouts.
struct Times(Vec<f64>);

impl Times {
    /// The time that so many in a hundred do not exceed.
    fn percentile(&self, percent: usize) -> Option<f64> {
        let place = (self.0.len() * percent).div_ceil(100).saturating_sub(1);
        self.0.get(place).copied()
    }

    fn show(&self) -> String {
        let times = [50, 99, 100].map(|percent| self.percentile(percent));
        let [Some(median), Some(p99), Some(max)] = times else { return "none".into() };
        format!("{median:.2} / {p99:.2} / {max:.2}")
    }

    fn json(&self) -> serde_json::Value {
        json!({
            "count": self.0.len(),
            "median": self.percentile(50),
            "p99": self.percentile(99),
            "max": self.percentile(100),
        })
    }
}

const HEAD: [&str; 9] = [
    "cases",
    "algorithm",
    "run",
    "must live",
    "live",
    "failed",
    "commits again after: median / p99 / max",
    "elections when settled",
    "after mending: median / p99 / max",
];

/// A table with a line for each row, in columns as wide as they must be.
fn table(head: &[String], lines: &[Vec<String>]) -> String {
    let width = |column: usize| {
        let cells = lines.iter().map(|line| line[column].chars().count());
        cells.max().unwrap_or(0).max(head[column].chars().count())
    };
    let widths: Vec<usize> = (0..head.len()).map(width).collect();
    let show = |cells: &[String]| {
        let cells = cells.iter().zip(&widths).map(|(cell, width)| format!("{cell:width$}"));
        format!("| {} |", cells.collect::<Vec<_>>().join(" | "))
    };
    let rule: Vec<String> = widths.iter().map(|width| "-".repeat(*width)).collect();
    let mut shown = vec![show(head), show(&rule)];
    shown.extend(lines.iter().map(|line| show(line)));
    shown.join("\n")
}

/// The tables for a terminal.
pub(super) fn text(rows: &[Row]) -> String {
    let mut parts = vec![summary(rows)];
    parts.extend(named(rows));
    parts.extend(failed(rows, "FAILED"));
    parts.join("\n\n")
}

fn summary(rows: &[Row]) -> String {
    let lines: Vec<_> = rows.iter().map(|row| row.cells().to_vec()).collect();
    table(&HEAD.map(str::to_owned), &lines)
}

/// What a named case is called.
pub(super) fn title(named: &Named, way: Way) -> String {
    if way == Way::Calm { named.name.to_owned() } else { format!("{}, {way}", named.name) }
}

/// The named cases: a line each, a column for each algorithm.
fn named(rows: &[Row]) -> Option<String> {
    let rows: Vec<&Row> = rows.iter().filter(|row| row.title == "named").collect();
    if rows.is_empty() {
        return None;
    }
    let algorithms = rows.iter().map(|row| row.algorithm.to_string());
    let head: Vec<String> = ["case".to_owned()].into_iter().chain(algorithms).collect();
    let mut lines = Vec::new();
    for name in NAMED.iter().flat_map(|it| Way::ALL.map(|way| title(it, way))) {
        let outcome = |row: &&Row| {
            let run = row.runs.iter().find(|run| run.name == name);
            run.map_or_else(|| "none".to_owned(), Run::outcome)
        };
        let outcomes: Vec<String> = rows.iter().map(outcome).collect();
        lines.push([name].into_iter().chain(outcomes).collect());
    }
    Some(table(&head, &lines))
}

/// The cases that failed, under each algorithm.
fn failed(rows: &[Row], title: &str) -> Option<String> {
    let mut cases: BTreeMap<Algorithm, Vec<String>> = BTreeMap::new();
    for row in rows {
        for run in row.failures() {
            let line = format!("  {}: {}", run.case, run.outcome());
            let lines = cases.entry(row.algorithm).or_default();
            if !lines.contains(&line) {
                lines.push(line);
            }
        }
    }
    let parts = cases.iter().map(|(name, lines)| format!("{title}, {name}:\n{}", lines.join("\n")));
    let parts: Vec<_> = parts.collect();
    (!parts.is_empty()).then(|| parts.join("\n\n"))
}

/// The page of the docs.
pub(super) fn page(rows: &[Row]) -> String {
    let mut parts = vec!["# Connectivity".to_owned(), introduction(), summary(rows)];
    if let Some(named) = named(rows) {
        parts.push("## Cases with a history".to_owned());
        parts.extend(NAMED.iter().map(|it| {
            let case = it.case(Way::Calm);
            format!("* **{}**: {}.\n  {case}", it.name, it.trap)
        }));
        parts.push(named);
    }
    if let Some(failed) = failed(rows, "Failed") {
        parts.push("## Failures".to_owned());
        parts.push(format!("```text\n{failed}\n```"));
    }
    parts.join("\n\n") + "\n"
}

fn introduction() -> String {
    INTRODUCTION.replace("LIMIT", &LIMIT.to_string())
}

const INTRODUCTION: &str = "\
Made by `synod connectivity --out docs/connectivity.md`. A cluster elects a leader at a chosen
place and commits something. Then only the links of a graph are left, for ever; nothing else goes
wrong, and clients reach every node. Graphs are listed up to renaming, and the leader stands at
each place. Where cases are *drawn*, each is one graph in which a node reaches a majority both ways,
with the leader at one place, one of each way in turn, and in a quarter of them a node that was cut
off while the last commands were committed; `--sample` draws others.

* **must live**: where replicas may crash, some node reaches a quorum *both ways*, itself counted.
  Where they may lie (PBFT), a quorum reach *each other* both ways, since everybody counts what
  everybody says. In all other graphs nothing new may be committed where replicas may crash; PBFT
  may, and in some graphs does, as its votes need not come back the way they went.
* **commits again after**: from the first command after the cut until ten are committed, in
  election timeouts (the longest, 600 ms). More than LIMIT is a failure; the aim is 6. *Calm*:
  commands come two timeouts after the cut. *Busy*: at the cut, so that a leader that lost its
  quorum still takes some and spreads them as far as it can, and clients have to find out that it
  can do no more. *Frayed*: before the cut, leader after leader lost the others with commands in
  its log that nobody else has, while those decided more without it and forgot it behind a
  snapshot, until too few were left; then as *busy*. No two logs are alike. *Preferred*: as *busy*,
  and the settings want the leader before the cut to lead (Raft and Multi-Paxos): it must not be
  given the leadership where it reaches too few to keep it.
* **elections when settled**: from 10 timeouts on, for 24 more. Any election is a failure, and so
  is any new term, ballot or view, except a view that no more replicas ask for than may be faulty.
  Commands must go on in each window of six timeouts, and of every client.
* Then an operator asks another node that reaches a quorum to lead; the leader before must make
  room.
* **after mending**: all links work again; from then until ten commands are committed, where
  nothing was committed before. Nobody who comes back may depose a leader that works, and all must
  catch up.
* **failed**: any of this, or any other rule that the simulator watches, was broken.";
