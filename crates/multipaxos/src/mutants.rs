//! The planted bugs of this crate, for proving the rigs (cargo feature `mutants`).
//!
//! Up to M06 they are textbook mistakes, from M20 on slips of the pen, from M70 on those at the
//! seams: snapshots, members, reads, hand-over, and each of them with another.

use consensus_core::mutant::Mutant;

/// A leader that did not see a change of members which others went on from.
const CHANGES: &str = "rare, two leaders about one change of members: `tests/changes.rs`";

/// What a new leader finds, and how it is told.
const PHASE_1: &str = "rare, reports that come together in a strange way: `tests/phase_1.rs`";

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
    Mutant::new("M38", "half of the acceptors are enough to choose", &["O16", "O6", "O1"]),
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
    Mutant::new(
        "M160",
        "of a record that holds a run of acceptances only the first is found again",
        &["O6", "O1", "O5", "O7", "O16", "O18", "O4"],
    ),
    Mutant::new("M52", "what left the queue still counts as queued: busy in the end", &["O13"]),
    Mutant::new(
        "M05",
        "a new leader proposes on while a change of members is not chosen: it is in force at once",
        &["O1", "O6", "O16", "O19"],
    ),
    Mutant::new("M71", "a slot more is forgotten than the snapshot covers", &["O18", "O15"]),
    Mutant::new(
        "M72",
        "a leader stays leader when a snapshot tells it what others chose",
        &["O1", "O6", "O18"],
    )
    .beyond_simulation(
        "a deposed leader that fetches a snapshot and is still heard by its followers",
    ),
    Mutant::new("M73", "a snapshot says who votes now, not who voted as of its slot", &["O19"]),
    Mutant::new(
        "M74",
        "who takes a snapshot forgets all that it accepted, beyond it, too",
        &["O1", "O5", "O6", "O7"],
    ),
    Mutant::new("M75", "the records that replace a log leave out the promise", &["O7", "O1", "O6"]),
    Mutant::new(
        "M76",
        "the records that replace a log take the accepted values for the chosen ones",
        &["O1", "O15", "O18", "O4"],
    ),
    Mutant::new(
        "M77",
        "a restart hands out again what is in the snapshot",
        &["O15", "O18", "O4", "O2", "O11"],
    ),
    Mutant::new(
        "M78",
        "who is asked for forgotten slots answers with what comes after them",
        &["O1", "O13", "O15", "O18"],
    ),
    Mutant::new(
        "M79",
        "a promise does not say what is forgotten: the slots look unused",
        &["O1", "O5", "O6"],
    ),
    Mutant::new(
        "M80",
        "records that a newer snapshot outran are not replaced before others follow",
        &["O18", "O4", "O6"],
    ),
    Mutant::new("M81", "a replica that does not vote campaigns", &["O13", "O14"])
        .beyond_simulation(
            "an oracle for elections by who has no vote; such a one is harmless, as it asks around \
         first",
        ),
    Mutant::new(
        "M82",
        "a scout goes on although others forgot slots that it does not know",
        &["O1", "O5", "O6"],
    ),
    Mutant::new(
        "M83",
        "the members of a change are proposed to before they promised",
        &["O1", "O5", "O6", "O16"],
    )
    .beyond_simulation(
        "rare: a leader that was replaced before it told the new members, and is back",
    ),
    Mutant::new("M84", "a follower says that it knows who votes before its disk does", &["O13"])
        .beyond_simulation("all who voted before gone, and then a crash of all others at once"),
    Mutant::new(
        "M85",
        "a change of members is called final although the new ones do not know it",
        &["O13", "O19"],
    )
    .beyond_simulation("an operator who switches off who was removed as soon as he may"),
    Mutant::new("M86", "a leader that was removed stays", &["O13"])
        .beyond_simulation("an oracle for leaders that are no members"),
    Mutant::new("M87", "a client may write what looks like a change of members", &["O2", "O19"])
        .beyond_simulation("a client that forges: drivers keep such out before the protocol does"),
    Mutant::new(
        "M90",
        "the answer to a read of an earlier life counts for the one with its number now",
        &["O9"],
    )
    .beyond_simulation(
        "a read of the same number in the next life, while the answer is on its way",
    ),
    Mutant::new(
        "M185",
        "the answer to a quorum read of an earlier life counts for the one of its number now",
        &["O9"],
    )
    .beyond_simulation(
        "a quorum read of the same number in the next life, while the answer is on its way",
    ),
    Mutant::new(
        "M91",
        "a new leader answers reads before it knows what its predecessors chose",
        &["O9"],
    ),
    Mutant::new("M92", "the lease outlives a hand-over", &["O9"]),
    Mutant::new("M93", "a read is confirmed by a round that began before it", &["O9"]),
    Mutant::new("M94", "the lease counts from the answer, not from the question", &["O9"]),
    Mutant::new("M95", "the lease outlives a change of those who gave it", &["O9"])
        .beyond_simulation("a leader cut off from the new members right after they came"),
    Mutant::new("M96", "a quorum read asks for executed slots, not for accepted ones", &["O9"]),
    Mutant::new(
        "M97",
        "who has forgotten its slots tells a quorum read that it never accepted any",
        &["O9"],
    )
    .beyond_simulation(
        "rare: a quorum of acceptors that forgot all they accepted, and a reader that lags",
    ),
    Mutant::new("M98", "a quorum read believes the members that voted before", &["O9"]),
    Mutant::new(
        "M99",
        "an acceptor that heard a leader promises another ballot within the lease",
        &["O9"],
    )
    .beyond_simulation("rare: two that lead at a time, and a read: `tests/leases.rs`"),
    Mutant::new("M100", "a leader whose disk stands still stays", &["O13"]).beyond_simulation(
        "a disk that stands still while all else is well; the healed core has good ones",
    ),
    Mutant::new("M101", "a hand-over that came to nothing is never over: busy for ever", &["O13"]),
    Mutant::new(
        "M102",
        "who has no vote keeps a change to itself when its leader is gone",
        &["O13"],
    )
    .beyond_simulation("a change that only those know whom it takes the vote from"),
    Mutant::new(
        "M110",
        "an acceptance of a run counts for the slot after it, too",
        &["O6", "O16", "O1"],
    ),
    Mutant::new(
        "M111",
        "of a run only the first slot is accepted, and the whole of it is answered",
        &["O6", "O16", "O7", "O1"],
    ),
    Mutant::new(
        "M112",
        "a run is sent as if it had no gap: values go to the slots before their own",
        &["O1", "O4", "O6", "O7"],
    ),
    Mutant::new(
        "M113",
        "the own acceptance of a slot counts for all that were proposed in after it",
        &["O6", "O16", "O1"],
    ),
    Mutant::new(
        "M114",
        "an acceptor takes the first value of a run for all of it",
        &["O4", "O6", "O1"],
    ),
    Mutant::new(
        "M105",
        "a vote for a part of what was proposed together counts for all of it",
        &["O6", "O16", "O1"],
    ),
    Mutant::new(
        "M106",
        "what others tell is not kept where the acceptor holds the same, and then no more",
        &["O1", "O18", "O15"],
    )
    .beyond_simulation("rare: an accept of a ballot between these two, late; its directed test"),
    Mutant::new(
        "M107",
        "a leader goes on to count and to ask by the members that it began with",
        &["O6", "O16", "O1", "O13"],
    ),
    Mutant::new("M103", "a change of members is proposed while earlier slots are open", &["O19"])
        .beyond_simulation("rare: slots left open by a leader before: `tests/seams.rs`"),
    Mutant::new("M134", "changes members during a hand-over", &["O13"])
        .beyond_simulation("an oracle that sees needless delays of a hand-over"),
    Mutant::new("M135", "an answer to a heartbeat of another ballot confirms a read", &["O9"]),
    Mutant::new("M136", "who was asked to lead by any leader is free of any lease", &["O9"])
        .beyond_simulation("rare: a word to lead that outlives its leader: `tests/leases.rs`"),
    Mutant::new("M137", "a canvass is content with a phase 2 quorum", &["O14"]),
    Mutant::new("M138", "a leader needs the answers of a phase 1 quorum to stay", &["O14"]),
    Mutant::new("M190", "who is bound by a lease follows whoever it hears last", &["O9"])
        .beyond_simulation("two leaders and a change of members: `tests/leases.rs`"),
    Mutant::new("M191", "who has just started owes no lease to anybody but whom it hears", &["O9"])
        .beyond_simulation("the same and a restart: `tests/leases.rs`"),
    Mutant::new("M144", "a scout gives up although its report comes on", &["O13"])
        .beyond_simulation("reports of many pages on slow links: rare; tests/office.rs"),
    Mutant::new("M145", "who tells a scout a long report misses a leader meanwhile", &["O13"])
        .beyond_simulation("reports of many pages on slow links: rare; tests/office.rs"),
    Mutant::new("M143", "who hears of more in a canvass does not ask for it", &["O13"])
        .beyond_simulation("links by which nobody else tells it: rare; tests/office.rs"),
    Mutant::new("M142", "who gets no promises of new members stays in office", &["O13"])
        .beyond_simulation(
            "one node with all links, new members, small quorums: rare; tests/office.rs",
        ),
    Mutant::new("M141", "heeds one that was removed and does not know it", &["O14"])
        .beyond_simulation("rare: others that miss their leader just then; tests/office.rs"),
    Mutant::new("M140", "a preferred replica raises the ballot unasked", &["O14", "O13"])
        .beyond_simulation("links that last: `synod connectivity`, and its test"),
    Mutant::new("M139", "the last change of members is never called final", &["O13"]),
    Mutant::new("M133", "the own promise counts before it is durable", &["O6", "O7", "O16", "O18"]),
    Mutant::new("M130", "the records that replace a log begin with the members of now", &["O19"]),
    Mutant::new("M131", "what is forgotten ends with the members of now, not of then", &["O19"]),
    Mutant::new(
        "M132",
        "the records that replace a log stand by slot: a restart sees a promise fall",
        &["O18"],
    ),
    Mutant::new(
        "M120",
        "a leader keeps nothing for a replica that takes a snapshot, which never catches up",
        &["O13"],
    )
    .beyond_simulation("snapshots that follow one another faster than one is carried over"),
    Mutant::new(
        "M122",
        "what the members of a change report when they promise is not proposed",
        &["O1", "O5", "O6", "O18"],
    )
    .beyond_simulation(
        "rare: a leader that finds a change of members which others know to be chosen, and went on",
    ),
    Mutant::new(
        "M123",
        "flexible quorums: a value is chosen by as many acceptors as have to promise",
        &["O6", "O16", "O1", "O5", "O13"],
    ),
    Mutant::new("M121", "a leader keeps slots for a replica that is gone for good", &["O13"])
        .beyond_simulation("an oracle that sees what slots cost"),
    Mutant::new("M150", "a leader keeps slots without end for a replica that is stuck", &["O13"])
        .beyond_simulation("an oracle that sees what slots cost: `tests/endurance.rs`"),
    Mutant::new("M151", "what trails a snapshot is bounded in slots, not in bytes", &["O13"])
        .beyond_simulation("an oracle that sees what slots cost: its directed test"),
    Mutant::new("M170", "a replica with quorum reads does not ask for Drained", &["O18", "O13"]),
    Mutant::new("M171", "a scout does not wait for its own promise to be durable", &["O13"]),
    Mutant::new(
        "M180",
        "a leader that asks new members does not see that they have forgotten slots",
        &["O1", "O5", "O6", "O18"],
    )
    .beyond_simulation(CHANGES),
    Mutant::new("M181", "a change of members that is known behind a gap stops no leader", &["O19"])
        .beyond_simulation(CHANGES),
    Mutant::new("M182", "learners count where members must be enough for a quorum", &["O13"])
        .beyond_simulation(CHANGES),
    Mutant::new("M184", "a leader reads while it asks new members for promises", &["O9", "O5"])
        .beyond_simulation(CHANGES),
    Mutant::new(
        "M200",
        "what phase 1 found behind a change of members is forgotten",
        &["O1", "O6"],
    )
    .beyond_simulation(PHASE_1),
    Mutant::new("M201", "a choice that is told behind a gap counts less than any vote", &["O1"])
        .beyond_simulation(PHASE_1),
];
