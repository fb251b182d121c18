//! Who takes part: voters, learners, and the change from one set of voters to another. The same
//! words for every algorithm that can change its members.

use crate::batch::{Batch, Command};
use crate::cluster::Cluster;
use crate::id::{ClientId, LogIndex, NodeId, NodeSet, RequestId, SessionId};
use crate::mutant::planted;
use crate::quorum;
use crate::{Tag, session};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// The longest contact of a node, in bytes.
pub const MAX_CONTACT: usize = 255;

/// The client in whose name members are changed. No client may call itself so.
pub const MEMBERSHIP_CLIENT: ClientId = ClientId(u64::MAX);

/// The members of a cluster, as one entry of the log says.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub struct Membership {
    /// The index of the entry that says so; 0 for the members that the cluster began with. An
    /// operator who changes members names the version that he saw.
    pub version: LogIndex,
    /// Who votes.
    pub voters: NodeSet,
    /// Who voted before, while a joint change is under way (Raft §6): then a majority of each set
    /// is needed. Else nobody.
    pub outgoing: NodeSet,
    /// Who is kept up to date and does not vote (Raft thesis §4.2.1).
    pub learners: NodeSet,
    /// How nodes are reached, as far as it is not configured: an address, which only drivers read.
    pub contacts: BTreeMap<NodeId, String>,
}

impl Membership {
    /// The members that a cluster begins with.
    pub fn initial(cluster: &Cluster) -> Self {
        Self { voters: cluster.voters, ..Self::default() }
    }

    /// Everybody who takes part in whatever way.
    pub fn members(&self) -> NodeSet {
        self.electorate().or(self.learners)
    }

    /// Everybody whose vote counts.
    pub fn electorate(&self) -> NodeSet {
        self.voters.or(self.outgoing)
    }

    /// Does this node vote?
    pub fn is_voter(&self, node: NodeId) -> bool {
        self.electorate().contains(node)
    }

    /// Is a joint change under way?
    pub fn is_joint(&self) -> bool {
        !self.outgoing.is_empty()
    }

    /// Are these nodes a majority of the voters, and of the outgoing voters, too (Raft §6)?
    /// Nobody is a quorum of nobody.
    pub fn is_quorum(&self, nodes: NodeSet) -> bool {
        let learners = if planted("S-learner") { self.learners } else { NodeSet::EMPTY };
        let majority = |of: NodeSet| nodes.and(of.or(learners)).len() >= quorum::majority(of.len());
        let settled = self.outgoing.is_empty() || planted("S-joint");
        majority(self.voters) && (settled || majority(self.outgoing))
    }

    /// The members as an entry of the log. The version is not in it: that is where the entry
    /// stands.
    pub fn to_batch(&self) -> Batch {
        let mut bytes = Vec::new();
        for set in [self.voters, self.outgoing, self.learners] {
            bytes.extend_from_slice(&set.bits().to_le_bytes());
        }
        session::put(&mut bytes, self.contacts.len() as u64);
        for (node, contact) in &self.contacts {
            bytes.push(node.0);
            session::put(&mut bytes, contact.len() as u64);
            bytes.extend_from_slice(contact.as_bytes());
        }
        Batch::of(&[Command {
            client: MEMBERSHIP_CLIENT,
            session: SessionId(u64::MAX),
            request: RequestId(u64::MAX),
            payload: bytes.into(),
            tag: Tag::none(),
        }])
    }

    /// The members that the entry at `version` says, if it is such an entry.
    #[inline]
    pub fn from_batch(batch: &Batch, version: LogIndex) -> Option<Self> {
        if batch.is_membership() { Self::parse(batch, version) } else { None }
    }

    #[cold]
    fn parse(batch: &Batch, version: LogIndex) -> Option<Self> {
        let command = batch.commands().next()?;
        let mut rest = &command.payload[..];
        let [voters, outgoing, learners] =
            [take_set(&mut rest)?, take_set(&mut rest)?, take_set(&mut rest)?];
        let count = session::take(&mut rest)?;
        let mut contacts = BTreeMap::new();
        for _ in 0..count.min(NodeId::LIMIT as u64) {
            let (node, contact) = take_contact(&mut rest)?;
            contacts.insert(node, contact);
        }
        let whole = rest.is_empty() && contacts.len() as u64 == count && !voters.is_empty();
        whole.then_some(Self { version, voters, outgoing, learners, contacts })
    }
}

fn take_set(bytes: &mut &[u8]) -> Option<NodeSet> {
    let (bits, rest) = bytes.split_first_chunk::<16>()?;
    *bytes = rest;
    Some(NodeSet::from_bits(u128::from_le_bytes(*bits)))
}

fn take_contact(bytes: &mut &[u8]) -> Option<(NodeId, String)> {
    let (node, rest) = bytes.split_first()?;
    *bytes = rest;
    let length = usize::try_from(session::take(bytes)?).ok()?;
    let (contact, rest) = bytes.split_at_checked(length)?;
    *bytes = rest;
    let contact = str::from_utf8(contact).ok().filter(|text| text.len() <= MAX_CONTACT)?;
    let node = NodeId(*node);
    (node.index() < NodeId::LIMIT).then(|| (node, contact.to_owned()))
}

/// What an operator wants the members to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Change {
    /// The version of the members that the operator saw: if they have changed since, nothing is
    /// done.
    pub expected: LogIndex,
    /// Who is to vote.
    pub voters: NodeSet,
    /// Who is to be kept up to date without a vote.
    pub learners: NodeSet,
    /// Contacts that are new, or that replace older ones.
    pub contacts: BTreeMap<NodeId, String>,
}

impl Change {
    /// No change: to begin with. The other methods add to it.
    pub fn of(seen: &Membership) -> Self {
        let contacts = BTreeMap::new();
        let Membership { version, voters, learners, .. } = *seen;
        Self { expected: version, voters, learners, contacts }
    }

    /// This node shall be kept up to date, and not vote.
    #[must_use]
    pub fn add_learner(mut self, node: NodeId) -> Self {
        self.voters.remove(node);
        self.learners.insert(node);
        self
    }

    /// This node shall vote.
    #[must_use]
    pub fn add_voter(mut self, node: NodeId) -> Self {
        self.learners.remove(node);
        self.voters.insert(node);
        self
    }

    /// This node shall no longer take part.
    #[must_use]
    pub fn remove(mut self, node: NodeId) -> Self {
        self.voters.remove(node);
        self.learners.remove(node);
        self
    }

    /// The node is reached there.
    #[must_use]
    pub fn at(mut self, node: NodeId, contact: impl Into<String>) -> Self {
        self.contacts.insert(node, contact.into());
        self
    }

    /// The members that result, if the change is sound.
    ///
    /// # Errors
    /// If the members are no longer those that the operator saw, or are being changed, or if
    /// nobody would vote, or somebody would both vote and learn.
    pub fn apply_to(&self, current: &Membership) -> Result<Membership, ChangeRefusal> {
        if self.expected != current.version && !planted("S-version") {
            return Err(ChangeRefusal::Version(current.version));
        }
        if current.is_joint() {
            return Err(ChangeRefusal::UnderWay);
        }
        if self.voters.is_empty() || !self.voters.and(self.learners).is_empty() {
            return Err(ChangeRefusal::Impossible);
        }
        if self.contacts.values().any(|contact| contact.len() > MAX_CONTACT) {
            return Err(ChangeRefusal::Impossible);
        }
        let (voters, learners) = (self.voters, self.learners);
        let mut contacts = current.contacts.clone();
        contacts.extend(self.contacts.clone());
        let rest = if planted("S-contact") { voters } else { voters.or(learners) };
        contacts.retain(|node, _| rest.contains(*node));
        let version = current.version;
        Ok(Membership { version, voters, outgoing: NodeSet::EMPTY, learners, contacts })
    }
}

/// Why members are not changed. Nothing of the change was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum ChangeRefusal {
    /// Another replica leads; this one, if known.
    NotLeader(Option<NodeId>),
    /// The members are of this version now.
    Version(LogIndex),
    /// Another change is under way.
    UnderWay,
    /// The leader has not committed an entry of its own term yet; try again soon.
    TooEarly,
    /// Nobody would vote, a node would both vote and learn, or a contact is too long.
    Impossible,
    /// This algorithm, as configured, has fixed members.
    Unsupported,
}

impl fmt::Display for ChangeRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader(Some(leader)) => write!(f, "not the leader; that is {leader}"),
            Self::NotLeader(None) => f.write_str("not the leader, and none is known"),
            Self::Version(now) => {
                write!(f, "the members have changed: they are of version {now} now; look again")
            }
            Self::UnderWay => f.write_str("another change of members is under way; wait for it"),
            Self::TooEarly => f.write_str("the leader is too new to change members; try again"),
            Self::Impossible => f.write_str(
                "such members cannot be: somebody must vote, nobody may both vote and learn, and a \
                 contact has at most 255 bytes",
            ),
            Self::Unsupported => f.write_str("this algorithm has fixed members"),
        }
    }
}

impl std::error::Error for ChangeRefusal {}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::ClusterId;

    fn set(nodes: &[u8]) -> NodeSet {
        nodes.iter().map(|node| NodeId(*node)).collect()
    }

    fn three() -> Membership {
        Membership::initial(&Cluster::new(ClusterId(1), 3))
    }

    /// Raft §6: while a change is joint, agreement needs a majority of each set.
    #[test]
    fn a_joint_quorum_is_a_majority_of_each_set() {
        let joint = Membership { voters: set(&[2, 3, 4]), outgoing: set(&[0, 1, 2]), ..three() };
        assert!(joint.is_quorum(set(&[0, 2, 3])));
        assert!(!joint.is_quorum(set(&[2, 3, 4])), "no majority of the old voters");
        assert!(!joint.is_quorum(set(&[0, 1, 2])), "no majority of the new voters");
        assert!(!Membership::default().is_quorum(set(&[0, 1, 2])), "nobody voted for nobody");
    }

    #[test]
    fn learners_do_not_make_a_quorum() {
        let members = Membership { learners: set(&[3, 4]), ..three() };
        assert!(!members.is_quorum(set(&[0, 3, 4])));
        assert_eq!(members.members(), set(&[0, 1, 2, 3, 4]));
    }

    /// Whoever takes part can be reached: of every change from all to some of four nodes, in
    /// whatever parts, the contacts of just those remain, and the new ones count.
    fn contacts_are_those_of_the_members() -> bool {
        let contact = |node: u8, text: &str| (NodeId(node), format!("{text}{node}"));
        let contacts = (0..4).map(|node| contact(node, "old")).collect();
        let current = Membership { learners: set(&[3]), contacts, ..three() };
        let parts = |number: u32| [0, 1, 2, 3].map(|node| number / 3u32.pow(node) % 3);
        (0..81).map(parts).filter(|parts| parts.contains(&1)).all(|parts| {
            let of = |part| (0..4).filter(move |node| parts[usize::from(*node)] == part);
            let mut wish = Change::of(&current).at(NodeId(1), "new1");
            wish.voters = of(1).map(NodeId).collect();
            wish.learners = of(2).map(NodeId).collect();
            let rest = of(1).chain(of(2));
            let expected = rest.map(|node| contact(node, if node == 1 { "new" } else { "old" }));
            wish.apply_to(&current).is_ok_and(|members| members.contacts == expected.collect())
        })
    }

    #[test]
    fn whoever_takes_part_can_be_reached() {
        assert!(contacts_are_those_of_the_members());
    }

    #[cfg(feature = "mutants")]
    #[test]
    fn a_member_that_cannot_be_reached_is_found() {
        crate::mutant::plant(Some("S-contact"));
        let passed = contacts_are_those_of_the_members();
        crate::mutant::plant(None);
        assert!(!passed, "S-contact survived");
    }

    #[test]
    fn members_are_an_entry_and_come_out_again() {
        let at = LogIndex(9);
        let change =
            Change::of(&three()).remove(NodeId(0)).add_learner(NodeId(3)).at(NodeId(3), "h:1");
        let members = change.apply_to(&three()).expect("a sound change");
        assert_eq!((members.voters, members.learners), (set(&[1, 2]), set(&[3])));
        let members = Membership { version: at, outgoing: set(&[0, 1, 2]), ..members };
        let batch = members.to_batch();
        assert_eq!(Membership::from_batch(&batch, at), Some(members));
        assert_eq!(Membership::from_batch(&Batch::noop(), at), None);
        let cut = batch.commands().next().expect("one command");
        for length in 0..cut.payload.len() {
            let payload = cut.payload.slice(..length);
            let short = Batch::of(&[Command { payload, ..cut.clone() }]);
            assert_eq!(Membership::from_batch(&short, at), None, "{length} bytes");
        }
    }

    #[test]
    fn a_change_is_refused_that_was_made_on_an_old_view_or_cannot_be() {
        let now = Membership { version: LogIndex(4), ..three() };
        let refused = |change: Change, now: &Membership| change.apply_to(now).expect_err("refused");
        let late = Change::of(&three()).remove(NodeId(2));
        assert_eq!(refused(late, &now), ChangeRefusal::Version(LogIndex(4)));
        let nobody = Change { voters: NodeSet::EMPTY, ..Change::of(&now) };
        assert_eq!(refused(nobody, &now), ChangeRefusal::Impossible);
        let both = Change { learners: set(&[1]), ..Change::of(&now) };
        assert_eq!(refused(both, &now), ChangeRefusal::Impossible);
        let joint = Membership { outgoing: set(&[0]), ..now };
        assert_eq!(refused(Change::of(&joint), &joint), ChangeRefusal::UnderWay);
    }
}
