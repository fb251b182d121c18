//! How long nobody is served after the replica that serves is killed.

use super::{CLIENTS_AT, Due, KvWorld, add_clients, elect, latency, sound, wrong};
use crate::options::CompareError;
use crate::workload::{Random, Workload};
use consensus_core::{
    Audit, Cluster, ClusterId, NodeId, Outcome, Patience, ProtocolConfig, Timing,
};
use std::time::Duration;
use synod_algorithms::{Algorithm, Visitor};
use synod_kv::KvStore;
use synod_sim::{Setup, World};

/// The clocks of all clusters.
pub(crate) const TIMING: Timing = Timing::LAN;
/// How clients wait: the same for every algorithm. An attempt is not longer than the distance of
/// two operations of a client, so that the retries of all clients together are spread over all
/// times and the gap is not rounded up to whole attempts.
pub(crate) const PATIENCE: Patience = Patience {
    attempt: Duration::from_millis(100),
    pause: Duration::from_millis(20),
    give_up: Duration::from_secs(60),
};
/// Sessions that write.
pub(crate) const SESSIONS: usize = 50;
/// The earliest time of the kill, after the load began.
const BEFORE: Duration = Duration::from_secs(1);
/// The kill is within this time after that, equally likely everywhere.
const WITHIN: Duration = Duration::from_millis(500);
/// How long answers are watched after they come again: a second gap would count, too.
const AFTER: Duration = Duration::from_secs(2);
/// How long a cluster may stand still before the measurement gives up.
const HOPELESS: Duration = Duration::from_secs(120);

/// One kill.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Kill {
    pub(crate) seed: u64,
    /// When, after the load began.
    pub(crate) at: Duration,
    /// Whom: the leader, the primary, or the replica that the clients use.
    pub(crate) node: NodeId,
    /// The longest time without an acknowledged write that ended after the kill.
    pub(crate) unavailable: Duration,
}

/// Kills a replica under a load of so many writes a second.
pub(crate) fn measure(
    algorithm: Algorithm,
    nodes: usize,
    seed: u64,
    rate: f64,
    workload: &Workload,
) -> Result<Kill, CompareError> {
    algorithm.dispatch(Measure { algorithm, nodes, seed, rate, workload })
}

/// Operations that a run can need at most, at this rate.
pub(crate) fn operations(rate: f64) -> usize {
    ((BEFORE + WITHIN + HOPELESS).as_secs_f64() * rate) as usize
}

struct Measure<'a> {
    algorithm: Algorithm,
    nodes: usize,
    seed: u64,
    rate: f64,
    workload: &'a Workload,
}

impl Visitor for Measure<'_> {
    type Output = Result<Kill, CompareError>;

    fn visit<P: Audit>(self) -> Self::Output {
        let mut cluster = Cluster::new(ClusterId(1), self.nodes);
        cluster.timing = TIMING;
        let cannot = |error| CompareError::Cluster(self.algorithm, error);
        cluster.validate().and_then(|()| P::Config::for_cluster(&cluster)).map_err(cannot)?;
        run::<P>(cluster, &self).map_err(wrong(self.algorithm))
    }
}

fn run<P: Audit>(cluster: Cluster, plan: &Measure<'_>) -> Result<Kill, String> {
    let mut setup = Setup::<P>::new(cluster, plan.seed);
    setup.network = latency::network();
    setup.disk = latency::disk();
    setup.compare_states_every = Some(super::COMPARE_STATES_EVERY);
    setup.max_batch = 64;
    let mut world = World::new(setup, KvStore::default);
    elect(&mut world)?;
    let start = world.now();
    let due = Due { start, rate: plan.rate };
    add_clients(&mut world, SESSIONS, PATIENCE, plan.workload.operations(), Some(due));
    let share = Random::new(plan.seed).unit();
    let at = BEFORE + WITHIN.mul_f64(share);
    world.run_until(start + at, |_| false);
    // Where there is no leader the clients' replica is the one that serves.
    let node = world.leader().unwrap_or(CLIENTS_AT);
    let killed = world.now();
    world.crash(node);
    serves_again(&mut world, killed)?;
    let until = world.now() + AFTER;
    world.run_until(until, |_| false);
    sound(&world)?;
    let unavailable = longest_gap(&acknowledged(&world), killed)
        .ok_or("no write was acknowledged after the kill")?;
    Ok(Kill { seed: plan.seed, at, node, unavailable })
}

/// Runs until a write is acknowledged that was due after the kill.
fn serves_again<P: Audit>(world: &mut KvWorld<P>, killed: Duration) -> Result<(), String> {
    let mut seen = world.completions().len();
    let served = world.run_until(killed + HOPELESS, |world| {
        let new = &world.completions()[seen..];
        seen = world.completions().len();
        new.iter().any(|completion| {
            completion.intended > killed && matches!(completion.outcome, Outcome::Committed { .. })
        })
    });
    sound(world)?;
    if served { Ok(()) } else { Err(format!("nothing was served for {HOPELESS:?} after a kill")) }
}

/// When writes were acknowledged, in order.
fn acknowledged<P: Audit>(world: &KvWorld<P>) -> Vec<Duration> {
    let committed = world
        .completions()
        .iter()
        .filter(|completion| matches!(completion.outcome, Outcome::Committed { .. }));
    let mut times: Vec<_> = committed.map(|completion| completion.ended).collect();
    times.sort_unstable();
    times
}

/// The longest time between two neighbours of which the later one is after `killed`.
fn longest_gap(times: &[Duration], killed: Duration) -> Option<Duration> {
    let after = times.windows(2).filter(|pair| pair[1] > killed);
    after.map(|pair| pair[1] - pair[0]).max()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_gap_is_the_longest_one_that_ends_after_the_kill() {
        let times = [0, 50, 60, 70, 90, 95].map(Duration::from_millis);
        let gap = |killed| longest_gap(&times, Duration::from_millis(killed));
        assert_eq!(gap(65), Some(Duration::from_millis(20)), "the first gap is over by then");
        assert_eq!(gap(40), Some(Duration::from_millis(50)), "the kill may fall into the gap");
        assert_eq!(gap(95), None);
    }
}
