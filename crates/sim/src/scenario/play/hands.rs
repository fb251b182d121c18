//! Playing a scenario in which messages move by steps.

use super::super::act::Act;
use super::super::condition::{Condition, Number, Pattern};
use super::super::item::Item;
use super::super::text::All;
use super::super::vocabulary::{Sight, Vocabulary, said_by};
use super::super::{Action, Chart, Entry, Expectation, Line, Name, Scenario, Step};
use super::judge::{self, Ground, state_of};
use super::{Missed, orders};
use crate::stage::{Asked, Sent, Stage, kebab};
use consensus_core::{Audit, Batch, Membership, Message, NodeId, NodeSet, Status};
use std::collections::BTreeSet;

/// Messages that one `run` carries: beyond, they never stop talking.
const MOST_CARRIED: u32 = 20_000;

pub(super) struct Hands<'a, P: Audit> {
    scenario: &'a Scenario,
    words: &'a dyn Vocabulary<P>,
    pub(super) stage: &'a mut Stage<P>,
    pub(super) chart: Chart,
    pub(super) missed: Vec<Missed>,
    pub(super) skipped: usize,
    pub(super) told: Vec<String>,
    lenient: bool,
    /// Directions of links that carry nothing.
    down: BTreeSet<(NodeId, NodeId)>,
    held: Vec<Pattern>,
    never: Vec<(usize, &'a [Condition])>,
    /// Messages sent before are not counted.
    since: usize,
    outcomes: Option<BTreeSet<String>>,
    /// Nothing is drawn: it was, in the first of many rounds.
    quiet: bool,
    line: usize,
}

/// It is over: something cannot be, or is not as it should be.
struct Over;

type Flow = Result<(), Over>;

impl<'a, P: Audit> Hands<'a, P> {
    pub(super) fn new(
        scenario: &'a Scenario,
        words: &'a dyn Vocabulary<P>,
        stage: &'a mut Stage<P>,
        lenient: bool,
    ) -> Self {
        stage.keep_notes();
        stage.keep_sent();
        stage.loose = lenient;
        Self {
            chart: Chart::new(scenario.nodes, scenario.names.clone()),
            scenario,
            words,
            stage,
            missed: Vec::new(),
            skipped: 0,
            told: Vec::new(),
            lenient,
            down: BTreeSet::new(),
            held: Vec::new(),
            never: Vec::new(),
            since: 0,
            outcomes: None,
            quiet: false,
            line: 0,
        }
    }

    /// Plays these lines. The first so many were drawn before.
    pub(super) fn all(&mut self, drawn: usize, lines: &[&'a Line]) {
        for (place, line) in lines.iter().enumerate() {
            self.quiet = place < drawn;
            if self.one(line).is_err() {
                return;
            }
        }
    }

    fn miss(&mut self, why: &str) {
        let missed = Missed { line: self.line, why: self.scenario.names.rename(why) };
        if !self.missed.contains(&missed) {
            self.missed.push(missed);
        }
    }

    fn one(&mut self, line: &'a Line) -> Flow {
        if self.stage.violation().is_some() {
            return Err(Over);
        }
        self.line = line.number;
        match &line.entry {
            Entry::Step(step) => self.step(step),
            Entry::Expect(expectation) => {
                if let Err(why) = self.expect(expectation) {
                    self.miss(&why);
                }
                Ok(())
            }
            Entry::Act(act) => self.act(act),
            Entry::Repeat(times, lines) => {
                let drawn = self.quiet;
                for round in 0..*times {
                    self.quiet = drawn || round > 0;
                    lines.iter().try_for_each(|line| self.one(line))?;
                }
                self.quiet = drawn;
                if *times > 1 && !drawn {
                    self.chart.remark(&format!("      … and {} times more", times - 1));
                }
                Ok(())
            }
            Entry::Simulate(_) | Entry::Branch(..) => Ok(()),
        }
    }

    fn step(&mut self, step: &Step) -> Flow {
        let message = match &step.action {
            Action::Deliver { message, .. } | Action::Drop(message) => self.stage.named(message),
            _ => None,
        };
        let says = message.map(|message| self.words.tell(message)).unwrap_or_default();
        let cut = match &step.action {
            Action::Deliver { message, .. } if self.down.contains(&(message.from, message.to)) => {
                Err(format!("the link from {} to {} is down", message.from, message.to))
            }
            _ => Ok(()),
        };
        let done = cut.and_then(|()| self.stage.perform(step).map_err(|why| why.to_string()));
        if let Err(why) = done {
            if self.lenient {
                self.skipped += 1;
                return Ok(());
            }
            self.miss(&format!("cannot {step}: {why}"));
            return Err(Over);
        }
        let notes = self.stage.take_notes();
        if !self.quiet || self.stage.violation().is_some() {
            self.chart.add((step, &says), &notes, self.stage.violation());
        }
        self.watch()
    }

    /// What must never be so is not so.
    fn watch(&mut self) -> Flow {
        for (line, conditions) in self.never.clone() {
            if let Ok(Ok(())) = self.hold(conditions) {
                let why = self.scenario.names.rename(&format!("it is so: {}", All(conditions)));
                self.missed.push(Missed { line, why });
                return Err(Over);
            }
        }
        if self.stage.violation().is_some() { Err(Over) } else { Ok(()) }
    }

    fn act(&mut self, act: &'a Act) -> Flow {
        match act {
            Act::Link { from, to, up } => {
                for from in from.iter() {
                    for to in to.iter().filter(|to| *to != from) {
                        if *up {
                            self.down.remove(&(from, to));
                        } else {
                            self.down.insert((from, to));
                        }
                    }
                }
            }
            Act::Isolate(node) => self.part(&[NodeSet::only(*node), self.others(*node)]),
            Act::Partition(groups) => self.part(groups),
            Act::Heal => self.down.clear(),
            Act::Hold(pattern) => self.held.push(pattern.clone()),
            Act::Release => self.held.clear(),
            Act::Lose(pattern) => return self.lose(pattern),
            Act::Run => return self.run(&mut |_| false),
            Act::RunUntil(conditions, _) => return self.run_until(conditions),
            Act::ExploreOrders => return self.explore(),
            Act::Recount => self.since = self.stage.sent().len(),
            Act::Say(text) => self.told.push(text.clone()),
            Act::At(moment) => {
                if let Err(why) = self.stage.wait_until(*moment) {
                    self.miss(&why.to_string());
                    return Err(Over);
                }
            }
            Act::RunFor(_)
            | Act::Pause(_)
            | Act::Resume(_)
            | Act::Slow(..)
            | Act::Stabilize
            | Act::Load(_)
            | Act::Unload => {
                self.miss(&format!("'{act}' needs time"));
                return Err(Over);
            }
        }
        if !self.quiet && !matches!(act, Act::Say(_) | Act::Recount) {
            self.chart.remark(&self.scenario.names.rename(&format!("      {act}")));
        }
        Ok(())
    }

    fn others(&self, node: NodeId) -> NodeSet {
        NodeSet::first(self.scenario.nodes).without(node)
    }

    fn part(&mut self, groups: &[NodeSet]) {
        for (place, group) in groups.iter().enumerate() {
            for other in groups.iter().skip(place + 1) {
                for (one, two) in group.iter().flat_map(|a| other.iter().map(move |b| (a, b))) {
                    self.down.extend([(one, two), (two, one)]);
                }
            }
        }
    }

    fn lose(&mut self, pattern: &Pattern) -> Flow {
        let inverse = |name: &Name| pattern.fits(&name.kind, name.from, name.to);
        let mut passed = Vec::new();
        while let Some(name) = self.stage.oldest(&passed) {
            if inverse(&name) {
                self.step(&Action::Drop(name).into())?;
            } else {
                let links = Some((self.only(name.from), self.only(name.to)));
                passed.push(Pattern { kind: Some(name.kind), links });
            }
        }
        Ok(())
    }

    fn only(&self, node: NodeId) -> NodeSet {
        NodeSet::only(node)
    }

    /// Carries messages, oldest first, until it is enough or there are none. Those on cut links
    /// and to nodes that are down are lost.
    fn run(&mut self, enough: &mut dyn FnMut(&Self) -> bool) -> Flow {
        for _ in 0..MOST_CARRIED {
            if enough(self) {
                return Ok(());
            }
            let Some(message) = self.stage.oldest(&self.held) else { return Ok(()) };
            let cut = self.down.contains(&(message.from, message.to));
            let lost = cut || self.stage.replica(message.to).is_none();
            let (keep, lie) = (false, false);
            let action =
                if lost { Action::Drop(message) } else { Action::Deliver { message, keep, lie } };
            self.step(&action.into())?;
        }
        self.miss(&format!("after {MOST_CARRIED} messages they still talk"));
        Err(Over)
    }

    fn run_until(&mut self, conditions: &[Condition]) -> Flow {
        self.run(&mut |hands| matches!(hands.hold(conditions), Ok(Ok(()))))?;
        match self.hold(conditions) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(why)) | Err(why) => {
                self.miss(&format!("nothing is on its way any more, and {why}"));
                Err(Over)
            }
        }
    }

    fn explore(&mut self) -> Flow {
        match orders::explore(self.stage, &self.held) {
            Err(why) => {
                self.miss(&why);
                Err(Over)
            }
            Ok(found) => {
                let states = found.states;
                self.chart.remark(&format!("      explore all orders: {states} states"));
                self.outcomes = Some(found.outcomes);
                Ok(())
            }
        }
    }

    /// `Err` if it cannot be said, or if it is not so.
    fn expect(&mut self, expectation: &'a Expectation) -> Result<(), String> {
        match expectation {
            Expectation::Safe | Expectation::Violation(_) => Ok(()), // Judged at the end.
            Expectation::Now(conditions) => self.hold(conditions)?.map_err(|why| {
                let first = format!("expected {}", All(conditions));
                format!("{first}; {why}")
            }),
            Expectation::Never(conditions) => {
                self.never.push((self.line, conditions));
                match self.hold(conditions)? {
                    Ok(()) => Err(format!("it is so: {}", All(conditions))),
                    Err(_) => Ok(()),
                }
            }
            Expectation::Trace(pattern, wanted) => {
                let sent = self.sent(pattern);
                let found: Vec<String> =
                    sent.map(|sent| self.words.tell(&sent.message).join(" ")).collect();
                let renamed = |lines: &[String]| -> Vec<String> {
                    lines.iter().map(|line| self.scenario.names.rename(line)).collect()
                };
                let (found, wanted) = (renamed(&found), renamed(wanted));
                if found == wanted {
                    return Ok(());
                }
                Err(format!("expected {wanted:?}; sent was {found:?}"))
            }
            Expectation::Outcomes(wanted) => {
                let wanted: BTreeSet<String> = wanted.iter().map(ToString::to_string).collect();
                match &self.outcomes {
                    None => Err("expected outcomes, and nothing was explored".into()),
                    Some(found) if *found == wanted => Ok(()),
                    Some(found) => Err(format!("expected outcomes {wanted:?}; they are {found:?}")),
                }
            }
        }
    }

    fn hold(&self, conditions: &[Condition]) -> Result<Result<(), String>, String> {
        judge::all(self, self.scenario.nodes, conditions)
    }

    fn sent<'b>(&'b self, pattern: &'b Pattern) -> impl Iterator<Item = &'b Sent<P::Message>> {
        let fits =
            |sent: &&Sent<P::Message>| pattern.fits(sent.message.kind().name, sent.from, sent.to);
        self.stage.sent()[self.since..].iter().filter(fits)
    }

    fn knows_kind(&self, pattern: &Pattern) -> Result<(), String> {
        let kinds = <P::Message as Message>::KINDS;
        match &pattern.kind {
            Some(kind) if !kinds.iter().any(|known| known.name == kind) => {
                let kinds: Vec<_> = kinds.iter().map(|kind| kind.name).collect();
                Err(format!("no message is called {kind}; there are {}", kinds.join(", ")))
            }
            _ => Ok(()),
        }
    }
}

impl<P: Audit> Ground for Hands<'_, P> {
    fn nodes(&self) -> NodeSet {
        self.stage.cluster().nodes()
    }

    fn status(&self, node: NodeId) -> Option<Status> {
        self.stage.status(node)
    }

    fn number(&self, number: &Number) -> Result<u64, String> {
        match number {
            Number::Committed(node) => match self.stage.status(*node) {
                Some(_) => Ok(self.stage.committed(*node).len() as u64),
                None => Err(format!("{node} is down")),
            },
            Number::Count(pattern) => {
                self.knows_kind(pattern)?;
                Ok(self.sent(pattern).count() as u64)
            }
            Number::OnWay(pattern) => {
                self.knows_kind(pattern)?;
                let flies = |flight: &&crate::stage::Flight<P::Message>| {
                    pattern.fits(flight.message.kind().name, flight.from, flight.to)
                };
                Ok(self.stage.flights().filter(flies).count() as u64)
            }
            Number::Epoch(_) | Number::Answered | Number::Unknown | Number::Elections => {
                Err(format!("'{number}' needs clients and time"))
            }
        }
    }

    fn chosen(&self) -> Vec<Batch> {
        let committed = self.nodes().iter().map(|node| self.stage.committed(node));
        committed.max_by_key(|batches| batches.len()).unwrap_or_default().to_vec()
    }

    fn look(&self, node: NodeId, what: &str, which: &[Item]) -> Result<Vec<Item>, String> {
        match what {
            "chosen" => Ok(judge::texts(self.stage.committed(node))),
            "state" => Ok(state_of(self.stage.committed(node))),
            "role" => match self.stage.status(node) {
                None => Ok(vec![Item::word("down")]),
                Some(status) => Ok(vec![Item::word(kebab(&status.role))]),
            },
            "timers" => {
                Ok(self.stage.timers(node).keys().map(|it| Item::word(kebab(it))).collect())
            }
            "refused" => {
                let batches = self.stage.refused(node).iter().map(|(batch, _)| batch);
                Ok(batches.flat_map(said_by).collect())
            }
            "snapshot" => Ok(vec![Item::word(self.stage.snapshot_index(node).0)]),
            "members" | "learners" => {
                let members = self.stage.members(node).map(|(members, _)| members);
                let some = |members: &Membership| match what {
                    "members" => members.voters,
                    _ => members.learners,
                };
                let nodes = members.map(some).unwrap_or_default();
                Ok(nodes.iter().map(Item::Node).collect())
            }
            "reads" => {
                let answer = |asked: &Asked| match asked.answer {
                    None => Item::word("waits"),
                    Some(Ok(index)) => Item::word(index.0),
                    Some(Err(_)) => Item::word("refused"),
                };
                Ok(self.stage.reads(node).iter().map(answer).collect())
            }
            _ => {
                let (replica, disk) = (self.stage.replica(node), self.stage.disk(node));
                self.words.look(&Sight { node, replica, disk }, what, which)
            }
        }
    }
}
