//! The planted bugs of this crate: wrong turns that others took before us. The rigs must find
//! every one.

use consensus_core::mutant::Mutant;

/// All of them, for the kill matrix.
pub const MUTANTS: &[Mutant] = &[
    Mutant {
        name: "R01",
        wrong: "commits entries of earlier terms by counting replicas (Figure 8)",
        oracles: &["O1", "O4", "O5", "O6", "O13"],
    },
    Mutant {
        name: "R02",
        wrong: "a vote leaves before term and vote are on disk",
        oracles: &["O7", "O3", "O1", "O5"],
    },
    Mutant {
        name: "R03",
        wrong: "counts votes instead of voters: one that comes twice, or the own, counts twice",
        oracles: &["O3", "O5", "O1"],
    },
    Mutant {
        name: "R04",
        wrong: "takes an answer to an earlier question (election or pre-vote) for a vote",
        oracles: &["O3", "O5", "O1"],
    },
    Mutant {
        name: "R05",
        wrong: "compares lengths of logs before terms of last entries",
        oracles: &["O5", "O1"],
    },
    Mutant {
        name: "R06",
        wrong: "any AppendEntries cuts the tail, even where the entries match",
        oracles: &["O6", "O1", "O5", "O13"],
    },
    Mutant {
        name: "R07",
        wrong: "a follower commits up to its own last index, not the last one compared",
        oracles: &["O1", "O6"],
    },
    Mutant { name: "R08", wrong: "commits with n / 2 disks", oracles: &["O6"] },
    Mutant {
        name: "R09",
        wrong: "a leader counts its own entries and vote before they are on disk",
        oracles: &["O6"],
    },
    Mutant {
        name: "R21",
        wrong: "the consistency check looks at prevLogIndex only, not at prevLogTerm",
        oracles: &["O4", "O1", "O6", "O15"],
    },
    Mutant {
        name: "R23",
        wrong: "a heartbeat's commit index is cut at the follower's own last index",
        oracles: &["O1", "O6"],
    },
    Mutant {
        name: "R24",
        wrong: "wants a majority of followers beside the leader",
        oracles: &["O13"],
    },
    Mutant { name: "R25", wrong: "votes only for a log that is strictly newer", oracles: &["O13"] },
    Mutant {
        name: "R27",
        wrong: "asks for votes before term and own vote are on disk",
        oracles: &["O7", "O3", "O1", "O5"],
    },
    Mutant { name: "R28", wrong: "acknowledges entries before they are on disk", oracles: &["O6"] },
];
