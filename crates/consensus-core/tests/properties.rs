//! The shared layers against plain models: sets, quorums, sessions, the outbox, batches.

use bytes::Bytes;
use consensus_core::{
    Batch, ClientId, Command, InFlight, Links, LogIndex, NodeId, NodeSet, Outbox, Position,
    RecordNumber, RequestId, SessionId, Sessions, Tag, Verdict, quorum,
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
        script in proptest::collection::vec((0u64..5, 0usize..6, 0u64..4, 0u64..4), 0..80),
    ) {
        let (mut sessions, mut naive) = (Sessions::new(limit), NaiveSessions::default());
        let mut opened = vec![SessionId::default()];
        for (index, (client, session, request, payload)) in (0..).zip(script) {
            let at = Position { index: LogIndex(index / 2 + 1), offset: index as u32 % 2 };
            let command = Command {
                client: ClientId(client),
                session: opened[opened.len() - 1 - session.min(opened.len() - 1)],
                request: RequestId(request),
                payload: Bytes::copy_from_slice(&payload.to_le_bytes()),
                tag: Tag::none(),
            };
            let verdict = sessions.judge(&command, at);
            prop_assert_eq!(&verdict, &naive.judge(limit, &command, at));
            match verdict {
                Verdict::Apply => sessions.remember(&command, at, command.payload.clone()),
                Verdict::Opened(position) => opened.push(SessionId::opened_at(position)),
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
