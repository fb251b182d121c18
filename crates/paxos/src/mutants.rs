//! The planted bugs of this crate: ways in which Paxos is often built wrong. Compiled in only with
//! the cargo feature `mutants`; a rig that does not find them proves nothing.
//!
//! Up to P06 they are textbook mistakes, `E-` are mistakes of popular lectures, from P20 on slips
//! of the pen.

use consensus_core::mutant::Mutant;

/// All planted bugs of this crate.
pub const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "P01",
        "an acceptor's promise leaves before it is durable",
        &["O7", "O1", "O6", "O16"],
    ),
    Mutant::new(
        "P02",
        "the proposer takes the value of any promise, not of the highest accepted ballot",
        &["O1", "O6", "O9"],
    ),
    Mutant::new(
        "P03",
        "promises are counted by number: repeated ones, and ones of an older ballot",
        &["O1", "O6", "O9"],
    ),
    Mutant::new(
        "P04",
        "the ballot counter starts anew with the replica, and ballots know no incarnation",
        &["O7", "O1", "O4", "O6", "O16"],
    ),
    Mutant::new(
        "P05",
        "accepting does not raise the promise, so a lower ballot may come after",
        &["O7", "O1", "O6"],
    ),
    Mutant::new(
        "P06",
        "the learner counts one value over different ballots as chosen",
        &["O16", "O1", "O6"],
    ),
    Mutant::new(
        "E-01",
        "an acceptor answers a lower prepare instead of a higher one",
        &["O7", "O1", "O13"],
    ),
    Mutant::new(
        "E-03",
        "the proposer proposes its own value although the promises report another",
        &["O1", "O6", "O9"],
    ),
    Mutant::new("E-09", "an acceptor refuses the very ballot that it promised", &["O13"]),
    Mutant::new(
        "E-13",
        "an acceptor refuses any value but the one that it accepted before",
        &["O13"],
    ),
    Mutant::new("E-14", "a proposer waits for promises of all acceptors", &["O13"]),
    Mutant::new(
        "E-18",
        "an acceptor forgets at a restart what it promised and accepted",
        &["O7", "O1", "O6", "O16"],
    ),
    Mutant::new(
        "E-29a",
        "proposers share numbers: an acceptor compares rounds and not who owns them",
        &["O7", "O1", "O6", "O18"],
    ),
    Mutant::new("E-29b", "a proposer that was outbid tries again at once", &["O13"]),
    Mutant::new(
        "P20",
        "the proposer counts its own acceptance before it is durable",
        &["O6", "O16", "O1"],
    ),
    Mutant::new(
        "P21",
        "a learner that hears that a slot is decided takes what its acceptor holds there",
        &["O1", "O15", "O9"],
    ),
    Mutant::new("P22", "an acceptance leaves before it is durable", &["O6", "O16", "O7", "O1"]),
    Mutant::new(
        "P23",
        "a repeated prepare is answered without what was accepted",
        &["O7", "O1", "O6"],
    ),
    Mutant::new(
        "P24",
        "the promise is not written in a slot in which something was accepted",
        &["O7", "O1", "O6", "O13"],
    ),
    Mutant::new(
        "P25",
        "an acceptor that has accepted in a slot says yes to a higher ballot and keeps its value",
        &["O6", "O7", "O1", "O16"],
    ),
    Mutant::new(
        "P26",
        "a value that is accepted again under a higher ballot is not written again",
        &["O7", "O1", "O6", "O16", "O18"],
    ),
    Mutant::new(
        "P27",
        "a restart takes back the accepted value, but not the promise that goes with it",
        &["O7", "O1", "O6"],
    )
    .beyond_simulation("rare: an accept without its prepare, a crash, and a lower ballot after it"),
    Mutant::new(
        "P28",
        "a proposer that was outbid is content with one promise when it tries again",
        &["O1", "O6", "O7"],
    ),
    Mutant::new("P30", "half of the acceptors are enough to choose", &["O16", "O6", "O1"])
        .beyond_simulation("a cluster of an even size"),
    Mutant::new(
        "P31",
        "the proposer does not look at what its own acceptor has accepted",
        &["O1", "O6"],
    ),
    Mutant::new(
        "P32",
        "the note of a chosen value leaves the value out whatever the acceptor holds",
        &["O1", "O15", "O9", "O4"],
    ),
    Mutant::new(
        "P33",
        "the acceptances of an abandoned proposal count for the next one",
        &["O16", "O6", "O1"],
    ),
    Mutant::new("P34", "the learner gives out chosen values over a hole", &["O2", "O1", "O4"]),
    Mutant::new(
        "P35",
        "a repeated accept carries the proposer's own value, not the adopted one",
        &["O7", "O1", "O6"],
    ),
    Mutant::new("P36", "a learner asks once, and never again", &["O13"]),
    Mutant::new("P37", "a page of chosen values begins one slot too late", &["O13"]),
    Mutant::new("P38", "what was chosen still counts as pending: busy in the end", &["O13"]),
    Mutant::new("P39", "a command is forgotten when another is chosen in its slot", &["O13"]),
    Mutant::new("P40", "a command that no longer fits a merged proposal is forgotten", &["O13"])
        .beyond_simulation("rare: a client whose commands are lost again and again"),
    Mutant::new(
        "P41",
        "flexible quorums: a proposer is content with as many promises as acceptances",
        &["O1", "O6", "O9"],
    ),
    Mutant::new(
        "P42",
        "learners=all: acceptances of one proposer's ballots are counted together",
        &["O16", "O1", "O6"],
    ),
    Mutant::new(
        "P43",
        "learners=all: a learner takes what its acceptor holds, under however low a ballot",
        &["O1", "O15", "O9", "O16"],
    ),
    Mutant::new(
        "P44",
        "learners=all: a learner counts the acceptance of its own node before it is durable",
        &["O6", "O16", "O1"],
    ),
    Mutant::new(
        "P45",
        "refusals=silent: a proposer that hears nothing begins anew with the same number",
        &["O7", "O8", "O1", "O6", "O16"],
    ),
    Mutant::new(
        "P46",
        "learners=distinguished: what is chosen is told when it is proposed",
        &["O1", "O6", "O16", "O15", "O9"],
    ),
    Mutant::new(
        "P47",
        "learners=distinguished: nobody is told; only the price of it is seen",
        &["O14"],
    )
    .beyond_simulation("a count of messages: learners hear the news in other ways, later"),
    Mutant::new(
        "P49",
        "accepting=only-promised: proposes before all who have to accept have promised",
        &["O13"],
    )
    .beyond_simulation("lopsided quorums under that option, which seldom meet"),
    Mutant::new("P50", "the own promise counts with the record before its own", &["O1", "O6"])
        .beyond_simulation("a crash between two syncs at the proposer: `tests/paper.rs`"),
    Mutant::new("P48", "sending=thrifty: who is silent is asked again, and nobody else", &["O13"]),
    Mutant::new(
        "P70",
        "fast: of several reported votes the one with the highest number wins, not O4's value",
        &["O1", "O6", "O9", "O16"],
    ),
    Mutant::new(
        "P71",
        "fast: as many acceptances choose in the fast round as in a classic one",
        &["O1", "O6", "O9", "O16"],
    ),
    Mutant::new(
        "P72",
        "fast: an acceptor votes again in the fast round when another proposal comes",
        &["O7", "O1", "O6", "O16"],
    ),
    Mutant::new(
        "P73",
        "fast: an acceptor votes in the fast round after a promise for a classic one",
        &["O7", "O1", "O6", "O16"],
    ),
    Mutant::new(
        "P74",
        "fast: O4 counts the votes that were reported, and forgets who was not heard",
        &["O1", "O6", "O9", "O16"],
    ),
    Mutant::new(
        "P75",
        "fast: who reports a collision has not promised the round that it reports for",
        &["O7", "O1", "O6", "O16"],
    ),
    Mutant::new(
        "P76",
        "fast: a learner takes its acceptor's vote for the chosen one if its number is higher",
        &["O1", "O15", "O9", "O16", "O4"],
    ),
    Mutant::new("P77", "fast: who hears no fast quorum goes on waiting for one", &["O13"])
        .beyond_simulation("it is only slower: acceptors in doubt bring the slot to an end"),
    Mutant::new(
        "P78",
        "fast: two fast quorums and a classic one meet in no node, just not",
        &["O1", "O6", "O9", "O16"],
    ),
    Mutant::new(
        "P79",
        "fast: a coordinator recovers the same slot again, with other promises",
        &["O7", "O1", "O6", "O16"],
    )
    .beyond_simulation("rare: a coordinator that crashes, and late copies of other promises"),
    Mutant::new(
        "P80",
        "fast: a recovery is proposed before the coordinator's disk knows of it",
        &["O7", "O1", "O6", "O16"],
    )
    .beyond_simulation("rare: a coordinator that crashes, and late copies of other promises"),
    Mutant::new(
        "P90",
        "fast: a proposer that was restarted may have the fast vote of an acceptor again",
        &["O1", "O6", "O7", "O16"],
    )
    .beyond_simulation("rare: a proposer that forgets its own vote alone: a test in `acceptor.rs`"),
    Mutant::new("P81", "fast: who won a fast round never gives way to a rival", &["O13"])
        .beyond_simulation("a client that asks at one replica only; no oracle asks for fairness"),
    Mutant::new(
        "P101",
        "who accepted its own proposal never doubts whether it was chosen",
        &["O13"],
    ),
    Mutant::new("P103", "a client's next command is dropped if it says the same", &["O13"])
        .beyond_simulation("two requests with one payload at two proposers: tests/adoption.rs"),
    Mutant::new("P102", "what another proposer got chosen is proposed again", &["O14"])
        .beyond_simulation("rare: commands left with many proposers, in a duel; tests/paper.rs"),
    Mutant::new("P100", "a no-op that was accepted binds nobody", &["O1", "O6"]).beyond_simulation(
        "rare, a no-op that some accepted and others did not: tests/adoption.rs",
    ),
];
