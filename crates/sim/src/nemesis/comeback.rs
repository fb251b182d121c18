//! Comebacks: a leader is deposed, leads again, and is then cut off, while what was said to it in
//! its first time still arrives. Only what was said in its present term, or under its present
//! ballot, may count (Raft §5.1; PMMC §3; O9).

use super::visitors::{read_at, write_at};
use crate::options::Options;
use crate::rng::Rng;
use crate::world::{Fate, World};
use consensus_core::{Audit, NodeId, ReadMode, StateMachine};
use core::time::Duration;

/// So many of them in a run.
const MOST: u32 = 3;

/// A leader with two times in office.
#[derive(Clone, Copy, Debug)]
struct Comeback {
    leader: NodeId,
    heir: NodeId,
    stage: Stage,
    until: Duration,
}

/// What is under way.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// It leads for the first time, and what it hears is kept.
    First,
    /// The heir is to lead.
    Deposed,
    /// It is to lead again.
    Back,
    /// It is cut off and hears the old words, while the heir is to lead again.
    Cut,
}

/// The comebacks of a run.
pub(crate) struct Comebacks {
    rng: Rng,
    every: Option<Duration>,
    leases: bool,
    registers: u8,
    next: Duration,
    left: u32,
    on: Option<Comeback>,
}

impl Comebacks {
    /// Those that the seed draws.
    pub(crate) fn new(seed: u64, options: &Options) -> Self {
        let mut rng = Rng::for_purpose(seed, 18);
        let every = options.operators.comebacks;
        let first = rng.time(Duration::from_millis(700), Duration::from_millis(2_500));
        let next = every.map_or(Duration::MAX, |_| first);
        let (leases, registers) = (options.operators.lease.is_some(), options.registers);
        Self { rng, every, leases, registers, next, left: MOST, on: None }
    }

    /// When something is to be done.
    pub(crate) fn due(&self) -> Duration {
        self.next
    }

    /// Does what is due.
    pub(crate) fn act<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let now = world.now();
        if now < self.next {
            return;
        }
        match self.on.take() {
            None => self.begin(world),
            Some(comeback) if comeback.until <= now => self.time_is_up(world, comeback),
            Some(comeback) => self.go_on(world, comeback),
        }
    }

    /// The last one is over, or none could be had.
    fn pause<P: Audit, S: StateMachine>(&mut self, world: &World<P, S>) {
        let every = self.every.unwrap_or_default();
        let pause = self.rng.time(every / 4, every * 2);
        self.next = if self.left > 0 { world.now() + pause } else { Duration::MAX };
    }

    fn enter<P: Audit, S: StateMachine>(
        &mut self,
        world: &World<P, S>,
        comeback: Comeback,
        (stage, longest): (Stage, Duration),
    ) {
        let until = world.now() + longest;
        self.on = Some(Comeback { stage, until, ..comeback });
        self.next = world.now() + self.rng.time(Duration::from_millis(1), Duration::from_millis(9));
    }

    fn begin<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let voters = world.decided_members().voters;
        let leader = world.leader().filter(|leader| voters.contains(*leader));
        let Some(leader) = leader.filter(|_| !world.is_intercepted()) else {
            return self.pause(world);
        };
        let others: Vec<NodeId> =
            voters.without(leader).iter().filter(|node| world.is_running(*node)).collect();
        if others.is_empty() {
            return self.pause(world);
        }
        self.left -= 1;
        world.fault("comeback of a leader that hears old answers");
        world.intercept(move |_, to, _| if to == leader { Fate::Keep } else { Fate::Pass });
        let until = world.now();
        let comeback =
            Comeback { leader, heir: self.rng.pick(&others), stage: Stage::First, until };
        let reign = self.rng.time(Duration::from_millis(30), Duration::from_millis(400));
        self.enter(world, comeback, (Stage::First, reign));
    }

    /// What was waited for has not come, or has lasted long enough.
    fn time_is_up<P: Audit, S: StateMachine>(
        &mut self,
        world: &mut World<P, S>,
        comeback: Comeback,
    ) {
        if comeback.stage == Stage::First {
            world.pass_all();
            let longest = world.cluster().timing.election_max * 4;
            return self.enter(world, comeback, (Stage::Deposed, longest));
        }
        world.pass_all();
        world.forget_kept();
        self.pause(world);
    }

    fn go_on<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>, comeback: Comeback) {
        let Comeback { leader, heir, stage, until } = comeback;
        let election = world.cluster().timing.election_max;
        let leads = world.leader();
        match stage {
            // Each read is a round of its own, so the answers bear many numbers.
            Stage::First => read_at(world, leader, ReadMode::Index),
            Stage::Deposed if leads == Some(heir) => {
                return self.enter(world, comeback, (Stage::Back, election * 4));
            }
            Stage::Deposed => world.campaign(heir),
            Stage::Back if leads != Some(leader) => world.campaign(leader),
            // What was committed before it must know, or it answers nobody.
            Stage::Back if self.rng.chance(5_000) => {
                self.cut_off(world, comeback);
                return self.enter(world, comeback, (Stage::Cut, election * 2));
            }
            Stage::Back => {}
            Stage::Cut => self.tempt(world, comeback),
        }
        let pause = Duration::from_millis(if stage == Stage::Deposed { 60 } else { 12 });
        self.on = Some(comeback);
        self.next = (world.now() + self.rng.time(Duration::from_millis(1), pause)).min(until);
    }

    /// It leads again, and from now on neither hears nor is heard.
    fn cut_off<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>, comeback: Comeback) {
        let Comeback { leader, heir, .. } = comeback;
        world.drop_if(move |from, to, _| from == leader || to == leader);
        let rng = Rng::new(self.rng.next_u64());
        write_at(world, (leader, heir), rng, self.registers);
    }

    fn tempt<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>, comeback: Comeback) {
        let Comeback { leader, heir, .. } = comeback;
        world.campaign(heir);
        world.say_again();
        let lease = self.leases && self.rng.chance(3_000);
        read_at(world, leader, if lease { ReadMode::Lease } else { ReadMode::Index });
        read_at(world, heir, ReadMode::Index);
    }
}
