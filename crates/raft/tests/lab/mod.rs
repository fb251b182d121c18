//! A laboratory: the simulator's table with Raft on it, where the test carries every message, syncs
//! every disk and pulls every plug by hand. After every step the oracles and the server's own
//! invariants are asked. Clocks go on when the test says so; timers fire whatever they show.

use consensus_core::{
    Audit as _, Batch, Cluster, ClusterId, Delay, LogIndex, Message as _, NodeId, NodeSet,
    ProtocolConfig, Refusal, Role, SnapshotMessage,
};
use std::ops::{Deref, DerefMut};
use synod_raft::{AppendEntries, Config, Entry, EntryId, Message, Raft, Record, Term, Timer};
use synod_sim::{Clocks, Flight, Scene, Table, saying};

/// A message on its way.
pub(crate) type Flying = Flight<Message>;

/// A batch of one command that says this.
pub(crate) fn batch(text: &str) -> Batch {
    saying(text)
}

/// The records of a disk that holds entries of these terms, in a later term without a vote. Equal
/// terms at an index are equal entries, as Log Matching wants it.
pub(crate) fn disk(term: u64, terms: &[u64]) -> Vec<Record> {
    let entries = entries(EntryId::ZERO, terms).into_iter().collect();
    vec![
        Record::HardState { term: Term(term), voted_for: None },
        Record::Entries { first: LogIndex(1), entries },
    ]
}

/// What such an entry is, by its index and term.
fn entry((index, term): (u64, &u64)) -> Entry {
    Entry { term: Term(*term), batch: batch(&format!("{index}@{term}")) }
}

/// Such entries that follow this one.
pub(crate) fn entries(prev: EntryId, terms: &[u64]) -> Vec<Entry> {
    (prev.index.0 + 1..).zip(terms).map(entry).collect()
}

/// An AppendEntries of such entries.
pub(crate) fn append(
    term: u64,
    leader: u8,
    prev: EntryId,
    terms: &[u64],
    leader_commit: u64,
) -> Message {
    Message::AppendEntries(AppendEntries {
        term: Term(term),
        leader: NodeId(leader),
        prev,
        entries: entries(prev, terms).into_iter().collect(),
        leader_commit: LogIndex(leader_commit),
        repair: false,
    })
}

/// The name of an entry (§5.3): its term and its index.
pub(crate) fn id(term: u64, index: u64) -> EntryId {
    EntryId::new(Term(term), LogIndex(index))
}

/// The log of a server as terms, read back from what such entries say. A no-op is 0.
pub(crate) fn terms(lab: &Lab, server: usize) -> Vec<u64> {
    let term = |batch: &Batch| {
        let Some(command) = batch.commands().next() else { return 0 };
        let text = String::from_utf8(command.payload.to_vec()).expect("text");
        text.split('@').nth(1).expect("index@term").parse().expect("a term")
    };
    lab.log(server).iter().map(term).collect()
}

pub(crate) struct Lab(Table<Raft>);

impl Lab {
    /// Servers with empty disks.
    pub(crate) fn new(size: usize) -> Self {
        Self::set_up(size, |_| {})
    }

    /// Servers with empty disks and other settings.
    pub(crate) fn set_up(size: usize, settings: impl FnOnce(&mut Config)) -> Self {
        Self::on_disks_set_up(vec![Vec::new(); size], settings)
    }

    /// Servers with these disks.
    pub(crate) fn on_disks(disks: Vec<Vec<Record>>) -> Self {
        Self::on_disks_set_up(disks, |_| {})
    }

    /// Servers with these disks and other settings.
    pub(crate) fn on_disks_set_up(
        disks: Vec<Vec<Record>>,
        settings: impl FnOnce(&mut Config),
    ) -> Self {
        let cluster = Cluster::new(ClusterId(1), disks.len());
        let mut config = Config::for_cluster(&cluster).expect("a cluster");
        settings(&mut config);
        Self::with(cluster, config, disks)
    }

    /// So many servers, of which the first so many vote. The others have joined, and wait.
    pub(crate) fn with_voters(size: usize, voters: usize) -> Self {
        let voters = NodeSet::first(voters);
        let cluster = Cluster { voters, ..Cluster::new(ClusterId(1), size) };
        let config = Config::for_cluster(&cluster).expect("a cluster");
        Self::with(cluster, config, vec![Vec::new(); size])
    }

    /// All of them run, those that do not vote at the beginning, too.
    pub(crate) fn with(cluster: Cluster, config: Config, disks: Vec<Vec<Record>>) -> Self {
        let joining = cluster.nodes().minus(cluster.voters);
        let mut scene = Scene::<Raft>::new(cluster, config);
        scene.instant = scene.cluster.nodes();
        scene.clocks = Some(Clocks::right(scene.cluster.size));
        scene.joining = Some(Config { voters: NodeSet::EMPTY, ..scene.config.clone() });
        scene.disks = disks;
        let mut lab = Self(Table::set(scene));
        joining.iter().for_each(|joins| lab.restart(joins.index()));
        lab
    }

    /// A whole election timeout passes without a word of the leader.
    pub(crate) fn time_out(&mut self, id: usize) {
        self.fire(id, Timer::Election);
        if self.status(id).role == Role::Follower {
            self.fire(id, Timer::Election);
        }
    }

    /// Makes a server leader with the vote of these only, and carries nothing else. Pre-votes are
    /// left out.
    pub(crate) fn elect_with(&mut self, id: usize, voters: &[usize]) {
        self.campaign(id);
        for voter in voters {
            self.carry(id, *voter, "request-vote");
            self.carry(*voter, id, "vote");
        }
        assert_eq!(self.status(id).role, Role::Leader, "n{id} is elected");
        self.keep(|flying| flying.message.kind().name != "request-vote");
    }

    /// A server gets the newest snapshot of another, whether it asked for one or not.
    pub(crate) fn bring_snapshot(&mut self, from: usize, to: usize) {
        let ask = SnapshotMessage::Ask { of: None, offset: 0 };
        self.hand(to, from, Message::Snapshot(Box::new(ask)));
        self.carry(from, to, "snapshot-chunk");
    }

    /// How long a timer runs that is set.
    pub(crate) fn delay(&self, id: usize, timer: Timer) -> Delay {
        self.timer(id, timer).expect("it is set")
    }

    /// commitIndex, as Figure 2 calls it.
    pub(crate) fn commit_index(&self, id: usize) -> u64 {
        self.status(id).committed.0
    }

    /// The log of a server, as far as it is not forgotten.
    pub(crate) fn log(&self, id: usize) -> Vec<Batch> {
        let replica = self.replica(id);
        (self.status(id).purged.0 + 1..)
            .map_while(|index| replica.entry(LogIndex(index)).cloned())
            .collect()
    }

    /// The reads of this life of a server that may be answered, and as of which index. Their names
    /// count from 1.
    pub(crate) fn ready(&self, id: usize) -> Vec<(usize, u64)> {
        self.answers(id).filter_map(|(read, answer)| Some((read, answer.ok()?))).collect()
    }

    /// Those that will not be, and why.
    pub(crate) fn refused_reads(&self, id: usize) -> Vec<(usize, Refusal)> {
        self.answers(id).filter_map(|(read, answer)| Some((read, answer.err()?))).collect()
    }

    fn answers(&self, id: usize) -> impl Iterator<Item = (usize, Result<u64, Refusal>)> {
        let asked = self.stage().reads(NodeId(id as u8)).len();
        (1..=asked).filter_map(move |read| Some((read, self.answer(id, read)?)))
    }
}

impl Deref for Lab {
    type Target = Table<Raft>;

    fn deref(&self) -> &Table<Raft> {
        &self.0
    }
}

impl DerefMut for Lab {
    fn deref_mut(&mut self) -> &mut Table<Raft> {
        &mut self.0
    }
}
