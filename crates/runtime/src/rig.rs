//! Doors for rigs: what the bytes of a stranger or of a disk meet in a node, without a socket and
//! without a directory of the real file system. Programs have no use for it.

use crate::codec::{self, CodecError};
use crate::directory::{Begun, Directory, Newness, Opened};
use crate::frame::{self, FrameReader};
use crate::identity::{DiskId, Identity};
use crate::report::StatusReport;
use crate::start_error::StartError;
use crate::storage::Storage;
use crate::wal::{Owner, SyncPolicy, Wal};
use crate::wire::{Greeting, Hello, MAX_HELLO, ToClient, ToReplica};
use bytes::Bytes;
use consensus_core::{
    Answer, ClientId, ClusterId, Consistency, Incarnation, NodeId, Position, Query, ReadMode,
    Refusal, Reply, RequestId, SessionId, SnapshotMeta, Tag,
};
use core::time::Duration;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer, Serialize};
use std::io;
use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

/// What is said on a connection beside the messages of the algorithm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Saying {
    /// The first frame of who dials.
    Hello,
    /// The answer to it.
    Greeting,
    /// What a client says to a replica.
    ToReplica,
    /// What a replica says to a client.
    ToClient,
}

impl Saying {
    /// Such a saying with numbers and names made of this one; the kinds take turns.
    pub fn make(self, number: u64) -> Bytes {
        let cluster = ClusterId(u128::from(number) << 50);
        let (algorithm, node) = (format!("algorithm{}", number % 97), NodeId(number as u8));
        match (self, number % 3) {
            (Self::Hello, 0) => codec::encode(&Hello::Status),
            (Self::Hello, 1) => {
                codec::encode(&Hello::Client { cluster, algorithm, client: ClientId(number) })
            }
            (Self::Hello, _) => codec::encode(&Hello::Peer {
                cluster,
                algorithm,
                from: node,
                to: NodeId(3),
                incarnation: Incarnation(number as u32),
                disk: DiskId(number << 11),
                contact: None,
            }),
            (Self::Greeting, 0) => codec::encode(&Greeting::Welcome(node)),
            (Self::Greeting, _) => codec::encode(&Greeting::Refused(algorithm)),
            (Self::ToReplica, _) => codec::encode(&ToReplica::Query(Query {
                client: ClientId(number),
                number: number >> 7,
                consistency: match number % 3 {
                    0 => Consistency::Local,
                    1 => Consistency::AtMost(Duration::from_nanos(number)),
                    _ => Consistency::Linearizable(ReadMode::Quorum),
                },
                question: Bytes::from(algorithm),
            })),
            (Self::ToClient, 0) => {
                codec::encode(&ToClient::Status(Box::new(StatusReport::empty(node))))
            }
            (Self::ToClient, turn) => codec::encode(&ToClient::Reply(Reply {
                from: node,
                client: ClientId(number),
                session: SessionId(number >> 7),
                request: RequestId(number >> 9),
                attempt: number as u32,
                answer: match turn {
                    1 => Answer::Done { position: Position::default(), result: Bytes::new() },
                    _ => Answer::Refused(Refusal::NotLeader(Some(node))),
                },
                tag: Tag::none(),
            })),
        }
    }

    /// Decodes such a saying, and encodes it again.
    ///
    /// # Errors
    /// If these bytes are none.
    pub fn again(self, bytes: &[u8]) -> Result<Bytes, CodecError> {
        fn again<T: Serialize + DeserializeOwned>(bytes: &[u8]) -> Result<Bytes, CodecError> {
            codec::decode::<T>(bytes).map(|value| codec::encode(&value))
        }
        match self {
            Self::Hello => again::<Hello>(bytes),
            Self::Greeting => again::<Greeting>(bytes),
            Self::ToReplica => again::<ToReplica>(bytes),
            Self::ToClient => again::<ToClient>(bytes),
        }
    }

    /// Such a saying of values that come from anywhere.
    ///
    /// # Errors
    /// If they make none.
    pub fn from_any<'de, D: Deserializer<'de>>(self, source: D) -> Result<Bytes, D::Error> {
        match self {
            Self::Hello => Hello::deserialize(source).map(|said| codec::encode(&said)),
            Self::Greeting => Greeting::deserialize(source).map(|said| codec::encode(&said)),
            Self::ToReplica => ToReplica::deserialize(source).map(|said| codec::encode(&said)),
            Self::ToClient => ToClient::deserialize(source).map(|said| codec::encode(&said)),
        }
    }
}

/// Bytes in a chunk of a snapshot, so that a few are many.
const CHUNK: usize = 600;

/// The longest hello that is read.
pub const HELLO_LIMIT: usize = MAX_HELLO;

/// What a connection opens with, and then these values as frames.
pub fn opening<T: Serialize>(values: &[T]) -> Vec<u8> {
    let mut bytes = frame::PREAMBLE.to_vec();
    for value in values {
        bytes.extend_from_slice(&frame::encode(value));
    }
    bytes
}

/// What a node reads from a connection on which exactly these bytes come: the payloads of whole
/// frames of at most `limit` bytes, and in words why it closed the connection, if it did.
pub fn frames(bytes: &[u8], limit: usize) -> (Vec<Bytes>, Option<String>) {
    let mut payloads = Vec::new();
    let mut reader = FrameReader::new(bytes);
    let reading = async {
        reader.preamble().await?;
        while let Some(payload) = reader.next(limit).await? {
            payloads.push(payload);
        }
        Ok::<(), frame::FrameError>(())
    };
    // Bytes in memory are always ready.
    let ended = match pin!(reading).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(())) => None,
        Poll::Ready(Err(error)) => Some(error.to_string()),
        Poll::Pending => Some("the reader waits for bytes that nobody sends".to_string()),
    };
    (payloads, ended)
}

/// Reads the text of an identity file, and writes it again.
///
/// # Errors
/// If it cannot be believed: in words, why.
pub fn identity(text: &str) -> Result<String, String> {
    Identity::parse(text).map(|identity| identity.to_text())
}

/// A log with this salt and these frames (kind and payload), checksums and all: what only a broken
/// program or a forger writes.
pub fn forged_log(owner: Owner, salt: u64, frames: &[(u8, Vec<u8>)]) -> Vec<u8> {
    crate::wal::forge(owner, salt, frames)
}

/// A data directory as a node finds it when it starts.
pub struct Found {
    /// The records, oldest first.
    pub records: Vec<Bytes>,
    /// The newest snapshot that is whole.
    pub snapshot: Option<(SnapshotMeta, Vec<u8>)>,
    /// The number of this start.
    pub incarnation: Incarnation,
    /// The log, to go on with.
    pub wal: Wal,
    /// The snapshots, to go on with.
    pub snapshots: Snapshots,
}

/// The snapshots of a data directory.
pub struct Snapshots(crate::snapshots::Snapshots);

impl Snapshots {
    /// Keeps a snapshot of the own state; durable when this returns.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn save(&mut self, meta: &SnapshotMeta, bytes: &[u8]) -> io::Result<()> {
        self.0.save(meta, bytes)
    }

    /// Keeps another replica's snapshot, which comes in pieces; durable when this returns.
    ///
    /// # Errors
    /// If the disk refuses.
    pub fn receive(&mut self, meta: &SnapshotMeta, pieces: &[&[u8]]) -> io::Result<()> {
        for (number, piece) in pieces.iter().enumerate() {
            let staged = self.0.stage(meta, number == 0, piece);
            staged.inspect_err(|_| self.0.abandon())?;
        }
        self.0.complete().map(drop)
    }
}

/// Opens a data directory, or sets it up if `create` says that the replica never ran, just as a
/// node does that starts; but the lock on the directory is the caller's business.
///
/// # Errors
/// If the directory must not be used.
pub fn start_on(
    storage: &(impl Storage + Clone + 'static),
    dir: &Path,
    owner: Owner,
    create: bool,
) -> Result<Found, StartError> {
    let storage = Arc::new(storage.clone());
    let directory = Directory { storage, dir, owner, algorithm: "rig", chunk: CHUNK };
    let newness = if create { Newness::First } else { Newness::Old };
    let mut opened: Opened = directory.open(newness, SyncPolicy::Sync)?;
    let records = std::mem::take(&mut opened.records);
    let snapshot = opened.snapshot.take().map(|newest| (newest.meta, newest.bytes));
    let Begun { wal, snapshots, identity } = opened.begin(&directory)?;
    let (incarnation, snapshots) = (identity.incarnation, Snapshots(snapshots));
    Ok(Found { records, snapshot, incarnation, wal, snapshots })
}
