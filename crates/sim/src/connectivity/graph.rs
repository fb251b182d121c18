//! Which node reaches which: directed graphs, and all of them up to renaming.

use consensus_core::{NodeId, NodeSet};
use std::fmt;

/// Who can send to whom. Every node reaches itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Graph {
    nodes: usize,
    /// Bit `from × LIMIT + to`.
    arcs: u64,
}

impl Graph {
    /// The largest graph that fits.
    pub const LIMIT: usize = 8;
    /// The largest size of which all directed graphs are listed: 9,608 of five nodes.
    pub const MOST_DIRECTED: usize = 5;
    /// The largest size of which all undirected graphs are listed: 156 of six nodes.
    pub const MOST_UNDIRECTED: usize = 6;

    /// Nobody reaches anybody else.
    ///
    /// # Panics
    /// If there are more than [`LIMIT`](Self::LIMIT) nodes.
    pub fn empty(nodes: usize) -> Self {
        assert!(nodes <= Self::LIMIT, "graphs have at most {} nodes", Self::LIMIT);
        Self { nodes, arcs: 0 }
    }

    /// Everybody reaches everybody.
    pub fn full(nodes: usize) -> Self {
        let all: Vec<_> = pairs(nodes).collect();
        Self::of_arcs(nodes, &all)
    }

    /// These links and no others, each in both directions.
    pub fn of_links(nodes: usize, links: &[(u8, u8)]) -> Self {
        links.iter().fold(Self::empty(nodes), |graph, (a, b)| graph.with(*a, *b).with(*b, *a))
    }

    /// These links and no others, each from the first to the second.
    pub fn of_arcs(nodes: usize, arcs: &[(u8, u8)]) -> Self {
        arcs.iter().fold(Self::empty(nodes), |graph, (from, to)| graph.with(*from, *to))
    }

    /// The same with one direction of a link.
    #[must_use]
    pub fn with(mut self, from: u8, to: u8) -> Self {
        assert!(from != to, "a node needs no link to itself");
        self.arcs |= self.bit(from, to);
        self
    }

    /// The same without one direction of a link.
    #[must_use]
    pub fn without(mut self, from: u8, to: u8) -> Self {
        self.arcs &= !self.bit(from, to);
        self
    }

    /// The same with those directions only that are kept.
    #[must_use]
    pub(super) fn thinned(self, mut keep: impl FnMut() -> bool) -> Self {
        let drop = |graph: Self, (from, to): (u8, u8)| match keep() {
            true => graph,
            false => graph.without(from, to),
        };
        pairs(self.nodes).fold(self, drop)
    }

    fn bit(&self, from: u8, to: u8) -> u64 {
        let (from, to) = (usize::from(from), usize::from(to));
        assert!(from < self.nodes && to < self.nodes, "the link is between nodes of the graph");
        1 << (from * Self::LIMIT + to)
    }

    /// Number of nodes.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// Does what one node sends arrive at the other?
    pub fn reaches(&self, from: u8, to: u8) -> bool {
        from == to || self.arcs & self.bit(from, to) != 0
    }

    /// The same graph, in which two nodes have changed their names.
    #[must_use]
    pub fn swapped(&self, one: u8, other: u8) -> Self {
        let name = |node: u8| match node {
            it if it == one => other,
            it if it == other => one,
            it => it,
        };
        let arcs = pairs(self.nodes).filter(|(from, to)| self.reaches(*from, *to));
        arcs.fold(Self::empty(self.nodes), |graph, (from, to)| graph.with(name(from), name(to)))
    }

    /// Those that a node both hears and is heard by, itself included.
    pub fn both_ways(&self, node: u8) -> NodeSet {
        let linked = |other: &u8| self.reaches(node, *other) && self.reaches(*other, node);
        (0..self.nodes as u8).filter(linked).map(NodeId).collect()
    }

    /// A node that reaches a quorum both ways, itself counted: enough for a leader or proposer
    /// whose followers need not hear each other.
    pub fn hub(&self, quorum: usize) -> Option<NodeId> {
        let is_hub = |node: &u8| self.both_ways(*node).len() >= quorum;
        (0..self.nodes as u8).find(is_hub).map(NodeId)
    }

    /// A quorum whose members all reach each other both ways: what an algorithm needs in which
    /// everybody counts what everybody said.
    pub fn clique(&self, quorum: usize) -> Option<NodeSet> {
        let nodes = NodeSet::first(self.nodes);
        let subsets = (0..1_u32 << self.nodes).filter(|mask| mask.count_ones() as usize >= quorum);
        let mut sets = subsets.map(|mask| -> NodeSet {
            nodes.iter().filter(|node| mask & (1 << node.0) != 0).collect()
        });
        let linked =
            |set: &NodeSet| set.iter().all(|node| set.minus(self.both_ways(node.0)).is_empty());
        sets.find(linked)
    }

    /// Every directed graph of this size, one of each that differ by names only: 16 of three
    /// nodes, 218 of four, 9,608 of five (OEIS A000273).
    ///
    /// # Panics
    /// If there are more than [`MOST_DIRECTED`](Self::MOST_DIRECTED) nodes.
    pub fn directed(nodes: usize) -> Vec<Self> {
        assert!(nodes <= Self::MOST_DIRECTED, "too many graphs to list");
        let slots: Vec<_> = pairs(nodes).map(|arc| vec![arc]).collect();
        up_to_renaming(nodes, &slots)
    }

    /// Every graph of two-way links, likewise: 4, 11, 34 and 156 of three to six nodes (A000088).
    ///
    /// # Panics
    /// If there are more than [`MOST_UNDIRECTED`](Self::MOST_UNDIRECTED) nodes.
    pub fn undirected(nodes: usize) -> Vec<Self> {
        assert!(nodes <= Self::MOST_UNDIRECTED, "too many graphs to list");
        let slots = pairs(nodes).filter(|(a, b)| a < b).map(|(a, b)| vec![(a, b), (b, a)]);
        up_to_renaming(nodes, &slots.collect::<Vec<_>>())
    }

    /// Reads what [`Display`](fmt::Display) writes: `0-1 2>0`.
    ///
    /// # Errors
    /// If a word is no link of such a graph: which.
    pub fn parse(nodes: usize, text: &str) -> Result<Self, String> {
        let mut graph = Self::empty(nodes);
        for word in text.split_whitespace().filter(|word| *word != "none") {
            let wrong = || format!("'{word}' is no link between nodes 0 to {}", nodes - 1);
            let (a, b) = word.split_once(['-', '>']).ok_or_else(wrong)?;
            let ends = (a.parse::<u8>(), b.parse::<u8>());
            let (Ok(a), Ok(b)) = ends else { return Err(wrong()) };
            if a == b || usize::from(a.max(b)) >= nodes {
                return Err(wrong());
            }
            graph = graph.with(a, b);
            if word.contains('-') {
                graph = graph.with(b, a);
            }
        }
        Ok(graph)
    }
}

/// Two-way links as `0-1`, one-way links as `0>1`, `none` if there are none.
impl fmt::Display for Graph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = Vec::new();
        for (a, b) in pairs(self.nodes) {
            match (self.reaches(a, b), self.reaches(b, a)) {
                (true, true) if a < b => words.push(format!("{a}-{b}")),
                (true, false) => words.push(format!("{a}>{b}")),
                _ => {}
            }
        }
        f.write_str(if words.is_empty() { "none" } else { "" })?;
        f.write_str(&words.join(" "))
    }
}

/// All ordered pairs of different nodes.
fn pairs(nodes: usize) -> impl Iterator<Item = (u8, u8)> {
    let all = move || 0..nodes as u8;
    all().flat_map(move |from| all().filter(move |to| *to != from).map(move |to| (from, to)))
}

/// Of all graphs that are made by taking some of these groups of arcs, the first of each class of
/// those that differ by names only.
fn up_to_renaming(nodes: usize, slots: &[Vec<(u8, u8)>]) -> Vec<Graph> {
    let renamings: Vec<Vec<usize>> = permutations(nodes)
        .into_iter()
        .map(|names| {
            let renamed = |(a, b): &(u8, u8)| (names[usize::from(*a)], names[usize::from(*b)]);
            let place = |slot: &Vec<(u8, u8)>| {
                let arc = renamed(&slot[0]);
                slots.iter().position(|slot| slot.contains(&arc)).expect("renaming keeps pairs")
            };
            slots.iter().map(place).collect()
        })
        .collect();
    let mut seen = vec![false; 1 << slots.len()];
    let mut graphs = Vec::new();
    for code in 0..seen.len() {
        if seen[code] {
            continue;
        }
        let taken = || (0..slots.len()).filter(|slot| code & (1 << slot) != 0);
        for renaming in &renamings {
            seen[taken().map(|slot| 1 << renaming[slot]).sum::<usize>()] = true;
        }
        let arcs: Vec<_> = taken().flat_map(|slot| slots[slot].iter().copied()).collect();
        graphs.push(Graph::of_arcs(nodes, &arcs));
    }
    graphs
}

fn permutations(nodes: usize) -> Vec<Vec<u8>> {
    let mut all = vec![Vec::new()];
    for next in 0..nodes as u8 {
        let longer = |names: Vec<u8>| {
            (0..=names.len()).map(move |place| {
                let mut names = names.clone();
                names.insert(place, next);
                names
            })
        };
        all = all.into_iter().flat_map(longer).collect();
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    /// OEIS A000273 and A000088: the numbers of graphs up to renaming. A class that is listed
    /// twice or not at all would change them.
    #[test]
    fn every_graph_is_listed_once() {
        let directed = [1, 2, 3, 4, 5].map(|nodes| Graph::directed(nodes).len());
        assert_eq!(directed, [1, 3, 16, 218, 9_608]);
        let undirected = [1, 2, 3, 4, 5, 6].map(|nodes| Graph::undirected(nodes).len());
        assert_eq!(undirected, [1, 2, 4, 11, 34, 156]);
    }

    #[test]
    fn a_graph_is_read_back_as_it_is_written() {
        for graph in Graph::directed(4) {
            assert_eq!(Graph::parse(4, &graph.to_string()), Ok(graph));
        }
        assert_eq!(Graph::of_arcs(3, &[(2, 0), (0, 1), (1, 0)]).to_string(), "0-1 2>0");
        for wrong in ["0-0", "0-3", "0", "a-b", "0>>1", "0-1,1-2"] {
            assert!(Graph::parse(3, wrong).unwrap_err().contains("no link"), "{wrong}");
        }
    }

    /// A link that works in one direction makes no hub and no clique.
    #[test]
    fn a_quorum_is_reached_both_ways_or_not_at_all() {
        let star = Graph::of_links(4, &[(0, 1), (0, 2)]);
        assert_eq!((star.hub(3), star.hub(4)), (Some(NodeId(0)), None));
        assert_eq!(star.clique(3), None, "the rays do not hear each other");
        assert_eq!(star.without(2, 0).hub(3), None);
        let triangle = star.with(1, 2).with(2, 1);
        assert_eq!(triangle.clique(3), Some(NodeSet::first(3)));
        assert_eq!(triangle.without(1, 2).clique(3), None);
        assert_eq!(Graph::full(4).clique(4), Some(NodeSet::first(4)));
    }
}
