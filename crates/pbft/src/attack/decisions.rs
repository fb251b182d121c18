//! Lies about what was decided, and questions that cost the other something.

use super::Liar;
use crate::certificates::{CommitCertificate, strong};
use crate::digest::Digest;
use crate::message::{Body, Decided, Message, View, Vote, VotePhase};
use consensus_core::{Batch, LogIndex};

/// Decisions in one answer that nobody asked for.
const SHOWN: usize = 16;

impl Liar<'_> {
    /// An answer to somebody who lacks something, or thinks so now.
    pub(super) fn fetched(&mut self) -> Option<Message> {
        let asked = self.heard.iter().filter_map(|envelope| match envelope.message.body {
            Body::Fetch { from, .. } => Some(from),
            _ => None,
        });
        let mut starts: Vec<LogIndex> = asked.collect();
        let executed = self.replica.executed();
        starts.extend([executed, executed.next(), executed.next()]);
        let start = self.pick(&starts)?.max(LogIndex(1));
        let known = usize::try_from(start.0 - 1).ok().and_then(|at| self.replica.decided.get(at..));
        let known = known.unwrap_or_default().iter().take(SHOWN);
        let mut decided: Vec<Decided> = known.map(|decided| Decided::clone(decided)).collect();
        if decided.is_empty() || self.roll(2) == 0 {
            // Instead of a decision, something that is not decided yet, or never.
            decided = vec![self.undecided(start)?];
        } else {
            let place = self.roll(decided.len());
            self.twist_decided(&mut decided[place]);
        }
        // A checkpoint that is stable, or further on under the same signatures.
        let mut stable = self.replica.stable.clone().filter(|_| self.roll(2) == 0);
        if let Some(stable) = stable.as_mut().filter(|_| self.roll(2) == 0) {
            stable.sequence = LogIndex(stable.sequence.0.saturating_add(2));
        }
        self.say(Body::Fetched { decided, stable })
    }

    /// What prepares here is shown as decided; or anything.
    fn undecided(&mut self, sequence: LogIndex) -> Option<Decided> {
        let votes = self.votes();
        let on: Vec<Vote> = votes.into_iter().filter(|it| it.sequence == sequence).collect();
        let view = self.replica.view;
        let digest = Digest::of_null(self.env.cluster.id);
        let vote = self.pick(&on).filter(|_| self.roll(4) != 0);
        let vote = vote.unwrap_or(Vote { view, sequence, digest });
        let batch = self.requests_of(vote.digest)?;
        let all = [VotePhase::Commit, VotePhase::Prepare, VotePhase::PrePrepare];
        let some = self.roll(3);
        let mut commits = self.collected(vote, &all[..=some]);
        let own = self.endorse(&vote, VotePhase::Commit);
        commits.retain(|commit| commit.by != own.by);
        commits.push(own.clone());
        if self.roll(3) == 0 {
            self.spoil(&mut commits, own, strong(self.env.cluster.size));
        }
        Some(Decided { certificate: CommitCertificate { vote, commits }, batch })
    }

    fn twist_decided(&mut self, one: &mut Decided) {
        let needed = strong(self.env.cluster.size);
        let vote = &mut one.certificate.vote;
        let batches = self.batches();
        match self.roll(6) {
            0 => vote.view = self.relabelled(vote.view, View(u64::MAX)),
            1 => vote.view = View(vote.view.0.wrapping_sub(1)),
            2 => {
                one.batch = Batch::noop();
                vote.digest = Digest::of_null(self.env.cluster.id);
            }
            3 => {
                one.batch = self.pick(&batches).cloned().unwrap_or_default();
                vote.digest = self.digest_of(&one.batch);
            }
            4 => one.batch = self.pick(&batches).cloned().unwrap_or_default(),
            _ => {
                let own = self.endorse(&one.certificate.vote, VotePhase::Commit);
                self.spoil(&mut one.certificate.commits, own, needed);
            }
        }
    }

    /// A question that costs the other an answer.
    pub(super) fn fetch(&mut self) -> Option<Message> {
        let views = [View(0), self.replica.view, View(u64::MAX)];
        let view = views[self.roll(views.len())];
        let from = match self.roll(3) {
            0 => self.strange_number(),
            _ => self.replica.executed(),
        };
        let stable = [LogIndex::ZERO, self.replica.low_mark(), LogIndex(u64::MAX)];
        let stable = stable[self.roll(stable.len())];
        self.say(Body::Fetch { view, from, stable })
    }
}
