//! Hostile bytes and faulty disks, for everything that Synod reads.
//!
//! * [`TARGETS`] are functions from bytes to nothing that panic where a rule is broken. `fuzz/`
//!   gives each of them to libFuzzer; the tests of this crate replay the corpus, which is kept in
//!   `fuzz/corpus/`, and go on with seeded mutations of it, by the ordinary toolchain.
//! * [`handlers`] is the target of the algorithms: a cluster with a replica that says anything.
//! * [`storage`] is not fed bytes but seeds: a data directory over a [`disk`] that fails; [`crash`]
//!   goes through every crash of one history of it.
//!
//! A parser that is added to the workspace gets a line in [`TARGETS`], a target of the same name
//! in `fuzz/` and seeds in [`seeds`].

mod actor;
pub mod crash;
pub mod decoders;
pub mod disk;
pub mod feed;
pub mod generate;
pub mod handlers;
pub mod logs;
pub mod mutate;
pub mod seeds;
pub mod storage;

use synod_algorithms::{Algorithm, Visitor};

/// Something that reads bytes.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, here and in `fuzz/`.
    pub name: &'static str,
    /// Gives it bytes. Panics if a rule is broken.
    pub run: fn(&[u8]),
}

/// Everything that reads bytes.
pub const TARGETS: &[Target] = &[
    Target { name: "connection", run: decoders::connection },
    Target { name: "hello", run: decoders::hello },
    Target { name: "greeting", run: decoders::greeting },
    Target { name: "request", run: decoders::request },
    Target { name: "to_replica", run: decoders::to_replica },
    Target { name: "membership", run: decoders::membership },
    Target { name: "chunks", run: decoders::chunks },
    Target { name: "sayings", run: decoders::sayings },
    Target { name: "to_client", run: decoders::to_client },
    Target { name: "batch", run: decoders::batch },
    Target { name: "kv", run: decoders::kv },
    Target { name: "snapshot", run: decoders::snapshot },
    Target { name: "scenario", run: decoders::scenario },
    Target { name: "identity", run: decoders::identity },
    Target { name: "keys", run: decoders::keys },
    Target { name: "log_file", run: logs::log_file },
    Target { name: "directory", run: logs::directory },
    Target { name: "message_paxos", run: |bytes| message(Algorithm::Paxos, bytes) },
    Target { name: "message_multipaxos", run: |bytes| message(Algorithm::MultiPaxos, bytes) },
    Target { name: "message_raft", run: |bytes| message(Algorithm::Raft, bytes) },
    Target { name: "message_pbft", run: |bytes| message(Algorithm::Pbft, bytes) },
    Target { name: "record_paxos", run: |bytes| record(Algorithm::Paxos, bytes) },
    Target { name: "record_multipaxos", run: |bytes| record(Algorithm::MultiPaxos, bytes) },
    Target { name: "record_raft", run: |bytes| record(Algorithm::Raft, bytes) },
    Target { name: "record_pbft", run: |bytes| record(Algorithm::Pbft, bytes) },
    Target { name: "handlers_paxos", run: |bytes| handlers(Algorithm::Paxos, bytes) },
    Target { name: "handlers_multipaxos", run: |bytes| handlers(Algorithm::MultiPaxos, bytes) },
    Target { name: "handlers_raft", run: |bytes| handlers(Algorithm::Raft, bytes) },
    Target { name: "handlers_pbft", run: |bytes| handlers(Algorithm::Pbft, bytes) },
];

/// The target of this name.
pub fn target(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}

/// Gives bytes to the target of this name, for libFuzzer.
///
/// # Panics
/// If there is no such target, or if a rule is broken.
pub fn fuzz(name: &str, bytes: &[u8]) {
    let target = target(name).unwrap_or_else(|| panic!("there is no target {name}"));
    (target.run)(bytes);
}

enum Part<'a> {
    Message(&'a [u8]),
    Record(&'a [u8]),
    Handlers(&'a [u8]),
}

impl Visitor for Part<'_> {
    type Output = ();

    fn visit<P: consensus_core::Audit>(self) {
        match self {
            Self::Message(bytes) => decoders::message::<P>(bytes),
            Self::Record(bytes) => {
                decoders::record::<P>(bytes);
                handlers::recover::<P>(bytes);
            }
            Self::Handlers(bytes) => handlers::play::<P>(bytes),
        }
    }
}

fn message(algorithm: Algorithm, bytes: &[u8]) {
    algorithm.dispatch(Part::Message(bytes));
}

fn record(algorithm: Algorithm, bytes: &[u8]) {
    algorithm.dispatch(Part::Record(bytes));
}

fn handlers(algorithm: Algorithm, bytes: &[u8]) {
    algorithm.dispatch(Part::Handlers(bytes));
}
