//! Three replicas, a task each, over unbounded tokio channels; each client is a task with one
//! command outstanding. A replica takes in what has come when it wakes, proposes what clients want
//! in one burst, and sends at most one parcel of messages to each other replica.
//!
//! With so many bursts under way as the cell says, commands gather for the next one: that is how
//! our runtime drives its algorithms (`Limits::pipeline`). Peers are measured both ways.

use crate::lockstep::Lockstep;
use crate::measure::Cell;
use crate::node::{Node, Visitor, dispatch};
use crate::tally::{Source, Tally};
use cpu_time::ProcessTime;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;
use tokio::runtime::{Builder, Runtime};
use tokio::sync::mpsc::{
    Receiver, Sender, UnboundedReceiver, UnboundedSender, channel, unbounded_channel,
};
use tokio::task::JoinHandle;

/// Commands outstanding: as many clients.
pub const CLIENTS: [usize; 3] = [1, 64, 1024];

/// Most that a replica takes in at once.
const BURST: usize = 4096;

/// What one episode came to.
#[derive(Clone, Copy, Debug, Default)]
pub struct Pace {
    /// Commits a second, by the clock.
    pub rate: f64,
    /// CPU of replicas and clients together, nanoseconds a commit.
    pub nanoseconds: f64,
    /// Messages between replicas, a commit.
    pub messages: f64,
}

/// What wakes a replica.
enum Word<M> {
    /// Another replica's messages.
    Parcel(Vec<M>),
    /// This client wants a command decided.
    Client(usize),
    /// The end: after everything that was sent before.
    Stop,
}

/// A replica's task.
struct Place<N: Node> {
    id: usize,
    node: N,
    inbox: UnboundedReceiver<Word<N::Message>>,
    others: Vec<UnboundedSender<Word<N::Message>>>,
    /// Clients by number, how many commands were answered, and whose are not, oldest first. The
    /// first replica's only.
    answers: Vec<Sender<()>>,
    answered: u64,
    under_way: VecDeque<usize>,
    /// Where the bursts that are under way end, by the count of commands; and how many there may
    /// be.
    bursts: VecDeque<u64>,
    pipeline: usize,
    source: Source,
    messages: u64,
    /// How much each replica has applied.
    applied: Arc<[AtomicU64; 3]>,
}

impl<N: Node> Place<N> {
    async fn run(mut self) -> (Tally, u64) {
        let mut words = Vec::with_capacity(BURST);
        let mut stops = false;
        while !stops {
            self.inbox.recv_many(&mut words, BURST).await;
            self.node.begin();
            for word in words.drain(..) {
                match word {
                    Word::Parcel(messages) => {
                        messages.into_iter().for_each(|message| self.node.hear(message));
                    }
                    Word::Client(client) => self.under_way.push_back(client),
                    Word::Stop => stops = true,
                }
            }
            if N::FLUSH_FIRST {
                self.flush();
            }
            self.propose();
            self.flush();
            self.applied[self.id].store(self.node.tally().applied, Ordering::Relaxed);
            self.answer();
        }
        if self.id == 0 {
            for other in &self.others[1..] {
                assert!(other.send(Word::Stop).is_ok(), "the others stop after the first");
            }
        }
        (self.node.tally(), self.messages)
    }

    /// Proposes what clients want, unless enough is under way.
    fn propose(&mut self) {
        let applied = self.node.tally().applied;
        while self.bursts.front().is_some_and(|end| *end <= applied) {
            self.bursts.pop_front();
        }
        let proposed = (self.source.made() - self.answered) as usize;
        let fresh = self.under_way.len() - proposed;
        if fresh > 0 && self.bursts.len() < self.pipeline {
            self.node.propose(self.source.commands(fresh));
            self.bursts.push_back(self.source.made());
        }
    }

    fn flush(&mut self) {
        let mut parcels = [const { Vec::new() }; 3];
        self.node.flush(&mut |to, message| parcels[to].push(message));
        for (to, parcel) in parcels.into_iter().enumerate().filter(|(_, parcel)| !parcel.is_empty())
        {
            self.messages += parcel.len() as u64;
            // At the end, followers still acknowledge when the first has stopped.
            let _ = self.others[to].send(Word::Parcel(parcel));
        }
    }

    /// Commands are applied in the order in which they were proposed.
    fn answer(&mut self) {
        if self.id != 0 {
            return;
        }
        while self.answered < self.node.tally().applied {
            let client = self.under_way.pop_front().expect("somebody asked for it");
            self.answers[client].try_send(()).expect("a client waits for one answer");
            self.answered += 1;
        }
    }
}

/// Asks for so many commands, one after the other.
async fn client<M: Send>(
    number: usize,
    to: UnboundedSender<Word<M>>,
    mut answers: Receiver<()>,
    commands: u64,
) -> Receiver<()> {
    for _ in 0..commands {
        assert!(to.send(Word::Client(number)).is_ok(), "the first replica runs");
        answers.recv().await.expect("an answer");
    }
    answers
}

/// A cluster in a runtime of its own.
struct Running<N: Node> {
    runtime: Runtime,
    first: UnboundedSender<Word<N::Message>>,
    places: Vec<JoinHandle<(Tally, u64)>>,
    clients: Vec<Receiver<()>>,
    applied: Arc<[AtomicU64; 3]>,
}

impl<N: Node> Running<N> {
    fn start(cell: Cell, pipeline: usize) -> Self {
        let runtime = Builder::new_multi_thread().worker_threads(2).build().expect("a runtime");
        let (senders, inboxes): (Vec<_>, Vec<_>) = (0..3).map(|_| unbounded_channel()).unzip();
        let (answers, clients): (Vec<_>, Vec<_>) = (0..cell.window).map(|_| channel(1)).unzip();
        let applied = Arc::new([const { AtomicU64::new(0) }; 3]);
        let nodes = Lockstep::<N>::new().into_nodes();
        let places = nodes.into_iter().zip(inboxes).enumerate().map(|(id, (node, inbox))| {
            let place = Place {
                id,
                node,
                inbox,
                others: senders.clone(),
                answers: if id == 0 { answers.clone() } else { Vec::new() },
                answered: 0,
                under_way: VecDeque::new(),
                bursts: VecDeque::new(),
                pipeline,
                source: Source::new(cell.size),
                messages: 0,
                applied: Arc::clone(&applied),
            };
            runtime.spawn(place.run())
        });
        let places = places.collect();
        Self { runtime, first: senders[0].clone(), places, clients, applied }
    }

    /// Has so many commands decided by all clients together.
    fn commit(&mut self, commands: u64) -> u64 {
        let each = commands.div_ceil(self.clients.len() as u64);
        let clients = std::mem::take(&mut self.clients);
        let asking = clients.into_iter().enumerate().map(|(number, answers)| {
            self.runtime.spawn(client(number, self.first.clone(), answers, each))
        });
        let asking: Vec<_> = asking.collect();
        for task in asking {
            let answers = self.runtime.block_on(task).expect("a client ends well");
            self.clients.push(answers);
        }
        each * self.clients.len() as u64
    }

    /// Stops, compares what the replicas applied, and says how many messages they sent.
    fn stop(mut self) -> u64 {
        // One at a time, until the others have heard of all but the last.
        self.clients.truncate(1);
        let applied = |applied: &[AtomicU64; 3], id: usize| applied[id].load(Ordering::Relaxed);
        let behind =
            |all: &[AtomicU64; 3]| applied(all, 1).min(applied(all, 2)) + 1 < applied(all, 0);
        self.commit(1);
        while behind(&self.applied) {
            self.commit(1);
        }
        assert!(self.first.send(Word::Stop).is_ok(), "the first replica runs");
        let ended = self.places.into_iter().map(|place| self.runtime.block_on(place));
        let ended: Vec<_> = ended.map(|ended| ended.expect("a replica ends well")).collect();
        for (tally, _) in &ended[1..] {
            assert!(ended[0].0.agrees_with(tally), "replicas differ: {ended:?}");
        }
        ended.iter().map(|(_, messages)| messages).sum()
    }
}

struct Episode(Cell, usize, u64);

impl Visitor for Episode {
    type Output = Pace;

    fn visit<N: Node>(self) -> Pace {
        let Self(cell, pipeline, commits) = self;
        let mut running = Running::<N>::start(cell, pipeline);
        let warm = running.commit(commits / 8);
        let (began, cpu) = (Instant::now(), ProcessTime::now());
        let done = running.commit(commits);
        let (took, spent) = (began.elapsed(), cpu.elapsed());
        let messages = running.stop() as f64;
        Pace {
            rate: done as f64 / took.as_secs_f64(),
            nanoseconds: spent.as_nanos() as f64 / done as f64,
            // Those of warming up, and of the end, were of the same kind.
            messages: messages / (done + warm) as f64,
        }
    }
}

/// Runs one episode of so many commits. While `pipeline` bursts are under way, commands gather.
pub fn episode(cell: Cell, pipeline: usize, commits: u64) -> Pace {
    dispatch(cell.system, Episode(cell, pipeline, commits))
}
