//! The steps of a scenario, for any protocol.

use bytes::Bytes;
use consensus_core::{Change, ClientId, NodeId, ReadMode, RequestId, SessionId};
use core::time::Duration;

/// One step, and whether its node crashes in the midst of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// What happens.
    pub action: Action,
    /// The node that moves crashes before it has done all.
    pub cut: Option<Cut>,
    /// It happens at this moment, where time passes; else as soon as the step before.
    pub at: Option<Duration>,
}

/// A crash in the midst of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut {
    /// So many effects of the step still happen (at most).
    pub after: u32,
    /// So many records that were not synced reach the disk.
    pub keep: u32,
}

/// What can happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// A message arrives.
    Deliver {
        /// Which.
        message: Name,
        /// A copy of it stays on its way, to arrive once more.
        keep: bool,
        /// Its sender, a traitor, says the contrary instead.
        lie: bool,
    },
    /// A message is lost.
    Drop(Name),
    /// A timer fires.
    Timeout {
        /// Whose.
        node: NodeId,
        /// Which.
        timer: String,
    },
    /// A node is asked to take commands, as one batch.
    Propose {
        /// Who.
        node: NodeId,
        /// What.
        commands: Vec<Proposal>,
    },
    /// A disk has what was written.
    Sync {
        /// Whose.
        node: NodeId,
        /// Without the last so many records.
        but: u32,
    },
    /// Power is cut.
    Crash {
        /// Whose.
        node: NodeId,
        /// So many records that were not synced reach the disk all the same.
        keep: u32,
    },
    /// A node that is down starts again.
    Restart(NodeId),
    /// A replica is asked to lead.
    Campaign(NodeId),
    /// A replica is asked to hand over leadership.
    Transfer {
        /// Who.
        node: NodeId,
        /// To whom.
        to: NodeId,
    },
    /// A replica is asked for other members.
    Change {
        /// Who.
        node: NodeId,
        /// What they are to be.
        change: Change,
    },
    /// A replica is asked for an index as of which a read may be answered.
    Read {
        /// Who.
        node: NodeId,
        /// How.
        mode: ReadMode,
    },
    /// A snapshot is taken of what a node has applied, and waits to be saved.
    Snapshot(NodeId),
    /// A snapshot is durable, and the replica is told if it runs.
    Save {
        /// Whose.
        node: NodeId,
        /// The one that came from another node, not the own one.
        received: bool,
    },
}

/// Names a message on its way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name {
    /// Its kind.
    pub kind: String,
    /// Its sender.
    pub from: NodeId,
    /// Its receiver.
    pub to: NodeId,
    /// Which of them.
    pub pick: Pick,
}

/// Tells messages of one kind on one link apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pick {
    /// The first, second, … that is still on its way, in the order of sending.
    Nth(u32),
    /// By what it says. Only in recordings.
    Print(u64),
}

/// A command, as a scenario says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proposal {
    /// Of nobody in particular: equal texts are the same request.
    Text(String),
    /// Of a client with a session.
    Request {
        /// Who asks.
        client: ClientId,
        /// In which session.
        session: SessionId,
        /// With which number.
        request: RequestId,
        /// What the service is to do.
        payload: Bytes,
    },
}

impl Action {
    /// The node that moves.
    pub fn mover(&self) -> NodeId {
        match self {
            Self::Deliver { message, .. } | Self::Drop(message) => message.to,
            Self::Timeout { node, .. }
            | Self::Propose { node, .. }
            | Self::Sync { node, .. }
            | Self::Crash { node, .. }
            | Self::Restart(node)
            | Self::Campaign(node)
            | Self::Transfer { node, .. }
            | Self::Change { node, .. }
            | Self::Read { node, .. }
            | Self::Snapshot(node)
            | Self::Save { node, .. } => *node,
        }
    }
}

impl From<Action> for Step {
    fn from(action: Action) -> Self {
        Self { action, cut: None, at: None }
    }
}
