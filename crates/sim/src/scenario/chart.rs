//! A scenario as a picture: a column a node, a line a step, an arrow a message.

use super::text::Time;
use super::{Action, Name, Names, Step};
use crate::report::Violation;
use crate::stage::Note;
use consensus_core::NodeId;
use std::fmt;

/// What happened on a stage, line by line. `to_string` draws it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Chart {
    nodes: usize,
    names: Names,
    lines: Vec<String>,
    steps: usize,
}

/// Characters between two columns.
const GAP: usize = 8;

impl Chart {
    pub(crate) fn new(nodes: usize, names: Names) -> Self {
        Self { nodes, names, lines: Vec::new(), steps: 0 }
    }

    /// What follows is another way that things could go.
    pub(crate) fn title(&mut self, title: &str) {
        self.remark(&format!("\nbranch: {title}"));
    }

    /// A line without columns.
    pub(crate) fn remark(&mut self, text: &str) {
        self.lines.push(text.to_owned());
    }

    /// Adds another chart of the same scenario.
    pub(crate) fn append(&mut self, other: Self) {
        if self.nodes == 0 {
            *self = other;
        } else if self.nodes == other.nodes {
            self.lines.extend(other.lines);
            self.steps += other.steps;
        } else {
            self.lines.push(format!("\nwith {} nodes: {} steps", other.nodes, other.steps));
        }
    }

    /// So many steps were drawn.
    pub fn len(&self) -> usize {
        self.steps
    }

    /// Was nothing drawn?
    pub fn is_empty(&self) -> bool {
        self.lines.is_empty()
    }

    /// A step, what its message says, and what came of it.
    pub(crate) fn add(
        &mut self,
        (step, says): (&Step, &[String]),
        notes: &[Note],
        violation: Option<&Violation>,
    ) {
        self.steps += 1;
        let place = self.steps;
        let mover = step.action.mover();
        let columns = self.columns(&step.action);
        let mut line = label(step);
        for says in says {
            line.push_str(&format!(" {says}"));
        }
        for Note { node, what } in notes {
            let who = if *node == mover { String::new() } else { format!("{node} ") };
            line.push_str(&format!("; {who}{what}"));
        }
        if let Some(violation) = violation {
            let Violation { oracle, name, node, .. } = violation;
            let node = node.map_or(String::new(), |node| format!(" at {node}"));
            line.push_str(&format!("  <== {oracle} ({name}){node}"));
        }
        let line = self.names.rename(&line);
        self.lines.push(format!("{place:>4}  {columns}{line}"));
    }

    /// The columns of one line: bars, and on them an arrow or a mark.
    fn columns(&self, action: &Action) -> String {
        let width = self.nodes.saturating_sub(1) * GAP + 3;
        let mut row = vec![' '; width.max(3)];
        let column = |node: NodeId| node.index() * GAP;
        for node in 0..self.nodes {
            row[node * GAP] = '|';
        }
        let arrow = |row: &mut Vec<char>, Name { from, to, .. }: &Name, head: char| {
            let (start, end) = (column(*from), column(*to));
            row[start.min(end) + 1..start.max(end)].fill('-');
            row[start] = 'o';
            let before = if start < end { end - 1 } else { end + 1 };
            row[before] = if head != ' ' {
                head
            } else if start < end {
                '>'
            } else {
                '<'
            };
        };
        match action {
            Action::Deliver { message, .. } => arrow(&mut row, message, ' '),
            Action::Drop(message) => arrow(&mut row, message, 'x'),
            Action::Crash { node, .. } => row[column(*node)] = 'X',
            Action::Restart(node) => row[column(*node)] = '^',
            Action::Sync { node, .. } => row[column(*node)] = '=',
            Action::Timeout { node, .. }
            | Action::Campaign(node)
            | Action::Transfer { node, .. }
            | Action::Change { node, .. }
            | Action::Read { node, .. }
            | Action::Snapshot(node)
            | Action::Save { node, .. }
            | Action::Propose { node, .. } => {
                row[column(*node)] = '*';
            }
        }
        row.into_iter().collect()
    }
}

/// What a step is, without what the columns say already.
fn label(step: &Step) -> String {
    let what = match &step.action {
        Action::Deliver { message, keep, lie } => {
            let copy = if *keep { " (a copy)" } else { "" };
            format!("{}{}{copy}", if *lie { "contrary " } else { "" }, message.kind)
        }
        Action::Drop(message) => format!("{} is lost", message.kind),
        other => other.to_string(),
    };
    let what = match step.at {
        Some(moment) => format!("at {}: {what}", Time(moment)),
        None => what,
    };
    match step.cut {
        Some(cut) => format!("{what} ! crash after {}", cut.after),
        None => what,
    }
}

impl fmt::Display for Chart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.nodes > 0 {
            write!(f, "step  ")?;
        }
        for node in 0..self.nodes {
            write!(f, "{:<GAP$}", self.names.of(NodeId(node as u8)))?;
        }
        if self.nodes > 0 {
            writeln!(f)?;
        }
        self.lines.iter().try_for_each(|line| writeln!(f, "{}", line.trim_end()))
    }
}
