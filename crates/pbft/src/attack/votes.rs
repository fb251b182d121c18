//! Lies about votes and checkpoints (§4.2, §4.3), and words of others.

use super::Liar;
use crate::digest::Digest;
use crate::message::{Body, Message, View, Vote, VotePhase};
use consensus_core::{LogIndex, Tag};

const PHASES: [VotePhase; 3] = [VotePhase::PrePrepare, VotePhase::Prepare, VotePhase::Commit];

impl Liar<'_> {
    fn vote(&mut self) -> Option<Vote> {
        let votes = self.votes();
        self.pick(&votes)
    }

    fn prepare_or_commit(&mut self, vote: Vote) -> Body {
        if self.roll(2) == 0 { Body::Prepare(vote) } else { Body::Commit(vote) }
    }

    /// The signature is good, but for another phase.
    pub(super) fn vote_of_another_phase(&mut self) -> Option<Message> {
        let vote = self.vote()?;
        let phase = PHASES[self.roll(PHASES.len())];
        let tag = self.env.sign(&vote.statement(phase, self.env.cluster.id, self.me()));
        Some(Message { body: self.prepare_or_commit(vote), tag, repeat: false })
    }

    /// A vote that was asked for or not, for this or that, as often as it likes; of a primary, too.
    pub(super) fn vote_for_anything(&mut self) -> Option<Message> {
        let mut vote = self.vote()?;
        match self.roll(6) {
            0 => vote.digest = self.other_digest_than(vote.digest),
            1 => vote.sequence.0 = vote.sequence.0.saturating_add(1),
            2 => vote.view = View(vote.view.0.saturating_add(1 + self.roll(4) as u64)),
            3 => vote.view = self.replica.view,
            _ => {} // The other branch of what it votes for itself.
        }
        let body = self.prepare_or_commit(vote);
        self.say(body)
    }

    /// The word of another, in the own name.
    pub(super) fn parrot(&mut self) -> Option<Message> {
        let heard = self.pick(self.heard)?;
        Some(heard.message.clone())
    }

    /// A vote with a signature that is none.
    pub(super) fn unsigned(&mut self) -> Option<Message> {
        let vote = self.vote()?;
        let length = [0, 1, 63, 64, 65, 1 << 12][self.roll(6)];
        let tag = Tag(vec![7; length].into());
        Some(Message { body: self.prepare_or_commit(vote), tag, repeat: false })
    }

    pub(super) fn wrong_checkpoint(&mut self) -> Option<Message> {
        let interval = self.replica.config.checkpoint_interval;
        let next = (self.replica.executed().0 / interval + 1) * interval;
        let low = self.replica.low_mark().0;
        let numbers = [next, next, next + interval, next - interval + 1, low, 64 * interval];
        let sequence = LogIndex(numbers[self.roll(numbers.len())]);
        let histories = [self.replica.history, Digest::default(), Digest([7; 32])];
        let history = histories[self.roll(histories.len())];
        self.say(Body::Checkpoint { sequence, history })
    }
}
