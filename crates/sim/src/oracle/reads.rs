//! O9 where a replica names the index of a read, before anybody is told: the same in a world and
//! on a stage. Reads are numbered apart in both, so a finding does not say which it was.

use super::Verdict;
use crate::report::Finding;
use consensus_core::{LogIndex, Read};
use std::collections::BTreeMap;

/// The rule's name. It needs neither clients nor their time, unlike the rest of O9.
pub(crate) const NAMED_INDEX: &str = "the index of a read is fresh";

/// The reads that one life of a replica was asked for and has not spoken of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Floors(BTreeMap<u64, (Read, LogIndex)>);

impl Floors {
    /// A replica is asked, when anybody has committed so much.
    pub(crate) fn asked(&mut self, read: Read, committed: LogIndex) {
        self.0.insert(read.id, (read, committed));
    }

    /// It will name no index.
    pub(crate) fn refused(&mut self, id: u64) {
        self.0.remove(&id);
    }

    /// It names an index (Raft thesis §6.4): everything that was committed when it was asked is in
    /// that, whoever may have been told of it.
    pub(crate) fn named(&mut self, id: u64, index: LogIndex) -> Verdict {
        match self.0.remove(&id) {
            Some((read, floor)) if index < floor => {
                let mode = read.mode;
                let detail = format!("a read ({mode:?}) gets index {index}; {floor} was owed");
                Err(Finding::new("O9", NAMED_INDEX, detail))
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::ReadMode;

    /// Raft thesis §6.4: a read sees what was committed before it was asked for; what was
    /// committed later it may see or not.
    #[test]
    fn an_index_covers_what_was_committed_when_the_read_was_asked_for() {
        let mut floors = Floors::default();
        for id in 1..=3 {
            floors.asked(Read { id, mode: ReadMode::Index }, LogIndex(4 + id));
        }
        assert_eq!(floors.named(1, LogIndex(5)), Ok(()));
        let late = floors.named(2, LogIndex(5)).expect_err("6 was owed");
        assert_eq!((late.oracle, late.name), ("O9", NAMED_INDEX));
        floors.refused(3);
        assert_eq!(floors.named(3, LogIndex(0)), Ok(()), "it was refused, and nobody waits");
        assert_eq!(floors.named(2, LogIndex(0)), Ok(()), "only the first word counts");
    }
}
