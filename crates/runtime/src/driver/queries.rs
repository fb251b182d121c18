//! Questions of clients that need no entry of the log.

use super::Driver;
use crate::waiting::Connection;
use bytes::Bytes;
use consensus_core::mutant::planted;
use consensus_core::{
    ConsensusProtocol, LogIndex, NodeId, Query, QueryReply, Reads, Refusal, StateMachine,
};
use core::time::Duration;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;
use tokio::time::Instant;

/// A question that was let in.
pub(crate) struct Asked {
    pub(crate) connection: Arc<Connection>,
    pub(crate) query: Query,
    /// The room that it takes.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// The questions that wait.
pub(crate) struct Queries {
    pub(crate) reads: Reads<Asked>,
    /// When to look for those that wait in vain.
    check: Option<Instant>,
    patience: Duration,
}

impl Queries {
    pub(crate) fn new(patience: Duration) -> Self {
        Self { reads: Reads::default(), check: None, patience }
    }

    /// When the loop must wake for them.
    pub(crate) fn wake_at(&self) -> Option<Instant> {
        self.check
    }

    /// One waits: for the protocol, or for an index to be applied.
    pub(crate) fn asked(&mut self) {
        let patience = self.patience;
        self.check.get_or_insert_with(|| Instant::now() + patience);
    }
}

/// The answer to a question.
pub(crate) fn reply(
    from: NodeId,
    query: &Query,
    answer: Result<(LogIndex, Bytes), Refusal>,
) -> QueryReply {
    QueryReply { from, client: query.client, number: query.number, answer }
}

impl<P: ConsensusProtocol, S: StateMachine> Driver<P, S> {
    /// Answers a question of what is applied.
    pub(crate) fn answer(&self, asked: &Asked) {
        let found = self.executor.machine().query(&asked.query.question);
        let answer = Ok((self.executor.applied(), found));
        asked.connection.reply_to_query(reply(self.id, &asked.query, answer));
    }

    pub(crate) fn refuse_query(&self, asked: &Asked, why: Refusal) {
        asked.connection.reply_to_query(reply(self.id, &asked.query, Err(why)));
    }

    pub(super) fn refuse_read(&mut self, read: u64, why: Refusal) {
        if let Some(asked) = self.queries.reads.refused(read) {
            self.refuse_query(&asked, why);
        }
    }

    /// Answers what waits for nothing any more.
    pub(crate) fn answer_reads(&mut self) {
        if self.queries.reads.is_empty() {
            return;
        }
        let mut upto = self.executor.applied();
        if planted("N03") {
            // The bug: an index that was named is not waited for.
            upto = LogIndex(u64::MAX - 1);
        }
        let ready: Vec<_> = self.queries.reads.applied(upto).collect();
        for asked in &ready {
            self.answer(asked);
        }
    }

    /// Sends those elsewhere that wait in vain: the leader that was to confirm them is gone.
    pub(crate) fn refuse_overdue(&mut self, now: Duration, leader: Option<NodeId>) {
        if self.queries.check.is_none_or(|check| Instant::now() < check) {
            return;
        }
        let before = now.saturating_sub(self.queries.patience);
        let late: Vec<_> = self.queries.reads.overdue(before).collect();
        for asked in &late {
            self.refuse_query(asked, Refusal::NotLeader(leader));
        }
        let more = !self.queries.reads.is_empty();
        self.queries.check = more.then(|| Instant::now() + self.queries.patience);
    }
}
