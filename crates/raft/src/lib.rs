//! Raft: leader election and log replication, as a pure state machine.

mod audit;
mod candidate;
mod config;
mod entry;
mod follower;
pub mod invariants;
mod leader;
mod log;
mod message;
mod mutants;
mod progress;
mod record;
mod replica;
mod server;

pub use config::Config;
pub use entry::{Entry, EntryId, Term};
pub use message::{AppendEntries, Conflict, Message};
pub use mutants::MUTANTS;
pub use record::Record;
pub use replica::{Raft, Timer};
