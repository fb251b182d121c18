//! Between the log and the service: applies what was committed, once, and says what to answer.

use crate::batch::{Batch, Command};
use crate::fingerprint::Fingerprint;
use crate::id::{LogIndex, Position};
use crate::machine::{Frozen, RestoreError, StateMachine};
use crate::mutant::planted;
use crate::request::Answer;
use crate::session::{self, Sessions, Verdict};

/// Sessions that the table keeps unless told otherwise.
pub const DEFAULT_SESSIONS: usize = 65_536;

/// A state machine with its sessions, at an index of the log. The same on every replica that has
/// applied as much.
#[derive(Clone, Debug)]
pub struct Executor<S> {
    machine: S,
    sessions: Sessions,
    applied: LogIndex,
}

/// A command that was executed, and what its client is to be told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Executed {
    /// The command.
    pub command: Command,
    /// Its position in the log.
    pub position: Position,
    /// Was it applied just now (and not before, or never)?
    pub applied: bool,
    /// The answer.
    pub answer: Answer,
}

impl<S: StateMachine> Executor<S> {
    /// A machine that has applied nothing.
    pub fn new(machine: S, sessions: usize) -> Self {
        Self { machine, sessions: Sessions::new(sessions), applied: LogIndex::ZERO }
    }

    /// Applies the batch at the next index.
    ///
    /// # Panics
    /// If `index` does not follow the last one: a gap in what was committed is a broken promise
    /// of the protocol, and applying past it would lose a command for good.
    pub fn execute(&mut self, index: LogIndex, batch: &Batch, mut done: impl FnMut(Executed)) {
        assert_eq!(index, self.applied.next(), "committed batches come without gap");
        let commands = (!batch.is_membership()).then(|| batch.commands());
        for (offset, command) in commands.into_iter().flatten().enumerate() {
            let position = Position { index, offset: offset as u32 };
            let position = if planted("K05") { Position { index, offset: 0 } } else { position };
            let (applied, answer) = self.execute_one(&command, position);
            done(Executed { command, position, applied, answer });
        }
        self.applied = index;
    }

    fn execute_one(&mut self, command: &Command, position: Position) -> (bool, Answer) {
        match self.sessions.judge(command, position) {
            Verdict::Opened(position) => {
                (false, Answer::Done { position, result: bytes::Bytes::new() })
            }
            Verdict::Apply => {
                let result = self.machine.apply(&command.payload);
                self.sessions.remember(command, position, result.clone());
                (true, Answer::Done { position, result })
            }
            Verdict::Repeat(position, result) => (false, Answer::Done { position, result }),
            Verdict::Stale => (false, Answer::Stale),
            Verdict::Expired => (false, Answer::Expired),
        }
    }

    /// Everything up to here is applied.
    pub fn applied(&self) -> LogIndex {
        self.applied
    }

    /// The service, to look at.
    pub fn machine(&self) -> &S {
        &self.machine
    }

    /// Applied index, sessions and service as bytes.
    pub fn snapshot(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        session::put(&mut bytes, self.applied.0);
        self.sessions.encode(&mut bytes);
        bytes.extend_from_slice(&self.machine.snapshot());
        bytes
    }

    /// What [`snapshot`](Self::snapshot) would give now, to be made later and elsewhere, while this
    /// executor goes on.
    pub fn freeze(&self) -> Frozen {
        let (applied, sessions, machine) =
            (self.applied, self.sessions.clone(), self.machine.freeze());
        Box::new(move || {
            let mut bytes = Vec::new();
            session::put(&mut bytes, applied.0);
            sessions.encode(&mut bytes);
            bytes.extend_from_slice(&machine());
            bytes
        })
    }

    /// The index that a snapshot says it is of; `None` if these are not the first bytes of one.
    pub fn index_in(mut snapshot: &[u8]) -> Option<LogIndex> {
        session::take(&mut snapshot).map(LogIndex)
    }

    /// Becomes what the snapshot was taken of.
    ///
    /// # Errors
    /// If these bytes are no snapshot; nothing is changed then.
    pub fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let broken = || RestoreError("the session table is damaged".into());
        let mut rest = snapshot;
        let applied = LogIndex(session::take(&mut rest).ok_or_else(broken)?);
        let sessions = Sessions::decode(&mut rest).ok_or_else(broken)?;
        if planted("K08") {
            self.sessions = sessions.clone();
        }
        self.machine.restore(rest)?;
        if !planted("K01") {
            self.sessions = sessions;
        }
        self.applied = applied;
        Ok(())
    }

    /// Equal on all replicas that have applied as much. Of the sessions themselves, not of their
    /// bytes in a snapshot: what is left out of those would not be missed.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&(self.applied, &self.sessions, &self.machine.snapshot()[..]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Tag;
    use crate::id::{ClientId, RequestId, SessionId};
    use bytes::Bytes;

    /// Counts what it applies.
    #[derive(Default)]
    struct Counter(u64);

    impl StateMachine for Counter {
        fn apply(&mut self, _command: &Bytes) -> Bytes {
            self.0 += 1;
            Bytes::copy_from_slice(&self.0.to_le_bytes())
        }

        fn query(&self, _question: &Bytes) -> Bytes {
            Bytes::copy_from_slice(&self.0.to_le_bytes())
        }

        fn snapshot(&self) -> Vec<u8> {
            self.0.to_le_bytes().to_vec()
        }

        fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
            let word = snapshot.try_into().map_err(|_| RestoreError("no counter".into()))?;
            self.0 = u64::from_le_bytes(word);
            Ok(())
        }
    }

    fn command(session: SessionId, request: u64) -> Command {
        Command {
            client: ClientId(9),
            session,
            request: RequestId(request),
            payload: Bytes::new(),
            tag: Tag::none(),
        }
    }

    fn execute(
        executor: &mut Executor<Counter>,
        index: u64,
        commands: &[Command],
    ) -> Vec<Executed> {
        let mut out = Vec::new();
        executor.execute(LogIndex(index), &Batch::of(commands), |executed| out.push(executed));
        out
    }

    /// The bug K01 of our list: a snapshot without the session table applies a retry twice.
    #[test]
    fn a_retry_after_a_restored_snapshot_is_not_applied_again() {
        let mut executor = Executor::new(Counter::default(), 8);
        let opened = execute(&mut executor, 1, &[command(SessionId::default(), 0)]);
        let session = SessionId::opened_at(opened[0].position);
        let first = execute(&mut executor, 2, &[command(session, 1)]);
        assert!(first[0].applied);

        let mut restored = Executor::new(Counter::default(), 8);
        restored.restore(&executor.snapshot()).expect("a snapshot restores");
        assert_eq!(restored.fingerprint(), executor.fingerprint());
        let again = execute(&mut restored, 3, &[command(session, 1)]);
        assert!(!again[0].applied);
        assert_eq!(again[0].answer, first[0].answer);
        assert_eq!(restored.machine().0, 1);
    }

    /// What was frozen does not see what is applied later.
    #[test]
    fn a_frozen_state_is_the_snapshot_of_its_moment() {
        let mut executor = Executor::new(Counter::default(), 8);
        let opened = execute(&mut executor, 1, &[command(SessionId::default(), 0)]);
        let session = SessionId::opened_at(opened[0].position);
        let (now, frozen) = (executor.snapshot(), executor.freeze());
        execute(&mut executor, 2, &[command(session, 1)]);
        let bytes = frozen();
        assert_eq!(bytes, now);
        assert_ne!(bytes, executor.snapshot());
        assert_eq!(Executor::<Counter>::index_in(&bytes), Some(LogIndex(1)));
    }

    #[test]
    #[should_panic(expected = "without gap")]
    fn a_gap_is_not_applied_over() {
        execute(&mut Executor::new(Counter::default(), 8), 2, &[]);
    }
}
