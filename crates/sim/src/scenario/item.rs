//! The values that a scenario speaks of: `[2,3]`, `"cat"`, a node, a ballot.

use super::text::Quoted;
use consensus_core::NodeId;
use std::fmt;

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A word, such as `4`, `none` or an entry of a log, `[term,index]`.
    Word(String),
    /// What a command says.
    Text(String),
    /// A node.
    Node(NodeId),
    /// A proposal number: its round and its proposer, `2.P1`.
    Ballot(u64, NodeId),
}

impl Item {
    /// A word.
    pub fn word(word: impl fmt::Display) -> Self {
        Self::Word(word.to_string())
    }

    /// The number that it is.
    pub fn number(&self) -> Option<u64> {
        match self {
            Self::Word(word) => word.parse().ok(),
            Self::Text(_) | Self::Node(_) | Self::Ballot(..) => None,
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Word(word) => f.write_str(word),
            Self::Text(text) => Quoted(text).fmt(f),
            Self::Node(node) => write!(f, "{node}"),
            Self::Ballot(round, node) => write!(f, "{round}.{node}"),
        }
    }
}

/// Values with spaces between; "nothing" if there are none.
pub(super) fn listed(items: &[Item]) -> String {
    if items.is_empty() {
        return "nothing".into();
    }
    items.iter().map(ToString::to_string).collect::<Vec<_>>().join(" ")
}
