//! What must come about, or must not, while nobody writes and whatever the clocks show: two things
//! that a busy cluster hides.

use crate::lab::{Lab, disk};
use consensus_core::{
    Cluster, ClusterId, Drift, Input, Message as _, NodeId, NodeSet, ProtocolConfig, ReadMode,
};
use synod_raft::{Config, Repair, Timer};

fn set(ids: &[usize]) -> NodeSet {
    ids.iter().map(|id| NodeId(*id as u8)).collect()
}

/// What the leader and one follower hold, and how many AppendEntries to the follower get lost
/// before the links are good.
#[derive(Clone, Debug)]
struct Parted {
    leader: Vec<u64>,
    follower: Vec<u64>,
    trailing: u64,
    lost: usize,
    repair: Repair,
}

/// Leaders with logs of terms 1 and 3, and a follower whose log parts anywhere from theirs: it led
/// once, or followed others, for as long as you like.
fn cases() -> Vec<Parted> {
    let mut cases = Vec::new();
    for leader in [&[1, 1, 3, 3][..], &[1, 1, 1], &[3]] {
        for agree in 0..=leader.len() {
            let term = if agree > 0 && leader[agree - 1] == 3 { 4 } else { 2 };
            for tail in [0, 1, 4, 9] {
                let follower = [&leader[..agree], &vec![term; tail]].concat();
                for (trailing, lost) in (0..3).flat_map(|it| [(it, 0), (it, 1), (it, 3)]) {
                    for repair in [Repair::Hints, Repair::Decrement] {
                        let (leader, follower) = (leader.to_vec(), follower.clone());
                        cases.push(Parted { leader, follower, trailing, lost, repair });
                    }
                }
            }
        }
    }
    cases
}

/// One round of heartbeats; what is to be appended at server 2 gets lost.
fn beat_in_vain(lab: &mut Lab) {
    lab.fire(0, Timer::Heartbeat);
    lab.carry_those(|it| it.to != NodeId(2) || !it.message.kind().name.starts_with("append"));
    lab.lose_all();
}

/// §5.3, §7: a leader brings every follower up to date, whatever that holds and whatever is
/// forgotten; and it takes no further command for that.
fn a_follower_is_fed_though_nobody_writes() {
    for case in cases() {
        let cluster = Cluster::new(ClusterId(1), 3);
        let mut config = Config::for_cluster(&cluster).expect("a cluster");
        (config.trailing_entries, config.repair) = (case.trailing, case.repair);
        let disks = [&case.leader, &case.leader, &case.follower].map(|log| disk(4, log));
        let mut lab = Lab::with(cluster, config, disks.to_vec());
        lab.elect_with(0, &[1]);
        lab.carry_all_but(set(&[2]));
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all_but(set(&[2]));
        lab.try_snapshot(0);
        lab.carry_all_but(set(&[2]));
        (0..case.lost).for_each(|_| beat_in_vain(&mut lab));
        for _ in 0..24 {
            lab.fire(0, Timer::Heartbeat);
            lab.carry_all();
        }
        assert_eq!(lab.commit_index(2), case.leader.len() as u64 + 1, "{case:?}");
        let (own, theirs) = (lab.log(2), lab.log(0));
        let both = own.len().min(theirs.len());
        assert_eq!(own[own.len() - both..], theirs[theirs.len() - both..], "{case:?}");
        assert_eq!(lab.status(2).last, lab.status(0).last, "{case:?}");
    }
}

/// All lists of so many modes.
fn mixtures(length: usize) -> Vec<Vec<ReadMode>> {
    let Some(shorter) = length.checked_sub(1).map(mixtures) else { return vec![Vec::new()] };
    let longer = |mode: ReadMode| shorter.iter().map(move |rest| [&rest[..], &[mode]].concat());
    [ReadMode::Index, ReadMode::Lease].into_iter().flat_map(longer).collect()
}

/// Thesis §6.4: ReadIndex trusts no clock. Clocks run as they like here: the old leader's stands,
/// and those of a majority race, so that another leads and commits within its lease. Reads by
/// lease may then be anything; reads by index, together with such or not, at the old leader or at
/// one that still follows it, wait or see what was committed.
fn index_reads_trust_no_clock() {
    for reads in (1..=3).flat_map(mixtures) {
        for at in [0, 4] {
            let mut lab = Lab::set_up(5, |config| config.lease = Some(Drift::GENEROUS));
            lab.without_oracles(); // They would see that reads by lease are stale.
            for (servers, next) in [(&[0, 1, 2, 3, 4][..], 0), (&[1, 2, 3], 1)] {
                for server in servers {
                    lab.time_out(*server);
                    lab.lose_all();
                }
                lab.fire(next, Timer::Election);
                if next == 0 {
                    lab.carry_all();
                    lab.fire(0, Timer::Heartbeat);
                    lab.carry_all();
                }
            }
            lab.carry_all_but(set(&[0, 4]));
            lab.propose(1, "new");
            lab.carry_all_but(set(&[0, 4]));
            let owed = lab.commit_index(1);
            assert!(owed > lab.commit_index(0), "another leads, and has committed");
            for mode in &reads {
                lab.on(at, |stage, id| _ = stage.give_read(id, *mode));
            }
            lab.give(at, Input::Drained);
            lab.carry_all_but(set(&[1, 2, 3]));
            lab.fire(0, Timer::Heartbeat);
            lab.carry_all_but(set(&[1, 2, 3]));
            for (name, index) in lab.ready(at) {
                let by_lease = reads[name - 1] == ReadMode::Lease;
                assert!(by_lease || index >= owed, "at {at}, {reads:?}: read {name} gets {index}");
            }
            let alone = reads.iter().all(|mode| *mode == ReadMode::Lease);
            let answered = lab.ready(at).len();
            assert_eq!(answered > 0, alone || at == 0 && reads.contains(&ReadMode::Lease));
        }
    }
}

#[test]
fn every_follower_is_fed_though_nobody_writes() {
    a_follower_is_fed_though_nobody_writes();
}

#[test]
fn reads_by_index_trust_no_clock() {
    index_reads_trust_no_clock();
}

/// The test above sees the bug that is planted for it.
#[cfg(feature = "mutants")]
#[test]
fn a_read_by_index_that_trusts_clocks_is_found() {
    consensus_core::mutant::plant(Some("R201"));
    let passed = std::panic::catch_unwind(index_reads_trust_no_clock).is_ok();
    consensus_core::mutant::plant(None);
    assert!(!passed, "R201 is not found");
}
