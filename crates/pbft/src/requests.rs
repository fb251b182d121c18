//! Requests between their arrival and their execution (§4.1).

use consensus_core::mutant::planted;
use consensus_core::{Batch, ClientId, Command, LogIndex, MAX_COMMANDS, RequestId, SessionId};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::ops::Bound;

/// Names a request.
pub(crate) type Key = (ClientId, SessionId, RequestId);

/// The opening of a session has no session yet; the number that it opens with stands for it, so
/// that a client's next opening is another request.
pub(crate) fn key_of(command: &Command) -> Key {
    let mut session = command.session;
    if command.request == RequestId::OPEN
        && let Some((number, _)) = command.payload.split_first_chunk::<8>()
    {
        session = SessionId(u64::from_le_bytes(*number));
    }
    (command.client, session, command.request)
}

/// Puts these together in batches of at most so many bytes, unless a single one is longer.
pub(crate) fn batches(
    commands: impl Iterator<Item = Command>,
    most: usize,
) -> impl Iterator<Item = Batch> {
    let mut commands = commands.peekable();
    std::iter::from_fn(move || {
        let mut taken = vec![commands.next()?];
        let mut bytes = taken[0].framed_len();
        while taken.len() < MAX_COMMANDS
            && let Some(next) = commands.next_if(|next| bytes + next.framed_len() <= most)
        {
            bytes += next.framed_len();
            taken.push(next);
        }
        Some(Batch::of(&taken))
    })
}

/// What clients asked for and was not executed yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) struct Requests {
    waiting: BTreeMap<Key, Command>,
    bytes: usize,
    /// Requests that have a number in the current view and were not executed.
    ordered: BTreeSet<Key>,
    /// The primary's requests without a number.
    queue: VecDeque<Batch>,
    /// Bytes of `queue`.
    queued: usize,
    /// The last request of each client that was executed: a copy of it stops no timer and starts
    /// none. The client's number grows with the session, too.
    executed: BTreeMap<ClientId, (SessionId, RequestId)>,
    /// The request for which the timer runs (§4.4), or the last for which it ran.
    watched: Option<Key>,
    /// It, if it waited at the last tick.
    waited_at_tick: Option<Key>,
}

impl Requests {
    /// Is everything counted right?
    pub(crate) fn check(&self) -> Result<(), String> {
        let waiting: usize = self.waiting.values().map(Command::framed_len).sum();
        let queued: usize = self.queue.iter().map(|batch| batch.bytes().len()).sum();
        if (waiting, queued) != (self.bytes, self.queued) {
            let (bytes, kept) = (self.bytes, self.queued);
            return Err(format!(
                "{waiting} bytes wait and {queued} are queued, not {bytes}, {kept}"
            ));
        }
        Ok(())
    }

    /// What is left over where everything is executed.
    pub(crate) fn leftover(&self) -> Option<&'static str> {
        let kept = [
            (!self.waiting.is_empty(), "requests"),
            (!self.queue.is_empty(), "requests without a number"),
            (!self.ordered.is_empty(), "requests with a number"),
        ];
        kept.into_iter().find(|(is_kept, _)| *is_kept).map(|(_, what)| what)
    }

    /// Was it executed before?
    pub(crate) fn is_executed(&self, key: &Key) -> bool {
        let (client, session, request) = *key;
        // The opening of a session has no session yet: only its repetition can tell.
        request != RequestId::OPEN
            && self.executed.get(&client).is_some_and(|last| {
                (session, request) <= *last || (planted("B65") && request <= last.1)
            })
    }

    /// Has its client asked for something later, and got it? Then it is discarded (§4.1): a client
    /// that goes on waits for no earlier answer, and a liar could have all of its old requests
    /// ordered without end. The last one is not over: ordered again, it is answered again.
    fn is_over(&self, key: &Key) -> bool {
        let (client, session, request) = *key;
        let last = self.executed.get(&client);
        request != RequestId::OPEN
            && last.is_some_and(|last| (session, request) < *last)
            && !planted("B88")
    }

    /// Takes a request to wait for. False if it waits already: a client that gives two requests one
    /// number is faulty, and the first of them counts.
    pub(crate) fn wait_for(&mut self, command: &Command) -> bool {
        let key = key_of(command);
        let new = !self.waiting.contains_key(&key);
        if new {
            self.bytes += command.framed_len();
        }
        if new || planted("B80") {
            self.waiting.insert(key, command.clone());
        }
        new
    }

    /// Chooses the request for which the timer runs: of each client in its turn, so that a primary
    /// cannot pass one over for ever and serve others, not even with a client that helps it and
    /// always has a further request waiting.
    pub(crate) fn watch_next(&mut self) {
        let last = |(client, ..): Key| (client, SessionId(u64::MAX), RequestId(u64::MAX));
        let last = |key| if planted("B71") { key } else { last(key) };
        let later = self.watched.map_or(Bound::Unbounded, |key| Bound::Excluded(last(key)));
        let later = (later, Bound::Unbounded);
        let next = self.waiting.range(later).next().filter(|_| !planted("B69"));
        let next = next.or_else(|| self.waiting.first_key_value());
        self.watched = next.map(|(key, _)| *key);
    }

    /// Does the request wait, for which the timer runs?
    pub(crate) fn waits_for_watched(&self) -> bool {
        self.watched.is_some_and(|key| self.waiting.contains_key(&key))
    }

    /// Asked at every tick: the request for which the timer runs, if it has waited for a tick. It
    /// may have got lost on its way to the primary.
    pub(crate) fn waits_long(&mut self) -> Option<Batch> {
        let key = self.watched.filter(|key| self.waiting.contains_key(key));
        let before = std::mem::replace(&mut self.waited_at_tick, key);
        let command = self.waiting.get(&key.filter(|_| key == before)?)?;
        Some(Batch::of(std::slice::from_ref(command)))
    }

    /// Bytes that are held. What is to get a number waits to be executed, too, as a rule. But a
    /// liar can relay what was executed long ago: all of it is signed.
    pub(crate) fn bytes(&self) -> usize {
        if planted("B81") { self.bytes } else { self.bytes.max(self.queued) }
    }

    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Those of the batch that have no number yet, and may get one, go to the end of the queue.
    pub(crate) fn enqueue(&mut self, batch: Batch) {
        let is_fresh = |command: &Command| {
            let key = key_of(command);
            !self.is_over(&key) && self.ordered.insert(key)
        };
        let fresh: Vec<Command> = batch.commands().filter(is_fresh).collect();
        if fresh.is_empty() {
            return;
        }
        let batch = if fresh.len() == batch.len() { batch } else { Batch::of(&fresh) };
        self.queued += batch.bytes().len();
        self.queue.push_back(batch);
    }

    pub(crate) fn next_batch(&mut self) -> Option<Batch> {
        let batch = self.queue.pop_front()?;
        self.queued -= batch.bytes().len();
        Some(batch)
    }

    pub(crate) fn has_queue(&self) -> bool {
        !self.queue.is_empty()
    }

    /// A backup has accepted a number for these.
    pub(crate) fn on_ordered(&mut self, batch: &Batch) {
        for command in batch.commands() {
            self.ordered.insert(key_of(&command));
        }
    }

    /// In another view nothing has a number until the view says so.
    pub(crate) fn on_new_view(&mut self) {
        self.ordered.clear();
        self.queue.clear();
        self.queued = 0;
    }

    /// Everything that waits, to be relayed or ordered, in batches of so many bytes.
    pub(crate) fn all(&self, max_bytes: usize) -> impl Iterator<Item = Batch> {
        batches(self.waiting.values().cloned(), max_bytes)
    }

    pub(crate) fn on_executed(&mut self, batch: &Batch, _index: LogIndex) {
        for command in batch.commands() {
            let key = key_of(&command);
            if !planted("B84") {
                self.ordered.remove(&key);
            }
            if let Some(done) = self.waiting.remove(&key) {
                self.bytes -= if planted("B53") { 0 } else { done.framed_len() };
            }
            if command.request == RequestId::OPEN {
                continue; // Only the requests of a session are in an order.
            }
            let last = self.executed.entry(key.0).or_default();
            *last = (*last).max((key.1, key.2));
            self.let_go_before(key);
        }
    }

    /// Nothing gets a number that is over: who waited for it, passed over by its faulty client,
    /// would wait for ever.
    fn let_go_before(&mut self, key: Key) {
        let first = (key.0, SessionId(0), RequestId(0));
        let waiting = self.waiting.range(first..key).map(|(key, _)| *key);
        let over: Vec<Key> = waiting.filter(|key| self.is_over(key)).collect();
        for key in over.into_iter().filter(|_| !planted("B89")) {
            let command = self.waiting.remove(&key).expect("it waits");
            self.bytes -= command.framed_len();
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use bytes::Bytes;
    use consensus_core::Tag;

    fn command(client: u64, session: u64, request: u64) -> Command {
        Command {
            client: ClientId(client),
            session: SessionId(session),
            request: RequestId(request),
            payload: Bytes::from(vec![7; request as usize]),
            tag: Tag::none(),
        }
    }

    /// §4.1: the last request of each client is kept, and whatever comes up to it is a copy. A
    /// later session counts its requests from the beginning again.
    #[test]
    pub(crate) fn a_request_was_executed_if_it_or_a_later_one_of_its_client_was() {
        let all = || (1..=3).flat_map(|session| (1..=3).map(move |request| (session, request)));
        for (session, request) in all() {
            let mut requests = Requests::default();
            requests.on_executed(&Batch::of(&[command(1, session, request)]), LogIndex(1));
            requests.on_executed(&Batch::of(&[command(1, 1, 1)]), LogIndex(2));
            for other in all() {
                let known = requests.is_executed(&key_of(&command(1, other.0, other.1)));
                assert_eq!(known, other <= (session, request), "{other:?}");
                assert!(!requests.is_executed(&key_of(&command(2, other.0, other.1))));
            }
        }
    }

    /// §4.4: the timer runs for one request at a time, and for each client in its turn, though one
    /// before it has further requests at hand whenever one is executed.
    #[test]
    pub(crate) fn each_client_is_watched_in_its_turn() {
        let mut requests = Requests::default();
        for client in 1..=5 {
            requests.wait_for(&command(client, 1, 1));
        }
        let mut watched = BTreeSet::new();
        for turn in 2..=6 {
            requests.watch_next();
            watched.extend(requests.watched.map(|(client, ..)| client));
            requests.on_executed(&Batch::of(&[command(1, 1, turn - 1)]), LogIndex(turn));
            requests.wait_for(&command(1, 1, turn));
        }
        assert_eq!(watched.len(), 5, "{watched:?}");
    }

    /// What waits is counted to the byte, once however often it comes, until it is executed.
    #[test]
    pub(crate) fn what_waits_is_counted_in_bytes() {
        let mut requests = Requests::default();
        let all = [command(1, 1, 1), command(2, 1, 9), command(3, 1, 30)];
        for command in all.iter().chain(&all) {
            requests.wait_for(command);
        }
        assert_eq!(requests.bytes(), all.iter().map(Command::framed_len).sum::<usize>());
        requests.on_executed(&Batch::of(&all[1..]), LogIndex(1));
        requests.on_executed(&Batch::of(&all[1..]), LogIndex(2));
        assert_eq!(requests.bytes(), all[0].framed_len());
        requests.on_executed(&Batch::of(&all[..1]), LogIndex(3));
        assert_eq!((requests.bytes(), requests.is_idle()), (0, true));
    }

    /// Safety holds however many clients are faulty (§3). This one gives two requests one number,
    /// and signs both: what is given back later is what was taken.
    #[test]
    pub(crate) fn a_client_that_numbers_two_requests_alike_upsets_no_count() {
        let long = Command { payload: Bytes::from(vec![7; 500]), ..command(1, 1, 1) };
        for (first, second) in [(command(1, 1, 1), &long), (long.clone(), &command(1, 1, 1))] {
            let mut requests = Requests::default();
            assert!(requests.wait_for(&first));
            assert!(!requests.wait_for(second), "it waits under this number already");
            assert_eq!(requests.bytes(), first.framed_len());
            requests.on_executed(&Batch::of(std::slice::from_ref(second)), LogIndex(1));
            assert_eq!((requests.bytes(), requests.is_idle()), (0, true));
        }
    }

    /// Whoever relays what was executed already fills a primary's memory to the bound, no further.
    #[test]
    pub(crate) fn what_is_to_get_a_number_once_more_is_counted() {
        let mut requests = Requests::default();
        let batch = Batch::of(&[command(1, 1, 9)]);
        requests.on_executed(&batch, LogIndex(1));
        requests.enqueue(batch.clone());
        requests.enqueue(batch.clone());
        assert_eq!(requests.bytes(), batch.bytes().len(), "once");
        requests.enqueue(Batch::of(&[command(2, 1, 9)]));
        assert_eq!(requests.bytes(), 2 * batch.bytes().len());
        assert_eq!(requests.next_batch(), Some(batch.clone()));
        assert_eq!(requests.bytes(), batch.bytes().len());
        requests.on_new_view();
        assert_eq!(requests.bytes(), 0);
    }
}
