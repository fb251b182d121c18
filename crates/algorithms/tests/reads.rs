//! What a read costs in a quiet world (theory 2.5), under every algorithm that reads beside its
//! log: delays from question to answer, the client's own two included, and messages between
//! replicas. To the message: who waits for more than a round, or asks whom it need not ask, is
//! seen.

use bytes::Bytes;
use consensus_core::{
    Audit, Cluster, ClusterId, Consistency, Counters, NodeId, Patience, ProtocolConfig, ReadMode,
};
use core::time::Duration;
use synod_algorithms::{Algorithm, Visitor};
use synod_sim::{Operation, Registers, Setup, World};

const MS: Duration = Duration::from_millis(1);
const SOON: Duration = Duration::from_secs(10);

/// One read in a cluster of this size, at the leader or at another.
#[derive(Clone, Copy, Debug)]
struct OneRead {
    nodes: usize,
    consistency: Consistency,
    at_leader: bool,
    /// The second of its kind there: an answer of bounded age needs an index of such an age.
    second: bool,
}

/// What it took.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Price {
    delays: u64,
    messages: u64,
    syncs: u64,
}

fn messages(counters: &Counters) -> u64 {
    counters.sent().map(|(_, sent)| sent.messages).sum()
}

fn total<P: Audit>(world: &World<P, Registers>) -> Counters {
    let mut sum = Counters::default();
    world.cluster().nodes().iter().for_each(|node| sum.add(world.counters(node)));
    sum
}

impl Visitor for OneRead {
    type Output = Price;

    fn visit<P: Audit>(self) -> Price {
        let cluster = Cluster::new(ClusterId(1), self.nodes);
        let beat = cluster.timing.heartbeat;
        let leased = self.consistency == Consistency::Linearizable(ReadMode::Lease);
        let config = P::Config::for_cluster(&cluster).expect("a cluster");
        let config = if leased { config.with_lease(10_000) } else { Some(config) };
        let setup = Setup { config, ..Setup::<P>::new(cluster, 1) };
        let mut world = World::new(setup, Registers::default);
        world.campaign(NodeId(0));
        assert!(world.run_until(SOON, |world| world.leader().is_some()));
        let leader = world.leader().expect("there is one");
        world.add_client(leader, Patience::default(), |nth| {
            (nth < 3).then(|| (Operation::Append(0, nth).encode(), None))
        });
        assert!(world.run_until(SOON * 2, |world| world.completions().len() == 3));
        world.run_for(beat * 2);
        let peers = world.cluster().peers_of(leader);
        let follower = peers.iter().next().expect("it has followers");
        let target = if self.at_leader { leader } else { follower };
        if self.second {
            self.ask(&mut world, target);
        }
        let price = self.ask(&mut world, target);
        assert_eq!(world.violation(), None);
        price
    }
}

impl OneRead {
    /// Asks right after a heartbeat and its answers, when everybody knows everything.
    fn ask<P: Audit>(self, world: &mut World<P, Registers>, target: NodeId) -> Price {
        let before = messages(&total(world));
        let beat = world.now() + world.cluster().timing.heartbeat;
        assert!(world.run_until(beat, |world| messages(&total(world)) > before));
        world.run_for(MS * 4);
        let (before, now, answered) = (total(world), world.now(), world.reads().len());
        let consistency = self.consistency;
        world.add_reader(target, Patience::default(), move |nth| {
            (nth == 0).then(|| (Bytes::from_static(&[0]), consistency, now))
        });
        assert!(world.run_until(now + SOON, |world| world.reads().len() > answered));
        let done = world.reads()[answered].clone();
        assert!(done.answer.is_ok(), "{self:?}: {done:?}");
        // What is still on its way.
        world.run_until(now + MS * 20, |_| false);
        let since = total(world).since(&before);
        let delays = ((done.ended - done.begun).as_nanos() / MS.as_nanos()) as u64;
        Price { delays, messages: messages(&since), syncs: since.syncs }
    }
}

#[test]
fn reads_cost_what_theory_says() {
    let exactly = Consistency::Linearizable;
    for nodes in [3, 4, 5, 7] {
        let round = 2 * (nodes as u64 - 1);
        let table = [
            (exactly(ReadMode::Index), true, false, 4, round),
            (exactly(ReadMode::Index), false, false, 6, round + 2),
            (exactly(ReadMode::Lease), true, false, 2, 0),
            (exactly(ReadMode::Lease), false, false, 4, 2),
            (Consistency::Local, true, false, 2, 0),
            (Consistency::Local, false, false, 2, 0),
            (Consistency::AtMost(SOON), false, false, 6, round + 2),
            (Consistency::AtMost(SOON), false, true, 2, 0),
        ];
        for algorithm in [Algorithm::Raft, Algorithm::MultiPaxos] {
            for (consistency, at_leader, second, delays, messages) in table {
                let read = OneRead { nodes, consistency, at_leader, second };
                let price = Price { delays, messages, syncs: 0 };
                assert_eq!(algorithm.dispatch(read), price, "{algorithm}: {read:?}");
            }
        }
        // Multi-Paxos reads without its leader, too.
        for at_leader in [true, false] {
            let (consistency, second) = (exactly(ReadMode::Quorum), false);
            let read = OneRead { nodes, consistency, at_leader, second };
            let price = Price { delays: 4, messages: round, syncs: 0 };
            assert_eq!(Algorithm::MultiPaxos.dispatch(read), price, "{read:?}");
        }
    }
}
