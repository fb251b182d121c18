//! The planted bugs of this crate: what others got wrong between a log and its disk (D, which the
//! rig of faulty storage must find), between threads (Q, which the interleavings must find), in
//! what strangers send (F, which hostile bytes must find), and between a node and its peers (N,
//! which this crate's own tests must find).

use consensus_core::mutant::Mutant;

/// All of them, for the kill matrix.
pub const MUTANTS: &[Mutant] = &[
    Mutant::new(
        "D01",
        "a sync that failed is tried again, and its second \"ok\" is believed",
        &["O6", "O18"],
    ),
    Mutant::new(
        "D02",
        "a bad checksum anywhere is taken for a torn tail, and the rest of the log dropped",
        &["O6"],
    ),
    Mutant::new(
        "D05",
        "a replica that lost its directory comes back under its old number",
        &["O7", "O6"],
    ),
    Mutant::new(
        "D06",
        "the checksum does not cover a frame's place: misdirected frames are believed",
        &["O4", "O6"],
    ),
    Mutant::new("D07", "the seal is written before the sync that it vouches for", &["O18"]),
    Mutant::new("D08", "the directory is not synced after the log was made", &["O6", "O18"]),
    Mutant::new("D09", "the identity gets its name before its content is synced", &["O18", "O7"]),
    Mutant::new(
        "D10",
        "a torn tail is not cut off: what comes next is written behind it",
        &["O6", "O4", "O18"],
    ),
    Mutant::new(
        "D11",
        "what a start reads from the page cache is believed without a sync",
        &["O6", "O18"],
    ),
    Mutant::new(
        "D12",
        "what a failed sync left in the page cache is believed without writing it again",
        &["O6", "O18"],
    ),
    Mutant::new("D13", "records are called durable when they are written", &["O6"]),
    Mutant::new(
        "D14",
        "a log that is shorter than it was at the last start is not noticed",
        &["O6"],
    ),
    Mutant::new(
        "D15",
        "the checksum does not cover the file's salt: frames of an older file are believed",
        &["O4"],
    ),
    Mutant::new(
        "D16",
        "the directory is not synced after the identity was replaced",
        &["O7", "O6", "O18"],
    ),
    Mutant::new(
        "D17",
        "a write that failed half-way does not end the use of the log",
        &["O6", "O4", "O18"],
    ),
    Mutant::new(
        "D03",
        "a snapshot gets its name, and the log forgets what it covers, before it is synced",
        &["O15", "O6"],
    ),
    Mutant::new(
        "D18",
        "the directory is not synced after the log was replaced",
        &["O4", "O6", "O15", "O18"],
    ),
    Mutant::new("D19", "the log is replaced by a file that is not synced", &["O6", "O18", "O15"]),
    Mutant::new("D20", "the directory is not synced after a snapshot was kept", &["O15", "O6"]),
    Mutant::new("D21", "a damaged chunk of a snapshot is believed", &["O15"]),
    Mutant::new("D22", "an identity file of an earlier start is believed", &["O7"]),
    Mutant::new("D23", "an old copy of a log that was replaced is believed", &["O4", "O6", "O15"]),
    Mutant::new(
        "D24",
        "a seal at the very end of a log does not vouch for what is before it",
        &["O6"],
    ),
    Mutant::new("D25", "damage is taken for a torn write if the next seal is far off", &["O6"]),
    Mutant::new(
        "D26",
        "of what was not sealed, a start drops the last record, whole or not",
        &["O6", "O4"],
    ),
    Mutant::new(
        "D27",
        "a log that replaces another has its generation",
        &["O18", "O4", "O6", "O15"],
    ),
    Mutant::new(
        "D28",
        "what was not written yet is written behind the log that replaced it",
        &["O6", "O4", "O18"],
    ),
    Mutant::new(
        "D29",
        "the log is replaced by a file that is synced only afterwards",
        &["O6", "O18", "O15"],
    ),
    Mutant::new(
        "D30",
        "a replacement that failed does not end the use of the log",
        &["O4", "O6", "O18", "O15"],
    ),
    Mutant::new(
        "D31",
        "a replacement that did not come to its end takes the log's place",
        &["O18", "O4", "O6", "O15"],
    ),
    Mutant::new(
        "D32",
        "only a sector of what a failed sync left in the page cache is written again",
        &["O6", "O18"],
    ),
    Mutant::new(
        "D33",
        "the last seal is believed to be on the disk: nobody writes it again",
        &["O18", "O6"],
    ),
    Mutant::new(
        "D34",
        "a start believes the names that it finds, and the log grows before they are synced",
        &["O18"],
    ),
    Mutant::new("D35", "a log has the salt of the one that it replaces", &["O4"]),
    Mutant::new("N01", "the link to a replica that is no member any more is kept up", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N03", "a question is answered before its index is applied", &["O11"])
        .beyond_simulation("the real runtime; its tests"),
    Mutant::new("N04", "a replica that comes back with another disk is let in", &["O7"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N05", "what clients wait for is bounded in commands, not in bytes", &["O14"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N06", "what came from a peer is bounded in messages, not in bytes", &["O14"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N07", "a node takes in more, however much is on its way to the disk", &["O14"])
        .beyond_simulation("the real runtime; its tests"),
    Mutant::new("N11", "after a snapshot that could not be kept none is taken any more", &["O13"])
        .beyond_simulation("the real runtime; tests/disk.rs"),
    Mutant::new("N12", "after a piece that could not be kept none is asked for any more", &["O13"])
        .beyond_simulation("the real runtime; tests/disk.rs"),
    Mutant::new("N13", "commands of two sessions with one number are taken for one", &["O11"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N08", "the end of an old connection forgets what came over the new one", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N09", "plain files are not synced at all", &["O6"])
        .beyond_simulation("the real runtime; tests/disk.rs"),
    Mutant::new("N10", "a frame as long as the limit is called too long", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N14", "after a piece that could not be kept the rest is asked for", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N15", "what is being written takes no room in its queue", &["O14"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new(
        "N16",
        "a peer's newer connection is heard before its older one has ended",
        &["O1", "O7"],
    )
    .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N17", "an earlier life of a peer is let in", &["O7"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N18", "a peer's older connection is never told to end", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N19", "a read is answered one entry before its index", &["O9", "O10"])
        .beyond_simulation("the real runtime; tests/upkeep.rs"),
    Mutant::new("N20", "a replica is told that it starts for the first time, always", &["O7"])
        .beyond_simulation("the real runtime; tests/upkeep.rs"),
    Mutant::new("N21", "who waits at a leader that steps down is not told", &["O13"])
        .beyond_simulation("the real runtime; tests/upkeep.rs"),
    Mutant::new("N22", "a snapshot of another cluster or replica is taken", &["O15"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N23", "who is in the midst of an older snapshot is given the newest", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N24", "the last of chunks that are all full is not called the last", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N25", "the search for the next seal ends after 64 KiB", &["O6"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N40", "while a change of members waits, no other one is taken", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N41", "who waits for a change that was given up is not told", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N42", "what is left of links that ended piles up", &["O14"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N43", "a command that was given up as never sent is sent later", &["O9"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N44", "an answer that fits no queue ends the connection, each time", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N45", "a machine that was suspended trusts the lease from before", &["O9"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N46", "a client that is gone without a word keeps its place for ever", &["O14"])
        .beyond_simulation("the real runtime; tests/upkeep.rs"),
    Mutant::new(
        "N47",
        "the lock on a directory is let go of when its last user closes it",
        &["O13"],
    )
    .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N48", "each write gives a disk that hangs more time", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N49", "a disk that has everything is taken to owe a sync", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N50", "a disk that is busy without end is taken to hang", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N51", "a peer that dials again gets room for as much again", &["O14"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N52", "what is left of a snapshot for which there was no room stays", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N53", "a snapshot that cannot be read back is taken for the newest", &["O15"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N54", "a service that panics at its snapshot ends the thread", &["O13"])
        .beyond_simulation("the real runtime; tests/panics.rs"),
    Mutant::new("N55", "a connection to a machine without power is kept for long", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N56", "each time that a peer is turned away fills the log", &["O14"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N57", "a wish that was refused is said to come true, perhaps", &["O19"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N58", "the report of another cluster is believed", &["O19"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N59", "who waits for ever panics", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("N60", "a port is free only when its last user has closed it", &["O13"])
        .beyond_simulation("the real runtime; its unit tests"),
    Mutant::new("Q01", "a queue wakes its taker before the frame is in it", &["O13"]),
    Mutant::new("Q02", "a queue that is closed does not wake its taker", &["O13"]),
    Mutant::new("Q03", "the log thread reports before it syncs", &["O6"]),
    Mutant::new("Q04", "the last record of a burst alone says whether it is synced", &["O13"]),
    Mutant::new("F01", "memory is taken for a frame's announced length", &["O14"]),
    Mutant::new("F02", "what follows a decoded value is overlooked", &["O18"]),
    Mutant::new("F03", "an identity file is believed without its checksum", &["O18"]),
    Mutant::new("F04", "frames of a kind that nobody knows are taken for records", &["O18"]),
];

#[cfg(all(test, feature = "mutants"))]
mod tests {
    use consensus_core::mutant::plant;

    /// The unit tests that must fail with a bug planted in their thread; the others have a test of
    /// their own in `tests/upkeep.rs` or `tests/disk.rs`.
    #[test]
    fn bugs_planted_between_a_node_and_its_peers_are_found() {
        use crate::client::operator::tests as operator;
        use crate::driver::disk_watch::tests as watch;
        use crate::driver::snapshotting::tests as receiving;
        use crate::inbound::tests as inbound;
        use crate::snapshots::tests as snapshots;
        use crate::waiting::tests as waiting;
        use crate::wish::tests as wish;
        let tests: [(&str, fn()); 37] = [
            ("N60", crate::listening::tests::a_port_is_free_though_a_child_has_its_socket_open),
            ("N48", watch::a_disk_hangs_when_it_owes_a_sync_and_makes_no_progress),
            ("N49", watch::a_disk_hangs_when_it_owes_a_sync_and_makes_no_progress),
            ("N50", watch::a_disk_hangs_when_it_owes_a_sync_and_makes_no_progress),
            ("N51", inbound::a_peer_that_dials_again_gets_no_more_room),
            ("N52", snapshots::a_snapshot_that_could_not_be_kept_takes_no_room),
            ("N53", snapshots::the_good_snapshot_is_not_given_up_for_damaged_ones),
            ("N56", inbound::that_a_peer_is_turned_away_is_said_once),
            ("N57", operator::a_wish_that_nobody_heard_is_told_from_one_without_an_answer),
            ("N58", crate::report::tests::the_report_of_another_replica_or_cluster_is_noticed),
            ("N59", crate::client::tests::a_client_may_wait_for_ever),
            ("N40", wish::a_change_that_waits_gives_way_to_another_unless_that_is_refused),
            ("N41", wish::who_waits_for_a_change_that_was_given_up_is_told),
            ("N42", crate::links::tests::links_that_ended_take_no_room),
            ("N43", crate::client_link::tests::what_was_called_back_never_leaves),
            ("N43", crate::client::tests::what_could_not_be_asked_is_not_asked_later),
            ("N44", waiting::who_asks_for_more_than_an_answer_can_hold_is_told),
            ("N45", crate::clock::tests::a_machine_that_slept_knows_it),
            ("N47", crate::lock::tests::the_lock_is_free_though_a_child_has_the_file_open),
            ("N22", snapshots::a_snapshot_of_another_replica_or_cluster_is_not_taken),
            ("N23", snapshots::who_asks_for_the_older_snapshot_gets_on_with_it),
            ("N24", snapshots::snapshots_of_all_lengths_are_given_whole),
            ("N25", crate::wal::frame::tests::a_seal_is_found_at_any_distance),
            ("N12", receiving::a_snapshot_comes_whichever_call_to_the_disk_fails),
            ("N14", receiving::a_snapshot_comes_whichever_call_to_the_disk_fails),
            ("N15", crate::write::tests::what_is_being_written_takes_its_room),
            ("N16", crate::inbound::tests::a_newer_connection_is_heard_when_the_older_has_ended),
            ("N17", crate::inbound::tests::an_earlier_life_is_not_let_in_and_disturbs_nobody),
            ("N18", crate::inbound::tests::a_newer_connection_is_heard_when_the_older_has_ended),
            ("N05", crate::room::tests::what_may_not_wait_is_let_in_up_to_the_byte),
            ("N06", crate::room::tests::what_may_wait_is_let_in_up_to_the_byte),
            ("N07", crate::config::tests::what_goes_to_the_disk_is_bounded_to_the_byte),
            ("N13", waiting::a_command_of_another_session_is_another_command),
            ("N08", waiting::the_end_of_an_old_connection_forgets_nothing_of_the_new_one),
            (
                "N10",
                crate::frame::tests::a_frame_of_just_the_limit_is_taken_and_a_longer_one_is_not,
            ),
            ("N01", crate::links::tests::links_follow_the_members),
            ("N04", crate::peer_disks::tests::another_disk_under_the_same_number_is_refused),
        ];
        #[cfg(target_os = "linux")]
        let bound: fn() = crate::wire::tests::a_connection_to_nobody_is_bound_to_end;
        #[cfg(target_os = "linux")]
        let tests = [&tests[..], &[("N55", bound)]].concat();
        for (name, test) in tests {
            plant(Some(name));
            let passed = std::panic::catch_unwind(test).is_ok();
            plant(None);
            assert!(!passed, "{name} is not found");
        }
    }
}
