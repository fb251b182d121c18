//! Latency in a simulated local network: links and disks take a random time, nothing is lost.

use super::{COMPARE_STATES_EVERY, Due, KvWorld, NEVER_TWICE, add_clients, elect, sound, wrong};
use crate::options::{CompareError, Load};
use crate::samples::Samples;
use crate::workload::Workload;
use bytes::Bytes;
use consensus_core::{Audit, Cluster, ClusterId, ProtocolConfig};
use std::time::Duration;
use synod_algorithms::{Algorithm, Visitor};
use synod_kv::KvStore;
use synod_sim::{DiskModel, Latency, Network, Setup, World};

const LINK: (Duration, Duration) = (Duration::from_micros(150), Duration::from_micros(1200));
const SYNC: (Duration, Duration) = (Duration::from_micros(200), Duration::from_millis(4));

/// What the simulated network is like, for above the table.
pub(crate) fn conditions() -> String {
    format!(
        "virtual time; each link takes {:?} to {:?} (mostly the shorter), each sync {:?} to {:?}; \
         processing takes no time",
        LINK.0, LINK.1, SYNC.0, SYNC.1
    )
}

/// A network of a machine room, clients in the same room.
pub(crate) fn network() -> Network {
    let latency = Latency::Tailed { min: LINK.0, max: LINK.1 };
    let mut network = Network::fixed(LINK.0);
    network.latency = latency;
    network.client_latency = latency;
    network
}

/// A disk that keeps its promises.
pub(crate) fn disk() -> DiskModel {
    DiskModel { sync: Latency::Tailed { min: SYNC.0, max: SYNC.1 } }
}

/// How a row is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) nodes: usize,
    pub(crate) workload: &'a Workload,
    pub(crate) sessions: usize,
    pub(crate) load: Load,
    pub(crate) batch: usize,
}

/// How many operations at the start are not measured: each session is opened by its first, and the
/// queues fill.
pub(crate) fn warm_up(operations: usize, sessions: usize) -> usize {
    (operations / 20).max(sessions).min(operations / 2)
}

/// Latencies of one run with this seed.
pub(crate) fn measure(plan: Plan<'_>, seed: u64) -> Result<Samples, CompareError> {
    plan.algorithm.dispatch(Measure { plan, seed })
}

struct Measure<'a> {
    plan: Plan<'a>,
    seed: u64,
}

impl Visitor for Measure<'_> {
    type Output = Result<Samples, CompareError>;

    fn visit<P: Audit>(self) -> Self::Output {
        let Plan { algorithm, nodes, .. } = self.plan;
        let cluster = Cluster::new(ClusterId(1), nodes);
        let cannot = |error| CompareError::Cluster(algorithm, error);
        cluster.validate().and_then(|()| P::Config::for_cluster(&cluster)).map_err(cannot)?;
        run::<P>(cluster, self.plan, self.seed).map_err(wrong(algorithm))
    }
}

fn run<P: Audit>(cluster: Cluster, plan: Plan<'_>, seed: u64) -> Result<Samples, String> {
    let mut setup = Setup::<P>::new(cluster, seed);
    setup.network = network();
    setup.disk = disk();
    setup.compare_states_every = Some(COMPARE_STATES_EVERY);
    setup.max_batch = plan.batch;
    let mut world = World::new(setup, KvStore::default);
    elect(&mut world)?;
    let sessions = plan.sessions;
    add_clients(&mut world, sessions, NEVER_TWICE, plan.workload.load(), None);
    answered(&mut world, plan.workload.load().len())?;
    let loaded = world.completions().len();

    let due = match plan.load {
        Load::Closed(_) => None,
        Load::Open(rate) => Some(Due { start: world.now(), rate }),
    };
    let operations: &[Bytes] = plan.workload.operations();
    let cut = warm_up(operations.len(), sessions);
    add_clients(&mut world, sessions, NEVER_TWICE, operations, due);
    answered(&mut world, loaded + operations.len())?;
    sound(&world)?;
    let measured = world.completions()[loaded..].iter().filter(|completion| {
        // Every session takes each `sessions`-th operation: its nth is near the n·sessions-th.
        completion.nth * sessions as u64 >= cut as u64
    });
    Ok(Samples::of(measured.map(|completion| completion.ended - completion.intended)))
}

/// Runs until so many operations were answered, as long as there is progress.
fn answered<P: Audit>(world: &mut KvWorld<P>, wanted: usize) -> Result<(), String> {
    while world.completions().len() < wanted {
        let before = world.completions().len();
        let limit = world.now() + Duration::from_secs(30);
        world.run_until(limit, |world| world.completions().len() >= wanted);
        sound(world)?;
        let answered = world.completions().len();
        if answered == before {
            return Err(format!(
                "only {answered} of {wanted} operations were answered, then none for 30 s"
            ));
        }
    }
    Ok(())
}
