//! Clients that come for a moment, while a leader is in trouble.

use crate::check::{operation, question};
use crate::rng::Rng;
use crate::world::World;
use consensus_core::{Audit, Consistency, NodeId, NodeSet, Patience, ReadMode, StateMachine};
use core::time::Duration;

/// Commands that a successor is to decide.
const COMMANDS: u64 = 3;

/// One question at this node, asked once.
pub(super) fn read_at<P: Audit, S: StateMachine>(
    world: &mut World<P, S>,
    node: NodeId,
    mode: ReadMode,
) {
    let short = Duration::from_millis(20);
    let patience = Patience { attempt: short, pause: short, give_up: short };
    let mut asked = Some((question(0), Consistency::Linearizable(mode), world.now()));
    world.add_reader(node, patience, move |_| asked.take());
}

/// A client that does not reach the old leader, so that it learns at once what the heir decides.
pub(super) fn write_at<P: Audit, S: StateMachine>(
    world: &mut World<P, S>,
    (leader, heir): (NodeId, NodeId),
    mut rng: Rng,
    registers: u8,
) {
    let patience = Patience {
        attempt: Duration::from_millis(15),
        pause: Duration::from_millis(3),
        give_up: world.cluster().timing.election_max,
    };
    let client = world.add_client(heir, patience, move |nth| {
        (nth < COMMANDS).then(|| (operation(&mut rng, registers).encode(), None))
    });
    world.cut_client(client, NodeSet::only(leader));
}
