//! What a comparison found: tables with what they mean, plots, and the raw data.

use crate::report;
use crate::svg::Chart;
use crate::table::Table;
use serde_json::{Value, json};
use std::fs;
use std::io;
use std::path::Path;

/// A table with what one must know to read it. Simulated and real results never share one.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    /// Its name in CSV and JSON.
    pub(crate) key: &'static str,
    pub(crate) title: String,
    /// Conditions under which it was measured: lines above the table.
    pub(crate) about: Vec<String>,
    pub(crate) table: Table,
    /// Lines under the table: rows that are not comparable, or void.
    pub(crate) notes: Vec<String>,
}

/// What a comparison found.
#[derive(Clone, Debug)]
pub struct Comparison {
    pub(crate) title: String,
    /// Facts about the whole, one a line: the workload and its hash, where clients sit.
    pub(crate) heading: Vec<String>,
    pub(crate) sections: Vec<Section>,
    pub(crate) charts: Vec<Chart>,
    /// Seeds and other options that are needed to repeat it.
    pub(crate) options: Value,
    /// Samples behind the tables.
    pub(crate) raw: Value,
    /// Why rows are void: violations, differences from theory.
    pub(crate) faults: Vec<String>,
}

impl Comparison {
    /// Is every row sound: no oracle objected, and what must equal theory does?
    pub fn valid(&self) -> bool {
        self.faults.is_empty()
    }

    /// Everything for the terminal.
    pub fn text(&self) -> String {
        let mut out = String::new();
        for line in &self.heading {
            wrapped("", line, &mut out);
        }
        for section in &self.sections {
            out.push('\n');
            section_text(section, &mut out);
        }
        for fault in &self.faults {
            out.push_str("\nVOID: ");
            out.push_str(fault);
        }
        if !self.faults.is_empty() {
            out.push('\n');
        }
        out
    }

    /// The tables' values as CSV: one line a value.
    pub fn csv(&self) -> String {
        let mut out = String::from("section,row,name,column,value\n");
        for section in &self.sections {
            section.table.csv(section.key, &mut out);
        }
        out
    }

    /// Everything as one JSON value.
    pub fn json(&self, command_line: &str) -> Value {
        let mut sections = serde_json::Map::new();
        for section in &self.sections {
            let value = json!({
                "title": section.title,
                "about": section.about,
                "rows": section.table.json(),
                "notes": section.notes,
            });
            sections.insert(section.key.to_owned(), value);
        }
        json!({
            "title": self.title,
            "heading": self.heading,
            "command_line": command_line,
            "version": env!("CARGO_PKG_VERSION"),
            "machine": report::machine(),
            "options": self.options,
            "valid": self.valid(),
            "faults": self.faults,
            "sections": sections,
            "raw": self.raw,
        })
    }

    /// Writes `table.txt`, `data.csv`, `data.json`, `plots/*.svg` and `report.html` into a folder,
    /// which is made if it is not there.
    ///
    /// # Errors
    /// If a file cannot be written.
    pub fn write_to(&self, dir: &Path, command_line: &str) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        fs::write(dir.join("table.txt"), self.text())?;
        fs::write(dir.join("data.csv"), self.csv())?;
        let data = serde_json::to_string(&self.json(command_line)).map_err(io::Error::other)?;
        fs::write(dir.join("data.json"), &data)?;
        if !self.charts.is_empty() {
            fs::create_dir_all(dir.join("plots"))?;
        }
        for chart in &self.charts {
            fs::write(dir.join("plots").join(chart.name).with_extension("svg"), chart.svg())?;
        }
        fs::write(dir.join("report.html"), report::html(self, command_line, &data))
    }
}

fn section_text(section: &Section, out: &mut String) {
    out.push_str(&section.title);
    out.push('\n');
    for line in &section.about {
        wrapped("  ", line, out);
    }
    out.push('\n');
    out.push_str(&section.table.text());
    for note in &section.notes {
        wrapped("note: ", note, out);
    }
    out.push('\n');
    out.push_str(&section.table.explain());
}

/// A line of at most 100 columns, and as many more, set in by two, as the text needs.
fn wrapped(start: &str, text: &str, out: &mut String) {
    const COLUMNS: usize = 100;
    out.push_str(start);
    let mut column = start.chars().count();
    for (number, word) in text.split(' ').enumerate() {
        let width = word.chars().count();
        if number > 0 && column + 1 + width > COLUMNS {
            out.push_str("\n    ");
            column = 4;
        } else if number > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += width;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_lines_are_wrapped_and_lose_nothing() {
        let text = "word ".repeat(60);
        let mut out = String::new();
        wrapped("note: ", text.trim(), &mut out);
        assert!(out.lines().all(|line| line.chars().count() <= 100), "{out}");
        assert_eq!(out.split_whitespace().filter(|word| *word == "word").count(), 60);
        assert_eq!(out.lines().count(), 4);
    }
}
