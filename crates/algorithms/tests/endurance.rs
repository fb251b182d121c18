//! Hundreds of thousands of commands while a follower is dead, then stuck: what a replica keeps
//! depends on its bounds and not on how much was decided.

use consensus_core::{Audit, Cluster, ClusterId, NodeId, ProtocolConfig};
use core::time::Duration;
use synod_multipaxos::MultiPaxos;
use synod_raft::Raft;
use synod_sim::{Latency, Registers, Setup, World};

/// Commands of a run.
const COMMANDS: u64 = 204_800;
const LEADER: NodeId = NodeId(0);
const OTHER: NodeId = NodeId(1);
const LAME: NodeId = NodeId(2);
/// Clients that wait for one command each; those of an instant make a batch.
const CLIENTS: u64 = 64;
/// Snapshots, in entries.
const EVERY: u64 = 40;
/// What the algorithms are told to keep behind one, and for who takes one.
const TRAILING: u64 = 10;
const HELD: u64 = 160;
const SESSIONS: usize = 100;
/// More than what clients may do at once between a snapshot's beginning and its end.
const SLACK: u64 = 60;
const HOUR: Duration = Duration::from_secs(3_600);

/// The most that one of the two good replicas kept at any time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Kept {
    /// Entries in its log.
    log: u64,
    /// The same at the end, for a leader of which one follower was long dead.
    at_rest: u64,
    /// Records on its disk.
    records: usize,
    /// Promises that wait for its disk.
    promises: usize,
    /// Bytes of its service with the sessions.
    service: usize,
    /// Signs in a print of the whole replica, digits left out: every list in it counts.
    print: usize,
}

impl Kept {
    fn most(self, other: Self) -> Self {
        Self {
            log: self.log.max(other.log),
            at_rest: self.at_rest.max(other.at_rest),
            records: self.records.max(other.records),
            promises: self.promises.max(other.promises),
            service: self.service.max(other.service),
            print: self.print.max(other.print),
        }
    }
}

/// A run under way.
struct Run<P: Audit> {
    world: World<P, Registers>,
    kept: Kept,
}

impl<P: Audit> Run<P> {
    fn begin(config: P::Config) -> Self {
        let mut setup = Setup::<P>::new(cluster(), 1);
        setup.config = Some(config);
        setup.max_batch = CLIENTS as usize;
        setup.sessions = SESSIONS;
        setup.disk.sync = Latency::Fixed(Duration::from_micros(300));
        setup.snapshot_every = Some(EVERY);
        // It takes the lame one some hundred messages to get a snapshot.
        setup.snapshot_chunk = 64;
        setup.compare_states_every = Some(4_096);
        let mut world = World::new(setup, Registers::default);
        world.campaign(LEADER);
        assert!(world.run_until(HOUR, |world| world.leader() == Some(LEADER)));
        Self { world, kept: Kept::default() }
    }

    /// So many commands of clients that nobody knew before.
    fn phase(&mut self, commands: u64) {
        self.world.add_appenders(LEADER, CLIENTS as u8, commands / CLIENTS);
        let (mut kept, mut next) = (Kept::default(), 0);
        let limit = self.world.now() + HOUR;
        let done = self.world.run_until(limit, |world| {
            kept.log = kept.log.max(log_of(world, LEADER)).max(log_of(world, OTHER));
            if world.events() >= next {
                next = world.events() + 997;
                kept = kept.most(look(world, LEADER)).most(look(world, OTHER));
            }
            world.clients_ended()
        });
        assert!(done, "{}: {:?}", P::INFO.name, self.world.violation());
        assert_eq!(self.world.leader(), Some(LEADER), "nobody disturbs a leader that is well");
        self.kept = self.kept.most(kept);
    }
}

fn log_of<P: Audit>(world: &World<P, Registers>, node: NodeId) -> u64 {
    world.status(node).map_or(0, |status| status.last.0 - status.purged.0)
}

fn look<P: Audit>(world: &World<P, Registers>, node: NodeId) -> Kept {
    let print = world.replica(node).map(|replica| format!("{replica:?}")).unwrap_or_default();
    Kept {
        log: log_of(world, node),
        at_rest: 0,
        records: world.records(node),
        promises: world.promises_held(node),
        service: world.executor(node).snapshot().len(),
        print: print.chars().filter(|sign| !sign.is_ascii_digit()).count(),
    }
}

/// Four parts of the commands: a follower is dead; it is back, but its disk finishes nothing, so
/// that a snapshot is on its way to it for ever; it is dead again, in the midst of that; it is
/// well.
fn endure<P: Audit>(config: P::Config, commands: u64) -> Kept {
    let mut run = Run::<P>::begin(config);
    run.world.crash(LAME);
    run.phase(commands / 4);
    run.world.restart(LAME);
    run.world.stall_disk(LAME, HOUR);
    run.phase(commands / 4);
    assert!(run.world.snapshot_index(LAME).0 == 0, "it waits for its disk");
    run.world.crash(LAME);
    run.phase(commands / 4);
    run.kept.at_rest = log_of(&run.world, LEADER);
    run.world.stall_disk(LAME, Duration::ZERO);
    run.world.restart(LAME);
    run.phase(commands / 4);
    let last = run.world.last_committed();
    let limit = run.world.now() + HOUR;
    let back = run.world.run_until(limit, |world| world.executor(LAME).applied() >= last);
    assert!(back, "{}: it catches up", P::INFO.name);
    assert!(run.world.marks().contains_key("snapshot installed"), "{}", P::INFO.name);
    assert!(run.world.last_committed().0 * CLIENTS >= commands, "batches carry them");
    run.kept
}

/// What is in a log and on a disk is bounded by the settings.
fn is_within_bounds(name: &str, kept: Kept) {
    assert!(kept.log <= HELD + EVERY + SLACK, "{name}: {} entries", kept.log);
    let rest = TRAILING + EVERY + SLACK;
    assert!(kept.at_rest <= rest, "{name}: {} entries for who is dead", kept.at_rest);
    let records = 3 * (HELD + EVERY + SLACK) as usize;
    assert!(kept.records <= records, "{name}: {} records", kept.records);
    assert!(kept.promises <= 8, "{name}: {} promises wait", kept.promises);
    let service = SESSIONS * 80 + 4_096;
    assert!(kept.service <= service, "{name}: {} bytes of sessions and service", kept.service);
}

/// openraft, etcd and others had logs, queues or tables that grew for as long as a follower was
/// dead. Four times the commands must not need more of anything.
fn costs_no_memory<P: Audit>(config: P::Config) {
    let name = P::INFO.name;
    let few = endure::<P>(config.clone(), COMMANDS / 4);
    let many = endure::<P>(config, COMMANDS);
    is_within_bounds(name, many);
    let room = few.print + few.print / 5;
    assert!(many.print <= room, "{name}: {} signs, {} before", many.print, few.print);
}

fn cluster() -> Cluster {
    Cluster::new(ClusterId(1), 3)
}

fn raft() -> synod_raft::Config {
    let config = synod_raft::Config::for_cluster(&cluster()).expect("three servers");
    synod_raft::Config { trailing_entries: TRAILING, held_entries: HELD, ..config }
}

fn multipaxos() -> synod_multipaxos::Config {
    let config = synod_multipaxos::Config::for_cluster(&cluster()).expect("three replicas");
    synod_multipaxos::Config { trailing_entries: TRAILING, held_entries: HELD, ..config }
}

#[test]
fn raft_keeps_no_more_however_much_is_decided_without_a_follower() {
    costs_no_memory::<Raft>(raft());
}

#[test]
fn multipaxos_keeps_no_more_however_much_is_decided_without_a_follower() {
    costs_no_memory::<MultiPaxos>(multipaxos());
}

/// A log that is kept for whoever is gone, or stuck, is seen to grow.
#[cfg(feature = "mutants")]
#[test]
fn planted_bugs_are_found() {
    use consensus_core::mutant::plant;
    for (name, of_raft) in [("R111", true), ("R150", true), ("M121", false), ("M150", false)] {
        plant(Some(name));
        let grown = std::panic::catch_unwind(|| {
            let kept = match of_raft {
                true => endure::<Raft>(raft(), COMMANDS / 2),
                false => endure::<MultiPaxos>(multipaxos(), COMMANDS / 2),
            };
            is_within_bounds(name, kept);
        });
        plant(None);
        assert!(grown.is_err(), "{name} is not found");
    }
}
