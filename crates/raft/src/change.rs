//! Changes of members (§6, thesis chapter 4), at the leader.
//!
//! One server at a time where that is enough, since any majority of the old voters then meets any
//! majority of the new ones (thesis §4.1); otherwise through a joint configuration, whose second
//! half the leader adds by itself, or the next leader that finds it in its log (§6).
//!
//! A server that shall vote and lags must not stall the cluster (thesis §4.2.1). It is first made
//! a learner, if it is none, and gets its vote once it has caught up: once a round of catching up
//! took less than an election timeout. If it falls silent for ten of them it stays a learner, and
//! the operator is told the members as they are.

use crate::entry::Entry;
use crate::leader::Leader;
use crate::message::Message;
use crate::progress::Progress;
use crate::replica::{Next, Raft};
use crate::server::Server;
use consensus_core::mutant::planted;
use consensus_core::{Change, ChangeRefusal, Effects, LogIndex, Membership, NodeSet};

/// Checks of the quorum for which a server that is to vote may be silent.
const PATIENCE: u8 = 10;

/// A change that waits for servers to catch up before they vote.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Promotion {
    /// The members that are wished for.
    wish: Membership,
    /// This round ends when they have everything up to here: what the log held as it began.
    target: LogIndex,
    /// Checks of the quorum since the round began. More than one is an election timeout at least.
    ticks: u8,
    /// Checks since one of them was heard.
    silent: u8,
}

impl Leader {
    /// An operator wants other members.
    pub(crate) fn on_change(
        &mut self,
        server: &mut Server,
        change: &Change,
        effects: &mut Effects<Raft>,
    ) {
        match self.wished(server, change) {
            Ok(wish) => self.begin_change(server, wish, effects),
            Err(why) => {
                effects.reached(match why {
                    ChangeRefusal::TooEarly => "change refused: nothing committed in this term",
                    ChangeRefusal::UnderWay => "change refused: another is under way",
                    _ => "change refused",
                });
                effects.refuse_change(why);
            }
        }
    }

    /// The members that the change asks for, if it may be begun now.
    fn wished(&self, server: &Server, change: &Change) -> Result<Membership, ChangeRefusal> {
        let current = server.current();
        let uncommitted = current.version > server.commit_index && !planted("R80");
        let under_way = self.hand_over.is_some() || uncommitted;
        let wish = change.apply_to(current)?;
        if under_way {
            return Err(ChangeRefusal::UnderWay);
        }
        // Otherwise two leaders, neither of which knows of the other's change, could each commit
        // one with a quorum of its own (Ongaro 2015).
        if !server.has_committed_in_term() && !planted("R10") {
            return Err(ChangeRefusal::TooEarly);
        }
        Ok(wish)
    }

    fn begin_change(&mut self, server: &mut Server, wish: Membership, effects: &mut Effects<Raft>) {
        self.promotion = None;
        let current = server.current();
        let commit = server.commit_index;
        let lags = |id| self.progress.get(id).is_none_or(|peer| peer.matched() < commit);
        let behind: NodeSet =
            wish.voters.minus(current.voters).iter().filter(|id| lags(*id)).collect();
        if behind.is_empty() || planted("R81") {
            return self.change_voters(server, wish, effects);
        }
        effects.reached("a server must catch up before it votes");
        let mut contacts = current.contacts.clone();
        contacts.extend(wish.contacts.clone());
        let learners = current.learners.or(behind);
        let stage = Membership { learners, contacts, ..current.clone() };
        let target = server.log.last().index;
        self.promotion = Some(Promotion { wish, target, ticks: 0, silent: 0 });
        if stage != *current {
            self.append_members(server, stage, effects);
        }
    }

    /// Appends the members that are wished for, or the joint ones before them.
    fn change_voters(
        &mut self,
        server: &mut Server,
        wish: Membership,
        effects: &mut Effects<Raft>,
    ) {
        let current = server.current();
        let moved = wish.voters.minus(current.voters).or(current.voters.minus(wish.voters));
        let one = moved.len() <= if planted("R76") { 2 } else { 1 };
        if one {
            return self.append_members(server, wish, effects);
        }
        effects.reached("joint change begun");
        let mut contacts = current.contacts.clone();
        contacts.extend(wish.contacts.clone());
        let joint = Membership { outgoing: current.voters, contacts, ..wish };
        self.append_members(server, joint, effects);
    }

    /// Appends an entry that says who the members are. They are in force at once (§6).
    fn append_members(
        &mut self,
        server: &mut Server,
        members: Membership,
        effects: &mut Effects<Raft>,
    ) {
        let entry = Entry { term: server.current_term, batch: members.to_batch() };
        self.append(server, entry, effects);
        if !planted("R14d") {
            self.lease.start_over();
        }
        let (peers, last) = (server.peers(), server.log.last().index);
        self.progress.retain(peers);
        for peer in peers.iter() {
            self.progress.add(peer, || Progress::new(last.previous()));
        }
    }

    /// What follows once the members in force are committed: the second half of a joint change, a
    /// leader's own farewell, a promotion.
    pub(crate) fn settle(&mut self, server: &mut Server, effects: &mut Effects<Raft>) -> Next {
        let current = server.current();
        let nothing = !current.is_joint() && server.is_voter() && self.promotion.is_none();
        if nothing {
            return Next::Stay;
        }
        let unknown = current.version > server.commit_index || !server.has_committed_in_term();
        if unknown && !planted("R82") {
            return Next::Stay;
        }
        // An heir that was told to campaign has the whole log; an entry more, and it would lose.
        if self.hand_over.is_some() && server.is_voter() && !planted("R133") {
            return Next::Stay;
        }
        if current.is_joint() && !planted("R83") {
            effects.reached("joint change completed");
            let members = after_joint(current);
            self.append_members(server, members, effects);
        } else if !server.is_voter() && !planted("R84") {
            return self.say_farewell(server, effects);
        } else if self.promotion.is_some() {
            self.promote(server, effects);
        }
        Next::Stay
    }

    /// A leader that is no longer a voter, and has committed that, leaves office (§6), and asks the
    /// voter that has most of its log to go on.
    fn say_farewell(&mut self, server: &Server, effects: &mut Effects<Raft>) -> Next {
        effects.reached("removed leader steps down");
        let voters = server.current().voters.iter();
        let matched = |id| self.progress.get(id).map(|peer| (peer.matched(), id));
        if let Some((_, heir)) = voters.filter_map(matched).max() {
            effects.send(heir, Message::TimeoutNow { term: server.current_term, ask: false });
        }
        Next::Follower
    }

    /// Have the servers that are to vote caught up? Rounds as in thesis §4.2.1.
    fn promote(&mut self, server: &mut Server, effects: &mut Effects<Raft>) {
        let Some(promotion) = &mut self.promotion else { return };
        let fresh = promotion.wish.voters.minus(server.current().voters);
        let target = promotion.target;
        let has_it = |id| self.progress.get(id).is_some_and(|peer| peer.matched() >= target);
        if !fresh.iter().all(has_it) {
            return;
        }
        if promotion.ticks > 1 {
            effects.reached("another round of catching up");
            (promotion.target, promotion.ticks) = (server.log.last().index, 0);
            return;
        }
        let mut wish = promotion.wish.clone();
        if planted("R134") {
            wish.voters = wish.voters.or(server.current().voters);
            wish.learners = wish.learners.minus(wish.voters);
        }
        self.promotion = None;
        effects.reached("caught up and promoted");
        self.change_voters(server, wish, effects);
    }

    /// An election timeout has passed.
    pub(crate) fn check_promotion(&mut self, server: &Server, effects: &mut Effects<Raft>) {
        let Some(promotion) = &mut self.promotion else { return };
        let fresh = promotion.wish.voters.minus(server.current().voters);
        promotion.ticks = promotion.ticks.saturating_add(1);
        promotion.silent = match fresh.minus(self.heard).is_empty() {
            true => 0,
            false => promotion.silent + 1,
        };
        if promotion.silent >= PATIENCE {
            self.promotion = None;
            server.tell_members(effects);
        }
    }
}

/// The members after a joint change: the outgoing voters are gone.
fn after_joint(joint: &Membership) -> Membership {
    let mut members = Membership { outgoing: NodeSet::EMPTY, ..joint.clone() };
    if planted("R131") {
        members.learners = members.learners.or(joint.outgoing.minus(joint.voters));
    }
    let rest = members.members();
    members.contacts.retain(|node, _| rest.contains(*node));
    members
}
