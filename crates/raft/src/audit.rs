//! What the oracles may know of Raft.

use crate::config::Config;
use crate::invariants;
use crate::message::Message;
use crate::record::Record;
use crate::replica::{Raft, Role, Timer};
use crate::server::Server;
use consensus_core::{Audit, Batch, Certificate, Claim, Env, Ledger, LogIndex, NodeId, Topic};

impl Audit for Raft {
    const LOG_MATCHING: bool = true;

    const MARKS: &'static [&'static str] = &[
        "a candidate finds that another leads",
        "a candidate is brought up to date",
        "a candidate is sent what it lacks",
        "a candidate lacks what is forgotten",
        "a candidate leaves its term to catch up",
        "a candidate needs a snapshot",
        "a deposed leader speaks",
        "a follower needs a snapshot",
        "a pre-vote for one that asks no more",
        "a read finds no lease",
        "a read is given up with the leadership",
        "a read waits for the first commit of the term",
        "a server must catch up before it votes",
        "a server of a higher priority takes over",
        "asks whether it could take over",
        "a tail for one that asks for votes no more",
        "a tail is of no use",
        "a tail waits until a majority has answered",
        "a vote is asked for in an old term",
        "a whole term is skipped in search of the match",
        "a wish to lead waits for a promise",
        "acknowledgement of an older term",
        "an answer to a read of an earlier life",
        "an election was not decided",
        "another message of an older term",
        "another round of catching up",
        "append came late",
        "append lost and sent again",
        "append rejected: another term",
        "append rejected: the log is short",
        "asks the leader to hand over",
        "caught up after a snapshot",
        "caught up and promoted",
        "change of members rolled back",
        "change refused",
        "change refused: another is under way",
        "change refused: nothing committed in this term",
        "command refused during hand-over",
        "committed before the leader's own disk has it",
        "conflicting tail cut",
        "election by wish",
        "entry of an older term committed through a newer one",
        "entry of an older term on a majority, not committed",
        "hand-over came to nothing",
        "hand-over refused: not another voter",
        "joint change begun",
        "joint change completed",
        "leader has committed beyond what it sends",
        "leader hands back what it had not appended",
        "leader is busy",
        "leader learned of a later term",
        "leader stepped down: disk",
        "leader stepped down: quorum",
        "log compacted",
        "not a voter: does not campaign",
        "pre-vote ignored: the leader lives",
        "pre-vote refused: the log is behind",
        "reads share a round",
        "removed leader steps down",
        "snapshot installed in place of a longer log",
        "snapshot installed in place of the log",
        "tail cut while the disk wrote it",
        "told to campaign",
        "vote given again",
        "vote of an older term",
        "vote refused: given to another",
        "vote refused: the log is behind",
        "vote request ignored: the leader lives",
        "waits for a server of a higher priority",
    ];

    /// Servers are all alike but for their priorities. Who is removed breaks a tie by number, so a
    /// model in which members change is not folded, which is for the explorer to see to.
    fn is_symmetric(config: &Config) -> bool {
        config.priorities.is_empty()
    }

    fn claims(message: &Message) -> Vec<Claim> {
        let term = u128::from(message.term().0);
        let promised = Claim::Rising(Topic::new("term", 0u64, 0), term);
        match message {
            // One vote a term (§5.2). Who asks for votes has voted for itself.
            Message::RequestVote { candidate, .. }
            | Message::Vote { candidate, granted: true, .. } => {
                let vote = Claim::For(Topic::new("vote", term, 0), *candidate);
                vec![promised, vote]
            }
            Message::AppendReply { .. } => vec![promised],
            // A leader creates one entry at an index in its term (§5.3).
            Message::AppendEntries(append) => {
                let own = |entry: &(LogIndex, &crate::Entry)| entry.1.term == append.term;
                let claim = |(index, entry): (LogIndex, &crate::Entry)| {
                    let topic = Topic::new("entry", term, index.0);
                    Claim::Once(topic, u128::from(entry.batch.fingerprint().0))
                };
                numbered(append.prev.index.next(), &append.entries).filter(own).map(claim).collect()
            }
            // No promises: the term in them may not be on disk.
            Message::PreVote { .. }
            | Message::PreVoteReply { .. }
            | Message::Vote { granted: false, .. }
            | Message::Tail(_)
            | Message::AppendReject { .. }
            | Message::Heartbeat { .. }
            | Message::HeartbeatReply { .. }
            | Message::StaleTerm { .. }
            | Message::Compacted { .. }
            | Message::Snapshot(_)
            | Message::TimeoutNow { .. }
            | Message::WishToLead { .. }
            | Message::ReadIndex { .. }
            | Message::ReadReply { .. } => Vec::new(),
        }
    }

    fn absorb(record: &Record, disk: &mut Ledger) {
        match record {
            Record::HardState { .. } => {}
            Record::Entries { first, entries } => {
                disk.cut_from(*first);
                for (index, entry) in numbered(*first, entries) {
                    disk.hold(index, u128::from(entry.term.0), entry.batch.fingerprint());
                }
            }
            Record::Start { last, .. } => disk.forget_upto(last.index),
        }
    }

    fn leads(&self) -> Option<u64> {
        match &self.role {
            Role::Leader(_) => Some(self.server.current_term.0),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => None,
        }
    }

    fn entry(&self, index: LogIndex) -> Option<&Batch> {
        self.server.log.get(index).map(|entry| &entry.batch)
    }

    /// Raft's acknowledgements name an index and stand for everything before it; there is no vote
    /// for a single entry. The disks tell instead.
    fn certificate(&self, _index: LogIndex) -> Option<Certificate> {
        None
    }

    fn check(&self) -> Result<(), String> {
        invariants::check(self).map_err(str::to_owned)
    }

    fn check_since(&self, before: &Self) -> Result<(), String> {
        invariants::check_step(before, self).map_err(str::to_owned)
    }

    fn goes_by(&self) -> Option<(LogIndex, bool)> {
        let (members, commit) = (self.server.current(), self.server.commit_index);
        let known = !members.voters.is_empty();
        known.then_some((members.version, members.version <= commit))
    }

    /// Thesis §6.4: its commit index, once an entry of its own term is committed.
    fn reads_as_of(&self) -> Option<LogIndex> {
        let leads = matches!(self.role, Role::Leader(_)) && self.server.has_committed_in_term();
        leads.then_some(self.server.commit_index)
    }

    /// Figure 2, rules for servers: each waits for one it might never hear of again.
    fn relies_on(&self, each: &mut dyn FnMut(Timer)) {
        each(Timer::Election);
        if let Role::Leader(leader) = &self.role {
            each(Timer::Heartbeat);
            leader.hand_over.iter().for_each(|_| each(Timer::HandOver));
        }
    }

    fn leftover(&self) -> Option<&'static str> {
        invariants::leftover(self)
    }

    /// Thesis §6.4.1.
    fn holds_lease(&self, env: &Env<'_>) -> bool {
        match &self.role {
            Role::Leader(leader) => leader.may_read_by_lease(&self.server, env.now),
            Role::Follower(_) | Role::PreCandidate(_) | Role::Candidate(_) => false,
        }
    }

    /// matchIndex of every follower (Figure 2), and what the own disk has.
    fn counts_on(&self, each: &mut dyn FnMut(NodeId, LogIndex, u128)) {
        let Server { id, durable_index, log, .. } = &self.server;
        let mut tell = |node: NodeId, index: LogIndex| {
            let term = log.term_at(index).filter(|_| index > log.start().index);
            if let Some(term) = term {
                each(node, index, u128::from(term.0));
            }
        };
        tell(*id, *durable_index);
        if let Role::Leader(leader) = &self.role {
            leader.progress.iter().for_each(|(node, progress)| tell(node, progress.matched()));
        }
    }
}

fn numbered(
    first: LogIndex,
    entries: &[crate::Entry],
) -> impl Iterator<Item = (LogIndex, &crate::Entry)> {
    (first.0..).map(LogIndex).zip(entries)
}
