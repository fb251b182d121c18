//! What a traitor can make up, for the simulator (§2: a faulty replica does anything, but cannot
//! sign for another). Some lies are let in and must do no harm; the others `verify` must keep out.
//!
//! | trick | what it attacks |
//! |---|---|
//! | `Liar::made_up_request`, `altered_relay` | §4.1: requests are signed by their clients |
//! | `Liar::same_request_twice` | §4.1: a request is executed once |
//! | `Liar::other_requests` | §4.2: one pre-prepare a view and number |
//! | `Liar::other_digest` | §4.2: `d` is the digest of `m` |
//! | `Liar::outside_the_marks` | §4.2: `h < n ≤ H`, in pre-prepares and votes |
//! | `Liar::other_view` | §4.2: "it is in view v"; the view is signed |
//! | `Liar::usurp` | §4.2: pre-prepares are the primary's |
//! | `Liar::nothing`, `starve` | §4.4: the timer runs for a request, whatever else is executed |
//! | `Liar::vote_of_another_phase` | §4.2: the phase is signed |
//! | `Liar::vote_for_anything` | §4.2: "matching"; a replica's first word counts |
//! | `Liar::parrot`, `unsigned` | §4.2: messages are signed by who says them |
//! | `Liar::wrong_checkpoint` | §4.3: "with the same digest", of a quorum |
//! | `Liar::view_change` with a [`proofs`] twist | §4.4: `C` and `P` prove what they say |
//! | `Liar::new_view` with a twist | §4.4: `O` follows from `V`; `V` is of a quorum, and signed |
//! | `Liar::fetched` with a twist | a decision is shown by a quorum's commits for just that |
//! | `Liar::fetch` | nobody pays much for an answer, and no number breaks it |

mod decisions;
mod orders;
mod proofs;
mod votes;

use crate::digest::Digest;
use crate::message::{Body, Message, View, Vote};
use crate::replica::Pbft;
use consensus_core::{Batch, Env, Envelope, LogIndex, NodeId};

/// One lie: `None` if the traitor knows too little for it.
type Trick<'a> = fn(&mut Liar<'a>) -> Option<Message>;

/// Makes up a lie; see [`consensus_core::Audit::forge`].
pub(crate) fn forge(
    replica: &Pbft,
    intended: Option<&Message>,
    heard: &[&Envelope<Message>],
    trick: u64,
    env: &Env<'_>,
) -> Option<Message> {
    let mut liar = Liar { replica, intended, heard, env, dice: trick };
    if liar.roll(8) == 0 {
        return liar.starve();
    }
    let tricks = liar.tricks();
    let trick = liar.pick(&tricks)?;
    trick(&mut liar)
}

/// A traitor's mind: what it knows, and chance.
struct Liar<'a> {
    replica: &'a Pbft,
    intended: Option<&'a Message>,
    heard: &'a [&'a Envelope<Message>],
    env: &'a Env<'a>,
    dice: u64,
}

impl<'a> Liar<'a> {
    const ORDERS: [Trick<'a>; 8] = [
        Self::made_up_request,
        Self::same_request_twice,
        Self::other_requests,
        Self::other_digest,
        Self::outside_the_marks,
        Self::other_view,
        Self::usurp,
        Self::nothing,
    ];

    const VOTES: [Trick<'a>; 6] = [
        Self::vote_of_another_phase,
        Self::vote_for_anything,
        Self::vote_for_anything,
        Self::parrot,
        Self::unsigned,
        Self::wrong_checkpoint,
    ];

    const PROOFS: [Trick<'a>; 7] = [
        Self::view_change,
        Self::view_change,
        Self::new_view,
        Self::fetched,
        Self::fetched,
        Self::fetch,
        Self::altered_relay,
    ];

    /// Half of the lies are of the kind of what it was about to say, and come at its time.
    fn tricks(&mut self) -> Vec<Trick<'a>> {
        let about = self.intended.filter(|_| self.roll(2) == 0).map(|message| &message.body);
        match about {
            Some(Body::PrePrepare { .. } | Body::Request { .. }) => Self::ORDERS.to_vec(),
            Some(Body::Prepare(_)) => Self::VOTES.to_vec(),
            Some(Body::Commit(_)) if self.roll(2) == 0 => Self::VOTES.to_vec(),
            Some(Body::Commit(_) | Body::Fetch { .. } | Body::Fetched { .. }) => {
                vec![Self::fetched]
            }
            Some(Body::Checkpoint { .. }) => vec![Self::wrong_checkpoint],
            Some(Body::ViewChange(_)) => vec![Self::view_change],
            Some(Body::NewView(_)) => vec![Self::new_view],
            None => match self.roll(3) {
                0 => Self::ORDERS.to_vec(),
                1 => Self::VOTES.to_vec(),
                _ => Self::PROOFS.to_vec(),
            },
        }
    }

    /// A number below `sides`: the upper half of Knuth's linear congruential generator.
    fn roll(&mut self, sides: usize) -> usize {
        self.dice = self.dice.wrapping_mul(6_364_136_223_846_793_005);
        self.dice = self.dice.wrapping_add(1_442_695_040_888_963_407);
        (self.dice >> 33) as usize % sides
    }

    fn pick<T: Clone>(&mut self, from: &[T]) -> Option<T> {
        if from.is_empty() { None } else { Some(from[self.roll(from.len())].clone()) }
    }

    fn me(&self) -> NodeId {
        self.replica.id
    }

    fn say(&self, body: Body) -> Option<Message> {
        Some(Message::signed(body, self.me(), self.env))
    }

    fn digest_of(&self, batch: &Batch) -> Digest {
        Digest::of(self.env.cluster.id, batch)
    }

    /// A view of which it is the primary: the current one, or one near it.
    fn own_view(&mut self) -> View {
        let (nodes, view) = (self.env.cluster.size as u64, self.replica.view.0);
        let ahead = (u64::from(self.me().0) + nodes - view % nodes) % nodes;
        View(view.saturating_add(ahead + [0, 0, 0, nodes][self.roll(4)]))
    }

    /// All requests that it has heard of, with empty batches left out.
    fn batches(&self) -> Vec<&'a Batch> {
        let proposed = self.heard.iter().filter_map(|envelope| match &envelope.message.body {
            Body::PrePrepare { batch, .. } | Body::Request { batch } => Some(batch),
            _ => None,
        });
        let open = self.replica.slots.values().filter_map(|slot| slot.proposal.as_ref());
        let open = open.map(|proposal| &proposal.batch);
        let decided = self.replica.decided.iter().rev().take(8).map(|decided| &decided.batch);
        proposed.chain(open).chain(decided).filter(|batch| !batch.is_empty()).collect()
    }

    /// Votes that are in the air.
    fn votes(&self) -> Vec<Vote> {
        let heard = self.heard.iter().filter_map(|envelope| match &envelope.message.body {
            Body::PrePrepare { vote, .. } | Body::Prepare(vote) | Body::Commit(vote) => Some(*vote),
            _ => None,
        });
        let open = self.replica.slots.values().filter_map(|slot| slot.proposal.as_ref());
        heard.chain(open.map(|proposal| proposal.vote)).collect()
    }

    /// A number that is being decided, or is next.
    fn number(&mut self) -> LogIndex {
        let executed = self.replica.executed().0;
        let open: Vec<LogIndex> = self.replica.slots.keys().copied().collect();
        match self.roll(5) {
            0 => LogIndex(executed + 1 + self.roll(3) as u64),
            1 => self.pick(&open).unwrap_or(LogIndex(executed + 1)),
            2 => self.replica.next.max(LogIndex(executed + 1)),
            _ => self.free_number(),
        }
    }

    /// The number after all that it knows to be taken.
    fn free_number(&self) -> LogIndex {
        let here = self.votes().into_iter().filter(|vote| vote.view == self.replica.view);
        let numbers = here.map(|vote| vote.sequence);
        let last = numbers.filter(|number| *number <= self.replica.high_mark()).max();
        last.unwrap_or_default().max(self.replica.executed()).next()
    }

    /// A number that no honest replica takes now.
    fn strange_number(&mut self) -> LogIndex {
        let (low, high) = (self.replica.low_mark().0, self.replica.high_mark().0);
        let strange = [0, 1, low, high + 1, high + 7, 2 * high, 1 << 40, 1 << 62, u64::MAX];
        LogIndex(strange[self.roll(strange.len())])
    }

    /// A digest that is not this one.
    fn other_digest_than(&mut self, digest: Digest) -> Digest {
        let mut others: Vec<Digest> = self.votes().iter().map(|vote| vote.digest).collect();
        others.extend([Digest::of_null(self.env.cluster.id), Digest::default()]);
        others.retain(|other| *other != digest);
        self.pick(&others).unwrap_or_default()
    }
}
