//! What no replicated log can do without: the leader appends, two followers append and answer, the
//! leader counts. No terms, no elections, no recovery, no checks. Not a competitor: it says how
//! much of a figure is the loop and the allocator.

use super::Node;
use crate::tally::Tally;
use std::slice::ChunksExact;
use std::sync::Arc;

type Command = Arc<[u8]>;

/// What floors say.
pub enum Message {
    /// The next commands of the log, and how far it is committed.
    Append { commands: Vec<Command>, committed: usize },
    /// This follower has so many commands.
    Answer { from: usize, length: usize },
}

/// A leader, or one of its two followers.
pub struct Floor {
    id: usize,
    log: Vec<Command>,
    fresh: Vec<Command>,
    answers: [usize; 3],
    owes: bool,
    committed: usize,
    tally: Tally,
}

impl Floor {
    fn deliver(&mut self) {
        while (self.tally.applied as usize) < self.committed {
            self.tally.apply(&self.log[self.tally.applied as usize]);
        }
    }
}

impl Node for Floor {
    type Message = Message;

    fn start(id: usize) -> Self {
        let (log, fresh) = (Vec::new(), Vec::new());
        Self { id, log, fresh, answers: [0; 3], owes: false, committed: 0, tally: Tally::default() }
    }

    fn campaign(&mut self) {}

    fn leads(&self) -> bool {
        self.id == 0
    }

    fn hear(&mut self, message: Message) {
        match message {
            Message::Append { commands, committed } => {
                self.log.extend(commands);
                self.committed = committed;
                self.owes = true;
            }
            Message::Answer { from, length } => {
                self.answers[from] = length.max(self.answers[from]);
                // The leader has everything, so one follower makes a majority.
                self.committed = self.committed.max(length);
            }
        }
        self.deliver();
    }

    fn propose(&mut self, commands: ChunksExact<'_, u8>) {
        let before = self.log.len();
        self.log.extend(commands.map(Command::from));
        self.fresh.extend_from_slice(&self.log[before..]);
    }

    fn flush(&mut self, send: &mut impl FnMut(usize, Message)) {
        if self.owes {
            self.owes = false;
            send(0, Message::Answer { from: self.id, length: self.log.len() });
        }
        if !self.fresh.is_empty() {
            let commands = std::mem::take(&mut self.fresh);
            let committed = self.committed;
            send(1, Message::Append { commands: commands.clone(), committed });
            send(2, Message::Append { commands, committed });
        }
    }

    fn tally(&self) -> Tally {
        self.tally
    }
}
