//! Castro & Liskov, "Practical Byzantine Fault Tolerance" (OSDI '99), section by section. What
//! liars try is in `liars.rs`.

use crate::lab::{
    Lab, a_view_change_with_a_gap, bare_view_change, batch, decide, new_view_of, pre_prepare, said,
    sequence, view_change_of, vote,
};
use consensus_core::{
    Answers, Batch, ConsensusProtocol, Durable, Incarnation, LogIndex, Message as _, NodeId, Role,
};
use synod_pbft::{Body, Config, Decided, Digest, Pbft, Record, SignedViewChange, Timer};

/// §4.2: three phases; n-1 pre-prepares, (n-1)² prepares, n(n-1) commits, and it is executed. The
/// primary sends no prepare: its pre-prepare is its word.
#[test]
fn the_normal_case_takes_three_phases() {
    let mut lab = Lab::new(4);
    lab.propose(0, "x");
    for (kind, messages) in [("pre-prepare", 3), ("prepare", 9), ("commit", 12)] {
        assert_eq!(lab.count(kind), messages, "{kind}");
        assert_eq!(lab.flying().len(), messages, "nothing else is said");
        assert!((0..4).all(|id| lab.committed(id).is_empty()), "too early");
        if kind == "prepare" {
            assert_eq!(lab.count_from(kind, |from| from == 0), 0);
        }
        lab.carry_kind(kind);
    }
    assert!(lab.flying().is_empty());
    for id in 0..4 {
        assert_eq!(lab.committed(id), [batch("x")]);
    }
}

/// §4.2: prepares and commits count when they match the pre-prepare in digest.
#[test]
fn only_votes_for_the_same_requests_count() {
    let mut lab = Lab::new(4).without_oracles();
    let (x, y) = (batch("x"), batch("y"));
    lab.hand(0, 1, pre_prepare(0, 1, 0, &x));
    lab.hand(2, 1, said(2, Body::Prepare(vote(0, 1, &y))));
    assert_eq!(lab.count("commit"), 0, "its own prepare, and one for something else");
    lab.hand(3, 1, said(3, Body::Prepare(vote(0, 1, &x))));
    assert_eq!(lab.count("commit"), 3);
    lab.hand(0, 1, said(0, Body::Commit(vote(0, 1, &y))));
    lab.hand(2, 1, said(2, Body::Commit(vote(0, 1, &x))));
    assert!(lab.committed(1).is_empty(), "two commits that match, and one that does not");
    lab.hand(3, 1, said(3, Body::Commit(vote(0, 1, &x))));
    assert_eq!(lab.committed(1), [x]);
}

/// §4.2: votes are of *different* replicas.
#[test]
fn a_repeated_vote_counts_once() {
    let mut lab = Lab::new(7).without_oracles();
    let x = batch("x");
    lab.hand(0, 1, pre_prepare(0, 1, 0, &x));
    for from in [2, 2, 2, 2, 3] {
        lab.hand(from, 1, said(from, Body::Prepare(vote(0, 1, &x))));
    }
    assert_eq!(lab.count("commit"), 0, "three backups of the four that it takes");
    lab.hand(4, 1, said(4, Body::Prepare(vote(0, 1, &x))));
    assert_eq!(lab.count("commit"), 6);
    for from in [2, 2, 2, 2, 3, 4] {
        lab.hand(from, 1, said(from, Body::Commit(vote(0, 1, &x))));
    }
    assert!(lab.committed(1).is_empty(), "four replicas of the five that it takes");
    lab.hand(0, 1, said(0, Body::Commit(vote(0, 1, &x))));
    assert_eq!(lab.committed(1), [x]);
}

/// §3 and §4: two quorums share a correct replica. With n = 3f + 1 that is 2f + 1; for n = 5 and 6
/// it is 4, where 2f + 1 = 3 would not do.
#[test]
fn a_quorum_is_needed_and_enough() {
    for (nodes, needed) in [(4, 3), (5, 4), (6, 4), (7, 5)] {
        for (alive, works) in [(needed, true), (needed - 1, false)] {
            let mut lab = Lab::new(nodes);
            lab.cut(alive..nodes);
            decide(&mut lab, "x");
            let done = (0..alive).all(|id| lab.committed(id) == [batch("x")]);
            let none = (0..nodes).all(|id| lab.committed(id).is_empty());
            assert!(if works { done } else { none }, "{alive} of {nodes}");
        }
    }
}

/// §4.2: a pre-prepare may arrive after the votes on it, and numbers are executed in order.
#[test]
fn requests_are_executed_in_the_order_of_their_numbers() {
    let mut lab = Lab::new(4);
    lab.propose(0, "x");
    lab.propose(0, "y");
    let late = lab.take(0, 3, "pre-prepare");
    lab.carry_all();
    assert_eq!(lab.committed(1), [batch("x"), batch("y")]);
    assert!(lab.committed(3).is_empty(), "number 2 is decided and waits for number 1");
    lab.hand(0, 3, late);
    assert_eq!(lab.committed(3), [batch("x"), batch("y")]);
}

/// §4.2: "it has not accepted a pre-prepare for view v and sequence number n containing a
/// different digest"; and it does not forget that in a crash.
#[test]
fn a_backup_accepts_one_pre_prepare_for_a_number() {
    let mut lab = Lab::new(4);
    let (x, y) = (batch("x"), batch("y"));
    lab.hand(0, 1, pre_prepare(0, 1, 0, &x));
    assert_eq!(lab.count("prepare"), 3);
    lab.hand(0, 1, pre_prepare(0, 1, 0, &x));
    lab.hand(0, 1, pre_prepare(0, 1, 0, &y));
    assert_eq!(lab.count("prepare"), 3, "no second word");
    lab.crash(1, 0);
    lab.restart(1);
    lab.lose_all();
    lab.hand(0, 1, pre_prepare(0, 1, 0, &y));
    assert_eq!(lab.count("prepare"), 0, "its disk remembers");
    lab.hand(0, 1, pre_prepare(0, 1, 0, &x));
    assert_eq!(lab.count("prepare"), 3, "the same word again is no contradiction");
}

/// §4.1: a backup relays what a client asks of it to the primary; a copy gets no second number.
#[test]
fn a_backup_relays_to_the_primary() {
    let mut lab = Lab::new(4);
    lab.propose(2, "x");
    lab.propose(3, "x");
    assert_eq!(lab.count("request"), 2);
    lab.carry_kind("request");
    assert_eq!(lab.count("pre-prepare"), 3, "one number for two copies");
    lab.carry_all();
    assert_eq!(lab.committed(2), [batch("x")]);
    assert!(lab.timer(2, Timer::View).is_none(), "nothing is waited for");
}

/// §4.1: every replica answers, and the client believes f + 1 equal answers.
#[test]
fn a_client_needs_an_honest_replica_among_those_who_answer() {
    assert_eq!(Pbft::INFO.answers, Answers::All);
    assert_eq!([4, 5, 6, 7, 10].map(|nodes| Pbft::INFO.reply_quorum(nodes)), [2, 2, 2, 3, 4]);
    assert_eq!([4, 5, 6, 7, 10].map(|nodes| Pbft::INFO.quorum(nodes)), [3, 4, 4, 5, 7]);
}

/// §4.2 on a disk: prepare and commit are promises, so they wait for it, and a replica counts its
/// own when it is there. A pre-prepare does not wait.
#[test]
fn votes_leave_and_count_when_they_are_on_disk() {
    let mut lab = Lab::new(4).without_oracles();
    lab.slow([0, 1]);
    lab.propose(0, "x");
    assert_eq!(lab.count("pre-prepare"), 3, "while the disk works");
    lab.carry(0, 1, "pre-prepare");
    lab.lose_all();
    lab.hand(2, 1, said(2, Body::Prepare(vote(0, 1, &batch("x")))));
    assert!(lab.flying().is_empty(), "its own prepare neither left nor counted");
    lab.sync(1);
    assert_eq!(lab.count("prepare"), 3);
    assert_eq!(lab.count("commit"), 0, "prepared, but its disk does not know");
    for from in [2, 3] {
        lab.hand(from, 1, said(from, Body::Commit(vote(0, 1, &batch("x")))));
    }
    assert!(lab.committed(1).is_empty(), "two commits of others");
    lab.sync(1);
    assert_eq!(lab.count("commit"), 3);
    assert_eq!(lab.committed(1), [batch("x")]);
}

/// §4.3: at every so many numbers each replica says what it executed; a quorum's word is stable,
/// and what led to it is forgotten, as the next view-change shows.
#[test]
fn a_stable_checkpoint_trims_the_log() {
    let mut lab = Lab::with_small_window(4);
    decide(&mut lab, "a");
    lab.propose(0, "b");
    for kind in ["pre-prepare", "prepare", "commit"] {
        assert_eq!(lab.count("checkpoint"), 0);
        lab.carry_kind(kind);
    }
    assert_eq!(lab.count("checkpoint"), 4 * 3);
    lab.carry_all();
    let stable = |record: &Record| matches!(record, Record::Stable(it) if it.sequence.0 == 2);
    assert!((0..4).all(|id| lab.disk(id).iter().any(stable)));
    decide(&mut lab, "c");
    lab.propose(1, "unheard");
    lab.lose_all();
    lab.fire(1, Timer::View);
    let view_change = view_change_of(&lab.take(1, 2, "view-change")).view_change;
    let proof = view_change.stable.expect("number 2 is stable");
    assert_eq!((proof.sequence, proof.votes.len()), (sequence(2), 3));
    let numbers: Vec<u64> = view_change.prepared.iter().map(|it| it.vote.sequence.0).collect();
    assert_eq!(numbers, [3], "numbers 1 and 2 are forgotten");
}

/// §4.3: numbers are given out and accepted between the water marks, which move with the stable
/// checkpoint; f + 1 replicas are too few to move them.
#[test]
fn the_water_marks_bound_the_primary() {
    let mut lab = Lab::with_small_window(4);
    for text in ["a", "b", "c", "d", "e", "f"] {
        lab.propose(0, text);
    }
    assert_eq!(lab.count("pre-prepare"), 4 * 3, "the window is four");
    lab.hand(0, 1, pre_prepare(0, 5, 0, &batch("too high")));
    assert_eq!(lab.count("prepare"), 0);
    for kind in ["pre-prepare", "prepare", "commit"] {
        lab.carry_kind(kind);
    }
    assert_eq!(lab.committed(0).len(), 4);
    assert_eq!(lab.count("pre-prepare"), 0, "executed, but nothing is stable");
    lab.carry(1, 0, "checkpoint");
    assert_eq!(lab.count("pre-prepare"), 0, "two of three");
    lab.carry(2, 0, "checkpoint");
    assert_eq!(lab.count("pre-prepare"), 2 * 3);
    lab.carry_all();
    assert!((0..4).all(|id| lab.committed(id).len() == 6));
}

/// §4.3, §4.4: what prepared above the stable checkpoint is in every view-change, and one that does
/// not fit a frame would keep a faulty primary in office. So long requests move the water marks
/// sooner, and wait for that.
#[test]
fn long_requests_lead_to_a_checkpoint_before_its_number_comes() {
    let one = batch("10").bytes().len();
    let mut lab = Lab::with_checkpoints_after(4, 2 * one);
    for number in 10..17 {
        lab.propose(0, &number.to_string());
    }
    assert_eq!(lab.count("pre-prepare"), 4 * 3, "twice as much, and the number after that waits");
    for kind in ["pre-prepare", "prepare", "commit"] {
        assert_eq!(lab.count("checkpoint"), 0);
        lab.carry_kind(kind);
    }
    assert_eq!(lab.count("checkpoint"), 2 * 4 * 3, "at the numbers 2 and 4");
    lab.carry_all();
    assert!((0..4).all(|id| lab.committed(id).len() == 7), "it goes on");
    lab.propose(1, "unheard");
    lab.lose_all();
    lab.fire(1, Timer::View);
    let view_change = view_change_of(&lab.take(1, 2, "view-change")).view_change;
    assert_eq!(view_change.stable.expect("number 6 is stable").sequence, sequence(6));
    assert_eq!(view_change.prepared.len(), 1);
}

/// §4.3: a backup takes what an honest primary gives numbers to in whatever order it comes, and no
/// more of what a liar does.
#[test]
fn a_backup_takes_so_many_bytes_above_the_stable_checkpoint() {
    let text = |number: u64| batch(&(10 + number).to_string());
    let one = text(1).bytes().len();
    let orders: [(&[u64], usize); 5] = [
        (&[1, 2, 3, 4, 5, 6], 4),
        (&[4, 3, 2, 1], 4),
        (&[2, 4, 1, 3], 4),
        (&[4, 2], 2),
        (&[9, 8, 7, 6, 5, 4, 3], 4),
    ];
    for (order, taken) in orders {
        let mut lab = Lab::with_checkpoints_after(4, 2 * one);
        for number in order {
            lab.hand(0, 1, pre_prepare(0, *number, 0, &text(*number)));
        }
        assert_eq!(lab.count("prepare"), taken * 3, "{order:?}");
    }
}

/// §4.4: backups that wait for a silent primary change the view; the request is executed in it,
/// and the old primary follows when it is back.
#[test]
fn a_silent_primary_loses_the_view() {
    let mut lab = Lab::new(4);
    lab.cut([0]);
    for id in [1, 2, 3] {
        lab.propose(id, "x");
    }
    for id in [1, 2, 3] {
        lab.fire(id, Timer::View);
        assert_eq!(lab.replica(id).status().role, Role::Candidate);
    }
    lab.carry_all();
    for id in [1, 2, 3] {
        assert_eq!((lab.view(id), lab.committed(id)), (1, &[batch("x")][..]));
    }
    assert_eq!(lab.replica(1).status().role, Role::Leader, "replica v mod n");
    lab.cut([]);
    lab.ask_around(0);
    lab.carry_all();
    assert_eq!((lab.view(0), lab.committed(0)), (1, &[batch("x")][..]));
}

/// §4.4 and a crash: a new primary that forgot that it entered the view could give a number twice,
/// so it gives none, and shows no new-view, before its disk knows.
#[test]
fn a_new_primary_waits_for_its_disk() {
    let mut lab = Lab::new(4);
    lab.cut([0]);
    for id in [1, 2, 3] {
        lab.propose(id, "x");
        lab.fire(id, Timer::View);
    }
    lab.slow([1]);
    lab.keep(|flying| flying.to == NodeId(1));
    lab.carry_kind("view-change");
    assert_eq!(lab.replica(1).status().role, Role::Leader);
    lab.propose(1, "y");
    assert!(lab.flying().is_empty());
    lab.sync(1);
    assert_eq!((lab.count("new-view"), lab.count("pre-prepare")), (2, 2));
}

/// §4.5.2: a replica that hears f + 1 ask for higher views joins the lowest of them, without a
/// timer of its own; f may all be liars.
#[test]
fn f_plus_one_view_changes_take_a_replica_along() {
    for (nodes, faults) in [(4, 1), (7, 2)] {
        let mut lab = Lab::new(nodes);
        for liar in 0..faults {
            lab.hand(liar, 3, bare_view_change(liar, 9 - liar as u64));
            assert_eq!(lab.view(3), 0, "{} of {nodes}", liar + 1);
        }
        lab.hand(2, 3, bare_view_change(2, 5));
        assert_eq!(lab.view(3), 5, "the smallest that they ask for");
        assert_eq!(lab.count("view-change"), nodes - 1);
    }
}

/// §4.5.2: each view that brings nothing is given twice the time of the one before.
#[test]
fn timeouts_double_until_something_is_executed() {
    let mut lab = Lab::new(4);
    lab.cut([0]);
    for id in [1, 2, 3] {
        lab.propose(id, "x");
    }
    let first = lab.timer(3, Timer::View).expect("it runs");
    assert_eq!(first, lab.config.view_timeout);
    for (view, factor) in [(1, 2), (2, 4), (3, 8), (4, 16), (5, 32)] {
        for id in [1, 2, 3] {
            if lab.timer(id, Timer::View).is_some() && lab.view(id) < view {
                lab.fire(id, Timer::View);
            }
        }
        while lab.count("view-change") > 0 {
            lab.carry_kind("view-change");
        }
        lab.lose_all(); // The new primary is not heard.
        assert_eq!(lab.view(3), view);
        assert_eq!(lab.timer(3, Timer::View).expect("it runs"), first.times(factor), "view {view}");
    }
}

/// §4.4: what prepared goes into the new view under its number, and a null request fills the gap
/// below it.
#[test]
fn a_new_view_carries_what_prepared_and_fills_gaps() {
    let mut lab = a_view_change_with_a_gap();
    let message = lab.carry(1, 2, "new-view");
    let new_view = new_view_of(&message);
    let carried: Vec<Digest> = new_view.carried.iter().map(|it| it.digest).collect();
    let expected = [Batch::noop(), batch("prepared")];
    assert_eq!(carried, expected.clone().map(|batch| vote(0, 0, &batch).digest));
    assert_eq!((new_view.base, new_view.view_changes.len()), (LogIndex::ZERO, 3));
    lab.carry_all();
    for id in [1, 2, 3] {
        assert_eq!(lab.committed(id), expected);
    }
}

/// §4.4: `min-s` is the latest stable checkpoint that the view-changes show: below it everything
/// was executed, and an older one could bring null requests for numbers that are decided.
#[test]
fn a_new_view_begins_at_the_latest_stable_checkpoint() {
    let mut lab = Lab::with_small_window(4);
    for text in ["a", "b", "c"] {
        decide(&mut lab, text);
    }
    lab.propose(0, "d");
    for kind in ["pre-prepare", "prepare", "commit"] {
        lab.carry_kind(kind);
    }
    lab.keep(|flying| flying.to != NodeId(1));
    lab.carry_all();
    lab.cut([0]);
    for id in [1, 2, 3] {
        lab.propose(id, "x");
        lab.fire(id, Timer::View);
    }
    lab.carry_kind("view-change");
    let message = lab.take(1, 2, "new-view");
    let new_view = new_view_of(&message);
    let stable = |place: usize| {
        let signed: &SignedViewChange = &new_view.view_changes[place];
        signed.view_change.stable.as_ref().map(|stable| stable.sequence.0)
    };
    assert_eq!((stable(0), stable(1)), (Some(2), Some(4)), "replica 1 knows of number 2 only");
    assert_eq!((new_view.base, new_view.carried.len()), (LogIndex(4), 0));
}

/// §4.4 and a crash: what a new view carried is voted for, and nothing else after a restart.
#[test]
fn a_restart_remembers_what_the_new_view_carried() {
    let mut lab = a_view_change_with_a_gap();
    lab.carry(1, 2, "new-view");
    lab.lose_all();
    lab.crash(2, 0);
    lab.restart(2);
    lab.lose_all();
    lab.hand(1, 2, pre_prepare(1, 2, 1, &batch("other")));
    assert_eq!(lab.count("prepare"), 0, "number 2 is for what prepared before");
    lab.hand(1, 2, pre_prepare(1, 2, 1, &batch("prepared")));
    assert_eq!(lab.count("prepare"), 2);
}

/// A new primary says nothing that a crash would take back, repeated or not.
#[test]
fn a_new_primary_repeats_nothing_before_its_disk_knows_of_the_view() {
    let mut lab = Lab::new(4);
    lab.propose(0, "prepared");
    lab.carry_kind("pre-prepare");
    lab.carry_kind("prepare");
    lab.lose_all();
    lab.cut([0]);
    for id in [1, 2, 3] {
        lab.fire(id, Timer::View);
    }
    lab.slow([1]);
    lab.carry_kind("view-change");
    assert_eq!(lab.replica(1).status().role, Role::Leader);
    lab.lose_all();
    for _ in 0..3 {
        lab.fire(1, Timer::Repeat);
    }
    assert_eq!(lab.count("pre-prepare-again"), 0);
    lab.sync(1);
    lab.fire(1, Timer::Repeat);
    assert_eq!(lab.count("pre-prepare-again"), 2);
}

/// A new-view that got lost is shown again to who asks for the view, but not at every word.
#[test]
fn a_new_view_that_got_lost_is_shown_again() {
    let mut lab = a_view_change_with_a_gap();
    let mut shown = |ticks| {
        lab.lose_all();
        for _ in 0..ticks {
            lab.fire(1, Timer::Repeat);
        }
        lab.lose_all();
        lab.hand(3, 1, bare_view_change(3, 1));
        lab.count("new-view-again")
    };
    assert_eq!((shown(0), shown(0), shown(4)), (1, 0, 1));
}

/// §4.4: of two certificates for one number that of the higher view counts, whatever it is for.
#[test]
fn the_certificate_of_the_latest_view_counts() {
    let mut lab = Lab::new(4);
    // In view 0, x prepares at replica 3 alone.
    lab.propose(0, "x");
    lab.carry(0, 2, "pre-prepare");
    lab.carry(0, 3, "pre-prepare");
    lab.carry(2, 3, "prepare");
    assert_eq!(lab.count_from("commit", |from| from == 3), 3);
    lab.lose_all();
    // Without it, view 1 begins with nothing, and y prepares in it at replica 2 alone.
    lab.cut([3]);
    lab.propose(1, "y");
    for id in [0, 1, 2] {
        lab.fire(id, Timer::View);
    }
    lab.carry_kind("request");
    lab.carry_kind("view-change");
    lab.carry_kind("new-view");
    lab.carry(1, 0, "pre-prepare");
    lab.carry(1, 2, "pre-prepare");
    lab.carry(0, 2, "prepare");
    assert_eq!(lab.count_from("commit", |from| from == 2), 2);
    lab.lose_all();
    // View 2 hears of both.
    lab.cut([1]);
    for id in [0, 2] {
        lab.fire(id, Timer::View);
    }
    lab.carry_all();
    for id in [0, 2, 3] {
        assert_eq!((lab.view(id), &lab.committed(id)[0]), (2, &batch("y")));
    }
}

/// §4.4: who has asked for a view takes no part in the one before.
#[test]
fn a_replica_that_left_a_view_does_not_vote_in_it() {
    let mut lab = Lab::new(4);
    lab.propose(2, "x");
    lab.fire(2, Timer::View);
    lab.lose_all();
    lab.hand(0, 2, pre_prepare(0, 1, 0, &batch("x")));
    assert!(lab.flying().is_empty());
    lab.crash(2, 0);
    lab.restart(2);
    lab.hand(0, 2, pre_prepare(0, 1, 0, &batch("x")));
    assert_eq!(lab.count("prepare"), 0, "its disk remembers");
}

/// §4.2 and a crash: a primary's pre-prepares leave before they are on disk, so after a restart it
/// gives no number in its old view; the next view orders what waits.
#[test]
fn a_restarted_primary_gives_no_number_in_its_old_view() {
    let mut lab = Lab::new(4);
    lab.slow([0]);
    lab.propose(0, "x");
    lab.carry(0, 1, "pre-prepare");
    lab.lose_all();
    lab.crash(0, 0);
    assert!(lab.disk(0).is_empty(), "it forgot that number 1 was given");
    lab.slow([]);
    lab.restart(0);
    lab.propose(0, "y");
    assert_eq!(lab.count("pre-prepare"), 0);
    assert_eq!(lab.count("view-change"), 3);
    lab.fire(1, Timer::View);
    lab.carry_all();
    lab.ask_around(0);
    lab.carry_all();
    for id in 0..4 {
        assert_eq!((lab.view(id), lab.committed(id)), (1, &[batch("y")][..]));
    }
}

/// A crash of all replicas at any moment keeps what was executed, and it is executed again in
/// order.
#[test]
fn what_was_executed_survives_a_crash_of_all() {
    let mut lab = Lab::with_small_window(4);
    for text in ["a", "b", "c"] {
        decide(&mut lab, text);
    }
    let before = lab.committed(1).to_vec();
    for id in 0..4 {
        lab.crash(id, 0);
        lab.restart(id);
    }
    lab.carry_all();
    for id in 0..4 {
        lab.ask_around(id);
    }
    lab.carry_all();
    for id in 0..4 {
        assert_eq!(lab.committed(id), before);
    }
}

/// Who was shown something asks for more at the next tick: a replica that lags by many pages must
/// not wait for each until it has been idle for long.
#[test]
fn a_replica_that_lags_asks_on_as_long_as_it_is_shown_something() {
    let mut lab = Lab::with_small_pages(4);
    lab.cut([3]);
    for text in ["a", "b", "c", "d"] {
        decide(&mut lab, text);
    }
    lab.cut([]);
    lab.ask_around(3);
    lab.carry_all();
    assert_eq!(lab.committed(3).len(), 1, "one page");
    for more in 2..=4 {
        (0..4).for_each(|id| lab.fire(id, Timer::Repeat));
        lab.carry_all();
        assert_eq!(lab.committed(3).len(), more);
    }
}

/// §4.3's state transfer, here from the log: who was away asks and is shown what was decided, each
/// with its proof, and nobody can make anything up.
#[test]
fn a_replica_that_was_away_is_brought_back() {
    let mut lab = Lab::new(4);
    lab.cut([3]);
    for text in ["a", "b", "c"] {
        decide(&mut lab, text);
    }
    lab.cut([]);
    lab.ask_around(3);
    lab.carry_kind("fetch");
    let shown = lab.take(1, 3, "fetched");
    let Body::Fetched { decided, .. } = &shown.body else { panic!("{shown:?}") };
    let lie = |change: &dyn Fn(&mut Vec<Decided>)| {
        let mut decided = decided.clone();
        change(&mut decided);
        said(1, Body::Fetched { decided, stable: None })
    };
    let other = lie(&|decided| decided[0].batch = batch("other"));
    assert_eq!(lab.try_hand(1, 3, other), Err("what was fetched is not what was decided"));
    let few = lie(&|decided| drop(decided[2].certificate.commits.pop()));
    assert_eq!(lab.try_hand(1, 3, few), Err("a certificate has too few signatures"));
    let moved = lie(&|decided| decided[0].certificate.vote.sequence = LogIndex(2));
    assert_eq!(lab.try_hand(1, 3, moved), Err("a signature in a certificate is bad"));
    assert!(lab.committed(3).is_empty());
    lab.hand(1, 3, shown);
    assert_eq!(lab.committed(3), lab.committed(0));
    lab.carry_all();
    assert_eq!(lab.committed(3).len(), 3, "what is shown twice is executed once");
}

/// Votes that got lost are said again, and it is no new cost of the command.
#[test]
fn lost_votes_are_repeated() {
    for lost in ["pre-prepare", "prepare", "commit"] {
        let mut lab = Lab::new(4);
        lab.propose(0, "x");
        while !lab.flying().is_empty() {
            lab.keep(|flying| flying.message.kind().name != lost);
            if !lab.flying().is_empty() {
                let kind = lab.flying()[0].message.kind().name;
                lab.carry_kind(kind);
            }
        }
        assert!((0..4).all(|id| lab.committed(id).is_empty()));
        for _ in 0..4 {
            for id in 0..4 {
                lab.fire(id, Timer::Repeat);
            }
            lab.carry_all();
        }
        assert!((0..4).all(|id| lab.committed(id) == [batch("x")]), "{lost}");
        assert!((0..4).all(|id| lab.view(id) == 0));
    }
}

/// §3: fewer than four replicas survive no lie.
#[test]
fn three_replicas_are_no_cluster() {
    let lab = Lab::new(4);
    let config = Config { nodes: 3, ..lab.config };
    let empty = Durable::of(Incarnation(1), Vec::new());
    assert!(Pbft::recover(NodeId(0), config, empty).is_err());
}

/// The tests above fail with bugs that random simulation does not show, or too seldom.
#[cfg(feature = "mutants")]
#[test]
fn bugs_planted_beyond_simulation_are_found() {
    let tests: [(&str, fn()); 12] = [
        ("B94", timeouts_double_until_something_is_executed),
        ("B82", long_requests_lead_to_a_checkpoint_before_its_number_comes),
        ("B83", long_requests_lead_to_a_checkpoint_before_its_number_comes),
        ("B83", a_backup_takes_so_many_bytes_above_the_stable_checkpoint),
        ("B06b", the_certificate_of_the_latest_view_counts),
        ("B09b", timeouts_double_until_something_is_executed),
        ("B27", a_new_primary_repeats_nothing_before_its_disk_knows_of_the_view),
        ("B33", f_plus_one_view_changes_take_a_replica_along),
        ("B35", a_new_primary_waits_for_its_disk),
        ("B43", a_new_view_begins_at_the_latest_stable_checkpoint),
        ("B46", a_new_view_that_got_lost_is_shown_again),
        ("B50", a_restart_remembers_what_the_new_view_carried),
    ];
    for (name, test) in tests {
        consensus_core::mutant::plant(Some(name));
        let passed = std::panic::catch_unwind(test).is_ok();
        consensus_core::mutant::plant(None);
        assert!(!passed, "{name} is not found");
    }
}
