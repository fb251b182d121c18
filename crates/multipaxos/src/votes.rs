//! Votes for one question.

use consensus_core::mutant::planted;
use consensus_core::{NodeId, NodeSet};

/// Who voted. A set, as messages may be doubled, and its size.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Votes {
    from: NodeSet,
    count: usize,
}

impl Votes {
    /// A node votes; again changes nothing.
    pub(crate) fn add(&mut self, node: NodeId) {
        if self.from.insert(node) || planted("M23") {
            self.count += 1;
        }
    }

    /// Who voted.
    pub(crate) fn from(&self) -> NodeSet {
        self.from
    }

    /// How many.
    pub(crate) fn count(&self) -> usize {
        self.count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A quorum is a set of acceptors (PMS §2.2): a repeated answer is no second acceptor.
    #[test]
    fn a_repeated_vote_counts_once() {
        let mut votes = Votes::default();
        for node in [1, 1, 2] {
            votes.add(NodeId(node));
        }
        assert_eq!((votes.count(), votes.from().len()), (2, 2));
    }
}
