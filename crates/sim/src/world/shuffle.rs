//! The next event by lot instead of by time. Every order that comes of it is one that an
//! asynchronous network, slow disks and slow clocks could have made: time only goes on, no timer
//! fires early, and the timers of one node fire in order.

use super::World;
use super::event::Event;
use crate::rng::Rng;
use crate::shuffle::Shuffle;
use consensus_core::{Audit, Links, Message, NodeId, StableHasher, StateMachine};
use std::hash::Hasher;

/// More than this under way, and old copies only hide what is new.
const ROOM: usize = 192;

/// Everything that could happen next.
pub(crate) struct Pool<P: Audit> {
    pending: Vec<(u64, Event<P>)>,
    priorities: u64,
    places: Vec<usize>,
}

impl<P: Audit> Pool<P> {
    pub(crate) fn new(priorities: u64) -> Self {
        Self { pending: Vec::new(), priorities, places: Vec::new() }
    }

    /// The place of the event that happens next.
    fn choose(&mut self, shuffle: &Shuffle, rng: &mut Rng) -> usize {
        let timers = |of: &Event<P>| matches!(of, Event::Timer { .. } | Event::Wake { .. });
        let want_timer = rng.chance(shuffle.timers);
        self.list(|event| timers(event) == want_timer);
        if self.places.is_empty() {
            self.list(|event| timers(event) != want_timer);
        }
        let mut chosen = rng.pick(&self.places);
        if timers(&self.pending[chosen].1) {
            return self.earliest_like(chosen);
        }
        for _ in 1..shuffle.candidates {
            let other = rng.pick(&self.places);
            if self.priority(other) > self.priority(chosen) {
                chosen = other;
            }
        }
        match P::INFO.links {
            Links::Any => chosen,
            Links::Fifo => self.earliest_like(chosen),
        }
    }

    fn list(&mut self, which: impl Fn(&Event<P>) -> bool) {
        self.places.clear();
        let places = self.pending.iter().enumerate();
        self.places.extend(places.filter(|(_, (_, event))| which(event)).map(|(place, _)| place));
    }

    /// The event that was due first in the row in which this one stands: the timers of one node,
    /// the messages of one link.
    fn earliest_like(&self, chosen: usize) -> usize {
        let row = row_of(&self.pending[chosen].1);
        let same = |place: &usize| row.is_some() && row_of(&self.pending[*place].1) == row;
        let places = (0..self.pending.len()).filter(same);
        places.min_by_key(|place| self.pending[*place].0).unwrap_or(chosen)
    }

    fn priority(&self, place: usize) -> u64 {
        let mut hasher = StableHasher::seeded(self.priorities);
        match &self.pending[place].1 {
            Event::Deliver { from, to, message, .. } => {
                hasher.write(&[from.0, to.0]);
                hasher.write(message.kind().name.as_bytes());
            }
            other => hasher.write(&[other.node().map_or(u8::MAX, |node| node.0)]),
        }
        hasher.finish()
    }
}

/// Events of one row happen in their order. Others stand in none.
fn row_of<P: Audit>(event: &Event<P>) -> Option<(NodeId, Option<NodeId>)> {
    match event {
        Event::Timer { node, .. } => Some((*node, None)),
        Event::Deliver { from, to, .. } => Some((*from, Some(*to))),
        _ => None,
    }
}

impl<P: Audit, S: StateMachine> World<P, S> {
    /// One event, whichever; none if nothing can happen.
    pub(crate) fn happen_any(&mut self, pool: &mut Pool<P>, shuffle: &Shuffle, rng: &mut Rng) {
        while let Some(scheduled) = self.queue.pop() {
            pool.pending.push(scheduled);
        }
        if pool.pending.is_empty() {
            return;
        }
        if rng.chance(shuffle.turns) {
            pool.priorities = rng.next_u64();
        }
        let place = pool.choose(shuffle, rng);
        let (at, event) = if P::INFO.links == Links::Fifo {
            pool.pending.remove(place)
        } else {
            pool.pending.swap_remove(place)
        };
        self.now = self.now.max(at);
        if let Event::Deliver { from, to, message, hash } = &event
            && P::INFO.links == Links::Any
        {
            if pool.pending.len() > ROOM || rng.chance(shuffle.loss) {
                return self.fault("message lost");
            }
            if rng.chance(shuffle.duplication) {
                let (from, to, message, hash) = (*from, *to, message.clone(), *hash);
                pool.pending.push((at, Event::Deliver { from, to, message, hash }));
                self.fault("message duplicated");
            }
        }
        self.happen(event);
    }

    /// The clock runs again: what is in the pool happens as if it had been under way just now.
    pub(crate) fn put_back(&mut self, pool: Pool<P>) {
        for (at, event) in pool.pending {
            let at = at.max(self.now);
            self.queue.push(at, event);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::{Message as Said, Toy};
    use consensus_core::LogIndex;

    fn message(from: u8, to: u8) -> (u64, Event<Toy>) {
        let message = Said::Ack { upto: LogIndex(1) };
        let (from, to) = (NodeId(from), NodeId(to));
        (1, Event::Deliver { from, to, message, hash: 0 })
    }

    fn timer(node: u8, at: u64) -> (u64, Event<Toy>) {
        (at, Event::Timer { node: NodeId(node), life: 1, timer: (), at })
    }

    /// How often each event of a pool is chosen.
    fn chosen(pending: Vec<(u64, Event<Toy>)>, shuffle: &Shuffle) -> Vec<usize> {
        let mut counts = vec![0; pending.len()];
        let mut pool = Pool { pending, priorities: 7, places: Vec::new() };
        let mut rng = Rng::new(3);
        for _ in 0..4_000 {
            counts[pool.choose(shuffle, &mut rng)] += 1;
        }
        counts
    }

    fn shuffle(timers: u32, candidates: u32) -> Shuffle {
        let (faults, loss, duplication, turns) = (0, 0, 0, 0);
        let progress = false;
        Shuffle { steps: 1, timers, faults, loss, duplication, candidates, turns, progress }
    }

    #[test]
    fn with_one_candidate_all_orders_are_equally_likely() {
        let pool = (0..4).map(|to| message(4, to)).collect();
        let counts = chosen(pool, &shuffle(0, 1));
        assert!(counts.iter().all(|count| (850..1_150).contains(count)), "{counts:?}");
    }

    /// The PCT scheduler: who has a low priority waits, and still is not starved for ever.
    #[test]
    fn with_many_candidates_links_are_slow_and_fast() {
        let pool = (0..4).map(|to| message(4, to)).collect();
        let mut counts = chosen(pool, &shuffle(0, 4));
        counts.sort_unstable();
        assert!(counts[3] > 2_400 && (1..200).contains(&counts[0]), "{counts:?}");
    }

    /// One node has one clock. Between nodes there is no order.
    #[test]
    fn timers_of_a_node_fire_in_order_and_those_of_nodes_in_any() {
        let pool = vec![timer(0, 30), timer(0, 20), timer(1, 90), message(0, 1)];
        let counts = chosen(pool, &shuffle(5_000, 1));
        assert_eq!(counts[0], 0, "the other timer of this node is due before");
        assert!(counts[1..].iter().all(|count| *count > 400), "{counts:?}");
        assert!(counts[3] > 1_800, "half of the draws want no timer: {counts:?}");
    }
}
