//! Scenarios: what is to happen on a [`Stage`](crate::Stage), step by step, and what is to come of
//! it. As text they are files that end in `.scn`; `docs/scenarios.md` describes them.

mod act;
mod chart;
mod condition;
mod formula;
mod item;
mod names;
mod operator;
mod parse;
mod play;
mod step;
mod tape;
mod text;
mod vocabulary;
mod words;

pub use act::{Act, Load, Memory, Net, Weather};
pub use chart::Chart;
pub use condition::{Condition, Number, Pattern, Span};
pub use formula::Formula;
pub use item::Item;
pub use names::Names;
pub use parse::BadScenario;
pub use play::{Missed, Outcome};
pub use step::{Action, Cut, Name, Pick, Proposal, Step};
pub(crate) use tape::Tape;
pub(crate) use text::payload_text;
pub use vocabulary::{CommonWords, Sight, Vocabulary, batch_of, command_of, said_by};

use crate::rng::CERTAIN;
use crate::shrink::Reduction;
use crate::stage::Clocks;
use consensus_core::{NodeSet, Sizes};

/// A scenario. [`parse`](Self::parse) reads one, `to_string` writes it, [`play`](Self::play) plays
/// it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Comments at its head.
    pub comments: Vec<String>,
    /// What it shows.
    pub title: String,
    /// What it proves or disproves, by the numbers of a list of claims.
    pub shows: Vec<String>,
    /// Planted bugs with which it must fail.
    pub catches: Vec<String>,
    /// The name of the algorithm.
    pub algo: String,
    /// Other algorithms with which it can be played, too.
    pub others: Vec<String>,
    /// What is no algorithm, and must fail it.
    pub unlike: Vec<String>,
    /// Of which windows and pages the algorithm has the smallest that it can work with.
    pub sizes: Sizes,
    /// So many entries stay in the log behind a snapshot, if not as many as usual.
    pub trailing: Option<u64>,
    /// Named options of the algorithm that are on.
    pub variants: Vec<String>,
    /// Replicas, `n0` and on.
    pub nodes: usize,
    /// What they are called.
    pub names: Names,
    /// Other sizes of the cluster with which it can be played, too.
    pub other_sizes: Vec<usize>,
    /// How messages move.
    pub net: Net,
    /// What nodes remember at the beginning.
    pub memories: Vec<Memory>,
    /// Keys come from here; and everything else, where the scenario is a simulated run.
    pub seed: u64,
    /// Nodes that may lie.
    pub traitors: NodeSet,
    /// Nodes whose disks sync by themselves after every step.
    pub instant: NodeSet,
    /// Who votes at the beginning; all nodes if nobody is named. The others start when they are
    /// restarted.
    pub voters: NodeSet,
    /// Bytes of a snapshot that one message carries; 0 for many.
    pub chunk: usize,
    /// The clocks, where messages move by hand and time passes all the same; and where it passes by
    /// itself, if they are wrong.
    pub clocks: Option<Clocks>,
    /// Leases are on, for clocks that are wrong by so many parts in a million at most.
    pub lease: Option<u32>,
    /// So many client sessions are kept, if not as many as usual.
    pub sessions: Option<usize>,
    /// Drivers look at what replicas want where it lies, as the runtime's does.
    pub in_place: bool,
    /// The planted bug that is switched on.
    pub mutant: Option<String>,
    /// What happens, and what is to come of it.
    pub entries: Vec<Line>,
}

/// A line of a scenario.
#[derive(Clone, Debug)]
pub struct Line {
    /// Its number in the text, from 1; 0 if it was never in a text.
    pub number: usize,
    /// What it says.
    pub entry: Entry,
}

impl PartialEq for Line {
    /// Equal if they say the same, wherever they stand.
    fn eq(&self, other: &Self) -> bool {
        self.entry == other.entry
    }
}

impl Eq for Line {}

impl From<Entry> for Line {
    fn from(entry: Entry) -> Self {
        Self { number: 0, entry }
    }
}

/// What a line says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// This happens.
    Step(Step),
    /// A simulated run of the seed, smaller in these ways than the seed draws it; instead of steps.
    Simulate(Vec<Reduction>),
    /// This must be so by now.
    Expect(Expectation),
    /// More than a step, or something that no replica notices.
    Act(Act),
    /// All this, so many times.
    Repeat(u32, Vec<Line>),
    /// What could happen instead of all that follows: it is played apart, up to its own end.
    Branch(String, Vec<Line>),
}

/// Something that must be so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expectation {
    /// No rule was broken.
    Safe,
    /// The rule of this oracle was broken.
    Violation(String),
    /// All this is so, by now.
    Now(Vec<Condition>),
    /// It is not so, from now on, after any step.
    Never(Vec<Condition>),
    /// These messages, and no others that fit, were sent since counting began, with these words.
    Trace(Pattern, Vec<String>),
    /// The exploration of all orders ended with just these lists of chosen commands.
    Outcomes(Vec<Item>),
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compare {
    /// `==`
    Equal,
    /// `!=`
    Unequal,
    /// `<=`
    AtMost,
    /// `>=`
    AtLeast,
    /// `<`
    Less,
    /// `>`
    More,
}

impl Compare {
    const ALL: [Self; 6] =
        [Self::Equal, Self::Unequal, Self::AtMost, Self::AtLeast, Self::Less, Self::More];

    fn word(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::Unequal => "!=",
            Self::AtMost => "<=",
            Self::AtLeast => ">=",
            Self::Less => "<",
            Self::More => ">",
        }
    }

    fn holds<T: Ord>(self, a: T, b: T) -> bool {
        match self {
            Self::Equal => a == b,
            Self::Unequal => a != b,
            Self::AtMost => a <= b,
            Self::AtLeast => a >= b,
            Self::Less => a < b,
            Self::More => a > b,
        }
    }
}

impl Default for Scenario {
    /// A cluster of nobody, with nothing to happen.
    fn default() -> Self {
        Self {
            comments: Vec::new(),
            title: String::new(),
            shows: Vec::new(),
            catches: Vec::new(),
            algo: String::new(),
            others: Vec::new(),
            unlike: Vec::new(),
            sizes: Sizes::USUAL,
            trailing: None,
            variants: Vec::new(),
            nodes: 0,
            names: Names::numbered(),
            other_sizes: Vec::new(),
            net: Net::Manual,
            memories: Vec::new(),
            seed: 0,
            traitors: NodeSet::EMPTY,
            instant: NodeSet::EMPTY,
            voters: NodeSet::EMPTY,
            chunk: 0,
            clocks: None,
            lease: None,
            sessions: None,
            in_place: false,
            mutant: None,
            entries: Vec::new(),
        }
    }
}

impl Scenario {
    /// The steps, in order; those of blocks are not among them.
    pub fn steps(&self) -> impl Iterator<Item = &Step> {
        self.entries.iter().filter_map(|line| match &line.entry {
            Entry::Step(step) => Some(step),
            _ => None,
        })
    }

    /// The names of all algorithms with which it is to be played.
    pub fn algorithms(&self) -> impl Iterator<Item = &String> {
        std::iter::once(&self.algo).chain(&self.others)
    }

    /// The same for each size of the cluster with which it is to be played.
    pub fn sizes(&self) -> Vec<Self> {
        let sizes = std::iter::once(self.nodes).chain(self.other_sizes.iter().copied());
        let sized = |nodes| {
            let all = self.instant == NodeSet::first(self.nodes);
            let instant = if all { NodeSet::first(nodes) } else { self.instant };
            let mut sized = Self { nodes, other_sizes: Vec::new(), instant, ..self.clone() };
            if let Some(clocks) = &mut sized.clocks {
                clocks.rates.resize(nodes, CERTAIN);
            }
            sized
        };
        sizes.map(sized).collect()
    }
}
