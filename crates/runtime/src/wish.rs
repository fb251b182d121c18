//! What an operator can want of a node, and what becomes of it.

use consensus_core::mutant::planted;
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
    /// A change of members that the protocol is just being asked for.
    asking: Option<(Change, Asker)>,
    /// A change of members that the protocol took.
    change: Option<(Change, Asker)>,
    pub(crate) transfer: Option<(NodeId, Instant, Asker)>,
    pub(crate) snapshot: Vec<Asker>,
}

/// Answers; whoever asked may have gone.
pub(crate) fn answer(asker: Asker, answer: Result<Granted, Denied>) {
    let _ = asker.send(answer);
}

impl Wishes {
    /// The protocol is asked for other members. Whether it can change them now it knows best: a
    /// change that waits, for a new voter to catch up, gives way to another one.
    pub(crate) fn ask(&mut self, change: Change, asker: Asker) {
        self.asking = Some((change, asker));
    }

    /// The protocol was asked. What it did not refuse it took, in place of what it was about.
    pub(crate) fn asked(&mut self) {
        let Some(taken) = self.asking.take() else { return };
        if self.change.is_some() && planted("N40") {
            return answer(taken.1, Err(Denied::Change(ChangeRefusal::UnderWay)));
        }
        if let Some((_, before)) = self.change.replace(taken) {
            answer(before, Err(Denied::Late));
        }
    }

    /// The members that are in force, committed and not under change. If that was known before, the
    /// protocol says so because nothing more comes of the change that it was about.
    pub(crate) fn settled(&mut self, members: &Membership, known: bool) {
        let fits = |(change, _): &mut (Change, Asker)| {
            (change.voters, change.learners) == (members.voters, members.learners)
        };
        for wish in [&mut self.change, &mut self.asking] {
            if let Some((_, asker)) = wish.take_if(fits) {
                answer(asker, Ok(Granted::Members(members.clone())));
            }
        }
        if let Some((_, asker)) = self.change.take_if(|_| known && !planted("N41")) {
            answer(asker, Err(Denied::Late));
        }
    }

    /// The protocol did not begin the change that it was asked for.
    pub(crate) fn refused(&mut self, why: ChangeRefusal) {
        if let Some((_, asker)) = self.asking.take() {
            answer(asker, Err(Denied::Change(why)));
        }
    }

    /// The replica no longer leads.
    pub(crate) fn deposed(&mut self) {
        for (_, asker) in self.change.take().into_iter().chain(self.asking.take()) {
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

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use consensus_core::NodeSet;
    use tokio::sync::oneshot::Receiver;

    type Answer = Receiver<Result<Granted, Denied>>;

    fn three() -> Membership {
        Membership { voters: NodeSet::first(3), ..Membership::default() }
    }

    /// The protocol takes a change to these voters, or refuses it.
    fn wish(wishes: &mut Wishes, voters: usize, refused: Option<ChangeRefusal>) -> Answer {
        let (asker, answer) = oneshot::channel();
        let change = Change { voters: NodeSet::first(voters), ..Change::of(&three()) };
        wishes.ask(change, asker);
        refused.into_iter().for_each(|why| wishes.refused(why));
        wishes.asked();
        answer
    }

    /// Raft thesis §4.2.1: a server that is to vote and never comes must not keep the operator from
    /// other changes. The protocol takes one; who asked for the first is told.
    #[test]
    pub(crate) fn a_change_that_waits_gives_way_to_another_unless_that_is_refused() {
        let mut wishes = Wishes::default();
        let mut first = wish(&mut wishes, 4, None);
        let refused = ChangeRefusal::TooEarly;
        let mut second = wish(&mut wishes, 5, Some(refused));
        assert_eq!(second.try_recv(), Ok(Err(Denied::Change(refused))));
        assert!(first.try_recv().is_err(), "it goes on");
        let mut third = wish(&mut wishes, 2, None);
        assert_eq!(first.try_recv(), Ok(Err(Denied::Late)));
        let two = Membership { voters: NodeSet::first(2), ..three() };
        wishes.settled(&two, false);
        assert_eq!(third.try_recv(), Ok(Ok(Granted::Members(two))));
    }

    /// A leader that gives a new voter up says once more which members there are.
    #[test]
    pub(crate) fn who_waits_for_a_change_that_was_given_up_is_told() {
        let mut wishes = Wishes::default();
        let mut answer = wish(&mut wishes, 4, None);
        let learns = Membership { learners: NodeSet::only(NodeId(3)), ..three() };
        wishes.settled(&learns, false);
        assert!(answer.try_recv().is_err(), "the new voter learns first");
        wishes.settled(&learns, true);
        assert_eq!(answer.try_recv(), Ok(Err(Denied::Late)));
        let mut lost = wish(&mut wishes, 4, None);
        wishes.deposed();
        assert_eq!(lost.try_recv(), Ok(Err(Denied::Lost)));
    }
}
