//! A queue of encoded frames between a task that makes them and a task that writes them to a
//! connection, bounded in bytes.

use crate::sync::{Mutex, MutexGuard, Notify, PoisonError};
use bytes::Bytes;
use consensus_core::mutant::planted;
use std::collections::VecDeque;

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
    /// Of the frames, and of those that were taken out and are being written.
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
        let first = inner.frames.is_empty();
        if first && planted("Q01") {
            drop(inner);
            self.ready.notify_one();
            inner = self.lock();
        }
        inner.bytes += frame.len();
        inner.frames.push_back(frame);
        drop(inner);
        if first && !planted("Q01") {
            self.ready.notify_one();
        }
        Ok(())
    }

    /// Can a frame of this length be put in at all?
    pub(crate) fn takes(&self, length: usize) -> bool {
        length <= self.limit
    }

    /// Waits for frames and takes all of them out; `None` when the queue is closed and empty. They
    /// take their room until they are [`written`](Self::written): on a slow link, else, twice the
    /// bound would be in memory.
    pub(crate) async fn take_all(&self) -> Option<VecDeque<Bytes>> {
        loop {
            {
                let mut inner = self.lock();
                if !inner.frames.is_empty() {
                    if planted("N15") {
                        inner.bytes = 0;
                    }
                    return Some(std::mem::take(&mut inner.frames));
                }
                if inner.closed {
                    return None;
                }
            }
            self.ready.notified().await;
        }
    }

    /// So many bytes of what was taken out are on their way and take no more room here.
    pub(crate) fn written(&self, bytes: usize) {
        let mut inner = self.lock();
        inner.bytes = inner.bytes.saturating_sub(bytes);
    }

    /// Forgets what waits, and what was taken out: the connection for it is gone.
    pub(crate) fn clear(&self) {
        let mut inner = self.lock();
        inner.frames.clear();
        inner.bytes = 0;
    }

    /// Does it take nothing in any more?
    pub(crate) fn is_closed(&self) -> bool {
        self.lock().closed
    }

    /// Takes nothing in any more; what waits can still be taken out.
    pub(crate) fn close(&self) {
        self.lock().closed = true;
        if !planted("Q02") {
            self.ready.notify_one();
        }
    }
}
