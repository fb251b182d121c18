//! One file per subcommand.

mod bounds;
pub(crate) mod cluster;
pub(crate) mod compare;
pub(crate) mod connectivity;
pub(crate) mod ctl;
pub(crate) mod explore;
pub(crate) mod mutants;
pub(crate) mod rebuild;
pub(crate) mod scenario;
pub(crate) mod serve;
pub(crate) mod shrink;
pub(crate) mod simulate;

use crate::exit::Failure;
use std::time::Duration;
use synod_algorithms::{Algorithm, Choice};

/// Algorithms named on the command line, each once, in the order of tables.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AlgorithmList(pub(crate) Vec<Algorithm>);

/// Reads `raft`, `raft,pbft` or `all`.
pub(crate) fn parse_algorithms(text: &str) -> Result<AlgorithmList, String> {
    if text.trim().eq_ignore_ascii_case("all") {
        return Ok(AlgorithmList(Algorithm::ALL.to_vec()));
    }
    let named: Result<Vec<Algorithm>, _> = text.split(',').map(str::parse).collect();
    let mut named = named.map_err(|error| format!("{error}, or all"))?;
    named.sort_unstable();
    named.dedup();
    Ok(AlgorithmList(named))
}

/// Named options of algorithms, as `--variant` names them: an algorithm each.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ChoiceList(pub(crate) Vec<Choice>);

/// Reads `paxos:learners=all` or `paxos:learners=all+sending=thrifty,raft:...`.
pub(crate) fn parse_choices(text: &str) -> Result<ChoiceList, String> {
    let named: Result<Vec<Choice>, _> = text.split(',').map(str::parse).collect();
    let named = named.map_err(|error: synod_algorithms::UnknownChoice| error.to_string())?;
    match named.iter().find(|choice| choice.variants.is_empty()) {
        Some(choice) => Err(format!("{choice} names no option; write {choice}:KEY=VALUE")),
        None => Ok(ChoiceList(named)),
    }
}

impl ChoiceList {
    /// The options that are on for this algorithm, if any were named.
    pub(crate) fn of(&self, algorithm: Algorithm) -> Option<&[String]> {
        let choice = self.0.iter().find(|choice| choice.algorithm == algorithm)?;
        Some(&choice.variants)
    }

    /// For a command that runs each of these algorithms once.
    pub(crate) fn check(&self, algorithms: &[Algorithm]) -> Result<(), Failure> {
        for (place, choice) in self.0.iter().enumerate() {
            let name = choice.algorithm;
            if !algorithms.contains(&name) {
                let text = format!("--variant {choice}: {name} is not among --algo");
                return Err(Failure::usage(text));
            }
            if self.0[..place].iter().any(|other| other.algorithm == name) {
                let text = format!("--variant names {name} twice; join its options with '+'");
                return Err(Failure::usage(text));
            }
        }
        Ok(())
    }
}

/// Reads one algorithm's name.
pub(crate) fn parse_algorithm(text: &str) -> Result<Algorithm, String> {
    text.parse().map_err(|error: synod_algorithms::UnknownAlgorithm| error.to_string())
}

/// Reads a number above zero.
pub(crate) fn count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(0) => Err("must be at least 1".into()),
        Ok(number) => Ok(number),
        Err(_) => Err("not a whole number".into()),
    }
}

/// Reads a time in seconds.
pub(crate) fn seconds(text: &str) -> Result<Duration, String> {
    match text.parse() {
        Ok(number) if (0.001..=1e6).contains(&number) => Ok(Duration::from_secs_f64(number)),
        _ => Err("not a number between 0.001 and a million".into()),
    }
}

/// Reads a number of things per second.
pub(crate) fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.1..=1e7).contains(&rate) => Ok(rate),
        _ => Err("not a number between 0.1 and 10 million".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_algorithms_are_read_in_any_order_and_once_each() {
        let list = |text| parse_algorithms(text).map(|list| list.0);
        assert_eq!(list("all"), Ok(Algorithm::ALL.to_vec()));
        assert_eq!(list("pbft, raft,RAFT"), Ok(vec![Algorithm::Raft, Algorithm::Pbft]));
        for wrong in ["", "raft,", "raft;pbft", "zab"] {
            assert!(list(wrong).unwrap_err().contains("choose from"), "{wrong}");
        }
    }
}
