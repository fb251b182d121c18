//! Messages in rounds: a smaller model, for what lies too deep for every order of messages.
//!
//! In one round all disks sync, and then all that is under way arrives or is lost; what is said
//! meanwhile is under way in the next. Who hears whom is the weather. It is calm at first, stays as
//! it is until it changes, and changes [`Bounds::storms`](crate::Bounds::storms) times at most. A
//! timer fires only when nothing is under way, as timeouts are longer than messages take; commands
//! come then, too, several at a time if need be. Crashes, and what operators want, may come between
//! any two rounds.
//!
//! Rounds in which a process hears some of the others are how Charron-Bost and Schiper (The
//! Heard-Of model, Distributed Computing 2009) describe all faults of links at once; to bound how
//! often a schedule leaves the straight path is from Emmi, Qadeer and Rakamarić (Delay-bounded
//! scheduling, POPL 2011).

use crate::arena::{Arena, Cause, Moment, Steps};
use crate::context::Context;
use crate::node::Stimulus;
use crate::state::{Change, Spent, State};
use crate::symmetry::Prints;
use crate::violation::Violation;
use crate::worker::{judge, work_out};
use consensus_core::{Audit, NodeId};
use std::sync::Arc;

/// Who hears whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Default)]
pub(crate) enum Weather {
    /// Everybody hears everybody.
    #[default]
    Calm,
    /// This node hears nobody, and nobody hears it.
    Isolated(NodeId),
    /// This node hears nobody.
    Deaf(NodeId),
    /// Nobody hears this node.
    Mute(NodeId),
    /// Nobody but this node hears anything.
    Alone(NodeId),
}

impl Weather {
    /// All of it, among so many nodes.
    pub(crate) fn all(nodes: usize) -> impl Iterator<Item = Self> {
        let each = [Self::Isolated, Self::Deaf, Self::Mute, Self::Alone];
        let nodes = (0..nodes).map(|node| NodeId(node as u8));
        std::iter::once(Self::Calm).chain(nodes.flat_map(move |node| each.map(|kind| kind(node))))
    }

    /// Does a message arrive?
    fn lets(self, from: NodeId, to: NodeId) -> bool {
        match self {
            Self::Calm => true,
            Self::Isolated(node) => from != node && to != node,
            Self::Deaf(node) => to != node,
            Self::Mute(node) => from != node,
            Self::Alone(node) => to == node,
        }
    }
}

/// What happens in a round, one after the other.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Moves {
    /// A disk syncs.
    Sync(NodeId),
    /// A message arrives.
    Take(u32),
    /// A message is lost.
    Lose(u32),
}

/// Is there anything to be done in a round?
pub(crate) fn is_under_way<P: Audit>(context: &Context<P>, steps: &Steps<P>, now: &State) -> bool {
    let wants = |id: NodeId| steps.nodes[now.nodes[id.index()] as usize].wants_sync();
    !now.network.is_empty() || context.cluster.nodes().iter().any(wants)
}

/// The weather may change, but not before it makes a difference: until then it may as well stay.
pub(crate) fn other_weather<P: Audit>(
    context: &Context<P>,
    steps: &Steps<P>,
    now: &State,
) -> impl Iterator<Item = Weather> {
    let weather = now.spent.weather;
    let wants = |id: NodeId| steps.nodes[now.nodes[id.index()] as usize].wants_sync();
    // What waits for a disk, and to whom it goes, is known when the disk has synced.
    let may_send = context.cluster.nodes().iter().any(wants);
    let differs = move |other: &Weather| {
        let arrives = |packet: &u32, weather: Weather| {
            let packet = &steps.packets[*packet as usize];
            weather.lets(packet.said.sender(), packet.to)
        };
        let differs = |packet| arrives(packet, *other) != arrives(packet, weather);
        *other != weather && (may_send || now.network.iter().any(differs))
    };
    Weather::all(context.bounds.all()).filter(differs)
}

/// Plays a round. `watch` is shown each move before it is made, with the nodes as they are then.
pub(crate) fn play<P: Audit>(
    context: &Context<P>,
    arena: &Arena<P>,
    (state, weather): (&State, Weather),
    watch: &mut dyn FnMut(&Steps<P>, &State, Moves),
) -> Result<State, Violation> {
    let mut round = Round { context, arena, now: state.clone(), sent: state.network.to_vec() };
    if weather != state.spent.weather {
        let storms = state.spent.storms + 1;
        round.now = round.now.with_spent(Spent { storms, weather, ..state.spent });
    }
    for id in context.cluster.nodes().iter() {
        let steps = arena.read();
        if steps.nodes[round.now.nodes[id.index()] as usize].wants_sync() {
            watch(&steps, &round.now, Moves::Sync(id));
            drop(steps);
            round.happens(id, |node| Cause::other(node, &0), Stimulus::Sync)?;
        }
    }
    let due = std::mem::take(&mut round.sent);
    for packet in in_order(arena, due.clone()) {
        let steps = arena.read();
        let (to, said) = {
            let packet = &steps.packets[packet as usize];
            (packet.to, Arc::clone(&packet.said))
        };
        let arrives = weather.lets(said.sender(), to);
        watch(&steps, &round.now, if arrives { Moves::Take(packet) } else { Moves::Lose(packet) });
        drop(steps);
        if arrives {
            round.happens(to, |node| Cause::message(node, packet), Stimulus::Take(said))?;
        }
    }
    let played = round.finish(state);
    let busy = is_under_way(context, &arena.read(), &played);
    Ok(played.with_spent(Spent { busy, ..played.spent }))
}

/// The order in which messages arrive that arrive in one round: by receiver and sender.
fn in_order<P: Audit>(arena: &Arena<P>, mut packets: Vec<u32>) -> Vec<u32> {
    let steps = arena.read();
    packets.sort_by_cached_key(|packet| {
        let packet = &steps.packets[*packet as usize];
        (packet.to, packet.said.sender(), packet.prints.own())
    });
    packets
}

struct Round<'a, P: Audit> {
    context: &'a Context<P>,
    arena: &'a Arena<P>,
    /// Its network is that of the beginning.
    now: State,
    /// What is under way in the end.
    sent: Vec<u32>,
}

impl<P: Audit> Round<'_, P> {
    /// Something happens to a node, and is judged.
    fn happens(
        &mut self,
        id: NodeId,
        cause: impl Fn(Moment) -> Cause,
        stimulus: Stimulus<P>,
    ) -> Result<(), Violation> {
        let (context, arena) = (self.context, self.arena);
        let node = self.now.nodes[id.index()];
        let ticks = self.now.spent.ticks;
        let cause = cause(Moment { node, ticks });
        let mut steps = arena.read();
        if steps.outcome(cause).is_none() {
            drop(steps);
            work_out(context, arena, (id, ticks), (node, cause), &stimulus);
            steps = arena.read();
        }
        let outcome = match steps.outcome(cause).expect("it was just worked out") {
            Ok(outcome) => outcome,
            // A traitor may break all its rules, and stops when it does.
            Err(_) if !context.is_correct(id) => return Ok(()),
            Err(violation) => return Err(violation.clone()),
        };
        let State { prints, spent, history, upto, .. } = self.now;
        let mut change = Change { prints, spent, history, upto, gone: None };
        judge(context, arena, &steps, (&self.now, id), outcome, &mut change, &|_| false)?;
        (self.now.history, self.now.upto) = (change.history, change.upto);
        // The history's part is in there already.
        self.now.prints = change
            .prints
            .without(&steps.nodes[node as usize].prints)
            .with(&steps.nodes[outcome.node as usize].prints);
        self.now.nodes[id.index()] = outcome.node;
        for packet in &outcome.sent {
            if !self.sent.contains(packet) {
                self.sent.push(*packet);
            }
        }
        Ok(())
    }

    /// What was under way is gone, what was said is under way.
    fn finish(mut self, before: &State) -> State {
        let steps = self.arena.read();
        let prints_of = |packet: &u32| &steps.packets[*packet as usize].prints;
        self.sent.sort_unstable_by_key(|packet| prints_of(packet).own());
        let now = before.network.iter().map(prints_of).fold(self.now.prints, Prints::without);
        self.now.prints = self.sent.iter().map(prints_of).fold(now, Prints::with);
        self.now.network = self.sent.into();
        self.now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn weather_says_who_hears_whom() {
        let (a, b, c) = (NodeId(0), NodeId(1), NodeId(2));
        let heard =
            |weather: Weather| [(a, b), (b, a), (b, c)].map(|(from, to)| weather.lets(from, to));
        assert_eq!(heard(Weather::Calm), [true, true, true]);
        assert_eq!(heard(Weather::Isolated(a)), [false, false, true]);
        assert_eq!(heard(Weather::Deaf(a)), [true, false, true]);
        assert_eq!(heard(Weather::Mute(a)), [false, true, true]);
        assert_eq!(heard(Weather::Alone(a)), [false, true, false]);
        assert_eq!(Weather::all(4).count(), 17);
    }
}
