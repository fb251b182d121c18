//! The settings.

use consensus_core::mutant::planted;
use consensus_core::quorum::{self, QuorumError, Quorums};
use consensus_core::{
    Cluster, ConfigError, Drift, Membership, NodeId, NodeSet, ProtocolConfig, Sizes, Variant,
};
use std::collections::BTreeMap;

/// The settings of a replica: sizes, nothing that changes the algorithm.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// Who votes before any change of members. Nobody, at a replica that joins a running cluster
    /// and will be told.
    pub voters: NodeSet,
    /// How many acceptances choose a value. A new leader needs as many promises as make sure that
    /// the two quorums meet. The same on all replicas.
    pub phase_2: Phase2,
    /// Whom the leader asks to accept.
    pub sending: Sending,
    /// How the others hear what is chosen (§2.3).
    pub commits: Commits,
    /// Chosen slots that are kept although a snapshot covers them, so that a replica that is a
    /// little behind is brought up to date without a snapshot.
    pub trailing_entries: u64,
    /// Bytes of such slots. Fewer slots are kept if they are large.
    pub trailing_bytes: usize,
    /// Slots before its newest snapshot that a leader keeps, at most, while a replica takes an
    /// older one and catches up from there. Over when it has caught up, or falls silent.
    pub held_entries: u64,
    /// Bytes of such slots.
    pub held_bytes: usize,
    /// Leases: the leader answers reads without asking anybody. `None` is off. The same on all
    /// replicas. With leases, an acceptor that heard a leader, or that has just started, promises
    /// no other ballot for the shortest election timeout.
    pub lease: Option<Drift>,
    /// Who should lead rather; who is not named has 0. A follower of a higher priority that keeps
    /// up is handed the leadership, and while it answers, others wait longer before they replace a
    /// lost leader. Each replica tells the leader its own, so it may be the only one that knows.
    pub priorities: BTreeMap<NodeId, u8>,
    /// Bytes of values that a leader has proposed and not yet executed; more wait their turn (the
    /// paper's α of §3, PMMC's WINDOW, measured in bytes). A value counts a little more than its
    /// length, so that this bounds no-ops, too.
    pub window_bytes: usize,
    /// Slots that a leader has proposed in and that are not executed.
    pub window_slots: usize,
    /// Bytes of values that a leader takes and has not yet executed; beyond, it is busy.
    pub max_pending_bytes: usize,
    /// Bytes of values in one promise, one answer to a lagging replica, or one round of sending
    /// again. One value always goes, whatever its size.
    pub max_message_bytes: usize,
    /// Chosen slots of which the disk is not told yet; of the rest with the next heartbeat. A
    /// replica that restarts learns of them from its leader again.
    pub max_unnoted: u64,
}

/// How many acceptances choose a value, whoever votes ("Flexible Paxos", OPODIS 2016).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Phase2 {
    /// A majority of the voters, and as many promises.
    Majority,
    /// One less than a majority, but at least one.
    BelowMajority,
    /// So many, as long as there are so many voters: no change may leave fewer.
    Exactly(usize),
}

/// Whom the leader asks to accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sending {
    /// All members: whichever quorum is faster answers first.
    Full,
    /// Just a quorum, those that answered lately; all of them when it does not answer in time.
    /// Fewer messages, and a single slow acceptor delays the choice by two heartbeats. The others
    /// ask for what is chosen.
    Thrifty,
}

/// How the others hear what is chosen (§2.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Commits {
    /// With the next accept, or else with the heartbeat: no message more.
    Piggybacked,
    /// The leader tells them at once: n − 1 messages more, and they know after three delays.
    Explicit,
}

const THRIFTY: Variant =
    Variant::new("sending=thrifty", "the leader asks just a quorum, and all when that is silent");
const EXPLICIT: Variant =
    Variant::new("commits=explicit", "the leader tells at once what is chosen, in a third message");
const SMALL_PHASE_2: Variant = Variant::new(
    "quorums=small-phase-2",
    "one acceptance less than a majority chooses, one promise more elects; or Q1/Q2",
);

const FIRST: Variant =
    Variant::new("leader=first", "node 0 has a higher priority than all others: it should lead");

impl ProtocolConfig for Config {
    fn for_cluster(cluster: &Cluster) -> Result<Self, ConfigError> {
        cluster.validate()?;
        Ok(Self {
            voters: cluster.voters,
            phase_2: Phase2::Majority,
            sending: Sending::Full,
            commits: Commits::Piggybacked,
            trailing_entries: 4096,
            trailing_bytes: 16 << 20,
            held_entries: 1 << 20,
            held_bytes: 64 << 20,
            lease: None,
            priorities: BTreeMap::new(),
            window_bytes: 8 << 20,
            window_slots: 4096,
            max_pending_bytes: 64 << 20,
            max_message_bytes: 1 << 20,
            max_unnoted: 64,
        })
    }

    fn with_sizes(cluster: &Cluster, mut sizes: Sizes) -> Result<Self, ConfigError> {
        let usual = Self::for_cluster(cluster)?;
        Ok(Self {
            window_bytes: sizes.pick(1, usual.window_bytes),
            max_pending_bytes: sizes.pick(256, usual.max_pending_bytes),
            max_message_bytes: sizes.pick(1, usual.max_message_bytes),
            trailing_entries: sizes.pick(1, usual.trailing_entries),
            held_entries: sizes.pick(1, usual.held_entries),
            max_unnoted: sizes.pick(1, usual.max_unnoted),
            ..usual
        })
    }

    const VARIANTS: &'static [Variant] = &[EXPLICIT, THRIFTY, SMALL_PHASE_2, FIRST];

    fn with_variant(self, name: &str, _cluster: &Cluster) -> Result<Self, ConfigError> {
        let is = |variant: Variant| variant.name == name;
        match name.strip_prefix("quorums=") {
            Some(value) => self.with_named_quorums(value),
            None if is(THRIFTY) => Ok(Self { sending: Sending::Thrifty, ..self }),
            None if is(FIRST) => Ok(Self { priorities: BTreeMap::from([(NodeId(0), 1)]), ..self }),
            None if is(EXPLICIT) => Ok(Self { commits: Commits::Explicit, ..self }),
            None => Err(Variant::unknown(name, Self::VARIANTS)),
        }
    }

    fn quorums(&self, voters: usize) -> Option<Quorums> {
        self.flexible(voters).ok()
    }

    fn timeless(self) -> Self {
        // Without time there are no heartbeats, and with them notes.
        Self { lease: None, max_unnoted: 1, ..self }
    }

    fn with_lease(self, parts_per_million: u32) -> Option<Self> {
        Some(Self { lease: Some(Drift { parts_per_million }), ..self })
    }

    fn with_trailing(self, entries: u64) -> Self {
        Self { trailing_entries: entries, ..self }
    }
}

impl Config {
    /// So many acceptances choose a value, and n − `size` + 1 of n voters must promise ("Flexible
    /// Paxos", OPODIS 2016): smaller quorums for commands, larger ones for a new leader.
    ///
    /// # Errors
    /// If there are fewer voters. A change of members that leaves fewer is refused.
    pub fn with_phase_2(self, size: usize) -> Result<Self, ConfigError> {
        let config = Self { phase_2: Phase2::Exactly(size), ..self };
        config.validate()?;
        Ok(config)
    }

    /// `small-phase-2`, or two numbers as `4/2`.
    fn with_named_quorums(self, value: &str) -> Result<Self, ConfigError> {
        let voters = self.voters.len();
        if SMALL_PHASE_2.name == format!("quorums={value}") {
            return Ok(Self { phase_2: Phase2::BelowMajority, ..self });
        }
        let sizes = value
            .split_once('/')
            .and_then(|(one, two)| Some((one.parse::<usize>().ok()?, two.parse::<usize>().ok()?)));
        let Some((phase_1, phase_2)) = sizes else {
            let what = "small-phase-2, or PHASE1/PHASE2 as 4/2";
            return Err(ConfigError(format!("'quorums={value}': expected {what}")));
        };
        if voters == 0 {
            return self.with_phase_2(phase_2); // It joins, and the others have checked.
        }
        Quorums::flexible(voters, phase_1, phase_2)
            .map_err(|error| ConfigError(error.to_string()))?;
        if phase_1 + phase_2 > voters + 1 {
            let enough = voters + 1 - phase_2;
            return Err(ConfigError(format!(
                "'quorums={value}': with {phase_2} acceptances of {voters}, {enough} promises are \
                 enough; say {enough}/{phase_2}"
            )));
        }
        self.with_phase_2(phase_2)
    }

    /// Can the initial voters agree on anything?
    ///
    /// # Errors
    /// If there are fewer of them than are to choose a value.
    pub fn validate(&self) -> Result<(), ConfigError> {
        if self.voters.is_empty() {
            return Ok(());
        }
        let quorums = self.flexible(self.voters.len());
        quorums.map(|_| ()).map_err(|error| ConfigError(error.to_string()))
    }

    fn flexible(&self, voters: usize) -> Result<Quorums, QuorumError> {
        let majority = quorum::majority(voters);
        let phase_2 = match self.phase_2 {
            Phase2::Majority => return Quorums::flexible(voters, majority, majority),
            Phase2::BelowMajority => (majority - 1).max(1),
            Phase2::Exactly(size) => size,
        };
        Quorums::flexible(voters, (voters + 1).saturating_sub(phase_2), phase_2)
    }

    /// Can these members agree on anything?
    pub(crate) fn suits(&self, members: &Membership) -> bool {
        let voters = if planted("M182") { members.members() } else { members.voters };
        self.quorums(voters.len()).is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::ClusterId;

    #[test]
    fn the_default_is_a_majority_in_both_phases() {
        let config = Config::for_cluster(&Cluster::new(ClusterId(1), 5)).expect("five nodes do");
        let quorums = config.quorums(5).expect("five voters");
        assert_eq!((quorums.phase_1(), quorums.phase_2()), (3, 3));
        assert_eq!(config.quorums(0), None);
        assert!(Config::for_cluster(&Cluster::new(ClusterId(1), 0)).is_err());
    }

    /// Flexible Paxos: q1 + q2 > n, for whatever n the members have.
    #[test]
    fn flexible_quorums_follow_the_number_of_voters() {
        let five = Config::for_cluster(&Cluster::new(ClusterId(1), 5)).expect("five nodes do");
        let config = five.clone().with_phase_2(2).expect("2 of 5");
        let sizes = |voters| config.quorums(voters).map(|quorums| quorums.phase_1());
        assert_eq!([1, 2, 3, 5].map(sizes), [None, Some(1), Some(2), Some(4)]);
        let refused = five.with_phase_2(6).expect_err("6 of 5").to_string();
        assert!(refused.contains("among 5 nodes"), "{refused}");
    }
}
