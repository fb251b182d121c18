//! The one list of protocols: name to type. Nothing else knows them all; drivers and tools are
//! generic, and reach a protocol by name through [`Algorithm::dispatch`].

mod choice;
mod primary_copy;
mod words;

pub use choice::{Choice, UnknownChoice};
pub use words::{MultiPaxosWords, PaxosWords, RaftWords};

use consensus_core::mutant::{JOINT, Mutant, OPERATED, SHARED};
use consensus_core::{Audit, ConsensusProtocol, ProtocolInfo};
use primary_copy::PrimaryCopy;
use std::fmt;
use std::str::FromStr;
use synod_multipaxos::MultiPaxos;
use synod_paxos::Paxos;
use synod_pbft::Pbft;
use synod_raft::Raft;
use synod_sim::{CommonWords, Outcome, Scenario};

/// A protocol of this workspace.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Algorithm {
    /// Basic Paxos, one instance per slot.
    Paxos,
    /// Multi-Paxos with a stable leader.
    MultiPaxos,
    /// Raft.
    Raft,
    /// Practical Byzantine Fault Tolerance.
    Pbft,
}

/// Something to do with a protocol's type, once its name is known.
pub trait Visitor {
    /// What comes of it.
    type Output;

    /// Does it.
    fn visit<P: Audit>(self) -> Self::Output;
}

impl Algorithm {
    /// All of them, in the order of tables.
    pub const ALL: [Self; 4] = [Self::Paxos, Self::MultiPaxos, Self::Raft, Self::Pbft];

    /// What users must know about it.
    pub fn info(self) -> ProtocolInfo {
        match self {
            Self::Paxos => Paxos::INFO,
            Self::MultiPaxos => MultiPaxos::INFO,
            Self::Raft => Raft::INFO,
            Self::Pbft => Pbft::INFO,
        }
    }

    /// Its name on the command line.
    pub fn name(self) -> &'static str {
        self.info().name
    }

    /// Calls the visitor with the protocol's type.
    pub fn dispatch<V: Visitor>(self, visitor: V) -> V::Output {
        match self {
            Self::Paxos => visitor.visit::<Paxos>(),
            Self::MultiPaxos => visitor.visit::<MultiPaxos>(),
            Self::Raft => visitor.visit::<Raft>(),
            Self::Pbft => visitor.visit::<Pbft>(),
        }
    }

    /// Plays a scenario with this algorithm, in the words of its paper.
    ///
    /// # Errors
    /// If the algorithm cannot run so.
    pub fn play(self, scenario: &Scenario, lenient: bool) -> Result<Outcome, String> {
        match self {
            Self::Paxos => scenario.play_with::<Paxos>(&PaxosWords, lenient),
            Self::MultiPaxos => scenario.play_with::<MultiPaxos>(&MultiPaxosWords, lenient),
            Self::Raft => scenario.play_with::<Raft>(&RaftWords, lenient),
            Self::Pbft => scenario.play_with::<Pbft>(&CommonWords, lenient),
        }
    }

    /// Plays a scenario with what is no algorithm: everything that it says must hold is to fail.
    ///
    /// # Errors
    /// If it cannot run so, or there is nothing of this name.
    pub fn contrast(name: &str, scenario: &Scenario) -> Result<Outcome, String> {
        if name == PrimaryCopy::INFO.name {
            return scenario.play::<PrimaryCopy>(false);
        }
        let known = PrimaryCopy::INFO.name;
        Err(format!("there is no contrast '{name}'; there is {known}"))
    }

    /// The bugs planted in its crate. They can be switched on only in builds with the cargo
    /// feature `mutants`.
    pub fn mutants(self) -> &'static [Mutant] {
        match self {
            Self::Paxos => synod_paxos::MUTANTS,
            Self::MultiPaxos => synod_multipaxos::MUTANTS,
            Self::Raft => synod_raft::MUTANTS,
            Self::Pbft => synod_pbft::MUTANTS,
        }
    }

    /// The bugs planted in the layers that it shares with others.
    pub fn shared_mutants(self) -> impl Iterator<Item = &'static Mutant> + Clone {
        let (operated, joint): (&[Mutant], &[Mutant]) = match self {
            Self::Raft => (OPERATED, JOINT),
            Self::MultiPaxos => (OPERATED, &[]),
            Self::Paxos | Self::Pbft => (&[], &[]),
        };
        SHARED.iter().chain(operated).chain(joint)
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A name that no protocol of this workspace has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownAlgorithm(String);

impl fmt::Display for UnknownAlgorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Algorithm::ALL.map(Algorithm::name).join(", ");
        write!(f, "there is no algorithm '{}'; choose from {names}", self.0)
    }
}

impl std::error::Error for UnknownAlgorithm {}

impl FromStr for Algorithm {
    type Err = UnknownAlgorithm;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        let named = |algorithm: &Self| algorithm.name().eq_ignore_ascii_case(name.trim());
        Self::ALL.into_iter().find(named).ok_or_else(|| UnknownAlgorithm(name.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_algorithm_is_found_by_its_name_and_no_other() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(algorithm));
        }
        let error = "zyzzyva".parse::<Algorithm>().unwrap_err().to_string();
        assert!(error.contains("zyzzyva") && error.contains("multipaxos"), "{error}");
    }

    struct NameOf;

    impl Visitor for NameOf {
        type Output = &'static str;

        fn visit<P: Audit>(self) -> &'static str {
            P::INFO.name
        }
    }

    #[test]
    fn dispatch_reaches_the_type_that_the_name_promises() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.dispatch(NameOf), algorithm.name());
        }
    }
}
