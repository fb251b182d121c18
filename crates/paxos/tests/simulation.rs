//! Paxos in the simulator: what it costs in a quiet world, and random worlds with every oracle on.

use consensus_core::{Cluster, ClusterId, MessageKind, NodeId, Patience, ProtocolConfig, Traffic};
use core::time::Duration;
use synod_paxos::{Config, Message, Paxos, Sending};
use synod_sim::{Operation, Options, Registers, Setup, World, check};

type Quiet = World<Paxos, Registers>;

/// A world in which every link takes a millisecond, nothing is lost and disks are instant, with
/// clients at node 0 that ask again as soon as they have an answer.
fn quiet(nodes: usize, clients: u8, commands: u64) -> Quiet {
    let setup = Setup::new(Cluster::new(ClusterId(1), nodes), 1);
    let mut world = World::new(setup, Registers::default);
    world.add_appenders(NodeId(0), clients, commands);
    world
}

/// Theory 2.2, Basic Paxos with the proposer among the n: 4(n-1) messages a batch, n-1 of each
/// kind, and two syncs at every node; nothing is repeated, refused or asked for. It does not
/// matter how many commands are in the batch.
#[test]
fn a_quiet_world_costs_what_theory_says() {
    for nodes in [3, 4, 5, 7, 10, 13] {
        for clients in [1, 16] {
            let mut world = quiet(nodes, clients, 20);
            let done = |world: &Quiet| world.completions().len() == 20 * usize::from(clients);
            assert!(world.run_until(Duration::from_secs(10), done));
            world.settle(Duration::from_secs(10));
            assert_eq!(world.violation(), None);
            let batches = world.last_committed().0;
            assert_eq!(batches, 21, "20 commands, and the opening of the sessions");
            let sum = world.total();
            let each = batches * (nodes as u64 - 1);
            for kind in [Message::PREPARE, Message::PROMISE, Message::ACCEPT, Message::ACCEPTED] {
                assert_eq!(sum.sent_of(kind).messages, each, "{} at n = {nodes}", kind.name);
            }
            assert_eq!(sum.sent_for(Traffic::Command).messages, 4 * each);
            assert_eq!(sum.sent_for(Traffic::Repair).messages, 0);
            assert_eq!(sum.sent_for(Traffic::Election).messages, 0);
            for node in world.cluster().nodes().iter() {
                assert_eq!(world.counters(node).syncs, 2 * batches, "{node} of {nodes}");
            }
        }
    }
}

/// Theory 2.2: six delays from the client's question to its answer, its own two included.
#[test]
fn a_client_waits_six_delays() {
    let mut world = quiet(5, 1, 10);
    assert!(world.run_until(Duration::from_secs(10), |world| world.completions().len() == 10));
    // The first also opened the session.
    for completion in &world.completions()[1..] {
        assert_eq!(completion.ended - completion.begun, Duration::from_millis(6));
    }
}

/// A majority is enough, so one slow acceptor of three delays nobody; unless the proposer is
/// thrifty and asks just that one.
#[test]
fn a_slow_third_acceptor_delays_nobody() {
    let waited = |slow: usize, sending| {
        let cluster = Cluster::new(ClusterId(1), 3);
        let usual = Config::for_cluster(&cluster).expect("a cluster");
        let mut setup = Setup::new(cluster, 1);
        setup.config = Some(Config { sending, ..usual });
        let (near, far) = (Duration::from_millis(1), Duration::from_millis(50));
        let link = |from, to| if from == slow || to == slow { far } else { near };
        let row = |from| (0..3).map(|to| link(from, to)).collect();
        setup.network.matrix = Some((0..3).map(row).collect());
        let mut world: Quiet = World::new(setup, Registers::default);
        world.add_client(NodeId(0), Patience::default(), move |nth| {
            (nth < 5).then_some((Operation::Append(0, nth).encode(), None))
        });
        let done = |world: &Quiet| world.completions().len() == 5;
        assert!(world.run_until(Duration::from_secs(10), done));
        let last = world.completions().last().expect("five");
        last.ended - last.begun
    };
    assert_eq!(waited(2, Sending::Full), Duration::from_millis(6));
    assert_eq!(waited(1, Sending::Full), Duration::from_millis(6));
    assert_eq!(waited(2, Sending::Thrifty), Duration::from_millis(6), "it asks n1");
    assert_eq!(waited(1, Sending::Thrifty), Duration::from_millis(202), "four slow delays");
}

/// §2.3: the last choice is not carried by a prepare, so it is spread, and the spreading ends in
/// silence about everything but the heartbeat.
#[test]
fn everybody_learns_the_last_choice_soon() {
    let mut world = quiet(5, 1, 3);
    assert!(world.run_until(Duration::from_secs(10), |world| world.completions().len() == 3));
    let committed = world.last_committed();
    let all_know = move |world: &Quiet| {
        let mut nodes = world.cluster().nodes().iter();
        nodes.all(|node| world.status(node).is_some_and(|status| status.committed == committed))
    };
    let soon = world.now() + world.cluster().timing.heartbeat * 2;
    assert!(world.run_until(soon, all_know));
    let before = world.total();
    world.run_for(Duration::from_secs(5));
    let idle = world.total().since(&before);
    let spoken: Vec<MessageKind> =
        idle.sent().filter(|(_, sent)| sent.messages > 0).map(|(kind, _)| kind).collect();
    assert_eq!(spoken, [Message::CHOSEN]);
    assert_eq!(idle.syncs, 0, "an idle cluster leaves its disks alone");
}

/// §2.4: clients at every replica make proposers of all of them. They get in each other's way, and
/// every command is chosen all the same.
#[test]
fn proposers_that_compete_all_get_through() {
    for seed in 0..10 {
        let setup = Setup::new(Cluster::new(ClusterId(1), 5), seed);
        let mut world: Quiet = World::new(setup, Registers::default);
        for client in 0..10u8 {
            world.add_client(NodeId(client % 5), Patience::default(), move |nth| {
                (nth < 20).then_some((Operation::Append(client, nth).encode(), None))
            });
        }
        let done = |world: &Quiet| world.completions().len() == 200;
        assert!(world.run_until(Duration::from_secs(60), done), "seed {seed}");
        assert_eq!(world.violation(), None);
        assert!(world.total().sent_of(Message::NACK).messages > 0, "nobody competed");
    }
}

/// Random worlds: crashes, lost writes, lost, repeated and late messages, partitions; every oracle
/// looks on, then a random majority is healed and must make progress (faults list, O1 to O18).
#[test]
fn a_hundred_random_worlds_break_nothing() {
    for seed in 0..100 {
        let report = check::<Paxos>(seed, &Options::for_seed::<Paxos>(seed));
        assert_eq!(report.violation, None, "seed {seed}");
        assert!(report.operations > 0, "seed {seed}: nothing happened");
    }
}

/// The contract: equal inputs give equal effects, so a seed is a run.
#[test]
fn a_seed_is_a_run() {
    for seed in 0..5 {
        let run = || check::<Paxos>(seed, &Options::for_seed::<Paxos>(seed)).hash;
        assert_eq!(run(), run(), "seed {seed}");
    }
}
