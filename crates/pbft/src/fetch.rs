//! What it takes to survive loss: saying things again, and asking for what one lacks. The paper
//! leaves it to "retransmission"; Castro's thesis (§5.2) has status messages for it.

use crate::certificates::{CheckpointCertificate, weak};
use crate::message::{Body, Decided, Message, Sequence, View, VotePhase};
use crate::record::Record;
use crate::replica::{Pbft, Phase, Timer};
use crate::slot::Slot;
use consensus_core::mutant::planted;
use consensus_core::{Batch, Effects, Env, NodeId, NodeSet, Tag};
use std::sync::Arc;

/// Numbers whose votes are said again at a time.
const REPEATED: usize = 16;

/// A replica that knows of nothing to do still says how far it is, every so many ticks.
const IDLE_TICKS: u32 = 8;

impl Pbft {
    /// Every so often: is there something that does not move?
    pub(crate) fn on_repeat(&mut self, env: &Env<'_>, effects: &mut Effects<Self>) {
        effects.set_timer(Timer::Repeat, self.config.repeat);
        self.ticks = self.ticks.wrapping_add(1);
        self.answered = NodeSet::EMPTY;
        if self.ticks.is_multiple_of(IDLE_TICKS / 2) && !planted("B46") {
            self.shown = NodeSet::EMPTY;
        }
        self.repeat_view_change(env, effects);
        let next = self.executed().next();
        let idle = self.seen_at_tick == self.executed();
        let weak = weak(self.config.nodes);
        let is_open = |slot: &Slot| slot.is_open(self.view, weak);
        let stuck = idle && self.slots.range(next..).any(|(_, slot)| is_open(slot));
        self.seen_at_tick = self.executed();
        if stuck {
            effects.reached("votes said again");
            self.repeat_votes(effects);
        }
        let waits_long = self.requests.waits_long();
        if idle {
            let first = self.requests.all(self.config.max_batch_bytes).next();
            self.repeat_request(first, effects);
        } else {
            self.repeat_request(waits_long, effects);
        }
        let lags = std::mem::take(&mut self.was_shown) || self.low_mark() > self.executed();
        let lags = lags || (idle && self.own_unstable().is_some());
        if stuck || lags || self.ticks.is_multiple_of(IDLE_TICKS) {
            let (view, stable) = (self.view_in_full(), self.low_mark());
            let body = Body::Fetch { view, from: next, stable };
            effects.send(self.peers(), Message::signed(body, self.id, env));
        }
        if self.ticks.is_multiple_of(IDLE_TICKS)
            && let Some(checkpoint) = self.own_unstable()
            && !planted("B67")
        {
            effects.send(self.peers(), Message { repeat: true, ..checkpoint.clone() });
        }
    }

    /// The last view of which nothing is missing here. Of the one that is waited for, it may be
    /// the new-view: it is sent once, and who has heard all view-changes says its own to nobody
    /// any more.
    fn view_in_full(&self) -> View {
        match self.phase {
            Phase::Changing if !planted("B98") => View(self.view.0.saturating_sub(1)),
            Phase::Changing | Phase::Normal => self.view,
        }
    }

    /// A request that got lost on its way to the primary must not cost it the view.
    fn repeat_request(&self, batch: Option<Batch>, effects: &mut Effects<Self>) {
        let primary = self.view.primary(self.config.nodes);
        if self.phase == Phase::Normal
            && primary != self.id
            && let Some(batch) = batch
        {
            let body = Body::Request { batch };
            effects.reached("request relayed again");
            effects.send(primary, Message { body, tag: Tag::none(), repeat: true });
        }
    }

    fn repeat_votes(&self, effects: &mut Effects<Self>) {
        let open = self.slots.range(self.executed().next()..).map(|(sequence, _)| *sequence);
        for sequence in open.take(REPEATED) {
            for phase in [VotePhase::PrePrepare, VotePhase::Prepare, VotePhase::Commit] {
                if let Some(message) = self.own_statement(sequence, phase) {
                    effects.send(self.peers(), message);
                }
            }
        }
    }

    /// A replica says how far it is.
    pub(crate) fn on_fetch(
        &mut self,
        from: NodeId,
        (view, first, stable): (View, Sequence, Sequence),
        effects: &mut Effects<Self>,
        env: &Env<'_>,
    ) {
        if view < self.view {
            self.show_view(from, effects);
        }
        // A short question draws a long answer. Who lacks something asks once a tick: it gets one.
        if !self.answered.insert(from) && !planted("B97") {
            return;
        }
        let mut bytes = 0;
        let fits = |decided: &&Arc<Decided>| {
            let first = bytes == 0;
            bytes += 512 + decided.batch.bytes().len();
            first || bytes <= self.config.max_fetched_bytes
        };
        let place = if planted("B47") { first.0 } else { first.0 - 1 };
        let known = usize::try_from(place).ok().and_then(|start| self.decided.get(start..));
        let known = known.unwrap_or_default().iter();
        let decided: Vec<Decided> =
            known.take_while(fits).map(|decided| Decided::clone(decided)).collect();
        if !decided.is_empty() {
            effects.reached("decided requests shown to who lacks them");
            if self.executed().0 >= first.0 + decided.len() as u64 {
                effects.reached("decided requests in several pages");
            }
        }
        // A checkpoint is said again until it is stable, and no longer: who has missed a quorum's
        // words by then is shown the proof (§4.3), or it would refuse whatever is beyond its marks.
        let stable = self.stable.clone().filter(|own| own.sequence > stable && !planted("B90"));
        let lacks_votes = decided.is_empty() && first <= self.executed().next();
        if !decided.is_empty() || stable.is_some() {
            let body = Body::Fetched { decided, stable };
            effects.send(from, Message::signed(body, self.id, env));
        }
        if lacks_votes {
            // It lacks what is being decided: the votes on that may have been lost on the way.
            for phase in [VotePhase::PrePrepare, VotePhase::Prepare, VotePhase::Commit] {
                if let Some(message) = self.own_statement(first, phase) {
                    effects.send(from, message);
                }
            }
        }
    }

    /// Another replica shows what was decided; the proofs were checked.
    pub(crate) fn on_fetched(
        &mut self,
        decided: Vec<Decided>,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        let before = self.executed();
        for one in decided {
            let sequence = one.certificate.vote.sequence;
            if sequence == self.executed().next() {
                effects.reached("number executed from another's proof");
                effects.note(Record::Fetched(one.clone()));
                self.execute_fetched(one, env, effects);
                self.execute(env, effects);
            }
        }
        if self.executed() > before {
            self.was_shown = true;
            self.on_progress(effects);
        }
    }

    /// Another replica shows that a checkpoint is stable; the proof was checked.
    pub(crate) fn on_stable_shown(
        &mut self,
        stable: Option<CheckpointCertificate>,
        effects: &mut Effects<Self>,
    ) {
        if let Some(stable) = stable {
            self.make_stable(stable, effects);
        }
    }
}
