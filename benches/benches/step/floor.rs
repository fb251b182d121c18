//! What no leader-based log can do without: the leader appends, two followers append and answer,
//! the leader counts a majority.

use consensus_core::{Batch, ClientId, Command, RequestId, SessionId, Tag};
use std::collections::VecDeque;

enum Message {
    Append { index: u64, batch: Batch },
    Answer { index: u64 },
}

#[derive(Default)]
struct Log {
    entries: Vec<Batch>,
    inbox: VecDeque<Message>,
}

/// One leader, two followers, no terms, no faults.
pub(crate) struct Floor {
    leader: Log,
    followers: [Log; 2],
    answers: Vec<u8>,
    payload: bytes::Bytes,
    asked: u64,
    committed: u64,
}

impl Floor {
    pub(crate) fn new(size: usize) -> Self {
        Self {
            leader: Log::default(),
            followers: [Log::default(), Log::default()],
            answers: Vec::new(),
            payload: vec![7; size].into(),
            asked: 0,
            committed: 0,
        }
    }

    /// Commits so many more commands.
    pub(crate) fn round(&mut self, outstanding: usize) -> u64 {
        for _ in 0..outstanding {
            self.asked += 1;
            let batch = Batch::of(&[Command {
                client: ClientId(self.asked),
                session: SessionId(1),
                request: RequestId(1),
                payload: self.payload.clone(),
                tag: Tag::none(),
            }]);
            self.leader.entries.push(batch.clone());
            self.answers.push(1);
            for follower in &mut self.followers {
                let batch = batch.clone();
                follower.inbox.push_back(Message::Append { index: self.asked, batch });
            }
        }
        for follower in &mut self.followers {
            while let Some(Message::Append { index, batch }) = follower.inbox.pop_front() {
                follower.entries.push(batch);
                self.leader.inbox.push_back(Message::Answer { index });
            }
        }
        while let Some(Message::Answer { index }) = self.leader.inbox.pop_front() {
            let answers = &mut self.answers[index as usize - 1];
            *answers += 1;
            if *answers == 2 {
                self.committed = self.committed.max(index);
            }
        }
        assert_eq!(self.committed, self.asked, "everything asked for is committed");
        self.committed
    }
}
