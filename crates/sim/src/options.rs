//! What one checked run is like. A seed draws all of it (swarm testing: Groce et al., ISSTA 2012):
//! most runs leave whole classes of faults out, so that what is left is not drowned by the rest.

use crate::disk::DiskModel;
use crate::network::{Latency, Network};
use crate::operators::{Offers, Operators};
use crate::rng::Rng;
use crate::shuffle::Shuffle;
use consensus_core::{
    Audit, Cluster, ClusterId, ConfigError, FaultModel, NodeId, NodeSet, ProtocolConfig, Sizes,
    Timing, Variant,
};
use core::time::Duration;

/// A class of faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Fault {
    /// One node crashes, and restarts later.
    Crash,
    /// Several nodes, or all, crash at once.
    CrashMany,
    /// A node crashes between two effects of a step, and again while it recovers.
    CrashMidway,
    /// A node, or all, crash with writes that are not synced.
    CrashUnsynced,
    /// The leader crashes, or is cut off.
    HitLeader,
    /// A node stands still for longer than an election timeout.
    Pause,
    /// One node loses all its links.
    Isolate,
    /// The cluster falls into two parts.
    Split,
    /// Links are cut in one direction only.
    OneWay,
    /// Any directed graph of links.
    Partial,
    /// A link delivers nothing, and then everything at once.
    Clog,
    /// Clients cannot reach some nodes.
    ClientCut,
    /// A disk ends no sync for a while.
    SlowDisk,
    /// A sync fails: the process stops, and believes nothing of it.
    SyncError,
    /// A write finds the disk full: the process stops, and comes back when there is room.
    DiskFull,
    /// What was synced is damaged or gone, the driver refuses to start on it, and the node stays
    /// down for ever. Never more of these than the algorithm survives.
    DiskLost,
    /// A clock jumps ahead: all timers of a node fire at once.
    ClockJump,
    /// A node is many times slower than the others.
    SlowNode,
    /// For a while most messages are lost, everywhere.
    Storm,
    /// For a while messages of one kind are lost, or come very late.
    Curse,
    /// A link comes and goes, with a period around the election timeout.
    Flap,
    /// The leader reaches just enough others for a quorum.
    MinimalQuorum,
    /// Leader after leader crashes soon after its election, and the one before comes back.
    LeaderRelay,
    /// A replica is asked to lead.
    Campaign,
}

impl Fault {
    /// All classes.
    pub const ALL: [Self; 24] = [
        Self::Crash,
        Self::CrashMany,
        Self::CrashMidway,
        Self::CrashUnsynced,
        Self::HitLeader,
        Self::Pause,
        Self::Isolate,
        Self::Split,
        Self::OneWay,
        Self::Partial,
        Self::Clog,
        Self::ClientCut,
        Self::SlowDisk,
        Self::SyncError,
        Self::DiskFull,
        Self::DiskLost,
        Self::ClockJump,
        Self::SlowNode,
        Self::Storm,
        Self::Curse,
        Self::Flap,
        Self::MinimalQuorum,
        Self::LeaderRelay,
        Self::Campaign,
    ];
}

/// The faults of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Faults {
    /// What links are like while faults are on.
    pub network: Network,
    /// What disks are like.
    pub disk: DiskModel,
    /// The classes that are injected.
    pub classes: Vec<Fault>,
    /// Mean time between two of them.
    pub every: Duration,
    /// How long one lasts at most, where it ends by itself.
    pub lasts: Duration,
    /// By how much clocks run fast or slow at most, in ten thousand.
    pub drift: u32,
}

impl Faults {
    /// None at all.
    pub fn none() -> Self {
        Self {
            network: Network::default(),
            disk: DiskModel::default(),
            classes: Vec::new(),
            every: Duration::from_secs(1),
            lasts: Duration::from_secs(1),
            drift: 0,
        }
    }

    fn drawn(rng: &mut Rng) -> Self {
        // Few classes let one kind of trouble build up; many let them meet.
        let share = rng.pick(&[1_000, 3_000, 6_000, 6_000]);
        let classes = Fault::ALL.into_iter().filter(|_| rng.chance(share)).collect();
        // In some runs faults come so thick that a leader seldom finishes what it began.
        let every = if rng.chance(3_000) {
            rng.time(Duration::from_millis(20), Duration::from_millis(300))
        } else {
            rng.time(Duration::from_millis(200), Duration::from_millis(2_500))
        };
        let lasts = rng.time(Duration::from_millis(300), Duration::from_secs(6));
        let drift = some(rng, 2_000);
        Self { network: network(rng), disk: disk(rng), classes, every, lasts, drift }
    }
}

/// The usual sizes, the smallest, or some of each: what small sizes of one kind bring up may need
/// large ones of another.
pub(crate) fn sizes(seed: u64) -> Sizes {
    let mut rng = Rng::for_purpose(seed, 4);
    match rng.below(10) {
        0..4 => Sizes::USUAL,
        4..7 => Sizes::SMALLEST,
        _ => Sizes::of_bits(rng.next_u64() as u32),
    }
}

/// A chance up to `most`, and none at all in three of ten runs.
fn some(rng: &mut Rng, most: u32) -> u32 {
    if rng.chance(3_000) { 0 } else { rng.between(0, u64::from(most)) as u32 }
}

fn latency(rng: &mut Rng) -> Latency {
    let base = rng.time(Duration::from_micros(100), Duration::from_millis(4));
    match rng.below(4) {
        0 => Latency::Fixed(base),
        1 => Latency::Uniform { min: base, max: base * 8 },
        2 => Latency::Tailed { min: base, max: base * 64 },
        _ => Latency::Bimodal { near: base, far: base * 20, far_share: 500 },
    }
}

fn network(rng: &mut Rng) -> Network {
    Network {
        latency: latency(rng),
        client_latency: latency(rng),
        matrix: None,
        loss: some(rng, 2_000),
        duplication: some(rng, 3_000),
        late_replay: if rng.chance(1_000) { 3_000 } else { some(rng, 500) },
        replay_within: rng.time(Duration::from_millis(100), Duration::from_secs(8)),
        client_loss: some(rng, 1_000),
        client_silence: some(rng, 5_000),
    }
}

fn disk(rng: &mut Rng) -> DiskModel {
    let base = rng.time(Duration::from_micros(50), Duration::from_millis(5));
    let sync = match rng.below(4) {
        0 => Latency::Fixed(Duration::ZERO),
        1 => Latency::Uniform { min: base, max: base * 4 },
        2 => Latency::Tailed { min: base, max: base * 100 },
        _ => Latency::Bimodal { near: base, far: base * 40, far_share: 1_000 },
    };
    DiskModel { sync }
}

/// Named options, in half of the runs: one, and sometimes more that go with it.
pub(crate) fn variants<P: Audit>(seed: u64) -> Vec<String> {
    let rng = &mut Rng::for_purpose(seed, 5);
    let all = P::Config::VARIANTS;
    let mut names: Vec<String> = Vec::new();
    if all.is_empty() || rng.chance(5_000) {
        return names;
    }
    for _ in 0..rng.pick(&[1, 1, 2, 3]) {
        let name = rng.pick(all).name;
        if names.iter().all(|other| Variant::key(other) != Variant::key(name)) {
            names.push(name.to_owned());
        }
    }
    names.sort_unstable();
    names
}

/// Flexible quorums of any sizes that meet, in half of the runs that have some: a named choice
/// knows one way only in which the two differ, and to swap them may do no harm then.
fn any_quorums(variants: &mut [String], seed: u64, nodes: usize) {
    let rng = &mut Rng::for_purpose(seed, 17);
    for name in variants.iter_mut().filter(|name| Variant::key(name) == "quorums") {
        if rng.chance(5_000) {
            let phase_1 = rng.between(1, nodes as u64);
            *name = format!("quorums={phase_1}/{}", nodes as u64 + 1 - phase_1);
        }
    }
}

/// In one of three runs nodes are so busy that what comes gathers for so long.
pub(crate) fn turns(seed: u64) -> Option<Duration> {
    let rng = &mut Rng::for_purpose(seed, 14);
    rng.chance(3_333).then(|| Duration::from_micros(rng.pick(&[300, 3_000, 3_000, 20_000])))
}

/// In one of four runs the service keeps few sessions: enough for the clients that stay, with those
/// that come when all is healed.
pub(crate) fn sessions(seed: u64) -> Option<usize> {
    let rng = &mut Rng::for_purpose(seed, 21);
    rng.chance(2_500).then(|| rng.between(9, 14) as usize)
}

/// In every other run drivers look at things where they lie, but where nodes crash between two
/// effects: there they come one by one.
pub(crate) fn in_place(seed: u64, classes: &[Fault]) -> bool {
    Rng::for_purpose(seed, 22).chance(5_000) && !classes.contains(&Fault::CrashMidway)
}

/// One run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Replicas.
    pub nodes: usize,
    /// Clients while faults are on.
    pub clients: usize,
    /// Commands of each of them.
    pub commands: usize,
    /// Longest time that they think between two commands; zero to ask again at once.
    pub think: Duration,
    /// Registers that they work on: few, so that they meet.
    pub registers: u8,
    /// Sessions that the service keeps: so many come and go beside the clients that stay. `None`:
    /// room for all, and nobody comes.
    pub sessions: Option<usize>,
    /// Commands that a node puts into one batch at most.
    pub max_batch: usize,
    /// Timeouts of the cluster.
    pub timing: Timing,
    /// Of which windows and pages the algorithm has the smallest that it can work with.
    pub sizes: Sizes,
    /// A node takes in what comes within so long at most before it says that there is no more, as a
    /// busy one does. `None`: it says so after every input.
    pub turns: Option<Duration>,
    /// Drivers look at things where they lie, as that of the runtime does.
    pub in_place: bool,
    /// Named options of the algorithm that are on.
    pub variants: Vec<String>,
    /// What goes wrong.
    pub faults: Faults,
    /// What operators and readers do meanwhile.
    pub operators: Operators,
    /// How long faults go on, in virtual time; shorter if all commands end before.
    pub safety: Duration,
    /// Nodes that lie. More than zero only for Byzantine algorithms.
    pub traitors: usize,
    /// This node is among the traitors and equivocates from the first message to the last.
    pub equivocator: Option<NodeId>,
    /// Negative control: there may be more traitors than the algorithm survives. They must break it
    /// in many runs, or they are too weak to prove anything. No progress is demanded.
    pub too_many_traitors: bool,
    /// Nodes that the healed core always has in it: for an algorithm whose leader never changes.
    pub core_includes: NodeSet,
    /// Within how many times the longest election timeout a healed quorum must have answered
    /// fresh clients, and all replicas must have caught up (O13).
    pub patience: u32,
    /// Instead of faults in time: no clock decides what comes next, see [`Shuffle`].
    pub shuffle: Option<Shuffle>,
}

impl Options {
    /// What this seed draws.
    pub fn for_seed<P: Audit>(seed: u64) -> Self {
        let rng = &mut Rng::for_purpose(seed, 1);
        let byzantine = P::INFO.faults == FaultModel::Byzantine;
        // Even sizes and, for PBFT, those between 3f + 1 and the next are where quorums that are
        // computed by a wrong formula differ from the right ones.
        let nodes = rng.pick(if byzantine {
            &[4, 4, 4, 4, 4, 5, 6, 7, 7, 7]
        } else {
            &[3, 3, 3, 3, 3, 5, 5, 5, 4, 2]
        });
        // Beyond eight voters Raft counts in another way. They cost much, so they are rare.
        let large = !byzantine && Rng::for_purpose(seed, 19).chance(100);
        let nodes = if large { 9 } else { nodes };
        let operators = Operators::drawn(&mut Rng::for_purpose(seed, 12), Offers::of::<P>(), false);
        let traitors = match (byzantine, rng.below(8)) {
            (false, _) | (true, 0..3) => 0,
            (true, 3) => rng.between(0, P::INFO.max_faults(nodes) as u64) as usize,
            (true, _) => P::INFO.max_faults(nodes),
        };
        let drawn = Self {
            nodes,
            clients: rng.between(1, 6) as usize,
            commands: rng.between(5, 40) as usize,
            think: if rng.chance(3_000) {
                Duration::ZERO
            } else {
                rng.time(Duration::from_millis(10), Duration::from_millis(1_500))
            },
            registers: rng.between(1, 4) as u8,
            sessions: sessions(seed),
            max_batch: rng.pick(&[1, 2, 16]),
            timing: Timing::LAN,
            sizes: sizes(seed),
            turns: turns(seed),
            in_place: false,
            variants: variants::<P>(seed),
            faults: Faults::drawn(rng),
            operators,
            safety: rng.time(Duration::from_secs(5), Duration::from_secs(30)),
            traitors,
            equivocator: (traitors > 0 && rng.chance(3_000)).then_some(NodeId(0)),
            too_many_traitors: false,
            core_includes: NodeSet::EMPTY,
            patience: 40,
            shuffle: None,
        };
        drawn.made_sound::<P>(seed)
    }

    /// Where leases are on, clocks keep what was declared of them, as a rule; where members change,
    /// no named option is on that wants a fixed number of them.
    pub(crate) fn made_sound<P: Audit>(mut self, seed: u64) -> Self {
        self.in_place = in_place(seed, &self.faults.classes);
        if self.operators.spares == 0 {
            any_quorums(&mut self.variants, seed, self.nodes);
        }
        // As an option by name leases rest on clocks, too, though no reader asks for one.
        let named = self.variants.iter().any(|name| name == "reads=lease");
        let declared = self.operators.lease.or(named.then_some(10_000));
        if self.operators.lease.is_some()
            && let Some(drift) = declared
            && self.shuffle.is_none()
            && Rng::for_purpose(seed, 20).chance(2_000)
        {
            self.operators.worse_clocks = true;
            self.turns = self.turns.or(Some(Duration::from_millis(3)));
            self.faults.drift = self.faults.drift.max(drift / 100 + 4_000);
            self.faults.classes.retain(|class| *class != Fault::ClockJump);
        } else if let Some(drift) = declared {
            self.faults.drift = self.faults.drift.min(drift / 100);
            self.faults.classes.retain(|class| *class != Fault::ClockJump);
            if self.operators.sieges.is_some() {
                self.faults.drift = drift / 100;
                self.think = self.think.max(Duration::from_millis(200));
            }
        }
        if self.operators.spares > 0 {
            let mut cluster = Cluster::new(ClusterId(0), self.nodes + self.operators.spares);
            cluster.voters = NodeSet::first(self.nodes);
            let joins = Cluster { voters: NodeSet::EMPTY, ..cluster.clone() };
            let possible = |cluster: &Cluster| {
                P::Config::for_cluster(cluster)?.with_variants(&self.variants, cluster)
            };
            if possible(&cluster).and(possible(&joins)).is_err() {
                self.variants.clear();
            }
        }
        self
    }

    /// The same run with these named options of the algorithm on; in a cluster of another size, if
    /// they cannot be in one of this.
    ///
    /// # Errors
    /// If they cannot be in a cluster of any size that is simulated.
    pub fn with_variants<P: Audit>(self, variants: &[String]) -> Result<Self, ConfigError> {
        let possible = |nodes: usize| {
            let cluster = Cluster::new(ClusterId(0), nodes);
            P::Config::for_cluster(&cluster)?.with_variants(variants, &cluster).map(drop)
        };
        let variants = variants.to_vec();
        let Err(why) = possible(self.nodes) else { return Ok(Self { variants, ..self }) };
        let nodes = (2..=7).find(|nodes| possible(*nodes).is_ok()).ok_or(why)?;
        let traitors = self.traitors.min(P::INFO.max_faults(nodes));
        Ok(Self { nodes, traitors, variants, ..self })
    }

    /// The same run without operators, readers, leases and named options, each input by itself:
    /// what the texts in TLA+ tell of, see `docs/tla`.
    #[must_use]
    pub fn without_extras(self) -> Self {
        let (variants, operators) = (Vec::new(), Operators::none());
        Self { variants, operators, turns: None, sessions: None, in_place: false, ..self }
    }

    /// A run without faults, for tests of one's own.
    pub fn quiet(nodes: usize) -> Self {
        Self {
            nodes,
            clients: 2,
            commands: 10,
            think: Duration::ZERO,
            registers: 2,
            sessions: None,
            max_batch: 16,
            timing: Timing::LAN,
            sizes: Sizes::USUAL,
            turns: None,
            in_place: false,
            variants: Vec::new(),
            faults: Faults::none(),
            operators: Operators::none(),
            safety: Duration::from_secs(10),
            traitors: 0,
            equivocator: None,
            too_many_traitors: false,
            core_includes: NodeSet::EMPTY,
            patience: 40,
            shuffle: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::Toy;
    use std::collections::BTreeSet;

    /// What the texts in TLA+ do not tell of is off, and the rest of the run is as it was.
    #[test]
    fn extras_are_operators_and_named_options() {
        let operators = Operators { readers: 3, snapshots: Some(1), ..Operators::none() };
        let variants = vec!["x".to_owned()];
        let turns = Some(Duration::ZERO);
        let drawn = Options { operators, variants, turns, ..Options::quiet(3) };
        assert_eq!(drawn.without_extras(), Options::quiet(3));
    }

    /// Swarm testing lives from runs that differ: every class is in some runs and not in others.
    #[test]
    fn seeds_draw_different_runs_within_the_fault_model() {
        let (mut crash, mut byzantine) = (BTreeSet::new(), BTreeSet::new());
        let mut with = vec![0; Fault::ALL.len()];
        for seed in 0..200 {
            let options = Options::for_seed::<Toy>(seed);
            crash.insert((options.nodes, options.traitors));
            for (class, count) in Fault::ALL.iter().zip(&mut with) {
                *count += usize::from(options.faults.classes.contains(class));
            }
            let options = Options::for_seed::<Toy<true>>(seed);
            byzantine.insert((options.nodes, options.traitors));
            let lies = options.equivocator.is_some();
            assert!(!lies || options.traitors > 0, "an equivocator is one of the traitors");
        }
        assert_eq!(crash, BTreeSet::from([(2, 0), (3, 0), (4, 0), (5, 0), (9, 0)]));
        let sizes: BTreeSet<usize> = byzantine.iter().map(|(nodes, _)| *nodes).collect();
        assert_eq!(sizes, BTreeSet::from([4, 5, 6, 7]));
        assert!(byzantine.iter().all(|(nodes, traitors)| 3 * traitors < *nodes));
        assert!(byzantine.contains(&(7, 2)) && byzantine.contains(&(6, 1)), "{byzantine:?}");
        assert!(with.iter().all(|runs| (40..=160).contains(runs)), "{with:?}");
    }

    #[test]
    fn a_seed_always_draws_the_same() {
        assert_eq!(Options::for_seed::<Toy>(9), Options::for_seed::<Toy>(9));
        assert_ne!(Options::for_seed::<Toy>(9), Options::for_seed::<Toy>(10));
    }
}
