//! The steps that operators and readers take: leadership handed over, members changed, snapshots,
//! reads.

use super::step::Action;
use super::words::Words;
use consensus_core::{Change, LogIndex, NodeId, NodeSet, ReadMode};
use std::collections::BTreeMap;

/// These verbs, for messages.
pub(super) const VERBS: &str = "transfer, change, read, snapshot, save";

/// Reads such a step; `None` if the verb is none of these. `known` says whether there is such a
/// node.
pub(super) fn action(
    verb: &str,
    words: &mut Words,
    known: impl Fn(NodeId) -> Result<NodeId, String>,
) -> Result<Option<Action>, String> {
    if !VERBS.split(", ").any(|one| one == verb) {
        return Ok(None);
    }
    let node = known(words.node()?)?;
    let action = match verb {
        "transfer" => {
            expect(words, "to")?;
            Action::Transfer { node, to: known(words.node()?)? }
        }
        "change" => {
            expect(words, "version")?;
            let expected = LogIndex(words.number("the version of the members that was seen")?);
            expect(words, "voters")?;
            let voters = nodes(words, &known)?;
            let learners =
                if words.take("learners") { nodes(words, &known)? } else { NodeSet::EMPTY };
            let change = Change { expected, voters, learners, contacts: BTreeMap::new() };
            Action::Change { node, change }
        }
        "read" => Action::Read { node, mode: mode(words)? },
        "snapshot" => Action::Snapshot(node),
        _ => Action::Save { node, received: words.take("received") },
    };
    Ok(Some(action))
}

fn expect(words: &mut Words, word: &str) -> Result<(), String> {
    if words.take(word) { Ok(()) } else { Err(words.expected(format!("the word '{word}'"))) }
}

fn nodes(
    words: &mut Words,
    known: &impl Fn(NodeId) -> Result<NodeId, String>,
) -> Result<NodeSet, String> {
    words.nodes()?.into_iter().map(known).collect()
}

fn mode(words: &mut Words) -> Result<ReadMode, String> {
    match &*words.word("index, lease or quorum")? {
        "index" => Ok(ReadMode::Index),
        "lease" => Ok(ReadMode::Lease),
        "quorum" => Ok(ReadMode::Quorum),
        other => Err(format!("expected index, lease or quorum, found '{other}'")),
    }
}
