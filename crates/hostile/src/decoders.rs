//! Everything that is read from a connection, a disk or a person: it is decoded or refused, and
//! what was decoded is written and read again.
//!
//! All of these panic where a rule is broken: that is what they are for.

use crate::feed::Feed;
use crate::generate::{self, generate};
use crate::mutate::scramble;
use bytes::Bytes;
use consensus_core::{
    Audit, AuthMeter, Batch, Change, ClientId, Cluster, ClusterId, Command, Env, Envelope,
    Executor, Incoming, LogIndex, MEMBERSHIP_CLIENT, Membership, NodeId, Request, RequestId,
    SessionId, Signer, SnapshotMessage, SnapshotMeta, StateMachine, Tag, Then,
};
use core::time::Duration;
use std::fmt::Debug;
use synod_kv::{KvCommand, KvResult, KvStore};
use synod_pbft::{PublicKey, SecretKey};
use synod_runtime::codec;
use synod_runtime::rig::{self, HELLO_LIMIT, Saying};
use synod_sim::Scenario;
use synod_sim::SimKeys;

/// Decodes, encodes and decodes again.
fn again<T>(bytes: &[u8]) -> Option<T>
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + Debug,
{
    let value = codec::decode::<T>(bytes).ok()?;
    let encoded = codec::encode(&value);
    assert_eq!(encoded.len(), codec::encoded_len(&value), "the length is known beforehand");
    assert_eq!(codec::decode::<T>(&encoded).as_ref(), Ok(&value), "a value is one value");
    let longer = [&encoded[..], &[0xc0]].concat();
    assert!(codec::decode::<T>(&longer).is_err(), "nothing may follow a value");
    Some(value)
}

/// A connection: preamble, frames, and in each frame a hello, a request or an answer.
pub fn connection(bytes: &[u8]) {
    for limit in [HELLO_LIMIT, 1 << 20] {
        let (payloads, _) = rig::frames(bytes, limit);
        let total: usize = payloads.iter().map(Bytes::len).sum();
        assert!(total <= bytes.len(), "more came out than went in");
        for payload in payloads {
            assert!(payload.len() <= limit, "a frame is over the limit");
            for what in [Saying::Hello, Saying::Greeting, Saying::ToReplica, Saying::ToClient] {
                saying(what, &payload);
            }
            request(&payload);
        }
    }
}

fn saying(what: Saying, bytes: &[u8]) {
    if let Ok(encoded) = what.again(bytes) {
        assert_eq!(what.again(&encoded).as_ref(), Ok(&encoded), "a saying is one value");
    }
}

/// The first frame of whoever dials.
pub fn hello(bytes: &[u8]) {
    saying(Saying::Hello, bytes);
}

/// The answer to it.
pub fn greeting(bytes: &[u8]) {
    saying(Saying::Greeting, bytes);
}

/// What a client hears.
pub fn to_client(bytes: &[u8]) {
    saying(Saying::ToClient, bytes);
}

/// What a replica hears from a client.
pub fn to_replica(bytes: &[u8]) {
    saying(Saying::ToReplica, bytes);
}

/// What a client asks.
pub fn request(bytes: &[u8]) {
    if let Some(request) = again::<Request>(bytes) {
        let _ = request.command.signed_bytes(ClusterId(1));
        if request.command.tag.0.len() <= 255 {
            let batch = Batch::of(std::slice::from_ref(&request.command));
            assert_eq!(batch.bytes().len(), request.command.framed_len());
            assert_eq!(batch.commands().next(), Some(request.command));
        }
    }
}

/// A batch of commands as it stands in logs and messages.
pub fn batch(bytes: &[u8]) {
    if let Ok(batch) = Batch::parse(Bytes::copy_from_slice(bytes)) {
        let commands: Vec<Command> = batch.commands().collect();
        assert_eq!(commands.len(), batch.len());
        assert_eq!(Batch::of(&commands).bytes(), bytes, "a batch has one encoding");
    }
}

/// Members as an entry of the log says them: they are refused, or written as they were read.
pub fn membership(bytes: &[u8]) {
    let command = Command {
        client: MEMBERSHIP_CLIENT,
        session: SessionId(u64::MAX),
        request: RequestId(u64::MAX),
        payload: Bytes::copy_from_slice(bytes),
        tag: Tag::none(),
    };
    let batch = Batch::of(&[command]);
    assert!(batch.is_membership());
    let Some(members) = Membership::from_batch(&batch, LogIndex(7)) else { return };
    assert!(members.voters.len() <= NodeId::LIMIT && !members.voters.is_empty());
    let written = members.to_batch();
    assert_eq!(Membership::from_batch(&written, LogIndex(7)).as_ref(), Some(&members));
    let change = Change::of(&members).add_voter(NodeId(5)).remove(NodeId(3));
    if let Ok(next) = change.apply_to(&members) {
        assert!(!next.is_joint() && next.voters.contains(NodeId(5)));
    }
}

/// Pieces of snapshots as somebody sends them who says anything: nothing is kept that did not come,
/// and a whole is one whose pieces follow each other.
pub fn chunks(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    feed.hints = vec![1, 2, 3];
    let mut incoming = Incoming::new();
    let (mut kept, mut came) = (0, 0);
    while !feed.is_empty() {
        let Some(message) = any_piece(&mut feed, &incoming) else { continue };
        let applied = LogIndex(feed.number());
        if let SnapshotMessage::Chunk { bytes, .. } = &message {
            came += bytes.len();
        }
        let Some(received) = incoming.receive(message.clone(), applied) else { continue };
        let SnapshotMessage::Chunk { meta, offset, bytes, last, .. } = message else {
            panic!("a question is no piece")
        };
        kept = if received.first { 0 } else { kept };
        assert_eq!(kept as u64, offset, "it follows what is kept");
        kept += bytes.len();
        assert!(meta.index > applied && kept <= came, "what came is kept, and is news");
        match received.then {
            Then::Whole(whole) => assert!(last && whole == meta && incoming.index().is_none()),
            Then::Ask(ask) => assert_eq!(ask, incoming.ask()),
        }
    }
}

/// A piece that fits, or that fits but for a number, or nonsense.
fn any_piece(feed: &mut Feed<'_>, incoming: &Incoming) -> Option<SnapshotMessage> {
    if feed.chance(40) {
        return generate(feed);
    }
    let meta: SnapshotMeta = generate(feed)?;
    let SnapshotMessage::Ask { of, offset } = incoming.ask() else { return None };
    let index = of.filter(|_| feed.chance(200)).unwrap_or(meta.index);
    let meta = SnapshotMeta { index, membership: Membership::default(), epoch: 0 };
    let offset = if feed.chance(200) { offset } else { feed.number() };
    let piece = SnapshotMessage::chunk(meta, offset, feed.blob(), feed.chance(60));
    let encoded = codec::encode(&piece);
    let sent = if feed.chance(40) { scramble(&encoded, feed) } else { encoded.to_vec() };
    codec::decode(&sent).ok()
}

/// What a replica of this algorithm says, up to the door of `step`.
pub fn message<P: Audit>(bytes: &[u8]) {
    let Some(message) = again::<P::Message>(bytes) else { return };
    let cluster = Cluster::new(ClusterId(9), 4);
    let keys = SimKeys::new(1, Signer::Node(NodeId(0)));
    let meter = AuthMeter::default();
    let env = Env::new(Duration::ZERO, &cluster, &keys, &meter);
    let _ = P::claims(&message);
    for from in [1, 4, 127, 255].map(NodeId) {
        let envelope = Envelope { from, message: message.clone() };
        if let Ok(verified) = P::verify(envelope, &env) {
            assert_eq!(verified.into_parts(), (from, message.clone()), "verify changes nothing");
        }
    }
}

/// A record of this algorithm.
pub fn record<P: Audit>(bytes: &[u8]) {
    again::<P::Record>(bytes);
}

/// What the key-value store is told, and what it says.
pub fn kv(bytes: &[u8]) {
    let bytes = Bytes::copy_from_slice(bytes);
    if let Some(command) = KvCommand::decode(&bytes) {
        assert_eq!(command.encode(), bytes, "a command has one encoding");
    }
    if let Some(result) = KvResult::decode(&bytes) {
        assert_eq!(result.encode(), bytes, "a result has one encoding");
    }
    let mut store = KvStore::default();
    for apply in [true, false] {
        let said = if apply { store.apply(&bytes) } else { store.query(&bytes) };
        assert!(KvResult::decode(&said).is_some(), "the store answers in its own words");
    }
}

/// The text of a scenario: it is refused, or written as it was read.
pub fn scenario(bytes: &[u8]) {
    let Ok(scenario) = Scenario::parse(&String::from_utf8_lossy(bytes)) else { return };
    let text = scenario.to_string();
    assert_eq!(Scenario::parse(&text), Ok(scenario), "{text}");
}

/// A snapshot of a state machine with its sessions; afterwards clients go on.
pub fn snapshot(bytes: &[u8]) {
    let mut executor = Executor::new(KvStore::default(), 4);
    let before = executor.fingerprint();
    if executor.restore(bytes).is_err() {
        assert_eq!(executor.fingerprint(), before, "an error changes nothing");
        return;
    }
    let taken = executor.snapshot();
    let mut copy = Executor::new(KvStore::default(), 4);
    assert!(copy.restore(&taken).is_ok(), "a snapshot of what was restored restores");
    assert_eq!(copy.fingerprint(), executor.fingerprint());
    let Some(mut index) = executor.applied().0.checked_add(1) else { return };
    for client in 0..6 {
        if index >= u64::MAX >> 16 {
            return;
        }
        let opening = Command {
            client: ClientId(client),
            session: SessionId::default(),
            request: RequestId::OPEN,
            payload: Bytes::from_static(&[0xff; 8]),
            tag: Tag::none(),
        };
        executor.execute(LogIndex(index), &Batch::of(&[opening]), |_| {});
        index += 1;
    }
}

/// The text of an identity file.
pub fn identity(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(written) = rig::identity(text)
    {
        assert_eq!(written, text, "who is believed is believed to the letter");
    }
}

/// Key files: the digits of a secret or a public key.
pub fn keys(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    if let Ok(secret) = SecretKey::from_hex(text) {
        assert!(secret.to_hex().eq_ignore_ascii_case(text.trim()), "digits and nothing else");
        assert!(!format!("{secret:?}").contains(&secret.to_hex()), "a secret is not printed");
    }
    if let Ok(public) = PublicKey::from_hex(text) {
        assert!(public.to_hex().eq_ignore_ascii_case(text.trim()), "digits and nothing else");
    }
}

/// Values of every kind from choices, and then as bytes: what decoders meet when somebody means it.
pub fn sayings(bytes: &[u8]) {
    let mut feed = Feed::new(bytes);
    while !feed.is_empty() {
        for what in [Saying::Hello, Saying::Greeting, Saying::ToReplica, Saying::ToClient] {
            if let Some(encoded) = generate::saying(what, &mut feed) {
                assert_eq!(what.again(&encoded).as_ref(), Ok(&encoded), "a saying is one value");
            }
        }
        let Some(one) = generate::<Request>(&mut feed) else { continue };
        let opening = rig::opening(std::slice::from_ref(&one));
        let (payloads, ended) = rig::frames(&opening, 1 << 20);
        assert_eq!(ended, None, "what we send is read");
        assert_eq!(codec::decode::<Request>(&payloads[0]).as_ref(), Ok(&one));
        request(&payloads[0]);
    }
}
