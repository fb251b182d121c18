//! Phase 1 for all slots at once (PMS §3; PMMC's scout): what may be proposed under a new ballot.

use crate::follower::retry;
use crate::message::{Message, Promise, after};
use crate::node::Node;
use crate::replica::{MultiPaxos, Timer};
use crate::votes::Votes;
use consensus_core::mutant::planted;
use consensus_core::{Ballot, Batch, Effects, Env, LogIndex, NodeId, NodeSet};
use std::collections::BTreeMap;

/// With a smaller window, so many holes are still possible: windows may have been larger before.
const LEAST_ABSURD: usize = 1 << 17;

/// Collects promises for one ballot.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Scout {
    pub(crate) ballot: Ballot,
    /// The leader of this ballot gave way to it.
    handed: Option<Ballot>,
    /// From where on each acceptor has still to report.
    missing: BTreeMap<NodeId, LogIndex>,
    promises: Votes,
    /// The highest-numbered proposal reported in each slot.
    pvalues: BTreeMap<LogIndex, (Ballot, Batch)>,
}

impl Scout {
    /// Phase 1a: takes a new ballot and asks everybody, the acceptor next door first.
    pub(crate) fn new(
        handed: Option<Ballot>,
        node: &mut Node,
        env: &Env<'_>,
        effects: &mut Effects<MultiPaxos>,
    ) -> Self {
        let ballot = node.next_ballot();
        let from = node.first_unchosen();
        node.promise_own(ballot, effects);
        let mut scout = Self {
            ballot,
            handed,
            missing: BTreeMap::new(),
            promises: Votes::default(),
            pvalues: BTreeMap::new(),
        };
        let own = if planted("M26") { node.acceptor.last().next() } else { from };
        for (slot, held) in node.acceptor.accepted_from(own) {
            scout.absorb(slot, held.ballot, held.batch.clone());
        }
        if planted("M133") {
            scout.promises.add(node.id);
        }
        scout.ask(node, effects);
        effects.set_timer(Timer::Retry, retry(env));
        effects.set_timer(Timer::Election, env.cluster.timing.election());
        scout
    }

    /// Asks for the reports that are missing, again or for the first time: of all who vote now. A
    /// promise is for all slots, so whoever has promised need not be asked again by other members.
    pub(crate) fn ask(&mut self, node: &Node, effects: &mut Effects<MultiPaxos>) {
        let (ballot, handed) = (self.ballot, self.handed);
        let silent = node.voters().without(node.id).minus(self.promises.from());
        let (mut fresh, first) = (NodeSet::EMPTY, node.first_unchosen());
        for peer in silent.iter() {
            match self.missing.get(&peer) {
                Some(from) => effects.send(peer, Message::Prepare { ballot, from: *from, handed }),
                None => {
                    self.missing.insert(peer, first);
                    fresh.insert(peer);
                }
            }
        }
        effects.send(fresh, Message::Prepare { ballot, from: first, handed });
    }

    /// The own promise is durable.
    pub(crate) fn on_own_promise(&mut self, node: &Node, ballot: Ballot) {
        if ballot == self.ballot || planted("M50") {
            self.promises.add(node.id);
        }
    }

    /// Phase 1b: a piece of a report. The promise counts once the report is complete. Is there more
    /// to come?
    pub(crate) fn on_promise(
        &mut self,
        from: NodeId,
        promise: Promise,
        node: &mut Node,
        effects: &mut Effects<MultiPaxos>,
    ) -> bool {
        let expected = self.missing.get(&from).copied();
        let other_ballot = promise.ballot != self.ballot && !planted("M27");
        if other_ballot || expected != Some(promise.from) {
            tracing::debug!(%from, "a promise that was not asked for now");
            effects.reached("promise that was not asked for now");
            return false;
        }
        let start = promise.start();
        node.told(start, &promise.chosen, effects);
        for (offset, batch) in promise.chosen.into_iter().enumerate() {
            let slot = after(start, offset);
            if !node.learner.knows(slot) {
                // Chosen, but behind a gap: to propose it is right under any ballot.
                let ballot = if planted("M201") { Ballot::ZERO } else { self.ballot };
                self.absorb(slot, ballot, batch);
            }
        }
        for pvalue in promise.accepted {
            let known = self.pvalues.get(&pvalue.slot);
            if known.is_some_and(|(known, _)| *known < pvalue.ballot) {
                effects.reached("reported value outdone by a higher ballot");
            }
            self.absorb(pvalue.slot, pvalue.ballot, pvalue.batch);
        }
        match promise.next {
            Some(next) => {
                if planted("M28") {
                    self.promises.add(from);
                }
                self.missing.insert(from, next);
                effects.send(
                    from,
                    Message::Prepare { ballot: self.ballot, from: next, handed: self.handed },
                );
            }
            None => self.promises.add(from),
        }
        promise.next.is_some()
    }

    /// Has somebody forgotten slots that phase 1 would have to know? A snapshot is needed first.
    pub(crate) fn on_forgotten(&self, promise: &Promise, node: &Node) -> bool {
        promise.ballot == self.ballot && promise.forgotten > node.learner.upto()
    }

    /// P2c: in each slot the value of the highest-numbered proposal counts.
    fn absorb(&mut self, slot: LogIndex, ballot: Ballot, batch: Batch) {
        let higher = match self.pvalues.get(&slot) {
            Some((known, _)) if planted("M21") => ballot < *known,
            Some((known, _)) => ballot > *known,
            None => true,
        };
        if higher {
            self.pvalues.insert(slot, (ballot, batch));
        }
    }

    /// Has a quorum promised, and nothing that cannot be? Some reported slot beyond any log would
    /// have to be reached by no-ops one by one: then rather no leader than no memory.
    pub(crate) fn elected(&self, node: &Node) -> bool {
        node.is_phase_1_quorum(self.promises.from()) && !self.is_absurd(node)
    }

    /// A slot of which a quorum reports nothing was open, with all slots after it, at one leader;
    /// and its window bounds these (see `cost`).
    fn is_absurd(&self, node: &Node) -> bool {
        let first = node.first_unchosen();
        let reported = self.pvalues.range(first..);
        let Some((last, _)) = reported.clone().next_back() else { return false };
        let holes = (last.0 - first.0).saturating_sub(reported.count() as u64);
        let absurd = holes > (node.config.window_bytes / 64).max(LEAST_ABSURD) as u64;
        if absurd {
            tracing::error!(%last, holes, "accepted slots are reported that no leader proposed");
        }
        absurd
    }

    /// Who promised.
    pub(crate) fn promised_by(&self) -> NodeSet {
        self.promises.from()
    }

    /// The last slot that phase 1 found in use. In slots up to here the reported value must be
    /// proposed, or a no-op where a quorum has accepted nothing (§3), so that later ones can be
    /// executed.
    pub(crate) fn last(&self, node: &Node) -> LogIndex {
        let last = self.pvalues.last_key_value().map_or(LogIndex::ZERO, |(slot, _)| *slot);
        let last = if planted("M30") { last.previous() } else { last };
        last.max(node.learner.last())
    }

    /// All that was reported is proposed.
    pub(crate) fn forget_values(&mut self) {
        self.pvalues.clear();
    }

    /// Was nothing reported for this slot? Then it is a hole, and any value will do.
    pub(crate) fn is_hole(&self, slot: LogIndex) -> bool {
        !self.pvalues.contains_key(&slot)
    }

    /// What must be proposed in a slot that phase 1 found in use.
    pub(crate) fn value(&self, slot: LogIndex, node: &Node) -> Batch {
        if planted("M01") {
            return node.acceptor.value(slot).cloned().unwrap_or_default();
        }
        self.pvalues.get(&slot).map_or_else(Batch::noop, |(_, batch)| batch.clone())
    }
}
