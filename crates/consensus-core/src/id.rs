//! The words that every protocol shares: who, where in the log, which request.

use serde::{Deserialize, Serialize};
use std::fmt;
use std::hash::{Hash, Hasher};

/// Names one replica of a cluster. Small on purpose: a set of nodes is one machine word, see
/// [`NodeSet`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct NodeId(pub u8);

/// Fed to a hasher as the only signed byte of the workspace, as a [`NodeSet`] is the only signed
/// word of 128 bits: so a hasher can tell nodes from numbers, and hash a state as it would be if
/// the nodes had other names (the explorer folds states that way).
impl Hash for NodeId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_i8(i8::from_ne_bytes([self.0]));
    }
}

impl NodeId {
    /// How many nodes a cluster may have at most: the width of a [`NodeSet`].
    pub const LIMIT: usize = 128;

    /// The position of this node in an array with one place a node.
    #[inline]
    pub fn index(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Debug for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

impl fmt::Display for NodeId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "n{}", self.0)
    }
}

/// A set of nodes: receivers of a message, voters heard from. A bit a node, so that a repeated
/// vote counts once.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default, Serialize, Deserialize)]
#[serde(from = "u128", into = "u128")]
pub struct NodeSet {
    /// Nodes 64 to 127. Two words are handled faster than one of twice the width.
    upper: u64,
    /// Nodes 0 to 63.
    lower: u64,
}

/// See [`NodeId`].
impl Hash for NodeSet {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_i128(i128::from_ne_bytes(self.bits().to_ne_bytes()));
    }
}

impl From<u128> for NodeSet {
    fn from(bits: u128) -> Self {
        Self::from_bits(bits)
    }
}

impl From<NodeSet> for u128 {
    fn from(set: NodeSet) -> Self {
        set.bits()
    }
}

impl NodeSet {
    /// Nobody.
    pub const EMPTY: Self = Self { upper: 0, lower: 0 };

    /// The nodes `0 .. size`.
    ///
    /// # Panics
    /// If `size` is larger than [`NodeId::LIMIT`].
    #[inline]
    pub fn first(size: usize) -> Self {
        assert!(size <= NodeId::LIMIT, "a cluster has at most {} nodes", NodeId::LIMIT);
        let ones = |count: usize| if count >= 64 { u64::MAX } else { (1 << count) - 1 };
        Self { upper: ones(size.saturating_sub(64)), lower: ones(size) }
    }

    /// The set as a word, a bit a node.
    pub fn bits(self) -> u128 {
        (u128::from(self.upper) << 64) | u128::from(self.lower)
    }

    /// The set that [`bits`](Self::bits) gave.
    pub fn from_bits(bits: u128) -> Self {
        Self { upper: (bits >> 64) as u64, lower: bits as u64 }
    }

    /// Just this node.
    #[inline]
    pub fn only(node: NodeId) -> Self {
        let bit = 1u64 << (node.0 & 63);
        match node.0 {
            0..64 => Self { upper: 0, lower: bit },
            64..128 => Self { upper: bit, lower: 0 },
            128.. => Self::EMPTY,
        }
    }

    /// Adds a node; false if it was there already, or if its number is beyond the limit.
    #[inline]
    pub fn insert(&mut self, node: NodeId) -> bool {
        let before = *self;
        *self = self.or(Self::only(node));
        *self != before
    }

    /// Takes a node out; false if it was not there.
    #[inline]
    pub fn remove(&mut self, node: NodeId) -> bool {
        let before = *self;
        *self = self.without(node);
        *self != before
    }

    /// Is this node in the set?
    #[inline]
    pub fn contains(self, node: NodeId) -> bool {
        let word = match node.0 >> 6 {
            0 => self.lower,
            1 => self.upper,
            _ => return false,
        };
        (word >> (node.0 & 63)) & 1 == 1
    }

    /// The same set less one node.
    #[inline]
    #[must_use]
    pub fn without(self, node: NodeId) -> Self {
        self.minus(Self::only(node))
    }

    /// The nodes that are in both.
    #[inline]
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        Self { upper: self.upper & other.upper, lower: self.lower & other.lower }
    }

    /// The nodes that are in either.
    #[inline]
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self { upper: self.upper | other.upper, lower: self.lower | other.lower }
    }

    /// The nodes of this set that are not in the other.
    #[inline]
    #[must_use]
    pub fn minus(self, other: Self) -> Self {
        Self { upper: self.upper & !other.upper, lower: self.lower & !other.lower }
    }

    /// How many nodes.
    #[inline]
    pub fn len(self) -> usize {
        // Clusters are small: where there is no instruction for it, counting takes a while.
        let upper = if self.upper == 0 { 0 } else { self.upper.count_ones() };
        (upper + self.lower.count_ones()) as usize
    }

    /// Nobody in it?
    #[inline]
    pub fn is_empty(self) -> bool {
        self.upper | self.lower == 0
    }

    /// The nodes, lowest number first.
    #[inline]
    pub fn iter(self) -> impl Iterator<Item = NodeId> {
        let (mut rest, mut later, mut base) = (self.lower, self.upper, 0);
        std::iter::from_fn(move || {
            if rest == 0 {
                if later == 0 {
                    return None;
                }
                (rest, later, base) = (later, 0, 64);
            }
            let node = base + rest.trailing_zeros() as u8;
            rest &= rest - 1;
            Some(NodeId(node))
        })
    }
}

impl From<NodeId> for NodeSet {
    fn from(node: NodeId) -> Self {
        Self::only(node)
    }
}

impl FromIterator<NodeId> for NodeSet {
    fn from_iter<I: IntoIterator<Item = NodeId>>(nodes: I) -> Self {
        let mut set = Self::EMPTY;
        for node in nodes {
            set.insert(node);
        }
        set
    }
}

impl fmt::Debug for NodeSet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.iter()).finish()
    }
}

/// A place in the replicated log; the first is 1, and 0 stands before it. Raft calls it the log
/// index, Paxos the instance or slot, PBFT the sequence number.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, Debug,
)]
pub struct LogIndex(pub u64);

impl LogIndex {
    /// Before the first entry.
    pub const ZERO: Self = Self(0);

    /// The place after this one.
    #[inline]
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.checked_add(1).expect("a log has fewer than 2^64 entries"))
    }

    /// The place before this one; the place before the first, and before 0, is 0.
    #[inline]
    #[must_use]
    pub fn previous(self) -> Self {
        Self(self.0.saturating_sub(1))
    }
}

impl fmt::Display for LogIndex {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)
    }
}

/// Where a command stands: its entry (one batch) and its place inside the batch.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, Debug,
)]
pub struct Position {
    /// The log entry.
    pub index: LogIndex,
    /// The place in the entry's batch; the first is 0.
    pub offset: u32,
}

/// Names one client: chosen at random by the client, or, where requests are signed, the owner of
/// a registered key.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, Debug)]
pub struct ClientId(pub u64);

/// Names one session of a client. The log gives it out (the position at which the session was
/// opened), so that an old request can never be taken for one of a new session.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, Debug,
)]
pub struct SessionId(pub u64);

impl SessionId {
    /// The session that a command at this position opens.
    pub fn opened_at(position: Position) -> Self {
        Self((position.index.0 << 16) | u64::from(position.offset & 0xffff))
    }
}

/// Counts the requests of one session: 0 opens it, then 1, 2, 3 …; a retry keeps its number.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, Debug,
)]
pub struct RequestId(pub u64);

impl RequestId {
    /// The request that opens a session.
    pub const OPEN: Self = Self(0);

    /// The request after this one.
    #[inline]
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0 + 1)
    }
}

/// 128 random bits that name a cluster: in every frame, on every disk, under every signature.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize)]
pub struct ClusterId(pub u128);

impl fmt::Debug for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

impl fmt::Display for ClusterId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", self.0)
    }
}

/// How many times a replica has started on its disk. The driver raises it and syncs it *before*
/// the replica is recovered, so that what is numbered with it was never used before.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, Debug,
)]
pub struct Incarnation(pub u32);

/// The number of a record in a replica's one write stream; the first is 1, and 0 stands before it.
#[derive(
    Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, Serialize, Deserialize, Debug,
)]
pub struct RecordNumber(pub u64);

impl RecordNumber {
    /// Before the first record.
    pub const ZERO: Self = Self(0);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_counts_each_node_once_and_lists_them_in_order() {
        let mut set = NodeSet::EMPTY;
        assert!(set.insert(NodeId(127)));
        assert!(set.insert(NodeId(3)));
        assert!(!set.insert(NodeId(3)), "a second vote of the same node is no vote");
        assert!(!set.insert(NodeId(128)), "a number beyond the limit is refused, not wrapped");
        assert!(!set.contains(NodeId(128)));
        assert_eq!(set.iter().collect::<Vec<_>>(), [NodeId(3), NodeId(127)]);
        assert_eq!(NodeSet::first(128).len(), 128);
        assert_eq!(NodeSet::first(3).without(NodeId(1)).len(), 2);
    }

    #[test]
    fn sessions_opened_in_one_batch_have_different_names() {
        let at = |offset| SessionId::opened_at(Position { index: LogIndex(7), offset });
        assert_ne!(at(0), at(1));
    }
}
