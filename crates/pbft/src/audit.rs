//! What the oracles may know of PBFT.

use crate::attack;
use crate::certificates::{CheckpointCertificate, PreparedCertificate};
use crate::invariants;
use crate::lies;
use crate::message::{Body, Message, Sequence, View, ViewChange, Vote};
use crate::record::Record;
use crate::replica::{Pbft, Phase, Timer};
use consensus_core::{
    Audit, Batch, Certificate, Claim, Env, Envelope, Fingerprint, Ledger, LogIndex, Proof, Topic,
};

fn topic(name: &'static str, vote: &Vote) -> Topic {
    Topic::new(name, vote.view.0, vote.sequence.0)
}

fn once(name: &'static str, vote: &Vote) -> Claim {
    Claim::Once(topic(name, vote), vote.digest.short())
}

fn rising(view: View) -> Claim {
    Claim::Rising(Topic::new("view", 0u64, 0), u128::from(view.0))
}

fn asked_for(view: View) -> Topic {
    Topic::new("view-change", view.0, 0)
}

fn checkpoint(sequence: Sequence) -> Topic {
    Topic::new("checkpoint", 0u64, sequence.0)
}

/// A view-change may be said again with another content, so each content is a topic.
fn said_in(view_change: &ViewChange) -> Topic {
    let content = Fingerprint::of(view_change);
    Topic::new("content of a view-change", view_change.view.0, content.0)
}

fn proofs_in(view_change: &ViewChange, nodes: usize) -> impl Iterator<Item = Proof> {
    let stable = view_change.stable.iter().map(stable_proof);
    let prepared = view_change.prepared.iter();
    let prepared = prepared.map(move |certificate| prepared_proof(certificate, nodes));
    stable.chain(prepared).map(Proof::Quorum)
}

fn stable_proof(stable: &CheckpointCertificate) -> Certificate {
    let signers = stable.votes.iter().map(|vote| vote.by).collect();
    Certificate { topic: checkpoint(stable.sequence), value: stable.history.short(), signers }
}

fn prepared_proof(certificate: &PreparedCertificate, nodes: usize) -> Certificate {
    let vote = &certificate.vote;
    let primary = vote.view.primary(nodes);
    let signers = certificate.prepares.iter().map(|prepare| prepare.by).chain([primary]).collect();
    Certificate { topic: topic("prepare", vote), value: vote.digest.short(), signers }
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
            // It stands for the primary's prepare.
            Body::PrePrepare { vote, .. } => {
                vec![once("pre-prepare", vote), once("prepare", vote)]
            }
            Body::Prepare(vote) => vec![once("prepare", vote), rising(vote.view)],
            Body::Commit(vote) => vec![once("commit", vote), rising(vote.view)],
            Body::ViewChange(view_change) => {
                let view = view_change.view;
                let [asked, said] = [asked_for(view), said_in(view_change)];
                vec![rising(view), Claim::Once(asked, 0), Claim::Once(said, 0)]
            }
            Body::NewView(new_view) => {
                let numbers = new_view.base.0 + 1..;
                let carried = new_view.carried.iter().zip(numbers).flat_map(|(carried, number)| {
                    let (view, sequence) = (new_view.view, LogIndex(number));
                    let vote = Vote { view, sequence, digest: carried.digest };
                    [once("pre-prepare", &vote), once("prepare", &vote)]
                });
                carried.collect()
            }
            Body::Checkpoint { sequence, history } => {
                vec![Claim::Once(checkpoint(*sequence), history.short())]
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

    fn check(&self) -> Result<(), String> {
        invariants::check_books(self)
    }

    fn check_since(&self, before: &Self) -> Result<(), String> {
        invariants::check_step(before, self).map_err(str::to_owned)
    }

    /// What got lost is said again (Castro's thesis §5.2); a request that waits may have a faulty
    /// primary, and so may a view that enough others asked for (§4.4, §4.5.2).
    fn relies_on(&self, each: &mut dyn FnMut(Timer)) {
        each(Timer::Repeat);
        // What waits in a new view goes to its primary once the disk knows of the view.
        let asked = !self.requests.is_idle() && self.writes.is_empty();
        let waits = self.phase == Phase::Normal && asked;
        if self.watching || waits {
            each(Timer::View);
        }
    }

    fn leftover(&self) -> Option<&'static str> {
        invariants::leftover(self)
    }

    fn equivocate(message: &Message, env: &Env<'_>) -> Option<Message> {
        lies::contrary(message, env)
    }

    fn forge(
        &self,
        intended: Option<&Message>,
        heard: &[&Envelope<Message>],
        trick: u64,
        env: &Env<'_>,
    ) -> Option<Message> {
        attack::forge(self, intended, heard, trick, env)
    }

    fn shows(message: &Message, nodes: usize) -> Vec<Proof> {
        match &message.body {
            Body::ViewChange(view_change) => proofs_in(view_change, nodes).collect(),
            Body::NewView(new_view) => {
                let all = new_view.view_changes.iter().map(|signed| &signed.view_change);
                let signers = all.clone().map(|view_change| view_change.replica).collect();
                let topic = asked_for(new_view.view);
                let quorum = Proof::Quorum(Certificate { topic, value: 0, signers });
                let said = all.clone().map(|view_change| {
                    let (topic, signers) = (said_in(view_change), view_change.replica.into());
                    Proof::Quote(Certificate { topic, value: 0, signers })
                });
                let proofs = all.clone().flat_map(|it| proofs_in(it, nodes));
                proofs.chain(said).chain([quorum]).collect()
            }
            Body::Fetched { stable, .. } => {
                stable.iter().map(stable_proof).map(Proof::Quorum).collect()
            }
            _ => Vec::new(),
        }
    }
}
