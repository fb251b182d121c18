//! Words of Multi-Paxos: one promise for all slots, an acceptance for each.

use super::{ballot, ballot_item, ballot_text, batch_text, slot};
use consensus_core::{Ballot, LogIndex};
use synod_multipaxos::{Message, MultiPaxos, Pvalue, Record};
use synod_sim::{Item, Memory, Sight, Vocabulary, batch_of, said_by};

/// `setup A1 promised 3.P1`, `setup A1 accepted 1.P1 slot 2 "x"`; to look at: `promised`, and
/// `accepted` with `slot 2`.
#[derive(Clone, Copy, Debug, Default)]
pub struct MultiPaxosWords;

impl Vocabulary<MultiPaxos> for MultiPaxosWords {
    fn disk(&self, memory: &[&Memory]) -> Result<Vec<Record>, String> {
        let record = |Memory { what, values, .. }: &&Memory| match (&**what, &values[..]) {
            ("promised", [Item::Ballot(round, node)]) => {
                Ok(Record::Promised { ballot: ballot(*round, *node) })
            }
            ("accepted", [Item::Ballot(round, node), which @ .., Item::Text(text)]) => {
                let (ballot, slot) = (ballot(*round, *node), slot(which)?);
                Ok(Record::Accepted { ballot, slot, batch: batch_of(text) })
            }
            _ => Err("expected promised 3.P1, or accepted 1.P1 slot 2 \"x\"".to_owned()),
        };
        memory.iter().map(record).collect()
    }

    fn look(
        &self,
        sight: &Sight<'_, MultiPaxos>,
        what: &str,
        which: &[Item],
    ) -> Result<Vec<Item>, String> {
        match what {
            "promised" => Ok(vec![ballot_item(promised(sight.disk))]),
            "accepted" => {
                let wanted = slot(which)?;
                let of_slot = |record: &Record| match record {
                    Record::Accepted { ballot, slot, batch } if *slot == wanted => {
                        Some([ballot_item(*ballot)].into_iter().chain(said_by(batch)).collect())
                    }
                    _ => None,
                };
                Ok(sight.disk.iter().rev().find_map(of_slot).unwrap_or_default())
            }
            _ => Err(format!("multipaxos has no '{what}'; it has promised and accepted")),
        }
    }

    fn tell(&self, message: &Message) -> Vec<String> {
        let at = |slot: &LogIndex| format!("slot={}", slot.0);
        match message {
            Message::Prepare { ballot, from, .. } => {
                vec![ballot_text(*ballot), format!("from={}", at(from))]
            }
            Message::Promise(promise) => {
                let pvalue = |it: &Pvalue| {
                    let (ballot, batch) = (ballot_text(it.ballot), batch_text(&it.batch));
                    format!("({ballot},{},{batch})", at(&it.slot))
                };
                let reported = promise.accepted.iter().map(pvalue);
                std::iter::once(ballot_text(promise.ballot)).chain(reported).collect()
            }
            Message::Accept(accept) => {
                let slots = (accept.slot.0..).map(LogIndex).zip(accept.batches.iter());
                let pairs = slots.flat_map(|(slot, batch)| [at(&slot), batch_text(batch)]);
                std::iter::once(ballot_text(accept.ballot)).chain(pairs).collect()
            }
            Message::Accepted { ballot, slot, count, .. } => {
                let slots = (slot.0..slot.0 + count).map(LogIndex);
                std::iter::once(ballot_text(*ballot)).chain(slots.map(|slot| at(&slot))).collect()
            }
            Message::Nack { ballot, promised } => {
                vec![ballot_text(*ballot), format!("promised={}", ballot_text(*promised))]
            }
            Message::Heartbeat { ballot, chosen, .. } => {
                vec![ballot_text(*ballot), format!("chosen={}", chosen.0)]
            }
            _ => Vec::new(),
        }
    }
}

fn promised(disk: &[Record]) -> Ballot {
    let ballot = |record: &Record| match record {
        Record::Promised { ballot } | Record::Accepted { ballot, .. } => *ballot,
        _ => Ballot::ZERO,
    };
    disk.iter().map(ballot).max().unwrap_or_default()
}
