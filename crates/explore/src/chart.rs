//! A counterexample as text: one line for what happens, and under it what the node does.

use crate::arena::{Arena, Steps};
use crate::context::Context;
use crate::node::{Local, Outcome, happen};
use crate::state::{Action, State};
use consensus_core::{Audit, NodeId, NodeSet};

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
        let (id, cause) = state.cause(&steps, action);
        let before = &steps.nodes[state.nodes[id.index()] as usize];
        let outcome = happen(context, id, Some(before), &state.stimulus(context, &steps, action));
        if let Ok(outcome) = outcome {
            text.push_str(&doings(&before.local, &outcome));
        }
        lines.push(text);
        let Some(Ok(outcome)) = steps.outcome(cause) else { break };
        let change = state.change(context, &steps, (action, id), outcome, &mut news);
        let Some(change) = change else { break };
        // Which history the next state has does not matter for what nodes do.
        state = state.changed(&steps, &change, (id, outcome.node), &news);
    }
    lines
}

fn title<P: Audit>(
    context: &Context<P>,
    steps: &Steps<P>,
    state: &State,
    action: Action<P::Timer>,
) -> String {
    let disk = |id: NodeId| &steps.nodes[state.nodes[id.index()] as usize].local.records;
    match action {
        Action::Deliver { place, again: _ } => {
            let packet = &steps.packets[state.network[place] as usize];
            let (to, from) = (packet.to, packet.said.sender());
            format!("{to} ← {from}  {:?}", packet.said.message())
        }
        Action::Sync(id) => {
            let records = disk(id).len();
            format!("{id} syncs its disk, up to record {records}")
        }
        Action::Fire(id, timer) => format!("{id} timer {timer:?} fires"),
        Action::Campaign(id) => format!("{id} is asked to lead"),
        Action::Propose(id) => {
            let batch = &context.commands[usize::from(state.spent.commands)];
            format!("{id} gets a client's command: {batch:?}")
        }
        Action::Crash(id, kept) => {
            let lost = disk(id).len() - kept;
            format!("{id} crashes, loses {lost} records that were not synced, and starts again")
        }
    }
}

fn doings<P: Audit>(before: &Local<P>, outcome: &Outcome<P>) -> String {
    let mut text = String::new();
    let mut add = |line: String| {
        text.push_str("\n       ");
        text.push_str(&line);
    };
    let now = &outcome.node.local;
    if now.life == before.life {
        for record in &now.records[before.records.len()..] {
            add(format!("writes {record:?}"));
        }
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
    for commit in &outcome.commits {
        add(format!("commits index {} = {:?}", commit.index, commit.batch));
    }
    text
}
