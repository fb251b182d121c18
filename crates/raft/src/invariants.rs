//! What must be true of one server at any time, and of one step. What takes two servers to see
//! (Figure 3) is the oracles' business.

use crate::members::Members;
use crate::replica::{Raft, Role};
use crate::server::Server;
use consensus_core::LogIndex;

/// Cheap enough to be checked after every step, in release too.
pub(crate) fn check_cheap(raft: &Raft) -> Result<(), &'static str> {
    let server = &raft.server;
    let last = server.log.last();
    if server.commit_index > last.index {
        return Err("committed beyond the log");
    }
    if server.durable_index > last.index {
        return Err("durable beyond the log");
    }
    if server.log.start().index > server.snapshot {
        return Err("forgotten beyond the snapshot");
    }
    if server.snapshot > server.commit_index {
        return Err("a snapshot of what is not committed");
    }
    if last.term > server.current_term {
        return Err("an entry of a term that has not begun");
    }
    let standing = matches!(raft.role, Role::Candidate(_) | Role::Leader(_));
    if standing && server.voted_for != Some(server.id) {
        return Err("a candidate or leader that did not vote for itself");
    }
    Ok(())
}

/// Checks the whole state of a server.
///
/// # Errors
/// The rule that is broken.
pub fn check(raft: &Raft) -> Result<(), &'static str> {
    check_cheap(raft)?;
    let server = &raft.server;
    if !server.log.is_sound() {
        return Err("the log's last entry is another than it remembers");
    }
    let mut before = server.log.start().term;
    for entry in server.log.entries() {
        if entry.term < before {
            return Err("terms fall along the log");
        }
        before = entry.term;
    }
    check_members(server)?;
    match &raft.role {
        Role::Follower(follower) if follower.verified > server.log.last().index => {
            Err("compared beyond the log")
        }
        Role::Leader(_) if server.log.last().term != server.current_term => {
            Err("a leader without an entry of its term")
        }
        Role::Leader(leader) if !leader.is_sound(server.log.last()) => {
            Err("nextIndex and matchIndex do not fit the log")
        }
        Role::Leader(leader) if !leader.bytes_are_right(server) => {
            Err("uncommitted bytes are miscounted")
        }
        _ => Ok(()),
    }
}

/// The members in force are those of the latest entry that says so (§6).
fn check_members(server: &Server) -> Result<(), &'static str> {
    let mut members = Members::new(server.members.settled().clone());
    for (index, entry) in (server.log.start().index.0 + 1..).zip(server.log.entries()) {
        members.appended(LogIndex(index), &entry.batch);
    }
    if members != server.members {
        return Err("the members are not what the log says");
    }
    Ok(())
}

/// What is left over where nothing waits any more.
pub(crate) fn leftover(raft: &Raft) -> Option<&'static str> {
    match &raft.role {
        Role::Leader(leader) => leader.leftover(raft.server.log.last().index),
        Role::Follower(follower) if follower.reads.are_gathered() => Some("reads"),
        _ => None,
    }
}

/// Checks what one step made of a server (without a restart between).
///
/// # Errors
/// The rule that is broken.
pub fn check_step(before: &Raft, after: &Raft) -> Result<(), &'static str> {
    let (old, new) = (&before.server, &after.server);
    if new.current_term < old.current_term {
        return Err("the term fell");
    }
    let same_term = new.current_term == old.current_term;
    if same_term && old.voted_for.is_some() && new.voted_for != old.voted_for {
        return Err("the vote changed within a term");
    }
    if new.commit_index < old.commit_index {
        return Err("the commit index fell");
    }
    if new.log.start() < old.log.start() || new.snapshot < old.snapshot {
        return Err("what was forgotten came back");
    }
    let durable = old.log.term_at(old.durable_index);
    let kept = new.log.term_at(old.durable_index) == durable && durable.is_some();
    if kept && new.durable_index < old.durable_index && new.log.last() >= old.log.last() {
        return Err("what was durable is so no longer");
    }
    // What both remember of what was committed, or of a leader's log.
    let first = new.log.start().index;
    let kept = |upto: LogIndex| (first.0.max(old.log.start().index.0) + 1..=upto.0).map(LogIndex);
    if kept(old.commit_index).any(|index| old.log.get(index) != new.log.get(index)) {
        return Err("a committed entry changed");
    }
    match (&before.role, &after.role) {
        (Role::Follower(a), Role::Follower(b)) if same_term => {
            if a.leader.is_some() && b.leader.is_some() && a.leader != b.leader {
                return Err("the leader changed within a term");
            }
            if b.verified < a.verified && first == old.log.start().index {
                return Err("what was compared fell within a term");
            }
            Ok(())
        }
        (Role::Leader(_), Role::Leader(_)) if same_term => {
            // Leader Append-Only (Figure 3).
            if kept(old.log.last().index).any(|index| old.log.get(index) != new.log.get(index)) {
                return Err("a leader changed its log other than at the end");
            }
            Ok(())
        }
        (Role::Leader(_), Role::Leader(_)) => Err("a leader of one term leads the next unelected"),
        _ => Ok(()),
    }
}
