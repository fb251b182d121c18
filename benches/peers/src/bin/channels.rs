//! Measures all systems in turn over tokio channels and prints the tables, as Markdown.
//!
//! `channels [RUNS] [COMMITS] [PIPELINE]`: that many episodes of each cell [7], of so many commits
//! [65536]; where commands gather, they do so while so many bursts are under way [1]. The runs are
//! the outermost loop, so that a slow spell of the machine hits one run of every cell.

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
    let (runs, commits, pipeline) = (number(7), number(65_536), number(1) as usize);
    keep_memory();
    let mut table = Table::new();
    for run in 1..=runs {
        for window in CLIENTS {
            for row @ (system, gather) in ROWS {
                let pipeline = if gather { pipeline } else { usize::MAX };
                let pace = episode(Cell { system, size: SIZE, window }, pipeline, commits);
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

/// The median, over the runs, of how many times as fast it was as the other in the same run.
fn ratio(table: &Table, row: Row, other: Row, clients: usize) -> f64 {
    let pairs = table[&(row, clients)].iter().zip(&table[&(other, clients)]);
    median(&mut pairs.map(|(ours, theirs)| ours.rate / theirs.rate).collect::<Vec<_>>())
}

fn name((system, gather): Row) -> String {
    format!("{system}{}", if gather { ", gathered" } else { "" })
}

fn print(out: &mut impl Write, table: &Table) -> io::Result<()> {
    let heads = CLIENTS.map(|clients| format!("{clients} outstanding")).join(" | ");
    let rule = "|---".repeat(CLIENTS.len() + 1) + "|";
    writeln!(out, "| k commits a second; ns of CPU; messages, for one commit | {heads} |\n{rule}")?;
    for row in ROWS {
        let cells = CLIENTS.map(|clients| {
            let cell = (row, clients);
            let rate = middle(table, cell, |pace| pace.rate) / 1000.0;
            let nanoseconds = middle(table, cell, |pace| pace.nanoseconds);
            let messages = middle(table, cell, |pace| pace.messages);
            format!("{rate:.0}; {nanoseconds:.0}; {messages:.2}")
        });
        writeln!(out, "| {} | {} |", name(row), cells.join(" | "))?;
    }
    writeln!(out, "\n| how many times as fast, by the clock | {heads} |\n{rule}")?;
    let ours = [("raft", true), ("multipaxos", true)];
    for other in ROWS.into_iter().filter(|row| !ours.contains(row)) {
        for row in ours {
            let cells = CLIENTS.map(|clients| format!("{:.2}", ratio(table, row, other, clients)));
            writeln!(out, "| {}, as {} | {} |", row.0, name(other), cells.join(" | "))?;
        }
    }
    Ok(())
}
