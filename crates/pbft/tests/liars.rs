//! Castro & Liskov, "Practical Byzantine Fault Tolerance" (OSDI '99), against liars: replicas that
//! say anything they can sign (§2, §3).

use crate::lab::{
    CLUSTER, Lab, a_view_change_with_a_gap, bare_view_change, batch, decide, keys_of, new_view_of,
    pre_prepare, said, sequence, signed, view_change_of, vote,
};
use consensus_core::{
    Authenticator, Batch, Command, ConsensusProtocol, Input, LogIndex, NodeId, Refusal, Role,
    Signer, Tag,
};
use synod_pbft::{
    Body, CheckpointCertificate, Digest, Endorsement, Message, NewView, PreparedCertificate,
    Record, Timer, View, Vote,
};

/// §4.2: a primary that sent a prepare, too, would count twice.
#[test]
fn a_prepare_of_the_primary_is_not_let_in() {
    let mut lab = Lab::new(4);
    let prepare = said(0, Body::Prepare(vote(0, 1, &batch("x"))));
    assert_eq!(lab.try_hand(0, 1, prepare), Err("a prepare of the primary"));
    let later = said(0, Body::Prepare(vote(1, 1, &batch("x"))));
    assert_eq!(lab.try_hand(0, 2, later), Ok(()), "in view 1 it is a backup");
}

/// §3: a primary that gives one number to different requests divides nobody, even if it votes for
/// both; who was told the loser learns what was decided.
#[test]
fn a_primary_that_equivocates_decides_one_thing_at_most() {
    let mut lab = Lab::new(4).without_oracles();
    let (x, y) = (batch("x"), batch("y"));
    lab.cut([0]);
    lab.hand(0, 1, pre_prepare(0, 1, 0, &x));
    for backup in [2, 3] {
        lab.hand(0, backup, pre_prepare(0, 1, 0, &y));
    }
    for to in [1, 2, 3] {
        for batch in [&x, &y] {
            lab.hand(0, to, said(0, Body::Commit(vote(0, 1, batch))));
        }
    }
    // The liar's first word is what counts, so whoever believes in y has no third commit.
    lab.carry_all();
    assert!([1, 2, 3].iter().all(|backup| lab.committed(*backup).is_empty()));
    for backup in [1, 2, 3] {
        lab.fire(backup, Timer::View);
    }
    lab.carry_all();
    for backup in [1, 2, 3] {
        assert_eq!(lab.committed(backup)[0], y, "it prepared, so the next view carries it");
    }
}

/// §4.1: requests are signed by their clients; replicas believe nobody else about them.
#[test]
fn requests_of_nobody_are_not_let_in() {
    let mut lab = Lab::new(4);
    let mut forged = signed("forged");
    forged.payload = "altered".into();
    let bad = Batch::of(&[forged.clone()]);
    lab.give(0, Input::Propose(Batch::of(&[forged, signed("good")])));
    lab.give(0, Input::Drained);
    assert_eq!(lab.refused(0), [(bad.clone(), Refusal::BadSignature)]);
    lab.carry_all();
    assert_eq!(lab.committed(3), [batch("good")], "the good one is taken");
    let why = Err("a request is not signed by its client");
    assert_eq!(lab.try_hand(0, 1, pre_prepare(0, 2, 0, &bad)), why);
    let relayed = said(2, Body::Request { batch: bad });
    assert_eq!(lab.try_hand(2, 0, relayed), why);
}

/// §4.3: "with the same digest".
#[test]
fn checkpoints_of_other_states_do_not_count() {
    let mut lab = Lab::with_small_window(4);
    lab.cut([3]);
    decide(&mut lab, "a");
    lab.propose(0, "b");
    for kind in ["pre-prepare", "prepare", "commit"] {
        lab.carry_kind(kind);
    }
    let honest = lab.carry(1, 0, "checkpoint");
    let lie = lab.equivocate(3, &said(3, honest.body));
    lab.hand(3, 0, lie);
    let is_stable = |record: &Record| matches!(record, Record::Stable(_));
    assert!(!lab.disk(0).iter().any(is_stable));
    lab.carry(2, 0, "checkpoint");
    assert!(lab.disk(0).iter().any(is_stable));
}

/// §4.4: every backup computes anew what follows from the view-changes, and believes no primary
/// that carries anything else, has too few of them, or alters one.
#[test]
fn a_new_view_that_does_not_follow_is_not_let_in() {
    let mut lab = a_view_change_with_a_gap();
    let honest = lab.take(1, 2, "new-view");
    let lie = |change: &dyn Fn(&mut NewView)| {
        let mut new_view = new_view_of(&honest).clone();
        change(&mut new_view);
        said(1, Body::NewView(new_view))
    };
    let why = Err("a new-view that does not follow from its view-changes");
    let forgetful = lab.equivocate(1, &honest);
    assert_eq!(lab.try_hand(1, 2, forgetful), why);
    let shorter = lie(&|new_view| drop(new_view.carried.pop()));
    assert_eq!(lab.try_hand(1, 2, shorter), why);
    let elsewhere = lie(&|new_view| new_view.base = LogIndex(1));
    assert_eq!(lab.try_hand(1, 2, elsewhere), why);
    let unsigned = lie(&|new_view| new_view.carried[0].tag = Tag::none());
    assert_eq!(lab.try_hand(1, 2, unsigned), Err("a carried pre-prepare is not signed"));
    let few = lie(&|new_view| drop(new_view.view_changes.pop()));
    assert_eq!(lab.try_hand(1, 2, few), Err("a new-view shows too few view-changes"));
    let altered = Err("a new-view shows a view-change that is not its sender's");
    let stripped = lie(&|new_view| new_view.view_changes[2].view_change.prepared.clear());
    assert_eq!(lab.try_hand(1, 2, stripped), altered);
    let twice = lie(&|new_view| new_view.view_changes[2] = new_view.view_changes[1].clone());
    assert_eq!(lab.try_hand(1, 2, twice), altered);
    assert!(lab.try_hand(3, 2, honest.clone()).is_ok(), "whoever shows it, it is the primary's");
    assert_eq!(lab.replica(2).status().role, Role::Follower);
}

/// §4.4: nobody says that something prepared without the signatures for it.
#[test]
fn a_view_change_proves_what_it_says() {
    let mut lab = a_view_change_with_a_gap();
    let honest = new_view_of(&lab.take(1, 2, "new-view")).view_changes[2].view_change.clone();
    assert_eq!(honest.replica, NodeId(3));
    assert_eq!(honest.prepared.len(), 1);
    let mut few = honest.clone();
    few.prepared[0].prepares.pop();
    let why = lab.try_hand(3, 2, said(3, Body::ViewChange(few)));
    assert_eq!(why, Err("a certificate has too few signatures"));
    let mut twice = honest.clone();
    twice.prepared[0].prepares[1] = twice.prepared[0].prepares[0].clone();
    let why = lab.try_hand(3, 2, said(3, Body::ViewChange(twice)));
    assert_eq!(why, Err("a certificate counts a replica twice"));
    let mut other = honest.clone();
    other.prepared[0].batch = batch("other");
    let why = lab.try_hand(3, 2, said(3, Body::ViewChange(other)));
    assert_eq!(why, Err("a certificate's digest is not of its requests"));
    let mut late = honest.clone();
    late.prepared[0].vote.view = View(1);
    let why = lab.try_hand(3, 2, said(3, Body::ViewChange(late)));
    assert_eq!(why, Err("a view-change's certificates are out of order"));
    let mut ahead = honest.clone();
    let (sequence, history) = (LogIndex(1), Digest::default());
    ahead.stable = Some(CheckpointCertificate { sequence, history, votes: Vec::new() });
    let why = lab.try_hand(3, 2, said(3, Body::ViewChange(ahead)));
    assert_eq!(why, Err("a certificate has too few signatures"), "a checkpoint of nobody");
    let why = lab.try_hand(2, 1, said(2, Body::ViewChange(honest)));
    assert!(why.is_err(), "in another replica's name");
}

/// §4.4: `P` holds a pre-prepare of the primary, and prepares of backups, for each number once, in
/// order. A primary that divides the backups could else prove two values with its own prepares.
#[test]
fn a_certificate_is_of_the_primary_and_of_backups() {
    let mut lab = a_view_change_with_a_gap();
    let honest = new_view_of(&lab.take(1, 2, "new-view")).view_changes[2].view_change.clone();
    let mut try_with = |change: &dyn Fn(&mut Vec<PreparedCertificate>)| {
        let mut view_change = honest.clone();
        change(&mut view_change.prepared);
        lab.try_hand(3, 2, said(3, Body::ViewChange(view_change)))
    };
    let vote = honest.prepared[0].vote;
    let by_primary = || Endorsement { by: NodeId(0), tag: said(0, Body::Prepare(vote)).tag };
    let why = try_with(&|prepared| prepared[0].prepares[0] = by_primary());
    assert_eq!(why, Err("a certificate counts a prepare of the primary"));
    let why = try_with(&|prepared| prepared[0].prepares.push(by_primary()));
    assert_eq!(why, Err("a certificate counts a prepare of the primary"), "beside enough others");
    let why = try_with(&|prepared| prepared[0].pre_prepare = by_primary().tag);
    assert_eq!(why, Err("a certificate's pre-prepare is not of the primary"));
    let why = try_with(&|prepared| prepared.push(prepared[0].clone()));
    assert_eq!(why, Err("a view-change's certificates are out of order"));
    let own = said(3, Body::Prepare(vote)).tag;
    let why = try_with(&|prepared| {
        prepared[0].prepares[1] = Endorsement { by: NodeId(4), tag: own.clone() }
    });
    assert_eq!(why, Err("a certificate is signed by a stranger"));
    assert_eq!(try_with(&|_| {}), Ok(()));
}

/// §4.4: view-changes for another view prove nothing about this one: for a lower one, their senders
/// may have gone on in it and prepared more.
#[test]
fn a_new_view_shows_view_changes_for_itself() {
    let mut lab = a_view_change_with_a_gap();
    let honest = lab.take(1, 2, "new-view");
    for view in [0, 2] {
        let mut new_view = new_view_of(&honest).clone();
        new_view.view_changes[2] = view_change_of(&bare_view_change(3, view));
        let why = lab.try_hand(1, 2, said(1, Body::NewView(new_view)));
        assert_eq!(why, Err("a new-view shows a view-change for another view"), "{view}");
    }
}

/// §2: a liar may talk for ever. What a correct replica keeps of it is bounded: of each kind its
/// latest word, or what is between the water marks.
#[test]
fn a_liars_words_take_bounded_room() {
    let mut lab = Lab::with_little_room(4);
    let room = |lab: &Lab| [0, 1, 2].map(|id| format!("{:?}", lab.replica(id)).len());
    let mut before = [0; 3];
    for round in 1..=120 {
        let batch = batch(&format!("{round:04}"));
        let history = vote(0, 0, &batch).digest;
        let votes = [vote(0, round, &batch), vote(round, 1 + round % 4, &batch)];
        let mut words = vec![
            Body::Checkpoint { sequence: sequence(2 * round), history },
            Body::Fetch { view: View(round), from: sequence(round), stable: sequence(round) },
            Body::PrePrepare { vote: vote(4 * round - 1, round, &batch), batch: batch.clone() },
            Body::Request { batch },
            bare_view_change(3, round).body,
        ];
        words.extend(votes.iter().flat_map(|vote| [Body::Prepare(*vote), Body::Commit(*vote)]));
        for body in words {
            for to in 0..3 {
                let _ = lab.try_hand(3, to, said(3, body.clone()));
            }
        }
        lab.lose_all();
        if round == 40 {
            before = room(&lab);
        }
    }
    for (before, after) in before.into_iter().zip(room(&lab)) {
        assert!(after < before + before / 8, "{before} bytes have become {after}");
    }
}

/// §4.3: a stable checkpoint is that of a quorum, also where it is shown to who missed it.
#[test]
fn a_stable_checkpoint_that_is_shown_is_of_a_quorum() {
    let mut lab = Lab::with_small_window(4).without_oracles();
    let (number, history) = (sequence(2), Digest([7; 32]));
    let vote = |by: u8| {
        let said = said(by.into(), Body::Checkpoint { sequence: number, history });
        Endorsement { by: NodeId(by), tag: said.tag }
    };
    let mut show = |votes: &[u8]| {
        let votes = votes.iter().map(|by| vote(*by)).collect();
        let stable = Some(CheckpointCertificate { sequence: number, history, votes });
        lab.try_hand(3, 0, said(3, Body::Fetched { decided: Vec::new(), stable }))
    };
    assert_eq!(show(&[2, 3]), Err("a certificate has too few signatures"));
    assert_eq!(show(&[3, 3, 2]), Err("a certificate counts a replica twice"));
    assert_eq!(show(&[1, 2, 3]), Ok(()));
    lab.hand(1, 0, said(1, Body::Fetch { view: View(0), from: sequence(1), stable: sequence(0) }));
    assert_eq!(lab.count("fetched"), 1, "and shows it to who has not got it");
}

/// §2: what nobody signed, or signed as something else, is not let in.
#[test]
fn words_of_others_are_not_let_in() {
    let mut lab = Lab::new(4);
    let x = batch("x");
    let prepare = said(2, Body::Prepare(vote(0, 1, &x)));
    let not_signed = Err("the signature is not the signer's");
    assert_eq!(lab.try_hand(3, 1, prepare.clone()), not_signed, "another's word");
    let as_commit = Message { body: Body::Commit(vote(0, 1, &x)), ..prepare.clone() };
    assert_eq!(lab.try_hand(2, 1, as_commit), not_signed, "another phase");
    let other_view = Message { body: Body::Prepare(vote(1, 1, &x)), ..prepare.clone() };
    assert_eq!(lab.try_hand(2, 1, other_view), not_signed, "another view");
    let unsigned = Message { tag: Tag::none(), ..prepare.clone() };
    assert_eq!(lab.try_hand(2, 1, unsigned), not_signed);
    let outside = Err("from a replica outside the cluster");
    assert_eq!(lab.try_hand(4, 1, prepare), outside);
    let usurped = Err("a pre-prepare that is not of the primary");
    assert_eq!(lab.try_hand(2, 1, pre_prepare(0, 1, 2, &x)), usurped);
    let other = Vote { digest: Digest::default(), ..vote(0, 1, &x) };
    let other = said(0, Body::PrePrepare { vote: other, batch: x });
    let why = Err("a pre-prepare's digest is not of its requests");
    assert_eq!(lab.try_hand(0, 1, other), why);
}

/// §2: a liar says anything in its own name. No word of it panics a replica or keeps the rest from
/// work.
#[test]
fn a_liars_nonsense_is_survived() {
    let mut lab = Lab::with_small_window(4);
    let x = batch("x");
    let mut nonsense = Vec::new();
    for number in [0, 1, 3, 1 << 40, (1 << 62) - 1, 1 << 62, u64::MAX] {
        for view in [0, 3, 7, u64::MAX] {
            let vote = vote(view, number, &x);
            nonsense.push(Body::PrePrepare { vote, batch: x.clone() });
            nonsense.push(Body::Prepare(vote));
            nonsense.push(Body::Commit(vote));
            let (view, from) = (View(view), sequence(number));
            nonsense.push(Body::Fetch { view, from, stable: from });
        }
        let history = Digest::default();
        nonsense.push(Body::Checkpoint { sequence: sequence(number), history });
    }
    nonsense.push(Body::Fetched { decided: Vec::new(), stable: None });
    nonsense.push(Body::Request { batch: Batch::noop() });
    nonsense.push(Body::PrePrepare { vote: vote(3, 1, &Batch::noop()), batch: Batch::noop() });
    for view in [0, 3, u64::MAX] {
        let (view, base) = (View(view), LogIndex(u64::MAX));
        let new_view = NewView { view, view_changes: Vec::new(), base, carried: Vec::new() };
        nonsense.push(Body::NewView(new_view));
        nonsense.push(bare_view_change(3, view.0).body);
    }
    let mut let_in = 0;
    for body in nonsense {
        for to in 0..3 {
            let_in += usize::from(lab.try_hand(3, to, said(3, body.clone())).is_ok());
        }
    }
    assert!(let_in > 0, "some of it is well-formed");
    lab.lose_all();
    lab.cut([3]);
    for text in ["a", "b", "c", "d", "e"] {
        decide(&mut lab, text);
    }
    for id in 0..3 {
        assert_eq!((lab.view(id), lab.committed(id).len()), (0, 5));
    }
}

/// §3: a service is safe however many of its clients are faulty, and it goes on. This one asks for
/// two things under one number, and signs both.
#[test]
fn a_client_that_numbers_two_requests_alike_disturbs_nobody() {
    let mut lab = Lab::new(4);
    let short = signed("x");
    let mut long = Command { payload: vec![7; 500].into(), ..short.clone() };
    long.tag = keys_of(Signer::Client(long.client)).sign(&long.signed_bytes(CLUSTER));
    let (short, long) = (Batch::of(&[short]), Batch::of(&[long]));
    for backup in [1, 2, 3] {
        lab.give(backup, Input::Propose(short.clone()));
        lab.give(backup, Input::Propose(long.clone()));
        lab.give(backup, Input::Drained);
    }
    lab.carry_all();
    decide(&mut lab, "next");
    for id in 0..4 {
        assert_eq!(lab.committed(id), [short.clone(), batch("next")], "replica {id}");
    }
}

/// The tests above fail with the bugs that they are about.
#[cfg(feature = "mutants")]
#[test]
fn bugs_planted_for_liars_are_found() {
    let tests: [(&str, fn()); 5] = [
        ("B91", a_stable_checkpoint_that_is_shown_is_of_a_quorum),
        ("B80", a_client_that_numbers_two_requests_alike_disturbs_nobody),
        ("B62", a_certificate_is_of_the_primary_and_of_backups),
        ("B63", a_new_view_shows_view_changes_for_itself),
        ("B66", a_liars_words_take_bounded_room),
    ];
    for (name, test) in tests {
        consensus_core::mutant::plant(Some(name));
        let passed = std::panic::catch_unwind(test).is_ok();
        consensus_core::mutant::plant(None);
        assert!(!passed, "{name} is not found");
    }
}
