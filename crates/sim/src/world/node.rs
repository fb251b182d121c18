//! One replica with everything around it that a crash takes away or leaves.

use super::event::Event;
use super::reads::Asked;
use crate::disk::Disk;
use crate::driver::Driver;
use crate::oracle::history::Key;
use crate::oracle::reads::Floors;
use crate::rng::CERTAIN;
use crate::shelf::Shelf;
use consensus_core::{
    AuthMeter, ChangeRefusal, Command, ConsensusProtocol, Counters, DiskNews, Durable, Effect,
    Executor, Incarnation, LogIndex, Membership, Reads, Status,
};
use std::collections::BTreeMap;

/// A timer's one slot. The event in the queue may be older than the deadline: a timer that is
/// pushed back, as election timers are all the time, costs no new event.
#[derive(Clone, Copy, Default)]
pub(crate) struct Slot {
    pub(crate) deadline: Option<u64>,
    pub(crate) pending: Option<u64>,
}

/// A client that waits for this node's answer.
#[derive(Clone, Copy)]
pub(crate) struct Waiting {
    pub(crate) attempt: u32,
    pub(crate) client: usize,
}

pub(crate) struct Node<P: ConsensusProtocol, S> {
    /// `None` while crashed.
    pub(crate) replica: Option<P>,
    /// Counts the lives; also the incarnation on disk.
    pub(crate) life: u32,
    /// Counts the steps of all lives.
    pub(crate) steps: u64,
    pub(crate) driver: Driver<P>,
    /// What the disk has, and what the replica was told of that.
    pub(crate) disk_news: DiskNews,
    pub(crate) disk: Disk<P::Record>,
    pub(crate) shelf: Shelf,
    pub(crate) timers: BTreeMap<P::Timer, Slot>,
    pub(crate) executor: Executor<S>,
    pub(crate) waiting: BTreeMap<Key, Waiting>,
    pub(crate) intake: Vec<Command>,
    pub(crate) counters: Counters,
    pub(crate) meter: AuthMeter,
    pub(crate) paused: bool,
    /// It has taken in something, and `Drained` is still to come.
    pub(crate) in_turn: bool,
    /// What arrived while the node was paused.
    pub(crate) backlog: Vec<Event<P>>,
    pub(crate) status: Option<Status>,
    pub(crate) leads: Option<u64>,
    /// Crash after so many more effects, in the midst of a step.
    pub(crate) fuse: Option<u32>,
    /// Crashes in the step in which it is the first to commit something, before it tells anybody.
    pub(crate) dies_of_news: bool,
    /// Crash when the next sync begins: what was written is not durable, what needs not be has
    /// been sent.
    pub(crate) doomed: bool,
    /// Crash when the file of another node's snapshot is being written.
    pub(crate) dies_of_snapshot: bool,
    /// The sync that runs, or the next one, fails.
    pub(crate) sync_fails: bool,
    /// There is no room on the disk for another write.
    pub(crate) disk_full: bool,
    /// The disk is lost: there is no other life.
    pub(crate) condemned: bool,
    /// How fast the clock runs, in ten thousand of virtual time.
    pub(crate) clock_rate: u64,
    /// How far the clock has jumped ahead, in nanoseconds.
    pub(crate) clock_ahead: u64,
    /// No sync ends before this time.
    pub(crate) stalled_until: u64,
    /// The sync that runs: which of all, and how many writes it covers.
    pub(crate) sync: Option<(u64, usize)>,
    /// Clients were told the results up to here, in this life or before. A restarted replica
    /// replays its log, but sends no old answers again.
    pub(crate) answered: LogIndex,
    pub(crate) reads: Reads<Asked>,
    /// What those of them that were asked for by the protocol must see.
    pub(crate) floors: Floors,
    /// What it said last of the members, and whether they are committed. Kept over a crash: its
    /// log may well say so, too.
    pub(crate) members: Option<(Membership, bool)>,
    /// It spoke of members in this step.
    pub(crate) news: bool,
    pub(crate) refused_changes: Vec<ChangeRefusal>,
}

impl<P: ConsensusProtocol, S: consensus_core::StateMachine> Node<P, S> {
    pub(crate) fn new(executor: Executor<S>, in_place: bool) -> Self {
        Self {
            replica: None,
            life: 0,
            steps: 0,
            driver: Driver::after_recovery(0, in_place),
            disk_news: DiskNews::default(),
            disk: Disk::new(),
            shelf: Shelf::default(),
            timers: BTreeMap::new(),
            executor,
            waiting: BTreeMap::new(),
            intake: Vec::new(),
            counters: Counters::default(),
            meter: AuthMeter::default(),
            paused: false,
            in_turn: false,
            backlog: Vec::new(),
            status: None,
            leads: None,
            fuse: None,
            dies_of_news: false,
            doomed: false,
            dies_of_snapshot: false,
            sync_fails: false,
            disk_full: false,
            condemned: false,
            clock_rate: u64::from(CERTAIN),
            clock_ahead: 0,
            stalled_until: 0,
            sync: None,
            answered: LogIndex::ZERO,
            reads: Reads::default(),
            floors: Floors::default(),
            members: None,
            news: false,
            refused_changes: Vec::new(),
        }
    }

    /// A new life begins, on what the disk kept. The executor starts empty: what was committed
    /// since the newest snapshot is given out again.
    pub(crate) fn begin_life(&mut self, executor: Executor<S>) -> Durable<P::Record> {
        assert!(self.replica.is_none(), "a life begins after a crash");
        let records = self.disk.begin_life();
        self.life += 1;
        self.driver.begin_life(records.len());
        self.disk_news = DiskNews::after_recovery(records.len());
        self.executor = executor;
        let snapshot = self.shelf.newest().map(|snapshot| snapshot.meta.clone());
        Durable { incarnation: Incarnation(self.life), records, snapshot }
    }

    /// What the last step wants.
    pub(crate) fn wants(&mut self, list: &mut Vec<Effect<P>>) {
        self.driver.wants(self.replica.as_ref(), list);
    }

    /// Everything in memory is gone.
    pub(crate) fn end_life(&mut self) {
        self.replica = None;
        self.timers.clear();
        self.waiting.clear();
        self.intake.clear();
        self.backlog.clear();
        self.paused = false;
        self.in_turn = false;
        self.status = None;
        self.leads = None;
        self.fuse = None;
        self.dies_of_news = false;
        self.doomed = false;
        self.dies_of_snapshot = false;
        self.sync_fails = false;
        self.sync = None;
        self.disk_full = false;
        self.reads = Reads::default();
        self.floors = Floors::default();
        self.news = false;
    }

    /// Takes over what the protocol did with keys in the last step.
    pub(crate) fn read_meter(&mut self) {
        self.counters.tags_made = self.meter.made();
        self.counters.tags_checked = self.meter.checked_nodes();
        self.counters.client_tags_checked = self.meter.checked_clients();
    }
}
