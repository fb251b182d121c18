//! What the user may choose.

use crate::workload::{WorkloadError, WorkloadSpec};
use consensus_core::{FaultModel, ProtocolInfo};
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use synod_algorithms::{Algorithm, Choice};

/// How large the clusters are: by the faults that all survive, or by the nodes that all have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClusterSize {
    /// Every cluster survives so many faults of its kind: 2f + 1 nodes, or 3f + 1 for PBFT.
    F(usize),
    /// Every cluster has so many nodes, whatever that survives.
    N(usize),
}

impl ClusterSize {
    /// Nodes of this algorithm's cluster.
    pub fn nodes(self, info: &ProtocolInfo) -> usize {
        match (self, info.faults) {
            (Self::F(f), FaultModel::Crash) => f.saturating_mul(2).saturating_add(1),
            (Self::F(f), FaultModel::Byzantine) => f.saturating_mul(3).saturating_add(1),
            (Self::N(n), _) => n,
        }
    }
}

impl fmt::Display for ClusterSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::F(faults) => write!(f, "equal f = {faults}"),
            Self::N(nodes) => write!(f, "equal n = {nodes}"),
        }
    }
}

/// How clients ask.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Load {
    /// So many clients, each asking again as soon as it is answered.
    Closed(usize),
    /// So many operations a second, due at even distances whether or not earlier ones were
    /// answered; latency counts from when an operation was due.
    Open(f64),
}

impl fmt::Display for Load {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Closed(clients) => write!(f, "closed:{clients}"),
            Self::Open(rate) => write!(f, "open:{rate}/s"),
        }
    }
}

impl FromStr for Load {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || format!("'{text}' is no load; write closed:CLIENTS or open:RATE/s");
        let (kind, amount) = text.trim().split_once(':').ok_or_else(expected)?;
        match kind {
            "closed" => match amount.parse() {
                Ok(clients) if clients > 0 => Ok(Self::Closed(clients)),
                _ => Err(expected()),
            },
            "open" => match amount.strip_suffix("/s").unwrap_or(amount).parse() {
                Ok(rate) if (0.1..=1e7).contains(&rate) => Ok(Self::Open(rate)),
                _ => Err(expected()),
            },
            _ => Err(expected()),
        }
    }
}

/// Where to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// In the simulator.
    Sim,
    /// On real sockets and a real disk.
    Real,
    /// First one, then the other, in separate tables.
    Both,
}

impl Mode {
    pub(crate) fn simulates(self) -> bool {
        self != Self::Real
    }

    pub(crate) fn is_real(self) -> bool {
        self != Self::Sim
    }
}

/// What `compare run` does.
#[derive(Clone, Debug)]
pub struct RunOptions {
    /// The rows.
    pub algorithms: Vec<Algorithm>,
    /// Nodes of each cluster.
    pub size: ClusterSize,
    /// What is asked.
    pub workload: WorkloadSpec,
    /// How many operations the workload has.
    pub operations: usize,
    /// Sessions that an open load may use at once; a closed load brings its own number.
    pub clients: usize,
    /// How clients ask.
    pub load: Load,
    /// Commands in a log entry: exactly so many in the quiet world, at most so many elsewhere.
    pub batch: usize,
    /// Simulated runs of each row, with different seeds.
    pub seeds: u64,
    /// Where to measure.
    pub mode: Mode,
    /// Where the real nodes keep their logs; a temporary folder if not given. What is put there is
    /// removed afterwards.
    pub dir: Option<PathBuf>,
    /// From which workload and simulated runs are drawn.
    pub seed: u64,
}

impl Default for RunOptions {
    fn default() -> Self {
        Self {
            algorithms: Algorithm::ALL.to_vec(),
            size: ClusterSize::F(1),
            workload: WorkloadSpec::default(),
            operations: 10_000,
            clients: 64,
            load: Load::Closed(16),
            batch: 16,
            seeds: 5,
            mode: Mode::Both,
            dir: None,
            seed: 1,
        }
    }
}

impl RunOptions {
    /// How many sessions ask at once, at most.
    pub fn sessions(&self) -> usize {
        match self.load {
            Load::Closed(clients) => clients,
            Load::Open(_) => self.clients,
        }
    }
}

/// What `compare cost` does.
#[derive(Clone, Debug)]
pub struct CostOptions {
    /// The lines.
    pub algorithms: Vec<Algorithm>,
    /// Sizes of clusters.
    pub ns: Vec<usize>,
    /// Commands in a log entry.
    pub batches: Vec<usize>,
    /// Algorithms with named options, for a table of their own. `None`: each option that there is,
    /// alone, in small clusters.
    pub variants: Option<Vec<Choice>>,
}

impl Default for CostOptions {
    fn default() -> Self {
        Self {
            algorithms: Algorithm::ALL.to_vec(),
            ns: vec![3, 4, 5, 7, 10, 13, 19, 25],
            batches: vec![1, 16],
            variants: None,
        }
    }
}

/// What `compare failover` does.
#[derive(Clone, Debug)]
pub struct FailoverOptions {
    /// The rows.
    pub algorithms: Vec<Algorithm>,
    /// Nodes of each cluster.
    pub size: ClusterSize,
    /// Kills of each row, each in a world of its own.
    pub seeds: u64,
    /// The seed of the first.
    pub seed: u64,
    /// Writes a second, evenly spread.
    pub rate: f64,
}

impl Default for FailoverOptions {
    fn default() -> Self {
        Self {
            algorithms: Algorithm::ALL.to_vec(),
            size: ClusterSize::F(1),
            seeds: 30,
            seed: 1,
            rate: 500.0,
        }
    }
}

/// What `compare duel` does.
#[derive(Clone, Debug)]
pub struct DuelOptions {
    /// Replicas.
    pub nodes: usize,
    /// From one proposer up to so many.
    pub proposers: usize,
    /// Runs of each row.
    pub seeds: u64,
    /// The seed of the first.
    pub seed: u64,
}

impl Default for DuelOptions {
    fn default() -> Self {
        Self { nodes: 9, proposers: 8, seeds: 30, seed: 1 }
    }
}

/// A comparison that cannot be made.
#[derive(Debug)]
pub enum CompareError {
    /// The options make no sense; the text says which and why.
    Options(String),
    /// The workload cannot be had.
    Workload(WorkloadError),
    /// The algorithm cannot run in this cluster.
    Cluster(Algorithm, consensus_core::ConfigError),
    /// The simulated world did not get where it should.
    Simulation(Algorithm, String),
    /// The real cluster could not be started or did not answer.
    Real(Algorithm, String),
    /// Files could not be written or removed.
    Io(std::io::Error),
}

impl fmt::Display for CompareError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Options(wrong) => f.write_str(wrong),
            Self::Workload(error) => write!(f, "{error}"),
            Self::Cluster(algorithm, error) => write!(f, "{algorithm}: {error}"),
            Self::Simulation(algorithm, what) => write!(f, "{algorithm}, simulated: {what}"),
            Self::Real(algorithm, what) => write!(f, "{algorithm}, on real sockets: {what}"),
            Self::Io(error) => write!(f, "{error}"),
        }
    }
}

impl std::error::Error for CompareError {}

impl From<WorkloadError> for CompareError {
    fn from(error: WorkloadError) -> Self {
        Self::Workload(error)
    }
}

impl From<std::io::Error> for CompareError {
    fn from(error: std::io::Error) -> Self {
        Self::Io(error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn loads_are_read_and_printed_back() {
        assert_eq!("closed:64".parse(), Ok(Load::Closed(64)));
        assert_eq!("open:5000/s".parse(), Ok(Load::Open(5000.0)));
        assert_eq!(Load::Open(5000.0).to_string().parse(), Ok(Load::Open(5000.0)));
        for wrong in ["", "64", "closed:0", "open:-1/s", "open:NaN", "half:3"] {
            let complaint = wrong.parse::<Load>().unwrap_err();
            assert!(complaint.contains("closed:CLIENTS"), "{wrong}: {complaint}");
        }
    }

    /// Equal f is the fair comparison: three nodes against PBFT's four.
    #[test]
    fn equal_faults_need_more_nodes_where_nodes_may_lie() {
        let nodes = |algorithm: Algorithm| ClusterSize::F(1).nodes(&algorithm.info());
        assert_eq!(Algorithm::ALL.map(nodes), [3, 3, 3, 4]);
        assert_eq!(ClusterSize::N(7).nodes(&Algorithm::Pbft.info()), 7);
    }
}
