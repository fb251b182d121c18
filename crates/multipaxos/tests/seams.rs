//! Snapshots, members, reads and hand-over, and where two of them meet: that is where consensus
//! libraries break.

use crate::lab::{Lab, batch};
use consensus_core::{
    Audit as _, Change, ChangeRefusal, Cluster, ClusterId, ConsensusProtocol as _, Input, LogIndex,
    Membership, NodeId, NodeSet, ProtocolConfig, ReadMode, Refusal, Role, SnapshotMeta,
};
use synod_multipaxos::{Config, Drift, Message, Timer};

/// A universe of nodes of which the first few vote. No slot is kept behind a snapshot.
fn universe(size: usize, voters: usize, lease: Option<Drift>) -> Lab {
    let mut cluster = Cluster::new(ClusterId(1), size);
    cluster.voters = NodeSet::first(voters);
    let usual = Config::for_cluster(&cluster).expect("a cluster");
    Lab::with(cluster, Config { trailing_entries: 0, lease, ..usual })
}

/// So many voters, no slot behind a snapshot, and what else the test wants.
fn tuned(size: usize, tune: impl FnOnce(&mut Config)) -> Lab {
    Lab::set_up(size, |config| {
        config.trailing_entries = 0;
        tune(config);
    })
}

/// Everybody hears what is chosen.
fn beat(lab: &mut Lab, leader: usize) {
    lab.fire(leader, Timer::Heartbeat);
    lab.carry_all();
}

/// A follower of which nothing was heard while two slots were chosen, and then forgotten.
fn behind_a_snapshot() -> Lab {
    behind_with(|_| {})
}

/// The same, with other settings.
fn behind_with(tune: impl FnOnce(&mut Config)) -> Lab {
    let mut lab = tuned(3, tune);
    lab.elect(0);
    for text in ["a", "b"] {
        lab.propose(0, text);
        lab.carry_all_but(NodeId(2).into());
    }
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all_but(NodeId(2).into());
    lab.snapshot(0);
    lab.snapshot(1);
    lab
}

/// Snapshot × learn: who asks for forgotten slots is told so, and takes a snapshot.
#[test]
fn a_replica_that_lags_behind_the_snapshot_is_brought_one() {
    let mut lab = behind_a_snapshot();
    assert_eq!(lab.status(0).purged, LogIndex(2));
    beat(&mut lab, 0);
    beat(&mut lab, 0);
    assert_eq!(lab.words(2), ["a", "b"]);
    assert_eq!(lab.status(2).committed, LogIndex(2));
    lab.propose(0, "c");
    lab.carry_all();
    lab.crash(2, 0);
    lab.restart(2);
    beat(&mut lab, 0);
    assert_eq!(lab.words(2), ["a", "b", "c"]);
}

/// Snapshot × phase 1: a promise says what is forgotten. Without that the slots would look unused,
/// and the new leader would fill them with no-ops.
#[test]
fn a_scout_that_lacks_forgotten_slots_takes_a_snapshot_before_it_leads() {
    let mut lab = behind_a_snapshot();
    lab.campaign(2);
    lab.carry(2, 1, "prepare");
    lab.carry(1, 2, "promise");
    assert_eq!(lab.status(2).role, Role::Follower);
    lab.carry_all();
    assert_eq!(lab.words(2), ["a", "b"]);
    lab.elect(2);
    lab.propose(2, "c");
    lab.carry_all();
    assert_eq!(lab.words(2), ["a", "b", "c"]);
}

/// Snapshot × phase 2: a leader that proposes in a slot which another has forgotten learns that it
/// is chosen, and that it can no longer be told how but by a snapshot.
#[test]
fn a_leader_that_proposes_in_forgotten_slots_stops() {
    let mut lab = universe(3, 3, None);
    lab.elect(0);
    lab.propose(0, "a");
    lab.take(0, 2, "accept");
    lab.carry_all();
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all_but(NodeId(2).into());
    lab.snapshot(1);
    // Replica 0 knows, too, but it is not asked.
    lab.crash(0, 0);
    lab.campaign(2);
    let prepare = lab.take(2, 1, "prepare");
    lab.lose_all();
    let Message::Prepare { ballot, .. } = prepare else { panic!("no prepare") };
    let accept = Message::Accept(synod_multipaxos::Accept {
        ballot,
        slot: LogIndex(1),
        batches: batch("x").into(),
        chosen: LogIndex(0),
        again: false,
    });
    lab.without_oracles(); // Nobody sends that before it was promised.
    lab.hand(2, 1, accept);
    assert_eq!(lab.count("accepted"), 0);
    lab.carry(1, 2, "forgotten");
    assert_eq!(lab.count("snapshot-ask"), 1);
}

/// Snapshot × leader: who is told by a snapshot what others chose leads no longer. Its followers
/// would take its word for what they accepted from it, where another ballot chose something else.
#[test]
fn a_leader_that_installs_a_snapshot_of_what_others_chose_stops() {
    let mut lab = universe(3, 3, None);
    lab.elect(0);
    lab.propose(0, "a");
    let membership = Membership { voters: NodeSet::first(3), ..Membership::default() };
    let meta = SnapshotMeta { index: LogIndex(4), epoch: 9, membership };
    lab.without_oracles(); // It came from a world that nobody saw.
    lab.give(0, Input::SnapshotInstalled(meta));
    assert_ne!(lab.status(0).role, Role::Leader);
    assert_eq!(lab.status(0).committed, LogIndex(4));
}

/// PMS §3, the bug M05: nothing is proposed after a change of members before it is chosen.
#[test]
fn commands_wait_for_a_change_of_members_to_be_chosen() {
    let mut lab = universe(4, 3, None);
    lab.restart(3);
    lab.elect(0);
    lab.change(0, |change| change.add_voter(NodeId(3)));
    lab.propose(0, "a");
    let Message::Accept(change) = lab.carry(0, 1, "accept") else { panic!("no accept") };
    assert_eq!((change.slot, change.batches.len()), (LogIndex(1), 1));
    assert_eq!(lab.count("accept"), 1, "the one to replica 2");
    lab.change(0, |change| change.remove(NodeId(1)));
    assert_eq!(lab.refused_changes(0), [ChangeRefusal::UnderWay]);
    lab.carry_all();
    assert_eq!(lab.voters(0), [0, 1, 2, 3]);
    assert_eq!(lab.words(0).len(), 2);
}

/// Members × phase 1: what a quorum of the old members promised is no quorum of the new ones.
#[test]
fn new_members_promise_before_anything_is_proposed_to_them() {
    let mut lab = universe(6, 3, None);
    for id in 3..6 {
        lab.restart(id);
    }
    lab.elect(0);
    lab.change(0, |change| {
        let change = change.remove(NodeId(1)).remove(NodeId(2));
        change.add_voter(NodeId(3)).add_voter(NodeId(4)).add_voter(NodeId(5))
    });
    lab.propose(0, "a");
    lab.carry(0, 1, "accept");
    lab.carry(1, 0, "accepted");
    assert_eq!(lab.voters(0), [0, 3, 4, 5]);
    assert_eq!((lab.count("prepare"), lab.count("accept")), (3, 1), "to the new; the old change");
    lab.carry(0, 3, "prepare");
    lab.carry(3, 0, "promise");
    assert_eq!(lab.count("accept"), 1, "two of four have promised");
    lab.carry(0, 4, "prepare");
    lab.carry(4, 0, "promise");
    assert_eq!(lab.count("accept"), 4, "one for each of the new members");
    lab.carry_all();
    beat(&mut lab, 0);
    beat(&mut lab, 0);
    for id in [0, 3, 4, 5] {
        assert_eq!(lab.members(id).0.version, LogIndex(1));
        assert!(lab.members(id).1, "replica {id} knows that it is final");
    }
}

/// Members × disk: who was removed may be switched off when a quorum of the others would remember
/// the change, and not before.
#[test]
fn a_change_is_final_when_the_new_members_have_it_on_disk() {
    let mut lab = universe(3, 3, None);
    lab.elect(0);
    lab.slow_disks();
    lab.change(0, |change| change.remove(NodeId(2)));
    lab.carry(0, 1, "accept");
    lab.sync(1);
    lab.carry(1, 0, "accepted");
    lab.sync(0);
    assert_eq!(lab.members(0).0.voters, NodeSet::first(2), "chosen, and in force");
    lab.sync(0);
    lab.carry(0, 1, "heartbeat");
    lab.carry(1, 0, "heartbeat-reply");
    assert!(!lab.members(0).1, "the disk of replica 1 may still lose it");
    lab.sync(1);
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert!(lab.members(0).1);
}

/// A change is chosen by the members before. If they are all that know it, they tell those who vote
/// now, though they have no vote themselves.
#[test]
fn who_votes_is_told_by_those_who_do_no_longer() {
    let mut lab = universe(2, 1, None);
    lab.restart(1);
    lab.elect(0);
    lab.change(0, |change| change.add_learner(NodeId(1)));
    lab.carry_all();
    beat(&mut lab, 0);
    lab.change(0, |change| change.add_voter(NodeId(1)).remove(NodeId(0)));
    lab.lose_all();
    lab.crash(0, 9);
    lab.restart(0);
    assert_eq!((lab.voters(0), lab.voters(1)), (vec![1], vec![0]));
    lab.fire(0, Timer::Silence);
    lab.fire(0, Timer::Election);
    lab.carry_all();
    assert_eq!(lab.voters(1), [1]);
    lab.elect(1);
}

/// A new leader that finds a change among the slots of phase 1 stops there, too.
#[test]
fn a_new_leader_finishes_a_change_that_it_finds() {
    let mut lab = universe(4, 3, None);
    lab.restart(3);
    lab.elect(0);
    lab.change(0, |change| change.add_voter(NodeId(3)));
    lab.carry(0, 1, "accept");
    lab.lose_all();
    lab.crash(0, 0);
    lab.campaign(1);
    lab.carry(1, 2, "prepare");
    lab.carry(2, 1, "promise");
    assert_eq!(lab.status(1).role, Role::Leader);
    lab.propose(1, "a");
    assert_eq!(lab.count("accept"), 2, "the change, to replicas 0 and 2");
    lab.carry_all();
    assert_eq!(lab.voters(1), [0, 1, 2, 3]);
    assert_eq!(lab.words(1)[1..], ["a"]);
}

/// PMS §3, the bug M103: a change is made for the members as of the slot before it, so that slot
/// must be decided. Otherwise a later leader may find another change there, and then this one.
#[test]
fn a_change_of_members_waits_for_earlier_slots() {
    let mut lab = universe(4, 3, None);
    lab.elect(0);
    lab.propose(0, "a");
    lab.lose_all();
    lab.change(0, |change| change.add_voter(NodeId(3)));
    assert_eq!((lab.count("accept"), lab.disk(0).len()), (0, 2), "its promise, and slot 1");
    for _ in 0..2 {
        lab.fire(0, Timer::Retry); // What is open is sent again.
    }
    lab.carry_all();
    assert_eq!(lab.voters(0), [0, 1, 2, 3]);
}

/// PMS §2.2, P2c, for changes: one that was accepted by too few, and outdone since, stays undone
/// when its acceptor is asked by a later leader.
#[test]
fn a_stale_change_is_not_taken_up_again() {
    let mut lab = universe(5, 3, None);
    lab.elect(0);
    lab.change(0, |change| change.add_voter(NodeId(3)));
    lab.lose_all(); // Replica 0 alone has accepted it, in slot 1.
    lab.campaign(1);
    lab.carry_all_but(NodeId(0).into());
    assert_eq!(lab.status(1).role, Role::Leader);
    lab.propose(1, "a");
    lab.carry(1, 2, "accept");
    lab.carry(2, 1, "accepted");
    assert_eq!(lab.words(1), ["a"], "chosen, and replica 2 does not know");
    lab.crash(1, 0);
    lab.lose_all();
    lab.campaign(2);
    lab.carry_all();
    assert_eq!(lab.status(2).role, Role::Leader, "elected by the acceptor of the stale change");
    beat(&mut lab, 2);
    for id in [0, 2] {
        let members = lab.members(id).0;
        assert_eq!((members.version, members.voters), (LogIndex(0), NodeSet::first(3)));
        assert_eq!(lab.words(id), ["a"]);
    }
}

/// Raft §5.4 has the word, O5: a leader that still adopts what phase 1 found, up to a change of
/// members, does not know yet what was chosen behind it, and does not pass for one that does.
#[test]
fn a_leader_that_adopts_a_change_is_no_leader_to_others_yet() {
    let mut lab = universe(5, 3, None);
    for joins in [3, 4] {
        lab.restart(joins);
    }
    lab.elect(0);
    lab.lose_all();
    let come = [NodeId(3), NodeId(4)].into_iter().collect();
    lab.change(0, |change| Change { voters: NodeSet::only(NodeId(0)).or(come), ..change });
    lab.carry(0, 1, "accept");
    lab.carry(1, 0, "accepted");
    lab.propose(0, "a");
    lab.carry_all_but([NodeId(1), NodeId(2)].into_iter().collect());
    assert_eq!(lab.words(0)[1..], ["a"], "chosen by those who vote after slot 1");
    lab.crash(0, 0);
    lab.campaign(2); // It knows of nothing, and replica 1 not that the change is chosen.
    lab.carry(2, 1, "prepare");
    lab.carry(1, 2, "promise");
    assert_eq!((lab.status(2).role, lab.replica(2).leads()), (Role::Leader, None));
    let read = lab.read(2, ReadMode::Index);
    assert_eq!(lab.answer(2, read), None, "it knows less than was told");
    lab.carry_all();
    assert_eq!(lab.words(2)[1..], ["a"]);
}

/// A quorum of one: the last voter needs nobody's answer to lead, and only its own disk to choose.
#[test]
fn a_sole_voter_leads_again_after_a_restart() {
    let mut lab = universe(3, 3, None);
    lab.elect(0);
    lab.change(0, |change| change.remove(NodeId(1)).remove(NodeId(2)));
    lab.carry_all();
    assert_eq!(lab.voters(0), [0]);
    for gone in [1, 2] {
        lab.crash(gone, 0);
    }
    lab.crash(0, 0);
    lab.restart(0);
    lab.lose_all();
    lab.slow_disks();
    lab.fire(0, Timer::Silence);
    lab.fire(0, Timer::Election);
    assert_ne!(lab.status(0).role, Role::Leader, "its own promise is not on disk yet");
    lab.sync(0);
    assert_eq!(lab.status(0).role, Role::Leader);
    lab.propose(0, "alone");
    lab.sync(0);
    assert_eq!(lab.words(0).last().map(String::as_str), Some("alone"));
}

/// The second of two, and the last but one: the old members decide, and the new one is enough then.
#[test]
fn a_cluster_shrinks_to_one_and_grows_again() {
    let mut lab = universe(3, 2, None);
    lab.elect(0);
    lab.change(0, |change| change.remove(NodeId(1)));
    assert_eq!(lab.voters(0), [0, 1], "replica 1 has to agree");
    lab.carry_all();
    assert_eq!(lab.members(0).0.voters, NodeSet::first(1));
    lab.crash(1, 0);
    lab.propose(0, "alone");
    lab.carry_all();
    assert_eq!(lab.words(0)[1..], ["alone"]);
    lab.restart(2);
    lab.change(0, |change| change.add_voter(NodeId(2)));
    lab.carry_all();
    beat(&mut lab, 0);
    beat(&mut lab, 0);
    assert_eq!((lab.voters(2), lab.members(2).1), (vec![0, 2], true));
}

/// A change is made on the members that the operator saw, or not at all.
#[test]
fn a_change_on_an_old_view_is_refused() {
    let mut lab = universe(4, 3, None);
    lab.elect(0);
    let seen = lab.members(0).0;
    lab.change(0, |change| change.add_learner(NodeId(3)));
    lab.carry_all();
    let late = Change::of(&seen).remove(NodeId(2));
    lab.give(0, Input::Change(late));
    assert_eq!(lab.refused_changes(0), [ChangeRefusal::Version(LogIndex(1))]);
    lab.change(1, |change| change.remove(NodeId(2)));
    assert_eq!(lab.refused_changes(1), [ChangeRefusal::NotLeader(Some(NodeId(0)))]);
}

/// A leader that is removed leads until the others know that it is, and then gives way.
#[test]
fn a_removed_leader_makes_room() {
    let mut lab = universe(3, 3, None);
    lab.elect(0);
    lab.change(0, |change| change.remove(NodeId(0)));
    lab.carry_all();
    for _ in 0..3 {
        if lab.status(0).role == Role::Leader {
            beat(&mut lab, 0);
        }
    }
    assert_ne!(lab.status(0).role, Role::Leader);
    let leader = (1..3).find(|id| lab.status(*id).role == Role::Leader).expect("it was told to");
    lab.propose(leader, "a");
    lab.carry_all();
    assert_eq!(lab.words(leader)[1..], ["a"]);
    lab.fire(0, Timer::Election);
    assert_eq!(lab.count("canvass"), 0, "who does not vote does not ask either");
}

/// Members × snapshot: a snapshot says who voted as of its slot, not who votes by now.
#[test]
fn a_snapshot_is_kept_with_the_members_of_its_slot() {
    let mut lab = universe(4, 3, None);
    lab.elect(0);
    lab.propose(0, "a");
    lab.carry_all();
    lab.change(0, |change| change.add_voter(NodeId(3)));
    lab.carry_all();
    let voters = |lab: &Lab, index| {
        let meta = lab.replica(0).snapshot_meta(LogIndex(index)).expect("executed");
        meta.membership.voters.len()
    };
    assert_eq!((voters(&lab, 1), voters(&lab, 2)), (3, 4));
    assert_eq!(lab.replica(0).snapshot_meta(LogIndex(3)), None);
}

/// A client must not write what the replicas would take for a change of members.
#[test]
fn a_client_cannot_change_members_by_a_command() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    let forged = Membership { voters: NodeSet::only(NodeId(0)), ..Membership::default() };
    lab.give(0, Input::Propose(forged.to_batch()));
    assert_eq!(lab.refused(0), [Refusal::Unsupported]);
}

/// Raft thesis §6.4, step 1: a new leader must know what was chosen before it.
#[test]
fn a_new_leader_reads_when_all_of_phase_1_is_chosen() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.propose(0, "a");
    lab.carry_all_but(NodeId(2).into()); // Chosen, and only replica 0 knows.
    lab.campaign(1);
    lab.carry(1, 2, "prepare");
    lab.carry(2, 1, "promise");
    assert_eq!(lab.status(1).role, Role::Leader);
    let read = lab.read(1, ReadMode::Index);
    lab.carry(1, 2, "heartbeat");
    lab.carry(2, 1, "heartbeat-reply");
    assert_eq!(lab.answer(1, read), None);
    lab.carry_all();
    assert_eq!(lab.answer(1, read), Some(Ok(1)));
}

/// Thesis §6.4, step 3: a round of heartbeats that began after the read came, for all that wait.
#[test]
fn reads_wait_for_a_round_that_began_after_they_came() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    let first = lab.read(0, ReadMode::Index);
    let [second, third] = [0; 2].map(|_| lab.read(0, ReadMode::Index));
    lab.carry(0, 1, "heartbeat");
    lab.carry(1, 0, "heartbeat-reply");
    assert_eq!(lab.answer(0, first), Some(Ok(0)));
    assert_eq!((lab.answer(0, second), lab.answer(0, third)), (None, None));
    lab.carry_all();
    assert_eq!((lab.answer(0, second), lab.answer(0, third)), (Some(Ok(0)), Some(Ok(0))));
}

/// Thesis §6.4: a follower asks the leader for the index. An answer to an earlier life of the
/// follower is about a read of that life.
#[test]
fn a_follower_reads_through_its_leader() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    beat(&mut lab, 0);
    let old = lab.read(1, ReadMode::Index);
    lab.carry(1, 0, "read");
    lab.carry(0, 2, "heartbeat");
    lab.carry(2, 0, "heartbeat-reply");
    let late = lab.take(0, 1, "read-reply");
    assert_eq!(lab.answer(1, old), None);
    lab.crash(1, 0);
    lab.propose(0, "a");
    lab.carry_all();
    lab.restart(1);
    beat(&mut lab, 0);
    let read = lab.read(1, ReadMode::Index);
    lab.hand(0, 1, late);
    assert_eq!(lab.answer(1, read), None);
    lab.carry_all();
    assert_eq!(lab.answer(1, read), Some(Ok(1)));
}

/// Hand-over × lease read: the lease ends when another may be elected.
#[test]
fn a_lease_ends_when_the_leader_gives_way() {
    let mut lab = universe(3, 3, Some(Drift::GENEROUS));
    for id in 0..3 {
        lab.fire(id, Timer::Silence);
    }
    lab.elect(0);
    beat(&mut lab, 0);
    let read = lab.read(0, ReadMode::Lease);
    assert_eq!(lab.answer(0, read), Some(Ok(0)), "without a message");
    lab.campaign(2);
    assert_eq!(lab.count("prepare"), 0, "a wish goes through the leader");
    lab.carry(2, 0, "wish");
    lab.propose(0, "late");
    assert_eq!(lab.refused(0), [Refusal::Busy]);
    assert_eq!(lab.count("timeout-now"), 1);
    let read = lab.read(0, ReadMode::Lease);
    assert_eq!(lab.answer(0, read), None, "replica 2 may lead by now");
    lab.carry_all();
    assert_eq!(lab.status(2).role, Role::Leader);
    assert!(matches!(lab.answer(0, read), Some(Err(Refusal::NotLeader(_)))));
}

/// Lease × phase 1: who heard a leader, or has just started, promises nothing to another.
#[test]
fn acceptors_hold_back_their_promise_while_a_lease_may_run() {
    let mut lab = universe(3, 3, Some(Drift::GENEROUS));
    for id in 0..3 {
        lab.fire(id, Timer::Silence);
    }
    lab.elect(0);
    lab.crash(2, 0);
    lab.restart(2);
    lab.fire(1, Timer::Silence);
    lab.campaign(1);
    lab.carry(1, 2, "prepare");
    assert_eq!(lab.count("promise"), 0, "replica 2 may have followed before it crashed");
    lab.fire(2, Timer::Silence);
    lab.fire(1, Timer::Retry);
    lab.carry(1, 2, "prepare");
    assert_eq!(lab.count("promise"), 1);
}

/// Lease × members: those who gave the lease may not be asked by the next leader.
#[test]
fn a_lease_ends_when_others_vote() {
    let mut lab = universe(5, 3, Some(Drift::GENEROUS));
    lab.restart(3);
    lab.restart(4);
    for id in 0..5 {
        lab.fire(id, Timer::Silence);
    }
    lab.elect(0);
    beat(&mut lab, 0);
    lab.change(0, |change| {
        let change = change.remove(NodeId(1)).remove(NodeId(2));
        change.add_voter(NodeId(3)).add_voter(NodeId(4))
    });
    for id in [1, 2] {
        lab.carry(0, id, "accept");
        lab.carry(id, 0, "accepted");
    }
    for id in [3, 4] {
        lab.carry(0, id, "prepare");
        lab.carry(id, 0, "promise");
    }
    let read = lab.read(0, ReadMode::Lease);
    assert_eq!(lab.answer(0, read), None);
    lab.carry_all();
    assert_eq!(lab.answer(0, read), Some(Ok(1)));
}

/// PQR: what was accepted by a quorum before may be chosen, though nobody here knows; the read
/// waits for it.
#[test]
fn a_quorum_read_waits_for_the_last_accepted_slot() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.propose(0, "a");
    lab.carry(0, 1, "accept");
    lab.carry(1, 0, "accepted"); // Chosen, and acknowledged.
    let read = lab.read(2, ReadMode::Quorum);
    lab.carry(2, 1, "quorum-read");
    lab.carry(1, 2, "quorum-read-reply");
    assert_eq!(lab.answer(2, read), None);
    lab.carry_all();
    beat(&mut lab, 0);
    assert_eq!(lab.answer(2, read), Some(Ok(1)));
}

/// Restart × quorum read: rounds are numbered anew in each life, so that an answer to the last life
/// would tell the reader of now what was accepted before its question.
#[test]
fn an_answer_to_a_quorum_read_of_an_earlier_life_counts_for_nobody() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.read(2, ReadMode::Quorum);
    lab.carry(2, 1, "quorum-read");
    let late = lab.take(1, 2, "quorum-read-reply");
    lab.crash(2, 0);
    lab.restart(2);
    lab.propose(0, "a");
    lab.carry(0, 1, "accept");
    lab.carry(1, 0, "accepted"); // Chosen, and acknowledged.
    let read = lab.read(2, ReadMode::Quorum);
    lab.hand(1, 2, late);
    assert_eq!(lab.answer(2, read), None);
    lab.carry(2, 1, "quorum-read");
    lab.carry_all();
    beat(&mut lab, 0);
    assert_eq!(lab.answer(2, read), Some(Ok(1)));
}

/// Purge × quorum read: who has forgotten its slots has accepted them nevertheless.
#[test]
fn a_quorum_read_counts_forgotten_slots() {
    let mut lab = behind_a_snapshot();
    let read = lab.read(2, ReadMode::Quorum);
    lab.carry(2, 1, "quorum-read");
    lab.carry(1, 2, "quorum-read-reply");
    assert_eq!(lab.answer(2, read), None);
    beat(&mut lab, 0);
    beat(&mut lab, 0);
    assert_eq!(lab.answer(2, read), Some(Ok(2)));
}

/// Members × quorum read: a reader that did not know of a change asks the new members, too.
#[test]
fn a_quorum_read_asks_again_if_others_vote_by_then() {
    let mut lab = universe(5, 3, None);
    lab.restart(3);
    lab.restart(4);
    lab.elect(0);
    lab.change(0, |change| {
        let change = change.remove(NodeId(1)).remove(NodeId(2));
        change.add_voter(NodeId(3)).add_voter(NodeId(4))
    });
    lab.carry_all_but(NodeId(2).into());
    lab.propose(0, "a");
    lab.carry_all_but(NodeId(2).into());
    // Replica 2 asks itself and replica 1, which vote no more and know of slot 1 only.
    let read = lab.read(2, ReadMode::Quorum);
    lab.carry(2, 1, "quorum-read");
    lab.carry(1, 2, "quorum-read-reply");
    lab.lose_all();
    lab.hand(2, 0, Message::Learn { from: LogIndex(1) });
    let Message::Learned { from, batches, .. } = lab.take(0, 2, "learned") else { panic!() };
    let first = batches.into_iter().take(1).collect();
    lab.hand(0, 2, Message::Learned { from, batches: first, chosen: LogIndex(1) });
    assert_eq!(lab.answer(2, read), None);
    lab.carry_all();
    assert_eq!(lab.answer(2, read), None, "slot 2 was accepted by a quorum of the new");
    lab.hand(2, 0, Message::Learn { from: LogIndex(2) });
    lab.carry_all();
    assert_eq!(lab.answer(2, read), Some(Ok(2)));
}

/// A hand-over has a deadline, after which the leader goes on.
#[test]
fn a_hand_over_that_comes_to_nothing_ends() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.transfer(0, 2);
    lab.propose(0, "a");
    lab.change(0, |change| change.remove(NodeId(2)));
    assert_eq!(lab.refused(0), [Refusal::Busy]);
    assert_eq!(lab.refused_changes(0), [ChangeRefusal::UnderWay], "nothing new begins");
    lab.keep(|flying| flying.from != NodeId(2) && flying.to != NodeId(2));
    lab.fire(0, Timer::Transfer);
    lab.propose(0, "b");
    lab.carry_all();
    assert_eq!((lab.status(0).role, lab.words(0)), (Role::Leader, vec!["b".to_owned()]));
    assert_eq!(lab.timer(0, Timer::Transfer), None);
}

/// A voter of a higher priority that keeps up is handed the leadership.
#[test]
fn a_higher_priority_is_preferred() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    beat(&mut lab, 0);
    let Message::Heartbeat { ballot, round, .. } = ({
        lab.fire(0, Timer::Heartbeat);
        lab.take(0, 2, "heartbeat")
    }) else {
        panic!("no heartbeat")
    };
    let glad = Message::HeartbeatReply { ballot, known: LogIndex(0), round, priority: 7 };
    lab.hand(2, 0, glad);
    lab.fire(0, Timer::CheckQuorum);
    lab.carry_all();
    assert_eq!(lab.status(2).role, Role::Leader);
}

/// Field notes, conclusion 5: heartbeats run though the disk stands still, so the leader must look.
#[test]
fn a_leader_whose_disk_stands_still_steps_down_and_does_not_come_back() {
    let mut lab = Lab::new(3);
    lab.elect(0);
    lab.slow_disks();
    lab.propose(0, "a");
    for _ in 0..2 {
        if lab.status(0).role == Role::Leader {
            beat(&mut lab, 0);
            lab.fire(0, Timer::CheckQuorum);
        }
    }
    assert_eq!(lab.status(0).role, Role::Follower);
    lab.lose_all();
    lab.fire(0, Timer::Election);
    assert_eq!(lab.count("canvass"), 0);
    lab.sync(0);
    lab.fire(0, Timer::Election);
    assert_eq!(lab.count("canvass"), 2);
}

/// Replica 2 has been told that what it lacks is forgotten, and a snapshot is on its way to it.
fn receives_a_snapshot() -> Lab {
    receives_with(|_| {})
}

/// The same, with other settings.
fn receives_with(tune: impl FnOnce(&mut Config)) -> Lab {
    let mut lab = behind_with(tune);
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all_but_snapshots();
    assert!(lab.count("snapshot-chunk") > 0, "on its way");
    lab
}

/// Snapshot × load: what follows a snapshot that is on its way stays, although the leader takes
/// newer ones; once the receiver has caught up, all goes as usual.
#[test]
fn what_a_receiver_of_a_snapshot_needs_stays_until_it_has_caught_up() {
    let mut lab = receives_a_snapshot();
    for text in ["c", "d", "e"] {
        lab.propose(0, text);
        lab.carry_all_but_snapshots();
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all_but_snapshots();
        lab.snapshot(0);
    }
    assert_eq!(lab.status(0).purged, LogIndex(2), "kept from that snapshot on");
    lab.carry_all();
    beat(&mut lab, 0);
    assert_eq!(lab.words(2), ["a", "b", "c", "d", "e"]);
    lab.propose(0, "f");
    lab.carry_all();
    beat(&mut lab, 0);
    lab.snapshot(0);
    assert_eq!(lab.status(0).purged, LogIndex(6), "nobody needs anything now");
}

/// Nobody is waited for who falls silent.
#[test]
fn nothing_is_kept_for_a_receiver_that_falls_silent() {
    let mut lab = receives_a_snapshot();
    lab.crash(2, 0);
    for _ in 0..2 {
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all_but(NodeId(2).into());
        lab.fire(0, Timer::CheckQuorum);
    }
    lab.propose(0, "c");
    lab.carry_all_but(NodeId(2).into());
    lab.snapshot(0);
    assert_eq!(lab.status(0).purged, LogIndex(3));
}

/// And nobody is waited for beyond what may be held, in slots or in bytes: a replica that is heard
/// and never has its snapshot, because its disk finishes nothing.
#[test]
fn what_is_held_for_a_receiver_is_bounded() {
    // A value of one letter counts 29 bytes of header, and 64 for its slot.
    for (entries, bytes, left) in [(3, usize::MAX, 3), (u64::MAX, 2 * 94, 2)] {
        let mut lab = receives_with(|config| {
            (config.held_entries, config.held_bytes) = (entries, bytes);
        });
        for text in ["c", "d", "e", "f", "g"] {
            lab.propose(0, text);
            lab.carry_all_but_snapshots();
        }
        beat_but_snapshots(&mut lab);
        lab.snapshot(0);
        let status = lab.status(0);
        assert_eq!(status.last.0 - status.purged.0, left, "{entries} slots, {bytes} bytes");
        lab.carry_all();
        beat(&mut lab, 0);
        assert_eq!(lab.words(2).len(), 7, "it takes a newer one, and has all");
    }
}

/// A heartbeat, and all that it brings about but snapshots.
fn beat_but_snapshots(lab: &mut Lab) {
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all_but_snapshots();
}

/// What trails a snapshot is bounded in bytes as well as in slots: 4,096 slots of large batches
/// would be gigabytes.
#[test]
fn trailing_slots_are_bounded_in_bytes() {
    let mut lab = tuned(1, |config| {
        (config.trailing_entries, config.trailing_bytes) = (8, 2 * (40 + 93));
    });
    lab.elect(0);
    for letter in ["a", "b", "c", "d", "e"] {
        lab.propose(0, &letter.repeat(40));
    }
    lab.snapshot(0);
    let status = lab.status(0);
    assert_eq!((status.last.0, status.purged.0), (5, 3), "two values fit");
}
