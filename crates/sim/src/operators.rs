//! What operators and readers do in a run: members changed, leadership handed over, snapshots,
//! reads. Drawn by the seed as faults are, each class on or off, apart from the faults, so that a
//! run of an algorithm that offers none of it is the same as ever.

use crate::rng::Rng;
use consensus_core::{
    Audit, AuthMeter, Change, ChangeRefusal, Cluster, ClusterId, Consistency, Durable, Effect,
    Effects, Env, Incarnation, Input, Membership, Message, NoKeys, NodeId, ProtocolConfig, Read,
    ReadMode, Refusal, SnapshotMessage,
};
use core::time::Duration;

/// Longest mean time between two sieges.
const SELDOM: Duration = Duration::from_millis(1_200);

/// Longest mean time between two exiles.
const RARE: Duration = Duration::from_secs(4);

/// Clocks are wrong by a tenth at most, in parts in a million.
const WORST_DRIFT: u32 = 100_000;

/// What an algorithm offers beside deciding commands, as it says itself when it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Offers {
    /// Other members.
    pub changes: bool,
    /// Snapshots that replicas send each other.
    pub snapshots: bool,
    /// Reads by an index that the leader confirms.
    pub index_reads: bool,
    /// Reads by asking a quorum.
    pub quorum_reads: bool,
    /// Leases for reads, if they are switched on.
    pub leases: bool,
}

impl Offers {
    /// Asks a replica that has just started.
    pub fn of<P: Audit>() -> Self {
        let read = |mode| Input::Read(Read { id: 1, mode });
        let ask = SnapshotMessage::Ask { of: None, offset: 0 };
        let cluster = Cluster::new(ClusterId(1), 4);
        let config = P::Config::for_cluster(&cluster).ok();
        Self {
            changes: !refuses::<P>(&Input::Change(Change::of(&Membership::default()))),
            snapshots: P::Message::snapshot(ask).is_some(),
            index_reads: !refuses::<P>(&read(ReadMode::Index)),
            quorum_reads: !refuses::<P>(&read(ReadMode::Quorum)),
            leases: config.is_some_and(|config| config.with_lease(0).is_some()),
        }
    }
}

/// Does a replica say that it does not offer this?
fn refuses<P: Audit>(input: &Input<P>) -> bool {
    let cluster = Cluster::new(ClusterId(1), 4);
    let Ok(config) = P::Config::for_cluster(&cluster) else { return true };
    let durable = Durable::of(Incarnation(1), Vec::new());
    let Ok(mut replica) = P::recover(NodeId(0), config, durable) else { return true };
    let (keys, meter, mut effects) = (NoKeys, AuthMeter::default(), Effects::after_recovery(0));
    let env = Env::new(Duration::ZERO, &cluster, &keys, &meter);
    replica.step(Input::Start, &env, &mut effects);
    effects.drain().for_each(drop);
    replica.step(input.clone(), &env, &mut effects);
    effects.drain().any(|effect| {
        matches!(
            effect,
            Effect::RefuseChange { why: ChangeRefusal::Unsupported }
                | Effect::RefuseRead { why: Refusal::Unsupported, .. }
        )
    })
}

/// What operators and readers do in a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Operators {
    /// Nodes that do not vote at the beginning, and may join.
    pub spares: usize,
    /// Mean time between two wishes for other members, if there are any.
    pub changes: Option<Duration>,
    /// Mean time between two wishes for another leader, if there are any.
    pub transfers: Option<Duration>,
    /// A node takes a snapshot whenever it has applied so many indices more.
    pub snapshots: Option<u64>,
    /// Bytes of a snapshot that one message carries.
    pub chunk: usize,
    /// Clients that only read.
    pub readers: usize,
    /// Questions of each of them.
    pub questions: usize,
    /// Longest time that they think between two questions.
    pub think: Duration,
    /// How fresh answers must be: each question draws one of these.
    pub consistencies: Vec<Consistency>,
    /// Leases are on, for clocks that are wrong by so many parts in a million at most.
    pub lease: Option<u32>,
    /// Clocks are worse than that: reads by leases may be stale then, and nothing else may be
    /// wrong.
    pub worse_clocks: bool,
    /// Mean time between two sieges of a leader: it loses the others, and readers still ask it.
    /// Only where there are leases.
    pub sieges: Option<Duration>,
    /// Mean time between two exiles: a leader is cut off with commands of its own, and comes back
    /// when the others have forgotten where its log parted from theirs. Only where there are
    /// snapshots.
    pub exiles: Option<Duration>,
    /// Mean time between two comebacks: a leader leads again, and hears what was said to it in its
    /// first time. Only where there are reads.
    pub comebacks: Option<Duration>,
    /// So many entries stay in the log behind a snapshot, if not as many as usual.
    pub trailing: Option<u64>,
}

impl Operators {
    /// Nobody does anything.
    pub fn none() -> Self {
        Self {
            spares: 0,
            changes: None,
            transfers: None,
            snapshots: None,
            chunk: 64 << 10,
            readers: 0,
            questions: 0,
            think: Duration::ZERO,
            consistencies: Vec::new(),
            lease: None,
            worse_clocks: false,
            sieges: None,
            exiles: None,
            comebacks: None,
            trailing: None,
        }
    }

    /// What the seed draws of what the algorithm offers; `thick` for short runs.
    pub(crate) fn drawn(rng: &mut Rng, offers: Offers, thick: bool) -> Self {
        let every = |rng: &mut Rng| rng.time(Duration::from_millis(50), Duration::from_secs(3));
        let (mut changes, mut transfers, mut snapshots) = (None, None, None);
        if rng.chance(5_000) {
            changes = Some(every(rng));
        }
        if rng.chance(4_000) {
            transfers = Some(every(rng));
        }
        if rng.chance(7_000) {
            snapshots = Some(rng.pick(if thick { &[1, 2, 4] } else { &[1, 3, 10, 40] }));
        }
        let spares = rng.between(1, 3) as usize;
        let chunk = rng.pick(&[1 << 16, 1 << 10, 200, 64, 24]);
        let reads = rng.chance(6_000);
        let readers = rng.between(1, 3) as usize;
        let questions = if thick { 2 } else { rng.between(4, 60) as usize };
        let think = rng.time(Duration::from_millis(1), Duration::from_millis(700));
        let lease = rng.chance(5_500).then(|| rng.pick(&[0, 10_000, WORST_DRIFT]));
        let changes = changes.filter(|_| offers.changes);
        let lease = lease.filter(|_| offers.leases && reads);
        let consistencies = consistencies(rng, offers, lease);
        let sieges = rng.chance(8_500).then(|| rng.time(Duration::from_millis(200), SELDOM));
        let sieges = sieges.filter(|_| lease.is_some() && !thick);
        // The worse clocks may run, the longer is a lease that does not allow for it.
        let lease = lease.map(|drift| match sieges {
            Some(_) if rng.chance(5_000) => WORST_DRIFT,
            _ => drift,
        });
        let trailing = rng.chance(6_000).then(|| rng.pick(&[1, 1, 2, 5]));
        let trailing = trailing.filter(|_| offers.snapshots && snapshots.is_some());
        let exiles = rng.chance(6_000).then(|| rng.time(Duration::from_millis(500), RARE));
        let exiles = exiles.filter(|_| trailing.is_some() && !thick);
        let comebacks = rng.chance(2_500).then(|| rng.time(Duration::from_millis(500), RARE));
        let comebacks = comebacks.filter(|_| offers.index_reads && !thick);
        Self {
            spares: if changes.is_some() { spares } else { 0 },
            changes,
            transfers: transfers.filter(|_| offers.index_reads || offers.changes),
            snapshots: snapshots.filter(|_| offers.snapshots),
            chunk,
            readers: if reads && offers.index_reads { readers } else { 0 },
            questions,
            think,
            consistencies,
            lease,
            worse_clocks: false,
            sieges,
            exiles,
            comebacks,
            trailing,
        }
    }
}

fn consistencies(rng: &mut Rng, offers: Offers, lease: Option<u32>) -> Vec<Consistency> {
    let mut all = vec![Consistency::Linearizable(ReadMode::Index)];
    if offers.quorum_reads {
        all.push(Consistency::Linearizable(ReadMode::Quorum));
    }
    if lease.is_some() {
        all.push(Consistency::Linearizable(ReadMode::Lease));
    }
    all.push(Consistency::AtMost(rng.time(Duration::ZERO, Duration::from_millis(500))));
    all.push(Consistency::AtMost(Duration::ZERO));
    all.push(Consistency::Local);
    let some: Vec<_> = all.iter().copied().filter(|_| rng.chance(6_000)).collect();
    if some.is_empty() { all } else { some }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::Toy;

    /// The toy offers nothing of it, and is not bothered.
    #[test]
    fn nobody_asks_for_what_an_algorithm_does_not_offer() {
        let offers = Offers::of::<Toy>();
        assert!(!offers.changes && !offers.snapshots && !offers.index_reads && !offers.leases);
        for seed in 0..50 {
            let drawn = Operators::drawn(&mut Rng::new(seed), offers, false);
            let idle = (drawn.spares, drawn.changes, drawn.transfers, drawn.snapshots);
            assert_eq!((idle, drawn.readers, drawn.lease), ((0, None, None, None), 0, None));
        }
    }

    /// Swarm testing: every class is in some runs and not in others.
    #[test]
    fn seeds_draw_different_operators() {
        let offers = Offers {
            changes: true,
            snapshots: true,
            index_reads: true,
            quorum_reads: true,
            leases: true,
        };
        let drawn = |seed| Operators::drawn(&mut Rng::new(seed), offers, false);
        let all: Vec<Operators> = (0..200).map(drawn).collect();
        let counts = [
            all.iter().filter(|one| one.changes.is_some()).count(),
            all.iter().filter(|one| one.transfers.is_some()).count(),
            all.iter().filter(|one| one.snapshots.is_some()).count(),
            all.iter().filter(|one| one.readers > 0).count(),
            all.iter().filter(|one| one.lease.is_some()).count(),
            all.iter().filter(|one| one.sieges.is_some()).count(),
            all.iter().filter(|one| one.comebacks.is_some()).count(),
        ];
        assert!(counts.iter().all(|count| (20..170).contains(count)), "{counts:?}");
        assert!(all.iter().all(|one| !one.consistencies.is_empty()));
    }
}
