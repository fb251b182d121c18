//! Holds promises back until the disk has what they promise. Shared by all drivers, so that no
//! driver and no algorithm decides it anew.

use crate::id::{NodeSet, RecordNumber};
use crate::mutant::planted;
use crate::protocol::{Gate, Links, Message};

/// The messages of one replica that wait for its disk.
#[derive(Clone, Debug)]
pub struct Outbox<M> {
    links: Links,
    durable: RecordNumber,
    /// What waits for the disk. On links without order also what waits for nothing but the driver.
    held: Vec<Held<M>>,
    /// On FIFO links, what waits for nothing but the driver.
    leaving: Vec<(NodeSet, M)>,
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
        let durable = RecordNumber(records as u64);
        Self { links, durable, held: Vec::new(), leaving: Vec::new() }
    }

    /// Takes a message, and says to whom it may go at once. The rest is held. On FIFO links a held
    /// message holds back what follows it to the same node.
    pub fn offer(&mut self, to: NodeSet, message: &M, after: RecordNumber) -> NodeSet {
        let wait = self.waiting(to, after);
        if !wait.is_empty() {
            self.held.push(Held { to: wait, message: message.clone(), after });
        }
        to.minus(wait)
    }

    /// Makes a message where it will lie, on links without order. If it is a promise it waits for
    /// the record `after`.
    #[inline]
    pub(crate) fn make(&mut self, to: NodeSet, after: RecordNumber, make: impl FnOnce() -> M)
    where
        M: Message,
    {
        self.held.extend(std::iter::once_with(|| Held { to, message: make(), after }));
        if let Some(held) = self.held.last_mut()
            && held.message.gate() == Gate::Free
        {
            held.after = RecordNumber::ZERO;
        }
    }

    /// Takes a message for good: what may go at once, and what may go later, is given out by
    /// [`leave`](Self::leave).
    #[inline]
    pub fn put(&mut self, to: NodeSet, message: M, after: RecordNumber) {
        if self.links == Links::Fifo {
            return self.put_in_order(to, message, after);
        }
        self.held.push(Held { to, message, after });
    }

    fn put_in_order(&mut self, to: NodeSet, message: M, after: RecordNumber) {
        let now = self.offer(to, &message, after);
        if !now.is_empty() {
            self.leaving.push((now, message));
        }
    }

    /// Gives out what may leave now, in order of sending to each node.
    #[inline]
    pub fn leave(&mut self, mut go: impl FnMut(NodeSet, M)) {
        if self.links == Links::Fifo {
            return self.leave_in_order(&mut go);
        }
        let durable = self.durable;
        let free = self.held.extract_if(.., |held| !is_early(held.after, durable));
        free.for_each(|held| go(held.to, held.message));
    }

    fn leave_in_order(&mut self, go: &mut impl FnMut(NodeSet, M)) {
        for (to, message) in self.leaving.drain(..) {
            go(to, message);
        }
        while let Some((to, message)) = self.pop_in_order() {
            go(to, message);
        }
    }

    /// Which of these receivers have to wait.
    #[inline]
    fn waiting(&self, to: NodeSet, after: RecordNumber) -> NodeSet {
        let early = is_early(after, self.durable);
        let mut wait = if early { to } else { NodeSet::EMPTY };
        if self.links == Links::Fifo {
            for held in &self.held {
                wait = wait.or(held.to.and(to));
            }
        }
        wait
    }

    /// The disk has everything up to here: gives out what may leave now, in order of sending.
    pub fn durable(&mut self, upto: RecordNumber) -> Vec<(NodeSet, M)> {
        self.synced(upto);
        let mut free = Vec::new();
        self.leave(|to, message| free.push((to, message)));
        free
    }

    /// The disk has everything up to here. What may leave now is to be taken out with
    /// [`leave`](Self::leave).
    #[inline]
    pub fn synced(&mut self, upto: RecordNumber) {
        self.durable = self.durable.max(upto);
    }

    /// On FIFO links: what may leave of the first message of which not all is blocked.
    fn pop_in_order(&mut self) -> Option<(NodeSet, M)> {
        let mut blocked = NodeSet::EMPTY;
        for place in 0..self.held.len() {
            let held = &mut self.held[place];
            let waits = if held.after > self.durable { held.to } else { held.to.and(blocked) };
            let go = held.to.minus(waits);
            blocked = blocked.or(waits);
            if go.is_empty() {
                continue;
            }
            if waits.is_empty() {
                let Held { to, message, .. } = self.held.remove(place);
                return Some((to, message));
            }
            held.to = waits;
            return Some((go, held.message.clone()));
        }
        None
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

/// Is it too early for what waits for this record?
#[inline]
fn is_early(after: RecordNumber, durable: RecordNumber) -> bool {
    let early = if planted("K-outbox") { 1 } else { 0 };
    after.0 > durable.0 + early
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

    /// What is put in comes out once, as what is offered would: when it may, in order on each link.
    #[test]
    fn what_was_put_in_leaves_when_it_may() {
        for links in [Links::Any, Links::Fifo] {
            let mut outbox = Outbox::after_recovery(0, links);
            let one = NodeSet::only(NodeId(1));
            outbox.put(two(), "proposal", RecordNumber::ZERO);
            outbox.put(one, "promise", RecordNumber(2));
            outbox.put(two(), "after", RecordNumber::ZERO);
            let mut left = Vec::new();
            outbox.leave(|to, message| left.push((to.len(), message)));
            let behind = if links == Links::Fifo { 1 } else { 2 };
            assert_eq!(left, [(2, "proposal"), (behind, "after")]);
            assert!(outbox.durable(RecordNumber(1)).is_empty());
            let free = outbox.durable(RecordNumber(2));
            let said: Vec<&str> = free.iter().map(|(_, message)| *message).collect();
            let all = ["promise", "after"];
            assert_eq!(said, all[..3 - behind]);
        }
    }

    #[test]
    fn what_is_durable_never_shrinks() {
        let mut outbox: Outbox<&str> = Outbox::after_recovery(0, Links::Any);
        outbox.durable(RecordNumber(9));
        outbox.durable(RecordNumber(3));
        assert_eq!(outbox.durable_upto(), RecordNumber(9));
    }
}
