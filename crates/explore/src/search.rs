//! The search: every state, breadth first, so that the first violation has the fewest steps.
//!
//! One level is expanded in batches. Workers look states up in the table of seen states, which
//! nobody changes meanwhile; then one thread enters what is new, in the order of the batch. So
//! counts, order and counterexample are the same with any number of threads.

use crate::arena::Arena;
use crate::bounds::{Bounds, Preset};
use crate::chart;
use crate::context::{BadModel, Context};
use crate::saved::{Saved, states_of};
use crate::settle::begin;
use crate::state::State;
use crate::table::{Link, Table};
use crate::violation::Violation;
use crate::work::MARKS;
use crate::worker::{Part, Successor, Worker};
use consensus_core::{Audit, Cluster, ConfigError, ProtocolConfig};
use std::collections::{BTreeSet, VecDeque};

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

/// Looks on while a search is under way.
pub trait Watch {
    /// How far it is.
    fn progress(&mut self, now: Progress);

    /// Called between two batches, and once at the end (`last`) unless a rule was broken. Whoever
    /// wants to go on from here later calls `save`, which copies all that is known.
    fn pause(&mut self, last: bool, save: &mut dyn FnMut() -> Saved) {
        let _ = (last, save);
    }
}

impl<F: FnMut(Progress)> Watch for F {
    fn progress(&mut self, now: Progress) {
        self(now);
    }
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
    /// Ways of naming the nodes between which states were not told apart; 1 if all were.
    pub names: usize,
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
    mut progress: &mut dyn FnMut(Progress),
) -> Result<Explored, BadModel> {
    explore_on::<P>(bounds, limits, configure, None, &mut progress)
}

/// The same, from where an earlier search of this very model was, if there is one: it comes to the
/// same result as without the pause, but for `steps`, which are those of this search alone.
///
/// # Errors
/// If there is no such model, or if it is not the one of the earlier search.
pub fn explore_on<P: Audit>(
    bounds: &Bounds,
    limits: &Limits<'_>,
    configure: impl Fn(&Cluster) -> Result<P::Config, ConfigError>,
    saved: Option<Saved>,
    watch: &mut dyn Watch,
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
    let mut search = Search::new(&context, &arena, limits, root);
    match saved {
        None => search.begin(),
        Some(saved) => search.go_on(saved)?,
    }
    Ok(search.run(watch))
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
            names: 1,
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
    /// States of this depth that are not expanded, in order; and the new ones of the next depth.
    open: VecDeque<State>,
    next: Vec<State>,
    /// It has taken its part of the model, or all is its part.
    sharded: bool,
}

impl<'a, P: Audit> Search<'a, P> {
    fn new(
        context: &'a Context<P>,
        arena: &'a Arena<P>,
        limits: &'a Limits<'a>,
        root: State,
    ) -> Self {
        let workers = (0..limits.threads.max(1)).map(|_| Worker::new()).collect();
        let (explored, sharded) = (Explored::nothing(), limits.shard.is_none());
        let (open, next) = (VecDeque::new(), Vec::new());
        let seen = Table::new();
        Self { context, arena, limits, root, seen, explored, workers, open, next, sharded }
    }

    /// From the beginning of the model.
    fn begin(&mut self) {
        self.seen.insert(self.root.print(), Link::new(self.root.print(), 0));
        self.open.push_back(self.root.clone());
        self.note(&self.root.clone());
    }

    /// From where an earlier search was.
    fn go_on(&mut self, saved: Saved) -> Result<(), BadModel> {
        let foreign = |_| BadModel("what was saved is of another model, or of other code".into());
        if saved.root != self.root.print() {
            return Err(foreign(()));
        }
        for (print, link) in &saved.seen {
            self.seen.insert(*print, *link);
        }
        let lists = (&saved.open[..], &saved.next[..]);
        let model = (self.context, self.arena);
        let (open, next) = states_of(model, &self.root, &self.seen, lists, saved.depth)
            .map_err(|_| foreign(()))?;
        (self.open, self.next, self.sharded) = (open.into(), next, saved.sharded);
        let known = P::MARKS.iter().chain(MARKS);
        let Saved { depth, transitions, decided, leaders, epoch, widest, .. } = saved;
        self.explored = Explored {
            marks: known.filter(|mark| saved.marks.contains(**mark)).copied().collect(),
            depth,
            transitions,
            decided,
            leaders,
            epoch,
            widest,
            ..Explored::nothing()
        };
        Ok(())
    }

    /// All that is known, for a search that goes on from here.
    fn save(&self) -> Saved {
        let steps = self.arena.read();
        let marks = steps.marks.iter().chain(&self.explored.marks);
        let prints = State::print;
        Saved {
            root: self.root.print(),
            depth: self.explored.depth,
            transitions: self.explored.transitions,
            decided: self.explored.decided,
            leaders: self.explored.leaders,
            epoch: self.explored.epoch.max(steps.epoch),
            widest: self.explored.widest,
            marks: marks.map(|mark| (*mark).to_owned()).collect(),
            sharded: self.sharded,
            seen: self.seen.iter().collect(),
            open: self.open.iter().map(prints).collect(),
            next: self.next.iter().map(prints).collect(),
        }
    }

    fn run(mut self, watch: &mut dyn Watch) -> Explored {
        loop {
            // Where an earlier search broke off, a level is finished first.
            self.level(watch);
            if self.is_over() || !self.open.is_empty() || self.next.is_empty() {
                break;
            }
            self.explored.depth += 1;
            self.open = std::mem::take(&mut self.next).into();
            self.share();
            if self.is_deep() {
                break;
            }
        }
        self.explored.closed =
            self.open.is_empty() && self.next.is_empty() && self.explored.found.is_none();
        if self.explored.found.is_none() {
            watch.pause(true, &mut || self.save());
        }
        self.explored.depth += u32::from(!self.next.is_empty());
        self.explored.states = self.seen.len() as u64;
        self.explored.names = self.context.symmetry.ways().len();
        self.explored.table_bytes = self.seen.bytes() as u64;
        let steps = self.arena.read();
        self.explored.steps = steps.len() as u64;
        self.explored.epoch = self.explored.epoch.max(steps.epoch);
        self.explored.marks.extend(&steps.marks);
        drop(steps);
        self.explored
    }

    /// Is it as deep as it may go?
    fn is_deep(&self) -> bool {
        self.context.bounds.depth.is_some_and(|depth| self.explored.depth >= depth)
    }

    fn is_over(&self) -> bool {
        let full = self.limits.states > 0 && self.seen.len() as u64 >= self.limits.states;
        full || self.explored.found.is_some()
    }

    /// Keeps this search's part of the open states only, once there are enough to share out.
    fn share(&mut self) {
        let Some((which, of)) = self.limits.shard.filter(|_| !self.sharded) else { return };
        if self.open.len() >= OPEN_PER_SHARD * of as usize {
            let all = std::mem::take(&mut self.open).into_iter().enumerate();
            let mine = all.filter(|(place, _)| place % of as usize == which as usize);
            self.open = mine.map(|(_, state)| state).collect();
            self.sharded = true;
        }
    }

    /// Expands all open states.
    fn level(&mut self, watch: &mut dyn Watch) {
        while !self.open.is_empty() && !self.is_over() && !self.is_deep() {
            let batch = self.open.len().min(BATCH);
            let states: Vec<State> = self.open.drain(..batch).collect();
            let parts = self.expand(&states);
            self.enter(&states, parts);
            let open = (self.open.len() + self.next.len()) as u64;
            self.explored.widest = self.explored.widest.max(open);
            watch.progress(Progress {
                states: self.seen.len() as u64,
                transitions: self.explored.transitions,
                depth: self.explored.depth,
                open,
            });
            if self.explored.found.is_none() {
                watch.pause(false, &mut || self.save());
            }
        }
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
    fn enter(&mut self, states: &[State], parts: Vec<Part>) {
        let each = states.len().div_ceil(self.workers.len());
        for (which, part) in parts.into_iter().enumerate() {
            self.explored.transitions += part.transitions;
            for Successor { state, link } in part.successors {
                if self.seen.insert(state.print(), link) {
                    self.note(&state);
                    self.next.push(state);
                }
            }
            if let Some((place, nth, violation)) = part.violation {
                let state = &states[which * each + place];
                let mut path = self.seen.path(self.root.print(), state.print());
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
        let history = self.arena.history(state.history).0;
        let decided = history.decided.len() as u64;
        self.explored.decided.0 += u64::from(decided > 0);
        self.explored.decided.1 = self.explored.decided.1.max(decided);
        let leaders = history.leaders.len() as u64;
        self.explored.leaders = self.explored.leaders.max(leaders);
    }
}
