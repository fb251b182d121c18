//! The runtime, used from outside. All in one program, so that a node is compiled once for it.
//! `interleavings` stands apart: it compiles files of the crate itself, over loom's primitives.

mod disk;
mod links;
mod node;
mod panics;
mod support;
mod upkeep;
mod wal;
