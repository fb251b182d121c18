//! Snapshots and log compaction: §7 and Figure 13 of the Raft paper.

mod lab;

use consensus_core::{Batch, Change, Input, LogIndex, NodeId, NodeSet, RecordNumber, Role};
use lab::{Lab, batch, disk};
use synod_raft::{AppendEntries, Conflict, Entry, EntryId, Message, Record, Term, Timer};

fn id(term: u64, index: u64) -> EntryId {
    EntryId::new(Term(term), LogIndex(index))
}

fn append(term: u64, prev: EntryId, terms: &[u64], commit: u64) -> Message {
    let first = prev.index.0 + 1;
    let entry = |(place, term): (u64, &u64)| Entry {
        term: Term(*term),
        batch: batch(&format!("{place}@{term}")),
    };
    Message::AppendEntries(AppendEntries {
        term: Term(term),
        leader: NodeId(1),
        prev,
        entries: (first..).zip(terms).map(entry).collect(),
        leader_commit: LogIndex(commit),
        repair: false,
    })
}

/// A leader of three that has committed a no-op and so many commands, and keeps so many entries
/// that a snapshot covers.
fn leader_with(commands: u64, trailing: u64) -> Lab {
    let mut lab = Lab::set_up(3, |config| config.trailing_entries = trailing);
    lab.elect(0);
    for number in 0..commands {
        lab.propose(0, &format!("{number}"));
        lab.carry_all();
    }
    assert_eq!(lab.committed(0), commands + 1);
    lab
}

/// §7: what a snapshot covers is forgotten, but for some entries for servers that lag a little; a
/// restart goes on from the snapshot.
#[test]
fn what_a_snapshot_covers_is_forgotten() {
    for trailing in [0, 2, 99] {
        let mut lab = leader_with(9, trailing);
        let meta = lab.take_snapshot(0);
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
        assert_eq!(lab.committed(0), 12, "what is given out goes on after the snapshot");
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
    lab.take_snapshot(0);
    assert_eq!(lab.status(0).purged.0, 8, "two entries of some ninety bytes are kept");
}

/// Nothing is forgotten that the snapshot does not cover, whatever is committed meanwhile: a
/// snapshot takes its time.
#[test]
fn what_was_committed_since_the_snapshot_stays() {
    let mut lab = leader_with(3, 0);
    let meta = lab.save_snapshot(0);
    lab.propose(0, "later");
    lab.carry_all();
    lab.give(0, Input::SnapshotTaken(meta));
    assert_eq!((lab.status(0).purged.0, lab.committed(0)), (4, 5));
    lab.crash(0, 0);
    lab.restart(0);
    assert_eq!((lab.committed(0), lab.status(0).last.0), (4, 5));
}

/// The snapshot is durable before the log is forgotten. A crash between the two, or one that loses
/// the compaction, is harmless.
#[test]
fn a_crash_between_snapshot_and_compaction_is_harmless() {
    let mut lab = leader_with(3, 0);
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    lab.save_snapshot(1);
    lab.crash(1, 0);
    lab.restart(1);
    assert_eq!((lab.committed(1), lab.status(1).last.0, lab.status(1).purged.0), (4, 4, 0));
    lab.quick_disks = false;
    let meta = lab.save_snapshot(2);
    lab.give(2, Input::SnapshotTaken(meta));
    lab.crash(2, 0);
    lab.restart(2);
    assert_eq!((lab.committed(2), lab.status(2).last.0, lab.status(2).purged.0), (4, 4, 0));
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
    lab.take_snapshot(0);
    lab.restart(2);
    for _ in 0..2 {
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all();
    }
    assert_eq!(lab.nodes[2].fetches.first(), Some(&NodeId(0)));
    lab.propose(0, "meanwhile");
    lab.carry_all();
    assert_eq!(lab.committed(0), 8, "nobody waits for it");
    let asked = lab.nodes[2].fetches.len();
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!(lab.nodes[2].fetches.len(), asked + 1, "it is told again, as long as it is true");
    lab.install(0, 2);
    assert_eq!((lab.committed(2), lab.status(2).purged.0), (7, 7));
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!(lab.nodes[2].fetches.len(), asked + 1, "it needs no other");
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!((lab.committed(2), &lab.nodes[2].committed), (8, &lab.nodes[0].committed));
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
    assert_eq!(lab.nodes[0].fetches, [NodeId(1)], "of another term");
}

/// Figure 13, step 6: if the log holds the snapshot's last entry, what follows it is kept.
#[test]
fn a_tail_that_agrees_with_the_snapshot_stays() {
    let mut lab = leader_with(4, 0);
    lab.take_snapshot(0);
    lab.crash(1, 0);
    // It has the entries, and has forgotten that they are committed.
    lab.restart(1);
    lab.install(0, 1);
    let status = lab.status(1);
    assert_eq!((status.committed.0, status.purged.0, status.last.0), (5, 5, 5));
}

/// Figure 13, step 7: otherwise the whole log goes, and a late sync of it vouches for nothing.
#[test]
fn a_log_that_differs_goes_as_a_whole() {
    let disks = vec![disk(3, &[1, 2, 2, 2, 2, 2]), disk(3, &[1, 3, 3]), disk(3, &[1, 3, 3])];
    let mut lab = Lab::on_disks(disks);
    lab.config.trailing_entries = 0;
    lab.restart(1);
    lab.elect_with(1, &[2]);
    lab.carry_all_but(NodeId(0).into());
    let meta = lab.take_snapshot(1);
    assert_eq!((meta.index.0, meta.epoch), (4, 4));
    lab.install(1, 0);
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
    assert_eq!(lab.nodes[0].committed, lab.nodes[1].committed);
}

/// A snapshot that comes after what it covers, or an older one than the last, changes nothing.
#[test]
fn a_late_snapshot_takes_nothing_back() {
    let mut lab = leader_with(2, 0);
    let old = lab.save_snapshot(0);
    lab.propose(0, "x");
    lab.carry_all();
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!(lab.committed(1), 4);
    lab.give(1, Input::SnapshotInstalled(old.clone()));
    assert_eq!((lab.committed(1), lab.status(1).purged.0), (4, 3));
    lab.take_snapshot(1);
    lab.give(1, Input::SnapshotTaken(old));
    assert_eq!(lab.status(1).purged.0, 4);
}

/// openraft #1960: a sync that began before the snapshot was installed ends after it, and takes
/// nothing back.
#[test]
fn an_older_sync_takes_nothing_back() {
    let mut lab = leader_with(3, 0);
    lab.take_snapshot(0);
    let entries = lab.log(1).len();
    let all = [1, 1, 1, 1];
    let mut lab = Lab::new(3);
    lab.quick_disks = false;
    lab.hand(1, 0, append(1, EntryId::ZERO, &all[..1], 0)); // records 1 and 2: term, entry
    lab.hand(1, 0, append(1, id(1, 1), &all[1..], 0)); // record 3
    let meta = {
        let mut other = Lab::on_disks(vec![disk(1, &all); 3]);
        other.hand(1, 0, append(1, id(1, 4), &[], 4));
        other.save_snapshot(0)
    };
    assert_eq!((meta.index.0 as usize, entries), (4, 4));
    lab.nodes[0].committed = vec![Batch::noop(); 4];
    lab.give(0, Input::SnapshotInstalled(meta));
    // The laboratory checks that what is durable stays so.
    lab.give(0, Input::Durable(RecordNumber(2)));
    assert_eq!((lab.committed(0), lab.status(0).last.0), (4, 4));
}

/// §7: late copies of what was forgotten are acknowledged, and change nothing.
#[test]
fn late_copies_of_what_was_forgotten_are_acknowledged() {
    let mut lab = Lab::on_disks(vec![disk(1, &[1, 1, 1]), disk(1, &[]), disk(1, &[])]);
    lab.config.trailing_entries = 0;
    lab.restart(0);
    lab.hand(1, 0, append(1, id(1, 3), &[], 3));
    lab.take_snapshot(0);
    lab.flying.clear();
    for (prev, terms, matched) in
        [(EntryId::ZERO, &[1, 1][..], 2), (id(1, 1), &[1, 1, 1], 4), (id(1, 2), &[], 2)]
    {
        lab.hand(1, 0, append(1, prev, terms, 0));
        let (term, matched) = (Term(1), LogIndex(matched));
        let answer = Message::AppendReply { term, matched, repair: false };
        assert_eq!(lab.take(0, 1, "append-reply"), answer);
    }
    assert_eq!((lab.committed(0), lab.status(0).last.0), (3, 4));
    // A leader that contradicts what was forgotten is no leader to believe.
    lab.hand(1, 0, append(2, id(2, 3), &[2], 4));
    assert_eq!(lab.count("append-reply"), 0);
}

/// §7: a snapshot names the members as of its last entry, not later ones that may yet be cut.
#[test]
fn a_snapshot_names_the_members_of_its_time() {
    let mut lab = leader_with(1, 0);
    lab.change(0, Change::of(&lab.members(0)).remove(NodeId(2)));
    assert_eq!(lab.members(0).voters, NodeSet::first(2));
    let meta = lab.take_snapshot(0);
    assert_eq!((meta.index.0, meta.membership.voters), (2, NodeSet::first(3)));
    assert_eq!(lab.members(0).voters, NodeSet::first(2), "in force all the same");
    let start = lab.nodes[0].disk.iter().find_map(|record| match record {
        Record::Start { members, .. } => Some(members.voters),
        _ => None,
    });
    assert_eq!(start, Some(NodeSet::first(3)));
    lab.crash(0, 0);
    lab.restart(0);
    assert_eq!(lab.members(0).voters, NodeSet::first(2));
}

/// Membership × snapshot: who installs one takes over its members, also if they were changed in
/// entries that it never saw.
#[test]
fn a_snapshot_brings_the_members() {
    let mut lab = leader_with(1, 0);
    lab.change(0, Change::of(&lab.members(0)).remove(NodeId(1)));
    lab.carry_all_but(NodeId(1).into());
    lab.take_snapshot(0);
    assert_eq!(lab.members(1).voters, NodeSet::first(3), "it does not know yet");
    lab.install(0, 1);
    assert!(!lab.members(1).is_voter(NodeId(1)));
    lab.time_out(1);
    assert_eq!((lab.status(1).role, lab.count("pre-vote")), (Role::Follower, 0));
    lab.crash(1, 0);
    lab.restart(1);
    assert!(!lab.members(1).is_voter(NodeId(1)), "after a restart, too");
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
            lab.take_snapshot(0);
            lab.fire(0, Timer::Heartbeat);
            lab.carry_all_but(NodeId(2).into());
        }
        assert!(lab.log(0).len() <= 60, "{} entries", lab.log(0).len());
    }
    assert!(lab.nodes[0].disk.len() < 60);
}

/// A leader of three that has forgotten everything, and told server 2, which was away, to take a
/// snapshot; with the snapshot that 2 is taking.
fn leader_with_a_receiver(
    settings: impl FnOnce(&mut synod_raft::Config),
) -> (Lab, (consensus_core::SnapshotMeta, Vec<Batch>)) {
    let mut lab = Lab::set_up(3, |config| {
        config.trailing_entries = 0;
        settings(config);
    });
    lab.elect(0);
    lab.crash(2, 0);
    work(&mut lab, 4);
    lab.take_snapshot(0);
    lab.restart(2);
    for _ in 0..2 {
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all();
    }
    assert_eq!(lab.nodes[2].fetches.pop(), Some(NodeId(0)), "told to take a snapshot");
    lab.nodes[2].fetches.clear();
    let on_its_way = lab.nodes[0].snapshot.clone().expect("it was taken");
    (lab, on_its_way)
}

/// Commands that are committed, at a leader whose follower 1 is quick.
fn work(lab: &mut Lab, commands: usize) {
    for number in 0..commands {
        lab.propose(0, &format!("more {number}"));
        lab.carry_all();
    }
}

/// Server 2 has got a snapshot whole.
fn arrives(lab: &mut Lab, (meta, state): (consensus_core::SnapshotMeta, Vec<Batch>)) {
    lab.nodes[2].committed.clone_from(&state);
    lab.nodes[2].snapshot = Some((meta.clone(), state));
    lab.give(2, Input::SnapshotInstalled(meta));
    lab.give(2, Input::Drained);
}

/// What a receiver of a snapshot will need stays, although the leader takes newer ones meanwhile:
/// by the time that one is carried over, a busy leader would else have forgotten what follows it,
/// each time. Once the receiver has caught up, all goes as usual.
#[test]
fn what_a_receiver_of_a_snapshot_needs_stays_until_it_has_caught_up() {
    let (mut lab, on_its_way) = leader_with_a_receiver(|_| {});
    for _ in 0..3 {
        work(&mut lab, 4);
        lab.take_snapshot(0);
    }
    assert_eq!(lab.status(0).purged, on_its_way.0.index, "kept from that snapshot on");
    arrives(&mut lab, on_its_way);
    lab.fire(0, Timer::Heartbeat);
    lab.carry_all();
    assert_eq!(lab.nodes[2].fetches, [], "no second snapshot");
    assert_eq!(lab.status(2).last, lab.status(0).last);
    assert!(lab.nodes[0].has_reached("caught up after a snapshot"));
    work(&mut lab, 1);
    lab.take_snapshot(0);
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
    for late in [3, 4] {
        work(&mut lab, 4);
        lab.take_snapshot(0);
        snapshots.push(lab.nodes[0].snapshot.clone().expect("it was taken").0.index);
        lab.restart(late);
        for _ in 0..2 {
            lab.fire(0, Timer::Heartbeat);
            lab.carry_all();
        }
        assert_eq!(lab.nodes[late].fetches.pop(), Some(NodeId(0)), "told to take a snapshot");
    }
    work(&mut lab, 4);
    lab.take_snapshot(0);
    assert!(snapshots[0] < snapshots[1]);
    assert_eq!(lab.status(0).purged, snapshots[0], "kept from the older one on");
}

/// … and while it catches up from there, a message at a time.
#[test]
fn what_a_server_has_yet_to_get_after_its_snapshot_stays() {
    let one_by_one = |config: &mut synod_raft::Config| {
        (config.max_append_bytes, config.max_in_flight) = (1, 1);
    };
    let (mut lab, on_its_way) = leader_with_a_receiver(one_by_one);
    work(&mut lab, 4);
    let first = on_its_way.0.index;
    arrives(&mut lab, on_its_way);
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
    lab.take_snapshot(0);
    assert_eq!(lab.status(0).purged.0, first.0 + 2, "what it acknowledged may go, no more");
    lab.carry_all();
    assert_eq!((lab.status(2).last, lab.nodes[2].fetches.len()), (lab.status(0).last, 0));
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
    lab.take_snapshot(0);
    assert_eq!(lab.status(0).purged, lab.status(0).last, "it is silent");
    for (entries, bytes, left) in [(3, usize::MAX, 3), (u64::MAX, 150, 2)] {
        let (mut lab, on_its_way) = leader_with_a_receiver(|config| {
            config.trailing_bytes = 0;
            (config.held_entries, config.held_bytes) = (entries, bytes);
        });
        work(&mut lab, 9);
        lab.take_snapshot(0);
        assert_eq!(lab.status(0).last.0 - lab.status(0).purged.0, left, "{entries}, {bytes}");
        arrives(&mut lab, on_its_way);
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all();
        assert_eq!(lab.nodes[2].fetches, [NodeId(0)], "another one, and what follows it is held");
        let newer = lab.nodes[0].snapshot.clone().expect("the newest");
        work(&mut lab, 2);
        lab.take_snapshot(0);
        arrives(&mut lab, newer);
        lab.nodes[2].fetches.clear();
        lab.fire(0, Timer::Heartbeat);
        lab.carry_all();
        assert_eq!((lab.status(2).last, lab.nodes[2].fetches.len()), (lab.status(0).last, 0));
    }
}
