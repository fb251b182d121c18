//! The binary from outside: real processes, real sockets, real files.

mod cluster;
mod disk;
mod explore;
mod history;
mod job;
mod kill;
mod long;
mod mutants;
mod scenario;
mod strangers;
mod upkeep;
mod usage;
