//! Who must agree: the oracles' own reading of membership, apart from the one that the algorithms
//! use; and O19, what is said about members.

use super::Verdict;
use crate::report::Finding;
use consensus_core::quorum::Quorums;
use consensus_core::{
    Audit, Batch, Change, FaultModel, LogIndex, Membership, NodeId, NodeSet, SnapshotMeta,
};
use std::fmt;

/// Every membership by which something may rightly be decided just now. A quorum of one of them
/// is enough: which one was in force is for the algorithm to know, and a wrong choice shows sooner
/// or later as two batches at one index.
#[derive(Clone, Debug)]
pub(crate) enum Electorates<'a> {
    /// Any of these, each with the sizes of its quorums where they are a setting.
    Members(Vec<(&'a Membership, Option<Quorums>)>),
    /// The members are so many, for ever, and so many of them are traitors, whose disks count
    /// nothing.
    Fixed {
        /// All nodes.
        nodes: usize,
        /// What they may do.
        faults: FaultModel,
        /// Disks that nobody looks at.
        traitors: usize,
    },
}

impl Electorates<'_> {
    /// Are these nodes, if all of them hold something, a quorum that has it for ever?
    pub(crate) fn are_enough_disks(&self, nodes: NodeSet) -> bool {
        match self {
            Self::Members(all) => all.iter().any(|members| is_enough(*members, nodes)),
            Self::Fixed { nodes: all, faults, traitors } => {
                counts(nodes.len() + traitors, *all, *faults)
            }
        }
    }

    /// Do these nodes, if all of them keep a promise, share one with every quorum that decides?
    pub(crate) fn are_enough_promises(&self, nodes: NodeSet) -> bool {
        let enough = |members: &Membership, quorums: &Option<Quorums>| match quorums {
            None => is_quorum(members, nodes),
            Some(sizes) => nodes.and(members.voters).len() + sizes.phase_2() > sizes.nodes(),
        };
        match self {
            Self::Members(all) => all.iter().any(|(members, quorums)| enough(members, quorums)),
            Self::Fixed { nodes: all, faults, traitors } => {
                counts(nodes.len() + traitors, *all, *faults)
            }
        }
    }

    /// Are these signers a quorum?
    pub(crate) fn are_enough_signers(&self, signers: NodeSet) -> bool {
        match self {
            Self::Members(all) => all.iter().any(|members| is_enough(*members, signers)),
            Self::Fixed { nodes, faults, .. } => counts(signers.len(), *nodes, *faults),
        }
    }
}

impl fmt::Display for Electorates<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Members(all) => {
                for (place, (members, _)) in all.iter().enumerate() {
                    let Membership { version, voters, outgoing, .. } = members;
                    let or = if place > 0 { " or " } else { "" };
                    write!(f, "{or}{voters:?} (version {version}")?;
                    if !outgoing.is_empty() {
                        write!(f, ", with {outgoing:?}")?;
                    }
                    f.write_str(")")?;
                }
                Ok(())
            }
            Self::Fixed { nodes, .. } => write!(f, "{nodes}"),
        }
    }
}

/// A quorum by majority; or, where sizes are a setting, so many acceptors that they share one with
/// every phase-1 quorum ("Flexible Paxos", §3).
fn is_enough((members, quorums): (&Membership, Option<Quorums>), nodes: NodeSet) -> bool {
    match quorums {
        None => is_quorum(members, nodes),
        Some(quorums) => nodes.and(members.voters).len() + quorums.phase_1() > quorums.nodes(),
    }
}

/// More than half of the voters, and of those that are going.
pub(crate) fn is_quorum(members: &Membership, nodes: NodeSet) -> bool {
    let half = |of: NodeSet| 2 * nodes.and(of).len() > of.len();
    half(members.voters) && (members.outgoing.is_empty() || half(members.outgoing))
}

/// A second formula, apart from the one that the algorithms use: two sets of this size overlap in
/// a node, or in more than f where f may lie.
pub(crate) fn counts(size: usize, nodes: usize, faults: FaultModel) -> bool {
    let liars = match faults {
        FaultModel::Crash => 0,
        FaultModel::Byzantine => (0..nodes).take_while(|f| 3 * (f + 1) < nodes).count(),
    };
    2 * size > nodes + liars
}

/// The members as the log says, entry by entry.
#[derive(Clone, Debug)]
pub(crate) struct Members {
    /// By version, the lowest first: those at the beginning, then one for each entry.
    versions: Vec<Membership>,
    /// What operators asked for, under the version that they saw.
    asked: Vec<Membership>,
    /// Those of them that may have led to the newest version.
    why: Vec<Membership>,
}

impl Members {
    pub(crate) fn new(initial: Membership) -> Self {
        Self { versions: vec![initial], asked: Vec::new(), why: Vec::new() }
    }

    /// An operator asks for this.
    pub(crate) fn ask(&mut self, change: &Change) {
        let Change { expected: version, voters, learners, .. } = *change;
        let wish = Membership { version, voters, learners, ..Membership::default() };
        if !self.asked.contains(&wish) {
            self.asked.push(wish);
        }
    }

    /// Members that somebody asked for and that may still come: each with the version that was
    /// seen.
    pub(crate) fn pending(&self) -> impl Iterator<Item = &Membership> {
        let newest = self.newest().version;
        self.asked.iter().filter(move |wish| wish.version >= newest || self.why.contains(wish))
    }

    /// The wishes that may have led to these members: of somebody who saw the ones before, or had
    /// led to those. New voters may have to learn first, so it need not be the whole way; but who
    /// votes changes at once, to what was wished for.
    fn reasons(&self, next: &Membership) -> Vec<Membership> {
        let before = self.newest();
        let leads = |wish: &&Membership| {
            let seen = wish.version == before.version || self.why.contains(wish);
            let (new, old) = (wish.members(), before.members());
            let voters = [before.voters, wish.voters].contains(&next.voters);
            seen && voters && next.members().minus(new.or(old)).is_empty()
        };
        self.asked.iter().filter(leads).cloned().collect()
    }

    /// The batch was decided: the next version, if it is one.
    pub(crate) fn decided(&mut self, index: LogIndex, batch: &Batch) -> Verdict {
        if !batch.is_membership() {
            return Ok(());
        }
        let Some(next) = Membership::from_batch(batch, index) else {
            return broken(format!("index {index} holds members that cannot be read"));
        };
        let before = self.newest();
        let goes_on = next.voters == before.voters && next.learners == before.learners;
        if before.is_joint() && !(next.outgoing.is_empty() && goes_on) {
            return broken(format!("{before:?} were being changed, and index {index} is {next:?}"));
        }
        if next.is_joint() && next.outgoing != before.voters {
            return broken(format!("index {index} is {next:?}, after {before:?}"));
        }
        let reasons = self.reasons(&next);
        if reasons.is_empty() {
            return broken(format!("after {before:?} nobody asked for {next:?}, index {index}"));
        }
        self.why = reasons;
        self.versions.push(next);
        Ok(())
    }

    pub(crate) fn newest(&self) -> &Membership {
        self.versions.last().expect("there are members at the beginning")
    }

    /// The members as of this index.
    pub(crate) fn at(&self, index: LogIndex) -> &Membership {
        let later = self.versions.iter().rposition(|members| members.version <= index);
        &self.versions[later.unwrap_or(0)]
    }

    /// This version, or the one before if there is none, and all later ones.
    pub(crate) fn from(&self, version: LogIndex) -> &[Membership] {
        let known = self.versions.iter().rposition(|members| members.version <= version);
        &self.versions[known.unwrap_or(0)..]
    }

    /// Every version that may have been in force when something at this index was counted, by
    /// whoever counts it: from the one before the index on.
    pub(crate) fn since(&self, index: LogIndex) -> &[Membership] {
        let before = self.versions.iter().rposition(|members| members.version < index);
        &self.versions[before.unwrap_or(0)..]
    }

    /// O19: a snapshot is kept with the members as of its index.
    pub(crate) fn kept(&self, meta: &SnapshotMeta) -> Verdict {
        let (index, true_ones) = (meta.index, self.at(meta.index));
        if meta.membership == *true_ones {
            return Ok(());
        }
        let said = &meta.membership;
        broken(format!("a snapshot of {index} says {said:?}; the log says {true_ones:?}"))
    }

    /// O19: a snapshot of what is applied says that it is one of just that.
    pub(crate) fn taken(&self, meta: &SnapshotMeta, applied: LogIndex) -> Verdict {
        if meta.index != applied {
            let detail = format!("asked for {applied}, it describes a snapshot of {}", meta.index);
            return Err(Finding::new("O19", "what a snapshot is of", detail));
        }
        self.kept(meta)
    }

    /// O19: a driver may apply later than the replica commits, and then asks what a snapshot of an
    /// earlier index would be: of the one just before, and of the last before these members.
    pub(crate) fn earlier<P: Audit>(&self, replica: &P, newest: &SnapshotMeta) -> Verdict {
        for index in [newest.index.previous(), newest.membership.version.previous()] {
            let earlier = replica.snapshot_meta(index).filter(|_| index > LogIndex::ZERO);
            if let Some(meta) = earlier {
                self.taken(&meta, index)?;
            }
        }
        Ok(())
    }

    /// O19: a node says that these members are committed.
    pub(crate) fn announced(&self, node: NodeId, said: &Membership) -> Verdict {
        let nobody = said.version == LogIndex::ZERO && said.members().is_empty();
        if self.at(said.version) == said || nobody {
            return Ok(()); // Who joins knows of nobody at first.
        }
        let version = said.version;
        let truly = self.at(version);
        broken(format!("{node} says that {said:?} is committed; the log says {truly:?}"))
    }
}

fn broken<T>(detail: String) -> Result<T, Finding> {
    Err(Finding::new("O19", "members are what the log says", detail))
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::{Cluster, ClusterId};

    fn set(nodes: &[u8]) -> NodeSet {
        nodes.iter().map(|node| NodeId(*node)).collect()
    }

    fn members() -> Members {
        Members::new(Membership::initial(&Cluster::new(ClusterId(1), 3)))
    }

    fn decide(members: &mut Members, index: u64, voters: &[u8], outgoing: &[u8]) -> Verdict {
        let (voters, outgoing) = (set(voters), set(outgoing));
        let batch = Membership { voters, outgoing, ..Membership::default() }.to_batch();
        members.decided(LogIndex(index), &batch)
    }

    fn ask(members: &mut Members, expected: u64, voters: &[u8]) {
        let seen = Membership { version: LogIndex(expected), ..Membership::default() };
        members.ask(&Change { voters: set(voters), ..Change::of(&seen) });
    }

    fn oracle(verdict: Verdict) -> &'static str {
        verdict.expect_err("the oracle must see this").oracle
    }

    #[test]
    fn o19_sees_members_that_nobody_asked_for_or_on_an_old_view() {
        let mut members = members();
        assert_eq!(oracle(decide(&mut members, 4, &[0, 1], &[])), "O19", "nobody asked");
        ask(&mut members, 0, &[0, 1]);
        decide(&mut members, 4, &[0, 1], &[]).expect("asked for");
        ask(&mut members, 0, &[1, 2]);
        assert_eq!(oracle(decide(&mut members, 7, &[1, 2], &[])), "O19", "he saw version 0");
        ask(&mut members, 4, &[1, 2]);
        decide(&mut members, 7, &[1, 2], &[0, 1]).expect("the first half");
        assert_eq!(oracle(decide(&mut members, 8, &[2, 3], &[])), "O19", "not the second half");
        decide(&mut members, 9, &[1, 2], &[]).expect("the second half");
        ask(&mut members, 9, &[0, 1]);
        assert_eq!(oracle(decide(&mut members, 11, &[0, 1, 2], &[])), "O19", "n2 was to go");
        assert_eq!(members.at(LogIndex(8)).outgoing, set(&[0, 1]));
        assert_eq!(members.since(LogIndex(9)).len(), 2, "the joint one counted until then");
    }

    /// Raft §6: once the new members are committed, the old ones have no part in anything.
    #[test]
    fn o19_sees_who_was_to_go_and_is_left_as_a_learner() {
        let mut members = members();
        ask(&mut members, 0, &[1, 2]);
        decide(&mut members, 7, &[1, 2], &[0, 1, 2]).expect("the first half");
        let (voters, learners) = (set(&[1, 2]), set(&[0]));
        let left = Membership { voters, learners, ..Membership::default() };
        assert_eq!(oracle(members.decided(LogIndex(9), &left.to_batch())), "O19");
        decide(&mut members, 9, &[1, 2], &[]).expect("the second half");
    }

    #[test]
    fn o19_sees_what_is_announced_or_kept_and_is_not_in_the_log() {
        let mut members = members();
        ask(&mut members, 0, &[0, 1]);
        decide(&mut members, 4, &[0, 1], &[]).expect("asked for");
        let now = members.newest().clone();
        members.announced(NodeId(0), &now).expect("true");
        let wrong = Membership { voters: set(&[0, 2]), ..now.clone() };
        assert_eq!(oracle(members.announced(NodeId(0), &wrong)), "O19");
        let kept = |index, membership: &Membership| {
            let membership = membership.clone();
            members.kept(&SnapshotMeta { index: LogIndex(index), epoch: 1, membership })
        };
        kept(4, &now).expect("as of its index");
        assert_eq!(oracle(kept(3, &now)), "O19", "the change came later");
        assert_eq!(oracle(kept(9, &wrong)), "O19");
        let meta = SnapshotMeta { index: LogIndex(5), epoch: 1, membership: now };
        members.taken(&meta, LogIndex(5)).expect("just that");
        assert_eq!(oracle(members.taken(&meta, LogIndex(6))), "O19", "of less than is applied");
    }

    /// Raft §6: a second reading of what a joint quorum is.
    #[test]
    fn both_majorities_are_needed_while_voters_change() {
        let (voters, outgoing) = (set(&[2, 3, 4]), set(&[0, 1, 2]));
        let joint = Membership { voters, outgoing, ..Membership::default() };
        assert!(is_quorum(&joint, set(&[1, 2, 3])));
        assert!(!is_quorum(&joint, set(&[2, 3, 4])) && !is_quorum(&joint, set(&[0, 1, 2])));
    }
}
