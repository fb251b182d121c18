//! Snapshots, members and reads on the stage.

use super::Stage;
use crate::report::Finding;
use crate::shelf::{Origin, Snapshot};
use crate::world::restore;
use consensus_core::{
    Audit, Change, ChangeRefusal, Input, LogIndex, Membership, Message, NodeId, NodeSet, Read,
    ReadMode, RecordNumber, Refusal, SnapshotMessage, SnapshotMeta,
};

/// A read on the stage, as the replica that was asked sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asked {
    /// How.
    pub mode: ReadMode,
    /// The index as of which it may be answered, or why it will not be; `None` so far.
    pub answer: Option<Result<LogIndex, Refusal>>,
}

impl<P: Audit> Stage<P> {
    /// The members as this node says they are, and whether that is committed. What it said last,
    /// if it is down; `None` if it never said anything.
    pub fn members(&self, node: NodeId) -> Option<&(Membership, bool)> {
        self.announced(node).last()
    }

    /// Each time that this node spoke of members: which, and whether that was committed.
    pub fn announced(&self, node: NodeId) -> &[(Membership, bool)] {
        &self.actors[node.index()].members
    }

    /// Why a node did not change members, each time.
    pub fn refused_changes(&self, node: NodeId) -> &[ChangeRefusal] {
        &self.actors[node.index()].refused_changes
    }

    /// What became of the reads of this life of a node, in the order of asking.
    pub fn reads(&self, node: NodeId) -> &[Asked] {
        &self.actors[node.index()].reads
    }

    /// Up to here a durable snapshot of the node reaches; 0 without one.
    pub fn snapshot_index(&self, node: NodeId) -> LogIndex {
        self.actors[node.index()].shelf.index()
    }

    /// What stands beside the newest durable snapshot of a node.
    pub fn snapshot_meta(&self, node: NodeId) -> Option<&SnapshotMeta> {
        self.actors[node.index()].shelf.newest().map(|snapshot| &snapshot.meta)
    }

    /// The last index that a node has applied in this life, snapshots included.
    pub fn applied(&self, node: NodeId) -> LogIndex {
        self.actors[node.index()].executor.applied()
    }

    /// An operator asks a replica to hand over.
    pub fn transfer(&mut self, node: NodeId, to: NodeId) {
        self.input(node, Input::Transfer(to));
    }

    /// An operator asks a replica for other members.
    pub fn change(&mut self, node: NodeId, change: Change) {
        self.input(node, Input::Change(change));
    }

    /// A replica is asked for an index to read at. Its name: reads of one life are numbered from
    /// 1.
    pub fn read(&mut self, node: NodeId, mode: ReadMode) -> u64 {
        let read = self.enter_read(node, mode);
        self.input(node, Input::Read(read));
        read.id
    }

    /// The same, and no `Drained` after it: more may come in this burst.
    pub fn give_read(&mut self, node: NodeId, mode: ReadMode) -> u64 {
        let read = self.enter_read(node, mode);
        self.give(node, Input::Read(read));
        read.id
    }

    fn enter_read(&mut self, node: NodeId, mode: ReadMode) -> Read {
        let committed = self.witness.last_committed();
        let leases_hold = self.clocks.as_ref().is_some_and(|clocks| match self.drift {
            Some(drift) => clocks.keep(drift),
            None => true,
        });
        let actor = &mut self.actors[node.index()];
        actor.reads.push(Asked { mode, answer: None });
        let read = Read { id: actor.reads.len() as u64, mode };
        // A lease goes by clocks. Where they stand still, or are too wrong, it says nothing.
        if mode != ReadMode::Lease || leases_hold {
            actor.floors.asked(read, committed);
        }
        read
    }

    /// Takes a snapshot of what a node has applied; on a disk that syncs by itself it is saved at
    /// once. False if there is nothing new, or the algorithm does not want one.
    pub fn snapshot(&mut self, node: NodeId) -> bool {
        let actor = &self.actors[node.index()];
        let applied = actor.executor.applied();
        let Some(replica) = &actor.replica else { return false };
        let busy = actor.shelf.unsaved(Origin::Taken).is_some();
        if busy || applied <= actor.shelf.index() || self.violation.is_some() {
            return false;
        }
        let Some(meta) = replica.snapshot_meta(applied) else { return false };
        let bytes = actor.executor.snapshot();
        let verdict = self.witness.taken(node, replica, &meta, applied);
        if !self.judge(node, verdict) {
            return true;
        }
        self.actors[node.index()].shelf.take(meta, bytes);
        if self.instant.contains(node) {
            self.save(node, false);
        }
        true
    }

    /// The snapshot that waits is durable now, the own one or the one that was `received`. False if
    /// none waits.
    pub fn save(&mut self, node: NodeId, received: bool) -> bool {
        let origin = if received { Origin::Received } else { Origin::Taken };
        let actor = &mut self.actors[node.index()];
        if actor.shelf.unsaved(origin).is_none() {
            return false;
        }
        let Some(snapshot) = actor.shelf.save(origin) else { return true };
        let meta = snapshot.meta.clone();
        self.witness.saved(node, &meta);
        let actor = &self.actors[node.index()];
        if actor.replica.is_none() {
            return true;
        }
        if meta.index <= actor.executor.applied() {
            self.input(node, Input::SnapshotTaken(meta));
        } else if self.stand_on(node, &snapshot) {
            self.input(node, Input::SnapshotInstalled(meta));
        }
        true
    }

    /// The node's service becomes what the snapshot is of.
    pub(super) fn stand_on(&mut self, node: NodeId, snapshot: &Snapshot) -> bool {
        let actor = &mut self.actors[node.index()];
        let verdict = restore(&mut actor.executor, snapshot)
            .and_then(|()| self.witness.reached(node, &actor.executor))
            .and_then(|()| self.witness.kept(node, &snapshot.meta));
        actor.committed = self.witness.decided(actor.executor.applied());
        let index = snapshot.meta.index;
        self.note(node, || format!("stands on a snapshot of {index}"));
        self.judge(node, verdict)
    }

    pub(super) fn about_snapshots(&mut self, id: NodeId, from: NodeId, message: SnapshotMessage) {
        let actor = &mut self.actors[id.index()];
        if let SnapshotMessage::Ask { of, offset } = message {
            if let Some(chunk) = actor.shelf.chunk(of, offset, self.chunk) {
                self.say_of_snapshots(id, from, chunk);
            }
            return;
        }
        let applied = actor.executor.applied();
        match actor.shelf.receive(message, applied) {
            None => {}
            Some(Some(ask)) => self.say_of_snapshots(id, from, ask),
            Some(None) => self.arrived = true,
        }
    }

    pub(super) fn say_of_snapshots(&mut self, id: NodeId, to: NodeId, message: SnapshotMessage) {
        let Some(message) = P::Message::snapshot(message) else {
            let detail = "it wants a snapshot, and has no message for one".to_owned();
            return self.fail(Some(id), Finding::new("O18", "no stop without a reason", detail));
        };
        let to = NodeSet::only(to);
        let now = self.actors[id.index()].driver.outbox.offer(to, &message, RecordNumber::ZERO);
        if !now.is_empty() {
            self.transmit(id, now, message);
        }
    }

    pub(super) fn compact(&mut self, id: NodeId, number: RecordNumber, records: Vec<P::Record>) {
        let actor = &mut self.actors[id.index()];
        assert_eq!(number.0, actor.disk.written() as u64 + 1, "one write stream");
        let verdict = self.witness.compacted(id, &records);
        actor.records.clone_from(&records);
        actor.disk.compact(records);
        self.judge(id, verdict);
    }

    /// The replica names an index.
    pub(super) fn read_is_ready(&mut self, id: NodeId, read: u64, index: LogIndex) {
        let Some(asked) = self.asked(id, read) else { return };
        asked.answer = Some(Ok(index));
        let verdict = self.actors[id.index()].floors.named(read, index);
        self.note(id, || format!("may answer read {read} as of {index}"));
        self.judge(id, verdict);
    }

    pub(super) fn refuse_read(&mut self, id: NodeId, read: u64, why: Refusal) {
        if let Some(asked) = self.asked(id, read) {
            asked.answer = Some(Err(why));
        }
        self.actors[id.index()].floors.refused(read);
        self.note(id, || format!("refuses read {read}: {why}"));
    }

    fn asked(&mut self, id: NodeId, read: u64) -> Option<&mut Asked> {
        let place = usize::try_from(read.checked_sub(1)?).ok()?;
        self.actors[id.index()].reads.get_mut(place)
    }

    pub(super) fn announce(&mut self, id: NodeId, membership: Membership, committed: bool) {
        self.note(id, || {
            let how = if committed { "are" } else { "are to be" };
            format!("members {how} {}", members_text(&membership))
        });
        self.witness.announced(id, &membership);
        self.actors[id.index()].members.push((membership, committed));
        self.actors[id.index()].news = true;
    }

    /// O19, once the step in which a node spoke of members is done.
    pub(super) fn check_news(&mut self, id: NodeId) {
        let actor = &mut self.actors[id.index()];
        if !std::mem::take(&mut actor.news) {
            return;
        }
        if let Some((members, true)) = actor.members.last() {
            let verdict = self.witness.committed_members(id, members);
            self.judge(id, verdict);
        }
    }
}

/// Members in a few words, for charts.
fn members_text(members: &Membership) -> String {
    let Membership { version, voters, outgoing, learners, .. } = members;
    let mut text = format!("{voters:?}");
    if !outgoing.is_empty() {
        text.push_str(&format!(" with {outgoing:?}"));
    }
    if !learners.is_empty() {
        text.push_str(&format!(", learning {learners:?}"));
    }
    text.push_str(&format!(", version {version}"));
    text
}
