//! Commands and batches. A batch is framed once, when its commands enter the cluster; log,
//! messages, disk and state machine share the same bytes.

use crate::auth::Tag;
use crate::canonical::Canonical;
use crate::fingerprint::Fingerprint;
use crate::id::{ClientId, ClusterId, RequestId, SessionId};
use crate::membership::MEMBERSHIP_CLIENT;
use bytes::{BufMut, Bytes, BytesMut};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;

/// One request of a client, as it enters the cluster.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Command {
    /// Who asks.
    pub client: ClientId,
    /// The client's session; the default while it opens one.
    pub session: SessionId,
    /// The request's number within the session; a retry keeps it.
    pub request: RequestId,
    /// What the state machine is to do. Empty when a session is opened.
    pub payload: Bytes,
    /// The client's signature where requests are signed, else empty.
    pub tag: Tag,
}

impl Command {
    /// What a client signs.
    pub fn signed_bytes(&self, cluster: ClusterId) -> Vec<u8> {
        Canonical::new(cluster, "request")
            .number(self.client.0)
            .number(self.session.0)
            .number(self.request.0)
            .bytes(&self.payload)
            .finish()
    }

    /// Bytes that this command takes in a batch.
    pub fn framed_len(&self) -> usize {
        COMMAND_HEADER + self.tag.0.len() + self.payload.len()
    }
}

/// client, session, request: 8 each; payload length: 4; tag length: 1.
const COMMAND_HEADER: usize = 8 + 8 + 8 + 4 + 1;

/// The largest number of commands in one batch; offsets fit 16 bits.
pub const MAX_COMMANDS: usize = u16::MAX as usize;

/// An ordered list of commands: the value of one log entry. Empty for a no-op (Raft §8, Paxos'
/// hole filler) or null request (PBFT §4.4). Cheap to clone.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Batch {
    bytes: Bytes,
    count: u32,
}

/// Bytes that are no batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BadBatch;

impl fmt::Display for BadBatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not a batch of commands")
    }
}

impl std::error::Error for BadBatch {}

impl Batch {
    /// No commands.
    pub fn noop() -> Self {
        Self::default()
    }

    /// Frames these commands.
    ///
    /// # Panics
    /// If there are more than [`MAX_COMMANDS`], a tag is longer than 255 bytes or a payload does
    /// not fit 32 bits; who admits commands checks that first.
    pub fn of(commands: &[Command]) -> Self {
        assert!(commands.len() <= MAX_COMMANDS, "too many commands for one batch");
        let mut bytes = BytesMut::with_capacity(commands.iter().map(Command::framed_len).sum());
        for command in commands {
            bytes.put_u64_le(command.client.0);
            bytes.put_u64_le(command.session.0);
            bytes.put_u64_le(command.request.0);
            bytes.put_u32_le(u32::try_from(command.payload.len()).expect("payload fits 32 bits"));
            bytes.put_u8(u8::try_from(command.tag.0.len()).expect("a tag fits 255 bytes"));
            bytes.put_slice(&command.tag.0);
            bytes.put_slice(&command.payload);
        }
        Self { bytes: bytes.freeze(), count: commands.len() as u32 }
    }

    /// Checks foreign bytes and takes them as a batch, without copying.
    ///
    /// # Errors
    /// If the bytes are not exactly a sequence of framed commands.
    pub fn parse(bytes: Bytes) -> Result<Self, BadBatch> {
        let mut rest = &bytes[..];
        let mut count = 0;
        while !rest.is_empty() {
            let length = framed_len(rest).ok_or(BadBatch)?;
            rest = rest.get(length..).ok_or(BadBatch)?;
            count += 1;
        }
        if count > MAX_COMMANDS {
            return Err(BadBatch);
        }
        Ok(Self { bytes, count: count as u32 })
    }

    /// How many commands.
    pub fn len(&self) -> usize {
        self.count as usize
    }

    /// A no-op?
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Does this entry say who the members are, instead of carrying commands? See
    /// [`Membership`](crate::Membership).
    pub fn is_membership(&self) -> bool {
        self.count == 1 && word(&self.bytes, 0) == Some(MEMBERSHIP_CLIENT.0)
    }

    /// The framed bytes; equal batches have equal bytes, so a digest may be taken over them.
    pub fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// The commands, in order. Payloads and tags share the batch's bytes.
    pub fn commands(&self) -> impl Iterator<Item = Command> {
        let mut rest = self.bytes.clone();
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let length = framed_len(&rest).expect("a batch was checked when it was made");
            Some(unframe(rest.split_to(length)))
        })
    }

    /// The batch as the oracles know it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.bytes[..])
    }
}

fn word(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at + 8)?.try_into().ok()?))
}

/// Length of the first framed command, if its header is whole.
fn framed_len(bytes: &[u8]) -> Option<usize> {
    let payload = u32::from_le_bytes(bytes.get(24..28)?.try_into().ok()?) as usize;
    let tag = *bytes.get(28)? as usize;
    Some(COMMAND_HEADER + tag + payload)
}

fn unframe(bytes: Bytes) -> Command {
    let field = |at| word(&bytes, at).expect("a framed command has its header");
    let tag = COMMAND_HEADER..COMMAND_HEADER + bytes[28] as usize;
    Command {
        client: ClientId(field(0)),
        session: SessionId(field(8)),
        request: RequestId(field(16)),
        payload: bytes.slice(tag.end..),
        tag: Tag(bytes.slice(tag)),
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch[{} × {:08x}]", self.count, self.fingerprint().0 as u32)
    }
}

impl Serialize for Batch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Batch {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(Bytes::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn command() -> impl Strategy<Value = Command> {
        let bytes = || proptest::collection::vec(any::<u8>(), 0..40);
        (any::<u64>(), any::<u64>(), any::<u64>(), bytes(), bytes()).prop_map(
            |(client, session, request, payload, tag)| Command {
                client: ClientId(client),
                session: SessionId(session),
                request: RequestId(request),
                payload: payload.into(),
                tag: Tag(tag.into()),
            },
        )
    }

    proptest! {
        #[test]
        fn what_was_framed_comes_out(commands in proptest::collection::vec(command(), 0..8)) {
            let batch = Batch::of(&commands);
            prop_assert_eq!(batch.commands().collect::<Vec<_>>(), commands);
            prop_assert_eq!(Batch::parse(batch.bytes().clone()), Ok(batch));
        }

        #[test]
        fn foreign_bytes_are_refused_or_are_a_batch(
            bytes in proptest::collection::vec(any::<u8>(), 0..200),
        ) {
            if let Ok(batch) = Batch::parse(bytes.into()) {
                prop_assert_eq!(batch.commands().count(), batch.len());
            }
        }

        #[test]
        fn a_cut_batch_is_refused(command in command(), cut in 1usize..30) {
            let batch = Batch::of(&[command]);
            let short = batch.bytes().slice(..batch.bytes().len().saturating_sub(cut).max(1));
            prop_assert_eq!(Batch::parse(short), Err(BadBatch));
        }
    }
}
