//! What the loop does for operators, and what comes of snapshots.

use super::Node;
use crate::handle::StopReason;
use crate::snapshots::{Order, SnapshotEvent};
use crate::wish::{Asked, Asker, Denied, Granted, Wish, answer};
use consensus_core::mutant::planted;
use consensus_core::{ConsensusProtocol, Input, NodeId, Role, SnapshotMeta, StateMachine};
use tokio::time::Instant;

impl<P: ConsensusProtocol, S: StateMachine> Node<P, S> {
    pub(super) fn on_wish(&mut self, asked: Asked) -> Result<(), StopReason> {
        let Asked { wish, asker } = asked;
        match wish {
            Wish::Change(change) => {
                self.driver.wishes.ask(change.clone(), asker);
                self.step(Input::Change(change))?;
                self.driver.wishes.asked();
                Ok(())
            }
            Wish::Transfer(to) => self.transfer(to, asker),
            Wish::Snapshot => {
                self.snapshot_for(asker);
                Ok(())
            }
        }
    }

    fn transfer(&mut self, to: NodeId, asker: Asker) -> Result<(), StopReason> {
        let status = self.replica.status();
        let refused = if status.role != Role::Leader {
            Some(Denied::NotLeader(status.leader.filter(|leader| *leader != self.driver.id)))
        } else if to == self.driver.id {
            answer(asker, Ok(Granted::Leads(to)));
            return Ok(());
        } else if !self.driver.members.0.is_voter(to) {
            Some(Denied::Refused(format!("{to} is no voter, and cannot lead")))
        } else if self.driver.wishes.transfer.is_some() {
            Some(Denied::Refused("another hand-over is under way; wait for it".into()))
        } else {
            None
        };
        if let Some(why) = refused {
            answer(asker, Err(why));
            return Ok(());
        }
        let deadline = Instant::now() + self.shared.cluster.timing.election_max * 3;
        self.driver.wishes.transfer = Some((to, deadline, asker));
        self.step(Input::Transfer(to))
    }

    fn snapshot_for(&mut self, asker: Asker) {
        let (newest, applied) = (self.driver.snapshotting.newest, self.driver.executor.applied());
        if newest == applied && newest.0 > 0 {
            return answer(asker, Ok(Granted::Snapshot(newest)));
        }
        if !self.driver.snapshotting.taking && !self.take_snapshot() {
            let why = "this algorithm, as configured, keeps its whole log";
            let why = if applied.0 == 0 { "nothing is applied yet" } else { why };
            return answer(asker, Err(Denied::Refused(why.into())));
        }
        self.driver.wishes.snapshot.push(asker);
    }

    pub(super) fn take_snapshot_if_due(&mut self) {
        if self.driver.snapshotting.is_due() && !self.take_snapshot() {
            // An algorithm that keeps its log is asked again after as much.
            self.driver.snapshotting.counts_anew();
        }
    }

    /// Takes a snapshot of what is applied. The loop waits only until the state is frozen; the
    /// thread makes bytes of it and keeps them.
    fn take_snapshot(&mut self) -> bool {
        let applied = self.driver.executor.applied();
        if applied <= self.driver.snapshotting.newest {
            return false;
        }
        let Some(meta) = self.replica.snapshot_meta(applied) else { return false };
        let state = self.driver.executor.freeze();
        let snapshotting = &mut self.driver.snapshotting;
        snapshotting.taking = true;
        snapshotting.counts_anew();
        snapshotting.thread.order(Order::Save { meta, state });
        true
    }

    pub(super) fn on_snapshot(&mut self, event: SnapshotEvent) -> Result<(), StopReason> {
        let snapshotting = &mut self.driver.snapshotting;
        match event {
            SnapshotEvent::Saved(meta) => {
                snapshotting.taking = false;
                self.saved(meta)?;
            }
            SnapshotEvent::NotSaved(error) => {
                snapshotting.taking = planted("N11");
                tracing::error!(%error, "a snapshot could not be kept");
                for asker in std::mem::take(&mut self.driver.wishes.snapshot) {
                    answer(asker, Err(Denied::Refused(format!("it could not be kept: {error}"))));
                }
            }
            SnapshotEvent::Chunk { to, message } => {
                snapshotting.serving.remove(to);
                if let Some(message) = message {
                    self.driver.say(to, message);
                }
            }
            SnapshotEvent::Staged { from, ask } => {
                snapshotting.staged();
                self.driver.say(from, ask);
            }
            SnapshotEvent::NotStaged(error) => {
                snapshotting.not_staged();
                tracing::error!(%error, "a snapshot of another replica could not be kept");
            }
            SnapshotEvent::Whole(newest) => {
                snapshotting.staged();
                self.install(newest.meta, &newest.bytes)?;
            }
        }
        Ok(())
    }

    fn saved(&mut self, meta: SnapshotMeta) -> Result<(), StopReason> {
        for asker in std::mem::take(&mut self.driver.wishes.snapshot) {
            answer(asker, Ok(Granted::Snapshot(meta.index)));
        }
        if meta.index <= self.driver.snapshotting.newest {
            return Ok(());
        }
        self.driver.snapshotting.newest = meta.index;
        tracing::info!(index = %meta.index, "took a snapshot");
        self.step(Input::SnapshotTaken(meta))
    }

    /// Another replica's snapshot is on disk: this replica goes on from there.
    fn install(&mut self, meta: SnapshotMeta, bytes: &[u8]) -> Result<(), StopReason> {
        if meta.index <= self.driver.executor.applied() {
            return Ok(());
        }
        if let Err(error) = self.driver.executor.restore(bytes) {
            return Err(StopReason::Halted(format!("the snapshot of another replica is {error}")));
        }
        tracing::info!(index = %meta.index, "goes on from another replica's snapshot");
        self.driver.snapshotting.newest = self.driver.snapshotting.newest.max(meta.index);
        self.driver.snapshotting.counts_anew();
        // What clients wait for may have been applied in it: nobody will say where.
        let leader = self.replica.status().leader.filter(|leader| *leader != self.driver.id);
        self.driver.waiting.lost(leader);
        self.step(Input::SnapshotInstalled(meta))
    }
}
