//! The store: an ordered map, so that equal stores give equal snapshots.

use crate::{KvCommand, KvResult, MAX_KEY, MAX_VALUE};
use bytes::Bytes;
use consensus_core::{Frozen, RestoreError, StateMachine};
use std::collections::BTreeMap;
use std::sync::Arc;

/// Changes that are moved to the base with each write.
const MOVED: usize = 64;

/// An ordered map from keys to values.
///
/// While a snapshot is made of it, what is written goes beside the map that the snapshot reads;
/// later it is moved over, a little with every write. So neither to take a snapshot nor to go on
/// costs a copy of the map.
#[derive(Debug, Default)]
pub struct KvStore {
    base: Arc<BTreeMap<Bytes, Bytes>>,
    /// What changed since somebody else began to read the base; `None` is a deleted key.
    changes: BTreeMap<Bytes, Option<Bytes>>,
}

impl KvStore {
    /// The value of a key.
    pub fn get(&self, key: &[u8]) -> Option<&Bytes> {
        match self.changes.get(key) {
            Some(change) => change.as_ref(),
            None => self.base.get(key),
        }
    }

    /// Number of keys.
    pub fn len(&self) -> usize {
        if self.changes.is_empty() { self.base.len() } else { self.iter().count() }
    }

    /// All keys with their values, in order.
    pub fn iter(&self) -> impl Iterator<Item = (&Bytes, &Bytes)> {
        let mut base = self.base.iter().peekable();
        let mut changes = self.changes.iter().peekable();
        std::iter::from_fn(move || {
            loop {
                let (key, value) = match (base.peek(), changes.peek()) {
                    (Some((old, _)), Some((new, _))) if old < new => return base.next(),
                    (Some((old, _)), Some((new, _))) => {
                        if old == new {
                            base.next();
                        }
                        changes.next()?
                    }
                    (_, None) => return base.next(),
                    (None, Some(_)) => changes.next()?,
                };
                if let Some(value) = value {
                    return Some((key, value));
                }
            }
        })
    }

    /// No key?
    pub fn is_empty(&self) -> bool {
        self.iter().next().is_none()
    }

    /// Sets a key, or deletes it.
    fn change(&mut self, key: Bytes, value: Option<Bytes>) {
        self.changes.insert(key, value);
        self.settle(MOVED);
    }

    /// Moves some changes to the base, if nobody else reads that.
    fn settle(&mut self, most: usize) {
        let Some(base) = Arc::get_mut(&mut self.base) else { return };
        for _ in 0..most {
            match self.changes.pop_first() {
                Some((key, Some(value))) => drop(base.insert(key, value)),
                Some((key, None)) => drop(base.remove(&key)),
                None => return,
            }
        }
    }

    fn carry_out(&mut self, command: KvCommand) -> KvResult {
        match command {
            KvCommand::Get { key } => KvResult::Value(self.get(&key).cloned()),
            KvCommand::Put { key, value } => {
                self.insert(&key, &value);
                KvResult::Written
            }
            KvCommand::Delete { key } => {
                let found = self.get(&key).is_some();
                if found {
                    self.change(Bytes::copy_from_slice(&key), None);
                }
                KvResult::Deleted(found)
            }
            KvCommand::Cas { key, expected, new } => {
                let found = self.get(&key).cloned();
                if found != expected {
                    return KvResult::NotSwapped(found);
                }
                self.insert(&key, &new);
                KvResult::Swapped
            }
        }
    }

    /// Copies: a stored slice of a batch would keep the whole batch in memory.
    fn insert(&mut self, key: &[u8], value: &[u8]) {
        self.change(Bytes::copy_from_slice(key), Some(Bytes::copy_from_slice(value)));
    }
}

fn admitted(command: &Bytes) -> Option<KvCommand> {
    KvCommand::decode(command).filter(|command| command.validate().is_ok())
}

impl StateMachine for KvStore {
    fn apply(&mut self, command: &Bytes) -> Bytes {
        match admitted(command) {
            Some(command) => self.carry_out(command),
            None => KvResult::Malformed,
        }
        .encode()
    }

    fn query(&self, question: &Bytes) -> Bytes {
        match admitted(question) {
            Some(KvCommand::Get { key }) => KvResult::Value(self.get(&key).cloned()),
            _ => KvResult::Malformed,
        }
        .encode()
    }

    fn snapshot(&self) -> Vec<u8> {
        encode(self.iter())
    }

    fn freeze(&self) -> Frozen {
        if self.changes.is_empty() {
            let base = Arc::clone(&self.base);
            return Box::new(move || encode(base.iter()));
        }
        // Only where a second snapshot is taken while the first is being made.
        let copy = self.clone();
        Box::new(move || encode(copy.iter()))
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let mut rest = snapshot;
        let mut map = BTreeMap::new();
        while !rest.is_empty() {
            let cut = || RestoreError("a key or value is cut short".into());
            let key = take(&mut rest).ok_or_else(cut)?;
            let value = take(&mut rest).ok_or_else(cut)?;
            if map.last_key_value().is_some_and(|(last, _)| *last >= key) {
                return Err(RestoreError("its keys are not in order".into()));
            }
            if key.len() > MAX_KEY || value.len() > MAX_VALUE {
                return Err(RestoreError("a key or value is over the limit".into()));
            }
            map.insert(key, value);
        }
        (self.base, self.changes) = (Arc::new(map), BTreeMap::new());
        Ok(())
    }
}

fn encode<'a>(entries: impl Iterator<Item = (&'a Bytes, &'a Bytes)>) -> Vec<u8> {
    let mut out = Vec::new();
    for (key, value) in entries {
        for field in [key, value] {
            out.extend_from_slice(&(field.len() as u64).to_le_bytes());
            out.extend_from_slice(field);
        }
    }
    out
}

/// A copy shares nothing: who reads one does not slow the other down.
impl Clone for KvStore {
    fn clone(&self) -> Self {
        let all = self.iter().map(|(key, value)| (key.clone(), value.clone()));
        Self { base: Arc::new(all.collect()), changes: BTreeMap::new() }
    }
}

impl PartialEq for KvStore {
    fn eq(&self, other: &Self) -> bool {
        self.iter().eq(other.iter())
    }
}

impl Eq for KvStore {}

fn take(rest: &mut &[u8]) -> Option<Bytes> {
    let (length, after) = rest.split_first_chunk::<8>()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let (field, after) = after.split_at_checked(length)?;
    *rest = after;
    Some(Bytes::copy_from_slice(field))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn ask(store: &mut KvStore, command: KvCommand) -> KvResult {
        KvResult::decode(&store.apply(&command.encode())).expect("a result decodes")
    }

    fn put(key: &'static str, value: &'static str) -> KvCommand {
        KvCommand::Put { key: key.into(), value: value.into() }
    }

    #[test]
    fn commands_do_what_they_say() {
        let mut store = KvStore::default();
        let get = || KvCommand::Get { key: "x".into() };
        let cas = |expected: Option<&'static str>, new: &'static str| KvCommand::Cas {
            key: "x".into(),
            expected: expected.map(Bytes::from),
            new: new.into(),
        };
        assert_eq!(ask(&mut store, get()), KvResult::Value(None));
        assert_eq!(ask(&mut store, cas(None, "1")), KvResult::Swapped);
        assert_eq!(ask(&mut store, cas(None, "2")), KvResult::NotSwapped(Some("1".into())));
        assert_eq!(ask(&mut store, cas(Some("1"), "2")), KvResult::Swapped);
        assert_eq!(ask(&mut store, put("x", "3")), KvResult::Written);
        assert_eq!(ask(&mut store, get()), KvResult::Value(Some("3".into())));
        assert_eq!(ask(&mut store, KvCommand::Delete { key: "x".into() }), KvResult::Deleted(true));
        assert_eq!(
            ask(&mut store, KvCommand::Delete { key: "x".into() }),
            KvResult::Deleted(false)
        );
    }

    #[test]
    fn garbage_and_oversized_values_change_nothing() {
        let mut store = KvStore::default();
        let big = KvCommand::Put { key: "x".into(), value: vec![0; MAX_VALUE + 1].into() };
        assert_eq!(ask(&mut store, big), KvResult::Malformed);
        assert_eq!(store.apply(&Bytes::from_static(b"\xff")), KvResult::Malformed.encode());
        let write = put("x", "1").encode();
        assert_eq!(store.query(&write), KvResult::Malformed.encode(), "a question changes nothing");
        assert!(store.is_empty());
    }

    #[test]
    fn a_snapshot_restores_and_a_damaged_one_is_refused() {
        let mut store = KvStore::default();
        ask(&mut store, put("b", "2"));
        ask(&mut store, put("a", "1"));
        let snapshot = store.snapshot();
        let mut other = KvStore::default();
        other.restore(&snapshot).expect("a snapshot restores");
        assert_eq!(other, store);
        for cut in 1..snapshot.len() {
            if cut != snapshot.len() / 2 {
                assert!(KvStore::default().restore(&snapshot[..cut]).is_err(), "cut at {cut}");
            }
        }
    }
    fn command() -> impl Strategy<Value = KvCommand> {
        let key = || (b'a'..b'f').prop_map(|key| Bytes::from(vec![key]));
        let value = || proptest::collection::vec(any::<u8>(), 0..8).prop_map(Bytes::from);
        prop_oneof![
            (key(), value()).prop_map(|(key, value)| KvCommand::Put { key, value }),
            key().prop_map(|key| KvCommand::Delete { key }),
            (key(), value()).prop_map(|(key, new)| KvCommand::Cas { key, expected: None, new }),
        ]
    }

    proptest! {
        /// The contract of the trait: equal machines give equal bytes, however they came to be,
        /// and who restores them becomes that machine.
        #[test]
        fn snapshots_are_canonical(commands in proptest::collection::vec(command(), 0..40)) {
            let mut store = KvStore::default();
            for command in commands {
                ask(&mut store, command);
            }
            let mut other = KvStore::default();
            ask(&mut other, put("z", "this goes away"));
            other.restore(&store.snapshot()).expect("a snapshot restores");
            prop_assert_eq!(&other, &store);
            prop_assert_eq!(other.snapshot(), store.snapshot());
        }
    }

    proptest! {
        /// What is frozen stays as it is while the store goes on, as it would without.
        #[test]
        fn a_frozen_store_and_one_that_goes_on_do_not_disturb_each_other(
            before in proptest::collection::vec(command(), 0..20),
            during in proptest::collection::vec(command(), 0..20),
            after in proptest::collection::vec(command(), 0..5),
        ) {
            let (mut store, mut plain) = (KvStore::default(), KvStore::default());
            let mut both = |commands: Vec<KvCommand>, frozen: Option<(Frozen, Vec<u8>)>| {
                for command in commands {
                    let (one, other) = (ask(&mut store, command.clone()), ask(&mut plain, command));
                    prop_assert_eq!(one, other);
                    prop_assert_eq!(store.len(), plain.len());
                }
                prop_assert_eq!(store.snapshot(), plain.snapshot());
                if let Some((frozen, expected)) = frozen {
                    prop_assert_eq!(frozen(), expected);
                }
                Ok((store.freeze(), plain.snapshot()))
            };
            let frozen = both(before, None)?;
            let second = both(during, None)?;
            drop(both(after, Some(frozen))?);
            drop(both(Vec::new(), Some(second))?);
        }
    }

    #[test]
    fn rows_out_of_order_or_over_the_limits_are_no_snapshot() {
        let row = |key: &[u8], value: &[u8]| {
            let mut store = KvStore::default();
            store.insert(key, value);
            store.snapshot()
        };
        let backwards = [row(b"b", b""), row(b"a", b"")].concat();
        assert!(KvStore::default().restore(&backwards).is_err());
        let kept = |snapshot: &[u8]| KvStore::default().restore(snapshot).is_ok();
        assert!(kept(&row(&[0; MAX_KEY], &[0; MAX_VALUE])));
        assert!(!kept(&row(&[0; MAX_KEY + 1], b"")));
        assert!(!kept(&row(b"", &[0; MAX_VALUE + 1])));
    }
}
