//! Clients, and the way of their requests into a node and of the answers back.

use super::connections::{Call, Caller};
use super::event::Event;
use super::node::Waiting;
use super::{Completion, World};
use crate::keys::SimKeys;
use crate::oracle::history::{Key, key_of};
use crate::registers::{Operation, Registers};
use crate::report::Finding;
use bytes::Bytes;
use consensus_core::{
    Answer, Answers, Audit, Batch, Client, ClientId, Command, Input, NodeId, NodeSet, Outcome,
    Patience, Position, Reply, Request, RequestId, Role, SessionId, Signer, StateMachine, Tag,
    Takes, Todo,
};
use core::time::Duration;

/// What a client asks for: for the n-th time the payload, and when it is due if not at once.
/// `None` ends the client.
type Workload = Box<dyn FnMut(u64) -> Option<(Bytes, Option<Duration>)>>;

pub(super) struct SimClient {
    client: Client,
    keys: SimKeys,
    workload: Workload,
    nth: u64,
    /// Asked for, and not due yet.
    next: Option<(Bytes, u64)>,
    current: Option<Current>,
    /// Its last attempt.
    call: Option<Call>,
    /// The event that wakes it, if one is scheduled that still counts.
    pending: Option<u64>,
    /// Nodes that it cannot reach, nor hear.
    cut: NodeSet,
    /// So many more results of commands get lost on their way to it.
    deaf_to: u32,
    /// So many more commands are tried again after their outcome stayed unknown.
    resumes: u32,
    ended: bool,
}

/// The command that a client waits for.
struct Current {
    payload: Bytes,
    intended: u64,
    begun: u64,
    floor: Option<Position>,
    key: Option<Key>,
}

impl SimClient {
    /// What it called this node for, if that was its last call and it could hear of its end.
    pub(super) fn call(&self, node: NodeId) -> Option<Caller> {
        let call = self.call.filter(|call| call.to.contains(node) && !self.cut.contains(node));
        call.map(|call| call.caller)
    }
}

/// A raw submission has no client that could be told anything.
const NOBODY: usize = usize::MAX;

impl<P: Audit> World<P, Registers> {
    /// Clients that first ask `target`: each appends to a register of its own, so many times, and
    /// asks again as soon as it has an answer.
    pub fn add_appenders(&mut self, target: NodeId, clients: u8, commands: u64) {
        for register in 0..clients {
            self.add_client(target, Patience::default(), move |nth| {
                (nth < commands).then(|| (Operation::Append(register, nth).encode(), None))
            });
        }
    }
}

impl<P: Audit, S: StateMachine> World<P, S> {
    /// Adds a client that first asks `target`, and begins at once.
    pub fn add_client(
        &mut self,
        target: NodeId,
        patience: Patience,
        workload: impl FnMut(u64) -> Option<(Bytes, Option<Duration>)> + 'static,
    ) -> ClientId {
        let place = self.clients.len();
        let id = ClientId(place as u64 + 1);
        let cluster = self.setup.cluster.clone();
        self.clients.push(SimClient {
            client: Client::new(id, 1, cluster, P::INFO, patience, target),
            keys: SimKeys::new(self.setup.seed, Signer::Client(id)),
            workload: Box::new(workload),
            nth: 0,
            next: None,
            current: None,
            call: None,
            pending: None,
            cut: NodeSet::EMPTY,
            deaf_to: 0,
            resumes: 0,
            ended: false,
        });
        self.next_command(place);
        id
    }

    /// Has the client nothing more to ask, and all its answers?
    pub fn client_ended(&self, client: ClientId) -> bool {
        self.client_of(client).is_some_and(|place| self.clients[place].ended)
    }

    /// Have all clients ended?
    pub fn clients_ended(&self) -> bool {
        self.clients.iter().all(|client| client.ended)
    }

    /// Commands that clients still wait for: payload, and when each was sent.
    pub fn under_way(&self) -> impl Iterator<Item = (&Bytes, Duration)> {
        let current = self.clients.iter().filter_map(|client| client.current.as_ref());
        current.map(|current| (&current.payload, Duration::from_nanos(current.begun)))
    }

    /// No client begins another command.
    pub fn retire_clients(&mut self) {
        for client in &mut self.clients {
            client.workload = Box::new(|_| None);
            if client.next.take().is_some() {
                client.pending = None;
                client.ended = true;
            }
        }
    }

    pub(super) fn client_of(&self, client: ClientId) -> Option<usize> {
        let place = usize::try_from(client.0.checked_sub(1)?).ok()?;
        (place < self.clients.len()).then_some(place)
    }

    /// From now on the client can reach these nodes only; the others do not hear it, nor it them.
    pub fn cut_client(&mut self, client: ClientId, from: NodeSet) {
        if let Some(place) = self.client_of(client) {
            self.clients[place].cut = from;
        }
    }

    /// The next results of commands, so many, get lost on their way to the client: what it asks for
    /// again has been done.
    pub fn lose_answers(&mut self, client: ClientId, count: u32) {
        if let Some(place) = self.client_of(client) {
            self.clients[place].deaf_to = count;
        }
    }

    /// Commands whose outcome stayed unknown are tried again, under the same request numbers, so
    /// many times altogether.
    pub fn resume_commands(&mut self, client: ClientId, count: u32) {
        if let Some(place) = self.client_of(client) {
            self.clients[place].resumes = count;
        }
    }

    /// Hands a command to a node as if a client had sent it; nobody waits for its answer. It is
    /// committed, but belongs to no session, so that the service does not apply it.
    pub fn submit(&mut self, node: NodeId, payload: impl Into<Bytes>) -> Command {
        self.submitted += 1;
        let mut command = Command {
            client: ClientId(u64::MAX - self.submitted),
            session: SessionId(u64::MAX),
            request: RequestId(1),
            payload: payload.into(),
            tag: Tag::none(),
        };
        if P::INFO.answers == Answers::All {
            let keys = SimKeys::new(self.setup.seed, Signer::Client(command.client));
            let bytes = command.signed_bytes(self.setup.cluster.id);
            command.tag = consensus_core::Authenticator::sign(&keys, &bytes);
        }
        self.history.submit(&command);
        let request = Request { attempt: 1, command: command.clone() };
        self.queue.push(self.now, Event::Request { to: node, request });
        command
    }

    fn next_command(&mut self, place: usize) {
        let now = self.now;
        let client = &mut self.clients[place];
        let Some((payload, due)) = (client.workload)(client.nth) else {
            client.ended = true;
            return;
        };
        client.nth += 1;
        let due = due.map_or(now, |due| due.as_nanos() as u64);
        client.next = Some((payload, due));
        if due > now {
            client.pending = Some(due);
            self.queue.push(due, Event::Wake { client: place, at: due });
        } else {
            self.begin_command(place);
        }
    }

    fn begin_command(&mut self, place: usize) {
        let (now, begun) = (self.now(), self.now);
        let floor = self.history.floor();
        let client = &mut self.clients[place];
        let (payload, intended) = client.next.take().expect("a command is due");
        let current = Current { payload: payload.clone(), intended, begun, floor, key: None };
        client.current = Some(current);
        let todo = client.client.begin(now, payload, &client.keys);
        self.client_does(place, todo);
    }

    pub(super) fn wake(&mut self, place: usize, at: u64) {
        let now = self.now();
        let client = &mut self.clients[place];
        if client.pending != Some(at) {
            return;
        }
        client.pending = None;
        self.fold(4, place as u64, 0);
        let client = &mut self.clients[place];
        if client.next.is_some() {
            return self.begin_command(place);
        }
        let todo = client.client.tick(now);
        self.client_does(place, todo);
    }

    pub(super) fn take_reply(&mut self, place: usize, reply: &Reply) {
        self.fold(5, place as u64, consensus_core::Fingerprint::of(reply).0);
        if self.clients[place].cut.contains(reply.from) {
            return;
        }
        self.tell(|| format!("client {} <- {} {:?}", place + 1, reply.from, reply.answer));
        let now = self.now();
        let client = &mut self.clients[place];
        let todo = client.client.receive(now, reply, &client.keys);
        self.client_does(place, todo);
    }

    fn client_does(&mut self, place: usize, todo: Todo) {
        match todo {
            Todo::Send(to, request) => self.send_request(place, to, request),
            Todo::Wait => {}
            Todo::Ended(outcome) => return self.complete(place, outcome),
        }
        let client = &mut self.clients[place];
        if let Some(wake) = client.client.wake_at() {
            let at = (wake.as_nanos() as u64).max(self.now);
            if client.pending.is_none_or(|pending| pending > at) {
                client.pending = Some(at);
                self.queue.push(at, Event::Wake { client: place, at });
            }
        }
    }

    fn send_request(&mut self, place: usize, to: NodeSet, request: Request) {
        self.history.submit(&request.command);
        if request.attempt > 1 {
            self.mark("client tries again");
        }
        let current = self.clients[place].current.as_mut().expect("a command is under way");
        let (key, attempt) = (key_of(&request.command), request.attempt);
        current.key = Some(key);
        let caller = Caller::Client { place, key, attempt };
        self.clients[place].call = Some(Call { caller, to });
        self.tell(|| format!("client {} -> {to:?} attempt {attempt}", place + 1));
        for to in to.iter() {
            if let Some(at) = self.client_link(place, to, caller) {
                let call = Event::Request { to, request: request.clone() };
                let event = self.arrival(caller, to, call);
                self.queue.push(at, event);
            }
        }
    }

    /// When what is sent now between a client and a node arrives, if it does.
    fn client_link(&mut self, place: usize, node: NodeId, caller: Caller) -> Option<u64> {
        if self.clients[place].cut.contains(node) {
            self.fault("client cut off");
            return None;
        }
        let loss = self.setup.network.client_loss;
        if !self.links.reliable.contains(node) && self.rng.chance(loss) {
            self.fault("request or reply lost");
            self.hang_up(caller, node);
            return None;
        }
        let delay = self.setup.network.client_latency.draw(&mut self.rng);
        Some(self.now + delay.as_nanos() as u64)
    }

    pub(super) fn send_reply(&mut self, place: usize, reply: Reply) {
        if place == NOBODY {
            return;
        }
        let client = &mut self.clients[place];
        if client.deaf_to > 0 && matches!(reply.answer, Answer::Done { .. }) {
            client.deaf_to -= 1;
            return self.fault("result lost");
        }
        let Reply { client, session, request, attempt, .. } = reply;
        let caller = Caller::Client { place, key: (client, session, request), attempt };
        if let Some(at) = self.client_link(place, reply.from, caller) {
            self.queue.push(at, Event::Reply { client: place, reply });
        }
    }

    pub(super) fn client_disconnected(&mut self, place: usize, node: NodeId, sent: bool) {
        let now = self.now();
        let todo = self.clients[place].client.disconnected(now, node, sent);
        self.client_does(place, todo);
    }

    fn complete(&mut self, place: usize, outcome: Outcome) {
        let now = self.now();
        let client = &mut self.clients[place];
        if outcome == Outcome::Unknown
            && client.resumes > 0
            && let Some(todo) = client.client.resume(now)
        {
            client.resumes -= 1;
            self.mark("client resumes a command");
            return self.client_does(place, todo);
        }
        client.client.abandon();
        let current = client.current.take().expect("a command has ended");
        let key = current.key.expect("a command was sent before it ended");
        let verdict = match &outcome {
            Outcome::Committed { position, result } => {
                let Current { begun, floor, .. } = current;
                self.history.answered(key, begun, floor, *position, result)
            }
            Outcome::Refused(_) => self.history.told_refused(key),
            Outcome::Unknown => Ok(()),
        };
        if let Err(finding) = verdict {
            return self.fail(None, finding);
        }
        let time = Duration::from_nanos;
        self.completions.push(Completion {
            client: ClientId(place as u64 + 1),
            nth: self.clients[place].nth - 1,
            intended: time(current.intended),
            begun: time(current.begun),
            ended: self.now(),
            outcome,
            payload: current.payload,
        });
        self.next_command(place);
    }

    /// A request arrives at a node.
    pub(super) fn take_request(&mut self, to: NodeId, request: Request) {
        let Request { attempt, command } = request;
        let key = key_of(&command);
        self.fold(6, u64::from(to.0), command.client.0 ^ command.request.0.rotate_left(32));
        let node = &mut self.nodes[to.index()];
        if node.replica.is_none() {
            return;
        }
        let client = self.clients.get((command.client.0 as usize).wrapping_sub(1));
        let client = client.map_or(NOBODY, |_| command.client.0 as usize - 1);
        // The same attempt again is known. A newer one is proposed again where the first may be
        // lost inside the cluster, and sessions make that harmless; but a leader, or a proposer of
        // its own, still has it.
        let known = node.waiting.insert(key, Waiting { attempt, client });
        let leads = match P::INFO.takes {
            Takes::Leader => node.status.is_some_and(|status| status.role == Role::Leader),
            Takes::Any => true,
            Takes::Relayed => false,
        };
        if known.is_some_and(|known| leads || known.attempt >= attempt) && client != NOBODY {
            return;
        }
        let life = node.life;
        if node.intake.is_empty() {
            self.queue.push(self.now, Event::Intake { node: to, life });
        }
        node.intake.push(command);
    }

    /// Proposes what arrived at this instant.
    pub(super) fn take_intake(&mut self, id: NodeId, life: u32) {
        let node = &mut self.nodes[id.index()];
        if node.replica.is_none() || node.life != life {
            return;
        }
        let commands = std::mem::take(&mut node.intake);
        self.fold(7, u64::from(id.0), commands.len() as u64);
        for some in commands.chunks(self.setup.max_batch) {
            self.tell(|| format!("{id} proposes {} commands", some.len()));
            self.input(id, Input::Propose(Batch::of(some)));
        }
    }

    /// O18 for a panic that ended a run.
    pub(crate) fn panicked(&mut self, message: String) {
        self.fail(None, Finding::new("O18", "no panic", message));
    }
}
