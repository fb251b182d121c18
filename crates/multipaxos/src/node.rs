//! What a replica has in every role.

use crate::acceptor::Acceptor;
use crate::config::Config;
use crate::learner::{Contradiction, Learner};
use crate::members::Members;
use crate::message::{Message, Pvalue};
use crate::reads::QuorumReads;
use crate::record::{FAR, Record};
use crate::replica::MultiPaxos;
use consensus_core::mutant::planted;
use consensus_core::quorum::Quorums;
use consensus_core::{
    Ballot, Batch, Durable, Effects, Env, InFlight, Incarnation, LogIndex, NodeId, NodeSet,
    ProtocolConfig as _, RecordNumber, RecoverError, Run, SnapshotMeta,
};

/// Acceptor, learner, and who one is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Node {
    pub(crate) id: NodeId,
    pub(crate) config: Config,
    pub(crate) incarnation: Incarnation,
    /// The highest ballot heard of, promised or not.
    pub(crate) seen: Ballot,
    pub(crate) acceptor: Acceptor,
    pub(crate) learner: Learner,
    /// Votes of the acceptor next door that wait for the disk.
    pub(crate) own_votes: InFlight<OwnVote>,
    /// The last change of members that is known to be final.
    pub(crate) finished: LogIndex,
    /// The disk would remember changes of members up to this version.
    pub(crate) members_durable: LogIndex,
    /// It was told of them up to this version.
    pub(crate) members_written: LogIndex,
    /// Reads without the leader.
    pub(crate) quorum_reads: QuorumReads,
    /// Records up to this one are on disk.
    pub(crate) durable: RecordNumber,
    /// As leader it found that its disk stands still, which is so until it moves.
    pub(crate) stalled: bool,
    /// The snapshot on disk was newer than the records, which must be replaced before others
    /// follow.
    behind_snapshot: bool,
}

/// A vote of the own acceptor for the own ballot. It counts when it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OwnVote {
    Promise(Ballot),
    /// In so many slots from this one on.
    Accepted {
        ballot: Ballot,
        slot: LogIndex,
        count: u64,
    },
    /// No vote: the members of this version.
    Members(LogIndex),
}

impl Node {
    /// Reads the records, oldest first.
    pub(crate) fn recover(
        id: NodeId,
        config: Config,
        durable: Durable<Record>,
    ) -> Result<Self, RecoverError> {
        config.validate().map_err(|error| RecoverError(error.to_string()))?;
        let mut acceptor = Acceptor::default();
        let mut learner = Learner::after(LogIndex::ZERO, Members::initial(config.voters));
        let written = RecordNumber(durable.records.len() as u64);
        for (number, record) in durable.records.into_iter().enumerate() {
            if !record.is_plausible() {
                let why = "a ballot or a slot that no cluster reaches";
                return Err(RecoverError(format!("record {}: {why}", number + 1)));
            }
            read(record, number == 0, &mut acceptor, &mut learner)
                .map_err(|why| RecoverError(format!("record {}: {why}", number + 1)))?;
        }
        let behind_snapshot = restore(durable.snapshot, &mut acceptor, &mut learner)?;
        let version = learner.members().current().version;
        Ok(Self {
            id,
            config,
            incarnation: durable.incarnation,
            seen: acceptor.promised(),
            acceptor,
            learner,
            own_votes: InFlight::default(),
            finished: LogIndex::ZERO,
            members_durable: version,
            members_written: version,
            quorum_reads: QuorumReads::default(),
            durable: written,
            stalled: false,
            behind_snapshot,
        })
    }

    /// The first step of a life: what the disk knew is given out again.
    pub(crate) fn start(&mut self, effects: &mut Effects<MultiPaxos>) {
        self.learner.replay(&self.acceptor, effects);
        let members = self.learner.members().current();
        if !members.voters.is_empty() {
            // The first ones are final by themselves. Who joins does not know them.
            effects.members(members.clone(), members.version == LogIndex::ZERO);
        }
        if self.behind_snapshot && !planted("M80") {
            self.behind_snapshot = false;
            effects.reached("started from a snapshot newer than the records");
            self.compact(effects);
        }
    }

    /// Is there something to do when the driver has nothing more?
    pub(crate) fn awaits_drained(&self) -> bool {
        self.learner.is_note_due(self.config.max_unnoted)
            || self.version() > self.members_written
            || (!self.quorum_reads.is_idle() && !planted("M170"))
    }

    /// Does anything wait for the disk, where no ballot is the own one?
    pub(crate) fn awaits_durable(&self) -> bool {
        self.stalled || !self.own_votes.is_empty()
    }

    /// The driver has nothing more: what is to be noted is noted. A change of members is more than
    /// a note, as others may count on it when those who voted before are gone.
    pub(crate) fn drained(&mut self, effects: &mut Effects<MultiPaxos>) {
        if self.learner.is_note_due(self.config.max_unnoted) {
            self.learner.note(effects);
        }
        let version = self.version();
        if version > self.members_written {
            self.members_written = version;
            let number = effects.write(Record::Chosen { upto: self.learner.upto() });
            self.own_votes.wrote(number, OwnVote::Members(version));
        }
        self.quorum_read(effects);
    }

    /// Who votes in the slots after the last one known.
    pub(crate) fn voters(&self) -> NodeSet {
        self.learner.members().current().voters
    }

    /// How gladly this replica would lead.
    pub(crate) fn priority(&self) -> u8 {
        self.config.priorities.get(&self.id).copied().unwrap_or_default()
    }

    /// Does this replica vote?
    pub(crate) fn is_voter(&self) -> bool {
        self.voters().contains(self.id)
    }

    /// All other members: they are told what is chosen.
    pub(crate) fn peers(&self) -> NodeSet {
        self.learner.members().current().members().without(self.id)
    }

    /// The quorums of the voters. `None` while no voters are known.
    pub(crate) fn quorums(&self) -> Option<Quorums> {
        self.config.quorums(self.voters().len())
    }

    /// Have enough of the voters promised?
    pub(crate) fn is_phase_1_quorum(&self, nodes: NodeSet) -> bool {
        let votes = nodes.and(self.voters()).len();
        self.quorums().is_some_and(|quorums| votes >= quorums.phase_1())
    }

    /// Have enough of the voters accepted?
    pub(crate) fn is_phase_2_quorum(&self, nodes: NodeSet) -> bool {
        let votes = nodes.and(self.voters()).len();
        self.quorums().is_some_and(|quorums| votes >= quorums.phase_2())
    }

    /// The last slot of which this replica knows that something was accepted or chosen.
    pub(crate) fn last(&self) -> LogIndex {
        self.learner.last().max(self.acceptor.last())
    }

    /// Notes that a ballot is in use.
    pub(crate) fn see(&mut self, ballot: Ballot) {
        if ballot > self.seen {
            self.seen = ballot;
        }
    }

    /// A ballot that is higher than all seen, and was never used before: it carries the
    /// incarnation, so that no round needs to be remembered for it (§2.5).
    pub(crate) fn next_ballot(&self) -> Ballot {
        let promised = self.acceptor.promised();
        if planted("M22") && promised == self.seen && promised.node() == Some(self.id) {
            return promised;
        }
        Ballot::above(self.seen, self.id, self.incarnation)
    }

    /// The own acceptor promises the own ballot.
    pub(crate) fn promise_own(&mut self, ballot: Ballot, effects: &mut Effects<MultiPaxos>) {
        self.see(ballot);
        let number = self.acceptor.promise(ballot, effects);
        self.own_votes.wrote(number, OwnVote::Promise(ballot));
    }

    /// The own acceptor accepts own proposals, the first in `slot`.
    pub(crate) fn accept_own(
        &mut self,
        ballot: Ballot,
        slot: LogIndex,
        batches: Run<Batch>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        let vote = OwnVote::Accepted { ballot, slot, count: batches.len() as u64 };
        let number = self.acceptor.accept_run(ballot, slot, batches, effects);
        self.own_votes.wrote(number, vote);
    }

    /// The first slot whose chosen value is unknown: where phase 1 begins (§3).
    pub(crate) fn first_unchosen(&self) -> LogIndex {
        self.learner.upto().next()
    }

    /// Another replica says what is chosen. What contradicts is dropped: in a chosen slot we
    /// believe our own memory. True if there was news.
    pub(crate) fn told(
        &mut self,
        from: LogIndex,
        batches: &[Batch],
        effects: &mut Effects<MultiPaxos>,
    ) -> bool {
        match self.learner.learn_from_other(from, batches, &self.acceptor, effects) {
            Ok(news) => news,
            Err(Contradiction(slot)) => {
                tracing::error!(%slot, "told another value than the one known to be chosen");
                false
            }
        }
    }

    /// Asks a replica for what is chosen and not known here.
    pub(crate) fn ask(&self, whom: NodeId, effects: &mut Effects<MultiPaxos>) {
        effects.send(whom, Message::Learn { from: self.first_unchosen() });
    }

    /// Asks everybody for chosen values. The leader that got a change of members chosen may be gone
    /// before the new voters know that they are; who knows it, and votes no more, says so only when
    /// asked.
    pub(crate) fn ask_around(&self, env: &Env<'_>, effects: &mut Effects<MultiPaxos>) {
        let members = self.learner.members().current().members();
        let all = if members.is_empty() { env.cluster.nodes() } else { members };
        effects.reached("no voter, and no leader: asks around");
        effects.send(all.without(self.id), Message::Learn { from: self.first_unchosen() });
    }
}

/// Brings what the records say together with the snapshot, which may be newer. True if it is.
fn restore(
    snapshot: Option<SnapshotMeta>,
    acceptor: &mut Acceptor,
    learner: &mut Learner,
) -> Result<bool, RecoverError> {
    let covered = snapshot.as_ref().map_or(LogIndex::ZERO, |meta| meta.index);
    if covered < learner.base() {
        let base = learner.base();
        return Err(RecoverError(format!(
            "slots up to {base} are forgotten, and the snapshot covers slots up to {covered} only"
        )));
    }
    if covered.0 >= FAR {
        let why = format!("a snapshot up to slot {covered}, which no log reaches");
        return Err(RecoverError(why));
    }
    learner.covered(covered);
    match snapshot {
        Some(meta) if meta.index > learner.upto() => {
            acceptor.forget_upto(meta.index);
            learner.install(meta);
            Ok(true)
        }
        Some(_) | None => Ok(false),
    }
}

fn read(
    record: Record,
    first: bool,
    acceptor: &mut Acceptor,
    learner: &mut Learner,
) -> Result<(), &'static str> {
    match record {
        Record::Forgotten { .. } if !first => return Err("slots are forgotten in the middle"),
        Record::Forgotten { upto, members } => {
            *learner = Learner::after(upto, Members::new(*members));
        }
        Record::Promised { ballot } => {
            if ballot < acceptor.promised() {
                return Err("the promised ballot falls");
            }
            acceptor.recall_promise(ballot);
        }
        Record::Accepted { ballot, slot, batch } => {
            recall(ballot, slot, &[batch], acceptor, learner)?;
        }
        Record::AcceptedRun { ballot, slot, batches } => {
            recall(ballot, slot, &batches, acceptor, learner)?;
        }
        Record::Learned { slot, batch } => {
            if slot != learner.upto().next() {
                return Err("a chosen value is missing before a learned one");
            }
            learner.recall(Some(batch), acceptor);
        }
        Record::Chosen { upto } => {
            while learner.upto() < upto {
                if !learner.recall(None, acceptor) {
                    if planted("M48") {
                        break;
                    }
                    return Err("a chosen value is missing");
                }
            }
        }
    }
    Ok(())
}

/// Takes acceptances that were found on the disk.
fn recall(
    ballot: Ballot,
    first: LogIndex,
    batches: &[Batch],
    acceptor: &mut Acceptor,
    learner: &Learner,
) -> Result<(), &'static str> {
    if ballot < acceptor.promised() {
        return Err("accepted below the promised ballot");
    }
    if first <= learner.base() {
        return Err("accepted in a forgotten slot");
    }
    let known = if planted("M160") { &batches[..1] } else { batches };
    for (slot, batch) in (first.0..).map(LogIndex).zip(known) {
        acceptor.recall(Pvalue { ballot, slot, batch: batch.clone() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{Cluster, ClusterId, ProtocolConfig};

    fn ballot(round: u64) -> Ballot {
        Ballot::new(round, Some(NodeId(0)), Incarnation(1))
    }

    fn recover(records: Vec<Record>) -> Result<Node, RecoverError> {
        let config = Config::for_cluster(&Cluster::new(ClusterId(1), 3)).expect("three nodes do");
        Node::recover(NodeId(0), config, Durable::of(Incarnation(2), records))
    }

    fn forgotten(upto: u64) -> Record {
        Record::Forgotten { upto: LogIndex(upto), members: Box::default() }
    }

    fn accepted(round: u64, slot: u64) -> Record {
        Record::Accepted { ballot: ballot(round), slot: LogIndex(slot), batch: Batch::noop() }
    }

    /// PMS §2.5: what the acceptor said is what its disk says, and a new life has new ballots.
    #[test]
    fn a_restart_keeps_promises_and_never_reuses_a_ballot() {
        let node = recover(vec![
            Record::Promised { ballot: ballot(4) },
            accepted(4, 1),
            accepted(5, 2),
            Record::Learned { slot: LogIndex(1), batch: Batch::noop() },
            Record::Chosen { upto: LogIndex(2) },
        ])
        .expect("these records fit");
        assert_eq!(node.acceptor.promised(), ballot(5));
        assert_eq!(node.first_unchosen(), LogIndex(3));
        assert!(node.next_ballot() > ballot(5));
        assert_eq!(node.next_ballot().incarnation(), Incarnation(2));
    }

    #[test]
    fn a_disk_that_contradicts_itself_is_refused() {
        let promised = |round| Record::Promised { ballot: ballot(round) };
        for records in [
            vec![promised(4), promised(3)],
            vec![promised(4), accepted(3, 1)],
            vec![accepted(1, 0)],
            vec![accepted(1, 1), Record::Chosen { upto: LogIndex(2) }],
            vec![Record::Learned { slot: LogIndex(2), batch: Batch::noop() }],
            vec![promised(1), forgotten(3)],
            vec![forgotten(3), accepted(1, 3)],
        ] {
            let last = records.len();
            let error = recover(records).expect_err("these records contradict each other");
            assert!(error.to_string().contains(&format!("record {last}")), "{error}");
        }
    }
}
