//! Planted bugs. A rig that never saw a bug proves nothing, so the algorithm crates carry named
//! wrong turns, each behind `if planted("R01")`. Without the cargo feature `mutants` that is a
//! constant `false` and the wrong turn is not in the build at all.
//!
//! In a build with the feature the environment variable `SYNOD_MUTANT` plants one from the start,
//! so that any test can be run against it: `SYNOD_MUTANT=R01 cargo test -p synod-raft
//! --all-features`.

/// Is this planted bug switched on in this thread?
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn planted(_name: &'static str) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use switched::{NAMES, plant, planted};

#[cfg(feature = "mutants")]
mod switched {
    use std::cell::Cell;
    use std::sync::OnceLock;

    /// The names of all planted bugs of the workspace, so that a slip of the pen plants nothing
    /// unseen. Their crates describe them; a test holds this list and theirs together.
    #[rustfmt::skip]
    pub const NAMES: &[&str] = &[
        // crates/consensus-core
        "K-dedup", "K-outbox", "K-inflight", "K-joined", "K01", "K02", "K03", "K04", "K05", "K06",
        "K07", "K08", "S-offset", "S-late", "S-mix", "S-ahead", "S-age", "S-joint", "S-learner",
        "S-contact", "S-version", "S-drift", "S-echo", "S-place", "S-stuck", "K09", "K20", "K21",
        "K22", "K23", "K24", "K25", "K26", "K30", "K31", "K32", "K33", "S-lease",
        "S-kept",
        // crates/paxos
        "P01", "P02", "P03", "P04", "P05", "P06", "E-01", "E-03", "E-09", "E-13", "E-14", "E-18",
        "E-29a", "E-29b", "P20", "P21", "P22", "P23", "P24", "P25", "P26", "P27", "P28", "P30",
        "P31", "P32", "P33", "P34", "P35", "P36", "P37", "P38", "P39", "P40", "P41", "P42", "P43",
        "P44", "P45", "P46", "P47", "P48", "P49", "P50", "P70", "P71", "P72", "P73", "P74", "P75",
        "P76", "P77", "P78", "P79", "P80", "P81", "P90", "P100", "P101", "P102", "P103",
        // crates/multipaxos
        "M01", "M02", "M03", "M04", "M06", "M20", "M21", "M22", "M23", "M24", "M25", "M26", "M27",
        "M28", "M30", "M31", "M32", "M33", "M34", "M35", "M36", "M37", "M38", "M39", "M40", "M41",
        "M42", "M43", "M44", "M45", "M46", "M47", "M48", "M49", "M50", "M51", "M52", "M05", "M71",
        "M72", "M73", "M74", "M75", "M76", "M77", "M78", "M79", "M80", "M81", "M82", "M83", "M84",
        "M85", "M86", "M87", "M90", "M91", "M92", "M93", "M94", "M95", "M96", "M97", "M98", "M99",
        "M100", "M101", "M102", "M103", "M105", "M106", "M107", "M110", "M111", "M112", "M113",
        "M114", "M120", "M121", "M130", "M131", "M132", "M133", "M134", "M135", "M136", "M137",
        "M138", "M139", "M140", "M141", "M142", "M143", "M144", "M145", "M150", "M151", "M122",
        "M123", "M160", "M170", "M171", "M180", "M181", "M182", "M184", "M185", "M190", "M191",
        "M200", "M201",
        // crates/raft
        "R01", "R02", "R03", "R04", "R05", "R06", "R07", "R08", "R09", "R15a", "R15b", "R15c",
        "E-19a", "E-19b", "E-20", "E-21", "E-22", "E-23", "E-31a", "E-31b", "R40", "R41", "R42",
        "R43", "R44", "R45", "R46", "R47", "R48", "R49", "R51", "R52", "R53", "R55", "R56", "R57",
        "R58", "R59", "R60", "R61", "R62", "R63", "R64", "R65", "R66", "R10", "R11a", "R11b",
        "R12a", "R14d", "R12b", "R13a", "R13b", "R13c", "R13d", "R14a", "R14b", "R16", "R70", "R71",
        "R72", "R73", "R74", "R75", "R76", "R77", "R78", "R79", "R80", "R81", "R82", "R83", "R84",
        "R85", "R86", "R87", "R88", "R89", "R100", "R101", "R102", "R103", "R104", "R105", "R106",
        "R107", "R108", "R110", "R111", "R120", "R130", "R131", "R132", "R133", "R134", "R135",
        "R136", "R137", "R138", "R139", "R140", "R141", "R142", "R143", "R144", "R145", "R146",
        "R147", "R150", "R151", "R152", "R153", "R154", "R155", "R156", "R157", "R158", "R112",
        "R113", "R160", "R170", "R171", "R180", "R181", "R190", "R191", "R192", "R200", "R201",
        // crates/pbft
        "B01", "B02", "B03", "B04", "B05", "B06", "B06b", "B07", "B08", "B09", "B09b", "B10", "B20",
        "B21", "B22", "B23", "B24", "B25", "B26", "B27", "B28", "B29", "B30", "B31", "B32", "B33",
        "B34", "B35", "B36", "B37", "B38", "B39", "B40", "B41", "B42", "B43", "B44", "B45", "B46",
        "B47", "B48", "B49", "B50", "E-32", "B51", "B52", "B53", "B54", "B60", "B61", "B62", "B63",
        "B64", "B65", "B66", "B67", "B68", "B69", "B70", "B71", "B80", "B81", "B82", "B83", "B84",
        "B85", "B86", "B87", "B88", "B89", "B90", "B91", "B92", "B93", "B94", "B95",
        "B96", "B97", "B98", "B100", "B110", "B111",
        // crates/runtime
        "D01", "D02", "D05", "D06", "D07", "D08", "D09", "D10", "D11", "D12", "D13", "D14", "D15",
        "D03", "D16", "D17", "D18", "D19", "D20", "D21", "D22", "D23", "D24", "D25", "D26", "D27",
        "D28", "D29", "D30", "D31", "D32", "D33", "D34", "D35", "N01", "N03", "N04", "N05", "N06",
        "N07", "N08", "N09", "N10", "N11", "N12", "N13", "N14", "N15", "N16", "N17", "N18", "N19",
        "N20", "N21", "N22", "N23", "N24", "N25", "N40", "N41", "N42", "N43", "N44", "N45", "N46",
        "N47", "N48", "N49", "N50", "N51", "N52", "N53", "N54", "N55", "N56", "N57", "N58", "N59",
        "N60", "Q01", "Q02", "Q03", "Q04", "F01", "F02", "F03", "F04",
    ];

    thread_local! {
        static PLANTED: Cell<Option<&'static str>> = Cell::new(planted_from_outside());
    }

    /// Is this planted bug switched on in this thread?
    pub fn planted(name: &'static str) -> bool {
        PLANTED.get() == Some(name)
    }

    /// Switches one planted bug on in this thread, or all off.
    ///
    /// # Panics
    /// If there is no planted bug of this name.
    pub fn plant(name: Option<&'static str>) {
        PLANTED.set(name.map(known));
    }

    fn known(name: &str) -> &'static str {
        let found = NAMES.iter().find(|known| **known == name);
        found.unwrap_or_else(|| panic!("there is no planted bug '{name}'; there are {NAMES:?}"))
    }

    /// What the environment variable `SYNOD_MUTANT` names, read once.
    fn planted_from_outside() -> Option<&'static str> {
        static FROM_OUTSIDE: OnceLock<Option<String>> = OnceLock::new();
        let name = FROM_OUTSIDE.get_or_init(|| std::env::var("SYNOD_MUTANT").ok());
        name.as_deref().filter(|name| !name.is_empty()).map(known)
    }
}

/// A planted bug, as the kill matrix lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Its name, as given to [`planted`].
    pub name: &'static str,
    /// What is wrong, in a sentence.
    pub wrong: &'static str,
    /// The oracles that may find it ("O6"); one of them must.
    pub oracles: &'static [&'static str],
    /// What it takes to show it that random simulation does not do yet, or does too seldom: another
    /// rig finds it, or none does. `None` for those that simulation finds.
    pub beyond: Option<&'static str>,
}

impl Mutant {
    /// A bug that random simulation finds.
    pub const fn new(
        name: &'static str,
        wrong: &'static str,
        oracles: &'static [&'static str],
    ) -> Self {
        Self { name, wrong, oracles, beyond: None }
    }

    /// Does it count as found if this oracle saw it? A rig may see another consequence than the one
    /// that was thought of; but to stop (O18) is not to be found out, unless the bug says so.
    pub fn is_found_by(&self, oracle: &str) -> bool {
        oracle != "O18" || self.oracles.contains(&oracle)
    }

    /// It takes this to show it, which random simulation does not do.
    #[must_use]
    pub const fn beyond_simulation(self, what_it_takes: &'static str) -> Self {
        Self { beyond: Some(what_it_takes), ..self }
    }
}

/// The bugs planted in this crate, in layers that all algorithms share. Those that follow are in
/// layers that only some use.
pub const SHARED: &[Mutant] = &[
    Mutant::new(
        "K-dedup",
        "the session table is not asked: a retried command is applied again",
        &["O2", "O11"],
    ),
    Mutant::new(
        "K-outbox",
        "a promise leaves when the record before its own is durable",
        &["O6", "O7", "O16", "O1", "O3", "O5"],
    ),
    Mutant::new(
        "K-inflight",
        "the own vote counts when the record before its own is durable",
        &["O6", "O16", "O1"],
    ),
    Mutant::new("K05", "all commands of a batch stand at one position", &["O2", "O11", "O15"])
        .beyond_simulation(PROPERTIES),
    Mutant::new("K06", "the answer to any request of the session is taken", &["O9", "O10", "O11"])
        .beyond_simulation(PROPERTIES),
    Mutant::new(
        "K09",
        "a repeated request loses its session's place in the order of use",
        &["O15"],
    )
    .beyond_simulation(PROPERTIES),
    Mutant::new("K20", "who tries a command again forgets that it may be applied", &["O10"])
        .beyond_simulation(CLIENTS),
    Mutant::new("K22", "who resumes a command forgets that it has just been sent", &["O10"])
        .beyond_simulation(CLIENTS),
    Mutant::new("K23", "a connection that broke is taken for one that never came about", &["O11"])
        .beyond_simulation(CLIENTS),
    Mutant::new("K26", "no answer in time is taken for no trace of the request", &["O11"])
        .beyond_simulation(CLIENTS),
    Mutant::new("K21", "an expired command goes out anew, whatever became of it", &["O11"])
        .beyond_simulation(CLIENTS),
    Mutant::new("K32", "results of sessions are bounded in number, not in bytes", &["O14"])
        .beyond_simulation("long results: a test in `session.rs`"),
    Mutant::new("K07", "the signature of a reply does not cover which request it answers", &["O9"])
        .beyond_simulation("a traitor that shows a client an honest replica's earlier reply"),
    Mutant::new(
        "K-joined",
        "a write that takes the place of another is durable with that one",
        &["O6", "O16", "O1"],
    )
    .beyond_simulation("a leader with 64 writes on their way to its disk: a unit test"),
];

/// What finds the bugs of a client.
const CLIENTS: &str = "a model of all that becomes of a client's attempts: tests/clients.rs";

/// What finds the bugs of functions that are compared with something plain.
const PROPERTIES: &str = "crates/consensus-core/tests/properties.rs";

/// Those of algorithms that take snapshots, answer reads and change their members.
pub const OPERATED: &[Mutant] = &[
    Mutant::new("K04", "an answer about reads that comes late counts for the newest", &["O9"])
        .beyond_simulation("reads that are answered out of order: `read.rs`"),
    Mutant::new(
        "K01",
        "the session table is not taken from a snapshot: a retried command is applied again",
        &["O11", "O2", "O15"],
    ),
    Mutant::new(
        "S-offset",
        "a chunk of a snapshot is taken although it does not follow what came before",
        &["O15", "O18"],
    ),
    Mutant::new(
        "S-late",
        "a snapshot that is of no more use is asked for all the same",
        &["O14", "O13"],
    ),
    Mutant::new(
        "S-mix",
        "a chunk of another snapshot is taken for the next one of this",
        &["O15", "O19", "O18"],
    ),
    Mutant::new("K30", "pieces without bytes count as offers of an older snapshot", &["O13"])
        .beyond_simulation("pieces that nobody honest sends: a test in `snapshot.rs`"),
    Mutant::new("K31", "a read that was told an index waits for ever for it", &["O13"])
        .beyond_simulation("readers that wait for one answer only: a test in `read.rs`"),
    Mutant::new(
        "S-kept",
        "no promise waits for a record that the replica keeps",
        &["O6", "O7", "O1"],
    ),
    Mutant::new("S-ahead", "a read is answered before what it must see is applied", &["O9", "O10"]),
    Mutant::new("S-age", "a read of bounded age goes by an index of any age", &["O9"]),
    Mutant::new("K24", "a client asks again where nobody listens", &["O13"]),
    Mutant::new("K25", "a reader asks again where nobody listens", &["O13"]),
    Mutant::new("S-lease", "a read by lease lets reads of bounded age trust clocks", &["O9"])
        .beyond_simulation("rare, clocks worse than declared: a test beside it"),
    Mutant::new("S-contact", "a change keeps the contacts of voters only", &["O19"])
        .beyond_simulation("no link of the simulator asks for an address: a test beside it"),
    Mutant::new("S-version", "members are changed though the operator saw other ones", &["O19"]),
    Mutant::new(
        "S-drift",
        "a lease allows for clocks that gain, and less for those that lose",
        &["O9"],
    )
    .beyond_simulation("two clocks at the ends of their drift, and a read at the end of a lease"),
    Mutant::new("K02", "a snapshot forgets which session was used last", &["O15", "O2"])
        .beyond_simulation(PROPERTIES),
    Mutant::new("K33", "a snapshot forgets how long the results in it are", &["O15"])
        .beyond_simulation("long results: a test in `session.rs`"),
    Mutant::new("K03", "a snapshot forgets how often a client opened a session", &["O15", "O2"])
        .beyond_simulation(PROPERTIES),
    Mutant::new("K08", "a snapshot that is refused leaves its sessions behind", &["O15", "O2"])
        .beyond_simulation(PROPERTIES),
    Mutant::new("S-echo", "the answer to an earlier question is taken", &["O9", "O10"])
        .beyond_simulation(PROPERTIES),
    Mutant::new(
        "S-stuck",
        "the rest of a snapshot is waited for though another of its index is all there is",
        &["O13"],
    )
    .beyond_simulation("two snapshots of one index that differ: a unit test of `snapshot.rs`"),
    Mutant::new("S-place", "a chunk's digest does not cover where its bytes stand", &["O15"])
        .beyond_simulation("a message that is altered on its way; tests/properties.rs"),
];

/// Those of algorithms that go over to other voters by counting both.
pub const JOINT: &[Mutant] = &[
    Mutant::new(
        "S-joint",
        "while voters change, a majority of the new ones is enough",
        &["O3", "O1", "O5", "O6", "O16", "O4"],
    ),
    Mutant::new(
        "S-learner",
        "learners count as if they voted",
        &["O3", "O1", "O5", "O6", "O16", "O4"],
    ),
];
