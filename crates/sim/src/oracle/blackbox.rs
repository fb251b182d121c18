//! O10: linearizable as seen from outside. Trusts nothing that a server says but results: the
//! search of Wing and Gong (JPDC 1993) with Lowe's memory of what was tried (2017), for each
//! register alone, as linearizability is local (Herlihy, Wing 1990).

use super::{Seen, Verdict};
use crate::registers::Operation;
use crate::report::Finding;
use crate::world::{Completion, ReadDone};
use bytes::Bytes;
use consensus_core::{Consistency, Outcome};
use core::time::Duration;
use std::collections::BTreeMap;

/// Operations of one register that are looked at: the first of them, as bits of a word.
const WINDOW: usize = 128;

/// Steps of a search after which it gives up without a verdict.
const BUDGET: usize = 20_000;

/// What a client knows of one operation.
#[derive(Clone, Copy, Debug)]
struct Operated {
    operation: Operation,
    begun: u64,
    /// When its answer came, and what it was; `None` if it may have happened at any time since it
    /// began, or never.
    ended: Option<(u64, u64)>,
}

/// What a search found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    Order,
    NoOrder,
    /// The budget was spent first.
    Nothing,
}

/// Looks for an order of all operations, those without an answer so far included, register by
/// register. Says for how many registers the search gave up.
pub(crate) fn linearizable<'a>(
    completions: &[Completion],
    reads: &[ReadDone],
    under_way: impl Iterator<Item = (&'a Bytes, Duration)>,
) -> Result<u64, Finding> {
    let mut registers: BTreeMap<u8, Vec<Operated>> = BTreeMap::new();
    for (payload, begun) in under_way {
        let Some(operation) = Operation::decode(payload) else { continue };
        let open = Operated { operation, begun: begun.as_nanos() as u64, ended: None };
        registers.entry(operation.register()).or_default().push(open);
    }
    for one in completions {
        let Some(operation) = Operation::decode(&one.payload) else { continue };
        let ended = match &one.outcome {
            Outcome::Committed { result, .. } => {
                let Ok(word) = result[..].try_into() else { continue };
                Some((one.ended.as_nanos() as u64, u64::from_le_bytes(word)))
            }
            Outcome::Refused(_) => continue, // Surely not applied.
            Outcome::Unknown => None,
        };
        let begun = one.begun.as_nanos() as u64;
        registers.entry(operation.register()).or_default().push(Operated {
            operation,
            begun,
            ended,
        });
    }
    for one in reads.iter().filter(|one| is_linearizable(one.consistency)) {
        let (Some(register), Ok((_, result))) = (one.question.first(), &one.answer) else {
            continue; // What has no answer has no effect.
        };
        let Ok(word) = result[..].try_into() else { continue };
        let ended = Some((one.ended.as_nanos() as u64, u64::from_le_bytes(word)));
        let (operation, begun) = (Operation::Get(*register), one.begun.as_nanos() as u64);
        registers.entry(*register).or_default().push(Operated { operation, begun, ended });
    }
    let mut gave_up = 0;
    for (register, operations) in registers {
        match search(&window(operations)) {
            Found::Order => {}
            Found::Nothing => gave_up += 1,
            Found::NoOrder => return no_order(register).map(|()| 0),
        }
    }
    Ok(gave_up)
}

fn is_linearizable(consistency: Consistency) -> bool {
    match consistency {
        Consistency::Linearizable(_) => true,
        Consistency::AtMost(bound) => bound.is_zero(),
        Consistency::Local => false,
    }
}

fn no_order(register: u8) -> Verdict {
    let detail = format!("no order of the operations on register {register} explains the answers");
    Err(Finding::new("O10", "linearizable from outside", detail))
}

/// The first operations, in the order in which they began. One that ended after the first
/// operation that is left out began may have seen that one: its answer says nothing here.
fn window(mut operations: Vec<Operated>) -> Vec<Operated> {
    operations.sort_by_key(|one| one.begun);
    if let Some(end) = operations.get(WINDOW).map(|one| one.begun) {
        operations.truncate(WINDOW);
        for one in &mut operations {
            one.ended = one.ended.filter(|(at, _)| *at < end);
        }
    }
    operations
}

/// Depth first. A state of the search is the set of operations that were put in order so far, and
/// the value that the register holds after them.
fn search(operations: &[Operated]) -> Found {
    let owed = |done: u128| {
        let open = operations.iter().enumerate().filter(move |(at, _)| done & (1 << at) == 0);
        open.filter_map(|(_, one)| one.ended).map(|(at, _)| at).min()
    };
    let mut tried = Seen::default();
    let mut stack = vec![(0_u128, 0_u64)];
    let mut steps = 0;
    while let Some((done, value)) = stack.pop() {
        let Some(first_end) = owed(done) else { return Found::Order };
        if !tried.insert((done, value)) {
            continue;
        }
        steps += 1;
        if steps > BUDGET {
            return Found::Nothing;
        }
        // Whatever began before the first open answer came may be next. What has an answer is
        // tried before what has none, so it is pushed after it.
        let may = |at: &usize| done & (1 << at) == 0 && operations[*at].begun <= first_end;
        let (answered, unknown): (Vec<usize>, Vec<usize>) =
            (0..operations.len()).filter(may).partition(|at| operations[*at].ended.is_some());
        for at in unknown.into_iter().chain(answered.into_iter().rev()) {
            let (after, result) = operations[at].operation.on(value);
            if operations[at].ended.is_none_or(|(_, said)| said == result) {
                stack.push((done | (1 << at), after));
            }
        }
    }
    Found::NoOrder
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::Rng;

    fn done(operation: Operation, begun: u64, ended: u64, result: u64) -> Operated {
        Operated { operation, begun, ended: Some((ended, result)) }
    }

    #[test]
    fn o10_sees_a_stale_read_and_a_lost_write() {
        let put = done(Operation::Put(0, 5), 0, 10, 0);
        let fresh = done(Operation::Get(0), 20, 30, 5);
        assert_eq!(search(&[put, fresh]), Found::Order);
        let stale = done(Operation::Get(0), 20, 30, 0);
        assert_eq!(search(&[put, stale]), Found::NoOrder);
        let early = done(Operation::Get(0), 5, 30, 0);
        assert_eq!(search(&[put, early]), Found::Order, "they overlap");
    }

    #[test]
    fn what_is_unknown_may_have_happened_or_not() {
        let unknown = Operated { operation: Operation::Put(0, 7), begun: 0, ended: None };
        for seen in [0, 7] {
            assert_eq!(search(&[unknown, done(Operation::Get(0), 5, 6, seen)]), Found::Order);
        }
        let (seven, zero) = (done(Operation::Get(0), 5, 6, 7), done(Operation::Get(0), 8, 9, 0));
        assert_eq!(search(&[unknown, seven, zero]), Found::NoOrder, "it does not un-happen");
    }

    /// All orders, one after the other: what is being searched, without any cleverness.
    fn brute_force(operations: &[Operated], done: u128, value: u64) -> bool {
        let open = |at: &usize| done & (1 << at) == 0;
        if !(0..operations.len()).filter(open).any(|at| operations[at].ended.is_some()) {
            return true;
        }
        (0..operations.len()).filter(open).any(|at| {
            let one = operations[at];
            let waits = (0..operations.len())
                .filter(open)
                .any(|other| operations[other].ended.is_some_and(|(ended, _)| ended < one.begun));
            let (after, result) = one.operation.on(value);
            let fits = one.ended.is_none_or(|(_, said)| said == result);
            !waits && fits && brute_force(operations, done | (1 << at), after)
        })
    }

    /// The search agrees with brute force, on histories of which some have an order and some not.
    #[test]
    fn the_search_agrees_with_trying_everything() {
        let mut verdicts = [0; 2];
        for seed in 0..3_000 {
            let mut rng = Rng::new(seed);
            let count = rng.between(1, 6);
            let one = |_| {
                let operation = match rng.below(3) {
                    0 => Operation::Get(0),
                    1 => Operation::Put(0, rng.below(3)),
                    _ => Operation::Cas(0, rng.below(3), rng.below(3)),
                };
                let begun = rng.below(20);
                let ended = (begun + 1 + rng.below(12), rng.below(3));
                Operated { operation, begun, ended: rng.chance(8_500).then_some(ended) }
            };
            let operations: Vec<Operated> = (0..count).map(one).collect();
            let expected = brute_force(&operations, 0, 0);
            let found = search(&operations);
            assert_eq!(found == Found::Order, expected, "seed {seed}: {operations:?}");
            verdicts[usize::from(expected)] += 1;
        }
        assert!(verdicts.iter().all(|count| *count > 300), "{verdicts:?}");
    }

    /// An answer from beyond the window is no evidence; one within it is.
    #[test]
    fn only_the_first_operations_are_looked_at() {
        let append = |nth: u64| {
            let before = (0..=nth).fold(0_u64, |sum, nth| sum.wrapping_mul(31).wrapping_add(nth));
            done(Operation::Append(0, nth), nth * 10, nth * 10 + 5, before)
        };
        let mut operations: Vec<Operated> = (0..200).map(append).collect();
        assert_eq!(search(&window(operations.clone())), Found::Order);
        operations[150].ended = Some((1_505, 1));
        assert_eq!(search(&window(operations.clone())), Found::Order);
        operations[100].ended = Some((1_005, 1));
        assert_eq!(search(&window(operations)), Found::NoOrder);
    }
}
