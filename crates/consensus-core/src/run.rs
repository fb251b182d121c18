//! A list that is shared instead of copied.

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::VecDeque;
use std::fmt::{self, Debug};
use std::hash::{Hash, Hasher};
use std::ops::Deref;
use std::sync::Arc;

/// Things that follow one another, for example entries of a log. Clones share them: one run serves
/// the record for the disk and the messages to all receivers, and a receiver writes the run that
/// it got.
#[derive(Clone)]
pub struct Run<T>(Kept<T>);

/// One thing by itself needs no list: the usual case while there is little to do, and the cheapest.
#[derive(Clone)]
enum Kept<T> {
    Nothing,
    One(T),
    Many(Arc<[T]>),
}

impl<T> Default for Run<T> {
    #[inline]
    fn default() -> Self {
        Self(Kept::Nothing)
    }
}

impl<T> Deref for Run<T> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        match &self.0 {
            Kept::Nothing => &[],
            Kept::One(one) => std::slice::from_ref(one),
            Kept::Many(many) => many,
        }
    }
}

impl<T> From<T> for Run<T> {
    #[inline]
    fn from(one: T) -> Self {
        Self(Kept::One(one))
    }
}

impl<T> Run<T> {
    /// The only thing, if there is but one.
    ///
    /// # Errors
    /// The run itself, if not.
    #[inline]
    pub fn into_one(self) -> Result<T, Self> {
        match self.0 {
            Kept::One(one) => Ok(one),
            other => Err(Self(other)),
        }
    }

    /// Takes everything out of a list, which keeps its room for what comes next.
    pub fn taken_from(things: &mut Vec<T>) -> Self {
        match things.pop() {
            None => Self::default(),
            Some(only) if things.is_empty() => only.into(),
            last => {
                things.extend(last);
                Self(Kept::Many(things.drain(..).collect()))
            }
        }
    }
}

impl<T: Default> Run<T> {
    /// Takes the first things out of a queue, so many.
    ///
    /// # Panics
    /// If there are fewer.
    pub fn taken_from_front(queue: &mut VecDeque<T>, count: usize) -> Self {
        if count == 1 {
            return queue.pop_front().expect("there is one thing").into();
        }
        let taken = queue.range_mut(..count).map(std::mem::take);
        let run = if count == 0 { Self::default() } else { Self(Kept::Many(taken.collect())) };
        queue.drain(..count);
        run
    }
}

impl<T: Clone + Default> Run<T> {
    /// Adds what is made of each thing to a list. Who holds the run alone gives the things away;
    /// others keep theirs.
    #[inline]
    pub fn append_to<U>(self, list: &mut impl Extend<U>, make: impl Fn(T) -> U) {
        match self.0 {
            Kept::Nothing => {}
            Kept::One(one) => list.extend(Some(make(one))),
            Kept::Many(mut many) => match Arc::get_mut(&mut many) {
                Some(own) => list.extend(own.iter_mut().map(|thing| make(std::mem::take(thing)))),
                None => list.extend(many.iter().cloned().map(make)),
            },
        }
    }
}

impl<T: Clone> From<&[T]> for Run<T> {
    fn from(things: &[T]) -> Self {
        match things {
            [] => Self::default(),
            [one] => one.clone().into(),
            _ => Self(Kept::Many(things.into())),
        }
    }
}

impl<T> FromIterator<T> for Run<T> {
    fn from_iter<I: IntoIterator<Item = T>>(things: I) -> Self {
        let mut things = things.into_iter();
        match (things.next(), things.next()) {
            (None, _) => Self::default(),
            (Some(only), None) => only.into(),
            (first, second) => {
                Self(Kept::Many(first.into_iter().chain(second).chain(things).collect()))
            }
        }
    }
}

impl<T: PartialEq> PartialEq for Run<T> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq> Eq for Run<T> {}

impl<T: Hash> Hash for Run<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (**self).hash(state);
    }
}

impl<T: Debug> Debug for Run<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: Serialize> Serialize for Run<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        (**self).serialize(serializer)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Run<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Vec::deserialize(deserializer)?.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fingerprint::Fingerprint;

    /// A run is what is in it, however it is kept: the simulator compares and hashes messages.
    #[test]
    fn a_run_is_its_things() {
        for list in [vec![], vec![3u64], vec![3, 4], vec![3, 4, 5]] {
            let run: Run<u64> = list.iter().copied().collect();
            assert_eq!(*run, *list);
            assert_eq!(run, Run::from(&list[..]));
            assert_eq!(run, Run::taken_from(&mut list.clone()));
            let mut queue: VecDeque<u64> = list.iter().copied().chain([9]).collect();
            assert_eq!(run, Run::taken_from_front(&mut queue, list.len()));
            assert_eq!(queue, [9], "the rest stays");
            assert_eq!(run.clone().into_one().ok(), (list.len() == 1).then(|| list[0]));
            assert_eq!(Fingerprint::of(&run), Fingerprint::of(&list));
            assert_eq!(format!("{run:?}"), format!("{list:?}"));
            let mut given = Vec::new();
            run.clone().append_to(&mut given, |thing| thing);
            assert_eq!(*run, *list, "the other half keeps its own");
            run.append_to(&mut given, |thing| thing);
            assert_eq!(given, list.repeat(2));
        }
    }
}
