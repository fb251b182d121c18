//! What a written scenario says beside single steps.

use super::condition::{Condition, Pattern};
use super::item::Item;
use consensus_core::{NodeId, NodeSet};
use core::time::Duration;

/// More than a step, or something that no replica notices.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Act {
    /// What `run` would carry over these links is lost from now on, or again is not.
    Link {
        /// Senders.
        from: NodeSet,
        /// Receivers.
        to: NodeSet,
        /// Does it work?
        up: bool,
    },
    /// All links of a node are cut.
    Isolate(NodeId),
    /// Links between these groups are cut.
    Partition(Vec<NodeSet>),
    /// All links work.
    Heal,
    /// `run` leaves these messages on their way.
    Hold(Pattern),
    /// It no longer does.
    Release,
    /// These are lost.
    Lose(Pattern),
    /// Messages arrive, oldest first, until none is on its way.
    Run,
    /// Messages arrive, oldest first, or time passes, until this is so; it must become so, within
    /// this time where there is time.
    RunUntil(Vec<Condition>, Option<Duration>),
    /// Time passes.
    RunFor(Duration),
    /// Time passes until this moment.
    At(Duration),
    /// Every order of what is on its way and of what follows from it.
    ExploreOrders,
    /// Messages are counted anew.
    Recount,
    /// This is told to the reader.
    Say(String),
    /// The process stands still.
    Pause(NodeId),
    /// It goes on.
    Resume(NodeId),
    /// Everything that the node sends takes so much longer.
    Slow(NodeId, Duration),
    /// The network keeps its promises from now on: nothing is lost, doubled or late.
    Stabilize,
    /// Clients begin to ask.
    Load(Load),
    /// They ask for nothing more.
    Unload,
}

/// Clients, and what they do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Load {
    /// How many.
    pub clients: u32,
    /// Each begins a command so often; the next one as soon as it has an answer, if `None`.
    pub every: Option<Duration>,
    /// Commands of each; without end, if `None`.
    pub commands: Option<u64>,
}

/// What a node remembers at the beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Memory {
    /// Whose memory.
    pub node: NodeId,
    /// Of what, in the protocol's own words: `log`, `term`, `promised`.
    pub what: String,
    /// What.
    pub values: Vec<Item>,
}

/// How messages move.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Net {
    /// By steps only.
    Manual,
    /// By themselves, as time passes.
    Timed(Weather),
}

/// What links are like.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Weather {
    /// The shortest delay.
    pub delay: Duration,
    /// Up to so much longer.
    pub jitter: Duration,
    /// Of ten thousand messages so many are lost.
    pub loss: u32,
    /// Of ten thousand messages so many come twice.
    pub duplication: u32,
    /// Sites that are far from each other: there and back between any two of these groups takes
    /// so long, always.
    pub far: Vec<(Vec<NodeSet>, Duration)>,
}
