//! The thread that owns a node's snapshots, so that neither the replica nor its log waits for them.

use super::{Newest, Snapshots};
use crate::handle::words_of;
use consensus_core::mutant::planted;
use consensus_core::{Frozen, NodeId, Received, SnapshotMessage, SnapshotMeta, Then};
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::{Builder, JoinHandle};
use tokio::sync::mpsc::UnboundedSender;

/// What the thread is to do.
pub(crate) enum Order {
    /// Keep a snapshot of the own state.
    Save { meta: SnapshotMeta, state: Frozen },
    /// A replica asks for a piece of a snapshot.
    Serve { to: NodeId, of: Option<consensus_core::LogIndex>, offset: u64 },
    /// A piece of another replica's snapshot came.
    Stage { from: NodeId, meta: SnapshotMeta, received: Received },
}

/// What it reports.
#[derive(Debug)]
pub(crate) enum SnapshotEvent {
    /// A snapshot of the own state is durable.
    Saved(SnapshotMeta),
    /// It could not be kept.
    NotSaved(io::Error),
    /// The answer to a replica that asked; `None` if there is nothing to give.
    Chunk { to: NodeId, message: Option<SnapshotMessage> },
    /// A piece is kept: ask for the next.
    Staged { from: NodeId, ask: SnapshotMessage },
    /// Another replica's snapshot is whole and durable.
    Whole(Box<Newest>),
    /// A piece could not be kept.
    NotStaged(io::Error),
}

/// The way to the thread. When it is dropped, the thread ends.
pub(crate) struct SnapshotHandle {
    orders: Sender<Order>,
}

impl SnapshotHandle {
    pub(crate) fn order(&self, order: Order) {
        // The thread ends only when this handle is dropped.
        let _ = self.orders.send(order);
    }
}

/// Starts the thread; its reports go to `events`.
pub(crate) fn start(
    name: String,
    snapshots: Snapshots,
    events: UnboundedSender<SnapshotEvent>,
) -> io::Result<(SnapshotHandle, JoinHandle<()>)> {
    let (orders, inbox) = channel();
    let thread = Builder::new().name(name).spawn(move || run(snapshots, &inbox, &events))?;
    Ok((SnapshotHandle { orders }, thread))
}

fn run(mut snapshots: Snapshots, inbox: &Receiver<Order>, events: &UnboundedSender<SnapshotEvent>) {
    while let Ok(order) = inbox.recv() {
        let event = match order {
            Order::Save { meta, state } => {
                match bytes_of(state).and_then(|bytes| snapshots.save(&meta, &bytes)) {
                    Ok(()) => SnapshotEvent::Saved(meta),
                    Err(error) => SnapshotEvent::NotSaved(error),
                }
            }
            Order::Serve { to, of, offset } => {
                SnapshotEvent::Chunk { to, message: snapshots.chunk(of, offset) }
            }
            Order::Stage { from, meta, received } => stage(&mut snapshots, from, &meta, received)
                .unwrap_or_else(|error| {
                    snapshots.abandon();
                    SnapshotEvent::NotStaged(error)
                }),
        };
        if events.send(event).is_err() {
            return;
        }
    }
}

/// A service that panics here, though it must not, costs a snapshot. Without this thread nobody
/// would ever hear of any again, of none that is taken and of none that is received.
fn bytes_of(state: Frozen) -> io::Result<Vec<u8>> {
    if planted("N54") {
        return Ok(state());
    }
    let made = catch_unwind(AssertUnwindSafe(state));
    made.map_err(|panic| io::Error::other(format!("the service panicked: {}", words_of(&*panic))))
}

fn stage(
    snapshots: &mut Snapshots,
    from: NodeId,
    meta: &SnapshotMeta,
    received: Received,
) -> io::Result<SnapshotEvent> {
    snapshots.stage(meta, received.first, &received.bytes)?;
    Ok(match received.then {
        Then::Ask(ask) => SnapshotEvent::Staged { from, ask },
        Then::Whole(_) => SnapshotEvent::Whole(Box::new(snapshots.complete()?)),
    })
}
