//! Measuring for real: replicas in this process, talking over loopback TCP, each with a log of its
//! own on a real disk and with real syncs.

mod cluster;
mod disk;
mod keys;
mod load;

pub(crate) use disk::probe;

use crate::options::{CompareError, Load};
use crate::samples::Samples;
use crate::workload::Workload;
use cluster::RealCluster;
use consensus_core::{Audit, Counters};
use disk::Folder;
use std::path::Path;
use std::time::Duration;
use synod_algorithms::{Algorithm, Visitor};

/// How a row is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Plan<'a> {
    pub(crate) algorithm: Algorithm,
    pub(crate) nodes: usize,
    pub(crate) workload: &'a Workload,
    pub(crate) sessions: usize,
    pub(crate) load: Load,
    pub(crate) batch: usize,
    /// Where the logs go; a folder is made in it and removed afterwards.
    pub(crate) dir: &'a Path,
}

/// What a row measured.
#[derive(Clone, Debug)]
pub(crate) struct Measured {
    /// From when each operation was due (open load) or begun (closed) to its answer; without the
    /// warm-up.
    pub(crate) latencies: Samples,
    /// From the end of the warm-up to the last answer.
    pub(crate) elapsed: Duration,
    /// Operations of the whole run, over which the counters were taken.
    pub(crate) operations: usize,
    /// Operations that did not end with an acknowledged result.
    pub(crate) failed: usize,
    /// What each node did for all operations.
    pub(crate) counters: Vec<Counters>,
    /// What was seen that must not be, if anything.
    pub(crate) violation: Option<String>,
}

impl Measured {
    /// Acknowledged operations in a second.
    pub(crate) fn throughput(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64().max(1e-9)
    }

    /// What all nodes did together.
    pub(crate) fn total(&self) -> Counters {
        let mut total = Counters::default();
        self.counters.iter().for_each(|counters| total.add(counters));
        total
    }
}

/// Starts a cluster, gives it the workload, stops it and removes its data.
pub(crate) fn measure(
    plan: Plan<'_>,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Measured, CompareError> {
    plan.algorithm.dispatch(Measure { plan, progress })
}

struct Measure<'a, 'b> {
    plan: Plan<'a>,
    progress: &'b mut dyn FnMut(u64, u64),
}

impl Visitor for Measure<'_, '_> {
    type Output = Result<Measured, CompareError>;

    fn visit<P: Audit>(self) -> Self::Output {
        let algorithm = self.plan.algorithm;
        let failed = |what: String| CompareError::Real(algorithm, what);
        let folder = Folder::in_dir(self.plan.dir)?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| failed(format!("cannot start threads: {error}")))?;
        let result = runtime.block_on(run::<P>(self.plan, folder.path(), self.progress));
        // The threads end before the folder goes: no log is written into a folder that is gone.
        runtime.shutdown_timeout(Duration::from_secs(5));
        result.map_err(failed)
    }
}

async fn run<P: Audit>(
    plan: Plan<'_>,
    folder: &Path,
    progress: &mut dyn FnMut(u64, u64),
) -> Result<Measured, String> {
    let cluster = RealCluster::<P>::start(plan.nodes, plan.sessions, plan.batch, folder).await?;
    let measured = load::run(&cluster, plan, progress).await;
    cluster.stop().await;
    measured
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::Traffic;

    /// Every algorithm answers every operation over real sockets and disks, sends at least what a
    /// quorum needs when nothing is batched (retries only add), and leaves nothing behind.
    #[test]
    fn every_algorithm_serves_a_workload_for_real() {
        let spec = "kv-write:32".parse().expect("a workload");
        let workload = Workload::record(&spec, 60, 1).expect("generated");
        let dir = Folder::in_dir(&std::env::temp_dir()).expect("a folder");
        for algorithm in Algorithm::ALL {
            let nodes = crate::theory::Theory::min_nodes(algorithm, 1);
            let plan = Plan {
                algorithm,
                nodes,
                workload: &workload,
                sessions: 1,
                load: Load::Closed(1),
                batch: 1,
                dir: dir.path(),
            };
            let measured = measure(plan, &mut |_, _| {}).unwrap_or_else(|error| panic!("{error}"));
            assert_eq!((measured.failed, &measured.violation), (0, &None), "{algorithm}");
            assert_eq!(measured.operations, 60);
            let messages = measured.total().sent_for(Traffic::Command).messages;
            let theory = crate::theory::Theory::of(algorithm, nodes).messages.value;
            // A command waits for a quorum only; a replica that is slower may get several at once.
            assert!(messages >= 60 * theory / 2 - theory, "{algorithm}: {messages} messages");
            let left = std::fs::read_dir(dir.path()).expect("the folder").count();
            assert_eq!(left, 0, "{algorithm} left files behind");
        }
    }
}
