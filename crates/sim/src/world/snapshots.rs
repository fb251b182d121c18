//! Snapshots: when one is taken, how it reaches the disk, how it goes to who asks, and how a node
//! comes to stand on one.

use super::World;
use super::event::Event;
use crate::oracle::Verdict;
use crate::report::Finding;
use crate::shelf::{Origin, Snapshot};
use consensus_core::{
    Audit, Executor, Input, LogIndex, Message, NodeId, NodeSet, RecordNumber, SnapshotMessage,
    StateMachine,
};

impl<P: Audit, S: StateMachine> World<P, S> {
    /// Takes a snapshot if the policy of the run says so.
    pub(super) fn snapshot_if_due(&mut self, id: NodeId) {
        let Some(every) = self.setup.snapshot_every else { return };
        let node = &self.nodes[id.index()];
        let due = node.executor.applied().0 >= node.shelf.index().0 + every;
        if due && node.shelf.unsaved(Origin::Taken).is_none() {
            self.take_snapshot(id);
        }
    }

    /// A snapshot of what the node has applied begins to be written. False if the algorithm does
    /// not want one, if one is being written, or if there is nothing new.
    pub fn take_snapshot(&mut self, id: NodeId) -> bool {
        let node = &self.nodes[id.index()];
        let applied = node.executor.applied();
        let free = node.shelf.unsaved(Origin::Taken).is_none();
        if !free || applied <= node.shelf.index() || self.violation.is_some() {
            return false;
        }
        let Some(replica) = &node.replica else { return false };
        let Some(meta) = replica.snapshot_meta(applied) else { return false };
        let members = self.history.members();
        let verdict = members.taken(&meta, applied).and_then(|()| members.earlier(replica, &meta));
        if let Some(tape) = self.tape() {
            tape.snapshot(id);
        }
        let executor = &self.nodes[id.index()].executor;
        let (bytes, state) = (executor.snapshot(), executor.fingerprint());
        let verdict = verdict.and_then(|()| self.states.compare(applied, state));
        if !self.judge(id, verdict) {
            return false;
        }
        self.tell(|| format!("{id} takes a snapshot of {applied}, {} bytes", bytes.len()));
        self.nodes[id.index()].shelf.take(meta, bytes);
        self.write_file(id, Origin::Taken);
        true
    }

    /// A file takes longer than a record.
    fn write_file(&mut self, id: NodeId, origin: Origin) {
        let writes = self.rng.between(1, 4);
        let takes: u64 =
            (0..writes).map(|_| self.setup.disk.sync.draw(&mut self.rng).as_nanos() as u64).sum();
        let node = &self.nodes[id.index()];
        let at = (self.now + takes).max(node.stalled_until);
        self.queue.push(at, Event::Saved { node: id, life: node.life, origin });
    }

    /// A snapshot file is durable, under its name.
    pub(super) fn saved(&mut self, id: NodeId, life: u32, origin: Origin) {
        let node = &mut self.nodes[id.index()];
        if node.replica.is_none() || node.life != life {
            return; // The crash decided what became of the file.
        }
        if node.sync_fails {
            self.fault("sync failed");
            return self.crash(id);
        }
        if origin == Origin::Received && node.dies_of_snapshot {
            self.mark("crash before a snapshot was installed");
            return self.crash(id);
        }
        self.fold(17, u64::from(id.0), origin as u64);
        if let Some(tape) = self.tape() {
            tape.save(id, origin);
        }
        let Some(snapshot) = self.nodes[id.index()].shelf.save(origin) else { return };
        let (meta, applied) = (snapshot.meta.clone(), self.nodes[id.index()].executor.applied());
        self.disks.saved(id.index(), &meta);
        self.tell(|| format!("{id} has a durable snapshot of {}", meta.index));
        if meta.index <= applied {
            self.mark("snapshot taken");
            return self.input(id, Input::SnapshotTaken(meta));
        }
        self.mark("snapshot installed");
        if self.restore(id, &snapshot) {
            self.input(id, Input::SnapshotInstalled(meta));
        }
    }

    /// The node's service becomes what the snapshot is of. O15: as it was where it was taken.
    pub(super) fn restore(&mut self, id: NodeId, snapshot: &Snapshot) -> bool {
        let executor = &mut self.nodes[id.index()].executor;
        let verdict = restore(executor, snapshot);
        let verdict = verdict
            .and_then(|()| self.states.compare(executor.applied(), executor.fingerprint()))
            .and_then(|()| self.history.members().kept(&snapshot.meta));
        self.judge(id, verdict)
    }

    /// Power is cut while files are written: each has its name by then, or never will.
    pub(super) fn crash_files(&mut self, id: NodeId) {
        for origin in [Origin::Taken, Origin::Received] {
            let shelf = &mut self.nodes[id.index()].shelf;
            if shelf.unsaved(origin).is_none() || !self.rng.chance(5_000) {
                continue;
            }
            if let Some(snapshot) = shelf.save(origin) {
                self.disks.saved(id.index(), &snapshot.meta);
                self.mark("snapshot survived the crash in which it was written");
                if let Some(tape) = self.tape() {
                    tape.save(id, origin);
                    tape.rest();
                }
            }
        }
        self.nodes[id.index()].shelf.crash();
    }

    /// The replica lacks what others have forgotten.
    pub(super) fn fetch(&mut self, id: NodeId, from: NodeId) {
        self.mark("snapshot asked for");
        let ask = self.nodes[id.index()].shelf.ask();
        self.say_of_snapshots(id, from, ask);
    }

    /// A message about snapshots reached its driver.
    pub(super) fn about_snapshots(&mut self, id: NodeId, from: NodeId, message: SnapshotMessage) {
        let node = &mut self.nodes[id.index()];
        if let SnapshotMessage::Ask { of, offset } = message {
            let chunk = node.shelf.chunk(of, offset, self.setup.snapshot_chunk);
            if let Some(chunk) = chunk {
                self.say_of_snapshots(id, from, chunk);
            }
            return;
        }
        let applied = node.executor.applied();
        let told = match &message {
            SnapshotMessage::Chunk { meta, .. } => Some(meta.index),
            SnapshotMessage::Ask { .. } => None,
        };
        match node.shelf.receive(message, applied) {
            None => {
                let kept = node.shelf.awaited().is_some_and(|index| index <= applied);
                self.mark("chunk of a snapshot of no use");
                if kept && told.is_some_and(|index| index <= applied) {
                    let detail = format!(
                        "{applied} is applied, and pieces of an older snapshot \
                                          are still waited for"
                    );
                    let name = "nothing is asked for in vain";
                    self.fail(Some(id), Finding::new("O14", name, detail));
                }
            }
            Some(Some(ask)) => self.say_of_snapshots(id, from, ask),
            Some(None) => self.write_file(id, Origin::Received),
        }
    }

    fn say_of_snapshots(&mut self, id: NodeId, to: NodeId, message: SnapshotMessage) {
        let Some(message) = P::Message::snapshot(message) else {
            let detail = "it wants a snapshot, and has no message for one".to_owned();
            return self.fail(Some(id), Finding::new("O18", "no stop without a reason", detail));
        };
        let to = NodeSet::only(to);
        let now = self.nodes[id.index()].driver.outbox.offer(to, &message, RecordNumber::ZERO);
        if !now.is_empty() {
            self.transmit(id, now, message);
        }
    }

    /// These records take the place of everything that the node wrote so far.
    pub(super) fn compact(&mut self, id: NodeId, number: RecordNumber, records: Vec<P::Record>) {
        self.tell(|| format!("{id} replaces its records by {}: {}", number.0, records.len()));
        if self.nodes[id.index()].disk_full {
            self.fault("disk full");
            return self.crash(id);
        }
        self.mark("log forgotten");
        let node = &mut self.nodes[id.index()];
        let written = node.disk.written() as u64 + 1;
        assert_eq!(number.0, written, "records are numbered without gap");
        node.counters.writes += 1;
        let verdict = self.disks.compacted(id.index(), &records);
        node.disk.compact(records);
        if self.is_correct(id) && self.judge(id, verdict) {
            self.rehearse_restart(id);
        }
    }

    /// Records that the disk of a node holds.
    pub fn records(&self, id: NodeId) -> usize {
        self.nodes[id.index()].disk.records().count()
    }

    /// Promises that a node holds back until its disk has what they promise.
    pub fn promises_held(&self, id: NodeId) -> usize {
        self.nodes[id.index()].driver.outbox.held()
    }

    /// Up to here a durable snapshot of the node reaches; 0 without one.
    pub fn snapshot_index(&self, id: NodeId) -> LogIndex {
        self.nodes[id.index()].shelf.index()
    }
}

/// Restores, or says why that cannot be.
pub(crate) fn restore<S: StateMachine>(executor: &mut Executor<S>, snapshot: &Snapshot) -> Verdict {
    let index = snapshot.meta.index;
    let broken = |detail: String| Err(Finding::new("O15", "a snapshot is what was taken", detail));
    if let Err(why) = executor.restore(&snapshot.bytes) {
        return broken(format!("the snapshot of {index} cannot be restored: {why}"));
    }
    if executor.applied() != index {
        return broken(format!("the snapshot of {index} is one of {}", executor.applied()));
    }
    Ok(())
}
