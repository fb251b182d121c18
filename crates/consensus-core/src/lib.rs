//! The contract between a consensus algorithm and the world: everything that Paxos, Multi-Paxos,
//! Raft, PBFT and ZAB share, so that each algorithm's crate holds only what makes it different.
//!
//! # The contract
//!
//! An algorithm implements [`ConsensusProtocol`]: a value with one door, `step`, that takes an
//! [`Input`] and fills [`Effects`]. A *driver* owns the value: the simulator, the real runtime, a
//! model checker. The driver does what the effects say, in their order, and reports back.
//!
//! 1. **No clock, no chance, no IO inside.** A timer is set with a range; the driver draws. A timer
//!    that was set again or cancelled never fires stale.
//! 2. **One write stream, gated sends.** Records are numbered. A message is a promise or it is not
//!    ([`Message::gate`]); a promise leaves when everything needed that was written before it is
//!    durable, and [`Outbox`] sees to that, not the author. A replica counts its own vote when
//!    [`Input::Durable`] passes the vote's record ([`InFlight`] remembers which that is).
//! 3. **`step` is total.** Nothing that another replica or a client sends makes it panic. A broken
//!    local invariant is reported with [`Effects::halt`]; the driver then drops the whole step and
//!    stops the replica, in release builds too. A message must pass `verify` first: [`Verified`]
//!    has no other maker.
//! 4. **Batches are the unit.** Commands are framed once ([`Batch`]) and their bytes are shared by
//!    log, messages, disk and state machine.
//! 5. **Shared layers stay shared.** Sessions and the state machine sit behind [`Executor`]; the
//!    client is [`Client`]; both are the same for every algorithm and driver.
//! 6. **Counting happens in one place**, [`Counters`], per kind of message.
//! 7. **Auditable.** [`Audit`] tells the oracles what they need without naming the algorithm.
//! 8. **One canonical encoding** for what is digested or signed: [`Canonical`].
//!
//! # How a driver runs a replica
//!
//! ```text
//! recover ─▶ step(Start) ─▶ carry out ─▶ step(input) ─▶ carry out ─▶ … ─▶ step(Drained) ─▶ …
//!                             │
//!                             ├ halted?        drop everything, stop
//!                             ├ Write          append; sync if needed; later step(Durable)
//!                             ├ Send           through the Outbox to the links
//!                             ├ SetTimer …     draw, arm
//!                             ├ Commit         Executor::execute, answer the clients
//!                             ├ Compact        append as one record that replaces all before it
//!                             ├ Fetch, Snapshot  Incoming: ask for, send, put together snapshots
//!                             ├ Ready          Reads: answer once applied
//!                             ├ Members        open and close links; tell the operator
//!                             └ Refuse         answer the clients
//! ```
//!
//! `Start` comes first, once. `Drained` comes when the driver has no more input at hand (the
//! simulator says it after every input), and is when a protocol writes and sends what it held back
//! to batch. Each decided batch comes as an effect, or, for a driver that would rather look at it
//! where it lies, as the name of its place: [`Effects::in_place`]; so do records, and messages and
//! timers go a shorter way. A driver may leave out `Drained` where
//! [`ConsensusProtocol::awaits_drained`] says so, and keep `Durable` back with [`DiskNews`].

mod audit;
mod auth;
mod ballot;
mod batch;
mod canonical;
mod client;
mod cluster;
mod counters;
mod disk_news;
mod drift;
mod effects;
mod executor;
mod fingerprint;
mod id;
mod in_flight;
mod machine;
mod membership;
pub mod mutant;
mod outbox;
mod protocol;
mod querier;
pub mod quorum;
mod read;
mod request;
mod run;
mod session;
mod snapshot;
mod turn;
mod variant;

pub use audit::{Audit, Certificate, Claim, Held, Ledger, Proof, Topic};
pub use auth::{AuthMeter, Authenticator, NoKeys, Signer, Tag};
pub use ballot::Ballot;
pub use batch::{BadBatch, Batch, Command, CommandRef, MAX_COMMANDS};
pub use canonical::Canonical;
pub use client::{Client, Outcome, Patience, Todo};
pub use cluster::{Cluster, ConfigError, Delay, Timing};
pub use counters::{Counters, Sent};
pub use disk_news::DiskNews;
pub use drift::Drift;
pub use effects::{Effect, Effects, Kept, Refusal};
pub use executor::{DEFAULT_SESSIONS, Executed, Executor};
pub use fingerprint::{Fingerprint, StableHasher};
pub use id::{
    ClientId, ClusterId, Incarnation, LogIndex, NodeId, NodeSet, Position, RecordNumber, RequestId,
    SessionId,
};
pub use in_flight::InFlight;
pub use machine::{Frozen, RestoreError, StateMachine};
pub use membership::{Change, ChangeRefusal, MAX_CONTACT, MEMBERSHIP_CLIENT, Membership};
pub use outbox::Outbox;
pub use protocol::{
    Answers, ConsensusProtocol, Durable, Env, Envelope, FaultModel, Gate, Input, Links, Message,
    MessageKind, ProtocolConfig, ProtocolInfo, Record, RecoverError, Rejected, Role, Sizes, Status,
    Takes, Traffic, Verified,
};
pub use querier::{Ask, Querier};
pub use read::{Admitted, Consistency, Query, QueryReply, Read, ReadMode, Reads};
pub use request::{Answer, Reply, Request};
pub use run::Run;
pub use session::{Sessions, Verdict};
pub use snapshot::{Incoming, Received, SnapshotMessage, SnapshotMeta, Then, asked_offset};
pub use variant::Variant;
