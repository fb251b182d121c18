//! A replicated log with a leader that never changes: node 0 orders, a majority that has an entry
//! on disk decides it. Just enough of an algorithm to drive the runtime; the real ones have their
//! own tests.

use consensus_core::{
    Answers, Batch, Cluster, ConfigError, ConsensusProtocol, Delay, Durable, Effects, Env,
    Envelope, FaultModel, Gate, InFlight, Input, Links, LogIndex, Message, MessageKind, NodeId,
    ProtocolConfig, ProtocolInfo, RecoverError, Refusal, Rejected, Role, Status, Takes, Traffic,
    Verified, quorum,
};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::time::Duration;

const LEADER: NodeId = NodeId(0);
/// How often the leader repeats what was not acknowledged.
const REPEAT: Duration = Duration::from_millis(20);

/// Entries in one message: few, so that a link that breaks often lets some through.
const MOST: usize = 4;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    nodes: usize,
}

impl ProtocolConfig for Config {
    fn for_cluster(cluster: &Cluster) -> Result<Self, ConfigError> {
        Ok(Self { nodes: cluster.size })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Say {
    /// Entries from an index on, and what is decided.
    Append { from: u64, batches: Vec<Batch>, committed: u64 },
    /// Everything up to here is on my disk.
    Acked(u64),
}

impl Message for Say {
    const KINDS: &'static [MessageKind] = &[
        MessageKind::new("append", Traffic::Command),
        MessageKind::new("heartbeat", Traffic::Heartbeat),
        MessageKind::new("acked", Traffic::Command),
    ];

    fn kind(&self) -> MessageKind {
        match self {
            Self::Append { batches, .. } if batches.is_empty() => Self::KINDS[1],
            Self::Append { .. } => Self::KINDS[0],
            Self::Acked(_) => Self::KINDS[2],
        }
    }

    fn gate(&self) -> Gate {
        match self {
            Self::Append { .. } => Gate::Free,
            Self::Acked(_) => Gate::AfterSync,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Entry(u64, Batch);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repeat;

/// One replica. With `ALL`, every replica answers, as in a Byzantine protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Toy<const ALL: bool> {
    id: NodeId,
    nodes: usize,
    log: Vec<Batch>,
    durable: u64,
    in_flight: InFlight<u64>,
    matched: BTreeMap<NodeId, u64>,
    sent: BTreeMap<NodeId, u64>,
    committed: u64,
    retired: bool,
    acked: u64,
}

impl<const ALL: bool> Toy<ALL> {
    fn append(&mut self, batch: Batch, effects: &mut Effects<Self>) {
        self.log.push(batch.clone());
        let index = self.log.len() as u64;
        let number = effects.write(Entry(index, batch));
        self.in_flight.wrote(number, index);
    }

    fn lead(&mut self, effects: &mut Effects<Self>) {
        let mut matches: Vec<u64> = self.matched.values().copied().collect();
        matches.push(self.durable);
        matches.sort_unstable_by(|a, b| b.cmp(a));
        let decided = matches.get(quorum::majority(self.nodes) - 1).copied().unwrap_or(0);
        self.commit(decided, effects);
    }

    fn commit(&mut self, upto: u64, effects: &mut Effects<Self>) {
        while self.committed < upto.min(self.log.len() as u64) {
            let batch = self.log[self.committed as usize].clone();
            self.committed += 1;
            effects.commit(LogIndex(self.committed), batch);
        }
    }

    fn send_rest(&mut self, to: NodeId, from: u64, effects: &mut Effects<Self>) {
        let batches: Vec<_> = self.log[from as usize..].iter().take(MOST).cloned().collect();
        self.sent.insert(to, from + batches.len() as u64);
        effects.send(to, Say::Append { from, batches, committed: self.committed });
    }

    fn peers(&self) -> Vec<NodeId> {
        (1..self.nodes as u8).map(NodeId).collect()
    }

    fn on_message(&mut self, from: NodeId, message: Say, effects: &mut Effects<Self>) {
        match message {
            Say::Append { from: start, batches, committed } if from == LEADER => {
                for (batch, index) in batches.into_iter().zip(start + 1..) {
                    if index == self.log.len() as u64 + 1 {
                        self.append(batch, effects);
                    }
                }
                self.commit(committed, effects);
                self.acked = self.log.len() as u64;
                effects.send(LEADER, Say::Acked(self.acked));
            }
            Say::Acked(upto) if self.id == LEADER => {
                let matched = self.matched.entry(from).or_default();
                *matched = (*matched).max(upto.min(self.log.len() as u64));
                self.lead(effects);
            }
            Say::Append { .. } | Say::Acked(_) => {}
        }
    }

    fn on_propose(&mut self, batch: Batch, effects: &mut Effects<Self>) {
        for command in batch.commands() {
            match &command.payload[..] {
                b"halt" => effects.halt("somebody asked for it"),
                b"panic" => panic!("somebody asked for it"),
                b"gap" => effects.commit(LogIndex(u64::MAX), Batch::noop()),
                _ => {}
            }
        }
        if self.id != LEADER || self.retired {
            return effects.refuse(batch, Refusal::NotLeader((!self.retired).then_some(LEADER)));
        }
        self.append(batch, effects);
    }
}

impl<const ALL: bool> ConsensusProtocol for Toy<ALL> {
    const INFO: ProtocolInfo = ProtocolInfo {
        name: "toy",
        title: "Toy",
        paper: "none",
        faults: if ALL { FaultModel::Byzantine } else { FaultModel::Crash },
        answers: if ALL { Answers::All } else { Answers::ClientReplica },
        takes: Takes::Leader,
        links: Links::Any,
    };
    type Config = Config;
    type Message = Say;
    type Record = Entry;
    type Timer = Repeat;

    fn recover(id: NodeId, config: Config, durable: Durable<Entry>) -> Result<Self, RecoverError> {
        let log: Vec<_> = durable.records.into_iter().map(|Entry(_, batch)| batch).collect();
        let durable = log.len() as u64;
        Ok(Self {
            id,
            nodes: config.nodes,
            log,
            durable,
            in_flight: InFlight::default(),
            matched: BTreeMap::new(),
            sent: BTreeMap::new(),
            committed: 0,
            retired: false,
            acked: 0,
        })
    }

    fn verify(envelope: Envelope<Say>, _env: &Env<'_>) -> Result<Verified<Say>, Rejected> {
        match &envelope.message {
            Say::Acked(u64::MAX) => Err(Rejected("no log is that long")),
            _ => Ok(Verified::vouch(envelope)),
        }
    }

    fn step(&mut self, input: Input<Self>, _env: &Env<'_>, effects: &mut Effects<Self>) {
        match input {
            Input::Start => {
                effects.set_timer(Repeat, Delay::fixed(REPEAT));
                if self.nodes == 1 {
                    self.lead(effects);
                }
            }
            Input::Message(message) => {
                let (from, message) = message.into_parts();
                self.on_message(from, message, effects);
            }
            Input::Propose(batch) => self.on_propose(batch, effects),
            Input::Timer(Repeat) => {
                effects.set_timer(Repeat, Delay::fixed(REPEAT));
                if self.id == LEADER {
                    for peer in self.peers() {
                        let from = self.matched.get(&peer).copied().unwrap_or(0);
                        self.send_rest(peer, from, effects);
                    }
                }
            }
            Input::Durable(upto) => {
                if let Some(index) = self.in_flight.durable(upto).last() {
                    self.durable = index;
                }
                if self.id == LEADER {
                    self.lead(effects);
                }
            }
            // For the tests: the leader steps down, or takes over again.
            Input::Campaign => self.retired = !self.retired,
            Input::Drained if self.id == LEADER => {
                for peer in self.peers() {
                    let sent = self.sent.get(&peer).copied().unwrap_or(0);
                    for from in (sent..self.log.len() as u64).step_by(MOST) {
                        self.send_rest(peer, from, effects);
                    }
                }
            }
            other @ (Input::Transfer(_)
            | Input::Change(_)
            | Input::Read(_)
            | Input::SnapshotTaken(_)
            | Input::SnapshotInstalled(_)) => effects.unsupported(&other),
            Input::Drained => {}
        }
    }

    fn status(&self) -> Status {
        let leads = self.id == LEADER && !self.retired;
        Status {
            role: if leads { Role::Leader } else { Role::Follower },
            epoch: 1,
            leader: (!self.retired).then_some(LEADER),
            committed: LogIndex(self.committed),
            last: LogIndex(self.log.len() as u64),
            purged: LogIndex::ZERO,
        }
    }
}
