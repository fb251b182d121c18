//! Lies about requests and their numbers (§4.1, §4.2).

use super::Liar;
use crate::message::{Body, Message, View, Vote, VotePhase};
use consensus_core::{Batch, Command, Tag};

/// The payload of a request that nobody sent; in some lies it is long.
const LONG: usize = 1 << 14;

impl Liar<'_> {
    /// What it is about to propose, or could.
    fn proposal(&mut self) -> Option<(Vote, Batch)> {
        if let Some(Message { body: Body::PrePrepare { vote, batch }, .. }) = self.intended {
            return Some((*vote, batch.clone()));
        }
        let batches = self.batches();
        let batch = self.pick(&batches)?.clone();
        let vote =
            Vote { view: self.own_view(), sequence: self.number(), digest: self.digest_of(&batch) };
        Some((vote, batch))
    }

    fn pre_prepare(&self, vote: Vote, batch: Batch) -> Option<Message> {
        let vote = Vote { digest: self.digest_of(&batch), ..vote };
        self.say(Body::PrePrepare { vote, batch })
    }

    /// A client's request, changed: its signature is no good any more.
    fn alter(&mut self, command: &mut Command) {
        match self.roll(6) {
            0 => command.payload = vec![b'x'; self.roll(LONG)].into(),
            1 => command.request = command.request.next(),
            2 => command.client.0 ^= 1,
            3 => command.tag = Tag::none(),
            4 => command.tag = self.env.sign(&command.signed_bytes(self.env.cluster.id)),
            _ => command.payload = b"made up".to_vec().into(),
        }
    }

    fn alter_one(&mut self, batch: &Batch) -> Option<Batch> {
        let mut commands: Vec<Command> = batch.commands().collect();
        let place = self.roll(commands.len().max(1));
        let command = commands.get_mut(place)?;
        let mut altered = command.clone();
        self.alter(&mut altered);
        *command = altered;
        Some(Batch::of(&commands))
    }

    pub(super) fn made_up_request(&mut self) -> Option<Message> {
        let (vote, _) = self.proposal()?;
        let batches = self.batches();
        let batch = self.pick(&batches)?;
        let altered = self.alter_one(batch)?;
        self.pre_prepare(vote, altered)
    }

    pub(super) fn altered_relay(&mut self) -> Option<Message> {
        let batches = self.batches();
        let mut batch = self.pick(&batches)?.clone();
        if self.roll(2) == 0 {
            batch = self.alter_one(&batch)?;
        }
        Some(Message { body: Body::Request { batch }, tag: Tag::none(), repeat: false })
    }

    pub(super) fn same_request_twice(&mut self) -> Option<Message> {
        let (vote, _) = self.proposal()?;
        let batches = self.batches();
        let batch = self.pick(&batches)?;
        let twice: Vec<Command> = batch.commands().chain(batch.commands()).take(64).collect();
        let batch = if self.roll(2) == 0 { batch.clone() } else { Batch::of(&twice) };
        self.pre_prepare(vote, batch)
    }

    pub(super) fn other_requests(&mut self) -> Option<Message> {
        let (vote, _) = self.proposal()?;
        let batches = self.batches();
        let other = self.pick(&batches)?.clone();
        self.pre_prepare(vote, other)
    }

    pub(super) fn nothing(&mut self) -> Option<Message> {
        let (vote, _) = self.proposal()?;
        self.pre_prepare(vote, Batch::noop())
    }

    /// In place of what waits it orders nothing, again and again: the view works, for nobody.
    pub(super) fn starve(&mut self) -> Option<Message> {
        match self.intended {
            Some(Message { body: Body::PrePrepare { vote, .. }, .. }) => {
                self.pre_prepare(*vote, Batch::noop())
            }
            Some(_) => None,
            None => {
                let (view, sequence) = (self.replica.view, self.free_number());
                let digest = self.digest_of(&Batch::noop());
                self.pre_prepare(Vote { view, sequence, digest }, Batch::noop())
            }
        }
    }

    pub(super) fn other_digest(&mut self) -> Option<Message> {
        let (vote, batch) = self.proposal()?;
        let digest = self.other_digest_than(vote.digest);
        self.say(Body::PrePrepare { vote: Vote { digest, ..vote }, batch })
    }

    pub(super) fn outside_the_marks(&mut self) -> Option<Message> {
        let (vote, batch) = self.proposal()?;
        let vote = Vote { sequence: self.strange_number(), ..vote };
        match self.roll(3) {
            0 => self.say(Body::Prepare(Vote { view: self.replica.view, ..vote })),
            1 => self.say(Body::Commit(Vote { view: self.replica.view, ..vote })),
            _ => self.pre_prepare(vote, batch),
        }
    }

    pub(super) fn other_view(&mut self) -> Option<Message> {
        let (vote, batch) = self.proposal()?;
        let nodes = self.env.cluster.size as u64;
        let mine = self.own_view().0;
        let [near, far] = [1, 1000].map(|rounds| mine.saturating_add(rounds * nodes));
        let views = [mine.saturating_sub(nodes), near, far, u64::MAX];
        let other = Vote { view: View(views[self.roll(views.len())]), ..vote };
        let signed = if self.roll(2) == 0 { vote } else { other }; // An old word, relabelled.
        let bytes = signed.statement(VotePhase::PrePrepare, self.env.cluster.id, self.me());
        let (body, tag) = (Body::PrePrepare { vote: other, batch }, self.env.sign(&bytes));
        Some(Message { body, tag, repeat: false })
    }

    pub(super) fn usurp(&mut self) -> Option<Message> {
        let (vote, batch) = self.proposal()?;
        let view = View(self.replica.view.0.saturating_add(self.roll(2) as u64));
        self.pre_prepare(Vote { view, ..vote }, batch)
    }
}
