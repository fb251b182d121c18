//! raft-rs (TiKV) at its best settings: `batch_append` and `skip_bcast_commit`, messages of up to
//! 1 MiB; entries carry `bytes::Bytes` (the crate's default codec).

use super::System;
use crate::tally::{Source, Tally};
use raft::eraftpb::{ConfState, Entry, EntryType, Message};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};

struct Node {
    replica: RawNode<MemStorage>,
    inbox: Vec<Message>,
    outgoing: Vec<Message>,
    tally: Tally,
}

impl Node {
    fn new(id: u64) -> Self {
        let config = Config {
            id,
            election_tick: 10,
            heartbeat_tick: 3,
            max_size_per_msg: 1 << 20,
            max_inflight_msgs: 256,
            check_quorum: true,
            pre_vote: true,
            batch_append: true,
            skip_bcast_commit: true,
            ..Config::default()
        };
        let storage = MemStorage::new_with_conf_state(ConfState::from((vec![1, 2, 3], vec![])));
        let logger = slog::Logger::root(slog::Discard, slog::o!());
        let replica = RawNode::new(&config, storage, &logger).expect("a sound configuration");
        Self { replica, inbox: Vec::new(), outgoing: Vec::new(), tally: Tally::default() }
    }

    fn take_in(&mut self) {
        for message in self.inbox.drain(..) {
            self.replica.step(message).expect("an honest message");
        }
    }

    /// Does what the replica wants, in the order that its documentation asks for.
    fn settle(&mut self) {
        while self.replica.has_ready() {
            let mut ready = self.replica.ready();
            self.outgoing.append(&mut ready.take_messages());
            apply(&mut self.tally, ready.take_committed_entries());
            let store = self.replica.store().clone();
            if !ready.entries().is_empty() {
                store.wl().append(ready.entries()).expect("entries that follow the log");
            }
            if let Some(hard_state) = ready.hs() {
                store.wl().set_hardstate(hard_state.clone());
            }
            self.outgoing.append(&mut ready.take_persisted_messages());
            let mut light = self.replica.advance(ready);
            if let Some(commit) = light.commit_index() {
                store.wl().mut_hard_state().set_commit(commit);
            }
            self.outgoing.append(&mut light.take_messages());
            apply(&mut self.tally, light.take_committed_entries());
            self.replica.advance_apply();
        }
    }
}

fn apply(tally: &mut Tally, entries: Vec<Entry>) {
    for entry in entries {
        let command = entry.get_entry_type() == EntryType::EntryNormal && !entry.data.is_empty();
        if command {
            tally.apply(&entry.data);
        }
    }
}

/// A cluster of three.
pub struct RaftRs {
    nodes: Vec<Node>,
    messages: u64,
    proposed: u64,
}

impl Default for RaftRs {
    fn default() -> Self {
        Self::new()
    }
}

impl RaftRs {
    /// A cluster whose first replica leads.
    pub fn new() -> Self {
        let mut cluster =
            Self { nodes: (1..=3).map(Node::new).collect(), messages: 0, proposed: 0 };
        cluster.nodes[0].replica.campaign().expect("a replica may campaign");
        while cluster.nodes[0].replica.raft.state != StateRole::Leader {
            cluster.everybody();
        }
        for _ in 0..4 {
            cluster.everybody();
        }
        cluster
    }

    fn everybody(&mut self) {
        for id in 0..3 {
            self.nodes[id].take_in();
            self.settle(id);
        }
    }

    fn settle(&mut self, id: usize) {
        self.nodes[id].settle();
        let mut outgoing = std::mem::take(&mut self.nodes[id].outgoing);
        self.messages += outgoing.len() as u64;
        for message in outgoing.drain(..) {
            self.nodes[message.to as usize - 1].inbox.push(message);
        }
        self.nodes[id].outgoing = outgoing;
    }
}

impl System for RaftRs {
    fn turn(&mut self, source: &mut Source, window: usize) {
        self.nodes[0].take_in();
        // What is committed is delivered before the window is refilled, as for the others.
        self.settle(0);
        let outstanding = self.proposed - self.nodes[0].tally.applied;
        for command in source.commands(window - outstanding as usize) {
            self.proposed += 1;
            let command = command.to_vec();
            self.nodes[0].replica.propose(Vec::new(), command).expect("it leads");
        }
        self.settle(0);
        for follower in 1..3 {
            self.nodes[follower].take_in();
            self.settle(follower);
        }
    }

    fn messages(&self) -> u64 {
        self.messages
    }

    fn tallies(&self) -> Vec<Tally> {
        self.nodes.iter().map(|node| node.tally).collect()
    }

    fn applied(&self) -> u64 {
        self.nodes[0].tally.applied
    }
}
