//! The Raft paper, section by section ("extended version"; "thesis" is Ongaro's dissertation).
//! "E-…" are notes on how the paper is often misread.

use crate::lab::{Flying, Lab, append, batch, disk, id, terms};
use consensus_core::{
    Batch, Cluster, ClusterId, ConsensusProtocol, Durable, Incarnation, Input, LogIndex, NodeId,
    ProtocolConfig, Refusal, Role,
};
use synod_raft::{
    AppendEntries, Config, Conflict, Entry, EntryId, Message, Raft, Record, Repair, Term, Timer,
};

fn request_vote(term: u64, candidate: u8, last: EntryId) -> Message {
    let (term, candidate, commit) = (Term(term), NodeId(candidate), LogIndex::ZERO);
    Message::RequestVote { term, candidate, last, commit, transfer: false }
}

fn pre_vote(term: u64, last: EntryId) -> Message {
    Message::PreVote { term: Term(term), last, commit: LogIndex::ZERO, offered: false }
}

fn heartbeat(term: u64, leader: u8, commit: u64) -> Message {
    let (term, leader, commit) = (Term(term), NodeId(leader), LogIndex(commit));
    Message::Heartbeat { term, leader, commit, round: 1, priority: 0 }
}

// ---- §5.1 Raft basics

/// §5.1: "if a server receives a request with a stale term number, it rejects the request", with
/// its own term, so that the sender learns of it (E-31: it is not silently ignored).
#[test]
fn requests_of_an_older_term_are_answered_with_the_newer() {
    for stale in [
        request_vote(3, 1, id(2, 9)),
        append(3, 1, EntryId::ZERO, &[3], 0),
        heartbeat(3, 1, 0),
        pre_vote(3, id(2, 9)),
    ] {
        let mut lab = Lab::on_disks(vec![disk(5, &[]), disk(3, &[]), disk(3, &[])]);
        lab.hand(1, 0, stale);
        let answer = lab.take(0, 1, "stale-term");
        assert_eq!(answer, Message::StaleTerm { term: Term(5) });
        assert!(lab.log(0).is_empty() && lab.flying().is_empty());
    }
}

/// §5.1: "if a candidate or leader discovers that its term is out of date, it immediately reverts
/// to follower state."
#[test]
fn a_leader_that_sees_a_later_term_steps_down() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.hand(1, 0, Message::StaleTerm { term: Term(7) });
    let status = lab.status(0);
    assert_eq!((status.role, status.epoch, status.leader), (Role::Follower, 7, None));
    assert!(lab.timer(0, Timer::Heartbeat).is_none(), "it has stopped to beat");
    assert!(lab.timer(0, Timer::Election).is_some());
    lab.propose(0, "late");
    assert_eq!(lab.refused(0), [Refusal::NotLeader(None)]);
}

/// §5.1: late answers of an earlier term count for nothing.
#[test]
fn votes_of_an_earlier_term_do_not_count() {
    let mut lab = Lab::new(3);
    lab.campaign(0);
    lab.carry(0, 1, "request-vote");
    let old = lab.take(1, 0, "vote");
    lab.campaign(0);
    lab.hand(1, 0, old);
    assert_eq!(lab.status(0).role, Role::Candidate);
}

/// … acknowledgements, too: between two terms of one leader another may have overwritten what a
/// follower once acknowledged. So it is for rejections and answers to heartbeats.
#[test]
fn answers_of_an_earlier_term_do_not_count() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.hand(1, 0, Message::StaleTerm { term: Term(2) });
    lab.elect(0);
    lab.propose(0, "x");
    lab.lose_all();
    let (old, last) = (Term(1), lab.status(0).last);
    for follower in [1, 2] {
        lab.hand(follower, 0, Message::AppendReply { term: old, matched: last, repair: false });
    }
    assert!(lab.commit_index(0) < last.0, "nobody has acknowledged x in this term");
    let conflict = Conflict::Short { last: LogIndex::ZERO };
    lab.hand(1, 0, Message::AppendReject { term: old, prev: last, conflict });
    let verified = LogIndex::ZERO;
    lab.hand(1, 0, Message::HeartbeatReply { term: old, round: 9, verified, priority: 0 });
    assert!(lab.flying().is_empty(), "nothing is repaired on an old word");
}

// ---- §5.2 Leader election

/// §5.2 and thesis §9.6: a follower that hears nothing for an election timeout asks whether it
/// could win; then it raises its term, votes for itself, and asks for votes.
#[test]
fn an_election_from_timeout_to_heartbeat() {
    let mut lab = Lab::new(3);
    let timing = lab.cluster().timing;
    assert_eq!(lab.delay(0, Timer::Election).min, timing.election_min);
    lab.fire(0, Timer::Election);
    let rest = lab.delay(0, Timer::Election);
    assert_eq!(rest.max, timing.election_max - timing.election_min);
    lab.fire(0, Timer::Election);
    assert_eq!((lab.count("pre-vote"), lab.status(0).epoch), (2, 0));
    lab.carry(0, 1, "pre-vote");
    assert!(lab.disk(1).is_empty(), "a pre-vote promises nothing");
    lab.carry(1, 0, "pre-vote-reply");
    assert_eq!((lab.status(0).role, lab.status(0).epoch), (Role::Candidate, 1));
    let vote = Record::HardState { term: Term(1), voted_for: Some(NodeId(0)) };
    assert_eq!(lab.disk(0), vec![vote.clone()]);
    lab.carry(0, 1, "request-vote");
    assert_eq!(lab.disk(1).last(), Some(&vote));
    lab.carry(1, 0, "vote");
    assert_eq!((lab.status(0).role, lab.status(0).leader), (Role::Leader, Some(NodeId(0))));
    lab.fire(0, Timer::Heartbeat);
    lab.carry(0, 2, "heartbeat");
    assert_eq!(lab.status(2).leader, Some(NodeId(0)));
}

/// §5.2: "each server will vote for at most one candidate in a given term, on a
/// first-come-first-served basis", also after a restart, and the same one again if asked again.
#[test]
fn one_vote_a_term_restarts_included() {
    let mut lab = Lab::new(3);
    lab.hand(1, 0, request_vote(1, 1, EntryId::ZERO));
    assert!(matches!(lab.take(0, 1, "vote"), Message::Vote { granted: true, .. }));
    lab.crash(0, 0);
    lab.restart(0);
    lab.hand(2, 0, request_vote(1, 2, EntryId::ZERO));
    assert!(matches!(lab.take(0, 2, "vote"), Message::Vote { granted: false, .. }));
    lab.hand(1, 0, request_vote(1, 1, EntryId::ZERO));
    assert!(matches!(lab.take(0, 1, "vote"), Message::Vote { granted: true, .. }));
    lab.hand(2, 0, request_vote(2, 2, EntryId::ZERO));
    assert!(matches!(lab.take(0, 2, "vote"), Message::Vote { granted: true, .. }));
}

/// §5.2: a majority of the *cluster*; a vote that comes twice is one vote.
#[test]
fn a_doubled_vote_counts_once() {
    let mut lab = Lab::new(5);
    lab.campaign(0);
    lab.carry(0, 1, "request-vote");
    let vote = lab.take(1, 0, "vote");
    for _ in 0..3 {
        lab.hand(1, 0, vote.clone());
    }
    assert_eq!(lab.status(0).role, Role::Candidate, "two of five");
    lab.carry(0, 2, "request-vote");
    lab.carry(2, 0, "vote");
    assert_eq!(lab.status(0).role, Role::Leader, "three of five");
}

/// E-06: strictly more than half. Of four servers, two are no majority, neither to elect nor to
/// commit.
#[test]
fn half_of_an_even_cluster_is_no_majority() {
    let mut lab = Lab::new(4);
    lab.campaign(0);
    lab.carry(0, 1, "request-vote");
    lab.carry(1, 0, "vote");
    assert_eq!(lab.status(0).role, Role::Candidate, "two of four");
    lab.carry(0, 2, "request-vote");
    lab.carry(2, 0, "vote");
    assert_eq!(lab.status(0).role, Role::Leader, "three of four");
    lab.carry(0, 1, "append-entries");
    lab.carry(1, 0, "append-reply");
    assert_eq!(lab.commit_index(0), 0, "two of four");
    lab.carry(0, 2, "append-entries");
    lab.carry(2, 0, "append-reply");
    assert_eq!(lab.commit_index(0), 1, "three of four");
}

/// A vote names its candidate: what was said to another one is worth nothing here.
#[test]
fn a_vote_for_somebody_else_does_not_count() {
    let mut lab = Lab::new(3);
    lab.campaign(0);
    let term = Term(1);
    lab.hand(1, 0, Message::Vote { term, candidate: NodeId(2), granted: true });
    lab.hand(1, 0, Message::Vote { term, candidate: NodeId(0), granted: false });
    lab.hand(1, 0, Message::PreVoteReply { term, granted: true });
    assert_eq!(lab.status(0).role, Role::Candidate);
}

/// §5.2: a candidate that hears the leader of its own term returns to follower state.
#[test]
fn a_candidate_follows_the_winner() {
    let mut lab = Lab::new(3);
    lab.campaign(0);
    lab.hand(1, 0, heartbeat(1, 1, 0));
    assert_eq!((lab.status(0).role, lab.status(0).leader), (Role::Follower, Some(NodeId(1))));
}

/// §5.2: if nobody wins, each candidate times out and tries again; here by asking first, so that
/// an isolated server does not raise its term.
#[test]
fn a_split_vote_is_tried_again() {
    let mut lab = Lab::new(3);
    lab.campaign(0);
    lab.lose_all();
    for _ in 0..10 {
        lab.time_out(0);
        lab.lose_all();
    }
    assert_eq!(lab.status(0).epoch, 1);
    lab.time_out(0);
    lab.carry_all();
    assert_eq!((lab.status(0).role, lab.status(0).epoch), (Role::Leader, 2));
}

/// Figure 2, rules for followers: the election timeout starts anew with a word of the current
/// leader or a vote that is *given*, and with nothing else (E-31).
#[test]
fn only_a_granted_vote_restarts_the_timeout() {
    let mut lab = Lab::on_disks(vec![disk(1, &[1, 1]), disk(1, &[1]), disk(1, &[1])]);
    lab.fire(0, Timer::Election);
    let waning = lab.delay(0, Timer::Election);
    lab.hand(1, 0, request_vote(2, 1, id(1, 1)));
    assert_eq!(lab.delay(0, Timer::Election), waning, "refused: a shorter log");
    lab.hand(2, 0, request_vote(2, 2, id(1, 2)));
    assert_ne!(lab.delay(0, Timer::Election), waning, "granted");
}

/// Figure 2: term and vote are on stable storage before the answer leaves; design, rule 2: the
/// question is a promise, too, and the candidate's own vote counts when it is durable.
#[test]
fn votes_wait_for_the_disk() {
    let mut lab = Lab::new(3);
    lab.slow_disks();
    lab.campaign(0);
    assert!(lab.flying().is_empty(), "the question waits for the candidate's disk");
    lab.sync(0);
    lab.carry(0, 1, "request-vote");
    assert_eq!(lab.count("vote"), 0, "the vote waits for the voter's disk");
    lab.sync(1);
    lab.carry(1, 0, "vote");
    assert_eq!(lab.status(0).role, Role::Leader);
}

/// A server alone elects itself, and commits when its own disk has the entry.
#[test]
fn a_single_server_is_its_own_majority() {
    let mut lab = Lab::new(1);
    lab.slow_disks();
    lab.time_out(0);
    assert_eq!(lab.status(0).role, Role::Candidate, "its vote is not on its disk yet");
    lab.sync(0);
    lab.propose(0, "x");
    assert_eq!((lab.status(0).role, lab.commit_index(0)), (Role::Leader, 0));
    lab.sync(0);
    assert_eq!(lab.committed(0), [Batch::noop(), batch("x")]);
}

// ---- §5.3 Log replication

/// §5.3: the leader sends AppendEntries to all; a majority, the leader counted (E-20), commits;
/// the followers learn it with the next message.
#[test]
fn the_normal_case_is_one_round_trip() {
    let mut lab = Lab::new(5);
    lab.elect(0);
    lab.propose(0, "x");
    assert_eq!((lab.count("append-entries"), lab.flying().len()), (4, 4));
    for follower in [1, 2] {
        assert_eq!(lab.commit_index(0), 1);
        lab.carry(0, follower, "append-entries");
        lab.carry(follower, 0, "append-reply");
    }
    assert_eq!(lab.committed(0), [Batch::noop(), batch("x")]);
    assert_eq!(lab.commit_index(1), 1, "a follower does not know it yet");
    lab.propose(0, "y");
    lab.carry(0, 1, "append-entries");
    assert_eq!(lab.commit_index(1), 2, "now it does");
}

/// Commands that come in one burst travel together: one message to each follower.
#[test]
fn a_burst_of_proposals_is_one_message() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.slow_disks();
    for text in ["x", "y", "z"] {
        lab.give(0, Input::Propose(batch(text)));
    }
    assert!(lab.flying().is_empty());
    lab.give(0, Input::Drained);
    assert_eq!(lab.count("append-entries"), 2);
    lab.quick_disks();
    lab.sync(0);
    lab.carry_all();
    assert_eq!(lab.commit_index(0), 4);
}

/// Thesis §10.2.1: the leader's disk works in parallel with its followers'. Nothing is committed
/// that is not on a majority of disks, the leader's own among them only once it has it.
#[test]
fn acknowledgements_and_the_leaders_own_match_wait_for_disks() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.slow_disks();
    lab.propose(0, "x");
    assert_eq!(lab.count("append-entries"), 2, "proposals do not wait");
    lab.carry(0, 1, "append-entries");
    assert!(lab.count("append-reply") == 0, "an acknowledgement does");
    lab.sync(1);
    lab.carry(1, 0, "append-reply");
    assert_eq!(lab.commit_index(0), 1, "one disk of three has it");
    lab.sync(0);
    assert_eq!(lab.commit_index(0), 2, "two disks have it");
    lab.propose(0, "y");
    for follower in [1, 2] {
        lab.carry(0, follower, "append-entries");
        lab.sync(follower);
        if lab.count("append-reply") > 0 {
            lab.carry(follower, 0, "append-reply");
        }
    }
    lab.carry_all();
    lab.sync(2);
    lab.carry_all();
    assert_eq!(lab.commit_index(0), 3, "two followers are a majority without the leader's disk");
}

/// §5.3, the consistency check: an entry at prevLogIndex, and of prevLogTerm (E-21).
#[test]
fn the_consistency_check_looks_at_index_and_term() {
    let mut lab = Lab::on_disks(vec![disk(5, &[1, 1, 4]), disk(5, &[]), disk(5, &[])]);
    lab.hand(1, 0, append(5, 1, id(5, 4), &[5], 0));
    let (term, prev) = (Term(5), LogIndex(4));
    let conflict = Conflict::Short { last: LogIndex(3) };
    assert_eq!(lab.take(0, 1, "append-reject"), Message::AppendReject { term, prev, conflict });
    lab.hand(1, 0, append(5, 1, id(3, 3), &[5], 3));
    let conflict = Conflict::Term { term: Term(4), first: LogIndex(3) };
    let prev = LogIndex(3);
    assert_eq!(lab.take(0, 1, "append-reject"), Message::AppendReject { term, prev, conflict });
    assert_eq!((terms(&lab, 0), lab.commit_index(0)), (vec![1, 1, 4], 0));
}

/// Figure 2, receiver, step 3: a conflicting entry goes *and all that follow it* (E-22).
#[test]
fn a_conflict_cuts_the_whole_tail() {
    let mut lab = Lab::on_disks(vec![disk(5, &[1, 2, 2, 2]), disk(5, &[]), disk(5, &[])]);
    lab.hand(1, 0, append(5, 1, id(1, 1), &[5], 0));
    assert_eq!(terms(&lab, 0), [1, 5]);
    lab.crash(0, 0);
    lab.restart(0);
    assert_eq!(terms(&lab, 0), [1, 5], "on disk, too");
}

/// … and only on a real conflict: a late copy of an AppendEntries does not cut what was
/// acknowledged since (E-22).
#[test]
fn a_late_append_cuts_nothing() {
    let mut lab = Lab::on_disks(vec![disk(5, &[1]), disk(5, &[]), disk(5, &[])]);
    let early = append(5, 1, id(1, 1), &[5], 0);
    lab.hand(1, 0, early.clone());
    lab.hand(1, 0, append(5, 1, id(5, 2), &[5, 5], 0));
    let written = lab.disk(0).len();
    lab.hand(1, 0, early);
    lab.hand(1, 0, append(5, 1, EntryId::ZERO, &[], 0));
    assert_eq!(terms(&lab, 0), [1, 5, 5, 5]);
    assert_eq!(lab.disk(0).len(), written, "nothing new, nothing written");
}

/// Figure 2, step 5: commitIndex = min(leaderCommit, last *new* entry), which is prevLogIndex plus
/// the number of entries, not the follower's own last (E-23); and it never falls.
#[test]
fn a_follower_commits_only_what_was_compared() {
    let mut lab = Lab::on_disks(vec![disk(5, &[1, 1, 4, 4]), disk(5, &[]), disk(5, &[])]);
    lab.without_oracles(); // Of what is made up here as committed no quorum knows.
    lab.hand(1, 0, append(5, 1, id(1, 2), &[], 4));
    assert_eq!(lab.commit_index(0), 2, "3 and 4 may be another leader's");
    lab.hand(1, 0, append(5, 1, id(1, 1), &[], 1));
    assert_eq!(lab.commit_index(0), 2);
    lab.hand(1, 0, append(5, 1, id(1, 2), &[5, 5], 4));
    assert_eq!(lab.commit_index(0), 4);
}

/// A heartbeat commits at most what its receiver has acknowledged, so it carries no danger for a
/// tail that was never compared (E-23).
#[test]
fn a_heartbeat_does_not_commit_a_foreign_tail() {
    let mut lab = Lab::on_disks(vec![disk(3, &[1, 3]), disk(3, &[1, 3]), disk(3, &[1, 2, 2])]);
    lab.elect_with(0, &[1]);
    lab.carry(0, 1, "append-entries");
    lab.carry(1, 0, "append-reply");
    assert_eq!(lab.commit_index(0), 3);
    lab.lose_all();
    lab.fire(0, Timer::Heartbeat);
    lab.carry(0, 1, "heartbeat");
    lab.carry(0, 2, "heartbeat");
    assert_eq!(lab.commit_index(1), 3, "the last commit index travels with the heartbeat");
    assert_eq!(lab.commit_index(2), 0);
}

/// §5.3 and Figure 7: what a new leader needs to repair each of the six logs, in AppendEntries
/// until the follower matches: with the hints that skip a term at a time, and by Figure 2's plain
/// rule, one index a refusal. The leader of term 8 has the log of the figure; its no-op is the
/// eleventh entry. (Theory 2.7: 2, 2, 1, 1, 3, 3 and 2, 7, 1, 1, 6, 8.)
#[test]
fn figure_7_is_repaired_in_few_steps() {
    const LEADER: [u64; 10] = [1, 1, 1, 4, 4, 5, 5, 6, 6, 6];
    let followers: [(&[u64], usize, usize); 6] = [
        (&[1, 1, 1, 4, 4, 5, 5, 6, 6], 2, 2),
        (&[1, 1, 1, 4], 2, 7),
        (&[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 6], 1, 1),
        (&[1, 1, 1, 4, 4, 5, 5, 6, 6, 6, 7, 7], 1, 1),
        (&[1, 1, 1, 4, 4, 4, 4], 3, 6),
        (&[1, 1, 1, 2, 2, 2, 3, 3, 3, 3, 3], 3, 8),
    ];
    for (log, hints, plain) in followers {
        for (repair, expected) in [(Repair::Hints, hints), (Repair::Decrement, plain)] {
            let disks = vec![disk(7, &LEADER), disk(7, log), disk(7, &LEADER)];
            let mut lab = Lab::on_disks_set_up(disks, |config| config.repair = repair);
            lab.elect_with(0, &[2]);
            let (mut sent, one) = (0, NodeId(1));
            let its_own = |flying: &Flying| flying.to == one || flying.from == one;
            while let Some(flying) = lab.flying().into_iter().find(its_own) {
                sent += usize::from(flying.from == NodeId(0));
                lab.lose(&flying);
                lab.deliver(&flying);
            }
            assert_eq!(sent, expected, "{repair:?}: {log:?}");
            assert_eq!(lab.log(1), lab.log(0), "{repair:?}: {log:?}");
        }
    }
}

/// §5.3: "servers retry RPCs": an acknowledgement that got lost is asked for again, and entries
/// that got lost are sent again, as repair and to the one that lacks them.
#[test]
fn lost_messages_are_sent_again() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.propose(0, "x");
    lab.take(0, 1, "append-entries");
    lab.carry(0, 2, "append-entries");
    lab.take(2, 0, "append-reply");
    assert_eq!(lab.commit_index(0), 1);
    for _ in 0..3 {
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all();
    }
    assert_eq!((lab.commit_index(0), lab.commit_index(1), lab.commit_index(2)), (2, 2, 2));
}

/// Figure 2, AppendEntries, receiver, steps 3 to 5: every new entry is compared, an entry that
/// differs goes with all that follow, and nothing is acknowledged or committed beyond the last new
/// entry, though the log be longer (planted bugs R07, R55, R56).
#[test]
fn what_follows_the_new_entries_is_not_compared() {
    let mut lab = Lab::on_disks(vec![disk(2, &[1, 1, 2, 2]), disk(3, &[]), disk(3, &[])]);
    lab.without_oracles(); // Nobody has committed that.
    let reply = |lab: &mut Lab, terms: &[u64]| {
        lab.hand(1, 0, append(3, 1, EntryId::ZERO, terms, 4));
        match lab.take(0, 1, "append-reply") {
            Message::AppendReply { matched, .. } => matched,
            other => unreachable!("{other:?}"),
        }
    };
    assert_eq!((reply(&mut lab, &[1, 1]), lab.commit_index(0)), (LogIndex(2), 2));
    assert_eq!(terms(&lab, 0), [1, 1, 2, 2]);
    assert_eq!((reply(&mut lab, &[1, 1, 3]), lab.commit_index(0)), (LogIndex(3), 3));
    assert_eq!(terms(&lab, 0), [1, 1, 3]);
}

/// §5.3: nextIndex falls when a follower refuses, and for nothing else. The first message of a new
/// leader that gets lost is sent again as it was: not the log from its beginning, nor a snapshot in
/// place of what is forgotten of it. The follower has compared nothing in this term, and may hold
/// everything (planted bug R151).
#[test]
fn a_first_message_that_is_lost_is_sent_again_alone() {
    let full = [1, 1, 1, 1, 1, 1];
    for (log, trailing, entries) in [(&full[..], 99, 1), (&full[..4], 99, 1 + 3), (&full, 1, 1)] {
        let disks = [&full[..], &full, log].map(|log| disk(1, log)).to_vec();
        let mut lab = Lab::on_disks_set_up(disks, |config| config.trailing_entries = trailing);
        lab.elect_with(0, &[1]);
        lab.carry_all_but(NodeId(2).into());
        lab.snapshot(0);
        lab.fire(0, Timer::Heartbeat);
        let mut sent = 0;
        while let Some(flying) = lab.flying().into_iter().next() {
            if let (NodeId(2), Message::AppendEntries(append)) = (flying.to, &*flying.message) {
                sent += append.entries.len();
            }
            lab.lose(&flying);
            lab.deliver(&flying);
        }
        assert_eq!((lab.status(2).last, sent), (LogIndex(7), entries), "{log:?}");
        assert!(!lab.has_reached(0, "a follower needs a snapshot"), "{log:?}");
    }
}

/// A follower that was away for long is brought up to date from where it stands, not from the
/// beginning, and in messages of bounded size.
#[test]
fn a_laggard_catches_up_in_slices() {
    let mut lab = Lab::set_up(3, |config| {
        config.max_append_bytes = 1;
        config.max_in_flight = 2;
    });
    lab.elect(0);
    lab.crash(2, 0);
    for number in 0..10 {
        lab.propose(0, &format!("{number}"));
        lab.carry_all_but(NodeId(2).into());
    }
    lab.restart(2);
    for _ in 0..2 {
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all();
    }
    assert_eq!(lab.log(2), lab.log(0));
    assert_eq!((lab.commit_index(0), lab.commit_index(2)), (11, 11));
}

/// Windows are bounded: a dead follower is not sent more and more.
#[test]
fn a_silent_follower_gets_no_more_than_its_window() {
    let window = 128;
    let mut lab = Lab::set_up(3, |config| config.max_in_flight = window);
    lab.elect(0);
    for number in 0..2 * window {
        lab.propose(0, &format!("{number}"));
        lab.keep(|flying| flying.to != NodeId(1) && flying.from != NodeId(1));
        lab.keep(|flying| flying.to == NodeId(2));
    }
    assert_eq!(lab.flying().len(), window);
}

// ---- §5.4 Safety

/// §5.4.1: a voter refuses a candidate whose log is less up-to-date: last terms first, lengths only
/// if these are equal; equal logs will do.
#[test]
fn the_election_restriction() {
    for (last, granted) in [
        (id(4, 3), true),
        (id(4, 4), true),
        (id(5, 1), true),
        (id(4, 2), false),
        (id(3, 9), false),
        (EntryId::ZERO, false),
    ] {
        let mut lab = Lab::on_disks(vec![disk(5, &[1, 1, 4]), disk(5, &[]), disk(5, &[])]);
        lab.hand(1, 0, pre_vote(6, last));
        lab.hand(1, 0, request_vote(6, 1, last));
        let said = Message::PreVoteReply { term: Term(6), granted };
        assert_eq!(lab.take(0, 1, "pre-vote-reply"), said, "{last:?}");
        let said = Message::Vote { term: Term(6), candidate: NodeId(1), granted };
        assert_eq!(lab.take(0, 1, "vote"), said, "{last:?}");
    }
}

/// E-19: with "refuse if index *or* term is higher", neither of the two live servers could win.
#[test]
fn a_longer_log_of_an_earlier_term_does_not_block() {
    let mut lab = Lab::on_disks(vec![disk(2, &[1, 1, 1]), disk(2, &[1, 2]), disk(2, &[])]);
    lab.crash(2, 0);
    lab.time_out(1);
    lab.carry_all();
    assert_eq!((lab.status(1).role, lab.commit_index(1)), (Role::Leader, 3));
}

/// §5.4.2 and Figure 8: an entry of an earlier term is never committed by counting replicas. Five
/// servers; S1 … S5 are 0 … 4. Each leader has its no-op at index 2 and a command at index 3.
#[test]
fn figure_8() {
    let mut lab = Lab::on_disks(vec![disk(1, &[1]); 5]);
    // (a) S1 leads term 2 and spreads its entries to S2 only.
    lab.elect_with(0, &[1, 2]);
    lab.propose(0, "of S1");
    lab.carry(0, 1, "append-entries");
    lab.carry(1, 0, "append-reply");
    lab.carry(0, 1, "append-entries");
    lab.lose_all();
    // (b) S1 crashes; S5 leads term 3 with votes of S3 and S4, and takes another command.
    lab.crash(0, 0);
    lab.campaign(4);
    lab.lose_all();
    lab.elect_with(4, &[2, 3]);
    lab.propose(4, "of S5");
    lab.lose_all();
    assert_eq!((lab.status(4).epoch, lab.status(4).last), (3, LogIndex(3)));
    // (c) S5 crashes; S1 leads term 4 and spreads what it has of term 2: a majority has it.
    lab.crash(4, 0);
    lab.restart(0);
    lab.campaign(0);
    lab.lose_all();
    lab.elect_with(0, &[1, 2]);
    lab.lose_all();
    assert_eq!(lab.status(0).epoch, 4);
    let of_term_2 = |batch: &Batch| Entry { term: Term(2), batch: batch.clone() };
    let only_old = Message::AppendEntries(AppendEntries {
        term: Term(4),
        leader: NodeId(0),
        prev: id(1, 1),
        entries: lab.log(0)[1..3].iter().map(of_term_2).collect(),
        leader_commit: LogIndex::ZERO,
        repair: true,
    });
    for follower in [1, 2] {
        lab.hand(0, follower, only_old.clone());
        lab.carry(follower, 0, "append-repair-reply");
    }
    let holds = |lab: &Lab, node: usize| lab.log(node).get(2) == Some(&batch("of S1"));
    assert!([0, 1, 2].into_iter().all(|node| holds(&lab, node)), "a majority has it");
    assert_eq!(lab.commit_index(0), 0, "and it is not committed");
    // (d) S1 crashes; S5 can still win with S3 and S4, and overwrite it.
    lab.crash(0, 0);
    lab.restart(4);
    lab.lose_all();
    lab.campaign(4);
    lab.lose_all();
    lab.elect_with(4, &[2, 3]);
    lab.carry_all_but(NodeId(0).into());
    assert_eq!(lab.commit_index(4), 4);
    assert!([1, 2, 3, 4].into_iter().all(|node| lab.log(node)[2] == batch("of S5")));
}

/// Figure 8 (e): once an entry of the own term is on a majority, the old one is committed with it.
#[test]
fn an_entry_of_the_own_term_carries_the_older_ones() {
    let mut lab = Lab::on_disks(vec![disk(2, &[1, 2]), disk(2, &[1]), disk(2, &[1])]);
    lab.elect_with(0, &[1]);
    lab.carry_all_but(NodeId(2).into());
    assert_eq!(lab.commit_index(0), 3, "1, 2, and the no-op");
}

/// §5.4.3: what is committed is never cut, whatever a broken peer says.
#[test]
fn a_committed_entry_is_never_cut() {
    let mut lab = Lab::on_disks(vec![disk(5, &[1, 1]), disk(5, &[]), disk(5, &[])]);
    lab.without_oracles(); // Of what is made up here as committed no quorum knows.
    lab.hand(1, 0, append(5, 1, id(1, 1), &[], 1));
    lab.hand(1, 0, append(5, 1, EntryId::ZERO, &[5], 1));
    assert_eq!((terms(&lab, 0), lab.commit_index(0)), (vec![1, 1], 1));
    lab.hand(2, 0, append(5, 2, id(1, 1), &[5], 1));
    assert_eq!(terms(&lab, 0), [1, 1], "a term has one leader");
}

// ---- §5.5 Follower and candidate crashes

/// §5.5: AppendEntries and votes are idempotent, and a crash between write and answer is harmless.
#[test]
fn a_crash_before_the_answer_is_like_a_lost_message() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.slow_disks();
    lab.propose(0, "x");
    let append = lab.take(0, 1, "append-entries");
    lab.hand(0, 1, append.clone());
    lab.crash(1, 0);
    lab.restart(1);
    assert_eq!(lab.log(1).len(), 1, "the entry was not synced; nobody was told");
    lab.hand(0, 1, append.clone());
    lab.sync(1);
    lab.crash(1, 0);
    lab.restart(1);
    assert_eq!(lab.log(1).len(), 2);
    lab.hand(0, 1, append);
    lab.carry(1, 0, "append-reply");
}

/// A disk whose records this program could not have written takes no part.
#[test]
fn a_disk_that_contradicts_itself_is_refused() {
    let cluster = Cluster::new(ClusterId(1), 3);
    let config = Config::for_cluster(&cluster).expect("a cluster");
    let vote = |node| Record::HardState { term: Term(2), voted_for: Some(NodeId(node)) };
    let durable = |records| Durable::of(Incarnation(2), records);
    let recover = |id, records| Raft::recover(NodeId(id), config.clone(), durable(records));
    assert!(recover(0, vec![vote(1)]).is_ok());
    assert!(recover(0, vec![vote(1), vote(2)]).is_err());
    assert!(recover(128, vec![]).is_err(), "no name of a node");
}

// ---- §5.6 Timing, and the thesis: §6.2 check quorum, §9.6 pre-vote, §4.2.3 disruptive servers

/// Thesis §6.2: a leader steps down if an election timeout passes without word of a majority.
#[test]
fn a_leader_without_a_majority_steps_down() {
    let mut lab = Lab::new(5);
    lab.elect(0);
    lab.fire(0, Timer::Election);
    assert_eq!(lab.status(0).role, Role::Leader, "it was just elected");
    lab.fire(0, Timer::Heartbeat);
    for follower in [1, 2] {
        lab.carry(0, follower, "heartbeat");
        lab.carry(follower, 0, "heartbeat-reply");
    }
    lab.fire(0, Timer::Election);
    assert_eq!(lab.status(0).role, Role::Leader, "three of five, itself included");
    lab.lose_all();
    lab.fire(0, Timer::Heartbeat);
    lab.carry(0, 1, "heartbeat");
    lab.carry(1, 0, "heartbeat-reply");
    lab.fire(0, Timer::Election);
    assert_eq!(lab.status(0).role, Role::Follower, "two of five");
    assert_eq!(lab.status(0).epoch, 1, "it enters no new term for that");
}

/// A leader that cannot write for an election timeout steps down: heartbeats need no disk, so
/// nobody else would notice.
#[test]
fn a_leader_with_a_stalled_disk_steps_down() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.slow_disks();
    lab.propose(0, "x");
    for expected in [Role::Leader, Role::Follower] {
        lab.fire(0, Timer::Heartbeat);
        for follower in [1, 2] {
            lab.carry(0, follower, "heartbeat");
            lab.carry(follower, 0, "heartbeat-reply");
        }
        lab.fire(0, Timer::Election);
        assert_eq!(lab.status(0).role, expected);
    }
}

/// Thesis §4.2.3 and §9.6: who hears a leader helps nobody to depose it, and enters no term.
#[test]
fn a_server_that_hears_its_leader_ignores_candidates() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    let last = id(1, 1);
    for node in [0, 1] {
        lab.hand(2, node, pre_vote(2, last));
        lab.hand(2, node, request_vote(9, 2, last));
        assert!(lab.flying().is_empty());
        assert_eq!(lab.status(node).epoch, 1);
    }
    lab.fire(1, Timer::Election);
    lab.hand(2, 1, pre_vote(2, last));
    let granted = Message::PreVoteReply { term: Term(2), granted: true };
    assert_eq!(lab.take(1, 2, "pre-vote-reply"), granted, "the shortest timeout has passed");
}

/// Thesis §4.2.3: an operator's wish may depose a leader that is well.
#[test]
fn an_operator_may_move_the_leadership() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.elect(1);
    assert_eq!((lab.status(0).role, lab.status(1).epoch), (Role::Follower, 2));
    lab.campaign(1);
    assert!(lab.flying().is_empty(), "a leader has nothing to win");
}

/// E-24: a server that comes back from a partition with an old log disturbs nobody.
#[test]
fn a_server_that_was_cut_off_comes_back_quietly() {
    let mut lab = Lab::new(5);
    lab.elect(0);
    for number in 0..3 {
        lab.time_out(4);
        lab.lose_all();
        lab.propose(0, &format!("{number}"));
        lab.carry_all_but(NodeId(4).into());
    }
    lab.time_out(4);
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!((lab.status(0).role, lab.status(0).epoch), (Role::Leader, 1));
    assert_eq!(lab.log(4), lab.log(0));
}

/// A server whose term ran ahead deposes the leader once, or it could never follow again.
#[test]
fn a_server_with_a_later_term_is_not_left_behind() {
    let mut lab = Lab::on_disks(vec![disk(1, &[]), disk(1, &[]), disk(9, &[])]);
    lab.elect_with(0, &[1]);
    lab.carry_all();
    assert_eq!((lab.status(0).role, lab.status(0).epoch), (Role::Follower, 9));
    lab.time_out(0);
    lab.carry_all();
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!(
        (lab.commit_index(0), lab.commit_index(2)),
        (lab.commit_index(1), lab.commit_index(1))
    );
    assert!(lab.commit_index(2) > 0);
}

// ---- §8 Client interaction

/// §8: a leader starts its term with a no-op, so that it learns what is committed without waiting
/// for a client.
#[test]
fn a_term_starts_with_a_no_op() {
    let mut lab = Lab::on_disks(vec![disk(1, &[1]), disk(1, &[1]), disk(1, &[1])]);
    lab.elect(0);
    assert_eq!(lab.committed(0).len(), 2);
    assert!(lab.committed(0)[1].is_empty());
}

/// §8: who does not lead names the leader; a leader that has too much says that it is busy.
#[test]
fn commands_are_refused_with_a_reason() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.propose(1, "x");
    assert_eq!(lab.refused(1), [Refusal::NotLeader(Some(NodeId(0)))]);
    lab.time_out(1);
    lab.propose(1, "x");
    assert_eq!(lab.refused(1)[1], Refusal::NotLeader(None));

    let mut lab = Lab::set_up(3, |config| config.max_pending_bytes = 60);
    lab.elect(0);
    lab.propose(0, "x");
    lab.propose(0, "y");
    assert_eq!(lab.refused(0), [Refusal::Busy]);
    lab.carry_all();
    lab.propose(0, "z");
    assert_eq!(lab.refused(0).len(), 1, "what is committed no longer counts");
}
