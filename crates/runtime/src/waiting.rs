//! Who waits for which command, and how answers find their way back.

use crate::frame;
use crate::queue::FrameQueue;
use crate::wire::ToClient;
use bytes::Bytes;
use consensus_core::mutant::planted;
use consensus_core::{
    Answer, Answers, Authenticator, Batch, ClientId, ClusterId, Command, Executed, NodeId,
    QueryReply, Refusal, Reply, Request, RequestId, SessionId, Tag,
};
use std::collections::BTreeMap;
use std::sync::Arc;
use tokio::sync::OwnedSemaphorePermit;

/// A client's connection to this node.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) number: u64,
    pub(crate) client: ClientId,
    pub(crate) replies: FrameQueue,
}

impl Connection {
    /// Sends an answer. A client that does not take its answers is cut off: it will ask again.
    pub(crate) fn reply(&self, reply: Reply) {
        self.say(frame::encode(&ToClient::Reply(reply)));
    }

    /// Sends an answer to a question. One that is longer than all that may wait never comes
    /// through, however often it is asked for; who asked is told.
    pub(crate) fn reply_to_query(&self, reply: QueryReply) {
        let QueryReply { from, client, number, .. } = reply;
        let mut answer = frame::encode(&ToClient::QueryReply(reply));
        if !self.replies.takes(answer.len()) && !planted("N44") {
            let refused = QueryReply { from, client, number, answer: Err(Refusal::TooLarge) };
            answer = frame::encode(&ToClient::QueryReply(refused));
        }
        self.say(answer);
    }

    fn say(&self, frame: Bytes) {
        if self.replies.push(frame).is_err() {
            tracing::debug!(client = self.client.0, "a client does not take its answers");
            self.replies.close();
        }
    }
}

/// The answer to a request that was not taken.
pub(crate) fn refusal(from: NodeId, request: &Request, why: Refusal) -> Reply {
    let command = &request.command;
    Reply {
        from,
        client: command.client,
        session: command.session,
        request: command.request,
        attempt: request.attempt,
        answer: Answer::Refused(why),
        tag: Tag::none(),
    }
}

/// One command of a client that was proposed here.
struct Entry {
    session: SessionId,
    request: RequestId,
    payload: Bytes,
    attempt: u32,
    connection: Arc<Connection>,
    /// How many batches with this command are under way. Only when the last of them is refused
    /// was no trace of the command left.
    proposals: u32,
    /// The last of these batches.
    batch: u64,
    _room: OwnedSemaphorePermit,
}

impl Entry {
    fn is_for(&self, command: &Command) -> bool {
        // Two openings differ only in the number that they carry.
        (self.session == command.session || planted("N13"))
            && self.request == command.request
            && (command.request != RequestId::OPEN || self.payload == command.payload)
    }
}

/// The clients of one node: connections, and at most one command under way for each.
pub(crate) struct Waiting {
    node: NodeId,
    cluster: ClusterId,
    answers: Answers,
    keys: Arc<dyn Authenticator>,
    entries: BTreeMap<ClientId, Entry>,
    connections: BTreeMap<ClientId, Vec<Arc<Connection>>>,
    /// The batch that is being gathered; batches are numbered here, for nobody else.
    batch: u64,
    /// How many clients still wait for a command of each batch.
    under_way: BTreeMap<u64, usize>,
}

impl Waiting {
    pub(crate) fn new(
        node: NodeId,
        cluster: ClusterId,
        answers: Answers,
        keys: Arc<dyn Authenticator>,
    ) -> Self {
        let (entries, connections, under_way) = Default::default();
        Self { node, cluster, answers, keys, entries, connections, batch: 0, under_way }
    }

    /// Is nobody waiting?
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub(crate) fn connected(&mut self, connection: Arc<Connection>) {
        self.connections.entry(connection.client).or_default().push(connection);
    }

    /// A connection is gone: what came over it is answered to nobody.
    pub(crate) fn gone(&mut self, connection: &Connection) {
        if let Some(all) = self.connections.get_mut(&connection.client) {
            all.retain(|other| other.number != connection.number);
            if all.is_empty() {
                self.connections.remove(&connection.client);
            }
        }
        let entry = self.entries.get(&connection.client);
        let its = |entry: &Entry| entry.connection.number == connection.number;
        if entry.is_some_and(|entry| its(entry) || planted("N08")) {
            self.remove(connection.client);
        }
    }

    /// How many batches were proposed that somebody still waits for.
    pub(crate) fn batches_under_way(&self) -> usize {
        self.under_way.range(..self.batch).count()
    }

    /// What was gathered goes out; what comes now belongs to the next batch.
    pub(crate) fn next_batch(&mut self) {
        self.batch += 1;
    }

    /// Another attempt at a command that was proposed here and is not answered yet: the answer goes
    /// to this attempt. A leader, or a proposer of its own, still has the command and need not
    /// propose it again, which on a slow network would only fill the log with copies. False if it
    /// is new.
    pub(crate) fn asked_again(&mut self, request: &Request, connection: &Arc<Connection>) -> bool {
        match self.entries.get_mut(&request.command.client) {
            Some(entry) if entry.is_for(&request.command) => {
                entry.attempt = entry.attempt.max(request.attempt);
                entry.connection = Arc::clone(connection);
                true
            }
            _ => false,
        }
    }

    /// This request is gathered for the next batch.
    pub(crate) fn gathered(
        &mut self,
        request: &Request,
        connection: Arc<Connection>,
        room: OwnedSemaphorePermit,
    ) {
        let command = &request.command;
        let before = self.remove(command.client).filter(|entry| entry.is_for(command));
        let entry = Entry {
            session: command.session,
            request: command.request,
            payload: command.payload.clone(),
            attempt: request.attempt,
            connection,
            proposals: before.map_or(0, |entry| entry.proposals) + 1,
            batch: self.batch,
            _room: room,
        };
        *self.under_way.entry(self.batch).or_default() += 1;
        self.entries.insert(command.client, entry);
    }

    /// The entry of this command, if it is the one under way.
    fn take(&mut self, command: &Command) -> Option<Entry> {
        if !self.entries.get(&command.client)?.is_for(command) {
            return None;
        }
        self.remove(command.client)
    }

    /// Nobody waits for this client's command any more.
    fn remove(&mut self, client: ClientId) -> Option<Entry> {
        let entry = self.entries.remove(&client)?;
        if let Some(waiting) = self.under_way.get_mut(&entry.batch) {
            *waiting -= 1;
            if *waiting == 0 {
                self.under_way.remove(&entry.batch);
            }
        }
        Some(entry)
    }

    /// A command was executed: answers whom the algorithm wants answered.
    pub(crate) fn executed(&mut self, executed: Executed) {
        let Executed { command, answer, .. } = executed;
        let entry = self.take(&command);
        match self.answers {
            Answers::ClientReplica => {
                if let Some(entry) = entry {
                    entry.connection.reply(self.answer_to(&command, entry.attempt, answer));
                }
            }
            Answers::All => {
                let Some(connections) = self.connections.get(&command.client) else { return };
                let attempt = entry.map_or(0, |entry| entry.attempt);
                let mut reply = self.answer_to(&command, attempt, answer);
                reply.tag = self.keys.sign(&reply.signed_bytes(self.cluster));
                for connection in connections {
                    connection.reply(reply.clone());
                }
            }
        }
    }

    fn answer_to(&self, command: &Command, attempt: u32, answer: Answer) -> Reply {
        let Command { client, session, request, .. } = *command;
        Reply { from: self.node, client, session, request, attempt, answer, tag: Tag::none() }
    }

    /// The replica handed these commands back.
    pub(crate) fn refused(&mut self, batch: &Batch, why: Refusal) {
        for command in batch.commands() {
            let Some(entry) = self.entries.get_mut(&command.client) else { continue };
            if !entry.is_for(&command) {
                continue;
            }
            entry.proposals -= 1;
            if entry.proposals > 0 {
                continue;
            }
            let Some(entry) = self.remove(command.client) else { continue };
            entry.connection.reply(self.answer_to(&command, entry.attempt, Answer::Refused(why)));
        }
    }

    /// What was under way may or may not be applied; the clients shall ask the new leader.
    pub(crate) fn lost(&mut self, leader: Option<NodeId>) {
        self.under_way.clear();
        for (client, entry) in std::mem::take(&mut self.entries) {
            entry.connection.reply(Reply {
                from: self.node,
                client,
                session: entry.session,
                request: entry.request,
                attempt: entry.attempt,
                answer: Answer::Lost(leader),
                tag: Tag::none(),
            });
        }
    }
}

/// When the node ends, however it ends, its clients' connections send what waits, and close.
impl Drop for Waiting {
    fn drop(&mut self) {
        for connection in self.connections.values().flatten() {
            connection.replies.close();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::codec;
    use consensus_core::{LogIndex, NoKeys, Position};
    use tokio::sync::Semaphore;

    struct Desk {
        waiting: Waiting,
        connection: Arc<Connection>,
        room: Arc<Semaphore>,
    }

    fn desk(limit: usize) -> Desk {
        let connection =
            Connection { number: 1, client: ClientId(7), replies: FrameQueue::new(limit) };
        let connection = Arc::new(connection);
        let mut waiting =
            Waiting::new(NodeId(0), ClusterId(1), Answers::ClientReplica, Arc::new(NoKeys));
        waiting.connected(Arc::clone(&connection));
        Desk { waiting, connection, room: Arc::new(Semaphore::new(1000)) }
    }

    fn request(number: u64, attempt: u32) -> Request {
        let (client, session) = (ClientId(7), SessionId(3));
        let (request, payload) = (RequestId(number), Bytes::new());
        Request {
            attempt,
            command: Command { client, session, request, payload, tag: Tag::none() },
        }
    }

    impl Desk {
        /// Gathers one request, and proposes it alone.
        fn propose(&mut self, request: &Request) -> Batch {
            let room = Arc::clone(&self.room).try_acquire_many_owned(10).expect("room");
            self.waiting.gathered(request, Arc::clone(&self.connection), room);
            self.waiting.next_batch();
            Batch::of(std::slice::from_ref(&request.command))
        }

        /// The answers that were sent, with the attempts that they answer.
        fn answers(&self) -> Vec<(u32, Answer)> {
            self.connection.replies.push(Bytes::new()).expect("room");
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let frames = runtime.block_on(self.connection.replies.take_all()).expect("open");
            self.connection.replies.written(frames.iter().map(Bytes::len).sum());
            let sent = frames.iter().filter(|frame| !frame.is_empty());
            let payloads = sent.map(|frame| &frame[frame.len() - frame::payload_len(frame)..]);
            let reply = |payload: &[u8]| match codec::decode(payload) {
                Ok(ToClient::Reply(reply)) => (reply.attempt, reply.answer),
                other => panic!("no reply: {other:?}"),
            };
            payloads.map(reply).collect()
        }
    }

    fn executed(request: &Request) -> Executed {
        let position = Position { index: LogIndex(1), offset: 0 };
        let answer = Answer::Done { position, result: Bytes::new() };
        Executed { command: request.command.clone(), position, applied: true, answer }
    }

    /// "Refused" says that no trace was left; while another batch with the same command is under
    /// way, that is not so.
    #[test]
    fn only_the_last_refusal_of_a_command_is_told() {
        let mut desk = desk(10_000);
        let first = desk.propose(&request(1, 1));
        let second = desk.propose(&request(1, 2));
        desk.waiting.refused(&first, Refusal::Busy);
        assert_eq!(desk.answers(), []);
        desk.waiting.refused(&second, Refusal::Busy);
        assert_eq!(desk.answers(), [(2, Answer::Refused(Refusal::Busy))]);
        assert!(desk.waiting.is_empty());
        assert_eq!(desk.room.available_permits(), 1000, "the room is free again");
    }

    #[test]
    fn a_leader_is_asked_again_and_answers_the_last_attempt() {
        let mut desk = desk(10_000);
        assert!(!desk.waiting.asked_again(&request(1, 1), &desk.connection), "new");
        desk.propose(&request(1, 1));
        assert!(desk.waiting.asked_again(&request(1, 2), &desk.connection));
        assert!(!desk.waiting.asked_again(&request(2, 1), &desk.connection), "another command");
        desk.waiting.executed(executed(&request(1, 1)));
        let answers = desk.answers();
        assert!(matches!(answers[..], [(2, Answer::Done { .. })]), "{answers:?}");
        assert!(!desk.waiting.asked_again(&request(1, 3), &desk.connection), "answered");
    }

    #[test]
    fn an_answer_goes_to_the_last_attempt_once_and_an_old_command_has_none() {
        let mut desk = desk(10_000);
        let (old, new) = (request(1, 1), request(2, 1));
        desk.propose(&old);
        desk.propose(&new);
        desk.waiting.executed(executed(&old));
        assert_eq!(desk.answers(), [], "nobody waits for it any more");
        desk.propose(&request(2, 5));
        desk.waiting.executed(executed(&new));
        desk.waiting.executed(executed(&new));
        let answers = desk.answers();
        assert!(matches!(answers[..], [(5, Answer::Done { .. })]), "{answers:?}");
    }

    /// Requests are numbered anew in each session.
    #[test]
    pub(crate) fn a_command_of_another_session_is_another_command() {
        let mut desk = desk(10_000);
        let (old, mut new) = (request(1, 1), request(1, 1));
        new.command.session = SessionId(4);
        desk.propose(&old);
        assert!(!desk.waiting.asked_again(&new, &desk.connection), "another session");
        desk.propose(&new);
        desk.waiting.executed(executed(&old));
        assert_eq!(desk.answers(), [], "nobody waits for the old session any more");
        desk.waiting.executed(executed(&new));
        assert_eq!(desk.answers().len(), 1);
    }

    /// A client connects again before its old connection is seen to end.
    #[test]
    pub(crate) fn the_end_of_an_old_connection_forgets_nothing_of_the_new_one() {
        let mut desk = desk(10_000);
        let old = Arc::clone(&desk.connection);
        desk.propose(&request(1, 1));
        let replies = FrameQueue::new(10_000);
        desk.connection = Arc::new(Connection { number: 2, client: ClientId(7), replies });
        desk.waiting.connected(Arc::clone(&desk.connection));
        assert!(desk.waiting.asked_again(&request(1, 2), &desk.connection));
        desk.waiting.gone(&old);
        desk.waiting.executed(executed(&request(1, 1)));
        assert!(matches!(desk.answers()[..], [(2, Answer::Done { .. })]));
        let connection = Arc::clone(&desk.connection);
        desk.waiting.gone(&connection);
        assert!(desk.waiting.connections.is_empty());
    }

    #[test]
    fn batches_are_under_way_until_nobody_waits_for_them() {
        let mut desk = desk(10_000);
        desk.propose(&request(1, 1));
        assert_eq!(desk.waiting.batches_under_way(), 1);
        desk.propose(&request(1, 2));
        assert_eq!(desk.waiting.batches_under_way(), 1, "the client waits for the second");
        desk.waiting.lost(Some(NodeId(2)));
        assert_eq!(desk.waiting.batches_under_way(), 0);
        assert_eq!(desk.answers(), [(2, Answer::Lost(Some(NodeId(2))))]);
        desk.propose(&request(3, 1));
        let connection = Arc::clone(&desk.connection);
        desk.waiting.gone(&connection);
        assert_eq!(desk.waiting.batches_under_way(), 0);
        assert_eq!(desk.room.available_permits(), 1000);
    }

    /// A reader that never reads costs its bound of memory, and then its connection.
    #[test]
    fn a_client_that_does_not_take_its_answers_is_cut_off() {
        let mut desk = desk(100);
        for number in 1..10 {
            let request = request(number, 1);
            desk.propose(&request);
            desk.waiting.executed(executed(&request));
        }
        assert!(desk.connection.replies.push(Bytes::new()).is_err(), "closed");
    }

    /// An answer that fits no queue would only end the connection, each time anew.
    #[test]
    pub(crate) fn who_asks_for_more_than_an_answer_can_hold_is_told() {
        let limit = 200;
        for (length, fits) in [(100, true), (limit, false)] {
            let desk = desk(limit);
            let answer = Ok((LogIndex(3), Bytes::from(vec![7; length])));
            let client = desk.connection.client;
            desk.connection.reply_to_query(QueryReply {
                from: NodeId(0),
                client,
                number: 5,
                answer,
            });
            let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
            let frames = runtime.block_on(desk.connection.replies.take_all()).expect("open");
            let payload = &frames[0][frames[0].len() - frame::payload_len(&frames[0])..];
            let Ok(ToClient::QueryReply(told)) = codec::decode(payload) else {
                panic!("no answer")
            };
            assert_eq!((told.client, told.number), (client, 5));
            assert_eq!(told.answer.is_ok(), fits);
            assert!(fits || told.answer == Err(Refusal::TooLarge));
        }
    }
}
