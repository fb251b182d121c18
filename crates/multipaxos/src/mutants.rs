//! The planted bugs of this crate, for proving the rigs (cargo feature `mutants`).
//!
//! Up to M06 they are textbook mistakes, from M20 on slips of the pen.

use consensus_core::mutant::Mutant;

/// All planted bugs.
pub const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "M01",
        "a new leader fills with a no-op every open slot whose value it does not hold itself",
        &["O1", "O5", "O6"],
    ),
    Mutant::new(
        "M02",
        "a follower that misses a chosen slot executes a no-op in its place and goes on",
        &["O1"],
    ),
    Mutant::new("M03", "a promise reports only the last accepted slot", &["O1", "O5", "O6"]),
    Mutant::new(
        "M04",
        "a follower takes its own accepted value for the chosen one under any ballot",
        &["O1", "O6"],
    ),
    Mutant::new("M06", "a leader ignores a nack with a higher ballot", &["O13", "O14"]),
    Mutant::new("M20", "a promise leaves before it is durable", &["O7", "O1", "O6"]),
    Mutant::new(
        "M21",
        "a new leader takes a reported value whatever its ballot: here the lowest",
        &["O1", "O5", "O6"],
    ),
    Mutant::new(
        "M22",
        "a proposer that finds its own ballot on its disk goes on with it in its next life",
        &["O4", "O7", "O1", "O3"],
    ),
    Mutant::new("M23", "a repeated vote of one acceptor counts again", &["O16", "O6", "O1"]),
    Mutant::new(
        "M24",
        "a leader counts its own acceptance before it is durable",
        &["O6", "O16", "O1"],
    ),
    Mutant::new("M25", "an acceptance is said before it is durable", &["O6", "O7", "O1"]),
    Mutant::new(
        "M26",
        "a new leader does not look at what its own acceptor has accepted",
        &["O1", "O5", "O6"],
    ),
    Mutant::new(
        "M27",
        "a promise for an earlier ballot counts for the later one",
        &["O1", "O5", "O6"],
    )
    .beyond_simulation("a promise that is held for two elections, while another replica leads"),
    Mutant::new("M28", "a promise counts when its first page has come", &["O1", "O5", "O6"]),
    Mutant::new(
        "M30",
        "the last slot that phase 1 found in use goes to a new command",
        &["O1", "O5", "O6"],
    ),
    Mutant::new("M31", "a new leader leaves holes in the log open", &["O13"]),
    Mutant::new(
        "M32",
        "a restart takes back the accepted value, but not the promise that goes with it",
        &["O7", "O1", "O6"],
    )
    .beyond_simulation("rare: an accept without its prepare, a crash, and a lower ballot after it"),
    Mutant::new(
        "M33",
        "a page of a promise that is full swallows one accepted value",
        &["O1", "O5", "O6"],
    ),
    Mutant::new(
        "M34",
        "an acceptor that has accepted in a slot says yes to a higher ballot and keeps its value",
        &["O6", "O1", "O7"],
    ),
    Mutant::new(
        "M35",
        "a value that is accepted again under a higher ballot is not written again",
        &["O7", "O1", "O6", "O4"],
    ),
    Mutant::new(
        "M36",
        "a follower takes the slot after the chosen ones for chosen, too",
        &["O6", "O1"],
    ),
    Mutant::new("M37", "an acceptance under an earlier ballot counts", &["O16", "O6", "O1"])
        .beyond_simulation("an acceptance that is held until its leader is elected again"),
    Mutant::new("M38", "half of the acceptors are enough to choose", &["O16", "O6", "O1"])
        .beyond_simulation("a cluster of an even size"),
    Mutant::new("M39", "a heartbeat says that everything proposed is chosen", &["O6", "O1"]),
    Mutant::new("M40", "an accept that got lost is not sent again", &["O13"]),
    Mutant::new("M41", "a leader that once heard a quorum never steps down", &["O13"]),
    Mutant::new("M42", "a follower that fell behind twice does not ask", &["O13"]),
    Mutant::new("M43", "a canvass counts every answer as a yes", &["O13"])
        .beyond_simulation("an oracle that sees needless changes of leader"),
    Mutant::new(
        "M44",
        "a follower that lost a leader once has lost every later one, too",
        &["O13"],
    )
    .beyond_simulation("an oracle that sees needless changes of leader"),
    Mutant::new(
        "M45",
        "a value learned from another replica is not noted, only that it is chosen",
        &["O1", "O15", "O4", "O18"],
    ),
    Mutant::new(
        "M46",
        "the answer to a replica that lags begins one slot too late",
        &["O1", "O6", "O15"],
    ),
    Mutant::new(
        "M47",
        "a leader believes other replicas about what is chosen",
        &["O1", "O6", "O18"],
    )
    .beyond_simulation(
        "a deposed leader that is told of another's choice and still heard by its followers",
    ),
    Mutant::new(
        "M48",
        "the note of what is chosen names one slot too many",
        &["O1", "O6", "O18", "O4"],
    ),
    Mutant::new("M49", "the own acceptance of an earlier ballot counts", &["O6", "O16", "O1"])
        .beyond_simulation("a leader whose disk is slower than two elections by others"),
    Mutant::new("M50", "the own promise of an earlier ballot counts", &["O1", "O5", "O6"])
        .beyond_simulation(
            "a leader whose disk is slower than two elections by others, and that crashes",
        ),
    Mutant::new("M51", "what was executed still counts as open: the window closes", &["O13"]),
    Mutant::new("M52", "what left the queue still counts as queued: busy in the end", &["O13"]),
];
