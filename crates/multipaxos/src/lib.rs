//! Multi-Paxos.
mod acceptor;
mod audit;
mod config;
mod follower;
mod invariants;
mod leader;
mod learner;
mod message;
mod mutants;
mod node;
mod record;
mod replica;
mod scout;
mod votes;

pub use config::Config;
pub use message::{Accept, Message, Promise, Pvalue};
pub use mutants::MUTANTS;
pub use record::Record;
pub use replica::{MultiPaxos, Timer};
