//! The named options, each against the paper's words for it.

use crate::lab::{Lab, ballot_of, batch};
use consensus_core::{
    Ballot, Batch, Cluster, ClusterId, Incarnation, LogIndex, NodeId, ProtocolConfig,
};
use std::collections::BTreeSet;
use synod_paxos::{Accepting, Config, Learners, Message, Refusals, Sending, Timer};

fn cluster(size: usize) -> Cluster {
    Cluster::new(ClusterId(1), size)
}

fn usual(size: usize) -> Config {
    Config::for_cluster(&cluster(size)).expect("a cluster")
}

fn lab(size: usize, config: Config) -> Lab {
    Lab::with(cluster(size), config)
}

/// Everything that flies arrives; what that leads to flies then. Gives what flew, by kind.
fn one_delay(lab: &mut Lab) -> BTreeSet<&'static str> {
    use consensus_core::Message as _;
    let flying = lab.flying();
    lab.lose_all();
    let kinds = flying.iter().map(|flying| flying.message.kind().name).collect();
    flying.iter().for_each(|flying| lab.deliver(flying));
    kinds
}

/// After how many delays each replica has learned the first value; timers do not fire.
fn learned_after(config: Config, size: usize) -> Vec<Option<usize>> {
    let mut lab = lab(size, config);
    lab.propose(0, "x");
    let mut learned = vec![None; size];
    for delay in 1..10 {
        one_delay(&mut lab);
        for (id, learned) in learned.iter_mut().enumerate() {
            if !lab.committed(id).is_empty() {
                learned.get_or_insert(delay);
            }
        }
    }
    learned
}

/// §2.3: a distinguished learner costs one delay more, all-to-all none, and without either the
/// others wait for the news to ride on something.
#[test]
fn learners_hear_when_the_paper_says() {
    let with = |learners| learned_after(Config { learners, ..usual(5) }, 5);
    assert_eq!(with(Learners::Piggybacked), [Some(4), None, None, None, None]);
    assert_eq!(with(Learners::Distinguished), [Some(4), Some(5), Some(5), Some(5), Some(5)]);
    assert_eq!(with(Learners::All), [Some(4); 5]);
}

/// §2.3, "the number of responses is the product of the number of acceptors and learners", or
/// their sum: what is said, kind by kind.
#[test]
fn learning_is_a_product_or_a_sum() {
    for (learners, accepted, decided) in
        [(Learners::Piggybacked, 4, 0), (Learners::Distinguished, 4, 4), (Learners::All, 20, 0)]
    {
        let mut lab = lab(5, Config { learners, ..usual(5) });
        lab.propose(0, "x");
        let mut said = (0, 0);
        for _ in 0..8 {
            said = (said.0 + lab.count("accepted"), said.1 + lab.count("decided"));
            one_delay(&mut lab);
        }
        assert_eq!(said, (accepted, decided), "{learners:?}");
    }
}

/// §2.3 and §2.5: a learner counts the acceptance of the acceptor beside it when the disk has it,
/// as that of any other (planted bug P44).
#[test]
fn an_overheard_quorum_counts_the_own_acceptance_when_it_is_durable() {
    let mut lab = lab(3, Config { learners: Learners::All, ..usual(3) });
    lab.propose(0, "x");
    one_delay(&mut lab);
    one_delay(&mut lab);
    lab.slow_disks();
    lab.carry(0, 1, "accept");
    lab.carry(0, 1, "accepted");
    assert!(lab.committed(1).is_empty(), "n0 has accepted; its own is not on its disk");
    lab.sync(1);
    assert_eq!(lab.committed(1), [batch("x")], "n0 and itself");
    assert!(lab.committed(0).is_empty(), "the proposer knows less than the learner");
}

/// An accept that arrives again is answered to the proposer: that may have missed the answer. It
/// is not told to all again, nor counted again: copies must not cost memory.
#[test]
fn a_repeated_accept_is_not_told_to_all_again() {
    let mut lab = lab(3, Config { learners: Learners::All, ..usual(3) });
    lab.propose(0, "x");
    one_delay(&mut lab);
    one_delay(&mut lab);
    let accept = lab.take(0, 1, "accept");
    lab.hand(0, 1, accept.clone());
    assert_eq!(lab.flying().iter().filter(|flying| flying.from == NodeId(1)).count(), 2, "to all");
    let once = lab.replica(1).clone();
    for _ in 0..3 {
        lab.hand(0, 1, accept.clone());
    }
    assert_eq!(lab.flying().iter().filter(|flying| flying.from == NodeId(1)).count(), 2 + 3);
    assert_eq!(*lab.replica(1), once);
}

/// P2b (§2.2): what a learner holds is the chosen value only if it was accepted under the ballot
/// that was chosen, or a higher one (planted bug P43). Acceptances of two ballots are two proposals
/// (planted bug P42).
#[test]
fn an_overheard_quorum_is_of_one_ballot_and_does_not_name_an_older_value() {
    let mut lab = lab(5, Config { learners: Learners::All, ..usual(5) });
    lab.without_oracles(); // Nobody sent what is handed over here.
    let slot = LogIndex(1);
    let ballot = |round| Ballot::new(round, Some(NodeId(0)), Incarnation(1));
    let accept = |round, text: &str| Message::Accept {
        slot,
        ballot: ballot(round),
        batch: batch(text),
        repeat: false,
    };
    let accepted = |round, text: &str| {
        let fingerprint = batch(text).fingerprint().0;
        Message::Accepted { slot, ballot: ballot(round), fingerprint }
    };
    lab.hand(0, 4, accept(1, "old"));
    lab.hand(1, 4, accepted(2, "new"));
    lab.hand(2, 4, accepted(3, "new"));
    lab.hand(3, 4, accepted(4, "new"));
    assert!(lab.committed(4).is_empty(), "three acceptors, three ballots");
    lab.hand(1, 4, accepted(4, "new"));
    lab.hand(2, 4, accepted(4, "new"));
    assert!(lab.committed(4).is_empty(), "chosen, but what it holds is older");
    lab.hand(0, 4, accept(4, "new"));
    assert_eq!(lab.committed(4), [batch("new")]);
}

/// Paxos Made Simple needs a quorum, not everybody: a thrifty proposer asks just one, and asks the
/// others as soon as that is silent (planted bug P48).
#[test]
fn a_thrifty_proposer_asks_a_quorum_and_then_those_that_answer() {
    let mut lab = lab(5, Config { sending: Sending::Thrifty, ..usual(5) });
    lab.propose(0, "x");
    let asked: BTreeSet<_> = lab.flying().iter().map(|flying| flying.to.index()).collect();
    assert_eq!(asked, BTreeSet::from([1, 2]), "the two after it, and itself");
    lab.crash(2, 0);
    lab.carry_all();
    assert!(lab.committed(0).is_empty());
    lab.fire(0, Timer::Retry);
    assert_eq!(lab.count("prepare-again"), 3, "all who did not answer");
    lab.carry_all();
    assert_eq!(lab.committed(0), [batch("x")]);
    lab.propose(0, "y");
    let asked: BTreeSet<_> = lab.flying().iter().map(|flying| flying.to.index()).collect();
    assert_eq!(asked, BTreeSet::from([1, 3]), "who was silent is not asked again");
    lab.carry_all();
    assert_eq!(lab.committed(0), [batch("x"), batch("y")], "no timer was needed");
}

/// §2.2: "it can ignore it": without a nack a proposer finds out by waiting, and comes back with a
/// higher number (planted bug P45).
#[test]
fn a_proposer_that_is_ignored_begins_anew_with_a_higher_number() {
    let mut lab = lab(3, Config { refusals: Refusals::Silent, ..usual(3) });
    lab.propose(2, "y");
    lab.carry(2, 1, "prepare");
    lab.crash(2, 0);
    lab.lose_all();
    lab.propose(0, "x");
    let first = ballot_of(&lab.carry(0, 1, "prepare"));
    assert!(
        lab.flying().iter().all(|flying| flying.from != NodeId(1)),
        "n1 promised n2 a higher number"
    );
    lab.lose_all();
    lab.fire(0, Timer::Retry);
    let second = ballot_of(&lab.carry(0, 1, "prepare"));
    assert!(second > first);
    lab.carry_all();
    assert_eq!(lab.committed(0), [batch("x")]);
}

/// "Flexible Paxos" §3: with quorums of four and two among five, two acceptances choose a value,
/// and a proposer that hears of fewer than four has not heard enough (planted bug P41).
#[test]
fn two_acceptances_choose_where_every_proposer_asks_four() {
    let config = usual(5).with_quorums(4, 2).expect("any four meet any two");
    let mut lab = lab(5, config);
    lab.propose(0, "x");
    for acceptor in [1, 2] {
        lab.carry(0, acceptor, "prepare");
        lab.carry(acceptor, 0, "promise");
    }
    assert_eq!(lab.count("accept"), 0, "three promises, its own among them");
    lab.carry(0, 3, "prepare");
    lab.carry(3, 0, "promise");
    lab.carry(0, 1, "accept");
    lab.carry(1, 0, "accepted");
    assert_eq!(lab.committed(0), [batch("x")], "two acceptances of five");
    lab.crash(0, 0);
    lab.lose_all();
    lab.propose(4, "z");
    for acceptor in [2, 3] {
        lab.carry(4, acceptor, "prepare");
    }
    lab.carry_all();
    assert_eq!(lab.committed(4), [batch("x"), batch("z")], "it could not miss the value");
}

/// Who accepts only what it promised is asked for a promise first, also where one promise of three
/// is enough and all have to accept (planted bug P49).
#[test]
fn who_has_to_accept_has_promised_where_only_that_is_accepted() {
    let config = usual(3).with_quorums(1, 3).expect("any one meets all");
    let (sending, accepting) = (Sending::Thrifty, Accepting::OnlyPromised);
    let mut lab = lab(3, Config { sending, accepting, ..config });
    lab.propose(0, "x");
    assert_eq!(lab.count("prepare"), 2, "the own promise would be enough, but all have to accept");
    lab.carry(0, 1, "prepare");
    lab.carry(1, 0, "promise");
    assert_eq!(lab.count("accept"), 0, "it might overtake the other prepare, and be refused");
    lab.carry_all();
    assert_eq!(lab.committed(0), [batch("x")]);
}

/// Quorums that might not meet are refused, by name and by number, in words; and a replica with
/// settings for another cluster does not start.
#[test]
fn quorums_that_might_not_meet_are_refused() {
    let refused = usual(4).with_quorums(2, 2).unwrap_err().to_string();
    assert!(refused.contains("must be larger than 4"), "{refused}");
    for (name, words) in [
        ("quorums=2/2", "larger than 4"),
        ("quorums=0/4", "not possible"),
        ("quorums=5/1", "not possible"),
        ("quorums=most", "PHASE1/PHASE2"),
        ("quorums=", "PHASE1/PHASE2"),
    ] {
        let refused = usual(4).with_variant(name, &cluster(4)).unwrap_err().to_string();
        assert!(refused.contains(words), "{name}: {refused}");
    }
    let sizes = |nodes| {
        let config = usual(nodes).with_variant("quorums=small-phase-2", &cluster(nodes));
        let quorums = config.expect("in clusters of every size").quorums;
        (quorums.phase_1(), quorums.phase_2())
    };
    assert_eq!([2, 3, 4, 5, 7].map(sizes), [(2, 1), (3, 1), (3, 2), (4, 2), (5, 3)]);
}

/// All options together are still Paxos: one value a slot, all learn it.
#[test]
fn options_go_together() {
    for learners in [Learners::Piggybacked, Learners::Distinguished, Learners::All] {
        let (sending, refusals) = (Sending::Thrifty, Refusals::Silent);
        let config = Config { learners, sending, refusals, ..usual(5) };
        let mut lab = lab(5, config.with_quorums(4, 2).expect("they meet"));
        for (proposer, text) in [(0, "a"), (3, "b"), (4, "c")] {
            lab.propose(proposer, text);
            lab.carry_all();
            for timer in [Timer::Retry, Timer::Spread] {
                if lab.timer(proposer, timer).is_some() {
                    lab.fire(proposer, timer);
                    lab.carry_all();
                }
            }
        }
        lab.fire(4, Timer::Spread);
        lab.carry_all();
        let log: Vec<Batch> = ["a", "b", "c"].map(batch).into();
        assert!(lab.ids().all(|id| lab.committed(id) == log), "{learners:?}");
    }
}
