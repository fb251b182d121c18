//! Reads that need no entry of the log: what a client may ask for, what a protocol must do for it,
//! and the queries that wait. Shared by all algorithms and drivers.

use crate::effects::Refusal;
use crate::id::{ClientId, LogIndex, NodeId};
use crate::mutant::planted;
use bytes::Bytes;
use core::time::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// How a read is made safe, chosen for each read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum ReadMode {
    /// The leader confirms that it leads by a round of messages, which all waiting reads share
    /// (Raft thesis §6.4, ReadIndex). Any replica may be asked. Linearizable.
    Index,
    /// The leader answers by its lease, without a message (Raft thesis §6.4.1). Linearizable while
    /// clocks drift no more than declared.
    Lease,
    /// The replica asks a quorum itself, without the leader (Paxos Quorum Reads, HotStorage 2019).
    /// Linearizable.
    Quorum,
}

/// A read, as the protocol knows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Read {
    /// Names it. The driver numbers the reads of one life of a replica upwards.
    pub id: u64,
    /// How.
    pub mode: ReadMode,
}

/// What a client wants of a read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Consistency {
    /// Linearizable, in this way.
    Linearizable(ReadMode),
    /// What the replica has applied, but not older than this: the replica has, within that time,
    /// confirmed what was committed then. Zero is as good as [`ReadMode::Index`].
    AtMost(Duration),
    /// What the replica happens to have applied.
    Local,
}

/// A question of a client to the state machine. Changes nothing, so it has no session, and asking
/// again is always safe.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Query {
    /// Who asks.
    pub client: ClientId,
    /// Counts the client's questions; an answer repeats it.
    pub number: u64,
    /// How fresh the answer must be.
    pub consistency: Consistency,
    /// For [`StateMachine::query`](crate::StateMachine::query).
    pub question: Bytes,
}

/// The answer to a question.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct QueryReply {
    /// The replica.
    pub from: NodeId,
    /// The client.
    pub client: ClientId,
    /// The question's number.
    pub number: u64,
    /// The state machine's answer and the index up to which it had applied the log, or why there
    /// is none.
    pub answer: Result<(LogIndex, Bytes), Refusal>,
}

/// Queries that wait at one replica: first for the protocol to name an index, then for that index
/// to be applied. `Q` is what the driver knows of a query.
#[derive(Clone, Debug)]
pub struct Reads<Q> {
    next: u64,
    asked: BTreeMap<u64, Asked<Q>>,
    /// By the index that must be applied first, and then as it was known; with the time when it
    /// came.
    ready: BTreeMap<(LogIndex, u64), (Duration, Q)>,
    /// So many indices were known. Not the names of reads, which count what the protocol was asked
    /// and nothing else: so a run that is told again gives them the same names.
    known: u64,
    fresh: Option<(Duration, LogIndex)>,
}

#[derive(Clone, Debug)]
struct Asked<Q> {
    at: Duration,
    mode: ReadMode,
    query: Q,
}

impl<Q> Default for Reads<Q> {
    fn default() -> Self {
        Self { next: 1, asked: BTreeMap::new(), ready: BTreeMap::new(), known: 0, fresh: None }
    }
}

/// What is to become of a query that came in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Admitted<Q> {
    /// Answer it now, of what is applied.
    Now(Q),
    /// The protocol is to be asked.
    Ask(Read),
    /// It waits for what is known to be committed to be applied.
    Wait,
}

impl<Q> Reads<Q> {
    /// A query came in at `now`, at a replica that has applied so much.
    pub fn admit(
        &mut self,
        query: Q,
        consistency: Consistency,
        now: Duration,
        applied: LogIndex,
    ) -> Admitted<Q> {
        let mode = match consistency {
            Consistency::Local => return Admitted::Now(query),
            Consistency::Linearizable(mode) => mode,
            Consistency::AtMost(bound) => match self.fresh {
                Some((at, index))
                    if !bound.is_zero()
                        && (now.saturating_sub(at) <= bound || planted("S-age")) =>
                {
                    if index <= applied {
                        return Admitted::Now(query);
                    }
                    self.wait(now, query, index);
                    return Admitted::Wait;
                }
                _ => ReadMode::Index,
            },
        };
        let id = self.next;
        self.next += 1;
        self.asked.insert(id, Asked { at: now, mode, query });
        Admitted::Ask(Read { id, mode })
    }

    fn wait(&mut self, at: Duration, query: Q, index: LogIndex) {
        self.known += 1;
        self.ready.insert((index, self.known), (at, query));
    }

    /// The protocol says that a read may be answered once everything up to `index` is applied.
    /// What was committed when it was asked is in that, which bounds the age of what is read; but
    /// not for others, if that is so only as far as clocks keep what was declared of them.
    pub fn ready(&mut self, id: u64, index: LogIndex) {
        let Some(Asked { at, mode, query }) = self.asked.remove(&id) else { return };
        if planted("K04") {
            let newest = self.fresh.map_or(at, |(fresh, _)| fresh.max(at));
            self.fresh = Some((newest, index));
        } else if self.fresh.is_none_or(|(fresh, _)| fresh < at)
            && (mode != ReadMode::Lease || planted("S-lease"))
        {
            self.fresh = Some((at, index));
        }
        self.wait(at, query, index);
    }

    /// The protocol will not name an index: the query.
    pub fn refused(&mut self, id: u64) -> Option<Q> {
        self.asked.remove(&id).map(|asked| asked.query)
    }

    /// Everything up to here is applied: what may be answered now.
    pub fn applied(&mut self, upto: LogIndex) -> impl Iterator<Item = Q> {
        let upto = if planted("S-ahead") { LogIndex(u64::MAX - 1) } else { upto };
        let later = self.ready.split_off(&(upto.next(), 0));
        std::mem::replace(&mut self.ready, later).into_values().map(|(_, query)| query)
    }

    /// Queries that came before this time, and got no index from the protocol, or one that is not
    /// applied: who is cut off may not come to it for long, and somebody else can answer.
    pub fn overdue(&mut self, before: Duration) -> impl Iterator<Item = Q> {
        let old = |at: Duration| at < before;
        let asked = self.asked.iter().filter(|(_, read)| old(read.at)).map(|(id, _)| *id);
        let asked: Vec<u64> = asked.collect();
        let ready = self.ready.iter().filter(|(_, (at, _))| old(*at) && !planted("K31"));
        let ready: Vec<(LogIndex, u64)> = ready.map(|(place, _)| *place).collect();
        let mut late: Vec<Q> = asked.into_iter().filter_map(|id| self.refused(id)).collect();
        late.extend(ready.iter().filter_map(|place| self.ready.remove(place)).map(|(_, it)| it));
        late.into_iter()
    }

    /// Everything that waits, because the replica stops.
    pub fn drain(&mut self) -> impl Iterator<Item = Q> {
        let asked = std::mem::take(&mut self.asked).into_values().map(|asked| asked.query);
        asked.chain(std::mem::take(&mut self.ready).into_values().map(|(_, query)| query))
    }

    /// How many wait.
    pub fn len(&self) -> usize {
        self.asked.len() + self.ready.len()
    }

    /// Does none wait?
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const INDEX: Consistency = Consistency::Linearizable(ReadMode::Index);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn ask(reads: &mut Reads<char>, name: char, with: Consistency, at: u64, applied: u64) -> u64 {
        match reads.admit(name, with, ms(at), LogIndex(applied)) {
            Admitted::Ask(read) => read.id,
            other => panic!("not asked of the protocol: {other:?}"),
        }
    }

    /// Raft thesis §6.4, step 4: a read waits until its index is applied.
    #[test]
    fn a_read_waits_for_its_index() {
        let mut reads = Reads::default();
        let [a, b] = ['a', 'b'].map(|name| ask(&mut reads, name, INDEX, 0, 1));
        reads.ready(a, LogIndex(3));
        reads.ready(b, LogIndex(2));
        reads.ready(b, LogIndex(9));
        assert_eq!(reads.applied(LogIndex(2)).collect::<Vec<_>>(), ['b']);
        assert_eq!(reads.applied(LogIndex(3)).collect::<Vec<_>>(), ['a']);
        assert!(reads.is_empty());
    }

    /// The bound counts from when the confirmation was asked for, not from when it came.
    #[test]
    fn a_bounded_read_is_local_while_the_last_confirmation_is_young_enough() {
        let mut reads = Reads::default();
        let bounded = Consistency::AtMost(ms(100));
        let first = ask(&mut reads, 'a', bounded, 10, 4);
        reads.ready(first, LogIndex(5));
        assert_eq!(reads.admit('b', bounded, ms(110), LogIndex(5)), Admitted::Now('b'));
        assert_eq!(reads.admit('c', bounded, ms(110), LogIndex(4)), Admitted::Wait);
        let second = ask(&mut reads, 'd', bounded, 111, 5);
        assert_eq!(second, first + 1, "what the protocol is not asked has no name");
        ask(&mut reads, 'e', Consistency::AtMost(Duration::ZERO), 10, 5);
        assert_eq!(reads.applied(LogIndex(5)).collect::<Vec<_>>(), ['a', 'c']);
        assert_eq!(reads.overdue(ms(100)).collect::<Vec<_>>(), ['e']);
        assert_eq!(reads.drain().collect::<Vec<_>>(), ['d']);
    }

    /// A replica that is cut off after it was told an index: nobody waits for ever for it to be
    /// applied (planted bug K31).
    #[test]
    fn a_read_does_not_wait_for_ever_for_its_index_to_be_applied() {
        let mut reads = Reads::default();
        let [a, b] = [('a', 10), ('b', 60)].map(|(name, at)| ask(&mut reads, name, INDEX, at, 1));
        reads.ready(a, LogIndex(3));
        reads.ready(b, LogIndex(3));
        let bounded = reads.admit('c', Consistency::AtMost(ms(100)), ms(40), LogIndex(1));
        assert_eq!(bounded, Admitted::Wait);
        assert_eq!(reads.overdue(ms(10)).collect::<Vec<_>>(), []);
        assert_eq!(reads.overdue(ms(60)).collect::<Vec<_>>(), ['a', 'c']);
        assert_eq!(reads.applied(LogIndex(3)).collect::<Vec<_>>(), ['b']);
    }

    /// Who asks for a bounded age trusts the own clock alone, and no lease (planted bug S-lease).
    #[test]
    fn a_read_by_lease_says_nothing_to_who_trusts_none() {
        let mut reads = Reads::default();
        let lease = Consistency::Linearizable(ReadMode::Lease);
        let first = ask(&mut reads, 'a', lease, 10, 4);
        reads.ready(first, LogIndex(4));
        let admitted = reads.admit('b', Consistency::AtMost(ms(100)), ms(20), LogIndex(4));
        assert!(matches!(admitted, Admitted::Ask(Read { mode: ReadMode::Index, .. })));
    }

    /// Answers come in any order. What one says is as old as its question (planted bug K04).
    #[test]
    fn an_answer_that_comes_late_says_what_was_when_it_was_asked_for() {
        let mut reads = Reads::default();
        let earlier = ask(&mut reads, 'a', INDEX, 10, 1);
        let later = ask(&mut reads, 'b', INDEX, 60, 1);
        reads.ready(later, LogIndex(7));
        reads.ready(earlier, LogIndex(4));
        let bounded = Consistency::AtMost(ms(100));
        assert_eq!(reads.admit('c', bounded, ms(150), LogIndex(7)), Admitted::Now('c'));
        assert_eq!(reads.admit('d', bounded, ms(150), LogIndex(6)), Admitted::Wait);
    }
}
