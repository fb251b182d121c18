//! The planted bugs of this crate: wrong turns that others took before us. The rigs must find
//! every one.
//!
//! Up to R16 they were found in other implementations, `E-` are mistakes of popular lectures, from
//! R40 on slips of the pen; those from R70 on sit at the seams of members, snapshots, reads and
//! hand-over, and from R100 on where a candidate is brought up to date.

use consensus_core::mutant::Mutant;

/// What it takes to find the bugs of a follower whose log goes on otherwise than what it is sent.
/// Leaders here know where a log parts from theirs before they send what both hold, and so cut the
/// rest at once; the follower's rules do not rely on that.
const LONGER_TAIL: &str =
    "what a follower holds, sent again before its log is cut: `tests/paper.rs`";

/// All of them, for the kill matrix.
pub const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "R01",
        "commits entries of earlier terms by counting replicas (Figure 8)",
        &["O1", "O4", "O5", "O6", "O13"],
    )
    .beyond_simulation("Figure 8: three leaders in a row that die after one write or one commit"),
    Mutant::new(
        "R02",
        "a vote leaves before term and vote are on disk",
        &["O7", "O3", "O1", "O5", "O18"],
    ),
    Mutant::new(
        "R03",
        "counts votes instead of voters: one that comes twice, or the own, counts twice",
        &["O3", "O5", "O1"],
    ),
    Mutant::new(
        "R04",
        "takes an answer to an earlier question (election or pre-vote) for a vote",
        &["O3", "O5", "O1"],
    ),
    Mutant::new("R05", "compares lengths of logs before terms of last entries", &["O5", "O1"]),
    Mutant::new(
        "R06",
        "any AppendEntries cuts the tail, even where the entries match",
        &["O6", "O1", "O5", "O13"],
    ),
    Mutant::new(
        "R07",
        "a follower commits up to its own last index, not the last one compared",
        &["O1", "O6", "O13"],
    )
    .beyond_simulation(LONGER_TAIL),
    Mutant::new("R08", "commits with n / 2 disks", &["O6"]),
    Mutant::new("R09", "a leader counts its own entries and vote before they are on disk", &["O6"]),
    Mutant::new("R15a", "no pre-vote: who misses the leader begins a term at once", &["O13"])
        .beyond_simulation("an oracle that sees needless changes of leader"),
    Mutant::new("R15b", "a leader that hears no majority stays in office", &["O13"]),
    Mutant::new("R15c", "a vote is given although the leader is heard", &["O13"])
        .beyond_simulation("an oracle that sees needless changes of leader"),
    Mutant::new(
        "E-19a",
        "votes only for a log whose last term and last index are both as high as the own",
        &["O13"],
    )
    .beyond_simulation(
        "rare: two logs of which one is longer and the other newer, and nobody else",
    ),
    Mutant::new("E-19b", "votes only for a log that is strictly newer", &["O13"]),
    Mutant::new("E-20", "wants a majority of followers beside the leader", &["O13"]),
    Mutant::new(
        "E-21",
        "the consistency check looks at prevLogIndex only, not at prevLogTerm",
        &["O4", "O1", "O6", "O15", "O18"],
    ),
    Mutant::new(
        "E-22",
        "a conflict deletes one entry, not all that follow",
        &["O6", "O1", "O4", "O5", "O18"],
    ),
    Mutant::new(
        "E-23",
        "a heartbeat's commit index is cut at the follower's own last index",
        &["O1", "O6"],
    ),
    Mutant::new("E-31a", "a refused vote starts the election timeout anew", &["O13"])
        .beyond_simulation("an oracle that sees needless delays of elections"),
    Mutant::new("E-31b", "a request of an older term gets no answer", &["O13"]),
    Mutant::new(
        "R40",
        "asks for votes before term and own vote are on disk",
        &["O7", "O3", "O1", "O5"],
    ),
    Mutant::new("R41", "acknowledges entries before they are on disk", &["O6", "O13"]),
    Mutant::new("R42", "half of the cluster elects a leader", &["O3", "O5", "O1"])
        .beyond_simulation("a cluster of an even size"),
    Mutant::new("R43", "a new term does not take back the vote of the old one", &["O13"]),
    Mutant::new(
        "R44",
        "the vote in a term that another server began is not written",
        &["O7", "O3", "O1", "O5"],
    ),
    Mutant::new(
        "R45",
        "what was cut from the log still counts as durable in the entries that follow",
        &["O6", "O18"],
    ),
    Mutant::new(
        "R46",
        "a late sync of entries that were cut vouches for those that took their place",
        &["O6", "O18", "O13"],
    )
    .beyond_simulation("rare: a log that is cut while its own sync is under way"),
    Mutant::new("R47", "commits with half of the disks", &["O6", "O1"])
        .beyond_simulation("a cluster of an even size"),
    Mutant::new(
        "R48",
        "a new leader believes that its followers have its log",
        &["O6", "O1", "O13"],
    ),
    Mutant::new("R49", "what got lost on the way to a follower is not sent again", &["O13"]),
    Mutant::new(
        "R51",
        "takes the answer to a heartbeat, which waits for no disk, for an acknowledgement",
        &["O6", "O1"],
    ),
    Mutant::new("R52", "an election by wish needs no log that is up to date", &["O5", "O1", "O6"]),
    Mutant::new("R53", "an acknowledgement of an earlier term counts", &["O6", "O1"])
        .beyond_simulation(
            "an acknowledgement that is held until its leader leads again, with a shorter log",
        ),
    Mutant::new(
        "R55",
        "a follower acknowledges its whole log, not what was compared",
        &["O6", "O1"],
    )
    .beyond_simulation(LONGER_TAIL),
    Mutant::new(
        "R56",
        "only the first of the new entries is compared with the log",
        &["O6", "O1", "O4"],
    )
    .beyond_simulation(LONGER_TAIL),
    Mutant::new(
        "R57",
        "entries that are sent again are not checked for consistency",
        &["O4", "O6", "O1", "O18"],
    ),
    Mutant::new("R58", "a restart forgets the vote and keeps the term", &["O7", "O3"]),
    Mutant::new("R59", "a second candidate of a term gets a vote, too", &["O7", "O3", "O18"]),
    Mutant::new("R60", "a term that another server began is not written", &["O7", "O3", "O18"]),
    Mutant::new("R61", "a vote for itself is not written", &["O7", "O3"]),
    Mutant::new("R62", "a refused vote counts", &["O3", "O5"]),
    Mutant::new("R63", "a new leader appends no entry of its term", &["O13"]),
    Mutant::new("R64", "the quorum index is taken from an unsorted list", &["O6", "O13", "O1"]),
    Mutant::new("R65", "what is committed still counts as pending: busy in the end", &["O13"]),
    Mutant::new(
        "R66",
        "a restart appends entries to the log that have replaced its tail",
        &["O1", "O4", "O5", "O6", "O18"],
    ),
    Mutant::new(
        "R10",
        "members are changed before an entry of the leader's own term is committed",
        &["O3", "O1", "O5", "O6"],
    )
    .beyond_simulation("two leaders in a row, each with a change that the other does not know"),
    Mutant::new("R11a", "a learner's acknowledgement counts", &["O6", "O1", "O5"]),
    Mutant::new("R11b", "the vote of a server that does not vote counts", &["O3", "O5", "O1"]),
    Mutant::new(
        "R12a",
        "an installed snapshot keeps the tail of a log that does not agree with it",
        &["O1", "O4", "O5", "O6", "O8", "O15", "O18", "O19"],
    ),
    Mutant::new(
        "R12b",
        "an older snapshot takes back what is committed",
        &["O1", "O2", "O8", "O15", "O18"],
    )
    .beyond_simulation("a driver that brings a snapshot of what is applied; none does"),
    Mutant::new(
        "R13a",
        "a new leader answers reads before an entry of its term is committed",
        &["O9"],
    ),
    Mutant::new("R13b", "a leader answers reads without asking whether it leads", &["O9"]),
    Mutant::new(
        "R13c",
        "a read is confirmed by a round of heartbeats that began before it came",
        &["O9"],
    )
    .beyond_simulation("rare: a new leader between question and answer; the explorer, its reads"),
    Mutant::new(
        "R13d",
        "an answer to a read of an earlier life is taken for one of this life",
        &["O9"],
    )
    .beyond_simulation("an answer that comes after a restart, to a read of the same name"),
    Mutant::new(
        "R14a",
        "a lease counts from the last heartbeat that was sent, not from the one that was answered",
        &["O9"],
    )
    .beyond_simulation("rare: late answers at a cut-off leader: `seam-lease-late-answers.scn`"),
    Mutant::new("R14b", "a lease allows for no drift of clocks", &["O9"])
        .beyond_simulation("rare: clocks at the bound, and disks and links that are quick"),
    Mutant::new("R14d", "a lease outlives a change of those who gave it", &["O9"])
        .beyond_simulation("a leader cut off from the new members right after they came"),
    Mutant::new("R16", "an older sync takes back what a newer one made durable", &["O13"])
        .beyond_simulation("a sync of the log that ends after a snapshot was installed"),
    Mutant::new(
        "R70",
        "forgets what is committed, not what the snapshot covers",
        &["O5", "O15", "O18", "O1"],
    ),
    Mutant::new(
        "R71",
        "a joint change needs a majority of the new voters only",
        &["O3", "O6", "O1", "O5"],
    ),
    Mutant::new(
        "R72",
        "a change of members that is cut from the log stays in force",
        &["O3", "O6", "O1", "O5", "O13", "O19", "O18"],
    ),
    Mutant::new(
        "R73",
        "a snapshot names the members in force, not those as of its index",
        &["O3", "O6", "O1", "O5", "O13", "O19"],
    ),
    Mutant::new(
        "R74",
        "an installed snapshot leaves the members as they were",
        &["O3", "O6", "O1", "O5", "O13", "O19"],
    ),
    Mutant::new("R75", "tells a server to campaign that has not caught up", &["O13"])
        .beyond_simulation("a hand-over that fails costs time only"),
    Mutant::new("R76", "two voters are changed in one step", &["O3", "O6", "O1", "O5"]),
    Mutant::new("R77", "takes commands during a hand-over, which then never ends", &["O13"])
        .beyond_simulation("a hand-over that is late costs time only"),
    Mutant::new("R78", "a lease goes on after the leader told another to campaign", &["O9"]),
    Mutant::new("R79", "a follower reads at its own commit index, not at the leader's", &["O9"]),
    Mutant::new(
        "R80",
        "a change of members begins before the last one is committed",
        &["O3", "O6", "O1", "O5"],
    )
    .beyond_simulation("two changes in the same moment, and then a new leader"),
    Mutant::new("R81", "a server votes before it has caught up", &["O13"])
        .beyond_simulation("that the cluster stands still while a new voter is fed"),
    Mutant::new(
        "R82",
        "the second half of a joint change does not wait for the first",
        &["O3", "O6", "O1", "O5"],
    ),
    Mutant::new("R83", "a joint change is never completed", &["O13"]),
    Mutant::new("R84", "a leader that was removed stays in office", &["O13"]),
    Mutant::new("R85", "with leases, news of a later term ends the promise to the leader", &["O9"])
        .beyond_simulation(
            "a late answer of a later term to one who follows a leader with a lease",
        ),
    Mutant::new("R86", "with leases, a restart ends the promise to the leader", &["O9"]),
    Mutant::new("R87", "a server that does not vote campaigns", &["O13", "O3", "O5"])
        .beyond_simulation("it disturbs nobody who hears a leader: pre-vote"),
    Mutant::new("R88", "with leases, an operator's wish deposes a leader unasked", &["O9"]),
    Mutant::new(
        "R120",
        "a sync that covers some entries counts for those that were written after it began",
        &["O6", "O1", "O5"],
    ),
    Mutant::new(
        "R160",
        "of entries that come together only the first is written",
        &["O4", "O6", "O5", "O1", "O16", "O18"],
    ),
    Mutant::new("R130", "an acknowledgement of just the next entry commits nothing", &["O13"]),
    Mutant::new(
        "R89",
        "a server does not campaign that an uncommitted entry of its log removes",
        &["O13"],
    )
    .beyond_simulation("rare, about one in 2,000 seeds: all that hold the entry are to go"),
    Mutant::new(
        "R100",
        "a candidate adopts entries that end no later than its own log",
        &["O6", "O1", "O5", "O4", "O18"],
    )
    .beyond_simulation("a late tail, after what replaced the log was acknowledged"),
    Mutant::new(
        "R101",
        "what a candidate lacks is cut by size before it ends later than the candidate's log",
        &["O13"],
    )
    .beyond_simulation(
        "logs that parted, the longer being older; it costs time only, while a majority is whole",
    ),
    Mutant::new(
        "R102",
        "a candidate does not compare the entry before those that it adopts",
        &["O4", "O1", "O6", "O5", "O18"],
    )
    .beyond_simulation("a tail that comes after the log was overwritten"),
    Mutant::new(
        "R103",
        "a candidate adopts entries in place of committed ones",
        &["O18", "O1", "O4", "O5"],
    )
    .beyond_simulation(
        "Figure 8: an uncommitted entry of a later term, a committed one of an earlier term",
    ),
    Mutant::new(
        "R104",
        "a candidate keeps its term, though it adopts entries that end before it",
        &["O1", "O4", "O13", "O6"],
    )
    .beyond_simulation(
        "a leader whose voters have older logs than others, and its heartbeat to one led astray",
    ),
    Mutant::new(
        "R105",
        "a candidate is sent what follows the refuser's commit index, not what it lacks itself",
        &["O13"],
    )
    .beyond_simulation(
        "a world in which only a server that lags reaches a majority (`synod connectivity`)",
    ),
    Mutant::new(
        "R106",
        "a candidate that lacks what is forgotten is not told to take a snapshot",
        &["O13"],
    )
    .beyond_simulation(
        "a world in which only a server that lags reaches a majority, and its voters forgot",
    ),
    Mutant::new(
        "R108",
        "a candidate leaves its term to catch up, though no majority has answered",
        &["O14"],
    )
    .beyond_simulation("a leader that is well, and links that come back"),
    Mutant::new(
        "R107",
        "a follower adopts entries, too, though it has a leader and has acknowledged others",
        &["O6", "O1", "O4", "O5", "O13"],
    )
    .beyond_simulation("a late tail, after others were acknowledged"),
    Mutant::new(
        "R110",
        "a leader keeps nothing for a server that takes a snapshot, which never catches up",
        &["O13"],
    )
    .beyond_simulation("snapshots that follow one another faster than one is carried over"),
    Mutant::new("R111", "a leader keeps its log for a server that is gone for good", &["O13"])
        .beyond_simulation("an oracle that sees what a log costs"),
    Mutant::new("R150", "a leader keeps its log without end for a server that is stuck", &["O13"])
        .beyond_simulation("an oracle that sees what a log costs: `tests/endurance.rs`"),
    Mutant::new(
        "R151",
        "a first message that got lost makes a leader send its whole log",
        &["O13"],
    )
    .beyond_simulation("an oracle that sees what a repair costs: `tests/paper.rs`"),
    Mutant::new(
        "R152",
        "rounds for reads make an answer that a disk holds back a lost one",
        &["O13"],
    )
    .beyond_simulation("an oracle that sees what a slow disk costs: `tests/reads.rs`"),
    Mutant::new("R153", "a server that cannot take over is asked again and again", &["O13"])
        .beyond_simulation("an oracle that sees how long a leader is busy: `tests/leadership.rs`"),
    Mutant::new("R154", "a leader that was deposed and has not heard of it stops", &["O18"])
        .beyond_simulation(
            "rare: a snapshot that ends just before the new term: `tests/snapshots.rs`",
        ),
    Mutant::new(
        "R155",
        "what a candidate lacks is sent at once, however narrow the links",
        &["O13"],
    )
    .beyond_simulation("links that drop what is too long: `tests/tails.rs`"),
    Mutant::new("R156", "a compacted log is one record, however long", &["O13"])
        .beyond_simulation("a gigabyte of entries: `tests/snapshots.rs`"),
    Mutant::new("R157", "a preferred server that asks for pre-votes campaigns unasked", &["O14"])
        .beyond_simulation("rare, and it costs a term only: `tests/leadership.rs`"),
    Mutant::new("R158", "who asked a leader that steps down is not told", &["O13"])
        .beyond_simulation("clients wait a while, no more: `tests/reads.rs`"),
    Mutant::new(
        "R112",
        "a restart keeps a log that is longer than the snapshot, though it differs",
        &["O1", "O4", "O5", "O6", "O8", "O15", "O18", "O19"],
    )
    .beyond_simulation(
        "rare: a crash after a snapshot is durable and before it replaces a longer, other log",
    ),
    Mutant::new(
        "R113",
        "a late sync of a log that a snapshot replaced vouches for what comes in its place",
        &["O6", "O18"],
    )
    .beyond_simulation("rare: a snapshot in place of a longer log that the disk is still writing"),
    Mutant::new("R132", "the records that replace a log leave out the vote", &["O7", "O3"]),
    Mutant::new("R133", "goes on changing members during a hand-over", &["O13"])
        .beyond_simulation("an oracle that sees needless delays of a hand-over"),
    Mutant::new("R134", "who was to go stays when the successor votes", &["O19", "O13"]),
    Mutant::new("R135", "an answer to a heartbeat of an older term confirms a read", &["O9"]),
    Mutant::new(
        "R136",
        "a snapshot vouches for all of the log that it agrees with",
        &["O20", "O6"],
    ),
    Mutant::new("R137", "what replaces a conflicting entry counts as durable at once", &["O20"]),
    Mutant::new("R138", "after a snapshot the uncommitted bytes are not counted anew", &["O20"])
        .beyond_simulation("rare, about one in 2,000 seeds: a snapshot that comes to a leader"),
    Mutant::new("R139", "a hand-over that failed leaves the lease as it was", &["O9"]),
    Mutant::new(
        "R140",
        "of two servers that take snapshots the leader keeps what the further one needs",
        &["O13"],
    )
    .beyond_simulation("a load that goes on while two take snapshots: `tests/snapshots.rs`"),
    Mutant::new("R141", "a disk is stuck if it has not written what came just now", &["O14"]),
    Mutant::new("R143", "with more than eight voters the list is not sorted", &["O6", "O13"])
        .beyond_simulation("more than eight voters: a test in `leader.rs`"),
    Mutant::new("R147", "a leader whose disk stands still stays", &["O13"]).beyond_simulation(
        "a disk that stands still while all else is well; the healed core has good ones",
    ),
    Mutant::new("R146", "members that a snapshot makes final are told to nobody", &["O19"]),
    Mutant::new("R145", "pre-votes count for one that follows", &["O14", "O13"])
        .beyond_simulation("pre-votes of a majority that all come late: `tests/leadership.rs`"),
    Mutant::new("R144", "a preferred server campaigns unasked", &["O13", "O14"])
        .beyond_simulation("links that last: `synod connectivity`, and its test"),
    Mutant::new("R142", "members that a later entry commits are never called final", &["O13"]),
    Mutant::new("R131", "who voted before a joint change is left as a learner", &["O19", "O13"]),
    Mutant::new("R170", "a follower that gathers reads does not ask for Drained", &["O18", "O13"]),
    Mutant::new("R171", "a candidate does not wait for its own vote to be durable", &["O13"]),
    Mutant::new(
        "R180",
        "a leader that has forgotten all that is committed does not know of its term's commit",
        &["O13", "O9"],
    )
    .beyond_simulation("a cluster in which nobody writes: `tests/forgetting.rs`"),
    Mutant::new("R181", "a follower that has just what is forgotten is not fed", &["O13"]),
    Mutant::new("R192", "a wish to lead does not wait for the promise to a leader", &["O9"]),
    Mutant::new("R190", "a candidate adopts entries of its own term", &["O3", "O5", "O6"])
        .beyond_simulation("a vote that is later than two changes of members: `tests/tails.rs`"),
    Mutant::new("R191", "a candidate's log may end where no log does", &["O18"])
        .beyond_simulation("two hostile numbers in one message: unit tests of `src/message.rs`"),
    Mutant::new("R200", "a follower that needs no snapshot names the end of its log", &["O13"])
        .beyond_simulation("a leader that says so without need: `tests/snapshots.rs`"),
    Mutant::new("R201", "one read by lease makes those that come with it such, too", &["O9"])
        .beyond_simulation("rare: worse clocks, and one whom a leader without a lease answers"),
];
