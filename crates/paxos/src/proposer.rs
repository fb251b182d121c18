//! The proposer: brings a value through both phases (§2.2, phases 1(a) and 2(a)).

use crate::config::Config;
use crate::fast::{self, fast_ballot, is_fast};
use crate::message::{ChosenAt, Proposal};
use consensus_core::mutant::planted;
use consensus_core::{
    Ballot, Batch, CommandRef, Incarnation, LogIndex, MAX_COMMANDS, NodeId, NodeSet,
};
use std::collections::{BTreeSet, VecDeque};

/// One proposer. It works at one slot at a time and keeps its own commands until they are chosen
/// in some slot; a slot that is decided with another's value costs it only time.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Proposer {
    id: NodeId,
    incarnation: Incarnation,
    /// The highest ballot seen in any slot. Never falls.
    seen: Ballot,
    phase: Phase,
    /// What it is proposing of its own.
    own: Option<Batch>,
    /// What comes after that.
    queue: VecDeque<Batch>,
    /// Bytes of `own` and `queue`.
    pending_bytes: usize,
    /// Times it was outbid since it last got its own value chosen.
    outbid: u32,
    /// It is to find out what the first unknown slot holds, with or without a value of its own.
    in_doubt: bool,
}

/// Where the proposer is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Phase {
    /// Nothing under way.
    Idle,
    /// Phase 1: waits for promises.
    Preparing(Preparing),
    /// Phase 2: waits for acceptances, which the learner counts.
    Accepting {
        /// Slot and ballot.
        at: ChosenAt,
        /// The value.
        batch: Batch,
    },
    /// Was outbid, and keeps quiet for a while.
    BackingOff,
}

/// Phase 1 under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Preparing {
    pub(crate) at: ChosenAt,
    /// Who promised: a set, for a promise may arrive twice.
    pub(crate) promised: NodeSet,
    /// The highest-numbered proposal among those that the promises report.
    pub(crate) highest: Option<Proposal>,
    /// What they report of the fast round.
    votes: fast::Votes,
}

impl Proposer {
    /// What is left over where everything is chosen, and all know it.
    pub(crate) fn leftover(&self) -> Option<&'static str> {
        let pending = self.own.is_some() || !self.queue.is_empty() || self.pending_bytes > 0;
        let kept = [(pending, "commands"), (self.in_doubt, "a doubt")];
        let phase = (self.phase != Phase::Idle, "a round");
        kept.into_iter().chain([phase]).find(|(is_kept, _)| *is_kept).map(|(_, what)| what)
    }

    pub(crate) fn new(id: NodeId, incarnation: Incarnation, seen: Ballot) -> Self {
        Self {
            id,
            incarnation,
            seen,
            phase: Phase::Idle,
            own: None,
            queue: VecDeque::new(),
            pending_bytes: 0,
            outbid: 0,
            in_doubt: false,
        }
    }

    /// Takes commands, or gives them back if too many wait.
    pub(crate) fn enqueue(&mut self, batch: Batch, config: &Config) -> Result<(), Batch> {
        let bytes = self.pending_bytes.saturating_add(batch.bytes().len());
        if self.pending_bytes > 0 && bytes > config.max_pending_bytes {
            return Err(batch);
        }
        self.pending_bytes = bytes;
        self.queue.push_back(batch);
        Ok(())
    }

    /// Is there something to propose, and nothing under way?
    pub(crate) fn is_ready(&self) -> bool {
        (self.has_commands() || self.in_doubt) && self.phase == Phase::Idle
    }

    /// The slot is to be decided even if there are no commands.
    pub(crate) fn doubt(&mut self) {
        self.in_doubt = true;
    }

    /// Phase 1(a): chooses a new proposal number, higher than any seen.
    pub(crate) fn prepare(&mut self, slot: LogIndex, config: &Config) -> Ballot {
        assert_eq!(self.phase, Phase::Idle, "one slot at a time");
        if self.own.is_none() {
            self.own = self.next_batch(config);
        }
        let mut ballot = Ballot::above(self.seen, self.id, self.incarnation);
        if planted("P04") {
            ballot = Ballot::new(u64::from(self.outbid) + 1, Some(self.id), Incarnation(0));
        }
        self.seen = self.seen.max(ballot);
        self.phase = Phase::Preparing(Preparing::new(ChosenAt { slot, ballot }));
        ballot
    }

    /// A fast round: no phase 1, and a number that is below all others.
    pub(crate) fn propose_fast(&mut self, slot: LogIndex, config: &Config) -> Proposal {
        assert_eq!(self.phase, Phase::Idle, "one slot at a time");
        if self.own.is_none() {
            self.own = self.next_batch(config);
        }
        let ballot = fast_ballot(self.id, self.incarnation);
        self.saw(ballot);
        let batch = self.own().unwrap_or_default();
        self.phase = Phase::Accepting { at: ChosenAt { slot, ballot }, batch: batch.clone() };
        Proposal { ballot, batch }
    }

    /// Is nothing under way that a recovery from a collision would spoil?
    pub(crate) fn may_recover(&self) -> bool {
        match &self.phase {
            Phase::Idle | Phase::BackingOff => true,
            Phase::Accepting { at, .. } => is_fast(at.ballot),
            Phase::Preparing(_) => false,
        }
    }

    /// Phase 1 of a recovery, whose promises come unasked. The number is agreed upon.
    pub(crate) fn recover(&mut self, at: ChosenAt) {
        self.saw(at.ballot);
        self.phase = Phase::Preparing(Preparing::new(at));
    }

    /// Are there commands to propose?
    pub(crate) fn has_commands(&self) -> bool {
        self.own.is_some() || !self.queue.is_empty()
    }

    /// Merges the batches that wait into one, as far as they fit: under load a slot then carries
    /// the commands of all clients, not of one.
    fn next_batch(&mut self, config: &Config) -> Option<Batch> {
        let first = self.queue.pop_front()?;
        let (mut bytes, mut commands) = (first.bytes().len(), first.len());
        let mut merged = vec![first];
        while let Some(next) = self.queue.front() {
            bytes += next.bytes().len();
            commands += next.len();
            if bytes > config.max_merged_bytes || commands > MAX_COMMANDS {
                if planted("P40") {
                    self.queue.pop_front();
                }
                break;
            }
            merged.extend(self.queue.pop_front());
        }
        if merged.len() == 1 {
            return merged.pop();
        }
        let all: Vec<_> = merged.iter().flat_map(Batch::commands).collect();
        Some(Batch::of(&all))
    }

    /// Counts a promise. Once a quorum has promised, gives the proposal to make.
    pub(crate) fn on_promise(
        &mut self,
        from: NodeId,
        at: ChosenAt,
        accepted: Option<Proposal>,
        config: &Config,
    ) -> Option<Proposal> {
        let Phase::Preparing(preparing) = &mut self.phase else { return None };
        let of_this_ballot = preparing.at == at || planted("P03");
        if !of_this_ballot || preparing.at.slot != at.slot {
            return None;
        }
        preparing.count(from, accepted);
        let again = self.outbid > 0 && planted("P28");
        if preparing.promised.len() < config.promises_needed() && !again {
            return None;
        }
        let (at, batch) = (preparing.at, self.value_to_propose(config));
        self.phase = Phase::Accepting { at, batch: batch.clone() };
        Some(Proposal { ballot: at.ballot, batch })
    }

    /// P2c (§2.2): the value of the highest-numbered proposal that any acceptor of the quorum has
    /// accepted, or any value if they have accepted none. "Any" is the own one, or a no-op. Of a
    /// fast round several values may be reported; `fast.rs` has the rule for them.
    fn value_to_propose(&self, config: &Config) -> Batch {
        match &self.phase {
            Phase::Preparing(Preparing { highest: Some(proposal), votes, promised, .. })
                if !(planted("E-03") || planted("P100") && proposal.batch.is_empty()) =>
            {
                if is_fast(proposal.ballot) {
                    votes.pick(*promised, self.own(), config)
                } else {
                    proposal.batch.clone()
                }
            }
            _ => self.own().unwrap_or_default(),
        }
    }

    /// A higher ballot is about. If it is in the way of what goes on, gives up (§2.2: for speed
    /// only, a proposal may be abandoned at any time) and says true: the caller sets the timer.
    #[must_use]
    pub(crate) fn on_nack(&mut self, at: ChosenAt, promised: Ballot) -> bool {
        self.saw(promised);
        let under_way = match &self.phase {
            Phase::Preparing(preparing) => preparing.at == at,
            Phase::Accepting { at: accepting, .. } => *accepting == at,
            Phase::Idle | Phase::BackingOff => false,
        };
        if under_way {
            self.phase = Phase::BackingOff;
            self.outbid = self.outbid.saturating_add(1);
        }
        under_way
    }

    /// Nobody answered in time, where refusals are not told: it may have been outbid. Abandons the
    /// proposal, to begin anew with a higher number.
    pub(crate) fn on_silence(&mut self) {
        assert!(
            matches!(self.phase, Phase::Preparing(_) | Phase::Accepting { .. }),
            "it waits for answers"
        );
        if let Phase::Accepting { at, .. } = &self.phase
            && !is_fast(at.ballot)
            && planted("P45")
        {
            self.seen = at.ballot.with_round(at.ballot.round - 1);
        }
        self.phase = Phase::Idle;
        self.outbid = self.outbid.saturating_add(1);
    }

    /// How often the back-off range is doubled.
    pub(crate) fn doublings(&self, config: &Config) -> u32 {
        self.outbid.saturating_sub(1).min(config.back_off_doublings)
    }

    /// Lets others go first, if nothing is under way.
    pub(crate) fn keep_quiet(&mut self) -> bool {
        let idle = self.phase == Phase::Idle;
        if idle {
            self.phase = Phase::BackingOff;
        }
        idle
    }

    /// The back-off is over.
    pub(crate) fn end_back_off(&mut self) {
        assert_eq!(self.phase, Phase::BackingOff, "only who keeps quiet ends that");
        self.phase = Phase::Idle;
    }

    /// A slot is decided. True if that ends what was under way.
    #[must_use]
    pub(crate) fn on_chosen(&mut self, slot: LogIndex, batch: &Batch) -> bool {
        let mut mine = self.own.as_ref() == Some(batch);
        if mine || (self.own.is_some() && planted("P39")) {
            if !planted("P38") {
                self.pending_bytes -= self.own.as_ref().map_or(0, |own| own.bytes().len());
            }
            self.own = None;
        } else if self.has_commands() && !planted("P102") {
            mine = self.drop_chosen(batch);
        }
        if mine {
            self.outbid = 0;
        }
        self.in_doubt = false;
        let ends = match &self.phase {
            Phase::Idle => false,
            Phase::BackingOff => mine,
            Phase::Preparing(Preparing { at, .. }) | Phase::Accepting { at, .. } => at.slot == slot,
        };
        if ends {
            self.phase = Phase::Idle;
        }
        ends
    }

    /// A client that tries again elsewhere leaves its command with several proposers. Sessions see
    /// to it that it is applied once; that it is also chosen only once saves rounds. True if
    /// nothing is left of what it was proposing.
    fn drop_chosen(&mut self, batch: &Batch) -> bool {
        let chosen: BTreeSet<_> = batch.iter().map(whole).collect();
        let mut dropped = 0;
        let mut keep = |pending: &mut Batch| {
            if !pending.iter().any(|command| chosen.contains(&whole(command))) {
                return true;
            }
            let left = pending.iter().filter(|command| !chosen.contains(&whole(*command)));
            let left: Vec<CommandRef<'_>> = left.collect();
            let left = Batch::framed(left.iter().copied());
            dropped += pending.bytes().len() - left.bytes().len();
            *pending = left;
            !pending.is_empty()
        };
        let done = self.own.as_mut().is_some_and(|own| !keep(own));
        self.queue.retain_mut(keep);
        self.pending_bytes -= dropped;
        if done {
            self.own = None;
        }
        done
    }

    /// Remembers the highest ballot.
    pub(crate) fn saw(&mut self, ballot: Ballot) {
        self.seen = self.seen.max(ballot);
    }

    pub(crate) fn seen(&self) -> Ballot {
        self.seen
    }

    /// Is another value than this one on its way to be accepted in this slot?
    pub(crate) fn is_proposing_otherwise(&self, slot: LogIndex, chosen: &Batch) -> bool {
        matches!(&self.phase, Phase::Accepting { at, batch } if at.slot == slot && batch != chosen)
    }

    /// What it is proposing of its own.
    pub(crate) fn own(&self) -> Option<Batch> {
        self.own.clone()
    }

    pub(crate) fn phase(&self) -> &Phase {
        &self.phase
    }

    /// What waits, for the check of `pending_bytes`.
    pub(crate) fn bytes_are_right(&self) -> bool {
        let bytes: usize = self.own.iter().chain(&self.queue).map(|b| b.bytes().len()).sum();
        bytes == self.pending_bytes
    }
}

/// What makes two commands one.
fn whole(command: CommandRef<'_>) -> (u64, u64, u64, &[u8]) {
    let request = if planted("P103") { 0 } else { command.request.0 };
    (command.client.0, command.session.0, request, command.payload)
}

impl Preparing {
    fn new(at: ChosenAt) -> Self {
        Self { at, promised: NodeSet::EMPTY, highest: None, votes: fast::Votes::default() }
    }

    fn count(&mut self, from: NodeId, accepted: Option<Proposal>) {
        if !self.promised.insert(from) && planted("P03") {
            let others = (0..NodeId::LIMIT as u8).map(NodeId);
            let absent = others.into_iter().find(|node| !self.promised.contains(*node));
            self.promised = self.promised.or(absent.into_iter().collect());
        }
        if let Some(proposal) = accepted {
            if is_fast(proposal.ballot) {
                self.votes.count(from, &proposal);
            }
            let higher = match &self.highest {
                None => true,
                Some(_) if planted("P02") => false,
                Some(highest) => proposal.ballot > highest.ballot,
            };
            if higher {
                self.highest = Some(proposal);
            }
        }
    }
}
