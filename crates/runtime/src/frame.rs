//! Frames on a TCP connection, after a preamble that names the program and the version of the
//! protocol:
//!
//! ```text
//! length of the payload 4 · its checksum 4 · checksum of these eight bytes 4 · payload
//! ```
//!
//! The header has a checksum of its own, or a flipped bit in the length would make the reader wait
//! for a frame that nobody sends. And nothing here believes what the other side declares: memory is
//! taken for bytes that came, not for bytes that were announced.

use crate::codec;
use bytes::{Buf, Bytes, BytesMut};
use consensus_core::mutant::planted;
use serde::Serialize;
use std::fmt;
use std::io;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The first bytes of a connection, in both directions: "SYND" and the version.
pub(crate) const PREAMBLE: [u8; 6] = [b'S', b'Y', b'N', b'D', 1, 0];

/// Bytes before the payload.
pub(crate) const HEADER: usize = 12;
/// How much room is made at a time.
const ROOM: usize = 16 * 1024;

/// Why a connection is of no use any more.
#[derive(Debug)]
pub(crate) enum FrameError {
    /// The operating system said so.
    Io(io::Error),
    /// The other side does not speak this protocol, or another version of it.
    Preamble([u8; 6]),
    /// A frame is announced as longer than allowed.
    TooLong { length: usize, limit: usize },
    /// A frame did not arrive as it was sent.
    Checksum,
    /// The connection ended inside a frame.
    Cut,
}

impl fmt::Display for FrameError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Io(error) => write!(f, "{error}"),
            Self::Preamble(found) if found[..4] == PREAMBLE[..4] => write!(
                f,
                "the other side speaks version {} of the protocol, not {}",
                u16::from_le_bytes([found[4], found[5]]),
                u16::from_le_bytes([PREAMBLE[4], PREAMBLE[5]])
            ),
            Self::Preamble(_) => f.write_str("the other side does not speak this protocol"),
            Self::TooLong { length, limit } => {
                write!(f, "a frame of {length} bytes was announced; the limit is {limit}")
            }
            Self::Checksum => f.write_str("the checksum of a frame is wrong"),
            Self::Cut => f.write_str("the connection ended inside a frame"),
        }
    }
}

impl std::error::Error for FrameError {}

impl From<io::Error> for FrameError {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// A value as a whole frame.
pub(crate) fn encode<T: Serialize>(value: &T) -> Bytes {
    let mut frame = vec![0; HEADER];
    codec::encode_into(&mut frame, value);
    let length = u32::try_from(frame.len() - HEADER).expect("a frame is shorter than 4 GiB");
    let crc = crc32fast::hash(&frame[HEADER..]);
    frame[..4].copy_from_slice(&length.to_le_bytes());
    frame[4..8].copy_from_slice(&crc.to_le_bytes());
    let crc = crc32fast::hash(&frame[..8]);
    frame[8..HEADER].copy_from_slice(&crc.to_le_bytes());
    frame.into()
}

/// Bytes of the value in a frame that [`encode`] made.
pub(crate) fn payload_len(frame: &[u8]) -> usize {
    frame.len() - HEADER
}

/// Cuts what arrives into frames.
pub(crate) struct FrameReader<R> {
    from: R,
    buffer: BytesMut,
}

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(crate) fn new(from: R) -> Self {
        Self { from, buffer: BytesMut::new() }
    }

    /// Reads the preamble, which comes first and once.
    pub(crate) async fn preamble(&mut self) -> Result<(), FrameError> {
        while self.buffer.len() < PREAMBLE.len() {
            if !self.read_more().await? {
                return Err(FrameError::Cut);
            }
        }
        let mut found = PREAMBLE;
        self.buffer.copy_to_slice(&mut found);
        if found == PREAMBLE { Ok(()) } else { Err(FrameError::Preamble(found)) }
    }

    /// The payload of the next frame, at most `limit` bytes; `None` when the other side has closed
    /// the connection between two frames. Nothing is lost if the future is dropped.
    pub(crate) async fn next(&mut self, limit: usize) -> Result<Option<Bytes>, FrameError> {
        loop {
            if let Some(payload) = self.take(limit)? {
                return Ok(Some(payload));
            }
            if !self.read_more().await? {
                return if self.buffer.is_empty() { Ok(None) } else { Err(FrameError::Cut) };
            }
        }
    }

    /// The next frame if it has arrived as a whole.
    fn take(&mut self, limit: usize) -> Result<Option<Bytes>, FrameError> {
        let Some(header) = self.buffer.first_chunk::<HEADER>() else { return Ok(None) };
        let word = |at: usize| u32::from_le_bytes([0, 1, 2, 3].map(|byte| header[at + byte]));
        if crc32fast::hash(&header[..8]) != word(8) {
            return Err(FrameError::Checksum);
        }
        let (length, crc) = (word(0) as usize, word(4));
        if planted("F01") {
            // The bug: room is made for what was announced.
            self.buffer.reserve(length.min(1 << 28));
        }
        if length > limit || (planted("N10") && length == limit) {
            return Err(FrameError::TooLong { length, limit });
        }
        if self.buffer.len() < HEADER + length {
            return Ok(None);
        }
        self.buffer.advance(HEADER);
        let payload = self.buffer.split_to(length).freeze();
        if crc32fast::hash(&payload) != crc {
            return Err(FrameError::Checksum);
        }
        Ok(Some(payload))
    }

    /// False when the other side has closed the connection.
    async fn read_more(&mut self) -> Result<bool, FrameError> {
        // At most doubles what is there: long frames take few reads, and lies take no memory.
        self.buffer.reserve(ROOM.max(self.buffer.len()));
        Ok(self.from.read_buf(&mut self.buffer).await? > 0)
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
    }

    #[test]
    fn frames_come_out_whole_however_they_arrive() {
        let payload = vec![7u8; 100_000];
        let sent = [&PREAMBLE[..], &encode(&"first"), &encode(&payload), &encode(&())].concat();
        for chunk in [1, 7, 4096, sent.len()] {
            let (mut near, far) = tokio::io::duplex(chunk);
            let (sent, payload) = (sent.clone(), &payload);
            run(async move {
                let writing = async move {
                    tokio::io::AsyncWriteExt::write_all(&mut near, &sent).await.expect("a pipe");
                };
                let reading = async move {
                    let mut reader = FrameReader::new(far);
                    reader.preamble().await.expect("a preamble");
                    let mut frames = Vec::new();
                    while let Some(frame) = reader.next(1 << 20).await.expect("frames") {
                        frames.push(frame);
                    }
                    frames
                };
                let ((), frames) = tokio::join!(writing, reading);
                assert_eq!(codec::decode::<String>(&frames[0]).unwrap(), "first");
                assert_eq!(codec::decode::<Vec<u8>>(&frames[1]).unwrap(), *payload);
                assert_eq!(frames.len(), 3);
            });
        }
    }

    #[test]
    fn a_lie_about_the_length_takes_no_memory_and_ends_the_connection() {
        run(async {
            let announced = |length: u32| {
                let claim = [length.to_le_bytes(), [0; 4]].concat();
                [&claim[..], &crc32fast::hash(&claim).to_le_bytes(), &[1]].concat()
            };
            let (long, cut) = (announced(0x7fff_ffff), announced(0xffff));
            let mut long = FrameReader::new(&long[..]);
            assert!(matches!(long.next(1 << 20).await, Err(FrameError::TooLong { .. })));
            let mut cut = FrameReader::new(&cut[..]);
            assert!(matches!(cut.next(1 << 20).await, Err(FrameError::Cut)));
            assert!(cut.buffer.capacity() <= 4 * ROOM, "room for what came, not for 65,535 bytes");
        });
    }

    /// What a node may send another must take: both go by the length of the payload.
    #[test]
    pub(crate) fn a_frame_of_just_the_limit_is_taken_and_a_longer_one_is_not() {
        let frame = encode(&vec![7u8; 100]);
        let length = payload_len(&frame);
        let read = |limit: usize| run(FrameReader::new(&frame[..]).next(limit));
        assert_eq!(read(length).expect("it fits").map(|payload| payload.len()), Some(length));
        assert!(matches!(read(length - 1), Err(FrameError::TooLong { .. })));
    }

    #[test]
    fn every_flipped_bit_of_a_frame_is_noticed_at_once() {
        let frame = encode(&"payload");
        for bit in 0..frame.len() * 8 {
            let mut flipped = frame.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let mut reader = FrameReader::new(&flipped[..]);
            let noticed = run(reader.next(1 << 20));
            assert!(matches!(noticed, Err(FrameError::Checksum)), "bit {bit}");
        }
    }

    proptest! {
        #[test]
        fn foreign_bytes_end_the_connection_without_a_panic(
            bytes in proptest::collection::vec(any::<u8>(), 0..400),
        ) {
            run(async {
                let mut reader = FrameReader::new(&bytes[..]);
                let _ = reader.preamble().await;
                while let Ok(Some(_)) = reader.next(1 << 16).await {}
            });
        }
    }
}
