//! What must be true of one server at any time, and of one step. What takes two servers to see
//! (Figure 3) is the oracles' business.

use crate::replica::{Raft, Role};
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
    let mut before = server.log.term_at(LogIndex::ZERO);
    for entry in server.log.after(LogIndex::ZERO) {
        if Some(entry.term) < before {
            return Err("terms fall along the log");
        }
        before = Some(entry.term);
    }
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
        _ => Ok(()),
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
    let committed = old.commit_index.0 as usize;
    let all = LogIndex::ZERO;
    if old.log.after(all)[..committed] != new.log.after(all)[..committed] {
        return Err("a committed entry changed");
    }
    match (&before.role, &after.role) {
        (Role::Follower(a), Role::Follower(b)) if same_term => {
            if a.leader.is_some() && a.leader != b.leader {
                return Err("the leader changed within a term");
            }
            if b.verified < a.verified {
                return Err("what was compared fell within a term");
            }
            Ok(())
        }
        (Role::Leader(_), Role::Leader(_)) if same_term => {
            // Leader Append-Only (Figure 3).
            let kept = old.log.last().index.0 as usize;
            if new.log.after(all).get(..kept) != Some(old.log.after(all)) {
                return Err("a leader changed its log other than at the end");
            }
            Ok(())
        }
        (Role::Leader(_), Role::Leader(_)) => Err("a leader of one term leads the next unelected"),
        _ => Ok(()),
    }
}
