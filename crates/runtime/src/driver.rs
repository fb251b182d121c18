//! Does what the effects of a step say, in their order.

pub(crate) mod disk_watch;
mod queries;
pub(crate) mod snapshotting;

pub(crate) use disk_watch::DiskWatch;
pub(crate) use queries::{Asked, Queries, reply as query_reply};
pub(crate) use snapshotting::Snapshotting;

use crate::chance::Chance;
use crate::codec;
use crate::config::Limits;
use crate::frame;
use crate::handle::StopReason;
use crate::links::{Links, Unsent};
use crate::log_thread::{Append, LogHandle, What};
use crate::timers::Timers;
use crate::waiting::Waiting;
use crate::wish::Wishes;
use consensus_core::mutant::planted;
use consensus_core::{
    Batch, ConsensusProtocol, Counters, Delay, Effect, Effects, Executor, Kept, LogIndex,
    Membership, Message, NodeId, NodeSet, RecordNumber, StateMachine,
};
use core::time::Duration;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// A timer that runs longer is as good as none; an instant cannot lie arbitrarily far away.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Everything around a replica: its log, links, timers, state machine and clients.
pub(crate) struct Driver<P: ConsensusProtocol, S> {
    pub(crate) id: NodeId,
    pub(crate) limits: Limits,
    pub(crate) log: LogHandle,
    pub(crate) links: Links,
    /// What the driver itself has to say; it goes the way of what the replica says.
    pub(crate) said: Vec<(NodeSet, P::Message)>,
    pub(crate) timers: Timers<P::Timer>,
    pub(crate) executor: Executor<S>,
    pub(crate) waiting: Waiting,
    pub(crate) counters: Arc<Mutex<Counters>>,
    pub(crate) chance: Chance,
    /// Records of this turn, handed to the log thread at its end.
    pub(crate) unwritten: Vec<Append>,
    pub(crate) disk: DiskWatch,
    pub(crate) snapshotting: Snapshotting,
    pub(crate) queries: Queries,
    pub(crate) wishes: Wishes,
    /// The members in force, and whether they are committed.
    pub(crate) members: (Membership, bool),
}

impl<P: ConsensusProtocol, S: StateMachine> Driver<P, S> {
    /// Carries out what one step wants, messages apart. The caller has seen that the replica did
    /// not halt.
    pub(crate) fn carry_out(
        &mut self,
        replica: &P,
        effects: &mut Effects<P>,
    ) -> Result<(), StopReason> {
        for Kept { number, first, count } in effects.kept() {
            let lost = || StopReason::Halted(format!("record {} is not kept", number.0));
            self.write(*number, &replica.kept(*first, *count).ok_or_else(lost)?, true);
        }
        for (timer, delay) in effects.timers() {
            match delay {
                Some(delay) => self.set_timer(*timer, *delay),
                None => self.timers.cancel(*timer),
            }
        }
        for effect in effects.drain() {
            match effect {
                Effect::Write { number, record, needed } => self.write(number, &record, needed),
                Effect::Send { to, message, .. } => self.said.push((to, message)),
                Effect::SetTimer { timer, delay } => self.set_timer(timer, delay),
                Effect::CancelTimer { timer } => self.timers.cancel(timer),
                Effect::Commit { index, batch } => self.apply(index, &batch)?,
                Effect::Refuse { batch, why } => self.waiting.refused(&batch, why),
                Effect::Compact { number, records } => self.compact(number, &records),
                Effect::Fetch { from } => self.fetch(from),
                Effect::Snapshot { from, message } => self.on_snapshot(from, *message),
                Effect::Ready { read, index } => {
                    let index = LogIndex(index.0.saturating_sub(u64::from(planted("N19"))));
                    self.queries.reads.ready(read, index);
                }
                Effect::RefuseRead { read, why } => self.refuse_read(read, why),
                Effect::Members { membership, committed } => {
                    self.change_members(membership, committed);
                }
                Effect::RefuseChange { why } => self.wishes.refused(why),
            }
        }
        self.answer_reads();
        Ok(())
    }

    fn set_timer(&mut self, timer: P::Timer, delay: Delay) {
        let delay = self.chance.draw(delay).min(FOR_EVER);
        self.timers.set(timer, Instant::now() + delay);
    }

    /// This batch is decided at this index.
    pub(crate) fn apply(&mut self, index: LogIndex, batch: &Batch) -> Result<(), StopReason> {
        self.follows(index)?;
        let waiting = &mut self.waiting;
        self.executor.execute(index, batch, |executed| waiting.executed(executed));
        Ok(())
    }

    fn change_members(&mut self, membership: Membership, committed: bool) {
        tracing::info!(node = %self.id, ?membership, committed, "members");
        self.links.members(&membership, committed);
        if committed && !membership.is_joint() {
            let (members, committed) = &self.members;
            self.wishes.settled(&membership, *committed && *members == membership);
        }
        self.members = (membership, committed);
    }

    /// A gap in what is committed would lose commands for good: rather stop.
    fn follows(&self, index: LogIndex) -> Result<(), StopReason> {
        let expected = self.executor.applied().next();
        if index == expected {
            return Ok(());
        }
        Err(StopReason::Halted(format!("committed index {index} where {expected} follows")))
    }

    fn write(&mut self, number: RecordNumber, record: &P::Record, needed: bool) {
        let mut bytes = Vec::new();
        codec::encode_into(&mut bytes, record);
        if needed {
            self.disk.wrote(number, Instant::now());
        }
        self.snapshotting.wrote(bytes.len());
        self.unwritten.push(Append { number, what: What::Record { bytes, needed } });
    }

    fn compact(&mut self, number: RecordNumber, records: &[P::Record]) {
        let encoded = records.iter().map(|record| {
            let mut bytes = Vec::new();
            codec::encode_into(&mut bytes, record);
            bytes
        });
        self.unwritten.push(Append { number, what: What::Compact(encoded.collect()) });
    }

    /// Hands the turn's records to the log thread.
    pub(crate) fn end_turn(&mut self) {
        if self.unwritten.is_empty() {
            return;
        }
        let records = std::mem::take(&mut self.unwritten);
        self.count(|counters| counters.writes += records.len() as u64);
        self.log.append(records);
    }

    /// Encodes a message once and queues it for all its receivers. On a link that is full or down
    /// it is lost, as on any network.
    pub(crate) fn send(&mut self, to: NodeSet, message: &P::Message) {
        let to = to.without(self.id);
        if to.is_empty() || self.is_silent() {
            return;
        }
        let frame = frame::encode(message);
        let bytes = frame::payload_len(&frame);
        if bytes > self.limits.max_frame {
            let kind = message.kind().name;
            tracing::error!(kind, bytes, "a message does not fit a frame: not sent");
            return;
        }
        self.count(|counters| counters.on_sent(message.kind(), to.len(), bytes));
        for node in to.iter() {
            match self.links.push(node, frame.clone()) {
                Ok(()) => {}
                Err(Unsent::Full) => {
                    tracing::debug!(%node, kind = message.kind().name, "the link is full");
                }
                Err(Unsent::NoAddress) => tracing::debug!(%node, "nobody knows where it is"),
            }
        }
    }

    fn is_silent(&self) -> bool {
        let hangs = self.disk.hangs(Instant::now());
        if hangs {
            tracing::debug!(node = %self.id, "the disk hangs: nothing is sent");
        }
        hangs
    }

    pub(crate) fn count(&self, note: impl FnOnce(&mut Counters)) {
        note(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
