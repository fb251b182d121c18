//! Phase 1 for all slots (PMS §3), gone through case by case: what it finds behind a change of
//! members, and what it is told in pages while the reporter learns and forgets.

use crate::lab::{Flying, Lab, batch};
use consensus_core::{
    Change, Cluster, ClusterId, ConsensusProtocol as _, LogIndex, Message as _, NodeId, NodeSet,
    ProtocolConfig, Role,
};
use synod_multipaxos::{Config, Message, Timer};

/// So many nodes of which the first few vote. No slot is kept behind a snapshot.
fn universe(size: usize, voters: usize, tune: impl FnOnce(&mut Config)) -> Lab {
    let mut cluster = Cluster::new(ClusterId(1), size);
    cluster.voters = NodeSet::first(voters);
    let usual = Config::for_cluster(&cluster).expect("a cluster");
    let mut config = Config { trailing_entries: 0, ..usual };
    tune(&mut config);
    let mut lab = Lab::with(cluster, config);
    (voters..size).for_each(|joins| lab.restart(joins));
    lab
}

fn set(ids: &[usize]) -> NodeSet {
    ids.iter().map(|id| NodeId(*id as u8)).collect()
}

fn leads(lab: &Lab, id: usize) -> bool {
    lab.is_up(id) && lab.replica(id).status().role == Role::Leader
}

/// What is said in the two phases.
const PHASES: [&str; 4] = ["prepare", "promise", "accept", "accepted"];

/// Carries what these say to each other, and loses everything else.
fn carry_among(lab: &mut Lab, nodes: NodeSet) {
    carry_such(lab, |it| nodes.contains(it.from) && nodes.contains(it.to));
}

/// Carries messages of a kind, and loses all others.
fn carry_such(lab: &mut Lab, such: impl Fn(&Flying) -> bool) {
    while let Some(oldest) = lab.flying().into_iter().next() {
        lab.lose(&oldest);
        if such(&oldest) {
            lab.deliver(&oldest);
        }
    }
}

/// All subsets of these.
fn subsets(of: &[usize]) -> Vec<Vec<usize>> {
    let member = |bits: u32, at: usize| bits >> at & 1 == 1;
    let subset = |bits| (0..of.len()).filter(|at| member(bits, *at)).map(|at| of[at]).collect();
    (0..1 << of.len()).map(subset).collect()
}

/// Everybody is back and well for a while. The oracles of the table watch that nothing that was
/// chosen changes; here: these words are what was chosen first, and things go on.
fn all_is_well(lab: &mut Lab, voters: &[usize], told: &[String], case: &str) {
    for id in lab.ids().filter(|id| !lab.is_up(*id)).collect::<Vec<_>>() {
        lab.restart(id);
    }
    lab.carry_all();
    for round in 0..16 {
        lab.ids().for_each(|id| lab.save_received(id));
        match lab.ids().find(|id| leads(lab, *id)) {
            Some(leader) => {
                lab.propose(leader, "last");
                for timer in [Timer::Retry, Timer::Heartbeat, Timer::Heartbeat] {
                    if lab.timer(leader, timer).is_some() {
                        lab.fire(leader, timer);
                        lab.carry_all();
                    }
                }
            }
            None => {
                for (id, timer) in
                    lab.ids().flat_map(|id| [(id, Timer::Silence), (id, Timer::Retry)])
                {
                    if lab.timer(id, timer).is_some() {
                        lab.fire(id, timer);
                    }
                }
                lab.campaign(voters[round % voters.len()]);
            }
        }
        lab.carry_all();
    }
    for id in voters {
        let words = lab.words(*id);
        assert_eq!(words.get(..told.len()), Some(told), "{case}: at {id}");
        assert!(words.iter().any(|word| word == "last"), "{case}: {id} goes on: {words:?}");
    }
}

/// Replica 0 leads {0, 1, 2}, has other members chosen as `helper` accepts them, and goes on with
/// those of them that hear it, in the two phases alone: who did not accept the change does not know
/// of it, and may have accepted what stands behind it. Then 0 is gone, and `rival` is elected by
/// the other old member. How much stood behind the change and was told.
fn found_behind(new: &[usize], hear: &[usize], helper: usize, rival: usize) -> usize {
    let mut lab = universe(5, 3, |_| {});
    lab.elect(0);
    lab.lose_all();
    let voters = set(new);
    lab.change(0, |change| Change { voters, ..change });
    lab.carry(0, helper, "accept");
    let late = lab.flying().into_iter().filter(|it| it.message.kind().name == "accept");
    late.for_each(|it| lab.lose(&it));
    lab.carry(helper, 0, "accepted");
    let world = set(hear).or(set(&[0]));
    let heard = |it: &Flying| {
        let within = world.contains(it.from) && world.contains(it.to);
        within && PHASES.contains(&it.message.kind().name)
    };
    carry_such(&mut lab, heard);
    lab.propose(0, "behind");
    carry_such(&mut lab, heard);
    let told: Vec<_> = lab.words(0).into_iter().filter(|word| word == "behind").collect();
    lab.crash(0, 0);
    lab.campaign(rival);
    carry_among(&mut lab, set(&[1, 2]));
    for _ in 0..2 {
        lab.propose(rival, "other");
        if lab.timer(rival, Timer::Retry).is_some() {
            lab.fire(rival, Timer::Retry);
        }
        carry_among(&mut lab, set(&[1, 2, 3, 4]));
    }
    let case = format!("{helper} accepts {new:?}, {hear:?} hear on, then {rival} leads");
    after_the_change(&mut lab, new, &told, &case);
    told.len()
}

fn the_change_is_found_with_what_stands_behind_it() {
    let mut behind = 0;
    for new in subsets(&[0, 1, 2, 3, 4]).into_iter().filter(|new| new.len() == 3) {
        for hear in subsets(&[1, 2, 3, 4]).into_iter().filter(|hear| hear.len() < 3) {
            for (helper, rival) in [(1, 1), (1, 2), (2, 1), (2, 2)] {
                behind += found_behind(&new, &hear, helper, rival);
            }
        }
    }
    assert!(behind > 100, "something stood behind the change {behind} times");
}

/// What stood behind the change is there, before all else.
fn after_the_change(lab: &mut Lab, voters: &[usize], told: &[String], case: &str) {
    let no_change = |word: &String| word == "behind" || word == "other" || word == "last";
    all_is_well(lab, voters, &[], case);
    for id in voters {
        let words: Vec<String> = lab.words(*id).into_iter().filter(no_change).collect();
        assert_eq!(words.get(..told.len()), Some(told), "{case}: at {id}");
    }
}

/// What happens to the reporter before it sends its next page.
#[derive(Clone, Copy, Debug)]
enum Meanwhile {
    Nothing,
    /// The answer to a question from before tells it what is chosen up to this slot.
    Told(usize),
    /// So, and it takes a snapshot.
    Forgets(usize),
}

/// Replica 0 proposed in three slots and nobody heard; 1, with 2, chose other values in them; 2
/// does not know that they are chosen. Then 0 is elected by 2, which reports a value a page.
fn what_comes_in_pages_counts_for_what_it_is() {
    let all = [Meanwhile::Nothing].into_iter();
    let all = all.chain((1..=3).flat_map(|upto| [Meanwhile::Told(upto), Meanwhile::Forgets(upto)]));
    let all: Vec<Meanwhile> = all.collect();
    let told = ["v1", "v2", "v3"].map(str::to_owned);
    for (first, second) in all.iter().flat_map(|one| all.iter().map(move |two| (*one, *two))) {
        let mut lab = universe(3, 3, |config| config.max_message_bytes = 1);
        lab.elect(0);
        ["w1", "w2", "w3"].iter().for_each(|word| lab.propose(0, word));
        lab.lose_all();
        lab.campaign(1);
        lab.carry(1, 2, "prepare");
        lab.carry(2, 1, "promise");
        lab.lose_all();
        told.iter().for_each(|word| lab.propose(1, word));
        for kind in ["accept", "accepted"] {
            let (from, to) = if kind == "accept" { (1, 2) } else { (2, 1) };
            told.iter().for_each(|_| drop(lab.carry(from, to, kind)));
        }
        lab.lose_all();
        assert_eq!(lab.words(1), told);
        lab.crash(0, 0);
        lab.restart(0);
        lab.campaign(0);
        lab.carry(0, 2, "prepare");
        lab.carry(2, 0, "nack");
        lab.campaign(0);
        assert_eq!(lab.replica(0).status().role, Role::Candidate, "it leads no longer");
        let mut events = [first, second].into_iter();
        while lab.replica(0).status().role == Role::Candidate {
            lab.lose_all(); // 1 hears of nothing.
            lab.fire(0, Timer::Retry);
            lab.carry(0, 2, "prepare");
            let page = lab.take(2, 0, "promise");
            lab.lose_all();
            meanwhile(&mut lab, events.next().unwrap_or(Meanwhile::Nothing), &told);
            lab.hand(2, 0, page);
        }
        all_is_well(&mut lab, &[0, 1, 2], &told, &format!("{first:?}, {second:?}"));
    }
}

fn meanwhile(lab: &mut Lab, event: Meanwhile, told: &[String]) {
    let (Meanwhile::Told(upto) | Meanwhile::Forgets(upto)) = event else { return };
    let known = lab.replica(2).status().committed.0 as usize;
    if known < upto {
        let batches = told[known..upto].iter().map(|word| batch(word)).collect();
        let (from, chosen) = (LogIndex(known as u64 + 1), LogIndex(3));
        lab.hand(1, 2, Message::Learned { from, batches, chosen });
    }
    if matches!(event, Meanwhile::Forgets(_)) {
        lab.try_snapshot(2);
    }
    let words: Vec<_> = lab.flying().into_iter().filter(|it| it.from == NodeId(2)).collect();
    words.iter().for_each(|it| lab.lose(it));
}

#[test]
fn what_stands_behind_a_change_is_found() {
    the_change_is_found_with_what_stands_behind_it();
}

#[test]
fn pages_count_for_what_they_say() {
    what_comes_in_pages_counts_for_what_it_is();
}

/// The tests above see the bugs that are planted for them.
#[cfg(feature = "mutants")]
#[test]
fn bugs_of_phase_1_are_found() {
    let tests: [(&str, fn()); 2] = [
        ("M200", the_change_is_found_with_what_stands_behind_it),
        ("M201", what_comes_in_pages_counts_for_what_it_is),
    ];
    for (name, test) in tests {
        consensus_core::mutant::plant(Some(name));
        let passed = std::panic::catch_unwind(test).is_ok();
        consensus_core::mutant::plant(None);
        assert!(!passed, "{name} is not found");
    }
}
