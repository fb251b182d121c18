//! The simulator, tried on a toy protocol that is right or wrong as one wishes.

mod control;
mod determinism;
mod oracles;
mod shuffle;
mod stage;
mod toy;
