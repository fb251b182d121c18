//! Paxos, used from outside. All in one program, so that the simulator is compiled once for it.

mod adoption;
mod fast;
mod lab;
mod lectures;
mod options;
mod paper;
mod schedules;
mod simulation;
