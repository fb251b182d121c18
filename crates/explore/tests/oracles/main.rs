//! Every oracle sees the mistake that it is there for, none cries over a correct protocol, and a
//! search gives the same whatever the number of threads.

mod toy;

use consensus_core::ProtocolConfig;
use synod_explore::{
    BadModel, Bounds, Disks, Explored, Found, Limits, Progress, Saved, Watch, Wish, Wishes,
    explore_on, explore_with, mirror,
};
use toy::{Config, Mistake, Toy};

fn bounds() -> Bounds {
    Bounds { commands: 2, timeouts: 1, crashes: 1, ..Bounds::quiet(3) }
}

fn run(bounds: &Bounds, mistake: Mistake, limits: &Limits<'_>) -> Explored {
    let configure = |cluster: &_| Ok(Config { mistake, ..Config::for_cluster(cluster)? });
    explore_with::<Toy>(bounds, limits, configure, &mut |_| {}).expect("the model can be")
}

#[test]
fn a_correct_protocol_raises_no_alarm_and_the_model_is_closed() {
    let explored = run(&bounds(), Mistake::None, &Limits::default());
    assert_eq!(explored.found, None);
    assert!(explored.closed && explored.states > 10_000, "{explored:?}");
    assert_eq!((explored.decided.1, explored.leaders), (2, 1), "both commands are decided");
}

#[test]
fn every_mistake_is_found_by_its_oracle() {
    for (mistake, oracle) in [
        (Mistake::AnotherBatch, "O1"),
        (Mistake::MadeUp, "O2"),
        (Mistake::SecondLeader, "O3"),
        (Mistake::Gap, "O4"),
        (Mistake::WrongEntry, "O4"),
        (Mistake::Forgetful, "O5"),
        (Mistake::TooEarly, "O6"),
        (Mistake::Amnesia, "O7"),
        (Mistake::EpochFalls, "O8"),
        (Mistake::CountsAll, "O16"),
        (Mistake::Halts, "O18"),
        (Mistake::Panics, "O18"),
        (Mistake::CannotRecover, "O18"),
        (Mistake::Rejected, "O18"),
        (Mistake::Unsound, "O20"),
        (Mistake::UnsoundStep, "O20"),
    ] {
        let two = Bounds { timeouts: 2, ..bounds() };
        let found = run(&two, mistake, &Limits::default()).found;
        let found = found.unwrap_or_else(|| panic!("{mistake:?} was not found"));
        assert_eq!(found.violation.oracle, oracle, "{mistake:?}: {}", found.violation);
        assert!(!found.steps.is_empty(), "{mistake:?}");
    }
}

/// Two voters, so that few steps make a quorum, and one more that may join.
fn growing() -> Bounds {
    Bounds { joiners: 1, commands: 2, disks: Disks::Instant, ..Bounds::quiet(2) }
}

/// Members, reads, snapshots: each has a bound of its own.
fn later(mistake: Mistake) -> Bounds {
    let wishes = Wishes::of(&[Wish::Vote]);
    match mistake {
        Mistake::StaleRead => Bounds { reads: 1, ..growing() },
        Mistake::ReusedRead => Bounds { reads: 2, crashes: 1, ..growing() },
        Mistake::OldQuorum => Bounds { nodes: 3, changes: 1, wishes, commands: 1, ..growing() },
        Mistake::OldMembers | Mistake::EarlyMembers => {
            Bounds { changes: 1, wishes, snapshots: 1, commands: 1, ..growing() }
        }
        Mistake::LosesTail => Bounds { crashes: 1, snapshots: 1, ..growing() },
        _ => Bounds { snapshots: 1, ..growing() },
    }
}

#[test]
fn every_mistake_about_members_reads_and_snapshots_is_found_by_its_oracle() {
    for (mistake, oracle) in [
        (Mistake::StaleRead, &["O9"][..]),
        (Mistake::ReusedRead, &["O9"]),
        (Mistake::OldQuorum, &["O6"]),
        (Mistake::OldMembers, &["O19"]),
        (Mistake::EarlyMembers, &["O19"]),
        (Mistake::ForgetsMore, &["O8"]),
        // Both are as many steps away.
        (Mistake::LosesTail, &["O6", "O7"]),
    ] {
        let explored = run(&later(mistake), mistake, &Limits::default());
        let found = explored.found.unwrap_or_else(|| panic!("{mistake:?} was not found"));
        let Found { violation, .. } = found;
        assert!(oracle.contains(&violation.oracle), "{mistake:?}: {violation}");
        let limits = Limits { states: 20_000, ..Limits::default() };
        let correct = run(&later(mistake), Mistake::None, &limits);
        assert_eq!(correct.found, None, "{mistake:?}");
    }
}

/// A lagging node gets a snapshot, in one message or in two of which any may be lost, doubled or
/// late; every crash finds the old file or the new one, whatever the log knows of it.
#[test]
fn snapshots_travel_and_survive_crashes() {
    for (chunk, disks, crashes) in [(16, Disks::Explicit, 1), (8, Disks::Instant, 1)] {
        let bounds = Bounds { snapshots: 1, crashes, chunk, disks, commands: 1, ..growing() };
        let explored = run(&bounds, Mistake::None, &Limits::default());
        assert!(explored.closed && explored.found.is_none(), "{:?}", explored.found);
        assert!(explored.marks.contains("snapshot installed"), "{:?}", explored.marks);
    }
}

/// Messages in rounds: a correct protocol raises no alarm, and what needs no odd order of messages
/// is found in fewer states; the way there names the weather and tells of each message.
#[test]
fn mistakes_are_found_where_messages_arrive_in_rounds() {
    let rounds = |storms| Bounds { storms: Some(storms), duplicates: Some(0), ..bounds() };
    let counts = [0, 1, 2].map(|storms| {
        let explored = run(&rounds(storms), Mistake::None, &Limits::default());
        assert!(explored.closed && explored.found.is_none(), "{explored:?}");
        assert_eq!(explored.decided.1, 2, "both commands are decided");
        explored.states
    });
    assert!(counts.is_sorted_by(|fewer, more| 2 * fewer < *more), "{counts:?}");
    for (mistake, oracle) in
        [(Mistake::AnotherBatch, "O1"), (Mistake::TooEarly, "O6"), (Mistake::Amnesia, "O7")]
    {
        let found = run(&rounds(1), mistake, &Limits::default()).found;
        let found = found.unwrap_or_else(|| panic!("{mistake:?} was not found"));
        assert_eq!(found.violation.oracle, oracle, "{mistake:?}: {}", found.violation);
        let text = found.steps.join("\n");
        for word in ["a round; ", " ← ", "sends to"] {
            assert!(text.contains(word), "no '{word}' in\n{text}");
        }
    }
}

/// Only the timer that was named fires; no timer, no second leader.
#[test]
fn a_named_timer_is_the_only_one_that_fires() {
    let leaders = |timer| {
        let bounds = Bounds { storms: Some(0), timer, ..bounds() };
        run(&bounds, Mistake::None, &Limits::default()).states
    };
    assert!(leaders(Some("none of them")) < leaders(None));
}

/// The way to a lost promise is the shortest there is, and tells of the step that it takes: the
/// sync that does not happen.
#[test]
fn a_counterexample_is_short_and_readable() {
    let found = run(&bounds(), Mistake::TooEarly, &Limits::default()).found.expect("it is found");
    // Propose, sync at the leader, append and its answer.
    assert_eq!(found.steps.len(), 4, "{:#?}", found.steps);
    let text = found.steps.join("\n");
    for word in ["client's command", "syncs its disk", "Append", "sends to {n0}"] {
        assert!(text.contains(word), "no '{word}' in\n{text}");
    }
    assert!(found.violation.to_string().contains("synced on {n0}"), "{}", found.violation);
}

/// Contract 2: what is lost is lost only if syncs are steps of their own.
#[test]
fn instant_disks_hide_what_syncs_too_late() {
    let instant = Bounds { disks: Disks::Instant, ..bounds() };
    let explored = run(&instant, Mistake::TooEarly, &Limits::default());
    assert!(explored.closed && explored.found.is_none(), "{explored:?}");
}

#[test]
fn counts_do_not_depend_on_threads() {
    let alone = run(&bounds(), Mistake::None, &Limits::default());
    let limits = Limits { threads: 3, ..Limits::default() };
    assert_eq!(run(&bounds(), Mistake::None, &limits), alone);
    let wrong = run(&bounds(), Mistake::AnotherBatch, &Limits::default());
    let found = run(&bounds(), Mistake::AnotherBatch, &limits).found;
    assert_eq!(found, wrong.found);
}

/// Keeps what is known at some pauses, as bytes, and looks at nothing.
struct Keep {
    /// How many pauses are let by between two.
    every: usize,
    seen: usize,
    kept: Vec<Vec<u8>>,
}

impl Watch for Keep {
    fn progress(&mut self, _now: Progress) {}

    fn pause(&mut self, last: bool, save: &mut dyn FnMut() -> Saved) {
        self.seen += 1;
        if last || self.seen.is_multiple_of(self.every) {
            self.kept.push(save().encode());
        }
    }
}

/// A search, from where another was or from the beginning, and what it kept.
fn go_on(
    mistake: Mistake,
    (bounds, limits): (&Bounds, &Limits<'_>),
    saved: Option<&[u8]>,
    every: usize,
) -> Result<(Explored, Vec<Vec<u8>>), BadModel> {
    let configure = |cluster: &_| Ok(Config { mistake, ..Config::for_cluster(cluster)? });
    let mut keep = Keep { every, seen: 0, kept: Vec::new() };
    let saved = saved.map(|bytes| Saved::decode(bytes).expect("what was written is read"));
    let explored = explore_on::<Toy>(bounds, limits, configure, saved, &mut keep)?;
    // What a process worked out is its own.
    Ok((Explored { steps: 0, ..explored }, keep.kept))
}

/// A search that goes on from any of its pauses, after a way through bytes, ends as one that was
/// never stopped; and so does one of a part of the model.
#[test]
fn a_search_goes_on_where_it_was() {
    for shard in [None, Some((1, 3))] {
        let limits = Limits { shard, ..Limits::default() };
        let model = (&bounds(), &limits);
        let (straight, kept) = go_on(Mistake::None, model, None, 7).expect("a model");
        assert!(straight.closed && kept.len() >= 3, "{} are kept", kept.len());
        for saved in kept {
            let (end, _) = go_on(Mistake::None, model, Some(&saved), 1_000).expect("the model");
            assert_eq!(end, straight, "from {} bytes", saved.len());
        }
    }
}

/// In the midst of a level, too: a limit of states ends a search there, and one that goes on
/// without it comes to the end of the model.
#[test]
fn a_search_goes_on_beyond_a_limit() {
    let limits = Limits::default();
    let straight = go_on(Mistake::None, (&bounds(), &limits), None, 1_000).expect("a model").0;
    for states in [1, 500, straight.states / 2, straight.states - 1] {
        let less = Limits { states, ..limits };
        let (part, kept) = go_on(Mistake::None, (&bounds(), &less), None, 1_000).expect("a model");
        assert!(!part.closed && part.states >= states, "{part:?}");
        let last = kept.last().map(Vec::as_slice);
        let (end, _) = go_on(Mistake::None, (&bounds(), &limits), last, 1_000).expect("the model");
        assert_eq!(end, straight, "after {states} states");
    }
}

/// The first violation has the fewest steps, whether the search was stopped before it or not.
#[test]
fn what_a_search_finds_after_a_pause_is_what_it_finds_without() {
    let limits = Limits::default();
    let model = (&bounds(), &limits);
    let (straight, kept) = go_on(Mistake::Amnesia, model, None, 2).expect("a model");
    let last = kept.last().map(Vec::as_slice);
    let (end, _) = go_on(Mistake::Amnesia, model, last, 1_000).expect("the model");
    assert!(last.is_some() && straight.found.is_some(), "{straight:?}");
    assert_eq!(end.found, straight.found);
}

/// What one model knows says nothing of another: other bounds, or other code.
#[test]
fn a_search_does_not_go_on_in_another_model() {
    let limits = Limits { states: 3_000, ..Limits::default() };
    let (_, kept) = go_on(Mistake::None, (&bounds(), &limits), None, 1_000).expect("a model");
    let saved = kept.last().map(Vec::as_slice);
    let fewer = Bounds { crashes: 0, ..bounds() };
    for (bounds, mistake) in [(fewer, Mistake::None), (bounds(), Mistake::EpochFalls)] {
        let refused = go_on(mistake, (&bounds, &limits), saved, 1_000);
        let why = refused.expect_err("another model").to_string();
        assert!(why.contains("another model, or of other code"), "{why}");
    }
}

/// The parts of a model together are the whole: each state is in one of them.
#[test]
fn parts_cover_the_model() {
    let whole = run(&bounds(), Mistake::None, &Limits::default());
    let part = |which| {
        let limits = Limits { shard: Some((which, 3)), ..Limits::default() };
        run(&bounds(), Mistake::None, &limits)
    };
    let parts = [0, 1, 2].map(part);
    let states: Vec<u64> = parts.iter().map(|part| part.states).collect();
    assert!(states.iter().sum::<u64>() >= whole.states, "{states:?} of {}", whole.states);
    assert!(states.iter().all(|part| *part < whole.states), "{states:?} of {}", whole.states);
    let finds = |which| {
        let limits = Limits { shard: Some((which, 3)), ..Limits::default() };
        run(&bounds(), Mistake::AnotherBatch, &limits).found.is_some()
    };
    assert!((0..3).any(finds), "the mistake is in one of the parts");
}

#[test]
fn limits_and_bounds_end_a_search_that_is_then_not_closed() {
    let limits = Limits { states: 5_000, ..Limits::default() };
    let endless = Bounds { crashes: 0, timeouts: 0, ..bounds() };
    let explored = run(&endless, Mistake::Endless, &limits);
    assert!(!explored.closed && explored.states >= 5_000, "{explored:?}");
    let shallow = Bounds { depth: Some(3), ..bounds() };
    let explored = run(&shallow, Mistake::None, &Limits::default());
    assert!(!explored.closed && explored.depth == 3, "{explored:?}");
    // Deliveries that are counted end it, too.
    let counted = Bounds { duplicates: Some(1), ..endless };
    assert!(run(&counted, Mistake::Endless, &Limits::default()).closed);
}

/// Who folds states believes that nodes are alike; who says so of a cluster with one certain leader
/// is caught.
#[test]
fn who_says_that_nodes_are_alike_is_put_to_the_test() {
    let walk = |mistake| {
        let configure = |cluster: &_| Ok(Config { mistake, ..Config::for_cluster(cluster)? });
        mirror::<Toy>(&bounds(), configure, (20, 30))
    };
    assert_eq!(walk(Mistake::None), Ok(0), "it does not say so");
    assert!(walk(Mistake::SaysAlike).is_err());
}

/// OSDI '99 §2: lies are for algorithms that survive them.
#[test]
fn models_that_cannot_be_are_refused() {
    let refused = |bounds: Bounds| {
        let configure = |cluster: &_| Config::for_cluster(cluster);
        let model = explore_with::<Toy>(&bounds, &Limits::default(), configure, &mut |_| {});
        model.expect_err("there is no such model").to_string()
    };
    let traitors = consensus_core::NodeSet::first(1);
    assert!(refused(Bounds { traitors, ..bounds() }).contains("traitors"));
    assert!(refused(Bounds { nodes: 0, ..bounds() }).contains("not 0"));
    assert!(refused(Bounds { nodes: 50, ..bounds() }).contains("not 50"));
}
