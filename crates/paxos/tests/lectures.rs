//! What lectures say of Paxos, and where the paper says otherwise: exercises and duels with their
//! exact ends.

use crate::lab::{Lab, ballot_of, batch};
use consensus_core::{Cluster, ClusterId, Delay, ProtocolConfig};
use core::time::Duration;
use synod_paxos::{Config, Message, Timer};

/// FLP (Fischer, Lynch, Paterson 1985) and reading note E-27: whoever orders the messages can keep
/// two proposers undecided for ever; and however long it goes on, nothing wrong is decided. When
/// the adversary rests, one of them gets through (§2.4).
#[test]
fn an_adversary_keeps_two_proposers_undecided_and_nothing_worse() {
    let cluster = Cluster::new(ClusterId(1), 3);
    let usual = Config::for_cluster(&cluster).expect("a cluster");
    let at_once = Config { back_off: Delay::fixed(Duration::ZERO), ..usual };
    let mut lab = Lab::with(cluster, at_once);
    let (mut ahead, mut behind) = (0, 2);
    lab.propose(ahead, "x");
    lab.carry(ahead, 1, "prepare");
    lab.carry(1, ahead, "promise");
    lab.propose(behind, "y");
    for round in 0..1_000 {
        // Node 1 promises the one behind before the other's accept arrives.
        let outbids = ballot_of(&lab.carry(behind, 1, "prepare"));
        lab.carry(1, behind, "promise");
        let refused = lab.carry(ahead, 1, "accept");
        assert!(ballot_of(&refused) < outbids);
        lab.carry(1, ahead, "nack");
        let kept =
            |flying: &crate::lab::Flying| (flying.from.index(), flying.to.index()) == (behind, 1);
        lab.flying().iter().filter(|flying| !kept(flying)).for_each(|flying| lab.lose(flying));
        assert!(lab.ids().all(|id| lab.committed(id).is_empty()), "round {round}");
        lab.fire(ahead, Timer::Retry);
        (ahead, behind) = (behind, ahead);
    }
    for _ in 0..4 {
        for node in [ahead, behind] {
            lab.carry_all();
            for timer in [Timer::Retry, Timer::Spread] {
                if lab.timer(node, timer).is_some() {
                    lab.fire(node, timer);
                }
            }
        }
    }
    lab.carry_all();
    let log = lab.committed(1);
    assert_eq!(log.len(), 2, "the adversary rests, and both are served");
    assert!(lab.ids().all(|id| lab.committed(id) == log));
}

/// An exercise: five acceptors, A was proposed under ballot 1, and B's proposer comes with ballot
/// 2. In how many of the ten quorums that it may hear must it propose A? In none, six, nine and all
/// if A was accepted by no, one, two, or three and more acceptors; then A is chosen (P2c, §2.2).
#[test]
fn the_more_have_accepted_the_fewer_quorums_can_miss_it() {
    let forced = |accepted: usize| {
        quorums_of_three().iter().filter(|quorum| value_heard(accepted, **quorum) == "A").count()
    };
    assert_eq!([0, 1, 2, 3, 4, 5].map(forced), [0, 6, 9, 10, 10, 10]);
}

/// The ten sets of three of five.
fn quorums_of_three() -> Vec<[usize; 3]> {
    let mut sets = Vec::new();
    for a in 0..5 {
        for b in a + 1..5 {
            sets.extend((b + 1..5).map(|c| [a, b, c]));
        }
    }
    sets
}

/// The value that B's proposer brings after this quorum's promises, if the first so many acceptors
/// hold A. The proposer stands on an acceptor of the quorum.
fn value_heard(accepted: usize, quorum: [usize; 3]) -> &'static str {
    let mut lab = Lab::new(5);
    if accepted > 0 {
        // A's proposer is the first of them, n0.
        lab.propose(0, "A");
        for acceptor in 1..5 {
            lab.carry(0, acceptor, "prepare");
            lab.carry(acceptor, 0, "promise");
        }
        for acceptor in 1..accepted {
            lab.carry(0, acceptor, "accept");
        }
        lab.lose_all();
    }
    let [proposer, first, second] = quorum;
    if proposer == 0 {
        // Its own proposal is under way; it crashes, and comes back with what it accepted.
        lab.crash(proposer, 0);
        lab.restart(proposer);
    }
    lab.propose(proposer, "B");
    for acceptor in [first, second] {
        lab.carry(proposer, acceptor, "prepare");
        lab.carry(acceptor, proposer, "promise");
    }
    let Message::Accept { batch: proposed, .. } = lab.take(proposer, first, "accept") else {
        panic!("it has a quorum of promises")
    };
    if proposed == batch("A") { "A" } else { "B" }
}
