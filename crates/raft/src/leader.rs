//! Leaders (§5.3, §5.4.2): they append, replicate, repair, and commit.

use crate::entry::{Entry, EntryId};
use crate::message::{AppendEntries, Conflict, Message};
use crate::progress::{Followers, Window};
use crate::replica::{Next, Raft, Timer};
use crate::server::Server;
use consensus_core::mutant::planted;
use consensus_core::{Batch, Effects, LogIndex, NodeId, NodeSet, Refusal};
use std::collections::BTreeMap;
use tracing::debug;

/// Servers of a usual cluster.
const FEW: usize = 8;

/// A leader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leader {
    /// nextIndex and matchIndex of everybody else.
    progress: Followers,
    /// Who answered since the last check of the quorum (thesis §6.2).
    heard: NodeSet,
    /// Heartbeats sent.
    round: u64,
    /// Bytes of entries that are not committed.
    pending_bytes: usize,
    /// The log and its durable part at the last check of the quorum.
    disk: Disk,
}

/// How far a log reached, and how far on disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Disk {
    last: LogIndex,
    durable: LogIndex,
}

impl Disk {
    fn of(server: &Server) -> Self {
        Self { last: server.log.last().index, durable: server.durable_index }
    }
}

impl Leader {
    /// Takes office: appends a no-op, as entries of earlier terms can only be committed through
    /// one of this term (§8, §5.4.2).
    pub(crate) fn begin(server: &mut Server, effects: &mut Effects<Raft>) -> Self {
        let last = server.log.last().index;
        let uncommitted = server.log.after(server.commit_index);
        let mut leader = Self {
            progress: Followers::new(server.peers(), last),
            heard: NodeSet::EMPTY,
            round: 0,
            pending_bytes: uncommitted.iter().map(Entry::len).sum(),
            disk: Disk::of(server),
        };
        let no_op = Entry { term: server.current_term, batch: Batch::noop() };
        if !planted("R63") {
            leader.append(server, no_op, effects);
        }
        effects.set_timer(Timer::Heartbeat, server.config.timing.heartbeat());
        effects.set_timer(Timer::Election, server.config.least_timeout());
        leader
    }

    /// Takes commands, or says that it is busy. Sends nothing yet: what comes until the driver has
    /// drained its input travels together.
    pub(crate) fn on_propose(
        &mut self,
        server: &mut Server,
        batch: Batch,
        effects: &mut Effects<Raft>,
    ) {
        let entry = Entry { term: server.current_term, batch };
        let bytes = self.pending_bytes.saturating_add(entry.len());
        if self.pending_bytes > 0 && bytes > server.config.max_pending_bytes {
            effects.reached("leader is busy");
            effects.refuse(entry.batch, Refusal::Busy);
            return;
        }
        self.append(server, entry, effects);
    }

    fn append(&mut self, server: &mut Server, entry: Entry, effects: &mut Effects<Raft>) {
        self.pending_bytes += entry.len();
        server.append(server.log.last().index.next(), entry.into(), effects);
        if planted("R09") {
            self.advance_commit(server, effects);
        }
    }

    /// Sends every follower what it lacks, as far as its window is open. Followers that lack the
    /// same get one message.
    pub(crate) fn replicate(&mut self, server: &Server, effects: &mut Effects<Raft>) {
        let last = server.log.last().index;
        let config = &server.config;
        let window = Window { messages: config.max_in_flight, bytes: config.max_in_flight_bytes };
        loop {
            let first = self.progress.values().find(|peer| peer.wants(last, window));
            let Some((next, repair)) = first.map(|peer| (peer.next(), peer.is_repair())) else {
                return;
            };
            let append = self.next_append(server, next, repair);
            let bytes = append.entries.iter().map(Entry::len).sum();
            let mut to = NodeSet::EMPTY;
            for (id, peer) in self.progress.iter_mut() {
                let same = peer.next() == next && peer.is_repair() == repair;
                if same && peer.wants(last, window) {
                    peer.sent(append.last(), bytes, self.round);
                    to.insert(id);
                }
            }
            effects.send(to, Message::AppendEntries(append));
        }
    }

    /// AppendEntries from `next` on.
    fn next_append(&self, server: &Server, next: LogIndex, repair: bool) -> AppendEntries {
        let prev = server.log.id_at(next.previous());
        let entries = server.log.from(next, server.config.max_append_bytes);
        let (term, leader, leader_commit) = (server.current_term, server.id, server.commit_index);
        AppendEntries { term, leader, prev, entries, leader_commit, repair }
    }

    /// A follower's log equals this one up to `matched`, on its disk.
    pub(crate) fn on_append_reply(
        &mut self,
        server: &mut Server,
        from: NodeId,
        matched: LogIndex,
        effects: &mut Effects<Raft>,
    ) {
        self.heard.insert(from);
        let Some(peer) = self.progress.get_mut(from) else { return };
        if matched > server.log.last().index {
            debug!(?from, %matched, "acknowledges what was never sent: ignored");
            return;
        }
        if peer.acknowledged(matched) {
            self.advance_commit(server, effects);
        }
    }

    /// A follower's log differs. Where the leader has entries of the conflicting term, its last of
    /// them may be the place where the logs agree; otherwise all of that term is skipped (§5.3).
    pub(crate) fn on_append_reject(
        &mut self,
        server: &Server,
        from: NodeId,
        (prev, conflict): (LogIndex, Conflict),
        effects: &mut Effects<Raft>,
    ) {
        self.heard.insert(from);
        let Some(peer) = self.progress.get_mut(from) else { return };
        let hint = match conflict {
            Conflict::Short { last } => LogIndex(last.0.saturating_add(1)),
            Conflict::Term { term, first } => {
                effects.reached("a whole term is skipped in search of the match");
                server.log.last_of(term).map_or(first, LogIndex::next)
            }
        };
        peer.rejected(prev, hint);
    }

    /// A follower answers a heartbeat. If what was sent before is missing, it is sent again.
    pub(crate) fn on_heartbeat_reply(
        &mut self,
        server: &mut Server,
        from: NodeId,
        (round, verified): (u64, LogIndex),
        effects: &mut Effects<Raft>,
    ) {
        self.heard.insert(from);
        if planted("R51") {
            return self.on_append_reply(server, from, verified, effects);
        }
        let Some(peer) = self.progress.get_mut(from) else { return };
        if peer.is_overdue(round, verified) {
            effects.reached("append lost and sent again");
            peer.probe_from(verified.min(server.log.last().index).next());
        }
    }

    /// Commits the highest index that is on the disks of a majority, if it is of the current term
    /// (Figure 2, last rule for leaders; §5.4.2). Everything before it is then committed, too.
    pub(crate) fn advance_commit(&mut self, server: &mut Server, effects: &mut Effects<Raft>) {
        let own = if planted("R09") { server.log.last().index } else { server.durable_index };
        // A large array takes longer to clear than a small cluster to count.
        let (mut few, mut many);
        let disks = if server.config.nodes <= FEW {
            few = [LogIndex::ZERO; FEW];
            &mut few[..server.config.nodes]
        } else {
            many = [LogIndex::ZERO; NodeId::LIMIT];
            &mut many[..server.config.nodes]
        };
        disks[0] = own;
        for (disk, peer) in disks[1..].iter_mut().zip(self.progress.values()) {
            *disk = peer.matched();
        }
        if !planted("R64") {
            disks.sort_unstable_by(|a, b| b.cmp(a));
        }
        let mut needed = server.config.majority();
        if planted("R08") {
            needed = (server.config.nodes / 2).max(1);
        }
        if planted("E-20") {
            // A majority of followers beside the leader: one more than is needed.
            needed = (needed + 1).min(server.config.nodes);
        }
        if planted("R47") {
            needed = server.config.half();
        }
        let index = disks[needed - 1];
        let current = server.log.term_at(index) == Some(server.current_term);
        if index > server.commit_index && !current {
            effects.reached("entry of an older term on a majority, not committed");
        }
        if index > server.commit_index && (current || planted("R01")) {
            self.commit(server, index, effects);
        }
    }

    fn commit(&mut self, server: &mut Server, index: LogIndex, effects: &mut Effects<Raft>) {
        let count = (index.0 - server.commit_index.0) as usize;
        let done = &server.log.after(server.commit_index)[..count];
        if done.first().is_some_and(|entry| entry.term < server.current_term) {
            effects.reached("entry of an older term committed through a newer one");
        }
        if index > server.durable_index {
            effects.reached("committed before the leader's own disk has it");
        }
        if !planted("R65") {
            self.pending_bytes -= done.iter().map(Entry::len).sum::<usize>();
        }
        server.commit_to(index, effects);
    }

    /// Says that it is alive, and to each follower what is committed of the log that the follower
    /// has acknowledged.
    pub(crate) fn on_heartbeat_timer(&mut self, server: &Server, effects: &mut Effects<Raft>) {
        self.round += 1;
        let (term, leader, round) = (server.current_term, server.id, self.round);
        let mut groups: BTreeMap<LogIndex, NodeSet> = BTreeMap::new();
        for (id, peer) in self.progress.iter() {
            let whole = planted("E-23");
            let commit =
                if whole { server.commit_index } else { server.commit_index.min(peer.matched()) };
            groups.entry(commit).or_default().insert(id);
        }
        for (commit, to) in groups {
            effects.send(to, Message::Heartbeat { term, leader, commit, round });
        }
        effects.set_timer(Timer::Heartbeat, server.config.timing.heartbeat());
    }

    /// An election timeout has passed: a leader that did not hear from a majority steps down
    /// (thesis §6.2), and so does one whose disk stood still, as its followers could not tell.
    pub(crate) fn on_check_quorum(&mut self, server: &Server, effects: &mut Effects<Raft>) -> Next {
        self.heard.insert(server.id);
        let connected = server.is_majority(self.heard) || planted("R15b");
        let disk = Disk::of(server);
        let stalled = disk.durable < self.disk.last && disk.durable <= self.disk.durable;
        if !connected || stalled {
            let mark =
                if stalled { "leader stepped down: disk" } else { "leader stepped down: quorum" };
            effects.reached(mark);
            debug!(connected, stalled, "steps down");
            return Next::Follower;
        }
        self.heard = NodeSet::EMPTY;
        self.disk = disk;
        effects.set_timer(Timer::Election, server.config.least_timeout());
        Next::Stay
    }

    /// The bookkeeping holds.
    pub(crate) fn is_sound(&self, last: EntryId) -> bool {
        self.progress.values().all(|peer| peer.is_sound(last.index))
    }
}
