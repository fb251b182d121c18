//! The search: every state, breadth first, so that the first violation has the fewest steps.
//!
//! One level is expanded in batches. Workers look states up in the table of seen states, which
//! nobody changes meanwhile; then one thread enters what is new, in the order of the batch. So
//! counts, order and counterexample are the same with any number of threads.

use crate::bounds::Bounds;
use crate::chart;
use crate::context::{BadModel, Context};
use crate::fingerprint::{self, AsItIs};
use crate::node::{Node, Outcome, Stimulus, happen};
use crate::state::{Action, State};
use crate::table::{Link, Table};
use crate::violation::Violation;
use consensus_core::{Audit, NodeId};
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// How far a search may go.
#[derive(Clone, Copy, Default)]
pub struct Limits<'a> {
    /// Distinct states; 0 for no limit.
    pub states: u64,
    /// Threads; 0 and 1 both mean that the caller's thread does all the work.
    pub threads: usize,
    /// Explore the ith of so many parts of the model, counted from 0.
    pub shard: Option<(u32, u32)>,
    /// Each worker thread calls this first.
    pub prepare: Option<&'a (dyn Fn() + Sync)>,
}

/// How far a search is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Progress {
    /// Distinct states.
    pub states: u64,
    /// Steps from one state to another.
    pub transitions: u64,
    /// Actions from the start to the states that are looked at just now.
    pub depth: u32,
    /// States whose successors are not known yet.
    pub open: u64,
}

/// What a search found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Explored {
    /// Distinct states.
    pub states: u64,
    /// Steps from one state to another.
    pub transitions: u64,
    /// The most actions that it takes to reach a state.
    pub depth: u32,
    /// Every state within the bounds was visited.
    pub closed: bool,
    /// States in which something was decided, and the highest index that was.
    pub decided: (u64, u64),
    /// Leaders in one behaviour, at most.
    pub leaders: u64,
    /// Pairs of a node's state and something that happens to it.
    pub steps: u64,
    /// Rare things that the protocol said it reached.
    pub marks: BTreeSet<&'static str>,
    /// Bytes of the table of seen states.
    pub table_bytes: u64,
    /// The most states that waited to be expanded, or had just been.
    pub widest: u64,
    /// The first violation.
    pub found: Option<Found>,
}

/// A violation with the shortest way to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// The rule that was broken.
    pub violation: Violation,
    /// Distinct states that were seen by then.
    pub states: u64,
    /// What happened, step by step.
    pub steps: Vec<String>,
}

/// Explores every behaviour within the bounds, or until a limit or a violation.
///
/// # Errors
/// If there is no such model.
pub fn explore<P: Audit>(
    bounds: &Bounds,
    limits: &Limits<'_>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Explored, BadModel> {
    let context = Context::<P>::new(*bounds)?;
    let root = match State::initial(&context) {
        Ok(root) => root,
        Err(violation) => {
            let steps = vec!["all nodes start".to_owned()];
            let found = Found { violation, states: 0, steps };
            let mut explored = Explored::nothing();
            explored.found = Some(found);
            return Ok(explored);
        }
    };
    Ok(Search::new(&context, limits, root).run(progress))
}

impl Explored {
    fn nothing() -> Self {
        Self {
            states: 0,
            transitions: 0,
            depth: 0,
            closed: false,
            decided: (0, 0),
            leaders: 0,
            steps: 0,
            marks: BTreeSet::new(),
            table_bytes: 0,
            widest: 0,
            found: None,
        }
    }
}

/// What nodes do, once it was worked out.
type Memory<P> = HashMap<u128, Result<Arc<Outcome<P>>, Violation>, AsItIs>;

/// Nodes that are equal are one in memory, too.
type Pool<P> = HashMap<u128, Arc<Node<P>>, AsItIs>;

/// Outcomes that a worker remembers before it forgets all and starts anew.
const MEMORY: usize = 1 << 18;

/// States of one batch, for each worker.
const BATCH: usize = 1 << 12;

/// Open states that a search split into parts shares out, for each part.
const OPEN_PER_SHARD: usize = 16;

/// A successor that was not seen before its batch.
struct Successor<P: Audit> {
    state: State<P>,
    link: Link,
}

/// What a worker found out about its part of a batch.
struct Part<P: Audit> {
    successors: Vec<Successor<P>>,
    transitions: u64,
    /// The first violation: the place of the state in the part, the action, the rule.
    violation: Option<(usize, usize, Violation)>,
}

struct Worker<P: Audit> {
    memory: Memory<P>,
    actions: Vec<Action<P::Timer>>,
    steps: u64,
    marks: BTreeSet<&'static str>,
}

impl<P: Audit> Worker<P> {
    fn new() -> Self {
        Self { memory: Memory::default(), actions: Vec::new(), steps: 0, marks: BTreeSet::new() }
    }

    fn expand(&mut self, context: &Context<P>, seen: &Table, states: &[State<P>]) -> Part<P> {
        let mut part = Part { successors: Vec::new(), transitions: 0, violation: None };
        for (place, state) in states.iter().enumerate() {
            let mut actions = std::mem::take(&mut self.actions);
            state.actions(context, &mut actions);
            for (nth, action) in actions.iter().enumerate() {
                match self.successor(context, state, *action) {
                    Ok(None) => {}
                    Ok(Some(next)) => {
                        part.transitions += 1;
                        if !seen.contains(next.print) {
                            let link = Link::new(state.print, nth);
                            part.successors.push(Successor { state: next, link });
                        }
                    }
                    Err(violation) => {
                        part.violation = Some((place, nth, violation));
                        return part;
                    }
                }
            }
            self.actions = actions;
        }
        part
    }

    /// What follows from an action, with the outcome for its node from memory if it was there.
    fn successor(
        &mut self,
        context: &Context<P>,
        state: &State<P>,
        action: Action<P::Timer>,
    ) -> Result<Option<State<P>>, Violation> {
        let (id, stimulus) = state.stimulus(context, action);
        let node = &state.nodes[id.index()];
        let key = key_of(node, &stimulus);
        let outcome = match self.memory.get(&key) {
            Some(outcome) => outcome.clone(),
            None => {
                let outcome = happen(context, id, Some(node), &stimulus).map(Arc::new);
                self.remember(key, outcome.clone());
                outcome
            }
        };
        match outcome {
            Ok(outcome) => state.after(context, action, id, &outcome),
            // A traitor may break all its rules, and stops when it does.
            Err(_) if !context.is_correct(id) => Ok(None),
            Err(violation) => Err(violation),
        }
    }

    fn remember(&mut self, key: u128, outcome: Result<Arc<Outcome<P>>, Violation>) {
        self.steps += 1;
        if let Ok(outcome) = &outcome {
            self.marks.extend(&outcome.marks);
        }
        if self.memory.len() >= MEMORY {
            self.memory.clear();
        }
        self.memory.insert(key, outcome);
    }
}

/// Names a pair of node and stimulus. The nth command is named by its bytes.
fn key_of<P: Audit>(node: &Node<P>, stimulus: &Stimulus<'_, P>) -> u128 {
    let what = match stimulus {
        Stimulus::Boot => unreachable!("nodes boot once, before the search"),
        Stimulus::Take(packet) => packet.print,
        Stimulus::Sync => fingerprint::of("sync"),
        Stimulus::Fire(timer) => fingerprint::of(&("fire", timer)),
        Stimulus::Campaign => fingerprint::of("campaign"),
        Stimulus::Propose(batch) => fingerprint::of(&("propose", batch)),
        Stimulus::Crash { kept } => fingerprint::of(&("crash", kept)),
    };
    // Odd, so that no half of `what` is lost, and not 1, so that order counts.
    const ODD: u128 = 0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835;
    node.print.wrapping_add(what.wrapping_mul(ODD))
}

struct Search<'a, P: Audit> {
    context: &'a Context<P>,
    limits: &'a Limits<'a>,
    root: State<P>,
    seen: Table,
    pool: Pool<P>,
    explored: Explored,
    workers: Vec<Worker<P>>,
}

impl<'a, P: Audit> Search<'a, P> {
    fn new(context: &'a Context<P>, limits: &'a Limits<'a>, root: State<P>) -> Self {
        let mut seen = Table::new();
        seen.insert(root.print, Link::new(root.print, 0));
        let workers = (0..limits.threads.max(1)).map(|_| Worker::new()).collect();
        let explored = Explored::nothing();
        Self { context, limits, root, seen, pool: Pool::default(), explored, workers }
    }

    fn run(mut self, progress: &mut dyn FnMut(Progress)) -> Explored {
        let mut open = vec![self.root.clone()];
        self.note(&self.root.clone());
        let mut sharded = self.limits.shard.is_none();
        while !open.is_empty() && !self.is_over() {
            if !sharded && let Some(part) = self.share(&mut open) {
                open = part;
                sharded = true;
            }
            if self.context.bounds.depth.is_some_and(|depth| self.explored.depth >= depth) {
                break;
            }
            open = self.level(open, progress);
            self.explored.depth += u32::from(!open.is_empty());
        }
        self.explored.closed = open.is_empty() && self.explored.found.is_none();
        self.explored.states = self.seen.len() as u64;
        self.explored.table_bytes = self.seen.bytes() as u64;
        for worker in &self.workers {
            self.explored.steps += worker.steps;
            self.explored.marks.extend(&worker.marks);
        }
        self.explored
    }

    fn is_over(&self) -> bool {
        let full = self.limits.states > 0 && self.seen.len() as u64 >= self.limits.states;
        full || self.explored.found.is_some()
    }

    /// This search's part of the open states, once there are enough to share out.
    fn share(&self, open: &mut Vec<State<P>>) -> Option<Vec<State<P>>> {
        let (which, of) = self.limits.shard?;
        if open.len() < OPEN_PER_SHARD * of as usize {
            return None;
        }
        let mine = |place: &usize| place % of as usize == which as usize;
        let all = std::mem::take(open).into_iter().enumerate();
        Some(all.filter(|(place, _)| mine(place)).map(|(_, state)| state).collect())
    }

    /// Expands all states of one depth; gives those of the next.
    fn level(&mut self, open: Vec<State<P>>, progress: &mut dyn FnMut(Progress)) -> Vec<State<P>> {
        let mut next = Vec::new();
        let batch = BATCH * self.workers.len();
        let mut left = open.len();
        for states in open.chunks(batch) {
            let parts = self.expand(states);
            self.enter(states, parts, &mut next);
            left -= states.len();
            progress(Progress {
                states: self.seen.len() as u64,
                transitions: self.explored.transitions,
                depth: self.explored.depth,
                open: (left + next.len()) as u64,
            });
            if self.is_over() {
                break;
            }
        }
        self.explored.widest = self.explored.widest.max((open.len() + next.len()) as u64);
        if left > 0 {
            // Not all of this level was expanded; whatever comes next, the model is not closed.
            next.extend(open.into_iter().next_back());
        }
        let live = |node: &Arc<Node<P>>| Arc::strong_count(node) > 1;
        self.pool.retain(|_, node| live(node));
        next
    }

    fn expand(&mut self, states: &[State<P>]) -> Vec<Part<P>> {
        let (context, seen, prepare) = (self.context, &self.seen, self.limits.prepare);
        if let [worker] = &mut self.workers[..] {
            return vec![worker.expand(context, seen, states)];
        }
        let each = states.len().div_ceil(self.workers.len());
        std::thread::scope(|scope| {
            let work = |(worker, part): (&'_ mut Worker<P>, &'_ [State<P>])| {
                if let Some(prepare) = prepare {
                    prepare();
                }
                worker.expand(context, seen, part)
            };
            let pairs: Vec<_> = self.workers.iter_mut().zip(states.chunks(each)).collect();
            let spawned: Vec<_> =
                pairs.into_iter().map(|pair| scope.spawn(move || work(pair))).collect();
            let joined = spawned.into_iter().map(|worker| worker.join());
            joined.map(|part| part.expect("a worker catches what its replicas do")).collect()
        })
    }

    /// Enters what is new, in the order of the batch.
    fn enter(&mut self, states: &[State<P>], parts: Vec<Part<P>>, next: &mut Vec<State<P>>) {
        let each = states.len().div_ceil(self.workers.len());
        for (which, part) in parts.into_iter().enumerate() {
            self.explored.transitions += part.transitions;
            for Successor { mut state, link } in part.successors {
                if self.seen.insert(state.print, link) {
                    self.unite(&mut state);
                    self.note(&state);
                    next.push(state);
                }
            }
            if let Some((place, nth, violation)) = part.violation {
                let state = &states[which * each + place];
                let mut path = self.seen.path(self.root.print, state.print);
                path.push(nth);
                let steps = chart::of(self.context, &self.root, &path);
                let states = self.seen.len() as u64;
                self.explored.found = Some(Found { violation, states, steps });
                return;
            }
        }
    }

    /// Equal nodes that came about in different ways share their memory.
    fn unite(&mut self, state: &mut State<P>) {
        for node in &mut state.nodes {
            let known = self.pool.entry(node.print).or_insert_with(|| Arc::clone(node));
            if !Arc::ptr_eq(known, node) {
                *node = Arc::clone(known);
            }
        }
    }

    fn note(&mut self, state: &State<P>) {
        let decided = state.history.decided.len() as u64;
        self.explored.decided.0 += u64::from(decided > 0);
        self.explored.decided.1 = self.explored.decided.1.max(decided);
        let leaders = state.history.leaders.len() as u64;
        self.explored.leaders = self.explored.leaders.max(leaders);
    }
}

/// The state after an action, and what its node did: for charts.
pub(crate) fn replay<P: Audit>(
    context: &Context<P>,
    state: &State<P>,
    action: Action<P::Timer>,
) -> (NodeId, Result<(Outcome<P>, Option<State<P>>), Violation>) {
    let (id, stimulus) = state.stimulus(context, action);
    let node = &state.nodes[id.index()];
    let outcome = happen(context, id, Some(node), &stimulus);
    let next = outcome.and_then(|outcome| {
        let next = state.after(context, action, id, &outcome)?;
        Ok((outcome, next))
    });
    (id, next)
}
