//! Where a search begins: all nodes have started; or, so that no steps are spent on an election
//! that is the same in every behaviour, one of them leads and all that it said has arrived.

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
    walk.settle()?;
    // Where there are leases a wish is not enough: somebody must have heard no leader for long.
    let mut left = MOST_MESSAGES;
    while walk.leader().is_none() {
        left -= 1;
        let Some(action) = walk.due_timer().filter(|_| left > 0) else {
            let detail = "no leader although all timers fired".to_owned();
            return Err(Violation::new("O13", "a first election", None, detail));
        };
        walk.take(action)?;
        walk.settle()?;
    }
    if let Some(leader) = walk.leader().filter(|_| context.bounds.ticks.is_some()) {
        // Somebody has read there: the leader has a lease.
        walk.take(Action::Read(leader))?;
        walk.settle()?;
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

    /// Until nothing is under way.
    fn settle(&mut self) -> Result<(), Violation> {
        for _ in 0..MOST_MESSAGES {
            match self.quietest() {
                Some(action) => self.take(action)?,
                None => return Ok(()),
            }
        }
        let detail = format!("no rest after {MOST_MESSAGES} messages of a first election");
        Err(Violation::new("O14", "an election ends", None, detail))
    }

    fn leader(&self) -> Option<NodeId> {
        let steps = self.arena.read();
        let leads = |id: &NodeId| {
            steps.nodes[self.state.nodes[id.index()] as usize].local.replica.leads().is_some()
        };
        self.context.cluster.nodes().iter().find(leads)
    }

    /// A timer of a voter that may fire.
    fn due_timer(&self) -> Option<Action<P::Timer>> {
        let steps = self.arena.read();
        let ticks = self.state.spent.ticks;
        self.context.cluster.voters.iter().find_map(|id| {
            let timers = &steps.nodes[self.state.nodes[id.index()] as usize].local.timers;
            let due = timers.iter().find(|(_, after)| **after <= ticks);
            due.map(|(timer, _)| Action::Fire(id, *timer))
        })
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
