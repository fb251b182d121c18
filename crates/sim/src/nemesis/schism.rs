//! Schisms: while a change of members is under way the nodes that come and the nodes that were
//! there lose each other, and on either side somebody wants to lead. A change is safe only if the
//! two sides cannot both decide (Raft §6; PMS §3). Before they meet again, one of either side may
//! hear each other: who leads by the one members then asks one who follows a leader by the others.

use crate::rng::Rng;
use crate::world::World;
use consensus_core::{Audit, Change, NodeId, NodeSet, StateMachine};
use core::time::Duration;

/// How many changes in ten thousand are followed by one.
const SHARE: u32 = 2_000;

/// What is to happen next.
#[derive(Clone, Copy, Debug)]
enum Next {
    /// The sides lose each other, and the leader of the change may die.
    Part { side: NodeSet, leader: NodeId, dies: bool },
    /// Somebody on either side wants to lead.
    Stand { side: NodeSet, times: u32 },
    /// One of either side hears each other.
    Bridge { side: NodeSet },
    /// They meet again.
    Meet,
}

/// One schism at a time.
#[derive(Default)]
pub(crate) struct Schism {
    next: Option<(Duration, Next)>,
    dead: Option<NodeId>,
}

impl Schism {
    /// When something is to be done next.
    pub(crate) fn due(&self) -> Duration {
        self.next.map_or(Duration::MAX, |(at, _)| at)
    }

    /// The leader was just asked for this: now and then a schism follows.
    pub(crate) fn may_follow<P: Audit, S: StateMachine>(
        &mut self,
        rng: &mut Rng,
        world: &World<P, S>,
        (leader, change): (NodeId, &Change),
    ) {
        let before = world.decided_members().voters;
        let (come, stay) = (change.voters.minus(before), before.and(change.voters));
        if self.next.is_some() || !rng.chance(SHARE) || before == change.voters {
            return;
        }
        let mut side = come;
        for node in stay.iter() {
            if rng.chance(4_000) {
                side.insert(node);
            }
        }
        if rng.chance(5_000) {
            side.insert(leader);
        }
        let dies = rng.chance(5_000);
        let wait = rng.time(Duration::ZERO, Duration::from_millis(60));
        self.next = Some((world.now() + wait, Next::Part { side, leader, dies }));
    }

    /// Does what is due.
    pub(crate) fn act<P: Audit, S: StateMachine>(
        &mut self,
        rng: &mut Rng,
        world: &mut World<P, S>,
    ) {
        let now = world.now();
        let Some((_, next)) = self.next.filter(|(at, _)| *at <= now) else { return };
        self.next = match next {
            Next::Part { side, leader, dies } => {
                world.fault("schism during a change of members");
                world.split(side);
                if dies {
                    world.crash(leader);
                    self.dead = Some(leader);
                }
                let times = rng.between(1, 4) as u32;
                Some((now + Duration::from_millis(1), Next::Stand { side, times }))
            }
            Next::Stand { side, times } => {
                for able in either(side, world).into_iter().filter(|able| !able.is_empty()) {
                    world.campaign(rng.pick(&able));
                }
                let wait = rng.time(Duration::from_millis(20), Duration::from_millis(400));
                let then = match times {
                    0 if rng.chance(5_000) => Next::Bridge { side },
                    0 => Next::Meet,
                    _ => Next::Stand { side, times: times - 1 },
                };
                Some((now + wait, then))
            }
            Next::Bridge { side } => {
                let [here, there] = either(side, world);
                if !here.is_empty() && !there.is_empty() {
                    world.fault("bridge over a schism");
                    let (one, other) = (rng.pick(&here), rng.pick(&there));
                    world.mend(one, other);
                    world.mend(other, one);
                }
                let wait = rng.time(Duration::from_millis(50), Duration::from_millis(600));
                Some((now + wait, Next::Meet))
            }
            Next::Meet => {
                world.heal_among(world.cluster().nodes());
                if let Some(dead) = self.dead.take() {
                    world.restart(dead);
                }
                None
            }
        };
    }
}

/// The nodes of this side and of the other that are up.
fn either<P: Audit, S: StateMachine>(side: NodeSet, world: &World<P, S>) -> [Vec<NodeId>; 2] {
    let up = |half: NodeSet| half.iter().filter(|node| world.is_running(*node)).collect();
    [up(side), up(world.cluster().nodes().minus(side))]
}
