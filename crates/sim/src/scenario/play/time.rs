//! Playing a scenario in which time passes: in a world, with clients.

use super::super::act::{Act, Load, Weather};
use super::super::condition::{Condition, Number, Span};
use super::super::item::Item;
use super::super::text::{All, Time};
use super::super::vocabulary::Vocabulary;
use super::super::{Action, Chart, Entry, Expectation, Line, Proposal, Scenario};
use super::judge::{self, Ground};
use super::{Missed, Outcome};
use crate::check::panic_text;
use crate::network::{Latency, Network};
use crate::oracle::blackbox;
use crate::registers::{Operation, Registers};
use crate::rng::Rng;
use crate::world::{Setup, World};
use consensus_core::{
    Audit, Batch, Consistency, LogIndex, Message, NodeId, NodeSet, Outcome as Answer, Patience,
    Status,
};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Registers that clients work on.
const REGISTERS: u64 = 4;

/// Plays it.
pub(super) fn play<P: Audit>(
    scenario: &Scenario,
    weather: &Weather,
    words: &dyn Vocabulary<P>,
) -> Result<Outcome, String> {
    let scene = scenario.scene_with::<P>(words)?;
    if scene.disks.iter().any(|disk| !disk.is_empty()) || !scenario.traitors.is_empty() {
        return Err("'setup' and 'traitors' are for scenarios with 'net manual'".into());
    }
    if scenario.entries.iter().any(|line| matches!(line.entry, Entry::Branch(..))) {
        return Err("'branch' is for scenarios with 'net manual'".into());
    }
    let mut setup = Setup::<P>::new(scene.cluster, scenario.seed);
    setup.config = Some(scene.config);
    setup.network = network(weather, scenario.nodes);
    setup.joining = scene.joining;
    setup.snapshot_chunk = scene.chunk;
    let mut clock = Clock {
        scenario,
        world: World::new(setup, Registers::default),
        chart: Chart::default(),
        missed: Vec::new(),
        told: Vec::new(),
        never: Vec::new(),
        line: 0,
    };
    for (node, rate) in scenario.clocks.iter().flat_map(|it| it.rates.iter().enumerate()) {
        clock.world.set_clock_rate(NodeId(node as u8), *rate);
    }
    let ended = catch_unwind(AssertUnwindSafe(|| clock.all(&scenario.entries)));
    if let Err(panic) = ended {
        clock.world.panicked(panic_text(panic.as_ref()));
    }
    let Clock { world, chart, missed, told, .. } = clock;
    let violation = world.violation().cloned();
    let lines: Vec<&Line> = scenario.entries.iter().collect();
    Ok(scenario.judged(&lines, Outcome { violation, missed, chart, skipped: 0, told }))
}

fn network(weather: &Weather, nodes: usize) -> Network {
    let &Weather { delay, jitter, loss, duplication, ref far } = weather;
    let mut network = Network::fixed(delay);
    if !jitter.is_zero() {
        network.latency = Latency::Uniform { min: delay, max: delay + jitter };
    }
    if !far.is_empty() {
        let mut matrix = vec![vec![delay; nodes]; nodes];
        for (groups, time) in far {
            for (one, two) in crossings(groups) {
                matrix[one.index()][two.index()] = *time / 2;
            }
        }
        network.matrix = Some(matrix);
    }
    network.loss = loss;
    network.duplication = duplication;
    network
}

/// Every way from a node of one of these groups to a node of another.
fn crossings(groups: &[NodeSet]) -> Vec<(NodeId, NodeId)> {
    let mut ways = Vec::new();
    for (place, group) in groups.iter().enumerate() {
        for other in groups.iter().skip(place + 1) {
            for (one, two) in group.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
                ways.extend([(one, two), (two, one)]);
            }
        }
    }
    ways
}

struct Clock<'a, P: Audit> {
    scenario: &'a Scenario,
    world: World<P, Registers>,
    chart: Chart,
    missed: Vec<Missed>,
    told: Vec<String>,
    never: Vec<(usize, &'a [Condition])>,
    line: usize,
}

/// It is over: something is not as it should be.
struct Over;

impl<'a, P: Audit> Clock<'a, P> {
    fn all(&mut self, lines: &'a [Line]) {
        let _ = lines.iter().try_for_each(|line| self.one(line));
    }

    fn miss(&mut self, why: &str) {
        let missed = Missed { line: self.line, why: self.scenario.names.rename(why) };
        if !self.missed.contains(&missed) {
            self.missed.push(missed);
        }
    }

    fn one(&mut self, line: &'a Line) -> Result<(), Over> {
        if self.world.violation().is_some() {
            return Err(Over);
        }
        self.line = line.number;
        match &line.entry {
            Entry::Step(step) => self.step(&step.action),
            Entry::Act(act) => self.act(act)?,
            Entry::Expect(expectation) => {
                if let Err(why) = self.expect(expectation) {
                    self.miss(&why);
                }
                return Ok(());
            }
            Entry::Repeat(times, lines) => {
                for _ in 0..*times {
                    lines.iter().try_for_each(|line| self.one(line))?;
                }
                return Ok(());
            }
            Entry::Branch(..) | Entry::Simulate(_) => {}
        }
        self.draw(&line.entry);
        Ok(())
    }

    /// A line of the chart: when, what, and how things stand after it.
    fn draw(&mut self, entry: &Entry) {
        let leader = self.world.leader().map_or("nobody".into(), |it| it.to_string());
        let (now, answered) = (self.world.now().as_secs_f64(), self.answers().count());
        let committed = self.world.last_committed();
        let text = format!(
            "{now:>8.3}s  {entry}; leader {leader}, {committed} indices committed, {answered} \
             commands answered"
        );
        self.chart.remark(&self.scenario.names.rename(&text));
    }

    fn step(&mut self, action: &Action) {
        match action {
            Action::Crash { node, .. } => self.world.crash(*node),
            Action::Restart(node) if self.world.is_born(*node) => self.world.restart(*node),
            Action::Restart(node) => self.world.join(*node),
            Action::Campaign(node) => self.world.campaign(*node),
            Action::Propose { node, commands } => {
                for command in commands {
                    match command {
                        Proposal::Text(text) => {
                            self.world.submit(*node, text.clone().into_bytes());
                        }
                        Proposal::Request { .. } => self.miss("here commands are texts in quotes"),
                    }
                }
            }
            Action::Transfer { node, to } => self.world.transfer(*node, *to),
            Action::Change { node, change } => self.world.change_members(*node, change.clone()),
            Action::Read { node, mode } => {
                let consistency = Consistency::Linearizable(*mode);
                self.world.read(*node, consistency, Operation::Get(0).encode());
            }
            Action::Snapshot(node) => {
                if !self.world.take_snapshot(*node) {
                    self.miss("there is nothing new to take a snapshot of");
                }
            }
            // Refused where the text is read.
            Action::Save { .. }
            | Action::Deliver { .. }
            | Action::Drop(_)
            | Action::Timeout { .. }
            | Action::Sync { .. } => self.miss("this is done by hand, and here time passes"),
        }
    }

    fn act(&mut self, act: &'a Act) -> Result<(), Over> {
        match act {
            Act::Link { from, to, up } => {
                for from in from.iter() {
                    for to in to.without(from).iter() {
                        if *up {
                            self.world.mend(from, to);
                        } else {
                            self.world.cut(from, to);
                        }
                    }
                }
            }
            Act::Isolate(node) => self.world.isolate(*node),
            Act::Partition(groups) => self.part(groups),
            Act::Heal => self.world.heal_all(),
            Act::RunFor(time) => self.wait(*time)?,
            Act::At(moment) => {
                let now = self.world.now();
                match moment.checked_sub(now) {
                    Some(rest) => self.wait(rest)?,
                    None => self.miss(&format!("it is {} already", Time(now))),
                }
            }
            Act::RunUntil(conditions, within) => {
                self.until(conditions, within.unwrap_or(Duration::from_secs(60)))?;
            }
            Act::Say(text) => self.told.push(text.clone()),
            Act::Pause(node) => self.world.pause(*node),
            Act::Resume(node) => self.world.resume(*node),
            Act::Slow(node, time) => self.world.slow(*node, *time),
            Act::Stabilize => self.world.make_reliable(self.world.cluster().nodes()),
            Act::Load(load) => self.load(*load),
            Act::Unload => self.world.retire_clients(),
            Act::Hold(_)
            | Act::Release
            | Act::Lose(_)
            | Act::Run
            | Act::ExploreOrders
            | Act::Recount => self.miss("this is done by hand, and here time passes"),
        }
        Ok(())
    }

    fn part(&mut self, groups: &[NodeSet]) {
        crossings(groups).into_iter().for_each(|(from, to)| self.world.cut(from, to));
    }

    /// Time passes; what must never be so is looked for at every event.
    fn wait(&mut self, time: Duration) -> Result<(), Over> {
        let limit = self.world.now() + time;
        self.advance(limit, &[]).map(|_| ())
    }

    fn until(&mut self, conditions: &[Condition], within: Duration) -> Result<(), Over> {
        let limit = self.world.now() + within;
        if self.advance(limit, conditions)? {
            return Ok(());
        }
        let why = match self.hold(conditions) {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(why)) | Err(why) => why,
        };
        let wanted = All(conditions);
        self.miss(&format!("expected {wanted} within {}; {why}", Time(within)));
        Err(Over)
    }

    /// Up to a moment, or until all this is so; nothing is not so. True if it was so.
    fn advance(&mut self, limit: Duration, conditions: &[Condition]) -> Result<bool, Over> {
        let (n, never) = (self.scenario.nodes, self.never.clone());
        let mut broken = None;
        let so = self.world.run_until(limit, |world| {
            let so = |conditions: &[Condition]| {
                matches!(judge::all(&Sky(world), n, conditions), Ok(Ok(())))
            };
            broken = never.iter().find(|(_, conditions)| so(conditions)).copied();
            broken.is_some() || (!conditions.is_empty() && so(conditions))
        });
        if let Some((line, conditions)) = broken {
            let why = self.scenario.names.rename(&format!("it is so: {}", All(conditions)));
            self.missed.push(Missed { line, why });
            return Err(Over);
        }
        if self.world.violation().is_some() { Err(Over) } else { Ok(so) }
    }

    /// Clients with chance of their own, so that the seed draws what they ask for.
    fn load(&mut self, load: Load) {
        let start = self.world.now();
        let nodes = self.world.cluster().nodes();
        for client in 0..load.clients {
            let target = NodeId((client as usize % nodes.len()) as u8);
            let purpose = 1_000 + u64::from(client);
            let mut rng = Rng::for_purpose(self.scenario.seed, purpose);
            self.world.add_client(target, Patience::default(), move |nth| {
                let more = load.commands.is_none_or(|commands| nth < commands);
                let due = load.every.map(|every| start + every.saturating_mul(nth as u32 + 1));
                more.then(|| (operation(&mut rng).encode(), due))
            });
        }
    }

    fn expect(&mut self, expectation: &'a Expectation) -> Result<(), String> {
        match expectation {
            Expectation::Safe | Expectation::Violation(_) => Ok(()), // Judged at the end.
            Expectation::Now(conditions) => {
                self.hold(conditions)?.map_err(|why| format!("expected {}; {why}", All(conditions)))
            }
            Expectation::Never(conditions) => {
                self.never.push((self.line, conditions));
                match self.hold(conditions)? {
                    Ok(()) => Err(format!("it is so: {}", All(conditions))),
                    Err(_) => Ok(()),
                }
            }
            Expectation::Trace(..) | Expectation::Outcomes(_) => {
                Err("this can be expected only with 'net manual'".into())
            }
        }
    }

    fn hold(&self, conditions: &[Condition]) -> Result<Result<(), String>, String> {
        judge::all(&Sky(&self.world), self.scenario.nodes, conditions)
    }

    fn answers(&self) -> impl Iterator<Item = &crate::world::Completion> {
        answers(&self.world)
    }
}

fn operation(rng: &mut Rng) -> Operation {
    let register = rng.below(REGISTERS) as u8;
    match rng.below(4) {
        0 => Operation::Get(register),
        1 => Operation::Put(register, rng.below(1_000)),
        _ => Operation::Append(register, rng.below(1_000)),
    }
}

fn answers<P: Audit>(
    world: &World<P, Registers>,
) -> impl Iterator<Item = &crate::world::Completion> {
    let committed = |it: &&crate::world::Completion| matches!(it.outcome, Answer::Committed { .. });
    world.completions().iter().filter(committed)
}

/// A world that is asked.
struct Sky<'a, P: Audit>(&'a World<P, Registers>);

impl<P: Audit> Ground for Sky<'_, P> {
    fn nodes(&self) -> NodeSet {
        self.0.cluster().nodes()
    }

    fn status(&self, node: NodeId) -> Option<Status> {
        self.0.status(node)
    }

    fn number(&self, number: &Number) -> Result<u64, String> {
        let outcomes = || self.0.completions().iter().map(|done| &done.outcome);
        match number {
            Number::Committed(node) => match self.0.status(*node) {
                Some(status) => Ok(status.committed.0),
                None => Err(format!("{node} is down")),
            },
            Number::Answered => Ok(answers(self.0).count() as u64),
            Number::Unknown => {
                Ok(outcomes().filter(|it| matches!(it, Answer::Unknown)).count() as u64)
            }
            Number::Elections => Ok(self.0.leader_changes()),
            Number::Count(pattern) => {
                let kinds = <P::Message as Message>::KINDS.iter();
                let wanted = |name| pattern.kind.as_ref().is_none_or(|wanted| wanted == name);
                let Some((from, to)) = pattern.links else {
                    let all = self.nodes().iter();
                    let sent = all.flat_map(|node| self.0.counters(node).sent());
                    return Ok(sent.filter(|it| wanted(it.0.name)).map(|it| it.1.messages).sum());
                };
                if to != self.nodes().minus(from) {
                    return Err("here messages are counted by sender: A -> all others".into());
                }
                let of = |node: NodeId| {
                    let sent = kinds.clone().filter(|kind| wanted(kind.name));
                    sent.map(|kind| self.0.counters(node).sent_of(*kind).messages).sum::<u64>()
                };
                Ok(from.iter().map(of).sum())
            }
            Number::Epoch(_) | Number::OnWay(_) => {
                Err(format!("'{number}' can be asked for only with 'net manual'"))
            }
        }
    }

    fn chosen(&self) -> Vec<Batch> {
        self.0.committed().map(|(_, batch)| batch.clone()).collect()
    }

    fn look(&self, node: NodeId, what: &str, _: &[Item]) -> Result<Vec<Item>, String> {
        let status = self.0.status(node).ok_or_else(|| format!("{node} is down"))?;
        let upto = |(index, _): &(LogIndex, &Batch)| *index <= status.committed;
        let committed: Vec<Batch> =
            self.0.committed().take_while(upto).map(|(_, batch)| batch.clone()).collect();
        match what {
            "chosen" => Ok(judge::texts(&committed)),
            "state" => Ok(judge::state_of(&committed)),
            _ => Err(format!("'{what}' can be asked for only with 'net manual'")),
        }
    }

    fn time(&self, span: Span) -> Result<Option<Duration>, String> {
        let mut took: Vec<Duration> = answers(self.0).map(|it| it.ended - it.intended).collect();
        took.sort_unstable();
        let share = |hundredths: usize| {
            let place = (took.len() * hundredths).div_ceil(100).max(1) - 1;
            took.get(place).copied()
        };
        Ok(match span {
            Span::Median => share(50),
            Span::Slowest => share(99),
            Span::Gap => {
                let ends: Vec<Duration> = answers(self.0).map(|it| it.ended).collect();
                ends.windows(2).map(|pair| pair[1].saturating_sub(pair[0])).max()
            }
        })
    }

    fn linearizable(&self) -> Result<Result<(), String>, String> {
        let found =
            blackbox::linearizable(self.0.completions(), self.0.reads(), self.0.under_way());
        Ok(found.map(|_| ()).map_err(|finding| finding.detail))
    }
}
