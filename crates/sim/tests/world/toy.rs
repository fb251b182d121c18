//! A toy to try the simulator on: a replicated log whose leader is always node 0. The leader sends
//! what its disk has, followers acknowledge what theirs have, a majority decides. It is correct,
//! and slow, and waits for node 0 for ever. Its settings make it wrong in one way of many.
//!
//! `Toy<true>` says that it survives liars. It counts larger quorums and lets its clients compare
//! answers, so that lying followers do not matter; but it believes its leader, and must not.

use consensus_core::{
    Answers, Audit, Batch, Certificate, Claim, Cluster, Command, ConfigError, ConsensusProtocol,
    Durable, Effects, Env, Envelope, FaultModel, Gate, InFlight, Input, Ledger, Links, LogIndex,
    MessageKind, NodeId, NodeSet, ProtocolConfig, ProtocolInfo, RecoverError, Refusal, Rejected,
    Role, Status, Takes, Topic, Traffic, Verified,
};
use serde::{Deserialize, Serialize};

const LEADER: NodeId = NodeId(0);

/// One way to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) enum Mistake {
    #[default]
    None,
    /// O1: a follower gives out a no-op at every fifth index.
    AnotherBatch,
    /// O2: the leader makes up a command.
    MadeUp,
    /// O3: node 1 leads, too.
    SecondLeader,
    /// O4: a follower leaves out every fifth index.
    Gap,
    /// O4: a follower writes a no-op in place of every fifth batch.
    WrongEntry,
    /// O5: a restarted leader forgets the end of its log.
    Forgetful,
    /// O6: followers acknowledge what they never sync.
    NoSync,
    /// O7: followers take back what they acknowledged.
    TakesBack,
    /// O8: the epoch of a status falls.
    EpochFalls,
    /// O11: the leader refuses commands that it takes all the same.
    RefusesAndTakes,
    /// O13: the leader takes nothing beyond index 12.
    Stuck,
    /// O13: the leader takes nothing beyond index 60.
    StuckLater,
    /// O14: everybody begins an epoch now and then.
    Restless,
    /// O6: the leader commits what its own disk has.
    CommitsAlone,
    /// O16: the leader counts everybody.
    CountsAll,
    /// O18: the leader halts at index 5.
    Halts,
    /// O18: the leader panics at index 5.
    Panics,
    /// O18: a node cannot recover.
    CannotRecover,
    /// O20: after one step, long after the first ones, the leader is not sound.
    UnsoundOnce,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Config {
    pub(crate) size: usize,
    pub(crate) beat: consensus_core::Delay,
    pub(crate) mistake: Mistake,
}

impl ProtocolConfig for Config {
    fn for_cluster(cluster: &Cluster) -> Result<Self, ConfigError> {
        let beat = cluster.timing.heartbeat();
        Ok(Self { size: cluster.size, beat, mistake: Mistake::None })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Message {
    Append { epoch: u32, index: LogIndex, batch: Batch, commit: LogIndex, repair: bool },
    Ack { upto: LogIndex },
    Beat { commit: LogIndex },
    BeatReply { upto: LogIndex },
}

const APPEND: MessageKind = MessageKind::new("append", Traffic::Command);
const REPEAT: MessageKind = MessageKind::new("repeat", Traffic::Repair);
const ACK: MessageKind = MessageKind::new("ack", Traffic::Command);
const BEAT: MessageKind = MessageKind::new("beat", Traffic::Heartbeat);
const BEAT_REPLY: MessageKind = MessageKind::new("beat-reply", Traffic::Heartbeat);

impl consensus_core::Message for Message {
    const KINDS: &'static [MessageKind] = &[APPEND, REPEAT, ACK, BEAT, BEAT_REPLY];

    fn kind(&self) -> MessageKind {
        match self {
            Self::Append { repair: false, .. } => APPEND,
            Self::Append { .. } => REPEAT,
            Self::Ack { .. } => ACK,
            Self::Beat { .. } => BEAT,
            Self::BeatReply { .. } => BEAT_REPLY,
        }
    }

    fn gate(&self) -> Gate {
        match self {
            Self::Beat { .. } => Gate::Free,
            Self::Append { .. } | Self::Ack { .. } | Self::BeatReply { .. } => Gate::AfterSync,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) epoch: u32,
    pub(crate) index: LogIndex,
    pub(crate) batch: Batch,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Toy<const LIARS: bool = false> {
    id: NodeId,
    config: Config,
    life: u32,
    /// Each batch with the leader's life in which it was proposed: the toy's epochs.
    log: Vec<(u32, Batch)>,
    written: InFlight<LogIndex>,
    durable: LogIndex,
    acked: Vec<LogIndex>,
    commit: LogIndex,
    steps: u64,
}

impl<const LIARS: bool> Toy<LIARS> {
    fn last(&self) -> LogIndex {
        LogIndex(self.log.len() as u64)
    }

    fn has(&self, mistake: Mistake) -> bool {
        self.config.mistake == mistake
    }

    fn others(&self) -> NodeSet {
        NodeSet::first(self.config.size).without(self.id)
    }

    fn append(&mut self, epoch: u32, batch: Batch, effects: &mut Effects<Self>) {
        self.log.push((epoch, batch.clone()));
        let index = self.last();
        let wrong = self.id != LEADER && index.0.is_multiple_of(5) && self.has(Mistake::WrongEntry);
        let record = Record { epoch, index, batch: if wrong { Batch::noop() } else { batch } };
        if self.id != LEADER && self.has(Mistake::NoSync) {
            effects.note(record);
        } else {
            let number = effects.write(record);
            self.written.wrote(number, index);
        }
    }

    fn propose(&mut self, mut batch: Batch, effects: &mut Effects<Self>) {
        if self.id != LEADER {
            return effects.refuse(batch, Refusal::NotLeader(Some(LEADER)));
        }
        let next = self.last().next().0;
        let stuck = self.has(Mistake::Stuck) && next > 12;
        if stuck || self.has(Mistake::StuckLater) && next > 60 {
            return effects.refuse(batch, Refusal::Busy);
        }
        if self.has(Mistake::RefusesAndTakes) && next > 4 {
            effects.refuse(batch.clone(), Refusal::TooLarge);
        }
        if self.has(Mistake::Halts) && next == 5 {
            return effects.halt("a toy breaks");
        }
        assert!(!(self.has(Mistake::Panics) && next == 5), "a toy breaks");
        if self.has(Mistake::MadeUp) && next == 5 {
            let mut command = batch.commands().next().expect("a batch has a command");
            command.payload = bytes::Bytes::from_static(b"made up");
            batch = Batch::of(&[Command { ..command }]);
        }
        let epoch = self.life;
        self.append(epoch, batch.clone(), effects);
        let (index, commit) = (self.last(), self.commit);
        let append = Message::Append { epoch, index, batch, commit, repair: false };
        effects.send(self.others(), append);
    }

    fn receive(&mut self, from: NodeId, message: Message, effects: &mut Effects<Self>) {
        match message {
            Message::Append { epoch, index, batch, commit, .. } if self.id != LEADER => {
                if index == self.last().next() {
                    self.append(epoch, batch, effects);
                }
                let mut upto = self.last();
                if self.has(Mistake::TakesBack) && upto.0 > 5 {
                    upto = LogIndex(upto.0 - 3);
                }
                effects.send(from, Message::Ack { upto });
                self.commit_upto(commit, effects);
            }
            Message::Beat { commit } if self.id != LEADER => {
                effects.send(from, Message::BeatReply { upto: self.last() });
                self.commit_upto(commit, effects);
            }
            Message::Ack { upto } if self.id == LEADER => self.acknowledged(from, upto, effects),
            Message::BeatReply { upto } if self.id == LEADER => {
                self.acknowledged(from, upto, effects);
                self.repair(from, upto, effects);
            }
            _ => {}
        }
    }

    /// Sends a follower what it has not, where the leader's disk has it.
    fn repair(&mut self, to: NodeId, upto: LogIndex, effects: &mut Effects<Self>) {
        let commit = self.commit;
        for place in upto.0..self.durable.0.min(upto.0 + 8) {
            let (epoch, batch) = self.log[place as usize].clone();
            let index = LogIndex(place + 1);
            effects.send(to, Message::Append { epoch, index, batch, commit, repair: true });
        }
    }

    fn acknowledged(&mut self, from: NodeId, upto: LogIndex, effects: &mut Effects<Self>) {
        let known = &mut self.acked[from.index()];
        *known = upto.max(*known);
        self.decide(effects);
    }

    fn decide(&mut self, effects: &mut Effects<Self>) {
        let mut upto = self.acked.clone();
        upto[self.id.index()] = self.durable;
        upto.sort_unstable();
        let alone = self.has(Mistake::CommitsAlone);
        let quorum = if alone { 1 } else { Self::INFO.quorum(self.config.size) };
        let decided = upto[self.config.size - quorum];
        self.commit_upto(decided.min(self.durable), effects);
    }

    fn commit_upto(&mut self, upto: LogIndex, effects: &mut Effects<Self>) {
        while self.commit < upto.min(self.last()) {
            self.commit = self.commit.next();
            let fifth = self.id != LEADER && self.commit.0.is_multiple_of(5);
            if fifth && self.has(Mistake::Gap) {
                continue;
            }
            let (_, batch) = self.log[self.commit.0 as usize - 1].clone();
            let another = fifth && self.has(Mistake::AnotherBatch);
            effects.commit(self.commit, if another { Batch::noop() } else { batch });
        }
    }
}

impl<const LIARS: bool> ConsensusProtocol for Toy<LIARS> {
    const INFO: ProtocolInfo = ProtocolInfo {
        name: "toy",
        title: "Toy",
        paper: "none",
        faults: if LIARS { FaultModel::Byzantine } else { FaultModel::Crash },
        answers: if LIARS { Answers::All } else { Answers::ClientReplica },
        takes: Takes::Leader,
        links: Links::Any,
    };
    type Config = Config;
    type Message = Message;
    type Record = Record;
    type Timer = ();

    fn recover(id: NodeId, config: Config, durable: Durable<Record>) -> Result<Self, RecoverError> {
        let life = durable.incarnation.0;
        if config.mistake == Mistake::CannotRecover && !durable.records.is_empty() {
            return Err(RecoverError("a toy breaks".into()));
        }
        let records = durable.records.into_iter();
        let mut log: Vec<_> = records.map(|one| (one.epoch, one.batch)).collect();
        if config.mistake == Mistake::Forgetful && id == LEADER {
            log.truncate(log.len() / 2);
        }
        let last = LogIndex(log.len() as u64);
        let acked = vec![LogIndex::ZERO; config.size];
        let (written, commit) = (InFlight::default(), LogIndex::ZERO);
        Ok(Self { id, config, life, log, written, durable: last, acked, commit, steps: 0 })
    }

    fn verify(envelope: Envelope<Message>, env: &Env<'_>) -> Result<Verified<Message>, Rejected> {
        if env.cluster.contains(envelope.from) {
            Ok(Verified::vouch(envelope))
        } else {
            Err(Rejected("not of the cluster"))
        }
    }

    fn step(&mut self, input: Input<Self>, _env: &Env<'_>, effects: &mut Effects<Self>) {
        self.steps += 1;
        match input {
            Input::Start | Input::Timer(()) => {
                if self.id == LEADER {
                    effects.set_timer((), self.config.beat);
                    effects.send(self.others(), Message::Beat { commit: self.commit });
                }
            }
            Input::Message(verified) => {
                let (from, message) = verified.into_parts();
                self.receive(from, message, effects);
            }
            Input::Propose(batch) => self.propose(batch, effects),
            Input::Durable(upto) => {
                if let Some(last) = self.written.durable(upto).last() {
                    self.durable = self.durable.max(last);
                }
                if self.id == LEADER {
                    self.decide(effects);
                }
            }
            other @ (Input::Transfer(_)
            | Input::Change(_)
            | Input::Read(_)
            | Input::SnapshotTaken(_)
            | Input::SnapshotInstalled(_)) => effects.unsupported(&other),
            Input::Campaign | Input::Drained => {}
        }
    }

    fn status(&self) -> Status {
        let leads = self.id == LEADER;
        let epochs = if self.has(Mistake::Restless) { self.steps / 200 } else { 0 };
        let falls = self.has(Mistake::EpochFalls) && self.steps % 1_000 == 999;
        Status {
            role: if leads { Role::Leader } else { Role::Follower },
            epoch: if falls { 0 } else { 1 + epochs },
            leader: Some(LEADER),
            committed: self.commit,
            last: self.last(),
            purged: LogIndex::ZERO,
        }
    }
}

impl<const LIARS: bool> Audit for Toy<LIARS> {
    const LOG_MATCHING: bool = true;

    fn claims(message: &Message) -> Vec<Claim> {
        match message {
            Message::Ack { upto } | Message::BeatReply { upto } => {
                vec![Claim::Rising(Topic::new("has", 0u8, 0), u128::from(upto.0))]
            }
            Message::Append { .. } | Message::Beat { .. } => Vec::new(),
        }
    }

    fn absorb(record: &Record, disk: &mut Ledger) {
        disk.hold(record.index, u128::from(record.epoch), record.batch.fingerprint());
    }

    fn leads(&self) -> Option<u64> {
        match self.id {
            LEADER => Some(u64::from(self.life)),
            NodeId(1) if self.has(Mistake::SecondLeader) => Some(1),
            _ => None,
        }
    }

    fn entry(&self, index: LogIndex) -> Option<&Batch> {
        self.log.get(usize::try_from(index.0.checked_sub(1)?).ok()?).map(|(_, batch)| batch)
    }

    fn check(&self) -> Result<(), String> {
        let unsound = self.has(Mistake::UnsoundOnce) && self.id == LEADER && self.steps == 101;
        if unsound { Err("a toy breaks".into()) } else { Ok(()) }
    }

    fn equivocate(message: &Message, _env: &Env<'_>) -> Option<Message> {
        let mut message = message.clone();
        match &mut message {
            Message::Append { batch, .. } => *batch = Batch::noop(),
            Message::Ack { upto } | Message::BeatReply { upto } => *upto = LogIndex::ZERO,
            Message::Beat { commit } => *commit = LogIndex::ZERO,
        }
        Some(message)
    }

    fn certificate(&self, _index: LogIndex) -> Option<Certificate> {
        // Acknowledgements are cumulative and claim no single value, so only the lie is audited.
        let signers = self.has(Mistake::CountsAll).then(|| NodeSet::first(self.config.size))?;
        Some(Certificate { topic: Topic::new("index", 1u8, 1), value: 1, signers })
    }
}
