//! PBFT in the simulator: what it costs in a quiet world, and random worlds with every oracle on.

use consensus_core::{Cluster, ClusterId, Message as _, MessageKind, NodeId, Traffic};
use core::time::Duration;
use synod_pbft::{Message, Pbft};
use synod_sim::{Options, Registers, Setup, World, check};

type Quiet = World<Pbft, Registers>;

/// A world in which every link takes a millisecond, nothing is lost and disks are instant, with
/// clients at node 0 that ask again as soon as they have an answer.
fn quiet(nodes: usize, clients: u8, commands: u64) -> Quiet {
    let setup = Setup::new(Cluster::new(ClusterId(1), nodes), 1);
    let mut world = World::new(setup, Registers::default);
    world.add_appenders(NodeId(0), clients, commands);
    world
}

fn kind(name: &str) -> MessageKind {
    let known = Message::KINDS.iter().find(|kind| kind.name == name);
    *known.unwrap_or_else(|| panic!("no message is called {name}"))
}

/// Theory 2.2 and §4.2: a batch costs n-1 pre-prepares, (n-1)² prepares and n(n-1) commits, and
/// two syncs at every node. Theory 2.3: 2n signatures are made (pre-prepare, n-1 prepares, n
/// commits), each of 2n(n-1) messages is checked once, and every replica checks every client.
#[test]
fn a_quiet_world_costs_what_theory_says() {
    for nodes in [4, 5, 7, 10, 13] {
        for clients in [1, 16] {
            let mut world = quiet(nodes, clients, 20);
            let done = |world: &Quiet| world.completions().len() == 20 * usize::from(clients);
            assert!(world.run_until(Duration::from_secs(10), done));
            world.settle(Duration::from_secs(10));
            assert_eq!(world.violation(), None);
            let batches = world.last_committed().0;
            assert_eq!(batches, 21, "20 commands, and the opening of the sessions");
            let (sum, n) = (world.total(), nodes as u64);
            for (name, each) in
                [("pre-prepare", n - 1), ("prepare", (n - 1) * (n - 1)), ("commit", n * (n - 1))]
            {
                let sent = sum.sent_of(kind(name)).messages;
                assert_eq!(sent, batches * each, "{name} at n = {nodes}");
            }
            assert_eq!(sum.sent_for(Traffic::Command).messages, batches * 2 * n * (n - 1));
            assert_eq!(sum.sent_for(Traffic::Repair).messages, 0);
            assert_eq!(sum.sent_for(Traffic::Election).messages, 0);
            assert_eq!(sum.sent_for(Traffic::Checkpoint).messages, 0);
            assert_eq!(sum.tags_made, batches * 2 * n, "signatures made at n = {nodes}");
            assert_eq!(sum.tags_checked, batches * 2 * n * (n - 1), "checked at n = {nodes}");
            assert_eq!(sum.client_tags_checked, batches * n * u64::from(clients));
            for node in world.cluster().nodes().iter() {
                assert_eq!(world.counters(node).syncs, 2 * batches, "{node} of {nodes}");
            }
        }
    }
}

/// Theory 2.2: five delays from the client's question to its answer, its own two included.
#[test]
fn a_client_waits_five_delays() {
    let mut world = quiet(4, 1, 10);
    assert!(world.run_until(Duration::from_secs(10), |world| world.completions().len() == 10));
    // The first also opened the session.
    for completion in &world.completions()[1..] {
        assert_eq!(completion.ended - completion.begun, Duration::from_millis(5));
    }
}

/// §4.3: a checkpoint is n(n-1) messages and nothing else, once in so many numbers, and after it
/// work goes on.
#[test]
fn a_checkpoint_is_one_round_of_all_to_all() {
    let mut world = quiet(4, 1, 200);
    assert!(world.run_until(Duration::from_secs(10), |world| world.completions().len() == 200));
    world.settle(Duration::from_secs(10));
    assert_eq!(world.violation(), None);
    assert_eq!(world.total().sent_of(kind("checkpoint")).messages, 4 * 3);
    assert_eq!(world.total().sent_for(Traffic::Checkpoint).messages, 4 * 3);
}

/// §4.5: clients get their answers though the first primary is dead from the start; it costs one
/// view change, not one for each client.
#[test]
fn a_dead_primary_is_replaced_once() {
    let mut world = quiet(4, 3, 10);
    world.crash(NodeId(0));
    assert!(world.run_until(Duration::from_secs(30), |world| world.completions().len() == 30));
    assert_eq!(world.violation(), None);
    for node in [1, 2, 3] {
        assert_eq!(world.status(NodeId(node)).map(|status| status.epoch), Some(1));
    }
}

/// Random worlds: crashes, lost writes, lost, repeated and late messages, partitions, liars; every
/// oracle looks on, then a random quorum is healed and must make progress (O1 to O18).
#[test]
fn sixty_random_worlds_break_nothing() {
    for seed in 0..60 {
        let report = check::<Pbft>(seed, &Options::for_seed::<Pbft>(seed));
        assert_eq!(report.violation, None, "seed {seed}");
        assert!(report.operations > 0, "seed {seed}: nothing happened");
    }
}

/// §1 and §3: up to f replicas lie. The first primary says one thing to some and another to the
/// rest, from the first message to the last, and still all correct replicas agree and go on.
#[test]
fn a_primary_that_equivocates_divides_nobody() {
    for seed in 0..20 {
        let mut options = Options::for_seed::<Pbft>(seed);
        options.traitors = options.traitors.max(1);
        options.equivocator = Some(NodeId(0));
        let report = check::<Pbft>(seed, &options);
        assert_eq!(report.violation, None, "seed {seed}");
        assert!(report.operations > 0, "seed {seed}: nothing happened");
    }
}

/// The contract: equal inputs give equal effects, so a seed is a run.
#[test]
fn a_seed_is_a_run() {
    for seed in 0..4 {
        let run = || check::<Pbft>(seed, &Options::for_seed::<Pbft>(seed)).hash;
        assert_eq!(run(), run(), "seed {seed}");
    }
}
