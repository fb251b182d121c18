//! Playing a scenario, and holding what comes of it against what was expected.

use super::{Chart, Entry, Expectation, Line, Scenario};
use crate::check::{check, panic_text, settings};
use crate::options::Options;
use crate::report::Violation;
use crate::shrink::Reduction;
use crate::stage::{Scene, Stage};
use consensus_core::{Audit, Cluster, ClusterId, FaultModel, NodeId, NodeSet, Role};
use std::panic::{AssertUnwindSafe, catch_unwind};

/// What came of a scenario.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// The first rule that was broken.
    pub violation: Option<Violation>,
    /// What was not as it should be.
    pub missed: Vec<Missed>,
    /// What happened, as a picture.
    pub chart: Chart,
    /// Steps that were left out, as they could not be.
    pub skipped: usize,
}

/// A line that was not as it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missed {
    /// The line's number; 0 for what was expected of the whole.
    pub line: usize,
    /// What was wrong.
    pub why: String,
}

impl Scenario {
    /// The cluster at its beginning.
    ///
    /// # Errors
    /// If the algorithm cannot run in such a cluster.
    pub fn scene<P: Audit>(&self) -> Result<Scene<P>, String> {
        let mut cluster = Cluster::new(ClusterId(u128::from(self.seed)), self.nodes);
        if !self.voters.is_empty() {
            cluster.voters = self.voters;
        }
        cluster.validate().map_err(|error| error.to_string())?;
        let (smallest, variants) = (self.smallest, self.variants.clone());
        let options = Options { smallest, variants, ..Options::quiet(self.nodes) };
        let config =
            |cluster: &Cluster| settings::<P>(&options, cluster).map_err(|error| error.to_string());
        let outside = Cluster { voters: NodeSet::EMPTY, ..cluster.clone() };
        let joins = cluster.voters != cluster.nodes();
        let joining = joins.then(|| config(&outside)).transpose()?;
        let config = config(&cluster)?;
        let mut scene = Scene::new(cluster, config);
        scene.joining = joining;
        if self.chunk > 0 {
            scene.chunk = self.chunk;
        }
        scene.seed = self.seed;
        scene.traitors = self.traitors;
        scene.instant = self.instant;
        let most = match P::INFO.faults {
            FaultModel::Crash => 0,
            FaultModel::Byzantine => P::INFO.max_faults(self.nodes),
        };
        if self.traitors.len() > most {
            let name = P::INFO.name;
            return Err(format!("{name} with {} nodes stands {most} traitors", self.nodes));
        }
        Ok(scene)
    }

    /// Plays it. A step that cannot be is an error of the scenario, or is left out where
    /// `lenient`: what was recorded with a bug says things that without it nobody says.
    ///
    /// # Errors
    /// If the algorithm cannot run in such a cluster.
    pub fn play<P: Audit>(&self, lenient: bool) -> Result<Outcome, String> {
        let simulated = self.entries.iter().find_map(|line| match &line.entry {
            Entry::Simulate(reductions) => Some(reductions),
            Entry::Step(_) | Entry::Expect(_) => None,
        });
        if let Some(reductions) = simulated {
            return Ok(self.simulate::<P>(reductions));
        }
        let mut stage = Stage::new(self.scene::<P>()?);
        let mut play = Play {
            stage: &mut stage,
            chart: Chart::new(self.nodes),
            missed: Vec::new(),
            skipped: 0,
            lenient,
        };
        play.stage.keep_notes();
        play.stage.loose = lenient;
        let ended = catch_unwind(AssertUnwindSafe(|| play.all(&self.entries)));
        if let Err(panic) = ended {
            play.stage.panicked(panic_text(panic.as_ref()));
        }
        let Play { chart, missed, skipped, .. } = play;
        let violation = stage.violation().cloned();
        Ok(self.judged(Outcome { violation, missed, chart, skipped }))
    }

    /// A seeded run instead of steps.
    fn simulate<P: Audit>(&self, reductions: &[Reduction]) -> Outcome {
        let variants = self.variants.clone();
        let mut options = Options { variants, ..Options::for_seed::<P>(self.seed) };
        for reduction in reductions {
            reduction.apply::<P>(&mut options);
        }
        let violation = check::<P>(self.seed, &options).violation;
        let (missed, chart) = (Vec::new(), Chart::new(0));
        self.judged(Outcome { violation, missed, chart, skipped: 0 })
    }

    /// Adds what was expected of the end.
    fn judged(&self, mut outcome: Outcome) -> Outcome {
        let violation = outcome.violation.clone();
        let mut named = false;
        for line in &self.entries {
            let Entry::Expect(expectation) = &line.entry else { continue };
            let why = match (expectation, &violation) {
                (Expectation::Violation(oracle), found) => {
                    named = true;
                    match found {
                        Some(found) if found.oracle == oracle => continue,
                        Some(found) => {
                            format!("expected a violation of {oracle}, not {}", found.in_short())
                        }
                        None => format!("expected a violation of {oracle}; there was none"),
                    }
                }
                (Expectation::Safe, Some(found)) => {
                    named = true;
                    format!("expected no violation, not {}", found.in_short())
                }
                _ => continue,
            };
            outcome.missed.push(Missed { line: line.number, why });
        }
        if let Some(found) = violation.filter(|_| !named) {
            let why = format!("an unexpected violation: {}", found.in_short());
            outcome.missed.push(Missed { line: 0, why });
        }
        outcome
    }
}

struct Play<'a, P: Audit> {
    stage: &'a mut Stage<P>,
    chart: Chart,
    missed: Vec<Missed>,
    skipped: usize,
    lenient: bool,
}

impl<P: Audit> Play<'_, P> {
    fn all(&mut self, lines: &[Line]) {
        for line in lines {
            if self.stage.violation().is_some() {
                return;
            }
            match &line.entry {
                Entry::Step(step) => {
                    if let Err(why) = self.stage.perform(step) {
                        if self.lenient {
                            self.skipped += 1;
                            continue;
                        }
                        let why = format!("cannot {step}: {why}");
                        return self.missed.push(Missed { line: line.number, why });
                    }
                    let notes = self.stage.take_notes();
                    self.chart.add(step, &notes, self.stage.violation());
                }
                Entry::Expect(expectation) => {
                    if let Err(why) = self.holds(expectation) {
                        self.missed.push(Missed { line: line.number, why });
                    }
                }
                Entry::Simulate(_) => {}
            }
        }
    }

    fn holds(&self, expectation: &Expectation) -> Result<(), String> {
        let running = |node| self.stage.status(node).ok_or(format!("{node} is down"));
        let counted =
            |what: &str, node: &NodeId, found: u64, compare: &super::Compare, wanted: u64| {
                if compare.holds(found, wanted) {
                    return Ok(());
                }
                Err(format!("expected {what} of {node} {compare} {wanted}; it is {found}"))
            };
        match expectation {
            Expectation::Safe | Expectation::Violation(_) => Ok(()), // Judged at the end.
            Expectation::Leader(node) => match running(*node)?.role {
                Role::Leader => Ok(()),
                role => Err(format!("expected {node} to lead; it is {role:?}")),
            },
            Expectation::Down(node) => match self.stage.status(*node) {
                None => Ok(()),
                Some(_) => Err(format!("expected {node} to be down; it runs")),
            },
            Expectation::Committed(node, compare, number) => {
                let found = running(*node).map(|_| self.stage.committed(*node).len() as u64)?;
                counted("what was committed", node, found, compare, *number)
            }
            Expectation::Epoch(node, compare, number) => {
                counted("the epoch", node, running(*node)?.epoch, compare, *number)
            }
        }
    }
}
