//! Who votes in which slot (§3: "the set of servers … as the state machine says").
//!
//! A change of members is the value of a slot. Chosen in slot i, it governs the slots after i, and
//! no other change comes between: see the crate page for why the leader's care about that is all
//! that it takes.

use consensus_core::mutant::planted;
use consensus_core::{Batch, LogIndex, Membership, NodeSet};
use std::collections::BTreeMap;

/// The members as of every slot that is not forgotten, as far as slots are known without gap.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Members {
    /// As of the last forgotten slot.
    before: Membership,
    /// The changes in later slots.
    changes: BTreeMap<LogIndex, Membership>,
}

impl Members {
    /// These, as of a slot up to which everything is forgotten.
    pub(crate) fn new(before: Membership) -> Self {
        Self { before, changes: BTreeMap::new() }
    }

    /// Who votes before any change.
    pub(crate) fn initial(voters: NodeSet) -> Self {
        Self::new(Membership { voters, ..Membership::default() })
    }

    /// The members that govern the slots after the last one known.
    pub(crate) fn current(&self) -> &Membership {
        self.changes.last_key_value().map_or(&self.before, |(_, members)| members)
    }

    /// The members as of this slot, a change in the slot itself included.
    pub(crate) fn as_of(&self, slot: LogIndex) -> &Membership {
        let last = self.changes.range(..=slot).next_back();
        last.map_or(&self.before, |(_, members)| members)
    }

    /// The first change after a slot.
    pub(crate) fn first_after(&self, slot: LogIndex) -> Option<LogIndex> {
        let first = if planted("M139") { slot } else { slot.next() };
        self.changes.range(first..).next().map(|(version, _)| *version)
    }

    /// The next slot holds this value. True if that changes the members.
    #[inline]
    pub(crate) fn execute(&mut self, slot: LogIndex, batch: &Batch) -> bool {
        batch.is_membership() && self.execute_change(slot, batch)
    }

    #[cold]
    fn execute_change(&mut self, slot: LogIndex, batch: &Batch) -> bool {
        let Some(members) = change(batch, slot) else { return false };
        self.changes.insert(slot, members);
        true
    }

    /// Slots up to here are forgotten.
    pub(crate) fn forget_upto(&mut self, slot: LogIndex) {
        let then = if planted("M131") { self.current() } else { self.as_of(slot) };
        self.before = then.clone();
        self.changes = self.changes.split_off(&slot.next());
    }
}

/// The members that this value says, if it says any. All replicas must see the same in a value:
/// there are no joint changes here, so what would be an outgoing set is nothing.
pub(crate) fn change(batch: &Batch, slot: LogIndex) -> Option<Membership> {
    let members = Membership::from_batch(batch, slot)?;
    Some(Membership { outgoing: NodeSet::EMPTY, ..members })
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::NodeId;

    fn voters(nodes: &[u8]) -> Membership {
        let voters = nodes.iter().map(|node| NodeId(*node)).collect();
        Membership { voters, ..Membership::default() }
    }

    /// PMS §3: the servers of command i are those of the state before it.
    #[test]
    fn members_are_known_for_every_slot_that_is_not_forgotten() {
        let mut members = Members::initial(voters(&[0, 1, 2]).voters);
        assert!(!members.execute(LogIndex(1), &Batch::noop()));
        assert!(members.execute(LogIndex(2), &voters(&[0, 1]).to_batch()));
        assert!(members.execute(LogIndex(5), &voters(&[1]).to_batch()));
        let version = |members: &Members, slot| members.as_of(LogIndex(slot)).version.0;
        assert_eq!([1, 2, 4, 5, 9].map(|slot| version(&members, slot)), [0, 2, 2, 5, 5]);
        members.forget_upto(LogIndex(3));
        assert_eq!([3, 4, 5].map(|slot| version(&members, slot)), [2, 2, 5]);
        assert_eq!(members.current().voters, voters(&[1]).voters);
    }
}
