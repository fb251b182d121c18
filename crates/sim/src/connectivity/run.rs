//! One case, run and judged.

use super::case::{Case, FIRST, Way};
use crate::registers::{Operation, Registers};
use crate::report::{Finding, Violation};
use crate::world::{Setup, World};
use consensus_core::{
    Audit, Cluster, ClusterId, FaultModel, LogIndex, NodeId, NodeSet, Outcome, Patience,
    ProtocolConfig, Role,
};
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Fresh commands that must be committed.
const COMMANDS: usize = 10;

/// Within how many election timeouts, from the cut, from the mending, and in each window.
pub const LIMIT: u32 = 10;

/// So long is waited for an algorithm that is late, to say how late it is.
const AT_MOST: u32 = 30;

/// Election timeouts after which a leader must be settled, at the earliest.
const SETTLED: u32 = 10;

/// Then each of so many windows of so many election timeouts must see commits and no election.
const WINDOWS: u32 = 4;
const WINDOW: u32 = 6;

/// Commands that a leader alone has in its log where logs are frayed, and those that the others
/// decide after it; more than they keep behind a snapshot.
const OWN: u32 = 16;
const MORE: u64 = 9;
const TRAILING: u64 = 2;
const SNAPSHOTS: u64 = 4;

/// Heartbeats within which a leader hears that it was outbid, and makes room.
const MAKES_ROOM: u32 = 4;

/// What became of a case. Times are in election timeouts (the longest, of the cluster's timing).
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The graph leaves somebody enough to go on.
    pub must_live: bool,
    /// From the cut, or when commands came after it, until ten were committed.
    pub progress: Option<f64>,
    /// Leaders elected between the cut and the time when all must be settled.
    pub elections: u64,
    /// Leaders elected after that, under the same links.
    pub changes: u64,
    /// Epochs begun after that, by anybody.
    pub epochs: u64,
    /// From the mending of all links until ten commands were committed, where none were before.
    pub recovery: Option<f64>,
    /// What was wrong first.
    pub violation: Option<Violation>,
    /// Events that were processed.
    pub events: u64,
}

/// Runs one case.
pub fn run<P: Audit>(case: &Case, seed: u64) -> Verdict {
    let mut run = Run::<P>::new(case, seed);
    run.guarded();
    run.verdict
}

/// The same, and all its events.
pub fn trace<P: Audit>(case: &Case, seed: u64) -> (Verdict, Vec<String>) {
    let mut run = Run::<P>::new(case, seed);
    run.world.keep_log();
    run.guarded();
    let log = run.world.take_log();
    (run.verdict, log)
}

struct Run<'a, P: Audit> {
    case: &'a Case,
    world: World<P, Registers>,
    timeout: Duration,
    verdict: Verdict,
}

impl<'a, P: Audit> Run<'a, P> {
    fn new(case: &'a Case, seed: u64) -> Self {
        let cluster = Cluster::new(ClusterId(u128::from(seed)), case.graph.nodes());
        let timeout = cluster.timing.election_max;
        let usual = P::Config::for_cluster(&cluster).expect("a case that is possible");
        let mut setup = Setup::<P>::new(cluster, seed);
        setup.compare_states_every = Some(8);
        match case.way {
            Way::Calm | Way::Busy => {}
            Way::Frayed => {
                setup.config = Some(usual.with_trailing(TRAILING));
                setup.snapshot_every = Some(SNAPSHOTS);
            }
            Way::Preferred => {
                let preferring = usual.with_variants(&[FIRST.to_owned()], &setup.cluster);
                setup.config = Some(preferring.expect("a case that is possible"));
            }
        }
        let verdict = Verdict {
            must_live: case.must_live::<P>(),
            progress: None,
            elections: 0,
            changes: 0,
            epochs: 0,
            recovery: None,
            violation: None,
            events: 0,
        };
        Self { case, world: World::new(setup, Registers::default), timeout, verdict }
    }

    fn guarded(&mut self) {
        let ended = catch_unwind(AssertUnwindSafe(|| self.all_phases()));
        if let Err(panic) = ended {
            let text = panic.downcast_ref::<String>().map(String::as_str);
            let text = text.or_else(|| panic.downcast_ref::<&str>().copied());
            self.world.panicked(text.unwrap_or("a panic without a message").to_owned());
        }
        self.verdict.events = self.world.events();
        // What a step broke explains what did not happen later, not the other way round.
        if let Some(violation) = self.world.violation() {
            self.verdict.violation = Some(violation.clone());
        }
    }

    fn all_phases(&mut self) {
        if !self.establish() || !self.commit_some() {
            return self.blame("O13", "a leader before the cut", "nobody led, or served".into());
        }
        if self.case.way == Way::Frayed {
            self.fray();
        }
        let before = self.world.leader_changes();
        self.cut();
        if self.case.way == Way::Calm {
            self.wait(2);
        }
        self.add_clients();
        let start = self.world.now();
        if self.verdict.must_live {
            self.demand_progress();
        } else {
            self.demand_silence();
        }
        let settled = start + self.timeout * SETTLED;
        let settled = settled.max(self.world.now() + self.timeout * 2);
        self.world.run_until(settled, |_| false);
        self.verdict.elections = self.world.leader_changes() - before;
        let works = self.verdict.must_live && self.verdict.progress.is_some();
        if works {
            self.demand_peace();
            self.hand_over();
        }
        self.mend(works);
    }

    /// The wanted node leads. Where nobody can be asked to, leaders are cut off until it is its
    /// turn. Without leaders there is nothing to do.
    fn establish(&mut self) -> bool {
        let wanted = self.case.leader;
        self.world.campaign(wanted);
        let limit = self.world.now() + self.timeout;
        let leads = |world: &World<P, Registers>| {
            let status = world.status(wanted);
            status.is_some_and(|it| it.role == Role::Peer) || world.leader() == Some(wanted)
        };
        self.world.run_until(limit, leads);
        for _ in 0..4 * self.case.graph.nodes() {
            if self.world.violation().is_some() || leads(&self.world) {
                break;
            }
            self.depose();
        }
        self.wait(1);
        leads(&self.world)
    }

    /// Whoever leads is cut off while commands wait at the others, until another leads.
    fn depose(&mut self) {
        let leader = self.world.leader();
        if let Some(leader) = leader {
            self.world.isolate(leader);
        }
        for node in self.world.cluster().nodes().iter() {
            if Some(node) != leader {
                self.world.submit(node, Operation::Get(0).encode());
            }
        }
        let limit = self.world.now() + self.timeout * LIMIT;
        self.world.run_until(limit, |world| world.leader() != leader);
        self.world.heal_all();
        self.wait(1);
    }

    /// Commands of a client at the leader, so that there is something that must not be lost.
    fn commit_some(&mut self) -> bool {
        if let Some(behind) = self.case.behind {
            self.world.isolate(behind);
        }
        let before = self.world.completions().len();
        let client = self.world.add_client(self.case.leader, self.patience(), |nth| {
            (nth < 5).then(|| (Operation::Append(0, nth).encode(), None))
        });
        let limit = self.world.now() + self.timeout * LIMIT;
        self.world.run_until(limit, |world| world.client_ended(client));
        if self.case.behind.is_none() {
            self.wait(1);
        }
        committed(&self.world, before) == 5
    }

    /// Leader after leader loses all others with commands that it alone gets to see, until too few
    /// are left to have one; in between the rest decides more. Where nobody leads, whoever is next.
    fn fray(&mut self) {
        let all = self.world.cluster().nodes();
        let enough = P::INFO.quorum(all.len());
        let (mut left, mut next) = (all, Some(self.case.leader));
        while let Some(node) = next {
            left.remove(node);
            self.world.isolate(node);
            for _ in 0..OWN {
                // Each an entry by itself.
                drop(self.world.submit(node, Operation::Append(2, 0).encode()));
                self.world.run_for(Duration::from_millis(1));
            }
            next = None;
            if left.len() >= enough && self.decide_among(left) {
                let leader = self.world.leader().filter(|leader| left.contains(*leader));
                next = leader.or(left.iter().next());
            }
        }
        self.wait(2);
    }

    /// Those who are left decide more than the ones before them had.
    fn decide_among(&mut self, left: NodeSet) -> bool {
        let node = left.iter().next().expect("a quorum has a node");
        let client = self.world.add_client(node, self.patience(), |nth| {
            (nth < MORE).then(|| (Operation::Append(1, nth).encode(), None))
        });
        let limit = self.world.now() + self.timeout * LIMIT;
        self.world.run_until(limit, |world| world.client_ended(client))
    }

    /// From now on the links are those of the graph.
    fn cut(&mut self) {
        for from in self.world.cluster().nodes().iter() {
            for to in self.world.cluster().peers_of(from).iter() {
                if self.case.graph.reaches(from.0, to.0) {
                    self.world.mend(from, to);
                } else {
                    self.world.cut(from, to);
                }
            }
        }
    }

    /// A client at each node, which reaches all of them. First it asks for much at once, so that
    /// whoever is served shows progress, and then now and then.
    fn add_clients(&mut self) {
        let (start, pace) = (self.world.now(), self.timeout / 2);
        for node in self.world.cluster().nodes().iter() {
            self.world.add_client(node, self.patience(), move |nth| {
                let due = start + pace * (nth as u32).saturating_sub(COMMANDS as u32);
                Some((Operation::Append(1, nth).encode(), Some(due)))
            });
        }
    }

    fn patience(&self) -> Patience {
        Patience {
            attempt: self.timeout,
            pause: Duration::from_millis(20),
            give_up: self.timeout * LIMIT,
        }
    }

    /// O13: ten commands are committed in time.
    fn demand_progress(&mut self) {
        self.verdict.progress = self.time_to_commit();
        self.judge_time("progress over these links", self.verdict.progress);
    }

    /// Where nobody reaches a quorum both ways, no quorum can have agreed on anything new.
    fn demand_silence(&mut self) {
        let before = self.world.completions().len();
        self.wait(SETTLED);
        let committed = committed(&self.world, before);
        if committed > 0 {
            self.verdict.progress = Some(f64::from(SETTLED));
            if P::INFO.faults == FaultModel::Crash {
                let detail = format!("{committed} commands, and nobody reaches a quorum both ways");
                self.blame("O6", "no commit without a quorum", detail);
            }
        }
    }

    /// Who works is left to work: commands in every window, of every client over all of them, no
    /// other leader, no later epoch.
    fn demand_peace(&mut self) {
        let (changes, epoch) = (self.world.leader_changes(), self.highest_epoch());
        let all = self.world.completions().len();
        for nth in 1..=WINDOWS {
            let before = self.world.completions().len();
            self.wait(WINDOW);
            let committed = committed(&self.world, before);
            if committed < COMMANDS {
                let detail = format!("{committed} commands in window {nth}");
                self.blame("O13", "progress goes on", detail);
            }
        }
        let served = self.world.completions()[all..].iter();
        let served = served.filter(|one| matches!(one.outcome, Outcome::Committed { .. }));
        let mut clients: Vec<u64> = served.map(|one| one.client.0).collect();
        clients.sort_unstable();
        clients.dedup();
        if clients.len() < self.case.graph.nodes() {
            let detail = format!("of the clients at the nodes only {clients:?} were served");
            self.blame("O13", "progress of every client", detail);
        }
        self.verdict.changes = self.world.leader_changes() - changes;
        self.verdict.epochs = self.highest_epoch() - epoch;
        self.judge_peace("a working leader is left in peace", changes, epoch);
    }

    /// O14: nobody else was elected, and no epoch was begun. Without leaders an epoch is a ballot,
    /// and each command has its own.
    fn judge_peace(&mut self, name: &'static str, changes: u64, epoch: u64) {
        let changes = self.world.leader_changes() - changes;
        let epochs = self.highest_epoch() - epoch;
        if !self.is_leaderless() && changes + epochs > 0 {
            self.blame("O14", name, format!("{changes} elections, {epochs} epochs"));
        }
    }

    /// An operator asks another node to lead that can. If it does, the leader before learns it from
    /// those who follow the new one, and makes room at once (O14), even if the two do not hear each
    /// other; either way commands go on.
    fn hand_over(&mut self) {
        let quorum = P::INFO.quorum(self.case.graph.nodes());
        let leader = self.world.leader();
        let is_hub = |node: &NodeId| self.case.graph.both_ways(node.0).len() >= quorum;
        let nodes = self.world.cluster().nodes();
        let heir = nodes.iter().find(|node| Some(*node) != leader && is_hub(node));
        let (Some(heir), Some(_)) = (heir, leader) else { return };
        self.world.campaign(heir);
        self.world.run_for(self.world.cluster().timing.heartbeat * MAKES_ROOM);
        let leads = |node: &NodeId| {
            self.world.status(*node).is_some_and(|status| status.role == Role::Leader)
        };
        let leaders: NodeSet = nodes.iter().filter(leads).collect();
        if P::INFO.faults == FaultModel::Crash && leaders.len() > 1 {
            let detail = format!("{leaders:?} lead, since {heir} was asked to");
            self.blame("O14", "who is outbid makes room", detail);
        }
        let took = self.time_to_commit();
        self.judge_time("progress after a leader was asked for", took);
        self.wait(2);
    }

    /// All links work again: commands go on, who led still leads, and everybody catches up.
    fn mend(&mut self, worked: bool) {
        // Who is preferred may well take over now.
        let quiet = worked && self.case.way != Way::Preferred && self.verdict.violation.is_none();
        let (changes, epoch) = (self.world.leader_changes(), self.highest_epoch());
        self.world.heal_all();
        self.add_clients();
        let took = self.time_to_commit();
        self.judge_time("progress after the links are mended", took);
        self.verdict.recovery = took.filter(|_| self.verdict.progress.is_none());
        self.wait(WINDOW);
        if quiet {
            self.judge_peace("who comes back deposes nobody", changes, epoch);
        }
        let upto = self.world.last_committed();
        let limit = self.world.now() + self.timeout * LIMIT;
        if !self.world.run_until(limit, |world| behind(world, upto).is_empty()) {
            let late = behind(&self.world, upto);
            self.blame("O13", "everybody catches up", format!("{late:?} did not reach {upto}"));
        }
    }

    /// Election timeouts until ten more commands are committed.
    fn time_to_commit(&mut self) -> Option<f64> {
        let (start, mut seen) = (self.world.now(), self.world.completions().len());
        let mut count = 0;
        let enough = |world: &World<P, Registers>| {
            if world.completions().len() > seen {
                count += committed(world, seen);
                seen = world.completions().len();
            }
            count >= COMMANDS
        };
        let done = self.world.run_until(start + self.timeout * AT_MOST, enough);
        let took = (self.world.now() - start).as_secs_f64() / self.timeout.as_secs_f64();
        done.then_some(took)
    }

    fn judge_time(&mut self, name: &'static str, took: Option<f64>) {
        match took {
            Some(took) if took <= f64::from(LIMIT) => {}
            Some(took) => {
                let detail = format!("after {took:.1} election timeouts, more than {LIMIT}");
                self.blame("O13", name, detail);
            }
            None => self.blame("O13", name, format!("none within {AT_MOST} election timeouts")),
        }
    }

    fn wait(&mut self, timeouts: u32) {
        self.world.run_for(self.timeout * timeouts);
    }

    /// The highest epoch; where replicas may lie, the highest that more have reached than may lie:
    /// one that hears too little may ask for a later view, and the others let it (PBFT, §4.5.2).
    fn highest_epoch(&self) -> u64 {
        let nodes = self.world.cluster().nodes();
        let epochs = nodes.iter().filter_map(|node| Some(self.world.status(node)?.epoch));
        let mut epochs: Vec<u64> = epochs.collect();
        epochs.sort_unstable_by(|a, b| b.cmp(a));
        let liars = match P::INFO.faults {
            FaultModel::Crash => 0,
            FaultModel::Byzantine => P::INFO.max_faults(nodes.len()),
        };
        epochs.get(liars).copied().unwrap_or(0)
    }

    fn is_leaderless(&self) -> bool {
        self.world.status(self.case.leader).is_some_and(|status| status.role == Role::Peer)
    }

    /// Notes what was wrong first. Time goes on, to see what else there is to say.
    fn blame(&mut self, oracle: &'static str, name: &'static str, detail: String) {
        if self.verdict.violation.is_none() {
            let states = self.world.cluster().nodes().iter();
            let states: Vec<_> = states.map(|node| (node, self.world.status(node))).collect();
            let Finding { oracle, name, detail } =
                Finding::new(oracle, name, format!("{}: {detail}; {states:?}", self.case));
            let at = self.world.now();
            self.verdict.violation = Some(Violation { oracle, name, at, node: None, detail });
        }
    }
}

/// Commands that ended well, of those that ended since.
fn committed<P: Audit>(world: &World<P, Registers>, since: usize) -> usize {
    let ended = world.completions()[since..].iter();
    ended.filter(|one| matches!(one.outcome, Outcome::Committed { .. })).count()
}

/// Who has not committed all of this.
fn behind<P: Audit>(world: &World<P, Registers>, upto: LogIndex) -> NodeSet {
    let late = |node: &NodeId| world.status(*node).is_none_or(|status| status.committed < upto);
    world.cluster().nodes().iter().filter(late).collect()
}

#[cfg(test)]
mod tests {
    use super::super::{Graph, hunt, named};
    use super::*;
    use crate::toy::{Config, Mistake, Toy};

    /// A case of the toy, whose only leader ever is node 0, with a mistake in it.
    fn toy(case: &Case, mistake: Mistake) -> Verdict {
        let mut run = Run::<Toy>::new(case, 1);
        let usual = Config::for_cluster(run.world.cluster()).expect("a toy runs anywhere");
        let mut setup = Setup::<Toy>::new(run.world.cluster().clone(), 1);
        setup.config = Some(Config { mistake, ..usual });
        run.world = World::new(setup, Registers::default);
        run.guarded();
        run.verdict
    }

    fn found(case: &Case, mistake: Mistake) -> Option<(&'static str, &'static str)> {
        toy(case, mistake).violation.map(|violation| (violation.oracle, violation.name))
    }

    fn calm(links: &[(u8, u8)]) -> Case {
        Case::calm(Graph::of_links(3, links), NodeId(0))
    }

    #[test]
    fn a_leader_that_keeps_its_quorum_goes_on() {
        for graph in [Graph::full(3), Graph::of_links(3, &[(0, 1)]).with(2, 0)] {
            for case in [Way::Calm, Way::Busy].map(|way| Case::calm(graph, NodeId(0)).by(way)) {
                let verdict = toy(&case, Mistake::None);
                assert_eq!(verdict.violation, None, "{case}");
                assert!(verdict.must_live && verdict.progress.is_some_and(|took| took < 0.5));
                assert_eq!((verdict.changes, verdict.epochs, verdict.recovery), (0, 0, None));
            }
        }
    }

    /// O13: nodes 1 and 2 are a quorum, and the toy waits for node 0 all the same.
    #[test]
    fn a_quorum_that_does_not_go_on_is_found() {
        let case = calm(&[(1, 2)]);
        assert_eq!(found(&case, Mistake::None), Some(("O13", "progress over these links")));
    }

    /// O13: what goes on must not end.
    #[test]
    fn progress_that_ends_is_found() {
        let stuck = found(&calm(&[(0, 1), (1, 2), (0, 2)]), Mistake::StuckLater);
        assert_eq!(stuck, Some(("O13", "progress goes on")));
    }

    /// O14: a working leader and its followers begin no epoch.
    #[test]
    fn disturbance_under_fixed_links_is_found() {
        let restless = found(&calm(&[(0, 1), (0, 2)]), Mistake::Restless);
        assert_eq!(restless, Some(("O14", "a working leader is left in peace")));
    }

    /// Nobody reaches a quorum: nothing happens, and that is right; and then all is mended.
    #[test]
    fn who_has_no_quorum_waits() {
        let verdict = toy(&calm(&[]), Mistake::None);
        assert_eq!(verdict.violation, None);
        assert!(!verdict.must_live && verdict.progress.is_none() && verdict.recovery.is_some());
    }

    /// O6: a commit where nobody reaches a quorum both ways counts somebody who said nothing.
    #[test]
    fn a_commit_without_a_quorum_is_found() {
        let lone = found(&calm(&[]), Mistake::CommitsAlone);
        assert_eq!(lone.map(|(oracle, _)| oracle), Some("O6"));
    }

    /// What the kill matrix calls: the toy cannot change its leader, and is found out.
    #[test]
    fn a_hunt_ends_with_the_first_finding() {
        let (_, _, violation) = hunt::<Toy>(50).expect("the toy has but one leader");
        assert_eq!(violation.oracle, "O13");
        assert!(named("chained").is_some() && named("square").is_none());
    }
}
