//! Two leaders at a time: the old one has a lease from the new members, the new one was elected by
//! the old members. Whoever hears one must not hear the other ("Paxos Made Live" §5.2: while a
//! lease runs, nobody else is promised anything).

use crate::lab::Lab;
use consensus_core::{Cluster, ClusterId, NodeId, NodeSet, ProtocolConfig, ReadMode, Role};
use synod_multipaxos::{Config, Drift, Timer};

/// Replicas 0 to 2 vote and 2 leads, until 3 takes the place of 0. That is chosen by 0 and 2; 0
/// does not know it, and 1 has heard nothing. From then on 0 and 1 hear each other only, and so do
/// 2 and 3.
fn a_member_comes() -> Lab {
    let mut cluster = Cluster::new(ClusterId(1), 4);
    cluster.voters = NodeSet::first(3);
    let usual = Config::for_cluster(&cluster).expect("a cluster");
    let mut lab = Lab::with(cluster, Config { lease: Some(Drift::GENEROUS), ..usual });
    lab.restart(3);
    for id in lab.ids() {
        lab.fire(id, Timer::Silence);
    }
    lab.elect(2);
    lab.fire(2, Timer::Heartbeat);
    lab.carry_all();
    lab.change(2, |seen| seen.remove(NodeId(0)).add_voter(NodeId(3)));
    lab.carry(2, 0, "accept");
    lab.carry(0, 2, "accepted");
    lab.keep(|flying| flying.to == NodeId(3));
    lab
}

/// The leader of the old members has its promise from the new one, and what it takes for a lease.
fn leased(lab: &mut Lab) {
    lab.carry(2, 3, "prepare");
    lab.carry(3, 2, "promise");
    lab.lose_all();
    hears_the_leader(lab);
    let read = lab.read(2, ReadMode::Lease);
    assert_eq!(lab.answer(2, read), Some(Ok(1)), "without a message");
}

fn hears_the_leader(lab: &mut Lab) {
    lab.fire(2, Timer::Heartbeat);
    lab.carry(2, 3, "heartbeat");
    lab.carry(3, 2, "heartbeat-reply");
    lab.lose_all();
}

/// 0 and 1 miss the leader, 1 is elected, finds the change, and has it chosen again.
fn another_leads(lab: &mut Lab) {
    for id in [0, 1] {
        lab.fire(id, Timer::Silence);
    }
    lab.fire(1, Timer::Election);
    let both = NodeSet::first(2);
    lab.carry_those(|flying| both.contains(flying.from) && both.contains(flying.to));
    assert_eq!(lab.status(1).role, Role::Leader);
    assert!(lab.voters(1).contains(&3), "it knows the change");
}

/// The new leader says that it leads, and asks for the promise of the new member; it goes on if it
/// gets that.
fn asks_the_new_member(lab: &mut Lab) {
    lab.fire(1, Timer::Heartbeat);
    lab.fire(1, Timer::Retry);
    lab.carry(1, 3, "heartbeat");
    lab.carry_those(|flying| [flying.from, flying.to].contains(&NodeId(3)));
    lab.propose(1, "new");
    lab.carry_those(|flying| flying.from == NodeId(1) && flying.to == NodeId(3));
    lab.carry_those(|flying| flying.from == NodeId(3) && flying.to == NodeId(1));
}

/// Lease × members × election: the new leader's heartbeat does not make the new member its follower
/// while that is bound to the old one, which reads by its word.
#[test]
fn who_is_bound_by_a_lease_hears_no_other_leader() {
    let mut lab = a_member_comes();
    leased(&mut lab);
    another_leads(&mut lab);
    asks_the_new_member(&mut lab);
    let read = lab.read(2, ReadMode::Lease);
    assert_eq!(lab.answer(2, read), Some(Ok(1)));
    assert_eq!(lab.committed(1).len(), 1, "nothing new is chosen meanwhile");
    // The lease ends when its holder is missed.
    lab.fire(3, Timer::Silence);
    asks_the_new_member(&mut lab);
    assert_eq!(lab.committed(1).len(), 3, "both commands, as the first one waited");
}

/// The same after a restart: whom it heard in its earlier life it does not know.
#[test]
fn who_has_just_started_is_free_for_no_leader_that_it_hears() {
    let mut lab = a_member_comes();
    leased(&mut lab);
    another_leads(&mut lab);
    lab.crash(3, 0);
    lab.restart(3);
    asks_the_new_member(&mut lab);
    let read = lab.read(2, ReadMode::Lease);
    assert_eq!(lab.answer(2, read), Some(Ok(1)));
    assert_eq!(lab.committed(1).len(), 1);
}

/// Nor the other way round: who hears the new leader, to which it has promised nothing yet, is not
/// won back by the old one.
#[test]
fn a_leader_of_before_is_not_heard_beside_the_next() {
    let mut lab = a_member_comes();
    lab.carry(2, 3, "prepare");
    lab.carry(3, 2, "promise");
    another_leads(&mut lab);
    lab.fire(3, Timer::Silence);
    lab.fire(1, Timer::Heartbeat);
    lab.carry(1, 3, "heartbeat");
    lab.lose_all();
    lab.fire(2, Timer::Heartbeat);
    lab.carry(2, 3, "heartbeat");
    assert_eq!(lab.count("heartbeat-reply"), 0);
    assert_eq!(lab.status(3).leader, Some(NodeId(1)));
}

/// Lease × hand-over: who is asked to lead by one leader waives the lease of that one, not that of
/// the leader that came meanwhile. The word to lead is late here (planted bug M136).
#[test]
fn a_late_word_to_lead_waives_no_other_lease() {
    let cluster = Cluster::new(ClusterId(1), 5);
    let usual = Config::for_cluster(&cluster).expect("a cluster");
    let mut lab = Lab::with(cluster, Config { lease: Some(Drift::GENEROUS), ..usual });
    for id in lab.ids() {
        lab.fire(id, Timer::Silence);
    }
    lab.elect(0);
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    lab.transfer(0, 2);
    let late = lab.take(0, 2, "timeout-now");
    lab.lose_all();
    // 0 and 2 are cut off, and the others elect 1, whose ballot is lower than the one that 2 will
    // ask with.
    let others: NodeSet = [1, 3, 4].map(NodeId).into_iter().collect();
    let among = |lab: &mut Lab, nodes: NodeSet| {
        lab.carry_those(|flying| nodes.contains(flying.from) && nodes.contains(flying.to));
        lab.lose_all();
    };
    for id in [1, 3, 4] {
        lab.fire(id, Timer::Silence);
    }
    lab.fire(1, Timer::Election);
    among(&mut lab, others);
    lab.fire(1, Timer::Heartbeat);
    among(&mut lab, others);
    let read = lab.read(1, ReadMode::Lease);
    assert!(lab.answer(1, read).is_some_and(|answer| answer.is_ok()), "without a message");
    lab.hand(0, 2, late);
    assert!(lab.count("prepare") > 0, "it asks for the lead");
    among(&mut lab, [0, 2, 3, 4].map(NodeId).into_iter().collect());
    assert_ne!(lab.status(2).role, Role::Leader);
}
