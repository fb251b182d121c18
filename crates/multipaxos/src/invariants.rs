//! What must hold of one replica, and of a step between two of its states. What must hold between
//! replicas is the oracles' business.

use crate::commander::cost_of;
use crate::leader::{Leader, Phase};
use crate::node::OwnVote;
use crate::replica::{MultiPaxos, Role};
use crate::scout::Scout;
use consensus_core::{Ballot, LogIndex};

/// What is checked after every step, in release builds, too. Each takes a comparison or two.
pub(crate) fn check_cheap(replica: &MultiPaxos) -> Result<(), &'static str> {
    let promised = replica.acceptor().promised();
    let learner = &replica.node.learner;
    let (base, snapshot, upto) = (learner.base(), learner.snapshot(), learner.upto());
    if base > snapshot {
        return Err("forgotten beyond the snapshot");
    }
    if snapshot > upto {
        return Err("a snapshot of what is not chosen");
    }
    if upto > learner.last() {
        return Err("a gap where everything is known");
    }
    match &replica.role {
        Role::Follower(_) | Role::Canvasser(_) => Ok(()),
        Role::Scout(scout) => owns(replica, scout.ballot, promised),
        Role::Leader(leader) => {
            owns(replica, leader.ballot, promised)?;
            let last = match leader.phase {
                Phase::Open | Phase::Draining => learner.last(),
                Phase::Change(_) | Phase::Asking => learner.upto().min(leader.next.previous()),
            };
            if leader.next > last { Ok(()) } else { Err("would propose in a chosen slot") }
        }
    }
}

/// The acceptor next door has promised what its proposer works with, and nothing since.
fn owns(replica: &MultiPaxos, ballot: Ballot, promised: Ballot) -> Result<(), &'static str> {
    if ballot.node() != Some(replica.node.id) {
        return Err("works with another's ballot");
    }
    if ballot == promised { Ok(()) } else { Err("works with a ballot, and promised another") }
}

/// Everything that must hold of one state; for tests.
pub(crate) fn check(replica: &MultiPaxos) -> Result<(), String> {
    check_cheap(replica)?;
    let acceptor = replica.acceptor();
    for (slot, accepted) in acceptor.accepted_from(LogIndex::ZERO) {
        require(slot > replica.node.learner.base(), || format!("slot {slot} was not forgotten"))?;
        require(accepted.ballot <= acceptor.promised(), || {
            format!("slot {slot} was accepted under {:?}, above the promise", accepted.ballot)
        })?;
    }
    let learner = &replica.node.learner;
    for slot in (learner.base().0 + 1..=learner.upto().0).map(LogIndex) {
        let kept = learner.get(slot, acceptor).is_some();
        require(kept, || format!("slot {slot} is chosen, and its value is gone"))?;
    }
    match &replica.role {
        Role::Leader(leader) => {
            check_own_promise(replica, &leader.scout)?;
            check_leader(replica, leader)
        }
        Role::Scout(scout) => check_own_promise(replica, scout),
        Role::Follower(_) | Role::Canvasser(_) => Ok(()),
    }
}

/// The promise next door counts, or it will once it is on the disk: other members may leave no one
/// else whose promise could count.
fn check_own_promise(replica: &MultiPaxos, scout: &Scout) -> Result<(), String> {
    let is_due = |vote: &OwnVote| *vote == OwnVote::Promise(scout.ballot);
    let counts = scout.promised_by().contains(replica.node.id);
    require(counts || replica.node.own_votes.iter().any(is_due), || {
        "the own promise counts neither now nor later".into()
    })
}

/// Every slot that the leader passed is open or chosen (a hole would hold back the state machines
/// for ever), and what is open was accepted next door under the leader's ballot.
fn check_leader(replica: &MultiPaxos, leader: &Leader) -> Result<(), String> {
    let learner = &replica.node.learner;
    let mut slot = learner.upto().next();
    while slot < leader.next {
        let known = leader.open.contains(slot) || learner.knows(slot);
        require(known, || format!("slot {slot} is neither open nor chosen"))?;
        slot = slot.next();
    }
    for (slot, _) in leader.open.from(LogIndex::ZERO) {
        require(slot > learner.upto(), || format!("slot {slot} is executed and still open"))?;
        let held = replica.acceptor().accepted(slot);
        let mine = held.is_some_and(|held| held.ballot == leader.ballot);
        require(mine, || format!("slot {slot} was proposed and not accepted next door"))?;
    }
    let costs = leader.open.commanders().map(|it| cost_of(it, replica.acceptor()));
    let (counted, kept) = (costs.sum::<usize>(), leader.open.bytes());
    require(counted == kept, || format!("{counted} bytes are open, not {kept}"))
}

/// What is left over where nothing waits any more.
pub(crate) fn leftover(replica: &MultiPaxos) -> Option<&'static str> {
    match &replica.role {
        Role::Leader(leader) => leader.leftover(),
        Role::Follower(_) | Role::Canvasser(_) | Role::Scout(_) => None,
    }
}

/// What must hold of a step, within one life of a replica; for tests.
pub(crate) fn check_step(before: &MultiPaxos, after: &MultiPaxos) -> Result<(), String> {
    let (old, new) = (before.acceptor(), after.acceptor());
    require(old.promised() <= new.promised(), || "the promised ballot fell".into())?;
    let base = after.node.learner.base();
    require(before.node.learner.base() <= base, || "what was forgotten came back".into())?;
    for (slot, accepted) in old.accepted_from(base.next()) {
        let now = new.accepted(slot).map(|accepted| accepted.ballot);
        require(now >= Some(accepted.ballot), || format!("slot {slot}: an acceptance was undone"))?;
        let same = new.accepted(slot).is_some_and(|now| now.batch == accepted.batch);
        require(same || now > Some(accepted.ballot), || {
            format!("slot {slot}: two values under one ballot")
        })?;
    }
    let (old, new) = (&before.node.learner, &after.node.learner);
    require(old.upto() <= new.upto(), || "what was executed shrank".into())?;
    let first = base.next();
    let values = old.values_from(first, before.acceptor());
    for (slot, value) in (first.0..).map(LogIndex).zip(values) {
        let kept = new.get(slot, after.acceptor()).is_some_and(|chosen| chosen == value);
        require(kept, || format!("slot {slot}: the chosen value changed"))?;
    }
    match (&before.role, &after.role) {
        (Role::Leader(old), Role::Leader(new)) => {
            require(old.ballot == new.ballot, || "a leader changed its ballot".into())?;
            require(old.next <= new.next, || "a leader's next slot fell".into())
        }
        _ => Ok(()),
    }
}

fn require(holds: bool, why: impl FnOnce() -> String) -> Result<(), String> {
    if holds { Ok(()) } else { Err(why()) }
}
