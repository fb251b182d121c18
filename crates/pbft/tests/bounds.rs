//! Castro & Liskov, "Practical Byzantine Fault Tolerance" (OSDI '99): liveness (§4.5.2) on links
//! that carry frames of a bounded length. Whatever f liars say, a new-view (§4.4) must fit one, and
//! what they can have correct replicas say, order and keep is bounded.

use crate::lab::{
    CLUSTER, Lab, batch, keys_of, new_view_of, pre_prepare, said, sequence, signed, vote,
};
use consensus_core::{
    Authenticator, Batch, Command, Input, Message as _, NodeId, Refusal, RequestId, Signer,
};
use synod_pbft::{
    Body, Config, Endorsement, Message, PreparedCertificate, Timer, View, ViewChange,
};

/// A signed request that takes so many bytes in a batch.
fn request_of(text: &str, length: usize) -> Command {
    let mut command = signed(text);
    let header = command.framed_len() - command.payload.len();
    command.payload = vec![7; length - header].into();
    command.tag = keys_of(Signer::Client(command.client)).sign(&command.signed_bytes(CLUSTER));
    assert_eq!(command.framed_len(), length);
    command
}

/// §4.4: what prepared is in every later new-view until a checkpoint is stable. A primary that
/// gives a number to more than such a message has room for, and is believed by f + 1, would have
/// stopped the cluster for good.
#[test]
fn no_number_is_given_to_more_than_a_view_change_has_room_for() {
    for (length, taken) in [(Config::LONGEST_BATCH, true), (Config::LONGEST_BATCH + 1, false)] {
        let mut lab = Lab::new(4);
        let batch = Batch::of(&[request_of("long", length)]);
        let handed = lab.try_hand(0, 1, pre_prepare(0, 1, 0, &batch));
        assert_eq!((handed.is_ok(), lab.count("prepare")), (taken, 3 * usize::from(taken)));
        let relayed = lab.try_hand(3, 0, said(3, Body::Request { batch }));
        assert_eq!((relayed.is_ok(), lab.count("pre-prepare")), (taken, 3 * usize::from(taken)));
    }
}

/// §4.1: a driver that is set to longer batches is served all the same, and refused what is too
/// long by itself; correct replicas never say what others refuse.
#[test]
fn a_drivers_longer_batch_gets_several_numbers() {
    let (third, longest) = (Config::LONGEST_BATCH / 3, Config::LONGEST_BATCH);
    for at in [0, 2] {
        let mut lab = Lab::new(4);
        let texts = ["a", "b", "c", "d"];
        let mut commands: Vec<Command> = texts.map(|text| request_of(text, third)).into();
        commands.push(request_of("e", longest + 1));
        lab.give(at, Input::Propose(Batch::of(&commands)));
        lab.give(at, Input::Drained);
        lab.carry_all();
        let refused = (Batch::of(&commands[4..]), Refusal::TooLarge);
        assert_eq!(lab.refused(at), [refused]);
        assert_eq!(lab.committed(3), [&commands[..3], &commands[3..4]].map(Batch::of), "at {at}");
    }
}

/// The proof that this prepared, with the signatures of the primary of view 0 and of two backups.
fn prepared(number: u64, batch: &Batch) -> PreparedCertificate {
    let vote = vote(0, number, batch);
    let prepare =
        |by| Endorsement { by: NodeId(by), tag: said(by.into(), Body::Prepare(vote)).tag };
    let prepares = [1, 2].map(prepare).into();
    let pre_prepare = pre_prepare(0, number, 0, batch).tag;
    PreparedCertificate { vote, batch: batch.clone(), pre_prepare, prepares }
}

/// Replica 3 asks for view 1 and shows this.
fn shown(prepared: Vec<PreparedCertificate>) -> Message {
    let (view, replica) = (View(1), NodeId(3));
    said(3, Body::ViewChange(ViewChange { view, replica, stable: None, prepared }))
}

/// Replicas 1 and 2 ask for view 1, whose primary is 1; replica 3 lies; what replica 0 says is
/// late. Who speaks in the new-view, before that comes and after it?
fn who_speaks(mut lab: Lab, lie: Message) -> [Vec<u8>; 2] {
    for id in [1, 2] {
        lab.propose(id, "x");
        lab.fire(id, Timer::View);
    }
    lab.carry(2, 1, "view-change");
    assert_eq!(lab.try_hand(3, 1, lie), Ok(()), "all of it is true");
    let speak = |lab: &Lab| {
        let flying = lab.flying();
        let shown = flying.iter().find(|it| it.message.kind().name == "new-view");
        let Some(shown) = shown else { return Vec::new() };
        new_view_of(&shown.message).view_changes.iter().map(|it| it.view_change.replica.0).collect()
    };
    let before = speak(&lab);
    lab.carry(1, 0, "view-change");
    lab.carry(2, 0, "view-change");
    lab.carry(0, 1, "view-change");
    [before, speak(&lab)]
}

/// §4.4: a liar shows what is true and fills a frame by itself, in every view. The primary waits
/// for others, and correct replicas' words do fit.
#[test]
fn a_liars_long_view_change_keeps_no_view_from_starting() {
    let long = Batch::of(&[request_of("long", Config::LONGEST_BATCH)]);
    for (numbers, heard) in [(1, true), (16, false)] {
        let lie = shown((1..=numbers).map(|number| prepared(number, &long)).collect());
        let [before, after] = who_speaks(Lab::new(4).without_oracles(), lie);
        if heard {
            assert_eq!(before, [1, 2, 3]);
        } else {
            assert_eq!((before, after), (vec![], vec![0, 1, 2]));
        }
    }
}

/// §4.2, §4.4: nothing prepares beyond the high water mark, so a correct replica shows nothing
/// there, and a liar that keeps old certificates and names no checkpoint is not heard.
#[test]
fn a_view_change_shows_what_is_between_its_water_marks() {
    let x = batch("x");
    for (last, heard) in [(4, true), (5, false)] {
        let lie = shown([1, last].map(|number| prepared(number, &x)).into());
        let [before, after] = who_speaks(Lab::with_small_window(4).without_oracles(), lie);
        if heard {
            assert_eq!(before, [1, 2, 3]);
        } else {
            assert_eq!((before, after), (vec![], vec![0, 1, 2]));
        }
    }
}

/// A client's request with this number in its session.
fn numbered(request: u64) -> Batch {
    let mut command = Command { request: RequestId(request), ..signed("x") };
    command.tag = keys_of(Signer::Client(command.client)).sign(&command.signed_bytes(CLUSTER));
    Batch::of(&[command])
}

/// §4.1: a request whose timestamp is lower than that of its client's last reply is discarded. A
/// liar that relays all that a client ever signed has only the last of it ordered again, for which
/// the client may still wait.
#[test]
fn what_a_client_has_gone_beyond_gets_no_number_again() {
    let mut lab = Lab::new(4);
    let ask = |lab: &mut Lab, request: u64| {
        lab.give(0, Input::Propose(numbered(request)));
        lab.give(0, Input::Drained);
        lab.carry_all();
        lab.committed(0).len()
    };
    let relay = |lab: &mut Lab, request: u64| {
        lab.hand(3, 0, said(3, Body::Request { batch: numbered(request) }));
        lab.carry_all();
        lab.committed(0).len()
    };
    assert_eq!([1, 2, 3].map(|request| ask(&mut lab, request)), [1, 2, 3]);
    assert_eq!([1, 2, 1, 2].map(|request| relay(&mut lab, request)), [3; 4]);
    assert_eq!((relay(&mut lab, 3), ask(&mut lab, 4), relay(&mut lab, 3)), (4, 5, 5));
    assert_eq!(lab.committed(1)[2..4], [numbered(3), numbered(3)], "answered again");
}

/// §4.1, §4.4: a faulty client asks a backup for something, and then for something later. No
/// primary loses its view for not ordering the former.
#[test]
fn what_a_client_has_gone_beyond_is_not_waited_for() {
    let mut lab = Lab::new(4);
    lab.give(2, Input::Propose(numbered(1)));
    lab.lose_all();
    assert!(lab.timer(2, Timer::View).is_some());
    lab.give(0, Input::Propose(numbered(2)));
    lab.give(0, Input::Drained);
    lab.carry_all();
    assert_eq!(lab.committed(2), [numbered(2)]);
    assert!(lab.timer(2, Timer::View).is_none());
}

/// §4.5 leaves what is lost to retransmission: who sees no reason for it says nothing. One liar's
/// votes are none.
#[test]
fn a_single_vote_is_no_reason_to_ask() {
    let mut lab = Lab::new(4).without_oracles();
    let asks = |lab: &mut Lab| {
        (0..7).for_each(|_| lab.fire(1, Timer::Repeat));
        let asks = lab.count("fetch");
        lab.lose_all();
        (0..1).for_each(|_| lab.fire(1, Timer::Repeat));
        assert_eq!(lab.count("fetch"), 3, "once in a while, though");
        lab.lose_all();
        asks
    };
    let vote = vote(0, 7, &batch("x"));
    lab.hand(3, 1, said(3, Body::Prepare(vote)));
    lab.hand(3, 1, said(3, Body::Commit(vote)));
    assert_eq!(asks(&mut lab), 0);
    lab.hand(2, 1, said(2, Body::Prepare(vote)));
    assert!(asks(&mut lab) > 0, "one of two is correct");
}

/// A question is short and its answer may be long, so a liar is answered no more often than who has
/// something to ask: once a tick.
#[test]
fn who_asks_on_and_on_is_answered_once_a_tick() {
    let mut lab = Lab::new(4);
    lab.propose(0, "x");
    lab.carry_all();
    let (view, from, stable) = (View(0), sequence(1), sequence(0));
    for ticks in 1..4 {
        for _ in 0..10 {
            lab.hand(3, 0, said(3, Body::Fetch { view, from, stable }));
        }
        assert_eq!(lab.count("fetched"), 1, "{ticks}");
        lab.fire(0, Timer::Repeat);
        lab.lose_all();
    }
}

/// The tests above fail with the bugs that they are about.
#[cfg(feature = "mutants")]
#[test]
fn bugs_planted_in_bounds_are_found() {
    let tests: [(&str, fn()); 7] = [
        ("B96", a_single_vote_is_no_reason_to_ask),
        ("B97", who_asks_on_and_on_is_answered_once_a_tick),
        ("B85", no_number_is_given_to_more_than_a_view_change_has_room_for),
        ("B86", a_liars_long_view_change_keeps_no_view_from_starting),
        ("B87", a_view_change_shows_what_is_between_its_water_marks),
        ("B88", what_a_client_has_gone_beyond_gets_no_number_again),
        ("B89", what_a_client_has_gone_beyond_is_not_waited_for),
    ];
    for (name, test) in tests {
        consensus_core::mutant::plant(Some(name));
        let passed = std::panic::catch_unwind(test).is_ok();
        consensus_core::mutant::plant(None);
        assert!(!passed, "{name} is not found");
    }
}
