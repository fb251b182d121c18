//! Settings, and those of them that have a name.

use crate::fast::{Fast, is_fast};
use consensus_core::mutant::planted;
use consensus_core::quorum::{Quorums, majority};
use consensus_core::{Ballot, Cluster, ConfigError, Delay, ProtocolConfig, Sizes, Variant};

/// Settings of Paxos.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// How many promises and acceptances are enough. They need not be majorities, see
    /// [`with_quorums`](Self::with_quorums).
    pub quorums: Quorums,
    /// How learners hear what is chosen (§2.3).
    pub learners: Learners,
    /// Whom a proposer asks.
    pub sending: Sending,
    /// What an acceptor answers to a request that it refuses.
    pub refusals: Refusals,
    /// Which proposals an acceptor accepts.
    pub accepting: Accepting,
    /// Whether every slot begins with a fast round ("Fast Paxos").
    pub fast: Fast,
    /// A request that was not answered by a quorum is repeated after this time.
    pub retransmit: Delay,
    /// How long a proposer keeps quiet after it was outbid once. The range doubles with every
    /// further time, so that of two duelling proposers one gets through (§2.4). Zero: it tries
    /// again at once, and two proposers may outbid each other for ever.
    pub back_off: Delay,
    /// The range doubles at most this often.
    pub back_off_doublings: u32,
    /// Who finds out that a value is chosen tells the others after this time, for there may be no
    /// next `Prepare` to carry the news.
    pub spread: Delay,
    /// How often every replica says what it knows to be chosen, so that those who missed it ask.
    pub idle: Delay,
    /// An acceptor that does not hear for so long whether its last proposal was chosen runs phase
    /// 1 to find out.
    pub doubt: Delay,
    /// Commands beyond this many bytes are refused until earlier ones are chosen.
    pub max_pending_bytes: usize,
    /// Batches that wait are merged into one proposal up to this many bytes; 0 means never.
    pub max_merged_bytes: usize,
    /// One `Learn` carries values up to this many bytes, or a single larger one.
    pub max_learn_bytes: usize,
}

/// How learners hear what is chosen (§2.3). The proposer's node always learns first, from the
/// acceptances of its proposal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Learners {
    /// From the next `Prepare`, or from a `Chosen` a little later: no message more. The cheapest,
    /// and the slowest for those who are not asked themselves.
    Piggybacked,
    /// The proposer's node is the distinguished learner, and tells the others at once: n − 1
    /// messages more, one delay later than itself.
    Distinguished,
    /// Every acceptor tells every learner: n(n − 1) instead of n − 1 `Accepted`, and all learn
    /// as early as the proposer's node does.
    All,
}

/// Whom a proposer asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Sending {
    /// All acceptors: whichever quorum is faster answers first.
    Full,
    /// Just a quorum, those first that answered lately; all of them when it does not answer in
    /// time. Fewer messages, and a single slow acceptor delays the decision by
    /// [`Config::retransmit`].
    Thrifty,
}

/// What an acceptor answers to a request that it refuses. §2.2: it may ignore it; to say so only
/// saves time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Refusals {
    /// A `Nack` with the higher promise.
    Told,
    /// Nothing. A proposer that is not answered in time begins anew with a higher number.
    Silent,
}

/// Which proposals an acceptor accepts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Accepting {
    /// Those that are not numbered lower than its promise: P1a (§2.2).
    NotBelowPromise,
    /// Only the very number that it promised last, as some lectures teach. Safe, but an acceptor
    /// that missed the `Prepare` cannot help.
    OnlyPromised,
}

/// The distinguished learner.
const DISTINGUISHED: Variant = Variant::new(
    "learners=distinguished",
    "the proposer's node tells the others at once what is chosen",
);
/// All acceptors to all learners.
const ALL_TO_ALL: Variant =
    Variant::new("learners=all", "every acceptor tells every replica what it accepted");
/// Thrifty sending.
const THRIFTY: Variant =
    Variant::new("sending=thrifty", "a proposer asks just a quorum, and all when that is silent");
/// A named choice of flexible quorums that makes sense in clusters of any size.
const SMALL_PHASE_2: Variant = Variant::new(
    "quorums=small-phase-2",
    "one acceptance less than a majority chooses, one promise more is needed; or Q1/Q2",
);
/// Refusals are not told.
const SILENT: Variant =
    Variant::new("refusals=silent", "an acceptor that refuses says nothing; no nacks");
/// The rule of some lectures.
const ONLY_PROMISED: Variant =
    Variant::new("accepting=only-promised", "an acceptor accepts only what it promised last");
/// Fast Paxos.
const FAST: Variant = Variant::new(
    "fast=on",
    "who proposes asks to accept at once, and more acceptances are needed; or CLASSIC/FAST",
);

impl Config {
    /// Other quorums than majorities: a phase-1 quorum must meet every phase-2 quorum, and that is
    /// all that safety needs (Howard, Malkhi, Spiegelman, "Flexible Paxos", OPODIS 2016). Values
    /// go on being chosen while `phase_2` acceptors are up, and a new proposer can begin while
    /// `phase_1` are; in Basic Paxos every command needs both.
    ///
    /// # Errors
    /// If the two might not meet, `phase_1 + phase_2 <= n`, or if there are not so many replicas.
    pub fn with_quorums(self, phase_1: usize, phase_2: usize) -> Result<Self, ConfigError> {
        let quorums = Quorums::flexible(self.quorums.nodes(), phase_1, phase_2)
            .map_err(|error| ConfigError(error.to_string()))?;
        Self { quorums, ..self }.checked_for_fast()
    }

    /// `small-phase-2`, or two numbers as `4/2`.
    fn with_named_quorums(self, value: &str) -> Result<Self, ConfigError> {
        if SMALL_PHASE_2.name == format!("quorums={value}") {
            let nodes = self.quorums.nodes();
            let phase_2 = (majority(nodes) - 1).max(1);
            return self.with_quorums(nodes + 1 - phase_2, phase_2);
        }
        let sizes = value
            .split_once('/')
            .and_then(|(phase_1, phase_2)| Some((phase_1.parse().ok()?, phase_2.parse().ok()?)));
        let Some((phase_1, phase_2)) = sizes else {
            let what = "small-phase-2, or PHASE1/PHASE2 as 4/2";
            return Err(ConfigError(format!("'quorums={value}': expected {what}")));
        };
        self.with_quorums(phase_1, phase_2)
    }

    /// Promises that let a proposer go on to phase 2. Where an acceptor accepts only what it
    /// promised they are at least as many as have to accept: an `Accept` that overtakes its
    /// `Prepare` is refused there, and one refusal may be too many.
    pub(crate) fn promises_needed(&self) -> usize {
        let acceptances = match self.accepting {
            Accepting::OnlyPromised if !planted("P49") => self.quorums.phase_2(),
            Accepting::OnlyPromised | Accepting::NotBelowPromise => 0,
        };
        let promises = match () {
            () if planted("E-14") => self.quorums.nodes(),
            () if planted("P41") => self.quorums.phase_2(),
            () => self.quorums.phase_1(),
        };
        promises.max(acceptances)
    }

    /// Acceptances under this ballot that choose a value.
    pub(crate) fn acceptances_needed(&self, ballot: Ballot) -> usize {
        match () {
            () if is_fast(ballot) && !planted("P71") => self.fast_quorum(),
            () if planted("P30") => self.quorums.nodes().div_ceil(2),
            () => self.quorums.phase_2(),
        }
    }
}

impl ProtocolConfig for Config {
    fn for_cluster(cluster: &Cluster) -> Result<Self, ConfigError> {
        cluster.validate()?;
        let beat = cluster.timing.heartbeat;
        Ok(Self {
            quorums: Quorums::majority(cluster.size),
            learners: Learners::Piggybacked,
            sending: Sending::Full,
            refusals: Refusals::Told,
            accepting: Accepting::NotBelowPromise,
            fast: Fast::Off,
            retransmit: Delay { min: beat * 3, max: beat * 6 },
            back_off: Delay { min: beat / 20, max: beat / 5 },
            back_off_doublings: 7,
            spread: Delay::fixed(beat),
            idle: cluster.timing.election(),
            doubt: cluster.timing.election(),
            max_pending_bytes: 64 << 20,
            max_merged_bytes: 256 << 10,
            max_learn_bytes: 512 << 10,
        })
    }

    fn with_sizes(cluster: &Cluster, mut sizes: Sizes) -> Result<Self, ConfigError> {
        let usual = Self::for_cluster(cluster)?;
        Ok(Self {
            max_pending_bytes: sizes.pick(1, usual.max_pending_bytes),
            max_merged_bytes: sizes.pick(1, usual.max_merged_bytes),
            max_learn_bytes: sizes.pick(1, usual.max_learn_bytes),
            ..usual
        })
    }

    const VARIANTS: &'static [Variant] =
        &[DISTINGUISHED, ALL_TO_ALL, THRIFTY, SMALL_PHASE_2, SILENT, ONLY_PROMISED, FAST];

    fn with_variant(self, name: &str, _cluster: &Cluster) -> Result<Self, ConfigError> {
        let is = |variant: Variant| variant.name == name;
        if let Some(value) = name.strip_prefix("fast=") {
            return self.with_named_fast(value);
        }
        match name.strip_prefix("quorums=") {
            Some(value) => self.with_named_quorums(value),
            None if is(DISTINGUISHED) => Ok(Self { learners: Learners::Distinguished, ..self }),
            None if is(ALL_TO_ALL) => Ok(Self { learners: Learners::All, ..self }),
            None if is(THRIFTY) => Ok(Self { sending: Sending::Thrifty, ..self }),
            None if is(SILENT) => Ok(Self { refusals: Refusals::Silent, ..self }),
            None if is(ONLY_PROMISED) => Ok(Self { accepting: Accepting::OnlyPromised, ..self }),
            None => Err(Variant::unknown(name, Self::VARIANTS)),
        }
    }

    fn quorums(&self, _voters: usize) -> Option<Quorums> {
        Some(self.quorums)
    }
}
