//! Snapshots between replicas: asked for by who needs one, sent in chunks with a digest each, and
//! put together again. Shared by all algorithms and drivers.
//!
//! A snapshot is a statement about what is decided, so any replica may take one from any other, in
//! any term or view; the protocol only says when one is needed ([`Effect::Fetch`]) and whom to ask.
//! The receiver asks for each chunk, so that it sets the pace, and repeats what got lost whenever
//! the protocol says again that it is behind. Nobody needs to know the size beforehand.
//!
//! [`Effect::Fetch`]: crate::Effect::Fetch

use crate::fingerprint::Fingerprint;
use crate::id::LogIndex;
use crate::membership::Membership;
use crate::mutant::planted;
use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// What a snapshot is of, beside the state itself.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct SnapshotMeta {
    /// Everything up to here is in it.
    pub index: LogIndex,
    /// The epoch (Raft: term) of the entry at that index, where entries have one; else 0.
    pub epoch: u64,
    /// The members as of that index.
    pub membership: Membership,
}

/// What replicas say to each other about snapshots. A protocol wraps it in a message of its own
/// and hands what it gets to the driver ([`Effects::snapshot`](crate::Effects::snapshot)).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum SnapshotMessage {
    /// "Send me your snapshot."
    Ask {
        /// The one that is being received, if one is; the sender may have a newer one by now.
        of: Option<LogIndex>,
        /// From this byte on.
        offset: u64,
    },
    /// A piece of a snapshot.
    Chunk {
        /// Of which.
        meta: SnapshotMeta,
        /// Its first byte.
        offset: u64,
        /// The bytes.
        bytes: Bytes,
        /// Is it the last?
        last: bool,
        /// Over all of the above.
        digest: u64,
    },
}

impl SnapshotMessage {
    /// A chunk of these bytes.
    pub fn chunk(meta: SnapshotMeta, offset: u64, bytes: Bytes, last: bool) -> Self {
        let digest = digest(&meta, offset, &bytes, last);
        Self::Chunk { meta, offset, bytes, last, digest }
    }
}

fn digest(meta: &SnapshotMeta, offset: u64, bytes: &[u8], last: bool) -> u64 {
    let offset = if planted("S-place") { 0 } else { offset };
    Fingerprint::of(&(meta, offset, bytes, last)).0
}

/// The snapshot that a replica is receiving, as far as it goes without storage: the driver keeps
/// the bytes.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub struct Incoming {
    meta: Option<SnapshotMeta>,
    received: u64,
    /// How often an older one was offered since the last piece of this one came.
    offers: u8,
}

/// How often an older snapshot must be offered before it takes the place of the one that is being
/// received. More than once, as an offer may be a late copy.
const ENOUGH_OFFERS: u8 = 3;

/// What a chunk means to who receives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Received {
    /// Is this the beginning? Then whatever was kept of another snapshot is void.
    pub first: bool,
    /// To be appended to what is kept.
    pub bytes: Bytes,
    /// What to do then.
    pub then: Then,
}

/// What follows a chunk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Then {
    /// Say this to who sent it.
    Ask(SnapshotMessage),
    /// The snapshot is whole: put it on stable storage, restore from it, and tell the protocol.
    Whole(SnapshotMeta),
}

impl Incoming {
    /// Nothing is being received.
    pub fn new() -> Self {
        Self::default()
    }

    /// The protocol needs a snapshot: what to ask for, again or for the first time.
    pub fn ask(&self) -> SnapshotMessage {
        let of = self.meta.as_ref().map(|meta| meta.index);
        SnapshotMessage::Ask { of, offset: self.received }
    }

    /// A message about snapshots that is not an `Ask` came. `applied` is what this replica has
    /// already. `None` if it is of no use: late, repeated, damaged, or nothing new.
    pub fn receive(&mut self, message: SnapshotMessage, applied: LogIndex) -> Option<Received> {
        let SnapshotMessage::Chunk { meta, offset, bytes, last, digest: told } = message else {
            return None;
        };
        if meta.index <= applied {
            // What is being received may be of no more use either: the next question is for
            // whatever is newest, or it would be for this one for ever.
            let late = self.index().is_some_and(|index| index <= applied);
            if late && !planted("S-late") {
                self.abandon();
            }
            return None;
        }
        if digest(&meta, offset, &bytes, last) != told {
            return None;
        }
        if !last && bytes.is_empty() && !planted("K30") {
            return None; // Nothing begins with it, nothing goes on, and nothing is offered.
        }
        let mixed = self.meta.is_some() && planted("S-mix");
        let known = self.meta.as_ref() == Some(&meta) || mixed;
        let newer = self.meta.as_ref().is_none_or(|known| known.index < meta.index);
        // Of another one it is the beginning that is offered, unless that has the same index: then
        // who has it believes that it is asked to go on.
        let same = self.index() == Some(meta.index) && !planted("S-stuck");
        let other = !known && (offset == 0 || same);
        if other && !newer {
            // Who had the newer one may be gone for good.
            self.offers += 1;
        }
        let enough = newer || self.offers >= ENOUGH_OFFERS;
        if other && enough && offset > 0 {
            self.abandon();
        }
        let begins = other && enough && offset == 0;
        let follows = known && offset == self.received;
        let taken = begins || follows || (known && planted("S-offset"));
        if !taken {
            return None;
        }
        self.offers = 0;
        if begins {
            self.received = 0;
            self.meta = Some(meta.clone());
        }
        self.received += bytes.len() as u64;
        let then = if last {
            *self = Self::default();
            Then::Whole(meta)
        } else {
            Then::Ask(self.ask())
        };
        Some(Received { first: begins, bytes, then })
    }

    /// The index of the snapshot that is being received.
    pub fn index(&self) -> Option<LogIndex> {
        self.meta.as_ref().map(|meta| meta.index)
    }

    /// Forgets what was received, for example because storing it failed.
    pub fn abandon(&mut self) {
        *self = Self::default();
    }
}

/// Where an `Ask` wants to be answered from, for the snapshot of index `have`: if it asks for
/// another one, from the beginning.
pub fn asked_offset(of: Option<LogIndex>, offset: u64, have: LogIndex) -> u64 {
    if of == Some(have) { offset } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn meta(index: u64) -> SnapshotMeta {
        SnapshotMeta { index: LogIndex(index), epoch: 1, membership: Membership::default() }
    }

    fn chunk(index: u64, whole: &[u8], offset: usize, len: usize) -> SnapshotMessage {
        let end = (offset + len).min(whole.len());
        let bytes = Bytes::copy_from_slice(&whole[offset..end]);
        SnapshotMessage::chunk(meta(index), offset as u64, bytes, end == whole.len())
    }

    /// Chunks that are lost, doubled or late do no harm; the whole comes out.
    #[test]
    fn a_snapshot_is_put_together_from_chunks() {
        let whole = b"0123456789";
        let mut incoming = Incoming::new();
        let mut kept = Vec::new();
        let mut asked = incoming.ask();
        let mut done = None;
        while done.is_none() {
            let SnapshotMessage::Ask { of, offset } = asked.clone() else { panic!("asks") };
            let offset = asked_offset(of, offset, LogIndex(7)) as usize;
            let chunk = chunk(7, whole, offset, 4);
            let received = incoming.receive(chunk.clone(), LogIndex(3)).expect("asked for");
            assert_eq!(received.first, offset == 0);
            kept.extend_from_slice(&received.bytes);
            assert_eq!(incoming.receive(chunk, LogIndex(3)), None, "doubled");
            match received.then {
                Then::Ask(ask) => asked = ask,
                Then::Whole(meta) => done = Some(meta),
            }
        }
        assert_eq!((kept.as_slice(), done), (&whole[..], Some(meta(7))));
    }

    #[test]
    fn a_damaged_chunk_and_a_snapshot_of_the_past_are_dropped() {
        let mut incoming = Incoming::new();
        let mut damaged = chunk(7, b"01234567", 0, 4);
        let SnapshotMessage::Chunk { digest, .. } = &mut damaged else { panic!("a chunk") };
        *digest ^= 1;
        assert_eq!(incoming.receive(damaged, LogIndex(0)), None);
        assert_eq!(incoming.receive(chunk(7, b"01234567", 0, 4), LogIndex(7)), None);
        assert_eq!(
            incoming.receive(chunk(7, b"01234567", 4, 4), LogIndex(0)),
            None,
            "no beginning"
        );
    }

    /// The replica learned of everything in it by other ways: what it asks for then is another one.
    #[test]
    fn a_snapshot_that_came_too_late_is_not_asked_for_again() {
        let mut incoming = Incoming::new();
        incoming.receive(chunk(7, b"01234567", 0, 4), LogIndex(0)).expect("the first");
        assert_eq!(incoming.receive(chunk(7, b"01234567", 4, 4), LogIndex(7)), None);
        assert_eq!(incoming.ask(), SnapshotMessage::Ask { of: None, offset: 0 });
    }

    /// A piece without bytes begins nothing: the next one is the first, and what was kept of
    /// another snapshot is void.
    #[test]
    fn an_empty_piece_is_no_beginning() {
        let mut incoming = Incoming::new();
        incoming.receive(chunk(7, b"01234567", 0, 4), LogIndex(0)).expect("the first");
        assert_eq!(incoming.receive(chunk(9, b"abcdefgh", 0, 0), LogIndex(0)), None);
        let begun = incoming.receive(chunk(9, b"abcdefgh", 0, 4), LogIndex(0)).expect("newer");
        assert!(begun.first);
    }

    /// … nor an offer of another snapshot, however often it comes (planted bug K30).
    #[test]
    fn empty_pieces_take_no_snapshots_place() {
        let mut incoming = Incoming::new();
        incoming.receive(chunk(9, b"abcdefgh", 0, 4), LogIndex(0)).expect("the first");
        for index in [7, 9] {
            for _ in 0..1000 {
                assert_eq!(incoming.receive(chunk(index, b"01234567", 0, 0), LogIndex(0)), None);
            }
        }
        assert_eq!(incoming.ask(), SnapshotMessage::Ask { of: Some(LogIndex(9)), offset: 4 });
        let rest = incoming.receive(chunk(9, b"abcdefgh", 4, 4), LogIndex(0)).expect("the rest");
        assert!(matches!(rest.then, Then::Whole(_)));
    }

    /// The sender took a newer one meanwhile: it begins again, and an older one does not come back,
    /// unless there is no other.
    #[test]
    fn a_newer_snapshot_replaces_the_one_under_way() {
        let mut incoming = Incoming::new();
        incoming.receive(chunk(7, b"01234567", 0, 4), LogIndex(0)).expect("the first");
        let newer = incoming.receive(chunk(9, b"abcdefgh", 0, 4), LogIndex(0)).expect("newer");
        assert!(newer.first);
        assert_eq!(incoming.receive(chunk(7, b"01234567", 4, 4), LogIndex(0)), None);
        assert_eq!(incoming.receive(chunk(7, b"01234567", 0, 4), LogIndex(0)), None);
        assert_eq!(incoming.ask(), SnapshotMessage::Ask { of: Some(LogIndex(9)), offset: 4 });
        incoming.receive(chunk(9, b"abcdefgh", 4, 2), LogIndex(0)).expect("it goes on");
        // Its sender is gone, and the next one asked has only the older: again and again.
        let mut offer = || incoming.receive(chunk(7, b"01234567", 0, 4), LogIndex(0));
        assert_eq!((offer(), offer()), (None, None));
        assert!(offer().expect("there is no other").first);
        assert_eq!(incoming.index(), Some(LogIndex(7)));
    }

    /// Two snapshots of one index that are not of one kind should not be. But if it comes to that,
    /// and who had the first is gone, the other one is taken from its beginning.
    #[test]
    fn another_snapshot_of_the_same_index_is_begun_anew() {
        let mut incoming = Incoming::new();
        incoming.receive(chunk(7, b"01234567", 0, 4), LogIndex(0)).expect("the first");
        let other = |offset| {
            let meta = SnapshotMeta { epoch: 2, ..meta(7) };
            SnapshotMessage::chunk(meta, offset, Bytes::from_static(b"abcd"), offset > 0)
        };
        for _ in 0..3 {
            assert_eq!(incoming.ask(), SnapshotMessage::Ask { of: Some(LogIndex(7)), offset: 4 });
            assert_eq!(incoming.receive(other(4), LogIndex(0)), None, "nothing is mixed");
        }
        assert_eq!(incoming.ask(), SnapshotMessage::Ask { of: None, offset: 0 });
        assert!(incoming.receive(other(0), LogIndex(0)).expect("from the beginning").first);
        let whole = incoming.receive(other(4), LogIndex(0)).expect("the rest");
        assert!(matches!(whole.then, Then::Whole(meta) if meta.epoch == 2));
    }

    /// The test above sees what it is there for.
    #[cfg(feature = "mutants")]
    #[test]
    fn a_receiver_that_waits_for_the_rest_of_what_is_gone_is_found() {
        crate::mutant::plant(Some("S-stuck"));
        let passed = std::panic::catch_unwind(another_snapshot_of_the_same_index_is_begun_anew);
        crate::mutant::plant(None);
        assert!(passed.is_err(), "S-stuck survived");
    }
}
