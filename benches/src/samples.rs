//! Latencies: all of them, sorted. Distributions of different runs are merged, never averaged.

use serde_json::{Value, json};
use std::time::Duration;

/// Sorted latencies.
#[derive(Clone, Debug, PartialEq, Eq, Default)]
pub(crate) struct Samples {
    sorted: Vec<Duration>,
}

impl Samples {
    pub(crate) fn of(durations: impl IntoIterator<Item = Duration>) -> Self {
        let mut sorted: Vec<_> = durations.into_iter().collect();
        sorted.sort_unstable();
        Self { sorted }
    }

    /// These and those, as if of one run.
    pub(crate) fn merge(&mut self, other: &Self) {
        self.sorted.extend_from_slice(&other.sorted);
        self.sorted.sort_unstable();
    }

    pub(crate) fn sorted(&self) -> &[Duration] {
        &self.sorted
    }

    pub(crate) fn len(&self) -> usize {
        self.sorted.len()
    }

    /// The smallest value that at least this share of all values does not exceed; zero if there
    /// are none.
    pub(crate) fn percentile(&self, share: f64) -> Duration {
        let rank = (share * self.sorted.len() as f64).ceil() as usize;
        self.sorted.get(rank.max(1) - 1).or(self.sorted.last()).copied().unwrap_or_default()
    }

    pub(crate) fn mean(&self) -> Duration {
        let sum: Duration = self.sorted.iter().sum();
        sum.checked_div(self.sorted.len() as u32).unwrap_or_default()
    }

    /// Every value, in microseconds, each with how often it came.
    pub(crate) fn json(&self) -> Value {
        let mut counts: Vec<(u128, u64)> = Vec::new();
        for value in self.sorted.iter().map(Duration::as_micros) {
            match counts.last_mut() {
                Some((last, count)) if *last == value => *count += 1,
                _ => counts.push((value, 1)),
            }
        }
        let pairs = counts.into_iter().map(|(value, count)| json!([value as u64, count]));
        Value::Array(pairs.collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_values_that_were_measured() {
        let samples = Samples::of((1..=200).rev().map(Duration::from_millis));
        let at = |share| samples.percentile(share).as_millis();
        assert_eq!([at(0.0), at(0.5), at(0.99), at(0.999), at(1.0)], [1, 100, 198, 200, 200]);
        assert_eq!(Samples::default().percentile(0.5), Duration::ZERO);
        assert_eq!(samples.mean(), Duration::from_micros(100_500));
    }

    /// Merging is not averaging: the tail of one run stays in the tail.
    #[test]
    fn merged_runs_keep_their_tails() {
        let mut merged = Samples::of((0..99).map(|_| Duration::from_millis(1)));
        merged.merge(&Samples::of([Duration::from_secs(1)]));
        assert_eq!(merged.percentile(1.0), Duration::from_secs(1));
        assert_eq!(merged.json(), json!([[1000, 99], [1_000_000, 1]]));
        assert_eq!(merged.len(), 100);
    }
}
