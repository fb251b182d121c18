//! Room for what came from outside and waits, in bytes: taken before it is let in, and given back
//! when whoever has it drops it.

use consensus_core::mutant::planted;
use std::sync::Arc;
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// So many bytes of it.
#[derive(Clone, Debug)]
pub(crate) struct Room(Arc<Semaphore>);

/// A part of it that is taken.
pub(crate) type Taken = OwnedSemaphorePermit;

impl Room {
    pub(crate) fn new(bytes: usize) -> Self {
        Self(Arc::new(Semaphore::new(bytes)))
    }

    /// Takes room for so many bytes, at once or not at all.
    pub(crate) fn try_take(&self, bytes: usize) -> Option<Taken> {
        let bytes = if planted("N05") { 1 } else { bytes };
        Arc::clone(&self.0).try_acquire_many_owned(permits(bytes)).ok()
    }

    /// Takes room for so many bytes when there is some; nothing that comes later overtakes it.
    ///
    /// # Errors
    /// Never, as no room is ever closed.
    pub(crate) async fn take(&self, bytes: usize) -> Result<Taken, AcquireError> {
        let bytes = if planted("N06") { 1 } else { bytes };
        Arc::clone(&self.0).acquire_many_owned(permits(bytes)).await
    }
}

/// Even nothing takes a place.
fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes.max(1)).unwrap_or(u32::MAX)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use std::future::Future;
    use std::pin::pin;
    use std::task::{Context, Poll, Waker};

    /// Backpressure at the door of clients: all up to the bound is let in, not a byte more, and
    /// again when something was answered.
    #[test]
    pub(crate) fn what_may_not_wait_is_let_in_up_to_the_byte() {
        let room = Room::new(100);
        let first = room.try_take(60).expect("room");
        let second = room.try_take(40).expect("just room");
        assert!(room.try_take(1).is_none(), "not a byte more");
        assert!(room.try_take(0).is_none(), "nothing is free");
        drop(second);
        assert!(room.try_take(41).is_none());
        let _third = room.try_take(40).expect("what was answered made room");
        drop(first);
    }

    /// Backpressure at the door of peers (`inbox_bytes`): what is beyond the bound waits, and so
    /// its connection is not read, until the replica has handled something.
    #[test]
    pub(crate) fn what_may_wait_is_let_in_up_to_the_byte() {
        let room = Room::new(100);
        let mut context = Context::from_waker(Waker::noop());
        let mut taken = |bytes| match pin!(room.take(bytes)).poll(&mut context) {
            Poll::Ready(taken) => Some(taken.expect("it is open")),
            Poll::Pending => None,
        };
        let first = taken(60).expect("room");
        let _second = taken(40).expect("just room");
        assert!(taken(1).is_none(), "not a byte more");
        drop(first);
        assert!(taken(61).is_none());
        assert!(taken(60).is_some(), "what was handled made room");
    }
}
