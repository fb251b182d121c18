//! O1, O2, O4 (no gap), O9, O11: what was committed, against what clients sent and were told.

use super::members::Members;
use super::{Seen, Table, Verdict};
use crate::report::Finding;
use bytes::Bytes;
use consensus_core::{
    Answer, Batch, Change, ClientId, Command, Executed, Executor, LogIndex, Membership, Position,
    RequestId, SessionId, StateMachine,
};

/// Names a command across its attempts.
pub(crate) type Key = (ClientId, SessionId, RequestId);

pub(crate) fn key_of(command: &Command) -> Key {
    (command.client, command.session, command.request)
}

/// One decided index.
#[derive(Clone, Debug)]
pub(crate) struct Decided {
    pub(crate) batch: Batch,
    /// When the first replica gave it out.
    pub(crate) at: u64,
    /// The highest epoch that anyone had led by then.
    pub(crate) led: Option<u64>,
}

/// What was applied, in the replay of what was decided.
#[derive(Clone, Debug)]
struct Applied {
    position: Position,
    result: Bytes,
}

/// A question whose answers are remembered.
struct Watched {
    question: Bytes,
    since: LogIndex,
    /// From which index on it has which answer.
    answers: Vec<(LogIndex, Bytes)>,
}

/// The one history of a world.
pub(crate) struct History<S> {
    decided: Vec<Decided>,
    /// All openings of sessions by one client have one key.
    submitted: Table<Key, Vec<Command>>,
    applied: Table<Key, Applied>,
    refused: Seen<Key>,
    replay: Executor<S>,
    executed: Vec<Executed>,
    highest: Option<Position>,
    members: Members,
    /// The last index that some client was told of.
    told: LogIndex,
    watched: Vec<Watched>,
}

impl<S: StateMachine> History<S> {
    pub(crate) fn new(replay: Executor<S>, initial: Membership) -> Self {
        Self {
            decided: Vec::new(),
            submitted: Table::default(),
            applied: Table::default(),
            refused: Seen::default(),
            replay,
            executed: Vec::new(),
            highest: None,
            members: Members::new(initial),
            told: LogIndex::ZERO,
            watched: Vec::new(),
        }
    }

    pub(crate) fn decided(&self) -> &[Decided] {
        &self.decided
    }

    /// An operator asks for other members.
    pub(crate) fn ask(&mut self, change: &Change) {
        self.members.ask(change);
    }

    /// The members, as far as the log was decided.
    pub(crate) fn members(&self) -> &Members {
        &self.members
    }

    pub(crate) fn replay(&self) -> &Executor<S> {
        &self.replay
    }

    /// A client sent this command.
    pub(crate) fn submit(&mut self, command: &Command) {
        let sent = self.submitted.entry(key_of(command)).or_default();
        if !sent.contains(command) {
            sent.push(command.clone());
        }
    }

    /// A correct replica, which had committed `before` in this life, commits a batch. True if
    /// nobody had committed this index yet.
    pub(crate) fn commit(
        &mut self,
        before: LogIndex,
        index: LogIndex,
        batch: &Batch,
        at: u64,
        led: Option<u64>,
    ) -> Result<bool, Finding> {
        if index != before.next() {
            let detail = format!("committed index {index} right after index {before}");
            return Err(Finding::new("O4", "gap-free", detail));
        }
        if let Some(decided) = self.decided.get(index.0 as usize - 1) {
            if decided.batch == *batch {
                return Ok(false);
            }
            let held = &decided.batch;
            let detail = format!("index {index} was {held:?} and is now {batch:?}");
            return Err(Finding::new("O1", "agreement", detail));
        }
        if index.0 as usize != self.decided.len() + 1 {
            let last = self.decided.len();
            let detail = format!("committed index {index}; nobody went beyond {last} so far");
            return Err(Finding::new("O4", "gap-free", detail));
        }
        self.judge(index, batch)?;
        self.members.decided(index, batch)?;
        self.decided.push(Decided { batch: batch.clone(), at, led });
        Ok(true)
    }

    fn judge(&mut self, index: LogIndex, batch: &Batch) -> Verdict {
        // Members are changed in the log's own words; that an operator asked for it, nobody notes.
        let of_clients = (!batch.is_membership()).then(|| batch.commands());
        for command in of_clients.into_iter().flatten() {
            let sent = self.submitted.get(&key_of(&command));
            if sent.is_none_or(|sent| !sent.contains(&command)) {
                let detail = format!("index {index} holds {command:?}, which no client sent");
                return Err(Finding::new("O2", "integrity", detail));
            }
        }
        let executed = &mut self.executed;
        self.replay.execute(index, batch, |one| executed.push(one));
        self.look();
        for one in self.executed.drain(..).filter(|one| one.applied) {
            let key = key_of(&one.command);
            if self.refused.contains(&key) {
                let detail = format!("{key:?} was refused for good, and is applied at {index}");
                return Err(Finding::new("O11", "exactly once", detail));
            }
            let Answer::Done { position, result } = one.answer else { continue };
            if let Some(first) = self.applied.insert(key, Applied { position, result }) {
                let detail = format!("{key:?} is applied at {:?} and {position:?}", first.position);
                return Err(Finding::new("O2", "applied once", detail));
            }
        }
        Ok(())
    }

    /// The highest position that some client knows of by now: what begins now must come after it.
    pub(crate) fn floor(&self) -> Option<Position> {
        self.highest
    }

    /// A client was told that its command, begun at `begun` when [`floor`](Self::floor) was
    /// `floor`, was applied at this position with this result.
    pub(crate) fn answered(
        &mut self,
        key: Key,
        begun: u64,
        floor: Option<Position>,
        position: Position,
        result: &Bytes,
    ) -> Verdict {
        let broken = |detail| Err(Finding::new("O9", "linearizable", detail));
        let Some(applied) = self.applied.get(&key) else {
            return broken(format!("{key:?} was answered at {position:?} but never committed"));
        };
        if applied.position != position {
            let truly = applied.position;
            return broken(format!("{key:?} was answered at {position:?}, applied at {truly:?}"));
        }
        if applied.result != *result {
            let truly = &applied.result;
            return broken(format!("{key:?} was answered {result:?}, a replay says {truly:?}"));
        }
        if floor.is_some_and(|floor| position <= floor) {
            let detail = format!("{key:?} at {position:?} began when {floor:?} was answered");
            return broken(detail);
        }
        if self.decided[position.index.0 as usize - 1].at < begun {
            return broken(format!("{key:?} was committed at {position:?} before it was asked"));
        }
        self.highest = self.highest.max(Some(position));
        self.told(position.index);
        Ok(())
    }

    /// A client was told of something at this index.
    pub(crate) fn told(&mut self, index: LogIndex) {
        self.told = self.told.max(index);
    }

    /// The last index that some client was told of: whoever reads now must see that.
    pub(crate) fn told_index(&self) -> LogIndex {
        self.told
    }

    /// The last index that was committed by then.
    pub(crate) fn committed_at(&self, time: u64) -> LogIndex {
        LogIndex(self.decided.partition_point(|one| one.at <= time) as u64)
    }

    /// Remembers the answers to this question from now on.
    pub(crate) fn watch(&mut self, question: Bytes) {
        if self.watched.iter().all(|known| known.question != question) {
            let (since, answer) = (self.replay.applied(), self.replay.machine().query(&question));
            self.watched.push(Watched { question, since, answers: vec![(since, answer)] });
        }
    }

    fn look(&mut self) {
        let Self { watched, replay, .. } = self;
        for Watched { question, answers, .. } in watched {
            let answer = replay.machine().query(question);
            if answers.last().is_none_or(|(_, before)| *before != answer) {
                answers.push((replay.applied(), answer));
            }
        }
    }

    /// O9: a question was answered as of this index, as a replay up to there would have.
    pub(crate) fn read(&self, index: LogIndex, question: &Bytes, answer: &Bytes) -> Verdict {
        let broken = |detail| Err(Finding::new("O9", "linearizable", detail));
        if index.0 > self.decided.len() as u64 {
            return broken(format!("a read is answered as of {index}, which nobody committed"));
        }
        let watched = self.watched.iter().find(|known| known.question == *question);
        let Some(Watched { since, answers, .. }) = watched else { return Ok(()) };
        if index < *since {
            return Ok(());
        }
        let later = answers.partition_point(|(at, _)| *at <= index);
        let truly = &answers[later - 1].1;
        if truly == answer {
            return Ok(());
        }
        broken(format!("a read as of {index} is answered {answer:?}, a replay says {truly:?}"))
    }

    /// A client was told that its command is surely not applied.
    pub(crate) fn told_refused(&mut self, key: Key) -> Verdict {
        self.refused.insert(key);
        match self.applied.get(&key) {
            None => Ok(()),
            Some(applied) => {
                let detail = format!("{key:?} was refused, but applied at {:?}", applied.position);
                Err(Finding::new("O11", "exactly once", detail))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registers::{Operation, Registers};
    use consensus_core::{Cluster, ClusterId, Tag};

    fn history() -> History<Registers> {
        let three = Membership::initial(&Cluster::new(ClusterId(1), 3));
        History::new(Executor::new(Registers::default(), 8), three)
    }

    fn open(client: u64) -> Command {
        let payload = Bytes::copy_from_slice(&1u64.to_le_bytes());
        let (client, session) = (ClientId(client), SessionId::default());
        Command { client, session, request: RequestId::OPEN, payload, tag: Tag::none() }
    }

    fn put(client: u64, opened: u64, request: u64) -> Command {
        let at = Position { index: LogIndex(opened), offset: 0 };
        Command {
            client: ClientId(client),
            session: SessionId::opened_at(at),
            request: RequestId(request),
            payload: Operation::Put(1, request).encode(),
            tag: Tag::none(),
        }
    }

    /// Submits and commits, as the replica of a correct cluster would.
    fn commit(history: &mut History<Registers>, index: u64, command: &Command) -> Verdict {
        history.submit(command);
        let batch = Batch::of(std::slice::from_ref(command));
        history.commit(LogIndex(index - 1), LogIndex(index), &batch, index, None).map(|_| ())
    }

    fn at(index: u64) -> Position {
        Position { index: LogIndex(index), offset: 0 }
    }

    fn oracle(verdict: Verdict) -> &'static str {
        verdict.expect_err("the oracle must see this").oracle
    }

    #[test]
    fn o1_sees_two_batches_at_one_index() {
        let mut history = history();
        commit(&mut history, 1, &open(1)).expect("the first batch");
        commit(&mut history, 1, &open(1)).expect("another replica commits the same");
        let verdict = history.commit(LogIndex(0), LogIndex(1), &Batch::noop(), 9, None);
        assert_eq!(verdict.unwrap_err().oracle, "O1");
    }

    #[test]
    fn o4_sees_a_gap() {
        let mut history = history();
        let verdict = history.commit(LogIndex(0), LogIndex(2), &Batch::noop(), 1, None);
        assert_eq!(verdict.unwrap_err().oracle, "O4");
    }

    #[test]
    fn o2_sees_what_nobody_sent_and_what_was_changed_on_the_way() {
        let mut history = history();
        let command = open(1);
        let batch = |command: &Command| Batch::of(std::slice::from_ref(command));
        let unsent = history.commit(LogIndex(0), LogIndex(1), &batch(&command), 1, None);
        assert_eq!(unsent.unwrap_err().oracle, "O2");
        history.submit(&command);
        let changed = Command { payload: Bytes::from_static(b"else"), ..command };
        let verdict = history.commit(LogIndex(0), LogIndex(1), &batch(&changed), 1, None);
        assert_eq!(verdict.unwrap_err().oracle, "O2");
    }

    #[test]
    fn o9_sees_stale_positions_wrong_results_and_answers_from_nowhere() {
        let mut history = history();
        for (index, command) in [(1, open(1)), (2, put(1, 1, 1)), (3, put(1, 1, 2))] {
            commit(&mut history, index, &command).expect("sound");
        }
        let word = |value: u64| Bytes::copy_from_slice(&value.to_le_bytes());
        let (first, second) = (key_of(&put(1, 1, 1)), key_of(&put(1, 1, 2)));
        let nowhere = key_of(&put(1, 1, 9));
        assert_eq!(oracle(history.answered(nowhere, 0, None, at(3), &word(0))), "O9");
        assert_eq!(oracle(history.answered(second, 0, None, at(2), &word(1))), "O9");
        assert_eq!(oracle(history.answered(second, 0, None, at(3), &word(7))), "O9");
        assert_eq!(oracle(history.answered(second, 4, None, at(3), &word(1))), "O9");
        history.answered(second, 0, history.floor(), at(3), &word(1)).expect("sound");
        let late = history.floor();
        assert_eq!(oracle(history.answered(first, 0, late, at(2), &word(0))), "O9");
        history.answered(first, 0, None, at(2), &word(0)).expect("begun before the other ended");
    }

    #[test]
    fn o11_sees_a_refused_command_applied_before_and_after_the_refusal() {
        let mut history = history();
        for (index, command) in [(1, open(1)), (2, put(1, 1, 1))] {
            commit(&mut history, index, &command).expect("sound");
        }
        assert_eq!(oracle(history.told_refused(key_of(&put(1, 1, 1)))), "O11");
        history.told_refused(key_of(&put(1, 1, 2))).expect("not applied so far");
        assert_eq!(oracle(commit(&mut history, 3, &put(1, 1, 2))), "O11");
    }

    #[test]
    fn o9_sees_reads_that_a_replay_would_not_answer_so() {
        let mut history = history();
        let question = Bytes::from_static(&[1]);
        history.watch(question.clone());
        for (index, command) in [(1, open(1)), (2, put(1, 1, 7)), (3, put(1, 1, 8))] {
            commit(&mut history, index, &command).expect("sound");
        }
        let word = |value: u64| Bytes::copy_from_slice(&value.to_le_bytes());
        let read = |index, value| history.read(LogIndex(index), &question, &word(value));
        for (index, value) in [(0, 0), (1, 0), (2, 7), (3, 8)] {
            read(index, value).expect("as a replay says");
        }
        assert_eq!(oracle(read(2, 8)), "O9", "that came later");
        assert_eq!(oracle(read(4, 8)), "O9", "nobody committed that");
        assert_eq!(history.committed_at(2), LogIndex(2));
    }
}
