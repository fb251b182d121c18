//! Ways to make the options of a run smaller, each with a name that a scenario file can say.

use crate::check::settings;
use crate::disk::DiskModel;
use crate::network::Network;
use crate::options::{Fault, Options};
use crate::stage::kebab;
use consensus_core::{Audit, Cluster, ClusterId, Consistency, NodeId, NodeSet, ReadMode, Sizes};
use core::time::Duration;
use std::fmt;
use std::str::FromStr;

/// One way in which a run is smaller than its seed drew it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reduction {
    /// So many replicas; traitors as far as these stand them.
    Nodes(usize),
    /// So many clients.
    Clients(usize),
    /// So many commands of each.
    Commands(usize),
    /// So many registers.
    Registers(u8),
    /// So many commands in a batch at most.
    Batch(usize),
    /// So many milliseconds of thought between two commands at most.
    Think(u64),
    /// So many milliseconds of faults at most.
    Safety(u64),
    /// Without this class of faults.
    Without(Fault),
    /// Links lose, double and replay nothing, and take a fixed time.
    PlainLinks,
    /// Disks are instant.
    PlainDisks,
    /// So many traitors at most.
    Traitors(usize),
    /// Windows and pages have their usual sizes.
    UsualSizes,
    /// Nobody changes members.
    FixedMembers,
    /// Nobody hands leadership over.
    NoTransfers,
    /// There are no leases.
    NoLeases,
    /// There are no snapshots.
    NoSnapshots,
    /// Nobody reads.
    NoReaders,
    /// No named option of the algorithm is on.
    NoVariants,
    /// Nodes say after every input that there is no more.
    SingleInputs,
    /// The service keeps as many sessions as usual, and no crowd comes.
    UsualSessions,
    /// Drivers take what replicas want one thing after the other.
    PlainDrivers,
}

impl Reduction {
    /// As few nodes as stand one fault.
    pub(crate) fn fewest_nodes<P: Audit>() -> Self {
        let stands_one = |nodes: &usize| P::INFO.max_faults(*nodes) > 0;
        Self::Nodes((1..).find(stands_one).expect("some size stands a fault"))
    }

    /// What is worth a try for these options, what saves most first.
    pub(crate) fn candidates<P: Audit>(options: &Options) -> Vec<Self> {
        let mut list = vec![Self::fewest_nodes::<P>()];
        list.extend((0..options.traitors).map(Self::Traitors));
        list.extend(options.faults.classes.iter().copied().map(Self::Without));
        list.extend([Self::SingleInputs, Self::UsualSessions, Self::PlainDrivers]);
        list.extend([Self::NoReaders, Self::NoLeases, Self::NoTransfers]);
        list.extend([Self::NoSnapshots, Self::FixedMembers]);
        list.extend([Self::NoVariants, Self::PlainLinks, Self::PlainDisks, Self::UsualSizes]);
        list.extend([1, 2, 3].map(Self::Clients));
        list.extend([1, 2, 4, 8, 16].map(Self::Commands));
        list.extend([500, 1_000, 2_000, 4_000, 8_000].map(Self::Safety));
        list.extend([Self::Batch(1), Self::Registers(1), Self::Think(0), Self::Think(100)]);
        list
    }

    /// Makes the options smaller. False if they were small enough before.
    pub fn apply<P: Audit>(self, options: &mut Options) -> bool {
        let before = options.clone();
        let network = &mut options.faults.network;
        let operators = &mut options.operators;
        match self {
            Self::Nodes(nodes) => {
                options.nodes = options.nodes.min(nodes);
                options.traitors = options.traitors.min(P::INFO.max_faults(options.nodes));
            }
            Self::Clients(clients) => options.clients = options.clients.min(clients),
            Self::Commands(commands) => options.commands = options.commands.min(commands),
            Self::Registers(registers) => options.registers = options.registers.min(registers),
            Self::Batch(batch) => options.max_batch = options.max_batch.min(batch),
            Self::Think(time) => options.think = options.think.min(Duration::from_millis(time)),
            Self::Safety(time) => options.safety = options.safety.min(Duration::from_millis(time)),
            Self::Without(fault) => options.faults.classes.retain(|class| *class != fault),
            Self::PlainLinks => {
                *network = Network { matrix: network.matrix.take(), ..Network::default() };
            }
            Self::PlainDisks => options.faults.disk = DiskModel::default(),
            Self::Traitors(traitors) => options.traitors = options.traitors.min(traitors),
            Self::UsualSizes => options.sizes = Sizes::USUAL,
            Self::FixedMembers => (operators.changes, operators.spares) = (None, 0),
            Self::NoTransfers => operators.transfers = None,
            Self::NoSnapshots => {
                (operators.snapshots, operators.exiles, operators.trailing) = (None, None, None);
            }
            Self::NoReaders => (operators.readers, operators.comebacks) = (0, None),
            Self::NoLeases => {
                (operators.lease, operators.sieges) = (None, None);
                let by_lease = Consistency::Linearizable(ReadMode::Lease);
                operators.consistencies.retain(|how| *how != by_lease);
                if operators.consistencies.is_empty() {
                    operators.consistencies.push(Consistency::Local);
                }
            }
            Self::NoVariants => options.variants.clear(),
            Self::SingleInputs => options.turns = None,
            Self::UsualSessions => options.sessions = None,
            Self::PlainDrivers => options.in_place = false,
        }
        if !can_run::<P>(options) {
            *options = before;
            return false;
        }
        if options.traitors == 0 {
            options.equivocator = None::<NodeId>;
        }
        *options != before
    }
}

/// Can the algorithm run so? Flexible quorums are of one size of the cluster.
fn can_run<P: Audit>(options: &Options) -> bool {
    let mut cluster = Cluster::new(ClusterId(0), options.nodes + options.operators.spares);
    cluster.voters = NodeSet::first(options.nodes);
    settings::<P>(options, &cluster).is_ok()
}

impl fmt::Display for Reduction {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nodes(nodes) => write!(f, "nodes={nodes}"),
            Self::Clients(clients) => write!(f, "clients={clients}"),
            Self::Commands(commands) => write!(f, "commands={commands}"),
            Self::Registers(registers) => write!(f, "registers={registers}"),
            Self::Batch(batch) => write!(f, "batch={batch}"),
            Self::Think(time) => write!(f, "think={time}ms"),
            Self::Safety(time) => write!(f, "safety={time}ms"),
            Self::Without(fault) => write!(f, "without={}", kebab(fault)),
            Self::PlainLinks => f.write_str("links=plain"),
            Self::PlainDisks => f.write_str("disks=plain"),
            Self::Traitors(traitors) => write!(f, "traitors={traitors}"),
            Self::UsualSizes => f.write_str("sizes=usual"),
            Self::FixedMembers => f.write_str("members=fixed"),
            Self::NoTransfers => f.write_str("transfers=none"),
            Self::NoSnapshots => f.write_str("snapshots=none"),
            Self::NoReaders => f.write_str("readers=none"),
            Self::NoLeases => f.write_str("leases=none"),
            Self::NoVariants => f.write_str("variants=none"),
            Self::SingleInputs => f.write_str("turns=single"),
            Self::UsualSessions => f.write_str("sessions=usual"),
            Self::PlainDrivers => f.write_str("drivers=plain"),
        }
    }
}

impl FromStr for Reduction {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (key, value) = text.split_once('=').ok_or("expected KEY=VALUE, as clients=1")?;
        let count = |least: usize| -> Result<usize, String> {
            let count = value.parse().map_err(|_| format!("{key} wants a number"))?;
            if (least..=1_000_000).contains(&count) {
                return Ok(count);
            }
            Err(format!("{key} wants a number from {least} to a million"))
        };
        let time = || -> Result<u64, String> {
            let time = value.strip_suffix("ms").and_then(|time| time.parse().ok());
            let time = time.filter(|time| *time <= 3_600_000);
            time.ok_or_else(|| format!("{key} wants a time of at most an hour, as 500ms"))
        };
        let word = |word: &str, reduction: Self| {
            if value == word { Ok(reduction) } else { Err(format!("{key} can be {word} only")) }
        };
        match key {
            "nodes" => Ok(Self::Nodes(count(1)?.min(128))),
            "clients" => Ok(Self::Clients(count(1)?)),
            "commands" => Ok(Self::Commands(count(1)?)),
            "registers" => Ok(Self::Registers(count(1)?.min(255) as u8)),
            "batch" => Ok(Self::Batch(count(1)?)),
            "think" => Ok(Self::Think(time()?)),
            "safety" => Ok(Self::Safety(time()?)),
            "traitors" => Ok(Self::Traitors(count(0)?)),
            "links" => word("plain", Self::PlainLinks),
            "disks" => word("plain", Self::PlainDisks),
            "sizes" => word("usual", Self::UsualSizes),
            "members" => word("fixed", Self::FixedMembers),
            "transfers" => word("none", Self::NoTransfers),
            "snapshots" => word("none", Self::NoSnapshots),
            "readers" => word("none", Self::NoReaders),
            "leases" => word("none", Self::NoLeases),
            "variants" => word("none", Self::NoVariants),
            "turns" => word("single", Self::SingleInputs),
            "sessions" => word("usual", Self::UsualSessions),
            "drivers" => word("plain", Self::PlainDrivers),
            "without" => {
                let fault = Fault::ALL.into_iter().find(|fault| kebab(fault) == value);
                let names = Fault::ALL.map(|fault| kebab(&fault)).join(", ");
                fault.map(Self::Without).ok_or_else(|| format!("without wants one of {names}"))
            }
            _ => Err(format!(
                "there is no '{key}'; expected nodes, clients, commands, registers, batch, think, \
                 safety, without, links, disks, traitors, sizes, members, transfers, snapshots, \
                 readers, leases, variants, turns, sessions or drivers"
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::toy::Toy;

    #[test]
    fn every_reduction_is_read_as_it_is_written_and_makes_smaller() {
        let options = Options::for_seed::<Toy<true>>(3);
        for reduction in Reduction::candidates::<Toy<true>>(&options) {
            assert_eq!(reduction.to_string().parse(), Ok(reduction));
            let mut smaller = options.clone();
            reduction.apply::<Toy<true>>(&mut smaller);
            assert!(!reduction.apply::<Toy<true>>(&mut smaller), "{reduction} is done at once");
        }
        for wrong in ["", "clients", "clients=0", "clients=-1", "without=rain", "think=4", "x=1"] {
            assert!(wrong.parse::<Reduction>().is_err(), "{wrong}");
        }
    }
}
