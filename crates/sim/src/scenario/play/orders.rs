//! Every order: of the messages that are on their way, and of all that follow from them.
//!
//! A message that was sent may arrive next, later, again, or never; so the messages of a state are
//! a set that only grows, and loss and duplication need no steps of their own. Disks are instant,
//! and no timer fires. A node that knows what is chosen takes no part any more: to the others it is
//! as good as slow, and what comes after the first choice is another story.
//!
//! As what a node does depends on that node and on what it hears alone, nodes, messages and the
//! outcome of each pair of the two are kept once and numbered; a state is a row of numbers.
//!
//! A message that only its receiver notices (the first of several promises) can as well arrive just
//! before one to which the node says something: nothing else depends on it, and it does not get
//! lost by waiting. So a step of the search is a row of such messages to one node, and then one to
//! which it says something or by which it learns what is chosen.

use super::super::condition::Pattern;
use super::super::item::Item;
use super::super::vocabulary::said_by;
use crate::oracle::{Seen, Table};
use crate::stage::Stage;
use consensus_core::{
    Audit, Batch, Effect, Effects, Input, LogIndex, Message, NodeId, RecordNumber,
};
use std::collections::BTreeSet;
use std::rc::Rc;

/// States that are visited at most.
const MOST_STATES: u64 = 300_000;
/// Different messages.
const MOST_MESSAGES: usize = 64 * WORDS;
const WORDS: usize = 4;

/// What came of all orders.
pub(super) struct Explored {
    /// What was chosen at the first index, in one order or another.
    pub(super) outcomes: BTreeSet<String>,
    pub(super) states: u64,
}

/// A replica with what the search must know of its driver.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Node<P: Audit> {
    replica: P,
    /// Records that it wrote.
    records: usize,
    /// What it committed at the first index.
    first: Option<Batch>,
}

/// What is under way, and who is how.
#[derive(Clone, PartialEq, Eq, Hash)]
struct State {
    nodes: Box<[u32]>,
    sent: [u64; WORDS],
}

/// What comes of a message at a node: what the node becomes, and what it sends.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Step {
    node: u32,
    sent: Vec<u16>,
}

struct Search<'a, P: Audit> {
    stage: &'a Stage<P>,
    held: &'a [Pattern],
    nodes: Vec<Node<P>>,
    numbers: Table<Node<P>, u32>,
    messages: Vec<(NodeId, NodeId, P::Message)>,
    places: Table<(NodeId, NodeId, P::Message), u16>,
    /// Of each node, which messages are to it.
    inboxes: Vec<[u64; WORDS]>,
    steps: Table<(u32, u16), Step>,
    /// What others notice of a node with these messages to it.
    loud: Table<(u32, [u64; WORDS]), Rc<[Step]>>,
}

/// Visits every state.
/// Messages that are held never arrive.
pub(super) fn explore<P: Audit>(stage: &Stage<P>, held: &[Pattern]) -> Result<Explored, String> {
    let mut search = Search {
        stage,
        held,
        nodes: Vec::new(),
        numbers: Table::default(),
        messages: Vec::new(),
        places: Table::default(),
        inboxes: vec![[0; WORDS]; stage.cluster().size],
        steps: Table::default(),
        loud: Table::default(),
    };
    let first = search.first()?;
    search.all(first)
}

impl<P: Audit> Search<'_, P> {
    /// What the stage shows.
    fn first(&mut self) -> Result<State, String> {
        let mut nodes = Vec::new();
        for node in self.stage.cluster().nodes().iter() {
            let Some(replica) = self.stage.replica(node) else {
                return Err(format!("{node} is down; all orders are explored with all nodes up"));
            };
            let records = self.stage.disk(node).len();
            let first = self.stage.committed(node).first().cloned();
            nodes.push(self.number(Node { replica: replica.clone(), records, first }));
        }
        let mut state = State { nodes: nodes.into(), sent: [0; WORDS] };
        for flight in self.stage.flights() {
            if self.is_held((flight.from, flight.to), &flight.message) {
                continue;
            }
            let message = (*flight.message).clone();
            let place = self.place((flight.from, flight.to, message))?;
            state.sent[usize::from(place) / 64] |= 1 << (place % 64);
        }
        Ok(state)
    }

    fn all(&mut self, first: State) -> Result<Explored, String> {
        let mut seen: Seen<State> = Seen::default();
        let mut outcomes = BTreeSet::new();
        let mut open = vec![first.clone()];
        seen.insert(first);
        while let Some(state) = open.pop() {
            self.judge(&state, &mut outcomes)?;
            for node in 0..state.nodes.len() {
                for step in self.after(&state, node)?.iter() {
                    let mut next = state.clone();
                    next.nodes[node] = step.node;
                    for place in &step.sent {
                        next.sent[usize::from(*place) / 64] |= 1 << (place % 64);
                    }
                    if next != state && seen.insert(next.clone()) {
                        open.push(next);
                    }
                }
            }
            if seen.len() as u64 > MOST_STATES {
                return Err(format!("there are more than {MOST_STATES} states"));
            }
        }
        Ok(Explored { outcomes, states: seen.len() as u64 })
    }

    /// Agreement (O1): nobody knows two values as chosen.
    fn judge(&self, state: &State, outcomes: &mut BTreeSet<String>) -> Result<(), String> {
        let known = |number: &u32| self.nodes[*number as usize].first.as_ref();
        let mut chosen = state.nodes.iter().filter_map(known);
        let Some(first) = chosen.next() else { return Ok(()) };
        let text = |batch: &Batch| {
            let texts: Vec<String> = said_by(batch).iter().map(Item::to_string).collect();
            texts.join(" ")
        };
        if let Some(other) = chosen.find(|other| *other != first) {
            let (one, two) = (text(first), text(other));
            return Err(format!("in some order both {one} and {two} are chosen (O1, agreement)"));
        }
        outcomes.insert(text(first));
        Ok(())
    }

    /// What can become of a node: messages that only it notices, then one that others notice.
    fn after(&mut self, state: &State, node: usize) -> Result<Rc<[Step]>, String> {
        let number = state.nodes[node];
        if self.nodes[number as usize].first.is_some() {
            return Ok(Rc::from([]));
        }
        let mut inbox = state.sent;
        for (word, to) in inbox.iter_mut().zip(&self.inboxes[node]) {
            *word &= to;
        }
        if let Some(steps) = self.loud.get(&(number, inbox)) {
            return Ok(steps.clone());
        }
        let places = (0..self.messages.len() as u16)
            .filter(|place| inbox[usize::from(*place) / 64] >> (place % 64) & 1 == 1);
        let places: Vec<u16> = places.collect();
        let (mut silent, mut loud) = (vec![number], Vec::new());
        let mut place = 0;
        while let Some(before) = silent.get(place).copied() {
            place += 1;
            for message in &places {
                let step = self.once(before, *message)?;
                let learns = self.nodes[step.node as usize].first.is_some();
                if !step.sent.is_empty() || learns {
                    loud.push(step);
                } else if !silent.contains(&step.node) {
                    silent.push(step.node);
                }
            }
        }
        loud.sort_unstable();
        loud.dedup();
        let loud: Rc<[Step]> = loud.into();
        self.loud.insert((number, inbox), loud.clone());
        Ok(loud)
    }

    fn once(&mut self, number: u32, place: u16) -> Result<Step, String> {
        if let Some(step) = self.steps.get(&(number, place)) {
            return Ok(step.clone());
        }
        let step = self.step(number, place)?;
        self.steps.insert((number, place), step.clone());
        Ok(step)
    }

    /// The real replica takes the message, and whatever its disk and driver say to that.
    fn step(&mut self, number: u32, place: u16) -> Result<Step, String> {
        let (from, to, message) = self.messages[usize::from(place)].clone();
        let Ok(verified) = self.stage.verify_apart((from, to), message) else {
            return Ok(Step { node: number, sent: Vec::new() });
        };
        let Node { mut replica, mut records, mut first } = self.nodes[number as usize].clone();
        let mut effects = Effects::after_recovery(records);
        let mut inputs = vec![Input::Drained, Input::Message(verified)];
        let mut sent = Vec::new();
        while let Some(input) = inputs.pop() {
            self.stage.step_apart(to, (&mut replica, &mut effects), input);
            if let Some(why) = effects.halted() {
                return Err(format!("in some order {to} halts: {why} (O18)"));
            }
            let before = records;
            for effect in effects.drain().collect::<Vec<_>>() {
                match effect {
                    Effect::Write { .. } => records += 1,
                    Effect::Send { to: receivers, message, .. } => {
                        let arrives = |it: &NodeId| !self.is_held((to, *it), &message);
                        for receiver in receivers.iter().filter(arrives).collect::<Vec<_>>() {
                            sent.push(self.place((to, receiver, message.clone()))?);
                        }
                    }
                    Effect::Commit { index: LogIndex(1), batch } => first = Some(batch),
                    _ => {}
                }
            }
            if records > before {
                let durable = Input::Durable(RecordNumber(records as u64));
                inputs.insert(0, Input::Drained);
                inputs.insert(1, durable);
            }
        }
        sent.sort_unstable();
        sent.dedup();
        let node = self.number(Node { replica, records, first });
        Ok(Step { node, sent })
    }

    fn is_held(&self, (from, to): (NodeId, NodeId), message: &P::Message) -> bool {
        self.held.iter().any(|pattern| pattern.fits(message.kind().name, from, to))
    }

    fn number(&mut self, node: Node<P>) -> u32 {
        if let Some(number) = self.numbers.get(&node) {
            return *number;
        }
        let number = self.nodes.len() as u32;
        self.nodes.push(node.clone());
        self.numbers.insert(node, number);
        number
    }

    fn place(&mut self, message: (NodeId, NodeId, P::Message)) -> Result<u16, String> {
        if let Some(place) = self.places.get(&message) {
            return Ok(*place);
        }
        let place = self.messages.len();
        if place == MOST_MESSAGES {
            return Err(format!("more than {MOST_MESSAGES} different messages are sent"));
        }
        self.inboxes[message.1.index()][place / 64] |= 1 << (place % 64);
        self.messages.push(message.clone());
        self.places.insert(message, place as u16);
        Ok(place as u16)
    }
}
