//! Where a search begins: all nodes have started; or, so that no steps are spent on an election
//! that is the same in every behaviour, node 0 leads and all that it said has arrived.

use crate::arena::Arena;
use crate::context::Context;
use crate::state::{Action, State};
use crate::violation::Violation;
use crate::worker::{Step, advance};
use consensus_core::{Audit, NodeId};

/// Messages after which an election has not come to an end.
const MOST_MESSAGES: usize = 1_000;

/// The first state.
pub(crate) fn begin<P: Audit>(context: &Context<P>, arena: &Arena<P>) -> Result<State, Violation> {
    let mut started = State::initial(context, arena)?;
    if context.bounds.ticks.is_some() {
        // Who has just started may have promised something in an earlier life.
        started = started.later();
    }
    let spent = started.spent;
    if !context.bounds.led {
        return Ok(started);
    }
    let mut walk = Walk { context, arena, state: started, news: Vec::new() };
    walk.take(Action::Campaign(NodeId(0)))?;
    let mut left = MOST_MESSAGES;
    while let Some(action) = walk.quietest() {
        walk.take(action)?;
        left -= 1;
        if left == 0 {
            let detail = format!("no rest after {MOST_MESSAGES} messages of a first election");
            return Err(Violation::new("O14", "an election ends", None, detail));
        }
    }
    // The beginning is free.
    Ok(walk.state.with_spent(spent))
}

struct Walk<'a, P: Audit> {
    context: &'a Context<P>,
    arena: &'a Arena<P>,
    state: State,
    news: Vec<u32>,
}

impl<P: Audit> Walk<'_, P> {
    fn take(&mut self, action: Action<P::Timer>) -> Result<(), Violation> {
        let model = (self.context, self.arena);
        match advance(model, &self.state, action, &|_| false, &mut self.news)? {
            Step::To(next) => self.state = next,
            Step::Nothing | Step::Seen => {
                if let Action::Deliver { place, .. } = action {
                    self.state = self.state.without(&self.arena.read(), place);
                }
            }
        }
        Ok(())
    }

    /// What brings rest: disks first, then messages.
    fn quietest(&self) -> Option<Action<P::Timer>> {
        let steps = self.arena.read();
        let wants = |id: &NodeId| steps.nodes[self.state.nodes[id.index()] as usize].wants_sync();
        if let Some(id) = self.context.cluster.nodes().iter().find(wants) {
            return Some(Action::Sync(id));
        }
        let waits = !self.state.network.is_empty();
        waits.then_some(Action::Deliver { place: 0, again: false })
    }
}
