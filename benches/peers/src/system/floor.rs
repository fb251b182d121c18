//! What no replicated log can do without: the leader appends, two followers append and answer, the
//! leader counts. No terms, no elections, no recovery, no checks. Not a competitor: it says how
//! much of a figure is the harness and the allocator.

use super::System;
use crate::tally::{Source, Tally};
use std::sync::Arc;

type Command = Arc<[u8]>;

/// The next commands of the log, and how far it is committed.
struct Append {
    commands: Vec<Command>,
    committed: usize,
}

#[derive(Default)]
struct Replica {
    log: Vec<Command>,
    tally: Tally,
}

impl Replica {
    fn deliver(&mut self, upto: usize) {
        while (self.tally.applied as usize) < upto {
            self.tally.apply(&self.log[self.tally.applied as usize]);
        }
    }
}

/// A leader and two followers.
#[derive(Default)]
pub struct Floor {
    leader: Replica,
    followers: [Replica; 2],
    appends: [Vec<Append>; 2],
    answers: [Vec<usize>; 2],
    matched: [usize; 2],
    messages: u64,
}

impl System for Floor {
    fn turn(&mut self, source: &mut Source, window: usize) {
        for (answers, matched) in self.answers.iter_mut().zip(&mut self.matched) {
            for answer in answers.drain(..) {
                *matched = answer.max(*matched);
            }
        }
        // The leader has everything, so one follower makes a majority.
        let committed = self.matched[0].max(self.matched[1]);
        self.leader.deliver(committed);
        let outstanding = self.leader.log.len() - committed;
        let commands: Vec<Command> = source.commands(window - outstanding).map(Arc::from).collect();
        self.leader.log.extend(commands.iter().cloned());
        self.appends[1].push(Append { commands: commands.clone(), committed });
        self.appends[0].push(Append { commands, committed });
        self.messages += 2;
        for (place, follower) in self.followers.iter_mut().enumerate() {
            for append in self.appends[place].drain(..) {
                follower.log.extend(append.commands);
                follower.deliver(append.committed);
                self.answers[place].push(follower.log.len());
                self.messages += 1;
            }
        }
    }

    fn messages(&self) -> u64 {
        self.messages
    }

    fn tallies(&self) -> Vec<Tally> {
        [&self.leader, &self.followers[0], &self.followers[1]].map(|it| it.tally).into()
    }

    fn applied(&self) -> u64 {
        self.leader.tally.applied
    }
}
