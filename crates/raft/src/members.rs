//! Who takes part, as the log says (§6).

use consensus_core::{Batch, LogIndex, Membership, NodeId};

/// The members that a server has known since its log begins.
///
/// "Once a given server adds the new configuration entry to its log, it uses that configuration
/// for all future decisions (a server always uses the latest configuration in its log, regardless
/// of whether the entry is committed)" (§6). So the members in force follow the log, and when its
/// tail is cut, they fall back to what was before.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Members {
    /// As of the last entry that is forgotten.
    settled: Membership,
    /// What entries of the log say, oldest first.
    later: Vec<Membership>,
}

impl Members {
    /// These, and no entry says otherwise.
    pub(crate) fn new(settled: Membership) -> Self {
        Self { settled, later: Vec::new() }
    }

    /// The members in force.
    pub(crate) fn current(&self) -> &Membership {
        self.later.last().unwrap_or(&self.settled)
    }

    /// The members as of the last entry that is forgotten.
    pub(crate) fn settled(&self) -> &Membership {
        &self.settled
    }

    /// The members as of an index that is not before the start of the log.
    pub(crate) fn as_of(&self, index: LogIndex) -> &Membership {
        let known = self.later.iter().rev().find(|members| members.version <= index);
        known.unwrap_or(&self.settled)
    }

    /// Does this server vote by any of the members that were in force at or after an index? If the
    /// index is the last that is known to be committed, the members in force are among these.
    pub(crate) fn has_vote_since(&self, index: LogIndex, server: NodeId) -> bool {
        let later = self.later.iter().filter(|members| members.version > index);
        later.chain([self.as_of(index)]).any(|members| members.is_voter(server))
    }

    /// An entry was appended. Does it change the members?
    #[inline]
    pub(crate) fn appended(&mut self, index: LogIndex, batch: &Batch) -> bool {
        let Some(members) = Membership::from_batch(batch, index) else { return false };
        self.later.push(members);
        true
    }

    /// The log was cut at and after an index. Does that change the members?
    pub(crate) fn cut_from(&mut self, first: LogIndex) -> bool {
        let before = self.later.len();
        self.later.retain(|members| members.version < first);
        self.later.len() < before
    }

    /// The log is forgotten up to an index.
    pub(crate) fn forget_upto(&mut self, index: LogIndex) {
        self.settled = self.as_of(index).clone();
        self.later.retain(|members| members.version > index);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{Cluster, ClusterId};

    /// §6: the latest in the log counts, cutting falls back, forgetting keeps what was in force.
    #[test]
    fn members_follow_the_log() {
        let three = Membership::initial(&Cluster::new(ClusterId(1), 3));
        let mut members = Members::new(three.clone());
        assert!(!members.appended(LogIndex(1), &Batch::noop()));
        let mut two = three.clone();
        two.voters.remove(NodeId(2));
        let mut one = two.clone();
        one.voters.remove(NodeId(1));
        assert!(members.appended(LogIndex(2), &two.to_batch()));
        assert!(members.appended(LogIndex(5), &one.to_batch()));
        assert_eq!(members.current().voters, one.voters);
        for (index, voters) in [(1, three.voters), (2, two.voters), (4, two.voters)] {
            assert_eq!(members.as_of(LogIndex(index)).voters, voters, "as of {index}");
        }
        let votes_since = |index| members.has_vote_since(LogIndex(index), NodeId(1));
        assert!(votes_since(1) && votes_since(4) && !votes_since(5), "until 5 is committed");
        assert!(!members.cut_from(LogIndex(6)));
        let mut cut = members.clone();
        assert!(cut.cut_from(LogIndex(3)));
        assert_eq!((cut.current().voters, cut.current().version), (two.voters, LogIndex(2)));
        members.forget_upto(LogIndex(4));
        assert_eq!((members.settled().voters, members.current().voters), (two.voters, one.voters));
        assert!(members.cut_from(LogIndex(5)));
        assert_eq!(members.current().voters, two.voters);
    }
}
