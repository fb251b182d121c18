//! Links that are broken for ever (faults list, 2.9): while one replica reaches a quorum in both
//! directions, commands go on; and who cannot hear the leader deposes nobody.

use consensus_core::{Cluster, ClusterId, NodeId, Patience, Role};
use core::time::Duration;
use synod_multipaxos::MultiPaxos;
use synod_sim::{Operation, Registers, Setup, World};

type Broken = World<MultiPaxos, Registers>;

/// A cluster with a leader, and all links working.
fn led_by(leader: u8, nodes: usize, seed: u64) -> Broken {
    let setup = Setup::new(Cluster::new(ClusterId(1), nodes), seed);
    let mut world = World::new(setup, Registers::default);
    world.campaign(NodeId(leader));
    assert!(world.run_until(Duration::from_secs(1), |world| leads(world, leader)));
    world
}

fn leads(world: &Broken, node: u8) -> bool {
    world.status(NodeId(node)).is_some_and(|status| status.role == Role::Leader)
}

/// Only these pairs reach each other from now on, each in both directions.
fn keep_only(world: &mut Broken, pairs: &[(u8, u8)]) {
    let nodes = world.cluster().nodes();
    for from in nodes.iter() {
        for to in nodes.iter() {
            let kept = pairs.contains(&(from.0, to.0)) || pairs.contains(&(to.0, from.0));
            if from != to && !kept {
                world.cut(from, to);
            }
        }
    }
}

/// Ten commands of a client that can reach everybody are answered within six election timeouts.
fn progresses(mut world: Broken) -> Broken {
    let before = world.completions().len();
    world.add_client(NodeId(0), Patience::default(), |nth| {
        (nth < 10).then_some((Operation::Append(1, nth).encode(), None))
    });
    let limit = world.now() + world.cluster().timing.election_max * 6;
    let done = world.run_until(limit, |world| world.completions().len() == before + 10);
    assert_eq!(world.violation(), None);
    assert!(done, "no progress within six election timeouts");
    world
}

/// The highest ballot's round that anybody knows.
fn round(world: &Broken) -> u64 {
    let status = |node| world.status(node).map_or(0, |status| status.epoch);
    world.cluster().nodes().iter().map(status).max().unwrap_or(0)
}

/// The leader stays, whoever cannot hear it, and no ballot is raised.
fn undisturbed(mut world: Broken, leader: u8) {
    let before = round(&world);
    world.run_for(Duration::from_secs(20));
    assert!(leads(&world, leader));
    assert_eq!(round(&world), before);
    progresses(world);
}

/// A deaf replica can send and not hear: it would campaign for ever.
#[test]
fn a_deaf_replica_deposes_nobody() {
    let mut world = led_by(0, 3, 1);
    world.cut(NodeId(0), NodeId(2));
    world.cut(NodeId(1), NodeId(2));
    undisturbed(world, 0);
}

/// The outage at Cloudflare: three replicas, one link of the leader is cut for ever.
#[test]
fn a_replica_that_lost_only_the_leader_deposes_nobody() {
    let mut world = led_by(2, 3, 2);
    keep_only(&mut world, &[(0, 1), (1, 2)]);
    undisturbed(world, 2);
}

/// The chained case: leadership must not go back and forth between the ends.
#[test]
fn the_ends_of_a_chain_do_not_take_turns() {
    let mut world = led_by(0, 3, 3);
    keep_only(&mut world, &[(0, 1), (1, 2)]);
    undisturbed(world, 0);
}

/// Howard and Abraham: three see each other, two more hang on one of the followers each.
#[test]
fn outsiders_depose_nobody() {
    let mut world = led_by(2, 5, 4);
    keep_only(&mut world, &[(0, 1), (0, 2), (1, 2), (3, 1), (4, 2)]);
    undisturbed(world, 2);
}

/// Quorum loss: everybody reaches the centre only, and the leader is not the centre. It has no
/// quorum any more, and the centre still hears it.
#[test]
fn a_leader_without_a_quorum_makes_room() {
    for seed in 0..20 {
        let mut world = led_by(1, 5, seed);
        keep_only(&mut world, &[(0, 1), (0, 2), (0, 3), (0, 4)]);
        let world = progresses(world);
        assert!(leads(&world, 0));
    }
}

/// Constrained: everybody reaches the centre only, and the centre has missed what was chosen. It
/// leads all the same, as promises carry the values.
#[test]
fn a_centre_that_is_behind_leads() {
    for seed in 0..20 {
        let mut world = led_by(1, 5, seed);
        world.isolate(NodeId(0));
        world.add_client(NodeId(1), Patience::default(), |nth| {
            (nth < 5).then_some((Operation::Append(2, nth).encode(), None))
        });
        let limit = Duration::from_secs(10);
        assert!(world.run_until(limit, |world| world.completions().len() == 5));
        world.heal_all();
        keep_only(&mut world, &[(0, 2), (0, 3), (0, 4)]);
        let world = progresses(world);
        assert!(leads(&world, 0));
    }
}

/// The last replica that hears the old leader must not hold back the others: the two of them, and
/// two that hear only each other and the bridge.
#[test]
fn a_bridge_to_the_old_leader_does_not_hold_back_the_others() {
    for seed in 0..20 {
        let mut world = led_by(3, 5, seed);
        keep_only(&mut world, &[(0, 1), (0, 2), (1, 2), (3, 2)]);
        let world = progresses(world);
        assert!(!leads(&world, 3));
    }
}
