//! Measures all systems in turn over tokio channels and prints the tables, as Markdown.
//!
//! `channels [RUNS] [COMMITS]`: that many episodes of each cell [7], of so many commits [65536].
//! The runs are the outermost loop, so that a slow spell of the machine hits one run of every cell.

use std::collections::BTreeMap;
use std::io::{self, Write};
use synod_peers::channels::{CLIENTS, Pace, episode};
use synod_peers::measure::{Cell, keep_memory, median};

/// Bytes of a command.
const SIZE: usize = 256;

/// A row: a system, and whether commands gather while enough is under way.
type Row = (&'static str, bool);

/// The systems; ours as our runtime proposes, the others both ways.
const ROWS: [Row; 8] = [
    ("floor", false),
    ("floor", true),
    ("raft", true),
    ("multipaxos", true),
    ("omnipaxos", false),
    ("omnipaxos", true),
    ("raft-rs", false),
    ("raft-rs", true),
];

type Table = BTreeMap<(Row, usize), Vec<Pace>>;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| {
        arguments.next().map_or(default, |text| text.parse().expect("a number of runs or commits"))
    };
    let (runs, commits) = (number(7), number(65_536));
    keep_memory();
    let mut table = Table::new();
    for run in 1..=runs {
        for window in CLIENTS {
            for row @ (system, gather) in ROWS {
                let pace = episode(Cell { system, size: SIZE, window }, gather, commits);
                table.entry((row, window)).or_default().push(pace);
            }
        }
        eprintln!("run {run} of {runs}");
    }
    print(&mut io::stdout().lock(), &table)
}

fn middle(table: &Table, cell: (Row, usize), of: fn(&Pace) -> f64) -> f64 {
    median(&mut table[&cell].iter().map(of).collect::<Vec<_>>())
}

/// The median, over the runs, of how many times as fast it was as the other in the same run, at the
/// other's better way.
fn ratio(table: &Table, system: &'static str, other: &'static str, clients: usize) -> f64 {
    let ways = [false, true].map(|gather| &table[&((other, gather), clients)]);
    let ours = &table[&((system, true), clients)];
    let ratio =
        |run: usize| ours[run].rate / ways.map(|way| way[run].rate).into_iter().fold(0.0, f64::max);
    median(&mut (0..ours.len()).map(ratio).collect::<Vec<_>>())
}

fn print(out: &mut impl Write, table: &Table) -> io::Result<()> {
    let heads = CLIENTS.map(|clients| format!("{clients} outstanding")).join(" | ");
    let rule = "|---".repeat(CLIENTS.len() + 1) + "|";
    writeln!(out, "| k commits a second; ns of CPU; messages, for one commit | {heads} |\n{rule}")?;
    for row @ (system, gather) in ROWS {
        let cells = CLIENTS.map(|clients| {
            let cell = (row, clients);
            let rate = middle(table, cell, |pace| pace.rate) / 1000.0;
            let nanoseconds = middle(table, cell, |pace| pace.nanoseconds);
            let messages = middle(table, cell, |pace| pace.messages);
            format!("{rate:.0}; {nanoseconds:.0}; {messages:.2}")
        });
        let gathered = if gather { ", gathered" } else { "" };
        writeln!(out, "| {system}{gathered} | {} |", cells.join(" | "))?;
    }
    writeln!(out, "\n| how many times as fast, by the clock | {heads} |\n{rule}")?;
    for (system, other) in [
        ("raft", "omnipaxos"),
        ("multipaxos", "omnipaxos"),
        ("raft", "raft-rs"),
        ("multipaxos", "raft-rs"),
        ("raft", "floor"),
        ("multipaxos", "floor"),
    ] {
        let cells = CLIENTS.map(|clients| format!("{:.2}", ratio(table, system, other, clients)));
        writeln!(out, "| {system}, as {other} | {} |", cells.join(" | "))?;
    }
    Ok(())
}
