//! Ballots: proposal numbers that no two proposers share.

use crate::id::{Incarnation, NodeId};
use serde::{Deserialize, Serialize};
use std::fmt;

/// A proposal number (Lamport, "Paxos Made Simple", §2.2: different proposers choose from
/// disjoint sets of numbers, and no proposer uses a number twice).
///
/// Ordered by round, then node, then incarnation. The incarnation keeps a restarted proposer, which
/// remembers no round that it only proposed in, from using a ballot of its earlier life.
///
/// Two words: every message is compared with what was promised.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
#[serde(from = "Parts", into = "Parts")]
pub struct Ballot {
    /// Raised to outbid others.
    pub round: u64,
    /// The proposer's number and 1, and then its life; grows with both.
    owner: u64,
}

/// A ballot as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename = "Ballot")]
struct Parts {
    round: u64,
    node: Option<NodeId>,
    incarnation: Incarnation,
}

impl From<Parts> for Ballot {
    fn from(parts: Parts) -> Self {
        Self::new(parts.round, parts.node, parts.incarnation)
    }
}

impl From<Ballot> for Parts {
    fn from(ballot: Ballot) -> Self {
        Self { round: ballot.round, node: ballot.node(), incarnation: ballot.incarnation() }
    }
}

impl Ballot {
    /// Lower than every ballot that a proposer can own.
    pub const ZERO: Self = Self { round: 0, owner: 0 };

    /// A ballot of this proposer in this life of it.
    #[inline]
    pub fn new(round: u64, node: Option<NodeId>, incarnation: Incarnation) -> Self {
        let node = node.map_or(0, |node| u64::from(node.0) + 1);
        Self { round, owner: (node << 32) | u64::from(incarnation.0) }
    }

    /// The proposer.
    #[inline]
    pub fn node(self) -> Option<NodeId> {
        let node = (self.owner >> 32).checked_sub(1)?;
        Some(NodeId(node as u8))
    }

    /// The proposer's life.
    #[inline]
    pub fn incarnation(self) -> Incarnation {
        Incarnation(self.owner as u32)
    }

    /// The same proposer's ballot of another round.
    #[must_use]
    pub fn with_round(self, round: u64) -> Self {
        Self { round, ..self }
    }

    /// A ballot of this proposer that is higher than `seen`.
    #[must_use]
    pub fn above(seen: Self, node: NodeId, incarnation: Incarnation) -> Self {
        let ballot = Self::new(seen.round.saturating_add(1), Some(node), incarnation);
        debug_assert!(ballot > seen || seen.round == u64::MAX);
        ballot
    }

    /// The ballot as one number that grows with it, for the oracles.
    pub fn rank(self) -> u128 {
        (u128::from(self.round) << 64) | u128::from(self.owner)
    }
}

impl fmt::Debug for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node() {
            None => write!(f, "b{}", self.round),
            Some(node) => write!(f, "b{}.{}.{}", self.round, node, self.incarnation().0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_restarted_proposer_never_reuses_a_ballot() {
        let before = Ballot::above(Ballot::ZERO, NodeId(1), Incarnation(1));
        let after = Ballot::above(Ballot::ZERO, NodeId(1), Incarnation(2));
        assert_ne!(before, after);
        assert_ne!(before, Ballot::above(Ballot::ZERO, NodeId(2), Incarnation(1)));
    }

    #[test]
    fn above_is_above_and_rank_keeps_the_order() {
        let low = Ballot::above(Ballot::ZERO, NodeId(9), Incarnation(7));
        let high = Ballot::above(low, NodeId(0), Incarnation(1));
        assert!(high > low && high.rank() > low.rank() && low.rank() > Ballot::ZERO.rank());
    }

    /// PMS §2.2, the numbers are ordered and no two proposers share one: two words say what three
    /// parts say, in the same order, and what is written is the parts.
    #[test]
    fn two_words_hold_three_parts() {
        let nodes = [None, Some(NodeId(0)), Some(NodeId(1)), Some(NodeId(u8::MAX))];
        let mut before = None;
        for round in [0, 1, u64::MAX] {
            for node in nodes {
                for life in [0, 1, u32::MAX].map(Incarnation) {
                    let ballot = Ballot::new(round, node, life);
                    assert_eq!((ballot.round, ballot.node()), (round, node));
                    assert_eq!(ballot.incarnation(), life);
                    assert_eq!(Ballot::from(Parts::from(ballot)), ballot);
                    assert!(before < Some(ballot), "{ballot:?} is above {before:?}");
                    before = Some(ballot);
                }
            }
        }
    }
}
