//! The search: every state, breadth first, so that the first violation has the fewest steps.
//!
//! One level is expanded in batches. Workers look states up in the table of seen states, which
//! nobody changes meanwhile; then one thread enters what is new, in the order of the batch. So
//! counts, order and counterexample are the same with any number of threads.

use crate::arena::{Arena, Outcome, Steps};
use crate::bounds::{Bounds, Preset};
use crate::chart;
use crate::context::{BadModel, Context};
use crate::node::happen;
use crate::oracle::Scene;
use crate::state::{Action, Change, History, State};
use crate::table::{Link, Table};
use crate::violation::Violation;
use consensus_core::{Audit, Cluster, ConfigError, NodeId, ProtocolConfig};
use std::collections::BTreeSet;
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
    explore_with::<P>(bounds, limits, P::Config::smallest, progress)
}

/// The same with settings of one's own, instead of the smallest.
///
/// # Errors
/// If there is no such model.
pub fn explore_with<P: Audit>(
    bounds: &Bounds,
    limits: &Limits<'_>,
    configure: impl FnOnce(&Cluster) -> Result<P::Config, ConfigError>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Explored, BadModel> {
    let context = Context::<P>::new(*bounds, configure)?;
    let arena = Arena::new();
    let root = match State::initial(&context, &arena) {
        Ok(root) => root,
        Err(violation) => {
            let steps = vec!["all nodes start".to_owned()];
            let found = Found { violation, states: 0, steps };
            let mut explored = Explored::nothing();
            explored.found = Some(found);
            return Ok(explored);
        }
    };
    Ok(Search::new(&context, &arena, limits, root).run(progress))
}

/// Explores the bounds of a preset in the caller's thread, in search of a planted bug. `None` if
/// none was found within so many states, or if the preset makes no sense for the algorithm.
pub fn hunt<P: Audit>(preset: Preset, budget_states: u64) -> Option<Found> {
    let bounds = preset.bounds(&P::INFO)?;
    let limits = Limits { states: budget_states, ..Limits::default() };
    explore::<P>(&bounds, &limits, &mut |_| {}).ok()?.found
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

/// States of one batch, for each worker.
const BATCH: usize = 1 << 12;

/// Open states that a search split into parts shares out, for each part.
const OPEN_PER_SHARD: usize = 16;

/// A successor that was not seen before its batch.
struct Successor {
    state: State,
    link: Link,
}

/// What a worker found out about its part of a batch.
#[derive(Default)]
struct Part {
    successors: Vec<Successor>,
    transitions: u64,
    /// The first violation: the place of the state in the part, the action, the rule.
    violation: Option<(usize, usize, Violation)>,
}

/// What a worker keeps from state to state, to save memory from being asked for anew.
struct Worker<T> {
    actions: Vec<Action<T>>,
    news: Vec<u32>,
}

impl<T: Copy> Worker<T> {
    fn new() -> Self {
        Self { actions: Vec::new(), news: Vec::new() }
    }

    fn expand<P: Audit<Timer = T>>(
        &mut self,
        (context, arena): (&Context<P>, &Arena<P>),
        seen: &Table,
        states: &[State],
    ) -> Part {
        let mut part = Part::default();
        for (place, state) in states.iter().enumerate() {
            let mut steps = arena.read();
            state.actions(context, &steps, &mut self.actions);
            for nth in 0..self.actions.len() {
                let action = self.actions[nth];
                let (id, cause) = state.cause(&steps, action);
                if steps.outcome(cause).is_none() {
                    drop(steps);
                    work_out(context, arena, state, action);
                    steps = arena.read();
                }
                let outcome = match steps.outcome(cause).expect("it was just worked out") {
                    Ok(outcome) => outcome,
                    // A traitor may break all its rules, and stops when it does.
                    Err(_) if !context.is_correct(id) => continue,
                    Err(violation) => {
                        part.violation = Some((place, nth, violation.clone()));
                        return part;
                    }
                };
                let news = &mut self.news;
                let change = state.change(context, &steps, (action, id), outcome, news);
                let Some(mut change) = change else { continue };
                part.transitions += 1;
                let judged = judge(context, arena, &steps, (state, id), outcome, &mut change, seen);
                if let Err(violation) = judged {
                    part.violation = Some((place, nth, violation));
                    return part;
                }
                if !seen.contains(change.print) {
                    let state = state.changed(&steps, &change, (id, outcome.node), news);
                    let link = Link::new(states[place].print, nth);
                    part.successors.push(Successor { state, link });
                }
            }
        }
        part
    }
}

/// Runs the protocol's code, once for each node and what happens to it.
fn work_out<P: Audit>(
    context: &Context<P>,
    arena: &Arena<P>,
    state: &State,
    action: Action<P::Timer>,
) {
    let (cause, result) = {
        let steps = arena.read();
        let (id, cause) = state.cause(&steps, action);
        let node = Arc::clone(&steps.nodes[state.nodes[id.index()] as usize]);
        let stimulus = state.stimulus(context, &steps, action);
        drop(steps);
        (cause, happen(context, id, Some(&node), &stimulus))
    };
    arena.write().learn(cause, result);
}

/// All rules that take more than one node to judge. Some are about the state only, and need not be
/// judged again where it was seen before.
fn judge<P: Audit>(
    context: &Context<P>,
    arena: &Arena<P>,
    steps: &Steps<P>,
    (state, id): (&State, NodeId),
    outcome: &Outcome,
    change: &mut Change,
    seen: &Table,
) -> Result<(), Violation> {
    let concerns_all = outcome.office.is_some() || !outcome.commits.is_empty();
    let disks = outcome.wrote && context.bounds.traitors.is_empty();
    if !concerns_all && !disks {
        return Ok(());
    }
    let mut nodes = state.nodes;
    nodes[id.index()] = outcome.node;
    let scene = Scene { context, steps, id, nodes, asked: change.spent.commands };
    if concerns_all {
        let before = arena.history(state.history);
        let mut history = History::clone(&before);
        scene.judge(outcome, &mut history)?;
        if history != *before {
            change.print = change.print.wrapping_sub(before.print()).wrapping_add(history.print());
            change.history = arena.record(history);
        }
    }
    if disks && !seen.contains(change.print) {
        scene.logs_match()?;
    }
    Ok(())
}

struct Search<'a, P: Audit> {
    context: &'a Context<P>,
    arena: &'a Arena<P>,
    limits: &'a Limits<'a>,
    root: State,
    seen: Table,
    explored: Explored,
    workers: Vec<Worker<P::Timer>>,
}

impl<'a, P: Audit> Search<'a, P> {
    fn new(
        context: &'a Context<P>,
        arena: &'a Arena<P>,
        limits: &'a Limits<'a>,
        root: State,
    ) -> Self {
        let mut seen = Table::new();
        seen.insert(root.print, Link::new(root.print, 0));
        let workers = (0..limits.threads.max(1)).map(|_| Worker::new()).collect();
        let explored = Explored::nothing();
        Self { context, arena, limits, root, seen, explored, workers }
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
        let steps = self.arena.read();
        self.explored.steps = steps.len() as u64;
        self.explored.marks.extend(&steps.marks);
        drop(steps);
        self.explored
    }

    fn is_over(&self) -> bool {
        let full = self.limits.states > 0 && self.seen.len() as u64 >= self.limits.states;
        full || self.explored.found.is_some()
    }

    /// This search's part of the open states, once there are enough to share out.
    fn share(&self, open: &mut Vec<State>) -> Option<Vec<State>> {
        let (which, of) = self.limits.shard?;
        if open.len() < OPEN_PER_SHARD * of as usize {
            return None;
        }
        let mine = |place: &usize| place % of as usize == which as usize;
        let all = std::mem::take(open).into_iter().enumerate();
        Some(all.filter(|(place, _)| mine(place)).map(|(_, state)| state).collect())
    }

    /// Expands all states of one depth; gives those of the next.
    fn level(&mut self, open: Vec<State>, progress: &mut dyn FnMut(Progress)) -> Vec<State> {
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
        next
    }

    fn expand(&mut self, states: &[State]) -> Vec<Part> {
        let (model, seen) = ((self.context, self.arena), &self.seen);
        let prepare = self.limits.prepare;
        if let [worker] = &mut self.workers[..] {
            return vec![worker.expand(model, seen, states)];
        }
        let each = states.len().div_ceil(self.workers.len());
        std::thread::scope(|scope| {
            let work = |(worker, part): (&'_ mut Worker<P::Timer>, &'_ [State])| {
                if let Some(prepare) = prepare {
                    prepare();
                }
                worker.expand(model, seen, part)
            };
            let pairs: Vec<_> = self.workers.iter_mut().zip(states.chunks(each)).collect();
            let spawned: Vec<_> =
                pairs.into_iter().map(|pair| scope.spawn(move || work(pair))).collect();
            let joined = spawned.into_iter().map(|worker| worker.join());
            joined.map(|part| part.expect("a worker catches what its replicas do")).collect()
        })
    }

    /// Enters what is new, in the order of the batch.
    fn enter(&mut self, states: &[State], parts: Vec<Part>, next: &mut Vec<State>) {
        let each = states.len().div_ceil(self.workers.len());
        for (which, part) in parts.into_iter().enumerate() {
            self.explored.transitions += part.transitions;
            for Successor { state, link } in part.successors {
                if self.seen.insert(state.print, link) {
                    self.note(&state);
                    next.push(state);
                }
            }
            if let Some((place, nth, violation)) = part.violation {
                let state = &states[which * each + place];
                let mut path = self.seen.path(self.root.print, state.print);
                path.push(nth);
                let steps = chart::of(self.context, self.arena, &self.root, &path);
                let states = self.seen.len() as u64;
                self.explored.found = Some(Found { violation, states, steps });
                return;
            }
        }
    }

    fn note(&mut self, state: &State) {
        let history = self.arena.history(state.history);
        let decided = history.decided.len() as u64;
        self.explored.decided.0 += u64::from(decided > 0);
        self.explored.decided.1 = self.explored.decided.1.max(decided);
        let leaders = history.leaders.len() as u64;
        self.explored.leaders = self.explored.leaders.max(leaders);
    }
}
