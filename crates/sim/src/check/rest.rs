//! What a healed cluster owes when nobody asks for anything: all learn what was decided, and then
//! there is rest. A bug that only costs (a storm of repetitions, elections without end, a disk that
//! is written for nothing) breaks no other rule.

use super::Run;
use crate::oracle::Verdict;
use crate::report::Finding;
use crate::world::World;
use consensus_core::{Audit, Counters, LogIndex, NodeId, NodeSet, StateMachine, Timing};
use core::time::Duration;

/// So many longest election timeouts long is rest looked at.
const WATCHED: u32 = 5;

/// What all nodes did so far.
#[derive(Clone, Copy)]
struct Work {
    messages: u64,
    writes: u64,
    leader_changes: u64,
}

impl<P: Audit> Run<'_, P> {
    /// O13 without traffic, and O14.
    pub(super) fn rest(&mut self) {
        if self.world.violation().is_some() || !self.world.traitors().is_empty() {
            return; // Nothing rests while a traitor talks.
        }
        let bound = self.bound();
        self.world.retire_clients();
        self.world.retire_readers();
        let able = self.able();
        let settled = self.advance(self.world.now() + bound, |world| {
            let last = world.last_committed();
            let knows = |node: NodeId| world.executor(node).applied() >= last;
            let members = able.and(world.decided_members().members());
            world.clients_ended()
                && world.readers_ended()
                && members.iter().all(knows)
                && not_final(world, members).is_empty()
        });
        if !settled {
            let last = self.world.last_committed();
            let unsure = not_final(&self.world, self.able_members());
            if !unsure.is_empty() && self.world.violation().is_none() {
                let newest = self.world.decided_members();
                let detail = format!("{unsure:?} do not call these members final: {newest:?}");
                return self.stuck("members are final", bound, detail);
            }
            let late = |node: &NodeId| self.world.executor(*node).applied() < last;
            let late: NodeSet = self.able_members().iter().filter(late).collect();
            let detail = format!("without traffic {late:?} did not learn of {last}");
            return self.stuck("rest", bound, detail);
        }
        // Answers and repetitions that are still under way.
        self.advance(self.world.now() + bound / 4, |_| false);
        let before = self.work();
        let window = self.options.timing.election_max * WATCHED;
        self.advance(self.world.now() + window, |_| false);
        let work = self.work().since(before);
        let nodes = self.world.cluster().size;
        if let Err(finding) = work.is_restful(nodes, window, &self.options.timing)
            && self.world.violation().is_none()
        {
            self.world.fail(None, finding);
        }
        self.nothing_is_left_over();
    }

    /// O14: what is kept for work that has ended would be kept for ever.
    fn nothing_is_left_over(&mut self) {
        let left = |node: NodeId| {
            let what = self.world.replica(node)?.leftover()?;
            Some((node, format!("nobody wants anything, and {node} keeps {what}")))
        };
        let first = self.able_members().iter().find_map(left);
        if let Some((node, detail)) = first
            && self.world.violation().is_none()
        {
            self.world.fail(Some(node), Finding::new("O14", "nothing is left over", detail));
        }
    }

    fn work(&self) -> Work {
        let counters = || self.world.cluster().nodes().iter().map(|node| self.world.counters(node));
        let sent = |one: &Counters| one.sent().map(|(_, sent)| sent.messages).sum::<u64>();
        Work {
            messages: counters().map(sent).sum(),
            writes: counters().map(|one| one.writes).sum(),
            leader_changes: self.world.leader_changes(),
        }
    }
}

/// Who of these does not say that the members that were decided last are in force for good? Whoever
/// waits for that, to switch a node off, waits for ever.
fn not_final<P: Audit, S: StateMachine>(world: &World<P, S>, nodes: NodeSet) -> NodeSet {
    let newest = world.decided_members();
    let sure = |node: NodeId| match world.members(node) {
        Some((members, committed)) => *committed && members.version == newest.version,
        None => newest.version == LogIndex::ZERO,
    };
    nodes.iter().filter(|node| !sure(*node)).collect()
}

impl Work {
    fn since(self, before: Self) -> Self {
        Self {
            messages: self.messages - before.messages,
            writes: self.writes - before.writes,
            leader_changes: self.leader_changes - before.leader_changes,
        }
    }

    /// O14: everybody may say to everybody that he lives, twice a heartbeat; nobody writes at every
    /// heartbeat, though messages that come late may well cause some writes; and at most one
    /// election, begun before, comes to its end.
    fn is_restful(self, nodes: usize, window: Duration, timing: &Timing) -> Verdict {
        let beats = window.as_nanos() / timing.heartbeat.as_nanos();
        let most = 2 * beats as u64 * (nodes * (nodes - 1)) as u64;
        if self.messages <= most
            && self.writes <= (beats as usize * nodes / 2) as u64
            && self.leader_changes <= 1
        {
            return Ok(());
        }
        let Self { messages, writes, leader_changes } = self;
        let detail = format!(
            "in {window:?} without traffic {messages} messages were sent (at most {most} are \
             owed), {writes} records written, and {leader_changes} leaders elected"
        );
        Err(Finding::new("O14", "rest", detail))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn o14_sees_storms_and_elections_and_writes_for_nothing() {
        let (window, timing) = (Duration::from_secs(3), Timing::LAN);
        let calm = Work { messages: 720, writes: 90, leader_changes: 1 };
        calm.is_restful(3, window, &timing).expect("60 heartbeats, 6 links, both ways");
        for loud in [
            Work { messages: 721, ..calm },
            Work { writes: 91, ..calm },
            Work { leader_changes: 2, ..calm },
        ] {
            let finding = loud.is_restful(3, window, &timing).expect_err("no rest");
            assert_eq!(finding.oracle, "O14");
        }
    }
}
