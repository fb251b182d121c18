//! Random schedules on the table: any message may be lost, repeated or late, any disk may be
//! behind, any server may crash and lose what its disk had not kept. A second, small rig beside the
//! simulator, with steps instead of time: strange orders come up far more often.

use crate::lab::{Flying, Lab, batch, disk};
use consensus_core::{
    Audit, Batch, Cluster, ClusterId, ConsensusProtocol, LogIndex, NodeId, NodeSet, ProtocolConfig,
    ReadMode,
};
use std::collections::{BTreeMap, BTreeSet};
use synod_raft::{
    AppendEntries, Candidates, Config, Conflict, Entry, EntryId, Message, Record, Tail, Term, Timer,
};
use synod_sim::Rng;

/// What the cluster did, over all servers and all their lives.
#[derive(Default)]
struct History {
    committed: BTreeMap<LogIndex, Batch>,
    leaders: BTreeMap<u64, usize>,
    proposed: BTreeSet<String>,
    /// What was committed when the reads of this life of a server were asked for: they must not
    /// see less.
    reads: BTreeMap<usize, Vec<LogIndex>>,
}

impl History {
    /// Figure 3: Election Safety, Leader Completeness and State Machine Safety; and nothing comes
    /// from nowhere.
    fn observe(&mut self, lab: &Lab) -> Result<(), String> {
        for id in lab.ids() {
            for (at, batch) in lab.committed(id).iter().enumerate() {
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
            let owed = self.reads.entry(id).or_default();
            if !lab.is_up(id) {
                owed.clear();
                continue;
            }
            for (read, index) in lab.ready(id) {
                if index < owed[read - 1].0 {
                    return Err(format!("n{id} reads at {index}, not at {:?}", owed[read - 1]));
                }
            }
            let replica = lab.replica(id);
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

/// What is on its way: in the order of sending at first, but what is late goes to the end.
struct Post {
    flying: Vec<Flying>,
    cut: Cut,
}

impl Post {
    /// Takes what was just sent.
    fn collect(&mut self, lab: &mut Lab) {
        self.flying.extend(lab.flying());
        lab.lose_all();
    }
}

fn disturb(
    lab: &mut Lab,
    chance: &mut Rng,
    (history, post): (&mut History, &mut Post),
    step: usize,
) {
    let id = chance.place(lab.size());
    match chance.below(100) {
        0..=1 => lab.crash(id, chance.place(4)),
        2..=7 if !lab.is_up(id) => lab.restart(id),
        8..=27 => lab.sync(id),
        28..=31 => {
            let text = format!("value {step}");
            lab.propose(id, &text);
            history.proposed.insert(text);
        }
        32 => lab.campaign(id),
        33..=37 => fire(lab, id, chance),
        what if !post.flying.is_empty() => {
            let at = chance.place(post.flying.len());
            let flying = if what < 50 { post.flying[at].clone() } else { post.flying.remove(at) };
            if what < 95 {
                lab.deliver(&flying);
            }
        }
        _ => {}
    }
    post.collect(lab);
    // Old letters are kept for late deliveries, but not for ever.
    if post.flying.len() > 60 {
        let at = chance.place(post.flying.len());
        post.flying.remove(at);
    }
}

/// Fires a timer that is set.
fn fire(lab: &mut Lab, id: usize, chance: &mut Rng) {
    let timers = lab.timers(id);
    if !timers.is_empty() {
        lab.fire(id, chance.pick(&timers));
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
    fn delays(&self, flying: &Flying) -> bool {
        match self {
            Self::Off(nodes) => nodes.contains(flying.from) || nodes.contains(flying.to),
            Self::Star(centre) => ![flying.from.index(), flying.to.index()].contains(centre),
        }
    }
}

/// The same in a world that gets more done: leaders stay for a while, some servers are cut off and
/// come back, and what was sent to them meanwhile comes late.
fn work(lab: &mut Lab, chance: &mut Rng, (history, post): (&mut History, &mut Post), step: usize) {
    let id = chance.place(lab.size());
    match chance.below(200) {
        0 => lab.crash(id, chance.place(4)),
        1..=6 if !lab.is_up(id) => lab.restart(id),
        7..=8 => {
            let another = chance.place(2 * lab.size());
            post.cut = Cut::Off([id, another].iter().map(|id| NodeId(*id as u8)).collect());
        }
        9 if chance.below(3) == 0 => post.cut = Cut::Star(id),
        9 => post.cut = Cut::Off(NodeSet::EMPTY),
        10..=59 => lab.sync(id),
        60..=66 => {
            let text = format!("value {step}");
            lab.propose(id, &text);
            history.proposed.insert(text);
        }
        67 if chance.below(2) == 0 => lab.campaign(id),
        68..=80 if lab.timer(id, Timer::Heartbeat).is_some() => lab.fire(id, Timer::Heartbeat),
        81..=84 => fire(lab, id, chance),
        85..=110 => churn(lab, chance, history),
        what if !post.flying.is_empty() => {
            let at = chance.place(post.flying.len().min(5));
            let flying = post.flying.remove(at);
            let late = post.cut.delays(&flying);
            if !late {
                lab.deliver(&flying);
            }
            if (late && post.flying.len() < 80) || (!late && what < 115) {
                post.flying.push(flying);
            }
        }
        _ => {}
    }
    post.collect(lab);
}

/// Snapshots, changes of members, hand-overs and reads.
fn churn(lab: &mut Lab, chance: &mut Rng, history: &mut History) {
    let id = chance.place(lab.size());
    if !lab.is_up(id) {
        return;
    }
    let other = NodeId(chance.place(lab.size()) as u8);
    match chance.below(16) {
        0..=2 => snapshot(lab, id, chance.place(4)),
        3..=8 => lab.save_received(id),
        9..=11 => {
            let size = lab.size();
            lab.change(id, |seen| match chance.below(5) {
                0 => seen.add_learner(other),
                1 | 2 => seen.add_voter(other),
                3 => seen.remove(other),
                _ => seen.remove(other).add_voter(NodeId(chance.place(size) as u8)),
            });
        }
        12 => lab.transfer(id, other.index()),
        _ => {
            let newest = history.committed.keys().next_back().copied();
            history.reads.entry(id).or_default().push(newest.unwrap_or_default());
            lab.read(id, ReadMode::Index);
        }
    }
}

/// Takes a snapshot if there is news. It is durable, and the replica told of it, now, or later, or
/// the replica does not live to hear of it.
fn snapshot(lab: &mut Lab, id: usize, how: usize) {
    let mut begun = false;
    lab.on(id, |stage, id| begun = !stage.save(id, false) && stage.snapshot(id));
    match how {
        _ if !begun => {}
        0 => lab.save_and_crash(id),
        1 => {}
        _ => lab.save(id),
    }
}

/// Everybody is well: some server wins, what is asked of it is committed, and all members learn it.
fn recover(
    lab: &mut Lab,
    chance: &mut Rng,
    (history, post): (&mut History, Post),
) -> Result<(), String> {
    lab.quick_disks();
    for id in lab.ids() {
        if !lab.is_up(id) {
            lab.restart(id);
        }
        lab.sync(id);
    }
    post.flying.iter().for_each(|flying| lab.deliver(flying));
    history.proposed.insert("last".into());
    let heard = |lab: &Lab, id: usize| lab.committed(id).contains(&batch("last"));
    for _ in 0..400 {
        lab.carry_all();
        history.observe(lab)?;
        let leader = lab.ids().filter(|id| lab.replica(*id).leads().is_some());
        let leader = leader.max_by_key(|id| lab.status(*id).epoch);
        if let Some(leader) = leader {
            let (members, _) = lab.members(leader);
            let members = || members.members().iter().map(NodeId::index);
            let lengths: BTreeSet<_> = members().map(|id| lab.committed(id).len()).collect();
            if lengths.len() == 1 && members().all(|id| heard(lab, id)) {
                return Ok(());
            }
            if !lab.log(leader).contains(&batch("last")) && !heard(lab, leader) {
                lab.propose(leader, "last");
            }
        }
        let id = chance.place(lab.size());
        for timer in lab.timers(id) {
            if lab.timer(id, timer).is_some() {
                lab.fire(id, timer);
                lab.carry_all();
            }
        }
        lab.ids().for_each(|id| lab.save_received(id));
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
fn parted(size: usize, chance: &mut Rng, history: &mut History) -> Vec<Vec<Record>> {
    let mut logs: Vec<Vec<u64>> = vec![Vec::new()];
    for term in 1..=4 {
        let base = &logs[chance.place(logs.len())];
        let mut log = base[..chance.place(base.len() + 1)].to_vec();
        log.extend(vec![term; 1 + chance.place(2)]);
        logs.push(log);
    }
    let places = (1..=8).flat_map(|index| (1..=4).map(move |term| format!("{index}@{term}")));
    history.proposed.extend(places);
    let mut one = || {
        let log = &logs[chance.place(logs.len())];
        disk(4 + chance.below(2), &log[..log.len() - chance.place(log.len().min(1) + 1)])
    };
    (0..size).map(|_| one()).collect()
}

fn run(seed: u64, kind: Kind) -> Result<usize, String> {
    let mut chance = Rng::new(seed);
    let size = chance.pick(&[3, 3, 3, 5]);
    let mut cluster = Cluster::new(ClusterId(1), size);
    if kind.churn {
        cluster = Cluster { voters: NodeSet::first(size), ..Cluster::new(ClusterId(1), 5) };
    }
    let mut config = Config::for_cluster(&cluster).expect("a cluster");
    if kind.hasty {
        config.max_append_bytes = 1;
        config.max_in_flight = 1 + chance.place(2);
    }
    config.trailing_entries = chance.below(3);
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
    lab.slow_disks();
    let mut post = Post { flying: Vec::new(), cut: Cut::Off(NodeSet::EMPTY) };
    for step in 0..kind.steps {
        match kind.churn {
            true => work(&mut lab, &mut chance, (&mut history, &mut post), step),
            false => disturb(&mut lab, &mut chance, (&mut history, &mut post), step),
        }
        history.observe(&lab)?;
    }
    let safe = history.committed.len();
    recover(&mut lab, &mut chance, (&mut history, post))?;
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
fn babble(from: usize, chance: &mut Rng) -> Message {
    let mut number = |limit| chance.below(limit);
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
        let mut chance = Rng::new(seed);
        let mut lab = Lab::new(3);
        lab.without_oracles(); // They believe what they hear.
        for step in 0..200 {
            let from = 1 + chance.place(2);
            let message = babble(from, &mut chance);
            // What is not well-formed is dropped at the door.
            lab.on(0, |stage, to| _ = stage.hand(NodeId(from as u8), to, message));
            match chance.below(10) {
                0 => lab.propose(0, &format!("value {step}")),
                1..=3 => fire(&mut lab, 0, &mut chance),
                4 => {
                    lab.campaign(0);
                    let term = Term(lab.status(0).epoch);
                    lab.hand(from, 0, Message::Vote { term, candidate: NodeId(0), granted: true });
                }
                _ => {}
            }
            led += usize::from(lab.replica(0).leads().is_some());
            lab.lose_all();
        }
    }
    assert!(led > 100, "the server must be in every role now and then: {led}");
}

/// Planted bugs that break safety are found by these few lines, too.
#[cfg(feature = "mutants")]
#[test]
fn planted_bugs_are_found() {
    use consensus_core::mutant::plant;
    let plain = ["R02", "R03", "R04", "R05", "R06", "R08", "R09", "E-21", "E-23", "R40", "R41"];
    let churned =
        ["R11a", "R11b", "R132", "R13a", "R70", "R72", "R74", "R76", "R79", "R80", "R82", "R89"];
    let parted = [("R12a", true, true), ("R102", false, true), ("R137", false, true)];
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
