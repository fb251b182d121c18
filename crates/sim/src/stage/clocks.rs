//! Time on a stage, where it passes: it goes on to the moments that steps name, and never by
//! itself. Each node has a clock, which runs fast or slow.
//!
//! Only leases look at clocks. What they rest on (Raft thesis §6.4.1) must hold here too, or a
//! scenario could break a rule that no cluster breaks: so no timer fires before its time.

use super::{Impossible, Stage, kebab};
use crate::rng::CERTAIN;
use consensus_core::{Audit, NodeId};
use core::time::Duration;

/// Nanoseconds by which two readings of one clock may be off, each being rounded down.
const ROUNDING: Duration = Duration::from_nanos(2);

/// The clocks of all nodes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Clocks {
    /// How fast each runs, in ten thousand of the time that passes.
    pub rates: Vec<u32>,
}

impl Clocks {
    /// All are right.
    pub fn right(nodes: usize) -> Self {
        Self { rates: vec![CERTAIN; nodes] }
    }

    /// Is none of them wrong by more than so many parts in a million?
    pub(super) fn keep(&self, drift: u32) -> bool {
        self.rates.iter().all(|rate| rate.abs_diff(CERTAIN) <= drift / 100)
    }

    fn reads(&self, node: NodeId, now: Duration) -> Duration {
        let rate = u128::from(self.rates[node.index()]);
        let elapsed = now.as_nanos() * rate / u128::from(CERTAIN);
        Duration::from_nanos(u64::try_from(elapsed).unwrap_or(u64::MAX))
    }
}

impl<P: Audit> Stage<P> {
    /// Does time pass here? Otherwise all clocks stand still, and a lease never ends by itself.
    pub fn keeps_time(&self) -> bool {
        self.clocks.is_some()
    }

    /// Time passes until this moment, and nothing else happens.
    ///
    /// # Errors
    /// If no time passes here.
    pub fn wait_until(&mut self, moment: Duration) -> Result<(), Impossible> {
        if !self.keeps_time() {
            return Err(Impossible("no time passes here: there is no line 'clocks'".into()));
        }
        self.now = self.now.max(moment);
        Ok(())
    }

    /// What the clock of a node shows.
    pub(super) fn clock_of(&self, node: NodeId) -> Duration {
        self.clocks.as_ref().map_or(Duration::ZERO, |clocks| clocks.reads(node, self.now))
    }

    /// The node's timer may fire: its shortest delay has passed, by its clock or by the true time.
    /// A lease allows for the drift of both clocks, so that either will do.
    pub(super) fn is_due(&self, node: NodeId, timer: P::Timer) -> Result<(), Impossible> {
        let Some(clocks) = &self.clocks else { return Ok(()) };
        let actor = &self.actors[node.index()];
        let Some((delay, set)) = actor.timers.get(&timer).zip(actor.set_at.get(&timer)) else {
            return Ok(());
        };
        let shown = clocks.reads(node, self.now).saturating_sub(clocks.reads(node, *set));
        let passed = shown.max(self.now.saturating_sub(*set));
        if passed + ROUNDING >= delay.min {
            return Ok(());
        }
        let (name, min) = (kebab(&timer), delay.min);
        let why =
            format!("the timer '{name}' of {node} was set {passed:?} ago, for {min:?} at least");
        Err(Impossible(why))
    }
}
