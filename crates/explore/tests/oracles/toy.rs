//! A toy with few states: node 0 leads for ever, and a command is decided when a majority of the
//! members has it on disk; members change as soon as the leader has written it. It is right, or
//! wrong in one way.

use bytes::Bytes;
use consensus_core::{
    Answers, Audit, Batch, Certificate, Change, ChangeRefusal, Claim, Cluster, Command,
    ConfigError, ConsensusProtocol, Durable, Effects, Env, Envelope, FaultModel, Gate, InFlight,
    Input, Ledger, Links, LogIndex, Membership, MessageKind, NodeId, NodeSet, ProtocolConfig,
    ProtocolInfo, Read, RecoverError, Rejected, Role, SnapshotMessage, SnapshotMeta, Status, Takes,
    Topic, Traffic, Verified,
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
    /// A follower answers reads itself.
    StaleRead,
    /// A read of an earlier life is taken for one of this life.
    ReusedRead,
    /// The leader counts a majority of the first members for ever.
    OldQuorum,
    /// A snapshot names the first members.
    OldMembers,
    /// A snapshot names members that are not decided.
    EarlyMembers,
    /// A log is forgotten one entry beyond the snapshot.
    ForgetsMore,
    /// A compaction leaves out what is above the snapshot.
    LosesTail,
    /// A replica that has committed something finds itself broken.
    Unsound,
    /// A step that commits something is one that it says must not be.
    UnsoundStep,
    /// It says that its nodes are alike, and one of them always leads.
    SaysAlike,
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
    Append {
        index: LogIndex,
        batch: Batch,
    },
    Ack {
        upto: LogIndex,
        early: bool,
    },
    Decided {
        upto: LogIndex,
    },
    /// "I have so much": a follower lacks what is before an append, or learns of a decision.
    Behind {
        upto: LogIndex,
    },
    /// The leader has forgotten what a follower lacks.
    Forgotten,
    Question {
        life: u32,
        read: u64,
    },
    Answer {
        life: u32,
        read: u64,
        index: LogIndex,
    },
    Snapshot(SnapshotMessage),
    Nonsense,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub(crate) enum Record {
    Entry(Batch),
    /// The log begins after this.
    Begins(SnapshotMeta),
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

    fn snapshot(message: SnapshotMessage) -> Option<Self> {
        Some(Self::Snapshot(message))
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Toy {
    id: NodeId,
    config: Config,
    /// What the log begins after.
    base: SnapshotMeta,
    log: Vec<Batch>,
    written: InFlight<LogIndex>,
    durable: LogIndex,
    acked: Vec<LogIndex>,
    commit: LogIndex,
    /// The last index of the log at the start.
    found: LogIndex,
    /// The snapshot was newer than the records: before others follow they are replaced.
    behind: bool,
    /// A timer fired.
    odd: bool,
    life: u32,
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
        LogIndex(self.base.index.0 + self.log.len() as u64)
    }

    fn at(&self, index: LogIndex) -> Option<&Batch> {
        let place = index.0.checked_sub(self.base.index.0 + 1)?;
        self.log.get(place as usize)
    }

    /// The members as of an index of the log.
    fn members(&self, upto: LogIndex) -> Membership {
        let entries = (self.base.index.0 + 1..=upto.0).map(LogIndex);
        let mut changes = entries.filter_map(|at| Membership::from_batch(self.at(at)?, at));
        changes.next_back().unwrap_or_else(|| self.base.membership.clone())
    }

    fn append(&mut self, batch: Batch, effects: &mut Effects<Self>) {
        self.log.push(batch.clone());
        let wrong = self.id != LEADER && self.has(Mistake::WrongEntry);
        let number = effects.write(Record::Entry(if wrong { Batch::noop() } else { batch }));
        self.written.wrote(number, self.last());
        self.say_members(effects);
    }

    fn say_members(&self, effects: &mut Effects<Self>) {
        let members = self.members(self.last());
        let committed = members.version <= self.commit;
        effects.members(members, committed);
    }

    fn propose(&mut self, mut batch: Batch, effects: &mut Effects<Self>) {
        if self.id != LEADER {
            return effects.refuse(batch, consensus_core::Refusal::NotLeader(Some(LEADER)));
        }
        if self.has(Mistake::MadeUp) {
            let command = batch.commands().next().expect("a batch has a command");
            batch = Batch::of(&[Command { payload: Bytes::from_static(b"made up"), ..command }]);
        }
        self.order(batch, effects);
        if self.has(Mistake::Rejected) {
            effects.send(self.others(), Message::Nonsense);
        }
    }

    fn order(&mut self, batch: Batch, effects: &mut Effects<Self>) {
        self.append(batch.clone(), effects);
        effects.send(self.others(), Message::Append { index: self.last(), batch });
    }

    fn change(&mut self, change: &Change, effects: &mut Effects<Self>) {
        let now = self.members(self.last());
        match change.apply_to(&now) {
            _ if self.id != LEADER => {
                effects.refuse_change(ChangeRefusal::NotLeader(Some(LEADER)));
            }
            _ if now.version > self.commit => effects.refuse_change(ChangeRefusal::UnderWay),
            Ok(members) => self.order(members.to_batch(), effects),
            Err(why) => effects.refuse_change(why),
        }
    }

    /// What a leader found in its log may be decided without its knowing.
    fn knows_all(&self) -> bool {
        self.commit >= self.found
    }

    fn read(&mut self, Read { id: read, .. }: Read, effects: &mut Effects<Self>) {
        if self.has(Mistake::StaleRead) || (self.id == LEADER && self.knows_all()) {
            return effects.ready(read, self.commit);
        }
        if self.id == LEADER {
            return effects.refuse_read(read, consensus_core::Refusal::Busy);
        }
        effects.send(LEADER, Message::Question { life: self.life, read });
    }

    fn receive(&mut self, from: NodeId, message: Message, effects: &mut Effects<Self>) {
        self.endless += u64::from(self.has(Mistake::Endless));
        match message {
            Message::Append { index, batch } if self.id != LEADER => {
                self.follow(from, index, batch, effects);
            }
            Message::Ack { upto, .. } if self.id == LEADER => {
                self.acked[from.index()] = self.acked[from.index()].max(upto);
                self.decide(effects);
            }
            Message::Decided { upto } if upto > self.last() => {
                effects.send(from, Message::Behind { upto: self.last() });
            }
            Message::Decided { upto } => self.commit_upto(upto, effects),
            Message::Behind { upto } if upto < self.base.index => {
                effects.send(from, Message::Forgotten);
            }
            Message::Behind { upto } => {
                if let Some(batch) = self.at(upto.next()) {
                    let batch = batch.clone();
                    effects.send(from, Message::Append { index: upto.next(), batch });
                }
            }
            Message::Forgotten => effects.fetch(from),
            Message::Question { life, read } if self.id == LEADER && self.knows_all() => {
                effects.send(from, Message::Answer { life, read, index: self.commit });
            }
            Message::Answer { life, read, index }
                if life == self.life || self.has(Mistake::ReusedRead) =>
            {
                effects.ready(read, index);
            }
            Message::Snapshot(message) => effects.snapshot(from, message),
            _ => {}
        }
    }

    fn follow(&mut self, from: NodeId, index: LogIndex, batch: Batch, effects: &mut Effects<Self>) {
        assert!(!self.has(Mistake::Panics), "a toy breaks");
        if self.has(Mistake::Halts) {
            effects.halt("a toy breaks");
        }
        if index > self.last().next() {
            return effects.send(from, Message::Behind { upto: self.last() });
        }
        if index == self.last().next() {
            self.append(batch, effects);
        }
        let early = self.has(Mistake::TooEarly);
        let forgot = self.life > 1 && self.has(Mistake::Amnesia);
        let upto = if forgot { LogIndex::ZERO } else { self.last() };
        effects.send(from, Message::Ack { upto, early });
    }

    fn decide(&mut self, effects: &mut Effects<Self>) {
        self.acked[self.id.index()] = self.durable;
        let in_force = if self.has(Mistake::OldQuorum) { LogIndex::ZERO } else { self.last() };
        let members = self.members(in_force);
        let have = |index: u64| {
            let nodes = (0..).map(NodeId).zip(&self.acked);
            nodes.filter(|(_, acked)| acked.0 >= index).map(|(node, _)| node).collect::<NodeSet>()
        };
        let open = self.commit.0 + 1..=self.last().0;
        let decided = open.rev().find(|index| members.is_quorum(have(*index)));
        if let Some(upto) = decided.map(LogIndex) {
            self.commit_upto(upto, effects);
            effects.send(self.others(), Message::Decided { upto });
        }
    }

    fn commit_upto(&mut self, upto: LogIndex, effects: &mut Effects<Self>) {
        while self.commit < upto.min(self.last()) {
            self.commit = self.commit.next();
            let follows = self.id != LEADER;
            let batch = self.at(self.commit).expect("it is above the base").clone();
            let other = follows && self.has(Mistake::AnotherBatch);
            let at =
                if follows && self.has(Mistake::Gap) { self.commit.next() } else { self.commit };
            effects.commit(at, if other { Batch::noop() } else { batch });
        }
    }

    /// The log begins after what a snapshot covers.
    fn begin_after(&mut self, meta: SnapshotMeta, effects: &mut Effects<Self>) {
        if meta.index <= self.base.index {
            return;
        }
        let more = u64::from(self.has(Mistake::ForgetsMore));
        let gone = (meta.index.0 - self.base.index.0 + more) as usize;
        self.log.drain(..gone.min(self.log.len()));
        self.base = SnapshotMeta { index: LogIndex(meta.index.0 + more), ..meta };
        self.compact(effects);
    }

    fn compact(&mut self, effects: &mut Effects<Self>) {
        let mut records = vec![Record::Begins(self.base.clone())];
        if !self.has(Mistake::LosesTail) {
            records.extend(self.log.iter().cloned().map(Record::Entry));
        }
        let number = effects.compact(records);
        self.written.wrote(number, self.last());
    }

    fn installed(&mut self, meta: SnapshotMeta, effects: &mut Effects<Self>) {
        self.commit = self.commit.max(meta.index);
        self.begin_after(meta, effects);
        self.say_members(effects);
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
    type Record = Record;
    type Timer = ();

    fn recover(id: NodeId, config: Config, durable: Durable<Record>) -> Result<Self, RecoverError> {
        let first = Membership::initial(&config.cluster);
        let none = SnapshotMeta { index: LogIndex::ZERO, epoch: 0, membership: first };
        let life = durable.incarnation.0;
        let (mut base, mut log) = (none, Vec::new());
        for record in durable.records {
            match record {
                Record::Entry(batch) => log.push(batch),
                Record::Begins(meta) => base = meta,
            }
        }
        let mut behind = false;
        if let Some(newer) = durable.snapshot.filter(|meta| meta.index > base.index) {
            let gone = (newer.index.0 - base.index.0) as usize;
            log.drain(..gone.min(log.len()));
            base = newer;
            behind = true;
        }
        if config.mistake == Mistake::CannotRecover && !log.is_empty() {
            return Err(RecoverError("a toy breaks".into()));
        }
        let acked = vec![LogIndex::ZERO; config.cluster.size];
        let (written, commit) = (InFlight::default(), base.index);
        let found = LogIndex(base.index.0 + log.len() as u64);
        let (durable, odd, endless) = (found, false, 0);
        Ok(Self {
            id,
            config,
            base,
            log,
            written,
            durable,
            acked,
            commit,
            found,
            behind,
            odd,
            life,
            endless,
        })
    }

    fn verify(envelope: Envelope<Message>, _env: &Env<'_>) -> Result<Verified<Message>, Rejected> {
        match envelope.message {
            Message::Nonsense => Err(Rejected("nonsense")),
            _ => Ok(Verified::vouch(envelope)),
        }
    }

    fn step(&mut self, input: Input<Self>, _env: &Env<'_>, effects: &mut Effects<Self>) {
        match input {
            Input::Start => {
                effects.set_timer((), self.config.cluster.timing.heartbeat());
                if std::mem::take(&mut self.behind) {
                    self.compact(effects);
                }
                self.say_members(effects);
            }
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
            Input::Change(change) => self.change(&change, effects),
            Input::Read(read) => self.read(read, effects),
            Input::SnapshotTaken(meta) => self.begin_after(meta, effects),
            Input::SnapshotInstalled(meta) => self.installed(meta, effects),
            Input::Campaign | Input::Transfer(_) | Input::Drained => {}
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
            purged: self.base.index,
        }
    }

    fn snapshot_meta(&self, index: LogIndex) -> Option<SnapshotMeta> {
        let membership = match self.config.mistake {
            Mistake::OldMembers => self.members(LogIndex::ZERO),
            Mistake::EarlyMembers => self.members(self.last()),
            _ => self.members(index),
        };
        // Who joins has not been told who votes, as long as nobody changed that.
        let known = !membership.voters.is_empty();
        known.then_some(SnapshotMeta { index, epoch: 1, membership })
    }
}

impl Audit for Toy {
    const LOG_MATCHING: bool = true;

    fn is_symmetric(config: &Config) -> bool {
        config.mistake == Mistake::SaysAlike
    }

    fn claims(message: &Message) -> Vec<Claim> {
        match message {
            Message::Ack { upto, .. } => {
                vec![Claim::Rising(Topic::new("has", 0u8, 0), u128::from(upto.0))]
            }
            _ => Vec::new(),
        }
    }

    fn absorb(record: &Record, disk: &mut Ledger) {
        let last = disk.iter().last().map_or(disk.covered(), |(index, _)| index);
        match record {
            Record::Entry(batch) => disk.hold(last.next(), 1, batch.fingerprint()),
            Record::Begins(meta) => disk.forget_upto(meta.index),
        }
    }

    fn leads(&self) -> Option<u64> {
        match self.id {
            LEADER => self.odd.then_some(1),
            NodeId(1) if self.has(Mistake::SecondLeader) => self.odd.then_some(1),
            _ => None,
        }
    }

    fn entry(&self, index: LogIndex) -> Option<&Batch> {
        self.at(index).filter(|_| !self.has(Mistake::Forgetful))
    }

    fn certificate(&self, _index: LogIndex) -> Option<Certificate> {
        let signers = self.has(Mistake::CountsAll).then(|| self.config.cluster.nodes())?;
        Some(Certificate { topic: Topic::new("all", 0u8, 0), value: 0, signers })
    }

    fn check(&self) -> Result<(), String> {
        let broken = self.has(Mistake::Unsound) && self.commit > LogIndex::ZERO;
        if broken { Err("a commit".into()) } else { Ok(()) }
    }

    fn check_since(&self, before: &Self) -> Result<(), String> {
        let broken = self.has(Mistake::UnsoundStep) && self.commit > before.commit;
        if broken { Err("another commit".into()) } else { Ok(()) }
    }
}
