//! A stage as a laboratory table: a test carries every message, syncs every disk and pulls every
//! plug by hand, and names nodes by plain numbers. After every step the oracles are asked, and the
//! replica's own invariants.

mod post;

use super::{Scene, Stage};
use crate::scenario::{Action, Cut, Step};
use consensus_core::{
    Audit, Batch, Change, ChangeRefusal, ClientId, Cluster, ClusterId, Command, Delay, Fingerprint,
    Input, Membership, NodeId, NodeSet, ProtocolConfig, ReadMode, Refusal, RequestId, Role,
    SessionId, SnapshotMeta, Status, Tag,
};
use core::time::Duration;
use std::ops::Range;

/// Replicas on a table. Whatever is found wrong is a panic: it is for tests.
pub struct Table<P: Audit> {
    stage: Stage<P>,
}

/// A batch of one command that says this, of a client of its own.
pub fn saying(text: &str) -> Batch {
    let payload = bytes::Bytes::copy_from_slice(text.as_bytes());
    let client = ClientId(Fingerprint::of(text).0);
    let (session, request) = (SessionId(u64::MAX), RequestId(1));
    Batch::of(&[Command { client, session, request, payload, tag: Tag::none() }])
}

fn node(id: usize) -> NodeId {
    NodeId(id as u8)
}

impl<P: Audit> Table<P> {
    /// So many replicas with empty disks and the usual settings.
    ///
    /// # Panics
    /// If there is no such cluster.
    pub fn new(size: usize) -> Self {
        Self::set_up(size, |_| {})
    }

    /// The same with other settings.
    ///
    /// # Panics
    /// If there is no such cluster.
    pub fn set_up(size: usize, settings: impl FnOnce(&mut P::Config)) -> Self {
        let cluster = Cluster::new(ClusterId(1), size);
        let mut config = P::Config::for_cluster(&cluster).expect("a cluster");
        settings(&mut config);
        Self::with(cluster, config)
    }

    /// Replicas with empty disks. Disks are done at once, until [`slow_disks`](Self::slow_disks).
    pub fn with(cluster: Cluster, config: P::Config) -> Self {
        let mut scene = Scene::new(cluster, config);
        scene.instant = scene.cluster.nodes();
        Self::set(scene)
    }

    /// Replicas as a scene has them. What its disks hold at first, clients have asked for.
    pub fn set(scene: Scene<P>) -> Self {
        let mut stage = Stage::new(scene);
        stage.believe_disks();
        stage.look_closely();
        stage.keep_sent();
        Self { stage }
    }

    /// The stage underneath.
    pub fn stage(&self) -> &Stage<P> {
        &self.stage
    }

    /// The cluster.
    pub fn cluster(&self) -> &Cluster {
        self.stage.cluster()
    }

    /// Disks wait for [`sync`](Self::sync).
    pub fn slow_disks(&mut self) {
        self.stage.set_instant(NodeSet::EMPTY);
    }

    /// The disks of these wait for it, and those of all others are done at once.
    pub fn slow_disks_of(&mut self, slow: NodeSet) {
        self.stage.set_instant(self.cluster().nodes().minus(slow));
    }

    /// Disks are done at once, from the next step on.
    pub fn quick_disks(&mut self) {
        self.stage.set_instant(self.cluster().nodes());
    }

    /// For tests in which replicas lie, or whose settings the oracles do not know.
    pub fn without_oracles(&mut self) {
        self.stage.without_oracles();
    }

    /// How many replicas there are.
    pub fn size(&self) -> usize {
        self.cluster().size
    }

    /// All of them.
    pub fn ids(&self) -> Range<usize> {
        0..self.size()
    }

    /// Does something to a replica, and asks the oracles and its invariants.
    ///
    /// # Panics
    /// If one of them is broken.
    pub fn on(&mut self, id: usize, act: impl FnOnce(&mut Stage<P>, NodeId)) {
        act(&mut self.stage, node(id));
        assert_eq!(self.stage.violation(), None);
    }

    /// Pulls the plug. Of the writes that were not synced the first `kept` reach the disk.
    pub fn crash(&mut self, id: usize, kept: usize) {
        self.stage.crash(node(id), kept);
    }

    /// A new life, on what the disk kept.
    pub fn restart(&mut self, id: usize) {
        self.on(id, |stage, id| stage.restart(id));
    }

    /// An operator wants this replica to lead.
    pub fn campaign(&mut self, id: usize) {
        self.on(id, |stage, id| stage.campaign(id));
    }

    /// One input, and no `Drained` after it.
    pub fn give(&mut self, id: usize, input: Input<P>) {
        self.on(id, |stage, id| stage.give(id, input));
    }

    /// The disk has everything that was written.
    pub fn sync(&mut self, id: usize) {
        self.on(id, |stage, id| stage.sync(id));
    }

    /// A disk is done with what was written but for so many records, the last.
    pub fn sync_but(&mut self, id: usize, but: usize) {
        self.on(id, |stage, id| stage.sync_but(id, but));
    }

    /// A client asks for a command that says this.
    pub fn propose(&mut self, id: usize, text: &str) {
        self.on(id, |stage, id| stage.propose(id, saying(text)));
    }

    /// An operator asks for other members, as the replica sees them.
    pub fn change(&mut self, id: usize, wish: impl FnOnce(Change) -> Change) {
        let (seen, _) = self.members(id);
        self.on(id, |stage, id| stage.change(id, wish(Change::of(&seen))));
    }

    /// The members as a replica said last, and whether that is final.
    pub fn members(&self, id: usize) -> (Membership, bool) {
        self.stage.members(node(id)).cloned().unwrap_or_default()
    }

    /// How often a replica spoke of members.
    pub fn announcements(&self, id: usize) -> usize {
        self.stage.announced(node(id)).len()
    }

    /// Who votes, as a replica sees it.
    pub fn voters(&self, id: usize) -> Vec<usize> {
        self.members(id).0.voters.iter().map(NodeId::index).collect()
    }

    /// Why changes of members were refused.
    pub fn refused_changes(&self, id: usize) -> &[ChangeRefusal] {
        self.stage.refused_changes(node(id))
    }

    /// An operator wants the leader to hand over.
    pub fn transfer(&mut self, id: usize, to: usize) {
        self.on(id, |stage, id| stage.transfer(id, node(to)));
    }

    /// A client reads at a replica. The name of the read.
    pub fn read(&mut self, id: usize, mode: ReadMode) -> usize {
        let mut read = 0;
        self.on(id, |stage, id| read = stage.read(id, mode));
        read as usize
    }

    /// What became of a read: the index as of which it may be answered, or why it will not be.
    pub fn answer(&self, id: usize, read: usize) -> Option<Result<u64, Refusal>> {
        let answer = self.stage.reads(node(id))[read - 1].answer;
        answer.map(|answer| answer.map(|index| index.0))
    }

    /// A snapshot of all that the replica has executed.
    ///
    /// # Panics
    /// If there is nothing new.
    pub fn snapshot(&mut self, id: usize) {
        self.on(id, |stage, id| assert!(stage.snapshot(id), "there is something new"));
    }

    /// The same, if there is something new, saved at once.
    pub fn try_snapshot(&mut self, id: usize) {
        self.on(id, |stage, id| {
            if stage.snapshot(id) {
                stage.save(id, false);
            }
        });
    }

    /// The same, and it is being written until [`save`](Self::save), whatever its disk is like.
    ///
    /// # Panics
    /// If there is nothing new.
    pub fn begin_snapshot(&mut self, id: usize) {
        let instant = std::mem::take(&mut self.stage.instant);
        self.snapshot(id);
        self.stage.instant = instant;
    }

    /// The replica's own snapshot is durable, and it is told so.
    ///
    /// # Panics
    /// If none waits for that.
    pub fn save(&mut self, id: usize) {
        self.on(id, |stage, id| assert!(stage.save(id, false), "a snapshot waits"));
    }

    /// The same, but the plug is pulled before the replica has done anything about it.
    ///
    /// # Panics
    /// If none waits for that.
    pub fn save_and_crash(&mut self, id: usize) {
        let action = Action::Save { node: node(id), received: false };
        let step = Step { action, cut: Some(Cut { after: 0, keep: 0 }), at: None };
        self.on(id, |stage, _| stage.perform(&step).expect("a snapshot waits"));
    }

    /// What stands beside the newest durable snapshot of a replica.
    ///
    /// # Panics
    /// If it has none.
    pub fn snapshot_meta(&self, id: usize) -> SnapshotMeta {
        self.stage.snapshot_meta(node(id)).expect("it has a snapshot").clone()
    }

    /// A snapshot that was received is durable.
    pub fn save_received(&mut self, id: usize) {
        self.on(id, |stage, id| {
            stage.save(id, true);
        });
    }

    /// Fires a timer.
    ///
    /// # Panics
    /// If it is not set.
    pub fn fire(&mut self, id: usize, timer: P::Timer) {
        assert!(self.timer(id, timer).is_some(), "{timer:?} is not set");
        self.on(id, |stage, id| stage.fire(id, timer));
    }

    /// How long a timer runs, if it is set.
    pub fn timer(&self, id: usize, timer: P::Timer) -> Option<Delay> {
        self.stage.timers(node(id)).get(&timer).copied()
    }

    /// All timers that are set.
    pub fn timers(&self, id: usize) -> Vec<P::Timer> {
        self.stage.timers(node(id)).keys().copied().collect()
    }

    /// Did this rare thing (`Audit::MARKS`) happen at a replica, in any life?
    pub fn has_reached(&self, id: usize, mark: &str) -> bool {
        self.stage.has_reached(node(id), mark)
    }

    /// Time passes until this moment, and nothing else happens.
    ///
    /// # Panics
    /// If no time passes here: the scene has no clocks.
    pub fn wait_until(&mut self, moment: Duration) {
        self.stage.wait_until(moment).expect("time passes here");
    }

    /// Makes a replica leader of the others, all of which answer.
    ///
    /// # Panics
    /// If that does not make it leader.
    pub fn elect(&mut self, id: usize) {
        self.campaign(id);
        self.carry_all();
        assert_eq!(self.replica(id).status().role, Role::Leader, "n{id} is elected");
    }

    /// What a replica committed, from index 1.
    pub fn committed(&self, id: usize) -> &[Batch] {
        self.stage.committed(node(id))
    }

    /// The same in words, one for each entry: what its first command says.
    pub fn words(&self, id: usize) -> Vec<String> {
        let text = |batch: &Batch| match batch.commands().next() {
            Some(command) => String::from_utf8_lossy(&command.payload).into_owned(),
            None => "no-op".to_owned(),
        };
        self.committed(id).iter().map(text).collect()
    }

    /// Why it would not take what it was asked, each time.
    pub fn refused(&self, id: usize) -> Vec<Refusal> {
        self.stage.refused(node(id)).iter().map(|(_, why)| *why).collect()
    }

    /// What it wrote, without what was replaced.
    pub fn disk(&self, id: usize) -> &[P::Record] {
        self.stage.disk(node(id))
    }

    /// Does it run?
    pub fn is_up(&self, id: usize) -> bool {
        self.stage.replica(node(id)).is_some()
    }

    /// What a replica says of itself.
    ///
    /// # Panics
    /// If it is down.
    pub fn status(&self, id: usize) -> Status {
        self.replica(id).status()
    }

    /// A replica.
    ///
    /// # Panics
    /// If it is down.
    pub fn replica(&self, id: usize) -> &P {
        self.stage.replica(node(id)).expect("it runs")
    }
}
