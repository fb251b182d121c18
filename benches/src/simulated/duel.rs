//! Proposers that outbid each other: how many ballots and messages a decision takes.

use super::{KvWorld, NEVER_TWICE, elect, sound, wrong};
use crate::options::CompareError;
use crate::workload::Workload;
use crate::workload::random::Random;
use bytes::Bytes;
use consensus_core::{Audit, Cluster, ClusterId, ConfigError, Counters, Delay, LogIndex, NodeId};
use consensus_core::{ProtocolConfig, Traffic};
use std::time::Duration;
use synod_algorithms::{Algorithm, Visitor};
use synod_kv::KvStore;
use synod_paxos::{Config, Fast, Paxos, Refusals};
use synod_sim::{DiskModel, Latency, Network, Setup, World};

/// Decisions of one run.
pub(crate) const DECISIONS: u64 = 20;
/// A run in which so many ballots follow each other without a decision is given up.
pub(crate) const HOPELESS: u64 = 1_000;
/// What a link takes: a tenth more or less, so that equal proposers do not move in step for ever.
const LINK: (Duration, Duration) = (Duration::from_micros(900), Duration::from_micros(1100));
const SYNC: Duration = Duration::from_millis(1);
/// Proposers begin within this time.
const BEGIN: Duration = Duration::from_millis(20);

/// What the simulated network is like, for above the table.
pub(crate) fn conditions() -> String {
    format!(
        "virtual time; each link takes {:?} to {:?}, each sync {SYNC:?}, nothing is lost; every \
         proposer has one client beside it that asks again as soon as it is answered, and begins \
         within {BEGIN:?}",
        LINK.0, LINK.1
    )
}

/// How rivals treat each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Manner {
    /// Who is outbid keeps quiet for a random while that grows each time.
    BackOff,
    /// Who is outbid tries again at once.
    NoBackOff,
    /// Nobody is told that it was outbid; it finds out by waiting.
    Silent,
    /// Every slot begins with a fast round (Fast Paxos), in which they collide.
    Fast,
    /// There are no rivals: Multi-Paxos, whose leader proposes for all.
    Leader,
}

impl Manner {
    pub(crate) const ALL: [Self; 5] =
        [Self::BackOff, Self::NoBackOff, Self::Silent, Self::Fast, Self::Leader];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::BackOff => "paxos, back-off",
            Self::NoBackOff => "paxos, no back-off",
            Self::Silent => "paxos, no nacks",
            Self::Fast => "paxos, fast rounds",
            Self::Leader => "multipaxos, a leader",
        }
    }

    fn configure(self, cluster: &Cluster) -> Result<Config, ConfigError> {
        let usual = Config::for_cluster(cluster)?;
        Ok(match self {
            Self::BackOff | Self::Leader => usual,
            Self::NoBackOff => Config { back_off: Delay::fixed(Duration::ZERO), ..usual },
            Self::Fast => Config { fast: Fast::Smallest, ..usual },
            Self::Silent => Config { refusals: Refusals::Silent, ..usual },
        })
    }
}

/// What a run came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Duel {
    /// Slots that were decided.
    pub(crate) decisions: u64,
    /// Times that a proposer began with a new ballot.
    pub(crate) rounds: u64,
    /// Messages between replicas, but for heartbeats.
    pub(crate) messages: u64,
    /// Of these, the refusals.
    pub(crate) nacks: u64,
    /// How long it took.
    pub(crate) time: Duration,
    /// It was given up: so many ballots in a row decided nothing.
    pub(crate) stuck: bool,
}

/// Who proposes, and where.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rivals<'a> {
    pub(crate) manner: Manner,
    pub(crate) nodes: usize,
    pub(crate) proposers: usize,
    pub(crate) workload: &'a Workload,
}

impl Rivals<'_> {
    /// One run with this seed.
    pub(crate) fn measure(self, seed: u64) -> Result<Duel, CompareError> {
        if self.manner == Manner::Leader {
            return Algorithm::MultiPaxos.dispatch(Led { rivals: self, seed });
        }
        let cluster = Cluster::new(ClusterId(1), self.nodes);
        let cannot = |error| CompareError::Cluster(Algorithm::Paxos, error);
        let config = self.manner.configure(&cluster).map_err(cannot)?;
        let mut setup = Setup::<Paxos>::new(cluster, seed);
        setup.config = Some(config);
        run(setup, self).map_err(wrong(Algorithm::Paxos))
    }
}

struct Led<'a> {
    rivals: Rivals<'a>,
    seed: u64,
}

impl Visitor for Led<'_> {
    type Output = Result<Duel, CompareError>;

    fn visit<P: Audit>(self) -> Self::Output {
        let cluster = Cluster::new(ClusterId(1), self.rivals.nodes);
        let setup = Setup::<P>::new(cluster, self.seed);
        run(setup, self.rivals).map_err(wrong(Algorithm::MultiPaxos))
    }
}

fn run<P: Audit>(mut setup: Setup<P>, rivals: Rivals<'_>) -> Result<Duel, String> {
    let mut chance = Random::new(setup.seed);
    setup.network = Network::fixed(LINK.0);
    setup.network.latency = Latency::Uniform { min: LINK.0, max: LINK.1 };
    setup.disk = DiskModel { sync: Latency::Fixed(SYNC) };
    let mut world = World::new(setup, KvStore::default);
    elect(&mut world)?;
    let (start, before, decided) = (world.now(), total(&world), world.last_committed());
    for proposer in 0..rivals.proposers {
        let own: Vec<Bytes> = rivals.workload.operations().to_vec();
        let begin = start + BEGIN.mul_f64(chance.unit());
        world.add_client(NodeId(proposer as u8), NEVER_TWICE, move |nth| {
            let operation = own[nth as usize % own.len()].clone();
            Some((operation, (nth == 0).then_some(begin)))
        });
    }
    let others = rivals.nodes as u64 - 1;
    let mut last = (decided, 0);
    let mut stuck = false;
    let hour = start + Duration::from_secs(3600);
    let ended = world.run_until(hour, |world| {
        let rounds = began(&total(world).since(&before)) / others;
        if world.last_committed() > last.0 {
            last = (world.last_committed(), rounds);
        }
        stuck = rounds - last.1 >= HOPELESS;
        stuck || world.last_committed() >= LogIndex(decided.0 + DECISIONS)
    });
    sound(&world)?;
    if !ended {
        return Err("an hour was not enough".into());
    }
    let counters = total(&world).since(&before);
    let sent = |traffic| counters.sent_for(traffic).messages;
    Ok(Duel {
        decisions: world.last_committed().0 - decided.0,
        rounds: began(&counters) / others,
        messages: sent(Traffic::Command) + sent(Traffic::Election) + sent(Traffic::Repair),
        nacks: of_kind(&counters, "nack"),
        time: world.now() - start,
        stuck,
    })
}

fn total<P: Audit>(world: &KvWorld<P>) -> Counters {
    let mut total = Counters::default();
    world.cluster().nodes().iter().for_each(|node| total.add(world.counters(node)));
    total
}

fn of_kind(counters: &Counters, name: &str) -> u64 {
    let named = counters.sent().filter(|(kind, _)| kind.name == name);
    named.map(|(_, sent)| sent.messages).sum()
}

/// Each new ballot is announced to all others, and so is a proposal in a fast round.
fn began(counters: &Counters) -> u64 {
    of_kind(counters, "prepare") + of_kind(counters, "propose")
}
