//! A counterexample as text: one line for what happens, and under it what the node does.

use crate::arena::{Arena, Steps};
use crate::bounds::TICK;
use crate::context::Context;
use crate::node::{Outcome, Stimulus, happen};
use crate::rounds::{self, Moves};
use crate::state::{Action, State};
use crate::worker::{Step, advance};
use consensus_core::{Audit, NodeId, NodeSet};
use std::sync::Arc;

/// The steps of the path that these actions make.
pub(crate) fn of<P: Audit>(
    context: &Context<P>,
    arena: &Arena<P>,
    root: &State,
    path: &[usize],
) -> Vec<String> {
    let mut lines = Vec::new();
    let mut state = root.clone();
    let (mut actions, mut news) = (Vec::new(), Vec::new());
    for (step, nth) in path.iter().enumerate() {
        let steps = arena.read();
        state.actions(context, &steps, &mut actions);
        let action = actions[*nth];
        let mut text = format!("{:>3}  {}", step + 1, title(context, &steps, &state, action));
        if let Action::Round(weather) = action {
            drop(steps);
            let watch = &mut |steps: &Steps<P>, now: &State, moves| {
                text.push_str(&told(context, steps, now, moves));
            };
            let played = rounds::play(context, arena, (&state, weather), watch);
            lines.push(text);
            let Ok(next) = played else { break };
            state = next;
            continue;
        }
        if action != Action::Tick {
            let (id, _) = state.cause(&steps, action);
            let before = &steps.nodes[state.nodes[id.index()] as usize];
            let stimulus = state.stimulus(context, &steps, action);
            let outcome = happen(context, (id, state.spent.ticks), Some(before), &stimulus);
            text.push_str(&outcome.map_or_else(|_| String::new(), |outcome| doings(&outcome)));
        }
        drop(steps);
        lines.push(text);
        let next = advance((context, arena), &state, action, &|_| false, &mut news);
        let Ok(Step::To(next)) = next else { break };
        state = next;
    }
    lines
}

fn title<P: Audit>(
    context: &Context<P>,
    steps: &Steps<P>,
    state: &State,
    action: Action<P::Timer>,
) -> String {
    let local = |id: NodeId| &steps.nodes[state.nodes[id.index()] as usize].local;
    match action {
        Action::Deliver { place, again: _ } => {
            let packet = &steps.packets[state.network[place] as usize];
            let (to, from) = (packet.to, packet.said.sender());
            format!("{to} ← {from}  {:?}", packet.said.message())
        }
        Action::Sync(id) => {
            let record = local(id).disk.written();
            format!("{id} syncs its disk, up to record {record}")
        }
        Action::Fire(id, timer) => format!("{id} timer {timer:?} fires"),
        Action::Campaign(id) => format!("{id} is asked to lead"),
        Action::Propose(id) => {
            let batch = &context.commands[usize::from(state.spent.commands)];
            format!("{id} gets a client's command: {batch:?}")
        }
        Action::Crash(id, kept, file) => {
            let disk = &local(id).disk;
            let lost = disk.pending.len() - kept;
            let file = match (&disk.writing, file) {
                (None, _) => "",
                (Some(_), true) => ", has its new snapshot",
                (Some(_), false) => ", loses its new snapshot",
            };
            format!(
                "{id} crashes, loses {lost} records that were not synced{file}, and starts again"
            )
        }
        Action::Transfer(id, to) => format!("{id} is asked to hand over to {to}"),
        Action::Change(id, wish) => format!("{id} is asked for other members: {wish}"),
        Action::Read(id) => format!("{id} gets a client's read, when {} is decided", state.upto),
        Action::Snapshot(id) => format!("{id} takes a snapshot"),
        Action::Keep(id) => format!("{id} has its snapshot on its disk"),
        Action::Tick => format!("time passes: {:?}", TICK),
        Action::Round(weather) => format!("a round; {weather:?}"),
    }
}

/// One move of a round.
fn told<P: Audit>(context: &Context<P>, steps: &Steps<P>, now: &State, moves: Moves) -> String {
    let packet = |packet: u32| {
        let packet = &steps.packets[packet as usize];
        let line = format!("{} ← {}  {:?}", packet.to, packet.said.sender(), packet.said.message());
        (packet.to, Stimulus::Take(Arc::clone(&packet.said)), line)
    };
    let (id, stimulus, line) = match moves {
        Moves::Sync(id) => (id, Stimulus::Sync, format!("{id} syncs its disk")),
        Moves::Take(which) => packet(which),
        Moves::Lose(which) => return format!("\n     lost: {}", packet(which).2),
    };
    let before = &steps.nodes[now.nodes[id.index()] as usize];
    let outcome = happen(context, (id, now.spent.ticks), Some(before), &stimulus);
    format!("\n     {line}{}", outcome.map_or_else(|_| String::new(), |outcome| doings(&outcome)))
}

fn doings<P: Audit>(outcome: &Outcome<P>) -> String {
    let mut text = String::new();
    let mut add = |line: String| {
        text.push_str("\n       ");
        text.push_str(&line);
    };
    for write in &outcome.writes {
        add(format!("writes {write:?}"));
    }
    if let Some(epoch) = outcome.office {
        add(format!("leads in epoch {epoch}"));
    }
    let mut sent = outcome.sent.iter().peekable();
    while let Some(first) = sent.next() {
        let mut to = NodeSet::only(first.to);
        while let Some(same) = sent.next_if(|packet| packet.said == first.said) {
            to.insert(same.to);
        }
        add(format!("sends to {to:?}  {:?}", first.said.message()));
    }
    if let Some(snapshot) = &outcome.snapshot {
        add(format!("has the snapshot {:?}", snapshot.meta));
    }
    for commit in &outcome.commits {
        add(format!("commits index {} = {:?}", commit.index, commit.batch));
    }
    text
}
