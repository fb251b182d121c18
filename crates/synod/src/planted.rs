//! Planted bugs on the command line: in builds with the cargo feature `mutants` one can be switched
//! on by name, to see a rig find it.

use crate::exit::Failure;
use synod_algorithms::Algorithm;

/// A planted bug that was chosen, or none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Planted(Option<&'static str>);

impl Planted {
    /// The bug of this name among those that are planted in an algorithm.
    pub(crate) fn find(algorithm: Algorithm, name: Option<&str>) -> Result<Self, Failure> {
        let Some(name) = name else { return Ok(Self(None)) };
        let known = algorithm.mutants().iter().chain(algorithm.shared_mutants());
        let mut known = known.map(|mutant| mutant.name);
        let Some(found) = known.clone().find(|known| known.eq_ignore_ascii_case(name)) else {
            let known = known.by_ref().collect::<Vec<_>>().join(", ");
            let wrong = format!("no bug '{name}' is planted in {algorithm}; choose from {known}");
            return Err(Failure::usage(wrong));
        };
        if cfg!(feature = "mutants") {
            return Ok(Self(Some(found)));
        }
        Err(Failure::usage(format!(
            "this build has no planted bugs, so {found} cannot be switched on; build with \
             `--features mutants`"
        )))
    }

    /// The bug that the environment variable `SYNOD_MUTANT` names, if it is one of this algorithm.
    pub(crate) fn from_outside(algorithm: Algorithm) -> Self {
        let name = std::env::var("SYNOD_MUTANT").unwrap_or_default();
        Self::find(algorithm, Some(&name)).unwrap_or(Self(None))
    }

    /// Switches it on in this thread, or all off.
    pub(crate) fn plant(self) {
        #[cfg(feature = "mutants")]
        consensus_core::mutant::plant(self.0);
    }

    /// Its name.
    pub(crate) fn name(self) -> Option<&'static str> {
        self.0
    }
}
