//! What a scenario can ask about a cluster.

use super::item::Item;
use super::{Compare, Formula};
use consensus_core::{NodeId, NodeSet};
use core::time::Duration;

/// Something that is so, or is not.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Condition {
    /// The contrary.
    Not(Box<Condition>),
    /// This node leads.
    Leader(NodeId),
    /// Nobody leads.
    NoLeader,
    /// This node is down.
    Down(NodeId),
    /// A number compares so with another.
    Number(Number, Compare, Formula),
    /// What protocol or service hold compares so with these values.
    Holds {
        /// What, in the protocol's own words: `log`, `vote`, `promised`.
        what: String,
        /// Where.
        node: NodeId,
        /// Which of several: `slot 2`.
        which: Vec<Item>,
        /// How.
        compare: Compare,
        /// With what.
        values: Vec<Item>,
    },
    /// These commands, without no-ops, are what the cluster chose, in this order.
    Chosen(Compare, Vec<Item>),
    /// A time compares so with another.
    Time(Span, Compare, Duration),
    /// The answers of clients can be explained by some order (worlds with clients only).
    Linearizable,
}

/// A number that can be asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Number {
    /// Indices that the node has committed in this life.
    Committed(NodeId),
    /// Its term, view or round.
    Epoch(NodeId),
    /// Messages that were sent, and arrived or not.
    Count(Pattern),
    /// Messages that are on their way.
    OnWay(Pattern),
    /// Commands that clients have got an answer for.
    Answered,
    /// Commands whose clients do not know what became of them.
    Unknown,
    /// How often a replica became leader.
    Elections,
}

/// A time that can be asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Span {
    /// The longest time between two answers.
    Gap,
    /// What the slowest of a hundred answered commands took.
    Slowest,
    /// What half of the answered commands took at most.
    Median,
}

/// Some messages.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// Of this kind; of any, if `None`.
    pub kind: Option<String>,
    /// On links from these to those nodes; on all links, if `None`.
    pub links: Option<(NodeSet, NodeSet)>,
}

impl Pattern {
    /// Is this message among them?
    pub fn fits(&self, kind: &str, from: NodeId, to: NodeId) -> bool {
        let on_link = self.links.is_none_or(|(a, b)| a.contains(from) && b.contains(to));
        on_link && self.kind.as_ref().is_none_or(|wanted| wanted == kind)
    }
}
