//! One checked run: faults and safety first, then liveness of a healed quorum, then of all, then
//! rest.

mod calm;
mod core;
mod crowd;
mod homecoming;
mod hub;
mod rest;

use crate::nemesis::{Churn, Comebacks, Exiles, Nemesis, Sieges};
use crate::options::Options;
use crate::oracle::blackbox;
use crate::registers::{Operation, Registers};
use crate::report::{Finding, Report};
use crate::rng::{CERTAIN, Rng};
use crate::scenario::Step;
use crate::stage::Clocks;
use crate::traitor::Treason;
use crate::world::{Completion, Setup, World};
use bytes::Bytes;
use consensus_core::{
    Audit, ClientId, Cluster, ClusterId, ConfigError, Consistency, LogIndex, NodeId, NodeSet,
    Outcome, Patience, ProtocolConfig, ReadMode,
};
use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::Duration;

/// The mark of a run in which time decides what a replica does, not only when.
pub(crate) const LEASES: &str = "leases are on";
/// The mark of a run whose clocks are worse than leases allow for.
pub(crate) const WORSE_CLOCKS: &str = "clocks worse than declared";

/// The mark of a run in which nodes take in more than one input before they say that there is no
/// more.
pub(crate) const TURNS: &str = "nodes take in several inputs";

/// Fresh clients that a healed core must answer, and commands of each.
const FRESH_CLIENTS: usize = 3;
const FRESH_COMMANDS: u64 = 4;

/// Runs one seed: faults, then a random quorum is healed and everything else stays as broken as it
/// is, then all is healed.
pub fn check<P: Audit>(seed: u64, options: &Options) -> Report {
    run::<P>(seed, options, None, |cluster| settings::<P>(options, cluster))
}

/// The same with settings of one's own.
pub fn check_with<P: Audit>(
    seed: u64,
    options: &Options,
    configure: impl Fn(&Cluster) -> Result<P::Config, ConfigError>,
) -> Report {
    run::<P>(seed, options, None, configure)
}

/// The same run, bit for bit, with a readable line for each event.
pub fn trace<P: Audit>(seed: u64, options: &Options, out: &mut dyn FnMut(String)) -> Report {
    run::<P>(seed, options, Some(out), |cluster| settings::<P>(options, cluster))
}

/// A run that was written down.
pub(crate) struct Taped {
    pub(crate) report: Report,
    /// Every input of every replica, in their order; up to a panic, if there was one.
    pub(crate) steps: Vec<Step>,
    /// The nodes that lied.
    pub(crate) traitors: NodeSet,
    /// The clocks, where leases look at them. Steps have their moments then.
    pub(crate) clocks: Option<Clocks>,
}

/// The same run, written down.
pub(crate) fn tape<P: Audit>(seed: u64, options: &Options) -> Taped {
    let mut run = Run::<P>::new(seed, options, |cluster| settings::<P>(options, cluster), None);
    let timed = options.operators.lease.is_some();
    run.world.keep_tape(timed);
    run.live();
    let steps = run.world.take_tape().expect("it was kept").into_steps();
    let (traitors, clocks) = (run.world.traitors(), timed.then(|| run.world.clocks()));
    Taped { report: run.report(), steps, traitors, clocks }
}

pub(crate) fn settings<P: Audit>(
    options: &Options,
    cluster: &Cluster,
) -> Result<P::Config, ConfigError> {
    let config = P::Config::with_sizes(cluster, options.sizes)?;
    let config = config.with_variants(&options.variants, cluster)?;
    let config = match options.operators.trailing {
        Some(entries) => config.with_trailing(entries),
        None => config,
    };
    let leased = options.operators.lease.and_then(|drift| config.clone().with_lease(drift));
    Ok(leased.unwrap_or(config))
}

fn run<'a, P: Audit>(
    seed: u64,
    options: &'a Options,
    out: Option<&'a mut (dyn FnMut(String) + 'a)>,
    configure: impl Fn(&Cluster) -> Result<P::Config, ConfigError>,
) -> Report {
    let mut run = Run::<P>::new(seed, options, configure, out);
    run.live();
    run.print();
    run.report()
}

/// The same run, bit for bit, and its first steps as the module `Tape` of TLA+, for `docs/tla`.
pub fn chronicle<P: Audit>(seed: u64, options: &Options, steps: usize) -> (Report, String) {
    let configure = |cluster: &Cluster| settings::<P>(options, cluster);
    let mut run = Run::<P>::new(seed, options, configure, None);
    run.world.keep_chronicle(steps);
    run.live();
    let module = run.world.take_chronicle();
    (run.report(), module)
}

pub(crate) struct Run<'a, P: Audit> {
    pub(crate) seed: u64,
    pub(crate) options: &'a Options,
    pub(crate) world: World<P, Registers>,
    pub(crate) rng: Rng,
    out: Option<&'a mut (dyn FnMut(String) + 'a)>,
    recovery: Option<Duration>,
    first_answers: Option<Duration>,
    decided: Option<Duration>,
}

impl<'a, P: Audit> Run<'a, P> {
    fn new(
        seed: u64,
        options: &'a Options,
        configure: impl Fn(&Cluster) -> Result<P::Config, ConfigError>,
        out: Option<&'a mut (dyn FnMut(String) + 'a)>,
    ) -> Self {
        let survived = options.traitors <= P::INFO.max_faults(options.nodes);
        assert!(survived || options.too_many_traitors, "no more traitors than are survived");
        let mut rng = Rng::for_purpose(seed, 3);
        let operators = &options.operators;
        let universe = options.nodes + operators.spares;
        let mut cluster = Cluster::new(ClusterId(u128::from(seed)), universe);
        cluster.voters = NodeSet::first(options.nodes);
        cluster.timing = options.timing;
        let config = configure(&cluster).expect("the algorithm can run in a cluster of this size");
        let outside = Cluster { voters: NodeSet::EMPTY, ..cluster.clone() };
        let joining = (operators.spares > 0).then(|| configure(&outside).expect("a node can join"));
        let mut setup = Setup::<P>::new(cluster, seed);
        setup.config = Some(config);
        setup.joining = joining;
        setup.snapshot_every = operators.snapshots;
        setup.snapshot_chunk = operators.chunk;
        setup.network = options.faults.network.clone();
        setup.disk = options.faults.disk.clone();
        setup.max_batch = options.max_batch;
        setup.sessions = options.sessions.unwrap_or(setup.sessions);
        setup.turns = options.turns;
        setup.in_place = options.in_place;
        setup.compare_states_every = Some(8);
        setup.traitors = traitors(options, &mut rng);
        let mut world = World::new(setup, Registers::default);
        for node in world.cluster().nodes().iter() {
            let drift = options.faults.drift;
            let mut rate = rng.between(u64::from(CERTAIN - drift), u64::from(CERTAIN + drift));
            if operators.sieges.is_some() {
                // As wrong as they may be.
                let fast = rate > u64::from(CERTAIN);
                rate = u64::from(if fast { CERTAIN + drift } else { CERTAIN - drift });
            }
            if operators.worse_clocks {
                // A slow one, which would have to lead; the others are fast.
                let slow = node.index() as u64 == seed % options.nodes as u64;
                rate = u64::from(if slow { CERTAIN - drift } else { CERTAIN + drift });
            }
            world.set_clock_rate(node, rate as u32);
        }
        if operators.lease.is_some() {
            world.mark(LEASES);
        }
        if operators.worse_clocks {
            world.trust_no_lease();
        }
        if options.turns.is_some() {
            world.mark(TURNS);
        }
        if operators.readers > 0 {
            (0..options.registers).for_each(|register| world.watch(question(register)));
        }
        if out.is_some() {
            world.keep_log();
        }
        let (recovery, first_answers, decided) = (None, None, None);
        Self { seed, options, world, rng, out, recovery, first_answers, decided }
    }

    /// The world survives a panic of the protocol: it says what happened before.
    fn live(&mut self) {
        let ended = catch_unwind(AssertUnwindSafe(|| self.all_phases()));
        if let Err(panic) = ended {
            self.world.panicked(panic_text(panic.as_ref()));
        }
    }

    fn all_phases(&mut self) {
        match &self.options.shuffle {
            None => self.safety(),
            Some(shuffle) => self.shuffled(shuffle),
        }
        let safety_only = self.options.shuffle.as_ref().is_some_and(|shuffle| !shuffle.progress);
        if self.world.violation().is_some() || safety_only || self.options.too_many_traitors {
            return;
        }
        // What is asked of the healed is progress, not to be faster than clients that never rest.
        self.world.retire_clients();
        self.world.retire_readers();
        let core = self.heal_core();
        self.demand_of_hub(core);
        self.demand_progress(core, "healed quorum");
        self.heal_rest();
        self.demand_progress(self.able_members(), "healed cluster");
        self.reform();
        self.come_home_to_silence();
        self.rest();
        self.disturb();
        self.calm();
        for node in self.able().iter() {
            self.world.compare_state_of(node);
        }
        self.look_from_outside();
    }

    /// O10, over the answers of the whole run.
    fn look_from_outside(&mut self) {
        if self.world.violation().is_some() {
            return;
        }
        match blackbox::linearizable(
            self.world.completions(),
            &self.world.reads_that_count(),
            self.world.under_way(),
        ) {
            Ok(0) => {}
            Ok(_) => self.world.mark("search for an order given up"),
            Err(finding) => self.world.fail(None, finding),
        }
    }

    /// Faults strike until time is up or all clients have ended.
    fn safety(&mut self) {
        let mut nemesis = Nemesis::new(self.seed, self.options);
        nemesis.turn_traitors(&mut self.world);
        self.keep_equivocating();
        let clients: Vec<ClientId> = (0..self.options.clients).map(|_| self.add_client()).collect();
        self.add_crowd();
        self.add_readers();
        let mut churn = Churn::new(self.seed, &self.options.operators);
        let mut sieges = Sieges::new(self.seed, self.options);
        let mut exiles = Exiles::new(self.seed, &self.options.operators);
        let mut comebacks = Comebacks::new(self.seed, self.options);
        let end = self.options.safety;
        while self.world.now() < end && self.world.violation().is_none() {
            if clients.iter().all(|client| self.world.client_ended(*client)) {
                break;
            }
            let operators = churn.due().min(sieges.due()).min(exiles.due());
            let operators = operators.min(comebacks.due());
            let until = nemesis.due().min(operators).min(end);
            self.advance(until, |world| nemesis.is_alarmed(world));
            nemesis.act(&mut self.world);
            churn.act(&mut self.world);
            sieges.act(&mut self.world);
            exiles.act(&mut self.world);
            comebacks.act(&mut self.world);
            self.keep_equivocating();
        }
        churn.keep_promises(&mut self.world);
        self.world.pass_all();
        self.world.release_held();
        self.world.forget_kept();
    }

    fn keep_equivocating(&mut self) {
        if let Some(node) = self.options.equivocator {
            self.world.betray(node, Treason::Equivocate);
        }
    }

    pub(crate) fn add_client(&mut self) -> ClientId {
        let target = NodeId(self.rng.below(self.options.nodes as u64) as u8);
        let election = self.options.timing.election_max;
        let patience = Patience {
            attempt: self.rng.time(election / 4, election * 2),
            pause: self.rng.time(Duration::from_millis(5), Duration::from_millis(100)),
            give_up: self.rng.time(election, election * 16),
        };
        let (mut rng, registers) = (Rng::new(self.rng.next_u64()), self.options.registers);
        let commands = self.options.commands as u64;
        let (think, mut due) = (self.options.think, self.world.now());
        let client = self.world.add_client(target, patience, move |nth| {
            due += rng.time(Duration::ZERO, think);
            (nth < commands).then(|| (operation(&mut rng, registers).encode(), Some(due)))
        });
        // Some want to know how it ended, however long that takes.
        self.world.resume_commands(client, [0, 4][client.0 as usize % 2]);
        client
    }

    /// A node outside the core stays as it is, or is hurt once more, for as long as the core has
    /// to get on without it: a node that can send and not hear, or hear and not send, is worse to
    /// have around than a dead one.
    fn hurt(&mut self, node: NodeId) {
        let peers = self.world.cluster().peers_of(node);
        match self.rng.below(8) {
            0 => self.world.crash(node),
            1 => self.world.isolate(node),
            2 => self.world.pause(node),
            3 => peers.iter().for_each(|peer| self.world.cut(peer, node)),
            4 => peers.iter().for_each(|peer| self.world.cut(node, peer)),
            5 => self.cut_half(node, peers),
            _ => {}
        }
    }

    fn cut_half(&mut self, node: NodeId, peers: NodeSet) {
        for peer in peers.iter() {
            if self.rng.chance(5_000) {
                self.world.cut(peer, node);
                self.world.cut(node, peer);
            }
        }
    }

    fn revive(&mut self, nodes: NodeSet) {
        for node in nodes.iter() {
            self.world.resume(node);
            if self.world.is_born(node) {
                self.world.restart(node);
            } else {
                self.world.join(node);
            }
        }
    }

    fn heal_rest(&mut self) {
        let all = self.world.cluster().nodes();
        self.world.make_reliable(all);
        // Who never started and is no member does not start now.
        let started = all.iter().filter(|node| self.world.is_born(*node)).collect();
        self.revive(self.able_members().or(started));
        self.world.heal_all();
    }

    /// O13: fresh clients at these nodes get all their answers in time, and these nodes catch up
    /// with everything that was committed before.
    fn demand_progress(&mut self, nodes: NodeSet, what: &str) {
        let (start, before) = (self.world.now(), self.world.last_committed());
        let Some(first) = self.demand_answers(nodes, what) else { return };
        if self.recovery.is_none() {
            self.recovery = Some(self.world.now() - start);
            self.first_answers = Some(first);
        }
        self.converge(nodes, before, what);
    }

    /// How long all have to get their answers, or to catch up.
    fn bound(&self) -> Duration {
        self.options.timing.election_max * self.options.patience
    }

    /// O13: fresh clients at these nodes get all their answers in time. How long it took until each
    /// had its first; `None` if not all had theirs.
    fn demand_answers(&mut self, nodes: NodeSet, what: &str) -> Option<Duration> {
        if self.world.violation().is_some() {
            return None;
        }
        let (start, bound) = (self.world.now(), self.bound());
        self.world.tell(|| format!("{what} {nodes:?}: fresh clients ask"));
        let ends: Vec<ClientId> = (0..FRESH_CLIENTS).map(|_| self.add_fresh(nodes)).collect();
        let reader = self.add_fresh_reader(nodes);
        let (before, mut decided) = (self.world.last_committed(), None);
        let answered = self.advance(start + bound, |world| {
            if decided.is_none() && world.last_committed() > before {
                decided = Some(world.now() - start);
            }
            ends.iter().all(|client| world.client_ended(*client))
                && reader.is_none_or(|reader| world.reader_ended(reader))
        });
        self.decided = self.decided.or(decided);
        // In a crowd a session may be dropped, and then nobody knows of a command tried twice.
        let known = |done: &&Completion| match done.outcome {
            Outcome::Committed { .. } => true,
            Outcome::Unknown => self.options.sessions.is_some(),
            Outcome::Refused(_) => false,
        };
        let mut fresh = self.world.completions().iter().filter(|done| ends.contains(&done.client));
        let refused = fresh.find(|done| !known(done));
        let mut reads = self.world.reads().iter();
        let unread = reads.find(|done| reader == Some(done.client) && done.answer.is_err());
        let wrong = match (answered, refused, unread) {
            (false, _, _) => Some(("progress", "left fresh clients without answers".to_owned())),
            (_, Some(done), _) => Some(("answers", format!("ended a fresh client with {done:?}"))),
            (_, _, Some(done)) => Some(("answers", format!("ended a fresh reader with {done:?}"))),
            _ => None,
        };
        if let Some((name, why)) = wrong {
            self.stuck(name, bound, format!("the {what} {nodes:?} {why}"));
            return None;
        }
        let first = self.world.completions().iter().filter(|done| done.nth == 0);
        let first = first.filter(|done| ends.contains(&done.client)).map(|done| done.ended);
        Some(first.max().unwrap_or(start) - start)
    }

    /// All of these apply what was committed before. A little traffic goes on, as some algorithms
    /// tell what was chosen only with what is proposed next.
    fn converge(&mut self, nodes: NodeSet, before: LogIndex, what: &str) {
        if self.world.violation().is_some() {
            return;
        }
        let (start, bound) = (self.world.now(), self.bound());
        let gap = self.options.timing.heartbeat * 4;
        let first = nodes.iter().next().expect("a core has a node");
        let mut rng = Rng::new(self.rng.next_u64());
        self.world.add_client(first, Patience::default(), move |nth| {
            let due = start + gap * nth as u32;
            (nth < 16).then(|| (operation(&mut rng, 1).encode(), Some(due)))
        });
        let behind = |world: &World<P, Registers>| -> Vec<NodeId> {
            // A change of members that was under way may have removed some of them meanwhile.
            let late = |node: &NodeId| world.executor(*node).applied() < before;
            nodes.and(world.decided_members().members()).iter().filter(late).collect()
        };
        if !self.advance(start + bound, |world| behind(world).is_empty()) {
            // A leader outside the core may serve a quorum, and yet not reach all of the core. It
            // is right to leave it in office; then only progress is owed.
            if self.world.leader().is_some_and(|leader| !nodes.contains(leader)) {
                return self.world.mark("core led from outside");
            }
            let late = behind(&self.world);
            let detail = format!("{late:?} of the {what} {nodes:?} did not catch up to {before}");
            self.stuck("convergence", bound, detail);
        }
    }

    /// Readers that ask while faults are on.
    pub(crate) fn add_readers(&mut self) {
        for _ in 0..self.options.operators.readers {
            let target = NodeId(self.rng.below(self.options.nodes as u64) as u8);
            let election = self.options.timing.election_max;
            let patience = Patience {
                attempt: self.rng.time(election / 4, election * 2),
                pause: self.rng.time(Duration::from_millis(5), Duration::from_millis(100)),
                give_up: self.rng.time(election, election * 8),
            };
            let operators = &self.options.operators;
            let (think, questions) = (operators.think, operators.questions as u64);
            let (kinds, registers) = (operators.consistencies.clone(), self.options.registers);
            let (mut rng, mut due) = (Rng::new(self.rng.next_u64()), self.world.now());
            self.world.add_reader(target, patience, move |nth| {
                due += rng.time(Duration::ZERO, think);
                let register = rng.below(u64::from(registers)) as u8;
                (nth < questions).then(|| (question(register), rng.pick(&kinds), due))
            });
        }
    }

    /// Whom of these nodes a fresh client asks first, and how long it waits: as long as they may
    /// take.
    fn fresh(&mut self, nodes: NodeSet) -> (NodeId, Patience) {
        let nodes: Vec<NodeId> = nodes.iter().collect();
        let election = self.options.timing.election_max;
        let patience = Patience {
            // A request or an answer that got lost outside the core costs no more than that.
            attempt: election / 2,
            pause: Duration::from_millis(20),
            give_up: election * self.options.patience,
        };
        (self.rng.pick(&nodes), patience)
    }

    /// A reader whom these nodes owe answers.
    fn add_fresh_reader(&mut self, nodes: NodeSet) -> Option<ClientId> {
        if self.options.operators.readers == 0 {
            return None;
        }
        let (target, patience) = self.fresh(nodes);
        let now = self.world.now();
        Some(self.world.add_reader(target, patience, move |nth| {
            let index = Consistency::Linearizable(ReadMode::Index);
            (nth < FRESH_COMMANDS).then(|| (question(0), index, now))
        }))
    }

    fn add_fresh(&mut self, nodes: NodeSet) -> ClientId {
        let (target, patience) = self.fresh(nodes);
        let (mut rng, registers) = (Rng::new(self.rng.next_u64()), self.options.registers);
        let client = self.world.add_client(target, patience, move |nth| {
            (nth < FRESH_COMMANDS).then(|| (operation(&mut rng, registers).encode(), None))
        });
        if self.rng.chance(2_000) {
            let lost = self.rng.between(1, self.options.nodes as u64) as u32;
            self.world.lose_answers(client, lost);
        }
        client
    }

    fn stuck(&mut self, name: &'static str, bound: Duration, detail: String) {
        let states = self.world.cluster().nodes().iter();
        let states: Vec<_> = states.map(|node| (node, self.world.status(node))).collect();
        let members = self.world.decided_members();
        let detail = format!("{detail} within {bound:?}; {members:?}; {states:?}");
        if self.world.violation().is_none() {
            self.world.fail(None, Finding::new("O13", name, detail));
        }
    }

    /// Lets time pass, and hands out the log on the way.
    fn advance(
        &mut self,
        until: Duration,
        mut stop: impl FnMut(&World<P, Registers>) -> bool,
    ) -> bool {
        match &mut self.out {
            None => self.world.run_until(until, stop),
            Some(out) => loop {
                let mut once = false;
                let mut stopped = false;
                let reached = !self.world.run_until(until, |world| {
                    stopped = stop(world);
                    stopped || std::mem::replace(&mut once, true)
                });
                self.world.take_log().into_iter().for_each(&mut **out);
                if stopped || reached {
                    return stopped;
                }
            },
        }
    }

    pub(crate) fn print(&mut self) {
        if let Some(out) = &mut self.out {
            self.world.take_log().into_iter().for_each(&mut **out);
        }
    }

    fn report(self) -> Report {
        let world = self.world;
        let ended = |which: fn(&Outcome) -> bool| {
            world.completions().iter().filter(|one| which(&one.outcome)).count() as u64
        };
        Report {
            seed: self.seed,
            hash: world.hash(),
            violation: world.violation().cloned(),
            events: world.events(),
            simulated: world.now(),
            operations: ended(|outcome| matches!(outcome, Outcome::Committed { .. })),
            unknown: ended(|outcome| *outcome == Outcome::Unknown),
            refused: ended(|outcome| matches!(outcome, Outcome::Refused(_))),
            leader_changes: world.leader_changes(),
            recovery: self.recovery,
            first_answers: self.first_answers,
            decided: self.decided,
            faults: world.faults().clone(),
            marks: world.marks().clone(),
        }
    }
}

/// What a panic says.
pub(crate) fn panic_text(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
    text.unwrap_or("a panic without a message").to_owned()
}

fn traitors(options: &Options, rng: &mut Rng) -> NodeSet {
    let mut traitors: NodeSet = options.equivocator.into_iter().collect();
    while traitors.len() < options.traitors {
        traitors.insert(NodeId(rng.below(options.nodes as u64) as u8));
    }
    traitors
}

/// What a reader asks of a register.
pub(crate) fn question(register: u8) -> Bytes {
    Bytes::copy_from_slice(&[register])
}

pub(crate) fn operation(rng: &mut Rng, registers: u8) -> Operation {
    let key = rng.below(u64::from(registers)) as u8;
    match rng.below(5) {
        0 => Operation::Get(key),
        1 => Operation::Put(key, rng.below(10)),
        2 => Operation::Cas(key, rng.below(10), rng.below(10)),
        _ => Operation::Append(key, rng.below(1_000)),
    }
}
