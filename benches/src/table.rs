//! Tables: aligned text for the terminal, CSV and JSON for other programs, HTML for the report.

use serde_json::{Map, Value, json};
use std::fmt::Write as _;

/// A column: what its numbers are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Column {
    /// Its name in CSV and JSON.
    pub(crate) key: &'static str,
    /// Its heading, in two lines.
    pub(crate) head: [&'static str; 2],
    /// What it means, for the lines under the table; empty where the heading says it all.
    pub(crate) about: &'static str,
}

impl Column {
    pub(crate) const fn new(
        key: &'static str,
        head: [&'static str; 2],
        about: &'static str,
    ) -> Self {
        Self { key, head, about }
    }
}

/// One value of a row.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Cell {
    /// A word, set to the left.
    Text(String),
    /// A number as it is, and as it is shown, set to the right.
    Number(f64, String),
    /// Not measured, or without meaning here.
    Nothing,
}

impl Cell {
    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// A count or a ratio.
    pub(crate) fn number(value: f64) -> Self {
        Self::Number(value, plain(value))
    }

    /// A number with so many decimals.
    pub(crate) fn decimals(value: f64, decimals: usize) -> Self {
        Self::Number(value, format!("{value:.decimals$}"))
    }

    /// A duration, shown in milliseconds.
    pub(crate) fn millis(duration: std::time::Duration) -> Self {
        let millis = duration.as_secs_f64() * 1000.0;
        Self::decimals(millis, if millis < 100.0 { 2 } else { 0 })
    }

    fn shown(&self) -> &str {
        match self {
            Self::Text(text) | Self::Number(_, text) => text,
            Self::Nothing => "-",
        }
    }

    fn json(&self) -> Value {
        match self {
            Self::Text(text) => json!(text),
            Self::Number(value, _) => json!(value),
            Self::Nothing => Value::Null,
        }
    }
}

/// A number for people: three or four significant digits, no zeros behind the point.
pub(crate) fn plain(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 1000.0 => 0,
        size if size >= 100.0 => 1,
        size if size >= 10.0 => 2,
        size if size >= 0.1 => 3,
        _ => 4,
    };
    let text = format!("{value:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// Rows of cells under columns.
#[derive(Clone, Debug)]
pub(crate) struct Table {
    columns: Vec<Column>,
    rows: Vec<Vec<Cell>>,
}

impl Table {
    pub(crate) fn new(columns: &[Column]) -> Self {
        Self { columns: columns.to_vec(), rows: Vec::new() }
    }

    pub(crate) fn push(&mut self, row: Vec<Cell>) {
        assert_eq!(row.len(), self.columns.len(), "a row has a cell for every column");
        self.rows.push(row);
    }

    /// Aligned columns under two lines of headings.
    pub(crate) fn text(&self) -> String {
        let widths = self.widths();
        let mut out = String::new();
        for line in 0..2 {
            let heads = self.columns.iter().map(|column| column.head[line]);
            self.line(heads, &widths, &mut out);
        }
        for row in &self.rows {
            self.line(row.iter().map(Cell::shown), &widths, &mut out);
        }
        out
    }

    /// What the columns mean, a line each.
    pub(crate) fn explain(&self) -> String {
        let mut out = String::new();
        for column in self.columns.iter().filter(|column| !column.about.is_empty()) {
            let name = column.head.join(" ");
            let _ = writeln!(out, "  {:<18} {}", name.trim(), column.about);
        }
        out
    }

    fn widths(&self) -> Vec<usize> {
        let width = |(at, column): (usize, &Column)| {
            let cells = self.rows.iter().map(|row| row[at].shown());
            let all = cells.chain(column.head);
            all.map(|text| text.chars().count()).max().unwrap_or(0)
        };
        self.columns.iter().enumerate().map(width).collect()
    }

    /// Is this a column of words?
    fn is_text(&self, at: usize) -> bool {
        self.rows.iter().any(|row| matches!(row[at], Cell::Text(_)))
    }

    fn line<'a>(&self, texts: impl Iterator<Item = &'a str>, widths: &[usize], out: &mut String) {
        let start = out.len();
        for (at, text) in texts.enumerate() {
            let width = widths[at];
            let gap = if at == 0 { "" } else { "  " };
            if self.is_text(at) {
                let _ = write!(out, "{gap}{text:<width$}");
            } else {
                let _ = write!(out, "{gap}{text:>width$}");
            }
        }
        out.truncate(start + out[start..].trim_end().len());
        out.push('\n');
    }

    /// One line a value: section, row, column, value. Rows of different tables never share a line.
    pub(crate) fn csv(&self, section: &str, out: &mut String) {
        for (number, row) in self.rows.iter().enumerate() {
            for (column, cell) in self.columns.iter().zip(row) {
                let value = match cell {
                    Cell::Text(text) => text.clone(),
                    Cell::Number(value, _) => value.to_string(),
                    Cell::Nothing => continue,
                };
                let name = row[0].shown();
                let fields = [section, &(number + 1).to_string(), name, column.key, &value];
                out.push_str(&fields.map(csv_field).join(","));
                out.push('\n');
            }
        }
    }

    /// An object a row, with the columns' keys.
    pub(crate) fn json(&self) -> Value {
        let object = |row: &Vec<Cell>| {
            let fields = self.columns.iter().zip(row);
            let fields = fields.map(|(column, cell)| (column.key.to_owned(), cell.json()));
            Value::Object(fields.collect::<Map<_, _>>())
        };
        Value::Array(self.rows.iter().map(object).collect())
    }

    pub(crate) fn html(&self) -> String {
        let mut out = String::from("<table>\n<thead><tr>");
        for column in &self.columns {
            let (head, about) = (column.head.join(" "), escape(column.about));
            let _ = write!(out, "<th title=\"{about}\">{}</th>", escape(head.trim()));
        }
        out.push_str("</tr></thead>\n<tbody>\n");
        for row in &self.rows {
            out.push_str("<tr>");
            for (at, cell) in row.iter().enumerate() {
                let class = if self.is_text(at) { "" } else { " class=\"n\"" };
                let _ = write!(out, "<td{class}>{}</td>", escape(cell.shown()));
            }
            out.push_str("</tr>\n");
        }
        out.push_str("</tbody>\n</table>\n");
        out
    }
}

fn csv_field(text: &str) -> String {
    if text.contains([',', '"', '\n']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.to_owned()
    }
}

/// Text as it may stand in HTML and SVG.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for character in text.chars() {
        match character {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '"' => out.push_str("&quot;"),
            other => out.push(other),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> Table {
        let mut table = Table::new(&[
            Column::new("algorithm", ["algo", ""], ""),
            Column::new("messages", ["messages", "per op"], "unicasts between replicas"),
            Column::new("note", ["note", ""], ""),
        ]);
        table.push(vec![Cell::text("raft"), Cell::number(4.0), Cell::text("a,b")]);
        table.push(vec![Cell::text("pbft"), Cell::number(1234.5), Cell::Nothing]);
        table
    }

    #[test]
    fn columns_line_up_and_numbers_stand_to_the_right() {
        let text = "algo  messages  note\n        per op\nraft         4  a,b\npbft      1234  -\n";
        assert_eq!(table().text(), text);
        assert!(table().explain().contains("messages per op    unicasts between replicas"));
    }

    #[test]
    fn csv_keeps_all_digits_and_quotes_what_must_be_quoted() {
        let mut out = String::new();
        table().csv("cost", &mut out);
        assert!(out.contains("cost,2,pbft,messages,1234.5\n"));
        assert!(out.contains("cost,1,raft,note,\"a,b\"\n"));
        assert!(!out.contains("pbft,note"), "what was not measured has no line");
        assert_eq!(table().json()[1]["messages"], json!(1234.5));
        assert_eq!(table().json()[1]["note"], Value::Null);
    }

    #[test]
    fn numbers_are_short_but_not_wrong() {
        let shown = [8.0, 0.5, 0.0625, 12.345, 312.0, 100.04, 19_800.4].map(plain);
        assert_eq!(shown, ["8", "0.5", "0.0625", "12.35", "312", "100", "19800"]);
    }

    #[test]
    fn html_shows_text_as_text() {
        let mut table = table();
        table.push(vec![Cell::text("<b>"), Cell::Nothing, Cell::text("\"&\"")]);
        let html = table.html();
        assert!(html.contains("<td>&lt;b&gt;</td>") && html.contains("&quot;&amp;&quot;"));
        assert!(html.contains("<td class=\"n\">4</td>"));
    }
}
