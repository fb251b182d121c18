//! The first corpus: well-formed bytes for each target, from which mutations start.

use crate::disk::Disk;
use crate::feed::Feed;
use crate::generate::{self, generate};
use bytes::Bytes;
use consensus_core::{
    Audit, Batch, ClusterId, Executor, LogIndex, Membership, NodeId, NodeSet, Request,
};
use std::path::Path;
use synod_algorithms::{Algorithm, Visitor};
use synod_kv::{KvCommand, KvResult, KvStore};
use synod_pbft::SecretKey;
use synod_runtime::codec;
use synod_runtime::rig::{self, Saying, start_on};
use synod_runtime::wal::Owner;
use synod_sim::Rng;

/// A scenario of each algorithm, most of those that are replayed as tests.
const SCENARIOS: [&[u8]; 4] = [
    include_bytes!("../../algorithms/tests/scenarios/paxos-highest-ballot.scn"),
    include_bytes!("../../algorithms/tests/scenarios/multipaxos-noop-over-chosen.scn"),
    include_bytes!("scenarios/raft-commit-beyond-compared.scn"),
    include_bytes!("../../algorithms/tests/scenarios/pbft-primary-counts-twice.scn"),
];

/// Seeds of the target of this name; always the same.
pub fn of(name: &str) -> Vec<Vec<u8>> {
    match name {
        "connection" => each(12, |feed| Some(rig::opening(&requests(feed)))),
        "hello" => sayings(Saying::Hello),
        "greeting" => sayings(Saying::Greeting),
        "to_client" => sayings(Saying::ToClient),
        "to_replica" => each(16, |feed| Some(generate::saying(Saying::ToReplica, feed)?.to_vec())),
        "membership" => memberships(),
        "request" => each(12, |feed| Some(codec::encode(&generate::<Request>(feed)?).to_vec())),
        "batch" => each(12, |feed| Some(feed.batch().bytes().to_vec())),
        "kv" => kv(),
        "snapshot" => each(8, snapshot),
        "scenario" => SCENARIOS.map(<[u8]>::to_vec).to_vec(),
        "identity" => identities(),
        "keys" => keys(),
        "log_file" => logs(),
        _ => match name.split_once('_').and_then(|(part, of)| Some((part, of.parse().ok()?))) {
            Some(("message", algorithm)) => encoded(algorithm, true),
            Some(("record", algorithm)) => encoded(algorithm, false),
            // These read choices, not a format.
            _ => choices(),
        },
    }
}

/// Bytes of the seeded generator.
fn random(seed: u64, length: usize) -> Vec<u8> {
    let mut rng = Rng::new(seed);
    (0..length).map(|_| rng.next_u64() as u8).collect()
}

fn choices() -> Vec<Vec<u8>> {
    (0..24).map(|seed| random(seed, 60 << (seed % 6))).collect()
}

/// So many values, each made from other choices.
fn each(count: u64, make: impl Fn(&mut Feed<'_>) -> Option<Vec<u8>>) -> Vec<Vec<u8>> {
    let values = (0..).map(|seed| random(seed, 400));
    values.filter_map(|choices| make(&mut Feed::new(&choices))).take(count as usize).collect()
}

fn requests(feed: &mut Feed<'_>) -> Vec<Request> {
    (0..3).filter_map(|_| generate(feed)).collect()
}

fn sayings(what: Saying) -> Vec<Vec<u8>> {
    each(16, |feed| Some(what.make(feed.word()).to_vec()))
}

fn kv() -> Vec<Vec<u8>> {
    let (key, value) = (Bytes::from_static(b"key"), Bytes::from_static(b"value"));
    let commands = [
        KvCommand::Get { key: key.clone() },
        KvCommand::Put { key: key.clone(), value: value.clone() },
        KvCommand::Delete { key: key.clone() },
        KvCommand::Cas { key: key.clone(), expected: None, new: value.clone() },
        KvCommand::Cas { key, expected: Some(value.clone()), new: Bytes::new() },
    ];
    let results = [
        KvResult::Value(Some(value)),
        KvResult::Value(None),
        KvResult::Written,
        KvResult::Deleted(true),
        KvResult::Swapped,
        KvResult::NotSwapped(None),
    ];
    let commands = commands.iter().map(KvCommand::encode);
    commands.chain(results.iter().map(KvResult::encode)).map(|bytes| bytes.to_vec()).collect()
}

fn memberships() -> Vec<Vec<u8>> {
    let voters: NodeSet = [0, 1, 3].map(NodeId).into_iter().collect();
    let three = Membership { voters, ..Membership::default() };
    let joint = Membership { outgoing: NodeSet::first(3), ..three.clone() };
    let learning = Membership { learners: NodeSet::only(NodeId(4)), ..three.clone() };
    let contacts = [(NodeId(3), "host:7".to_owned()), (NodeId(1), String::new())];
    let reached = Membership { contacts: contacts.into(), ..joint.clone() };
    let all = [three, joint, learning, reached];
    let said = |members: &Membership| members.to_batch().commands().next().map(|one| one.payload);
    all.iter().filter_map(said).map(|payload| payload.to_vec()).collect()
}

fn snapshot(feed: &mut Feed<'_>) -> Option<Vec<u8>> {
    let mut executor = Executor::new(KvStore::default(), 3);
    for index in 1..=feed.below(6) as u64 {
        let mut commands: Vec<_> = (0..3).map(|_| feed.command()).collect();
        commands[0].request = consensus_core::RequestId::OPEN;
        commands[1].payload = KvCommand::Put { key: feed.blob(), value: feed.blob() }.encode();
        executor.execute(LogIndex(index), &Batch::of(&commands), |_| {});
    }
    Some(executor.snapshot())
}

fn owner() -> Owner {
    Owner { cluster: ClusterId(7), node: NodeId(1) }
}

fn identities() -> Vec<Vec<u8>> {
    let disk = Disk::new(1);
    let path = Path::new("data/identity.toml");
    let mut texts = Vec::new();
    for start in 0..4 {
        start_on(&disk, Path::new("data"), owner(), start == 0).expect("a good disk");
        let text = disk.content(path).expect("the identity");
        texts.push(with_disk(&String::from_utf8_lossy(&text), start));
    }
    texts
}

/// The same identity on a disk of this number, which is drawn anew each time; the corpus shall not
/// change with it.
fn with_disk(text: &str, number: u64) -> Vec<u8> {
    let mut lines: Vec<String> = text.lines().map(str::to_owned).collect();
    lines.retain(|line| !line.starts_with("checksum"));
    for line in &mut lines {
        if line.starts_with("disk") {
            *line = format!("disk = \"{number:016x}\"");
        }
    }
    let body = lines.join("\n") + "\n";
    format!("{body}checksum = \"{:08x}\"\n", crc32fast::hash(body.as_bytes())).into_bytes()
}

fn keys() -> Vec<Vec<u8>> {
    let keys = (0..4).map(|byte| SecretKey::from_bytes([byte; 32]));
    keys.flat_map(|key| [key.to_hex().into_bytes(), key.public().to_hex().into_bytes()]).collect()
}

fn logs() -> Vec<Vec<u8>> {
    let disk = Disk::new(1);
    let dir = Path::new("data");
    let mut contents = choices();
    contents.truncate(8);
    for start in 0..6u8 {
        let mut wal = start_on(&disk, dir, owner(), start == 0).expect("a good disk").wal;
        for number in 0..start {
            wal.append(&vec![number; usize::from(number) * 7]).expect("the log works");
        }
        wal.sync().expect("the log works");
        // The salt is drawn anew each time; the corpus shall not change with it.
        let content = disk.content(&dir.join("wal.log")).expect("the log");
        contents.push(resalted(&content));
    }
    contents
}

/// The same frames in a log with a fixed salt.
fn resalted(log: &[u8]) -> Vec<u8> {
    let mut frames = Vec::new();
    let mut at = 60;
    while let Some(head) = log.get(at..at + 9) {
        let length = u32::from_le_bytes([head[0], head[1], head[2], head[3]]) as usize;
        frames.push((head[4], log[at + 9..at + 9 + length].to_vec()));
        at += 9 + length;
    }
    rig::forged_log(owner(), 3, &frames)
}

struct Encoded {
    messages: bool,
}

impl Visitor for Encoded {
    type Output = Vec<Vec<u8>>;

    fn visit<P: Audit>(self) -> Self::Output {
        each(24, |feed| {
            feed.hints = vec![1, 2, 3, 40];
            let bytes = if self.messages {
                codec::encode(&generate::<P::Message>(feed)?)
            } else {
                codec::encode(&generate::<P::Record>(feed)?)
            };
            Some(bytes.to_vec())
        })
    }
}

fn encoded(algorithm: Algorithm, messages: bool) -> Vec<Vec<u8>> {
    algorithm.dispatch(Encoded { messages })
}
