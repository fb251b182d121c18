//! Memory and disk stay bounded while a follower is dead, and it comes back by a snapshot.

use consensus_core::{Audit, Cluster, ClusterId, LogIndex, NodeId, Patience, ProtocolConfig};
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
