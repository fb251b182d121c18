//! Measuring in the simulator: virtual time, the same algorithm code, the oracles always on.

pub(crate) mod duel;
pub(crate) mod failover;
pub(crate) mod latency;
pub(crate) mod quiet;

use crate::options::CompareError;
use bytes::Bytes;
use consensus_core::{Audit, NodeId, Patience, Takes};
use std::time::Duration;
use synod_algorithms::Algorithm;
use synod_kv::KvStore;
use synod_sim::World;

/// A world in which the store is replicated.
type KvWorld<P> = World<P, KvStore>;

/// Where all clients sit: the leader where there is one, in every row.
pub(crate) const CLIENTS_AT: NodeId = NodeId(0);

/// How often the stores of all replicas are compared; each time costs a copy of them.
const COMPARE_STATES_EVERY: u64 = 1024;

/// For clients that are never to try twice: in a world without faults a retry would be a bug of the
/// measurement.
const NEVER_TWICE: Patience = Patience {
    attempt: Duration::from_secs(600),
    pause: Duration::from_millis(50),
    give_up: Duration::from_secs(600),
};

/// Makes node 0 the leader, where commands go to a leader.
fn elect<P: Audit>(world: &mut KvWorld<P>) -> Result<(), String> {
    if P::INFO.takes != Takes::Leader {
        return Ok(());
    }
    // One wish is enough, but with leases: a server that has just started may have promised its
    // silence to a leader, so the wish is void, and another leads first. Of it the second wish asks
    // that it hand over. More are for networks that lose one.
    for _ in 0..4 {
        world.campaign(CLIENTS_AT);
        let limit = world.now() + Duration::from_secs(2);
        if world.run_until(limit, |world| world.leader() == Some(CLIENTS_AT)) {
            return Ok(());
        }
    }
    Err(sound(world).err().unwrap_or_else(|| "node 0 did not become the leader".into()))
}

/// Adds clients that share these operations: client `k` of `c` takes the operations k, k + c,
/// k + 2c … in order. With `due`, the operation at place i is not begun before `due(i)`, and its
/// latency counts from then. Returns how many operations there are.
fn add_clients<P: Audit>(
    world: &mut KvWorld<P>,
    clients: usize,
    patience: Patience,
    operations: &[Bytes],
    due: Option<Due>,
) {
    for client in 0..clients {
        let mine: Vec<Bytes> = operations.iter().skip(client).step_by(clients).cloned().collect();
        world.add_client(CLIENTS_AT, patience, move |nth| {
            let operation = mine.get(usize::try_from(nth).ok()?)?.clone();
            let place = nth * clients as u64 + client as u64;
            Some((operation, due.map(|due| due.of(place))))
        });
    }
}

/// When the operations of an open load are due.
#[derive(Clone, Copy, Debug)]
struct Due {
    start: Duration,
    rate: f64,
}

impl Due {
    fn of(self, place: u64) -> Duration {
        self.start + Duration::from_secs_f64(place as f64 / self.rate)
    }
}

/// Did all oracles agree so far?
fn sound<P: Audit>(world: &KvWorld<P>) -> Result<(), String> {
    match world.violation() {
        Some(violation) => Err(violation.to_string()),
        None => Ok(()),
    }
}

/// The error of a world that went wrong.
fn wrong(algorithm: Algorithm) -> impl Fn(String) -> CompareError {
    move |what| CompareError::Simulation(algorithm, what)
}
