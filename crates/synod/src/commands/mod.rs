//! One file per subcommand.

mod bounds;
pub(crate) mod cluster;
pub(crate) mod compare;
pub(crate) mod connectivity;
pub(crate) mod ctl;
pub(crate) mod explore;
pub(crate) mod mutants;
pub(crate) mod scenario;
pub(crate) mod serve;
pub(crate) mod shrink;
pub(crate) mod simulate;

use synod_algorithms::Algorithm;

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
