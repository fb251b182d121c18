//! States that differ in the names of nodes only are one.
//!
//! Where an algorithm treats all nodes alike ([`Audit::is_symmetric`]), a cluster whose nodes have
//! swapped their names behaves as before, with the names swapped; so of all such states one stands
//! for the others (Ip, Dill 1996: "Better verification through symmetry"). A state's fingerprint is
//! a sum over its parts; each part has one for each way of naming the nodes, and the lowest of the
//! sums stands for the state. Nothing is ever renamed but in a hasher: the states that are explored
//! are real ones, and so is the way to a counterexample.

use crate::bounds::Bounds;
use crate::fingerprint;
use crate::state::MAX_NODES;
use consensus_core::{Audit, NodeId, NodeSet};
use std::hash::Hash;

/// Nodes that may swap names: the first voters. Six ways for three are what a state may cost; any
/// set of ways that holds the way there and back is sound.
const ALIKE: usize = 3;

/// Ways of naming them.
const WAYS: usize = 6;

/// Names that nodes have in place of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Names([u8; MAX_NODES]);

impl Names {
    /// Each its own.
    pub(crate) const OWN: Self = Self([0, 1, 2, 3, 4, 5, 6]);

    /// The name of a node.
    pub(crate) fn of(&self, node: NodeId) -> NodeId {
        self.0.get(node.index()).map_or(node, |name| NodeId(*name))
    }

    /// The names of these.
    pub(crate) fn of_all(&self, nodes: NodeSet) -> NodeSet {
        if *self == Self::OWN { nodes } else { nodes.iter().map(|node| self.of(node)).collect() }
    }

    /// Every way of naming the first of them anew, their own names first.
    fn all(alike: usize) -> Vec<Self> {
        let mut ways = vec![Self::OWN];
        for last in 1..alike {
            for known in 0..ways.len() {
                for other in 0..last {
                    let mut way = ways[known];
                    way.0.swap(other, last);
                    ways.push(way);
                }
            }
        }
        ways
    }
}

/// The ways of naming the nodes of a model that make no difference.
#[derive(Clone, Debug)]
pub(crate) struct Symmetry(Vec<Names>);

impl Symmetry {
    /// Of a model. What is done to one certain node takes away that all are alike: a change of
    /// members is worked out by number, a traitor has one, and in rounds messages arrive in the
    /// order of numbers.
    pub(crate) fn of<P: Audit>(bounds: &Bounds, config: &P::Config) -> Self {
        let plain = bounds.changes == 0 && bounds.traitors.is_empty() && bounds.storms.is_none();
        let alike = bounds.symmetry && plain && P::is_symmetric(config);
        Self(Names::all(if alike { bounds.nodes.min(ALIKE) } else { 1 }))
    }

    /// Each of them; the first is everybody's own name.
    pub(crate) fn ways(&self) -> &[Names] {
        &self.0
    }
}

/// The fingerprints of a part of a state, or of all of it, under each way of naming the nodes.
/// Where there are fewer ways, the first stands in the other places, too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Prints([u128; WAYS]);

impl Prints {
    pub(crate) fn of<T: Hash + ?Sized>(symmetry: &Symmetry, value: &T) -> Self {
        let [own, others @ ..] = symmetry.ways() else { unreachable!("own names are one way") };
        let mut prints = Self::same(fingerprint::under(own, value));
        for (print, names) in prints.0[1..].iter_mut().zip(others) {
            *print = fingerprint::under(names, value);
        }
        prints
    }

    /// Of what names no node.
    pub(crate) fn same(print: u128) -> Self {
        Self([print; WAYS])
    }

    /// With the nodes' own names.
    pub(crate) fn own(&self) -> u128 {
        self.0[0]
    }

    /// In this way of naming them.
    pub(crate) fn under(&self, way: usize) -> u128 {
        self.0[way]
    }

    /// The one that stands for all.
    pub(crate) fn least(&self) -> u128 {
        self.0.iter().copied().fold(u128::MAX, u128::min)
    }

    #[must_use]
    pub(crate) fn with(mut self, part: &Self) -> Self {
        for (sum, part) in self.0.iter_mut().zip(&part.0) {
            *sum = sum.wrapping_add(*part);
        }
        self
    }

    #[must_use]
    pub(crate) fn without(mut self, part: &Self) -> Self {
        for (sum, part) in self.0.iter_mut().zip(&part.0) {
            *sum = sum.wrapping_sub(*part);
        }
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_of_naming_three_nodes_is_there_once() {
        for (alike, count) in [(0, 1), (1, 1), (2, 2), (3, WAYS)] {
            let mut ways = Names::all(alike);
            assert_eq!(ways[0], Names::OWN);
            ways.sort_by_key(|way| way.0);
            ways.dedup();
            assert_eq!(ways.len(), count);
        }
    }

    #[test]
    fn nodes_and_sets_of_them_are_renamed_and_numbers_are_not() {
        let swapped = Names([1, 0, 2, 3, 4, 5, 6]);
        let of = |node, others: &[u8], number: u8| {
            let others: NodeSet = others.iter().copied().map(NodeId).collect();
            (NodeId(node), Some(others), number, u64::from(number), usize::from(number))
        };
        let renamed = |value| fingerprint::under(&swapped, &value);
        assert_eq!(renamed(of(0, &[1, 2], 1)), fingerprint::of(&of(1, &[0, 2], 1)));
        assert_ne!(renamed(of(0, &[1, 2], 1)), fingerprint::of(&of(1, &[0, 2], 0)));
        assert_eq!(renamed(of(3, &[100], 1)), fingerprint::of(&of(3, &[100], 1)));
    }

    #[test]
    fn a_sum_with_a_part_less_the_part_is_the_sum() {
        let symmetry = Symmetry(Names::all(3));
        let (one, other) = (Prints::of(&symmetry, &NodeId(0)), Prints::of(&symmetry, &NodeId(1)));
        assert_eq!(one.with(&other).without(&one), other);
        assert_eq!(one.least(), other.least(), "each of the three may be the first");
        assert_ne!(one.own(), other.own());
    }
}
