//! The bugs planted in this crate, to prove that the rigs find them.
//!
//! Up to B10 they were found in other implementations, `E-` is a mistake of a popular lecture, from
//! B20 on they are slips of the pen.

use consensus_core::mutant::Mutant;

/// What finds the bugs of what a signature covers.
const SIGNATURES: &str = "every word altered in its place: tests/signatures.rs";

/// All of them.
pub const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "B01",
        "a quorum less one of commits decides (2f instead of 2f + 1)",
        &["O1", "O6", "O16"],
    ),
    Mutant::new("B02", "a repeated vote of one replica is counted again", &["O1", "O6", "O16"]),
    Mutant::new(
        "B03",
        "the digest of a prepare or commit is not compared with the pre-prepare's",
        &["O1", "O6", "O16", "O18"],
    ),
    Mutant::new(
        "B04",
        "the primary counts twice: its pre-prepare, and a prepare",
        &["O1", "O6", "O16"],
    ),
    Mutant::new("B05", "prepares and commits are signed over the same bytes", &["O16", "O1", "O6"]),
    Mutant::new("B06", "a new view forgets what prepared in earlier ones", &["O1", "O6"]),
    Mutant::new(
        "B06b",
        "a new view carries what prepared in the lowest view, not in the latest",
        &["O1", "O6"],
    )
    .beyond_simulation("rare: a number that prepared for two values in two views"),
    Mutant::new(
        "B07",
        "a backup trusts a new-view without computing anew what it must carry",
        &["O1", "O6", "O16"],
    ),
    Mutant::new("B08", "numbers outside the water marks are taken", &["O13", "O14", "O18", "O7"]),
    Mutant::new("B09", "no timer runs for requests that wait", &["O13"]),
    Mutant::new("B09b", "the timeout is not doubled from view to view", &["O13"])
        .beyond_simulation("links that are slower than the first timeout for the whole run"),
    Mutant::new(
        "B10",
        "the requests in a pre-prepare need not be signed by their clients",
        &["O2", "O13"],
    ),
    Mutant::new("B20", "f + 1 replicas are a quorum", &["O1", "O6", "O16"]),
    Mutant::new(
        "B21",
        "a replica counts its own commit before its disk has the certificate",
        &["O6", "O16"],
    ),
    Mutant::new(
        "B22",
        "a commit is sent before the prepared certificate is on disk",
        &["O1", "O6", "O7", "O16"],
    ),
    Mutant::new("B23", "f + 1 replicas make a checkpoint stable", &["O1", "O13", "O18", "O16"]),
    Mutant::new("B24", "what was voted for before a restart is not looked at", &["O7", "O1"]),
    Mutant::new(
        "B25",
        "a second pre-prepare for a number takes the place of the first",
        &["O7", "O1"],
    ),
    Mutant::new(
        "B26",
        "the timer is not started again for what still waits after something was executed",
        &["O13"],
    ),
    Mutant::new(
        "B27",
        "a carried pre-prepare is said again before the disk knows of its view",
        &["O7", "O1"],
    )
    .beyond_simulation(
        "a new primary whose disk is slow, and that crashes and starts the same view again",
    ),
    Mutant::new(
        "B28",
        "null requests are left out of the digest of the history",
        &["O7", "O13", "O18"],
    ),
    Mutant::new(
        "B29",
        "the prepares of an older view count in the next one",
        &["O16", "O6", "O1", "O13", "O18"],
    ),
    Mutant::new(
        "B30",
        "the commits of an older view count in the next one",
        &["O16", "O6", "O1", "O18"],
    ),
    Mutant::new("B31", "a replica that has committed in one view does not in the next", &["O13"]),
    Mutant::new(
        "B32",
        "a view-change leaves out the first number above the stable checkpoint",
        &["O1", "O6"],
    ),
    Mutant::new("B33", "a replica does not join f + 1 others that ask for a higher view", &["O13"])
        .beyond_simulation("replicas that are many views apart"),
    Mutant::new("B34", "f + 1 view-changes start a view", &["O1", "O6", "O13", "O16"]),
    Mutant::new(
        "B35",
        "the primary of a new view gives numbers before its disk knows of the view",
        &["O7", "O1"],
    )
    .beyond_simulation(
        "a new primary whose disk is slow, and that crashes and starts the same view again",
    ),
    Mutant::new("B36", "what is signed does not name the view", &["O1", "O16"]),
    Mutant::new(
        "B37",
        "the signature of a view-change does not cover what prepared",
        &["O1", "O6", "O16"],
    ),
    Mutant::new(
        "B38",
        "a checkpoint is said before what led to it is on disk",
        &["O1", "O6", "O7", "O13", "O16"],
    )
    .beyond_simulation("a crash of all right after a checkpoint became stable"),
    Mutant::new(
        "B39",
        "a stable checkpoint does not move the primary's next number",
        &["O18", "O13"],
    ),
    Mutant::new("B40", "what had a number in the old view is not ordered in the new one", &["O13"]),
    Mutant::new(
        "B41",
        "a new primary goes on from its own last number, not from the view's",
        &["O7", "O13", "O18", "O1"],
    ),
    Mutant::new("B42", "a view-change that got lost is not said again", &["O13"]),
    Mutant::new(
        "B43",
        "a new view starts from any stable checkpoint, not from the latest",
        &["O1", "O13", "O6", "O16"],
    )
    .beyond_simulation("a replica that lags a checkpoint behind and whose view-change counts"),
    Mutant::new("B44", "what was fetched is not checked for its proof", &["O1", "O16", "O6"]),
    Mutant::new(
        "B45",
        "a checkpoint in a view-change is not checked for its proof",
        &["O1", "O13", "O6", "O16"],
    ),
    Mutant::new("B46", "a new-view is shown once to each replica, and never again", &["O13"])
        .beyond_simulation("a new-view that is lost on its way to one replica again and again"),
    Mutant::new("B47", "the answer to a replica that lags begins one number too late", &["O13"]),
    Mutant::new(
        "B48",
        "a restarted primary gives numbers again that it may have given before",
        &["O7", "O1"],
    ),
    Mutant::new("B49", "a restart forgets which view was asked for", &["O7", "O1"]),
    Mutant::new("B50", "a restart forgets what a new view carried", &["O7", "O1"])
        .beyond_simulation(
            "a primary that equivocates about a carried number to a replica that restarted",
        ),
    Mutant::new("E-32", "2f + 1 replicas are a quorum whatever n is", &["O1", "O6", "O16"]),
    Mutant::new(
        "B51",
        "what was executed from another's proof is waited for all the same",
        &["O13"],
    )
    .beyond_simulation("an oracle that sees needless view changes"),
    Mutant::new("B52", "no checkpoint is taken where a number was fetched", &["O13"]),
    Mutant::new("B84", "what was executed still counts as ordered, for ever", &["O14"]),
    Mutant::new("B53", "what was executed still counts as waiting: busy in the end", &["O13"]),
    Mutant::new(
        "B54",
        "a replica joins the highest view that is asked for, not the lowest",
        &["O13", "O18"],
    ),
    Mutant::new("B60", "whatever is executed restarts the timer of a request that waits", &["O13"])
        .beyond_simulation("a primary that orders null requests without end"),
    Mutant::new("B61", "a restart takes its first vote on a number for its last", &["O7", "O1"])
        .beyond_simulation("tests/losses.rs: what a restart remembers, after every step"),
    Mutant::new(
        "B62",
        "a certificate counts a prepare of the primary among those of the backups",
        &["O1", "O6", "O16"],
    )
    .beyond_simulation("tests/liars.rs: a primary that divides the backups and proves both"),
    Mutant::new("B63", "a new-view may show view-changes for earlier views", &["O1", "O6", "O16"])
        .beyond_simulation("tests/liars.rs: a new primary that shows old view-changes"),
    Mutant::new("B64", "a restart forgets its stable checkpoint", &["O13", "O7"])
        .beyond_simulation("tests/losses.rs: what a restart remembers, after every step"),
    Mutant::new(
        "B65",
        "requests of an earlier session count as those of a later one: nobody waits for them",
        &["O13"],
    )
    .beyond_simulation("the unit tests of requests.rs: a silent primary and a new session"),
    Mutant::new("B66", "every checkpoint that a liar names is kept", &["O14"])
        .beyond_simulation("tests/liars.rs: a liar that talks for long"),
    Mutant::new("B67", "a checkpoint that got lost is not said again", &["O13"])
        .beyond_simulation("tests/losses.rs: a quorum of checkpoints that are lost"),
    Mutant::new("B68", "what is executed does not end the doubling of timeouts", &["O13"])
        .beyond_simulation("tests/losses.rs: an oracle that sees long timeouts"),
    Mutant::new("B69", "the timer runs for the first request that waits, always", &["O13"])
        .beyond_simulation("the unit tests of requests.rs: a primary that serves others only"),
    Mutant::new(
        "B71",
        "the timer runs for one client's requests as long as there are any",
        &["O13"],
    )
    .beyond_simulation(
        "the unit tests of requests.rs: a primary and a client that help each other",
    ),
    Mutant::new("B80", "of two requests with one number the last counts, by its length", &["O18"])
        .beyond_simulation("the unit tests of requests.rs: a client that signs both"),
    Mutant::new("B81", "what is to get a number again takes no room", &["O14"])
        .beyond_simulation("the unit tests of requests.rs: a liar that relays what is over"),
    Mutant::new("B82", "long requests lead to no checkpoint before its number comes", &["O13"])
        .beyond_simulation("tests/paper.rs: requests that are long"),
    Mutant::new("B83", "a view-change may become longer than any frame", &["O13", "O14"])
        .beyond_simulation("tests/paper.rs: requests that are long"),
    Mutant::new("B85", "a liar may give a number to a batch of any length", &["O13"])
        .beyond_simulation("tests/bounds.rs: a batch that no new-view has room for"),
    Mutant::new("B86", "a new-view is sent that no frame has room for", &["O13"])
        .beyond_simulation("tests/bounds.rs: a liar that shows much that is true"),
    Mutant::new("B87", "a view-change may show numbers beyond its water marks", &["O14"])
        .beyond_simulation("tests/bounds.rs: a liar that shows what is over"),
    Mutant::new("B88", "what its client has gone beyond is ordered again and again", &["O14"])
        .beyond_simulation("tests/bounds.rs: a liar that relays what is over"),
    Mutant::new("B89", "what its client has gone beyond is waited for all the same", &["O13"])
        .beyond_simulation("tests/bounds.rs: a client that numbers its requests backwards"),
    Mutant::new("B90", "who missed the checkpoints is not shown what is stable", &["O13"])
        .beyond_simulation("tests/losses.rs: checkpoints that get lost on the way to one"),
    Mutant::new("B91", "whoever shows a stable checkpoint is believed", &["O16", "O18", "O13"])
        .beyond_simulation("tests/liars.rs: a stable checkpoint of nobody"),
    Mutant::new("B92", "the window is as long with many replicas as with few", &["O13"])
        .beyond_simulation("the unit tests of config.rs: what a frame has room for"),
    Mutant::new("B93", "sizes are taken with which no new-view fits a frame", &["O13"])
        .beyond_simulation("the unit tests of config.rs: what a frame has room for"),
    Mutant::new("B94", "timeouts grow to eight times the first, and no further", &["O13"])
        .beyond_simulation("tests/paper.rs: links that are slower than that for good"),
    Mutant::new("B95", "who has been heard is not answered, though it has not heard", &["O13"])
        .beyond_simulation("tests/losses.rs: a view-change that is lost in one direction"),
    Mutant::new("B96", "a single vote keeps a replica asking at every tick, for ever", &["O14"])
        .beyond_simulation("tests/bounds.rs: a liar that votes on what nobody proposed"),
    Mutant::new("B97", "whoever asks is answered, however often", &["O14"])
        .beyond_simulation("tests/bounds.rs: a liar that asks without end"),
    Mutant::new("B98", "who has heard all view-changes is not shown the new-view", &["O13"])
        .beyond_simulation("tests/losses.rs: a new-view that is lost costs the view, no more"),
    Mutant::new("B110", "a vote's signature does not cover its number", &["O16", "O1", "O18"])
        .beyond_simulation(SIGNATURES),
    Mutant::new("B111", "a view-change's signature does not cover its checkpoint", &["O16", "O1"])
        .beyond_simulation(SIGNATURES),
    Mutant::new("B70", "a replica that executed something else than a quorum goes on", &["O18"])
        .beyond_simulation("the unit tests of checkpoint.rs: two histories"),
    Mutant::new(
        "B100",
        "bytes are not counted up to a checkpoint that is stable already",
        &["O13"],
    ),
];

#[cfg(all(test, feature = "mutants"))]
mod tests {
    use consensus_core::mutant::plant;

    /// The unit tests that must fail with a bug planted in their thread; others have tests of their
    /// own in `tests/liars.rs` and `tests/losses.rs`.
    #[test]
    fn bugs_planted_for_unit_tests_are_found() {
        use crate::checkpoint::tests::a_replica_that_executed_something_else_than_a_quorum_stops;
        use crate::config::tests as config;
        use crate::requests::tests as requests;
        let tests: [(&str, fn()); 9] = [
            ("B92", config::a_quorum_of_the_longest_view_changes_fits_a_frame),
            ("B93", config::sizes_that_cannot_fit_are_refused_with_a_reason),
            ("B53", requests::what_waits_is_counted_in_bytes),
            ("B65", requests::a_request_was_executed_if_it_or_a_later_one_of_its_client_was),
            ("B69", requests::each_client_is_watched_in_its_turn),
            ("B71", requests::each_client_is_watched_in_its_turn),
            ("B80", requests::a_client_that_numbers_two_requests_alike_upsets_no_count),
            ("B81", requests::what_is_to_get_a_number_once_more_is_counted),
            ("B70", a_replica_that_executed_something_else_than_a_quorum_stops),
        ];
        for (name, test) in tests {
            plant(Some(name));
            let passed = std::panic::catch_unwind(test).is_ok();
            plant(None);
            assert!(!passed, "{name} is not found");
        }
    }
}
