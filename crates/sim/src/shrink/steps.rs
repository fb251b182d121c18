//! Makes a list of steps short: delta debugging (Zeller, Hildebrandt, "Simplifying and Isolating
//! Failure-Inducing Input", 2002) over what was recorded, and a few simplifications that it cannot
//! find by leaving things out.

use super::replay::{Played, play};
use crate::scenario::{Action, Pick, Proposal, Step};
use crate::stage::{Clocks, Scene};
use consensus_core::{Audit, NodeId, NodeSet};
use core::time::Duration;
use std::collections::BTreeSet;

/// A failing list of steps on its way to a short one.
pub(crate) struct Search<'a, P: Audit> {
    scene: Scene<P>,
    oracle: &'static str,
    steps: Vec<Step>,
    /// Steps that may still be played. Steps, not seconds, so that the result is always the same.
    budget: u64,
    plays: u64,
    progress: &'a mut dyn FnMut(usize),
}

/// Lists up to this length are searched for pairs of steps that can go together.
const PAIRS_UP_TO: usize = 90;

impl<'a, P: Audit> Search<'a, P> {
    /// Begins with these steps, unless they do not fail with this oracle.
    pub(crate) fn new(
        scene: Scene<P>,
        oracle: &'static str,
        steps: Vec<Step>,
        budget: u64,
        progress: &'a mut dyn FnMut(usize),
    ) -> Option<Self> {
        let mut search = Self { scene, oracle, steps: Vec::new(), budget, plays: 0, progress };
        let all = steps.iter().collect();
        search.accept(None, all).then_some(search)
    }

    pub(crate) fn scene(&self) -> &Scene<P> {
        &self.scene
    }

    pub(crate) fn steps(&self) -> &[Step] {
        &self.steps
    }

    pub(crate) fn plays(&self) -> u64 {
        self.plays
    }

    pub(crate) fn is_exhausted(&self) -> bool {
        self.budget == 0
    }

    /// Everything that is known to help, until nothing does or the budget is spent.
    pub(crate) fn run(&mut self) {
        self.without_time();
        self.without_syncs(self.scene.cluster.nodes());
        self.without_kinds();
        loop {
            let before = (self.steps.len(), self.weight());
            self.without_chunks();
            self.simpler();
            for node in self.scene.cluster.nodes().minus(self.scene.instant).iter() {
                self.without_syncs(NodeSet::only(node));
            }
            if self.steps.len() <= PAIRS_UP_TO {
                self.without_pairs();
            }
            if (self.steps.len(), self.weight()) == before || self.is_exhausted() {
                return;
            }
        }
    }

    /// What is not simple about the steps, beside their number.
    fn weight(&self) -> usize {
        let weight = |step: &Step| {
            let asked = match &step.action {
                Action::Propose { commands, .. } => {
                    let long = |one: &&Proposal| !matches!(one, Proposal::Text(_));
                    commands.len() + commands.iter().filter(long).count()
                }
                Action::Sync { but, .. } => *but as usize,
                Action::Timeout { .. } => 1,
                _ => 0,
            };
            // A moment costs less the rounder it is.
            let told = step.at.map_or(0, |moment| 1 + usize::from(moment != rounded(moment)));
            asked + usize::from(step.cut.is_some()) + told
        };
        self.steps.iter().map(weight).sum::<usize>()
    }

    /// Plays a candidate; if it fails as it should, it is the list from now on: as it was really
    /// played, without what could not be, each message by what it really said.
    fn accept(&mut self, scene: Option<Scene<P>>, candidate: Vec<&Step>) -> bool {
        if self.budget == 0 {
            return false;
        }
        let (Played { violation, done }, _) =
            play(scene.as_ref().unwrap_or(&self.scene), candidate.iter().copied());
        self.plays += 1;
        self.budget = self.budget.saturating_sub(done.len() as u64 + 1);
        if violation.is_none_or(|violation| violation.oracle != self.oracle) {
            return false;
        }
        let rebased = done.into_iter().map(|(place, carried)| {
            let mut step = candidate[place].clone();
            if let (Action::Deliver { message, lie, .. }, Some(carried)) =
                (&mut step.action, carried)
            {
                message.pick = Pick::Print(carried.print);
                *lie = carried.lie;
            }
            step
        });
        self.steps = rebased.collect();
        if let Some(scene) = scene {
            self.scene = scene;
        }
        (self.progress)(self.steps.len());
        true
    }

    fn without(&mut self, leave_out: impl Fn(usize, &Step) -> bool) -> bool {
        let steps = std::mem::take(&mut self.steps);
        let kept: Vec<&Step> = steps
            .iter()
            .enumerate()
            .filter_map(|(place, step)| (!leave_out(place, step)).then_some(step))
            .collect();
        let accepted = kept.len() < steps.len() && self.accept(None, kept);
        if !accepted {
            self.steps = steps;
        }
        accepted
    }

    /// No time passes, if that does; else clocks are right, if that does.
    fn without_time(&mut self) {
        let mut scene = self.scene.clone();
        if scene.clocks.take().is_none() {
            return;
        }
        let timed = std::mem::take(&mut self.steps);
        let timeless: Vec<Step> =
            timed.iter().map(|step| Step { at: None, ..step.clone() }).collect();
        self.steps = timed;
        if self.accept(Some(scene.clone()), timeless.iter().collect()) {
            return;
        }
        scene.clocks = Some(Clocks::right(scene.cluster.size));
        let steps = std::mem::take(&mut self.steps);
        if !self.accept(Some(scene), steps.iter().collect()) {
            self.steps = steps;
        }
    }

    /// Disks of these nodes sync by themselves, and their syncs are no steps.
    fn without_syncs(&mut self, nodes: NodeSet) {
        let mut scene = self.scene.clone();
        scene.instant = scene.instant.or(nodes);
        let steps = std::mem::take(&mut self.steps);
        let is_sync =
            |step: &Step| matches!(step.action, Action::Sync { node, .. } if nodes.contains(node));
        let kept = steps.iter().filter(|step| !is_sync(step)).collect();
        if !self.accept(Some(scene), kept) {
            self.steps = steps;
        }
    }

    /// All steps of a kind at once: heartbeats, one timer, all that goes to one node.
    fn without_kinds(&mut self) {
        let kinds: BTreeSet<String> = self.steps.iter().map(kind).collect();
        for one in &kinds {
            self.without(|_, step| kind(step) == *one);
        }
        let places: BTreeSet<(NodeId, String)> =
            self.steps.iter().map(|step| (step.action.mover(), kind(step))).collect();
        for node in self.scene.cluster.nodes().iter() {
            self.without(|_, step| step.action.mover() == node);
        }
        for (node, one) in &places {
            self.without(|_, step| step.action.mover() == *node && kind(step) == *one);
        }
    }

    /// Leaves out ever smaller chunks, from the end on, until no single step can go.
    fn without_chunks(&mut self) {
        let mut size = self.steps.len() / 2;
        while size > 0 {
            let mut end = self.steps.len();
            let mut any = false;
            while end > 0 {
                let start = end.saturating_sub(size);
                let chunk = start..end;
                any |= self.without(|place, _| chunk.contains(&place));
                end = start.min(self.steps.len());
            }
            if !(any && size == 1) {
                size /= 2;
            }
        }
    }

    /// Two steps that need each other: a crash and its restart, a question and its answer.
    fn without_pairs(&mut self) {
        let mut first = 0;
        while first < self.steps.len() {
            let mut second = first + 1;
            let mut removed = false;
            while second < self.steps.len() && !removed {
                removed = self.without(|place, _| place == first || place == second);
                second += 1;
            }
            first = if removed { 0 } else { first + 1 };
        }
    }

    /// Each step in a simpler form, where it does.
    fn simpler(&mut self) {
        let mut place = 0;
        while place < self.steps.len() {
            for simple in simpler_forms(&self.steps[place], place) {
                let steps = std::mem::take(&mut self.steps);
                let mut changed: Vec<&Step> = steps.iter().collect();
                changed[place] = &simple;
                if self.accept(None, changed) {
                    break;
                }
                self.steps = steps;
            }
            place += 1;
        }
    }
}

/// What a step is like, whoever moves.
fn kind(step: &Step) -> String {
    match &step.action {
        Action::Deliver { message, lie: false, .. } => message.kind.clone(),
        Action::Deliver { message, .. } => format!("lie {}", message.kind),
        Action::Drop(message) => format!("drop {}", message.kind),
        Action::Timeout { timer, .. } => format!("timeout {timer}"),
        Action::Propose { .. } => "propose".into(),
        Action::Sync { .. } => "sync".into(),
        Action::Crash { .. } => "crash".into(),
        Action::Restart(_) => "restart".into(),
        Action::Campaign(_) => "campaign".into(),
        Action::Transfer { .. } => "transfer".into(),
        Action::Change { .. } => "change".into(),
        Action::Read { mode, .. } => format!("read {mode:?}"),
        Action::Snapshot(_) => "snapshot".into(),
        Action::Save { .. } => "save".into(),
    }
}

/// Simpler forms of a step, the simplest first.
fn simpler_forms(step: &Step, place: usize) -> Vec<Step> {
    let mut forms = Vec::new();
    if step.cut.is_some() {
        forms.push(Step { cut: None, ..step.clone() });
    }
    if let Some(moment) = step.at {
        forms.push(Step { at: None, ..step.clone() });
        if rounded(moment) != moment {
            forms.push(Step { at: Some(rounded(moment)), ..step.clone() });
        }
    }
    let of = |action| Step { action, cut: step.cut, at: step.at };
    match &step.action {
        Action::Sync { node, but } if *but > 0 => {
            forms.push(of(Action::Sync { node: *node, but: 0 }));
        }
        Action::Crash { node, keep } if *keep > 0 => {
            forms.push(of(Action::Crash { node: *node, keep: 0 }));
        }
        Action::Propose { node, commands } => {
            let node = *node;
            let simple = matches!(commands[..], [Proposal::Text(_)]);
            if !simple {
                let commands = vec![Proposal::Text(letters(place))];
                forms.push(of(Action::Propose { node, commands }));
            }
            if commands.len() > 1 {
                let one =
                    |one: &Proposal| of(Action::Propose { node, commands: vec![one.clone()] });
                forms.extend(commands.iter().map(one));
            }
        }
        // Much that comes between a timer and an election goes with it.
        Action::Timeout { node, .. } => forms.push(of(Action::Campaign(*node))),
        _ => {}
    }
    forms
}

/// The same moment in whole milliseconds.
fn rounded(moment: Duration) -> Duration {
    Duration::from_millis(u64::try_from(moment.as_millis()).unwrap_or(u64::MAX))
}

/// A short text for a number: a, b, …, z, ba, bb, …
fn letters(mut number: usize) -> String {
    let mut text = Vec::new();
    loop {
        text.push(b'a' + (number % 26) as u8);
        number /= 26;
        if number == 0 {
            text.reverse();
            return String::from_utf8(text).expect("letters");
        }
    }
}
