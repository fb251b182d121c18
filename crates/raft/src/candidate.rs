//! Elections (§5.2), and the question before them (thesis §9.6, pre-vote).

use crate::message::{Message, Tail};
use crate::replica::{Next, Raft, Timer};
use crate::server::Server;
use consensus_core::mutant::planted;
use consensus_core::{Effects, NodeId, NodeSet};

/// A server that asks whether it could win an election, before it disturbs anybody with a new
/// term. Nothing that it says or hears is a promise.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct PreCandidate {
    /// Who would vote for it, itself included.
    pub(crate) votes: NodeSet,
    /// Who answered, be it no; itself included.
    pub(crate) answered: NodeSet,
    /// The newest tail that waits until enough have answered (see `tail.rs`).
    pub(crate) tail: Option<Box<Tail>>,
}

impl PreCandidate {
    /// Asks everybody. A server alone has won at once.
    pub(crate) fn begin(server: &Server, effects: &mut Effects<Raft>) -> (Self, Next) {
        let (term, last) = (server.current_term.next(), server.log.last());
        effects.set_timer(Timer::Election, server.config.timing.election());
        let commit = server.commit_index;
        effects.send(server.peers(), Message::PreVote { term, last, commit, offered: false });
        let mut role = Self { votes: NodeSet::EMPTY, answered: NodeSet::EMPTY, tail: None };
        let next = role.count(server, server.id);
        (role, next)
    }

    /// Somebody would vote for it.
    pub(crate) fn count(&mut self, server: &Server, from: NodeId) -> Next {
        self.votes.insert(from);
        self.answered.insert(from);
        if server.is_quorum(self.votes) { Next::Candidate { transfer: false } } else { Next::Stay }
    }
}

/// A server that asks for votes in a term that it began.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Candidate {
    /// Who voted for it; itself once that vote is on its disk.
    pub(crate) votes: NodeSet,
}

impl Candidate {
    /// Begins a new term, votes for itself, and asks everybody (Figure 2, rules for candidates).
    pub(crate) fn begin(
        server: &mut Server,
        transfer: bool,
        effects: &mut Effects<Raft>,
    ) -> (Self, Next) {
        if transfer {
            effects.reached("election by wish");
        }
        server.begin_term(effects);
        let (term, candidate, last) = (server.current_term, server.id, server.log.last());
        effects.set_timer(Timer::Election, server.config.timing.election());
        let commit = server.commit_index;
        let ask = Message::RequestVote { term, candidate, last, commit, transfer };
        effects.send(server.peers(), ask);
        let mut role = Self { votes: NodeSet::EMPTY };
        let early = planted("R03") || planted("R09") || planted("R40");
        let next = if early { role.count(server, candidate) } else { Next::Stay };
        (role, next)
    }

    /// A vote of the current term. Votes are a set: a vote that comes twice counts once.
    pub(crate) fn count(&mut self, server: &Server, from: NodeId) -> Next {
        let repeated = !self.votes.insert(from);
        if repeated && planted("R03") {
            let missing = server.peers().minus(self.votes).iter().next();
            self.votes = missing.into_iter().chain(self.votes.iter()).collect();
        }
        if server.is_quorum(self.votes) { Next::Leader } else { Next::Stay }
    }
}
