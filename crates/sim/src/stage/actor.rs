//! One replica on the stage, with its disk and its timers.

use crate::registers::Registers;
use consensus_core::{
    AuthMeter, Batch, ConsensusProtocol, Delay, Durable, Effects, Executor, Incarnation, Outbox,
    Refusal, Status,
};
use std::collections::BTreeMap;

pub(crate) struct Actor<P: ConsensusProtocol> {
    /// `None` while it is down.
    pub(crate) replica: Option<P>,
    life: u32,
    pub(crate) effects: Effects<P>,
    pub(crate) outbox: Outbox<P::Message>,
    pub(crate) disk: Vec<P::Record>,
    /// So many of the records survive any crash.
    pub(crate) synced: usize,
    pub(crate) timers: BTreeMap<P::Timer, Delay>,
    pub(crate) executor: Executor<Registers>,
    pub(crate) meter: AuthMeter,
    pub(crate) status: Option<Status>,
    pub(crate) leads: Option<u64>,
    pub(crate) committed: Vec<Batch>,
    pub(crate) refused: Vec<(Batch, Refusal)>,
}

impl<P: ConsensusProtocol> Actor<P> {
    /// Before its first life, with this disk.
    pub(crate) fn new(disk: Vec<P::Record>) -> Self {
        Self {
            replica: None,
            life: 0,
            effects: Effects::after_recovery(disk.len()),
            outbox: Outbox::after_recovery(disk.len(), P::INFO.links),
            synced: disk.len(),
            disk,
            timers: BTreeMap::new(),
            executor: Executor::new(Registers::default(), consensus_core::DEFAULT_SESSIONS),
            meter: AuthMeter::default(),
            status: None,
            leads: None,
            committed: Vec::new(),
            refused: Vec::new(),
        }
    }

    /// Records that a crash may take away.
    pub(crate) fn unsynced(&self) -> usize {
        self.disk.len() - self.synced
    }

    /// Everything in memory is gone.
    pub(crate) fn end_life(&mut self) {
        self.replica = None;
        self.timers.clear();
        self.status = None;
        self.leads = None;
        self.committed.clear();
    }

    /// What the next life finds on the disk.
    pub(crate) fn begin_life(&mut self, executor: Executor<Registers>) -> Durable<P::Record> {
        assert!(self.replica.is_none(), "a life begins after a crash");
        assert_eq!(self.unsynced(), 0, "a crash decides what the disk kept");
        self.life += 1;
        self.effects = Effects::after_recovery(self.disk.len());
        self.outbox = Outbox::after_recovery(self.disk.len(), P::INFO.links);
        self.executor = executor;
        Durable::of(Incarnation(self.life), self.disk.clone())
    }
}
