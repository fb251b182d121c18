//! `kill -9` at random during a load, over and over: no acknowledged write is lost, and the history
//! is linearizable. Once with plain files, whose unsynced bytes survive in the page cache, and once
//! over storage that loses them, as a power cut does.

use crate::cluster::{Disk, LONG, Processes, said};
use crate::history::{self, Operation, What};
use bytes::Bytes;
use consensus_core::{Outcome, Patience, Position};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use synod_algorithms::Algorithm;
use synod_kv::{KvCommand, KvResult};
use synod_runtime::ClusterClient;
use tokio::task::JoinSet;
use tokio::time::timeout;

pub(crate) const CLIENTS: u64 = 4;
const KEYS: u64 = 3;
const ROUNDS: u64 = 8;
/// Acknowledged operations between two blows.
const PROGRESS: u64 = 40;

/// Choices that a seed repeats (SplitMix64).
struct Dice(u64);

impl Dice {
    fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut word = self.0;
        word = (word ^ (word >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        word = (word ^ (word >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (word ^ (word >> 31)) % sides
    }
}

/// What the clients of a storm share.
#[derive(Default)]
pub(crate) struct Shared {
    /// Ticks whenever an operation begins or ends.
    clock: AtomicU64,
    acknowledged: AtomicU64,
    pub(crate) calm: AtomicBool,
    pub(crate) history: Mutex<Vec<Operation>>,
    /// Told at every answer.
    answered: tokio::sync::Notify,
}

impl Shared {
    fn tick(&self) -> u64 {
        self.clock.fetch_add(1, Ordering::SeqCst)
    }

    /// Waits until some more operations are acknowledged.
    pub(crate) async fn progress(&self, cluster: &Processes, when: &str) {
        let goal = self.acknowledged.load(Ordering::SeqCst) + PROGRESS;
        let reached = async {
            loop {
                let answered = self.answered.notified();
                if self.acknowledged.load(Ordering::SeqCst) >= goal {
                    return;
                }
                answered.await;
            }
        };
        if timeout(LONG, reached).await.is_err() {
            let now = self.acknowledged.load(Ordering::SeqCst);
            let status = said(&cluster.ctl(&["status"]).await);
            panic!("no progress {when}: {now} of {goal} operations acknowledged\n{status}");
        }
    }
}

fn register(key: u64) -> Bytes {
    Bytes::from(format!("register-{key}"))
}

fn number(value: &Bytes) -> u64 {
    let text = std::str::from_utf8(value).expect("the tests write numbers");
    text.parse().expect("the tests write numbers")
}

fn text(value: u64) -> Bytes {
    Bytes::from(value.to_string())
}

/// One client's load: reads, writes and swaps of a few registers until it is calm.
pub(crate) async fn load(mut client: ClusterClient, nth: u64, seed: u64, shared: Arc<Shared>) {
    let mut dice = Dice(seed.wrapping_mul(31).wrapping_add(nth));
    let mut seen = [None; KEYS as usize];
    let mut written = 0;
    while !shared.calm.load(Ordering::SeqCst) {
        let key = dice.roll(KEYS);
        written += 1;
        // Written once in the whole history: the client, then its own count.
        let value = nth * 1_000_000 + written;
        let what = match dice.roll(4) {
            0 => What::Get(None),
            1 => What::Cas(seen[key as usize], value, None),
            _ => What::Put(value),
        };
        let operation = carry_out(&mut client, &shared, nth, key, what).await;
        if let (Some(_), What::Get(answer)) = (operation.position, operation.what) {
            seen[key as usize] = answer;
        }
        shared.history.lock().expect("no holder panics").push(operation);
    }
}

/// Has the cluster do one thing, and notes when and with what answer.
async fn carry_out(
    client: &mut ClusterClient,
    shared: &Shared,
    nth: u64,
    key: u64,
    what: What,
) -> Operation {
    let command = match what {
        What::Put(value) => KvCommand::Put { key: register(key), value: text(value) },
        What::Get(_) => KvCommand::Get { key: register(key) },
        What::Cas(expected, new, _) => {
            KvCommand::Cas { key: register(key), expected: expected.map(text), new: text(new) }
        }
    };
    let begun = shared.tick();
    let outcome = client.call(command.encode()).await;
    let ended = shared.tick();
    let mut operation = Operation { client: nth, key, what, begun, ended, position: None };
    // Anything but an answer with a position leaves the outcome open, and that is safe to say of
    // a refused operation too.
    if let Ok(Outcome::Committed { position, result }) = outcome {
        operation.position = Some(position);
        operation.what = answered(what, &result, position);
        shared.acknowledged.fetch_add(1, Ordering::SeqCst);
        shared.answered.notify_waiters();
    }
    operation
}

fn answered(what: What, result: &Bytes, position: Position) -> What {
    match (what, KvResult::decode(result)) {
        (What::Put(_), Some(KvResult::Written)) => what,
        (What::Get(_), Some(KvResult::Value(value))) => What::Get(value.as_ref().map(number)),
        (What::Cas(expected, new, _), Some(KvResult::Swapped)) => What::Cas(expected, new, None),
        (What::Cas(expected, new, _), Some(KvResult::NotSwapped(found))) => {
            What::Cas(expected, new, Some(found.as_ref().map(number)))
        }
        (_, other) => panic!("{what:?} at {position:?} was answered {other:?}"),
    }
}

/// A cluster under load, and what happens to it.
struct Storm {
    algorithm: Algorithm,
    disk: Disk,
    /// How often some replicas are killed, before all are.
    rounds: u64,
    seed: u64,
}

impl Storm {
    /// Kills and restarts replicas under load, and then judges what the clients saw.
    async fn rage(self) -> Result<(), String> {
        let Self { algorithm, disk, rounds, seed } = self;
        let info = algorithm.info();
        let size = if info.max_faults(3) > 0 { 3 } else { 4 };
        let mut cluster = Processes::start(algorithm, size, disk).await;
        let shared = Arc::new(Shared::default());
        let mut clients = JoinSet::new();
        for nth in 0..CLIENTS {
            clients.spawn(load(cluster.client(nth, patience()), nth, seed, Arc::clone(&shared)));
        }
        let mut dice = Dice(seed);
        shared.progress(&cluster, "at the start").await;
        for round in 0..rounds {
            let victims = distinct(&mut dice, size, info.max_faults(size));
            for victim in &victims {
                cluster.kill(*victim).await;
            }
            shared.progress(&cluster, &format!("in round {round} without {victims:?}")).await;
            for victim in &victims {
                cluster.restart(*victim).await;
            }
            shared.progress(&cluster, &format!("in round {round}, {victims:?} back")).await;
            cluster.assert_running();
        }
        // Now more than f, even all: nothing moves meanwhile, but nothing may be lost either.
        for id in 0..size {
            cluster.kill(id).await;
        }
        for id in 0..size {
            cluster.restart(id).await;
        }
        shared.progress(&cluster, "after all were killed and came back").await;
        shared.calm.store(true, Ordering::SeqCst);
        while let Some(ended) = clients.join_next().await {
            ended.expect("no client panics");
        }
        read_all(&cluster, &shared).await;
        cluster.assert_running();
        history::check(&shared.history.lock().expect("no holder panics"))
    }
}

/// Up to `most` replicas, at least one.
fn distinct(dice: &mut Dice, size: usize, most: usize) -> Vec<usize> {
    let count = 1 + dice.roll(most as u64) as usize;
    let mut all: Vec<usize> = (0..size).collect();
    while all.len() > count {
        all.remove(dice.roll(all.len() as u64) as usize);
    }
    all
}

pub(crate) fn patience() -> Patience {
    Patience {
        attempt: Duration::from_millis(500),
        pause: Duration::from_millis(20),
        give_up: Duration::from_secs(3),
    }
}

/// A last look at every register, by a client that was not there before.
pub(crate) async fn read_all(cluster: &Processes, shared: &Shared) {
    let mut client = cluster.client(CLIENTS, Patience { give_up: LONG, ..patience() });
    for key in 0..KEYS {
        let read = carry_out(&mut client, shared, CLIENTS, key, What::Get(None)).await;
        assert!(read.position.is_some(), "register {key} cannot be read at the end");
        shared.history.lock().expect("no holder panics").push(read);
    }
}

async fn survives(algorithm: Algorithm, disk: Disk, seed: u64) {
    let storm = Storm { algorithm, disk, rounds: ROUNDS, seed };
    let judged = timeout(4 * LONG, storm.rage()).await.expect("the storm is over in time");
    assert_eq!(judged, Ok(()), "{algorithm}, seed {seed}");
}

/// Lamport, "Paxos Made Simple", §2.5: an acceptor records its answer before it sends it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paxos_survives_kills() {
    survives(Algorithm::Paxos, Disk::Plain, 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paxos_survives_kills_that_lose_unsynced_writes() {
    survives(Algorithm::Paxos, Disk::LosesUnsynced, 2).await;
}

/// The same, for all slots of one ballot (§3).
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn multipaxos_survives_kills() {
    survives(Algorithm::MultiPaxos, Disk::Plain, 3).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn multipaxos_survives_kills_that_lose_unsynced_writes() {
    survives(Algorithm::MultiPaxos, Disk::LosesUnsynced, 4).await;
}

/// Ongaro and Ousterhout, Figure 2: updated on stable storage before responding.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raft_survives_kills() {
    survives(Algorithm::Raft, Disk::Plain, 5).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn raft_survives_kills_that_lose_unsynced_writes() {
    survives(Algorithm::Raft, Disk::LosesUnsynced, 6).await;
}

/// Castro and Liskov, §4: a replica that restarts keeps what it said; at most f are faulty.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pbft_survives_kills() {
    survives(Algorithm::Pbft, Disk::Plain, 7).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pbft_survives_kills_that_lose_unsynced_writes() {
    survives(Algorithm::Pbft, Disk::LosesUnsynced, 8).await;
}

/// The rig sees a loss when there is one: here the disk says "synced" and keeps nothing.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn promises_that_leave_before_the_sync_are_seen() {
    let storm = Storm { algorithm: Algorithm::Raft, disk: Disk::Lies, rounds: 0, seed: 9 };
    let judged = timeout(4 * LONG, storm.rage()).await.expect("the storm is over in time");
    assert!(judged.is_err(), "all three replicas forgot everything, and nobody noticed");
}
