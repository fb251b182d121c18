//! The stage: what each step does and does not, and that the oracles look at every one.

use crate::toy::{Config, Mistake, Toy};
use consensus_core::{Cluster, ClusterId, LogIndex, NodeId, NodeSet, ProtocolConfig};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};
use synod_sim::{Clocks, Impossible, Scenario, Scene, Stage, Table};

const N0: NodeId = NodeId(0);
const N1: NodeId = NodeId(1);

fn stage_of(mistake: Mistake) -> Stage<Toy> {
    let cluster = Cluster::new(ClusterId(1), 3);
    let config = Config { mistake, ..Config::for_cluster(&cluster).expect("a cluster") };
    Stage::new(Scene::new(cluster, config))
}

/// Performs lines of a scenario.
fn perform(stage: &mut Stage<Toy>, lines: &str) -> Result<(), Impossible> {
    let scenario = Scenario::parse(&format!("algo toy\nnodes 3\n{lines}")).expect("good lines");
    scenario.steps().try_for_each(|step| stage.perform(step))
}

/// Eight commands are proposed, appended, acknowledged, decided, and told to the followers.
fn rounds(stage: &mut Stage<Toy>, followers_sync: bool) -> Result<(), Impossible> {
    for round in 0..8 {
        if stage.violation().is_some() {
            return Ok(());
        }
        perform(stage, &format!("propose n0 \"{round}\"\nsync n0"))?;
        perform(stage, "deliver append n0 -> n1 n2")?;
        if followers_sync {
            perform(stage, "sync n1\nsync n2")?;
        }
        perform(stage, "deliver ack n1 n2 -> n0\ntimeout n0 ()\ndeliver beat n0 -> n1 n2")?;
    }
    Ok(())
}

/// Which oracle sees this mistake on the stage?
fn seen(mistake: Mistake) -> Option<&'static str> {
    let mut stage = stage_of(mistake);
    if let Err(why) = rounds(&mut stage, mistake != Mistake::NoSync) {
        assert!(stage.violation().is_some(), "{mistake:?}: {why}"); // Then nothing moves any more.
    }
    for node in ["n0", "n1"] {
        if stage.violation().is_none() {
            perform(&mut stage, &format!("crash {node}\nrestart {node}")).expect("it runs");
        }
    }
    for _ in 0..1_000 {
        if stage.violation().is_none() {
            perform(&mut stage, "timeout n0 ()").expect("the leader beats");
        }
    }
    stage.violation().map(|violation| violation.oracle)
}

/// Design, 5: oracles look at every step. Each is proven by a mistake that it must see.
#[test]
fn the_oracles_look_at_the_stage_as_they_do_at_the_world() {
    for (mistake, oracle) in [
        (Mistake::AnotherBatch, "O1"),
        (Mistake::MadeUp, "O2"),
        (Mistake::SecondLeader, "O3"),
        (Mistake::Gap, "O4"),
        (Mistake::WrongEntry, "O4"),
        (Mistake::Forgetful, "O5"),
        (Mistake::NoSync, "O6"),
        (Mistake::TakesBack, "O7"),
        (Mistake::EpochFalls, "O8"),
        (Mistake::CountsAll, "O16"),
        (Mistake::Halts, "O18"),
        (Mistake::CannotRecover, "O18"),
    ] {
        assert_eq!(seen(mistake), Some(oracle), "{mistake:?}");
    }
    assert_eq!(seen(Mistake::None), None);
}

/// O20: a stage, like a world, goes over the whole state of a replica now and then; a table does
/// after every step, also where the other oracles see nothing.
#[test]
fn a_table_looks_closely_at_every_step() {
    let mut stage = stage_of(Mistake::UnsoundOnce);
    (0..80).for_each(|_| stage.fire(N0, ()));
    assert_eq!(stage.violation(), None, "seldom");
    for blind in [false, true] {
        let mut table = Table::<Toy>::set_up(3, |config| config.mistake = Mistake::UnsoundOnce);
        if blind {
            table.without_oracles();
        }
        let beats = catch_unwind(AssertUnwindSafe(|| (0..80).for_each(|_| table.fire(0, ()))));
        assert!(beats.is_err(), "always; blind: {blind}");
    }
}

#[test]
fn a_promise_waits_for_the_sync_and_a_crash_keeps_what_it_says() {
    let mut stage = stage_of(Mistake::None);
    perform(&mut stage, "propose n0 \"a\"\nsync n0\ndeliver append n0 -> n1").expect("it can be");
    let early = perform(&mut stage, "deliver ack n1 -> n0").unwrap_err();
    assert!(early.to_string().contains("no such ack"), "{early}");
    perform(&mut stage, "propose n0 \"b\"\nsync n0\ndeliver append n0 -> n1\nsync n1 but 1")
        .expect("so far");
    assert_eq!(stage.disk(N1).len(), 2);
    perform(&mut stage, "deliver ack n1 -> n0").expect("the first is synced");
    let second = perform(&mut stage, "deliver ack n1 -> n0");
    assert!(second.is_err(), "the second is not");
    perform(&mut stage, "crash n1").expect("it runs");
    assert_eq!(stage.disk(N1).len(), 1, "what was not synced is lost");
    assert!(perform(&mut stage, "crash n1").is_err(), "it is down");
    assert!(perform(&mut stage, "deliver append n0 -> n1").is_err(), "it hears nothing");
    perform(&mut stage, "propose n0 \"c\"\npropose n0 \"d\"").expect("the leader takes them");
    perform(&mut stage, "crash n0 keep 1\nrestart n0").expect("it runs");
    assert_eq!(stage.disk(N0).len(), 3, "one that was not synced survives by luck");
    assert_eq!(stage.status(N0).expect("it runs").last, LogIndex(3));
}

/// Thesis §6.4.1: a follower's promise lasts an election timeout, so that no timer may fire before
/// its time where leases are judged. The clock of n0 is slow: the true time will do.
#[test]
fn where_time_passes_no_timer_fires_before_it_is_due() {
    for (rate, shown) in [(9_000, 45), (10_000, 50), (11_000, 55)] {
        let cluster = Cluster::new(ClusterId(1), 3);
        let config = Config::for_cluster(&cluster).expect("a cluster");
        let clocks = Some(Clocks { rates: vec![rate, 10_000, 10_000] });
        let mut stage: Stage<Toy> = Stage::new(Scene { clocks, ..Scene::new(cluster, config) });
        let early = stage.timers(N0)[&()].min;
        assert_eq!(early.as_millis(), 50, "the toy beats so often");
        let at = |micros: u64| format!("clocks\nat {micros}us timeout n0 ()");
        // By a quick clock it is due when that shows 50 ms.
        let due = if shown > 50 { 50_000 * 50 / shown + 1 } else { 50_000 };
        let refused = perform(&mut stage, &at(due - 100)).unwrap_err().to_string();
        assert!(refused.contains("was set"), "{rate}: {refused}");
        perform(&mut stage, &at(due)).expect("it is due");
        let refused = perform(&mut stage, &at(due + 1_000)).unwrap_err().to_string();
        assert!(refused.contains("for 50ms at least"), "{rate}: set anew: {refused}");
    }
    let refused = stage_of(Mistake::None).wait_until(Duration::from_secs(1)).unwrap_err();
    assert!(refused.to_string().contains("'clocks'"), "{refused}");
}

#[test]
fn messages_arrive_once_unless_doubled_and_not_if_lost() {
    let mut stage = stage_of(Mistake::None);
    perform(&mut stage, "propose n0 \"a\"\npropose n0 \"b\"\nsync n0")
        .expect("the leader takes them");
    perform(&mut stage, "dup append n0 -> n1\ndeliver append n0 -> n1\ndrop append n0 -> n2")
        .expect("two copies, and one less");
    assert_eq!(stage.disk(N1).len(), 1, "the same entry twice is one");
    perform(&mut stage, "deliver append n0 -> n1").expect("the second");
    assert_eq!(stage.disk(N1).len(), 2);
    assert!(perform(&mut stage, "deliver append n0 -> n1").is_err(), "nothing is left");
    perform(&mut stage, "deliver append n0 -> n2").expect("the second");
    assert_eq!(stage.disk(NodeId(2)).len(), 0, "the first was lost, so there would be a hole");
}

#[test]
fn a_node_can_crash_in_the_midst_of_a_step() {
    for (effects, beats) in [(1, 1), (2, 2)] {
        let mut stage = stage_of(Mistake::None);
        perform(&mut stage, "propose n0 \"a\"").expect("the leader takes it");
        // The leader sets its timer, and beats; it did so when it started, too.
        perform(&mut stage, &format!("timeout n0 () ! crash after {effects} keep 1")).expect("so");
        assert_eq!(stage.status(N0), None);
        assert_eq!(stage.disk(N0).len(), 1, "what was kept is on the disk");
        assert_eq!(stage.flights().filter(|flight| flight.to == N1).count(), beats);
    }
}

#[test]
fn instant_disks_need_no_syncs_and_stages_can_begin_with_full_ones() {
    let mut stage = stage_of(Mistake::None);
    rounds(&mut stage, true).expect("a sound protocol");
    let disks: Vec<_> = (0..3).map(|node| stage.disk(NodeId(node)).to_vec()).collect();
    let cluster = Cluster::new(ClusterId(1), 3);
    let mut scene: Scene<Toy> =
        Scene::new(cluster.clone(), Config::for_cluster(&cluster).expect("a cluster"));
    scene.instant = NodeSet::first(3);
    scene.disks = disks;
    let mut stage = Stage::new(scene);
    assert_eq!(stage.status(N0).expect("it runs").last, LogIndex(8));
    perform(&mut stage, "propose n0 \"i\"\ndeliver append n0 -> n1").expect("it goes on");
    perform(&mut stage, "deliver ack n1 -> n0").expect("no sync was needed");
}
