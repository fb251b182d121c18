//! A laboratory: the simulator's table with Multi-Paxos on it, where the test carries every
//! message, syncs every disk and pulls every plug by hand. After every step the oracles and the
//! replica's own invariants are asked.

use consensus_core::Batch;
use synod_multipaxos::{Accept, Message, MultiPaxos, Promise};
use synod_sim::{Flight, Table, saying};

/// A message on its way.
pub(crate) type Flying = Flight<Message>;

/// A batch of one command that says this.
pub(crate) fn batch(text: &str) -> Batch {
    saying(text)
}

pub(crate) type Lab = Table<MultiPaxos>;

pub(crate) fn accept_of(message: Message) -> Accept {
    match message {
        Message::Accept(accept) => accept,
        other => panic!("{other:?} is no accept"),
    }
}

pub(crate) fn promise_of(message: Message) -> Promise {
    match message {
        Message::Promise(promise) => *promise,
        other => panic!("{other:?} is no promise"),
    }
}
