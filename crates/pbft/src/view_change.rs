//! View changes (§4.4): when a primary fails, the next one starts from what a quorum can prove.

use crate::certificates::{PreparedCertificate, new_view_needed, weak};
use crate::config::NEW_VIEW;
use crate::digest::Digest;
use crate::message::{
    Body, Carried, Message, NewView, Sequence, SignedViewChange, View, ViewChange, Vote, VotePhase,
};
use crate::record::Record;
use crate::replica::{Pbft, Phase, Timer, Write};
use crate::slot::Proposal;
use consensus_core::mutant::planted;
use consensus_core::{Batch, ClusterId, Delay, Effects, Env, LogIndex, NodeId};
use std::collections::BTreeMap;
use std::sync::Arc;

/// How often a timeout is doubled at most. The paper names no bound (§4.5.2).
const MOST_DOUBLINGS: u32 = 10;

/// A view-change is said again every so many ticks: it is long and takes long to check.
const VIEW_CHANGE_TICKS: u32 = 4;

/// How often that, too, is doubled at most with views that bring nothing.
const MOST_SPARSE: u32 = 3;

/// No new-view carries more numbers than this.
const CARRIED_LIMIT: u64 = 1 << 16;

/// `min-s` and the digests of `O` (§4.4): for every number above the latest stable checkpoint in
/// `V`, up to the highest that prepared, the digest that prepared in the latest view, or that of
/// the null request. `None` if the numbers make no sense.
pub(crate) fn carried_digests(
    cluster: ClusterId,
    view_changes: &[SignedViewChange],
) -> Option<(Sequence, Vec<Digest>)> {
    let stable = view_changes.iter().filter_map(|signed| signed.view_change.stable.as_ref());
    let mut stable = stable.map(|stable| stable.sequence);
    let base = if planted("B43") { stable.next() } else { stable.max() };
    let base = base.unwrap_or(LogIndex::ZERO);
    let latest = latest_certificates(view_changes);
    let top = latest.keys().next_back().copied().unwrap_or(base).max(base);
    if top.0 - base.0 > CARRIED_LIMIT {
        return None;
    }
    let null = Digest::of_null(cluster);
    let digest_at = |number| {
        let certificate = latest.get(&LogIndex(number));
        let forgets = planted("B06");
        certificate.filter(|_| !forgets).map_or(null, |certificate| certificate.vote.digest)
    };
    Some((base, (base.0 + 1..=top.0).map(digest_at).collect()))
}

/// For each number the certificate of the latest view.
fn latest_certificates(
    view_changes: &[SignedViewChange],
) -> BTreeMap<Sequence, &PreparedCertificate> {
    let mut latest: BTreeMap<Sequence, &PreparedCertificate> = BTreeMap::new();
    for certificate in view_changes.iter().flat_map(|signed| &signed.view_change.prepared) {
        let kept = latest.entry(certificate.vote.sequence).or_insert(certificate);
        let later = kept.vote.view < certificate.vote.view;
        if later != planted("B06b") {
            *kept = certificate;
        }
    }
    latest
}

impl Pbft {
    /// How long to wait for the current view: twice as long after each view without progress
    /// (§4.5.2), up to a bound, or a long bad time would be followed by a long wait.
    pub(crate) fn view_patience(&self) -> Delay {
        let most = if planted("B09b") { 0 } else { MOST_DOUBLINGS };
        let most = if planted("B94") { 3 } else { most };
        self.config.view_timeout.times(1 << self.fruitless_views.min(most))
    }

    /// The timer expired: this view brings nothing.
    pub(crate) fn give_up_view(&mut self, env: &Env<'_>, effects: &mut Effects<Self>) {
        effects.reached("view given up");
        self.fruitless_views += 1;
        if self.fruitless_views > 2 {
            effects.reached("third view without progress");
        }
        self.start_view_change(self.view.next(), env, effects);
    }

    /// Stops taking part in the old view and asks for this one.
    pub(crate) fn start_view_change(
        &mut self,
        view: View,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        assert!(view > self.view, "views only rise");
        self.view = view;
        self.phase = Phase::Changing;
        self.watching = false;
        effects.cancel_timer(Timer::View);
        let number = effects.write(Record::ViewChange(view));
        self.writes.wrote(number, Write::ViewChange(view));
        effects.send(self.peers(), self.own_view_change(env));
    }

    fn own_view_change(&self, env: &Env<'_>) -> Message {
        let first = self.low_mark().next();
        let prepared = self.slots.range(if planted("B32") { first.next() } else { first }..);
        let prepared = prepared.filter_map(|(_, slot)| slot.prepared.clone()).collect();
        let stable = self.stable.clone();
        let view_change = ViewChange { view: self.view, replica: self.id, stable, prepared };
        Message::signed(Body::ViewChange(view_change), self.id, env)
    }

    /// The own view-change is on disk and counts.
    pub(crate) fn on_own_view_change(
        &mut self,
        view: View,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        if view == self.view
            && self.phase == Phase::Changing
            && let Message { body: Body::ViewChange(view_change), tag, .. } =
                self.own_view_change(env)
        {
            self.on_view_change(SignedViewChange { view_change, tag }, env, effects);
        }
    }

    pub(crate) fn on_view_change(
        &mut self,
        signed: SignedViewChange,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        let (view, replica) = (signed.view_change.view, signed.view_change.replica);
        if view < self.view || (view == self.view && self.phase == Phase::Normal) {
            effects.reached("view-change for a view that works or is over");
            return self.show_view(replica, effects); // It does not know that this view works.
        }
        if !self.is_between_marks(&signed) {
            return tracing::debug!(?replica, "a view-change beyond its own water marks");
        }
        let known = self.view_changes.get(&replica);
        if known.is_some_and(|known| known.view_change.view >= view) {
            return self.answer_view_change(view, replica, env, effects);
        }
        self.view_changes.insert(replica, Arc::new(signed));
        self.join_others(env, effects);
        self.count_view_changes(env, effects);
    }

    /// Nothing prepares at a correct replica beyond its high water mark (§4.2), and marks only
    /// rise.
    fn is_between_marks(&self, signed: &SignedViewChange) -> bool {
        signed.view_change.span() <= self.config.window || planted("B87")
    }

    /// §4.5.2: if f + 1 replicas ask for higher views, one of them is correct: ask for the
    /// smallest of them, too.
    fn join_others(&mut self, env: &Env<'_>, effects: &mut Effects<Self>) {
        let higher = self.view_changes.values().map(|signed| signed.view_change.view);
        let mut higher: Vec<View> = higher.filter(|view| *view > self.view).collect();
        higher.sort_unstable();
        if higher.len() >= weak(self.config.nodes) && !planted("B33") {
            effects.reached("joined f + 1 others");
            let view = if planted("B54") { higher[higher.len() - 1] } else { higher[0] };
            self.start_view_change(view, env, effects);
        }
    }

    /// When a quorum has left the views below, the timer of this view starts; when a quorum asks
    /// for just this one, its primary speaks. The paper's timer waits for the latter (§4.5.2), but
    /// of those who left some may have gone further, while their word for this view got lost.
    fn count_view_changes(&mut self, env: &Env<'_>, effects: &mut Effects<Self>) {
        if self.phase != Phase::Changing {
            return;
        }
        let needed = new_view_needed(self.config.nodes);
        let view = self.view;
        let left = self.view_changes.values().filter(|it| it.view_change.view >= view).count();
        if left >= needed && !self.watching {
            self.watching = true;
            self.fruitless_views = self.fruitless_views.max(1);
            effects.set_timer(Timer::View, self.view_patience());
        }
        if view.primary(self.config.nodes) == self.id
            && let Some(quorum) = self.shortest_quorum()
        {
            self.start_view(quorum, env, effects);
        }
    }

    /// A quorum that asks for this view, and whose words fit a new-view together. A liar can fill
    /// its own with certificates that are true and over long since, so the shortest are taken;
    /// those of correct replicas fit, and all of them come.
    fn shortest_quorum(&self) -> Option<Vec<SignedViewChange>> {
        let needed = new_view_needed(self.config.nodes);
        let all = self.view_changes.values();
        let mut quorum: Vec<_> = all.filter(|it| it.view_change.view == self.view).collect();
        if quorum.len() < needed {
            return None;
        }
        quorum.sort_by_key(|signed| signed.view_change.length());
        quorum.truncate(needed);
        let bytes: usize = quorum.iter().map(|signed| signed.view_change.length()).sum();
        if bytes > NEW_VIEW && !planted("B86") {
            tracing::debug!(bytes, "view-changes that fit no new-view");
            return None;
        }
        quorum.sort_by_key(|signed| signed.view_change.replica);
        Some(quorum.into_iter().map(|signed| SignedViewChange::clone(signed)).collect())
    }

    /// The new primary computes `O`, shows `V`, and begins.
    fn start_view(
        &mut self,
        view_changes: Vec<SignedViewChange>,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        let Some((base, digests)) = carried_digests(env.cluster.id, &view_changes) else {
            return tracing::debug!("view-changes that carry too much");
        };
        mark_what_is_carried(&view_changes, &digests, env, effects);
        let view = self.view;
        let sign = |(digest, sequence): (Digest, u64)| {
            let vote = Vote { view, sequence: LogIndex(sequence), digest };
            let tag = env.sign(&vote.statement(VotePhase::PrePrepare, env.cluster.id, self.id));
            Carried { digest, tag }
        };
        let carried = digests.into_iter().zip(base.0 + 1..).map(sign).collect();
        let new_view = NewView { view, view_changes, base, carried };
        let message = Message::signed(Body::NewView(new_view.clone()), self.id, env);
        self.enter_view(new_view, message.tag.clone(), env, effects);
        effects.send(self.peers(), message);
    }

    /// A backup hears of a new view whose evidence was checked.
    pub(crate) fn on_new_view(
        &mut self,
        new_view: NewView,
        (env, tag): (&Env<'_>, consensus_core::Tag),
        effects: &mut Effects<Self>,
    ) {
        let entered = new_view.view == self.view && self.phase == Phase::Normal;
        let between = new_view.view_changes.iter().all(|signed| self.is_between_marks(signed));
        if new_view.view >= self.view && !entered && between {
            self.enter_view(new_view, tag, env, effects);
        }
    }

    /// Starts to work in a view: its carried numbers are proposals like any other.
    fn enter_view(
        &mut self,
        new_view: NewView,
        tag: consensus_core::Tag,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        self.view = new_view.view;
        self.phase = Phase::Normal;
        self.knows_its_numbers &= planted("B35");
        self.watching = false;
        effects.cancel_timer(Timer::View);
        self.own_tags.clear();
        if !planted("B40") {
            self.requests.on_new_view();
        }
        self.view_changes.retain(|_, signed| signed.view_change.view > new_view.view);
        let (view, base) = (new_view.view, new_view.base);
        let carried = new_view.carried.iter().map(|carried| carried.digest).collect();
        let number = effects.write(Record::NewView { view, base, carried });
        self.writes.wrote(number, Write::NewView(view));
        let stable = new_view.view_changes.iter().filter_map(|it| it.view_change.stable.clone());
        if let Some(stable) = stable.max_by_key(|stable| stable.sequence) {
            if stable.sequence > self.low_mark() {
                effects.reached("stable checkpoint learned from a new-view");
            }
            if stable.sequence > self.executed() {
                effects.reached("new view begins beyond what was executed here");
            }
            self.make_stable(stable, effects);
        }
        let top = LogIndex(base.0 + new_view.carried.len() as u64);
        if !planted("B41") {
            self.next = top.max(self.low_mark()).next();
        }
        let proposals = proposals_of(&new_view);
        self.new_view = Some(Arc::new(Message::again(Body::NewView(new_view), tag)));
        for proposal in proposals {
            let sequence = proposal.vote.sequence;
            if sequence > self.low_mark() {
                self.accept(proposal, true, env, effects);
            }
        }
    }

    /// What waits goes to the new primary, or is ordered by it, once the disk knows of the view.
    pub(crate) fn pass_on_requests(&mut self, effects: &mut Effects<Self>) {
        let waiting: Vec<Batch> = self.requests.all(self.config.max_batch_bytes).collect();
        for batch in waiting {
            self.take_requests(batch, true, effects);
        }
    }

    /// Shows a replica that lags behind the view that works; not too often, as a new-view is long
    /// and takes long to check.
    pub(crate) fn show_view(&mut self, to: NodeId, effects: &mut Effects<Self>) {
        if self.phase == Phase::Normal
            && to != self.id
            && let Some(new_view) = &self.new_view
            && self.shown.insert(to)
        {
            effects.reached("new-view shown to who missed it");
            effects.send(to, Message::clone(new_view));
        }
    }

    /// Says the own view-change again to those who have not asked for as much; it was not enough
    /// yet. Rarer with every view that brings nothing: where links are too slow for it, more of it
    /// makes them slower.
    pub(crate) fn repeat_view_change(&self, env: &Env<'_>, effects: &mut Effects<Self>) {
        let sparse = self.fruitless_views.min(MOST_SPARSE);
        let due = self.ticks.is_multiple_of(VIEW_CHANGE_TICKS << sparse) && !planted("B42");
        let heard = self.view_changes.values().map(|signed| &signed.view_change);
        let heard = heard.filter(|it| it.view >= self.view).map(|it| it.replica).collect();
        let unheard = self.peers().minus(heard);
        if self.phase == Phase::Changing && due && !unheard.is_empty() {
            effects.reached("view-change said again");
            let message = Message { repeat: true, ..self.own_view_change(env) };
            effects.send(unheard, message);
        }
    }

    /// Who says again what was heard has not heard this replica: it says it to nobody else.
    fn answer_view_change(
        &mut self,
        view: View,
        to: NodeId,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        let asks = self.phase == Phase::Changing && view == self.view && to != self.id;
        if asks && !planted("B95") && self.shown.insert(to) {
            effects.send(to, Message { repeat: true, ..self.own_view_change(env) });
        }
    }
}

/// Tells rigs of the rare things that a new view starts with.
fn mark_what_is_carried(
    view_changes: &[SignedViewChange],
    digests: &[Digest],
    env: &Env<'_>,
    effects: &mut Effects<Pbft>,
) {
    let null = Digest::of_null(env.cluster.id);
    for digest in digests {
        let gap = *digest == null;
        effects.reached(if gap { "null request fills a gap" } else { "prepared number carried" });
    }
    let latest = latest_certificates(view_changes);
    let older = |certificate: &PreparedCertificate| {
        latest
            .get(&certificate.vote.sequence)
            .is_some_and(|it| it.vote.view > certificate.vote.view)
    };
    if view_changes.iter().flat_map(|signed| &signed.view_change.prepared).any(older) {
        effects.reached("certificates of two views for one number");
    }
}

/// The pre-prepares of a new view with their requests, which are in the certificates.
fn proposals_of(new_view: &NewView) -> Vec<Proposal> {
    let latest = latest_certificates(&new_view.view_changes);
    let numbers = new_view.base.0 + 1..;
    let propose = |(carried, number): (&Carried, u64)| {
        let sequence = LogIndex(number);
        let vote = Vote { view: new_view.view, sequence, digest: carried.digest };
        let certificate = latest.get(&sequence).filter(|it| it.vote.digest == carried.digest);
        let batch = certificate.map_or_else(Batch::noop, |it| it.batch.clone());
        Proposal { vote, batch, tag: carried.tag.clone() }
    };
    new_view.carried.iter().zip(numbers).map(propose).collect()
}
