//! The thread that owns a node's log: it appends what the replica wrote, and one sync serves all
//! that came meanwhile.

use crate::sync::{
    Arc, AtomicUsize, Builder, JoinHandle, Ordering, Receiver, Sender, UnboundedSender, channel,
};
use crate::wal::{SyncPolicy, Wal, WalError};
use consensus_core::RecordNumber;
use consensus_core::mutant::planted;

/// One record on its way to the disk.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) number: RecordNumber,
    pub(crate) record: Vec<u8>,
    /// Does something wait for its sync?
    pub(crate) needed: bool,
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
    events: UnboundedSender<LogEvent>,
) -> std::io::Result<(LogHandle, JoinHandle<()>)> {
    let (orders, inbox) = channel();
    let backlog = Arc::new(AtomicUsize::new(0));
    let behind = Arc::clone(&backlog);
    let work = move || {
        if let Err(error) = run(wal, &inbox, &behind, &events) {
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
        let bytes = records.iter().map(|append| append.record.len()).sum();
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
                        let number = wal.append(&append.record)?;
                        assert_eq!(number, append.number, "records are one stream");
                        needed |= append.needed;
                        bytes += append.record.len();
                    }
                }
            }
        }
        if planted("Q03") {
            let durable = Some(RecordNumber(wal.records()));
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
