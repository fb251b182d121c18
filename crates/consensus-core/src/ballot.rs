//! Ballots: proposal numbers that no two proposers share.

use crate::id::{Incarnation, NodeId};
use serde::{Deserialize, Serialize};
use std::cmp::Ordering;
use std::fmt;

/// A proposal number (Lamport, "Paxos Made Simple", §2.2: different proposers choose from
/// disjoint sets of numbers, and no proposer uses a number twice).
///
/// Ordered by round, then node, then incarnation. The incarnation keeps a restarted proposer, which
/// remembers no round that it only proposed in, from using a ballot of its earlier life.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Ballot {
    /// Raised to outbid others.
    pub round: u64,
    /// The proposer.
    pub node: Option<NodeId>,
    /// The proposer's life.
    pub incarnation: Incarnation,
}

impl Ballot {
    /// Lower than every ballot that a proposer can own.
    pub const ZERO: Self = Self { round: 0, node: None, incarnation: Incarnation(0) };

    /// A ballot of this proposer that is higher than `seen`.
    #[must_use]
    pub fn above(seen: Self, node: NodeId, incarnation: Incarnation) -> Self {
        let ballot = Self { round: seen.round.saturating_add(1), node: Some(node), incarnation };
        debug_assert!(ballot > seen || seen.round == u64::MAX);
        ballot
    }

    /// The ballot as one number that grows with it, for the oracles.
    pub fn rank(self) -> u128 {
        (u128::from(self.round) << 64) | u128::from(self.owner())
    }

    /// Node and incarnation as one number that grows with them.
    #[inline]
    fn owner(self) -> u64 {
        (self.node.map_or(0, |node| u64::from(node.0) + 1) << 32) | u64::from(self.incarnation.0)
    }
}

impl PartialOrd for Ballot {
    #[inline]
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Every message is compared with what was promised: two words instead of three parts.
impl Ord for Ballot {
    #[inline]
    fn cmp(&self, other: &Self) -> Ordering {
        (self.round, self.owner()).cmp(&(other.round, other.owner()))
    }
}

impl fmt::Debug for Ballot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.node {
            None => write!(f, "b{}", self.round),
            Some(node) => write!(f, "b{}.{}.{}", self.round, node, self.incarnation.0),
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
}
