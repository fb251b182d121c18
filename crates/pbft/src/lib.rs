//! Practical Byzantine Fault Tolerance: a replicated log among replicas of which some may lie.
//!
//! n replicas survive f liars, n ≥ 3f + 1. In each *view* one replica is the *primary* and gives
//! sequence numbers to requests (*pre-prepare*). Backups repeat what they heard (*prepare*), so
//! that no two correct replicas believe in different requests for one number; a replica that
//! heard enough of that says so (*commit*), so that what it executes survives into every later
//! view. If the primary is slow or lies, the backups change the view, and the next primary starts
//! from certificates that it cannot forge.
//!
//! # From the paper to the code
//!
//! Castro & Liskov, "Practical Byzantine Fault Tolerance", OSDI '99.
//!
//! | where | what | here |
//! |---|---|---|
//! | §3 | n ≥ 3f + 1 | `Config::for_cluster` |
//! | §4 | primary of view v is v mod n | `View::primary` |
//! | §4 | certificates of a quorum | `certificates` |
//! | §4.1 | requests, relaying, replies | `Pbft::take_requests`, `consensus_core::Client` |
//! | §4.2 | pre-prepare, its conditions | `Pbft::order`, `Pbft::on_pre_prepare` |
//! | §4.2 | prepared | `Pbft::try_prepared` |
//! | §4.2 | committed-local, execution in order | `Pbft::try_committed`, `Pbft::execute` |
//! | §4.3 | checkpoints, stable, water marks | `Pbft::take_checkpoint`, `in_window` |
//! | §4.4 | view-change | `Pbft::start_view_change` |
//! | §4.4 | new-view, min-s, max-s, O | `carried_digests`, `Pbft::enter_view` |
//! | §4.4 | backups recompute O | `verify::check_new_view` |
//! | §4.5.2 | doubling timeouts, joining f + 1 | `Pbft::view_patience`, `Pbft::join_others` |
//!
//! # Where it departs from the paper
//!
//! * Quorums are ⌈(n + f + 1)/2⌉, which is 2f + 1 when n = 3f + 1 and safe for other n.
//! * Messages are signed (the paper's §4); vectors of MACs (§5.2) are not there.
//! * The log survives a crash of all replicas: a vote leaves when its record is on disk. A primary
//!   that restarts gives no numbers in the view it was in and asks for the next.
//! * Certificates carry the requests, so that a new view never waits for them. So what lies between
//!   the water marks is bounded in bytes, too, and so many bytes lead to a checkpoint.
//! * A new-view with all signatures fits a frame of 32 MiB. So with many replicas the window is
//!   shorter and requests are (`Config::longest_batch`: 1 MiB with 19 replicas, 300 KiB with 64).
//! * Replicas repeat what got no answer, and show each other what was decided, with proof.
//! * Who lags is shown the latest stable checkpoint with its proof, too.
//! * Timeouts are doubled ten times at most, to 1024 times the first one.
//! * The digest in a checkpoint is that of the executed requests: equal histories, equal states.
//!
//! # What is left out
//!
//! State transfer (§4.3, §6.3: a replica that lags is brought back from the log, which is kept
//! whole), tentative execution and read-only requests (§5.1), recovery of compromised replicas.

mod attack;
mod audit;
mod certificates;
mod checkpoint;
mod config;
mod digest;
mod fetch;
pub mod invariants;
mod keys;
mod lies;
mod message;
mod mutants;
mod normal;
mod record;
mod replica;
mod requests;
mod slot;
mod verify;
mod view_change;

pub use certificates::{
    CheckpointCertificate, CommitCertificate, Endorsement, PreparedCertificate,
};
pub use config::Config;
pub use digest::Digest;
pub use keys::{BadKey, KeyRing, PublicKey, SecretKey};
pub use message::{
    Body, Carried, Decided, Message, NewView, Sequence, SignedViewChange, View, ViewChange, Vote,
};
pub use mutants::MUTANTS;
pub use record::Record;
pub use replica::{Pbft, Timer};
