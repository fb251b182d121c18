//! Votes and pre-votes: who gives them, and who counts them (§5.2, §5.4.1, thesis §9.6).

use crate::entry::{EntryId, Term};
use crate::message::Message;
use crate::replica::{Next, Raft, Role};
use consensus_core::mutant::planted;
use consensus_core::{Effects, LogIndex, NodeId};
use tracing::debug;

impl Raft {
    /// Would this server vote so? It says yes only if it has itself lost its leader (thesis §9.6).
    pub(crate) fn on_pre_vote(
        &self,
        from: NodeId,
        (term, offered): (Term, bool),
        (last, commit): (EntryId, LogIndex),
        effects: &mut Effects<Self>,
    ) {
        let heeded = offered && term == self.server.current_term.next();
        if term <= self.server.current_term && planted("E-31b") {
            debug!(?from, "of an older term: ignored");
        } else if term <= self.server.current_term {
            effects.send(from, Message::StaleTerm { term: self.server.current_term });
        } else if heeded || !self.hears_leader() {
            let granted = self.server.is_up_to_date(last);
            if !granted {
                effects.reached("pre-vote refused: the log is behind");
            }
            effects.send(from, Message::PreVoteReply { term, granted });
            if !offered {
                self.server.bring_up_to_date(from, (last, commit), effects);
            }
        } else {
            effects.reached("pre-vote ignored: the leader lives");
        }
    }

    pub(crate) fn on_pre_vote_reply(
        &mut self,
        from: NodeId,
        term: Term,
        granted: bool,
        effects: &mut Effects<Self>,
    ) {
        let current = term == self.server.current_term.next();
        if let Role::PreCandidate(role) = &mut self.role
            && current
        {
            if granted {
                let next = role.count(&self.server, from);
                self.transition(next, effects);
            } else {
                role.answered.insert(from);
            }
            self.take_up(effects);
        } else if let Role::Follower(follower) = &mut self.role
            && current
            && granted
        {
            let next = follower.count(&self.server, from, effects);
            self.transition(next, effects);
        } else if planted("R04") && term == self.server.current_term {
            let next = self.on_vote(from, self.server.id, granted);
            self.transition(next, effects);
        }
    }

    /// RequestVote of the current term (Figure 2, receiver, step 2). Only a vote that is given
    /// starts the election timeout anew.
    pub(crate) fn on_request_vote(
        &mut self,
        from: NodeId,
        (last, commit, transfer): (EntryId, LogIndex, bool),
        effects: &mut Effects<Self>,
    ) -> Next {
        let server = &mut self.server;
        let wished = transfer && planted("R52") && server.may_vote_for(from, server.log.last());
        if !server.may_vote_for(from, last) && !wished {
            let term = server.current_term;
            let behind = !server.is_up_to_date(last);
            effects.reached(if behind {
                "vote refused: the log is behind"
            } else {
                "vote refused: given to another"
            });
            effects.send(from, Message::Vote { term, candidate: from, granted: false });
            server.bring_up_to_date(from, (last, commit), effects);
            if planted("E-31a")
                && let Role::Follower(follower) = &mut self.role
            {
                follower.wait(&self.server, effects);
            }
            return Next::Stay;
        }
        server.vote_for(from, effects);
        if !matches!(self.role, Role::Follower(_)) {
            self.become_follower(effects);
        }
        if let Role::Follower(follower) = &mut self.role {
            follower.wait(&self.server, effects);
        }
        Next::Stay
    }

    pub(crate) fn on_vote(&mut self, from: NodeId, candidate: NodeId, granted: bool) -> Next {
        match &mut self.role {
            Role::Candidate(role) if (granted || planted("R62")) && candidate == self.server.id => {
                role.count(&self.server, from)
            }
            _ => Next::Stay,
        }
    }
}
