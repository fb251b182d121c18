//! The planted bugs of this crate, for proving the rigs (cargo feature `mutants`).

use consensus_core::mutant::Mutant;

const fn mutant(
    name: &'static str,
    wrong: &'static str,
    oracles: &'static [&'static str],
) -> Mutant {
    Mutant { name, wrong, oracles }
}

/// All planted bugs.
pub const MUTANTS: &[Mutant] = &[
    mutant(
        "M01",
        "a new leader fills with a no-op every open slot whose value it does not hold itself",
        &["O1", "O5", "O6"],
    ),
    mutant(
        "M02",
        "a follower that misses a chosen slot executes a no-op in its place and goes on",
        &["O1"],
    ),
    mutant("M03", "a promise reports only the last accepted slot", &["O1", "O5", "O6"]),
    mutant(
        "M04",
        "a follower takes its own accepted value for the chosen one under any ballot",
        &["O1", "O6"],
    ),
    mutant("M06", "a leader ignores a nack with a higher ballot", &["O13", "O14"]),
    mutant("M07", "a promise leaves before it is durable", &["O7", "O1", "O6"]),
    mutant(
        "M08",
        "a new leader takes a reported value whatever its ballot: here the lowest",
        &["O1", "O5", "O6"],
    ),
    mutant(
        "M09",
        "a proposer that finds its own ballot on its disk goes on with it in its next life",
        &["O4", "O7", "O1", "O3"],
    ),
    mutant("M10", "a repeated vote of one acceptor counts again", &["O16", "O6", "O1"]),
    mutant("M11", "a leader counts its own acceptance before it is durable", &["O6", "O16", "O1"]),
    mutant("M12", "an acceptance is said before it is durable", &["O6", "O7", "O1"]),
];
