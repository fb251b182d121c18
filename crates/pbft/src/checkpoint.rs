//! Checkpoints and water marks (§4.3).

use crate::certificates::{CheckpointCertificate, stable_needed};
use crate::digest::Digest;
use crate::message::{Body, Message, Sequence};
use crate::record::Record;
use crate::replica::Pbft;
use consensus_core::mutant::planted;
use consensus_core::{Effects, Env, LogIndex, NodeId, Tag};

impl Pbft {
    /// `h`: the last stable checkpoint.
    pub(crate) fn low_mark(&self) -> Sequence {
        self.stable.as_ref().map_or(LogIndex::ZERO, |stable| stable.sequence)
    }

    /// `H = h + L`.
    pub(crate) fn high_mark(&self) -> Sequence {
        LogIndex(self.low_mark().0.saturating_add(self.config.window))
    }

    /// "When a sequence number divisible by some constant is executed", and when much was executed
    /// since the last one: all replicas execute the same, so they agree on where that is.
    pub(crate) fn take_checkpoint(
        &mut self,
        sequence: Sequence,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        // Counted whatever is known to be stable: by one who lags, too, it is counted from the same
        // number as by the others.
        if planted("B100") && sequence <= self.low_mark() {
            return;
        }
        let length = self.decided.last().map_or(0, |decided| decided.batch.bytes().len());
        self.since_checkpoint += length;
        let much = self.since_checkpoint >= self.config.checkpoint_bytes && !planted("B82");
        if !much && !sequence.0.is_multiple_of(self.config.checkpoint_interval) {
            return;
        }
        self.since_checkpoint = 0;
        if sequence <= self.low_mark() {
            return;
        }
        let history = self.history;
        if planted("B38") {
            effects.note(Record::Checkpoint { sequence, history });
        } else {
            effects.write(Record::Checkpoint { sequence, history });
        }
        let message = Message::signed(Body::Checkpoint { sequence, history }, self.id, env);
        let tag = message.tag.clone();
        self.own_checkpoint = Some(message.clone());
        effects.send(self.peers(), message);
        // It counts here before it is on disk, unlike a vote: whatever is said because of it, a
        // vote, a view-change, a new-view or a stable checkpoint that is shown, waits for all that
        // was written before. Only pre-prepares do not, and they prove nothing.
        self.add_checkpoint(self.id, (sequence, history, tag), effects);
    }

    /// The own checkpoint, as long as it is not known to be stable.
    pub(crate) fn own_unstable(&self) -> Option<&Message> {
        self.own_checkpoint.as_ref().filter(|checkpoint| {
            let Body::Checkpoint { sequence, .. } = checkpoint.body else { return false };
            sequence > self.low_mark()
        })
    }

    pub(crate) fn on_checkpoint(
        &mut self,
        from: NodeId,
        checkpoint: (Sequence, Digest, Tag),
        effects: &mut Effects<Self>,
    ) {
        let (sequence, ..) = checkpoint;
        // A liar may name any number: one per replica is kept, its latest.
        let later = self.checkpoints.range(sequence.next()..).any(|(_, votes)| votes.has(from));
        if sequence <= self.low_mark() || later {
            return;
        }
        for (_, votes) in self.checkpoints.range_mut(..sequence) {
            if from != self.id && !planted("B66") {
                votes.forget(from);
            }
        }
        self.checkpoints.retain(|_, votes| !votes.is_empty());
        self.add_checkpoint(from, checkpoint, effects);
    }

    fn add_checkpoint(
        &mut self,
        from: NodeId,
        (sequence, history, tag): (Sequence, Digest, Tag),
        effects: &mut Effects<Self>,
    ) {
        let needed = stable_needed(self.config.nodes);
        let votes = self.checkpoints.entry(sequence).or_default();
        votes.add(from, history, tag);
        if let Some(votes) = votes.quorum(history, needed) {
            let certificate = CheckpointCertificate { sequence, history, votes };
            self.make_stable(certificate, effects);
        }
    }

    /// The checkpoint is stable: what led to it is forgotten. The decided requests stay, to bring
    /// back replicas that missed them.
    pub(crate) fn make_stable(
        &mut self,
        certificate: CheckpointCertificate,
        effects: &mut Effects<Self>,
    ) {
        if certificate.sequence <= self.low_mark() {
            return;
        }
        if let Some(Message { body: Body::Checkpoint { sequence, history }, .. }) =
            self.own_checkpoint
            && sequence == certificate.sequence
            && history != certificate.history
            && !planted("B70")
        {
            return effects.halt("a quorum has executed something else than this replica");
        }
        effects.reached("checkpoint stable");
        if certificate.sequence > self.executed() {
            effects.reached("checkpoint stable beyond what was executed here");
        }
        effects.note(Record::Stable(certificate.clone()));
        self.adopt_stable(certificate);
    }

    pub(crate) fn adopt_stable(&mut self, certificate: CheckpointCertificate) {
        let stable = certificate.sequence;
        self.stable = Some(certificate);
        self.checkpoints = self.checkpoints.split_off(&stable.next());
        // What is decided and not executed yet is still needed.
        let done = stable.min(self.executed());
        self.slots = self.slots.split_off(&done.next());
        self.own_tags = self.own_tags.split_off(&(done.next(), false));
        if !planted("B39") {
            self.next = self.next.max(stable.next());
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::certificates::CommitCertificate;
    use crate::config::Config;
    use crate::message::{Decided, View, Vote};
    use consensus_core::{
        Batch, Cluster, ClusterId, ConsensusProtocol, Durable, Incarnation, ProtocolConfig,
    };
    use std::sync::Arc;

    fn numbers_after(replica: &mut Pbft, stable: u64) -> Vec<u64> {
        let (sequence, history) = (LogIndex(stable), Digest::default());
        replica.adopt_stable(CheckpointCertificate { sequence, history, votes: Vec::new() });
        replica.slots.keys().map(|sequence| sequence.0).collect()
    }

    /// §4.3: a quorum's checkpoint speaks of what this replica executed, too. If it executed
    /// something else, it is the one that is wrong, and must not go on.
    #[test]
    pub(crate) fn a_replica_that_executed_something_else_than_a_quorum_stops() {
        let config = Config::for_cluster(&Cluster::new(ClusterId(1), 4)).unwrap();
        for (history, goes_on) in [(Digest([1; 32]), true), (Digest([2; 32]), false)] {
            let empty = Durable::of(Incarnation(1), Vec::new());
            let mut replica = Pbft::recover(NodeId(0), config.clone(), empty).unwrap();
            let (sequence, own) = (LogIndex(2), Digest([1; 32]));
            let body = Body::Checkpoint { sequence, history: own };
            replica.own_checkpoint = Some(Message { body, tag: Tag::none(), repeat: false });
            let mut effects = Effects::after_recovery(0);
            let certificate = CheckpointCertificate { sequence, history, votes: Vec::new() };
            replica.make_stable(certificate, &mut effects);
            assert_eq!(effects.halted().is_none(), goes_on);
            assert_eq!(replica.low_mark(), if goes_on { sequence } else { LogIndex::ZERO });
        }
    }

    /// §4.3: what led to a stable checkpoint is discarded, but not what is yet to be executed.
    #[test]
    fn a_stable_checkpoint_frees_the_numbers_that_were_executed() {
        let config = Config::for_cluster(&Cluster::new(ClusterId(1), 4)).unwrap();
        let empty = Durable::of(Incarnation(1), Vec::new());
        let mut replica = Pbft::recover(NodeId(0), config, empty).unwrap();
        for number in 1..=5 {
            replica.slots.insert(LogIndex(number), Arc::default());
        }
        for number in 1..=3 {
            let sequence = LogIndex(number);
            let vote = Vote { view: View(0), sequence, digest: Digest::default() };
            let certificate = CommitCertificate { vote, commits: Vec::new() };
            replica.decided.push(Arc::new(Decided { certificate, batch: Batch::noop() }));
        }
        assert_eq!(numbers_after(&mut replica, 2), [3, 4, 5]);
        assert_eq!(numbers_after(&mut replica, 4), [4, 5], "number 4 is not executed here");
        assert_eq!(replica.next, LogIndex(5), "and given to nothing else");
    }
}
