//! The thread that owns a node's log: it appends what the replica wrote, and one sync serves all
//! that came meanwhile.

use crate::storage::Storage;
use crate::sync::{
    Arc, AtomicUsize, Builder, JoinHandle, Ordering, Receiver, Sender, UnboundedSender, channel,
};
use crate::wal::{SyncPolicy, Wal, WalError};
use consensus_core::RecordNumber;
use consensus_core::mutant::planted;
// Not that of `sync`: a disk is no part of what the interleavings try.
use std::sync::Arc as PlainArc;

/// One write on its way to the disk.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) number: RecordNumber,
    pub(crate) what: What,
}

/// What is written.
#[derive(Debug)]
pub(crate) enum What {
    /// A record at the end of the log.
    Record {
        bytes: Vec<u8>,
        /// Does something wait for its sync?
        needed: bool,
    },
    /// These records instead of all earlier ones.
    Compact(Vec<Vec<u8>>),
}

impl Append {
    fn bytes(&self) -> usize {
        match &self.what {
            What::Record { bytes, .. } => bytes.len(),
            What::Compact(records) => records.iter().map(Vec::len).sum(),
        }
    }
}

enum Order {
    Append(Vec<Append>),
    /// Sync everything and end.
    Flush,
}

/// What the thread reports.
#[derive(Debug)]
pub(crate) enum LogEvent {
    /// A number of records was written.
    Written {
        /// All records up to this one are durable, as far as was asked for.
        durable: Option<RecordNumber>,
        /// Was the disk asked to sync?
        synced: bool,
    },
    /// The log can no longer be used.
    Failed(WalError),
}

/// The way to the thread. When it is dropped, the thread ends without another sync.
pub(crate) struct LogHandle {
    orders: Sender<Order>,
    backlog: Arc<AtomicUsize>,
}

/// Starts the thread; its reports go to `events`.
pub(crate) fn start(
    name: String,
    wal: Wal,
    storage: PlainArc<dyn Storage>,
    events: UnboundedSender<LogEvent>,
) -> std::io::Result<(LogHandle, JoinHandle<()>)> {
    let (orders, inbox) = channel();
    let backlog = Arc::new(AtomicUsize::new(0));
    let behind = Arc::clone(&backlog);
    let work = move || {
        if let Err(error) = run(wal, &*storage, &inbox, &behind, &events) {
            // Nobody listens when the node has gone before.
            let _ = events.send(LogEvent::Failed(error));
        }
    };
    let thread = Builder::new().name(name).spawn(work)?;
    Ok((LogHandle { orders, backlog }, thread))
}

impl LogHandle {
    /// Hands records over, in order of their numbers.
    pub(crate) fn append(&self, records: Vec<Append>) {
        let bytes = records.iter().map(Append::bytes).sum();
        self.backlog.fetch_add(bytes, Ordering::Relaxed);
        // The thread is gone only after it reported a failure, which stops the node.
        let _ = self.orders.send(Order::Append(records));
    }

    /// Bytes that were handed over and are not written yet.
    pub(crate) fn backlog(&self) -> usize {
        self.backlog.load(Ordering::Relaxed)
    }

    /// Has everything that was handed over synced, notes too, and ends the thread.
    pub(crate) fn flush(&self) {
        let _ = self.orders.send(Order::Flush);
    }
}

fn run(
    mut wal: Wal,
    storage: &dyn Storage,
    inbox: &Receiver<Order>,
    backlog: &AtomicUsize,
    events: &UnboundedSender<LogEvent>,
) -> Result<(), WalError> {
    while let Ok(first) = inbox.recv() {
        let mut needed = false;
        let mut flush = false;
        let mut bytes = 0;
        let more = std::iter::from_fn(|| inbox.try_recv().ok());
        for order in std::iter::once(first).chain(more) {
            match order {
                Order::Flush => flush = true,
                Order::Append(records) => {
                    for append in records {
                        bytes += append.bytes();
                        needed &= !planted("Q04");
                        needed |= add(&mut wal, storage, &append)?;
                    }
                }
            }
        }
        if planted("Q03") {
            let durable = Some(wal.last());
            let _ = events.send(LogEvent::Written { durable, synced: true });
        }
        let durable = if needed || flush {
            Some(wal.sync()?)
        } else {
            wal.write()?;
            None
        };
        backlog.fetch_sub(bytes, Ordering::Relaxed);
        let synced = durable.is_some() && wal.policy() == SyncPolicy::Sync;
        let _ = events.send(LogEvent::Written { durable, synced });
        if flush {
            break;
        }
    }
    Ok(())
}

/// Adds one write to the log; does something wait for its sync?
fn add(wal: &mut Wal, storage: &dyn Storage, append: &Append) -> Result<bool, WalError> {
    let (number, needed) = match &append.what {
        What::Record { bytes, needed } => (wal.append(bytes)?, *needed),
        // Durable already, and everything before it; to be told of soon.
        What::Compact(records) => (wal.compact(storage, records)?, true),
    };
    assert_eq!(number, append.number, "records are one stream");
    Ok(needed)
}
