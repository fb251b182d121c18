//! What can happen, and in which order it does.

use super::connections::Caller;
use crate::shelf::Origin;
use consensus_core::{ConsensusProtocol, NodeId, Query, QueryReply, Reply, Request};
use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// The closed list of what wakes the world. A `life` tells the events of a replica's earlier life
/// from those of this one.
pub(crate) enum Event<P: ConsensusProtocol> {
    Deliver { from: NodeId, to: NodeId, message: P::Message, hash: u64 },
    Timer { node: NodeId, life: u32, timer: P::Timer, at: u64 },
    Synced { node: NodeId, life: u32, nth: u64 },
    Request { to: NodeId, request: Request },
    Intake { node: NodeId, life: u32 },
    Reply { client: usize, reply: Reply },
    Wake { client: usize, at: u64 },
    Lie { node: NodeId, at: u64 },
    Saved { node: NodeId, life: u32, origin: Origin },
    TurnEnds { node: NodeId, life: u32 },
    Query { to: NodeId, reader: usize, query: Query },
    Answer { reader: usize, reply: QueryReply },
    ReaderWake { reader: usize, at: u64 },
    Broken { caller: Caller, node: NodeId, sent: bool },
}

impl<P: ConsensusProtocol> Event<P> {
    /// Is something on its way, that the world cannot be called quiet before it arrived?
    fn is_traffic(&self) -> bool {
        !matches!(
            self,
            Self::Timer { .. } | Self::Wake { .. } | Self::Lie { .. } | Self::ReaderWake { .. }
        )
    }

    /// The replica to which it happens, if it happens to one.
    pub(crate) fn node(&self) -> Option<NodeId> {
        match self {
            Self::Deliver { to, .. } | Self::Request { to, .. } | Self::Query { to, .. } => {
                Some(*to)
            }
            Self::Timer { node, .. }
            | Self::Synced { node, .. }
            | Self::Intake { node, .. }
            | Self::Saved { node, .. }
            | Self::TurnEnds { node, .. } => Some(*node),
            Self::Reply { .. }
            | Self::Wake { .. }
            | Self::Lie { .. }
            | Self::Answer { .. }
            | Self::ReaderWake { .. }
            | Self::Broken { .. } => None,
        }
    }
}

/// Events by time, and by order of scheduling where the time is the same. The heap holds numbers
/// only; the events stay where they are.
pub(crate) struct Queue<P: ConsensusProtocol> {
    heap: BinaryHeap<Reverse<(u64, u64, u32)>>,
    slots: Vec<Option<Event<P>>>,
    free: Vec<u32>,
    scheduled: u64,
    traffic: usize,
}

impl<P: ConsensusProtocol> Queue<P> {
    pub(crate) fn new() -> Self {
        Self {
            heap: BinaryHeap::new(),
            slots: Vec::new(),
            free: Vec::new(),
            scheduled: 0,
            traffic: 0,
        }
    }

    pub(crate) fn push(&mut self, at: u64, event: Event<P>) {
        self.traffic += usize::from(event.is_traffic());
        let slot = match self.free.pop() {
            Some(slot) => {
                self.slots[slot as usize] = Some(event);
                slot
            }
            None => {
                self.slots.push(Some(event));
                u32::try_from(self.slots.len() - 1).expect("fewer than 2^32 events are pending")
            }
        };
        self.heap.push(Reverse((at, self.scheduled, slot)));
        self.scheduled += 1;
    }

    /// When the next event is due.
    pub(crate) fn due(&self) -> Option<u64> {
        self.heap.peek().map(|Reverse((at, _, _))| *at)
    }

    pub(crate) fn pop(&mut self) -> Option<(u64, Event<P>)> {
        let Reverse((at, _, slot)) = self.heap.pop()?;
        let event = self.slots[slot as usize].take().expect("a scheduled event has a slot");
        self.free.push(slot);
        self.traffic -= usize::from(event.is_traffic());
        Some((at, event))
    }

    /// Messages, requests, answers and syncs under way.
    pub(crate) fn traffic(&self) -> usize {
        self.traffic
    }
}
