//! The bugs planted in this crate, to prove that the rigs find them.

use consensus_core::mutant::Mutant;

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    Mutant { name: "B01", wrong: "f + 1 replicas are a quorum", oracles: &["O1", "O6", "O16"] },
    Mutant {
        name: "B02",
        wrong: "a repeated vote of one replica is counted again",
        oracles: &["O1", "O6", "O16"],
    },
    Mutant {
        name: "B03",
        wrong: "the digest of a prepare or commit is not compared with the pre-prepare's",
        oracles: &["O1", "O6", "O16", "O18"],
    },
    Mutant {
        name: "B04",
        wrong: "the primary counts twice: its pre-prepare, and a prepare",
        oracles: &["O1", "O6", "O16"],
    },
    Mutant {
        name: "B06",
        wrong: "a new view forgets what prepared in earlier ones",
        oracles: &["O1", "O6"],
    },
    Mutant {
        name: "B07",
        wrong: "a backup trusts a new-view without computing anew what it must carry",
        oracles: &["O1", "O6", "O16"],
    },
    Mutant { name: "B09", wrong: "no timer runs for requests that wait", oracles: &["O13"] },
    Mutant {
        name: "B10",
        wrong: "a replica counts its own commit before its disk has the certificate",
        oracles: &["O6", "O16"],
    },
    Mutant {
        name: "B11",
        wrong: "a commit is sent before the prepared certificate is on disk",
        oracles: &["O1", "O6", "O7", "O16"],
    },
];
