//! Rehearsals: what a restart would make of a disk, tried on a copy of it.
//!
//! What a replica promised must be in the records that it puts in place of all others. Whether it
//! is shows only if a crash comes before the next promise, and then just the message that leads it
//! into contradiction: too rare to wait for. So both are tried, without doing either: a copy is
//! recovered, and hears again what was said to the node of late, as a slow network might have it.

use super::World;
use crate::oracle::Verdict;
use crate::report::Finding;
use consensus_core::{
    Audit, AuthMeter, Durable, Effect, Effects, Env, Envelope, Incarnation, Input, LogIndex,
    Message, NodeId, NodeSet, StateMachine, Traffic,
};
use std::collections::VecDeque;

/// What is seen in a rehearsal bears this name: no restart that happened shows it.
pub(crate) const REHEARSED: &str = "a restart just now would contradict nothing";

/// So many words of elections, and of commands, are kept for each node.
const KEPT: usize = 8;

/// Of words about commands, of which there are many, one in so many.
const COMMANDS: u32 = 8;

/// Without news of elections, one in so many times that records are replaced is tried.
const IDLE: u32 = 8;

/// What was said to one node of late, whether it came or not.
#[derive(Clone, Debug)]
pub(super) struct Heard<M> {
    elections: VecDeque<(NodeId, M)>,
    commands: VecDeque<(NodeId, M)>,
    passed: u32,
    /// Of an election, since the last rehearsal.
    news: bool,
    asked: u32,
}

impl<M> Default for Heard<M> {
    fn default() -> Self {
        let (elections, commands) = (VecDeque::new(), VecDeque::new());
        Self { elections, commands, passed: 0, news: false, asked: 0 }
    }
}

impl<M: Message> Heard<M> {
    fn hear(&mut self, from: NodeId, message: &M) {
        let kept = match message.kind().traffic {
            Traffic::Election => {
                self.news = true;
                &mut self.elections
            }
            Traffic::Command => {
                self.passed += 1;
                if !self.passed.is_multiple_of(COMMANDS) {
                    return;
                }
                &mut self.commands
            }
            Traffic::Heartbeat | Traffic::Repair | Traffic::Checkpoint => return,
        };
        if kept.len() == KEPT {
            kept.pop_front();
        }
        kept.push_back((from, message.clone()));
    }

    /// Is it worth the time to look again?
    fn is_due(&mut self) -> bool {
        self.asked += 1;
        std::mem::take(&mut self.news) || self.asked.is_multiple_of(IDLE)
    }

    fn all(&self) -> impl Iterator<Item = &(NodeId, M)> {
        self.elections.iter().chain(&self.commands)
    }
}

impl<P: Audit, S: StateMachine> World<P, S> {
    /// A message leaves for these nodes.
    pub(super) fn keep_for_rehearsals(&mut self, from: NodeId, to: NodeSet, message: &P::Message) {
        for node in to.iter() {
            self.heard[node.index()].hear(from, message);
        }
    }

    /// The records of this node were replaced: would it, after a crash just now, still be the one
    /// that it was?
    pub(super) fn rehearse_restart(&mut self, id: NodeId) {
        let due = self.violation.is_none() && self.is_correct(id);
        if !due || !self.heard[id.index()].is_due() {
            return;
        }
        let node = &self.nodes[id.index()];
        let records: Vec<P::Record> = node.disk.records().cloned().collect();
        let snapshot = node.shelf.newest().map(|snapshot| snapshot.meta.clone());
        let effects = Effects::after_recovery(records.len());
        let durable = Durable { incarnation: Incarnation(node.life + 1), records, snapshot };
        let config = self.config_of(id).clone();
        self.mark("restart rehearsed");
        let verdict = match P::recover(id, config, durable) {
            Ok(copy) => self.rehearse(id, copy, effects),
            Err(why) => Err(Finding::new("O18", REHEARSED, format!("it could not recover: {why}"))),
        };
        self.judge(id, verdict.map_err(|finding| Finding { name: REHEARSED, ..finding }));
    }

    fn rehearse(&self, id: NodeId, mut copy: P, mut effects: Effects<P>) -> Verdict {
        let meter = AuthMeter::default();
        let keys = &self.keys[id.index()];
        let env = Env::new(self.clock_of(id), self.cluster_of(id), keys, &meter);
        copy.step(Input::Start, &env, &mut effects);
        self.stays_true(id, &mut effects)?;
        let replica = self.nodes[id.index()].replica.as_ref();
        replica.into_iter().chain([&copy]).try_for_each(|known| self.knows_members(known))?;
        for (from, message) in self.heard[id.index()].all() {
            let envelope = Envelope { from: *from, message: message.clone() };
            let Ok(message) = P::verify(envelope, &env) else { continue };
            copy.clone().step(Input::Message(message), &env, &mut effects);
            self.stays_true(id, &mut effects)?;
        }
        Ok(())
    }

    /// O7, O18: what the copy would say contradicts nothing that the node said.
    fn stays_true(&self, id: NodeId, effects: &mut Effects<P>) -> Verdict {
        if let Some(why) = effects.halted() {
            let detail = format!("after a restart it would stop: {why}");
            return Err(Finding::new("O18", REHEARSED, detail));
        }
        for effect in effects.drain() {
            let Effect::Send { message, .. } = effect else { continue };
            for claim in P::claims(&message) {
                self.claims.fits(id, claim)?;
            }
        }
        Ok(())
    }

    /// O19: what would stand beside a snapshot is what the log says, of the first, the last and
    /// a middle one of the indices that it could be taken at.
    fn knows_members(&self, replica: &P) -> Verdict {
        let status = replica.status();
        let (first, last) = (status.purged, status.committed.min(self.last_committed()));
        let middle = LogIndex(first.0.midpoint(last.0));
        let metas = [first, middle, last].map(|index| replica.snapshot_meta(index));
        metas.iter().flatten().try_for_each(|meta| self.history.members().kept(meta))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{Gate, MessageKind};
    use serde::{Deserialize, Serialize};

    #[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
    struct Word(Option<u32>);

    const ELECTION: MessageKind = MessageKind::new("election", Traffic::Election);
    const BEAT: MessageKind = MessageKind::new("beat", Traffic::Heartbeat);

    impl Message for Word {
        const KINDS: &'static [MessageKind] = &[ELECTION, BEAT];

        fn kind(&self) -> MessageKind {
            if self.0.is_some() { ELECTION } else { BEAT }
        }

        fn gate(&self) -> Gate {
            Gate::Free
        }
    }

    /// The latest words of elections are kept, and each gives reason to look again, once.
    #[test]
    fn the_latest_words_of_elections_are_tried() {
        let mut heard = Heard::default();
        heard.hear(NodeId(1), &Word(None));
        assert!(!heard.is_due() && heard.all().next().is_none(), "a heartbeat is nothing");
        (0..KEPT as u32 + 2).for_each(|number| heard.hear(NodeId(1), &Word(Some(number))));
        assert!(heard.is_due() && !heard.is_due());
        let first = heard.all().next().expect("some are kept");
        assert_eq!((heard.all().count(), first), (KEPT, &(NodeId(1), Word(Some(2)))));
        assert_eq!((0..2 * IDLE).filter(|_| heard.is_due()).count(), 2, "now and then");
    }
}
