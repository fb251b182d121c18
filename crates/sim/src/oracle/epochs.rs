//! O3, O5, O8: who leads, what a leader must know, and what never falls.

use super::history::Decided;
use super::{Table, Verdict};
use crate::report::Finding;
use consensus_core::{Audit, LogIndex, NodeId, Status};

/// Who led in which epoch, over all time.
#[derive(Default)]
pub(crate) struct Epochs {
    leaders: Table<u64, NodeId>,
    highest: Option<u64>,
}

impl Epochs {
    /// The highest epoch in which anything may have been decided so far.
    pub(crate) fn highest(&self) -> Option<u64> {
        self.highest
    }

    /// Somebody has batches decided in this epoch, if in any.
    pub(crate) fn proposes(&mut self, epoch: Option<u64>) {
        self.highest = self.highest.max(epoch);
    }

    /// O3: `node` now is an active leader in this epoch (Raft §5.2, Election Safety).
    pub(crate) fn leads(&mut self, node: NodeId, epoch: u64) -> Verdict {
        let first = *self.leaders.entry(epoch).or_insert(node);
        if first == node {
            return Ok(());
        }
        let detail = format!("{node} leads in epoch {epoch}, in which {first} led");
        Err(Finding::new("O3", "one leader an epoch", detail))
    }
}

/// O5: a replica that becomes leader holds everything that was committed while only lower epochs
/// had leaders (Raft §5.4, Leader Completeness). What was committed since is the newer leaders'.
pub(crate) fn complete<P: Audit>(replica: &P, epoch: u64, decided: &[Decided]) -> Verdict {
    // What it has forgotten is in a snapshot, and the states of those are compared.
    let purged = replica.status().purged.0 as usize;
    for (place, entry) in decided.iter().enumerate().skip(purged) {
        if entry.led.is_some_and(|led| led >= epoch) {
            break; // Epochs only grow, so all later entries are out of scope too.
        }
        let index = LogIndex(place as u64 + 1);
        let held = replica.entry(index);
        if held != Some(&entry.batch) {
            let batch = &entry.batch;
            let detail =
                format!("leads in epoch {epoch}; index {index} is {batch:?}, it holds {held:?}");
            return Err(Finding::new("O5", "leader completeness", detail));
        }
    }
    Ok(())
}

/// O8: within one life of a replica, epoch and commit index do not fall.
pub(crate) fn rises(before: &Status, now: &Status) -> Verdict {
    let fell = |what: &str, before: u64, now: u64| {
        let detail = format!("its {what} fell from {before} to {now}");
        Err(Finding::new("O8", "monotonic", detail))
    };
    if now.epoch < before.epoch {
        return fell("epoch", before.epoch, now.epoch);
    }
    if now.committed < before.committed {
        return fell("commit index", before.committed.0, now.committed.0);
    }
    Ok(())
}

/// O12: a replica forgets only what its durable snapshot covers, applies only what is committed,
/// and that is in its log.
pub(crate) fn in_order(now: &Status, snapshot: LogIndex, applied: LogIndex) -> Verdict {
    let Status { purged, committed, last, .. } = *now;
    if purged <= snapshot && snapshot <= applied && applied <= committed && committed <= last {
        return Ok(());
    }
    let detail = format!(
        "purged {purged}, snapshot {snapshot}, applied {applied}, committed {committed}, last \
         {last}"
    );
    Err(Finding::new("O12", "purged ≤ snapshot ≤ applied ≤ committed ≤ last", detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::{Config, Record, Toy};
    use consensus_core::{
        Batch, Cluster, ClusterId, ConsensusProtocol, Durable, Incarnation, ProtocolConfig, Role,
    };

    /// Raft §5.4: what was committed in epoch 1 must be in the log of the leader of epoch 2.
    #[test]
    fn o5_sees_a_leader_without_what_was_committed_before() {
        let config = Config::for_cluster(&Cluster::new(ClusterId(1), 3)).expect("a cluster");
        let leader = |records| {
            let durable = Durable::of(Incarnation(2), records);
            Toy::<false>::recover(NodeId(0), config.clone(), durable).expect("a disk")
        };
        let decided = |led| [Decided { batch: Batch::noop(), at: 0, led: Some(led) }];
        let (empty, index) = (leader(Vec::new()), LogIndex(1));
        assert_eq!(complete(&empty, 2, &decided(1)).unwrap_err().oracle, "O5");
        complete(&empty, 2, &decided(2)).expect("committed by this epoch, or by a later one");
        let full = leader(vec![Record { epoch: 1, index, batch: Batch::noop() }]);
        complete(&full, 2, &decided(1)).expect("it holds what was committed");
    }

    #[test]
    fn o3_sees_two_leaders_of_one_epoch() {
        let mut epochs = Epochs::default();
        epochs.leads(NodeId(0), 1).expect("the first");
        epochs.leads(NodeId(1), 2).expect("another epoch");
        [Some(2), None, Some(1)].into_iter().for_each(|epoch| epochs.proposes(epoch));
        epochs.leads(NodeId(0), 1).expect("itself, again");
        assert_eq!(epochs.leads(NodeId(2), 1).unwrap_err().oracle, "O3");
        assert_eq!(epochs.highest(), Some(2));
    }

    #[test]
    fn o12_sees_what_is_forgotten_too_early_and_applied_too_early() {
        let status = |purged, committed, last| Status {
            role: Role::Follower,
            epoch: 1,
            leader: None,
            committed: LogIndex(committed),
            last: LogIndex(last),
            purged: LogIndex(purged),
        };
        let check = |status, snapshot, applied| {
            in_order(&status, LogIndex(snapshot), LogIndex(applied)).map_err(|found| found.oracle)
        };
        assert_eq!(check(status(3, 5, 9), 4, 5), Ok(()));
        assert_eq!(check(status(5, 5, 9), 4, 5), Err("O12"), "forgotten beyond the snapshot");
        assert_eq!(check(status(3, 5, 9), 6, 5), Err("O12"), "a snapshot of the future");
        assert_eq!(check(status(3, 5, 9), 4, 6), Err("O12"), "applied, not committed");
        assert_eq!(check(status(3, 5, 4), 4, 5), Err("O12"), "committed, not in the log");
    }

    #[test]
    fn o8_sees_an_epoch_or_a_commit_index_fall() {
        let status = |epoch, committed| Status {
            role: Role::Follower,
            epoch,
            leader: None,
            committed: LogIndex(committed),
            last: LogIndex(9),
            purged: LogIndex::ZERO,
        };
        rises(&status(1, 5), &status(1, 5)).expect("standing still is fine");
        assert_eq!(rises(&status(2, 5), &status(1, 5)).unwrap_err().oracle, "O8");
        assert_eq!(rises(&status(2, 5), &status(3, 4)).unwrap_err().oracle, "O8");
    }
}
