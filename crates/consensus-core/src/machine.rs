//! The replicated service: what applications implement.

use bytes::Bytes;
use std::fmt;

/// A state that no longer changes, on its way to become bytes.
pub type Frozen = Box<dyn FnOnce() -> Vec<u8> + Send>;

/// A deterministic service. Equal machines that apply the same commands in the same order must end
/// equal and give equal results: no clock, no chance, no iteration over a hash map.
pub trait StateMachine: Send + 'static {
    /// Applies one command and gives its result. A command that makes no sense has a result that
    /// says so; it must not panic.
    fn apply(&mut self, command: &Bytes) -> Bytes;

    /// Answers a question without changing anything.
    fn query(&self, question: &Bytes) -> Bytes;

    /// The whole state as bytes; equal machines give equal bytes.
    fn snapshot(&self) -> Vec<u8>;

    /// The state as it is now, to be made bytes later and in another thread, while this machine
    /// goes on applying. A driver that takes a snapshot waits for this call only, so a large
    /// machine overrides it by something cheap: shared parts that are copied when they are written
    /// to. The bytes are those that [`snapshot`](Self::snapshot) would give now.
    fn freeze(&self) -> Frozen {
        let bytes = self.snapshot();
        Box::new(move || bytes)
    }

    /// Becomes the machine that the snapshot was taken of.
    ///
    /// # Errors
    /// If these bytes are no snapshot; the machine is then unchanged.
    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError>;
}

/// Bytes that are no snapshot of this machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RestoreError(pub String);

impl fmt::Display for RestoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a snapshot: {}", self.0)
    }
}

impl std::error::Error for RestoreError {}
