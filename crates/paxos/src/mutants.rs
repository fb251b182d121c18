//! The planted bugs of this crate: ways in which Paxos is often built wrong. Compiled in only with
//! the cargo feature `mutants`; a rig that does not find them proves nothing.

use consensus_core::mutant::Mutant;

/// All planted bugs of this crate.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "P01",
        wrong: "An acceptor's promise leaves before it is durable.",
        oracles: &["O7", "O1", "O6", "O16"],
    },
    Mutant {
        name: "P02",
        wrong: "The proposer takes the value of any promise, not of the highest accepted ballot.",
        oracles: &["O1", "O6", "O9"],
    },
    Mutant {
        name: "P03",
        wrong: "Promises are counted by number: repeated ones, and ones of an older ballot.",
        oracles: &["O1", "O6", "O9"],
    },
    Mutant {
        name: "P04",
        wrong: "The ballot counter starts anew with the replica, and ballots know no incarnation.",
        oracles: &["O7", "O1", "O4", "O6", "O16"],
    },
    Mutant {
        name: "P05",
        wrong: "Accepting does not raise the promise, so a lower ballot may come after.",
        oracles: &["O7", "O1", "O6"],
    },
    Mutant {
        name: "P06",
        wrong: "The learner counts one value over different ballots as chosen.",
        oracles: &["O16", "O1", "O6"],
    },
    Mutant {
        name: "P07",
        wrong: "An acceptor forgets at a restart what it promised and accepted.",
        oracles: &["O7", "O1", "O6", "O16"],
    },
    Mutant {
        name: "P08",
        wrong: "The proposer counts its own acceptance before it is durable.",
        oracles: &["O6", "O16", "O1"],
    },
    Mutant {
        name: "P09",
        wrong: "The proposer proposes its own value although the promises report another.",
        oracles: &["O1", "O6", "O9"],
    },
    Mutant {
        name: "P10",
        wrong: "A learner that hears that a slot is decided takes what its acceptor holds there.",
        oracles: &["O1", "O15", "O9"],
    },
    Mutant {
        name: "E-01",
        wrong: "An acceptor answers a lower prepare instead of a higher one.",
        oracles: &["O7", "O1", "O13"],
    },
    Mutant {
        name: "E-09",
        wrong: "An acceptor refuses the very ballot that it promised.",
        oracles: &["O13"],
    },
];
