//! One replica on the stage, with its disk and its timers.

use super::service::Asked;
use crate::disk::Disk;
use crate::driver::Driver;
use crate::oracle::reads::Floors;
use crate::registers::Registers;
use crate::shelf::Shelf;
use consensus_core::{
    AuthMeter, Batch, ChangeRefusal, ConsensusProtocol, Delay, Durable, Executor, Incarnation,
    Membership, Refusal, Status,
};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet};

pub(crate) struct Actor<P: ConsensusProtocol> {
    /// `None` while it is down.
    pub(crate) replica: Option<P>,
    pub(crate) life: u32,
    /// Counts the steps of all lives.
    pub(crate) steps: u64,
    pub(crate) driver: Driver<P>,
    pub(crate) disk: Disk<P::Record>,
    /// The records that count, synced or not.
    pub(crate) records: Vec<P::Record>,
    pub(crate) shelf: Shelf,
    pub(crate) timers: BTreeMap<P::Timer, Delay>,
    /// When each was set last.
    pub(crate) set_at: BTreeMap<P::Timer, Duration>,
    pub(crate) executor: Executor<Registers>,
    pub(crate) meter: AuthMeter,
    pub(crate) status: Option<Status>,
    pub(crate) leads: Option<u64>,
    pub(crate) committed: Vec<Batch>,
    pub(crate) refused: Vec<(Batch, Refusal)>,
    pub(crate) reads: Vec<Asked>,
    pub(crate) floors: Floors,
    /// All that it said of the members, over all its lives.
    pub(crate) members: Vec<(Membership, bool)>,
    /// It spoke of members in this step.
    pub(crate) news: bool,
    pub(crate) refused_changes: Vec<ChangeRefusal>,
    /// The rare things that happened here, in any life.
    pub(crate) reached: BTreeSet<&'static str>,
}

impl<P: ConsensusProtocol> Actor<P> {
    /// Before its first life, with these records on its disk; and whether its driver looks at
    /// things where they lie.
    pub(crate) fn new(
        records: Vec<P::Record>,
        executor: Executor<Registers>,
        in_place: bool,
    ) -> Self {
        Self {
            replica: None,
            life: 0,
            steps: 0,
            driver: Driver::after_recovery(records.len(), in_place),
            disk: Disk::holding(records.clone()),
            records,
            shelf: Shelf::default(),
            timers: BTreeMap::new(),
            set_at: BTreeMap::new(),
            executor,
            meter: AuthMeter::default(),
            status: None,
            leads: None,
            committed: Vec::new(),
            refused: Vec::new(),
            reads: Vec::new(),
            floors: Floors::default(),
            members: Vec::new(),
            news: false,
            refused_changes: Vec::new(),
            reached: BTreeSet::new(),
        }
    }

    /// Records that a crash may take away.
    pub(crate) fn unsynced(&self) -> usize {
        self.disk.unsynced()
    }

    /// Everything in memory is gone.
    pub(crate) fn end_life(&mut self) {
        self.replica = None;
        self.timers.clear();
        self.status = None;
        self.leads = None;
        self.committed.clear();
        self.reads.clear();
        self.floors = Floors::default();
        self.news = false;
    }

    /// What the next life finds on the disk.
    pub(crate) fn begin_life(&mut self, executor: Executor<Registers>) -> Durable<P::Record> {
        assert!(self.replica.is_none(), "a life begins after a crash");
        assert_eq!(self.unsynced(), 0, "a crash decides what the disk kept");
        self.life += 1;
        self.records = self.disk.begin_life();
        self.shelf.crash();
        self.driver.begin_life(self.records.len());
        self.executor = executor;
        let snapshot = self.shelf.newest().map(|snapshot| snapshot.meta.clone());
        Durable { incarnation: Incarnation(self.life), records: self.records.clone(), snapshot }
    }
}
