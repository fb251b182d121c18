//! Runs any Synod protocol on real disks and TCP.
//!
//! A *node* is one replica with everything around it: a task that owns the replica, a thread that
//! owns its log, a connection to each peer, and a listening port for peers and clients.
//!
//! ```text
//! client ─frame─▶ server ─▶ node loop ──step──▶ replica
//!                             │ ◀──── effects ────┘
//!                             │ records ─▶ log thread (append, one sync for many) ─▶ durable: step
//!                             │ sends   ─▶ outbox (promises wait for the disk) ─▶ peers
//!                             │ commits ─▶ sessions ─▶ state machine ─▶ answer
//! client ◀─frame──────────────┘
//! ```
//!
//! The crate names no algorithm: [`start`] takes any `ConsensusProtocol` and any `StateMachine`.
//! [`ClusterClient`] speaks to a cluster of any of them.
//!
//! # What it promises
//!
//! * What a replica said it promised is on its disk: promises leave after the sync, and the log
//!   tells a torn write from damage to what was synced ([`wal`]).
//! * A data directory is used by one process, and only by the replica that it belongs to; a replica
//!   that lost its directory does not come back unnoticed.
//! * A disk that fails stops the node; a disk that hangs silences it, so that the others elect a
//!   leader that can write. A broken invariant stops the node. Nothing that comes over a connection
//!   does.
//! * Every queue is bounded in bytes; a client that is one too many is told `Busy` at once.
//!
//! # What is left out
//!
//! There is no encryption and no proof of who connects (requests and replica messages of Byzantine
//! protocols are signed all the same), so a node listens on loopback unless told otherwise. Links
//! keep the order of messages only as long as a connection lasts. The log of an algorithm without
//! snapshots grows for ever.

mod chance;
pub mod client;
mod client_link;
mod clock;
pub mod codec;
mod config;
mod directory;
mod driver;
mod frame;
mod handle;
mod identity;
mod inbound;
mod links;
mod listening;
mod lock;
mod log_thread;
mod mutants;
mod node;
mod peer;
mod peer_disks;
mod queue;
mod rebuild;
mod report;
pub mod rig;
mod room;
#[cfg(test)]
mod scratch;
mod server;
mod shared;
mod snapshots;
mod start;
mod start_error;
mod storage;
mod sync;
mod timers;
mod waiting;
pub mod wal;
mod wire;
mod wish;
mod write;

pub use client::{ClientConfig, ClientError, ClusterClient, ReadError, operate};
pub use config::{Limits, NodeConfig};
pub use handle::{NodeHandle, StopReason};
pub use identity::{DataOwner, IdentityError, is_initialised, owner_of};
pub use mutants::MUTANTS;
pub use rebuild::{Rebuilt, rebuild};
pub use report::{CounterReport, MembersReport, SentReport, StatusReport, role_name};
pub use start::start;
pub use start_error::StartError;
pub use storage::{DiscardUnsynced, Files, LogFile, Storage};
pub use wal::{SyncPolicy, WalError};
pub use wish::{Denied, Granted, Wish};
