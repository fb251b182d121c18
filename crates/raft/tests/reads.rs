//! Reads that need no entry of the log: thesis §6.4 (ReadIndex, leases), and what may go wrong
//! between them and elections.

use crate::lab::Lab;
use consensus_core::{Input, LogIndex, NodeId, NodeSet, ReadMode, Refusal, Role};
use core::time::Duration;
use synod_raft::{Drift, EntryId, Message, Term, Timer};

const INDEX: ReadMode = ReadMode::Index;
const LEASE: ReadMode = ReadMode::Lease;

fn ms(milliseconds: u64) -> Duration {
    Duration::from_millis(milliseconds)
}

/// Leader 0 of three that has committed its no-op.
fn led() -> Lab {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab
}

/// The same, with leases; heartbeats were answered at time 0.
fn leased() -> Lab {
    let mut lab = Lab::set_up(3, |config| config.lease = Some(Drift::GENEROUS));
    // For the shortest timeout after a start nobody helps to elect anybody.
    (0..3).for_each(|id| lab.fire(id, Timer::Election));
    lab.fire(0, Timer::Election);
    lab.carry_all();
    assert_eq!((lab.status(0).role, lab.commit_index(0)), (Role::Leader, 1));
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    lab
}

fn request_vote(term: u64, candidate: u8, transfer: bool) -> Message {
    let last = EntryId::new(Term(1), LogIndex(1));
    let (term, candidate, commit) = (Term(term), NodeId(candidate), LogIndex(1));
    Message::RequestVote { term, candidate, last, commit, transfer }
}

/// Thesis §6.4, steps 2 and 3: a leader answers once a majority has answered a heartbeat, with what
/// was committed when it was asked.
#[test]
fn a_read_waits_for_a_majority() {
    let mut lab = led();
    lab.read(0, INDEX);
    assert!(lab.ready(0).is_empty());
    lab.carry(0, 1, "heartbeat");
    lab.carry(1, 0, "heartbeat-reply");
    assert_eq!(lab.ready(0), [(1, 1)]);
}

/// … and reads that come meanwhile share the next round: 2(n-1) messages for any number of reads.
#[test]
fn reads_share_a_round() {
    let mut lab = led();
    lab.read(0, INDEX);
    for _ in 2..10 {
        lab.read(0, INDEX);
    }
    assert_eq!(lab.count("heartbeat"), 2, "one round is under way");
    lab.carry(0, 1, "heartbeat");
    lab.carry(1, 0, "heartbeat-reply");
    assert_eq!(lab.ready(0), [(1, 1)]);
    lab.carry_all();
    let names: Vec<_> = lab.ready(0).iter().map(|(name, _)| *name).collect();
    assert_eq!(names, (1..10).collect::<Vec<_>>());
    assert!(lab.has_reached(0, "reads share a round"));
}

/// Thesis §6.4: a round for reads begins as soon as the last one was answered, so many of them pass
/// while a disk writes. That is no sign that an append got lost: none is sent again, and those that
/// follow do not wait (planted bug R152).
#[test]
fn steady_reads_do_not_make_a_slow_disk_look_like_a_lost_message() {
    let mut lab = led();
    lab.slow_disks_of([1, 2].map(NodeId).into_iter().collect());
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    for name in ["x", "y"] {
        lab.propose(0, name);
        assert_eq!(lab.count("append-entries"), 2, "it does not wait for an answer");
        for _ in 0..4 {
            lab.read(0, INDEX);
            lab.carry_all();
        }
    }
    assert!(lab.sent(0, "append-repair").is_empty() && !lab.ready(0).is_empty());
    assert_eq!(lab.commit_index(0), 1);
    (1..3).for_each(|id| lab.sync(id));
    lab.carry_all();
    assert_eq!(lab.commit_index(0), 3);
}

/// A round that began before the read came proves nothing: another leader may have committed
/// something between the two.
#[test]
fn a_round_counts_for_reads_that_came_before_it() {
    let mut lab = led();
    lab.fire(0, Timer::Heartbeat);
    lab.carry(0, 1, "heartbeat");
    lab.read(0, INDEX);
    lab.carry(1, 0, "heartbeat-reply");
    assert!(lab.ready(0).is_empty(), "that was an answer to an earlier question");
    lab.carry_all();
    assert_eq!(lab.ready(0), [(1, 1)]);
}

/// Thesis §6.4, step 1; read × term start: until an entry of its term is committed, a leader does
/// not know what is.
#[test]
fn a_new_leader_reads_after_its_first_commit() {
    let mut lab = Lab::new(3);
    lab.elect_with(0, &[1]);
    let appends = lab.flying();
    lab.lose_all();
    lab.read(0, INDEX);
    lab.fire(0, Timer::Heartbeat);
    lab.carry(0, 1, "heartbeat");
    lab.carry(1, 0, "heartbeat-reply");
    assert!(lab.ready(0).is_empty(), "it leads, and knows no more");
    lab.lose_all();
    appends.iter().for_each(|append| lab.deliver(append));
    lab.carry_all();
    assert_eq!(lab.ready(0), [(1, 1)]);
}

/// Thesis §6.4: a follower asks its leader for the index, once for many reads, and waits until it
/// has applied that much.
#[test]
fn a_follower_reads_at_the_leaders_index() {
    let mut lab = led();
    lab.propose(0, "x");
    lab.carry_all_but(NodeId(2).into());
    assert_eq!((lab.commit_index(0), lab.commit_index(2)), (2, 0));
    for _ in 0..2 {
        lab.on(2, |stage, id| _ = stage.give_read(id, INDEX));
    }
    lab.give(2, Input::Drained);
    assert_eq!(lab.count("read-index"), 1);
    lab.carry_all();
    assert_eq!(lab.ready(2), [(1, 2), (2, 2)]);
}

/// Thesis §6.4.1: only who asks for it relies on clocks. A leader answers a follower by its lease
/// if all the reads that come together want that.
#[test]
fn a_read_by_index_among_reads_by_lease_does_not_rely_on_clocks() {
    for (modes, by_lease) in [([LEASE, LEASE], 1), ([INDEX, LEASE], 0), ([LEASE, INDEX], 0)] {
        let mut lab = leased();
        for mode in modes {
            lab.on(2, |stage, id| _ = stage.give_read(id, mode));
        }
        lab.give(2, Input::Drained);
        lab.carry(2, 0, "read-index");
        assert_eq!(lab.count("read-reply"), by_lease, "{modes:?}");
        lab.carry_all();
        assert_eq!(lab.ready(2).len(), 2, "{modes:?}");
    }
}

/// etcd #20418: names of reads begin anew with each life of a server. An answer to an earlier life
/// is for nobody.
#[test]
fn an_answer_to_an_earlier_life_is_not_taken() {
    let mut lab = led();
    lab.read(2, INDEX);
    lab.carry(2, 0, "read-index");
    lab.carry_all_but(NodeId(2).into());
    lab.read(2, INDEX);
    lab.lose_all();
    let old = Message::ReadReply {
        term: Term(1),
        life: consensus_core::Incarnation(1),
        ticket: 1,
        index: Some(LogIndex(1)),
    };
    lab.crash(2, 0);
    lab.restart(2);
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    lab.propose(0, "x");
    lab.carry_all();
    lab.read(2, INDEX);
    lab.hand(0, 2, old);
    assert!(lab.ready(2).is_empty(), "x is missing in it");
    lab.carry_all();
    assert_eq!(lab.ready(2), [(1, 2)]);
}

/// Nobody waits for what will not come: without a leader, and when the leadership is lost.
#[test]
fn reads_are_given_up_with_the_leader() {
    let mut lab = led();
    lab.read(0, INDEX);
    lab.hand(1, 0, Message::StaleTerm { term: Term(5) });
    lab.read(0, INDEX);
    let nobody = Refusal::NotLeader(None);
    assert_eq!(lab.refused_reads(0), [(1, nobody), (2, nobody)]);
    lab.lose_all();
    let mut lab = led();
    lab.read(1, INDEX);
    lab.hand(0, 1, Message::StaleTerm { term: Term(5) });
    assert_eq!(lab.refused_reads(1), [(1, nobody)]);
    // Who is asked and does not lead says so.
    let life = consensus_core::Incarnation(1);
    lab.hand(2, 1, Message::ReadIndex { term: Term(5), life, ticket: 1, lease: false });
    let no = Message::ReadReply { term: Term(5), life, ticket: 1, index: None };
    assert_eq!(lab.take(1, 2, "read-reply"), no);
}

/// … and a follower whose leader steps down within its term is told, too (planted bug R158).
#[test]
fn forwarded_reads_are_given_up_with_the_leadership() {
    let mut lab = led();
    lab.read(2, INDEX);
    lab.carry(2, 0, "read-index");
    lab.lose_all();
    for _ in 0..2 {
        lab.fire(0, Timer::Election);
    }
    lab.carry(0, 2, "read-reply");
    assert_eq!(lab.refused_reads(2), [(1, Refusal::NotLeader(None))]);
}

/// A server alone needs nobody's answer.
#[test]
fn a_single_server_reads_at_once() {
    let mut lab = Lab::new(1);
    lab.time_out(0);
    lab.read(0, INDEX);
    assert_eq!(lab.ready(0), [(1, 1)]);
}

/// What is not offered is refused: quorum reads, and lease reads where no drift is declared.
#[test]
fn what_is_not_offered_is_refused() {
    let mut lab = led();
    lab.read(0, ReadMode::Quorum);
    lab.read(0, LEASE);
    let refused = |name| (name, Refusal::Unsupported);
    assert_eq!(lab.refused_reads(0), [refused(1), refused(2)]);
}

// ---- Leases (thesis §6.4.1)

/// A lease saves the messages, as long as it runs: an election timeout less the drift of clocks,
/// counted from when the heartbeat was sent. Afterwards a round is needed again.
#[test]
fn a_lease_saves_the_round_while_it_runs() {
    let promised = ms(300);
    let lease = promised.as_secs_f64() / (1.01 * 1.01);
    for (at, holds) in [(0, true), (290, true), (299, false)] {
        assert_eq!((at as f64) < lease * 1000.0, holds, "the margin is some 6 ms");
        let mut lab = leased();
        lab.wait_until(ms(at));
        lab.read(0, LEASE);
        assert_eq!(lab.ready(0).len(), usize::from(holds), "at {at} ms");
        assert_eq!(lab.flying().is_empty(), holds);
        lab.carry_all();
        assert_eq!(lab.ready(0), [(1, 1)]);
    }
}

/// … from the heartbeat that was answered, not from a later one.
#[test]
fn a_lease_counts_from_the_heartbeat_that_was_answered() {
    let mut lab = leased();
    lab.wait_until(ms(100));
    lab.fire(0, Timer::Heartbeat);
    let early = lab.flying();
    lab.wait_until(ms(250));
    lab.lose_all();
    lab.fire(0, Timer::Heartbeat);
    lab.lose_all();
    early.iter().for_each(|heartbeat| lab.deliver(heartbeat));
    lab.carry_all();
    lab.wait_until(ms(410));
    lab.read(0, LEASE);
    assert!(lab.ready(0).is_empty(), "400 ms at most");
}

/// A follower has a leader's lease read for it, for two messages.
#[test]
fn a_follower_reads_by_the_leaders_lease() {
    let mut lab = leased();
    lab.read(1, LEASE);
    lab.carry(1, 0, "read-index");
    lab.carry(0, 1, "read-reply");
    assert!(lab.flying().is_empty());
    assert_eq!(lab.ready(1), [(1, 1)]);
}

/// Transfer × lease read: whom the leader tells to campaign others will heed. From then on, and
/// for the rest of the term, it has no lease.
#[test]
fn a_transfer_ends_the_lease_for_the_term() {
    let mut lab = leased();
    lab.transfer(0, 1);
    lab.read(0, LEASE);
    assert!(lab.ready(0).is_empty());
    let late = lab.take(0, 1, "timeout-now");
    lab.lose_all();
    lab.fire(0, Timer::HandOver);
    for _ in 0..2 {
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all();
    }
    lab.read(0, LEASE);
    assert!(!lab.ready(0).iter().any(|(name, _)| *name == 2), "the word may come late");
    lab.lose_all();
    lab.hand(0, 1, late);
    lab.carry_all();
    assert_eq!(lab.status(1).role, Role::Leader);
}

/// Members × lease: those who promised may be no quorum of the new members.
#[test]
fn a_change_of_members_starts_the_lease_over() {
    let mut lab = leased();
    lab.change(0, |seen| seen.remove(NodeId(2)));
    lab.lose_all();
    lab.read(0, LEASE);
    assert!(lab.ready(0).is_empty());
}

/// Pre-vote × check-quorum × lease: a promise to a leader outlives the leader's term, since that
/// leader need not know that its term is over.
#[test]
fn a_promise_outlives_the_term() {
    let mut lab = leased();
    lab.hand(2, 1, Message::StaleTerm { term: Term(3) });
    assert_eq!(lab.status(1).epoch, 3);
    lab.hand(2, 1, request_vote(4, 2, false));
    assert_eq!(lab.count("vote"), 0);
    lab.fire(1, Timer::Election);
    lab.hand(2, 1, request_vote(4, 2, false));
    assert_eq!(lab.count("vote"), 1, "the shortest timeout has passed");
}

/// … and a restart, since the server does not remember whom it heard.
#[test]
fn a_promise_outlives_a_restart() {
    let mut lab = leased();
    lab.crash(1, 0);
    lab.restart(1);
    lab.hand(2, 1, request_vote(4, 2, false));
    assert_eq!(lab.count("vote"), 0);
    lab.fire(1, Timer::Election);
    lab.hand(2, 1, request_vote(4, 2, false));
    assert_eq!(lab.count("vote"), 1);
}

/// With leases, an operator's wish goes through the leader, who gives up its lease for it.
#[test]
fn with_leases_a_wish_goes_through_the_leader() {
    let mut lab = leased();
    lab.campaign(2);
    assert_eq!((lab.status(2).role, lab.count("wish-to-lead")), (Role::Follower, 1));
    lab.carry_all();
    assert_eq!(lab.status(2).role, Role::Leader);
    assert!(lab.has_reached(0, "told to campaign"));
    // Without a leader it asks like any other, once its own promise has ended.
    let mut lab = leased();
    lab.hand(2, 1, Message::StaleTerm { term: Term(3) });
    lab.campaign(1);
    assert_eq!(lab.status(1).role, Role::Follower);
    lab.fire(1, Timer::Election);
    lab.campaign(1);
    assert_eq!(lab.status(1).role, Role::Candidate);
    assert_eq!(lab.count("request-vote"), 0, "it asks whether it could win");
}

/// A leader that cannot reach a majority answers nothing, by a lease or without.
#[test]
fn an_isolated_leader_answers_nothing() {
    let mut lab = leased();
    let others = NodeSet::first(3).without(NodeId(0));
    lab.wait_until(ms(500));
    lab.read(0, INDEX);
    lab.read(0, LEASE);
    for _ in 0..5 {
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all_but(others);
    }
    assert!(lab.ready(0).is_empty());
}
