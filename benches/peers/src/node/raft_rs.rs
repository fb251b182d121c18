//! raft-rs (TiKV) at its best settings: `batch_append` and `skip_bcast_commit`, messages of up to
//! 1 MiB; entries carry `bytes::Bytes` (the crate's default codec).

use super::Node;
use crate::tally::Tally;
use raft::eraftpb::{ConfState, Entry, EntryType, Message};
use raft::storage::MemStorage;
use raft::{Config, RawNode, StateRole};
use std::slice::ChunksExact;

/// A node of raft-rs.
pub struct RaftRs {
    replica: RawNode<MemStorage>,
    outgoing: Vec<Message>,
    tally: Tally,
}

impl RaftRs {
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
        if entry.get_entry_type() == EntryType::EntryNormal && !entry.data.is_empty() {
            tally.apply(&entry.data);
        }
    }
}

impl Node for RaftRs {
    type Message = Message;

    /// What is committed comes with a `Ready`.
    const FLUSH_FIRST: bool = true;

    fn start(id: usize) -> Self {
        let config = Config {
            id: id as u64 + 1,
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
        Self { replica, outgoing: Vec::new(), tally: Tally::default() }
    }

    fn campaign(&mut self) {
        if self.replica.raft.id == 1 && self.replica.raft.state == StateRole::Follower {
            self.replica.campaign().expect("a replica may campaign");
        }
    }

    fn leads(&self) -> bool {
        self.replica.raft.state == StateRole::Leader
    }

    fn hear(&mut self, message: Message) {
        self.replica.step(message).expect("an honest message");
    }

    fn propose(&mut self, commands: ChunksExact<'_, u8>) {
        for command in commands {
            self.replica.propose(Vec::new(), command.to_vec()).expect("it leads");
        }
    }

    fn flush(&mut self, send: &mut impl FnMut(usize, Message)) {
        self.settle();
        for message in self.outgoing.drain(..) {
            send(message.to as usize - 1, message);
        }
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}
