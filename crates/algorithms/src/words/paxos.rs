//! Words of Basic Paxos: what an acceptor promised and accepted, ballots as `2.P1`.

use super::{ballot, ballot_item, ballot_text, batch_text, slot};
use consensus_core::{Ballot, LogIndex};
use synod_paxos::{Message, Paxos, Record};
use synod_sim::{Item, Memory, Sight, Vocabulary, batch_of, said_by};

/// `setup A1 promised 3.P1`, `setup A1 accepted 5.P1 "cat"`; to look at: `promised`, `accepted`.
/// All speak of the first slot, unless `slot 2` is said.
#[derive(Clone, Copy, Debug, Default)]
pub struct PaxosWords;

impl Vocabulary<Paxos> for PaxosWords {
    fn disk(&self, memory: &[&Memory]) -> Result<Vec<Record>, String> {
        let slot = LogIndex(1);
        let record = |Memory { what, values, .. }: &&Memory| match (&**what, &values[..]) {
            ("promised", [Item::Ballot(round, node)]) => {
                Ok(Record::Promised { slot, ballot: ballot(*round, *node) })
            }
            ("accepted", [Item::Ballot(round, node), Item::Text(text)]) => {
                Ok(Record::Accepted { slot, ballot: ballot(*round, *node), batch: batch_of(text) })
            }
            _ => Err("expected promised 3.P1, or accepted 5.P1 \"cat\"".to_owned()),
        };
        memory.iter().map(record).collect()
    }

    fn look(
        &self,
        sight: &Sight<'_, Paxos>,
        what: &str,
        which: &[Item],
    ) -> Result<Vec<Item>, String> {
        let wanted = slot(which)?;
        let mut promised = Ballot::ZERO;
        let mut accepted = None;
        for record in sight.disk {
            match record {
                Record::Promised { slot, ballot } if *slot == wanted => promised = *ballot,
                Record::Accepted { slot, ballot, batch } if *slot == wanted => {
                    promised = promised.max(*ballot);
                    accepted = Some((*ballot, batch));
                }
                _ => {}
            }
        }
        match what {
            "promised" => Ok(vec![ballot_item(promised)]),
            "accepted" => Ok(match accepted {
                None => Vec::new(),
                Some((ballot, batch)) => {
                    [ballot_item(ballot)].into_iter().chain(said_by(batch)).collect()
                }
            }),
            _ => Err(format!("paxos has no '{what}'; it has promised and accepted")),
        }
    }

    fn tell(&self, message: &Message) -> Vec<String> {
        let (slot, words) = match message {
            Message::Prepare { slot, ballot, .. } => (slot, vec![ballot_text(*ballot)]),
            Message::Promise { slot, ballot, accepted } => {
                let report = accepted.as_ref().map(|it| {
                    format!("accepted={} {}", ballot_text(it.ballot), batch_text(&it.batch))
                });
                (slot, std::iter::once(ballot_text(*ballot)).chain(report).collect())
            }
            Message::Accept { slot, ballot, batch, .. }
            | Message::Propose { slot, ballot, batch, .. } => {
                (slot, vec![ballot_text(*ballot), batch_text(batch)])
            }
            Message::Accepted { slot, ballot, .. } => (slot, vec![ballot_text(*ballot)]),
            Message::Nack { slot, ballot, promised } => {
                (slot, vec![ballot_text(*ballot), format!("promised={}", ballot_text(*promised))])
            }
            _ => return Vec::new(),
        };
        let later = (slot.0 > 1).then(|| format!("slot={}", slot.0));
        words.into_iter().chain(later).collect()
    }
}
