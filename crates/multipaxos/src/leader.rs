//! Phase 2 under a ballot that a quorum promised (PMS §3): slots are proposed in without asking
//! anew, many at a time. Each open slot has a commander, as in PMMC.

use crate::acceptor::cost;
use crate::commander::{Electorate, Open};
use crate::compaction::Receivers;
use crate::config::{Commits, Sending};
use crate::follower::retry;
use crate::message::{Accept, Message, after};
use crate::node::Node;
use crate::reads::Confirmation;
use crate::replica::{MultiPaxos, Timer};
use crate::scout::Scout;
use crate::transfer::Transfer;
use crate::votes::Votes;
use consensus_core::mutant::planted;
use consensus_core::{
    Ballot, Batch, ChangeRefusal, Delay, Effects, Env, LogIndex, Membership, NodeId, NodeSet,
    RecordNumber, Refusal, Run,
};
use std::collections::{BTreeMap, VecDeque};

/// Proposes, counts, and keeps its place.
///
/// A leader learns what is chosen from the votes it counts, and from nobody else: its followers
/// take its word for what they accepted from it, and a value that another ballot chose later may
/// be another one than it proposed.
///
/// * `ballot` is what the acceptor next door has promised.
/// * Every slot below `next` is open or known to be chosen.
/// * Nothing is proposed in the slots after a change of members before a quorum of them promised.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leader {
    pub(crate) ballot: Ballot,
    pub(crate) phase: Phase,
    /// Who promised, and what was reported and not proposed yet.
    pub(crate) scout: Scout,
    /// The last slot in which phase 1 said what to propose.
    pub(crate) adopted: LogIndex,
    /// The members that are to be proposed once nothing is open.
    pub(crate) wish: Option<Membership>,
    /// The members in force, and the slot that says so.
    pub(crate) members: NodeSet,
    pub(crate) version: LogIndex,
    pub(crate) electorate: Electorate,
    /// Members before, who may not know that they are no longer.
    pub(crate) leaving: NodeSet,
    /// Reads and the lease.
    pub(crate) confirmation: Confirmation,
    /// Handing over.
    pub(crate) transfer: Option<Transfer>,
    /// The others were told at once that slots up to here are chosen; where that is done.
    announced: LogIndex,
    /// Did not accept in time when just a quorum was asked.
    pub(crate) slow: NodeSet,
    /// How gladly the others would lead.
    pub(crate) priorities: BTreeMap<NodeId, u8>,
    /// One of a higher priority had its chance.
    pub(crate) preferred: bool,
    /// The disk, when the quorum was checked last.
    disk: Disk,
    /// How far each other replica knows what is chosen.
    pub(crate) known: BTreeMap<NodeId, LogIndex>,
    /// The slot of the next new proposal.
    pub(crate) next: LogIndex,
    /// Open slots from here on were not sent to anybody yet: what comes in one burst travels
    /// together.
    unsent: LogIndex,
    /// Slots that are proposed in and not yet executed.
    pub(crate) open: Open,
    /// Commands that wait for room in the window. They have no slot and left no trace.
    queue: VecDeque<Batch>,
    queue_bytes: usize,
    /// Who answered since the quorum was checked last.
    pub(crate) heard: NodeSet,
    /// Who takes a snapshot, and what is kept for it.
    pub(crate) receivers: Receivers,
    /// Slots below were open when unanswered accepts were sent again last.
    aged: LogIndex,
}

/// May the leader propose?
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Yes.
    Open,
    /// Nothing new, as an operator wants other members: first all that is open has to be chosen.
    Draining,
    /// Nothing after this slot, in which it proposed a change of members.
    Change(LogIndex),
    /// The change is chosen; its members have still to promise.
    Asking,
}

/// How far the write stream reached, and how far it is on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Disk {
    written: RecordNumber,
    durable: RecordNumber,
}

impl Disk {
    fn of(node: &Node, effects: &Effects<MultiPaxos>) -> Self {
        Self { written: effects.last_needed(), durable: node.durable }
    }
}

impl Leader {
    /// What is left over where everything is chosen and executed.
    pub(crate) fn leftover(&self) -> Option<&'static str> {
        let kept = [
            (self.open.slots() > 0 || self.open.bytes() > 0, "open slots"),
            (!self.queue.is_empty() || self.queue_bytes > 0, "commands without a slot"),
            (!self.confirmation.is_idle(), "reads"),
            (self.transfer.is_some(), "a hand-over"),
            (self.wish.is_some() || self.phase != Phase::Open, "a change of members"),
        ];
        kept.into_iter().find(|(is_kept, _)| *is_kept).map(|(_, what)| what)
    }

    /// A scout's ballot is promised by a quorum: proposes what phase 1 demands, and begins to
    /// serve.
    pub(crate) fn new(
        scout: Scout,
        node: &mut Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) -> Self {
        let mut leader = Self {
            ballot: scout.ballot,
            phase: Phase::Open,
            adopted: LogIndex::ZERO,
            wish: None,
            members: node.learner.members().current().members(),
            version: node.version(),
            electorate: Electorate::of(node),
            leaving: NodeSet::EMPTY,
            confirmation: Confirmation::default(),
            transfer: None,
            announced: node.learner.upto(),
            slow: NodeSet::EMPTY,
            priorities: BTreeMap::new(),
            preferred: false,
            disk: Disk::of(node, effects),
            known: BTreeMap::new(),
            receivers: Receivers::default(),
            next: node.first_unchosen(),
            unsent: node.first_unchosen(),
            open: Open::default(),
            queue: VecDeque::new(),
            queue_bytes: 0,
            heard: scout.promised_by(),
            scout,
            aged: LogIndex::ZERO,
        };
        leader.beat(node, env, effects);
        effects.set_timer(Timer::Retry, retry(env));
        effects.set_timer(Timer::CheckQuorum, Delay::fixed(env.cluster.timing.election_max));
        if node.learner.last() > node.learner.upto() {
            effects.reached("new leader knows a choice behind a gap");
        }
        leader.adopt(node, effects);
        leader
    }

    /// Commands of clients. They wait until the driver has drained its input, and then for room in
    /// the window; if too much waits they are handed back.
    pub(crate) fn propose(&mut self, batch: Batch, node: &Node, effects: &mut Effects<MultiPaxos>) {
        let pending = self.open.bytes() + self.queue_bytes;
        if self.transfer.is_some() {
            effects.reached("busy: handing over");
            effects.refuse(batch, Refusal::Busy);
            return;
        }
        if pending > 0 && pending + cost(&batch) > node.config.max_pending_bytes {
            effects.reached("leader is busy");
            effects.refuse(batch, Refusal::Busy);
            return;
        }
        self.queue_bytes += cost(&batch);
        self.queue.push_back(batch);
    }

    /// Proposes what waits, as far as there is room.
    #[inline]
    pub(crate) fn fill_window(&mut self, node: &mut Node, effects: &mut Effects<MultiPaxos>) {
        if !self.queue.is_empty() {
            self.propose_queued(node, effects);
        }
    }

    fn propose_queued(&mut self, node: &mut Node, effects: &mut Effects<MultiPaxos>) {
        while let (false, Phase::Open, None) = (self.queue.is_empty(), self.phase, self.transfer) {
            let batches = self.take_queued(node);
            if batches.is_empty() {
                effects.reached("window full");
                return;
            }
            let first = self.next;
            self.next = after(first, batches.len());
            self.propose_run(first, batches.clone(), node, effects);
            if self.unsent == first {
                self.unsent = self.next;
                self.send_new(first, batches, node, effects);
            }
        }
    }

    /// What may be proposed of what waits: as much as the window and one message take.
    fn take_queued(&mut self, node: &Node) -> Run<Batch> {
        let config = &node.config;
        let (mut bytes, mut slots) = (self.open.bytes(), self.open.slots());
        let (mut count, mut length) = (0, 0);
        for batch in &self.queue {
            let cost = cost(batch);
            let room = bytes + cost <= config.window_bytes && slots < config.window_slots;
            let fits = count == 0 || length + cost <= config.max_message_bytes;
            if (slots > 0 && !room) || !fits {
                break;
            }
            bytes += cost;
            length += cost;
            slots += 1;
            count += 1;
        }
        if !planted("M52") {
            self.queue_bytes -= length;
        }
        Run::taken_from_front(&mut self.queue, count)
    }

    /// Phase 2a: proposes a value in a slot, to the acceptor next door, too.
    pub(crate) fn propose_in(
        &mut self,
        slot: LogIndex,
        batch: Batch,
        node: &mut Node,
        effects: &mut Effects<MultiPaxos>,
    ) {
        self.propose_run(slot, batch.into(), node, effects);
    }

    /// The same in slots without gap, of which the first is given.
    fn propose_run(
        &mut self,
        first: LogIndex,
        batches: Run<Batch>,
        node: &mut Node,
        effects: &mut Effects<MultiPaxos>,
    ) {
        assert!(!node.learner.knows_any(first, batches.len()), "proposing in a chosen slot");
        let mut accepted = Votes::default();
        if planted("M24") {
            accepted.add(node.id);
        }
        let bytes = batches.iter().map(cost).sum();
        self.open.propose(first, batches.len(), bytes, accepted);
        node.accept_own(self.ballot, first, batches, effects);
        self.unsent = self.unsent.min(first);
    }

    /// Sends what was proposed since the driver drained its input last: slots without gap in one
    /// message, as far as one message goes.
    fn send_accepts(&mut self, node: &Node, effects: &mut Effects<MultiPaxos>) {
        while self.unsent < self.next {
            let first = self.unsent;
            let (mut bytes, mut end) = (0, first);
            let fits = |(slot, batch): &(LogIndex, &Batch)| {
                let follows = *slot == end || planted("M112");
                let cost = cost(batch);
                let fits = follows && (bytes == 0 || bytes + cost <= node.config.max_message_bytes);
                bytes += cost;
                end = end.next();
                fits
            };
            let slots = self.open.from(first).map(|(slot, _)| slot);
            let values = slots.filter_map(|slot| Some((slot, node.acceptor.value(slot)?)));
            let run = values.take_while(fits);
            let batches: Run<Batch> = run.map(|(_, batch)| batch.clone()).collect();
            self.unsent = after(first, batches.len().max(1));
            if !batches.is_empty() {
                self.send_new(first, batches, node, effects);
            }
        }
    }

    /// Asks for the first time.
    fn send_new(
        &mut self,
        first: LogIndex,
        batches: Run<Batch>,
        node: &Node,
        effects: &mut Effects<MultiPaxos>,
    ) {
        if batches.len() > 1 {
            effects.reached("a run of slots is asked for at once");
        }
        self.electorate.follow(node);
        let to = self.receivers(node);
        self.send_accept(first, batches, to, false, node, effects);
    }

    fn send_accept(
        &self,
        slot: LogIndex,
        batches: Run<Batch>,
        to: NodeSet,
        again: bool,
        node: &Node,
        effects: &mut Effects<MultiPaxos>,
    ) {
        let (ballot, chosen) = (self.ballot, node.learner.upto());
        effects.send_made(to, || Message::Accept(Accept { ballot, slot, batches, chosen, again }));
    }

    /// Says that it is alive, and how far slots are chosen.
    pub(crate) fn beat(&mut self, node: &Node, env: &Env<'_>, effects: &mut Effects<MultiPaxos>) {
        self.begin_round(node, env);
        let upto = if planted("M39") { self.next.previous() } else { node.learner.upto() };
        let beat = Message::Heartbeat {
            ballot: self.ballot,
            chosen: upto,
            settled: node.finished(),
            round: self.confirmation.round,
            priority: self.highest_priority(node),
        };
        effects.send(self.audience(node), beat);
        effects.set_timer(Timer::Heartbeat, env.cluster.timing.heartbeat());
    }

    /// A follower answered a heartbeat.
    pub(crate) fn on_heartbeat_reply(
        &mut self,
        from: NodeId,
        (round, priority): (u64, u8),
        node: &Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        self.heard.insert(from);
        self.priorities.insert(from, priority);
        self.on_round(from, round, node, env, effects);
    }

    /// The driver has nothing more: proposals that came together share a message, and reads a
    /// round.
    pub(crate) fn drained(
        &mut self,
        node: &mut Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        self.fill_window(node, effects);
        self.send_accepts(node, effects);
        self.announce(node, effects);
        self.confirm(node, env, effects);
        self.hand_over(node, env, effects);
    }

    /// Who is asked to accept: all, or just so many that they are a quorum with the acceptor next
    /// door.
    fn receivers(&self, node: &Node) -> NodeSet {
        if node.config.sending != Sending::Thrifty {
            return self.electorate.peers;
        }
        let Some(quorums) = node.quorums() else { return self.electorate.peers };
        let voters = node.voters().without(node.id);
        let quick = voters.and(self.heard).minus(self.slow);
        let needed = quorums.phase_2() - usize::from(node.is_voter());
        quick.iter().chain(voters.minus(quick).iter()).take(needed).collect()
    }

    /// Explicit commit: the others hear at once what is chosen.
    fn announce(&mut self, node: &Node, effects: &mut Effects<MultiPaxos>) {
        let chosen = node.learner.upto();
        if node.config.commits == Commits::Explicit && chosen > self.announced {
            self.announced = chosen;
            effects.send(node.peers(), Message::Commit { ballot: self.ballot, chosen });
        }
    }

    /// Sends again what is open for longer than a round trip, lowest slots first, as they hold back
    /// the others; no more bytes than one message may have.
    pub(crate) fn accept_again(
        &mut self,
        node: &Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) {
        let (mut bytes, mut slow) = (0, self.slow);
        let old = self.open.from(LogIndex::ZERO).take_while(|(slot, _)| *slot < self.aged);
        for (slot, commander) in old {
            if commander.chosen {
                continue;
            }
            let Some(batch) = node.acceptor.value(slot) else { continue };
            if bytes > 0 && bytes + cost(batch) > node.config.max_message_bytes {
                break;
            }
            bytes += cost(batch);
            let silent = node.peers().minus(commander.accepted.from());
            effects.reached("accept sent again");
            slow = slow.or(silent);
            let again = batch.clone().into();
            self.send_accept(slot, again, silent, true, node, effects);
        }
        self.slow = slow;
        if !planted("M40") {
            self.aged = self.next;
        }
        if self.phase == Phase::Asking {
            self.scout.ask(node, effects);
        }
        effects.set_timer(Timer::Retry, retry(env));
    }

    /// Has a quorum answered since this was asked last, and has the disk moved? A leader that
    /// nobody hears must make room for one that can be heard, and so must one whose disk stands
    /// still, as its followers could not tell.
    pub(crate) fn check_quorum(
        &mut self,
        node: &mut Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) -> bool {
        let disk = Disk::of(node, effects);
        let stalled = disk.durable < self.disk.written && disk.durable <= self.disk.durable;
        if stalled && !planted("M100") {
            effects.reached("leader stepped down: disk");
            node.stalled = true;
            return false;
        }
        self.disk = disk;
        self.heard.insert(node.id);
        // Who still needs promises, of the members of a change, and does not get them, holds back
        // one who might.
        let asks = self.phase == Phase::Asking && !planted("M142");
        let electable = node.is_phase_1_quorum(self.heard) || !(asks || planted("M138"));
        let answered = node.is_phase_2_quorum(self.heard) && electable;
        if node.finished() == node.version() {
            // Who left and does not listen will hear of it from others, or from nobody.
            self.leaving = NodeSet::EMPTY;
        }
        self.receivers.retain(self.heard);
        if !planted("M41") {
            self.heard = NodeSet::EMPTY;
        }
        effects.set_timer(Timer::CheckQuorum, Delay::fixed(env.cluster.timing.election_max));
        if !answered {
            effects.reached("leader stepped down: quorum");
        }
        answered
    }

    /// Steps down: hands back what left no trace.
    pub(crate) fn resign(&mut self, leader: Option<NodeId>, effects: &mut Effects<MultiPaxos>) {
        for batch in self.queue.drain(..) {
            effects.reached("leader hands back what it queued");
            effects.refuse(batch, Refusal::NotLeader(leader));
        }
        self.queue_bytes = 0;
        self.refuse_reads(effects);
        if self.wish.take().is_some() {
            effects.refuse_change(ChangeRefusal::NotLeader(leader));
        }
    }
}
