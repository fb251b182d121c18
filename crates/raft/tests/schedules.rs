//! Random schedules on the table: any message may be lost, repeated or late, any disk may be
//! behind, any server may crash and lose what its disk had not kept. A second, small rig beside the
//! simulator, with steps instead of time: strange orders come up far more often.

mod lab;

use consensus_core::{
    Audit, Batch, Change, Cluster, ClusterId, ConsensusProtocol, Input, LogIndex, NodeId, NodeSet,
    ProtocolConfig, ReadMode,
};
use lab::{Lab, batch, disk};
use std::collections::{BTreeMap, BTreeSet};
use synod_raft::{
    AppendEntries, Candidates, Config, Conflict, Entry, EntryId, Message, Record, Tail, Term, Timer,
};

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
    /// What was committed when a read was asked for: it must not see less.
    reads: BTreeMap<u64, LogIndex>,
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
                if !batch.is_membership() && !says(batch).all(|text| self.proposed.contains(&text))
                {
                    return Err(format!("n{id} index {index}: {batch:?} was never proposed"));
                }
            }
            for (read, index) in &node.ready {
                if *index < self.reads[read] {
                    return Err(format!("n{id} reads at {index}, not at {:?}", self.reads[read]));
                }
            }
            let Some(replica) = &node.replica else { continue };
            let purged = replica.status().purged;
            let Some(term) = replica.leads() else { continue };
            if *self.leaders.entry(term).or_insert(id) != id {
                return Err(format!("n{id} and n{} lead term {term}", self.leaders[&term]));
            }
            let latest = self.leaders.keys().max() == Some(&term);
            let lacks = |(index, batch): (&LogIndex, &Batch)| {
                *index > purged && replica.entry(*index) != Some(batch)
            };
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
        0..=1 => lab.crash(id, chance.below(4)),
        2..=7 if lab.nodes[id].replica.is_none() => lab.restart(id),
        8..=27 => lab.sync(id),
        28..=31 => {
            let text = format!("value {step}");
            lab.propose(id, &text);
            history.proposed.insert(text);
        }
        32 => lab.campaign(id),
        33..=37 => fire(lab, id, chance),
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

/// Fires a timer that is set.
fn fire(lab: &mut Lab, id: usize, chance: &mut Chance) {
    let timers: Vec<_> = lab.nodes[id].timers.keys().copied().collect();
    if lab.nodes[id].replica.is_some() && !timers.is_empty() {
        lab.fire(id, timers[chance.below(timers.len())]);
    }
}

/// Which links are slow.
enum Cut {
    /// Those of these servers.
    Off(NodeSet),
    /// All but those of this one: it alone reaches a majority.
    Star(usize),
}

impl Cut {
    fn delays(&self, from: usize, to: usize) -> bool {
        match self {
            Self::Off(nodes) => [from, to].iter().any(|id| nodes.contains(NodeId(*id as u8))),
            Self::Star(centre) => from != *centre && to != *centre,
        }
    }
}

/// The same in a world that gets more done: leaders stay for a while, some servers are cut off and
/// come back, and what was sent to them meanwhile comes late.
fn work(lab: &mut Lab, chance: &mut Chance, (history, cut): (&mut History, &mut Cut), step: usize) {
    let id = chance.below(lab.nodes.len());
    match chance.below(200) {
        0 => lab.crash(id, chance.below(4)),
        1..=6 if lab.nodes[id].replica.is_none() => lab.restart(id),
        7..=8 => {
            let another = chance.below(2 * lab.nodes.len());
            *cut = Cut::Off([id, another].iter().map(|id| NodeId(*id as u8)).collect());
        }
        9 if chance.below(3) == 0 => *cut = Cut::Star(id),
        9 => *cut = Cut::Off(NodeSet::EMPTY),
        10..=59 => lab.sync(id),
        60..=66 => {
            let text = format!("value {step}");
            lab.propose(id, &text);
            history.proposed.insert(text);
        }
        67 if chance.below(2) == 0 => lab.campaign(id),
        68..=80 if lab.nodes[id].timers.contains_key(&Timer::Heartbeat) => {
            lab.fire(id, Timer::Heartbeat);
        }
        81..=84 => fire(lab, id, chance),
        85..=110 => churn(lab, chance, history, step),
        what if !lab.flying.is_empty() => {
            let at = chance.below(lab.flying.len().min(5));
            let flying = lab.flying.remove(at);
            let late = cut.delays(flying.from, flying.to);
            if late && lab.flying.len() < 80 {
                lab.flying.push(flying);
            } else if !late && lab.nodes[flying.to].replica.is_some() {
                if what < 115 {
                    lab.flying.push(flying.clone());
                }
                lab.hand(flying.from, flying.to, flying.message);
            }
        }
        _ => {}
    }
}

/// Snapshots, changes of members, hand-overs and reads.
fn churn(lab: &mut Lab, chance: &mut Chance, history: &mut History, step: usize) {
    let id = chance.below(lab.nodes.len());
    if lab.nodes[id].replica.is_none() {
        return;
    }
    let other = NodeId(chance.below(lab.nodes.len()) as u8);
    match chance.below(16) {
        0..=2 => snapshot(lab, id, chance.below(4)),
        3..=8 => fetch(lab, id),
        9..=11 => {
            let seen = Change::of(&lab.members(id));
            let change = match chance.below(5) {
                0 => seen.add_learner(other),
                1 | 2 => seen.add_voter(other),
                3 => seen.remove(other),
                _ => seen.remove(other).add_voter(NodeId(chance.below(lab.nodes.len()) as u8)),
            };
            lab.change(id, change);
        }
        12 => lab.give(id, Input::Transfer(other)),
        _ => {
            let newest = history.committed.keys().next_back().copied();
            history.reads.insert(step as u64, newest.unwrap_or_default());
            lab.read(id, step as u64, ReadMode::Index);
        }
    }
}

/// Takes a snapshot if there is news, and tells the replica of it now, later, or never, as it does
/// not live to hear of it.
fn snapshot(lab: &mut Lab, id: usize, how: usize) {
    if let Some(meta) = lab.nodes[id].untold.take() {
        return lab.give(id, Input::SnapshotTaken(meta));
    }
    let applied = lab.nodes[id].committed.len() as u64;
    let newest = lab.nodes[id].snapshot.as_ref().map_or(0, |(meta, _)| meta.index.0);
    // A server that joins does not know the members at first.
    let known = lab.replica(id).snapshot_meta(LogIndex(applied)).is_some();
    match how {
        _ if applied <= newest || !known => {}
        0 => {
            lab.save_snapshot(id);
            lab.crash(id, 0);
        }
        1 => {
            let meta = lab.save_snapshot(id);
            lab.nodes[id].untold = Some(meta);
        }
        _ => drop(lab.take_snapshot(id)),
    }
}

/// Brings the snapshot that a server was told to get, if it is news.
fn fetch(lab: &mut Lab, id: usize) {
    let Some(from) = lab.nodes[id].fetches.pop() else { return };
    let index = |node: &lab::Node| node.snapshot.as_ref().map_or(0, |(meta, _)| meta.index.0);
    let offered = index(&lab.nodes[from.index()]);
    let node = &lab.nodes[id];
    if offered > index(node).max(node.committed.len() as u64) {
        lab.install(from.index(), id);
        lab.nodes[id].fetches.clear();
    }
}

/// Everybody is well: some server wins, what is asked of it is committed, and all members learn it.
fn recover(lab: &mut Lab, chance: &mut Chance, history: &mut History) -> Result<(), String> {
    lab.quick_disks = true;
    for id in 0..lab.nodes.len() {
        if lab.nodes[id].replica.is_none() {
            lab.restart(id);
        }
        lab.sync(id);
    }
    history.proposed.insert("last".into());
    let heard = |node: &lab::Node| node.committed.iter().any(|one| *one == batch("last"));
    for _ in 0..400 {
        lab.carry_all();
        history.observe(lab)?;
        let leader = (0..lab.nodes.len()).filter(|id| lab.replica(*id).leads().is_some());
        let leader = leader.max_by_key(|id| lab.status(*id).epoch);
        if let Some(leader) = leader {
            let members: Vec<_> = lab.members(leader).members().iter().collect();
            let members = || members.iter().map(|id| &lab.nodes[id.index()]);
            let lengths: BTreeSet<_> = members().map(|node| node.committed.len()).collect();
            if lengths.len() == 1 && members().all(heard) {
                return Ok(());
            }
            if !lab.log(leader).contains(&batch("last")) && !heard(&lab.nodes[leader]) {
                lab.propose(leader, "last");
            }
        }
        let id = chance.below(lab.nodes.len());
        let timers: Vec<_> = lab.nodes[id].timers.keys().copied().collect();
        for timer in timers {
            if lab.nodes[id].timers.contains_key(&timer) {
                lab.fire(id, timer);
                lab.carry_all();
            }
        }
        (0..lab.nodes.len()).for_each(|id| fetch(lab, id));
    }
    Err("no progress although everybody is well".into())
}

/// What a run is like, beside its seed.
#[derive(Clone, Copy)]
struct Kind {
    steps: usize,
    /// Small messages and windows: a follower is half repaired most of the time.
    hasty: bool,
    /// Members change, snapshots are taken, leaders hand over, clients read.
    churn: bool,
    /// Logs have parted before the run begins.
    past: bool,
}

/// Disks of servers whose leaders of terms 1 to 4 left something at some of them: nothing of it is
/// committed, and an entry says what came before it (Log Matching). Half of the servers know of a
/// later term.
fn parted(size: usize, chance: &mut Chance, history: &mut History) -> Vec<Vec<Record>> {
    let mut logs: Vec<Vec<u64>> = vec![Vec::new()];
    for term in 1..=4 {
        let base = &logs[chance.below(logs.len())];
        let mut log = base[..chance.below(base.len() + 1)].to_vec();
        log.extend(vec![term; 1 + chance.below(2)]);
        logs.push(log);
    }
    let places = (1..=8).flat_map(|index| (1..=4).map(move |term| format!("{index}@{term}")));
    history.proposed.extend(places);
    let mut one = || {
        let log = &logs[chance.below(logs.len())];
        disk(4 + chance.below(2) as u64, &log[..log.len() - chance.below(log.len().min(1) + 1)])
    };
    (0..size).map(|_| one()).collect()
}

fn run(seed: u64, kind: Kind) -> Result<usize, String> {
    let mut chance = Chance(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1);
    let size = [3, 3, 3, 5][chance.below(4)];
    let mut cluster = Cluster::new(ClusterId(1), size);
    if kind.churn {
        cluster = Cluster { voters: NodeSet::first(size), ..Cluster::new(ClusterId(1), 5) };
    }
    let mut config = Config::for_cluster(&cluster).expect("a cluster");
    if kind.hasty {
        config.max_append_bytes = 1;
        config.max_in_flight = 1 + chance.below(2);
    }
    config.trailing_entries = chance.below(3) as u64;
    if !seed.is_multiple_of(4) {
        // Nothing is kept for who takes a snapshot, so that there are many of them.
        config.held_entries = 0;
    }
    if seed.is_multiple_of(3) {
        config.candidates = Candidates::Wait;
    }
    let mut history = History::default();
    let disks = match kind.past {
        true => parted(cluster.size, &mut chance, &mut history),
        false => vec![Vec::new(); cluster.size],
    };
    let mut lab = Lab::with(cluster, config, disks);
    lab.quick_disks = false;
    let mut cut = Cut::Off(NodeSet::EMPTY);
    for step in 0..kind.steps {
        match kind.churn {
            true => work(&mut lab, &mut chance, (&mut history, &mut cut), step),
            false => disturb(&mut lab, &mut chance, &mut history, step),
        }
        history.observe(&lab)?;
    }
    let safe = history.committed.len();
    recover(&mut lab, &mut chance, &mut history)?;
    Ok(safe)
}

/// Figure 3, and progress once everybody is well.
#[test]
fn one_log_whatever_happens() {
    for churn in [false, true] {
        let mut entries = 0;
        for seed in 0..600 {
            let steps = if churn { 1200 } else { 600 };
            match run(seed, Kind { steps, hasty: seed % 2 == 0, churn, past: false }) {
                Ok(committed) => entries += committed,
                Err(why) => panic!("seed {seed}, churn {churn}: {why}"),
            }
        }
        assert!(entries > 600, "the runs must commit something: {entries}");
    }
}

/// The same from logs that have parted, so that followers are repaired and candidates brought up to
/// date all the time.
#[test]
fn one_log_out_of_many() {
    for churn in [false, true] {
        for seed in 0..400 {
            let kind = Kind { steps: 300, hasty: seed % 2 == 0, churn, past: true };
            if let Err(why) = run(seed, kind) {
                panic!("seed {seed}, churn {churn}: {why}");
            }
        }
    }
}

/// Something that a server could say, true or not.
fn babble(from: usize, chance: &mut Chance) -> Message {
    let mut number = |limit| chance.below(limit) as u64;
    let (term, index, other) = (Term(number(8)), LogIndex(number(8)), LogIndex(number(8)));
    let (sender, last) = (NodeId(from as u8), EntryId::new(Term(number(8)), index));
    let yes = number(2) == 0;
    let entry = |term| Entry { term: Term(term), batch: batch(&format!("{term}")) };
    match number(11) {
        0 => Message::PreVote { term, last, commit: other, offered: yes },
        1 => Message::PreVoteReply { term, granted: yes },
        2 => Message::RequestVote { term, candidate: sender, last, commit: other, transfer: yes },
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
        9 => {
            let entries = (last.term.0..=term.0).map(entry).collect();
            Message::Tail(Tail { term, prev: last, entries })
        }
        _ => Message::AppendEntries(AppendEntries {
            term,
            leader: sender,
            prev: last,
            entries: (last.term.0..=term.0).map(entry).collect(),
            leader_commit: other,
            repair: yes,
        }),
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
    let plain =
        ["R02", "R03", "R04", "R05", "R06", "R07", "R08", "R09", "E-21", "E-23", "R40", "R41"];
    let churned = ["R11a", "R11b", "R13a", "R70", "R72", "R74", "R76", "R79", "R80", "R82", "R89"];
    let parted = [("R12a", true, true), ("R102", false, true)];
    let churned = churned.map(|name| (name, true, false));
    let plain = plain.map(|name| (name, false, false));
    for (name, churn, past) in plain.into_iter().chain(churned).chain(parted) {
        plant(Some(name));
        // A broken invariant of one server shows as a panic of the table.
        let kind = Kind { steps: if churn { 1200 } else { 600 }, hasty: true, churn, past };
        let wrong = |seed| !matches!(std::panic::catch_unwind(|| run(seed, kind)), Ok(Ok(_)));
        assert!((0..4_000).any(wrong), "{name} is not found");
    }
    plant(None);
}
