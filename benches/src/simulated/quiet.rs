//! The quiet world: every link takes the same time, nothing is lost, the disk is instant, no timer
//! fires. Here costs are equalities.

use super::{NEVER_TWICE, add_clients, elect, sound, wrong};
use crate::options::CompareError;
use bytes::Bytes;
use consensus_core::{Audit, Cluster, ClusterId, Counters, ProtocolConfig, Traffic};
use std::collections::BTreeMap;
use std::time::Duration;
use synod_algorithms::{Choice, Visitor};
use synod_kv::KvStore;
use synod_sim::{Setup, World};

/// Batches before the counting starts: sessions are opened, the leader is settled.
const WARM: usize = 2;
/// Batches that are counted.
const COUNTED: usize = 10;
/// The fixed delay of every link, those of clients included. Long against nothing: time is virtual.
pub(crate) const LINK_DELAY: Duration = Duration::from_millis(1);

/// What some batches cost in the quiet world.
#[derive(Clone, Debug)]
pub(crate) struct Quiet {
    /// Of which algorithm, with which options.
    pub(crate) choice: Choice,
    pub(crate) nodes: usize,
    /// Commands in each batch.
    pub(crate) batch: usize,
    /// How many batches were counted.
    pub(crate) batches: u64,
    /// What each node did for them.
    pub(crate) counters: Vec<Counters>,
    /// The shortest and the longest time that a client waited.
    pub(crate) waited: (Duration, Duration),
}

impl Quiet {
    /// Runs this algorithm with so many nodes, giving each of `batch` clients at node 0 the same
    /// number of operations, all at the same times.
    pub(crate) fn measure(
        choice: impl Into<Choice>,
        nodes: usize,
        batch: usize,
        operations: &[Bytes],
    ) -> Result<Self, CompareError> {
        let choice = choice.into();
        assert!(!operations.is_empty() && batch > 0, "there is something to measure");
        let wanted = batch * (WARM + COUNTED);
        let operations = operations.iter().cycle().take(wanted).cloned().collect();
        choice.algorithm.dispatch(Measure { choice, nodes, batch, operations })
    }

    /// Messages that decide commands, by kind, of all nodes together.
    pub(crate) fn kinds(&self) -> BTreeMap<&'static str, u64> {
        let mut kinds = BTreeMap::new();
        for (kind, sent) in self.counters.iter().flat_map(Counters::sent) {
            if kind.traffic == Traffic::Command && sent.messages > 0 {
                *kinds.entry(kind.name).or_default() += sent.messages;
            }
        }
        kinds
    }

    /// What all nodes did together.
    pub(crate) fn total(&self) -> Counters {
        let mut total = Counters::default();
        self.counters.iter().for_each(|counters| total.add(counters));
        total
    }

    /// Messages that decide commands, handled (sent or received) by the busiest node.
    pub(crate) fn busiest(&self) -> u64 {
        let handled = |counters: &Counters| {
            counters.sent_for(Traffic::Command).messages + counters.received_for(Traffic::Command)
        };
        self.counters.iter().map(handled).max().unwrap_or(0)
    }

    /// The fewest and the most syncs that a node did.
    pub(crate) fn syncs(&self) -> (u64, u64) {
        let syncs = || self.counters.iter().map(|counters| counters.syncs);
        (syncs().min().unwrap_or(0), syncs().max().unwrap_or(0))
    }

    /// The fewest and the most link delays that a client waited.
    pub(crate) fn delays(&self) -> (f64, f64) {
        let delays = |waited: Duration| waited.as_secs_f64() / LINK_DELAY.as_secs_f64();
        (delays(self.waited.0), delays(self.waited.1))
    }

    /// Commands that were counted.
    pub(crate) fn commands(&self) -> u64 {
        self.batches * self.batch as u64
    }
}

struct Measure {
    choice: Choice,
    nodes: usize,
    batch: usize,
    operations: Vec<Bytes>,
}

impl Visitor for Measure {
    type Output = Result<Quiet, CompareError>;

    fn visit<P: Audit>(self) -> Self::Output {
        let cluster = Cluster::new(ClusterId(1), self.nodes);
        let algorithm = self.choice.algorithm;
        let config = cluster
            .validate()
            .and_then(|()| P::Config::for_cluster(&cluster))
            .and_then(|config| config.with_variants(&self.choice.variants, &cluster))
            .map_err(|error| CompareError::Cluster(algorithm, error))?;
        let mut setup = Setup::<P>::new(cluster, 1);
        setup.config = Some(config);
        run(setup, self).map_err(wrong(algorithm))
    }
}

fn run<P: Audit>(mut setup: Setup<P>, measure: Measure) -> Result<Quiet, String> {
    let Measure { choice, nodes, batch, operations } = measure;
    let members = setup.cluster.nodes();
    setup.max_batch = batch;
    setup.message_size = Some(synod_runtime::codec::encoded_len::<P::Message>);
    let mut world = World::new(setup, KvStore::default);
    elect(&mut world)?;
    add_clients(&mut world, batch, NEVER_TWICE, &operations, None);
    let snapshot = |world: &World<P, KvStore>| -> Vec<Counters> {
        members.iter().map(|node| world.counters(node).clone()).collect()
    };
    answered(&mut world, batch * WARM)?;
    let before = snapshot(&world);
    answered(&mut world, operations.len())?;
    let after = snapshot(&world);
    sound(&world)?;

    let counted = &world.completions()[batch * WARM..];
    let waited = || counted.iter().map(|completion| completion.ended - completion.begun);
    let waited = (waited().min().unwrap_or_default(), waited().max().unwrap_or_default());
    let counters = after.iter().zip(&before).map(|(after, before)| after.since(before)).collect();
    Ok(Quiet { choice, nodes, batch, batches: COUNTED as u64, counters, waited })
}

/// Runs until so many operations were answered.
fn answered<P: Audit>(world: &mut World<P, KvStore>, wanted: usize) -> Result<(), String> {
    let limit = world.now() + Duration::from_secs(60);
    if world.run_until(limit, |world| world.completions().len() >= wanted) {
        return Ok(());
    }
    sound(world)?;
    let answered = world.completions().len();
    Err(format!("only {answered} of {wanted} operations were answered within a minute"))
}
