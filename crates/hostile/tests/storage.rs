//! The rig of faulty storage, and the bugs that prove it.

use synod_hostile::crash;
#[cfg(feature = "mutants")]
use synod_hostile::storage::Breach;
use synod_hostile::storage::{Story, check};

/// Rules O4, O6, O7 and O18 of the rig hold on every seed, and the rare things did happen.
#[test]
fn nothing_durable_is_lost_without_a_word() {
    let mut story = Story::default();
    for seed in 0..3_000 {
        match check(seed) {
            Ok(one) => story.add(&one),
            Err(breach) => panic!("seed {seed}: {breach}"),
        }
    }
    let Story { starts, failed_starts, power_cuts, kills, .. } = story;
    assert!(starts > 6_000 && failed_starts > 500 && power_cuts > 3_000 && kills > 1_000);
    assert!(story.failed_writes > 300 && story.torn > 300 && story.durable > 20_000, "{story:?}");
    assert!(story.snapshots > 4_000 && story.compactions > 2_500, "{story:?}");
    assert!(story.came_through > 20 && story.fell_back > 20, "{story:?}");
    assert!(story.damages > 500 && story.declared > 400, "{story:?}");
}

/// The same rules, after every crash of one small history, whatever it leaves of names and bytes.
#[test]
fn no_crash_of_a_small_history_loses_anything_durable() {
    let tried = crash::check(crash::HISTORY).unwrap_or_else(|breach| panic!("{breach}"));
    assert!(tried.calls > 200 && tried.failures == tried.calls, "{tried:?}");
    assert!(tried.images > 30_000 && tried.second_cuts > 30_000, "{tried:?}");
}

/// Every planted bug of the log and the identity is found by an oracle that it names.
#[cfg(feature = "mutants")]
#[test]
fn every_bug_planted_between_log_and_disk_is_found() {
    let mut missed = Vec::new();
    for mutant in synod_runtime::MUTANTS.iter().filter(|mutant| mutant.name.starts_with('D')) {
        consensus_core::mutant::plant(Some(mutant.name));
        let found = (0..2_000).find_map(|seed| check(seed).err().map(|breach| (seed, breach)));
        let named = |(_, breach): &(u64, Breach)| mutant.oracles.contains(&breach.oracle);
        let survives = !found.as_ref().is_some_and(named) && crash::check(crash::HISTORY).is_ok();
        consensus_core::mutant::plant(None);
        if survives {
            missed.push(format!("{}: {found:?}", mutant.name));
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
