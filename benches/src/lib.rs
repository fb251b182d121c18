//! Workloads, theory, measurement and report: how Synod compares its algorithms.
//!
//! The command line (`synod compare …`) only parses flags and calls this crate:
//!
//! * [`run`]: one recorded workload for every algorithm, first simulated, then over real sockets
//!   and disks, each in tables of its own;
//! * [`cost`]: what a command costs against the size of the cluster, measured beside theory;
//! * [`failover`]: how long nobody is served after the serving replica is killed;
//! * [`duel`]: ballots and messages of proposers that outbid each other;
//! * [`theory()`]: the formulas with their sources, without a run;
//! * [`assert()`]: the simulator must measure *exactly* what theory says, in every cell.
//!
//! # What is kept equal
//!
//! A comparison is worth what is the same in every row. The [`Workload`] is recorded before
//! anything is measured and its hash is printed; clients sit at node 0 in every row, and node 0
//! leads where there is a leader; batches have the same limit; clocks are the same; clients wait
//! equally long. Clusters have equal f by default, so PBFT has one node more.
//!
//! # What is counted, and what is timed
//!
//! The simulator's *quiet world* has a fixed delay on every link and an instant disk, loses
//! nothing, and no timer fires: there, messages of each kind, delays, syncs and signatures of a
//! command are equalities ([`theory::Theory`]). Its local network draws delays and sync times, so
//! it has latencies, but processing takes no time there: it knows nothing of throughput. That is
//! measured for real. Latency counts from when an operation was due, not from when a busy client
//! came to send it; the warm-up is cut; distributions are merged, never averaged. The oracles of
//! the simulator are on in every simulated row, and a violation voids it.

mod assert;
mod comparison;
mod cost;
mod duel;
mod failover;
mod options;
mod plots;
mod real;
mod report;
mod run;
mod samples;
mod simulated;
mod svg;
mod table;
pub mod theory;
pub mod workload;

pub use assert::{AssertFailure, AssertReport, BATCHES, Difference, SIZES, assert, assert_for};
pub use comparison::Comparison;
pub use cost::cost;
pub use duel::duel;
pub use failover::failover;
pub use options::{
    ClusterSize, CompareError, CostOptions, DuelOptions, FailoverOptions, Load, Mode, RunOptions,
};
pub use run::run;
pub use theory::theory;
pub use workload::{Workload, WorkloadError, WorkloadSpec};
