//! Injects faults while a run is in its safety phase, and takes most of them back.

mod churn;
mod comeback;
mod exile;
mod schism;
mod siege;
mod strike;
mod visitors;

pub(crate) use churn::Churn;
pub(crate) use comeback::Comebacks;
pub(crate) use exile::Exiles;
pub(crate) use siege::Sieges;

use crate::options::{Faults, Options};
use crate::rng::Rng;
use crate::traitor::Treason;
use crate::world::World;
use consensus_core::{Audit, ClientId, NodeId, NodeSet, StateMachine};
use core::time::Duration;

/// What takes a fault back.
#[derive(Clone, Copy, Debug)]
enum Undo {
    Restart(NodeId),
    /// Restart it, and crash it again after so many effects.
    RestartAndCrash(NodeId, u32),
    Resume(NodeId),
    Mend(NodeSet),
    Reconnect(ClientId),
    /// Cut or mend this link, and the other way round after the same time, so many times.
    Flap(NodeId, NodeId, Duration, u32),
    SpeedUp(NodeId),
    EndStorm,
    EndCurse,
}

/// Crashes leader after leader soon after each was elected, and brings the one before back: so
/// entries of many terms come to lie on few disks (Raft, Figure 8).
#[derive(Clone, Copy, Debug)]
struct Relay {
    /// Leaders still to come.
    legs: u32,
    /// Who crashed last, and stays down until the next one has crashed, too: what it wrote alone
    /// must not be overwritten by a leader that meets it too early.
    last: Option<NodeId>,
    /// Who leads and is to crash next.
    doomed: Option<NodeId>,
}

/// Decides when what goes wrong.
pub(crate) struct Nemesis {
    rng: Rng,
    faults: Faults,
    clients: u64,
    /// Nodes that no fault takes away for ever.
    spared: NodeSet,
    next: Duration,
    undo: Vec<(Duration, Undo)>,
    relay: Option<Relay>,
    /// Changes of leader that it has seen.
    changes: u64,
    /// How often traitors all say the same to the same, in ten thousand.
    in_league: u32,
}

impl Nemesis {
    pub(crate) fn new(seed: u64, options: &Options) -> Self {
        let mut nemesis = Self {
            rng: Rng::for_purpose(seed, 2),
            faults: options.faults.clone(),
            clients: options.clients as u64,
            spared: options.core_includes,
            next: Duration::ZERO,
            undo: Vec::new(),
            relay: None,
            changes: 0,
            in_league: if options.too_many_traitors { 9_000 } else { 4_000 },
        };
        nemesis.next = nemesis.pause_between(Duration::ZERO);
        nemesis
    }

    /// When it wants to act next.
    pub(crate) fn due(&self) -> Duration {
        self.undo.iter().map(|(at, _)| *at).min().map_or(self.next, |undo| undo.min(self.next))
    }

    /// Must it act before its time, as somebody has just become leader?
    pub(crate) fn is_alarmed<P: Audit, S: StateMachine>(&self, world: &World<P, S>) -> bool {
        let Some(relay) = &self.relay else { return false };
        let died = relay.doomed.is_some_and(|node| !world.is_running(node));
        died || world.leader_changes() != self.changes
    }

    fn pause_between(&mut self, now: Duration) -> Duration {
        if self.faults.classes.is_empty() {
            return Duration::MAX;
        }
        now + self.rng.time(Duration::from_millis(1), self.faults.every * 2)
    }

    /// Does everything that is due.
    pub(crate) fn act<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let now = world.now();
        let (due, later) = self.undo.drain(..).partition(|(at, _)| *at <= now);
        self.undo = later;
        for (_, undo) in due {
            self.take_back(world, undo);
        }
        if world.violation().is_some() {
            return;
        }
        self.pass_on(world);
        if self.next <= now {
            self.next = self.pause_between(now);
            let fault = self.rng.pick(&self.faults.classes);
            self.strike(world, fault);
            if self.relay.is_none() {
                self.restart_forgotten(world);
            }
            self.turn_traitors(world);
        }
    }

    /// Nodes that crashed by a fuse, after their restart was due, come back too, as a rule.
    fn restart_forgotten<P: Audit, S: StateMachine>(&mut self, world: &World<P, S>) {
        for node in world.cluster().nodes().iter() {
            let waits = |(_, undo): &(Duration, Undo)| match undo {
                Undo::Restart(of) | Undo::RestartAndCrash(of, _) => *of == node,
                _ => false,
            };
            let down = world.replica(node).is_none();
            if down && !self.undo.iter().any(waits) && self.rng.chance(5_000) {
                self.later(world, Undo::Restart(node));
            }
        }
    }

    /// Traitors change their ways now and then: each for itself, or all in league.
    pub(crate) fn turn_traitors<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        if world.traitors().is_empty() {
            return;
        }
        let faction = self.rng.chance(self.in_league).then(|| self.some_nodes(world));
        world.conspire(faction);
        for traitor in world.traitors().iter() {
            let treason = match faction {
                Some(_) => Treason::Equivocate,
                None if self.rng.chance(2_000) => Treason::None,
                // What is made up has more to it than all the other ways.
                None if self.rng.chance(4_000) => Treason::Forge,
                None => self.rng.pick(&Treason::ALL),
            };
            world.betray(traitor, treason);
        }
    }

    fn take_back<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>, undo: Undo) {
        match undo {
            Undo::Restart(node) => world.restart(node),
            Undo::RestartAndCrash(node, effects) => {
                world.crash(node);
                world.crash_after_effects(node, effects);
                world.restart(node);
                self.later(world, Undo::Restart(node));
            }
            Undo::Resume(node) => world.resume(node),
            Undo::Mend(nodes) => {
                let split = world.is_split();
                world.heal_among(nodes);
                if split && !world.is_split() {
                    world.mark("partition healed");
                }
            }
            Undo::Reconnect(client) => world.cut_client(client, NodeSet::EMPTY),
            Undo::Flap(from, to, period, left) => self.flap(world, (from, to), period, left),
            Undo::SpeedUp(node) => world.slow(node, Duration::ZERO),
            Undo::EndStorm => world.storm(0),
            Undo::EndCurse => world.curse(None),
        }
    }

    fn later<P: Audit, S: StateMachine>(&mut self, world: &World<P, S>, undo: Undo) {
        let lasts = self.rng.time(Duration::from_millis(1), self.faults.lasts);
        self.undo.push((world.now() + lasts, undo));
    }
}
