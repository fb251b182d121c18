//! Forgetting what a snapshot covers, and being brought up to date by one. The papers leave it out;
//! "Paxos Made Live" (Chandra, Griesemer, Redstone, PODC 2007, §5.5) tells what it takes.
//!
//! A snapshot is a statement about what is chosen: any replica may take one from any other, under
//! any ballot. It replaces slots, never votes: an acceptor keeps what it accepted beyond.

use crate::config::Config;
use crate::learner::Learner;
use crate::message::Message;
use crate::node::Node;
use crate::record::Record;
use crate::replica::{MultiPaxos, Out, Role};
use consensus_core::mutant::planted;
use consensus_core::{Effects, Env, LogIndex, NodeId, NodeSet, SnapshotMeta};
use std::collections::BTreeMap;

/// Replicas that a leader told to take a snapshot and that have not caught up since. The slots
/// after these are kept for them: a busy leader would else have forgotten, by the time that a
/// snapshot is carried over, what follows it, again and again.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Receivers(BTreeMap<NodeId, LogIndex>);

impl Receivers {
    /// A replica asks for what is chosen from this slot on.
    fn asked(&mut self, from: NodeId, first: LogIndex, learner: &Learner) {
        if first <= learner.base() {
            let after = self.0.entry(from).or_insert(learner.snapshot());
            if *after < learner.base() {
                *after = learner.snapshot(); // It took too long.
            }
        } else if let Some(after) = self.0.get_mut(&from) {
            *after = first.previous().max(*after);
        }
    }

    /// A replica says how far it knows what is chosen.
    pub(crate) fn knows(&mut self, replica: NodeId, known: LogIndex) {
        if let Some(after) = self.0.get_mut(&replica) {
            *after = known.max(*after);
        }
    }

    /// There is a snapshot. Who knows all that it covers has caught up.
    fn covered(&mut self, snapshot: LogIndex, effects: &mut Effects<MultiPaxos>) {
        let before = self.0.len();
        self.0.retain(|_, after| *after < snapshot);
        if self.0.len() < before {
            effects.reached("caught up after a snapshot");
        }
    }

    /// Nothing is kept for who was not heard.
    pub(crate) fn retain(&mut self, heard: NodeSet) {
        self.0.retain(|replica, _| heard.contains(*replica) || planted("M121"));
    }

    /// What may be forgotten of what a snapshot covers, if it were so much without these.
    fn spare(&self, node: &Node, snapshot: LogIndex, forget: LogIndex) -> LogIndex {
        let Some(needed) = self.0.values().min().filter(|_| !planted("M120")) else {
            return forget;
        };
        if planted("M150") {
            return forget.min(*needed);
        }
        let Config { held_entries, held_bytes, .. } = node.config;
        let most = (held_entries, held_bytes);
        let bound = node.learner.start_of_last(snapshot, most, &node.acceptor);
        forget.min(bound.max(*needed))
    }
}

impl MultiPaxos {
    /// A replica that asks a leader is kept what follows the snapshot that it takes.
    pub(crate) fn remember_receiver(&mut self, from: NodeId, first: LogIndex) {
        if let Role::Leader(leader) = &mut self.role {
            leader.receivers.asked(from, first, &self.node.learner);
        }
    }

    /// A snapshot of the own state is on disk: slots that it covers may go, but for those that a
    /// replica a little behind may still ask for.
    pub(crate) fn on_snapshot_taken(&mut self, meta: &SnapshotMeta, effects: Out<'_>) {
        let node = &mut self.node;
        if meta.index > node.learner.upto() {
            effects.halt(format!("a snapshot of slot {}, which is not executed", meta.index));
            return;
        }
        node.learner.covered(meta.index);
        let Config { trailing_entries, trailing_bytes, .. } = node.config;
        let trailing_bytes = if planted("M151") { usize::MAX } else { trailing_bytes };
        let most = (trailing_entries, trailing_bytes);
        let forget = node.learner.start_of_last(meta.index, most, &node.acceptor);
        let forget = match &mut self.role {
            Role::Leader(leader) => {
                leader.receivers.covered(meta.index, effects);
                leader.receivers.spare(node, meta.index, forget)
            }
            Role::Follower(_) | Role::Canvasser(_) | Role::Scout(_) => forget,
        };
        let forget = if planted("M71") { meta.index.next() } else { forget };
        if forget > node.learner.base() {
            effects.reached("slots forgotten");
            node.forget_upto(forget);
            node.compact(effects);
        }
    }

    /// The state machine was restored from another replica's snapshot.
    pub(crate) fn on_snapshot_installed(
        &mut self,
        meta: SnapshotMeta,
        env: &Env<'_>,
        effects: Out<'_>,
    ) {
        if meta.index <= self.node.learner.upto() {
            self.on_snapshot_taken(&meta, effects);
            return;
        }
        if matches!(self.role, Role::Leader(_)) && !planted("M72") {
            // Its followers take its word for what they accepted from it, see `Leader`.
            self.become_beaten(env, effects);
        }
        effects.reached("snapshot installed");
        if self.node.acceptor.last() > meta.index {
            effects.reached("snapshot installed below accepted slots");
        }
        self.node.install(meta, effects);
        self.node.compact(effects);
    }

    /// Another replica has forgotten slots that this one asked for, or proposed in.
    pub(crate) fn on_forgotten(
        &mut self,
        from: NodeId,
        upto: LogIndex,
        env: &Env<'_>,
        effects: Out<'_>,
    ) {
        if upto <= self.node.learner.upto() {
            return;
        }
        if matches!(self.role, Role::Leader(_)) {
            self.become_beaten(env, effects);
        }
        effects.reached("snapshot asked for");
        effects.fetch(from);
    }

    /// What is to be kept beside a snapshot of everything up to a slot. Who was never told the
    /// members cannot tell others.
    pub(crate) fn meta(&self, index: LogIndex) -> Option<SnapshotMeta> {
        let learner = &self.node.learner;
        if index < learner.base() || index > learner.upto() {
            return None;
        }
        let members = if planted("M73") {
            learner.members().current()
        } else {
            learner.members().as_of(index)
        };
        let known = !members.voters.is_empty();
        known.then(|| SnapshotMeta { index, epoch: 0, membership: members.clone() })
    }
}

impl Learner {
    /// What others told is written although the acceptor may hold the same: it may still accept
    /// another value there, under a lower ballot than the one that got this one chosen.
    fn record_choices(&self, records: &mut Vec<Record>) {
        let mut noted = self.base();
        for (slot, batch) in self.told().filter(|_| !planted("M76")) {
            if slot.previous() > noted {
                records.push(Record::Chosen { upto: slot.previous() });
            }
            records.push(Record::Learned { slot, batch: batch.clone() });
            noted = slot;
        }
        if self.upto() > noted {
            records.push(Record::Chosen { upto: self.upto() });
        }
    }
}

impl Node {
    /// Slots up to here are forgotten.
    pub(crate) fn forget_upto(&mut self, slot: LogIndex) {
        self.learner.forget_upto(slot);
        self.acceptor.forget_upto(slot);
    }

    /// Everything up to the snapshot's slot is chosen and applied. What the acceptor accepted
    /// beyond it stays.
    pub(crate) fn install(&mut self, meta: SnapshotMeta, effects: &mut Effects<MultiPaxos>) {
        self.acceptor.forget_upto(meta.index);
        if planted("M74") {
            self.acceptor.forget_upto(self.acceptor.last());
        }
        self.members_durable = self.members_durable.max(meta.membership.version);
        self.members_written = self.members_written.max(self.members_durable);
        self.learner.install(meta);
        let members = self.learner.members().current();
        effects.members(members.clone(), members.version <= self.finished);
        self.learner.hand_out(&self.acceptor, effects);
    }

    /// Writes what there is to remember in place of all that was written.
    pub(crate) fn compact(&mut self, effects: &mut Effects<MultiPaxos>) {
        let records = self.records();
        self.learner.noted_all();
        effects.compact(records);
    }

    /// The records from which recovery makes this very acceptor and learner. Acceptances go by
    /// ballot, as they would have been written.
    pub(crate) fn records(&self) -> Vec<Record> {
        let Self { acceptor, learner, .. } = self;
        let base = learner.base();
        let mut records = Vec::new();
        if base > LogIndex::ZERO {
            let as_of = if planted("M130") { learner.upto() } else { base };
            let members = Box::new(learner.members().as_of(as_of).clone());
            records.push(Record::Forgotten { upto: base, members });
        }
        let mut accepted: Vec<_> = acceptor.accepted_from(base).collect();
        if !planted("M132") {
            accepted.sort_by_key(|(slot, accepted)| (accepted.ballot, *slot));
        }
        for (slot, accepted) in accepted {
            let (ballot, batch) = (accepted.ballot, accepted.batch.clone());
            records.push(Record::Accepted { ballot, slot, batch });
        }
        if !planted("M75") {
            records.push(Record::Promised { ballot: acceptor.promised() });
        }
        learner.record_choices(&mut records);
        records
    }

    /// Tells who asks for forgotten slots that they are.
    pub(crate) fn say_forgotten(&self, to: NodeId, effects: &mut Effects<MultiPaxos>) {
        effects.reached("asked for forgotten slots");
        effects.send(to, Message::Forgotten { upto: self.learner.base() });
    }
}
