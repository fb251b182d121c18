//! What every server has, whatever its role: Figure 2, "State".

use crate::config::Config;
use crate::entry::{Entries, EntryId, Term};
use crate::log::Log;
use crate::members::Members;
use crate::message::Message;
use crate::record::{Record, Remembered};
use crate::replica::Raft;
use consensus_core::mutant::planted;
use consensus_core::quorum;
use consensus_core::{
    Delay, Effects, InFlight, Incarnation, LogIndex, Membership, NodeId, NodeSet, RecordNumber,
};

/// The state of a server that is the same in all roles.
///
/// Persistent is what `persist` and `append` write: term, vote and log, and with it the members.
/// Everything else is built anew after a crash. `commit_index` is also the paper's lastApplied, as
/// what is committed is given out at once. Always: start of the log ≤ snapshot ≤ committed ≤ last.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Server {
    pub(crate) id: NodeId,
    pub(crate) config: Config,
    /// From the configuration; set anew at every word of a leader.
    pub(crate) least_timeout: Delay,
    /// Which life this is.
    pub(crate) life: Incarnation,
    pub(crate) current_term: Term,
    pub(crate) voted_for: Option<NodeId>,
    pub(crate) log: Log,
    pub(crate) members: Members,
    /// The newest snapshot on this server's disk is of everything up to here.
    pub(crate) snapshot: LogIndex,
    pub(crate) commit_index: LogIndex,
    /// Entries up to here are on this server's own disk, in the log or in the snapshot.
    pub(crate) durable_index: LogIndex,
    /// The records do not know yet that the log starts after the snapshot.
    pub(crate) compaction_due: bool,
    pub(crate) writes: InFlight<Written>,
}

/// What a record that is on its way to the disk carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Written {
    /// The server's vote for itself in this term.
    OwnVote(Term),
    /// Entries up to this index.
    Entries(LogIndex),
}

/// What the disk confirmed, as far as a role may care.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Confirmed {
    /// The vote for itself in the current term.
    pub(crate) own_vote: bool,
    /// Entries.
    pub(crate) entries: bool,
}

impl Server {
    /// A server as its disk remembers it. What a disk gave back is durable; what the snapshot
    /// covers is committed.
    pub(crate) fn new(
        id: NodeId,
        config: Config,
        life: Incarnation,
        remembered: Remembered,
    ) -> Self {
        let Remembered { term, voted_for, log, members, snapshot, replaced } = remembered;
        Self {
            id,
            least_timeout: config.least_timeout(),
            config,
            life,
            current_term: term,
            voted_for,
            durable_index: log.last().index,
            log,
            members,
            snapshot,
            commit_index: snapshot,
            compaction_due: replaced,
            writes: InFlight::default(),
        }
    }

    /// The members in force: the latest in the log (§6).
    pub(crate) fn current(&self) -> &Membership {
        self.members.current()
    }

    /// Everybody else who takes part.
    pub(crate) fn peers(&self) -> NodeSet {
        self.current().members().without(self.id)
    }

    /// How much this server should lead.
    pub(crate) fn priority(&self) -> u8 {
        self.config.priority_of(self.id)
    }

    /// Does this server vote?
    pub(crate) fn is_voter(&self) -> bool {
        self.current().is_voter(self.id)
    }

    /// May this server begin an election? Voters may, and also those whose removal is not known to
    /// be committed (thesis §4.2.2): nobody else may be electable, as their logs lack the entry
    /// that removes it. A server that has restarted knows little of what is committed.
    pub(crate) fn may_campaign(&self) -> bool {
        let removed = planted("R89") || !self.members.has_vote_since(self.commit_index, self.id);
        self.is_voter() || !removed
    }

    /// Are these servers a majority, of either set of voters where there are two (§6)?
    pub(crate) fn is_quorum(&self, servers: NodeSet) -> bool {
        if planted("R42") {
            let voters = self.current().voters;
            return servers.and(voters).len() >= voters.len().div_ceil(2);
        }
        if planted("R71") {
            let voters = self.current().voters;
            return servers.and(voters).len() >= quorum::majority(voters.len());
        }
        if planted("R11b") {
            return servers.len() >= quorum::majority(self.current().voters.len());
        }
        self.current().is_quorum(servers)
    }

    /// Has an entry of the current term been committed? Until then a leader knows neither what is
    /// committed (§8) nor whether a change of members may be begun (Ongaro 2015).
    pub(crate) fn has_committed_in_term(&self) -> bool {
        let index = self.commit_index;
        let forgotten = planted("R180") && self.log.get(index).is_none();
        self.log.term_at(index) == Some(self.current_term) && !forgotten
    }

    /// Tells the driver who takes part. A server that joins does not know yet.
    pub(crate) fn tell_members(&self, effects: &mut Effects<Raft>) {
        let members = self.current();
        let known = !members.voters.is_empty();
        effects.members(members.clone(), known && members.version <= self.commit_index);
    }

    /// Enters a term that another server has reached (§5.1).
    pub(crate) fn enter_term(&mut self, term: Term, effects: &mut Effects<Raft>) {
        assert!(term > self.current_term, "terms only rise");
        self.current_term = term;
        if !planted("R43") {
            self.voted_for = None;
        }
        if !planted("R60") {
            self.persist(effects);
        }
    }

    /// Begins a term of its own, with a vote for itself (§5.2).
    pub(crate) fn begin_term(&mut self, effects: &mut Effects<Raft>) {
        self.current_term = self.current_term.next();
        self.voted_for = Some(self.id);
        let number = self.persist(effects);
        self.writes.wrote(number, Written::OwnVote(self.current_term));
    }

    /// May this candidate have the vote of this server, in the current term? First come, first
    /// served (§5.2), and only to a log that is at least as up-to-date as its own (§5.4.1).
    pub(crate) fn may_vote_for(&self, candidate: NodeId, last: EntryId) -> bool {
        let free = self.voted_for.is_none_or(|voted| voted == candidate) || planted("R59");
        free && self.is_up_to_date(last)
    }

    /// Is a log with this last entry at least as up-to-date as this server's (§5.4.1)?
    pub(crate) fn is_up_to_date(&self, last: EntryId) -> bool {
        let own = self.log.last();
        if planted("R05") {
            return (last.index, last.term) >= (own.index, own.term);
        }
        if planted("E-19b") {
            return last > own || own == EntryId::ZERO;
        }
        if planted("E-19a") {
            return last.term >= own.term && last.index >= own.index;
        }
        last >= own
    }

    /// Gives the vote of the current term.
    pub(crate) fn vote_for(&mut self, candidate: NodeId, effects: &mut Effects<Raft>) {
        let again = self.voted_for == Some(candidate);
        assert!(again || self.voted_for.is_none() || planted("R59"), "one vote a term");
        if again {
            effects.reached("vote given again");
        } else {
            self.voted_for = Some(candidate);
            if !planted("R44") {
                self.persist(effects);
            }
        }
        let term = self.current_term;
        effects.send(candidate, Message::Vote { term, candidate, granted: true });
    }

    fn persist(&self, effects: &mut Effects<Raft>) -> RecordNumber {
        effects.write(self.hard_state())
    }

    pub(crate) fn hard_state(&self) -> Record {
        let term = self.current_term;
        let voted_for = self.voted_for.filter(|voted| *voted != self.id || !planted("R61"));
        Record::HardState { term, voted_for }
    }

    /// Puts entries at `first` and after; whatever stood there is cut.
    pub(crate) fn append(
        &mut self,
        first: LogIndex,
        entries: Entries,
        effects: &mut Effects<Raft>,
    ) {
        if first <= self.commit_index {
            effects.halt(format!("would cut committed entries from index {first}"));
            return;
        }
        let last = self.log.last().index;
        assert!(first <= last.next(), "a log has no gaps");
        let kept = planted("E-22").then(|| {
            self.log.after(first).iter().skip(entries.len()).cloned().collect::<Entries>()
        });
        let mut members_change = first <= last && self.cut_from(first, effects);
        for (index, entry) in (first.0..).map(LogIndex).zip(entries.iter()) {
            members_change |= self.members.appended(index, &entry.batch);
        }
        let count = if planted("R160") { 1 } else { entries.len() };
        let number = effects.write_kept(first, count as u64, || {
            let entries = if planted("R160") { entries[..1].into() } else { entries.clone() };
            Record::Entries { first, entries }
        });
        self.log.extend(entries);
        let written = Written::Entries(self.log.last().index);
        self.writes.wrote_or_joined(number, written, |last| matches!(last, Written::Entries(_)));
        if let Some(kept) = kept {
            self.log.extend(kept);
        }
        if members_change {
            self.tell_members(effects);
        }
    }

    /// Another leader's tail goes, from `first` on. True if that changes the members.
    #[cold]
    fn cut_from(&mut self, first: LogIndex, effects: &mut Effects<Raft>) -> bool {
        effects.reached("conflicting tail cut");
        if self.durable_index < self.log.last().index {
            effects.reached("tail cut while the disk wrote it");
        }
        self.log.truncate(first);
        let members_change = !planted("R72") && self.members.cut_from(first);
        if members_change {
            effects.reached("change of members rolled back");
        }
        if !planted("R45") {
            let kept = if planted("R137") { first } else { first.previous() };
            self.durable_index = self.durable_index.min(kept);
        }
        // A write of entries that were cut must not vouch for those that took their place.
        // Its entries below the cut are vouched for by the record that is written now.
        self.writes.retain(|written| match written {
            Written::Entries(last) => *last < first || planted("R46"),
            Written::OwnVote(_) => true,
        });
        members_change
    }

    /// The disk has every record up to here.
    pub(crate) fn confirm(&mut self, upto: RecordNumber) -> Confirmed {
        let mut confirmed = Confirmed::default();
        for written in self.writes.durable(upto) {
            match written {
                Written::OwnVote(term) => confirmed.own_vote |= term == self.current_term,
                Written::Entries(last) => {
                    let older = self.durable_index;
                    self.durable_index = if planted("R16") { last } else { older.max(last) };
                    if planted("R120") {
                        self.durable_index = self.log.last().index;
                    }
                    confirmed.entries = true;
                }
            }
        }
        confirmed
    }

    /// Commits up to this index, if that is new (Figure 2, rules for all servers).
    pub(crate) fn commit_to(&mut self, index: LogIndex, effects: &mut Effects<Raft>) {
        let before = self.commit_index;
        if index <= before {
            return;
        }
        let Some(done) = self.log.after(before).get(..(index.0 - before.0) as usize) else {
            effects.halt(format!("committed index {index} is not in the log"));
            return;
        };
        effects.commit_run(before.next(), done.iter().map(|entry| &entry.batch));
        self.commit_index = index;
        let version = self.current().version;
        let buried = planted("R142") && version != self.commit_index;
        if before < version && version <= self.commit_index && !buried {
            self.tell_members(effects);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::follower::Follower;
    use crate::replica::Role;
    use consensus_core::{
        Batch, Cluster, ClusterId, ConsensusProtocol as _, Effect, Kept, ProtocolConfig,
    };

    fn server() -> (Server, Effects<Raft>) {
        let config = Config::for_cluster(&Cluster::new(ClusterId(1), 3)).expect("a sound cluster");
        let mut server = {
            let nothing = Remembered::nothing(config.members());
            Server::new(NodeId(0), config, Incarnation(1), nothing)
        };
        let mut effects = Effects::after_recovery(0);
        server.enter_term(Term(9), &mut effects);
        (server, effects)
    }

    fn entries(terms: &[u64]) -> Entries {
        terms.iter().map(|term| crate::Entry { term: Term(*term), batch: Batch::noop() }).collect()
    }

    /// A late "durable" for entries that were cut does not make their successors durable.
    #[test]
    fn a_write_that_was_cut_vouches_for_nothing() {
        let (mut server, mut effects) = server();
        server.append(LogIndex(1), entries(&[1, 1, 1]), &mut effects); // record 2
        server.append(LogIndex(2), entries(&[2, 2]), &mut effects); // record 3
        assert!(!server.confirm(RecordNumber(2)).entries);
        assert_eq!(server.durable_index, LogIndex::ZERO);
        assert!(server.confirm(RecordNumber(3)).entries);
        assert_eq!(server.durable_index, LogIndex(3));
        server.append(LogIndex(2), entries(&[3]), &mut effects);
        assert_eq!(server.durable_index, LogIndex(1), "what replaced it is not yet on disk");
    }

    /// §5.2: the own vote of an election that was given up does not count in the next one.
    #[test]
    fn an_own_vote_counts_in_its_term_only() {
        let (mut server, mut effects) = server();
        server.begin_term(&mut effects); // record 2
        server.begin_term(&mut effects); // record 3
        assert!(!server.confirm(RecordNumber(2)).own_vote);
        assert!(server.confirm(RecordNumber(3)).own_vote);
    }

    /// §5.4: what is committed stays. Cutting it would be our own mistake: the replica stops.
    #[test]
    fn cutting_a_committed_entry_halts() {
        let (mut server, mut effects) = server();
        server.append(LogIndex(1), entries(&[1, 1]), &mut effects);
        server.commit_to(LogIndex(2), &mut effects);
        assert!(effects.halted().is_none());
        server.append(LogIndex(2), entries(&[2]), &mut effects);
        assert!(effects.halted().is_some_and(|why| why.contains("committed")));
    }

    /// What is told to a driver that asks for batches is found in the log by one that does not.
    #[test]
    fn what_is_decided_is_told_or_named() {
        let (mut server, mut told) = server();
        server.append(LogIndex(1), entries(&[1, 1, 2]), &mut told);
        let mut named = Effects::after_recovery(0).in_place();
        for upto in [1, 3] {
            server.clone().commit_to(LogIndex(upto), &mut told);
            server.commit_to(LogIndex(upto), &mut named);
        }
        let index = |effect| match effect {
            Effect::Commit { index, .. } => Some(index.0),
            _ => None,
        };
        assert_eq!(told.drain().filter_map(index).collect::<Vec<_>>(), [1, 2, 3]);
        assert!(!named.is_empty());
        assert_eq!(named.take_decided(), Some((LogIndex(1), 3)));
        assert!(named.take_decided().is_none() && named.is_empty());
        named.commit_run(LogIndex(4), server.log.entries()[..1].iter().map(|it| &it.batch));
        named.commit_run(LogIndex(6), server.log.entries()[..1].iter().map(|it| &it.batch));
        assert!(named.halted().is_some(), "a gap would lose what lies in it");
    }

    /// A record that a driver makes of the log is the one that others are handed, and comes in the
    /// order of writing even where it cannot be left to the log.
    #[test]
    fn a_record_is_told_or_kept() {
        let (mut server, mut told) = server();
        told.drain().for_each(drop);
        let mut kept = Effects::after_recovery(1).in_place();
        let written = |effect| match effect {
            Effect::Write { number, record, needed: true } => Some((number, record)),
            _ => None,
        };
        for (first, terms) in [(1, &[1, 1, 2][..]), (3, &[3]), (4, &[3, 3])] {
            server.clone().append(LogIndex(first), entries(terms), &mut told);
            server.append(LogIndex(first), entries(terms), &mut kept);
            let &[Kept { number, first, count }] = kept.kept() else { panic!("one record") };
            let raft = Raft { server: server.clone(), role: Role::Follower(Follower::new()) };
            let made = raft.kept(first, count).map(|record| (number, record));
            assert_eq!(told.drain().find_map(written), made);
            assert_eq!(kept.drain().find_map(written), None);
        }
        server.enter_term(Term(12), &mut kept);
        server.append(LogIndex(6), entries(&[12]), &mut kept);
        assert!(kept.kept().is_empty(), "kept ones go to the disk before the others of a step");
        let numbers: Vec<u64> = kept.drain().filter_map(written).map(|(it, _)| it.0).collect();
        assert_eq!(numbers, [5, 6]);
    }

    /// "Updated on stable storage before responding" (Figure 2): a promise that is made where it
    /// lies waits, too, and what turns out to be none does not.
    #[test]
    fn a_promise_that_is_made_in_its_place_waits_for_the_disk() {
        let (mut server, _) = server();
        let mut effects = Effects::after_recovery(1).in_place();
        server.append(LogIndex(1), entries(&[1]), &mut effects);
        let (term, candidate) = (Term(9), NodeId(1));
        let left = |effects: &mut Effects<Raft>| {
            let mut kinds = Vec::new();
            effects.leave(|to, message| {
                kinds.push((to.len(), consensus_core::Message::kind(&message).name))
            });
            kinds
        };
        let matched = LogIndex(1);
        effects.send_made(candidate, || Message::AppendReply { term, matched, repair: false });
        effects.send_made(candidate, || Message::Vote { term, candidate, granted: false });
        effects.send(server.peers(), Message::StaleTerm { term });
        assert_eq!(left(&mut effects), [(1, "vote"), (2, "stale-term")]);
        effects.synced(RecordNumber(1));
        assert_eq!(left(&mut effects), []);
        effects.synced(RecordNumber(2));
        assert_eq!(left(&mut effects), [(1, "append-reply")]);
    }

    /// §5.4.1: terms of the last entries first, lengths only among equal terms.
    #[test]
    fn up_to_date_compares_terms_before_lengths() {
        let (mut server, mut effects) = server();
        server.append(LogIndex(1), entries(&[1, 4, 4]), &mut effects);
        let id = |term, index| EntryId::new(Term(term), LogIndex(index));
        assert!(server.is_up_to_date(id(4, 3)), "equal is enough");
        assert!(server.is_up_to_date(id(5, 1)), "a later term beats a longer log");
        assert!(server.is_up_to_date(id(4, 4)));
        assert!(!server.is_up_to_date(id(4, 2)));
        assert!(!server.is_up_to_date(id(3, 9)), "a longer log of an earlier term does not do");
    }
}
