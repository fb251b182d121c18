//! A laboratory: the simulator's table with Multi-Paxos on it, where the test carries every
//! message, syncs every disk and pulls every plug by hand. After every step the oracles and the
//! replica's own invariants are asked.

#![allow(dead_code, reason = "each test binary uses its part")]

use consensus_core::{Batch, Cluster, ClusterId, ProtocolConfig};
use std::ops::{Deref, DerefMut};
use synod_multipaxos::{Accept, Config, Message, MultiPaxos, Promise};
use synod_sim::{Flight, Table, saying};

/// A message on its way.
pub(crate) type Flying = Flight<Message>;

/// A batch of one command that says this.
pub(crate) fn batch(text: &str) -> Batch {
    saying(text)
}

pub(crate) struct Lab(Table<MultiPaxos>);

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

impl Lab {
    pub(crate) fn new(size: usize) -> Self {
        let cluster = Cluster::new(ClusterId(1), size);
        let config = Config::for_cluster(&cluster).expect("a cluster");
        Self::with(cluster, config)
    }

    pub(crate) fn with(cluster: Cluster, config: Config) -> Self {
        Self(Table::new(cluster, config))
    }
}

impl Deref for Lab {
    type Target = Table<MultiPaxos>;

    fn deref(&self) -> &Table<MultiPaxos> {
        &self.0
    }
}

impl DerefMut for Lab {
    fn deref_mut(&mut self) -> &mut Table<MultiPaxos> {
        &mut self.0
    }
}
