//! The kill matrix: which rig found which planted bug, by which oracle, after how long.

use crate::cpu;
use crate::rigs::{Found, Rig, Subject};
use consensus_core::mutant::Mutant;
use serde_json::{Value, json};
use std::time::Duration;
use synod_algorithms::Algorithm;

mod page;

/// A planted bug, under what runs with it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bug {
    pub(crate) subject: Subject,
    pub(crate) mutant: &'static Mutant,
}

impl Bug {
    /// Those of these algorithms, and under each those of the shared layers; with all algorithms,
    /// those of the runtime, too.
    pub(crate) fn all(algorithms: &[Algorithm]) -> Vec<Self> {
        let runtime = (algorithms == Algorithm::ALL).then_some(Subject::Runtime);
        let subjects = algorithms.iter().copied().map(Subject::Algorithm).chain(runtime);
        let of = |subject: Subject| {
            let mutants = subject.mutants().into_iter();
            mutants.map(move |mutant| Self { subject, mutant })
        };
        subjects.flat_map(of).collect()
    }

    /// Of so many seeds for a bug that random runs find, those for this one: a few must do where
    /// they are known to be in vain, or nearly.
    pub(crate) fn seeds(&self, usual: u64) -> u64 {
        if self.mutant.beyond.is_some() { usual.div_ceil(10) } else { usual }
    }
}

/// What became of one hunt.
#[derive(Clone, Debug)]
pub(crate) struct Cell {
    pub(crate) rig: Rig,
    pub(crate) found: Option<Found>,
    /// Cases it took, or that were all in vain.
    pub(crate) cases: u64,
    pub(crate) cpu: Duration,
}

/// All hunts for one bug.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    pub(crate) bug: Bug,
    pub(crate) cells: Vec<Cell>,
}

impl Row {
    fn name(&self) -> String {
        format!("{} {}", self.bug.subject, self.bug.mutant.name)
    }

    pub(crate) fn kills(&self) -> impl Iterator<Item = &Cell> {
        let counts = |found: &Found| self.bug.mutant.is_found_by(&found.oracle);
        self.cells.iter().filter(move |cell| cell.found.as_ref().is_some_and(counts))
    }

    /// The cheapest kill.
    fn quickest(&self) -> Option<Duration> {
        self.kills().map(|cell| cell.cpu).min()
    }

    /// What is wrong with the rigs, if this row is true.
    fn problem(&self) -> Option<String> {
        let Mutant { wrong, beyond, .. } = self.bug.mutant;
        let survived = self.kills().next().is_none() && beyond.is_none();
        survived.then(|| format!("{} survived: {wrong}", self.name()))
    }
}

/// The correct build under one rig.
#[derive(Clone, Debug)]
pub(crate) struct Clean {
    pub(crate) subject: Subject,
    pub(crate) rig: Rig,
    pub(crate) cases: u64,
    pub(crate) alarm: Option<Found>,
    pub(crate) cpu: Duration,
}

/// Everything.
#[derive(Clone, Debug)]
pub(crate) struct Matrix {
    pub(crate) rigs: Vec<Rig>,
    pub(crate) rows: Vec<Row>,
    pub(crate) clean: Vec<Clean>,
}

/// The last case, and a few numbers of one rig.
struct Tally {
    hunted: usize,
    killed: usize,
    median: Duration,
    worst: Duration,
}

/// Seconds to three digits, so that a short hunt does not look like none.
fn seconds(time: Duration) -> String {
    let seconds = time.as_secs_f64();
    if seconds < 0.1 { format!("{seconds:.3}") } else { format!("{seconds:.2}") }
}

fn tally(times: Vec<Option<Duration>>) -> Tally {
    let hunted = times.len();
    let mut times: Vec<Duration> = times.into_iter().flatten().collect();
    times.sort_unstable();
    let median = times.get(times.len().saturating_sub(1) / 2).copied().unwrap_or_default();
    let worst = times.last().copied().unwrap_or_default();
    Tally { hunted, killed: times.len(), median, worst }
}

impl Matrix {
    /// The slowest kill of a rig under an algorithm, in cases.
    pub(crate) fn slowest(&self, subject: Subject, rig: Rig) -> u64 {
        let rows = self.rows.iter().filter(|row| row.bug.subject == subject);
        let kills = rows.flat_map(|row| row.kills()).filter(|cell| cell.rig == rig);
        kills.map(|cell| cell.cases).max().unwrap_or(0)
    }

    /// Why the rigs cannot be trusted; empty if they can.
    pub(crate) fn problems(&self) -> Vec<String> {
        let rows = self.rows.iter().filter_map(Row::problem);
        let alarms = self.clean.iter().filter_map(|clean| {
            let Found { case, detail, .. } = clean.alarm.as_ref()?;
            let (subject, rig, unit) = (clean.subject, clean.rig, clean.rig.unit());
            Some(format!(
                "{subject} without any bug raises an alarm under {rig}, {unit} {case}: {detail}"
            ))
        });
        rows.chain(alarms).collect()
    }

    /// What ran with bugs, in the order of the table.
    pub(crate) fn subjects(&self) -> Vec<Subject> {
        let mut subjects: Vec<Subject> = self.rows.iter().map(|row| row.bug.subject).collect();
        subjects.dedup();
        subjects
    }

    fn of_rig(&self, rig: Rig) -> Tally {
        let cells = self.rows.iter().flat_map(|row| &row.cells).filter(|cell| cell.rig == rig);
        tally(cells.map(|cell| cell.found.is_some().then_some(cell.cpu)).collect())
    }

    fn of_all(&self) -> Tally {
        tally(self.rows.iter().map(Row::quickest).collect())
    }

    fn killed_twice(&self) -> usize {
        self.rows.iter().filter(|row| row.kills().count() >= 2).count()
    }

    /// The numbers under the table, a line each.
    pub(crate) fn summary(&self) -> Vec<String> {
        let all = self.of_all();
        let kind = cpu::kind();
        let mut lines = vec![format!(
            "{} of {} planted bugs killed, {} of them by two rigs or more; {kind} seconds of the \
             cheapest kill: median {}, worst {}",
            all.killed,
            all.hunted,
            self.killed_twice(),
            seconds(all.median),
            seconds(all.worst),
        )];
        for rig in &self.rigs {
            let Tally { hunted, killed, median, worst } = self.of_rig(*rig);
            let (median, worst) = (seconds(median), seconds(worst));
            lines.push(format!(
                "{rig}: {killed} of {hunted} killed; {kind} seconds: median {median}, worst {worst}"
            ));
        }
        for rig in &self.rigs {
            let clean: Vec<_> = self.clean.iter().filter(|clean| clean.rig == *rig).collect();
            if !clean.is_empty() {
                let cases: u64 = clean.iter().map(|clean| clean.cases).sum();
                let alarms = clean.iter().filter(|clean| clean.alarm.is_some()).count();
                let time: Duration = clean.iter().map(|clean| clean.cpu).sum();
                lines.push(format!(
                    "correct build under {rig}: {alarms} alarms in {cases} {}s ({} {kind} seconds)",
                    rig.unit(),
                    seconds(time)
                ));
            }
        }
        lines
    }

    /// The matrix for programs.
    pub(crate) fn json(&self) -> Value {
        let cell = |cell: &Cell| {
            json!({
                "rig": cell.rig.name(),
                "killed": cell.found.is_some(),
                "oracle": cell.found.as_ref().map(|found| &found.oracle),
                "case": cell.found.as_ref().map(|found| found.case),
                "detail": cell.found.as_ref().map(|found| &found.detail),
                "cases": cell.cases,
                "seconds": cell.cpu.as_secs_f64(),
            })
        };
        let row = |row: &Row| {
            json!({
                "algorithm": row.bug.subject.to_string(),
                "bug": row.bug.mutant.name,
                "wrong": row.bug.mutant.wrong,
                "oracles": row.bug.mutant.oracles,
                "rigs": row.cells.iter().map(cell).collect::<Vec<_>>(),
            })
        };
        let clean = |clean: &Clean| {
            json!({
                "algorithm": clean.subject.to_string(),
                "rig": clean.rig.name(),
                "cases": clean.cases,
                "alarm": clean.alarm.as_ref().map(|found| &found.detail),
                "seconds": clean.cpu.as_secs_f64(),
            })
        };
        let waiting = |(bug, waits): (&str, &str)| json!({ "bug": bug, "waits_for": waits });
        json!({
            "ok": self.problems().is_empty(),
            "seconds_are": cpu::kind(),
            "bugs": self.rows.iter().map(row).collect::<Vec<_>>(),
            "correct_build": self.clean.iter().map(clean).collect::<Vec<_>>(),
            "killed": self.of_all().killed,
            "killed_by_two_rigs": self.killed_twice(),
            "problems": self.problems(),
            "pending": pending().into_iter().map(waiting).collect::<Vec<_>>(),
        })
    }
}

/// Bugs of the catalogue that cannot be planted yet, and the feature that they break.
const LATER: [(&str, &str); 9] = [
    ("Z01", "ZAB"),
    ("Z02", "ZAB"),
    ("Z03", "ZAB"),
    ("Z04", "ZAB"),
    ("Z05", "ZAB"),
    ("Z06", "ZAB"),
    ("D04", "state on disk apart from the log"),
    ("K02", "watches"),
    ("K03", "leases of keys"),
];

/// Those of [`LATER`] that nobody has planted by now.
fn pending() -> Vec<(&'static str, &'static str)> {
    let planted = Bug::all(&Algorithm::ALL);
    let waits = |name: &str| planted.iter().all(|bug| bug.mutant.name != name);
    LATER.into_iter().filter(|(name, _)| waits(name)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RAFT: Subject = Subject::Algorithm(Algorithm::Raft);

    fn cell(rig: Rig, oracle: Option<&'static str>, seconds: u64) -> Cell {
        let seen = |oracle: &str| Found { oracle: oracle.into(), case: 7, detail: "seen".into() };
        let found = oracle.map(seen);
        Cell { rig, found, cases: 8, cpu: Duration::from_secs(seconds) }
    }

    fn matrix(rows: Vec<Vec<Cell>>, alarm: Option<Found>) -> Matrix {
        let bugs = Bug::all(&[Algorithm::Raft]);
        let bug = bugs.into_iter().find(|bug| bug.mutant.oracles == ["O6"]).expect("a bug of O6");
        let rows = rows.into_iter().map(|cells| Row { bug, cells }).collect();
        let (rig, cpu) = (Rig::Simulate, Duration::ZERO);
        let clean = vec![Clean { subject: RAFT, rig, cases: 80, alarm, cpu }];
        Matrix { rigs: vec![Rig::Simulate, Rig::Shuffle], rows, clean }
    }

    #[test]
    fn a_survivor_a_mere_stop_and_a_false_alarm_are_problems() {
        let kill = || vec![cell(Rig::Simulate, Some("O6"), 1), cell(Rig::Shuffle, None, 9)];
        assert_eq!(matrix(vec![kill()], None).problems(), Vec::<String>::new());
        let problem = |rows, alarm| matrix(rows, alarm).problems().join("\n");
        let survivor = vec![cell(Rig::Simulate, None, 1), cell(Rig::Shuffle, None, 1)];
        assert!(problem(vec![kill(), survivor], None).contains(" survived: "));
        let stopped = vec![cell(Rig::Simulate, Some("O18"), 1)];
        assert!(problem(vec![stopped], None).contains(" survived: "));
        let alarm = Found { oracle: "O1".into(), case: 3, detail: "seen".into() };
        assert!(problem(vec![kill()], Some(alarm)).contains("raises an alarm under simulate"));
    }

    /// Another rig may see another consequence first, and is enough.
    #[test]
    fn a_kill_by_any_rig_counts() {
        let row = vec![cell(Rig::Simulate, None, 1), cell(Rig::Shuffle, Some("O13"), 2)];
        assert_eq!(matrix(vec![row], None).problems(), Vec::<String>::new());
    }

    #[test]
    fn numbers_are_of_the_cheapest_kill() {
        let row = |a, b| vec![cell(Rig::Simulate, Some("O6"), a), cell(Rig::Shuffle, b, 2)];
        let matrix = matrix(vec![row(1, None), row(4, Some("O6")), row(9, Some("O6"))], None);
        let Tally { hunted, killed, median, worst } = matrix.of_all();
        assert_eq!((hunted, killed, matrix.killed_twice()), (3, 3, 2));
        assert_eq!([median, worst], [Duration::from_secs(2), Duration::from_secs(2)]);
        assert_eq!(matrix.of_rig(Rig::Simulate).worst, Duration::from_secs(9));
        assert_eq!(matrix.slowest(RAFT, Rig::Shuffle), 8);
        assert_eq!(matrix.json()["killed_by_two_rigs"], 2);
    }

    #[test]
    fn a_bug_is_planted_or_pending_and_not_both() {
        let planted = Bug::all(&Algorithm::ALL);
        for (bug, _) in pending() {
            assert!(planted.iter().all(|other| other.mutant.name != bug), "{bug}");
        }
    }
}
