//! A leader that was cut off with commands of its own comes back when nobody asks for anything any
//! more. What its log has too much is no longer pushed out by the next write: the cluster must be
//! of one mind by itself (O13 without traffic, see `rest.rs`).

use super::Run;
use crate::rng::Rng;
use consensus_core::{Audit, FaultModel, NodeId};
use core::time::Duration;

/// So many of ten thousand runs look at this.
const SHARE: u32 = 3_000;

impl<P: Audit> Run<'_, P> {
    /// Leaves links and nodes as they were before.
    pub(super) fn come_home_to_silence(&mut self) {
        let mut rng = Rng::for_purpose(self.seed, 21);
        let byzantine = P::INFO.faults == FaultModel::Byzantine;
        if byzantine || self.world.violation().is_some() || !rng.chance(SHARE) {
            return;
        }
        self.world.retire_clients();
        self.world.retire_readers();
        let members = self.able_members();
        let Some(gone) = self.world.leader().filter(|leader| members.contains(*leader)) else {
            return;
        };
        self.world.fault("leader comes home to silence");
        self.world.isolate(gone);
        let many = rng.between(1, 60);
        self.feed(&mut rng, gone, many);
        let other = |leader: Option<NodeId>| leader.filter(|leader| *leader != gone);
        // Without it there may be no quorum; then it finds all as it left it.
        let patience = self.world.now() + self.options.timing.election_max * 6;
        self.advance(patience, |world| other(world.leader()).is_some());
        if let Some(leader) = other(self.world.leader()) {
            let few = rng.between(0, 3);
            self.feed(&mut rng, leader, few);
            let time = rng.time(Duration::from_millis(5), self.options.timing.election_max * 2);
            self.advance(self.world.now() + time, |_| false);
            if self.options.operators.snapshots.is_some() {
                for node in members.without(gone).iter().filter(|_| rng.chance(7_000)) {
                    self.world.take_snapshot(node);
                }
                self.advance(self.world.now() + time, |_| false);
            }
        }
        self.world.heal_all();
    }

    fn feed(&mut self, rng: &mut Rng, node: NodeId, commands: u64) {
        for _ in 0..commands {
            let payload = rng.next_u64().to_le_bytes();
            drop(self.world.submit(node, payload.to_vec()));
        }
    }
}
