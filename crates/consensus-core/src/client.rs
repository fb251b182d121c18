//! The client as a state machine: one command at a time, retried under the same request number
//! until enough replicas gave the same answer. Shared by the simulator and the real client.

use crate::auth::{Authenticator, Signer, Tag};
use crate::batch::Command;
use crate::cluster::Cluster;
use crate::effects::Refusal;
use crate::id::{ClientId, NodeId, NodeSet, Position, RequestId, SessionId};
use crate::mutant::planted;
use crate::protocol::{Answers, ProtocolInfo};
use crate::request::{Answer, Reply, Request};
use crate::turn::Turn;
use bytes::Bytes;
use core::time::Duration;

/// How a client waits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Patience {
    /// How long to wait for an answer before trying again, elsewhere.
    pub attempt: Duration,
    /// How long to wait after a refusal before trying again.
    pub pause: Duration,
    /// How long to try altogether.
    pub give_up: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            attempt: Duration::from_millis(1000),
            pause: Duration::from_millis(50),
            give_up: Duration::from_secs(10),
        }
    }
}

/// How a command ended, as far as its client can know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied, once.
    Committed {
        /// Where.
        position: Position,
        /// With which result.
        result: Bytes,
    },
    /// It was surely not applied and will not be.
    Refused(Refusal),
    /// It may have been applied, or may yet be. Trying again with the same request is safe:
    /// [`Client::resume`].
    Unknown,
}

/// What the client wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Todo {
    /// Send this to these replicas.
    Send(NodeSet, Request),
    /// Nothing, until a reply comes or [`Client::wake_at`] is reached.
    Wait,
    /// The command has ended.
    Ended(Outcome),
}

/// One command under way.
#[derive(Clone, Debug)]
struct Pending {
    command: Command,
    payload: Bytes,
    deadline: Duration,
    wake: Duration,
    attempts: u32,
    /// The attempt of this number, and no other, is open.
    open: bool,
    /// An earlier attempt may still be taken: a refusal no longer says that nothing happened.
    doubtful: bool,
    refused: Option<Refusal>,
    votes: Vec<(NodeSet, Answer)>,
}

/// A client of a cluster that runs some algorithm.
#[derive(Clone, Debug)]
pub struct Client {
    id: ClientId,
    cluster: Cluster,
    info: ProtocolInfo,
    patience: Patience,
    /// The replicas that it may ask: those of the cluster as configured, and who joined since.
    turn: Turn,
    opening: u64,
    session: Option<SessionId>,
    next: RequestId,
    pending: Option<Pending>,
}

impl Client {
    /// A client that first asks `target`. `opening` must be higher than in every earlier life of a
    /// client with this id; with a random id any number will do.
    pub fn new(
        id: ClientId,
        opening: u64,
        cluster: Cluster,
        info: ProtocolInfo,
        patience: Patience,
        target: NodeId,
    ) -> Self {
        assert!(cluster.contains(target), "the first replica to ask is one of the cluster");
        let next = RequestId::OPEN.next();
        let (turn, session, pending) = (Turn::new(cluster.nodes(), target), None, None);
        Self { id, cluster, info, patience, turn, opening, session, next, pending }
    }

    /// Its name.
    pub fn id(&self) -> ClientId {
        self.id
    }

    /// Is a command under way?
    pub fn is_busy(&self) -> bool {
        self.pending.is_some()
    }

    /// The replica that it asks first.
    pub fn target(&self) -> NodeId {
        self.turn.target()
    }

    /// The replicas that it may ask from now on, if there are any: members come and go.
    pub fn know(&mut self, nodes: NodeSet) {
        self.turn.know(nodes);
    }

    /// When to call [`tick`](Self::tick) at the latest.
    pub fn wake_at(&self) -> Option<Duration> {
        self.pending.as_ref().map(|pending| pending.wake)
    }

    /// Starts a command.
    ///
    /// # Panics
    /// If another one is under way.
    pub fn begin(&mut self, now: Duration, payload: Bytes, keys: &dyn Authenticator) -> Todo {
        assert!(self.pending.is_none(), "one command at a time; open more sessions for more");
        let deadline = now + self.patience.give_up;
        let command = self.next_command(&payload, keys);
        self.start(now, deadline, command, payload)
    }

    /// Tries the command that ended as [`Outcome::Unknown`] again, under the same request number.
    /// `None` if the last command did not end so.
    pub fn resume(&mut self, now: Duration) -> Option<Todo> {
        let pending = self.pending.as_mut()?;
        pending.deadline = now + self.patience.give_up;
        pending.doubtful &= !planted("K20"); // What was not known then is not known now.
        // Nobody waited for the end, or an answer that came since has sent the command anew.
        pending.doubtful |= pending.open && !planted("K22");
        Some(self.attempt(now))
    }

    /// Gives up on a command that ended as [`Outcome::Unknown`].
    pub fn abandon(&mut self) {
        self.pending = None;
    }

    /// The next request of the session, or the one that opens it.
    fn next_command(&mut self, payload: &Bytes, keys: &dyn Authenticator) -> Command {
        let mut command = match self.session {
            Some(session) => {
                let request = self.next;
                self.next = request.next();
                let payload = payload.clone();
                Command { client: self.id, session, request, payload, tag: Tag::none() }
            }
            None => Command {
                client: self.id,
                session: SessionId::default(),
                request: RequestId::OPEN,
                payload: Bytes::copy_from_slice(&self.opening.to_le_bytes()),
                tag: Tag::none(),
            },
        };
        if self.info.answers == Answers::All {
            command.tag = keys.sign(&command.signed_bytes(self.cluster.id));
        }
        command
    }

    fn start(
        &mut self,
        now: Duration,
        deadline: Duration,
        command: Command,
        payload: Bytes,
    ) -> Todo {
        self.pending = Some(Pending {
            command,
            payload,
            deadline,
            wake: now,
            attempts: 0,
            open: false,
            doubtful: false,
            refused: None,
            votes: Vec::new(),
        });
        self.attempt(now)
    }

    /// Sends the pending command (again). A client of a Byzantine cluster asks the primary first,
    /// and from then on everybody (OSDI '99, §4.1).
    fn attempt(&mut self, now: Duration) -> Todo {
        let pending = self.pending.as_mut().expect("there is a command to try");
        pending.attempts += 1;
        pending.open = true;
        pending.wake = (now + self.patience.attempt).min(pending.deadline);
        let to = match self.info.answers {
            Answers::All if pending.attempts > 1 => self.turn.nodes(),
            _ => NodeSet::only(self.turn.target()),
        };
        Todo::Send(to, Request { attempt: pending.attempts, command: pending.command.clone() })
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) -> Todo {
        let Some(pending) = &mut self.pending else { return Todo::Wait };
        if now < pending.wake {
            return Todo::Wait;
        }
        if pending.open {
            pending.open = false;
            pending.doubtful |= !planted("K26");
            self.turn.pass_on();
        }
        self.again_or_end(now)
    }

    fn again_or_end(&mut self, now: Duration) -> Todo {
        let pending = self.pending.as_mut().expect("there is a command to end");
        if now < pending.deadline {
            return self.attempt(now);
        }
        match pending.refused {
            Some(why) if !pending.doubtful => self.end(Outcome::Refused(why)),
            // Kept pending: `resume` may try it again under the same number.
            _ => Todo::Ended(Outcome::Unknown),
        }
    }

    fn end(&mut self, outcome: Outcome) -> Todo {
        self.pending = None;
        Todo::Ended(outcome)
    }

    /// A replica answered. Replies that do not belong to the command under way are ignored, and
    /// so are replies that are not their sender's where replicas sign.
    pub fn receive(&mut self, now: Duration, reply: &Reply, keys: &dyn Authenticator) -> Todo {
        let Some(pending) = &mut self.pending else { return Todo::Wait };
        let command = &pending.command;
        let request = if planted("K06") { reply.request } else { command.request };
        let mine = (reply.client, reply.session, reply.request)
            == (command.client, command.session, request);
        if !mine || !self.turn.nodes().contains(reply.from) {
            return Todo::Wait;
        }
        if self.info.answers == Answers::All {
            let bytes = reply.signed_bytes(self.cluster.id);
            if !keys.check(Signer::Node(reply.from), &bytes, &reply.tag) {
                return Todo::Wait;
            }
        }
        match &reply.answer {
            Answer::Refused(why) => self.refused(now, reply, *why),
            Answer::Lost(leader) => self.lost(now, reply, *leader),
            Answer::Done { .. } | Answer::Stale | Answer::Expired => {
                let needed = self.info.reply_quorum(self.cluster.size);
                if vote(&mut pending.votes, reply) < needed {
                    return Todo::Wait;
                }
                self.answered(now, reply.answer.clone(), keys)
            }
        }
    }

    /// The attempt was not taken. One replica's word counts for that only where one is believed.
    fn refused(&mut self, now: Duration, reply: &Reply, why: Refusal) -> Todo {
        let nodes = self.turn.nodes();
        let Some(pending) = &mut self.pending else { return Todo::Wait };
        if !pending.open || reply.attempt != pending.attempts {
            return Todo::Wait;
        }
        if self.info.answers == Answers::All {
            return Todo::Wait; // A single liar could end the attempt; its time will.
        }
        pending.open = false;
        pending.refused = Some(why);
        let hint = match why {
            Refusal::NotLeader(hint) => hint.filter(|hint| nodes.contains(*hint)),
            Refusal::TooLarge | Refusal::BadSignature if !pending.doubtful => {
                return self.end(Outcome::Refused(why));
            }
            _ => None,
        };
        // A hint is followed at once, once; without one, or when hints lead in circles, pause.
        let often = pending.attempts % 4 == 0;
        let follow = hint.is_some_and(|hint| hint != self.turn.target()) && !often;
        pending.wake = (now + self.patience.pause).min(pending.deadline);
        // Who is busy for long may be cut off from the others, who are not.
        match hint {
            Some(hint) if !often => self.turn.follow(hint),
            Some(_) => self.turn.pass_on(),
            None if why != Refusal::Busy || often => self.turn.pass_on(),
            None => {}
        }
        if follow { self.again_or_end(now) } else { Todo::Wait }
    }

    /// The attempt was taken by a leader that no longer leads.
    fn lost(&mut self, now: Duration, reply: &Reply, leader: Option<NodeId>) -> Todo {
        let next = leader.filter(|leader| self.turn.nodes().contains(*leader));
        let Some(pending) = &mut self.pending else { return Todo::Wait };
        pending.doubtful = true;
        if !pending.open || reply.attempt != pending.attempts || self.info.answers == Answers::All {
            return Todo::Wait;
        }
        pending.open = false;
        pending.wake = (now + self.patience.pause).min(pending.deadline);
        match next {
            Some(leader) => self.turn.follow(leader),
            None => self.turn.pass_on(),
        }
        Todo::Wait
    }

    /// The connection to a replica is gone, or did not come about. `sent` says whether the open
    /// attempt may have left over it; if not, it surely left no trace. Saves the wait for an answer
    /// that cannot come. Call it only for the connection that carried the open attempt.
    pub fn disconnected(&mut self, now: Duration, node: NodeId, sent: bool) -> Todo {
        let Some(pending) = &mut self.pending else { return Todo::Wait };
        if !pending.open || node != self.turn.target() {
            return Todo::Wait;
        }
        pending.wake = pending.wake.min(now + self.patience.pause);
        if self.info.answers == Answers::All {
            // Others may answer this attempt yet; but do not wait long to ask them all.
            return Todo::Wait;
        }
        pending.open = false;
        if sent && !planted("K23") {
            pending.doubtful = true;
        } else {
            pending.refused.get_or_insert(Refusal::NotLeader(None));
        }
        if !planted("K24") {
            self.turn.pass_on();
        }
        Todo::Wait
    }

    /// Enough replicas gave this answer.
    fn answered(&mut self, now: Duration, answer: Answer, keys: &dyn Authenticator) -> Todo {
        let pending = self.pending.take().expect("an answer to the command under way");
        let opening = pending.command.request == RequestId::OPEN;
        match answer {
            Answer::Done { position, .. } if opening => {
                self.session = Some(SessionId::opened_at(position));
                self.next = RequestId::OPEN.next();
                let command = self.next_command(&pending.payload, keys);
                self.start(now, pending.deadline, command, pending.payload)
            }
            Answer::Done { position, result } => self.end(Outcome::Committed { position, result }),
            // The log answered for this very request that it was not applied here. If no other
            // attempt is about, a new session may ask anew.
            _ if opening || (pending.attempts == 1 && !pending.doubtful) || planted("K21") => {
                self.session = None;
                self.opening += 1;
                if now >= pending.deadline {
                    return self.end(Outcome::Refused(Refusal::Busy));
                }
                let command = self.next_command(&pending.payload, keys);
                self.start(now, pending.deadline, command, pending.payload)
            }
            _ => {
                self.session = None;
                self.opening += 1;
                self.end(Outcome::Unknown)
            }
        }
    }
}

/// Counts the replicas that gave this answer, each once and with its last word.
fn vote(votes: &mut Vec<(NodeSet, Answer)>, reply: &Reply) -> usize {
    for (voters, _) in votes.iter_mut() {
        voters.remove(reply.from);
    }
    match votes.iter_mut().find(|(_, answer)| *answer == reply.answer) {
        Some((voters, _)) => {
            voters.insert(reply.from);
            voters.len()
        }
        None => {
            votes.push((NodeSet::only(reply.from), reply.answer.clone()));
            1
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::NoKeys;
    use crate::id::{ClusterId, LogIndex};
    use crate::protocol::{FaultModel, Links, Takes};

    /// A stand-in where every replica's tag is its number.
    struct Numbers;

    impl Authenticator for Numbers {
        fn sign(&self, _bytes: &[u8]) -> Tag {
            Tag::none()
        }

        fn check(&self, signer: Signer, _bytes: &[u8], tag: &Tag) -> bool {
            matches!(signer, Signer::Node(node) if tag.0[..] == [node.0])
        }
    }

    const CRASH: ProtocolInfo = ProtocolInfo {
        name: "toy",
        title: "Toy",
        paper: "",
        faults: FaultModel::Crash,
        answers: Answers::ClientReplica,
        takes: Takes::Leader,
        links: Links::Any,
    };

    const BYZANTINE: ProtocolInfo = ProtocolInfo {
        faults: FaultModel::Byzantine,
        answers: Answers::All,
        takes: Takes::Relayed,
        ..CRASH
    };

    const MS: Duration = Duration::from_millis(1);

    fn client(info: ProtocolInfo, nodes: usize) -> Client {
        let cluster = Cluster::new(ClusterId(1), nodes);
        Client::new(ClientId(5), 0, cluster, info, Patience::default(), NodeId(0))
    }

    fn sent(todo: Todo) -> (NodeSet, Request) {
        let Todo::Send(to, request) = todo else { panic!("nothing is sent: {todo:?}") };
        (to, request)
    }

    fn done(index: u64, result: &'static [u8]) -> Answer {
        let position = Position { index: LogIndex(index), offset: 0 };
        Answer::Done { position, result: Bytes::from_static(result) }
    }

    fn reply(from: u8, request: &Request, answer: Answer) -> Reply {
        let command = &request.command;
        Reply {
            from: NodeId(from),
            client: command.client,
            session: command.session,
            request: command.request,
            attempt: request.attempt,
            answer,
            tag: Tag(Bytes::copy_from_slice(&[from])),
        }
    }

    /// Opens the session and returns the first real request.
    fn begun(client: &mut Client) -> Request {
        let (_, open) = sent(client.begin(MS, Bytes::from_static(b"op"), &NoKeys));
        assert_eq!(open.command.request, RequestId::OPEN);
        let mut todo = Todo::Wait;
        for node in 0..client.info.reply_quorum(client.cluster.size) as u8 {
            todo = client.receive(MS, &reply(node, &open, done(1, b"")), &Numbers);
        }
        let (_, request) = sent(todo);
        assert_eq!(request.command.session, SessionId(1 << 16));
        assert_eq!(&request.command.payload[..], b"op");
        request
    }

    #[test]
    fn one_answer_is_enough_where_replicas_do_not_lie() {
        let mut client = client(CRASH, 3);
        let request = begun(&mut client);
        let todo = client.receive(MS, &reply(0, &request, done(2, b"ok")), &NoKeys);
        assert!(matches!(todo, Todo::Ended(Outcome::Committed { result, .. }) if result == "ok"));
        assert!(!client.is_busy());
    }

    /// The test below sees what it is there for.
    #[cfg(feature = "mutants")]
    #[test]
    fn a_client_that_takes_the_answer_to_another_request_is_found() {
        crate::mutant::plant(Some("K06"));
        let passed = std::panic::catch_unwind(the_answer_to_another_request_is_not_taken).is_ok();
        crate::mutant::plant(None);
        assert!(!passed, "K06 survived");
    }

    /// Late replies to an earlier request, or to another client's, say nothing about this one.
    #[test]
    fn the_answer_to_another_request_is_not_taken() {
        let mut client = client(CRASH, 3);
        let request = begun(&mut client);
        let right = reply(0, &request, done(2, b"ok"));
        for wrong in [
            Reply { request: RequestId::OPEN, ..right.clone() },
            Reply { request: request.command.request.next(), ..right.clone() },
            Reply { session: SessionId(1), ..right.clone() },
            Reply { client: ClientId(6), ..right.clone() },
            Reply { from: NodeId(3), ..right.clone() },
        ] {
            assert_eq!(client.receive(MS, &wrong, &NoKeys), Todo::Wait, "{wrong:?}");
        }
        let todo = client.receive(MS, &right, &NoKeys);
        assert!(matches!(todo, Todo::Ended(Outcome::Committed { .. })));
    }

    /// OSDI '99 §2.4.1 and §4.1: f + 1 equal replies of different replicas.
    #[test]
    fn a_liar_and_an_echo_do_not_make_a_reply_quorum() {
        let mut client = client(BYZANTINE, 4);
        let request = begun(&mut client);
        let mut hear = |reply: &Reply| client.receive(MS, reply, &Numbers);
        assert_eq!(hear(&reply(3, &request, done(2, b"lie"))), Todo::Wait);
        assert_eq!(hear(&reply(1, &request, done(2, b"ok"))), Todo::Wait);
        assert_eq!(hear(&reply(1, &request, done(2, b"ok"))), Todo::Wait, "the same replica again");
        let mut forged = reply(2, &request, done(2, b"ok"));
        forged.tag = Tag(Bytes::from_static(&[3]));
        assert_eq!(hear(&forged), Todo::Wait, "a tag of another replica");
        let second = hear(&reply(2, &request, done(2, b"ok")));
        assert!(matches!(second, Todo::Ended(Outcome::Committed { .. })));
    }

    #[test]
    fn a_retry_keeps_its_request_number_and_goes_elsewhere() {
        let mut client = client(CRASH, 3);
        let first = begun(&mut client);
        let later = client.wake_at().expect("it waits for an answer");
        assert_eq!(client.tick(later - MS), Todo::Wait);
        let (to, second) = sent(client.tick(later));
        assert_eq!(to, NodeSet::only(NodeId(1)));
        assert_eq!(second.command, first.command);
        assert_ne!(second.attempt, first.attempt);
    }

    /// OSDI '99 §4.1: "If the client does not receive replies soon enough, it broadcasts".
    #[test]
    fn a_byzantine_cluster_is_asked_as_a_whole_the_second_time() {
        let mut client = client(BYZANTINE, 4);
        begun(&mut client);
        let (to, _) = sent(client.tick(client.wake_at().unwrap()));
        assert_eq!(to, NodeSet::first(4));
    }

    #[test]
    fn a_hint_is_followed_at_once() {
        let mut client = client(CRASH, 3);
        let request = begun(&mut client);
        let refusal = Answer::Refused(Refusal::NotLeader(Some(NodeId(2))));
        let (to, _) = sent(client.receive(MS, &reply(0, &request, refusal), &NoKeys));
        assert_eq!(to, NodeSet::only(NodeId(2)));
    }

    #[test]
    fn refused_means_surely_not_applied() {
        let mut client = client(CRASH, 3);
        let mut request = begun(&mut client);
        loop {
            let busy = Answer::Refused(Refusal::Busy);
            let now = client.wake_at().unwrap();
            assert_eq!(client.receive(now, &reply(0, &request, busy), &NoKeys), Todo::Wait);
            match client.tick(client.wake_at().unwrap()) {
                Todo::Send(_, again) => request = again,
                Todo::Ended(outcome) => {
                    assert_eq!(outcome, Outcome::Refused(Refusal::Busy));
                    break;
                }
                Todo::Wait => panic!("it was time to act"),
            }
        }
    }

    /// A replica that stays busy may be cut off: now and then another one is asked.
    #[test]
    fn a_busy_replica_is_not_asked_for_ever() {
        let mut client = client(CRASH, 3);
        let mut request = begun(&mut client);
        let mut asked = Vec::new();
        for _ in 0..6 {
            let from = asked.last().copied().unwrap_or(0);
            let busy = reply(from, &request, Answer::Refused(Refusal::Busy));
            client.receive(client.wake_at().unwrap() - MS, &busy, &NoKeys);
            let (to, again) = sent(client.tick(client.wake_at().unwrap()));
            asked.extend(to.iter().map(|node| node.0));
            request = again;
        }
        assert_eq!(asked, [0, 0, 0, 1, 1, 1]);
    }

    /// A connection that did not come about proves that nothing was asked; one that broke proves
    /// nothing. Either way the client need not wait for an answer that cannot come.
    #[test]
    fn a_broken_connection_is_doubtful_and_one_never_made_is_not() {
        for (was_sent, expected) in
            [(false, Outcome::Refused(Refusal::NotLeader(None))), (true, Outcome::Unknown)]
        {
            let mut client = client(CRASH, 3);
            begun(&mut client);
            assert_eq!(client.disconnected(MS, NodeId(2), true), Todo::Wait);
            assert_eq!(client.target(), NodeId(0), "that was not the replica that was asked");
            let outcome = loop {
                let now = client.wake_at().unwrap();
                assert_eq!(client.disconnected(now, client.target(), was_sent), Todo::Wait);
                match client.tick(client.wake_at().unwrap()) {
                    Todo::Send(_, again) => assert!(again.attempt > 1),
                    Todo::Ended(outcome) => break outcome,
                    Todo::Wait => panic!("it was time to act"),
                }
            };
            assert_eq!(outcome, expected);
        }
        let mut early = client(CRASH, 3);
        begun(&mut early);
        early.disconnected(2 * MS, NodeId(0), true);
        assert_eq!(early.wake_at(), Some(2 * MS + Patience::default().pause));
        assert_eq!(early.target(), NodeId(1));
    }

    /// OSDI '99 §4.1: without the primary the client asks all, and soon.
    #[test]
    fn without_the_primary_a_byzantine_cluster_is_asked_as_a_whole_soon() {
        let mut client = client(BYZANTINE, 4);
        begun(&mut client);
        client.disconnected(MS, NodeId(0), false);
        let soon = MS + Patience::default().pause;
        assert_eq!(client.wake_at(), Some(soon));
        assert_eq!(sent(client.tick(soon)).0, NodeSet::first(4));
    }

    /// An attempt that timed out may yet be applied: no later refusal makes the outcome certain.
    #[test]
    fn a_timeout_makes_the_outcome_unknown_and_the_command_can_be_resumed() {
        let mut client = client(CRASH, 3);
        let first = begun(&mut client);
        let mut now = client.wake_at().unwrap();
        let (_, mut attempt) = sent(client.tick(now));
        let outcome = loop {
            let refusal = Answer::Refused(Refusal::NotLeader(None));
            client.receive(now, &reply(1, &attempt, refusal), &NoKeys);
            now = client.wake_at().unwrap();
            match client.tick(now) {
                Todo::Send(_, again) => attempt = again,
                Todo::Ended(outcome) => break outcome,
                Todo::Wait => {}
            }
        };
        assert_eq!(outcome, Outcome::Unknown);
        let (_, resumed) = sent(client.resume(now).expect("an unknown outcome can be resumed"));
        assert_eq!(resumed.command, first.command);
        let todo = client.receive(now, &reply(0, &resumed, done(9, b"ok")), &NoKeys);
        assert!(matches!(todo, Todo::Ended(Outcome::Committed { .. })));
    }

    /// The session opens after the end: with that the command leaves for the first time, and who
    /// resumes it sends it a second time. A refusal of this one says nothing about the other.
    #[test]
    fn what_left_between_end_and_resumption_is_in_doubt() {
        let mut client = client(CRASH, 3);
        let (_, open) = sent(client.begin(Duration::ZERO, Bytes::from_static(b"op"), &NoKeys));
        let end = client.pending.as_ref().unwrap().deadline;
        assert_eq!(client.tick(end), Todo::Ended(Outcome::Unknown));
        let (_, first) = sent(client.receive(end, &reply(0, &open, done(1, b"")), &NoKeys));
        let (_, second) = sent(client.resume(end).expect("it ended without knowing"));
        assert_eq!((first.attempt, second.attempt), (1, 2));
        client.receive(end, &reply(1, &second, Answer::Refused(Refusal::Busy)), &NoKeys);
        let end = client.pending.as_ref().unwrap().deadline;
        assert_eq!(client.tick(end), Todo::Ended(Outcome::Unknown));
    }

    /// So it is with who gave up waiting before the end.
    #[test]
    fn what_is_resumed_before_its_end_is_in_doubt() {
        let mut client = client(CRASH, 3);
        begun(&mut client);
        let (_, second) = sent(client.resume(MS).expect("it has not ended"));
        client.receive(MS, &reply(0, &second, Answer::Refused(Refusal::Busy)), &NoKeys);
        let end = client.pending.as_ref().unwrap().deadline;
        assert_eq!(client.tick(end), Todo::Ended(Outcome::Unknown));
    }

    /// A refusal of an earlier attempt, delivered late or twice, says nothing about this one.
    #[test]
    fn a_late_refusal_does_not_end_a_newer_attempt() {
        let mut client = client(CRASH, 3);
        let first = begun(&mut client);
        let refusal = reply(0, &first, Answer::Refused(Refusal::Busy));
        client.receive(MS, &refusal, &NoKeys);
        let (_, second) = sent(client.tick(client.wake_at().unwrap()));
        assert_eq!(client.receive(MS, &refusal, &NoKeys), Todo::Wait);
        assert!(client.pending.as_ref().unwrap().open, "the second attempt is still open");
        let todo = client.receive(MS, &reply(0, &second, done(2, b"")), &NoKeys);
        assert!(matches!(todo, Todo::Ended(Outcome::Committed { .. })));
    }

    /// The only attempt was answered "session expired": it was not applied, so a new session asks.
    #[test]
    fn an_expired_session_is_opened_anew() {
        let mut client = client(CRASH, 3);
        let request = begun(&mut client);
        let todo = client.receive(MS, &reply(0, &request, Answer::Expired), &NoKeys);
        let (_, open) = sent(todo);
        assert_eq!(open.command.request, RequestId::OPEN);
        assert_eq!(open.command.payload[..], 1u64.to_le_bytes(), "a higher opening number");
        let (_, again) = sent(client.receive(MS, &reply(0, &open, done(7, b"")), &NoKeys));
        assert_eq!(&again.command.payload[..], b"op");
        assert_ne!(again.command.session, request.command.session);
    }

    /// … but if an earlier attempt may have been applied, nobody knows.
    #[test]
    fn an_expired_session_after_a_timeout_is_an_unknown_outcome() {
        let mut client = client(CRASH, 3);
        begun(&mut client);
        let (_, second) = sent(client.tick(client.wake_at().unwrap()));
        let todo = client.receive(MS, &reply(1, &second, Answer::Expired), &NoKeys);
        assert_eq!(todo, Todo::Ended(Outcome::Unknown));
    }

    /// Who joined later is asked, too, and who left is not.
    #[test]
    fn members_come_and_go() {
        let mut client = client(CRASH, 3);
        let request = begun(&mut client);
        client.know([NodeId(1), NodeId(2), NodeId(5)].into_iter().collect());
        let refusal = Answer::Refused(Refusal::NotLeader(Some(NodeId(5))));
        client.receive(MS, &reply(1, &request, refusal), &NoKeys);
        assert_eq!(client.target(), NodeId(5), "a hint is followed");
        client.disconnected(MS, NodeId(5), false);
        assert_eq!(client.target(), NodeId(1), "n0 is none of them any more");
    }

    #[test]
    fn a_hint_beyond_the_cluster_is_not_followed() {
        let mut client = client(CRASH, 3);
        let request = begun(&mut client);
        let refusal = Answer::Refused(Refusal::NotLeader(Some(NodeId(77))));
        assert_eq!(client.receive(MS, &reply(0, &request, refusal), &NoKeys), Todo::Wait);
        assert_eq!(client.target(), NodeId(1));
    }
}
