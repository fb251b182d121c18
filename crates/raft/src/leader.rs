//! Leaders (§5.3, §5.4.2): they append, replicate, repair, and commit.

use crate::change::Promotion;
use crate::config::Repair;
use crate::entry::{Entries, Entry, EntryId};
use crate::message::{AppendEntries, Conflict, Message};
use crate::progress::{Followers, Progress, Window};
use crate::read::{Lease, Reads};
use crate::replica::{Next, Raft, Timer};
use crate::server::Server;
use crate::snapshot::NOTHING;
use crate::transfer::HandOver;
use consensus_core::mutant::planted;
use consensus_core::{Batch, Effects, LogIndex, NodeId, NodeSet, Refusal, quorum};
use core::time::Duration;
use std::collections::BTreeMap;
use tracing::debug;

/// Servers of a usual cluster.
const FEW: usize = 8;

/// A leader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Leader {
    /// nextIndex and matchIndex of everybody else who takes part.
    pub(crate) progress: Followers,
    /// Who answered since the last check of the quorum (thesis §6.2).
    pub(crate) heard: NodeSet,
    /// Rounds of heartbeats sent, of the timer's and for reads.
    pub(crate) round: u64,
    /// How often the heartbeat timer fired: the leader's measure of time.
    beats: u64,
    /// Commands that came since the driver drained its input last: they go to the log together,
    /// and leave no trace before.
    fresh: Vec<Entry>,
    /// Bytes of entries that are not committed, those of `fresh` among them.
    pending_bytes: usize,
    /// The log and its durable part at the last check of the quorum.
    disk: Disk,
    /// Servers that are to vote once they have caught up.
    pub(crate) promotion: Option<Promotion>,
    /// Who is to lead instead.
    pub(crate) hand_over: Option<HandOver>,
    /// Checks of the quorum before a server of a higher priority is tried again.
    pub(crate) pause: u16,
    /// How often one of a higher priority was tried in vain, as far as that is counted.
    pub(crate) failures: u8,
    /// Reads that wait for the proof that this server still leads.
    pub(crate) reads: Reads,
    pub(crate) lease: Lease,
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
            beats: 0,
            fresh: Vec::new(),
            pending_bytes: uncommitted.iter().map(Entry::len).sum(),
            disk: Disk::of(server),
            promotion: None,
            hand_over: None,
            pause: 0,
            failures: 0,
            reads: Reads::default(),
            lease: Lease::default(),
        };
        let no_op = Entry { term: server.current_term, batch: Batch::noop() };
        if !planted("R63") {
            leader.append(server, no_op, effects);
        }
        effects.set_timer(Timer::Heartbeat, server.config.timing.heartbeat());
        effects.set_timer(Timer::Election, server.config.least_timeout());
        leader
    }

    /// Takes commands, or says that it is busy. Nothing is written or sent yet: what comes until
    /// the driver has drained its input is one record, and travels together.
    pub(crate) fn on_propose(
        &mut self,
        server: &Server,
        batch: Batch,
        effects: &mut Effects<Raft>,
    ) {
        if self.hand_over.is_some() && !planted("R77") {
            effects.reached("command refused during hand-over");
            return effects.refuse(batch, Refusal::Busy);
        }
        let entry = Entry { term: server.current_term, batch };
        let bytes = self.pending_bytes.saturating_add(entry.len());
        if self.pending_bytes > 0 && bytes > server.config.max_pending_bytes {
            effects.reached("leader is busy");
            effects.refuse(entry.batch, Refusal::Busy);
            return;
        }
        self.pending_bytes = bytes;
        self.fresh.push(entry);
    }

    /// The driver has no more input: what clients want goes to the log. Returns that, to be sent.
    pub(crate) fn append_fresh(
        &mut self,
        server: &mut Server,
        effects: &mut Effects<Raft>,
    ) -> Option<(LogIndex, Entries)> {
        if self.fresh.is_empty() {
            return None;
        }
        if self.hand_over.is_some() && !planted("R77") {
            effects.reached("command refused during hand-over");
            self.hand_back(Refusal::Busy, effects);
            return None;
        }
        let first = server.log.last().index.next();
        let entries = Entries::taken_from(&mut self.fresh);
        server.append(first, entries.clone(), effects);
        if planted("R09") {
            self.advance_commit(server, server.log.last().index, effects);
        }
        Some((first, entries))
    }

    /// What did not go to the log is refused.
    pub(crate) fn hand_back(&mut self, why: Refusal, effects: &mut Effects<Raft>) {
        for entry in self.fresh.drain(..) {
            effects.reached("leader hands back what it had not appended");
            self.pending_bytes -= entry.len();
            effects.refuse(entry.batch, why);
        }
    }

    pub(crate) fn append(
        &mut self,
        server: &mut Server,
        entry: Entry,
        effects: &mut Effects<Raft>,
    ) {
        self.pending_bytes += entry.len();
        server.append(server.log.last().index.next(), entry.into(), effects);
        if planted("R09") {
            self.advance_commit(server, server.log.last().index, effects);
        }
    }

    /// Sends every follower what it lacks, as far as its window is open. Followers that lack the
    /// same get one message.
    pub(crate) fn replicate(
        &mut self,
        server: &Server,
        mut fresh: Option<(LogIndex, Entries)>,
        effects: &mut Effects<Raft>,
    ) {
        self.notice_the_left_behind(server, effects);
        let last = server.log.last().index;
        let config = &server.config;
        let window = Window { messages: config.max_in_flight, bytes: config.max_in_flight_bytes };
        loop {
            let first = self.progress.values().find(|peer| peer.wants(last, window));
            let Some((next, repair)) = first.map(|peer| (peer.next(), peer.is_repair())) else {
                return;
            };
            let shared = fresh.take_if(|(first, _)| *first == next).map(|(_, entries)| entries);
            let (entries, bytes) = self.next_entries(server, next, shared);
            let prev = server.log.id_at(next.previous());
            let end = LogIndex(prev.index.0 + entries.len() as u64);
            let mut to = NodeSet::EMPTY;
            for (id, peer) in self.progress.iter_mut() {
                let same = peer.next() == next && peer.is_repair() == repair;
                if same && peer.wants(last, window) {
                    peer.sent(end, bytes, (self.round, self.beats));
                    to.insert(id);
                }
            }
            let (term, leader) = (server.current_term, server.id);
            let leader_commit = server.commit_index;
            effects.send_made(to, || {
                let append = AppendEntries { term, leader, prev, entries, leader_commit, repair };
                Message::AppendEntries(append)
            });
        }
    }

    /// Who needs what is forgotten by now is told so, and asks for a snapshot (§7).
    fn notice_the_left_behind(&mut self, server: &Server, effects: &mut Effects<Raft>) {
        let start = server.log.start();
        let behind = self.progress.iter_mut().filter_map(|(id, peer)| {
            let news = peer.falls_behind(start.index);
            news.then_some(id)
        });
        let to: NodeSet = behind.collect();
        if !to.is_empty() {
            effects.reached("a follower needs a snapshot");
            effects.send(to, Message::Compacted { term: server.current_term, start });
        }
    }

    /// The entries after this index are kept for servers that were told to take a snapshot.
    pub(crate) fn needed_after(&self) -> LogIndex {
        let needs = self.progress.values().filter_map(Progress::needs_after);
        let needs = if planted("R140") { needs.max() } else { needs.min() };
        needs.filter(|_| !planted("R110")).unwrap_or(NOTHING)
    }

    /// The entries from `next` on for one message, and their bytes. They may be those that were
    /// just appended, if all of them fit.
    fn next_entries(
        &self,
        server: &Server,
        next: LogIndex,
        fresh: Option<Entries>,
    ) -> (Entries, usize) {
        let max = server.config.max_append_bytes;
        let bytes_of = |entries: &Entries| entries.iter().map(Entry::len).sum::<usize>();
        if let Some(entries) = fresh {
            let bytes = bytes_of(&entries);
            if bytes <= max {
                return (entries, bytes);
            }
        }
        let entries = server.log.from(next, max);
        let bytes = bytes_of(&entries);
        (entries, bytes)
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
            if peer.has_caught_up(server.commit_index) {
                effects.reached("caught up after a snapshot");
            }
            // What is committed already commits nothing more.
            let late = if planted("R130") { 1 } else { 0 };
            if matched.0 > server.commit_index.0 + late {
                self.advance_commit(server, matched, effects);
            }
            self.urge(server, from, effects);
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
        let start = server.log.start().index;
        let hint = match conflict {
            Conflict::Short { last } if peer.wants_snapshot() => {
                // It has what was forgotten, from a snapshot or from before.
                let behind = last < start || (planted("R181") && last == start);
                if !behind && last <= server.log.last().index {
                    peer.agrees_upto(last);
                }
                return;
            }
            _ if server.config.repair == Repair::Decrement => prev,
            Conflict::Short { last } => LogIndex(last.0.saturating_add(1)),
            Conflict::Term { term, first } => {
                effects.reached("a whole term is skipped in search of the match");
                // What is forgotten cannot be compared, but for its last entry.
                server.log.last_of(term).unwrap_or(first.previous()).max(start).next()
            }
        };
        peer.rejected(prev, hint);
    }

    /// A follower answers a heartbeat. If what was sent before is missing, it is sent again.
    pub(crate) fn on_heartbeat_reply(
        &mut self,
        server: &mut Server,
        from: NodeId,
        (round, verified, priority): (u64, LogIndex, u8),
        effects: &mut Effects<Raft>,
    ) {
        self.heard.insert(from);
        if planted("R51") {
            return self.on_append_reply(server, from, verified, effects);
        }
        let (sent, beats) = (self.round, self.beats);
        let Some(peer) = self.progress.get_mut(from).filter(|_| round <= sent) else { return };
        peer.answered(round, priority);
        if peer.is_overdue(round, beats, verified) {
            effects.reached("append lost and sent again");
            peer.send_again(verified.min(server.log.last().index));
        }
        if peer.wants_snapshot() {
            let start = server.log.start();
            peer.is_told_of(server.snapshot, start.index);
            effects.send(from, Message::Compacted { term: server.current_term, start });
        }
        self.confirm(server, effects);
        self.urge(server, from, effects);
        self.give_way(server, from, effects);
    }

    /// Commits the highest index that is on the disks of a majority, if it is of the current term
    /// (Figure 2, last rule for leaders; §5.4.2). Everything before it is then committed, too. One
    /// server has just come to hold everything up to `risen`, so nothing beyond that is new.
    pub(crate) fn advance_commit(
        &mut self,
        server: &mut Server,
        risen: LogIndex,
        effects: &mut Effects<Raft>,
    ) {
        let own = if planted("R09") { server.log.last().index } else { server.durable_index };
        let index = match self.is_reached(server, own, risen) {
            Some(true) => risen,
            Some(false) if !self.is_anybody_ahead(server) => return,
            _ => self.reached_by_quorum(server, own, Progress::matched),
        };
        let current = server.log.term_at(index) == Some(server.current_term);
        if index > server.commit_index && !current {
            effects.reached("entry of an older term on a majority, not committed");
        }
        if index > server.commit_index && (current || planted("R01")) {
            self.commit(server, index, effects);
        }
    }

    /// Is this index on the disks of a majority? Told at a glance where there is one set of voters.
    fn is_reached(&self, server: &Server, own: LogIndex, index: LogIndex) -> Option<bool> {
        let members = server.current();
        if members.is_joint() || planted("R11a") || planted("R64") {
            return None;
        }
        let (mut voters, mut reached) = (0, 0);
        let mut count = |id, matched| {
            let votes = members.voters.contains(id);
            voters += usize::from(votes);
            reached += usize::from(votes && matched >= index);
        };
        count(server.id, own);
        self.progress.iter().for_each(|(id, peer)| count(id, peer.matched()));
        Some(reached >= needed(voters))
    }

    /// Does another server have what is not committed? If not, a majority of more than one cannot
    /// have anything either.
    fn is_anybody_ahead(&self, server: &Server) -> bool {
        let alone = needed(server.current().voters.len()) < 2;
        alone || self.progress.values().any(|peer| peer.matched() > server.commit_index)
    }

    /// The highest value that a majority of the voters has reached, and of the outgoing voters,
    /// too, where there are any (§6). This server counts if it votes, and learners do not.
    pub(crate) fn reached_by_quorum<T: Copy + Ord + Default>(
        &self,
        server: &Server,
        own: T,
        of: impl Fn(&Progress) -> T,
    ) -> T {
        let members = server.current();
        if planted("R11a") {
            let voters = quorum::majority(members.voters.len());
            return self.highest_reached_by(voters, members.members(), server.id, own, of);
        }
        let by = |voters: NodeSet| {
            self.highest_reached_by(needed(voters.len()), voters, server.id, own, &of)
        };
        if members.is_joint() && !planted("R71") {
            by(members.voters).min(by(members.outgoing))
        } else {
            by(members.voters)
        }
    }

    /// The highest value that so many of these servers have reached.
    fn highest_reached_by<T: Copy + Ord + Default>(
        &self,
        needed: usize,
        servers: NodeSet,
        me: NodeId,
        own: T,
        of: impl Fn(&Progress) -> T,
    ) -> T {
        let others = self.progress.iter().filter(|(id, _)| servers.contains(*id));
        let values = others.map(|(_, peer)| of(peer)).chain(servers.contains(me).then_some(own));
        let (mut highest, mut all) = ([T::default(); FEW], 0);
        for value in values {
            if all == FEW {
                return self.highest_of_many(needed, servers, me, own, of);
            }
            // Of so few each finds its place faster than a list of them is sorted.
            let mut place = all;
            while place > 0 && highest[place - 1] < value && !planted("R64") {
                highest[place] = highest[place - 1];
                place -= 1;
            }
            highest[place] = value;
            all += 1;
        }
        highest.get(needed.saturating_sub(1)).copied().unwrap_or_default()
    }

    /// The same in a large cluster.
    #[cold]
    fn highest_of_many<T: Copy + Ord + Default>(
        &self,
        needed: usize,
        servers: NodeSet,
        me: NodeId,
        own: T,
        of: impl Fn(&Progress) -> T,
    ) -> T {
        let others = self.progress.iter().filter(|(id, _)| servers.contains(*id));
        let values = others.map(|(_, peer)| of(peer)).chain(servers.contains(me).then_some(own));
        let mut values: Vec<T> = values.collect();
        if !planted("R143") {
            values.sort_unstable_by(|a, b| b.cmp(a));
        }
        values.get(needed.saturating_sub(1)).copied().unwrap_or_default()
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
    pub(crate) fn on_heartbeat_timer(
        &mut self,
        server: &Server,
        now: Duration,
        effects: &mut Effects<Raft>,
    ) {
        self.beats += 1;
        self.beat(server, now, effects);
        effects.set_timer(Timer::Heartbeat, server.config.timing.heartbeat());
    }

    /// One round of heartbeats.
    pub(crate) fn beat(&mut self, server: &Server, now: Duration, effects: &mut Effects<Raft>) {
        self.round += 1;
        self.lease.sent(self.round, now, &server.config);
        let priority = self.highest_priority(server);
        let (term, leader, round) = (server.current_term, server.id, self.round);
        let mut groups: BTreeMap<LogIndex, NodeSet> = BTreeMap::new();
        for (id, peer) in self.progress.iter() {
            let whole = planted("E-23");
            let commit =
                if whole { server.commit_index } else { server.commit_index.min(peer.matched()) };
            groups.entry(commit).or_default().insert(id);
        }
        for (commit, to) in groups {
            effects.send(to, Message::Heartbeat { term, leader, commit, round, priority });
        }
        self.confirm(server, effects);
    }

    /// An election timeout has passed: a leader that did not hear from a majority steps down
    /// (thesis §6.2), and so does one whose disk stood still, as its followers could not tell.
    pub(crate) fn on_check_quorum(&mut self, server: &Server, effects: &mut Effects<Raft>) -> Next {
        self.heard.insert(server.id);
        let connected = server.is_quorum(self.heard) || planted("R15b");
        let disk = Disk::of(server);
        let due = if planted("R141") { disk.last } else { self.disk.last };
        let stalled = disk.durable < due && disk.durable <= self.disk.durable && !planted("R147");
        if !connected || stalled {
            let mark =
                if stalled { "leader stepped down: disk" } else { "leader stepped down: quorum" };
            effects.reached(mark);
            debug!(connected, stalled, "steps down");
            return Next::Follower;
        }
        self.on_tick(server, effects);
        self.heard = NodeSet::EMPTY;
        self.disk = disk;
        effects.set_timer(Timer::Election, server.config.least_timeout());
        Next::Stay
    }

    /// An election timeout has passed, and all is well.
    fn on_tick(&mut self, server: &Server, effects: &mut Effects<Raft>) {
        self.pause = self.pause.saturating_sub(1);
        for (id, peer) in self.progress.iter_mut() {
            if !self.heard.contains(id) {
                peer.is_silent();
            }
        }
        self.check_promotion(server, effects);
    }

    /// A snapshot took the place of what was not committed: that is no longer pending.
    pub(crate) fn recount(&mut self, server: &Server) {
        let uncommitted = server.log.after(server.commit_index);
        self.pending_bytes = uncommitted.iter().chain(&self.fresh).map(Entry::len).sum();
    }

    /// The bookkeeping holds.
    pub(crate) fn is_sound(&self, last: EntryId) -> bool {
        self.progress.values().all(|peer| peer.is_sound(last.index))
    }

    /// What is left over where everything is committed, and has come to all who can be reached.
    pub(crate) fn leftover(&self, last: LogIndex) -> Option<&'static str> {
        let idle = |peer: &Progress| peer.matched() < last || peer.is_idle();
        let kept = [
            (!self.fresh.is_empty(), "entries that were not appended"),
            (self.pending_bytes > 0, "bytes of entries that are not committed"),
            (!self.reads.is_idle(), "reads"),
            (self.hand_over.is_some(), "a hand-over"),
            (self.promotion.is_some(), "a change of members"),
            (!self.progress.values().all(idle), "messages under way to who has everything"),
        ];
        kept.into_iter().find(|(is_kept, _)| *is_kept).map(|(_, what)| what)
    }

    /// Are the bytes that are not committed what they come to when they are counted anew?
    pub(crate) fn bytes_are_right(&self, server: &Server) -> bool {
        let uncommitted = server.log.after(server.commit_index);
        let bytes: usize = uncommitted.iter().chain(&self.fresh).map(Entry::len).sum();
        bytes == self.pending_bytes
    }
}

/// How many of so many voters must have an entry.
fn needed(voters: usize) -> usize {
    let majority = quorum::majority(voters);
    if planted("R08") {
        return (voters / 2).max(1);
    }
    if planted("E-20") {
        // A majority of followers beside the leader: one more than is needed.
        return (majority + 1).min(voters);
    }
    if planted("R47") {
        return voters.div_ceil(2);
    }
    majority
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::Remembered;
    use crate::{Config, Term};
    use consensus_core::{Cluster, ClusterId, Incarnation, ProtocolConfig};

    /// A leader that has so many followers, which answered these rounds.
    fn leader_of(rounds: &[u64]) -> Leader {
        let cluster = Cluster::new(ClusterId(1), rounds.len() + 1);
        let config = Config::for_cluster(&cluster).expect("a sound cluster");
        let nothing = Remembered::nothing(config.members());
        let mut server = Server::new(NodeId(0), config, Incarnation(1), nothing);
        let mut effects = Effects::after_recovery(0);
        server.enter_term(Term(1), &mut effects);
        let mut leader = Leader::begin(&mut server, &mut effects);
        for ((_, peer), round) in leader.progress.iter_mut().zip(rounds) {
            peer.answered(*round, 0);
        }
        leader
    }

    /// Figure 2, rules for leaders: what a majority of the voters has, in clusters of any size, the
    /// leader among the voters or not; whoever is none counts for nothing.
    #[test]
    fn what_a_quorum_has_reached_is_what_a_sorted_list_says() {
        for size in 1..=13_u64 {
            for draw in 0..60 {
                let value = |node: u64| (node + 1) * (2 * draw + 7) * 2_654_435_761 % 97;
                let rounds: Vec<u64> = (1..size).map(value).collect();
                let votes = |node: &u64| draw == 0 || !(node * 5 + draw).is_multiple_of(4);
                let voters: Vec<u64> = (0..size).filter(votes).collect();
                let mut reached: Vec<u64> = voters.iter().map(|node| value(*node)).collect();
                reached.sort_unstable();
                let needed = voters.len() / 2 + 1;
                let expected = reached.iter().rev().nth(needed - 1).copied().unwrap_or_default();
                let servers: NodeSet = voters.iter().map(|node| NodeId(*node as u8)).collect();
                let found = leader_of(&rounds).highest_reached_by(
                    needed,
                    servers,
                    NodeId(0),
                    value(0),
                    Progress::round,
                );
                assert_eq!(found, expected, "{size} servers, draw {draw}: {rounds:?}");
            }
        }
    }
}
