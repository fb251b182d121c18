//! The oracles: each rule written once, over [`consensus_core::Audit`], for all algorithms.
//!
//! They look from outside at what no replica can see: all nodes, all disks, all clients, all
//! lives. Each is fed facts and answers with a finding when a rule is broken.
//!
//! | oracle | rule | where |
//! |---|---|---|
//! | O1 | agreement: one batch an index, over all nodes and all time | [`history`] |
//! | O2 | integrity: what is committed was submitted, and is applied at most once | [`history`] |
//! | O3 | one leader an epoch | [`epochs`] |
//! | O4 | committed without gap; logs match | [`history`], [`disks`] |
//! | O5 | a new leader holds what was committed in earlier epochs | [`epochs`] |
//! | O6 | what is committed is on the synced disks of a quorum | [`disks`] |
//! | O7 | no node contradicts itself, restarts included | [`claims`] |
//! | O8 | epoch and commit index do not fall | [`epochs`] |
//! | O9 | linearizable: commit order agrees with real time, results with a replay | [`history`] |
//! | O9 | the index that a replica names for a read is fresh | [`reads`] |
//! | O10 | linearizable from outside: some order explains all answers | [`blackbox`] |
//! | O11 | exactly once: what was refused is never applied | [`history`] |
//! | O13 | liveness: a healed quorum gets on | `check` |
//! | O14 | cost: a healed cluster without traffic is at rest | `check` |
//! | O15 | equal states at equal indices | [`states`] |
//! | O16 | certificates: enough distinct signers who really said it | [`claims`] |
//! | O12 | order: purged ≤ snapshot ≤ applied ≤ committed ≤ last | [`epochs`] |
//! | O18 | no stop without a reason: no panic, no halt, no refusal to recover | `world` |
//! | O19 | members: what is announced or kept is what the log says | [`members`] |
//! | O20 | soundness: own invariants, and what is believed of disks | [`soundness`] |

pub(crate) mod blackbox;
pub(crate) mod claims;
pub(crate) mod disks;
pub(crate) mod epochs;
pub(crate) mod history;
pub(crate) mod members;
pub(crate) mod reads;
pub(crate) mod soundness;
pub(crate) mod states;

use crate::report::Finding;
use consensus_core::StableHasher;
use std::collections::{HashMap, HashSet};
use std::hash::BuildHasherDefault;

/// What an oracle answers.
pub(crate) type Verdict = Result<(), Finding>;

/// A map without a random key. Only looked up, never listed.
pub(crate) type Table<K, V> = HashMap<K, V, BuildHasherDefault<StableHasher>>;

/// A set without a random key. Only looked up, never listed.
pub(crate) type Seen<K> = HashSet<K, BuildHasherDefault<StableHasher>>;
