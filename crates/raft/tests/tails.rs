//! Candidates that lag are brought up to date (`tail.rs`; not in the paper). The case is
//! Omni-Paxos' "constrained election" (Ng, Haridi and Carbone, 2023, §2): the only server that
//! reaches a majority lacks what its voters hold.

use crate::lab::{Lab, append, disk, entries, id, terms};
use consensus_core::{Batch, LogIndex, NodeId, Role};
use synod_raft::{
    AppendEntries, Candidates, Config, Entry, EntryId, Message, Record, Tail, Term, Timer,
};

/// Entries as `crate::lab::disk` has them.
fn tail(term: u64, prev: EntryId, terms: &[u64]) -> Message {
    let entries = entries(prev, terms).into_iter().collect();
    Message::Tail(Tail { term: Term(term), prev, entries })
}

/// Servers of one term with these logs; disks that are slow if wanted.
fn cluster(term: u64, logs: &[&[u64]], settings: impl FnOnce(&mut Config)) -> Lab {
    Lab::on_disks_set_up(logs.iter().map(|log| disk(term, log)).collect(), settings)
}

/// Everybody has lost the leader; server 0 alone reaches the others.
fn star(lab: &mut Lab) {
    for node in 0..lab.size() {
        lab.fire(node, Timer::Election);
    }
    lab.fire(0, Timer::Election);
}

/// The case itself: 0 lacks what 1 and 2 hold, asks, is told what it lacks, asks again, and leads,
/// all within one election timeout. What they held is committed.
#[test]
fn the_only_server_that_reaches_a_majority_leads() {
    let mut lab = cluster(3, &[&[1, 1], &[1, 1, 3, 3], &[1, 1, 3]], |_| {});
    star(&mut lab);
    lab.carry_all();
    assert_eq!((lab.status(0).role, lab.status(0).epoch), (Role::Leader, 4));
    assert_eq!(terms(&lab, 0)[..4], [1, 1, 3, 3]);
    assert_eq!(lab.commit_index(0), 5, "what they held, and its own no-op");
}

/// `candidates=wait`: the paper. Nobody tells it, and it cannot lead.
#[test]
fn by_the_paper_it_waits() {
    let wait = |config: &mut Config| config.candidates = Candidates::Wait;
    let mut lab = cluster(3, &[&[1, 1], &[1, 1, 3, 3], &[1, 1, 3]], wait);
    star(&mut lab);
    lab.carry_all();
    assert_eq!((lab.status(0).role, lab.status(0).last), (Role::Candidate, LogIndex(2)));
}

/// No refusal for the log, no message: an election among equals costs what it did.
#[test]
fn an_election_among_equals_sends_no_tail() {
    let mut lab = cluster(3, &[&[1, 3], &[1, 3], &[1, 3]], |_| {});
    star(&mut lab);
    for voter in [1, 2] {
        lab.carry(0, voter, "pre-vote");
    }
    assert_eq!((lab.count("pre-vote-reply"), lab.count("tail")), (2, 0));
}

/// What is sent starts where the two logs part, be the last term of the candidate known (§5.3: then
/// they agree up to the shorter of the two) or not (then at what it knows to be committed).
#[test]
fn a_tail_starts_where_the_logs_part() {
    for (candidate, refuser, prev) in [
        (&[1, 1][..], &[1, 1, 1, 3][..], id(1, 2)),
        (&[1, 1, 2, 2], &[1, 1, 2, 3], id(2, 3)),
        (&[1, 1, 2, 2], &[1, 1, 3], EntryId::ZERO),
        (&[], &[1], EntryId::ZERO),
    ] {
        let mut lab = cluster(3, &[candidate, refuser, refuser], |_| {});
        star(&mut lab);
        lab.carry(0, 1, "pre-vote");
        lab.carry(1, 0, "pre-vote-reply");
        let Message::Tail(tail) = lab.take(1, 0, "tail") else { unreachable!("a tail") };
        assert_eq!(tail.prev, prev, "{candidate:?} {refuser:?}");
        assert_eq!(tail.entries.len(), refuser.len() - prev.index.0 as usize);
        lab.hand(1, 0, Message::Tail(tail));
        assert_eq!(terms(&lab, 0), refuser);
    }
}

/// Messages have a size, but what is cut must still end later than the candidate's log: else it
/// could not be adopted, and nothing would come of it.
#[test]
fn a_tail_that_is_cut_is_newer_all_the_same() {
    let small = |config: &mut Config| config.max_append_bytes = 1;
    for (candidate, refuser, first) in
        [(&[1][..], &[1, 1, 1, 3][..], 1), (&[1, 2, 2], &[1, 1, 1, 3], 4)]
    {
        let mut lab = cluster(4, &[candidate, refuser, refuser], small);
        star(&mut lab);
        lab.carry(0, 1, "pre-vote");
        let Message::Tail(tail) = lab.take(1, 0, "tail") else { unreachable!("a tail") };
        assert_eq!(tail.entries.len(), first, "{candidate:?}");
        lab.hand(1, 0, Message::Tail(tail));
        lab.carry_all();
        assert_eq!(lab.status(0).role, Role::Leader, "{candidate:?}");
        assert_eq!(terms(&lab, 0)[..4], *refuser);
    }
}

/// A tail that no link carries would be lost each time: what bounds it goes by what an append may
/// bring. Beyond, only a snapshot helps (planted bug R155).
#[test]
fn a_tail_is_not_longer_than_a_few_appends() {
    let long = |term| Entry { term: Term(term), batch: crate::lab::batch(&"long".repeat(8 << 10)) };
    let entries = [1, 1, 1, 3].map(long).into_iter().collect();
    let mut refuser = disk(3, &[]);
    refuser[1] = Record::Entries { first: LogIndex(1), entries };
    let candidate = disk(3, &[2, 2, 2]);
    // All four are needed until they end later than the candidate's log: 128 KiB.
    for (max_append_bytes, sent) in [(1, 0), (16 << 10, 0), (40 << 10, 1), (512 << 10, 1)] {
        let disks = vec![candidate.clone(), refuser.clone(), refuser.clone()];
        let mut lab = Lab::on_disks_set_up(disks, |config: &mut Config| {
            config.max_append_bytes = max_append_bytes;
        });
        star(&mut lab);
        lab.carry(0, 1, "pre-vote");
        assert_eq!(lab.count("tail"), sent, "{max_append_bytes}");
    }
}

/// A pre-vote is refused.
fn refusal(term: u64) -> Message {
    Message::PreVoteReply { term: Term(term), granted: false }
}

/// §5.4: only what ends later, by term and index, may take the place of a log: it alone is sure to
/// hold what is committed. And nothing else is taken on trust: the entry before must agree, and the
/// server must still be asking.
#[test]
fn only_a_newer_tail_that_continues_the_log_is_adopted() {
    let log = [1, 1, 3];
    for (bad, why) in [
        (tail(3, id(1, 1), &[1]), "older"),
        (tail(3, id(1, 1), &[2, 2, 2, 2]), "longer, but of an earlier term"),
        (tail(3, id(1, 2), &[3]), "the same"),
        (tail(3, id(2, 2), &[3, 3]), "another history before it"),
        (tail(3, id(3, 4), &[3]), "a gap"),
    ] {
        let mut lab = cluster(4, &[&log, &log, &log], |_| {});
        star(&mut lab);
        lab.hand(1, 0, refusal(5));
        lab.hand(1, 0, bad);
        assert_eq!(terms(&lab, 0), log, "{why}");
    }
    let mut lab = cluster(4, &[&log, &log, &log], |_| {});
    lab.hand(1, 0, tail(4, id(3, 3), &[4]));
    assert_eq!(terms(&lab, 0), log, "a follower");
    lab.elect(0);
    lab.hand(1, 0, tail(4, id(3, 3), &[4]));
    assert_eq!(terms(&lab, 0), [1, 1, 3, 0], "a leader, and its no-op");
}

/// A server that lost its leader can have adopted by name what others overwrite; but never in place
/// of what it knows to be committed (Figure 8: an entry of a later term need not be).
#[test]
fn what_is_committed_is_not_replaced() {
    let mut lab = cluster(4, &[&[1, 1], &[1, 3], &[1, 3]], |_| {});
    // The leader of term 4 has the entry [1,2], too, and has committed one of its own after it: so
    // it is told, and the oracles know nothing of it.
    lab.without_oracles();
    lab.hand(1, 0, append(4, 1, id(1, 2), &[], 2));
    assert_eq!(lab.commit_index(0), 2);
    star(&mut lab);
    lab.hand(1, 0, refusal(5));
    lab.hand(1, 0, tail(4, id(1, 1), &[3, 3]));
    assert_eq!(terms(&lab, 0), [1, 1]);
}

/// §5.3: what a follower acknowledged its leader may count on, and name as committed in a
/// heartbeat. Who adopts a log that ends before the current term leaves the term first.
#[test]
fn who_replaces_what_it_acknowledged_leaves_the_term() {
    let mut lab = cluster(4, &[&[1, 1], &[1, 3], &[1, 3]], |_| {});
    lab.hand(1, 0, append(4, 1, id(1, 2), &[], 0));
    star(&mut lab);
    lab.hand(2, 0, tail(4, id(1, 1), &[3]));
    let held = (terms(&lab, 0), lab.status(0).epoch);
    assert_eq!(held, (vec![1, 1], 4), "who reaches no majority disturbs nobody");
    lab.hand(2, 0, refusal(5));
    assert_eq!((terms(&lab, 0), lab.status(0).epoch), (vec![1, 3], 5));
    let (term, leader, commit) = (Term(4), NodeId(1), LogIndex(2));
    lab.hand(1, 0, Message::Heartbeat { term, leader, commit, round: 1, priority: 0 });
    assert_eq!(lab.commit_index(0), 0, "the leader of term 4 means another entry");
    // What ends in the current term is that leader's own log: no need to leave it.
    let mut lab = cluster(4, &[&[1, 1], &[1, 1, 4], &[1, 1, 4]], |_| {});
    star(&mut lab);
    lab.carry(0, 1, "pre-vote");
    lab.carry(1, 0, "tail");
    assert_eq!((terms(&lab, 0), lab.status(0).epoch), (vec![1, 1, 4], 4));
}

/// §5.5: the vote request that names the new end of the log waits for it to be on disk, and a
/// leader counts its own disk only then.
#[test]
fn what_is_adopted_counts_when_it_is_on_disk() {
    let mut lab = cluster(3, &[&[1], &[1, 3], &[1, 3]], |_| {});
    lab.slow_disks();
    star(&mut lab);
    lab.carry(0, 1, "pre-vote");
    lab.carry(1, 0, "tail");
    lab.keep(|flying| flying.from == NodeId(0));
    lab.take(0, 2, "pre-vote"); // the first one
    lab.carry(0, 1, "pre-vote");
    lab.carry(1, 0, "pre-vote-reply");
    assert_eq!((lab.status(0).role, lab.count("request-vote")), (Role::Candidate, 0));
    assert!(lab.disk(0).len() > 2, "written, but not synced");
    lab.crash(0, 0);
    lab.restart(0);
    assert_eq!(terms(&lab, 0), [1], "nobody was promised anything");
}

/// A candidate keeps the votes that it has: they were given to an older log.
#[test]
fn a_candidate_that_is_brought_up_to_date_keeps_its_votes() {
    let logs: [&[u64]; 5] = [&[1], &[1], &[1], &[1, 3], &[1, 3]];
    let mut lab = cluster(3, &logs, |_| {});
    lab.campaign(0);
    lab.carry(0, 1, "request-vote");
    lab.carry(1, 0, "vote");
    lab.carry(0, 3, "request-vote");
    lab.carry(3, 0, "tail");
    assert_eq!((lab.status(0).role, lab.status(0).epoch), (Role::Candidate, 4));
    assert_eq!(terms(&lab, 0), [1, 3]);
    lab.carry(0, 2, "request-vote");
    lab.carry(2, 0, "vote");
    assert_eq!(lab.status(0).role, Role::Leader);
    assert_eq!(terms(&lab, 0), [1, 3, 0]);
}

/// §5.2, §6: entries of the candidate's own term are a leader's of that term. That one may have
/// changed the members since, and by the new ones the candidate's late votes would be a majority: a
/// second leader of the term.
#[test]
fn a_candidate_adopts_nothing_of_its_own_term() {
    let mut lab = Lab::new(5);
    for candidate in [0, 3] {
        lab.campaign(candidate);
    }
    for voter in [1, 2] {
        lab.carry(0, voter, "request-vote");
        lab.carry(voter, 0, "vote");
    }
    lab.carry(3, 4, "request-vote");
    let late = lab.take(4, 3, "vote");
    let asks = lab.take(3, 0, "request-vote");
    lab.carry_all_but(NodeId(3).into());
    lab.change(0, |seen| seen.remove(NodeId(1)).remove(NodeId(2)));
    lab.carry_all_but(NodeId(3).into());
    assert!(!lab.members(0).0.is_joint(), "the new members are in force");
    lab.hand(3, 0, asks);
    lab.carry(0, 3, "tail");
    lab.hand(4, 3, late);
    assert_eq!((lab.status(0).role, lab.status(3).role), (Role::Leader, Role::Candidate));
    assert_eq!((lab.status(0).epoch, lab.status(3).epoch), (1, 1));
}

/// §7: what the refuser has forgotten comes as a snapshot, and then the rest.
#[test]
fn a_candidate_takes_a_snapshot_where_the_log_is_forgotten() {
    let mut lab = Lab::set_up(3, |config| config.trailing_entries = 0);
    lab.elect(1);
    for text in ["a", "b", "c"] {
        lab.propose(1, text);
        lab.carry_all_but(NodeId(0).into());
    }
    lab.fire(1, Timer::Heartbeat);
    lab.carry_all_but(NodeId(0).into());
    for node in [1, 2] {
        lab.snapshot(node);
    }
    lab.lose_all();
    lab.crash(1, 0);
    lab.time_out(2); // 2 has lost the leader, and does not reach 0.
    lab.lose_all();
    lab.slow_disks_of(NodeId(0).into());
    lab.time_out(0);
    lab.carry_all();
    assert_eq!(lab.sent(0, "snapshot-ask"), [2]);
    assert_eq!(lab.status(0).role, Role::Candidate);
    lab.quick_disks();
    lab.save_received(0);
    lab.time_out(0);
    lab.carry_all();
    assert_eq!(lab.status(0).role, Role::Leader);
}

/// §6: members that stand in adopted entries are in force at once, and fall back when those are
/// cut. Who is no voter by them does not go on asking for votes.
#[test]
fn members_follow_what_is_adopted() {
    let mut lab = Lab::new(3);
    lab.elect(1);
    lab.carry_all();
    lab.change(1, |seen| seen.remove(NodeId(0)));
    lab.carry_all_but(NodeId(0).into());
    lab.lose_all();
    for node in [1, 2] {
        lab.crash(node, 9);
        lab.restart(node);
    }
    star(&mut lab);
    lab.carry(0, 2, "pre-vote");
    lab.carry(2, 0, "tail");
    assert!(!lab.members(0).0.is_voter(NodeId(0)), "the entry that removes it");
    assert_eq!(lab.status(0).role, Role::Candidate, "it may be needed until that is committed");
    lab.without_oracles(); // No such leader could follow: the removal was committed.
    lab.hand(2, 0, Message::StaleTerm { term: Term(2) });
    lab.hand(1, 0, {
        let entries = vec![Entry { term: Term(2), batch: Batch::noop() }];
        let (term, leader, prev) = (Term(2), NodeId(1), id(1, 1));
        let leader_commit = LogIndex(2);
        let entries = entries.into_iter().collect();
        let repair = false;
        Message::AppendEntries(AppendEntries { term, leader, prev, entries, leader_commit, repair })
    });
    assert!(lab.members(0).0.is_voter(NodeId(0)), "cut, and as before");
}

/// A wish to lead goes through, too, where the one that is wanted lags: it learns what it lacks,
/// and asks again when its time has come.
#[test]
fn a_wish_to_lead_is_not_lost_on_a_server_that_lags() {
    let mut lab = cluster(3, &[&[1], &[1, 3], &[1, 3]], |_| {});
    lab.campaign(0);
    lab.carry_all();
    assert_eq!((lab.status(0).role, lab.status(0).last), (Role::Candidate, LogIndex(2)));
    lab.fire(0, Timer::Election);
    lab.fire(1, Timer::Election);
    lab.fire(2, Timer::Election);
    lab.carry_all();
    assert!((0..3).any(|node| lab.status(node).role == Role::Leader));
    let own_vote = Record::HardState { term: Term(4), voted_for: Some(NodeId(0)) };
    assert!(lab.disk(0).contains(&own_vote));
}
