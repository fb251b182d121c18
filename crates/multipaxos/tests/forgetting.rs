//! What is forgotten was not needed: whoever takes a snapshot, however little trails it, all that
//! clients and operators ask of the cluster then comes out as without any snapshot.

use crate::lab::Lab;
use consensus_core::{Change, Cluster, ClusterId, NodeId, NodeSet, ProtocolConfig, ReadMode};
use synod_multipaxos::{Config, Drift, Timer};

/// Something that somebody wants, of a cluster that replica 0 leads. A read gives its name.
type Wish = (&'static str, fn(&mut Lab) -> Option<(usize, usize)>);

const WISHES: [Wish; 14] = [
    ("a read at the leader", |lab| Some((0, lab.read(0, ReadMode::Index)))),
    ("a read at a follower", |lab| Some((1, lab.read(1, ReadMode::Index)))),
    ("a read by lease", |lab| Some((0, lab.read(0, ReadMode::Lease)))),
    ("a read without the leader", |lab| Some((2, lab.read(2, ReadMode::Quorum)))),
    ("a command", |lab| {
        lab.propose(0, "wish");
        None
    }),
    ("a learner", |lab| change(lab, |it| it.add_learner(NodeId(3)))),
    ("a voter", |lab| change(lab, |it| it.add_voter(NodeId(3)))),
    ("a voter less", |lab| change(lab, |it| it.remove(NodeId(2)))),
    ("another leader", |lab| change(lab, |it| it.remove(NodeId(0)))),
    ("other voters", |lab| change(lab, |it| it.remove(NodeId(2)).add_voter(NodeId(3)))),
    ("a hand-over", |lab| {
        lab.transfer(0, 1);
        None
    }),
    ("an election", |lab| {
        lab.crash(0, 0);
        elect_after_silence(lab, 1)
    }),
    ("a restart of the leader", |lab| {
        lab.crash(0, 0);
        lab.restart(0);
        elect_after_silence(lab, 0)
    }),
    ("a restart of all", |lab| {
        (0..3).for_each(|id| lab.crash(id, 0));
        (0..3).for_each(|id| lab.restart(id));
        elect_after_silence(lab, 1)
    }),
];

fn change(lab: &mut Lab, wish: impl FnOnce(Change) -> Change) -> Option<(usize, usize)> {
    lab.change(0, wish);
    None
}

/// All have missed their leader, and this one is the first to act.
fn elect_after_silence(lab: &mut Lab, id: usize) -> Option<(usize, usize)> {
    for silent in 0..3 {
        if lab.is_up(silent) && lab.timer(silent, Timer::Silence).is_some() {
            lab.fire(silent, Timer::Silence);
        }
    }
    lab.fire(id, Timer::Election);
    None
}

fn cluster(trailing: u64) -> Lab {
    let mut cluster = Cluster::new(ClusterId(1), 5);
    cluster.voters = NodeSet::first(3);
    let usual = Config::for_cluster(&cluster).expect("a cluster");
    let lease = Some(Drift::GENEROUS);
    let config = Config { trailing_entries: trailing, held_entries: 0, lease, ..usual };
    let mut lab = Lab::with(cluster, config);
    (3..5).for_each(|joins| lab.restart(joins));
    elect_after_silence(&mut lab, 0);
    lab.carry_all();
    for word in ["one", "two"] {
        lab.propose(0, word);
        lab.carry_all();
    }
    talk(&mut lab);
    lab
}

/// Carries all there is, with some heartbeats, and snapshots reach the disk.
fn talk(lab: &mut Lab) {
    for _ in 0..6 {
        lab.carry_all();
        for id in lab.ids() {
            if lab.is_up(id) && lab.timer(id, Timer::Heartbeat).is_some() {
                lab.fire(id, Timer::Heartbeat);
            }
        }
        lab.carry_all();
        for id in lab.ids() {
            if lab.is_up(id) {
                lab.save_received(id);
            }
        }
    }
}

/// What the world can see: the answer to a read, and at each replica what is executed and refused,
/// who leads, and who takes part.
fn seen(lab: &Lab, read: Option<(usize, usize)>) -> Vec<String> {
    let of = |id: usize| {
        if !lab.is_up(id) {
            return "down".to_owned();
        }
        let status = lab.status(id);
        let (words, refused) = (lab.words(id), (lab.refused(id), lab.refused_changes(id)));
        format!("{words:?} {refused:?} {:?} {:?} {:?}", status.role, status.leader, lab.members(id))
    };
    let answer = read.map(|(id, read)| format!("{:?}", lab.answer(id, read)));
    answer.into_iter().chain(lab.ids().map(of)).collect()
}

/// Each wish, of a cluster that remembers all, and after snapshots at some replicas.
fn wishes_come_true() -> Result<(), String> {
    for (wish, go) in WISHES {
        let outcome = |trailing, snapshots: &[usize]| {
            let mut lab = cluster(trailing);
            snapshots.iter().for_each(|id| lab.snapshot(*id));
            let read = go(&mut lab);
            talk(&mut lab);
            seen(&lab, read)
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

/// The same sees bugs that are planted about snapshots.
#[cfg(feature = "mutants")]
#[test]
fn wishes_find_bugs_that_are_planted_about_snapshots() {
    for bug in ["M71", "M77", "M97"] {
        consensus_core::mutant::plant(Some(bug));
        let passed = std::panic::catch_unwind(wishes_come_true).is_ok_and(|it| it.is_ok());
        consensus_core::mutant::plant(None);
        assert!(!passed, "{bug} survived");
    }
}
