//! One node: the real replica with its disk, its timers, the messages that wait for the disk, and
//! all that it ever said. What a node does depends on nothing else, so that it is worked out once
//! for each pair of node and stimulus, however many states of the cluster they occur in.

use crate::bounds::Disks;
use crate::claims::Claims;
use crate::context::Context;
use crate::fingerprint;
use crate::violation::Violation;
use consensus_core::{
    Audit, Batch, Certificate, Durable, Effect, Effects, Envelope, Incarnation, Input, Ledger,
    LogIndex, NodeId, NodeSet, RecordNumber, Status, Verified,
};
use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

/// A message to one node. Two that are equal are one.
#[derive(Clone, Debug)]
pub(crate) struct Packet<P: Audit> {
    pub(crate) print: u128,
    pub(crate) to: NodeId,
    pub(crate) said: Arc<Verified<P::Message>>,
}

/// What of a node matters for its future.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Local<P: Audit> {
    pub(crate) replica: P,
    pub(crate) life: u32,
    /// What was written to the disk, and how much of it a crash cannot take away.
    pub(crate) records: Vec<P::Record>,
    pub(crate) synced: usize,
    /// The last record that something waits for; not less than `synced`, as what is synced is
    /// waited for no more.
    needed: usize,
    /// Promises that wait for the disk, in order of sending. A sync covers everything written, so
    /// that they all leave with the next one; and as equal messages under way are one, so are
    /// equal messages that wait.
    held: Vec<(NodeSet, P::Message)>,
    pub(crate) timers: BTreeSet<P::Timer>,
    /// What was given out as committed in this life.
    pub(crate) committed: LogIndex,
    pub(crate) claims: Claims,
}

/// A node with what follows from it.
#[derive(Debug)]
pub(crate) struct Node<P: Audit> {
    pub(crate) print: u128,
    pub(crate) local: Local<P>,
    /// What the written disk proves.
    pub(crate) written: Ledger,
    /// What the synced disk proves.
    pub(crate) synced: Ledger,
}

impl<P: Audit> Node<P> {
    fn new(id: NodeId, local: Local<P>) -> Self {
        let mut synced = Ledger::default();
        let (safe, rest) = local.records.split_at(local.synced);
        for record in safe {
            P::absorb(record, &mut synced);
        }
        let mut written = synced.clone();
        for record in rest {
            P::absorb(record, &mut written);
        }
        Self { print: fingerprint::of(&(id, &local)), local, written, synced }
    }

    /// Does something wait for the disk?
    pub(crate) fn wants_sync(&self) -> bool {
        self.local.wants_sync()
    }
}

impl<P: Audit> Local<P> {
    fn wants_sync(&self) -> bool {
        self.needed > self.synced
    }
}

/// What happens to a node.
#[derive(Debug)]
pub(crate) enum Stimulus<P: Audit> {
    /// It starts for the first time.
    Boot,
    /// A message arrives.
    Take(Arc<Verified<P::Message>>),
    /// What was written is synced.
    Sync,
    /// A timer fires.
    Fire(P::Timer),
    /// An operator wants it to lead.
    Campaign,
    /// A client's command.
    Propose(Batch),
    /// It crashes, so many records survive, and it starts again.
    Crash { kept: usize },
}

/// A batch that a replica gave out as decided.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) index: LogIndex,
    pub(crate) batch: Batch,
    pub(crate) certificate: Option<Certificate>,
    /// The node's own synced disk held the batch when it was given out.
    pub(crate) on_own_disk: bool,
}

/// What became of a node, and what it did to the world.
#[derive(Debug)]
pub(crate) struct Outcome<P: Audit> {
    pub(crate) node: Node<P>,
    pub(crate) sent: Vec<Packet<P>>,
    pub(crate) commits: Vec<Commit>,
    /// The epoch in which it became a leader.
    pub(crate) office: Option<u64>,
    /// Its disk is not what it was.
    pub(crate) wrote: bool,
    /// Rare things that it said it reached.
    pub(crate) marks: Vec<&'static str>,
}

/// Lets something happen to a node.
pub(crate) fn happen<P: Audit>(
    context: &Context<P>,
    id: NodeId,
    before: Option<&Node<P>>,
    stimulus: &Stimulus<P>,
) -> Result<Outcome<P>, Violation> {
    let mut work = match before {
        Some(node) => Work::resume(context, id, node.local.clone()),
        None => Work::start(context, id, 1, Vec::new(), Claims::default())?,
    };
    match stimulus {
        Stimulus::Boot => work.input(Input::Start)?,
        Stimulus::Take(said) => work.input(Input::Message(Verified::clone(said)))?,
        Stimulus::Sync => work.sync()?,
        Stimulus::Fire(timer) => {
            work.local.timers.remove(timer);
            work.input(Input::Timer(*timer))?;
        }
        Stimulus::Campaign => work.input(Input::Campaign)?,
        Stimulus::Propose(batch) => work.input(Input::Propose(Batch::clone(batch)))?,
        Stimulus::Crash { kept } => {
            let Local { life, mut records, claims, .. } = work.local;
            records.truncate(*kept);
            work = Work::start(context, id, life + 1, records, claims)?;
            // A lost record may bring an older one to light.
            work.wrote = true;
            work.input(Input::Start)?;
        }
    }
    if context.bounds.disks == Disks::Instant {
        while work.local.wants_sync() {
            work.sync()?;
        }
    }
    Ok(work.finish())
}

/// A step under way. Follows the same rules as every driver: a halted step does not happen, effects
/// are carried out in their order, `Drained` follows every input.
struct Work<'a, P: Audit> {
    context: &'a Context<P>,
    id: NodeId,
    local: Local<P>,
    effects: Effects<P>,
    sent: Vec<Packet<P>>,
    commits: Vec<Commit>,
    office: Option<u64>,
    wrote: bool,
    marks: Vec<&'static str>,
}

impl<'a, P: Audit> Work<'a, P> {
    fn resume(context: &'a Context<P>, id: NodeId, local: Local<P>) -> Self {
        let number = |records: usize| RecordNumber(records as u64);
        let effects = Effects::resume(number(local.records.len()), number(local.needed));
        Self {
            context,
            id,
            local,
            effects,
            sent: Vec::new(),
            commits: Vec::new(),
            office: None,
            wrote: false,
            marks: Vec::new(),
        }
    }

    /// A new life, on what the disk has.
    fn start(
        context: &'a Context<P>,
        id: NodeId,
        life: u32,
        records: Vec<P::Record>,
        claims: Claims,
    ) -> Result<Self, Violation> {
        let kept = records.len();
        let durable = Durable::of(Incarnation(life), records.clone());
        let config = context.config.clone();
        let recovered = caught(id, || P::recover(id, config, durable))?;
        let replica = recovered.map_err(|error| stopped(id, error.to_string()))?;
        let local = Local {
            replica,
            life,
            records,
            synced: kept,
            needed: kept,
            held: Vec::new(),
            timers: BTreeSet::new(),
            committed: LogIndex::ZERO,
            claims,
        };
        Ok(Self::resume(context, id, local))
    }

    fn input(&mut self, input: Input<P>) -> Result<(), Violation> {
        self.step(input)?;
        self.step(Input::Drained)
    }

    fn step(&mut self, input: Input<P>) -> Result<(), Violation> {
        let env = self.context.env(self.id);
        let (replica, effects) = (&mut self.local.replica, &mut self.effects);
        let (before, led) = (replica.status(), replica.leads());
        caught(self.id, || replica.step(input, &env, effects))?;
        if let Some(why) = effects.halted() {
            return Err(stopped(self.id, why.to_owned()));
        }
        self.marks.extend(effects.take_reached());
        let (now, leads) = (replica.status(), replica.leads());
        self.rises(&before, &now)?;
        if leads != led && leads.is_some() {
            self.office = leads;
        }
        let effects: Vec<Effect<P>> = self.effects.drain().collect();
        effects.into_iter().try_for_each(|effect| self.carry_out(effect))
    }

    /// O8: within one life, epoch and commit index do not fall.
    fn rises(&self, before: &Status, now: &Status) -> Result<(), Violation> {
        let fell = |what: &str, before: u64, now: u64| {
            let detail = format!("its {what} fell from {before} to {now}");
            Err(Violation::new("O8", "monotonic", Some(self.id), detail))
        };
        if now.epoch < before.epoch {
            return fell("epoch", before.epoch, now.epoch);
        }
        if now.committed < before.committed {
            return fell("commit index", before.committed.0, now.committed.0);
        }
        Ok(())
    }

    fn carry_out(&mut self, effect: Effect<P>) -> Result<(), Violation> {
        match effect {
            Effect::Write { record, needed, number } => {
                self.local.records.push(record);
                let written = self.local.records.len();
                assert_eq!(number.0, written as u64, "records are numbered without gap");
                if needed {
                    self.local.needed = written;
                }
                self.wrote = true;
            }
            Effect::Send { to, message, after } => {
                assert!(!to.contains(self.id), "a replica sends nothing to itself");
                if after.0 <= self.local.synced as u64 {
                    self.transmit(to, message)?;
                } else if !self.local.held.contains(&(to, message.clone())) {
                    self.local.held.push((to, message));
                }
            }
            Effect::SetTimer { timer, delay: _ } => {
                self.local.timers.insert(timer);
            }
            Effect::CancelTimer { timer } => {
                self.local.timers.remove(&timer);
            }
            Effect::Commit { index, batch } => self.commit(index, batch)?,
            Effect::Refuse { .. }
            | Effect::Compact { .. }
            | Effect::Fetch { .. }
            | Effect::Snapshot { .. }
            | Effect::Ready { .. }
            | Effect::RefuseRead { .. }
            | Effect::Members { .. }
            | Effect::RefuseChange { .. } => {}
        }
        Ok(())
    }

    /// O4: commits come without gap. The rest is judged where all nodes are in view.
    fn commit(&mut self, index: LogIndex, batch: Batch) -> Result<(), Violation> {
        if index != self.local.committed.next() {
            let detail = format!("committed index {index} right after {}", self.local.committed);
            return Err(Violation::new("O4", "gap-free", Some(self.id), detail));
        }
        self.local.committed = index;
        let mut disk = Ledger::default();
        for record in &self.local.records[..self.local.synced] {
            P::absorb(record, &mut disk);
        }
        let on_own_disk = disk.get(index).is_some_and(|held| held.batch == batch.fingerprint());
        let certificate = self.local.replica.certificate(index);
        self.commits.push(Commit { index, batch, certificate, on_own_disk });
        Ok(())
    }

    /// The disk has everything that was written: what waited for it leaves.
    fn sync(&mut self) -> Result<(), Violation> {
        let upto = self.local.records.len();
        self.local.synced = upto;
        self.local.needed = upto;
        let number = RecordNumber(upto as u64);
        for (to, message) in std::mem::take(&mut self.local.held) {
            self.transmit(to, message)?;
        }
        self.input(Input::Durable(number))
    }

    /// A message leaves. A traitor may always say the contrary, too: both are under way, and each
    /// receiver may get either, both or none.
    fn transmit(&mut self, to: NodeSet, message: P::Message) -> Result<(), Violation> {
        if self.context.is_correct(self.id) {
            for claim in P::claims(&message) {
                self.local.claims.say(self.id, claim)?;
            }
        } else if let Some(lie) = P::equivocate(&message, &self.context.env(self.id)) {
            self.post(to, lie)?;
        }
        self.post(to, message)
    }

    /// Messages are verified where they are sent: that needs no state, and is done once for all
    /// receivers.
    fn post(&mut self, to: NodeSet, message: P::Message) -> Result<(), Violation> {
        let first = to.iter().next().expect("a message has receivers");
        let envelope = Envelope { from: self.id, message };
        let said = match P::verify(envelope, &self.context.env(first)) {
            Ok(said) => Arc::new(said),
            Err(_) if !self.context.is_correct(self.id) => return Ok(()),
            Err(why) => {
                let detail = format!("a message of it is rejected: {why}");
                return Err(Violation::new("O18", "no honest message", Some(self.id), detail));
            }
        };
        for to in to.iter() {
            let print = fingerprint::of(&(to, &*said));
            self.sent.push(Packet { print, to, said: Arc::clone(&said) });
        }
        Ok(())
    }

    fn finish(self) -> Outcome<P> {
        Outcome {
            node: Node::new(self.id, self.local),
            sent: self.sent,
            commits: self.commits,
            office: self.office,
            wrote: self.wrote,
            marks: self.marks,
        }
    }
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
