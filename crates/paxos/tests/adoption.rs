//! P2c (§2.2), gone through case by case: whatever a quorum of promises reports, the value of the
//! highest-numbered proposal is proposed, be it a no-op; the own one only if nothing is reported.

use crate::lab::{Lab, batch};
use consensus_core::{
    Ballot, Batch, ClientId, Command, Incarnation, LogIndex, NodeId, RequestId, SessionId, Tag,
};
use synod_paxos::{Message, Proposal};

/// The numbers of two earlier rounds, each of a proposer of its own.
fn earlier(round: u64) -> Ballot {
    Ballot::new(round, Some(NodeId(round as u8 + 2)), Incarnation(1))
}

/// Of five, 1 and 2 promise, and report what they accepted in such a round. What 0 proposes, whose
/// own acceptor has nothing.
fn proposed(values: &[Batch; 2], reports: [u64; 2]) -> Batch {
    let mut lab = Lab::new(5);
    // It has seen both rounds, as a proposer does that was outbid.
    let (slot, ballot, chosen) = (LogIndex(9), earlier(2), None);
    lab.hand(4, 0, Message::Prepare { slot, ballot, chosen, repeat: false });
    lab.propose(0, "own");
    let Message::Prepare { slot, ballot, .. } = lab.take(0, 1, "prepare") else { panic!() };
    for (from, round) in [1, 2].into_iter().zip(reports) {
        let value = |round: u64| values[round as usize - 1].clone();
        let accepted =
            (round > 0).then(|| Proposal { ballot: earlier(round), batch: value(round) });
        lab.hand(from, 0, Message::Promise { slot, ballot, accepted });
    }
    let Message::Accept { batch, .. } = lab.take(0, 1, "accept") else { panic!() };
    batch
}

/// Two rounds with two values, of which one may be a no-op, in any order of the reports.
fn the_highest_report_binds_whatever_it_says() {
    let kinds = || [Batch::noop(), batch("x"), batch("y")];
    for (first, second) in kinds().into_iter().flat_map(|a| kinds().map(|b| (a.clone(), b))) {
        let values = [first, second];
        for reports in (0..3).flat_map(|one| (0..3).map(move |two| [one, two])) {
            let highest = reports[0].max(reports[1]);
            let expected = match highest {
                0 => batch("own"),
                round => values[round as usize - 1].clone(),
            };
            assert_eq!(proposed(&values, reports), expected, "{values:?}, reported: {reports:?}");
        }
    }
}

#[test]
fn the_highest_report_binds() {
    the_highest_report_binds_whatever_it_says();
}

/// A client that tries again elsewhere leaves its command with two proposers, and once is enough.
/// But its next command is another one, be it the same increment.
#[test]
fn the_same_payload_in_two_requests_is_two_commands() {
    let request = |number| {
        let (client, session, tag) = (ClientId(7), SessionId(1), Tag::none());
        let payload = bytes::Bytes::from_static(b"+1");
        let command = Command { client, session, request: RequestId(number), payload, tag };
        Batch::of(&[command])
    };
    let mut lab = Lab::new(3);
    lab.on(0, |stage, id| stage.propose(id, request(1)));
    lab.carry_all_but(NodeId(1).into());
    assert_eq!(lab.committed(0), [request(1)]);
    // Here nobody knows of the first yet.
    lab.on(1, |stage, id| stage.propose(id, request(2)));
    lab.carry_all();
    assert_eq!(lab.committed(1), [request(1), request(2)]);
}

/// The test above sees the bugs that are planted for it.
#[cfg(feature = "mutants")]
#[test]
fn proposers_that_are_not_bound_are_found() {
    for name in ["P100", "P02", "E-03"] {
        consensus_core::mutant::plant(Some(name));
        let passed = std::panic::catch_unwind(the_highest_report_binds_whatever_it_says).is_ok();
        consensus_core::mutant::plant(None);
        assert!(!passed, "{name} is not found");
    }
}
