//! The shared layers against plain models: sets, quorums, sessions, the outbox, batches.

use bytes::Bytes;
use consensus_core::{
    Answer, Batch, ClientId, ClusterId, Command, Executor, InFlight, Incoming, Links, LogIndex,
    Membership, NodeId, NodeSet, Outbox, Position, RecordNumber, Refusal, Reply, RequestId,
    RestoreError, SessionId, Sessions, SnapshotMessage, SnapshotMeta, StateMachine, Tag, Then,
    Verdict, asked_offset, quorum,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

fn nodes() -> impl Strategy<Value = BTreeSet<u8>> {
    proptest::collection::btree_set(0u8..128, 0..20)
}

fn set(nodes: &BTreeSet<u8>) -> NodeSet {
    nodes.iter().copied().map(NodeId).collect()
}

fn listed(set: NodeSet) -> Vec<u8> {
    set.iter().map(|node| node.0).collect()
}

proptest! {
    /// A `NodeSet` is a set: a repeated vote counts once.
    #[test]
    fn node_sets_are_sets(a in nodes(), b in nodes(), one in 0u8..=255) {
        let (sa, sb) = (set(&a), set(&b));
        prop_assert_eq!(sa.len(), a.len());
        prop_assert_eq!(listed(sa.and(sb)), a.intersection(&b).copied().collect::<Vec<_>>());
        prop_assert_eq!(listed(sa.or(sb)), a.union(&b).copied().collect::<Vec<_>>());
        prop_assert_eq!(listed(sa.minus(sb)), a.difference(&b).copied().collect::<Vec<_>>());
        let (mut grown, mut model) = (sa, a.clone());
        prop_assert_eq!(grown.insert(NodeId(one)), one < 128 && model.insert(one));
        prop_assert_eq!(grown.contains(NodeId(one)), one < 128);
        prop_assert_eq!(grown.remove(NodeId(one)), model.remove(&one));
        prop_assert_eq!(listed(grown), model.into_iter().collect::<Vec<_>>());
    }

    /// Any two quorums of any clusters meet, in a correct node where some lie (OSDI '99, §3).
    #[test]
    fn quorums_meet(size in 1usize..=128, seed in any::<[u128; 2]>()) {
        let pick = |count: usize, seed: u128| -> NodeSet {
            let mut order: Vec<u8> = (0..size as u8).collect();
            order.sort_by_key(|node| seed.rotate_left(u32::from(*node)).wrapping_mul(0x9e37_79b9));
            order.into_iter().take(count).map(NodeId).collect()
        };
        for (quorum, shared) in [
            (quorum::majority(size), 0),
            (quorum::byzantine(size), quorum::byzantine_faults(size)),
        ] {
            let (one, two) = (pick(quorum, seed[0]), pick(quorum, seed[1]));
            prop_assert_eq!((one.len(), two.len()), (quorum, quorum));
            prop_assert!(one.and(two).len() > shared);
        }
        prop_assert!(quorum::majority(size) <= size - quorum::crash_faults(size));
        prop_assert!(quorum::byzantine(size) <= size - quorum::byzantine_faults(size));
    }
}

/// What the outbox is told.
#[derive(Clone, Debug)]
enum Told {
    Offer { to: BTreeSet<u8>, after: u64 },
    Durable(u64),
}

fn told() -> impl Strategy<Value = Vec<Told>> {
    let to = proptest::collection::btree_set(0u8..4, 1..4);
    let offer = (to, 0u64..12).prop_map(|(to, after)| Told::Offer { to, after });
    let durable = (0u64..14).prop_map(Told::Durable);
    proptest::collection::vec(prop_oneof![3 => offer, 1 => durable], 0..40)
}

/// What arrives at each node, in order: number of the message, and how far the disk was.
type Arrived = BTreeMap<u8, Vec<(u64, u64)>>;

fn deliver(arrived: &mut Arrived, to: NodeSet, message: u64, durable: u64) {
    for node in to.iter() {
        arrived.entry(node.0).or_default().push((message, durable));
    }
}

proptest! {
    /// No promise leaves before its record is durable; nothing is lost or doubled; and on FIFO
    /// links every node gets what it was sent in the order of sending.
    #[test]
    fn the_outbox_holds_promises_and_loses_nothing(script in told(), fifo: bool) {
        let links = if fifo { Links::Fifo } else { Links::Any };
        let mut outbox = Outbox::after_recovery(2, links);
        let (mut arrived, mut sent, mut durable) = (Arrived::new(), Arrived::new(), 2);
        let mut after_of = BTreeMap::new();
        for (number, told) in (0..).zip(script.into_iter().chain([Told::Durable(99)])) {
            match told {
                Told::Offer { to, after } => {
                    deliver(&mut sent, set(&to), number, 0);
                    let now = outbox.offer(set(&to), &number, RecordNumber(after));
                    deliver(&mut arrived, now, number, durable);
                    after_of.insert(number, after);
                }
                Told::Durable(upto) => {
                    durable = durable.max(upto);
                    for (to, message) in outbox.durable(RecordNumber(upto)) {
                        deliver(&mut arrived, to, message, durable);
                    }
                    prop_assert_eq!(outbox.durable_upto(), RecordNumber(durable));
                }
            }
        }
        prop_assert_eq!(outbox.held(), 0, "everything leaves in the end");
        prop_assert_eq!(arrived.len(), sent.len());
        for (node, messages) in &arrived {
            for (message, durable) in messages {
                prop_assert!(after_of[message] <= *durable, "a promise left too early");
            }
            let mut got: Vec<u64> = messages.iter().map(|(message, _)| *message).collect();
            let want: Vec<u64> = sent[node].iter().map(|(message, _)| *message).collect();
            if !fifo {
                got.sort_unstable();
            }
            prop_assert_eq!(got, want);
        }
    }

    /// Completions are cumulative, in order, and what was forgotten does not come back.
    #[test]
    fn writes_in_flight_land_once_and_in_order(
        steps in proptest::collection::vec((0u64..3, 0u8..4), 0..60),
    ) {
        let (mut writes, mut model) = (InFlight::default(), Vec::new());
        let mut number = 0;
        for (gap, what) in steps {
            match what {
                0 | 1 => {
                    number += gap;
                    writes.wrote(RecordNumber(number), number);
                    model.push(number);
                }
                2 => {
                    let upto = number.saturating_sub(gap);
                    let landed: Vec<_> = writes.durable(RecordNumber(upto)).collect();
                    let (ready, rest): (Vec<_>, Vec<_>) =
                        model.into_iter().partition(|write| *write <= upto);
                    model = rest;
                    prop_assert_eq!(landed, ready);
                }
                _ => {
                    let cut = number.saturating_sub(gap);
                    writes.retain(|write| *write < cut);
                    model.retain(|write| *write < cut);
                }
            }
            prop_assert_eq!(writes.is_empty(), model.is_empty());
        }
    }
}

/// A row of the naive table.
#[derive(Clone, Debug)]
struct Row {
    client: ClientId,
    id: SessionId,
    opening: u64,
    last: RequestId,
    answered: (Position, Bytes),
    used: Position,
}

/// Sessions as the thesis tells them (§6.3): a list, searched from end to end.
#[derive(Clone, Debug, Default)]
struct NaiveSessions(Vec<Row>);

impl NaiveSessions {
    fn judge(&mut self, limit: usize, command: &Command, at: Position) -> Verdict {
        if command.request == RequestId::OPEN {
            return self.open(limit, command, at);
        }
        let of_session = |row: &&mut Row| (row.client, row.id) == (command.client, command.session);
        let Some(row) = self.0.iter_mut().find(of_session) else { return Verdict::Expired };
        if command.request < row.last {
            return Verdict::Stale;
        }
        row.used = at;
        if command.request == row.last {
            return Verdict::Repeat(row.answered.0, row.answered.1.clone());
        }
        (row.last, row.answered) = (command.request, (at, command.payload.clone()));
        Verdict::Apply
    }

    fn open(&mut self, limit: usize, command: &Command, at: Position) -> Verdict {
        let opening = u64::from_le_bytes(command.payload[..].try_into().expect("eight bytes"));
        if let Some(row) = self.0.iter().find(|row| row.client == command.client) {
            if opening == row.opening && row.last == RequestId::OPEN {
                return Verdict::Opened(row.answered.0);
            }
            if opening <= row.opening {
                return Verdict::Stale;
            }
        }
        self.0.retain(|row| row.client != command.client);
        if self.0.len() == limit {
            let oldest = self.0.iter().map(|row| row.used).min().expect("a row");
            self.0.retain(|row| row.used != oldest);
        }
        self.0.push(Row {
            client: command.client,
            id: SessionId::opened_at(at),
            opening,
            last: RequestId::OPEN,
            answered: (at, Bytes::new()),
            used: at,
        });
        Verdict::Opened(at)
    }
}

proptest! {
    /// The session table gives the verdicts of the naive one, whatever comes late, twice, out of
    /// order or over the limit.
    #[test]
    fn sessions_judge_as_the_naive_table_does(
        limit in 1usize..4,
        script in scripts(),
    ) {
        let (mut sessions, mut naive) = (Sessions::new(limit), NaiveSessions::default());
        let mut opened = Opened::default();
        for (index, (client, session, request, payload)) in (0..).zip(script) {
            let at = Position { index: LogIndex(index / 2 + 1), offset: index as u32 % 2 };
            let command = Command {
                client: ClientId(client),
                session: opened.pick(client, session),
                request: RequestId(request),
                payload: Bytes::copy_from_slice(&payload.to_le_bytes()),
                tag: Tag::none(),
            };
            let verdict = sessions.judge(&command, at);
            prop_assert_eq!(&verdict, &naive.judge(limit, &command, at));
            match verdict {
                Verdict::Apply => sessions.remember(&command, at, command.payload.clone()),
                Verdict::Opened(position) => opened.add(client, position),
                _ => {}
            }
            prop_assert!(sessions.len() <= limit);
        }
    }

    /// One batch of two lists is the bytes of both; bytes part into batches at commands only.
    #[test]
    fn batches_join_and_part_at_commands_only(
        payloads in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..30), 0..6),
        split in any::<prop::sample::Index>(),
        cut in any::<prop::sample::Index>(),
    ) {
        let command = |(payload, number): (&Vec<u8>, u64)| Command {
            client: ClientId(number),
            session: SessionId(number),
            request: RequestId(number),
            payload: payload.clone().into(),
            tag: Tag(Bytes::from(vec![7; payload.len() % 3])),
        };
        let commands: Vec<_> = payloads.iter().zip(1..).map(command).collect();
        let (front, back) = commands.split_at(split.index(commands.len() + 1));
        let joined = [&Batch::of(front).bytes()[..], Batch::of(back).bytes()].concat();
        prop_assert_eq!(Batch::parse(joined.clone().into()), Ok(Batch::of(&commands)));
        let cut = cut.index(joined.len() + 1);
        let mut seams = (0..=commands.len()).map(|some| Batch::of(&commands[..some]).bytes().len());
        let at_a_seam = seams.any(|seam| seam == cut);
        prop_assert_eq!(Batch::parse(joined[..cut].to_vec().into()).is_ok(), at_a_seam);
    }
}

/// All answers, and those that differ from one of them in one place.
fn answers() -> Vec<Answer> {
    let done = |index, offset, result: &'static [u8]| Answer::Done {
        position: Position { index: LogIndex(index), offset },
        result: Bytes::from_static(result),
    };
    let mut answers = vec![done(1, 1, b"a"), done(2, 1, b"a"), done(1, 2, b"a")];
    answers.extend([done(1, 1, b"b"), done(1, 1, b"ab"), done(1, 1, b"")]);
    answers.extend([Answer::Stale, Answer::Expired]);
    for node in [None, Some(NodeId(0)), Some(NodeId(1))] {
        answers.extend([Answer::Lost(node), Answer::Refused(Refusal::NotLeader(node))]);
    }
    let others = [Refusal::Busy, Refusal::TooLarge, Refusal::BadSignature, Refusal::Stopping];
    answers.extend(others.map(Answer::Refused));
    answers.push(Answer::Refused(Refusal::Unsupported));
    answers
}

/// Castro & Liskov, OSDI '99, §2.4.1: replicas and clients sign what they say. All of it: two
/// statements that differ in one field, whichever, have no signature in common.
#[test]
fn what_is_signed_is_the_whole_statement() {
    let command = Command {
        client: ClientId(1),
        session: SessionId(1),
        request: RequestId(1),
        payload: Bytes::from_static(b"a"),
        tag: Tag::none(),
    };
    let reply = Reply {
        from: NodeId(1),
        client: ClientId(1),
        session: SessionId(1),
        request: RequestId(1),
        attempt: 1,
        answer: Answer::Stale,
        tag: Tag::none(),
    };
    let commands = [
        command.clone(),
        Command { client: ClientId(2), ..command.clone() },
        Command { session: SessionId(2), ..command.clone() },
        Command { request: RequestId(2), ..command.clone() },
        Command { payload: Bytes::from_static(b"b"), ..command.clone() },
        Command { payload: Bytes::from_static(b"aa"), ..command },
    ];
    let with = |answer| Reply { answer, ..reply.clone() };
    let replies = answers().into_iter().map(with).chain([
        Reply { from: NodeId(2), ..reply.clone() },
        Reply { client: ClientId(2), ..reply.clone() },
        Reply { session: SessionId(2), ..reply.clone() },
        Reply { request: RequestId(2), ..reply.clone() },
        Reply { attempt: 2, ..reply.clone() },
    ]);
    let replies: Vec<Reply> = replies.collect();
    let mut bytes = BTreeSet::new();
    for cluster in [ClusterId(1), ClusterId(2)] {
        bytes.extend(commands.iter().map(|command| command.signed_bytes(cluster)));
        bytes.extend(replies.iter().map(|reply| reply.signed_bytes(cluster)));
    }
    assert_eq!(bytes.len(), 2 * (commands.len() + replies.len()));
}

/// Some snapshots. No two are of one index: what is decided up to there is one thing.
fn snapshots() -> [(SnapshotMeta, Vec<u8>); 4] {
    [(3, 1, 1), (5, 1, 9), (6, 2, 6), (7, 2, 12)].map(|(index, epoch, length)| {
        let membership = Membership { version: LogIndex(index - 1), ..Membership::default() };
        let meta = SnapshotMeta { index: LogIndex(index), epoch, membership };
        (meta, (0..length).map(|at| (index * 40 + epoch * 16 + at) as u8).collect())
    })
}

fn piece((meta, whole): &(SnapshotMeta, Vec<u8>), offset: usize, most: usize) -> SnapshotMessage {
    let start = offset.min(whole.len());
    let end = (start + most).min(whole.len());
    let bytes = Bytes::copy_from_slice(&whole[start..end]);
    SnapshotMessage::chunk(meta.clone(), start as u64, bytes, end == whole.len())
}

/// What a replica keeps of the snapshot that it receives.
#[derive(Default)]
struct Receiver {
    incoming: Incoming,
    kept: Vec<u8>,
    applied: LogIndex,
}

impl Receiver {
    /// A piece comes. True if a snapshot is whole by it, which then is one of those there are.
    fn take(&mut self, piece: SnapshotMessage) -> Result<bool, TestCaseError> {
        let Some(received) = self.incoming.receive(piece, self.applied) else { return Ok(false) };
        if received.first {
            self.kept.clear();
        }
        self.kept.extend_from_slice(&received.bytes);
        match received.then {
            Then::Ask(SnapshotMessage::Ask { of, offset }) => {
                prop_assert_eq!((of, offset), (self.incoming.index(), self.kept.len() as u64));
                Ok(false)
            }
            Then::Ask(other) => panic!("that is no question: {other:?}"),
            Then::Whole(meta) => {
                let kept = (meta.clone(), std::mem::take(&mut self.kept));
                prop_assert!(snapshots().contains(&kept), "{:?} is no snapshot", kept);
                prop_assert_eq!(self.incoming.index(), None, "the next one begins anew");
                self.applied = meta.index;
                Ok(true)
            }
        }
    }
}

proptest! {
    /// Pieces of any length of several snapshots, lost, doubled and out of order: what is called
    /// whole is one of them, byte for byte. And when one giver is left, its snapshot comes, though
    /// it be older than what was begun.
    #[test]
    fn what_is_called_whole_is_a_snapshot(
        script in proptest::collection::vec((0usize..4, 0usize..13, 1usize..7, 0u8..8), 0..60),
        last in 0usize..4,
        step in 1usize..7,
    ) {
        let all = snapshots();
        let mut receiver = Receiver::default();
        for (which, offset, most, what) in script {
            let SnapshotMessage::Ask { of, offset: next } = receiver.incoming.ask() else {
                panic!("asks")
            };
            let answer = asked_offset(of, next, all[which].0.index) as usize;
            match what {
                0 => {
                    receiver.incoming.abandon();
                    receiver.kept.clear();
                }
                1 | 2 => drop(receiver.take(piece(&all[which], offset, most))?),
                _ => drop(receiver.take(piece(&all[which], answer, most))?),
            }
        }
        receiver.applied = receiver.applied.min(LogIndex(2));
        let mut whole = false;
        for _ in 0..20 {
            let SnapshotMessage::Ask { of, offset } = receiver.incoming.ask() else {
                panic!("asks")
            };
            let offset = asked_offset(of, offset, all[last].0.index);
            whole = whole || receiver.take(piece(&all[last], offset as usize, step))?;
        }
        prop_assert!(whole, "the snapshot of {} never comes", all[last].0.index);
    }
}

/// A chunk's digest is over all that it says: altered in one field, whichever, it is dropped.
#[test]
fn a_chunk_that_was_altered_is_dropped() {
    let snapshot = &snapshots()[3];
    let alter = |honest: &SnapshotMessage, change: fn(&mut SnapshotMeta, &mut Bytes, &mut bool)| {
        let mut chunk = honest.clone();
        if let SnapshotMessage::Chunk { meta, bytes, last, .. } = &mut chunk {
            change(meta, bytes, last);
        }
        chunk
    };
    let first = piece(snapshot, 0, 4);
    for altered in [
        alter(&first, |meta, _, _| meta.index = LogIndex(8)),
        alter(&first, |meta, _, _| meta.epoch += 1),
        alter(&first, |meta, _, _| meta.membership.voters = NodeSet::first(3)),
        alter(&first, |meta, _, _| meta.membership.learners = NodeSet::first(3)),
        alter(&first, |_, bytes, _| *bytes = Bytes::from_static(b"else")),
        alter(&first, |_, bytes, _| *bytes = bytes.slice(..3)),
        alter(&first, |_, _, last| *last = true),
    ] {
        assert_eq!(Incoming::new().receive(altered.clone(), LogIndex(0)), None, "{altered:?}");
    }
    let mut incoming = Incoming::new();
    assert!(incoming.receive(first, LogIndex(0)).is_some());
    let mut moved = piece(snapshot, 8, 2);
    if let SnapshotMessage::Chunk { offset, .. } = &mut moved {
        *offset = 4;
    }
    assert_eq!(incoming.receive(moved, LogIndex(0)), None, "these bytes stand elsewhere");
    assert!(incoming.receive(piece(snapshot, 4, 4), LogIndex(0)).is_some());
}

/// Keeps what it applies, and says it back.
#[derive(Default)]
struct Journal(Vec<Bytes>);

impl StateMachine for Journal {
    fn apply(&mut self, command: &Bytes) -> Bytes {
        self.0.push(command.clone());
        command.clone()
    }

    fn query(&self, _question: &Bytes) -> Bytes {
        Bytes::new()
    }

    fn snapshot(&self) -> Vec<u8> {
        self.0.concat()
    }

    fn restore(&mut self, snapshot: &[u8]) -> Result<(), RestoreError> {
        let (words, rest) = snapshot.as_chunks::<8>();
        if !rest.is_empty() {
            return Err(RestoreError("half a command".into()));
        }
        self.0 = words.iter().map(|word| Bytes::copy_from_slice(word)).collect();
        Ok(())
    }
}

/// What a command of a script is: whose, in which session, its number, and its payload.
type Scripted = (u64, usize, u64, u64);

/// The sessions that were opened so far, and by whom.
#[derive(Default)]
struct Opened(Vec<(u64, SessionId)>);

impl Opened {
    fn add(&mut self, client: u64, position: Position) {
        self.0.push((client, SessionId::opened_at(position)));
    }

    /// Mostly the client's own newest session, as else nearly all requests would come to nothing;
    /// or another of these, counted from the last.
    fn pick(&self, client: u64, back: usize) -> SessionId {
        let mut sessions = self.0.iter().rev();
        let found = match back {
            0..3 => sessions.find(|(owner, _)| *owner == client),
            _ => sessions.nth(back - 3),
        };
        found.map_or(SessionId::default(), |(_, session)| *session)
    }
}

fn scripts() -> impl Strategy<Value = Vec<Scripted>> {
    proptest::collection::vec((0u64..5, 0usize..6, 0u64..5, 0u64..4), 0..80)
}

/// Raft thesis §6.3: an executor answers as the naive table says, though it be a new one at every
/// index, restored from the snapshot of the one before; and what is refused changes nothing.
fn a_new_executor_at_every_index(limit: usize, script: Vec<Scripted>) -> Result<(), TestCaseError> {
    let (mut executor, mut naive) =
        (Executor::new(Journal::default(), limit), NaiveSessions::default());
    let mut opened = Opened::default();
    let mut before = executor.snapshot();
    for (index, two) in (1..).map(LogIndex).zip(script.chunks(2)) {
        let (mut commands, mut expected) = (Vec::new(), Vec::new());
        for (offset, (client, session, request, payload)) in (0..).zip(two) {
            let command = Command {
                client: ClientId(*client),
                session: opened.pick(*client, *session),
                request: RequestId(*request),
                payload: Bytes::copy_from_slice(&payload.to_le_bytes()),
                tag: Tag::none(),
            };
            let at = Position { index, offset };
            expected.push(match naive.judge(limit, &command, at) {
                Verdict::Opened(position) => {
                    opened.add(*client, position);
                    Answer::Done { position, result: Bytes::new() }
                }
                Verdict::Apply => Answer::Done { position: at, result: command.payload.clone() },
                Verdict::Repeat(position, result) => Answer::Done { position, result },
                Verdict::Stale => Answer::Stale,
                Verdict::Expired => Answer::Expired,
            });
            commands.push(command);
        }
        let mut told = Vec::new();
        executor.execute(index, &Batch::of(&commands), |executed| told.push(executed.answer));
        prop_assert_eq!(told, expected);
        let (bytes, frozen) = (executor.snapshot(), executor.freeze());
        prop_assert!(executor.restore(&before[..before.len() - 1]).is_err());
        prop_assert_eq!(&executor.snapshot(), &bytes);
        prop_assert_eq!(&frozen(), &bytes);
        executor = Executor::new(Journal::default(), 1);
        prop_assert!(executor.restore(&bytes).is_ok());
        prop_assert_eq!((executor.applied(), &executor.snapshot()), (index, &bytes));
        before = bytes;
    }
    Ok(())
}

proptest! {
    #[test]
    fn executors_go_on_from_snapshots_as_if_nothing_had_been(
        limit in 1usize..4,
        script in scripts(),
    ) {
        a_new_executor_at_every_index(limit, script)?;
    }
}

/// The judges above see the bugs that are planted for them.
#[cfg(feature = "mutants")]
#[test]
fn bugs_that_are_planted_for_the_judges_are_found() {
    use consensus_core::mutant::plant;
    use proptest::test_runner::TestRunner;
    for name in ["K01", "K02", "K03", "K08", "K05"] {
        plant(Some(name));
        let judge = |(limit, script)| a_new_executor_at_every_index(limit, script);
        let passed = TestRunner::deterministic().run(&(1usize..4, scripts()), judge).is_ok();
        plant(None);
        assert!(!passed, "{name} is not found");
    }
    let tests: [(_, fn()); 2] = [
        ("K07", what_is_signed_is_the_whole_statement),
        ("S-place", a_chunk_that_was_altered_is_dropped),
    ];
    for (name, test) in tests {
        plant(Some(name));
        let passed = std::panic::catch_unwind(test).is_ok();
        plant(None);
        assert!(!passed, "{name} is not found");
    }
}

/// The naive table is a judge, too: it sees the planted bug of the real one.
#[cfg(feature = "mutants")]
#[test]
fn the_naive_table_sees_a_table_that_is_not_asked() {
    let at = |index| Position { index: LogIndex(index), offset: 0 };
    let command = Command {
        client: ClientId(1),
        session: SessionId(9),
        request: RequestId(1),
        payload: Bytes::from_static(&[0; 8]),
        tag: Tag::none(),
    };
    consensus_core::mutant::plant(Some("K-dedup"));
    let verdict = Sessions::new(1).judge(&command, at(1));
    consensus_core::mutant::plant(None);
    assert_ne!(verdict, NaiveSessions::default().judge(1, &command, at(1)));
}
