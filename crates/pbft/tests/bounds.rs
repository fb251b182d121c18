//! Castro & Liskov, "Practical Byzantine Fault Tolerance" (OSDI '99): liveness (§4.5.2) on links
//! that carry frames of a bounded length. Whatever f liars say, a new-view (§4.4) must fit one, and
//! what they can have correct replicas say, order and keep is bounded.

mod lab;

use consensus_core::{Authenticator, Batch, Command, Input, Refusal, Signer};
use lab::{CLUSTER, Lab, keys_of, pre_prepare, said, signed};
use synod_pbft::{Body, Config};

/// A signed request that takes so many bytes in a batch.
fn request_of(text: &str, length: usize) -> Command {
    let mut command = signed(text);
    let header = command.framed_len() - command.payload.len();
    command.payload = vec![7; length - header].into();
    command.tag = keys_of(Signer::Client(command.client)).sign(&command.signed_bytes(CLUSTER));
    assert_eq!(command.framed_len(), length);
    command
}

/// §4.4: what prepared is in every later new-view until a checkpoint is stable. A primary that gives
/// a number to more than such a message has room for, and is believed by f + 1, would have stopped
/// the cluster for good.
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

/// The tests above fail with the bugs that they are about.
#[cfg(feature = "mutants")]
#[test]
fn bugs_planted_in_bounds_are_found() {
    let tests: [(&str, fn()); 1] =
        [("B85", no_number_is_given_to_more_than_a_view_change_has_room_for)];
    for (name, test) in tests {
        consensus_core::mutant::plant(Some(name));
        let passed = std::panic::catch_unwind(test).is_ok();
        consensus_core::mutant::plant(None);
        assert!(!passed, "{name} is not found");
    }
}
