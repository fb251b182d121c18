//! Sieges: a leader with a lease loses the others while readers still reach it, and another one is
//! elected as early as it can be. Who answers by a lease that does not hold any more is seen then
//! (Raft thesis §6.4.1; O9).

use super::churn::can_be;
use super::visitors::{read_at, write_at};
use crate::options::Options;
use crate::rng::Rng;
use crate::world::{Fate, World};
use consensus_core::{Audit, Change, Message, NodeId, NodeSet, ReadMode, StateMachine, Traffic};
use core::time::Duration;

/// Sieges of one run: they are expensive.
const MOST: u32 = 6;

/// What brings the successor into office.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    /// Its patience, or an operator's as soon as the others may listen.
    CutOff,
    /// The same, after answers to the leader were under way for long.
    LateAnswers,
    /// The leader is asked to give way, and does not hear what comes of it.
    HandOver,
    /// The same, but the word that asks the heir to lead comes when nobody waits for it any more:
    /// this leader has gone on, or another one has come.
    LateHandOver,
    /// An operator's wish, of which the leader does not hear.
    Wish,
    /// All others forget, in a crash, that they heard a leader.
    Amnesia,
    /// The others have lost the leader for long, but for as many as keep it in office; of those
    /// the heir forgets, in a crash, that it heard it.
    LastFriend,
    /// Other members, as soon as they are in force.
    Members,
}

/// Those that leave the least time more often.
const WAYS: [Way; 11] = [
    Way::CutOff,
    Way::CutOff,
    Way::LateAnswers,
    Way::LateAnswers,
    Way::LateAnswers,
    Way::HandOver,
    Way::LateHandOver,
    Way::Wish,
    Way::Amnesia,
    Way::LastFriend,
    Way::Members,
];

/// A siege that is on.
struct Siege {
    way: Way,
    leader: NodeId,
    heir: NodeId,
    /// One who hears the leader, and nobody else, so that it asks that one when it is asked itself.
    page: Option<NodeId>,
    /// When the leader loses the others; `None` once it has.
    cut: Option<Duration>,
    /// When it hears nothing more, if that is later; `None` once it is.
    deaf: Option<Duration>,
    /// The heir is asked to campaign again and again.
    pushed: bool,
    until: Duration,
    next: Duration,
}

/// Lays sieges, one at a time.
pub(crate) struct Sieges {
    rng: Rng,
    every: Option<Duration>,
    registers: u8,
    /// The slowest clock is wrong by more than leases allow for: who has it is to lead.
    slow: bool,
    next: Duration,
    left: u32,
    on: Option<Siege>,
}

impl Sieges {
    pub(crate) fn new(seed: u64, options: &Options) -> Self {
        let every = options.operators.sieges;
        let mut rng = Rng::for_purpose(seed, 15);
        let first = rng.time(Duration::from_millis(500), Duration::from_millis(1_500));
        let next = every.map_or(Duration::MAX, |_| first);
        let (registers, slow) = (options.registers, options.operators.worse_clocks);
        Self { rng, every, registers, slow, next, left: MOST, on: None }
    }

    /// When something is to be done next.
    pub(crate) fn due(&self) -> Duration {
        self.on.as_ref().map_or(self.next, |siege| siege.next.min(siege.until))
    }

    /// Does what is due.
    pub(crate) fn act<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let now = world.now();
        if now < self.due() {
            return;
        }
        match self.on.take() {
            Some(siege) if siege.until <= now => self.lift(world, &siege),
            Some(siege) => self.on = Some(self.go_on(world, siege)),
            None => self.begin(world),
        }
    }

    fn begin<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let now = world.now();
        let Some(every) = self.every else { return };
        self.left -= 1;
        let pause = self.rng.time(every / 4, every * 2);
        self.next = if self.left > 0 { now + pause } else { Duration::MAX };
        let voters = world.decided_members().voters;
        let Some(leader) = world.leader().filter(|leader| voters.contains(*leader)) else { return };
        let slowest = voters.iter().min_by_key(|node| world.clock_rate(*node));
        if let Some(slowest) = slowest.filter(|it| self.slow && *it != leader) {
            world.transfer(leader, slowest);
            self.next = now + world.cluster().timing.election_max;
            self.left += 1;
            return;
        }
        let others: Vec<NodeId> =
            voters.without(leader).iter().filter(|node| world.is_running(*node)).collect();
        if others.is_empty() {
            return;
        }
        let mut heir = self.rng.pick(&others);
        let timing = world.cluster().timing;
        let way = match self.rng.pick(&WAYS) {
            Way::LateHandOver if world.is_intercepted() => Way::HandOver,
            way => way,
        };
        let wait = match way {
            Way::CutOff | Way::HandOver | Way::Wish | Way::Amnesia => (Duration::ZERO, None),
            Way::LateAnswers => self.late_answers(world, leader),
            Way::LateHandOver => (self.late_hand_over(world, leader, heir), None),
            Way::LastFriend => (self.last_friend(world, leader, heir), None),
            Way::Members => {
                let (wait, other) = self.members(world, leader, heir);
                heir = other;
                (wait, None)
            }
        };
        let (cut, deaf) = (now + wait.0, wait.1.map(|wait| now + wait));
        let until = cut + self.rng.time(timing.election_min, timing.election_max);
        let pushed = way == Way::LastFriend || self.rng.chance(9_000);
        world.fault("siege of a leader with a lease");
        let page = self.page(world, leader, heir);
        let siege =
            Siege { way, leader, heir, page, cut: Some(cut), deaf, pushed, until, next: now };
        self.on = Some(siege);
    }

    /// Somebody without whom the others can elect the heir.
    fn page<P: Audit, S: StateMachine>(
        &mut self,
        world: &World<P, S>,
        leader: NodeId,
        heir: NodeId,
    ) -> Option<NodeId> {
        let members = world.decided_members();
        let dispensable = if members.voters.len() >= 5 { members.voters } else { NodeSet::EMPTY };
        let pages = members.learners.or(dispensable).without(leader).without(heir);
        let pages: Vec<NodeId> = pages.iter().filter(|node| world.is_running(*node)).collect();
        let stays = !pages.is_empty() && self.rng.chance(6_000);
        stays.then(|| self.rng.pick(&pages))
    }

    /// The others' answers come late, all at once; the leader falls silent meanwhile, and deaf when
    /// they have come.
    fn late_answers<P: Audit, S: StateMachine>(
        &mut self,
        world: &mut World<P, S>,
        leader: NodeId,
    ) -> (Duration, Option<Duration>) {
        let election = world.cluster().timing.election_min;
        let late = self.rng.time(election / 3, election);
        for other in world.cluster().peers_of(leader).iter() {
            world.clog(other, leader, late);
        }
        (self.rng.time(Duration::ZERO, late / 2), Some(late + Duration::from_millis(1)))
    }

    /// The leader hands over, and the word that says so is held back for long enough that all is
    /// as it was, or that yet another one leads.
    fn late_hand_over<P: Audit, S: StateMachine>(
        &mut self,
        world: &mut World<P, S>,
        leader: NodeId,
        heir: NodeId,
    ) -> Duration {
        let election = world.cluster().timing.election_max;
        let third = world.decided_members().voters.without(leader).without(heir).iter().next();
        let third = third.filter(|_| self.rng.chance(5_000));
        world.intercept(move |from, to, message| match message.kind().traffic {
            Traffic::Election if from == leader && to == heir => Fate::Hold,
            // Whom another one leads must not hear of it before it is asked to lead.
            _ if third.is_some() && to == heir => Fate::Drop,
            _ => Fate::Pass,
        });
        world.transfer(leader, heir);
        match third {
            Some(third) => {
                world.campaign(third);
                self.rng.time(Duration::from_millis(5), world.cluster().timing.election_min)
            }
            None => self.rng.time(election, election * 4),
        }
    }

    /// Of the others just as many go on hearing the leader as it needs, the heir among them. Those
    /// that do not would follow anybody by and by.
    fn last_friend<P: Audit, S: StateMachine>(
        &mut self,
        world: &mut World<P, S>,
        leader: NodeId,
        heir: NodeId,
    ) -> Duration {
        let voters = world.decided_members().voters;
        let friends = (voters.len() / 2).saturating_sub(1);
        for other in voters.without(leader).without(heir).iter().skip(friends) {
            world.cut(leader, other);
            world.cut(other, leader);
        }
        let election = world.cluster().timing.election_max;
        self.rng.time(election, election * 2)
    }

    /// The leader stays, and so does the heir, unless one of those who come is to be it, who have
    /// promised the leader nothing. The others are replaced, as far as can be. Gives the heir.
    fn members<P: Audit, S: StateMachine>(
        &mut self,
        world: &mut World<P, S>,
        leader: NodeId,
        heir: NodeId,
    ) -> (Duration, NodeId) {
        let members = world.decided_members().clone();
        let fresh = world.cluster().nodes().minus(world.condemned()).minus(members.voters);
        let comes = fresh.iter().next().filter(|_| self.rng.chance(5_000));
        let heir = comes.unwrap_or(heir);
        let mut voters = members.voters;
        for (old, new) in members.voters.without(leader).without(heir).iter().zip(fresh.iter()) {
            voters = voters.without(old).or(NodeSet::only(new));
        }
        let learners = members.learners.minus(voters);
        let change = Change { voters, learners, ..Change::of(&members) };
        if can_be(world, &change) {
            fresh.and(voters).iter().for_each(|node| world.join(node));
            world.change_members(leader, change);
        }
        (self.rng.time(Duration::from_millis(1), Duration::from_millis(150)), heir)
    }

    /// A reader comes; and the leader loses the others, if it is time.
    fn go_on<P: Audit, S: StateMachine>(
        &mut self,
        world: &mut World<P, S>,
        mut siege: Siege,
    ) -> Siege {
        let now = world.now();
        if siege.cut.is_some_and(|cut| cut <= now) {
            siege.cut = None;
            if siege.way == Way::LateHandOver {
                siege.leader =
                    world.leader().filter(|now| *now != siege.heir).unwrap_or(siege.leader);
                world.pass_all();
                world.release_held();
            }
            self.cut_off(world, &siege);
        }
        if siege.deaf.is_some_and(|deaf| deaf <= now) {
            siege.deaf = None;
            let page = siege.page.map_or(NodeSet::EMPTY, NodeSet::only);
            for other in world.cluster().peers_of(siege.leader).minus(page).iter() {
                world.cut(other, siege.leader);
            }
        }
        if siege.cut.is_none() {
            read_at(world, siege.leader, ReadMode::Lease);
            for (page, mode) in siege
                .page
                .iter()
                .flat_map(|page| [ReadMode::Index, ReadMode::Lease].map(|mode| (*page, mode)))
            {
                read_at(world, page, mode);
            }
            read_at(world, siege.heir, ReadMode::Index);
            if siege.pushed && !matches!(siege.way, Way::HandOver | Way::LateHandOver) {
                world.campaign(siege.heir);
            }
        }
        let pause = self.rng.time(Duration::from_millis(3), Duration::from_millis(25));
        siege.next = siege.cut.unwrap_or(siege.deaf.unwrap_or(now + pause).min(now + pause));
        siege
    }

    fn cut_off<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>, siege: &Siege) {
        let Siege { way, leader, heir, page, .. } = *siege;
        let page = page.map_or(NodeSet::EMPTY, NodeSet::only);
        let others = world.cluster().peers_of(leader).minus(page);
        match way {
            Way::HandOver => world.transfer(leader, heir),
            Way::Wish => world.campaign(heir),
            Way::Amnesia => {
                for other in world.decided_members().voters.without(leader).iter() {
                    world.crash(other);
                    world.restart(other);
                }
            }
            Way::LastFriend => {
                world.crash(heir);
                world.restart(heir);
            }
            Way::CutOff | Way::LateAnswers | Way::LateHandOver | Way::Members => {}
        }
        // Deaf, mute, or both; but a leader that gives way must be heard, and one whose answers
        // are late must hear them.
        let deaf = way != Way::LateAnswers;
        let mute = !matches!(way, Way::HandOver | Way::LateHandOver | Way::Wish)
            && (way == Way::LateAnswers || self.rng.chance(7_000));
        for other in others.iter() {
            if deaf {
                world.cut(other, leader);
            }
            if mute {
                world.cut(leader, other);
            }
        }
        for (other, page) in others.iter().flat_map(|other| page.iter().map(move |it| (other, it)))
        {
            world.cut(other, page);
            world.cut(page, other);
        }
        let rng = Rng::new(self.rng.next_u64());
        write_at(world, (leader, heir), rng, self.registers);
    }

    fn lift<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>, siege: &Siege) {
        for node in [siege.leader].into_iter().chain(siege.page) {
            for other in world.cluster().peers_of(node).iter() {
                world.mend(other, node);
                world.mend(node, other);
            }
        }
    }
}
