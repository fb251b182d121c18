//! What makes a model finite: how much of everything may happen in one behaviour.

use crate::wish::{Wish, Wishes};
use consensus_core::{FaultModel, NodeId, NodeSet, ProtocolInfo, ReadMode, Takes, Timing};
use core::time::Duration;
use std::fmt;
use std::str::FromStr;

/// How a disk and its syncs are modelled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Disks {
    /// A sync is an action of its own: anything may happen between a write and its sync, and a
    /// crash keeps any prefix of what was not synced.
    Explicit,
    /// Every step is synced before anything else happens. A much smaller model, for what has
    /// nothing to do with disks.
    Instant,
}

/// How much of everything may happen in one behaviour. What is not named is free: messages are
/// delivered in any order or never, disks are synced at any time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Bounds {
    /// Replicas that vote in the beginning.
    pub nodes: usize,
    /// Replicas beside them that may join.
    pub joiners: usize,
    /// A node leads in the beginning (node 0, unless there is a clock), and nothing is under way: a
    /// model for what happens later.
    pub led: bool,
    /// Commands of clients; each may be given to any one node, at any time.
    pub commands: u8,
    /// Timers that fire. Any timer that is set may fire at any time.
    pub timeouts: u8,
    /// Times that an operator wants a node to lead.
    pub campaigns: u8,
    /// Crashes. The node restarts at once: to be down is to be silent, and that any node may be.
    pub crashes: u8,
    /// Messages that are delivered once more than they were sent. `None`: every message may be
    /// delivered again and again, for ever; this makes the smaller models, as nobody needs to
    /// know what was delivered already.
    pub duplicates: Option<u8>,
    /// Times that an operator wants one node to hand over to another.
    pub transfers: u8,
    /// Times that an operator wants other members.
    pub changes: u8,
    /// What members he may want.
    pub wishes: Wishes,
    /// Reads that need no entry of the log; each at any node, at any time.
    pub reads: u8,
    /// How they are asked for.
    pub mode: ReadMode,
    /// Snapshots that are taken.
    pub snapshots: u8,
    /// The most bytes of a snapshot that one message carries. All have [`SNAPSHOT_BYTES`].
    pub chunk: usize,
    /// How disks are modelled.
    pub disks: Disks,
    /// How often the clock of all moves on, by [`TICK`] each time. `None`: there is no time, so
    /// that a timer fires at any moment, and settings that trust clocks are off.
    pub ticks: Option<u8>,
    /// Messages arrive in rounds, and this is how often it changes who hears whom, see
    /// `docs/explore.md`. `None`: each message arrives on its own, in any order or never.
    pub storms: Option<u8>,
    /// The only timer that fires, by its name. `None`: any that is set.
    pub timer: Option<&'static str>,
    /// Nodes that lie: whatever they say, they may also say the contrary of, to anybody.
    pub traitors: NodeSet,
    /// Actions in one behaviour, if that is to be bounded, too.
    pub depth: Option<u32>,
    /// States that differ in the names of nodes only are one, where that makes no difference.
    pub symmetry: bool,
}

/// What the clock moves on by, if there is one: so long that every timer may fire.
pub const TICK: Duration = Timing::LAN.election_max;

/// What a backup waits with for its primary, where the algorithm has views.
const VIEW_TIMER: &str = "View";

/// The bytes of every snapshot in a model.
pub const SNAPSHOT_BYTES: usize = 16;

impl Bounds {
    /// All replicas: those that vote in the beginning, and those that may join.
    pub fn all(&self) -> usize {
        self.nodes.saturating_add(self.joiners)
    }

    /// A cluster of this size in which nothing but messages and syncs happens.
    pub fn quiet(nodes: usize) -> Self {
        Self {
            nodes,
            joiners: 0,
            led: false,
            commands: 0,
            timeouts: 0,
            campaigns: 0,
            crashes: 0,
            duplicates: None,
            transfers: 0,
            changes: 0,
            wishes: Wishes::NONE,
            reads: 0,
            mode: ReadMode::Index,
            snapshots: 0,
            chunk: SNAPSHOT_BYTES,
            disks: Disks::Explicit,
            ticks: None,
            storms: None,
            timer: None,
            traitors: NodeSet::EMPTY,
            depth: None,
            symmetry: true,
        }
    }
}

/// Bounds that were tried out: `docs/explore.md` has the figures.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Preset {
    /// Closed within seconds; for tests.
    Small,
    /// What crashes and late syncs can do to votes; not always closed.
    Disks,
    /// Closed within a minute, but for Byzantine algorithms.
    Closed,
    /// Too large to be closed here: as far as the budget goes.
    Deep,
    /// With a replica that lies; only where the algorithm survives one.
    Traitor,
    /// Members change; only where they can.
    Members,
    /// Logs are forgotten, and snapshots sent; only where they can be.
    Snapshots,
    /// Reads that need no entry of the log; only where there are some.
    Reads,
    /// Reads by a lease, where a leader may hand over, or be replaced when its time is over.
    Leases,
    /// Several views, terms or ballots, by messages that arrive in rounds.
    Views,
}

impl Preset {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Small,
        Self::Disks,
        Self::Closed,
        Self::Deep,
        Self::Traitor,
        Self::Members,
        Self::Snapshots,
        Self::Reads,
        Self::Leases,
        Self::Views,
    ];

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Disks => "disks",
            Self::Closed => "closed",
            Self::Deep => "deep",
            Self::Traitor => "traitor",
            Self::Members => "members",
            Self::Snapshots => "snapshots",
            Self::Reads => "reads",
            Self::Leases => "leases",
            Self::Views => "views",
        }
    }

    /// The bounds for an algorithm of this kind; `None` if the preset makes no sense for it.
    pub fn bounds(self, info: &ProtocolInfo) -> Option<Bounds> {
        match (info.faults, info.takes) {
            (FaultModel::Byzantine, _) => self.byzantine(),
            (FaultModel::Crash, Takes::Any) => self.leaderless(),
            (FaultModel::Crash, Takes::Leader | Takes::Relayed) => self.led(),
        }
    }

    /// Replicas that all propose. With more than one command there is no end of slots and
    /// ballots; but one command and a timer are a duel, too: an acceptor that is in doubt proposes.
    fn leaderless(self) -> Option<Bounds> {
        let one = Bounds { commands: 1, crashes: 1, ..Bounds::quiet(3) };
        Some(match self {
            Self::Small => one,
            Self::Disks => Bounds { commands: 2, ..one },
            Self::Closed => Bounds { timeouts: 1, duplicates: Some(0), ..one },
            Self::Deep => {
                let disks = Disks::Instant;
                Bounds { commands: 3, crashes: 0, duplicates: Some(0), disks, ..one }
            }
            Self::Views => {
                Bounds { commands: 3, timeouts: 1, storms: Some(2), duplicates: Some(0), ..one }
            }
            Self::Traitor | Self::Members | Self::Snapshots | Self::Reads | Self::Leases => {
                return None;
            }
        })
    }

    /// Replicas that elect a leader.
    fn led(self) -> Option<Bounds> {
        let one = Bounds { commands: 1, campaigns: 1, crashes: 1, ..Bounds::quiet(3) };
        let rivals = Bounds { campaigns: 2, crashes: 0, disks: Disks::Instant, ..one };
        Some(match self {
            Self::Small => one,
            Self::Disks => Bounds { commands: 0, campaigns: 2, ..one },
            Self::Closed => rivals,
            Self::Deep => Bounds { campaigns: 3, duplicates: Some(0), ..rivals },
            Self::Traitor => return None,
            Self::Members => Bounds {
                joiners: 1,
                changes: 1,
                wishes: Wishes::of(&[Wish::Leave, Wish::Vote, Wish::Replace]),
                commands: 0,
                campaigns: 1,
                led: true,
                ..rivals
            },
            Self::Snapshots => {
                let once = Bounds { snapshots: 1, timeouts: 1, campaigns: 0, ..rivals };
                Bounds { commands: 2, led: true, ..once }
            }
            Self::Reads => Bounds { reads: 1, campaigns: 1, led: true, ..rivals },
            Self::Leases => Bounds {
                reads: 1,
                mode: ReadMode::Lease,
                transfers: 1,
                ticks: Some(1),
                timeouts: 2,
                campaigns: 0,
                led: true,
                ..rivals
            },
            Self::Views => {
                Bounds { commands: 2, campaigns: 3, storms: Some(2), duplicates: Some(0), ..one }
            }
        })
    }

    /// Replicas some of which may lie.
    fn byzantine(self) -> Option<Bounds> {
        let one = Bounds { commands: 1, ..Bounds::quiet(4) };
        let instant = Bounds { disks: Disks::Instant, ..one };
        Some(match self {
            Self::Small => Bounds { depth: Some(10), ..instant },
            Self::Disks => one,
            Self::Closed => instant,
            Self::Deep => Bounds { commands: 2, timeouts: 6, crashes: 1, ..one },
            Self::Traitor => Bounds { traitors: NodeSet::only(NodeId(0)), timeouts: 3, ..instant },
            Self::Views => Bounds {
                commands: 2,
                timeouts: 4,
                timer: Some(VIEW_TIMER),
                storms: Some(1),
                duplicates: Some(0),
                ..instant
            },
            Self::Members | Self::Snapshots | Self::Reads | Self::Leases => return None,
        })
    }
}

impl fmt::Display for Preset {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Preset {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, String> {
        let named = |preset: &Self| preset.name() == name;
        Self::ALL.into_iter().find(named).ok_or_else(|| {
            let names = Self::ALL.map(Self::name).join(", ");
            format!("there is no preset '{name}'; choose from {names}")
        })
    }
}
