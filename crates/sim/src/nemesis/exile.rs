//! Exiles: a leader is cut off with a burst of commands in its log that nobody else gets to see.
//! The others decide more than that without it and forget it behind a snapshot. When it comes back,
//! its log is long, differs, and must give way to a snapshot (Raft §7, Figure 13, steps 6 and 7;
//! PMMC §4.2); meanwhile its disk may still be busy with what is gone, it may crash, and it may be
//! asked to lead again.

use crate::operators::Operators;
use crate::rng::Rng;
use crate::world::{Fate, World};
use consensus_core::{Audit, NodeId, StateMachine};
use core::time::Duration;

/// So many of them in a run.
const MOST: u32 = 3;

/// An exile under way.
#[derive(Clone, Copy, Debug)]
struct Exile {
    node: NodeId,
    stage: Stage,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Stage {
    /// The others decide so many more commands.
    Away { commands: u32 },
    /// It is back, and is disturbed so many times more.
    Back { left: u32 },
}

/// The exiles of a run.
pub(crate) struct Exiles {
    rng: Rng,
    every: Option<Duration>,
    next: Duration,
    left: u32,
    on: Option<Exile>,
    /// What it says waits.
    holds: bool,
}

impl Exiles {
    /// Those that the seed draws.
    pub(crate) fn new(seed: u64, operators: &Operators) -> Self {
        let mut rng = Rng::for_purpose(seed, 16);
        let every = operators.exiles;
        let first = rng.time(Duration::from_millis(700), Duration::from_millis(2_500));
        let next = every.map_or(Duration::MAX, |_| first);
        Self { rng, every, next, left: MOST, on: None, holds: false }
    }

    /// When something is to be done.
    pub(crate) fn due(&self) -> Duration {
        self.next
    }

    /// Does what is due.
    pub(crate) fn act<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        if world.now() < self.next {
            return;
        }
        match self.on.take() {
            Some(Exile { node, stage: Stage::Away { commands } }) if commands > 0 => {
                self.decide_more(world, node, commands);
            }
            Some(Exile { node, stage: Stage::Away { .. } }) => self.bring_back(world, node),
            Some(Exile { node, stage: Stage::Back { left } }) if left > 0 => {
                self.disturb(world, node, left);
            }
            Some(Exile { node, stage: Stage::Back { .. } }) => {
                world.restart(node);
                self.pause(world);
            }
            None => self.begin(world),
        }
    }

    fn pause<P: Audit, S: StateMachine>(&mut self, world: &World<P, S>) {
        let every = self.every.unwrap_or_default();
        let pause = self.rng.time(every / 4, every * 2);
        self.next = if self.left > 0 { world.now() + pause } else { Duration::MAX };
    }

    fn go_on<P: Audit, S: StateMachine>(
        &mut self,
        world: &World<P, S>,
        (node, stage): (NodeId, Stage),
        longest: Duration,
    ) {
        self.on = Some(Exile { node, stage });
        self.next = world.now() + self.rng.time(Duration::from_millis(1), longest);
    }

    /// The leader is cut off, and goes on taking commands until it notices.
    fn begin<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let Some(node) = world.leader() else { return self.pause(world) };
        self.left = self.left.saturating_sub(1);
        world.fault("leader exiled with commands of its own");
        if !world.is_intercepted() && self.rng.chance(4_000) {
            // What it says is not lost but very late: it arrives when others have decided.
            world.fault("word of an exile held back");
            let hold = move |from, _: NodeId, _: &P::Message| {
                if from == node { Fate::Hold } else { Fate::Pass }
            };
            world.intercept(hold);
            self.holds = true;
            world.cluster().peers_of(node).iter().for_each(|other| world.cut(other, node));
        } else {
            world.isolate(node);
        }
        self.feed(world, node, 30);
        if self.rng.chance(3_000) {
            let time = self.rng.time(Duration::from_millis(200), Duration::from_secs(3));
            world.stall_disk(node, time);
        }
        let commands = self.rng.between(3, 40) as u32;
        let longest = world.cluster().timing.election_max * 3;
        self.go_on(world, (node, Stage::Away { commands }), longest);
    }

    /// The others get commands, one or a few at a time, once they have a leader.
    fn decide_more<P: Audit, S: StateMachine>(
        &mut self,
        world: &mut World<P, S>,
        node: NodeId,
        commands: u32,
    ) {
        let leader = world.leader().filter(|leader| *leader != node);
        if let Some(leader) = leader {
            self.feed(world, leader, 4);
            if self.holds && self.rng.chance(1_500) {
                world.release_held();
            }
        }
        let stage = Stage::Away { commands: commands.saturating_sub(2) };
        self.go_on(world, (node, stage), Duration::from_millis(60));
    }

    fn feed<P: Audit, S: StateMachine>(
        &mut self,
        world: &mut World<P, S>,
        node: NodeId,
        most: u64,
    ) {
        for _ in 0..self.rng.between(1, most) {
            let payload = self.rng.next_u64().to_le_bytes();
            drop(world.submit(node, payload.to_vec()));
        }
    }

    fn bring_back<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>, node: NodeId) {
        if std::mem::take(&mut self.holds) {
            world.pass_all();
            world.release_held();
        }
        for other in world.cluster().peers_of(node).iter() {
            world.mend(other, node);
            world.mend(node, other);
        }
        world.restart(node);
        if self.rng.chance(4_000) {
            world.crash_before_install(node);
        }
        let left = self.rng.between(1, 5) as u32;
        self.go_on(world, (node, Stage::Back { left }), Duration::from_millis(200));
    }

    /// What it has just been told is not on its disk yet, or its disk is busy with what is gone.
    fn disturb<P: Audit, S: StateMachine>(
        &mut self,
        world: &mut World<P, S>,
        node: NodeId,
        left: u32,
    ) {
        if !world.is_running(node) {
            world.restart(node);
        }
        match self.rng.below(6) {
            0 => world.crash_before_sync(node),
            1 => {
                world.crash(node);
                world.restart(node);
            }
            2 => {
                let time = self.rng.time(Duration::from_millis(50), Duration::from_secs(1));
                world.stall_disk(node, time);
            }
            3 | 4 => {
                if let Some(leader) = world.leader() {
                    world.transfer(leader, node);
                }
            }
            _ => self.feed(world, node, 10),
        }
        let stage = Stage::Back { left: left - 1 };
        self.go_on(world, (node, stage), Duration::from_millis(300));
    }
}
