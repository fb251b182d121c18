//! A queue of encoded frames between a task that makes them and a task that writes them to a
//! connection, bounded in bytes.

use bytes::Bytes;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use std::sync::{Mutex, MutexGuard, PoisonError};
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::sync::Notify;
use tokio::time::timeout;

/// Frames for one connection. One task takes out; anybody may put in.
#[derive(Debug)]
pub(crate) struct FrameQueue {
    limit: usize,
    inner: Mutex<Inner>,
    ready: Notify,
}

#[derive(Debug, Default)]
struct Inner {
    frames: VecDeque<Bytes>,
    bytes: usize,
    closed: bool,
}

/// The queue has no room, or is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

impl FrameQueue {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, inner: Mutex::default(), ready: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Puts a frame in, unless it would be too much. What is there already stays: it is older, and
    /// what waits on a slow link is best sent in order.
    pub(crate) fn push(&self, frame: Bytes) -> Result<(), Full> {
        let mut inner = self.lock();
        if inner.closed || inner.bytes + frame.len() > self.limit {
            return Err(Full);
        }
        inner.bytes += frame.len();
        inner.frames.push_back(frame);
        let first = inner.frames.len() == 1;
        drop(inner);
        if first {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Waits for frames and takes all of them out; `None` when the queue is closed and empty.
    pub(crate) async fn take_all(&self) -> Option<VecDeque<Bytes>> {
        loop {
            {
                let mut inner = self.lock();
                if !inner.frames.is_empty() {
                    inner.bytes = 0;
                    return Some(std::mem::take(&mut inner.frames));
                }
                if inner.closed {
                    return None;
                }
            }
            self.ready.notified().await;
        }
    }

    /// Forgets what waits.
    pub(crate) fn clear(&self) {
        let mut inner = self.lock();
        inner.frames.clear();
        inner.bytes = 0;
    }

    /// Takes nothing in any more; what waits can still be taken out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        self.ready.notify_one();
    }
}

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
