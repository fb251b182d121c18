//! The rules that take more than one node to judge. They are those of the simulator, over the same
//! [`Audit`]; but what they remember is part of the state, so that a verdict is a function of the
//! state and of the action, and holds for every way that leads there.

use crate::arena::{Outcome, Steps};
use crate::context::Context;
use crate::disk::Snapshot;
use crate::node::{Commit, Node};
use crate::service::Applied;
use crate::state::{Decided, History, MAX_NODES, Spent};
use crate::violation::Violation;
use consensus_core::{
    Audit, Batch, FaultModel, Ledger, LogIndex, Membership, NodeId, NodeSet, ProtocolConfig,
};

/// A step as the oracles see it: who did it, and the nodes and the history as they are then.
pub(crate) struct Scene<'a, P: Audit> {
    pub(crate) context: &'a Context<P>,
    pub(crate) steps: &'a Steps<P>,
    pub(crate) id: NodeId,
    /// The node that acted is in it as it is now.
    pub(crate) nodes: [u32; MAX_NODES],
    /// What clients and operators did by then.
    pub(crate) spent: Spent,
}

impl<P: Audit> Scene<'_, P> {
    fn node(&self, id: NodeId) -> &Node<P> {
        &self.steps.nodes[self.nodes[id.index()] as usize]
    }

    fn broken<T>(
        &self,
        oracle: &'static str,
        name: &'static str,
        detail: String,
    ) -> Result<T, Violation> {
        Err(Violation::new(oracle, name, Some(self.id), detail))
    }

    /// Judges what a node did that concerns all, and notes what later verdicts need.
    pub(crate) fn judge(&self, outcome: &Outcome, history: &mut History) -> Result<(), Violation> {
        if let Some(epoch) = outcome.office {
            self.took_office(epoch, history)?;
        }
        if !self.context.is_correct(self.id) {
            return Ok(());
        }
        outcome.commits.iter().try_for_each(|commit| self.decided(commit, history))?;
        outcome.snapshot.as_ref().map_or(Ok(()), |snapshot| self.is_true(snapshot, history))
    }

    /// O15, O19: a snapshot that was taken or put into force is of what was decided, and names the
    /// members as of its index.
    fn is_true(&self, snapshot: &Snapshot, history: &History) -> Result<(), Violation> {
        let Snapshot { meta, bytes } = snapshot;
        let state = history.state(meta.index).map(Applied::to_bytes);
        if state.as_ref() != Some(bytes) {
            let detail = format!("its snapshot of index {} is not of what was decided", meta.index);
            return self.broken("O15", "equal states", detail);
        }
        let members = history.members(meta.index, &self.context.cluster);
        if meta.membership != members {
            let (said, index) = (&meta.membership, meta.index);
            let detail = format!(
                "its snapshot of index {index} names {said:?}; the members were {members:?}"
            );
            return self.broken("O19", "members of a snapshot", detail);
        }
        Ok(())
    }

    /// O3 and O5: a node became an active leader.
    fn took_office(&self, epoch: u64, history: &mut History) -> Result<(), Violation> {
        let id = self.id;
        match history.leaders.binary_search_by_key(&epoch, |(led, _)| *led) {
            Ok(place) => {
                let (_, first) = history.leaders[place];
                if first != id && self.context.is_correct(id) {
                    let detail = format!("{id} leads in epoch {epoch}, in which {first} led");
                    return self.broken("O3", "one leader an epoch", detail);
                }
            }
            Err(place) => history.leaders.insert(place, (epoch, id)),
        }
        if self.context.is_correct(id) { self.is_complete(epoch, history) } else { Ok(()) }
    }

    /// O5 (Raft §5.4, Leader Completeness): it holds what was decided while only lower epochs had
    /// leaders.
    fn is_complete(&self, epoch: u64, history: &History) -> Result<(), Violation> {
        let replica = &self.node(self.id).local.replica;
        let purged = replica.status().purged;
        for (entry, index) in history.decided.iter().zip((1..).map(LogIndex)) {
            if entry.led.is_some_and(|led| led >= epoch) {
                break; // Epochs only grow, so all later entries are out of scope, too.
            }
            if index <= purged {
                continue; // Its snapshot was judged.
            }
            let held = replica.entry(index);
            if held != Some(&entry.batch) {
                let batch = &entry.batch;
                let detail = format!(
                    "leads in epoch {epoch}; index {index} is {batch:?}, it holds {held:?}"
                );
                return self.broken("O5", "leader completeness", detail);
            }
        }
        Ok(())
    }

    /// O4 (Raft §5.3, Log Matching): on any two disks an entry of one index and epoch is one entry,
    /// and where logs match, everything before it is equal, too.
    pub(crate) fn logs_match(&self) -> Result<(), Violation> {
        let own = &self.node(self.id).written;
        for other in self.context.cluster.peers_of(self.id).iter() {
            let theirs = &self.node(other).written;
            let mut differ = None;
            for (index, held) in own.iter() {
                let Some(theirs) = theirs.get(index) else { continue };
                let same = held.epoch == theirs.epoch;
                if same && held.batch != theirs.batch {
                    differ = Some(index);
                }
                if same && let Some(at) = differ {
                    let detail = format!(
                        "index {index} has epoch {} here and on {other}, index {at} differs",
                        held.epoch
                    );
                    return self.broken("O4", "log matching", detail);
                }
                if !same && P::LOG_MATCHING {
                    differ = Some(index);
                }
            }
        }
        Ok(())
    }

    /// O1, O2, O6, O16: a correct node gave out a batch as decided.
    fn decided(&self, commit: &Commit, history: &mut History) -> Result<(), Violation> {
        let Commit { index, batch, .. } = commit;
        let place = index.0 as usize - 1;
        match history.decided.get(place) {
            Some(first) if first.batch == *batch => {}
            Some(first) => {
                let detail = format!("index {index} was {:?} and is now {batch:?}", first.batch);
                return self.broken("O1", "agreement", detail);
            }
            None => {
                // Nobody skips an index, so the first to commit this one is next in the history.
                assert_eq!(place, history.decided.len(), "the history has no gap");
                if !self.was_asked(batch) {
                    let detail = format!("index {index} holds {batch:?}, which no client sent");
                    return self.broken("O2", "integrity", detail);
                }
                let led = history.leaders.last().map(|(epoch, _)| *epoch);
                let before = history.state(index.previous()).expect("the one before is decided");
                let entry = Decided { batch: batch.clone(), led, state: before.then(batch) };
                history.decided.push(entry);
                self.is_durable(commit, history)?;
            }
        }
        self.is_certified(commit, history)
    }

    /// Did a client send these commands, or an operator want such members?
    fn was_asked(&self, batch: &Batch) -> bool {
        if batch.is_membership() {
            return self.spent.changes > 0;
        }
        let asked = &self.context.commands[..usize::from(self.spent.commands)];
        let known = |one| asked.iter().any(|batch| batch.commands().any(|asked| asked == one));
        batch.commands().all(known)
    }

    /// Are these nodes enough to decide what is at this index? By the members before it, by those
    /// that it makes itself (Raft: in force as soon as they are in the log), or by those that were
    /// in force at the node that decided: a change that follows in its log.
    fn is_quorum(&self, nodes: NodeSet, commit: &Commit, history: &History) -> bool {
        if P::INFO.faults == FaultModel::Byzantine {
            return nodes.len() >= P::INFO.quorum(self.context.bounds.nodes);
        }
        let first = &self.context.cluster;
        let before = history.members(commit.index.previous(), first);
        let enough = |members: &Membership| match self.context.config.quorums(members.voters.len())
        {
            None => members.is_quorum(nodes),
            // "Flexible Paxos", §3: so many share an acceptor with every phase-1 quorum.
            Some(quorums) => nodes.and(members.voters).len() + quorums.phase_1() > quorums.nodes(),
        };
        enough(&before)
            || enough(&history.members(commit.index, first))
            || commit.members.as_ref().is_some_and(enough)
    }

    /// O6: when the first node commits, the synced disks of a quorum hold the batch, or a snapshot
    /// of it.
    fn is_durable(&self, commit: &Commit, history: &History) -> Result<(), Violation> {
        let Commit { index, batch, on_own_disk, .. } = commit;
        let print = batch.fingerprint();
        let on_disk = |disk: &Ledger| disk.get(*index).is_some_and(|held| held.batch == print);
        let holds = |node: &NodeId| {
            let own = *node == self.id;
            let other = self.node(*node);
            let covers = other.local.disk.covered() >= *index;
            covers || if own { *on_own_disk } else { on_disk(&other.synced) }
        };
        let on: NodeSet = self.context.correct().iter().filter(holds).collect();
        // Whoever may lie may have it on the disk.
        if self.is_quorum(on.or(self.context.bounds.traitors), commit, history) {
            return Ok(());
        }
        let detail = format!("index {index} is committed as {batch:?}; synced on {on:?} only");
        self.broken("O6", "durable quorum", detail)
    }

    /// O16: a vote that was counted has enough distinct signers, who really said so.
    fn is_certified(&self, commit: &Commit, history: &History) -> Result<(), Violation> {
        let Some(certificate) = &commit.certificate else { return Ok(()) };
        let signers = certificate.signers;
        let broken = |detail: String| {
            let detail = format!("index {}: {detail}", commit.index);
            self.broken("O16", "certificate", detail)
        };
        if !signers.minus(self.context.cluster.nodes()).is_empty() {
            return broken(format!("{signers:?} are not all of the cluster"));
        }
        if !self.is_quorum(signers, commit, history) {
            return broken(format!("{signers:?} are no quorum"));
        }
        for signer in signers.and(self.context.correct()).iter() {
            let said = self.node(signer).local.claims.said(certificate.topic);
            // Its own vote goes to its disk and to nobody.
            let honest =
                said == Some(certificate.value) || (signer == self.id && commit.on_own_disk);
            if !honest {
                let (topic, value) = (certificate.topic, certificate.value);
                return broken(format!(
                    "{signer} is counted for {value:#x} on {topic:?}, but said {said:x?}"
                ));
            }
        }
        Ok(())
    }
}
