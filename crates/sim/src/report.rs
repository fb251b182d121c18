//! What a run found.

use consensus_core::{Fingerprint, NodeId};
use core::time::Duration;
use std::collections::BTreeMap;
use std::fmt;

/// A rule that was broken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The oracle that saw it: "O1".
    pub oracle: &'static str,
    /// The rule: "agreement".
    pub name: &'static str,
    /// When, in virtual time.
    pub at: Duration,
    /// At which node, where it is one node's doing.
    pub node: Option<NodeId>,
    /// What was seen.
    pub detail: String,
}

impl Violation {
    /// Without a time, for where there is none.
    pub fn in_short(&self) -> String {
        let node = self.node.map_or(String::new(), |node| format!(", {node}"));
        format!("{} ({}){node}: {}", self.oracle, self.name, self.detail)
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({}) at {:.6} s", self.oracle, self.name, self.at.as_secs_f64())?;
        if let Some(node) = self.node {
            write!(f, ", {node}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

/// What an oracle found, before it is known when and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Finding {
    pub(crate) oracle: &'static str,
    pub(crate) name: &'static str,
    pub(crate) detail: String,
}

impl Finding {
    pub(crate) fn new(oracle: &'static str, name: &'static str, detail: String) -> Self {
        Self { oracle, name, detail }
    }
}

/// One run of one seed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Report {
    /// The seed.
    pub seed: u64,
    /// Stands for everything that happened: equal for two runs of a seed.
    pub hash: Fingerprint,
    /// The first rule that was broken, if any.
    pub violation: Option<Violation>,
    /// Events that were processed.
    pub events: u64,
    /// Virtual time that passed.
    pub simulated: Duration,
    /// Commands that ended with an answer of the log.
    pub operations: u64,
    /// Commands that ended in doubt.
    pub unknown: u64,
    /// Commands that surely were not applied.
    pub refused: u64,
    /// How often a replica became leader.
    pub leader_changes: u64,
    /// How long the healed core took until fresh clients had all their answers.
    pub recovery: Option<Duration>,
    /// How long it took until each of them had its first answer.
    pub first_answers: Option<Duration>,
    /// Until it decided anything that was not decided before. What the clients waited for beside
    /// that is that they asked others first, who are not there, and for one command after the
    /// other.
    pub decided: Option<Duration>,
    /// Faults that were injected, by kind.
    pub faults: BTreeMap<&'static str, u64>,
    /// Rare things that happened: a run in which none did proves little.
    pub marks: BTreeMap<&'static str, u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_violation_reads_as_a_sentence() {
        let violation = Violation {
            oracle: "O1",
            name: "agreement",
            at: Duration::from_millis(1500),
            node: Some(NodeId(2)),
            detail: "index 4 holds two batches".into(),
        };
        let text = violation.to_string();
        assert_eq!(text, "O1 (agreement) at 1.500000 s, n2: index 4 holds two batches");
    }
}
