//! Castro & Liskov, "Practical Byzantine Fault Tolerance" (OSDI '99): what is lost, late, said
//! twice or forgotten. After every step of every test here, and of `paper.rs` and `liars.rs`, the
//! lab recovers a copy of the replica from its records, which must know as much
//! (`invariants::check_recovered`).

use crate::lab::{
    Lab, bare_view_change, batch, decide, pre_prepare, said, sequence, view_change_of,
};
use consensus_core::{Input, Message as _, NodeId};
use synod_pbft::{Body, Timer, View};

/// §4.5.2: timeouts are doubled to let a view come about; when something is executed in it, the
/// next request waits no longer than the first.
#[test]
fn an_execution_ends_the_doubling_of_timeouts() {
    let mut lab = Lab::new(4);
    lab.cut([0]);
    for id in [1, 2, 3] {
        lab.propose(id, "x");
        lab.fire(id, Timer::View);
    }
    lab.carry_all();
    assert_eq!((lab.view(2), lab.committed(2)), (1, &[batch("x")][..]));
    lab.propose(2, "y");
    assert_eq!(lab.timer(2, Timer::View).expect("it runs"), lab.config.view_timeout);
}

/// §4.1: a copy of a request that was executed, from its client or relayed, is nothing to wait
/// for: it starts no timer, and costs no primary its view.
#[test]
fn a_copy_of_what_was_executed_is_not_waited_for() {
    let mut lab = Lab::new(4);
    decide(&mut lab, "x");
    lab.propose(2, "x");
    lab.hand(1, 3, said(1, Body::Request { batch: batch("x") }));
    for id in [2, 3] {
        assert!(lab.timer(id, Timer::View).is_none(), "at {id}");
    }
}

/// §4.5.2: of each replica the latest view counts that it asked for, in whichever order its words
/// come.
#[test]
fn a_late_view_change_does_not_take_the_place_of_a_later_one() {
    let mut lab = Lab::new(4);
    for view in [5, 3] {
        lab.hand(3, 2, bare_view_change(3, view));
    }
    lab.hand(0, 2, bare_view_change(0, 5));
    assert_eq!(lab.view(2), 5, "nobody asks for view 3 any more");
}

/// §4.3: checkpoints that all got lost are said again, or no number above the high water mark
/// would ever be given.
#[test]
fn lost_checkpoints_are_said_again() {
    let mut lab = Lab::with_small_window(4);
    for text in ["a", "b", "c", "d"] {
        lab.propose(0, text);
        for kind in ["pre-prepare", "prepare", "commit"] {
            lab.carry_kind(kind);
        }
        lab.lose_all();
    }
    lab.propose(0, "e");
    assert_eq!((lab.committed(0).len(), lab.flying().len()), (4, 0), "nothing is stable");
    for id in 0..4 {
        lab.ask_around(id);
    }
    lab.carry_all();
    for id in 0..4 {
        assert_eq!(lab.committed(id).last(), Some(&batch("e")));
    }
}

/// §4.3: who executed everything and missed the words that made a checkpoint stable would refuse
/// what is beyond its high water mark. It asks, and is shown the proof, so that with another
/// replica gone the cluster still has its quorum, and keeps its view.
#[test]
fn who_missed_the_checkpoints_is_shown_the_stable_one() {
    let mut lab = Lab::with_small_window(4);
    for text in ["a", "b", "c", "d"] {
        lab.propose(0, text);
        while !lab.flying().is_empty() {
            lab.keep(|flying| flying.to != NodeId(3) || flying.message.kind().name != "checkpoint");
            let Some(oldest) = lab.flying().into_iter().next() else { break };
            lab.carry(oldest.from.index(), oldest.to.index(), oldest.message.kind().name);
        }
    }
    lab.cut([2]);
    lab.propose(0, "e");
    lab.carry_all();
    assert_eq!([0, 1, 3].map(|id| lab.committed(id).len()), [4; 3], "5 is beyond its marks");
    for _ in 0..4 {
        for id in [0, 1, 3] {
            lab.fire(id, Timer::Repeat);
        }
        lab.carry_all();
    }
    for text in ["f", "g"] {
        decide(&mut lab, text);
    }
    for id in [0, 1, 3] {
        assert_eq!((lab.view(id), lab.committed(id).len()), (0, 7), "at {id}");
    }
}

/// One request is executed, one is prepared everywhere, and the disk of replica 2 takes its time.
fn prepared_with_a_slow_disk() -> Lab {
    let mut lab = Lab::with_small_window(4);
    decide(&mut lab, "a");
    lab.propose(0, "b");
    for kind in ["pre-prepare", "prepare"] {
        lab.carry_kind(kind);
    }
    lab.slow([2]);
    lab
}

/// A replica may show what its own word made stable, but not before its disk knows of that word.
#[test]
fn a_stable_checkpoint_is_shown_when_the_own_one_is_on_disk() {
    let mut lab = prepared_with_a_slow_disk();
    lab.carry_all();
    let ask = Body::Fetch { view: View(0), from: sequence(3), stable: sequence(0) };
    lab.lose_all();
    lab.hand(1, 2, said(1, ask));
    assert_eq!(lab.count("fetched"), 0);
    lab.sync(2);
    assert_eq!(lab.count_from("fetched", |from| from == 2), 1);
}

/// §4.3 and a crash: a checkpoint says that everything up to it was executed, and those who hear it
/// forget how it came about. So it leaves when the proofs are on the disk, though each by itself is
/// only noted.
#[test]
fn a_checkpoint_waits_for_what_led_to_it() {
    let mut lab = prepared_with_a_slow_disk();
    for from in [0, 1, 3] {
        lab.carry(from, 2, "commit");
    }
    assert_eq!(lab.committed(2).len(), 2);
    assert_eq!(lab.count_from("checkpoint", |from| from == 2), 0, "its disk is slow");
    lab.crash(2, 0);
    lab.restart(2);
    assert_eq!(lab.committed(2).len(), 1, "and has lost the proof that b was decided");
}

/// §4.4: a view-change is long, so it is said again to those only who have not asked for the view;
/// who has been heard and has not heard says so by that, and is answered.
#[test]
fn a_view_change_is_said_again_to_those_who_lack_it() {
    let mut lab = Lab::new(4);
    lab.cut([0]);
    for id in [1, 2, 3] {
        lab.propose(id, "x");
        lab.fire(id, Timer::View);
    }
    lab.keep(|flying| (flying.from, flying.to) != (NodeId(2), NodeId(1)));
    lab.carry_all();
    for _ in 0..32 {
        lab.fire(3, Timer::Repeat);
        lab.fire(2, Timer::Repeat);
    }
    assert_eq!(lab.count("view-change-again"), 0, "they have heard all that there are");
    for _ in 0..32 {
        lab.fire(1, Timer::Repeat);
    }
    let again = lab.count("view-change-again");
    assert!((1..=8).contains(&again), "to replica 2, and not at every tick: {again}");
    lab.carry_all();
    for id in [1, 2, 3] {
        assert_eq!((lab.view(id), lab.committed(id)), (1, &[batch("x")][..]));
    }
}

/// §4.4: a new-view that got lost is shown to who goes on waiting for it, though all view-changes
/// have been heard, before it gives the view up.
#[test]
fn a_new_view_is_shown_to_who_waits_for_it() {
    let mut lab = Lab::new(4);
    lab.cut([0]);
    for id in [1, 2, 3] {
        lab.propose(id, "x");
        lab.fire(id, Timer::View);
    }
    lab.carry_kind("view-change");
    lab.keep(|flying| (flying.from, flying.to) != (NodeId(1), NodeId(2)));
    lab.carry_all();
    for _ in 0..8 {
        lab.fire(2, Timer::Repeat);
        lab.carry_all();
    }
    for id in [1, 2, 3] {
        assert_eq!((lab.view(id), lab.committed(id)), (1, &[batch("x")][..]));
    }
}

/// §4.2 and a crash: of the votes on one number in several views the last is the one that binds.
#[test]
fn a_restart_remembers_its_vote_in_the_latest_view() {
    let mut lab = Lab::new(4);
    lab.hand(0, 2, pre_prepare(0, 1, 0, &batch("x")));
    lab.lose_all();
    lab.cut([0]);
    for id in [1, 2, 3] {
        lab.propose(id, "y");
        lab.fire(id, Timer::View);
    }
    lab.carry_kind("view-change");
    lab.carry_kind("new-view");
    let ordered = lab.carry(1, 2, "pre-prepare");
    lab.crash(2, 0);
    lab.restart(2);
    lab.lose_all();
    lab.hand(1, 2, pre_prepare(1, 1, 1, &batch("x")));
    assert_eq!(lab.count("prepare"), 0, "x was for view 0");
    lab.hand(1, 2, ordered);
    assert_eq!(lab.count("prepare"), 2);
}

/// §4.3 and a crash: the water marks are where they were, and the next view-change shows the
/// proof.
#[test]
fn a_restart_remembers_its_stable_checkpoint() {
    let mut lab = Lab::with_small_window(4);
    for text in ["a", "b", "c", "d"] {
        decide(&mut lab, text);
    }
    lab.crash(2, 9);
    lab.restart(2);
    lab.hand(0, 2, pre_prepare(0, 8, 0, &batch("last")));
    assert_eq!(lab.count("prepare"), 3);
    lab.lose_all();
    lab.fire(2, Timer::View);
    let view_change = view_change_of(&lab.take(2, 1, "view-change")).view_change;
    assert_eq!(view_change.stable.map(|stable| stable.sequence), Some(sequence(4)));
    assert!(view_change.prepared.is_empty(), "numbers up to 4 are forgotten");
}

/// What waits takes no more room than the settings say, to the byte: what is beyond is refused, and
/// nothing of it is kept.
#[test]
fn what_clients_ask_for_takes_bounded_room() {
    let mut lab = Lab::with_little_room(4);
    let one = batch("00").bytes().len();
    let fits = lab.config.max_pending_bytes / one;
    lab.cut([1]);
    for number in 10..10 + 2 * fits {
        lab.give(1, Input::Propose(batch(&number.to_string())));
    }
    let refused = (10 + fits..10 + 2 * fits).map(|number| batch(&number.to_string()));
    assert!(lab.refused(1).iter().map(|(batch, _)| batch.clone()).eq(refused));
}

/// The tests above fail with the bugs that they are about.
#[cfg(feature = "mutants")]
#[test]
fn bugs_planted_in_what_is_lost_or_forgotten_are_found() {
    let tests: [(&str, fn()); 9] = [
        ("B98", a_new_view_is_shown_to_who_waits_for_it),
        ("B95", a_view_change_is_said_again_to_those_who_lack_it),
        ("B90", who_missed_the_checkpoints_is_shown_the_stable_one),
        ("B61", a_restart_remembers_its_vote_in_the_latest_view),
        ("B64", a_restart_remembers_its_stable_checkpoint),
        ("B67", lost_checkpoints_are_said_again),
        ("B68", an_execution_ends_the_doubling_of_timeouts),
        ("B49", a_restart_remembers_its_vote_in_the_latest_view),
        ("B38", a_checkpoint_waits_for_what_led_to_it),
    ];
    for (name, test) in tests {
        consensus_core::mutant::plant(Some(name));
        let passed = std::panic::catch_unwind(test).is_ok();
        consensus_core::mutant::plant(None);
        assert!(!passed, "{name} is not found");
    }
}
