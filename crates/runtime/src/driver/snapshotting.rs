//! Snapshots as the node loop sees them: when one is taken, what is asked of others, what is
//! given to them. The work itself is the snapshot thread's.

use super::Driver;
use crate::snapshots::{Order, SnapshotHandle};
use consensus_core::{
    ConsensusProtocol, Executor, Incoming, LogIndex, Message, NodeId, NodeSet, SnapshotMessage,
    StateMachine,
};

/// What the loop remembers about snapshots.
pub(crate) struct Snapshotting {
    pub(crate) thread: SnapshotHandle,
    pub(crate) incoming: Incoming,
    /// A piece is on its way to the disk: the next is asked for when it is there.
    pub(crate) staging: bool,
    /// Who asked for a piece that is being read.
    pub(crate) serving: NodeSet,
    /// The newest snapshot on disk covers everything up to here.
    pub(crate) newest: LogIndex,
    /// One is being taken.
    pub(crate) taking: bool,
    /// Bytes of records since the last one.
    since: u64,
    after: u64,
}

impl Snapshotting {
    pub(crate) fn new(thread: SnapshotHandle, newest: LogIndex, log: u64, after: u64) -> Self {
        let (incoming, serving) = (Incoming::new(), NodeSet::EMPTY);
        let (staging, taking) = (false, false);
        Self { thread, incoming, staging, serving, newest, taking, since: log, after }
    }

    pub(super) fn wrote(&mut self, bytes: usize) {
        self.since += bytes as u64;
    }

    /// Was so much written that it is time for one?
    pub(crate) fn is_due(&self) -> bool {
        self.since >= self.after && !self.taking
    }

    /// Counts anew.
    pub(crate) fn counts_anew(&mut self) {
        self.since = 0;
    }
}

impl<P: ConsensusProtocol, S: StateMachine> Driver<P, S> {
    /// The replica lacks what others have forgotten. Said again and again, so that what got lost on
    /// the way is asked for again.
    pub(super) fn fetch(&mut self, from: NodeId) {
        if !self.snapshotting.staging {
            let ask = self.snapshotting.incoming.ask();
            self.say(from, ask);
        }
    }

    /// Sends a message about snapshots, if the algorithm has such.
    pub(crate) fn say(&mut self, to: NodeId, message: SnapshotMessage) {
        if let Some(message) = P::Message::snapshot(message) {
            self.said.push((to.into(), message));
        }
    }

    pub(super) fn on_snapshot(&mut self, from: NodeId, message: SnapshotMessage) {
        let mine = &mut self.snapshotting;
        let meta = match &message {
            SnapshotMessage::Ask { of, offset } => {
                // One piece at a time for each: who asks faster gets no more.
                if mine.serving.insert(from) {
                    mine.thread.order(Order::Serve { to: from, of: *of, offset: *offset });
                }
                return;
            }
            SnapshotMessage::Chunk { meta, .. } => meta.clone(),
        };
        if mine.staging {
            return;
        }
        let Some(received) = mine.incoming.receive(message, self.executor.applied()) else {
            return;
        };
        let says = Executor::<S>::index_in(&received.bytes);
        if received.first && says != Some(meta.index) {
            tracing::error!(%from, index = %meta.index, ?says, "a snapshot is not what it says");
            mine.incoming.abandon();
            return;
        }
        mine.staging = true;
        mine.thread.order(Order::Stage { from, meta, received });
    }
}
