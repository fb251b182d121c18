//! Lies that come with proofs: view-changes and new-views (§4.4). The liar starts from something
//! true and gives it a twist.

use super::Liar;
use crate::certificates::{
    CheckpointCertificate, Endorsement, PreparedCertificate, prepares_needed, strong,
};
use crate::digest::Digest;
use crate::message::{
    Body, Carried, Message, NewView, SignedViewChange, View, ViewChange, Vote, VotePhase,
    checkpoint_statement,
};
use crate::view_change::carried_digests;
use consensus_core::{Batch, LogIndex, NodeId, Tag};

impl Liar<'_> {
    pub(super) fn endorse(&self, vote: &Vote, phase: VotePhase) -> Endorsement {
        let bytes = vote.statement(phase, self.env.cluster.id, self.me());
        Endorsement { by: self.me(), tag: self.env.sign(&bytes) }
    }

    /// Signatures for this vote that it has collected, in one phase or in all.
    pub(super) fn collected(&self, vote: Vote, phases: &[VotePhase]) -> Vec<Endorsement> {
        let mut found: Vec<Endorsement> = Vec::new();
        if let Some(slot) = self.replica.slots.get(&vote.sequence)
            && slot.view == vote.view
        {
            for phase in phases {
                match phase {
                    VotePhase::PrePrepare => {}
                    VotePhase::Prepare => found.extend(slot.prepares.of(vote.digest)),
                    VotePhase::Commit => found.extend(slot.commits.of(vote.digest)),
                }
            }
        }
        for envelope in self.heard {
            let phase = match &envelope.message.body {
                Body::PrePrepare { vote: on, .. } if *on == vote => VotePhase::PrePrepare,
                Body::Prepare(on) if *on == vote => VotePhase::Prepare,
                Body::Commit(on) if *on == vote => VotePhase::Commit,
                _ => continue,
            };
            if phases.contains(&phase) {
                let tag = envelope.message.tag.clone();
                found.push(Endorsement { by: envelope.from, tag });
            }
        }
        found.sort_by_key(|endorsement| endorsement.by);
        found.dedup_by_key(|endorsement| endorsement.by);
        found
    }

    /// A list of signatures that does not prove what it should.
    pub(super) fn spoil(&mut self, votes: &mut Vec<Endorsement>, own: Endorsement, needed: usize) {
        match self.roll(6) {
            0 => *votes = vec![own; needed],
            1 => drop(votes.pop()),
            2 => {
                let copies = votes.clone();
                votes.truncate(needed / 2 + 1);
                votes.extend(copies.into_iter().take(needed / 2));
            }
            3 => {
                votes.pop();
                votes.push(Endorsement { by: NodeId(self.env.cluster.size as u8), tag: own.tag });
            }
            4 => {
                votes.pop();
                let by = NodeId(self.roll(self.env.cluster.size) as u8);
                votes.push(Endorsement { by, tag: own.tag });
            }
            _ => {
                let by = |by| Endorsement { by: NodeId(by as u8), tag: own.tag.clone() };
                *votes = (0..needed).map(by).collect();
            }
        }
    }

    pub(super) fn requests_of(&self, digest: Digest) -> Option<Batch> {
        let batches = self.batches();
        let known = batches.into_iter().find(|batch| self.digest_of(batch) == digest).cloned();
        known.or_else(|| (digest == Digest::of_null(self.env.cluster.id)).then(Batch::noop))
    }

    /// Another view of the same primary, so that its signature under the pre-prepare might do.
    pub(super) fn relabelled(&mut self, view: View, below: View) -> View {
        let nodes = self.env.cluster.size as u64;
        let rounds = below.0.saturating_sub(view.0.saturating_add(1)) / nodes;
        let some = (1 + self.roll(4) as u64).min(rounds.max(1));
        View(view.0.saturating_add(nodes * some))
    }

    /// The view-change that an honest replica in its place would send, or one for another view.
    pub(super) fn view_change(&mut self) -> Option<Message> {
        let mut view_change = match self.intended {
            Some(Message { body: Body::ViewChange(honest), .. }) => honest.clone(),
            _ => self.honest_view_change(),
        };
        for _ in 0..=self.roll(2) {
            self.twist_view_change(&mut view_change);
        }
        self.say(Body::ViewChange(view_change))
    }

    fn honest_view_change(&mut self) -> ViewChange {
        let asked = self.replica.view_changes.values().map(|signed| signed.view_change.view);
        let mut views: Vec<View> = asked.collect();
        views.extend([self.replica.view, self.replica.view.next()]);
        let view = self.pick(&views).unwrap_or_default();
        let prepared = self.replica.slots.range(self.replica.low_mark().next()..);
        let prepared = prepared.filter_map(|(_, slot)| slot.prepared.clone());
        let prepared = prepared.filter(|it| it.vote.view < view).collect();
        ViewChange { view, replica: self.me(), stable: self.replica.stable.clone(), prepared }
    }

    fn twist_view_change(&mut self, view_change: &mut ViewChange) {
        match self.roll(11) {
            0 => view_change.prepared.clear(),
            1 => drop(view_change.prepared.pop()),
            2 | 3 => self.relabel(view_change),
            4 => self.spoil_prepared(view_change),
            5 => self.invent_prepared(view_change),
            6 | 7 => self.claim_stable(view_change),
            8 => {
                let ahead = [1, 4, 1 << 20, u64::MAX][self.roll(4)];
                view_change.view = View(view_change.view.0.saturating_add(ahead));
            }
            9 => view_change.replica = NodeId(self.roll(self.env.cluster.size) as u8),
            _ => {
                view_change.stable = None; // An earlier one; or the same number twice.
                let again = view_change.prepared.first().cloned();
                view_change.prepared.extend(again);
            }
        }
    }

    /// Old certificates for a later view.
    fn relabel(&mut self, view_change: &mut ViewChange) {
        let below = view_change.view;
        for place in 0..view_change.prepared.len() {
            let view = view_change.prepared[place].vote.view;
            view_change.prepared[place].vote.view = self.relabelled(view, below);
        }
    }

    fn spoil_prepared(&mut self, view_change: &mut ViewChange) {
        let needed = prepares_needed(self.env.cluster.size);
        let place = self.roll(view_change.prepared.len().max(1));
        let Some(certificate) = view_change.prepared.get_mut(place) else {
            return self.invent_prepared(view_change);
        };
        let own = self.endorse(&certificate.vote, VotePhase::Prepare);
        if self.roll(3) == 0 {
            certificate.batch = Batch::noop();
            if self.roll(2) == 0 {
                certificate.vote.digest = Digest::of_null(self.env.cluster.id);
            }
        } else {
            self.spoil(&mut certificate.prepares, own, needed);
        }
    }

    /// Something else prepared at a number that others may have decided, says nobody but the liar.
    fn invent_prepared(&mut self, view_change: &mut ViewChange) {
        let votes = self.votes();
        let batches = self.batches();
        let batch = self.pick(&batches).cloned().unwrap_or_default();
        let Some(near) = self.pick(&votes) else { return };
        let mine = (0..view_change.view.0).rev().take(self.env.cluster.size).map(View);
        let mine = mine.into_iter().find(|view| view.primary(self.env.cluster.size) == self.me());
        let view = mine.filter(|_| self.roll(2) == 0).unwrap_or(near.view);
        let batch = if self.roll(2) == 0 { batch } else { Batch::noop() };
        let vote = Vote { view, sequence: near.sequence, digest: self.digest_of(&batch) };
        let phases = [VotePhase::Prepare, VotePhase::Commit, VotePhase::PrePrepare];
        let some = self.roll(3);
        let mut prepares = self.collected(vote, &phases[..=some]);
        let own = self.endorse(&vote, VotePhase::Prepare);
        prepares.retain(|prepare| prepare.by != own.by);
        prepares.push(own.clone());
        if self.roll(2) == 0 {
            self.spoil(&mut prepares, own, prepares_needed(self.env.cluster.size));
        }
        let pre_prepare = self.endorse(&vote, VotePhase::PrePrepare).tag;
        let invented = PreparedCertificate { vote, batch, pre_prepare, prepares };
        view_change.prepared.retain(|it| it.vote.sequence != vote.sequence);
        view_change.prepared.push(invented);
        view_change.prepared.sort_by_key(|it| it.vote.sequence);
    }

    /// A stable checkpoint that nobody has proved.
    fn claim_stable(&mut self, view_change: &mut ViewChange) {
        let interval = self.replica.config.checkpoint_interval;
        let next = (self.replica.executed().0 / interval + 1) * interval;
        let numbers = [next, next - interval, next + interval, self.replica.executed().0, 1 << 40];
        let sequence = LogIndex(numbers[self.roll(numbers.len())].max(1));
        let (cluster, history) = (self.env.cluster.id, self.replica.history);
        let bytes = checkpoint_statement(sequence, history, cluster, self.me());
        let own = Endorsement { by: self.me(), tag: self.env.sign(&bytes) };
        let said = self.heard.iter().filter_map(|envelope| match &envelope.message.body {
            Body::Checkpoint { .. } => {
                Some(Endorsement { by: envelope.from, tag: envelope.message.tag.clone() })
            }
            _ => None,
        });
        let needed = strong(self.env.cluster.size);
        let mut votes: Vec<Endorsement> = said.take(needed).collect();
        if self.roll(2) == 0 {
            self.spoil(&mut votes, own, needed);
        }
        view_change.prepared.retain(|it| it.vote.sequence > sequence);
        view_change.stable = Some(CheckpointCertificate { sequence, history, votes });
    }

    /// A new-view that an honest primary in its place would send, with a twist.
    pub(super) fn new_view(&mut self) -> Option<Message> {
        let mut new_view = self.honest_new_view()?;
        let before = new_view.view_changes.clone();
        for _ in 0..=self.roll(2) {
            self.twist_new_view(&mut new_view);
        }
        if new_view.view_changes != before && self.roll(4) != 0 {
            self.carry(&mut new_view); // It follows from the evidence, which is no good.
        }
        self.say(Body::NewView(new_view))
    }

    fn honest_new_view(&mut self) -> Option<NewView> {
        if let Some(Message { body: Body::NewView(honest), .. }) = self.intended {
            return Some(honest.clone());
        }
        let heard = self.heard.iter().filter_map(|envelope| match &envelope.message.body {
            Body::NewView(new_view) => Some(new_view),
            _ => None,
        });
        let heard: Vec<&NewView> = heard.collect();
        if self.roll(2) == 0
            && let Some(shown) = self.pick(&heard)
        {
            return Some(shown.clone());
        }
        // What it collected, be it enough or not, and be it for this view or not.
        let view = self.own_view();
        let said = self.heard.iter().filter_map(|envelope| match &envelope.message {
            Message { body: Body::ViewChange(view_change), tag, .. } => {
                let view_change = view_change.clone();
                Some(SignedViewChange { view_change, tag: tag.clone() })
            }
            _ => None,
        });
        let mut view_changes: Vec<SignedViewChange> = said.collect();
        if self.roll(4) != 0 {
            view_changes.retain(|signed| signed.view_change.view == view);
        }
        view_changes.sort_by_key(|signed| signed.view_change.replica);
        view_changes.dedup_by_key(|signed| signed.view_change.replica);
        let mut new_view =
            NewView { view, view_changes, base: LogIndex::ZERO, carried: Vec::new() };
        self.carry(&mut new_view);
        Some(new_view)
    }

    fn twist_new_view(&mut self, new_view: &mut NewView) {
        let null = Digest::of_null(self.env.cluster.id);
        match self.roll(10) {
            0 => drop(new_view.view_changes.pop()),
            1 => {
                let again = new_view.view_changes.first().cloned();
                new_view.view_changes.pop();
                new_view.view_changes.extend(again);
            }
            2 | 3 => {
                for signed in &mut new_view.view_changes {
                    signed.view_change.prepared.clear();
                }
            }
            4 => {
                for signed in &mut new_view.view_changes {
                    signed.view_change.stable = None;
                }
            }
            5 | 6 => self.change_own(new_view),
            7 => {
                let place = self.roll(new_view.carried.len().max(1));
                new_view.carried.iter_mut().skip(place).take(1).for_each(|it| it.digest = null);
                self.sign_carried(new_view);
            }
            8 => {
                new_view.base = LogIndex(new_view.base.0.saturating_add(1 + self.roll(8) as u64));
            }
            _ => {
                let own = self.env.sign(b"nothing");
                match self.roll(3) {
                    0 => drop(new_view.carried.pop()),
                    1 => new_view.carried.push(Carried { digest: null, tag: own }),
                    _ => new_view.carried.iter_mut().for_each(|it| it.tag = Tag::none()),
                }
            }
        }
    }

    /// In this one its own view-change says something else than in that one.
    fn change_own(&mut self, new_view: &mut NewView) {
        let me = self.me();
        let own = new_view.view_changes.iter().position(|it| it.view_change.replica == me);
        let Some(place) = own else { return };
        let mut view_change = new_view.view_changes[place].view_change.clone();
        self.twist_view_change(&mut view_change);
        view_change.view = new_view.view;
        let tag = self.env.sign(&view_change.statement(self.env.cluster.id));
        new_view.view_changes[place] = SignedViewChange { view_change, tag };
    }

    /// `O` as it follows from the evidence.
    fn carry(&self, new_view: &mut NewView) {
        let follows = carried_digests(self.env.cluster.id, &new_view.view_changes);
        let Some((base, digests)) = follows else { return };
        new_view.base = base;
        let carry = |digest| Carried { digest, tag: Tag::none() };
        new_view.carried = digests.into_iter().map(carry).collect();
        self.sign_carried(new_view);
    }

    fn sign_carried(&self, new_view: &mut NewView) {
        let numbers = new_view.base.0.saturating_add(1)..;
        for (carried, number) in new_view.carried.iter_mut().zip(numbers) {
            let sequence = LogIndex(number);
            let vote = Vote { view: new_view.view, sequence, digest: carried.digest };
            carried.tag = self.endorse(&vote, VotePhase::PrePrepare).tag;
        }
    }
}
