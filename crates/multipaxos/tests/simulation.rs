//! Multi-Paxos in the simulator: what it costs in a quiet world, and random worlds with every
//! oracle on.

use consensus_core::{
    Cluster, ClusterId, Consistency, Counters, MessageKind, NodeId, ProtocolConfig, ReadMode, Role,
    Traffic,
};
use core::time::Duration;
use synod_multipaxos::{Config, MultiPaxos};
use synod_sim::{Options, Registers, Setup, World, check};

type Quiet = World<MultiPaxos, Registers>;

/// A world in which every link takes a millisecond, nothing is lost and disks are instant. Node 0
/// leads, and has clients that ask again as soon as they have an answer.
fn quiet(nodes: usize, clients: u8, commands: u64) -> Quiet {
    quiet_with(&[], nodes, clients, commands)
}

/// The same with named options.
fn quiet_with(options: &[&str], nodes: usize, clients: u8, commands: u64) -> Quiet {
    let cluster = Cluster::new(ClusterId(1), nodes);
    let names: Vec<String> = options.iter().map(|name| (*name).to_owned()).collect();
    let config = Config::for_cluster(&cluster).and_then(|it| it.with_variants(&names, &cluster));
    let config = Some(config.expect("these options can be"));
    let setup = Setup { config, ..Setup::new(cluster, 1) };
    let mut world = World::new(setup, Registers::default);
    world.campaign(NodeId(0));
    let leads =
        |world: &Quiet| world.status(NodeId(0)).is_some_and(|status| status.role == Role::Leader);
    assert!(world.run_until(Duration::from_secs(1), leads));
    world.add_appenders(NodeId(0), clients, commands);
    world
}

/// Theory 2.2, Multi-Paxos with a stable leader, commit piggybacked: 2(n-1) messages a batch, n-1
/// of each kind, and one sync at every node; nothing is repeated, refused or asked for. Phase 1 ran
/// once: n-1 prepares and as many promises for all slots, and a sync at every node.
#[test]
fn a_quiet_world_costs_what_theory_says() {
    for nodes in [1, 2, 3, 4, 5, 7, 10, 13] {
        for clients in [1, 16] {
            let mut world = quiet(nodes, clients, 20);
            let done = |world: &Quiet| world.completions().len() == 20 * usize::from(clients);
            assert!(world.run_until(Duration::from_secs(10), done));
            world.settle(Duration::from_secs(10));
            assert_eq!(world.violation(), None);
            let batches = world.last_committed().0;
            assert_eq!(batches, 21, "20 commands, and the opening of the sessions");
            let sum = world.total();
            let sent = |name: &str| {
                let of_it = |(kind, _): &(MessageKind, _)| kind.name == name;
                sum.sent().find(of_it).map_or(0, |(_, sent)| sent.messages)
            };
            let peers = nodes as u64 - 1;
            assert_eq!(sent("accept"), batches * peers);
            assert_eq!(sent("accepted"), batches * peers);
            assert_eq!(sum.sent_for(Traffic::Command).messages, 2 * batches * peers);
            assert_eq!(sum.sent_for(Traffic::Repair).messages, 0);
            assert_eq!((sent("prepare"), sent("promise")), (peers, peers));
            assert_eq!(sum.sent_for(Traffic::Election).messages, 2 * peers);
            for node in world.cluster().nodes().iter() {
                assert_eq!(world.counters(node).syncs, 1 + batches, "{node} of {nodes}");
            }
        }
    }
}

/// Messages of a kind that all nodes sent.
fn sent(sum: &Counters, name: &str) -> u64 {
    let of_it = |(kind, _): &(MessageKind, _)| kind.name == name;
    sum.sent().find(of_it).map_or(0, |(_, sent)| sent.messages)
}

/// Theory 2.2: thrifty sending costs 2(q - 1) messages a batch, explicit commit 3(n - 1). With
/// explicit commit followers know one delay after the leader.
#[test]
fn named_options_cost_what_theory_says() {
    for nodes in [3, 5, 7] {
        let (n, q) = (nodes as u64, nodes as u64 / 2 + 1);
        for (options, cost) in [
            (&["sending=thrifty"][..], 2 * (q - 1)),
            (&["commits=explicit"], 3 * (n - 1)),
            (&["sending=thrifty", "quorums=small-phase-2"], 2 * (q - 2)),
        ] {
            let mut world = quiet_with(options, nodes, 1, 20);
            let done = |world: &Quiet| world.completions().len() == 20;
            assert!(world.run_until(Duration::from_secs(10), done));
            world.run_for(Duration::from_millis(10));
            assert_eq!(world.violation(), None);
            let sum = world.total();
            let command = sum.sent_for(Traffic::Command).messages;
            assert_eq!(command, world.last_committed().0 * cost, "{options:?} of {nodes}");
            let told = if options[0] == "commits=explicit" { 21 * (n - 1) } else { 0 };
            assert_eq!(sent(&sum, "commit"), told);
        }
    }
}

/// Theory 2.5: a read by index costs one round of heartbeats, whoever waits for it, and two
/// messages more at a follower; a quorum read one round of its own, wherever it is asked.
#[test]
fn reads_cost_what_theory_says() {
    for nodes in [3, 5] {
        for (at, mode, kinds) in [
            (0, ReadMode::Index, [("heartbeat", nodes - 1), ("read", 0), ("quorum-read", 0)]),
            (1, ReadMode::Index, [("heartbeat", nodes - 1), ("read", 1), ("quorum-read", 0)]),
            (1, ReadMode::Quorum, [("heartbeat", 0), ("read", 0), ("quorum-read", nodes - 1)]),
        ] {
            let mut world = quiet(nodes, 1, 3);
            assert!(world.run_until(Duration::from_secs(10), |w| w.completions().len() == 3));
            // Right after a heartbeat, when everybody knows everything.
            let beat = world.cluster().timing.heartbeat;
            world.run_for(beat);
            let beats = sent(&world.total(), "heartbeat");
            world.run_until(world.now() + beat, |w| sent(&w.total(), "heartbeat") > beats);
            world.run_for(Duration::from_millis(4));
            let before = world.total();
            for _ in 0..3 {
                world.read(NodeId(at), Consistency::Linearizable(mode), vec![0].into());
            }
            assert!(world.run_until(world.now() + beat, |w| w.reads().len() == 3));
            assert_eq!(world.violation(), None);
            let since = world.total().since(&before);
            for (kind, once) in kinds {
                // Three come one after the other: the first has a round of its own, and the others
                // share the next. Quorum reads share one only if they come at once.
                let (sent, once) = (sent(&since, kind), once as u64);
                let most = if kind == "heartbeat" { 2 } else { 3 };
                assert!((once..=most * once).contains(&sent), "{kind}: {sent}, not {once}");
            }
            assert_eq!(since.syncs, 0, "reads leave the disks alone");
        }
    }
}

/// Theory 2.2: four delays from the client's question to its answer, its own two included.
#[test]
fn a_client_waits_four_delays() {
    let mut world = quiet(5, 1, 10);
    assert!(world.run_until(Duration::from_secs(10), |world| world.completions().len() == 10));
    // The first also opened the session.
    for completion in &world.completions()[1..] {
        assert_eq!(completion.ended - completion.begun, Duration::from_millis(4));
    }
}

/// The last choice has no accept to ride on; the next heartbeat carries it.
#[test]
fn everybody_learns_the_last_choice_with_the_next_heartbeat() {
    let mut world = quiet(5, 1, 3);
    assert!(world.run_until(Duration::from_secs(10), |world| world.completions().len() == 3));
    let committed = world.last_committed();
    let all_know = move |world: &Quiet| {
        let mut nodes = world.cluster().nodes().iter();
        nodes.all(|node| world.status(node).is_some_and(|status| status.committed == committed))
    };
    let soon = world.now() + world.cluster().timing.heartbeat + Duration::from_millis(2);
    assert!(world.run_until(soon, all_know));
    let before = world.total();
    world.run_for(Duration::from_secs(5));
    let idle = world.total().since(&before);
    for (kind, sent) in idle.sent() {
        assert!(
            sent.messages == 0 || kind.traffic == Traffic::Heartbeat,
            "{} when idle",
            kind.name
        );
    }
    assert_eq!(idle.syncs, 0, "an idle cluster leaves its disks alone");
}

/// Random worlds: crashes, lost writes, lost, repeated and late messages, partitions; every oracle
/// looks on, then a random majority is healed and must make progress (faults list, O1 to O18).
#[test]
fn a_hundred_random_worlds_break_nothing() {
    for seed in 0..100 {
        let report = check::<MultiPaxos>(seed, &Options::for_seed::<MultiPaxos>(seed));
        assert_eq!(report.violation, None, "seed {seed}");
        assert!(report.operations > 0, "seed {seed}: nothing happened");
    }
}

/// The contract: equal inputs give equal effects, so a seed is a run.
#[test]
fn a_seed_is_a_run() {
    for seed in 0..5 {
        let run = || check::<MultiPaxos>(seed, &Options::for_seed::<MultiPaxos>(seed)).hash;
        assert_eq!(run(), run(), "seed {seed}");
    }
}
