//! All orders in which the threads of a node can meet, for the two places where they do: the queue
//! of frames between tasks, and the log thread's way in and out.
//!
//! The sources are those of the crate, compiled here over loom's primitives; loom then runs each
//! model once for every order of their steps that makes a difference. What the models leave out:
//! tokio's own channels and its `Notify`, whose contract (at most one wake-up is kept) is stood in
//! for below, and which tokio checks with loom itself; and counters that nothing depends on.

use bytes::Bytes;
use consensus_core::{ClusterId, NodeId, RecordNumber};
use loom::future::block_on;
use loom::thread;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicUsize as PlainCounter, Ordering as PlainOrdering};
use std::sync::{Arc as PlainArc, Mutex as PlainMutex};
use synod_runtime::wal::{Owner, SyncPolicy, Wal};
use synod_runtime::{LogFile, Storage};

/// What `crates/runtime/src/sync.rs` names, of loom.
mod sync {
    use loom::sync::Condvar;
    pub(crate) use loom::sync::atomic::{AtomicUsize, Ordering};
    pub(crate) use loom::sync::{Arc, Mutex, MutexGuard};
    pub(crate) use loom::thread::{Builder, JoinHandle};
    use std::collections::VecDeque;
    pub(crate) use std::sync::PoisonError;
    use std::sync::mpsc::{RecvError, SendError, TryRecvError};
    use std::task::{Poll, Waker};

    /// A channel that ends when one of its ends is dropped, which loom's own does not.
    #[derive(Debug)]
    struct Pipe<T> {
        inner: Mutex<(VecDeque<T>, bool)>,
        ready: Condvar,
    }

    impl<T> Pipe<T> {
        fn end(&self) {
            self.inner.lock().expect("nobody panics").1 = true;
            self.ready.notify_all();
        }
    }

    #[derive(Debug)]
    pub(crate) struct Sender<T>(Arc<Pipe<T>>);

    #[derive(Debug)]
    pub(crate) struct Receiver<T>(Arc<Pipe<T>>);

    pub(crate) type UnboundedSender<T> = Sender<T>;

    pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let inner = Mutex::new((VecDeque::new(), false));
        let pipe = Arc::new(Pipe { inner, ready: Condvar::new() });
        (Sender(Arc::clone(&pipe)), Receiver(pipe))
    }

    impl<T> Sender<T> {
        pub(crate) fn send(&self, value: T) -> Result<(), SendError<T>> {
            let mut inner = self.0.inner.lock().expect("nobody panics");
            if inner.1 {
                return Err(SendError(value));
            }
            inner.0.push_back(value);
            drop(inner);
            self.0.ready.notify_all();
            Ok(())
        }
    }

    impl<T> Receiver<T> {
        pub(crate) fn recv(&self) -> Result<T, RecvError> {
            let mut inner = self.0.inner.lock().expect("nobody panics");
            loop {
                match inner.0.pop_front() {
                    Some(value) => return Ok(value),
                    None if inner.1 => return Err(RecvError),
                    None => inner = self.0.ready.wait(inner).expect("nobody panics"),
                }
            }
        }

        pub(crate) fn try_recv(&self) -> Result<T, TryRecvError> {
            let mut inner = self.0.inner.lock().expect("nobody panics");
            inner.0.pop_front().ok_or(TryRecvError::Empty)
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            self.0.end();
        }
    }

    impl<T> Drop for Receiver<T> {
        fn drop(&mut self) {
            self.0.end();
        }
    }

    /// One wake-up is kept for a taker that does not wait yet; more are one.
    #[derive(Debug, Default)]
    pub(crate) struct Notify(Mutex<(bool, Option<Waker>)>);

    impl Notify {
        pub(crate) fn new() -> Self {
            Self::default()
        }

        pub(crate) fn notify_one(&self) {
            let mut inner = self.0.lock().expect("nobody panics");
            inner.0 = true;
            let waiting = inner.1.take();
            drop(inner);
            if let Some(waiting) = waiting {
                waiting.wake();
            }
        }

        pub(crate) fn notified(&self) -> impl Future<Output = ()> {
            std::future::poll_fn(|context| {
                let mut inner = self.0.lock().expect("nobody panics");
                if std::mem::take(&mut inner.0) {
                    return Poll::Ready(());
                }
                inner.1 = Some(context.waker().clone());
                Poll::Pending
            })
        }
    }
}

/// What `log_thread.rs` uses.
mod storage {
    pub(crate) use synod_runtime::Storage;
}

/// And this.
mod wal {
    pub(crate) use synod_runtime::wal::{SyncPolicy, Wal, WalError};
}

#[allow(dead_code, unreachable_pub)]
#[path = "../src/queue.rs"]
mod queue;

#[allow(dead_code, unreachable_pub)]
#[path = "../src/log_thread.rs"]
mod log_thread;

use log_thread::{Append, LogEvent, What};
use queue::FrameQueue;
use sync::{Arc, channel};

/// Runs the model in all orders with at most two preemptions more than needed; counts them.
fn explore(model: impl Fn() + Send + Sync + 'static) -> usize {
    let runs = PlainArc::new(PlainCounter::new(0));
    let counted = PlainArc::clone(&runs);
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(3);
    builder.check(move || {
        counted.fetch_add(1, PlainOrdering::Relaxed);
        model();
    });
    runs.load(PlainOrdering::Relaxed)
}

fn frame(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

/// Everything that one taker gets until the queue is closed.
fn take_everything(queue: &FrameQueue) -> Vec<Bytes> {
    let mut taken = Vec::new();
    while let Some(frames) = block_on(queue.take_all()) {
        queue.written(frames.iter().map(Bytes::len).sum());
        taken.extend(frames);
    }
    taken
}

/// Two tasks put frames in while a third takes them out, and one of the two closes the queue.
/// Whatever was accepted comes out, in the order of each task, and the taker never sleeps for good.
fn two_push_one_takes() {
    let queue = Arc::new(FrameQueue::new(3));
    let other = Arc::clone(&queue);
    let pusher = thread::spawn(move || usize::from(other.push(frame("b")).is_ok()));
    let taker = {
        let queue = Arc::clone(&queue);
        thread::spawn(move || take_everything(&queue))
    };
    let mut accepted = [queue.push(frame("a1")), queue.push(frame("a2"))]
        .iter()
        .filter(|pushed| pushed.is_ok())
        .count();
    accepted += pusher.join().expect("it pushes");
    queue.close();
    let taken = taker.join().expect("it takes");
    assert_eq!(taken.len(), accepted, "all that was accepted comes out, once");
    let own: Vec<_> = taken.iter().filter(|one| one.starts_with(b"a")).collect();
    assert!(own.is_sorted(), "the order of one task is kept: {own:?}");
    assert!(queue.push(frame("c")).is_err(), "a closed queue takes nothing");
}

/// A frame that is put into an empty queue wakes the taker, though nobody closes the queue.
fn a_frame_wakes_the_taker() {
    let queue = Arc::new(FrameQueue::new(9));
    let other = Arc::clone(&queue);
    let pusher = thread::spawn(move || other.push(frame("a")).expect("room"));
    assert_eq!(block_on(queue.take_all()).expect("open"), [frame("a")]);
    pusher.join().expect("it pushes");
}

/// A queue that is closed while somebody puts in: either in and out, or refused.
fn push_meets_close() {
    let queue = Arc::new(FrameQueue::new(9));
    let other = Arc::clone(&queue);
    let pusher = thread::spawn(move || usize::from(other.push(frame("a")).is_ok()));
    let closer = {
        let queue = Arc::clone(&queue);
        thread::spawn(move || queue.close())
    };
    let taken = take_everything(&queue);
    closer.join().expect("it closes");
    assert_eq!(taken.len(), pusher.join().expect("it pushes"));
}

/// A link that comes back clears its queue: what is put in afterwards still wakes the taker.
fn clear_meets_push() {
    let queue = Arc::new(FrameQueue::new(9));
    let other = Arc::clone(&queue);
    let pusher = thread::spawn(move || {
        other.push(frame("a")).expect("room");
        other.clear();
        other.push(frame("b")).expect("room");
        other.close();
    });
    let taken = take_everything(&queue);
    pusher.join().expect("it pushes");
    assert_eq!(taken.last(), Some(&frame("b")), "what came after is there");
}

/// Sequentially, as a page of the contract: bounded in bytes, in order, closed for good.
fn the_queue_is_bounded_in_bytes() {
    let queue = FrameQueue::new(10);
    assert!(queue.push(frame("12345")).is_ok());
    assert!(queue.push(frame("67890")).is_ok());
    assert!(queue.push(frame("1")).is_err());
    let taken = block_on(queue.take_all()).expect("open");
    assert_eq!(taken, [frame("12345"), frame("67890")]);
    assert!(queue.push(frame("1")).is_err(), "they are being written");
    queue.written(5);
    assert!(queue.push(frame("1")).is_ok(), "there is room again");
    queue.close();
    assert!(block_on(queue.take_all()).is_some(), "what waited still goes out");
    assert!(block_on(queue.take_all()).is_none());
}

#[test]
fn a_queue_loses_nothing_and_never_sleeps_for_good() {
    let orders = explore(two_push_one_takes);
    assert!(orders > 500, "{orders} orders");
    assert!(explore(a_frame_wakes_the_taker) > 5);
    assert!(explore(push_meets_close) > 50);
    assert!(explore(clear_meets_push) > 20);
    explore(the_queue_is_bounded_in_bytes);
}

/// A disk in memory that counts how many bytes were synced.
#[derive(Clone, Default)]
struct Memory(PlainArc<PlainMutex<(Vec<u8>, usize)>>);

impl Memory {
    fn synced(&self) -> usize {
        self.0.lock().expect("nobody panics").1
    }
}

impl Storage for Memory {
    fn open(&self, _path: &Path, _create: bool) -> io::Result<Box<dyn LogFile>> {
        Ok(Box::new(self.clone()))
    }

    fn length(&self, _path: &Path) -> io::Result<Option<u64>> {
        Ok(None)
    }

    fn rename(&self, _from: &Path, _to: &Path) -> io::Result<()> {
        Ok(())
    }

    fn remove(&self, _path: &Path) -> io::Result<()> {
        Ok(())
    }

    fn sync_dir(&self, _dir: &Path) -> io::Result<()> {
        Ok(())
    }
}

impl LogFile for Memory {
    fn read(&mut self) -> io::Result<Vec<u8>> {
        Ok(self.0.lock().expect("nobody panics").0.clone())
    }

    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.lock().expect("nobody panics").0.extend_from_slice(bytes);
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut inner = self.0.lock().expect("nobody panics");
        inner.1 = inner.0.len();
        Ok(())
    }

    fn cut(&mut self, _length: u64) -> io::Result<()> {
        Ok(())
    }

    fn rewrite(&mut self, _at: u64, _bytes: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

fn append(number: u64, needed: bool) -> Vec<Append> {
    let what = What::Record { bytes: vec![number as u8; 10], needed };
    vec![Append { number: RecordNumber(number), what }]
}

/// Length of the file header, and of a record of ten bytes with its frame.
const HEADER: usize = 60;
const RECORD: usize = 19;

/// The node hands records over and watches the backlog, while the thread writes, and reports.
fn records_meet_the_log_thread() {
    let disk = Memory::default();
    let owner = Owner { cluster: ClusterId(1), node: NodeId(0) };
    let wal = Wal::create(&disk, Path::new("wal.log"), owner, SyncPolicy::Sync).expect("new");
    let (events, reports) = channel();
    let (log, thread) = log_thread::start("log".into(), wal, PlainArc::new(disk.clone()), events)
        .expect("a thread");
    log.append(append(1, true));
    assert!(log.backlog() <= 10, "no more is on its way than was handed over");
    log.append(append(2, false));
    assert!(log.backlog() <= 20, "no more is on its way than was handed over");
    log.flush();
    let mut durable = 0;
    while durable < 2 {
        match reports.recv().expect("the thread reports before it ends") {
            LogEvent::Written { durable: Some(upto), synced } => {
                assert!(synced && upto.0 >= durable, "reports never fall");
                durable = upto.0;
                let needed = HEADER + durable as usize * RECORD;
                assert!(disk.synced() >= needed, "durable is what was synced before");
            }
            LogEvent::Written { durable: None, .. } => {}
            LogEvent::Failed(error) => panic!("{error}"),
        }
    }
    thread.join().expect("a flush ends the thread");
    assert_eq!(log.backlog(), 0, "everything that was handed over is written");
}

/// A record that something waits for is synced, and reported, though nothing flushes, and whatever
/// comes behind it in the same burst.
fn a_needed_record_is_not_held_up_by_notes() {
    let disk = Memory::default();
    let owner = Owner { cluster: ClusterId(1), node: NodeId(0) };
    let wal = Wal::create(&disk, Path::new("wal.log"), owner, SyncPolicy::Sync).expect("new");
    let (events, reports) = channel();
    let (log, thread) = log_thread::start("log".into(), wal, PlainArc::new(disk.clone()), events)
        .expect("a thread");
    log.append(append(1, true).into_iter().chain(append(2, false)).collect());
    log.append(append(3, false));
    let mut durable = 0;
    while durable < 1 {
        match reports.recv().expect("the thread reports before it ends") {
            LogEvent::Written { durable: Some(upto), .. } => durable = upto.0,
            LogEvent::Written { durable: None, .. } => {}
            LogEvent::Failed(error) => panic!("{error}"),
        }
    }
    assert!(disk.synced() >= HEADER + RECORD, "durable is what was synced before");
    drop(log);
    thread.join().expect("the thread ends");
}

/// A node that is gone drops its handle: the thread ends by itself.
fn the_handle_is_dropped() {
    let disk = Memory::default();
    let owner = Owner { cluster: ClusterId(1), node: NodeId(0) };
    let wal = Wal::create(&disk, Path::new("wal.log"), owner, SyncPolicy::Sync).expect("new");
    let (events, reports) = channel();
    let (log, thread) = log_thread::start("log".into(), wal, PlainArc::new(disk.clone()), events)
        .expect("a thread");
    log.append(append(1, true));
    drop(log);
    drop(reports);
    thread.join().expect("the thread ends");
}

#[test]
fn the_log_thread_reports_what_is_synced_and_ends_when_told() {
    assert!(explore(records_meet_the_log_thread) > 20);
    assert!(explore(a_needed_record_is_not_held_up_by_notes) > 5);
    assert!(explore(the_handle_is_dropped) > 2);
}

/// The models, by the planted bugs that must make them fail.
#[cfg(feature = "mutants")]
const PLANTED: [(&str, fn()); 4] = [
    ("Q01", a_frame_wakes_the_taker),
    ("Q02", push_meets_close),
    ("Q03", records_meet_the_log_thread),
    ("Q04", a_needed_record_is_not_held_up_by_notes),
];

/// Names the bug that a child of the next test is to plant.
#[cfg(feature = "mutants")]
const PLANT: &str = "SYNOD_INTERLEAVINGS_PLANT";

/// Each planted bug makes its model fail; so they can. In a process of its own, because loom ends
/// it where a thread of a model has panicked.
#[cfg(feature = "mutants")]
#[test]
fn every_bug_planted_between_threads_is_found() {
    const SELF: &str = "every_bug_planted_between_threads_is_found";
    if let Ok(name) = std::env::var(PLANT) {
        let (name, model) = PLANTED.into_iter().find(|one| one.0 == name).expect("such a bug");
        consensus_core::mutant::plant(Some(name));
        explore(model);
        return;
    }
    let all = synod_runtime::MUTANTS.iter().filter(|mutant| mutant.name.starts_with('Q'));
    assert_eq!(all.count(), PLANTED.len(), "every planted bug has a model");
    let exe = std::env::current_exe().expect("this test");
    for (name, _) in PLANTED {
        let mut child = std::process::Command::new(&exe);
        let ran = child.args(["--exact", SELF, "--nocapture"]).env(PLANT, name).output();
        let ran = ran.expect("the test runs again");
        let said = String::from_utf8_lossy(&ran.stderr);
        let why = ["deadlock; threads", "durable is what was synced before"];
        let found = !ran.status.success() && why.iter().any(|why| said.contains(why));
        assert!(found, "{name} is not found: {said}");
    }
}
