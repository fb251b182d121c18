//! What a long run is to do, what it has done, and the file in which it keeps both.

use super::totals::Totals;
use crate::exit::Failure;
use crate::kept::KeptFile;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::ops::Range;
use std::path::Path;
use synod_algorithms::Algorithm;

/// What is to be done. Two runs with equal jobs do the same.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Job {
    /// Of `synod`.
    pub(super) version: String,
    pub(super) algorithms: Vec<String>,
    /// The seeds of this shard.
    pub(super) first: u64,
    pub(super) seeds: u64,
    pub(super) shard: String,
    pub(super) shuffle: bool,
    /// So many seeds of ten thousand are run twice.
    pub(super) recheck: u32,
    /// The hash of the first run: other code makes another.
    pub(super) probe: String,
}

/// What is done: a unit is a seed under an algorithm, and each seed is run under all algorithms
/// before the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct State {
    pub(super) job: Job,
    /// Ranges of units, in order, with a gap between any two.
    done: Vec<(u64, u64)>,
    pub(super) totals: BTreeMap<String, Totals>,
}

impl State {
    pub(super) fn new(job: Job) -> Self {
        let totals = job.algorithms.iter().map(|name| (name.clone(), Totals::default())).collect();
        Self { job, done: Vec::new(), totals }
    }

    /// Units of the whole job.
    pub(super) fn units(&self) -> u64 {
        self.job.seeds.saturating_mul(self.job.algorithms.len() as u64)
    }

    /// Units that are done.
    pub(super) fn count(&self) -> u64 {
        self.done.iter().map(|(from, to)| to - from).sum()
    }

    /// What a unit is.
    pub(super) fn unit(&self, unit: u64) -> (Algorithm, u64) {
        let algorithms = self.job.algorithms.len() as u64;
        let name = &self.job.algorithms[(unit % algorithms) as usize];
        let algorithm = name.parse().expect("the job names algorithms that exist");
        (algorithm, self.job.first + unit / algorithms)
    }

    /// The ranges of units that are not done.
    pub(super) fn open(&self) -> Vec<Range<u64>> {
        let ends = self.done.iter().map(|(_, to)| *to);
        let begins = self.done.iter().map(|(from, _)| *from).chain([self.units()]);
        let gaps = [0].into_iter().chain(ends).zip(begins).map(|(from, to)| from..to);
        gaps.filter(|gap| !gap.is_empty()).collect()
    }

    /// This unit is done.
    pub(super) fn finish(&mut self, unit: u64) {
        let place = self.done.partition_point(|(from, _)| *from <= unit);
        self.done.insert(place, (unit, unit + 1));
        self.join(place);
        if place > 0 {
            self.join(place - 1);
        }
    }

    /// Joins the range at this place with the next, if they meet.
    fn join(&mut self, place: usize) {
        if let (Some((_, to)), Some((from, end))) =
            (self.done.get(place).copied(), self.done.get(place + 1).copied())
            && to == from
        {
            self.done[place].1 = end;
            self.done.remove(place + 1);
        }
    }

    fn check(&self) -> Result<(), String> {
        let in_order = self.done.windows(2).all(|pair| pair[0].1 < pair[1].0);
        let ranges = self.done.iter().all(|(from, to)| from < to && *to <= self.units());
        if !in_order || !ranges {
            return Err("its ranges are not in order".into());
        }
        let sum: u64 = self.totals.values().map(|totals| totals.seeds).sum();
        if sum != self.count() {
            return Err(format!("it counts {sum} runs, and lists {}", self.count()));
        }
        Ok(())
    }
}

/// The file of a state.
#[derive(Debug)]
pub(super) struct StateFile(KeptFile);

impl StateFile {
    /// Takes the file for this process.
    pub(super) fn open(path: &Path) -> Result<Self, Failure> {
        KeptFile::open(path).map(Self)
    }

    /// What an earlier run of this job left there, or the beginning.
    pub(super) fn read(&self, job: Job) -> Result<State, Failure> {
        let Some(text) = self.0.read()? else { return Ok(State::new(job)) };
        let name = self.0.path().display();
        let state: State = serde_json::from_slice(&text).map_err(|error| {
            Failure::usage(format!("{name} is no state of a long run: {error}"))
        })?;
        state
            .check()
            .map_err(|why| Failure::usage(format!("{name} is no state of a long run: {why}")))?;
        if state.job != job {
            let differs = difference(&state.job, &job);
            return Err(Failure::usage(format!(
                "{name} belongs to another run ({differs}); name another file, or remove it"
            )));
        }
        Ok(state)
    }

    /// Writes it in one piece.
    pub(super) fn write(&self, state: &State) -> Result<(), Failure> {
        let text = serde_json::to_string(state).expect("a state can be written as JSON");
        self.0.write(text.as_bytes())
    }
}

/// The first thing in which two jobs differ.
fn difference(there: &Job, here: &Job) -> String {
    let values = |job: &Job| {
        [
            ("--algo", job.algorithms.join(",")),
            ("first seed", job.first.to_string()),
            ("seeds", job.seeds.to_string()),
            ("--shard", job.shard.clone()),
            ("--shuffle", job.shuffle.to_string()),
            ("--recheck", (f64::from(job.recheck) / 100.0).to_string()),
            ("version", job.version.clone()),
            ("code, by the hash of its first run,", job.probe.clone()),
        ]
    };
    let pairs = values(there).into_iter().zip(values(here));
    let mut differing = pairs.filter(|(there, here)| there != here);
    differing
        .next()
        .map(|((name, there), (_, here))| format!("its {name} is {there}, not {here}"))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::path::PathBuf;

    fn job() -> Job {
        Job {
            version: "1".into(),
            algorithms: vec!["paxos".into(), "raft".into()],
            first: 100,
            seeds: 5,
            shard: "0/1".into(),
            shuffle: false,
            recheck: 100,
            probe: "0".into(),
        }
    }

    /// The second computation is a set of units.
    #[test]
    fn what_is_open_is_what_is_not_done_in_any_order_of_ends() {
        for order in [[3, 0, 1, 2, 9, 5], [0, 2, 4, 3, 1, 9], [9, 5, 3, 2, 1, 0]] {
            let mut state = State::new(job());
            let mut done = std::collections::BTreeSet::new();
            for unit in order {
                state.finish(unit);
                done.insert(unit);
                let open: Vec<u64> = state.open().into_iter().flatten().collect();
                let expected: Vec<u64> = (0..10).filter(|unit| !done.contains(unit)).collect();
                assert_eq!(open, expected, "after {done:?}");
                assert_eq!(state.count(), done.len() as u64);
                assert!(state.done.windows(2).all(|pair| pair[0].1 < pair[1].0), "{state:?}");
            }
        }
    }

    #[test]
    fn every_seed_is_run_under_every_algorithm() {
        let state = State::new(job());
        let units: Vec<_> = (0..state.units()).map(|unit| state.unit(unit)).collect();
        assert_eq!(units[0], (Algorithm::Paxos, 100));
        assert_eq!(units[9], (Algorithm::Raft, 104));
        assert_eq!(units.len(), 10);
    }

    fn folder(name: &str) -> PathBuf {
        let path = std::env::temp_dir().join(format!("synod-job-{name}-{}", std::process::id()));
        fs::create_dir_all(&path).expect("the temporary folder can be written");
        path
    }

    #[test]
    fn a_state_is_read_as_it_was_written_and_only_for_its_own_job() {
        let folder = folder("read");
        let path = folder.join("run.json");
        let file = StateFile::open(&path).expect("nobody else has it");
        assert_eq!(file.read(job()).expect("a beginning"), State::new(job()));
        let mut state = State::new(job());
        state.finish(0);
        state.totals.get_mut("paxos").expect("an algorithm").seeds = 1;
        file.write(&state).expect("the file is written");
        assert_eq!(file.read(job()).expect("the state"), state);
        let other = file.read(Job { seeds: 6, ..job() }).unwrap_err();
        assert!(other.message.contains("seeds is 5, not 6"), "{}", other.message);
        let other = file.read(Job { probe: "1".into(), ..job() }).unwrap_err();
        assert!(other.message.contains("code"), "{}", other.message);
        let taken = StateFile::open(&path).unwrap_err();
        assert!(taken.message.contains("another process"), "{}", taken.message);
        fs::remove_dir_all(folder).expect("the folder goes");
    }

    #[test]
    fn a_damaged_state_is_refused() {
        let folder = folder("damaged");
        let path = folder.join("run.json");
        let file = StateFile::open(&path).expect("nobody else has it");
        let mut state = State::new(job());
        state.finish(7);
        file.write(&state).expect("the file is written");
        let wrong = file.read(job()).unwrap_err();
        assert!(wrong.message.contains("counts 0 runs, and lists 1"), "{}", wrong.message);
        fs::write(&path, "{").expect("the file is written");
        assert!(file.read(job()).unwrap_err().message.contains("no state of a long run"));
        fs::remove_dir_all(folder).expect("the folder goes");
    }
}
