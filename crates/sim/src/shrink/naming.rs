//! Gives messages names that people can read: `vote n1 -> n0`, and `#2` where there are several.

use super::replay::play;
use crate::scenario::{Action, Pick, Step};
use crate::stage::Scene;
use consensus_core::{Audit, Message, NodeId};
use std::collections::BTreeMap;

/// A message that was sent, and is on its way from the step of that place on.
struct Sent {
    kind: &'static str,
    place: usize,
    lies: bool,
}

/// The same steps, with messages picked by their place among those on their way. A copy stays on
/// its way where the message arrives once more.
pub(crate) fn named<P: Audit>(scene: &Scene<P>, steps: &[Step]) -> Vec<Step> {
    // What is on its way is known only while playing; so it is played once more, and nothing is
    // taken off its way.
    let mut links: BTreeMap<(NodeId, NodeId), BTreeMap<u64, Sent>> = BTreeMap::new();
    let (played, stage) = play(scene, steps.iter());
    for flight in stage.flights() {
        let sent = Sent {
            kind: flight.message.kind().name,
            place: flight.step as usize,
            lies: flight.contrary.is_some(),
        };
        links.entry((flight.from, flight.to)).or_default().insert(flight.serial, sent);
    }
    let last_arrival: BTreeMap<u64, usize> = played
        .done
        .iter()
        .filter_map(|(place, carried)| Some((carried.as_ref()?.serial, *place)))
        .collect();
    let mut gone: Vec<u64> = Vec::new();
    let mut named = Vec::new();
    for (nth, (place, carried)) in played.done.iter().enumerate() {
        let mut step = steps[*place].clone();
        if let (Action::Deliver { message, keep, lie }, Some(carried)) = (&mut step.action, carried)
        {
            *lie = carried.lie;
            *keep = last_arrival[&carried.serial] > *place;
            let link = &links[&(message.from, message.to)];
            let kind = link[&carried.serial].kind;
            let ahead = link.range(..carried.serial).filter(|(serial, sent)| {
                let there = sent.place <= nth && !gone.contains(serial);
                there && sent.kind == kind && (!*lie || sent.lies)
            });
            message.pick = Pick::Nth(ahead.count() as u32 + 1);
            kind.clone_into(&mut message.kind);
            if !*keep {
                gone.push(carried.serial);
            }
        }
        named.push(step);
    }
    named
}
