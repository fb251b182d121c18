//! "Paxos Made Simple", section by section. "E-…" are notes on how the paper is often misread.

use crate::lab::{Lab, ballot_of, batch};
use consensus_core::{
    AuthMeter, Ballot, Cluster, ClusterId, ConsensusProtocol, Durable, Env, Envelope, Incarnation,
    Input, LogIndex, NoKeys, NodeId, ProtocolConfig, RecordNumber, Refusal,
};
use synod_paxos::{ChosenAt, Config, Decision, Message, Paxos, Proposal, Record, Timer};

/// Both phases, between proposer `p` and acceptor `a` of three.
fn both_phases(lab: &mut Lab, p: usize, a: usize) {
    for (from, to, kind) in
        [(p, a, "prepare"), (a, p, "promise"), (p, a, "accept"), (a, p, "accepted")]
    {
        lab.carry(from, to, kind);
    }
}

/// §2.2: two phases, four messages between the proposer and each acceptor, and a majority decides.
#[test]
fn two_phases_choose_a_value() {
    let mut lab = Lab::new(5);
    lab.propose(0, "x");
    let mut carried = 0;
    for kind in ["prepare", "promise", "accept", "accepted"] {
        assert_eq!(lab.count(kind), 4, "{kind}");
        assert_eq!(lab.flying().len(), 4, "nothing else is said");
        carried += 4;
        for flying in lab.flying() {
            lab.lose(&flying);
            lab.deliver(&flying);
        }
    }
    assert_eq!(carried, 4 * (5 - 1));
    assert_eq!(lab.committed(0), [batch("x")]);
    assert!(lab.flying().is_empty());
}

/// §2.2: a majority is enough, and less is not.
#[test]
fn a_majority_is_needed_and_enough() {
    let mut lab = Lab::new(5);
    lab.propose(0, "x");
    for acceptor in [1, 2] {
        lab.carry(0, acceptor, "prepare");
        lab.carry(acceptor, 0, "promise");
    }
    lab.carry(0, 1, "accept");
    lab.carry(1, 0, "accepted");
    assert!(lab.committed(0).is_empty(), "two of five");
    lab.carry(0, 2, "accept");
    lab.carry(2, 0, "accepted");
    assert_eq!(lab.committed(0), [batch("x")], "three of five");
}

/// §2.2, P2c, and E-02: the highest *number* wins, but it carries the value that was accepted
/// before. The late proposer's own value goes into the next slot.
#[test]
fn a_late_proposer_with_a_higher_ballot_brings_the_older_value() {
    let mut lab = Lab::new(3);
    lab.propose(0, "old");
    both_phases(&mut lab, 0, 1);
    assert_eq!(lab.committed(0), [batch("old")]);
    lab.crash(0, 0);
    lab.lose_all();

    lab.propose(2, "new");
    // Node 1 has promised ballot 1 to node 0; node 2 knows nothing of it.
    both_phases(&mut lab, 2, 1);
    assert_eq!(lab.committed(2), [batch("old")]);
    both_phases(&mut lab, 2, 1);
    assert_eq!(lab.committed(2), [batch("old"), batch("new")]);
}

/// §2.2 and E-30, the duel: node 0 accepts x under the lower ballot, nodes 1 and 2 accept y under
/// the higher one, and a third proposal that hears of both must be for y.
#[test]
fn after_a_duel_the_third_proposal_is_for_the_value_of_the_highest_ballot() {
    let mut lab = Lab::new(3);
    lab.propose(0, "x");
    lab.carry(0, 1, "prepare");
    lab.carry(1, 0, "promise");
    // Node 2 outbids at node 1 before the accept of node 0 arrives there.
    lab.propose(2, "y");
    lab.carry(2, 1, "prepare");
    lab.carry(0, 1, "accept");
    let refused = lab.carry(1, 0, "nack");
    assert!(matches!(refused, Message::Nack { ballot, promised, .. } if promised > ballot));
    lab.carry(1, 2, "promise");
    lab.carry(2, 1, "accept");
    lab.crash(2, 0);
    lab.lose_all();

    lab.propose(1, "z");
    lab.carry(1, 0, "prepare");
    let Message::Promise { accepted, .. } = lab.carry(0, 1, "promise") else { panic!() };
    assert_eq!(accepted.expect("node 0 accepted from itself").batch, batch("x"));
    let Message::Accept { batch: proposed, .. } = lab.carry(1, 0, "accept") else { panic!() };
    assert_eq!(proposed, batch("y"));
    lab.carry_all();
    assert_eq!(lab.committed(1), [batch("y"), batch("z")]);
    assert_eq!(lab.committed(0), [batch("y")]);
}

/// §2.2, P2c and E-03 with five acceptors: three promises report nothing, x under ballot 1 and y
/// under ballot 2, in every order; y is proposed.
#[test]
fn the_order_of_the_promises_does_not_matter() {
    let ballot = |round, node| Ballot::new(round, Some(NodeId(node)), Incarnation(1));
    let reports = [
        Some(Proposal { ballot: ballot(1, 1), batch: batch("x") }),
        Some(Proposal { ballot: ballot(2, 2), batch: batch("y") }),
    ];
    for order in [[1, 2], [2, 1]] {
        let mut lab = Lab::new(5);
        // It has seen ballot 2, as a proposer does that was outbid once.
        lab.hand(
            2,
            0,
            Message::Prepare {
                slot: LogIndex(9),
                ballot: ballot(2, 2),
                chosen: None,
                repeat: false,
            },
        );
        lab.propose(0, "z");
        let Message::Prepare { slot, ballot, .. } = lab.take(0, 1, "prepare") else { panic!() };
        for from in order {
            let accepted = reports[from - 1].clone();
            lab.hand(from, 0, Message::Promise { slot, ballot, accepted });
        }
        let Message::Accept { batch: proposed, .. } = lab.take(0, 1, "accept") else { panic!() };
        assert_eq!(proposed, batch("y"), "promises in the order {order:?}");
    }
}

/// §2.2: a promise counts for the ballot it was given to, and an acceptor counts once (planted bug
/// P03).
#[test]
fn repeated_and_old_promises_do_not_count() {
    let mut lab = Lab::new(5);
    lab.propose(0, "x");
    lab.carry(0, 1, "prepare");
    let promise = lab.take(1, 0, "promise");
    for _ in 0..5 {
        lab.hand(1, 0, promise.clone());
    }
    assert_eq!(lab.count("accept"), 0, "node 1 and itself are two of five");
    // Outbid, it starts a new ballot; the promises to the old one are worth nothing now.
    let Message::Promise { slot, ballot, .. } = promise else { panic!() };
    let promised = Ballot::new(7, Some(NodeId(4)), Incarnation(1));
    lab.hand(4, 0, Message::Nack { slot, ballot, promised });
    lab.fire(0, Timer::Retry);
    for from in 1..5 {
        lab.hand(from, 0, Message::Promise { slot, ballot, accepted: None });
    }
    assert_eq!(lab.count("accept"), 0);
}

/// §2.2 and §2.4: who is outbid abandons its proposal, keeps quiet for a random while that grows
/// up to a limit, and comes back above the ballot that it met.
#[test]
fn an_outbid_proposer_backs_off_ever_longer_and_comes_back_higher() {
    let mut lab = Lab::new(3);
    lab.propose(0, "x");
    let mut quiet = Vec::new();
    let mut promised = Ballot::ZERO;
    for _ in 0..12 {
        let prepare = lab.take(0, 1, "prepare");
        let Message::Prepare { slot, ballot, .. } = prepare else { panic!() };
        assert!(ballot > promised);
        promised = Ballot::above(ballot, NodeId(1), Incarnation(1));
        lab.hand(1, 0, Message::Nack { slot, ballot, promised });
        quiet.push(lab.timer(0, Timer::Retry).expect("it is set"));
        assert!(lab.flying().iter().all(|flying| flying.to != NodeId(1)), "it keeps quiet");
        lab.fire(0, Timer::Retry);
    }
    assert!(quiet[0].max > quiet[0].min, "chance ends duels");
    assert_eq!(quiet[1].max, quiet[0].max * 2);
    assert_eq!(quiet[10], quiet[11], "there is a longest while");
}

/// §2.2: a nack for an older ballot, or of another slot, is no reason to give up.
#[test]
fn a_late_nack_changes_nothing() {
    let mut lab = Lab::new(3);
    lab.propose(0, "x");
    lab.carry(0, 1, "prepare");
    let ballot = Ballot::new(0, Some(NodeId(0)), Incarnation(1));
    let promised = Ballot::new(5, Some(NodeId(2)), Incarnation(1));
    lab.hand(2, 0, Message::Nack { slot: LogIndex(1), ballot, promised });
    lab.carry(1, 0, "promise");
    assert_eq!(lab.count("accept"), 2);
}

/// §2.5: an acceptor records its response before it sends it. What was not recorded was not said.
#[test]
fn promises_and_acceptances_wait_for_the_disk() {
    let mut lab = Lab::new(3);
    lab.slow_disks();
    lab.propose(0, "x");
    lab.carry(0, 1, "prepare");
    assert_eq!(lab.count("promise"), 0);
    lab.crash(1, 0);
    lab.restart(1);
    lab.sync(1);
    assert_eq!(lab.count("promise"), 0, "it crashed before it could promise");

    lab.fire(0, Timer::Retry);
    lab.carry(0, 1, "prepare-again");
    lab.sync(1);
    assert_eq!(lab.count("promise"), 1);
    lab.carry(1, 0, "promise");
    assert_eq!(lab.count("accept"), 0, "its own promise is not on its disk yet");
    lab.sync(0);
    assert_eq!(lab.count("accept"), 2, "an accept is no promise: it leaves at once");
    lab.carry(0, 1, "accept");
    assert_eq!(lab.count("accepted"), 0);
    lab.sync(1);
    lab.carry(1, 0, "accepted");
    assert!(lab.committed(0).is_empty(), "its own acceptance is not on its disk yet");
    lab.sync(0);
    assert_eq!(lab.committed(0), [batch("x")]);
}

/// §2.5: the sync of an earlier record says nothing of the own promise (planted bug P50).
#[test]
fn the_own_promise_waits_for_its_own_record() {
    let mut lab = Lab::new(3);
    lab.slow_disks();
    lab.propose(2, "theirs");
    lab.carry(2, 0, "prepare");
    lab.propose(0, "x");
    lab.carry(0, 1, "prepare");
    lab.sync(1);
    lab.carry(1, 0, "promise");
    lab.give(0, Input::Durable(RecordNumber(1)));
    lab.give(0, Input::Drained);
    assert_eq!(lab.count("accept"), 0, "only the promise to the other proposer is on its disk");
    lab.sync(0);
    assert_eq!(lab.count("accept"), 2);
}

/// §2.5 and E-18: an acceptor comes back with what it promised and accepted.
#[test]
fn an_acceptor_remembers_across_a_crash() {
    let mut lab = Lab::new(3);
    lab.propose(0, "x");
    lab.carry(0, 1, "prepare");
    lab.carry(1, 0, "promise");
    lab.carry(0, 1, "accept");
    lab.crash(1, 0);
    lab.restart(1);
    let low = Ballot::new(0, Some(NodeId(2)), Incarnation(1));
    let prepare =
        |ballot| Message::Prepare { slot: LogIndex(1), ballot, chosen: None, repeat: false };
    lab.lose_all();
    lab.hand(2, 1, prepare(low));
    lab.take(1, 2, "nack");
    lab.hand(2, 1, prepare(low.with_round(9)));
    let Message::Promise { accepted, .. } = lab.take(1, 2, "promise") else { panic!() };
    assert_eq!(accepted.expect("it accepted before the crash").batch, batch("x"));
}

/// §2.5: no proposal number is used twice, also across a crash that wiped out every trace of the
/// first (planted bug P04).
#[test]
fn a_restarted_proposer_does_not_repeat_a_ballot() {
    let mut lab = Lab::new(3);
    lab.slow_disks();
    lab.propose(0, "x");
    let first = ballot_of(&lab.take(0, 1, "prepare"));
    lab.crash(0, 0);
    lab.restart(0);
    lab.propose(0, "y");
    let second = ballot_of(&lab.take(0, 1, "prepare"));
    assert_ne!(first, second);
}

/// §2.3: what was chosen travels on the next prepare; who accepted it knows the value, and who
/// did not asks.
#[test]
fn learners_hear_of_a_choice_with_the_next_prepare() {
    let mut lab = Lab::new(3);
    lab.propose(0, "x");
    both_phases(&mut lab, 0, 1);
    lab.lose_all();
    lab.propose(0, "y");
    lab.carry(0, 1, "prepare");
    assert_eq!(lab.committed(1), [batch("x")]);
    assert_eq!(lab.count("learn-request"), 0);
    lab.carry(0, 2, "prepare");
    assert!(lab.committed(2).is_empty(), "node 2 never saw x");
    lab.carry(2, 0, "learn-request");
    lab.carry(0, 2, "learn");
    assert_eq!(lab.committed(2), [batch("x")]);
}

/// §2.3: "in this slot" is not enough: an acceptor may hold another value there, under a lower
/// ballot (planted bug P10).
#[test]
fn an_acceptor_with_an_older_proposal_does_not_take_it_for_the_chosen_one() {
    let mut lab = Lab::new(3);
    lab.propose(2, "lost");
    lab.carry(2, 1, "prepare");
    lab.carry(1, 2, "promise");
    lab.lose_all();
    // Node 2 has accepted its own value, and nobody else has.
    lab.propose(0, "x");
    lab.carry(0, 1, "prepare");
    if lab.count("nack") > 0 {
        lab.carry(1, 0, "nack");
        lab.lose_all();
        lab.fire(0, Timer::Retry);
        lab.carry(0, 1, "prepare");
    }
    lab.carry(1, 0, "promise");
    lab.carry(0, 1, "accept");
    lab.carry(1, 0, "accepted");
    assert_eq!(lab.committed(0), [batch("x")]);
    lab.lose_all();
    lab.fire(0, Timer::Spread);
    lab.carry(0, 2, "chosen");
    assert!(lab.committed(2).is_empty());
    lab.carry(2, 0, "learn-request");
    lab.carry(0, 2, "learn");
    assert_eq!(lab.committed(2), [batch("x")]);
}

/// §2.3: a learner that does not know whether a value was chosen has a proposal issued. Nobody
/// proposes here, and the only one who knew is gone.
#[test]
fn a_value_that_nobody_knows_to_be_chosen_is_found_out() {
    let mut lab = Lab::new(3);
    lab.propose(0, "x");
    both_phases(&mut lab, 0, 1);
    lab.crash(0, 0);
    for id in [1, 2] {
        lab.crash(id, 0);
        lab.restart(id);
    }
    lab.lose_all();
    lab.fire(1, Timer::Doubt);
    lab.carry_all();
    assert_eq!(lab.committed(1), [batch("x")]);
    lab.fire(1, Timer::Spread);
    lab.carry_all();
    assert_eq!(lab.committed(2), [batch("x")]);
    lab.fire(1, Timer::Doubt);
    assert_eq!(lab.flying().len(), 0, "there is no doubt any more");
}

/// §2.3: to find out is a proposal like any other, so it carries what the majority reports; and an
/// acceptor that only promised has nothing to find out.
#[test]
fn doubt_is_about_accepted_values_and_keeps_them() {
    let mut lab = Lab::new(3);
    lab.propose(0, "x");
    lab.carry(0, 1, "prepare");
    lab.carry(0, 2, "prepare");
    lab.carry(1, 0, "promise");
    lab.carry(0, 1, "accept");
    lab.crash(0, 0);
    lab.lose_all();
    assert!(lab.timer(2, Timer::Doubt).is_none(), "it promised, no more");
    lab.fire(1, Timer::Doubt);
    lab.carry_all();
    assert_eq!(lab.committed(1), [batch("x")]);
}

/// §2.3: so is what the own proposer had accepted here and then gave up. Its command was chosen in
/// another slot while it kept quiet (the client had asked elsewhere, too), so it has nothing to
/// propose any more; what it accepted before is as open as ever.
#[test]
fn a_proposal_that_its_proposer_gave_up_is_in_doubt() {
    let mut lab = Lab::new(3);
    lab.propose(0, "x");
    lab.carry(0, 1, "prepare");
    lab.carry(1, 0, "promise");
    lab.propose(2, "y");
    lab.carry(2, 1, "prepare");
    lab.carry(0, 1, "accept");
    lab.carry(1, 0, "nack");
    lab.carry(1, 2, "promise");
    lab.carry(2, 1, "accept");
    lab.carry(1, 2, "accepted");
    lab.lose_all();
    lab.propose(2, "x");
    lab.carry(2, 1, "prepare");
    lab.carry(1, 2, "promise");
    let Message::Accept { slot, ballot, batch: x, .. } = lab.take(2, 1, "accept") else { panic!() };
    let accept = Message::Accept { slot, ballot, batch: x.clone(), repeat: false };
    lab.hand(2, 1, accept);
    lab.carry(1, 2, "accepted");
    lab.lose_all();
    let decisions = vec![Decision { slot, ballot, batch: x }];
    lab.hand(2, 0, Message::Learn { decisions, upto: slot });
    assert!(lab.committed(0).is_empty(), "the slot before is open");
    assert!(lab.timer(0, Timer::Retry).is_none(), "there is nothing to propose");
    lab.lose_all();
    lab.fire(0, Timer::Doubt);
    lab.carry_all();
    assert_eq!(lab.committed(0), [batch("y"), batch("x")]);
}

/// §3: a proposer that lags behind is told, and goes on where the others are.
#[test]
fn a_proposer_that_lags_behind_catches_up_before_it_proposes() {
    let mut lab = Lab::new(3);
    for text in ["a", "b", "c"] {
        lab.propose(0, text);
        both_phases(&mut lab, 0, 1);
        lab.lose_all();
    }
    lab.propose(2, "late");
    lab.carry_all();
    assert_eq!(lab.committed(2), ["a", "b", "c", "late"].map(batch));
    assert_eq!(lab.committed(2)[..3], lab.committed(1)[..3]);
}

/// §3: a restarted replica gives out the log from its notes, and asks for the rest.
#[test]
fn a_restarted_replica_gives_out_its_log_again() {
    let mut lab = Lab::new(3);
    for text in ["a", "b"] {
        lab.propose(0, text);
        lab.carry_all();
    }
    lab.crash(0, 0);
    lab.restart(0);
    assert_eq!(lab.committed(0), ["a", "b"].map(batch));
}

/// §2.4: commands that wait are proposed together, in their order, and not more of them are taken
/// than the configured bytes.
#[test]
fn waiting_commands_share_a_slot_and_are_bounded() {
    let cluster = Cluster::new(ClusterId(1), 3);
    let mut config = Config::for_cluster(&cluster).expect("a cluster");
    config.max_pending_bytes = 4 * batch("0").bytes().len();
    config.max_merged_bytes = 2 * batch("0").bytes().len();
    let mut lab = Lab::with(cluster, config);
    for text in ["0", "1", "2", "3", "4"] {
        lab.propose(0, text);
    }
    assert_eq!(lab.refused(0), [Refusal::Busy]);
    lab.carry_all();
    let texts: Vec<Vec<_>> = lab
        .committed(0)
        .iter()
        .map(|batch| batch.commands().map(|command| command.payload[0]).collect())
        .collect();
    assert_eq!(texts, [vec![b'0'], vec![b'1', b'2'], vec![b'3']]);
    lab.propose(0, "5");
    assert_eq!(lab.refused(0).len(), 1, "there is room again");
}

/// §3: a client that tries again elsewhere leaves its command with two proposers. What one of them
/// got chosen the other does not propose again, neither what is under way nor what waits.
#[test]
fn what_another_proposer_got_chosen_is_not_proposed_again() {
    let mut lab = Lab::new(3);
    for text in ["z", "y", "x"] {
        lab.propose(1, text);
    }
    lab.lose_all();
    for text in ["z", "x"] {
        lab.propose(0, text);
        both_phases(&mut lab, 0, 2);
        lab.lose_all();
    }
    lab.fire(0, Timer::Spread);
    lab.carry_all();
    assert_eq!(lab.committed(1), [batch("z"), batch("x"), batch("y")]);
}

/// §2.2: duplicates of every message, delivered at once or at the end, change nothing.
#[test]
fn every_message_may_come_twice() {
    let mut lab = Lab::new(3);
    let mut old = Vec::new();
    for text in ["a", "b", "c"] {
        lab.propose(0, text);
        while let Some(flying) = lab.flying().into_iter().next() {
            lab.lose(&flying);
            lab.deliver(&flying);
            lab.deliver(&flying);
            old.push(flying);
        }
    }
    for flying in old {
        lab.deliver(&flying);
    }
    lab.carry_all();
    assert_eq!(lab.committed(0), ["a", "b", "c"].map(batch));
}

/// A cluster of one is its own majority, after its own disk.
#[test]
fn one_replica_decides_alone() {
    let mut lab = Lab::new(1);
    lab.slow_disks();
    lab.propose(0, "x");
    lab.sync(0);
    assert!(lab.committed(0).is_empty());
    lab.sync(0);
    assert_eq!(lab.committed(0), [batch("x")]);
}

/// The contract: what another replica says never makes `step` panic, and what cannot be is refused
/// at the gate.
#[test]
fn implausible_messages_are_refused() {
    let cluster = Cluster::new(ClusterId(1), 3);
    let (keys, meter) = (NoKeys, AuthMeter::default());
    let env = Env::new(core::time::Duration::ZERO, &cluster, &keys, &meter);
    let ballot = |node, round| Ballot::new(round, Some(NodeId(node)), Incarnation(1));
    let prepare = |slot, ballot| Message::Prepare {
        slot: LogIndex(slot),
        ballot,
        chosen: None,
        repeat: false,
    };
    let good = prepare(1, ballot(1, 1));
    let at = |from, message| Paxos::verify(Envelope { from: NodeId(from), message }, &env).is_ok();
    assert!(at(1, good.clone()));
    assert!(!at(2, good.clone()), "somebody else's ballot");
    assert!(!at(3, good), "no such replica");
    assert!(!at(1, prepare(0, ballot(1, 1))), "no such slot");
    assert!(!at(1, prepare(u64::MAX, ballot(1, 1))), "counting on would overflow");
    assert!(!at(1, prepare(1, ballot(1, u64::MAX))));
    assert!(!at(1, prepare(1, Ballot::ZERO)));
    let decisions = vec![Decision { slot: LogIndex(0), ballot: ballot(1, 1), batch: batch("x") }];
    assert!(!at(1, Message::Learn { decisions, upto: LogIndex(1) }));
    assert!(!at(1, Message::Chosen(ChosenAt { slot: LogIndex(0), ballot: ballot(1, 1) })));
}

/// The contract: a disk whose records contradict each other must not take part.
#[test]
fn contradicting_records_are_refused() {
    let cluster = Cluster::new(ClusterId(1), 3);
    let config = Config::for_cluster(&cluster).expect("a cluster");
    let ballot = |round| Ballot::new(round, Some(NodeId(0)), Incarnation(1));
    let slot = LogIndex(1);
    let recover = |records| {
        let durable = Durable::of(Incarnation(2), records);
        Paxos::recover(NodeId(0), config.clone(), durable)
    };
    let promised = |round| Record::Promised { slot, ballot: ballot(round) };
    assert!(recover(vec![promised(1), promised(2)]).is_ok());
    assert!(recover(vec![promised(2), promised(1)]).is_err());
    let below = Record::Accepted { slot, ballot: ballot(1), batch: batch("x") };
    assert!(recover(vec![promised(2), below]).is_err());
    let chosen = |batch| Record::Chosen { slot, ballot: ballot(1), batch };
    assert!(recover(vec![chosen(None)]).is_err(), "chosen, but what?");
    assert!(recover(vec![chosen(Some(batch("x"))), chosen(Some(batch("y")))]).is_err());
}

/// The planted bugs are off unless they are built in, and the list names each once.
#[test]
fn planted_bugs_are_listed_once() {
    let mut names: Vec<_> = synod_paxos::MUTANTS.iter().map(|mutant| mutant.name).collect();
    let count = names.len();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), count);
    let mut lab = Lab::new(3);
    lab.give(0, Input::Campaign);
    assert!(lab.flying().is_empty(), "there is nothing to lead");
    assert_eq!(lab.status(0).leader, None);
}
