//! Does what the effects of a step say, in their order.

use crate::chance::Chance;
use crate::codec;
use crate::config::Limits;
use crate::frame;
use crate::handle::StopReason;
use crate::log_thread::{Append, LogHandle};
use crate::queue::FrameQueue;
use crate::timers::Timers;
use crate::waiting::Waiting;
use consensus_core::{
    ConsensusProtocol, Counters, Effect, Executor, LogIndex, Message, NodeId, NodeSet, Outbox,
    RecordNumber, StateMachine,
};
use core::time::Duration;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::time::Instant;

/// A timer that runs longer is as good as none; an instant cannot lie arbitrarily far away.
const FOR_EVER: Duration = Duration::from_secs(365 * 24 * 3600);

/// Everything around a replica: its log, links, timers, state machine and clients.
pub(crate) struct Driver<P: ConsensusProtocol, S> {
    pub(crate) id: NodeId,
    pub(crate) limits: Limits,
    pub(crate) log: LogHandle,
    pub(crate) links: BTreeMap<NodeId, Arc<FrameQueue>>,
    pub(crate) outbox: Outbox<P::Message>,
    pub(crate) timers: Timers<P::Timer>,
    pub(crate) executor: Executor<S>,
    pub(crate) waiting: Waiting,
    pub(crate) counters: Arc<Mutex<Counters>>,
    pub(crate) chance: Chance,
    /// Records of this turn, handed to the log thread at its end.
    pub(crate) unwritten: Vec<Append>,
    pub(crate) disk: DiskWatch,
}

/// Watches how long the disk takes.
///
/// A leader whose disk hangs, while its heartbeats go on, keeps the cluster from electing one that
/// can write. So a replica that has waited too long for a sync falls silent, as if it were cut
/// off, which every protocol survives; the others act when they miss it.
#[derive(Debug)]
pub(crate) struct DiskWatch {
    patience: Duration,
    last_needed: RecordNumber,
    /// Since when the disk has owed a sync without making progress.
    since: Option<Instant>,
}

impl DiskWatch {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { patience, last_needed: RecordNumber::ZERO, since: None }
    }

    fn wrote(&mut self, needed: RecordNumber) {
        self.last_needed = needed;
        self.since.get_or_insert_with(Instant::now);
    }

    fn synced(&mut self, upto: RecordNumber) {
        self.since = (upto < self.last_needed).then(Instant::now);
    }

    fn hangs(&self) -> bool {
        self.since.is_some_and(|since| since.elapsed() > self.patience)
    }
}

impl<P: ConsensusProtocol, S: StateMachine> Driver<P, S> {
    /// Carries out one step's effects. The caller has seen that the replica did not halt.
    pub(crate) fn carry_out(
        &mut self,
        effects: impl Iterator<Item = Effect<P>>,
    ) -> Result<(), StopReason> {
        for effect in effects {
            match effect {
                Effect::Write { number, record, needed } => self.write(number, &record, needed),
                Effect::Send { to, message, after } => {
                    let now = self.outbox.offer(to, &message, after);
                    self.send(now, &message);
                }
                Effect::SetTimer { timer, delay } => {
                    let delay = self.chance.draw(delay).min(FOR_EVER);
                    self.timers.set(timer, Instant::now() + delay);
                }
                Effect::CancelTimer { timer } => self.timers.cancel(timer),
                Effect::Commit { index, batch } => {
                    self.follows(index)?;
                    let waiting = &mut self.waiting;
                    self.executor.execute(index, &batch, |executed| waiting.executed(executed));
                }
                Effect::Refuse { batch, why } => self.waiting.refused(&batch, why),
                Effect::Compact { .. }
                | Effect::Fetch { .. }
                | Effect::Snapshot { .. }
                | Effect::Ready { .. }
                | Effect::RefuseRead { .. }
                | Effect::Members { .. }
                | Effect::RefuseChange { .. } => {}
            }
        }
        Ok(())
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
            self.disk.wrote(number);
        }
        self.unwritten.push(Append { number, record: bytes, needed });
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

    /// What waited for the disk and need not wait any more leaves.
    pub(crate) fn release(&mut self, upto: RecordNumber) {
        self.disk.synced(upto);
        self.outbox.synced(upto);
        while let Some((to, message)) = self.outbox.pop() {
            self.send(to, &message);
        }
    }

    /// Encodes a message once and queues it for all its receivers. On a link that is full or down
    /// it is lost, as on any network.
    fn send(&mut self, to: NodeSet, message: &P::Message) {
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
            match self.links.get(&node) {
                Some(link) => {
                    if link.push(frame.clone()).is_err() {
                        tracing::debug!(%node, kind = message.kind().name, "the link is full");
                    }
                }
                None => tracing::debug!(%node, "there is no such replica to send to"),
            }
        }
    }

    fn is_silent(&self) -> bool {
        let hangs = self.disk.hangs();
        if hangs {
            tracing::debug!(node = %self.id, "the disk hangs: nothing is sent");
        }
        hangs
    }

    pub(crate) fn count(&self, note: impl FnOnce(&mut Counters)) {
        note(&mut self.counters.lock().unwrap_or_else(PoisonError::into_inner));
    }
}
