//! A laboratory: the simulator's table with Paxos on it, where the test carries every
//! message, syncs every disk and pulls every plug by hand. After every step the oracles and the
//! replica's own invariants are asked.

use consensus_core::{Ballot, Batch};
use synod_paxos::{Message, Paxos};
use synod_sim::{Flight, Table, saying};

/// A message on its way.
pub(crate) type Flying = Flight<Message>;

/// A batch of one command that says this.
pub(crate) fn batch(text: &str) -> Batch {
    saying(text)
}

pub(crate) type Lab = Table<Paxos>;

pub(crate) fn ballot_of(message: &Message) -> Ballot {
    match message {
        Message::Prepare { ballot, .. }
        | Message::Promise { ballot, .. }
        | Message::Accept { ballot, .. }
        | Message::Accepted { ballot, .. }
        | Message::Nack { ballot, .. } => *ballot,
        other => panic!("{other:?} carries no ballot"),
    }
}
