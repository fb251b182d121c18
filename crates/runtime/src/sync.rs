//! Where the threads of a node meet: the primitives of `queue.rs` and `log_thread.rs`. They are
//! named here, so that the test `interleavings` can compile the same two files over others, which
//! try all orders in which threads can run.

pub(crate) use std::sync::atomic::{AtomicUsize, Ordering};
pub(crate) use std::sync::mpsc::{Receiver, Sender, channel};
pub(crate) use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
pub(crate) use std::thread::{Builder, JoinHandle};
pub(crate) use tokio::sync::Notify;
pub(crate) use tokio::sync::mpsc::UnboundedSender;
