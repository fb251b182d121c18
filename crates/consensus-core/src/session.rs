//! Exactly-once sessions (Raft thesis §6.3; PBFT's client timestamps, OSDI '99 §2.4.1): which
//! commands were applied already, and what was answered. Replicated state: it is part of every
//! snapshot, or a retry after one would be applied twice.

use crate::batch::Command;
use crate::id::{ClientId, LogIndex, Position, RequestId, SessionId};
use crate::mutant::planted;
use bytes::Bytes;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::hash::{Hash, Hasher};

/// So many bytes of results are kept for each session that may be kept, all sessions together. A
/// result may be as long as a value, and a session that nobody uses any more keeps its last.
const RESULT_BYTES: usize = 4096;

/// One client's session.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Session {
    id: SessionId,
    /// The number that the client opened it with; see [`Sessions::judge`].
    opening: u64,
    last: RequestId,
    position: Position,
    result: Bytes,
    used: Position,
}

/// What is to become of a command that was committed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It opened a session, here or at an earlier position.
    Opened(Position),
    /// Apply it, and [`Sessions::remember`] the result.
    Apply,
    /// It was applied before.
    Repeat(Position, Bytes),
    /// A later request of the session was applied before it.
    Stale,
    /// Its session is not open.
    Expired,
}

/// The table of sessions. One request of a session is under way at a time; who wants more opens
/// more sessions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sessions {
    limit: usize,
    table: BTreeMap<ClientId, Session>,
    by_use: BTreeMap<Position, ClientId>,
    /// Of all results in the table.
    bytes: usize,
}

/// What follows from the table says nothing beside it.
impl Hash for Sessions {
    fn hash<H: Hasher>(&self, state: &mut H) {
        let Self { limit, table, by_use, bytes: _ } = self;
        (limit, table, by_use).hash(state);
    }
}

impl Sessions {
    /// An empty table that keeps at most `limit` sessions, and 4 KiB of results for each of them on
    /// average; beyond, those that were not used for longest are dropped. The limit is the same on
    /// all replicas.
    pub fn new(limit: usize) -> Self {
        assert!(limit > 0, "a table without room answers nobody");
        Self { limit, table: BTreeMap::new(), by_use: BTreeMap::new(), bytes: 0 }
    }

    /// The one that was not used for longest goes.
    fn drop_unused(&mut self) {
        let (_, unused) = self.by_use.pop_first().expect("every session was used once");
        let dropped = self.table.remove(&unused);
        self.bytes -= dropped.map_or(0, |session| session.result.len());
    }

    /// Judges a command that was committed at this position.
    ///
    /// A session is opened by a command of its own, whose payload is a number (8 bytes, little
    /// endian) that grows with every session that this client opens. A late copy of an opening
    /// thus never replaces a newer session, and because a session is named after the position at
    /// which it was opened, a late copy of a request never finds its session again.
    pub fn judge(&mut self, command: &Command, position: Position) -> Verdict {
        if command.request == RequestId::OPEN {
            return self.open(command, position);
        }
        if planted("K-dedup") {
            return Verdict::Apply;
        }
        let Some(session) = self.table.get_mut(&command.client) else { return Verdict::Expired };
        if session.id != command.session {
            return Verdict::Expired;
        }
        if command.request < session.last {
            return Verdict::Stale;
        }
        self.by_use.remove(if planted("K09") { &session.position } else { &session.used });
        session.used = position;
        self.by_use.insert(position, command.client);
        if command.request == session.last {
            return Verdict::Repeat(session.position, session.result.clone());
        }
        Verdict::Apply
    }

    fn open(&mut self, command: &Command, position: Position) -> Verdict {
        let mut number = [0; 8];
        let given = command.payload.len().min(8);
        number[..given].copy_from_slice(&command.payload[..given]);
        let opening = u64::from_le_bytes(number);
        if let Some(session) = self.table.get(&command.client) {
            if opening == session.opening && session.last == RequestId::OPEN {
                return Verdict::Opened(session.position);
            }
            if opening <= session.opening {
                return Verdict::Stale;
            }
            self.by_use.remove(&session.used);
            self.bytes -= session.result.len();
        } else if self.table.len() == self.limit {
            self.drop_unused();
        }
        let session = Session {
            id: SessionId::opened_at(position),
            opening,
            last: RequestId::OPEN,
            position,
            result: Bytes::new(),
            used: position,
        };
        self.table.insert(command.client, session);
        self.by_use.insert(position, command.client);
        Verdict::Opened(position)
    }

    /// Keeps the result of a command that was judged [`Verdict::Apply`].
    pub fn remember(&mut self, command: &Command, position: Position, result: Bytes) {
        let Some(session) = self.table.get_mut(&command.client) else { return };
        self.bytes = self.bytes - session.result.len() + result.len();
        session.last = command.request;
        session.position = position;
        session.result = result;
        // This one was used last, and stays, however long its result is.
        let most = self.limit.saturating_mul(RESULT_BYTES);
        while self.bytes > most && self.table.len() > 1 && !planted("K32") {
            self.drop_unused();
        }
    }

    /// How many sessions are open.
    pub fn len(&self) -> usize {
        self.table.len()
    }

    /// No session?
    pub fn is_empty(&self) -> bool {
        self.table.is_empty()
    }

    /// The sessions as rows, for a snapshot.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put(out, self.limit as u64);
        put(out, self.table.len() as u64);
        for (client, session) in &self.table {
            let at = |position: Position| [position.index.0, u64::from(position.offset)];
            put(out, client.0);
            for number in [session.id.0, session.opening, session.last.0] {
                put(out, number);
            }
            for number in at(session.position).into_iter().chain(at(session.used)) {
                put(out, number);
            }
            put(out, session.result.len() as u64);
            out.extend_from_slice(&session.result);
        }
    }

    /// Reads what [`encode`](Self::encode) wrote and leaves the rest in `bytes`; `None` if these
    /// are no sessions.
    pub(crate) fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let limit = usize::try_from(take(bytes)?).ok().filter(|limit| *limit > 0)?;
        let rows = take(bytes)?;
        let mut sessions = Self::new(limit);
        for _ in 0..rows {
            let client = ClientId(take(bytes)?);
            let [id, opening, last] = [take(bytes)?, take(bytes)?, take(bytes)?];
            let position = take_position(bytes)?;
            let used = take_position(bytes)?;
            let used = if planted("K02") { position } else { used };
            let length = usize::try_from(take(bytes)?).ok()?;
            let (result, rest) = bytes.split_at_checked(length)?;
            *bytes = rest;
            let result = Bytes::copy_from_slice(result);
            let (id, last) = (SessionId(id), RequestId(last));
            let opening = if planted("K03") { 0 } else { opening };
            sessions.bytes += if planted("K33") { 0 } else { result.len() };
            sessions.by_use.insert(used, client);
            sessions.table.insert(client, Session { id, opening, last, position, result, used });
        }
        // A client that is there twice, or two that were last used by one command, would make the
        // two maps disagree for ever.
        let once = [sessions.table.len(), sessions.by_use.len()].map(|rows| rows as u64);
        (once == [rows; 2] && sessions.table.len() <= limit).then_some(sessions)
    }
}

pub(crate) fn put(out: &mut Vec<u8>, number: u64) {
    out.extend_from_slice(&number.to_le_bytes());
}

pub(crate) fn take(bytes: &mut &[u8]) -> Option<u64> {
    let (word, rest) = bytes.split_first_chunk::<8>()?;
    *bytes = rest;
    Some(u64::from_le_bytes(*word))
}

fn take_position(bytes: &mut &[u8]) -> Option<Position> {
    let index = LogIndex(take(bytes)?);
    Some(Position { index, offset: u32::try_from(take(bytes)?).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::auth::Tag;

    fn command(client: u64, session: SessionId, request: u64, payload: u64) -> Command {
        Command {
            client: ClientId(client),
            session,
            request: RequestId(request),
            payload: Bytes::copy_from_slice(&payload.to_le_bytes()),
            tag: Tag::none(),
        }
    }

    fn at(index: u64) -> Position {
        Position { index: LogIndex(index), offset: 0 }
    }

    fn open(sessions: &mut Sessions, client: u64, opening: u64, index: u64) -> SessionId {
        let opened = sessions.judge(&command(client, SessionId::default(), 0, opening), at(index));
        let Verdict::Opened(position) = opened else { panic!("not opened: {opened:?}") };
        SessionId::opened_at(position)
    }

    /// Raft thesis §6.3: a repeated request is answered from the table and not applied again.
    #[test]
    fn a_retry_gets_the_first_answer() {
        let mut sessions = Sessions::new(4);
        let id = open(&mut sessions, 1, 0, 1);
        let request = command(1, id, 1, 7);
        assert_eq!(sessions.judge(&request, at(2)), Verdict::Apply);
        sessions.remember(&request, at(2), Bytes::from_static(b"first"));
        let again = sessions.judge(&request, at(3));
        assert_eq!(again, Verdict::Repeat(at(2), Bytes::from_static(b"first")));
        let later = command(1, id, 2, 8);
        assert_eq!(sessions.judge(&later, at(4)), Verdict::Apply);
        sessions.remember(&later, at(4), Bytes::new());
        assert_eq!(sessions.judge(&request, at(5)), Verdict::Stale);
    }

    #[test]
    fn a_late_copy_of_an_opening_does_not_end_the_session() {
        let mut sessions = Sessions::new(4);
        let id = open(&mut sessions, 1, 5, 1);
        assert_eq!(open(&mut sessions, 1, 5, 2), id, "a retried opening is the same session");
        sessions.remember(&command(1, id, 1, 0), at(3), Bytes::new());
        let late = sessions.judge(&command(1, SessionId::default(), 0, 5), at(4));
        assert_eq!(late, Verdict::Stale);
        assert_ne!(open(&mut sessions, 1, 6, 5), id, "a new opening is a new session");
        assert_eq!(sessions.judge(&command(1, id, 2, 0), at(6)), Verdict::Expired);
    }

    #[test]
    fn a_full_table_drops_the_session_that_was_not_used_for_longest() {
        let mut sessions = Sessions::new(2);
        let first = open(&mut sessions, 1, 0, 1);
        let second = open(&mut sessions, 2, 0, 2);
        assert_eq!(sessions.judge(&command(1, first, 1, 0), at(3)), Verdict::Apply);
        open(&mut sessions, 3, 0, 4);
        assert_eq!(sessions.judge(&command(2, second, 1, 0), at(5)), Verdict::Expired);
        assert_eq!(sessions.judge(&command(1, first, 2, 0), at(6)), Verdict::Apply);
        assert_eq!(sessions.len(), 2);
    }

    /// A client that asks for something long once, in a session of its own each time, as
    /// `synod ctl get` does where reads go through the log.
    fn long_results_push_out_what_was_not_used() {
        let mut sessions = Sessions::new(4);
        let kept = |sessions: &Sessions| sessions.table.keys().map(|id| id.0).collect::<Vec<_>>();
        let ask = |sessions: &mut Sessions, client, index, length| {
            let id = open(sessions, client, index, index);
            let request = command(client, id, 1, 0);
            assert_eq!(sessions.judge(&request, at(index + 1)), Verdict::Apply);
            sessions.remember(&request, at(index + 1), Bytes::from(vec![7; length]));
        };
        let most = 4 * RESULT_BYTES;
        ask(&mut sessions, 1, 1, most - 9);
        ask(&mut sessions, 2, 3, 9);
        assert_eq!(kept(&sessions), [1, 2], "all of it is room for results");
        ask(&mut sessions, 3, 5, 1);
        assert_eq!(kept(&sessions), [2, 3], "the one that was not used for longest");
        ask(&mut sessions, 3, 7, most - 9);
        assert_eq!(kept(&sessions), [2, 3], "a new session in the place of the old");
        let mut bytes = Vec::new();
        sessions.encode(&mut bytes);
        let mut restored = Sessions::decode(&mut &bytes[..]).expect("a snapshot");
        for sessions in [&mut sessions, &mut restored] {
            ask(sessions, 4, 9, 1);
            assert_eq!(kept(sessions), [3, 4], "what a snapshot kept counts, too");
            ask(sessions, 5, 11, 2 * most);
            assert_eq!(kept(sessions), [5], "one result stays, however long");
        }
    }

    #[test]
    fn results_are_bounded_in_bytes() {
        long_results_push_out_what_was_not_used();
    }

    #[cfg(feature = "mutants")]
    #[test]
    fn results_that_are_not_bounded_are_found() {
        for bug in ["K32", "K33"] {
            crate::mutant::plant(Some(bug));
            let passed = std::panic::catch_unwind(long_results_push_out_what_was_not_used).is_ok();
            crate::mutant::plant(None);
            assert!(!passed, "{bug} survived");
        }
    }

    #[test]
    fn sessions_survive_a_snapshot_and_bad_bytes_are_refused() {
        let mut sessions = Sessions::new(3);
        let id = open(&mut sessions, 1, 0, 1);
        let request = command(1, id, 1, 7);
        assert_eq!(sessions.judge(&request, at(2)), Verdict::Apply);
        sessions.remember(&request, at(2), Bytes::from_static(b"kept"));
        let mut bytes = Vec::new();
        sessions.encode(&mut bytes);
        for cut in 0..bytes.len() {
            assert_eq!(Sessions::decode(&mut &bytes[..cut]), None);
        }
        let mut rest = &bytes[..];
        assert_eq!(Sessions::decode(&mut rest), Some(sessions));
        assert!(rest.is_empty());
    }

    /// Every script of so many commands, by three clients that share a table of two: openings, and
    /// in the session that the client has now its next request, the last again, and one before it.
    fn all_scripts(
        (sessions, ids): (&Sessions, [SessionId; 3]),
        length: u64,
        check: &mut impl FnMut(&Sessions) -> bool,
    ) -> bool {
        let at = at(100 - length);
        let kinds = |client| [0, 1, 2, 3].map(|kind| (client, kind));
        length == 0
            || [0, 1, 2].into_iter().flat_map(kinds).all(|(client, kind)| {
                let (mut sessions, mut ids) = (sessions.clone(), ids);
                let name = ClientId(client as u64 + 1);
                let last = sessions.table.get(&name).map_or(0, |session| session.last.0);
                let request = [0, last + 1, last.max(1), last.saturating_sub(1).max(1)][kind];
                let payload = if kind == 0 { at.index.0 } else { 0 };
                let command = command(name.0, ids[client], request, payload);
                match sessions.judge(&command, at) {
                    Verdict::Opened(position) => ids[client] = SessionId::opened_at(position),
                    Verdict::Apply => sessions.remember(&command, at, Bytes::new()),
                    _ => {}
                }
                check(&sessions) && all_scripts((&sessions, ids), length - 1, check)
            })
    }

    /// A replica that was restored from a snapshot must forget the same sessions as one that was
    /// not, or they would answer differently from then on: whatever came before, a table is all
    /// that its rows say, the order of use among it.
    fn a_table_is_what_a_snapshot_says_of_it() -> bool {
        let start = (&Sessions::new(2), [SessionId::default(); 3]);
        all_scripts(start, 4, &mut |sessions| {
            let mut bytes = Vec::new();
            sessions.encode(&mut bytes);
            Sessions::decode(&mut &bytes[..]).as_ref() == Some(sessions)
        })
    }

    #[test]
    fn after_any_script_a_restored_table_is_the_same() {
        assert!(a_table_is_what_a_snapshot_says_of_it());
    }

    #[cfg(feature = "mutants")]
    #[test]
    fn a_table_that_is_not_what_a_snapshot_says_is_found() {
        for bug in ["K02", "K03", "K09"] {
            crate::mutant::plant(Some(bug));
            let passed = a_table_is_what_a_snapshot_says_of_it();
            crate::mutant::plant(None);
            assert!(!passed, "{bug} survived");
        }
    }

    /// A table that names a client twice, or two clients under one last use, would forget to drop
    /// sessions, and grow without bound.
    #[test]
    fn a_snapshot_in_which_a_client_stands_twice_is_refused() {
        let mut sessions = Sessions::new(3);
        open(&mut sessions, 1, 0, 1);
        let mut bytes = Vec::new();
        sessions.encode(&mut bytes);
        let row = bytes[16..].to_vec();
        bytes[8] = 2;
        for client in [1, 2] {
            let mut second = row.clone();
            second[0] = client;
            let twice = [&bytes[..], &second].concat();
            assert_eq!(Sessions::decode(&mut &twice[..]), None, "client {client}");
        }
    }
}
