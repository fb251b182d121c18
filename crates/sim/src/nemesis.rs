//! Injects faults while a run is in its safety phase, and takes most of them back.

use crate::options::{Fault, Faults, Options};
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
}

/// Decides when what goes wrong.
pub(crate) struct Nemesis {
    rng: Rng,
    faults: Faults,
    clients: u64,
    next: Duration,
    undo: Vec<(Duration, Undo)>,
}

impl Nemesis {
    pub(crate) fn new(seed: u64, options: &Options) -> Self {
        let mut nemesis = Self {
            rng: Rng::for_purpose(seed, 2),
            faults: options.faults.clone(),
            clients: options.clients as u64,
            next: Duration::ZERO,
            undo: Vec::new(),
        };
        nemesis.next = nemesis.pause_between(Duration::ZERO);
        nemesis
    }

    /// When it wants to act next.
    pub(crate) fn due(&self) -> Duration {
        self.undo.iter().map(|(at, _)| *at).min().map_or(self.next, |undo| undo.min(self.next))
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
        if self.next <= now {
            self.next = self.pause_between(now);
            let fault = self.rng.pick(&self.faults.classes);
            self.strike(world, fault);
            self.restart_forgotten(world);
            for traitor in world.traitors().iter() {
                self.turn(world, traitor);
            }
        }
    }

    /// Nodes that crashed by a fuse, after their restart was due, come back too, as a rule.
    fn restart_forgotten<P: Audit, S: StateMachine>(&mut self, world: &World<P, S>) {
        for node in world.cluster().nodes().iter() {
            let waits = |(_, undo): &(Duration, Undo)| match undo {
                Undo::Restart(of) | Undo::RestartAndCrash(of, _) => *of == node,
                Undo::Resume(_) | Undo::Mend(_) | Undo::Reconnect(_) => false,
            };
            let down = world.replica(node).is_none();
            if down && !self.undo.iter().any(waits) && self.rng.chance(5_000) {
                self.later(world, Undo::Restart(node));
            }
        }
    }

    /// A traitor changes its ways now and then.
    pub(crate) fn turn<P: Audit, S: StateMachine>(
        &mut self,
        world: &mut World<P, S>,
        traitor: NodeId,
    ) {
        let treason =
            if self.rng.chance(2_000) { Treason::None } else { self.rng.pick(&Treason::ALL) };
        world.betray(traitor, treason);
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
        }
    }

    fn later<P: Audit, S: StateMachine>(&mut self, world: &World<P, S>, undo: Undo) {
        let lasts = self.rng.time(Duration::from_millis(1), self.faults.lasts);
        self.undo.push((world.now() + lasts, undo));
    }

    fn any_node<P: Audit, S: StateMachine>(&mut self, world: &World<P, S>) -> NodeId {
        NodeId(self.rng.below(world.cluster().size as u64) as u8)
    }

    fn some_nodes<P: Audit, S: StateMachine>(&mut self, world: &World<P, S>) -> NodeSet {
        world.cluster().nodes().iter().filter(|_| self.rng.chance(5_000)).collect()
    }

    fn strike<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>, fault: Fault) {
        let all = world.cluster().nodes();
        match fault {
            Fault::Crash => self.crash(world),
            Fault::CrashMany => self.crash_many(world),
            Fault::CrashMidway => {
                let node = self.any_node(world);
                world.crash_after_effects(node, self.rng.below(12) as u32);
                let again = self.rng.below(3) as u32;
                self.later(world, Undo::RestartAndCrash(node, again));
            }
            Fault::CrashUnsynced => self.crash_unsynced(world),
            Fault::HitLeader => self.hit_leader(world),
            Fault::Pause => {
                let node = self.any_node(world);
                world.pause(node);
                self.later(world, Undo::Resume(node));
            }
            Fault::Isolate => {
                let node = self.any_node(world);
                self.isolate(world, node);
            }
            Fault::Split => {
                let side = self.some_nodes(world);
                world.split(side);
                world.fault("split");
                self.later(world, Undo::Mend(all));
            }
            Fault::OneWay => self.cut_some(world, 1_500, "one-way cut"),
            Fault::Partial => self.cut_some(world, 5_000, "partial connectivity"),
            Fault::Clog => self.clog(world),
            Fault::ClientCut => {
                let client = ClientId(self.rng.between(1, self.clients));
                let nodes = self.some_nodes(world);
                world.cut_client(client, nodes);
                self.later(world, Undo::Reconnect(client));
            }
            Fault::SlowDisk => {
                let node = self.any_node(world);
                let time = self.rng.time(Duration::from_millis(10), self.faults.lasts);
                world.stall_disk(node, time);
                world.fault("disk stalled");
            }
            Fault::Campaign => {
                let node = self.any_node(world);
                world.fault("asked to campaign");
                world.campaign(node);
            }
        }
    }

    fn crash<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let node = self.any_node(world);
        world.crash(node);
        self.later(world, Undo::Restart(node));
    }

    fn crash_many<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let all = self.rng.chance(4_000);
        let nodes = if all { world.cluster().nodes() } else { self.some_nodes(world) };
        if all {
            world.mark("all nodes crashed at once");
        }
        for node in nodes.iter() {
            world.crash(node);
            self.later(world, Undo::Restart(node));
        }
    }

    fn crash_unsynced<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let one = NodeSet::only(self.any_node(world));
        let nodes = if self.rng.chance(2_500) { world.cluster().nodes() } else { one };
        for node in nodes.iter() {
            world.crash_before_sync(node);
            self.later(world, Undo::Restart(node));
        }
    }

    fn hit_leader<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let Some(leader) = world.leader() else { return };
        match self.rng.below(4) {
            0 => {
                world.pause(leader);
                self.later(world, Undo::Resume(leader));
            }
            1 => self.isolate(world, leader),
            2 => {
                world.crash_after_effects(leader, self.rng.below(8) as u32);
                self.later(world, Undo::Restart(leader));
            }
            _ => {
                world.crash(leader);
                self.later(world, Undo::Restart(leader));
            }
        }
        world.fault("leader hit");
    }

    fn isolate<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>, node: NodeId) {
        world.isolate(node);
        world.fault("node isolated");
        self.later(world, Undo::Mend(world.cluster().nodes()));
    }

    fn cut_some<P: Audit, S: StateMachine>(
        &mut self,
        world: &mut World<P, S>,
        share: u32,
        name: &'static str,
    ) {
        let all = world.cluster().nodes();
        for from in all.iter() {
            for to in all.without(from).iter() {
                if self.rng.chance(share) {
                    world.cut(from, to);
                }
            }
        }
        world.fault(name);
        self.later(world, Undo::Mend(all));
    }

    fn clog<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let from = self.any_node(world);
        let share = self.rng.pick(&[2_000, 10_000]);
        for to in world.cluster().peers_of(from).iter() {
            if self.rng.chance(share) {
                let time = self.rng.time(Duration::from_millis(1), self.faults.lasts);
                world.clog(from, to, time);
            }
        }
        world.fault("links clogged");
    }
}
