//! Writes down the inputs of every replica of a world, in their order, as steps of a scenario.

use super::step::{Action, Cut, Name, Pick, Proposal, Step};
use crate::stage::kebab;
use consensus_core::{ConsensusProtocol, Input, MessageKind, NodeId};

/// What happened in a world so far.
#[derive(Debug, Default)]
pub(crate) struct Tape {
    steps: Vec<Step>,
    /// The fuse of the node that moved last, when it began to move.
    fuse: u32,
    burnt: bool,
}

impl Tape {
    pub(crate) fn into_steps(self) -> Vec<Step> {
        self.steps
    }

    fn push(&mut self, action: Action, fuse: Option<u32>) {
        self.steps.push(action.into());
        self.fuse = fuse.unwrap_or(0);
        self.burnt = false;
    }

    /// A replica takes an input. `fuse` is that of its node, `unsynced` counts the records that
    /// are written and not synced.
    pub(crate) fn input<P: ConsensusProtocol>(
        &mut self,
        node: NodeId,
        input: &Input<P>,
        fuse: Option<u32>,
        unsynced: usize,
    ) {
        let action = match input {
            Input::Start | Input::Drained | Input::Message(_) => return,
            Input::Propose(batch) => {
                let proposal = |command: consensus_core::Command| Proposal::Request {
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
        };
        self.push(action, fuse);
    }

    /// A message arrives at a node that runs, be it let in or not.
    pub(crate) fn message(
        &mut self,
        (from, to): (NodeId, NodeId),
        kind: MessageKind,
        print: u64,
        fuse: Option<u32>,
    ) {
        let (kind, pick) = (kind.name.to_owned(), Pick::Print(print));
        let message = Name { kind, from, to, pick };
        self.push(Action::Deliver { message, keep: true, lie: false }, fuse);
    }

    /// A node starts again.
    pub(crate) fn restart(&mut self, node: NodeId, fuse: Option<u32>) {
        self.push(Action::Restart(node), fuse);
    }

    /// The node that moved last crashes before it has done all.
    pub(crate) fn burns_out(&mut self) {
        self.burnt = true;
    }

    /// A node crashes, and so many records survive that were not synced.
    pub(crate) fn crash(&mut self, node: NodeId, keep: usize) {
        let keep = keep as u32;
        match self.steps.last_mut() {
            Some(last) if self.burnt => last.cut = Some(Cut { after: self.fuse, keep }),
            _ => self.steps.push(Action::Crash { node, keep }.into()),
        }
        self.burnt = false;
    }
}
