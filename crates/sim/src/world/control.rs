//! What one can do to a world from outside: crash, restart, pause, cut, heal, campaign, betray.

use super::World;
use crate::traitor::Treason;
use consensus_core::{
    Audit, Cluster, Counters, Executor, FaultModel, Input, NodeId, NodeSet, StateMachine,
};
use core::time::Duration;

impl<P: Audit, S: StateMachine> World<P, S> {
    /// An operator's wish: this replica should lead, now.
    pub fn campaign(&mut self, node: NodeId) {
        self.fold(10, u64::from(node.0), 0);
        self.tell(|| format!("{node} is asked to campaign"));
        if !self.nodes[node.index()].paused {
            self.input(node, Input::Campaign);
        }
    }

    /// Power is cut: memory is gone, and of the unsynced writes a random prefix survives.
    pub fn crash(&mut self, node: NodeId) {
        if self.nodes[node.index()].replica.is_none() {
            return;
        }
        self.fold(11, u64::from(node.0), 0);
        self.hang_up_all(node);
        let place = node.index();
        let held = self.nodes[place].driver.outbox.held();
        self.nodes[place].end_life();
        let (survivors, lost) = self.nodes[place].disk.crash(&mut self.rng);
        let kept = survivors.len();
        self.disks.synced(place, survivors);
        if let Some(tape) = self.tape() {
            tape.crash(node, kept);
        }
        self.crash_files(node);
        self.disks.survived(place, self.nodes[place].disk.records());
        self.chronicle_crash(node, self.nodes[place].disk.records().count());
        self.fault("crash");
        self.tell(|| {
            format!("{node} crashes; {lost} unsynced writes and {held} promises are lost")
        });
        if lost > 0 {
            self.mark("unsynced write lost");
        }
        if held > 0 {
            self.mark("held promise lost in a crash");
        }
    }

    /// The node crashes after so many more effects, be it in the midst of a step.
    pub fn crash_after_effects(&mut self, node: NodeId, effects: u32) {
        self.nodes[node.index()].fuse = Some(effects);
    }

    /// Crashes it in the step in which it is the first to commit something, before it tells
    /// anybody.
    pub fn crash_at_commit(&mut self, node: NodeId) {
        self.nodes[node.index()].dies_of_news = true;
    }

    /// The node crashes when its next sync begins: with writes that are not durable, and after
    /// everything that need not wait for them was sent.
    pub fn crash_before_sync(&mut self, node: NodeId) {
        self.nodes[node.index()].doomed = true;
    }

    /// The node crashes when it has received a snapshot and the file is being written: its records
    /// then tell of a log that the snapshot may have outrun, or contradict.
    pub fn crash_before_install(&mut self, node: NodeId) {
        self.nodes[node.index()].dies_of_snapshot = true;
    }

    /// A crashed node starts again on what its disk kept.
    pub fn restart(&mut self, node: NodeId) {
        let state = &self.nodes[node.index()];
        if state.replica.is_none() && !state.condemned && state.life > 0 {
            self.fault("restart");
            self.boot(node);
        }
    }

    /// The process stands still, as under a long garbage collection: it hears and does nothing,
    /// and on resuming finds everything at once.
    pub fn pause(&mut self, node: NodeId) {
        let state = &mut self.nodes[node.index()];
        if state.replica.is_some() && !state.paused {
            state.paused = true;
            self.fold(12, u64::from(node.0), 0);
            self.fault("pause");
            self.tell(|| format!("{node} stands still"));
        }
    }

    /// A paused node goes on, with old timers and old messages.
    pub fn resume(&mut self, node: NodeId) {
        let state = &mut self.nodes[node.index()];
        if !std::mem::take(&mut state.paused) {
            return;
        }
        for event in std::mem::take(&mut state.backlog) {
            self.queue.push(self.now, event);
        }
        self.fold(13, u64::from(node.0), 0);
        self.tell(|| format!("{node} goes on"));
    }

    /// What all nodes did and what it cost, over all their lives.
    pub fn total(&self) -> Counters {
        let mut sum = Counters::default();
        self.cluster().nodes().iter().for_each(|node| sum.add(self.counters(node)));
        sum
    }

    /// Is the node up and not paused?
    pub fn is_running(&self, node: NodeId) -> bool {
        let state = &self.nodes[node.index()];
        state.replica.is_some() && !state.paused
    }

    /// Cuts one direction of a link. What is under way on it is lost.
    pub fn cut(&mut self, from: NodeId, to: NodeId) {
        self.links.cut(from, to);
    }

    /// Mends one direction of a link.
    pub fn mend(&mut self, from: NodeId, to: NodeId) {
        self.links.mend(from, to);
    }

    /// Cuts all links of a node to other nodes, in both directions.
    pub fn isolate(&mut self, node: NodeId) {
        for peer in self.setup.cluster.peers_of(node).iter() {
            self.links.cut(node, peer);
            self.links.cut(peer, node);
        }
    }

    /// Cuts all links between these nodes and the others, in both directions.
    pub fn split(&mut self, side: NodeSet) {
        for from in self.setup.cluster.nodes().iter() {
            for to in self.setup.cluster.peers_of(from).iter() {
                if side.contains(from) != side.contains(to) {
                    self.links.cut(from, to);
                }
            }
        }
    }

    /// Mends all links, those of clients included. Nodes stay as they are.
    pub fn heal_all(&mut self) {
        self.heal_among(self.setup.cluster.nodes());
        for client in 0..self.clients.len() {
            self.cut_client(consensus_core::ClientId(client as u64 + 1), NodeSet::EMPTY);
        }
    }

    /// Mends all links between two of these nodes.
    pub fn heal_among(&mut self, nodes: NodeSet) {
        for from in nodes.iter() {
            for to in nodes.without(from).iter() {
                self.links.mend(from, to);
            }
        }
    }

    /// Is any link cut?
    pub fn is_split(&self) -> bool {
        self.links.any_cut()
    }

    /// One direction of a link delivers nothing for so long, and then everything at once.
    pub fn clog(&mut self, from: NodeId, to: NodeId, time: Duration) {
        let until = self.now + time.as_nanos() as u64;
        self.links.clog(from, to, until);
    }

    /// The disk of a node ends no sync for so long.
    pub fn stall_disk(&mut self, node: NodeId, time: Duration) {
        self.nodes[node.index()].stalled_until = self.now + time.as_nanos() as u64;
    }

    /// From now on chance does nothing to messages between two of these nodes, and to those
    /// between one of these and a client; their disks are no longer stalled. Storms and
    /// curses are over, and nobody is slow.
    pub fn make_reliable(&mut self, nodes: NodeSet) {
        self.links.reliable = nodes;
        // These would pass for a leader outside: it stays in office, and serves hardly anybody.
        self.links.storm = 0;
        self.links.cursed = None;
        for node in self.setup.cluster.nodes().iter() {
            self.links.slow(node, Duration::ZERO);
        }
        for node in nodes.iter() {
            self.nodes[node.index()].sync_fails = false;
            self.nodes[node.index()].disk_full = false;
            self.end_stall(node);
            self.nodes[node.index()].fuse = None;
            self.nodes[node.index()].dies_of_news = false;
            self.nodes[node.index()].doomed = false;
            self.nodes[node.index()].dies_of_snapshot = false;
        }
    }

    /// A traitor lies in this way from now on.
    ///
    /// # Panics
    /// If the node is no traitor.
    pub fn betray(&mut self, node: NodeId, treason: Treason) {
        assert!(!self.is_correct(node), "only traitors lie");
        assert_eq!(P::INFO.faults, FaultModel::Byzantine, "lying is in the fault model");
        let before = std::mem::replace(&mut self.treason[node.index()], treason);
        if treason.makes_up() && !before.makes_up() {
            self.lie_later(node);
        }
        if treason == Treason::Insist && before != treason {
            self.tricks[node.index()] = self.rng.next_u64();
        }
    }

    /// The traitors.
    pub fn traitors(&self) -> NodeSet {
        self.setup.traitors
    }

    /// Begins a life of this node.
    pub(super) fn boot(&mut self, id: NodeId) {
        let executor = Executor::new((self.machine)(), self.setup.sessions);
        if let Some(tape) = self.tape() {
            tape.restart(id);
        }
        let node = &mut self.nodes[id.index()];
        let durable = node.begin_life(executor);
        let (incarnation, records) = (durable.incarnation, durable.records.len());
        let newest = node.shelf.newest().cloned();
        self.chronicle_restart(id, incarnation);
        self.fold(14, u64::from(id.0), records as u64);
        self.tell(|| format!("{id} starts, life {}, {records} records", incarnation.0));
        if let Some(snapshot) = newest {
            self.mark("restart on a snapshot");
            if !self.restore(id, &snapshot) {
                return;
            }
        }
        match P::recover(id, self.config_of(id).clone(), durable) {
            Ok(replica) => {
                self.nodes[id.index()].replica = Some(replica);
                self.input(id, Input::Start);
            }
            Err(why) => self.cannot_recover(id, why.to_string()),
        }
    }

    /// What a node knows of the cluster at its start.
    pub(super) fn cluster_of(&self, id: NodeId) -> &Cluster {
        let founder = self.setup.cluster.voters.contains(id);
        if founder { &self.setup.cluster } else { &self.outside }
    }

    /// The settings that a node starts with.
    pub(super) fn config_of(&self, id: NodeId) -> &P::Config {
        let founder = self.setup.cluster.voters.contains(id);
        if founder { &self.config } else { &self.joining }
    }
}
