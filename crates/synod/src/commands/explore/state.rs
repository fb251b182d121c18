//! The file in which a search keeps how far it is: a line that says which search it is, then what
//! it knows.

use crate::exit::Failure;
use crate::kept::KeptFile;
use crate::output::note;
use crate::progress::Progress;
use serde_json::{Value, json};
use std::path::Path;
use std::time::{Duration, Instant};
use synod_explore::{Progress as Now, Saved, Watch};

/// The file of one search.
pub(super) struct StateFile {
    file: KeptFile,
    /// Which search it is. What it comes to depends on nothing else.
    search: Value,
}

impl StateFile {
    /// Takes the file for this process and this search.
    pub(super) fn open(path: &Path, search: Value) -> Result<Self, Failure> {
        Ok(Self { file: KeptFile::open(path)?, search })
    }

    /// What an earlier process left there.
    pub(super) fn read(&self) -> Result<Option<Saved>, Failure> {
        let Some(content) = self.file.read()? else { return Ok(None) };
        let name = self.file.path().display();
        let damaged = || Failure::usage(format!("{name} is no state of a search; remove it"));
        let end = content.iter().position(|byte| *byte == b'\n').ok_or_else(damaged)?;
        let there: Value = serde_json::from_slice(&content[..end]).map_err(|_| damaged())?;
        if there != self.search {
            let differs = difference(&there, &self.search);
            return Err(Failure::usage(format!(
                "{name} belongs to another search ({differs}); name another file, or remove it"
            )));
        }
        Saved::decode(&content[end + 1..]).ok_or_else(damaged).map(Some)
    }

    fn write(&self, saved: &Saved) -> Result<(), Failure> {
        let mut content = self.search.to_string().into_bytes();
        content.push(b'\n');
        content.extend(saved.encode());
        self.file.write(&content)
    }
}

/// The first thing in which two searches differ.
fn difference(there: &Value, here: &Value) -> String {
    let fields = here.as_object().into_iter().flatten();
    let differing = fields.filter_map(|(name, here)| {
        let there = there.get(name).unwrap_or(&Value::Null);
        (there != here).then(|| format!("its {name} is {there}, not {here}"))
    });
    differing.into_iter().next().unwrap_or_else(|| "it says more of itself".to_owned())
}

/// What makes a search this one and no other.
pub(super) fn search(
    algorithm: &str,
    variants: &[String],
    shard: Option<(u32, u32)>,
    bounds: Value,
) -> Value {
    json!({
        "version": env!("CARGO_PKG_VERSION"),
        "algorithm": algorithm,
        "variants": variants,
        "shard": shard,
        "bounds": bounds,
    })
}

/// Shows how far a search is, and keeps it now and then.
pub(super) struct Keeper<'a> {
    pub(super) progress: Progress,
    pub(super) name: &'static str,
    file: Option<&'a StateFile>,
    every: Duration,
    due: Instant,
    /// The first write that failed.
    pub(super) failed: Option<Failure>,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(name: &'static str, file: Option<&'a StateFile>, every: Duration) -> Self {
        let (progress, due) = (Progress::new(), Instant::now() + every);
        Self { progress, name, file, every, due, failed: None }
    }
}

impl Watch for Keeper<'_> {
    fn progress(&mut self, now: Now) {
        // How much there will be nobody knows; what is known is what waits.
        let name = self.name;
        let stage = match now.states / 1_000_000 {
            0 => format!("{name}, states"),
            millions => format!("{name}, beyond {millions} million, depth {}", now.depth),
        };
        self.progress.show(&stage, now.states, now.states + now.open);
    }

    fn pause(&mut self, last: bool, save: &mut dyn FnMut() -> Saved) {
        let Some(file) = self.file.filter(|_| last || Instant::now() >= self.due) else { return };
        let saved = save();
        match file.write(&saved) {
            Ok(()) => note(format!("{}: kept at {} states", self.name, saved.states())),
            Err(why) => {
                self.failed.get_or_insert(why);
            }
        }
        self.due = Instant::now() + self.every;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(variants: &[&str], nodes: u64) -> Value {
        let variants: Vec<String> = variants.iter().map(|name| (*name).to_owned()).collect();
        search("raft", &variants, None, json!({ "nodes": nodes }))
    }

    /// A state belongs to one search: other flags would add up what does not belong together.
    #[test]
    fn the_first_difference_of_two_searches_is_named() {
        let said = difference(&of(&[], 3), &of(&["repair=decrement"], 3));
        assert_eq!(said, "its variants is [], not [\"repair=decrement\"]");
        assert!(difference(&of(&[], 3), &of(&[], 4)).starts_with("its bounds is"));
        assert!(difference(&json!(7), &of(&[], 4)).contains("null"));
    }
}
