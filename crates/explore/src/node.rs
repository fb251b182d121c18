//! One node: the real replica with its disk, its timers, the messages that wait for the disk, and
//! all that it ever said. What a node does depends on nothing else, so that it is worked out once
//! for each pair of node and stimulus, however many states of the cluster they occur in.

use crate::bounds::Disks;
use crate::claims::Claims;
use crate::context::Context;
use crate::disk::{Disk, Snapshot, Write};
use crate::service::Service;
use crate::symmetry::{Prints, Symmetry};
use crate::violation::Violation;
use crate::wish::Wish;
use crate::work::Work;
use consensus_core::{
    Audit, Batch, Certificate, Input, Ledger, LogIndex, Membership, NodeId, NodeSet, ReadMode,
    Verified,
};
use std::collections::BTreeMap;
use std::sync::Arc;

/// A message to one node. Two that are equal are one.
#[derive(Clone, Debug)]
pub(crate) struct Packet<P: Audit> {
    pub(crate) prints: Prints,
    pub(crate) to: NodeId,
    pub(crate) said: Arc<Verified<P::Message>>,
}

/// What of a node matters for its future.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Local<P: Audit> {
    pub(crate) replica: P,
    pub(crate) life: u32,
    pub(crate) disk: Disk<P::Record>,
    /// The last write that something waits for; not less than what is synced, as what is synced is
    /// waited for no more.
    pub(crate) needed: u64,
    /// Promises that wait for the disk, in order of sending. A sync covers everything written, so
    /// that they all leave with the next one; and as equal messages under way are one, so are
    /// equal messages that wait.
    pub(crate) held: Vec<(NodeSet, P::Message)>,
    /// The timers that are set, and after how many ticks each may fire.
    pub(crate) timers: BTreeMap<P::Timer, u8>,
    pub(crate) service: Service,
    pub(crate) claims: Claims,
}

/// A node with what follows from it.
#[derive(Debug)]
pub(crate) struct Node<P: Audit> {
    pub(crate) prints: Prints,
    pub(crate) local: Local<P>,
    /// What the written disk proves.
    pub(crate) written: Ledger,
    /// What the synced disk proves.
    pub(crate) synced: Ledger,
}

impl<P: Audit> Node<P> {
    pub(crate) fn new(symmetry: &Symmetry, id: NodeId, local: Local<P>) -> Self {
        let synced = proven::<P>(&local.disk.kept);
        let mut written = synced.clone();
        for write in &local.disk.pending {
            match write {
                Write::Record(record) => P::absorb(record, &mut written),
                Write::Compact(records) => written = proven::<P>(records),
            }
        }
        Self { prints: Prints::of(symmetry, &(id, &local)), local, written, synced }
    }

    /// Does something wait for the disk?
    pub(crate) fn wants_sync(&self) -> bool {
        self.local.wants_sync()
    }
}

/// What these records prove.
pub(crate) fn proven<P: Audit>(records: &[P::Record]) -> Ledger {
    let mut ledger = Ledger::default();
    for record in records {
        P::absorb(record, &mut ledger);
    }
    ledger
}

impl<P: Audit> Local<P> {
    pub(crate) fn wants_sync(&self) -> bool {
        self.needed > self.disk.synced
    }

    /// May a snapshot be taken that is newer than the last one?
    pub(crate) fn may_take(&self) -> bool {
        let applied = self.service.applied.index;
        let idle = self.disk.writing.is_none();
        idle && applied > self.disk.covered() && self.replica.snapshot_meta(applied).is_some()
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
    /// It crashes, so many writes that were not synced survive, and it starts again. The snapshot
    /// that was being written survives, if `file`.
    Crash { kept: usize, file: bool },
    /// An operator wants it to hand over.
    Transfer(NodeId),
    /// An operator wants other members.
    Change(Wish),
    /// A client wants to read, when so much is decided.
    Read { mode: ReadMode, decided: LogIndex },
    /// It takes a snapshot of what it has applied.
    Snapshot,
    /// The snapshot that was taken or came in is on the disk.
    Keep,
}

/// A batch that a replica gave out as decided.
#[derive(Clone, Debug)]
pub(crate) struct Commit {
    pub(crate) index: LogIndex,
    pub(crate) batch: Batch,
    pub(crate) certificate: Option<Certificate>,
    /// The node's own synced disk held the batch when it was given out.
    pub(crate) on_own_disk: bool,
    /// The members that were in force at the node, if it says so.
    pub(crate) members: Option<Membership>,
}

/// What became of a node, and what it did to the world.
#[derive(Debug)]
pub(crate) struct Outcome<P: Audit> {
    pub(crate) node: Node<P>,
    pub(crate) sent: Vec<Packet<P>>,
    pub(crate) commits: Vec<Commit>,
    /// A snapshot that it took or put into force.
    pub(crate) snapshot: Option<Snapshot>,
    /// The epoch in which it became a leader.
    pub(crate) office: Option<u64>,
    /// Its disk is not what it was.
    pub(crate) wrote: bool,
    /// What it wrote, in order.
    pub(crate) writes: Vec<Write<P::Record>>,
    /// Rare things that it said it reached.
    pub(crate) marks: Vec<&'static str>,
}

/// Lets something happen to a node, after so many ticks.
pub(crate) fn happen<P: Audit>(
    context: &Context<P>,
    (id, ticks): (NodeId, u8),
    before: Option<&Node<P>>,
    stimulus: &Stimulus<P>,
) -> Result<Outcome<P>, Violation> {
    let mut work = match before {
        Some(node) => Work::resume(context, (id, ticks), node.local.clone()),
        None => Work::start(context, (id, ticks), 1, Disk::empty(), Claims::default())?,
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
        Stimulus::Crash { kept, file } => {
            let Local { life, mut disk, claims, .. } = work.local;
            disk.crash(*kept, *file);
            work = Work::start(context, (id, ticks), life + 1, disk, claims)?;
            // A lost record may bring an older one to light.
            work.wrote = true;
            work.input(Input::Start)?;
        }
        Stimulus::Transfer(to) => work.input(Input::Transfer(*to))?,
        Stimulus::Change(wish) => work.change(*wish)?,
        Stimulus::Read { mode, decided } => work.read(*mode, *decided)?,
        Stimulus::Snapshot => work.take_snapshot()?,
        Stimulus::Keep => work.keep_snapshot()?,
    }
    if context.bounds.disks == Disks::Instant {
        work.settle_disk()?;
    }
    Ok(work.finish())
}
