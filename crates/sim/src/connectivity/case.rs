//! What is run: a graph, and where the leader stands when it comes.

use super::graph::Graph;
use crate::rng::Rng;
use consensus_core::{Audit, Cluster, ClusterId, FaultModel, NodeId, ProtocolConfig, quorum};
use std::fmt;

/// One case of the suite.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Case {
    /// The links that work, from now on and for ever.
    pub graph: Graph,
    /// Who leads when the others are cut; in an algorithm without leaders, who proposed last.
    pub leader: NodeId,
    /// This node was cut off while the last commands were committed.
    pub behind: Option<NodeId>,
    /// What replicas hold when the links are cut.
    pub way: Way,
}

/// What replicas hold when the links are cut, and when commands come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Way {
    /// All hold the same. Commands come when a leader that lost its quorum knows it.
    Calm,
    /// Commands come at the very moment of the cut, so that replicas differ in what they took last.
    Busy,
    /// Before, leader after leader lost the others, with commands in its log that nobody else has,
    /// while those decided more without it and forgot it behind a snapshot: no two logs are alike.
    /// Commands come at the moment of the cut.
    Frayed,
    /// As [`Busy`](Self::Busy), and the settings want the first node to lead, which does so before
    /// the cut. Only where there are such settings.
    Preferred,
}

/// The setting by which node 0 should lead.
pub(super) const FIRST: &str = "leader=first";

impl Way {
    /// All ways.
    pub const ALL: [Self; 4] = [Self::Calm, Self::Busy, Self::Frayed, Self::Preferred];
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Calm => "calm",
            Self::Busy => "busy",
            Self::Frayed => "frayed",
            Self::Preferred => "preferred",
        })
    }
}

impl Case {
    /// Every log is the same when the links are cut, and commands come a little later.
    pub fn calm(graph: Graph, leader: NodeId) -> Self {
        Self { graph, leader, behind: None, way: Way::Calm }
    }

    /// The same, but otherwise. Where a node is preferred, it and the first one change places.
    #[must_use]
    pub fn by(self, way: Way) -> Self {
        if way != Way::Preferred {
            return Self { way, ..self };
        }
        let leader = self.leader.0;
        let place = |node: NodeId| match node.0 {
            0 => self.leader,
            it if it == leader => NodeId(0),
            _ => node,
        };
        let behind = self.behind.map(place);
        Self { graph: self.graph.swapped(0, leader), leader: NodeId(0), behind, way }
    }

    /// Must commands go on? Where replicas may crash, if a node reaches a quorum both ways, itself
    /// counted: it can be leader, or propose. Where they may lie, if a quorum reach each other both
    /// ways: everybody counts what everybody says.
    pub fn must_live<P: Audit>(&self) -> bool {
        let quorum = P::INFO.quorum(self.graph.nodes());
        match P::INFO.faults {
            FaultModel::Crash => self.graph.hub(quorum).is_some(),
            FaultModel::Byzantine => self.graph.clique(quorum).is_some(),
        }
    }

    /// Can the algorithm run in a cluster of this size, and this way?
    pub fn is_possible<P: Audit>(&self) -> bool {
        let preferable = P::Config::VARIANTS.iter().any(|variant| variant.name == FIRST);
        let runs = P::Config::for_cluster(&Cluster::new(ClusterId(1), self.graph.nodes())).is_ok();
        runs && (preferable || self.way != Way::Preferred)
    }
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { graph, leader, behind, way } = self;
        write!(f, "{} nodes, links {graph}, leader {leader}", graph.nodes())?;
        if let Some(behind) = behind {
            write!(f, ", {behind} behind")?;
        }
        if *way == Way::Calm { Ok(()) } else { write!(f, ", {way}") }
    }
}

/// Each of these graphs with the leader at each place.
pub fn all(graphs: &[Graph], way: Way) -> Vec<Case> {
    let places = |graph: &Graph| {
        let graph = *graph;
        (0..graph.nodes() as u8).map(move |leader| Case::calm(graph, NodeId(leader)).by(way))
    };
    graphs.iter().flat_map(places).collect()
}

/// So many cases of a seed: directed graphs, thin and dense, in which some node reaches a majority
/// both ways; a leader anywhere; now and then a node that was cut off before; one of
/// each way in turn. For sizes of which there are too many graphs to run them all.
///
/// # Panics
/// If there are fewer than two nodes or more than [`Graph::LIMIT`].
pub fn sample(nodes: usize, count: usize, seed: u64) -> Vec<Case> {
    assert!(nodes >= 2, "one node has no links");
    let mut rng = Rng::new(seed);
    let cases = (0..count).map(|nth| {
        let graph = connected(nodes, &mut rng);
        let leader = rng.below(nodes as u64) as u8;
        let other = (leader + 1 + rng.below(nodes as u64 - 1) as u8) % nodes as u8;
        let behind = rng.chance(2_500).then_some(NodeId(other));
        Case { behind, ..Case::calm(graph, NodeId(leader)) }.by(Way::ALL[nth % Way::ALL.len()])
    });
    cases.collect()
}

/// Draws until a node reaches a majority both ways.
fn connected(nodes: usize, rng: &mut Rng) -> Graph {
    loop {
        let share = rng.between(2_000, 9_000) as u32;
        let drawn = Graph::full(nodes).thinned(|| rng.chance(share));
        if drawn.hub(quorum::majority(nodes)).is_some() {
            return drawn;
        }
    }
}

/// A case that somebody met, or thought of, before us.
#[derive(Clone, Copy, Debug)]
pub struct Named {
    /// Its name.
    pub name: &'static str,
    /// What it lures an algorithm into.
    pub trap: &'static str,
    nodes: usize,
    /// Two-way links.
    links: &'static [(u8, u8)],
    /// One-way links.
    arcs: &'static [(u8, u8)],
    leader: u8,
    behind: Option<u8>,
}

/// The cases with a history.
pub const NAMED: &[Named] = &[
    Named {
        name: "cloudflare",
        trap: "the node that lost only the leader campaigns for ever (etcd at Cloudflare, 2020)",
        nodes: 3,
        links: &[(0, 1), (1, 2)],
        arcs: &[],
        leader: 2,
        behind: None,
    },
    Named {
        name: "chained",
        trap: "the ends of a chain depose each other in turn (Omni-Paxos, §2)",
        nodes: 3,
        links: &[(0, 1), (1, 2)],
        arcs: &[],
        leader: 0,
        behind: None,
    },
    Named {
        name: "quorum loss",
        trap: "the centre of a star sees the leader alive and waits, and the leader has no quorum \
               (Omni-Paxos, §2)",
        nodes: 5,
        links: &[(0, 1), (0, 2), (0, 3), (0, 4)],
        arcs: &[],
        leader: 1,
        behind: None,
    },
    Named {
        name: "constrained",
        trap: "only the centre of a star reaches a quorum, and its log is behind (Omni-Paxos, §2)",
        nodes: 5,
        links: &[(0, 2), (0, 3), (0, 4)],
        arcs: &[],
        leader: 1,
        behind: Some(0),
    },
    Named {
        name: "dead weight",
        trap: "only the centre of a star reaches a quorum; frayed, its log is long and dead",
        nodes: 5,
        links: &[(0, 1), (0, 2), (0, 3), (0, 4)],
        arcs: &[],
        leader: 0,
        behind: None,
    },
    Named {
        name: "howard-abraham",
        trap: "two outsiders that hear a follower each keep deposing the leader",
        nodes: 5,
        links: &[(0, 1), (0, 2), (1, 2), (3, 1), (4, 2)],
        arcs: &[],
        leader: 2,
        behind: None,
    },
    Named {
        name: "openraft 2080",
        trap: "the heartbeats of a leader without a quorum hold the bridge back, and it the others",
        nodes: 5,
        links: &[(0, 1), (0, 2), (1, 2), (3, 2)],
        arcs: &[],
        leader: 3,
        behind: None,
    },
    Named {
        name: "deaf node",
        trap: "a node that sends and hears nothing campaigns for ever",
        nodes: 3,
        links: &[(0, 1)],
        arcs: &[(2, 0), (2, 1)],
        leader: 0,
        behind: None,
    },
    Named {
        name: "deaf leader",
        trap: "the leader's heartbeats arrive, and nothing arrives at the leader",
        nodes: 4,
        links: &[(1, 2), (1, 3), (2, 3)],
        arcs: &[(0, 1), (0, 2), (0, 3)],
        leader: 0,
        behind: None,
    },
    Named {
        name: "mute leader",
        trap: "the leader hears everybody, and nobody hears it",
        nodes: 4,
        links: &[(1, 2), (1, 3), (2, 3)],
        arcs: &[(1, 0), (2, 0), (3, 0)],
        leader: 0,
        behind: None,
    },
    Named {
        name: "one-way link",
        trap: "one follower answers a leader that it does not hear",
        nodes: 3,
        links: &[(0, 1), (1, 2)],
        arcs: &[(2, 0)],
        leader: 0,
        behind: None,
    },
    Named {
        name: "ring",
        trap: "everybody hears somebody, and nobody hears who hears it",
        nodes: 4,
        links: &[],
        arcs: &[(0, 1), (1, 2), (2, 3), (3, 0)],
        leader: 0,
        behind: None,
    },
    Named {
        name: "flattered bridge",
        trap: "a leader that only sends leaves entries at a follower, which may then not vote for \
               the only node with a quorum",
        nodes: 4,
        links: &[(1, 2), (2, 3)],
        arcs: &[(0, 1)],
        leader: 0,
        behind: None,
    },
];

impl Named {
    /// The case.
    pub fn case(&self, way: Way) -> Case {
        let graph = Graph::of_links(self.nodes, self.links);
        let graph = self.arcs.iter().fold(graph, |graph, (from, to)| graph.with(*from, *to));
        let behind = self.behind.map(NodeId);
        Case { behind, ..Case::calm(graph, NodeId(self.leader)) }.by(way)
    }
}

/// A case of [`NAMED`], if there is one of this name.
pub fn named(name: &str) -> Option<&'static Named> {
    NAMED.iter().find(|case| case.name == name)
}

/// What is run every day: the named cases, all directed graphs of three nodes, and every seventh
/// of four, the leader at each place; one of each way in turn.
pub fn selection() -> Vec<Case> {
    let sample: Vec<Graph> = Graph::directed(4).into_iter().step_by(7).collect();
    let named = NAMED.iter().flat_map(|named| Way::ALL.map(|way| named.case(way)));
    let graphs = all(&Graph::directed(3), Way::Calm).into_iter().chain(all(&sample, Way::Calm));
    let alternate = |(nth, case): (usize, Case)| case.by(Way::ALL[nth % Way::ALL.len()]);
    named.chain(graphs.enumerate().map(alternate)).collect()
}
