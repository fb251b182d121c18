//! The papers, section by section: Lamport, "Paxos Made Simple" (PMS), and van Renesse and
//! Altinbuken, "Paxos Made Moderately Complex" (PMMC).

use crate::lab::{Lab, accept_of, batch, promise_of};
use consensus_core::{
    Cluster, ClusterId, Input, LogIndex, Message as _, NodeId, NodeSet, ProtocolConfig, Refusal,
    Role,
};
use synod_multipaxos::{Config, Message, Timer};

fn slots(lab: &Lab, kind: &str) -> Vec<u64> {
    let accept = |flying: &crate::lab::Flying| match &*flying.message {
        Message::Accept(accept) if flying.message.kind().name == kind => {
            accept.slot.0..accept.slot.0 + accept.batches.len() as u64
        }
        _ => 0..0,
    };
    let mut slots: Vec<_> = lab.flying().iter().flat_map(accept).collect();
    slots.sort_unstable();
    slots.dedup();
    slots
}

/// PMS §2.2, P1a: an acceptor that answered a prepare accepts nothing under a lower ballot, and
/// says so with the ballot that it promised (§2.2).
#[test]
fn pms_2_2_nothing_is_accepted_below_a_promise() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.propose(0, "late");
    let accept = lab.take(0, 2, "accept");
    lab.lose_all();
    lab.give(1, Input::Campaign);
    lab.carry(1, 2, "prepare");
    lab.hand(0, 2, accept.clone());
    assert_eq!(lab.count("accepted"), 0);
    let Message::Nack { ballot, promised } = lab.take(2, 0, "nack") else { panic!("no nack") };
    assert_eq!(ballot, accept_of(accept).ballot);
    assert_eq!(promised.node(), Some(NodeId(1)));
}

/// PMS §2.2: an accept needs a ballot that is *not lower* than the promised one. An acceptor that
/// missed the prepare takes part, and the one that promised this very ballot does, of course.
#[test]
fn pms_2_2_an_acceptor_that_missed_phase_1_takes_part_in_phase_2() {
    let mut lab = Lab::new(3);
    lab.give(0, Input::Campaign);
    lab.take(0, 2, "prepare");
    lab.carry_all();
    lab.propose(0, "a");
    lab.take(0, 1, "accept");
    lab.carry_all();
    assert_eq!(lab.words(0), ["a"], "replicas 0 and 2 are a quorum");
}

/// PMS §2.2, P2c: the value of the highest-numbered proposal that a quorum reports, not the own
/// one, nor one of a lower ballot. Slot 1 was accepted as "old" by 0 and as "new" by 1, later.
#[test]
fn pms_2_2_the_value_of_the_highest_ballot_is_proposed_again() {
    for order in [[0, 1], [1, 0]] {
        let mut lab = Lab::new(5);
        lab.elect(0);
        lab.propose(0, "old");
        lab.lose_all();
        // A quorum without replica 0 knows of nothing.
        lab.give(1, Input::Campaign);
        lab.take(1, 0, "prepare");
        lab.carry_all();
        lab.propose(1, "new");
        lab.lose_all();
        lab.give(2, Input::Campaign);
        for from in order {
            lab.carry(2, from, "prepare");
            lab.carry(from, 2, "promise");
        }
        assert_eq!(lab.status(2).role, Role::Leader);
        let accept = accept_of(lab.take(2, 3, "accept"));
        assert_eq!((accept.slot, &accept.batches[..]), (LogIndex(1), &[batch("new")][..]));
    }
}

/// PMS §2.2: a value is chosen by a quorum of *different* acceptors.
#[test]
fn pms_2_2_an_acceptor_counts_once() {
    let mut lab = Lab::new(5);
    lab.elect(0);
    lab.propose(0, "a");
    lab.carry(0, 1, "accept");
    let accepted = lab.carry(1, 0, "accepted");
    lab.hand(1, 0, accepted.clone());
    lab.hand(1, 0, accepted);
    assert_eq!(lab.words(0), [] as [&str; 0]);
    lab.carry(0, 2, "accept");
    lab.carry(2, 0, "accepted");
    assert_eq!(lab.words(0), ["a"]);
}

/// PMS §2.2: promises for an abandoned ballot elect nobody.
#[test]
fn pms_2_2_promises_of_an_earlier_ballot_do_not_count() {
    let mut lab = Lab::new(3);
    lab.give(0, Input::Campaign);
    lab.carry(0, 1, "prepare");
    let late = lab.take(1, 0, "promise");
    lab.lose_all();
    lab.fire(0, Timer::Election); // Gives up, and asks around.
    lab.carry(0, 1, "canvass");
    lab.give(0, Input::Campaign);
    assert_eq!(lab.status(0).role, Role::Candidate);
    lab.hand(1, 0, late);
    assert_eq!(lab.status(0).role, Role::Candidate);
}

/// PMS §2.2: a *proposal* is chosen, a number and a value. Who accepted the value under an earlier
/// ballot has not accepted the proposal.
#[test]
fn pms_2_2_acceptances_of_an_earlier_ballot_do_not_count() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.propose(0, "a");
    lab.carry(0, 1, "accept");
    let late = lab.take(1, 0, "accepted");
    lab.lose_all();
    for _ in 0..2 {
        lab.fire(0, Timer::CheckQuorum);
    }
    lab.give(0, Input::Campaign);
    lab.carry(0, 2, "prepare");
    lab.carry(2, 0, "promise");
    assert_eq!(lab.status(0).role, Role::Leader);
    lab.hand(1, 0, late);
    assert!(lab.words(0).is_empty(), "accepted by itself, and by replica 1 under another ballot");
    lab.carry(0, 2, "accept");
    lab.carry(2, 0, "accepted");
    assert_eq!(lab.words(0), ["a"]);
}

/// PMS §2.3: the leader is the distinguished learner. Followers hear of a choice with the next
/// accept, or else with the heartbeat.
#[test]
fn pms_2_3_a_choice_rides_on_the_next_accept_or_heartbeat() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.propose(0, "a");
    lab.carry_all();
    assert_eq!((lab.words(0).len(), lab.words(1).len()), (1, 0));
    lab.propose(0, "b");
    lab.carry_all();
    assert_eq!(lab.words(1), ["a"]);
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!(lab.words(1), ["a", "b"]);
    assert_eq!(lab.words(2), ["a", "b"]);
}

/// PMS §2.3, and the bug M04: a follower believes the leader's watermark for the leader's own
/// proposals. What it accepted from somebody else may have lost; it asks.
#[test]
fn pms_2_3_an_accepted_value_of_another_ballot_is_not_taken_for_the_chosen_one() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.propose(0, "lost"); // Only replica 0 accepts it.
    lab.lose_all();
    lab.give(1, Input::Campaign);
    lab.take(1, 0, "prepare");
    lab.carry_all();
    lab.propose(1, "chosen");
    lab.take(1, 0, "accept");
    lab.carry_all();
    lab.fire(1, Timer::Heartbeat);
    lab.carry(1, 0, "heartbeat");
    assert_eq!(lab.words(0), [] as [&str; 0]);
    lab.carry_all(); // learn and learned
    assert_eq!(lab.words(0), ["chosen"]);
}

/// PMS §2.4: two proposers that outbid each other make no progress; here the loser waits a random
/// while, and does not raise its ballot without asking around.
#[test]
fn pms_2_4_a_beaten_proposer_steps_back() {
    let mut lab = Lab::new(3);
    lab.give(0, Input::Campaign);
    lab.give(1, Input::Campaign);
    lab.carry(1, 2, "prepare");
    lab.carry(0, 2, "prepare");
    lab.carry(2, 0, "nack");
    assert_eq!(lab.status(0).role, Role::Follower);
    let delay = lab.timer(0, Timer::Election).expect("it is set");
    assert!(delay.max > delay.min, "chance decides who is next");
    lab.fire(0, Timer::Election);
    assert_eq!(lab.count("canvass"), 2);
    lab.carry_all();
    assert_eq!(lab.status(1).role, Role::Leader);
}

/// PMS §2.5: "an acceptor records its intended response in stable storage before actually sending
/// the response".
#[test]
fn pms_2_5_promises_and_acceptances_wait_for_the_disk() {
    let mut lab = Lab::new(3);
    lab.slow_disks();
    lab.give(0, Input::Campaign);
    lab.carry(0, 1, "prepare");
    assert_eq!(lab.count("promise"), 0);
    lab.sync(1);
    lab.sync(0);
    lab.carry(1, 0, "promise");
    assert_eq!(lab.status(0).role, Role::Leader);
    lab.propose(0, "a");
    lab.carry(0, 1, "accept");
    assert_eq!(lab.count("accepted"), 0);
    lab.sync(1);
    assert_eq!(lab.count("accepted"), 1);
}

/// PMS §2.5: the acceptor next door is an acceptor like others. Neither its promise nor its
/// acceptance counts before its disk is done.
#[test]
fn pms_2_5_the_own_votes_wait_for_the_own_disk() {
    let mut lab = Lab::new(3);
    lab.slow_disks();
    lab.give(0, Input::Campaign);
    lab.carry(0, 1, "prepare");
    lab.sync(1);
    lab.carry(1, 0, "promise");
    assert_eq!(lab.status(0).role, Role::Candidate, "one promise is no majority of three");
    lab.sync(0);
    assert_eq!(lab.status(0).role, Role::Leader);
    lab.propose(0, "a");
    lab.carry(0, 1, "accept");
    lab.sync(1);
    lab.carry(1, 0, "accepted");
    assert_eq!(lab.words(0), [] as [&str; 0]);
    lab.sync(0);
    assert_eq!(lab.words(0), ["a"]);
}

/// PMS §2.5, where a disk is slower than an election: what it is done with was said under an
/// earlier ballot, and counts under none that came after.
#[test]
fn pms_2_5_a_late_disk_promises_nothing_under_a_later_ballot() {
    let mut lab = Lab::new(3);
    lab.slow_disks_of(NodeSet::first(1));
    lab.give(0, Input::Campaign);
    lab.lose_all();
    lab.give(1, Input::Campaign);
    lab.carry(1, 0, "prepare");
    lab.lose_all();
    lab.give(0, Input::Campaign);
    lab.carry(0, 2, "prepare");
    lab.carry(2, 0, "promise");
    lab.sync_but(0, 2);
    assert_eq!(lab.status(0).role, Role::Candidate, "this was the promise of the first ballot");
    lab.sync(0);
    assert_eq!(lab.status(0).role, Role::Leader);
}

/// The same for what it accepted: here it holds another value in that slot than the one that now
/// needs a second acceptor.
#[test]
fn pms_2_5_a_late_disk_accepts_nothing_under_a_later_ballot() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.slow_disks_of(NodeSet::first(1));
    lab.propose(0, "old");
    lab.lose_all();
    lab.give(1, Input::Campaign);
    lab.carry(1, 0, "prepare");
    lab.carry(1, 2, "prepare");
    lab.carry(2, 1, "promise");
    lab.propose(1, "new");
    lab.lose_all();
    lab.give(0, Input::Campaign);
    for peer in [1, 2] {
        lab.carry(0, peer, "prepare");
        lab.carry(peer, 0, "promise");
    }
    assert_eq!(lab.status(0).role, Role::Leader, "two others are a majority");
    lab.carry(0, 2, "accept");
    lab.carry(2, 0, "accepted");
    lab.sync_but(0, 3);
    assert_eq!(lab.words(0), [] as [&str; 0], "the disk holds what it accepted first");
    lab.sync(0);
    assert_eq!(lab.words(0), ["new"]);
}

/// PMS §2.5: an acceptor that restarts remembers what it said, and a proposer that restarts never
/// uses a ballot again, though it wrote none.
#[test]
fn pms_2_5_a_restart_forgets_no_promise_and_reuses_no_ballot() {
    let mut lab = Lab::new(3);
    lab.slow_disks();
    lab.give(0, Input::Campaign);
    let first = lab.carry(0, 1, "prepare");
    lab.sync(1);
    lab.lose_all();
    lab.crash(0, 0); // Its promise to itself is lost.
    lab.restart(0);
    lab.give(0, Input::Campaign);
    let second = lab.take(0, 1, "prepare");
    let ballot = |message: &Message| match message {
        Message::Prepare { ballot, .. } => *ballot,
        other => panic!("{other:?} is no prepare"),
    };
    assert!(ballot(&second) > ballot(&first));
    lab.crash(1, 0);
    lab.restart(1);
    lab.hand(2, 1, Message::Canvass { ballot: lab_ballot(2), upto: LogIndex::ZERO, offered: None });
    let Message::CanvassReply { seen, .. } = lab.take(1, 2, "canvass-reply") else { panic!() };
    assert_eq!(seen, ballot(&first));
}

fn lab_ballot(node: u8) -> consensus_core::Ballot {
    let life = consensus_core::Incarnation(1);
    consensus_core::Ballot::above(consensus_core::Ballot::ZERO, NodeId(node), life)
}

/// PMS §3: one prepare serves all slots; after it a command takes one round trip.
#[test]
fn pms_3_phase_1_runs_once_for_all_slots() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    for word in ["a", "b", "c"] {
        lab.propose(0, word);
        assert_eq!((lab.count("prepare"), lab.count("accept")), (0, 2));
        lab.carry_all();
    }
    assert_eq!(lab.words(0), ["a", "b", "c"]);
}

/// PMS §3, the paper's example: the new leader knows commands 1 to 134, 138 and 139; phase 1
/// reports 135 and 140. It proposes these again, and no-ops for 136 and 137. Here: 1, reported are
/// 2 and 4, and 3 is a hole.
#[test]
fn pms_3_reported_values_are_proposed_again_and_holes_get_no_ops() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.propose(0, "one");
    lab.carry_all();
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    for word in ["two", "three", "four"] {
        lab.propose(0, word);
    }
    // Only 2 and 4 reach an acceptor, and then the leader is gone.
    let two = lab.take(0, 1, "accept");
    let three = lab.take(0, 1, "accept");
    lab.carry(0, 1, "accept");
    lab.hand(0, 1, two);
    assert_eq!(accept_of(three).slot, LogIndex(3));
    lab.lose_all();
    lab.crash(0, 0);
    lab.give(2, Input::Campaign);
    lab.carry(2, 1, "prepare");
    lab.carry(1, 2, "promise");
    assert_eq!(slots(&lab, "accept"), [2, 3, 4]);
    lab.propose(2, "five");
    lab.carry_all();
    assert_eq!(lab.words(2), ["one", "two", "no-op", "four", "five"]);
}

/// Issue 4, flow: what is proposed in one burst is one message, with one answer.
#[test]
fn pms_3_a_burst_of_proposals_travels_together() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    for word in ["a", "b", "c"] {
        lab.give(0, Input::Propose(batch(word)));
    }
    assert_eq!(lab.count("accept"), 0, "nothing leaves before the driver has drained its input");
    lab.give(0, Input::Drained);
    assert_eq!(lab.count("accept"), 2, "one message to each of the others");
    assert_eq!(slots(&lab, "accept"), [1, 2, 3]);
    lab.carry(0, 1, "accept");
    assert_eq!(lab.count("accepted"), 1);
    lab.carry(1, 0, "accepted");
    assert_eq!(lab.words(0), ["a", "b", "c"]);
}

/// PMS §3: "a leader can get α commands ahead": it proposes without waiting, and acceptors may
/// answer in any order. Execution is in order.
#[test]
fn pms_3_slots_are_decided_in_any_order_and_executed_in_order() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    for word in ["a", "b", "c"] {
        lab.propose(0, word);
    }
    assert_eq!(lab.count("accept"), 6);
    let first = lab.take(0, 1, "accept");
    lab.carry(0, 1, "accept");
    lab.carry(1, 0, "accepted");
    assert_eq!(lab.words(0), [] as [&str; 0]);
    lab.hand(0, 1, first);
    lab.carry(1, 0, "accepted");
    assert_eq!(lab.words(0), ["a", "b"]);
}

/// PMS §3 (α), PMMC (WINDOW): the window is bounded; what does not fit waits, and goes out when
/// earlier slots are executed. What waits left no trace and is handed back when the leader falls.
#[test]
fn pms_3_the_window_is_bounded() {
    let cluster = Cluster::new(ClusterId(1), 3);
    let config = Config {
        window_bytes: 250,
        max_pending_bytes: 450,
        ..Config::for_cluster(&cluster).expect("three nodes do")
    };
    let mut lab = Lab::with(cluster, config);
    lab.elect(0);
    for word in ["a", "b", "c", "d", "e"] {
        lab.propose(0, word); // Each counts 29 + 1 + 64 bytes.
    }
    assert_eq!(slots(&lab, "accept"), [1, 2]);
    assert_eq!(lab.refused(0), [Refusal::Busy], "the fifth is over the limit");
    lab.carry(0, 1, "accept");
    lab.carry(1, 0, "accepted");
    lab.take(0, 2, "accept");
    assert_eq!(slots(&lab, "accept"), [2, 3], "slot 1 made room for slot 3");
    lab.lose_all();
    lab.give(1, Input::Campaign);
    lab.carry_all();
    let lost = Refusal::NotLeader(None);
    assert_eq!(lab.refused(0), [Refusal::Busy, lost], "the fourth left no trace");
    assert_eq!(lab.words(1), ["a", "b", "c"]);
}

/// PMMC: replicas that do not lead refuse, and name the leader.
#[test]
fn pmmc_a_follower_names_the_leader() {
    let mut lab = Lab::new(3);
    lab.propose(1, "early");
    lab.elect(0);
    lab.propose(1, "a");
    let leader = Refusal::NotLeader(Some(NodeId(0)));
    assert_eq!(lab.refused(1), [Refusal::NotLeader(None), leader]);
}

/// PMMC, liveness: time only decides who tries. A leader that answers is not outbid: who cannot
/// hear it asks around, gets no for an answer, and keeps its ballot to itself.
#[test]
fn pmmc_a_replica_that_lost_only_its_own_link_deposes_nobody() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    let epoch = lab.status(0).epoch;
    lab.fire(2, Timer::Silence);
    for _ in 0..5 {
        lab.fire(2, Timer::Election);
        lab.take(2, 0, "canvass");
        lab.carry_all();
        assert_eq!(lab.status(2).role, Role::Candidate);
    }
    assert_eq!((lab.status(0).role, lab.status(0).epoch), (Role::Leader, epoch));
    assert_eq!(lab.status(1).leader, Some(NodeId(0)));
    // When the other one has lost the leader, too, they replace it.
    lab.fire(1, Timer::Silence);
    lab.fire(2, Timer::Retry);
    lab.carry(2, 1, "canvass");
    lab.carry_all();
    assert_eq!(lab.status(2).role, Role::Leader);
}

/// PMMC, liveness: a leader that a quorum does not answer steps down, or those who hear it would
/// say no to every other.
#[test]
fn pmmc_a_leader_without_a_quorum_steps_down() {
    let mut lab = Lab::new(5);
    lab.elect(0);
    lab.fire(0, Timer::CheckQuorum);
    assert_eq!(lab.status(0).role, Role::Leader, "its promises were answers");
    lab.fire(0, Timer::Heartbeat);
    lab.carry(0, 1, "heartbeat");
    lab.carry(1, 0, "heartbeat-reply");
    lab.fire(0, Timer::CheckQuorum);
    assert_eq!(lab.status(0).role, Role::Follower, "two of five");
}

/// PMMC: what is not answered is sent again, to those who did not answer, and counted apart.
#[test]
fn pmmc_unanswered_accepts_are_sent_again() {
    let mut lab = Lab::new(5);
    lab.elect(0);
    lab.propose(0, "a");
    lab.carry(0, 1, "accept");
    lab.carry(1, 0, "accepted");
    lab.lose_all();
    lab.fire(0, Timer::Retry);
    assert_eq!(lab.count("accept-repair"), 0, "the first answer may still be on its way");
    lab.fire(0, Timer::Retry);
    assert_eq!(lab.count("accept-repair"), 3);
    lab.carry_all();
    assert_eq!(lab.words(0), ["a"]);
}

/// PMS §3: a report that does not fit one message comes in pieces, and the promise counts when the
/// last one is here.
#[test]
fn pms_3_a_long_report_comes_in_pieces() {
    let cluster = Cluster::new(ClusterId(1), 3);
    let usual = Config::for_cluster(&cluster).expect("three nodes do");
    let mut lab = Lab::with(cluster, Config { max_message_bytes: 1, ..usual });
    lab.elect(0);
    for word in ["a", "b", "c"] {
        lab.propose(0, word);
        lab.take(0, 2, "accept");
        lab.carry_all();
    }
    lab.crash(0, 0);
    lab.give(2, Input::Campaign);
    let mut pieces = 0;
    while lab.status(2).role != Role::Leader {
        lab.carry(2, 1, "prepare");
        let piece = lab.carry(1, 2, "promise");
        lab.hand(1, 2, piece.clone()); // A doubled piece is no new one.
        assert_eq!(promise_of(piece).next.is_some(), pieces < 2);
        pieces += 1;
    }
    assert_eq!(pieces, 3);
    lab.carry_all();
    assert_eq!(lab.words(2), ["a", "b", "c"]);
}

/// A replica that was away is brought back with what was chosen, in pieces, and keeps it over a
/// restart.
#[test]
fn a_lagging_replica_catches_up() {
    let cluster = Cluster::new(ClusterId(1), 3);
    let usual = Config::for_cluster(&cluster).expect("three nodes do");
    let mut lab = Lab::with(cluster, Config { max_message_bytes: 1, ..usual });
    lab.elect(0);
    for word in ["a", "b", "c"] {
        lab.propose(0, word);
        lab.take(0, 2, "accept");
        lab.carry_all();
    }
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!(lab.words(2), ["a", "b", "c"]);
    lab.crash(2, 9);
    lab.restart(2);
    assert_eq!(lab.words(2), ["a", "b", "c"], "from its own disk");
}

/// A leader learns from votes alone: its followers take its watermark as a word about its own
/// proposals, and what another ballot chose may differ from them.
#[test]
fn a_leader_is_not_told_what_is_chosen() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.propose(0, "mine");
    let told = Message::Learned {
        from: LogIndex(1),
        batches: vec![batch("another's")],
        chosen: LogIndex(1),
    };
    lab.hand(1, 0, told);
    assert_eq!(lab.words(0), [] as [&str; 0]);
}

/// Howard et al., Flexible Paxos: only quorums of different phases must meet. Of four replicas two
/// choose, and three elect.
#[test]
fn flexible_quorums_choose_with_fewer_and_elect_with_more() {
    let cluster = Cluster::new(ClusterId(1), 4);
    let usual = Config::for_cluster(&cluster).expect("four nodes do");
    let mut lab = Lab::with(cluster, usual.with_phase_2(2).expect("3 + 2 > 4"));
    lab.without_oracles(); // They know majorities only.
    lab.give(0, Input::Campaign);
    lab.carry(0, 1, "prepare");
    lab.carry(1, 0, "promise");
    assert_eq!(lab.status(0).role, Role::Candidate, "two promises of four");
    lab.carry(0, 2, "prepare");
    lab.carry(2, 0, "promise");
    assert_eq!(lab.status(0).role, Role::Leader);
    lab.propose(0, "a");
    lab.carry(0, 3, "accept");
    lab.carry(3, 0, "accepted");
    assert_eq!(lab.words(0), ["a"]);
}

/// What others say never panics us: numbers out of range are rejected, contradictions dropped.
#[test]
fn nonsense_is_dropped() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.propose(0, "a");
    let accepted = lab.carry(0, 1, "accept");
    let accept = accept_of(accepted);
    let lie = |slot, count| Message::Accepted { ballot: accept.ballot, slot, count, again: false };
    lab.hand(1, 0, lie(LogIndex(2), 7)); // Slots that are not open.
    lab.hand(2, 0, lie(LogIndex(99), 1 << 61));
    lab.hand(
        2,
        0,
        Message::HeartbeatReply {
            ballot: lab_ballot(2),
            known: LogIndex(0),
            round: 0,
            priority: 0,
        },
    );
    lab.hand(2, 0, Message::Learn { from: LogIndex(1 << 61) });
    assert_eq!(lab.words(0), [] as [&str; 0]);
    lab.carry_all();
    assert_eq!(lab.words(0), ["a"]);
    let other =
        Message::Learned { from: LogIndex(1), batches: vec![batch("b")], chosen: LogIndex(1) };
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    lab.hand(2, 1, other);
    assert_eq!(lab.words(1), ["a"], "we believe our own memory");
}
