//! The search: every state, breadth first, so that the first violation has the fewest steps.
//!
//! One level is expanded in batches. Workers look states up in the table of seen states, which
//! nobody changes meanwhile; then one thread enters what is new, in the order of the batch. So
//! counts, order and counterexample are the same with any number of threads.

use crate::arena::Arena;
use crate::bounds::{Bounds, Preset};
use crate::chart;
use crate::context::{BadModel, Context};
use crate::settle::begin;
use crate::state::State;
use crate::table::{Link, Table};
use crate::violation::Violation;
use crate::worker::{Part, Successor, Worker};
use consensus_core::{Audit, Cluster, ConfigError, ProtocolConfig};
use std::collections::BTreeSet;

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
    /// The highest epoch (term, view, ballot) in which a node knew a leader.
    pub epoch: u64,
    /// Pairs of a node's state and something that happens to it.
    pub steps: u64,
    /// Rare things that the protocol said it reached, or that its driver did.
    pub marks: BTreeSet<&'static str>,
    /// Bytes of the table of seen states.
    pub table_bytes: u64,
    /// The most states that waited to be expanded.
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
    explore_with::<P>(bounds, limits, |cluster| settings::<P>(bounds, cluster), progress)
}

/// The same with settings of one's own, instead of the smallest.
///
/// # Errors
/// If there is no such model.
pub fn explore_with<P: Audit>(
    bounds: &Bounds,
    limits: &Limits<'_>,
    configure: impl Fn(&Cluster) -> Result<P::Config, ConfigError>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Explored, BadModel> {
    let context = Context::<P>::new(*bounds, configure)?;
    let arena = Arena::new();
    let root = match begin(&context, &arena) {
        Ok(root) => root,
        Err(violation) => {
            let steps = vec!["the beginning of the model".to_owned()];
            let found = Found { violation, states: 0, steps };
            let mut explored = Explored::nothing();
            explored.found = Some(found);
            return Ok(explored);
        }
    };
    Ok(Search::new(&context, &arena, limits, root).run(progress))
}

/// The settings of a model where nothing else is said: small sizes, and leases where there is a
/// clock for them.
///
/// # Errors
/// If the algorithm cannot run in this cluster.
pub fn settings<P: Audit>(bounds: &Bounds, cluster: &Cluster) -> Result<P::Config, ConfigError> {
    let smallest = P::Config::smallest(cluster)?.timeless();
    if bounds.ticks.is_none() {
        return Ok(smallest);
    }
    Ok(smallest.clone().with_lease(LEASE_DRIFT).unwrap_or(smallest))
}

/// Explores the bounds of a preset in the caller's thread, in search of a planted bug. `None` if
/// none was found within so many states, or if the preset makes no sense for the algorithm.
pub fn hunt<P: Audit>(preset: Preset, budget_states: u64) -> Option<Found> {
    hunt_with::<P>(preset, &[], budget_states)
}

/// The same with named options of the algorithm on.
pub fn hunt_with<P: Audit>(
    preset: Preset,
    variants: &[String],
    budget_states: u64,
) -> Option<Found> {
    let bounds = preset.bounds(&P::INFO)?;
    let limits = Limits { states: budget_states, ..Limits::default() };
    let configure =
        |cluster: &Cluster| settings::<P>(&bounds, cluster)?.with_variants(variants, cluster);
    explore_with::<P>(&bounds, &limits, configure, &mut |_| {}).ok()?.found
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
            epoch: 0,
            steps: 0,
            marks: BTreeSet::new(),
            table_bytes: 0,
            widest: 0,
            found: None,
        }
    }
}

/// Where there is a clock, there are leases. All clocks are one, so the margin for drift is never
/// needed.
const LEASE_DRIFT: u32 = 10_000;

/// States of one batch. The same for any number of threads, as limits are looked at between
/// batches.
const BATCH: usize = 1 << 13;

/// Open states that a search split into parts shares out, for each part.
const OPEN_PER_SHARD: usize = 16;

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
        self.explored.epoch = steps.epoch;
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
        let mut rest = open.into_iter();
        while rest.len() > 0 && !self.is_over() {
            let states: Vec<State> = rest.by_ref().take(BATCH).collect();
            let parts = self.expand(&states);
            self.enter(&states, parts, &mut next);
            let open = (rest.len() + next.len()) as u64;
            self.explored.widest = self.explored.widest.max(open);
            progress(Progress {
                states: self.seen.len() as u64,
                transitions: self.explored.transitions,
                depth: self.explored.depth,
                open,
            });
        }
        // Where the search broke off, something stays open: the model is not closed.
        next.extend(rest.next());
        next
    }

    /// All successors of a batch, on all threads.
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

    /// What of a new state is told in the end.
    fn note(&mut self, state: &State) {
        let history = self.arena.history(state.history);
        let decided = history.decided.len() as u64;
        self.explored.decided.0 += u64::from(decided > 0);
        self.explored.decided.1 = self.explored.decided.1.max(decided);
        let leaders = history.leaders.len() as u64;
        self.explored.leaders = self.explored.leaders.max(leaders);
    }
}
