//! What the oracles may know of an algorithm without knowing which one it is. Each oracle is
//! written once over this trait.

use crate::batch::Batch;
use crate::fingerprint::Fingerprint;
use crate::id::{LogIndex, NodeId, NodeSet};
use crate::protocol::{ConsensusProtocol, Env, Envelope};
use std::collections::BTreeMap;

/// Implemented by every protocol beside [`ConsensusProtocol`].
pub trait Audit: ConsensusProtocol {
    /// Do logs with an equal entry (index and epoch) agree on everything before it (Raft's Log
    /// Matching, §5.3)? False where slots are independent, as in Paxos.
    const LOG_MATCHING: bool;

    /// The rare things that the protocol tells of by [`Effects::reached`](crate::Effects::reached):
    /// every simulated run of some length must reach each of them.
    const MARKS: &'static [&'static str] = &[];

    /// Do replicas with these settings never care which number a node has: not to order ballots,
    /// not to choose a primary, not to break a tie? Then a cluster whose nodes swapped their names
    /// behaves as before with the names swapped, and an explorer need not look at both.
    fn is_symmetric(config: &Self::Config) -> bool {
        let _ = config;
        false
    }

    /// What this message claims, so that contradictions are seen, across restarts too.
    fn claims(message: &Self::Message) -> Vec<Claim>;

    /// What a record, added to a disk, makes that disk prove.
    fn absorb(record: &Self::Record, disk: &mut Ledger);

    /// The epoch in which this replica is an active leader that must know everything committed in
    /// earlier epochs. `None` while it is not, and where the algorithm has no such leader.
    fn leads(&self) -> Option<u64>;

    /// The epoch in which this replica has batches decided, if it does: as a leader, or as one that
    /// does not yet know all that it must.
    fn proposes(&self) -> Option<u64> {
        self.leads()
    }

    /// The batch that this replica holds at an index, if any: chosen, or the one it would have
    /// chosen.
    fn entry(&self, index: LogIndex) -> Option<&Batch>;

    /// Why this replica may believe that what it committed at an index is decided: the vote that
    /// it counted. `None` where it only learned of the decision from another replica.
    fn certificate(&self, index: LogIndex) -> Option<Certificate>;

    /// Everything that must hold of this replica alone, and may take some time to check. What is
    /// cheap is checked by itself after every step, in products too.
    ///
    /// # Errors
    /// The rule that is broken.
    fn check(&self) -> Result<(), String> {
        Ok(())
    }

    /// Everything that must hold of the step, or of several, from an earlier state of the same life
    /// to this one.
    ///
    /// # Errors
    /// The rule that is broken.
    fn check_since(&self, before: &Self) -> Result<(), String> {
        let _ = before;
        Ok(())
    }

    /// The disks that this replica counts on: tells `each` of a node, an index, and the epoch of
    /// the own entry there, which it believes to be, or to have been, on the disk of that node with
    /// everything before it. Only where logs match: elsewhere votes are counted one by one, see
    /// [`certificate`](Self::certificate).
    fn counts_on(&self, each: &mut dyn FnMut(NodeId, LogIndex, u128)) {
        let _ = each;
    }

    /// The version of the members that this replica goes by, and whether they are final: its driver
    /// was told just that. `None` where it does not know any.
    fn goes_by(&self) -> Option<(LogIndex, bool)> {
        None
    }

    /// The index as of which this replica, as a leader, would answer a read that came now, as soon
    /// as it heard that it still leads. `None` if it would not, or while it does not know it.
    fn reads_as_of(&self) -> Option<LogIndex> {
        None
    }

    /// The timers without which this replica, as it stands between two steps, might wait for ever:
    /// it waits for something that can get lost.
    fn relies_on(&self, each: &mut dyn FnMut(Self::Timer)) {
        let _ = each;
    }

    /// What this replica still keeps of work that has ended: asked where nobody wants anything any
    /// more, nothing gets lost, and everybody knows what was decided. What is not given back by
    /// then never is, and one day some bound is reached with it.
    fn leftover(&self) -> Option<&'static str> {
        None
    }

    /// Would this replica answer a read by its lease, at this time by its own clock? Nobody may be
    /// elected while another one would.
    fn holds_lease(&self, env: &Env<'_>) -> bool {
        let _ = env;
        false
    }

    /// For traitors: another message that contradicts this one and is well-formed and signed, as
    /// only the owner of the key could make it. `None` where lying is not in the fault model.
    fn equivocate(message: &Self::Message, env: &Env<'_>) -> Option<Self::Message> {
        let _ = (message, env);
        None
    }

    /// For traitors: a lie made of what this replica knows, what traitors have `heard` (from each
    /// other, too), and the own key. `intended` is what it was about to say, if it was; `trick` is
    /// chance, from which the protocol draws which lie it is. It need not be one that `verify` lets
    /// in: then it must be dropped without a trace. `None` if there is nothing to lie about.
    fn forge(
        &self,
        intended: Option<&Self::Message>,
        heard: &[&Envelope<Self::Message>],
        trick: u64,
        env: &Env<'_>,
    ) -> Option<Self::Message> {
        let _ = (intended, heard, trick, env);
        None
    }

    /// What this message says that others have said, in a cluster of so many nodes. What a correct
    /// node shows or lets in must be true: the correct ones among the signers have claimed it.
    fn shows(message: &Self::Message, nodes: usize) -> Vec<Proof> {
        let _ = (message, nodes);
        Vec::new()
    }
}

/// Something that a message claims about its sender.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Claim {
    /// An honest node never says two values for one topic: two votes in a term, two values under
    /// a ballot, two digests for a view and sequence number.
    Once(Topic, u128),
    /// The same where the value is a node: whom it votes for in a term.
    For(Topic, NodeId),
    /// An honest node never says a lower value after a higher one: its term, its promised ballot.
    Rising(Topic, u128),
}

impl Claim {
    /// The same with a number in place of a node.
    #[must_use]
    pub fn in_numbers(self) -> Self {
        match self {
            Self::For(topic, node) => Self::Once(topic, u128::from(node.0)),
            Self::Once(..) | Self::Rising(..) => self,
        }
    }
}

/// What a claim is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic {
    /// The kind of claim.
    pub name: &'static str,
    /// The first number that tells topics of a kind apart (a term, a view, a slot), or 0.
    pub major: u128,
    /// The second, or 0.
    pub minor: u64,
}

impl Topic {
    /// A topic.
    pub fn new(name: &'static str, major: impl Into<u128>, minor: u64) -> Self {
        Self { name, major: major.into(), minor }
    }
}

/// What a disk proves: for each index the entry that it holds, as acceptor, follower or backup.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub struct Ledger {
    entries: BTreeMap<LogIndex, Held>,
    covered: LogIndex,
}

/// An entry that a disk holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Held {
    /// The term, the rank of the ballot, or the view under which it was written.
    pub epoch: u128,
    /// The batch.
    pub batch: Fingerprint,
}

impl Ledger {
    /// The disk now holds this entry at this index, and no other.
    pub fn hold(&mut self, index: LogIndex, epoch: u128, batch: Fingerprint) {
        self.entries.insert(index, Held { epoch, batch });
    }

    /// The disk no longer holds anything at or after this index.
    pub fn cut_from(&mut self, index: LogIndex) {
        self.entries.split_off(&index);
    }

    /// The disk no longer holds anything up to this index, as a snapshot covers it.
    pub fn forget_upto(&mut self, index: LogIndex) {
        self.covered = self.covered.max(index);
        self.entries = self.entries.split_off(&index.next());
    }

    /// Up to here the entries are forgotten.
    pub fn covered(&self) -> LogIndex {
        self.covered
    }

    /// The last index at which it holds an entry, or 0.
    pub fn last(&self) -> LogIndex {
        self.entries.last_key_value().map_or(LogIndex::ZERO, |(index, _)| *index)
    }

    /// What it holds at an index.
    pub fn get(&self, index: LogIndex) -> Option<Held> {
        self.entries.get(&index).copied()
    }

    /// Everything it holds, lowest index first.
    pub fn iter(&self) -> impl Iterator<Item = (LogIndex, Held)> {
        self.entries.iter().map(|(index, held)| (*index, *held))
    }
}

/// Words of others in a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Proof {
    /// Those of a quorum.
    Quorum(Certificate),
    /// Those of one or some, of whom there need not be enough.
    Quote(Certificate),
}

/// A vote that decided something: the nodes whose word for it the replica counted, and the topic
/// and value under which each of them must have claimed it ([`Claim::Once`]).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Certificate {
    /// What each signer claimed.
    pub topic: Topic,
    /// The value that each signer claimed.
    pub value: u128,
    /// Who was counted, the replica itself included where its own vote counts.
    pub signers: NodeSet,
}
