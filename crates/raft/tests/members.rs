//! Changes of members: §6 of the Raft paper, chapter 4 of the thesis, and Ongaro's note of 2015 on
//! single-server changes.

use crate::lab::Lab;
use consensus_core::{
    Change, ChangeRefusal, Input, LogIndex, Membership, NodeId, NodeSet, Refusal, Role,
};
use synod_raft::{Candidates, Message, Term, Timer};

fn set(nodes: &[u8]) -> NodeSet {
    nodes.iter().map(|node| NodeId(*node)).collect()
}

/// Leader 0 of three, and two servers that have joined and learn.
fn with_learners() -> Lab {
    let mut lab = Lab::with_voters(5, 3);
    lab.elect(0);
    lab.change(0, |seen| seen.add_learner(NodeId(3)).add_learner(NodeId(4)));
    lab.carry_all();
    assert_eq!(lab.members(0).0.learners, set(&[3, 4]));
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!((lab.commit_index(3), lab.commit_index(4)), (2, 2));
    lab
}

/// Both followers give way to the learners.
fn swap(seen: Change) -> Change {
    seen.remove(NodeId(1)).remove(NodeId(2)).add_voter(NodeId(3)).add_voter(NodeId(4))
}

/// Carries AppendEntries and its acknowledgement.
fn replicate(lab: &mut Lab, from: usize, to: usize) {
    lab.carry(from, to, "append-entries");
    lab.carry(to, from, "append-reply");
}

/// Thesis §4.2.1: a new server first learns, without a vote, so that it does not stall the
/// cluster; once it has caught up it votes.
#[test]
fn a_new_server_learns_before_it_votes() {
    let mut lab = Lab::with_voters(4, 3);
    lab.elect(0);
    for number in 0..5 {
        lab.propose(0, &format!("{number}"));
        lab.carry_all();
    }
    lab.change(0, |seen| seen.add_voter(NodeId(3)).at(NodeId(3), "here:1"));
    let stage = lab.members(0).0;
    assert_eq!((stage.voters, stage.learners), (set(&[0, 1, 2]), set(&[3])));
    lab.carry_all();
    let done = lab.members(0).0;
    assert_eq!((done.voters, done.learners), (set(&[0, 1, 2, 3]), NodeSet::EMPTY));
    assert_eq!(done.contacts[&NodeId(3)], "here:1");
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    for id in lab.ids() {
        assert_eq!(lab.members(id), (done.clone(), true), "all know, for good");
    }
    lab.elect(3);
}

/// … and if it is not there, it stays a learner after ten election timeouts, and the operator is
/// told so. Meanwhile commands go on.
#[test]
fn a_server_that_is_not_there_gets_no_vote() {
    let mut lab = Lab::with_voters(4, 3);
    lab.elect(0);
    lab.change(0, |seen| seen.add_voter(NodeId(3)));
    lab.carry_all_but(set(&[3]));
    let told = lab.announcements(0);
    for _ in 0..10 {
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all_but(set(&[3]));
        lab.fire(0, Timer::Election);
    }
    assert_eq!(lab.announcements(0), told + 1);
    let (members, committed) = lab.members(0);
    assert_eq!((members.voters, members.learners, committed), (set(&[0, 1, 2]), set(&[3]), true));
    lab.crash(3, 0);
    lab.restart(3);
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!(lab.members(0).0.learners, set(&[3]), "the wish is forgotten");
    lab.change(0, |seen| seen.add_voter(NodeId(3)));
    assert_eq!(lab.voters(0), [0, 1, 2, 3], "now it is up to date");
}

/// Thesis §4.2.1: learners get everything and count for nothing: not to commit, not to elect.
#[test]
fn learners_do_not_count() {
    let mut lab = with_learners();
    lab.propose(0, "x");
    replicate(&mut lab, 0, 3);
    replicate(&mut lab, 0, 4);
    assert_eq!(lab.commit_index(0), 2, "one voter of three has it");
    replicate(&mut lab, 0, 1);
    assert_eq!(lab.commit_index(0), 3);
    lab.lose_all();
    lab.campaign(1);
    let term = Term(2);
    for learner in [3, 4] {
        lab.hand(learner, 1, Message::Vote { term, candidate: NodeId(1), granted: true });
    }
    assert_eq!(lab.status(1).role, Role::Candidate);
    lab.time_out(3);
    assert_eq!(lab.count("pre-vote"), 0, "and they do not campaign");
    assert_eq!(lab.status(3).leader, None, "nor send clients to a leader that is silent");
}

/// Ongaro 2015: a change before an entry of the leader's own term is committed could be made by
/// two leaders who know nothing of each other.
#[test]
fn a_leader_changes_nothing_before_it_has_committed() {
    let mut lab = Lab::with_voters(4, 3);
    lab.elect_with(0, &[1]);
    let learner = |seen: Change| seen.add_learner(NodeId(3));
    lab.change(0, learner);
    assert_eq!(lab.refused_changes(0), [ChangeRefusal::TooEarly]);
    lab.carry_all();
    lab.change(0, learner);
    assert_eq!(lab.members(0).0.learners, set(&[3]));
}

/// One change after the other, each by who knows the last; who does not lead says who does.
#[test]
fn changes_are_guarded() {
    let mut lab = with_learners();
    let old = Membership { version: LogIndex::ZERO, ..lab.members(0).0 };
    lab.change(0, |_| Change::of(&old).remove(NodeId(3)));
    lab.change(1, |seen| seen.remove(NodeId(3)));
    lab.change(0, |seen| seen.remove(NodeId(3)));
    lab.change(0, |seen| seen.remove(NodeId(4)));
    let version = lab.members(1).0.version;
    assert_eq!(lab.refused_changes(0), [ChangeRefusal::Version(version), ChangeRefusal::UnderWay]);
    assert_eq!(lab.refused_changes(1), [ChangeRefusal::NotLeader(Some(NodeId(0)))]);
    assert_eq!(lab.members(0).0.learners, set(&[4]));
}

/// Members are the cluster's own business: no client proposes them.
#[test]
fn a_client_cannot_change_members() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    let coup = Membership { voters: set(&[2]), ..lab.members(0).0 };
    lab.give(0, Input::Propose(coup.to_batch()));
    assert_eq!(lab.refused(0), [Refusal::Unsupported]);
    assert_eq!(lab.voters(0), [0, 1, 2]);
}

/// §6: one server more or less needs no joint configuration; two or more do, as majorities of the
/// old and the new voters need not meet.
#[test]
fn more_than_one_voter_changes_in_two_steps() {
    let mut lab = with_learners();
    lab.change(0, |seen| seen.add_voter(NodeId(3)));
    assert!(!lab.members(0).0.is_joint());
    let mut lab = with_learners();
    lab.change(0, |seen| seen.add_voter(NodeId(3)).add_voter(NodeId(4)));
    assert_eq!(lab.members(0).0.outgoing, set(&[0, 1, 2]));
}

/// §6: while two configurations are in force, a majority of each must agree; then the leader goes
/// on to the new one by itself.
#[test]
fn a_joint_change_needs_both_majorities() {
    let mut lab = with_learners();
    lab.change(0, swap);
    replicate(&mut lab, 0, 3);
    replicate(&mut lab, 0, 4);
    assert_eq!(
        (lab.commit_index(0), lab.members(0).0.is_joint()),
        (2, true),
        "no majority of the old"
    );
    replicate(&mut lab, 0, 1);
    assert_eq!(lab.commit_index(0), 3);
    let done = lab.members(0).0;
    assert_eq!((done.voters, done.outgoing), (set(&[0, 3, 4]), NodeSet::EMPTY));
    lab.keep(|flying| flying.to != NodeId(2));
    replicate(&mut lab, 0, 3);
    assert_eq!(lab.commit_index(0), 4, "the old majority is no longer needed");
    lab.propose(0, "x");
    assert!(
        lab.flying().iter().all(|flying| ![1, 2].contains(&flying.to.index())),
        "they get no more"
    );
}

/// … also to be elected.
#[test]
fn an_election_amid_a_joint_change_needs_both_majorities() {
    let mut lab = with_learners();
    lab.change(0, swap);
    replicate(&mut lab, 0, 3);
    replicate(&mut lab, 0, 4);
    lab.lose_all();
    lab.crash(0, 0);
    lab.campaign(3);
    lab.carry(3, 4, "request-vote");
    lab.carry(4, 3, "vote");
    assert_eq!(lab.status(3).role, Role::Candidate, "two of the new voters, none of the old");
    for old in [1, 2] {
        lab.carry(3, old, "request-vote");
        lab.carry(old, 3, "vote");
    }
    assert_eq!(lab.status(3).role, Role::Leader);
    // §6: "the new leader completes the change" that it finds in its log.
    lab.carry_all_but(set(&[0]));
    assert_eq!(lab.voters(3), [0, 3, 4]);
    assert!(!lab.members(3).0.is_joint());
}

/// Thesis §3.10: a leader that hands over adds nothing to its log, not even the second half of a
/// joint change: the heir, who has the whole log, must not lose to those that have more. It
/// completes the change itself (§6).
#[test]
fn an_heir_completes_a_joint_change() {
    let mut lab = with_learners();
    lab.change(0, swap);
    lab.transfer(0, 3);
    replicate(&mut lab, 0, 1);
    replicate(&mut lab, 0, 3);
    replicate(&mut lab, 0, 4);
    assert_eq!((lab.commit_index(0), lab.status(0).last), (3, LogIndex(3)), "no second half");
    lab.carry(0, 3, "timeout-now");
    lab.carry_all();
    assert_eq!((lab.status(3).role, lab.status(3).epoch), (Role::Leader, 2));
    assert_eq!(lab.voters(3), [0, 3, 4]);
    assert!(!lab.members(3).0.is_joint());
}

/// … and if nothing comes of the hand-over, the leader does.
#[test]
fn a_hand_over_that_fails_delays_a_joint_change() {
    let mut lab = with_learners();
    lab.change(0, swap);
    lab.transfer(0, 2);
    lab.carry_all_but(set(&[2]));
    assert!(lab.members(0).0.is_joint());
    lab.fire(0, Timer::HandOver);
    lab.carry_all_but(set(&[2]));
    assert_eq!(lab.voters(0), [0, 3, 4]);
    assert!(!lab.members(0).0.is_joint());
}

/// §6: a configuration is in force as soon as it is in the log, and falls back when it is cut.
#[test]
fn members_fall_back_when_their_entry_is_cut() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.change(0, |seen| seen.remove(NodeId(2)));
    assert_eq!(lab.voters(0), [0, 1]);
    lab.lose_all();
    lab.campaign(1);
    lab.carry_all_but(set(&[0]));
    assert_eq!(lab.status(1).role, Role::Leader);
    lab.fire(1, Timer::Heartbeat);
    lab.carry_all();
    lab.fire(1, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!(lab.log(0), lab.log(1));
    assert_eq!(lab.voters(0), [0, 1, 2]);
    assert!(lab.has_reached(0, "change of members rolled back"));
    lab.crash(0, 0);
    lab.restart(0);
    assert_eq!(lab.voters(0), [0, 1, 2], "after a restart, too");
}

/// §6: a leader that removes itself manages the cluster until that is committed, with a majority
/// that it is not part of; then it hands over, and disturbs nobody from then on.
#[test]
fn a_leader_removes_itself() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.change(0, |seen| seen.remove(NodeId(0)));
    replicate(&mut lab, 0, 1);
    assert_eq!((lab.status(0).role, lab.commit_index(0)), (Role::Leader, 1), "one of the two");
    replicate(&mut lab, 0, 2);
    assert_eq!((lab.status(0).role, lab.commit_index(0)), (Role::Follower, 2));
    lab.carry_all();
    let leader = [1, 2].into_iter().find(|id| lab.status(*id).role == Role::Leader);
    let leader = leader.expect("the heir leads without waiting for a timeout");
    assert_eq!(lab.voters(leader), [1, 2]);
    for _ in 0..3 {
        lab.fire(0, Timer::Election);
        lab.campaign(0);
    }
    assert!(lab.flying().is_empty());
    assert_eq!(lab.status(0).role, Role::Follower);
}

/// From two servers to one, and the leader out of two.
#[test]
fn two_become_one() {
    for removed in [0, 1] {
        let mut lab = Lab::new(2);
        lab.elect(0);
        lab.change(0, |seen| seen.remove(NodeId(removed)));
        lab.carry_all();
        let left = 1 - usize::from(removed);
        assert_eq!(lab.status(left).role, Role::Leader, "without {removed}");
        assert_eq!(lab.voters(left), [left]);
        let before = lab.commit_index(left);
        lab.propose(left, "x");
        assert_eq!(lab.commit_index(left), before + 1, "alone");
    }
}

/// Thesis §4.2.2: who is removed by an entry that is not committed may be the only one that can
/// be elected, since its log is longer. It must try. (By the paper: else it would bring the other
/// one up to date.)
#[test]
fn a_server_campaigns_until_its_removal_is_committed() {
    let mut lab = Lab::set_up(2, |config| config.candidates = Candidates::Wait);
    lab.elect(0);
    lab.change(0, |seen| seen.remove(NodeId(0)));
    lab.lose_all();
    lab.crash(0, 0);
    lab.restart(0);
    assert_eq!(lab.voters(0), [1], "the entry is on its disk");
    lab.time_out(1);
    lab.carry_all();
    assert_eq!(lab.status(1).role, Role::Candidate, "0 has a longer log");
    lab.time_out(0);
    lab.carry_all();
    assert_eq!((lab.status(0).role, lab.status(1).role), (Role::Follower, Role::Leader));
    assert_eq!(lab.voters(1), [1], "and the change is done");
}

/// Thesis §4.2.3: a removed server that never hears of it disturbs nobody who hears the leader.
#[test]
fn a_removed_server_that_does_not_know_disturbs_nobody() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.change(0, |seen| seen.remove(NodeId(2)));
    lab.carry_all_but(set(&[2]));
    assert_eq!(lab.commit_index(0), 2);
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    for _ in 0..3 {
        lab.time_out(2);
        lab.carry_all();
    }
    assert_eq!((lab.status(0).role, lab.status(0).epoch), (Role::Leader, 1));
    assert_eq!(lab.voters(2), [0, 1, 2], "it does not know");
}

/// A replacement in one go: the new server learns, then both configurations, then the new one.
#[test]
fn a_server_is_replaced() {
    let mut lab = Lab::with_voters(4, 3);
    lab.elect(0);
    lab.crash(2, 0);
    lab.change(0, |seen| seen.remove(NodeId(2)).add_voter(NodeId(3)));
    lab.carry_all();
    assert_eq!(lab.voters(0), [0, 1, 3]);
    assert!(lab.has_reached(0, "joint change completed"));
    lab.crash(1, 0);
    lab.propose(0, "x");
    let before = lab.commit_index(0);
    lab.carry_all();
    assert_eq!(lab.commit_index(0), before + 1, "the new server counts");
}
