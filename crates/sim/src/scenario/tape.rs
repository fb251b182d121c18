//! Writes down the inputs of every replica of a world, in their order, as steps of a scenario.

use super::step::{Action, Cut, Name, Pick, Proposal, Step};
use crate::shelf::Origin;
use crate::stage::kebab;
use consensus_core::{Command, ConsensusProtocol, Input, MessageKind, NodeId};
use core::time::Duration;

/// What happened in a world so far.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    steps: Vec<Step>,
    /// When what comes next happens, where time decides what a replica does.
    now: Option<Duration>,
    /// The last step is still going on.
    moving: bool,
    /// So many effects of it were carried out.
    effects: u32,
}

impl Tape {
    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    /// From now on each step is told with its moment.
    pub(crate) fn keep_time(&mut self) {
        self.now = Some(Duration::ZERO);
    }

    /// It is so late.
    pub(crate) fn is_now(&mut self, now: Duration) {
        if let Some(moment) = &mut self.now {
            *moment = now;
        }
    }

    fn push(&mut self, action: Action) {
        self.steps.push(Step { at: self.now, ..action.into() });
    }

    fn begin(&mut self, action: Action) {
        self.push(action);
        self.moving = true;
        self.effects = 0;
    }

    /// A replica takes an input; so many of its records are written and not synced. Messages and
    /// restarts are told before, as they may not get so far.
    pub(crate) fn input<P: ConsensusProtocol>(
        &mut self,
        node: NodeId,
        input: &Input<P>,
        unsynced: usize,
    ) {
        let action = match input {
            Input::Start | Input::Drained | Input::Message(_) => return,
            Input::Propose(batch) => {
                let proposal = |command: Command| Proposal::Request {
                    client: command.client,
                    session: command.session,
                    request: command.request,
                    payload: command.payload,
                };
                Action::Propose { node, commands: batch.commands().map(proposal).collect() }
            }
            Input::Timer(timer) => Action::Timeout { node, timer: kebab(timer) },
            Input::Durable(_) => Action::Sync { node, but: unsynced as u32 },
            Input::Campaign => Action::Campaign(node),
            Input::Transfer(to) => Action::Transfer { node, to: *to },
            Input::Change(change) => Action::Change { node, change: change.clone() },
            Input::Read(read) => Action::Read { node, mode: read.mode },
            Input::SnapshotTaken(_) | Input::SnapshotInstalled(_) => return, // By saving it.
        };
        self.begin(action);
    }

    /// A message arrives at a node that runs, be it let in or not.
    pub(crate) fn message(&mut self, from: NodeId, to: NodeId, kind: MessageKind, print: u64) {
        let (kind, pick) = (kind.name.to_owned(), Pick::Print(print));
        let message = Name { kind, from, to, pick };
        self.begin(Action::Deliver { message, keep: true, lie: false });
    }

    /// A node starts again.
    pub(crate) fn restart(&mut self, node: NodeId) {
        self.begin(Action::Restart(node));
    }

    /// A node takes a snapshot of what it has applied.
    pub(crate) fn snapshot(&mut self, node: NodeId) {
        self.push(Action::Snapshot(node));
    }

    /// A snapshot of a node is durable.
    pub(crate) fn save(&mut self, node: NodeId, origin: Origin) {
        self.begin(Action::Save { node, received: origin == Origin::Received });
    }

    /// An effect of the step was carried out.
    pub(crate) fn effect(&mut self) {
        self.effects += 1;
    }

    /// The step is done.
    pub(crate) fn rest(&mut self) {
        self.moving = false;
    }

    /// A node crashes, maybe before it has done all of its step; so many records survive that were
    /// not synced.
    pub(crate) fn crash(&mut self, node: NodeId, keep: usize) {
        let keep = keep as u32;
        match self.steps.last_mut() {
            Some(last) if self.moving && last.action.mover() == node => {
                last.cut = Some(Cut { after: self.effects, keep });
            }
            _ => self.push(Action::Crash { node, keep }),
        }
        self.moving = false;
    }
}
