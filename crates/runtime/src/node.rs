//! The loop: one task owns one replica. It takes what came in bursts, steps the replica with each
//! input, says `Drained` when there is no more, and hands the turn's records to the log thread.

mod administration;

use crate::driver::{Asked, Driver};
use crate::handle::StopReason;
use crate::log_thread::LogEvent;
use crate::room::Taken;
use crate::shared::{Facts, Shared};
use crate::snapshots::SnapshotEvent;
use crate::waiting::{Connection, refusal};
use crate::wal::WalError;
use crate::wish;
use consensus_core::mutant::planted;
use consensus_core::{
    Admitted, Answers, Batch, Command, ConsensusProtocol, Consistency, DiskNews, Effects, Env,
    Input, LogIndex, Message, Query, Refusal, Request, Role, StateMachine, Status, Takes, Verified,
};
use std::sync::{Arc, PoisonError};
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;

/// A message of a peer, with the room that it takes.
pub(crate) struct FromPeer<M> {
    pub(crate) message: Verified<M>,
    pub(crate) room: Taken,
}

/// What comes from clients.
pub(crate) enum FromClient {
    Connected(Arc<Connection>),
    Gone(Arc<Connection>),
    Request { connection: Arc<Connection>, request: Request, room: Taken },
    Query { connection: Arc<Connection>, query: Query, room: Taken },
}

/// What comes from the operator.
pub(crate) enum Control {
    Campaign,
    Shutdown,
}

/// The closed list of all that can wake a node, beside its timers.
pub(crate) struct Inbox<P: ConsensusProtocol> {
    pub(crate) log: mpsc::UnboundedReceiver<LogEvent>,
    pub(crate) snapshots: mpsc::UnboundedReceiver<SnapshotEvent>,
    pub(crate) control: mpsc::UnboundedReceiver<Control>,
    pub(crate) wishes: mpsc::Receiver<wish::Asked>,
    pub(crate) peers: mpsc::Receiver<FromPeer<P::Message>>,
    pub(crate) clients: mpsc::Receiver<FromClient>,
}

/// One thing that woke the node.
enum Event<M> {
    Log(LogEvent),
    Snapshot(SnapshotEvent),
    Control(Control),
    Wish(wish::Asked),
    Peer(FromPeer<M>),
    Client(FromClient),
    Timer,
}

/// A replica and everything around it.
pub(crate) struct Node<P: ConsensusProtocol, S> {
    pub(crate) replica: P,
    pub(crate) effects: Effects<P>,
    /// What the disk has, and what the replica was told of that.
    pub(crate) news: DiskNews,
    pub(crate) driver: Driver<P, S>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) status: watch::Sender<Status>,
    /// Commands of this turn, not proposed yet.
    pub(crate) gathered: Vec<Command>,
    pub(crate) gathered_bytes: usize,
    /// When commands were last proposed.
    pub(crate) proposed_at: Instant,
    /// Set once the node is to shut down: when it stops waiting for commands under way.
    pub(crate) stop_at: Option<Instant>,
}

impl<P: ConsensusProtocol, S: StateMachine> Node<P, S> {
    /// Runs the replica until it is told to stop, or has to.
    pub(crate) async fn run(mut self, mut inbox: Inbox<P>) -> StopReason {
        if let Err(reason) = self.begin() {
            return reason;
        }
        loop {
            if self.may_end() {
                self.driver.waiting.lost(None);
                self.driver.log.flush();
                return StopReason::Shutdown;
            }
            let event = self.wait(&mut inbox).await;
            if let Err(reason) = self.turn(event, &mut inbox) {
                return reason;
            }
        }
    }

    fn begin(&mut self) -> Result<(), StopReason> {
        self.step(Input::Start)?;
        self.end_turn()
    }

    fn may_end(&self) -> bool {
        let idle = self.driver.waiting.is_empty();
        self.stop_at.is_some_and(|at| idle || Instant::now() >= at)
    }

    /// Is so much on its way to the disk that nothing more is taken in?
    fn is_choked(&self) -> bool {
        self.driver.limits.is_too_much(self.driver.log.backlog())
    }

    async fn wait(&mut self, inbox: &mut Inbox<P>) -> Event<P::Message> {
        let choked = self.is_choked();
        let held = (!self.gathered.is_empty()).then(|| self.hold_until());
        let driver = &self.driver;
        let queries = driver.queries.wake_at();
        let transfer = driver.wishes.transfer.as_ref().map(|(_, deadline, _)| *deadline);
        let wakes = [driver.timers.next(), self.stop_at, held, queries, transfer];
        let wake = wakes.into_iter().flatten().min();
        tokio::select! {
            biased;
            // The thread outlives the node, unless it breaks.
            event = inbox.log.recv() => {
                Event::Log(event.unwrap_or(LogEvent::Failed(WalError::Poisoned)))
            }
            // When the handle is dropped, nobody is left to say it: shut down.
            control = inbox.control.recv(), if self.stop_at.is_none() => {
                Event::Control(control.unwrap_or(Control::Shutdown))
            }
            Some(event) = inbox.snapshots.recv() => Event::Snapshot(event),
            Some(asked) = inbox.wishes.recv(), if self.stop_at.is_none() => Event::Wish(asked),
            Some(message) = inbox.peers.recv(), if !choked => Event::Peer(message),
            () = sleep_until(wake) => Event::Timer,
            Some(event) = inbox.clients.recv(), if !choked => Event::Client(event),
        }
    }

    /// Handles what woke the node and whatever else is there by now; messages before timers, so
    /// that a node that was paused hears its leader before it concludes that there is none.
    fn turn(&mut self, first: Event<P::Message>, inbox: &mut Inbox<P>) -> Result<(), StopReason> {
        let burst = self.driver.limits.burst;
        self.handle(first)?;
        while let Ok(event) = inbox.log.try_recv() {
            self.on_log(event)?;
        }
        let room = if self.is_choked() { 0 } else { burst };
        for _ in 0..room {
            let Ok(message) = inbox.peers.try_recv() else { break };
            self.on_message(message)?;
        }
        for _ in 0..burst {
            let Some(timer) = self.driver.timers.pop_due(Instant::now()) else { break };
            self.step(Input::Timer(timer))?;
        }
        let most = self.driver.limits.max_batch_commands.max(burst);
        for _ in 0..if room == 0 { 0 } else { most } {
            let Ok(event) = inbox.clients.try_recv() else { break };
            self.on_client(event)?;
        }
        if self.may_propose() {
            self.propose()?;
        }
        self.end_turn()
    }

    /// While enough batches are under way, commands gather for the next one: that makes batches
    /// large exactly when there is much to do. Not for long: what is under way may be stuck.
    fn may_propose(&self) -> bool {
        self.driver.waiting.batches_under_way() < self.driver.limits.pipeline
            || Instant::now() >= self.hold_until()
    }

    fn hold_until(&self) -> Instant {
        self.proposed_at + self.driver.limits.hold
    }

    fn handle(&mut self, event: Event<P::Message>) -> Result<(), StopReason> {
        match event {
            Event::Log(event) => self.on_log(event),
            Event::Control(Control::Campaign) => self.step(Input::Campaign),
            Event::Control(Control::Shutdown) => {
                self.shared.stop_admitting();
                self.stop_at = Some(Instant::now() + self.driver.limits.drain);
                Ok(())
            }
            Event::Snapshot(event) => self.on_snapshot(event),
            Event::Wish(asked) => self.on_wish(asked),
            Event::Peer(message) => self.on_message(message),
            Event::Client(event) => self.on_client(event),
            Event::Timer => Ok(()),
        }
    }

    fn on_log(&mut self, event: LogEvent) -> Result<(), StopReason> {
        match event {
            LogEvent::Written { durable: None, .. } => Ok(()),
            LogEvent::Written { durable: Some(upto), synced } => {
                self.driver.count(|counters| counters.syncs += u64::from(synced));
                self.driver.disk.synced(upto, Instant::now());
                self.news.synced(upto);
                self.effects.synced(upto);
                self.let_go();
                self.tell_durable()
            }
            LogEvent::Failed(error) => Err(StopReason::LogFailed(error.to_string())),
        }
    }

    /// The disk has caught up, if the replica waits for that.
    fn tell_durable(&mut self) -> Result<(), StopReason> {
        match self.news.due(&self.replica) {
            Some(upto) => self.step(Input::Durable(upto)),
            None => Ok(()),
        }
    }

    fn on_message(&mut self, from: FromPeer<P::Message>) -> Result<(), StopReason> {
        let FromPeer { message, room } = from;
        let kind = message.message().kind();
        self.driver.count(|counters| counters.on_received(kind));
        self.step(Input::Message(message))?;
        drop(room);
        Ok(())
    }

    fn on_client(&mut self, event: FromClient) -> Result<(), StopReason> {
        let (connection, request, room) = match event {
            FromClient::Connected(connection) => {
                self.driver.waiting.connected(connection);
                return Ok(());
            }
            FromClient::Gone(connection) => {
                self.driver.waiting.gone(&connection);
                return Ok(());
            }
            FromClient::Query { connection, query, room } => {
                return self.on_query(Asked { connection, query, _room: room });
            }
            FromClient::Request { connection, request, room } => (connection, request, room),
        };
        if self.stop_at.is_some() {
            connection.reply(refusal(self.driver.id, &request, Refusal::Stopping));
            return Ok(());
        }
        let holds = match P::INFO.takes {
            Takes::Leader => self.replica.status().role == Role::Leader,
            Takes::Any => true,
            Takes::Relayed => false,
        };
        if holds && self.driver.waiting.asked_again(&request, &connection) {
            return Ok(());
        }
        let limits = self.driver.limits;
        let length = request.command.framed_len();
        if self.gathered.len() >= limits.max_batch_commands
            || self.gathered_bytes + length > limits.max_batch_bytes
        {
            self.propose()?;
        }
        self.driver.waiting.gathered(&request, connection, room);
        self.gathered_bytes += length;
        self.gathered.push(request.command);
        Ok(())
    }

    /// A question. Where one replica may lie, a single answer is worth nothing: such algorithms
    /// read through the log.
    fn on_query(&mut self, asked: Asked) -> Result<(), StopReason> {
        if self.stop_at.is_some() {
            self.driver.refuse_query(&asked, Refusal::Stopping);
            return Ok(());
        }
        if P::INFO.answers == Answers::All {
            self.driver.refuse_query(&asked, Refusal::Unsupported);
            return Ok(());
        }
        let consistency: Consistency = asked.query.consistency;
        let (now, applied) = (self.shared.now(), self.driver.executor.applied());
        match self.driver.queries.reads.admit(asked, consistency, now, applied) {
            Admitted::Now(asked) => self.driver.answer(&asked),
            Admitted::Wait => self.driver.queries.asked(),
            Admitted::Ask(read) => {
                self.driver.queries.asked();
                self.step(Input::Read(read))?;
            }
        }
        Ok(())
    }

    /// The commands that came together are proposed together.
    fn propose(&mut self) -> Result<(), StopReason> {
        if self.gathered.is_empty() {
            return Ok(());
        }
        let batch = Batch::of(&self.gathered);
        self.gathered.clear();
        self.gathered_bytes = 0;
        self.proposed_at = Instant::now();
        self.driver.waiting.next_batch();
        self.step(Input::Propose(batch))
    }

    fn end_turn(&mut self) -> Result<(), StopReason> {
        self.tell_durable()?;
        if self.replica.awaits_drained() {
            self.step(Input::Drained)?;
        }
        self.let_go();
        self.driver.end_turn();
        let status = self.replica.status();
        self.take_snapshot_if_due();
        let leader = status.leader.filter(|leader| *leader != self.driver.id);
        self.driver.refuse_overdue(self.shared.now(), leader);
        self.driver.wishes.leader(status.leader, Instant::now());
        self.tell_facts();
        self.status.send_if_modified(|known| std::mem::replace(known, status) != status);
        Ok(())
    }

    /// Writes down what others may look at.
    fn tell_facts(&self) {
        let driver = &self.driver;
        let mut facts = self.shared.facts.lock().unwrap_or_else(PoisonError::into_inner);
        facts.applied = driver.executor.applied();
        facts.snapshot = driver.snapshotting.newest;
        let (members, committed) = &driver.members;
        if (&facts.members, facts.committed) != (members, *committed) {
            *facts = Facts { members: members.clone(), committed: *committed, ..*facts };
        }
    }

    /// Nothing is forgotten that no snapshot covers, and no snapshot is of what is not applied: the
    /// log could not be rebuilt after the next start.
    fn check_order(&self) -> Result<(), StopReason> {
        let Status { purged, committed, last, .. } = self.replica.status();
        let (newest, applied) = (self.driver.snapshotting.newest, self.driver.executor.applied());
        let ordered = purged <= newest && newest <= applied;
        let counted = purged.0 == 0 || (applied <= committed && committed <= last);
        if ordered && counted {
            return Ok(());
        }
        Err(StopReason::Halted(format!(
            "purged {purged} ≤ snapshot {newest} ≤ applied {applied} ≤ committed {committed} ≤ \
             last {last} does not hold"
        )))
    }

    /// One step, and what it wants done. Nothing of a step that halts happens.
    fn step(&mut self, input: Input<P>) -> Result<(), StopReason> {
        let led = self.replica.status().role == Role::Leader;
        let shared = &self.shared;
        let env = Env::new(shared.now(), &shared.cluster, &*shared.keys, &shared.meter);
        self.replica.step(input, &env, &mut self.effects);
        if let Some(why) = self.effects.halted() {
            tracing::error!(why, "the replica halts");
            return Err(StopReason::Halted(why.to_string()));
        }
        if let Some((first, count)) = self.effects.take_decided() {
            for index in (first.0..first.0 + count).map(LogIndex) {
                let lost = || StopReason::Halted(format!("decided index {index} is not kept"));
                self.driver.apply(index, self.replica.decided(index).ok_or_else(lost)?)?;
            }
        }
        self.driver.carry_out(&self.replica, &mut self.effects)?;
        self.let_go();
        self.check_order()?;
        if led && P::INFO.takes == Takes::Leader {
            let status = self.replica.status();
            if status.role != Role::Leader && !planted("N21") {
                self.driver.wishes.deposed();
                self.driver.waiting.lost(status.leader.filter(|leader| *leader != self.driver.id));
            }
        }
        Ok(())
    }
}

impl<P: ConsensusProtocol, S: StateMachine> Node<P, S> {
    /// What need not wait for the disk, or not any more, leaves.
    fn let_go(&mut self) {
        for (to, message) in self.driver.said.drain(..) {
            self.effects.send(to, message);
        }
        self.effects.leave(|to, message| self.driver.send(to, &message));
    }
}

/// Never, if there is nothing to wake for.
async fn sleep_until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
