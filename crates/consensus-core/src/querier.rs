//! The reading client as a state machine: one question at a time, asked again elsewhere until a
//! replica answers. Reading changes nothing, so it needs no session. Shared by the simulator and
//! the real client.

use crate::client::Patience;
use crate::effects::Refusal;
use crate::id::{ClientId, LogIndex, NodeId, NodeSet};
use crate::mutant::planted;
use crate::read::{Consistency, Query, QueryReply};
use crate::turn::Turn;
use bytes::Bytes;
use core::time::Duration;

/// What the reading client wants done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ask {
    /// Send this to that replica.
    Send(NodeId, Query),
    /// Nothing, until a reply comes or [`Querier::wake_at`] is reached.
    Wait,
    /// The question has ended: the answer and the index as of which it holds, or why there is none
    /// (`None`: nobody answered in time).
    Ended(Result<(LogIndex, Bytes), Option<Refusal>>),
}

#[derive(Clone, Debug)]
struct Pending {
    query: Query,
    deadline: Duration,
    wake: Duration,
    attempts: u32,
    /// The last attempt was not refused so far.
    open: bool,
    refused: Option<Refusal>,
}

/// Asks questions, one after the other.
#[derive(Clone, Debug)]
pub struct Querier {
    client: ClientId,
    patience: Patience,
    turn: Turn,
    number: u64,
    pending: Option<Pending>,
}

impl Querier {
    /// A client that may ask these replicas, and first asks `target`.
    pub fn new(client: ClientId, nodes: NodeSet, patience: Patience, target: NodeId) -> Self {
        assert!(nodes.contains(target), "the first replica to ask is one of them");
        Self { client, patience, turn: Turn::new(nodes, target), number: 0, pending: None }
    }

    /// The replica that it asks next.
    pub fn target(&self) -> NodeId {
        self.turn.target()
    }

    /// From now on it asks this replica first.
    pub fn prefer(&mut self, target: NodeId) {
        self.turn.prefer(target);
    }

    /// The replicas that it may ask from now on, if there are any: members come and go.
    pub fn know(&mut self, nodes: NodeSet) {
        self.turn.know(nodes);
    }

    /// When to call [`tick`](Self::tick) at the latest.
    pub fn wake_at(&self) -> Option<Duration> {
        self.pending.as_ref().map(|pending| pending.wake)
    }

    /// Asks a question. One that was under way is forgotten.
    pub fn begin(&mut self, now: Duration, question: Bytes, consistency: Consistency) -> Ask {
        self.number += 1;
        let (client, number) = (self.client, self.number);
        let query = Query { client, number, consistency, question };
        let deadline = now + self.patience.give_up;
        let (wake, refused) = (now, None);
        self.pending = Some(Pending { query, deadline, wake, attempts: 0, open: false, refused });
        self.attempt(now)
    }

    fn attempt(&mut self, now: Duration) -> Ask {
        let Some(pending) = &mut self.pending else { return Ask::Wait };
        if now >= pending.deadline {
            let refused = pending.refused;
            self.pending = None;
            return Ask::Ended(Err(refused));
        }
        pending.attempts += 1;
        pending.open = true;
        pending.wake = (now + self.patience.attempt).min(pending.deadline);
        Ask::Send(self.turn.target(), pending.query.clone())
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Duration) -> Ask {
        let Some(pending) = &self.pending else { return Ask::Wait };
        if now < pending.wake {
            return Ask::Wait;
        }
        if pending.open {
            self.turn.pass_on();
        }
        self.attempt(now)
    }

    /// A replica answered. What does not belong to the question under way is ignored.
    pub fn receive(&mut self, now: Duration, reply: &QueryReply) -> Ask {
        let Some(pending) = &mut self.pending else { return Ask::Wait };
        let number = if planted("S-echo") { reply.number } else { pending.query.number };
        if (reply.client, reply.number) != (self.client, number) {
            return Ask::Wait;
        }
        let why = match &reply.answer {
            Ok((index, answer)) => {
                let ended = Ask::Ended(Ok((*index, answer.clone())));
                self.pending = None;
                return ended;
            }
            Err(why) => *why,
        };
        if reply.from != self.turn.target() || !pending.open {
            return Ask::Wait;
        }
        pending.refused = Some(why);
        pending.open = false;
        let final_word = matches!(why, Refusal::Unsupported | Refusal::TooLarge);
        if final_word {
            self.pending = None;
            return Ask::Ended(Err(Some(why)));
        }
        let hint = match why {
            Refusal::NotLeader(hint) => hint.filter(|hint| self.turn.nodes().contains(*hint)),
            _ => None,
        };
        let often = pending.attempts % 4 == 0;
        let follow = hint.is_some_and(|hint| hint != self.turn.target()) && !often;
        pending.wake = (now + self.patience.pause).min(pending.deadline);
        match hint {
            Some(hint) if !often => self.turn.follow(hint),
            _ => self.turn.pass_on(),
        }
        if follow { self.attempt(now) } else { Ask::Wait }
    }

    /// The connection to a replica is gone, or did not come about.
    pub fn disconnected(&mut self, now: Duration, node: NodeId) -> Ask {
        let Some(pending) = &mut self.pending else { return Ask::Wait };
        if !pending.open || node != self.turn.target() {
            return Ask::Wait;
        }
        pending.open = false;
        pending.wake = (now + self.patience.pause).min(pending.deadline);
        if !planted("K25") {
            self.turn.pass_on();
        }
        Ask::Wait
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::read::ReadMode;

    const INDEX: Consistency = Consistency::Linearizable(ReadMode::Index);

    fn ms(milliseconds: u64) -> Duration {
        Duration::from_millis(milliseconds)
    }

    fn querier() -> (Querier, Ask) {
        let nodes = NodeSet::first(3);
        let mut querier = Querier::new(ClientId(7), nodes, Patience::default(), NodeId(0));
        let ask = querier.begin(ms(0), Bytes::from_static(b"q"), INDEX);
        (querier, ask)
    }

    fn reply(from: u8, answer: Result<(LogIndex, Bytes), Refusal>) -> QueryReply {
        QueryReply { from: NodeId(from), client: ClientId(7), number: 1, answer }
    }

    fn target(ask: &Ask) -> Option<NodeId> {
        match ask {
            Ask::Send(to, _) => Some(*to),
            _ => None,
        }
    }

    #[test]
    fn it_follows_a_hint_and_takes_the_first_answer() {
        let (mut querier, ask) = querier();
        assert_eq!(target(&ask), Some(NodeId(0)));
        let ask = querier.receive(ms(1), &reply(0, Err(Refusal::NotLeader(Some(NodeId(2))))));
        assert_eq!(target(&ask), Some(NodeId(2)));
        let answer = (LogIndex(4), Bytes::from_static(b"a"));
        let ended = querier.receive(ms(2), &reply(2, Ok(answer.clone())));
        assert_eq!(ended, Ask::Ended(Ok(answer)));
        assert_eq!(querier.wake_at(), None);
    }

    /// The test below sees what it is there for.
    #[cfg(feature = "mutants")]
    #[test]
    fn a_client_that_takes_the_answer_to_another_question_is_found() {
        crate::mutant::plant(Some("S-echo"));
        let passed = std::panic::catch_unwind(the_answer_to_another_question_is_not_taken).is_ok();
        crate::mutant::plant(None);
        assert!(!passed, "S-echo survived");
    }

    /// Replies of an earlier question may come late, and not every reply on a connection is ours.
    #[test]
    fn the_answer_to_another_question_is_not_taken() {
        let (mut querier, _) = querier();
        querier.begin(ms(1), Bytes::from_static(b"next"), INDEX);
        let right = QueryReply { number: 2, ..reply(0, Ok((LogIndex(4), Bytes::new()))) };
        for wrong in [
            QueryReply { number: 1, ..right.clone() },
            QueryReply { number: 3, ..right.clone() },
            QueryReply { client: ClientId(8), ..right.clone() },
        ] {
            assert_eq!(querier.receive(ms(2), &wrong), Ask::Wait, "{wrong:?}");
        }
        assert!(matches!(querier.receive(ms(3), &right), Ask::Ended(Ok(_))));
    }

    #[test]
    fn it_turns_to_others_when_nobody_answers_and_gives_up_in_the_end() {
        let (mut querier, _) = querier();
        assert_eq!(target(&querier.tick(ms(1000))), Some(NodeId(1)));
        assert_eq!(querier.disconnected(ms(1001), NodeId(1)), Ask::Wait);
        assert_eq!(target(&querier.tick(ms(1051))), Some(NodeId(2)));
        assert_eq!(target(&querier.tick(ms(2051))), Some(NodeId(0)));
        assert_eq!(querier.tick(ms(10_000)), Ask::Ended(Err(None)));
    }

    /// Old members know of a leader that is gone: whoever believes all of them finds nobody else.
    #[test]
    fn hints_that_lead_to_the_same_dead_replica_do_not_hold_it() {
        let patience = Patience { give_up: ms(60_000), ..Patience::default() };
        let mut querier = Querier::new(ClientId(7), NodeSet::first(5), patience, NodeId(0));
        let mut ask = querier.begin(ms(0), Bytes::from_static(b"q"), INDEX);
        let mut now = ms(0);
        for _ in 0..20 {
            ask = match target(&ask) {
                Some(NodeId(3)) => return,
                Some(NodeId(0)) | None => {
                    now = querier.wake_at().expect("a question is under way");
                    querier.tick(now)
                }
                Some(old) => {
                    let refused = Err(Refusal::NotLeader(Some(NodeId(0))));
                    querier.receive(now, &reply(old.0, refused))
                }
            };
        }
        panic!("it never asked n3");
    }

    #[test]
    fn what_an_algorithm_does_not_offer_is_not_asked_for_again() {
        for why in [Refusal::Unsupported, Refusal::TooLarge] {
            let (mut querier, _) = querier();
            let ended = querier.receive(ms(1), &reply(0, Err(why)));
            assert_eq!(ended, Ask::Ended(Err(Some(why))));
        }
    }
}
