//! Reading clients, the queries that wait at a node, and what an answer must be.

use super::connections::{Call, Caller};
use super::event::Event;
use super::{ReadDone, World};
use crate::report::Finding;
use crate::rng::CERTAIN;
use bytes::Bytes;
use consensus_core::{
    Admitted, Ask, Audit, ClientId, Consistency, Input, LogIndex, NodeId, NodeSet, Patience,
    Querier, Query, QueryReply, ReadMode, Refusal, StateMachine,
};
use core::time::Duration;

/// Reading clients are numbered from here on.
const FIRST_READER: u64 = 1 << 40;

/// What a reading client asks for the n-th time, how fresh the answer must be, and when.
type Questions = Box<dyn FnMut(u64) -> Option<(Bytes, Consistency, Duration)>>;

pub(super) struct Reader {
    querier: Querier,
    questions: Questions,
    nth: u64,
    next: Option<(Bytes, Consistency)>,
    current: Option<(Bytes, Consistency, u64)>,
    /// The last time that it asked.
    call: Option<Call>,
    /// The event that wakes it, if one is scheduled that still counts.
    pending: Option<u64>,
    ended: bool,
}

impl Reader {
    /// What it called this node for, if that was its last call.
    pub(super) fn call(&self, node: NodeId) -> Option<Caller> {
        self.call.filter(|call| call.to.contains(node)).map(|call| call.caller)
    }
}

/// A query at a node.
#[derive(Clone, Debug)]
pub(crate) struct Asked {
    query: Query,
    reader: usize,
    /// When the node took it.
    at: u64,
    /// What was told to anybody by then.
    floor: LogIndex,
}

impl<P: Audit, S: StateMachine> World<P, S> {
    /// Adds a client that only reads, and asks `target` first: for the n-th time this question, as
    /// fresh as this, and not before this time. `None` ends it.
    pub fn add_reader(
        &mut self,
        target: NodeId,
        patience: Patience,
        questions: impl FnMut(u64) -> Option<(Bytes, Consistency, Duration)> + 'static,
    ) -> ClientId {
        let reader = self.readers.len();
        let id = ClientId(FIRST_READER + reader as u64);
        let nodes = self.setup.cluster.nodes();
        self.readers.push(Reader {
            querier: Querier::new(id, nodes, patience, target),
            questions: Box::new(questions),
            nth: 0,
            next: None,
            current: None,
            call: None,
            pending: None,
            ended: false,
        });
        self.next_question(reader);
        id
    }

    /// Asks a node once, and whom it names if it will not answer.
    pub fn read(&mut self, node: NodeId, consistency: Consistency, question: Bytes) -> ClientId {
        let mut question = Some(question);
        let now = self.now();
        self.add_reader(node, Patience::default(), move |_| {
            question.take().map(|question| (question, consistency, now))
        })
    }

    /// From now on the answers to this question are held against a replay as of their index.
    pub fn watch(&mut self, question: Bytes) {
        self.history.watch(question);
    }

    /// Questions that ended, in the order of their ends.
    pub fn reads(&self) -> &[ReadDone] {
        &self.reads
    }

    /// Those of them that must fit into one order with everything else: all but reads by leases
    /// that nobody trusts.
    pub(crate) fn reads_that_count(&self) -> Vec<ReadDone> {
        let counts = |read: &&ReadDone| self.is_trusted(read.consistency);
        self.reads.iter().filter(counts).cloned().collect()
    }

    /// Clocks are worse than was declared of them, and leases rest on that: reads by leases may be
    /// stale. Whoever does not ask for them must not notice.
    pub(crate) fn trust_no_lease(&mut self) {
        self.mark(crate::check::WORSE_CLOCKS);
        self.trusts_leases = false;
    }

    fn is_trusted(&self, consistency: Consistency) -> bool {
        self.trusts_leases || consistency != Consistency::Linearizable(ReadMode::Lease)
    }

    /// Have all reading clients ended?
    pub fn readers_ended(&self) -> bool {
        self.readers.iter().all(|reader| reader.ended)
    }

    /// Has this reading client ended?
    pub fn reader_ended(&self, client: ClientId) -> bool {
        let reader = client.0.checked_sub(FIRST_READER).map(|reader| reader as usize);
        reader.and_then(|reader| self.readers.get(reader)).is_some_and(|reader| reader.ended)
    }

    /// No reading client asks another question.
    pub fn retire_readers(&mut self) {
        for reader in &mut self.readers {
            reader.questions = Box::new(|_| None);
            if reader.next.take().is_some() {
                reader.pending = None;
                reader.ended = true;
            }
        }
    }

    fn next_question(&mut self, place: usize) {
        let now = self.now;
        let reader = &mut self.readers[place];
        let Some((question, consistency, due)) = (reader.questions)(reader.nth) else {
            reader.ended = true;
            return;
        };
        reader.nth += 1;
        reader.next = Some((question, consistency));
        let due = (due.as_nanos() as u64).max(now);
        reader.pending = Some(due);
        self.queue.push(due, Event::ReaderWake { reader: place, at: due });
    }

    pub(super) fn wake_reader(&mut self, place: usize, at: u64) {
        let now = self.now();
        let reader = &mut self.readers[place];
        if reader.pending != Some(at) {
            return;
        }
        reader.pending = None;
        let todo = match reader.next.take() {
            Some((question, consistency)) => {
                reader.current = Some((question.clone(), consistency, self.now));
                reader.querier.begin(now, question, consistency)
            }
            None => reader.querier.tick(now),
        };
        self.fold(20, place as u64, 0);
        self.reader_does(place, todo);
    }

    fn reader_does(&mut self, place: usize, todo: Ask) {
        match todo {
            Ask::Send(to, query) => {
                let caller = Caller::Reader { place, number: query.number };
                self.readers[place].call = Some(Call { caller, to: NodeSet::only(to) });
                if let Some(at) = self.reader_link(to, caller) {
                    let event = self.arrival(caller, to, Event::Query { to, reader: place, query });
                    self.queue.push(at, event);
                }
            }
            Ask::Wait => {}
            Ask::Ended(answer) => {
                let reader = &mut self.readers[place];
                let Some((question, consistency, begun)) = reader.current.take() else { return };
                let (begun, ended) = (Duration::from_nanos(begun), self.now());
                let client = ClientId(FIRST_READER + place as u64);
                if let Ok((index, _)) = &answer {
                    self.history.told(*index);
                }
                self.reads.push(ReadDone { client, question, consistency, begun, ended, answer });
                return self.next_question(place);
            }
        }
        let reader = &mut self.readers[place];
        if let Some(wake) = reader.querier.wake_at() {
            let at = (wake.as_nanos() as u64).max(self.now);
            if reader.pending.is_none_or(|pending| pending > at) {
                reader.pending = Some(at);
                self.queue.push(at, Event::ReaderWake { reader: place, at });
            }
        }
    }

    /// When what is sent now between a reading client and a node arrives, if it does.
    fn reader_link(&mut self, node: NodeId, caller: Caller) -> Option<u64> {
        let loss = self.setup.network.client_loss;
        if !self.links.reliable.contains(node) && self.rng.chance(loss) {
            self.fault("query or its answer lost");
            self.hang_up(caller, node);
            return None;
        }
        let delay = self.setup.network.client_latency.draw(&mut self.rng);
        Some(self.now + delay.as_nanos() as u64)
    }

    pub(super) fn reader_disconnected(&mut self, place: usize, node: NodeId) {
        let now = self.now();
        let todo = self.readers[place].querier.disconnected(now, node);
        self.reader_does(place, todo);
    }

    pub(super) fn take_answer(&mut self, place: usize, reply: &QueryReply) {
        self.fold(21, place as u64, consensus_core::Fingerprint::of(reply).0);
        let now = self.now();
        let todo = self.readers[place].querier.receive(now, reply);
        self.reader_does(place, todo);
    }

    /// A query arrives at a node.
    pub(super) fn take_query(&mut self, to: NodeId, reader: usize, query: Query) {
        self.fold(22, u64::from(to.0), query.number);
        if self.nodes[to.index()].replica.is_none() {
            return;
        }
        let now = self.clock_of(to);
        let old = now.saturating_sub(self.setup.cluster.timing.election_max * 2);
        let asked =
            Asked { reader, at: self.now, floor: self.history.told_index(), query: query.clone() };
        let node = &mut self.nodes[to.index()];
        let late: Vec<Asked> = node.reads.overdue(old).collect();
        let applied = node.executor.applied();
        let admitted = node.reads.admit(asked, query.consistency, now, applied);
        for asked in late {
            self.reply_to_query(to, &asked, Err(Refusal::Busy));
        }
        match admitted {
            Admitted::Now(asked) => self.answer_query(to, &asked),
            Admitted::Ask(read) => {
                if self.is_trusted(Consistency::Linearizable(read.mode)) {
                    let committed = self.last_committed();
                    self.nodes[to.index()].floors.asked(read, committed);
                }
                self.input(to, Input::Read(read));
            }
            Admitted::Wait => self.mark("read waits for what is committed to be applied"),
        }
    }

    pub(super) fn read_is_ready(&mut self, id: NodeId, read: u64, index: LogIndex) {
        self.tell(|| format!("{id} may answer read {read} at {index}"));
        if index > self.last_committed() {
            // It waits until that is committed; then the index is no less right.
            self.mark("read of what is not committed yet");
        }
        let verdict = self.nodes[id.index()].floors.named(read, index);
        if self.judge(id, verdict) {
            self.nodes[id.index()].reads.ready(read, index);
        }
    }

    pub(super) fn refuse_read(&mut self, id: NodeId, read: u64, why: Refusal) {
        self.tell(|| format!("{id} does not answer read {read}: {why}"));
        self.nodes[id.index()].floors.refused(read);
        if let Some(asked) = self.nodes[id.index()].reads.refused(read) {
            self.reply_to_query(id, &asked, Err(why));
        }
    }

    /// Answers what may be answered by now.
    pub(super) fn answer_queries(&mut self, id: NodeId) {
        let node = &mut self.nodes[id.index()];
        if node.reads.is_empty() || node.replica.is_none() {
            return;
        }
        let applied = node.executor.applied();
        let ready: Vec<Asked> = node.reads.applied(applied).collect();
        for asked in ready {
            self.answer_query(id, &asked);
        }
    }

    /// O9 for reads, at the node that answers.
    fn answer_query(&mut self, id: NodeId, asked: &Asked) {
        if self.violation.is_some() {
            return;
        }
        let executor = &self.nodes[id.index()].executor;
        let index = executor.applied();
        let answer = executor.machine().query(&asked.query.question);
        let verdict = self
            .is_fresh(id, asked, index)
            .and_then(|()| self.history.read(index, &asked.query.question, &answer));
        if !self.judge(id, verdict) {
            return;
        }
        self.mark(match asked.query.consistency {
            Consistency::Linearizable(ReadMode::Index) => "answered by index",
            Consistency::Linearizable(ReadMode::Lease) => "answered by lease",
            Consistency::Linearizable(ReadMode::Quorum) => "answered by quorum",
            Consistency::AtMost(_) => "answered within a bound",
            Consistency::Local => "answered as it stands",
        });
        self.reply_to_query(id, asked, Ok((index, answer)));
    }

    fn is_fresh(&self, id: NodeId, asked: &Asked, index: LogIndex) -> Result<(), Finding> {
        let Asked { query, at, floor, .. } = asked;
        let bound = match query.consistency {
            Consistency::Local => return Ok(()),
            how if !self.is_trusted(how) => return Ok(()),
            Consistency::Linearizable(_) => Duration::ZERO,
            Consistency::AtMost(bound) => bound,
        };
        let needed = if bound.is_zero() {
            *floor
        } else {
            // The node's own clock says what is old.
            let rate = self.nodes[id.index()].clock_rate.max(1);
            let bound = bound.as_nanos() * u128::from(CERTAIN) / u128::from(rate);
            self.history.committed_at(at.saturating_sub(bound as u64))
        };
        if index >= needed {
            return Ok(());
        }
        let how = query.consistency;
        let detail = format!("a read ({how:?}) is answered as of {index}; {needed} was owed");
        Err(Finding::new("O9", "reads are as fresh as promised", detail))
    }

    fn reply_to_query(
        &mut self,
        from: NodeId,
        asked: &Asked,
        answer: Result<(LogIndex, Bytes), Refusal>,
    ) {
        let Query { client, number, .. } = asked.query;
        let reply = QueryReply { from, client, number, answer };
        let caller = Caller::Reader { place: asked.reader, number };
        if let Some(at) = self.reader_link(from, caller) {
            self.queue.push(at, Event::Answer { reader: asked.reader, reply });
        }
    }
}
