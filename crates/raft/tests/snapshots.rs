//! Snapshots and log compaction: §7 and Figure 13 of the Raft paper.

use crate::lab::{Lab, append, disk, id};
use consensus_core::{
    Audit as _, ConsensusProtocol as _, Input, LogIndex, NodeId, NodeSet, ReadMode, RecordNumber,
    Role,
};
use synod_raft::{Config, Conflict, EntryId, Message, Record, Term, Timer};

/// A leader of three that has committed a no-op and so many commands, and keeps so many entries
/// that a snapshot covers.
fn leader_with(commands: u64, trailing: u64) -> Lab {
    let mut lab = Lab::set_up(3, |config| config.trailing_entries = trailing);
    lab.elect(0);
    for number in 0..commands {
        lab.propose(0, &format!("{number}"));
        lab.carry_all();
    }
    assert_eq!(lab.commit_index(0), commands + 1);
    lab
}

/// §7: what a snapshot covers is forgotten, but for some entries for servers that lag a little; a
/// restart goes on from the snapshot.
#[test]
fn what_a_snapshot_covers_is_forgotten() {
    for trailing in [0, 2, 99] {
        let mut lab = leader_with(9, trailing);
        lab.snapshot(0);
        let meta = lab.snapshot_meta(0);
        assert_eq!((meta.index, meta.epoch), (LogIndex(10), 1));
        let purged = 10 - trailing.min(10);
        assert_eq!(lab.status(0).purged.0, purged);
        lab.crash(0, 0);
        lab.restart(0);
        let status = lab.status(0);
        assert_eq!((status.purged.0, status.committed.0, status.last.0), (purged, 10, 10));
        lab.elect(0);
        lab.propose(0, "x");
        lab.carry_all();
        assert_eq!(lab.commit_index(0), 12, "what is given out goes on after the snapshot");
    }
}

/// The bytes that are kept are bounded, too.
#[test]
fn trailing_entries_are_bounded_in_bytes() {
    let mut lab = Lab::set_up(1, |config| config.trailing_bytes = 200);
    lab.time_out(0);
    for _ in 0..9 {
        lab.propose(0, &"long".repeat(10));
    }
    lab.snapshot(0);
    assert_eq!(lab.status(0).purged.0, 8, "two entries of some ninety bytes are kept");
}

/// §7: what is kept is written anew, in records of bounded size: a log on a disk takes none of any
/// length (planted bug R156). A restart puts them together.
#[test]
fn a_compacted_log_is_written_in_records_of_bounded_size() {
    for (max_append_bytes, records) in [(1, 7), (200, 2), (1 << 20, 1)] {
        let mut lab = Lab::set_up(1, |config| {
            (config.trailing_entries, config.max_append_bytes) = (5, max_append_bytes);
        });
        lab.time_out(0);
        for number in 0..10 {
            lab.propose(0, &format!("{number}"));
        }
        lab.begin_snapshot(0);
        lab.propose(0, "later");
        lab.propose(0, "last");
        lab.save(0);
        let (log, status) = (lab.log(0), lab.status(0));
        let entries = lab.disk(0).iter().filter(|it| matches!(it, Record::Entries { .. }));
        assert_eq!((log.len(), entries.count()), (7, records), "{max_append_bytes}");
        lab.crash(0, 0);
        lab.restart(0);
        assert_eq!((lab.log(0), lab.status(0).last), (log, status.last), "{max_append_bytes}");
    }
}

/// Nothing is forgotten that the snapshot does not cover, whatever is committed meanwhile: a
/// snapshot takes its time.
#[test]
fn what_was_committed_since_the_snapshot_stays() {
    let mut lab = leader_with(3, 0);
    lab.begin_snapshot(0);
    lab.propose(0, "later");
    lab.carry_all();
    lab.save(0);
    assert_eq!((lab.status(0).purged.0, lab.commit_index(0)), (4, 5));
    lab.crash(0, 0);
    lab.restart(0);
    assert_eq!((lab.commit_index(0), lab.status(0).last.0), (4, 5));
}

/// The snapshot is durable before the log is forgotten. A crash between the two, or one that loses
/// the compaction, is harmless.
#[test]
fn a_crash_between_snapshot_and_compaction_is_harmless() {
    let mut lab = leader_with(3, 0);
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    lab.begin_snapshot(1);
    lab.save_and_crash(1);
    lab.restart(1);
    assert_eq!((lab.commit_index(1), lab.status(1).last.0, lab.status(1).purged.0), (4, 4, 0));
    lab.slow_disks();
    lab.begin_snapshot(2);
    lab.save(2);
    lab.crash(2, 0);
    lab.restart(2);
    assert_eq!((lab.commit_index(2), lab.status(2).last.0, lab.status(2).purged.0), (4, 4, 0));
}

/// §7: a server that lacks what the leader has forgotten is told so, gets a snapshot, and goes on
/// from there, while commands are committed.
#[test]
fn a_server_that_lags_too_far_gets_a_snapshot() {
    let mut lab = leader_with(1, 0);
    lab.crash(2, 0);
    for number in 0..5 {
        lab.propose(0, &format!("missed {number}"));
        lab.carry_all_but(NodeId(2).into());
    }
    lab.snapshot(0);
    lab.slow_disks_of(NodeId(2).into());
    lab.restart(2);
    for _ in 0..2 {
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all();
    }
    assert_eq!(asked(&lab, 2).first(), Some(&0));
    lab.propose(0, "meanwhile");
    lab.carry_all();
    assert_eq!(lab.commit_index(0), 8, "nobody waits for it");
    let before = asked(&lab, 2).len();
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!(asked(&lab, 2).len(), before + 1, "it is told again, as long as it is true");
    arrives(&mut lab);
    assert_eq!((lab.commit_index(2), lab.status(2).purged.0), (7, 7));
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!(asked(&lab, 2).len(), before + 1, "it needs no other");
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!((lab.commit_index(2), &lab.committed(2)), (8, &lab.committed(0)));
}

/// A server that is told that the beginning is forgotten and holds what follows, because it has
/// restarted, for example, answers like to a probe.
#[test]
fn who_holds_what_was_forgotten_needs_no_snapshot() {
    let mut lab = Lab::on_disks(vec![disk(2, &[1, 1, 2]), disk(2, &[]), disk(2, &[])]);
    lab.hand(1, 0, Message::Compacted { term: Term(2), start: id(1, 2) });
    let conflict = Conflict::Short { last: LogIndex(2) };
    let answer = Message::AppendReject { term: Term(2), prev: LogIndex(2), conflict };
    assert_eq!(lab.take(0, 1, "append-reject"), answer);
    lab.hand(1, 0, Message::Compacted { term: Term(2), start: id(2, 2) });
    assert_eq!(asked(&lab, 0), [1], "of another term");
}

/// Figure 13, step 6: if the log holds the snapshot's last entry, what follows it is kept.
#[test]
fn a_tail_that_agrees_with_the_snapshot_stays() {
    let mut lab = leader_with(4, 0);
    lab.snapshot(0);
    lab.crash(1, 0);
    // It has the entries, and has forgotten that they are committed.
    lab.restart(1);
    lab.bring_snapshot(0, 1);
    let status = lab.status(1);
    assert_eq!((status.committed.0, status.purged.0, status.last.0), (5, 5, 5));
}

/// Figure 13, step 7: otherwise the whole log goes, and a late sync of it vouches for nothing.
#[test]
fn a_log_that_differs_goes_as_a_whole() {
    let disks = vec![disk(3, &[1, 2, 2, 2, 2, 2]), disk(3, &[1, 3, 3]), disk(3, &[1, 3, 3])];
    let mut lab = Lab::on_disks_set_up(disks, |config| config.trailing_entries = 0);
    lab.elect_with(1, &[2]);
    lab.carry_all_but(NodeId(0).into());
    lab.snapshot(1);
    let meta = lab.snapshot_meta(1);
    assert_eq!((meta.index.0, meta.epoch), (4, 4));
    lab.bring_snapshot(1, 0);
    let status = lab.status(0);
    assert_eq!((status.committed.0, status.purged.0, status.last.0), (4, 4, 4));
    assert_eq!(status.epoch, 4, "a snapshot of a later term is news of that term");
    lab.crash(0, 0);
    lab.restart(0);
    assert_eq!((lab.status(0).last.0, lab.status(0).epoch), (4, 4), "on disk, too");
    lab.fire(1, Timer::Heartbeat);
    lab.carry_all();
    lab.propose(1, "x");
    lab.carry_all();
    lab.fire(1, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!(lab.committed(0), lab.committed(1));
}

/// Figure 8, and §7: a leader of term 3 that is cut off holds another entry than the one of term 2
/// that the leader of term 4 commits. A snapshot up to just that entry does not tell of term 4.
/// Still the leader of term 3, which gets it from one who has heard more, is not broken, but
/// deposed (planted bug R154).
#[test]
fn a_leader_that_lacks_what_is_decided_was_deposed() {
    let logs = [&[1][..], &[1, 2], &[1, 2], &[1], &[1]];
    let disks = logs.map(|log| disk(2, log)).to_vec();
    let mut lab = Lab::on_disks_set_up(disks, |config| {
        (config.trailing_entries, config.max_append_bytes, config.max_in_flight) = (0, 1, 1);
    });
    lab.elect_with(0, &[3, 4]);
    lab.propose(0, "lost");
    lab.read(0, ReadMode::Index);
    lab.campaign(1); // In term 3, in vain.
    lab.lose_all();
    lab.elect_with(1, &[2, 3]);
    let others = NodeSet::from_iter([2, 4].map(NodeId));
    lab.carry_those(|flying| others.contains(flying.from) || others.contains(flying.to));
    assert_eq!(lab.commit_index(1), 3);
    // Server 3 gets the entry of term 2 and knows that it is committed, and no more.
    lab.carry(1, 3, "append-entries");
    lab.carry(3, 1, "append-reject");
    lab.carry(1, 3, "append-repair");
    lab.snapshot(3);
    let meta = lab.snapshot_meta(3);
    assert_eq!((meta.index.0, meta.epoch, lab.status(3).epoch), (2, 2, 4));
    lab.lose_all();
    lab.bring_snapshot(3, 0);
    let status = lab.status(0);
    assert_eq!((status.role, status.epoch), (Role::Follower, 3));
    assert_eq!((status.committed.0, status.last.0), (2, 2));
    assert_eq!(lab.timers(0), [Timer::Election]);
    assert_eq!(lab.refused_reads(0).len(), 1, "nobody waits for a leader that is none");
    for _ in 0..3 {
        lab.fire(1, Timer::Heartbeat);
        lab.carry_all();
    }
    assert_eq!(lab.committed(0), lab.committed(1));
}

/// A snapshot that comes after what it covers, or an older one than the last, changes nothing.
#[test]
fn a_late_snapshot_takes_nothing_back() {
    let mut lab = leader_with(2, 0);
    let old = lab.replica(0).snapshot_meta(LogIndex(3)).expect("that is committed");
    lab.propose(0, "x");
    lab.carry_all();
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!(lab.commit_index(1), 4);
    lab.without_oracles(); // They know of no such snapshot.
    lab.give(1, Input::SnapshotInstalled(old.clone()));
    assert_eq!((lab.commit_index(1), lab.status(1).purged.0), (4, 3));
    lab.snapshot(1);
    lab.give(1, Input::SnapshotTaken(old));
    assert_eq!(lab.status(1).purged.0, 4);
}

/// openraft #1960: a sync that began before the snapshot was installed ends after it, and takes
/// nothing back.
#[test]
fn an_older_sync_takes_nothing_back() {
    let mut lab = leader_with(3, 0);
    lab.snapshot(0);
    let entries = lab.log(1).len();
    let all = [1, 1, 1, 1];
    let mut lab = Lab::new(3);
    lab.slow_disks();
    lab.hand(1, 0, append(1, 1, EntryId::ZERO, &all[..1], 0)); // records 1 and 2: term, entry
    lab.hand(1, 0, append(1, 1, id(1, 1), &all[1..], 0)); // record 3
    let meta = {
        let mut other = Lab::on_disks(vec![disk(1, &all); 3]);
        other.hand(1, 0, append(1, 1, id(1, 4), &[], 4));
        other.replica(0).snapshot_meta(LogIndex(4)).expect("that is committed")
    };
    assert_eq!((meta.index.0 as usize, entries), (4, 4));
    lab.without_oracles(); // They know of no such snapshot.
    lab.give(0, Input::SnapshotInstalled(meta));
    // The laboratory checks that what is durable stays so.
    lab.give(0, Input::Durable(RecordNumber(2)));
    assert_eq!((lab.commit_index(0), lab.status(0).last.0), (4, 4));
}

/// Figure 13, step 7, where the disk is still writing the log that goes: that it is done with that
/// vouches for nothing that comes in its place.
#[test]
fn a_late_sync_of_a_log_that_is_gone_vouches_for_nothing() {
    let mut lab = Lab::new(3);
    lab.slow_disks();
    lab.hand(1, 0, append(1, 1, EntryId::ZERO, &[1; 6], 0));
    lab.hand(2, 0, append(2, 2, EntryId::ZERO, &[], 0));
    let meta = {
        let mut other = Lab::on_disks(vec![disk(2, &[1, 1, 1, 2]); 3]);
        other.hand(2, 0, append(2, 2, id(2, 4), &[], 4));
        other.replica(0).snapshot_meta(LogIndex(4)).expect("that is committed")
    };
    lab.without_oracles(); // They know of no such snapshot.
    lab.give(0, Input::SnapshotInstalled(meta));
    assert_eq!((lab.commit_index(0), lab.status(0).last.0), (4, 4));
    lab.give(0, Input::Durable(RecordNumber(2)));
    lab.hand(2, 0, append(2, 2, id(2, 4), &[2; 2], 4));
    let counted = |lab: &Lab| {
        let mut counted = LogIndex::ZERO;
        lab.replica(0).counts_on(&mut |node, index, _| {
            if node == NodeId(0) {
                counted = index;
            }
        });
        counted
    };
    assert!(counted(&lab) <= LogIndex(4), "what came since is not on the disk yet");
    lab.quick_disks();
    lab.sync(0);
    assert_eq!(counted(&lab), LogIndex(6));
}

/// §7: late copies of what was forgotten are acknowledged, and change nothing.
#[test]
fn late_copies_of_what_was_forgotten_are_acknowledged() {
    let disks = vec![disk(1, &[1, 1, 1]); 3];
    let mut lab = Lab::on_disks_set_up(disks, |config| config.trailing_entries = 0);
    lab.hand(1, 0, append(1, 1, id(1, 3), &[], 3));
    lab.snapshot(0);
    lab.lose_all();
    for (prev, terms, matched) in
        [(EntryId::ZERO, &[1, 1][..], 2), (id(1, 1), &[1, 1, 1], 4), (id(1, 2), &[], 2)]
    {
        lab.hand(1, 0, append(1, 1, prev, terms, 0));
        let (term, matched) = (Term(1), LogIndex(matched));
        let answer = Message::AppendReply { term, matched, repair: false };
        assert_eq!(lab.take(0, 1, "append-reply"), answer);
    }
    assert_eq!((lab.commit_index(0), lab.status(0).last.0), (3, 4));
    // A leader that contradicts what was forgotten is no leader to believe.
    lab.hand(1, 0, append(2, 1, id(2, 3), &[2], 4));
    assert_eq!(lab.count("append-reply"), 0);
}

/// §7: a snapshot names the members as of its last entry, not later ones that may yet be cut.
#[test]
fn a_snapshot_names_the_members_of_its_time() {
    let mut lab = leader_with(1, 0);
    lab.change(0, |seen| seen.remove(NodeId(2)));
    assert_eq!(lab.members(0).0.voters, NodeSet::first(2));
    lab.snapshot(0);
    let meta = lab.snapshot_meta(0);
    assert_eq!((meta.index.0, meta.membership.voters), (2, NodeSet::first(3)));
    assert_eq!(lab.members(0).0.voters, NodeSet::first(2), "in force all the same");
    let start = lab.disk(0).iter().find_map(|record| match record {
        Record::Start { members, .. } => Some(members.voters),
        _ => None,
    });
    assert_eq!(start, Some(NodeSet::first(3)));
    lab.crash(0, 0);
    lab.restart(0);
    assert_eq!(lab.members(0).0.voters, NodeSet::first(2));
}

/// Membership × snapshot: who installs one takes over its members, also if they were changed in
/// entries that it never saw.
#[test]
fn a_snapshot_brings_the_members() {
    let mut lab = leader_with(1, 0);
    lab.change(0, |seen| seen.remove(NodeId(1)));
    lab.carry_all_but(NodeId(1).into());
    lab.snapshot(0);
    assert_eq!(lab.members(1).0.voters, NodeSet::first(3), "it does not know yet");
    lab.bring_snapshot(0, 1);
    assert!(!lab.members(1).0.is_voter(NodeId(1)));
    lab.time_out(1);
    assert_eq!((lab.status(1).role, lab.count("pre-vote")), (Role::Follower, 0));
    lab.crash(1, 0);
    lab.restart(1);
    assert!(!lab.members(1).0.is_voter(NodeId(1)), "after a restart, too");
}

/// Memory stays bounded while a server is dead, whatever is committed meanwhile.
#[test]
fn a_dead_follower_does_not_keep_the_log() {
    let mut lab = leader_with(0, 8);
    lab.crash(2, 0);
    for number in 0..1000 {
        lab.propose(0, &format!("{number}"));
        lab.carry_all_but(NodeId(2).into());
        if number % 50 == 49 {
            lab.snapshot(0);
            lab.fire(0, Timer::Heartbeat);
            lab.carry_all_but(NodeId(2).into());
        }
        assert!(lab.log(0).len() <= 60, "{} entries", lab.log(0).len());
    }
    assert!(lab.disk(0).len() < 60);
}

/// A leader of three that has forgotten everything, and told server 2, which was away, to take a
/// snapshot, which it is writing to its disk; with the index of that.
fn leader_with_a_receiver(settings: impl FnOnce(&mut Config)) -> (Lab, LogIndex) {
    let mut lab = Lab::set_up(3, |config| {
        config.trailing_entries = 0;
        settings(config);
    });
    lab.elect(0);
    lab.crash(2, 0);
    work(&mut lab, 4);
    lab.snapshot(0);
    lab.slow_disks_of(NodeId(2).into());
    lab.restart(2);
    for _ in 0..2 {
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all();
    }
    assert_eq!(asked(&lab, 2).last(), Some(&0), "told to take a snapshot");
    let on_its_way = lab.snapshot_meta(0).index;
    (lab, on_its_way)
}

/// Commands that are committed, at a leader whose follower 1 is quick.
fn work(lab: &mut Lab, commands: usize) {
    for number in 0..commands {
        lab.propose(0, &format!("more {number}"));
        lab.carry_all();
    }
}

/// Whom a server asked for a snapshot, each time.
fn asked(lab: &Lab, id: usize) -> Vec<usize> {
    lab.sent(id, "snapshot-ask")
}

/// The snapshot that server 2 got is on its disk, which is quick from now on.
fn arrives(lab: &mut Lab) {
    lab.quick_disks();
    lab.save_received(2);
}

/// What a receiver of a snapshot will need stays, although the leader takes newer ones meanwhile:
/// by the time that one is carried over, a busy leader would else have forgotten what follows it,
/// each time. Once the receiver has caught up, all goes as usual.
#[test]
fn what_a_receiver_of_a_snapshot_needs_stays_until_it_has_caught_up() {
    let (mut lab, on_its_way) = leader_with_a_receiver(|_| {});
    for _ in 0..3 {
        work(&mut lab, 4);
        lab.snapshot(0);
    }
    assert_eq!(lab.status(0).purged, on_its_way, "kept from that snapshot on");
    let before = asked(&lab, 2);
    arrives(&mut lab);
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!(asked(&lab, 2), before, "no second snapshot");
    assert_eq!(lab.status(2).last, lab.status(0).last);
    assert!(lab.has_reached(0, "caught up after a snapshot"));
    work(&mut lab, 1);
    lab.snapshot(0);
    assert_eq!(lab.status(0).purged, lab.status(0).last, "nobody needs anything now");
}

/// Two servers take snapshots, one of them an older one: what the slower needs stays, too
/// (planted bug R140).
#[test]
fn what_the_slower_of_two_receivers_needs_stays() {
    let mut lab = Lab::set_up(5, |config| config.trailing_entries = 0);
    lab.elect(0);
    let mut snapshots = Vec::new();
    for late in [3, 4] {
        lab.crash(late, 0);
    }
    lab.slow_disks_of([NodeId(3), NodeId(4)].into_iter().collect());
    for late in [3, 4] {
        work(&mut lab, 4);
        lab.snapshot(0);
        snapshots.push(lab.snapshot_meta(0).index);
        lab.restart(late);
        for _ in 0..2 {
            lab.fire(0, Timer::Heartbeat);
            lab.carry_all();
        }
        assert_eq!(asked(&lab, late).last(), Some(&0), "told to take a snapshot");
    }
    work(&mut lab, 4);
    lab.snapshot(0);
    assert!(snapshots[0] < snapshots[1]);
    assert_eq!(lab.status(0).purged, snapshots[0], "kept from the older one on");
}

/// … and while it catches up from there, a message at a time.
#[test]
fn what_a_server_has_yet_to_get_after_its_snapshot_stays() {
    let one_by_one = |config: &mut Config| {
        (config.max_append_bytes, config.max_in_flight) = (1, 1);
    };
    let (mut lab, on_its_way) = leader_with_a_receiver(one_by_one);
    work(&mut lab, 4);
    let before = asked(&lab, 2);
    arrives(&mut lab);
    lab.fire(0, Timer::Heartbeat);
    for to in [1, 2] {
        lab.carry(0, to, "heartbeat");
        lab.carry(to, 0, "heartbeat-reply");
    }
    lab.carry(0, 2, "compacted");
    lab.carry(2, 0, "append-reject");
    for _ in 0..2 {
        lab.carry(0, 2, "append-entries");
        lab.carry(2, 0, "append-reply");
    }
    lab.snapshot(0);
    assert_eq!(lab.status(0).purged.0, on_its_way.0 + 2, "what it acknowledged may go, no more");
    lab.carry_all();
    assert_eq!((lab.status(2).last, asked(&lab, 2)), (lab.status(0).last, before));
}

/// Nobody is waited for without end: not for who falls silent, and not beyond what may be held.
#[test]
fn what_is_held_for_a_receiver_is_bounded() {
    let (mut lab, _) = leader_with_a_receiver(|_| {});
    lab.crash(2, 0);
    for _ in 0..2 {
        work(&mut lab, 2);
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all();
        lab.fire(0, Timer::Election);
    }
    lab.snapshot(0);
    assert_eq!(lab.status(0).purged, lab.status(0).last, "it is silent");
    for (entries, bytes, left) in [(3, usize::MAX, 3), (u64::MAX, 150, 2)] {
        let (mut lab, _) = leader_with_a_receiver(|config| {
            config.trailing_bytes = 0;
            (config.held_entries, config.held_bytes) = (entries, bytes);
        });
        work(&mut lab, 9);
        lab.snapshot(0);
        assert_eq!(lab.status(0).last.0 - lab.status(0).purged.0, left, "{entries}, {bytes}");
        let before = asked(&lab, 2).len();
        arrives(&mut lab);
        lab.slow_disks_of(NodeId(2).into());
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all();
        assert_eq!(asked(&lab, 2)[before..], [0], "another one, and what follows it is held");
        work(&mut lab, 2);
        lab.snapshot(0);
        let before = asked(&lab, 2);
        arrives(&mut lab);
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all();
        assert_eq!((lab.status(2).last, asked(&lab, 2)), (lab.status(0).last, before));
    }
}
