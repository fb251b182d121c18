//! The store against a plain map: every command and every question, while snapshots are frozen,
//! finished, restored and copied at any moment; and the same under sessions.

use bytes::Bytes;
use consensus_core::{
    Answer, Batch, ClientId, Command, Executor, Frozen, LogIndex, Membership, Position, RequestId,
    SessionId, StateMachine, Tag,
};
use proptest::prelude::*;
use proptest::sample::Index;
use std::collections::BTreeMap;
use synod_kv::{KvCommand, KvResult, KvStore};

type Model = BTreeMap<Bytes, Bytes>;

/// What the manual of the store says, over a plain map.
fn expected(model: &mut Model, command: &KvCommand) -> KvResult {
    match command {
        KvCommand::Get { key } => KvResult::Value(model.get(key).cloned()),
        KvCommand::Put { key, value } => {
            model.insert(key.clone(), value.clone());
            KvResult::Written
        }
        KvCommand::Delete { key } => KvResult::Deleted(model.remove(key).is_some()),
        KvCommand::Cas { key, expected, new } => {
            let found = model.get(key).cloned();
            if found != *expected {
                return KvResult::NotSwapped(found);
            }
            model.insert(key.clone(), new.clone());
            KvResult::Swapped
        }
    }
}

/// A snapshot, written a second time: rows of key and value in order, each after its length.
fn rows(model: &Model) -> Vec<u8> {
    let fields = model.iter().flat_map(|(key, value)| [key, value]);
    fields.flat_map(|field| [&(field.len() as u64).to_le_bytes()[..], field].concat()).collect()
}

/// Keys and values are of few kinds, so that they meet: nothing, one byte, and long.
fn text(number: u8) -> Bytes {
    let length = [0, 1, 2, 40, 300][usize::from(number % 5)];
    Bytes::from(vec![number; length])
}

/// What is done next.
#[derive(Clone, Debug)]
enum Step {
    Do {
        kind: u8,
        key: u8,
        value: u8,
        guess: Option<u8>,
    },
    /// Many keys at once, more than are moved over in one go.
    PutMany(u8),
    Freeze,
    Finish(Index),
    Restore(Index),
    RestoreCut(Index),
    Copy,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let guess = proptest::option::of(any::<u8>());
    let work = (0u8..5, any::<u8>(), any::<u8>(), guess)
        .prop_map(|(kind, key, value, guess)| Step::Do { kind, key, value, guess });
    let step = prop_oneof![
        40 => work,
        2 => any::<u8>().prop_map(Step::PutMany),
        2 => Just(Step::Freeze),
        2 => any::<Index>().prop_map(Step::Finish),
        1 => any::<Index>().prop_map(Step::Restore),
        1 => any::<Index>().prop_map(Step::RestoreCut),
        1 => Just(Step::Copy),
    ];
    proptest::collection::vec(step, 0..400)
}

/// The store, what it should be, and the snapshots of it that are being made or were made.
#[derive(Default)]
struct Pair {
    store: KvStore,
    model: Model,
    frozen: Vec<(Frozen, Model)>,
    kept: Vec<(Vec<u8>, Model)>,
}

impl Pair {
    fn command(&self, kind: u8, key: u8, value: u8, guess: Option<u8>) -> KvCommand {
        let (key, value) = (text(key), text(value));
        match kind {
            0 => KvCommand::Get { key },
            1 => KvCommand::Put { key, value },
            2 => KvCommand::Delete { key },
            3 => KvCommand::Cas { key, expected: guess.map(text), new: value },
            _ => KvCommand::Cas { expected: self.model.get(&key).cloned(), key, new: value },
        }
    }

    fn take(&mut self, step: Step, keys: u8) -> Result<(), TestCaseError> {
        match step {
            Step::Do { kind, key, value, guess } => {
                let command = self.command(kind, key % keys, value % keys, guess.map(|g| g % keys));
                let answer = KvResult::decode(&self.store.apply(&command.encode()));
                prop_assert_eq!(answer, Some(expected(&mut self.model, &command)));
            }
            Step::PutMany(value) => {
                for key in 0..keys {
                    let (kind, guess) = (1, None);
                    self.take(Step::Do { kind, key, value, guess }, keys)?;
                }
            }
            Step::Freeze => self.frozen.push((self.store.freeze(), self.model.clone())),
            Step::Finish(which) => {
                if !self.frozen.is_empty() {
                    let (frozen, model) = self.frozen.remove(which.index(self.frozen.len()));
                    let bytes = frozen();
                    prop_assert_eq!(&bytes, &rows(&model));
                    self.kept.push((bytes, model));
                }
            }
            Step::Restore(which) => {
                if !self.kept.is_empty() {
                    let (bytes, model) = self.kept[which.index(self.kept.len())].clone();
                    self.store.restore(&bytes).expect("it was made of this store");
                    self.model = model;
                }
            }
            Step::RestoreCut(which) => {
                // Half a row is no end of a snapshot, and what is refused changes nothing.
                let bytes = rows(&self.model);
                let cut = which.index(bytes.len() + 1);
                let mut seams = self.model.iter().scan(0, |end, (key, value)| {
                    *end += 16 + key.len() + value.len();
                    Some(*end)
                });
                let whole = cut == 0 || seams.any(|seam| seam == cut);
                prop_assert_eq!(self.store.restore(&bytes[..cut]).is_ok(), whole);
                if whole {
                    self.store.restore(&bytes).expect("all of it is whole, too");
                }
            }
            Step::Copy => self.store = self.store.clone(),
        }
        Ok(())
    }

    /// Everything that can be seen of the store is that of the map.
    fn compare(&self) -> Result<(), TestCaseError> {
        let (store, model) = (&self.store, &self.model);
        prop_assert!(store.iter().eq(model.iter()));
        prop_assert_eq!((store.len(), store.is_empty()), (model.len(), model.is_empty()));
        for key in (0..=255).map(text) {
            let ask = KvCommand::Get { key: key.clone() };
            let answer = KvResult::decode(&store.query(&ask.encode()));
            prop_assert_eq!(answer, Some(KvResult::Value(model.get(&key).cloned())));
            prop_assert_eq!(store.get(&key), model.get(&key));
        }
        let bytes = rows(model);
        prop_assert_eq!(store.snapshot(), &bytes[..]);
        let mut other = KvStore::default();
        other.restore(&bytes).expect("a snapshot");
        prop_assert_eq!(store, &other);
        prop_assert_eq!(store, &store.clone());
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The store is a map, whatever is made of it meanwhile. With few keys they meet; with many,
    /// what changed while a snapshot was made is moved over in several goes.
    #[test]
    fn the_store_is_a_map(keys in prop_oneof![Just(4u8), Just(20), Just(250)], steps in steps()) {
        let mut pair = Pair::default();
        let often = if keys < 10 { 1 } else { 16 };
        for (number, step) in (1..).zip(steps) {
            let is_work = matches!(step, Step::Do { .. });
            pair.take(step, keys)?;
            if !is_work || number % often == 0 {
                pair.compare()?;
            }
        }
        pair.compare()?;
        for (frozen, model) in std::mem::take(&mut pair.frozen) {
            prop_assert_eq!(frozen(), rows(&model));
        }
        pair.compare()?;
    }
}

/// What a client does next, in its session: a new command, the last one again, an earlier one
/// again, or it opens another session.
#[derive(Clone, Debug)]
struct Move {
    client: u64,
    what: u8,
    command: (u8, u8, u8, Option<u8>),
}

fn moves() -> impl Strategy<Value = Vec<Vec<Move>>> {
    let guess = proptest::option::of(0u8..4);
    let one = (0u64..3, 0u8..8, (0u8..5, 0u8..4, 0u8..4, guess))
        .prop_map(|(client, what, command)| Move { client, what, command });
    let batch = proptest::collection::vec(one, 0..4);
    proptest::collection::vec(batch, 0..40)
}

/// A client as its commands show it, and what it must be answered.
#[derive(Clone, Debug, Default)]
struct Client {
    opened: u64,
    session: SessionId,
    said: Vec<(Bytes, Answer)>,
}

/// One log position of the model: the command, and its answer.
fn said(
    client: &mut Client,
    model: &mut Model,
    (it, pair): (&Move, &Pair),
    at: Position,
) -> (Command, Answer) {
    let mut command = Command {
        client: ClientId(it.client),
        session: client.session,
        request: RequestId::OPEN,
        payload: Bytes::new(),
        tag: Tag::none(),
    };
    let last = client.said.len();
    if client.opened == 0 || it.what == 7 {
        client.opened += 1;
        (client.session, client.said) = (SessionId::opened_at(at), Vec::new());
        (command.session, command.payload) =
            (SessionId::default(), Bytes::copy_from_slice(&client.opened.to_le_bytes()));
        return (command, Answer::Done { position: at, result: Bytes::new() });
    }
    let (number, answer) = match it.what {
        5 if last > 0 => (last, client.said[last - 1].1.clone()),
        6 if last > 1 => (last - 1, Answer::Stale),
        _ => {
            let (kind, key, value, guess) = it.command;
            let asked = pair.command(kind, key, value, guess);
            let result = expected(model, &asked).encode();
            let answer = Answer::Done { position: at, result };
            client.said.push((asked.encode(), answer.clone()));
            (last + 1, answer)
        }
    };
    command.request = RequestId(number as u64);
    command.payload = client.said[number - 1].0.clone();
    (command, answer)
}

proptest! {
    /// Raft thesis §6.3 over the real store: each command is applied once, retries are answered
    /// as the first time; and a replica that goes through a snapshot at every index, made there and
    /// then or frozen and made at the end, cannot be told from one that never does.
    #[test]
    fn sessions_and_snapshots_at_every_index_change_no_answer(log in moves()) {
        let mut straight = Executor::new(KvStore::default(), 8);
        let mut restored = Executor::new(KvStore::default(), 8);
        let mut clients = vec![Client::default(); 3];
        let mut pair = Pair::default();
        let mut frozen: Vec<(Frozen, Vec<u8>)> = Vec::new();
        for (index, moves) in (1..).map(LogIndex).zip(log) {
            let (mut commands, mut answers) = (Vec::new(), Vec::new());
            for (offset, it) in (0..).zip(&moves) {
                let at = Position { index, offset };
                let mut model = std::mem::take(&mut pair.model);
                pair.model.clone_from(&model);
                let client = &mut clients[it.client as usize];
                let (command, answer) = said(client, &mut model, (it, &pair), at);
                pair.model = model;
                commands.push(command);
                answers.push(answer);
            }
            // Members are none of the service's business.
            let others = moves.is_empty() && index.0 % 2 == 0;
            let members = || Membership { version: index, ..Membership::default() }.to_batch();
            let batch = if others { members() } else { Batch::of(&commands) };
            for executor in [&mut straight, &mut restored] {
                let mut told = Vec::new();
                executor.execute(index, &batch, |executed| told.push(executed.answer));
                prop_assert_eq!(&told, &answers);
            }
            let bytes = straight.snapshot();
            prop_assert_eq!(&bytes, &restored.snapshot());
            prop_assert!(straight.machine().iter().eq(pair.model.iter()));
            prop_assert_eq!(Executor::<KvStore>::index_in(&bytes), Some(index));
            if let Some((_, before)) = frozen.last() {
                let cut = &before[..before.len() - 1];
                prop_assert!(straight.restore(cut).is_err(), "the last row is cut short");
                prop_assert_eq!(&straight.snapshot(), &bytes, "what is refused changes nothing");
            }
            frozen.push((straight.freeze(), bytes.clone()));
            restored = Executor::new(KvStore::default(), 1 + index.0 as usize % 9);
            restored.restore(&bytes).expect("a snapshot");
            prop_assert_eq!(restored.applied(), index);
        }
        for (frozen, bytes) in frozen {
            prop_assert_eq!(frozen(), bytes);
        }
    }
}
