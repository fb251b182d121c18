//! What the program that started a node holds in its hand.

use crate::node::Control;
use crate::report::StatusReport;
use crate::shared::Shared;
use crate::wish::{self, Denied, Granted, Wish};
use consensus_core::{Change, Counters, LogIndex, Membership, NodeId, Status};
use std::any::Any;
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Arc, PoisonError};
use tokio::sync::{mpsc, oneshot, watch};
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

/// What somebody who panicked said.
pub(crate) fn words_of(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied()).unwrap_or("without a word")
}

/// A running node. When the handle is dropped, the node shuts down.
#[derive(Debug)]
pub struct NodeHandle {
    pub(crate) shared: Arc<Shared>,
    pub(crate) local_addr: SocketAddr,
    pub(crate) control: mpsc::UnboundedSender<Control>,
    pub(crate) wishes: mpsc::Sender<wish::Asked>,
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

    /// The members, as far as this replica knows, and whether the entry that says so is committed.
    /// What a [`Change`] begins with.
    pub fn members(&self) -> (Membership, bool) {
        let facts = self.shared.facts.lock().unwrap_or_else(PoisonError::into_inner);
        (facts.members.clone(), facts.committed)
    }

    /// Changes the members, and waits until that is committed. Only the leader can. Drop the future
    /// to wait no longer; the change goes on.
    ///
    /// # Errors
    /// If it was not begun, or if the replica stopped leading meanwhile.
    pub async fn change_members(&self, change: Change) -> Result<Membership, Denied> {
        match self.wish(Wish::Change(change)).await? {
            Granted::Members(members) => Ok(members),
            other => Err(Denied::Refused(format!("answered {other:?}"))),
        }
    }

    /// Has this replica, the leader, hand over to another, and waits until that leads.
    ///
    /// # Errors
    /// If this replica does not lead, the other cannot, or nothing came of it within three election
    /// timeouts.
    pub async fn transfer(&self, to: NodeId) -> Result<(), Denied> {
        self.wish(Wish::Transfer(to)).await.map(drop)
    }

    /// Takes a snapshot now, and waits until it is on disk; says what it covers.
    ///
    /// # Errors
    /// If the algorithm keeps its whole log, nothing is applied yet, or the disk refused.
    pub async fn take_snapshot(&self) -> Result<LogIndex, Denied> {
        match self.wish(Wish::Snapshot).await? {
            Granted::Snapshot(index) => Ok(index),
            other => Err(Denied::Refused(format!("answered {other:?}"))),
        }
    }

    async fn wish(&self, wish: Wish) -> Result<Granted, Denied> {
        let (asker, answer) = oneshot::channel();
        let stopped = || Denied::Refused("the replica has stopped".into());
        let asked = wish::Asked { wish, asker };
        self.wishes.send(asked).await.map_err(|_| stopped())?;
        answer.await.unwrap_or(Err(Denied::Lost))
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
