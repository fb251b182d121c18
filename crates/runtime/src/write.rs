//! Writes frames to a connection.

use crate::queue::FrameQueue;
use bytes::Bytes;
use core::time::Duration;
use std::collections::VecDeque;
use std::io;
use tokio::io::{AsyncWrite, AsyncWriteExt};
use tokio::time::timeout;

/// Frames up to this size are copied together, so that many take one system call; longer ones are
/// written in pieces of this size.
const TOGETHER: usize = 64 * 1024;

/// Writes what is queued until the queue is closed and empty. Each piece must get through within
/// `patience`: a slow connection is fine, a dead one is not.
pub(crate) async fn write_queue<W: AsyncWrite + Unpin>(
    to: &mut W,
    queue: &FrameQueue,
    patience: Duration,
) -> io::Result<()> {
    let mut scratch = Vec::new();
    while let Some(frames) = queue.take_all().await {
        write_frames(to, frames, &mut scratch, (queue, patience)).await?;
    }
    Ok(())
}

/// Writes all these frames, and tells the queue from which they are of each that is through.
async fn write_frames<W: AsyncWrite + Unpin>(
    to: &mut W,
    frames: VecDeque<Bytes>,
    scratch: &mut Vec<u8>,
    (queue, patience): (&FrameQueue, Duration),
) -> io::Result<()> {
    if frames.len() == 1 {
        write_pieces(to, &frames[0], patience).await?;
        queue.written(frames[0].len());
        return Ok(());
    }
    scratch.clear();
    for frame in frames {
        if scratch.len() + frame.len() > TOGETHER && !scratch.is_empty() {
            write_pieces(to, scratch, patience).await?;
            queue.written(scratch.len());
            scratch.clear();
        }
        if frame.len() >= TOGETHER {
            write_pieces(to, &frame, patience).await?;
            queue.written(frame.len());
        } else {
            scratch.extend_from_slice(&frame);
        }
    }
    write_pieces(to, scratch, patience).await?;
    queue.written(scratch.len());
    Ok(())
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
pub(crate) mod tests {
    use super::*;
    use crate::queue::Full;
    use core::pin::{Pin, pin};
    use core::task::{Context, Poll};
    use std::task::Waker;

    const PATIENCE: Duration = Duration::from_secs(9);

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
        queue.written(5);
        assert_eq!(queue.push(Bytes::from_static(b"1")), Ok(()), "there is room again");
        queue.close();
        assert_eq!(queue.push(Bytes::from_static(b"2")), Err(Full));
        assert!(run(queue.take_all()).is_some(), "what waited still goes out");
        assert!(run(queue.take_all()).is_none());
    }

    #[test]
    fn frames_of_all_sizes_are_written_in_order() {
        let sizes = [1, TOGETHER + 1, 3, TOGETHER - 1, TOGETHER, 0, 9];
        let frames: Vec<Bytes> =
            sizes.iter().map(|size| Bytes::from(vec![*size as u8; *size])).collect();
        for take in 1..=frames.len() {
            let queue = FrameQueue::new(4 * TOGETHER);
            frames[..take].iter().for_each(|frame| queue.push(frame.clone()).expect("room"));
            queue.close();
            let mut written = Vec::new();
            run(write_queue(&mut written, &queue, PATIENCE)).expect("room for all");
            assert_eq!(written, frames[..take].concat());
        }
    }

    /// A connection whose other side takes in so many bytes and no more.
    struct Stuck(usize);

    impl AsyncWrite for Stuck {
        fn poll_write(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
            bytes: &[u8],
        ) -> Poll<io::Result<usize>> {
            let taken = bytes.len().min(self.0);
            self.0 -= taken;
            if taken == 0 { Poll::Pending } else { Poll::Ready(Ok(taken)) }
        }

        fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }

        fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
            Poll::Ready(Ok(()))
        }
    }

    /// How many bytes a queue still takes in, to the byte.
    fn room(queue: &FrameQueue) -> usize {
        let mut room = 0;
        while queue.push(Bytes::from_static(b"1")).is_ok() {
            room += 1;
        }
        room
    }

    /// The bound of a queue (`peer_queue_bytes`, `client_queue_bytes`) is on what waits and what is
    /// being written together: a peer that takes nothing in costs no more than that.
    #[test]
    pub(crate) fn what_is_being_written_takes_its_room() {
        let long = 2 * TOGETHER;
        // What the other side takes in, and how much is free then.
        let cases = [(0, 7), (3, 7), (4, 7 + 4), (4 + long - 1, 7 + 4), (4 + long, 7 + 4 + long)];
        let _time = tokio::runtime::Builder::new_current_thread().enable_time().build();
        let _time = _time.as_ref().expect("a runtime").enter();
        for (takes, free) in cases {
            let queue = FrameQueue::new(4 + long + 5 + 7);
            for length in [4, long, 5] {
                queue.push(Bytes::from(vec![0; length])).expect("room");
            }
            let mut connection = Stuck(takes);
            let mut writing = pin!(write_queue(&mut connection, &queue, PATIENCE));
            let mut context = Context::from_waker(Waker::noop());
            assert!(writing.as_mut().poll(&mut context).is_pending());
            assert_eq!(room(&queue), free, "{takes} bytes were taken in");
        }
        let queue = FrameQueue::new(9);
        queue.push(Bytes::from_static(b"lost")).expect("room");
        run(queue.take_all()).expect("open");
        queue.clear();
        assert_eq!(room(&queue), 9, "with a connection goes what was being written to it");
    }
}
