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
