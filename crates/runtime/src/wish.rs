//! What an operator can want of a node, and what becomes of it.

use consensus_core::{Change, ChangeRefusal, LogIndex, Membership, NodeId};
use serde::{Deserialize, Serialize};
use std::fmt;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What an operator wants of a node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Wish {
    /// Other members.
    Change(Change),
    /// That the leader hand over to this replica.
    Transfer(NodeId),
    /// A snapshot, now.
    Snapshot,
}

/// A wish that came true.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Granted {
    /// These are the members now.
    Members(Membership),
    /// This replica leads now.
    Leads(NodeId),
    /// A snapshot of everything up to here is on disk.
    Snapshot(LogIndex),
}

/// A wish that did not come true, or not yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Denied {
    /// The members were not changed.
    Change(ChangeRefusal),
    /// Another replica leads; this one, if known.
    NotLeader(Option<NodeId>),
    /// The replica lost the leadership meanwhile: the wish may come true yet, or not.
    Lost,
    /// It did not come true in time. It may yet.
    Late,
    /// For another reason, in words; nothing was done.
    Refused(String),
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Change(why) => write!(f, "{why}"),
            Self::NotLeader(Some(leader)) => write!(f, "not the leader; that is {leader}"),
            Self::NotLeader(None) => f.write_str("not the leader, and none is known"),
            Self::Lost => f.write_str(
                "the leader changed meanwhile; it may have been done or may yet be: look at the \
                 members before you try again",
            ),
            Self::Late => {
                f.write_str("it did not happen in time; it may yet: look before you repeat it")
            }
            Self::Refused(why) => f.write_str(why),
        }
    }
}

impl std::error::Error for Denied {}

/// Whoever waits for what becomes of a wish.
pub(crate) type Asker = oneshot::Sender<Result<Granted, Denied>>;

/// A wish and whoever waits for what becomes of it.
pub(crate) struct Asked {
    pub(crate) wish: Wish,
    pub(crate) asker: Asker,
}

/// The wishes that a node works on.
#[derive(Default)]
pub(crate) struct Wishes {
    /// A change of members that the protocol took, or is just being asked for.
    pub(crate) change: Option<(Change, Asker)>,
    pub(crate) transfer: Option<(NodeId, Instant, Asker)>,
    pub(crate) snapshot: Vec<Asker>,
}

/// Answers; whoever asked may have gone.
pub(crate) fn answer(asker: Asker, answer: Result<Granted, Denied>) {
    let _ = asker.send(answer);
}

impl Wishes {
    /// The members that are in force, committed and not under change.
    pub(crate) fn settled(&mut self, members: &Membership) {
        let fits = |change: &Change| {
            (change.voters, change.learners) == (members.voters, members.learners)
        };
        if let Some((_, asker)) = self.change.take_if(|(change, _)| fits(change)) {
            answer(asker, Ok(Granted::Members(members.clone())));
        }
    }

    /// The protocol did not begin the change.
    pub(crate) fn refused(&mut self, why: ChangeRefusal) {
        if let Some((_, asker)) = self.change.take() {
            answer(asker, Err(Denied::Change(why)));
        }
    }

    /// The replica no longer leads.
    pub(crate) fn deposed(&mut self) {
        if let Some((_, asker)) = self.change.take() {
            answer(asker, Err(Denied::Lost));
        }
    }

    /// Who leads, as far as the replica knows.
    pub(crate) fn leader(&mut self, leader: Option<NodeId>, now: Instant) {
        let Some((to, deadline, _)) = &self.transfer else { return };
        let outcome = match leader {
            Some(leader) if leader == *to => Ok(Granted::Leads(leader)),
            _ if now >= *deadline => Err(Denied::Late),
            _ => return,
        };
        if let Some((_, _, asker)) = self.transfer.take() {
            answer(asker, outcome);
        }
    }
}
