//! The world as a measuring device and as a stage for scenarios.

use crate::toy::{Message, Toy};
use bytes::Bytes;
use consensus_core::{Cluster, ClusterId, LogIndex, NodeId, Outcome, Patience, Traffic};
use core::time::Duration;
use synod_sim::{DiskModel, Fate, Latency, Operation, Registers, Setup, World};

const MS: Duration = Duration::from_millis(1);

fn setup(nodes: usize) -> Setup<Toy> {
    Setup::new(Cluster::new(ClusterId(1), nodes), 7)
}

fn append(nth: u64) -> Bytes {
    Operation::Append(1, nth).encode()
}

fn world(nodes: usize) -> World<Toy, Registers> {
    World::new(setup(nodes), Registers::default)
}

/// In the quiet world counts and delays are equalities. Here: 2(n − 1) messages a command, one
/// sync a node; and 4 delays, as the toy's leader sends from its disk but disks are instant.
#[test]
fn quiet_counts_are_exact() {
    for nodes in [1, 3, 5, 7] {
        let mut world = world(nodes);
        world.add_client(NodeId(0), Patience::default(), |nth| {
            (nth < 10).then(|| (append(nth), None))
        });
        assert!(world.run_until(MS * 500, |world| world.completions().len() == 2));
        let before: Vec<_> = (0..nodes).map(|n| world.counters(NodeId(n as u8)).clone()).collect();
        assert!(world.run_until(MS * 500, |world| world.completions().len() == 10));
        let (mut messages, mut syncs) = (0, Vec::new());
        for (node, before) in before.iter().enumerate() {
            let cost = world.counters(NodeId(node as u8)).since(before);
            messages += cost.sent_for(Traffic::Command).messages;
            syncs.push(cost.syncs);
        }
        assert_eq!(messages, 8 * 2 * (nodes as u64 - 1));
        assert_eq!(syncs, vec![8; nodes]);
        let delays = if nodes == 1 { 2 } else { 4 };
        for done in &world.completions()[2..] {
            assert_eq!(done.ended - done.begun, MS * delays);
        }
        assert_eq!(world.violation(), None);
    }
}

#[test]
fn commands_that_arrive_together_share_a_batch() {
    let mut world = world(3);
    for _ in 0..16 {
        world.add_client(NodeId(0), Patience::default(), |nth| {
            (nth < 3).then(|| (append(nth), None))
        });
    }
    assert!(world.run_until(MS * 500, |world| world.completions().len() == 48));
    assert_eq!(world.last_committed(), LogIndex(4), "sessions, and three commands of each");
    assert!(world.committed().all(|(_, batch)| batch.len() == 16));
}

/// Open load: latency counts from when a command was due, not from when it was sent.
#[test]
fn a_late_command_keeps_its_intended_time() {
    let mut world = world(3);
    world.add_client(NodeId(0), Patience::default(), |nth| {
        (nth < 3).then(|| (append(nth), Some(MS * 100)))
    });
    assert!(world.run_until(MS * 500, |world| world.completions().len() == 3));
    assert!(world.completions().iter().all(|done| done.intended == MS * 100));
    assert_eq!(world.completions()[2].begun, MS * (100 + 8 + 4), "behind two others");
}

/// A promise that is not durable stays; a crash takes it away, and no oracle complains.
#[test]
fn a_crash_takes_unsynced_writes_and_held_promises() {
    let mut setup = setup(3);
    setup.disk = DiskModel { sync: Latency::Fixed(MS * 20) };
    let mut world = World::new(setup, Registers::default);
    world.submit(NodeId(0), append(1));
    world.run_until(MS * 25, |_| false);
    let follower = NodeId(1);
    assert_eq!(world.status(follower).expect("it runs").last, LogIndex(1));
    world.crash(follower);
    assert_eq!(world.status(follower), None);
    assert_eq!(world.marks().get("held promise lost in a crash"), Some(&1));
    world.restart(follower);
    assert!(world.run_until(MS * 500, |world| {
        (0..3).all(|node| world.executor(NodeId(node)).applied() == LogIndex(1))
    }));
}

#[test]
fn a_paused_node_finds_everything_on_waking() {
    let mut world = world(3);
    world.pause(NodeId(2));
    world.submit(NodeId(0), append(1));
    assert!(
        !world.run_until(MS * 40, |world| world.executor(NodeId(2)).applied() > LogIndex::ZERO)
    );
    assert_eq!(world.last_committed(), LogIndex(1));
    world.resume(NodeId(2));
    assert!(world.run_until(MS * 200, |world| world.executor(NodeId(2)).applied() == LogIndex(1)));
}

#[test]
fn an_isolated_leader_commits_nothing_and_its_client_knows_nothing() {
    let mut world = world(3);
    world.isolate(NodeId(0));
    let patience = Patience { give_up: MS * 3_000, ..Patience::default() };
    world.add_client(NodeId(0), patience, |nth| (nth < 1).then(|| (append(nth), None)));
    assert!(world.run_until(MS * 20_000, |world| world.completions().len() == 1));
    assert_eq!(world.completions()[0].outcome, Outcome::Unknown);
    assert_eq!(world.last_committed(), LogIndex::ZERO);
    world.heal_all();
    assert!(world.run_until(MS * 30_000, |world| world.last_committed() >= LogIndex(1)));
}

#[test]
fn messages_can_be_dropped_and_held() {
    let mut world = world(3);
    world.intercept(|_, to, message| match message {
        Message::Append { .. } if to == NodeId(1) => Fate::Drop,
        Message::Append { .. } => Fate::Hold,
        _ => Fate::Pass,
    });
    world.submit(NodeId(0), append(1));
    assert!(!world.run_until(MS * 40, |world| world.last_committed() > LogIndex::ZERO));
    world.release_held();
    assert!(world.run_until(MS * 45, |world| world.last_committed() == LogIndex(1)));
    assert_eq!(world.status(NodeId(1)).expect("it runs").last, LogIndex::ZERO);
    world.pass_all();
    assert!(world.run_until(MS * 200, |world| world.executor(NodeId(1)).applied() == LogIndex(1)));
}
