//! Scenarios: what is to happen on a [`Stage`](crate::Stage), step by step, and what is to come of
//! it. As text they are files that end in `.scn`; `docs/scenarios.md` describes them.

mod chart;
mod operator;
mod parse;
mod play;
mod step;
mod tape;
mod text;
mod words;

pub use chart::Chart;
pub use parse::BadScenario;
pub use play::{Missed, Outcome};
pub use step::{Action, Cut, Name, Pick, Proposal, Step};
pub(crate) use tape::Tape;
pub(crate) use text::payload_text;

use crate::shrink::Reduction;
use consensus_core::{NodeId, NodeSet};

/// A scenario. [`parse`](Self::parse) reads one, `to_string` writes it, [`play`](Self::play) plays
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Comments at its head.
    pub comments: Vec<String>,
    /// What it shows.
    pub title: String,
    /// The name of the algorithm.
    pub algo: String,
    /// The algorithm runs with the smallest windows and pages that it can work with.
    pub smallest: bool,
    /// Named options of the algorithm that are on.
    pub variants: Vec<String>,
    /// Replicas, `n0` and on.
    pub nodes: usize,
    /// Keys come from here; and everything else, where the scenario is a simulated run.
    pub seed: u64,
    /// Nodes that may lie.
    pub traitors: NodeSet,
    /// Nodes whose disks sync by themselves after every step.
    pub instant: NodeSet,
    /// Who votes at the beginning; all nodes if nobody is named. The others start when they are
    /// restarted.
    pub voters: NodeSet,
    /// Bytes of a snapshot that one message carries; 0 for many.
    pub chunk: usize,
    /// The planted bug that is switched on.
    pub mutant: Option<String>,
    /// What happens, and what is to come of it.
    pub entries: Vec<Line>,
}

/// A line of a scenario.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its number in the text, from 1; 0 if it was never in a text.
    pub number: usize,
    /// What it says.
    pub entry: Entry,
}

impl PartialEq for Line {
    /// Equal if they say the same, wherever they stand.
    fn eq(&self, other: &Self) -> bool {
        self.entry == other.entry
    }
}

impl Eq for Line {}

impl From<Entry> for Line {
    fn from(entry: Entry) -> Self {
        Self { number: 0, entry }
    }
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// This happens.
    Step(Step),
    /// A simulated run of the seed, smaller in these ways than the seed draws it; instead of steps.
    Simulate(Vec<Reduction>),
    /// This must be so by now.
    Expect(Expectation),
}

/// Something that must be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// No rule was broken.
    Safe,
    /// The rule of this oracle was broken.
    Violation(String),
    /// This node leads.
    Leader(NodeId),
    /// This node is down.
    Down(NodeId),
    /// What this node has committed in this life compares so with a number.
    Committed(NodeId, Compare, u64),
    /// The term, view or round of this node compares so with a number.
    Epoch(NodeId, Compare, u64),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<=`
    AtMost,
    /// `>=`
    AtLeast,
}

impl Compare {
    const ALL: [Self; 4] = [Self::Equal, Self::Unequal, Self::AtMost, Self::AtLeast];

    fn word(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
        }
    }

    fn holds(self, a: u64, b: u64) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Unequal => a != b,
            Self::AtMost => a <= b,
            Self::AtLeast => a >= b,
        }
    }
}

impl Scenario {
    /// The steps, in order.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.entries.iter().filter_map(|line| match &line.entry {
            Entry::Step(step) => Some(step),
            Entry::Simulate(_) | Entry::Expect(_) => None,
        })
    }
}
