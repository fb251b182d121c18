//! Measures all systems in turn and prints the tables, as Markdown.
//!
//! `peers [RUNS] [COMMITS]`: that many episodes of each cell [7], of so many commits [16384]. The
//! runs are the outermost loop, so that a slow spell of the machine hits one run of every cell.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::process::Command;
use synod_peers::measure::{Cell, SIZES, WINDOWS, episode, keep_memory, median};
use synod_peers::node::NAMES;

/// What was measured of a cell.
#[derive(Default)]
struct Figures {
    nanoseconds: Vec<f64>,
    messages: f64,
    allocations: Option<f64>,
}

type Table = BTreeMap<(&'static str, usize, usize), Figures>;

fn main() -> io::Result<()> {
    let mut arguments = std::env::args().skip(1);
    let mut number = |default: u64| {
        arguments.next().map_or(default, |text| text.parse().expect("a number of runs or commits"))
    };
    let (runs, commits) = (number(7), number(16_384));
    let mut table = measure(runs, commits);
    count_allocations(&mut table);
    let mut out = io::stdout().lock();
    for size in SIZES {
        print(&mut out, size, &mut table)?;
    }
    Ok(())
}

fn measure(runs: u64, commits: u64) -> Table {
    keep_memory();
    let mut table = Table::new();
    for _ in 0..runs {
        for size in SIZES {
            for system in NAMES {
                for window in WINDOWS {
                    let cost = episode(Cell { system, size, window }, commits);
                    let figures = table.entry((system, size, window)).or_default();
                    figures.nanoseconds.push(cost.nanoseconds);
                    figures.messages = cost.messages;
                }
            }
        }
    }
    table
}

/// Asks the program beside this one, which counts and is slow.
fn count_allocations(table: &mut Table) {
    let beside = std::env::current_exe().map(|path| path.with_file_name("allocations"));
    let Ok(output) = beside.and_then(|program| Command::new(program).output()) else { return };
    for line in String::from_utf8_lossy(&output.stdout).lines() {
        let fields: Vec<&str> = line.split('\t').collect();
        let [system, size, window, allocations, _] = fields[..] else { continue };
        let Some(system) = NAMES.into_iter().find(|name| *name == system) else { continue };
        let (Ok(size), Ok(window)) = (size.parse(), window.parse()) else { continue };
        if let Some(figures) = table.get_mut(&(system, size, window)) {
            figures.allocations = allocations.parse().ok();
        }
    }
}

fn print(out: &mut impl Write, size: usize, table: &mut Table) -> io::Result<()> {
    let mut time = BTreeMap::new();
    heading(out, &format!("{size} B: ns of CPU; messages; heap allocations, for one commit"))?;
    for system in NAMES {
        write!(out, "| {system} |")?;
        for window in WINDOWS {
            let figures = table.get_mut(&(system, size, window)).expect("every cell is measured");
            let nanoseconds = median(&mut figures.nanoseconds);
            time.insert((system, window), nanoseconds);
            let (messages, allocations) = (figures.messages, figures.allocations);
            let allocations = allocations.map_or("?".into(), |count| format!("{count:.2}"));
            write!(out, " {nanoseconds:.0}; {messages:.3}; {allocations} |")?;
        }
        writeln!(out)?;
    }
    heading(out, &format!("{size} B: how many times as fast"))?;
    for (ours, other) in [
        ("raft", "omnipaxos"),
        ("multipaxos", "omnipaxos"),
        ("raft", "raft-rs"),
        ("multipaxos", "raft-rs"),
        ("raft, an entry a command", "omnipaxos"),
        ("raft, an entry a command", "raft-rs"),
        ("multipaxos, an entry a command", "omnipaxos"),
        ("multipaxos, an entry a command", "raft-rs"),
        ("raft", "floor"),
        ("multipaxos", "floor"),
    ] {
        write!(out, "| {ours}, as {other} |")?;
        for window in WINDOWS {
            write!(out, " {:.2} |", time[&(other, window)] / time[&(ours, window)])?;
        }
        writeln!(out)?;
    }
    Ok(())
}

fn heading(out: &mut impl Write, title: &str) -> io::Result<()> {
    write!(out, "\n| {title} |")?;
    for window in WINDOWS {
        write!(out, " {window} outstanding |")?;
    }
    write!(out, "\n|---|")?;
    for _ in WINDOWS {
        write!(out, "---|")?;
    }
    writeln!(out)
}
