//! What a healed cluster owes that is asked for little: no election at all. Its leader is heard in
//! time and its disk keeps up, so whoever stands for election does so without need (O14).

use super::Run;
use crate::check::operation;
use crate::options::Options;
use crate::report::Finding;
use crate::rng::Rng;
use consensus_core::{Audit, NodeId, Patience};
use core::time::Duration;

/// So many longest election timeouts long.
const WATCHED: u32 = 8;

/// Commands in that time.
const COMMANDS: u32 = 24;

impl<P: Audit> Run<'_, P> {
    /// O14: a command now and then costs no leader its office.
    pub(super) fn calm(&mut self) {
        let over = self.world.violation().is_some() || !self.world.traitors().is_empty();
        if over || !is_quick(self.options) {
            return;
        }
        let Some(leader) = self.world.leader() else { return };
        let before = self.world.status(leader).map(|status| status.epoch);
        let window = self.options.timing.election_max * WATCHED;
        self.ask_now_and_then(leader, window);
        self.advance(self.world.now() + window, |_| false);
        let now = self.world.status(leader).map(|status| status.epoch);
        if (self.world.leader(), now) != (Some(leader), before) && self.world.violation().is_none()
        {
            let next = self.world.leader();
            let detail = format!(
                "{leader} led in epoch {before:?} with hardly anything to do; now {next:?} leads, \
                 and {leader} is in epoch {now:?}"
            );
            self.world.fail(None, Finding::new("O14", "no election in a calm", detail));
        }
    }

    fn ask_now_and_then(&mut self, node: NodeId, window: Duration) {
        let (mut rng, mut due) = (Rng::new(self.rng.next_u64()), self.world.now());
        self.world.add_client(node, Patience::default(), move |nth| {
            due += rng.time(Duration::ZERO, window * 2 / COMMANDS);
            (nth < u64::from(COMMANDS)).then(|| (operation(&mut rng, 1).encode(), Some(due)))
        });
    }
}

/// Do a heartbeat and its answer, with a sync at either end, come well within the shortest election
/// timeout, whatever is drawn and however wrong clocks are?
fn is_quick(options: &Options) -> bool {
    let latency = options.faults.network.latency.longest();
    let takes = latency * 2 + options.faults.disk.sync.longest() * 2;
    let turns = options.turns.unwrap_or_default() * 4;
    (options.timing.heartbeat + takes + turns) * 2 < options.timing.election_min
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::network::Latency;

    #[test]
    fn a_link_or_a_disk_that_may_be_slow_excuses_an_election() {
        let quiet = Options::quiet(3);
        assert!(is_quick(&quiet));
        let slow = Latency::Bimodal {
            near: Duration::ZERO,
            far: quiet.timing.election_min / 2,
            far_share: 1,
        };
        let (mut links, mut disks) = (quiet.clone(), quiet.clone());
        links.faults.network.latency = slow;
        disks.faults.disk.sync = slow;
        let turns = Options { turns: Some(quiet.timing.election_min / 8), ..quiet };
        assert!(![links, disks, turns].iter().any(is_quick));
    }
}
