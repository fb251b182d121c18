//! Raft's settings.

use consensus_core::{
    Cluster, ConfigError, Delay, Drift, Membership, NodeId, NodeSet, ProtocolConfig, Sizes, Timing,
    Variant,
};
use core::time::Duration;
use std::collections::BTreeMap;

/// The settings of one server. Safety needs nothing of them to be equal on all servers, except for
/// who votes at the beginning, the timing, and whether there are leases and with which drift.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// Who votes at the beginning, before any change of members. Nobody, for a server that joins
    /// a running cluster.
    pub voters: NodeSet,
    /// Heartbeat interval and election timeout.
    pub timing: Timing,
    /// Bytes of entries in one AppendEntries (a single larger entry goes alone), and in one record
    /// of a log that is compacted. Links must carry four times as many, and 64 KiB at least: what a
    /// candidate is sent that lags is not always cut there.
    pub max_append_bytes: usize,
    /// AppendEntries that may be on their way to one follower, not yet answered.
    pub max_in_flight: usize,
    /// Bytes of entries that may be on their way to one follower.
    pub max_in_flight_bytes: usize,
    /// Bytes that a leader takes before they are committed; beyond, it says it is busy.
    pub max_pending_bytes: usize,
    /// Entries that are kept although a snapshot covers them, for followers that lag a little:
    /// they are spared the snapshot.
    pub trailing_entries: u64,
    /// Bytes of such entries. Whichever of the two limits is reached first counts.
    pub trailing_bytes: usize,
    /// Entries before its newest snapshot that a leader keeps, at most, while a server takes an
    /// older one and catches up from there: else a busy leader would have forgotten by then what
    /// the server needs next, again and again. Over when it has caught up, or falls silent.
    pub held_entries: u64,
    /// Bytes of such entries.
    pub held_bytes: usize,
    /// How a leader finds the place where a follower's log agrees with its own.
    pub repair: Repair,
    /// What becomes of a candidate whose log is behind.
    pub candidates: Candidates,
    /// Leader leases (thesis §6.4.1): a leader answers reads without asking anybody. `None` is
    /// off. All servers must agree on it.
    pub lease: Option<Drift>,
    /// Who should lead rather; who is not named has 0. A follower of a higher priority that is up
    /// to date is handed the leadership, and while it lives others wait longer before they
    /// campaign. Each server tells the leader its own, so a server may be the only one that knows.
    pub priorities: BTreeMap<NodeId, u8>,
}

/// How a leader finds the place where a follower's log agrees with its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Repair {
    /// A follower that refuses says why, and a whole term is skipped at once (§5.3, at the end).
    #[default]
    Hints,
    /// One index a refusal: the plain rule of Figure 2.
    Decrement,
}

/// What becomes of a candidate that is refused because its log is behind.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub enum Candidates {
    /// Who refuses it sends what it lacks, so that a server that alone reaches a majority can lead
    /// whatever its log holds. Not in the paper; see `tail.rs` for why it is safe.
    #[default]
    CatchUp,
    /// It waits until a leader feeds it: the paper. If it alone reaches a majority, nobody leads
    /// until a link comes back.
    Wait,
}

/// The plain rule of Figure 2.
const DECREMENT: Variant = Variant::new(
    "repair=decrement",
    "a leader steps back one index for each AppendEntries that is refused; no hints",
);
/// The paper's elections.
const WAIT: Variant = Variant::new(
    "candidates=wait",
    "a candidate whose log is behind is refused and told nothing, as in the paper",
);
/// Leader leases.
const LEASE: Variant = Variant::new(
    "reads=lease",
    "leaders have leases, and may answer reads by them; no clock is wrong by more than one percent",
);

/// Priorities.
const FIRST: Variant =
    Variant::new("leader=first", "node 0 has a higher priority than all others: it should lead");

impl ProtocolConfig for Config {
    fn for_cluster(cluster: &Cluster) -> Result<Self, ConfigError> {
        cluster.validate()?;
        Ok(Self {
            voters: cluster.voters,
            timing: cluster.timing,
            max_append_bytes: 512 << 10,
            max_in_flight: 128,
            max_in_flight_bytes: 8 << 20,
            max_pending_bytes: 64 << 20,
            trailing_entries: 4096,
            trailing_bytes: 16 << 20,
            held_entries: 1 << 20,
            held_bytes: 64 << 20,
            repair: Repair::Hints,
            candidates: Candidates::CatchUp,
            lease: None,
            priorities: BTreeMap::new(),
        })
    }

    fn with_sizes(cluster: &Cluster, mut sizes: Sizes) -> Result<Self, ConfigError> {
        let usual = Self::for_cluster(cluster)?;
        Ok(Self {
            max_append_bytes: sizes.pick(1, usual.max_append_bytes),
            max_in_flight: sizes.pick(1, usual.max_in_flight),
            max_in_flight_bytes: sizes.pick(1, usual.max_in_flight_bytes),
            max_pending_bytes: sizes.pick(1, usual.max_pending_bytes),
            trailing_entries: sizes.pick(1, usual.trailing_entries),
            held_entries: sizes.pick(1, usual.held_entries),
            ..usual
        })
    }

    const VARIANTS: &'static [Variant] = &[DECREMENT, LEASE, FIRST, WAIT];

    fn with_variant(self, name: &str, _cluster: &Cluster) -> Result<Self, ConfigError> {
        match name {
            _ if name == DECREMENT.name => Ok(Self { repair: Repair::Decrement, ..self }),
            _ if name == WAIT.name => Ok(Self { candidates: Candidates::Wait, ..self }),
            _ if name == LEASE.name => Ok(Self { lease: Some(Drift::GENEROUS), ..self }),
            _ if name == FIRST.name => {
                Ok(Self { priorities: BTreeMap::from([(NodeId(0), 1)]), ..self })
            }
            _ => Err(Variant::unknown(name, Self::VARIANTS)),
        }
    }

    fn with_lease(self, parts_per_million: u32) -> Option<Self> {
        Some(Self { lease: Some(Drift { parts_per_million }), ..self })
    }

    fn with_trailing(self, entries: u64) -> Self {
        Self { trailing_entries: entries, ..self }
    }
}

impl Config {
    /// How much a server should lead.
    pub(crate) fn priority_of(&self, server: NodeId) -> u8 {
        self.priorities.get(&server).copied().unwrap_or_default()
    }

    /// The members at the beginning.
    pub(crate) fn members(&self) -> Membership {
        Membership { voters: self.voters, ..Membership::default() }
    }

    /// The shortest election timeout: for so long a server trusts that the leader lives, and a
    /// leader that its followers do.
    pub(crate) fn least_timeout(&self) -> Delay {
        Delay::fixed(self.timing.election_min)
    }

    /// The random rest of an election timeout, once the shortest one has passed.
    pub(crate) fn rest_of_timeout(&self) -> Delay {
        Delay { min: Duration::ZERO, max: self.spread() }
    }

    /// The same, for a server that lets one of a higher priority go first.
    pub(crate) fn rest_of_timeout_of_the_lesser(&self) -> Delay {
        Delay { min: self.spread(), max: self.spread() * 2 }
    }

    fn spread(&self) -> Duration {
        self.timing.election_max.saturating_sub(self.timing.election_min)
    }
}
