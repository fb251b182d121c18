//! The core, used from outside, in one program.

mod clients;
mod properties;
