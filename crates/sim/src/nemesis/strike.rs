//! What each class of faults does.

use super::{Nemesis, Relay, Undo};
use crate::network::Curse;
use crate::options::Fault;
use crate::world::World;
use consensus_core::{Audit, ClientId, Message, NodeId, NodeSet, StateMachine};
use core::time::Duration;

impl Nemesis {
    pub(super) fn any_node<P: Audit, S: StateMachine>(&mut self, world: &World<P, S>) -> NodeId {
        NodeId(self.rng.below(world.cluster().size as u64) as u8)
    }

    pub(super) fn some_nodes<P: Audit, S: StateMachine>(&mut self, world: &World<P, S>) -> NodeSet {
        world.cluster().nodes().iter().filter(|_| self.rng.chance(5_000)).collect()
    }

    pub(super) fn strike<P: Audit, S: StateMachine>(
        &mut self,
        world: &mut World<P, S>,
        fault: Fault,
    ) {
        let all = world.cluster().nodes();
        match fault {
            Fault::Crash => self.crash(world),
            Fault::CrashMany => self.crash_many(world),
            Fault::CrashMidway => {
                let node = self.any_node(world);
                world.crash_after_effects(node, self.rng.below(12) as u32);
                let again = self.rng.below(3) as u32;
                self.later(world, Undo::RestartAndCrash(node, again));
            }
            Fault::CrashUnsynced => self.crash_unsynced(world),
            Fault::HitLeader => self.hit_leader(world),
            Fault::Pause => {
                let node = self.any_node(world);
                world.pause(node);
                self.later(world, Undo::Resume(node));
            }
            Fault::Isolate => {
                let node = self.any_node(world);
                self.isolate(world, node);
            }
            Fault::Split => {
                let side = self.some_nodes(world);
                world.split(side);
                world.fault("split");
                self.later(world, Undo::Mend(all));
            }
            Fault::OneWay => self.cut_some(world, 1_500, "one-way cut"),
            Fault::Partial => self.cut_some(world, 5_000, "partial connectivity"),
            Fault::Clog => self.clog(world),
            Fault::ClientCut => {
                let client = ClientId(self.rng.between(1, self.clients));
                let nodes = self.some_nodes(world);
                world.cut_client(client, nodes);
                self.later(world, Undo::Reconnect(client));
            }
            Fault::SlowDisk => {
                let node = self.any_node(world);
                let time = self.rng.time(Duration::from_millis(10), self.faults.lasts);
                world.stall_disk(node, time);
                world.fault("disk stalled");
            }
            Fault::SyncError => {
                let node = self.any_node(world);
                world.fail_next_sync(node);
                self.later(world, Undo::Restart(node));
            }
            Fault::DiskFull => {
                let node = self.any_node(world);
                world.fill_disk(node);
                self.later(world, Undo::Restart(node));
            }
            Fault::DiskLost => self.lose_disk(world),
            Fault::ClockJump => {
                let node = self.any_node(world);
                let by = self.rng.time(Duration::from_millis(1), Duration::from_secs(3600));
                world.jump_clock(node, by);
            }
            Fault::SlowNode => {
                let node = self.any_node(world);
                let by = self.rng.time(Duration::from_millis(1), Duration::from_millis(800));
                world.slow(node, by);
                world.fault("node slow");
                self.later(world, Undo::SpeedUp(node));
            }
            Fault::Storm => {
                world.storm(self.rng.between(2_000, 9_000) as u32);
                world.fault("burst of loss");
                self.later(world, Undo::EndStorm);
            }
            Fault::Curse => self.curse(world),
            Fault::Flap => self.begin_flapping(world),
            Fault::MinimalQuorum => self.minimal_quorum(world),
            Fault::LeaderRelay => {
                let legs = self.rng.between(2, 8) as u32;
                self.relay.get_or_insert(Relay { legs, last: None, doomed: None });
                self.pass_on(world);
            }
            Fault::Campaign => {
                let node = self.any_node(world);
                world.fault("asked to campaign");
                world.campaign(node);
            }
        }
    }

    fn crash<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let node = self.any_node(world);
        world.crash(node);
        self.later(world, Undo::Restart(node));
    }

    fn crash_many<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let all = self.rng.chance(4_000);
        let nodes = if all { world.cluster().nodes() } else { self.some_nodes(world) };
        if all {
            world.mark("all nodes crashed at once");
        }
        for node in nodes.iter() {
            world.crash(node);
            self.later(world, Undo::Restart(node));
        }
    }

    fn crash_unsynced<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let one = NodeSet::only(self.any_node(world));
        let nodes = if self.rng.chance(2_500) { world.cluster().nodes() } else { one };
        for node in nodes.iter() {
            world.crash_before_sync(node);
            self.later(world, Undo::Restart(node));
        }
    }

    fn hit_leader<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let Some(leader) = world.leader() else { return };
        match self.rng.below(6) {
            0 => {
                world.pause(leader);
                self.later(world, Undo::Resume(leader));
            }
            1 => self.isolate(world, leader),
            2 => {
                world.crash_after_effects(leader, self.rng.below(8) as u32);
                self.later(world, Undo::Restart(leader));
            }
            3 => {
                // Some of its last messages arrive and others do not: its successor finds holes.
                world.storm(self.rng.between(3_000, 8_000) as u32);
                world.crash_after_effects(leader, self.rng.between(10, 80) as u32);
                self.later(world, Undo::EndStorm);
                self.later(world, Undo::Restart(leader));
            }
            4 => {
                // What it sent last is written, and not synced, when its successor comes.
                let time = self.rng.time(Duration::from_millis(300), Duration::from_millis(1_500));
                for node in self.some_nodes(world).iter() {
                    world.stall_disk(node, time);
                }
                self.isolate(world, leader);
            }
            _ => {
                world.crash(leader);
                self.later(world, Undo::Restart(leader));
            }
        }
        world.fault("leader hit");
    }

    fn isolate<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>, node: NodeId) {
        world.isolate(node);
        world.fault("node isolated");
        self.later(world, Undo::Mend(world.cluster().nodes()));
    }

    fn cut_some<P: Audit, S: StateMachine>(
        &mut self,
        world: &mut World<P, S>,
        share: u32,
        name: &'static str,
    ) {
        let all = world.cluster().nodes();
        for from in all.iter() {
            for to in all.without(from).iter() {
                if self.rng.chance(share) {
                    world.cut(from, to);
                }
            }
        }
        world.fault(name);
        self.later(world, Undo::Mend(all));
    }

    fn clog<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let from = self.any_node(world);
        let share = self.rng.pick(&[2_000, 10_000]);
        for to in world.cluster().peers_of(from).iter() {
            if self.rng.chance(share) {
                let time = self.rng.time(Duration::from_millis(1), self.faults.lasts);
                world.clog(from, to, time);
            }
        }
        world.fault("links clogged");
    }

    /// A disk that no driver would start on: damaged, or empty under an old name. The node stays
    /// down for ever; there are never more of them than the algorithm survives.
    fn lose_disk<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let size = world.decided_members().voters.len();
        let lost = world.condemned().or(world.traitors()).len();
        let node = self.any_node(world);
        let spared = self.spared.contains(node);
        let most = P::INFO.max_faults(size).min(size.saturating_sub(world.live_quorum()));
        let can = !spared && lost < most && self.rng.chance(3_000);
        if can && world.survives_without(node) {
            world.condemn(node);
        }
    }

    fn curse<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let kind = self.rng.pick(<P::Message as Message>::KINDS);
        let node = self.any_node(world);
        let of = self.rng.chance(5_000).then_some(node);
        let late = self.rng.time(Duration::from_millis(1), self.faults.lasts);
        let curse = if self.rng.chance(3_000) { Curse::Lost } else { Curse::Late(late) };
        world.curse(Some((kind, of, curse)));
        self.later(world, Undo::EndCurse);
    }

    /// The leader reaches just enough followers for a quorum: what it commits is on few disks.
    fn minimal_quorum<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let Some(leader) = world.leader() else { return };
        let voters = world.decided_members().voters;
        let mut outside: Vec<NodeId> = voters.without(leader).iter().collect();
        for _ in 1..world.live_quorum().min(outside.len() + 1) {
            let place = self.rng.place(outside.len());
            outside.swap_remove(place);
        }
        let both = self.rng.chance(5_000);
        for node in outside {
            world.cut(leader, node);
            if both {
                world.cut(node, leader);
            }
        }
        world.fault("leader left with a bare quorum");
        self.later(world, Undo::Mend(world.cluster().nodes()));
    }

    fn begin_flapping<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        let (from, to) = (self.any_node(world), self.any_node(world));
        if from == to {
            return;
        }
        let election = world.cluster().timing.election_min;
        let period = self.rng.time(election / 5, election * 5);
        let times = self.rng.between(2, 12) as u32;
        world.fault("link flaps");
        self.flap(world, (from, to), period, times);
    }

    pub(super) fn flap<P: Audit, S: StateMachine>(
        &mut self,
        world: &mut World<P, S>,
        (from, to): (NodeId, NodeId),
        period: Duration,
        left: u32,
    ) {
        if left == 0 || world.is_cut(from, to) {
            world.mend(from, to);
        } else {
            world.cut(from, to);
        }
        if left > 0 {
            self.undo.push((world.now() + period, Undo::Flap(from, to, period, left - 1)));
        }
    }

    /// One leg of a relay, if one runs and there is a new leader.
    pub(super) fn pass_on<P: Audit, S: StateMachine>(&mut self, world: &mut World<P, S>) {
        self.changes = world.leader_changes();
        let Some(Relay { mut legs, mut last, mut doomed }) = self.relay else { return };
        if let Some(dead) = doomed.filter(|node| !world.is_running(*node)) {
            if let Some(node) = last.filter(|node| *node != dead) {
                world.restart(node);
                if self.rng.chance(5_000) {
                    world.campaign(node);
                }
            }
            (last, doomed, legs) = (Some(dead), None, legs.saturating_sub(1));
            self.undo.retain(|(_, undo)| !matches!(undo, Undo::Restart(node) if *node == dead));
        }
        self.relay = Some(Relay { legs, last, doomed });
        if legs == 0 {
            self.relay = None;
            last.into_iter().for_each(|node| world.restart(node));
            return;
        }
        let Some(leader) = world.leader().filter(|_| doomed.is_none()) else { return };
        // It dies a little later: after it wrote something, or reached one of the others.
        match self.rng.below(3) {
            0 => world.crash_at_commit(leader),
            1 => world.crash_after_effects(leader, self.rng.between(1, 4) as u32),
            _ => world.crash_after_effects(leader, self.rng.below(16) as u32),
        }
        self.relay = Some(Relay { legs, last, doomed: Some(leader) });
        world.fault("leader hit in a relay");
    }
}
