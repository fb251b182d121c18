//! Planted bugs. A rig that never saw a bug proves nothing, so the algorithm crates carry named
//! wrong turns, each behind `if planted("R01")`. Without the cargo feature `mutants` that is a
//! constant `false` and the wrong turn is not in the build at all.

/// Is this planted bug switched on in this thread?
#[cfg(not(feature = "mutants"))]
#[inline(always)]
pub const fn planted(_name: &'static str) -> bool {
    false
}

#[cfg(feature = "mutants")]
pub use switched::{plant, planted};

#[cfg(feature = "mutants")]
mod switched {
    use std::cell::Cell;

    thread_local! {
        static PLANTED: Cell<Option<&'static str>> = const { Cell::new(None) };
    }

    /// Is this planted bug switched on in this thread?
    pub fn planted(name: &'static str) -> bool {
        PLANTED.get() == Some(name)
    }

    /// Switches one planted bug on in this thread, or all off.
    pub fn plant(name: Option<&'static str>) {
        PLANTED.set(name);
    }
}

/// A planted bug, as the kill matrix lists it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mutant {
    /// Its name, as given to [`planted`].
    pub name: &'static str,
    /// What is wrong, in a sentence.
    pub wrong: &'static str,
    /// The oracles that may find it ("O6"); one of them must.
    pub oracles: &'static [&'static str],
}

/// The bugs planted in this crate, in layers that all algorithms share.
pub const SHARED: &[Mutant] = &[Mutant {
    name: "K-dedup",
    wrong: "the session table is not asked: a retried command is applied again",
    oracles: &["O2", "O11"],
}];
