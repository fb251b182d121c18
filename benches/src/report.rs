//! The report: one HTML file that needs nothing else. Plots and raw data are inside.

use crate::comparison::{Comparison, Section};
use crate::table::escape;
use serde_json::{Value, json};
use std::fmt::Write as _;
use std::fs;

const STYLE: &str = "\
body{font:15px/1.45 sans-serif;max-width:1100px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0;font-variant-numeric:tabular-nums}
th,td{padding:.25em .7em;border-bottom:1px solid #ddd;text-align:left;vertical-align:bottom}
td.n{text-align:right}
pre{background:#f6f6f6;padding:.7em;overflow-x:auto;font-size:13px}
.void{color:#a00;font-weight:bold}
footer{margin-top:3em;color:#555;font-size:13px;border-top:1px solid #ddd}
svg{max-width:100%;height:auto}";

/// The machine that measured, as far as it is known.
pub(crate) fn machine() -> Value {
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    let about = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = about.lines().find(|line| line.starts_with("model name"));
    let model = model.and_then(|line| line.split(':').nth(1)).map(str::trim);
    json!({
        "os": std::env::consts::OS,
        "architecture": std::env::consts::ARCH,
        "cores": cores,
        "cpu": model,
    })
}

/// The page. `data` is the comparison as JSON text.
pub(crate) fn html(comparison: &Comparison, command_line: &str, data: &str) -> String {
    let title = escape(&comparison.title);
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <title>{title}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    );
    for line in &comparison.heading {
        let _ = writeln!(out, "<p>{}</p>", escape(line));
    }
    for fault in &comparison.faults {
        let _ = writeln!(out, "<p class=\"void\">VOID: {}</p>", escape(fault));
    }
    for section in &comparison.sections {
        section_html(section, &mut out);
    }
    for chart in &comparison.charts {
        let _ = writeln!(out, "<figure>{}</figure>", chart.svg());
    }
    // Inside a script element nothing is text but the end tag, which JSON can write differently.
    let data = data.replace("</", "<\\/");
    let _ = writeln!(out, "<script type=\"application/json\" id=\"data\">{data}</script>");
    footer(comparison, command_line, &mut out);
    out.push_str("</body>\n</html>\n");
    out
}

fn section_html(section: &Section, out: &mut String) {
    let _ = writeln!(out, "<h2>{}</h2>", escape(&section.title));
    for line in &section.about {
        let _ = writeln!(out, "<p>{}</p>", escape(line));
    }
    out.push_str(&section.table.html());
    for note in &section.notes {
        let _ = writeln!(out, "<p>Note: {}</p>", escape(note));
    }
    let _ = writeln!(
        out,
        "<details><summary>What the columns mean</summary><pre>{}</pre></details>",
        escape(&section.table.explain())
    );
}

fn footer(comparison: &Comparison, command_line: &str, out: &mut String) {
    let _ = writeln!(
        out,
        "<footer><p>Command: <code>{}</code><br>Options: <code>{}</code><br>\
         Synod {}; machine: <code>{}</code>.<br>The raw data is in this page: the element with the \
         id <code>data</code>.</p></footer>",
        escape(command_line),
        escape(&comparison.options.to_string()),
        env!("CARGO_PKG_VERSION"),
        escape(&machine().to_string())
    );
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plots;
    use crate::table::{Cell, Column, Table};
    use std::path::PathBuf;
    use synod_algorithms::Algorithm;

    fn comparison() -> Comparison {
        let mut table = Table::new(&[Column::new("algorithm", ["algo", ""], "")]);
        table.push(vec![Cell::text("raft")]);
        Comparison {
            title: "A <comparison>".into(),
            heading: vec!["trace 00ff".into()],
            sections: vec![Section {
                key: "cost",
                title: "Cost".into(),
                about: vec!["quiet".into()],
                table,
                notes: vec!["f = 0".into()],
            }],
            charts: vec![plots::messages_against_n(&Algorithm::ALL, &[])],
            options: json!({"seed": 1}),
            raw: json!({"tricky": "</script><b>"}),
            faults: Vec::new(),
        }
    }

    /// One file, offline: nothing is fetched, and no data can end the script element early.
    #[test]
    fn the_report_is_one_file_with_plots_and_data_inside() {
        let comparison = comparison();
        let data = comparison.json("synod compare run").to_string();
        let page = html(&comparison, "synod compare run", &data);
        for part in ["A &lt;comparison&gt;", "trace 00ff", "<svg", "f = 0", "synod compare run"] {
            assert!(page.contains(part), "{part}");
        }
        for fetch in ["src=", "href=", "@import", "url("] {
            assert!(!page.contains(fetch), "{fetch}");
        }
        assert_eq!(page.matches("</script>").count(), 1);
        let start = page.find("id=\"data\">").expect("data") + 10;
        let end = page.find("</script>").expect("its end");
        let back: Value = serde_json::from_str(&page[start..end]).expect("JSON comes back");
        assert_eq!(back["raw"]["tricky"], "</script><b>");
    }

    #[test]
    fn every_promised_file_is_written() {
        let dir: PathBuf =
            std::env::temp_dir().join(format!("synod-report-{}", std::process::id()));
        comparison().write_to(&dir, "synod compare run").expect("written");
        for file in ["table.txt", "data.csv", "data.json", "plots/messages.svg", "report.html"] {
            assert!(dir.join(file).is_file(), "{file}");
        }
        fs::remove_dir_all(&dir).expect("removed");
    }

    #[test]
    fn a_fault_voids_the_comparison_and_is_shown() {
        let mut comparison = comparison();
        assert!(comparison.valid());
        comparison.faults.push("raft: O1".into());
        assert!(!comparison.valid() && comparison.text().contains("VOID: raft: O1"));
    }
}
