//! Quorum arithmetic: small, pure, and tested against a count of all subsets.

use std::fmt;

/// Crash faults that `nodes` replicas survive: f with n ≥ 2f + 1.
pub fn crash_faults(nodes: usize) -> usize {
    nodes.saturating_sub(1) / 2
}

/// Byzantine faults that `nodes` replicas survive: f with n ≥ 3f + 1 (Castro & Liskov, OSDI '99,
/// §3).
pub fn byzantine_faults(nodes: usize) -> usize {
    nodes.saturating_sub(1) / 3
}

/// Strictly more than half: any two majorities share a node.
pub fn majority(nodes: usize) -> usize {
    nodes / 2 + 1
}

/// `ceil((n + f + 1) / 2)`: any two such quorums share at least f + 1 nodes, one of them correct.
/// This is the paper's 2f + 1 exactly when n = 3f + 1, and more when n is larger.
pub fn byzantine(nodes: usize) -> usize {
    (nodes + byzantine_faults(nodes) + 1).div_ceil(2)
}

/// Quorum sizes of the two phases of Paxos, which need only meet each other (Howard, Malkhi,
/// Spiegelman, "Flexible Paxos", OPODIS 2016).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Quorums {
    nodes: usize,
    phase_1: usize,
    phase_2: usize,
}

/// Two quorum sizes that do not do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuorumError {
    /// A phase asks for no node, or for more nodes than there are.
    OutOfRange {
        /// Nodes of the cluster.
        nodes: usize,
        /// The size asked for.
        asked: usize,
    },
    /// A phase-1 quorum and a phase-2 quorum might not meet.
    NoIntersection {
        /// Nodes of the cluster.
        nodes: usize,
        /// Size asked for in phase 1.
        phase_1: usize,
        /// Size asked for in phase 2.
        phase_2: usize,
    },
}

impl fmt::Display for QuorumError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OutOfRange { nodes, asked } => {
                write!(f, "a quorum of {asked} is not possible among {nodes} nodes")
            }
            Self::NoIntersection { nodes, phase_1, phase_2 } => write!(
                f,
                "quorums of {phase_1} and {phase_2} among {nodes} nodes might not meet: \
                 their sum must be larger than {nodes}"
            ),
        }
    }
}

impl std::error::Error for QuorumError {}

impl Quorums {
    /// Majorities in both phases.
    pub fn majority(nodes: usize) -> Self {
        let size = majority(nodes);
        Self::flexible(nodes, size, size).expect("two majorities meet")
    }

    /// Two sizes whose sum is larger than the number of nodes.
    ///
    /// # Errors
    /// If a size is 0 or larger than `nodes`, or if the two quorums might not meet.
    pub fn flexible(nodes: usize, phase_1: usize, phase_2: usize) -> Result<Self, QuorumError> {
        for asked in [phase_1, phase_2] {
            if asked == 0 || asked > nodes {
                return Err(QuorumError::OutOfRange { nodes, asked });
            }
        }
        if phase_1 + phase_2 <= nodes {
            return Err(QuorumError::NoIntersection { nodes, phase_1, phase_2 });
        }
        Ok(Self { nodes, phase_1, phase_2 })
    }

    /// Replicas in the cluster.
    pub fn nodes(self) -> usize {
        self.nodes
    }

    /// Promises that a proposer needs.
    pub fn phase_1(self) -> usize {
        self.phase_1
    }

    /// Acceptances that choose a value.
    pub fn phase_2(self) -> usize {
        self.phase_2
    }

    /// Replicas that must be up for both phases to end.
    pub fn larger(self) -> usize {
        self.phase_1.max(self.phase_2)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The second computation: the smallest size such that every two subsets of that size share
    /// more than `shared` nodes, found by looking at all pairs of subsets.
    fn smallest_by_force(nodes: usize, shared: usize) -> usize {
        (1..=nodes).find(|&size| least_overlap(nodes, size, size) > shared).unwrap_or(nodes)
    }

    /// The least overlap of a subset of size `a` with one of size `b`. By symmetry the first may
    /// be taken as the lowest `a` nodes; the second runs over all subsets.
    fn least_overlap(nodes: usize, a: usize, b: usize) -> usize {
        let first: u32 = (1u32 << a) - 1;
        (0u32..1 << nodes)
            .filter(|set| set.count_ones() as usize == b)
            .map(|set| (set & first).count_ones() as usize)
            .min()
            .expect("there is a subset of every size up to n")
    }

    /// The largest f such that f nodes may be silent (and, if they lie, also be in the overlap).
    fn faults_by_force(nodes: usize, byzantine: bool) -> usize {
        (0..nodes)
            .filter(|&f| {
                let quorum = smallest_by_force(nodes, if byzantine { f } else { 0 });
                let overlap = least_overlap(nodes, quorum, quorum);
                quorum + f <= nodes && overlap > if byzantine { f } else { 0 }
            })
            .max()
            .unwrap_or(0)
    }

    #[test]
    fn majority_and_crash_faults_agree_with_brute_force() {
        for nodes in 1..=16 {
            assert_eq!(majority(nodes), smallest_by_force(nodes, 0), "n = {nodes}");
            assert_eq!(crash_faults(nodes), faults_by_force(nodes, false), "n = {nodes}");
        }
    }

    #[test]
    fn byzantine_quorum_and_faults_agree_with_brute_force() {
        for nodes in 1..=16 {
            let f = byzantine_faults(nodes);
            assert_eq!(byzantine(nodes), smallest_by_force(nodes, f), "n = {nodes}");
            assert_eq!(f, faults_by_force(nodes, true), "n = {nodes}");
            assert!(byzantine(nodes) <= nodes - f, "a quorum is alive with f silent, n = {nodes}");
        }
    }

    /// The reading note E-32: 2f + 1 is right only for n = 3f + 1.
    #[test]
    fn the_byzantine_quorum_is_larger_than_2f_plus_1_off_the_grid() {
        assert_eq!([4, 5, 6, 7, 8, 9, 10].map(byzantine), [3, 4, 4, 5, 6, 6, 7]);
    }

    #[test]
    fn flexible_quorums_are_taken_exactly_when_they_always_meet() {
        for nodes in 1..=10 {
            for phase_1 in 0..=nodes + 1 {
                for phase_2 in 0..=nodes + 1 {
                    let taken = Quorums::flexible(nodes, phase_1, phase_2).is_ok();
                    let possible = (1..=nodes).contains(&phase_1)
                        && (1..=nodes).contains(&phase_2)
                        && least_overlap(nodes, phase_1, phase_2) >= 1;
                    assert_eq!(taken, possible, "n = {nodes}, {phase_1} and {phase_2}");
                }
            }
        }
        let refused = Quorums::flexible(4, 2, 2).unwrap_err();
        assert!(refused.to_string().contains("must be larger than 4"));
    }
}
