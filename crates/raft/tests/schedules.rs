//! Random schedules on the table: any message may be lost, repeated or late, any disk may be
//! behind, any server may crash and lose what its disk had not kept. A second, small rig beside the
//! simulator, with steps instead of time: strange orders come up far more often.

mod lab;

use consensus_core::{Audit, Batch, LogIndex, NodeId};
use lab::{Lab, batch};
use std::collections::{BTreeMap, BTreeSet};
use synod_raft::{AppendEntries, Conflict, Entry, EntryId, Message, Term};

/// A small generator (xorshift64*), so that a seed is a run.
struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33) as usize % limit
    }
}

/// What the cluster did, over all servers and all their lives.
#[derive(Default)]
struct History {
    committed: BTreeMap<LogIndex, Batch>,
    leaders: BTreeMap<u64, usize>,
    proposed: BTreeSet<String>,
}

impl History {
    /// Figure 3: Election Safety, Leader Completeness and State Machine Safety; and nothing comes
    /// from nowhere.
    fn observe(&mut self, lab: &Lab) -> Result<(), String> {
        for (id, node) in lab.nodes.iter().enumerate() {
            for (at, batch) in node.committed.iter().enumerate() {
                let index = LogIndex(at as u64 + 1);
                let first = self.committed.entry(index).or_insert_with(|| batch.clone());
                if first != batch {
                    return Err(format!("n{id} index {index}: {batch:?}, it was {first:?}"));
                }
                if !says(batch).all(|text| self.proposed.contains(&text)) {
                    return Err(format!("n{id} index {index}: {batch:?} was never proposed"));
                }
            }
            let Some(replica) = &node.replica else { continue };
            let Some(term) = replica.leads() else { continue };
            if *self.leaders.entry(term).or_insert(id) != id {
                return Err(format!("n{id} and n{} lead term {term}", self.leaders[&term]));
            }
            let latest = self.leaders.keys().max() == Some(&term);
            let lacks = |(index, batch): (&LogIndex, &Batch)| replica.entry(*index) != Some(batch);
            if latest && self.committed.iter().any(lacks) {
                return Err(format!("n{id} leads term {term} without all that was committed"));
            }
        }
        Ok(())
    }
}

fn says(batch: &Batch) -> impl Iterator<Item = String> {
    batch.commands().map(|command| String::from_utf8_lossy(&command.payload).into_owned())
}

fn disturb(lab: &mut Lab, chance: &mut Chance, history: &mut History, step: usize) {
    let id = chance.below(lab.nodes.len());
    match chance.below(100) {
        0..=1 => {
            lab.crash(id, chance.below(4));
        }
        2..=7 if lab.nodes[id].replica.is_none() => lab.restart(id),
        8..=27 => lab.sync(id),
        28..=31 => {
            let text = format!("value {step}");
            lab.propose(id, &text);
            history.proposed.insert(text);
        }
        32 => lab.campaign(id),
        33..=37 => {
            let timers: Vec<_> = lab.nodes[id].timers.keys().copied().collect();
            if lab.nodes[id].replica.is_some() && !timers.is_empty() {
                lab.fire(id, timers[chance.below(timers.len())]);
            }
        }
        what if !lab.flying.is_empty() => {
            let at = chance.below(lab.flying.len());
            let flying = if what < 50 { lab.flying[at].clone() } else { lab.flying.remove(at) };
            if what < 95 && lab.nodes[flying.to].replica.is_some() {
                lab.hand(flying.from, flying.to, flying.message);
            }
        }
        _ => {}
    }
    // Old letters are kept for late deliveries, but not for ever.
    if lab.flying.len() > 60 {
        let at = chance.below(lab.flying.len());
        lab.flying.remove(at);
    }
}

/// Everybody is well: some server wins, what is asked of it is committed, and all learn it.
fn recover(lab: &mut Lab, chance: &mut Chance, history: &mut History) -> Result<(), String> {
    lab.quick_disks = true;
    for id in 0..lab.nodes.len() {
        if lab.nodes[id].replica.is_none() {
            lab.restart(id);
        }
        lab.sync(id);
    }
    history.proposed.insert("last".into());
    for _ in 0..400 {
        lab.carry_all();
        history.observe(lab)?;
        let lengths: BTreeSet<_> = lab.nodes.iter().map(|node| node.committed.len()).collect();
        let heard = |node: &lab::Node| node.committed.iter().any(|one| *one == batch("last"));
        if lengths.len() == 1 && lab.nodes.iter().all(heard) {
            return Ok(());
        }
        let id = chance.below(lab.nodes.len());
        let timers: Vec<_> = lab.nodes[id].timers.keys().copied().collect();
        for timer in timers {
            if lab.nodes[id].timers.contains_key(&timer) {
                lab.fire(id, timer);
                lab.carry_all();
            }
        }
        let leader = (0..lab.nodes.len()).find(|id| lab.replica(*id).leads().is_some());
        if let Some(leader) = leader
            && !lab.log(leader).contains(&batch("last"))
        {
            lab.propose(leader, "last");
        }
    }
    Err("no progress although everybody is well".into())
}

fn run(seed: u64, steps: usize, hasty: bool) -> Result<usize, String> {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let mut lab = Lab::new([3, 3, 3, 5][chance.below(4)]);
    if hasty {
        // Small messages and windows: a follower is half repaired most of the time.
        lab.config.max_append_bytes = 1;
        lab.config.max_in_flight = 1 + chance.below(2);
        for id in 0..lab.nodes.len() {
            lab.restart(id);
        }
    }
    lab.quick_disks = false;
    let mut history = History::default();
    for step in 0..steps {
        disturb(&mut lab, &mut chance, &mut history, step);
        history.observe(&lab)?;
    }
    let safe = history.committed.len();
    recover(&mut lab, &mut chance, &mut history)?;
    Ok(safe)
}

/// Figure 3, and progress once everybody is well.
#[test]
fn one_log_whatever_happens() {
    let mut entries = 0;
    for seed in 0..600 {
        match run(seed, 600, seed % 2 == 0) {
            Ok(committed) => entries += committed,
            Err(why) => panic!("seed {seed}: {why}"),
        }
    }
    assert!(entries > 600, "the runs must commit something: {entries}");
}

/// Something that a server could say, true or not.
fn babble(from: usize, chance: &mut Chance) -> Message {
    let mut number = |limit| chance.below(limit) as u64;
    let (term, index, other) = (Term(number(8)), LogIndex(number(8)), LogIndex(number(8)));
    let (sender, last) = (NodeId(from as u8), EntryId::new(Term(number(8)), index));
    let yes = number(2) == 0;
    match number(10) {
        0 => Message::PreVote { term, last },
        1 => Message::PreVoteReply { term, granted: yes },
        2 => Message::RequestVote { term, candidate: sender, last, transfer: yes },
        3 => Message::Vote { term, candidate: NodeId(0), granted: yes },
        4 => Message::AppendReply { term, matched: index, repair: yes },
        5 => {
            let conflict = match yes {
                true => Conflict::Short { last: other },
                false => Conflict::Term { term: last.term, first: other },
            };
            Message::AppendReject { term, prev: index, conflict }
        }
        6 => {
            let (round, priority) = (other.0, 0);
            Message::Heartbeat { term, leader: sender, commit: index, round, priority }
        }
        7 => {
            let (round, priority) = (index.0, number(3) as u8);
            Message::HeartbeatReply { term, round, verified: other, priority }
        }
        8 => Message::StaleTerm { term },
        _ => {
            let entry = |term| Entry { term: Term(term), batch: batch(&format!("{term}")) };
            Message::AppendEntries(AppendEntries {
                term,
                leader: sender,
                prev: last,
                entries: (last.term.0..=term.0).map(entry).collect(),
                leader_commit: other,
                repair: yes,
            })
        }
    }
}

/// The contract: `step` is total. Servers that say anything cannot make an honest one panic, halt
/// or break its own rules; the table checks them after each step.
#[test]
fn no_message_breaks_a_server() {
    let mut led = 0;
    for seed in 1..300 {
        let mut chance = Chance(seed);
        let mut lab = Lab::new(3);
        for step in 0..200 {
            let from = 1 + chance.below(2);
            let message = babble(from, &mut chance);
            lab.hand(from, 0, message);
            match chance.below(10) {
                0 => lab.propose(0, &format!("value {step}")),
                1..=3 => {
                    let timers: Vec<_> = lab.nodes[0].timers.keys().copied().collect();
                    lab.fire(0, timers[chance.below(timers.len())]);
                }
                4 => {
                    lab.campaign(0);
                    let term = Term(lab.status(0).epoch);
                    lab.hand(from, 0, Message::Vote { term, candidate: NodeId(0), granted: true });
                }
                _ => {}
            }
            led += usize::from(lab.replica(0).leads().is_some());
            lab.flying.clear();
        }
    }
    assert!(led > 100, "the server must be in every role now and then: {led}");
}

/// Planted bugs that break safety are found by these few lines, too.
#[cfg(feature = "mutants")]
#[test]
fn planted_bugs_are_found() {
    use consensus_core::mutant::plant;
    let found =
        ["R02", "R03", "R04", "R05", "R06", "R07", "R08", "R09", "E-21", "E-23", "R40", "R41"];
    for mutant in synod_raft::MUTANTS.iter().filter(|mutant| found.contains(&mutant.name)) {
        plant(Some(mutant.name));
        // A broken invariant of one server shows as a panic of the table.
        let wrong = |seed| !matches!(std::panic::catch_unwind(|| run(seed, 600, true)), Ok(Ok(_)));
        assert!((0..4_000).any(wrong), "{}: {}", mutant.name, mutant.wrong);
    }
    plant(None);
}
