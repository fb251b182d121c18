//! A client against a model of what becomes of its attempts: whatever it says at the end is true,
//! and what it was asked for once is applied once at most (Raft thesis §6.3).

use bytes::Bytes;
use consensus_core::{
    Answer, Answers, Client, ClientId, Cluster, ClusterId, Command, FaultModel, Links, LogIndex,
    NoKeys, NodeId, Outcome, Patience, Position, ProtocolInfo, Refusal, Reply, Request, RequestId,
    SessionId, Sessions, Tag, Takes, Todo, Verdict,
};
use core::time::Duration;
use proptest::prelude::*;

const TOY: ProtocolInfo = ProtocolInfo {
    name: "toy",
    title: "Toy",
    paper: "",
    faults: FaultModel::Crash,
    answers: Answers::ClientReplica,
    takes: Takes::Leader,
    links: Links::Any,
};

/// A client that soon gives up, so that there are ends of all kinds.
const PATIENCE: Patience = Patience {
    attempt: Duration::from_millis(200),
    pause: Duration::from_millis(50),
    give_up: Duration::from_millis(400),
};

/// Where an attempt is. It goes over one connection, so it is taken or refused once, or never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    OnItsWay,
    Taken,
    Over,
}

/// What happens next; the numbers choose among what is there.
#[derive(Clone, Debug)]
enum Event {
    /// A replica takes an attempt.
    Take(usize),
    /// It refuses one, for this reason.
    Refuse(usize, bool),
    /// The newest one is refused, and the client hears of it at once.
    Rebuff,
    /// What was taken is committed, and its answer leaves.
    Execute(usize),
    /// Its leader leads no longer, and says so.
    Lose(usize),
    /// An answer arrives, or is lost.
    Deliver(usize),
    Drop(usize),
    /// So many pauses pass.
    Wait(u32),
    /// The connection to the replica that is asked ends: the open attempt may have left, or not.
    Disconnect(bool),
    /// Other clients use up the table of sessions.
    Crowd,
    /// Who ended without knowing tries again, or gives up.
    Resume(bool),
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let event = prop_oneof![
        6 => (0usize..4).prop_map(Event::Take),
        4 => (0usize..4, any::<bool>()).prop_map(|(which, busy)| Event::Refuse(which, busy)),
        4 => Just(Event::Rebuff),
        5 => (0usize..4).prop_map(Event::Execute),
        2 => (0usize..4).prop_map(Event::Lose),
        9 => (0usize..4).prop_map(Event::Deliver),
        1 => (0usize..4).prop_map(Event::Drop),
        6 => (1u32..6).prop_map(Event::Wait),
        1 => any::<bool>().prop_map(Event::Disconnect),
        1 => Just(Event::Crowd),
        3 => (0u8..4).prop_map(|luck| Event::Resume(luck > 0)),
    ];
    proptest::collection::vec(event, 0..60)
}

struct World {
    client: Client,
    now: Duration,
    sessions: Sessions,
    index: u64,
    crowd: u64,
    attempts: Vec<(Request, Fate)>,
    mail: Vec<Reply>,
    /// What the client was asked for, counted, and how often that was applied.
    wanted: u64,
    applied: u32,
    /// It ended without knowing.
    in_doubt: bool,
}

impl World {
    fn new() -> Self {
        let cluster = Cluster::new(ClusterId(1), 3);
        let client = Client::new(ClientId(5), 0, cluster, TOY, PATIENCE, NodeId(0));
        Self {
            client,
            now: Duration::ZERO,
            sessions: Sessions::new(2),
            index: 0,
            crowd: 0,
            attempts: Vec::new(),
            mail: Vec::new(),
            wanted: 0,
            applied: 0,
            in_doubt: false,
        }
    }

    /// The client wants something new.
    fn begin(&mut self) -> Result<(), TestCaseError> {
        (self.wanted, self.applied, self.in_doubt) = (self.wanted + 1, 0, false);
        let payload = Bytes::copy_from_slice(&self.wanted.to_le_bytes());
        let todo = self.client.begin(self.now, payload, &NoKeys);
        self.follow(todo)
    }

    fn follow(&mut self, todo: Todo) -> Result<(), TestCaseError> {
        match todo {
            Todo::Wait => Ok(()),
            Todo::Send(to, request) => {
                prop_assert_eq!(to.len(), 1);
                self.attempts.push((request, Fate::OnItsWay));
                Ok(())
            }
            Todo::Ended(Outcome::Unknown) => {
                self.in_doubt = true;
                Ok(())
            }
            Todo::Ended(Outcome::Committed { .. }) => {
                prop_assert_eq!(self.applied, 1, "what is called committed was applied once");
                self.begin()
            }
            Todo::Ended(Outcome::Refused(_)) => {
                prop_assert_eq!(self.applied, 0, "what is called refused was not applied");
                let wanted = self.wanted.to_le_bytes();
                let about = |(request, fate): &(Request, Fate)| {
                    let command = &request.command;
                    let this = command.request != RequestId::OPEN && command.payload == wanted[..];
                    this && *fate != Fate::Over
                };
                prop_assert!(!self.attempts.iter().any(about), "nor can it be any more");
                self.begin()
            }
        }
    }

    /// One of the attempts that are there.
    fn pick(&mut self, which: usize, fate: Fate) -> Option<(Request, &mut Fate)> {
        let mut there = self.attempts.iter_mut().filter(|(_, it)| *it == fate);
        there.nth(which).map(|(request, fate)| (request.clone(), fate))
    }

    fn answer(&mut self, request: &Request, answer: Answer) {
        let Command { client, session, request: number, .. } = request.command;
        let (from, attempt, tag) = (self.client.target(), request.attempt, Tag::none());
        self.mail.push(Reply { from, client, session, request: number, attempt, answer, tag });
    }

    fn next_position(&mut self) -> Position {
        self.index += 1;
        Position { index: LogIndex(self.index), offset: 0 }
    }

    fn execute(&mut self, request: &Request) -> Result<(), TestCaseError> {
        let (at, command) = (self.next_position(), request.command.clone());
        let done = |position| Answer::Done { position, result: Bytes::new() };
        let answer = match self.sessions.judge(&command, at) {
            Verdict::Opened(position) | Verdict::Repeat(position, _) => done(position),
            Verdict::Apply => {
                self.sessions.remember(&command, at, Bytes::new());
                if command.payload == self.wanted.to_le_bytes()[..] {
                    self.applied += 1;
                    prop_assert!(self.applied < 2, "applied twice");
                }
                done(at)
            }
            Verdict::Stale => Answer::Stale,
            Verdict::Expired => Answer::Expired,
        };
        self.answer(request, answer);
        Ok(())
    }

    fn happen(&mut self, event: Event) -> Result<(), TestCaseError> {
        match event {
            Event::Take(which) => {
                if let Some((_, fate)) = self.pick(which, Fate::OnItsWay) {
                    *fate = Fate::Taken;
                }
            }
            Event::Refuse(which, busy) => {
                if let Some((request, fate)) = self.pick(which, Fate::OnItsWay) {
                    *fate = Fate::Over;
                    let why = if busy { Refusal::Busy } else { Refusal::NotLeader(None) };
                    self.answer(&request, Answer::Refused(why));
                }
            }
            Event::Rebuff => {
                let newest = self.attempts.last_mut().filter(|(_, it)| *it == Fate::OnItsWay);
                if let Some((request, fate)) = newest {
                    *fate = Fate::Over;
                    let request = request.clone();
                    self.answer(&request, Answer::Refused(Refusal::Busy));
                    self.happen(Event::Deliver(self.mail.len() - 1))?;
                }
            }
            Event::Execute(which) => {
                if let Some((request, fate)) = self.pick(which, Fate::Taken) {
                    *fate = Fate::Over;
                    self.execute(&request)?;
                }
            }
            // It may be committed yet, by the next leader: then nobody answers.
            Event::Lose(which) => {
                if let Some((request, _)) = self.pick(which, Fate::Taken) {
                    self.answer(&request, Answer::Lost(None));
                }
            }
            Event::Deliver(which) if !self.mail.is_empty() => {
                let reply = self.mail.remove(which % self.mail.len());
                let todo = self.client.receive(self.now, &reply, &NoKeys);
                self.follow(todo)?;
            }
            Event::Drop(which) if !self.mail.is_empty() => {
                drop(self.mail.remove(which % self.mail.len()));
            }
            Event::Deliver(_) | Event::Drop(_) => {}
            Event::Wait(pauses) => {
                self.now += PATIENCE.pause * pauses;
                if !self.in_doubt && self.client.wake_at().is_some_and(|wake| wake <= self.now) {
                    let todo = self.client.tick(self.now);
                    self.follow(todo)?;
                }
            }
            Event::Disconnect(sent) => self.disconnect(sent)?,
            Event::Crowd => {
                for _ in 0..2 {
                    self.crowd += 1;
                    let at = self.next_position();
                    let client = ClientId(100 + self.crowd);
                    let (session, request) = (SessionId::default(), RequestId::OPEN);
                    let payload = Bytes::from_static(&[0; 8]);
                    let open = Command { client, session, request, payload, tag: Tag::none() };
                    self.sessions.judge(&open, at);
                }
            }
            Event::Resume(again) if self.in_doubt => {
                self.in_doubt = false;
                match self.client.resume(self.now).filter(|_| again) {
                    Some(todo) => self.follow(todo)?,
                    None => {
                        self.client.abandon();
                        self.begin()?;
                    }
                }
            }
            Event::Resume(_) => {}
        }
        Ok(())
    }

    /// Only of the newest attempt the connection is known; if it has not left, it never will.
    fn disconnect(&mut self, sent: bool) -> Result<(), TestCaseError> {
        if let Some((_, fate)) = self.attempts.last_mut()
            && !self.in_doubt
            && (sent || *fate == Fate::OnItsWay)
        {
            if !sent {
                *fate = Fate::Over;
            }
            let todo = self.client.disconnected(self.now, self.client.target(), sent);
            self.follow(todo)?;
        }
        Ok(())
    }
}

fn what_a_client_says_is_true(events: Vec<Event>) -> Result<(), TestCaseError> {
    let mut world = World::new();
    world.begin()?;
    events.into_iter().try_for_each(|event| world.happen(event))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn clients_say_what_is_true(events in events()) {
        what_a_client_says_is_true(events)?;
    }
}

/// The model sees the bugs that are planted for it.
#[cfg(feature = "mutants")]
#[test]
fn clients_that_say_what_is_not_true_are_found() {
    use proptest::test_runner::{Config, TestRng, TestRunner};
    for name in ["K20", "K21", "K22", "K23", "K26"] {
        consensus_core::mutant::plant(Some(name));
        let config = Config::with_cases(20_000);
        let rng = TestRng::deterministic_rng(config.rng_algorithm);
        let passed =
            TestRunner::new_with_rng(config, rng).run(&events(), what_a_client_says_is_true);
        consensus_core::mutant::plant(None);
        assert!(passed.is_err(), "{name} is not found");
    }
}
