//! What holds of every protocol, or of some side by side. All in one program, so that the rigs are
//! compiled once for each of them.

mod bounded;
mod changes;
#[cfg(feature = "mutants")]
mod connectivity;
mod determinism;
mod endurance;
mod explore;
mod guides;
mod house;
mod marks;
#[cfg(feature = "mutants")]
mod mutants;
mod reads;
mod recovery;
#[cfg(feature = "mutants")]
mod scenarios;
#[cfg(feature = "mutants")]
mod shrinking;
mod tapes;
