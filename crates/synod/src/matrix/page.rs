//! The matrix as text for people: a table on the terminal, a page in the docs.

use super::{Cell, Matrix, Row, pending, seconds};
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
             rig hunts for each.\nA cell says which oracle saw the \
             bug, in which seed (run, state), and after how many {} seconds; a\n\
             dash is a bug that the rig did not find within its budget; an empty cell is a hunt \
             that was not made. \
             A bug that is known to need more than random runs gets a tenth of their seeds. \
             The oracles are listed in\n`crates/sim/src/lib.rs`.\n\n",
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
        let name = (row.bug.subject, mutant.name);
        let mut line =
            format!("| {} | {} | {wrong} | {} |", name.0, name.1, mutant.oracles.join(" "));
        for rig in &self.rigs {
            let cell = row.cells.iter().find(|cell| cell.rig == *rig);
            line.push_str(&format!(" {} |", cell.map_or_else(String::new, short)));
        }
        line.push('\n');
        line
    }
}

/// A kill in a few words.
fn short(cell: &Cell) -> String {
    let (unit, seconds) = (cell.rig.unit(), seconds(cell.cpu));
    match &cell.found {
        None if matches!(cell.rig, Rig::Measured | Rig::Tests) => format!("– ({seconds} s)"),
        Some(found) if cell.rig == Rig::Tests => format!("{}, {seconds} s", found.detail),
        None => format!("– ({} {unit}s, {seconds} s)", cell.cases),
        Some(found) if cell.rig == Rig::Measured => format!("{}, {seconds} s", found.oracle),
        Some(found) => format!("{}, {unit} {}, {seconds} s", found.oracle, found.case),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::matrix::Bug;
    use crate::rigs::Found;
    use std::time::Duration;
    use synod_algorithms::Algorithm;

    /// A page that loses a bug or a rig would look better than the rigs are.
    #[test]
    fn the_page_has_a_row_for_every_bug_and_a_column_for_every_rig() {
        let rigs = vec![Rig::Simulate, Rig::Shuffle];
        let cell = |found: Option<Found>, rig| Cell { rig, found, cases: 9, cpu: Duration::ZERO };
        let found = || Some(Found { oracle: "O9".into(), case: 4, detail: "seen".into() });
        let bugs = Bug::all(&Algorithm::ALL);
        let cells = || vec![cell(found(), Rig::Simulate), cell(None, Rig::Shuffle)];
        let rows = bugs.iter().map(|bug| Row { bug: *bug, cells: cells() }).collect();
        let page = Matrix { rigs, rows, clean: Vec::new() }.markdown("synod mutants");
        let table: Vec<&str> = page.lines().filter(|line| line.starts_with("| ")).collect();
        assert_eq!(table.len(), bugs.len() + 1, "{page}");
        assert!(table.iter().all(|line| line.split(" | ").count() == 6), "{page}");
        for bug in bugs {
            let name = format!("| {} | {} |", bug.subject, bug.mutant.name);
            let row = table.iter().find(|line| line.starts_with(&name)).expect(&name);
            assert!(row.contains("O9, seed 4") && row.contains("– (9 seeds"), "{row}");
        }
        assert!(page.contains("## Pending") && page.contains("Z01"), "{page}");
    }
}
