//! What people build before they hear of consensus: a primary that answers when its own disk has a
//! command, copies for the others, and somebody who makes another one the primary when it is
//! silent. It is no algorithm of this workspace, and only scenarios may play it, as a contrast.

use consensus_core::quorum::Quorums;
use consensus_core::{
    Answers, Audit, Batch, Certificate, Claim, Cluster, ConfigError, ConsensusProtocol, Durable,
    Effects, Env, Envelope, FaultModel, Gate, InFlight, Input, Ledger, Links, LogIndex,
    MessageKind, NodeId, NodeSet, ProtocolConfig, ProtocolInfo, RecoverError, Refusal, Rejected,
    Role, Status, Takes, Traffic, Verified,
};
use serde::{Deserialize, Serialize};

/// Its settings: who there is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Config {
    nodes: NodeSet,
}

impl ProtocolConfig for Config {
    fn for_cluster(cluster: &Cluster) -> Result<Self, ConfigError> {
        Ok(Self { nodes: cluster.nodes() })
    }

    /// One disk is enough, it believes.
    fn quorums(&self, voters: usize) -> Option<Quorums> {
        Quorums::flexible(voters, voters, 1).ok()
    }
}

/// What replicas tell each other.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Message {
    /// A copy of what the primary answered.
    Copy { index: LogIndex, batch: Batch },
    /// Somebody made the sender the primary.
    Primary,
}

const COPY: MessageKind = MessageKind::new("copy", Traffic::Command);
const PRIMARY: MessageKind = MessageKind::new("primary", Traffic::Election);

impl consensus_core::Message for Message {
    const KINDS: &'static [MessageKind] = &[COPY, PRIMARY];

    fn kind(&self) -> MessageKind {
        match self {
            Self::Copy { .. } => COPY,
            Self::Primary => PRIMARY,
        }
    }

    fn gate(&self) -> Gate {
        match self {
            Self::Copy { .. } => Gate::AfterSync,
            Self::Primary => Gate::Free,
        }
    }
}

/// A batch on the disk.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Record {
    index: LogIndex,
    batch: Batch,
}

/// One replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PrimaryCopy {
    id: NodeId,
    nodes: NodeSet,
    primary: Option<NodeId>,
    log: Vec<Batch>,
    written: InFlight<LogIndex>,
    committed: LogIndex,
}

impl PrimaryCopy {
    fn last(&self) -> LogIndex {
        LogIndex(self.log.len() as u64)
    }

    fn append(&mut self, batch: Batch, effects: &mut Effects<Self>) {
        self.log.push(batch.clone());
        let index = self.last();
        let number = effects.write(Record { index, batch });
        self.written.wrote(number, index);
    }

    /// The mistake: what one disk has is answered, whoever else believes to be the primary.
    fn commit(&mut self, upto: LogIndex, effects: &mut Effects<Self>) {
        while self.committed < upto {
            self.committed = self.committed.next();
            let batch = self.log[self.committed.0 as usize - 1].clone();
            effects.commit(self.committed, batch);
        }
    }

    fn propose(&mut self, batch: Batch, effects: &mut Effects<Self>) {
        if self.primary != Some(self.id) {
            return effects.refuse(batch, Refusal::NotLeader(self.primary));
        }
        self.append(batch.clone(), effects);
        let index = self.last();
        effects.send(self.nodes.without(self.id), Message::Copy { index, batch });
    }

    fn receive(&mut self, from: NodeId, message: Message, effects: &mut Effects<Self>) {
        match message {
            Message::Primary => self.primary = Some(from),
            Message::Copy { index, batch } if index == self.last().next() => {
                self.append(batch, effects);
            }
            // It has something there. It must be the same.
            Message::Copy { .. } => {}
        }
    }
}

impl ConsensusProtocol for PrimaryCopy {
    const INFO: ProtocolInfo = ProtocolInfo {
        name: "primary-copy",
        title: "Primary copy",
        paper: "none",
        faults: FaultModel::Crash,
        answers: Answers::ClientReplica,
        takes: Takes::Leader,
        links: Links::Any,
    };
    type Config = Config;
    type Message = Message;
    type Record = Record;
    type Timer = ();

    fn recover(id: NodeId, config: Config, durable: Durable<Record>) -> Result<Self, RecoverError> {
        let log = durable.records.into_iter().map(|record| record.batch).collect();
        let (written, committed) = (InFlight::default(), LogIndex::ZERO);
        Ok(Self { id, nodes: config.nodes, primary: None, log, written, committed })
    }

    fn verify(envelope: Envelope<Message>, env: &Env<'_>) -> Result<Verified<Message>, Rejected> {
        if env.cluster.contains(envelope.from) {
            Ok(Verified::vouch(envelope))
        } else {
            Err(Rejected("not of the cluster"))
        }
    }

    fn step(&mut self, input: Input<Self>, _env: &Env<'_>, effects: &mut Effects<Self>) {
        match input {
            Input::Start => self.commit(self.last(), effects),
            Input::Message(verified) => {
                let (from, message) = verified.into_parts();
                self.receive(from, message, effects);
            }
            Input::Propose(batch) => self.propose(batch, effects),
            Input::Durable(upto) => {
                if let Some(last) = self.written.durable(upto).last() {
                    self.commit(last, effects);
                }
            }
            Input::Campaign => {
                self.primary = Some(self.id);
                effects.send(self.nodes.without(self.id), Message::Primary);
            }
            Input::Timer(()) | Input::Drained => {}
            other @ (Input::Transfer(_)
            | Input::Change(_)
            | Input::Read(_)
            | Input::SnapshotTaken(_)
            | Input::SnapshotInstalled(_)) => effects.unsupported(&other),
        }
    }

    fn status(&self) -> Status {
        let leads = self.primary == Some(self.id);
        Status {
            role: if leads { Role::Leader } else { Role::Follower },
            epoch: 1,
            leader: self.primary,
            committed: self.committed,
            last: self.last(),
            purged: LogIndex::ZERO,
        }
    }
}

impl Audit for PrimaryCopy {
    const LOG_MATCHING: bool = false;

    fn claims(_: &Message) -> Vec<Claim> {
        Vec::new()
    }

    fn absorb(record: &Record, disk: &mut Ledger) {
        disk.hold(record.index, 0, record.batch.fingerprint());
    }

    fn leads(&self) -> Option<u64> {
        None // Who leads, and until when, is nobody's business here.
    }

    fn entry(&self, index: LogIndex) -> Option<&Batch> {
        self.log.get(usize::try_from(index.0.checked_sub(1)?).ok()?)
    }

    fn certificate(&self, _: LogIndex) -> Option<Certificate> {
        None
    }
}
