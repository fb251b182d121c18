//! Memory and disk stay bounded while a follower is dead, and it comes back by a snapshot. Bounds
//! of drivers and of algorithms fit each other.

use consensus_core::{
    Audit, Cluster, ClusterId, LogIndex, NodeId, Patience, ProtocolConfig, Traffic,
};
use core::time::Duration;
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::{Operation, Registers, Setup, World};

const DEAD: NodeId = NodeId(2);
const EVERY: u64 = 50;
const CLIENTS: u64 = 8;
const COMMANDS: u64 = 250;

/// Commands of many clients in a cluster of three, one of which is down from the beginning. The
/// longest log and the most records on a disk that any node kept.
struct Load;

impl Visitor for Load {
    type Output = (u64, usize);

    fn visit<P: Audit>(self) -> (u64, usize) {
        let cluster = Cluster::new(ClusterId(1), 3);
        let mut setup = Setup::<P>::new(cluster.clone(), 1);
        setup.config = Some(P::Config::smallest(&cluster).expect("it can run"));
        setup.max_batch = 1;
        setup.snapshot_every = Some(EVERY);
        setup.snapshot_chunk = 100;
        let mut world = World::new(setup, Registers::default);
        world.crash(DEAD);
        for client in 0..CLIENTS {
            let target = NodeId((client % 2) as u8);
            world.add_client(target, Patience::default(), move |nth| {
                let operation = Operation::Append(client as u8, nth).encode();
                (nth < COMMANDS).then_some((operation, None))
            });
        }
        let (mut longest, mut most) = (0, 0);
        let hour = Duration::from_secs(3_600);
        let half = LogIndex(CLIENTS * COMMANDS / 2);
        let mut back = false;
        let done = world.run_until(hour, |world| {
            for node in world.cluster().nodes().iter() {
                let status = world.status(node);
                longest = longest.max(status.map_or(0, |status| status.last.0 - status.purged.0));
                most = most.max(world.records(node));
            }
            world.clients_ended() || (!back && world.last_committed() >= half)
        });
        assert!(
            done,
            "{}: half of the commands are decided: {:?}",
            P::INFO.name,
            world.violation()
        );
        world.restart(DEAD);
        back = true;
        let done = world.run_until(hour, |world| {
            let last = world.last_committed();
            back && world.clients_ended() && world.executor(DEAD).applied() >= last
        });
        assert!(done, "{}: it catches up while writes go on", P::INFO.name);
        assert_eq!(world.violation(), None, "{}", P::INFO.name);
        assert!(world.marks().contains_key("snapshot installed"), "{}", P::INFO.name);
        (longest, most)
    }
}

/// openraft, etcd and others had this: the log of a leader grows for as long as a follower is dead.
#[test]
fn a_dead_follower_costs_no_memory_and_comes_back_by_a_snapshot() {
    for algorithm in [Algorithm::MultiPaxos, Algorithm::Raft] {
        let (longest, most) = algorithm.dispatch(Load);
        assert!(longest <= 2 * EVERY + 20, "{algorithm}: a log of {longest} entries");
        assert!(most <= 6 * EVERY as usize + 60, "{algorithm}: {most} records on a disk");
    }
}

/// What is wrong with the follower.
#[derive(Clone, Copy, Debug)]
enum Slow {
    Nothing,
    Paused,
    Disk,
    Link,
}

/// Commands of many clients; how long they took, and what the leader and the other follower said
/// and wrote meanwhile.
struct Beside(Slow);

impl Visitor for Beside {
    type Output = (Duration, LogIndex, Vec<u64>);

    fn visit<P: Audit>(self) -> Self::Output {
        let mut setup = Setup::<P>::new(Cluster::new(ClusterId(1), 3), 1);
        setup.max_batch = 4;
        let mut world = World::new(setup, Registers::default);
        world.campaign(NodeId(0));
        let (minute, hour) = (Duration::from_secs(60), Duration::from_secs(3_600));
        assert!(world.run_until(minute, |world| world.leader() == Some(NodeId(0))));
        match self.0 {
            Slow::Nothing => {}
            Slow::Paused => world.pause(DEAD),
            Slow::Disk => world.stall_disk(DEAD, hour),
            Slow::Link => world.clog(NodeId(0), DEAD, hour),
        }
        let begun = world.now();
        world.add_appenders(NodeId(0), CLIENTS as u8, COMMANDS);
        assert!(world.run_until(hour / 2, World::clients_ended), "{:?}", self.0);
        assert_eq!(world.violation(), None, "{:?}", self.0);
        let costs = |id| {
            let counters = world.counters(NodeId(id));
            [counters.received_for(Traffic::Command), counters.writes, counters.syncs]
        };
        let counted = costs(1).into_iter().chain([world.counters(NodeId(0)).writes]).collect();
        (world.now() - begun, world.last_committed(), counted)
    }
}

/// Flow: a follower that does not keep up costs the others nothing. The same commands take the same
/// time, to the nanosecond, and the others do the same work.
#[test]
fn a_slow_follower_costs_the_others_nothing() {
    for algorithm in [Algorithm::MultiPaxos, Algorithm::Raft] {
        let well = algorithm.dispatch(Beside(Slow::Nothing));
        for slow in [Slow::Paused, Slow::Disk, Slow::Link] {
            let beside = algorithm.dispatch(Beside(slow));
            assert_eq!(beside, well, "{algorithm}, {slow:?}");
        }
    }
}

/// PBFT gives one number to so many bytes at most (OSDI '99, §4.4: a view-change shows them). What
/// a driver gathers fits, or each of its batches would be taken apart; and so does the frame.
#[test]
fn what_a_driver_gathers_fits_a_number_of_pbft() {
    let limits = synod_runtime::Limits::default();
    assert!(limits.max_batch_bytes <= synod_pbft::Config::LONGEST_BATCH);
}
