//! Hunts that have ended, kept in a file (`--state`), so that a matrix that was stopped goes on.

use super::{Caught, Hunt};
use crate::exit::Failure;
use crate::kept::KeptFile;
use crate::rigs::Found;
use serde_json::{Map, Value, json};
use std::path::Path;
use std::time::Duration;

/// So many hunts are lost at most when the process is killed.
const PORTION: usize = 10;

/// What earlier processes found, and this one; in memory only, if no file was named.
#[derive(Debug)]
pub(super) struct Past {
    file: Option<KeptFile>,
    ended: Map<String, Value>,
    unwritten: usize,
}

impl Past {
    pub(super) fn open(path: Option<&Path>) -> Result<Self, Failure> {
        let file = path.map(KeptFile::open).transpose()?;
        let bytes = file.as_ref().map(KeptFile::read).transpose()?.flatten();
        let ended = match (bytes, path) {
            (Some(bytes), Some(path)) => serde_json::from_slice(&bytes).map_err(|error| {
                let path = path.display();
                Failure::usage(format!(
                    "{path} holds no hunts of `synod mutants`: {error}; name another file, or \
                     delete it to begin anew"
                ))
            })?,
            _ => Map::new(),
        };
        Ok(Self { file, ended, unwritten: 0 })
    }

    /// What came of this hunt, if it was made.
    pub(super) fn of(&self, hunt: &Hunt) -> Option<Caught> {
        let ended = self.ended.get(&name(hunt))?;
        let cpu = Duration::from_nanos(ended["nanoseconds"].as_u64()?);
        let found = match &ended["found"] {
            Value::Null => None,
            found => Some(Found {
                oracle: found["oracle"].as_str()?.to_owned(),
                case: found["case"].as_u64()?,
                detail: found["detail"].as_str()?.to_owned(),
            }),
        };
        Some(Caught { found, cpu })
    }

    /// This came of it.
    pub(super) fn note(
        &mut self,
        hunt: &Hunt,
        Caught { found, cpu }: &Caught,
    ) -> Result<(), Failure> {
        let found = found.as_ref().map(|Found { oracle, case, detail }| {
            json!({ "oracle": oracle, "case": case, "detail": detail })
        });
        let nanoseconds = u64::try_from(cpu.as_nanos()).unwrap_or(u64::MAX);
        self.ended.insert(name(hunt), json!({ "found": found, "nanoseconds": nanoseconds }));
        self.unwritten += 1;
        if self.unwritten >= PORTION { self.keep() } else { Ok(()) }
    }

    /// Writes what is not written yet.
    pub(super) fn keep(&mut self) -> Result<(), Failure> {
        if let Some(file) = self.file.as_ref().filter(|_| self.unwritten > 0) {
            file.write(Value::Object(self.ended.clone()).to_string().as_bytes())?;
        }
        self.unwritten = 0;
        Ok(())
    }
}

/// A hunt, told from all others.
fn name(Hunt { rig, subject, bug, cases }: &Hunt) -> String {
    let bug = bug.unwrap_or("correct");
    format!("{rig} {subject} {bug} {}..{}", cases.start, cases.end)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rigs::{Rig, Subject};
    use synod_algorithms::Algorithm;

    fn hunt(seeds: u64) -> Hunt {
        let subject = Subject::Algorithm(Algorithm::Raft);
        Hunt { rig: Rig::Simulate, subject, bug: Some("R01"), cases: 0..seeds }
    }

    /// What was found is found again by the next process, and only for the very same hunt.
    #[test]
    fn a_hunt_that_ended_is_not_made_again() {
        let path = std::env::temp_dir().join(format!("synod-past-{}.json", std::process::id()));
        let mut past = Past::open(Some(&path)).expect("a new file");
        let found = Some(Found { oracle: "O6".into(), case: 7, detail: "seen".into() });
        let caught = Caught { found, cpu: Duration::from_nanos(12) };
        past.note(&hunt(10), &caught).expect("noted");
        past.keep().expect("written");
        drop(past);
        let past = Past::open(Some(&path)).expect("what was kept");
        assert_eq!((past.of(&hunt(10)), past.of(&hunt(11))), (Some(caught), None));
        drop(past);
        std::fs::write(&path, "[]").expect("other content");
        assert!(Past::open(Some(&path)).unwrap_err().message.contains("holds no hunts"));
        for ending in ["", ".lock"] {
            let mut name = path.clone().into_os_string();
            name.push(ending);
            let _ = std::fs::remove_file(name);
        }
    }
}
