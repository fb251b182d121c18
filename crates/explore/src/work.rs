//! A step of one node under way: what the replica wants done is done. The same rules as in every
//! driver: a halted step does not happen, effects come in order, promises wait for the disk.

use crate::claims::Claims;
use crate::context::Context;
use crate::disk::{Disk, Snapshot, Write, Writing};
use crate::node::{Commit, Local, Node, Outcome, Packet, proven};
use crate::service::{Applied, Service};
use crate::symmetry::Prints;
use crate::violation::Violation;
use crate::wish::Wish;
use bytes::Bytes;
use consensus_core::{
    Audit, Batch, Effect, Effects, Envelope, Input, Ledger, LogIndex, Message, NodeId, NodeSet,
    Read, ReadMode, Received, RecordNumber, SnapshotMessage, Status, Then, asked_offset,
};
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

const READ_ANSWERED: &str = "read answered";
const SNAPSHOT_INSTALLED: &str = "snapshot installed";

/// Rare things that a driver does, beside those of which the protocols tell.
pub(crate) const MARKS: &[&str] = &[READ_ANSWERED, SNAPSHOT_INSTALLED];

/// A step under way.
pub(crate) struct Work<'a, P: Audit> {
    context: &'a Context<P>,
    id: NodeId,
    ticks: u8,
    pub(crate) local: Local<P>,
    effects: Effects<P>,
    sent: Vec<Packet<P>>,
    commits: Vec<Commit>,
    snapshot: Option<Snapshot>,
    office: Option<u64>,
    pub(crate) wrote: bool,
    writes: Vec<Write<P::Record>>,
    marks: Vec<&'static str>,
}

impl<'a, P: Audit> Work<'a, P> {
    pub(crate) fn resume(
        context: &'a Context<P>,
        (id, ticks): (NodeId, u8),
        local: Local<P>,
    ) -> Self {
        let (written, needed) = (RecordNumber(local.disk.written()), RecordNumber(local.needed));
        let effects = Effects::resume(written, needed);
        Self {
            context,
            id,
            ticks,
            local,
            effects,
            sent: Vec::new(),
            commits: Vec::new(),
            snapshot: None,
            office: None,
            wrote: false,
            writes: Vec::new(),
            marks: Vec::new(),
        }
    }

    /// A new life, on what the disk has.
    pub(crate) fn start(
        context: &'a Context<P>,
        (id, ticks): (NodeId, u8),
        life: u32,
        disk: Disk<P::Record>,
        claims: Claims,
    ) -> Result<Self, Violation> {
        let (durable, needed) = (disk.durable(life), disk.synced);
        let config = context.config_of(id).clone();
        let recovered = caught(id, || P::recover(id, config, durable))?;
        let replica = recovered.map_err(|error| stopped(id, error.to_string()))?;
        let applied = match &disk.snapshot {
            Some(snapshot) => restored(id, snapshot)?,
            None => Applied::default(),
        };
        let local = Local {
            replica,
            life,
            disk,
            needed,
            held: Vec::new(),
            timers: BTreeMap::new(),
            service: Service { applied, ..Service::default() },
            claims,
        };
        Ok(Self::resume(context, (id, ticks), local))
    }

    pub(crate) fn input(&mut self, input: Input<P>) -> Result<(), Violation> {
        self.step(input)?;
        if self.local.replica.awaits_drained() { self.step(Input::Drained) } else { Ok(()) }
    }

    fn step(&mut self, input: Input<P>) -> Result<(), Violation> {
        let env = self.context.env(self.id, self.ticks);
        let (replica, effects) = (&mut self.local.replica, &mut self.effects);
        let (before, led, copy) = (replica.status(), replica.leads(), replica.clone());
        caught(self.id, || replica.step(input, &env, effects))?;
        if let Some(why) = effects.halted() {
            return Err(stopped(self.id, why.to_owned()));
        }
        self.marks.extend(effects.take_reached());
        let (now, leads) = (replica.status(), replica.leads());
        self.rises(&before, &now)?;
        self.is_sound(&copy)?;
        if leads != led && leads.is_some() {
            self.office = leads;
        }
        let effects: Vec<Effect<P>> = self.effects.drain().collect();
        effects.into_iter().try_for_each(|effect| self.carry_out(effect))
    }

    fn broken<T>(
        &self,
        oracle: &'static str,
        name: &'static str,
        detail: String,
    ) -> Result<T, Violation> {
        Err(Violation::new(oracle, name, Some(self.id), detail))
    }

    /// O20: the replica's own invariants, of its state and of the step from what it was before.
    fn is_sound(&self, before: &P) -> Result<(), Violation> {
        let replica = &self.local.replica;
        let sound = replica.check().and_then(|()| replica.check_since(before));
        sound.or_else(|why| self.broken("O20", "a sound replica", why))
    }

    /// O8: within one life, epoch and commit index do not fall; and what is forgotten is in a
    /// snapshot that is on the disk.
    fn rises(&self, before: &Status, now: &Status) -> Result<(), Violation> {
        let fell = |what: &str, before: u64, now: u64| {
            self.broken("O8", "monotonic", format!("its {what} fell from {before} to {now}"))
        };
        if now.epoch < before.epoch {
            return fell("epoch", before.epoch, now.epoch);
        }
        if now.committed < before.committed {
            return fell("commit index", before.committed.0, now.committed.0);
        }
        if now.purged < before.purged {
            return fell("forgotten index", before.purged.0, now.purged.0);
        }
        self.is_covered(now.purged)
    }

    fn is_covered(&self, purged: LogIndex) -> Result<(), Violation> {
        let covered = self.local.disk.covered();
        if purged <= covered {
            return Ok(());
        }
        let detail = format!("its log is forgotten up to {purged}, its snapshot is of {covered}");
        self.broken("O8", "forgotten is in a snapshot", detail)
    }

    fn carry_out(&mut self, effect: Effect<P>) -> Result<(), Violation> {
        match effect {
            Effect::Write { record, needed, number } => {
                self.write(number, Write::Record(record));
                if needed {
                    self.local.needed = number.0;
                }
            }
            Effect::Compact { number, records } => self.compact(number, records)?,
            Effect::Send { to, message, after } => {
                assert!(!to.contains(self.id), "a replica sends nothing to itself");
                if after.0 <= self.local.disk.synced {
                    self.transmit(to, message)?;
                } else if !self.local.held.contains(&(to, message.clone())) {
                    self.local.held.push((to, message));
                }
            }
            Effect::SetTimer { timer, delay } => {
                let after = self.context.ticks_of(delay);
                self.local.timers.insert(timer, self.ticks.saturating_add(after));
            }
            Effect::CancelTimer { timer } => {
                self.local.timers.remove(&timer);
            }
            Effect::Commit { index, batch } => self.commit(index, batch)?,
            Effect::Fetch { from } => self.fetch(from)?,
            Effect::Snapshot { from, message } => self.serve(from, *message)?,
            Effect::Ready { read, index } => self.ready(read, index)?,
            Effect::RefuseRead { read, why: _ } => {
                self.local.service.waiting.remove(&read);
            }
            Effect::Members { membership, committed: _ } => {
                self.local.service.members = Some(membership);
            }
            Effect::Refuse { .. } | Effect::RefuseChange { .. } => {}
        }
        Ok(())
    }

    /// What is forgotten is in a snapshot that is on the disk.
    fn compact(&mut self, number: RecordNumber, records: Vec<P::Record>) -> Result<(), Violation> {
        self.is_covered(proven::<P>(&records).covered())?;
        self.write(number, Write::Compact(records));
        Ok(())
    }

    fn write(&mut self, number: RecordNumber, write: Write<P::Record>) {
        self.writes.push(write.clone());
        self.local.disk.write(number, write);
        self.wrote = true;
    }

    /// O4: commits come without gap. The rest is judged where all nodes are in view.
    fn commit(&mut self, index: LogIndex, batch: Batch) -> Result<(), Violation> {
        let applied = self.local.service.applied;
        if index != applied.index.next() {
            let detail = format!("committed index {index} right after {}", applied.index);
            return self.broken("O4", "gap-free", detail);
        }
        self.local.service.applied = applied.then(&batch);
        let disk: Ledger = proven::<P>(&self.local.disk.kept);
        let on_own_disk = disk.get(index).is_some_and(|held| held.batch == batch.fingerprint());
        let certificate = self.local.replica.certificate(index);
        let members = self.local.service.members.clone();
        self.commits.push(Commit { index, batch, certificate, on_own_disk, members });
        Ok(())
    }

    /// The disk has everything that was written: what waited for it leaves.
    pub(crate) fn sync(&mut self) -> Result<(), Violation> {
        let number = self.local.disk.sync();
        self.local.needed = number.0;
        for (to, message) in std::mem::take(&mut self.local.held) {
            self.transmit(to, message)?;
        }
        self.input(Input::Durable(number))
    }

    /// An operator sees the members of this node, and wants others.
    pub(crate) fn change(&mut self, wish: Wish) -> Result<(), Violation> {
        let Some(seen) = &self.local.service.members else { return Ok(()) };
        match wish.change(self.id, seen, self.context.cluster.nodes()) {
            Some(change) => self.input(Input::Change(change)),
            None => Ok(()),
        }
    }

    /// A client asks when so much is decided. A read that is refused at once leaves no trace.
    pub(crate) fn read(&mut self, mode: ReadMode, decided: LogIndex) -> Result<(), Violation> {
        let before = self.local.replica.clone();
        let id = self.local.service.reads + 1;
        self.local.service.reads = id;
        self.local.service.waiting.insert(id, decided);
        self.input(Input::Read(Read { id, mode }))?;
        let waits = self.local.service.waiting.contains_key(&id);
        if !waits && before == self.local.replica && self.sent.is_empty() {
            self.local.service.reads = id - 1;
        }
        Ok(())
    }

    /// O9 (Raft thesis §6.4): a read sees everything that was decided when it was asked, as a node
    /// may have answered somebody from that.
    fn ready(&mut self, read: u64, index: LogIndex) -> Result<(), Violation> {
        let Some(decided) = self.local.service.waiting.remove(&read) else { return Ok(()) };
        if index >= decided {
            self.marks.push(READ_ANSWERED);
            return Ok(());
        }
        let detail = format!(
            "a read is answered as of index {index}; index {decided} was decided when it was asked"
        );
        self.broken("O9", "linearizable reads", detail)
    }

    /// The disk finishes whatever it was given.
    pub(crate) fn settle_disk(&mut self) -> Result<(), Violation> {
        loop {
            if self.local.wants_sync() {
                self.sync()?;
            } else if self.local.disk.writing.is_some() {
                self.keep_snapshot()?;
            } else {
                return Ok(());
            }
        }
    }

    /// The state as it is applied is to be put on the disk.
    pub(crate) fn take_snapshot(&mut self) -> Result<(), Violation> {
        let applied = self.local.service.applied;
        let Some(meta) = self.local.replica.snapshot_meta(applied.index) else { return Ok(()) };
        if meta.index != applied.index {
            let detail = format!("asked for index {}, it describes {}", applied.index, meta.index);
            return self.broken("O15", "snapshot of what is applied", detail);
        }
        let snapshot = Snapshot { meta, bytes: applied.to_bytes() };
        self.snapshot = Some(snapshot.clone());
        self.local.disk.writing = Some(Writing { snapshot, installs: false });
        Ok(())
    }

    /// The snapshot that was being written is on the disk.
    pub(crate) fn keep_snapshot(&mut self) -> Result<(), Violation> {
        let Some(Writing { snapshot, installs }) = self.local.disk.writing.take() else {
            return Ok(());
        };
        let meta = snapshot.meta.clone();
        self.local.disk.snapshot = Some(snapshot.clone());
        if !installs {
            return self.input(Input::SnapshotTaken(meta));
        }
        // Commits may have come meanwhile: then it is only a newer file.
        if meta.index <= self.local.service.applied.index {
            return Ok(());
        }
        self.local.service.applied = restored(self.id, &snapshot)?;
        self.marks.push(SNAPSHOT_INSTALLED);
        self.snapshot = Some(snapshot);
        self.input(Input::SnapshotInstalled(meta))
    }

    /// The replica lacks what others have forgotten.
    fn fetch(&mut self, from: NodeId) -> Result<(), Violation> {
        self.say_of_snapshots(from, self.local.service.incoming.ask())
    }

    fn say_of_snapshots(&mut self, to: NodeId, said: SnapshotMessage) -> Result<(), Violation> {
        match P::Message::snapshot(said) {
            Some(message) if to != self.id => self.transmit(NodeSet::only(to), message),
            _ => Ok(()),
        }
    }

    /// Somebody asks for the snapshot of this node, or sends a piece of his.
    fn serve(&mut self, from: NodeId, message: SnapshotMessage) -> Result<(), Violation> {
        if let SnapshotMessage::Ask { of, offset } = message {
            let Some(Snapshot { meta, bytes }) = &self.local.disk.snapshot else { return Ok(()) };
            let begin = asked_offset(of, offset, meta.index);
            let Some(begin) = usize::try_from(begin).ok().filter(|at| *at < bytes.len()) else {
                return Ok(());
            };
            let end = (begin + self.context.bounds.chunk).min(bytes.len());
            let piece = Bytes::copy_from_slice(&bytes[begin..end]);
            let last = end == bytes.len();
            let chunk = SnapshotMessage::chunk(meta.clone(), begin as u64, piece, last);
            return self.say_of_snapshots(from, chunk);
        }
        let applied = self.local.service.applied.index;
        let Some(received) = self.local.service.incoming.receive(message, applied) else {
            return Ok(());
        };
        let Received { first, bytes, then } = received;
        if first {
            self.local.service.staged.clear();
        }
        self.local.service.staged.extend_from_slice(&bytes);
        match then {
            Then::Ask(ask) => self.say_of_snapshots(from, ask),
            Then::Whole(meta) => {
                let bytes = std::mem::take(&mut self.local.service.staged);
                let snapshot = Snapshot { meta, bytes };
                self.local.disk.writing = Some(Writing { snapshot, installs: true });
                Ok(())
            }
        }
    }

    /// A message leaves. A traitor may always say the contrary, too: both are under way, and each
    /// receiver may get either, both or none.
    fn transmit(&mut self, to: NodeSet, message: P::Message) -> Result<(), Violation> {
        if self.context.is_correct(self.id) {
            for claim in P::claims(&message) {
                self.local.claims.say(self.id, claim)?;
            }
        } else if let Some(lie) = P::equivocate(&message, &self.context.env(self.id, self.ticks)) {
            self.post(to, lie)?;
        }
        self.post(to, message)
    }

    /// Messages are verified where they are sent: that needs no state, and is done once for all
    /// receivers. What goes to nodes that the model does not have is lost.
    fn post(&mut self, to: NodeSet, message: P::Message) -> Result<(), Violation> {
        let to = to.and(self.context.cluster.nodes());
        let Some(first) = to.iter().next() else { return Ok(()) };
        let envelope = Envelope { from: self.id, message };
        let said = match P::verify(envelope, &self.context.env(first, self.ticks)) {
            Ok(said) => Arc::new(said),
            Err(_) if !self.context.is_correct(self.id) => return Ok(()),
            Err(why) => {
                let detail = format!("a message of it is rejected: {why}");
                return self.broken("O18", "no honest message", detail);
            }
        };
        for to in to.iter() {
            let prints = Prints::of(&self.context.symmetry, &(to, &*said));
            self.sent.push(Packet { prints, to, said: Arc::clone(&said) });
        }
        Ok(())
    }

    pub(crate) fn finish(self) -> Outcome<P> {
        Outcome {
            node: Node::new(&self.context.symmetry, self.id, self.local),
            sent: self.sent,
            commits: self.commits,
            snapshot: self.snapshot,
            office: self.office,
            wrote: self.wrote,
            writes: self.writes,
            marks: self.marks,
        }
    }
}

/// O15: the state that a snapshot holds is the one that it says.
fn restored(id: NodeId, snapshot: &Snapshot) -> Result<Applied, Violation> {
    let Snapshot { meta, bytes } = snapshot;
    let applied = Applied::from_bytes(bytes).filter(|applied| applied.index == meta.index);
    applied.ok_or_else(|| {
        let detail = format!("the snapshot of index {} came together as {bytes:x?}", meta.index);
        Violation::new("O15", "equal states", Some(id), detail)
    })
}

/// O18: whatever comes, a replica does not panic.
fn caught<T>(id: NodeId, what: impl FnOnce() -> T) -> Result<T, Violation> {
    catch_unwind(AssertUnwindSafe(what)).map_err(|panic| {
        let text = panic.downcast_ref::<String>().map(String::as_str);
        let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
        stopped(id, format!("panicked: {}", text.unwrap_or("without a message")))
    })
}

fn stopped(id: NodeId, why: String) -> Violation {
    Violation::new("O18", "no stop without a reason", Some(id), why)
}
