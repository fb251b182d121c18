//! Writes frames to a connection.

use bytes::Bytes;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Frames up to this size are copied together, so that many take one system call; longer ones are
/// written in pieces of this size.
const TOGETHER: usize = 64 * 1024;

/// Writes all these frames. Each piece must get through within `patience`: a slow connection is
/// fine, a dead one is not.
pub(crate) async fn write_frames<W: AsyncWrite + Unpin>(
    to: &mut W,
    frames: VecDeque<Bytes>,
    scratch: &mut Vec<u8>,
    patience: Duration,
) -> io::Result<()> {
    if frames.len() == 1 {
        return write_pieces(to, &frames[0], patience).await;
    }
    scratch.clear();
    for frame in frames {
        if scratch.len() + frame.len() > TOGETHER && !scratch.is_empty() {
            write_pieces(to, scratch, patience).await?;
            scratch.clear();
        }
        if frame.len() >= TOGETHER {
            write_pieces(to, &frame, patience).await?;
        } else {
            scratch.extend_from_slice(&frame);
        }
    }
    write_pieces(to, scratch, patience).await
}

async fn write_pieces<W: AsyncWrite + Unpin>(
    to: &mut W,
    bytes: &[u8],
    patience: Duration,
) -> io::Result<()> {
    for piece in bytes.chunks(TOGETHER) {
        timeout(patience, to.write_all(piece)).await??;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::queue::{FrameQueue, Full};

    fn run<T>(future: impl Future<Output = T>) -> T {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime")
            .block_on(future)
    }

    #[test]
    fn the_queue_is_bounded_in_bytes_and_keeps_the_order() {
        let queue = FrameQueue::new(10);
        assert_eq!(queue.push(Bytes::from_static(b"12345")), Ok(()));
        assert_eq!(queue.push(Bytes::from_static(b"67890")), Ok(()));
        assert_eq!(queue.push(Bytes::from_static(b"1")), Err(Full));
        let frames = run(queue.take_all()).expect("open");
        assert_eq!(frames, [&b"12345"[..], &b"67890"[..]]);
        assert_eq!(queue.push(Bytes::from_static(b"1")), Ok(()), "there is room again");
        queue.close();
        assert_eq!(queue.push(Bytes::from_static(b"2")), Err(Full));
        assert!(run(queue.take_all()).is_some(), "what waited still goes out");
        assert!(run(queue.take_all()).is_none());
    }

    #[test]
    fn frames_of_all_sizes_are_written_in_order() {
        let sizes = [1, TOGETHER + 1, 3, TOGETHER - 1, TOGETHER, 0, 9];
        let frames: VecDeque<Bytes> =
            sizes.iter().map(|size| Bytes::from(vec![*size as u8; *size])).collect();
        let expected = frames.iter().flatten().copied().collect::<Vec<u8>>();
        let mut written = Vec::new();
        let patience = Duration::from_secs(9);
        run(write_frames(&mut written, frames, &mut Vec::new(), patience)).expect("room for all");
        assert_eq!(written, expected);
    }
}
