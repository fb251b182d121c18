//! What it costs, counted in one place that all drivers share.

use crate::protocol::{MessageKind, Traffic};
use std::collections::BTreeMap;

/// Messages of one kind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Sent {
    /// Unicasts: a broadcast to n − 1 nodes counts n − 1.
    pub messages: u64,
    /// Bytes of these unicasts, encoded.
    pub bytes: u64,
}

/// The costs of one node. A message counts where it is sent; a message to oneself is none.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Counters {
    sent: BTreeMap<MessageKind, Sent>,
    received: BTreeMap<MessageKind, u64>,
    /// Records written.
    pub writes: u64,
    /// Times the disk was asked to sync, each covering all writes before it.
    pub syncs: u64,
    /// Tags (signatures) made by the protocol.
    pub tags_made: u64,
    /// Tags of replicas checked by the protocol.
    pub tags_checked: u64,
    /// Tags of clients checked by the protocol.
    pub client_tags_checked: u64,
    /// Messages that were refused on arrival.
    pub rejected: u64,
}

impl Counters {
    /// Notes a message to this many receivers.
    pub fn on_sent(&mut self, kind: MessageKind, receivers: usize, bytes_each: usize) {
        let sent = self.sent.entry(kind).or_default();
        sent.messages += receivers as u64;
        sent.bytes += (receivers * bytes_each) as u64;
    }

    /// Notes a message that arrived.
    pub fn on_received(&mut self, kind: MessageKind) {
        *self.received.entry(kind).or_default() += 1;
    }

    /// What was sent, by kind.
    pub fn sent(&self) -> impl Iterator<Item = (MessageKind, Sent)> {
        self.sent.iter().map(|(kind, sent)| (*kind, *sent))
    }

    /// What was sent of one kind.
    pub fn sent_of(&self, kind: MessageKind) -> Sent {
        self.sent.get(&kind).copied().unwrap_or_default()
    }

    /// What was sent for one purpose.
    pub fn sent_for(&self, traffic: Traffic) -> Sent {
        let mut sum = Sent::default();
        for (kind, sent) in &self.sent {
            if kind.traffic == traffic {
                sum.messages += sent.messages;
                sum.bytes += sent.bytes;
            }
        }
        sum
    }

    /// How many messages arrived that were sent for one purpose.
    pub fn received_for(&self, traffic: Traffic) -> u64 {
        let for_it = |(kind, count): (&MessageKind, &u64)| {
            if kind.traffic == traffic { *count } else { 0 }
        };
        self.received.iter().map(for_it).sum()
    }

    /// These counts and those of another node, or of another part of a run, together.
    pub fn add(&mut self, other: &Self) {
        self.combine(other, |a, b| a + b);
    }

    /// What was counted since `earlier`, an older copy of this value.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let mut difference = self.clone();
        difference.combine(earlier, |a, b| a - b);
        difference
    }

    fn combine(&mut self, other: &Self, by: impl Fn(u64, u64) -> u64) {
        for (kind, sent) in &other.sent {
            let mine = self.sent.entry(*kind).or_default();
            mine.messages = by(mine.messages, sent.messages);
            mine.bytes = by(mine.bytes, sent.bytes);
        }
        for (kind, count) in &other.received {
            let mine = self.received.entry(*kind).or_default();
            *mine = by(*mine, *count);
        }
        for (mine, theirs) in [
            (&mut self.writes, other.writes),
            (&mut self.syncs, other.syncs),
            (&mut self.tags_made, other.tags_made),
            (&mut self.tags_checked, other.tags_checked),
            (&mut self.client_tags_checked, other.client_tags_checked),
            (&mut self.rejected, other.rejected),
        ] {
            *mine = by(*mine, theirs);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const APPEND: MessageKind = MessageKind::new("append", Traffic::Command);
    const BEAT: MessageKind = MessageKind::new("heartbeat", Traffic::Heartbeat);

    #[test]
    fn a_broadcast_counts_every_receiver_and_heartbeats_are_kept_apart() {
        let mut counters = Counters::default();
        counters.on_sent(APPEND, 2, 100);
        counters.on_sent(BEAT, 2, 10);
        let before = counters.clone();
        counters.on_sent(APPEND, 2, 50);
        assert_eq!(counters.sent_for(Traffic::Command), Sent { messages: 4, bytes: 300 });
        assert_eq!(counters.since(&before).sent_of(APPEND), Sent { messages: 2, bytes: 100 });
        assert_eq!(counters.since(&before).sent_of(BEAT), Sent::default());
    }
}
