//! O15: replicas that applied as much are equal.

use super::{Table, Verdict};
use crate::report::Finding;
use consensus_core::{Fingerprint, LogIndex};

/// The state at each index at which somebody looked.
#[derive(Default)]
pub(crate) struct States {
    first: Table<LogIndex, Fingerprint>,
}

impl States {
    /// A correct replica, or the replay, has this state after applying so much.
    pub(crate) fn compare(&mut self, applied: LogIndex, state: Fingerprint) -> Verdict {
        let first = *self.first.entry(applied).or_insert(state);
        if first == state {
            return Ok(());
        }
        let detail = format!("after index {applied} its state differs from that of others");
        Err(Finding::new("O15", "equal states", detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o15_sees_two_states_at_one_index() {
        let mut states = States::default();
        states.compare(LogIndex(4), Fingerprint(1)).expect("the first");
        states.compare(LogIndex(5), Fingerprint(2)).expect("another index");
        states.compare(LogIndex(4), Fingerprint(1)).expect("the same");
        assert_eq!(states.compare(LogIndex(4), Fingerprint(3)).unwrap_err().oracle, "O15");
    }
}
