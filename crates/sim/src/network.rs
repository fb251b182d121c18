//! Links: how long a message takes, and what becomes of it.

use crate::rng::{CERTAIN, Rng};
use consensus_core::{MessageKind, NodeId, NodeSet};
use core::time::Duration;

/// How long something takes. Drawn with integers only, so that every machine draws the same.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Latency {
    /// Always the same; draws nothing.
    Fixed(Duration),
    /// Anything between, equally likely.
    Uniform {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// Mostly near `min`; each doubling is four times as rare, up to `max`.
    Tailed {
        /// Shortest.
        min: Duration,
        /// Longest.
        max: Duration,
    },
    /// Short as a rule, long now and then.
    Bimodal {
        /// The short one.
        near: Duration,
        /// The long one.
        far: Duration,
        /// How often the long one, in ten thousand.
        far_share: u32,
    },
}

impl Latency {
    /// The longest that is ever drawn.
    pub fn longest(&self) -> Duration {
        match *self {
            Self::Fixed(time) => time,
            Self::Uniform { max, .. } | Self::Tailed { max, .. } => max,
            Self::Bimodal { near, far, .. } => near.max(far) * 5 / 4,
        }
    }

    /// One draw.
    pub fn draw(&self, rng: &mut Rng) -> Duration {
        match *self {
            Self::Fixed(time) => time,
            Self::Uniform { min, max } => rng.time(min, max),
            Self::Tailed { min, max } => {
                let mut top = min.saturating_mul(2);
                while top < max && rng.chance(2_500) {
                    top = top.saturating_mul(2);
                }
                let top = top.min(max).max(min);
                rng.time((top / 2).max(min), top)
            }
            Self::Bimodal { near, far, far_share } => {
                let base = if rng.chance(far_share) { far } else { near };
                rng.time(base, base + base / 4)
            }
        }
    }
}

/// What all links are like. Chances are in ten thousand, see [`crate::CERTAIN`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Network {
    /// One-way delay between replicas.
    pub latency: Latency,
    /// One-way delay between a client and a replica.
    pub client_latency: Latency,
    /// One-way delay of each link, by sender and receiver; goes before `latency`.
    pub matrix: Option<Vec<Vec<Duration>>>,
    /// A message between replicas is lost.
    pub loss: u32,
    /// It is delivered twice, each with its own delay.
    pub duplication: u32,
    /// A copy of it is delivered again much later, over restarts and terms.
    pub late_replay: u32,
    /// How much later at most.
    pub replay_within: Duration,
    /// A request or a reply is lost. Client links are connections: they never repeat a request,
    /// since a client believes a refusal of the attempt that it made once.
    pub client_loss: u32,
    /// Nobody tells a client that a connection of its broke, or that nothing runs where it asks: it
    /// waits in vain. Otherwise it notices. Cut links are always silent.
    pub client_silence: u32,
}

impl Network {
    /// No faults, and this delay on every link, clients' included.
    pub fn fixed(delay: Duration) -> Self {
        Self {
            latency: Latency::Fixed(delay),
            client_latency: Latency::Fixed(delay),
            matrix: None,
            loss: 0,
            duplication: 0,
            late_replay: 0,
            replay_within: Duration::ZERO,
            client_loss: 0,
            client_silence: CERTAIN,
        }
    }

    pub(crate) fn draw(&self, from: NodeId, to: NodeId, rng: &mut Rng) -> Duration {
        match &self.matrix {
            Some(matrix) => matrix[from.index()][to.index()],
            None => self.latency.draw(rng),
        }
    }
}

impl Default for Network {
    /// One millisecond, no faults.
    fn default() -> Self {
        Self::fixed(Duration::from_millis(1))
    }
}

/// Bad luck that strikes one kind of message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Curse {
    /// All of them are lost.
    Lost,
    /// Each takes up to so much longer, so that it comes after much that was sent later.
    Late(Duration),
}

/// What state the links are in: who cannot reach whom, and until when a link is clogged.
#[derive(Clone, Debug)]
pub(crate) struct Links {
    size: usize,
    blocked: Vec<NodeSet>,
    clogged: Vec<u64>,
    last: Vec<u64>,
    slow: Vec<Duration>,
    /// Messages lost beside those that the network loses anyway, in ten thousand.
    pub(crate) storm: u32,
    /// Messages of this kind, from this node or from all, are cursed.
    pub(crate) cursed: Option<(MessageKind, Option<NodeId>, Curse)>,
    /// Links between two of these are free of chance faults.
    pub(crate) reliable: NodeSet,
}

impl Links {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            size,
            blocked: vec![NodeSet::EMPTY; size],
            clogged: vec![0; size * size],
            last: vec![0; size * size],
            slow: vec![Duration::ZERO; size],
            storm: 0,
            cursed: None,
            reliable: NodeSet::EMPTY,
        }
    }

    fn at(&self, from: NodeId, to: NodeId) -> usize {
        from.index() * self.size + to.index()
    }

    pub(crate) fn cut(&mut self, from: NodeId, to: NodeId) {
        self.blocked[from.index()].insert(to);
    }

    pub(crate) fn mend(&mut self, from: NodeId, to: NodeId) {
        self.blocked[from.index()].remove(to);
        let at = self.at(from, to);
        self.clogged[at] = 0;
    }

    pub(crate) fn is_cut(&self, from: NodeId, to: NodeId) -> bool {
        self.blocked[from.index()].contains(to)
    }

    pub(crate) fn slow(&mut self, node: NodeId, by: Duration) {
        self.slow[node.index()] = by;
    }

    /// By how much the slower end of a link delays what passes.
    pub(crate) fn slowness(&self, from: NodeId, to: NodeId) -> Duration {
        self.slow[from.index()].max(self.slow[to.index()])
    }

    /// The curse on what this node sends of this kind, if there is one.
    pub(crate) fn curse(&self, from: NodeId, kind: MessageKind) -> Option<Curse> {
        let (cursed, of, curse) = self.cursed?;
        (cursed == kind && of.is_none_or(|of| of == from)).then_some(curse)
    }

    pub(crate) fn any_cut(&self) -> bool {
        self.blocked.iter().any(|to| !to.is_empty())
    }

    pub(crate) fn clog(&mut self, from: NodeId, to: NodeId, until: u64) {
        let at = self.at(from, to);
        self.clogged[at] = until;
    }

    /// When a message that would arrive at `due` arrives, given what the link is like.
    pub(crate) fn arrival(&mut self, from: NodeId, to: NodeId, due: u64, fifo: bool) -> u64 {
        let at = self.at(from, to);
        let mut due = due.max(self.clogged[at]);
        if fifo {
            due = due.max(self.last[at]);
            self.last[at] = due;
        }
        due
    }

    pub(crate) fn is_reliable(&self, from: NodeId, to: NodeId) -> bool {
        self.reliable.contains(from) && self.reliable.contains(to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_draw_is_in_its_range() {
        let (min, max) = (Duration::from_micros(100), Duration::from_millis(5));
        let mut rng = Rng::new(3);
        for _ in 0..2_000 {
            for latency in [Latency::Uniform { min, max }, Latency::Tailed { min, max }] {
                let drawn = latency.draw(&mut rng);
                assert!((min..=max).contains(&drawn), "{latency:?} drew {drawn:?}");
            }
            let far = Latency::Bimodal { near: min, far: max, far_share: 5_000 };
            assert!(far.draw(&mut rng) <= far.longest());
        }
    }

    #[test]
    fn a_clogged_link_keeps_messages_and_a_fifo_link_their_order() {
        let (a, b) = (NodeId(0), NodeId(1));
        let mut links = Links::new(2);
        links.clog(a, b, 50);
        assert_eq!(links.arrival(a, b, 10, true), 50);
        links.mend(a, b);
        assert_eq!(links.arrival(a, b, 20, true), 50, "behind what was sent before");
        assert_eq!(links.arrival(a, b, 20, false), 20);
        assert_eq!(links.arrival(b, a, 20, true), 20, "the other direction is another link");
    }
}
