//! The trait that every algorithm implements, and the values that pass its only door.

use crate::auth::{AuthMeter, Authenticator, Signer, Tag};
use crate::batch::Batch;
use crate::cluster::{Cluster, ConfigError};
use crate::effects::Effects;
use crate::id::{Incarnation, LogIndex, NodeId, RecordNumber};
use crate::membership::Change;
use crate::quorum::{self, Quorums};
use crate::read::Read;
use crate::snapshot::{SnapshotMessage, SnapshotMeta};
use crate::variant::Variant;
use core::time::Duration;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt::{self, Debug};
use std::hash::Hash;

/// A consensus algorithm: a pure function from inputs to effects.
///
/// There is no clock, no chance and no IO inside; two replicas with equal state that take the
/// same inputs produce the same effects. See the crate page for the contract with the driver.
pub trait ConsensusProtocol: Clone + Debug + Eq + Hash + Send + Sync + Sized + 'static {
    /// What users and drivers must know about the algorithm.
    const INFO: ProtocolInfo;
    /// The algorithm's settings.
    type Config: ProtocolConfig;
    /// What replicas say to each other.
    type Message: Message;
    /// What must survive a crash.
    type Record: Record;
    /// The timers; each value is one slot, that can be set once at a time.
    type Timer: Copy + Debug + Eq + Ord + Hash + Send + Sync + 'static;

    /// A replica as its disk remembers it. An empty disk is a replica that never ran.
    ///
    /// # Errors
    /// If the records contradict each other: this disk must not take part.
    fn recover(
        id: NodeId,
        config: Self::Config,
        durable: Durable<Self::Record>,
    ) -> Result<Self, RecoverError>;

    /// Decides whether a message may reach [`step`](Self::step): is it well-formed, is it of the
    /// sender, are its signatures and certificates good? Without state, so that a pool can do it.
    ///
    /// # Errors
    /// If not; the driver drops the message and counts it.
    fn verify(
        envelope: Envelope<Self::Message>,
        env: &Env<'_>,
    ) -> Result<Verified<Self::Message>, Rejected>;

    /// The only door to the state. Total: no input from a replica or client makes it panic; they
    /// are dropped with a trace. What *we* did wrong halts the replica, see [`Effects::halt`].
    fn step(&mut self, input: Input<Self>, env: &Env<'_>, effects: &mut Effects<Self>);

    /// The replica in a few numbers, for people and oracles.
    fn status(&self) -> Status;

    /// The batch at an index that was given out with [`Effects::commit_run`], as long as the
    /// replica keeps it; at least until the next step.
    fn decided(&self, index: LogIndex) -> Option<&Batch> {
        let _ = index;
        None
    }

    /// The record of what the replica keeps from `first` on, `count` of it, that was written with
    /// [`Effects::write_kept`]; at least until the next step.
    fn kept(&self, first: LogIndex, count: u64) -> Option<Self::Record> {
        let _ = (first, count);
        None
    }

    /// Has this replica something to do at [`Input::Drained`]? Where not, that step would change
    /// nothing and want nothing, and a driver may leave it out.
    #[inline]
    fn awaits_drained(&self) -> bool {
        true
    }

    /// Does this replica wait for its disk? Where not, a driver may keep [`Input::Durable`] to
    /// itself until it does: see [`DiskNews`](crate::DiskNews).
    #[inline]
    fn awaits_durable(&self) -> bool {
        true
    }

    /// What is to be kept beside a snapshot of everything up to this index, which the driver has
    /// just applied. `None` where the algorithm, as configured, never forgets its log.
    fn snapshot_meta(&self, index: LogIndex) -> Option<SnapshotMeta> {
        let _ = index;
        None
    }
}

/// Which of an algorithm's sizes (of windows, pages, queues) are as small as still works: a bit for
/// each, from the lowest, in the order in which its settings [`pick`](Self::pick) them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Sizes(u32);

impl Sizes {
    /// None of them.
    pub const USUAL: Self = Self(0);
    /// All of them.
    pub const SMALLEST: Self = Self(u32::MAX);

    /// Those whose bits are set.
    pub const fn of_bits(bits: u32) -> Self {
        Self(bits)
    }

    /// The same as a number.
    pub const fn bits(self) -> u32 {
        self.0
    }

    /// The next one: as small as still works, or the usual.
    pub fn pick<T>(&mut self, smallest: T, usual: T) -> T {
        let is_small = self.0 & 1 == 1;
        self.0 = self.0.rotate_right(1);
        if is_small { smallest } else { usual }
    }
}

/// Settings of an algorithm: all have defaults for a given cluster.
pub trait ProtocolConfig: Clone + Debug + Eq + Hash + Send + Sync + 'static {
    /// The defaults.
    ///
    /// # Errors
    /// If the algorithm cannot run in this cluster (PBFT with fewer than four replicas).
    fn for_cluster(cluster: &Cluster) -> Result<Self, ConfigError>;

    /// The defaults, but some of the sizes are as small as still works: windows and pages of one.
    /// Simulated runs use that, to reach states that generous sizes make rare.
    ///
    /// # Errors
    /// As [`for_cluster`](Self::for_cluster).
    fn with_sizes(cluster: &Cluster, sizes: Sizes) -> Result<Self, ConfigError> {
        let _ = sizes;
        Self::for_cluster(cluster)
    }

    /// All sizes are as small as still works.
    ///
    /// # Errors
    /// As [`for_cluster`](Self::for_cluster).
    fn smallest(cluster: &Cluster) -> Result<Self, ConfigError> {
        Self::with_sizes(cluster, Sizes::SMALLEST)
    }

    /// The same, but so many entries are kept although a snapshot covers them. Nothing changes
    /// where the log is never forgotten.
    #[must_use]
    fn with_trailing(self, entries: u64) -> Self {
        let _ = entries;
        self
    }

    /// The same without what trusts clocks, such as leases: for models without time.
    #[must_use]
    fn timeless(self) -> Self {
        self
    }

    /// The same with leases for reads, for clocks of which none gains or loses more than so many
    /// parts in a million. `None` if the algorithm has no leases. Simulated runs switch them on by
    /// this, and keep their clocks within it.
    fn with_lease(self, parts_per_million: u32) -> Option<Self> {
        let _ = parts_per_million;
        None
    }

    /// The named options, in the order of tables.
    const VARIANTS: &'static [Variant] = &[];

    /// These settings with a named option on.
    ///
    /// # Errors
    /// If there is no such option, or if it cannot be in this cluster.
    fn with_variant(self, name: &str, cluster: &Cluster) -> Result<Self, ConfigError> {
        let _ = cluster;
        Err(Variant::unknown(name, Self::VARIANTS))
    }

    /// These settings with several named options on, in their order.
    ///
    /// # Errors
    /// As [`with_variant`](Self::with_variant), or if one key is named twice.
    fn with_variants(self, names: &[String], cluster: &Cluster) -> Result<Self, ConfigError> {
        let mut config = self;
        for (place, name) in names.iter().enumerate() {
            let key = Variant::key(name);
            if let Some(other) = names[..place].iter().find(|other| Variant::key(other) == key) {
                return Err(ConfigError(format!("'{other}' and '{name}' exclude each other")));
            }
            config = config.with_variant(name, cluster)?;
        }
        Ok(config)
    }

    /// How many of so many voters each phase needs, where that is a setting (flexible quorums).
    /// `None`: [`ProtocolInfo::quorum`] in all phases.
    fn quorums(&self, voters: usize) -> Option<Quorums> {
        let _ = voters;
        None
    }
}

/// What replicas say to each other.
pub trait Message:
    Clone + Debug + Eq + Hash + Serialize + DeserializeOwned + Send + Sync + 'static
{
    /// All kinds, for tables.
    const KINDS: &'static [MessageKind];

    /// The kind of this one, for counting.
    fn kind(&self) -> MessageKind;

    /// Is this message a promise?
    fn gate(&self) -> Gate;

    /// What drivers say to each other about snapshots, as a message of this protocol. `None` where
    /// replicas send each other no snapshots.
    fn snapshot(message: SnapshotMessage) -> Option<Self> {
        let _ = message;
        None
    }
}

/// What must survive a crash.
pub trait Record:
    Clone + Debug + Eq + Hash + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

impl<T> Record for T where
    T: Clone + Debug + Eq + Hash + Serialize + DeserializeOwned + Send + Sync + 'static
{
}

/// When a message may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    /// At once: a proposal, a rejection, a heartbeat, a catch-up.
    Free,
    /// A promise: it leaves when every record written before it is durable.
    AfterSync,
}

/// A kind of message: the unit of counting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MessageKind {
    /// The paper's name for it.
    pub name: &'static str,
    /// What it is sent for.
    pub traffic: Traffic,
}

impl MessageKind {
    /// A kind.
    pub const fn new(name: &'static str, traffic: Traffic) -> Self {
        Self { name, traffic }
    }
}

/// What a message is sent for. Only [`Traffic::Command`] counts as cost of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Traffic {
    /// Deciding a command in the normal case.
    Command,
    /// Saying that one is alive, and spreading what was decided when nothing else is sent.
    Heartbeat,
    /// Electing a leader or changing the view.
    Election,
    /// Repairing, repeating, catching up.
    Repair,
    /// Agreeing on what may be forgotten.
    Checkpoint,
}

/// What users and drivers must know about an algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProtocolInfo {
    /// Its name on the command line: `raft`.
    pub name: &'static str,
    /// Its name in prose: "Multi-Paxos".
    pub title: &'static str,
    /// Where it was published.
    pub paper: &'static str,
    /// What replicas may do wrong.
    pub faults: FaultModel,
    /// Who answers a client.
    pub answers: Answers,
    /// Who takes a command.
    pub takes: Takes,
    /// What links must guarantee.
    pub links: Links,
}

impl ProtocolInfo {
    /// Faulty replicas that a cluster of this size survives.
    pub fn max_faults(&self, nodes: usize) -> usize {
        match self.faults {
            FaultModel::Crash => quorum::crash_faults(nodes),
            FaultModel::Byzantine => quorum::byzantine_faults(nodes),
        }
    }

    /// Replicas that must agree.
    pub fn quorum(&self, nodes: usize) -> usize {
        match self.faults {
            FaultModel::Crash => quorum::majority(nodes),
            FaultModel::Byzantine => quorum::byzantine(nodes),
        }
    }

    /// Equal answers, of different replicas, that a client needs.
    pub fn reply_quorum(&self, nodes: usize) -> usize {
        match self.answers {
            Answers::ClientReplica => 1,
            Answers::All => self.max_faults(nodes) + 1,
        }
    }
}

/// What replicas may do wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FaultModel {
    /// Stop, and come back with what their disk kept.
    Crash,
    /// Anything.
    Byzantine,
}

/// Who answers a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answers {
    /// The replica that the client asked; its word is enough.
    ClientReplica,
    /// All replicas; the client wants f + 1 equal answers.
    All,
}

/// Who takes a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Takes {
    /// The leader; others refuse and name it.
    Leader,
    /// Any replica proposes.
    Any,
    /// The leader orders; others relay to it, as their paper says.
    Relayed,
}

/// What links must guarantee beside authenticity of the sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Links {
    /// Nothing: messages may be lost, doubled, reordered.
    Any,
    /// Order of sending, and nothing is delivered on a closed link.
    Fifo,
}

/// A message as it came from a link that knows its sender.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Envelope<M> {
    /// The sender as the link knows it.
    pub from: NodeId,
    /// What it says.
    pub message: M,
}

/// A message that [`ConsensusProtocol::verify`] let through. There is no other way to make one.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Verified<M>(Envelope<M>);

impl<M> Verified<M> {
    /// For the implementations of `verify`: this envelope was checked.
    #[inline]
    pub fn vouch(envelope: Envelope<M>) -> Self {
        Self(envelope)
    }

    /// Who said it.
    #[inline]
    pub fn sender(&self) -> NodeId {
        self.0.from
    }

    /// What was said.
    #[inline]
    pub fn message(&self) -> &M {
        &self.0.message
    }

    /// Sender and message, to be taken apart where it lies.
    #[inline]
    pub fn parts_mut(&mut self) -> (NodeId, &mut M) {
        (self.0.from, &mut self.0.message)
    }

    /// Sender and message.
    #[inline]
    pub fn into_parts(self) -> (NodeId, M) {
        (self.0.from, self.0.message)
    }
}

/// Why a message was not let in, or a record not believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rejected(pub &'static str);

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for Rejected {}

/// A disk whose records contradict each other or the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecoverError(pub String);

impl fmt::Display for RecoverError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the records on disk cannot be recovered from: {}", self.0)
    }
}

impl std::error::Error for RecoverError {}

/// What a replica finds on its disk when it starts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Durable<R> {
    /// The number of this start, already on disk, higher than that of any earlier start.
    pub incarnation: Incarnation,
    /// The surviving records, oldest first. They are durable; the next write gets the number after
    /// theirs.
    pub records: Vec<R>,
    /// What the newest snapshot on its disk is of, if there is one. The state machine was restored
    /// from it. It may be newer than what the records know of.
    pub snapshot: Option<SnapshotMeta>,
}

impl<R> Durable<R> {
    /// These records, and no snapshot.
    pub fn of(incarnation: Incarnation, records: Vec<R>) -> Self {
        Self { incarnation, records, snapshot: None }
    }
}

/// What comes to a replica.
///
/// What an algorithm does not offer it refuses ([`Effects::refuse_read`],
/// [`Effects::refuse_change`]) or ignores (wishes, snapshots).
#[derive(Clone, Debug)]
pub enum Input<P: ConsensusProtocol> {
    /// The first input after [`ConsensusProtocol::recover`]: set the first timers.
    Start,
    /// A replica said something.
    Message(Verified<P::Message>),
    /// Commands of clients, framed as one batch. The driver has checked sizes; signatures are the
    /// algorithm's to check, where it wants them.
    Propose(Batch),
    /// A timer fired that was set and not cancelled or set again since.
    Timer(P::Timer),
    /// All records up to and including this number are on stable storage.
    Durable(RecordNumber),
    /// An operator wants this replica to lead, now. A wish: it may fail.
    Campaign,
    /// An operator wants the leader to hand over to this replica. A wish: it may fail, and if
    /// nothing came of it within an election timeout the leader goes on as before.
    Transfer(NodeId),
    /// An operator wants other members. Answered by [`Effects::members`] once that is committed,
    /// or by [`Effects::refuse_change`].
    Change(Change),
    /// A client wants to read. Answered by [`Effects::ready`] or [`Effects::refuse_read`]; if
    /// leadership is lost meanwhile it may be that nothing comes.
    Read(Read),
    /// A snapshot of this replica's own state is on stable storage: what it covers may be
    /// forgotten.
    SnapshotTaken(SnapshotMeta),
    /// A snapshot of another replica is on stable storage, and the state machine was restored from
    /// it: the next index to be given out is the one after it.
    SnapshotInstalled(SnapshotMeta),
    /// The driver has no more input just now: whatever was held back to be batched goes out.
    Drained,
}

/// The world during one step.
#[derive(Clone, Copy)]
pub struct Env<'a> {
    /// Time since an arbitrary moment, never running backwards. Only a lease may look at it.
    pub now: Duration,
    /// The cluster.
    pub cluster: &'a Cluster,
    keys: &'a dyn Authenticator,
    meter: &'a AuthMeter,
}

impl<'a> Env<'a> {
    /// The world at this time, with these keys; what they do is counted.
    pub fn new(
        now: Duration,
        cluster: &'a Cluster,
        keys: &'a dyn Authenticator,
        meter: &'a AuthMeter,
    ) -> Self {
        Self { now, cluster, keys, meter }
    }

    /// Signs with this replica's key.
    pub fn sign(&self, bytes: &[u8]) -> Tag {
        self.meter.on_made();
        self.keys.sign(bytes)
    }

    /// Did this signer sign these bytes?
    pub fn check(&self, signer: Signer, bytes: &[u8], tag: &Tag) -> bool {
        self.meter.on_checked(signer);
        self.keys.check(signer, bytes, tag)
    }
}

/// What a replica is just now.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Orders commands: Raft's leader, Multi-Paxos' leader, PBFT's primary in a working view.
    Leader,
    /// Follows: follower, acceptor, backup.
    Follower,
    /// Tries to become leader, or changes the view.
    Candidate,
    /// There are no leaders: every replica proposes.
    Peer,
}

/// A replica in a few numbers, for people and oracles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Status {
    /// What it is.
    pub role: Role,
    /// The term or view; with ballots the round of its own while it seeks to lead or leads, else
    /// that of the highest it knows.
    pub epoch: u64,
    /// Whom it takes for the leader.
    pub leader: Option<NodeId>,
    /// Last index that it gave out as committed since it started.
    pub committed: LogIndex,
    /// Last index of its log.
    pub last: LogIndex,
    /// Up to here its log is forgotten, as a snapshot covers it.
    pub purged: LogIndex,
}
