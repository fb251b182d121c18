//! What clients saw, and whether one register per key could have answered so.
//!
//! Every operation goes through the log, and an answer carries its position there. So the check
//! needs no search: operations are replayed in the order of their positions, which must agree with
//! real time, and only writes whose outcome is unknown may appear anywhere or nowhere.

use consensus_core::Position;
use std::collections::{BTreeMap, BTreeSet};

/// One operation as its client saw it. Every written value is written once in the whole history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Operation {
    /// Who asked.
    pub(crate) client: u64,
    /// Which register.
    pub(crate) key: u64,
    /// What was asked.
    pub(crate) what: What,
    /// A clock of all clients: when it was sent …
    pub(crate) begun: u64,
    /// … and when the answer was there.
    pub(crate) ended: u64,
    /// Where it was applied; `None` if the client does not know whether it was.
    pub(crate) position: Option<Position>,
}

/// What was asked, and for a read or a swap what was answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum What {
    /// Writes this value.
    Put(u64),
    /// Reads; the answer, if there was one.
    Get(Option<u64>),
    /// Writes the second if the first is there; if it was not, what was found instead.
    Cas(Option<u64>, u64, Option<Option<u64>>),
}

impl What {
    fn writes(self) -> Option<u64> {
        match self {
            Self::Put(value) | Self::Cas(_, value, _) => Some(value),
            Self::Get(_) => None,
        }
    }
}

/// Checks a history; the error says which operation could not be.
pub(crate) fn check(history: &[Operation]) -> Result<(), String> {
    let mut known: Vec<&Operation> = history.iter().filter(|op| op.position.is_some()).collect();
    known.sort_by_key(|op| op.position);
    for pair in known.windows(2) {
        if pair[0].position == pair[1].position {
            return Err(format!("two operations at one position: {pair:?}"));
        }
    }
    real_time(&known)?;
    let mut registers: BTreeMap<u64, Register> = BTreeMap::new();
    for op in history.iter().filter(|op| op.position.is_none()) {
        if let Some(value) = op.what.writes() {
            registers.entry(op.key).or_default().floating.insert(value, op.begun);
        }
    }
    for op in known {
        registers.entry(op.key).or_default().apply(op)?;
    }
    Ok(())
}

/// An operation that ended before another began stands before it in the log.
fn real_time(known: &[&Operation]) -> Result<(), String> {
    let mut earliest_end: Option<&Operation> = None;
    for op in known.iter().rev() {
        if let Some(later) = earliest_end.filter(|later| later.ended < op.begun) {
            return Err(format!("{later:?} had ended before {op:?} began, but stands after it"));
        }
        if earliest_end.is_none_or(|later| op.ended < later.ended) {
            earliest_end = Some(op);
        }
    }
    Ok(())
}

/// One key while its operations are replayed.
#[derive(Default)]
struct Register {
    /// What the last operation with a known position left.
    value: Option<u64>,
    /// Writes of unknown outcome that were not seen yet, and when they began.
    floating: BTreeMap<u64, u64>,
    /// Values that were there and are gone for good: each is written once.
    gone: BTreeSet<u64>,
}

impl Register {
    fn apply(&mut self, op: &Operation) -> Result<(), String> {
        match op.what {
            What::Put(value) => self.write(value),
            What::Get(answer) => self.show(answer, op)?,
            What::Cas(expected, new, None) => {
                self.show(expected, op)?;
                self.write(new);
            }
            What::Cas(expected, _, Some(found)) => {
                self.show(found, op)?;
                if found == expected {
                    return Err(format!("{op:?} failed, though it found what it expected"));
                }
            }
        }
        Ok(())
    }

    fn write(&mut self, value: u64) {
        self.gone.extend(self.value.replace(value));
    }

    /// The register held `answer` when `op` was applied.
    fn show(&mut self, answer: Option<u64>, op: &Operation) -> Result<(), String> {
        if self.value == answer {
            return Ok(());
        }
        let Some(value) = answer else {
            return Err(format!("{op:?} found nothing, though {:?} was acknowledged", self.value));
        };
        match self.floating.remove(&value) {
            Some(begun) if begun < op.ended => {
                self.write(value);
                Ok(())
            }
            Some(_) => Err(format!("{op:?} saw a value before it was written")),
            None if self.gone.contains(&value) => Err(format!(
                "{op:?} saw an old value: the acknowledged write of {:?} is lost",
                self.value
            )),
            None => Err(format!("{op:?} saw a value that was not written before it")),
        }
    }
}

mod tests {
    use super::*;
    use consensus_core::LogIndex;

    fn op(what: What, begun: u64, ended: u64, index: u64) -> Operation {
        let position = (index > 0).then_some(Position { index: LogIndex(index), offset: 0 });
        Operation { client: 1, key: 1, what, begun, ended, position }
    }

    #[test]
    fn what_one_register_could_have_said_passes() {
        let unknown_write = op(What::Put(2), 3, 9, 0);
        let history = [
            op(What::Get(None), 0, 1, 1),
            op(What::Put(1), 1, 2, 2),
            unknown_write,
            op(What::Get(Some(1)), 4, 5, 3),
            op(What::Get(Some(2)), 6, 7, 5),
            op(What::Cas(Some(2), 3, None), 6, 8, 6),
            op(What::Cas(Some(2), 4, Some(Some(3))), 9, 10, 7),
            op(What::Get(Some(3)), 11, 12, 8),
        ];
        assert_eq!(check(&history), Ok(()));
    }

    /// A checker that passes everything proves nothing.
    #[test]
    fn what_no_register_could_have_said_is_found() {
        let found = |history: &[Operation], word: &str| {
            let error = check(history).expect_err(word);
            assert!(error.contains(word), "{error}");
        };
        let one = op(What::Put(1), 0, 1, 1);
        let two = op(What::Put(2), 2, 3, 2);
        found(&[one.clone(), two.clone(), op(What::Get(Some(1)), 4, 5, 3)], "lost");
        found(&[one.clone(), op(What::Get(None), 4, 5, 3)], "acknowledged");
        found(&[one.clone(), op(What::Get(Some(7)), 4, 5, 3)], "not written");
        found(&[one.clone(), op(What::Get(Some(1)), 4, 5, 1)], "two operations");
        found(&[op(What::Put(1), 4, 5, 1), op(What::Put(2), 2, 3, 2)], "stands after it");
        let unborn = op(What::Put(9), 8, 9, 0);
        found(&[one.clone(), op(What::Get(Some(9)), 4, 5, 2), unborn], "before it was written");
        found(&[one, op(What::Cas(Some(1), 5, Some(Some(1))), 4, 5, 2)], "it expected");
    }
}
