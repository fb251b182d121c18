//! The normal case (§4.2): pre-prepare, prepare, commit, execute.

use crate::certificates::{
    CommitCertificate, PreparedCertificate, commits_needed, prepares_needed,
};
use crate::config::Config;
use crate::digest::Digest;
use crate::message::{Body, Decided, Message, Sequence, Vote, VotePhase};
use crate::record::Record;
use crate::replica::{Pbft, Phase, Timer, Write};
use crate::requests::{batches, key_of};
use crate::slot::Proposal;
use consensus_core::mutant::planted;
use consensus_core::{Batch, Command, Effects, Env, NodeId, Refusal, Signer, Tag};
use std::sync::Arc;

impl Pbft {
    /// Requests of clients, straight from them: nobody has checked their signatures.
    pub(crate) fn on_propose(&mut self, batch: Batch, env: &Env<'_>, effects: &mut Effects<Self>) {
        let signed = |command: &Command| {
            let bytes = command.signed_bytes(env.cluster.id);
            env.check(Signer::Client(command.client), &bytes, &command.tag)
        };
        let (good, bad): (Vec<Command>, Vec<Command>) = batch.commands().partition(signed);
        if !bad.is_empty() {
            effects.refuse(Batch::of(&bad), Refusal::BadSignature);
        }
        if good.is_empty() {
            return;
        }
        let good = if bad.is_empty() { batch } else { Batch::of(&good) };
        if self.requests.bytes() + good.bytes().len() > self.config.max_pending_bytes {
            effects.reached("too many requests wait");
            return effects.refuse(good, Refusal::Busy);
        }
        self.take_in_lengths(good, effects);
    }

    /// Takes what others would not take in one: a driver may be set to longer batches than get a
    /// number here.
    fn take_in_lengths(&mut self, batch: Batch, effects: &mut Effects<Self>) {
        let longest = Config::longest_batch(self.config.nodes);
        if batch.bytes().len() <= longest {
            return self.take_requests(batch, true, effects);
        }
        let (long, short): (Vec<Command>, Vec<Command>) =
            batch.commands().partition(|command| command.framed_len() > longest);
        if !long.is_empty() {
            effects.refuse(Batch::of(&long), Refusal::TooLarge);
        }
        for batch in batches(short.into_iter(), longest) {
            self.take_requests(batch, true, effects);
        }
    }

    /// A backup relays its clients' requests to the primary, and waits for them to be executed
    /// (§4.1, §4.4): a primary that ignores them loses the view.
    pub(crate) fn take_requests(&mut self, batch: Batch, relay: bool, effects: &mut Effects<Self>) {
        for command in batch.commands() {
            if !self.requests.is_executed(&key_of(&command)) {
                self.requests.wait_for(&command);
            }
        }
        if self.may_order() {
            self.requests.enqueue(batch);
        } else if relay && self.phase == Phase::Normal {
            let primary = self.view.primary(self.config.nodes);
            if primary != self.id {
                let body = Body::Request { batch };
                effects.send(primary, Message { body, tag: Tag::none(), repeat: false });
            }
        }
        self.watch_primary(effects);
    }

    /// May this replica give out numbers? Its pre-prepares leave before they are on disk, so a
    /// primary that restarted may have given numbers that it forgot: it orders only in views
    /// that it entered in this life, and not before its disk knows that it entered them.
    pub(crate) fn may_order(&self) -> bool {
        self.phase == Phase::Normal
            && self.knows_its_numbers
            && self.view.primary(self.config.nodes) == self.id
    }

    /// The primary gives numbers to what waits, up to the high water mark.
    pub(crate) fn order(&mut self, env: &Env<'_>, effects: &mut Effects<Self>) {
        let open = |it: &Self| it.next <= it.high_mark() && it.has_room(it.next, 0);
        if self.may_order() && self.requests.has_queue() && !open(self) {
            effects.reached("primary waits at the high water mark");
        }
        while self.may_order() && self.requests.has_queue() && open(self) {
            let Some(batch) = self.requests.next_batch() else { return };
            let sequence = self.next;
            self.next = sequence.next();
            let digest = Digest::of(env.cluster.id, &batch);
            let vote = Vote { view: self.view, sequence, digest };
            let body = Body::PrePrepare { vote, batch: batch.clone() };
            let message = Message::signed(body, self.id, env);
            self.vote_for(vote, false, effects);
            let tag = message.tag.clone();
            self.slot(sequence).proposal = Some(Proposal { vote, batch, tag });
            effects.send(self.peers(), message);
            self.watch_primary(effects);
        }
    }

    /// Notes the first vote on a number in this view. That of a carried number is noted with the
    /// new-view. A vote from before a restart is written again: the sync of that counts it.
    fn vote_for(&mut self, vote: Vote, carried: bool, effects: &mut Effects<Self>) {
        self.slot(vote.sequence).voted = Some(vote);
        if !carried {
            effects.write(Record::PrePrepared(vote));
        }
        self.writes.wrote(effects.last_needed(), Write::Proposal(vote));
    }

    /// Is this number between the water marks?
    pub(crate) fn in_window(&self, sequence: Sequence) -> bool {
        (sequence > self.low_mark() && sequence <= self.high_mark()) || planted("B08")
    }

    /// May so many bytes of requests get this number? All that has numbers above the stable
    /// checkpoint, but for the last of them, is kept within bounds: a view-change shows it. A
    /// primary that goes by that is believed in whatever order its pre-prepares come, and whichever
    /// are lost; one that does not is not.
    fn has_room(&self, sequence: Sequence, length: usize) -> bool {
        let (mut bytes, mut last) = (0, (sequence, length));
        for (number, slot) in self.slots.range(self.low_mark().next()..) {
            let proposal = slot.proposal.as_ref().filter(|_| slot.view == self.view);
            let Some(proposal) = proposal.filter(|_| *number != sequence) else { continue };
            let other = (*number, proposal.batch.bytes().len());
            bytes += last.min(other).1;
            last = last.max(other);
        }
        bytes < self.config.window_bytes() || planted("B83")
    }

    pub(crate) fn on_pre_prepare(
        &mut self,
        (vote, batch, tag): (Vote, Batch, Tag),
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        let works = self.phase == Phase::Normal && vote.view == self.view;
        let open =
            self.in_window(vote.sequence) && self.has_room(vote.sequence, batch.bytes().len());
        if !works || !open {
            effects.reached("pre-prepare out of view or window");
            return tracing::trace!(?vote, "a pre-prepare out of view or window");
        }
        let slot = self.slot(vote.sequence);
        let voted_otherwise = slot.voted.is_some_and(|it| it.view == vote.view && it != vote);
        let voted_otherwise = voted_otherwise && !planted("B24");
        if voted_otherwise {
            let here = slot.proposal.is_some();
            effects.reached(if here { "second pre-prepare" } else { "voted before the restart" });
        }
        let again = slot.proposal.is_some();
        if (again || voted_otherwise) && !(again && planted("B25")) {
            return; // One pre-prepare a view and number (§4.2).
        }
        self.accept(Proposal { vote, batch, tag }, false, env, effects);
    }

    /// A backup accepts a pre-prepare and says so.
    pub(crate) fn accept(
        &mut self,
        proposal: Proposal,
        carried: bool,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        let vote = proposal.vote;
        if carried && vote.sequence <= self.executed() {
            effects.reached("carried number was executed before");
        }
        if vote.sequence > self.executed() {
            self.requests.on_ordered(&proposal.batch); // Else it was carried, and is done.
        }
        self.slot(vote.sequence).proposal = Some(proposal);
        self.vote_for(vote, carried, effects);
        if self.view.primary(self.config.nodes) != self.id {
            let message = Message::signed(Body::Prepare(vote), self.id, env);
            self.own_tags.insert((vote.sequence, false), message.tag.clone());
            effects.send(self.peers(), message);
        }
        self.watch_primary(effects);
        self.advance(vote.sequence, env, effects);
    }

    pub(crate) fn on_prepare(
        &mut self,
        from: NodeId,
        (vote, tag): (Vote, Tag),
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        if vote.view == self.view && self.phase == Phase::Normal && self.in_window(vote.sequence) {
            self.slot(vote.sequence).prepares.add(from, vote.digest, tag);
            self.advance(vote.sequence, env, effects);
        }
    }

    pub(crate) fn on_commit(
        &mut self,
        from: NodeId,
        (vote, tag): (Vote, Tag),
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        if vote.view == self.view && self.in_window(vote.sequence) {
            if self.phase == Phase::Changing {
                effects.reached("commit counted while the view changes");
            }
            self.slot(vote.sequence).commits.add(from, vote.digest, tag);
            self.advance(vote.sequence, env, effects);
        }
    }

    /// The own votes that reached the disk count from now on.
    pub(crate) fn on_own_vote(&mut self, write: Write, env: &Env<'_>, effects: &mut Effects<Self>) {
        let (vote, commit) = match write {
            Write::Proposal(vote) => (vote, false),
            Write::Prepared(vote) => (vote, true),
            Write::ViewChange(view) => return self.on_own_view_change(view, env, effects),
            Write::NewView(view) => {
                self.knows_its_numbers |= view == self.view && self.phase == Phase::Normal;
                return self.pass_on_requests(effects);
            }
        };
        if vote.view != self.view || vote.sequence <= self.low_mark() {
            effects.reached("own vote durable too late");
            return;
        }
        let id = self.id;
        if let Some(tag) = self.own_tags.get(&(vote.sequence, commit)).cloned() {
            let slot = self.slot(vote.sequence);
            let votes = if commit { &mut slot.commits } else { &mut slot.prepares };
            votes.add(id, vote.digest, tag);
        }
        self.advance(vote.sequence, env, effects);
    }

    /// Does everything that the votes on a number allow.
    pub(crate) fn advance(
        &mut self,
        sequence: Sequence,
        env: &Env<'_>,
        effects: &mut Effects<Self>,
    ) {
        self.try_prepared(sequence, env, effects);
        self.try_committed(sequence, effects);
        self.execute(env, effects);
    }

    /// `prepared(m, v, n, i)`: the pre-prepare and matching prepares of a quorum less the primary.
    fn try_prepared(&mut self, sequence: Sequence, env: &Env<'_>, effects: &mut Effects<Self>) {
        let (id, needed) = (self.id, prepares_needed(self.config.nodes));
        let normal = self.phase == Phase::Normal;
        let slot = self.slot(sequence);
        let Some(proposal) = slot.proposal.clone().filter(|_| normal && !slot.committing) else {
            return;
        };
        let vote = proposal.vote;
        let Some(prepares) = slot.prepares.quorum(vote.digest, needed) else { return };
        slot.committing = true;
        let Proposal { batch, tag: pre_prepare, .. } = proposal;
        let certificate = PreparedCertificate { vote, batch, pre_prepare, prepares };
        slot.prepared = Some(certificate.clone());
        let number = effects.write(Record::Prepared(certificate));
        let message = Message::signed(Body::Commit(vote), id, env);
        self.own_tags.insert((sequence, true), message.tag.clone());
        if planted("B21") {
            self.slot(sequence).commits.add(id, vote.digest, message.tag.clone());
        }
        self.writes.wrote(number, Write::Prepared(vote));
        effects.send(self.peers(), message);
    }

    /// `committed-local(m, v, n, i)`: a quorum of matching commits.
    fn try_committed(&mut self, sequence: Sequence, effects: &mut Effects<Self>) {
        let needed = commits_needed(self.config.nodes);
        let slot = self.slot(sequence);
        let Some(proposal) = slot.proposal.as_ref().filter(|_| slot.decided.is_none()) else {
            return;
        };
        let vote = proposal.vote;
        // Without the own prepared certificate a restart could not show the requests again.
        let kept = slot.prepared.as_ref().is_some_and(|prepared| prepared.vote == vote);
        let commits = slot.commits.quorum(vote.digest, needed);
        if commits.is_some() && !kept {
            effects.reached("commits came before the prepares");
        }
        let Some(commits) = commits.filter(|_| kept) else { return };
        let certificate = CommitCertificate { vote, commits };
        if sequence > self.executed().next() {
            effects.reached("decided behind a gap");
        }
        let slot = self.slot(sequence);
        slot.decided = Some(certificate.clone());
        effects.note(Record::Committed(certificate));
    }

    /// Executes what is decided, in order (§4.2).
    pub(crate) fn execute(&mut self, env: &Env<'_>, effects: &mut Effects<Self>) {
        let before = self.executed();
        while let Some(decided) = self.next_decided() {
            let sequence = self.executed().next();
            effects.commit(sequence, decided.batch.clone());
            self.requests.on_executed(&decided.batch, sequence);
            if !(decided.batch.is_empty() && planted("B28")) {
                let digest = decided.certificate.vote.digest;
                self.history = self.history.then(env.cluster.id, digest);
            }
            self.decided.push(Arc::new(decided));
            self.take_checkpoint(sequence, env, effects);
        }
        // The timer runs for one request, whatever else is executed: a primary that orders other
        // requests, or none, would else keep its view for ever.
        let other = self.watching && self.requests.waits_for_watched() && !planted("B60");
        if self.executed() > before && !other {
            self.on_progress(effects);
        }
    }

    fn next_decided(&self) -> Option<Decided> {
        let slot = self.slots.get(&self.executed().next())?;
        let certificate = slot.decided.clone()?;
        let batch = slot.batch_of(certificate.vote)?.clone();
        Some(Decided { certificate, batch })
    }

    /// What was waited for is executed, or others have shown that they get on: the view works.
    pub(crate) fn on_progress(&mut self, effects: &mut Effects<Self>) {
        if self.phase == Phase::Changing {
            return; // What came from others says nothing about the view that is asked for.
        }
        self.fruitless_views *= u32::from(planted("B68"));
        effects.cancel_timer(Timer::View);
        self.watching = planted("B26");
        self.watch_primary(effects);
    }

    /// The timer of §4.4: runs while a request waits to be executed.
    pub(crate) fn watch_primary(&mut self, effects: &mut Effects<Self>) {
        if self.is_busy() && !self.watching && self.phase == Phase::Normal && !planted("B09") {
            self.watching = true;
            self.requests.watch_next();
            effects.set_timer(Timer::View, self.view_patience());
        }
    }

    /// Is there something to be executed?
    pub(crate) fn is_busy(&self) -> bool {
        let next = self.executed().next();
        let open = || self.slots.range(next..).any(|(_, slot)| slot.proposal.is_some());
        !self.requests.is_idle() || open()
    }

    /// The signature that the primary or a backup gave in this view, for saying it again.
    pub(crate) fn own_statement(&self, sequence: Sequence, phase: VotePhase) -> Option<Message> {
        let slot = self.slots.get(&sequence).filter(|slot| slot.view == self.view)?;
        let proposal = slot.proposal.as_ref()?;
        let vote = proposal.vote;
        let tag = |commit| self.own_tags.get(&(sequence, commit)).cloned();
        let primary = self.view.primary(self.config.nodes) == self.id;
        Some(match phase {
            // Not before the disk knows of the view: a restart might start it differently.
            VotePhase::PrePrepare if primary && (self.knows_its_numbers || planted("B27")) => {
                let body = Body::PrePrepare { vote, batch: proposal.batch.clone() };
                Message::again(body, proposal.tag.clone())
            }
            VotePhase::Prepare if !primary => Message::again(Body::Prepare(vote), tag(false)?),
            VotePhase::Commit if slot.committing => Message::again(Body::Commit(vote), tag(true)?),
            VotePhase::PrePrepare | VotePhase::Prepare | VotePhase::Commit => return None,
        })
    }
}
