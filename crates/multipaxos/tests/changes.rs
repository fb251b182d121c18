//! Changes of members, gone through case by case: what a leader finds that did not see the change,
//! when those who vote since have gone on, have forgotten, or know of it only in part.

use crate::lab::Lab;
use consensus_core::{
    Audit as _, Change, ChangeRefusal, Cluster, ClusterId, LogIndex, NodeId, NodeSet,
    ProtocolConfig, ReadMode, Role,
};
use synod_multipaxos::{Config, Message, Phase2, Timer};

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

/// Carries what these say to each other, and loses everything else.
fn carry_among(lab: &mut Lab, nodes: NodeSet) {
    let others = lab.cluster().nodes().minus(nodes);
    lab.carry_all_but(others);
}

/// All subsets of these.
fn subsets(of: &[usize]) -> impl Iterator<Item = Vec<usize>> {
    (0..1u32 << of.len()).map(move |bits| {
        of.iter().enumerate().filter(|(at, _)| bits >> at & 1 == 1).map(|(_, id)| *id).collect()
    })
}

/// Replica 0 leads {0, 1, 2} and has {0, 3, 4} chosen in slot 1, as 1 accepts it. Then it goes on
/// with those of the new members that hear it, for so many slots, and some of them forget these.
/// Replica 2 has heard of nothing, and 1 does not know that the change is chosen.
/// Then 0 is gone; if it is `hasty`, before its disk was told what is chosen.
fn gone_on(told: usize, (hear, forget): (&[usize], &[usize]), hasty: bool) -> Lab {
    let mut lab = universe(5, 3, |_| {});
    lab.elect(0);
    lab.lose_all();
    lab.change(0, |change| Change { voters: set(&[0, 3, 4]), ..change });
    lab.carry(0, 1, "accept");
    lab.carry(1, 0, "accepted");
    let world = set(hear).or(set(&[0]));
    carry_among(&mut lab, world);
    for word in 0..told {
        lab.propose(0, &format!("word {word}"));
        carry_among(&mut lab, world);
    }
    if hasty {
        lab.slow_disks();
    }
    lab.fire(0, Timer::Heartbeat);
    carry_among(&mut lab, world);
    forget.iter().for_each(|id| lab.try_snapshot(*id));
    assert_eq!(lab.words(0).len(), told + 1, "chosen, and acknowledged");
    lab.crash(0, 0);
    lab.quick_disks();
    [1, 2, 3, 4].iter().for_each(|id| lab.sync(*id));
    lab
}

/// Replica 2 is elected by 1, has the change chosen again, and asks the new members; `first` is the
/// first to answer. What it reads meanwhile.
fn led_by_the_old(lab: &mut Lab, first: usize) -> Vec<usize> {
    lab.lose_all();
    lab.campaign(2);
    lab.carry(2, 1, "prepare");
    lab.carry(1, 2, "promise");
    let mut reads = vec![lab.read(2, ReadMode::Index)];
    lab.carry(2, 1, "accept");
    lab.carry(1, 2, "accepted");
    reads.push(lab.read(2, ReadMode::Index));
    // Their word that they follow may come before their promise.
    for kind in ["heartbeat", "prepare"] {
        for to in [3, 4] {
            while lab.flying().iter().any(|it| it.to == NodeId(to) && kind_of(&it.message) == kind)
            {
                lab.carry(2, usize::from(to), kind);
            }
        }
        carry_among(lab, set(&[2, first]));
        reads.push(lab.read(2, ReadMode::Index));
    }
    if lab.status(2).role == Role::Leader {
        lab.fire(2, Timer::Retry);
    }
    lab.carry_all();
    reads
}

fn kind_of(message: &Message) -> &'static str {
    consensus_core::Message::kind(message).name
}

/// Everybody is back: whoever can leads, and all that was told is there, in order.
fn all_is_there(lab: &mut Lab, told: usize, case: &str) {
    for id in lab.ids().filter(|id| !lab.is_up(*id)).collect::<Vec<_>>() {
        lab.restart(id);
    }
    lab.carry_all();
    for round in 0..20 {
        lab.ids().for_each(|id| lab.save_received(id));
        let leader = lab.ids().find(|id| lab.replica(*id).leads().is_some());
        match leader {
            Some(leader) => {
                lab.propose(leader, "last");
                for _ in 0..3 {
                    if lab.timer(leader, Timer::Heartbeat).is_some() {
                        lab.fire(leader, Timer::Heartbeat);
                        lab.carry_all();
                    }
                }
            }
            None => lab.campaign([0, 3, 4][round % 3]),
        }
        lab.carry_all();
    }
    let expected: Vec<_> = (0..told).map(|word| format!("word {word}")).collect();
    for id in [0, 3, 4] {
        let words = lab.words(id);
        assert_eq!(words.get(1..=told), Some(&expected[..]), "{case}: at {id}");
        assert!(words.iter().any(|word| word == "last"), "{case}: {id} goes on: {words:?}");
    }
}

/// Members × phase 1 × snapshots × reads (PMS §3): a leader of the old members, elected when the
/// new ones have gone on without it, does not read before it knows what they chose, and proposes
/// nothing where they chose, whoever of them has forgotten what.
fn the_new_members_have_gone_on() {
    for (told, hear) in
        [1, 2].into_iter().flat_map(|it| [(it, &[3, 4][..]), (it, &[3]), (it, &[4])])
    {
        let knowing: Vec<_> = hear.iter().copied().chain([0]).collect();
        for forget in subsets(&knowing) {
            for (first, hasty) in [(3, false), (3, true), (4, false), (4, true)] {
                for comes_back in [Back::Soon, Back::Later, Back::Last] {
                    one_has_gone_on(told, (hear, &forget), (first, hasty, comes_back));
                }
            }
        }
    }
}

/// When the leader of the new members is back.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Back {
    /// Before anybody else leads.
    Soon,
    /// When the new members have promised.
    Later,
    /// When all is over.
    Last,
}

fn one_has_gone_on(
    told: usize,
    who: (&[usize], &[usize]),
    (first, hasty, comes_back): (usize, bool, Back),
) {
    let case =
        format!("{told} slots, {who:?} heard and forgot, {first} first, {hasty} {comes_back:?}");
    let mut lab = gone_on(told, who, hasty);
    if comes_back == Back::Soon {
        lab.restart(0);
    }
    for read in led_by_the_old(&mut lab, first) {
        if let Some(Ok(index)) = lab.answer(2, read) {
            assert!(index > told as u64, "{case}: a read at {index}");
        }
    }
    if comes_back == Back::Later {
        lab.restart(0);
    }
    if lab.status(2).role == Role::Leader {
        lab.propose(2, "more");
        // Not those who answered first.
        carry_among(&mut lab, set(&[0, 2, 7 - first]));
    }
    all_is_there(&mut lab, told, &case);
}

#[test]
fn a_leader_of_the_old_members_learns_what_the_new_ones_chose() {
    the_new_members_have_gone_on();
}

/// Replica 0 leads {0, 1, 2}: 2 accepts what comes before a change, 1 accepts the change. Then 1
/// leads, and proposes both anew, each slot in a message of its own, of which 2 gets some. Then 1
/// loses the lead.
fn known_in_part(before: usize, arrive: &[usize]) -> Lab {
    let mut lab = universe(5, 3, |config| config.max_message_bytes = 1);
    lab.elect(0);
    for word in 0..before {
        lab.propose(0, &format!("word {word}"));
        carry_among(&mut lab, set(&[0, 2]));
    }
    lab.change(0, |change| Change { voters: set(&[0, 3, 4]), ..change });
    lab.carry(0, 1, "accept");
    lab.lose_all();
    lab.crash(0, 0);
    lab.campaign(1);
    carry_kinds(&mut lab, &["prepare", "promise"]);
    for accept in lab.flying() {
        let Message::Accept(it) = &*accept.message else { continue };
        let slot = it.slot.0 as usize;
        if accept.to == NodeId(2) && arrive.contains(&slot) {
            lab.deliver(&accept);
        }
    }
    carry_kinds(&mut lab, &["accepted"]);
    lab.lose_all();
    while lab.status(1).role == Role::Leader {
        lab.fire(1, Timer::CheckQuorum);
        lab.lose_all();
    }
    assert_eq!(lab.status(1).role, Role::Follower, "nobody answers");
    lab
}

/// Carries messages of these kinds among 1 and 2, as long as there are any.
fn carry_kinds(lab: &mut Lab, kinds: &[&str]) {
    let among = |it: NodeId| set(&[1, 2]).contains(it);
    lab.carry_those(|it| among(it.from) && among(it.to) && kinds.contains(&kind_of(&it.message)));
}

/// Members × gaps (PMS §3): a change says who votes in the slots after it, so nothing is proposed
/// there before it is executed, be the change found in phase 1 or known to be chosen, with or
/// without what comes before it.
fn a_change_is_known_in_part() {
    let mut executed = 0;
    for before in 1..3 {
        let slots: Vec<_> = (1..=before + 1).collect();
        for arrive in subsets(&slots) {
            let mut lab = known_in_part(before, &arrive);
            lab.campaign(1);
            carry_kinds(&mut lab, &["prepare", "promise"]);
            let version = before as u64 + 1;
            if lab.members(1).0.version == LogIndex(version) {
                executed += 1;
                continue; // It knows all, and has no vote.
            }
            assert_eq!(lab.status(1).role, Role::Leader);
            lab.propose(1, "more");
            let later = lab.flying().into_iter().find_map(|it| match &*it.message {
                Message::Accept(it) => (it.slot.0 > version).then_some(it.slot),
                _ => None,
            });
            assert_eq!(later, None, "{before} slots before, {arrive:?} arrived");
        }
    }
    assert!(executed < 4, "most are known in part");
}

#[test]
fn nothing_is_proposed_behind_a_change_that_is_not_executed() {
    a_change_is_known_in_part();
}

/// Flexible Paxos: members that could never choose anything are refused, whoever learns beside
/// them; all others go on.
fn members_that_do_not_suit() {
    let learners = [&[][..], &[3], &[4], &[3, 4]];
    for needed in 1..=3 {
        for (voters, learners) in
            subsets(&[0, 1, 2]).flat_map(|it| learners.map(|l| (it.clone(), l)))
        {
            if !voters.contains(&0) {
                continue;
            }
            let mut lab = universe(5, 3, |config| config.phase_2 = Phase2::Exactly(needed));
            lab.elect(0);
            let (voters, learners) = (set(&voters), set(learners));
            lab.change(0, |change| Change { voters, learners, ..change });
            lab.carry_all();
            let case = format!("{needed} of {voters:?}, beside {learners:?}");
            let refused = lab.refused_changes(0) == [ChangeRefusal::Impossible];
            assert_eq!(refused, voters.len() < needed, "{case}");
            lab.propose(0, "more");
            lab.carry_all();
            assert_eq!(lab.words(0).last().map(String::as_str), Some("more"), "{case}");
        }
    }
}

#[test]
fn members_that_can_choose_nothing_are_refused() {
    members_that_do_not_suit();
}

/// The cases above see the bugs that are planted for them.
#[cfg(feature = "mutants")]
#[test]
fn changes_find_the_bugs_that_are_planted_for_them() {
    type Cases = (&'static str, fn());
    let cases: [Cases; 4] = [
        ("M180", the_new_members_have_gone_on),
        ("M184", the_new_members_have_gone_on),
        ("M181", a_change_is_known_in_part),
        ("M182", members_that_do_not_suit),
    ];
    for (bug, go) in cases {
        consensus_core::mutant::plant(Some(bug));
        let passed = std::panic::catch_unwind(go).is_ok();
        consensus_core::mutant::plant(None);
        assert!(!passed, "{bug} survived");
    }
}
