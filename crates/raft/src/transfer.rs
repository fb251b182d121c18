//! Handing over the leadership (thesis §3.10), by an operator's wish or to a server of a higher
//! priority.

use crate::leader::Leader;
use crate::message::Message;
use crate::progress::Progress;
use crate::replica::{Raft, Timer};
use crate::server::Server;
use consensus_core::mutant::planted;
use consensus_core::{Delay, Effects, NodeId};
use tracing::debug;

/// Checks of the quorum before a server of a higher priority, which did not take over when it was
/// asked, is asked again. Each time it does not, that doubles: while it is asked the leader takes
/// no commands, and it may be one that others do not reach for as long as the leader is in office.
const PAUSE: u16 = 10;

/// It doubles so often at most, so that a server that is reached again leads after some minutes.
const DOUBLINGS: u8 = 7;

/// A hand-over under way. Meanwhile the leader takes no commands and changes no members, so that
/// its heir can catch up; if nothing comes of it within an election timeout, it goes on as before.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct HandOver {
    pub(crate) to: NodeId,
    /// The settings want it, and no operator: the heir asks first whether a majority would follow.
    /// It may be one that reaches this leader only; told to campaign, it would depose a leader that
    /// works, lose, and be told again by the next.
    pub(crate) ask: bool,
}

impl Leader {
    /// An operator, or the settings, want another server to lead.
    pub(crate) fn begin_hand_over(
        &mut self,
        server: &Server,
        heir: HandOver,
        effects: &mut Effects<Raft>,
    ) {
        let to = heir.to;
        let votes = server.current().is_voter(to) && self.progress.get(to).is_some();
        if !votes {
            effects.reached("hand-over refused: not another voter");
            debug!(?to, "is not another voter and cannot lead");
            return;
        }
        self.hand_over = Some(heir);
        // Whom it tells to campaign others will heed although they hear this leader, from now on
        // and however late the message comes.
        self.lease.end();
        effects.set_timer(Timer::HandOver, Delay::fixed(server.config.timing.election_max));
        self.urge(server, to, effects);
    }

    /// This server has made progress or shown that it lives. If it is to lead and has the whole
    /// log, its time has come.
    pub(crate) fn urge(&self, server: &Server, from: NodeId, effects: &mut Effects<Raft>) {
        let Some(HandOver { ask, .. }) = self.hand_over.filter(|heir| heir.to == from) else {
            return;
        };
        let last = server.log.last().index;
        let has_all = self.progress.get(from).is_some_and(|peer| peer.matched() == last);
        let has_all = has_all || planted("R75");
        if has_all {
            effects.reached("told to campaign");
            let ask = ask && !planted("R144");
            effects.send(from, Message::TimeoutNow { term: server.current_term, ask });
        }
    }

    /// Nothing came of it.
    pub(crate) fn give_up_hand_over(&mut self, effects: &mut Effects<Raft>) {
        effects.reached("hand-over came to nothing");
        let wished = self.hand_over.take().is_some_and(|heir| !heir.ask);
        self.pause = PAUSE << self.failures;
        // What an operator wanted says nothing of what the settings want.
        if !wished && !planted("R153") {
            self.failures = DOUBLINGS.min(self.failures + 1);
        }
    }

    /// A server has answered. If it should lead rather than this one and is up to date, it shall.
    pub(crate) fn give_way(&mut self, server: &Server, to: NodeId, effects: &mut Effects<Raft>) {
        let busy = self.hand_over.is_some() || self.promotion.is_some() || self.pause > 0;
        let Some(peer) = self.progress.get(to).filter(|_| !busy) else { return };
        let priority = peer.priority();
        let higher = priority > server.priority() && priority == self.highest_priority(server);
        let current = server.has_committed_in_term() && peer.matched() >= server.commit_index;
        if higher && current && server.current().is_voter(to) {
            effects.reached("a server of a higher priority takes over");
            self.begin_hand_over(server, HandOver { to, ask: true }, effects);
        }
    }

    /// The highest priority of the voters that this leader hears, itself not among them: one of
    /// them will follow it.
    pub(crate) fn highest_priority(&self, server: &Server) -> u8 {
        let voters = self.progress.iter().filter(|(id, _)| server.current().is_voter(*id));
        voters.map(|(_, peer): (_, &Progress)| peer.priority()).max().unwrap_or_default()
    }
}
