//! Who leads: hand-over (thesis §3.10), priorities, and what a slow or a returning server costs.

use crate::lab::Lab;
use consensus_core::{ChangeRefusal, LogIndex, NodeId, NodeSet, Refusal, Role};
use synod_raft::{Config, Message, Term, Timer};

/// Thesis §3.10: the leader takes no more commands, waits until its heir has the whole log, and
/// tells it to campaign at once.
#[test]
fn a_leader_hands_over_to_one_who_has_everything() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.propose(0, "x");
    lab.transfer(0, 1);
    lab.propose(0, "y");
    lab.change(0, |seen| seen.remove(NodeId(2)));
    assert_eq!(lab.refused(0), [Refusal::Busy]);
    assert_eq!(lab.refused_changes(0), [ChangeRefusal::UnderWay]);
    assert_eq!(lab.count("timeout-now"), 0, "it lacks x");
    lab.carry(0, 1, "append-entries");
    lab.carry(1, 0, "append-reply");
    lab.carry(0, 1, "timeout-now");
    lab.carry_all();
    assert_eq!((lab.status(1).role, lab.status(1).epoch), (Role::Leader, 2));
    assert_eq!(lab.commit_index(1), 3);
    assert!(lab.timer(0, Timer::HandOver).is_none());
}

/// If nothing comes of it within an election timeout, the leader goes on as before.
#[test]
fn a_hand_over_has_a_deadline() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.crash(1, 0);
    lab.transfer(0, 1);
    lab.carry_all_but(NodeId(1).into());
    assert_eq!(lab.delay(0, Timer::HandOver).max, lab.cluster().timing.election_max);
    lab.fire(0, Timer::HandOver);
    lab.propose(0, "x");
    lab.carry_all_but(NodeId(1).into());
    assert_eq!((lab.status(0).role, lab.commit_index(0)), (Role::Leader, 2));
    assert!(lab.refused(0).is_empty());
}

/// A word of an earlier term to campaign is not heeded.
#[test]
fn a_late_hand_over_is_void() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.transfer(0, 1);
    let late = lab.take(0, 1, "timeout-now");
    lab.elect(2);
    lab.hand(0, 1, late);
    assert_eq!((lab.status(1).role, lab.status(1).epoch), (Role::Follower, 2));
}

/// Only a voter can lead, and only the leader can hand over; to be wished to lead is to campaign.
#[test]
fn hand_over_is_to_voters() {
    let mut lab = Lab::with_voters(4, 3);
    lab.elect(0);
    for nobody in [3, 0, 99] {
        lab.transfer(0, nobody);
        assert!(lab.flying().is_empty() && lab.timer(0, Timer::HandOver).is_none());
    }
    lab.hand(0, 3, Message::TimeoutNow { term: Term(1), ask: false });
    lab.hand(0, 3, Message::TimeoutNow { term: Term(1), ask: true });
    assert_eq!(lab.status(3).role, Role::Follower);
    lab.transfer(1, 2);
    assert!(lab.flying().is_empty());
    lab.transfer(1, 1);
    lab.carry_all();
    assert_eq!(lab.status(1).role, Role::Leader);
}

/// Three servers, of which node 1 should rather lead, and node 0 does.
fn ranked() -> Lab {
    let mut lab = Lab::set_up(3, |config| {
        config.priorities.insert(NodeId(1), 5);
    });
    lab.elect(0);
    lab
}

/// A server of a higher priority that is up to date is handed the leadership, and not handed it
/// back.
#[test]
fn a_server_of_a_higher_priority_takes_over() {
    let mut lab = ranked();
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!((lab.status(1).role, lab.status(0).role), (Role::Leader, Role::Follower));
    for _ in 0..3 {
        lab.fire(1, Timer::Heartbeat);
        lab.carry_all();
    }
    assert_eq!(lab.status(1).role, Role::Leader);
}

/// A server of a higher priority may reach the leader and nobody else. It asks before it campaigns,
/// so that nothing comes of it: the leader that works stays in office.
#[test]
fn a_server_of_a_higher_priority_asks_whether_it_would_win() {
    let mut lab = Lab::set_up(5, |config| {
        config.priorities.insert(NodeId(1), 5);
    });
    lab.elect(0);
    lab.fire(0, Timer::Heartbeat);
    lab.carry(0, 1, "heartbeat");
    lab.carry(1, 0, "heartbeat-reply");
    lab.carry(0, 1, "timeout-now");
    lab.carry(1, 0, "pre-vote");
    lab.carry(0, 1, "pre-vote-reply");
    lab.keep(|flying| flying.from != NodeId(1) && flying.to != NodeId(1));
    assert_eq!((lab.status(1).role, lab.status(1).epoch), (Role::Follower, 1));
    assert_eq!((lab.status(0).role, lab.status(0).epoch), (Role::Leader, 1));
    lab.fire(0, Timer::HandOver);
    lab.propose(0, "x");
    lab.carry_all_but(NodeId(1).into());
    assert_eq!(lab.status(0).role, Role::Leader);
    assert!(lab.refused(0).is_empty());
}

/// … also if it has just missed the leader, and asks on its own whether it would win: it does not
/// begin a term that nobody but the settings wants (planted bug R157).
#[test]
fn a_preferred_server_that_missed_the_leader_asks_all_the_same() {
    let mut lab = Lab::new(5);
    lab.elect(0);
    lab.time_out(1);
    assert_eq!(lab.status(1).role, Role::Candidate);
    lab.lose_all();
    lab.hand(0, 1, Message::TimeoutNow { term: Term(1), ask: true });
    assert_eq!((lab.status(1).role, lab.status(1).epoch), (Role::Follower, 1));
    assert_eq!(lab.sent(1, "pre-vote").len(), 8);
    lab.carry_all();
    assert_eq!((lab.status(1).role, lab.status(1).epoch), (Role::Leader, 2));
    // An operator's wish is heeded at once.
    lab.time_out(2);
    lab.lose_all();
    lab.hand(1, 2, Message::TimeoutNow { term: Term(2), ask: false });
    assert_eq!((lab.status(2).role, lab.status(2).epoch), (Role::Candidate, 3));
}

/// Pre-votes move only who asked for them: late ones find a server that follows.
#[test]
fn pre_votes_that_nobody_asked_for_elect_nobody() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    for voter in [0, 2, 0, 2] {
        lab.hand(voter, 1, Message::PreVoteReply { term: Term(2), granted: true });
    }
    assert_eq!((lab.status(1).role, lab.status(1).epoch), (Role::Follower, 1));
}

/// … not while it lags; and if it does not take over, it is left alone for a while.
#[test]
fn a_server_that_cannot_take_over_is_left_alone() {
    let mut lab = ranked();
    lab.propose(0, "x");
    lab.carry_all_but(NodeId(1).into());
    lab.fire(0, Timer::Heartbeat);
    lab.carry(0, 1, "heartbeat");
    lab.carry(1, 0, "heartbeat-reply");
    assert!(lab.timer(0, Timer::HandOver).is_none(), "it lags");
    lab.keep(|flying| flying.to != NodeId(1));
    lab.carry_all();
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all_but(NodeSet::EMPTY);
    let mut lab = ranked();
    lab.fire(0, Timer::Heartbeat);
    lab.carry(0, 1, "heartbeat");
    lab.carry(1, 0, "heartbeat-reply");
    assert!(lab.timer(0, Timer::HandOver).is_some());
    lab.lose_all();
    lab.fire(0, Timer::HandOver);
    for _ in 0..3 {
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all();
        assert!(lab.timer(0, Timer::HandOver).is_none());
    }
}

/// Thesis §3.10: a leader takes no commands while it waits for its heir. One that the settings want
/// and that others do not reach is asked again after longer and longer pauses (planted bug R153).
#[test]
fn a_server_that_cannot_take_over_is_asked_ever_more_seldom() {
    let mut lab = Lab::set_up(5, |config| {
        config.priorities.insert(NodeId(1), 5);
    });
    lab.elect(0);
    let mut checks = Vec::new();
    for _ in 0..6 {
        let mut passed = 0;
        while lab.timer(0, Timer::HandOver).is_none() {
            lab.fire(0, Timer::Heartbeat);
            lab.carry_those(|flying| flying.to == NodeId(0) || flying.from == NodeId(0));
            // Nobody but the leader hears node 1.
            lab.lose_all();
            if lab.timer(0, Timer::HandOver).is_none() {
                lab.fire(0, Timer::Election);
                passed += 1;
            }
        }
        checks.push(passed);
        lab.fire(0, Timer::HandOver);
        assert_eq!((lab.status(0).role, lab.status(0).epoch), (Role::Leader, 1));
    }
    assert_eq!(checks, [0, 10, 20, 40, 80, 160]);
    lab.propose(0, "x");
    lab.carry_all();
    assert!(lab.refused(0).is_empty());
}

/// While a server of a higher priority lives, others wait longer before they campaign; once it is
/// gone, they do not.
#[test]
fn who_has_a_lower_priority_waits_longer() {
    let mut lab = ranked();
    let spread = lab.cluster().timing.election_max - lab.cluster().timing.election_min;
    lab.fire(0, Timer::Heartbeat);
    lab.carry(0, 1, "heartbeat");
    lab.carry(1, 0, "heartbeat-reply");
    let told = Message::TimeoutNow { term: Term(1), ask: true };
    lab.keep(|flying| *flying.message != told);
    lab.fire(0, Timer::Heartbeat);
    lab.carry(0, 2, "heartbeat");
    lab.carry(0, 2, "heartbeat");
    lab.fire(2, Timer::Election);
    assert_eq!(lab.delay(2, Timer::Election).min, spread);
    lab.lose_all();
    lab.crash(1, 0);
    for _ in 0..2 {
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all_but(NodeId(1).into());
        lab.fire(0, Timer::Election);
    }
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all_but(NodeId(1).into());
    lab.fire(2, Timer::Election);
    assert!(lab.delay(2, Timer::Election).min.is_zero());
}

/// A follower that does not answer costs the others nothing: the same messages, each at once.
#[test]
fn a_silent_follower_costs_the_others_nothing() {
    let mut lab = Lab::set_up(3, |config: &mut Config| config.max_in_flight = 4);
    lab.elect(0);
    for number in 0..20 {
        lab.propose(0, &format!("{number}"));
        assert_eq!(lab.flying().iter().filter(|flying| flying.to == NodeId(2)).count(), 1);
        lab.keep(|flying| flying.to != NodeId(1));
        lab.carry(0, 2, "append-entries");
        lab.carry(2, 0, "append-reply");
        assert_eq!(lab.commit_index(0), number + 2);
    }
    assert_eq!(lab.status(0).last, LogIndex(21));
}
