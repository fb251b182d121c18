//! Playing a scenario, and holding what comes of it against what was expected.

mod hands;
mod judge;
mod orders;
mod time;

use super::vocabulary::{CommonWords, Vocabulary};
use super::{Chart, Entry, Expectation, Line, Memory, Net, Scenario};
use crate::check::{check, panic_text, settings};
use crate::options::Options;
use crate::report::Violation;
use crate::shrink::Reduction;
use crate::stage::{Scene, Stage};
use consensus_core::{Audit, Cluster, ClusterId, FaultModel, NodeSet, ProtocolConfig};
use hands::Hands;
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
    /// What the scenario tells its reader.
    pub told: Vec<String>,
}

impl Outcome {
    /// Nothing happened, and nothing was missed.
    fn nothing() -> Self {
        let (missed, chart, told) = (Vec::new(), Chart::default(), Vec::new());
        Self { violation: None, missed, chart, skipped: 0, told }
    }

    /// Adds what came of another play of the same scenario.
    fn and(&mut self, other: Self) {
        self.violation = self.violation.take().or(other.violation);
        for missed in other.missed {
            if !self.missed.contains(&missed) {
                self.missed.push(missed);
            }
        }
        self.chart.append(other.chart);
        self.skipped += other.skipped;
        for told in other.told {
            if !self.told.contains(&told) {
                self.told.push(told);
            }
        }
    }
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
        self.scene_with(&CommonWords)
    }

    fn scene_with<P: Audit>(&self, words: &dyn Vocabulary<P>) -> Result<Scene<P>, String> {
        let mut cluster = Cluster::new(ClusterId(u128::from(self.seed)), self.nodes);
        if !self.voters.is_empty() {
            cluster.voters = self.voters;
        }
        cluster.validate().map_err(|error| error.to_string())?;
        let (sizes, variants) = (self.sizes, self.variants.clone());
        let mut options = Options { sizes, variants, ..Options::quiet(self.nodes) };
        (options.operators.lease, options.operators.trailing) = (self.lease, self.trailing);
        let config =
            |cluster: &Cluster| settings::<P>(&options, cluster).map_err(|error| error.to_string());
        let outside = Cluster { voters: NodeSet::EMPTY, ..cluster.clone() };
        let joins = cluster.voters != cluster.nodes();
        let joining = joins.then(|| config(&outside)).transpose()?;
        let config = config(&cluster)?;
        if self.lease.is_some_and(|drift| config.clone().with_lease(drift).is_none()) {
            return Err(format!("{} has no leases", P::INFO.name));
        }
        let mut scene = Scene::new(cluster, config);
        scene.joining = joining;
        (scene.clocks, scene.drift) = (self.clocks.clone(), self.lease);
        if self.chunk > 0 {
            scene.chunk = self.chunk;
        }
        scene.sessions = self.sessions.unwrap_or(scene.sessions);
        scene.in_place = self.in_place;
        scene.seed = self.seed;
        scene.traitors = self.traitors;
        scene.instant = self.instant;
        for node in scene.cluster.nodes().iter() {
            let of_node = |memory: &&Memory| memory.node == node;
            let memory: Vec<&Memory> = self.memories.iter().filter(of_node).collect();
            let disk = words.disk(&memory);
            scene.disks.push(disk.map_err(|why| format!("setup {}: {why}", self.names.of(node)))?);
        }
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
        self.play_with::<P>(&CommonWords, lenient)
    }

    /// The same, by somebody who knows the words of the algorithm.
    ///
    /// # Errors
    /// If the algorithm cannot run in such a cluster, or remembers or sets no such thing.
    pub fn play_with<P: Audit>(
        &self,
        words: &dyn Vocabulary<P>,
        lenient: bool,
    ) -> Result<Outcome, String> {
        let mut whole = Outcome::nothing();
        for scenario in self.sizes() {
            let mut outcome = scenario.play_one::<P>(words, lenient)?;
            if !self.other_sizes.is_empty() {
                for missed in &mut outcome.missed {
                    missed.why = format!("with {} nodes: {}", scenario.nodes, missed.why);
                }
            }
            whole.and(outcome);
        }
        Ok(whole)
    }

    /// Plays it with one size of the cluster.
    fn play_one<P: Audit>(
        &self,
        words: &dyn Vocabulary<P>,
        lenient: bool,
    ) -> Result<Outcome, String> {
        let simulated = self.entries.iter().find_map(|line| match &line.entry {
            Entry::Simulate(reductions) => Some(reductions),
            _ => None,
        });
        if let Some(reductions) = simulated {
            return Ok(self.simulate::<P>(reductions));
        }
        if let Net::Timed(weather) = &self.net {
            return time::play::<P>(self, weather, words);
        }
        let is_branch = |line: &&Line| matches!(line.entry, Entry::Branch(..));
        let trunk: Vec<&Line> = self.entries.iter().filter(|line| !is_branch(line)).collect();
        let mut outcome = self.play_lines(words, lenient, ("", 0), &trunk)?;
        for (place, line) in self.entries.iter().enumerate() {
            let Entry::Branch(title, lines) = &line.entry else { continue };
            let before = self.entries[..place].iter().filter(|line| !is_branch(line));
            let branch: Vec<&Line> = before.chain(lines).collect();
            let drawn = branch.len() - lines.len();
            outcome.and(self.play_lines(words, lenient, (title, drawn), &branch)?);
        }
        Ok(outcome)
    }

    /// Plays these lines on a stage: all, or a branch, of which the first lines were drawn before.
    fn play_lines<P: Audit>(
        &self,
        words: &dyn Vocabulary<P>,
        lenient: bool,
        (title, drawn): (&str, usize),
        lines: &[&Line],
    ) -> Result<Outcome, String> {
        let mut stage = Stage::new(self.scene_with::<P>(words)?);
        stage.believe_disks();
        let mut hands = Hands::new(self, words, &mut stage, lenient);
        if !title.is_empty() {
            hands.chart.title(title);
        }
        let ended = catch_unwind(AssertUnwindSafe(|| hands.all(drawn, lines)));
        if let Err(panic) = ended {
            hands.stage.panicked(panic_text(panic.as_ref()));
        }
        let Hands { chart, missed, skipped, told, .. } = hands;
        let violation = stage.violation().cloned();
        Ok(self.judged(lines, Outcome { violation, missed, chart, skipped, told }))
    }

    /// A seeded run instead of steps.
    fn simulate<P: Audit>(&self, reductions: &[Reduction]) -> Outcome {
        let variants = self.variants.clone();
        let mut options = Options { variants, ..Options::for_seed::<P>(self.seed) };
        for reduction in reductions {
            reduction.apply::<P>(&mut options);
        }
        let violation = check::<P>(self.seed, &options).violation;
        let lines: Vec<&Line> = self.entries.iter().collect();
        self.judged(&lines, Outcome { violation, ..Outcome::nothing() })
    }

    /// Adds what was expected of the end.
    fn judged(&self, lines: &[&Line], mut outcome: Outcome) -> Outcome {
        let violation = outcome.violation.clone();
        let mut named = false;
        for line in lines {
            let Entry::Expect(expectation) = &line.entry else { continue };
            let why = match (expectation, &violation) {
                (Expectation::Violation(oracle), found) => {
                    named = true;
                    match found {
                        Some(found) if found.oracle == oracle => continue,
                        Some(found) => {
                            format!(
                                "expected a violation of {oracle}, not {}",
                                self.names.rename(&found.in_short())
                            )
                        }
                        None => format!("expected a violation of {oracle}; there was none"),
                    }
                }
                (Expectation::Safe, Some(found)) => {
                    named = true;
                    format!("expected no violation, not {}", self.names.rename(&found.in_short()))
                }
                _ => continue,
            };
            outcome.missed.push(Missed { line: line.number, why });
        }
        if let Some(found) = violation.filter(|_| !named) {
            let why = format!("an unexpected violation: {}", self.names.rename(&found.in_short()));
            outcome.missed.push(Missed { line: 0, why });
        }
        outcome
    }
}
