//! What is forgotten was not needed (§7): whoever takes a snapshot, however little trails it, all
//! that clients and operators ask of the cluster then comes out as without any snapshot.

use crate::lab::Lab;
use consensus_core::{Cluster, ClusterId, NodeId, NodeSet, ProtocolConfig, ReadMode};
use synod_raft::{Config, Drift, Timer};

/// Servers of which the first three vote.
const ALL: usize = 5;

/// Something that somebody wants, of a cluster that server 0 leads.
type Wish = (&'static str, fn(&mut Lab));

const WISHES: [Wish; 14] = [
    ("a read at the leader", |lab| _ = lab.read(0, ReadMode::Index)),
    ("a read at a follower", |lab| _ = lab.read(1, ReadMode::Index)),
    ("a read by lease", |lab| _ = lab.read(0, ReadMode::Lease)),
    ("a command", |lab| lab.propose(0, "wish")),
    ("a learner", |lab| lab.change(0, |seen| seen.add_learner(NodeId(3)))),
    ("a voter", |lab| lab.change(0, |seen| seen.add_voter(NodeId(3)))),
    ("a voter less", |lab| lab.change(0, |seen| seen.remove(NodeId(2)))),
    ("another leader", |lab| lab.change(0, |seen| seen.remove(NodeId(0)))),
    ("other voters", |lab| lab.change(0, |seen| seen.remove(NodeId(2)).add_voter(NodeId(3)))),
    ("a hand-over", |lab| lab.transfer(0, 1)),
    ("an election", |lab| {
        lab.crash(0, 0);
        lab.fire(2, Timer::Election);
        lab.time_out(1);
    }),
    ("a wish to lead", |lab| lab.campaign(2)),
    ("a restart of the leader", |lab| {
        lab.crash(0, 0);
        lab.restart(0);
        (1..3).for_each(|id| lab.fire(id, Timer::Election));
        lab.time_out(0);
    }),
    ("a restart of all", |lab| {
        (0..3).for_each(|id| lab.crash(id, 0));
        (0..3).for_each(|id| lab.restart(id));
        (0..3).for_each(|id| lab.fire(id, Timer::Election));
        lab.time_out(1);
    }),
];

fn cluster(trailing: u64) -> Lab {
    let cluster = Cluster { voters: NodeSet::first(3), ..Cluster::new(ClusterId(1), ALL) };
    let usual = Config::for_cluster(&cluster).expect("a cluster");
    let lease = Some(Drift::GENEROUS);
    let config = Config { trailing_entries: trailing, held_entries: 0, lease, ..usual };
    let mut lab = Lab::with(cluster, config, vec![Vec::new(); ALL]);
    // With leases a server that has started is bound for an election timeout.
    (0..3).for_each(|id| lab.fire(id, Timer::Election));
    lab.time_out(0);
    lab.carry_all();
    for word in ["one", "two"] {
        lab.propose(0, word);
        lab.carry_all();
    }
    talk(&mut lab);
    lab
}

/// Carries all there is, with some heartbeats; snapshots are the last to arrive.
fn talk(lab: &mut Lab) {
    for _ in 0..6 {
        lab.carry_all_but_snapshots();
        for id in lab.ids() {
            if lab.timer(id, Timer::Heartbeat).is_some() {
                lab.fire(id, Timer::Heartbeat);
            }
        }
        lab.carry_all_but_snapshots();
        lab.carry_all();
    }
}

/// What the world can see: answers and refusals, and at each server how much is committed, who
/// leads, and who takes part.
fn seen(lab: &Lab) -> Vec<String> {
    let of = |id: usize| {
        if !lab.is_up(id) {
            return "down".to_owned();
        }
        let status = lab.status(id);
        let (ready, refused_reads) = (lab.ready(id), lab.refused_reads(id));
        let (changes, refused) = (lab.refused_changes(id), lab.refused(id));
        format!(
            "{ready:?} {refused_reads:?} {changes:?} {refused:?} {:?} {:?} {:?} {:?}",
            lab.words(id),
            status.role,
            status.leader,
            lab.members(id),
        )
    };
    lab.ids().map(of).collect()
}

/// Each wish, of a cluster that remembers all, and after snapshots at some servers.
fn wishes_come_true() -> Result<(), String> {
    for (wish, go) in WISHES {
        let outcome = |trailing, snapshots: &[usize]| {
            let mut lab = cluster(trailing);
            snapshots.iter().for_each(|id| lab.snapshot(*id));
            go(&mut lab);
            talk(&mut lab);
            seen(&lab)
        };
        let whole = outcome(0, &[]);
        for trailing in 0..3 {
            for snapshots in [&[0][..], &[1], &[0, 1], &[1, 2], &[0, 1, 2]] {
                let after = outcome(trailing, snapshots);
                if after != whole {
                    let how = format!("snapshots at {snapshots:?}, {trailing} trail");
                    return Err(format!("{wish}, {how}: {after:#?}, not {whole:#?}"));
                }
            }
        }
    }
    Ok(())
}

#[test]
fn whatever_is_wished_for_comes_true_after_a_snapshot_as_before() {
    wishes_come_true().unwrap_or_else(|why| panic!("{why}"));
}

/// The same sees the bugs that are planted for it.
#[cfg(feature = "mutants")]
#[test]
fn wishes_find_the_bugs_that_are_planted_for_them() {
    for bug in ["R180", "R181"] {
        consensus_core::mutant::plant(Some(bug));
        let passed = std::panic::catch_unwind(wishes_come_true).is_ok_and(|it| it.is_ok());
        consensus_core::mutant::plant(None);
        assert!(!passed, "{bug} survived");
    }
}
