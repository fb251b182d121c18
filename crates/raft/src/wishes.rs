//! What comes from outside the cluster: commands, reads, and the wishes of operators. Who does not
//! lead says who does.

use crate::follower::Follower;
use crate::message::Message;
use crate::read::Asker;
use crate::replica::{Next, Raft, Role};
use crate::transfer::HandOver;
use consensus_core::mutant::planted;
use consensus_core::{Batch, Change, ChangeRefusal, Effects, NodeId, Read, ReadMode, Refusal};
use core::time::Duration;
use tracing::debug;

impl Raft {
    /// The leader, as far as this server knows, which does not lead.
    fn leader_elsewhere(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower(Follower { leader, .. }) => *leader,
            Role::PreCandidate(_) | Role::Candidate(_) | Role::Leader(_) => None,
        }
    }

    pub(crate) fn propose(&mut self, batch: Batch, effects: &mut Effects<Self>) {
        if batch.is_membership() {
            return effects.refuse(batch, Refusal::Unsupported);
        }
        match &mut self.role {
            Role::Leader(leader) => leader.on_propose(&self.server, batch, effects),
            _ => effects.refuse(batch, Refusal::NotLeader(self.leader_elsewhere())),
        }
    }

    #[cold]
    pub(crate) fn change_members(&mut self, change: &Change, effects: &mut Effects<Self>) {
        match &mut self.role {
            Role::Leader(leader) => leader.on_change(&mut self.server, change, effects),
            _ => effects.refuse_change(ChangeRefusal::NotLeader(self.leader_elsewhere())),
        }
    }

    #[inline(never)]
    pub(crate) fn read(&mut self, read: Read, now: Duration, effects: &mut Effects<Self>) {
        let offered = match read.mode {
            ReadMode::Index => true,
            ReadMode::Lease => self.server.config.lease.is_some(),
            ReadMode::Quorum => false,
        };
        if !offered {
            return effects.refuse_read(read.id, Refusal::Unsupported);
        }
        match &mut self.role {
            Role::Follower(follower) => follower.on_read(read, effects),
            Role::PreCandidate(_) | Role::Candidate(_) => {
                effects.refuse_read(read.id, Refusal::NotLeader(None));
            }
            Role::Leader(leader) => {
                let lease = read.mode == ReadMode::Lease;
                leader.on_read(&self.server, (Asker::Here(read.id), lease), now, effects);
            }
        }
    }

    /// A follower asks for an index to read at. Who does not lead must say so, or the follower's
    /// clients would wait.
    pub(crate) fn on_read_index(
        &mut self,
        asker: Asker,
        lease: bool,
        now: Duration,
        effects: &mut Effects<Self>,
    ) {
        if let Role::Leader(leader) = &mut self.role {
            leader.on_read(&self.server, (asker, lease), now, effects);
        } else if let Asker::There(to, life, ticket) = asker {
            let term = self.server.current_term;
            effects.send(to, Message::ReadReply { term, life, ticket, index: None });
        }
    }

    /// An operator's wish: an election at once, that others heed even if they hear a leader. With
    /// leases that leader would not know that it is deposed, so it is asked to hand over instead;
    /// without a leader, this server asks for votes as if its timeout had passed.
    #[cold]
    pub(crate) fn campaign(&mut self, effects: &mut Effects<Self>) {
        if matches!(self.role, Role::Leader(_)) || !self.server.may_campaign() {
            return;
        }
        let leased = self.server.config.lease.is_some() && !planted("R88");
        match self.leader_elsewhere() {
            _ if !leased => self.transition(Next::Candidate { transfer: true }, effects),
            Some(leader) => {
                effects.reached("asks the leader to hand over");
                effects.send(leader, Message::WishToLead { term: self.server.current_term });
            }
            None if self.hears_leader() && !planted("R192") => {
                effects.reached("a wish to lead waits for a promise");
            }
            None => self.transition(Next::PreCandidate, effects),
        }
    }

    /// An operator wants this leader to hand over.
    #[cold]
    pub(crate) fn hand_over(&mut self, to: NodeId, effects: &mut Effects<Self>) {
        if let Role::Leader(leader) = &mut self.role {
            leader.begin_hand_over(&self.server, HandOver { to, ask: false }, effects);
        } else if to == self.server.id {
            self.campaign(effects);
        }
    }

    /// The leader of this term wants this server to lead (thesis §3.10). Others are to heed the
    /// election although the leader lives. Only if nobody but the settings wants it does this
    /// server ask before whether it would win.
    pub(crate) fn on_timeout_now(&mut self, ask: bool, effects: &mut Effects<Self>) -> Next {
        if matches!(self.role, Role::Leader(_)) || !self.server.may_campaign() {
            debug!("told to campaign, and is no voter");
            return Next::Stay;
        }
        let asks = matches!(self.role, Role::Follower(_)) || !planted("R157");
        if !ask || !asks {
            return Next::Candidate { transfer: true };
        }
        // Who was about to replace the leader has just heard of it, and follows.
        match self.follower(effects) {
            Some((follower, server)) => follower.canvass(server, effects),
            None => Next::Stay,
        }
    }
}
