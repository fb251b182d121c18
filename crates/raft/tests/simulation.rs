//! Raft in the simulator: what it costs in a quiet world, and random worlds with every oracle on.

use consensus_core::{Cluster, ClusterId, Counters, MessageKind, NodeId, Role, Traffic};
use core::time::Duration;
use synod_raft::Raft;
use synod_sim::{Fate, Options, Registers, Setup, World, check};

type Quiet = World<Raft, Registers>;

const LEADER: NodeId = NodeId(0);
const SOON: Duration = Duration::from_secs(10);

/// A world in which every link takes a millisecond, nothing is lost and disks are instant, with
/// node 0 as leader and clients at it that ask again as soon as they have an answer.
fn quiet(nodes: usize, clients: u8, commands: u64) -> Quiet {
    let mut world =
        World::new(Setup::new(Cluster::new(ClusterId(1), nodes), 1), Registers::default);
    world.campaign(LEADER);
    let elected = |world: &Quiet| world.leader() == Some(LEADER) && world.last_committed().0 == 1;
    assert!(world.run_until(SOON, elected), "node 0 leads and its no-op is committed");
    world.add_appenders(LEADER, clients, commands);
    world
}

fn sent(counters: &Counters, name: &str) -> u64 {
    let of = |(kind, sent): (MessageKind, consensus_core::Sent)| {
        if kind.name == name { sent.messages } else { 0 }
    };
    counters.sent().map(of).sum()
}

/// Theory 2.2: 2(n-1) messages a batch, one sync at every node, whatever the batch holds; nothing
/// is repeated, and nobody is elected.
#[test]
fn a_quiet_world_costs_what_theory_says() {
    for nodes in [1, 3, 4, 5, 7, 10, 13] {
        for clients in [1, 16] {
            let mut world = quiet(nodes, clients, 20);
            let before = world.total();
            let syncs: Vec<u64> =
                world.cluster().nodes().iter().map(|node| world.counters(node).syncs).collect();
            let done = |world: &Quiet| world.completions().len() == 20 * usize::from(clients);
            assert!(world.run_until(SOON, done));
            world.settle(SOON);
            assert_eq!(world.violation(), None);
            let batches = world.last_committed().0 - 1;
            assert_eq!(batches, 21, "20 commands, and the opening of the sessions");
            let cost = world.total().since(&before);
            let each = batches * (nodes as u64 - 1);
            assert_eq!(sent(&cost, "append-entries"), each, "n = {nodes}");
            assert_eq!(sent(&cost, "append-reply"), each, "n = {nodes}");
            assert_eq!(cost.sent_for(Traffic::Command).messages, 2 * each);
            assert_eq!(cost.sent_for(Traffic::Repair).messages, 0);
            assert_eq!(cost.sent_for(Traffic::Election).messages, 0);
            for (node, before) in world.cluster().nodes().iter().zip(syncs) {
                assert_eq!(world.counters(node).syncs - before, batches, "{node} of {nodes}");
            }
        }
    }
}

/// Theory 2.2: four delays from the client's question to its answer, its own two included.
#[test]
fn a_client_waits_four_delays() {
    let mut world = quiet(5, 1, 10);
    assert!(world.run_until(SOON, |world| world.completions().len() == 10));
    // The first also opened the session.
    for completion in &world.completions()[1..] {
        assert_eq!(completion.ended - completion.begun, Duration::from_millis(4));
    }
}

/// Theory 2.7: an election by wish costs one request and one vote a peer, and the no-op.
#[test]
fn an_election_costs_what_theory_says() {
    let world = quiet(5, 0, 0);
    let cost = world.total();
    assert_eq!(sent(&cost, "request-vote"), 4);
    assert_eq!(sent(&cost, "vote"), 4);
    assert_eq!(sent(&cost, "append-entries"), 4);
    assert_eq!(sent(&cost, "pre-vote"), 0);
}

/// §5.2: an idle cluster speaks of nothing but the heartbeat, its disks rest, and the last commit
/// index reaches everybody with it.
#[test]
fn an_idle_cluster_only_beats() {
    let mut world = quiet(5, 1, 3);
    assert!(world.run_until(SOON, |world| world.completions().len() == 3));
    let all_know = |world: &Quiet| {
        let committed = world.last_committed();
        let mut nodes = world.cluster().nodes().iter();
        nodes.all(|node| world.status(node).is_some_and(|status| status.committed == committed))
    };
    let soon = world.now() + world.cluster().timing.heartbeat * 2;
    assert!(world.run_until(soon, all_know));
    let before = world.total();
    world.run_for(Duration::from_secs(5));
    let idle = world.total().since(&before);
    assert_eq!(idle.sent_for(Traffic::Heartbeat).messages, 2 * 4 * 100);
    for traffic in [Traffic::Command, Traffic::Repair, Traffic::Election] {
        assert_eq!(idle.sent_for(traffic).messages, 0, "{traffic:?}");
    }
    assert_eq!(idle.syncs, 0, "an idle cluster leaves its disks alone");
}

/// §5.3: "servers retry RPCs if they do not receive a response": a lost AppendEntries is noticed
/// at the next heartbeat and sent again, to the one that lacks it.
#[test]
fn a_lost_message_is_repaired_within_two_heartbeats() {
    let mut world = quiet(3, 1, 1);
    world.intercept(|_, to, message| {
        let append = matches!(message, synod_raft::Message::AppendEntries(_));
        if append && to == NodeId(2) { Fate::Drop } else { Fate::Pass }
    });
    assert!(world.run_until(SOON, |world| world.completions().len() == 1));
    world.pass_all();
    let caught_up = |world: &Quiet| {
        world.status(NodeId(2)).is_some_and(|status| status.committed == world.last_committed())
    };
    let soon = world.now() + world.cluster().timing.heartbeat * 3;
    assert!(world.run_until(soon, caught_up));
    let repairs = sent(&world.total(), "append-repair");
    assert!((1..=2).contains(&repairs), "{repairs} repairs for two lost messages");
}

/// Thesis §6.2: a leader that reaches no majority steps down; the others elect another; and it
/// follows that one when it comes back, without an election of its own (thesis §9.6).
#[test]
fn an_isolated_leader_steps_down_and_comes_back_quietly() {
    let mut world = quiet(5, 0, 0);
    world.isolate(LEADER);
    let replaced = |world: &Quiet| {
        let down = world.status(LEADER).is_some_and(|status| status.role != Role::Leader);
        down && world.leader().is_some_and(|leader| leader != LEADER)
    };
    let limit = world.now() + world.cluster().timing.election_max * 4;
    assert!(world.run_until(limit, replaced));
    world.run_for(Duration::from_secs(10));
    let epoch = |world: &Quiet, node| world.status(node).map(|status| status.epoch);
    let leader = world.leader().expect("the majority has a leader");
    let term = epoch(&world, leader);
    assert!(epoch(&world, LEADER) < term, "an isolated server does not raise its term");
    world.heal_all();
    world.run_for(Duration::from_secs(5));
    assert_eq!(world.leader(), Some(leader), "the leader was not disturbed");
    assert_eq!((epoch(&world, leader), epoch(&world, LEADER)), (term, term));
    assert_eq!(world.violation(), None);
}

/// A stalled disk is a leadership failure: nobody else could see it, as heartbeats need no disk.
#[test]
fn a_leader_whose_disk_stands_still_steps_down() {
    let mut world = quiet(3, 1, 1000);
    world.stall_disk(LEADER, Duration::from_secs(60));
    let replaced = |world: &Quiet| world.leader().is_some_and(|leader| leader != LEADER);
    let limit = world.now() + world.cluster().timing.election_max * 5;
    assert!(world.run_until(limit, replaced));
}

/// Random worlds: crashes, lost writes, lost, repeated and late messages, partitions; every oracle
/// looks on, then a random majority is healed and must make progress (faults list, O1 to O18).
#[test]
fn a_hundred_random_worlds_break_nothing() {
    for seed in 0..100 {
        let report = check::<Raft>(seed, &Options::for_seed::<Raft>(seed));
        assert_eq!(report.violation, None, "seed {seed}");
        assert!(report.operations > 0, "seed {seed}: nothing happened");
    }
}

/// The contract: equal inputs give equal effects, so a seed is a run.
#[test]
fn a_seed_is_a_run() {
    for seed in 0..5 {
        let run = || check::<Raft>(seed, &Options::for_seed::<Raft>(seed)).hash;
        assert_eq!(run(), run(), "seed {seed}");
    }
}
