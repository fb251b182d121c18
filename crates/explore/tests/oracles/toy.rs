//! A toy with few states: node 0 leads for ever, and a command is decided when a majority has it on
//! disk. It is right, or wrong in one way.

use bytes::Bytes;
use consensus_core::{
    Answers, Audit, Batch, Certificate, Claim, Cluster, Command, ConfigError, ConsensusProtocol,
    Durable, Effects, Env, Envelope, FaultModel, Gate, InFlight, Input, Ledger, Links, LogIndex,
    MessageKind, NodeId, NodeSet, ProtocolConfig, ProtocolInfo, RecoverError, Rejected, Role,
    Status, Takes, Topic, Traffic, Verified,
};
use serde::{Deserialize, Serialize};

const LEADER: NodeId = NodeId(0);

/// One way to be wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Mistake {
    None,
    /// A follower gives out a no-op.
    AnotherBatch,
    /// The leader makes up a command.
    MadeUp,
    /// A timer makes node 1 a leader, too.
    SecondLeader,
    /// A follower gives out index 2 first.
    Gap,
    /// A follower writes a no-op.
    WrongEntry,
    /// The leader does not know what it had.
    Forgetful,
    /// Followers say what they have before it is on disk.
    TooEarly,
    /// A restarted follower says that it has nothing.
    Amnesia,
    /// A timer lets the epoch of a status fall.
    EpochFalls,
    /// The leader counts everybody.
    CountsAll,
    /// Followers halt.
    Halts,
    /// Followers panic.
    Panics,
    /// A node cannot recover.
    CannotRecover,
    /// The leader says what nobody lets in.
    Rejected,
    /// What a follower counts grows with every message, for ever.
    Endless,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Config {
    pub(crate) cluster: Cluster,
    pub(crate) mistake: Mistake,
}

impl ProtocolConfig for Config {
    fn for_cluster(cluster: &Cluster) -> Result<Self, ConfigError> {
        Ok(Self { cluster: cluster.clone(), mistake: Mistake::None })
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Message {
    Append { index: LogIndex, batch: Batch },
    Ack { upto: LogIndex, early: bool },
    Decided { upto: LogIndex },
    Nonsense,
}

const WORD: MessageKind = MessageKind::new("word", Traffic::Command);

impl consensus_core::Message for Message {
    const KINDS: &'static [MessageKind] = &[WORD];

    fn kind(&self) -> MessageKind {
        WORD
    }

    fn gate(&self) -> Gate {
        match self {
            // The leader says what it has, too: a restarted one has nothing new to say for it.
            Self::Append { .. } | Self::Ack { early: false, .. } => Gate::AfterSync,
            _ => Gate::Free,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Toy {
    id: NodeId,
    config: Config,
    log: Vec<Batch>,
    written: InFlight<LogIndex>,
    durable: LogIndex,
    acked: Vec<LogIndex>,
    commit: LogIndex,
    /// A timer fired.
    odd: bool,
    restarted: bool,
    endless: u64,
}

impl Toy {
    fn has(&self, mistake: Mistake) -> bool {
        self.config.mistake == mistake
    }

    fn others(&self) -> NodeSet {
        self.config.cluster.peers_of(self.id)
    }

    fn last(&self) -> LogIndex {
        LogIndex(self.log.len() as u64)
    }

    fn append(&mut self, batch: Batch, effects: &mut Effects<Self>) {
        self.log.push(batch.clone());
        let wrong = self.id != LEADER && self.has(Mistake::WrongEntry);
        let number = effects.write(if wrong { Batch::noop() } else { batch });
        self.written.wrote(number, self.last());
    }

    fn propose(&mut self, mut batch: Batch, effects: &mut Effects<Self>) {
        if self.id != LEADER {
            return effects.refuse(batch, consensus_core::Refusal::NotLeader(Some(LEADER)));
        }
        if self.has(Mistake::MadeUp) {
            let command = batch.commands().next().expect("a batch has a command");
            batch = Batch::of(&[Command { payload: Bytes::from_static(b"made up"), ..command }]);
        }
        self.append(batch.clone(), effects);
        effects.send(self.others(), Message::Append { index: self.last(), batch });
        if self.has(Mistake::Rejected) {
            effects.send(self.others(), Message::Nonsense);
        }
    }

    fn receive(&mut self, from: NodeId, message: Message, effects: &mut Effects<Self>) {
        self.endless += u64::from(self.has(Mistake::Endless));
        match message {
            Message::Append { index, batch } if self.id != LEADER => {
                assert!(!self.has(Mistake::Panics), "a toy breaks");
                if self.has(Mistake::Halts) {
                    effects.halt("a toy breaks");
                }
                if index == self.last().next() {
                    self.append(batch, effects);
                }
                let early = self.has(Mistake::TooEarly);
                let forgot = self.restarted && self.has(Mistake::Amnesia);
                let upto = if forgot { LogIndex::ZERO } else { self.last() };
                effects.send(from, Message::Ack { upto, early });
            }
            Message::Ack { upto, .. } if self.id == LEADER => {
                self.acked[from.index()] = self.acked[from.index()].max(upto);
                self.decide(effects);
            }
            Message::Decided { upto } => self.commit_upto(upto, effects),
            _ => {}
        }
    }

    fn decide(&mut self, effects: &mut Effects<Self>) {
        self.acked[self.id.index()] = self.durable;
        let mut upto = self.acked.clone();
        upto.sort_unstable();
        let decided = upto[upto.len() - Self::INFO.quorum(upto.len())];
        if decided > self.commit {
            self.commit_upto(decided, effects);
            effects.send(self.others(), Message::Decided { upto: decided });
        }
    }

    fn commit_upto(&mut self, upto: LogIndex, effects: &mut Effects<Self>) {
        while self.commit < upto.min(self.last()) {
            self.commit = self.commit.next();
            let follows = self.id != LEADER;
            let batch = self.log[self.commit.0 as usize - 1].clone();
            let other = follows && self.has(Mistake::AnotherBatch);
            let at =
                if follows && self.has(Mistake::Gap) { self.commit.next() } else { self.commit };
            effects.commit(at, if other { Batch::noop() } else { batch });
        }
    }
}

impl ConsensusProtocol for Toy {
    const INFO: ProtocolInfo = ProtocolInfo {
        name: "toy",
        title: "Toy",
        paper: "none",
        faults: FaultModel::Crash,
        answers: Answers::ClientReplica,
        takes: Takes::Leader,
        links: Links::Any,
    };
    type Config = Config;
    type Message = Message;
    type Record = Batch;
    type Timer = ();

    fn recover(id: NodeId, config: Config, durable: Durable<Batch>) -> Result<Self, RecoverError> {
        let log = durable.records;
        let restarted = durable.incarnation.0 > 1;
        if config.mistake == Mistake::CannotRecover && !log.is_empty() {
            return Err(RecoverError("a toy breaks".into()));
        }
        let durable = LogIndex(log.len() as u64);
        let acked = vec![LogIndex::ZERO; config.cluster.size];
        let (written, commit) = (InFlight::default(), LogIndex::ZERO);
        let (odd, endless) = (false, 0);
        Ok(Self { id, config, log, written, durable, acked, commit, odd, restarted, endless })
    }

    fn verify(envelope: Envelope<Message>, _env: &Env<'_>) -> Result<Verified<Message>, Rejected> {
        match envelope.message {
            Message::Nonsense => Err(Rejected("nonsense")),
            _ => Ok(Verified::vouch(envelope)),
        }
    }

    fn step(&mut self, input: Input<Self>, _env: &Env<'_>, effects: &mut Effects<Self>) {
        match input {
            Input::Start => effects.set_timer((), self.config.cluster.timing.heartbeat()),
            Input::Timer(()) => self.odd = true,
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
        let falls = self.odd && self.has(Mistake::EpochFalls);
        Status {
            role: Role::Follower,
            epoch: u64::from(!falls),
            leader: Some(LEADER),
            committed: self.commit,
            last: self.last(),
            purged: LogIndex::ZERO,
        }
    }
}

impl Audit for Toy {
    const LOG_MATCHING: bool = true;

    fn claims(message: &Message) -> Vec<Claim> {
        match message {
            Message::Ack { upto, .. } => {
                vec![Claim::Rising(Topic::new("has", 0u8, 0), u128::from(upto.0))]
            }
            _ => Vec::new(),
        }
    }

    fn absorb(record: &Batch, disk: &mut Ledger) {
        let next = disk.iter().count() as u64 + 1;
        disk.hold(LogIndex(next), 1, record.fingerprint());
    }

    fn leads(&self) -> Option<u64> {
        match self.id {
            LEADER => self.odd.then_some(1),
            NodeId(1) if self.has(Mistake::SecondLeader) => self.odd.then_some(1),
            _ => None,
        }
    }

    fn entry(&self, index: LogIndex) -> Option<&Batch> {
        let held = self.log.get(index.previous().0 as usize);
        held.filter(|_| !self.has(Mistake::Forgetful))
    }

    fn certificate(&self, _index: LogIndex) -> Option<Certificate> {
        let signers = self.has(Mistake::CountsAll).then(|| self.config.cluster.nodes())?;
        Some(Certificate { topic: Topic::new("all", 0u8, 0), value: 0, signers })
    }
}
