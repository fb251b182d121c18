//! What the words of scenarios mean in each algorithm: how it remembers a log, what it calls a
//! vote. `docs/scenarios.md` lists them.

mod multipaxos;
mod paxos;
mod raft;

pub use multipaxos::MultiPaxosWords;
pub use paxos::PaxosWords;
pub use raft::RaftWords;

use consensus_core::{Ballot, Batch, Incarnation, LogIndex, NodeId};
use synod_sim::{Item, said_by};

/// The ballot of a proposer in its first life.
fn ballot(round: u64, node: NodeId) -> Ballot {
    Ballot::new(round, Some(node), Incarnation(1))
}

/// `2.P1`; `none` is lower than every ballot.
fn ballot_item(ballot: Ballot) -> Item {
    match ballot.node() {
        Some(node) => Item::Ballot(ballot.round, node),
        None => Item::word("none"),
    }
}

/// `2.P1`, without the proposer's life.
fn ballot_text(ballot: Ballot) -> String {
    ballot_item(ballot).to_string()
}

/// What a batch says, in one word or text where it is one.
fn batch_text(batch: &Batch) -> String {
    let said: Vec<String> = said_by(batch).iter().map(Item::to_string).collect();
    said.join(" ")
}

/// `slot 2`; the first slot, if nothing is said.
fn slot(which: &[Item]) -> Result<LogIndex, String> {
    match which {
        [] => Ok(LogIndex(1)),
        [Item::Word(word), number] if word == "slot" => {
            let number = number.number().filter(|number| *number > 0);
            number.map(LogIndex).ok_or_else(|| "expected a number after 'slot'".to_owned())
        }
        _ => Err("expected 'slot' and a number, as in: accepted A1 slot 2".into()),
    }
}
