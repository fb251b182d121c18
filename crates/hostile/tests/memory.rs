//! Memory is taken for bytes that came, not for bytes that were announced. One test, since all
//! tests of a process share one heap.

use peak_alloc::PeakAlloc;
use std::fs;
use std::path::Path;
use synod_hostile::mutate::mutate;
use synod_hostile::{TARGETS, Target, seeds};
use synod_runtime::rig;
use synod_sim::Rng;

#[global_allocator]
static HEAP: PeakAlloc = PeakAlloc;

/// A list that is announced as long gets a megabyte at once, and no more (serde's caution); they
/// may stand in each other three deep. The rest is the target's own.
const ROOM: usize = 6 << 20;

/// The corpus of a target, in the order of names.
fn corpus(target: &Target) -> Vec<Vec<u8>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus");
    let entries = fs::read_dir(Path::new(folder).join(target.name)).expect("a corpus");
    let mut paths: Vec<_> = entries.map(|entry| entry.expect("an entry").path()).collect();
    paths.sort();
    paths.iter().map(|path| fs::read(path).expect("a file")).collect()
}

/// The most that the heap grew while the target read these bytes.
fn growth(target: &Target, bytes: &[u8]) -> usize {
    let before = HEAP.current_usage();
    HEAP.reset_peak_usage();
    (target.run)(bytes);
    HEAP.peak_usage().saturating_sub(before)
}

/// The first input on which the target takes more than it may.
fn first_greedy(target: &Target, inputs: impl Iterator<Item = Vec<u8>>) -> Option<(usize, usize)> {
    inputs.map(|bytes| (bytes.len(), growth(target, &bytes))).find(|(length, peak)| {
        // A script of a cluster sends much from few bytes; its replicas look at that themselves.
        let factor = if target.name.starts_with("handlers") { 4096 } else { 64 };
        *peak > ROOM + factor * length
    })
}

/// Values that announce more than follows: lists, bytes, texts and maps of 4 billion.
fn boasts(inner: &[u8]) -> Vec<Vec<u8>> {
    let mut boasts = Vec::new();
    for marker in [0xdd, 0xc6, 0xdb, 0xdf] {
        let boast = [marker, 0xff, 0xff, 0xff, 0xff];
        boasts.push(boast.to_vec());
        for at in 0..inner.len().min(60) {
            boasts.push([&inner[..at], &boast, &inner[at..]].concat());
        }
    }
    boasts
}

/// A frame that announces 200 MiB, with a good checksum over the announcement.
fn announced() -> Vec<u8> {
    let honest = rig::opening(&["x"]);
    let mut bytes = honest[..6].to_vec();
    let claim = [(200u32 << 20).to_le_bytes(), [0; 4]].concat();
    bytes.extend_from_slice(&claim);
    bytes.extend_from_slice(&crc32fast::hash(&claim).to_le_bytes());
    bytes.extend_from_slice(b"and no more");
    bytes
}

#[test]
fn what_is_announced_takes_no_memory() {
    for target in TARGETS {
        let seeds = seeds::of(target.name);
        let mut inputs = corpus(target);
        inputs.extend(boasts(&seeds[0]));
        let mut rng = Rng::new(7);
        for seed in seeds.iter().filter(|_| !target.name.starts_with("handlers")) {
            inputs.extend((0..40).map(|_| mutate(seed, &mut rng)));
        }
        let greedy = first_greedy(target, inputs.into_iter());
        assert_eq!(greedy, None, "{} took so much for so few bytes", target.name);
    }
    let connection = synod_hostile::target("connection").expect("a target");
    assert_eq!(first_greedy(connection, [announced()].into_iter()), None);
    #[cfg(feature = "mutants")]
    {
        consensus_core::mutant::plant(Some("F01"));
        let greedy = first_greedy(connection, [announced()].into_iter());
        consensus_core::mutant::plant(None);
        assert!(greedy.is_some(), "F01 is not found");
    }
}
