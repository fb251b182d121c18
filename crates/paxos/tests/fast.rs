//! "Fast Paxos", section by section: the variant `fast=on`.

use crate::lab::{Lab, batch};
use consensus_core::{
    AuthMeter, Ballot, Batch, Cluster, ClusterId, ConsensusProtocol, Durable, Effects, Env,
    Incarnation, Input, LogIndex, NoKeys, NodeId, Patience, ProtocolConfig,
};
use core::time::Duration;
use synod_paxos::{Config, Fast, Learners, Message, Paxos, Record, Timer};
use synod_sim::{DiskModel, Latency, Operation, Registers, Setup, World};

fn cluster(size: usize) -> Cluster {
    Cluster::new(ClusterId(1), size)
}

fn fast(size: usize) -> Config {
    let usual = Config::for_cluster(&cluster(size)).expect("a cluster");
    usual.with_variant("fast=on", &cluster(size)).expect("in clusters of every size")
}

fn lab(size: usize) -> Lab {
    Lab::with(cluster(size), fast(size))
}

/// Everything that flies arrives; what that leads to flies then.
fn one_delay(lab: &mut Lab) {
    let flying = lab.flying();
    lab.lose_all();
    flying.iter().for_each(|flying| lab.deliver(flying));
}

/// This proposer's value reaches these acceptors.
fn reach(lab: &mut Lab, proposer: usize, acceptors: &[usize]) {
    for acceptor in acceptors {
        lab.carry(proposer, *acceptor, "propose");
    }
}

/// What this proposer says next, to anybody.
fn proposed(lab: &Lab, id: usize) -> Option<Batch> {
    let own = lab.flying().into_iter().filter(|flying| flying.from == NodeId(id as u8));
    own.filter_map(|flying| match &*flying.message {
        Message::Accept { batch, .. } => Some(batch.clone()),
        _ => None,
    })
    .next()
}

/// §3.1: a value is learned two delays after its proposer spoke, and n - 1 proposals and as many
/// votes are all that is said. With `learners=all` all learn it then.
#[test]
fn the_fast_path_takes_two_delays() {
    for learners in [Learners::Piggybacked, Learners::All] {
        let mut lab = Lab::with(cluster(5), Config { learners, ..fast(5) });
        lab.propose(3, "x");
        assert_eq!((lab.count("prepare"), lab.count("propose")), (0, 4));
        // Where all learn, the proposer's own vote flies with its proposal.
        let votes = if learners == Learners::All { [4, 4 * 4] } else { [0, 4] };
        assert_eq!(lab.count("accepted"), votes[0]);
        one_delay(&mut lab);
        assert_eq!((lab.count("accepted"), lab.flying().len()), (votes[1], votes[1]));
        assert!(lab.ids().all(|id| lab.committed(id).is_empty()));
        one_delay(&mut lab);
        let knows = |id: &usize| lab.committed(*id) == [batch("x")];
        let who: Vec<_> = lab.ids().filter(knows).collect();
        assert_eq!(who, if learners == Learners::All { vec![0, 1, 2, 3, 4] } else { vec![3] });
    }
}

/// §2.3 of the primer's paper: the next proposal carries what was chosen, and who voted for it
/// needs no message of its own.
#[test]
fn the_next_proposal_carries_the_news() {
    let mut lab = lab(5);
    lab.propose(0, "x");
    lab.carry_all();
    lab.propose(0, "y");
    one_delay(&mut lab);
    assert!(lab.ids().all(|id| lab.committed(id) == [batch("x")]));
    assert_eq!(lab.flying().len(), 4, "votes, and no questions");
}

/// §3.1: four of five votes choose in a fast round; three, a majority, do not (planted bugs P71,
/// P78).
#[test]
fn a_majority_of_votes_is_not_enough() {
    let mut lab = lab(5);
    lab.propose(0, "x");
    for acceptor in [1, 2] {
        reach(&mut lab, 0, &[acceptor]);
        lab.carry(acceptor, 0, "accepted");
    }
    assert!(lab.committed(0).is_empty(), "three of five");
    reach(&mut lab, 0, &[3]);
    lab.carry(3, 0, "accepted");
    assert_eq!(lab.committed(0), [batch("x")], "four of five");
}

/// §3.1, Fast Quorum Requirement, against a count of all subsets: sizes are taken exactly when
/// every two fast quorums have an acceptor in common with every phase-1 quorum.
#[test]
fn fast_quorums_are_taken_exactly_when_they_always_meet() {
    for nodes in 1..=6 {
        let sets =
            |size: usize| (0u32..1 << nodes).filter(move |set| set.count_ones() == size as u32);
        for classic in nodes / 2 + 1..=nodes {
            let meet = |fast: usize| {
                let pairs = || sets(fast).flat_map(|one| sets(fast).map(move |two| one & two));
                sets(classic).all(|quorum| pairs().all(|both| both & quorum != 0))
            };
            let usual = Config::for_cluster(&cluster(nodes)).expect("a cluster");
            let usual = usual.with_quorums(classic, classic).expect("they meet");
            for fast in 0..=nodes + 1 {
                let taken = usual.clone().with_fast_quorum(fast).is_ok();
                let possible = (1..=nodes).contains(&fast) && meet(fast);
                assert_eq!(taken, possible, "{fast} and {classic} of {nodes}");
            }
        }
    }
}

/// The refusal says which sizes, and why; a replica whose settings were bent by hand does not
/// start; other classic quorums bring other fast ones.
#[test]
fn a_fast_quorum_that_is_too_small_is_refused_in_words() {
    let named = |nodes: usize, names: &[&str]| {
        let names: Vec<_> = names.iter().map(|name| (*name).to_owned()).collect();
        let usual = Config::for_cluster(&cluster(nodes)).expect("a cluster");
        usual.with_variants(&names, &cluster(nodes))
    };
    for (nodes, name, words) in [
        (5, "fast=3/3", "2 * 3 + 3 must be larger than 10"),
        (3, "fast=2/2", "2 * 2 + 2 must be larger than 6"),
        (5, "fast=3/6", "not possible"),
        (5, "fast=2/5", "must be larger than 5"),
        (5, "fast=most", "CLASSIC/FAST"),
    ] {
        let refused = named(nodes, &[name]).unwrap_err().to_string();
        assert!(refused.contains(words), "{name}: {refused}");
    }
    for (nodes, name) in [(5, "fast=3/4"), (5, "fast=4/4"), (3, "fast=2/3"), (3, "fast=3/2")] {
        assert!(named(nodes, &[name]).is_ok(), "{name} of {nodes}");
    }
    let clash = named(5, &["fast=3/4", "quorums=2/4"]).unwrap_err().to_string();
    assert!(clash.contains("2 * 4 + 2"), "{clash}");
    assert!(named(5, &["fast=on", "quorums=1/5"]).is_ok(), "all five vote then");

    let bent = Config { fast: Fast::Quorum(3), ..fast(5) };
    let durable = Durable::of(Incarnation(1), Vec::new());
    let mut replica = Paxos::recover(NodeId(0), bent, durable).expect("an empty disk is fine");
    let (cluster, keys, meter) = (cluster(5), NoKeys, AuthMeter::default());
    let env = Env::new(Duration::ZERO, &cluster, &keys, &meter);
    let mut effects = Effects::after_recovery(0);
    replica.step(Input::Start, &env, &mut effects);
    assert!(effects.halted().is_some_and(|why| why.contains("2 * 3 + 3")));
}

/// §3.1, phase 2(b): an acceptor votes for one proposal of a fast round, and keeps to it (planted
/// bug P72); what it promised a classic round ends the fast one for it (planted bug P73).
#[test]
fn an_acceptor_votes_once_and_not_after_a_promise() {
    let mut lab = lab(5);
    lab.propose(3, "x");
    lab.propose(4, "y");
    reach(&mut lab, 3, &[1]);
    reach(&mut lab, 4, &[1]);
    assert!(
        matches!(lab.take(1, 4, "nack"), Message::Nack { promised, .. } if promised.round == 0)
    );
    let votes = |lab: &Lab| {
        let records = lab.disk(1).iter();
        records.filter(|record| matches!(record, Record::Accepted { .. })).count()
    };
    assert_eq!(votes(&lab), 1);

    // The third proposer's fast round fails, and it begins a classic one.
    lab.propose(2, "z");
    reach(&mut lab, 2, &[1]);
    lab.carry(1, 2, "nack");
    lab.fire(2, Timer::Retry);
    lab.carry(2, 0, "prepare");
    reach(&mut lab, 3, &[0]);
    let Message::Nack { promised, .. } = lab.take(0, 3, "nack") else { panic!() };
    assert!(promised.round > 0);
}

/// §3.1, O4: x was chosen by four of five votes. Whoever recovers hears of two of them, and of its
/// own vote for y, under a higher number; two were not heard and may be for x (planted bugs P70,
/// P74).
#[test]
fn the_value_that_may_have_been_chosen_is_proposed_again() {
    let mut lab = lab(5);
    lab.propose(0, "x");
    lab.propose(4, "y");
    reach(&mut lab, 0, &[1, 2, 3]);
    for acceptor in [1, 2, 3] {
        lab.carry(acceptor, 0, "accepted");
    }
    assert_eq!(lab.committed(0), [batch("x")]);
    lab.crash(0, 9);
    reach(&mut lab, 4, &[3]);
    lab.carry(3, 4, "nack");
    lab.lose_all();
    lab.fire(4, Timer::Retry);
    for acceptor in [2, 3] {
        lab.carry(4, acceptor, "prepare");
        lab.carry(acceptor, 4, "promise");
    }
    assert_eq!(proposed(&lab, 4), Some(batch("x")));
    lab.carry_all();
    assert_eq!(lab.committed(4)[0], batch("x"));
}

/// §3.1: where no value can have a fast quorum, any will do; the proposer takes its own, and who
/// has none takes the one with the most votes, not a no-op.
#[test]
fn where_nothing_can_have_been_chosen_any_value_will_do() {
    let mut lab = lab(5);
    lab.propose(0, "x");
    lab.propose(4, "y");
    reach(&mut lab, 0, &[1, 2]);
    reach(&mut lab, 4, &[1]);
    lab.carry(1, 4, "nack");
    lab.lose_all();
    lab.fire(4, Timer::Retry);
    for acceptor in [2, 3] {
        lab.carry(4, acceptor, "prepare");
        lab.carry(acceptor, 4, "promise");
    }
    assert_eq!(proposed(&lab, 4), Some(batch("y")), "x: one, and two that were not heard");

    let mut lab = self::lab(5);
    lab.propose(3, "x");
    reach(&mut lab, 3, &[1]);
    lab.lose_all();
    lab.fire(1, Timer::Doubt);
    lab.give(1, Input::Drained);
    for acceptor in [2, 4] {
        lab.carry(1, acceptor, "prepare");
        lab.carry(acceptor, 1, "promise");
    }
    assert_eq!(proposed(&lab, 1), Some(batch("x")));
}

/// §3.2, coordinated recovery: both proposals reach everybody, in different orders; nobody asks for
/// promises, and four delays after the proposers spoke the coordinator has learned a value. The
/// fifth tells the others, and the loser goes on in the next slot.
#[test]
fn a_collision_is_recovered_in_two_more_delays() {
    let mut lab = lab(5);
    lab.propose(3, "x");
    lab.propose(4, "y");
    reach(&mut lab, 4, &[1, 2]);
    for delay in 1..=5 {
        let known = lab.ids().filter(|id| !lab.committed(*id).is_empty()).count();
        assert_eq!(known, if delay < 5 { 0 } else { 1 }, "after {} delays", delay - 1);
        assert_eq!(lab.count("prepare"), 0);
        one_delay(&mut lab);
    }
    let chosen = lab.committed(0).to_vec();
    assert!(chosen == [batch("x")] || chosen == [batch("y")]);
    assert!(lab.ids().all(|id| lab.committed(id) == chosen));
    let loser = if chosen == [batch("x")] { 4 } else { 3 };
    lab.fire(loser, Timer::Retry);
    assert_eq!(lab.count("propose"), 4, "again a fast round");
    lab.carry_all();
    assert_eq!(lab.committed(loser).len(), 2);
}

/// §3.2: the coordinator proposes once under the number of a recovery, over all its lives. So its
/// proposal waits for its disk (planted bug P80), and after a restart it does not recover the slot
/// again, whatever other promises then come (planted bug P79).
#[test]
fn a_coordinator_recovers_a_slot_once() {
    let mut lab = lab(5);
    lab.propose(3, "x");
    lab.propose(4, "y");
    reach(&mut lab, 3, &[0, 1]);
    reach(&mut lab, 4, &[2]);
    reach(&mut lab, 3, &[2, 4]);
    lab.slow_disks();
    reach(&mut lab, 4, &[0, 1]);
    lab.sync(0);
    lab.sync(1);
    let promises = [1, 2].map(|acceptor| lab.carry(acceptor, 0, "promise"));
    let late = lab.take(4, 0, "promise");
    assert_eq!(lab.count("accept"), 0, "what it proposes is not on its disk");
    lab.sync(0);
    assert_eq!(proposed(&lab, 0), Some(batch("x")), "x and x and y");
    lab.crash(0, 0);
    lab.restart(0);
    lab.lose_all();
    for (acceptor, promise) in [1, 2].into_iter().zip(promises) {
        lab.hand(acceptor, 0, promise);
    }
    lab.hand(4, 0, late);
    lab.sync(0);
    assert_eq!(proposed(&lab, 0), None, "x and y and y");
}

/// §3.2: what an acceptor reports to the coordinator is a promise for the next round, on its disk
/// before it is said (planted bug P75).
#[test]
fn who_reports_a_collision_has_promised() {
    let mut lab = lab(5);
    lab.propose(3, "x");
    lab.propose(4, "y");
    reach(&mut lab, 3, &[1]);
    lab.slow_disks();
    reach(&mut lab, 4, &[1]);
    assert_eq!(lab.count("promise"), 0);
    lab.sync(1);
    assert_eq!(lab.count("promise"), 1);
    let next = Ballot::new(1, Some(NodeId(0)), Incarnation(0));
    let last = lab.disk(1).last();
    assert_eq!(last, Some(&Record::Promised { slot: LogIndex(1), ballot: next }));
}

/// §3.3, progress: one of three is down, so there is no fast quorum. The proposer goes on with a
/// classic round, and begins the next slot with one at once, until the third is heard again
/// (planted bug P77).
#[test]
fn without_a_fast_quorum_rounds_are_classic() {
    let mut lab = lab(3);
    lab.crash(2, 0);
    lab.propose(0, "x");
    lab.carry_all();
    assert!(lab.committed(0).is_empty(), "two of three votes");
    lab.fire(0, Timer::Retry);
    assert_eq!(lab.count("prepare"), 2);
    lab.carry_all();
    assert_eq!(lab.committed(0), [batch("x")]);
    lab.propose(0, "y");
    assert_eq!((lab.count("prepare"), lab.count("propose")), (2, 0));
    lab.carry_all();
    lab.restart(2);
    lab.fire(0, Timer::Spread);
    lab.carry_all(); // It asks for what it missed.
    lab.propose(0, "z");
    assert_eq!((lab.count("prepare"), lab.count("propose")), (0, 2));
    lab.carry_all();
    assert_eq!(lab.committed(0), ["x", "y", "z"].map(batch));
}

/// Numbers of the fast round are one round: what a learner's acceptor voted for is the chosen value
/// only if it was this very proposal, however high its number (planted bug P76).
#[test]
fn a_vote_with_a_higher_number_is_not_the_chosen_value() {
    let mut lab = lab(5);
    lab.propose(0, "x");
    lab.propose(4, "y");
    reach(&mut lab, 0, &[1, 2, 3]);
    for acceptor in [1, 2, 3] {
        lab.carry(acceptor, 0, "accepted");
    }
    lab.lose_all();
    lab.fire(0, Timer::Spread);
    lab.carry(0, 4, "chosen");
    assert!(lab.committed(4).is_empty(), "it voted for y");
    lab.carry(4, 0, "learn-request");
    lab.carry(0, 4, "learn");
    assert_eq!(lab.committed(4), [batch("x")]);
}

/// Nothing in the paper, but two replicas whose clients always have a next command: who chose the
/// last value is the first to know that the next slot is free, and must not take it for ever
/// (planted bug P81).
#[test]
fn rivals_take_turns() {
    let mut setup = Setup::<Paxos>::new(cluster(5), 1);
    setup.config = Some(fast(5));
    let (min, max) = (Duration::from_micros(900), Duration::from_micros(1100));
    setup.network.latency = Latency::Uniform { min, max };
    setup.disk = DiskModel { sync: Latency::Fixed(Duration::from_millis(1)) };
    let mut world: World<Paxos, Registers> = World::new(setup, Registers::default);
    for client in 0..2u8 {
        let patience = Patience { attempt: Duration::from_secs(600), ..Patience::default() };
        world.add_client(NodeId(client), patience, move |nth| {
            Some((Operation::Append(client, nth).encode(), None))
        });
    }
    let done = |world: &World<Paxos, Registers>| world.completions().len() == 300;
    assert!(world.run_until(Duration::from_secs(60), done));
    assert_eq!(world.violation(), None);
    let of_first =
        world.completions().iter().filter(|done| done.client == world.completions()[0].client);
    let of_first = of_first.count();
    assert!((75..=225).contains(&of_first), "{of_first} of 300");
}
