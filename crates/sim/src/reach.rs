//! What must happen in many runs, beside the rare things that an algorithm tells of
//! ([`Audit::MARKS`]): every kind of fault strikes, and what is rare in the world itself happens. A
//! class of faults that strikes no more would find nothing, and nobody would miss it.

use crate::operators::Offers;
use consensus_core::{Audit, FaultModel, Takes};

/// For every algorithm.
const ALWAYS: &[&str] = &[
    "all nodes crashed at once",
    "asked to campaign",
    "burst of loss",
    "client cut off",
    "client resumes a command",
    "client tries again",
    "clock jumped ahead",
    "connection of a client broke",
    "connection refused",
    "crash",
    "crash before a sync",
    "crash between two effects of a step",
    "disk full",
    "disk lost for good",
    "disk stalled",
    "first commit by a restarted replica",
    "held promise lost in a crash",
    "link flaps",
    "links clogged",
    "log replayed after a restart",
    "message duplicated",
    "message lost",
    "message of a cursed kind late",
    "message of a cursed kind lost",
    "message replayed late",
    "message to a cut link",
    "node isolated",
    "node slow",
    "nodes take in several inputs",
    "one-way cut",
    "partial connectivity",
    "partition healed",
    "pause",
    "request or reply lost",
    "restart",
    "result lost",
    "retry answered from the session table",
    "search for an order given up",
    "several inputs in a turn",
    "split",
    "sync failed",
    "unsynced write lost",
];

/// Where replicas may crash and do not lie.
const CRASH_FAULTS: &[&str] = &["all links to one node only"];

/// Where there is a leader that does not lie.
const LOYAL: &[&str] = &["leader comes home to silence"];

/// Where there is a leader.
const LED: &[&str] = &[
    "crash right after a commit",
    "leader beyond epoch 3",
    "leader hit",
    "leader hit in a relay",
    "leader left with a bare quorum",
];

/// Where replicas may lie.
const LIES: &[&str] = &[
    "traitor equivocates",
    "traitor forges",
    "traitor insists on a lie",
    "traitor is mute",
    "traitor leaves receivers out",
    "traitor lies to clients",
    "traitor replays",
];

/// Where members change.
const CHANGES: &[&str] = &[
    "asked for any members",
    "bridge over a schism",
    "asked for the same members",
    "asked to add a learner",
    "asked to add a voter",
    "asked to hand over",
    "asked to make a voter a learner",
    "asked to promote a learner",
    "asked to remove a voter",
    "asked to remove the leader",
    "asked to replace a voter",
    "asked to shrink to one",
    "change refused: an old version",
    "change refused: impossible",
    "change refused: not the leader",
    "change refused: one is under way",
    "one that joins hears nothing for long",
    "schism during a change of members",
];

/// Where replicas take snapshots and send them to each other.
const SNAPSHOTS: &[&str] = &[
    "chunk of a snapshot of no use",
    "crash before a snapshot was installed",
    "leader exiled with commands of its own",
    "log forgotten",
    "restart on a snapshot",
    "restart rehearsed",
    "snapshot asked for",
    "snapshot installed",
    "snapshot survived the crash in which it was written",
    "snapshot taken",
    "word of an exile held back",
];

/// Where there are reads beside the log.
const READS: &[&str] = &[
    "a replica is not told of its disk",
    "a replica is told of its disk late",
    "answered as it stands",
    "answered by index",
    "answered within a bound",
    "comeback of a leader that hears old answers",
    "query or its answer lost",
];

/// Where there are leases.
const LEASES: &[&str] = &[
    "answered by lease",
    "clocks worse than declared",
    "lease of a leader that another one has replaced",
    "leases are on",
    "siege of a leader with a lease",
];

/// The kinds of faults and the rare things that some of many runs with a clock must show, beside
/// [`Audit::MARKS`].
pub fn expected<P: Audit>() -> Vec<&'static str> {
    let offers = Offers::of::<P>();
    let crash = P::INFO.faults == FaultModel::Crash;
    let led = P::INFO.takes != Takes::Any;
    let parts = [
        (true, ALWAYS),
        (crash, CRASH_FAULTS),
        (!crash, LIES),
        (led, LED),
        (led && crash, LOYAL),
        (offers.changes, CHANGES),
        (offers.snapshots, SNAPSHOTS),
        (offers.index_reads, READS),
        (offers.leases, LEASES),
        (offers.quorum_reads, &["answered by quorum"]),
    ];
    let wanted = parts.into_iter().filter(|(is_so, _)| *is_so);
    wanted.flat_map(|(_, names)| names.iter().copied()).collect()
}
