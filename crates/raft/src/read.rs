//! Reads that need no entry of the log (§8, thesis §6.4): ReadIndex, whose rounds of heartbeats all
//! waiting reads share; leases; and followers that ask their leader.

use crate::config::Config;
use crate::follower::Follower;
use crate::leader::Leader;
use crate::message::Message;
use crate::progress::Progress;
use crate::replica::Raft;
use crate::server::Server;
use consensus_core::mutant::planted;
use consensus_core::{Drift, Effects, Incarnation, LogIndex, NodeId, Read, ReadMode, Refusal};
use core::time::Duration;
use std::collections::{BTreeMap, VecDeque};

/// Reads, or questions of followers, that may wait at one server.
const MAX_WAITING: usize = 1 << 16;

/// Who wants to read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Asker {
    /// A client of this server.
    Here(u64),
    /// A follower, in this life of it, under this name.
    There(NodeId, Incarnation, u64),
}

/// Reads at a leader.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Reads {
    /// They came since the last round began, or before an entry of the term was committed.
    waiting: Vec<Asker>,
    /// One round at a time.
    round: Option<Round>,
}

/// A round of heartbeats that shows, once a quorum has answered it, that this server still led
/// when the round began, and so that nothing was committed before that it does not know.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Round {
    number: u64,
    /// What was committed when it began.
    index: LogIndex,
    askers: Vec<Asker>,
}

/// A leader's lease (thesis §6.4.1). Nothing is kept, and no clock is read, while leases are off.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Lease {
    /// Rounds that a quorum has not answered yet, and when they were *sent*: a follower's promise
    /// begins later, when it hears of it.
    sent: VecDeque<(u64, Duration)>,
    /// The lease runs until then.
    until: Option<Duration>,
    /// This server has told another to campaign: no lease for the rest of the term.
    spent: bool,
}

impl Lease {
    /// A round of heartbeats goes out.
    pub(crate) fn sent(&mut self, round: u64, now: Duration, config: &Config) {
        if config.lease.is_some() && !self.spent {
            self.sent.push_back((round, now));
        }
    }

    /// A quorum has answered this round.
    fn confirmed(&mut self, round: u64, config: &Config) {
        let Some(drift) = config.lease else { return };
        let drift = if planted("R14b") { Drift { parts_per_million: 0 } } else { drift };
        let newest = self.sent.back().map(|(_, at)| *at);
        while let Some((_, at)) = self.sent.front().copied().filter(|(sent, _)| *sent <= round) {
            self.sent.pop_front();
            let at = newest.filter(|_| planted("R14a")).unwrap_or(at);
            self.until = Some(at.saturating_add(drift.lease(config.timing.election_min)));
        }
    }

    fn holds(&self, now: Duration) -> bool {
        self.until.is_some_and(|until| now < until)
    }

    /// Other members are in force: those who promised may be a quorum no longer.
    pub(crate) fn start_over(&mut self) {
        self.sent.clear();
        self.until = None;
    }

    /// Another server may now be elected although everybody hears this one.
    pub(crate) fn end(&mut self) {
        if !planted("R78") {
            self.start_over();
            self.spent = !planted("R139");
        }
    }
}

impl Leader {
    /// Is it certain that no other server leads, and does this one know all that is committed?
    pub(crate) fn may_read_by_lease(&self, server: &Server, now: Duration) -> bool {
        (server.has_committed_in_term() || planted("R13a")) && self.lease.holds(now)
    }

    /// A client of this server wants to read, or one of a follower.
    pub(crate) fn on_read(
        &mut self,
        server: &Server,
        (asker, lease): (Asker, bool),
        now: Duration,
        effects: &mut Effects<Raft>,
    ) {
        let may_answer = server.has_committed_in_term() || planted("R13a");
        if !may_answer {
            effects.reached("a read waits for the first commit of the term");
        }
        if lease && self.may_read_by_lease(server, now) || may_answer && planted("R13b") {
            return answer(asker, server.commit_index, server, effects);
        }
        if lease {
            effects.reached("a read finds no lease");
        }
        if self.reads.waiting.len() >= MAX_WAITING {
            return refuse(asker, Refusal::Busy, server, effects);
        }
        self.reads.waiting.push(asker);
    }

    /// Begins a round for the reads that wait, unless one is under way. It must begin after they
    /// came, and after an entry of this term was committed: before, a leader does not know what is
    /// (thesis §6.4, step 1).
    pub(crate) fn serve_reads(
        &mut self,
        server: &Server,
        now: Duration,
        effects: &mut Effects<Raft>,
    ) {
        let known = server.has_committed_in_term() || planted("R13a");
        if self.reads.waiting.is_empty() || self.reads.round.is_some() || !known {
            return;
        }
        let askers = std::mem::take(&mut self.reads.waiting);
        if askers.len() > 1 {
            effects.reached("reads share a round");
        }
        let number = if planted("R13c") { self.round } else { self.round + 1 };
        self.reads.round = Some(Round { number, index: server.commit_index, askers });
        self.beat(server, now, effects);
    }

    /// Is it shown by now that this server led when a round began?
    pub(crate) fn confirm(&mut self, server: &Server, effects: &mut Effects<Raft>) {
        if self.reads.round.is_none() && server.config.lease.is_none() {
            return;
        }
        let confirmed = self.reached_by_quorum(server, self.round, Progress::round);
        self.lease.confirmed(confirmed, &server.config);
        if let Some(round) = self.reads.round.take_if(|round| round.number <= confirmed) {
            for asker in round.askers {
                answer(asker, round.index, server, effects);
            }
        }
    }

    /// This server leads no longer: nobody waits for what will not come.
    pub(crate) fn leave_reads(&mut self, server: &Server, effects: &mut Effects<Raft>) {
        let Reads { waiting, round } = std::mem::take(&mut self.reads);
        for asker in waiting.into_iter().chain(round.into_iter().flat_map(|round| round.askers)) {
            if matches!(asker, Asker::Here(_)) || !planted("R158") {
                effects.reached("a read is given up with the leadership");
                refuse(asker, Refusal::NotLeader(None), server, effects);
            }
        }
    }
}

fn answer(asker: Asker, index: LogIndex, server: &Server, effects: &mut Effects<Raft>) {
    match asker {
        Asker::Here(read) => effects.ready(read, index),
        Asker::There(to, life, ticket) => {
            let (term, index) = (server.current_term, Some(index));
            effects.send(to, Message::ReadReply { term, life, ticket, index });
        }
    }
}

fn refuse(asker: Asker, why: Refusal, server: &Server, effects: &mut Effects<Raft>) {
    match asker {
        Asker::Here(read) => effects.refuse_read(read, why),
        Asker::There(to, life, ticket) => {
            let term = server.current_term;
            effects.send(to, Message::ReadReply { term, life, ticket, index: None });
        }
    }
}

impl Reads {
    /// Does nobody wait for an answer?
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && self.round.is_none()
    }
}

/// Reads at a follower, which asks its leader.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Forwarded {
    /// They came since the leader was last asked.
    gathered: Vec<Read>,
    /// The leader was asked for these, under the name of the first of them.
    asked: BTreeMap<u64, Vec<u64>>,
}

impl Forwarded {
    /// Did reads come since the leader was last asked?
    pub(crate) fn are_gathered(&self) -> bool {
        !self.gathered.is_empty()
    }
}

impl Follower {
    /// A client wants to read here.
    pub(crate) fn on_read(&mut self, read: Read, effects: &mut Effects<Raft>) {
        if self.leader.is_none() {
            effects.refuse_read(read.id, Refusal::NotLeader(None));
        } else if self.reads.gathered.len() >= MAX_WAITING {
            effects.refuse_read(read.id, Refusal::Busy);
        } else {
            self.reads.gathered.push(read);
        }
    }

    /// Asks the leader once for all reads that came.
    pub(crate) fn forward_reads(&mut self, server: &Server, effects: &mut Effects<Raft>) {
        let (Some(leader), Some(first)) = (self.leader, self.reads.gathered.first()) else {
            return;
        };
        let ticket = first.id;
        let gathered = std::mem::take(&mut self.reads.gathered);
        // One that trusts no clock is answered by none, whatever it comes with.
        let mut modes = gathered.iter().map(|read| read.mode == ReadMode::Lease);
        let lease = if planted("R201") { modes.any(|it| it) } else { modes.all(|it| it) };
        let (term, life) = (server.current_term, server.life);
        self.reads.asked.insert(ticket, gathered.into_iter().map(|read| read.id).collect());
        effects.send(leader, Message::ReadIndex { term, life, ticket, lease });
        // An answer may be lost. Nobody waits for ever for one.
        if self.reads.asked.len() > MAX_WAITING {
            let oldest = self.reads.asked.pop_first();
            refuse_all(oldest.into_iter().flat_map(|(_, reads)| reads), effects);
        }
    }

    /// The leader's answer: the reads wait here until everything up to that index is applied.
    pub(crate) fn on_read_reply(
        &mut self,
        server: &Server,
        (life, ticket): (Incarnation, u64),
        index: Option<LogIndex>,
        effects: &mut Effects<Raft>,
    ) {
        if life != server.life && !planted("R13d") {
            effects.reached("an answer to a read of an earlier life");
            return;
        }
        let Some(reads) = self.reads.asked.remove(&ticket) else { return };
        match index {
            Some(_) if planted("R79") => {
                reads.into_iter().for_each(|read| effects.ready(read, server.commit_index));
            }
            Some(index) => reads.into_iter().for_each(|read| effects.ready(read, index)),
            None => refuse_all(reads, effects),
        }
    }

    /// The leader is gone, or this server is no longer a follower.
    pub(crate) fn leave_reads(&mut self, effects: &mut Effects<Raft>) {
        let Forwarded { gathered, asked } = std::mem::take(&mut self.reads);
        refuse_all(gathered.into_iter().map(|read| read.id), effects);
        refuse_all(asked.into_values().flatten(), effects);
    }
}

fn refuse_all(reads: impl IntoIterator<Item = u64>, effects: &mut Effects<Raft>) {
    for read in reads {
        effects.refuse_read(read, Refusal::NotLeader(None));
    }
}
