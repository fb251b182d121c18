//! What one thread does: finds the successors of its share of states.

use crate::arena::{Arena, Cause, Outcome, Steps};
use crate::context::Context;
use crate::node::{Stimulus, happen};
use crate::oracle::Scene;
use crate::rounds;
use crate::state::{Action, Change, History, State};
use crate::table::{Link, Table};
use crate::violation::Violation;
use consensus_core::{Audit, NodeId};
use std::sync::Arc;

/// A successor that was not seen before its batch.
pub(crate) struct Successor {
    pub(crate) state: State,
    pub(crate) link: Link,
}

/// What a worker found out about its part of a batch.
#[derive(Default)]
pub(crate) struct Part {
    pub(crate) successors: Vec<Successor>,
    pub(crate) transitions: u64,
    /// The first violation: the place of the state in the part, the action, the rule.
    pub(crate) violation: Option<(usize, usize, Violation)>,
}

/// What a worker keeps from state to state, to save memory from being asked for anew.
pub(crate) struct Worker<T> {
    actions: Vec<Action<T>>,
    news: Vec<u32>,
}

impl<T: Copy> Worker<T> {
    pub(crate) fn new() -> Self {
        Self { actions: Vec::new(), news: Vec::new() }
    }

    /// All successors of these states that were not seen.
    pub(crate) fn expand<P: Audit<Timer = T>>(
        &mut self,
        (context, arena): (&Context<P>, &Arena<P>),
        seen: &Table,
        states: &[State],
    ) -> Part {
        let mut part = Part::default();
        for (place, state) in states.iter().enumerate() {
            state.actions(context, &arena.read(), &mut self.actions);
            for nth in 0..self.actions.len() {
                let follow = self.follow((context, arena), seen, state, nth, &mut part);
                if let Err(violation) = follow {
                    part.violation = Some((place, nth, violation));
                    return part;
                }
            }
        }
        part
    }

    /// Follows one action of a state.
    fn follow<P: Audit<Timer = T>>(
        &mut self,
        (context, arena): (&Context<P>, &Arena<P>),
        seen: &Table,
        state: &State,
        nth: usize,
        part: &mut Part,
    ) -> Result<(), Violation> {
        let is_seen = |print| seen.contains(print);
        let (model, action) = ((context, arena), self.actions[nth]);
        match advance(model, state, action, &is_seen, &mut self.news)? {
            Step::Nothing => {}
            Step::Seen => part.transitions += 1,
            Step::To(next) => {
                part.transitions += 1;
                let link = Link::new(state.print(), nth);
                part.successors.push(Successor { state: next, link });
            }
        }
        Ok(())
    }
}

/// Where an action leads.
pub(crate) enum Step {
    /// It has no effect.
    Nothing,
    /// To a state that was seen.
    Seen,
    /// There.
    To(State),
}

/// Does an action, and judges what it does. `news` is room to work in.
pub(crate) fn advance<P: Audit>(
    (context, arena): (&Context<P>, &Arena<P>),
    state: &State,
    action: Action<P::Timer>,
    is_seen: &dyn Fn(u128) -> bool,
    news: &mut Vec<u32>,
) -> Result<Step, Violation> {
    if let Action::Tick = action {
        let later = state.later();
        return Ok(if is_seen(later.print()) { Step::Seen } else { Step::To(later) });
    }
    if let Action::Round(weather) = action {
        let next = rounds::play(context, arena, (state, weather), &mut |_, _, _| {})?;
        return Ok(if is_seen(next.print()) { Step::Seen } else { Step::To(next) });
    }
    let mut steps = arena.read();
    let (id, cause) = state.cause(&steps, action);
    if steps.outcome(cause).is_none() {
        let stimulus = state.stimulus(context, &steps, action);
        drop(steps);
        let node = state.nodes[id.index()];
        work_out(context, arena, (id, state.spent.ticks), (node, cause), &stimulus);
        steps = arena.read();
    }
    let outcome = match steps.outcome(cause).expect("it was just worked out") {
        Ok(outcome) => outcome,
        // A traitor may break all its rules, and stops when it does.
        Err(_) if !context.is_correct(id) => return Ok(Step::Nothing),
        Err(violation) => return Err(violation.clone()),
    };
    let change = state.change(context, &steps, (action, id), outcome, news);
    let Some(mut change) = change else { return Ok(Step::Nothing) };
    judge(context, arena, &steps, (state, id), outcome, &mut change, is_seen)?;
    if is_seen(change.prints.least()) {
        return Ok(Step::Seen);
    }
    Ok(Step::To(state.changed(&steps, &change, (id, outcome.node), news)))
}

/// Runs the protocol's code, once for each node and what happens to it.
pub(crate) fn work_out<P: Audit>(
    context: &Context<P>,
    arena: &Arena<P>,
    (id, ticks): (NodeId, u8),
    (node, cause): (u32, Cause),
    stimulus: &Stimulus<P>,
) {
    let before = Arc::clone(&arena.read().nodes[node as usize]);
    let result = happen(context, (id, ticks), Some(&before), stimulus);
    arena.write().learn(cause, result);
}

/// All rules that take more than one node to judge. Some are about the state only, and need not be
/// judged again where it was seen before.
pub(crate) fn judge<P: Audit>(
    context: &Context<P>,
    arena: &Arena<P>,
    steps: &Steps<P>,
    (state, id): (&State, NodeId),
    outcome: &Outcome,
    change: &mut Change,
    is_seen: &dyn Fn(u128) -> bool,
) -> Result<(), Violation> {
    let concerns_all =
        outcome.office.is_some() || !outcome.commits.is_empty() || outcome.snapshot.is_some();
    let disks = outcome.wrote && context.bounds.traitors.is_empty();
    if !concerns_all && !disks {
        return Ok(());
    }
    let mut nodes = state.nodes;
    nodes[id.index()] = outcome.node;
    let scene = Scene { context, steps, id, nodes, spent: change.spent };
    if concerns_all {
        let (before, prints) = arena.history(state.history);
        let mut history = History::clone(&before);
        scene.judge(outcome, &mut history)?;
        if history != *before {
            change.upto = history.upto();
            let (number, now) = arena.record(&context.symmetry, history);
            change.history = number;
            change.prints = change.prints.without(&prints).with(&now);
        }
    }
    if disks && !is_seen(change.prints.least()) {
        scene.logs_match()?;
    }
    Ok(())
}
