//! A deterministic simulator with disks, faults and oracles for any Synod protocol.

mod check;
mod disk;
mod keys;
mod nemesis;
mod network;
mod options;
mod oracle;
mod registers;
mod report;
mod rng;
mod traitor;
mod world;

#[cfg(test)]
#[path = "../tests/world/toy.rs"]
mod toy;

pub use check::{check, check_with, trace};
pub use disk::DiskModel;
pub use keys::SimKeys;
pub use network::{Latency, Network};
pub use options::{Fault, Faults, Options};
pub use registers::{Operation, Registers};
pub use report::{Report, Violation};
pub use rng::{CERTAIN, Rng};
pub use traitor::Treason;
pub use world::{Completion, Fate, Setup, World};
