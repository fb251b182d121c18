//! What replicas say to each other. The first four are the paper's (§2.2), named as everybody has
//! named them since; `Nack` is the hint to the proposer at the end of that section; the rest tells
//! learners.

use crate::fast::{is_fast, is_recovery};
use consensus_core::mutant::planted;
use consensus_core::{Ballot, Batch, Cluster, Gate, LogIndex, MessageKind, NodeId, Traffic};
use serde::{Deserialize, Serialize};

/// A message. The sender is known from the link.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Message {
    /// Phase 1(a): asks for a promise, and for the highest-numbered proposal accepted so far.
    Prepare {
        /// The instance of Paxos.
        slot: LogIndex,
        /// The proposal number.
        ballot: Ballot,
        /// What was chosen in the slot before, so that acceptors learn it without a message of
        /// its own.
        chosen: Option<ChosenAt>,
        /// Said before, and perhaps lost; counted apart.
        repeat: bool,
    },
    /// Phase 1(b): nothing numbered lower will be accepted, and this was accepted so far.
    Promise {
        /// The instance.
        slot: LogIndex,
        /// The number that was promised.
        ballot: Ballot,
        /// The highest-numbered proposal that the acceptor accepted in this slot.
        accepted: Option<Proposal>,
    },
    /// Phase 2(a): asks to accept a proposal.
    Accept {
        /// The instance.
        slot: LogIndex,
        /// The proposal number.
        ballot: Ballot,
        /// The value.
        batch: Batch,
        /// Said before, and perhaps lost; counted apart.
        repeat: bool,
    },
    /// Phase 2(b): the proposal is accepted. Goes to the learner on the proposer's node, or to all
    /// learners.
    Accepted {
        /// The instance.
        slot: LogIndex,
        /// The proposal number.
        ballot: Ballot,
        /// Which value, in short: the proposer knows the long form.
        fingerprint: u64,
    },
    /// §2.2: a request was ignored because of a higher promise. Only saves time, so it promises
    /// nothing and needs no disk.
    Nack {
        /// The instance.
        slot: LogIndex,
        /// The number that was refused.
        ballot: Ballot,
        /// The higher one.
        promised: Ballot,
    },
    /// Everything up to this slot is chosen. Spread when there is no `Prepare` to carry it.
    Chosen(ChosenAt),
    /// Asks for chosen values from this slot on.
    LearnRequest {
        /// The first slot that the asker does not know.
        from: LogIndex,
    },
    /// Chosen values, in slots without gap.
    Learn {
        /// The values.
        decisions: Vec<Decision>,
        /// The sender knows everything up to here.
        upto: LogIndex,
    },
    /// Everything up to this slot is chosen, said at once by the distinguished learner (§2.3).
    Decided(ChosenAt),
    /// Asks to accept a proposal in the fast round ("Fast Paxos" §3.1); nobody was asked before.
    Propose {
        /// The instance.
        slot: LogIndex,
        /// The proposer's number in the fast round.
        ballot: Ballot,
        /// The value.
        batch: Batch,
        /// What was chosen in the slot before, as in a `Prepare`.
        chosen: Option<ChosenAt>,
    },
}

/// "What was accepted in this slot under this ballot is chosen."
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct ChosenAt {
    /// The instance.
    pub slot: LogIndex,
    /// The ballot under which a quorum accepted it.
    pub ballot: Ballot,
}

/// A proposal: a number and a value (§2.2).
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Proposal {
    /// The number.
    pub ballot: Ballot,
    /// The value.
    pub batch: Batch,
}

/// A chosen value.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Decision {
    /// The instance.
    pub slot: LogIndex,
    /// The ballot under which a quorum accepted it.
    pub ballot: Ballot,
    /// The value.
    pub batch: Batch,
}

impl Message {
    /// Phase 1(a).
    pub const PREPARE: MessageKind = MessageKind::new("prepare", Traffic::Command);
    /// Phase 1(b).
    pub const PROMISE: MessageKind = MessageKind::new("promise", Traffic::Command);
    /// Phase 2(a).
    pub const ACCEPT: MessageKind = MessageKind::new("accept", Traffic::Command);
    /// Phase 2(b).
    pub const ACCEPTED: MessageKind = MessageKind::new("accepted", Traffic::Command);
    /// Phase 1(a), repeated.
    pub const PREPARE_AGAIN: MessageKind = MessageKind::new("prepare-again", Traffic::Repair);
    /// Phase 2(a), repeated.
    pub const ACCEPT_AGAIN: MessageKind = MessageKind::new("accept-again", Traffic::Repair);
    /// A refusal.
    pub const NACK: MessageKind = MessageKind::new("nack", Traffic::Election);
    /// What is chosen.
    pub const CHOSEN: MessageKind = MessageKind::new("chosen", Traffic::Heartbeat);
    /// What is chosen, said at once.
    pub const DECIDED: MessageKind = MessageKind::new("decided", Traffic::Command);
    /// A learner asks.
    pub const LEARN_REQUEST: MessageKind = MessageKind::new("learn-request", Traffic::Repair);
    /// A learner is told.
    pub const LEARN: MessageKind = MessageKind::new("learn", Traffic::Repair);
    /// A proposal in the fast round.
    pub const PROPOSE: MessageKind = MessageKind::new("propose", Traffic::Command);
}

/// No slot and no round comes near this; a message that says so is broken, and counting on from it
/// would overflow.
pub(crate) const FAR: u64 = u64::MAX / 2;

impl Message {
    /// Could this be said by this node? A proposal number belongs to one proposer (§2.5), so nobody
    /// else prepares or proposes with it.
    pub(crate) fn is_plausible(&self, from: NodeId, cluster: &Cluster) -> bool {
        let slot_is_good = |slot: LogIndex| (1..=FAR).contains(&slot.0);
        let known = |ballot: &Ballot| {
            ballot.round <= FAR && ballot.node().is_some_and(|node| cluster.contains(node))
        };
        let known_at = |slot: LogIndex, ballot: &Ballot| slot_is_good(slot) && known(ballot);
        let carried =
            |chosen: &Option<ChosenAt>| chosen.iter().all(|at| known_at(at.slot, &at.ballot));
        let own =
            |slot: LogIndex, ballot: &Ballot| known_at(slot, ballot) && ballot.node() == Some(from);
        cluster.contains(from)
            && match self {
                Self::Prepare { slot, ballot, chosen, repeat: _ } => {
                    carried(chosen) && own(*slot, ballot)
                }
                Self::Propose { slot, ballot, chosen, .. } => {
                    carried(chosen) && own(*slot, ballot) && is_fast(*ballot)
                }
                Self::Promise { slot, ballot, accepted } => {
                    let reported = accepted.iter().all(|proposal| known(&proposal.ballot));
                    reported && known_at(*slot, ballot)
                }
                Self::Accept { slot, ballot, .. } => own(*slot, ballot),
                Self::Accepted { slot, ballot, .. } => known_at(*slot, ballot),
                Self::Nack { slot, ballot, promised } => known_at(*slot, ballot) && known(promised),
                Self::Chosen(at) | Self::Decided(at) => known_at(at.slot, &at.ballot),
                Self::LearnRequest { from } => slot_is_good(*from),
                Self::Learn { decisions, upto } => {
                    let known = decisions.iter().all(|d| known_at(d.slot, &d.ballot));
                    known && slot_is_good(*upto)
                }
            }
    }
}

impl consensus_core::Message for Message {
    const KINDS: &'static [MessageKind] = &[
        Self::PREPARE,
        Self::PROMISE,
        Self::ACCEPT,
        Self::ACCEPTED,
        Self::PREPARE_AGAIN,
        Self::ACCEPT_AGAIN,
        Self::NACK,
        Self::CHOSEN,
        Self::LEARN_REQUEST,
        Self::LEARN,
        Self::DECIDED,
        Self::PROPOSE,
    ];

    fn kind(&self) -> MessageKind {
        match self {
            Self::Prepare { repeat: false, .. } => Self::PREPARE,
            Self::Prepare { repeat: true, .. } => Self::PREPARE_AGAIN,
            Self::Promise { .. } => Self::PROMISE,
            Self::Accept { repeat: false, .. } => Self::ACCEPT,
            Self::Accept { repeat: true, .. } => Self::ACCEPT_AGAIN,
            Self::Accepted { .. } => Self::ACCEPTED,
            Self::Nack { .. } => Self::NACK,
            Self::Chosen(_) => Self::CHOSEN,
            Self::LearnRequest { .. } => Self::LEARN_REQUEST,
            Self::Learn { .. } => Self::LEARN,
            Self::Decided(_) => Self::DECIDED,
            Self::Propose { .. } => Self::PROPOSE,
        }
    }

    /// §2.5: an acceptor's promise and its acceptance are what must survive a crash, so they wait
    /// for the disk. A proposer's requests need not: its ballots are its own for ever. But a
    /// recovery's ballot is of all its lives (see `fast.rs`).
    fn gate(&self) -> Gate {
        match self {
            Self::Promise { .. } if planted("P01") => Gate::Free,
            Self::Accepted { .. } if planted("P22") => Gate::Free,
            Self::Promise { .. } | Self::Accepted { .. } => Gate::AfterSync,
            Self::Accept { ballot, .. } if is_recovery(*ballot) && !planted("P80") => {
                Gate::AfterSync
            }
            Self::Prepare { .. }
            | Self::Accept { .. }
            | Self::Nack { .. }
            | Self::Chosen(_)
            | Self::LearnRequest { .. }
            | Self::Learn { .. }
            | Self::Decided(_)
            | Self::Propose { .. } => Gate::Free,
        }
    }
}
