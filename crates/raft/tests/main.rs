//! Raft, used from outside. All in one program, so that the simulator is compiled once for it.
//! `properties` stands apart: it compiles files of the crate itself.

mod forgetting;
mod lab;
mod leadership;
mod members;
mod paper;
mod quiet;
mod reads;
mod schedules;
mod simulation;
mod snapshots;
mod tails;
