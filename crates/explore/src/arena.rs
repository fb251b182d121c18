//! Everything that many states have in common, each kept once and named by a number: nodes,
//! messages, histories, and what comes of a stimulus at a node. A state is then a handful of
//! numbers, and most of its successors are found without running any code of the protocol.
//!
//! Which number something gets may depend on which thread was faster; nothing that a search
//! reports depends on the numbers.

use crate::disk::Snapshot;
use crate::fingerprint::{self, AsItIs};
use crate::node::{self, Commit, Node, Packet};
use crate::state::History;
use crate::symmetry::{Prints, Symmetry};
use crate::violation::Violation;
use consensus_core::Audit;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard, RwLockWriteGuard};

/// Numbers of things by their fingerprints.
type Numbers = HashMap<u128, u32, AsItIs>;

/// What became of a node, and what it did to the world.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) node: u32,
    pub(crate) sent: Box<[u32]>,
    pub(crate) commits: Box<[Commit]>,
    pub(crate) snapshot: Option<Box<Snapshot>>,
    pub(crate) office: Option<u64>,
    pub(crate) wrote: bool,
}

/// Nodes, messages and outcomes.
pub(crate) struct Steps<P: Audit> {
    pub(crate) nodes: Vec<Arc<Node<P>>>,
    pub(crate) packets: Vec<Packet<P>>,
    outcomes: HashMap<u128, Result<Outcome, Violation>, AsItIs>,
    node_numbers: Numbers,
    packet_numbers: Numbers,
    /// Rare things that the protocol said it reached.
    pub(crate) marks: BTreeSet<&'static str>,
    /// The highest epoch in which some node knew a leader.
    pub(crate) epoch: u64,
}

/// A node at a time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Moment {
    pub(crate) node: u32,
    pub(crate) ticks: u8,
}

impl Moment {
    fn key(self) -> u128 {
        (u128::from(self.ticks) << 96) | (u128::from(self.node) << 64)
    }
}

/// A node and what happens to it, as a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Cause(u128);

impl Cause {
    /// A message arrives at a node.
    pub(crate) fn message(node: Moment, packet: u32) -> Self {
        Self(node.key() | u128::from(packet))
    }

    /// Something else happens to it.
    pub(crate) fn other<T: std::hash::Hash>(node: Moment, what: &T) -> Self {
        // Beyond all numbers of messages.
        let what = fingerprint::of(what) as u64 | (1 << 63);
        Self(node.key() | u128::from(what))
    }
}

impl<P: Audit> Steps<P> {
    /// What comes of this, if it was worked out.
    pub(crate) fn outcome(&self, cause: Cause) -> Option<&Result<Outcome, Violation>> {
        self.outcomes.get(&cause.0)
    }

    /// Keeps what comes of this.
    pub(crate) fn learn(&mut self, cause: Cause, result: Result<node::Outcome<P>, Violation>) {
        let outcome = result.map(|outcome| self.enter(outcome));
        self.outcomes.insert(cause.0, outcome);
    }

    pub(crate) fn enter(&mut self, outcome: node::Outcome<P>) -> Outcome {
        let node::Outcome { node, sent, commits, snapshot, office, wrote, marks, .. } = outcome;
        self.marks.extend(marks);
        let sent = sent.into_iter().map(|packet| self.packet(packet)).collect();
        let (node, commits, snapshot) = (self.node(node), commits.into(), snapshot.map(Box::new));
        Outcome { node, sent, commits, snapshot, office, wrote }
    }

    fn node(&mut self, node: Node<P>) -> u32 {
        let next = number(self.nodes.len());
        let known = *self.node_numbers.entry(node.prints.own()).or_insert(next);
        if known == next {
            let status = node.local.replica.status();
            self.epoch = self.epoch.max(status.leader.map_or(0, |_| status.epoch));
            self.nodes.push(Arc::new(node));
        }
        known
    }

    fn packet(&mut self, packet: Packet<P>) -> u32 {
        let next = number(self.packets.len());
        let known = *self.packet_numbers.entry(packet.prints.own()).or_insert(next);
        if known == next {
            self.packets.push(packet);
        }
        known
    }

    /// Pairs of a node and a stimulus that were worked out.
    pub(crate) fn len(&self) -> usize {
        self.outcomes.len()
    }
}

/// Histories by number.
struct Histories {
    list: Vec<(Arc<History>, Prints)>,
    numbers: Numbers,
}

/// What all workers share.
pub(crate) struct Arena<P: Audit> {
    steps: RwLock<Steps<P>>,
    histories: RwLock<Histories>,
}

impl<P: Audit> Arena<P> {
    pub(crate) fn new() -> Self {
        let steps = Steps {
            nodes: Vec::new(),
            packets: Vec::new(),
            outcomes: HashMap::default(),
            node_numbers: Numbers::default(),
            packet_numbers: Numbers::default(),
            marks: BTreeSet::new(),
            epoch: 0,
        };
        let histories = Histories { list: Vec::new(), numbers: Numbers::default() };
        Self { steps: RwLock::new(steps), histories: RwLock::new(histories) }
    }

    // Nobody panics while holding a lock but by a mistake of this crate, which no other thread
    // needs to hear of a second time.
    pub(crate) fn read(&self) -> RwLockReadGuard<'_, Steps<P>> {
        self.steps.read().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn write(&self) -> RwLockWriteGuard<'_, Steps<P>> {
        self.steps.write().unwrap_or_else(PoisonError::into_inner)
    }

    /// A history and its fingerprints.
    pub(crate) fn history(&self, which: u32) -> (Arc<History>, Prints) {
        let histories = self.histories.read().unwrap_or_else(PoisonError::into_inner);
        let (history, prints) = &histories.list[which as usize];
        (Arc::clone(history), *prints)
    }

    /// The number of a history, and its fingerprints.
    pub(crate) fn record(&self, symmetry: &Symmetry, history: History) -> (u32, Prints) {
        let prints = Prints::of(symmetry, &history);
        let mut histories = self.histories.write().unwrap_or_else(PoisonError::into_inner);
        let next = number(histories.list.len());
        let known = *histories.numbers.entry(prints.own()).or_insert(next);
        if known == next {
            histories.list.push((Arc::new(history), prints));
        }
        (known, prints)
    }
}

fn number(place: usize) -> u32 {
    u32::try_from(place).expect("fewer than 2^32 different nodes or messages fit the memory")
}
