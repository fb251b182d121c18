//! Crowds: clients that come for one command, so that the service has more of them than it keeps
//! sessions for, and drops those that were not used for longest (Raft thesis §6.3). All replicas
//! must drop the same ones, and a snapshot must bring the table as it is.

use super::{Run, operation};
use crate::rng::Rng;
use consensus_core::{Audit, Patience};

impl<P: Audit> Run<'_, P> {
    /// As many clients as there is room for sessions, beside the others.
    pub(crate) fn add_crowd(&mut self) {
        let Some(sessions) = self.options.sessions else { return };
        for _ in 0..sessions {
            let nodes: Vec<_> = self.world.cluster().voters.iter().collect();
            let mut rng = Rng::new(self.rng.next_u64());
            let (target, registers) = (rng.pick(&nodes), self.options.registers);
            self.world.add_client(target, Patience::default(), move |nth| {
                (nth == 0).then(|| (operation(&mut rng, registers).encode(), None))
            });
        }
    }
}
