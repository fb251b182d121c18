//! Commands and batches. A batch is framed once, when its commands enter the cluster; log,
//! messages, disk and state machine share the same bytes.

use crate::auth::Tag;
use crate::canonical::Canonical;
use crate::fingerprint::Fingerprint;
use crate::id::{ClientId, ClusterId, RequestId, SessionId};
use crate::membership::MEMBERSHIP_CLIENT;
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

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
    #[inline]
    pub fn framed_len(&self) -> usize {
        self.borrowed().framed_len()
    }

    /// The same command, as a look at these bytes.
    pub fn borrowed(&self) -> CommandRef<'_> {
        CommandRef {
            client: self.client,
            session: self.session,
            request: self.request,
            payload: &self.payload,
            tag: &self.tag.0,
        }
    }
}

/// A command whose bytes belong to somebody else: to a batch, or to the frame that it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CommandRef<'a> {
    /// See [`Command::client`].
    pub client: ClientId,
    /// See [`Command::session`].
    pub session: SessionId,
    /// See [`Command::request`].
    pub request: RequestId,
    /// See [`Command::payload`].
    pub payload: &'a [u8],
    /// See [`Command::tag`].
    pub tag: &'a [u8],
}

impl CommandRef<'_> {
    /// Bytes that this command takes in a batch.
    #[inline]
    pub fn framed_len(&self) -> usize {
        COMMAND_HEADER + self.tag.len() + self.payload.len()
    }

    /// Writes it as it stands in a batch. Word by word: a header that is put together first and
    /// moved at once, in larger parts, costs the machine a wait.
    #[inline(always)]
    fn frame(&self, bytes: &mut Vec<u8>) {
        let payload = u32::try_from(self.payload.len()).expect("payload fits 32 bits");
        bytes.extend_from_slice(&self.client.0.to_le_bytes());
        bytes.extend_from_slice(&self.session.0.to_le_bytes());
        bytes.extend_from_slice(&self.request.0.to_le_bytes());
        bytes.extend_from_slice(&payload.to_le_bytes());
        bytes.push(u8::try_from(self.tag.len()).expect("a tag fits 255 bytes"));
        bytes.extend_from_slice(self.tag);
        bytes.extend_from_slice(self.payload);
    }
}

/// client, session, request: 8 each; payload length: 4; tag length: 1.
const COMMAND_HEADER: usize = 8 + 8 + 8 + 4 + 1;

/// The largest number of commands in one batch; offsets fit 16 bits.
pub const MAX_COMMANDS: usize = u16::MAX as usize;

/// An ordered list of commands: the value of one log entry. Empty for a no-op (Raft §8, Paxos'
/// hole filler) or null request (PBFT §4.4). One word, and cheap to clone: log, messages, records
/// and state machine hold the same one.
#[derive(Clone, Default)]
pub struct Batch {
    /// Nothing where there are no commands.
    framed: Option<Arc<Framed>>,
}

struct Framed {
    bytes: Bytes,
    count: u32,
    /// Looked for once, as replicas ask at every turn.
    is_membership: bool,
}

static NOTHING: Bytes = Bytes::new();

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
        Self::framed(commands.iter().map(Command::borrowed))
    }

    /// Frames these commands, wherever their bytes are. It looks at them twice: first to see how
    /// many bytes they take.
    ///
    /// # Panics
    /// As [`of`](Self::of).
    pub fn framed<'a>(commands: impl Iterator<Item = CommandRef<'a>> + Clone) -> Self {
        let (mut count, mut length) = (0, 0);
        for command in commands.clone() {
            count += 1;
            length += command.framed_len();
        }
        assert!(count <= MAX_COMMANDS, "too many commands for one batch");
        let mut bytes = Vec::with_capacity(length);
        for command in commands {
            command.frame(&mut bytes);
        }
        Self::new(bytes.into(), count)
    }

    fn new(bytes: Bytes, count: usize) -> Self {
        let count = count as u32;
        let is_membership = count == 1 && bytes.starts_with(&MEMBERSHIP_CLIENT.0.to_le_bytes());
        Self { framed: (count > 0).then(|| Arc::new(Framed { bytes, count, is_membership })) }
    }

    /// Checks foreign bytes and takes them as a batch, without copying.
    ///
    /// # Errors
    /// If the bytes are not exactly a sequence of framed commands.
    pub fn parse(bytes: Bytes) -> Result<Self, BadBatch> {
        let mut rest = &bytes[..];
        let mut count = 0;
        while !rest.is_empty() {
            (_, rest) = unframe(rest).ok_or(BadBatch)?;
            count += 1;
        }
        if count > MAX_COMMANDS {
            return Err(BadBatch);
        }
        Ok(Self::new(bytes, count))
    }

    /// How many commands.
    #[inline]
    pub fn len(&self) -> usize {
        self.framed.as_ref().map_or(0, |framed| framed.count as usize)
    }

    /// A no-op?
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.framed.is_none()
    }

    /// Does this entry say who the members are, instead of carrying commands? See
    /// [`Membership`](crate::Membership).
    #[inline]
    pub fn is_membership(&self) -> bool {
        self.framed.as_ref().is_some_and(|framed| framed.is_membership)
    }

    /// The framed bytes; equal batches have equal bytes, so a digest may be taken over them.
    #[inline]
    pub fn bytes(&self) -> &Bytes {
        self.framed.as_ref().map_or(&NOTHING, |framed| &framed.bytes)
    }

    /// The commands, in order. Payloads and tags share the batch's bytes.
    #[inline]
    pub fn commands(&self) -> impl Iterator<Item = Command> {
        self.iter().map(|command| Command {
            client: command.client,
            session: command.session,
            request: command.request,
            payload: self.bytes().slice_ref(command.payload),
            tag: Tag(self.bytes().slice_ref(command.tag)),
        })
    }

    /// The commands, in order, to look at.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = CommandRef<'_>> {
        let mut rest = &self.bytes()[..];
        std::iter::from_fn(move || {
            if rest.is_empty() {
                return None;
            }
            let (command, after) = unframe(rest).expect("a batch was checked when it was made");
            rest = after;
            Some(command)
        })
    }

    /// The batch as the oracles know it.
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.bytes()[..])
    }
}

fn word(header: &[u8; COMMAND_HEADER], at: usize) -> u64 {
    u64::from_le_bytes(header[at..at + 8].try_into().expect("a word has 8 bytes"))
}

/// The first framed command and what follows it, if it is whole.
#[inline]
fn unframe(bytes: &[u8]) -> Option<(CommandRef<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<COMMAND_HEADER>()?;
    let payload = u32::from_le_bytes(header[24..28].try_into().ok()?) as usize;
    let (tag, rest) = rest.split_at_checked(header[28] as usize)?;
    let (payload, rest) = rest.split_at_checked(payload)?;
    let command = CommandRef {
        client: ClientId(word(header, 0)),
        session: SessionId(word(header, 8)),
        request: RequestId(word(header, 16)),
        payload,
        tag,
    };
    Some((command, rest))
}

impl PartialEq for Batch {
    fn eq(&self, other: &Self) -> bool {
        match (&self.framed, &other.framed) {
            (Some(one), Some(two)) => Arc::ptr_eq(one, two) || one.bytes == two.bytes,
            (one, two) => one.is_none() && two.is_none(),
        }
    }
}

impl Eq for Batch {}

impl PartialOrd for Batch {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Batch {
    fn cmp(&self, other: &Self) -> Ordering {
        self.bytes().cmp(other.bytes())
    }
}

impl Hash for Batch {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bytes().hash(state);
    }
}

impl fmt::Debug for Batch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "batch[{} × {:08x}]", self.len(), self.fingerprint().0 as u32)
    }
}

impl Serialize for Batch {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.bytes().serialize(serializer)
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
            let looked_at = batch.iter().map(|command| command.framed_len()).sum::<usize>();
            prop_assert_eq!(looked_at, batch.bytes().len());
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
