//! The log against a plain list. The file is the crate's own, compiled here once more, since a log
//! is no business of anybody outside.

#[allow(dead_code, unreachable_pub)]
#[path = "../src/entry.rs"]
mod entry;
#[allow(dead_code, unreachable_pub)]
#[path = "../src/log.rs"]
mod log;

use bytes::Bytes;
use consensus_core::{Batch, ClientId, Command, LogIndex, RequestId, SessionId, Tag};
use entry::{Entry, EntryId, Term};
use log::Log;
use proptest::prelude::*;

fn entry(term: u64, length: usize) -> Entry {
    let command = Command {
        client: ClientId(1),
        session: SessionId(1),
        request: RequestId(1),
        payload: Bytes::from(vec![7; length]),
        tag: Tag::none(),
    };
    Entry { term: Term(term), batch: Batch::of(&[command]) }
}

/// What is done to a log.
#[derive(Clone, Debug)]
enum Deed {
    /// Entries of a term that is so much higher than the last.
    Extend(u64, Vec<usize>),
    /// Cut at and after this index.
    Truncate(u64),
}

fn deeds() -> impl Strategy<Value = Vec<Deed>> {
    let lengths = proptest::collection::vec(0usize..40, 0..4);
    let extend = (0u64..3, lengths).prop_map(|(rise, lengths)| Deed::Extend(rise, lengths));
    proptest::collection::vec(
        prop_oneof![3 => extend, 1 => (1u64..20).prop_map(Deed::Truncate)],
        0..20,
    )
}

/// Everything that can be asked of a log, answered from a list.
fn agrees(log: &Log, list: &[Entry]) -> Result<(), TestCaseError> {
    let at = |index: u64| index.checked_sub(1).and_then(|place| list.get(place as usize));
    let last = list
        .last()
        .map_or(EntryId::ZERO, |entry| EntryId::new(entry.term, LogIndex(list.len() as u64)));
    prop_assert_eq!(log.last(), last);
    for index in 0..list.len() as u64 + 3 {
        prop_assert_eq!(log.get(LogIndex(index)), at(index));
        let term = if index == 0 { Some(Term::ZERO) } else { at(index).map(|entry| entry.term) };
        prop_assert_eq!(log.term_at(LogIndex(index)), term);
        prop_assert_eq!(log.after(LogIndex(index)), list.get(index as usize..).unwrap_or_default());
    }
    prop_assert_eq!(log.get(LogIndex(u64::MAX)), None);
    for term in 0..40 {
        let of_term = |entry: &Entry| entry.term == Term(term);
        let place = |place: usize| LogIndex(place as u64 + 1);
        prop_assert_eq!(log.first_of(Term(term)), list.iter().position(of_term).map(place));
        prop_assert_eq!(log.last_of(Term(term)), list.iter().rposition(of_term).map(place));
    }
    Ok(())
}

proptest! {
    /// Whatever leaders append and followers cut, the log answers as the list does.
    #[test]
    fn a_log_is_a_list(deeds in deeds()) {
        let (mut log, mut list) = (Log::default(), Vec::<Entry>::new());
        for deed in deeds {
            match deed {
                Deed::Extend(rise, lengths) => {
                    let term = list.last().map_or(0, |entry| entry.term.0) + rise;
                    let entries: Vec<_> = lengths.iter().map(|len| entry(term, *len)).collect();
                    log.extend(entries.iter().cloned().collect());
                    list.extend(entries);
                }
                Deed::Truncate(first) => {
                    log.truncate(LogIndex(first));
                    list.truncate(first as usize - 1);
                }
            }
            agrees(&log, &list)?;
        }
    }

    /// A piece for a message begins where it should, is as long as fits, and never empty if there
    /// is anything: a large entry must get through.
    #[test]
    fn a_piece_is_as_long_as_fits(
        lengths in proptest::collection::vec(0usize..60, 0..12),
        first in 1u64..14,
        max_bytes in 0usize..400,
    ) {
        let list: Vec<_> = lengths.iter().map(|length| entry(1, *length)).collect();
        let mut log = Log::default();
        log.extend(list.iter().cloned().collect());
        let piece = log.from(LogIndex(first), max_bytes);
        let rest = list.get(first as usize - 1..).unwrap_or(&[]);
        prop_assert_eq!(&piece[..], &rest[..piece.len()]);
        let bytes = |entries: &[Entry]| entries.iter().map(Entry::len).sum::<usize>();
        prop_assert!(bytes(&piece) <= max_bytes || piece.len() == 1);
        if let Some(more) = rest.get(..piece.len() + 1) {
            prop_assert!(!piece.is_empty() && bytes(more) > max_bytes);
        }
    }
}
