//! Explores every behaviour of a small cluster, with the real replicas.

mod arena;
mod bounds;
mod chart;
mod claims;
mod context;
mod fingerprint;
mod node;
mod oracle;
mod search;
mod state;
mod table;
mod violation;

pub use bounds::{Bounds, Disks, Preset};
pub use context::BadModel;
pub use search::{Explored, Found, Limits, Progress, explore, explore_with, hunt};
pub use violation::Violation;
