//! A healed core of which one node alone has all its links. It reaches a quorum both ways, so it
//! must be able to lead, whatever the faults before left in the logs (Ng, Haridi and Carbone,
//! Omni-Paxos, 2023, §2: quorum-loss, constrained election, chained).

use super::Run;
use consensus_core::{Audit, FaultModel, Membership, NodeId, NodeSet};

/// So many of ten thousand runs look at this.
const SHARE: u32 = 4_000;

/// The setting by which a server that lags waits until one that does not has won.
const WAITS: &str = "candidates=wait";

impl<P: Audit> Run<'_, P> {
    /// O13 over fewer links: fresh clients get their answers. Nobody has to catch up: who leads
    /// need not reach all. The core has all its links again afterwards.
    pub(super) fn demand_of_hub(&mut self, core: NodeSet) {
        let byzantine = P::INFO.faults == FaultModel::Byzantine;
        if byzantine || core.len() < 3 || !self.rng.chance(SHARE) || self.is_to_wait() {
            return;
        }
        let Some(hub) = self.hub_of(core) else { return };
        self.world.fault("all links to one node only");
        for from in core.without(hub).iter() {
            for to in core.without(hub).without(from).iter() {
                if self.rng.chance(7_000) {
                    self.world.cut(from, to);
                }
            }
        }
        self.demand_answers(core, "healed links of one node");
        self.world.heal_among(core);
    }

    fn is_to_wait(&self) -> bool {
        self.options.variants.iter().any(|name| name == WAITS)
    }

    /// Somebody who may lead, by whatever members may be in force.
    fn hub_of(&mut self, core: NodeSet) -> Option<NodeId> {
        let voters = self.world.in_force(core).map(|it: &Membership| it.voters);
        let kept = self.options.core_includes.and(core);
        let able = voters.fold(if kept.is_empty() { core } else { kept }, NodeSet::and);
        let able: Vec<NodeId> = able.iter().collect();
        (!able.is_empty()).then(|| self.rng.pick(&able))
    }
}
