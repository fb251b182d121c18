//! Holding conditions against a cluster, be it on a stage or in a world.

use super::super::condition::{Condition, Number, Span};
use super::super::item::{Item, listed};
use super::super::vocabulary::said_by;
use super::super::{Compare, Formula};
use consensus_core::{Batch, NodeId, NodeSet, Role, Status};
use core::time::Duration;
use std::collections::BTreeMap;

/// A cluster that can be asked.
pub(super) trait Ground {
    fn nodes(&self) -> NodeSet;
    /// `None` while it is down.
    fn status(&self, node: NodeId) -> Option<Status>;
    /// A number other than an epoch.
    fn number(&self, number: &Number) -> Result<u64, String>;
    /// All that is chosen, from the first index on.
    fn chosen(&self) -> Vec<Batch>;
    fn look(&self, node: NodeId, what: &str, which: &[Item]) -> Result<Vec<Item>, String>;
    fn time(&self, span: Span) -> Result<Option<Duration>, String> {
        let _ = span;
        Err("times can be asked for only where time passes: say 'net delay 1ms'".into())
    }
    fn linearizable(&self) -> Result<Result<(), String>, String> {
        Err("only clients can tell: say 'net delay 1ms' and 'load 2 clients'".into())
    }
}

/// The outer error: it makes no sense to ask. The inner one: it is not so, and what is instead.
type Verdict = Result<Result<(), String>, String>;

/// Is all of this so, in a cluster of `n`?
pub(super) fn all(ground: &impl Ground, n: usize, conditions: &[Condition]) -> Verdict {
    for condition in conditions {
        if let Err(why) = one(ground, n, condition)? {
            return Ok(Err(why));
        }
    }
    Ok(Ok(()))
}

fn one(ground: &impl Ground, n: usize, condition: &Condition) -> Verdict {
    match condition {
        Condition::Not(inner) => Ok(match one(ground, n, inner)? {
            Ok(()) => Err(format!("it is so: {inner}")),
            Err(_) => Ok(()),
        }),
        Condition::Leader(node) => Ok(match ground.status(*node) {
            None => Err(format!("{node} is down")),
            Some(Status { role: Role::Leader, .. }) => Ok(()),
            Some(Status { role, .. }) => Err(format!("{node} is {role:?}")),
        }),
        Condition::NoLeader => {
            let leads = |node: &NodeId| {
                ground.status(*node).is_some_and(|status| status.role == Role::Leader)
            };
            Ok(ground.nodes().iter().find(leads).map_or(Ok(()), |it| Err(format!("{it} leads"))))
        }
        Condition::Down(node) => Ok(match ground.status(*node) {
            None => Ok(()),
            Some(_) => Err(format!("{node} runs")),
        }),
        Condition::Number(number, compare, formula) => {
            number_holds(ground, n, (number, *compare, formula))
        }
        Condition::Holds { what, node, which, compare, values } => {
            let found = ground.look(*node, what, which)?;
            let values = match &values[..] {
                [Item::Word(word), Item::Node(other)] if word == what => {
                    ground.look(*other, what, which)?
                }
                _ => values.clone(),
            };
            Ok(compared(*compare, &found, &values))
        }
        Condition::Chosen(compare, values) => {
            Ok(compared(*compare, &texts(&ground.chosen()), values))
        }
        Condition::Time(span, compare, wanted) => Ok(match ground.time(*span)? {
            None => Err("there are not enough answers to tell".into()),
            Some(found) if compare.holds(found, *wanted) => Ok(()),
            Some(found) => Err(format!("it is {found:?}")),
        }),
        Condition::Linearizable => ground.linearizable(),
    }
}

fn number_holds(
    ground: &impl Ground,
    n: usize,
    (number, compare, formula): (&Number, Compare, &Formula),
) -> Verdict {
    let wanted = formula.value(n)?;
    let found = match number {
        Number::Epoch(node) => match ground.status(*node) {
            Some(status) => status.epoch,
            None => return Ok(Err(format!("{node} is down"))),
        },
        other => ground.number(other)?,
    };
    let of = if formula.to_string() == wanted.to_string() {
        String::new()
    } else {
        format!(", and {formula} is {wanted}")
    };
    Ok(if compare.holds(found, wanted) { Ok(()) } else { Err(format!("it is {found}{of}")) })
}

fn compared(compare: Compare, found: &[Item], wanted: &[Item]) -> Result<(), String> {
    let holds = match compare {
        Compare::Equal => found == wanted,
        Compare::Unequal => found != wanted,
        Compare::AtMost | Compare::AtLeast | Compare::Less | Compare::More => {
            match (found, wanted) {
                ([found], [wanted]) => match (found.number(), wanted.number()) {
                    (Some(found), Some(wanted)) => compare.holds(found, wanted),
                    _ => false,
                },
                _ => false,
            }
        }
    };
    if holds { Ok(()) } else { Err(format!("it is {}", listed(found))) }
}

/// What these batches say, without the no-ops.
pub(super) fn texts(batches: &[Batch]) -> Vec<Item> {
    let some = batches.iter().filter(|batch| !batch.is_empty() && !batch.is_membership());
    some.flat_map(said_by).collect()
}

/// The state of a small machine that executes these batches: `x=3` assigns, and `shl x` shifts x
/// left by one bit. Other commands do nothing.
pub(super) fn state_of(batches: &[Batch]) -> Vec<Item> {
    let mut state: BTreeMap<String, u64> = BTreeMap::new();
    for item in texts(batches) {
        let Item::Text(text) = item else { continue };
        if let Some(name) = text.strip_prefix("shl ") {
            let value = state.entry(name.to_owned()).or_default();
            *value = value.wrapping_shl(1);
        } else if let Some((name, value)) = text.split_once('=')
            && let Ok(value) = value.parse()
        {
            state.insert(name.to_owned(), value);
        }
    }
    state.iter().map(|(name, value)| Item::word(format!("{name}={value}"))).collect()
}
