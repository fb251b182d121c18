//! A replicated log with a leader that never changes: node 0 orders, a majority that has an entry
//! on disk decides it. Members change by an entry, from when it is committed. Just enough of an
//! algorithm to drive the runtime; the real ones have their own tests.

use consensus_core::{
    Answers, Batch, Change, ChangeRefusal, Cluster, ConfigError, ConsensusProtocol, Delay, Durable,
    Effects, Env, Envelope, FaultModel, Gate, InFlight, Input, Links, LogIndex, Membership,
    Message, MessageKind, NodeId, NodeSet, ProtocolConfig, ProtocolInfo, Read, ReadMode,
    RecoverError, Refusal, Rejected, Role, SnapshotMessage, SnapshotMeta, Status, Takes, Traffic,
    Verified,
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
    voters: NodeSet,
    /// Entries that are kept though a snapshot covers them.
    pub trailing: u64,
}

impl ProtocolConfig for Config {
    fn for_cluster(cluster: &Cluster) -> Result<Self, ConfigError> {
        Ok(Self { voters: cluster.voters, trailing: 4 })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Say {
    /// Entries from an index on, and what is decided.
    Append { from: u64, batches: Vec<Batch>, committed: u64 },
    /// Everything up to here is on my disk.
    Acked(u64),
    /// What you need next is forgotten.
    Forgotten,
    /// About snapshots.
    Snapshot(SnapshotMessage),
}

impl Message for Say {
    const KINDS: &'static [MessageKind] = &[
        MessageKind::new("append", Traffic::Command),
        MessageKind::new("heartbeat", Traffic::Heartbeat),
        MessageKind::new("acked", Traffic::Command),
        MessageKind::new("snapshot", Traffic::Repair),
    ];

    fn kind(&self) -> MessageKind {
        match self {
            Self::Append { batches, .. } if batches.is_empty() => Self::KINDS[1],
            Self::Append { .. } => Self::KINDS[0],
            Self::Acked(_) => Self::KINDS[2],
            Self::Forgotten | Self::Snapshot(_) => Self::KINDS[3],
        }
    }

    fn snapshot(message: SnapshotMessage) -> Option<Self> {
        Some(Self::Snapshot(message))
    }

    fn gate(&self) -> Gate {
        match self {
            Self::Append { .. } | Self::Forgotten | Self::Snapshot(_) => Gate::Free,
            Self::Acked(_) => Gate::AfterSync,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Kept {
    Entry(u64, Batch),
    /// The log begins after this.
    Base(SnapshotMeta),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Repeat;

/// One replica. With `ALL`, every replica answers, as in a Byzantine protocol.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Toy<const ALL: bool> {
    id: NodeId,
    /// The number of this start.
    starts: u64,
    trailing: u64,
    members: Membership,
    /// Everything up to here is forgotten.
    base: u64,
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
    fn last(&self) -> u64 {
        self.base + self.log.len() as u64
    }

    fn append(&mut self, batch: Batch, effects: &mut Effects<Self>) {
        self.log.push(batch.clone());
        let index = self.last();
        let number = effects.write(Kept::Entry(index, batch));
        self.in_flight.wrote(number, index);
    }

    fn lead(&mut self, effects: &mut Effects<Self>) {
        let has = |node: NodeId| match node {
            LEADER => self.durable,
            peer => self.matched.get(&peer).copied().unwrap_or(0),
        };
        let decided = |upto: u64| {
            let have = self.members.voters.iter().filter(|node| has(*node) >= upto);
            self.members.is_quorum(have.collect())
        };
        let upto = (self.committed + 1..=self.last()).take_while(|upto| decided(*upto)).last();
        self.commit(upto.unwrap_or(0), effects);
    }

    fn commit(&mut self, upto: u64, effects: &mut Effects<Self>) {
        while self.committed < upto.min(self.last()) {
            let batch = self.log[(self.committed - self.base) as usize].clone();
            self.committed += 1;
            let index = LogIndex(self.committed);
            if let Some(members) = Membership::from_batch(&batch, index) {
                self.members = members.clone();
                effects.members(members, true);
            }
            effects.commit(index, batch);
        }
    }

    fn send_rest(&mut self, to: NodeId, from: u64, effects: &mut Effects<Self>) {
        if from < self.base {
            return effects.send(to, Say::Forgotten);
        }
        let start = (from - self.base) as usize;
        let batches: Vec<_> = self.log[start..].iter().take(MOST).cloned().collect();
        self.sent.insert(to, from + batches.len() as u64);
        effects.send(to, Say::Append { from, batches, committed: self.committed });
    }

    fn peers(&self) -> Vec<NodeId> {
        self.members.members().without(LEADER).iter().collect()
    }

    /// Forgets what a snapshot covers, but a tail.
    fn forget(&mut self, meta: &SnapshotMeta, tail: u64, effects: &mut Effects<Self>) {
        let upto = meta.index.0.saturating_sub(tail).max(self.base);
        if upto > self.last() {
            self.log.clear();
        } else {
            self.log.drain(..(upto - self.base) as usize);
        }
        self.base = upto;
        let base = SnapshotMeta { index: LogIndex(upto), ..meta.clone() };
        let entries = (upto + 1..).zip(&self.log);
        let mut records = vec![Kept::Base(base)];
        records.extend(entries.map(|(index, batch)| Kept::Entry(index, batch.clone())));
        let number = effects.compact(records);
        self.in_flight.wrote(number, self.last());
    }

    fn on_change(&mut self, change: &Change, effects: &mut Effects<Self>) {
        if self.id != LEADER {
            return effects.refuse_change(ChangeRefusal::NotLeader(Some(LEADER)));
        }
        match change.apply_to(&self.members) {
            Ok(members) => self.append(members.to_batch(), effects),
            Err(why) => effects.refuse_change(why),
        }
    }

    /// The leader, which never changes, answers. To read by a quorum, in this toy, is to wait for
    /// one more entry.
    fn on_read(&mut self, read: Read, effects: &mut Effects<Self>) {
        match read.mode {
            _ if self.id != LEADER => {
                effects.refuse_read(read.id, Refusal::NotLeader(Some(LEADER)));
            }
            ReadMode::Index => effects.ready(read.id, LogIndex(self.committed)),
            ReadMode::Quorum => effects.ready(read.id, LogIndex(self.last() + 1)),
            ReadMode::Lease => effects.refuse_read(read.id, Refusal::Unsupported),
        }
    }

    fn on_message(&mut self, from: NodeId, message: Say, effects: &mut Effects<Self>) {
        match message {
            Say::Append { from: start, batches, committed } if from == LEADER => {
                for (batch, index) in batches.into_iter().zip(start + 1..) {
                    if index == self.last() + 1 {
                        self.append(batch, effects);
                    }
                }
                self.commit(committed, effects);
                self.acked = self.last();
                effects.send(LEADER, Say::Acked(self.acked));
            }
            Say::Acked(upto) if self.id == LEADER => {
                let matched = self.matched.entry(from).or_default();
                *matched = (*matched).max(upto.min(self.base + self.log.len() as u64));
                self.lead(effects);
            }
            Say::Forgotten => {
                // What it has is said at once, or it would be told again that this is forgotten.
                effects.send(LEADER, Say::Acked(self.last()));
                effects.fetch(from);
            }
            Say::Snapshot(message) => effects.snapshot(from, message),
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
    type Record = Kept;
    type Timer = Repeat;

    fn recover(id: NodeId, config: Config, durable: Durable<Kept>) -> Result<Self, RecoverError> {
        let (mut base, mut log) = (0, Vec::new());
        let mut members = Membership { voters: config.voters, ..Membership::default() };
        let starts = durable.incarnation.0.into();
        for record in durable.records {
            match record {
                Kept::Entry(_, batch) => log.push(batch),
                Kept::Base(meta) => (base, members) = (meta.index.0, meta.membership),
            }
        }
        let mut committed = 0;
        if let Some(meta) = durable.snapshot {
            committed = meta.index.0;
            members = meta.membership;
            if base + (log.len() as u64) < committed {
                (base, log) = (committed, Vec::new());
            }
        }
        let durable = base + log.len() as u64;
        Ok(Self {
            id,
            starts,
            trailing: config.trailing,
            members,
            base,
            log,
            durable,
            in_flight: InFlight::default(),
            matched: BTreeMap::new(),
            sent: BTreeMap::new(),
            committed,
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
                effects.members(self.members.clone(), true);
                if self.id == LEADER {
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
                    for from in (sent.max(self.base)..self.last()).step_by(MOST) {
                        self.send_rest(peer, from, effects);
                    }
                }
            }
            Input::Change(change) => self.on_change(&change, effects),
            Input::Read(read) => self.on_read(read, effects),
            Input::SnapshotTaken(meta) => self.forget(&meta, self.trailing, effects),
            Input::SnapshotInstalled(meta) => {
                self.committed = meta.index.0;
                self.members = meta.membership.clone();
                effects.members(self.members.clone(), true);
                self.forget(&meta, 0, effects);
            }
            Input::Transfer(_) => {}
            Input::Drained => {}
        }
    }

    fn status(&self) -> Status {
        let leads = self.id == LEADER && !self.retired;
        Status {
            role: if leads { Role::Leader } else { Role::Follower },
            epoch: self.starts,
            leader: (!self.retired).then_some(LEADER),
            committed: LogIndex(self.committed),
            last: LogIndex(self.last()),
            purged: LogIndex(self.base),
        }
    }

    /// In time to come, the members may be others; so it must be of what was just committed.
    fn snapshot_meta(&self, index: LogIndex) -> Option<SnapshotMeta> {
        let membership = self.members.clone();
        (index.0 == self.committed).then_some(SnapshotMeta { index, epoch: 1, membership })
    }
}
