//! Followers (§5.2, §5.3): they answer leaders and candidates, and wait.

use crate::entry::EntryId;
use crate::message::{AppendEntries, Conflict, Message};
use crate::read::Forwarded;
use crate::replica::{Next, Raft, Timer};
use crate::server::Server;
use consensus_core::mutant::planted;
use consensus_core::{Effects, LogIndex, NodeId, NodeSet};
use tracing::debug;

/// A follower.
///
/// Its election timeout runs in two parts, the shortest timeout and a random rest. While the
/// first runs after a word of the leader, it lets no candidate disturb that leader (thesis
/// §4.2.3); this needs no clock.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Follower {
    /// The leader of the current term, once it has spoken.
    pub(crate) leader: Option<NodeId>,
    /// Which part of the election timeout runs.
    pub(crate) patience: Patience,
    /// With leases: a leader has spoken, of whatever term, since the timeout was started, or this
    /// server has, before it started. It has promised that leader to help nobody else.
    pub(crate) bound: bool,
    /// The log was compared with the leader's up to here, in this term, since the last start.
    pub(crate) verified: LogIndex,
    /// The highest priority of a voter, but for the leader's own, as the leader says.
    pub(crate) priority: u8,
    /// The leader offers it the leadership: who would vote for it, itself included.
    pub(crate) votes: NodeSet,
    /// Reads for which the leader is asked.
    pub(crate) reads: Forwarded,
}

/// The part of the election timeout that runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Patience {
    /// The shortest timeout has not passed.
    Fresh,
    /// The random rest.
    Waning,
}

impl Follower {
    /// A follower that has not heard of a leader, and whose timeout is in its last part.
    pub(crate) fn new() -> Self {
        Self {
            leader: None,
            patience: Patience::Waning,
            bound: false,
            verified: LogIndex::ZERO,
            priority: 0,
            votes: NodeSet::EMPTY,
            reads: Forwarded::default(),
        }
    }

    /// The same server in a later term. Its timeout runs on, and a promise that it made to a
    /// leader holds although that leader's term is over: the leader need not know that yet.
    pub(crate) fn in_later_term(&self) -> Self {
        let bound = self.bound && !planted("R85");
        Self { patience: self.patience, bound, priority: self.priority, ..Self::new() }
    }

    /// Has it heard a leader within the shortest election timeout?
    pub(crate) fn hears_leader(&self) -> bool {
        self.patience == Patience::Fresh && (self.leader.is_some() || self.bound)
    }

    /// A server starts. It may have promised a leader its patience before it stopped.
    pub(crate) fn start(&mut self, server: &Server, effects: &mut Effects<Raft>) {
        self.bound = server.config.lease.is_some() && !planted("R86");
        self.wait(server, effects);
    }

    /// Starts the election timeout anew: the leader spoke, or the vote was given away (Figure 2,
    /// rules for followers), and for nothing else.
    pub(crate) fn wait(&mut self, server: &Server, effects: &mut Effects<Raft>) {
        self.patience = Patience::Fresh;
        effects.set_timer(Timer::Election, server.least_timeout);
    }

    /// A part of the election timeout has passed without a word.
    pub(crate) fn on_timeout(&mut self, server: &Server, effects: &mut Effects<Raft>) -> Next {
        match self.patience {
            Patience::Fresh => {
                self.patience = Patience::Waning;
                self.bound = false;
                let rest = if server.priority() < self.priority {
                    effects.reached("waits for a server of a higher priority");
                    server.config.rest_of_timeout_of_the_lesser()
                } else {
                    server.config.rest_of_timeout()
                };
                effects.set_timer(Timer::Election, rest);
                Next::Stay
            }
            Patience::Waning if server.may_campaign() || planted("R87") => Next::PreCandidate,
            // Nobody would count its vote, its own included. It waits to be told, and sends nobody
            // to a leader that it does not hear.
            Patience::Waning => {
                effects.reached("not a voter: does not campaign");
                self.leader = None;
                self.leave_reads(effects);
                effects.set_timer(Timer::Election, server.config.timing.election());
                Next::Stay
            }
        }
    }

    /// The leader offers its place. Asks whether a majority would vote for this server; if not,
    /// nothing has happened, and it goes on to follow.
    pub(crate) fn canvass(&mut self, server: &Server, effects: &mut Effects<Raft>) -> Next {
        effects.reached("asks whether it could take over");
        let (term, last) = (server.current_term.next(), server.log.last());
        let commit = server.commit_index;
        effects.send(server.peers(), Message::PreVote { term, last, commit, offered: true });
        self.votes.insert(server.id);
        self.judge(server)
    }

    /// Somebody would vote for it.
    pub(crate) fn count(
        &mut self,
        server: &Server,
        from: NodeId,
        effects: &mut Effects<Raft>,
    ) -> Next {
        if self.votes.is_empty() && !planted("R145") {
            effects.reached("a pre-vote for one that asks no more");
            return Next::Stay;
        }
        self.votes.insert(from);
        self.judge(server)
    }

    fn judge(&mut self, server: &Server) -> Next {
        if !server.is_quorum(self.votes) {
            return Next::Stay;
        }
        self.votes = NodeSet::EMPTY;
        Next::Candidate { transfer: true }
    }

    /// The leader of this term spoke. False if it is another one than before: a term has one
    /// leader, so this is not to be believed.
    fn follow(&mut self, from: NodeId, server: &Server, effects: &mut Effects<Raft>) -> bool {
        if self.leader.is_some_and(|leader| leader != from) {
            debug!(?from, leader = ?self.leader, "a second leader in one term: ignored");
            return false;
        }
        self.leader = Some(from);
        self.bound = server.config.lease.is_some();
        self.wait(server, effects);
        true
    }

    /// AppendEntries of the current term (Figure 2, receiver, steps 2 to 5).
    pub(crate) fn on_append_entries(
        &mut self,
        server: &mut Server,
        from: NodeId,
        append: &mut AppendEntries,
        effects: &mut Effects<Raft>,
    ) -> Next {
        if !self.follow(from, server, effects) {
            return Next::Stay;
        }
        let term = server.current_term;
        let skipped =
            planted("R57") && append.repair && append.prev.index <= server.log.last().index;
        if let Some(conflict) = check_consistency(server, append.prev).filter(|_| !skipped) {
            let prev = append.prev.index;
            effects.reached(match conflict {
                Conflict::Short { .. } => "append rejected: the log is short",
                Conflict::Term { .. } => "append rejected: another term",
            });
            effects.send(from, Message::AppendReject { term, prev, conflict });
            return Next::Stay;
        }
        let (last, repair, leader_commit) = (append.last(), append.repair, append.leader_commit);
        if last < self.verified {
            effects.reached("append came late");
        }
        if leader_commit > last {
            effects.reached("leader has committed beyond what it sends");
        }
        if !store(server, append, effects) {
            return Next::Stay;
        }
        self.verified = self.verified.max(last);
        let matched = if planted("R55") { server.log.last().index } else { last };
        effects.send_made(from, || Message::AppendReply { term, matched, repair });
        // Step 5. Not the follower's own last index: its tail may be another leader's.
        let known = if planted("R07") { server.log.last().index } else { last };
        server.commit_to(leader_commit.min(known), effects);
        Next::Stay
    }

    /// A heartbeat of the current term.
    pub(crate) fn on_heartbeat(
        &mut self,
        server: &mut Server,
        from: NodeId,
        (commit, round, priority): (LogIndex, u64, u8),
        effects: &mut Effects<Raft>,
    ) -> Next {
        if !self.follow(from, server, effects) {
            return Next::Stay;
        }
        self.priority = priority;
        let (term, verified, own) = (server.current_term, self.verified, server.priority());
        effects.send(from, Message::HeartbeatReply { term, round, verified, priority: own });
        let last = server.log.last().index;
        if planted("E-23") {
            server.commit_to(commit.min(last), effects);
        } else if commit <= last {
            // The leader named an index that this server has acknowledged in this term.
            server.commit_to(commit, effects);
        } else {
            debug!(%commit, %last, "a heartbeat commits what was never acknowledged: ignored");
        }
        Next::Stay
    }

    /// The leader has forgotten what this server needs next, as far as it knows.
    pub(crate) fn on_compacted(
        &mut self,
        server: &Server,
        from: NodeId,
        start: EntryId,
        effects: &mut Effects<Raft>,
    ) -> Next {
        if !self.follow(from, server, effects) {
            return Next::Stay;
        }
        // What is committed agrees with the leader's log (Leader Completeness, Figure 3).
        let committed = server.commit_index >= start.index;
        if committed || server.log.term_at(start.index) == Some(start.term) {
            // Not the end of its log: its tail may be longer than the leader's log.
            let known = if planted("R200") { server.log.last().index } else { server.commit_index };
            let last = known.max(start.index);
            let (term, conflict) = (server.current_term, Conflict::Short { last });
            effects.send(from, Message::AppendReject { term, prev: start.index, conflict });
        } else {
            effects.fetch(from);
        }
        Next::Stay
    }

    /// A snapshot took the place of the log.
    pub(crate) fn on_log_replaced(&mut self, server: &Server) {
        self.verified = self.verified.min(server.log.last().index);
    }
}

/// Step 2, the consistency check: does the log hold the entry before the new ones? If not, why,
/// so that the leader may skip a term at once instead of an entry (§5.3, at the end).
fn check_consistency(server: &Server, prev: EntryId) -> Option<Conflict> {
    let log = &server.log;
    if prev.index < log.start().index {
        // It was committed, and the leader holds what was (Leader Completeness, Figure 3).
        return None;
    }
    match log.term_at(prev.index) {
        None => Some(Conflict::Short { last: log.last().index }),
        Some(term) if term != prev.term && !planted("E-21") => {
            let first = log.first_of(term).expect("the entry at prevLogIndex is of this term");
            Some(Conflict::Term { term, first })
        }
        Some(_) => None,
    }
}

/// Steps 3 and 4: appends the entries that the log does not have. Only a real conflict cuts the
/// tail: a late AppendEntries must not cut what was acknowledged since. False if the entries
/// contradict what is committed.
fn store(server: &mut Server, append: &mut AppendEntries, effects: &mut Effects<Raft>) -> bool {
    let mut first = append.prev.index.next();
    let mut held = 0;
    let start = server.log.start().index;
    for entry in append.entries.iter() {
        let term = server.log.term_at(first);
        // What a snapshot covers and was forgotten is not compared: it was committed.
        let same = term == Some(entry.term)
            || first < start
            || (planted("R56") && term.is_some() && first > append.prev.index.next());
        if !same || (planted("R06") && first > server.commit_index) {
            break;
        }
        held += 1;
        first = first.next();
    }
    if held == append.entries.len() {
        return true;
    }
    if first <= server.commit_index {
        debug!(%first, "a leader contradicts a committed entry: ignored");
        return false;
    }
    let entries = std::mem::take(&mut append.entries);
    let new = if held == 0 { entries } else { entries[held..].into() };
    server.append(first, new, effects);
    true
}
