//! How roles change (Figure 4). Each transition asserts where it comes from.

use crate::candidate::{Candidate, PreCandidate};
use crate::entry::Term;
use crate::follower::Follower;
use crate::leader::Leader;
use crate::replica::{Next, Raft, Role, Timer};
use consensus_core::mutant::planted;
use consensus_core::{Effects, Refusal};
use tracing::debug;

impl Raft {
    #[inline]
    pub(crate) fn transition(&mut self, next: Next, effects: &mut Effects<Self>) {
        if next != Next::Stay {
            self.leave_for(next, effects);
        }
    }

    #[cold]
    pub(crate) fn leave_for(&mut self, mut next: Next, effects: &mut Effects<Self>) {
        while next != Next::Stay {
            next = match next {
                Next::Stay => Next::Stay,
                Next::Follower => self.become_follower(effects),
                Next::PreCandidate => self.become_pre_candidate(effects),
                Next::Candidate { transfer } => self.become_candidate(transfer, effects),
                Next::Leader => self.become_leader(effects),
            };
        }
    }

    /// Another server has reached a later term (Figure 2, rules for all servers). Whoever was
    /// anything in the old one is a follower in the new one. The election timeout runs on.
    #[cold]
    pub(crate) fn enter_term(&mut self, term: Term, effects: &mut Effects<Self>) {
        self.server.enter_term(term, effects);
        if matches!(self.role, Role::Leader(_)) {
            effects.reached("leader learned of a later term");
        }
        match &mut self.role {
            Role::Follower(follower) => {
                follower.leave_reads(effects);
                *follower = follower.in_later_term();
            }
            Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_) => {
                self.become_follower(effects);
            }
        }
    }

    /// A leader or candidate gives up. A candidate's election timeout runs on.
    pub(crate) fn become_follower(&mut self, effects: &mut Effects<Self>) -> Next {
        assert!(!matches!(self.role, Role::Follower(_)), "a follower stays one");
        if let Role::Leader(leader) = &mut self.role {
            leader.leave_reads(&self.server, effects);
            leader.hand_back(Refusal::NotLeader(None), effects);
            effects.cancel_timer(Timer::Heartbeat);
            effects.cancel_timer(Timer::HandOver);
            effects.set_timer(Timer::Election, self.server.config.timing.election());
        }
        self.role = Role::Follower(Follower::new());
        Next::Stay
    }

    /// A follower becomes something else.
    fn leave_follower(&mut self, effects: &mut Effects<Self>) {
        if let Role::Follower(follower) = &mut self.role {
            follower.leave_reads(effects);
        }
    }

    /// A follower lost its leader, or an election was not decided.
    pub(crate) fn become_pre_candidate(&mut self, effects: &mut Effects<Self>) -> Next {
        assert!(!matches!(self.role, Role::Leader(_)), "a leader has won already");
        if planted("R15a") {
            return Next::Candidate { transfer: false };
        }
        self.leave_follower(effects);
        let (role, next) = PreCandidate::begin(&self.server, effects);
        self.role = Role::PreCandidate(role);
        next
    }

    /// A majority would vote for this server, or an operator wants it to try.
    pub(crate) fn become_candidate(&mut self, transfer: bool, effects: &mut Effects<Self>) -> Next {
        assert!(!matches!(self.role, Role::Leader(_)), "a leader has won already");
        self.leave_follower(effects);
        let before = self.server.current_term;
        let (role, next) = Candidate::begin(&mut self.server, transfer, effects);
        assert!(self.server.current_term > before, "an election begins a term");
        self.role = Role::Candidate(role);
        next
    }

    /// A majority voted for this server (§5.2).
    pub(crate) fn become_leader(&mut self, effects: &mut Effects<Self>) -> Next {
        let Role::Candidate(candidate) = &self.role else {
            unreachable!("only a candidate can win")
        };
        assert!(self.server.is_quorum(candidate.votes), "won without a majority");
        assert_eq!(self.server.voted_for, Some(self.server.id), "a leader voted for itself");
        debug!(id = ?self.server.id, term = ?self.server.current_term, "leads");
        self.role = Role::Leader(Box::new(Leader::begin(&mut self.server, effects)));
        Next::Stay
    }
}
