//! Two seams of the paper, gone through case by case: what a replica still says when it has asked
//! for another view (§4.4), and where checkpoints are taken by one that was away (§4.3).

use crate::lab::{Flying, Lab, batch, pre_prepare, said, view_change_of, vote};
use consensus_core::Message as _;
use std::collections::BTreeSet;
use synod_pbft::{Body, Record, Timer};

/// All orders of these.
fn orders(of: &[usize]) -> Vec<Vec<usize>> {
    if of.is_empty() {
        return vec![Vec::new()];
    }
    let first = |place: usize| {
        let rest: Vec<_> = of.iter().copied().filter(|other| *other != of[place]).collect();
        orders(&rest).into_iter().map(move |order| [vec![of[place]], order].concat())
    };
    (0..of.len()).flat_map(first).collect()
}

fn is(flying: &Flying, from: u8, kind: &str) -> bool {
    flying.from.0 == from && flying.message.kind().name == kind
}

/// §4.4: "a commit says that this survives": whoever says one shows what prepared in every word
/// for a later view; so from its first such word on nothing prepares any more. Replica 3 hears the
/// primary and both other backups, its disk writes, its patience ends: in any order, and a crash
/// may be the last.
fn who_commits_shows_it_in_every_later_word() {
    let x = batch("x");
    for order in orders(&[0, 1, 2, 3, 4, 5]) {
        let mut lab = Lab::new(4).without_oracles(); // What 0, 1 and 2 say is forged.
        lab.slow([3]);
        lab.propose(3, "x");
        lab.keep(|_| false);
        let (mut committed, mut changes) = (false, Vec::new());
        for step in &order {
            match step {
                0 => lab.hand(0, 3, pre_prepare(0, 1, 0, &x)),
                backup @ (1 | 2) => {
                    lab.hand(*backup, 3, said(*backup, Body::Prepare(vote(0, 1, &x))))
                }
                3 if lab.timer(3, Timer::View).is_some() => lab.fire(3, Timer::View),
                3 => {}
                _ => lab.sync(3),
            }
            committed |= lab.flying().iter().any(|it| is(it, 3, "commit"));
            let asked = lab.flying();
            let asked = asked.iter().filter(|it| is(it, 3, "view-change") && it.to.0 == 1);
            changes.extend(asked.map(|it| view_change_of(&it.message).view_change));
            lab.lose_all();
        }
        for change in changes.iter().filter(|_| committed) {
            assert_eq!(change.prepared.len(), 1, "{order:?}: it has said that x survives");
        }
    }
}

/// Lets everybody talk, but of what is said to replica 3 only such kinds arrive.
fn talk(lab: &mut Lab, to_three: &[&str]) {
    while let Some(oldest) = lab.flying().into_iter().next() {
        let (from, kind) = (oldest.from.index(), oldest.message.kind().name);
        match oldest.to.index() {
            3 if !to_three.contains(&kind) => drop(lab.take(from, 3, kind)),
            to => drop(lab.carry(from, to, kind)),
        }
    }
}

/// At which numbers a replica took checkpoints.
fn checkpoints(lab: &Lab, id: usize) -> BTreeSet<u64> {
    let number = |record: &Record| match record {
        Record::Checkpoint { sequence, .. } => Some(sequence.0),
        _ => None,
    };
    lab.disk(id).iter().filter_map(number).collect()
}

/// §4.3: checkpoints count votes for one number, so all must take them at the same ones, though
/// long requests bring some before their time. Replica 3 is away for a while, and comes back by
/// being shown what was decided; it may hear of stable checkpoints before that, and restart.
fn who_was_away_takes_checkpoints_where_the_others_do() {
    let length = |number: usize| 1 + (number * number * 7) % 90;
    for (left, back) in (1..8).flat_map(|left| (left + 1..12).map(move |back| (left, back))) {
        for (hears, restarts) in [(true, false), (true, true), (false, false), (false, true)] {
            let mut lab = Lab::with_checkpoints_after(4, 400);
            let known: &[&str] = if hears { &["checkpoint"] } else { &[] };
            let all = ["pre-prepare", "prepare", "commit", "checkpoint", "fetched", "request"];
            for number in 0..18 {
                if number == back {
                    if restarts {
                        lab.crash(3, 0);
                        lab.restart(3);
                    }
                    lab.ask_around(3);
                    talk(&mut lab, &all);
                }
                let away = (left..back).contains(&number);
                lab.propose(0, &format!("{number}{}", "x".repeat(length(number))));
                talk(&mut lab, if away { known } else { &all });
            }
            lab.ask_around(3);
            talk(&mut lab, &all);
            let case = format!("away from {left} to {back}, hears {hears}, restarts {restarts}");
            assert_eq!(lab.committed(3).len(), 18, "{case}");
            let (theirs, own) = (checkpoints(&lab, 0), checkpoints(&lab, 3));
            assert!(theirs.len() > 3, "long requests lead to checkpoints: {theirs:?}");
            assert!(own.is_subset(&theirs), "{case}: {own:?}, and theirs {theirs:?}");
        }
    }
}

#[test]
fn a_commit_is_shown_in_every_later_word() {
    who_commits_shows_it_in_every_later_word();
}

#[test]
fn checkpoints_are_where_those_of_the_others_are() {
    who_was_away_takes_checkpoints_where_the_others_do();
}

/// The tests above see the bugs that are planted for them.
#[cfg(feature = "mutants")]
#[test]
fn bugs_at_these_seams_are_found() {
    let tests: [(&str, fn()); 2] = [
        ("B100", who_was_away_takes_checkpoints_where_the_others_do),
        ("B32", who_commits_shows_it_in_every_later_word),
    ];
    for (name, test) in tests {
        consensus_core::mutant::plant(Some(name));
        let passed = std::panic::catch_unwind(test).is_ok();
        consensus_core::mutant::plant(None);
        assert!(!passed, "{name} is not found");
    }
}
