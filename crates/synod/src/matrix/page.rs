//! The matrix as text for people: a table on the terminal, a page in the docs.

use super::{Cell, Matrix, Row, pending};
use crate::cpu;
use crate::rigs::Rig;

impl Matrix {
    /// One line a bug.
    pub(crate) fn text(&self) -> String {
        let mut lines = Vec::new();
        for row in &self.rows {
            let cells: Vec<String> =
                row.cells.iter().map(|cell| format!("{} {}", cell.rig, short(cell))).collect();
            lines.push(format!("{:<22}{}", row.name(), cells.join("; ")));
        }
        lines.extend(self.summary());
        let waiting: Vec<&str> = pending().into_iter().map(|(bug, _)| bug).collect();
        lines.push(format!("pending, for want of what they break: {}", waiting.join(", ")));
        lines.join("\n")
    }

    /// The page, made by `command`.
    pub(crate) fn markdown(&self, command: &str) -> String {
        let mut page = format!(
            "# The kill matrix\n\n\
             Written by `{command}`; do not edit it by hand.\n\n\
             A rig that never found a bug proves nothing. So bugs are planted in every algorithm, \
             each\nbehind a name that only builds with the cargo feature `mutants` know, and every \
             rig hunts for each.\nA cell says which oracle saw the bug, in which seed (run, state), \
             and after how many {} seconds; a\ndash is a bug that the rig did not find within \
             its budget. The oracles are listed in\n`crates/sim/src/lib.rs`.\n\n",
            cpu::kind()
        );
        for rig in &self.rigs {
            page.push_str(&format!("* **{rig}**: {}.\n", rig.about()));
        }
        page.push_str("\n## In numbers\n\n");
        for line in self.summary() {
            page.push_str(&format!("* {line}\n"));
        }
        page.push_str("\n## Every planted bug\n\n| algorithm | bug | what is wrong | named |");
        page.extend(self.rigs.iter().map(|rig| format!(" {rig} |")));
        page.push_str("\n|---|---|---|---|");
        page.extend(self.rigs.iter().map(|_| "---|"));
        page.push('\n');
        page.extend(self.rows.iter().map(|row| self.table_row(row)));
        page.push_str("\n## Pending\n\nBugs of the catalogue that wait for what they break:\n\n");
        for (bug, waits) in pending() {
            page.push_str(&format!("* {bug}: {waits}\n"));
        }
        page
    }

    fn table_row(&self, row: &Row) -> String {
        let mutant = row.bug.mutant;
        let wrong = mutant.wrong.trim_end_matches('.').replace('|', "\\|");
        let name = (row.bug.algorithm, mutant.name);
        let mut line =
            format!("| {} | {} | {wrong} | {} |", name.0, name.1, mutant.oracles.join(" "));
        for rig in &self.rigs {
            let cell = row.cells.iter().find(|cell| cell.rig == *rig);
            line.push_str(&format!(" {} |", cell.map(short).unwrap_or_default()));
        }
        line.push('\n');
        line
    }
}

/// A kill in a few words.
fn short(cell: &Cell) -> String {
    let seconds = cell.cpu.as_secs_f64();
    match &cell.found {
        None if cell.rig == Rig::Measured => "–".to_owned(),
        None => format!("– ({} {}s, {seconds:.1} s)", cell.cases, cell.rig.unit()),
        Some(found) if cell.rig == Rig::Measured => format!("{}, {seconds:.2} s", found.oracle),
        Some(found) => {
            let unit = cell.rig.unit();
            format!("{}, {unit} {}, {seconds:.2} s", found.oracle, found.case)
        }
    }
}
