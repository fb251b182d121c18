//! O7 and O16: what nodes said, and whether a replica may believe what it counted.

use super::members::{Electorates, counts};
use super::{Table, Verdict};
use crate::report::Finding;
use consensus_core::{Certificate, Claim, FaultModel, LogIndex, NodeId, NodeSet, Proof, Topic};

/// All that was claimed by correct nodes, over all their lives.
#[derive(Default)]
pub(crate) struct Claims {
    once: Table<(NodeId, Topic), u128>,
    rising: Table<(NodeId, Topic), u128>,
}

impl Claims {
    /// O7: a message with this claim leaves the node.
    pub(crate) fn say(&mut self, node: NodeId, claim: Claim) -> Verdict {
        match claim {
            Claim::For(..) => return self.say(node, claim.in_numbers()),
            Claim::Once(topic, value) => {
                let first = *self.once.entry((node, topic)).or_insert(value);
                if first != value {
                    return contradiction(topic, first, value, "now says");
                }
            }
            Claim::Rising(topic, value) => {
                let highest = self.rising.entry((node, topic)).or_insert(value);
                if value < *highest {
                    return contradiction(topic, *highest, value, "fell back to");
                }
                *highest = value;
            }
        }
        Ok(())
    }

    /// O7: would a message with this claim contradict what the node said?
    pub(crate) fn fits(&self, node: NodeId, claim: Claim) -> Verdict {
        let (topic, said, value, holds) = match claim {
            Claim::For(..) => return self.fits(node, claim.in_numbers()),
            Claim::Once(topic, value) => {
                let said = self.once.get(&(node, topic));
                (topic, said, value, said.is_none_or(|said| *said == value))
            }
            Claim::Rising(topic, value) => {
                let said = self.rising.get(&(node, topic));
                (topic, said, value, said.is_none_or(|said| *said <= value))
            }
        };
        match said {
            Some(said) if !holds => contradiction(topic, *said, value, "would say after a restart"),
            _ => Ok(()),
        }
    }

    /// Did the node claim this value?
    fn said(&self, node: NodeId, topic: Topic, value: u128) -> bool {
        self.once.get(&(node, topic)) == Some(&value)
    }

    /// O16: a replica committed because of this certificate. `own` says whether it may count
    /// itself: its own vote goes to its disk and to nobody.
    pub(crate) fn certified(
        &self,
        counted_by: NodeId,
        index: LogIndex,
        certificate: &Certificate,
        (correct, all): (NodeSet, NodeSet),
        electorates: &Electorates<'_>,
        own: bool,
    ) -> Verdict {
        let Certificate { topic, value, signers } = certificate;
        let broken = |detail| Err(Finding::new("O16", "certificate", detail));
        if !signers.minus(all).is_empty() {
            return broken(format!("index {index}: {signers:?} are not all of the cluster"));
        }
        if !electorates.are_enough_signers(*signers) {
            return broken(format!("index {index}: {signers:?} are no quorum of {electorates}"));
        }
        for signer in signers.and(correct).iter() {
            let honest = self.said(signer, *topic, *value) || (signer == counted_by && own);
            if !honest {
                let said = self.once.get(&(signer, *topic));
                return broken(format!(
                    "index {index}: {signer} is counted for {value:#x} on {topic:?}, \
                     but said {said:x?}"
                ));
            }
        }
        Ok(())
    }
}

impl Claims {
    /// O16: a correct node shows this to others, or believes it.
    pub(crate) fn shown(
        &self,
        proof: &Proof,
        correct: NodeSet,
        (nodes, faults): (usize, FaultModel),
    ) -> Verdict {
        let (Proof::Quorum(certificate) | Proof::Quote(certificate)) = proof;
        let Certificate { topic, value, signers } = certificate;
        let Topic { name, major, minor } = topic;
        let broken = |what| {
            let detail = format!("a proof of {name} ({major}, {minor}) is believed, but {what}");
            Err(Finding::new("O16", "shown certificate", detail))
        };
        if !signers.minus(NodeSet::first(nodes)).is_empty() {
            return broken(format!("{signers:?} are not all of the cluster"));
        }
        if matches!(proof, Proof::Quorum(_)) && !counts(signers.len(), nodes, faults) {
            return broken(format!("{signers:?} are no quorum of {nodes}"));
        }
        let liar = signers.and(correct).iter().find(|node| !self.said(*node, *topic, *value));
        match liar {
            None => Ok(()),
            Some(node) => broken(format!("{node} never said {value:#x}")),
        }
    }
}

fn contradiction(topic: Topic, before: u128, now: u128, verb: &str) -> Verdict {
    let Topic { name, major, minor } = topic;
    let detail = format!("on {name} ({major}, {minor}) it said {before:#x} and {verb} {now:#x}");
    Err(Finding::new("O7", "no self-contradiction", detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::Membership;
    use consensus_core::quorum;
    use consensus_core::quorum::Quorums;

    const N0: NodeId = NodeId(0);
    const N1: NodeId = NodeId(1);

    fn vote(term: u64) -> Topic {
        Topic::new("vote", term, 0)
    }

    #[test]
    fn o7_sees_a_second_vote_and_a_promise_withdrawn() {
        let mut claims = Claims::default();
        claims.say(N0, Claim::Once(vote(1), 7)).expect("a vote");
        claims.say(N0, Claim::Once(vote(1), 7)).expect("the same vote again");
        claims.say(N0, Claim::Once(vote(2), 8)).expect("another term");
        claims.say(N1, Claim::Once(vote(1), 9)).expect("another node");
        assert_eq!(claims.say(N0, Claim::Once(vote(1), 8)).unwrap_err().oracle, "O7");
        let promise = Topic::new("promise", 0u8, 0);
        claims.say(N0, Claim::Rising(promise, 5)).expect("a promise");
        claims.say(N0, Claim::Rising(promise, 5)).expect("the same");
        assert_eq!(claims.say(N0, Claim::Rising(promise, 4)).unwrap_err().oracle, "O7");
    }

    /// What a copy would say is held against what was said, and is not said itself.
    #[test]
    fn o7_sees_what_would_be_a_contradiction() {
        let mut claims = Claims::default();
        let promise = Topic::new("promise", 0u8, 0);
        claims.fits(N0, Claim::Once(vote(1), 9)).expect("nothing was said");
        claims.say(N0, Claim::Once(vote(1), 7)).expect("and still is not");
        claims.say(N0, Claim::Rising(promise, 5)).expect("a promise");
        claims.fits(N0, Claim::Once(vote(1), 7)).expect("the same vote");
        claims.fits(N0, Claim::Rising(promise, 6)).expect("a higher promise");
        claims.fits(N1, Claim::Once(vote(1), 8)).expect("another node");
        for claim in [Claim::Once(vote(1), 8), Claim::Rising(promise, 4)] {
            assert_eq!(claims.fits(N0, claim).unwrap_err().oracle, "O7");
        }
        claims.say(N0, Claim::Rising(promise, 5)).expect("6 was tried, not said");
    }

    #[test]
    fn o16_sees_too_few_foreign_and_invented_signers() {
        let mut claims = Claims::default();
        claims.say(N1, Claim::Once(vote(3), 7)).expect("a vote");
        let all = NodeSet::first(3);
        let members = Membership { voters: all, ..Membership::default() };
        let judge = |signers: &[u8], own, quorums| {
            let signers = signers.iter().map(|node| NodeId(*node)).collect();
            let certificate = Certificate { topic: vote(3), value: 7, signers };
            let electorates = Electorates::Members(vec![(&members, quorums)]);
            claims.certified(N0, LogIndex(1), &certificate, (all, all), &electorates, own)
        };
        let check = |signers: &[u8], own| judge(signers, own, None);
        check(&[0, 1], true).expect("a majority, itself included");
        let flexible = |phase_1, phase_2| Quorums::flexible(3, phase_1, phase_2).ok();
        judge(&[1], true, flexible(3, 1)).expect("phase 1 hears of whatever one accepted");
        assert_eq!(judge(&[1], true, flexible(2, 3)).unwrap_err().oracle, "O16", "not of this");
        assert_eq!(check(&[0, 1], false).unwrap_err().oracle, "O16", "own vote not on disk");
        assert_eq!(check(&[1], true).unwrap_err().oracle, "O16", "no quorum");
        assert_eq!(check(&[0, 2], true).unwrap_err().oracle, "O16", "n2 said nothing");
        assert_eq!(check(&[0, 1, 9], true).unwrap_err().oracle, "O16", "n9 is unknown");
    }

    #[test]
    fn o16_sees_proofs_that_no_quorum_made_and_quotes_of_what_nobody_said() {
        let mut claims = Claims::default();
        for node in [0, 1, 2] {
            claims.say(NodeId(node), Claim::Once(vote(3), 7)).expect("a vote");
        }
        let correct = NodeSet::first(4).without(NodeId(2));
        let proof = |value, signers: &[u8]| {
            let signers = signers.iter().map(|node| NodeId(*node)).collect();
            Certificate { topic: vote(3), value, signers }
        };
        let shown = |proof| claims.shown(&proof, correct, (4, FaultModel::Byzantine));
        shown(Proof::Quorum(proof(7, &[0, 1, 2]))).expect("they said so");
        shown(Proof::Quote(proof(7, &[1]))).expect("it said so");
        shown(Proof::Quote(proof(8, &[2]))).expect("a liar may have said anything");
        for bad in [
            Proof::Quorum(proof(7, &[0, 1])),
            Proof::Quorum(proof(8, &[0, 1, 2])),
            Proof::Quorum(proof(7, &[0, 1, 3])),
            Proof::Quorum(proof(7, &[0, 1, 9])),
            Proof::Quote(proof(8, &[1])),
        ] {
            assert_eq!(shown(bad).unwrap_err().oracle, "O16");
        }
    }

    #[test]
    fn the_second_formula_agrees_with_the_first() {
        for nodes in 1..=40 {
            for size in 0..=nodes {
                let crash = size >= quorum::majority(nodes);
                assert_eq!(counts(size, nodes, FaultModel::Crash), crash);
                let byzantine = size >= quorum::byzantine(nodes);
                assert_eq!(counts(size, nodes, FaultModel::Byzantine), byzantine, "n = {nodes}");
            }
        }
    }
}
