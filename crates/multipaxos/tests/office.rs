//! Who leaves office, who gets there, and on what way the word of that comes, where links last:
//! what random worlds meet once in ten thousand.

use crate::lab::{Flying, Lab};
use consensus_core::{
    AuthMeter, Change, Cluster, ClusterId, ConsensusProtocol as _, Effect, Effects, Env, Envelope,
    Input, Message as _, NoKeys, NodeId, NodeSet, ProtocolConfig, Role,
};
use core::time::Duration;
use synod_multipaxos::{Config, Message, MultiPaxos, Phase2, Timer};

/// So many nodes of which the first few vote.
fn universe(size: usize, voters: usize, tune: impl FnOnce(&mut Config)) -> Lab {
    let mut cluster = Cluster::new(ClusterId(1), size);
    cluster.voters = NodeSet::first(voters);
    let mut config = Config::for_cluster(&cluster).expect("a cluster");
    tune(&mut config);
    let mut lab = Lab::with(cluster, config);
    (voters..size).for_each(|joins| lab.restart(joins));
    lab
}

fn role(lab: &Lab, id: usize) -> Role {
    lab.replica(id).status().role
}

/// Carries what links let through, oldest first, and loses everything else.
fn carry_where(lab: &mut Lab, works: impl Fn(usize, usize) -> bool) {
    while let Some(oldest) = lab.flying().into_iter().next() {
        lab.lose(&oldest);
        if works(oldest.from.index(), oldest.to.index()) && lab.is_up(oldest.to.index()) {
            lab.deliver(&oldest);
        }
    }
}

/// Everybody reaches the hub, and nobody else any other.
fn star(lab: &mut Lab, hub: usize) {
    carry_where(lab, |from, to| from == hub || to == hub);
}

/// Nobody has heard a leader for long: all timers that lead to an election fire.
fn miss_the_leader(lab: &mut Lab, hub: usize) {
    for id in lab.ids().filter(|id| lab.is_up(*id)).collect::<Vec<_>>() {
        for timer in [Timer::Silence, Timer::Election, Timer::Retry] {
            if role(lab, id) != Role::Leader && lab.timer(id, timer).is_some() {
                lab.fire(id, timer);
                star(lab, hub);
            }
        }
    }
}

/// Members × links that last (Flexible Paxos: fewer acceptances than promises are needed). Replica
/// 0 leads and reaches 1 only, 1 reaches all. A change of members is chosen, and the new ones have
/// to promise: 0 will never hear them, and must not hold back 1, which would.
fn the_leader_never_hears_the_new_members() {
    let mut lab = universe(5, 3, |config| config.phase_2 = Phase2::Exactly(2));
    lab.elect(0);
    lab.propose(0, "before");
    star(&mut lab, 1);
    lab.change(0, |change| change.add_voter(NodeId(3)).add_voter(NodeId(4)));
    star(&mut lab, 1);
    assert_eq!(lab.voters(0), [0, 1, 2, 3, 4], "two of three have chosen it");
    lab.propose(0, "waits");
    star(&mut lab, 1);
    assert!(!lab.words(0).contains(&"waits".to_owned()), "two of five promised, of four");
    for _ in 0..3 {
        if role(&lab, 0) == Role::Leader {
            lab.fire(0, Timer::Heartbeat);
            star(&mut lab, 1);
            lab.fire(0, Timer::CheckQuorum);
        }
    }
    assert_eq!(role(&lab, 0), Role::Follower, "it makes room");
    for _ in 0..3 {
        miss_the_leader(&mut lab, 1);
    }
    assert_eq!(role(&lab, 1), Role::Leader);
    lab.propose(1, "after");
    star(&mut lab, 1);
    assert_eq!(lab.words(1).last().map(String::as_str), Some("after"));
}

#[test]
fn a_leader_that_new_members_do_not_promise_makes_room() {
    the_leader_never_hears_the_new_members();
}

/// The other half: who has its promises stays, though fewer answer than would elect another. It
/// can go on, and an election would only cost time.
#[test]
fn a_leader_that_can_go_on_stays() {
    let mut lab = universe(5, 5, |config| config.phase_2 = Phase2::Exactly(2));
    lab.elect(0);
    for _ in 0..3 {
        lab.fire(0, Timer::Heartbeat);
        star(&mut lab, 1);
        lab.fire(0, Timer::CheckQuorum);
        lab.propose(0, "more");
        star(&mut lab, 1);
    }
    assert_eq!((role(&lab, 0), lab.words(0).len()), (Role::Leader, 3));
}

/// Members × links that last. {0, 1, 2} have made room for {2, 3, 4, 5}, and 0 and 1 are gone, as
/// they may be: the change is final. But 2 has missed all of it, and is the only one that reaches
/// the others. They canvass it, each for itself; it hears that they know more, and asks.
fn the_hub_does_not_know_who_votes() {
    let mut lab = universe(6, 3, |_| {});
    lab.elect(0);
    let voters: NodeSet = (2..6).map(NodeId).collect();
    lab.change(0, |change| Change { voters, ..change });
    let without_2 = |from: usize, to: usize| from != 2 && to != 2;
    carry_where(&mut lab, without_2);
    for _ in 0..4 {
        for id in lab.ids() {
            if lab.timer(id, Timer::Heartbeat).is_some() {
                lab.fire(id, Timer::Heartbeat);
                carry_where(&mut lab, without_2);
            }
        }
    }
    assert!((3..6).all(|id| lab.members(id).1), "the change is final");
    assert_eq!(lab.voters(2), [0, 1, 2]);
    lab.crash(0, 0);
    lab.crash(1, 0);
    // Whoever leads hears nobody any more.
    for id in 3..6 {
        while role(&lab, id) == Role::Leader {
            lab.fire(id, Timer::CheckQuorum);
            lab.lose_all();
        }
    }
    for _ in 0..4 {
        miss_the_leader(&mut lab, 2);
    }
    assert_eq!(lab.voters(2), [2, 3, 4, 5], "it was told");
    assert_eq!(role(&lab, 2), Role::Leader);
    lab.propose(2, "after");
    star(&mut lab, 2);
    assert_eq!(lab.words(2).last().map(String::as_str), Some("after"));
}

#[test]
fn who_hears_of_more_in_a_canvass_asks_for_it() {
    the_hub_does_not_know_who_votes();
}

/// Members × elections: 3 was removed and does not know it, as it was away. The others have just
/// not heard their leader for a while. It gets no answer but what it missed, and the leader stays.
fn one_that_was_removed_looks_for_a_leader() {
    let mut lab = universe(4, 4, |_| {});
    lab.elect(0);
    lab.carry_all();
    lab.change(0, |change| change.remove(NodeId(3)));
    carry_where(&mut lab, |from, to| from != 3 && to != 3);
    assert_eq!((lab.voters(2), lab.voters(3)), (vec![0, 1, 2], vec![0, 1, 2, 3]));
    let epoch = lab.status(0).epoch;
    for id in [1, 2, 3] {
        lab.fire(id, Timer::Silence);
    }
    lab.fire(3, Timer::Election);
    carry_where(&mut lab, |from, to| from == 3 || to == 3);
    assert_eq!((role(&lab, 0), lab.status(0).epoch), (Role::Leader, epoch), "it is not deposed");
    assert_eq!(lab.voters(3), [0, 1, 2], "it was told");
}

#[test]
fn who_was_removed_and_does_not_know_it_disturbs_nobody() {
    one_that_was_removed_looks_for_a_leader();
}

/// Does this timer of the replica begin anew, when this comes?
fn waits_anew(lab: &Lab, flying: &Flying, waits: Timer) -> bool {
    let mut replica = lab.replica(flying.to.index()).clone();
    let (keys, meter) = (NoKeys, AuthMeter::default());
    let env = Env::new(Duration::ZERO, lab.cluster(), &keys, &meter);
    let mut effects = Effects::after_recovery(1 << 20);
    let envelope = Envelope { from: flying.from, message: Message::clone(&flying.message) };
    let verified = MultiPaxos::verify(envelope, &env).expect("these replicas are honest");
    replica.step(Input::Message(verified), &env, &mut effects);
    let anew = |effect| matches!(effect, Effect::SetTimer { timer, .. } if timer == waits);
    effects.drain().any(anew)
}

/// The message of this kind that is on its way there.
fn flying(lab: &Lab, to: u8, kind: &str) -> Option<Flying> {
    lab.flying().into_iter().find(|it| it.to == NodeId(to) && it.message.kind().name == kind)
}

/// PMS §3: phase 1 for all slots. Its report comes in pages of a value, and a page takes two thirds
/// of the shortest election timeout. Who gave up, and began again at the first page, would never
/// lead; nor would who is overtaken meanwhile by the one that reports to it.
fn a_report_of_many_slow_pages() {
    let mut lab = universe(3, 3, |config| config.max_message_bytes = 1);
    lab.elect(0);
    for word in 0..6 {
        lab.propose(0, &format!("word {word}"));
        carry_where(&mut lab, |from, to| (from, to) == (0, 1));
    }
    lab.crash(0, 0);
    lab.campaign(2);
    let timeout = lab.cluster().timing.election_min;
    let (mut now, mut due, mut missed, mut pages) = (Duration::ZERO, timeout, timeout, 0);
    while let Some(prepare) = flying(&lab, 1, "prepare") {
        assert!(now < missed, "it is overtaken after {pages} pages");
        if waits_anew(&lab, &prepare, Timer::Silence) {
            missed = now + timeout;
        }
        lab.lose(&prepare);
        lab.deliver(&prepare);
        assert!(!waits_anew(&lab, &prepare, Timer::Silence), "a doubled question is no news");
        now += timeout * 2 / 3;
        assert!(now < due, "it gives up after {pages} pages");
        let page = flying(&lab, 2, "promise").expect("an answer");
        if waits_anew(&lab, &page, Timer::Election) {
            due = now + timeout;
        }
        lab.lose(&page);
        lab.deliver(&page);
        pages += 1;
        assert!(!waits_anew(&lab, &page, Timer::Election), "a doubled page is no news");
    }
    assert_eq!((role(&lab, 2), pages), (Role::Leader, 6));
    lab.carry_all();
    assert_eq!(lab.words(2).len(), 6);
}

#[test]
fn a_scout_does_not_give_up_while_its_report_comes_on() {
    a_report_of_many_slow_pages();
}

/// The cases above see the bugs that are planted for them.
#[cfg(feature = "mutants")]
#[test]
fn offices_find_the_bugs_that_are_planted_for_them() {
    let cases: [(&str, fn()); 5] = [
        ("M141", one_that_was_removed_looks_for_a_leader),
        ("M142", the_leader_never_hears_the_new_members),
        ("M143", the_hub_does_not_know_who_votes),
        ("M144", a_report_of_many_slow_pages),
        ("M145", a_report_of_many_slow_pages),
    ];
    for (bug, go) in cases {
        consensus_core::mutant::plant(Some(bug));
        let passed = std::panic::catch_unwind(go).is_ok();
        consensus_core::mutant::plant(None);
        assert!(!passed, "{bug} survived");
    }
}
