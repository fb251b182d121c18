//! Raft's words: logs as the paper draws them, terms and votes.

use consensus_core::{Audit, Ledger, LogIndex, NodeId};
use synod_raft::{AppendEntries, Conflict, Entry, EntryId, Message, Raft, Record, Term};
use synod_sim::{Item, Memory, Sight, Vocabulary, batch_of};

/// `setup S1 term 3`, `setup S1 vote S2`, `setup S1 log [1,1] [2,2]"x"`; to look at: `term`,
/// `vote`, `log`, `entry`.
#[derive(Clone, Copy, Debug, Default)]
pub struct RaftWords;

impl Vocabulary<Raft> for RaftWords {
    fn disk(&self, memory: &[&Memory]) -> Result<Vec<Record>, String> {
        let (mut term, mut vote, mut log) = (None, None, Vec::new());
        for Memory { what, values, .. } in memory {
            match (&**what, &values[..]) {
                ("term", [number]) => {
                    let number = number.number().filter(|number| *number < Term::LIMIT.0);
                    term = Some(number.ok_or("a term is a number")?);
                }
                ("vote", [Item::Node(node)]) => vote = Some(*node),
                ("log", entries) => log = read_log(entries)?,
                _ => return Err(format!("expected term NUMBER, vote NODE or log; found '{what}'")),
            }
        }
        if memory.is_empty() {
            return Ok(Vec::new());
        }
        let last = log.last().map_or(0, |entry: &Entry| entry.term.0);
        let term = term.unwrap_or(last);
        if term < last {
            return Err(format!("its log has an entry of term {last}, after term {term}"));
        }
        let mut records = vec![Record::HardState { term: Term(term), voted_for: vote }];
        if !log.is_empty() {
            records
                .push(Record::Entries { first: LogIndex(1), entries: log.into_iter().collect() });
        }
        Ok(records)
    }

    fn look(
        &self,
        sight: &Sight<'_, Raft>,
        what: &str,
        which: &[Item],
    ) -> Result<Vec<Item>, String> {
        match (what, which) {
            ("term", []) => Ok(vec![Item::word(hard_state(sight.disk).0)]),
            ("vote", []) => {
                let vote = hard_state(sight.disk).1;
                Ok(vec![vote.map_or(Item::word("none"), Item::Node)])
            }
            ("log", []) => Ok(log(sight.disk)),
            ("entry", [index]) => {
                let index = index.number().ok_or("expected an index, as in: entry S1 2")?;
                let replica = sight.replica.ok_or_else(|| format!("{} is down", sight.node))?;
                let batch = replica.entry(LogIndex(index));
                Ok(batch.map(synod_sim::said_by).unwrap_or_default())
            }
            _ => Err(format!("raft has no '{what}' so; it has term, vote, log, and entry INDEX")),
        }
    }

    fn tell(&self, message: &Message) -> Vec<String> {
        let place = |last: &EntryId| format!("[{},{}]", last.term.0, last.index.0);
        let term = format!("term={}", message.term().0);
        let more = match message {
            Message::PreVote { last, .. } | Message::RequestVote { last, .. } => {
                vec![format!("last={}", place(last))]
            }
            Message::PreVoteReply { granted, .. } | Message::Vote { granted, .. } => {
                vec![if *granted { "granted" } else { "refused" }.to_owned()]
            }
            Message::AppendEntries(append) => {
                let entries = entries(&append.prev, &append.entries);
                vec![format!("prev={}", place(&append.prev)), entries, commit(append)]
            }
            Message::Tail(tail) => {
                vec![format!("prev={}", place(&tail.prev)), entries(&tail.prev, &tail.entries)]
            }
            Message::AppendReply { matched, .. } => vec![format!("match={}", matched.0)],
            Message::AppendReject { prev, conflict, .. } => {
                vec![format!("no prev={}", prev.0), hint(conflict)]
            }
            Message::Heartbeat { commit, .. } => vec![format!("commit={}", commit.0)],
            Message::Compacted { start, .. } => vec![format!("start={}", place(start))],
            _ => Vec::new(),
        };
        std::iter::once(term).chain(more).collect()
    }
}

/// Entries as the lectures write them: `[term,index]`, and a command in quotes behind it where
/// that matters. Equal entries have equal commands, as Log Matching (§5.3) wants it.
fn read_log(items: &[Item]) -> Result<Vec<Entry>, String> {
    let mut log: Vec<Entry> = Vec::new();
    for item in items {
        match item {
            Item::Text(text) => {
                let last = log.last_mut().ok_or("a command stands behind its entry")?;
                last.batch = batch_of(text);
            }
            Item::Word(word) => {
                let numbers = word.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
                let numbers = numbers.and_then(|numbers| numbers.split_once(','));
                let numbers = numbers.and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
                let (term, index): (u64, u64) =
                    numbers.ok_or_else(|| format!("expected [term,index], found '{word}'"))?;
                let before = log.last().map_or(0, |entry| entry.term.0);
                if index != log.len() as u64 + 1 || term < before.max(1) || term >= Term::LIMIT.0 {
                    return Err(format!("{word} does not follow what is before it in the log"));
                }
                log.push(Entry { term: Term(term), batch: batch_of(word) });
            }
            Item::Node(_) | Item::Ballot(..) => {
                return Err(format!("expected [term,index], found '{item}'"));
            }
        }
    }
    Ok(log)
}

fn hard_state(disk: &[Record]) -> (u64, Option<NodeId>) {
    let state = |record: &Record| match record {
        Record::HardState { term, voted_for } => Some((term.0, *voted_for)),
        _ => None,
    };
    disk.iter().rev().find_map(state).unwrap_or_default()
}

fn log(disk: &[Record]) -> Vec<Item> {
    let mut ledger = Ledger::default();
    disk.iter().for_each(|record| Raft::absorb(record, &mut ledger));
    ledger.iter().map(|(index, held)| Item::word(format!("[{},{}]", held.epoch, index.0))).collect()
}

fn entries(prev: &EntryId, entries: &[Entry]) -> String {
    let first = prev.index.0 + 1;
    let entry = |(index, entry): (u64, &Entry)| format!("[{},{index}]", entry.term.0);
    let all: Vec<String> = (first..).zip(entries).map(entry).collect();
    if all.is_empty() { "no-entries".into() } else { format!("entries={}", all.join("")) }
}

fn commit(append: &AppendEntries) -> String {
    format!("commit={}", append.leader_commit.0)
}

fn hint(conflict: &Conflict) -> String {
    match conflict {
        Conflict::Short { last } => format!("last={}", last.0),
        Conflict::Term { term, first } => format!("term-there={} first={}", term.0, first.0),
    }
}
