//! What a replica has in every role.

use crate::acceptor::Acceptor;
use crate::config::Config;
use crate::learner::{Contradiction, Learner};
use crate::message::{Message, Pvalue};
use crate::record::Record;
use crate::replica::MultiPaxos;
use consensus_core::mutant::planted;
use consensus_core::{
    Ballot, Batch, Durable, Effects, InFlight, Incarnation, LogIndex, NodeId, RecoverError,
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
}

/// A vote of the own acceptor for the own ballot. It counts when it is durable.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum OwnVote {
    Promise(Ballot),
    Accepted(Ballot, LogIndex),
}

impl Node {
    /// Reads the records, oldest first.
    pub(crate) fn recover(
        id: NodeId,
        config: Config,
        durable: Durable<Record>,
    ) -> Result<Self, RecoverError> {
        let (mut acceptor, mut learner) = (Acceptor::default(), Learner::default());
        for (number, record) in durable.records.into_iter().enumerate() {
            read(record, &mut acceptor, &mut learner)
                .map_err(|why| RecoverError(format!("record {}: {why}", number + 1)))?;
        }
        Ok(Self {
            id,
            config,
            incarnation: durable.incarnation,
            seen: acceptor.promised(),
            acceptor,
            learner,
            own_votes: InFlight::default(),
        })
    }

    /// Notes that a ballot is in use.
    pub(crate) fn see(&mut self, ballot: Ballot) {
        self.seen = self.seen.max(ballot);
    }

    /// A ballot that is higher than all seen, and was never used before: it carries the
    /// incarnation, so that no round needs to be remembered for it (§2.5).
    pub(crate) fn next_ballot(&self) -> Ballot {
        let promised = self.acceptor.promised();
        if planted("M22") && promised == self.seen && promised.node == Some(self.id) {
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

    /// The own acceptor accepts the own proposal.
    pub(crate) fn accept_own(&mut self, pvalue: Pvalue, effects: &mut Effects<MultiPaxos>) {
        let vote = OwnVote::Accepted(pvalue.ballot, pvalue.slot);
        let number = self.acceptor.accept(pvalue, effects);
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
        match self.learner.learn_from_other(from, batches, effects) {
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
}

fn read(
    record: Record,
    acceptor: &mut Acceptor,
    learner: &mut Learner,
) -> Result<(), &'static str> {
    match record {
        Record::Promised { ballot } => {
            if ballot < acceptor.promised() {
                return Err("the promised ballot falls");
            }
            acceptor.recall_promise(ballot);
        }
        Record::Accepted { ballot, slot, batch } => {
            if ballot < acceptor.promised() {
                return Err("accepted below the promised ballot");
            }
            if slot == LogIndex::ZERO {
                return Err("accepted in slot 0");
            }
            acceptor.recall(Pvalue { ballot, slot, batch });
        }
        Record::Learned { slot, batch } => {
            if slot != learner.upto().next() {
                return Err("a chosen value is missing before a learned one");
            }
            learner.recall(slot, batch);
        }
        Record::Chosen { upto } => {
            while learner.upto() < upto {
                let slot = learner.upto().next();
                let Some(held) = acceptor.accepted(slot) else {
                    if planted("M48") {
                        break;
                    }
                    return Err("a chosen value is missing");
                };
                learner.recall(slot, held.batch.clone());
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{Cluster, ClusterId, ProtocolConfig};

    fn ballot(round: u64) -> Ballot {
        Ballot { round, node: Some(NodeId(0)), incarnation: Incarnation(1) }
    }

    fn recover(records: Vec<Record>) -> Result<Node, RecoverError> {
        let config = Config::for_cluster(&Cluster::new(ClusterId(1), 3)).expect("three nodes do");
        Node::recover(NodeId(0), config, Durable::of(Incarnation(2), records))
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
        assert_eq!(node.next_ballot().incarnation, Incarnation(2));
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
        ] {
            let last = records.len();
            let error = recover(records).expect_err("these records contradict each other");
            assert!(error.to_string().contains(&format!("record {last}")), "{error}");
        }
    }
}
