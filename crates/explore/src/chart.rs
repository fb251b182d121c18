//! A counterexample as text: one line for what happens, and under it what the node does.

use crate::context::Context;
use crate::node::Outcome;
use crate::search::replay;
use crate::state::{Action, State};
use consensus_core::{Audit, NodeId, NodeSet};

/// The steps of the path that these actions make.
pub(crate) fn of<P: Audit>(context: &Context<P>, root: &State<P>, path: &[usize]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut state = root.clone();
    let mut actions = Vec::new();
    for (step, nth) in path.iter().enumerate() {
        state.actions(context, &mut actions);
        let action = actions[*nth];
        let mut text = format!("{:>3}  {}", step + 1, title(context, &state, action));
        let (id, outcome) = replay(context, &state, action);
        match outcome {
            Ok((outcome, next)) => {
                text.push_str(&doings(&state, id, &outcome));
                lines.push(text);
                let Some(next) = next else { break };
                state = next;
            }
            Err(_) => lines.push(text),
        }
    }
    lines
}

fn title<P: Audit>(context: &Context<P>, state: &State<P>, action: Action<P::Timer>) -> String {
    match action {
        Action::Deliver { place, again: _ } => {
            let packet = &state.network[place];
            let (to, from) = (packet.to, packet.said.sender());
            format!("{to} ← {from}  {:?}", packet.said.message())
        }
        Action::Sync(id) => {
            let records = state.nodes[id.index()].local.records.len();
            format!("{id} syncs its disk, up to record {records}")
        }
        Action::Fire(id, timer) => format!("{id} timer {timer:?} fires"),
        Action::Campaign(id) => format!("{id} is asked to lead"),
        Action::Propose(id) => {
            let batch = &context.commands[usize::from(state.spent.commands)];
            format!("{id} gets a client's command: {batch:?}")
        }
        Action::Crash(id, kept) => {
            let lost = state.nodes[id.index()].local.records.len() - kept;
            format!("{id} crashes, loses {lost} records that were not synced, and starts again")
        }
    }
}

fn doings<P: Audit>(state: &State<P>, id: NodeId, outcome: &Outcome<P>) -> String {
    let mut text = String::new();
    let mut add = |line: String| {
        text.push_str("\n       ");
        text.push_str(&line);
    };
    let before = &state.nodes[id.index()].local;
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
