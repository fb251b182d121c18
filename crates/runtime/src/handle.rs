//! What the program that started a node holds in its hand.

use crate::node::Control;
use crate::report::StatusReport;
use crate::shared::Shared;
use consensus_core::{Counters, NodeId, Status};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use tokio::sync::{mpsc, watch};
use tokio::task::AbortHandle;

/// Why a node no longer runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StopReason {
    /// It was asked to.
    Shutdown,
    /// It was stopped without warning, by [`NodeHandle::kill`].
    Killed,
    /// A local invariant of the algorithm was broken; nothing of that step was done.
    Halted(String),
    /// The disk refused a write or a sync. What it holds is unknown until the node starts again.
    LogFailed(String),
    /// A mistake in the program.
    Panicked(String),
}

impl fmt::Display for StopReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Shutdown => f.write_str("shut down as asked"),
            Self::Killed => f.write_str("killed as asked"),
            Self::Halted(why) => write!(f, "halted by a broken invariant: {why}"),
            Self::LogFailed(why) => write!(f, "stopped because the log failed: {why}"),
            Self::Panicked(why) => write!(f, "stopped by a mistake in the program: {why}"),
        }
    }
}

/// A running node. When the handle is dropped, the node shuts down.
#[derive(Debug)]
pub struct NodeHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) local_addr: SocketAddr,
    pub(crate) control: mpsc::UnboundedSender<Control>,
    pub(crate) task: AbortHandle,
    pub(crate) stopped: watch::Receiver<Option<StopReason>>,
}

impl NodeHandle {
    /// Which replica it is.
    pub fn id(&self) -> NodeId {
        self.shared.id
    }

    /// Where it listens.
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// The replica in a few numbers, as of its last turn.
    pub fn status(&self) -> Status {
        *self.shared.status.borrow()
    }

    /// The same, to wait for changes.
    pub fn watch_status(&self) -> watch::Receiver<Status> {
        self.shared.status.clone()
    }

    /// What it has cost so far.
    pub fn counters(&self) -> Counters {
        self.shared.counters()
    }

    /// What it tells over the wire to whoever asks.
    pub fn report(&self) -> StatusReport {
        self.shared.report()
    }

    /// Wishes that this replica led.
    pub fn campaign(&self) {
        // A node that has stopped has no wishes.
        let _ = self.control.send(Control::Campaign);
    }

    /// Waits until the node has stopped, and says why. Its directory and its port are free then.
    pub async fn stopped(&self) -> StopReason {
        let mut stopped = self.stopped.clone();
        match stopped.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or(StopReason::Killed),
            // The runtime under it was shut down.
            Err(_) => StopReason::Killed,
        }
    }

    /// Takes no new commands, waits a while for those under way, syncs the log and stops.
    pub async fn shutdown(self) -> StopReason {
        let _ = self.control.send(Control::Shutdown);
        self.stopped().await
    }

    /// Stops at once, as if the process were killed: nothing is synced, nobody is told. For tests.
    pub async fn kill(self) -> StopReason {
        self.task.abort();
        self.stopped().await
    }
}
