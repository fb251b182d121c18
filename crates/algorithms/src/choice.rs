//! A protocol with named options: what a row of a comparison, or a run, is about.

use crate::{Algorithm, UnknownAlgorithm, Visitor};
use consensus_core::quorum::Quorums;
use consensus_core::{Audit, Cluster, ClusterId, ProtocolConfig, Variant};
use std::fmt;
use std::str::FromStr;

/// A protocol, and its named options that are on. As text `paxos`, `paxos:learners=all` or
/// `paxos:learners=all+sending=thrifty`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Choice {
    /// The protocol.
    pub algorithm: Algorithm,
    /// Its options that are on.
    pub variants: Vec<String>,
}

impl From<Algorithm> for Choice {
    fn from(algorithm: Algorithm) -> Self {
        Self { algorithm, variants: Vec::new() }
    }
}

impl From<&Self> for Choice {
    fn from(choice: &Self) -> Self {
        choice.clone()
    }
}

impl Choice {
    /// How many replicas each phase needs in a cluster of this size, where that is a setting and
    /// the options can be.
    pub fn quorums(&self, nodes: usize) -> Option<Quorums> {
        struct Sizes<'a>(&'a [String], usize);
        impl Visitor for Sizes<'_> {
            type Output = Option<Quorums>;

            fn visit<P: Audit>(self) -> Self::Output {
                let cluster = Cluster::new(ClusterId(1), self.1);
                let config = P::Config::for_cluster(&cluster).ok()?;
                config.with_variants(self.0, &cluster).ok()?.quorums(self.1)
            }
        }
        self.algorithm.dispatch(Sizes(&self.variants, nodes))
    }

    /// Each named option of this protocol, alone.
    pub fn variations(algorithm: Algorithm) -> Vec<Self> {
        let alone = |variant: &Variant| {
            let variants = vec![variant.name.to_owned()];
            Self { algorithm, variants }
        };
        algorithm.variants().iter().map(alone).collect()
    }

    /// Is this option on?
    pub fn has(&self, variant: &str) -> bool {
        self.variants.iter().any(|one| one == variant)
    }
}

impl Algorithm {
    /// Its named options.
    pub fn variants(self) -> &'static [Variant] {
        struct List;
        impl Visitor for List {
            type Output = &'static [Variant];

            fn visit<P: Audit>(self) -> Self::Output {
                P::Config::VARIANTS
            }
        }
        self.dispatch(List)
    }
}

impl fmt::Display for Choice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.algorithm)?;
        if self.variants.is_empty() {
            return Ok(());
        }
        write!(f, ":{}", self.variants.join("+"))
    }
}

/// A text that names no protocol with options.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UnknownChoice {
    /// There is no such protocol.
    Algorithm(UnknownAlgorithm),
    /// It has no such option; the text says which it has.
    Variant(Algorithm, String),
}

impl fmt::Display for UnknownChoice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Algorithm(unknown) => unknown.fmt(f),
            Self::Variant(algorithm, why) => write!(f, "{algorithm}: {why}"),
        }
    }
}

impl std::error::Error for UnknownChoice {}

impl FromStr for Choice {
    type Err = UnknownChoice;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (name, options) = text.trim().split_once(':').unwrap_or((text, ""));
        let algorithm: Algorithm = name.parse().map_err(UnknownChoice::Algorithm)?;
        let names = options.split('+').map(str::trim).filter(|name| !name.is_empty());
        let variants: Vec<String> = names.map(str::to_owned).collect();
        let wrong = |why: String| UnknownChoice::Variant(algorithm, why);
        // Whether the value makes sense may depend on the cluster, and is said there.
        for (place, name) in variants.iter().enumerate() {
            let key = Variant::key(name);
            if variants[..place].iter().any(|other| Variant::key(other) == key) {
                return Err(wrong(format!("'{key}' is said twice")));
            }
            if algorithm.variants().iter().all(|known| Variant::key(known.name) != key) {
                return Err(wrong(Variant::unknown(name, algorithm.variants()).to_string()));
            }
        }
        Ok(Self { algorithm, variants })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use consensus_core::ConfigError;

    #[test]
    fn every_option_is_read_as_it_is_shown_and_no_other() {
        for algorithm in Algorithm::ALL {
            assert_eq!(algorithm.name().parse(), Ok(Choice::from(algorithm)));
            for choice in Choice::variations(algorithm) {
                assert_eq!(choice.to_string().parse(), Ok(choice));
            }
            let wrong = format!("{algorithm}:colour=blue").parse::<Choice>().unwrap_err();
            assert!(wrong.to_string().contains("colour=blue"), "{wrong}");
        }
        assert!("zyzzyva:x=y".parse::<Choice>().unwrap_err().to_string().contains("zyzzyva"));
        let twice = "paxos:learners=all+learners=told".parse::<Choice>().unwrap_err();
        assert!(twice.to_string().contains("twice"), "{twice}");
    }

    struct Configure(usize, Vec<String>);

    impl Visitor for Configure {
        type Output = Result<(), ConfigError>;

        fn visit<P: Audit>(self) -> Self::Output {
            let cluster = Cluster::new(ClusterId(1), self.0);
            P::Config::for_cluster(&cluster)?.with_variants(&self.1, &cluster)?;
            P::Config::smallest(&cluster)?.with_variants(&self.1, &cluster).map(drop)
        }
    }

    /// The simulator draws from the list for clusters of all sizes, so a listed option must be
    /// possible in each; and one of another value is refused, not ignored.
    #[test]
    fn listed_options_can_be_in_clusters_of_every_size_and_others_in_none() {
        for algorithm in Algorithm::ALL {
            let sizes = if algorithm == Algorithm::Pbft { 4..=8 } else { 2..=8 };
            for choice in
                sizes.flat_map(|n| Choice::variations(algorithm).into_iter().map(move |c| (n, c)))
            {
                let (nodes, Choice { variants, .. }) = choice;
                assert_eq!(algorithm.dispatch(Configure(nodes, variants.clone())), Ok(()));
                let wrong = format!("{}=nonsense", Variant::key(&variants[0]));
                let refused = algorithm.dispatch(Configure(nodes, vec![wrong.clone()]));
                assert!(refused.unwrap_err().0.contains("nonsense"), "{wrong}");
                let twice = algorithm.dispatch(Configure(nodes, vec![variants[0].clone(); 2]));
                assert!(twice.unwrap_err().0.contains("exclude"), "{variants:?}");
            }
        }
    }
}
