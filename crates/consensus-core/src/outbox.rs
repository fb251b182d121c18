//! Holds promises back until the disk has what they promise. Shared by all drivers, so that no
//! driver and no algorithm decides it anew.

use crate::id::{NodeSet, RecordNumber};
use crate::mutant::planted;
use crate::protocol::Links;
use std::collections::VecDeque;

/// The messages of one replica that wait for its disk.
#[derive(Clone, Debug)]
pub struct Outbox<M> {
    links: Links,
    durable: RecordNumber,
    held: VecDeque<Held<M>>,
}

#[derive(Clone, Debug)]
struct Held<M> {
    to: NodeSet,
    message: M,
    after: RecordNumber,
}

impl<M: Clone> Outbox<M> {
    /// For a replica that was recovered from this many records, over links of this kind.
    pub fn after_recovery(records: usize, links: Links) -> Self {
        Self { links, durable: RecordNumber(records as u64), held: VecDeque::new() }
    }

    /// Takes a message, and says to whom it may go at once. The rest is held. On FIFO links a held
    /// message holds back what follows it to the same node.
    pub fn offer(&mut self, to: NodeSet, message: &M, after: RecordNumber) -> NodeSet {
        let early = if planted("K-outbox") { 1 } else { 0 };
        let mut wait = if after.0 > self.durable.0 + early { to } else { NodeSet::EMPTY };
        if self.links == Links::Fifo {
            for held in &self.held {
                wait = wait.or(held.to.and(to));
            }
        }
        if !wait.is_empty() {
            self.held.push_back(Held { to: wait, message: message.clone(), after });
        }
        to.minus(wait)
    }

    /// The disk has everything up to here: gives out what may leave now, in order of sending.
    pub fn durable(&mut self, upto: RecordNumber) -> Vec<(NodeSet, M)> {
        self.durable = self.durable.max(upto);
        let mut free = Vec::new();
        let mut blocked = NodeSet::EMPTY;
        for mut held in std::mem::take(&mut self.held) {
            let mut stay = if held.after > self.durable { held.to } else { NodeSet::EMPTY };
            if self.links == Links::Fifo {
                stay = stay.or(held.to.and(blocked));
                blocked = blocked.or(stay);
            }
            let go = held.to.minus(stay);
            if stay.is_empty() {
                free.push((go, held.message));
            } else {
                if !go.is_empty() {
                    free.push((go, held.message.clone()));
                }
                held.to = stay;
                self.held.push_back(held);
            }
        }
        free
    }

    /// Everything up to here is durable.
    pub fn durable_upto(&self) -> RecordNumber {
        self.durable
    }

    /// Messages that wait.
    pub fn held(&self) -> usize {
        self.held.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::NodeId;

    fn two() -> NodeSet {
        [NodeId(1), NodeId(2)].into_iter().collect()
    }

    #[test]
    fn a_promise_waits_and_a_proposal_does_not() {
        let mut outbox = Outbox::after_recovery(4, Links::Any);
        assert!(outbox.offer(two(), &"promise", RecordNumber(5)).is_empty());
        assert_eq!(outbox.offer(two(), &"proposal", RecordNumber::ZERO), two());
        assert_eq!(outbox.offer(two(), &"old promise", RecordNumber(4)), two());
        assert!(outbox.durable(RecordNumber(4)).is_empty());
        assert_eq!(outbox.durable(RecordNumber(6)), [(two(), "promise")]);
        assert_eq!(outbox.held(), 0);
    }

    #[test]
    fn on_fifo_links_what_follows_a_held_message_waits_too() {
        let mut outbox = Outbox::after_recovery(0, Links::Fifo);
        let one = NodeSet::only(NodeId(1));
        assert!(outbox.offer(one, &"promise", RecordNumber(2)).is_empty());
        let now = outbox.offer(two(), &"after", RecordNumber::ZERO);
        assert_eq!(now, NodeSet::only(NodeId(2)), "only node 1's link is held");
        assert!(outbox.durable(RecordNumber(1)).is_empty());
        assert_eq!(outbox.durable(RecordNumber(2)), [(one, "promise"), (one, "after")]);
    }

    #[test]
    fn what_is_durable_never_shrinks() {
        let mut outbox: Outbox<&str> = Outbox::after_recovery(0, Links::Any);
        outbox.durable(RecordNumber(9));
        outbox.durable(RecordNumber(3));
        assert_eq!(outbox.durable_upto(), RecordNumber(9));
    }
}
