//! What the oracles may know of PBFT.

use crate::lies;
use crate::message::{Body, Message, View, Vote};
use crate::record::Record;
use crate::replica::Pbft;
use consensus_core::{Audit, Batch, Certificate, Claim, Env, Ledger, LogIndex, Topic};

fn topic(name: &'static str, vote: &Vote) -> Topic {
    Topic::new(name, vote.view.0, vote.sequence.0)
}

fn once(name: &'static str, vote: &Vote) -> Claim {
    Claim::Once(topic(name, vote), vote.digest.short())
}

fn rising(view: View) -> Claim {
    Claim::Rising(Topic::new("view", 0u64, 0), u128::from(view.0))
}

impl Audit for Pbft {
    const LOG_MATCHING: bool = false;

    const MARKS: &'static [&'static str] = &[
        "carried number was executed before",
        "certificates of two views for one number",
        "checkpoint stable",
        "checkpoint stable beyond what was executed here",
        "commit counted while the view changes",
        "commits came before the prepares",
        "decided behind a gap",
        "decided requests in several pages",
        "decided requests shown to who lacks them",
        "joined f + 1 others",
        "new view begins beyond what was executed here",
        "new-view shown to who missed it",
        "null request fills a gap",
        "number executed from another's proof",
        "own vote durable too late",
        "pre-prepare out of view or window",
        "prepared number carried",
        "primary waits at the high water mark",
        "request relayed again",
        "restart in the midst of a view change",
        "restarted primary asks for the next view",
        "second pre-prepare",
        "stable checkpoint learned from a new-view",
        "third view without progress",
        "too many requests wait",
        "view given up",
        "view-change for a view that works or is over",
        "view-change said again",
        "voted before the restart",
        "votes said again",
    ];

    fn claims(message: &Message) -> Vec<Claim> {
        match &message.body {
            Body::PrePrepare { vote, .. } => vec![once("pre-prepare", vote)],
            Body::Prepare(vote) => vec![once("prepare", vote), rising(vote.view)],
            Body::Commit(vote) => vec![once("commit", vote), rising(vote.view)],
            Body::ViewChange(view_change) => vec![rising(view_change.view)],
            Body::NewView(new_view) => {
                let numbers = new_view.base.0 + 1..;
                let carried = new_view.carried.iter().zip(numbers).map(|(carried, number)| {
                    let (view, sequence) = (new_view.view, LogIndex(number));
                    once("pre-prepare", &Vote { view, sequence, digest: carried.digest })
                });
                carried.collect()
            }
            Body::Checkpoint { sequence, history } => {
                vec![Claim::Once(Topic::new("checkpoint", 0u64, sequence.0), history.short())]
            }
            Body::Request { .. } | Body::Fetch { .. } | Body::Fetched { .. } => Vec::new(),
        }
    }

    /// A commit promises that the number prepared: its certificate must be on a quorum's disks.
    fn absorb(record: &Record, disk: &mut Ledger) {
        if let Record::Prepared(certificate) = record {
            let Vote { view, sequence, .. } = certificate.vote;
            disk.hold(sequence, u128::from(view.0), certificate.batch.fingerprint());
        }
    }

    /// A new primary need not have executed everything: it carries what may be decided.
    fn leads(&self) -> Option<u64> {
        None
    }

    fn entry(&self, index: LogIndex) -> Option<&Batch> {
        let place = usize::try_from(index.0.checked_sub(1)?).ok()?;
        self.decided.get(place).map(|decided| &decided.batch)
    }

    fn certificate(&self, index: LogIndex) -> Option<Certificate> {
        let place = usize::try_from(index.0.checked_sub(1)?).ok()?;
        let certificate = &self.decided.get(place)?.certificate;
        Some(Certificate {
            topic: topic("commit", &certificate.vote),
            value: certificate.vote.digest.short(),
            signers: certificate.signers(),
        })
    }

    fn equivocate(message: &Message, env: &Env<'_>) -> Option<Message> {
        lies::contrary(message, env)
    }
}
