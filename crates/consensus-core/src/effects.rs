//! What a step wants done: plain data, in order.

use crate::batch::Batch;
use crate::cluster::Delay;
use crate::id::{LogIndex, NodeId, NodeSet, RecordNumber};
use crate::membership::{ChangeRefusal, Membership};
use crate::mutant::planted;
use crate::outbox::Outbox;
use crate::protocol::{ConsensusProtocol, Gate, Input, Links, Message};
use crate::snapshot::SnapshotMessage;
use serde::{Deserialize, Serialize};
use std::fmt;

/// One thing that a step wants done.
#[derive(Clone, Debug)]
pub enum Effect<P: ConsensusProtocol> {
    /// Append this record to the write stream; sync it soon if it is needed.
    Write {
        /// Its number.
        number: RecordNumber,
        /// What to keep.
        record: P::Record,
        /// False for a note: it may go to disk with the next sync, and may be lost in a crash.
        needed: bool,
    },
    /// Send this message to these nodes once the record `after` is durable.
    Send {
        /// Receivers; never the sender itself.
        to: NodeSet,
        /// What to say; encoded once for all.
        message: P::Message,
        /// The last needed record that was written before, or 0 for a message that is no promise.
        after: RecordNumber,
    },
    /// Set this timer, and forget when it was to fire before.
    SetTimer {
        /// Which.
        timer: P::Timer,
        /// From now; the driver draws.
        delay: Delay,
    },
    /// Cancel this timer.
    CancelTimer {
        /// Which.
        timer: P::Timer,
    },
    /// These records take the place of everything that was written so far, in one atomic write:
    /// the protocol has forgotten what a snapshot covers. Counts as one record; nothing waits for
    /// it, and after a crash either the old records are found or these.
    Compact {
        /// Its number.
        number: RecordNumber,
        /// What to keep instead of all earlier records, oldest first.
        records: Vec<P::Record>,
    },
    /// This replica lacks entries that others have forgotten: get a snapshot from this node. Said
    /// again as long as it is true, which is when a driver repeats what got lost.
    Fetch {
        /// Whom to ask.
        from: NodeId,
    },
    /// A message about snapshots came: the driver serves it, or stores the chunk.
    Snapshot {
        /// Who said it.
        from: NodeId,
        /// What. Boxed, as it is large and rare, and every effect is as large as the largest.
        message: Box<SnapshotMessage>,
    },
    /// A read may be answered once everything up to this index is applied.
    Ready {
        /// The read's name.
        read: u64,
        /// The index.
        index: LogIndex,
    },
    /// A read will not be answered here.
    RefuseRead {
        /// The read's name.
        read: u64,
        /// Why.
        why: Refusal,
    },
    /// The members changed, or a change of them became final. Also said at the start.
    Members {
        /// The members that are in force now.
        membership: Membership,
        /// Is the entry that says so committed?
        committed: bool,
    },
    /// A change of members was not begun.
    RefuseChange {
        /// Why.
        why: ChangeRefusal,
    },
    /// This batch is decided at this index: apply it. Indices come without gap, after a start from
    /// the one after the snapshot that the replica was recovered with, or from 1.
    Commit {
        /// Where.
        index: LogIndex,
        /// What; a no-op is an empty batch.
        batch: Batch,
    },
    /// These commands were not taken, and no trace of this attempt was left anywhere.
    Refuse {
        /// The commands.
        batch: Batch,
        /// Why.
        why: Refusal,
    },
}

/// Why commands were not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Refusal {
    /// Another replica leads; this one, if known.
    NotLeader(Option<NodeId>),
    /// Too much is under way; try again later.
    Busy,
    /// The command or question is larger than the cluster takes, or the answer to the question is.
    TooLarge,
    /// The command's signature is not its client's.
    BadSignature,
    /// The replica is shutting down.
    Stopping,
    /// This algorithm, as configured, does not offer that.
    Unsupported,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotLeader(Some(leader)) => write!(f, "not the leader; that is {leader}"),
            Self::NotLeader(None) => f.write_str("not the leader, and none is known"),
            Self::Busy => f.write_str("busy: too many commands under way"),
            Self::TooLarge => f.write_str("the command, or the answer, is too large"),
            Self::BadSignature => f.write_str("the request's signature is not its client's"),
            Self::Stopping => f.write_str("the replica is shutting down"),
            Self::Unsupported => f.write_str("this algorithm, as configured, does not offer that"),
        }
    }
}

/// Collects what a step wants done. The driver keeps one value for the life of a replica and
/// empties it after each step, so that its buffer is reused and record numbers go on.
#[derive(Debug)]
pub struct Effects<P: ConsensusProtocol> {
    list: Vec<Effect<P>>,
    last_record: RecordNumber,
    last_needed: RecordNumber,
    /// Something was asked for, messages apart, since the driver was here.
    asked: bool,
    halted: Option<String>,
    reached: Vec<&'static str>,
    decided: Decided,
    /// For a driver that looks at things where they lie.
    place: Option<Place<P>>,
}

/// What has a way of its own to a driver that looks at things where they lie: so it need not be
/// moved about, as large as the largest effect.
#[derive(Debug)]
struct Place<P: ConsensusProtocol> {
    outbox: Outbox<P::Message>,
    kept: Vec<Kept>,
    /// A record was written that is not kept.
    wrote: bool,
    timers: Vec<(P::Timer, Option<Delay>)>,
}

/// A record that the replica keeps; it is made again by [`ConsensusProtocol::kept`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kept {
    /// Its number.
    pub number: RecordNumber,
    /// Where what is to be written begins.
    pub first: LogIndex,
    /// How much of it.
    pub count: u64,
}

/// How what is decided reaches the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Decided {
    /// As effects, each with its batch.
    Told,
    /// It looks for the batches of these indices in the replica: `(first, count)`.
    Named(LogIndex, u64),
}

impl<P: ConsensusProtocol> Effects<P> {
    /// For a replica that was recovered from this many records.
    pub fn after_recovery(records: usize) -> Self {
        let last = RecordNumber(records as u64);
        Self {
            list: Vec::new(),
            last_record: last,
            last_needed: last,
            asked: false,
            halted: None,
            reached: Vec::new(),
            decided: Decided::Told,
            place: None,
        }
    }

    /// The same for a driver that looks at things where they lie. These are no effects then: what
    /// is decided, which it finds in the replica ([`take_decided`](Self::take_decided)); records
    /// that the replica keeps ([`kept`](Self::kept)); timers ([`timers`](Self::timers)); and
    /// messages, which wait in an outbox until the driver lets them go ([`leave`](Self::leave)).
    #[must_use]
    pub fn in_place(self) -> Self {
        let place = Place {
            outbox: Outbox::after_recovery(self.last_record.0 as usize, P::INFO.links),
            kept: Vec::new(),
            wrote: false,
            timers: Vec::new(),
        };
        Self { decided: Decided::Named(LogIndex::ZERO, 0), place: Some(place), ..self }
    }

    /// For a replica that has written `last` records so far, the last needed one among them being
    /// `last_needed`. A model checker keeps these two numbers instead of this value.
    pub fn resume(last: RecordNumber, last_needed: RecordNumber) -> Self {
        assert!(last_needed <= last, "a needed record was written");
        Self { last_record: last, last_needed, ..Self::after_recovery(0) }
    }

    /// Writes a record that must survive a crash. Everything said later as a promise waits for it.
    #[inline]
    pub fn write(&mut self, record: P::Record) -> RecordNumber {
        let number = self.push_record(record, true);
        self.last_needed = number;
        number
    }

    /// Writes a record that only saves work after a restart: nothing waits for it, it causes no
    /// sync, and a crash may lose it.
    #[inline]
    pub fn note(&mut self, record: P::Record) -> RecordNumber {
        self.push_record(record, false)
    }

    /// The same for a record that the replica keeps anyway, as it makes it again when a driver asks
    /// ([`ConsensusProtocol::kept`]): only for others it is made at once. What is kept there must
    /// stay as it is for the rest of the step.
    #[inline]
    pub fn write_kept(
        &mut self,
        first: LogIndex,
        count: u64,
        record: impl FnOnce() -> P::Record,
    ) -> RecordNumber {
        // Kept ones go to the disk before the others of a step.
        let Some(place) = self.place.as_mut().filter(|place| !place.wrote) else {
            return self.write(record());
        };
        let number = RecordNumber(self.last_record.0 + 1);
        self.last_record = number;
        if !planted("S-kept") {
            self.last_needed = number;
        }
        self.asked = true;
        place.kept.push(Kept { number, first, count });
        number
    }

    /// For a driver that asked for it ([`in_place`](Self::in_place)): the records that the last
    /// step wrote and that the replica keeps. All are needed, and they come before those among
    /// the effects.
    #[inline]
    pub fn kept(&self) -> &[Kept] {
        self.place.as_ref().map_or(&[], |place| &place.kept)
    }

    /// For a driver that asked for it ([`in_place`](Self::in_place)): the timers that the last step
    /// set, or cancelled where there is no delay, in order.
    #[inline]
    pub fn timers(&self) -> &[(P::Timer, Option<Delay>)] {
        self.place.as_ref().map_or(&[], |place| &place.timers)
    }

    #[inline]
    fn ask(&mut self, effect: Effect<P>) {
        self.asked = true;
        self.list.push(effect);
    }

    #[inline]
    fn push_record(&mut self, record: P::Record, needed: bool) -> RecordNumber {
        if let Some(place) = &mut self.place {
            place.wrote = true;
        }
        self.last_record = RecordNumber(self.last_record.0 + 1);
        self.ask(Effect::Write { number: self.last_record, record, needed });
        self.last_record
    }

    /// Sends a message to one node or to a set. A promise is held until every needed record that
    /// was written so far is durable; nobody has to ask for that. To nobody is no message.
    #[inline]
    pub fn send(&mut self, to: impl Into<NodeSet>, message: P::Message) {
        let to = to.into();
        if to.is_empty() {
            return;
        }
        let after = self.gate_of(&message);
        match &mut self.place {
            Some(place) => place.outbox.put(to, message, after),
            None => self.ask(Effect::Send { to, message, after }),
        }
    }

    /// The same for a message that is made where it will lie, as it comes with every command. What
    /// is stored piece by piece and moved at once costs the machine a wait.
    #[inline]
    pub fn send_made(&mut self, to: impl Into<NodeSet>, make: impl FnOnce() -> P::Message) {
        let to = to.into();
        match &mut self.place {
            Some(place) if P::INFO.links == Links::Any => {
                if !to.is_empty() {
                    place.outbox.make(to, self.last_needed, make);
                }
            }
            _ => self.send(to, make()),
        }
    }

    #[inline]
    fn gate_of(&self, message: &P::Message) -> RecordNumber {
        match message.gate() {
            Gate::Free => RecordNumber::ZERO,
            Gate::AfterSync => self.last_needed,
        }
    }

    /// For a driver that asked for it ([`in_place`](Self::in_place)): the disk has everything up to
    /// here. What waited for that may leave.
    #[inline]
    pub fn synced(&mut self, upto: RecordNumber) {
        if let Some(place) = &mut self.place {
            place.outbox.synced(upto);
        }
    }

    /// For a driver that asked for it ([`in_place`](Self::in_place)): hands over the messages that
    /// may leave by now, after what else the steps before wanted was carried out.
    #[inline]
    pub fn leave(&mut self, go: impl FnMut(NodeSet, P::Message)) {
        if let Some(place) = &mut self.place {
            place.outbox.leave(go);
        }
    }

    /// Sets a timer; the earlier setting of the same timer is void.
    #[inline]
    pub fn set_timer(&mut self, timer: P::Timer, delay: Delay) {
        self.asked = true;
        match &mut self.place {
            Some(place) => place.timers.push((timer, Some(delay))),
            None => self.ask(Effect::SetTimer { timer, delay }),
        }
    }

    /// Cancels a timer.
    pub fn cancel_timer(&mut self, timer: P::Timer) {
        self.asked = true;
        match &mut self.place {
            Some(place) => place.timers.push((timer, None)),
            None => self.ask(Effect::CancelTimer { timer }),
        }
    }

    /// Gives out a decided batch.
    #[inline]
    pub fn commit(&mut self, index: LogIndex, batch: Batch) {
        self.ask(Effect::Commit { index, batch });
    }

    /// Gives out batches that are decided at `first` and after, and that the replica keeps: its
    /// [`decided`](ConsensusProtocol::decided) finds them until the next step.
    #[inline]
    pub fn commit_run<'a>(
        &mut self,
        first: LogIndex,
        batches: impl ExactSizeIterator<Item = &'a Batch>,
    ) {
        self.asked = true;
        match &mut self.decided {
            Decided::Told => {
                for (index, batch) in (first.0..).map(LogIndex).zip(batches) {
                    self.list.push(Effect::Commit { index, batch: batch.clone() });
                }
            }
            Decided::Named(start, count) => {
                if *count == 0 {
                    *start = first;
                } else if start.0 + *count != first.0 {
                    return self.halt(format!("{first} is given out where another index follows"));
                }
                *count += batches.len() as u64;
            }
        }
    }

    /// For a driver that asked for it ([`in_place`](Self::in_place)): the first index that the
    /// last step gave out and that the replica keeps, and how many. They are to be applied before
    /// the other effects are carried out.
    #[inline]
    pub fn take_decided(&mut self) -> Option<(LogIndex, u64)> {
        match &mut self.decided {
            Decided::Told | Decided::Named(_, 0) => None,
            Decided::Named(first, count) => Some((*first, std::mem::take(count))),
        }
    }

    /// Hands commands back.
    pub fn refuse(&mut self, batch: Batch, why: Refusal) {
        self.ask(Effect::Refuse { batch, why });
    }

    /// Replaces everything that was written by these records; see [`Effect::Compact`].
    pub fn compact(&mut self, records: Vec<P::Record>) -> RecordNumber {
        if let Some(place) = &mut self.place {
            place.wrote = true;
        }
        self.last_record = RecordNumber(self.last_record.0 + 1);
        self.ask(Effect::Compact { number: self.last_record, records });
        self.last_record
    }

    /// A snapshot is needed, and this node has one.
    pub fn fetch(&mut self, from: NodeId) {
        self.ask(Effect::Fetch { from });
    }

    /// Hands a message about snapshots to the driver.
    pub fn snapshot(&mut self, from: NodeId, message: SnapshotMessage) {
        self.ask(Effect::Snapshot { from, message: Box::new(message) });
    }

    /// The read may be answered once everything up to `index` is applied.
    pub fn ready(&mut self, read: u64, index: LogIndex) {
        self.ask(Effect::Ready { read, index });
    }

    /// The read will not be answered here.
    pub fn refuse_read(&mut self, read: u64, why: Refusal) {
        self.ask(Effect::RefuseRead { read, why });
    }

    /// These are the members now.
    pub fn members(&mut self, membership: Membership, committed: bool) {
        self.ask(Effect::Members { membership, committed });
    }

    /// The change of members was not begun.
    pub fn refuse_change(&mut self, why: ChangeRefusal) {
        self.ask(Effect::RefuseChange { why });
    }

    /// For algorithms that do not offer what this input asks for: says so to whoever waits.
    pub fn unsupported(&mut self, input: &Input<P>) {
        match input {
            Input::Read(read) => self.refuse_read(read.id, Refusal::Unsupported),
            Input::Change(_) => self.refuse_change(ChangeRefusal::Unsupported),
            _ => {}
        }
    }

    /// A local invariant is broken: the replica must stop, and nothing of this step may happen.
    pub fn halt(&mut self, why: impl Into<String>) {
        self.asked = true;
        if self.halted.is_none() {
            self.halted = Some(why.into());
        }
    }

    /// Why the replica must stop, if it must. The driver asks before it does anything else.
    #[inline]
    pub fn halted(&self) -> Option<&str> {
        self.halted.as_deref()
    }

    /// Something rare happened in this step: one of the protocol's `MARKS` (see
    /// [`Audit`](crate::Audit)). Changes nothing; rigs count it, and complain of a mark that a long
    /// run never reaches.
    pub fn reached(&mut self, mark: &'static str) {
        self.reached.push(mark);
    }

    /// Takes out the rare things that the last step reached.
    pub fn take_reached(&mut self) -> impl Iterator<Item = &'static str> {
        self.reached.drain(..)
    }

    /// The number of the last record that a promise made now would wait for.
    pub fn last_needed(&self) -> RecordNumber {
        self.last_needed
    }

    /// Takes out what the last step wanted, in order. What it reached is forgotten, if nobody
    /// asked.
    #[inline]
    pub fn drain(&mut self) -> impl Iterator<Item = Effect<P>> {
        self.forget_place();
        self.list.drain(..)
    }

    #[inline]
    fn forget_place(&mut self) {
        self.asked = false;
        self.reached.clear();
        if let Some(place) = &mut self.place {
            place.kept.clear();
            place.timers.clear();
            place.wrote = false;
        }
    }

    /// What the last step wanted, in order, to look at.
    pub fn iter(&self) -> impl Iterator<Item = &Effect<P>> {
        self.list.iter()
    }

    /// Forgets what the last step wanted: the driver has [looked at it](Self::iter).
    #[inline]
    pub fn clear(&mut self) {
        self.forget_place();
        self.list.clear();
    }

    /// Is there nothing to carry out after the last step, messages apart, and no reason to stop?
    #[inline]
    pub fn is_quiet(&self) -> bool {
        !self.asked
    }

    /// Did the last step want nothing, but for messages that have their own way?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
            && matches!(self.decided, Decided::Told | Decided::Named(_, 0))
            && self.kept().is_empty()
            && self.timers().is_empty()
    }
}
