//! A rule that was broken.

use consensus_core::NodeId;
use std::fmt;

/// What an oracle found. The names are those of the simulator's oracles.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The oracle that saw it: "O1".
    pub oracle: &'static str,
    /// The rule: "agreement".
    pub name: &'static str,
    /// At which node, where it is one node's doing.
    pub node: Option<NodeId>,
    /// What was seen.
    pub detail: String,
}

impl Violation {
    pub(crate) fn new(
        oracle: &'static str,
        name: &'static str,
        node: Option<NodeId>,
        detail: String,
    ) -> Self {
        Self { oracle, name, node, detail }
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.oracle, self.name)?;
        if let Some(node) = self.node {
            write!(f, ", {node}")?;
        }
        write!(f, ": {}", self.detail)
    }
}
