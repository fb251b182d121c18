//! A laboratory: the simulator's table with Paxos on it, where the test carries every
//! message, syncs every disk and pulls every plug by hand. After every step the oracles and the
//! replica's own invariants are asked.

#![allow(dead_code, reason = "each test binary uses its part")]

use consensus_core::{Ballot, Batch, Cluster, ClusterId, ProtocolConfig};
use std::ops::{Deref, DerefMut};
use synod_paxos::{Config, Message, Paxos};
use synod_sim::{Flight, Table, saying};

/// A message on its way.
pub(crate) type Flying = Flight<Message>;

/// A batch of one command that says this.
pub(crate) fn batch(text: &str) -> Batch {
    saying(text)
}

pub(crate) struct Lab(Table<Paxos>);

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
    type Target = Table<Paxos>;

    fn deref(&self) -> &Table<Paxos> {
        &self.0
    }
}

impl DerefMut for Lab {
    fn deref_mut(&mut self) -> &mut Table<Paxos> {
        &mut self.0
    }
}
