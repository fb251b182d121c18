//! Carrying out what a step wants: disk, timers, commits, answers.

use super::event::Event;
use super::{World, node::Slot};
use crate::oracle::history::key_of;
use crate::report::Finding;
use crate::traitor::Treason;
use bytes::Bytes;
use consensus_core::{
    Answer, Answers, Audit, Authenticator, Batch, Delay, Effect, Executed, FaultModel, Input,
    LogIndex, NodeId, RecordNumber, Refusal, Reply, RequestId, StateMachine, Tag, Takes,
};

impl<P: Audit, S: StateMachine> World<P, S> {
    /// Does what the last step wants, in order; a crash may come between any two effects.
    pub(super) fn carry_out(&mut self, id: NodeId) {
        let mut effects = std::mem::take(&mut self.effects);
        self.nodes[id.index()].wants(&mut effects);
        let before = self.last_committed();
        for effect in effects.drain(..) {
            let up = self.nodes[id.index()].replica.is_some();
            if !up || self.violation.is_some() || self.burns_out(id) {
                break;
            }
            if matches!(effect, Effect::Send { .. }) && self.dies_of_news(id, before) {
                break;
            }
            self.apply_effect(id, effect);
            if let Some(tape) = &mut self.tape {
                tape.effect();
            }
        }
        self.effects = effects;
        self.dies_of_news(id, before);
    }

    /// Crashes a node that was the first to commit something in this step, if it is to die of that.
    fn dies_of_news(&mut self, id: NodeId, before: LogIndex) -> bool {
        let node = &self.nodes[id.index()];
        let news = self.last_committed() > before && self.violation.is_none();
        let dies = news && node.dies_of_news && node.replica.is_some();
        if dies {
            self.mark("crash right after a commit");
            self.crash(id);
        }
        dies
    }

    /// Is this the moment at which the node crashes, in the midst of a step?
    fn burns_out(&mut self, id: NodeId) -> bool {
        let Some(fuse) = &mut self.nodes[id.index()].fuse else { return false };
        if *fuse > 0 {
            *fuse -= 1;
            return false;
        }
        self.mark("crash between two effects of a step");
        self.crash(id);
        true
    }

    fn apply_effect(&mut self, id: NodeId, effect: Effect<P>) {
        match effect {
            Effect::Write { number, record, needed } => self.write(id, number, record, needed),
            Effect::Send { to, message, after } => {
                assert!(!to.contains(id), "a replica sends nothing to itself");
                let now = self.nodes[id.index()].driver.outbox.offer(to, &message, after);
                if !now.is_empty() {
                    self.transmit(id, now, message);
                }
            }
            Effect::SetTimer { timer, delay } => self.set_timer(id, timer, delay),
            Effect::CancelTimer { timer } => {
                if let Some(slot) = self.nodes[id.index()].timers.get_mut(&timer) {
                    slot.deadline = None;
                }
            }
            Effect::Commit { index, batch } => {
                let replica = self.nodes[id.index()].replica.as_ref();
                let kept = replica.and_then(|replica| replica.decided(index));
                assert!(kept.is_none_or(|kept| *kept == batch), "{index}: another batch is kept");
                self.commit(id, index, &batch);
            }
            Effect::Refuse { batch, why } => self.refuse(id, &batch, why),
            Effect::Compact { number, records } => self.compact(id, number, records),
            Effect::Fetch { from } => self.fetch(id, from),
            Effect::Snapshot { from, message } => self.about_snapshots(id, from, *message),
            Effect::Ready { read, index } => self.read_is_ready(id, read, index),
            Effect::RefuseRead { read, why } => self.refuse_read(id, read, why),
            Effect::Members { membership, committed } => {
                self.announce(id, membership, committed);
            }
            Effect::RefuseChange { why } => self.refuse_change(id, why),
        }
    }

    fn write(&mut self, id: NodeId, number: RecordNumber, record: P::Record, needed: bool) {
        self.tell(|| {
            let verb = if needed { "writes" } else { "notes" };
            format!("{id} {verb} record {} {record:?}", number.0)
        });
        if self.nodes[id.index()].disk_full {
            self.fault("disk full");
            return self.crash(id);
        }
        let node = &mut self.nodes[id.index()];
        let written = node.disk.written() as u64 + 1;
        assert_eq!(number.0, written, "records are numbered without gap");
        node.counters.writes += 1;
        let verdict = self.disks.wrote(id.index(), &record);
        node.disk.append(record, needed);
        if self.is_correct(id) {
            self.judge(id, verdict);
        }
    }

    /// Starts a sync if a record waits for one and none runs. It covers what was written so far.
    pub(super) fn begin_sync(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.index()];
        let Some(upto) = node.disk.begin_sync() else { return };
        if node.doomed {
            self.mark("crash before a sync");
            return self.crash(id);
        }
        node.counters.syncs += 1;
        let (life, nth) = (node.life, node.counters.syncs);
        node.sync = Some((nth, upto));
        let takes = self.setup.disk.sync.draw(&mut self.rng).as_nanos() as u64;
        let at = (self.now + takes).max(node.stalled_until);
        self.queue.push(at, Event::Synced { node: id, life, nth });
    }

    /// The disk works again: a sync that is under way ends now.
    pub(super) fn end_stall(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.index()];
        let stalled = std::mem::take(&mut node.stalled_until) > self.now;
        if let Some((nth, _)) = node.sync.filter(|_| stalled) {
            self.queue.push(self.now, Event::Synced { node: id, life: node.life, nth });
        }
    }

    pub(super) fn end_sync(&mut self, id: NodeId, life: u32, nth: u64) {
        let node = &mut self.nodes[id.index()];
        if node.replica.is_none() || node.life != life {
            return; // The sync of an earlier life: the crash decided what it covered.
        }
        let Some((_, upto)) = node.sync.take_if(|(running, _)| *running == nth) else {
            return; // It ended when the disk's stall did.
        };
        if node.sync_fails {
            self.fault("sync failed");
            return self.crash(id);
        }
        let new = node.disk.end_sync(upto);
        self.disks.synced(id.index(), new);
        self.chronicle_synced(id, upto);
        let upto = RecordNumber(upto as u64);
        let released = self.nodes[id.index()].driver.released(upto);
        self.fold(2, u64::from(id.0), upto.0);
        self.tell(|| format!("{id} synced up to record {}", upto.0));
        for (to, message) in released {
            self.transmit(id, to, message);
        }
        let node = &mut self.nodes[id.index()];
        node.disk_news.synced(upto);
        let due = node.replica.as_ref().and_then(|replica| node.disk_news.due(replica));
        if self.setup.turns.is_none() || due.is_some() {
            return self.input(id, Input::Durable(upto));
        }
        let (unsynced, in_turn) = (node.disk.unsynced(), node.in_turn);
        self.mark("a replica is not told of its disk");
        if let Some(tape) = self.tape() {
            // A stage tells it.
            tape.input(id, &Input::<P>::Durable(upto), unsynced);
            tape.rest();
        }
        if !in_turn {
            self.begin_sync(id);
        }
    }

    /// Nodes with much to do are told of their disks only when they wait for that, which may be
    /// later.
    pub(super) fn tell_durable(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.index()];
        let due = node.replica.as_ref().and_then(|replica| node.disk_news.due(replica));
        if let Some(upto) = due.filter(|_| self.setup.turns.is_some()) {
            self.mark("a replica is told of its disk late");
            self.step(id, Input::Durable(upto));
        }
    }

    fn set_timer(&mut self, id: NodeId, timer: P::Timer, delay: Delay) {
        let drawn = self.rng.time(delay.min, delay.max);
        let at = self.now + self.by_clock_of(id, drawn);
        let node = &mut self.nodes[id.index()];
        let slot: &mut Slot = node.timers.entry(timer).or_default();
        slot.deadline = Some(at);
        if slot.pending.is_none_or(|pending| pending > at) {
            slot.pending = Some(at);
            self.queue.push(at, Event::Timer { node: id, life: node.life, timer, at });
        }
    }

    pub(super) fn timer(&mut self, id: NodeId, life: u32, timer: P::Timer, at: u64) {
        let node = &mut self.nodes[id.index()];
        if node.replica.is_none() || node.life != life {
            return;
        }
        let Some(slot) = node.timers.get_mut(&timer) else { return };
        if slot.pending != Some(at) {
            return; // The timer was set to fire earlier; another event does that.
        }
        slot.pending = None;
        match slot.deadline {
            None => {}
            Some(deadline) if deadline > self.now => {
                slot.pending = Some(deadline);
                self.queue.push(deadline, Event::Timer { node: id, life, timer, at: deadline });
            }
            Some(_) => {
                slot.deadline = None;
                self.fold(3, u64::from(id.0), 0);
                self.tell(|| format!("{id} timer {timer:?}"));
                self.input(id, Input::Timer(timer));
            }
        }
    }

    fn commit(&mut self, id: NodeId, index: LogIndex, batch: &Batch) {
        if self.is_correct(id) {
            if !self.witness_commit(id, index, batch) {
                return;
            }
        } else if index != self.nodes[id.index()].executor.applied().next() {
            return; // A traitor may believe anything.
        }
        self.tell(|| format!("{id} commits {index} {batch:?}"));
        let mut executed = std::mem::take(&mut self.executed);
        let node = &mut self.nodes[id.index()];
        node.executor.execute(index, batch, |one| executed.push(one));
        let news = index > node.answered;
        node.answered = node.answered.max(index);
        if !news && node.life > 1 {
            self.mark("log replayed after a restart");
        }
        self.compare_states(id, index);
        for one in executed.drain(..) {
            self.answer(id, one, news);
        }
        self.executed = executed;
    }

    /// O1, O2, O4, O6, O16 at a commit of a correct node.
    fn witness_commit(&mut self, id: NodeId, index: LogIndex, batch: &Batch) -> bool {
        let before = self.nodes[id.index()].executor.applied();
        let led = self.epochs.highest();
        let first = match self.history.commit(before, index, batch, self.now, led) {
            Ok(first) => first,
            Err(finding) => {
                self.fail(Some(id), finding);
                return false;
            }
        };
        if first {
            let correct = self.correct();
            let verdict = self.disks.durable(index, batch, correct, &self.electorates(index));
            if !self.judge(id, verdict) {
                return false;
            }
            if self.nodes[id.index()].life > 1 {
                self.mark("first commit by a restarted replica");
            }
        }
        let replica = self.nodes[id.index()].replica.as_ref().expect("it has just stepped");
        let Some(certificate) = replica.certificate(index) else { return true };
        let own = self.disks.proves(id.index(), index, batch.fingerprint());
        let nodes = (self.correct(), self.setup.cluster.nodes());
        let electorates = self.electorates(index);
        let verdict = self.claims.certified(id, index, &certificate, nodes, &electorates, own);
        self.judge(id, verdict)
    }

    /// O15, at every so many indices, against whoever was there first.
    fn compare_states(&mut self, id: NodeId, index: LogIndex) {
        let Some(every) = self.setup.compare_states_every else { return };
        if index.0.is_multiple_of(every) && self.is_correct(id) {
            self.compare_state_of(id);
        }
    }

    /// O15, now.
    pub(crate) fn compare_state_of(&mut self, id: NodeId) {
        let executor = &self.nodes[id.index()].executor;
        let verdict = self.states.compare(executor.applied(), executor.fingerprint());
        self.judge(id, verdict);
    }

    /// Tells a client what became of its command. Where one replica's word is enough only the one
    /// that was asked answers.
    fn answer(&mut self, id: NodeId, executed: Executed, news: bool) {
        let key = key_of(&executed.command);
        let waiting = self.nodes[id.index()].waiting.remove(&key);
        let done = matches!(executed.answer, Answer::Done { .. });
        if waiting.is_some() && done && !executed.applied && key.2 != RequestId::OPEN {
            self.mark("retry answered from the session table");
        }
        let (client, attempt) = match (P::INFO.answers, waiting) {
            (_, Some(waiting)) => (waiting.client, waiting.attempt),
            (Answers::ClientReplica, None) => return,
            (Answers::All, None) if !news => return,
            (Answers::All, None) => match self.client_of(key.0) {
                Some(client) => (client, 0),
                None => return,
            },
        };
        let answer = match executed.answer {
            Answer::Done { position, .. } if self.treason[id.index()] == Treason::LieToClients => {
                self.fault(Treason::LieToClients.name());
                Answer::Done { position, result: Bytes::from_static(b"a lie") }
            }
            answer => answer,
        };
        self.reply(id, client, attempt, key, answer);
    }

    fn refuse(&mut self, id: NodeId, batch: &Batch, why: Refusal) {
        for command in batch.commands() {
            let key = key_of(&command);
            if let Some(waiting) = self.nodes[id.index()].waiting.remove(&key) {
                let answer = Answer::Refused(why);
                self.reply(id, waiting.client, waiting.attempt, key, answer);
            }
        }
    }

    /// A leader was deposed: what it took is in other hands now.
    pub(super) fn answer_lost(&mut self, id: NodeId) {
        if P::INFO.takes != Takes::Leader || self.violation.is_some() {
            return;
        }
        let node = &mut self.nodes[id.index()];
        let leader = node.status.and_then(|status| status.leader);
        for (key, waiting) in std::mem::take(&mut node.waiting) {
            self.mark("command lost by a deposed leader");
            self.reply(id, waiting.client, waiting.attempt, key, Answer::Lost(leader));
        }
    }

    pub(super) fn reply(
        &mut self,
        from: NodeId,
        client: usize,
        attempt: u32,
        key: crate::oracle::history::Key,
        answer: Answer,
    ) {
        let (name, session, request) = key;
        // Negative control: f + 1 of them convince a client of anything. It is the others whom they
        // are to divide.
        let too_many = self.setup.traitors.len() > P::INFO.max_faults(self.setup.cluster.size);
        if too_many && !self.is_correct(from) {
            return;
        }
        let tag = Tag::none();
        let mut reply = Reply { from, client: name, session, request, attempt, answer, tag };
        if P::INFO.answers == Answers::All {
            let bytes = reply.signed_bytes(self.setup.cluster.id);
            reply.tag = self.keys[from.index()].sign(&bytes);
        }
        self.send_reply(client, reply);
    }

    /// A record was refused at recovery, and the like.
    pub(super) fn cannot_recover(&mut self, id: NodeId, why: String) {
        if self.is_correct(id) || P::INFO.faults == FaultModel::Crash {
            self.fail(Some(id), Finding::new("O18", "no stop without a reason", why));
        }
    }
}
