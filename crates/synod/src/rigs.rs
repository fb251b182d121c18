//! The rigs of the kill matrix, in one place. A new rig is a name here, and a way to hunt.

pub(crate) mod crate_tests;
mod shipped;

use consensus_core::mutant::Mutant;
use consensus_core::{Audit, ProtocolConfig};
use std::fmt;
use std::ops::Range;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::str::FromStr;
use synod_algorithms::{Algorithm, Visitor};
use synod_benches::{AssertFailure, BATCHES, SIZES};
use synod_explore::{Preset, hunt, hunt_with};
use synod_sim::Options;

/// A way to look for bugs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Rig {
    /// Seeded runs in virtual time: faults, then progress of a healed quorum.
    Simulate,
    /// Seeded runs without a clock: the next event is drawn from all that could happen.
    Shuffle,
    /// Every behaviour of a small cluster, within bounds.
    Explore,
    /// Links cut for ever, in many graphs.
    Connectivity,
    /// The quiet world: what a command costs must equal theory.
    Measured,
    /// The scenario files that are shipped beside the crates.
    Scenario,
    /// The crates' own tests.
    Tests,
}

/// What runs with a bug: an algorithm, or what carries all of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Subject {
    /// An algorithm, with the layers that it shares with others.
    Algorithm(Algorithm),
    /// The runtime: logs on disks, connections, clients.
    Runtime,
}

impl Subject {
    /// The bugs that are planted in it.
    pub(crate) fn mutants(self) -> Vec<&'static Mutant> {
        match self {
            Self::Algorithm(one) => one.mutants().iter().chain(one.shared_mutants()).collect(),
            Self::Runtime => synod_runtime::MUTANTS.iter().collect(),
        }
    }
}

/// What a rig found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Found {
    /// The oracle that saw it: "O6", "expectation", "test".
    pub(crate) oracle: String,
    /// In which case: the seed, or the number of states seen.
    pub(crate) case: u64,
    /// What was seen.
    pub(crate) detail: String,
}

impl Rig {
    /// All of them, in the order of tables.
    pub(crate) const ALL: [Self; 7] = [
        Self::Simulate,
        Self::Shuffle,
        Self::Explore,
        Self::Connectivity,
        Self::Measured,
        Self::Scenario,
        Self::Tests,
    ];

    /// Its name on the command line.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Simulate => "simulate",
            Self::Shuffle => "shuffle",
            Self::Explore => "explore",
            Self::Connectivity => "connectivity",
            Self::Measured => "measured",
            Self::Scenario => "scenario",
            Self::Tests => "tests",
        }
    }

    /// What it does, in a sentence.
    pub(crate) fn about(self) -> &'static str {
        match self {
            Self::Simulate => {
                "seeded runs in virtual time with drawn faults, then progress of a healed quorum"
            }
            Self::Shuffle => {
                "seeded runs without a clock: what happens next is drawn from all that could"
            }
            Self::Explore => "every behaviour of a small cluster, within bounds, breadth first",
            Self::Connectivity => {
                "links cut for ever: whoever reaches a quorum must go on, in peace; asked for what \
                 fewer than two before it found"
            }
            Self::Measured => "what a command costs in a quiet world must equal theory",
            Self::Scenario => "the scenario files beside the crates: each is as it says",
            Self::Tests => {
                "the crates' own tests, up to the first that fails; asked for what fewer than two \
                 others found, and on a wall clock"
            }
        }
    }

    /// What its cases are.
    pub(crate) fn unit(self) -> &'static str {
        match self {
            Self::Simulate | Self::Shuffle => "seed",
            Self::Explore => "state",
            Self::Connectivity | Self::Measured => "run",
            Self::Scenario => "file",
            Self::Tests => "program",
        }
    }

    /// Cases that it gets, if a timed simulation gets so many seeds. A run without a clock is
    /// short.
    pub(crate) fn budget(self, seeds: u64) -> u64 {
        match self {
            Self::Simulate => seeds,
            Self::Shuffle => seeds.saturating_mul(10),
            Self::Explore => seeds.saturating_mul(100),
            Self::Connectivity => seeds.min(210), // Once through the selection.
            Self::Measured | Self::Tests => 1,
            Self::Scenario => shipped::files().len() as u64,
        }
    }

    /// Does a hunt in vain take so long that it is asked only for what fewer than two others found?
    pub(crate) fn is_dear(self) -> bool {
        matches!(self, Self::Connectivity | Self::Tests)
    }

    /// Can it look at this?
    pub(crate) fn looks_at(self, subject: Subject) -> bool {
        self == Self::Tests || subject != Subject::Runtime
    }

    /// Looks at these cases in their order, up to the first that shows this bug: in this thread,
    /// or in processes of their own.
    pub(crate) fn hunt(
        self,
        subject: Subject,
        bug: Option<&'static str>,
        cases: Range<u64>,
    ) -> Option<Found> {
        match subject {
            Subject::Algorithm(algorithm) if self != Self::Tests => {
                plant(bug);
                let found = self.hunt_here(algorithm, cases);
                plant(None);
                found
            }
            _ => crate_tests::hunt(subject, bug),
        }
    }

    fn hunt_here(self, algorithm: Algorithm, cases: Range<u64>) -> Option<Found> {
        let hunt = AssertUnwindSafe(|| match self {
            Self::Simulate | Self::Shuffle => algorithm.dispatch(Seeds { rig: self, cases }),
            Self::Explore => algorithm.dispatch(States { budget: cases.end }),
            Self::Connectivity => algorithm.dispatch(Graphs { budget: cases.end }),
            Self::Measured => measured(algorithm),
            Self::Scenario => shipped::hunt(algorithm, cases),
            Self::Tests => unreachable!("they run in processes of their own"),
        });
        catch_unwind(hunt).unwrap_or_else(|panic| {
            let text = panic.downcast_ref::<String>().cloned();
            let detail = text.unwrap_or_else(|| "a panic".to_owned());
            Some(Found { oracle: "O18".into(), case: 0, detail })
        })
    }
}

struct Seeds {
    rig: Rig,
    cases: Range<u64>,
}

impl Visitor for Seeds {
    type Output = Option<Found>;

    fn visit<P: Audit>(self) -> Self::Output {
        let draw = match self.rig {
            Rig::Shuffle => Options::for_shuffle::<P>,
            _ => Options::for_seed::<P>,
        };
        let (case, violation) = synod_sim::first_violation::<P>(self.cases, draw)?;
        let oracle = violation.oracle.into();
        Some(Found { oracle, case, detail: violation.to_string() })
    }
}

struct States {
    budget: u64,
}

impl Visitor for States {
    type Output = Option<Found>;

    /// The presets share the budget: what is found at all is found early, or in one of them only.
    fn visit<P: Audit>(self) -> Self::Output {
        let presets = Preset::ALL;
        let share = self.budget / presets.len() as u64 + 1;
        let usual = || presets.into_iter().find_map(|preset| hunt::<P>(preset, share));
        // A bug of a named option is only there where it is on.
        let named = || {
            let names = P::Config::VARIANTS.iter().map(|variant| vec![variant.name.to_owned()]);
            let presets = [Preset::Small, Preset::Disks];
            let models = presets
                .into_iter()
                .flat_map(|preset| names.clone().map(move |name| (preset, name)));
            models.into_iter().find_map(|(preset, name)| hunt_with::<P>(preset, &name, share))
        };
        let found = usual().or_else(named)?;
        let oracle = found.violation.oracle.into();
        let detail = format!("{} (after {} steps)", found.violation, found.steps.len());
        Some(Found { oracle, case: found.states, detail })
    }
}

struct Graphs {
    budget: u64,
}

impl Visitor for Graphs {
    type Output = Option<Found>;

    fn visit<P: Audit>(self) -> Self::Output {
        let (case, nth, violation) = synod_sim::connectivity::hunt::<P>(self.budget)?;
        let oracle = violation.oracle.into();
        Some(Found { oracle, case: nth, detail: format!("{case}: {violation}") })
    }
}

/// O14: a number that is not what theory says; a violation or a stuck run has its own words.
fn measured(algorithm: Algorithm) -> Option<Found> {
    let compared = synod_benches::assert_for(&[algorithm], &SIZES, &BATCHES, &mut |_, _, _| {});
    match compared {
        Ok(_) => None,
        Err(AssertFailure::Differences(cells)) => {
            let detail = cells.first().map(ToString::to_string).unwrap_or_default();
            Some(Found { oracle: "O14".into(), case: 0, detail })
        }
        Err(AssertFailure::Failed(error)) => {
            let detail = error.to_string();
            Some(Found { oracle: oracle_in(&detail).into(), case: 0, detail })
        }
    }
}

/// The oracle that speaks in this sentence ("O6 (durable quorum) at …"), or that of progress.
fn oracle_in(sentence: &str) -> &'static str {
    const OTHERS: [&str; 13] =
        ["O1", "O2", "O3", "O4", "O5", "O6", "O7", "O8", "O9", "O11", "O15", "O16", "O18"];
    OTHERS.into_iter().find(|oracle| sentence.contains(&format!("{oracle} ("))).unwrap_or("O13")
}

#[cfg(feature = "mutants")]
use consensus_core::mutant::plant;

/// There is nothing to switch on, and the command says so.
#[cfg(not(feature = "mutants"))]
fn plant(_bug: Option<&'static str>) {}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm(algorithm) => algorithm.fmt(f),
            Self::Runtime => f.write_str("runtime"),
        }
    }
}

impl fmt::Display for Rig {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Rig {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        Self::ALL.into_iter().find(|rig| rig.name() == name.trim()).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no rig '{name}'; choose from {names}")
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rig_is_found_by_its_name_and_no_other() {
        for rig in Rig::ALL {
            assert_eq!(rig.name().parse(), Ok(rig));
        }
        assert!("sim".parse::<Rig>().unwrap_err().contains("shuffle"));
    }
}
